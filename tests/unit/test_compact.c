/* Compaction: what stays, what goes and when, and that a crash anywhere loses nothing. */
#include "broker/log/compact.h"
#include "base/prng.h"
#include "broker/log/filter.h"
#include "log_world.h"
#include "wire/oldset.h"

static struct one_log one;
static int64_t stamp_ms;

static void begin(void)
{
    one = (struct one_log){.w = world_create()};
    log_config_default(&one.config);
    one.config.is_compacted = true;
    one.config.is_deleted = false;
    one.config.index_interval_bytes = 300;
    one.config.producer_expiration_ms = INT64_MAX;
    one.config.delete_retention_ms = 1000;
    one_log_create(&one);
    stamp_ms = one.w->wall_ms;
}
static void end(void)
{
    one_log_gone(&one);
    world_destroy(one.w);
}

/* ---- writing ---- */

struct put {
    const char *key;
    const char *value; /* NULL: a tombstone */
};

struct how {
    int64_t producer_id; /* 0: none */
    int16_t epoch;
    int32_t sequence;
    bool in_txn;
    int codec;
};

static int32_t leader_epoch = 1;

static enum err append_bytes(struct buf *bytes)
{
    struct log_appended appended;
    struct batch batch;

    ck_assert_int_eq(batch_view(buf_slice(bytes), &batch), ERR_OK);
    const struct checked checked = {.bytes = bytes->ptr,
                                    .len = bytes->len,
                                    .offset_count = batch.last_offset_delta + 1,
                                    .record_count = batch.record_count,
                                    .max_timestamp = batch.max_timestamp,
                                    .max_timestamp_offset = batch.last_offset_delta,
                                    .append_time_ms = -1};
    enum err err = log_append_leader(one.log, &checked, leader_epoch, one.w->wall_ms, &appended);
    log_set_high_watermark(one.log, log_end_offset(one.log));
    return err;
}
static enum err put_how(const struct put *puts, int n, const struct how *how)
{
    struct record_builder builder;
    struct buf bytes;

    buf_init(&bytes);
    record_builder_begin(&builder, &bytes);
    if (how->producer_id != 0) {
        builder.head.producer_id = how->producer_id;
        builder.head.producer_epoch = how->epoch;
        builder.head.base_sequence = how->sequence;
    }
    builder.head.attributes = (uint16_t)(how->codec | (how->in_txn ? BATCH_TRANSACTIONAL : 0));
    for (int i = 0; i < n; i++)
        record_builder_add(&builder, stamp_ms++, slice_text(puts[i].key),
                           puts[i].value == NULL ? SLICE_NULL : slice_text(puts[i].value), NULL, 0);
    record_builder_end(&builder);
    enum err err = append_bytes(&bytes);
    buf_fini(&bytes);
    return err;
}
static void put_all(const struct put *puts, int n)
{
    ck_assert_int_eq(put_how(puts, n, &(struct how){0}), ERR_OK);
}
static void put(const char *key, const char *value)
{
    put_all(&(struct put){key, value}, 1);
}
static void mark(int64_t id, enum record_marker type)
{
    struct buf bytes;

    buf_init(&bytes);
    record_write_marker(&bytes, type, id, 0, 0, stamp_ms++);
    ck_assert_int_eq(append_bytes(&bytes), ERR_OK);
    buf_fini(&bytes);
}
static void roll(void)
{
    ck_assert_int_eq(log_roll(one.log, one.w->wall_ms), ERR_OK);
}

/* ---- cleaning ---- */

static struct compact_settings settings = {1 << 20, 0.9, 1 << 20};

static enum err clean(void)
{
    struct compact *compact = NULL;
    enum err err = compact_start(one.log, &settings, one.w->wall_ms, &compact);

    ck_assert_int_eq(err, ERR_OK);
    if (compact == NULL) return ERR_OK;
    do
        compact_run(compact);
    while (compact_done(one.log, &compact, &err));
    return err;
}

/* ---- reading ---- */

static struct buf text;

static void show_batch(const struct batch *batch)
{
    struct record_reader reader;
    struct record record;
    struct buf inflated;
    struct slice records = batch->records;

    buf_init(&inflated);
    if (batch_codec(batch) != 0 && batch->record_count > 0) {
        ck_assert_int_eq(compress_read(batch_codec(batch), 2, records, 1 << 20, &inflated), ERR_OK);
        records = buf_slice(&inflated);
    }
    if (batch->record_count == 0)
        buf_printf(&text, "%lld-%lld:empty ", (long long)batch->base_offset,
                   (long long)batch_last_offset(batch));
    reader = record_reader_of(records, batch->record_count);
    while (record_next(&reader, &record)) {
        if (batch_is_control(batch))
            buf_printf(&text, "%lld:marker ", (long long)record_offset(batch, &record));
        else
            buf_printf(&text, "%lld:%.*s=%.*s ", (long long)record_offset(batch, &record),
                       SLICE_ARGS(record.key),
                       slice_is_null(record.value) ? 4 : (int)record.value.len,
                       slice_is_null(record.value) ? "null" : (const char *)record.value.ptr);
    }
    ck_assert_int_eq(record_reader_end(&reader), ERR_OK);
    buf_fini(&inflated);
}

/* "offset:key=value …" of everything in the log. */
static const char *content(void)
{
    int64_t offset = log_start_offset(one.log), before = -1;

    buf_clear(&text);
    while (offset < log_end_offset(one.log)) {
        const struct log_read read = {.offset = offset,
                                      .bytes_max = 1 << 20,
                                      .at_least_one = true,
                                      .limit = log_end_position(one.log)};
        struct log_slice slice;
        ck_assert_int_eq(log_read(one.log, &read, &slice), ERR_OK);
        if (slice.len == 0) break;
        uint8_t *bytes = ensure_malloc((size_t)slice.len);
        size_t n = 0;
        ck_assert_int_eq(file_read_at(&one.w->env, log_slice_file(&slice), (uint64_t)slice.position,
                                      bytes, (size_t)slice.len, &n),
                         ERR_OK);
        struct slice rest = slice_of(bytes, n);
        struct batch batch;
        while (rest.len > 0) {
            ck_assert_int_eq(batch_take(&rest, &batch), ERR_OK);
            if (batch_last_offset(&batch) < offset) continue;
            ck_assert_int_gt(batch.base_offset, before);
            before = batch_last_offset(&batch);
            offset = before + 1;
            show_batch(&batch);
        }
        free(bytes);
        log_slice_release(&slice);
    }
    buf_add(&text, "", 1);
    if (text.len > 1) text.ptr[text.len - 2] = '\0';
    return (const char *)text.ptr;
}

static void expect_compacted_to(const char *want)
{
    struct buf text;

    buf_init(&text);
    world_get(one.w, "t-0/" NAMES_COMPACTED, &text);
    ck_assert_msg(slice_is(buf_slice(&text), want), "<%.*s>", SLICE_ARGS(buf_slice(&text)));
    buf_fini(&text);
}

START_TEST(the_last_record_of_each_key_stays)
{
    begin();
    put_all((struct put[]){{"a", "1"}, {"b", "1"}, {"a", "2"}}, 3);
    put("c", "1");
    roll();
    put_all((struct put[]){{"a", "3"}, {"d", "1"}}, 2);
    roll();
    put("b", "9"); /* active: not looked at */
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "1:b=1 3:c=1 4:a=3 5:d=1 6:b=9");
    ck_assert_int_eq(log_cleaned_offset(one.log), 6);
    ck_assert_int_eq(log_segment_count(one.log), 2); /* one group */
    expect_compacted_to("6\n");
    put("e", "1");
    ck_assert_int_eq(log_end_offset(one.log), 8);
    end();
}
END_TEST

/* What has no timestamps is kept by the times of files. */
START_TEST(what_is_cleaned_is_as_old_as_its_last_source)
{
    static const char *const files[] = {"t-0/00000000000000000000.log",
                                        "t-0/00000000000000000000.index",
                                        "t-0/00000000000000000000.timeindex"};
    struct file_status status;
    char path[FILES_PATH_MAX];

    begin();
    put("a", "1");
    roll();
    one.w->wall_ms += 5000;
    put("a", "2");
    int64_t written_ms = one.w->wall_ms;
    roll();
    one.w->wall_ms += 60000;
    put("b", "1");
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "1:a=2 2:b=1");
    for (int i = 0; i < 3; i++) {
        world_path(one.w, path, files[i]);
        ck_assert_int_eq(files_status(one.w->real, path, &status), ERR_OK);
        ck_assert_int_eq(status.modified_ms, written_ms);
    }
    end();
}
END_TEST

START_TEST(every_codec_is_opened_and_closed_again)
{
    for (int codec = 0; codec < BATCH_CODEC_COUNT; codec++) {
        begin();
        ck_assert_int_eq(put_how((struct put[]){{"a", "1"}, {"b", "1"}, {"c", "1"}}, 3,
                                 &(struct how){.codec = codec}),
                         ERR_OK);
        put("b", "2");
        roll();
        ck_assert_int_eq(clean(), ERR_OK);
        ck_assert_str_eq(content(), "0:a=1 2:c=1 3:b=2");
        end();
    }
}
END_TEST

START_TEST(a_tombstone_stays_until_its_horizon)
{
    begin();
    put("a", "1");
    put("b", "1");
    put("a", NULL);
    roll();
    ck_assert_int_eq(clean(), ERR_OK); /* stamps the horizon */
    ck_assert_str_eq(content(), "1:b=1 2:a=null");
    one.w->wall_ms += 999;
    put("x", "1");
    roll();
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "1:b=1 2:a=null 3:x=1");
    one.w->wall_ms += 1;
    put("y", "1");
    roll();
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "1:b=1 3:x=1 4:y=1");
    end();
}
END_TEST

/* The horizon takes the place of the base timestamp: what a record says of its time must not
 * change. */
START_TEST(a_horizon_leaves_timestamps_as_they_were)
{
    struct log_found found = {0};
    struct log_search *search = NULL;
    enum err err;

    begin();
    int64_t first = stamp_ms;
    put_all((struct put[]){{"a", "1"}, {"b", NULL}, {"c", "1"}}, 3);
    roll();
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "0:a=1 1:b=null 2:c=1");
    ck_assert_int_eq(log_search_start(one.log, first + 1, &search), ERR_OK);
    do
        log_search_run(search);
    while (!log_search_done(one.log, &search, &err, &found));
    ck_assert_int_eq(err, ERR_OK);
    ck_assert_int_eq(found.offset, 1);
    ck_assert_int_eq(found.timestamp, first + 1);
    end();
}
END_TEST

START_TEST(records_without_a_key_go)
{
    struct record_builder builder;
    struct buf bytes;

    begin();
    buf_init(&bytes);
    record_builder_begin(&builder, &bytes); /* from before the topic was compacted */
    record_builder_add(&builder, 1, SLICE_NULL, SLICE("v"), NULL, 0);
    record_builder_end(&builder);
    ck_assert_int_eq(append_bytes(&bytes), ERR_OK);
    put("a", "1");
    roll();
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "1:a=1");
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(what_a_producer_wrote_last_stays_as_an_empty_batch)
{
    begin();
    ck_assert_int_eq(put_how(&(struct put){"a", "1"}, 1, &(struct how){.producer_id = 7}), ERR_OK);
    ck_assert_int_eq(put_how((struct put[]){{"a", "2"}, {"b", "2"}}, 2,
                             &(struct how){.producer_id = 7, .sequence = 1}),
                     ERR_OK);
    put("a", "3");
    put("b", "3");
    roll();
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "1-2:empty 3:a=3 4:b=3");
    /* A crash rebuilds producers from the batches: the sequence is still known. */
    ck_assert_int_eq(one_log_reopen(&one, false, 0, 0), ERR_OK);
    log_set_config(one.log, &one.config);
    ck_assert_int_eq(
        put_how(&(struct put){"c", "1"}, 1, &(struct how){.producer_id = 7, .sequence = 4}),
        ERR_SEQUENCE);
    ck_assert_int_eq(
        put_how(&(struct put){"c", "1"}, 1, &(struct how){.producer_id = 7, .sequence = 3}),
        ERR_OK);
    roll();
    ck_assert_int_eq(clean(), ERR_OK); /* now the empty one is not the last */
    ck_assert_str_eq(content(), "3:a=3 4:b=3 5:c=1");
    end();
}
END_TEST

/* A follower that has the log as it is now knows all the same where each epoch began, though of the
 * records with which they began nothing is left. */
START_TEST(the_beginning_of_an_epoch_stays_as_an_empty_batch)
{
    begin();
    put("a", "1"); /* of the earliest: nothing came before */
    put("b", "1");
    leader_epoch = 2;
    ck_assert_int_eq(
        put_how(&(struct put){"a", "2"}, 1, &(struct how){.producer_id = 7, .in_txn = true}),
        ERR_OK);
    put("c", "2");
    mark(7, RECORD_MARKER_COMMIT);
    leader_epoch = 4;
    put_all((struct put[]){{"b", "4"}, {"c", "4"}}, 2);
    put("a", "4");
    leader_epoch = 5;
    put("b", "5");
    put("c", "5");
    ck_assert_int_eq(
        put_how(&(struct put){"a", "5"}, 1, &(struct how){.producer_id = 7, .sequence = 1}),
        ERR_OK);
    roll();
    for (int i = 0; i < 2; i++) { /* the horizon of the marker is set, and is over */
        ck_assert_int_eq(clean(), ERR_OK);
        one.w->wall_ms += one.config.delete_retention_ms * 3;
        put("d", "1");
        roll();
    }
    ck_assert_int_eq(clean(), ERR_OK);
    leader_epoch = 1;
    ck_assert_str_eq(content(), "2-2:empty 5-6:empty 8:b=5 9:c=5 10:a=5 12:d=1");
    world_delete(one.w, "t-0/leader-epoch-checkpoint");
    ck_assert_int_eq(one_log_reopen(&one, false, 0, 0), ERR_OK);
    static const struct epoch_entry began[] = {{2, 2}, {4, 5}, {5, 8}};
    const struct epochs *epochs = log_epochs(one.log);
    ck_assert_int_eq(epochs->count, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(epochs->at[i].epoch, began[i].epoch);
        ck_assert_int_eq(epochs->at[i].start, began[i].start);
    }
    ck_assert_int_eq(log_last_stable(one.log, 13), 13); /* no transaction is open */
    end();
}
END_TEST

START_TEST(aborted_records_go_and_markers_after_them)
{
    begin();
    put("a", "0");
    ck_assert_int_eq(put_how((struct put[]){{"a", "1"}, {"b", "1"}}, 2,
                             &(struct how){.producer_id = 7, .in_txn = true}),
                     ERR_OK);
    mark(7, RECORD_MARKER_ABORT); /* 3 */
    ck_assert_int_eq(
        put_how(&(struct put){"c", "1"}, 1, &(struct how){.producer_id = 8, .in_txn = true}),
        ERR_OK);
    mark(8, RECORD_MARKER_COMMIT); /* 5 */
    roll();
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "0:a=0 1-2:empty 3:marker 4:c=1 5:marker");
    /* While an empty batch is there the marker may be needed; its producer goes on, and it goes. */
    ck_assert_int_eq(
        put_how(&(struct put){"x", "1"}, 1, &(struct how){.producer_id = 7, .sequence = 2}),
        ERR_OK);
    roll();
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "0:a=0 3:marker 4:c=1 5:marker 6:x=1");
    put("y", "1");
    roll();
    ck_assert_int_eq(clean(), ERR_OK); /* stamps a horizon on the first marker */
    ck_assert_str_eq(content(), "0:a=0 3:marker 4:c=1 5:marker 6:x=1 7:y=1");
    one.w->wall_ms += 1000;
    put("z", "1");
    roll();
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "0:a=0 4:c=1 5:marker 6:x=1 7:y=1 8:z=1");
    end();
}
END_TEST

START_TEST(an_open_transaction_stops_the_cleaner)
{
    begin();
    put("a", "1");
    put("a", "2");
    roll();
    ck_assert_int_eq(
        put_how(&(struct put){"b", "1"}, 1, &(struct how){.producer_id = 7, .in_txn = true}),
        ERR_OK);
    roll();
    put("a", "3");
    roll();
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "1:a=2 2:b=1 3:a=3");
    ck_assert_int_eq(log_cleaned_offset(one.log), 2);
    end();
}
END_TEST

START_TEST(young_segments_wait)
{
    begin();
    one.config.compaction_lag_ms_min = 5000;
    log_set_config(one.log, &one.config);
    put("a", "1");
    put("a", "2");
    roll();
    ck_assert(!compact_need(one.log, one.w->wall_ms).is_due);
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "0:a=1 1:a=2");
    one.w->wall_ms += 5002;
    ck_assert(compact_need(one.log, one.w->wall_ms).is_due);
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(), "1:a=2");
    end();
}
END_TEST

START_TEST(the_dirty_ratio_and_the_lag_decide)
{
    begin();
    ck_assert(!compact_need(one.log, one.w->wall_ms).is_due); /* nothing at all */
    for (int i = 0; i < 9; i++) {
        char key[2] = {(char)('a' + i), 0};
        put(key, "1");
    }
    roll();
    ck_assert(compact_need(one.log, one.w->wall_ms).is_due);
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert(!compact_need(one.log, one.w->wall_ms).is_due);
    put("a", "2");
    roll();
    struct compact_need need = compact_need(one.log, one.w->wall_ms);
    ck_assert(need.dirty_ratio > 0.05 && need.dirty_ratio < 0.2 && !need.is_due);
    one.config.compaction_lag_ms_max = 100;
    log_set_config(one.log, &one.config);
    ck_assert(!compact_need(one.log, stamp_ms + 50).is_due);
    ck_assert(compact_need(one.log, stamp_ms + 200).is_due);
    one.config.is_compacted = false;
    log_set_config(one.log, &one.config);
    ck_assert(!compact_need(one.log, stamp_ms + 200).is_due);
    end();
}
END_TEST

/* With room for few keys a log is compacted piece by piece. */
START_TEST(a_small_table_takes_several_rounds)
{
    char key[8];

    begin();
    settings.dedupe_bytes_max = 20 * KEYS_SLOT_BYTES;
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "k%d", i % 50);
        put(key, i < 50 ? "old" : "new");
        if (i % 10 == 9) roll();
    }
    int64_t before = -1;
    int rounds = 0;
    while (log_cleaned_offset(one.log) < 100) {
        ck_assert_int_eq(clean(), ERR_OK);
        ck_assert_int_gt(log_cleaned_offset(one.log), before);
        before = log_cleaned_offset(one.log);
        rounds++;
    }
    ck_assert_int_ge(rounds, 5);
    const char *all = content();
    ck_assert_ptr_null(strstr(all, "old"));
    ck_assert_int_eq(strncmp(all, "50:k0=new 51:k1=new ", 20), 0);
    settings.dedupe_bytes_max = 1 << 20;
    end();
}
END_TEST

/* log.cleaner.dedupe.buffer.size is what keys may take, while the table grows too. */
START_TEST(keys_take_no_more_than_their_buffer)
{
    static const size_t bounds[] = {1 << 10, 100000, 1 << 20, 5000000};
    static const uint64_t secret[2] = {1, 2};

    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        struct keys keys;
        uint64_t key = 0;
        size_t before = 0, most = 0;
        keys_init(&keys, secret, bounds[i], 0.9);
        for (;; key++) {
            bool is_in = keys_put(&keys, slice_of(&key, sizeof(key)), (int64_t)key);
            if (keys.capacity != before) {
                ck_assert_uint_gt(keys.capacity, before);
                if (before + keys.capacity > most) most = before + keys.capacity;
                before = keys.capacity;
            }
            if (!is_in) break;
        }
        ck_assert_uint_le(most * KEYS_SLOT_BYTES, bounds[i]);
        ck_assert_uint_eq(keys.count, key);
        ck_assert_uint_ge(key * KEYS_SLOT_BYTES, bounds[i] * 3 / 4); /* and uses it */
        for (uint64_t k = 0; k < key; k++)
            ck_assert_int_eq(keys_get(&keys, slice_of(&k, sizeof(k))), (int64_t)k);
        keys_fini(&keys);
    }
}
END_TEST

START_TEST(steps_may_be_as_small_as_one_batch)
{
    begin();
    settings.step_bytes = 1;
    one.config.segment_bytes_max = 400;
    log_set_config(one.log, &one.config);
    for (int i = 0; i < 30; i++)
        put(i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c", "some longer value");
    ck_assert_int_gt(log_segment_count(one.log), 5);
    roll();
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_str_eq(content(),
                     "27:a=some longer value 28:b=some longer value 29:c=some longer value");
    settings.step_bytes = 1 << 20;
    end();
}
END_TEST

START_TEST(old_formats_are_cleaned_message_by_message)
{
    struct buf bytes;
    struct log_appended appended;

    begin();
    buf_init(&bytes);
    const char *const values[] = {"1", "2", NULL};
    for (int i = 0; i < 3; i++) {
        struct oldset_message message = {.offset = i,
                                         .magic = 1,
                                         .timestamp = 5,
                                         .key = i == 2 ? SLICE("gone") : SLICE("a"),
                                         .value = values[i] == NULL ? SLICE_NULL
                                                                    : slice_text(values[i])};
        oldset_write(&bytes, &message);
    }
    ck_assert_int_eq(log_append_follower(one.log, buf_slice(&bytes), 0, &appended), ERR_OK);
    log_set_high_watermark(one.log, 3);
    roll();
    int64_t size = log_size_bytes(one.log);
    ck_assert_int_eq(clean(), ERR_OK);
    ck_assert_int_lt(log_size_bytes(one.log), size);
    ck_assert_int_gt(log_size_bytes(one.log), 0);
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(a_damaged_segment_is_left_alone)
{
    struct buf bytes;

    begin();
    buf_init(&bytes);
    put("a", "1");
    put("a", "2");
    roll();
    world_get(one.w, "t-0/00000000000000000000.log", &bytes);
    bytes.ptr[bytes.len - 1] ^= 1;
    world_put(one.w, "t-0/00000000000000000000.log", buf_slice(&bytes));
    ck_assert_int_eq(clean(), ERR_CORRUPT);
    ck_assert(!one.dir.is_offline);
    ck_assert(!compact_need(one.log, one.w->wall_ms).is_due);
    ck_assert(!world_has(one.w, "t-0/00000000000000000000.log.cleaned"));
    ck_assert_int_eq(world_size(one.w, "t-0/00000000000000000000.log"), (int64_t)bytes.len);
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(truncation_and_retention_in_between_win)
{
    struct compact *compact = NULL;
    enum err err = ERR_OK;

    for (int when = 0; when < 8; when++) {
        for (int what = 0; what < 2; what++) {
            begin();
            one.config.is_deleted = what == 1;
            one.config.retention_ms = 0;
            log_set_config(one.log, &one.config);
            put("a", "1");
            put("a", "2");
            roll();
            put("a", "3");
            roll();
            put("b", "1");
            ck_assert_int_eq(compact_start(one.log, &settings, one.w->wall_ms, &compact), ERR_OK);
            bool more = true;
            for (int i = 0; i < when && more; i++) {
                compact_run(compact);
                more = compact_done(one.log, &compact, &err);
            }
            if (more) compact_run(compact);
            int removed = 0;
            if (what == 0)
                ck_assert_int_eq(log_truncate_to(one.log, 1), ERR_OK);
            else
                ck_assert_int_eq(log_retain(one.log, one.w->wall_ms + 10000, &removed), ERR_OK);
            int64_t end_offset = log_end_offset(one.log), start = log_start_offset(one.log);
            while (more && compact_done(one.log, &compact, &err))
                compact_run(compact);
            ck_assert_int_eq(err, ERR_OK);
            ck_assert_int_eq(log_end_offset(one.log), end_offset);
            if (what == 0) ck_assert_int_eq(end_offset, 1);
            const char *before = content();
            char copy[200];
            snprintf(copy, sizeof(copy), "%s", before);
            ck_assert_int_eq(one_log_reopen(&one, false, 0, start), ERR_OK);
            ck_assert_str_eq(content(), copy);
            end();
        }
    }
}
END_TEST

/* ---- death ---- */

/* What a reader of all must find: the last value of each key (or no record of one that was
 * deleted), and nothing that was never written. */
struct model {
    int64_t last[10]; /* offset of the last record of key i; -1 */
    bool is_deleted[10];
    int keys[60]; /* of the records, by offset */
    bool deletes[60];
};

/* What there would be if the log had ended at `end`. */
static void model_end_at(struct model *model, int64_t end)
{
    for (int i = 0; i < 10; i++)
        model->last[i] = -1;
    for (int64_t i = 0; i < end; i++) {
        model->last[model->keys[i]] = i;
        model->is_deleted[model->keys[i]] = model->deletes[i];
    }
}

static void live(struct model *model, uint64_t seed)
{
    struct prng prng;
    char key[2] = "0", value[32];

    prng_init(&prng, seed);
    for (int i = 0; i < 60; i++) {
        int k = (int)prng_below(&prng, 10);
        bool deletes = prng_below(&prng, 6) == 0;
        key[0] = (char)('0' + k);
        snprintf(value, sizeof(value), "%d", i);
        put(key, deletes ? NULL : value);
        model->keys[i] = k;
        model->deletes[i] = deletes;
        if (i % 7 == 6) roll();
    }
    roll();
    model_end_at(model, 60);
}

static void check_model(const struct model *model)
{
    char wanted[64];
    const char *all = content();

    for (int i = 0; i < 10; i++) {
        if (model->last[i] < 0) continue;
        if (model->is_deleted[i]) continue;
        snprintf(wanted, sizeof(wanted), "%lld:%d=", (long long)model->last[i], i);
        ck_assert_msg(strstr(all, wanted) != NULL, "%s is not in %s", wanted, all);
    }
    /* A deleted key shows no older value behind its tombstone. */
    for (const char *at = all; at != NULL; at = strchr(at, ' ')) {
        at += *at == ' ';
        int64_t offset = atoll(at);
        const char *key = strchr(at, ':');
        if (key == NULL) break;
        ck_assert_int_le(offset, model->last[key[1] - '0']);
    }
}

/* −1: the process alone dies. */
static void restart(int fate, int64_t point)
{
    one_log_gone(&one);
    one.w = fate < 0 ? world_restart(one.w)
                     : world_restart_after_power_loss(one.w, (enum sim_fate)fate);
    struct recover_request request = one_log_request(&one);
    request.is_clean = false;
    request.recovery_point = point;
    request.high_watermark = INT64_MAX;
    ck_assert_int_eq(recover_log(&request, &one.recovered, &one.log), ERR_OK);
    log_attach(one.log, one.files);
}

START_TEST(death_at_any_change_loses_nothing)
{
    struct model model = {0};
    const int fates[] = {-1, SIM_FATE_DROPPED, SIM_FATE_ORDERED, SIM_FATE_MIXED};

    for (size_t f = 0; f < sizeof(fates) / sizeof(fates[0]); f++) {
        bool has_died = true;
        for (int at = 0; has_died; at++) {
            struct log_sync *sync = NULL;
            begin();
            one.config.segment_bytes_max = 900;
            log_set_config(one.log, &one.config);
            live(&model, (uint64_t)at);
            ck_assert_int_eq(log_sync_plan(one.log, 0, &sync), ERR_OK);
            log_sync_run(sync);
            ck_assert_int_eq(log_sync_done(one.log, &sync), ERR_OK);
            sim_disk_settle(one.w->machine);
            world_fault(one.w, FAULT_DIE, ERR_IO, at);
            (void)!clean();
            has_died = world_is_dead(one.w);
            /* The checkpoint is written at times: it may be of long ago. */
            restart(fates[f], at % 2 == 0 ? log_recovery_point(one.log) : 0);
            ck_assert_int_eq(log_end_offset(one.log), 60);
            check_model(&model);
            one.w->wall_ms += 5000;
            ck_assert_int_eq(clean(), ERR_OK);
            check_model(&model);
            ck_assert_int_eq(clean(), ERR_OK);
            put("0", "again");
            ck_assert_int_eq(log_end_offset(one.log), 61);
            end();
            ck_assert_int_lt(at, 1000);
        }
    }
}
END_TEST

/* Sealed and not synced: what a loss of power takes of it is not taken for compaction's work. */
START_TEST(what_was_not_synced_is_not_lost_in_silence)
{
    struct model model = {0};
    bool has_died = true;
    int shorter = 0;

    for (int at = 0; has_died; at++) {
        begin();
        one.config.segment_bytes_max = 900;
        log_set_config(one.log, &one.config);
        sim_disk_settle(one.w->machine);
        live(&model, (uint64_t)at);
        world_fault(one.w, FAULT_DIE, ERR_IO, at);
        (void)!clean();
        has_died = world_is_dead(one.w);
        restart(SIM_FATE_MIXED, 0);
        shorter += log_end_offset(one.log) < 60;
        model_end_at(&model, log_end_offset(one.log));
        check_model(&model);
        end();
    }
    ck_assert_int_gt(shorter, 10);
}
END_TEST

START_TEST(a_full_disk_stops_it_and_changes_nothing)
{
    struct model model = {0};
    bool was_hit = true;

    for (int at = 0; was_hit; at++) {
        begin();
        live(&model, 3);
        world_fault(one.w, FAULT_FAIL, ERR_FULL, at);
        enum err err = clean();
        was_hit = one.w->nth.was_reached;
        world_fault(one.w, FAULT_NONE, ERR_OK, 0);
        if (!one.dir.is_offline) {
            ck_assert(err == ERR_OK || err == ERR_FULL);
            check_model(&model);
            ck_assert_int_eq(clean(), ERR_OK);
            check_model(&model);
        }
        end();
    }
}
END_TEST

/* Who cleans takes the directory offline everywhere, if it hears that it was this that failed. */
START_TEST(a_disk_that_fails_is_told_of)
{
    struct model model = {0};
    bool was_hit = true;
    int offline = 0;

    for (int at = 0; was_hit; at++) {
        begin();
        live(&model, 3);
        world_fault(one.w, FAULT_FAIL, ERR_IO, at);
        enum err err = clean();
        was_hit = one.w->nth.was_reached;
        world_fault(one.w, FAULT_NONE, ERR_OK, 0);
        if (one.dir.is_offline) ck_assert_int_eq(err, ERR_IO);
        offline += one.dir.is_offline;
        end();
    }
    ck_assert_int_gt(offline, 2);
}
END_TEST

UNIT(what_is_cleaned_is_as_old_as_its_last_source, the_last_record_of_each_key_stays,
     every_codec_is_opened_and_closed_again, a_tombstone_stays_until_its_horizon,
     a_horizon_leaves_timestamps_as_they_were, records_without_a_key_go,
     what_a_producer_wrote_last_stays_as_an_empty_batch,
     the_beginning_of_an_epoch_stays_as_an_empty_batch, aborted_records_go_and_markers_after_them,
     an_open_transaction_stops_the_cleaner, young_segments_wait, the_dirty_ratio_and_the_lag_decide,
     a_small_table_takes_several_rounds, keys_take_no_more_than_their_buffer,
     steps_may_be_as_small_as_one_batch, old_formats_are_cleaned_message_by_message,
     a_damaged_segment_is_left_alone, truncation_and_retention_in_between_win,
     death_at_any_change_loses_nothing, what_was_not_synced_is_not_lost_in_silence,
     a_full_disk_stops_it_and_changes_nothing, a_disk_that_fails_is_told_of)
