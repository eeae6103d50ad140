/* broker/replica/partition.h - one partition as this broker has it: leader, follower or neither.
 * Pure.
 *
 * It knows the epochs, the log's end and start as numbers, and (as leader) the ISR and high
 * watermark through isr.h. Events come from partitions.c, which owns the log and performs the
 * effects. What an effect did to the log comes back as an event (appended, truncated), so that
 * nothing is answered before it is so.
 *
 *     NONE ──lead──▶ LEADER ◀──▶ FOLLOWER        any ──failed──▶ OFFLINE (until restart)
 *       └───follow─────────────────▶             any ──stopped──▶ NONE
 *
 * Leader epoch and partition epoch only grow. As leader the high watermark only grows; a follower's
 * is what its leader said and may go back. High watermark ≤ end offset, always. */
#pragma once
#include "base/err.h"
#include "broker/replica/isr.h"

enum partition_role { PARTITION_NONE, PARTITION_LEADER, PARTITION_FOLLOWER, PARTITION_OFFLINE };

struct partition {
    enum partition_role role;
    int32_t leader; /* broker id; −1 none */
    int32_t leader_epoch, partition_epoch;
    int64_t end_offset, log_start;
    struct isr isr; /* slots only as leader; its high watermark in every role */
};

/* One LeaderAndIsr entry. `replicas` has this broker; the set is of its elements. */
struct partition_change {
    int32_t self;
    int32_t leader, leader_epoch, partition_epoch;
    const int32_t *replicas; /* current and adding, in any order */
    int replica_count;
    const int32_t *isr;
    int isr_count;
    bool is_leader_alive;
    bool is_recovering;
};

struct partition_event {
    enum {
        PARTITION_CHANGED, /* the log is open, see partition_check_change */
        PARTITION_APPENDED,
        PARTITION_REPLICATED, /* as follower: what the leader sent is in the log */
        PARTITION_TRUNCATED,  /* as follower: the log now ends, begins there */
        PARTITION_LOG_START,  /* retention or DeleteRecords moved it */
        PARTITION_FETCHED,
        PARTITION_SYNCED,
        PARTITION_DECIDED,
        PARTITION_CONFIGURED,
        PARTITION_FLUSHED, /* flush.messages: less is held than was */
        PARTITION_TICK,
        PARTITION_STOPPED,
        PARTITION_FAILED, /* its log directory did */
    } type;
    struct instant now;
    uint64_t alive; /* see isr_event, as the next */
    bool is_held;
    int64_t held_from;
    union {
        const struct partition_change *changed;
        struct isr_appended appended;
        struct partition_replicated {
            int64_t end_offset;
            int64_t leader_watermark;
            int64_t leader_log_start; /* −1: not said */
        } replicated;
        struct partition_truncated {
            int64_t end_offset, log_start;
        } truncated;
        struct partition_log_start {
            int64_t log_start;
        } started;
        struct isr_fetched fetched;
        struct isr_synced synced;
        struct partition_decided {
            struct isr_decided isr; /* `set` is filled in from `brokers` */
            const int32_t *brokers;
            int broker_count;
        } decided;
        struct isr_configured configured;
    };
};

struct partition_effects {
    enum err refused; /* PARTITION_CHANGED: why nothing was done */
    bool lead;        /* write (leader epoch, end offset) into the epoch cache, before any append */
    bool follow;      /* fetch from `leader` at the new epoch */
    bool is_in_sync;  /* … and the leader counts us */
    bool unfollow;    /* stop fetching */
    bool resign;      /* all that waits here ends: not the leader any more */
    bool wake;        /* all fetches that wait here read again: epoch or role changed */
    bool watermark_moved; /* tell the log; wake what waits for it */
    bool end_moved;       /* wake followers that wait for data */
    bool raise_log_start; /* to `log_start`: the leader's */
    int64_t log_start;
    struct isr_effects isr; /* propose, sync */
};

/* The log is not open yet: nothing is known of it. */
void partition_init(struct partition *partition, int32_t min_insync, int64_t lag_ns_max);
void partition_fini(struct partition *partition);
/* What the log has, when it has been opened. The watermark is the checkpoint's, within both. */
void partition_opened(struct partition *partition, int64_t log_start, int64_t end_offset,
                      int64_t high_watermark);

/* Whether PARTITION_CHANGED will be accepted; asked before a log is opened for it.
 * ERR_STALE_CONTROLLER_EPOCH: the leader epoch is not newer. ERR_OFFLINE. ERR_NOT_FOUND: `self` is
 * no replica. ERR_LIMIT: more than ISR_SLOTS_MAX replicas. */
MUST_CHECK enum err partition_check_change(const struct partition *partition,
                                           const struct partition_change *change);

void partition_step(struct partition *partition, const struct partition_event *event,
                    struct partition_effects *out);
/* When it next wants PARTITION_TICK. */
struct instant partition_deadline(const struct partition *partition);

/* May a request that names `leader_epoch` (−1: names none) be served? ERR_OFFLINE, ERR_FENCED_EPOCH
 * (its epoch is older), ERR_UNKNOWN_EPOCH (newer), ERR_NOT_LEADER (`needs_leader`, or we are
 * neither). */
MUST_CHECK enum err partition_check(const struct partition *partition, int32_t leader_epoch,
                                    bool needs_leader);

static inline int64_t partition_high_watermark(const struct partition *partition)
{
    return partition->isr.high_watermark;
}
/* A new leader whose watermark has not reached the start of its epoch must not name a latest offset
 * (KIP-207): it could be below one that was named before. */
static inline bool partition_is_lagging(const struct partition *partition)
{
    return partition->isr.epoch_start > partition->isr.high_watermark;
}
void partition_audit(const struct partition *partition);
