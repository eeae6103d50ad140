/* broker/log/store_save.c - what the store writes while it runs and when it ends: checkpoints, the
 * removal of deleted directories, the clean shutdown. */
#include "base/crc32c.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/planted.h"
#include "broker/log/names.h"
#include "broker/log/reserve.h"
#include "broker/log/store_parts.h"
#include <stdlib.h>

/* Kafka's, in ZooKeeper mode; only its being there matters. */
#define CLEAN_SHUTDOWN_TEXT "{\"version\":0,\"brokerEpoch\":-1}"

static const char *const checkpoint_files[STORE_CHECKPOINTS] = {
    CHECKPOINT_RECOVERY_POINT, CHECKPOINT_LOG_START, CHECKPOINT_REPLICATION, CHECKPOINT_CLEANER};

/* ---- checkpoints ---- */

/* Of recovery points and high watermarks: their place in log->saved. */
static int saved_place(int which)
{
    switch (1 << which) {
    case STORE_RECOVERY_POINTS:
        return 0;
    case STORE_HIGH_WATERMARKS:
        return 1;
    default:
        return -1;
    }
}

/* What may be written of `value`, with a truncation perhaps about to happen: see log_may_cut. */
static int64_t to_save(struct log *log, int place, int64_t value)
{
    if (value > atomic_load(&log->saved[place])) atomic_store(&log->saved[place], value);
    int64_t max = atomic_load(&log->saved_max);
    log->saving[place] = value < max ? value : max;
    return log->saving[place];
}

/* What was to be written is what the file says. */
static void note_saved(struct store_dir *dir, int which)
{
    int place = saved_place(which);

    dir->checkpoints[which].departures = dir->checkpoints[which].departures_writing;
    if (place < 0) return;
    for (int k = 0; k < 2; k++) {
        map_each (entry, k == 0 ? &dir->store->logs : &dir->store->futures) {
            struct log *log = entry->value;
            if (log_directory(log) == &dir->dir)
                atomic_store(&log->saved[place], log->saving[place]);
        }
    }
}

/* False: the log needs no line. */
static bool value_of(struct log *log, int which, int64_t *value)
{
    switch (1 << which) {
    case STORE_RECOVERY_POINTS:
        *value = planted(checkpoint_ahead_of_sync) ? log_end_offset(log) : log_recovery_point(log);
        *value = to_save(log, 0, *value);
        return true;
    case STORE_LOG_STARTS:
        *value = log_start_offset(log);
        return *value > atomic_load_explicit(&log->first_base, memory_order_relaxed);
    case STORE_CLEANED:
        *value = log_cleaned_offset(log);
        return *value >= 0;
    default:
        /* What is missing stays in the file, so that the next start knows of it too. */
        *value = log_promised(log);
        if (*value <= 0 && !atomic_load(&log->is_unnamed)) *value = log_high_watermark(log);
        *value = to_save(log, 1, *value > 0 ? *value : 0);
        return true;
    }
}

static void write_text(const struct store_dir *dir, int which, struct buf *out)
{
    struct buf lines;
    size_t count = 0;
    int64_t value;

    buf_init(&lines);
    /* A partition is in one directory or, while it moves, as current and as future log in two. */
    for (int k = 0; k < 2; k++) {
        map_each (entry, k == 0 ? &dir->store->logs : &dir->store->futures) {
            struct log *log = entry->value;
            if (log_directory(log) != &dir->dir || !value_of(log, which, &value)) continue;
            checkpoint_add(&lines, log_topic(log), log_partition(log), value);
            count++;
        }
    }
    checkpoint_begin(out, count);
    buf_add_slice(out, buf_slice(&lines));
    buf_fini(&lines);
}

struct write_job {
    struct disk_job job;
    struct store_dir *dir;
    int which;
    struct buf text;
    enum err err;
};

static void write_run(struct disk_job *job)
{
    struct write_job *write = list_entry(job, struct write_job, job);
    char path[FILES_PATH_MAX];

    write->err = names_join(path, write->dir->path, checkpoint_files[write->which]);
    if (write->err == ERR_OK)
        write->err = files_replace(write->dir->store->options.env, path, buf_slice(&write->text));
}

static void write_one(struct store_dir *dir, int which);
static void make_what_may_be(struct store *store);

static void write_done(struct disk_job *job)
{
    struct write_job *write = list_entry(job, struct write_job, job);
    struct store_dir *dir = write->dir;
    struct store *store = dir->store;
    int which = write->which;

    dir->checkpoints[which].is_writing = false;
    dir->checkpoints[which].err = write->err;
    if (write->err == ERR_OK) {
        note_saved(dir, which);
    } else {
        /* Written again next time, whatever it says then. */
        dir->checkpoints[which].len = 0;
        if (write->err == ERR_FULL || write->err == ERR_TOO_MANY)
            log_warn("log", "checkpoint_not_written", "path=%s/%s why=%s", dir->path,
                     checkpoint_files[which], err_name(write->err));
        else
            store_dir_failed(dir, write->err);
    }
    bool again = dir->checkpoints[which].is_wanted;
    dir->checkpoints[which].is_wanted = false;
    if (again && !dir->dir.is_offline && store->stage == STORE_OPEN) write_one(dir, which);
    make_what_may_be(store);
    buf_fini(&write->text);
    free(write);
    store_job_ended(store);
}

static void write_one(struct store_dir *dir, int which)
{
    if (dir->checkpoints[which].is_writing) {
        dir->checkpoints[which].is_wanted = true;
        return;
    }
    struct write_job *write = ensure_zalloc(sizeof(*write));
    write->job = (struct disk_job){.run = write_run, .done = write_done};
    write->dir = dir;
    write->which = which;
    dir->checkpoints[which].departures_writing = dir->departures;
    write_text(dir, which, &write->text);

    uint32_t crc = crc32c(buf_slice(&write->text));
    if (dir->checkpoints[which].len == write->text.len && dir->checkpoints[which].crc == crc) {
        note_saved(dir, which);
        buf_fini(&write->text);
        free(write);
        return;
    }
    dir->checkpoints[which].len = write->text.len;
    dir->checkpoints[which].crc = crc;
    dir->checkpoints[which].is_writing = true;
    store_submit(dir->store, DISK_SOON, &write->job);
}

void store_checkpoint(struct store *store, int which)
{
    if (store->stage != STORE_OPEN) return;
    for (int i = 0; i < store->dir_count; i++) {
        struct store_dir *dir = &store->dirs[i];
        /* Before all logs are there a checkpoint would forget the others. */
        if (dir->dir.is_offline || !dir->is_loaded) continue;
        for (int k = 0; k < STORE_CHECKPOINTS; k++)
            if ((which & (1 << k)) != 0) write_one(dir, k);
    }
}

void store_checkpoint_sealed(struct store *store)
{
    for (int i = 0; store->stage == STORE_OPEN && i < store->dir_count; i++) {
        struct store_dir *dir = &store->dirs[i];
        uint32_t sealed = atomic_load(&dir->dir.sealed);
        if (dir->dir.is_offline || !dir->is_loaded || sealed == dir->sealed) continue;
        dir->sealed = sealed;
        write_one(dir, 0);
    }
}

/* ---- logs that go, and logs that come ---- */

static bool knows_departures(const struct store_dir *dir, int which)
{
    return dir->checkpoints[which].departures == dir->departures;
}

static void write_departures(struct store_dir *dir)
{
    struct store *store = dir->store;

    if (dir->dir.is_offline || !dir->is_loaded || store->stage != STORE_OPEN) return;
    for (int k = 0; k < STORE_CHECKPOINTS; k++) {
        bool is_coming = dir->checkpoints[k].is_writing &&
                         dir->checkpoints[k].departures_writing == dir->departures;
        if (!knows_departures(dir, k) && !is_coming) write_one(dir, k);
    }
}

void store_departed(struct store_dir *dir)
{
    dir->departures++;
    write_departures(dir);
}

enum err store_may_make(const struct store_dir *dir)
{
    for (int k = 0; k < STORE_CHECKPOINTS; k++) {
        if (knows_departures(dir, k)) continue;
        if (dir->dir.is_offline) return ERR_OFFLINE;
        return dir->checkpoints[k].err != ERR_OK ? dir->checkpoints[k].err : ERR_CANCELLED;
    }
    return ERR_OK;
}

static bool is_awaited(const struct store_dir *dir)
{
    for (int k = 0; k < STORE_CHECKPOINTS; k++)
        if (dir->checkpoints[k].is_writing && !knows_departures(dir, k)) return true;
    return false;
}

/* Every end of a write comes here, so that nothing waits for one that is not under way. */
static void make_what_may_be(struct store *store)
{
    for (int i = 0; i < store->dir_count; i++)
        if (is_awaited(&store->dirs[i])) return;
    while (!list_is_empty(&store->makings)) {
        struct store_making *making =
            list_entry(list_pop(&store->makings), struct store_making, waiting);
        making->begin(making);
        store_submit(store, DISK_SOON, making->job);
    }
}

void store_make(struct store *store, struct store_making *making)
{
    for (int i = 0; i < store->dir_count; i++)
        write_departures(&store->dirs[i]);
    list_push(&store->makings, &making->waiting);
    make_what_may_be(store);
}

/* ---- deleted directories ---- */

struct remove_job {
    struct disk_job job;
    struct store *store;
    char **paths;
    int count;
};

struct remove_walk {
    const struct env *env;
    const char *directory;
};

static void remove_file(void *to, const char *name, bool is_directory)
{
    const struct remove_walk *walk = to;
    char path[FILES_PATH_MAX];

    if (!is_directory && names_join(path, walk->directory, name) == ERR_OK)
        (void)!files_remove(walk->env, path);
}

static void remove_run(struct disk_job *job)
{
    struct remove_job *remove = list_entry(job, struct remove_job, job);
    const struct env *env = remove->store->options.env;

    for (int i = 0; i < remove->count; i++) {
        struct remove_walk walk = {env, remove->paths[i]};
        /* What cannot be removed is found by the next start. */
        if (files_list(env, walk.directory, remove_file, &walk) == ERR_OK)
            (void)!files_remove_directory(env, walk.directory);
    }
}

static void remove_done(struct disk_job *job)
{
    struct remove_job *remove = list_entry(job, struct remove_job, job);
    struct store *store = remove->store;

    for (int i = 0; i < remove->count; i++)
        free(remove->paths[i]);
    free(remove->paths);
    free(remove);
    store_job_ended(store);
}

static void remove_due(struct store_dir *dir, int64_t now_ms)
{
    struct store *store = dir->store;
    int kept = 0, due = 0;

    for (int i = 0; i < dir->deleted_count; i++)
        due += dir->deleted[i].due_ms <= now_ms;
    if (due == 0) return;
    struct remove_job *remove = ensure_zalloc(sizeof(*remove));
    remove->job = (struct disk_job){.run = remove_run, .done = remove_done};
    remove->store = store;
    remove->paths = ensure_malloc((size_t)due * sizeof(*remove->paths));
    for (int i = 0; i < dir->deleted_count; i++) {
        if (dir->deleted[i].due_ms <= now_ms)
            remove->paths[remove->count++] = dir->deleted[i].path;
        else
            dir->deleted[kept++] = dir->deleted[i];
    }
    dir->deleted_count = kept;
    store_submit(store, DISK_LONG, &remove->job);
}

void store_tick(struct store *store)
{
    int64_t now_ms = env_wall_ms(store->options.env);

    for (int i = 0; store->stage == STORE_OPEN && i < store->dir_count; i++) {
        if (atomic_load(&store->dirs[i].dir.is_offline))
            store_dir_failed(&store->dirs[i], ERR_IO); /* should nobody have told us */
        else
            remove_due(&store->dirs[i], now_ms);
    }
}

/* ---- reserves ---- */

struct renew_job {
    struct disk_job job;
    struct store_dir *dir;
    bool is_made;
};

static void renew_run(struct disk_job *job)
{
    struct renew_job *renew = list_entry(job, struct renew_job, job);
    struct store_dir *dir = renew->dir;

    renew->is_made = reserve_make(dir->store->options.env, dir->path, dir->reserve);
}

static void renew_done(struct disk_job *job)
{
    struct renew_job *renew = list_entry(job, struct renew_job, job);
    struct store_dir *dir = renew->dir;

    dir->is_renewing = false;
    if (renew->is_made) {
        dir->dir.is_full = false;
        log_info("log", "directory_has_room", "path=%s", dir->path);
    }
    free(renew);
    store_job_ended(dir->store);
}

void store_renew_reserves(struct store *store)
{
    for (int i = 0; store->stage == STORE_OPEN && i < store->dir_count; i++) {
        struct store_dir *dir = &store->dirs[i];
        if (!dir->dir.is_full || dir->dir.is_offline || dir->is_renewing) continue;
        struct renew_job *renew = ensure_zalloc(sizeof(*renew));
        renew->job = (struct disk_job){.run = renew_run, .done = renew_done};
        renew->dir = dir;
        dir->is_renewing = true;
        store_submit(store, DISK_SOON, &renew->job);
    }
}

/* ---- clean shutdown ---- */

/* From this many logs with something to sync they share two waits for the device: each alone has
 * up to six, which is a quarter of an hour for 50,000 new partitions. */
#define CLOSE_GROUPED_MIN 64
/* At least: most of the end of many logs is the file system's work on their files' names. */
#define CLOSERS_MIN 2

/* One directory: some jobs finish its logs in turn; the last one's end starts the marker's. */
struct dir_close {
    struct store_dir *dir;
    struct log **logs;
    struct log_sync **syncs; /* of each log, or NULL: alone, or nothing to do */
    bool is_grouped;
    struct disk_job group;
    int count;
    _Atomic int next;
    _Atomic bool has_failed;
    _Atomic bool has_looked; /* the first job, for room to end in */
    struct closer *closers;
    int left;
    struct disk_job mark;
    struct buf texts[STORE_CHECKPOINTS];
    enum err err;
};

struct closer {
    struct disk_job job;
    struct dir_close *close;
};

static void note_closed(struct dir_close *close, const struct log *log, enum err err)
{
    if (err == ERR_OK) return;
    log_error("log", "close_failed", "path=%s why=%s", log->path, err_name(err));
    atomic_store(&close->has_failed, true);
}

static void close_run(struct disk_job *job)
{
    struct dir_close *close = list_entry(job, struct closer, job)->close;
    const struct env *env = close->dir->store->options.env;
    if (!atomic_exchange(&close->has_looked, true))
        reserve_give_up(env, close->dir->path, close->dir->reserve);
    struct log_files *files = log_files_create(env, STORE_JOB_FILES_MAX);
    int i;

    while ((i = atomic_fetch_add(&close->next, 1)) < close->count) {
        struct log *log = close->logs[i];
        enum err err = ERR_OK;
        if (close->is_grouped) {
            err = log_finish_write(log, files, env_wall_ms(env), &close->syncs[i]);
        } else {
            log_attach(log, files);
            err = log_finish(log, env_wall_ms(env));
            log_detach(log);
        }
        note_closed(close, log, err);
    }
    log_files_destroy(&files);
}

/* What the logs have written goes to the device, then gets its names, then those too. */
static void group_run(struct disk_job *job)
{
    struct dir_close *close = list_entry(job, struct dir_close, group);
    const struct env *env = close->dir->store->options.env;
    bool has_renamed = false;

    enum err err = files_sync_system(env, close->dir->path);
    for (int i = 0; err == ERR_OK && i < close->count; i++)
        if (close->syncs[i] != NULL) has_renamed |= log_finish_rename(close->syncs[i]);
    if (err == ERR_OK && has_renamed) err = files_sync_system(env, close->dir->path);
    for (int i = 0; i < close->count; i++) {
        if (close->syncs[i] == NULL) continue;
        log_finish_failed(close->syncs[i], err);
        note_closed(close, close->logs[i], log_sync_done(close->logs[i], &close->syncs[i]));
    }
}

static enum err each_checkpoint(const struct store_dir *dir,
                                enum err (*step)(const struct env *env, const char *path))
{
    char path[FILES_PATH_MAX];
    enum err err = ERR_OK;

    for (int i = 0; err == ERR_OK && i < STORE_CHECKPOINTS; i++) {
        err = names_join(path, dir->path, checkpoint_files[i]);
        if (err == ERR_OK) err = step(dir->store->options.env, path);
    }
    return err;
}

/* All its logs are on the device: now it may be said. */
static void mark_run(struct disk_job *job)
{
    struct dir_close *close = list_entry(job, struct dir_close, mark);
    const struct store_dir *dir = close->dir;
    const struct env *env = dir->store->options.env;
    char path[FILES_PATH_MAX];
    enum err err = ERR_OK;

    for (int i = 0; err == ERR_OK && i < STORE_CHECKPOINTS; i++) {
        err = names_join(path, dir->path, checkpoint_files[i]);
        if (err == ERR_OK) err = files_replace_write(env, path, buf_slice(&close->texts[i]));
    }
    if (err == ERR_OK) err = each_checkpoint(dir, files_replace_sync);
    if (err == ERR_OK) err = each_checkpoint(dir, files_replace_rename);
    if (err == ERR_OK) err = files_sync_directory(env, dir->path);
    if (err == ERR_OK) err = names_join(path, dir->path, CHECKPOINT_CLEAN_SHUTDOWN);
    if (err == ERR_OK) err = files_replace(env, path, SLICE(CLEAN_SHUTDOWN_TEXT));
    close->err = err;
}

static void dir_closed(struct dir_close *close)
{
    struct store *store = close->dir->store;

    for (int i = 0; i < STORE_CHECKPOINTS; i++)
        buf_fini(&close->texts[i]);
    free(close->closers);
    free(close->syncs);
    free(close->logs);
    free(close);
    store_job_ended(store);
}

static void mark_done(struct disk_job *job)
{
    struct dir_close *close = list_entry(job, struct dir_close, mark);

    if (close->err != ERR_OK)
        log_error("log", "marker_not_written", "path=%s why=%s", close->dir->path,
                  err_name(close->err));
    dir_closed(close);
}

/* All its logs have ended, well or not. */
static void logs_closed(struct dir_close *close)
{
    struct store_dir *dir = close->dir;

    if (atomic_load(&close->has_failed) || (!dir->is_loaded && !dir->was_clean)) {
        dir_closed(close);
        return;
    }
    for (int i = 0; i < STORE_CHECKPOINTS; i++)
        write_text(dir, i, &close->texts[i]);
    close->mark = (struct disk_job){.run = mark_run, .done = mark_done};
    store_submit(dir->store, DISK_LONG, &close->mark);
    store_job_ended(dir->store);
}

static void group_done(struct disk_job *job)
{
    logs_closed(list_entry(job, struct dir_close, group));
}

static void close_done(struct disk_job *job)
{
    struct dir_close *close = list_entry(job, struct closer, job)->close;
    struct store_dir *dir = close->dir;

    if (--close->left > 0) {
        store_job_ended(dir->store);
        return;
    }
    if (!close->is_grouped) {
        logs_closed(close);
        return;
    }
    close->group = (struct disk_job){.run = group_run, .done = group_done};
    store_submit(dir->store, DISK_LONG, &close->group);
    store_job_ended(dir->store);
}

static void close_dir(struct store_dir *dir)
{
    struct store *store = dir->store;
    struct dir_close *close = ensure_zalloc(sizeof(*close));
    int closers = store->options.recovery_threads;
    int to_sync = 0;

    if (closers < CLOSERS_MIN) closers = CLOSERS_MIN;
    close->dir = dir;
    close->logs =
        ensure_malloc((store->logs.count + store->futures.count + 1) * sizeof(*close->logs));
    for (int k = 0; k < 2; k++) {
        map_each (entry, k == 0 ? &store->logs : &store->futures) {
            struct log *log = entry->value;
            if (log_directory(log) != &dir->dir) continue;
            close->logs[close->count++] = log;
            to_sync += log_needs_finish(log);
        }
    }
    close->is_grouped = to_sync >= CLOSE_GROUPED_MIN;
    close->syncs = ensure_zalloc((size_t)(close->count + 1) * sizeof(struct log_sync *));
    if (dir->dir.is_offline) {
        close->count = 0;
        close->has_failed = true;
    }
    close->left = closers;
    close->closers = ensure_zalloc((size_t)closers * sizeof(*close->closers));
    for (int i = 0; i < closers; i++) {
        close->closers[i] = (struct closer){{.run = close_run, .done = close_done}, close};
        store_submit(store, DISK_SOON, &close->closers[i].job); /* nobody is served any more */
    }
}

void store_submit_close(struct store *store)
{
    store->stage = STORE_CLOSING;
    for (int i = 0; i < store->dir_count; i++)
        close_dir(&store->dirs[i]);
}

void store_close(struct store *store)
{
    ensure(store->stage == STORE_OPEN);
    store->stage = STORE_DRAINING;
    if (store->jobs_running == 0) store_submit_close(store);
}
