/* broker/log/parts.h - what a log consists of. Internal to the room: log.c, trim.c, sync.c,
 * search.c, recover.c and store.c work on it. */
#pragma once
#include "base/buf.h"
#include "broker/log/producers.h"
#include "broker/log/segment.h"
#include <stdatomic.h>

#define LOG_RECENT 4 /* batches whose place is remembered: readers at the tail ask for these */

/* Segments that were renamed to ….deleted, to be unlinked when it is time. */
struct log_garbage {
    int64_t base;
    int64_t due_ms;
};

struct log {
    const struct env *env;
    struct log_dir *dir;
    struct log_files *files; /* NULL while detached */
    char *path;              /* of its directory; the owner's alone, for it may change */
    struct slice topic;      /* owned; any thread may read it */
    int32_t partition;
    struct log_config config;

    struct segment **segments; /* ascending; the last one is active */
    int count, capacity;
    int64_t end;

    /* Written by the owner, read by the store for its checkpoints. */
    _Atomic int64_t start, first_base, recovery_point, high_watermark;
    _Atomic int64_t promised; /* see log_promised */
    /* The checkpoints say no more than this: a truncation is about to happen. INT64_MAX: it is not.
     */
    _Atomic int64_t saved_max;
    /* What the files may say of it at most: recovery point, high watermark. Of the store. */
    _Atomic int64_t saved[2];
    int64_t saving[2]; /* what the write under way says; of the store's home shard */
    _Atomic int64_t size_told, end_told; /* … and for log_facts */

    struct uuid topic_id;
    struct epochs epochs;
    bool topic_id_dirty, epochs_dirty; /* to be synced */
    int64_t compacted_to;              /* what NAMES_COMPACTED says; -1: it is not there */
    bool has_id_file;                  /* partition.metadata says topic_id, on the device or not */
    /* The log is new, and its id not on the device: no checkpoint may say that it holds anything,
     * for a file that is lost or empty then means that it does not. */
    _Atomic bool is_unnamed;
    bool directory_dirty; /* files were made or renamed since its last sync */
    bool is_renamed;      /* its directory was, and the log directory has not been synced since */
    bool is_future;       /* future.h */
    bool was_allocated;   /* the active segment's file is longer than its content */

    bool is_syncing;
    uint32_t cuts; /* truncations: a sync that was planned before one proves nothing */
    int64_t synced_ms;

    int64_t behind; /* of the active segment: up to here write-back has been asked for */
    int64_t behind_base;

    struct {
        int64_t first, position;
    } recent[LOG_RECENT]; /* of the active segment; position -1: none */
    int recent_next;

    struct log_garbage *garbage;
    int garbage_count;

    /* compact.h */
    _Atomic int64_t cleaned; /* compacted up to here; -1: never */
    int64_t swap_base;       /* a new segment waits under its .swap name; -1: none */
    bool is_uncleanable;     /* something in it cannot be read: until it is loaded again */

    /* snapshots.h */
    struct producers producers;
    int64_t noted; /* the producers' state has batches up to here */
    struct log_snapshot {
        int64_t offset;
        bool is_synced;
    } * snapshots; /* files, ascending */
    int snapshot_count;
};

/* Takes `path`. An empty shell without segments. */
struct log *log_create(const struct env *env, struct log_dir *dir, char *path, struct slice topic,
                       int32_t partition, const struct log_config *config);
/* Detached. Sets to NULL; NULL is fine. */
void log_destroy(struct log **log);
void log_move(struct log *log, const char *path); /* its directory was renamed */

struct segment_place log_place(const struct log *log, int64_t base);
struct segment *log_active(const struct log *log);
/* Index of the last segment with base ≤ `offset`, or -1. */
int log_floor(const struct log *log, int64_t offset);
/* Upper bound of the offsets of segment `i`. */
int64_t log_upper(const struct log *log, int i);
void log_add_segment(struct log *log, struct segment *segment);
/* Takes the first `n` segments out; destroys them. Their files stay. */
void log_drop_segments(struct log *log, int from, int n);
/* A new active segment at `base`, the present one sealed (or replaced if it is empty and of that
 * base). */
MUST_CHECK enum err log_roll_at(struct log *log, int64_t base, int64_t now_ms);
void log_forget_recent(struct log *log);
void log_publish(struct log *log); /* first_base, and start ≥ it; size and end */
void log_tell(struct log *log);    /* size and end */
/* Renames the files of segments from … from + n − 1 and drops these. */
MUST_CHECK enum err log_delete_segments(struct log *log, int from, int n, int64_t now_ms);

/* Segments from … from + n − 1 make way for the one that compaction has written under its .swap
 * name (swap_base); takes it. */
MUST_CHECK enum err log_replace_segments(struct log *log, int from, int n,
                                         struct segment **segment);
/* It does not come to be. */
void log_remove_swap(struct log *log);

/* An index of times has no checksum. False: the batches say otherwise than that of this segment,
 * which from now on is as old as its file. */
bool log_has_true_times(struct log *log, struct segment *segment);
/* When a segment was last written, for those of whose records no time is known. Unknown: now. */
int64_t log_modified_ms(const struct log *log, const struct segment *segment, int64_t now_ms);

/* What an error does to the log: those that pass are given back, a broken device takes the
 * directory offline (ERR_IO). */
MUST_CHECK enum err log_settle(struct log *log, enum err err);
bool log_is_offline(const struct log *log);

/* Saves the topic id if it is not yet. Waits for the device. */
MUST_CHECK enum err log_save_topic_id(struct log *log);
/* Writes the topic id if there is no file of it, without waiting for the device: the next sync of
 * the log does that. */
MUST_CHECK enum err log_write_topic_id(struct log *log);
/* Says in a log's directory that offsets may be missing in it: what its topic asks for may not be
 * known at the next start, which must not take them for lost. A segment begins where the one before
 * ended, and only compaction changes that: what is missing at the end of a segment from `to` on is
 * a loss. Waits for the device. */
MUST_CHECK enum err log_say_compacted(const struct env *env, const char *directory, int64_t to);
/* Clean shutdown of one log: closing time entry, indexes, everything synced. Blocks: from a job,
 * with files attached that are its own. */
MUST_CHECK enum err log_finish(struct log *log, int64_t now_ms);
/* The same for many logs that share the waits for the device, from jobs: of each detached log
 * log_finish_write, then files_sync_system; of each that gave a sync log_finish_rename, and if one
 * has renamed something again files_sync_system; of each log_sync_done, which gives what went wrong
 * on the way. */
bool log_needs_finish(const struct log *log);
/* Uses `files` while it runs. NULL in *out: nothing to do. */
MUST_CHECK enum err log_finish_write(struct log *log, struct log_files *files, int64_t now_ms,
                                     struct log_sync **out);
/* False: there was nothing to rename. */
bool log_finish_rename(struct log_sync *sync);
/* A wait for the device failed. ERR_OK changes nothing. */
void log_finish_failed(struct log_sync *sync, enum err err);
