/* broker/log/store_parts.h - what the store consists of. Internal to the room: store.c,
 * store_load.c, store_save.c. All of it is touched on the home shard only; jobs work on what they
 * were given. */
#pragma once
#include "base/conf.h"
#include "base/list.h"
#include "base/map.h"
#include "broker/log/checkpoint.h"
#include "broker/log/parts.h"
#include "broker/log/recover.h"
#include "broker/log/store.h"

#define STORE_CHECKPOINTS    4
#define STORE_JOB_FILES_MAX  8 /* files that a job keeps open */
#define STORE_META_BYTES_MAX 65536

/* A directory that was renamed to …-delete. */
struct store_deleted {
    char *path;
    int64_t due_ms;
};

struct store_dir {
    struct log_dir dir; /* first: what its logs see */
    struct store *store;
    char *path;
    struct file *lock;
    struct conf meta;    /* meta.properties as found */
    bool was_clean;      /* it had the clean-shutdown marker */
    bool is_same_boot;   /* who wrote here last did so since this machine started */
    bool is_foreign;     /* no broker of ours has been registered with it */
    bool has_failed;     /* and everybody was told */
    enum err failed_why; /* found before anybody could be told */
    uint64_t reserve;    /* bytes of its reserve; 0: none */
    bool is_renewing;    /* a job makes it anew */
    bool is_loaded;      /* every log that was there */
    int log_count;       /* with those that are being created */
    struct {
        bool is_writing, is_wanted;
        uint32_t crc; /* of the text last written, 0 with len 0: none */
        size_t len;
        uint32_t departures_writing, departures; /* that the text knows of */
        enum err err;                            /* of the last write */
    } checkpoints[STORE_CHECKPOINTS];
    uint32_t departures; /* of logs, 1 for those before this process: see store_make */
    uint32_t sealed;     /* of dir.sealed, when recovery points were last written for it */
    struct store_deleted *deleted;
    int deleted_count;
};

/* What makes the directory of a log, see store_make. */
struct store_making {
    struct list_node waiting;
    struct disk_job *job;
    /* Before the job is submitted: who asks store_may_make. */
    void (*begin)(struct store_making *making);
};

struct store {
    struct store_options options;
    struct list makings;        /* that wait for checkpoints */
    struct store_load *loading; /* or NULL */
    struct store_dir *dirs;
    int dir_count;
    struct map logs;    /* "topic-partition" → struct log * */
    struct map busy;    /* names whose directory is being made or renamed */
    struct map futures; /* the same names → struct log *, see future.h */
    /* Names of logs that are not here, and in which directory they shall be when they come. */
    struct map preferred; /* → struct store_dir * */
    struct map missing; /* names that a checkpoint had without a directory → int64_t *, watermark */
    int32_t broker_id;
    int64_t last_session; /* as found in a lock file, or noted there */
    uint64_t boot;        /* as noted there by us; 0: not yet, logs may be unlike what is in them */
    bool is_cache_lost;   /* see store_lost_cache */
    int64_t lost_since;   /* see store_lost_cache_since; LOST_LATELY: no registration yet */
    char *cluster_id;
    int jobs_running;
    enum { STORE_OPEN, STORE_DRAINING, STORE_CLOSING, STORE_ABANDONING, STORE_CLOSED } stage;
    _Atomic bool is_abandoned; /* for the jobs of a load */
};

struct store_dir *store_dir_of(struct store *store, const struct log *log);
/* Where a new log of this name goes; NULL: nowhere now. */
struct store_dir *store_place(struct store *store, const char *name);
/* A job of the store's; `done` must call store_job_ended. */
void store_submit(struct store *store, enum disk_class class, struct disk_job *job);
void store_job_ended(struct store *store);
void store_submit_close(struct store *store); /* when the other jobs have ended */
/* The logs are being closed, by jobs that hold them, or are: nothing is made or renamed any more.
 * What asks for it is left over from a step of the end that took too long. */
bool store_is_closing(const struct store *store);
/* Ends what store_load_again would have gone on with. */
void store_load_abandon(struct store *store);
/* Takes a directory that gave an I/O error offline; tells the owner, once. */
void store_dir_failed(struct store_dir *dir, enum err why);
/* Renames the directory of `log`, which is of `of` or nowhere, and deletes it later; takes `log`.
 */
void store_delete_of(struct store *store, struct map *of, struct log **log,
                     void (*done)(void *to, enum err err), void *to);
/* Writes every checkpoint of a directory that a log has left; to be called whenever one has. */
void store_departed(struct store_dir *dir);
/* Submits a job that makes directories of logs, as soon as each checkpoint of each directory has
 * been written since a log left it, or could not be. Else the line of a log that is gone would be
 * believed of the next one of its name after a crash: a recovery point below which nothing was
 * synced, or that holes are compaction's. */
void store_make(struct store *store, struct store_making *making);
/* ERR_OK; or why `dir` is to have no new log: ERR_FULL, ERR_TOO_MANY, ERR_OFFLINE, ERR_CANCELLED.
 */
enum err store_may_make(const struct store_dir *dir);
/* Adds to the directories that wait to be removed; takes `path`. */
void store_add_deleted(struct store_dir *dir, char *path, int64_t due_ms);
