#include "runtime/metrics.h"
#include "tests/unit/unit.h"

START_TEST(cells_of_one_name_are_summed_and_lines_are_in_order)
{
    struct metrics *metrics = metrics_create();
    struct counter one = {0}, two = {0}, other = {0};
    struct gauge gauge = {0};
    struct buf out;
    int64_t value = 0;

    buf_init(&out);
    metrics_add_counter(metrics, &one, "b_total", "topic=\"x\"", "Bytes.");
    metrics_add_gauge(metrics, &gauge, "a_now", NULL, "Now.");
    metrics_add_counter(metrics, &other, "b_total", "topic=\"a\"", "Bytes.");
    metrics_add_counter(metrics, &two, "b_total", "topic=\"x\"", "Bytes.");
    counter_add(&one, 5);
    counter_add(&two, 7);
    counter_add(&other, 1);
    gauge_add(&gauge, -3);
    metrics_print(metrics, &out);
    buf_add(&out, "", 1);
    ck_assert_str_eq((char *)out.ptr, "# HELP a_now Now.\n# TYPE a_now gauge\na_now -3\n"
                                      "# HELP b_total Bytes.\n# TYPE b_total counter\n"
                                      "b_total{topic=\"a\"} 1\nb_total{topic=\"x\"} 12\n");
    ck_assert_int_eq(metrics_value(metrics, "b_total", "topic=\"x\"", &value), ERR_OK);
    ck_assert_int_eq(value, 12);
    metrics_remove(metrics, &one);
    metrics_remove(metrics, &one);
    ck_assert_int_eq(metrics_value(metrics, "b_total", "topic=\"x\"", &value), ERR_OK);
    ck_assert_int_eq(value, 7);
    metrics_remove(metrics, &two);
    ck_assert_int_eq(metrics_value(metrics, "b_total", "topic=\"x\"", &value), ERR_NOT_FOUND);
    ck_assert_int_eq(value, 7);
    buf_fini(&out);
    metrics_destroy(&metrics);
}
END_TEST

START_TEST(a_quantile_is_never_below_and_at_most_a_quarter_above)
{
    for (uint64_t value = 0; value < UINT64_C(1) << 40; value = value * 9 / 8 + 1) {
        struct histogram histogram = {0};
        histogram_add(&histogram, value);
        uint64_t found = histogram_quantile(&histogram, 500);
        ck_assert_uint_ge(found, value);
        ck_assert_uint_le(found, value + value / 4);
    }
    struct histogram huge = {0};
    histogram_add(&huge, UINT64_MAX); /* into the last bucket, not beyond */
    ck_assert_uint_eq(histogram_count(&huge), 1);
}
END_TEST

START_TEST(buckets_follow_each_other_without_a_gap)
{
    ck_assert_int_eq(histogram_bucket(0), 0);
    for (uint64_t value = 1; value < 4096; value++) {
        int step = histogram_bucket(value) - histogram_bucket(value - 1);
        ck_assert(step == 0 || step == 1);
    }
    for (int power = 2; power < 42; power++) {
        ck_assert_int_eq(histogram_bucket(UINT64_C(1) << power), 4 * power - 4);
        ck_assert_int_eq(histogram_bucket((UINT64_C(1) << power) - 1), 4 * power - 5);
    }
    ck_assert_int_eq(histogram_bucket(UINT64_C(1) << 42), HISTOGRAM_BUCKETS - 1);
}
END_TEST

START_TEST(quantiles_split_what_was_added)
{
    struct metrics *metrics = metrics_create();
    struct histogram histogram = {0};
    struct buf out;

    ck_assert_uint_eq(histogram_quantile(&histogram, 990), 0);
    for (int i = 0; i < 990; i++)
        histogram_add(&histogram, 100);
    for (int i = 0; i < 10; i++)
        histogram_add(&histogram, 1000000);
    ck_assert_uint_lt(histogram_quantile(&histogram, 990), 200);
    ck_assert_uint_gt(histogram_quantile(&histogram, 991), 900000);
    buf_init(&out);
    metrics_add_histogram(metrics, &histogram, "t_seconds", NULL, "Time.", 1000);
    metrics_print(metrics, &out);
    buf_add(&out, "", 1);
    ck_assert_ptr_nonnull(strstr((char *)out.ptr, "# TYPE t_seconds summary\n"));
    ck_assert_ptr_nonnull(strstr((char *)out.ptr, "\nt_seconds_count 1000\n"));
    ck_assert_ptr_nonnull(strstr((char *)out.ptr, "\nt_seconds_sum 10099\n"));
    ck_assert_ptr_nonnull(strstr((char *)out.ptr, "t_seconds{quantile=\"0.50\"} 0.1"));
    buf_fini(&out);
    metrics_destroy(&metrics);
}
END_TEST

/* A part is entered only where it is not 0. */
START_TEST(a_part_that_was_not_entered_was_zero)
{
    struct metrics *metrics = metrics_create();
    struct histogram part = {0}, whole = {0}, nothing = {0};
    struct buf out;

    buf_init(&out);
    metrics_add_part(metrics, &part, &whole, "p_ms", "k=\"v\"", "Part.", 1e6);
    metrics_add_part_buckets(metrics, &part, &whole, "p_seconds", NULL, "Part.", 1e9);
    metrics_add_part_buckets(metrics, &nothing, &whole, "q_seconds", NULL, "Part.", 1e9);
    metrics_print(metrics, &out);
    ck_assert_uint_eq(out.len, 0);
    for (int i = 0; i < 100; i++)
        histogram_add(&whole, 5000000);
    for (int i = 0; i < 10; i++)
        histogram_add(&part, 1000000);
    metrics_print(metrics, &out);
    buf_add(&out, "", 1);
    const char *text = (const char *)out.ptr;
    ck_assert_ptr_nonnull(strstr(text, "p_ms{k=\"v\",quantile=\"0.50\"} 0\n"));
    ck_assert_ptr_nonnull(strstr(text, "p_ms{k=\"v\",quantile=\"0.95\"} 1.0"));
    ck_assert_ptr_nonnull(strstr(text, "\np_ms_sum{k=\"v\"} 10\np_ms_count{k=\"v\"} 100\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n# TYPE p_seconds histogram\n"));
    ck_assert_ptr_nonnull(strstr(text, "\np_seconds_bucket{le=\"0.000524288\"} 90\n"));
    ck_assert_ptr_nonnull(strstr(text, "\np_seconds_bucket{le=\"0.001048576\"} 100\n"));
    ck_assert_ptr_nonnull(strstr(text, "\np_seconds_bucket{le=\"+Inf\"} 100\n"));
    ck_assert_ptr_nonnull(strstr(text, "\np_seconds_count 100\n"));
    ck_assert_ptr_null(strstr(text, "q_seconds")); /* all of it is 0 */
    buf_fini(&out);
    metrics_destroy(&metrics);
}
END_TEST

static double quantile_on(struct metrics *metrics, const char *line)
{
    struct buf out;
    char *at;

    buf_init(&out);
    metrics_print(metrics, &out);
    buf_add(&out, "", 1);
    at = strstr((char *)out.ptr, line);
    ck_assert_ptr_nonnull(at);
    double value = strtod(at + strlen(line), NULL);
    buf_fini(&out);
    return value;
}

START_TEST(quantiles_are_of_this_window_and_the_one_before)
{
    struct metrics *metrics = metrics_create();
    struct histogram one = {0}, two = {0};

    metrics_add_histogram(metrics, &one, "t", NULL, "Time.", 1);
    metrics_add_histogram(metrics, &two, "t", NULL, "Time.", 1);
    for (int i = 0; i < 1000; i++)
        histogram_add(&one, 1000);
    ck_assert(quantile_on(metrics, "t{quantile=\"0.50\"} ") >= 1000);
    metrics_window(metrics);
    histogram_add(&two, 1);
    ck_assert(quantile_on(metrics, "t{quantile=\"0.50\"} ") >= 1000);
    metrics_window(metrics);
    ck_assert(quantile_on(metrics, "t{quantile=\"0.50\"} ") <=
              1); /* the one of the window before */
    metrics_window(metrics);
    double now = quantile_on(metrics, "t{quantile=\"0.50\"} ");
    ck_assert(now != now);
    ck_assert(quantile_on(metrics, "t_count ") >= 1001); /* of all */
    metrics_destroy(&metrics);
}
END_TEST

UNIT(a_part_that_was_not_entered_was_zero, quantiles_are_of_this_window_and_the_one_before,
     cells_of_one_name_are_summed_and_lines_are_in_order,
     a_quantile_is_never_below_and_at_most_a_quarter_above,
     buckets_follow_each_other_without_a_gap, quantiles_split_what_was_added)
