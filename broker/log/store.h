/* broker/log/store.h - the log directories of a broker: lock, identify, load, create, delete,
 * checkpoint, fail, shut down (storage reference §1, §5, §7, §11).
 *
 * Lives on its home shard (the control shard); what blocks runs on the disk pool. The store owns
 * every log; a data shard has one between log_attach and log_detach, and detaches before
 * store_delete or store_close. Checkpoints read what logs publish (atomically): no message to the
 * shards is needed.
 *
 *     store_open → store_identify → store_load … loaded → logs go to their shards
 *     store_create, store_delete, store_checkpoint, store_tick
 *     all logs detached → store_close … closed → store_destroy */
#pragma once
#include "base/buf.h"
#include "broker/log/log.h"
#include "runtime/disk.h"
#include "runtime/shard.h"

struct store;

struct store_events {
    /* store_load has finished. ERR_OK, or why the broker cannot start (`text` for people). */
    void (*loaded)(void *owner, enum err err, const char *text);
    /* A directory went offline, once each. Its logs answer ERR_OFFLINE; the broker takes them from
     * their shards. `left` directories are still online: with 0 the process ends. */
    void (*dir_failed)(void *owner, struct log_dir *dir, enum err why, int left);
    /* store_close has finished. */
    void (*closed)(void *owner);
};

struct store_options {
    const struct env *env;
    struct shard *home;
    struct disk *disk;
    const char *const *paths; /* log.dirs, absolute */
    int path_count;
    int recovery_threads;   /* num.recovery.threads.per.data.dir */
    uint64_t reserve_bytes; /* of each directory's reserve (reserve.h); 0: none */
    bool keeps_topic_ids;   /* inter.broker.protocol.version ≥ 2.8 */
    /* The topic's configuration at load. From disk jobs: must be thread-safe (an immutable table).
     */
    void (*config)(void *owner, struct slice topic, struct log_config *out);
    const struct store_events *events;
    void *owner;
};

/* Makes missing directories, locks them, reads meta.properties, notes the clean-shutdown markers.
 * Blocks: at the start of the process only. ERR_BUSY (another process has a
 * lock), ERR_INVALID (meta.properties says that this is not a broker of ours), ERR_OFFLINE (no
 * directory works); `problem` gets a sentence. Borrows `options` until store_destroy. */
MUST_CHECK enum err store_open(const struct store_options *options, struct buf *problem,
                               struct store **out);
/* Waits for nothing: after `closed`, or before store_load. Sets to NULL; NULL is fine. Unlocks. */
void store_destroy(struct store **store);

/* What the directories say they are: -1 and NULL when none says. */
int32_t store_broker_id(const struct store *store);
const char *store_cluster_id(const struct store *store);
/* Compares, removes the clean-shutdown markers, and writes meta.properties where it is missing or
 * lacks something. ERR_INVALID, and nothing changes: the directories belong to another broker or
 * cluster. Blocks. To be called before anything is appended. */
MUST_CHECK enum err store_identify(struct store *store, int32_t broker_id, const char *cluster_id,
                                   struct buf *problem);

/* The ZooKeeper session under which a broker last registered with these directories, noted in their
 * lock files: whoever wrote it has ended, for the locks are ours. 0: none is known. */
int64_t store_last_session(const struct store *store);
/* The machine has been booted anew since a broker of these directories was registered without
 * ending in order, or one of them has failed: what was not synced may be gone. So it stays until an
 * orderly end with all of them. */
bool store_lost_cache(const struct store *store);
/* The epoch (czxid) of the first registration after the last such loss: what was decided of a
 * replica later than that was decided of what it had then. 0: there was none yet, or no loss. */
int64_t store_lost_cache_since(const struct store *store);
/* Notes for the next start, also for one after a power loss, that the broker is registered: in
 * which session, as which epoch. Blocks for a sync of few bytes. */
void store_note_session(struct store *store, int64_t session_id, int64_t epoch);

/* Loads all logs, in parallel; ends in `loaded`. */
void store_load(struct store *store);
/* Where a directory had no room for what a load has to write (after a crash: indexes, checkpoints),
 * and no reserve any more, the load waits: goes on with it, if there is room by now. For a timer
 * of the owner, until `loaded`. */
void store_load_again(struct store *store);

int store_dir_count(const struct store *store);
struct log_dir *store_dir(struct store *store, int index);
int store_dirs_offline(const struct store *store);
/* Whether each directory that is online could take new logs: some MiB are free. */
bool store_has_room(const struct store *store);
int store_log_count(const struct store *store);
/* NULL when absent. Includes logs of offline directories. */
struct log *store_find(struct store *store, struct slice topic, int32_t partition);
void store_each(struct store *store, void (*each)(void *to, struct log *log), void *to);

/* Creates an empty log in the live directory with the fewest logs, on the pool; `done` on the home
 * shard. `is_new`: LeaderAndIsr says so; else, while a directory is offline, ERR_OFFLINE (it may be
 * there). ERR_EXISTS, with the log, if it is there. `topic_id` zero: none. */
void store_create(struct store *store, struct slice topic, int32_t partition, struct uuid topic_id,
                  const struct log_config *config, bool is_new,
                  void (*done)(void *to, enum err err, struct log *log), void *to);
/* The same, many at a time: one job. Results in the order given. */
struct store_new_log {
    struct slice topic; /* borrowed until done */
    int32_t partition;
    struct uuid topic_id;
    const struct log_config *config; /* borrowed until done */
    bool is_new;
    enum err err;    /* result */
    struct log *log; /* result */
};
void store_create_many(struct store *store, struct store_new_log *logs, int count,
                       void (*done)(void *to), void *to);

/* Takes a detached log: renames its directory, forgets it, removes the files after
 * log.segment.delete.delay.ms. `done` on the home shard, when it is renamed. */
void store_delete(struct store *store, struct log **log, void (*done)(void *to, enum err err),
                  void *to);

/* Takes a detached log that belongs to no partition of this broker's any more: renames its
 * directory to "…-stray" and forgets it. Nobody removes it but people. `done` as of store_delete.
 */
void store_put_aside(struct store *store, struct log **log, void (*done)(void *to, enum err err),
                     void *to);

/* ---- Moves between log directories (future.h), decided by others and done by a shard ---- */

/* The directory of that path, which is absolute and written as in log.dirs; or NULL. */
struct log_dir *store_find_dir(struct store *store, struct slice path);
/* NULL when absent. Includes those of offline directories. */
struct log *store_find_future(struct store *store, struct slice topic, int32_t partition);
int store_future_count(const struct store *store);
void store_each_future(struct store *store, void (*each)(void *to, struct log *log), void *to);
/* The log is not here: when it comes, it shall be in `dir`. Of as many as STORE_PREFERRED_MAX this
 * is remembered, until this process ends. */
void store_prefer(struct store *store, struct slice topic, int32_t partition, struct log_dir *dir);
/* Whether a future log of that topic can have a name. */
bool store_may_have_future(struct slice topic, int32_t partition);
/* An empty future log for `current`, which has none, in `dir`; on the pool, `done` on the home
 * shard. ERR_OFFLINE: a directory is, and there may be one in it. */
void store_create_future(struct store *store, const struct log *current, struct log_dir *dir,
                         void (*done)(void *to, enum err err, struct log *future), void *to);
/* As store_delete. */
void store_delete_future(struct store *store, struct log **future,
                         void (*done)(void *to, enum err err), void *to);
/* The future log of that partition has taken the place of the current one, which is detached and
 * goes as by store_delete, but not before the new one's name is on the device. */
void store_moved(struct store *store, struct slice topic, int32_t partition, void (*done)(void *to),
                 void *to);

/* A log of this directory gave ERR_IO. From the home shard; saying it twice is fine. */
void store_fail_dir(struct store *store, struct log_dir *dir, enum err why);

/* Writes checkpoint files that have changed, on the pool. The owner's timers call these. */
enum store_checkpoint {
    STORE_RECOVERY_POINTS = 1, /* log.flush.offset.checkpoint.interval.ms, and after a truncation */
    STORE_LOG_STARTS = 2,      /* log.flush.start.offset.checkpoint.interval.ms */
    STORE_HIGH_WATERMARKS = 4, /* replica.high.watermark.checkpoint.interval.ms */
    STORE_CLEANED = 8,         /* with the recovery points; a crash has more compacted again */
};
void store_checkpoint(struct store *store, int which);
/* Writes the recovery points of directories where a sealed segment has been synced since: so that
 * after a crash it need not be scanned, though the next checkpoint by time is far. */
void store_checkpoint_sealed(struct store *store);
/* Where a reserve was used up: makes it anew if there is room by now, and lets logs be appended to.
 */
void store_renew_reserves(struct store *store);
/* Removes deleted directories that are due. INSTANT: every 30 s is Kafka's period. */
void store_tick(struct store *store);

/* Clean shutdown: all logs detached. Closes every log (sync, indexes), then, per directory whose
 * logs all succeeded, checkpoints and the clean-shutdown marker. Ends in `closed`. What is asked
 * for while logs are being closed is refused (ERR_CANCELLED; of a move, nothing is done). */
void store_close(struct store *store);
/* Instead, of a store that is not loaded, or not yet: ends a load after the logs at hand, without
 * `loaded`; nothing is written. Ends in `closed`. */
void store_abandon(struct store *store);
