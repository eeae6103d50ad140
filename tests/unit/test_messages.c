/* Every message at every version, with seeded values: written, sized, read, compared, printed. */
#include "wire/gen/protocol.h"
#include "tests/unit/unit.h"
#include "tests/unit/wire_values.h"

#define SEEDS 6

static void check_round_trip(const struct wire_message *message, int version, uint64_t seed)
{
    struct arena arena;
    struct buf out, again, printed;

    arena_init(&arena, 64 << 20);
    buf_init(&out);
    buf_init(&again);
    buf_init(&printed);
    const void *value = values_make(seed, version, message->type, &arena);
    wire_write(&out, version, message->type, value);
    ck_assert_msg(wire_size(version, message->type, value) == out.len, "%s %d size", message->name,
                  version);

    void *back = arena_zalloc(&arena, message->type->size);
    struct slice rest = buf_slice(&out);
    enum err err = wire_take(&rest, version, message->type, &arena, back);
    ck_assert_msg(err == ERR_OK, "%s %d seed %d: %s", message->name, version, (int)seed,
                  err_name(err));
    ck_assert_msg(rest.len == 0, "%s %d left over", message->name, version);
    ck_assert_msg(wire_equal(version, message->type, value, back), "%s %d differs", message->name,
                  version);
    wire_write(&again, version, message->type, back);
    ck_assert(slice_equal(buf_slice(&out), buf_slice(&again)));

    wire_print(&printed, version, message->type, value);
    ck_assert(printed.len > 0 || message->type->field_count == 0 || out.len <= 1);
    ck_assert(printed.len == 0 || memchr(printed.ptr, '\n', printed.len) == NULL);
    arena_fini(&arena);
    buf_fini(&out);
    buf_fini(&again);
    buf_fini(&printed);
}

START_TEST(every_message_of_every_version_survives_the_wire)
{
    for (int i = 0; i < WIRE_MESSAGE_COUNT; i++) {
        const struct wire_struct *type = wire_messages[i].type;
        for (int version = type->min; version <= type->max; version++) {
            for (uint64_t seed = 1; seed <= SEEDS; seed++)
                check_round_trip(&wire_messages[i], version, seed);
        }
    }
}
END_TEST

/* The default of everything is the shortest message, and never shorter than the table says. */
START_TEST(the_least_size_is_that_of_empty_values)
{
    for (int i = 0; i < WIRE_MESSAGE_COUNT; i++) {
        const struct wire_struct *type = wire_messages[i].type;
        void *value = malloc(type->size);
        wire_default(type, value);
        for (int version = type->min; version <= type->max; version++) {
            size_t size = wire_size(version, type, value);
            size_t least = type->least[version - type->min];
            ck_assert_msg(size == least || (size == 0 && least == 1), "%s %d: %zu, table %zu",
                          wire_messages[i].name, version, size, least);
        }
        free(value);
    }
}
END_TEST

/* Changed bytes never make the reader go wrong (the sanitizers look), and what it accepts it writes
 * again to something that reads as the same. */
START_TEST(mutated_messages_are_refused_or_read_whole)
{
    struct prng prng;
    struct buf out;

    prng_init(&prng, 99);
    buf_init(&out);
    for (int i = 0; i < WIRE_MESSAGE_COUNT; i++) {
        const struct wire_struct *type = wire_messages[i].type;
        for (int version = type->min; version <= type->max; version++) {
            struct arena arena;
            arena_init(&arena, 1 << 20);
            const void *value = values_make(5, version, type, &arena);
            buf_clear(&out);
            wire_write(&out, version, type, value);
            for (int n = 0; n < 8 && out.len > 0; n++) {
                out.ptr[prng_below(&prng, out.len)] = (uint8_t)prng_next(&prng);
                void *back = arena_zalloc(&arena, type->size);
                if (wire_read(buf_slice(&out), version, type, &arena, back) != ERR_OK) continue;
                struct buf again;
                buf_init(&again);
                wire_write(&again, version, type, back);
                void *third = arena_zalloc(&arena, type->size);
                ck_assert_int_eq(wire_read(buf_slice(&again), version, type, &arena, third),
                                 ERR_OK);
                ck_assert(wire_equal(version, type, back, third));
                buf_fini(&again);
            }
            arena_fini(&arena);
        }
    }
    buf_fini(&out);
}
END_TEST

UNIT(every_message_of_every_version_survives_the_wire, the_least_size_is_that_of_empty_values,
     mutated_messages_are_refused_or_read_whole)
