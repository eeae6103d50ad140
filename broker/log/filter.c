#include "broker/log/filter.h"
#include "base/ensure.h"
#include "wire/oldset.h"
#include "wire/record.h"
#include <stdlib.h>

struct filter_txn {
    int64_t producer_id;
    bool is_aborted;
    bool has_data; /* records of it have been met */
    struct aborted entry;
};

void filter_init(struct filter *filter, const struct filter_options *options)
{
    *filter = (struct filter){.options = *options};
}

void filter_fini(struct filter *filter)
{
    free(filter->open);
    free(filter->kept);
    buf_fini(&filter->inflated);
    buf_fini(&filter->records);
}

/* ---- transactions ---- */

static struct filter_txn *find_txn(struct filter *filter, int64_t producer_id)
{
    for (int i = 0; i < filter->open_count; i++)
        if (filter->open[i].producer_id == producer_id) return &filter->open[i];
    return NULL;
}

static struct filter_txn *open_txn(struct filter *filter, int64_t producer_id)
{
    struct filter_txn *txn = find_txn(filter, producer_id);

    if (txn == NULL) {
        if (filter->open_count == filter->open_capacity) {
            filter->open_capacity = filter->open_capacity == 0 ? 4 : filter->open_capacity * 2;
            filter->open =
                ensure_realloc(filter->open, (size_t)filter->open_capacity * sizeof(*filter->open));
        }
        txn = &filter->open[filter->open_count++];
    }
    *txn = (struct filter_txn){.producer_id = producer_id};
    return txn;
}

static void close_txn(struct filter *filter, struct filter_txn *txn)
{
    *txn = filter->open[--filter->open_count];
}

/* The index is in order of the markers: any entry that is still to come may begin before here. */
static void open_aborted(struct filter *filter, int64_t producer_id, int64_t offset)
{
    const struct filter_options *options = &filter->options;

    for (int i = 0; i < options->aborted_count; i++) {
        const struct aborted *entry = &options->aborted[i];
        if (entry->producer_id != producer_id || entry->first_offset > offset ||
            entry->last_offset < offset)
            continue;
        struct filter_txn *txn = open_txn(filter, producer_id);
        txn->is_aborted = true;
        txn->entry = *entry;
        return;
    }
}

/* Records of a transaction. True: it was aborted. */
static bool meet_data(struct filter *filter, const struct scan_batch *head)
{
    struct filter_txn *txn = find_txn(filter, head->producer_id);

    if (txn == NULL) {
        open_aborted(filter, head->producer_id, head->base_offset);
        txn = find_txn(filter, head->producer_id);
    }
    if (txn == NULL) txn = open_txn(filter, head->producer_id);
    txn->has_data = true;
    return txn->is_aborted;
}

/* A marker. True: nothing of its transaction is left. */
static bool meet_marker(struct filter *filter, const struct scan_batch *head)
{
    struct filter_txn *txn = find_txn(filter, head->producer_id);

    if (txn == NULL) return true;
    bool is_orphan = !txn->has_data;
    if (txn->is_aborted && !is_orphan) {
        filter->kept =
            ensure_realloc(filter->kept, (size_t)(filter->kept_count + 1) * sizeof(*filter->kept));
        filter->kept[filter->kept_count++] = txn->entry;
    }
    close_txn(filter, txn);
    return is_orphan;
}

/* ---- records ---- */

/* The records of a batch v2, inflated if need be. */
static enum err records_of(struct filter *filter, const struct batch *batch, struct slice *out)
{
    int codec = batch_codec(batch);

    *out = batch->records;
    if (codec == BATCH_CODEC_NONE || batch->record_count == 0) return ERR_OK;
    buf_clear(&filter->inflated);
    enum err err = compress_read(codec, BATCH_MAGIC, batch->records, filter->options.inflated_max,
                                 &filter->inflated);
    *out = buf_slice(&filter->inflated);
    return err;
}

static bool is_marker(const struct scan_batch *head, struct slice bytes)
{
    struct batch batch;
    struct record record;
    int16_t type = -1;

    if (head->producer_id < 0 || batch_view(bytes, &batch) != ERR_OK) return false;
    struct record_reader reader = record_reader_of(batch.records, batch.record_count);
    return record_next(&reader, &record) && record_control_type(record.key, &type) == ERR_OK &&
           (type == RECORD_MARKER_ABORT || type == RECORD_MARKER_COMMIT);
}

/* ---- gather ---- */

static bool gather_one(struct filter *filter, struct slice key, int64_t offset, int64_t *latest,
                       bool *is_full)
{
    if (slice_is_null(key) || offset < filter->options.first_dirty) return true;
    *is_full = !keys_put(filter->options.keys, key, offset);
    if (!*is_full) *latest = offset;
    return !*is_full;
}

static enum err gather_old(struct filter *filter, struct slice bytes, int64_t *latest,
                           bool *is_full)
{
    struct oldset_reader reader;
    struct oldset_message message;
    struct batch_entry entry;

    enum err err = batch_entry_take(&bytes, &entry);
    if (err == ERR_OK)
        err = oldset_open(&entry, filter->options.inflated_max, &filter->inflated, &reader);
    if (err != ERR_OK) return err;
    while (oldset_next(&reader, &message))
        if (!gather_one(filter, message.key, message.offset, latest, is_full)) return ERR_OK;
    return reader.err;
}

static enum err gather_records(struct filter *filter, struct slice bytes, int64_t *latest,
                               bool *is_full)
{
    struct batch batch;
    struct record record;
    struct slice records;

    enum err err = batch_view(bytes, &batch);
    if (err == ERR_OK) err = records_of(filter, &batch, &records);
    if (err != ERR_OK) return err;
    struct record_reader reader = record_reader_of(records, batch.record_count);
    while (record_next(&reader, &record))
        if (!gather_one(filter, record.key, record_offset(&batch, &record), latest, is_full))
            return ERR_OK;
    return record_reader_end(&reader);
}

enum err filter_gather(struct filter *filter, const struct scan_batch *head, struct slice bytes,
                       int64_t *latest, bool *is_full)
{
    bool is_control = head->magic == 2 && (head->attributes & BATCH_CONTROL) != 0;
    bool in_txn = head->magic == 2 && (head->attributes & BATCH_TRANSACTIONAL) != 0;
    enum err err = ERR_OK;

    *is_full = false;
    if (is_control) {
        if (is_marker(head, bytes)) (void)meet_marker(filter, head);
    } else if (!in_txn || !meet_data(filter, head)) {
        err = head->magic < 2 ? gather_old(filter, bytes, latest, is_full)
                              : gather_records(filter, bytes, latest, is_full);
    }
    if (err == ERR_OK && !*is_full) *latest = head->last_offset;
    return err;
}

/* ---- keep ---- */

static bool is_latest(const struct filter *filter, struct slice key, int64_t offset)
{
    if (offset > filter->options.latest) return true;
    return !slice_is_null(key) && offset >= keys_get(filter->options.keys, key);
}

static bool must_stay(const struct filter *filter, const struct scan_batch *head)
{
    const struct filter_options *options = &filter->options;
    int low = 0, high = options->producer_count;

    if (head->magic < 2 || head->producer_id < 0) return false;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (options->producers[middle].producer_id < head->producer_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == options->producer_count) return false;
    const struct filter_producer *producer = &options->producers[low];
    if (producer->producer_id != head->producer_id) return false;
    if (producer->last_offset >= 0) return producer->last_offset == head->last_offset;
    return (head->attributes & BATCH_CONTROL) != 0 && producer->epoch == head->producer_epoch;
}

/* Before the earliest there is nothing to tell it from. */
static bool begins_epoch(const struct filter *filter, const struct scan_batch *head)
{
    const struct epochs *epochs = filter->options.epochs;

    for (int32_t i = 1; epochs != NULL && head->magic >= 2 && i < epochs->count; i++)
        if (epochs->at[i].epoch == head->leader_epoch && epochs->at[i].start == head->base_offset)
            return true;
    return false;
}

static void write_empty(const struct batch *batch, bool keeps_producer, struct buf *out)
{
    struct batch empty = *batch;

    empty.attributes &= BATCH_APPEND_TIME | BATCH_TRANSACTIONAL | BATCH_CONTROL;
    if (!keeps_producer) {
        /* Of a transaction nothing but this may be left, not even its end. */
        empty.attributes &= BATCH_APPEND_TIME;
        empty.producer_id = -1;
        empty.producer_epoch = -1;
        empty.base_sequence = -1;
    }
    empty.base_timestamp = -1;
    empty.record_count = 0;
    batch_write_header(buf_extend(out, BATCH_HEADER_SIZE), BATCH_HEADER_SIZE, &empty);
}

/* What is left of a batch v2 while it is rewritten. */
struct rewrite {
    struct batch batch;
    int64_t horizon; /* -1: none is set now */
    int32_t kept;
    int64_t max_timestamp;
};

/* The record's bytes with another delta of time: all else, its offset among it, stays. */
static void add_rebased(struct buf *out, struct slice raw, int64_t delta)
{
    struct reader in = reader_of(raw);
    uint8_t number[PRIM_VARLONG_MAX];

    (void)reader_varint(&in); /* its length */
    uint8_t attributes = (uint8_t)reader_int8(&in);
    (void)reader_varlong(&in);
    size_t rest = reader_left(&in);
    size_t delta_len = (size_t)(prim_store_uvarlong(number, prim_zigzag(delta)) - number);
    uint8_t length[PRIM_VARLONG_MAX];
    size_t length_len =
        (size_t)(prim_store_uvarlong(length, prim_zigzag((int64_t)(1 + delta_len + rest))) -
                 length);
    buf_add(out, length, length_len);
    buf_add(out, &attributes, 1);
    buf_add(out, number, delta_len);
    buf_add(out, in.at, rest);
}

static void add_record(struct filter *filter, struct rewrite *to, const struct record *record,
                       struct slice raw)
{
    int64_t timestamp =
        (int64_t)((uint64_t)to->batch.base_timestamp + (uint64_t)record->timestamp_delta);

    if (to->horizon >= 0)
        add_rebased(&filter->records, raw, (int64_t)((uint64_t)timestamp - (uint64_t)to->horizon));
    else
        buf_add_slice(&filter->records, raw);
    if (to->kept == 0 || timestamp > to->max_timestamp) to->max_timestamp = timestamp;
    to->kept++;
}

static void write_rewritten(struct filter *filter, const struct rewrite *from, struct buf *out)
{
    struct batch batch = from->batch;
    size_t start = out->len;

    if (!batch_has_append_time(&batch)) batch.max_timestamp = from->max_timestamp;
    if (from->horizon >= 0) {
        batch.attributes |= BATCH_DELETE_HORIZON;
        batch.base_timestamp = from->horizon;
    }
    batch.record_count = from->kept;
    (void)buf_extend(out, BATCH_HEADER_SIZE);
    if (batch_codec(&batch) == BATCH_CODEC_NONE)
        buf_add_slice(out, buf_slice(&filter->records));
    else
        compress_write(batch_codec(&batch), BATCH_MAGIC, COMPRESS_LEVEL_DEFAULT,
                       buf_slice(&filter->records), out);
    batch_write_header(out->ptr + start, out->len - start, &batch);
}

struct verdict {
    bool drops_all;
    bool is_control;
    bool wants_horizon; /* of a marker that nothing needs any more */
};

static bool has_horizon(const struct batch *batch)
{
    return (batch->attributes & BATCH_DELETE_HORIZON) != 0;
}

static struct verdict judge(struct filter *filter, const struct scan_batch *head,
                            const struct batch *batch)
{
    struct verdict verdict = {.is_control = batch_is_control(batch)};

    if (verdict.is_control) {
        bool is_needless = batch->record_count == 0 ||
                           (is_marker(head, batch->bytes) && meet_marker(filter, head));
        if (is_needless && !has_horizon(batch)) verdict.wants_horizon = batch->record_count > 0;
        verdict.drops_all =
            is_needless &&
            (batch->record_count == 0 ||
             (has_horizon(batch) && batch->base_timestamp <= filter->options.now_ms));
    } else if (batch_is_transactional(batch)) {
        verdict.drops_all = meet_data(filter, head);
    }
    return verdict;
}

static bool keeps(const struct filter *filter, const struct verdict *verdict,
                  const struct batch *batch, const struct record *record)
{
    if (verdict->is_control) return true;
    int64_t offset = record_offset(batch, record);
    if (!is_latest(filter, record->key, offset)) return false;
    if (!slice_is_null(record->value) || offset > filter->options.latest) return true;
    return !has_horizon(batch) || filter->options.now_ms < batch->base_timestamp;
}

/* First how many stay and whether a tombstone is among them; a batch that stays as it is costs no
 * more than that. */
static enum err count_kept(const struct filter *filter, const struct verdict *verdict,
                           const struct batch *batch, struct slice records, int32_t *kept,
                           bool *has_tombstone)
{
    struct record_reader reader = record_reader_of(records, batch->record_count);
    struct record record;

    *kept = 0;
    *has_tombstone = false;
    while (record_next(&reader, &record)) {
        if (!keeps(filter, verdict, batch, &record)) continue;
        *has_tombstone |= !verdict->is_control && slice_is_null(record.value) &&
                          record_offset(batch, &record) <= filter->options.latest;
        (*kept)++;
    }
    return record_reader_end(&reader);
}

static enum err rewrite_batch(struct filter *filter, const struct scan_batch *head,
                              struct slice bytes, struct buf *out)
{
    struct rewrite to = {.horizon = -1};
    struct slice records;
    struct record record;
    int32_t kept = 0;
    bool has_tombstone = false;

    enum err err = batch_view(bytes, &to.batch);
    if (err != ERR_OK) return err;
    const struct batch *batch = &to.batch;
    struct verdict verdict = judge(filter, head, batch);
    if (!verdict.drops_all) {
        err = records_of(filter, batch, &records);
        if (err == ERR_OK)
            err = count_kept(filter, &verdict, batch, records, &kept, &has_tombstone);
        if (err != ERR_OK) return err;
    }
    if (kept == 0) {
        bool keeps_producer = must_stay(filter, head);
        if (keeps_producer || begins_epoch(filter, head)) write_empty(batch, keeps_producer, out);
        return ERR_OK;
    }
    if ((has_tombstone && !has_horizon(batch)) || verdict.wants_horizon)
        to.horizon = filter->options.now_ms + filter->options.delete_retention_ms;
    if (kept == batch->record_count && to.horizon < 0) {
        buf_add_slice(out, bytes);
        return ERR_OK;
    }

    struct record_reader reader = record_reader_of(records, batch->record_count);
    const uint8_t *from = reader.in.at;
    buf_clear(&filter->records);
    while (record_next(&reader, &record)) {
        struct slice raw = slice_of(from, (size_t)(reader.in.at - from));
        from = reader.in.at;
        if (keeps(filter, &verdict, batch, &record)) add_record(filter, &to, &record, raw);
    }
    write_rewritten(filter, &to, out);
    return ERR_OK;
}

/* A message of v0/v1, or a compressed set of them, which stays whole if anything of it does: what
 * is superseded in it comes before what supersedes it all the same. */
static enum err filter_old(struct filter *filter, struct slice bytes, struct buf *out)
{
    struct oldset_reader reader;
    struct oldset_message message;
    struct batch_entry entry;
    struct slice rest = bytes;
    bool stays = false;

    enum err err = batch_entry_take(&rest, &entry);
    if (err == ERR_OK)
        err = oldset_open(&entry, filter->options.inflated_max, &filter->inflated, &reader);
    if (err != ERR_OK) return err;
    while (oldset_next(&reader, &message))
        stays |= is_latest(filter, message.key, message.offset) &&
                 (!slice_is_null(message.value) || filter->options.keeps_old_tombstones ||
                  message.offset > filter->options.latest);
    if (reader.err == ERR_OK && stays) buf_add_slice(out, bytes);
    return reader.err;
}

enum err filter_batch(struct filter *filter, const struct scan_batch *head, struct slice bytes,
                      struct buf *out)
{
    return head->magic < 2 ? filter_old(filter, bytes, out)
                           : rewrite_batch(filter, head, bytes, out);
}
