/* broker/tally.h - a census in order: topics, partitions, groups and commits of all shards, by
 * name.
 *
 * Borrows from the census. Sorting is what costs; it is done on the thread that asked. */
#pragma once
#include "broker/census.h"

struct tally_partition {
    struct slice topic;
    const struct partition_fact *fact;
    bool is_preferred; /* led by its first replica */
};

struct tally_offset {
    const struct census_group *group;
    const struct census_offset *offset;
    int64_t end; /* of what consumers may read: the leader's, or what it has told us as its
                    follower; −1: no replica is here */
};

struct tally {
    struct topic_fact *topics; /* that have a partition here; counters of all shards together */
    int topic_count;
    struct tally_partition *partitions; /* by topic and number */
    int partition_count;
    const struct census_group **groups; /* by name */
    int group_count;
    struct tally_offset *offsets; /* by group, topic, number */
    int offset_count;
};

void tally_init(struct tally *tally, const struct census *census);
void tally_fini(struct tally *tally);
/* NULL: no replica of it is here. */
const struct tally_partition *tally_find(const struct tally *tally, struct slice topic,
                                         int32_t partition);
