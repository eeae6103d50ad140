/* wire/codec_private.h - how the engine looks into structs: of codec*.c only. */
#pragma once
#include "base/ensure.h"
#include "wire/codec.h"

/* What every generated `struct { T *at; int32_t count; }` looks like. The generated files assert
 * it. */
struct codec_array {
    void *at;
    int32_t count;
};

static const uint8_t codec_basic_size[] = {
    [WIRE_BOOL] = sizeof(bool),
    [WIRE_INT8] = 1,
    [WIRE_INT16] = 2,
    [WIRE_INT32] = 4,
    [WIRE_INT64] = 8,
    [WIRE_FLOAT64] = sizeof(double),
    [WIRE_UUID] = sizeof(struct uuid),
    [WIRE_STRING] = sizeof(struct slice),
    [WIRE_BYTES] = sizeof(struct slice),
    [WIRE_RECORDS] = sizeof(struct slice),
};

static inline size_t codec_element_size(const struct wire_field *field)
{
    return field->type == WIRE_STRUCT ? field->of->size : codec_basic_size[field->type];
}

static inline bool codec_has_version(const struct wire_field *field, int version)
{
    return version >= field->min && version <= field->max;
}

static inline bool codec_may_be_null(const struct wire_field *field, int version)
{
    return version >= field->null_min && version <= field->null_max;
}

/* A struct that may be null (in any version) is behind a pointer. */
static inline bool codec_is_pointer(const struct wire_field *field)
{
    return field->type == WIRE_STRUCT && !field->is_array && field->null_min <= field->null_max;
}

static inline struct codec_array codec_load_array(const void *at)
{
    struct codec_array array;
    memcpy(&array, at, sizeof(array));
    return array;
}

static inline struct slice codec_load_slice(const void *at)
{
    struct slice slice;
    memcpy(&slice, at, sizeof(slice));
    return slice;
}

static inline const void *codec_load_pointer(const void *at)
{
    const void *pointer;
    memcpy(&pointer, at, sizeof(pointer));
    return pointer;
}

/* Numbers of all widths as one type, so that defaults, printing and comparing see one case. */
static inline int64_t codec_load_number(enum wire_type type, const void *at)
{
    switch (type) {
    case WIRE_BOOL:
        return *(const bool *)at;
    case WIRE_INT8:
        return *(const int8_t *)at;
    case WIRE_INT16:
        return *(const int16_t *)at;
    case WIRE_INT32:
        return *(const int32_t *)at;
    default:
        return *(const int64_t *)at;
    }
}

static inline bool codec_is_null(const struct wire_field *field, const void *at)
{
    if (field->is_array) return codec_load_array(at).count < 0;
    if (codec_is_pointer(field)) return codec_load_pointer(at) == NULL;
    if (field->type == WIRE_STRING || field->type == WIRE_BYTES || field->type == WIRE_RECORDS)
        return slice_is_null(codec_load_slice(at));
    return false;
}

/* A string as the wire can carry it: cut before the UTF-8 character that does not fit. */
static inline struct slice codec_string_on_wire(struct slice s)
{
    if (__builtin_expect(s.len > INT16_MAX, 0)) {
        s.len = INT16_MAX;
        while (s.len > 0 && (s.ptr[s.len] & 0xc0) == 0x80)
            s.len--;
    }
    return s;
}

static inline void codec_ensure_version(int version, const struct wire_struct *type)
{
    ensure(version >= type->min && version <= type->max);
}

/* Whether the field has its value for absence: then it is not written if tagged. */
bool codec_is_absent(int version, const struct wire_field *field, const void *at);
