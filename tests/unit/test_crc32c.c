#include "base/crc32c.h"
#include "tests/unit/unit.h"

START_TEST(known_values)
{
    uint8_t zeros[32] = {0}, ascending[32];

    for (int i = 0; i < 32; i++)
        ascending[i] = (uint8_t)i;
    /* RFC 3720, B.4. */
    ck_assert_uint_eq(crc32c(slice_of(zeros, 32)), 0x8a9136aa);
    ck_assert_uint_eq(crc32c(slice_of(ascending, 32)), 0x46dd794e);
    ck_assert_uint_eq(crc32c(SLICE("123456789")), 0xe3069283);
    ck_assert_uint_eq(crc32c(SLICE("")), 0);
}
END_TEST

START_TEST(parts_give_the_same_as_the_whole)
{
    struct slice all = SLICE("the quick brown fox jumps over the lazy dog");

    for (size_t i = 0; i <= all.len; i++) {
        uint32_t head = crc32c(slice_of(all.ptr, i));
        ck_assert_uint_eq(crc32c_more(head, slice_of(all.ptr + i, all.len - i)), crc32c(all));
    }
}
END_TEST

UNIT(known_values, parts_give_the_same_as_the_whole)
