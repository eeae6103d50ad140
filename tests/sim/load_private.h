/* tests/sim/load_private.h - what the files of the load share: load.c (clients, metadata, the state
 * of topics), traffic.c (producers and consumers), load_groups.c (members of groups), operator.c
 * (who changes topics). */
#pragma once
#include "base/arena.h"
#include "base/uuid.h"
#include "client/peer.h"
#include "tests/sim/load.h"

#define CLIENTS_MAX      3
#define GROUP_PARTITIONS 2 /* those of __consumer_offsets */

struct client;
struct load_group;
struct load_member;

enum peer_use { PEER_PRODUCE, PEER_FETCH, PEER_ASK, PEER_USES };

/* One broker as one client knows it. */
struct client_broker {
    struct client *client;
    int32_t id;
    struct peer *peers[PEER_USES]; /* NULL until used */
    struct peer_call fetch;
    int fetch_version;
    bool is_fetching;
    struct timer fetch_again;
    uint32_t fetch_topics; /* bit per topic that the request under way names */
    int32_t asked_epochs[LOAD_TOPICS_MAX][ORACLE_PARTITIONS_MAX];
    int64_t asked_offsets[LOAD_TOPICS_MAX][ORACLE_PARTITIONS_MAX];
};

struct client_partition {
    int32_t leader, leader_epoch; /* as told; −1: unknown */
    int64_t position;             /* of the consumer */
    int64_t high_watermark;       /* when it was last told, −1: not since … */
    struct instant told_at;
    struct oracle_watermark watermark;
    struct oracle_pass pass; /* up to the position */
    int32_t sequence;        /* of the idempotent producer: the next */
    bool is_sending;         /* one of its batches is under way */
    bool has_strays; /* one of its batches was sent more than once: it may still be on the way */
};

struct client_topic {
    struct uuid id;     /* zero: not told */
    int32_t partitions; /* told; 0: unknown */
    struct client_partition at[ORACLE_PARTITIONS_MAX];
};

struct client {
    struct load *load;
    int index;
    struct sim_host *host;
    struct sim_process *process;
    struct shard shard;
    struct conn_limits limits;
    struct arena arena;
    struct client_broker brokers[MEMBERS_MAX];
    struct client_topic topics[LOAD_TOPICS_MAX];
    struct prng luck;

    struct peer_call metadata;
    bool is_asking, wants_metadata;
    struct timer metadata_timer;

    /* The idempotent producer. */
    int64_t producer_id; /* −1: none yet */
    int16_t producer_epoch;
    struct peer_call producer_call;
    bool is_asking_id;

    struct peer_call start_call; /* where does that partition begin? */
    bool is_asking_start;
    int start_topic, start_partition;

    struct timer produce_timer;
    int burst_left;
    int sends; /* under way or waiting for their next attempt */

    struct load_member *members; /* one in each group */
    struct timer groups_timer;

    /* The operator; of the first client. */
    struct timer operator_timer;
    struct peer_call operation;
    bool is_operating;
    char operation_name[120];
    int64_t trimmed_to; /* what a DeleteRecords under way asks */
    struct instant next_change;
    struct instant asked[LOAD_TOPICS_MAX];
};

/* A partition as two znodes had it: they are asked about far more often than they change. */
struct load_known {
    int64_t topic_zxid, state_zxid; /* of their last changes; 0: absent, or nothing is known */
    bool is_there;
    struct load_partition is;
};

struct load {
    struct world *world;
    struct cluster *cluster;
    struct oracle_log *oracle;
    struct oracle_controller *znodes;
    struct client clients[CLIENTS_MAX];
    int client_count;
    struct load_topic topics[LOAD_TOPICS_MAX];
    struct load_group *groups;
    int group_count;
    bool is_calm, is_given_up, has_static_members;
    struct instant calm_since;
    struct load_counts counts;
    struct arena arena; /* of what is read from ZooKeeper */
    struct load_known known[LOAD_TOPICS_MAX + 1][ORACLE_PARTITIONS_MAX]; /* last: the offsets' */
    int64_t fetch_wait_ms, fetch_pause_ms, burst_pause_ms, burst_length, send_pause_ms,
        record_bytes, in_flight, operation_pause_ms, idempotent; /* 0: no producer is */
    /* Percent of new topics. */
    int64_t compacted, short_lived, trimmed;
};

/* load.c */
struct peer *client_peer(struct client *client, int32_t broker, enum peer_use use);
struct peer *client_peer_open(struct client *client, int32_t broker, int in_flight,
                              int64_t timeout_ms);
void client_want_metadata(struct client *client);
int64_t client_draw(struct client *client, int64_t low, int64_t high);
struct instant client_after_ms(struct client *client, int64_t ms);
/* In ZooKeeper, now. */
bool load_topic_exists(struct load *load, const char *name);
/* It is there, and not marked for deletion. */
bool load_topic_stays(struct load *load, const char *name);
/* What is there under its name is what was planned last. */
bool load_topic_is_planned(struct load *load, const struct load_topic *topic);
/* Sets one override of a topic as a tool does that writes to ZooKeeper itself. False: the topic or
 * the ensemble is away. */
bool load_configure(struct load *load, const char *topic, const char *key, const char *value);
/* Makes a topic as a tool does that writes to ZooKeeper itself, all brokers its replicas. It is not
 * one of the load's: nobody writes to it. */
void load_make_topic(struct load *load, const char *name, int partitions);
/* Moves all partitions of a topic, as a tool does that writes to ZooKeeper itself. */
void load_reassign(struct load *load, const char *topic, int partitions, int32_t *replicas,
                   int count);

/* traffic.c */
void client_seek(struct client_partition *at, int64_t offset);
void traffic_start(struct client *client);
/* After news of leaders. */
void traffic_kick(struct client *client);
void traffic_forget(struct load *load, int topic);

/* load_groups.c */
void load_groups_create(struct load *load);
void load_groups_start(struct client *client);
/* Since the calm began somebody was told what each group has committed. */
bool load_groups_are_drained(const struct load *load, char *why, size_t size);

/* It may sleep until a change that is long to come. */
void load_wake_operator(struct load *load);

/* operator.c */
void operator_start(struct client *client);
