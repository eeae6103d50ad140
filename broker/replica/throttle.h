/* broker/replica/throttle.h - the broker's replication quotas, as one of its shards sees them.
 *
 * The quota is the broker's, its partitions are spread over shards: each shard counts what it sent
 * or fetched of throttled partitions in a cell of its own that all read, and follows the sum. So
 * all shards come to the same answer without a lock, and together overshoot by at most one Fetch
 * each. Kafka's rules: replication.md §10. */
#pragma once
#include "cluster/quota.h"
#include "runtime/metrics.h"

enum throttle_side {
    THROTTLE_LEADER,
    THROTTLE_FOLLOWER,
    THROTTLE_MOVES, /* between log directories of this broker */
    THROTTLE_SIDES
};

/* What one shard has counted; written by it alone, read by all. */
struct throttle_cell {
    struct counter bytes[THROTTLE_SIDES];
};

struct throttle {
    const struct throttle_cell *cells; /* of all shards */
    struct throttle_cell *own;         /* one of them */
    int count;
    struct throttle_quota {
        struct rate rate;
        struct rate_tally tally;
        int64_t bound; /* bytes per second; INT64_MAX: none */
    } quotas[THROTTLE_SIDES];
};

/* Borrows `cells` (`count` of them, the shard's own at `own`) until throttle_fini. */
void throttle_init(struct throttle *throttle, struct throttle_cell *cells, int count, int own,
                   int windows, int64_t window_ms);
void throttle_fini(struct throttle *throttle);
/* Other windows than those of throttle_init; before anything is recorded. */
void throttle_set_windows(struct throttle *throttle, enum throttle_side side, int windows,
                          int64_t window_ms);
void throttle_set_bound(struct throttle *throttle, enum throttle_side side, int64_t bound);

void throttle_record(struct throttle *throttle, enum throttle_side side, uint64_t bytes);
bool throttle_is_exceeded(struct throttle *throttle, enum throttle_side side, struct instant now);
