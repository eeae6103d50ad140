/* tests/unit/test_reassign_throttle.c - who sends and who receives while partitions move. */
#include "tools/reassign_throttle.h"
#include "unit.h"

#define IDS(...)                                                                                   \
    {                                                                                              \
        (int32_t[]){__VA_ARGS__}, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t)               \
    }

static struct arena arena;
static struct buf text;

static const char *written(void (*write)(struct buf *, const struct flow *, int32_t),
                           const struct flow *first, int32_t count)
{
    buf_clear(&text);
    write(&text, first, count);
    buf_add(&text, "", 1);
    return (const char *)text.ptr;
}

START_TEST(who_has_it_sends_and_who_is_new_receives)
{
    struct move now[] = {{{SLICE("t"), 0}, IDS(1, 2), NULL},
                         {{SLICE("t"), 10}, IDS(2, 3), NULL},
                         {{SLICE("u"), 0}, IDS(3), NULL}};
    struct move wanted[] = {{{SLICE("t"), 0}, IDS(2, 4), NULL},
                            {{SLICE("t"), 10}, IDS(2, 3), NULL},
                            {{SLICE("u"), 0}, IDS(1), NULL}};
    struct move_list none = {0}, is = {now, 3}, wants = {wanted, 3};
    struct flow_list flows;

    arena_init(&arena, 1 << 20);
    buf_init(&text);
    flows_of(&none, NULL, &wants, &is, &arena, &flows);
    ck_assert_int_eq(flows.count, 3);
    ck_assert_str_eq(written(flows_write_sources, flows.at, 2), "0:1,0:2,10:2,10:3");
    ck_assert_str_eq(written(flows_write_targets, flows.at, 2), "0:4");
    ck_assert_str_eq(written(flows_write_targets, flows.at + 2, 1), "0:1");
    struct broker_ids brokers = flows_brokers(&flows, &arena);
    ck_assert_int_eq(brokers.count, 4);
    for (int32_t i = 0; i < 4; i++)
        ck_assert_int_eq(brokers.at[i], i + 1);
    buf_fini(&text);
    arena_fini(&arena);
}
END_TEST

/* A move under way has its new replicas among its replicas: they do not send. */
START_TEST(what_moves_already_keeps_its_lists)
{
    struct move moves[] = {{{SLICE("t"), 0}, IDS(1, 2, 5), NULL},
                           {{SLICE("t"), 1}, IDS(1, 3), NULL}};
    struct broker_ids adding[] = {IDS(5), IDS(3)};
    struct move now[] = {{{SLICE("t"), 0}, IDS(1, 2, 5), NULL}, {{SLICE("t"), 1}, IDS(1, 3), NULL}};
    struct move wanted[] = {{{SLICE("t"), 1}, IDS(4), NULL}}; /* goes elsewhere now */
    struct move_list moving = {moves, 2}, is = {now, 2}, wants = {wanted, 1};
    struct flow_list flows;

    arena_init(&arena, 1 << 20);
    buf_init(&text);
    flows_of(&moving, adding, &wants, &is, &arena, &flows);
    ck_assert_int_eq(flows.count, 2);
    ck_assert_str_eq(written(flows_write_sources, flows.at, 2), "0:1,0:2,1:1");
    ck_assert_str_eq(written(flows_write_targets, flows.at, 2), "0:5,1:4");
    buf_fini(&text);
    arena_fini(&arena);
}
END_TEST

UNIT(who_has_it_sends_and_who_is_new_receives, what_moves_already_keeps_its_lists)
