/* broker/log/recover.c - see recover.h. The order of the steps is what makes each crash harmless;
 * it is Kafka's, so that either may find what the other left. */
#include "broker/log/recover.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/planted.h"
#include "base/text.h"
#include "broker/log/aborted.h"
#include "broker/log/checkpoint.h"
#include "broker/log/names.h"
#include "broker/log/snapshots.h"
#include <stdlib.h>

#define SCAN_BYTES          (256 * 1024) /* read at once; grows for a larger batch */
#define EPOCHS_BYTES_MAX    ((size_t)64 << 20)
#define TOPIC_ID_BYTES_MAX  4096
#define COMPACTED_BYTES_MAX 64

/* ---- one segment ---- */

/* Reads a file front to back through one buffer. */
struct scanner {
    const struct env *env;
    struct file *file;
    uint8_t *bytes;
    size_t capacity;
    int64_t at; /* of bytes[0] in the file */
    size_t len;
    int64_t size; /* of the file */
};

/* At least `wanted` bytes from `position` on, as far as the file has them. */
static enum err scanner_view(struct scanner *s, int64_t position, size_t wanted, struct slice *out)
{
    if ((int64_t)wanted > s->size - position) wanted = (size_t)(s->size - position);
    if (position < s->at || position + (int64_t)wanted > s->at + (int64_t)s->len) {
        if (wanted > s->capacity) {
            s->capacity = wanted;
            s->bytes = ensure_realloc(s->bytes, s->capacity);
        }
        s->at = position;
        enum err err =
            file_read_at(s->env, s->file, (uint64_t)position, s->bytes, s->capacity, &s->len);
        if (err != ERR_OK) return err;
    }
    size_t skipped = (size_t)(position - s->at);
    *out = slice_of(s->bytes + skipped, s->len - skipped);
    return ERR_OK;
}

/* The batch at `position`, whole and right. ERR_NOT_FOUND: there is none any more. */
static enum err scanner_batch(struct scanner *s, int64_t position, struct scan_batch *batch)
{
    struct slice bytes;

    enum err err = scanner_view(s, position, SCAN_HEAD_BYTES, &bytes);
    if (err != ERR_OK) return err;
    if (scan_head(bytes, batch) != ERR_OK || batch->size > s->size - position) return ERR_NOT_FOUND;
    err = scanner_view(s, position, (size_t)batch->size, &bytes);
    if (err != ERR_OK) return err;
    if ((int64_t)bytes.len < batch->size ||
        (!scan_is_intact(slice_of(bytes.ptr, (size_t)batch->size)) && !planted(torn_tail_kept)))
        return ERR_NOT_FOUND;
    return ERR_OK;
}

/* An epoch whose first batch is at `offset` began there, or where the table said, if that is not
 * before `low`: its first batches may have been compacted away. */
static int64_t began_at(const struct epochs *before, int32_t epoch, int64_t low, int64_t offset)
{
    for (int i = 0; i < before->count; i++)
        if (before->at[i].epoch == epoch && before->at[i].start >= low &&
            before->at[i].start <= offset)
            return before->at[i].start;
    return offset;
}

/* What is learnt of epochs as batches go by. */
struct epochs_scan {
    struct epochs *epochs;
    const struct epochs *before;
    int64_t low; /* where the next batch may begin */
    bool is_new; /* the last batch had an epoch of its own */
};

/* Tells of an epoch that is later than all that are known. No checksum covers it: that of one batch
 * alone, with an earlier one after it, was damaged. */
static enum err note_epoch(struct epochs_scan *scan, const struct scan_batch *batch)
{
    struct epoch_entry latest = epochs_latest(scan->epochs);
    int64_t low = scan->low;
    bool changed = false;

    scan->low = batch->last_offset + 1;
    if (batch->magic < 2 || batch->leader_epoch < 0) return ERR_OK;
    if (scan->is_new && batch->leader_epoch < latest.epoch)
        (void)epochs_truncate_end(scan->epochs, latest.start);
    scan->is_new = batch->leader_epoch > epochs_latest(scan->epochs).epoch;
    if (!scan->is_new) return ERR_OK;
    return epochs_start(scan->epochs, batch->leader_epoch,
                        began_at(scan->before, batch->leader_epoch, low, batch->base_offset),
                        &changed);
}

/* Gives where the good batches end. */
static enum err scan_batches(struct scanner *s, struct segment *segment,
                             const struct segment_place *place, const struct resume *from,
                             const struct log_config *config, struct epochs *epochs,
                             const struct epochs *before, int64_t dense_from, int64_t *next)
{
    struct epochs_scan scan = {.epochs = epochs, .before = before, .low = from->next};
    struct scan_batch batch;
    int64_t indexed = 0;
    enum err err;

    *next = from->next;
    segment->size = from->position;
    while ((err = scanner_batch(s, segment->size, &batch)) == ERR_OK) {
        /* A batch that does not go on from the one before, or is out of an index's reach, is the
         * rest of something else. */
        if (batch.last_offset < *next || batch.last_offset - segment->base > INT32_MAX ||
            (batch.magic == 2 && batch.base_offset < *next) || segment->size > INT32_MAX)
            break;
        /* No checksum covers its offset. */
        if (segment->size > 0 && batch.magic == 2 && batch.base_offset > *next &&
            batch.base_offset >= dense_from)
            break;
        if (segment->size == 0) segment->first_timestamp = batch.max_timestamp;
        segment_note_time(segment, batch.max_timestamp, batch.last_offset);
        if (segment->size - indexed > config->index_interval_bytes) {
            err = segment_index(segment, place, batch.last_offset, segment->size);
            if (err != ERR_OK) return err;
            indexed = segment->size;
        }
        err = note_epoch(&scan, &batch);
        if (err != ERR_OK) return err;
        segment->size += batch.size;
        *next = batch.last_offset + 1;
    }
    segment->since_index = segment->size - indexed;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err recover_segment(struct segment *segment, const struct segment_place *place,
                         const struct resume *from, const struct log_config *config,
                         struct epochs *epochs, const struct epochs *before, int64_t dense_from,
                         int64_t *next, int64_t *cut)
{
    struct scanner scanner = {.env = place->files->env, .capacity = SCAN_BYTES};
    struct log_file *file = NULL;
    uint64_t size = 0;
    enum err err = ERR_OK;

    segment->max_timestamp = segment->max_timestamp_offset = -1;
    if (from->position == 0) {
        index_fini(&segment->offsets);
        index_fini(&segment->times);
        segment->first_timestamp = -1;
        err = index_create(&segment->offsets, INDEX_OFFSETS, place);
        if (err == ERR_OK) err = index_create(&segment->times, INDEX_TIMES, place);
    } else {
        segment->first_timestamp = SEGMENT_TIME_UNKNOWN;
        err = segment_load_times(segment, place);
    }
    if (err == ERR_OK) err = segment_use(segment, place, &file);
    if (err == ERR_OK) err = file_size(place->files->env, file->file, &size);
    if (err == ERR_OK) {
        scanner.file = file->file;
        scanner.size = (int64_t)size;
        if (scanner.capacity > (size_t)scanner.size) scanner.capacity = (size_t)scanner.size + 1;
        scanner.bytes = ensure_malloc(scanner.capacity);
        err =
            scan_batches(&scanner, segment, place, from, config, epochs, before, dense_from, next);
    }
    free(scanner.bytes);
    if (err == ERR_OK && segment->size < (int64_t)size)
        err = file_truncate(place->files->env, file->file, (uint64_t)segment->size);
    handles_drop(&file);
    if (err == ERR_OK) err = segment_seal(segment, place, false);
    if (err == ERR_OK) *cut = (int64_t)size - segment->size;
    return err;
}

/* ---- the directory ---- */

struct found {
    struct names_file file;
    char *name;
    bool is_gone;
};

struct listing {
    struct found *at;
    int count, capacity;
    bool has_epochs, has_topic_id, has_compacted;
};

static void list_one(void *to, const char *name, bool is_directory)
{
    struct listing *listing = to;
    struct names_file file;

    if (is_directory) return;
    listing->has_epochs |= strcmp(name, CHECKPOINT_EPOCHS) == 0;
    listing->has_topic_id |= strcmp(name, CHECKPOINT_TOPIC_ID) == 0;
    listing->has_compacted |= strcmp(name, NAMES_COMPACTED) == 0;
    if (!names_parse_file(name, &file)) return;
    if (listing->count == listing->capacity) {
        listing->capacity = listing->capacity == 0 ? 4 : listing->capacity * 2;
        listing->at = ensure_realloc(listing->at, (size_t)listing->capacity * sizeof(*listing->at));
    }
    listing->at[listing->count++] = (struct found){file, ensure_strdup(name), false};
}

static void listing_fini(struct listing *listing)
{
    for (int i = 0; i < listing->count; i++)
        free(listing->at[i].name);
    free(listing->at);
}

static bool is_kind(const struct found *found, const char *extension, const char *suffix)
{
    return !found->is_gone && found->file.extension != NULL && found->file.suffix != NULL &&
           strcmp(found->file.extension, extension) == 0 && strcmp(found->file.suffix, suffix) == 0;
}

static bool has_suffix(const struct found *found, const char *suffix)
{
    return !found->is_gone && found->file.suffix != NULL && strcmp(found->file.suffix, suffix) == 0;
}

struct loading {
    const struct recover_request *request;
    struct recover_result *result;
    struct log *log;
    struct listing listing;
    struct epochs epochs_before; /* as the file has them */
    bool lacks_epochs;           /* their file is lost, empty or damaged */
    bool is_scanned;             /* the whole log was, and with it its epochs */
    int32_t last_epoch;          /* of the last batch; -1: none */
    int64_t disbelieved;         /* a log start that cannot be, after a stop that was not clean */
    int64_t aborted_from; /* from this segment on the indexes of aborted transactions are none */
};

/* One file of the partition's, for the line that names it. */
static void log_damaged(const struct loading *l, const char *name, const char *what)
{
    log_warn("log", "file_damaged", "path=%s/%s what=\"%s\"", l->log->path, name, what);
}

static void log_damaged_segment(const struct loading *l, int64_t base, const char *extension,
                                const char *what)
{
    char path[FILES_PATH_MAX];

    if (names_segment(path, l->log->path, base, extension, "") == ERR_OK)
        log_warn("log", "file_damaged", "path=%s what=\"%s\"", path, what);
}

static enum err remove_found(struct loading *l, struct found *found)
{
    char path[FILES_PATH_MAX];

    enum err err = names_join(path, l->log->path, found->name);
    if (err == ERR_OK) err = files_remove(l->request->env, path);
    if (err == ERR_OK || err == ERR_NOT_FOUND) found->is_gone = true;
    l->log->directory_dirty = true;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err remove_all(struct loading *l, const char *suffix)
{
    enum err err = ERR_OK;

    for (int i = 0; err == ERR_OK && i < l->listing.count; i++)
        if (has_suffix(&l->listing.at[i], suffix)) err = remove_found(l, &l->listing.at[i]);
    return err;
}

/* Steps 1: what was deleted, and what compaction did not finish. An interrupted split has left both
 * .cleaned and .swap files of the same segments: its swaps go with it. */
static enum err remove_leftovers(struct loading *l)
{
    int64_t cleaned_from = INT64_MAX;
    enum err err = remove_all(l, NAMES_DELETED);

    for (int i = 0; i < l->listing.count; i++)
        if (has_suffix(&l->listing.at[i], NAMES_CLEANED) &&
            l->listing.at[i].file.base < cleaned_from)
            cleaned_from = l->listing.at[i].file.base;
    for (int i = 0; err == ERR_OK && i < l->listing.count; i++)
        if (has_suffix(&l->listing.at[i], NAMES_SWAP) && l->listing.at[i].file.base >= cleaned_from)
            err = remove_found(l, &l->listing.at[i]);
    return err == ERR_OK ? remove_all(l, NAMES_CLEANED) : err;
}

/* The offset after the last of a complete segment's file under its .swap name. */
static enum err swap_end(struct loading *l, const struct found *found, int64_t *end)
{
    struct scan_batch batch;
    struct file *file = NULL;
    uint8_t head[SCAN_HEAD_BYTES];
    char path[FILES_PATH_MAX];
    uint64_t size = 0, position = 0;
    size_t n = 0;

    enum err err = names_join(path, l->log->path, found->name);
    if (err == ERR_OK) err = files_open(l->request->env, path, FILE_READ, &file);
    if (err == ERR_OK) err = file_size(l->request->env, file, &size);
    *end = found->file.base;
    while (err == ERR_OK && position < size) {
        err = file_read_at(l->request->env, file, position, head, sizeof(head), &n);
        if (err != ERR_OK || scan_head(slice_of(head, n), &batch) != ERR_OK) break;
        *end = batch.last_offset + 1;
        position += (uint64_t)batch.size;
    }
    file_close(l->request->env, &file);
    return err;
}

/* Steps 2 and 3: segments that were complete and about to replace others do so now. */
static enum err finish_swaps(struct loading *l)
{
    char from[FILES_PATH_MAX], to[FILES_PATH_MAX];
    int64_t low = INT64_MAX, high = INT64_MIN, end = 0;
    enum err err = ERR_OK;

    for (int i = 0; err == ERR_OK && i < l->listing.count; i++) {
        const struct found *found = &l->listing.at[i];
        if (!is_kind(found, NAMES_LOG, NAMES_SWAP)) continue;
        err = swap_end(l, found, &end);
        low = found->file.base < low ? found->file.base : low;
        high = end > high ? end : high;
    }
    for (int i = 0; err == ERR_OK && i < l->listing.count; i++) {
        struct found *found = &l->listing.at[i];
        if (!has_suffix(found, NAMES_SWAP) && !found->is_gone && found->file.extension != NULL &&
            found->file.base >= low && found->file.base < high)
            err = remove_found(l, found);
    }
    for (int i = 0; err == ERR_OK && i < l->listing.count; i++) {
        struct found *found = &l->listing.at[i];
        if (!has_suffix(found, NAMES_SWAP)) continue;
        err = names_join(from, l->log->path, found->name);
        found->name[strlen(found->name) - strlen(NAMES_SWAP)] = '\0';
        found->file.suffix = "";
        if (err == ERR_OK) err = names_join(to, l->log->path, found->name);
        if (err == ERR_OK) err = files_rename(l->request->env, from, to);
        /* One of that name is not in the range when nothing was left of its segment. */
        for (int k = 0; k < l->listing.count; k++)
            if (k != i && strcmp(l->listing.at[k].name, found->name) == 0)
                l->listing.at[k].is_gone = true;
        l->log->directory_dirty = true;
    }
    return err;
}

static struct found *find(struct loading *l, int64_t base, const char *extension)
{
    for (int i = 0; i < l->listing.count; i++)
        if (l->listing.at[i].file.base == base && is_kind(&l->listing.at[i], extension, ""))
            return &l->listing.at[i];
    return NULL;
}

static int by_base(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return (x->file.base > y->file.base) - (x->file.base < y->file.base);
}

/* A line of the cleaner's checkpoint. The active segment is never cleaned: one that says so is of
 * an earlier topic of the same name, whose log went after the checkpoint was written. */
static bool was_cleaned(const struct loading *l)
{
    return l->request->cleaned >= 0 && l->log->count > 0 &&
           l->request->cleaned <= log_active(l->log)->base;
}

/* Compaction leaves holes that mean nothing. That the log has been compacted its directory says:
 * what its topic asks for may not be known yet, and may have changed. */
static bool is_compacted(const struct loading *l)
{
    return l->log->config.is_compacted || l->listing.has_compacted || was_cleaned(l);
}

/* From here on no offset is missing within a segment. What was synced was as it is, whoever wrote
 * it. */
static int64_t dense_from(const struct loading *l)
{
    bool is_known = l->request->recovery_point > 0 || !l->request->is_clean;

    return is_known && !is_compacted(l) ? l->request->recovery_point : INT64_MAX;
}

/* Recovers segment `i`; when bytes were cut, what came after them has lost its ground. */
static enum err recover_from(struct loading *l, struct segment *segment, const struct resume *from,
                             int64_t *next, bool *was_cut)
{
    struct segment_place place = log_place(l->log, segment->base);
    int64_t cut = 0;

    enum err err = recover_segment(segment, &place, from, &l->log->config, &l->log->epochs,
                                   &l->epochs_before, dense_from(l), next, &cut);
    l->result->segments_recovered++;
    l->result->bytes_scanned += segment->size + cut - from->position;
    l->result->bytes_cut += cut;
    *was_cut = cut > 0;
    if (cut > 0) log_damaged_segment(l, segment->base, NAMES_LOG, "cut behind the last good batch");
    return err;
}

static enum err recover_one(struct loading *l, struct segment *segment, int64_t *next,
                            bool *was_cut)
{
    return recover_from(l, segment, &(struct resume){0, segment->base}, next, was_cut);
}

/* An index without its segment is nothing: unless it has entries, then the segment is lost. */
static enum err remove_orphan(struct loading *l, struct found *found)
{
    struct file_status status;
    char path[FILES_PATH_MAX];

    if (names_join(path, l->log->path, found->name) == ERR_OK &&
        files_status(l->request->env, path, &status) == ERR_OK && status.size > 0)
        log_damaged_segment(l, found->file.base, NAMES_LOG, "missing, but its index is here");
    return remove_found(l, found);
}

/* Entries that cannot be have it built anew, and those of all later segments with it. */
static enum err check_aborted(struct loading *l, struct segment *segment)
{
    struct segment_place place = log_place(l->log, segment->base);
    enum err err = aborted_check(l->request->env, &place);

    if (err != ERR_CORRUPT) return err;
    log_damaged_segment(l, segment->base, NAMES_ABORTED, "built anew");
    if (segment->base < l->aborted_from) l->aborted_from = segment->base;
    segment->has_aborted = false;
    return remove_found(l, find(l, segment->base, NAMES_ABORTED));
}

/* Step 4. */
static enum err load_segments(struct loading *l)
{
    struct listing *listing = &l->listing;
    struct file_status status;
    char path[FILES_PATH_MAX];
    enum err err = ERR_OK;

    if (listing->count > 1)
        qsort(listing->at, (size_t)listing->count, sizeof(*listing->at), by_base);
    for (int i = 0; err == ERR_OK && i < listing->count; i++) {
        struct found *found = &listing->at[i];
        if (is_kind(found, NAMES_PRODUCERS, "")) snapshots_found(l->log, found->file.base);
        bool is_index = is_kind(found, NAMES_OFFSETS, "") || is_kind(found, NAMES_TIMES, "") ||
                        is_kind(found, NAMES_ABORTED, "");
        if (is_index && find(l, found->file.base, NAMES_LOG) == NULL) err = remove_orphan(l, found);
        if (err != ERR_OK || !is_kind(found, NAMES_LOG, "")) continue;
        err = names_join(path, l->log->path, found->name);
        if (err == ERR_OK) err = files_status(l->request->env, path, &status);
        if (err != ERR_OK) break;
        struct segment *segment = segment_open(found->file.base, (int64_t)status.size);
        segment->opened_ms = l->request->now_ms;
        segment->has_aborted = find(l, found->file.base, NAMES_ABORTED) != NULL;
        log_add_segment(l->log, segment);
        if (segment->has_aborted) err = check_aborted(l, segment);
    }
    return err;
}

static enum err delete_after(struct loading *l, int last)
{
    int n = l->log->count - last - 1;

    if (n <= 0) return ERR_OK;
    log_warn("log", "segments_deleted", "partition=%.*s-%d from=%lld count=%d",
             SLICE_ARGS(l->log->topic), l->log->partition,
             (long long)l->log->segments[last + 1]->base, n);
    return log_delete_segments(l->log, last + 1, n, l->request->now_ms);
}

/* The pages of one file may be lost whole, so that nothing is torn, while the next one's are there:
 * what follows a hole is of no use. */
static bool is_hole(const struct loading *l, int i, int64_t next)
{
    const struct log *log = l->log;

    return i + 1 < log->count && log->segments[i + 1]->base > next;
}

/* Compaction may leave the end of a segment empty, but only where it has been: what was not synced
 * of a compacted log can be lost as that of any other. */
static int64_t compacted_to(const struct loading *l)
{
    int64_t noted = l->log->compacted_to, cleaned = was_cleaned(l) ? l->request->cleaned : 0;

    if (noted < 0 && l->request->is_foreign && (l->log->config.is_compacted || cleaned > 0))
        return INT64_MAX;
    /* Kafka may have been here in between, which writes the checkpoint alone. */
    return noted > cleaned ? noted : cleaned;
}

/* A truncation that the device has not heard of leaves a segment which reaches over the beginning
 * of the next one: that one was made afterwards. */
static enum err cut_overlap(struct loading *l, int i, int64_t *next)
{
    struct segment *segment = l->log->segments[i];
    struct segment_place place = log_place(l->log, segment->base);
    int64_t end = log_upper(l->log, i);

    if (i + 1 == l->log->count || *next <= end) return ERR_OK;
    log_warn("log", "overlap_cut", "partition=%.*s-%d segment=%lld end=%lld",
             SLICE_ARGS(l->log->topic), l->log->partition, (long long)segment->base,
             (long long)end);
    /* It may end before: then there is a hole, now and at every later start. */
    enum err err = segment_truncate(segment, &place, end);
    return err == ERR_OK ? segment_next_offset(segment, &place, next, &l->last_epoch) : err;
}

/* What is no batch, behind all that belongs to a segment, is of a write that failed: the device has
 * not heard that it was taken back. Elsewhere in it, it is damage: whoever reads there will say so.
 */
static enum err cut_leftover(struct loading *l, int i)
{
    struct segment *segment = l->log->segments[i];
    struct segment_place place = log_place(l->log, segment->base);
    enum err err = segment_cut_behind(segment, &place, log_upper(l->log, i) - 1);

    if (err == ERR_OK)
        log_damaged_segment(l, segment->base, NAMES_LOG, "cut behind the last good batch");
    return err == ERR_NOT_FOUND || err == ERR_CORRUPT ? ERR_OK : err;
}

/* The segment before the one at which recovery begins is believed, but for its end. */
static enum err check_end_before(struct loading *l, int from)
{
    struct log *log = l->log;
    int64_t next = 0;

    if (from <= 0 || from >= log->count || log->segments[from]->base != l->request->recovery_point)
        return ERR_OK;
    struct segment *segment = log->segments[from - 1];
    struct segment_place place = log_place(log, segment->base);
    enum err err = segment_load_times(segment, &place);
    if (err == ERR_OK) err = segment_next_offset(segment, &place, &next, &l->last_epoch);
    if (err == ERR_CORRUPT) return cut_leftover(l, from - 1);
    return err == ERR_OK ? cut_overlap(l, from - 1, &next) : err;
}

/* Where the segment of the recovery point is scanned from. */
static enum err find_place(struct loading *l, struct segment *segment, struct resume *out)
{
    struct segment_place place = log_place(l->log, segment->base);
    bool may = l->request->is_same_boot && find(l, segment->base, NAMES_OFFSETS) != NULL &&
               find(l, segment->base, NAMES_TIMES) != NULL;

    return may ? resume_find(segment, &place, l->request->recovery_point, out) : ERR_OK;
}

/* Steps 5 and 6: a segment without its indexes gets them; what was not synced is scanned. From
 * the oldest on: the first batch of an epoch says where it began. */
static enum err recover_segments(struct loading *l)
{
    struct log *log = l->log;
    int from = l->request->is_clean ? log->count : log_floor(log, l->request->recovery_point);
    int64_t next = 0, holes_to = 0;
    bool was_cut = false;

    l->is_scanned = from <= 0;
    enum err err = check_end_before(l, from);
    for (int i = 0; err == ERR_OK && i < log->count; i++) {
        struct segment *segment = log->segments[i];
        struct resume at = {0, segment->base};
        if (i == from) err = find_place(l, segment, &at);
        if (err != ERR_OK) break;
        /* Of what was not synced the table may have another history than the batches. */
        if (i == from || (i == 0 && from < 0)) (void)epochs_truncate_end(&log->epochs, at.next);
        bool has_offsets = find(l, segment->base, NAMES_OFFSETS) != NULL;
        bool has_times = find(l, segment->base, NAMES_TIMES) != NULL;
        if (i < from && has_offsets && has_times) continue;
        if (!has_offsets || !has_times)
            log_damaged_segment(l, segment->base, has_offsets ? NAMES_TIMES : NAMES_OFFSETS,
                                "missing, built anew");
        err = recover_from(l, segment, &at, &next, &was_cut);
        if (err == ERR_OK) err = cut_overlap(l, i, &next);
        if (err != ERR_OK || i < from) continue;
        bool has_hole = is_hole(l, i, next);
        if (has_hole && !was_cut && log->segments[i + 1]->base <= compacted_to(l)) {
            holes_to = log->segments[i + 1]->base;
        } else if (has_hole || was_cut) {
            log_warn("log", "tail_cut", "partition=%.*s-%d segment=%lld end=%lld",
                     SLICE_ARGS(log->topic), log->partition, (long long)segment->base,
                     (long long)next);
            err = delete_after(l, i);
        }
    }
    log->epochs_dirty |= !epochs_equal(&log->epochs, &l->epochs_before);
    /* What made others believe them may not be here next time. */
    if (err == ERR_OK && holes_to > log->compacted_to) {
        err = log_say_compacted(l->request->env, log->path, holes_to);
        log->compacted_to = holes_to;
    }
    return err;
}

/* What was synced of a segment is believed below the recovery point. But after a crash not that one
 * which ends there: a truncation to it may have cut it shorter, and only the page cache knows. The
 * next sync tells the device. */
static bool is_on_device(const struct loading *l, int i)
{
    int64_t end = log_upper(l->log, i);

    return end <= log_recovery_point(l->log) &&
           (l->request->is_clean || end != l->request->recovery_point);
}

/* An index of times that cannot be is built anew; that it can be does not say that it is right:
 * see log_retain. */
static enum err load_times_of(struct loading *l, int i)
{
    struct segment *segment = l->log->segments[i];
    struct segment_place place = log_place(l->log, segment->base);
    int64_t next;
    bool was_cut;

    enum err err = segment_load_times(segment, &place);
    if (err != ERR_OK ||
        (!segment->times.is_damaged && segment->max_timestamp_offset < log_upper(l->log, i)))
        return err;
    log_damaged_segment(l, segment->base, NAMES_TIMES, "built anew");
    err = recover_one(l, segment, &next, &was_cut);
    segment->indexed = -1;
    return err;
}

/* The highest timestamps of sealed segments, for retention and for finding by time. */
static enum err load_times(struct loading *l)
{
    struct log *log = l->log;
    enum err err = ERR_OK;

    for (int i = 0; err == ERR_OK && i + 1 < log->count; i++) {
        struct segment *segment = log->segments[i];
        if (is_on_device(l, i)) segment->synced = segment->indexed = segment->size;
        if (segment->max_timestamp < 0 && segment->size > 0) err = load_times_of(l, i);
    }
    return err;
}

/* Step 7: where the log ends. A last segment that does not end in a batch, though the stop was
 * clean, was left by something else: it is recovered. So it is when an index of its cannot be. */
static enum err find_end(struct loading *l)
{
    struct log *log = l->log;
    struct segment *active = log_active(log);
    struct segment_place place = log_place(log, active->base);
    bool was_cut = false;

    l->last_epoch = -1;
    if (active->size == 0) {
        log->end = active->base;
        return ERR_OK;
    }
    enum err err = segment_load_times(active, &place);
    if (err == ERR_OK) err = segment_next_offset(active, &place, &log->end, &l->last_epoch);
    bool is_damaged = active->times.is_damaged || active->offsets.is_damaged;
    bool is_long = l->request->is_clean && l->request->recovery_point > 0 &&
                   log->end > l->request->recovery_point;
    if (err == ERR_OK && (is_damaged || is_long || !segment_has_true_times(active, &place))) {
        log_damaged_segment(l, active->base, is_long ? NAMES_LOG : NAMES_TIMES, "scanned anew");
        err = ERR_CORRUPT;
    }
    if (err != ERR_CORRUPT) return err;
    err = recover_one(l, active, &log->end, &was_cut);
    return err == ERR_OK ? segment_next_offset(active, &place, &log->end, &l->last_epoch) : err;
}

/* Which epoch wrote what, from the batches alone: after those that are damaged it goes on with the
 * next segment. */
static enum err learn_epochs(struct loading *l)
{
    struct log *log = l->log;
    struct scan_batch batch;
    enum err err = ERR_OK;

    (void)epochs_clear(&log->epochs);
    for (int i = 0; err == ERR_OK && i < log->count; i++) {
        struct segment *segment = log->segments[i];
        struct segment_place place = log_place(log, segment->base);
        struct epochs_scan scan = {&log->epochs, &l->epochs_before, segment->base, false};
        int64_t position = 0;
        while (err == ERR_OK &&
               (err = segment_batch_at(segment, &place, position, &batch)) == ERR_OK) {
            err = note_epoch(&scan, &batch);
            position += batch.size;
        }
        if (err == ERR_NOT_FOUND || err == ERR_CORRUPT) err = ERR_OK;
    }
    log->epochs_dirty = true;
    return err;
}

/* The first batch of the last segment that has one; false: it is of a format without epochs. */
static bool find_epoch(const struct loading *l, struct scan_batch *batch)
{
    for (int i = l->log->count - 1; i >= 0 && i >= l->log->count - 2; i--) {
        struct segment_place place = log_place(l->log, l->log->segments[i]->base);
        if (segment_batch_at(l->log->segments[i], &place, 0, batch) == ERR_OK)
            return batch->magic == 2 && batch->leader_epoch >= 0;
    }
    return false;
}

/* A table that has the epochs of neither the last batch nor the first one of its segment is not
 * that of this log; where it lacks one of the two, the batch is damaged. */
static enum err check_epochs(struct loading *l)
{
    struct log *log = l->log;
    struct scan_batch first;
    bool fits = l->last_epoch < 0 || log->end <= l->request->log_start ||
                epochs_at(&log->epochs, log->end - 1) == l->last_epoch;

    if (l->is_scanned || (!l->lacks_epochs && fits) || !find_epoch(l, &first)) return ERR_OK;
    if (!l->lacks_epochs && epochs_at(&log->epochs, first.last_offset) == first.leader_epoch)
        return ERR_OK;
    log_damaged(l, CHECKPOINT_EPOCHS, "learnt anew from the batches");
    return learn_epochs(l);
}

/* What the checkpoints say and the log has not. A checkpoint that is older than the log itself
 * speaks of another one, of the same name, that was deleted; and a log to which nothing was ever
 * appended has promised nothing. Both are told by partition.metadata, which is written once, before
 * the first append, and is on the device before a checkpoint speaks of the log. */
static void find_loss(struct loading *l)
{
    const struct recover_request *request = l->request;
    struct file_status status = {0};
    struct log *log = l->log;
    char path[FILES_PATH_MAX];
    int64_t promised = 0, created_ms = 0;

    if (l->listing.has_topic_id && names_join(path, log->path, CHECKPOINT_TOPIC_ID) == ERR_OK &&
        files_status(request->env, path, &status) == ERR_OK)
        created_ms = status.modified_ms;
    bool is_unused = request->keeps_topic_ids && !l->listing.has_topic_id && log->end == 0;
    /* Nobody relies on a copy that is being made. */
    if (is_unused || request->is_future) return;
    promised = l->disbelieved;
    if (request->high_watermark > log->end && created_ms < request->high_watermark_ms &&
        request->high_watermark > promised)
        promised = request->high_watermark;
    if (request->recovery_point > log->end && created_ms < request->recovery_point_ms &&
        request->recovery_point > promised)
        promised = request->recovery_point;
    if (promised == 0) return;
    log_error(
        "log", "shorter_than_promised",
        "partition=%.*s-%d end=%lld promised=%lld watermark=%lld synced=%lld clean=%d path=%s",
        SLICE_ARGS(log->topic), log->partition, (long long)log->end, (long long)promised,
        (long long)request->high_watermark, (long long)request->recovery_point, request->is_clean,
        log->path);
    atomic_store(&log->promised, promised);
    l->result->is_short = true;
}

/* A start is never above the high watermark: one that is above all that the other checkpoints say
 * is damaged, and no reason to delete what there is. */
static bool is_start_possible(const struct recover_request *request)
{
    return request->log_start <= request->high_watermark ||
           request->log_start <= request->recovery_point;
}

/* Steps 7 to 11. */
static enum err settle_bounds(struct loading *l)
{
    const struct recover_request *request = l->request;
    struct log *log = l->log;
    bool was_kept = log->count > 0;
    enum err err = was_kept ? find_end(l) : ERR_OK;
    if (err == ERR_OK && was_kept) err = check_epochs(l);
    int64_t log_start = request->log_start;

    if (err == ERR_OK && was_kept && log->end < log_start && !is_start_possible(request)) {
        log_error("log", "start_not_believed",
                  "path=%s/" CHECKPOINT_LOG_START " partition=%.*s-%d start=%lld end=%lld",
                  request->dir->path, SLICE_ARGS(log->topic), log->partition, (long long)log_start,
                  (long long)log->end);
        l->disbelieved = request->is_clean ? 0 : log_start;
        log_start = 0;
    }
    if (err == ERR_OK && was_kept && log->end < log_start) {
        log_warn("log", "restarted", "partition=%.*s-%d end=%lld start=%lld",
                 SLICE_ARGS(log->topic), log->partition, (long long)log->end, (long long)log_start);
        err = log_delete_segments(log, 0, log->count, request->now_ms);
        log->epochs_dirty |= epochs_clear(&log->epochs);
        was_kept = false;
    }
    if (err == ERR_OK && log->count == 0) {
        log->end = log_start;
        err = log_roll_at(log, log_start, request->now_ms);
    }
    if (err != ERR_OK) return err;

    int64_t base = log->segments[0]->base;
    if (request->is_clean && was_kept && !l->lacks_epochs && log_start > base &&
        epochs_earliest(&log->epochs).start < log_start)
        /* The epochs had been cut at the start: that was another. */
        log_warn("log", "start_has_moved",
                 "path=%s/" CHECKPOINT_LOG_START " partition=%.*s-%d start=%lld epochs_start=%lld",
                 request->dir->path, SLICE_ARGS(log->topic), log->partition, (long long)log_start,
                 (long long)epochs_earliest(&log->epochs).start);
    int64_t start = log_start > base ? log_start : base;
    int64_t point = request->recovery_point < log->end ? request->recovery_point : log->end;
    if (request->is_clean && was_kept) point = log->end;
    log->start = start;
    log->recovery_point = point > start ? point : start;
    log->high_watermark = request->high_watermark < start      ? start
                          : request->high_watermark > log->end ? log->end
                                                               : request->high_watermark;
    if (request->is_clean && was_kept)
        log_active(log)->synced = log_active(log)->indexed = log_active(log)->size;
    log->epochs_dirty |= epochs_truncate_end(&log->epochs, log->end);
    log->epochs_dirty |= epochs_truncate_start(&log->epochs, log_start);
    log_publish(log);
    find_loss(l);
    atomic_store(&log->saved[0], request->recovery_point);
    log_set_cleaned_offset(log, request->cleaned <= log->end ? request->cleaned : -1);
    if (log->compacted_to > log->end) log->compacted_to = log->end;
    atomic_store(&log->saved[1], request->high_watermark);
    return ERR_OK;
}

/* ---- the small files ---- */

static enum err read_small(struct loading *l, const char *name, size_t size_max, struct buf *text)
{
    char path[FILES_PATH_MAX];
    enum err err = names_join(path, l->log->path, name);

    if (err == ERR_OK) err = files_read_all(l->request->env, path, size_max, text);
    return err == ERR_LIMIT ? ERR_CORRUPT : err;
}

/* What is no number, and not empty, is damaged: then nothing is known of its holes. */
static enum err load_compacted_to(struct loading *l)
{
    int64_t *to = &l->log->compacted_to;
    struct buf text;

    *to = -1;
    if (!l->listing.has_compacted) return ERR_OK;
    buf_init(&text);
    enum err err = read_small(l, NAMES_COMPACTED, COMPACTED_BYTES_MAX, &text);
    if (err == ERR_OK && text.len == 0)
        *to = 0;
    else if (err == ERR_CORRUPT ||
             (err == ERR_OK && text_int(text_trim(buf_slice(&text)), 0, INT64_MAX, to) != ERR_OK)) {
        log_damaged(l, NAMES_COMPACTED, "is no offset");
        *to = INT64_MAX;
        err = ERR_OK;
    }
    buf_fini(&text);
    return err;
}

static enum err load_epochs(struct loading *l)
{
    struct buf text;

    if (!l->listing.has_epochs) {
        l->lacks_epochs = true;
        l->log->epochs_dirty = true;
        return ERR_OK;
    }
    buf_init(&text);
    enum err err = read_small(l, CHECKPOINT_EPOCHS, EPOCHS_BYTES_MAX, &text);
    if (err == ERR_OK) err = checkpoint_read_epochs(buf_slice(&text), &l->log->epochs);
    if (err == ERR_CORRUPT || err == ERR_INVALID) {
        /* Kafka takes the directory offline, or does not start; the batches know as much. */
        (void)epochs_clear(&l->log->epochs);
        err = ERR_OK;
    }
    l->lacks_epochs = l->log->epochs.count == 0;
    if (err == ERR_OK) epochs_copy(&l->epochs_before, &l->log->epochs);
    buf_fini(&text);
    return err;
}

static enum err load_topic_id(struct loading *l)
{
    char path[FILES_PATH_MAX];
    struct buf text;

    if (!l->listing.has_topic_id) return ERR_OK;
    if (!l->request->keeps_topic_ids) {
        enum err err = names_join(path, l->log->path, CHECKPOINT_TOPIC_ID);
        return err == ERR_OK ? files_remove(l->request->env, path) : err;
    }
    buf_init(&text);
    enum err err = read_small(l, CHECKPOINT_TOPIC_ID, TOPIC_ID_BYTES_MAX, &text);
    if (err == ERR_OK) err = checkpoint_read_topic_id(buf_slice(&text), &l->log->topic_id);
    if (err == ERR_CORRUPT) log_damaged(l, CHECKPOINT_TOPIC_ID, "no topic id");
    buf_fini(&text);
    l->log->has_id_file = err == ERR_OK;
    /* Written, and not on the device when the power went: then nothing of the log was. */
    if (err != ERR_CORRUPT || l->request->is_clean || l->request->recovery_point > 0) return err;
    log_warn("log", "topic_id_lost", "partition=%.*s-%d", SLICE_ARGS(l->log->topic),
             l->log->partition);
    return ERR_OK;
}

/* Step 12. After a crash a file above what was synced is of a history that may be gone. One in the
 * middle of a segment was not synced itself. */
static enum err load_producers(struct loading *l)
{
    struct log *log = l->log;
    int floor = log_floor(log, l->request->recovery_point);
    int64_t base = log->segments[floor < 0 ? 0 : floor]->base;
    int64_t believed = base;
    bool is_clean = l->request->is_clean;

    if (l->request->is_same_boot && l->request->recovery_point > base)
        believed = l->request->recovery_point;
    if (l->aborted_from < (is_clean ? log->end : believed)) {
        believed = base = l->aborted_from;
        is_clean = false;
    }
    return snapshots_load(log, believed, base, is_clean, l->request->now_ms);
}

static struct log *shell(const struct recover_request *request)
{
    char path[FILES_PATH_MAX];

    if (names_join(path, request->dir->path, request->name) != ERR_OK) return NULL;
    struct log *log = log_create(request->env, request->dir, ensure_strdup(path), request->topic,
                                 request->partition, request->config);
    log->is_future = request->is_future;
    return log;
}

enum err recover_log(const struct recover_request *request, struct recover_result *result,
                     struct log **out)
{
    struct loading l = {.request = request,
                        .result = result,
                        .log = shell(request),
                        .last_epoch = -1,
                        .aborted_from = INT64_MAX};

    *result = (struct recover_result){0};
    if (l.log == NULL) return ERR_LIMIT;
    log_attach(l.log, request->files);
    enum err err = files_list(request->env, l.log->path, list_one, &l.listing);
    if (err == ERR_OK) err = load_topic_id(&l);
    if (err == ERR_OK) err = load_epochs(&l);
    if (err == ERR_OK) err = remove_leftovers(&l);
    if (err == ERR_OK) err = load_compacted_to(&l);
    if (err == ERR_OK) err = finish_swaps(&l);
    if (err == ERR_OK) err = load_segments(&l);
    if (err == ERR_OK) err = recover_segments(&l);
    if (err == ERR_OK) err = settle_bounds(&l);
    if (err == ERR_OK) err = load_times(&l);
    if (err == ERR_OK) err = load_producers(&l);
    listing_fini(&l.listing);
    epochs_fini(&l.epochs_before);
    log_detach(l.log);
    if (err == ERR_OK)
        *out = l.log;
    else
        log_destroy(&l.log);
    return err;
}

static void remove_file(void *to, const char *name, bool is_directory)
{
    const struct log *log = to;
    char path[FILES_PATH_MAX];

    if (!is_directory && names_join(path, log->path, name) == ERR_OK)
        (void)!files_remove(log->env, path);
}

void recover_uncreate(struct log **log)
{
    /* What cannot be removed is an empty log to the next start. */
    if (files_list((*log)->env, (*log)->path, remove_file, *log) == ERR_OK)
        (void)!files_remove_directory((*log)->env, (*log)->path);
    log_destroy(log);
}

enum err recover_create(const struct recover_request *request, struct log **out)
{
    char path[FILES_PATH_MAX];
    struct file *file = NULL;
    struct log *log = shell(request);

    if (log == NULL) return ERR_LIMIT;
    log_attach(log, request->files);
    enum err err = files_make_directory(request->env, log->path);
    bool is_made = err == ERR_OK;
    if (err == ERR_OK) err = log_roll_at(log, request->log_start, request->now_ms);
    if (err == ERR_OK) err = names_join(path, log->path, CHECKPOINT_EPOCHS);
    if (err == ERR_OK) err = files_open(request->env, path, FILE_WRITE | FILE_CREATE, &file);
    file_close(request->env, &file);
    log->end = request->log_start;
    log->start = request->log_start;
    log->recovery_point = request->log_start;
    log->high_watermark = request->log_start;
    if (err == ERR_OK) log_tell(log);
    log_detach(log);
    if (err == ERR_OK)
        *out = log;
    else if (is_made)
        recover_uncreate(&log);
    else
        log_destroy(&log);
    return err;
}
