#include "wire/record.h"
#include "tests/unit/unit.h"
#include "tests/unit/wire_values.h"

static struct buf out;
static struct record_builder builder;

static void begin(void)
{
    buf_init(&out);
    record_builder_begin(&builder, &out);
}

static struct batch finish(void)
{
    struct batch batch;
    struct slice from;

    record_builder_end(&builder);
    from = buf_slice(&out);
    ck_assert_int_eq(batch_take(&from, &batch), ERR_OK);
    return batch;
}

START_TEST(what_is_built_reads_back)
{
    struct record_header headers[] = {{SLICE("a"), SLICE("1")}, {SLICE(""), SLICE_NULL}};
    struct record record;
    struct record_header header;

    begin();
    record_builder_add(&builder, 1000, SLICE("k"), SLICE("v"), NULL, 0);
    record_builder_add(&builder, 900, SLICE_NULL, SLICE_NULL, headers, 2);
    record_builder_add(&builder, 2000, SLICE(""), SLICE(""), NULL, 0);
    struct batch batch = finish();
    struct record_reader reader = record_reader_of(batch.records, batch.record_count);

    ck_assert(record_next(&reader, &record));
    ck_assert(slice_is(record.key, "k") && slice_is(record.value, "v"));
    ck_assert_int_eq(record_timestamp(&batch, &record), 1000);
    ck_assert(record_next(&reader, &record));
    ck_assert(slice_is_null(record.key) && slice_is_null(record.value));
    ck_assert_int_eq(record_timestamp(&batch, &record), 900);
    ck_assert_int_eq(record.header_count, 2);
    ck_assert(record_header_next(&record.headers, &header));
    ck_assert(slice_is(header.key, "a") && slice_is(header.value, "1"));
    ck_assert(record_header_next(&record.headers, &header));
    ck_assert(slice_is(header.key, "") && slice_is_null(header.value));
    ck_assert(!record_header_next(&record.headers, &header));
    ck_assert(record_next(&reader, &record));
    ck_assert(slice_is(record.key, "") && slice_is(record.value, ""));
    ck_assert_int_eq(record_offset(&batch, &record), 2);
    ck_assert(!record_next(&reader, &record));
    ck_assert_int_eq(record_reader_end(&reader), ERR_OK);
    ck_assert_int_eq(batch.max_timestamp, 2000);
    buf_fini(&out);
}
END_TEST

/* Bytes worked out by hand from the layout, so that builder and reader cannot agree on a mistake.
 */
START_TEST(one_record_is_laid_out_as_kafka_says)
{
    struct arena arena;
    struct record_header headers[] = {{SLICE("h"), SLICE("x")}};

    arena_init(&arena, 1000);
    begin();
    record_builder_add(&builder, 5, SLICE("k"), SLICE_NULL, headers, 1);
    struct batch batch = finish();
    ck_assert(
        slice_equal(batch.records, values_hex(&arena, "16 00 00 00 02 6b 01 02 02 68 02 78")));
    arena_fini(&arena);
    buf_fini(&out);
}
END_TEST

START_TEST(each_codec_carries_the_records)
{
    for (int codec = BATCH_CODEC_GZIP; codec < BATCH_CODEC_COUNT; codec++) {
        struct buf plain;
        struct record_walk walk;

        begin();
        builder.head.attributes = (uint16_t)codec;
        for (int i = 0; i < 500; i++)
            record_builder_add(&builder, 1000 + i, SLICE("key"), SLICE("a value, a value, a value"),
                               NULL, 0);
        size_t size = record_builder_size(&builder);
        struct batch batch = finish();
        ck_assert_int_eq(batch_codec(&batch), codec);
        ck_assert_uint_lt(batch.bytes.len, size / 2);
        buf_init(&plain);
        ck_assert_int_eq(compress_read(codec, 2, batch.records, 1 << 20, &plain), ERR_OK);
        ck_assert_uint_eq(plain.len + BATCH_HEADER_SIZE, size);
        ck_assert_int_eq(record_walk(buf_slice(&plain), batch.record_count, &walk), ERR_OK);
        ck_assert(walk.offsets_are_dense && walk.max_timestamp_delta == 499);
        buf_fini(&plain);
        buf_fini(&out);
    }
}
END_TEST

START_TEST(the_walk_says_what_a_batch_holds)
{
    struct record_walk walk;

    begin();
    record_builder_add(&builder, 1000, SLICE("k"), SLICE("v"), NULL, 0);
    record_builder_add(&builder, 400, SLICE_NULL, SLICE("v"), NULL, 0);
    record_builder_add_at(&builder, 7, 3000, SLICE_NULL, SLICE("v"), NULL, 0);
    struct batch batch = finish();
    ck_assert_int_eq(record_walk(batch.records, 3, &walk), ERR_OK);
    ck_assert_int_eq(walk.null_keys, 2);
    ck_assert(!walk.offsets_are_dense && !walk.has_inner_codec);
    ck_assert_int_eq(walk.min_timestamp_delta, -600);
    ck_assert_int_eq(walk.max_timestamp_delta, 2000);
    ck_assert_int_eq(batch_last_offset(&batch), 7);
    buf_fini(&out);
}
END_TEST

START_TEST(the_count_must_be_exact_and_nothing_left_over)
{
    struct record_walk walk = {.bad_index = -1};

    begin();
    record_builder_add(&builder, 1, SLICE("k"), SLICE("v"), NULL, 0);
    record_builder_add(&builder, 2, SLICE("k"), SLICE("v"), NULL, 0);
    struct batch batch = finish();
    ck_assert_int_eq(record_walk(batch.records, 2, &walk), ERR_OK);
    ck_assert_int_eq(record_walk(batch.records, 1, &walk), ERR_INVALID_RECORD);
    ck_assert_int_eq(record_walk(batch.records, 3, &walk), ERR_INVALID_RECORD);
    ck_assert_int_eq(walk.bad_index, 2);
    ck_assert_int_eq(record_walk(batch.records, -1, &walk), ERR_INVALID_RECORD);
    ck_assert_int_eq(record_walk(batch.records, INT32_MAX, &walk), ERR_INVALID_RECORD);
    ck_assert_int_eq(record_walk(SLICE(""), 0, &walk), ERR_OK);

    struct record record;
    struct record_reader reader = record_reader_of(batch.records, 1);
    ck_assert(record_next(&reader, &record) && !record_next(&reader, &record));
    ck_assert_int_eq(record_reader_end(&reader), ERR_INVALID_RECORD);
    buf_fini(&out);
}
END_TEST

START_TEST(a_record_that_is_not_valid_stops_the_walk)
{
    struct arena arena;
    /* length, attributes, timestamp, offset, key, value, headers */
    static const char *const bad[] = {
        "00",                                  /* empty body */
        "01",                                  /* negative length */
        "0e 00 00 00 02 6b 01",                /* shorter than its length */
        "10 00 00 00 02 6b 01 00 00",          /* a byte behind the last field */
        "0e 00 00 00 02 6b 01 01",             /* header count -1 */
        "0e 00 00 00 02 6b 01 02",             /* a header that is not there */
        "12 00 00 00 02 6b 01 02 01 01",       /* a header key that is null */
        "0e 00 00 00 08 6b 01 00",             /* a key longer than the record */
        "12 00 00 00 fe ff ff ff 0f 00",       /* a key of 2 GiB */
        "16 00 00 00 02 6b 01 fe ff ff ff 0f", /* 2^31 headers */
        "0e 00 00 00 02 6b 01 ff ff ff ff ff", /* a varint that does not end, behind the record */
    };

    arena_init(&arena, 10000);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct record_walk walk = {.bad_index = -1};
        struct slice bytes = values_hex(&arena, bad[i]);
        uint8_t *copy = malloc(bytes.len);
        memcpy(copy, bytes.ptr, bytes.len);
        ck_assert_msg(record_walk(slice_of(copy, bytes.len), 1, &walk) == ERR_INVALID_RECORD, "%s",
                      bad[i]);
        ck_assert_int_eq(walk.bad_index, 0);
        struct record record;
        struct record_reader reader = record_reader_of(slice_of(copy, bytes.len), 1);
        ck_assert(!record_next(&reader, &record));
        ck_assert_int_eq(record_reader_end(&reader), ERR_INVALID_RECORD);
        free(copy);
    }
    arena_fini(&arena);
}
END_TEST

START_TEST(an_inner_codec_is_noticed)
{
    struct arena arena;
    struct record_walk walk;

    arena_init(&arena, 1000);
    ck_assert_int_eq(record_walk(values_hex(&arena, "0e 00 00 00 02 6b 01 00"), 1, &walk), ERR_OK);
    ck_assert(!walk.has_inner_codec);
    ck_assert_int_eq(record_walk(values_hex(&arena, "0e 01 00 00 02 6b 01 00"), 1, &walk), ERR_OK);
    ck_assert(walk.has_inner_codec);
    arena_fini(&arena);
}
END_TEST

START_TEST(the_brokers_time_overrides_the_records)
{
    struct record record;

    begin();
    builder.head.attributes = BATCH_APPEND_TIME;
    builder.head.max_timestamp = 9999;
    record_builder_add(&builder, 1000, SLICE("k"), SLICE("v"), NULL, 0);
    struct batch batch = finish();
    struct record_reader reader = record_reader_of(batch.records, 1);
    ck_assert(record_next(&reader, &record));
    ck_assert_int_eq(record_timestamp(&batch, &record), 9999);
    buf_fini(&out);
}
END_TEST

START_TEST(a_marker_is_one_control_record)
{
    struct slice from;
    struct batch batch;
    struct record record;
    int16_t type = -1;
    int32_t epoch = 0;

    buf_init(&out);
    record_write_marker(&out, RECORD_MARKER_COMMIT, 4711, 2, 6, 1234);
    from = buf_slice(&out);
    ck_assert_int_eq(batch_take(&from, &batch), ERR_OK);
    ck_assert(batch_is_control(&batch) && batch_is_transactional(&batch));
    ck_assert(batch.producer_id == 4711 && batch.producer_epoch == 2 && batch.base_sequence == -1);
    struct record_reader reader = record_reader_of(batch.records, 1);
    ck_assert(record_next(&reader, &record));
    ck_assert_int_eq(record_control_type(record.key, &type), ERR_OK);
    ck_assert_int_eq(type, RECORD_MARKER_COMMIT);
    ck_assert_int_eq(record_marker_epoch(record.value, &epoch), ERR_OK);
    ck_assert_int_eq(epoch, 6);
    ck_assert_int_eq(record_control_type(SLICE("\0\0\0"), &type), ERR_INVALID_RECORD);
    ck_assert_int_eq(record_control_type(SLICE("\xff\xff\0\0"), &type), ERR_INVALID_RECORD);
    ck_assert_int_eq(record_marker_epoch(SLICE("\0\0\0\0\0"), &epoch), ERR_INVALID_RECORD);
    ck_assert_int_eq(record_marker_epoch(SLICE("\0\1\0\0\0\7more"), &epoch), ERR_OK);
    ck_assert_int_eq(epoch, 7);
    buf_fini(&out);
}
END_TEST

UNIT(what_is_built_reads_back, one_record_is_laid_out_as_kafka_says, each_codec_carries_the_records,
     the_walk_says_what_a_batch_holds, the_count_must_be_exact_and_nothing_left_over,
     a_record_that_is_not_valid_stops_the_walk, an_inner_codec_is_noticed,
     the_brokers_time_overrides_the_records, a_marker_is_one_control_record)
