/* broker/broker_private.h - what the files of one broker share: broker.c (what it is made of),
 * start.c (start, sessions, registration), stop.c (the orderly end). */
#pragma once
#include "broker/api/alter.h"
#include "broker/api/producer_ids.h"
#include "broker/api/broker_configs.h"
#include "broker/api/connections.h"
#include "broker/api/dispatch.h"
#include "broker/api/forward.h"
#include "broker/api/topic_configs.h"
#include "broker/broker.h"
#include "broker/group/groups.h"
#include "broker/log/store.h"
#include "broker/report.h"
#include "cluster/options.h"
#include "runtime/process.h"
#include "runtime/thread.h"
#include "zk/recipes.h"
#include "zk/zk.h"

struct broker_shard {
    struct msg_routes routes; /* first: the owner of the shard's messages */
    struct broker *broker;
    struct shard shard;
    struct api_shard api;
    struct partitions *partitions;
    struct thread thread;
    struct process_beat beat;
    bool is_open, is_running;
    struct listener_slot {
        struct broker_shard *owner;
        int index;
        struct listener *listener;
    } listeners[LISTENERS_MAX];
};

/* What must have happened before the broker may register. */
enum start_need {
    NEED_LOGS = 1,
    NEED_PATHS = 2,
    NEED_CLUSTER_ID = 4,
    NEED_CONFIGS = 8,
    NEED_FEATURE = 16,
    NEED_BROKER_CONFIGS = 64, /* what was changed of server.properties at run time */
    NEED_PEERS = 32,          /* the other brokers have been read: nobody has our address */
};

struct broker {
    struct env *env;
    const struct options *options;
    struct listeners listeners; /* with real ports and hosts */
    struct api_process process;
    struct connections connections;
    struct mesh *mesh;
    struct disk *disk;
    int data_shards, files_max;
    void (*shard_opened)(void *owner, struct shard *shard); /* NULL: threads */
    void *owner;
    struct broker_shard *shards; /* data shards, then the control shard */
    struct broker_shard *main;   /* the control shard */
    struct control *control;
    struct forward *forward;
    struct alter *alter;
    struct producer_ids *producer_ids;
    struct broker_configs *configs;
    struct throttle_cell *throttle_cells; /* one per data shard */
    _Atomic bool logs_requests;
    _Atomic int64_t image_awaited_ns;

    struct store_options store_options;
    const char **log_dirs;
    struct store *store;
    struct log_config log_config; /* of a topic without overrides */
    struct groups_settings group_settings;
#define STORE_TIMERS 5
    struct timer store_timers[STORE_TIMERS];
    struct instant asked_to_return_at;

    /* start.c */
    struct broker_report report;
    struct censuses *censuses; /* NULL: nobody asks */
    struct zk *zk;
    unsigned needs;          /* start_need that are missing */
    bool are_shards_running; /* the data shards hear orders */
    bool had_session, is_started, is_registered, was_registered;
    struct instant began;
    int64_t session_registered; /* of the last registration, at first of our earlier process's */
    char cluster_id[64];
    struct recipe *recipe_paths, *recipe_cluster, *recipe_id, *recipe_peers, *recipe_register,
        *recipe_left;
    struct timer retry, connect_limit, load_again;
    struct zk_call feature_exists, feature_get;
    bool feature_busy, feature_again;
    struct arena arena;

    /* stop.c */
    struct process_signals signals;
    struct process_watchdog watchdog;
    bool takes_signals;
    struct process_end end;
    struct timer settle_timer;
    int settled; /* rounds */
    struct forward_call shutdown_call;
    bool hands_over; /* its leaderships, by asking the controller */
    int shutdown_attempts;
    uint32_t shutdown_asked;     /* which controller: forward_controllers_found */
    bool shutdown_unheard;       /* … which has not answered, or was none */
    struct timer shutdown_retry; /* … and looks in between whether anyone is left */
    struct instant shutdown_retry_at;
    bool is_stopping;
    enum err result;
};

/* start.c */
MUST_CHECK enum err start_begin(struct broker *broker);
void start_logs_loaded(void *owner, enum err err, const char *text);
/* No more registration, no more watching: the session itself is closed by stop.c. */
void start_end(struct broker *broker);

/* broker.c: partitions on the data shards, listeners, threads. */
MUST_CHECK enum err broker_open_shards(struct broker *broker);
/* Cannot go on: logs what, ends broker_run with `err`. */
void broker_fail(struct broker *broker, enum err err, const char *what);

void broker_start_upkeep(struct broker *broker);
void broker_stop_upkeep(struct broker *broker);
/* start.c: tells the controller by ZooKeeper that a log directory has failed. */
void start_log_dir_event(struct broker *broker);

/* stop.c */
MUST_CHECK enum err stop_listen(struct broker *broker); /* for signals; feeds the watchdog */
void stop_closed(void *owner);                          /* the store has */
void stop_session_ended(struct broker *broker);         /* of ZooKeeper, while it stops */
