#include "wire/codec_private.h"
#include "base/ensure.h"
#include "wire/prim.h"
#include <stdlib.h>

/* Fewest bytes on the wire of an element; strings and bytes: of their length, compact or not. */
static const uint8_t basic_least[2][WIRE_RECORDS + 1] = {
    {1, 1, 2, 4, 8, 8, 16, 2, 4, 4},
    {1, 1, 2, 4, 8, 8, 16, 1, 1, 1},
};

/* --- defaults --- */

static void set_absent(const struct wire_field *field, void *at)
{
    if (field->is_array) {
        struct codec_array array = {NULL, field->is_null_absent ? -1 : 0};
        memcpy(at, &array, sizeof(array));
        return;
    }
    switch ((enum wire_type)field->type) {
    case WIRE_BOOL:
        *(bool *)at = field->absent != 0;
        break;
    case WIRE_INT8:
        *(int8_t *)at = (int8_t)field->absent;
        break;
    case WIRE_INT16:
        *(int16_t *)at = (int16_t)field->absent;
        break;
    case WIRE_INT32:
        *(int32_t *)at = (int32_t)field->absent;
        break;
    case WIRE_INT64:
        *(int64_t *)at = field->absent;
        break;
    case WIRE_FLOAT64:
        *(double *)at = (double)field->absent;
        break;
    case WIRE_UUID:
        *(struct uuid *)at = UUID_ZERO;
        break;
    case WIRE_STRING:
    case WIRE_BYTES:
    case WIRE_RECORDS:
        *(struct slice *)at = field->is_null_absent ? SLICE_NULL : SLICE("");
        break;
    case WIRE_STRUCT:
        if (codec_is_pointer(field)) {
            void *null = NULL;
            memcpy(at, &null, sizeof(null));
        } else {
            wire_default(field->of, at);
        }
        break;
    }
}

void wire_default(const struct wire_struct *type, void *out)
{
    for (int i = 0; i < type->field_count; i++)
        set_absent(&type->fields[i], (uint8_t *)out + type->fields[i].offset);
}

/* --- reading --- */

struct walk {
    struct reader in;
    struct arena *arena;
    int version;
    bool flexible;
};

static void read_struct(struct walk *w, const struct wire_struct *type, uint8_t *out);

/* -1 is null; where null may not be, that is an error. */
static int32_t read_length(struct walk *w, const struct wire_field *field, bool is_short,
                           bool null_allowed)
{
    int32_t length = w->flexible && !field->is_classic ? reader_length_compact(&w->in)
                     : is_short                        ? reader_length16(&w->in)
                                                       : reader_length32(&w->in);

    if (__builtin_expect(length < 0, 0) && !null_allowed) reader_fail(&w->in, ERR_CORRUPT);
    return length;
}

static struct slice read_string(struct walk *w, const struct wire_field *field, bool null_allowed)
{
    int32_t length = read_length(w, field, true, null_allowed);

    if (length < 0) return SLICE_NULL;
    if (length > INT16_MAX) reader_fail(&w->in, ERR_CORRUPT);
    return reader_bytes(&w->in, (size_t)length);
}

static struct slice read_bytes(struct walk *w, const struct wire_field *field, bool null_allowed)
{
    int32_t length = read_length(w, field, false, null_allowed);

    return length < 0 ? SLICE_NULL : reader_bytes(&w->in, (size_t)length);
}

static void *take_memory(struct walk *w, size_t size)
{
    void *at = arena_try(w->arena, size);

    if (at == NULL) reader_fail(&w->in, ERR_LIMIT);
    return at;
}

static void read_one(struct walk *w, const struct wire_field *field, void *at, bool null_allowed)
{
    switch ((enum wire_type)field->type) {
    case WIRE_BOOL:
        *(bool *)at = reader_int8(&w->in) != 0;
        break;
    case WIRE_INT8:
        *(int8_t *)at = reader_int8(&w->in);
        break;
    case WIRE_INT16:
        *(int16_t *)at = reader_int16(&w->in);
        break;
    case WIRE_INT32:
        *(int32_t *)at = reader_int32(&w->in);
        break;
    case WIRE_INT64:
        *(int64_t *)at = reader_int64(&w->in);
        break;
    case WIRE_FLOAT64:
        *(double *)at = reader_float64(&w->in);
        break;
    case WIRE_UUID:
        *(struct uuid *)at = reader_uuid(&w->in);
        break;
    case WIRE_STRING:
        *(struct slice *)at = read_string(w, field, null_allowed);
        break;
    case WIRE_BYTES:
    case WIRE_RECORDS:
        *(struct slice *)at = read_bytes(w, field, null_allowed);
        break;
    case WIRE_STRUCT:
        read_struct(w, field->of, at);
        break;
    }
}

static size_t least_size(const struct walk *w, const struct wire_field *field)
{
    if (field->type == WIRE_STRUCT) return field->of->least[w->version - field->of->min];
    return basic_least[w->flexible][field->type];
}

static void read_array(struct walk *w, const struct wire_field *field, void *at)
{
    struct codec_array array = {NULL,
                                read_length(w, field, false, codec_may_be_null(field, w->version))};

    if (array.count > 0) {
        /* A count is believed only as far as there are bytes for it, and then only as far as the
         * arena has room: the sender's arithmetic decides nothing. */
        if ((size_t)array.count > reader_left(&w->in) / least_size(w, field)) {
            reader_fail(&w->in, ERR_TRUNCATED);
            array.count = 0;
        }
        size_t size = codec_element_size(field);
        uint8_t *to = array.count == 0 ? NULL : take_memory(w, (size_t)array.count * size);
        array.at = to;
        for (int32_t i = 0; i < array.count && w->in.err == ERR_OK; i++, to += size)
            read_one(w, field, to, false); /* an element is never null, even if the array may be */
    }
    memcpy(at, &array, sizeof(array));
}

static void read_pointer(struct walk *w, const struct wire_field *field, void *at)
{
    void *to = NULL;

    if (reader_int8(&w->in) >= 0) {
        to = w->in.err != ERR_OK ? NULL : take_memory(w, field->of->size);
        if (to != NULL) read_struct(w, field->of, to);
    } else if (!codec_may_be_null(field, w->version)) {
        reader_fail(&w->in, ERR_CORRUPT);
    }
    memcpy(at, &to, sizeof(to));
}

static void read_field(struct walk *w, const struct wire_field *field, void *at)
{
    if (field->is_array)
        read_array(w, field, at);
    else if (codec_is_pointer(field))
        read_pointer(w, field, at);
    else
        read_one(w, field, at, codec_may_be_null(field, w->version));
}

static const struct wire_field *find_tag(const struct wire_struct *type, uint32_t tag, int version)
{
    for (int i = type->tagged; i < type->field_count; i++) {
        const struct wire_field *field = &type->fields[i];
        if ((uint32_t)field->tag == tag && codec_has_version(field, version)) return field;
    }
    return NULL;
}

/* Tags ascend, each at most once, and the body of a known one is used up. */
static void read_tags(struct walk *w, const struct wire_struct *type, uint8_t *out)
{
    uint32_t count = reader_uvarint(&w->in);
    int64_t last = -1;

    for (uint32_t i = 0; i < count && w->in.err == ERR_OK; i++) {
        uint32_t tag = reader_uvarint(&w->in);
        uint32_t size = reader_uvarint(&w->in);
        struct slice body = reader_bytes(&w->in, size);

        if (w->in.err == ERR_OK && (int64_t)tag <= last) reader_fail(&w->in, ERR_CORRUPT);
        last = tag;
        const struct wire_field *field = find_tag(type, tag, w->version);
        if (field == NULL || w->in.err != ERR_OK) continue;
        struct reader rest = w->in;
        w->in = reader_of(body);
        read_field(w, field, out + field->offset);
        if (w->in.err == ERR_OK && reader_left(&w->in) > 0) w->in.err = ERR_CORRUPT;
        rest.err = w->in.err;
        if (rest.err != ERR_OK) rest.at = rest.end;
        w->in = rest;
    }
}

static void read_struct(struct walk *w, const struct wire_struct *type, uint8_t *out)
{
    const struct wire_field *field = type->fields, *tagged = field + type->tagged;
    const struct wire_field *end = field + type->field_count;

    for (; field < tagged; field++) {
        if (codec_has_version(field, w->version))
            read_field(w, field, out + field->offset);
        else
            set_absent(field, out + field->offset);
    }
    for (; field < end; field++)
        set_absent(field, out + field->offset);
    if (w->flexible) read_tags(w, type, out);
}

enum err wire_take(struct slice *from, int version, const struct wire_struct *type,
                   struct arena *arena, void *out)
{
    struct walk w = {.in = reader_of(*from),
                     .arena = arena,
                     .version = version,
                     .flexible = version >= type->flexible_min};

    if (version < type->min || version > type->max) return ERR_UNSUPPORTED;
    read_struct(&w, type, out);
    if (w.in.err == ERR_OK) *from = slice_of(w.in.at, reader_left(&w.in));
    return w.in.err;
}

enum err wire_read(struct slice in, int version, const struct wire_struct *type,
                   struct arena *arena, void *out)
{
    return wire_take(&in, version, type, arena, out);
}

enum err wire_read_versioned(struct slice in, const struct wire_struct *type, struct arena *arena,
                             int *version, void *out)
{
    struct reader r = reader_of(in);
    int16_t found = reader_int16(&r);

    if (r.err != ERR_OK) return r.err;
    *version = found;
    if (found < type->min) return ERR_CORRUPT;
    return wire_read(slice_of(r.at, reader_left(&r)), found, type, arena, out);
}

/* --- sizing --- */

static size_t size_struct(int version, bool flexible, const struct wire_struct *type,
                          const uint8_t *from);

/* Null takes as much as empty. */
static size_t size_length(const struct wire_field *field, bool flexible, size_t classic,
                          size_t length)
{
    if (!flexible || field->is_classic) return classic;
    return prim_uvarint_size((uint32_t)length + 1);
}

static size_t size_one(int version, bool flexible, const struct wire_field *field, const void *at)
{
    struct slice s;

    switch ((enum wire_type)field->type) {
    case WIRE_STRING:
        s = codec_string_on_wire(codec_load_slice(at));
        return size_length(field, flexible, 2, s.len) + s.len;
    case WIRE_BYTES:
    case WIRE_RECORDS:
        s = codec_load_slice(at);
        return size_length(field, flexible, 4, s.len) + s.len;
    case WIRE_STRUCT:
        return size_struct(version, flexible, field->of, at);
    default:
        return basic_least[0][field->type];
    }
}

static size_t size_field(int version, bool flexible, const struct wire_field *field, const void *at)
{
    if (field->is_array) {
        struct codec_array array = codec_load_array(at);
        int32_t count = array.count < 0 ? 0 : array.count;
        size_t size = size_length(field, flexible, 4, (size_t)count);
        size_t step = codec_element_size(field);
        const uint8_t *from = array.at;

        if (field->type <= WIRE_UUID) return size + (size_t)count * basic_least[0][field->type];
        for (int32_t i = 0; i < count; i++, from += step)
            size += size_one(version, flexible, field, from);
        return size;
    }
    if (codec_is_pointer(field)) {
        const void *to = codec_load_pointer(at);
        return 1 + (to == NULL ? 0 : size_struct(version, flexible, field->of, to));
    }
    return size_one(version, flexible, field, at);
}

static bool struct_is_absent(int version, const struct wire_struct *type, const uint8_t *from)
{
    for (int i = 0; i < type->field_count; i++) {
        const struct wire_field *field = &type->fields[i];
        if (codec_has_version(field, version) &&
            !codec_is_absent(version, field, from + field->offset))
            return false;
    }
    return true;
}

/* A tagged field that has its value for absence is not written. */
bool codec_is_absent(int version, const struct wire_field *field, const void *at)
{
    bool null_differs = codec_may_be_null(field, version);

    if (field->is_array) {
        int32_t count = codec_load_array(at).count;
        if (null_differs) return field->is_null_absent ? count < 0 : count == 0;
        return count <= 0;
    }
    switch ((enum wire_type)field->type) {
    case WIRE_FLOAT64: {
        double v;
        memcpy(&v, at, sizeof(v));
        return v == (double)field->absent;
    }
    case WIRE_UUID: {
        struct uuid v;
        memcpy(&v, at, sizeof(v));
        return uuid_is_zero(v);
    }
    case WIRE_STRING:
    case WIRE_BYTES:
    case WIRE_RECORDS: {
        struct slice s = codec_load_slice(at);
        if (null_differs)
            return field->is_null_absent ? slice_is_null(s) : !slice_is_null(s) && s.len == 0;
        return s.len == 0;
    }
    case WIRE_STRUCT:
        if (codec_is_pointer(field)) return codec_load_pointer(at) == NULL;
        return struct_is_absent(version, field->of, at);
    default:
        return codec_load_number(field->type, at) == field->absent;
    }
}

static bool tag_is_written(int version, const struct wire_field *field, const uint8_t *from)
{
    return codec_has_version(field, version) &&
           !codec_is_absent(version, field, from + field->offset);
}

static size_t size_struct(int version, bool flexible, const struct wire_struct *type,
                          const uint8_t *from)
{
    size_t size = 0;
    uint32_t tags = 0;

    for (int i = 0; i < type->tagged; i++) {
        const struct wire_field *field = &type->fields[i];
        if (codec_has_version(field, version))
            size += size_field(version, flexible, field, from + field->offset);
    }
    if (!flexible) return size;
    for (int i = type->tagged; i < type->field_count; i++) {
        const struct wire_field *field = &type->fields[i];
        if (!tag_is_written(version, field, from)) continue;
        size_t body = size_field(version, flexible, field, from + field->offset);
        size += prim_uvarint_size((uint32_t)field->tag) + prim_uvarint_size((uint32_t)body) + body;
        tags++;
    }
    return size + prim_uvarint_size(tags);
}

size_t wire_size(int version, const struct wire_struct *type, const void *from)
{
    codec_ensure_version(version, type);
    return size_struct(version, version >= type->flexible_min, type, from);
}

/* --- writing --- */

struct writer {
    struct buf *out;
    struct wire_splices *splices; /* NULL: records are copied */
    int version;
    bool flexible;
};

static void write_struct(struct writer *w, const struct wire_struct *type, const uint8_t *from);

/* Null where the version allows none goes out as empty: so zeroed structs can be sent. */
static void write_length(struct writer *w, const struct wire_field *field, bool is_short, bool null,
                         size_t length, bool null_allowed)
{
    ensure(length < INT32_MAX);
    null = null && null_allowed;
    if (w->flexible && !field->is_classic)
        prim_add_uvarint(w->out, null ? 0 : (uint32_t)length + 1);
    else if (is_short)
        prim_add_int16(w->out, null ? -1 : (int16_t)length);
    else
        prim_add_int32(w->out, null ? -1 : (int32_t)length);
}

static void add_splice(struct writer *w, struct slice records)
{
    struct wire_splices *splices = w->splices;

    if (splices->count == splices->capacity) {
        splices->capacity = splices->capacity == 0 ? 16 : splices->capacity * 2;
        splices->list = ensure_realloc(splices->list, splices->capacity * sizeof(*splices->list));
    }
    splices->list[splices->count++] = (struct wire_splice){w->out->len, records};
}

static void write_one(struct writer *w, const struct wire_field *field, const void *at,
                      bool null_allowed)
{
    struct slice s;

    switch ((enum wire_type)field->type) {
    case WIRE_BOOL:
        prim_add_int8(w->out, *(const bool *)at);
        break;
    case WIRE_INT8:
        prim_add_int8(w->out, *(const int8_t *)at);
        break;
    case WIRE_INT16:
        prim_add_int16(w->out, *(const int16_t *)at);
        break;
    case WIRE_INT32:
        prim_add_int32(w->out, *(const int32_t *)at);
        break;
    case WIRE_INT64:
    case WIRE_FLOAT64: {
        int64_t bits;
        memcpy(&bits, at, sizeof(bits));
        prim_add_int64(w->out, bits);
        break;
    }
    case WIRE_UUID:
        buf_add(w->out, at, sizeof(struct uuid));
        break;
    case WIRE_STRING:
        s = codec_string_on_wire(codec_load_slice(at));
        write_length(w, field, true, slice_is_null(s), s.len, null_allowed);
        buf_add_slice(w->out, s);
        break;
    case WIRE_BYTES:
    case WIRE_RECORDS:
        s = codec_load_slice(at);
        write_length(w, field, false, slice_is_null(s), s.len, null_allowed);
        if (field->type == WIRE_RECORDS && w->splices != NULL) {
            if (s.len > 0) add_splice(w, s);
        } else {
            buf_add_slice(w->out, s);
        }
        break;
    case WIRE_STRUCT:
        write_struct(w, field->of, at);
        break;
    }
}

static void write_field(struct writer *w, const struct wire_field *field, const void *at)
{
    bool null_allowed = codec_may_be_null(field, w->version);

    if (field->is_array) {
        struct codec_array array = codec_load_array(at);
        int32_t count = array.count < 0 ? 0 : array.count;
        size_t step = codec_element_size(field);
        const uint8_t *from = array.at;

        write_length(w, field, false, array.count < 0, (size_t)count, null_allowed);
        for (int32_t i = 0; i < count; i++, from += step)
            write_one(w, field, from, false);
    } else if (codec_is_pointer(field)) {
        const void *to = codec_load_pointer(at);
        prim_add_int8(w->out, to == NULL ? -1 : 1);
        if (to != NULL) write_struct(w, field->of, to);
    } else {
        write_one(w, field, at, null_allowed);
    }
}

/* Mostly none is set: then it is one byte. */
static void write_tags(struct writer *w, const struct wire_struct *type, const uint8_t *from)
{
    uint64_t written = 0; /* a bit per field */

    for (int i = type->tagged; i < type->field_count; i++)
        written |= (uint64_t)tag_is_written(w->version, &type->fields[i], from) << i;
    prim_add_uvarint(w->out, (uint32_t)__builtin_popcountll(written));
    for (; written != 0; written &= written - 1) {
        const struct wire_field *field = &type->fields[__builtin_ctzll(written)];
        const void *at = from + field->offset;
        prim_add_uvarint(w->out, (uint32_t)field->tag);
        prim_add_uvarint(w->out, (uint32_t)size_field(w->version, w->flexible, field, at));
        write_field(w, field, at);
    }
}

static void write_struct(struct writer *w, const struct wire_struct *type, const uint8_t *from)
{
    for (int i = 0; i < type->tagged; i++) {
        const struct wire_field *field = &type->fields[i];
        if (codec_has_version(field, w->version)) write_field(w, field, from + field->offset);
    }
    if (w->flexible) write_tags(w, type, from);
}

void wire_write_spliced(struct buf *out, int version, const struct wire_struct *type,
                        const void *from, struct wire_splices *splices)
{
    struct writer w = {.out = out,
                       .splices = splices,
                       .version = version,
                       .flexible = version >= type->flexible_min};

    codec_ensure_version(version, type);
    write_struct(&w, type, from);
}

void wire_write(struct buf *out, int version, const struct wire_struct *type, const void *from)
{
    wire_write_spliced(out, version, type, from, NULL);
}

void wire_write_versioned(struct buf *out, int version, const struct wire_struct *type,
                          const void *from)
{
    prim_add_int16(out, (int16_t)version);
    wire_write(out, version, type, from);
}

void wire_splices_init(struct wire_splices *splices)
{
    *splices = (struct wire_splices){0};
}

void wire_splices_fini(struct wire_splices *splices)
{
    free(splices->list);
    *splices = (struct wire_splices){0};
}

void wire_splices_clear(struct wire_splices *splices)
{
    splices->count = 0;
}
