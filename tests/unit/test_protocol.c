#include "wire/protocol.h"
#include "tests/unit/unit.h"
#include "tests/unit/wire_values.h"

/* As Kafka 3.9 in ZooKeeper mode lists them: reference/apis.md 3. */
static const char listed[] =
    "0:0-11 1:0-17 2:0-9 3:0-12 4:0-7 5:0-4 6:0-8 7:0-3 8:0-9 9:0-9 10:0-6 11:0-9 12:0-4 13:0-5 "
    "14:0-5 15:0-5 16:0-5 17:0-1 18:0-4 19:0-7 20:0-6 21:0-2 22:0-5 23:0-4 24:0-5 25:0-4 26:0-4 "
    "27:0-1 28:0-4 29:0-3 30:0-3 31:0-3 32:0-4 33:0-2 34:0-2 35:0-4 36:0-2 37:0-3 38:0-3 39:0-2 "
    "40:0-2 41:0-3 42:0-2 43:0-2 44:0-1 45:0-0 46:0-0 47:0-0 48:0-1 49:0-1 50:0-0 51:0-0 56:0-3 "
    "57:0-1 58:0-0 60:0-1 61:0-0 65:0-0 66:0-1 67:0-0 68:0-0 69:0-0 ";

START_TEST(the_apis_of_zookeeper_mode_are_those_that_kafka_lists)
{
    struct buf out;

    buf_init(&out);
    for (int i = 0; i < API_COUNT; i++) {
        const struct api_info *api = &api_infos[i];
        if (!api->is_kraft)
            buf_printf(&out, "%d:%d-%d ", api->key, api->version_min, api->version_max);
    }
    ck_assert_msg(slice_is(buf_slice(&out), listed), "%.*s", SLICE_ARGS(buf_slice(&out)));
    buf_fini(&out);
}
END_TEST

/* Kafka 3.9 has 75 apis, two headers, and 27 documents that are stored or travel within others. */
START_TEST(no_message_is_missing)
{
    ck_assert_int_eq(API_COUNT, 75);
    ck_assert_int_eq(WIRE_MESSAGE_COUNT, 179);
}
END_TEST

START_TEST(an_api_is_found_by_its_key_and_by_no_other)
{
    for (int key = -2; key < 200; key++) {
        const struct api_info *api = api_info_find(key);
        ck_assert(api == NULL || api->key == key);
    }
    ck_assert_str_eq(api_info_name(API_OFFSET_FOR_LEADER_EPOCH), "offset_for_leader_epoch");
    ck_assert_str_eq(api_info_name(52), "unknown");
    ck_assert(api_info_find(INT32_MAX) == NULL && api_info_find(INT32_MIN) == NULL);
    for (int i = 0; i < API_COUNT; i++)
        ck_assert_ptr_eq(api_info_find(api_infos[i].key), &api_infos[i]);
}
END_TEST

/* reference/apis.md 1.2; -1: never. Keys from 0. */
START_TEST(versions_become_flexible_where_kafka_says)
{
    static const int first[] = {9, 12, 6, 9, 4, 2, 6, 3, 8, 6, 3, 6,  4, 4, 4, 5, 3, -1,
                                3, 5,  4, 2, 2, 4, 3, 3, 3, 1, 3, 2,  2, 2, 4, 2, 2, 2,
                                2, 2,  2, 2, 2, 2, 2, 2, 1, 0, 0, -1, 1, 1, 0, 0};

    for (int key = 0; key < (int)(sizeof(first) / sizeof(first[0])); key++) {
        const struct api_info *api = api_info_find(key);
        int found = api->flexible_min > api->version_max ? -1 : api->flexible_min;
        ck_assert_msg(found == first[key], "%s: %d", api->name, found);
    }
    for (int key = 56; key <= 69; key++)
        ck_assert(api_info_find(key) == NULL || api_info_find(key)->flexible_min == 0);
}
END_TEST

START_TEST(header_versions_follow_with_two_exceptions)
{
    const struct api_info *shutdown = api_info_find(API_CONTROLLED_SHUTDOWN);
    const struct api_info *versions = api_info_find(API_API_VERSIONS);
    const struct api_info *metadata = api_info_find(API_METADATA);

    ck_assert_int_eq(api_info_request_header(shutdown, 0), 0);
    ck_assert_int_eq(api_info_request_header(shutdown, 2), 1);
    ck_assert_int_eq(api_info_request_header(metadata, 0), 1);
    ck_assert_int_eq(api_info_request_header(metadata, 9), 2);
    ck_assert_int_eq(api_info_response_header(metadata, 8), 0);
    ck_assert_int_eq(api_info_response_header(metadata, 9), 1);
    ck_assert_int_eq(api_info_request_header(versions, 3), 2);
    ck_assert_int_eq(api_info_response_header(versions, 3), 0);
}
END_TEST

START_TEST(error_codes_have_kafkas_names)
{
    ck_assert_int_eq(KAFKA_UNKNOWN_SERVER_ERROR, -1);
    ck_assert_int_eq(KAFKA_NONE, 0);
    ck_assert_int_eq(KAFKA_FENCED_LEADER_EPOCH, 74);
    ck_assert_str_eq(kafka_error_name(KAFKA_OFFSET_OUT_OF_RANGE), "OFFSET_OUT_OF_RANGE");
    ck_assert_str_eq(kafka_error_name(-1), "UNKNOWN_SERVER_ERROR");
    ck_assert_str_eq(kafka_error_name(-2), "UNKNOWN_SERVER_ERROR");
    ck_assert_str_eq(kafka_error_name(INT16_MAX), "UNKNOWN_SERVER_ERROR");
    ck_assert(kafka_error_is_retriable(KAFKA_NOT_LEADER_OR_FOLLOWER));
    ck_assert(!kafka_error_is_retriable(KAFKA_MESSAGE_TOO_LARGE));
}
END_TEST

UNIT(the_apis_of_zookeeper_mode_are_those_that_kafka_lists, no_message_is_missing,
     an_api_is_found_by_its_key_and_by_no_other, versions_become_flexible_where_kafka_says,
     header_versions_follow_with_two_exceptions, error_codes_have_kafkas_names)
