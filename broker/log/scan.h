/* broker/log/scan.h - the head of a stored batch, of any magic: what is needed to step from batch
 * to batch. Pure. The record batch itself is wire/batch.h. */
#pragma once
#include "base/slice.h"

#define SCAN_HEAD_BYTES   61 /* of a batch v2; older ones need fewer */
#define SCAN_HEAD_MIN     17 /* up to and with the magic */
#define SCAN_PREFIX_BYTES 12 /* offset and size, which the size does not count */
#define SCAN_SIZE_MIN     14 /* of what follows the prefix: a message v0 without key and value */

struct scan_batch {
    int64_t base_offset; /* of v0/v1 the first offset is not in the head: this is the last, too */
    int64_t last_offset;
    int64_t size; /* whole, with prefix */
    int8_t magic;
    int16_t attributes;
    int32_t leader_epoch;  /* -1: v0/v1, or not set */
    int64_t max_timestamp; /* -1: none */
    int32_t record_count;  /* v2 */
    int64_t producer_id;   /* v2; -1: none, and in older ones */
    int16_t producer_epoch;
    int32_t base_sequence;
};

/* Reads the head at the front of `bytes` (up to SCAN_HEAD_BYTES of it are enough; the rest of the
 * batch need not be there). ERR_TRUNCATED: more is needed; ERR_CORRUPT: this is no batch. */
MUST_CHECK enum err scan_head(struct slice bytes, struct scan_batch *out);

/* Whether the checksum of the whole batch is right. */
bool scan_is_intact(struct slice batch);
