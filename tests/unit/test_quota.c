/* tests/unit/test_quota.c - rates over windows, and who is throttled. */
#include "cluster/quota.h"
#include "cluster/throttled.h"
#include "unit.h"

static struct instant at(int64_t ms)
{
    return (struct instant){(1000000 + ms) * 1000000};
}

START_TEST(a_rate_is_what_the_windows_have_by_their_time)
{
    struct rate rate;

    rate_init(&rate, 11, 1000);
    ck_assert_int_eq(rate_per_second(&rate, at(0)), 0);
    rate_record(&rate, 500, at(0));
    ck_assert_int_eq(rate_per_second(&rate, at(1)), 500); /* at least one window's time */
    ck_assert_int_eq(rate_per_second(&rate, at(5000)), 100);
    rate_record(&rate, 1500, at(5000));
    ck_assert_int_eq(rate_per_second(&rate, at(5000)), 400);
    ck_assert_int_eq(rate_per_second(&rate, at(10999)), 181);
    /* The first window is eleven seconds old and counts no more. */
    ck_assert_int_eq(rate_per_second(&rate, at(11000)), 250);
    ck_assert_int_eq(rate_per_second(&rate, at(16000)), 0);
    rate_fini(&rate);
}
END_TEST

START_TEST(windows_that_come_round_again_are_empty)
{
    struct rate rate;

    rate_init(&rate, 3, 1000);
    for (int i = 0; i < 100; i++)
        rate_record(&rate, 1000, at(i * 1000));
    /* The kept ones began at 97, 98 and 99 s. */
    ck_assert_int_eq(rate_per_second(&rate, at(99000)), 1500);
    ck_assert_int_eq(rate_per_second(&rate, at(99999)), 1000);
    rate_fini(&rate);
}
END_TEST

START_TEST(a_bound_is_exceeded_only_above_it)
{
    struct rate rate;

    rate_init(&rate, 11, 1000);
    rate_record(&rate, 1000, at(0));
    ck_assert(!rate_is_above(&rate, 1000, at(0)));
    ck_assert(rate_is_above(&rate, 999, at(0)));
    ck_assert(!rate_is_above(&rate, 999, at(1002)));
    ck_assert(!rate_is_above(&rate, INT64_MAX, at(0)));
    rate_record(&rate, INT64_MAX / 2, at(1));
    ck_assert(rate_is_above(&rate, INT64_MAX / 1000, at(20)));
    rate_fini(&rate);
}
END_TEST

START_TEST(who_is_above_waits_until_the_rate_is_down)
{
    struct rate rate;

    rate_init(&rate, 11, 1000);
    rate_record(&rate, 3000, at(0));
    ck_assert_int_eq(rate_throttle_ms(&rate, 3000, at(0)), 0);
    ck_assert_int_eq(rate_throttle_ms(&rate, 1000, at(0)), 2000);
    ck_assert_int_eq(rate_throttle_ms(&rate, 1000, at(2500)), 500);
    ck_assert_int_eq(rate_throttle_ms(&rate, 1000, at(3000)), 0);
    rate_fini(&rate);
}
END_TEST

START_TEST(a_total_counts_from_the_first_look_and_gaps_are_spread)
{
    struct rate rate;
    struct rate_tally tally = {0};

    rate_init(&rate, 11, 1000);
    rate_follow(&rate, &tally, 0, at(0));
    rate_follow(&rate, &tally, 10000, at(10000)); /* 1000 a second, seen only now */
    ck_assert_int_le(rate_per_second(&rate, at(10000)), 1200);
    ck_assert_int_ge(rate_per_second(&rate, at(10000)), 900);
    rate_follow(&rate, &tally, 10500, at(10500));
    ck_assert_int_le(rate_per_second(&rate, at(10500)), 1200);
    /* An hour's worth is not one window's. */
    rate_follow(&rate, &tally, 10500 + 3600 * 1000, at(10500 + 3600 * 1000));
    ck_assert_int_le(rate_per_second(&rate, at(10500 + 3600 * 1000)), 1200);
    ck_assert_int_ge(rate_per_second(&rate, at(10500 + 3600 * 1000)), 900);
    rate_fini(&rate);
}
END_TEST

START_TEST(the_list_names_partitions_of_brokers)
{
    struct throttled throttled, copy;

    throttled_read(SLICE("5:1, 0:1,1:2,x,3:,7:1x,4:1"), 1, &throttled);
    ck_assert_int_eq(throttled.count, 3);
    ck_assert(throttled_has(&throttled, 0));
    ck_assert(!throttled_has(&throttled, 1));
    ck_assert(!throttled_has(&throttled, 3));
    ck_assert(throttled_has(&throttled, 4));
    ck_assert(throttled_has(&throttled, 5));
    ck_assert(!throttled_has(&throttled, 7));
    throttled_copy(&throttled, &copy);
    throttled_fini(&throttled);
    ck_assert(!throttled_has(&throttled, 5));
    ck_assert(throttled_has(&copy, 5));
    throttled_fini(&copy);
}
END_TEST

START_TEST(a_star_is_all_and_nothing_is_none)
{
    struct throttled throttled;

    throttled_read(SLICE(" * "), 1, &throttled);
    ck_assert(throttled_has(&throttled, 12345));
    throttled_fini(&throttled);
    throttled_read(SLICE_NULL, 1, &throttled);
    ck_assert(!throttled_has(&throttled, 0));
    throttled_read(SLICE(""), 1, &throttled);
    ck_assert(!throttled_has(&throttled, 0));
    throttled_fini(&throttled);
}
END_TEST

UNIT(a_rate_is_what_the_windows_have_by_their_time, windows_that_come_round_again_are_empty,
     a_bound_is_exceeded_only_above_it, who_is_above_waits_until_the_rate_is_down,
     a_total_counts_from_the_first_look_and_gaps_are_spread, the_list_names_partitions_of_brokers,
     a_star_is_all_and_nothing_is_none)
