#include "broker/log/snapshots.h"
#include "base/ensure.h"
#include "base/log.h"
#include "broker/log/aborted.h"
#include "broker/log/names.h"
#include "wire/record.h"
#include <stdlib.h>

#define FILE_BYTES_MAX ((size_t)1 << 30)
#define MARKER_BYTES_MAX                                                                           \
    65536 /* a control batch of one small record; a larger one is none of ours */

/* ---- the files ---- */

static int64_t newest(const struct log *log)
{
    return log->snapshot_count == 0 ? -1 : log->snapshots[log->snapshot_count - 1].offset;
}

static void add_file(struct log *log, int64_t offset, bool is_synced)
{
    int at = log->snapshot_count;

    log->snapshots = ensure_realloc(log->snapshots, (size_t)(at + 1) * sizeof(*log->snapshots));
    for (; at > 0 && log->snapshots[at - 1].offset > offset; at--)
        log->snapshots[at] = log->snapshots[at - 1];
    log->snapshots[at] = (struct log_snapshot){offset, is_synced};
    log->snapshot_count++;
}

static void forget_file(struct log *log, int at)
{
    memmove(log->snapshots + at, log->snapshots + at + 1,
            (size_t)(log->snapshot_count - at - 1) * sizeof(*log->snapshots));
    log->snapshot_count--;
}

void snapshots_found(struct log *log, int64_t offset)
{
    for (int i = 0; i < log->snapshot_count; i++)
        if (log->snapshots[i].offset == offset) return;
    add_file(log, offset, true);
}

void snapshots_gone(struct log *log, int64_t offset)
{
    for (int i = 0; i < log->snapshot_count; i++) {
        if (log->snapshots[i].offset != offset) continue;
        forget_file(log, i);
        return;
    }
}

static enum err path_of(const struct log *log, int64_t offset, char path[FILES_PATH_MAX])
{
    return names_segment(path, log->path, offset, NAMES_PRODUCERS, "");
}

static enum err remove_file(struct log *log, int at)
{
    char path[FILES_PATH_MAX];
    enum err err = path_of(log, log->snapshots[at].offset, path);

    if (err == ERR_OK) err = files_remove(log->env, path);
    if (err != ERR_OK && err != ERR_NOT_FOUND) return err;
    forget_file(log, at);
    log->directory_dirty = true;
    return ERR_OK;
}

enum err snapshots_drop_above(struct log *log, int64_t offset)
{
    enum err err = ERR_OK;

    while (err == ERR_OK && newest(log) > offset)
        err = remove_file(log, log->snapshot_count - 1);
    return err;
}

static bool is_between(const struct log *log, int64_t offset)
{
    int at = log_floor(log, offset);

    return at < 0 || log->segments[at]->base != offset;
}

int64_t snapshots_between(const struct log *log)
{
    for (int i = 0; i < log->snapshot_count; i++)
        if (is_between(log, log->snapshots[i].offset)) return log->snapshots[i].offset;
    return -1;
}

bool snapshots_wanted(const struct log *log, int64_t offset)
{
    /* Of a log whose records are all gone it says what its producers sent last. */
    return offset > newest(log) &&
           (offset > log_start_offset(log) || !producers_are_none(&log->producers));
}

enum err snapshots_take(struct log *log, int64_t offset)
{
    struct file *file = NULL;
    struct buf bytes;
    char path[FILES_PATH_MAX];

    if (!snapshots_wanted(log, offset)) return ERR_OK;
    buf_init(&bytes);
    producers_write(&log->producers, &bytes);
    enum err err = path_of(log, offset, path);
    if (err == ERR_OK)
        err = files_open(log->env, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    if (err == ERR_OK) err = file_write_at(log->env, file, 0, buf_slice(&bytes));
    file_close(log->env, &file);
    buf_fini(&bytes);
    log->directory_dirty = true;
    if (err == ERR_OK) add_file(log, offset, false);
    /* A part of a file would not be believed; still, there is none. */
    if (err == ERR_FULL || err == ERR_TOO_MANY) {
        (void)!files_remove(log->env, path);
        err = ERR_OK;
    }
    return err;
}

/* ---- batches ---- */

/* The marker in a control batch. False: there is none. */
static bool read_marker(struct slice bytes, struct producers_batch *out)
{
    struct batch batch;
    struct record record;
    int16_t type = -1;

    if (batch_view(bytes, &batch) != ERR_OK) return false;
    struct record_reader reader = record_reader_of(batch.records, batch.record_count);
    if (!record_next(&reader, &record) || record_control_type(record.key, &type) != ERR_OK ||
        (type != RECORD_MARKER_ABORT && type != RECORD_MARKER_COMMIT) ||
        record_marker_epoch(record.value, &out->coordinator_epoch) != ERR_OK)
        return false;
    out->marker = type == RECORD_MARKER_COMMIT ? PRODUCERS_COMMIT : PRODUCERS_ABORT;
    return true;
}

/* `bytes` has the whole batch if it is a control batch. False: nothing to note. */
static bool read_batch(const struct scan_batch *head, int64_t first, struct slice bytes,
                       struct producers_batch *out)
{
    if (head->magic < 2 || head->producer_id < 0) return false;
    int32_t delta = (int32_t)(head->last_offset - head->base_offset);
    *out = (struct producers_batch){
        .producer_id = head->producer_id,
        .epoch = head->producer_epoch,
        .is_transactional = (head->attributes & BATCH_TRANSACTIONAL) != 0,
        .first_sequence = head->base_sequence,
        .last_sequence =
            head->base_sequence < 0 ? -1 : batch_sequence_after(head->base_sequence, delta),
        .first_offset = first,
        .last_offset = first + delta,
        .timestamp = head->max_timestamp,
        .coordinator_epoch = -1,
    };
    return (head->attributes & BATCH_CONTROL) == 0 || read_marker(bytes, out);
}

static struct slice behind(struct slice bytes, const struct scan_batch *head)
{
    return slice_of(bytes.ptr + head->size, bytes.len - (size_t)head->size);
}

enum err snapshots_check(const struct log *log, const struct checked *batch, int64_t first,
                         struct producers_known *known)
{
    struct slice rest = slice_of(batch->bytes, batch->len);
    struct producers_batch one;
    struct scan_batch head;
    enum err err = ERR_OK;

    if (producers_are_none(&log->producers)) return ERR_OK;
    while (err == ERR_OK && rest.len > 0 && scan_head(rest, &head) == ERR_OK) {
        /* Batches offered together are one producer's or coordinators', each judged by what is in
         * the log: a client sends one. */
        if (read_batch(&head, first + head.base_offset, rest, &one))
            err = producers_check(&log->producers, one.first_sequence >= 0, &one, known);
        rest = behind(rest, &head);
    }
    return err;
}

/* `segment` is where the batch is, for its index; NULL: its index knows. */
static enum err note(struct log *log, struct segment *segment, const struct producers_batch *batch)
{
    struct producers_ended ended;

    log->noted = batch->last_offset + 1;
    if (!producers_note(&log->producers, batch, &ended) || !ended.is_aborted || segment == NULL)
        return ERR_OK;
    struct segment_place place = log_place(log, segment->base);
    const struct aborted entry = {ended.producer_id, ended.first_offset, ended.last_offset,
                                  ended.last_stable};
    enum err err = aborted_add(log->env, &place, &entry);
    if (err != ERR_OK) return err;
    log->directory_dirty |= !segment->has_aborted;
    segment->has_aborted = true;
    return ERR_OK;
}

enum err snapshots_note(struct log *log, struct slice bytes)
{
    struct producers_batch batch;
    struct scan_batch head;
    enum err err = ERR_OK;

    while (err == ERR_OK && bytes.len > 0 && scan_head(bytes, &head) == ERR_OK &&
           head.size <= (int64_t)bytes.len) {
        if (read_batch(&head, head.base_offset, slice_of(bytes.ptr, (size_t)head.size), &batch))
            err = note(log, log_active(log), &batch);
        bytes = behind(bytes, &head);
    }
    return err;
}

/* ---- replay ---- */

static enum err note_stored(struct log *log, struct segment *segment, int64_t position,
                            const struct scan_batch *head, bool builds_index)
{
    struct segment_place place = log_place(log, segment->base);
    struct producers_batch batch;
    struct log_file *file = NULL;
    uint8_t *bytes = NULL;
    size_t n = 0;
    enum err err = ERR_OK;

    bool is_control = head->magic == 2 && (head->attributes & BATCH_CONTROL) != 0;
    if (is_control && head->producer_id >= 0 && head->size <= MARKER_BYTES_MAX) {
        bytes = ensure_malloc((size_t)head->size);
        err = segment_use(segment, &place, &file);
        if (err == ERR_OK)
            err = file_read_at(log->env, file->file, (uint64_t)position, bytes, (size_t)head->size,
                               &n);
        handles_drop(&file);
    }
    if (err == ERR_OK && read_batch(head, head->base_offset, slice_of(bytes, n), &batch))
        err = note(log, builds_index ? segment : NULL, &batch);
    free(bytes);
    return err;
}

static enum err replay_segment(struct log *log, struct segment *segment, int64_t from,
                               bool builds_index)
{
    struct segment_place place = log_place(log, segment->base);
    struct scan_batch head;
    int64_t position = 0;

    enum err err = from <= segment->base ? segment_batch_at(segment, &place, position, &head)
                                         : segment_find(segment, &place, from, &position, &head);
    while (err == ERR_OK) {
        if (head.base_offset >= from)
            err = note_stored(log, segment, position, &head, builds_index);
        position += head.size;
        if (err == ERR_OK) err = segment_batch_at(segment, &place, position, &head);
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* Batches from `from` to the end. Of segments from `index_from` on the indexes of aborted
 * transactions are built, too. */
static enum err replay(struct log *log, int64_t from, int64_t index_from)
{
    int first = log_floor(log, from);
    enum err err = ERR_OK;

    for (int i = first < 0 ? 0 : first; err == ERR_OK && i < log->count; i++)
        err = replay_segment(log, log->segments[i], from, log->segments[i]->base >= index_from);
    if (err != ERR_CORRUPT) return err;
    /* Readers will meet it. Producers that are not known may go on. */
    log_warn("log", "producers_incomplete", "partition=%.*s-%d from=%lld", SLICE_ARGS(log->topic),
             log->partition, (long long)from);
    return ERR_OK;
}

/* ---- load ---- */

/* The newest file that can be believed; `*from` is what it has, or the log start. One from below
 * the start does not know what producers sent between it and the start, nor does the log. */
static enum err read_newest(struct log *log, int64_t believed, int64_t now_ms, int64_t *from)
{
    char path[FILES_PATH_MAX];
    struct buf bytes;
    enum err err = ERR_CORRUPT;

    *from = log_start_offset(log);
    while (err == ERR_CORRUPT && log->snapshot_count > 0) {
        int64_t offset = newest(log);
        if (offset <= believed && offset >= log_start_offset(log)) {
            buf_init(&bytes);
            err = path_of(log, offset, path);
            if (err == ERR_OK) err = files_read_all(log->env, path, FILE_BYTES_MAX, &bytes);
            if (err == ERR_OK)
                err = producers_read(&log->producers, buf_slice(&bytes), now_ms,
                                     log->config.producer_expiration_ms);
            buf_fini(&bytes);
            if (err == ERR_OK) {
                *from = offset > *from ? offset : *from;
                log->noted = offset;
            }
            if (err == ERR_LIMIT || err == ERR_NOT_FOUND) err = ERR_CORRUPT;
            if (err == ERR_CORRUPT) log_warn("log", "snapshot_unreadable", "path=%s", path);
        }
        if (err == ERR_CORRUPT) {
            enum err removed = remove_file(log, log->snapshot_count - 1);
            if (removed != ERR_OK) err = removed;
        }
    }
    return err == ERR_CORRUPT ? ERR_OK : err;
}

/* Old ones are of no use but where a truncation may come: at the bases of segments. */
static enum err drop_strays(struct log *log)
{
    enum err err = ERR_OK;

    for (int i = log->snapshot_count - 2; err == ERR_OK && i >= 0; i--)
        if (is_between(log, log->snapshots[i].offset)) err = remove_file(log, i);
    return err;
}

/* What the state that was read does not have is noted again. */
static enum err drop_aborted_from(struct log *log, int64_t base, int64_t noted)
{
    enum err err = ERR_OK;

    for (int i = 0; err == ERR_OK && i < log->count; i++) {
        struct segment *segment = log->segments[i];
        struct segment_place place = log_place(log, segment->base);
        if (segment->base >= base && segment->has_aborted)
            err = aborted_truncate(log->env, &place, noted > segment->base ? noted : INT64_MIN);
    }
    return err;
}

/* A clean stop leaves a snapshot. Where there is none it was lost, but in a directory of before
 * there were producers, whose batches are of an older format. */
static bool may_have_producers(const struct log *log)
{
    struct scan_batch batch;

    for (int i = log->count - 1; i >= 0; i--) {
        struct segment_place place = log_place(log, log->segments[i]->base);
        if (segment_batch_at(log->segments[i], &place, 0, &batch) == ERR_OK)
            return batch.magic == 2;
    }
    return false;
}

enum err snapshots_load(struct log *log, int64_t believed, int64_t index_from, bool is_clean,
                        int64_t now_ms)
{
    int64_t from = 0;
    bool knows_nobody = is_clean && log->snapshot_count == 0 && !may_have_producers(log);

    if (is_clean) index_from = INT64_MAX;
    if (believed > log->end || is_clean) believed = log->end;
    enum err err = read_newest(log, believed, now_ms, &from);
    if (err == ERR_OK) err = drop_strays(log);
    if (err == ERR_OK && !is_clean) err = drop_aborted_from(log, index_from, from);
    if (err == ERR_OK && !knows_nobody && from < log->end) err = replay(log, from, index_from);
    producers_replicated(&log->producers, log_high_watermark(log));
    return err;
}

enum err snapshots_reload(struct log *log)
{
    int64_t from = 0;

    if (log->noted <= log->end) return ERR_OK;
    producers_clear(&log->producers);
    log->noted = 0;
    enum err err = read_newest(log, log->end, env_wall_ms(log->env), &from);
    if (err == ERR_OK && from < log->end) err = replay(log, from, INT64_MAX);
    producers_replicated(&log->producers, log_high_watermark(log));
    return err;
}

/* ---- for readers of committed records ---- */

/* No record of the slice is at or behind this offset. */
static enum err upper_bound(struct log *log, int i, const struct log_slice *slice, int64_t *out)
{
    struct segment *segment = log->segments[i];
    struct segment_place place = log_place(log, segment->base);
    struct index_entry entry;
    struct scan_batch batch;

    int64_t slice_end = slice->position + slice->len;
    enum err err = index_load(&segment->offsets, &place);
    if (err == ERR_OK) err = index_find_value(&segment->offsets, &place, slice_end, &entry);
    /* An index may have been damaged: too low a bound would show records of aborted transactions.
     */
    if (err == ERR_OK) err = segment_batch_at(segment, &place, entry.value, &batch);
    bool is_true =
        err == ERR_OK && entry.value >= slice_end && batch.last_offset <= segment->base + entry.key;
    *out = is_true ? segment->base + entry.key : log_upper(log, i);
    return err == ERR_NOT_FOUND || err == ERR_CORRUPT ? ERR_OK : err;
}

/* Adds those of one segment; true: no later segment has any. */
static bool collect(const struct aborted *from, int n, int64_t first, int64_t end,
                    struct aborted **out, int *count)
{
    for (int i = 0; i < n; i++) {
        if (from[i].last_offset >= first && from[i].first_offset < end) {
            *out = ensure_realloc(*out, (size_t)(*count + 1) * sizeof(**out));
            (*out)[(*count)++] = from[i];
        }
        if (from[i].last_stable >= end) return true;
    }
    return false;
}

enum err log_aborted(struct log *log, const struct log_slice *slice, struct aborted **out,
                     int *count)
{
    struct aborted *found = NULL;
    int n = 0;
    int64_t end = 0;
    bool is_all = false;
    int first = slice->len == 0 ? log->count : log_floor(log, slice->start.segment_base);

    /* Nearly always there is none, and nothing is read. */
    while (first < log->count && !log->segments[first]->has_aborted)
        first++;
    int at = slice->len == 0 ? 0 : log_floor(log, slice->start.segment_base);
    enum err err = first < log->count ? upper_bound(log, at, slice, &end) : ERR_OK;
    for (int i = first; err == ERR_OK && i < log->count && !is_all; i++) {
        struct segment_place place = log_place(log, log->segments[i]->base);
        struct aborted *entries = NULL;
        int entry_count = 0;
        if (!log->segments[i]->has_aborted) continue;
        err = aborted_read(log->env, &place, &entries, &entry_count);
        if (err == ERR_OK)
            is_all = collect(entries, entry_count, slice->start.offset, end, &found, &n);
        free(entries);
    }
    if (err != ERR_OK) {
        free(found);
        return log_settle(log, err);
    }
    *out = found;
    *count = n;
    return ERR_OK;
}
