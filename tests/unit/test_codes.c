/* The codes that requests about a partition answer with: what all share, and where one differs. */
#include "broker/api/codes.h"
#include "broker/api/fetch.h"
#include "broker/api/offsets.h"
#include "broker/api/produce.h"
#include "unit.h"
#include "wire/protocol.h"

START_TEST(what_a_partition_says_is_the_same_whoever_asks)
{
    static const struct {
        enum err err;
        int16_t code;
    } table[] = {
        {ERR_OK, KAFKA_NONE},
        {ERR_NOT_LEADER, KAFKA_NOT_LEADER_OR_FOLLOWER},
        {ERR_OFFLINE, KAFKA_KAFKA_STORAGE_ERROR},
        {ERR_IO, KAFKA_KAFKA_STORAGE_ERROR},
        {ERR_TOPIC_ID, KAFKA_INCONSISTENT_TOPIC_ID},
        {ERR_FENCED_EPOCH, KAFKA_FENCED_LEADER_EPOCH},
        {ERR_UNKNOWN_EPOCH, KAFKA_UNKNOWN_LEADER_EPOCH},
        {ERR_TIMED_OUT, KAFKA_REQUEST_TIMED_OUT},
        {ERR_CANCELLED, KAFKA_UNKNOWN_SERVER_ERROR}, /* nobody's */
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        ck_assert_int_eq(codes_of_partition(table[i].err, true), table[i].code);
        ck_assert_int_eq(produce_code(table[i].err, true), table[i].code);
        ck_assert_int_eq(fetch_code(table[i].err, true, 17), table[i].code);
        ck_assert_int_eq(offsets_code(table[i].err, true, 9), table[i].code);
    }
}
END_TEST

START_TEST(a_partition_that_the_metadata_has_is_elsewhere_another_is_nowhere)
{
    ck_assert_int_eq(produce_code(ERR_NOT_FOUND, true), KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(fetch_code(ERR_NOT_FOUND, true, 17), KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(offsets_code(ERR_NOT_FOUND, true, 9), KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(produce_code(ERR_NOT_FOUND, false), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(fetch_code(ERR_NOT_FOUND, false, 17), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(offsets_code(ERR_NOT_FOUND, false, 9), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
}
END_TEST

START_TEST(one_word_means_different_things_to_different_requests)
{
    /* A producer tries again when there is room; to a reader it is our fault. */
    ck_assert_int_eq(produce_code(ERR_FULL, true), KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(fetch_code(ERR_TOO_MANY, true, 17), KAFKA_UNKNOWN_SERVER_ERROR);
    /* A producer's own record, or one that we cannot read any more. */
    ck_assert_int_eq(produce_code(ERR_INVALID_RECORD, true), KAFKA_INVALID_RECORD);
    ck_assert_int_eq(fetch_code(ERR_INVALID_RECORD, true, 17), KAFKA_CORRUPT_MESSAGE);
    /* A codec, or a question. */
    ck_assert_int_eq(produce_code(ERR_UNSUPPORTED, true), KAFKA_UNSUPPORTED_COMPRESSION_TYPE);
    ck_assert_int_eq(offsets_code(ERR_UNSUPPORTED, true, 9), KAFKA_UNSUPPORTED_VERSION);
    ck_assert_int_eq(fetch_code(ERR_RANGE, true, 17), KAFKA_OFFSET_OUT_OF_RANGE);
}
END_TEST

START_TEST(old_versions_are_told_what_they_know)
{
    ck_assert_int_eq(fetch_code(ERR_IO, true, 5), KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(fetch_code(ERR_IO, true, 6), KAFKA_KAFKA_STORAGE_ERROR);
    ck_assert_int_eq(offsets_code(ERR_BUSY, true, 4), KAFKA_LEADER_NOT_AVAILABLE);
    ck_assert_int_eq(offsets_code(ERR_BUSY, true, 5), KAFKA_OFFSET_NOT_AVAILABLE);
}
END_TEST

UNIT(what_a_partition_says_is_the_same_whoever_asks,
     a_partition_that_the_metadata_has_is_elsewhere_another_is_nowhere,
     one_word_means_different_things_to_different_requests, old_versions_are_told_what_they_know)
