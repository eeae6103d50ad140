/* broker/log/sync.c - what must be on the device: planned on the shard, run on the disk pool, and
 * only then believed (storage reference §7). */
#include "base/ensure.h"
#include "base/planted.h"
#include "broker/log/checkpoint.h"
#include "broker/log/names.h"
#include "broker/log/parts.h"
#include "broker/log/snapshots.h"
#include <stdlib.h>

struct log_sync {
    const struct env *env;
    struct log_file **files;
    int count, capacity;
    char *directory;
    const char *above; /* the log directory, where that is to be synced, too; or NULL */
    bool syncs_directory, has_epochs, has_topic_id, is_closing;
    bool is_left; /* nothing was done */
    struct buf epochs, topic_id;
    struct small_file { /* synced by name: they are seldom, and never open */
        int64_t base;
        const char *extension;
    } * small;
    int small_count;
    struct buf snapshot; /* of the producers at `end`, with is_point */
    bool is_point, has_snapshot;
    int64_t snapshot_before; /* the one that it replaces; -1: none */
    int64_t end;             /* all below is on the device afterwards */
    int64_t active_base, active_size;
    uint32_t cuts;
    enum err err;
};

static enum err replace(const struct env *env, const char *directory, const char *name,
                        const struct buf *text)
{
    char path[FILES_PATH_MAX];
    enum err err = names_join(path, directory, name);

    return err == ERR_OK ? files_replace(env, path, buf_slice(text)) : err;
}

enum err log_save_topic_id(struct log *log)
{
    struct buf text;

    if (!log->topic_id_dirty) return ERR_OK;
    buf_init(&text);
    checkpoint_write_topic_id(&text, log->topic_id);
    enum err err = replace(log->env, log->path, CHECKPOINT_TOPIC_ID, &text);
    buf_fini(&text);
    if (err == ERR_OK) {
        log->topic_id_dirty = false;
        log->has_id_file = true;
        atomic_store(&log->is_unnamed, false);
    }
    return err;
}

enum err log_write_topic_id(struct log *log)
{
    char path[FILES_PATH_MAX];
    struct file *file = NULL;
    struct buf text;

    if (log->has_id_file || uuid_is_zero(log->topic_id)) return ERR_OK;
    buf_init(&text);
    checkpoint_write_topic_id(&text, log->topic_id);
    enum err err = names_join(path, log->path, CHECKPOINT_TOPIC_ID);
    if (err == ERR_OK)
        err = files_open(log->env, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    if (err == ERR_OK) err = file_write_at(log->env, file, 0, buf_slice(&text));
    file_close(log->env, &file);
    buf_fini(&text);
    if (err == ERR_OK) log->has_id_file = log->topic_id_dirty = true;
    return err;
}

bool log_sync_due(const struct log *log, int64_t now_ms)
{
    return log->end > log_recovery_point(log) && now_ms - log->synced_ms >= log->config.flush_ms;
}

static void add(struct log_sync *sync, struct log_file *file)
{
    if (sync->count == sync->capacity) {
        sync->capacity = sync->capacity == 0 ? 4 : sync->capacity * 2;
        sync->files = ensure_realloc(sync->files, (size_t)sync->capacity * sizeof(*sync->files));
    }
    sync->files[sync->count++] = file;
}

static void add_small(struct log_sync *sync, int64_t base, const char *extension)
{
    sync->small =
        ensure_realloc(sync->small, (size_t)(sync->small_count + 1) * sizeof(*sync->small));
    sync->small[sync->small_count++] = (struct small_file){base, extension};
}

static void add_snapshots(const struct log *log, struct log_sync *sync)
{
    for (int i = 0; i < log->snapshot_count; i++)
        if (!log->snapshots[i].is_synced && log->snapshots[i].offset <= sync->end)
            add_small(sync, log->snapshots[i].offset, NAMES_PRODUCERS);
}

/* What its indexes have only in memory is in their files before the recovery point is above it:
 * after the end of the process alone they are believed up to there (resume.h). The times first: an
 * offset in a file whose time is in none would not do. */
static void save_indexes(struct segment *segment, const struct segment_place *place)
{
    if (index_save(&segment->times, place, false) == ERR_OK)
        (void)!index_save(&segment->offsets, place, false);
}

/* A sealed segment with its indexes, which were saved when it was sealed; of the active one only
 * the batches: up to the recovery point in it its indexes are built anew after a loss of power. */
static enum err add_segment(struct log *log, struct log_sync *sync, struct segment *segment,
                            bool with_indexes)
{
    struct segment_place place = log_place(log, segment->base);
    struct log_file *file = NULL;

    if (segment->has_aborted) add_small(sync, segment->base, NAMES_ABORTED);
    if (!with_indexes) save_indexes(segment, &place);
    enum err err = segment_use(segment, &place, &file);
    if (err == ERR_OK) add(sync, file);
    if (err == ERR_OK && with_indexes) err = index_use(&segment->offsets, &place, &file);
    if (err == ERR_OK && with_indexes) add(sync, file);
    if (err == ERR_OK && with_indexes) err = index_use(&segment->times, &place, &file);
    if (err == ERR_OK && with_indexes) add(sync, file);
    return err;
}

/* A segment whose records were synced while it was active lacks its indexes on the device. */
static bool lacks_indexes(const struct segment *segment)
{
    return segment->indexed < segment->size;
}

static enum err add_segments(struct log *log, struct log_sync *sync, bool is_closing)
{
    int64_t from = log_recovery_point(log);
    int first = log_floor(log, from);
    enum err err = ERR_OK;

    if (first < 0) first = 0;
    while (first > 0 && lacks_indexes(log->segments[first - 1]))
        first--;
    for (int i = first; err == ERR_OK && i < log->count; i++) {
        struct segment *segment = log->segments[i];
        bool is_active = i + 1 == log->count;
        if (segment->base >= sync->end && !is_closing) break;
        if (is_closing || segment->synced < segment->size || (!is_active && lacks_indexes(segment)))
            err = add_segment(log, sync, segment, !is_active || is_closing);
    }
    return err;
}

static void free_sync(struct log_sync **sync)
{
    for (int i = 0; i < (*sync)->count; i++)
        handles_drop(&(*sync)->files[i]);
    free((*sync)->files);
    free((*sync)->directory);
    free((*sync)->small);
    buf_fini(&(*sync)->epochs);
    buf_fini(&(*sync)->topic_id);
    buf_fini(&(*sync)->snapshot);
    free(*sync);
    *sync = NULL;
}

static bool has_work(const struct log *log, int64_t end)
{
    return end > log_recovery_point(log) || log->epochs_dirty || log->topic_id_dirty ||
           log->directory_dirty || log->is_renamed;
}

static enum err plan(struct log *log, int64_t end, bool is_closing, struct log_sync **out)
{
    struct log_sync *sync = ensure_zalloc(sizeof(*sync));

    *sync = (struct log_sync){
        .env = log->env,
        .directory = ensure_strdup(log->path),
        .above = log->is_renamed ? log->dir->path : NULL,
        .syncs_directory = log->directory_dirty,
        .has_epochs = log->epochs_dirty,
        .has_topic_id = log->topic_id_dirty,
        .is_closing = is_closing,
        .end = end,
        .active_base = log_active(log)->base,
        .active_size = log_active(log)->size,
        .cuts = log->cuts,
    };
    if (sync->has_epochs) checkpoint_write_epochs(&sync->epochs, &log->epochs);
    if (sync->has_topic_id) checkpoint_write_topic_id(&sync->topic_id, log->topic_id);

    /* Without open files the whole file system is synced. */
    enum err err = log->files == NULL ? ERR_OK : add_segments(log, sync, is_closing);
    add_snapshots(log, sync);
    if (err != ERR_OK) {
        free_sync(&sync);
        return log_settle(log, err);
    }
    log->epochs_dirty = log->topic_id_dirty = log->directory_dirty = log->is_renamed = false;
    log->is_syncing = true;
    *out = sync;
    return ERR_OK;
}

static enum err plan_up_to(struct log *log, int64_t end, int64_t now_ms, struct log_sync **out)
{
    *out = NULL;
    if (log_is_offline(log)) return ERR_OFFLINE;
    if (log->is_syncing || !has_work(log, end)) return ERR_OK;
    log->synced_ms = now_ms;
    return plan(log, end, false, out);
}

enum err log_sync_plan(struct log *log, int64_t now_ms, struct log_sync **out)
{
    return plan_up_to(log, log->end, now_ms, out);
}

enum err log_sync_plan_sealed(struct log *log, int64_t now_ms, struct log_sync **out)
{
    return plan_up_to(log, log_active(log)->base, now_ms, out);
}

/* With the producers' state at the end, so that recovery after the end of the process need not go
 * back to the segment's beginning for it. It is not synced: after a loss of power it is not
 * believed. */
enum err log_sync_plan_point(struct log *log, int64_t now_ms, struct log_sync **out)
{
    enum err err = log_sync_plan(log, now_ms, out);

    if (err != ERR_OK || *out == NULL) return err;
    (*out)->is_point = true;
    (*out)->snapshot_before = snapshots_between(log);
    if (snapshots_wanted(log, (*out)->end)) producers_write(&log->producers, &(*out)->snapshot);
    return ERR_OK;
}

int64_t log_unsynced_bytes(const struct log *log)
{
    const struct segment *active = log_active(log);

    return active->size - active->synced;
}

/* Whatever the device gives as its reason: pages that could not be written are clean from now on,
 * and the next sync would find nothing to complain of; so would the next start, if it read them
 * from the cache. */
static enum err sync_file(const struct env *env, struct file *file)
{
    if (file_sync(env, file) == ERR_OK) return ERR_OK;
    file_drop_cached(env, file);
    return ERR_IO;
}

/* One that has been deleted or truncated away meanwhile is not missed. */
static enum err sync_small(const struct log_sync *sync, const struct small_file *small)
{
    char path[FILES_PATH_MAX];
    struct file *file = NULL;

    enum err err = names_segment(path, sync->directory, small->base, small->extension, "");
    if (err == ERR_OK) err = files_open(sync->env, path, FILE_WRITE, &file);
    if (err == ERR_NOT_FOUND) return ERR_OK;
    if (err == ERR_OK) err = sync_file(sync->env, file);
    file_close(sync->env, &file);
    return err;
}

static enum err write_small(const struct log_sync *sync, const char *name, const struct buf *text)
{
    char path[FILES_PATH_MAX];
    enum err err = names_join(path, sync->directory, name);

    return err == ERR_OK ? files_replace_write(sync->env, path, buf_slice(text)) : err;
}

static enum err write_smalls(const struct log_sync *sync)
{
    enum err err = ERR_OK;

    if (sync->has_topic_id) err = write_small(sync, CHECKPOINT_TOPIC_ID, &sync->topic_id);
    if (err == ERR_OK && sync->has_epochs)
        err = write_small(sync, CHECKPOINT_EPOCHS, &sync->epochs);
    return err;
}

static enum err remove_snapshot(const struct env *env, const char *directory, int64_t offset)
{
    char path[FILES_PATH_MAX];
    enum err err = names_segment(path, directory, offset, NAMES_PRODUCERS, "");

    return err == ERR_OK ? files_remove(env, path) : err;
}

/* Without it recovery reads more, no more than that. */
static void write_snapshot(struct log_sync *sync)
{
    char path[FILES_PATH_MAX];
    struct file *file = NULL;

    if (sync->snapshot.len == 0) return;
    enum err err = names_segment(path, sync->directory, sync->end, NAMES_PRODUCERS, "");
    if (err == ERR_OK)
        err = files_open(sync->env, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    if (err == ERR_OK) err = file_write_at(sync->env, file, 0, buf_slice(&sync->snapshot));
    file_close(sync->env, &file);
    if (err != ERR_OK) {
        (void)!remove_snapshot(sync->env, sync->directory, sync->end);
        return;
    }
    sync->has_snapshot = true;
    if (sync->snapshot_before >= 0)
        (void)!remove_snapshot(sync->env, sync->directory, sync->snapshot_before);
}

/* One step of files_replace for the small files that are replaced. */
static enum err each_small(const struct log_sync *sync,
                           enum err (*step)(const struct env *env, const char *path))
{
    char path[FILES_PATH_MAX];
    enum err err = ERR_OK;

    if (sync->has_topic_id) err = names_join(path, sync->directory, CHECKPOINT_TOPIC_ID);
    if (err == ERR_OK && sync->has_topic_id) err = step(sync->env, path);
    if (err == ERR_OK && sync->has_epochs)
        err = names_join(path, sync->directory, CHECKPOINT_EPOCHS);
    if (err == ERR_OK && sync->has_epochs) err = step(sync->env, path);
    return err;
}

static bool has_renamed(const struct log_sync *sync)
{
    return sync->has_topic_id || sync->has_epochs;
}

/* Their way to the device begins. */
static void begin(struct log_sync *sync)
{
    sync->err = write_smalls(sync);
    for (int i = 0; sync->err == ERR_OK && i < sync->count; i++)
        (void)!file_write_behind(sync->env, sync->files[i]->file, 0, INT64_MAX);
}

static void await(struct log_sync *sync)
{
    enum err err = sync->err;

    if (err == ERR_OK) err = each_small(sync, files_replace_sync);
    for (int i = 0; err == ERR_OK && i < sync->count; i++)
        if (!planted(sync_skipped)) err = sync_file(sync->env, sync->files[i]->file);
    for (int i = 0; err == ERR_OK && i < sync->small_count; i++)
        err = sync_small(sync, &sync->small[i]);
    sync->err = err;
}

static void await_names(struct log_sync *sync)
{
    bool has_new = has_renamed(sync) && !planted(rename_without_directory_sync);

    if (sync->err == ERR_OK && (sync->syncs_directory || has_new))
        sync->err = files_sync_directory(sync->env, sync->directory);
    if (sync->err == ERR_OK && sync->above != NULL)
        sync->err = files_sync_directory(sync->env, sync->above);
}

void log_syncs_run(struct log_sync *const *syncs, int count)
{
    for (int i = 0; i < count; i++)
        begin(syncs[i]);
    for (int i = 0; i < count; i++)
        await(syncs[i]);
    for (int i = 0; i < count; i++)
        if (syncs[i]->err == ERR_OK) syncs[i]->err = each_small(syncs[i], files_replace_rename);
    for (int i = 0; i < count; i++)
        await_names(syncs[i]);
    for (int i = 0; i < count; i++)
        if (syncs[i]->err == ERR_OK) write_snapshot(syncs[i]);
}

void log_sync_run(struct log_sync *sync)
{
    log_syncs_run(&sync, 1);
}

void log_sync_leave(struct log_sync *sync)
{
    sync->is_left = true;
}

/* A truncation meanwhile may have made it one of another history. */
static void note_snapshot(struct log *log, const struct log_sync *sync)
{
    if (!sync->has_snapshot) return;
    if (sync->snapshot_before >= 0) snapshots_gone(log, sync->snapshot_before);
    if (sync->cuts == log->cuts)
        snapshots_found(log, sync->end);
    else
        (void)!remove_snapshot(log->env, sync->directory, sync->end);
}

enum err log_sync_done(struct log *log, struct log_sync **sync)
{
    struct log_sync *s = *sync;
    enum err err = s->err;

    log->is_syncing = false;
    note_snapshot(log, s);
    if (err == ERR_OK && !s->is_left && s->has_topic_id) {
        log->has_id_file = true;
        atomic_store(&log->is_unnamed, false);
    }
    if (err != ERR_OK || s->is_left) {
        log->epochs_dirty |= s->has_epochs;
        log->topic_id_dirty |= s->has_topic_id;
        log->directory_dirty |= s->syncs_directory;
        log->is_renamed |= s->above != NULL;
    } else if (s->cuts == log->cuts) {
        for (int i = 0; i < log->count && log->segments[i]->base < s->active_base; i++)
            log->segments[i]->synced = log->segments[i]->indexed = log->segments[i]->size;
        for (int i = 0; i < log->snapshot_count; i++)
            log->snapshots[i].is_synced |= log->snapshots[i].offset <= s->end;
        int active = log_floor(log, s->active_base);
        if (s->end > s->active_base && active >= 0 &&
            log->segments[active]->base == s->active_base) {
            log->segments[active]->synced = s->active_size;
            if (s->is_closing) log->segments[active]->indexed = s->active_size;
        }
        if (s->is_point || (log_recovery_point(log) < s->active_base && s->end >= s->active_base))
            atomic_fetch_add(&log->dir->sealed, 1);
        if (log_recovery_point(log) < s->end)
            atomic_store_explicit(&log->recovery_point, s->end, memory_order_relaxed);
    }
    free_sync(sync);
    return log_settle(log, err);
}

enum err log_finish(struct log *log, int64_t now_ms)
{
    struct segment *active = log_active(log);
    struct segment_place place = log_place(log, active->base);
    struct log_sync *sync = NULL;

    if (log_is_offline(log)) return ERR_OFFLINE;
    enum err err = log_settle(log, segment_seal(active, &place, log->was_allocated));
    if (err == ERR_OK) err = log_settle(log, snapshots_take(log, log->end));
    if (err != ERR_OK) return err;
    log->was_allocated = false;
    log->synced_ms = now_ms;
    if (!log_needs_finish(log)) return ERR_OK;
    err = plan(log, log->end, true, &sync);
    if (err != ERR_OK) return err;
    log_sync_run(sync);
    return log_sync_done(log, &sync);
}

bool log_needs_finish(const struct log *log)
{
    const struct segment *active = log_active(log);

    return has_work(log, log->end) || snapshots_wanted(log, log->end) ||
           active->synced < active->size || lacks_indexes(active);
}

enum err log_finish_write(struct log *log, struct log_files *files, int64_t now_ms,
                          struct log_sync **out)
{
    *out = NULL;
    if (log_is_offline(log)) return ERR_OFFLINE;
    log_attach(log, files);
    struct segment_place place = log_place(log, log_active(log)->base);
    enum err err = log_settle(log, segment_seal(log_active(log), &place, log->was_allocated));
    log_detach(log);
    if (err == ERR_OK) err = log_settle(log, snapshots_take(log, log->end));
    if (err != ERR_OK) return err;
    log->was_allocated = false;
    log->synced_ms = now_ms;
    if (!log_needs_finish(log)) return ERR_OK;

    struct log_sync *sync = NULL;
    err = plan(log, log->end, true, &sync);
    if (err != ERR_OK) return err;
    sync->err = write_smalls(sync);
    if (sync->err != ERR_OK) return log_sync_done(log, &sync);
    *out = sync;
    return ERR_OK;
}

bool log_finish_rename(struct log_sync *sync)
{
    log_finish_failed(sync, each_small(sync, files_replace_rename));
    return has_renamed(sync);
}

void log_finish_failed(struct log_sync *sync, enum err err)
{
    if (sync->err == ERR_OK) sync->err = err;
}

/* ---- write-behind ---- */

struct log_slice log_dirty_slice(struct log *log)
{
    struct segment *active = log_active(log);
    struct segment_place place = log_place(log, active->base);
    struct log_slice slice = {0};

    if (log->behind_base != active->base) {
        log->behind_base = active->base;
        log->behind = 0;
    }
    if (log_is_offline(log) || log->behind >= active->size) {
        /* Quiet since the last call: what the indexes hold in memory is not needed soon. */
        if (!log_is_offline(log)) {
            (void)!index_save(&active->offsets, &place, true);
            (void)!index_save(&active->times, &place, true);
        }
        return slice;
    }
    if (segment_use(active, &place, &slice.file) == ERR_OK) {
        slice.position = log->behind;
        slice.len = active->size - log->behind;
        log->behind = active->size;
    }
    return slice;
}

void log_write_behind_run(const struct env *env, const struct log_slice *slice)
{
    if (slice->file != NULL)
        (void)!file_write_behind(env, slice->file->file, (uint64_t)slice->position,
                                 (uint64_t)slice->len);
}
