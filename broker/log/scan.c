/* broker/log/scan.c - see scan.h. */
#include "broker/log/scan.h"
#include "base/crc32c.h"
#include "wire/prim.h"
#include <zlib.h>

static enum err head_legacy(struct slice bytes, struct scan_batch *out)
{
    bool has_timestamp = out->magic == 1;
    int64_t least = SCAN_PREFIX_BYTES + SCAN_SIZE_MIN + (has_timestamp ? 8 : 0);

    if (out->size < least) return ERR_CORRUPT;
    if (bytes.len < (has_timestamp ? 26 : 18)) return ERR_TRUNCATED;
    out->attributes = bytes.ptr[17];
    out->leader_epoch = -1;
    out->last_offset = out->base_offset;
    out->max_timestamp = has_timestamp ? (int64_t)prim_load64(bytes.ptr + 18) : -1;
    out->record_count = -1;
    out->producer_id = -1;
    out->producer_epoch = -1;
    out->base_sequence = -1;
    return ERR_OK;
}

static enum err head_v2(struct slice bytes, struct scan_batch *out)
{
    if (out->size < SCAN_HEAD_BYTES) return ERR_CORRUPT;
    if (bytes.len < SCAN_HEAD_BYTES) return ERR_TRUNCATED;
    int32_t delta = (int32_t)prim_load32(bytes.ptr + 23);
    out->leader_epoch = (int32_t)prim_load32(bytes.ptr + 12);
    out->attributes = (int16_t)prim_load16(bytes.ptr + 21);
    out->max_timestamp = (int64_t)prim_load64(bytes.ptr + 35);
    out->producer_id = (int64_t)prim_load64(bytes.ptr + 43);
    out->producer_epoch = (int16_t)prim_load16(bytes.ptr + 51);
    out->base_sequence = (int32_t)prim_load32(bytes.ptr + 53);
    out->record_count = (int32_t)prim_load32(bytes.ptr + 57);
    if (delta < 0 || out->base_offset > INT64_MAX - 1 - delta) return ERR_CORRUPT;
    out->last_offset = out->base_offset + delta;
    return ERR_OK;
}

enum err scan_head(struct slice bytes, struct scan_batch *out)
{
    struct scan_batch batch = {0};

    if (bytes.len < SCAN_PREFIX_BYTES) return ERR_TRUNCATED;
    batch.base_offset = (int64_t)prim_load64(bytes.ptr);
    int32_t size = (int32_t)prim_load32(bytes.ptr + 8);
    if (size < SCAN_SIZE_MIN || batch.base_offset < 0 || batch.base_offset == INT64_MAX)
        return ERR_CORRUPT;
    if (bytes.len < SCAN_HEAD_MIN) return ERR_TRUNCATED;
    batch.size = SCAN_PREFIX_BYTES + (int64_t)size;
    batch.magic = (int8_t)bytes.ptr[16];
    if (batch.magic < 0 || batch.magic > 2) return ERR_CORRUPT;

    enum err err = batch.magic == 2 ? head_v2(bytes, &batch) : head_legacy(bytes, &batch);
    if (err == ERR_OK) *out = batch;
    return err;
}

bool scan_is_intact(struct slice batch)
{
    if (batch.ptr[16] == 2)
        return crc32c(slice_of(batch.ptr + 21, batch.len - 21)) == prim_load32(batch.ptr + 17);
    return crc32_z(0, batch.ptr + 16, batch.len - 16) == prim_load32(batch.ptr + 12);
}
