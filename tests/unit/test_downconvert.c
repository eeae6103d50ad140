#include "wire/downconvert.h"
#include "tests/unit/unit.h"
#include "wire/record.h"

static struct buf set, out, inner;

static void begin(void)
{
    buf_init(&set);
    buf_init(&out);
    buf_init(&inner);
}

static void end(void)
{
    buf_fini(&set);
    buf_fini(&out);
    buf_fini(&inner);
}

/* Three records at base, base + 1 and base + 4 (compaction took two), with a header each. */
static void add_batch(int64_t base, int codec, uint16_t more)
{
    static const struct record_header header = {SLICE("h"), SLICE("w")};
    static const int32_t deltas[] = {0, 1, 4};
    struct record_builder builder;

    record_builder_begin(&builder, &set);
    builder.head.base_offset = base;
    builder.head.attributes = (uint16_t)(codec | more);
    builder.head.producer_id = 9;
    for (int i = 0; i < 3; i++)
        record_builder_add_at(&builder, deltas[i], 7000 - i, SLICE("key"),
                              i == 1 ? SLICE_NULL : SLICE("value value value value"), &header, 1);
    record_builder_end(&builder);
}

/* Entry by entry, message by message: offsets of all that is in `out`. */
static int read_back(int8_t magic, int64_t *offsets, int64_t *timestamps, int *entries)
{
    struct slice rest = buf_slice(&out);
    struct oldset_message message;
    struct oldset_reader reader;
    struct batch_entry entry;
    int count = 0;

    *entries = 0;
    while (batch_entry_take(&rest, &entry) == ERR_OK) {
        ck_assert_int_eq(entry.magic, magic);
        ck_assert_int_eq(oldset_open(&entry, 1 << 20, &inner, &reader), ERR_OK);
        ++*entries;
        while (oldset_next(&reader, &message)) {
            ck_assert(slice_is(message.key, "key"));
            offsets[count] = message.offset;
            timestamps[count++] = message.timestamp;
        }
        ck_assert_int_eq(reader.err, ERR_OK);
    }
    ck_assert_uint_eq(rest.len, 0);
    return count;
}

static struct downconvert how_of(int8_t magic, int64_t offset)
{
    return (struct downconvert){magic, offset, 1 << 20, 1 << 20};
}

START_TEST(batches_become_messages_with_their_offsets_and_times)
{
    int64_t offsets[16], timestamps[16];
    int entries;

    begin();
    for (int8_t magic = 0; magic <= 1; magic++)
        for (int codec = BATCH_CODEC_NONE; codec <= BATCH_CODEC_LZ4; codec++) {
            struct downconvert how = how_of(magic, 0);
            buf_clear(&set);
            buf_clear(&out);
            add_batch(10, codec, 0);
            add_batch(20, codec, BATCH_TRANSACTIONAL);
            ck_assert(downconvert_is_needed(buf_slice(&set), magic));
            ck_assert_int_eq(downconvert(buf_slice(&set), &how, &out), ERR_OK);
            ck_assert(!downconvert_is_needed(buf_slice(&out), magic));
            ck_assert_int_eq(read_back(magic, offsets, timestamps, &entries), 6);
            ck_assert_int_eq(entries, codec == BATCH_CODEC_NONE ? 6 : 2);
            for (int i = 0; i < 6; i++) {
                static const int64_t wanted[] = {10, 11, 14, 20, 21, 24};
                ck_assert_int_eq(offsets[i], wanted[i]);
                ck_assert_int_eq(timestamps[i], magic == 0 ? -1 : 7000 - i % 3);
            }
        }
    end();
}
END_TEST

START_TEST(a_brokers_time_is_every_messages)
{
    int64_t offsets[16], timestamps[16];
    int entries;

    begin();
    for (int codec = BATCH_CODEC_NONE; codec <= BATCH_CODEC_GZIP; codec++) {
        struct downconvert how = how_of(1, 0);
        buf_clear(&set);
        buf_clear(&out);
        add_batch(0, codec, 0);
        batch_set_max_timestamp(set.ptr, set.len, true, 9999);
        ck_assert_int_eq(downconvert(buf_slice(&set), &how, &out), ERR_OK);
        ck_assert_int_eq(read_back(1, offsets, timestamps, &entries), 3);
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(timestamps[i], 9999);
        ck_assert_uint_ne(out.ptr[17] & BATCH_APPEND_TIME, 0);
    }
    end();
}
END_TEST

START_TEST(what_old_readers_have_no_place_for_is_left_out)
{
    int64_t offsets[16], timestamps[16];
    struct downconvert how = how_of(1, 1);
    int entries;

    begin();
    add_batch(0, BATCH_CODEC_NONE, 0); /* its first record is below what is wanted */
    record_write_marker(&set, RECORD_MARKER_COMMIT, 9, 0, 0, 7000);
    add_batch(10, BATCH_CODEC_SNAPPY, 0);
    ck_assert_int_eq(downconvert(buf_slice(&set), &how, &out), ERR_OK);
    ck_assert_int_eq(read_back(1, offsets, timestamps, &entries), 5);
    ck_assert_int_eq(offsets[0], 1);
    ck_assert_int_eq(offsets[4], 14);

    /* Nothing at all: not an empty set, but the head of something larger. */
    buf_clear(&set);
    buf_clear(&out);
    record_write_marker(&set, RECORD_MARKER_ABORT, 9, 0, 0, 7000);
    ck_assert_int_eq(downconvert(buf_slice(&set), &how, &out), ERR_OK);
    ck_assert_uint_eq(out.len, BATCH_PREFIX_SIZE);
    struct slice rest = buf_slice(&out);
    struct batch_entry entry;
    ck_assert_int_eq(batch_entry_take(&rest, &entry), ERR_TRUNCATED);
    buf_clear(&out);
    ck_assert_int_eq(downconvert(SLICE(""), &how, &out), ERR_OK);
    ck_assert_uint_eq(out.len, 0);

    /* A codec that came later: an error at first, the end further on. */
    buf_clear(&set);
    add_batch(0, BATCH_CODEC_ZSTD, 0);
    ck_assert_int_eq(downconvert(buf_slice(&set), &how, &out), ERR_UNSUPPORTED);
    ck_assert_uint_eq(out.len, 0);
    buf_clear(&set);
    add_batch(0, BATCH_CODEC_LZ4, 0);
    add_batch(5, BATCH_CODEC_ZSTD, 0);
    ck_assert_int_eq(downconvert(buf_slice(&set), &how, &out), ERR_OK);
    ck_assert_int_eq(read_back(1, offsets, timestamps, &entries), 3);
    end();
}
END_TEST

START_TEST(messages_v1_become_v0_and_older_ones_stay)
{
    int64_t offsets[16], timestamps[16];
    struct downconvert to_v1 = how_of(1, 0), to_v0 = how_of(0, 0);
    struct buf first;
    int entries;

    begin();
    add_batch(10, BATCH_CODEC_NONE, 0);
    add_batch(20, BATCH_CODEC_GZIP, 0);
    ck_assert_int_eq(downconvert(buf_slice(&set), &to_v1, &out), ERR_OK);
    first = out;
    buf_init(&out);
    ck_assert_int_eq(downconvert(buf_slice(&first), &to_v1, &out), ERR_OK);
    ck_assert(slice_equal(buf_slice(&out), buf_slice(&first))); /* nothing to do */
    buf_clear(&out);
    ck_assert_int_eq(downconvert(buf_slice(&first), &to_v0, &out), ERR_OK);
    ck_assert_int_eq(read_back(0, offsets, timestamps, &entries), 6);
    ck_assert_int_eq(entries, 4);
    ck_assert_int_eq(offsets[5], 24);
    ck_assert_int_eq(timestamps[5], -1);
    buf_fini(&first);
    end();
}
END_TEST

START_TEST(a_limit_ends_it_but_the_first_entry_is_whole)
{
    int64_t offsets[16], timestamps[16];
    struct downconvert how = how_of(1, 0);
    int entries;

    begin();
    add_batch(0, BATCH_CODEC_GZIP, 0);
    add_batch(5, BATCH_CODEC_GZIP, 0);
    how.bytes_max = 10;
    ck_assert_int_eq(downconvert(buf_slice(&set), &how, &out), ERR_OK);
    ck_assert_int_eq(read_back(1, offsets, timestamps, &entries), 3);
    buf_clear(&out);
    how.bytes_max = 1 << 20;
    how.opened_max = 20; /* a bomb */
    ck_assert_int_eq(downconvert(buf_slice(&set), &how, &out), ERR_LIMIT);
    set.ptr[set.len - 1] ^= 1; /* the second is broken: the first is given */
    how.opened_max = 1 << 20;
    ck_assert_int_eq(downconvert(buf_slice(&set), &how, &out), ERR_OK);
    ck_assert_int_eq(read_back(1, offsets, timestamps, &entries), 3);
    end();
}
END_TEST

UNIT(batches_become_messages_with_their_offsets_and_times, a_brokers_time_is_every_messages,
     what_old_readers_have_no_place_for_is_left_out, messages_v1_become_v0_and_older_ones_stay,
     a_limit_ends_it_but_the_first_entry_is_whole)
