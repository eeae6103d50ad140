#include "wire/batch.h"
#include "base/crc32c.h"
#include "base/ensure.h"

/* Where the fields are: reference/storage.md 2.1. */
enum {
    AT_BASE_OFFSET = 0,
    AT_LENGTH = 8,
    AT_LEADER_EPOCH = 12,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21,
    AT_LAST_OFFSET_DELTA = 23,
    AT_BASE_TIMESTAMP = 27,
    AT_MAX_TIMESTAMP = 35,
    AT_PRODUCER_ID = 43,
    AT_PRODUCER_EPOCH = 51,
    AT_BASE_SEQUENCE = 53,
    AT_RECORD_COUNT = 57,
};

/* Of what follows the length: the least that any format takes. */
#define ENTRY_LENGTH_MIN 14

enum err batch_entry_size(struct slice head, size_t *size, int8_t *magic)
{
    if (head.len < BATCH_PREFIX_SIZE) return ERR_TRUNCATED;
    int32_t length = (int32_t)prim_load32(head.ptr + AT_LENGTH);
    if (length < ENTRY_LENGTH_MIN) return ERR_CORRUPT;
    if (head.len < BATCH_PEEK_SIZE) return ERR_TRUNCATED;
    int8_t found = (int8_t)head.ptr[BATCH_MAGIC_AT];
    if (found < 0 || found > BATCH_MAGIC) return ERR_CORRUPT;
    *size = BATCH_PREFIX_SIZE + (size_t)length;
    *magic = found;
    return ERR_OK;
}

enum err batch_entry_take(struct slice *from, struct batch_entry *out)
{
    struct batch_entry entry = {0};
    size_t size = 0;

    enum err err = batch_entry_size(*from, &size, &entry.magic);
    if (err == ERR_OK) err = slice_take(from, size, &entry.bytes);
    if (err != ERR_OK) return err;
    entry.offset = (int64_t)prim_load64(entry.bytes.ptr);
    *out = entry;
    return ERR_OK;
}

static void load_header(const uint8_t *at, struct batch *out)
{
    *out = (struct batch){
        .base_offset = (int64_t)prim_load64(at + AT_BASE_OFFSET),
        .leader_epoch = (int32_t)prim_load32(at + AT_LEADER_EPOCH),
        .crc = prim_load32(at + AT_CRC),
        .attributes = prim_load16(at + AT_ATTRIBUTES),
        .last_offset_delta = (int32_t)prim_load32(at + AT_LAST_OFFSET_DELTA),
        .base_timestamp = (int64_t)prim_load64(at + AT_BASE_TIMESTAMP),
        .max_timestamp = (int64_t)prim_load64(at + AT_MAX_TIMESTAMP),
        .producer_id = (int64_t)prim_load64(at + AT_PRODUCER_ID),
        .producer_epoch = (int16_t)prim_load16(at + AT_PRODUCER_EPOCH),
        .base_sequence = (int32_t)prim_load32(at + AT_BASE_SEQUENCE),
        .record_count = (int32_t)prim_load32(at + AT_RECORD_COUNT),
    };
}

enum err batch_view(struct slice bytes, struct batch *out)
{
    if (bytes.len < BATCH_HEADER_SIZE) return ERR_CORRUPT;
    load_header(bytes.ptr, out);
    out->bytes = bytes;
    out->records = slice_of(bytes.ptr + BATCH_HEADER_SIZE, bytes.len - BATCH_HEADER_SIZE);
    return ERR_OK;
}

enum err batch_view_header(struct slice head, struct batch *out)
{
    size_t size = 0;
    int8_t magic = 0;

    enum err err = batch_entry_size(head, &size, &magic);
    if (err != ERR_OK) return err;
    if (magic != BATCH_MAGIC || size < BATCH_HEADER_SIZE) return ERR_CORRUPT;
    if (head.len < BATCH_HEADER_SIZE) return ERR_TRUNCATED;
    load_header(head.ptr, out);
    return ERR_OK;
}

static uint32_t compute_crc(const uint8_t *at, size_t len)
{
    return crc32c(slice_of(at + AT_ATTRIBUTES, len - AT_ATTRIBUTES));
}

enum err batch_check(const struct batch *batch)
{
    return compute_crc(batch->bytes.ptr, batch->bytes.len) == batch->crc ? ERR_OK : ERR_CORRUPT;
}

enum err batch_take(struct slice *from, struct batch *out)
{
    struct slice rest = *from;
    struct batch_entry entry;
    struct batch batch;

    enum err err = batch_entry_take(&rest, &entry);
    if (err == ERR_OK && entry.magic != BATCH_MAGIC) err = ERR_UNSUPPORTED;
    if (err == ERR_OK) err = batch_view(entry.bytes, &batch);
    if (err == ERR_OK) err = batch_check(&batch);
    if (err != ERR_OK) return err;
    *from = rest;
    *out = batch;
    return ERR_OK;
}

int32_t batch_sequence_after(int32_t sequence, int32_t n)
{
    ensure(n >= 0);
    if (sequence > INT32_MAX - n) return n - (INT32_MAX - sequence) - 1;
    return sequence + n;
}

int32_t batch_sequence_before(int32_t sequence, int32_t n)
{
    ensure(n >= 0);
    if (sequence < n) return INT32_MAX - (n - sequence) + 1;
    return sequence - n;
}

int32_t batch_last_sequence(const struct batch *batch)
{
    if (batch->base_sequence < 0 || batch->last_offset_delta < 0) return -1;
    return batch_sequence_after(batch->base_sequence, batch->last_offset_delta);
}

void batch_set_base_offset(uint8_t *at, int64_t base_offset)
{
    prim_store64(at + AT_BASE_OFFSET, (uint64_t)base_offset);
}

void batch_set_leader_epoch(uint8_t *at, int32_t leader_epoch)
{
    prim_store32(at + AT_LEADER_EPOCH, (uint32_t)leader_epoch);
}

void batch_seal(uint8_t *at, size_t len)
{
    ensure(len >= BATCH_HEADER_SIZE);
    prim_store32(at + AT_CRC, compute_crc(at, len));
}

void batch_set_max_timestamp(uint8_t *at, size_t len, bool append_time, int64_t max_timestamp)
{
    uint16_t old = prim_load16(at + AT_ATTRIBUTES);
    uint16_t attributes =
        (uint16_t)(append_time ? old | BATCH_APPEND_TIME : old & ~BATCH_APPEND_TIME);

    if (attributes == old && (int64_t)prim_load64(at + AT_MAX_TIMESTAMP) == max_timestamp) return;
    prim_store16(at + AT_ATTRIBUTES, attributes);
    prim_store64(at + AT_MAX_TIMESTAMP, (uint64_t)max_timestamp);
    batch_seal(at, len);
}

void batch_write_header(uint8_t *at, size_t len, const struct batch *batch)
{
    ensure(len >= BATCH_HEADER_SIZE && len - BATCH_PREFIX_SIZE <= INT32_MAX);
    prim_store64(at + AT_BASE_OFFSET, (uint64_t)batch->base_offset);
    prim_store32(at + AT_LENGTH, (uint32_t)(len - BATCH_PREFIX_SIZE));
    prim_store32(at + AT_LEADER_EPOCH, (uint32_t)batch->leader_epoch);
    at[BATCH_MAGIC_AT] = BATCH_MAGIC;
    prim_store16(at + AT_ATTRIBUTES, batch->attributes);
    prim_store32(at + AT_LAST_OFFSET_DELTA, (uint32_t)batch->last_offset_delta);
    prim_store64(at + AT_BASE_TIMESTAMP, (uint64_t)batch->base_timestamp);
    prim_store64(at + AT_MAX_TIMESTAMP, (uint64_t)batch->max_timestamp);
    prim_store64(at + AT_PRODUCER_ID, (uint64_t)batch->producer_id);
    prim_store16(at + AT_PRODUCER_EPOCH, (uint16_t)batch->producer_epoch);
    prim_store32(at + AT_BASE_SEQUENCE, (uint32_t)batch->base_sequence);
    prim_store32(at + AT_RECORD_COUNT, (uint32_t)batch->record_count);
    batch_seal(at, len);
}
