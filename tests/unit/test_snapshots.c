/* A log and its producers: noted, saved at rolls and at the end, found again after a stop, a crash
 * and a truncation; and what a reader of committed records is told. */
#include "broker/log/aborted.h"
#include "broker/log/snapshots.h"
#include "log_world.h"

static struct one_log one;
static int64_t stamp_ms = 1000;

static void begin(void)
{
    one = (struct one_log){.w = world_create()};
    log_config_default(&one.config);
    one.config.index_interval_bytes = 200;
    one.config.producer_expiration_ms = INT64_MAX;
    one_log_create(&one);
}
static void end(void)
{
    producers_audit(log_producers(one.log));
    one_log_gone(&one);
    world_destroy(one.w);
}
static void reopen(bool is_clean, int64_t recovery_point)
{
    ck_assert_int_eq(one_log_reopen(&one, is_clean, recovery_point, 0), ERR_OK);
}

/* One batch as a producer sends it: `n` records from `sequence` on. */
static void make(struct buf *out, int64_t id, int16_t epoch, int32_t sequence, int n, bool in_txn)
{
    struct record_builder builder;

    buf_clear(out);
    record_builder_begin(&builder, out);
    builder.head.producer_id = id;
    builder.head.producer_epoch = epoch;
    builder.head.base_sequence = sequence;
    if (in_txn) builder.head.attributes |= BATCH_TRANSACTIONAL;
    for (int i = 0; i < n; i++)
        record_builder_add(&builder, stamp_ms++, SLICE("key"), SLICE("a value of some length"),
                           NULL, 0);
    record_builder_end(&builder);
}

static enum err append(struct buf *bytes, struct log_appended *out)
{
    struct batch batch;

    ck_assert_int_eq(batch_view(buf_slice(bytes), &batch), ERR_OK);
    const struct checked checked = {.bytes = bytes->ptr,
                                    .len = bytes->len,
                                    .offset_count = batch.last_offset_delta + 1,
                                    .record_count = batch.record_count,
                                    .max_timestamp = batch.max_timestamp,
                                    .max_timestamp_offset = batch.last_offset_delta,
                                    .append_time_ms = -1};
    return log_append_leader(one.log, &checked, 1, one.w->wall_ms, out);
}

static struct log_appended appended;
static enum err send(int64_t id, int16_t epoch, int32_t sequence, int n, bool in_txn)
{
    struct buf bytes;

    buf_init(&bytes);
    make(&bytes, id, epoch, sequence, n, in_txn);
    enum err err = append(&bytes, &appended);
    buf_fini(&bytes);
    return err;
}
static void mark(int64_t id, int16_t epoch, enum record_marker type)
{
    struct buf bytes;

    buf_init(&bytes);
    record_write_marker(&bytes, type, id, epoch, 0, stamp_ms++);
    ck_assert_int_eq(append(&bytes, &appended), ERR_OK);
    buf_fini(&bytes);
}
static void roll(void)
{
    ck_assert_int_eq(log_roll(one.log, one.w->wall_ms), ERR_OK);
}
static void sync_all(void)
{
    struct log_sync *sync = NULL;

    ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
    if (sync == NULL) return;
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
}
static const char *snapshot_name(int64_t offset)
{
    static char name[64];

    snprintf(name, sizeof(name), "t-0/%020lld.snapshot", (long long)offset);
    return name;
}

/* Aborted transactions that a reader of [from, end) is told of, as "id@first …". */
static const char *aborted_from(int64_t from)
{
    static char text[512];
    const struct log_read read = {.offset = from,
                                  .bytes_max = 1 << 20,
                                  .at_least_one = true,
                                  .limit = log_end_position(one.log)};
    struct log_slice slice;
    struct aborted *found = NULL;
    int count = 0;

    ck_assert_int_eq(log_read(one.log, &read, &slice), ERR_OK);
    ck_assert_int_eq(log_aborted(one.log, &slice, &found, &count), ERR_OK);
    log_slice_release(&slice);
    text[0] = '\0';
    for (int i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%lld@%lld", i == 0 ? "" : " ",
                 (long long)found[i].producer_id, (long long)found[i].first_offset);
    free(found);
    return text;
}

START_TEST(a_duplicate_is_answered_and_not_written)
{
    begin();
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    ck_assert(!appended.is_duplicate);
    ck_assert_int_eq(send(7, 0, 3, 2, false), ERR_OK);
    int64_t size = log_size_bytes(one.log), first_stamp = stamp_ms - 5;
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    ck_assert(appended.is_duplicate);
    ck_assert_int_eq(appended.first_offset, 0);
    ck_assert_int_eq(appended.last_offset, 2);
    ck_assert_int_eq(appended.append_time_ms, first_stamp + 2);
    ck_assert_int_eq(log_size_bytes(one.log), size);
    ck_assert_int_eq(log_end_offset(one.log), 5);
    ck_assert_int_eq(send(7, 0, 6, 1, false), ERR_SEQUENCE);
    ck_assert_int_eq(log_end_offset(one.log), 5);
    ck_assert_int_eq(send(7, 0, 5, 1, false), ERR_OK);
    end();
}
END_TEST

START_TEST(an_append_that_fails_leaves_the_sequence_to_be_sent_again)
{
    begin();
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    world_fault(one.w, FAULT_FAIL, ERR_FULL, 0);
    ck_assert_int_eq(send(7, 0, 3, 3, false), ERR_FULL);
    world_fault(one.w, FAULT_NONE, ERR_OK, 0);
    ck_assert_int_eq(send(7, 0, 6, 3, false), ERR_SEQUENCE);
    ck_assert_int_eq(send(7, 0, 3, 3, false), ERR_OK);
    ck_assert(!appended.is_duplicate);
    ck_assert_int_eq(appended.first_offset, 3);
    end();
}
END_TEST

START_TEST(a_clean_stop_keeps_producers_in_one_small_file)
{
    begin();
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    ck_assert_int_eq(send(8, 0, 0, 3, false), ERR_OK);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    ck_assert_int_eq(world_size(one.w, snapshot_name(6)), 10 + 2 * 46);
    reopen(true, 6);
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    ck_assert(appended.is_duplicate);
    ck_assert_int_eq(send(7, 0, 4, 1, false), ERR_SEQUENCE);
    ck_assert_int_eq(send(7, 0, 3, 1, false), ERR_OK);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    ck_assert_int_eq(world_size(one.w, snapshot_name(7)), 10 + 2 * 46);
    reopen(true, 7);
    ck_assert(!world_has(one.w, snapshot_name(6))); /* the newest will do */
    end();
}
END_TEST

START_TEST(an_empty_log_has_no_snapshot)
{
    begin();
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    ck_assert(!world_has(one.w, snapshot_name(0)));
    reopen(true, 0);
    end();
}
END_TEST

/* A clean stop leaves one: it was lost. Kafka forgets everybody then. */
START_TEST(after_a_clean_stop_without_any_snapshot_the_batches_say_who_wrote)
{
    begin();
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    world_delete(one.w, snapshot_name(3));
    reopen(true, 3);
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    ck_assert(appended.is_duplicate);
    ck_assert_int_eq(send(7, 0, 3, 3, false), ERR_OK);
    end();
}
END_TEST

START_TEST(after_a_crash_producers_come_from_the_batches)
{
    begin();
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    ck_assert_int_eq(send(7, 0, 3, 3, false), ERR_OK);
    ck_assert_int_eq(send(9, 2, 0, 1, true), ERR_OK);
    reopen(false, 0);
    ck_assert_int_eq(log_end_offset(one.log), 7);
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    ck_assert(appended.is_duplicate); /* the window is whole: nothing came from a snapshot */
    ck_assert_int_eq(send(7, 0, 3, 3, false), ERR_OK);
    ck_assert(appended.is_duplicate);
    ck_assert_int_eq(log_last_stable(one.log, 7), 6);
    end();
}
END_TEST

START_TEST(a_roll_leaves_a_snapshot_and_recovery_reads_on_from_there)
{
    begin();
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(send(7, 0, i, 1, false), ERR_OK);
    roll();
    ck_assert_int_eq(world_size(one.w, snapshot_name(200)), 10 + 46);
    sync_all();
    ck_assert_int_eq(log_recovery_point(one.log), 200);
    ck_assert_int_eq(send(7, 0, 200, 1, false), ERR_OK);
    ck_assert_int_eq(send(8, 0, 0, 1, false), ERR_OK);
    reopen(false, 200);
    ck_assert_int_eq(one.recovered.segments_recovered, 1);
    ck_assert_int_lt(world_counts(one.w).reads, 60); /* not the 200 batches of the first segment */
    ck_assert_int_eq(send(7, 0, 199, 1, false), ERR_OK); /* from the file */
    ck_assert(appended.is_duplicate);
    ck_assert_int_eq(send(7, 0, 200, 1, false), ERR_OK);
    ck_assert(appended.is_duplicate);
    ck_assert_int_eq(send(7, 0, 201, 1, false), ERR_OK);
    ck_assert_int_eq(send(8, 0, 2, 1, false), ERR_SEQUENCE);
    end();
}
END_TEST

/* What the recovery point does not cover may be of a history that was truncated away. */
START_TEST(a_snapshot_above_the_recovery_point_is_not_believed)
{
    begin();
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    roll();
    ck_assert_int_eq(send(7, 0, 3, 3, false), ERR_OK);
    roll();
    struct producers lie;
    struct buf bytes;
    buf_init(&bytes);
    producers_init(&lie);
    struct producers_ended ended;
    struct producers_batch other = {.producer_id = 99, .epoch = 5, .last_sequence = 1};
    producers_note(&lie, &other, &ended);
    producers_write(&lie, &bytes);
    producers_fini(&lie);
    world_put(one.w, snapshot_name(6), buf_slice(&bytes));
    buf_fini(&bytes);
    reopen(false, 0);
    ck_assert_int_eq(log_producers(one.log)->count, 1);
    ck_assert_int_eq(producers_at(log_producers(one.log), 0).producer_id, 7);
    ck_assert_int_eq(send(7, 0, 6, 3, false), ERR_OK);
    end();
}
END_TEST

START_TEST(a_damaged_snapshot_costs_only_time)
{
    begin();
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    roll();
    ck_assert_int_eq(send(7, 0, 3, 3, false), ERR_OK);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    world_put(one.w, snapshot_name(6), SLICE("not a snapshot"));
    reopen(true, 6);
    ck_assert(!world_has(one.w, snapshot_name(6)));
    ck_assert_int_eq(send(7, 0, 3, 3, false), ERR_OK);
    ck_assert(appended.is_duplicate);
    ck_assert_int_eq(send(7, 0, 6, 3, false), ERR_OK);
    end();
}
END_TEST

START_TEST(truncation_takes_back_what_producers_did)
{
    begin();
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    roll();
    ck_assert_int_eq(send(7, 0, 3, 3, false), ERR_OK); /* 3 … 5 */
    ck_assert_int_eq(send(9, 1, 0, 3, true), ERR_OK);  /* 6 … 8 */
    roll();
    ck_assert_int_eq(send(7, 0, 6, 3, false), ERR_OK); /* 9 … 11 */
    ck_assert_int_eq(log_truncate_to(one.log, 6), ERR_OK);
    ck_assert(!world_has(one.w, snapshot_name(9)));
    ck_assert(world_has(one.w, snapshot_name(3)));
    ck_assert_int_eq(log_producers(one.log)->count, 1);
    ck_assert_int_eq(log_last_stable(one.log, 6), 6);
    ck_assert_int_eq(send(7, 0, 3, 3, false), ERR_OK);
    ck_assert(appended.is_duplicate);
    ck_assert_int_eq(send(7, 0, 6, 3, false), ERR_OK);
    ck_assert(!appended.is_duplicate);
    ck_assert_int_eq(appended.first_offset, 6);
    ck_assert_int_eq(log_truncate_fully(one.log, 100, -1), ERR_OK);
    ck_assert_int_eq(log_producers(one.log)->count, 0);
    ck_assert(!world_has(one.w, snapshot_name(3)));
    ck_assert_int_eq(send(7, 0, 500, 3, false), ERR_OK);
    end();
}
END_TEST

START_TEST(retention_takes_the_snapshots_along)
{
    int removed = 0;

    begin();
    one.config.retention_ms = 1;
    log_set_config(one.log, &one.config);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(send(7, 0, i, 1, false), ERR_OK);
        roll();
    }
    log_set_high_watermark(one.log, 3);
    ck_assert(world_has(one.w, snapshot_name(1)));
    ck_assert_int_eq(log_retain(one.log, one.w->wall_ms, &removed), ERR_OK);
    ck_assert_int_eq(removed, 3);
    ck_assert(!world_has(one.w, snapshot_name(1)));
    ck_assert(!world_has(one.w, snapshot_name(2)));
    ck_assert(world_has(one.w, snapshot_name(3)));
    ck_assert_int_eq(send(7, 0, 2, 1, false), ERR_OK); /* the producer outlives its records */
    ck_assert(appended.is_duplicate);
    end();
}
END_TEST

/* Seed 700165: what it says of a producer is older than records that were removed. */
START_TEST(a_snapshot_from_below_the_start_is_not_believed)
{
    begin();
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    ck_assert(world_has(one.w, snapshot_name(3)));
    reopen(true, 3);
    ck_assert_int_eq(send(7, 0, 3, 3, false), ERR_OK);
    ck_assert_int_eq(send(8, 0, 0, 3, false), ERR_OK);
    log_set_high_watermark(one.log, log_end_offset(one.log));
    ck_assert_int_eq(log_advance_start(one.log, 6), ERR_OK);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    world_delete(one.w, snapshot_name(9)); /* the disk was full */
    ck_assert_int_eq(one_log_reopen(&one, true, 9, 6), ERR_OK);
    ck_assert(!world_has(one.w, snapshot_name(3)));
    ck_assert_int_eq(log_producers(one.log)->count, 1); /* 8 */
    ck_assert_int_eq(send(7, 0, 6, 1, false), ERR_OK);
    ck_assert_int_eq(send(8, 0, 4, 1, false), ERR_SEQUENCE);
    end();
}
END_TEST

START_TEST(a_log_whose_records_are_gone_still_knows_its_producers)
{
    begin();
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    log_set_high_watermark(one.log, log_end_offset(one.log));
    ck_assert_int_eq(log_advance_start(one.log, 3), ERR_OK);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    ck_assert_int_eq(one_log_reopen(&one, true, 3, 3), ERR_OK);
    ck_assert_int_eq(send(7, 0, 0, 3, false), ERR_OK);
    ck_assert(appended.is_duplicate);
    ck_assert_int_eq(send(7, 0, 3, 1, false), ERR_OK);
    end();
}
END_TEST

START_TEST(a_follower_has_what_the_leader_has)
{
    struct log_appended out;
    struct buf chunk, batch;

    begin();
    buf_init(&chunk);
    buf_init(&batch);
    make(&batch, 7, 0, 0, 3, true);
    batch_set_base_offset(batch.ptr, 0);
    buf_add_slice(&chunk, buf_slice(&batch));
    make(&batch, 8, 0, 0, 2, false);
    batch_set_base_offset(batch.ptr, 3);
    buf_add_slice(&chunk, buf_slice(&batch));
    buf_clear(&batch);
    record_write_marker(&batch, RECORD_MARKER_ABORT, 7, 0, 0, 1);
    batch_set_base_offset(batch.ptr, 5);
    buf_add_slice(&chunk, buf_slice(&batch));
    ck_assert_int_eq(log_append_follower(one.log, buf_slice(&chunk), 0, &out), ERR_OK);
    ck_assert_int_eq(log_producers(one.log)->count, 2);
    ck_assert_int_eq(log_last_stable(one.log, 5), 0);
    log_set_high_watermark(one.log, 6);
    ck_assert_int_eq(log_last_stable(one.log, 6), 6);
    ck_assert_str_eq(aborted_from(0), "7@0");
    ck_assert_int_eq(send(8, 0, 0, 2, false), ERR_OK); /* it leads now */
    ck_assert(appended.is_duplicate);
    buf_fini(&chunk);
    buf_fini(&batch);
    end();
}
END_TEST

/* A marker whose batch could not be written has not ended anything. */
START_TEST(a_marker_that_fails_has_not_happened)
{
    struct buf bytes;

    for (int at = 0; at < 4; at++) {
        begin();
        buf_init(&bytes);
        ck_assert_int_eq(send(7, 0, 0, 3, true), ERR_OK);
        record_write_marker(&bytes, RECORD_MARKER_ABORT, 7, 0, 0, 1);
        world_fault(one.w, FAULT_FAIL, ERR_FULL, at);
        enum err err = append(&bytes, &appended);
        world_fault(one.w, FAULT_NONE, ERR_OK, 0);
        log_set_high_watermark(one.log, log_end_offset(one.log));
        if (err == ERR_OK) {
            ck_assert_int_gt(at, 0);
            ck_assert_int_eq(log_last_stable(one.log, 4), 4);
        } else {
            ck_assert_int_eq(log_end_offset(one.log), 3);
            ck_assert_int_eq(log_last_stable(one.log, 3), 0);
            ck_assert_int_eq(append(&bytes, &appended), ERR_OK);
            log_set_high_watermark(one.log, 4);
            ck_assert_int_eq(log_last_stable(one.log, 4), 4);
        }
        ck_assert_int_eq(strncmp(aborted_from(0), "7@0", 3), 0);
        buf_fini(&bytes);
        end();
    }
}
END_TEST

START_TEST(readers_are_told_of_aborted_transactions_wherever_the_marker_is)
{
    begin();
    ck_assert_int_eq(send(1, 0, 0, 3, true), ERR_OK); /* 0 … 2 */
    ck_assert_int_eq(send(2, 0, 0, 3, true), ERR_OK); /* 3 … 5 */
    ck_assert_int_eq(send(3, 0, 0, 3, true), ERR_OK); /* 6 … 8 */
    mark(2, 0, RECORD_MARKER_COMMIT);                 /* 9 */
    roll();
    ck_assert_int_eq(send(4, 0, 0, 3, true), ERR_OK); /* 10 … 12 */
    mark(3, 0, RECORD_MARKER_ABORT);                  /* 13 */
    roll();
    mark(1, 0, RECORD_MARKER_ABORT); /* 14 */
    ck_assert_str_eq(aborted_from(0), "3@6 1@0");
    ck_assert_str_eq(aborted_from(10), "3@6 1@0");
    ck_assert_str_eq(aborted_from(14), "1@0");
    ck_assert_int_eq(log_last_stable(one.log, 15), 0);
    log_set_high_watermark(one.log, 15);
    ck_assert_int_eq(log_last_stable(one.log, 15), 10); /* 4 is open */

    /* The same after a crash: the indexes are built anew. */
    reopen(false, 10);
    ck_assert_str_eq(aborted_from(0), "3@6 1@0");
    ck_assert_str_eq(aborted_from(14), "1@0");
    ck_assert_int_eq(log_last_stable(one.log, 15), 10);
    ck_assert_int_eq(world_size(one.w, "t-0/00000000000000000010.txnindex"), 34);

    /* And after a clean stop. */
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    reopen(true, 15);
    ck_assert_str_eq(aborted_from(0), "3@6 1@0");
    ck_assert_int_eq(log_last_stable(one.log, 15), 10);

    /* A truncation takes the markers back: both are open again. */
    ck_assert_int_eq(log_truncate_to(one.log, 13), ERR_OK);
    ck_assert_str_eq(aborted_from(0), "");
    ck_assert_int_eq(log_last_stable(one.log, 13), 0);
    mark(3, 0, RECORD_MARKER_COMMIT);
    mark(1, 0, RECORD_MARKER_COMMIT);
    log_set_high_watermark(one.log, 15);
    ck_assert_int_eq(log_last_stable(one.log, 15), 10);
    ck_assert_str_eq(aborted_from(0), "");
    end();
}
END_TEST

START_TEST(the_index_of_aborted_transactions_is_kafkas)
{
    static const uint8_t expected[34] = {
        0, 0,                   /* version */
        0, 0, 0, 0, 0, 0, 0, 7, /* producer */
        0, 0, 0, 0, 0, 0, 0, 0, /* first offset */
        0, 0, 0, 0, 0, 0, 0, 3, /* the marker's */
        0, 0, 0, 0, 0, 0, 0, 4, /* last stable */
    };
    struct buf bytes;

    begin();
    buf_init(&bytes);
    ck_assert_int_eq(send(7, 0, 0, 3, true), ERR_OK);
    mark(7, 0, RECORD_MARKER_ABORT);
    world_get(one.w, "t-0/00000000000000000000.txnindex", &bytes);
    ck_assert_uint_eq(bytes.len, sizeof(expected));
    ck_assert_mem_eq(bytes.ptr, expected, sizeof(expected));
    buf_fini(&bytes);
    end();
}
END_TEST

/* Wherever the process dies, the next start knows exactly the producers of the batches that are
 * there. */
START_TEST(death_anywhere_leaves_what_the_batches_say)
{
    for (int at = 0;; at++) {
        begin();
        world_fault(one.w, FAULT_DIE, ERR_IO, at);
        int sent = 0;
        for (int i = 0; i < 6 && send(7, 0, sent, 1, false) == ERR_OK; i++) {
            sent++;
            if (i % 2 == 1 && log_roll(one.log, 0) != ERR_OK) break;
            if (i == 3) {
                struct log_sync *sync = NULL;
                if (log_sync_plan(one.log, 0, &sync) != ERR_OK || sync == NULL) break;
                log_sync_run(sync);
                if (log_sync_done(one.log, &sync) != ERR_OK) break;
            }
        }
        bool has_died = world_is_dead(one.w);
        int64_t point = log_recovery_point(one.log);
        reopen(false, point);
        int64_t last = log_end_offset(one.log);
        ck_assert_int_ge(last, point);
        if (last > 0) {
            ck_assert_int_eq(log_producers(one.log)->count, 1);
            ck_assert_int_eq(producers_at(log_producers(one.log), 0).last_sequence, last - 1);
        }
        ck_assert_int_eq(send(7, 0, (int32_t)last, 1, false), ERR_OK);
        end();
        if (!has_died) break;
    }
}
END_TEST

UNIT(a_duplicate_is_answered_and_not_written,
     an_append_that_fails_leaves_the_sequence_to_be_sent_again,
     a_clean_stop_keeps_producers_in_one_small_file, an_empty_log_has_no_snapshot,
     after_a_clean_stop_without_any_snapshot_the_batches_say_who_wrote,
     after_a_crash_producers_come_from_the_batches,
     a_roll_leaves_a_snapshot_and_recovery_reads_on_from_there,
     a_snapshot_above_the_recovery_point_is_not_believed, a_damaged_snapshot_costs_only_time,
     truncation_takes_back_what_producers_did, retention_takes_the_snapshots_along,
     a_snapshot_from_below_the_start_is_not_believed,
     a_log_whose_records_are_gone_still_knows_its_producers,
     a_follower_has_what_the_leader_has, a_marker_that_fails_has_not_happened,
     readers_are_told_of_aborted_transactions_wherever_the_marker_is,
     the_index_of_aborted_transactions_is_kafkas, death_anywhere_leaves_what_the_batches_say)
