/* broker/log/index.h - a segment's sparse indexes, byte for byte Kafka's (storage reference §4.1).
 * Internal to the room.
 *
 * An offset index has entries of 8 bytes: int32 last offset of a chunk − base, int32 its position;
 * a time index of 12: int64 timestamp, int32 offset − base. Both ascend. Kafka maps the file at its
 * full size while its segment is active; we read with pread, keep the last entries in memory, and
 * write them when the memory is full, at a roll, a sync or the close. So the file is never longer
 * than its entries: that is how Kafka leaves it after a clean stop, and it takes an existing file's
 * length for the number of entries and grows the active one itself; after a crash an index from the
 * recovery point on is built anew by either. Nothing is opened before it is asked for. */
#pragma once
#include "broker/log/handles.h"

enum index_kind { INDEX_OFFSETS, INDEX_TIMES };

/* Where a segment's files are. */
struct segment_place {
    struct log_files *files;
    const char *directory;
    int64_t base;
    const char *suffix; /* NULL: none; of files that compaction writes */
};

static inline const char *place_suffix(const struct segment_place *place)
{
    return place->suffix == NULL ? "" : place->suffix;
}

struct index_entry {
    int64_t key;   /* offset − base, or timestamp */
    int64_t value; /* position, or offset − base */
};

struct index {
    enum index_kind kind;
    int32_t count;   /* -1: not looked at yet */
    int32_t saved;   /* of them in the file */
    bool is_damaged; /* its length, or its last entries, are none of an index */
    int32_t tail_first;
    int32_t tail_capacity; /* in bytes */
    uint8_t *tail;         /* entries tail_first … count − 1, as in the file */
    struct index_entry last;
    struct log_file *slot;
};

/* Of a file that is there, looked at when it is needed. */
void index_init(struct index *index, enum index_kind kind);
/* Makes the file anew, empty. */
MUST_CHECK enum err index_create(struct index *index, enum index_kind kind,
                                 const struct segment_place *place);
/* Forgets what is not saved. */
void index_fini(struct index *index);

/* Counts the entries. An absent file has none and is made. */
MUST_CHECK enum err index_load(struct index *index, const struct segment_place *place);
/* The last one; {-1, -1}-like absence is count == 0. After index_load. */
MUST_CHECK enum err index_last(struct index *index, const struct segment_place *place,
                               struct index_entry *out);

/* Adds one that is greater than the last: ERR_INVALID, and nothing changes, if it is not. A time
 * index ignores one whose timestamp is not greater, as Kafka's does. In memory; may write older
 * ones. */
MUST_CHECK enum err index_add(struct index *index, const struct segment_place *place,
                              struct index_entry entry);
bool index_is_full(const struct index *index, int32_t bytes_max);

/* The last entry with key ≤ `key`. ERR_NOT_FOUND: none. */
MUST_CHECK enum err index_find(struct index *index, const struct segment_place *place, int64_t key,
                               struct index_entry *out);
/* The first entry with value ≥ `value`: of an offset index, the first chunk at or behind a
 * position. */
MUST_CHECK enum err index_find_value(struct index *index, const struct segment_place *place,
                                     int64_t value, struct index_entry *out);
/* Drops entries of offsets ≥ `relative`. */
MUST_CHECK enum err index_truncate(struct index *index, const struct segment_place *place,
                                   int64_t relative);
/* How many entries, from the first on, ascend and are of offsets < `relative`; the last two of
 * them. Reads all of the file. */
MUST_CHECK enum err index_sound(struct index *index, const struct segment_place *place,
                                int64_t relative, int32_t *count, struct index_entry last[2]);
/* Drops all but the first `keep` entries. */
MUST_CHECK enum err index_keep(struct index *index, const struct segment_place *place,
                               int32_t keep);
/* Writes what is only in memory; `slim` also gives the memory back. */
MUST_CHECK enum err index_save(struct index *index, const struct segment_place *place, bool slim);
/* One more use of its file, to sync it. */
MUST_CHECK enum err index_use(struct index *index, const struct segment_place *place,
                              struct log_file **out);
