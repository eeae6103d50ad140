/* wire/batch.h - the record batch v2: seen, checked and patched where it lies.
 *
 * Layout: reference/storage.md 2.1. The checksum covers everything from the attributes on, so the
 * base offset and the leader epoch are set without computing it again; the highest timestamp is
 * not. Older formats: wire/oldset.h. What is within a batch: wire/record.h. */
#pragma once
#include "wire/prim.h"

#define BATCH_PREFIX_SIZE 12 /* base offset and length: what stands before in all formats */
#define BATCH_MAGIC_AT    16
#define BATCH_PEEK_SIZE   17 /* up to and with the magic */
#define BATCH_HEADER_SIZE 61
#define BATCH_MAGIC       2

enum batch_codec { /* bits 0 to 2 of the attributes; 5 to 7 do not exist */
                   BATCH_CODEC_NONE,
                   BATCH_CODEC_GZIP,
                   BATCH_CODEC_SNAPPY,
                   BATCH_CODEC_LZ4,
                   BATCH_CODEC_ZSTD,
                   BATCH_CODEC_COUNT,
};
#define BATCH_CODEC_MASK     0x07
#define BATCH_APPEND_TIME    0x08 /* maxTimestamp is when the broker appended it, for all records */
#define BATCH_TRANSACTIONAL  0x10
#define BATCH_CONTROL        0x20
#define BATCH_DELETE_HORIZON 0x40 /* baseTimestamp is a delete horizon; deltas are from it */

/* One entry of a log or a record field, of any format. */
struct batch_entry {
    int64_t offset; /* base offset; in formats 0 and 1 the last offset */
    int8_t magic;   /* 0, 1 or 2 */
    struct slice bytes;
};

/* The entry at the head of `*from`, which then begins behind it. Only its frame is checked.
 * ERR_TRUNCATED: incomplete (an empty `*from` too), the tail that a reader ignores. ERR_CORRUPT:
 * its size cannot be, or its magic is not 0 to 2. Unmoved on failure. */
MUST_CHECK enum err batch_entry_take(struct slice *from, struct batch_entry *out);

/* How many bytes the entry that begins with these takes, before it is there whole: ERR_TRUNCATED
 * with fewer than BATCH_PEEK_SIZE bytes, ERR_CORRUPT. */
MUST_CHECK enum err batch_entry_size(struct slice head, size_t *size, int8_t *magic);

/* The header's fields as they stand; they mean nothing before batch_check. Borrows the bytes. */
struct batch {
    struct slice bytes;   /* all of it */
    struct slice records; /* behind the header; compressed if the codec says so */
    int64_t base_offset;
    int32_t leader_epoch;
    uint32_t crc;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp; /* or the delete horizon */
    int64_t max_timestamp;
    int64_t producer_id; /* -1: none */
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t record_count;
};

/* `bytes` is one whole entry of magic 2 as batch_entry_take gives it. ERR_CORRUPT when it is
 * shorter than its header. */
MUST_CHECK enum err batch_view(struct slice bytes, struct batch *out);
/* The header alone, of a batch whose records are not at hand (a file's index walk): `head` has at
 * least BATCH_HEADER_SIZE bytes; bytes and records of `*out` are null. ERR_TRUNCATED, ERR_CORRUPT.
 */
MUST_CHECK enum err batch_view_header(struct slice head, struct batch *out);
/* The checksum: ERR_CORRUPT. */
MUST_CHECK enum err batch_check(const struct batch *batch);
/* batch_entry_take, batch_view and batch_check in one, for input where only magic 2 may come:
 * another magic is ERR_UNSUPPORTED. */
MUST_CHECK enum err batch_take(struct slice *from, struct batch *out);

static inline int64_t batch_last_offset(const struct batch *batch)
{
    return (int64_t)((uint64_t)batch->base_offset + (uint64_t)(int64_t)batch->last_offset_delta);
}
static inline int batch_codec(const struct batch *batch)
{
    return batch->attributes & BATCH_CODEC_MASK;
}
static inline bool batch_has_append_time(const struct batch *batch)
{
    return (batch->attributes & BATCH_APPEND_TIME) != 0;
}
static inline bool batch_is_transactional(const struct batch *batch)
{
    return (batch->attributes & BATCH_TRANSACTIONAL) != 0;
}
static inline bool batch_is_control(const struct batch *batch)
{
    return (batch->attributes & BATCH_CONTROL) != 0;
}
static inline bool batch_has_producer(const struct batch *batch)
{
    return batch->producer_id >= 0;
}

/* Producer sequences wrap: 2147483647 is followed by 0. `n` is not negative. */
int32_t batch_sequence_after(int32_t sequence, int32_t n);
int32_t batch_sequence_before(int32_t sequence, int32_t n);
/* -1 for a batch without sequences. */
int32_t batch_last_sequence(const struct batch *batch);

/* In place, in a whole batch of magic 2 (`at` is its first byte). */
void batch_set_base_offset(uint8_t *at, int64_t base_offset);
void batch_set_leader_epoch(uint8_t *at, int32_t leader_epoch);
/* Sets the timestamp type's bit and the highest timestamp; the checksum is computed anew only when
 * one of them changes. */
void batch_set_max_timestamp(uint8_t *at, size_t len, bool append_time, int64_t max_timestamp);
/* Computes the checksum and sets it: after any other change. */
void batch_seal(uint8_t *at, size_t len);

/* All header fields of `*batch` but crc, bytes and records go to the BATCH_HEADER_SIZE bytes at
 * `at` with the length of `len` bytes in all; then the checksum is set. */
void batch_write_header(uint8_t *at, size_t len, const struct batch *batch);
