/* broker/log/filter.h - what compaction keeps of a batch. Pure (storage reference §9, "Clean one
 * log").
 *
 * A cleaning walks the log twice, each time with a filter of its own: the first walk gathers the
 * latest offset of each key (filter_gather), the second rewrites batch by batch (filter_batch). A
 * record stays if no later one of its key was gathered; a tombstone stays until the horizon that
 * the first rewrite has stamped on its batch; records of aborted transactions go; a marker goes
 * when nothing of its transaction is left, after a horizon of its own. A batch keeps its offsets
 * and its producer's sequence; one that holds what a live producer wrote last stays as an empty
 * one. So does, without its producer, the one with which a leader epoch began (Ottla's own): a
 * follower learns from batches where epochs began, and were it gone would take the next one for it,
 * and what a deposed leader wrote in between for what the log has. Where every record stays, the
 * batch is copied byte for byte. */
#pragma once
#include "base/buf.h"
#include "broker/log/aborted.h"
#include "broker/log/epochs.h"
#include "broker/log/keys.h"
#include "broker/log/scan.h"

/* The last that a live producer wrote. */
struct filter_producer {
    int64_t producer_id;
    int64_t last_offset; /* of its data; -1: only markers are known */
    int16_t epoch;
};

struct filter_options {
    struct keys *keys;
    int64_t first_dirty; /* gather: what is below was compacted before */
    int64_t latest;      /* batch: everything up to it was gathered */
    int64_t now_ms;
    int64_t delete_retention_ms;
    bool keeps_old_tombstones;     /* v0/v1: of the segment at hand; set between batches */
    const struct aborted *aborted; /* of the whole log, in order; borrowed */
    int aborted_count;
    const struct filter_producer *producers; /* ascending by id; borrowed */
    int producer_count;
    const struct epochs *epochs; /* of the log; borrowed; NULL: none */
    size_t inflated_max;         /* a compressed batch that holds more cannot be cleaned */
};

struct filter_txn; /* of filter.c */

struct filter {
    struct filter_options options;
    struct filter_txn *open; /* transactions whose marker has not come */
    int open_count, open_capacity;
    int aborted_next;
    struct aborted *kept; /* aborted transactions with records or markers in what was written */
    int kept_count;
    struct buf inflated, records;
};

void filter_init(struct filter *filter, const struct filter_options *options);
void filter_fini(struct filter *filter);

/* Gathers the keys of one whole batch of any magic. `*latest` is the offset up to which everything
 * is gathered; `*is_full`: the table could not take all of it. ERR_CORRUPT, ERR_LIMIT,
 * ERR_UNSUPPORTED, ERR_INVALID_RECORD: this log cannot be compacted. */
MUST_CHECK enum err filter_gather(struct filter *filter, const struct scan_batch *head,
                                  struct slice batch, int64_t *latest, bool *is_full);

/* Appends to `out` what is left of one whole batch: it as it was, a smaller one, or nothing. Errors
 * as above; `out` is as long as before. */
MUST_CHECK enum err filter_batch(struct filter *filter, const struct scan_batch *head,
                                 struct slice batch, struct buf *out);
