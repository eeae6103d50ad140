#include "broker/log/policy.h"
#include "unit.h"

static struct log_config config;

static struct policy_append plain(void)
{
    log_config_default(&config);
    config.segment_bytes_max = 1000;
    config.segment_ms_max = 500;
    return (struct policy_append){.now_ms = 10000,
                                  .len = 100,
                                  .last_offset = 50,
                                  .max_timestamp = 9000,
                                  .segment_base = 0,
                                  .segment_size = 900,
                                  .first_timestamp = 8900,
                                  .opened_ms = 9900};
}

START_TEST(a_segment_never_grows_over_its_size)
{
    struct policy_append append = plain();
    ck_assert(!policy_must_roll(&config, &append)); /* exactly full */
    append.len = 101;
    ck_assert(policy_must_roll(&config, &append));
}
END_TEST

START_TEST(age_is_that_of_the_records)
{
    struct policy_append append = plain();
    append.max_timestamp = 9400; /* 500 after the first: not more */
    ck_assert(!policy_must_roll(&config, &append));
    append.max_timestamp = 9401;
    ck_assert(policy_must_roll(&config, &append));
    append.jitter_ms = 100;
    append.max_timestamp = 9301;
    ck_assert(policy_must_roll(&config, &append));
    append.max_timestamp = 9300;
    ck_assert(!policy_must_roll(&config, &append));
    append.segment_size = 0; /* nothing in it */
    append.max_timestamp = 99999;
    ck_assert(!policy_must_roll(&config, &append));
}
END_TEST

START_TEST(without_timestamps_age_is_the_clocks)
{
    struct policy_append append = plain();
    append.first_timestamp = -1;
    append.max_timestamp = INT64_MAX;
    ck_assert(!policy_must_roll(&config, &append));
    append.opened_ms = 9499;
    ck_assert(policy_must_roll(&config, &append));
    /* The most extreme timestamps do not overflow into a decision. */
    append.first_timestamp = INT64_MAX;
    append.max_timestamp = INT64_MIN;
    ck_assert(!policy_must_roll(&config, &append));
}
END_TEST

START_TEST(compaction_lag_shortens_the_age)
{
    struct policy_append append = plain();
    append.max_timestamp = 9001;
    config.is_compacted = true;
    ck_assert(!policy_must_roll(&config, &append));
    config.compaction_lag_ms_max = 100;
    ck_assert(policy_must_roll(&config, &append));
}
END_TEST

START_TEST(offsets_must_fit_in_31_bits_and_indexes_have_room)
{
    struct policy_append append = plain();
    append.last_offset = INT32_MAX;
    ck_assert(!policy_must_roll(&config, &append));
    append.last_offset = (int64_t)INT32_MAX + 1;
    ck_assert(policy_must_roll(&config, &append));
    append = plain();
    append.is_index_full = true;
    ck_assert(policy_must_roll(&config, &append));
}
END_TEST

START_TEST(jitter_stays_below_its_limits)
{
    log_config_default(&config);
    ck_assert_int_eq(policy_jitter(&config, 12345), 0);
    config.segment_jitter_ms_max = 100;
    for (uint64_t i = 0; i < 300; i++)
        ck_assert(policy_jitter(&config, i) >= 0 && policy_jitter(&config, i) < 100);
    config.segment_ms_max = 10;
    for (uint64_t i = 0; i < 300; i++)
        ck_assert_int_lt(policy_jitter(&config, i), 10);
}
END_TEST

static const struct policy_segment three[] = {{0, 100, 1000}, {10, 100, 2000}, {20, 100, 3000}};

START_TEST(size_keeps_what_it_takes_to_stay_above)
{
    log_config_default(&config);
    config.retention_ms = -1;
    config.retention_bytes = 150; /* removing one leaves 200, two leaves 100 < 150 */
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 30, 5000), 1);
    config.retention_bytes = 100;
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 30, 5000), 2);
    config.retention_bytes = 300;
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 30, 5000), 0);
    config.retention_bytes = 0;
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 30, 5000), 3);
    config.retention_bytes = -1;
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 30, 5000), 0);
}
END_TEST

START_TEST(time_stops_at_the_first_that_is_young)
{
    const struct policy_segment mixed[] = {{0, 100, 1000}, {10, 100, 9000}, {20, 100, 1000}};
    log_config_default(&config);
    config.retention_ms = 1000;
    ck_assert_int_eq(policy_retention(&config, mixed, 3, 0, 30, 30, 5000), 1);
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 30, 2000), 0); /* not over 1000 */
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 30, 2001), 1);
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 30, 9999), 3);
    config.retention_ms = -1;
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 30, 9999), 0);
}
END_TEST

START_TEST(nothing_above_the_high_watermark_goes)
{
    log_config_default(&config);
    config.retention_ms = 0;
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 19, 9999), 1);
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 20, 9999), 2);
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 29, 9999), 2);
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 0, 9999), 0);
}
END_TEST

START_TEST(an_empty_last_segment_stays)
{
    const struct policy_segment two[] = {{0, 100, 1000}, {10, 0, 0}};
    log_config_default(&config);
    config.retention_ms = 0;
    ck_assert_int_eq(policy_retention(&config, two, 2, 0, 10, 10, 9999), 1);
    ck_assert_int_eq(policy_retention(&config, two + 1, 1, 10, 10, 10, 9999), 0);
}
END_TEST

START_TEST(the_log_start_frees_even_compacted_logs)
{
    log_config_default(&config);
    config.is_deleted = false;
    config.is_compacted = true;
    config.retention_ms = 0;
    ck_assert_int_eq(policy_retention(&config, three, 3, 0, 30, 30, 9999), 0);
    ck_assert_int_eq(policy_retention(&config, three, 3, 10, 30, 30, 9999), 1);
    ck_assert_int_eq(policy_retention(&config, three, 3, 19, 30, 30, 9999), 1);
    ck_assert_int_eq(policy_retention(&config, three, 3, 30, 30, 30, 9999),
                     2); /* the last has no next */
}
END_TEST

UNIT(a_segment_never_grows_over_its_size, age_is_that_of_the_records,
     without_timestamps_age_is_the_clocks, compaction_lag_shortens_the_age,
     offsets_must_fit_in_31_bits_and_indexes_have_room, jitter_stays_below_its_limits,
     size_keeps_what_it_takes_to_stay_above, time_stops_at_the_first_that_is_young,
     nothing_above_the_high_watermark_goes, an_empty_last_segment_stays,
     the_log_start_frees_even_compacted_logs)
