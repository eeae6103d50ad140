#include "broker/log/epochs.h"
#include "unit.h"

static struct epochs table(const struct epoch_entry *entries, int count)
{
    struct epochs epochs;
    bool changed;

    epochs_init(&epochs);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(epochs_start(&epochs, entries[i].epoch, entries[i].start, &changed),
                         ERR_OK);
    return epochs;
}
#define TABLE(...)                                                                                 \
    table((const struct epoch_entry[]){__VA_ARGS__},                                               \
          sizeof((const struct epoch_entry[]){__VA_ARGS__}) / sizeof(struct epoch_entry))

static void expect_end(const struct epochs *epochs, int32_t asked, int64_t end, int32_t epoch,
                       int64_t offset)
{
    struct epoch_end got = epochs_end_of(epochs, asked, end);
    ck_assert_int_eq(got.epoch, epoch);
    ck_assert_int_eq(got.end_offset, offset);
}

START_TEST(an_epoch_ends_where_the_next_begins)
{
    struct epochs epochs = TABLE({2, 10}, {4, 20}, {7, 30});
    expect_end(&epochs, 7, 50, 7, 50);
    expect_end(&epochs, 4, 50, 4, 30);
    expect_end(&epochs, 5, 50, 4, 30); /* never led: the one before it */
    expect_end(&epochs, 1, 50, 1, 10); /* before all: what there is began there */
    expect_end(&epochs, 8, 50, -1, -1);
    expect_end(&epochs, -1, 50, -1, -1);
    epochs_fini(&epochs);

    epochs_init(&epochs);
    expect_end(&epochs, 0, 50, -1, -1);
    epochs_fini(&epochs);
}
END_TEST

START_TEST(the_same_epoch_again_changes_nothing)
{
    struct epochs epochs = TABLE({2, 10});
    bool changed = true;
    ck_assert_int_eq(epochs_start(&epochs, 2, 15, &changed), ERR_OK);
    ck_assert(!changed);
    ck_assert_int_eq(epochs.at[0].start, 10);
    ck_assert_int_eq(epochs_start(&epochs, 2, 5, &changed), ERR_OK); /* earlier: it is believed */
    ck_assert(changed);
    ck_assert_int_eq(epochs.at[0].start, 5);
    changed = false;
    ck_assert_int_eq(epochs_start(&epochs, -1, 5, &changed), ERR_INVALID);
    ck_assert_int_eq(epochs_start(&epochs, 1, -5, &changed), ERR_INVALID);
    ck_assert(!changed);
    epochs_fini(&epochs);
}
END_TEST

START_TEST(entries_that_contradict_make_way)
{
    struct epochs epochs = TABLE({1, 10}, {3, 20}, {5, 30});
    bool changed = false;
    ck_assert_int_eq(epochs_start(&epochs, 4, 25, &changed), ERR_OK); /* 5 is later: gone */
    ck_assert(changed);
    ck_assert_int_eq(epochs.count, 3);
    ck_assert_int_eq(epochs.at[2].epoch, 4);
    ck_assert_int_eq(epochs_start(&epochs, 6, 15, &changed), ERR_OK); /* starts below 3 and 4 */
    ck_assert_int_eq(epochs.count, 2);
    ck_assert_int_eq(epochs.at[0].epoch, 1);
    ck_assert_int_eq(epochs.at[1].epoch, 6);
    epochs_fini(&epochs);
}
END_TEST

START_TEST(cutting_the_end_drops_what_starts_there)
{
    struct epochs epochs = TABLE({1, 10}, {3, 20});
    ck_assert(!epochs_truncate_end(&epochs, 21));
    ck_assert(epochs_truncate_end(&epochs, 20));
    ck_assert_int_eq(epochs_latest(&epochs).epoch, 1);
    ck_assert(epochs_truncate_end(&epochs, 0));
    ck_assert_int_eq(epochs_latest(&epochs).epoch, -1);
    epochs_fini(&epochs);
}
END_TEST

START_TEST(cutting_the_start_keeps_the_epoch_that_holds_it)
{
    struct epochs epochs = TABLE({1, 10}, {3, 20}, {4, 30});
    ck_assert(!epochs_truncate_start(&epochs, 5));
    ck_assert(!epochs_truncate_start(&epochs, 10));
    ck_assert(epochs_truncate_start(&epochs, 25));
    ck_assert_int_eq(epochs.count, 2);
    ck_assert_int_eq(epochs_earliest(&epochs).epoch, 3);
    ck_assert_int_eq(epochs_earliest(&epochs).start, 25);
    ck_assert_int_eq(epochs_at(&epochs, 24), -1);
    ck_assert_int_eq(epochs_at(&epochs, 29), 3);
    ck_assert_int_eq(epochs_at(&epochs, 30), 4);
    ck_assert(epochs_truncate_start(&epochs, 30)); /* 4 starts right there */
    ck_assert_int_eq(epochs.count, 1);
    ck_assert_int_eq(epochs_earliest(&epochs).epoch, 4);
    epochs_fini(&epochs);
}
END_TEST

/* replication reference, example B: two leaders wrote at the same offsets. */
START_TEST(diverged_logs_find_where_they_part)
{
    struct epochs a = TABLE({0, 0}, {2, 15}), b = TABLE({0, 0}, {1, 10}, {3, 20});
    expect_end(&b, 2, 25, 1, 20); /* B knows no epoch 2 */
    expect_end(&a, 1, 20, 0, 15); /* A knows no epoch 1: cut to 15, ask again */
    epochs_truncate_end(&a, 15);
    ck_assert_int_eq(epochs_latest(&a).epoch, 0);
    expect_end(&b, 0, 25, 0, 10);
    expect_end(&a, 0, 15, 0, 15); /* min(15, 10): they agree up to 10 */
    epochs_fini(&a);
    epochs_fini(&b);
}
END_TEST

UNIT(an_epoch_ends_where_the_next_begins, the_same_epoch_again_changes_nothing,
     entries_that_contradict_make_way, cutting_the_end_drops_what_starts_there,
     cutting_the_start_keeps_the_epoch_that_holds_it, diverged_logs_find_where_they_part)
