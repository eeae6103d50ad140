#include "base/slice.h"
#include "tests/unit/unit.h"

START_TEST(null_is_not_empty)
{
    ck_assert(!slice_equal(SLICE_NULL, SLICE("")));
    ck_assert(slice_equal(SLICE_NULL, SLICE_NULL));
    ck_assert(slice_equal(SLICE(""), slice_of("x", 0)));
    ck_assert(slice_is_null(slice_text(NULL)));
}
END_TEST

START_TEST(take_moves_nothing_when_there_is_too_little)
{
    struct slice from = SLICE("abc"), head = SLICE("untouched");

    ck_assert_int_eq(slice_take(&from, 4, &head), ERR_TRUNCATED);
    ck_assert(slice_is(head, "untouched") && slice_is(from, "abc"));
    ck_assert_int_eq(slice_take(&from, 2, &head), ERR_OK);
    ck_assert(slice_is(head, "ab") && slice_is(from, "c"));
}
END_TEST

START_TEST(cut_splits_at_the_first_separator_only)
{
    struct slice from = SLICE("a:b:c"), head = SLICE_NULL;

    ck_assert(slice_cut(&from, ':', &head));
    ck_assert(slice_is(head, "a") && slice_is(from, "b:c"));
    from = SLICE("abc");
    ck_assert(!slice_cut(&from, ':', &head) && slice_is(from, "abc"));
}
END_TEST

START_TEST(order_is_that_of_bytes_and_a_prefix_comes_first)
{
    ck_assert_int_lt(slice_compare(SLICE("ab"), SLICE("abc")), 0);
    ck_assert_int_gt(slice_compare(SLICE("\xff"), SLICE("a")), 0);
    ck_assert_int_eq(slice_compare(SLICE_NULL, SLICE("")), 0);
}
END_TEST

UNIT(null_is_not_empty, take_moves_nothing_when_there_is_too_little,
     cut_splits_at_the_first_separator_only, order_is_that_of_bytes_and_a_prefix_comes_first)
