/* broker/log/future.c - see future.h. */
#include "broker/log/future.h"
#include "base/ensure.h"
#include "broker/log/names.h"
#include "broker/log/parts.h"
#include <stdlib.h>

struct future_step {
    const struct env *env;
    struct log *current, *future; /* of the current one nothing is touched while it runs */
    enum future_do what;
    int64_t offset;
    struct log_slice slice;
    int64_t end, start, high_watermark; /* of the current one, as planned */
    struct log_config config;
    struct future_result result;
};

bool log_is_future(const struct log *log)
{
    return log->is_future;
}

/* ---- what both have ---- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t future_common(const struct log *current, const struct log *future)
{
    int64_t end = least(current->end, future->end);
    struct epoch_entry latest = epochs_latest(&future->epochs);

    if (latest.epoch < 0) return end;
    struct epoch_end theirs = epochs_end_of(&current->epochs, latest.epoch, current->end);
    if (theirs.epoch == latest.epoch) return least(end, theirs.end_offset);
    /* The current one has lost what that epoch wrote. Where not even an earlier one is known to
     * both, nothing above the watermark is. */
    struct epoch_end ours = epochs_end_of(&future->epochs, theirs.epoch, future->end);
    if (theirs.epoch < 0 || ours.epoch < 0) return least(end, log_high_watermark(future));
    return least(end, least(theirs.end_offset, ours.end_offset));
}

int64_t future_gap(struct log *current, const struct log *future, int64_t bytes_max)
{
    struct log_position from;
    int64_t gap = 0;
    int i = current->count;

    if (future->end >= current->end) return 0;
    /* From the end on: where it is much, nothing needs to be looked up. */
    while (i > 0 && current->segments[i - 1]->base > future->end && gap <= bytes_max)
        gap += current->segments[--i]->size;
    if (i == 0 || gap > bytes_max || log_locate(current, future->end, &from) != ERR_OK)
        return INT64_MAX;
    if (from.segment_base == current->segments[i - 1]->base)
        gap += current->segments[i - 1]->size - from.position;
    return gap > bytes_max ? INT64_MAX : gap;
}

/* ---- a step ---- */

enum err future_plan(struct log *current, struct log *future, enum future_do what, int64_t offset,
                     int64_t bytes_max, struct future_step **out)
{
    struct future_step *step;
    struct log_slice slice = {0};

    bool copies = what == FUTURE_COPY || what == FUTURE_REST;
    if (!copies && offset < future->end && !log_may_cut(future, offset)) return ERR_BUSY;
    if (copies) {
        const struct log_read read = {.offset = future->end,
                                      .bytes_max = bytes_max,
                                      .at_least_one = true,
                                      .limit = log_end_position(current)};
        enum err err = log_read(current, &read, &slice);
        if (err != ERR_OK) return err;
    }
    step = ensure_zalloc(sizeof(*step));
    *step = (struct future_step){
        .env = current->env,
        .current = current,
        .future = future,
        .what = what,
        .offset = offset,
        .slice = slice,
        .end = current->end,
        .start = log_start_offset(current),
        .high_watermark = log_high_watermark(current),
        .config = current->config,
    };
    /* What goes is what has gone from the current one, no more. */
    step->config.is_deleted = false;
    *out = step;
    return ERR_OK;
}

/* The batch that has the offset at which `future` begins or was cut begins before it. */
static enum err begin_in_batch(struct log *future, const struct check_run *run)
{
    if (run->first_offset >= future->end || run->last_offset < future->end) return ERR_OK;
    if (future->end == log_start_offset(future))
        return log_truncate_fully(future, run->first_offset, -1);
    return log_truncate_to(future, run->first_offset);
}

static enum err append(struct future_step *step, struct slice bytes)
{
    struct log_appended appended;
    struct check_run run;

    while (bytes.len > 0) {
        enum err err = check_replicated(bytes, &run);
        if (err == ERR_OK && run.batches > 0) err = begin_in_batch(step->future, &run);
        if (err == ERR_OK)
            err = log_append_follower(step->future, bytes, env_wall_ms(step->env), &appended);
        if (err == ERR_TRUNCATED) return ERR_OK; /* the rest is of a batch */
        if (err == ERR_RANGE) return ERR_CORRUPT;
        if (err != ERR_OK) return err;
        step->result.bytes += (int64_t)appended.len;
        bytes = slice_of(bytes.ptr + appended.len, bytes.len - appended.len);
    }
    return ERR_OK;
}

/* Compaction has left no record up to the end: so the next one is there. */
static enum err skip(struct future_step *step)
{
    struct log *future = step->future;

    if (future->end >= step->end) return ERR_OK;
    if (future->end == log_start_offset(future) && log_active(future)->size == 0)
        return log_truncate_fully(future, step->end, -1);
    enum err err = log_roll_at(future, step->end, env_wall_ms(step->env));
    if (err != ERR_OK) return err;
    future->end = step->end;
    log_tell(future);
    return ERR_OK;
}

static enum err copy(struct future_step *step)
{
    size_t n = 0;

    if (step->slice.len == 0) return skip(step);
    uint8_t *bytes = ensure_malloc((size_t)step->slice.len);
    enum err err = file_read_at(step->env, log_slice_file(&step->slice),
                                (uint64_t)step->slice.position, bytes, (size_t)step->slice.len, &n);
    if (err != ERR_OK)
        step->result.of_current = true;
    else
        err = append(step, slice_of(bytes, n));
    free(bytes);
    return err;
}

/* What waits for nobody: segments that are complete are synced, pages go to the device before there
 * are many, files that were cut off are removed. */
static enum err keep(struct log *future)
{
    const struct env *env = future->env;
    int64_t now_ms = env_wall_ms(env);
    struct log_sync *sync = NULL;
    int removed = 0;
    enum err err = ERR_OK;

    if (log_start_offset(future) > future->segments[0]->base)
        err = log_retain(future, now_ms, &removed);
    if (err == ERR_OK && log_recovery_point(future) < log_active(future)->base)
        err = log_sync_plan_sealed(future, now_ms, &sync);
    if (err == ERR_OK && sync != NULL) {
        log_sync_run(sync);
        err = log_sync_done(future, &sync);
    }
    struct log_slice dirty = log_dirty_slice(future);
    log_write_behind_run(env, &dirty);
    log_slice_release(&dirty);
    struct log_unlink *unlink = log_unlink_plan(future, now_ms);
    if (unlink != NULL) log_unlink_run(unlink);
    log_unlink_done(&unlink);
    return err;
}

/* Watermark and start follow those of the current log. */
static enum err follow(const struct future_step *step)
{
    struct log *future = step->future;
    int64_t watermark = least(step->high_watermark, future->end);

    if (watermark < log_start_offset(future)) watermark = log_start_offset(future);
    log_set_high_watermark(future, watermark);
    if (step->start <= log_start_offset(future)) return ERR_OK;
    return log_advance_start(future, least(step->start, watermark));
}

void future_run(struct future_step *step)
{
    struct log *future = step->future;
    enum err err = ERR_OK;

    log_set_config(future, &step->config);
    switch (step->what) {
    case FUTURE_COPY:
    case FUTURE_REST:
        err = copy(step);
        break;
    case FUTURE_CUT:
        err = log_truncate_to(future, step->offset);
        break;
    case FUTURE_RESTART:
        err = log_truncate_fully(future, step->offset, -1);
        break;
    }
    if (err == ERR_OK) err = follow(step);
    if (err == ERR_OK && step->what != FUTURE_REST) err = keep(future);
    step->result.err = err;
}

struct future_result future_done(struct future_step **step)
{
    struct future_step *s = *step;
    struct future_result result = s->result;

    log_slice_release(&s->slice);
    result.err = log_settle(result.of_current ? s->current : s->future, result.err);
    free(s);
    *step = NULL;
    return result;
}

/* ---- the place ---- */

void future_take_over(const struct log *current, struct log *future)
{
    ensure(future->end == current->end);
    if (!epochs_equal(&future->epochs, &current->epochs)) {
        epochs_fini(&future->epochs);
        epochs_init(&future->epochs);
        epochs_copy(&future->epochs, &current->epochs);
        future->epochs_dirty = true;
    }
    if (!uuid_equal(future->topic_id, current->topic_id)) {
        future->topic_id = current->topic_id;
        future->topic_id_dirty = true;
        future->has_id_file = false;
    }
}

static const char *own_name(const struct log *log)
{
    return strrchr(log->path, '/') + 1;
}

static enum err rename_to(struct log *log, const char *name)
{
    char path[FILES_PATH_MAX];

    enum err err = names_join(path, log->dir->path, name);
    if (err != ERR_OK) return err;
    err = log_settle(log, files_rename(log->env, log->path, path));
    if (err == ERR_OK) log_move(log, path);
    return err;
}

enum err future_set_aside(struct log *current, const struct log *future)
{
    struct names_directory parsed;
    char name[NAMES_MAX + 1];

    if (log_is_offline(current)) return ERR_OFFLINE;
    ensure(names_parse_directory(own_name(future), &parsed) && parsed.kind == NAMES_FUTURE);
    enum err err = names_deleting_for(name, current->topic, current->partition, parsed.unique);
    return err == ERR_OK ? rename_to(current, name) : err;
}

enum err future_set_back(struct log *current)
{
    char name[NAMES_MAX + 1];

    if (log_is_offline(current)) return ERR_OFFLINE;
    enum err err = names_live(name, current->topic, current->partition);
    return err == ERR_OK ? rename_to(current, name) : err;
}

enum err future_take_place(struct log *current, struct log *future)
{
    char name[NAMES_MAX + 1];

    ensure(future->end == current->end);
    ensure(log_recovery_point(future) >= log_recovery_point(current));
    if (log_is_offline(future)) return ERR_OFFLINE;
    enum err err = names_live(name, current->topic, current->partition);
    if (err == ERR_OK) err = rename_to(future, name);
    if (err != ERR_OK) return err;

    future->is_future = false;
    future->is_renamed = true;
    future_take_over(current, future);
    /* The same batches: but who wrote nothing that is still there is known only to the old one. */
    producers_swap(&future->producers, &current->producers);
    int64_t noted = future->noted;
    future->noted = current->noted;
    current->noted = noted;
    future->config = current->config;
    int64_t start = log_start_offset(current);
    if (start > log_start_offset(future)) {
        atomic_store_explicit(&future->start, start, memory_order_relaxed);
        if (log_recovery_point(future) < start)
            atomic_store_explicit(&future->recovery_point, start, memory_order_relaxed);
    }
    atomic_store_explicit(&future->promised, log_promised(current), memory_order_relaxed);
    log_set_high_watermark(future, log_high_watermark(current));
    /* Compacted as far, but segments end elsewhere: the active one is never compacted. */
    log_set_cleaned_offset(future, least(log_cleaned_offset(current), log_active(future)->base));
    future->is_uncleanable = current->is_uncleanable;
    log_uncut(future);
    log_publish(future);
    return ERR_OK;
}
