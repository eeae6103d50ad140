#include "broker/log/check.h"
#include "base/ensure.h"
#include "unit.h"
#include "wire/oldset.h"
#include "wire/record.h"

#define NOW INT64_C(1700000000000)

static struct log_config config;
static struct buf bytes, rebuilt;
static struct arena arena;
static struct checked checked;
static struct check_refusal refusal;
static enum check_origin origin;

static void begin(void)
{
    log_config_default(&config);
    buf_init(&bytes);
    buf_init(&rebuilt);
    arena_init(&arena, 1 << 20);
    memset(&checked, 0, sizeof(checked));
    memset(&refusal, 0, sizeof(refusal));
    origin = CHECK_CLIENT;
}
static void end(void)
{
    buf_fini(&bytes);
    buf_fini(&rebuilt);
    arena_fini(&arena);
}

static enum err check(void)
{
    const struct check_request request = {.bytes = bytes.ptr,
                                          .len = bytes.len,
                                          .origin = origin,
                                          .config = &config,
                                          .topic = SLICE("orders"),
                                          .partition = 3,
                                          .now_ms = NOW,
                                          .arena = &arena,
                                          .rebuilt = &rebuilt};
    return check_produce(&request, &checked, &refusal);
}

/* `n` records, timestamps from `timestamp`, of codec `codec`; keys null where `keyless` has the
 * bit. */
static void add_batch(int n, int codec, int64_t timestamp, unsigned keyless)
{
    struct record_builder builder;
    const struct record_header header = {SLICE("h"), SLICE("x")};

    record_builder_begin(&builder, &bytes);
    builder.head.attributes = (uint16_t)codec;
    for (int i = 0; i < n; i++)
        record_builder_add(&builder, timestamp + i,
                           i < 32 && (keyless >> i & 1) != 0 ? SLICE_NULL : SLICE("key"),
                           SLICE("value value"), &header, 1);
    record_builder_end(&builder);
}

static struct batch stored(void)
{
    struct slice rest = slice_of(checked.bytes, checked.len);
    struct batch batch;
    ck_assert_int_eq(batch_take(&rest, &batch), ERR_OK); /* its checksum is right */
    return batch;
}

/* Changes the header of the one batch and sets its checksum again. */
static struct batch header(void)
{
    struct batch batch;
    ck_assert_int_eq(batch_view(buf_slice(&bytes), &batch), ERR_OK);
    return batch;
}
static void set_header(const struct batch *batch)
{
    batch_write_header(bytes.ptr, bytes.len, batch);
}

START_TEST(a_good_batch_stays_where_it_is)
{
    begin();
    add_batch(5, BATCH_CODEC_NONE, 1000, 0);
    ck_assert_int_eq(check(), ERR_OK);
    ck_assert_ptr_eq(checked.bytes, bytes.ptr);
    ck_assert_uint_eq(checked.len, bytes.len);
    ck_assert_int_eq(checked.offset_count, 5);
    ck_assert_int_eq(checked.record_count, 5);
    ck_assert_int_eq(checked.max_timestamp, 1004);
    ck_assert_int_eq(checked.max_timestamp_offset, 4);
    ck_assert_int_eq(checked.append_time_ms, -1);
    ck_assert(!checked.was_rebuilt);
    end();
}
END_TEST

START_TEST(versions_of_produce_ask_for_exactly_one_batch)
{
    begin();
    ck_assert_int_eq(check_version(3, SLICE_NULL), ERR_INVALID_RECORD);
    ck_assert_int_eq(check_version(9, SLICE("")), ERR_INVALID_RECORD);
    ck_assert_int_eq(check_version(2, SLICE_NULL), ERR_OK);
    add_batch(1, BATCH_CODEC_ZSTD, 1000, 0);
    ck_assert_int_eq(check_version(6, buf_slice(&bytes)), ERR_UNSUPPORTED);
    ck_assert_int_eq(check_version(7, buf_slice(&bytes)), ERR_OK);
    add_batch(1, BATCH_CODEC_NONE, 1000, 0);
    ck_assert_int_eq(check_version(7, buf_slice(&bytes)), ERR_INVALID_RECORD);
    ck_assert_int_eq(check_version(7, slice_of(bytes.ptr, 60)),
                     ERR_INVALID_RECORD); /* none whole */
    bytes.ptr[16] = 1;
    ck_assert_int_eq(check_version(7, buf_slice(&bytes)), ERR_INVALID_RECORD);
    bytes.ptr[16] = 9;
    ck_assert_int_eq(check_version(7, buf_slice(&bytes)), ERR_CORRUPT);
    end();
}
END_TEST

START_TEST(frame_size_and_checksum_come_first)
{
    begin();
    add_batch(2, BATCH_CODEC_NONE, 1000, 0);
    config.message_bytes_max = (int32_t)bytes.len;
    ck_assert_int_eq(check(), ERR_OK);
    config.message_bytes_max--;
    ck_assert_int_eq(check(), ERR_TOO_LARGE);
    config.message_bytes_max++;
    bytes.ptr[bytes.len - 1] ^= 1;
    ck_assert_int_eq(check(), ERR_CORRUPT);
    bytes.ptr[bytes.len - 1] ^= 1;
    batch_set_base_offset(bytes.ptr, 1); /* a client's begins at 0 */
    ck_assert_int_eq(check(), ERR_INVALID_RECORD);
    batch_set_base_offset(bytes.ptr, 0);
    bytes.ptr[11] = 1;
    bytes.ptr[10] = 0;
    ck_assert_int_eq(check(), ERR_CORRUPT); /* a length that cannot be */
    end();
}
END_TEST

START_TEST(bytes_after_the_last_whole_batch_are_dropped)
{
    begin();
    add_batch(2, BATCH_CODEC_NONE, 1000, 0);
    size_t whole = bytes.len;
    uint8_t part[50] = {0};
    part[11] = 50; /* the head of a batch that does not end */
    part[16] = 2;
    buf_add(&bytes, part, 30);
    ck_assert_int_eq(check(), ERR_OK);
    ck_assert_uint_eq(checked.len, whole);
    bytes.len = whole - 1;
    ck_assert_int_eq(check(), ERR_OK); /* nothing at all: nothing to append */
    ck_assert_uint_eq(checked.len, 0);
    ck_assert_int_eq(checked.offset_count, 0);
    end();
}
END_TEST

START_TEST(counts_must_agree)
{
    begin();
    add_batch(3, BATCH_CODEC_NONE, 1000, 0);
    struct batch good = header(), batch = good;
    batch.record_count = 4;
    set_header(&batch);
    ck_assert_int_eq(check(), ERR_INVALID_RECORD);
    batch.last_offset_delta = 3; /* agree with each other, not with the records */
    set_header(&batch);
    ck_assert_int_eq(check(), ERR_INVALID_RECORD);
    batch.record_count = 0;
    batch.last_offset_delta = -1;
    set_header(&batch);
    ck_assert_int_eq(check(), ERR_INVALID_RECORD);
    batch.record_count = INT32_MAX;
    batch.last_offset_delta = INT32_MAX - 1;
    set_header(&batch);
    ck_assert_int_eq(check(), ERR_INVALID_RECORD);
    set_header(&good);
    ck_assert_int_eq(check(), ERR_OK);
    buf_add(&bytes, "x", 1); /* a byte left over behind the records */
    set_header(&good);
    ck_assert_int_eq(check(), ERR_INVALID_RECORD);
    end();
}
END_TEST

START_TEST(only_coordinators_write_control_batches)
{
    begin();
    record_write_marker(&bytes, RECORD_MARKER_COMMIT, 7, 1, 2, 1000);
    ck_assert_int_eq(check(), ERR_INVALID_RECORD);
    origin = CHECK_COORDINATOR;
    config.compression = BATCH_CODEC_LZ4; /* stays as it is whatever the topic's codec */
    ck_assert_int_eq(check(), ERR_OK);
    ck_assert(!checked.was_rebuilt);
    ck_assert_int_eq(checked.offset_count, 1);
    end();
}
END_TEST

START_TEST(a_producer_id_needs_a_sequence)
{
    begin();
    add_batch(1, BATCH_CODEC_NONE, 1000, 0);
    struct batch batch = header();
    batch.producer_id = 5;
    batch.base_sequence = -1;
    set_header(&batch);
    ck_assert_int_eq(check(), ERR_INVALID_RECORD);
    batch.base_sequence = 0;
    set_header(&batch);
    ck_assert_int_eq(check(), ERR_OK);
    end();
}
END_TEST

START_TEST(two_batches_are_one_too_many)
{
    begin();
    add_batch(1, BATCH_CODEC_NONE, 1000, 0);
    add_batch(1, BATCH_CODEC_NONE, 1000, 0);
    ck_assert_int_eq(check(), ERR_INVALID_RECORD);
    end();
}
END_TEST

START_TEST(the_highest_timestamp_is_that_of_the_records)
{
    begin();
    add_batch(3, BATCH_CODEC_NONE, 1000, 0);
    struct batch batch = header();
    batch.max_timestamp = 999999; /* the client's word is not taken */
    set_header(&batch);
    ck_assert_int_eq(check(), ERR_OK);
    ck_assert_int_eq(checked.max_timestamp, 1002);
    ck_assert_int_eq(stored().max_timestamp, 1002);

    /* On a CreateTime topic the bit of a batch that claims LogAppendTime is cleared. */
    buf_clear(&bytes);
    add_batch(3, BATCH_CODEC_NONE, 1000, 0);
    batch = header();
    batch.attributes |= BATCH_APPEND_TIME;
    set_header(&batch);
    ck_assert_int_eq(check(), ERR_OK);
    ck_assert(!batch_has_append_time(&(struct batch){.attributes = stored().attributes}));
    end();
}
END_TEST

START_TEST(log_append_time_is_the_brokers)
{
    begin();
    config.is_append_time = true;
    for (int codec = BATCH_CODEC_NONE; codec <= BATCH_CODEC_GZIP; codec++) {
        buf_clear(&bytes);
        add_batch(3, codec, 1000, 0);
        ck_assert_int_eq(check(), ERR_OK);
        ck_assert_int_eq(checked.append_time_ms, NOW);
        ck_assert_int_eq(checked.max_timestamp, NOW);
        ck_assert_int_eq(checked.max_timestamp_offset, 2);
        struct batch batch = stored();
        ck_assert(batch_has_append_time(&batch));
        ck_assert_int_eq(batch.max_timestamp, NOW);
        ck_assert_int_eq(batch.base_timestamp, 1000); /* never changed in place */

        buf_clear(&bytes);
        add_batch(2, codec, 1000, 0);
        batch = header();
        batch.attributes |= BATCH_APPEND_TIME;
        set_header(&batch);
        ck_assert_int_eq(check(), ERR_INVALID_TIMESTAMP);
    }
    end();
}
END_TEST

START_TEST(timestamps_out_of_bounds_are_named_one_by_one)
{
    begin();
    config.timestamp_before_ms_max = 1000;
    config.timestamp_after_ms_max = 500;
    for (int codec = BATCH_CODEC_NONE; codec <= BATCH_CODEC_ZSTD; codec++) {
        buf_clear(&bytes);
        add_batch(3, codec, NOW - 1000, 0);
        ck_assert_int_eq(check(), ERR_OK);
        buf_clear(&bytes);
        add_batch(3, codec, NOW - 1001, 0); /* the first is one too old */
        ck_assert_int_eq(check(), ERR_INVALID_TIMESTAMP);
        ck_assert_int_eq(refusal.count, 1);
        ck_assert_int_eq(refusal.records[0].index, 0);
        ck_assert(slice_is(refusal.records[0].message,
                           "Timestamp 1699999998999 of message with offset 0 is out of range. The "
                           "timestamp should be within [1699999999000, 1700000000500]"));
        ck_assert(slice_is(refusal.message,
                           "One or more records have been rejected due to invalid timestamp"));
        buf_clear(&bytes);
        add_batch(3, codec, NOW + 499, 0); /* 499, 500, 501 */
        ck_assert_int_eq(check(), ERR_INVALID_TIMESTAMP);
        ck_assert_int_eq(refusal.count, 1);
        ck_assert_int_eq(refusal.records[0].index, 2);
    }
    buf_clear(&bytes);
    add_batch(1, BATCH_CODEC_NONE, -1, 0); /* none is allowed */
    ck_assert_int_eq(check(), ERR_OK);
    ck_assert_int_eq(checked.max_timestamp, -1);
    ck_assert_int_eq(checked.max_timestamp_offset, -1);
    end();
}
END_TEST

START_TEST(compacted_topics_need_keys)
{
    begin();
    add_batch(6, BATCH_CODEC_NONE, 1000, 0x1e); /* 1 to 4 have none */
    ck_assert_int_eq(check(), ERR_OK);
    config.is_compacted = true;
    for (int codec = BATCH_CODEC_NONE; codec <= BATCH_CODEC_ZSTD; codec++) {
        buf_clear(&bytes);
        add_batch(6, codec, 1000, 0x1e);
        ck_assert_int_eq(check(), ERR_INVALID_RECORD);
        ck_assert_int_eq(refusal.count, 4);
        ck_assert_int_eq(refusal.records[3].index, 4);
        ck_assert(slice_is(
            refusal.message,
            "One or more records have been rejected due to 4 record errors in total, and only "
            "showing the first three errors at most: [RecordError(batchIndex=1, message='Compacted "
            "topic cannot accept message without key in topic partition orders-3'), "
            "RecordError(batchIndex=2, message='Compacted topic cannot accept message without key "
            "in topic partition orders-3'), RecordError(batchIndex=3, message='Compacted topic "
            "cannot accept message without key in topic partition orders-3')]"));
    }
    end();
}
END_TEST

START_TEST(a_compressed_batch_is_opened_only_when_asked)
{
    begin();
    add_batch(3, BATCH_CODEC_LZ4, 1000, 0);
    struct batch batch = header();
    /* Not what lz4 gives; the checksum is right. */
    memset(bytes.ptr + BATCH_HEADER_SIZE, 0x55, bytes.len - BATCH_HEADER_SIZE);
    batch.max_timestamp = 7777;
    set_header(&batch);
    ck_assert_int_eq(check(), ERR_OK);
    ck_assert_int_eq(checked.max_timestamp, 7777);
    config.validate_compressed = true;
    ck_assert_int_eq(check(), ERR_CORRUPT);

    buf_clear(&bytes);
    add_batch(3, BATCH_CODEC_LZ4, 1000, 0);
    batch = header();
    batch.max_timestamp = 7777;
    set_header(&batch);
    ck_assert_int_eq(check(), ERR_OK);
    ck_assert_int_eq(stored().max_timestamp, 1002); /* seen: set right */
    end();
}
END_TEST

/* Four old messages in a wrapper; `first_inner` is the offset of the first: absolute in format 0,
 * relative in 1. */
static void add_wrapper(int8_t magic, int codec, int64_t first_inner, int64_t offset,
                        struct slice value)
{
    struct buf inner = {0}, packed = {0};

    for (int i = 0; i < 4; i++) {
        const struct oldset_message message = {.offset = first_inner + i,
                                               .magic = magic,
                                               .timestamp = magic == 0 ? -1 : 9000 + i,
                                               .key = SLICE("k"),
                                               .value = value};
        oldset_write(&inner, &message);
    }
    compress_write(codec, magic, COMPRESS_LEVEL_DEFAULT, buf_slice(&inner), &packed);
    const struct oldset_message wrapper = {.offset = offset,
                                           .magic = magic,
                                           .attributes = (uint8_t)codec,
                                           .timestamp = magic == 0 ? -1 : 9003,
                                           .value = buf_slice(&packed)};
    oldset_write(&bytes, &wrapper);
    buf_fini(&packed);
    buf_fini(&inner);
}

/* What a few hundred KiB become is bounded by 32 times max.message.bytes, of each codec and format.
 */
START_TEST(what_opens_into_too_much_is_refused)
{
    struct record_builder builder;
    size_t size = 40 << 20;
    uint8_t *zeros = ensure_zalloc(size);

    begin();
    config.validate_compressed = true;
    for (int codec = BATCH_CODEC_GZIP; codec <= BATCH_CODEC_ZSTD; codec++) {
        if (codec == BATCH_CODEC_SNAPPY) continue; /* it packs no more than 1 to 21 */
        buf_clear(&bytes);
        record_builder_begin(&builder, &bytes);
        builder.head.attributes = (uint16_t)codec;
        record_builder_add(&builder, 1000, SLICE("k"), slice_of(zeros, size), NULL, 0);
        record_builder_end(&builder);
        ck_assert_uint_lt(bytes.len, (size_t)config.message_bytes_max);
        ck_assert_int_eq(check(), ERR_TOO_LARGE);
    }
    free(zeros);
    end();
}
END_TEST

START_TEST(a_codec_that_is_not_is_an_unknown_error)
{
    begin();
    add_batch(1, BATCH_CODEC_NONE, 1000, 0);
    struct batch batch = header();
    batch.attributes = 6;
    set_header(&batch);
    ck_assert_int_eq(check(), ERR_INVALID);
    end();
}
END_TEST

START_TEST(another_codec_means_a_new_batch)
{
    begin();
    for (int from = BATCH_CODEC_NONE; from <= BATCH_CODEC_ZSTD; from++) {
        for (int to = BATCH_CODEC_NONE; to <= BATCH_CODEC_ZSTD; to++) {
            buf_clear(&bytes);
            add_batch(4, from, 1000, 2);
            struct batch batch = header();
            batch.producer_id = 77;
            batch.producer_epoch = 2;
            batch.base_sequence = 9;
            batch.attributes |= BATCH_TRANSACTIONAL;
            set_header(&batch);
            config.compression = (int8_t)to;
            ck_assert_int_eq(check(), ERR_OK);
            ck_assert_int_eq(checked.was_rebuilt, from != to);
            batch = stored();
            ck_assert_int_eq(batch_codec(&batch), to);
            ck_assert_int_eq(batch.producer_id, 77);
            ck_assert_int_eq(batch.producer_epoch, 2);
            ck_assert_int_eq(batch.base_sequence, 9);
            ck_assert(batch_is_transactional(&batch));
            ck_assert_int_eq(batch.record_count, 4);
            ck_assert_int_eq(batch.max_timestamp, 1003);

            struct buf opened;
            struct record record;
            struct record_header one;
            buf_init(&opened);
            ck_assert_int_eq(compress_read(to, 2, batch.records, 1 << 20, &opened), ERR_OK);
            struct record_reader reader = record_reader_of(buf_slice(&opened), 4);
            for (int i = 0; i < 4; i++) {
                ck_assert(record_next(&reader, &record));
                ck_assert_int_eq(record_timestamp(&batch, &record), 1000 + i);
                ck_assert_int_eq(slice_is_null(record.key), i == 1);
                ck_assert(slice_is(record.value, "value value"));
                ck_assert(record_header_next(&record.headers, &one));
                ck_assert(slice_is(one.key, "h") && slice_is(one.value, "x"));
            }
            buf_fini(&opened);
        }
    }
    /* Grown over the limit by it. */
    buf_clear(&bytes);
    add_batch(50, BATCH_CODEC_GZIP, 1000, 0);
    config.compression = BATCH_CODEC_NONE;
    config.message_bytes_max = (int32_t)bytes.len + 50;
    ck_assert_int_eq(check(), ERR_TOO_LARGE);
    end();
}
END_TEST

START_TEST(old_messages_become_one_new_batch)
{
    begin();
    for (int8_t magic = 0; magic <= 1; magic++) {
        buf_clear(&bytes);
        for (int i = 0; i < 3; i++) {
            const struct oldset_message message = {.offset = i,
                                                   .magic = magic,
                                                   .timestamp = magic == 0 ? -1 : 5000 + i,
                                                   .key = i == 0 ? SLICE_NULL : SLICE("k"),
                                                   .value = SLICE("old value")};
            oldset_write(&bytes, &message);
        }
        ck_assert_int_eq(check(), ERR_OK);
        ck_assert(checked.was_rebuilt);
        ck_assert_int_eq(checked.offset_count, 3);
        ck_assert_int_eq(checked.max_timestamp, magic == 0 ? -1 : 5002);
        struct batch batch = stored();
        ck_assert_int_eq(batch.record_count, 3);
        ck_assert_int_eq(batch_codec(&batch), BATCH_CODEC_NONE);
        struct record record;
        struct record_reader reader = record_reader_of(batch.records, 3);
        ck_assert(record_next(&reader, &record));
        ck_assert(slice_is_null(record.key) && slice_is(record.value, "old value"));
        ck_assert_int_eq(record_timestamp(&batch, &record), magic == 0 ? -1 : 5000);

        /* Bounds and keys are judged there too. */
        config.is_compacted = true;
        ck_assert_int_eq(check(), ERR_INVALID_RECORD);
        ck_assert_int_eq(refusal.count, 1);
        config.is_compacted = false;
        bytes.ptr[bytes.len - 1] ^= 1;
        ck_assert_int_eq(check(), ERR_CORRUPT);
    }
    end();
}
END_TEST

/* Inner offsets do not matter: a leader gives its own. */
START_TEST(old_wrappers_are_opened_and_keep_their_codec)
{
    begin();
    for (int8_t magic = 0; magic <= 1; magic++) {
        for (int codec = BATCH_CODEC_GZIP; codec <= BATCH_CODEC_LZ4; codec++) {
            for (int base = 0; base < 2; base++) {
                int64_t first = magic == 0 ? base * 500 : 0;
                buf_clear(&bytes);
                add_wrapper(magic, codec, first, base * 500 + 3, SLICE("v"));
                ck_assert_int_eq(check(), ERR_OK);
                ck_assert(checked.was_rebuilt);
                struct batch batch = stored();
                ck_assert_int_eq(batch_codec(&batch), codec);
                ck_assert_int_eq(batch.record_count, 4);
                ck_assert_int_eq(batch.last_offset_delta, 3);
                ck_assert_int_eq(batch.max_timestamp, magic == 0 ? -1 : 9003);
            }
            add_wrapper(magic, codec, 0, 3, SLICE("v"));
            ck_assert_int_eq(check(), ERR_INVALID_RECORD); /* compressed: one only */

            for (int to = BATCH_CODEC_NONE; to <= BATCH_CODEC_ZSTD; to++) {
                buf_clear(&bytes);
                add_wrapper(magic, codec, 0, 3, SLICE("v"));
                config.compression = (int8_t)to;
                ck_assert_int_eq(check(), ERR_OK);
                struct batch batch = stored();
                ck_assert_int_eq(batch_codec(&batch), to);
            }
            config.compression = LOG_COMPRESSION_PRODUCER;

            config.is_append_time = true;
            buf_clear(&bytes);
            add_wrapper(magic, codec, 0, 3, SLICE("v"));
            ck_assert_int_eq(check(), ERR_OK);
            struct batch stamped = stored();
            ck_assert_int_eq(stamped.max_timestamp, NOW);
            ck_assert(batch_has_append_time(&stamped));
            config.is_append_time = false;
        }
    }
    /* A codec that the old formats do not have. */
    for (int8_t magic = 0; magic <= 1; magic++) {
        buf_clear(&bytes);
        add_wrapper(magic, BATCH_CODEC_ZSTD, 0, 3, SLICE("v"));
        ck_assert_int_eq(check(), ERR_INVALID_RECORD);
    }
    end();
}
END_TEST

START_TEST(old_wrappers_that_open_into_too_much_are_refused)
{
    size_t size = 10 << 20;
    uint8_t *zeros = ensure_zalloc(size);

    begin();
    for (int8_t magic = 0; magic <= 1; magic++) {
        for (int codec = BATCH_CODEC_GZIP; codec <= BATCH_CODEC_LZ4; codec++) {
            if (codec == BATCH_CODEC_SNAPPY) continue; /* it packs no more than 1 to 21 */
            buf_clear(&bytes);
            add_wrapper(magic, codec, 0, 3, slice_of(zeros, size));
            ck_assert_uint_lt(bytes.len, (size_t)config.message_bytes_max);
            ck_assert_int_eq(check(), ERR_TOO_LARGE);
        }
    }
    free(zeros);
    end();
}
END_TEST

START_TEST(a_batch_is_packed_anew_with_the_level_of_the_topic)
{
    struct record_builder builder;
    uint8_t text[20000];
    size_t low, high;

    begin();
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)("abcdefgh"[(i * i / 7 + i / 13) % 8]);
    for (int codec = BATCH_CODEC_GZIP; codec <= BATCH_CODEC_ZSTD; codec++) {
        if (codec == BATCH_CODEC_SNAPPY) continue; /* it has none */
        size_t *const sizes[] = {&low, &high};
        for (int is_high = 0; is_high < 2; is_high++) {
            buf_clear(&bytes);
            record_builder_begin(&builder, &bytes);
            record_builder_add(&builder, 1000, SLICE("k"), slice_of(text, sizeof(text)), NULL, 0);
            record_builder_end(&builder);
            config.compression = (int8_t)codec;
            config.gzip_level = is_high ? 9 : 1;
            config.lz4_level = is_high ? 17 : 9; /* 9 is the fast one */
            config.zstd_level = is_high ? 19 : 1;
            ck_assert_int_eq(check(), ERR_OK);
            *sizes[is_high] = checked.len;
        }
        ck_assert_msg(high < low, "%s: %zu, %zu", compress_name(codec), low, high);
    }
    end();
}
END_TEST

START_TEST(formats_do_not_mix)
{
    begin();
    const struct oldset_message old = {.magic = 0, .timestamp = -1, .value = SLICE("v")};
    const struct oldset_message newer = {.offset = 1, .magic = 1, .value = SLICE("v")};
    oldset_write(&bytes, &old);
    oldset_write(&bytes, &newer);
    ck_assert_int_eq(check(), ERR_INVALID_RECORD);
    end();
}
END_TEST

START_TEST(a_leaders_batches_are_taken_if_they_ascend)
{
    struct check_run run;

    begin();
    add_batch(3, BATCH_CODEC_NONE, 5000, 0);
    size_t first = bytes.len;
    batch_set_base_offset(bytes.ptr, 10);
    add_batch(2, BATCH_CODEC_LZ4, 1000, 0);
    batch_set_base_offset(bytes.ptr + first, 20);
    size_t whole = bytes.len;
    uint8_t part[50] = {0};
    part[11] = 50;
    part[16] = 2;
    buf_add(&bytes, part, 30);
    ck_assert_int_eq(check_replicated(buf_slice(&bytes), &run), ERR_OK);
    ck_assert_uint_eq(run.len, whole);
    ck_assert_int_eq(run.batches, 2);
    ck_assert_int_eq(run.first_offset, 10);
    ck_assert_int_eq(run.last_offset, 21);
    ck_assert_int_eq(run.max_timestamp, 5002);
    ck_assert_int_eq(run.max_timestamp_offset, 12);
    batch_set_base_offset(bytes.ptr + first, 11); /* ends with 12, as the one before */
    ck_assert_int_eq(check_replicated(buf_slice(&bytes), &run), ERR_RANGE);
    bytes.ptr[whole - 1] ^= 4;
    ck_assert_int_eq(check_replicated(buf_slice(&bytes), &run), ERR_CORRUPT);
    ck_assert_int_eq(check_replicated(slice_of(bytes.ptr, first - 1), &run), ERR_OK);
    ck_assert_int_eq(run.batches, 0);
    end();
}
END_TEST

UNIT(a_good_batch_stays_where_it_is, versions_of_produce_ask_for_exactly_one_batch,
     frame_size_and_checksum_come_first, bytes_after_the_last_whole_batch_are_dropped,
     counts_must_agree, only_coordinators_write_control_batches, a_producer_id_needs_a_sequence,
     two_batches_are_one_too_many, the_highest_timestamp_is_that_of_the_records,
     log_append_time_is_the_brokers, timestamps_out_of_bounds_are_named_one_by_one,
     compacted_topics_need_keys, a_compressed_batch_is_opened_only_when_asked,
     what_opens_into_too_much_is_refused, a_codec_that_is_not_is_an_unknown_error,
     another_codec_means_a_new_batch, old_messages_become_one_new_batch,
     old_wrappers_are_opened_and_keep_their_codec, old_wrappers_that_open_into_too_much_are_refused,
     a_batch_is_packed_anew_with_the_level_of_the_topic, formats_do_not_mix,
     a_leaders_batches_are_taken_if_they_ascend)
