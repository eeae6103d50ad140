/* broker/log/trim.c - what makes a log shorter: truncation, log start, retention, and the unlinking
 * of what they leave (storage reference §6, §7). */
#include "base/ensure.h"
#include "base/log.h"
#include "base/planted.h"
#include "broker/log/aborted.h"
#include "broker/log/names.h"
#include "broker/log/parts.h"
#include "broker/log/policy.h"
#include "broker/log/snapshots.h"
#include <stdlib.h>

/* ---- deleted segments ---- */

static enum err delete_one(struct log *log, struct segment *segment, bool keeps_producers,
                           int64_t now_ms)
{
    struct segment_place place = log_place(log, segment->base);
    enum err err = segment_mark_deleted(segment, &place, keeps_producers);

    if (err != ERR_OK) return err;
    if (!keeps_producers) snapshots_gone(log, segment->base);
    log->garbage =
        ensure_realloc(log->garbage, (size_t)(log->garbage_count + 1) * sizeof(*log->garbage));
    log->garbage[log->garbage_count++] =
        (struct log_garbage){segment->base, now_ms + log->config.file_delete_delay_ms};
    return ERR_OK;
}

/* The first ones from the first on, the last ones from the last: what a crash in between leaves has
 * no gap. */
enum err log_delete_segments(struct log *log, int from, int n, int64_t now_ms)
{
    bool is_tail = from > 0;
    enum err err = ERR_OK;
    int done = 0;

    for (; done < n; done++) {
        err = delete_one(log, log->segments[is_tail ? from + n - 1 - done : from + done], false,
                         now_ms);
        if (err != ERR_OK) break;
    }
    log_drop_segments(log, is_tail ? from + n - done : from, done);
    log->directory_dirty = true;
    return log_settle(log, err);
}

/* ---- what compaction has written ---- */

static enum err rename_swap(struct log *log, int64_t base)
{
    static const char *const extensions[] = {NAMES_OFFSETS, NAMES_TIMES, NAMES_ABORTED, NAMES_LOG};
    char from[FILES_PATH_MAX], to[FILES_PATH_MAX];
    enum err err = ERR_OK;

    for (size_t i = 0; err == ERR_OK && i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        err = names_segment(from, log->path, base, extensions[i], NAMES_SWAP);
        if (err == ERR_OK) err = names_segment(to, log->path, base, extensions[i], "");
        if (err == ERR_OK) err = files_rename(log->env, from, to);
        if (err == ERR_NOT_FOUND && extensions[i] == extensions[2]) err = ERR_OK;
    }
    return err;
}

/* The last ones first: the first has the base of the new one, which covers all. */
enum err log_replace_segments(struct log *log, int from, int n, struct segment **segment)
{
    int64_t base = (*segment)->base;
    enum err err = ERR_OK;

    ensure(log->segments[from]->base == base && log->swap_base == base);
    for (int i = from + n - 1; err == ERR_OK && i >= from; i--)
        err = delete_one(log, log->segments[i], i == from, env_wall_ms(log->env));
    if (err == ERR_OK) err = rename_swap(log, base);
    log->directory_dirty = true;
    log->swap_base = -1;
    /* Half done it is only for the next start to finish. */
    if (err != ERR_OK) return log_settle(log, ERR_IO);

    log_drop_segments(log, from + 1, n - 1);
    segment_destroy(&log->segments[from]);
    (*segment)->synced = (*segment)->indexed = (*segment)->size;
    log->segments[from] = *segment;
    *segment = NULL;
    return ERR_OK;
}

void log_remove_swap(struct log *log)
{
    static const char *const extensions[] = {NAMES_LOG, NAMES_OFFSETS, NAMES_TIMES, NAMES_ABORTED};
    char path[FILES_PATH_MAX];

    if (log->swap_base < 0) return;
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
        if (names_segment(path, log->path, log->swap_base, extensions[i], NAMES_SWAP) == ERR_OK)
            (void)!files_remove(log->env, path);
    log->swap_base = -1;
    log->directory_dirty = true;
}

struct log_unlink {
    const struct env *env;
    char *directory;
    int64_t *bases;
    int count;
};

struct log_unlink *log_unlink_plan(struct log *log, int64_t now_ms)
{
    int due = 0;

    for (int i = 0; i < log->garbage_count; i++)
        due += log->garbage[i].due_ms <= now_ms;
    if (due == 0) return NULL;

    struct log_unlink *unlink = ensure_zalloc(sizeof(*unlink));
    *unlink = (struct log_unlink){.env = log->env, .directory = ensure_strdup(log->path)};
    unlink->bases = ensure_malloc((size_t)due * sizeof(*unlink->bases));
    int kept = 0;
    for (int i = 0; i < log->garbage_count; i++) {
        if (log->garbage[i].due_ms <= now_ms)
            unlink->bases[unlink->count++] = log->garbage[i].base;
        else
            log->garbage[kept++] = log->garbage[i];
    }
    log->garbage_count = kept;
    if (kept == 0) {
        free(log->garbage);
        log->garbage = NULL;
    }
    return unlink;
}

void log_unlink_run(struct log_unlink *unlink)
{
    static const char *const extensions[] = {NAMES_LOG, NAMES_OFFSETS, NAMES_TIMES, NAMES_ABORTED,
                                             NAMES_PRODUCERS};
    char path[FILES_PATH_MAX];

    /* What stays is found and removed by the next start. */
    for (int i = 0; i < unlink->count; i++)
        for (size_t k = 0; k < sizeof(extensions) / sizeof(extensions[0]); k++)
            if (names_segment(path, unlink->directory, unlink->bases[i], extensions[k],
                              NAMES_DELETED) == ERR_OK)
                (void)!files_remove(unlink->env, path);
}

void log_unlink_done(struct log_unlink **unlink)
{
    if (*unlink == NULL) return;
    free((*unlink)->directory);
    free((*unlink)->bases);
    free(*unlink);
    *unlink = NULL;
}

/* ---- log start ---- */

/* The start moves before anything is removed: nobody reads what is about to go. */
static void move_start(struct log *log, int64_t offset)
{
    if (offset <= log_start_offset(log)) return;
    atomic_store_explicit(&log->start, offset, memory_order_relaxed);
    if (log_recovery_point(log) < offset)
        atomic_store_explicit(&log->recovery_point, offset, memory_order_relaxed);
    if (epochs_truncate_start(&log->epochs, offset)) log->epochs_dirty = true;
}

enum err log_advance_start(struct log *log, int64_t offset)
{
    if (log_is_offline(log)) return ERR_OFFLINE;
    if (offset > log_high_watermark(log)) return ERR_RANGE;
    move_start(log, offset);
    return ERR_OK;
}

/* ---- truncation ---- */

static void clamp_to_end(struct log *log)
{
    if (log_recovery_point(log) > log->end)
        atomic_store_explicit(&log->recovery_point, log->end, memory_order_relaxed);
    if (log_high_watermark(log) > log->end) log_set_high_watermark(log, log->end);
    log_forget_recent(log);
    log->cuts++;
    if (log_cleaned_offset(log) > log_active(log)->base)
        log_set_cleaned_offset(log, log_active(log)->base);
    /* The file says so when it is next written: until then less is known of what is lost. */
    if (log->compacted_to > log->end) log->compacted_to = log->end;
    log->behind = 0;
}

static void cut_epochs(struct log *log, int64_t offset)
{
    if (planted(epochs_not_cut)) return;
    log->epochs_dirty |= epochs_truncate_end(&log->epochs, offset);
}

static void end_at(struct log *log, int64_t offset)
{
    log->end = offset;
    cut_epochs(log, offset);
    if (log_start_offset(log) > offset)
        atomic_store_explicit(&log->start, offset, memory_order_relaxed);
    clamp_to_end(log);
}

enum err log_truncate_to(struct log *log, int64_t offset)
{
    if (log_is_offline(log)) return ERR_OFFLINE;
    if (offset >= log->end) {
        cut_epochs(log, log->end);
        log_uncut(log);
        return log_settle(log, snapshots_reload(log)); /* an earlier truncation may have failed */
    }
    if (offset < log->segments[0]->base) return log_truncate_fully(log, offset, -1);
    log_remove_swap(log); /* else the next start might bring back what is cut now */

    int keep = log_floor(log, offset) + 1;
    enum err err = ERR_OK;
    while (err == ERR_OK && keep < log->count) {
        /* One by one, the end with it: whatever stops the rest, there is no gap. */
        int64_t base = log_active(log)->base;
        err = log_delete_segments(log, log->count - 1, 1, env_wall_ms(log->env));
        log->was_allocated = false;
        if (err != ERR_OK) return err;
        end_at(log, base);
    }
    struct segment *active = log_active(log);
    struct segment_place place = log_place(log, active->base);
    if (err == ERR_OK) err = log_settle(log, segment_truncate(active, &place, offset));
    if (err == ERR_OK && active->has_aborted)
        err = log_settle(log, aborted_truncate(log->env, &place, offset));
    if (err == ERR_CORRUPT) {
        /* What cannot be read cannot be cut at a batch: the disk is not to be trusted. */
        err = log_settle(log, ERR_IO);
    }
    if (err != ERR_OK) return err;

    end_at(log, offset);
    log_publish(log);
    log_uncut(log);
    err = snapshots_drop_above(log, offset);
    if (err == ERR_OK) err = snapshots_reload(log);
    return log_settle(log, err);
}

/* There is no room for an empty segment, where there were some: what they held goes now instead of
 * later, and nothing is allocated ahead. */
static enum err roll_in_freed_room(struct log *log, int64_t offset, int64_t now_ms)
{
    bool preallocates = log->config.preallocate;
    struct log_unlink *unlink = log_unlink_plan(log, INT64_MAX);

    if (unlink != NULL) log_unlink_run(unlink);
    log_unlink_done(&unlink);
    log->config.preallocate = false;
    enum err err = log_roll_at(log, offset, now_ms);
    log->config.preallocate = preallocates;
    return err;
}

/* The new segment is made before the others go, so that where there is no room for it the log stays
 * one: its last segment does, at least. */
static enum err roll_ahead(struct log *log, int64_t offset, int64_t now_ms)
{
    enum err err = log_roll_at(log, offset, now_ms);

    if (err == ERR_FULL) {
        err = log_delete_segments(log, 0, log->count - 1, now_ms);
        move_start(log, log->segments[0]->base);
        if (err == ERR_OK) err = roll_in_freed_room(log, offset, now_ms);
    }
    if (err == ERR_OK) log->end = offset;
    return err;
}

enum err log_truncate_fully(struct log *log, int64_t offset, int64_t start)
{
    int64_t now_ms = env_wall_ms(log->env);
    bool is_ahead = offset > log->end;

    if (log_is_offline(log)) return ERR_OFFLINE;
    log_remove_swap(log);
    enum err err = is_ahead ? roll_ahead(log, offset, now_ms) : ERR_OK;
    if (err != ERR_OK) return err;
    int kept = is_ahead ? 1 : 0;
    err = log_delete_segments(log, 0, log->count - kept, now_ms);
    if (err != ERR_OK && log->count > kept) {
        move_start(log, log->segments[0]->base);
        return err;
    }
    if (!is_ahead) log->was_allocated = false;
    producers_clear(&log->producers);
    log->noted = 0;
    if (err == ERR_OK) err = log_settle(log, snapshots_drop_above(log, -1));
    if (err == ERR_OK && !is_ahead) err = log_roll_at(log, offset, now_ms);
    if (err == ERR_FULL)
        err = is_ahead ? snapshots_drop_above(log, -1) : roll_in_freed_room(log, offset, now_ms);
    if (err != ERR_OK) {
        /* A log without a segment is no log; this one, which nobody reads, is for who asks where it
         * ends. */
        if (log->count == 0) log_add_segment(log, segment_open(offset, 0));
        log->end = offset;
        atomic_store_explicit(&log->start, offset, memory_order_relaxed);
        log_publish(log);
        clamp_to_end(log);
        return log_settle(log, ERR_IO);
    }

    log->end = offset;
    log->epochs_dirty |= epochs_clear(&log->epochs);
    atomic_store_explicit(&log->start, start < 0 ? offset : start, memory_order_relaxed);
    if (log_recovery_point(log) > offset)
        atomic_store_explicit(&log->recovery_point, offset, memory_order_relaxed);
    log_set_high_watermark(log, offset);
    clamp_to_end(log);
    log_uncut(log);
    log_tell(log);
    return ERR_OK;
}

/* ---- retention ---- */

int64_t log_modified_ms(const struct log *log, const struct segment *segment, int64_t now_ms)
{
    struct file_status status;
    char path[FILES_PATH_MAX];

    if (names_segment(path, log->path, segment->base, NAMES_LOG, "") != ERR_OK ||
        files_status(log->env, path, &status) != ERR_OK)
        return now_ms;
    return status.modified_ms;
}

static struct policy_segment *facts(const struct log *log, int64_t now_ms)
{
    struct policy_segment *facts = ensure_malloc((size_t)log->count * sizeof(*facts));
    bool needs_time = log->config.is_deleted && log->config.retention_ms >= 0;

    for (int i = 0; i < log->count; i++) {
        const struct segment *segment = log->segments[i];
        int64_t largest = segment->max_timestamp;
        if (largest < 0)
            largest = needs_time && segment->size > 0 ? log_modified_ms(log, segment, now_ms) : 0;
        facts[i] = (struct policy_segment){segment->base, segment->size, largest};
    }
    return facts;
}

static int count_due(const struct log *log, int64_t now_ms)
{
    struct policy_segment *segments = facts(log, now_ms);
    int gone = policy_retention(&log->config, segments, log->count, log_start_offset(log), log->end,
                                log_high_watermark(log), now_ms);

    free(segments);
    return gone;
}

bool log_has_true_times(struct log *log, struct segment *segment)
{
    struct segment_place place = log_place(log, segment->base);

    if (segment_has_true_times(segment, &place)) return true;
    log_warn("log", "times_not_believed", "path=%s/%020lld" NAMES_TIMES " timestamp=%lld",
             log->path, (long long)segment->base, (long long)segment->max_timestamp);
    segment->max_timestamp = segment->max_timestamp_offset = -1;
    return false;
}

/* Whether the times of the first `n` can be believed, as far as they make them due. */
static bool are_due(struct log *log, int n, int64_t now_ms)
{
    bool are_true = true;

    for (int i = 0; i < n; i++) {
        struct segment *segment = log->segments[i];
        if (segment->max_timestamp >= 0 && log->config.is_deleted &&
            now_ms - segment->max_timestamp > log->config.retention_ms)
            are_true &= log_has_true_times(log, segment);
    }
    return are_true;
}

enum err log_retain(struct log *log, int64_t now_ms, int *removed)
{
    enum err err = ERR_OK;

    if (log_is_offline(log)) return ERR_OFFLINE;
    /* The common case, an idle empty log, costs nothing. */
    if (log->count == 1 && log_active(log)->size == 0) {
        *removed = 0;
        return ERR_OK;
    }
    int gone = count_due(log, now_ms);
    if (gone > 0 && log->config.retention_ms >= 0 && !are_due(log, gone, now_ms))
        gone = count_due(log, now_ms);
    if (gone > 0 && gone == log->count) err = log_roll(log, now_ms);
    if (err == ERR_OK && gone > 0) {
        move_start(log, log->segments[gone]->base);
        err = log_delete_segments(log, 0, gone, now_ms);
        log_publish(log);
    }
    if (err == ERR_OK) *removed = gone;
    return err;
}

/* ---- find by file times ---- */

int log_offsets_before(struct log *log, int64_t timestamp, int max, int64_t *out)
{
    int64_t now_ms = env_wall_ms(log->env), start = log_start_offset(log);
    int n = 0;

    if (timestamp == -2) {
        if (max > 0) out[n++] = start;
        return n;
    }
    /* An active segment without records ends where it begins: one entry, not two. */
    if (n < max && log_active(log)->size > 0 && (timestamp == -1 || now_ms <= timestamp))
        out[n++] = log->end;
    for (int i = log->count - 1; i >= 0 && n < max; i--) {
        const struct segment *segment = log->segments[i];
        int64_t base = segment->base > start ? segment->base : start;
        if (timestamp == -1 || log_modified_ms(log, segment, now_ms) <= timestamp) out[n++] = base;
    }
    return n;
}
