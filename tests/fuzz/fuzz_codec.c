/* The first byte picks the message, the second the version, the rest is its bytes. What is accepted
 * is written, has the size that was said, and reads as the same again. */
#include "tests/fuzz/fuzz.h"
#include "wire/gen/protocol.h"

#define ARENA_LIMIT (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    const struct wire_struct *type = wire_messages[data[0] % WIRE_MESSAGE_COUNT].type;
    int version = type->min + data[1] % (type->max - type->min + 1);
    struct slice in = slice_of(data + 2, size - 2);
    struct arena arena;
    struct buf first, second;

    arena_init(&arena, ARENA_LIMIT + 2 * type->size + 64);
    buf_init(&first);
    buf_init(&second);
    void *value = arena_zalloc(&arena, type->size);
    if (wire_take(&in, version, type, &arena, value) == ERR_OK) {
        wire_write(&first, version, type, value);
        ensure(first.len == wire_size(version, type, value));

        struct arena other;
        arena_init(&other, 8 * ARENA_LIMIT);
        void *again = arena_zalloc(&other, type->size);
        struct slice rest = buf_slice(&first);
        ensure(wire_take(&rest, version, type, &other, again) == ERR_OK);
        ensure(rest.len == 0);
        ensure(wire_equal(version, type, value, again));
        wire_write(&second, version, type, again);
        ensure(slice_equal(buf_slice(&first), buf_slice(&second)));

        buf_clear(&second);
        struct wire_splices splices;
        wire_splices_init(&splices);
        wire_write_spliced(&second, version, type, value, &splices);
        size_t spliced = second.len;
        for (size_t i = 0; i < splices.count; i++)
            spliced += splices.list[i].records.len;
        ensure(spliced == first.len);
        wire_splices_fini(&splices);

        buf_clear(&second);
        wire_print(&second, version, type, value);
        arena_fini(&other);
    }
    buf_fini(&first);
    buf_fini(&second);
    arena_fini(&arena);
    return 0;
}
