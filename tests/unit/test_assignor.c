/* tools/assignor.h: the assignments are those of Kafka's RangeAssignor and RoundRobinAssignor. */
#include "tools/assignor.h"
#include "tests/unit/unit.h"
#include <stdio.h>

static struct arena arena;
static char text[1024];

/* "member: t0 t2, …" of all members, in the order given. */
static const char *said(const struct assignor_member *members, int count)
{
    int at = 0;

    text[0] = '\0';
    for (int i = 0; i < count; i++) {
        at += snprintf(text + at, sizeof(text) - (size_t)at, "%s%.*s:", i > 0 ? "; " : "",
                       SLICE_ARGS(members[i].id));
        for (int p = 0; p < members[i].part_count; p++)
            at += snprintf(text + at, sizeof(text) - (size_t)at, " %.*s%d",
                           SLICE_ARGS(members[i].parts[p].topic), members[i].parts[p].partition);
    }
    return text;
}

static const char *assigned(enum assignor assignor, struct assignor_member *members, int count,
                            const struct assignor_topic *topics, int topic_count)
{
    arena_fini(&arena);
    arena_init(&arena, 1 << 20);
    assignor_assign(assignor, &arena, members, count, topics, topic_count);
    return said(members, count);
}

static const struct slice both[] = {SLICE("t"), SLICE("u")};
static const struct slice only_u[] = {SLICE("u")};
static const struct assignor_topic two[] = {{SLICE("u"), 3}, {SLICE("t"), 3}};

START_TEST(range_gives_runs_topic_by_topic)
{
    struct assignor_member members[] = {
        {.id = SLICE("b"), .instance_id = SLICE_NULL, .topics = both, .topic_count = 2},
        {.id = SLICE("a"), .instance_id = SLICE_NULL, .topics = both, .topic_count = 2},
    };

    ck_assert_str_eq(assigned(ASSIGNOR_RANGE, members, 2, two, 2), "b: t2 u2; a: t0 t1 u0 u1");
    members[1].topics = only_u;
    members[1].topic_count = 1;
    ck_assert_str_eq(assigned(ASSIGNOR_RANGE, members, 2, two, 2), "b: t0 t1 t2 u2; a: u0 u1");
}
END_TEST

START_TEST(roundrobin_goes_round_over_all_topics)
{
    struct assignor_member members[] = {
        {.id = SLICE("a"), .instance_id = SLICE_NULL, .topics = both, .topic_count = 2},
        {.id = SLICE("b"), .instance_id = SLICE_NULL, .topics = both, .topic_count = 2},
    };
    const struct assignor_topic topics[] = {{SLICE("t"), 3}, {SLICE("u"), 3}, {SLICE("w"), 9}};

    ck_assert_str_eq(assigned(ASSIGNOR_ROUNDROBIN, members, 2, topics, 3),
                     "a: t0 t2 u1; b: t1 u0 u2");
    members[1].topics = only_u;
    members[1].topic_count = 1;
    ck_assert_str_eq(assigned(ASSIGNOR_ROUNDROBIN, members, 2, topics, 3),
                     "a: t0 t1 t2 u1; b: u0 u2");
}
END_TEST

START_TEST(static_members_come_first_and_by_their_instances)
{
    static const struct assignor_topic topic[] = {{SLICE("t"), 3}};
    struct assignor_member members[] = {
        {.id = SLICE("a"), .instance_id = SLICE_NULL, .topics = both, .topic_count = 2},
        {.id = SLICE("x"), .instance_id = SLICE("2"), .topics = both, .topic_count = 2},
        {.id = SLICE("z"), .instance_id = SLICE("1"), .topics = both, .topic_count = 2},
    };

    ck_assert_str_eq(assigned(ASSIGNOR_RANGE, members, 3, topic, 1), "a: t2; x: t1; z: t0");
}
END_TEST

START_TEST(more_members_than_partitions_and_nobody_at_all)
{
    static const struct assignor_topic topic[] = {{SLICE("u"), 1}};
    struct assignor_member members[] = {
        {.id = SLICE("a"), .instance_id = SLICE_NULL, .topics = both, .topic_count = 2},
        {.id = SLICE("b"), .instance_id = SLICE_NULL, .topics = both, .topic_count = 2},
        {.id = SLICE("c"), .instance_id = SLICE_NULL},
    };

    for (int i = 0; i < ASSIGNOR_COUNT; i++) {
        ck_assert_str_eq(assigned((enum assignor)i, members, 3, topic, 1), "a: u0; b:; c:");
        ck_assert_str_eq(assigned((enum assignor)i, &members[2], 1, topic, 1), "c:");
        ck_assert_str_eq(assigned((enum assignor)i, members, 0, topic, 1), "");
    }
}
END_TEST

START_TEST(strategies_have_two_names)
{
    enum assignor found = ASSIGNOR_COUNT;

    ck_assert_int_eq(assignor_find(SLICE("roundrobin"), &found), ERR_OK);
    ck_assert_int_eq(found, ASSIGNOR_ROUNDROBIN);
    ck_assert_int_eq(
        assignor_find(SLICE("org.apache.kafka.clients.consumer.RangeAssignor"), &found), ERR_OK);
    ck_assert_int_eq(found, ASSIGNOR_RANGE);
    ck_assert_int_eq(assignor_find(SLICE("sticky"), &found), ERR_NOT_FOUND);
    ck_assert_int_eq(found, ASSIGNOR_RANGE);
}
END_TEST

UNIT(range_gives_runs_topic_by_topic, roundrobin_goes_round_over_all_topics,
     static_members_come_first_and_by_their_instances,
     more_members_than_partitions_and_nobody_at_all, strategies_have_two_names)
