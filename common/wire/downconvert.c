#include "wire/downconvert.h"
#include "wire/record.h"

/* One entry on its way. */
struct conversion {
    const struct downconvert *how;
    struct buf opened; /* what was compressed */
    struct buf inner;  /* what will be */
    struct buf packed;
};

bool downconvert_is_needed(struct slice set, int8_t magic)
{
    struct batch_entry entry;

    while (batch_entry_take(&set, &entry) == ERR_OK)
        if (entry.magic > magic) return true;
    return false;
}

/* What becomes of the messages of one entry: they stand alone, or in a wrapper. */
struct wrapping {
    int codec;
    bool has_append_time;
    int64_t first, last;   /* offsets; first −1: none yet */
    int64_t max_timestamp; /* of the messages */
};

static void add_message(struct conversion *c, struct wrapping *wrapping,
                        const struct oldset_message *from, struct buf *out)
{
    struct oldset_message message = {
        .offset = from->offset,
        .magic = c->how->magic,
        .attributes =
            c->how->magic == 1 && wrapping->has_append_time ? BATCH_APPEND_TIME : (uint8_t)0,
        .timestamp = from->timestamp,
        .key = from->key,
        .value = from->value,
    };

    if (wrapping->codec == BATCH_CODEC_NONE) {
        if (from->offset >= c->how->offset) oldset_write(out, &message);
        return;
    }
    if (wrapping->first < 0) wrapping->first = from->offset;
    if (c->how->magic == 1) /* of a log that lies, whatever it may be */
        message.offset = (int64_t)((uint64_t)from->offset - (uint64_t)wrapping->first);
    if (wrapping->last < 0 || from->timestamp > wrapping->max_timestamp)
        wrapping->max_timestamp = from->timestamp;
    wrapping->last = from->offset;
    oldset_write(&c->inner, &message);
}

/* The wrapper has the offset of its last message. */
static void wrap(struct conversion *c, const struct wrapping *wrapping, struct buf *out)
{
    if (wrapping->codec == BATCH_CODEC_NONE || wrapping->last < 0) return;
    buf_clear(&c->packed);
    compress_write(wrapping->codec, c->how->magic, COMPRESS_LEVEL_DEFAULT, buf_slice(&c->inner),
                   &c->packed);
    struct oldset_message message = {
        .offset = wrapping->last,
        .magic = c->how->magic,
        .attributes =
            (uint8_t)(wrapping->codec |
                      (c->how->magic == 1 && wrapping->has_append_time ? BATCH_APPEND_TIME : 0)),
        .timestamp = wrapping->max_timestamp,
        .key = SLICE_NULL,
        .value = buf_slice(&c->packed),
    };
    oldset_write(out, &message);
}

static enum err convert_v2(struct conversion *c, struct slice bytes, struct buf *out)
{
    struct wrapping wrapping = {.first = -1, .last = -1};
    struct record record;
    struct batch batch;

    enum err err = batch_view(bytes, &batch);
    if (err == ERR_OK) err = batch_check(&batch);
    if (err != ERR_OK || batch_is_control(&batch)) return err;
    wrapping.codec = batch_codec(&batch);
    wrapping.has_append_time = batch_has_append_time(&batch);
    if (wrapping.codec >= BATCH_CODEC_ZSTD) return ERR_UNSUPPORTED;

    struct slice records = batch.records;
    if (wrapping.codec != BATCH_CODEC_NONE) {
        buf_clear(&c->opened);
        err = compress_read(wrapping.codec, BATCH_MAGIC, batch.records, c->how->opened_max,
                            &c->opened);
        if (err != ERR_OK) return err;
        records = buf_slice(&c->opened);
    }
    struct record_reader reader = record_reader_of(records, batch.record_count);
    while (record_next(&reader, &record)) {
        struct oldset_message message = {
            .offset = record_offset(&batch, &record),
            .timestamp = record_timestamp(&batch, &record),
            .key = record.key,
            .value = record.value,
        };
        add_message(c, &wrapping, &message, out);
    }
    err = record_reader_end(&reader);
    if (err == ERR_OK) wrap(c, &wrapping, out);
    return err;
}

/* A message v1, or a wrapper of them, for a reader of v0. */
static enum err convert_v1(struct conversion *c, const struct batch_entry *entry, struct buf *out)
{
    struct wrapping wrapping = {.first = -1, .last = -1};
    struct oldset_message message;
    struct oldset_reader reader;

    enum err err = oldset_open(entry, c->how->opened_max, &c->opened, &reader);
    if (err != ERR_OK) return err;
    wrapping.codec = reader.is_wrapper ? oldset_codec(&reader.wrapper) : BATCH_CODEC_NONE;
    while (oldset_next(&reader, &message))
        add_message(c, &wrapping, &message, out);
    if (reader.err == ERR_OK) wrap(c, &wrapping, out);
    return reader.err;
}

static enum err convert_entry(struct conversion *c, const struct batch_entry *entry,
                              struct buf *out)
{
    buf_clear(&c->inner);
    if (entry->magic <= c->how->magic) {
        buf_add(out, entry->bytes.ptr, entry->bytes.len);
        return ERR_OK;
    }
    return entry->magic == BATCH_MAGIC ? convert_v2(c, entry->bytes, out)
                                       : convert_v1(c, entry, out);
}

/* Old readers take an empty set for the end of the log, and the beginning of an entry for one that
 * they asked too few bytes for. */
static void add_head(struct buf *out)
{
    prim_add_int64(out, -1);
    prim_add_int32(out, BATCH_HEADER_SIZE);
}

enum err downconvert(struct slice set, const struct downconvert *how, struct buf *out)
{
    struct conversion c = {.how = how};
    struct batch_entry entry;
    size_t start = out->len;
    bool had_bytes = set.len > 0;
    enum err err = ERR_OK;

    buf_init(&c.opened);
    buf_init(&c.inner);
    buf_init(&c.packed);
    while (err == ERR_OK && out->len - start < how->bytes_max &&
           batch_entry_take(&set, &entry) == ERR_OK) {
        size_t before = out->len;
        err = convert_entry(&c, &entry, out);
        bool is_over = before > start && out->len - start > how->bytes_max;
        if (err != ERR_OK || is_over) out->len = before;
        if (is_over) break;
    }
    buf_fini(&c.opened);
    buf_fini(&c.inner);
    buf_fini(&c.packed);
    if (err != ERR_OK && out->len == start) return err;
    if (had_bytes && out->len == start) add_head(out);
    return ERR_OK;
}
