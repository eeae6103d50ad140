#include "base/buf.h"
#include "tests/unit/unit.h"

START_TEST(what_is_added_is_there_in_order)
{
    struct buf buf = {0};

    for (int i = 0; i < 1000; i++)
        buf_printf(&buf, "%d,", i);
    buf_add_text(&buf, "end");
    buf_add(&buf, NULL, 0);
    ck_assert(slice_starts_with(buf_slice(&buf), SLICE("0,1,2,3,")));
    ck_assert_uint_eq(buf.len, 10 * 2 + 90 * 3 + 900 * 4 + 3);
    ck_assert_int_eq(memcmp(buf.ptr + buf.len - 7, "999,end", 7), 0);
    buf_fini(&buf);
}
END_TEST

START_TEST(an_empty_buf_is_an_empty_slice_and_not_null)
{
    struct buf buf = {0};

    ck_assert(!slice_is_null(buf_slice(&buf)));
    ck_assert_uint_eq(buf_slice(&buf).len, 0);
}
END_TEST

START_TEST(dropping_the_head_keeps_the_rest)
{
    struct buf buf = {0};

    buf_add_text(&buf, "abcdef");
    buf_drop_head(&buf, 0);
    buf_drop_head(&buf, 2);
    ck_assert(slice_is(buf_slice(&buf), "cdef"));
    buf_drop_head(&buf, 4);
    ck_assert_uint_eq(buf.len, 0);
    buf_fini(&buf);
}
END_TEST

UNIT(what_is_added_is_there_in_order, an_empty_buf_is_an_empty_slice_and_not_null,
     dropping_the_head_keeps_the_rest)
