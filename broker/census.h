/* broker/census.h - what all shards of a broker have at about one moment, for the pages that watch
 * it.
 *
 * A page asks on a thread of its own and waits. The shards count their partitions and groups in
 * pieces, one each turn; the control shard lends the metadata image. Pages that are asked for at
 * the same time, or soon after, share one census, so that many who look cost as much as one. */
#pragma once
#include "broker/group/groups.h"
#include "broker/replica/partitions.h"
#include "cluster/image.h"

struct broker;
struct censuses; /* a broker's */

struct census_group {
    struct slice name;
    enum group_state state;
    int members;
    size_t offsets_from, offsets_count; /* in `offsets` of its part */
};

struct census_offset {
    struct slice topic;
    int32_t partition;
    int64_t offset;
};

/* Of one data shard. */
struct census_part {
    struct topic_fact *topics;
    size_t topic_count;
    struct partition_fact *partitions; /* topic_index: into `topics` */
    size_t partition_count;
    struct census_group *groups;
    size_t group_count;
    struct census_offset *offsets;
    size_t offset_count;
};

struct census {
    struct census_part *parts;
    int part_count;
    const struct image *image;
    char cluster_id[64]; /* "": not known yet */
};

struct censuses *censuses_create(struct broker *broker);
/* Nobody waits any more, or will: from then on there is none. From any thread. */
void censuses_stop(struct censuses *censuses);
/* When the shards do not turn any more. Sets to NULL; NULL is fine. */
void censuses_destroy(struct censuses **censuses);

/* One that is no older than a second or two; read it, then give it back. ERR_TIMED_OUT: a shard did
 * not answer; ERR_CLOSED: stopped. Waits; never on a shard. */
MUST_CHECK enum err census_take(struct censuses *censuses, struct census **out);
void census_give(struct censuses *censuses, struct census **census);
