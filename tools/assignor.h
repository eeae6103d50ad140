/* tools/assignor.h - which member of a group reads what: the strategies "range" and "roundrobin",
 * with the results of Kafka's. Pure. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

enum assignor { ASSIGNOR_RANGE, ASSIGNOR_ROUNDROBIN, ASSIGNOR_COUNT };

/* The name on the wire. */
const char *assignor_name(enum assignor assignor);
/* By that name, or by the name of Java's class. ERR_NOT_FOUND. */
MUST_CHECK enum err assignor_find(struct slice name, enum assignor *out);

struct assignor_topic {
    struct slice name;
    int32_t partitions;
};

struct assignor_part {
    struct slice topic;
    int32_t partition;
};

struct assignor_member {
    struct slice id, instance_id; /* instance_id null: dynamic */
    const struct slice *topics;   /* that it wants */
    int topic_count;
    struct assignor_part *parts; /* result, in the arena: by topic, then partition */
    int part_count;
};

/* Every partition of a topic that some member wants goes to one that wants it. Topics that are not
 * in `topics` have no partitions. Members and topics come in any order. */
void assignor_assign(enum assignor assignor, struct arena *arena, struct assignor_member *members,
                     int member_count, const struct assignor_topic *topics, int topic_count);
