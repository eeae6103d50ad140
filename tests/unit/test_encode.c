#include "controller/encode.h"
#include "controller/outbox.h"
#include "tests/unit/unit.h"
#include "wire/gen/leader_and_isr.h"
#include "wire/gen/stop_replica.h"
#include "wire/gen/update_metadata.h"
#include "wire/protocol.h"

static int32_t isr[] = {1, 2};
static struct control_partition partitions[3];
static struct control_item items[3];
static struct control_endpoint endpoint = {"PLAINTEXT", "h1", 9092, SECURITY_PLAINTEXT};
static struct control_broker live = {
    .id = 1, .rack = "r1", .endpoints = &endpoint, .endpoint_count = 1};
static struct control control;
static struct arena arena;
static struct buf bytes;

/* orders-0, orders-1, zebra-0 */
static void begin(enum control_kind kind)
{
    const char *names[] = {"orders", "orders", "zebra"};

    arena_init(&arena, 1 << 20);
    buf_clear(&bytes);
    for (int32_t i = 0; i < 3; i++) {
        partitions[i] = (struct control_partition){
            .topic = slice_text(names[i]),
            .topic_id = {{(uint8_t)(names[i][0])}},
            .partition = i == 1 ? 1 : 0,
            .controller_epoch = 2,
            .leader = 1,
            .leader_epoch = 4,
            .partition_epoch = 6,
            .isr = {isr, 2, 2},
            .replicas = {isr, 2, 2},
        };
        items[i] = (struct control_item){
            .partition = &partitions[i], .is_new = i == 1, .is_delete = i == 1, .leader_epoch = 4, .deletion = 7};
    }
    control = (struct control){.kind = kind,
                               .broker = 2,
                               .broker_epoch = 77,
                               .controller_epoch = 5,
                               .items = items,
                               .count = 3,
                               .live = &live,
                               .live_count = 1};
}

static void end(void)
{
    arena_fini(&arena);
    buf_fini(&bytes);
}

START_TEST(versions_follow_from_the_level)
{
    struct control_versions v = encode_versions(LEVEL_LATEST);

    ck_assert(v.leader_and_isr == 7 && v.update_metadata == 8 && v.stop_replica == 4);
    v = encode_versions(LEVEL_2_4_IV1);
    ck_assert(v.leader_and_isr == 4 && v.update_metadata == 6 && v.stop_replica == 2);
    v = encode_versions(LEVEL_2_8_IV1);
    ck_assert(v.leader_and_isr == 5 && v.update_metadata == 7 && v.stop_replica == 3);
    v = encode_versions(LEVEL_3_2_IV0);
    ck_assert(v.leader_and_isr == 6 && v.update_metadata == 7 && v.stop_replica == 3);
}
END_TEST

START_TEST(leader_and_isr_is_grouped_by_topic_from_version_2)
{
    struct leader_and_isr_request out;

    begin(CONTROL_LEADER_AND_ISR);
    encode_request(&bytes, &control, 7, 101, false);
    ck_assert_int_eq(wire_read(buf_slice(&bytes), 7, &leader_and_isr_request_wire, &arena, &out),
                     ERR_OK);
    ck_assert_int_eq(out.controller_id, 101);
    ck_assert_int_eq(out.controller_epoch, 5);
    ck_assert_int_eq(out.broker_epoch, 77);
    ck_assert_int_eq(out.topic_states.count, 2);
    ck_assert_int_eq(out.topic_states.at[0].partition_states.count, 2);
    ck_assert(out.topic_states.at[0].partition_states.at[1].is_new);
    ck_assert_int_eq(out.topic_states.at[0].partition_states.at[0].controller_epoch, 2);
    ck_assert_int_eq(out.topic_states.at[0].partition_states.at[0].partition_epoch, 6);
    ck_assert(slice_is(out.topic_states.at[1].topic_name, "zebra"));
    ck_assert_int_eq(out.live_leaders.count, 1);
    ck_assert_int_eq(out.live_leaders.at[0].port, 9092);
    end();
}
END_TEST

START_TEST(the_oldest_layouts_are_flat)
{
    struct leader_and_isr_request leader;
    struct update_metadata_request update;

    begin(CONTROL_LEADER_AND_ISR);
    encode_request(&bytes, &control, 0, 101, false);
    ck_assert_int_eq(wire_read(buf_slice(&bytes), 0, &leader_and_isr_request_wire, &arena, &leader),
                     ERR_OK);
    ck_assert_int_eq(leader.ungrouped_partition_states.count, 3);
    ck_assert(slice_is(leader.ungrouped_partition_states.at[2].topic_name, "zebra"));
    end();
    begin(CONTROL_UPDATE_METADATA);
    encode_request(&bytes, &control, 0, 101, false);
    ck_assert_int_eq(
        wire_read(buf_slice(&bytes), 0, &update_metadata_request_wire, &arena, &update), ERR_OK);
    ck_assert_int_eq(update.ungrouped_partition_states.count, 3);
    ck_assert(slice_is(update.live_brokers.at[0].v0_host, "h1"));
    end();
}
END_TEST

START_TEST(metadata_names_brokers_with_all_their_endpoints)
{
    struct update_metadata_request out;

    begin(CONTROL_UPDATE_METADATA);
    encode_request(&bytes, &control, 8, 101, false);
    ck_assert_int_eq(wire_read(buf_slice(&bytes), 8, &update_metadata_request_wire, &arena, &out),
                     ERR_OK);
    ck_assert_int_eq(out.topic_states.count, 2);
    ck_assert_int_eq(out.live_brokers.count, 1);
    ck_assert(slice_is(out.live_brokers.at[0].rack, "r1"));
    ck_assert(slice_is(out.live_brokers.at[0].endpoints.at[0].listener, "PLAINTEXT"));
    ck_assert_int_eq(out.type, 0);
    end();
}
END_TEST

START_TEST(an_old_stop_has_one_flag_and_is_sent_twice)
{
    struct stop_replica_request out;

    begin(CONTROL_STOP_REPLICA);
    ck_assert(!encode_is_split(&control, 3));
    ck_assert(encode_is_split(&control, 2));
    encode_request(&bytes, &control, 2, 101, false);
    ck_assert_int_eq(wire_read(buf_slice(&bytes), 2, &stop_replica_request_wire, &arena, &out),
                     ERR_OK);
    ck_assert(!out.delete_partitions);
    ck_assert_int_eq(out.topics.count, 2);
    ck_assert_int_eq(out.topics.at[0].partition_indexes.count, 1);
    ck_assert_int_eq(out.topics.at[0].partition_indexes.at[0], 0);
    buf_clear(&bytes);
    encode_request(&bytes, &control, 2, 101, true);
    ck_assert_int_eq(wire_read(buf_slice(&bytes), 2, &stop_replica_request_wire, &arena, &out),
                     ERR_OK);
    ck_assert(out.delete_partitions);
    ck_assert_int_eq(out.topics.count, 1);
    ck_assert_int_eq(out.topics.at[0].partition_indexes.at[0], 1);
    end();
}
END_TEST

START_TEST(only_ok_and_storage_error_mean_something_in_a_leader_answer)
{
    struct leader_and_isr_response_partition_error errors[] = {
        {.partition_index = 0, .error_code = KAFKA_STALE_CONTROLLER_EPOCH},
        {.partition_index = 1, .error_code = KAFKA_KAFKA_STORAGE_ERROR}};
    struct leader_and_isr_response_topic topic = {.topic_id = {{'o'}},
                                                  .partition_errors = {errors, 2}};
    struct leader_and_isr_response response = {.topics = {&topic, 1}};
    enum err err;
    int16_t error;

    begin(CONTROL_LEADER_AND_ISR);
    wire_write(&bytes, 7, &leader_and_isr_response_wire, &response);
    struct event *event = encode_read_answer(&control, 7, buf_slice(&bytes), &err, &error);
    ck_assert_ptr_nonnull(event);
    ck_assert_int_eq(event->broker, 2);
    ck_assert_int_eq(event->count, 1);
    ck_assert_int_eq(event->items[0].partition, 1);
    ck_assert(event->items[0].is_storage_error);
    event_destroy(&event);

    /* Refused as a whole: nothing follows. */
    response.error_code = KAFKA_STALE_BROKER_EPOCH;
    buf_clear(&bytes);
    wire_write(&bytes, 7, &leader_and_isr_response_wire, &response);
    ck_assert_ptr_null(encode_read_answer(&control, 7, buf_slice(&bytes), &err, &error));
    ck_assert_int_eq(error, KAFKA_STALE_BROKER_EPOCH);

    /* Cut short. */
    ck_assert_ptr_null(
        encode_read_answer(&control, 7, slice_of(bytes.ptr, bytes.len - 1), &err, &error));
    ck_assert_int_ne(err, ERR_OK);
    end();
}
END_TEST

START_TEST(a_stop_answer_counts_for_what_was_to_be_deleted)
{
    struct stop_replica_response_partition_error errors[] = {
        {SLICE("orders"), 0, KAFKA_NONE},
        {SLICE("orders"), 1, KAFKA_KAFKA_STORAGE_ERROR},
        {SLICE("unknown"), 1, KAFKA_NONE}};
    struct stop_replica_response response = {.partition_errors = {errors, 3}};
    enum err err;
    int16_t error;

    begin(CONTROL_STOP_REPLICA);
    wire_write(&bytes, 4, &stop_replica_response_wire, &response);
    struct event *event = encode_read_answer(&control, 4, buf_slice(&bytes), &err, &error);
    ck_assert_ptr_nonnull(event);
    ck_assert_int_eq(event->count, 1);
    ck_assert_int_eq(event->items[0].partition, 1);
    ck_assert(event->items[0].is_error);
    ck_assert_uint_eq(event->items[0].deletion, 7); /* which order it answers */
    event_destroy(&event);
    end();
}
END_TEST

UNIT(versions_follow_from_the_level, leader_and_isr_is_grouped_by_topic_from_version_2,
     the_oldest_layouts_are_flat, metadata_names_brokers_with_all_their_endpoints,
     an_old_stop_has_one_flag_and_is_sent_twice,
     only_ok_and_storage_error_mean_something_in_a_leader_answer,
     a_stop_answer_counts_for_what_was_to_be_deleted)
