#include "cluster/assign.h"
#include "tests/unit/unit.h"

static const struct assign_broker plain[] = {{.id = 0}, {.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}};

START_TEST(without_racks_replicas_shift_each_round)
{
    struct assign_request request = {
        .brokers = plain, .broker_count = 5, .partition_count = 10, .replication_factor = 3};
    static const int32_t expected[10][3] = {{0, 1, 2}, {1, 2, 3}, {2, 3, 4}, {3, 4, 0}, {4, 0, 1},
                                            {0, 2, 3}, {1, 3, 4}, {2, 4, 0}, {3, 0, 1}, {4, 1, 2}};
    int32_t out[10][3];

    ck_assert_int_eq(assign_replicas(&request, out[0]), ASSIGN_OK);
    ck_assert_mem_eq(out, expected, sizeof(out));
}
END_TEST

START_TEST(added_partitions_go_on_where_the_topic_stopped)
{
    struct assign_request whole = {.brokers = plain,
                                   .broker_count = 5,
                                   .partition_count = 10,
                                   .replication_factor = 3,
                                   .start = 2,
                                   .shift = 2};
    struct assign_request tail = whole;
    int32_t all[10][3], added[3][3];

    tail.first_partition = 2;
    tail.partition_count = 3;
    ck_assert_int_eq(assign_replicas(&whole, all[0]), ASSIGN_OK);
    ck_assert_int_eq(assign_replicas(&tail, added[0]), ASSIGN_OK);
    ck_assert_mem_eq(added, all[2], sizeof(added));
    ck_assert_int_eq(assign_start_after(plain, 5, all[0][0]), 2);
}
END_TEST

START_TEST(the_start_is_the_first_broker_not_below_the_first_replica)
{
    static const struct assign_broker brokers[] = {{.id = 10}, {.id = 20}, {.id = 30}};

    ck_assert_int_eq(assign_start_after(brokers, 3, 20), 1);
    ck_assert_int_eq(assign_start_after(brokers, 3, 15), 1);
    ck_assert_int_eq(assign_start_after(brokers, 3, 31), 0);
}
END_TEST

/* Brokers 0, 1, 2 in racks so that the list alternates 0, 3, 1, 5, 4, 2. */
static const struct assign_broker racked[] = {
    {0, SLICE("rack1")}, {1, SLICE("rack3")}, {2, SLICE("rack3")},
    {3, SLICE("rack2")}, {4, SLICE("rack2")}, {5, SLICE("rack1")},
};

START_TEST(racks_alternate_and_none_repeats_before_all_are_used)
{
    struct assign_request request = {
        .brokers = racked, .broker_count = 6, .partition_count = 7, .replication_factor = 3};
    static const int32_t expected[7][3] = {{0, 3, 1}, {3, 1, 5}, {1, 5, 4}, {5, 4, 2},
                                           {4, 2, 0}, {2, 0, 3}, {0, 4, 2}};
    int32_t out[7][3];

    ck_assert_int_eq(assign_replicas(&request, out[0]), ASSIGN_OK);
    ck_assert_mem_eq(out, expected, sizeof(out));
}
END_TEST

START_TEST(more_replicas_than_racks_use_every_rack_and_no_broker_twice)
{
    struct assign_request request = {
        .brokers = racked, .broker_count = 6, .partition_count = 600, .replication_factor = 5};

    for (request.start = 0; request.start < 6; request.start++) {
        int32_t out[600][5];
        request.shift = request.start;
        ck_assert_int_eq(assign_replicas(&request, out[0]), ASSIGN_OK);
        int leads[6] = {0};
        for (int p = 0; p < 600; p++) {
            ck_assert(!broker_ids_repeat((struct broker_ids){out[p], 5}));
            bool rack[4] = {false};
            for (int i = 0; i < 3; i++)
                rack[racked[out[p][i]].rack.ptr[4] - '0'] = true;
            ck_assert(rack[1] && rack[2] && rack[3]);
            leads[out[p][0]]++;
        }
        for (int b = 0; b < 6; b++)
            ck_assert_int_eq(leads[b], 100);
    }
}
END_TEST

START_TEST(what_cannot_be_placed_is_refused)
{
    int32_t out[8] = {-7};
    struct assign_request request = {.brokers = plain, .broker_count = 5, .partition_count = 1};

    ck_assert_int_eq(assign_replicas(&request, out), ASSIGN_REPLICATION);
    request.replication_factor = 6;
    ck_assert_int_eq(assign_replicas(&request, out), ASSIGN_REPLICATION);
    request.replication_factor = 1;
    request.partition_count = 0;
    ck_assert_int_eq(assign_replicas(&request, out), ASSIGN_PARTITIONS);
    request.partition_count = -1;
    ck_assert_int_eq(assign_replicas(&request, out), ASSIGN_PARTITIONS);
    struct assign_broker mixed[] = {{.id = 1, .rack = SLICE("r")}, {.id = 2}};
    request = (struct assign_request){
        .brokers = mixed, .broker_count = 2, .partition_count = 1, .replication_factor = 1};
    ck_assert_int_eq(assign_replicas(&request, out), ASSIGN_RACKS);
    ck_assert_int_eq(out[0], -7);
}
END_TEST

START_TEST(one_broker_is_enough_for_one_replica)
{
    struct assign_request request = {
        .brokers = plain + 4, .broker_count = 1, .partition_count = 3, .replication_factor = 1};
    int32_t out[3];

    ck_assert_int_eq(assign_replicas(&request, out), ASSIGN_OK);
    ck_assert(out[0] == 4 && out[1] == 4 && out[2] == 4);
}
END_TEST

UNIT(without_racks_replicas_shift_each_round, added_partitions_go_on_where_the_topic_stopped,
     the_start_is_the_first_broker_not_below_the_first_replica,
     racks_alternate_and_none_repeats_before_all_are_used,
     more_replicas_than_racks_use_every_rack_and_no_broker_twice, what_cannot_be_placed_is_refused,
     one_broker_is_enough_for_one_replica)
