/* cluster/assign.h - which brokers get the replicas of new partitions. Pure.
 *
 * Replicas go round the brokers; the second and further ones are shifted, a little more each round, so
 * that the load of a broker that fails spreads over all others. With racks the list of brokers
 * alternates between racks, and a partition sees each rack before it sees one twice. The rule is
 * Kafka's (controller.md §19): same input, same placement. */
#pragma once
#include "cluster/types.h"

struct assign_broker {
    int32_t id;
    struct slice rack; /* null: none */
};

struct assign_request {
    const struct assign_broker *brokers; /* in the order in which to go round: by id */
    int broker_count;
    int32_t partition_count; /* how many to place */
    int32_t replication_factor;
    /* Where to begin: index of a broker for the first replica, and the first shift. Random in
     * 0 … broker_count − 1 for a new topic; both assign_start_after for added partitions. */
    int32_t start, shift;
    int32_t first_partition; /* 0 for a new topic, else how many it has */
};

enum assign_refusal {
    ASSIGN_OK,
    ASSIGN_PARTITIONS,  /* partition_count ≤ 0: INVALID_PARTITIONS */
    ASSIGN_REPLICATION, /* factor ≤ 0 or more than brokers: INVALID_REPLICATION_FACTOR */
    ASSIGN_RACKS,       /* some brokers have a rack and some have none */
};

/* Writes partition_count × replication_factor ids to `out`, partition after partition. Nothing is
 * written when it refuses. */
MUST_CHECK enum assign_refusal assign_replicas(const struct assign_request *request, int32_t *out);

/* For partitions added to a topic whose partition 0 has `first_replica` first. */
int32_t assign_start_after(const struct assign_broker *brokers, int broker_count,
                           int32_t first_replica);
