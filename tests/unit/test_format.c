#include "tools/format.h"
#include "tests/unit/unit.h"

static struct buf out;

static const char *formatted(const struct format_options *options,
                             const struct format_record *record)
{
    buf_clear(&out);
    ck_assert_int_eq(format_write(options, record, &out), ERR_OK);
    buf_add(&out, "", 1);
    return (const char *)out.ptr;
}

/* A batch of one record, so that headers are as they come from a log. */
static struct record with_headers(struct buf *bytes)
{
    static const struct record_header headers[] = {{SLICE("h1"), SLICE("v1")},
                                                   {SLICE("h2"), {NULL, 0}}};
    struct record_builder builder;
    struct record record;

    record_builder_begin(&builder, bytes);
    record_builder_add(&builder, 1700000000000, SLICE("key"), SLICE("value"), headers, 2);
    record_builder_end(&builder);
    struct record_reader reader = record_reader_of(
        slice_of(bytes->ptr + BATCH_HEADER_SIZE, bytes->len - BATCH_HEADER_SIZE), 1);
    ck_assert(record_next(&reader, &record));
    return record;
}

START_TEST(columns_come_in_kafkas_order)
{
    struct format_options options;
    struct buf bytes = {0};
    struct record record = with_headers(&bytes);
    struct format_record r = {.offset = 42,
                              .timestamp_type = FORMAT_CREATE_TIME,
                              .timestamp = 1700000000000,
                              .headers = record.headers,
                              .key = record.key,
                              .value = record.value};

    format_options_init(&options);
    ck_assert_str_eq(formatted(&options, &r), "value\n");
    static const char *const columns[] = {"print.key", "print.timestamp", "print.partition",
                                          "print.offset", "print.headers"};
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(format_options_set(&options, columns[i], "true"), ERR_OK);
    ck_assert_str_eq(formatted(&options, &r), "CreateTime:1700000000000\tPartition:0\tOffset:42\t"
                                              "h1:v1,h2:null\tkey\tvalue\n");
    r.headers = SLICE_NULL;
    r.key = SLICE_NULL;
    r.timestamp_type = FORMAT_NO_TIMESTAMP;
    ck_assert_str_eq(formatted(&options, &r),
                     "NO_TIMESTAMP\tPartition:0\tOffset:42\tNO_HEADERS\tnull\tvalue\n");
    r.timestamp_type = FORMAT_APPEND_TIME;
    options.partition = options.offset = options.headers = options.key = options.value = false;
    ck_assert_str_eq(formatted(&options, &r), "LogAppendTime:1700000000000\n");
    options.timestamp = false;
    ck_assert_str_eq(formatted(&options, &r), "");
    buf_fini(&bytes);
}
END_TEST

START_TEST(separators_and_null_can_be_chosen)
{
    struct format_options options;
    struct format_record r = {.key = SLICE("k")};

    format_options_init(&options);
    ck_assert_int_eq(format_options_set(&options, "print.key", "true"), ERR_OK);
    ck_assert_int_eq(format_options_set(&options, "key.separator", " = "), ERR_OK);
    ck_assert_int_eq(format_options_set(&options, "line.separator", ";"), ERR_OK);
    ck_assert_int_eq(format_options_set(&options, "null.literal", "-"), ERR_OK);
    ck_assert_str_eq(formatted(&options, &r), "k = -;");
    ck_assert_int_eq(format_options_set(&options, "print.key", "maybe"), ERR_INVALID);
    ck_assert_int_eq(format_options_set(&options, "nope", "x"), ERR_NOT_FOUND);
}
END_TEST

START_TEST(numbers_are_read_as_numbers)
{
    struct format_options options;
    static const uint8_t eight[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe};
    struct format_record r = {.key = {eight, 4}, .value = {eight, 8}};

    format_options_init(&options);
    options.key = true;
    ck_assert_int_eq(format_kind_parse("org.apache.kafka.common.serialization.LongDeserializer",
                                       &options.value_kind),
                     ERR_OK);
    ck_assert_int_eq(format_options_set(&options, "key.deserializer", "IntegerDeserializer"),
                     ERR_OK);
    ck_assert_str_eq(formatted(&options, &r), "-1\t-2\n");
    r.value.len = 7;
    buf_clear(&out);
    ck_assert_int_eq(format_write(&options, &r, &out), ERR_INVALID);
    ck_assert_uint_eq(out.len, 0); /* nothing of the record */
    ck_assert_int_eq(format_kind_parse("x.MyDeserializer", &options.key_kind), ERR_INVALID);
}
END_TEST

START_TEST(formatters_go_by_the_end_of_their_name)
{
    struct format_options options;
    struct format_record r = {
        .value = SLICE("v"), .timestamp_type = FORMAT_CREATE_TIME, .timestamp = 5};

    format_options_init(&options);
    ck_assert_int_eq(format_options_formatter(&options, "kafka.tools.NoOpMessageFormatter"),
                     ERR_OK);
    ck_assert_str_eq(formatted(&options, &r), "");
    ck_assert_int_eq(format_options_formatter(&options, "LoggingMessageFormatter"), ERR_OK);
    ck_assert_str_eq(formatted(&options, &r), "CreateTime:5, key:null, value:v\n");
    ck_assert_int_eq(format_options_formatter(&options, "Other"), ERR_INVALID);
}
END_TEST

UNIT(columns_come_in_kafkas_order, separators_and_null_can_be_chosen, numbers_are_read_as_numbers,
     formatters_go_by_the_end_of_their_name)
