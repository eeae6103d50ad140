#include "cluster/types.h"
#include "cluster/level.h"
#include "tests/unit/unit.h"

START_TEST(host_and_port_are_told_apart)
{
    struct slice host = SLICE("old");
    int32_t port = -1;

    ck_assert_int_eq(host_port_parse(SLICE("localhost:9092"), &host, &port), ERR_OK);
    ck_assert(slice_is(host, "localhost") && port == 9092);
    ck_assert_int_eq(host_port_parse(SLICE(":0"), &host, &port), ERR_OK);
    ck_assert(slice_is(host, "") && port == 0);
    ck_assert_int_eq(host_port_parse(SLICE("[::1]:65535"), &host, &port), ERR_OK);
    ck_assert(slice_is(host, "::1") && port == 65535);

    static const char *const bad[] = {"",        "host",     "host:",   "host:65536",
                                      "host:-1", "::1:9092", "host:9x", "host: 1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(host_port_parse(slice_text(bad[i]), &host, &port) == ERR_INVALID, "%s",
                      bad[i]);
    ck_assert(port == 65535); /* untouched */
}
END_TEST

START_TEST(names_collide_in_dots_and_underscores_only)
{
    ck_assert(topic_names_collide(SLICE("a.b"), SLICE("a_b")));
    ck_assert(!topic_names_collide(SLICE("a-b"), SLICE("a_b")));
    ck_assert(!topic_names_collide(SLICE("a.b"), SLICE("a_bc")));
}
END_TEST

START_TEST(partitions_order_by_topic_then_number)
{
    struct topic_partition a9 = {SLICE("a"), 9}, a10 = {SLICE("a"), 10}, b0 = {SLICE("b"), 0};

    ck_assert_int_lt(topic_partition_compare(a9, a10), 0);
    ck_assert_int_lt(topic_partition_compare(a10, b0), 0);
    ck_assert_int_eq(topic_partition_compare(b0, b0), 0);
}
END_TEST

START_TEST(security_protocols_are_taken_in_any_case)
{
    enum security_protocol protocol;

    ck_assert_int_eq(security_protocol_parse(SLICE("sasl_Ssl"), &protocol), ERR_OK);
    ck_assert_int_eq(protocol, SECURITY_SASL_SSL);
    ck_assert_int_eq(security_protocol_parse(SLICE("TLS"), &protocol), ERR_INVALID);
    ck_assert_int_eq(security_protocol_parse(SLICE_NULL, &protocol), ERR_INVALID);
}
END_TEST

static enum level parsed(const char *text)
{
    enum level level = LEVEL_COUNT;

    return level_parse(slice_text(text), &level) == ERR_OK ? level : LEVEL_COUNT;
}

START_TEST(a_release_means_its_last_level)
{
    ck_assert_int_eq(parsed("3.9"), LEVEL_3_9_IV0);
    ck_assert_int_eq(parsed("3.9.1"), LEVEL_3_9_IV0);
    ck_assert_int_eq(parsed("2.8"), LEVEL_2_8_IV1);
    ck_assert_int_eq(parsed("2.8-IV0"), LEVEL_2_8_IV0);
    ck_assert_int_eq(parsed("0.10.1"), LEVEL_0_10_1_IV2);
    ck_assert_int_eq(parsed("0.10.0.1"), LEVEL_0_10_0_IV1);
    ck_assert_int_eq(parsed("1.1.0"), LEVEL_1_1_IV0);
    ck_assert_int_eq(parsed("4.0"), LEVEL_COUNT);
    ck_assert_int_eq(parsed("3.9-IV1"), LEVEL_COUNT);
    ck_assert_int_eq(parsed("3"), LEVEL_COUNT);
    ck_assert_int_eq(parsed(""), LEVEL_COUNT);
    for (int i = 0; i < LEVEL_COUNT; i++)
        ck_assert_int_eq(parsed(level_text((enum level)i)), i);
}
END_TEST

START_TEST(lists_of_brokers_are_compared_in_order)
{
    static const int32_t a[] = {1, 2, 3}, b[] = {1, 3, 2}, c[] = {2, 1, 2};

    ck_assert(!broker_ids_equal((struct broker_ids){a, 3}, (struct broker_ids){b, 3}));
    ck_assert(broker_ids_equal((struct broker_ids){a, 1}, (struct broker_ids){b, 1}));
    ck_assert(broker_ids_have((struct broker_ids){a, 3}, 3));
    ck_assert(!broker_ids_have((struct broker_ids){a, 2}, 3));
    ck_assert(broker_ids_repeat((struct broker_ids){c, 3}));
    ck_assert(!broker_ids_repeat((struct broker_ids){c, 2}));
}
END_TEST

UNIT(host_and_port_are_told_apart, names_collide_in_dots_and_underscores_only,
     partitions_order_by_topic_then_number, security_protocols_are_taken_in_any_case,
     a_release_means_its_last_level, lists_of_brokers_are_compared_in_order)
