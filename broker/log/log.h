/* broker/log/log.h - the segments of one partition: append, read, truncate, retain.
 *
 * A log belongs to the store (store.h), which creates, loads, closes and destroys it. Between
 * log_attach and log_detach it belongs to one shard: all calls here are that shard's, except *_run,
 * which a disk job makes. Append and index lookup touch the page cache only. What blocks is in two
 * or three steps: plan on the shard, run on the disk pool, done on the shard.
 *
 * Errors: ERR_IO has taken the log directory offline (dir->is_offline; the caller tells the store);
 * from then on every call of every log there gives ERR_OFFLINE. ERR_FULL (no space) and
 * ERR_TOO_MANY (no descriptors) change nothing and pass by themselves. Nothing half-written is ever
 * read.
 *
 * Opened files are few: a shard's log_files keeps the last used ones open and closes the rest. */
#pragma once
#include "base/list.h"
#include "base/uuid.h"
#include "broker/log/check.h"
#include "broker/log/config.h"
#include "broker/log/epochs.h"
#include "runtime/files.h"

struct log;
struct log_file; /* an open file of a segment, counted */

/* ---- files of a shard ---- */
struct log_files;
/* Keeps at most `open_max` files open that nobody uses at the moment. */
struct log_files *log_files_create(const struct env *env, int open_max);
/* All logs are detached and all slices released. Sets to NULL; NULL is fine. */
void log_files_destroy(struct log_files **files);
int log_files_open_count(const struct log_files *files);

/* A log directory, as its logs see it; of the store. */
struct log_dir {
    int index; /* in log.dirs */
    const char *path;
    _Atomic bool is_offline;
    _Atomic bool is_full;    /* its reserve (reserve.h) is used up: nothing is appended */
    _Atomic uint32_t sealed; /* counts syncs that brought a recovery point over a sealed segment */
};

/* ---- identity and state ---- */
void log_attach(struct log *log, struct log_files *files);
/* Releases its files; slices live on. No sync is under way: log_sync_done comes before. */
void log_detach(struct log *log);

struct slice log_topic(const struct log *log);
int32_t log_partition(const struct log *log);
struct log_dir *log_directory(const struct log *log);
/* Zero: none (inter.broker.protocol.version below 2.8, or not yet assigned). */
struct uuid log_topic_id(const struct log *log);
/* Saved before the first append. ERR_TOPIC_ID if it has another. */
MUST_CHECK enum err log_set_topic_id(struct log *log, struct uuid id);
const struct log_config *log_config(const struct log *log);
void log_set_config(struct log *log, const struct log_config *config);

int64_t log_start_offset(const struct log *log);
int64_t log_end_offset(const struct log *log);     /* next to be written */
int64_t log_recovery_point(const struct log *log); /* all below is on the device */
/* Compacted up to here, as the last cleaning or the checkpoint says; -1: never. */
int64_t log_cleaned_offset(const struct log *log);
void log_set_cleaned_offset(struct log *log, int64_t offset);
int64_t log_size_bytes(const struct log *log);
int log_segment_count(const struct log *log);
/* What any thread may ask while its shard writes: as of the last change, for people. */
struct log_facts {
    int64_t size_bytes, end_offset, high_watermark;
};
struct log_facts log_facts(const struct log *log);

/* The high watermark is the partition's; the log keeps what it last heard, from the checkpoint at
 * first (clamped to start … end), for retention and for the next checkpoint. Truncation clamps it.
 */
int64_t log_high_watermark(const struct log *log);
void log_set_high_watermark(struct log *log, int64_t offset);

/* All below is decided: no open transaction, and no ended one whose marker is not below the
 * watermark. At most the watermark, at least the log start. */
int64_t log_last_stable(const struct log *log, int64_t high_watermark);
/* Who writes (producers.h). */
struct producers;
const struct producers *log_producers(const struct log *log);
/* Forgets who has been silent for producer.id.expiration.ms. */
void log_expire_producers(struct log *log, int64_t now_ms);

/* What a log that was found shorter than its checkpoints say once had: all below this offset was
 * promised (exposed, or synced by order of the ISR), and the end is lower. 0: nothing is missing.
 * It stays, in the checkpoint too, until somebody says that the loss is accepted, or another
 * replica's log takes its place. */
int64_t log_promised(const struct log *log);
void log_forget_promise(struct log *log);

/* Before a truncation to `offset`: whether the checkpoint files on disk say no more than that, so
 * that a crash in the middle does not look like a loss. False: from now on they will not, with the
 * next write of STORE_RECOVERY_POINTS and STORE_HIGH_WATERMARKS; ask again after it. */
bool log_may_cut(struct log *log, int64_t offset);
/* There will be no truncation after all. */
void log_uncut(struct log *log);
/* What was synced by order is to be in the checkpoint soon (store_checkpoint_sealed). */
void log_want_saving(struct log *log);

/* Where an offset lies: for "bytes available" between two of the same segment, and for limits. */
struct log_position {
    int64_t offset;
    int64_t segment_base;
    int64_t position; /* in the segment's file, at a batch boundary */
};
struct log_position log_end_position(const struct log *log);
/* The batch that has `offset`, or the end. ERR_RANGE outside start … end. `out->offset` is
 * `offset`. */
MUST_CHECK enum err log_locate(struct log *log, int64_t offset, struct log_position *out);
/* Bytes from `from` up to `to`; of different segments: what is left of the first (INT64_MAX if that
 * segment has gone). 0 if `to` is not after `from`. */
int64_t log_bytes_between(const struct log *log, const struct log_position *from,
                          const struct log_position *to);

/* Leader epochs. Changes are saved by the next sync. */
const struct epochs *log_epochs(const struct log *log);
MUST_CHECK enum err log_start_epoch(struct log *log, int32_t epoch, int64_t start);
/* Epochs, or the topic id, are not on the device: a sync is wanted soon. */
bool log_wants_save(const struct log *log);

/* ---- append ---- */
struct log_appended {
    int64_t first_offset,
        last_offset; /* -1: there was nothing to append (Produce v0-2, no message) */
    int64_t max_timestamp, max_timestamp_offset; /* -1: none */
    int64_t append_time_ms;                      /* -1: CreateTime */
    struct log_position start, end;
    size_t len;        /* bytes of the input that were whole batches, all written */
    bool has_rolled;   /* a sync up to the new segment is wanted (log_sync_plan) */
    bool wants_sync;   /* flush.messages has been reached */
    bool is_duplicate; /* it was in the log already, at these offsets: nothing was written; `start`,
                          `end` and `len` say nothing, append_time_ms its highest timestamp */
};

/* As leader: gives offsets from the log's end, stamps `leader_epoch` and writes, patching
 * `batch->bytes`. ERR_TOO_LARGE: larger than a segment (RECORD_LIST_TOO_LARGE, 18); ERR_IO,
 * ERR_FULL, ERR_OFFLINE, ERR_TOO_MANY; of its producer (producers_check): ERR_SEQUENCE,
 * ERR_PRODUCER_EPOCH, ERR_TXN_STATE, ERR_COORDINATOR_FENCED. After any of them the log ends where
 * it ended. */
MUST_CHECK enum err log_append_leader(struct log *log, const struct checked *batch,
                                      int32_t leader_epoch, int64_t now_ms,
                                      struct log_appended *out);
/* As follower: verbatim, what the leader has, even where it is larger than a segment (several
 * batches together, or one from before segment.bytes was lowered). Also ERR_CORRUPT (fetch again),
 * ERR_RANGE: offsets do not ascend or begin below the end. Nothing whole in `bytes`: ERR_TRUNCATED.
 */
MUST_CHECK enum err log_append_follower(struct log *log, struct slice bytes, int64_t now_ms,
                                        struct log_appended *out);

/* ---- read ---- */
struct log_read {
    int64_t offset;
    int64_t bytes_max;
    bool at_least_one;         /* the first batch whole, though it is larger than bytes_max */
    struct log_position limit; /* high watermark, last stable offset or end: read stops there */
    bool only_cached; /* where the batch lies is not looked for on the device: see is_cold */
};

/* Bytes of a file. Holds the file open and readable whatever happens to the segment, until released
 * on the shard that owns the log_files. */
struct log_slice {
    struct log_file *file; /* NULL: empty */
    int64_t position;
    int64_t len;
    struct log_position start; /* of the first batch; `offset` is the one asked for */
    bool is_cut;  /* the first batch does not fit in bytes_max: len holds a part of it */
    bool is_cold; /* nothing was read: bring this into memory (log_slice_warm_run), read again */
};
/* Begins at the batch that has `offset`; stays in one segment. Empty when offset ≥ limit.offset.
 * ERR_RANGE: outside start … end. */
MUST_CHECK enum err log_read(struct log *log, const struct log_read *read, struct log_slice *out);
void log_slice_release(struct log_slice *slice); /* becomes empty; an empty one is fine */
struct log_slice log_slice_share(const struct log_slice *slice); /* one more to release */
struct file *log_slice_file(const struct log_slice *slice);
/* Whether its first and last pages are in the page cache; true where that cannot be told. */
bool log_slice_is_cached(const struct env *env, const struct log_slice *slice);
/* In a disk job: brings it in. */
MUST_CHECK enum err log_slice_warm_run(const struct env *env, const struct log_slice *slice);

/* Aborted transactions that have records in `slice`, and perhaps others: into `*out` (malloc; NULL:
 * none), for readers of committed records. ERR_IO …, ERR_CORRUPT. */
struct aborted;
MUST_CHECK enum err log_aborted(struct log *log, const struct log_slice *slice,
                                struct aborted **out, int *count);

/* ---- find by time: ListOffsets ---- */
#define LOG_TIME_MAX (-3) /* the record with the highest timestamp */
struct log_found {
    int64_t offset, timestamp; /* -1: none */
    int32_t leader_epoch;
};
struct log_search;
/* The first record with timestamp ≥ `timestamp` at or after the log start; or LOG_TIME_MAX. Then,
 * until log_search_done gives true: run (job), done (shard). log_search_done with true frees it. */
MUST_CHECK enum err log_search_start(struct log *log, int64_t timestamp, struct log_search **out);
void log_search_run(struct log_search *search);
/* False: run again. True: `*err` and `*out` are the answer. */
bool log_search_done(struct log *log, struct log_search **search, enum err *err,
                     struct log_found *out);
/* ListOffsets v0: bases of segments last written at or before `timestamp` (-1: LATEST, -2:
 * EARLIEST), and the end, descending; at most `max`. Gives how many. */
int log_offsets_before(struct log *log, int64_t timestamp, int max, int64_t *out);

/* ---- truncate, log start ---- */
/* Cuts to `offset`: ≥ end only drops later epochs; below the first segment restarts there. The
 * recovery point may have gone back: the caller has the store write its checkpoint
 * (STORE_RECOVERY_POINTS). */
MUST_CHECK enum err log_truncate_to(struct log *log, int64_t offset);
/* Drops everything: an empty log that begins and ends at `offset`; the log start is `start`, or
 * `offset` if that is -1. */
MUST_CHECK enum err log_truncate_fully(struct log *log, int64_t offset, int64_t start);
/* ERR_RANGE above the high watermark. Below what it is: nothing happens. */
MUST_CHECK enum err log_advance_start(struct log *log, int64_t offset);

/* ---- roll, retention, sync, unlink ---- */
MUST_CHECK enum err log_roll(struct log *log, int64_t now_ms);
/* Retention by log start, size and time, of what is below the high watermark. Removed segments are
 * renamed at once and unlinked by log_unlink_* when file.delete.delay.ms is over. `*removed`
 * counts. */
MUST_CHECK enum err log_retain(struct log *log, int64_t now_ms, int *removed);

/* One at a time per log. */
struct log_sync;
bool log_sync_due(const struct log *log, int64_t now_ms); /* flush.ms */
/* Everything appended and changed so far; the other, after a roll: all but the active segment. NULL
 * in *out: nothing to do, or one is under way (ask again when it is done). */
MUST_CHECK enum err log_sync_plan(struct log *log, int64_t now_ms, struct log_sync **out);
MUST_CHECK enum err log_sync_plan_sealed(struct log *log, int64_t now_ms, struct log_sync **out);
/* Everything, for nobody who waits: so that a start after a crash has little to read. */
MUST_CHECK enum err log_sync_plan_point(struct log *log, int64_t now_ms, struct log_sync **out);
/* Of the active segment, not known to be on the device. */
int64_t log_unsynced_bytes(const struct log *log);
void log_sync_run(struct log_sync *sync);
/* The same for many: they wait together for what each alone would wait for, since one commit of a
 * file system's journal takes all that was begun before it. */
void log_syncs_run(struct log_sync *const *syncs, int count);
/* Instead: nothing is synced, and log_sync_done leaves everything to be done as before. */
void log_sync_leave(struct log_sync *sync);
/* Takes it; the recovery point moves to the end as planned. ERR_IO, and the directory is offline,
 * when the device failed. */
MUST_CHECK enum err log_sync_done(struct log *log, struct log_sync **sync);

/* Hint: pages appended since the last call go to the device (background writeback). From a job,
 * with a slice that covers them. NULL file: nothing. */
struct log_slice log_dirty_slice(struct log *log);
void log_write_behind_run(const struct env *env, const struct log_slice *slice);

struct log_unlink;
/* NULL: nothing is due. */
struct log_unlink *log_unlink_plan(struct log *log, int64_t now_ms);
void log_unlink_run(struct log_unlink *unlink);
void log_unlink_done(struct log_unlink **unlink); /* any shard: it holds nothing of the log */
