#include "tools/assignor.h"
#include <stdlib.h>

static const struct {
    const char *name, *class_name;
} names[ASSIGNOR_COUNT] = {
    [ASSIGNOR_RANGE] = {"range", "org.apache.kafka.clients.consumer.RangeAssignor"},
    [ASSIGNOR_ROUNDROBIN] = {"roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor"},
};

const char *assignor_name(enum assignor assignor)
{
    return names[assignor].name;
}

enum err assignor_find(struct slice name, enum assignor *out)
{
    for (int i = 0; i < ASSIGNOR_COUNT; i++) {
        if (!slice_is(name, names[i].name) && !slice_is(name, names[i].class_name)) continue;
        *out = (enum assignor)i;
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

/* Static members by their instances, before dynamic ones by their ids: so that who comes back with
 * another id has what it had. */
static int by_member(const void *a, const void *b)
{
    const struct assignor_member *x = *(struct assignor_member *const *)a;
    const struct assignor_member *y = *(struct assignor_member *const *)b;
    bool has_x = !slice_is_null(x->instance_id), has_y = !slice_is_null(y->instance_id);

    if (has_x && has_y) return slice_compare(x->instance_id, y->instance_id);
    if (has_x != has_y) return has_x ? -1 : 1;
    return slice_compare(x->id, y->id);
}

static int by_topic(const void *a, const void *b)
{
    return slice_compare((*(const struct assignor_topic *const *)a)->name,
                         (*(const struct assignor_topic *const *)b)->name);
}

static bool wants(const struct assignor_member *member, struct slice topic)
{
    for (int i = 0; i < member->topic_count; i++)
        if (slice_equal(member->topics[i], topic)) return true;
    return false;
}

static void give(struct assignor_member *member, struct slice topic, int32_t partition)
{
    member->parts[member->part_count++] = (struct assignor_part){topic, partition};
}

/* Of each topic the members that want it get one run each; the first ones may get one more. */
static void range(struct assignor_member *const *members, int count,
                  const struct assignor_topic *topic)
{
    int32_t readers = 0, next = 0, at = 0;

    for (int i = 0; i < count; i++)
        readers += wants(members[i], topic->name);
    for (int i = 0; i < count; i++) {
        if (!wants(members[i], topic->name)) continue;
        int32_t share = topic->partitions / readers + (at++ < topic->partitions % readers);
        for (int32_t end = next + share; next < end; next++)
            give(members[i], topic->name, next);
    }
}

/* One after the other to whoever is next and wants it. */
static void roundrobin(struct assignor_member *const *members, int count,
                       const struct assignor_topic *topic, int *turn)
{
    bool is_wanted = false;

    for (int i = 0; i < count; i++)
        is_wanted = is_wanted || wants(members[i], topic->name);
    for (int32_t p = 0; p < topic->partitions && is_wanted; p++) {
        while (!wants(members[*turn % count], topic->name))
            (*turn)++;
        give(members[(*turn)++ % count], topic->name, p);
    }
}

void assignor_assign(enum assignor assignor, struct arena *arena, struct assignor_member *members,
                     int member_count, const struct assignor_topic *topics, int topic_count)
{
    struct assignor_member **sorted =
        arena_zalloc(arena, sizeof(struct assignor_member *) * (size_t)(member_count + 1));
    const struct assignor_topic **wanted =
        arena_zalloc(arena, sizeof(struct assignor_topic *) * (size_t)(topic_count + 1));
    size_t total = 0;
    int turn = 0;

    for (int t = 0; t < topic_count; t++) {
        wanted[t] = &topics[t];
        total += (size_t)(topics[t].partitions > 0 ? topics[t].partitions : 0);
    }
    for (int i = 0; i < member_count; i++) {
        sorted[i] = &members[i];
        members[i].part_count = 0;
        members[i].parts = arena_zalloc(arena, sizeof(struct assignor_part) * (total + 1));
    }
    qsort(sorted, (size_t)member_count, sizeof(struct assignor_member *), by_member);
    qsort(wanted, (size_t)topic_count, sizeof(struct assignor_topic *), by_topic);
    for (int t = 0; t < topic_count; t++) {
        if (assignor == ASSIGNOR_RANGE)
            range(sorted, member_count, wanted[t]);
        else
            roundrobin(sorted, member_count, wanted[t], &turn);
    }
}
