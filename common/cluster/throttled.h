/* cluster/throttled.h - which replicas of a topic count for replication quotas: the lists of
 * leader.replication.throttled.replicas and follower.replication.throttled.replicas, as one broker
 * sees them. Pure. Source: replication.md §10. */
#pragma once
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

/* Zeroed: none. */
struct throttled {
    bool is_all;
    int32_t *partitions; /* ascending; owned */
    int count;
};

struct topic_throttles {
    struct throttled leader, follower;
};

/* "*", or "partition:broker,…" of which those of `broker` are taken; null and "" are none. Items
 * that are not of that form are left out: what is stored is never a reason to stop. */
void throttled_read(struct slice list, int32_t broker, struct throttled *out);
void throttled_copy(const struct throttled *from, struct throttled *out);
void throttled_fini(struct throttled *throttled); /* becomes none */
bool throttled_has(const struct throttled *throttled, int32_t partition);

void topic_throttles_copy(const struct topic_throttles *from, struct topic_throttles *out);
void topic_throttles_fini(struct topic_throttles *throttles);
