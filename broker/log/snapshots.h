/* broker/log/snapshots.h - the producers of one log: noted as batches come, saved in .snapshot
 * files, loaded and replayed (storage reference §8). Internal to the room.
 *
 * A file "<offset>.snapshot" has the state before `offset`. One is taken when a segment is rolled
 * and when the log is closed; the newest one and the batches behind it give the state back. The
 * file of a roll is not synced before its segment is: after a crash only those are believed that
 * the recovery point covers. Nothing is lost with a file: an older one and more batches will do. */
#pragma once
#include "broker/log/parts.h"

/* Files that a load has found, or that a job has written. In any order, also again. */
void snapshots_found(struct log *log, int64_t offset);
/* There is none of `offset`, and it would say something. */
bool snapshots_wanted(const struct log *log, int64_t offset);
/* Writes one of `offset`, the log's end, if it is wanted.
 * Without room or descriptors there is none this time. */
MUST_CHECK enum err snapshots_take(struct log *log, int64_t offset);
/* One that is not at a segment's beginning; -1: there is none. */
int64_t snapshots_between(const struct log *log);
/* Removes the files above `offset`. */
MUST_CHECK enum err snapshots_drop_above(struct log *log, int64_t offset);
/* The file of a segment that was deleted has gone with it. */
void snapshots_gone(struct log *log, int64_t offset);

/* The state at the log's end, from the newest file that is at or below `believed` and the batches
 * behind it; the indexes of aborted transactions of segments from `index_from` on are built with
 * it. Not after a clean stop without any file: then nobody is known, as Kafka has it. May
 * read a segment's batch heads. */
MUST_CHECK enum err snapshots_load(struct log *log, int64_t believed, int64_t index_from,
                                   bool is_clean, int64_t now_ms);
/* After a truncation to the log's end. */
MUST_CHECK enum err snapshots_reload(struct log *log);

/* What a leader is about to append: producers_check of its batches, which begin at `first`. */
MUST_CHECK enum err snapshots_check(const struct log *log, const struct checked *batch,
                                    int64_t first, struct producers_known *known);
/* Whole batches that have been appended to the active segment. */
MUST_CHECK enum err snapshots_note(struct log *log, struct slice bytes);
