/* controller/context.h - the whole cluster as the active controller sees it, and the events and
 * effects of all its machines. Pure: no I/O, no clock, no log.
 *
 * Kafka's controller is one thread that takes one event at a time and waits for ZooKeeper in the
 * middle of it. Here an event becomes a stack of tasks (task.h). The top one runs until it needs
 * ZooKeeper; its reads and writes leave as one effect, and it goes on when all their answers are
 * in. The next event begins when the stack is empty: so the order in which anything is decided is
 * Kafka's, and nothing waits. Rules: reference of Kafka 3.9's controller; names of states are
 * Kafka's. */
#pragma once
#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "base/time.h"
#include "base/uuid.h"
#include "cluster/types.h"
#include "controller/ids.h"
#include "zk/zk.h"

/* ---- what is known ---- */

enum partition_state {
    PARTITION_NONEXISTENT,
    PARTITION_NEW,
    PARTITION_ONLINE,
    PARTITION_OFFLINE,
};

enum replica_state {
    REPLICA_NONEXISTENT,
    REPLICA_NEW,
    REPLICA_ONLINE,
    REPLICA_OFFLINE,
    REPLICA_DELETION_STARTED,
    REPLICA_DELETION_SUCCESSFUL,
    REPLICA_DELETION_INELIGIBLE,
};

/* One that the controller took out of an ISR, in which transaction. 0: in that which is to be. */
struct departure {
    int32_t broker;
    int64_t at;
};

/* What the znode `state` says, and its version. */
struct leadership {
    int32_t leader; /* −1: none */
    int32_t leader_epoch;
    struct ids isr;
    bool is_recovering; /* after an unclean election */
    int32_t partition_epoch;
    int32_t controller_epoch; /* of the decision */
    /* As read, or to be written: who was taken out of the ISR when it became one broker. In a
     * partition it is with the replicas (struct hosted). */
    struct departure *left;
    int32_t left_count;
};

/* One partition on one broker. */
struct hosted {
    int32_t broker;
    enum replica_state state;
    bool is_dir_offline; /* its broker answered KAFKA_STORAGE_ERROR */
    int64_t epoch;       /* of its broker, when it became online last */
    /* Its broker has begun a new life since it was elected: it is to lead in a new epoch only. Its
     * watermark may begin lower, and who follows may have other records of the old one. Until
     * there is a new epoch. */
    bool led_before;
    /* It is in the ISR by what it had before its machine lost power. Until it is out of the ISR, or
     * leads. */
    bool is_doubted;
    /* It was taken out of the ISR when its broker went, and has lost nothing since: with what was
     * left of the ISR (so many), and in which transaction. What was acknowledged under a larger
     * min.insync.replicas it has: the watermark stands still while the ISR is too small. 0: it was
     * not, or the ISR has grown since. */
    int32_t left_isr;
    int64_t left_at;
    uint64_t deletion; /* the number of the last order to delete it; 0: there was none */
    uint64_t order;    /* of the last LeaderAndIsr that names it, likewise */
};

struct partition {
    struct topic *topic;
    int32_t id;
    enum partition_state state;
    struct ids replicas, adding, removing;
    bool has_leadership; /* its znode exists and was read or written */
    /* One that is doubted was elected, and has not refused: what it writes, and what others cut off
     * in its favour, is another history than that of those who left the ISR. */
    bool is_risked;
    struct leadership now;
    bool is_reassigning;
    struct hosted *hosted; /* those that have ever had a state */
    int32_t hosted_count;
};

struct topic {
    char *name;
    struct uuid id;                /* zero: it has none */
    struct partition **partitions; /* ascending by id */
    int32_t count;
    int32_t version;  /* of its node, as last read or written; −1: not known */
    bool is_deleting; /* in Kafka's terms: queued for deletion */
    bool is_deletion_started;
    bool is_ineligible; /* for deletion, until what is in its way has gone */
    bool is_listed;     /* scratch of the topic listing */
};

struct control_endpoint {
    char *listener;
    char *host;
    int32_t port;
    enum security_protocol protocol;
};

struct broker {
    int32_t id;
    int64_t epoch;   /* czxid of its registration */
    int32_t version; /* of that node's data */
    struct control_endpoint *endpoints;
    int32_t endpoint_count;
    char *rack; /* NULL: none */
    /* As its registration says: see docs.h. */
    bool is_cache_lost;
    int64_t cache_lost_since;
    bool is_shutting_down;
    bool is_suspect;      /* registered, but the detector says it is gone: neither live nor alive */
    bool is_silent;       /* not suspect yet: the detector's word waits for its turn */
    bool is_returning;    /* suspect still, but heard again: brokers know, the machines will */
    int32_t dirs_offline; /* replicas of its that are is_dir_offline */
};

struct context_config {
    int32_t id;
    const char *inter_broker_listener;
    const char *control_listener; /* NULL: none */
    bool is_delete_enabled;
    bool is_unclean_enabled; /* the broker default; topics may override it */
    bool is_auto_rebalance;
    int32_t imbalance_percent;
    int64_t imbalance_check_ms;
    bool has_topic_ids;           /* IBP ≥ 2.8-IV0 */
    bool has_recovery_state;      /* IBP ≥ 3.2-IV0 */
    bool has_alter_partition;     /* IBP ≥ 2.7-IV2: no leader writes `state` itself */
    bool has_features;            /* IBP ≥ 2.7-IV0 */
    int32_t feature_version;      /* 2 from IBP 3.3-IV0, else 1 */
    bool is_in_live_brokers;      /* Apache brokers find their controller only there */
    struct control_endpoint self; /* for that: our address, on the inter-broker listener */
};

/* ---- answers to those who ask; the API turns them into Kafka's codes ---- */

enum answer {
    ANSWER_OK,
    ANSWER_UNKNOWN_ERROR,
    ANSWER_UNKNOWN_PARTITION,
    ANSWER_UNKNOWN_TOPIC_ID,
    ANSWER_NOT_CONTROLLER,
    ANSWER_FENCED_EPOCH,
    ANSWER_INVALID_VERSION,
    ANSWER_INVALID_REQUEST,
    ANSWER_INVALID_TOPIC,
    ANSWER_INELIGIBLE_REPLICA,
    ANSWER_STALE_BROKER_EPOCH,
    ANSWER_BROKER_NOT_AVAILABLE,
    ANSWER_BROKER_NOT_REGISTERED,
    ANSWER_NOT_NEEDED,
    ANSWER_PREFERRED_NOT_AVAILABLE,
    ANSWER_NO_ELIGIBLE_LEADER,
    ANSWER_NO_REASSIGNMENT,
    ANSWER_INVALID_ASSIGNMENT,
};
const char *answer_name(enum answer answer);

/* ---- events ---- */

enum event_type {
    EVENT_TAKE_OVER, /* the election is won */
    EVENT_BROKERS_CHANGED,
    EVENT_BROKER_CHANGED, /* data of its registration */
    EVENT_BROKER_SUSPECT, /* from the detector */
    EVENT_BROKER_BACK,
    EVENT_TOPICS_CHANGED,
    EVENT_TOPIC_CHANGED, /* data of the topic node */
    EVENT_DELETIONS_CHANGED,
    EVENT_ISR_NOTIFIED,
    EVENT_LOG_DIRS_NOTIFIED,
    EVENT_REASSIGN_NODE,
    EVENT_PREFERRED_NODE,
    EVENT_STATE_CHANGED, /* of a reassigning partition, IBP < 2.7-IV2 */
    EVENT_LEADER_AND_ISR_ANSWERED,
    EVENT_STOP_ANSWERED,
    EVENT_UNCLEAN_ENABLED,
    EVENT_REBALANCE,
    /* with a caller */
    EVENT_CONTROLLED_SHUTDOWN,
    EVENT_ALTER_PARTITION,
    EVENT_ELECT,
    EVENT_REASSIGN,
    EVENT_PRODUCER_IDS,
};

/* One partition of an event: what was asked, and the answer. */
struct event_item {
    struct slice topic; /* or by id, when `has_id` */
    struct uuid topic_id;
    bool has_id;
    int32_t partition;
    enum answer answer;
    /* alter partition: asked, and on success what is committed now; elect: nothing more */
    struct leadership state; /* its isr borrows from the event's arena */
    /* alter partition: the broker epochs of that isr, as their fetches said; −1: not said. NULL:
     * the version has none. In the event's arena. */
    const int64_t *broker_epochs;
    /* reassign: NULL `at` with is_cancel */
    struct ids replicas;
    bool is_cancel;
    bool is_storage_error; /* leader-and-isr answer */
    bool is_error;         /* stop answer */
    uint64_t deletion;     /* stop answer: to which order */
};

/* Made by event_create, given to context_post. With a caller it comes back in EFFECT_REPLY and is
 * the driver's again; without, it is destroyed when its work is done. */
struct event {
    struct list_node node;
    enum event_type type;
    void *caller;
    struct arena arena;
    enum answer answer; /* of the whole */
    int32_t broker;
    int64_t broker_epoch;
    struct slice topic;
    int32_t partition;
    struct event_item *items; /* in the arena */
    int32_t count;
    bool is_all;                  /* elect: of all partitions; then "not needed" is left out */
    bool is_unclean;              /* elect */
    bool is_refused;              /* stop, leader-and-isr: error at the top level */
    int32_t epoch, epoch_version; /* take over */
    int64_t block_start;          /* producer ids: answer */
    int32_t version;              /* of the API, for what differs */
    uint64_t order;               /* leader-and-isr: which one is answered */
};
struct event *event_create(enum event_type type);
void event_destroy(struct event **event);
/* Room for `count` zeroed items in its arena. */
void event_make_items(struct event *event, int32_t count);

/* ---- effects ---- */

/* One read or write; `is_fenced` ones must be done under a check of /controller_epoch. The answer
 * is put in place before the batch is handed back. */
struct request {
    enum zk_kind kind;
    char *path;
    struct slice data; /* owned; null is ZooKeeper's null */
    int32_t version;
    bool is_fenced;
    bool is_watching;
    bool is_warm_enough; /* a standby's copy that has not changed since will do */
    /* Not to be done later than decided, as with guards. ERR_ZK_LOSS when the connection was lost:
     * done or not. */
    bool is_for_now;
    struct guard *guards; /* owned; fenced, and nothing is done unless all of them hold */
    int32_t guard_count;
    /* the answer */
    enum err err;
    struct zk_stat stat;
    struct slice answer;    /* owned */
    struct slice *children; /* owned, as are the texts */
    int32_t child_count;
};

/* The broker's registration is the one that the controller knows. */
struct guard {
    int32_t broker, version;
};

struct requests {
    struct request *at;
    int32_t count, capacity;
};

enum control_kind { CONTROL_LEADER_AND_ISR, CONTROL_UPDATE_METADATA, CONTROL_STOP_REPLICA };

/* A partition as it is told to brokers. In the arena of its batch. */
struct control_partition {
    struct slice topic;
    struct uuid topic_id;
    int32_t partition;
    int32_t controller_epoch, leader, leader_epoch, partition_epoch;
    bool is_recovering;
    struct ids isr, replicas, adding, removing, offline;
};
struct control_item {
    const struct control_partition *partition;
    bool is_new;          /* leader and isr */
    bool is_delete;       /* stop */
    int32_t leader_epoch; /* stop: −2 deletion, −1 none */
    uint64_t deletion;    /* stop with is_delete: see struct hosted */
};
struct control_broker {
    int32_t id;
    const char *rack;
    struct control_endpoint *endpoints;
    int32_t endpoint_count;
};
/* One request to one broker. */
struct control {
    enum control_kind kind;
    int32_t broker;
    int64_t broker_epoch;
    int32_t controller_epoch;
    uint64_t number;            /* of the order; LeaderAndIsr only */
    struct control_item *items; /* in order of topics */
    int32_t count;
    const struct control_broker *live; /* update metadata: all; leader and isr: the leaders in it */
    int32_t live_count;
};
/* All requests of one batch in the order in which they go out. */
struct control_batch {
    struct arena arena;
    struct control *at;
    int32_t count;
};

enum effect_type {
    EFFECT_ZK,            /* perform the requests, then context_answered */
    EFFECT_CONTROL,       /* the batch is the driver's */
    EFFECT_CHANNEL_OPEN,  /* to `broker`, whose record is in the context */
    EFFECT_CHANNEL_CLOSE, /* drop what is queued */
    EFFECT_REPLY,         /* the event is the driver's */
    EFFECT_REBALANCE_AT,  /* post EVENT_REBALANCE at `at` */
    EFFECT_TAKEN_OVER,    /* all is loaded and told */
    EFFECT_GIVE_UP,       /* taking over has failed: resign, delete /controller, stand again */
    EFFECT_MOVED,         /* the fence says another controller was elected: look, and resign */
    EFFECT_NOTE,          /* a line for the log and for transcripts: `text` */
};

struct effect {
    struct list_node node;
    enum effect_type type;
    struct task *task; /* EFFECT_ZK: whose `requests` */
    struct control_batch *batch;
    int32_t broker;
    struct event *event;
    struct instant at;
    struct buf text;
    bool is_warning; /* of a note: an operator should know */
};

/* ---- the context ---- */

struct task;

struct context {
    struct context_config config;
    struct prng prng;
    struct instant now;
    int64_t wall_ms;

    bool is_active;
    int32_t epoch, epoch_version;
    struct map brokers; /* id → struct broker * */
    struct map topics;  /* name → struct topic * */
    struct map topics_by_id;
    struct list walks; /* topic_walk.node: those that are on a topic */
    int32_t partition_count, reassigning_count;
    uint64_t elections, elections_unclean; /* since the process began */
    uint64_t deletions;                    /* orders to delete a replica, likewise */
    uint64_t orders;                       /* LeaderAndIsr, likewise */
    bool has_reassign_node;                /* /admin/reassign_partitions was there when last seen */

    struct list events; /* waiting */
    struct list tasks;  /* the first one runs */
    struct list effects;
    struct outbox *outbox;
};

void context_init(struct context *context, const struct context_config *config, uint64_t seed);
void context_fini(struct context *context);

/* Queues; takes the event. When not active, an event with a caller is answered "not controller" and
 * others are dropped; EVENT_TAKE_OVER is what makes active. Runs as far as it can. */
void context_post(struct context *context, struct event **event);
/* The requests of `task` (from EFFECT_ZK) have their answers. Runs as far as it can. */
void context_answered(struct context *context, struct task *task);
/* Forgets everything: queued callers are answered, tasks are dropped (their answers must not come
 * any more), channels are closed by the driver. */
void context_resign(struct context *context);
/* The next effect, or NULL. The caller frees it with effect_destroy. */
struct effect *context_take(struct context *context);
void effect_destroy(struct effect **effect); /* with what it still owns */
bool context_is_idle(const struct context *context);

/* Whole-structure check, for ensure_slow. */
bool context_audit(const struct context *context);

/* ---- for the machines ---- */

struct effect *context_effect(struct context *context, enum effect_type type);
void context_note(struct context *context, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A note that an operator should see. */
void context_warn(struct context *context, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Answers an event that has a caller, or destroys it. */
void context_finish_event(struct context *context, struct event **event);

struct broker *context_broker(const struct context *context, int32_t id);
struct broker *context_add_broker(struct context *context, int32_t id);
void context_remove_broker(struct context *context, int32_t id);
void broker_clear_endpoints(struct broker *broker);
/* Ascending. */
void context_broker_ids(const struct context *context, struct ids *out);
/* Registered and not suspect, whether shutting down or not. */
bool broker_is_alive(const struct context *context, int32_t id);
/* Alive, and nothing that waits for its turn says otherwise. */
bool broker_is_heard(const struct context *context, int32_t id);
void context_alive(const struct context *context, struct ids *out); /* ascending */
/* Alive, and not shutting down. */
bool broker_is_live(const struct context *context, int32_t id);
/* Its machine has lost what was not synced, later than the transaction `zxid`. */
bool broker_has_lost(const struct broker *broker, int64_t zxid);
/* The endpoint of `listener`, or NULL. */
const struct control_endpoint *broker_endpoint(const struct broker *broker, const char *listener);
/* Live, and the log directory of the replica is not offline. */
bool replica_is_online(const struct context *context, const struct partition *p, int32_t broker);
/* The same, but alive is enough. */
bool replica_is_alive(const struct context *context, const struct partition *p, int32_t broker);

struct topic *context_topic(const struct context *context, struct slice name);
struct topic *context_topic_by_id(const struct context *context, struct uuid id);
struct topic *context_add_topic(struct context *context, struct slice name);
void context_set_topic_id(struct context *context, struct topic *topic, struct uuid id);
void context_remove_topic(struct context *context, struct topic **topic);
struct partition *topic_partition(const struct topic *topic, int32_t id);
struct partition *topic_add_partition(struct context *context, struct topic *topic, int32_t id);
struct partition *context_partition(const struct context *context, struct slice topic, int32_t id);
struct partition *context_find_item(const struct context *context, const struct event_item *item);

enum replica_state partition_replica_state(const struct partition *p, int32_t broker);
/* The record of a broker, made if needed. */
struct hosted *partition_hosted(struct partition *p, int32_t broker);
bool partition_is_doubted(const struct partition *p, int32_t broker);
/* Who is in doubt goes out of `isr`, where somebody in it is not. */
void partition_drop_doubted(const struct partition *p, struct ids *isr);
/* In the transaction `zxid` the controller made `next` of `read`: who left the ISR by that. Before
 * partition_set_leadership. */
void partition_note_left(const struct context *context, struct partition *p,
                         const struct leadership *read, const struct leadership *next,
                         int64_t zxid);
/* The same for a later controller, into `next` that is to be written: who has left, with this write
 * or before, where only one is in the ISR. */
void partition_say_left(const struct partition *p, const struct leadership *read,
                        struct leadership *next);
/* What `read`, which has become the partition's leadership, says of that: written by an earlier
 * controller, or by us, and the answer was lost. */
void partition_learn_left(const struct context *context, struct partition *p,
                          const struct leadership *read);
/* `broker` has refused to lead. */
void partition_note_refused(struct partition *p, int32_t broker);
/* Somebody left the ISR with all that was acknowledged to it, when one was left. */
bool partition_has_left(const struct partition *p, int64_t *at);
/* The replica is online. Whether its machine has lost something meanwhile the registration says. */
void partition_note_online(struct partition *p, const struct broker *broker);
/* It has all that was acknowledged to min.insync.replicas, which were `min_insync` at least since
 * the transaction `config_zxid`, though it is not in the ISR. */
bool partition_has_left_with_all(const struct partition *p, int32_t broker, int32_t min_insync,
                                 int64_t config_zxid);
void partition_forget_replica(struct partition *p, int32_t broker);
/* Notes that the log directory of the replica is offline or not. True when that is news. */
bool context_set_dir_offline(struct context *context, struct partition *p, int32_t broker,
                             bool is_offline);
void partition_set_leadership(struct partition *p, const struct leadership *from);
void partition_set_reassigning(struct context *context, struct partition *p, bool is_reassigning);
/* Target: replicas without those being removed; origin: without those being added. */
void partition_target(const struct partition *p, struct ids *out);
void partition_origin(const struct partition *p, struct ids *out);
void leadership_fini(struct leadership *leadership);
void leadership_copy(struct leadership *to, const struct leadership *from);
/* Once for each broker. */
void leadership_add_left(struct leadership *leadership, int32_t broker, int64_t at);

/* Sets of partitions and of replicas: growable arrays that their task owns. */
struct partition_set {
    struct partition **at;
    int32_t count, capacity;
};
void partition_set_add(struct partition_set *set, struct partition *p);
void partition_set_fini(struct partition_set *set);
struct replica {
    struct partition *partition;
    int32_t broker;
};
struct replica_set {
    struct replica *at;
    int32_t count, capacity;
};
void replica_set_add(struct replica_set *set, struct partition *p, int32_t broker);
void replica_set_fini(struct replica_set *set);

/* A walk over all partitions with pauses, in which topics may come and go: what is there from its
 * beginning to its end is met once. The owner's memory; ended before the context is. */
struct topic_walk {
    struct list_node node;
    struct map_entry *entry; /* of the topic that it is on; NULL: at the end */
    int32_t partition;       /* in that topic: which is next, by index; the owner counts it up */
};
void topic_walk_begin(struct topic_walk *walk, struct context *context);
struct topic *topic_walk_topic(const struct topic_walk *walk);          /* NULL: at the end */
void topic_walk_next(struct topic_walk *walk, struct context *context); /* to the next topic */
void topic_walk_end(struct topic_walk *walk); /* at any time; one that was never begun is fine */

#define context_each_topic(entry, each, context)                                                   \
    map_each (entry, &(context)->topics)                                                           \
        for (struct topic *each = entry->value; each != NULL; each = NULL)
