/* cluster/quota.h - how much per second, as Kafka's quotas measure it. Pure.
 *
 * Amounts (bytes, requests, nanoseconds of work) are counted in windows of time; the rate is what
 * the windows that are kept have, by the time since the oldest of them began (at least one window).
 * So a burst after a rest is let through, and what went before counts for as long as its window is
 * kept. Source: replication.md §10, apis.md §6.2. */
#pragma once
#include "base/time.h"

struct rate_window {
    struct instant began;
    int64_t amount;
    bool is_used;
};

struct rate {
    struct rate_window *windows; /* `count` of them, in turn; owned */
    int count, current;
    int64_t window_ns;
};

/* `count` windows (the one that runs among them) of `window_ms` each; both at least 1. */
void rate_init(struct rate *rate, int count, int64_t window_ms);
void rate_fini(struct rate *rate);

/* Instants never go back from call to call. */
void rate_record(struct rate *rate, int64_t amount, struct instant now);
/* Per second, rounded down. */
int64_t rate_per_second(const struct rate *rate, struct instant now);
/* More than `bound` per second, exactly; INT64_MAX is no bound. */
bool rate_is_above(const struct rate *rate, int64_t bound, struct instant now);
/* How long its cause has to wait for the rate to come down to `bound`, as Kafka reckons for
 * clients: the surplus over the bound, times the time that was measured. 0 when it is not above. */
int64_t rate_throttle_ms(const struct rate *rate, int64_t bound, struct instant now);

/* What is counted elsewhere as a total that only grows (by several threads, each for itself): how
 * far it has been taken into a rate. Zeroed: not begun. */
struct rate_tally {
    uint64_t seen;
    struct instant at;
    bool has_begun;
};

/* Takes what has been added to `total` since the last look. When that was long ago it is spread
 * evenly over the time between: nobody knows better, and all of it at once would look like a
 * burst. */
void rate_follow(struct rate *rate, struct rate_tally *tally, uint64_t total, struct instant now);
