/* tests/unit/wire_values.h - seeded values for any message, and what tests say of bytes.
 *
 * Nulls, defaults, empty and long fields, set and unset tags all come up. Fields that the version
 * lacks have their value for absence, as a reader leaves them. */
#pragma once
#include "base/arena.h"
#include "base/prng.h"
#include "base/slice.h"
#include "wire/codec.h"
#include <stdio.h>
#include <stdlib.h>

struct values {
    struct prng prng;
    struct arena *arena;
    int version;
};

static inline void values_struct(struct values *v, const struct wire_struct *type, void *out);

static inline int64_t values_number(struct values *v, int bits, int64_t absent)
{
    switch (prng_below(&v->prng, 6)) {
    case 0:
        return absent;
    case 1:
        return 0;
    case 2:
        return -1;
    case 3: /* the greatest, the least */
        return (int64_t)(prng_below(&v->prng, 2) == 0 ? (UINT64_C(1) << (bits - 1)) - 1
                                                      : ~UINT64_C(0) << (bits - 1));
    default:
        return (int64_t)prng_next(&v->prng) >> (64 - bits);
    }
}

static inline struct slice values_bytes(struct values *v, bool text)
{
    static const uint16_t lengths[] = {0, 1, 2, 7, 20, 126, 127, 128, 300};
    size_t len = lengths[prng_below(&v->prng, sizeof(lengths) / sizeof(lengths[0]))];
    uint8_t *at = arena_zalloc(v->arena, len + 1);

    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)(text ? ' ' + prng_below(&v->prng, 95) : prng_next(&v->prng));
    return slice_of(at, len);
}

static inline void values_one(struct values *v, const struct wire_field *field, bool null_allowed,
                              void *at)
{
    int64_t number;

    switch ((enum wire_type)field->type) {
    case WIRE_BOOL:
        *(bool *)at = prng_below(&v->prng, 2) != 0;
        break;
    case WIRE_INT8:
        *(int8_t *)at = (int8_t)values_number(v, 8, field->absent);
        break;
    case WIRE_INT16:
        *(int16_t *)at = (int16_t)values_number(v, 16, field->absent);
        break;
    case WIRE_INT32:
        *(int32_t *)at = (int32_t)values_number(v, 32, field->absent);
        break;
    case WIRE_INT64:
        *(int64_t *)at = values_number(v, 64, field->absent);
        break;
    case WIRE_FLOAT64:
        number = values_number(v, 64, 0);
        *(double *)at = (double)number / 1024;
        break;
    case WIRE_UUID:
        *(struct uuid *)at = prng_below(&v->prng, 3) == 0
                                 ? UUID_ZERO
                                 : uuid_from_random(prng_next(&v->prng), prng_next(&v->prng));
        break;
    case WIRE_STRING:
    case WIRE_BYTES:
    case WIRE_RECORDS:
        *(struct slice *)at = null_allowed && prng_below(&v->prng, 3) == 0
                                  ? SLICE_NULL
                                  : values_bytes(v, field->type == WIRE_STRING);
        break;
    case WIRE_STRUCT:
        values_struct(v, field->of, at);
        break;
    }
}

static inline size_t values_size(const struct wire_field *field)
{
    static const uint8_t sizes[] = {sizeof(bool),
                                    1,
                                    2,
                                    4,
                                    8,
                                    sizeof(double),
                                    sizeof(struct uuid),
                                    sizeof(struct slice),
                                    sizeof(struct slice),
                                    sizeof(struct slice)};
    return field->type == WIRE_STRUCT ? field->of->size : sizes[field->type];
}

static inline void values_field(struct values *v, const struct wire_field *field, void *at)
{
    bool null_allowed = v->version >= field->null_min && v->version <= field->null_max;

    if (field->is_array) {
        struct {
            void *at;
            int32_t count;
        } array = {NULL, (int32_t)prng_below(&v->prng, 4)};
        if (null_allowed && prng_below(&v->prng, 3) == 0) array.count = -1;
        size_t size = values_size(field);
        if (array.count > 0) array.at = arena_zalloc(v->arena, (size_t)array.count * size);
        for (int32_t i = 0; i < array.count; i++)
            values_one(v, field, false, (uint8_t *)array.at + (size_t)i * size);
        memcpy(at, &array, sizeof(array));
    } else if (field->type == WIRE_STRUCT && field->null_min <= field->null_max) {
        void *to = NULL;
        if (!null_allowed || prng_below(&v->prng, 3) != 0) {
            to = arena_zalloc(v->arena, field->of->size);
            values_struct(v, field->of, to);
        }
        memcpy(at, &to, sizeof(to));
    } else {
        values_one(v, field, null_allowed, at);
    }
}

static inline void values_struct(struct values *v, const struct wire_struct *type, void *out)
{
    wire_default(type, out);
    for (int i = 0; i < type->field_count; i++) {
        const struct wire_field *field = &type->fields[i];
        if (v->version < field->min || v->version > field->max) continue;
        if (field->tag >= 0 && prng_below(&v->prng, 3) == 0)
            continue; /* a tagged field that is not set */
        values_field(v, field, (uint8_t *)out + field->offset);
    }
}

/* A value of `type` for `version`, in the arena. */
static inline void *values_make(uint64_t seed, int version, const struct wire_struct *type,
                                struct arena *arena)
{
    struct values v = {.arena = arena, .version = version};
    void *out = arena_zalloc(arena, type->size);

    prng_init_named(&v.prng, seed, type->name);
    values_struct(&v, type, out);
    return out;
}

/* Bytes of hex digits; white space between them is fine. In the arena. */
static inline struct slice values_hex(struct arena *arena, const char *text)
{
    uint8_t *at = arena_zalloc(arena, strlen(text) / 2 + 1);
    size_t digits = 0;

    for (; *text != '\0'; text++) {
        const char *all = "0123456789abcdef", *digit = strchr(all, *text);
        if (digit == NULL) continue;
        at[digits / 2] = (uint8_t)(at[digits / 2] << 4 | (digit - all));
        digits++;
    }
    return slice_of(at, digits / 2);
}
