#include "wire/oldset.h"
#include "tests/unit/unit.h"
#include "tests/unit/wire_values.h"

static struct arena arena;
static struct buf out, inner;

static void begin(void)
{
    arena_init(&arena, 1 << 20);
    buf_init(&out);
    buf_init(&inner);
}

static void end(void)
{
    arena_fini(&arena);
    buf_fini(&out);
    buf_fini(&inner);
}

static void add(struct buf *to, int8_t magic, int64_t offset, int64_t timestamp, const char *key,
                struct slice value, uint8_t attributes)
{
    struct oldset_message message = {.offset = offset,
                                     .magic = magic,
                                     .attributes = attributes,
                                     .timestamp = timestamp,
                                     .key = slice_text(key),
                                     .value = value};
    oldset_write(to, &message);
}

/* A wrapper at `offset` around what `*set` holds. */
static void wrap(struct buf *set, int8_t magic, int64_t offset, int64_t timestamp, int codec,
                 uint8_t more)
{
    struct buf packed;

    buf_init(&packed);
    compress_write(codec, magic, COMPRESS_LEVEL_DEFAULT, buf_slice(set), &packed);
    add(&out, magic, offset, timestamp, NULL, buf_slice(&packed), (uint8_t)(codec | more));
    buf_fini(&packed);
}

static enum err open_first(struct oldset_reader *reader)
{
    struct slice from = buf_slice(&out);
    struct batch_entry entry;

    ck_assert_int_eq(batch_entry_take(&from, &entry), ERR_OK);
    return oldset_open(&entry, 1 << 20, &inner, reader);
}

/* Bytes by the layout; the checksums by another program (zlib's crc32 in Python). */
START_TEST(a_message_is_laid_out_as_kafka_says)
{
    begin();
    add(&out, 0, 3, -1, "k", SLICE("v"), 0);
    ck_assert(
        slice_equal(buf_slice(&out), values_hex(&arena, "0000000000000003 00000010 1fecd70a 00 00 "
                                                        "00000001 6b 00000001 76")));
    buf_clear(&out);
    add(&out, 1, 4, 258, NULL, SLICE("v"), 0);
    ck_assert(
        slice_equal(buf_slice(&out), values_hex(&arena, "0000000000000004 00000017 711a48d3 01 00 "
                                                        "0000000000000102 ffffffff 00000001 76")));
    end();
}
END_TEST

START_TEST(a_plain_message_is_its_own_set)
{
    begin();
    struct oldset_reader reader;
    struct oldset_message message;
    add(&out, 1, 41, 1000, NULL, SLICE("v"), 0);
    ck_assert_int_eq(open_first(&reader), ERR_OK);
    ck_assert(oldset_next(&reader, &message));
    ck_assert(message.offset == 41 && message.timestamp == 1000 && slice_is_null(message.key));
    ck_assert(slice_is(message.value, "v"));
    ck_assert(!oldset_next(&reader, &message));
    ck_assert_int_eq(reader.err, ERR_OK);
    end();
}
END_TEST

START_TEST(inner_offsets_are_absolute_in_v0_and_relative_in_v1)
{
    for (int8_t magic = 0; magic <= 1; magic++) {
        for (int codec = BATCH_CODEC_GZIP; codec <= BATCH_CODEC_LZ4; codec++) {
            begin();
            struct buf set;
            struct oldset_reader reader;
            struct oldset_message message;
            buf_init(&set);
            /* as after compaction: the one in the middle is gone */
            add(&set, magic, magic == 0 ? 100 : 0, 5, "a", SLICE("1"), 0);
            add(&set, magic, magic == 0 ? 102 : 2, 6, "b", SLICE("2"), 0);
            wrap(&set, magic, 102, 6, codec, 0);
            ck_assert_int_eq(open_first(&reader), ERR_OK);
            ck_assert(oldset_next(&reader, &message));
            ck_assert_int_eq(message.offset, 100);
            ck_assert_int_eq(message.timestamp, magic == 0 ? -1 : 5);
            ck_assert(oldset_next(&reader, &message));
            ck_assert(message.offset == 102 && slice_is(message.value, "2"));
            ck_assert(!oldset_next(&reader, &message));
            ck_assert_int_eq(reader.err, ERR_OK);
            buf_fini(&set);
            end();
        }
    }
}
END_TEST

START_TEST(a_wrapper_at_0_counts_from_0_and_one_that_is_too_low_is_refused)
{
    begin();
    struct buf set;
    struct oldset_reader reader;
    struct oldset_message message;
    buf_init(&set);
    add(&set, 1, 0, 5, NULL, SLICE("1"), 0);
    add(&set, 1, 1, 6, NULL, SLICE("2"), 0);
    add(&set, 1, 2, 6, NULL, SLICE("3"), 0);
    wrap(&set, 1, 0, 6, BATCH_CODEC_GZIP, 0);
    ck_assert_int_eq(open_first(&reader), ERR_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert(oldset_next(&reader, &message));
        ck_assert_int_eq(message.offset, i);
    }
    buf_clear(&out);
    wrap(&set, 1, 1, 6, BATCH_CODEC_GZIP, 0);
    ck_assert_int_eq(open_first(&reader), ERR_INVALID_RECORD);
    buf_fini(&set);
    end();
}
END_TEST

START_TEST(the_brokers_time_on_the_wrapper_is_that_of_all)
{
    begin();
    struct buf set;
    struct oldset_reader reader;
    struct oldset_message message;
    buf_init(&set);
    add(&set, 1, 0, 5, NULL, SLICE("1"), 0);
    wrap(&set, 1, 10, 7777, BATCH_CODEC_SNAPPY, BATCH_APPEND_TIME);
    ck_assert_int_eq(open_first(&reader), ERR_OK);
    ck_assert(oldset_next(&reader, &message));
    ck_assert(message.timestamp == 7777 && message.has_append_time);
    buf_fini(&set);
    end();
}
END_TEST

START_TEST(a_changed_byte_is_found_outside_and_inside)
{
    begin();
    struct oldset_reader reader;
    struct oldset_message message;
    add(&out, 0, 1, -1, "k", SLICE("v"), 0);
    for (size_t i = 12; i < out.len; i++) { /* the offset and the length are not covered */
        if (i == BATCH_MAGIC_AT) continue;  /* the frame's */
        out.ptr[i] ^= 4;
        ck_assert_int_eq(open_first(&reader), ERR_CORRUPT);
        out.ptr[i] ^= 4;
    }
    struct buf set;
    buf_init(&set);
    add(&set, 0, 1, -1, "k", SLICE("v"), 0);
    set.ptr[set.len - 1] ^= 1;
    buf_clear(&out);
    wrap(&set, 0, 1, -1, BATCH_CODEC_GZIP, 0);
    ck_assert_int_eq(open_first(&reader), ERR_OK);
    ck_assert(!oldset_next(&reader, &message));
    ck_assert_int_eq(reader.err, ERR_CORRUPT);
    buf_fini(&set);
    end();
}
END_TEST

START_TEST(lengths_within_a_message_are_checked_though_its_checksum_is_right)
{
    begin();
    static const char *const bad[] = {
        "0000000000000001 00000018 b156cbd8 01 00 0000000000000005 ffffffff 00000001 "
        "76 77", /* a byte behind the value */
        "0000000000000001 00000017 9a910662 01 00 0000000000000005 ffffffff 00000009 "
        "76", /* a value longer than the message */
    };
    struct oldset_reader reader;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        buf_clear(&out);
        buf_add_slice(&out, values_hex(&arena, bad[i]));
        ck_assert_int_eq(open_first(&reader), ERR_CORRUPT);
    }
    buf_clear(&out);
    struct buf set;
    buf_init(&set);
    wrap(&set, 1, 1, 5, BATCH_CODEC_GZIP, 0); /* nothing in it */
    ck_assert_int_eq(open_first(&reader), ERR_INVALID_RECORD);
    buf_fini(&set);
    end();
}
END_TEST

START_TEST(what_may_not_be_wrapped_is_refused)
{
    begin();
    struct buf set;
    struct oldset_reader reader;
    struct oldset_message message;
    buf_init(&set);

    add(&set, 0, 0, -1, NULL, SLICE("v"), 0); /* another format within */
    wrap(&set, 1, 0, 5, BATCH_CODEC_GZIP, 0);
    ck_assert_int_eq(open_first(&reader), ERR_OK);
    ck_assert(!oldset_next(&reader, &message));
    ck_assert_int_eq(reader.err, ERR_INVALID_RECORD);

    buf_clear(&set); /* a wrapper within */
    buf_clear(&out);
    add(&set, 1, 0, 5, NULL, SLICE("v"), BATCH_CODEC_GZIP);
    wrap(&set, 1, 0, 5, BATCH_CODEC_GZIP, 0);
    ck_assert_int_eq(open_first(&reader), ERR_OK);
    ck_assert(!oldset_next(&reader, &message));
    ck_assert_int_eq(reader.err, ERR_INVALID_RECORD);

    buf_clear(&out); /* zstd came with magic 2 */
    add(&out, 1, 0, 5, NULL, SLICE("v"), BATCH_CODEC_ZSTD);
    ck_assert_int_eq(open_first(&reader), ERR_UNSUPPORTED);

    buf_clear(&out); /* no value, no data, a set cut short */
    add(&out, 1, 0, 5, NULL, SLICE_NULL, BATCH_CODEC_GZIP);
    ck_assert_int_eq(open_first(&reader), ERR_INVALID_RECORD);
    buf_clear(&out);
    add(&out, 1, 0, 5, NULL, SLICE("v"), BATCH_CODEC_GZIP);
    ck_assert_int_eq(open_first(&reader), ERR_CORRUPT);
    buf_clear(&out);
    buf_clear(&set);
    add(&set, 1, 0, 5, NULL, SLICE("v"), 0);
    set.len--;
    wrap(&set, 1, 0, 5, BATCH_CODEC_GZIP, 0);
    ck_assert_int_eq(open_first(&reader), ERR_CORRUPT);
    buf_fini(&set);
    end();
}
END_TEST

START_TEST(a_wrapper_is_opened_up_to_the_limit_only)
{
    begin();
    struct buf set;
    struct batch_entry entry;
    struct oldset_reader reader;
    buf_init(&set);
    for (int i = 0; i < 100; i++)
        add(&set, 1, i, 5, NULL, SLICE("vvvvvvvvvvvvvvv"), 0);
    wrap(&set, 1, 99, 5, BATCH_CODEC_GZIP, 0);
    struct slice from = buf_slice(&out);
    ck_assert_int_eq(batch_entry_take(&from, &entry), ERR_OK);
    ck_assert_int_eq(oldset_open(&entry, set.len - 1, &inner, &reader), ERR_LIMIT);
    ck_assert_int_eq(oldset_open(&entry, set.len, &inner, &reader), ERR_OK);
    buf_fini(&set);
    end();
}
END_TEST

UNIT(a_message_is_laid_out_as_kafka_says, a_plain_message_is_its_own_set,
     inner_offsets_are_absolute_in_v0_and_relative_in_v1,
     a_wrapper_at_0_counts_from_0_and_one_that_is_too_low_is_refused,
     the_brokers_time_on_the_wrapper_is_that_of_all, a_changed_byte_is_found_outside_and_inside,
     lengths_within_a_message_are_checked_though_its_checksum_is_right,
     what_may_not_be_wrapped_is_refused, a_wrapper_is_opened_up_to_the_limit_only)
