/* broker/log/log.c - see log.h: state, append, roll, read. */
#include "broker/log/parts.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/planted.h"
#include "broker/log/checkpoint.h"
#include "broker/log/names.h"
#include "broker/log/policy.h"
#include "broker/log/snapshots.h"
#include "wire/batch.h"
#include "wire/prim.h"
#include <stdio.h>
#include <stdlib.h>

#define PROBE_BYTES  (128 * 1024) /* what comes from the device at once, about */
#define MISSED_BYTES 4096         /* brought in where something was looked for: a page */

/* ---- the parts ---- */

struct log *log_create(const struct env *env, struct log_dir *dir, char *path, struct slice topic,
                       int32_t partition, const struct log_config *config)
{
    struct log *log = ensure_zalloc(sizeof(*log));

    log->env = env;
    log->dir = dir;
    log->path = path;
    log->topic = slice_of(ensure_strndup(topic.ptr, topic.len), topic.len);
    log->partition = partition;
    log->config = *config;
    log_uncut(log);
    epochs_init(&log->epochs);
    producers_init(&log->producers);
    log->cleaned = log->swap_base = log->compacted_to = -1;
    log_forget_recent(log);
    return log;
}

void log_destroy(struct log **log)
{
    struct log *l = *log;

    if (l == NULL) return;
    ensure(l->files == NULL);
    for (int i = 0; i < l->count; i++)
        segment_destroy(&l->segments[i]);
    free(l->segments);
    epochs_fini(&l->epochs);
    producers_fini(&l->producers);
    free(l->snapshots);
    free(l->garbage);
    free(l->path);
    free((void *)(uintptr_t)l->topic.ptr);
    free(l);
    *log = NULL;
}

void log_move(struct log *log, const char *path)
{
    free(log->path);
    log->path = ensure_strdup(path);
}

struct segment_place log_place(const struct log *log, int64_t base)
{
    ensure(log->files != NULL);
    return (struct segment_place){.files = log->files, .directory = log->path, .base = base};
}

struct segment *log_active(const struct log *log)
{
    ensure(log->count > 0);
    return log->segments[log->count - 1];
}

int log_floor(const struct log *log, int64_t offset)
{
    int low = 0, high = log->count;

    while (low < high) {
        int middle = low + (high - low) / 2;
        if (log->segments[middle]->base <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

int64_t log_upper(const struct log *log, int i)
{
    return i + 1 < log->count ? log->segments[i + 1]->base : log->end;
}

void log_add_segment(struct log *log, struct segment *segment)
{
    ensure(log->count == 0 || log_active(log)->base < segment->base);
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 1 : log->capacity * 2;
        log->segments = ensure_realloc(log->segments, (size_t)log->capacity * sizeof(segment));
    }
    log->segments[log->count++] = segment;
}

void log_drop_segments(struct log *log, int from, int n)
{
    for (int i = from; i < from + n; i++)
        segment_destroy(&log->segments[i]);
    memmove(log->segments + from, log->segments + from + n,
            (size_t)(log->count - from - n) * sizeof(*log->segments));
    log->count -= n;
}

void log_forget_recent(struct log *log)
{
    for (int i = 0; i < LOG_RECENT; i++)
        log->recent[i].position = -1;
}

static void remember(struct log *log, int64_t first, int64_t position)
{
    log->recent[log->recent_next].first = first;
    log->recent[log->recent_next].position = position;
    log->recent_next = (log->recent_next + 1) % LOG_RECENT;
}

void log_publish(struct log *log)
{
    int64_t base = log->segments[0]->base;

    atomic_store_explicit(&log->first_base, base, memory_order_relaxed);
    if (log->start < base) log->start = base;
    log_tell(log);
}

void log_tell(struct log *log)
{
    atomic_store_explicit(&log->size_told, log_size_bytes(log), memory_order_relaxed);
    atomic_store_explicit(&log->end_told, log->end, memory_order_relaxed);
}

bool log_is_offline(const struct log *log)
{
    return atomic_load_explicit(&log->dir->is_offline, memory_order_relaxed);
}

enum err log_settle(struct log *log, enum err err)
{
    switch ((int)err) {
    case ERR_OK:
    case ERR_FULL:
    case ERR_TOO_MANY:
    case ERR_RANGE:
    case ERR_CORRUPT:
    case ERR_OFFLINE:
    case ERR_BUSY: /* it is not in the page cache */
        return err;
    default:
        atomic_store(&log->dir->is_offline, true);
        return ERR_IO;
    }
}

/* ---- identity and state ---- */

void log_attach(struct log *log, struct log_files *files)
{
    ensure(log->files == NULL);
    log->files = files;
}

void log_detach(struct log *log)
{
    ensure(!log->is_syncing);
    for (int i = 0; i < log->count; i++) {
        handles_forget(&log->segments[i]->slot);
        handles_forget(&log->segments[i]->offsets.slot);
        handles_forget(&log->segments[i]->times.slot);
    }
    log->files = NULL;
}

struct slice log_topic(const struct log *log)
{
    return log->topic;
}

int32_t log_partition(const struct log *log)
{
    return log->partition;
}

struct log_dir *log_directory(const struct log *log)
{
    return log->dir;
}

struct uuid log_topic_id(const struct log *log)
{
    return log->topic_id;
}

enum err log_set_topic_id(struct log *log, struct uuid id)
{
    if (uuid_equal(log->topic_id, id)) return ERR_OK;
    if (!uuid_is_zero(log->topic_id)) return ERR_TOPIC_ID;
    log->topic_id = id;
    log->topic_id_dirty = true;
    log->has_id_file = false;
    atomic_store(&log->is_unnamed, log->end == 0);
    return ERR_OK;
}

const struct log_config *log_config(const struct log *log)
{
    return &log->config;
}

void log_set_config(struct log *log, const struct log_config *config)
{
    log->config = *config;
}

int64_t log_start_offset(const struct log *log)
{
    return atomic_load_explicit(&log->start, memory_order_relaxed);
}

int64_t log_end_offset(const struct log *log)
{
    return log->end;
}

int64_t log_recovery_point(const struct log *log)
{
    return atomic_load_explicit(&log->recovery_point, memory_order_relaxed);
}

int64_t log_high_watermark(const struct log *log)
{
    return atomic_load_explicit(&log->high_watermark, memory_order_relaxed);
}

void log_set_high_watermark(struct log *log, int64_t offset)
{
    atomic_store_explicit(&log->high_watermark, offset, memory_order_relaxed);
    if (log->producers.unreplicated_count > 0) producers_replicated(&log->producers, offset);
}

int64_t log_last_stable(const struct log *log, int64_t high_watermark)
{
    int64_t first = producers_first_unstable(&log->producers), start = log_start_offset(log);

    if (first < 0 || first >= high_watermark) return high_watermark;
    return first > start ? first : start;
}

const struct producers *log_producers(const struct log *log)
{
    return &log->producers;
}

void log_expire_producers(struct log *log, int64_t now_ms)
{
    (void)producers_expire(&log->producers, now_ms, log->config.producer_expiration_ms);
}

int64_t log_promised(const struct log *log)
{
    return atomic_load_explicit(&log->promised, memory_order_relaxed);
}

void log_forget_promise(struct log *log)
{
    atomic_store_explicit(&log->promised, 0, memory_order_relaxed);
}

/* The store raises `saved` before it looks at `saved_max`, we the other way round: one of the two
 * sees the other. */
bool log_may_cut(struct log *log, int64_t offset)
{
    atomic_store(&log->saved_max, offset);
    return atomic_load(&log->saved[0]) <= offset && atomic_load(&log->saved[1]) <= offset;
}

void log_uncut(struct log *log)
{
    atomic_store(&log->saved_max, INT64_MAX);
}

void log_want_saving(struct log *log)
{
    atomic_fetch_add(&log->dir->sealed, 1);
}

int64_t log_cleaned_offset(const struct log *log)
{
    return atomic_load_explicit(&log->cleaned, memory_order_relaxed);
}

void log_set_cleaned_offset(struct log *log, int64_t offset)
{
    atomic_store_explicit(&log->cleaned, offset, memory_order_relaxed);
}

int64_t log_size_bytes(const struct log *log)
{
    int64_t size = 0;

    for (int i = 0; i < log->count; i++)
        size += log->segments[i]->size;
    return size;
}

struct log_facts log_facts(const struct log *log)
{
    return (struct log_facts){
        .size_bytes = atomic_load_explicit(&log->size_told, memory_order_relaxed),
        .end_offset = atomic_load_explicit(&log->end_told, memory_order_relaxed),
        .high_watermark = log_high_watermark(log),
    };
}

int log_segment_count(const struct log *log)
{
    return log->count;
}

const struct epochs *log_epochs(const struct log *log)
{
    return &log->epochs;
}

bool log_wants_save(const struct log *log)
{
    return log->epochs_dirty || log->topic_id_dirty;
}

enum err log_start_epoch(struct log *log, int32_t epoch, int64_t start)
{
    bool changed = false;
    enum err err = epochs_start(&log->epochs, epoch, start, &changed);

    if (changed) log->epochs_dirty = true;
    return err;
}

/* ---- positions ---- */

struct log_position log_end_position(const struct log *log)
{
    const struct segment *active = log_active(log);

    return (struct log_position){log->end, active->base, active->size};
}

static bool is_recent(const struct log *log, int64_t offset, struct log_position *out)
{
    for (int i = 0; i < LOG_RECENT; i++) {
        if (log->recent[i].position >= 0 && log->recent[i].first == offset) {
            *out = (struct log_position){offset, log_active(log)->base, log->recent[i].position};
            return true;
        }
    }
    return false;
}

/* Offsets that are passed over. After a compaction, which leaves holes, that means nothing. */
static void note_hole(const struct log *log, const struct segment *segment, int64_t from,
                      int64_t to)
{
    if (to > from && !log->config.is_compacted && log_cleaned_offset(log) < 0)
        log_warn("log", "records_missing", "path=%s/%020lld" NAMES_LOG " from=%lld to=%lld",
                 log->path, (long long)segment->base, (long long)from, (long long)to);
}

enum err log_locate(struct log *log, int64_t offset, struct log_position *out)
{
    struct scan_batch batch;
    int64_t position = 0;

    if (log_is_offline(log)) return ERR_OFFLINE;
    if (offset < log_start_offset(log) || offset > log->end) return ERR_RANGE;
    if (offset == log->end) {
        *out = log_end_position(log);
        return ERR_OK;
    }
    if (is_recent(log, offset, out)) return ERR_OK;

    /* Compaction and a follower's start may leave a gap at the end of a segment. */
    int i = log_floor(log, offset);
    for (i = i < 0 ? 0 : i; i < log->count; i++) {
        struct segment *segment = log->segments[i];
        struct segment_place place = log_place(log, segment->base);
        enum err err = segment_find(segment, &place, offset, &position, &batch);
        /* Its offset, which no checksum covers, would lead readers past all that follows. */
        if (err == ERR_OK && batch.last_offset >= log_upper(log, i)) err = ERR_CORRUPT;
        if (err == ERR_OK) {
            *out = (struct log_position){offset, segment->base, position};
            if (batch.magic == 2) note_hole(log, segment, offset, batch.base_offset);
        }
        if (err == ERR_CORRUPT)
            log_error("log", "segment_damaged", "path=%s/%020lld" NAMES_LOG " offset=%lld",
                      log->path, (long long)segment->base, (long long)offset);
        if (err != ERR_NOT_FOUND) return log_settle(log, err);
        if (i + 1 < log->count) note_hole(log, segment, offset, log->segments[i + 1]->base);
    }
    *out = log_end_position(log);
    out->offset = offset;
    return ERR_OK;
}

int64_t log_bytes_between(const struct log *log, const struct log_position *from,
                          const struct log_position *to)
{
    if (from->segment_base == to->segment_base)
        return to->position > from->position ? to->position - from->position : 0;
    if (from->segment_base > to->segment_base) return 0;
    int i = log_floor(log, from->segment_base);
    if (i < 0 || log->segments[i]->base != from->segment_base) return INT64_MAX;
    int64_t left = log->segments[i]->size - from->position;
    return left > 0 ? left : 0;
}

/* ---- append ---- */

enum err log_roll_at(struct log *log, int64_t base, int64_t now_ms)
{
    struct segment *active = log->count > 0 ? log_active(log) : NULL;
    struct segment *segment = NULL;
    struct segment_place place = log_place(log, base);
    bool replaces = active != NULL && active->base == base;

    ensure(!replaces || active->size == 0);
    if (active != NULL && !replaces) {
        struct segment_place old = log_place(log, active->base);
        enum err err = segment_seal(active, &old, log->was_allocated);
        if (err != ERR_OK) return log_settle(log, err);
    }
    enum err err = segment_create(
        &place, log->config.preallocate ? log->config.segment_bytes_max : 0, &segment);
    if (err != ERR_OK) {
        /* The present one may go on: an empty one behind its end would be the end at the next
         * start. */
        if (!replaces && segment_remove(&place) != ERR_OK) err = ERR_IO;
        return log_settle(log, err);
    }

    segment->opened_ms = now_ms;
    if (log->config.segment_jitter_ms_max > 0)
        segment->jitter_ms = policy_jitter(&log->config, env_random(log->env, "segment-jitter"));
    if (replaces) log_drop_segments(log, log->count - 1, 1);
    log_add_segment(log, segment);
    err = log_settle(log, snapshots_take(log, base));
    if (err != ERR_OK) return err;
    log->was_allocated = log->config.preallocate;
    log->directory_dirty = true;
    log_forget_recent(log);
    log_publish(log);
    return ERR_OK;
}

enum err log_roll(struct log *log, int64_t now_ms)
{
    if (log_is_offline(log)) return ERR_OFFLINE;
    if (log_active(log)->size == 0 && log_active(log)->base == log->end) return ERR_OK;
    return log_roll_at(log, log->end, now_ms);
}

/* What an append looks like before it is written. */
struct planned {
    struct segment_chunk chunk;
    int64_t first_offset;
    bool is_legacy;
    bool has_producer, has_control;
};

static enum err must_roll(struct log *log, const struct planned *plan, int64_t now_ms, bool *out)
{
    struct segment *active = log_active(log);
    struct segment_place place = log_place(log, active->base);
    int64_t first_timestamp = -1;

    enum err err = index_load(&active->offsets, &place);
    if (err == ERR_OK) err = index_load(&active->times, &place);
    if (err == ERR_OK) err = segment_first_timestamp(active, &place, &first_timestamp);
    if (err != ERR_OK) return err;

    int32_t room = log->config.index_bytes_max;
    *out =
        policy_must_roll(&log->config, &(struct policy_append){
                                           .now_ms = now_ms,
                                           .len = (int64_t)plan->chunk.bytes.len,
                                           .last_offset = plan->chunk.last_offset,
                                           .max_timestamp = plan->chunk.max_timestamp,
                                           .segment_base = active->base,
                                           .segment_size = active->size,
                                           .first_timestamp = first_timestamp,
                                           .opened_ms = active->opened_ms,
                                           .jitter_ms = active->jitter_ms,
                                           .is_index_full = index_is_full(&active->offsets, room) ||
                                                            index_is_full(&active->times, room),
                                       });
    return ERR_OK;
}

/* A segment begins where the one before ends, so that a hole between two is the mark of a loss.
 * Offsets in a segment are 31 bits behind its base: only what is further away begins at itself. The
 * first offset of a legacy batch is not known, so it is taken as low as the last one allows. */
static int64_t new_base(const struct log *log, const struct planned *plan)
{
    if (plan->chunk.last_offset - log->end <= INT32_MAX) return log->end;
    return plan->is_legacy ? plan->chunk.last_offset - INT32_MAX : plan->first_offset;
}

/* What begins further away is noted: after it the log has a hole at the end of a segment. That this
 * waits for the device is seen once in two billion offsets. */
static enum err roll_for(struct log *log, const struct planned *plan, int64_t now_ms)
{
    int64_t base = new_base(log, plan);

    enum err err = base > log->end ? log_say_compacted(log->env, log->path, base) : ERR_OK;
    if (err != ERR_OK) return err;
    if (base > log->end) log->compacted_to = base;
    return log_roll_at(log, base, now_ms);
}

static enum err append(struct log *log, const struct planned *plan, int64_t now_ms,
                       struct log_appended *out)
{
    bool roll = false;

    enum err err = log_write_topic_id(log);
    if (err == ERR_OK) err = must_roll(log, plan, now_ms, &roll);
    if (err == ERR_OK && roll) err = roll_for(log, plan, now_ms);
    if (err != ERR_OK) return log_settle(log, err);

    struct segment *active = log_active(log);
    struct segment_place place = log_place(log, active->base);
    struct log_position start = {plan->first_offset, active->base, active->size};
    /* What an aborted transaction adds to its index is there before the marker is: more than is
     * true does no harm. */
    if (plan->has_control) err = snapshots_note(log, plan->chunk.bytes);
    if (err == ERR_OK)
        err = segment_append(active, &place, &plan->chunk, log->config.index_interval_bytes);
    if (err != ERR_OK && plan->has_control && snapshots_reload(log) != ERR_OK) err = ERR_IO;
    if (err == ERR_OK && plan->has_producer && !plan->has_control)
        err = snapshots_note(log, plan->chunk.bytes);
    if (err != ERR_OK) return log_settle(log, err);

    remember(log, plan->first_offset, start.position);
    log->end = plan->chunk.last_offset + 1;
    int64_t size = atomic_load_explicit(&log->size_told, memory_order_relaxed);
    atomic_store_explicit(&log->size_told, size + (int64_t)plan->chunk.bytes.len,
                          memory_order_relaxed);
    atomic_store_explicit(&log->end_told, log->end, memory_order_relaxed);
    *out = (struct log_appended){
        .first_offset = plan->first_offset,
        .last_offset = plan->chunk.last_offset,
        .max_timestamp = plan->chunk.max_timestamp,
        .max_timestamp_offset = plan->chunk.max_timestamp_offset,
        .append_time_ms = -1,
        .start = start,
        .end = log_end_position(log),
        .len = plan->chunk.bytes.len,
        .has_rolled = roll,
        .wants_sync = log->end - log_recovery_point(log) >= log->config.flush_messages,
    };
    return ERR_OK;
}

/* Epochs that the batches carry become known before the batches are there: what is too much is
 * harmless and cut at the next start, what is missing would not be. */
static enum err note_epochs(struct log *log, struct planned *plan)
{
    struct slice bytes = plan->chunk.bytes;
    struct scan_batch batch;
    bool changed = false;

    while (scan_head(bytes, &batch) == ERR_OK && batch.size <= (int64_t)bytes.len) {
        if (batch.magic < 2) {
            changed |= epochs_clear(&log->epochs);
        } else if (batch.leader_epoch >= 0) {
            bool one = false;
            enum err err = epochs_start(&log->epochs, batch.leader_epoch, batch.base_offset, &one);
            if (err != ERR_OK) return err;
            changed |= one;
        }
        if (batch.magic == 2 && batch.producer_id >= 0) {
            plan->has_producer = true;
            plan->has_control |= (batch.attributes & BATCH_CONTROL) != 0;
        }
        bytes = slice_of(bytes.ptr + batch.size, bytes.len - (size_t)batch.size);
    }
    if (changed) log->epochs_dirty = true;
    return ERR_OK;
}

/* Sets base offset and leader epoch; neither is under the checksum. */
static void stamp(const struct checked *batch, int64_t first, int32_t leader_epoch)
{
    struct scan_batch at;
    size_t done = 0;

    while (done < batch->len) {
        uint8_t *head = batch->bytes + done;
        enum err err = scan_head(slice_of(head, batch->len - done), &at);
        ensure(err == ERR_OK && at.magic == 2);
        prim_store64(head, (uint64_t)(first + at.base_offset));
        prim_store32(head + 12, (uint32_t)leader_epoch);
        done += (size_t)at.size;
    }
}

static bool is_full(const struct log *log)
{
    return atomic_load_explicit(&log->dir->is_full, memory_order_relaxed);
}

enum err log_append_leader(struct log *log, const struct checked *batch, int32_t leader_epoch,
                           int64_t now_ms, struct log_appended *out)
{
    int64_t first = log->end;

    if (log_is_offline(log)) return ERR_OFFLINE;
    if (is_full(log)) return ERR_FULL;
    if (batch->offset_count > INT64_MAX - 1 - first) return ERR_RANGE;
    struct producers_known known;
    enum err err = snapshots_check(log, batch, first, &known);
    if (err == ERR_EXISTS && planted(duplicate_appended)) err = ERR_OK;
    if (err == ERR_EXISTS) {
        *out = (struct log_appended){
            .first_offset = known.first_offset,
            .last_offset = known.last_offset,
            .max_timestamp = known.timestamp,
            .max_timestamp_offset = known.last_offset,
            .append_time_ms = known.timestamp,
            .start = log_end_position(log),
            .end = log_end_position(log),
            .is_duplicate = true,
        };
        return ERR_OK;
    }
    if (err == ERR_OK && batch->len > (size_t)log->config.segment_bytes_max) err = ERR_TOO_LARGE;
    if (err != ERR_OK) return err;
    stamp(batch, first, leader_epoch);
    struct planned plan = {
        .chunk = {.bytes = slice_of(batch->bytes, batch->len),
                  .last_offset = first + batch->offset_count - 1,
                  .max_timestamp = batch->max_timestamp,
                  .max_timestamp_offset =
                      batch->max_timestamp_offset < 0 ? -1 : first + batch->max_timestamp_offset},
        .first_offset = first,
    };
    err = note_epochs(log, &plan);
    if (err == ERR_OK) err = append(log, &plan, now_ms, out);
    if (err == ERR_OK)
        out->append_time_ms = batch->append_time_ms;
    else
        stamp(batch, -first, leader_epoch); /* offsets from 0 again: it may be tried once more */
    return err;
}

enum err log_say_compacted(const struct env *env, const char *directory, int64_t to)
{
    char path[FILES_PATH_MAX], text[24];
    int len = snprintf(text, sizeof(text), "%lld\n", (long long)to);

    enum err err = names_join(path, directory, NAMES_COMPACTED);
    return err == ERR_OK ? files_replace(env, path, slice_of(text, (size_t)len)) : err;
}

/* What the leader has compacted comes with its holes, before this log is compacted itself. The next
 * sync makes it last. */
static enum err note_holes(struct log *log, const struct check_run *run)
{
    bool is_empty = log->count == 1 && log_active(log)->size == 0;
    bool has_holes =
        run->has_holes || (!is_empty && !run->is_legacy && run->first_offset > log->end);
    char path[FILES_PATH_MAX];
    struct file *file = NULL;

    if (!has_holes || log->compacted_to >= 0) return ERR_OK;
    enum err err = names_join(path, log->path, NAMES_COMPACTED);
    if (err == ERR_OK) err = files_open(log->env, path, FILE_WRITE | FILE_CREATE, &file);
    file_close(log->env, &file);
    if (err != ERR_OK) return log_settle(log, err);
    log->compacted_to = 0;
    log->directory_dirty = true;
    return ERR_OK;
}

enum err log_append_follower(struct log *log, struct slice bytes, int64_t now_ms,
                             struct log_appended *out)
{
    struct check_run run;

    if (log_is_offline(log)) return ERR_OFFLINE;
    if (is_full(log)) return ERR_FULL;
    enum err err = check_replicated(bytes, &run);
    if (err != ERR_OK) return err;
    if (run.batches == 0) return ERR_TRUNCATED;
    if (run.first_offset < log->end) return ERR_RANGE;
    struct planned plan = {
        .chunk = {.bytes = slice_of(bytes.ptr, run.len),
                  .last_offset = run.last_offset,
                  .max_timestamp = run.max_timestamp,
                  .max_timestamp_offset = run.max_timestamp_offset},
        .first_offset = run.first_offset,
        .is_legacy = run.is_legacy,
    };
    /* What an append that failed has noted goes first: else an earlier epoch that comes again, with
     * a later one known, would seem to begin here, and what it wrote before would be another's. */
    log->epochs_dirty |= epochs_truncate_end(&log->epochs, log->end);
    err = note_epochs(log, &plan);
    if (err == ERR_OK) err = note_holes(log, &run);
    return err == ERR_OK ? append(log, &plan, now_ms, out) : err;
}

/* ---- read ---- */

/* Where reading of `start`'s segment ends: at the limit, or at the segment's end. */
static enum err read_end(struct log *log, const struct log_read *read,
                         const struct log_position *start, const struct segment *segment,
                         int64_t *out)
{
    struct log_position limit = read->limit;

    if (limit.segment_base < start->segment_base ||
        (limit.segment_base == start->segment_base && limit.position > segment->size)) {
        /* The limit was placed before a truncation or in a segment that has gone. */
        enum err err = log_locate(log, limit.offset, &limit);
        if (err != ERR_OK) return err;
    }
    *out = limit.segment_base == start->segment_base ? limit.position : segment->size;
    return ERR_OK;
}

static enum err read_slice(struct log *log, const struct log_read *read, struct log_slice *out)
{
    struct log_slice slice = {0};
    struct scan_batch first;
    int64_t end = 0;

    enum err err = log_locate(log, read->offset, &slice.start);
    if (err != ERR_OK) return err;
    if (read->offset >= read->limit.offset || read->offset == log->end) {
        *out = slice;
        return ERR_OK;
    }
    struct segment *segment = log->segments[log_floor(log, slice.start.segment_base)];
    struct segment_place place = log_place(log, segment->base);
    err = read_end(log, read, &slice.start, segment, &end);
    if (err != ERR_OK) return err;
    slice.position = slice.start.position;
    slice.len = end > slice.position ? end - slice.position : 0;

    if (slice.len > read->bytes_max) {
        err = segment_batch_at(segment, &place, slice.position, &first);
        if (err != ERR_OK) return log_settle(log, err);
        slice.is_cut = first.size > read->bytes_max && !read->at_least_one;
        slice.len =
            first.size > read->bytes_max && read->at_least_one ? first.size : read->bytes_max;
    }
    if (slice.len > 0) err = segment_use(segment, &place, &slice.file);
    if (err == ERR_OK) *out = slice;
    return log_settle(log, err);
}

/* What was not in memory: of a segment as much as will be read there, if it is the place. */
static void take_missed(struct log *log, const struct log_read *read, struct log_slice *out)
{
    struct log_files *files = log->files;
    int i = log_floor(log, read->offset);
    const struct segment *segment = i < 0 ? NULL : log->segments[i];

    *out = (struct log_slice){
        .file = files->missed, .position = files->missed_at, .len = MISSED_BYTES, .is_cold = true};
    files->missed = NULL;
    if (segment == NULL || segment->slot != out->file) return;
    if (out->len < read->bytes_max) out->len = read->bytes_max;
    if (out->len > segment->size - out->position) out->len = segment->size - out->position;
}

enum err log_read(struct log *log, const struct log_read *read, struct log_slice *out)
{
    if (!read->only_cached) return read_slice(log, read, out);
    log->files->only_cached = true;
    enum err err = read_slice(log, read, out);
    log->files->only_cached = false;
    if (log->files->missed == NULL) return err;
    if (err == ERR_BUSY) {
        take_missed(log, read, out);
        return ERR_OK;
    }
    handles_drop(&log->files->missed);
    return err;
}

void log_slice_release(struct log_slice *slice)
{
    handles_drop(&slice->file);
    slice->len = 0;
}

struct log_slice log_slice_share(const struct log_slice *slice)
{
    struct log_slice copy = *slice;

    if (copy.file != NULL) handles_hold(copy.file);
    return copy;
}

struct file *log_slice_file(const struct log_slice *slice)
{
    return slice->file->file;
}

static bool is_cached_at(const struct env *env, const struct log_slice *slice, int64_t position)
{
    uint8_t byte;
    size_t n = 0;
    enum err err = file_read_cached(env, slice->file->file, (uint64_t)position, &byte, 1, &n);

    return err == ERR_UNSUPPORTED || (err == ERR_OK && n == 1);
}

bool log_slice_is_cached(const struct env *env, const struct log_slice *slice)
{
    for (int64_t at = 0; at < slice->len; at += PROBE_BYTES)
        if (!is_cached_at(env, slice, slice->position + at)) return false;
    return slice->len == 0 || is_cached_at(env, slice, slice->position + slice->len - 1);
}

enum err log_slice_warm_run(const struct env *env, const struct log_slice *slice)
{
    size_t step = 256 * 1024;
    uint8_t *scratch = ensure_malloc(step);
    enum err err = ERR_OK;
    size_t n = 0;

    for (int64_t done = 0; err == ERR_OK && done < slice->len; done += (int64_t)step) {
        size_t wanted = slice->len - done < (int64_t)step ? (size_t)(slice->len - done) : step;
        err = file_read_at(env, slice->file->file, (uint64_t)(slice->position + done), scratch,
                           wanted, &n);
    }
    free(scratch);
    return err;
}
