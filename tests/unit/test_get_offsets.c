#include "tests/unit/unit.h"
#include "tools/delete_records.h"
#include "tools/get_offsets.h"

START_TEST(times_have_names_and_numbers)
{
    static const char *const names[] = {"latest", "earliest", "max-timestamp", "earliest-local",
                                        "latest-tiered"};
    struct buf message = {0};
    int64_t time = 0;

    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(get_offsets_time(names[i], &time, &message), ERR_OK);
        ck_assert_int_eq(time, -1 - i);
    }
    ck_assert_int_eq(get_offsets_time("-5", &time, &message), ERR_OK);
    ck_assert_int_eq(time, -5);
    ck_assert_int_eq(get_offsets_time("1700000000000", &time, &message), ERR_OK);
    ck_assert_int_eq(time, 1700000000000);
    ck_assert_uint_eq(message.len, 0);
    ck_assert_int_eq(get_offsets_time("-6", &time, &message), ERR_INVALID);
    ck_assert_int_eq(get_offsets_time("soon", &time, &message), ERR_INVALID);
    ck_assert_int_eq(time, 1700000000000);
    buf_fini(&message);
}
END_TEST

static bool has(const char *rules, const char *topic, const char *partitions, const char *name,
                int32_t partition)
{
    struct offsets_wanted *wanted = NULL;
    struct buf message = {0};

    ck_assert_int_eq(offsets_wanted_create(rules, topic, partitions, &wanted, &message), ERR_OK);
    bool result = offsets_wanted_has(wanted, slice_text(name), partition);
    offsets_wanted_destroy(&wanted);
    return result;
}

START_TEST(partitions_are_chosen_by_name_and_by_range)
{
    struct offsets_wanted *wanted = NULL;
    struct buf message = {0};

    ck_assert(has(NULL, NULL, NULL, "t", 7));
    ck_assert(has(NULL, "t.*", NULL, "topic", 0) && !has(NULL, "t.*", NULL, "a.t", 0));
    ck_assert(has(NULL, "t", "1,3", "t", 3) && !has(NULL, "t", "1,3", "t", 2));
    ck_assert(has(NULL, NULL, "1", "any", 1) && !has(NULL, NULL, "1", "any", 0));
    ck_assert(has("t:0-3,u:1", NULL, NULL, "t", 2) && !has("t:0-3,u:1", NULL, NULL, "t", 3));
    ck_assert(has("t:0-3,u:1", NULL, NULL, "u", 1) && !has("t:0-3,u:1", NULL, NULL, "u", 0));
    ck_assert(has("t:4-", NULL, NULL, "t", 99) && !has("t:4-", NULL, NULL, "t", 3));
    ck_assert(has("t:-4", NULL, NULL, "t", 3) && !has("t:-4", NULL, NULL, "t", 4));
    ck_assert(has(":2", NULL, NULL, "any", 2) && !has(":2", NULL, NULL, "any", 1));
    ck_assert(has("t", NULL, NULL, "t", 5) && !has("t", NULL, NULL, "u", 5));
    ck_assert_int_eq(offsets_wanted_create("t:x", NULL, NULL, &wanted, &message), ERR_INVALID);
    ck_assert_int_eq(offsets_wanted_create("t:1", "t", NULL, &wanted, &message), ERR_INVALID);
    ck_assert_int_eq(offsets_wanted_create(NULL, "(", NULL, &wanted, &message), ERR_INVALID);
    ck_assert_int_eq(offsets_wanted_create(NULL, "t", "0,,1", &wanted, &message), ERR_INVALID);
    ck_assert_ptr_null(wanted);
    buf_fini(&message);
}
END_TEST

START_TEST(what_has_no_offset_is_left_out)
{
    struct led_part parts[] = {
        {.at = {SLICE("t"), 0}, .answer = 42},
        {.at = {SLICE("t"), 1}, .answer = -1},
        {.at = {SLICE("t"), 2}, .code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION, .answer = 7},
    };
    struct buf out = {0}, errors = {0};

    get_offsets_print(parts, 3, &out, &errors);
    ck_assert(slice_is(buf_slice(&out), "t:0:42\n"));
    ck_assert(slice_is(buf_slice(&errors), "Skip getting offsets for topic-partition t-2 due to "
                                           "error: UNKNOWN_TOPIC_OR_PARTITION\n"));
    buf_fini(&out);
    buf_fini(&errors);
}
END_TEST

START_TEST(offsets_to_delete_below_are_read_from_json)
{
    static const char *const wrong[] = {
        "{",
        "{\"partitions\":[],\"version\":1}",
        "{\"partitions\":[{\"topic\":\"t\",\"partition\":0}]}",
        "{\"partitions\":[{\"topic\":\"t\",\"partition\":-1,\"offset\":1}]}",
        "{\"partitions\":[{\"topic\":\"t\",\"partition\":0,\"offset\":1}],\"version\":2}",
        "{\"partitions\":[{\"topic\":\"t\",\"partition\":0,\"offset\":1},"
        "{\"topic\":\"t\",\"partition\":0,\"offset\":2}]}",
    };
    struct led_part *parts = NULL;
    struct arena arena;
    struct buf message = {0}, out = {0};
    int count = 0;

    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(delete_records_read(
                         SLICE("{\"partitions\":[{\"topic\":\"u\",\"partition\":1,\"offset\":-1}"
                               ",{\"topic\":\"t\",\"partition\":0,\"offset\":5}],\"version\":1}"),
                         &arena, &parts, &count, &message),
                     ERR_OK);
    ck_assert_int_eq(count, 2);
    ck_assert(slice_is(parts[0].at.topic, "t"));
    ck_assert_int_eq(parts[0].wanted, 5);
    ck_assert_int_eq(parts[1].at.partition, 1);
    ck_assert_int_eq(parts[1].wanted, -1);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        buf_clear(&message);
        ck_assert_int_eq(
            delete_records_read(slice_text(wrong[i]), &arena, &parts, &count, &message),
            ERR_INVALID);
        ck_assert_uint_gt(message.len, 0);
    }
    parts[0].answer = 5;
    parts[1].code = KAFKA_POLICY_VIOLATION;
    ck_assert(!delete_records_print(parts, 2, &out));
    ck_assert(slice_is(buf_slice(&out), "partition: t-0\tlow_watermark: 5\n"
                                        "partition: u-1\terror: POLICY_VIOLATION\n"));
    ck_assert(delete_records_print(parts, 1, &out));
    buf_fini(&message);
    buf_fini(&out);
    arena_fini(&arena);
}
END_TEST

UNIT(times_have_names_and_numbers, partitions_are_chosen_by_name_and_by_range,
     what_has_no_offset_is_left_out, offsets_to_delete_below_are_read_from_json)
