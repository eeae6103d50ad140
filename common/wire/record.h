/* wire/record.h - records within a batch v2: walked, read, and built into batches.
 *
 * Record format: reference/storage.md 2.1. The walk and the reader want the records uncompressed:
 * batch.records as it is without codec, else what compress_read made of it. */
#pragma once
#include "wire/batch.h"
#include "wire/compress.h"

struct record_header {
    struct slice key;   /* never null in what was read */
    struct slice value; /* may be null */
};

struct record {
    int32_t index; /* in its batch, from 0 */
    int8_t attributes;
    int64_t timestamp_delta;
    int32_t offset_delta;
    struct slice key, value; /* may be null */
    struct slice headers;    /* checked: for record_header_next */
    int32_t header_count;
};

/* Reads record by record; slices point into the records' bytes. */
struct record_reader {
    struct reader in;
    int32_t index, count;
};

/* `count` is the batch's record_count; a negative one reads as an error. */
struct record_reader record_reader_of(struct slice records, int32_t count);
/* False at the end and at the first record that is not valid: record_reader_end tells which. */
bool record_next(struct record_reader *reader, struct record *out);
/* After record_next gave false: ERR_OK if there were exactly `count` valid records and no byte
 * more, else ERR_INVALID_RECORD. `reader->index` is the first bad one. */
MUST_CHECK enum err record_reader_end(const struct record_reader *reader);

/* The next of record.headers (`*headers` is moved); false when there is none left. */
bool record_header_next(struct slice *headers, struct record_header *out);

/* What a record's timestamp is: the batch's when the broker stamped it. */
static inline int64_t record_timestamp(const struct batch *batch, const struct record *record)
{
    if (batch_has_append_time(batch)) return batch->max_timestamp;
    return (int64_t)((uint64_t)batch->base_timestamp + (uint64_t)record->timestamp_delta);
}
static inline int64_t record_offset(const struct batch *batch, const struct record *record)
{
    return (int64_t)((uint64_t)batch->base_offset + (uint64_t)(int64_t)record->offset_delta);
}

/* All records in one pass, for the produce path: valid, exactly as many as the batch says, and no
 * byte left over, else ERR_INVALID_RECORD (and `*out` is as before; `out->bad_index` alone is set
 * to the first bad record). */
struct record_walk {
    int32_t bad_index;
    int32_t null_keys;                                /* records without a key */
    bool offsets_are_dense;                           /* deltas are 0, 1, 2 … */
    bool has_inner_codec;                             /* a record's attributes claim one */
    int64_t min_timestamp_delta, max_timestamp_delta; /* 0 when there are no records */
};
MUST_CHECK enum err record_walk(struct slice records, int32_t count, struct record_walk *out);

/* --- building --- */

/* One batch at the end of a buffer. The fields are the header's; set what differs from the defaults
 * between record_builder_begin and the first record. */
struct record_builder {
    struct batch
        head;        /* defaults: offset 0, epoch -1, no producer, no codec; counts are kept here */
    int level;       /* of the codec; COMPRESS_LEVEL_DEFAULT */
    struct buf *out; /* borrowed */
    size_t start;    /* of the batch in `out` */
};

void record_builder_begin(struct record_builder *builder, struct buf *out);
/* The first record's timestamp becomes the base. Its offset is that of the one before + 1. */
void record_builder_add(struct record_builder *builder, int64_t timestamp, struct slice key,
                        struct slice value, const struct record_header *headers,
                        int32_t header_count);
/* The same at an offset delta that is higher than the last one (a compacted batch). */
void record_builder_add_at(struct record_builder *builder, int32_t offset_delta, int64_t timestamp,
                           struct slice key, struct slice value,
                           const struct record_header *headers, int32_t header_count);
/* Bytes of the batch so far, uncompressed. */
size_t record_builder_size(const struct record_builder *builder);
/* Compresses if a codec is set, writes header and checksum: the batch is whole in `out`. */
void record_builder_end(struct record_builder *builder);

/* A transaction marker: a control batch of one record (reference/storage.md 2.2), appended to
 * `out`. */
enum record_marker { RECORD_MARKER_ABORT = 0, RECORD_MARKER_COMMIT = 1 };
void record_write_marker(struct buf *out, enum record_marker type, int64_t producer_id,
                         int16_t producer_epoch, int32_t coordinator_epoch, int64_t timestamp);
/* Type of a control record by its key, as it stands (unknown types too). ERR_INVALID_RECORD. */
MUST_CHECK enum err record_control_type(struct slice key, int16_t *type);
/* Coordinator epoch of a marker by its value. ERR_INVALID_RECORD. */
MUST_CHECK enum err record_marker_epoch(struct slice value, int32_t *coordinator_epoch);
