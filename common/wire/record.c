#include "wire/record.h"
#include "base/ensure.h"

/* The walk is on the produce path, once per record: it keeps its place in two locals, which stay in
 * registers as a struct reader behind a pointer would not. `at` is NULL after an error, and stays
 * so. */
struct varint {
    const uint8_t *at; /* behind it */
    uint64_t value;
};

static __attribute__((noinline)) struct varint take_long_varint(const uint8_t *at,
                                                                const uint8_t *end, int bytes_max)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes_max && at < end; i++) {
        uint8_t byte = *at++;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) return (struct varint){at, value};
    }
    return (struct varint){NULL, 0};
}

static inline struct varint take_varint(const uint8_t *at, const uint8_t *end, int bytes_max)
{
    if (at == NULL) return (struct varint){NULL, 0};
    if (end - at >= 2) {
        if (at[0] < 0x80) return (struct varint){at + 1, at[0]};
        if (at[1] < 0x80)
            return (struct varint){at + 2, (uint64_t)(at[0] & 0x7f) | (uint64_t)at[1] << 7};
    }
    return take_long_varint(at, end, bytes_max);
}

/* Bits above the width are dropped, as Kafka's readers do. */
static inline const uint8_t *take_int32(const uint8_t *at, const uint8_t *end, int32_t *out)
{
    struct varint v = take_varint(at, end, PRIM_VARINT_MAX);

    *out = (int32_t)prim_unzigzag((uint32_t)v.value);
    return v.at;
}

static inline const uint8_t *take_int64(const uint8_t *at, const uint8_t *end, int64_t *out)
{
    struct varint v = take_varint(at, end, PRIM_VARLONG_MAX);

    *out = prim_unzigzag(v.value);
    return v.at;
}

/* A length and so many bytes; a negative length is null. */
static inline const uint8_t *take_field(const uint8_t *at, const uint8_t *end, struct slice *out)
{
    int32_t length;

    at = take_int32(at, end, &length);
    if (at == NULL || length > end - at) return NULL;
    *out = length < 0 ? SLICE_NULL : slice_of(at, (size_t)length);
    return length < 0 ? at : at + length;
}

static const uint8_t *skip_headers(const uint8_t *at, const uint8_t *end, int32_t count)
{
    struct slice key, value;

    if (count < 0 || count > end - at) return NULL;
    for (; count > 0 && at != NULL; count--) {
        at = take_field(at, end, &key);
        if (at == NULL || slice_is_null(key)) return NULL;
        at = take_field(at, end, &value);
    }
    return at;
}

/* One whole record, all but its index; gives where it ends, or NULL when it is not valid. */
static inline const uint8_t *take_record(const uint8_t *at, const uint8_t *end, struct record *out)
{
    int32_t length;

    at = take_int32(at, end, &length);
    if (at == NULL || length < 1 || length > end - at) return NULL;
    end = at + length;
    out->attributes = (int8_t)*at++;
    at = take_int64(at, end, &out->timestamp_delta);
    at = take_int32(at, end, &out->offset_delta);
    at = take_field(at, end, &out->key);
    at = take_field(at, end, &out->value);
    at = take_int32(at, end, &out->header_count);
    if (at == NULL) return NULL;
    out->headers = slice_of(at, (size_t)(end - at));
    if (out->header_count != 0) at = skip_headers(at, end, out->header_count);
    return at == end ? at : NULL;
}

struct record_reader record_reader_of(struct slice records, int32_t count)
{
    return (struct record_reader){.in = reader_of(records), .count = count};
}

bool record_next(struct record_reader *reader, struct record *out)
{
    struct record record;

    if (reader->index >= reader->count || reader->in.err != ERR_OK) return false;
    const uint8_t *at = take_record(reader->in.at, reader->in.end, &record);
    if (at == NULL) {
        reader_fail(&reader->in, ERR_INVALID_RECORD);
        return false;
    }
    reader->in.at = at;
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
    struct record_header header;

    if (headers->len == 0) return false;
    const uint8_t *at = headers->ptr, *end = headers->ptr + headers->len;
    at = take_field(at, end, &header.key);
    at = take_field(at, end, &header.value);
    ensure(at != NULL); /* record_next has checked them */
    *headers = slice_of(at, (size_t)(end - at));
    *out = header;
    return true;
}

enum err record_walk(struct slice records, int32_t count, struct record_walk *out)
{
    struct slice in = records.ptr == NULL ? SLICE("") : records;
    const uint8_t *at = in.ptr, *end = in.ptr + in.len;
    struct record_walk walk = {.offsets_are_dense = true,
                               .min_timestamp_delta = INT64_MAX,
                               .max_timestamp_delta = INT64_MIN};
    struct record record;
    int32_t i = 0;
    uint32_t disorder = 0;
    uint8_t attributes = 0;

    for (; i < count; i++) {
        const uint8_t *next = take_record(at, end, &record);
        if (next == NULL) break;
        at = next;
        walk.null_keys += slice_is_null(record.key);
        disorder |= (uint32_t)record.offset_delta ^ (uint32_t)i;
        attributes |= (uint8_t)record.attributes;
        if (record.timestamp_delta < walk.min_timestamp_delta)
            walk.min_timestamp_delta = record.timestamp_delta;
        if (record.timestamp_delta > walk.max_timestamp_delta)
            walk.max_timestamp_delta = record.timestamp_delta;
    }
    if (i != count || at != end) {
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
