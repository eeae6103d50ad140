#include "tools/dump_text.h"
#include "base/crc32c.h"
#include "base/text.h"
#include "wire/prim.h"
#include <stdio.h>
#include <stdlib.h>

#define OPENED_BYTES_MAX  (1u << 30) /* of one compressed batch */
#define OFFSET_ENTRY_SIZE 8
#define TIME_ENTRY_SIZE   12
#define TXN_ENTRY_SIZE    34
#define SNAPSHOT_HEAD     10
#define SNAPSHOT_ENTRY    46

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

/* ---- batches ---- */

static void note_offset(struct dump_log *log, int64_t offset)
{
    if (log->last_offset >= 0 && offset != log->last_offset + 1)
        buf_printf(&log->gaps, "  %lld is followed by %lld\n", (long long)log->last_offset,
                   (long long)offset);
    log->last_offset = offset;
}

static void add_content(const struct dump_options *options, const char *prefix, int64_t offset,
                        struct slice key, struct slice value, struct buf *out)
{
    struct buf key_text = {0}, payload = {0};

    if (!options->print_data) return;
    if (options->decoder != DUMP_PLAIN) {
        dump_decode(options->decoder, offset, key, value, &key_text, &payload);
        key = buf_slice(&key_text);
        value = payload.len == 0 ? SLICE_NULL : buf_slice(&payload);
    }
    if (!slice_is_null(key)) {
        buf_printf(out, "%skey: ", prefix);
        buf_add_slice(out, key);
        prefix = " ";
    }
    if (!slice_is_null(value)) {
        buf_printf(out, "%spayload: ", prefix);
        buf_add_slice(out, value);
    }
    buf_fini(&key_text);
    buf_fini(&payload);
}

static int size_of(struct slice bytes)
{
    return slice_is_null(bytes) ? -1 : (int)bytes.len;
}

static void add_header_keys(struct slice headers, struct buf *out)
{
    struct record_header header;
    int count = 0;

    buf_add_text(out, " headerKeys: [");
    while (record_header_next(&headers, &header)) {
        if (count++ > 0) buf_add_text(out, ",");
        buf_add_slice(out, header.key);
    }
    buf_add_text(out, "]");
}

static void add_marker(const struct record *record, struct buf *out)
{
    int16_t type;
    int32_t epoch;

    if (record_control_type(record->key, &type) != ERR_OK) {
        buf_add_text(out, " controlType: UNKNOWN");
    } else if (type > RECORD_MARKER_COMMIT) {
        buf_printf(out, " controlType: %d", type);
    } else {
        buf_printf(out, " endTxnMarker: %s", type == RECORD_MARKER_COMMIT ? "COMMIT" : "ABORT");
        if (record_marker_epoch(record->value, &epoch) == ERR_OK)
            buf_printf(out, " coordinatorEpoch: %d", epoch);
    }
}

static void add_record(const struct dump_options *options, const struct batch *batch,
                       const struct record *record, struct buf *out)
{
    int32_t sequence = batch->base_sequence < 0
                           ? -1
                           : batch_sequence_after(batch->base_sequence, record->offset_delta);

    buf_add_text(out, "| ");
    if (!options->skip_metadata) {
        buf_printf(out, "offset: %lld %s: %lld keySize: %d valueSize: %d sequence: %d",
                   (long long)record_offset(batch, record),
                   batch_has_append_time(batch) ? "LogAppendTime" : "CreateTime",
                   (long long)record_timestamp(batch, record), size_of(record->key),
                   size_of(record->value), sequence);
        add_header_keys(record->headers, out);
        if (batch_is_control(batch)) add_marker(record, out);
    }
    if (!batch_is_control(batch))
        add_content(options, options->skip_metadata ? "" : " ", record_offset(batch, record),
                    record->key, record->value, out);
    buf_add_text(out, "\n");
}

static void dump_records(const struct dump_options *options, const struct batch *batch,
                         struct dump_log *log, struct buf *out)
{
    struct slice records = batch->records;
    struct buf opened = {0};
    struct record record;

    if (batch_codec(batch) != BATCH_CODEC_NONE) {
        enum err err =
            compress_read(batch_codec(batch), BATCH_MAGIC, records, OPENED_BYTES_MAX, &opened);
        if (err != ERR_OK) {
            buf_printf(out, "| the records cannot be opened: %s\n", err_text(err));
            log->has_invalid = true;
            return;
        }
        records = buf_slice(&opened);
    }
    struct record_reader reader = record_reader_of(records, batch->record_count);
    while (record_next(&reader, &record)) {
        note_offset(log, record_offset(batch, &record));
        add_record(options, batch, &record, out);
    }
    if (record_reader_end(&reader) != ERR_OK) {
        buf_printf(out, "| record %d is not valid\n", reader.index);
        log->has_invalid = true;
    }
    buf_fini(&opened);
}

static void add_batch_line(const struct batch *batch, uint64_t position, bool is_valid,
                           struct buf *out)
{
    buf_printf(out,
               "baseOffset: %lld lastOffset: %lld count: %d baseSequence: %d lastSequence: %d "
               "producerId: %lld producerEpoch: %d partitionLeaderEpoch: %d isTransactional: %s "
               "isControl: %s deleteHorizonMs: ",
               (long long)batch->base_offset, (long long)batch_last_offset(batch),
               batch->record_count, batch->base_sequence, batch_last_sequence(batch),
               (long long)batch->producer_id, batch->producer_epoch, batch->leader_epoch,
               truth(batch_is_transactional(batch)), truth(batch_is_control(batch)));
    if ((batch->attributes & BATCH_DELETE_HORIZON) != 0)
        buf_printf(out, "OptionalLong[%lld]", (long long)batch->base_timestamp);
    else
        buf_add_text(out, "OptionalLong.empty");
    buf_printf(
        out, " position: %llu %s: %lld size: %zu magic: 2 compresscodec: %s crc: %u isvalid: %s\n",
        (unsigned long long)position, batch_has_append_time(batch) ? "LogAppendTime" : "CreateTime",
        (long long)batch->max_timestamp, batch->bytes.len, compress_name(batch_codec(batch)),
        batch->crc, truth(is_valid));
}

static void dump_new(const struct dump_options *options, const struct batch_entry *entry,
                     struct dump_log *log, struct buf *out)
{
    struct batch batch;

    if (batch_view(entry->bytes, &batch) != ERR_OK) {
        buf_printf(out, "offset: %lld position: %llu size: %zu is shorter than a batch\n",
                   (long long)entry->offset, (unsigned long long)log->position, entry->bytes.len);
        log->has_invalid = true;
        return;
    }
    bool is_valid = batch_check(&batch) == ERR_OK;
    log->has_invalid = log->has_invalid || !is_valid;
    add_batch_line(&batch, log->position, is_valid, out);
    if ((options->deep || options->print_data) && is_valid) dump_records(options, &batch, log, out);
}

static const char *old_time_name(const struct oldset_message *message)
{
    return message->magic == 0        ? "NoTimestampType"
           : message->has_append_time ? "LogAppendTime"
                                      : "CreateTime";
}

static void dump_old_records(const struct dump_options *options, const struct batch_entry *entry,
                             struct dump_log *log, struct buf *out)
{
    struct oldset_reader reader;
    struct oldset_message message;
    struct buf inner = {0};

    enum err err = oldset_open(entry, OPENED_BYTES_MAX, &inner, &reader);
    while (err == ERR_OK && oldset_next(&reader, &message)) {
        note_offset(log, message.offset);
        buf_add_text(out, "| ");
        if (!options->skip_metadata)
            buf_printf(
                out, "offset: %lld %s: %lld keySize: %d valueSize: %d isValid: true crc: %u}",
                (long long)message.offset, old_time_name(&message), (long long)message.timestamp,
                size_of(message.key), size_of(message.value), message.crc);
        add_content(options, options->skip_metadata ? "" : " ", message.offset, message.key,
                    message.value, out);
        buf_add_text(out, "\n");
    }
    if (err == ERR_OK) err = reader.err;
    if (err != ERR_OK) {
        buf_printf(out, "| the records cannot be read: %s\n", err_text(err));
        log->has_invalid = true;
    }
    buf_fini(&inner);
}

static void dump_old(const struct dump_options *options, const struct batch_entry *entry,
                     struct dump_log *log, struct buf *out)
{
    struct oldset_message message;
    bool is_valid = oldset_view(entry, &message) == ERR_OK;

    buf_printf(out, "offset: %lld position: %llu ", (long long)entry->offset,
               (unsigned long long)log->position);
    if (is_valid)
        buf_printf(out, "%s: %lld size: %zu magic: %d compresscodec: %s", old_time_name(&message),
                   (long long)message.timestamp, entry->bytes.len, entry->magic,
                   compress_name(oldset_codec(&message)));
    else
        buf_printf(out, "size: %zu magic: %d", entry->bytes.len, entry->magic);
    if (entry->bytes.len >= BATCH_PREFIX_SIZE + 4)
        buf_printf(out, " crc: %u", prim_load32(entry->bytes.ptr + BATCH_PREFIX_SIZE));
    buf_printf(out, " isvalid: %s\n", truth(is_valid));
    log->has_invalid = log->has_invalid || !is_valid;
    if ((options->deep || options->print_data) && is_valid)
        dump_old_records(options, entry, log, out);
}

void dump_batch(const struct dump_options *options, const struct batch_entry *entry,
                struct dump_log *log, struct buf *out)
{
    if (entry->magic == BATCH_MAGIC)
        dump_new(options, entry, log, out);
    else
        dump_old(options, entry, log, out);
    log->position += entry->bytes.len;
}

enum err dump_entry_ends(const struct batch_entry *entry, int64_t *last_offset,
                         int64_t *max_timestamp)
{
    struct batch batch;
    struct oldset_message message;

    if (entry->magic < BATCH_MAGIC) {
        enum err err = oldset_view(entry, &message);
        if (err != ERR_OK) return err;
        *last_offset = message.offset;
        *max_timestamp = message.timestamp;
        return ERR_OK;
    }
    enum err err = batch_view(entry->bytes, &batch);
    if (err != ERR_OK) return err;
    *last_offset = batch_last_offset(&batch);
    *max_timestamp = batch.max_timestamp;
    return ERR_OK;
}

/* ---- indexes ---- */

bool dump_offset_entry(struct slice content, int64_t base, size_t index, int64_t *offset,
                       int32_t *position)
{
    if (content.len / OFFSET_ENTRY_SIZE <= index) return false;
    const uint8_t *at = content.ptr + index * OFFSET_ENTRY_SIZE;
    int32_t relative = (int32_t)prim_load32(at);
    if (index > 0 && relative <= 0) return false; /* the tail of a file made large beforehand */
    *offset = base + relative;
    *position = (int32_t)prim_load32(at + 4);
    return !(index == 0 && relative == 0 && *position == 0);
}

bool dump_time_entry(struct slice content, int64_t base, size_t index, int64_t *timestamp,
                     int64_t *offset)
{
    if (content.len / TIME_ENTRY_SIZE <= index) return false;
    const uint8_t *at = content.ptr + index * TIME_ENTRY_SIZE;
    *timestamp = (int64_t)prim_load64(at);
    *offset = base + (int32_t)prim_load32(at + 8);
    return !(*timestamp == 0 && *offset == base);
}

enum err dump_transactions(struct slice content, struct buf *out, struct buf *message)
{
    for (size_t at = 0; at + TXN_ENTRY_SIZE <= content.len; at += TXN_ENTRY_SIZE) {
        const uint8_t *entry = content.ptr + at;
        int16_t version = (int16_t)prim_load16(entry);
        if (version != 0) {
            buf_printf(message, "entry at %zu has the unknown version %d", at, version);
            return ERR_CORRUPT;
        }
        buf_printf(out,
                   "version: %d producerId: %lld firstOffset: %lld lastOffset: %lld "
                   "lastStableOffset: %lld\n",
                   version, (long long)prim_load64(entry + 2), (long long)prim_load64(entry + 10),
                   (long long)prim_load64(entry + 18), (long long)prim_load64(entry + 26));
    }
    if (content.len % TXN_ENTRY_SIZE == 0) return ERR_OK;
    buf_printf(message, "%zu bytes are left over behind the last entry",
               content.len % TXN_ENTRY_SIZE);
    return ERR_CORRUPT;
}

static void add_producer(struct reader *r, struct buf *out)
{
    int64_t producer_id = reader_int64(r);
    int16_t epoch = reader_int16(r);
    int32_t last_sequence = reader_int32(r);
    int64_t last_offset = reader_int64(r);
    int32_t delta = reader_int32(r);
    int64_t timestamp = reader_int64(r);
    int32_t coordinator_epoch = reader_int32(r);
    int64_t txn_first = reader_int64(r);
    char first[64];

    if (txn_first < 0)
        snprintf(first, sizeof(first), "OptionalLong.empty");
    else
        snprintf(first, sizeof(first), "OptionalLong[%lld]", (long long)txn_first);
    buf_printf(out,
               "producerId: %lld producerEpoch: %d coordinatorEpoch: %d currentTxnFirstOffset: %s "
               "lastTimestamp: %lld ",
               (long long)producer_id, epoch, coordinator_epoch, first, (long long)timestamp);
    if (last_offset >= 0)
        buf_printf(out,
                   "firstSequence: %d lastSequence: %d lastOffset: %lld offsetDelta: %d "
                   "timestamp: %lld",
                   batch_sequence_before(last_sequence, delta < 0 ? 0 : delta), last_sequence,
                   (long long)last_offset, delta, (long long)timestamp);
    buf_add_text(out, "\n");
}

enum err dump_snapshot(struct slice content, struct buf *out, struct buf *message)
{
    struct reader r = reader_of(content);
    int16_t version = reader_int16(&r);
    uint32_t crc = (uint32_t)reader_int32(&r);
    int32_t count = reader_int32(&r);

    if (r.err != ERR_OK || version != 1) {
        buf_printf(message, "is no producer snapshot of version 1");
        return ERR_CORRUPT;
    }
    if (crc != crc32c(slice_of(content.ptr + 6, content.len - 6))) {
        buf_printf(message, "has a wrong checksum");
        return ERR_CORRUPT;
    }
    if (count < 0 || (size_t)count != (content.len - SNAPSHOT_HEAD) / SNAPSHOT_ENTRY ||
        (content.len - SNAPSHOT_HEAD) % SNAPSHOT_ENTRY != 0) {
        buf_printf(message, "has not the %d entries that it claims", count);
        return ERR_CORRUPT;
    }
    for (int32_t i = 0; i < count; i++)
        add_producer(&r, out);
    return ERR_OK;
}

/* ---- checkpoints ---- */

static bool next_line(struct slice *text, struct slice *line)
{
    if (text->len == 0) return false;
    if (!slice_cut(text, '\n', line)) {
        *line = *text;
        *text = slice_of(text->ptr + text->len, 0);
    }
    *line = text_trim(*line);
    return true;
}

/* The last word of `line` as a number, and what stands before it. */
static enum err cut_number(struct slice *line, int64_t *out)
{
    size_t at = line->len;

    while (at > 0 && line->ptr[at - 1] != ' ')
        at--;
    enum err err = text_int(slice_of(line->ptr + at, line->len - at), INT64_MIN, INT64_MAX, out);
    if (err == ERR_OK) *line = text_trim(slice_of(line->ptr, at));
    return err;
}

static enum err add_checkpoint_line(struct slice line, bool is_epochs, struct buf *out)
{
    int64_t last, before;

    enum err err = cut_number(&line, &last);
    if (err == ERR_OK) err = cut_number(&line, &before);
    if (err != ERR_OK || is_epochs != (line.len == 0)) return ERR_CORRUPT;
    if (is_epochs)
        buf_printf(out, "epoch: %lld startOffset: %lld\n", (long long)before, (long long)last);
    else
        buf_printf(out, "topic: %.*s partition: %lld offset: %lld\n", SLICE_ARGS(line),
                   (long long)before, (long long)last);
    return ERR_OK;
}

enum err dump_checkpoint(struct slice content, bool is_epochs, struct buf *out, struct buf *message)
{
    struct slice line;
    int64_t version = -1, count = -1, n = 0;

    if (!next_line(&content, &line)) return ERR_OK; /* empty, or of a version alone: no entries */
    bool is_good = text_int(line, 0, 0, &version) == ERR_OK;
    if (is_good && !next_line(&content, &line)) return ERR_OK;
    is_good = is_good && text_int(line, 0, INT32_MAX, &count) == ERR_OK;

    if (!is_good) {
        buf_add_text(message, "does not begin with version 0 and a count");
        return ERR_CORRUPT;
    }
    for (; next_line(&content, &line); n++) {
        if (line.len == 0) continue;
        if (add_checkpoint_line(line, is_epochs, out) != ERR_OK) {
            buf_printf(message, "line %lld is not of the form", (long long)n + 3);
            return ERR_CORRUPT;
        }
    }
    if (n == count) return ERR_OK;
    buf_printf(message, "has %lld lines and claims %lld", (long long)n, (long long)count);
    return ERR_CORRUPT;
}
