#include "tools/overview_text.h"
#include "tests/unit/unit.h"

static struct buf out;

static const char *printed(const struct overview *overview)
{
    buf_clear(&out);
    overview_print(overview, &out);
    buf_add(&out, "", 1);
    return (const char *)out.ptr;
}

START_TEST(zookeeper_tells_all)
{
    static const struct overview_node controllers[] = {
        {.id = 101, .endpoints = SLICE("CONTROLLER://a:9090")},
        {.id = 102, .endpoints = SLICE("CONTROLLER://b:9090")},
    };
    static const struct overview_node brokers[] = {
        {.id = 1,
         .endpoints = SLICE("PLAINTEXT://a:9092,SSL://a:9093"),
         .rack = SLICE("r1"),
         .epoch = 25},
        {.id = 2, .rack = SLICE_NULL, .epoch = 31, .is_unknown_to_brokers = true},
    };
    struct overview overview = {.cluster_id = SLICE("p8fFEbKGQ22B6M_Da_vCBw"),
                                .controller = 102,
                                .controller_epoch = 7,
                                .controllers = controllers,
                                .controller_count = 2,
                                .brokers = brokers,
                                .broker_count = 2};

    ck_assert_str_eq(printed(&overview),
                     "Cluster ID: p8fFEbKGQ22B6M_Da_vCBw\n"
                     "Controller: 102\tEpoch: 7\tEndpoints: CONTROLLER://b:9090\n"
                     "Standby: 101\tEndpoints: CONTROLLER://a:9090\n"
                     "Broker: 1\tEndpoints: PLAINTEXT://a:9092,SSL://a:9093\tRack: r1\tEpoch: 25\n"
                     "Broker: 2\tRack: none\tEpoch: 31\tnot in the brokers' metadata\n");
    /* An Apache broker is the controller, and both of ours stand by. */
    overview.controller = 1;
    ck_assert_ptr_nonnull(strstr(printed(&overview), "Controller: 1\tEpoch: 7\t(a broker)\n"
                                                     "Standby: 101\tEndpoints: "));
    ck_assert_ptr_nonnull(strstr((const char *)out.ptr, "\nStandby: 102\t"));
}
END_TEST

START_TEST(what_nobody_knows_is_not_made_up)
{
    static const struct overview_node broker = {
        .id = 3, .endpoints = SLICE("a:9092"), .rack = SLICE_NULL, .epoch = -1};
    struct overview overview = {.cluster_id = SLICE_NULL,
                                .controller = BROKER_NONE,
                                .controller_epoch = -1,
                                .brokers = &broker,
                                .broker_count = 1};

    ck_assert_str_eq(printed(&overview), "Cluster ID: none\nController: none\n"
                                         "Broker: 3\tEndpoints: a:9092\tRack: none\n");
    overview.controller = 3;
    overview.by_broker = true;
    ck_assert_ptr_nonnull(strstr(printed(&overview), "Controller: 3\t(or a process of its own"));
}
END_TEST

UNIT(zookeeper_tells_all, what_nobody_knows_is_not_made_up)
