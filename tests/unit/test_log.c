#include "broker/log/parts.h"
#include "broker/log/log.h"
#include "log_world.h"

static struct one_log one;

static void begin(void)
{
    one = (struct one_log){.w = world_create()};
    log_config_default(&one.config);
}
static void begin_log(void)
{
    begin();
    one_log_create(&one);
}
static void end(void)
{
    one_log_gone(&one);
    world_destroy(one.w);
}

static enum err read_at(int64_t offset, int64_t bytes_max, bool at_least_one, struct log_slice *out)
{
    const struct log_read read = {.offset = offset,
                                  .bytes_max = bytes_max,
                                  .at_least_one = at_least_one,
                                  .limit = log_end_position(one.log)};
    return log_read(one.log, &read, out);
}

START_TEST(a_new_log_has_kafkas_files)
{
    begin_log();
    ck_assert(world_has(one.w, "t-0/00000000000000000000.log"));
    ck_assert(world_has(one.w, "t-0/00000000000000000000.index"));
    ck_assert(world_has(one.w, "t-0/00000000000000000000.timeindex"));
    ck_assert_int_eq(world_size(one.w, "t-0/leader-epoch-checkpoint"), 0);
    ck_assert_int_eq(log_end_offset(one.log), 0);
    ck_assert_int_eq(log_segment_count(one.log), 1);
    end();
}
END_TEST

START_TEST(a_leader_gives_offsets_and_stamps_its_epoch)
{
    struct log_appended appended;
    struct buf bytes;
    struct batch batch;

    begin_log();
    ck_assert_int_eq(append_at(&one, 3, 10, 1000, 5, NULL), 0);
    ck_assert_int_eq(append_at(&one, 2, 10, 2000, 5, &appended), 3);
    ck_assert_int_eq(appended.last_offset, 4);
    ck_assert_int_eq(appended.max_timestamp, 2001);
    ck_assert_int_eq(appended.max_timestamp_offset, 4);
    ck_assert_int_eq(log_end_offset(one.log), 5);
    ck_assert_int_eq(appended.end.position, world_size(one.w, "t-0/00000000000000000000.log"));

    buf_init(&bytes);
    world_get(one.w, "t-0/00000000000000000000.log", &bytes);
    struct slice rest = buf_slice(&bytes);
    ck_assert_int_eq(batch_take(&rest, &batch), ERR_OK); /* the checksum still holds */
    ck_assert_int_eq(batch.base_offset, 0);
    ck_assert_int_eq(batch.leader_epoch, 5);
    ck_assert_int_eq(batch_take(&rest, &batch), ERR_OK);
    ck_assert_int_eq(batch.base_offset, 3);
    ck_assert_int_eq(appended.start.position, (int64_t)(batch.bytes.ptr - bytes.ptr));
    ck_assert_uint_eq(rest.len, 0);
    ck_assert_int_eq(epochs_latest(log_epochs(one.log)).epoch, 5);
    ck_assert(log_wants_save(one.log));
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(a_follower_stores_the_bytes_as_they_are)
{
    struct log_appended appended;
    struct buf bytes, more, file;

    begin_log();
    buf_init(&bytes);
    buf_init(&more);
    buf_init(&file);
    make_batch(&bytes, 5, 10, 1000);
    batch_set_base_offset(bytes.ptr, 7); /* a gap below is fine: the leader's log starts there */
    batch_set_leader_epoch(bytes.ptr, 3);
    make_batch(&more, 2, 10, 900);
    batch_set_base_offset(more.ptr, 12);
    batch_set_leader_epoch(more.ptr, 4);
    size_t first = bytes.len;
    buf_add_slice(&bytes, buf_slice(&more));
    size_t whole = bytes.len;
    buf_add(&bytes, more.ptr, 40); /* a batch that was cut off */

    ck_assert_int_eq(log_append_follower(one.log, buf_slice(&bytes), 0, &appended), ERR_OK);
    ck_assert_uint_eq(appended.len, whole);
    ck_assert_int_eq(appended.first_offset, 7);
    ck_assert_int_eq(appended.last_offset, 13);
    ck_assert_int_eq(appended.max_timestamp, 1004);
    ck_assert_int_eq(appended.max_timestamp_offset, 11);
    world_get(one.w, "t-0/00000000000000000000.log", &file);
    ck_assert(slice_equal(buf_slice(&file), slice_of(bytes.ptr, whole)));
    ck_assert_int_eq(log_epochs(one.log)->count, 2);
    ck_assert_int_eq(log_epochs(one.log)->at[1].start, 12);

    /* Below the end, descending, damaged, not whole: nothing of it is written. */
    struct slice again = slice_of(bytes.ptr, first);
    ck_assert_int_eq(log_append_follower(one.log, again, 0, &appended), ERR_RANGE);
    batch_set_base_offset(bytes.ptr, 20);
    batch_set_base_offset(bytes.ptr + first, 20);
    ck_assert_int_eq(log_append_follower(one.log, slice_of(bytes.ptr, whole), 0, &appended),
                     ERR_RANGE);
    batch_set_base_offset(bytes.ptr + first, 25);
    bytes.ptr[whole - 1] ^= 1;
    ck_assert_int_eq(log_append_follower(one.log, slice_of(bytes.ptr, whole), 0, &appended),
                     ERR_CORRUPT);
    ck_assert_int_eq(log_append_follower(one.log, slice_of(bytes.ptr, first - 1), 0, &appended),
                     ERR_TRUNCATED);
    ck_assert_int_eq(log_end_offset(one.log), 14);
    ck_assert_int_eq(world_size(one.w, "t-0/00000000000000000000.log"), (int64_t)whole);
    buf_fini(&bytes);
    buf_fini(&more);
    buf_fini(&file);
    end();
}
END_TEST

START_TEST(every_offset_is_found_over_all_segments)
{
    begin();
    one.config.segment_bytes_max = 20000;
    one.config.index_interval_bytes = 1000;
    one_log_create(&one);
    for (int i = 0; i < 300; i++)
        append_at(&one, 1 + i % 5, 50 + (size_t)i, 1000 + i, 1, NULL);
    ck_assert_int_gt(log_segment_count(one.log), 3);
    int64_t last = log_end_offset(one.log);
    for (int64_t offset = 0; offset < last; offset += 7) {
        struct log_slice slice;
        struct log_position where;
        ck_assert_int_eq(log_locate(one.log, offset, &where), ERR_OK);
        ck_assert_int_eq(read_at(offset, 1, true, &slice), ERR_OK);
        ck_assert_int_eq(slice.position, where.position);
        struct scan_batch batch;
        uint8_t head[SCAN_HEAD_BYTES];
        size_t n;
        ck_assert_int_eq(file_read_at(&one.w->env, log_slice_file(&slice), (uint64_t)slice.position,
                                      head, sizeof(head), &n),
                         ERR_OK);
        ck_assert_int_eq(scan_head(slice_of(head, n), &batch), ERR_OK);
        ck_assert(batch.base_offset <= offset && offset <= batch.last_offset);
        ck_assert_int_eq(slice.len, batch.size); /* at least one, and no more */
        log_slice_release(&slice);
    }
    ck_assert_int_eq(read_all(&one, 0, 3000), last);
    ck_assert_int_eq(read_all(&one, 17, 1), last);
    ck_assert_int_eq(read_all(&one, 0, INT64_MAX), last);
    end();
}
END_TEST

START_TEST(reading_keeps_to_its_bounds)
{
    struct log_slice slice;
    struct log_appended first, second;

    begin_log();
    append_at(&one, 5, 100, 1000, 1, &first);
    append_at(&one, 5, 100, 1000, 1, &second);
    int64_t size = first.end.position;

    ck_assert_int_eq(read_at(-1, 1000, true, &slice), ERR_RANGE);
    ck_assert_int_eq(read_at(11, 1000, true, &slice), ERR_RANGE);
    ck_assert_int_eq(read_at(10, 1000, true, &slice), ERR_OK); /* the end: nothing yet */
    ck_assert_int_eq(slice.len, 0);
    ck_assert_ptr_null(slice.file);
    ck_assert_int_eq(slice.start.position, second.end.position);

    ck_assert_int_eq(read_at(7, 1 << 20, true, &slice), ERR_OK); /* from the batch's begin */
    ck_assert_int_eq(slice.position, size);
    ck_assert_int_eq(slice.len, second.end.position - size);
    log_slice_release(&slice);
    ck_assert_int_eq(read_at(0, size + 10, true, &slice), ERR_OK); /* may cut a later batch */
    ck_assert_int_eq(slice.len, size + 10);
    ck_assert(!slice.is_cut);
    log_slice_release(&slice);
    ck_assert_int_eq(read_at(0, 10, false, &slice), ERR_OK);
    ck_assert_int_eq(slice.len, 10);
    ck_assert(slice.is_cut);
    log_slice_release(&slice);
    ck_assert_int_eq(read_at(0, 10, true, &slice), ERR_OK);
    ck_assert_int_eq(slice.len, size);
    ck_assert(!slice.is_cut);
    log_slice_release(&slice);

    /* Up to the high watermark, not behind it. */
    struct log_read read = {.offset = 0, .bytes_max = 1 << 20, .limit = second.start};
    ck_assert_int_eq(log_read(one.log, &read, &slice), ERR_OK);
    ck_assert_int_eq(slice.len, size);
    log_slice_release(&slice);
    read.offset = 5;
    ck_assert_int_eq(log_read(one.log, &read, &slice), ERR_OK);
    ck_assert_int_eq(slice.len, 0);
    end();
}
END_TEST

START_TEST(bytes_between_counts_what_a_fetch_would_get)
{
    struct log_appended a, b, c;

    begin();
    one.config.segment_bytes_max = 1500;
    one_log_create(&one);
    append_at(&one, 1, 500, 1000, 1, &a);
    append_at(&one, 1, 500, 1000, 1, &b);
    append_at(&one, 1, 500, 1000, 1, &c);
    ck_assert(c.has_rolled && !b.has_rolled);
    ck_assert_int_eq(log_bytes_between(one.log, &a.start, &b.end), b.end.position);
    ck_assert_int_eq(log_bytes_between(one.log, &b.start, &b.start), 0);
    ck_assert_int_eq(log_bytes_between(one.log, &b.end, &a.start), 0);
    ck_assert_int_eq(log_bytes_between(one.log, &b.start, &c.end),
                     b.end.position - b.start.position);
    ck_assert_int_eq(log_bytes_between(one.log, &c.end, &a.start), 0);
    struct log_position gone = {.segment_base = -5};
    ck_assert_int_eq(log_bytes_between(one.log, &gone, &c.end), INT64_MAX);
    end();
}
END_TEST

START_TEST(segments_roll_by_size_and_are_sealed_as_kafka_seals_them)
{
    struct buf bytes;

    begin();
    one.config.segment_bytes_max = 1000;
    one.config.index_interval_bytes = 1;
    one_log_create(&one);
    for (int i = 0; i < 4; i++)
        append_at(&one, 1, 300, 1000 + i, 1, NULL);
    ck_assert_int_eq(log_segment_count(one.log), 2);
    ck_assert(world_has(one.w, "t-0/00000000000000000002.log"));
    buf_init(&bytes);
    /* The first chunk is never indexed; the entry is the chunk's last offset and its start. */
    world_get(one.w, "t-0/00000000000000000000.index", &bytes);
    ck_assert_uint_eq(bytes.len, 8);
    ck_assert_int_eq(bytes.ptr[3], 1);
    ck_assert_int_eq(prim_load32(bytes.ptr + 4),
                     world_size(one.w, "t-0/00000000000000000000.log") / 2);
    world_get(one.w, "t-0/00000000000000000000.timeindex", &bytes);
    ck_assert_uint_eq(bytes.len, 12);
    ck_assert_int_eq(prim_load64(bytes.ptr), 1001);
    ck_assert_int_eq(prim_load32(bytes.ptr + 8), 1);
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(one_far_future_timestamp_rolls_at_once)
{
    struct log_appended appended;

    begin();
    one.config.segment_ms_max = 1000;
    one_log_create(&one);
    append_at(&one, 1, 10, 5000, 1, NULL);
    append_at(&one, 1, 10, 6000, 1, &appended);
    ck_assert(!appended.has_rolled);
    append_at(&one, 1, 10, 6001, 1, &appended);
    ck_assert(appended.has_rolled);
    /* The same when the segment was loaded: its first batch is asked. */
    append_at(&one, 1, 10, 6500, 1, NULL);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    ck_assert_int_eq(one_log_reopen(&one, true, 0, 0), ERR_OK);
    append_at(&one, 1, 10, 7001, 1, &appended);
    ck_assert(!appended.has_rolled);
    append_at(&one, 1, 10, 7002, 1, &appended);
    ck_assert(appended.has_rolled);
    end();
}
END_TEST

START_TEST(a_full_index_rolls)
{
    struct log_appended appended;

    begin();
    one.config.index_bytes_max = 36; /* four offsets, three times less one */
    one.config.index_interval_bytes = 1;
    one_log_create(&one);
    for (int i = 0; i < 3; i++) {
        append_at(&one, 1, 10, 1000 + i, 1, &appended);
        ck_assert(!appended.has_rolled);
    }
    append_at(&one, 1, 10, 1003, 1, &appended);
    ck_assert(appended.has_rolled);
    ck_assert_int_eq(world_size(one.w, "t-0/00000000000000000000.timeindex"), 24);
    end();
}
END_TEST

/* A follower has to take what its leader took when segments were larger. */
START_TEST(what_is_larger_than_a_segment_is_refused_by_the_leader_only)
{
    struct buf bytes;
    struct log_appended appended;

    begin();
    one.config.segment_bytes_max = 200;
    one_log_create(&one);
    buf_init(&bytes);
    make_batch(&bytes, 1, 300, 1000);
    const struct checked checked = {.bytes = bytes.ptr, .len = bytes.len, .offset_count = 1};
    ck_assert_int_eq(log_append_leader(one.log, &checked, 1, 0, &appended), ERR_TOO_LARGE);
    ck_assert_int_eq(log_end_offset(one.log), 0);
    ck_assert_int_eq(log_append_follower(one.log, buf_slice(&bytes), 0, &appended), ERR_OK);
    ck_assert_int_eq(log_end_offset(one.log), 1);
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(a_full_disk_costs_an_error_and_nothing_else)
{
    struct log_appended appended;
    struct buf bytes;

    begin_log();
    append_one(&one, 5);
    int64_t size = world_size(one.w, "t-0/00000000000000000000.log");
    buf_init(&bytes);
    make_batch(&bytes, 5, 100, 1000);
    const struct checked checked = {.bytes = bytes.ptr, .len = bytes.len, .offset_count = 5};
    world_fault(one.w, FAULT_FAIL, ERR_FULL, 0);
    ck_assert_int_eq(log_append_leader(one.log, &checked, 1, 0, &appended), ERR_FULL);
    ck_assert_int_eq(world_size(one.w, "t-0/00000000000000000000.log"), size); /* cut off again */
    ck_assert(!one.dir.is_offline);
    /* The very same batch goes in when there is room. */
    ck_assert_int_eq(log_append_leader(one.log, &checked, 1, 0, &appended), ERR_OK);
    ck_assert_int_eq(appended.first_offset, 5);
    ck_assert_int_eq(read_all(&one, 0, 1000), 10);
    buf_fini(&bytes);
    end();
}
END_TEST

static void follow(struct buf *out, int64_t base, int32_t epoch)
{
    struct buf batch;

    buf_init(&batch);
    make_batch(&batch, 2, 100, 1000);
    batch_set_base_offset(batch.ptr, base);
    batch_set_leader_epoch(batch.ptr, epoch);
    buf_add_slice(out, buf_slice(&batch));
    buf_fini(&batch);
}

START_TEST(a_follower_whose_disk_was_full_knows_where_its_epochs_began)
{
    struct log_appended appended;
    struct buf bytes;

    begin_log();
    buf_init(&bytes);
    follow(&bytes, 0, 3);
    follow(&bytes, 2, 4);
    ck_assert_int_eq(log_append_follower(one.log, buf_slice(&bytes), 0, &appended), ERR_OK);
    buf_clear(&bytes);
    follow(&bytes, 4, 4);
    follow(&bytes, 6, 5);
    for (int i = 0; i < 2; i++) {
        world_fault(one.w, FAULT_FAIL, ERR_FULL, 0);
        ck_assert_int_eq(log_append_follower(one.log, buf_slice(&bytes), 0, &appended), ERR_FULL);
    }
    ck_assert_int_eq(log_start_epoch(one.log, 6, 4), ERR_OK); /* it leads */
    const struct epochs *epochs = log_epochs(one.log);
    ck_assert_int_eq(epochs->count, 3);
    ck_assert_int_eq(epochs->at[1].epoch, 4);
    ck_assert_int_eq(epochs->at[1].start, 2);
    ck_assert_int_eq(epochs->at[2].start, 4);
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(a_broken_disk_takes_the_directory_and_is_not_read_as_data)
{
    struct log_appended appended;
    struct log_slice slice;
    struct buf bytes;

    begin_log();
    append_one(&one, 5);
    buf_init(&bytes);
    make_batch(&bytes, 5, 100, 1000);
    const struct checked checked = {.bytes = bytes.ptr, .len = bytes.len, .offset_count = 5};
    world_fault(one.w, FAULT_FAIL, ERR_IO, 0);
    ck_assert_int_eq(log_append_leader(one.log, &checked, 1, 0, &appended), ERR_IO);
    ck_assert(one.dir.is_offline);
    ck_assert_int_eq(log_end_offset(one.log), 5);
    ck_assert_int_eq(log_append_leader(one.log, &checked, 1, 0, &appended), ERR_OFFLINE);
    ck_assert_int_eq(read_at(0, 100, true, &slice), ERR_OFFLINE);
    ck_assert_int_eq(log_truncate_to(one.log, 0), ERR_OFFLINE);
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(a_slice_outlives_its_segment)
{
    struct log_slice slice, copy;
    uint8_t byte;
    size_t n = 0;

    begin_log();
    append_one(&one, 5);
    ck_assert_int_eq(read_at(0, 1000, true, &slice), ERR_OK);
    copy = log_slice_share(&slice);
    log_slice_release(&slice);
    ck_assert_int_eq(log_truncate_fully(one.log, 100, -1), ERR_OK);
    struct log_unlink *unlink = log_unlink_plan(one.log, one.w->wall_ms + 60000);
    ck_assert_ptr_nonnull(unlink);
    log_unlink_run(unlink);
    log_unlink_done(&unlink);
    ck_assert(!world_has(one.w, "t-0/00000000000000000000.log.deleted"));
    ck_assert_int_eq(file_read_at(&one.w->env, log_slice_file(&copy), 20, &byte, 1, &n), ERR_OK);
    ck_assert_uint_eq(n, 1);
    ck_assert(log_slice_is_cached(&one.w->env, &copy));
    ck_assert_int_eq(log_slice_warm_run(&one.w->env, &copy), ERR_OK);
    log_slice_release(&copy);
    end();
}
END_TEST

#define CACHED_PAGE 4096

/* One page is not in memory. */
static uint64_t lost_page;

static enum err all_but_one(struct file *file, uint64_t position, void *to, size_t len, size_t *n)
{
    size_t there = position < lost_page ? (size_t)(lost_page - position) : 0;

    if (position >= lost_page + CACHED_PAGE) there = len;
    return one.w->real->ops->files->read_at(file, position, to, there < len ? there : len, n);
}

START_TEST(what_is_not_in_memory_is_named_and_not_waited_for)
{
    struct files_ops files;
    struct env_ops ops;
    struct log_slice slice;

    begin_log();
    for (int i = 0; i < 100; i++)
        append_one(&one, 50);
    struct log_read read = {.offset = 2500,
                            .bytes_max = 300000,
                            .at_least_one = true,
                            .limit = log_end_position(one.log),
                            .only_cached = true};
    ck_assert_int_eq(log_read(one.log, &read, &slice), ERR_OK);
    ck_assert(!slice.is_cold && slice.len > 2 * 128 * 1024);
    int64_t position = slice.position, len = slice.len;
    log_slice_release(&slice);

    const struct env_ops *before = one.w->env.ops;
    ops = *before;
    files = *before->files;
    files.read_cached = all_but_one;
    ops.files = &files;
    one.w->env.ops = &ops;
    /* Where the batch begins: what is to be brought in is what will be read. */
    lost_page = (uint64_t)position / CACHED_PAGE * CACHED_PAGE;
    ck_assert_int_eq(log_read(one.log, &read, &slice), ERR_OK);
    ck_assert(slice.is_cold);
    ck_assert_int_le(slice.position, position);
    ck_assert_int_gt(slice.position + slice.len, position + CACHED_PAGE);
    ck_assert_int_eq(log_slice_warm_run(&one.w->env, &slice), ERR_OK);
    log_slice_release(&slice);
    /* In the middle: it is found, and known not to be all there. */
    lost_page = ((uint64_t)position + 128 * 1024) / CACHED_PAGE * CACHED_PAGE;
    ck_assert_int_eq(log_read(one.log, &read, &slice), ERR_OK);
    ck_assert(!slice.is_cold);
    ck_assert_int_eq(slice.len, len);
    ck_assert(!log_slice_is_cached(&one.w->env, &slice));
    log_slice_release(&slice);
    /* Nowhere. */
    lost_page = (uint64_t)1 << 40;
    ck_assert_int_eq(log_read(one.log, &read, &slice), ERR_OK);
    ck_assert(!slice.is_cold && log_slice_is_cached(&one.w->env, &slice));
    log_slice_release(&slice);
    one.w->env.ops = before;
    end();
}
END_TEST

START_TEST(a_truncation_that_stops_half_way_leaves_no_gap)
{
    begin();
    one.config.segment_bytes_max = 1500;
    one_log_create(&one);
    for (int i = 0; i < 12; i++)
        append_at(&one, 1, 300, 1000 + i, 1, NULL);
    ck_assert_int_eq(log_segment_count(one.log), 3); /* at 0, 4, 8 */
    world_fault(one.w, FAULT_FAIL, ERR_TOO_MANY, 5); /* the five renames of the last one are done */
    ck_assert_int_eq(log_truncate_to(one.log, 5), ERR_TOO_MANY);
    world_fault(one.w, FAULT_NONE, ERR_OK, 0);
    ck_assert_int_eq(log_segment_count(one.log), 2);
    ck_assert_int_eq(log_end_offset(one.log), 8);
    ck_assert_int_eq(append_one(&one, 1), 8);
    ck_assert_int_eq(read_all(&one, 0, 10000), 9);
    ck_assert_int_eq(log_truncate_to(one.log, 5), ERR_OK); /* asked again */
    ck_assert_int_eq(read_all(&one, 0, 10000), 5);
    end();
}
END_TEST

START_TEST(a_crash_in_a_truncation_leaves_a_shorter_log_without_a_gap)
{
    for (int at = 0; at < 12; at++) {
        begin();
        one.config.segment_bytes_max = 1500;
        one_log_create(&one);
        for (int i = 0; i < 12; i++)
            append_at(&one, 1, 300, 1000 + i, 1, NULL);
        world_fault(one.w, FAULT_DIE, ERR_IO, at);
        (void)!log_truncate_to(one.log, 1); /* over the segments at 4 and 8 */
        ck_assert_int_eq(one_log_reopen(&one, false, 0, 0), ERR_OK);
        int64_t last = log_end_offset(one.log);
        ck_assert_msg(last == 12 || last == 8 || last == 4 || last == 1, "died at %d", at);
        ck_assert_int_eq(read_all(&one, 0, 10000), last);
        end();
    }
}
END_TEST

START_TEST(truncation_cuts_at_a_batch_and_over_segments)
{
    begin();
    one.config.segment_bytes_max = 1500;
    one.config.index_interval_bytes = 1;
    one_log_create(&one);
    for (int i = 0; i < 12; i++)
        append_at(&one, 1, 300, 1000 + i, 1 + i / 3, NULL); /* epochs 1..4 at 0, 3, 6, 9 */
    ck_assert_int_eq(log_segment_count(one.log), 3);
    log_set_high_watermark(one.log, 12);

    ck_assert_int_eq(log_truncate_to(one.log, 11), ERR_OK); /* within the last segment */
    ck_assert_int_eq(log_end_offset(one.log), 11);
    ck_assert_int_eq(log_high_watermark(one.log), 11);
    ck_assert_int_eq(log_truncate_to(one.log, 5), ERR_OK); /* back over one */
    ck_assert_int_eq(log_segment_count(one.log), 2);
    ck_assert_int_eq(log_end_offset(one.log), 5);
    ck_assert_int_eq(epochs_latest(log_epochs(one.log)).epoch, 2);
    ck_assert(world_has(one.w, "t-0/00000000000000000008.log.deleted"));
    ck_assert_int_eq(append_at(&one, 1, 300, 2000, 7, NULL), 5);
    ck_assert_int_eq(append_at(&one, 1, 300, 2001, 7, NULL), 6);
    ck_assert_int_eq(read_all(&one, 0, 10000), 7);
    ck_assert_int_eq(log_truncate_to(one.log, 4), ERR_OK); /* exactly a segment's base */
    ck_assert_int_eq(read_all(&one, 0, 10000), 4);
    ck_assert_int_eq(log_truncate_to(one.log, 0), ERR_OK);
    ck_assert_int_eq(log_size_bytes(one.log), 0);
    ck_assert_int_eq(append_one(&one, 1), 0);
    end();
}
END_TEST

START_TEST(truncating_at_the_end_still_drops_a_bogus_epoch)
{
    begin_log();
    append_at(&one, 5, 10, 1000, 1, NULL);
    ck_assert_int_eq(log_start_epoch(one.log, 9, 5), ERR_OK); /* led, wrote nothing */
    ck_assert_int_eq(log_truncate_to(one.log, 8), ERR_OK);
    ck_assert_int_eq(log_end_offset(one.log), 5);
    ck_assert_int_eq(epochs_latest(log_epochs(one.log)).epoch, 1);
    end();
}
END_TEST

/* replication reference, example A: a follower whose watermark lags cuts nothing that the leader
 * has. */
START_TEST(a_follower_that_restarts_keeps_what_its_leader_has)
{
    begin_log();
    append_at(&one, 10, 10, 1000, 1, NULL);
    ck_assert_int_eq(log_finish(one.log, 0), ERR_OK);
    ck_assert_int_eq(one_log_reopen(&one, false, 0, 0), ERR_OK);
    log_set_high_watermark(one.log, 8);
    /* The leader's end of epoch 1 is 10. */
    struct epoch_end own = epochs_end_of(log_epochs(one.log), 1, log_end_offset(one.log));
    ck_assert_int_eq(own.epoch, 1);
    ck_assert_int_eq(own.end_offset, 10);
    ck_assert_int_eq(log_truncate_to(one.log, 10), ERR_OK);
    ck_assert_int_eq(log_end_offset(one.log), 10);
    end();
}
END_TEST

/* Example B: old leader A cuts itself back to where it agrees with B. */
START_TEST(an_old_leader_cuts_back_to_where_it_agrees)
{
    begin_log();
    for (int i = 0; i < 15; i++)
        append_at(&one, 1, 10, 1000, 0, NULL);
    for (int i = 0; i < 5; i++)
        append_at(&one, 1, 10, 1000, 2, NULL);
    struct epoch_end f = epochs_end_of(log_epochs(one.log), 1, 20); /* B: diverges, (1, 20) */
    ck_assert_int_eq(f.epoch, 0);
    ck_assert_int_eq(f.end_offset, 15);
    ck_assert_int_eq(log_truncate_to(one.log, 15), ERR_OK);
    ck_assert_int_eq(epochs_latest(log_epochs(one.log)).epoch, 0);
    ck_assert_int_eq(log_truncate_to(one.log, 10), ERR_OK); /* B: (0, 10) */
    ck_assert_int_eq(log_end_offset(one.log), 10);
    ck_assert_int_eq(read_all(&one, 0, 1 << 20), 10);
    end();
}
END_TEST

START_TEST(starting_over_leaves_nothing_of_the_old)
{
    begin_log();
    append_at(&one, 5, 100, 1000, 3, NULL);
    ck_assert_int_eq(log_truncate_fully(one.log, 100, -1), ERR_OK);
    ck_assert_int_eq(log_start_offset(one.log), 100);
    ck_assert_int_eq(log_end_offset(one.log), 100);
    ck_assert_int_eq(log_high_watermark(one.log), 100);
    ck_assert_int_eq(log_epochs(one.log)->count, 0);
    ck_assert_int_eq(log_recovery_point(one.log), 0);
    ck_assert_int_eq(append_one(&one, 2), 100);
    ck_assert_int_eq(log_truncate_to(one.log, 50), ERR_OK); /* below the first segment */
    ck_assert_int_eq(log_start_offset(one.log), 50);
    ck_assert_int_eq(log_truncate_fully(one.log, 50, 30), ERR_OK); /* onto its own base */
    ck_assert_int_eq(log_start_offset(one.log), 30);
    ck_assert_int_eq(append_one(&one, 1), 50);
    end();
}
END_TEST

/* Wherever in it the disk is full, and though it asks for room ahead. */
START_TEST(a_full_disk_does_not_stop_starting_over)
{
    for (int at = 0; at < 16; at++) {
        begin();
        one.config.segment_bytes_max = 1500;
        one.config.preallocate = true;
        one_log_create(&one);
        for (int i = 0; i < 5; i++)
            append_at(&one, 1, 300, 1000 + i, 1, NULL);
        ck_assert_int_eq(log_segment_count(one.log), 2);
        world_fault(one.w, FAULT_FAIL, ERR_FULL, at);
        ck_assert_msg(log_truncate_fully(one.log, 100, -1) == ERR_OK, "full at %d", at);
        world_fault(one.w, FAULT_NONE, ERR_OK, 0);
        ck_assert(!one.dir.is_offline);
        ck_assert_int_eq(log_start_offset(one.log), 100);
        ck_assert_int_eq(append_one(&one, 2), 100);
        end();
    }
}
END_TEST

/* Others take the room that it frees. */
START_TEST(a_disk_that_stays_full_leaves_the_log_one)
{
    begin();
    one.config.segment_bytes_max = 1500;
    one_log_create(&one);
    for (int i = 0; i < 5; i++)
        append_at(&one, 1, 300, 1000 + i, 1, NULL);
    ck_assert_int_eq(log_segment_count(one.log), 2);
    struct sim_nth full = {.kinds = SIM_CREATE | SIM_WRITE, .err = ERR_FULL, .goes_on = true};
    sim_files_plan(one.w->files, &full);
    ck_assert_int_eq(log_truncate_fully(one.log, 100, -1), ERR_FULL);
    sim_files_plan(one.w->files, NULL);
    int64_t last = log_start_offset(one.log);
    ck_assert_int_gt(last, 0);
    ck_assert(!one.dir.is_offline);
    ck_assert_int_eq(log_end_offset(one.log), 5);
    ck_assert_int_eq(append_one(&one, 1), 5);
    ck_assert_int_eq(read_all(&one, last, 1 << 20), 6);
    ck_assert_int_eq(log_truncate_fully(one.log, 100, -1), ERR_OK);
    ck_assert_int_eq(log_start_offset(one.log), 100);
    ck_assert_int_eq(log_segment_count(one.log), 1);
    ck_assert_int_eq(append_one(&one, 2), 100);
    end();
}
END_TEST

START_TEST(the_log_start_moves_up_to_the_watermark_only)
{
    begin_log();
    append_at(&one, 5, 10, 1000, 1, NULL);
    append_at(&one, 5, 10, 1000, 2, NULL);
    log_set_high_watermark(one.log, 7);
    ck_assert_int_eq(log_advance_start(one.log, 8), ERR_RANGE);
    ck_assert_int_eq(log_advance_start(one.log, 7), ERR_OK);
    ck_assert_int_eq(log_advance_start(one.log, 3), ERR_OK); /* never back */
    ck_assert_int_eq(log_start_offset(one.log), 7);
    ck_assert_int_eq(epochs_earliest(log_epochs(one.log)).epoch, 2);
    struct log_slice slice;
    ck_assert_int_eq(read_at(6, 100, true, &slice), ERR_RANGE);
    end();
}
END_TEST

START_TEST(retention_removes_old_segments_in_two_steps)
{
    int removed = -1;

    begin();
    one.config.segment_bytes_max = 1000;
    one.config.retention_ms = 1000;
    one_log_create(&one);
    for (int i = 0; i < 6; i++)
        append_at(&one, 1, 300, 1000 * (i + 1), 1, NULL);
    ck_assert_int_eq(log_segment_count(one.log), 3);
    ck_assert_int_eq(log_retain(one.log, 5500, &removed), ERR_OK);
    ck_assert_int_eq(removed, 0); /* the watermark is at 0 */
    log_set_high_watermark(one.log, 6);
    ck_assert_int_eq(log_retain(one.log, 5500, &removed), ERR_OK);
    ck_assert_int_eq(removed, 2);
    ck_assert_int_eq(log_start_offset(one.log), 4);
    ck_assert(world_has(one.w, "t-0/00000000000000000002.log.deleted"));
    ck_assert(world_has(one.w, "t-0/00000000000000000002.timeindex.deleted"));
    ck_assert_ptr_null(log_unlink_plan(one.log, 5500 + 59999));

    /* All of it is old: it ends as one empty segment at its end. */
    ck_assert_int_eq(log_retain(one.log, 90000, &removed), ERR_OK);
    ck_assert_int_eq(removed, 1);
    ck_assert_int_eq(log_segment_count(one.log), 1);
    ck_assert_int_eq(log_start_offset(one.log), 6);
    ck_assert_int_eq(log_retain(one.log, 990000, &removed), ERR_OK);
    ck_assert_int_eq(removed, 0);
    struct log_unlink *unlink = log_unlink_plan(one.log, 90000 + 60000);
    log_unlink_run(unlink);
    log_unlink_done(&unlink);
    ck_assert(!world_has(one.w, "t-0/00000000000000000002.log.deleted"));
    ck_assert(!world_has(one.w, "t-0/00000000000000000004.index.deleted"));
    ck_assert(world_has(one.w, "t-0/00000000000000000006.log"));
    ck_assert_int_eq(append_one(&one, 1), 6);
    end();
}
END_TEST

START_TEST(the_recovery_point_moves_when_the_device_has_it)
{
    struct log_sync *sync = NULL, *second = NULL;
    struct log_appended appended;

    begin();
    one.config.flush_messages = 10;
    one.config.flush_ms = 500;
    one_log_create(&one);
    append_at(&one, 9, 10, 1000, 4, &appended);
    ck_assert(!appended.wants_sync);
    append_at(&one, 1, 10, 1000, 4, &appended);
    ck_assert(appended.wants_sync);
    ck_assert(log_sync_due(one.log, 500) && !log_sync_due(one.log, 499));

    ck_assert_int_eq(log_sync_plan(one.log, 1000, &sync), ERR_OK);
    ck_assert_ptr_nonnull(sync);
    append_at(&one, 3, 10, 1000, 4, NULL); /* after the plan: not covered by it */
    ck_assert_int_eq(log_sync_plan(one.log, 1000, &second), ERR_OK);
    ck_assert_ptr_null(second); /* one at a time */
    log_sync_run(sync);
    ck_assert_int_eq(log_recovery_point(one.log), 0);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    ck_assert_int_eq(log_recovery_point(one.log), 10);
    ck_assert(!log_wants_save(one.log));

    struct buf text;
    buf_init(&text);
    world_get(one.w, "t-0/leader-epoch-checkpoint", &text);
    ck_assert(slice_is(buf_slice(&text), "0\n1\n4 0\n"));
    buf_fini(&text);
    end();
}
END_TEST

/* The marker of a clean stop says that indexes are whole: they are synced though the records were.
 */
START_TEST(what_was_synced_while_it_was_written_still_lacks_its_indexes)
{
    struct log_sync *sync = NULL;

    begin_log();
    append_at(&one, 5, 10, 1000, 4, NULL);
    ck_assert_int_eq(log_sync_plan(one.log, 1000, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    ck_assert_int_eq(log_recovery_point(one.log), 5);
    ck_assert(log_needs_finish(one.log));
    int before = world_counts(one.w).syncs;
    ck_assert_int_eq(log_finish(one.log, 2000), ERR_OK);
    ck_assert_int_ge(world_counts(one.w).syncs, before + 2);
    ck_assert(!log_needs_finish(one.log));

    /* Nor when it was sealed in between. */
    append_at(&one, 5, 10, 1000, 4, NULL);
    ck_assert_int_eq(log_sync_plan(one.log, 3000, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    ck_assert_int_eq(log_roll(one.log, 3000), ERR_OK);
    ck_assert_int_eq(log_sync_plan_sealed(one.log, 4000, &sync), ERR_OK);
    ck_assert_ptr_nonnull(sync);
    before = world_counts(one.w).syncs;
    log_sync_run(sync);
    ck_assert_int_ge(world_counts(one.w).syncs, before + 2);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    end();
}
END_TEST

START_TEST(a_sync_that_failed_proves_nothing)
{
    struct log_sync *sync = NULL;

    begin_log();
    append_one(&one, 5);
    ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
    world_fault(one.w, FAULT_FAIL, ERR_IO, 0);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_IO);
    ck_assert_int_eq(log_recovery_point(one.log), 0);
    ck_assert(one.dir.is_offline);
    end();
}
END_TEST

/* The kernel reports lost pages once and then calls them clean: a disk that is full for that, and
 * says so late, has lost them all the same. */
START_TEST(a_sync_that_failed_for_want_of_room_has_lost_what_it_was_to_keep)
{
    struct log_sync *sync = NULL;

    begin_log();
    append_one(&one, 5);
    ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    append_one(&one, 5);
    ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
    world_fault(one.w, FAULT_FAIL, ERR_FULL, 0);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_IO);
    ck_assert_int_eq(log_recovery_point(one.log), 5);
    ck_assert(one.dir.is_offline);
    end();
}
END_TEST

START_TEST(a_sync_planned_before_a_cut_proves_nothing)
{
    struct log_sync *sync = NULL;

    begin_log();
    append_one(&one, 10);
    append_one(&one, 10);
    ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_truncate_to(one.log, 10), ERR_OK);
    append_one(&one, 10); /* other records at the same offsets, not synced */
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    ck_assert_int_eq(log_recovery_point(one.log), 0);
    ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
    ck_assert_ptr_nonnull(sync);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    ck_assert_int_eq(log_recovery_point(one.log), 20);
    end();
}
END_TEST

START_TEST(after_a_roll_only_what_is_sealed_is_synced)
{
    struct log_sync *sync = NULL;

    begin();
    one.config.segment_bytes_max = 1000;
    one_log_create(&one);
    for (int i = 0; i < 3; i++)
        append_at(&one, 1, 300, 1000, 1, NULL);
    int syncs = world_counts(one.w).syncs;
    ck_assert_int_eq(log_sync_plan_sealed(one.log, 0, &sync), ERR_OK);
    log_sync_run(sync);
    ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
    ck_assert_int_eq(log_recovery_point(one.log), 2);
    /* .log, .index and .timeindex of the sealed one, the snapshot of producers, and the epochs. */
    ck_assert_int_eq(world_counts(one.w).syncs - syncs, 5);
    end();
}
END_TEST

START_TEST(the_topic_id_is_there_before_the_first_record)
{
    struct uuid id = {{1, 2, 3}}, other = {{4}};

    begin_log();
    ck_assert_int_eq(log_set_topic_id(one.log, id), ERR_OK);
    ck_assert(!world_has(one.w, "t-0/partition.metadata"));
    int syncs = world_counts(one.w).syncs;
    append_one(&one, 1);
    ck_assert(world_has(one.w, "t-0/partition.metadata"));
    ck_assert_int_eq(world_counts(one.w).syncs, syncs); /* the shard does not wait for that */
    ck_assert(log_wants_save(one.log));
    ck_assert_int_eq(log_set_topic_id(one.log, id), ERR_OK);
    ck_assert_int_eq(log_set_topic_id(one.log, other), ERR_TOPIC_ID);
    ck_assert_int_eq(one_log_reopen(&one, false, 0, 0), ERR_OK);
    ck_assert(uuid_equal(log_topic_id(one.log), id));
    end();
}
END_TEST

static struct log_found search(int64_t timestamp)
{
    struct log_search *search = NULL;
    struct log_found found;
    enum err err = ERR_IO;

    ck_assert_int_eq(log_search_start(one.log, timestamp, &search), ERR_OK);
    do
        log_search_run(search);
    while (!log_search_done(one.log, &search, &err, &found));
    ck_assert_int_eq(err, ERR_OK);
    ck_assert_ptr_null(search);
    return found;
}

START_TEST(records_are_found_by_time)
{
    begin();
    one.config.segment_bytes_max = 3000;
    one.config.index_interval_bytes = 300;
    one_log_create(&one);
    ck_assert_int_eq(search(0).offset, -1);
    ck_assert_int_eq(search(LOG_TIME_MAX).offset, -1);
    for (int i = 0; i < 40; i++)
        append_at(&one, 5, 50, 1000 + i * 10, 1 + i / 20, NULL); /* 1000..1004, 1010..1014, … */
    ck_assert_int_gt(log_segment_count(one.log), 3);
    for (int i = 0; i < 40; i++) {
        for (int k = 0; k < 5; k++) {
            struct log_found found = search(1000 + i * 10 + k);
            ck_assert_int_eq(found.offset, i * 5 + k);
            ck_assert_int_eq(found.timestamp, 1000 + i * 10 + k);
            ck_assert_int_eq(found.leader_epoch, 1 + i / 20);
        }
        if (i < 39)
            ck_assert_int_eq(search(1005 + i * 10).offset, i * 5 + 5); /* between two: the next */
    }
    ck_assert_int_eq(search(0).offset, 0);
    ck_assert_int_eq(search(1395).offset, -1);
    ck_assert_int_eq(search(LOG_TIME_MAX).offset, 199);
    /* Not below the log start. */
    log_set_high_watermark(one.log, 200);
    ck_assert_int_eq(log_advance_start(one.log, 102), ERR_OK);
    ck_assert_int_eq(search(1000).offset, 102);
    end();
}
END_TEST

START_TEST(the_latest_record_need_not_be_the_last)
{
    begin_log();
    append_at(&one, 3, 50, 1000, 1, NULL);
    append_at(&one, 3, 50, 9000, 1, NULL);
    append_at(&one, 3, 50, 2000, 1, NULL);
    ck_assert_int_eq(search(LOG_TIME_MAX).offset, 5);
    ck_assert_int_eq(search(1500).offset, 3); /* the first at or after, in order of offsets */
    end();
}
END_TEST

START_TEST(an_idle_log_has_no_file_open_and_little_memory)
{
    begin_log();
    for (int i = 0; i < 50; i++)
        append_one(&one, 3);
    struct log_slice slice = log_dirty_slice(one.log);
    ck_assert_int_eq(slice.len, log_size_bytes(one.log));
    log_write_behind_run(&one.w->env, &slice);
    log_slice_release(&slice);
    slice = log_dirty_slice(one.log); /* quiet: the indexes are written, their memory given back */
    ck_assert_int_eq(slice.len, 0);
    ck_assert_ptr_null(log_active(one.log)->offsets.tail);
    ck_assert_ptr_null(log_active(one.log)->times.tail);
    ck_assert_int_eq(world_size(one.w, "t-0/00000000000000000000.index"),
                     log_active(one.log)->offsets.count * 8);
    log_detach(one.log);
    ck_assert_int_eq(log_files_open_count(one.files), 0);
    ck_assert_uint_le(sizeof(struct log) + sizeof(struct segment), 1024);
    end();
}
END_TEST

UNIT(a_crash_in_a_truncation_leaves_a_shorter_log_without_a_gap, a_new_log_has_kafkas_files,
     a_leader_gives_offsets_and_stamps_its_epoch, a_follower_stores_the_bytes_as_they_are,
     every_offset_is_found_over_all_segments, reading_keeps_to_its_bounds,
     bytes_between_counts_what_a_fetch_would_get,
     segments_roll_by_size_and_are_sealed_as_kafka_seals_them,
     one_far_future_timestamp_rolls_at_once, a_full_index_rolls,
     what_is_larger_than_a_segment_is_refused_by_the_leader_only,
     a_full_disk_costs_an_error_and_nothing_else,
     a_follower_whose_disk_was_full_knows_where_its_epochs_began,
     a_broken_disk_takes_the_directory_and_is_not_read_as_data, a_slice_outlives_its_segment,
     what_is_not_in_memory_is_named_and_not_waited_for,
     a_truncation_that_stops_half_way_leaves_no_gap, truncation_cuts_at_a_batch_and_over_segments,
     truncating_at_the_end_still_drops_a_bogus_epoch,
     a_follower_that_restarts_keeps_what_its_leader_has, an_old_leader_cuts_back_to_where_it_agrees,
     starting_over_leaves_nothing_of_the_old, a_full_disk_does_not_stop_starting_over,
     a_disk_that_stays_full_leaves_the_log_one, the_log_start_moves_up_to_the_watermark_only,
     retention_removes_old_segments_in_two_steps, the_recovery_point_moves_when_the_device_has_it,
     what_was_synced_while_it_was_written_still_lacks_its_indexes,
     a_sync_that_failed_proves_nothing,
     a_sync_that_failed_for_want_of_room_has_lost_what_it_was_to_keep,
     a_sync_planned_before_a_cut_proves_nothing, after_a_roll_only_what_is_sealed_is_synced,
     the_topic_id_is_there_before_the_first_record, records_are_found_by_time,
     the_latest_record_need_not_be_the_last, an_idle_log_has_no_file_open_and_little_memory)
