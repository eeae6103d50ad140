/* broker/log/compact.h - the cleaner: a log keeps the last record of each key (storage reference
 * §9).
 *
 * One cleaning of one log is a row of bounded steps on the disk pool, between which its shard may
 * slow it down or end it:
 *
 *     compact_start (shard) → compact_run (job) → compact_done (shard) → run … until it says so
 *
 * First the keys of the dirty part are gathered, then groups of sealed segments are rewritten, each
 * into one new segment, which is synced and takes the place of its group: under its .swap name
 * first, so that a start after a crash finds the old segments or the new one, never half of each
 * (§5, steps 1 to 3). The active segment, and all from the last stable offset on, is never touched;
 * sealed segments do not change, so that nothing is locked. Retention or truncation in between
 * makes a group be left as it is. */
#pragma once
#include "broker/log/log.h"

struct compact_settings {
    size_t dedupe_bytes_max; /* log.cleaner.dedupe.buffer.size, of one cleaning */
    double load_max;         /* log.cleaner.io.buffer.load.factor */
    size_t step_bytes;       /* read in one step, about */
};

/* How much there is to do. Cheap: sums over segments. */
struct compact_need {
    double dirty_ratio; /* of what could be cleaned to all but the rest */
    bool is_due;        /* above min.cleanable.dirty.ratio, or max.compaction.lag.ms is over */
};
struct compact_need compact_need(struct log *log, int64_t now_ms);

struct compact;
/* NULL in *out: there is nothing to do. ERR_OFFLINE, ERR_TOO_MANY, ERR_IO. */
MUST_CHECK enum err compact_start(struct log *log, const struct compact_settings *settings,
                                  int64_t now_ms, struct compact **out);
/* In a disk job: one step. */
void compact_run(struct compact *compact);
/* The step's end, on the shard. True: another compact_run is wanted. False: it is over and *compact
 * is NULL; `*err` says how: ERR_OK; ERR_CORRUPT and others of filter.h: this log cannot be
 * compacted until it is loaded again (compact_need says so, too); ERR_FULL, ERR_TOO_MANY: later;
 * ERR_IO: the directory is offline. */
bool compact_done(struct log *log, struct compact **compact, enum err *err);
/* Between steps: ends it; what has been swapped stays. Sets to NULL; NULL is fine. */
void compact_cancel(struct log *log, struct compact **compact);
/* Read and written in the last step: for log.cleaner.io.max.bytes.per.second. */
int64_t compact_step_bytes(const struct compact *compact);
/* So far: records read and bytes before and after, for the log line. */
struct compact_work {
    int64_t bytes_before, bytes_after;
    int segments_before, segments_after;
    int64_t end_offset; /* compacted up to here */
};
struct compact_work compact_work(const struct compact *compact);
