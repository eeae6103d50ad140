#include "wire/record.h"
#include "base/ensure.h"

/* A length before bytes; negative is null. */
static inline struct slice read_field(struct reader *r)
{
    int32_t length = reader_varint(r);

    return length < 0 ? SLICE_NULL : reader_bytes(r, (size_t)length);
}

static bool skip_headers(struct reader *r, int32_t count)
{
    for (; count > 0; count--) {
        if (slice_is_null(read_field(r))) return false;
        (void)read_field(r);
    }
    return r->err == ERR_OK;
}

/* One whole record: false when it is not valid. Everything but its index is set. */
static inline bool read_record(struct reader *in, struct record *out)
{
    int32_t length = reader_varint(in);

    if (length < 0) return false;
    struct reader r = reader_of(reader_bytes(in, (size_t)length));
    out->attributes = reader_int8(&r);
    out->timestamp_delta = reader_varlong(&r);
    out->offset_delta = reader_varint(&r);
    out->key = read_field(&r);
    out->value = read_field(&r);
    out->header_count = reader_varint(&r);
    out->headers = slice_of(r.at, reader_left(&r));
    /* After an error nothing is left, and the count is 0: one test at the end is enough. */
    if (out->header_count != 0) {
        if (out->header_count < 0 || (size_t)out->header_count > reader_left(&r) ||
            !skip_headers(&r, out->header_count))
            return false;
    }
    return r.err == ERR_OK && in->err == ERR_OK && reader_left(&r) == 0;
}

struct record_reader record_reader_of(struct slice records, int32_t count)
{
    return (struct record_reader){.in = reader_of(records), .count = count};
}

bool record_next(struct record_reader *reader, struct record *out)
{
    struct record record;

    if (reader->index >= reader->count || reader->in.err != ERR_OK) return false;
    if (!read_record(&reader->in, &record)) {
        reader_fail(&reader->in, ERR_INVALID_RECORD);
        return false;
    }
    record.index = reader->index++;
    *out = record;
    return true;
}

enum err record_reader_end(const struct record_reader *reader)
{
    if (reader->in.err != ERR_OK || reader->index != reader->count || reader_left(&reader->in) > 0)
        return ERR_INVALID_RECORD;
    return ERR_OK;
}

bool record_header_next(struct slice *headers, struct record_header *out)
{
    struct reader r = reader_of(*headers);

    if (headers->len == 0) return false;
    struct record_header header;
    header.key = read_field(&r);
    header.value = read_field(&r);
    ensure(r.err == ERR_OK); /* record_next has checked them */
    *headers = slice_of(r.at, reader_left(&r));
    *out = header;
    return true;
}

enum err record_walk(struct slice records, int32_t count, struct record_walk *out)
{
    struct reader in = reader_of(records);
    struct record_walk walk = {.offsets_are_dense = true,
                               .min_timestamp_delta = INT64_MAX,
                               .max_timestamp_delta = INT64_MIN};
    struct record record;
    int32_t i = 0;
    uint32_t disorder = 0;
    uint8_t attributes = 0;

    for (; i < count && read_record(&in, &record); i++) {
        walk.null_keys += slice_is_null(record.key);
        disorder |= (uint32_t)record.offset_delta ^ (uint32_t)i;
        attributes |= (uint8_t)record.attributes;
        if (record.timestamp_delta < walk.min_timestamp_delta)
            walk.min_timestamp_delta = record.timestamp_delta;
        if (record.timestamp_delta > walk.max_timestamp_delta)
            walk.max_timestamp_delta = record.timestamp_delta;
    }
    if (i != count || reader_left(&in) > 0) {
        out->bad_index = i;
        return ERR_INVALID_RECORD;
    }
    walk.offsets_are_dense = disorder == 0;
    walk.has_inner_codec = (attributes & BATCH_CODEC_MASK) != 0;
    if (count == 0) walk.min_timestamp_delta = walk.max_timestamp_delta = 0;
    *out = walk;
    return ERR_OK;
}

/* --- building --- */

void record_builder_begin(struct record_builder *builder, struct buf *out)
{
    *builder = (struct record_builder){
        .head = {.leader_epoch = -1,
                 .last_offset_delta = -1,
                 .base_timestamp = -1,
                 .max_timestamp = -1,
                 .producer_id = -1,
                 .producer_epoch = -1,
                 .base_sequence = -1},
        .level = COMPRESS_LEVEL_DEFAULT,
        .out = out,
        .start = out->len,
    };
    memset(buf_extend(out, BATCH_HEADER_SIZE), 0, BATCH_HEADER_SIZE);
}

static size_t field_size(struct slice s)
{
    if (slice_is_null(s)) return prim_varint_size(-1);
    ensure(s.len <= INT32_MAX);
    return prim_varint_size((int32_t)s.len) + s.len;
}

static void add_field(struct buf *out, struct slice s)
{
    prim_add_varint(out, slice_is_null(s) ? -1 : (int32_t)s.len);
    buf_add_slice(out, s);
}

void record_builder_add(struct record_builder *builder, int64_t timestamp, struct slice key,
                        struct slice value, const struct record_header *headers,
                        int32_t header_count)
{
    record_builder_add_at(builder, builder->head.last_offset_delta + 1, timestamp, key, value,
                          headers, header_count);
}

void record_builder_add_at(struct record_builder *builder, int32_t offset_delta, int64_t timestamp,
                           struct slice key, struct slice value,
                           const struct record_header *headers, int32_t header_count)
{
    struct batch *head = &builder->head;

    ensure(offset_delta > head->last_offset_delta);
    if (head->record_count == 0 && (head->attributes & BATCH_DELETE_HORIZON) == 0)
        head->base_timestamp = timestamp;
    if (!batch_has_append_time(head) && timestamp > head->max_timestamp)
        head->max_timestamp = timestamp;
    head->last_offset_delta = offset_delta;
    head->record_count++;

    int64_t delta = (int64_t)((uint64_t)timestamp - (uint64_t)head->base_timestamp);
    size_t size = 1 + prim_varlong_size(delta) + prim_varint_size(offset_delta) + field_size(key) +
                  field_size(value) + prim_varint_size(header_count);
    for (int32_t i = 0; i < header_count; i++)
        size += field_size(headers[i].key) + field_size(headers[i].value);
    ensure(size <= INT32_MAX);

    struct buf *out = builder->out;
    prim_add_varint(out, (int32_t)size);
    prim_add_int8(out, 0);
    prim_add_varlong(out, delta);
    prim_add_varint(out, offset_delta);
    add_field(out, key);
    add_field(out, value);
    prim_add_varint(out, header_count);
    for (int32_t i = 0; i < header_count; i++) {
        ensure(!slice_is_null(headers[i].key));
        add_field(out, headers[i].key);
        add_field(out, headers[i].value);
    }
}

size_t record_builder_size(const struct record_builder *builder)
{
    return builder->out->len - builder->start;
}

void record_builder_end(struct record_builder *builder)
{
    struct buf *out = builder->out;
    size_t records_at = builder->start + BATCH_HEADER_SIZE;
    int codec = batch_codec(&builder->head);

    if (codec != BATCH_CODEC_NONE) {
        struct buf compressed;
        buf_init(&compressed);
        compress_write(codec, BATCH_MAGIC, builder->level,
                       slice_of(out->ptr + records_at, out->len - records_at), &compressed);
        out->len = records_at;
        buf_add_slice(out, buf_slice(&compressed));
        buf_fini(&compressed);
    }
    /* A batch without records takes no offset but its own. */
    if (builder->head.last_offset_delta < 0) builder->head.last_offset_delta = 0;
    batch_write_header(out->ptr + builder->start, out->len - builder->start, &builder->head);
}

/* --- markers --- */

void record_write_marker(struct buf *out, enum record_marker type, int64_t producer_id,
                         int16_t producer_epoch, int32_t coordinator_epoch, int64_t timestamp)
{
    struct record_builder builder;
    uint8_t key[4], value[6];

    prim_store16(key, 0);
    prim_store16(key + 2, (uint16_t)type);
    prim_store16(value, 0);
    prim_store32(value + 2, (uint32_t)coordinator_epoch);
    record_builder_begin(&builder, out);
    builder.head.attributes = BATCH_TRANSACTIONAL | BATCH_CONTROL;
    builder.head.producer_id = producer_id;
    builder.head.producer_epoch = producer_epoch;
    record_builder_add(&builder, timestamp, slice_of(key, sizeof(key)),
                       slice_of(value, sizeof(value)), NULL, 0);
    record_builder_end(&builder);
}

enum err record_control_type(struct slice key, int16_t *type)
{
    struct reader r = reader_of(key);
    int16_t version = reader_int16(&r);
    int16_t found = reader_int16(&r);

    if (r.err != ERR_OK || version < 0) return ERR_INVALID_RECORD;
    *type = found;
    return ERR_OK;
}

enum err record_marker_epoch(struct slice value, int32_t *coordinator_epoch)
{
    struct reader r = reader_of(value);
    int16_t version = reader_int16(&r);
    int32_t found = reader_int32(&r);

    if (r.err != ERR_OK || version < 0) return ERR_INVALID_RECORD;
    *coordinator_epoch = found;
    return ERR_OK;
}
