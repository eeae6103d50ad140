/* broker/replica/fetcher.h - how a follower of one partition comes to have its leader's log. Pure.
 *
 * It says what it wants of the leader next (an epoch's end, records, its first or last offset) and
 * turns each answer into what is to be done to the log (cut it, begin anew, append). What was done
 * comes back as an event before anything else is wanted. One fetcher lives for one leader epoch:
 * LeaderAndIsr brings a new one.
 *
 *     TRUNCATING ──▶ FETCHING ◀──▶ OUT_OF_RANGE (asks for the leader's end, then its start)
 *         └──────────────┴── delayed for a while after an error, or FAILED until the next epoch
 *
 * The first delay of an epoch is short and each next one twice as long, up to
 * replica.fetch.backoff.ms: a leader that has not heard yet that it leads is the rule at a
 * failover, and its producers wait for this follower.
 *
 * Never cut to the high watermark while an epoch is known: acknowledged records would be lost
 * (KIP-101); step by step down the epochs where the leader knows less of them (KIP-279). */
#pragma once
#include "base/time.h"
#include <stdbool.h>
#include <stdint.h>

#define FETCHER_DELAY_MS_MIN 20

enum fetcher_state {
    FETCHER_TRUNCATING,
    FETCHER_FETCHING,
    FETCHER_ASKING_END,   /* out of range: where does the leader's log end? */
    FETCHER_ASKING_START, /* … and where does it begin? */
    FETCHER_FAILED,
};

struct fetcher {
    enum fetcher_state state;
    bool truncates_on_fetch; /* leaders tell divergence in Fetch (2.7-IV1) */
    bool is_cutting;         /* an effect on the log is to be answered by FETCHER_CUT */
    bool is_cut_done;        /* … and then it may fetch */
    int32_t leader_epoch;
    int64_t offset;     /* to be fetched next */
    int32_t last_epoch; /* of the record before it; −1 */
    int64_t high_watermark;
    struct instant delayed_until; /* nothing is wanted before */
    int64_t backoff_ms;           /* the longest delay */
    int retries;                  /* since records came, while they make the delay longer */
};

/* What it wants of the leader now. */
enum fetcher_want {
    FETCHER_WANTS_NOTHING,
    FETCHER_WANTS_EPOCH_END, /* of last_epoch */
    FETCHER_WANTS_RECORDS,   /* from offset, after last_epoch */
    FETCHER_WANTS_END,       /* ListOffsets latest, as a replica */
    FETCHER_WANTS_START,     /* earliest */
};

/* Our own log, when the event came. */
struct fetcher_log {
    int64_t start, end, high_watermark;
    int32_t latest_epoch; /* −1: none */
};

struct fetcher_event {
    enum {
        FETCHER_BEGINS,    /* `log` */
        FETCHER_EPOCH_END, /* the leader's answer; `own` is where our log ended that epoch */
        FETCHER_DIVERGES,  /* the same, told in a Fetch */
        FETCHER_RANGE,     /* the leader does not have `offset` */
        FETCHER_END,       /* its end */
        FETCHER_START,     /* its start */
        FETCHER_APPENDED,  /* `log` */
        FETCHER_CUT,       /* `log`: the cut was made */
        FETCHER_RETRY,     /* an error that passes; of a cut: `log` as that has left it */
        FETCHER_FENCED,    /* our epoch is an old one: only LeaderAndIsr helps */
        FETCHER_BROKEN,    /* our log refused: stays out until the next epoch */
    } type;
    struct instant now;
    struct fetcher_log log;
    int32_t epoch;      /* EPOCH_END, DIVERGES: what the leader found; −1 */
    int64_t end_offset; /* and where that ended; END, START: the offset; −1 */
    int32_t own_epoch;  /* −1: we know none */
    int64_t own_end;
};

struct fetcher_effects {
    bool cut;     /* to `offset`: FETCHER_CUT follows */
    bool restart; /* drop all and begin at `offset`: FETCHER_CUT follows */
    int64_t offset;
    bool failed; /* for the log */
};

void fetcher_init(struct fetcher *fetcher, int32_t leader_epoch, bool truncates_on_fetch,
                  int64_t backoff_ms);
void fetcher_step(struct fetcher *fetcher, const struct fetcher_event *event,
                  struct fetcher_effects *out);
enum fetcher_want fetcher_wants(const struct fetcher *fetcher, struct instant now);
/* When a delay ends; INSTANT_NEVER if it is not delayed or has failed. */
struct instant fetcher_deadline(const struct fetcher *fetcher);
