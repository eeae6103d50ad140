/* The process was killed, and the machine goes on: recovery reads what the recovery point does not
 * cover, and believes nothing that does not fit. */
#include "broker/log/resume.h"
#include "broker/log/aborted.h"
#include "broker/log/snapshots.h"
#include "log_world.h"

static struct one_log one;
static int64_t batch_bytes; /* all have the same */

#define INDEX_0 "t-0/00000000000000000000.index"
#define TIMES_0 "t-0/00000000000000000000.timeindex"
#define BEFORE  200 /* batches of two records that are synced … */
#define AFTER   20  /* … and that are not */
#define ALL     (2 * (BEFORE + AFTER))

static void begin(void)
{
    one = (struct one_log){.w = world_create(), .is_same_boot = true};
    log_config_default(&one.config);
    one.config.index_interval_bytes = 500;
    one.config.producer_expiration_ms = INT64_MAX;
    one_log_create(&one);
}
static void end(void)
{
    one_log_gone(&one);
    world_destroy(one.w);
}
static void reopen(int64_t recovery_point)
{
    ck_assert_int_eq(one_log_reopen(&one, false, recovery_point, 0), ERR_OK);
}

static void fill(int n, int64_t timestamp)
{
    for (int i = 0; i < n; i++)
        append_at(&one, 2, 40, timestamp + 10 * i, 1, NULL);
}

static void point(void)
{
    struct log_sync *sync = NULL;

    ck_assert_int_eq(log_sync_plan_point(one.log, 0, &sync), ERR_OK);
    ck_assert_ptr_nonnull(sync);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    ck_assert_int_eq(log_recovery_point(one.log), log_end_offset(one.log));
}

static void fill_all(void)
{
    fill(BEFORE, 1000);
    point();
    fill(AFTER, 1000 + 10 * BEFORE);
    batch_bytes = log_size_bytes(one.log) / (BEFORE + AFTER);
}

/* All is there, is found wherever one asks, and the log goes on. */
static void check_all(int64_t end_offset)
{
    ck_assert_int_eq(log_end_offset(one.log), end_offset);
    ck_assert_int_eq(read_all(&one, 0, 1000), end_offset);
    for (int64_t offset = 0; offset < end_offset; offset++) {
        struct log_position at;
        ck_assert_int_eq(log_locate(one.log, offset, &at), ERR_OK);
        if (offset < ALL) ck_assert_int_eq(at.position, offset / 2 * batch_bytes);
    }
    ck_assert_int_eq(append_one(&one, 1), end_offset);
}

START_TEST(only_what_is_beyond_the_recovery_point_is_read)
{
    begin();
    fill_all();
    reopen(2 * BEFORE);
    ck_assert_int_eq(one.recovered.segments_recovered, 1);
    ck_assert_int_eq(one.recovered.bytes_cut, 0);
    ck_assert_int_ge(one.recovered.bytes_scanned, AFTER * batch_bytes);
    /* At most two index entries further back. */
    ck_assert_int_le(one.recovered.bytes_scanned,
                     (AFTER + 1) * batch_bytes + 3 * (500 + batch_bytes));
    ck_assert_int_lt(world_counts(one.w).reads, 60);
    check_all(ALL);
    /* And once more, from there. */
    reopen(2 * BEFORE);
    check_all(ALL + 1);
    end();
}
END_TEST

START_TEST(after_another_boot_the_segment_is_read)
{
    begin();
    fill_all();
    int64_t size = log_size_bytes(one.log);
    one.is_same_boot = false;
    reopen(2 * BEFORE);
    ck_assert_int_eq(one.recovered.bytes_scanned, size);
    check_all(ALL);
    end();
}
END_TEST

START_TEST(a_recovery_point_at_the_beginning_or_the_end_will_do)
{
    static const int64_t points[] = {0, 1, 2, ALL - 1, ALL};

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        begin();
        fill_all();
        reopen(points[i]);
        check_all(ALL);
        end();
    }
}
END_TEST

/* What an index file may be: cut, padded, of other bytes. Nothing that is there is lost by it. */
static void damage(struct buf *bytes, int how)
{
    switch (how) {
    case 0:
        buf_clear(bytes);
        buf_add_slice(bytes, SLICE("garbage that is no index at all"));
        break;
    case 1:
        bytes->len -= 5;
        break;
    case 2:
        bytes->len /= 3;
        break;
    case 3:
        memset(buf_extend(bytes, 1200), 0, 1200);
        break;
    case 4: /* lost pages */
        memset(bytes->ptr + bytes->len / 2, 0, bytes->len / 4);
        break;
    case 5:
        memset(bytes->ptr, 0, bytes->len);
        break;
    case 6: /* positions that are no batch's */
        for (size_t at = 7; at < bytes->len; at += 8)
            bytes->ptr[at] ^= 3;
        break;
    case 7: { /* some are missing, others are there twice */
        size_t half = bytes->len / 48 * 24;
        memmove(bytes->ptr + half, bytes->ptr + half + 24, bytes->len - half - 24);
        break;
    }
    case 8: /* those of the first half lead to where the next one should: too far ahead */
        for (size_t at = 4; at < bytes->len / 2; at += 8)
            memmove(bytes->ptr + at, bytes->ptr + at + 8, 4);
        break;
    default:
        for (size_t at = 0; at < bytes->len; at++)
            bytes->ptr[at] = (uint8_t)(bytes->ptr[at] * 7 + (uint8_t)at);
        break;
    }
}

START_TEST(a_damaged_index_costs_only_time)
{
    for (int which = 0; which < 2; which++) {
        for (int how = 0; how < 10; how++) {
            struct buf bytes;
            begin();
            fill_all();
            log_detach(one.log);
            buf_init(&bytes);
            world_get(one.w, which == 0 ? INDEX_0 : TIMES_0, &bytes);
            damage(&bytes, how);
            world_put(one.w, which == 0 ? INDEX_0 : TIMES_0, buf_slice(&bytes));
            buf_fini(&bytes);
            reopen(2 * BEFORE);
            check_all(ALL);
            end();
        }
    }
}
END_TEST

START_TEST(the_highest_time_is_known_wherever_it_is)
{
    for (int high = 0; high < BEFORE + AFTER; high += 3) {
        begin();
        for (int i = 0; i < BEFORE + AFTER; i++) {
            append_at(&one, 2, 40, i == high ? 900000 : 1000 + i, 1, NULL);
            if (i == BEFORE - 1) point();
        }
        reopen(2 * BEFORE);
        ck_assert_int_eq(log_active(one.log)->max_timestamp, 900001);
        ck_assert_int_eq(log_active(one.log)->max_timestamp_offset, 2 * high + 1);
        end();
    }
}
END_TEST

START_TEST(a_torn_tail_is_cut_and_what_was_synced_stays)
{
    begin();
    fill_all();
    int64_t size = log_size_bytes(one.log);
    log_detach(one.log);
    world_cut(one.w, "t-0/00000000000000000000.log", size - 5 * batch_bytes - 7);
    reopen(2 * BEFORE);
    check_all(ALL - 12);
    end();
}
END_TEST

START_TEST(epochs_before_and_behind_the_point_are_known)
{
    begin();
    for (int i = 0; i < BEFORE + AFTER; i++) {
        append_at(&one, 2, 40, 1000 + i, 1 + i / 50, NULL);
        if (i == BEFORE - 1) point();
    }
    reopen(2 * BEFORE);
    const struct epochs *epochs = log_epochs(one.log);
    ck_assert_int_eq(epochs->count, 5);
    for (int i = 0; i < epochs->count; i++) {
        ck_assert_int_eq(epochs->at[i].epoch, 1 + i);
        ck_assert_int_eq(epochs->at[i].start, i * 100);
    }
    end();
}
END_TEST

/* ---- producers ---- */

static enum err send(int64_t id, int32_t sequence, bool in_txn, struct log_appended *out)
{
    struct record_builder builder;
    struct buf bytes;

    buf_init(&bytes);
    record_builder_begin(&builder, &bytes);
    builder.head.producer_id = id;
    builder.head.producer_epoch = 0;
    builder.head.base_sequence = sequence;
    if (in_txn) builder.head.attributes |= BATCH_TRANSACTIONAL;
    record_builder_add(&builder, 1000 + sequence, SLICE("key"), SLICE("some value of some length"),
                       NULL, 0);
    record_builder_end(&builder);
    const struct checked checked = {.bytes = bytes.ptr,
                                    .len = bytes.len,
                                    .offset_count = 1,
                                    .record_count = 1,
                                    .max_timestamp = 1000 + sequence,
                                    .append_time_ms = -1};
    enum err err = log_append_leader(one.log, &checked, 1, one.w->wall_ms, out);
    buf_fini(&bytes);
    return err;
}

static void abort_txn(int64_t id)
{
    struct log_appended appended;
    struct buf bytes;

    buf_init(&bytes);
    record_write_marker(&bytes, RECORD_MARKER_ABORT, id, 0, 0, 1000);
    const struct checked checked = {.bytes = bytes.ptr,
                                    .len = bytes.len,
                                    .offset_count = 1,
                                    .record_count = 1,
                                    .max_timestamp = 1000,
                                    .append_time_ms = -1};
    ck_assert_int_eq(log_append_leader(one.log, &checked, 1, one.w->wall_ms, &appended), ERR_OK);
    buf_fini(&bytes);
}

static const char *snapshot_name(int64_t offset)
{
    static char name[64];

    snprintf(name, sizeof(name), "t-0/%020lld.snapshot", (long long)offset);
    return name;
}

START_TEST(producers_are_known_without_reading_back)
{
    struct log_appended appended;

    begin();
    for (int32_t i = 0; i < BEFORE; i++)
        ck_assert_int_eq(send(7, i, false, &appended), ERR_OK);
    point();
    ck_assert(world_has(one.w, snapshot_name(BEFORE)));
    for (int32_t i = 0; i < AFTER; i++)
        ck_assert_int_eq(send(8, i, false, &appended), ERR_OK);
    reopen(BEFORE);
    ck_assert_int_lt(world_counts(one.w).reads, 80);
    ck_assert_int_eq(log_producers(one.log)->count, 2);
    ck_assert_int_eq(send(7, BEFORE - 1, false, &appended), ERR_OK);
    ck_assert(appended.is_duplicate);
    ck_assert_int_eq(send(8, AFTER - 3, false, &appended), ERR_OK);
    ck_assert(appended.is_duplicate);
    ck_assert_int_eq(send(7, BEFORE + 1, false, &appended), ERR_SEQUENCE);
    ck_assert_int_eq(send(7, BEFORE, false, &appended), ERR_OK);
    /* The next one takes the place of the last. */
    point();
    ck_assert(!world_has(one.w, snapshot_name(BEFORE)));
    ck_assert(world_has(one.w, snapshot_name(BEFORE + AFTER + 1)));
    end();
}
END_TEST

START_TEST(a_snapshot_in_the_middle_is_for_this_boot_alone)
{
    struct log_appended appended;

    begin();
    ck_assert_int_eq(send(7, 0, false, &appended), ERR_OK);
    point();
    ck_assert_int_eq(send(7, 1, false, &appended), ERR_OK);
    log_detach(one.log);
    world_put(one.w, snapshot_name(1), SLICE("torn"));
    one.is_same_boot = false;
    reopen(1);
    ck_assert(!world_has(one.w, snapshot_name(1)));
    ck_assert_int_eq(log_producers(one.log)->count, 1);
    end();
}
END_TEST

START_TEST(a_truncation_in_the_middle_of_a_sync_leaves_no_snapshot)
{
    struct log_sync *sync = NULL;
    struct log_appended appended;

    begin();
    for (int32_t i = 0; i < 10; i++)
        ck_assert_int_eq(send(7, i, false, &appended), ERR_OK);
    ck_assert_int_eq(log_sync_plan_point(one.log, 0, &sync), ERR_OK);
    ck_assert_int_eq(log_truncate_to(one.log, 5), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    ck_assert(!world_has(one.w, snapshot_name(10)));
    ck_assert_int_eq(log_recovery_point(one.log), 0);
    ck_assert_int_eq(send(7, 5, false, &appended), ERR_OK);
    end();
}
END_TEST

START_TEST(aborted_transactions_before_and_behind_the_point_are_told_once)
{
    struct log_appended appended;
    struct aborted *found = NULL;
    int count = 0;

    begin();
    for (int32_t i = 0; i < 4; i++) {
        ck_assert_int_eq(send(7, i, true, &appended), ERR_OK);
        abort_txn(7);
        if (i == 1) point();
    }
    for (int again = 0; again < 2; again++) {
        reopen(4);
        struct segment_place place = log_place(one.log, 0);
        ck_assert_int_eq(aborted_read(&one.w->env, &place, &found, &count), ERR_OK);
        ck_assert_int_eq(count, 4);
        for (int i = 0; i < count; i++) {
            ck_assert_int_eq(found[i].first_offset, 2 * i);
            ck_assert_int_eq(found[i].last_offset, 2 * i + 1);
        }
        free(found);
        found = NULL;
    }
    end();
}
END_TEST

UNIT(only_what_is_beyond_the_recovery_point_is_read, after_another_boot_the_segment_is_read,
     a_recovery_point_at_the_beginning_or_the_end_will_do, a_damaged_index_costs_only_time,
     the_highest_time_is_known_wherever_it_is, a_torn_tail_is_cut_and_what_was_synced_stays,
     epochs_before_and_behind_the_point_are_known, producers_are_known_without_reading_back,
     a_snapshot_in_the_middle_is_for_this_boot_alone,
     a_truncation_in_the_middle_of_a_sync_leaves_no_snapshot,
     aborted_transactions_before_and_behind_the_point_are_told_once)
