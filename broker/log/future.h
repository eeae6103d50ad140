/* broker/log/future.h - a log that is about to take the place of another, in another log directory
 * (KIP-113; storage reference §11).
 *
 * A future log lies in "<topic>-<partition>.<unique>-future" and is filled from the current one as
 * a follower would, until both end at the same offset. Then the current one is set aside, under the
 * name of what is to be deleted with the future's own unique, and the future one takes the place:
 * it gets the name. There is at no time a second directory of the live name.
 *
 *     t-0            t-0.u-future        the copy may lack anything
 *     t-0.u-delete   t-0.u-future        set aside: the current one is still the truth, and a start
 *                                        that finds the two gives it back its name
 *     t-0.u-delete   t-0                 the place is taken
 *
 * The first change is on the device before the second is made; what is synced in the new log counts
 * from when the second is there (log->is_renamed).
 *
 * The current log is its shard's as ever. The future one has open files of its own and is touched
 * by one step's job, or, between steps, by the shard. */
#pragma once
#include "broker/log/log.h"

bool log_is_future(const struct log *log);

/* Up to where the two have the same records, as far as their leader epochs tell: at most either
 * end. To be asked again when a cut to it has changed what `future` knows. */
int64_t future_common(const struct log *current, const struct log *future);

/* One step: planned and done on the shard, run in a job. */
enum future_do {
    FUTURE_COPY,    /* the next records of `current`, at most `bytes_max` or one batch */
    FUTURE_REST,    /* the same, to be run on the shard: what may block is left for later */
    FUTURE_CUT,     /* `future` ends at `offset` */
    FUTURE_RESTART, /* … begins and ends there */
};
struct future_step;
/* ERR_BUSY: what the checkpoints on disk say of `future` is being lowered first (log_may_cut), the
 * store is to write them. ERR_OFFLINE, ERR_TOO_MANY, ERR_IO: of the current log. */
MUST_CHECK enum err future_plan(struct log *current, struct log *future, enum future_do what,
                                int64_t offset, int64_t bytes_max, struct future_step **out);
void future_run(struct future_step *step);
/* What a step came to. ERR_IO and ERR_OFFLINE: a directory is offline; `of_current` says whose.
 * ERR_FULL, ERR_TOO_MANY: later. ERR_CORRUPT: `current` has something that is no batch, unless it
 * was cut meanwhile. */
struct future_result {
    enum err err;
    bool of_current;
    int64_t bytes; /* copied */
};
/* Takes it. */
struct future_result future_done(struct future_step **step);

/* Bytes that `future` lacks, if they are at most `bytes_max`; else INT64_MAX. */
int64_t future_gap(struct log *current, const struct log *future, int64_t bytes_max);

/* Before both are synced for the last time: what is not in the records goes over, too (leader
 * epochs that wrote nothing, the topic's id). Both end at the same offset. */
void future_take_over(const struct log *current, struct log *future);

/* The current log gets the name of a deleted one; no job has it. ERR_IO, ERR_LIMIT: it has the name
 * that it had. The log directory is to be synced before the place is taken. */
MUST_CHECK enum err future_set_aside(struct log *current, const struct log *future);
/* It gets its own name again. */
MUST_CHECK enum err future_set_back(struct log *current);
/* The future log gets the name, and all that was known of the current one. Both end at the same
 * offset, and what was synced of the one was synced of the other. ERR_IO (of the future's
 * directory), and nothing has changed. Afterwards `current` is only to be deleted. */
MUST_CHECK enum err future_take_place(struct log *current, struct log *future);
