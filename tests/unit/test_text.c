#include "base/text.h"
#include "tests/unit/unit.h"

START_TEST(numbers_are_read_strictly)
{
    int64_t out = 77;

    ck_assert_int_eq(text_int(SLICE("-9223372036854775808"), INT64_MIN, INT64_MAX, &out), ERR_OK);
    ck_assert_int_eq(out, INT64_MIN);
    ck_assert_int_eq(text_int(SLICE("9223372036854775807"), INT64_MIN, INT64_MAX, &out), ERR_OK);
    ck_assert_int_eq(out, INT64_MAX);
    out = 77;
    ck_assert_int_eq(text_int(SLICE("9223372036854775808"), INT64_MIN, INT64_MAX, &out), ERR_RANGE);
    ck_assert_int_eq(text_int(SLICE("99999999999999999999999"), 0, 10, &out), ERR_RANGE);
    ck_assert_int_eq(text_int(SLICE("11"), 0, 10, &out), ERR_RANGE);
    const char *const bad[] = {"", "-", "+", " 1", "1 ", "0x1", "1.0", "--1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(text_int(slice_text(bad[i]), INT64_MIN, INT64_MAX, &out), ERR_INVALID);
    ck_assert_int_eq(out, 77); /* untouched */
}
END_TEST

START_TEST(the_hash_is_java_s)
{
    ck_assert_int_eq(text_java_hash(SLICE("")), 0);
    ck_assert_int_eq(text_java_hash(SLICE("my-group")), -1906497762);
    ck_assert_int_eq(text_java_hash(SLICE("hello world, this overflows")), 161437415);
    ck_assert_int_eq(text_java_hash(SLICE("\xc3\xa9")), 0xe9);                         /* é */
    ck_assert_int_eq(text_java_hash(SLICE("\xf0\x9f\x98\x80")), 0xd83d * 31 + 0xde00); /* 😀 */
    ck_assert_int_eq(text_java_hash(SLICE("\xff")), 0xfffd);
}
END_TEST

START_TEST(topic_names)
{
    char longest[250];

    memset(longest, 'a', sizeof(longest));
    ck_assert(text_is_topic_name(slice_of(longest, 249)));
    ck_assert(!text_is_topic_name(slice_of(longest, 250)));
    ck_assert(text_is_topic_name(SLICE("A.b_c-9")));
    ck_assert(text_is_topic_name(SLICE("...")));
    const char *const bad[] = {"", ".", "..", "a b", "a/b", "\xc3\xa9", "a\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert(!text_is_topic_name(slice_text(bad[i])));
    ck_assert(!text_is_topic_name(slice_of("a\0b", 3)));
}
END_TEST

START_TEST(trim_takes_white_space_at_both_ends)
{
    ck_assert(slice_is(text_trim(SLICE(" \t a b \n")), "a b"));
    ck_assert_uint_eq(text_trim(SLICE("  ")).len, 0);
}
END_TEST

UNIT(numbers_are_read_strictly, the_hash_is_java_s, topic_names,
     trim_takes_white_space_at_both_ends)
