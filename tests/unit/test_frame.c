/* Headers, and whole requests as a real client sends them. */
#include "wire/frame.h"
#include "tests/unit/unit.h"
#include "tests/unit/kcat_frames.h"
#include "tests/unit/wire_values.h"
#include "wire/gen/api_versions.h"
#include "wire/gen/produce.h"
#include "wire/record.h"

static struct arena arena;
static struct buf out;

static void begin(void)
{
    arena_init(&arena, 1 << 20);
    buf_init(&out);
}

static void end(void)
{
    arena_fini(&arena);
    buf_fini(&out);
}

static struct slice hex(const char *text)
{
    return values_hex(&arena, text);
}

/* Reads the frame, checks that it is used up and written again to the same bytes, and prints it
 * (body only) into `out`. Gives the decoded body. */
static const void *round_trip(const char *text, int16_t api_key, int16_t version)
{
    struct slice frame = hex(text), body;
    struct frame_request_head head;

    ck_assert_int_eq(frame_read_request_head(frame, &head, &body), ERR_OK);
    ck_assert_int_eq(head.api_key, api_key);
    ck_assert_int_eq(head.api_version, version);
    ck_assert(slice_is(head.client_id, "rdkafka"));
    const struct wire_struct *type = api_info_find(api_key)->request;
    void *value = arena_zalloc(&arena, type->size);
    ck_assert_int_eq(wire_take(&body, version, type, &arena, value), ERR_OK);
    ck_assert_uint_eq(body.len, 0);

    buf_clear(&out);
    frame_write_request_head(&out, &head);
    wire_write(&out, version, type, value);
    ck_assert(slice_equal(buf_slice(&out), frame));

    buf_clear(&out);
    wire_print(&out, version, type, value);
    return value;
}

START_TEST(kcats_small_requests_read_as_what_they_are)
{
    static const struct {
        const char *hex;
        int16_t api_key, version;
        const char *text;
    } cases[] = {
        {kcat_api_versions, API_API_VERSIONS, 3,
         "client_software_name=librdkafka client_software_version=2.0.2"},
        {kcat_metadata, API_METADATA, 4, "topics=[{name=t}] allow_auto_topic_creation=true"},
        {kcat_init_producer_id, API_INIT_PRODUCER_ID, 4,
         "transactional_id=null transaction_timeout_ms=-1 producer_id=-1 producer_epoch=-1"},
        {kcat_list_offsets, API_LIST_OFFSETS, 2,
         "replica_id=-1 isolation_level=1 topics=[{name=t partitions=[{partition_index=0 "
         "timestamp=-2}]}]"},
        {kcat_fetch, API_FETCH, 11,
         "replica_id=-1 max_wait_ms=500 min_bytes=1 max_bytes=52428800 isolation_level=1 "
         "session_id=0 session_epoch=-1 topics=[{topic=t partitions=[{partition=0 "
         "current_leader_epoch=-1 fetch_offset=0 log_start_offset=-1 "
         "partition_max_bytes=1048576}]}] forgotten_topics_data=[] rack_id=\"\""},
    };

    begin();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        round_trip(cases[i].hex, cases[i].api_key, cases[i].version);
        prim_add_int8(&out, 0);
        ck_assert_str_eq((const char *)out.ptr, cases[i].text);
    }
    end();
}
END_TEST

static struct batch produced_batch(const char *text)
{
    const struct produce_request *produce = round_trip(text, API_PRODUCE, 7);
    struct batch batch;

    ck_assert_int_eq(produce->acks, -1);
    ck_assert_int_eq(produce->topic_data.count, 1);
    ck_assert(slice_is(produce->topic_data.at[0].name, "t"));
    ck_assert_int_eq(produce->topic_data.at[0].partition_data.count, 1);
    struct slice records = produce->topic_data.at[0].partition_data.at[0].records;
    ck_assert_int_eq(batch_take(&records, &batch), ERR_OK);
    ck_assert_uint_eq(records.len, 0);
    return batch;
}

START_TEST(kcats_records_are_read_and_built_to_the_same_bytes)
{
    begin();
    struct batch batch = produced_batch(kcat_produce_plain);
    struct record_reader reader = record_reader_of(batch.records, batch.record_count);
    struct record record;
    struct record_header header;
    struct record_builder builder;
    static const char *const values[][2] = {{"k1", "hello"}, {"k2", "world"}};

    buf_clear(&out);
    record_builder_begin(&builder, &out);
    builder.head.leader_epoch = 0; /* what librdkafka leaves there */
    for (int i = 0; i < 2; i++) {
        ck_assert(record_next(&reader, &record));
        ck_assert(slice_is(record.key, values[i][0]) && slice_is(record.value, values[i][1]));
        ck_assert_int_eq(record.header_count, 1);
        ck_assert(record_header_next(&record.headers, &header));
        ck_assert(slice_is(header.key, "h1") && slice_is(header.value, "x"));
        record_builder_add(&builder, record_timestamp(&batch, &record), record.key, record.value,
                           &header, 1);
    }
    ck_assert(!record_next(&reader, &record));
    ck_assert_int_eq(record_reader_end(&reader), ERR_OK);
    record_builder_end(&builder);
    ck_assert(slice_equal(buf_slice(&out), batch.bytes));
    end();
}
END_TEST

START_TEST(kcats_compressed_records_open)
{
    static const struct {
        const char *hex;
        int codec;
    } cases[] = {{kcat_produce_gzip, BATCH_CODEC_GZIP},
                 {kcat_produce_snappy, BATCH_CODEC_SNAPPY}, /* a bare block */
                 {kcat_produce_lz4, BATCH_CODEC_LZ4},
                 {kcat_produce_zstd, BATCH_CODEC_ZSTD}};

    begin();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct batch batch = produced_batch(cases[i].hex);
        struct buf plain;
        struct record record;
        buf_init(&plain);
        ck_assert_int_eq(batch_codec(&batch), cases[i].codec);
        ck_assert_int_eq(
            compress_read(batch_codec(&batch), BATCH_MAGIC, batch.records, 1000, &plain), ERR_OK);
        struct record_reader reader = record_reader_of(buf_slice(&plain), batch.record_count);
        ck_assert(record_next(&reader, &record));
        ck_assert(slice_is(record.key, "k1"));
        ck_assert(slice_is(record.value, "hello hello hello hello hello hello hello hello hello"));
        ck_assert(!record_next(&reader, &record));
        ck_assert_int_eq(record_reader_end(&reader), ERR_OK);
        ck_assert_int_eq(batch.producer_id, batch_codec(&batch) == BATCH_CODEC_ZSTD ? 4000 : -1);
        buf_fini(&plain);
    }
    end();
}
END_TEST

/* The vectors of reference/apis.md 3. */
START_TEST(api_versions_is_answered_as_the_reference_says)
{
    begin();
    struct frame_request_head head;
    struct slice body;
    struct api_versions_request request;
    ck_assert_int_eq(
        frame_read_request_head(hex("0012 0003 00000007 0003636964 00 046c6962 04312e30 00"), &head,
                                &body),
        ERR_OK);
    ck_assert_int_eq(head.correlation_id, 7);
    ck_assert(slice_is(head.client_id, "cid"));
    ck_assert_int_eq(wire_read(body, 3, &api_versions_request_wire, &arena, &request), ERR_OK);
    ck_assert(slice_is(request.client_software_name, "lib"));
    ck_assert(slice_is(request.client_software_version, "1.0"));

    struct api_versions_response_api_key keys[] = {{.api_key = 0, .max_version = 11},
                                                   {.api_key = 1, .max_version = 17}};
    struct api_versions_response response;
    wire_default(&api_versions_response_wire, &response);
    response.api_keys.at = keys;
    response.api_keys.count = 2;
    response.finalized_features_epoch = 0; /* not its value for absence: so it is written */
    frame_write_response_head(&out, API_API_VERSIONS, 3, 7);
    wire_write(&out, 3, &api_versions_response_wire, &response);
    ck_assert(
        slice_equal(buf_slice(&out), hex("00000007 0000 03 0000 0000 000b 00 0001 0000 0011 00"
                                         "00000000 01 01 08 0000000000000000")));

    struct api_versions_response_api_key only = {18, 0, 4};
    wire_default(&api_versions_response_wire, &response);
    response.error_code = KAFKA_UNSUPPORTED_VERSION;
    response.api_keys.at = &only;
    response.api_keys.count = 1;
    buf_clear(&out);
    frame_write_response_head(&out, API_API_VERSIONS, 0, 7);
    wire_write(&out, 0, &api_versions_response_wire, &response);
    ck_assert(slice_equal(buf_slice(&out), hex("00000007 0023 00000001 0012 0000 0004")));
    end();
}
END_TEST

START_TEST(headers_of_all_versions_come_back)
{
    static const struct {
        int16_t api_key, version;
        const char *hex;
    } cases[] = {
        {API_CONTROLLED_SHUTDOWN, 0, "0007 0000 00000005"},
        {API_CONTROLLED_SHUTDOWN, 1, "0007 0001 00000005 0001 63"},
        {API_CONTROLLED_SHUTDOWN, 3, "0007 0003 00000005 0001 63 00"},
        {API_FETCH, 11, "0001 000b 00000005 0001 63"},
        {API_FETCH, 12, "0001 000c 00000005 0001 63 00"}, /* the client id stays classic */
    };

    begin();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct frame_request_head head = {cases[i].api_key, cases[i].version, 5, SLICE("c")}, back;
        struct slice body;
        buf_clear(&out);
        frame_write_request_head(&out, &head);
        ck_assert_msg(slice_equal(buf_slice(&out), hex(cases[i].hex)), "%s", cases[i].hex);
        buf_add_text(&out, "body");
        ck_assert_int_eq(frame_read_request_head(buf_slice(&out), &back, &body), ERR_OK);
        ck_assert(slice_is(body, "body") && back.correlation_id == 5);
    }
    end();
}
END_TEST

START_TEST(a_response_header_has_tags_except_for_api_versions)
{
    begin();
    int32_t correlation_id = 0;
    struct slice body;
    ck_assert_int_eq(
        frame_read_response_head(hex("00000007 00 61"), API_FETCH, 12, &correlation_id, &body),
        ERR_OK);
    ck_assert(correlation_id == 7 && slice_is(body, "a"));
    ck_assert_int_eq(
        frame_read_response_head(hex("00000007 61"), API_FETCH, 11, &correlation_id, &body),
        ERR_OK);
    ck_assert(slice_is(body, "a"));
    ck_assert_int_eq(
        frame_read_response_head(hex("00000007 61"), API_API_VERSIONS, 4, &correlation_id, &body),
        ERR_OK);
    ck_assert(slice_is(body, "a"));
    ck_assert_int_eq(frame_read_response_head(hex("000000"), API_FETCH, 11, &correlation_id, &body),
                     ERR_TRUNCATED);
    end();
}
END_TEST

START_TEST(a_bad_header_is_refused)
{
    begin();
    struct frame_request_head head;
    struct slice body, whole = hex("0001 000c 00000005 0001 63 00");
    for (size_t n = 0; n < whole.len; n++)
        ck_assert_int_eq(frame_read_request_head(slice_of(whole.ptr, n), &head, &body),
                         ERR_TRUNCATED);
    /* unknown keys, in the gaps too */
    ck_assert_int_eq(frame_read_request_head(hex("03e7 0000 00000005 ffff"), &head, &body),
                     ERR_UNSUPPORTED);
    ck_assert_int_eq(frame_read_request_head(hex("ffff 0000 00000005 ffff"), &head, &body),
                     ERR_UNSUPPORTED);
    ck_assert_int_eq(frame_read_request_head(hex("0034 0000 00000005 ffff"), &head, &body),
                     ERR_UNSUPPORTED);
    /* an unknown version is peeked at, and read as the newest kind */
    ck_assert_int_eq(frame_peek_request(hex("0012 0063 00000005"), &head), ERR_OK);
    ck_assert(head.api_version == 99 && slice_is_null(head.client_id));
    ck_assert_int_eq(frame_read_request_head(hex("0012 0063 00000005 ffff 00"), &head, &body),
                     ERR_OK);
    ck_assert(slice_is_null(head.client_id));
    end();
}
END_TEST

START_TEST(a_length_is_bounded)
{
    size_t length = 77;

    ck_assert_int_eq(frame_read_length((const uint8_t *)"\x80\0\0\0", 100, &length), ERR_CORRUPT);
    ck_assert_int_eq(frame_read_length((const uint8_t *)"\x7f\xff\xff\xff", 100, &length),
                     ERR_TOO_LARGE);
    ck_assert_int_eq(frame_read_length((const uint8_t *)"\0\0\0\x65", 100, &length), ERR_TOO_LARGE);
    ck_assert_uint_eq(length, 77);
    ck_assert_int_eq(frame_read_length((const uint8_t *)"\0\0\0\x64", 100, &length), ERR_OK);
    ck_assert_uint_eq(length, 100);
}
END_TEST

UNIT(kcats_small_requests_read_as_what_they_are, kcats_records_are_read_and_built_to_the_same_bytes,
     kcats_compressed_records_open, api_versions_is_answered_as_the_reference_says,
     headers_of_all_versions_come_back, a_response_header_has_tags_except_for_api_versions,
     a_bad_header_is_refused, a_length_is_bounded)
