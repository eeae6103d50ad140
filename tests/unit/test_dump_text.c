#include "tools/dump_text.h"
#include "base/crc32c.h"
#include "tests/unit/unit.h"
#include <stdio.h>

static struct buf out, message;

static const char *text(struct buf *buf)
{
    buf_add(buf, "", 1);
    return (const char *)buf->ptr;
}

/* Two records at offset 5, in one batch. */
static void add_batch(struct buf *bytes, int codec)
{
    static const struct record_header header = {SLICE("h"), SLICE("v")};
    struct record_builder builder;
    size_t start = bytes->len;

    record_builder_begin(&builder, bytes);
    builder.head.attributes = (uint16_t)codec;
    record_builder_add(&builder, 1700000000000, SLICE("k"), SLICE("hello"), &header, 1);
    record_builder_add(&builder, 1700000000001, SLICE_NULL, SLICE("x"), NULL, 0);
    record_builder_end(&builder);
    batch_set_base_offset(bytes->ptr + start, 5);
    batch_set_leader_epoch(bytes->ptr + start, 3);
}

static const char *dumped(const struct dump_options *options, struct buf *bytes,
                          struct dump_log *log)
{
    struct slice left = buf_slice(bytes);
    struct batch_entry entry;

    *log = (struct dump_log){.last_offset = -1};
    buf_clear(&out);
    while (batch_entry_take(&left, &entry) == ERR_OK)
        dump_batch(options, &entry, log, &out);
    return text(&out);
}

START_TEST(a_batch_is_one_line)
{
    struct buf bytes = {0};
    struct dump_log log;
    char expected[512];

    add_batch(&bytes, BATCH_CODEC_NONE);
    snprintf(
        expected, sizeof(expected),
        "baseOffset: 5 lastOffset: 6 count: 2 baseSequence: -1 lastSequence: -1 producerId: -1 "
        "producerEpoch: -1 partitionLeaderEpoch: 3 isTransactional: false isControl: false "
        "deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1700000000001 size: %zu "
        "magic: 2 compresscodec: none crc: %u isvalid: true\n",
        bytes.len, crc32c(slice_of(bytes.ptr + 21, bytes.len - 21)));
    ck_assert_str_eq(dumped(&(struct dump_options){0}, &bytes, &log), expected);
    ck_assert(!log.has_invalid && log.position == bytes.len);
    bytes.ptr[bytes.len - 1] ^= 1;
    ck_assert_ptr_nonnull(
        strstr(dumped(&(struct dump_options){.deep = true}, &bytes, &log), "isvalid: false\n"));
    ck_assert(log.has_invalid);
    ck_assert_ptr_null(strstr((char *)out.ptr, "| ")); /* what is not right is not opened */
    buf_fini(&bytes);
}
END_TEST

START_TEST(records_are_lines_below_theirs)
{
    struct buf bytes = {0};
    struct dump_log log;

    add_batch(&bytes, BATCH_CODEC_LZ4);
    const char *all = dumped(&(struct dump_options){.print_data = true}, &bytes, &log);
    ck_assert_ptr_nonnull(strstr(all, "compresscodec: lz4"));
    ck_assert_ptr_nonnull(strstr(all,
                                 "\n| offset: 5 CreateTime: 1700000000000 keySize: 1 valueSize: 5 "
                                 "sequence: -1 headerKeys: [h] key: k payload: hello\n"
                                 "| offset: 6 CreateTime: 1700000000001 keySize: -1 valueSize: 1 "
                                 "sequence: -1 headerKeys: [] payload: x\n"));
    all = dumped(&(struct dump_options){.deep = true}, &bytes, &log);
    ck_assert_ptr_nonnull(strstr(all, "headerKeys: [h]\n"));
    all = dumped(&(struct dump_options){.print_data = true, .skip_metadata = true}, &bytes, &log);
    ck_assert_ptr_nonnull(strstr(all, "\n| key: k payload: hello\n| payload: x\n"));
    buf_fini(&bytes);
}
END_TEST

START_TEST(a_marker_tells_what_it_ends)
{
    struct buf bytes = {0};
    struct dump_log log;

    record_write_marker(&bytes, RECORD_MARKER_COMMIT, 77, 2, 9, 1000);
    const char *all = dumped(&(struct dump_options){.print_data = true}, &bytes, &log);
    ck_assert_ptr_nonnull(strstr(all, "producerId: 77 producerEpoch: 2 "));
    ck_assert_ptr_nonnull(strstr(all, "isTransactional: true isControl: true"));
    ck_assert_ptr_nonnull(strstr(all, " endTxnMarker: COMMIT coordinatorEpoch: 9\n"));
    buf_fini(&bytes);
}
END_TEST

START_TEST(a_gap_between_records_is_noted)
{
    struct buf bytes = {0};
    struct dump_log log;

    add_batch(&bytes, BATCH_CODEC_NONE);
    add_batch(&bytes, BATCH_CODEC_NONE); /* offset 5 again */
    (void)dumped(&(struct dump_options){.deep = true}, &bytes, &log);
    ck_assert_str_eq(text(&log.gaps), "  6 is followed by 5\n");
    buf_fini(&log.gaps);
    buf_fini(&bytes);
}
END_TEST

START_TEST(old_messages_are_read_too)
{
    struct buf bytes = {0};
    struct dump_log log;
    struct oldset_message old = {
        .offset = 9, .magic = 1, .timestamp = 1000, .key = SLICE("k"), .value = SLICE("v")};

    oldset_write(&bytes, &old);
    const char *all = dumped(&(struct dump_options){.print_data = true}, &bytes, &log);
    ck_assert_ptr_nonnull(strstr(all, "offset: 9 position: 0 CreateTime: 1000 size: "));
    ck_assert_ptr_nonnull(strstr(all, "magic: 1 compresscodec: none crc: "));
    ck_assert_ptr_nonnull(
        strstr(all, "| offset: 9 CreateTime: 1000 keySize: 1 valueSize: 1 isValid: true crc: "));
    ck_assert_ptr_nonnull(strstr(all, "} key: k payload: v\n"));
    buf_fini(&bytes);
}
END_TEST

START_TEST(index_entries_end_at_a_zeroed_tail)
{
    static const uint8_t offsets[] = {0, 0, 0,    34, 0, 0, 0x10, 0x23, 0, 0, 0, 40,
                                      0, 0, 0x20, 0,  0, 0, 0,    0,    0, 0, 0, 0};
    static const uint8_t times[] = {0, 0, 1, 0, 0, 0, 0, 7, 0, 0, 0, 3,
                                    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    int64_t offset, timestamp;
    int32_t position;

    ck_assert(dump_offset_entry(slice_of(offsets, sizeof(offsets)), 100, 0, &offset, &position));
    ck_assert(offset == 134 && position == 4131);
    ck_assert(dump_offset_entry(slice_of(offsets, sizeof(offsets)), 100, 1, &offset, &position));
    ck_assert(!dump_offset_entry(slice_of(offsets, sizeof(offsets)), 100, 2, &offset, &position));
    ck_assert(!dump_offset_entry(slice_of(offsets, 15), 100, 1, &offset, &position)); /* cut */
    ck_assert(dump_time_entry(slice_of(times, sizeof(times)), 100, 0, &timestamp, &offset));
    ck_assert(timestamp == INT64_C(0x10000000007) && offset == 103);
    ck_assert(!dump_time_entry(slice_of(times, sizeof(times)), 100, 1, &timestamp, &offset));
}
END_TEST

START_TEST(a_snapshot_lists_producers)
{
    static const uint8_t entry[] = {0, 0,    0,    0,    0,    0,    0, 7, 0, 1, 0, 0, 0, 4, 0, 0,
                                    0, 0,    0,    0,    0,    9,    0, 0, 0, 4, 0, 0, 0, 0, 0, 0,
                                    3, 0xe8, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 5};
    struct buf file = {0};

    _Static_assert(sizeof(entry) == 46, "one entry");
    buf_add(&file, "\0\1\0\0\0\0\0\0\0\1", 10);
    buf_add(&file, entry, sizeof(entry));
    uint32_t crc = crc32c(slice_of(file.ptr + 6, file.len - 6));
    for (int i = 0; i < 4; i++)
        file.ptr[2 + i] = (uint8_t)(crc >> (24 - 8 * i));
    buf_clear(&out);
    ck_assert_int_eq(dump_snapshot(buf_slice(&file), &out, &message), ERR_OK);
    ck_assert_str_eq(text(&out),
                     "producerId: 7 producerEpoch: 1 coordinatorEpoch: -1 currentTxnFirstOffset: "
                     "OptionalLong[5] lastTimestamp: 1000 firstSequence: 0 lastSequence: 4 "
                     "lastOffset: 9 offsetDelta: 4 timestamp: 1000\n");
    file.ptr[20] ^= 1;
    ck_assert_int_eq(dump_snapshot(buf_slice(&file), &out, &message), ERR_CORRUPT);
    for (size_t len = 0; len < file.len; len++) /* cut anywhere: an error, never a crash */
        ck_assert_int_eq(dump_snapshot(slice_of(file.ptr, len), &out, &message), ERR_CORRUPT);
    buf_fini(&file);
}
END_TEST

START_TEST(checkpoints_are_read_strictly)
{
    buf_clear(&out);
    ck_assert_int_eq(dump_checkpoint(SLICE("0\n2\nmy topic 0 5\nb 12 7\n"), false, &out, &message),
                     ERR_OK);
    ck_assert_int_eq(dump_checkpoint(SLICE("0\n1\n3 120\n"), true, &out, &message), ERR_OK);
    ck_assert_int_eq(dump_checkpoint(SLICE(""), true, &out, &message), ERR_OK);
    ck_assert_str_eq(text(&out), "topic: my topic partition: 0 offset: 5\n"
                                 "topic: b partition: 12 offset: 7\n"
                                 "epoch: 3 startOffset: 120\n");
    static const char *const bad[] = {"1\n0\n", "0\n2\na 0 5\n", "0\n1\na 0\n", "0\nx\n", "x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(dump_checkpoint(slice_text(bad[i]), false, &out, &message) == ERR_CORRUPT,
                      "%s", bad[i]);
}
END_TEST

START_TEST(aborted_transactions_are_listed)
{
    uint8_t entry[34] = {[9] = 1, [25] = 5, [33] = 6};

    buf_clear(&out);
    ck_assert_int_eq(dump_transactions(slice_of(entry, sizeof(entry)), &out, &message), ERR_OK);
    ck_assert_str_eq(text(&out), "version: 0 producerId: 1 firstOffset: 0 lastOffset: 5 "
                                 "lastStableOffset: 6\n");
    ck_assert_int_eq(dump_transactions(slice_of(entry, 33), &out, &message), ERR_CORRUPT);
    entry[1] = 1;
    ck_assert_int_eq(dump_transactions(slice_of(entry, sizeof(entry)), &out, &message),
                     ERR_CORRUPT);
}
END_TEST

UNIT(a_batch_is_one_line, records_are_lines_below_theirs, a_marker_tells_what_it_ends,
     a_gap_between_records_is_noted, old_messages_are_read_too, index_entries_end_at_a_zeroed_tail,
     a_snapshot_lists_producers, checkpoints_are_read_strictly, aborted_transactions_are_listed)
