/* wire/downconvert.h - records for readers of older formats: batches v2 and messages v1 as message
 * sets v1 or v0 (reference/storage.md 2.6).
 *
 * Headers, producers and control records have no place there and are left out, timestamps too in
 * v0. What was compressed stays so, with the same codec. */
#pragma once
#include "wire/oldset.h"

struct downconvert {
    int8_t magic;      /* 0 or 1: what the reader knows */
    int64_t offset;    /* wanted: uncompressed records below it are left out */
    size_t bytes_max;  /* of what comes out; but the first entry whole */
    size_t opened_max; /* of one entry, decompressed */
};

/* Whether a whole entry of `set` is newer than `magic`. */
bool downconvert_is_needed(struct slice set, int8_t magic);

/* Appends what the whole entries of `set` become. Where there is nothing that the reader could be
 * given, it gets the head of an entry that never comes whole: so it knows that something is there.
 * ERR_UNSUPPORTED: the first batch is in a codec that old formats lack; ERR_CORRUPT,
 * ERR_INVALID_RECORD, ERR_LIMIT: the first entry is broken, or larger than opened_max. What comes
 * later ends the set before it. */
MUST_CHECK enum err downconvert(struct slice set, const struct downconvert *how, struct buf *out);
