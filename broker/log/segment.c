/* broker/log/segment.c - see segment.h. */
#include "broker/log/segment.h"
#include "base/ensure.h"
#include "broker/log/names.h"
#include <stdlib.h>

/* Nothing is read ahead by who sends from the file: that would be a shard's wait for the device. */
static enum err use(struct segment *segment, const struct segment_place *place, int flags,
                    struct log_file **out)
{
    char path[FILES_PATH_MAX];
    enum err err = ERR_OK;

    if (segment->slot == NULL) /* the name is only asked for to open it */
        err = names_segment(path, place->directory, place->base, NAMES_LOG, place_suffix(place));
    if (err == ERR_OK)
        err =
            handles_use(place->files, &segment->slot, path, FILE_WRITE | FILE_RANDOM | flags, out);
    return err;
}

enum err segment_use(struct segment *segment, const struct segment_place *place,
                     struct log_file **out)
{
    return use(segment, place, 0, out);
}

struct segment *segment_open(int64_t base, int64_t size)
{
    struct segment *segment = ensure_zalloc(sizeof(*segment));

    segment->base = base;
    segment->size = size;
    segment->max_timestamp = segment->max_timestamp_offset = -1;
    segment->first_timestamp = size == 0 ? -1 : SEGMENT_TIME_UNKNOWN;
    index_init(&segment->offsets, INDEX_OFFSETS);
    index_init(&segment->times, INDEX_TIMES);
    return segment;
}

void segment_destroy(struct segment **segment)
{
    if (*segment == NULL) return;
    index_fini(&(*segment)->offsets);
    index_fini(&(*segment)->times);
    handles_forget(&(*segment)->slot);
    free(*segment);
    *segment = NULL;
}

enum err segment_create(const struct segment_place *place, int64_t allocate, struct segment **out)
{
    struct segment *segment = segment_open(place->base, 0);
    struct log_file *file = NULL;

    enum err err = use(segment, place, FILE_CREATE | FILE_TRUNCATE, &file);
    if (err == ERR_OK && allocate > 0)
        err = file_allocate(place->files->env, file->file, (uint64_t)allocate);
    handles_drop(&file);
    if (err == ERR_OK) err = index_create(&segment->offsets, INDEX_OFFSETS, place);
    if (err == ERR_OK) err = index_create(&segment->times, INDEX_TIMES, place);
    if (err != ERR_OK)
        segment_destroy(&segment);
    else
        *out = segment;
    return err;
}

/* ---- append ---- */

void segment_note_time(struct segment *segment, int64_t timestamp, int64_t offset)
{
    if (timestamp > segment->max_timestamp) {
        segment->max_timestamp = timestamp;
        segment->max_timestamp_offset = offset;
    }
}

static enum err index_time(struct segment *segment, const struct segment_place *place)
{
    if (segment->max_timestamp < 0) return ERR_OK;
    enum err err = index_add(&segment->times, place,
                             (struct index_entry){segment->max_timestamp,
                                                  segment->max_timestamp_offset - segment->base});
    /* After entries that are not ours (a damaged file that was believed) it has no place. */
    return err == ERR_INVALID ? ERR_OK : err;
}

enum err segment_index(struct segment *segment, const struct segment_place *place,
                       int64_t last_offset, int64_t position)
{
    enum err err = index_add(&segment->offsets, place,
                             (struct index_entry){last_offset - segment->base, position});
    return err == ERR_OK ? index_time(segment, place) : err;
}

/* A write that failed may have left bytes: the next recovery must not meet them behind later ones.
 * Until the next sync they may come back, though all records before them were synced. */
static enum err take_back(struct segment *segment, const struct segment_place *place,
                          struct log_file *file, enum err why)
{
    segment->indexed = -1;
    if (file_truncate(place->files->env, file->file, (uint64_t)segment->size) != ERR_OK)
        return ERR_IO;
    return why;
}

enum err segment_append(struct segment *segment, const struct segment_place *place,
                        const struct segment_chunk *chunk, int32_t index_interval_bytes)
{
    struct log_file *file = NULL;

    /* Both may read the end of their file: before anything is written. */
    enum err err = index_load(&segment->offsets, place);
    if (err == ERR_OK) err = index_load(&segment->times, place);
    if (err == ERR_OK) err = use(segment, place, 0, &file);
    if (err != ERR_OK) return err;

    err = file_write_at(place->files->env, file->file, (uint64_t)segment->size, chunk->bytes);
    if (err != ERR_OK) err = take_back(segment, place, file, err);
    handles_drop(&file);
    if (err != ERR_OK) return err;

    int64_t position = segment->size;
    segment->size += (int64_t)chunk->bytes.len;
    if (position == 0) segment->first_timestamp = chunk->max_timestamp;
    segment_note_time(segment, chunk->max_timestamp, chunk->max_timestamp_offset);
    if (segment->since_index > index_interval_bytes) {
        /* The entry is a help to find, no more: what stops it is a broken device, and that shows at
         * the next sync. An index that cannot take the entry stays as it is. */
        (void)!segment_index(segment, place, chunk->last_offset, position);
        segment->since_index = 0;
    }
    segment->since_index += (int64_t)chunk->bytes.len;
    return ERR_OK;
}

/* ---- look ---- */

enum err segment_batch_at(struct segment *segment, const struct segment_place *place,
                          int64_t position, struct scan_batch *out)
{
    uint8_t head[SCAN_HEAD_BYTES];
    struct log_file *file = NULL;
    struct scan_batch batch;
    size_t wanted = sizeof(head), n = 0;

    if (position >= segment->size) return ERR_NOT_FOUND;
    if ((int64_t)wanted > segment->size - position) wanted = (size_t)(segment->size - position);
    enum err err = use(segment, place, 0, &file);
    if (err == ERR_OK) err = handles_read(file, position, head, wanted, &n);
    handles_drop(&file);
    if (err == ERR_OK) err = scan_head(slice_of(head, n), &batch);
    if (err == ERR_TRUNCATED || (err == ERR_OK && batch.size > segment->size - position))
        err = ERR_CORRUPT;
    if (err == ERR_OK) *out = batch;
    return err;
}

/* From `position`, where a batch begins of which no offset is above `first_last_max`, if the index
 * told the truth. */
static enum err find_from(struct segment *segment, const struct segment_place *place,
                          int64_t offset, int64_t position, int64_t first_last_max, int64_t *found,
                          struct scan_batch *out)
{
    struct scan_batch batch;
    int64_t last = segment->base - 1, last_max = first_last_max;
    enum err err;

    while ((err = segment_batch_at(segment, place, position, &batch)) == ERR_OK) {
        if (batch.last_offset <= last || batch.last_offset > last_max) return ERR_CORRUPT;
        last_max = INT64_MAX;
        last = batch.last_offset;
        if (last >= offset) break;
        position += batch.size;
    }
    if (err == ERR_OK) {
        *found = position;
        *out = batch;
    }
    return err;
}

enum err segment_find(struct segment *segment, const struct segment_place *place, int64_t offset,
                      int64_t *position, struct scan_batch *out)
{
    struct index_entry entry = {0, 0};
    enum err err = index_find(&segment->offsets, place, offset - segment->base, &entry);

    if (err != ERR_OK && err != ERR_NOT_FOUND && err != ERR_CORRUPT) return err;
    bool is_indexed = err == ERR_OK && entry.value > 0 && entry.value < segment->size;
    if (!is_indexed) return find_from(segment, place, offset, 0, INT64_MAX, position, out);
    err = find_from(segment, place, offset, entry.value, segment->base + entry.key, position, out);
    /* An index that leads astray is slower, not wrong. */
    if (err == ERR_CORRUPT) err = find_from(segment, place, offset, 0, INT64_MAX, position, out);
    return err;
}

enum err segment_first_timestamp(struct segment *segment, const struct segment_place *place,
                                 int64_t *out)
{
    struct scan_batch batch;

    if (segment->first_timestamp == SEGMENT_TIME_UNKNOWN) {
        enum err err = segment_batch_at(segment, place, 0, &batch);
        /* One that is damaged is for its readers; who appends is not kept from it. */
        if (err != ERR_OK && err != ERR_NOT_FOUND && err != ERR_CORRUPT) return err;
        segment->first_timestamp = err == ERR_OK ? batch.max_timestamp : -1;
    }
    *out = segment->first_timestamp;
    return ERR_OK;
}

enum err segment_load_times(struct segment *segment, const struct segment_place *place)
{
    struct index_entry last;
    enum err err = index_last(&segment->times, place, &last);

    if (err == ERR_OK) {
        segment->max_timestamp = last.key;
        segment->max_timestamp_offset = segment->base + last.value;
    }
    return err == ERR_NOT_FOUND || err == ERR_CORRUPT ? ERR_OK : err;
}

/* Batches behind the one that has the highest timestamp at which it is tried: times nearly always
 * go up, so that an index which was cut is found out by the next one. */
#define TIMES_CHECKED 64

bool segment_has_true_times(struct segment *segment, const struct segment_place *place)
{
    struct scan_batch batch;
    int64_t position = 0;

    if (segment->max_timestamp < 0) return true;
    if (segment->max_timestamp_offset < segment->base ||
        segment_find(segment, place, segment->max_timestamp_offset, &position, &batch) != ERR_OK ||
        batch.max_timestamp != segment->max_timestamp)
        return false;
    for (int i = 0; i < TIMES_CHECKED; i++) {
        position += batch.size;
        if (segment_batch_at(segment, place, position, &batch) != ERR_OK) break;
        if (batch.max_timestamp > segment->max_timestamp) return false;
    }
    return true;
}

enum err segment_next_offset(struct segment *segment, const struct segment_place *place,
                             int64_t *out, int32_t *epoch)
{
    struct index_entry last = {0, 0};
    struct scan_batch batch;
    int32_t latest = -1;
    int64_t next = segment->base, position = 0;

    if (segment->size == 0) {
        *out = next;
        *epoch = latest;
        return ERR_OK;
    }
    enum err err = index_last(&segment->offsets, place, &last);
    if (err == ERR_OK)
        position = last.value;
    else if (err != ERR_NOT_FOUND)
        return err;
    if (position < 0 || position >= segment->size) return ERR_CORRUPT;
    while ((err = segment_batch_at(segment, place, position, &batch)) == ERR_OK) {
        if (batch.last_offset < next) return ERR_CORRUPT;
        next = batch.last_offset + 1;
        segment_note_time(segment, batch.max_timestamp, batch.last_offset);
        latest = batch.leader_epoch;
        position += batch.size;
    }
    if (err != ERR_NOT_FOUND) return err;
    *out = next;
    *epoch = latest;
    return ERR_OK;
}

/* ---- end ---- */

enum err segment_seal(struct segment *segment, const struct segment_place *place,
                      bool was_allocated)
{
    struct log_file *file = NULL;
    enum err err = ERR_OK;

    if (segment->size > 0) err = index_time(segment, place);
    if (err == ERR_OK) err = index_save(&segment->offsets, place, true);
    if (err == ERR_OK) err = index_save(&segment->times, place, true);
    if (err == ERR_OK && was_allocated) {
        err = use(segment, place, 0, &file);
        if (err == ERR_OK)
            err = file_truncate(place->files->env, file->file, (uint64_t)segment->size);
        handles_drop(&file);
    }
    return err;
}

enum err segment_truncate(struct segment *segment, const struct segment_place *place,
                          int64_t offset)
{
    struct log_file *file = NULL;
    struct scan_batch batch;
    int64_t position = 0;
    int32_t epoch;

    enum err err = segment_find(segment, place, offset, &position, &batch);
    if (err == ERR_NOT_FOUND) return ERR_OK; /* all of it is below */
    if (err == ERR_OK) err = index_truncate(&segment->offsets, place, offset - segment->base);
    if (err == ERR_OK) err = index_truncate(&segment->times, place, offset - segment->base);
    if (err == ERR_OK) err = use(segment, place, 0, &file);
    if (err == ERR_OK) err = file_truncate(place->files->env, file->file, (uint64_t)position);
    handles_drop(&file);
    if (err != ERR_OK) return err;

    segment->size = position;
    if (segment->synced > position) segment->synced = position;
    segment->indexed = -1;
    segment->since_index = 0;
    segment->max_timestamp = segment->max_timestamp_offset = -1;
    if (position == 0) segment->first_timestamp = -1;
    /* The highest timestamp: of the time index, and of what follows its last entry. */
    err = segment_load_times(segment, place);
    return err == ERR_OK ? segment_next_offset(segment, place, &position, &epoch) : err;
}

enum err segment_cut_behind(struct segment *segment, const struct segment_place *place,
                            int64_t last_offset)
{
    struct log_file *file = NULL;
    struct scan_batch batch;
    int64_t position = 0;

    enum err err = segment_find(segment, place, last_offset, &position, &batch);
    if (err == ERR_OK && batch.last_offset != last_offset) err = ERR_NOT_FOUND;
    if (err == ERR_OK) err = use(segment, place, 0, &file);
    if (err != ERR_OK) return err;
    position += batch.size;
    err = file_truncate(place->files->env, file->file, (uint64_t)position);
    handles_drop(&file);
    if (err != ERR_OK) return err;

    segment->size = position;
    if (segment->synced > position) segment->synced = position;
    segment->indexed = -1;
    return ERR_OK;
}

enum err segment_mark_deleted(struct segment *segment, const struct segment_place *place,
                              bool keeps_producers)
{
    static const char *const extensions[] = {NAMES_LOG, NAMES_OFFSETS, NAMES_TIMES, NAMES_ABORTED,
                                             NAMES_PRODUCERS};
    char from[FILES_PATH_MAX], to[FILES_PATH_MAX];
    enum err err = ERR_OK;

    handles_forget(&segment->slot);
    handles_forget(&segment->offsets.slot);
    handles_forget(&segment->times.slot);
    for (size_t i = 0; err == ERR_OK && i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        if (keeps_producers && strcmp(extensions[i], NAMES_PRODUCERS) == 0) continue;
        err = names_segment(from, place->directory, place->base, extensions[i], "");
        if (err == ERR_OK)
            err = names_segment(to, place->directory, place->base, extensions[i], NAMES_DELETED);
        if (err == ERR_OK) err = files_rename(place->files->env, from, to);
        if (err == ERR_FULL) /* a directory may need room even for that; removing gives some */
            err = files_remove(place->files->env, from);
        if (err == ERR_NOT_FOUND) err = ERR_OK;
    }
    return err;
}

enum err segment_remove(const struct segment_place *place)
{
    static const char *const extensions[] = {NAMES_LOG, NAMES_OFFSETS, NAMES_TIMES};
    char path[FILES_PATH_MAX];
    enum err err = ERR_OK;

    for (size_t i = 0; err == ERR_OK && i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        err = names_segment(path, place->directory, place->base, extensions[i], "");
        if (err == ERR_OK) err = files_remove(place->files->env, path);
        if (err == ERR_NOT_FOUND) err = ERR_OK;
    }
    return err;
}
