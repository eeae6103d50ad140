#include "wire/prim.h"
#include "tests/unit/unit.h"

static struct reader read_text(const char *bytes, size_t len)
{
    return reader_of(slice_of(bytes, len));
}

START_TEST(numbers_are_big_endian)
{
    struct reader r =
        reader_of(SLICE("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff"));

    ck_assert_int_eq(reader_int16(&r), 0x0102);
    ck_assert_int_eq(reader_int32(&r), 0x03040506);
    ck_assert_int_eq(reader_int64(&r), 0x0708090a0b0c0d0e);
    ck_assert_int_eq(reader_int8(&r), -1);
    ck_assert_int_eq(r.err, ERR_OK);
    ck_assert_uint_eq(reader_left(&r), 0);
}
END_TEST

START_TEST(the_first_error_stays_and_all_later_reads_are_zero)
{
    struct reader r = reader_of(SLICE("\x01\x02\x03"));

    ck_assert_int_eq(reader_int32(&r), 0);
    ck_assert_int_eq(r.err, ERR_TRUNCATED);
    ck_assert_int_eq(reader_int8(&r), 0); /* though a byte would have been there */
    reader_fail(&r, ERR_CORRUPT);
    ck_assert_int_eq(r.err, ERR_TRUNCATED);
    ck_assert(slice_is_null(reader_bytes(&r, 1)));
    ck_assert_int_eq(reader_length32(&r), -1); /* so that nothing is allocated */
    ck_assert_int_eq(reader_length_compact(&r), -1);
}
END_TEST

START_TEST(a_huge_length_does_not_wrap)
{
    struct reader r = reader_of(SLICE("abc"));

    ck_assert(slice_is_null(reader_bytes(&r, SIZE_MAX)));
    ck_assert_int_eq(r.err, ERR_TRUNCATED);
}
END_TEST

START_TEST(nothing_to_read_is_no_error_until_something_is_read)
{
    struct reader r = reader_of(SLICE_NULL);

    ck_assert(!slice_is_null(reader_bytes(&r, 0)));
    ck_assert_int_eq(r.err, ERR_OK);
    ck_assert_uint_eq(reader_uvarint(&r), 0);
    ck_assert_int_eq(r.err, ERR_TRUNCATED);
}
END_TEST

START_TEST(varints_are_written_as_short_as_they_are_sized_and_read_back)
{
    static const int64_t values[] = {
        0,    1,     -1,        63,        64,        -64,       -65,       8191,
        8192, -8193, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1LL << 48, -(1LL << 55)};
    struct buf out;

    buf_init(&out);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        buf_clear(&out);
        prim_add_varlong(&out, values[i]);
        ck_assert_uint_eq(out.len, prim_varlong_size(values[i]));
        struct reader r = reader_of(buf_slice(&out));
        ck_assert_int_eq(reader_varlong(&r), values[i]);
        ck_assert(r.err == ERR_OK && reader_left(&r) == 0);
        if (values[i] != (int32_t)values[i]) continue;
        r = reader_of(buf_slice(&out));
        ck_assert_int_eq(reader_varint(&r), values[i]);
        ck_assert(r.err == ERR_OK && reader_left(&r) == 0);
    }
    buf_fini(&out);
}
END_TEST

START_TEST(sizes_change_at_each_seventh_bit)
{
    for (int bits = 0; bits < 64; bits++) {
        uint64_t least = UINT64_C(1) << bits;
        ck_assert_uint_eq(prim_uvarlong_size(least), (size_t)bits / 7 + 1);
        ck_assert_uint_eq(prim_uvarlong_size(least - 1),
                          bits == 0 ? 1 : (size_t)(bits - 1) / 7 + 1);
    }
}
END_TEST

START_TEST(a_varint_that_never_ends_is_corrupt)
{
    struct reader r = read_text("\xff\xff\xff\xff\xff\x01", 6);
    reader_uvarint(&r);
    ck_assert_int_eq(r.err, ERR_CORRUPT);

    r = read_text("\xff\xff\xff\xff\x0f", 5);
    ck_assert_uint_eq(reader_uvarint(&r), UINT32_MAX);
    ck_assert_int_eq(r.err, ERR_OK);

    r = read_text("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
    reader_uvarlong(&r);
    ck_assert_int_eq(r.err, ERR_CORRUPT);

    r = read_text("\xff\xff", 2);
    reader_uvarint(&r);
    ck_assert_int_eq(r.err, ERR_TRUNCATED);
}
END_TEST

START_TEST(any_negative_length_is_null)
{
    struct reader r = read_text("\x80\x00\x80\x00\x00\x00\x00\xff\xff\xff\xff\x0f", 12);

    ck_assert_int_eq(reader_length16(&r), -1);
    ck_assert_int_eq(reader_length32(&r), -1);
    ck_assert_int_eq(reader_length_compact(&r), -1); /* 0 */
    ck_assert_int_eq(reader_length_compact(&r), -1); /* 2^32 - 1 */
    ck_assert_int_eq(r.err, ERR_OK);
}
END_TEST

START_TEST(null_and_empty_are_written_differently)
{
    struct buf out;

    buf_init(&out);
    prim_add_string(&out, SLICE_NULL);
    prim_add_string(&out, SLICE(""));
    prim_add_compact(&out, SLICE_NULL);
    prim_add_compact(&out, SLICE("a"));
    prim_add_bytes(&out, SLICE_NULL);
    ck_assert(slice_equal(buf_slice(&out), SLICE("\xff\xff\0\0\0\x02"
                                                 "a\xff\xff\xff\xff")));
    buf_fini(&out);
}
END_TEST

UNIT(numbers_are_big_endian, the_first_error_stays_and_all_later_reads_are_zero,
     a_huge_length_does_not_wrap, nothing_to_read_is_no_error_until_something_is_read,
     varints_are_written_as_short_as_they_are_sized_and_read_back, sizes_change_at_each_seventh_bit,
     a_varint_that_never_ends_is_corrupt, any_negative_length_is_null,
     null_and_empty_are_written_differently)
