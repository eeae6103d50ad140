#include "base/uuid.h"
#include "tests/unit/unit.h"

START_TEST(text_and_bytes_are_the_same_id)
{
    struct uuid id = {{0x90, 0x5a, 0xf4, 0xa4, 0xda, 0x4d, 0x4c, 0xe3, 0x99, 0x64, 0xa7, 0xa1, 0xe4,
                       0xe6, 0xc9, 0x6d}};
    struct uuid back;
    char text[UUID_TEXT_LEN + 1];

    uuid_text(id, text);
    ck_assert_str_eq(text, "kFr0pNpNTOOZZKeh5ObJbQ");
    ck_assert_int_eq(uuid_parse(slice_text(text), &back), ERR_OK);
    ck_assert(uuid_equal(id, back));
}
END_TEST

START_TEST(what_is_no_id_is_refused)
{
    struct uuid out;

    ck_assert_int_eq(uuid_parse(SLICE(""), &out), ERR_INVALID);
    ck_assert_int_eq(uuid_parse(SLICE("kFr0pNpNTOOZZKeh5ObJb"), &out), ERR_INVALID);
    ck_assert_int_eq(uuid_parse(SLICE("kFr0pNpNTOOZZKeh5ObJbQ="), &out), ERR_INVALID);
    ck_assert_int_eq(uuid_parse(SLICE("kFr0pNpNTOOZZKeh5ObJ+Q"), &out), ERR_INVALID);
    ck_assert_int_eq(uuid_parse(SLICE("kFr0pNpNTOOZZKeh5ObJbR"), &out), ERR_INVALID); /* low bits */
}
END_TEST

START_TEST(a_topic_id_is_never_zero_one_or_dashed)
{
    ck_assert(!uuid_is_topic_id(UUID_ZERO));
    ck_assert(!uuid_is_topic_id((struct uuid){.bytes = {[15] = 1}}));
    ck_assert(!uuid_is_topic_id(uuid_from_random(UINT64_MAX << 58 & ~(UINT64_C(1) << 58), 5)));
    struct uuid id = uuid_from_random(UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210));
    ck_assert(uuid_is_topic_id(id));
    ck_assert_uint_eq(id.bytes[6] >> 4, 4);
    ck_assert_uint_eq(id.bytes[8] >> 6, 2);
}
END_TEST

UNIT(text_and_bytes_are_the_same_id, what_is_no_id_is_refused,
     a_topic_id_is_never_zero_one_or_dashed)
