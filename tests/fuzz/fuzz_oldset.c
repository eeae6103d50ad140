/* Message sets v0 and v1. The first byte says how: even, the rest is a set as it is sent; odd, it
 * is the inside of a wrapper (codec and format in the bits above), so that what is behind
 * compression and checksums is reached. Checksums are made right. */
#include "base/buf.h"
#include "tests/fuzz/fuzz.h"
#include "wire/downconvert.h"
#include "wire/prim.h"
#include <stdlib.h>
#include <zlib.h>

#define PLAIN_MAX (1 << 20)

static void seal(const struct batch_entry *entry)
{
    uint8_t *at = (uint8_t *)(uintptr_t)entry->bytes.ptr; /* our own copy */

    if (entry->bytes.len >= 16)
        prim_store32(at + 12, (uint32_t)crc32_z(0, at + 16, entry->bytes.len - 16));
}

/* What comes out is whole, of that format, and no more than was allowed but for one entry. */
static void convert(struct slice from, int8_t magic)
{
    struct downconvert how = {magic, 0, PLAIN_MAX, PLAIN_MAX};
    struct batch_entry entry;
    struct buf out;

    buf_init(&out);
    if (downconvert(from, &how, &out) == ERR_OK) {
        struct slice rest = buf_slice(&out);
        while (batch_entry_take(&rest, &entry) == ERR_OK)
            ensure(entry.magic <= magic);
        ensure(rest.len == 0 || rest.len == BATCH_PREFIX_SIZE);
    }
    buf_fini(&out);
}

static void read_set(struct slice from)
{
    struct oldset_reader reader;
    struct oldset_message message;
    struct batch_entry entry;
    struct buf inner, out;

    struct slice all = from;

    buf_init(&inner);
    buf_init(&out);
    while (batch_entry_take(&from, &entry) == ERR_OK) {
        if (entry.magic > 1) continue;
        seal(&entry);
        if (oldset_open(&entry, PLAIN_MAX, &inner, &reader) != ERR_OK) continue;
        ensure(inner.len <= PLAIN_MAX);
        while (oldset_next(&reader, &message)) {
            ensure(message.offset >= 0 || !reader.is_wrapper);
            buf_clear(&out);
            oldset_write(&out, &message);
        }
    }
    buf_fini(&inner);
    buf_fini(&out);
    convert(all, 0);
    convert(all, 1);
}

static void read_wrapped(uint8_t how, struct slice set)
{
    struct oldset_message message = {.offset = how >> 4, .magic = how >> 1 & 1};
    struct slice from = set;
    struct batch_entry entry;
    struct buf packed, out;

    while (batch_entry_take(&from, &entry) == ERR_OK)
        seal(&entry);
    buf_init(&packed);
    buf_init(&out);
    message.attributes = (uint8_t)(1 + (how >> 2 & 3) % 3);
    compress_write(message.attributes, message.magic, COMPRESS_LEVEL_DEFAULT, set, &packed);
    message.value = buf_slice(&packed);
    oldset_write(&out, &message);
    read_set(buf_slice(&out));
    buf_fini(&packed);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    uint8_t *copy = ensure_malloc(size);
    memcpy(copy, data, size);
    if (data[0] % 2 == 0)
        read_set(slice_of(copy + 1, size - 1));
    else
        read_wrapped(data[0], slice_of(copy + 1, size - 1));
    free(copy);
    return 0;
}
