/* broker/replica/partitions.h - the partitions of one data shard: logs fed with events, effects
 * done.
 *
 * A partition lives on the shard that partition_shard() names and is touched by it alone; all calls
 * here are made on that shard. Three kinds of callers: the control shard (by message) says who
 * leads and who follows; the handlers of broker/api append, read and ask; the fetchers of this room
 * write what leaders sent. What must wait (acks=all, a fetch without data) is an object of the
 * caller's that is kept here and comes back through its callback, never inside the call that gave
 * it. */
#pragma once
#include "base/uuid.h"
#include "broker/log/log.h"
#include "broker/replica/isr.h"
#include "broker/replica/purgatory.h"
#include "broker/replica/throttle.h"
#include "cluster/throttled.h"
#include "runtime/disk.h"
#include "runtime/shard.h"

struct partitions;

/* Which data shard (0 … shards − 1) has it: the same in every part of a process. */
int partition_shard(struct slice topic, int32_t partition, int shards);

/* Numbers of server.properties; replaced whole by partitions_set_settings. */
struct replica_settings {
    int64_t replica_lag_time_ms_max;    /* replica.lag.time.max.ms */
    int64_t retention_check_ms;         /* log.retention.check.interval.ms */
    int32_t fetch_wait_ms_max;          /* replica.fetch.wait.max.ms */
    int32_t fetch_min_bytes;            /* replica.fetch.min.bytes */
    int32_t fetch_max_bytes;            /* replica.fetch.max.bytes: of a partition */
    int32_t fetch_response_max_bytes;   /* replica.fetch.response.max.bytes */
    int32_t fetch_backoff_ms;           /* replica.fetch.backoff.ms */
    int32_t fetch_socket_timeout_ms;    /* replica.socket.timeout.ms */
    int32_t fetchers;                   /* num.replica.fetchers: connections to one leader, of all
                                           shards together; each has one at least */
    int32_t fetch_socket_buffer_bytes;  /* replica.socket.receive.buffer.bytes */
    bool cleaner_enable;                /* log.cleaner.enable */
    int64_t cleaner_backoff_ms;         /* log.cleaner.backoff.ms */
    int64_t cleaner_dedupe_bytes;       /* log.cleaner.dedupe.buffer.size: of all shards */
    double cleaner_load_max;            /* log.cleaner.io.buffer.load.factor */
    int64_t unsynced_bytes;             /* ottla.log.unsynced.bytes */
    double cleaner_io_bytes_per_second; /* log.cleaner.io.max.bytes.per.second: of all shards */
    int32_t level;                      /* inter.broker.protocol.version: enum level */
    bool reads_by_rack;                 /* replica.selector.class: RackAwareReplicaSelector */
    /* leader.replication.throttled.rate, follower.…: bytes per second; INT64_MAX: not limited */
    int64_t leader_throttle_rate, follower_throttle_rate;
    int32_t quota_windows;   /* replication.quota.window.num; at the start, as the next three */
    int64_t quota_window_ms; /* replication.quota.window.size.seconds */
    int32_t move_windows;    /* alter.log.dirs.replication.quota.window.num */
    int64_t move_window_ms;  /* alter.log.dirs.replication.quota.window.size.seconds */
    /* replica.alter.log.dirs.io.max.bytes.per.second; INT64_MAX: not limited */
    int64_t move_rate;
    int32_t move_threads; /* num.replica.alter.log.dirs.threads: moves at a time, of all shards */
};
void replica_settings_init(struct replica_settings *settings); /* Kafka 3.9's defaults */

/* An ISR that a leader wants: for AlterPartition. Valid during the call only. */
struct isr_change {
    struct slice topic;
    struct uuid topic_id;
    int32_t partition;
    int32_t leader_epoch, partition_epoch;
    int32_t controller_epoch; /* of the LeaderAndIsr that made us leader */
    const int32_t *isr;
    const int64_t *broker_epochs; /* of these, as their fetches said; −1: not known, or ours */
    int isr_count;
    bool is_recovered; /* ends a leader recovery state 1 */
};

/* What the room asks of the process. Called on this shard; none calls back into partitions. */
struct partitions_ops {
    /* Owes one partitions_isr_decided, whatever becomes of it; until then there is no second one
     * for the partition. NULL: nobody listens. */
    void (*propose)(void *owner, const struct isr_change *change);
    bool (*is_alive)(void *owner, int32_t broker); /* in this shard's metadata image */
    /* A live broker's rack, null if it has none; false: none that the listener's clients can reach.
     * NULL: nobody is sent to a nearer replica. */
    bool (*rack)(void *owner, int32_t broker, int listener, struct slice *out);
    /* This broker leads the partition from now on, or leads it no more: for coordinators. May be
     * NULL. */
    void (*led)(void *owner, struct slice topic, int32_t partition, bool is_leader,
                int32_t leader_epoch);
    /* The checkpoints of recovery points and high watermarks are to be written now: a truncation
     * waits for them. NULL: they are never written. */
    void (*save)(void *owner);
    /* A replica has moved to another log directory: for store_moved. Owes one
     * partitions_moved_heard. NULL: nobody keeps the logs. */
    void (*moved)(void *owner, struct slice topic, int32_t partition);
    /* A log gave ERR_IO: for MSG_LOG_DIR_FAILED → store_fail_dir. */
    void (*dir_failed)(void *owner, struct log_dir *dir);
    /* For the fetchers: what was held (follower_view.is_held) is on the device. NULL: nobody asks.
     */
    void (*flushed)(void *owner, struct slice topic, int32_t partition);
    /* For the fetchers: follow `leader` at this epoch from now on (log open, truncation not yet
     * done); or, with leader −1, follow nobody. NULL: nothing is fetched. */
    void (*follow)(void *owner, struct slice topic, int32_t partition, int32_t leader,
                   int32_t leader_epoch);
};

struct partitions_options {
    struct shard *shard;
    int32_t broker_id;
    struct replica_settings settings; /* copied */
    int files_open_max;               /* idle open files that this shard keeps */
    const struct partitions_ops *ops;
    void *owner;
    /* What the shards of this broker have sent and fetched of throttled partitions, by shard id;
     * borrowed to the end. NULL: this shard is alone. */
    struct throttle_cell *throttle_cells;
    int shards;
};
struct partitions *partitions_create(const struct partitions_options *options);
/* After partitions_close, or without partitions. Sets to NULL; NULL is fine. */
void partitions_destroy(struct partitions **partitions);
void partitions_set_settings(struct partitions *partitions,
                             const struct replica_settings *settings);

/* ---- Who leads and who follows: from the control shard ------------------------------------------
 */

/* One partition of a LeaderAndIsr, and what became of it. The request's own checks (broker epoch,
 * controller epoch) are the control shard's. Slices and arrays are borrowed until `done`. */
struct replica_change {
    struct slice topic;
    struct uuid topic_id; /* zero: the request has none */
    int32_t partition;
    int32_t leader; /* broker id; −1 none */
    int32_t leader_epoch, partition_epoch;
    int32_t controller_epoch;      /* of the controller that decided it */
    const int32_t *replicas, *isr; /* replicas with those being added */
    int replica_count, isr_count;
    bool is_leader_alive; /* in the metadata image: one follows none else */
    bool is_recovering;
    /* The open log, found or made by the store; kept (attached) from now on, unless it is the one
     * that this shard has already. NULL with `log_err`. */
    struct log *log;
    struct log *future; /* the log to which it is moving (future.h); or NULL */
    enum err log_err;   /* ERR_OFFLINE, ERR_IO, ERR_TOPIC_ID …: becomes `err` */
    int32_t min_insync; /* min.insync.replicas of the topic */
    /* What the topic's logs are told; NULL: the log knows it. Borrowed like the slices. */
    const struct log_config *config;
    /* Named by the topic's leader.replication.throttled.replicas, and by follower.…: on this
     * broker. */
    bool is_leader_throttled, is_follower_throttled;

    /* Result: `err` is ERR_OFFLINE because the log lacks what was promised of it, and it would
     * lead.
     */
    bool stands_back;
    /* ERR_STALE_CONTROLLER_EPOCH: leader epoch not newer (wire: 11). ERR_TOPIC_ID (103).
     * ERR_NOT_FOUND: we are no replica (3). ERR_OFFLINE, ERR_IO (56). ERR_LIMIT (-1). When it is
     * not ERR_OK and this shard did not have the log before, it is not attached. */
    enum err err;
};

/* One partition of a StopReplica. ERR_FENCED_EPOCH (74), ERR_OFFLINE (56). Unknown here is fine. */
struct replica_stop {
    struct slice topic;
    int32_t partition;
    int32_t leader_epoch; /* EPOCH_DURING_DELETE, EPOCH_NONE: not checked */
    bool is_delete;
    struct log
        *log; /* result with is_delete: detached, for store_delete; NULL: not on this shard */
    enum err err;
};

/* One request's part for this shard, carried out in order, in bounded pieces per turn. */
struct replica_call {
    struct list_node node; /* of partitions.c */
    struct replica_change *changes;
    int change_count;
    struct replica_stop *stops;
    int stop_count;
    void (*done)(struct replica_call *call); /* on this shard; every err is set */
    int at;                                  /* of partitions.c */
    int waiting;                             /* of partitions.c */
};
/* Keeps `call` until its `done`, which never comes inside this call. */
void partitions_control(struct partitions *partitions, struct replica_call *call);

/* A replica is to move to another log directory of this broker, or to end doing so. The caller's
 * until `done`, which may come inside this call. */
struct replica_move {
    struct slice topic;
    int32_t partition;
    struct log *future; /* where it moves: attached from now on. NULL: what is under way ends */
    void (*done)(struct replica_move *move); /* on this shard */
    /* ERR_NOT_FOUND: it is not here; ERR_OFFLINE. Then `future` is not attached. */
    enum err err;
    struct log
        *left; /* result, when it ends: the future log, detached; NULL: none was on its way */
};
void partitions_move(struct partitions *partitions, struct replica_move *move);
/* The answer to partitions_ops.moved. */
void partitions_moved_heard(struct partitions *partitions, struct slice topic, int32_t partition);

/* The topic's configuration changed: for all its partitions here, and for those of calls that wait.
 */
void partitions_configure(struct partitions *partitions, struct slice topic,
                          const struct log_config *config, int32_t min_insync,
                          const struct topic_throttles *throttles);
/* Brokers came or went in the metadata image: eligibility for ISRs may have changed. */
void partitions_image_changed(struct partitions *partitions);
/* A directory went offline: all its partitions here answer ERR_OFFLINE until restart. */
void partitions_dir_failed(struct partitions *partitions, struct log_dir *dir);
/* This broker is about to end: what it comes to follow outside the ISR it follows no more. To catch
 * up would be for nothing, and leaders would ask for its return again and again. */
void partitions_hand_over(struct partitions *partitions);
/* The end: everything that waits is given back, jobs are awaited, logs are detached. No other call
 * may follow but partitions_destroy, after `closed`. */
void partitions_close(struct partitions *partitions, void (*closed)(void *to), void *to);

/* The controller's answer to an isr_change. */
enum isr_verdict {
    ISR_COMMITTED, /* with the epochs and set that it returned */
    ISR_REFUSED,   /* 55 OPERATION_NOT_ATTEMPTED, 107 INELIGIBLE_REPLICA: as if never asked */
    ISR_UNKNOWN,   /* 3, 100, 74, 95, 42, 108: wait for LeaderAndIsr, both sets count */
    ISR_RETRY,     /* any other code: the same is proposed again (the sender delays it) */
};
struct isr_decision {
    struct slice topic;
    int32_t partition;
    enum isr_verdict verdict;
    int32_t leader_epoch, partition_epoch; /* as the answer has them */
    const int32_t *isr;
    int isr_count;
};
void partitions_isr_decided(struct partitions *partitions, const struct isr_decision *decision);

/* ---- Produce ------------------------------------------------------------------------------------
 */

/* Who waits for acks=all, or for the device with acks=1, or (inside of deletion) for log starts.
 * Zeroed by the caller, who keeps it until `done`. */
struct commit_wait {
    struct wait wait; /* of partitions.c, as the next two */
    struct hosted *at;
    enum err err;
    /* ERR_OK: committed. ERR_NOT_ENOUGH_REPLICAS: in the log, but the ISR became too small (20).
     * ERR_NOT_LEADER (6), ERR_OFFLINE (56), ERR_TIMED_OUT (7): in the log, may yet commit or
     * vanish. Not inside partitions_append. */
    void (*done)(struct commit_wait *wait, enum err err);
};

/* One partition of a Produce. */
struct append {
    struct slice topic;
    int32_t partition;
    uint8_t *records; /* patched in place */
    size_t len;
    enum check_origin origin;
    bool acks_all;
    bool acks_leader; /* acks=1: answered when it is on the device, where that is asked for */
    struct instant deadline;  /* of both: ERR_TIMED_OUT then */
    struct commit_wait *wait; /* of both: used if `waits` */
    struct arena *arena;      /* texts of `refusal` */

    /* Results. ERR_NOT_FOUND: not here (6 if the metadata has it, else 3). ERR_NOT_LEADER (6),
     * ERR_OFFLINE and ERR_IO (56), ERR_NOT_ENOUGH_REPLICAS (19). From the checks: ERR_TOO_LARGE
     * (10), ERR_CORRUPT (2), ERR_INVALID_RECORD (87), ERR_INVALID_TIMESTAMP (32), ERR_INVALID (-1),
     * of the producer: ERR_SEQUENCE (45), ERR_PRODUCER_EPOCH (47), ERR_TXN_STATE (48),
     * ERR_COORDINATOR_FENCED (52);
     * ERR_LIMIT: larger than a segment (18). ERR_FULL, ERR_TOO_MANY: nothing was written, try later
     * (-1 would end a producer; use 19). Nothing was appended unless ERR_OK. */
    enum err err;
    bool waits; /* appended, now or (a duplicate) before; `wait` is kept */
    int64_t base_offset;
    int64_t append_time_ms;       /* −1 unless LogAppendTime */
    int64_t log_start;            /* −1: not to be told */
    int32_t leader, leader_epoch; /* as known here, for ERR_NOT_LEADER */
    struct check_refusal refusal;
};
void partitions_append(struct partitions *partitions, struct append *append);
/* Some log here has flush.messages: appends with acks=1 may wait, and bring their `wait`. */
bool partitions_may_hold(const struct partitions *partitions);
/* Takes back one that waits, without `done`; one that does not is fine. */
void partitions_forget_wait(struct partitions *partitions, struct commit_wait *wait);

/* ---- Fetch --------------------------------------------------------------------------------------
 */

/* Who reads. */
struct read_by {
    int32_t replica;      /* broker id of a follower; below 0: a consumer */
    int64_t broker_epoch; /* of the follower; −1 */
    bool is_committed;    /* isolation level read_committed */
    bool needs_leader;    /* a follower, or a consumer before v11 */
    bool is_first;        /* first pass of a fetch: a follower's progress is noted */
    bool takes_cut;       /* before v3: a first batch that does not fit comes cut */
    struct slice rack;    /* of a consumer v11+ that asks a leader; null or empty: no preference */
    int listener;         /* where it asks; with `rack` */
};

/* One partition of a Fetch. */
struct read {
    struct slice topic;
    struct uuid topic_id; /* zero: by name */
    int32_t partition;
    int32_t leader_epoch; /* current_leader_epoch; −1 */
    int64_t offset;
    int32_t last_epoch; /* last_fetched_epoch; −1 */
    int64_t log_start;  /* the follower's */
    int64_t bytes_max;  /* of this one, as asked and as the reply has left */
    bool at_least_one;  /* the first batch whole, whatever its size */
    bool only_cached;   /* the slice may come is_cold: to be read again when it is in memory */

    /* Results. ERR_NOT_FOUND (3 or 6, as append), ERR_TOPIC_ID (103), ERR_FENCED_EPOCH (74),
     * ERR_UNKNOWN_EPOCH (75; also a follower that is no replica and named an epoch), ERR_NOT_LEADER
     * (6), ERR_RANGE (1), ERR_OFFLINE and ERR_IO (56), ERR_FULL/ERR_TOO_MANY (-1). */
    enum err err;
    int64_t high_watermark, last_stable, log_start_here; /* −1 on error */
    bool diverges;                                       /* then no slice */
    struct epoch_end diverging;
    int32_t preferred; /* read replica; −1 */
    int32_t leader, leader_epoch_here;
    bool is_zstd;                     /* the topic stores zstd: not for Fetch before v10 */
    bool downconverts;                /* message.downconversion.enable */
    bool is_throttled;                /* for a follower: what is sent counts (partitions_sent) */
    struct log_slice slice;           /* yours to release, on this shard */
    struct aborted *aborted;          /* transactions in it, for a reader of committed records; */
    int aborted_count;                /* yours: free() */
    struct log_position start, limit; /* for the watch: where it stands, where reading ends */
};
void partitions_read(struct partitions *partitions, const struct read_by *reader,
                     struct read *read);
/* So many bytes of throttled partitions have been sent to followers. On the shard that sent them.
 */
void partitions_sent(struct partitions *partitions, uint64_t bytes);
/* The slice was written so lately that it is in the page cache: no need to ask. */
bool partitions_is_tail(struct partitions *partitions, const struct read *read);

/* What waits for more to read. The caller's, zeroed, kept until partitions_unwatch or `ready`. */
struct watch_part {
    struct list_node node; /* of partitions.c, as all here */
    struct watch *watch;
    struct hosted *at;
    struct log_position start;
    int64_t bytes_max, bytes;
    int64_t watermark; /* as the reader was told */
    int32_t leader_epoch;
};
struct watch {
    struct watch_part *parts; /* `count` of them, the caller's memory */
    int count;
    int64_t bytes_wanted;  /* more than what was read: when this many could be read in all */
    struct read_by reader; /* of watch_start */
    int64_t bytes;         /* could be read now */
    struct list_node node; /* of partitions.c: ready, not yet told */
    /* Enough, or something happened that a new read will show (leadership, epoch, truncation, a new
     * segment). It watches no more. Not inside partitions_watch. */
    void (*ready)(struct watch *watch);
};
/* Watches what `reads` have just read (each ERR_OK and not diverging; the others are left out). One
 * that is here no more is something that happened. */
void partitions_watch(struct partitions *partitions, struct watch *watch,
                      const struct read_by *reader, const struct read *reads, int count);
/* One that does not watch is fine. */
void partitions_unwatch(struct partitions *partitions, struct watch *watch);

/* ---- ListOffsets, OffsetForLeaderEpoch
 * ----------------------------------------------------------- */

#define OFFSETS_LATEST         (-1)
#define OFFSETS_EARLIEST       (-2)
#define OFFSETS_MAX_TIMESTAMP  (-3)
#define OFFSETS_EARLIEST_LOCAL (-4)
#define OFFSETS_LATEST_TIERED  (-5)

struct offset_query {
    struct slice topic;
    int32_t partition;
    int32_t leader_epoch; /* −1 */
    int64_t timestamp;    /* or OFFSETS_… */
    int32_t replica;      /* −1 a consumer; −2 debug: any replica, to the log's end */
    bool is_committed;

    /* ERR_NOT_FOUND, ERR_NOT_LEADER, epochs, ERR_OFFLINE as above; ERR_BUSY: OFFSET_NOT_AVAILABLE
     * (78; 5 before v5). */
    enum err err;
    int64_t offset, found_timestamp; /* −1: none */
    int32_t found_epoch;

    void (*done)(struct offset_query *query); /* not inside partitions_list_offsets */
    void *to;                                 /* the caller's */
    struct list_node node;                    /* of partitions.c, as all below */
    struct disk_job job;
    struct partitions *partitions;
    struct hosted *at;
    struct log_search *search;
};
/* True: answered, `done` will not come. False: a disk job looks; `done` comes. */
bool partitions_list_offsets(struct partitions *partitions, struct offset_query *query);
/* ListOffsets v0. Gives how many were written to `out`. */
MUST_CHECK enum err partitions_offsets_before(struct partitions *partitions, struct slice topic,
                                              int32_t partition, int32_t replica, int64_t timestamp,
                                              int max, int64_t *out, int *count);
MUST_CHECK enum err partitions_epoch_end(struct partitions *partitions, struct slice topic,
                                         int32_t partition, int32_t leader_epoch, int32_t epoch,
                                         struct epoch_end *out);

/* Who writes to it, at a leader or a follower: `*producers` on the heap, the caller's to free.
 * ERR_NOT_FOUND, ERR_OFFLINE. */
struct producers_view; /* broker/log/producers.h */
MUST_CHECK enum err partitions_producers(struct partitions *partitions, struct slice topic,
                                         int32_t partition, struct producers_view **producers,
                                         int32_t *count);

/* ---- DeleteRecords
 * ----------------------------------------------------------------------------- */

/* Records of one partition below an offset are to go. Zeroed by the caller but for the first part,
 * who keeps it until it is answered or `done`. */
struct records_deletion {
    struct slice topic;
    int32_t partition;
    int64_t offset;          /* −1: the high watermark */
    struct instant deadline; /* for replicas to follow; ERR_TIMED_OUT then */

    /* ERR_NOT_FOUND, ERR_NOT_LEADER, ERR_OFFLINE as above; ERR_DENIED: the topic's cleanup.policy
     * has no delete (44); ERR_RANGE: below 0 or above the high watermark (1). ERR_TIMED_OUT: gone
     * here, not everywhere (7). */
    enum err err;
    int64_t low_watermark; /* the lowest log start of the live replicas; −1 not known */

    void (*done)(struct records_deletion *deletion); /* not inside partitions_delete_records */
    void *to;                                        /* the caller's */
    struct commit_wait wait;                         /* of deletion.c, as the next */
    struct partitions *partitions;
};
/* The log start moves at once. True: answered, `done` will not come. False: live replicas have not
 * followed yet; `done` comes. */
bool partitions_delete_records(struct partitions *partitions, struct records_deletion *deletion);

/* ---- For coordinators: their own log, from its start to its end
 * ----------------------------------------------------------------------- */

/* Part of the log of a partition that is led here, for a disk job to read. Zeroed by the caller but
 * for the first part. */
struct reading {
    struct slice topic;
    int32_t partition;
    int64_t offset;    /* below the log's start: from there */
    int64_t bytes_max; /* but the first batch whole */

    struct log_slice slice; /* empty at the end; whole batches of one segment */
    int64_t end;            /* of the log, above its high watermark too */
    /* What is above the watermark is being replicated: it soon stands, or goes with us. Not so while
     * too few are in sync: the watermark stands still. */
    bool is_settling;
    struct hosted *at;      /* of partitions.c */
};
/* ERR_NOT_FOUND, ERR_NOT_LEADER, ERR_OFFLINE, ERR_IO, ERR_FULL/ERR_TOO_MANY (try later). ERR_OK:
 * the log stays until partitions_read_end, which gives the slice back. */
MUST_CHECK enum err partitions_read_begin(struct partitions *partitions, struct reading *reading);
void partitions_read_end(struct partitions *partitions, struct reading *reading);

/* ---- For the fetchers of this room: what followers do
 * --------------------------------------------- */

/* A follower's view of its own log. ERR_NOT_FOUND, ERR_OFFLINE; ERR_STALE: not a follower at this
 * leader epoch any more. */
struct follower_view {
    int64_t start, end, high_watermark;
    struct epoch_entry latest; /* epoch −1: none */
    struct uuid topic_id;
    bool is_throttled; /* what is fetched counts for the follower's quota */
    bool is_held; /* flush.messages: to ask for more would acknowledge what is not on the device */
};
/* The follower's quota is used up: throttled partitions that lag are not asked for. */
bool partitions_is_fetching_enough(struct partitions *partitions);
MUST_CHECK enum err partitions_follower(struct partitions *partitions, struct slice topic,
                                        int32_t partition, int32_t leader_epoch,
                                        struct follower_view *out);
/* What the leader sent, at our end: written verbatim, then watermark, then log start. `records` may
 * be empty. ERR_CORRUPT: fetch again. ERR_RANGE: they do not begin at our end. As above, and as
 * log_append_follower. */
MUST_CHECK enum err partitions_replicate(struct partitions *partitions, struct slice topic,
                                         int32_t partition, int32_t leader_epoch,
                                         struct slice records, int64_t leader_watermark,
                                         int64_t leader_log_start, struct follower_view *out);
/* Both cuts: ERR_BUSY, and nothing was done: what the checkpoints on disk say is being lowered
 * first, try again soon. */
MUST_CHECK enum err partitions_truncate(struct partitions *partitions, struct slice topic,
                                        int32_t partition, int32_t leader_epoch, int64_t offset,
                                        struct follower_view *out);
/* Drops everything: an empty log at `offset`. */
MUST_CHECK enum err partitions_restart_at(struct partitions *partitions, struct slice topic,
                                          int32_t partition, int32_t leader_epoch, int64_t offset,
                                          struct follower_view *out);
/* Where our own log ended `epoch`: for truncation. (−1, −1): not known. */
MUST_CHECK enum err partitions_own_epoch_end(struct partitions *partitions, struct slice topic,
                                             int32_t partition, int32_t epoch,
                                             struct epoch_end *out);

/* ---- For the status page
 * ------------------------------------------------------------------------- */
struct partitions_counts {
    struct gauge partitions, leaders, offline, under_replicated, under_min_isr, at_min_isr;
    struct gauge waiting_produce, waiting_fetch;
    struct counter isr_shrinks, isr_expands, isr_failed;
    struct counter cleanings;         /* of a log, to the end */
    struct gauge moves, moves_failed; /* between log directories */
    struct counter moves_done, moved_bytes;
    /* The last replica standing: what syncing before an ISR change costs; partitions that came back
     * with less than they had promised, and records given up, by leading without them or by
     * following a leader that lacks them. */
    struct counter guard_syncs, guard_syncs_failed, guard_stood_back, guard_records_lost;
    struct histogram guard_sync_ns;
    struct counter bytes_in, messages_in, bytes_out, replication_bytes_in, replication_bytes_out;
    struct counter produce_requests, fetch_requests, produce_failed, fetch_failed;
};
struct partitions_counts *partitions_counts(struct partitions *partitions);

/* What this shard has, in pieces. Counters of a topic begin with its first partition here and last
 * until partitions_topic_deleted, so that they never fall. */
struct topic_fact {
    struct slice topic; /* borrowed for the call */
    int32_t hosted;     /* partitions of it here, now */
    uint64_t bytes_in, messages_in, bytes_out;
};
struct partition_fact {
    int32_t topic_index; /* what `topic` gave for it */
    int32_t partition, leader, leader_epoch;
    bool is_leader, is_offline;
    int32_t isr_count, replica_count; /* 0 unless it is led here */
    int64_t log_start, high_watermark, end;
    int64_t size_bytes; /* of its log here */
};
struct partitions_watcher {
    int32_t (*topic)(void *to, const struct topic_fact *fact);
    void (*partition)(void *to, const struct partition_fact *fact);
    void *to;
};
/* One walk at a time; another one begins anew. Topics come before partitions. */
void partitions_walk_begin(struct partitions *partitions);
/* Up to `max` of them; false: that was the last. Between pieces partitions may come and go. */
bool partitions_walk(struct partitions *partitions, int max,
                     const struct partitions_watcher *watcher);
/* The topic has been deleted from the cluster. */
void partitions_topic_deleted(struct partitions *partitions, struct slice topic);
