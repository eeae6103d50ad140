/* broker/log/search.c - finding a record by its timestamp (storage reference §10).
 *
 * The segment is chosen on the shard from what is in memory; looking into it may touch cold pages
 * and opens compressed batches, so it is a job's, on files that the search holds open. A segment
 * that turns out to have no such record sends the search on to the next. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/log/names.h"
#include "broker/log/parts.h"
#include "wire/oldset.h"
#include "wire/record.h"
#include <stdlib.h>

#define OPENED_BYTES_MAX ((size_t)256 << 20)

struct search_state {
    int64_t timestamp; /* wanted at least; or LOG_TIME_MAX */
    int64_t least_offset;
    int64_t segment_base, size, position;
    int64_t wanted_max; /* LOG_TIME_MAX: the highest timestamp of the segment */
};

struct log_search {
    const struct env *env;
    struct search_state at;
    struct log_file *file; /* NULL: nothing to look into, `found` is the answer */
    struct log_found found;
    bool has_found;
    enum err err;
};

static const struct log_found nothing = {-1, -1, -1};

/* ---- choose ---- */

/* One of whose times nothing is known may have what is not younger than its file. */
static bool may_have(const struct log *log, const struct segment *segment, int64_t timestamp)
{
    if (segment->size == 0) return false;
    if (segment->max_timestamp >= 0) return segment->max_timestamp >= timestamp;
    return log_modified_ms(log, segment, INT64_MAX) >= timestamp;
}

/* Where in the segment to begin: the time index says up to which offset all is older. */
static enum err begin_at(struct log *log, struct segment *segment, int64_t timestamp,
                         int64_t *position)
{
    struct segment_place place = log_place(log, segment->base);
    struct index_entry entry = {0, 0};
    struct scan_batch batch;
    int64_t offset = log_start_offset(log);

    enum err err = index_find(&segment->times, &place, timestamp, &entry);
    if (err == ERR_OK && entry.key < timestamp && segment->base + entry.value > offset) {
        err = segment_find(segment, &place, segment->base + entry.value, position, &batch);
        /* So it is if the index tells the truth. */
        if (err == ERR_OK && batch.max_timestamp == entry.key) return ERR_OK;
    }
    if (err != ERR_OK && err != ERR_NOT_FOUND && err != ERR_CORRUPT) return err;
    if (offset < segment->base) offset = segment->base;
    err = segment_find(segment, &place, offset, position, &batch);
    if (err == ERR_NOT_FOUND) *position = segment->size;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* Takes the first segment from `from` on that may have what is wanted. */
static enum err choose(struct log *log, int from, struct log_search *search)
{
    int64_t timestamp = search->at.timestamp;
    int chosen = -1;

    for (int i = from; i < log->count; i++) {
        if (timestamp != LOG_TIME_MAX && may_have(log, log->segments[i], timestamp)) {
            chosen = i;
            break;
        }
        if (timestamp == LOG_TIME_MAX && log->segments[i]->size > 0 &&
            log->segments[i]->max_timestamp >= 0 && log_upper(log, i) > log_start_offset(log) &&
            (chosen < 0 || log->segments[i]->max_timestamp > log->segments[chosen]->max_timestamp))
            chosen = i;
    }
    if (chosen < 0) return ERR_OK;
    if (timestamp == LOG_TIME_MAX && !log_has_true_times(log, log->segments[chosen]))
        return choose(log, from, search); /* without that one's */

    struct segment *segment = log->segments[chosen];
    struct segment_place place = log_place(log, segment->base);
    search->at.segment_base = segment->base;
    search->at.size = segment->size;
    search->at.wanted_max = timestamp == LOG_TIME_MAX ? segment->max_timestamp : timestamp;
    search->at.least_offset = log_start_offset(log);
    enum err err = begin_at(log, segment, search->at.wanted_max, &search->at.position);
    return err == ERR_OK ? segment_use(segment, &place, &search->file) : err;
}

enum err log_search_start(struct log *log, int64_t timestamp, struct log_search **out)
{
    if (log_is_offline(log)) return ERR_OFFLINE;
    struct log_search *search = ensure_zalloc(sizeof(*search));
    *search = (struct log_search){.env = log->env, .found = nothing};
    search->at.timestamp = timestamp;

    enum err err = choose(log, 0, search);
    if (err != ERR_OK)
        free(search);
    else
        *out = search;
    return log_settle(log, err);
}

/* ---- look ---- */

static bool fits(struct log_search *search, int64_t offset, int64_t timestamp, int32_t epoch)
{
    if (timestamp < search->at.wanted_max || offset < search->at.least_offset) return false;
    search->found = (struct log_found){offset, timestamp, epoch};
    search->has_found = true;
    return true;
}

static enum err look_into_v2(struct log_search *search, struct slice bytes)
{
    struct batch batch;
    struct record record;
    struct buf opened;

    buf_init(&opened);
    enum err err = batch_view(bytes, &batch);
    struct slice records = err == ERR_OK ? batch.records : SLICE_NULL;
    if (err == ERR_OK && batch_codec(&batch) != BATCH_CODEC_NONE) {
        err = compress_read(batch_codec(&batch), BATCH_MAGIC, batch.records, OPENED_BYTES_MAX,
                            &opened);
        records = buf_slice(&opened);
    }
    if (err == ERR_OK) {
        struct record_reader reader = record_reader_of(records, batch.record_count);
        while (record_next(&reader, &record))
            if (fits(search, record_offset(&batch, &record), record_timestamp(&batch, &record),
                     batch.leader_epoch))
                break;
    }
    buf_fini(&opened);
    return err;
}

static enum err look_into_old(struct log_search *search, struct slice bytes)
{
    struct batch_entry entry;
    struct oldset_message message;
    struct oldset_reader reader;
    struct buf inner;

    buf_init(&inner);
    enum err err = batch_entry_take(&bytes, &entry);
    if (err == ERR_OK) err = oldset_open(&entry, OPENED_BYTES_MAX, &inner, &reader);
    while (err == ERR_OK && oldset_next(&reader, &message))
        if (fits(search, message.offset, message.timestamp, -1)) break;
    buf_fini(&inner);
    return err;
}

static enum err look_into(struct log_search *search, int64_t position,
                          const struct scan_batch *batch)
{
    uint8_t *bytes = ensure_malloc((size_t)batch->size);
    size_t n = 0;

    enum err err = file_read_at(search->env, search->file->file, (uint64_t)position, bytes,
                                (size_t)batch->size, &n);
    if (err == ERR_OK && (int64_t)n < batch->size) err = ERR_CORRUPT;
    struct slice whole = slice_of(bytes, n);
    if (err == ERR_OK && !scan_is_intact(whole)) err = ERR_CORRUPT;
    if (err == ERR_OK)
        err = batch->magic == 2 ? look_into_v2(search, whole) : look_into_old(search, whole);
    free(bytes);
    return err;
}

void log_search_run(struct log_search *search)
{
    uint8_t head[SCAN_HEAD_BYTES];
    struct scan_batch batch;
    enum err err = ERR_OK;
    size_t n = 0;

    if (search->file == NULL) return;
    for (int64_t position = search->at.position;
         err == ERR_OK && !search->has_found && position < search->at.size;
         position += batch.size) {
        err = file_read_at(search->env, search->file->file, (uint64_t)position, head, sizeof(head),
                           &n);
        if (err == ERR_OK) err = scan_head(slice_of(head, n), &batch);
        if (err == ERR_OK && batch.size > search->at.size - position) err = ERR_CORRUPT;
        if (err == ERR_OK && batch.max_timestamp >= search->at.wanted_max &&
            batch.last_offset >= search->at.least_offset)
            err = look_into(search, position, &batch);
    }
    search->err =
        err == ERR_TRUNCATED || err == ERR_UNSUPPORTED || err == ERR_LIMIT ? ERR_CORRUPT : err;
}

/* ---- answer ---- */

bool log_search_done(struct log *log, struct log_search **search, enum err *err,
                     struct log_found *out)
{
    struct log_search *s = *search;
    enum err result = s->err;

    bool had_file = s->file != NULL;
    handles_drop(&s->file);
    if (result == ERR_OK && had_file && !s->has_found && s->at.timestamp != LOG_TIME_MAX) {
        int i = log_floor(log, s->at.segment_base);
        result = choose(log, i + 1, s);
        if (result == ERR_OK && s->file != NULL) return false;
    }
    handles_drop(&s->file);
    if (result == ERR_CORRUPT)
        log_error("log", "segment_damaged", "path=%s/%020lld" NAMES_LOG " timestamp=%lld",
                  log->path, (long long)s->at.segment_base, (long long)s->at.timestamp);
    *err = log_settle(log, result);
    *out = result == ERR_OK ? s->found : nothing;
    free(s);
    *search = NULL;
    return true;
}
