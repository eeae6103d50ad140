/* What a crash leaves, and what the next start makes of it. */
#include "broker/log/recover.h"
#include "log_world.h"

static struct one_log one;

#define LOG_0   "t-0/00000000000000000000.log"
#define INDEX_0 "t-0/00000000000000000000.index"
#define TIMES_0 "t-0/00000000000000000000.timeindex"

static void begin(void)
{
    one = (struct one_log){.w = world_create()};
    log_config_default(&one.config);
    one.config.index_interval_bytes = 200;
    one_log_create(&one);
}
static void end(void)
{
    one_log_gone(&one);
    world_destroy(one.w);
}
static void reopen(bool is_clean, int64_t recovery_point)
{
    ck_assert_int_eq(one_log_reopen(&one, is_clean, recovery_point, 0), ERR_OK);
}

/* Batches of three records at 0, 3, 6 …; `ends[i]` is where batch i ends in the file. */
static int64_t fill(int n, int64_t *ends)
{
    struct log_appended appended = {0};
    for (int i = 0; i < n; i++) {
        append_at(&one, 3, 40, 1000 + i * 10, 1, &appended);
        if (ends != NULL) ends[i] = appended.end.position;
    }
    return appended.end.position;
}

START_TEST(a_clean_log_is_loaded_without_reading_it)
{
    begin();
    fill(30, NULL);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    ck_assert_int_eq(log_recovery_point(one.log), 90);
    int64_t index = world_size(one.w, INDEX_0);
    reopen(true, 0);
    ck_assert_int_eq(one.recovered.segments_recovered, 0);
    ck_assert_int_eq(log_end_offset(one.log), 90);
    ck_assert_int_eq(log_recovery_point(one.log), 90);
    ck_assert_int_eq(log_high_watermark(one.log), 90);
    ck_assert_int_eq(epochs_latest(log_epochs(one.log)).epoch, 1);
    ck_assert_int_lt(world_counts(one.w).reads, 15);
    ck_assert_int_eq(world_size(one.w, INDEX_0), index);
    ck_assert_int_eq(read_all(&one, 0, 1000), 90);
    ck_assert_int_eq(append_one(&one, 1), 90);
    end();
}
END_TEST

START_TEST(an_empty_log_costs_nothing_to_load)
{
    begin();
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    reopen(true, 0);
    int opens = world_counts(one.w).opens;
    ck_assert_int_le(opens, 2); /* the epochs; no segment, no index */
    ck_assert_int_eq(log_end_offset(one.log), 0);
    ck_assert_int_eq(log_files_open_count(one.files), 0);
    end();
}
END_TEST

/* The tail may be cut at any byte: what is whole before the cut stays, no more and no less. */
START_TEST(a_torn_tail_is_cut_at_the_last_whole_batch)
{
    int64_t ends[4];

    for (int64_t cut = 0;; cut += 13) {
        begin();
        int64_t size = fill(4, ends);
        if (cut > size) {
            end();
            break;
        }
        log_detach(one.log);
        world_cut(one.w, LOG_0, cut);
        reopen(false, 0);
        int whole = 0;
        while (whole < 4 && ends[whole] <= cut)
            whole++;
        ck_assert_int_eq(log_end_offset(one.log), whole * 3);
        ck_assert_int_eq(world_size(one.w, LOG_0), whole == 0 ? 0 : ends[whole - 1]);
        ck_assert_int_eq(one.recovered.bytes_cut, cut - (whole == 0 ? 0 : ends[whole - 1]));
        ck_assert_int_eq(read_all(&one, 0, 100), whole * 3);
        ck_assert_int_eq(append_one(&one, 1), whole * 3);
        end();
    }
}
END_TEST

START_TEST(a_tail_of_zeros_is_cut)
{
    int64_t ends[3];
    uint8_t zeros[5000] = {0};
    struct buf bytes;

    begin();
    buf_init(&bytes);
    fill(3, ends);
    log_detach(one.log);
    world_get(one.w, LOG_0, &bytes);
    bytes.len = (size_t)ends[1] + 20; /* the third was written in part, then nothing */
    buf_add(&bytes, zeros, sizeof(zeros));
    world_put(one.w, LOG_0, buf_slice(&bytes));
    reopen(false, 0);
    ck_assert_int_eq(log_end_offset(one.log), 6);
    ck_assert_int_eq(world_size(one.w, LOG_0), ends[1]);
    buf_fini(&bytes);
    end();
}
END_TEST

/* One flipped bit anywhere under a checksum ends the log there; the offset and the epoch are not
 * under it, but an offset that does not fit ends it as well. */
START_TEST(a_flipped_bit_ends_the_log_there)
{
    int64_t ends[3];

    for (int64_t at = 0;; at += 7) {
        struct buf bytes;
        begin();
        int64_t size = fill(3, ends);
        if (at >= size) {
            end();
            break;
        }
        buf_init(&bytes);
        log_detach(one.log);
        world_get(one.w, LOG_0, &bytes);
        bytes.ptr[at] ^= 0x80;
        world_put(one.w, LOG_0, buf_slice(&bytes));
        reopen(false, 0);
        int hit = at < ends[0] ? 0 : at < ends[1] ? 1 : 2;
        int64_t in_batch = at - (hit == 0 ? 0 : ends[hit - 1]);
        if (in_batch >= 16) /* magic, checksum and what it covers */
            ck_assert_int_eq(log_end_offset(one.log), hit * 3);
        buf_fini(&bytes);
        end();
    }
}
END_TEST

START_TEST(damage_in_the_middle_takes_what_follows)
{
    struct buf bytes;

    begin();
    one.config.segment_bytes_max = 700;
    log_set_config(one.log, &one.config);
    fill(12, NULL);
    ck_assert_int_gt(log_segment_count(one.log), 3);
    int64_t second = one.log->segments[1]->base;
    char name[64];
    snprintf(name, sizeof(name), "t-0/%020lld.log", (long long)second);
    buf_init(&bytes);
    log_detach(one.log);
    world_get(one.w, name, &bytes);
    bytes.ptr[bytes.len - 1] ^= 1;
    world_put(one.w, name, buf_slice(&bytes));
    reopen(false, 0);
    ck_assert_int_eq(log_segment_count(one.log), 2);
    ck_assert_int_gt(log_end_offset(one.log), second);
    ck_assert_int_eq(read_all(&one, 0, 1000), log_end_offset(one.log));
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(what_was_synced_is_believed)
{
    begin();
    one.config.segment_bytes_max = 700;
    log_set_config(one.log, &one.config);
    fill(12, NULL);
    int count = log_segment_count(one.log);
    int64_t last = log_active(one.log)->base, all = log_end_offset(one.log);
    reopen(false, last);
    ck_assert_int_eq(one.recovered.segments_recovered, 1); /* only the active one */
    ck_assert_int_eq(log_segment_count(one.log), count);
    ck_assert_int_eq(log_end_offset(one.log), all);
    ck_assert_int_eq(log_recovery_point(one.log), last); /* recovery itself syncs nothing */
    struct log_sync *sync = NULL;
    ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    ck_assert_int_eq(log_recovery_point(one.log), all);
    end();
}
END_TEST

START_TEST(sealed_segments_that_were_not_synced_are_synced_after_recovery)
{
    begin();
    one.config.segment_bytes_max = 700;
    log_set_config(one.log, &one.config);
    fill(12, NULL);
    int count = log_segment_count(one.log);
    reopen(false, 0);
    int syncs = world_counts(one.w).syncs;
    struct log_sync *sync = NULL;
    ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    ck_assert_int_ge(world_counts(one.w).syncs - syncs, (count - 1) * 3 + 1);
    end();
}
END_TEST

START_TEST(indexes_are_built_anew_after_a_crash)
{
    struct buf built, kept;

    begin();
    buf_init(&built);
    buf_init(&kept);
    fill(40, NULL);
    log_detach(one.log);
    world_put(one.w, INDEX_0, SLICE("garbage that is no index at all"));
    world_put(one.w, TIMES_0, SLICE("neither"));
    reopen(false, 0);
    ck_assert_int_eq(read_all(&one, 0, 300), 120);
    log_detach(one.log);
    world_get(one.w, INDEX_0, &built);
    world_get(one.w, TIMES_0, &kept);
    ck_assert_uint_gt(built.len, 100);
    ck_assert_uint_eq(built.len % 8, 0);
    ck_assert_uint_eq(kept.len % 12, 0);
    /* The closing entry of the time index is the highest timestamp. */
    ck_assert_int_eq(prim_load64(kept.ptr + kept.len - 12), 1000 + 39 * 10 + 2);
    /* Kafka leaves the index of a crashed active segment full of zeros behind its entries. */
    uint8_t zeros[1024] = {0};
    struct buf padded;
    buf_init(&padded);
    buf_add_slice(&padded, buf_slice(&built));
    buf_add(&padded, zeros, sizeof(zeros));
    world_put(one.w, INDEX_0, buf_slice(&padded));
    reopen(false, 60);
    ck_assert_int_eq(read_all(&one, 0, 300), 120);
    log_detach(one.log);
    world_get(one.w, INDEX_0, &kept);
    ck_assert(slice_equal(buf_slice(&built), buf_slice(&kept)));
    buf_fini(&padded);
    buf_fini(&built);
    buf_fini(&kept);
    end();
}
END_TEST

START_TEST(a_missing_index_is_made_even_after_a_clean_stop)
{
    begin();
    fill(40, NULL);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    int64_t size = world_size(one.w, INDEX_0), times = world_size(one.w, TIMES_0);
    log_detach(one.log);
    world_delete(one.w, INDEX_0);
    reopen(true, 0);
    ck_assert_int_eq(one.recovered.segments_recovered, 1);
    ck_assert_int_eq(world_size(one.w, INDEX_0), size);
    log_detach(one.log);
    world_delete(one.w, TIMES_0);
    reopen(true, 0);
    ck_assert_int_eq(one.recovered.segments_recovered, 1);
    ck_assert_int_eq(world_size(one.w, TIMES_0), times);
    ck_assert_int_eq(log_end_offset(one.log), 120);
    ck_assert_int_eq(read_all(&one, 0, 300), 120);
    end();
}
END_TEST

START_TEST(an_index_that_lies_makes_finding_slow_not_wrong)
{
    uint8_t entry[16] = {0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 50, 0, 0, 1, 99};

    begin();
    fill(40, NULL);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    log_detach(one.log);
    world_put(one.w, INDEX_0, slice_of(entry, sizeof(entry)));
    reopen(true, 0); /* the end cannot be found from there: recovered */
    ck_assert_int_eq(log_end_offset(one.log), 120);
    ck_assert_int_eq(read_all(&one, 0, 300), 120);
    end();
}
END_TEST

START_TEST(an_index_without_its_segment_goes)
{
    begin();
    fill(2, NULL);
    log_detach(one.log);
    world_put(one.w, "t-0/00000000000000000500.index", SLICE("12345678"));
    world_put(one.w, "t-0/00000000000000000500.timeindex", SLICE("123456789012"));
    world_put(one.w, "t-0/00000000000000000000.log.deleted", SLICE("old"));
    world_put(one.w, "t-0/other.file", SLICE("left alone"));
    reopen(true, 0);
    ck_assert(!world_has(one.w, "t-0/00000000000000000500.index"));
    ck_assert(!world_has(one.w, "t-0/00000000000000000500.timeindex"));
    ck_assert(!world_has(one.w, "t-0/00000000000000000000.log.deleted"));
    ck_assert(world_has(one.w, "t-0/other.file"));
    ck_assert_int_eq(log_end_offset(one.log), 6);
    end();
}
END_TEST

START_TEST(compaction_that_was_cut_off_is_undone_or_done)
{
    struct buf bytes;

    begin();
    buf_init(&bytes);
    fill(4, NULL);
    log_detach(one.log);
    world_get(one.w, LOG_0, &bytes);
    /* Not yet complete: it goes, the original stays. */
    world_put(one.w, "t-0/00000000000000000000.log.cleaned", SLICE("half"));
    world_put(one.w, "t-0/00000000000000000000.index.cleaned", SLICE("half"));
    reopen(false, 0);
    ck_assert_int_eq(log_end_offset(one.log), 12);
    ck_assert(!world_has(one.w, "t-0/00000000000000000000.log.cleaned"));

    /* Complete: it replaces what it covers, here segment 0 and a segment 6 within its range. */
    log_detach(one.log);
    world_put(one.w, "t-0/00000000000000000000.log.swap", buf_slice(&bytes));
    world_put(one.w, "t-0/00000000000000000000.index.swap", SLICE(""));
    world_put(one.w, "t-0/00000000000000000000.timeindex.swap", SLICE(""));
    world_put(one.w, LOG_0, SLICE("old content"));
    world_put(one.w, "t-0/00000000000000000006.log", SLICE("old content"));
    world_put(one.w, "t-0/00000000000000000006.snapshot", SLICE("old"));
    reopen(false, 0);
    ck_assert_int_eq(log_end_offset(one.log), 12);
    ck_assert_int_eq(log_segment_count(one.log), 1);
    ck_assert(!world_has(one.w, "t-0/00000000000000000006.log"));
    ck_assert(!world_has(one.w, "t-0/00000000000000000006.snapshot"));
    ck_assert(!world_has(one.w, "t-0/00000000000000000000.log.swap"));

    /* A split that was cut off: .cleaned says that the .swap files above it are of the same. */
    log_detach(one.log);
    world_put(one.w, "t-0/00000000000000000000.log.cleaned", SLICE("half"));
    world_put(one.w, "t-0/00000000000000000006.log.swap", SLICE("half"));
    reopen(false, 0);
    ck_assert_int_eq(log_end_offset(one.log), 12);
    ck_assert(!world_has(one.w, "t-0/00000000000000000006.log.swap"));
    ck_assert(!world_has(one.w, "t-0/00000000000000000006.log"));
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(epochs_are_learnt_again_from_the_batches)
{
    begin();
    append_at(&one, 3, 40, 1000, 2, NULL);
    append_at(&one, 3, 40, 1000, 4, NULL);
    append_at(&one, 3, 40, 1000, 4, NULL);
    log_detach(one.log);
    ck_assert_int_eq(world_size(one.w, "t-0/leader-epoch-checkpoint"), 0); /* never saved */
    reopen(false, 0);
    ck_assert_int_eq(log_epochs(one.log)->count, 2);
    ck_assert_int_eq(log_epochs(one.log)->at[1].epoch, 4);
    ck_assert_int_eq(log_epochs(one.log)->at[1].start, 3);
    log_detach(one.log);
    /* Entries behind the end were of batches that did not make it. */
    world_put(one.w, "t-0/leader-epoch-checkpoint", SLICE("0\n3\n2 0\n4 3\n9 9\n"));
    reopen(false, 0);
    ck_assert_int_eq(epochs_latest(log_epochs(one.log)).epoch, 4);
    end();
}
END_TEST

START_TEST(a_damaged_table_of_epochs_is_learnt_anew_and_a_damaged_topic_id_is_not)
{
    static const char *const tables[] = {"0\n2\n1 0\n", "0\n1\n1 x\n", "7\n", "", "0\n1\n3 0\n"};

    begin();
    fill(2, NULL);
    log_detach(one.log);
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        world_put(one.w, "t-0/leader-epoch-checkpoint", slice_text(tables[i]));
        ck_assert_int_eq(one_log_reopen(&one, true, 0, 0), ERR_OK);
        ck_assert_int_eq(epochs_latest(log_epochs(one.log)).epoch, 1);
        ck_assert_int_eq(log_epochs(one.log)->count, 1);
        ck_assert(log_wants_save(one.log));
    }
    world_put(one.w, "t-0/partition.metadata", SLICE("version: 0\n"));
    ck_assert_int_eq(one_log_reopen(&one, true, 0, 0), ERR_CORRUPT);
    world_delete(one.w, "t-0/partition.metadata");
    world_delete(one.w, "t-0/leader-epoch-checkpoint"); /* missing: none */
    ck_assert_int_eq(one_log_reopen(&one, false, 0, 0), ERR_OK);
    ck_assert_int_eq(epochs_latest(log_epochs(one.log)).epoch, 1);
    end();
}
END_TEST

/* The first append does not wait for the device: a loss of power may leave the file empty. */
START_TEST(a_topic_id_that_was_not_synced_may_be_lost)
{
    begin();
    fill(2, NULL);
    log_detach(one.log);
    world_put(one.w, "t-0/partition.metadata", SLICE(""));
    ck_assert_int_eq(one_log_reopen(&one, true, 0, 0), ERR_CORRUPT);
    ck_assert_int_eq(one_log_reopen(&one, false, 2, 0), ERR_CORRUPT); /* it had been synced */
    ck_assert_int_eq(one_log_reopen(&one, false, 0, 0), ERR_OK);
    ck_assert(uuid_is_zero(log_topic_id(one.log)));
    ck_assert_int_gt(log_end_offset(one.log), 0);
    end();
}
END_TEST

START_TEST(the_log_start_of_the_checkpoint_counts)
{
    begin();
    fill(4, NULL);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    ck_assert_int_eq(one_log_reopen(&one, true, 0, 5), ERR_OK);
    ck_assert_int_eq(log_start_offset(one.log), 5);
    ck_assert_int_eq(log_end_offset(one.log), 12);
    /* Above the end: what there is has been deleted everywhere. */
    ck_assert_int_eq(one_log_reopen(&one, true, 0, 50), ERR_OK);
    ck_assert_int_eq(log_start_offset(one.log), 50);
    ck_assert_int_eq(log_end_offset(one.log), 50);
    ck_assert_int_eq(log_epochs(one.log)->count, 0);
    ck_assert_int_eq(append_one(&one, 1), 50);
    end();
}
END_TEST

START_TEST(a_preallocated_segment_is_trimmed)
{
    one = (struct one_log){.w = world_create()};
    log_config_default(&one.config);
    one.config.preallocate = true;
    one.config.segment_bytes_max = 8192;
    one_log_create(&one);
    ck_assert_int_eq(world_size(one.w, LOG_0), 8192);
    int64_t size = fill(3, NULL);
    ck_assert_int_eq(world_size(one.w, LOG_0), 8192);
    ck_assert_int_eq(log_size_bytes(one.log), size);
    reopen(false, 0); /* crash: zeros behind the batches */
    ck_assert_int_eq(log_end_offset(one.log), 9);
    ck_assert_int_eq(world_size(one.w, LOG_0), size);
    for (int i = 0; i < 30; i++)
        append_at(&one, 3, 100, 2000, 1, NULL);
    ck_assert_int_gt(log_segment_count(one.log), 1);
    ck_assert_int_le(one.log->segments[0]->size, 8192);
    ck_assert_int_eq(world_size(one.w, LOG_0), one.log->segments[0]->size);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    char name[64];
    snprintf(name, sizeof(name), "t-0/%020lld.log", (long long)log_active(one.log)->base);
    ck_assert_int_eq(world_size(one.w, name), log_active(one.log)->size);
    end();
}
END_TEST

/* A roll that finds the disk full leaves no empty segment: behind what is appended later to the old
 * one it would be where the log ends. */
START_TEST(a_roll_on_a_full_disk_leaves_nothing_behind)
{
    bool rolled = false;

    for (int at = 0; !rolled; at++) {
        struct log_appended appended;
        struct buf bytes;
        begin();
        one.config.segment_bytes_max = 2000;
        log_set_config(one.log, &one.config);
        for (int i = 0; i < 5; i++)
            append_at(&one, 1, 200, 1000 + i, 1, NULL);
        buf_init(&bytes);
        make_batch(&bytes, 1, 1000, 1000);
        const struct checked checked = {.bytes = bytes.ptr, .len = bytes.len, .offset_count = 1};
        world_fault(one.w, FAULT_FAIL, ERR_FULL, at);
        enum err err = log_append_leader(one.log, &checked, 1, 0, &appended);
        rolled = err == ERR_OK && one.w->nth.seen <= at;
        /* A snapshot of producers that finds no room is done without. */
        ck_assert(err == ERR_OK || err == ERR_FULL);
        world_fault(one.w, FAULT_NONE, ERR_OK, 0);
        int64_t end_before = log_end_offset(one.log);
        append_at(&one, 2, 20, 2000, 1, NULL); /* fits where the other did not */
        ck_assert(!one.dir.is_offline);
        reopen(false, 0);
        ck_assert_int_eq(log_end_offset(one.log), end_before + 2);
        ck_assert_int_eq(read_all(&one, 0, 500), end_before + 2);
        buf_fini(&bytes);
        end();
        ck_assert_int_lt(at, 20);
    }
}
END_TEST

/* The process dies at each change that it makes to the disk in a life of appends, rolls, a
 * truncation, a retention and a sync; what comes up is whole, dense, and has all that was synced.
 */
static void live(int64_t *synced)
{
    struct log_sync *sync = NULL;
    struct log_appended appended;
    struct buf bytes;
    int removed;

    buf_init(&bytes);
    for (int i = 0; i < 14 && !world_is_dead(one.w); i++) {
        make_batch(&bytes, 3, 60, 1000 + i);
        const struct checked checked = {.bytes = bytes.ptr,
                                        .len = bytes.len,
                                        .offset_count = 3,
                                        .max_timestamp = 1002 + i,
                                        .max_timestamp_offset = 2,
                                        .append_time_ms = -1};
        (void)!log_append_leader(one.log, &checked, i / 4, one.w->wall_ms, &appended);
        if (i == 5 && log_sync_plan(one.log, 0, &sync) == ERR_OK && sync != NULL) {
            log_sync_run(sync);
            if (log_sync_done(one.log, &sync) == ERR_OK) *synced = log_recovery_point(one.log);
        }
        if (i == 8) (void)!log_truncate_to(one.log, 21);
        if (i == 11) {
            log_set_high_watermark(one.log, 9);
            (void)!log_retain(one.log, 1000000, &removed);
        }
    }
    (void)!log_finish(one.log, 0);
    buf_fini(&bytes);
}

START_TEST(death_at_any_change_leaves_a_log)
{
    bool died = true;

    for (int at = 0; died; at++) {
        int64_t synced = 0;
        one = (struct one_log){.w = world_create()};
        log_config_default(&one.config);
        one.config.index_interval_bytes = 100;
        one.config.segment_bytes_max = 900;
        one.config.retention_ms = 1;
        one_log_create(&one);
        world_fault(one.w, FAULT_DIE, ERR_IO, at);
        live(&synced);
        died = world_is_dead(one.w);
        int64_t end_before = log_end_offset(one.log);
        ck_assert_msg(one_log_reopen(&one, false, synced, 0) == ERR_OK, "at %d", at);
        ck_assert_int_ge(log_end_offset(one.log), synced < 21 ? synced : 21);
        ck_assert_int_le(log_end_offset(one.log), end_before > 27 ? end_before + 3 : 30);
        ck_assert_int_eq(read_all(&one, log_start_offset(one.log), 500), log_end_offset(one.log));
        int64_t next = log_end_offset(one.log);
        ck_assert_int_eq(append_one(&one, 2), next);

        /* And dying while recovering changes nothing for the next try. */
        int64_t all = log_end_offset(one.log);
        for (int again = 0; again < 12; again++) {
            one_log_gone(&one);
            one.w = world_restart(one.w);
            world_fault(one.w, FAULT_DIE, ERR_IO, again);
            struct recover_request request = one_log_request(&one);
            request.is_clean = false;
            enum err err = recover_log(&request, &one.recovered, &one.log);
            if (err == ERR_OK) {
                ck_assert_int_eq(log_end_offset(one.log), all);
                log_attach(one.log, one.files);
                break;
            }
            ck_assert_ptr_null(one.log);
        }
        one_log_gone(&one);
        ck_assert_int_eq(one_log_reopen(&one, false, 0, 0), ERR_OK);
        ck_assert_int_eq(log_end_offset(one.log), all);
        end();
        ck_assert_int_lt(at, 500);
    }
}
END_TEST

/* ---- what the loss of power leaves, found by tests/nth ---- */

static const char *segment_file(int64_t base, const char *extension)
{
    static char names[4][64];
    static int next;

    next = (next + 1) % 4;
    snprintf(names[next], sizeof(names[next]), "t-0/%020lld.%s", (long long)base, extension);
    return names[next];
}

/* Segments of two batches of three records; offsets 0 … 11. */
static void fill_segments(void)
{
    begin();
    one.config.segment_bytes_max = 500;
    log_set_config(one.log, &one.config);
    for (int i = 0; i < 4; i++)
        append_at(&one, 3, 40, 1000 + i, 1 + i / 3, NULL);
    ck_assert_int_eq(log_segment_count(one.log), 2);
    ck_assert_int_eq(one.log->segments[1]->base, 6);
    log_detach(one.log);
}

/* The last pages of one segment were lost whole, so that it ends in a batch; those of the next were
 * not. */
START_TEST(what_follows_a_hole_between_segments_goes)
{
    fill_segments();
    world_cut(one.w, LOG_0, world_size(one.w, LOG_0) / 2);
    reopen(false, 0);
    ck_assert_int_eq(log_end_offset(one.log), 3);
    ck_assert_int_eq(log_segment_count(one.log), 1);
    ck_assert_int_eq(read_all(&one, 0, 500), 3);
    ck_assert_int_eq(append_one(&one, 1), 3);
    end();

    fill_segments(); /* a compacted topic's as well: nothing has been compacted here yet */
    world_cut(one.w, LOG_0, world_size(one.w, LOG_0) / 2);
    one.config.is_compacted = true;
    reopen(false, 0);
    ck_assert_int_eq(log_end_offset(one.log), 3);
    end();
}
END_TEST

static void recover_as(bool is_foreign, int64_t cleaned)
{
    one_log_gone(&one);
    one.w = world_restart(one.w);
    struct recover_request request = one_log_request(&one);
    request.is_clean = false;
    request.is_foreign = is_foreign;
    request.cleaned = cleaned;
    request.high_watermark = INT64_MAX;
    ck_assert_int_eq(recover_log(&request, &one.recovered, &one.log), ERR_OK);
    log_attach(one.log, one.files);
}

/* Compaction leaves such holes, as far as it has come. */
START_TEST(a_hole_where_the_log_was_compacted_is_none)
{
    static const struct {
        const char *text; /* of NAMES_COMPACTED; NULL: it is not there */
        int64_t cleaned;  /* the line of the checkpoint; it may be of an earlier topic's log */
        bool is_foreign, is_compacted;
        int64_t end;
    } cases[] = {
        {"6\n", -1, false, false, 12},    {"7\n", -1, false, false, 12},
        {"5\n", -1, false, true, 3},      {"5\n", -1, true, true, 3},
        {"5\n", 6, false, false, 12},     {"", -1, false, true, 3},
        {"much\n", -1, false, false, 12}, /* damaged */
        {NULL, 6, false, false, 12},      {NULL, 5, false, false, 3},
        {NULL, 7, false, false, 3},       {NULL, -1, true, true, 12},
        {NULL, 6, true, false, 12},       {NULL, -1, true, false, 3},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fill_segments();
        world_cut(one.w, LOG_0, world_size(one.w, LOG_0) / 2);
        if (cases[i].text != NULL)
            world_put(one.w, "t-0/" NAMES_COMPACTED, slice_text(cases[i].text));
        one.config.is_compacted = cases[i].is_compacted;
        recover_as(cases[i].is_foreign, cases[i].cleaned);
        ck_assert_msg(log_end_offset(one.log) == cases[i].end, "case %d: %lld", (int)i,
                      (long long)log_end_offset(one.log));
        if (cases[i].text == NULL && cases[i].cleaned != 5)
            ck_assert_int_eq(log_cleaned_offset(one.log),
                             cases[i].end == 3 ? -1 : cases[i].cleaned);

        /* What was believed once is believed again, whatever is known then. */
        one.config.is_compacted = false;
        recover_as(false, -1);
        ck_assert_int_eq(log_end_offset(one.log), cases[i].end);
        ck_assert(cases[i].end == 3 || world_has(one.w, "t-0/" NAMES_COMPACTED));
        end();
    }
}
END_TEST

/* A truncation and a roll, of which the device has heard of the roll alone. */
START_TEST(a_segment_ends_where_the_next_begins)
{
    struct buf old;

    for (int synced = 0; synced < 2; synced++) {
        fill_segments();
        buf_init(&old);
        world_get(one.w, LOG_0, &old);
        log_attach(one.log, one.files);
        ck_assert_int_eq(log_truncate_to(one.log, 3), ERR_OK);
        ck_assert_int_eq(log_roll(one.log, 0), ERR_OK);
        append_at(&one, 2, 40, 2000, 7, NULL);
        log_detach(one.log);
        world_put(one.w, LOG_0, buf_slice(&old));
        reopen(false, synced ? 3 : 0);
        ck_assert_int_eq(log_end_offset(one.log), 5);
        ck_assert_int_eq(read_all(&one, 0, 500), 5);
        ck_assert_int_lt(world_size(one.w, LOG_0), (int64_t)old.len);
        ck_assert_int_eq(epochs_at(log_epochs(one.log), 3), 7);
        buf_fini(&old);
        end();
    }
}
END_TEST

/* Its leader has compacted its own log; this one has only what is left, and no configuration yet.
 */
START_TEST(the_holes_of_a_leader_are_not_taken_for_a_loss)
{
    static const int64_t second[] = {3, 10}; /* after 0-2: without a hole, and with one */
    struct log_appended appended;
    struct buf first, next;

    for (int is_one = 0; is_one < 2; is_one++)
        for (int k = 0; k < 2; k++) {
            begin();
            buf_init(&first);
            buf_init(&next);
            make_batch(&first, 3, 10, 1000);
            make_batch(&next, 3, 10, 1000);
            batch_set_base_offset(next.ptr, second[k]);
            if (is_one) buf_add_slice(&first, buf_slice(&next));
            ck_assert_int_eq(log_append_follower(one.log, buf_slice(&first), 0, &appended), ERR_OK);
            if (!is_one)
                ck_assert_int_eq(log_append_follower(one.log, buf_slice(&next), 0, &appended),
                                 ERR_OK);
            ck_assert_int_eq(world_has(one.w, "t-0/" NAMES_COMPACTED), k == 1);
            ck_assert_int_eq(one.log->compacted_to, k == 1 ? 0 : -1);
            int64_t size = world_size(one.w, LOG_0);
            reopen(false, 0);
            ck_assert_int_eq(log_end_offset(one.log), second[k] + 3);
            ck_assert_int_eq(world_size(one.w, LOG_0), size);
            buf_fini(&first);
            buf_fini(&next);
            end();
        }
}
END_TEST

/* Offsets in a segment are 31 bits behind its base: behind so long a hole another segment begins.
 */
START_TEST(a_hole_as_long_as_a_segment_may_be_is_noted)
{
    const int64_t far = (int64_t)INT32_MAX + 100;
    struct log_appended appended;
    struct buf batch;

    begin();
    buf_init(&batch);
    make_batch(&batch, 3, 10, 1000);
    ck_assert_int_eq(log_append_follower(one.log, buf_slice(&batch), 0, &appended), ERR_OK);
    batch_set_base_offset(batch.ptr, far);
    ck_assert_int_eq(log_append_follower(one.log, buf_slice(&batch), 0, &appended), ERR_OK);
    ck_assert_int_eq(log_segment_count(one.log), 2);
    ck_assert_int_eq(one.log->compacted_to, far);
    reopen(false, 0);
    ck_assert_int_eq(log_end_offset(one.log), far + 3);
    /* Cut below it, it is no longer so. */
    ck_assert_int_eq(log_truncate_to(one.log, 2), ERR_OK);
    ck_assert_int_eq(one.log->compacted_to, log_end_offset(one.log));
    buf_fini(&batch);
    end();
}
END_TEST

/* A full disk took a part of a batch, which was cut off again; there was room for the next segment,
 * and of the cut the device has not heard. */
START_TEST(what_a_failed_write_left_does_not_come_back)
{
    struct log_appended appended;
    struct log_sync *sync = NULL;
    struct buf bytes;

    for (int i = 0; i < 40; i++) {
        bool synced = i > 0;
        int64_t ends[2];
        one = (struct one_log){.w = world_on(NULL, (uint64_t)i + 1)};
        log_config_default(&one.config);
        one_log_create(&one);
        ck_assert_int_eq(files_sync_directory(one.w->real, one.w->dir), ERR_OK);
        fill(2, ends);
        ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
        reopen(true, 0);
        ck_assert_int_eq(log_recovery_point(one.log), 6);

        buf_init(&bytes);
        make_batch(&bytes, 5, 100, 1000);
        const struct checked checked = {.bytes = bytes.ptr, .len = bytes.len, .offset_count = 5};
        world_fault(one.w, FAULT_FAIL, ERR_FULL, 0);
        ck_assert_int_eq(log_append_leader(one.log, &checked, 1, 0, &appended), ERR_FULL);
        world_fault(one.w, FAULT_NONE, ERR_OK, 0);
        ck_assert_int_eq(world_size(one.w, LOG_0), ends[1]);
        ck_assert_int_eq(log_roll(one.log, 0), ERR_OK);
        append_at(&one, 2, 40, 2000, 1, NULL);
        if (synced) {
            /* The recovery point leaves it behind: nothing looks there any more. */
            ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
            log_sync_run(sync);
            ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
            one_log_gone(&one);
            one.w = world_restart_after_power_loss(one.w, SIM_FATE_MIXED);
        } else {
            /* What came back: a part of it. */
            struct buf file;
            buf_init(&file);
            world_get(one.w, LOG_0, &file);
            buf_add(&file, bytes.ptr, 100);
            world_put(one.w, LOG_0, buf_slice(&file));
            buf_fini(&file);
        }
        reopen(false, synced ? 8 : 6);
        ck_assert_int_eq(world_size(one.w, LOG_0), ends[1]);
        ck_assert_int_eq(log_end_offset(one.log), 8);
        ck_assert_int_eq(read_all(&one, 0, 500), 8);
        buf_fini(&bytes);
        end();
    }

    /* Damage within it costs no more than itself. */
    fill_segments();
    struct buf file;
    buf_init(&file);
    world_get(one.w, LOG_0, &file);
    file.ptr[file.len / 2 + 16] ^= 1; /* the magic of its second batch */
    world_put(one.w, LOG_0, buf_slice(&file));
    reopen(false, 6);
    ck_assert_int_eq(world_size(one.w, LOG_0), (int64_t)file.len);
    ck_assert_int_eq(log_end_offset(one.log), 12);
    buf_fini(&file);
    end();
}
END_TEST

/* The table was saved before the batches were: which epoch wrote what, the batches say. */
START_TEST(epochs_are_those_of_the_batches_not_of_a_table_that_came_first)
{
    fill_segments();
    world_put(one.w, "t-0/leader-epoch-checkpoint", SLICE("0\n3\n1 0\n5 7\n8 12\n"));
    reopen(false, 3);
    ck_assert_int_eq(log_epochs(one.log)->count, 2);
    ck_assert_int_eq(log_epochs(one.log)->at[1].epoch, 2);
    ck_assert_int_eq(log_epochs(one.log)->at[1].start, 9);
    end();

    fill_segments(); /* batches at its beginning may have been compacted away */
    world_put(one.w, "t-0/leader-epoch-checkpoint", SLICE("0\n2\n1 0\n2 9\n"));
    reopen(false, 0);
    ck_assert_int_eq(log_epochs(one.log)->at[1].start, 9);
    ck_assert(!log_wants_save(one.log));
    end();
}
END_TEST

/* Segment 6 has lost its index, and is not the first to be scanned for that. */
START_TEST(an_epoch_begins_at_its_first_batch_though_a_later_index_is_lost)
{
    begin();
    one.config.segment_bytes_max = 500;
    log_set_config(one.log, &one.config);
    for (int i = 0; i < 4; i++)
        append_at(&one, 3, 40, 1000 + i, i == 0 ? 1 : 4, NULL);
    log_detach(one.log);
    world_delete(one.w, segment_file(6, "index"));
    reopen(false, 0);
    ck_assert_int_eq(log_epochs(one.log)->at[1].epoch, 4);
    ck_assert_int_eq(log_epochs(one.log)->at[1].start, 3);
    end();
}
END_TEST

/* A cut that only the page cache knew of when the process died. */
START_TEST(the_device_hears_of_a_truncation_with_the_next_sync)
{
    struct log_sync *sync = NULL;

    fill_segments();
    ck_assert_int_eq(files_sync_directory(one.w->real, one.w->dir), ERR_OK);
    log_attach(one.log, one.files);
    ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    ck_assert_int_eq(log_truncate_to(one.log, 3), ERR_OK);
    ck_assert_int_eq(log_roll(one.log, 0), ERR_OK);
    append_at(&one, 2, 40, 2000, 7, NULL);
    reopen(false, 3);
    ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    one_log_gone(&one);
    one.w = world_restart_after_power_loss(one.w, SIM_FATE_DROPPED);
    ck_assert_int_eq(one_log_reopen(&one, true, 5, 0), ERR_OK);
    ck_assert_int_eq(log_end_offset(one.log), 5);
    ck_assert_int_eq(read_all(&one, 0, 500), 5);
    end();
}
END_TEST

/* After a sync that failed the cache may show what the device does not have. */
START_TEST(what_a_failed_sync_has_lost_is_not_believed_by_the_next_start)
{
    int lost = 0;

    for (int i = 0; i < 30; i++) {
        struct log_sync *sync = NULL;
        one = (struct one_log){.w = world_on(NULL, (uint64_t)i + 1)};
        log_config_default(&one.config);
        one_log_create(&one);
        ck_assert_int_eq(files_sync_directory(one.w->real, one.w->dir), ERR_OK);
        append_one(&one, 3);
        ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
        log_sync_run(sync);
        ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
        append_one(&one, 3);
        ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
        world_fault(one.w, FAULT_FAIL, ERR_IO, 0);
        log_sync_run(sync);
        ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_IO);
        ck_assert(one.dir.is_offline);
        reopen(false, 3);
        int64_t end_found = log_end_offset(one.log);
        lost += end_found == 3;
        sync = NULL;
        ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
        if (sync != NULL) {
            log_sync_run(sync);
            ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
        }
        one_log_gone(&one);
        one.w = world_restart_after_power_loss(one.w, SIM_FATE_DROPPED);
        ck_assert_int_eq(one_log_reopen(&one, false, end_found, 0), ERR_OK);
        ck_assert_int_eq(log_end_offset(one.log), end_found);
        end();
    }
    ck_assert_int_gt(lost, 5);
}
END_TEST

UNIT(a_roll_on_a_full_disk_leaves_nothing_behind, a_clean_log_is_loaded_without_reading_it,
     an_empty_log_costs_nothing_to_load, a_torn_tail_is_cut_at_the_last_whole_batch,
     a_tail_of_zeros_is_cut, a_flipped_bit_ends_the_log_there,
     damage_in_the_middle_takes_what_follows, what_was_synced_is_believed,
     sealed_segments_that_were_not_synced_are_synced_after_recovery,
     indexes_are_built_anew_after_a_crash, a_missing_index_is_made_even_after_a_clean_stop,
     an_index_that_lies_makes_finding_slow_not_wrong, an_index_without_its_segment_goes,
     compaction_that_was_cut_off_is_undone_or_done, epochs_are_learnt_again_from_the_batches,
     a_damaged_table_of_epochs_is_learnt_anew_and_a_damaged_topic_id_is_not,
     a_topic_id_that_was_not_synced_may_be_lost, the_log_start_of_the_checkpoint_counts,
     a_preallocated_segment_is_trimmed, death_at_any_change_leaves_a_log,
     what_follows_a_hole_between_segments_goes, a_hole_where_the_log_was_compacted_is_none,
     a_hole_as_long_as_a_segment_may_be_is_noted, what_a_failed_write_left_does_not_come_back,
     the_holes_of_a_leader_are_not_taken_for_a_loss, a_segment_ends_where_the_next_begins,
     epochs_are_those_of_the_batches_not_of_a_table_that_came_first,
     an_epoch_begins_at_its_first_batch_though_a_later_index_is_lost,
     the_device_hears_of_a_truncation_with_the_next_sync,
     what_a_failed_sync_has_lost_is_not_believed_by_the_next_start)
