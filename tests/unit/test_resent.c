/* An answer to a request of which an earlier attempt may have been carried out. */
#include "broker/api/resent.h"
#include "tests/unit/unit.h"
#include "wire/protocol.h"

START_TEST(what_was_not_there_before_was_created_by_us)
{
    ck_assert_int_eq(resent_create(KAFKA_TOPIC_ALREADY_EXISTS, RESENT_ABSENT), KAFKA_NONE);
    ck_assert_int_eq(resent_create(KAFKA_TOPIC_ALREADY_EXISTS, 0), KAFKA_TOPIC_ALREADY_EXISTS);
    ck_assert_int_eq(resent_create(KAFKA_TOPIC_ALREADY_EXISTS, 3), KAFKA_TOPIC_ALREADY_EXISTS);
    ck_assert_int_eq(resent_create(KAFKA_INVALID_CONFIG, RESENT_ABSENT), KAFKA_INVALID_CONFIG);
    ck_assert_int_eq(resent_create(KAFKA_NONE, 3), KAFKA_NONE);
}
END_TEST

START_TEST(what_was_there_before_was_deleted_by_us)
{
    ck_assert_int_eq(resent_delete(KAFKA_UNKNOWN_TOPIC_OR_PARTITION, 3), KAFKA_NONE);
    ck_assert_int_eq(resent_delete(KAFKA_UNKNOWN_TOPIC_ID, 3), KAFKA_NONE);
    ck_assert_int_eq(resent_delete(KAFKA_UNKNOWN_TOPIC_OR_PARTITION, RESENT_ABSENT),
                     KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(resent_delete(KAFKA_TOPIC_DELETION_DISABLED, 3),
                     KAFKA_TOPIC_DELETION_DISABLED);
}
END_TEST

START_TEST(what_was_smaller_before_was_grown_by_us)
{
    ck_assert_int_eq(resent_grow(KAFKA_INVALID_PARTITIONS, 3, 6), KAFKA_NONE);
    ck_assert_int_eq(resent_grow(KAFKA_INVALID_PARTITIONS, 6, 6), KAFKA_INVALID_PARTITIONS);
    ck_assert_int_eq(resent_grow(KAFKA_INVALID_PARTITIONS, 8, 6), KAFKA_INVALID_PARTITIONS);
    ck_assert_int_eq(resent_grow(KAFKA_INVALID_PARTITIONS, RESENT_ABSENT, 6),
                     KAFKA_INVALID_PARTITIONS);
    ck_assert_int_eq(resent_grow(KAFKA_REASSIGNMENT_IN_PROGRESS, 3, 6),
                     KAFKA_REASSIGNMENT_IN_PROGRESS);
}
END_TEST

UNIT(what_was_not_there_before_was_created_by_us, what_was_there_before_was_deleted_by_us,
     what_was_smaller_before_was_grown_by_us)
