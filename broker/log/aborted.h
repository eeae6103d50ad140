/* broker/log/aborted.h - a segment's index of aborted transactions, byte for byte Kafka's (storage
 * reference §4.1, §8.5). Internal to the room.
 *
 * A file that is made with the first aborted transaction whose marker is in the segment; few
 * segments have one. Entries of 34 bytes: int16 version 0, then int64 producer id, first offset,
 * last offset (the marker's), last stable offset. Reading needs no index into it: it is as short as
 * aborts are rare. Opened for each use. */
#pragma once
#include "broker/log/index.h"

struct aborted {
    int64_t producer_id;
    int64_t first_offset, last_offset;
    int64_t last_stable;
};

/* At the end; the file is made if it is not there. ERR_FULL, ERR_TOO_MANY, ERR_IO …: the entry is
 * not there. */
MUST_CHECK enum err aborted_add(const struct env *env, const struct segment_place *place,
                                const struct aborted *entry);
/* Drops the entries of transactions that end at or behind `offset`. No file is fine. */
MUST_CHECK enum err aborted_truncate(const struct env *env, const struct segment_place *place,
                                     int64_t offset);
/* All entries, in order, into `*out` (malloc; NULL when there are none). ERR_CORRUPT: another
 * version, or an entry that cannot be. Behind the last there may be a part of one, of a write that
 * failed. */
MUST_CHECK enum err aborted_read(const struct env *env, const struct segment_place *place,
                                 struct aborted **out, int *count);
/* ERR_CORRUPT: it cannot be read, has no entry, or ends in a part of one. */
MUST_CHECK enum err aborted_check(const struct env *env, const struct segment_place *place);
