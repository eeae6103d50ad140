/* tests/unit/test_alter.c - changes to sets of overrides. */
#include "cluster/alter.h"
#include "unit.h"
#include <string.h>

static struct arena arena;
static struct buf message, shown;

static void begin(void)
{
    arena_init(&arena, 1 << 20);
    buf_init(&message);
    buf_init(&shown);
}

static void end(void)
{
    arena_fini(&arena);
    buf_fini(&message);
    buf_fini(&shown);
}

/* "a=1;b=2" after the changes to what is stored; NULL with `*result`. */
static const char *apply(enum alter_entity entity, const struct option_pair *now, int now_count,
                         const struct alteration *changes, int count, enum alter_result *result)
{
    struct option_pair *out;
    int out_count;

    buf_clear(&shown);
    buf_clear(&message);
    *result =
        alter_apply(entity, now, now_count, changes, count, &arena, &out, &out_count, &message);
    if (*result != ALTER_OK) {
        ck_assert_uint_gt(message.len, 0);
        return NULL;
    }
    for (int i = 0; i < out_count; i++)
        buf_printf(&shown, "%.*s=%.*s;", SLICE_ARGS(out[i].key), SLICE_ARGS(out[i].value));
    buf_add(&shown, "", 1);
    return (const char *)shown.ptr;
}

static const struct option_pair stored[] = {{SLICE("retention.ms"), SLICE("1")},
                                            {SLICE("cleanup.policy"), SLICE("delete")}};

START_TEST(what_is_not_named_stays)
{
    const struct alteration changes[] = {{SLICE("segment.bytes"), SLICE("100"), ALTER_SET},
                                         {SLICE("retention.ms"), SLICE("2"), ALTER_SET},
                                         {SLICE("min.insync.replicas"), SLICE_NULL, ALTER_DELETE}};
    enum alter_result result;

    begin();
    ck_assert_str_eq(apply(ALTER_TOPIC, stored, 2, changes, 3, &result),
                     "retention.ms=2;cleanup.policy=delete;segment.bytes=100;");
    end();
}
END_TEST

START_TEST(a_key_is_deleted_and_the_rest_keeps_its_order)
{
    const struct alteration changes[] = {{SLICE("retention.ms"), SLICE_NULL, ALTER_DELETE}};
    enum alter_result result;

    begin();
    ck_assert_str_eq(apply(ALTER_TOPIC, stored, 2, changes, 1, &result), "cleanup.policy=delete;");
    end();
}
END_TEST

START_TEST(lists_grow_and_shrink)
{
    const struct alteration append[] = {
        {SLICE("cleanup.policy"), SLICE("compact,delete"), ALTER_APPEND}};
    const struct alteration subtract[] = {
        {SLICE("cleanup.policy"), SLICE("delete"), ALTER_SUBTRACT}};
    const struct alteration first[] = {
        {SLICE("leader.replication.throttled.replicas"), SLICE("0:1,1:2"), ALTER_APPEND}};
    enum alter_result result;

    begin();
    ck_assert_str_eq(apply(ALTER_TOPIC, stored, 2, append, 1, &result),
                     "retention.ms=1;cleanup.policy=delete,compact;");
    ck_assert_str_eq(apply(ALTER_TOPIC, stored, 2, subtract, 1, &result),
                     "retention.ms=1;cleanup.policy=;");
    /* Without an override the default is what is appended to: here delete, and none. */
    ck_assert_str_eq(apply(ALTER_TOPIC, NULL, 0, append, 1, &result),
                     "cleanup.policy=delete,compact;");
    ck_assert_str_eq(apply(ALTER_TOPIC, NULL, 0, first, 1, &result),
                     "leader.replication.throttled.replicas=0:1,1:2;");
    end();
}
END_TEST

START_TEST(each_mistake_has_its_code)
{
    static const struct {
        enum alter_entity entity;
        struct alteration changes[2];
        int count;
        enum alter_result result;
    } cases[] = {
        {ALTER_TOPIC, {{SLICE("a"), SLICE_NULL, ALTER_SET}}, 1, ALTER_INVALID_REQUEST},
        {ALTER_TOPIC,
         {{SLICE("a"), SLICE("1"), ALTER_SET}, {SLICE("a"), SLICE("2"), ALTER_SET}},
         2,
         ALTER_INVALID_REQUEST},
        {ALTER_TOPIC, {{SLICE("a"), SLICE("1"), 4}}, 1, ALTER_UNKNOWN_ERROR},
        {ALTER_BROKER, {{SLICE("a"), SLICE("1"), -1}}, 1, ALTER_INVALID_REQUEST},
        {ALTER_TOPIC, {{SLICE("none"), SLICE("1"), ALTER_APPEND}}, 1, ALTER_UNKNOWN_ERROR},
        {ALTER_TOPIC,
         {{SLICE("retention.ms"), SLICE("1"), ALTER_SUBTRACT}},
         1,
         ALTER_INVALID_CONFIG},
    };
    enum alter_result result;

    begin();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_ptr_null(
            apply(cases[i].entity, stored, 2, cases[i].changes, cases[i].count, &result));
        ck_assert_int_eq(result, cases[i].result);
    }
    end();
}
END_TEST

static enum alter_result check(enum alter_entity entity, const char *key, const char *value)
{
    struct options *options = options_create();
    const struct alteration changes[] = {{slice_text(key),
                                          value == NULL ? SLICE_NULL : slice_text(value),
                                          value == NULL ? ALTER_DELETE : ALTER_SET}};
    const struct option_pair pairs[] = {{slice_text(key), changes[0].value}};

    buf_clear(&message);
    enum alter_result result =
        alter_check_broker(options, entity, pairs, value == NULL ? 0 : 1, changes, 1, &message);
    options_destroy(&options);
    ck_assert_int_eq(result != ALTER_OK, message.len > 0);
    return result;
}

START_TEST(a_broker_takes_what_can_change_at_run_time)
{
    begin();
    ck_assert_int_eq(check(ALTER_BROKER, "leader.replication.throttled.rate", "5"), ALTER_OK);
    ck_assert_int_eq(check(ALTER_BROKER, "leader.replication.throttled.rate", "-5"),
                     ALTER_INVALID_REQUEST);
    ck_assert_int_eq(check(ALTER_BROKER, "leader.replication.throttled.rate", NULL), ALTER_OK);
    ck_assert_int_eq(check(ALTER_ALL_BROKERS, "log.retention.ms", "5"), ALTER_OK);
    ck_assert_int_eq(check(ALTER_ALL_BROKERS, "broker.rack", "x"), ALTER_INVALID_REQUEST);
    /* Kafka resizes a pool of threads; here shards are for life. */
    ck_assert_int_eq(check(ALTER_ALL_BROKERS, "num.io.threads", "5"), ALTER_INVALID_REQUEST);
    ck_assert_int_eq(check(ALTER_ALL_BROKERS, "num.io.threads", NULL), ALTER_OK);
    ck_assert_int_eq(check(ALTER_BROKER, "of.some.plug-in", "5"), ALTER_OK);
    end();
}
END_TEST

UNIT(what_is_not_named_stays, a_key_is_deleted_and_the_rest_keeps_its_order, lists_grow_and_shrink,
     each_mistake_has_its_code, a_broker_takes_what_can_change_at_run_time)
