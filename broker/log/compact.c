#include "broker/log/compact.h"
#include "base/ensure.h"
#include "base/log.h"
#include "broker/log/aborted.h"
#include "broker/log/filter.h"
#include "broker/log/names.h"
#include "broker/log/snapshots.h"
#include <stdlib.h>

#define READ_BYTES      (1 << 20)   /* grows for a larger batch */
#define WRITE_BYTES     (64 * 1024) /* one write and at most one index entry */
#define INFLATED_MAX    ((size_t)256 << 20)
#define FILES_MAX       8
#define BATCH_BYTES_MAX ((int64_t)1 << 30)

/* A sealed segment as it was at the start; sealed ones do not change. */
struct source {
    int64_t base, end, size;
    bool has_aborted;
};

enum stage {
    STAGE_BEGIN,
    STAGE_GATHER,
    STAGE_REWRITE,
    STAGE_WRITTEN,  /* a segment is whole and synced: compact_done gives it its .swap name */
    STAGE_SWAPPING, /* that name is synced, then compact_done has it take its place */
    STAGE_FAILED,
};

struct compact {
    const struct env *env;
    enum stage stage;
    enum err err;
    struct log_config config;
    struct compact_settings settings;
    char *path;
    uint32_t cuts;        /* of the log, at the start */
    int64_t compacted_to; /* what NAMES_COMPACTED says by now, see log.compacted_to */
    int64_t now_ms, first_dirty;
    struct source *sources;
    int count;
    struct filter_producer *producers;
    int producer_count;
    struct epochs epochs;
    struct aborted *aborted;
    int aborted_count;

    struct log_files *files; /* of the jobs */
    struct keys keys;
    struct filter filter; /* of the walk that is under way */
    bool has_filter;
    int64_t latest; /* everything up to it has been gathered */
    int64_t old_horizon_ms;

    /* the walk */
    int at; /* source */
    int64_t position;
    struct file *file;
    struct buf in, out;
    int64_t step_bytes;

    /* the group: sources group_from … group_to − 1, written into `segment` */
    int group_from, group_to;
    struct segment *segment;
    int64_t next_offset; /* after what was written */
    struct buf pending;  /* of `segment`, not yet written */
    struct segment_chunk chunk;
    int kept_written;

    struct compact_work work;
};

/* ---- what there is to do ---- */

/* The first segment that is not to be cleaned: active, not decided, or too young. */
static int first_uncleanable(const struct log *log, int64_t first_dirty, int64_t now_ms)
{
    int64_t stable = log_last_stable(log, log_high_watermark(log));
    int64_t bound = log_active(log)->base;

    if (stable < bound) bound = stable;
    if (log->config.compaction_lag_ms_min > 0) {
        for (int i = 0; i + 1 < log->count; i++) {
            const struct segment *segment = log->segments[i];
            if (log_upper(log, i) <= first_dirty) continue;
            if (segment->max_timestamp > now_ms - log->config.compaction_lag_ms_min) {
                if (segment->base < bound) bound = segment->base;
                break;
            }
        }
    }
    if (bound < first_dirty) bound = first_dirty;
    int at = log_floor(log, bound);
    return at < 0 ? 0 : at >= log->count - 1 ? log->count - 1 : at;
}

static int64_t dirty_from(const struct log *log)
{
    int64_t cleaned = log_cleaned_offset(log);
    bool is_stale = cleaned < log_start_offset(log) || cleaned > log->end;

    return is_stale ? log_start_offset(log) : cleaned;
}

struct compact_need compact_need(struct log *log, int64_t now_ms)
{
    struct compact_need need = {0};
    int64_t clean = 0, dirty = 0, oldest = INT64_MAX;

    if (!log->config.is_compacted || log->is_uncleanable || log_is_offline(log)) return need;
    int64_t first_dirty = dirty_from(log);
    int end = first_uncleanable(log, first_dirty, now_ms);
    for (int i = 0; i < end; i++) {
        const struct segment *segment = log->segments[i];
        if (log_upper(log, i) <= first_dirty) {
            clean += segment->size;
            continue;
        }
        dirty += segment->size;
        if (segment->first_timestamp > 0 && segment->first_timestamp < oldest)
            oldest = segment->first_timestamp;
    }
    if (dirty == 0) return need;
    need.dirty_ratio = (double)dirty / (double)(clean + dirty);
    bool is_overdue = log->config.compaction_lag_ms_max < INT64_MAX && oldest < INT64_MAX &&
                      oldest < now_ms - log->config.compaction_lag_ms_max;
    need.is_due = is_overdue || need.dirty_ratio > log->config.cleanable_ratio_min;
    return need;
}

/* ---- start ---- */

static void take_producers(struct compact *compact, const struct log *log)
{
    int32_t count = log->producers.count;

    if (count == 0) return;
    compact->producers = ensure_malloc((size_t)count * sizeof(*compact->producers));
    compact->producer_count = count;
    for (int32_t i = 0; i < count; i++) {
        struct producers_view view = producers_at(&log->producers, i);
        compact->producers[i] =
            (struct filter_producer){view.producer_id, view.last_offset, view.epoch};
    }
}

enum err compact_start(struct log *log, const struct compact_settings *settings, int64_t now_ms,
                       struct compact **out)
{
    int64_t first_dirty = dirty_from(log);
    uint64_t secret[2];

    *out = NULL;
    if (log_is_offline(log)) return ERR_OFFLINE;
    int count = first_uncleanable(log, first_dirty, now_ms);
    if (count == 0 || log_upper(log, count - 1) <= first_dirty) return ERR_OK;

    struct compact *compact = ensure_zalloc(sizeof(*compact));
    *compact = (struct compact){
        .env = log->env,
        .config = log->config,
        .settings = *settings,
        .path = ensure_strdup(log->path),
        .cuts = log->cuts,
        .compacted_to = log->compacted_to,
        .now_ms = now_ms,
        .first_dirty = first_dirty,
        .count = count,
        .latest = first_dirty - 1,
        .files = log_files_create(log->env, FILES_MAX),
    };
    compact->sources = ensure_malloc((size_t)count * sizeof(*compact->sources));
    for (int i = 0; i < count; i++)
        compact->sources[i] =
            (struct source){log->segments[i]->base, log_upper(log, i), log->segments[i]->size,
                            log->segments[i]->has_aborted};
    take_producers(compact, log);
    epochs_init(&compact->epochs);
    epochs_copy(&compact->epochs, &log->epochs);
    secret[0] = env_random(log->env, "compact");
    secret[1] = env_random(log->env, "compact");
    keys_init(&compact->keys, secret, settings->dedupe_bytes_max, settings->load_max);
    *out = compact;
    return ERR_OK;
}

/* ---- reading ---- */

static struct segment_place place_of(const struct compact *compact, int64_t base,
                                     const char *suffix)
{
    return (struct segment_place){compact->files, compact->path, base, suffix};
}

static void close_source(struct compact *compact)
{
    file_close(compact->env, &compact->file);
    compact->position = 0;
}

static enum err open_source(struct compact *compact)
{
    char path[FILES_PATH_MAX];

    if (compact->file != NULL) return ERR_OK;
    enum err err =
        names_segment(path, compact->path, compact->sources[compact->at].base, NAMES_LOG, "");
    if (err == ERR_OK) err = files_open(compact->env, path, FILE_READ, &compact->file);
    compact->position = 0;
    buf_clear(&compact->in);
    return err;
}

/* Fills `in` with whole batches from `position` on, at least one. */
static enum err fill(struct compact *compact, int64_t size)
{
    size_t wanted = READ_BYTES, n = 0;
    struct scan_batch head;

    for (;;) {
        if ((int64_t)wanted > size - compact->position) wanted = (size_t)(size - compact->position);
        buf_clear(&compact->in);
        enum err err = file_read_at(compact->env, compact->file, (uint64_t)compact->position,
                                    buf_reserve(&compact->in, wanted), wanted, &n);
        if (err != ERR_OK) return err;
        compact->in.len = n;
        compact->step_bytes += (int64_t)n;
        err = scan_head(buf_slice(&compact->in), &head);
        if (err != ERR_OK) return ERR_CORRUPT;
        if (head.size <= (int64_t)n) return ERR_OK;
        if (n < wanted || head.size > BATCH_BYTES_MAX || head.size > size - compact->position)
            return ERR_CORRUPT;
        wanted = (size_t)head.size;
    }
}

/* Hands each whole batch of the step over. `each` false: enough. */
static enum err walk(struct compact *compact,
                     enum err (*each)(struct compact *compact, const struct scan_batch *head,
                                      struct slice batch, bool *is_over),
                     bool *is_over)
{
    const struct source *source = &compact->sources[compact->at];
    struct scan_batch head;

    enum err err = open_source(compact);
    while (err == ERR_OK && !*is_over && compact->position < source->size &&
           compact->step_bytes < (int64_t)compact->settings.step_bytes) {
        err = fill(compact, source->size);
        struct slice rest = buf_slice(&compact->in);
        while (err == ERR_OK && !*is_over && rest.len > 0 && scan_head(rest, &head) == ERR_OK &&
               head.size <= (int64_t)rest.len) {
            struct slice batch = slice_of(rest.ptr, (size_t)head.size);
            if (!scan_is_intact(batch)) err = ERR_CORRUPT;
            if (err == ERR_OK) err = each(compact, &head, batch, is_over);
            rest = slice_of(rest.ptr + head.size, rest.len - (size_t)head.size);
            compact->position += head.size;
        }
    }
    return err;
}

/* ---- gather ---- */

static void new_filter(struct compact *compact)
{
    if (compact->has_filter) filter_fini(&compact->filter);
    filter_init(&compact->filter, &(struct filter_options){
                                      .keys = &compact->keys,
                                      .first_dirty = compact->first_dirty,
                                      .latest = compact->latest,
                                      .now_ms = compact->now_ms,
                                      .delete_retention_ms = compact->config.delete_retention_ms,
                                      .aborted = compact->aborted,
                                      .aborted_count = compact->aborted_count,
                                      .producers = compact->producers,
                                      .producer_count = compact->producer_count,
                                      .epochs = &compact->epochs,
                                      .inflated_max = INFLATED_MAX,
                                  });
    compact->has_filter = true;
}

/* The aborted transactions of the whole log, and when the clean part was last written: before that
 * old tombstones may go. */
static enum err begin(struct compact *compact)
{
    struct file_status status;
    char path[FILES_PATH_MAX];
    enum err err = ERR_OK;

    compact->old_horizon_ms = INT64_MIN;
    for (int i = 0; err == ERR_OK && i < compact->count; i++) {
        const struct source *source = &compact->sources[i];
        struct segment_place place = place_of(compact, source->base, NULL);
        struct aborted *entries = NULL;
        int n = 0;
        if (source->has_aborted) {
            err = aborted_read(compact->env, &place, &entries, &n);
            compact->aborted =
                ensure_realloc(compact->aborted, (size_t)(compact->aborted_count + n + 1) *
                                                     sizeof(*compact->aborted));
            if (n > 0)
                memcpy(compact->aborted + compact->aborted_count, entries,
                       (size_t)n * sizeof(*entries));
            compact->aborted_count += n;
            free(entries);
        }
        if (err == ERR_OK && source->end <= compact->first_dirty) {
            err = names_segment(path, compact->path, source->base, NAMES_LOG, "");
            if (err == ERR_OK) err = files_status(compact->env, path, &status);
            if (err == ERR_OK)
                compact->old_horizon_ms = status.modified_ms - compact->config.delete_retention_ms;
        }
        compact->at = source->end <= compact->first_dirty ? i + 1 : compact->at;
    }
    new_filter(compact);
    return err;
}

static enum err gather(struct compact *compact, const struct scan_batch *head, struct slice batch,
                       bool *is_full)
{
    if (head->last_offset < compact->first_dirty) return ERR_OK;
    return filter_gather(&compact->filter, head, batch, &compact->latest, is_full);
}

/* It was sealed, and may not have been synced since. For what a record of it is newer than goes,
 * and would be missed if only that was left. */
static enum err sync_source(struct compact *compact)
{
    enum err err = open_source(compact);

    if (err != ERR_OK || file_sync(compact->env, compact->file) == ERR_OK) return err;
    file_drop_cached(compact->env, compact->file); /* see log_sync_run */
    return ERR_IO;
}

static void next_group(struct compact *compact);

static enum err gather_step(struct compact *compact)
{
    bool is_full = false;
    enum err err = walk(compact, gather, &is_full);

    if (err != ERR_OK) return err;
    bool is_read = compact->position >= compact->sources[compact->at].size;
    if (is_full || is_read) err = sync_source(compact);
    if (err != ERR_OK) return err;
    if (!is_full && is_read) {
        /* What follows in the log follows in offsets. */
        compact->latest = compact->sources[compact->at].end - 1;
        close_source(compact);
        compact->at++;
    }
    if (is_full || compact->at == compact->count) {
        close_source(compact);
        compact->work.end_offset = compact->latest + 1;
        compact->stage = STAGE_REWRITE;
        new_filter(compact);
        compact->group_to = 0;
        next_group(compact);
    }
    return ERR_OK;
}

/* ---- rewrite ---- */

/* As many segments as fit into one. Their indexes need not be counted: ours has at most an entry
 * per WRITE_BYTES. */
static void next_group(struct compact *compact)
{
    int64_t size = 0;
    int from = compact->group_to, to = from;

    while (
        to < compact->count && compact->sources[to].base <= compact->latest &&
        (to == from || (size + compact->sources[to].size <= compact->config.segment_bytes_max &&
                        compact->sources[to].end - 1 - compact->sources[from].base <= INT32_MAX))) {
        size += compact->sources[to].size;
        to++;
    }
    compact->group_from = from;
    compact->group_to = to;
    compact->at = from;
    compact->work.bytes_before += size;
    compact->work.segments_before += to - from;
}

static enum err write_pending(struct compact *compact)
{
    struct segment_place place = place_of(compact, compact->segment->base, NAMES_CLEANED);

    if (compact->pending.len == 0) return ERR_OK;
    compact->chunk.bytes = buf_slice(&compact->pending);
    enum err err = segment_append(compact->segment, &place, &compact->chunk,
                                  compact->config.index_interval_bytes);
    compact->step_bytes += (int64_t)compact->pending.len;
    buf_clear(&compact->pending);
    return err;
}

static enum err rewrite(struct compact *compact, const struct scan_batch *head, struct slice batch,
                        bool *is_over)
{
    struct scan_batch written;

    (void)is_over;
    buf_clear(&compact->out);
    enum err err = filter_batch(&compact->filter, head, batch, &compact->out);
    if (err != ERR_OK || compact->out.len == 0) return err;
    err = scan_head(buf_slice(&compact->out), &written);
    ensure(err == ERR_OK && written.size == (int64_t)compact->out.len);
    if (compact->pending.len == 0)
        compact->chunk = (struct segment_chunk){.max_timestamp = -1, .max_timestamp_offset = -1};
    buf_add_slice(&compact->pending, buf_slice(&compact->out));
    compact->chunk.last_offset = written.last_offset;
    if (written.max_timestamp > compact->chunk.max_timestamp) {
        compact->chunk.max_timestamp = written.max_timestamp;
        compact->chunk.max_timestamp_offset = written.last_offset;
    }
    return compact->pending.len >= WRITE_BYTES ? write_pending(compact) : ERR_OK;
}

static enum err create_segment(struct compact *compact)
{
    struct segment_place place =
        place_of(compact, compact->sources[compact->group_from].base, NAMES_CLEANED);

    compact->kept_written = compact->filter.kept_count;
    return segment_create(&place, 0, &compact->segment);
}

static enum err sync_one(struct compact *compact, const char *extension)
{
    char path[FILES_PATH_MAX];
    struct file *file = NULL;

    enum err err =
        names_segment(path, compact->path, compact->segment->base, extension, NAMES_CLEANED);
    if (err == ERR_OK) err = files_open(compact->env, path, FILE_WRITE, &file);
    if (err == ERR_OK && file_sync(compact->env, file) != ERR_OK) err = ERR_IO;
    file_close(compact->env, &file);
    return err;
}

/* It counts as written when the last of its sources was: retention, and the tombstones of old
 * formats, go by that where records have no timestamps. */
static enum err keep_time(const struct compact *compact)
{
    static const char *const extensions[] = {NAMES_LOG, NAMES_OFFSETS, NAMES_TIMES};
    int64_t last = compact->sources[compact->group_to - 1].base;
    struct file_status status;
    char path[FILES_PATH_MAX];

    enum err err = names_segment(path, compact->path, last, NAMES_LOG, "");
    if (err == ERR_OK) err = files_status(compact->env, path, &status);
    for (size_t i = 0; err == ERR_OK && i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        err = names_segment(path, compact->path, compact->segment->base, extensions[i],
                            NAMES_CLEANED);
        if (err == ERR_OK) err = files_set_modified(compact->env, path, status.modified_ms);
    }
    return err;
}

/* That segments end before the next ones is no loss up to the end of the group: all of that is on
 * the device by now, the sources too, should they stay. */
static enum err say_compacted(struct compact *compact)
{
    int64_t end = compact->sources[compact->group_to - 1].end;

    if (end <= compact->compacted_to) return ERR_OK;
    enum err err = log_say_compacted(compact->env, compact->path, end);
    if (err == ERR_OK) compact->compacted_to = end;
    return err;
}

/* The new segment is whole and on the device, under its first name. */
static enum err finish_segment(struct compact *compact)
{
    struct segment *segment = compact->segment;
    struct segment_place place = place_of(compact, segment->base, NAMES_CLEANED);

    enum err err = write_pending(compact);
    for (int i = compact->kept_written; err == ERR_OK && i < compact->filter.kept_count; i++) {
        err = aborted_add(compact->env, &place, &compact->filter.kept[i]);
        segment->has_aborted = true;
    }
    if (err == ERR_OK) err = segment_seal(segment, &place, false);
    if (err == ERR_OK) err = keep_time(compact);
    if (err == ERR_OK) err = sync_one(compact, NAMES_LOG);
    if (err == ERR_OK) err = sync_one(compact, NAMES_OFFSETS);
    if (err == ERR_OK) err = sync_one(compact, NAMES_TIMES);
    if (err == ERR_OK && segment->has_aborted) err = sync_one(compact, NAMES_ABORTED);
    if (err == ERR_OK) err = files_sync_directory(compact->env, compact->path);
    if (err == ERR_OK) err = say_compacted(compact);
    handles_forget(&segment->slot);
    handles_forget(&segment->offsets.slot);
    handles_forget(&segment->times.slot);
    compact->work.bytes_after += segment->size;
    compact->work.segments_after++;
    return err;
}

static enum err old_tombstones(struct compact *compact)
{
    struct file_status status;
    char path[FILES_PATH_MAX];

    if (compact->position > 0) return ERR_OK;
    enum err err =
        names_segment(path, compact->path, compact->sources[compact->at].base, NAMES_LOG, "");
    if (err == ERR_OK) err = files_status(compact->env, path, &status);
    if (err == ERR_OK)
        compact->filter.options.keeps_old_tombstones = status.modified_ms > compact->old_horizon_ms;
    return err;
}

static enum err rewrite_step(struct compact *compact)
{
    bool is_over = false;

    enum err err = compact->segment == NULL ? create_segment(compact) : ERR_OK;
    if (err == ERR_OK) err = old_tombstones(compact);
    if (err == ERR_OK) err = walk(compact, rewrite, &is_over);
    if (err != ERR_OK || compact->position < compact->sources[compact->at].size) return err;
    close_source(compact);
    compact->at++;
    if (compact->at < compact->group_to) return ERR_OK;
    err = finish_segment(compact);
    if (err == ERR_OK) compact->stage = STAGE_WRITTEN;
    return err;
}

void compact_run(struct compact *compact)
{
    enum err err = ERR_OK;

    compact->step_bytes = 0;
    switch (compact->stage) {
    case STAGE_BEGIN:
        err = begin(compact);
        compact->stage = STAGE_GATHER;
        break;
    case STAGE_GATHER:
        err = gather_step(compact);
        break;
    case STAGE_REWRITE:
        err = rewrite_step(compact);
        break;
    case STAGE_SWAPPING:
        err = files_sync_directory(compact->env, compact->path);
        break;
    case STAGE_WRITTEN:
    case STAGE_FAILED:
        break;
    }
    if (err == ERR_OK) return;
    compact->err = err;
    compact->stage = STAGE_FAILED;
}

/* ---- swap ---- */

/* .log comes last: without it the others are nothing. */
static enum err name_swap(struct compact *compact)
{
    static const char *const extensions[] = {NAMES_OFFSETS, NAMES_TIMES, NAMES_ABORTED, NAMES_LOG};
    char from[FILES_PATH_MAX], to[FILES_PATH_MAX];
    int64_t base = compact->segment->base;
    enum err err = ERR_OK;

    for (size_t i = 0; err == ERR_OK && i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        err = names_segment(from, compact->path, base, extensions[i], NAMES_CLEANED);
        if (err == ERR_OK) err = names_segment(to, compact->path, base, extensions[i], NAMES_SWAP);
        if (err == ERR_OK) err = files_rename(compact->env, from, to);
        if (err == ERR_NOT_FOUND && !compact->segment->has_aborted) err = ERR_OK;
    }
    return err;
}

static void remove_written(struct compact *compact)
{
    static const char *const extensions[] = {NAMES_LOG, NAMES_OFFSETS, NAMES_TIMES, NAMES_ABORTED};
    char path[FILES_PATH_MAX];

    if (compact->segment == NULL) return;
    /* What stays is removed by the next start. */
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
        if (names_segment(path, compact->path, compact->segment->base, extensions[i],
                          NAMES_CLEANED) == ERR_OK)
            (void)!files_remove(compact->env, path);
    segment_destroy(&compact->segment);
}

/* Where the group is in the log now; -1: not all of it is there as it was. */
static int find_group(const struct log *log, const struct compact *compact)
{
    int from = log_floor(log, compact->sources[compact->group_from].base);
    int n = compact->group_to - compact->group_from;

    if (from < 0 || from + n > log->count - 1) return -1;
    for (int i = 0; i < n; i++)
        if (log->segments[from + i]->base != compact->sources[compact->group_from + i].base)
            return -1;
    return from;
}

/* Truncation and retention may have been there meanwhile: then the group is left as it is. */
static bool is_unchanged(const struct log *log, const struct compact *compact, int *from)
{
    *from = log->cuts == compact->cuts ? find_group(log, compact) : -1;
    return *from >= 0;
}

static void begin_swap(struct log *log, struct compact *compact)
{
    int from;

    if (!is_unchanged(log, compact, &from)) {
        remove_written(compact);
        compact->stage = STAGE_REWRITE;
        next_group(compact);
        return;
    }
    log->swap_base = compact->segment->base;
    compact->err = name_swap(compact);
    compact->stage = compact->err == ERR_OK ? STAGE_SWAPPING : STAGE_FAILED;
    if (compact->err != ERR_OK) log_remove_swap(log);
}

static void end_swap(struct log *log, struct compact *compact)
{
    int from;

    compact->stage = STAGE_REWRITE;
    if (log->swap_base >= 0 && is_unchanged(log, compact, &from)) {
        compact->err = log_replace_segments(log, from, compact->group_to - compact->group_from,
                                            &compact->segment);
        if (compact->err != ERR_OK) compact->stage = STAGE_FAILED;
    } else {
        log_remove_swap(log);
        segment_destroy(&compact->segment);
    }
    next_group(compact);
}

static void fini(struct compact *compact)
{
    close_source(compact);
    remove_written(compact);
    if (compact->has_filter) filter_fini(&compact->filter);
    keys_fini(&compact->keys);
    log_files_destroy(&compact->files);
    buf_fini(&compact->in);
    buf_fini(&compact->out);
    buf_fini(&compact->pending);
    free(compact->sources);
    free(compact->producers);
    epochs_fini(&compact->epochs);
    free(compact->aborted);
    free(compact->path);
    free(compact);
}

static void set_uncleanable(struct log *log, const struct compact *compact)
{
    int64_t base = compact->at < compact->count ? compact->sources[compact->at].base : -1;

    log->is_uncleanable = true;
    log_error("log", "cannot_be_compacted", "partition=%.*s-%d segment=%lld position=%lld why=%s",
              SLICE_ARGS(log->topic), log->partition, (long long)base, (long long)compact->position,
              err_name(compact->err));
}

static enum err end(struct log *log, const struct compact *compact)
{
    bool was_cut = log->cuts != compact->cuts;

    if (compact->stage != STAGE_FAILED) {
        if (!was_cut) log_set_cleaned_offset(log, compact->work.end_offset);
        return ERR_OK;
    }
    switch ((int)compact->err) {
    case ERR_NOT_FOUND: /* retention was faster */
        return ERR_OK;
    case ERR_CORRUPT:
    case ERR_LIMIT:
    case ERR_UNSUPPORTED:
    case ERR_INVALID_RECORD:
        if (was_cut) return ERR_OK; /* while it was read */
        set_uncleanable(log, compact);
        return compact->err;
    default:
        return log_settle(log, compact->err);
    }
}

/* Unless a segment that began far away has noted more meanwhile (log.c), over which a job wrote. */
static void take_compacted_to(struct log *log, struct compact *compact)
{
    if (log->compacted_to <= compact->compacted_to) {
        log->compacted_to = compact->compacted_to;
        return;
    }
    compact->compacted_to = log->compacted_to;
    compact->err = log_say_compacted(compact->env, compact->path, log->compacted_to);
    if (compact->err != ERR_OK) compact->stage = STAGE_FAILED;
}

bool compact_done(struct log *log, struct compact **compact, enum err *err)
{
    struct compact *c = *compact;
    bool was_offline = log_is_offline(log);

    if (!was_offline && c->stage == STAGE_WRITTEN) take_compacted_to(log, c);
    if (!was_offline) {
        if (c->stage == STAGE_WRITTEN)
            begin_swap(log, c);
        else if (c->stage == STAGE_SWAPPING)
            end_swap(log, c);
        bool is_over =
            c->stage == STAGE_FAILED || (c->stage == STAGE_REWRITE && c->group_from == c->group_to);
        if (!is_over) return true;
    }
    *err = was_offline ? ERR_OFFLINE : end(log, c);
    compact_cancel(log, compact);
    return false;
}

void compact_cancel(struct log *log, struct compact **compact)
{
    if (*compact == NULL) return;
    log_remove_swap(log);
    fini(*compact);
    *compact = NULL;
}

int64_t compact_step_bytes(const struct compact *compact)
{
    return compact->step_bytes;
}

struct compact_work compact_work(const struct compact *compact)
{
    return compact->work;
}
