/* broker/log/check.c - see check.h. One pass over the heads, one over the records; a third, slow
 * one only to tell a producer which records were bad. */
#include "broker/log/check.h"
#include "base/ensure.h"
#include "broker/log/scan.h"
#include "wire/compress.h"
#include "wire/oldset.h"
#include "wire/record.h"
#include <stdlib.h>

/* What a batch may become when it is opened. Kafka streams and has no such bound; memory has. */
#define OPENED_BYTES_LEAST ((size_t)16 << 20)
#define OPENED_FACTOR      32
#define SHOWN_ERRORS_MAX   3

/* ---- versions of Produce ---- */

enum err check_version(int produce_version, struct slice records)
{
    struct batch_entry entry, second;
    struct batch batch;

    if (produce_version < 3) return ERR_OK;
    enum err err = batch_entry_take(&records, &entry);
    if (err == ERR_TRUNCATED) return ERR_INVALID_RECORD;
    if (err != ERR_OK) return err;
    if (entry.magic != BATCH_MAGIC) return ERR_INVALID_RECORD;
    err = batch_view(entry.bytes, &batch);
    if (err != ERR_OK) return err;
    if (produce_version < 7 && batch_codec(&batch) == BATCH_CODEC_ZSTD) return ERR_UNSUPPORTED;
    err = batch_entry_take(&records, &second);
    if (err == ERR_OK) return ERR_INVALID_RECORD;
    return err == ERR_TRUNCATED ? ERR_OK : err;
}

/* ---- from a leader ---- */

enum err check_replicated(struct slice bytes, struct check_run *out)
{
    struct check_run run = {.max_timestamp = -1, .max_timestamp_offset = -1, .last_offset = -1};
    struct scan_batch batch;
    enum err err;

    while ((err = scan_head(bytes, &batch)) == ERR_OK && batch.size <= (int64_t)bytes.len) {
        if (!scan_is_intact(slice_of(bytes.ptr, (size_t)batch.size))) return ERR_CORRUPT;
        if (run.batches > 0 && batch.last_offset <= run.last_offset) return ERR_RANGE;
        run.has_holes |=
            run.batches > 0 && batch.magic == 2 && batch.base_offset > run.last_offset + 1;
        if (run.batches++ == 0) run.first_offset = batch.base_offset;
        run.last_offset = batch.last_offset;
        run.len += (size_t)batch.size;
        run.is_legacy |= batch.magic < 2;
        if (batch.max_timestamp > run.max_timestamp) {
            run.max_timestamp = batch.max_timestamp;
            run.max_timestamp_offset = batch.last_offset;
        }
        bytes = slice_of(bytes.ptr + batch.size, bytes.len - (size_t)batch.size);
    }
    if (err == ERR_CORRUPT) return err;
    *out = run;
    return ERR_OK;
}

/* ---- from a producer ---- */

/* One check, as it goes on. */
struct checking {
    const struct check_request *request;
    const struct log_config *config;
    struct checked result;
    struct check_refusal refusal;
    int32_t errors_capacity;
    bool has_bad_time;

    size_t whole; /* bytes of the whole batches */
    int32_t batches;
    int8_t magic; /* of all of them */
    int source_codec, target_codec;
};

static bool from_client(const struct checking *c)
{
    return c->request->origin == CHECK_CLIENT;
}

static size_t opened_bytes_max(const struct log_config *config)
{
    size_t limit = (size_t)config->message_bytes_max * OPENED_FACTOR;

    return limit < OPENED_BYTES_LEAST ? OPENED_BYTES_LEAST : limit;
}

/* The frame, the size and the checksum of one entry. */
static enum err check_entry(struct checking *c, const struct batch_entry *entry)
{
    struct oldset_message message;
    struct batch batch;

    if (entry->magic == BATCH_MAGIC && from_client(c) && entry->offset != 0)
        return ERR_INVALID_RECORD;
    if (entry->bytes.len > (size_t)c->config->message_bytes_max) return ERR_TOO_LARGE;
    int codec = BATCH_CODEC_NONE;
    enum err err;
    if (entry->magic == BATCH_MAGIC) {
        err = batch_view(entry->bytes, &batch);
        if (err == ERR_OK) err = batch_check(&batch);
        if (err == ERR_OK) codec = batch_codec(&batch);
    } else {
        err = oldset_view(entry, &message);
        if (err == ERR_OK) codec = oldset_codec(&message);
    }
    if (err != ERR_OK) return err;
    if (codec >= BATCH_CODEC_COUNT) return ERR_INVALID;
    if (codec != BATCH_CODEC_NONE) c->source_codec = codec;
    return ERR_OK;
}

/* All entries one by one; then what they must have in common. */
static enum err check_entries(struct checking *c)
{
    struct slice rest = slice_of(c->request->bytes, c->request->len);
    struct batch_entry entry;
    bool is_mixed = false;
    enum err err;

    while ((err = batch_entry_take(&rest, &entry)) == ERR_OK) {
        err = check_entry(c, &entry);
        if (err != ERR_OK) return err;
        if (c->batches++ == 0) c->magic = entry.magic;
        is_mixed |= entry.magic != c->magic;
        c->whole += entry.bytes.len;
    }
    if (err != ERR_TRUNCATED) return err;
    bool is_one = c->magic == BATCH_MAGIC || c->source_codec != BATCH_CODEC_NONE;
    if (is_mixed || (is_one && from_client(c) && c->batches > 1)) return ERR_INVALID_RECORD;
    c->target_codec = c->config->compression == LOG_COMPRESSION_PRODUCER ? c->source_codec
                                                                         : c->config->compression;
    return ERR_OK;
}

/* ---- what is wrong with a record ---- */

static void add_error(struct checking *c, int32_t index, struct slice message)
{
    struct check_refusal *refusal = &c->refusal;

    if (refusal->count == c->errors_capacity) {
        int32_t capacity = c->errors_capacity == 0 ? 4 : c->errors_capacity * 2;
        struct check_bad_record *grown =
            arena_try(c->request->arena, (size_t)capacity * sizeof(*grown));
        if (grown == NULL)
            return; /* the request has used up its memory: it is refused all the same */
        if (refusal->count > 0)
            memcpy(grown, refusal->records, (size_t)refusal->count * sizeof(*grown));
        refusal->records = grown;
        c->errors_capacity = capacity;
    }
    refusal->records[refusal->count++] = (struct check_bad_record){index, message};
}

static bool is_time_out_of_range(const struct checking *c, int64_t timestamp)
{
    int64_t past, future;

    if (c->config->timestamp_before_ms_max == INT64_MAX &&
        c->config->timestamp_after_ms_max == INT64_MAX)
        return false;
    bool over = __builtin_sub_overflow(c->request->now_ms, timestamp, &past) ||
                __builtin_sub_overflow(timestamp, c->request->now_ms, &future);

    return over || past > c->config->timestamp_before_ms_max ||
           future > c->config->timestamp_after_ms_max;
}

/* One record, of whatever format. */
static void check_record(struct checking *c, int32_t index, int64_t offset, struct slice key,
                         int64_t timestamp, bool has_append_time)
{
    const struct check_request *r = c->request;

    if (c->config->is_compacted && slice_is_null(key)) {
        add_error(c, index,
                  arena_printf(r->arena,
                               "Compacted topic cannot accept message without key in topic "
                               "partition %.*s-%d",
                               SLICE_ARGS(r->topic), r->partition));
    } else if (!c->config->is_append_time && timestamp != -1) {
        if (!is_time_out_of_range(c, timestamp)) return;
        int64_t before = c->config->timestamp_before_ms_max,
                after = c->config->timestamp_after_ms_max;
        c->has_bad_time = true;
        add_error(c, index,
                  arena_printf(r->arena,
                               "Timestamp %lld of message with offset %lld is out of range. The "
                               "timestamp should be within [%lld, %lld]",
                               (long long)timestamp, (long long)offset,
                               (long long)((uint64_t)r->now_ms - (uint64_t)before),
                               (long long)((uint64_t)r->now_ms + (uint64_t)after)));
    } else if (has_append_time) {
        c->has_bad_time = true;
        add_error(c, index, SLICE("The timestamp type LogAppendTime is not a producer's to set"));
    }
}

/* Fails the whole partition if a record was bad. */
static enum err errors_found(struct checking *c)
{
    struct check_refusal *refusal = &c->refusal;
    struct buf text;

    if (refusal->count == 0) return ERR_OK;
    if (c->has_bad_time) {
        refusal->message = SLICE("One or more records have been rejected due to invalid timestamp");
        return ERR_INVALID_TIMESTAMP;
    }
    buf_init(&text);
    buf_printf(&text,
               "One or more records have been rejected due to %d record errors in total, and only "
               "showing the first three errors at most: [",
               refusal->count);
    for (int i = 0; i < refusal->count && i < SHOWN_ERRORS_MAX; i++)
        buf_printf(&text, "%sRecordError(batchIndex=%d, message='%.*s')", i == 0 ? "" : ", ",
                   refusal->records[i].index, SLICE_ARGS(refusal->records[i].message));
    buf_add_text(&text, "]");
    refusal->message = arena_copy(c->request->arena, buf_slice(&text));
    buf_fini(&text);
    return ERR_INVALID_RECORD;
}

/* ---- a batch v2 ---- */

static enum err check_batch(const struct checking *c, const struct batch *batch)
{
    if (!from_client(c)) return ERR_OK;
    if (batch->record_count <= 0 || batch->last_offset_delta < 0 ||
        (int64_t)batch->last_offset_delta + 1 != batch->record_count)
        return ERR_INVALID_RECORD;
    if (batch_is_control(batch)) return ERR_INVALID_RECORD;
    if (batch_has_producer(batch) && batch->base_sequence < 0) return ERR_INVALID_RECORD;
    return ERR_OK;
}

/* Whether the timestamps, which the walk has summed up, may have one that is refused. */
static bool may_have_bad_time(const struct checking *c, const struct batch *batch,
                              const struct record_walk *walk)
{
    int64_t low, high;

    if (batch_has_append_time(batch)) return true;
    if (c->config->is_append_time) return false;
    return __builtin_add_overflow(batch->base_timestamp, walk->min_timestamp_delta, &low) ||
           __builtin_add_overflow(batch->base_timestamp, walk->max_timestamp_delta, &high) ||
           is_time_out_of_range(c, low) || is_time_out_of_range(c, high);
}

/* Walks `records` (opened) of `batch`; `*max_timestamp` is the highest of theirs. */
static enum err check_records(struct checking *c, const struct batch *batch, struct slice records,
                              struct record_walk *walk, int64_t *max_timestamp)
{
    struct record record;

    enum err err = record_walk(records, batch->record_count, walk);
    if (err != ERR_OK) return err;
    bool is_compressed = batch_codec(batch) != BATCH_CODEC_NONE;
    if (from_client(c) && is_compressed && walk->has_inner_codec) return ERR_INVALID_RECORD;
    if ((c->config->is_compacted && walk->null_keys > 0) || may_have_bad_time(c, batch, walk)) {
        struct record_reader reader = record_reader_of(records, batch->record_count);
        while (from_client(c) && record_next(&reader, &record))
            check_record(c, record.index, record_offset(batch, &record), record.key,
                         record_timestamp(batch, &record), batch_has_append_time(batch));
    }
    *max_timestamp =
        batch_has_append_time(batch)
            ? batch->max_timestamp
            : (int64_t)((uint64_t)batch->base_timestamp + (uint64_t)walk->max_timestamp_delta);
    return errors_found(c);
}

/* Opening costs as much as all the rest of a produce: only where something asks for it. */
static bool must_open(const struct checking *c)
{
    const struct log_config *config = c->config;

    return config->validate_compressed || config->is_compacted ||
           c->target_codec != c->source_codec ||
           (!config->is_append_time && (config->timestamp_before_ms_max != INT64_MAX ||
                                        config->timestamp_after_ms_max != INT64_MAX));
}

/* ---- results ---- */

static void give(struct checked *out, uint8_t *bytes, size_t len, int64_t records, int64_t offsets,
                 int64_t max_timestamp)
{
    out->bytes = bytes;
    out->len += len;
    out->record_count += records;
    out->offset_count += offsets;
    if (max_timestamp > out->max_timestamp) {
        out->max_timestamp = max_timestamp;
        out->max_timestamp_offset = out->offset_count - 1;
    }
}

/* What is stored is what came, with timestamps set right. */
static void keep_in_place(struct checking *c, struct slice bytes, const struct batch *batch,
                          int64_t max_timestamp)
{
    uint8_t *at = c->request->bytes + (bytes.ptr - c->request->bytes);
    bool is_append_time = c->config->is_append_time;
    int64_t highest = is_append_time ? c->request->now_ms : max_timestamp;

    batch_set_max_timestamp(at, bytes.len, is_append_time, highest);
    if (!from_client(c)) batch_set_base_offset(at, c->result.offset_count);
    give(&c->result, c->request->bytes, bytes.len, batch->record_count,
         (int64_t)batch->last_offset_delta + 1, highest);
}

static int level_of(const struct log_config *config, int codec)
{
    switch (codec) {
    case BATCH_CODEC_GZIP:
        return config->gzip_level;
    case BATCH_CODEC_LZ4:
        return config->lz4_level;
    case BATCH_CODEC_ZSTD:
        return config->zstd_level;
    default:
        return COMPRESS_LEVEL_DEFAULT;
    }
}

static void begin_rebuild(struct checking *c, struct record_builder *builder)
{
    buf_clear(c->request->rebuilt);
    record_builder_begin(builder, c->request->rebuilt);
    builder->head.attributes = (uint16_t)c->target_codec;
    builder->level = level_of(c->config, c->target_codec);
}

static enum err end_rebuild(struct checking *c, struct record_builder *builder)
{
    struct buf *rebuilt = c->request->rebuilt;
    struct batch batch;

    if (builder->head.record_count == 0) return ERR_INVALID_RECORD;
    record_builder_end(builder);
    enum err err = batch_view(buf_slice(rebuilt), &batch);
    if (err != ERR_OK) return ERR_INVALID;
    int64_t highest = c->config->is_append_time ? c->request->now_ms : batch.max_timestamp;
    if (c->config->is_append_time)
        batch_set_max_timestamp(rebuilt->ptr, rebuilt->len, true, highest);
    if (rebuilt->len > (size_t)c->config->message_bytes_max) return ERR_TOO_LARGE;
    c->result.was_rebuilt = true;
    give(&c->result, rebuilt->ptr, rebuilt->len, batch.record_count,
         (int64_t)batch.last_offset_delta + 1, highest);
    return ERR_OK;
}

#define HEADERS_AT_ONCE 16

/* One record into the new batch, with its headers. */
static void copy_record(struct record_builder *builder, const struct record *record,
                        int64_t timestamp)
{
    struct record_header few[HEADERS_AT_ONCE], *headers = few;
    struct slice rest = record->headers;

    if (record->header_count > HEADERS_AT_ONCE)
        headers = ensure_malloc((size_t)record->header_count * sizeof(*headers));
    for (int i = 0; i < record->header_count && record_header_next(&rest, &headers[i]); i++)
        ;
    record_builder_add(builder, timestamp, record->key, record->value, headers,
                       record->header_count);
    if (headers != few) free(headers);
}

static enum err rebuild_batch(struct checking *c, const struct batch *batch, struct slice records)
{
    struct record_reader reader = record_reader_of(records, batch->record_count);
    struct record_builder builder;
    struct record record;

    ensure(c->batches == 1); /* a client's is refused; a coordinator writes one that has records */
    begin_rebuild(c, &builder);
    builder.head.attributes |= batch->attributes & BATCH_TRANSACTIONAL;
    builder.head.producer_id = batch->producer_id;
    builder.head.producer_epoch = batch->producer_epoch;
    builder.head.base_sequence = batch->base_sequence;
    while (record_next(&reader, &record)) {
        int64_t timestamp = record_timestamp(batch, &record);
        if (timestamp < -1) return ERR_INVALID;
        copy_record(&builder, &record, timestamp);
    }
    return end_rebuild(c, &builder);
}

/* ---- one batch v2, whole ---- */

static enum err check_v2(struct checking *c, struct slice bytes)
{
    struct record_walk walk = {.offsets_are_dense = true};
    struct batch batch;
    struct buf opened;
    int64_t max_timestamp = 0;

    enum err err = batch_view(bytes, &batch);
    if (err == ERR_OK) err = check_batch(c, &batch);
    if (err != ERR_OK) return err;
    /* The walk of an unopened batch is of its head: its type bit is judged there. */
    max_timestamp = batch.max_timestamp;
    bool is_compressed = batch_codec(&batch) != BATCH_CODEC_NONE;
    if (is_compressed && !must_open(c)) {
        if (batch_has_append_time(&batch) && from_client(c))
            check_record(c, 0, 0, SLICE(""), batch.max_timestamp, true);
        err = errors_found(c);
        if (err == ERR_OK) keep_in_place(c, bytes, &batch, max_timestamp);
        return err;
    }

    buf_init(&opened);
    struct slice records = batch.records;
    if (is_compressed) {
        err = compress_read(batch_codec(&batch), BATCH_MAGIC, batch.records,
                            opened_bytes_max(c->config), &opened);
        if (err == ERR_LIMIT) err = ERR_TOO_LARGE;
        records = buf_slice(&opened);
    }
    if (err == ERR_OK) err = check_records(c, &batch, records, &walk, &max_timestamp);
    bool stays = (batch_is_control(&batch) && !is_compressed) ||
                 (c->target_codec == c->source_codec && (!is_compressed || walk.offsets_are_dense));
    if (err == ERR_OK && stays)
        keep_in_place(c, bytes, &batch, max_timestamp);
    else if (err == ERR_OK)
        err = rebuild_batch(c, &batch, records);
    buf_fini(&opened);
    return err;
}

/* ---- message sets v0 and v1 ---- */

/* Messages of one entry into the batch that is being built. */
static enum err convert_entry(struct checking *c, const struct batch_entry *entry,
                              struct buf *inner, struct record_builder *builder, int32_t *index)
{
    struct oldset_message message;
    struct oldset_reader reader;

    enum err err = oldset_open(entry, opened_bytes_max(c->config), inner, &reader);
    if (err != ERR_OK)
        return err == ERR_LIMIT         ? ERR_TOO_LARGE
               : err == ERR_UNSUPPORTED ? ERR_INVALID_RECORD /* zstd in a format without it */
                                        : err;
    while (oldset_next(&reader, &message)) {
        check_record(c, *index, message.offset, message.key, message.timestamp,
                     message.has_append_time);
        if (message.timestamp < -1) return ERR_INVALID;
        record_builder_add(builder, message.timestamp, message.key, message.value, NULL, 0);
        (*index)++;
    }
    return reader.err;
}

static enum err convert(struct checking *c)
{
    struct slice rest = slice_of(c->request->bytes, c->whole);
    struct record_builder builder;
    struct batch_entry entry;
    struct buf inner;
    int32_t index = 0;
    enum err err = ERR_OK;

    buf_init(&inner);
    begin_rebuild(c, &builder);
    while (err == ERR_OK && batch_entry_take(&rest, &entry) == ERR_OK)
        err = convert_entry(c, &entry, &inner, &builder, &index);
    buf_fini(&inner);
    if (err == ERR_OK) err = errors_found(c);
    return err == ERR_OK ? end_rebuild(c, &builder) : err;
}

/* ---- all ---- */

enum err check_produce(const struct check_request *request, struct checked *out,
                       struct check_refusal *refusal)
{
    struct checking c = {
        .request = request,
        .config = request->config,
        .result = {.bytes = request->bytes,
                   .max_timestamp = -1,
                   .max_timestamp_offset = -1,
                   .append_time_ms = -1},
        .source_codec = BATCH_CODEC_NONE,
    };
    struct slice rest;
    struct batch_entry entry;

    enum err err = check_entries(&c);
    if (err == ERR_OK && c.batches > 0 && c.magic < BATCH_MAGIC) err = convert(&c);
    rest = slice_of(request->bytes, c.whole);
    while (err == ERR_OK && c.magic == BATCH_MAGIC && batch_entry_take(&rest, &entry) == ERR_OK)
        err = check_v2(&c, entry.bytes);

    if (err != ERR_OK) {
        *refusal = c.refusal;
        return err;
    }
    if (c.config->is_append_time && c.result.len > 0) c.result.append_time_ms = request->now_ms;
    *out = c.result;
    return ERR_OK;
}
