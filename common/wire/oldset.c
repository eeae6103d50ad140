#include "wire/oldset.h"
#include "base/ensure.h"
#include <zlib.h>

enum {
    AT_LENGTH = 8,
    AT_CRC = 12,
    AT_REST = 16, /* magic, attributes and on: what the checksum covers */
};

static uint32_t compute_crc(const uint8_t *at, size_t len)
{
    return (uint32_t)crc32_z(0, at + AT_REST, len - AT_REST);
}

static struct slice read_field(struct reader *r)
{
    int32_t length = reader_length32(r);

    return length < 0 ? SLICE_NULL : reader_bytes(r, (size_t)length);
}

enum err oldset_view(const struct batch_entry *entry, struct oldset_message *out)
{
    struct slice bytes = entry->bytes;
    struct oldset_message message = {.offset = entry->offset, .timestamp = -1};

    /* batch_entry_take has seen that at least the fields of v0 without key and value are there. */
    if (bytes.len < OLDSET_V0_SIZE_MIN ||
        prim_load32(bytes.ptr + AT_CRC) != compute_crc(bytes.ptr, bytes.len))
        return ERR_CORRUPT;
    message.crc = prim_load32(bytes.ptr + AT_CRC);
    struct reader r = reader_of(slice_of(bytes.ptr + AT_REST, bytes.len - AT_REST));
    message.magic = reader_int8(&r);
    message.attributes = (uint8_t)reader_int8(&r);
    if (message.magic == 1) {
        message.timestamp = reader_int64(&r);
        message.has_append_time = (message.attributes & BATCH_APPEND_TIME) != 0;
    } else if (message.magic != 0) {
        return ERR_CORRUPT;
    }
    message.key = read_field(&r);
    message.value = read_field(&r);
    if (r.err != ERR_OK || reader_left(&r) > 0) return ERR_CORRUPT;
    *out = message;
    return ERR_OK;
}

/* The relative offset of the last inner message, as wrappers of magic 1 number them. */
static enum err find_last_inner(struct slice set, int64_t *last)
{
    struct batch_entry entry;
    enum err err = set.len == 0 ? ERR_INVALID_RECORD : ERR_OK;

    while (err == ERR_OK && set.len > 0) {
        err = batch_entry_take(&set, &entry);
        if (err == ERR_OK) *last = entry.offset;
    }
    return err == ERR_TRUNCATED ? ERR_CORRUPT : err;
}

/* Where inner offsets count from. */
static enum err find_base(struct oldset_reader *reader)
{
    const struct oldset_message *wrapper = &reader->wrapper;
    int64_t last = 0;

    enum err err = find_last_inner(reader->left, &last);
    if (err != ERR_OK || wrapper->magic == 0) /* in magic 0 they are absolute */
        return err;
    if (last < 0) return ERR_INVALID_RECORD;
    /* Some producers leave the wrapper's offset at 0: then they count from there. */
    if (wrapper->offset == 0) return ERR_OK;
    if (wrapper->offset < last) return ERR_INVALID_RECORD;
    reader->base = wrapper->offset - last;
    return ERR_OK;
}

enum err oldset_open(const struct batch_entry *entry, size_t limit, struct buf *inner,
                     struct oldset_reader *out)
{
    struct oldset_reader reader = {.is_first = true};

    enum err err = oldset_view(entry, &reader.wrapper);
    if (err != ERR_OK) return err;
    int codec = oldset_codec(&reader.wrapper);
    if (codec != BATCH_CODEC_NONE) {
        if (codec >= BATCH_CODEC_ZSTD) return ERR_UNSUPPORTED;
        if (slice_is_null(reader.wrapper.value)) return ERR_INVALID_RECORD;
        buf_clear(inner);
        err = compress_read(codec, reader.wrapper.magic, reader.wrapper.value, limit, inner);
        reader.is_wrapper = true;
        reader.left = buf_slice(inner);
        if (err == ERR_OK) err = find_base(&reader);
    }
    if (err == ERR_OK) *out = reader;
    return err;
}

static enum err next_inner(struct oldset_reader *reader, struct oldset_message *out)
{
    const struct oldset_message *wrapper = &reader->wrapper;
    struct oldset_message message;
    struct batch_entry entry;

    enum err err = batch_entry_take(&reader->left, &entry);
    /* An inner message is of its wrapper's format and wraps nothing itself. */
    if (err == ERR_OK && entry.magic != wrapper->magic) err = ERR_INVALID_RECORD;
    if (err == ERR_OK) err = oldset_view(&entry, &message);
    if (err == ERR_OK && oldset_codec(&message) != BATCH_CODEC_NONE) err = ERR_INVALID_RECORD;
    if (err == ERR_OK && (message.offset < 0 || message.offset > INT64_MAX - reader->base))
        err = ERR_INVALID_RECORD;
    if (err != ERR_OK) return err;
    message.offset += reader->base;
    message.has_append_time = wrapper->has_append_time;
    if (wrapper->has_append_time) message.timestamp = wrapper->timestamp;
    *out = message;
    return ERR_OK;
}

bool oldset_next(struct oldset_reader *reader, struct oldset_message *out)
{
    if (reader->err != ERR_OK) return false;
    if (!reader->is_wrapper) {
        if (!reader->is_first) return false;
        reader->is_first = false;
        *out = reader->wrapper;
        return true;
    }
    if (reader->left.len == 0) return false;
    reader->err = next_inner(reader, out);
    reader->index += reader->err == ERR_OK;
    return reader->err == ERR_OK;
}

void oldset_write(struct buf *out, const struct oldset_message *message)
{
    size_t start = out->len;

    ensure(message->magic == 0 || message->magic == 1);
    prim_add_int64(out, message->offset);
    prim_add_int32(out, 0);
    prim_add_int32(out, 0);
    prim_add_int8(out, message->magic);
    prim_add_int8(out, (int8_t)message->attributes);
    if (message->magic == 1) prim_add_int64(out, message->timestamp);
    prim_add_bytes(out, message->key);
    prim_add_bytes(out, message->value);
    size_t len = out->len - start;
    ensure(len - BATCH_PREFIX_SIZE <= INT32_MAX);
    prim_store32(out->ptr + start + AT_LENGTH, (uint32_t)(len - BATCH_PREFIX_SIZE));
    prim_store32(out->ptr + start + AT_CRC, compute_crc(out->ptr + start, len));
}
