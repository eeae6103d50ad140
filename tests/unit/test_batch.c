#include "wire/batch.h"
#include "tests/unit/unit.h"
#include "tests/unit/wire_values.h"
#include "wire/record.h"

static struct buf out;

static struct batch build(int records)
{
    struct record_builder builder;
    struct batch batch;

    buf_init(&out);
    record_builder_begin(&builder, &out);
    builder.head.producer_id = 77;
    builder.head.producer_epoch = 3;
    builder.head.base_sequence = 5;
    for (int i = 0; i < records; i++)
        record_builder_add(&builder, 1000 + i, SLICE("key"), SLICE("value"), NULL, 0);
    record_builder_end(&builder);
    struct slice from = buf_slice(&out);
    ck_assert_int_eq(batch_take(&from, &batch), ERR_OK);
    ck_assert_uint_eq(from.len, 0);
    return batch;
}

START_TEST(a_built_batch_shows_its_header)
{
    struct batch batch = build(4);

    ck_assert_int_eq(batch.base_offset, 0);
    ck_assert_int_eq(batch.leader_epoch, -1);
    ck_assert_int_eq(batch.record_count, 4);
    ck_assert_int_eq(batch_last_offset(&batch), 3);
    ck_assert_int_eq(batch_last_sequence(&batch), 8);
    ck_assert_int_eq(batch.base_timestamp, 1000);
    ck_assert_int_eq(batch.max_timestamp, 1003);
    ck_assert_int_eq(batch.producer_id, 77);
    ck_assert_int_eq(batch_codec(&batch), BATCH_CODEC_NONE);
    buf_fini(&out);
}
END_TEST

START_TEST(a_byte_changed_anywhere_under_the_checksum_is_found)
{
    struct batch batch = build(2);

    for (size_t i = 0; i < out.len; i++) {
        out.ptr[i] ^= 0x10;
        struct slice from = buf_slice(&out);
        struct batch seen;
        enum err err = batch_take(&from, &seen);
        /* Base offset and leader epoch are the broker's to write: not covered. */
        bool covered = i >= 8 && !(i >= 12 && i < 16);
        ck_assert_msg((err != ERR_OK) == covered, "byte %zu: %s", i, err_name(err));
        out.ptr[i] ^= 0x10;
    }
    ck_assert_int_eq(batch_check(&batch), ERR_OK);
    buf_fini(&out);
}
END_TEST

START_TEST(offset_and_epoch_are_set_without_touching_the_checksum)
{
    struct batch batch = build(3);
    uint32_t crc = batch.crc;

    batch_set_base_offset(out.ptr, INT64_C(0x0102030405060708));
    batch_set_leader_epoch(out.ptr, 42);
    struct slice from = buf_slice(&out);
    ck_assert_int_eq(batch_take(&from, &batch), ERR_OK);
    ck_assert_int_eq(batch.base_offset, INT64_C(0x0102030405060708));
    ck_assert_int_eq(batch_last_offset(&batch), INT64_C(0x010203040506070a));
    ck_assert_int_eq(batch.leader_epoch, 42);
    ck_assert_uint_eq(batch.crc, crc);
    buf_fini(&out);
}
END_TEST

START_TEST(the_timestamp_is_sealed_anew_only_when_it_changes)
{
    struct batch batch = build(3);

    batch_set_max_timestamp(out.ptr, out.len, true, 5000);
    struct slice from = buf_slice(&out);
    ck_assert_int_eq(batch_take(&from, &batch), ERR_OK);
    ck_assert(batch_has_append_time(&batch) && batch.max_timestamp == 5000);
    ck_assert_int_eq(batch.base_timestamp, 1000);

    out.ptr[BATCH_HEADER_SIZE] ^= 1; /* a wrong checksum stays wrong: nothing was computed */
    batch_set_max_timestamp(out.ptr, out.len, true, 5000);
    from = buf_slice(&out);
    ck_assert_int_eq(batch_take(&from, &batch), ERR_CORRUPT);
    batch_set_max_timestamp(out.ptr, out.len, false, 5000);
    from = buf_slice(&out);
    ck_assert_int_eq(batch_take(&from, &batch), ERR_OK);
    ck_assert(!batch_has_append_time(&batch));
    buf_fini(&out);
}
END_TEST

START_TEST(an_entry_must_be_whole_and_possible)
{
    build(1);
    struct batch_entry entry;
    struct batch batch;
    struct slice from;
    size_t size = 0;
    int8_t magic = -1;

    for (size_t n = 0; n < out.len; n++) {
        from = slice_of(out.ptr, n);
        ck_assert_int_eq(batch_entry_take(&from, &entry), ERR_TRUNCATED);
        ck_assert_uint_eq(from.len, n);
    }
    ck_assert_int_eq(batch_entry_size(slice_of(out.ptr, 16), &size, &magic), ERR_TRUNCATED);
    ck_assert_int_eq(batch_entry_size(slice_of(out.ptr, 17), &size, &magic), ERR_OK);
    ck_assert(size == out.len && magic == 2);

    prim_store32(out.ptr + 8, 13); /* less than any format takes; preallocated zeros too */
    from = buf_slice(&out);
    ck_assert_int_eq(batch_entry_take(&from, &entry), ERR_CORRUPT);
    prim_store32(out.ptr + 8, (uint32_t)-1);
    ck_assert_int_eq(batch_entry_take(&from, &entry), ERR_CORRUPT);
    prim_store32(out.ptr + 8, 14); /* whole, but shorter than a header */
    ck_assert_int_eq(batch_entry_take(&from, &entry), ERR_OK);
    ck_assert_int_eq(batch_view(entry.bytes, &batch), ERR_CORRUPT);
    from = buf_slice(&out);
    out.ptr[BATCH_MAGIC_AT] = 3;
    ck_assert_int_eq(batch_entry_take(&from, &entry), ERR_CORRUPT);
    buf_fini(&out);
}
END_TEST

START_TEST(a_header_can_be_seen_without_its_records)
{
    build(5);
    struct batch batch;

    ck_assert_int_eq(batch_view_header(slice_of(out.ptr, BATCH_HEADER_SIZE - 1), &batch),
                     ERR_TRUNCATED);
    ck_assert_int_eq(batch_view_header(slice_of(out.ptr, BATCH_HEADER_SIZE), &batch), ERR_OK);
    ck_assert(batch.record_count == 5 && slice_is_null(batch.records));
    out.ptr[BATCH_MAGIC_AT] = 1;
    ck_assert_int_eq(batch_view_header(slice_of(out.ptr, BATCH_HEADER_SIZE), &batch), ERR_CORRUPT);
    buf_fini(&out);
}
END_TEST

START_TEST(sequences_wrap_to_zero)
{
    ck_assert_int_eq(batch_sequence_after(INT32_MAX, 1), 0);
    ck_assert_int_eq(batch_sequence_after(INT32_MAX - 1, 3), 1);
    ck_assert_int_eq(batch_sequence_after(7, 3), 10);
    ck_assert_int_eq(batch_sequence_before(0, 1), INT32_MAX);
    ck_assert_int_eq(batch_sequence_before(1, 3), INT32_MAX - 1);
    for (int32_t n = 0; n < 1000; n += 13)
        ck_assert_int_eq(batch_sequence_before(batch_sequence_after(INT32_MAX - 500, n), n),
                         INT32_MAX - 500);
}
END_TEST

UNIT(a_built_batch_shows_its_header, a_byte_changed_anywhere_under_the_checksum_is_found,
     offset_and_epoch_are_set_without_touching_the_checksum,
     the_timestamp_is_sealed_anew_only_when_it_changes, an_entry_must_be_whole_and_possible,
     a_header_can_be_seen_without_its_records, sequences_wrap_to_zero)
