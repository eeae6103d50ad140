/* broker/log/segment.h - one segment: a file of record batches and its two indexes (storage
 * reference §4). Internal to the room.
 *
 * `size` is what is valid of the file: nothing behind it is ever read, whatever a failed write or a
 * preallocation left there. */
#pragma once
#include "broker/log/index.h"
#include "broker/log/scan.h"

#define SEGMENT_TIME_UNKNOWN INT64_MIN

struct segment {
    int64_t base; /* at most the first offset in it */
    int64_t size;
    int64_t max_timestamp, max_timestamp_offset; /* of all batches, and the last offset of the first
                                                    batch that has it; -1: none */
    int64_t first_timestamp; /* highest of its first batch; -1: none; SEGMENT_TIME_UNKNOWN: look */
    int64_t opened_ms;
    int64_t jitter_ms;
    int64_t since_index; /* bytes appended since the last index entry */
    int64_t synced;      /* bytes known to be on the device */
    int64_t indexed;     /* its size when its indexes were known to be there too; -1: never since */
    bool has_aborted;    /* there is a file of aborted transactions (aborted.h) */
    struct index offsets, times;
    struct log_file *slot;
};

/* A new, empty one: makes its three files, over what may be there. `allocate` bytes of room, or 0.
 */
MUST_CHECK enum err segment_create(const struct segment_place *place, int64_t allocate,
                                   struct segment **out);
/* One that is there, with `size` valid bytes; opens nothing. */
struct segment *segment_open(int64_t base, int64_t size);
/* Forgets what is not saved; files in use live on. Sets to NULL; NULL is fine. */
void segment_destroy(struct segment **segment);

struct segment_chunk {
    struct slice bytes; /* whole batches */
    int64_t last_offset;
    int64_t max_timestamp, max_timestamp_offset;
};
/* Writes at the end, and keeps the indexes. After an error the segment is as it was; ERR_IO also
 * when the bytes that a failed write may have left could not be cut off. */
MUST_CHECK enum err segment_append(struct segment *segment, const struct segment_place *place,
                                   const struct segment_chunk *chunk, int32_t index_interval_bytes);
/* Index entry for a chunk that is about to be counted (or, in recovery, was found). */
MUST_CHECK enum err segment_index(struct segment *segment, const struct segment_place *place,
                                  int64_t last_offset, int64_t position);
/* Takes note of a batch's timestamp. */
void segment_note_time(struct segment *segment, int64_t timestamp, int64_t offset);

/* The batch at `position`. ERR_NOT_FOUND at the end; ERR_CORRUPT if it is none or is not whole. */
MUST_CHECK enum err segment_batch_at(struct segment *segment, const struct segment_place *place,
                                     int64_t position, struct scan_batch *out);
/* The first batch whose last offset is ≥ `offset`. ERR_NOT_FOUND: there is none. */
MUST_CHECK enum err segment_find(struct segment *segment, const struct segment_place *place,
                                 int64_t offset, int64_t *position, struct scan_batch *out);
/* The highest timestamp of the segment's first batch. */
MUST_CHECK enum err segment_first_timestamp(struct segment *segment,
                                            const struct segment_place *place, int64_t *out);
/* Takes the highest timestamp from the time index. */
MUST_CHECK enum err segment_load_times(struct segment *segment, const struct segment_place *place);
/* False: the highest timestamp is not that of the batches, its index was damaged. Reads few of
 * them. */
bool segment_has_true_times(struct segment *segment, const struct segment_place *place);
/* Where its last batch ends, in offsets, scanned from the last index entry; `base` when empty; and
 * its leader epoch, -1: it has none. Cuts nothing. ERR_CORRUPT: what stands there is no batch. */
MUST_CHECK enum err segment_next_offset(struct segment *segment, const struct segment_place *place,
                                        int64_t *out, int32_t *epoch);

/* It takes no more appends: the closing time entry, indexes saved, preallocation cut off. */
MUST_CHECK enum err segment_seal(struct segment *segment, const struct segment_place *place,
                                 bool was_allocated);
/* Cuts at the first batch that reaches `offset`. */
MUST_CHECK enum err segment_truncate(struct segment *segment, const struct segment_place *place,
                                     int64_t offset);
/* Cuts what stands behind the batch that ends with `last_offset`, whatever it is. ERR_NOT_FOUND:
 * none ends there; ERR_CORRUPT: what stands before it is no batch. */
MUST_CHECK enum err segment_cut_behind(struct segment *segment, const struct segment_place *place,
                                       int64_t last_offset);
/* Renames its files to ….deleted; absent ones are fine. `keeps_producers`: but its snapshot, for
 * another segment of that base takes its place. */
MUST_CHECK enum err segment_mark_deleted(struct segment *segment, const struct segment_place *place,
                                         bool keeps_producers);
/* Removes the files of a segment that did not come to be. */
MUST_CHECK enum err segment_remove(const struct segment_place *place);
/* One more use of its file of batches. */
MUST_CHECK enum err segment_use(struct segment *segment, const struct segment_place *place,
                                struct log_file **out);
