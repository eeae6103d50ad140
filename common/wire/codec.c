#include "wire/codec.h"
#include "base/ensure.h"
#include "wire/prim.h"
#include <inttypes.h>
#include <stdlib.h>

/* What every generated `struct { T *at; int32_t count; }` looks like. The generated files assert
 * it. */
struct array {
    void *at;
    int32_t count;
};

static const uint8_t basic_size[] = {
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
/* Fewest bytes on the wire of an element; strings and bytes: of their length, compact or not. */
static const uint8_t basic_least[2][WIRE_RECORDS + 1] = {
    {1, 1, 2, 4, 8, 8, 16, 2, 4, 4},
    {1, 1, 2, 4, 8, 8, 16, 1, 1, 1},
};

static size_t element_size(const struct wire_field *field)
{
    return field->type == WIRE_STRUCT ? field->of->size : basic_size[field->type];
}

static bool has_version(const struct wire_field *field, int version)
{
    return version >= field->min && version <= field->max;
}

static bool may_be_null(const struct wire_field *field, int version)
{
    return version >= field->null_min && version <= field->null_max;
}

/* A struct that may be null (in any version) is behind a pointer. */
static bool is_pointer(const struct wire_field *field)
{
    return field->type == WIRE_STRUCT && !field->is_array && field->null_min <= field->null_max;
}

static struct array load_array(const void *at)
{
    struct array array;
    memcpy(&array, at, sizeof(array));
    return array;
}

static struct slice load_slice(const void *at)
{
    struct slice slice;
    memcpy(&slice, at, sizeof(slice));
    return slice;
}

static const void *load_pointer(const void *at)
{
    const void *pointer;
    memcpy(&pointer, at, sizeof(pointer));
    return pointer;
}

/* Numbers of all widths as one type, so that defaults, printing and comparing see one case. */
static int64_t load_number(enum wire_type type, const void *at)
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

/* --- defaults --- */

static void set_absent(const struct wire_field *field, void *at)
{
    if (field->is_array) {
        struct array array = {NULL, field->is_null_absent ? -1 : 0};
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
        if (is_pointer(field)) {
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
    struct array array = {NULL, read_length(w, field, false, may_be_null(field, w->version))};

    if (array.count > 0) {
        /* A count is believed only as far as there are bytes for it, and then only as far as the
         * arena has room: the sender's arithmetic decides nothing. */
        if ((size_t)array.count > reader_left(&w->in) / least_size(w, field)) {
            reader_fail(&w->in, ERR_TRUNCATED);
            array.count = 0;
        }
        size_t size = element_size(field);
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
    } else if (!may_be_null(field, w->version)) {
        reader_fail(&w->in, ERR_CORRUPT);
    }
    memcpy(at, &to, sizeof(to));
}

static void read_field(struct walk *w, const struct wire_field *field, void *at)
{
    if (field->is_array)
        read_array(w, field, at);
    else if (is_pointer(field))
        read_pointer(w, field, at);
    else
        read_one(w, field, at, may_be_null(field, w->version));
}

static const struct wire_field *find_tag(const struct wire_struct *type, uint32_t tag, int version)
{
    for (int i = type->tagged; i < type->field_count; i++) {
        const struct wire_field *field = &type->fields[i];
        if ((uint32_t)field->tag == tag && has_version(field, version)) return field;
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
        if (has_version(field, w->version))
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

/* A string as the wire can carry it: cut before the UTF-8 character that does not fit. */
static struct slice string_on_wire(struct slice s)
{
    if (__builtin_expect(s.len > INT16_MAX, 0)) {
        s.len = INT16_MAX;
        while (s.len > 0 && (s.ptr[s.len] & 0xc0) == 0x80)
            s.len--;
    }
    return s;
}

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
        s = string_on_wire(load_slice(at));
        return size_length(field, flexible, 2, s.len) + s.len;
    case WIRE_BYTES:
    case WIRE_RECORDS:
        s = load_slice(at);
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
        struct array array = load_array(at);
        int32_t count = array.count < 0 ? 0 : array.count;
        size_t size = size_length(field, flexible, 4, (size_t)count);
        size_t step = element_size(field);
        const uint8_t *from = array.at;

        if (field->type <= WIRE_UUID) return size + (size_t)count * basic_least[0][field->type];
        for (int32_t i = 0; i < count; i++, from += step)
            size += size_one(version, flexible, field, from);
        return size;
    }
    if (is_pointer(field)) {
        const void *to = load_pointer(at);
        return 1 + (to == NULL ? 0 : size_struct(version, flexible, field->of, to));
    }
    return size_one(version, flexible, field, at);
}

static bool is_absent(int version, const struct wire_field *field, const void *at);

static bool struct_is_absent(int version, const struct wire_struct *type, const uint8_t *from)
{
    for (int i = 0; i < type->field_count; i++) {
        const struct wire_field *field = &type->fields[i];
        if (has_version(field, version) && !is_absent(version, field, from + field->offset))
            return false;
    }
    return true;
}

/* A tagged field that has its value for absence is not written. */
static bool is_absent(int version, const struct wire_field *field, const void *at)
{
    bool null_differs = may_be_null(field, version);

    if (field->is_array) {
        int32_t count = load_array(at).count;
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
        struct slice s = load_slice(at);
        if (null_differs)
            return field->is_null_absent ? slice_is_null(s) : !slice_is_null(s) && s.len == 0;
        return s.len == 0;
    }
    case WIRE_STRUCT:
        if (is_pointer(field)) return load_pointer(at) == NULL;
        return struct_is_absent(version, field->of, at);
    default:
        return load_number(field->type, at) == field->absent;
    }
}

static bool tag_is_written(int version, const struct wire_field *field, const uint8_t *from)
{
    return has_version(field, version) && !is_absent(version, field, from + field->offset);
}

static size_t size_struct(int version, bool flexible, const struct wire_struct *type,
                          const uint8_t *from)
{
    size_t size = 0;
    uint32_t tags = 0;

    for (int i = 0; i < type->tagged; i++) {
        const struct wire_field *field = &type->fields[i];
        if (has_version(field, version))
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

static void ensure_version(int version, const struct wire_struct *type)
{
    ensure(version >= type->min && version <= type->max);
}

size_t wire_size(int version, const struct wire_struct *type, const void *from)
{
    ensure_version(version, type);
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
        s = string_on_wire(load_slice(at));
        write_length(w, field, true, slice_is_null(s), s.len, null_allowed);
        buf_add_slice(w->out, s);
        break;
    case WIRE_BYTES:
    case WIRE_RECORDS:
        s = load_slice(at);
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
    bool null_allowed = may_be_null(field, w->version);

    if (field->is_array) {
        struct array array = load_array(at);
        int32_t count = array.count < 0 ? 0 : array.count;
        size_t step = element_size(field);
        const uint8_t *from = array.at;

        write_length(w, field, false, array.count < 0, (size_t)count, null_allowed);
        for (int32_t i = 0; i < count; i++, from += step)
            write_one(w, field, from, false);
    } else if (is_pointer(field)) {
        const void *to = load_pointer(at);
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
        if (has_version(field, w->version)) write_field(w, field, from + field->offset);
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

    ensure_version(version, type);
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

/* --- printing --- */

#define PRINT_BYTES_MAX 32

static void print_struct(struct buf *out, int version, const struct wire_struct *type,
                         const uint8_t *from);

static bool is_plain(uint8_t c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '=' && c != '{' && c != '}' &&
           c != '[' && c != ']';
}

/* Plain text as it is; else, and for what could be mistaken for null, in quotes. */
static void print_text(struct buf *out, struct slice s)
{
    bool plain = s.len > 0 && !slice_is(s, "null");

    for (size_t i = 0; i < s.len && plain; i++)
        plain = is_plain(s.ptr[i]);
    if (plain) {
        buf_add_slice(out, s);
        return;
    }
    buf_add_text(out, "\"");
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_add(out, &c, 1);
    }
    buf_add_text(out, "\"");
}

static void print_bytes(struct buf *out, struct slice s)
{
    if (s.len > PRINT_BYTES_MAX) {
        buf_printf(out, "<%zu bytes>", s.len);
        return;
    }
    buf_add_text(out, "0x");
    for (size_t i = 0; i < s.len; i++)
        buf_printf(out, "%02x", s.ptr[i]);
}

static void print_one(struct buf *out, int version, const struct wire_field *field, const void *at)
{
    char text[UUID_TEXT_LEN + 1];

    switch ((enum wire_type)field->type) {
    case WIRE_BOOL:
        buf_add_text(out, *(const bool *)at ? "true" : "false");
        break;
    case WIRE_FLOAT64:
        buf_printf(out, "%.17g", *(const double *)at);
        break;
    case WIRE_UUID:
        uuid_text(*(const struct uuid *)at, text);
        buf_add_text(out, text);
        break;
    case WIRE_STRING:
        print_text(out, load_slice(at));
        break;
    case WIRE_BYTES:
        print_bytes(out, load_slice(at));
        break;
    case WIRE_RECORDS: /* its pointer may be a cookie: never followed */
        buf_printf(out, "<%zu bytes>", load_slice(at).len);
        break;
    case WIRE_STRUCT:
        buf_add_text(out, "{");
        print_struct(out, version, field->of, at);
        buf_add_text(out, "}");
        break;
    default:
        buf_printf(out, "%" PRId64, load_number(field->type, at));
        break;
    }
}

static void print_array(struct buf *out, int version, const struct wire_field *field,
                        struct array array)
{
    const uint8_t *from = array.at;

    buf_add_text(out, "[");
    for (int32_t i = 0; i < array.count; i++, from += element_size(field)) {
        if (i > 0) buf_add_text(out, " ");
        print_one(out, version, field, from);
    }
    buf_add_text(out, "]");
}

static bool is_null(const struct wire_field *field, const void *at)
{
    if (field->is_array) return load_array(at).count < 0;
    if (is_pointer(field)) return load_pointer(at) == NULL;
    if (field->type == WIRE_STRING || field->type == WIRE_BYTES || field->type == WIRE_RECORDS)
        return slice_is_null(load_slice(at));
    return false;
}

static void print_struct(struct buf *out, int version, const struct wire_struct *type,
                         const uint8_t *from)
{
    const char *gap = "";

    for (int i = 0; i < type->field_count; i++) {
        const struct wire_field *field = &type->fields[i];
        const void *at = from + field->offset;

        if (!has_version(field, version) || (field->tag >= 0 && is_absent(version, field, at)))
            continue;
        buf_printf(out, "%s%s=", gap, field->name);
        gap = " ";
        if (is_null(field, at))
            buf_add_text(out, "null");
        else if (field->is_secret)
            buf_add_text(out, "***");
        else if (field->is_array)
            print_array(out, version, field, load_array(at));
        else
            print_one(out, version, field, is_pointer(field) ? load_pointer(at) : at);
    }
}

void wire_print(struct buf *out, int version, const struct wire_struct *type, const void *from)
{
    ensure_version(version, type);
    print_struct(out, version, type, from);
}

/* --- comparing --- */

static bool struct_equal(int version, const struct wire_struct *type, const uint8_t *a,
                         const uint8_t *b);

static bool one_equal(int version, const struct wire_field *field, const void *a, const void *b)
{
    struct slice s, t;

    switch ((enum wire_type)field->type) {
    case WIRE_FLOAT64: /* by their bytes: so that NaN equals itself */
    case WIRE_UUID:
        return memcmp(a, b, basic_size[field->type]) == 0;
    case WIRE_STRING:
    case WIRE_BYTES:
    case WIRE_RECORDS:
        s = load_slice(a);
        t = load_slice(b);
        if (field->type == WIRE_STRING) {
            s = string_on_wire(s);
            t = string_on_wire(t);
        }
        return s.len == t.len && (s.len == 0 || memcmp(s.ptr, t.ptr, s.len) == 0);
    case WIRE_STRUCT:
        return struct_equal(version, field->of, a, b);
    default:
        return load_number(field->type, a) == load_number(field->type, b);
    }
}

static bool field_equal(int version, const struct wire_field *field, const void *a, const void *b)
{
    if ((may_be_null(field, version) || is_pointer(field)) &&
        is_null(field, a) != is_null(field, b))
        return false;
    if (field->is_array) {
        struct array s = load_array(a), t = load_array(b);
        const uint8_t *from = s.at, *other = t.at;
        size_t step = element_size(field);

        if ((s.count < 0 ? 0 : s.count) != (t.count < 0 ? 0 : t.count)) return false;
        for (int32_t i = 0; i < s.count; i++, from += step, other += step) {
            if (!one_equal(version, field, from, other)) return false;
        }
        return true;
    }
    if (is_pointer(field)) {
        a = load_pointer(a);
        b = load_pointer(b);
        return a == NULL || struct_equal(version, field->of, a, b);
    }
    return one_equal(version, field, a, b);
}

static bool struct_equal(int version, const struct wire_struct *type, const uint8_t *a,
                         const uint8_t *b)
{
    for (int i = 0; i < type->field_count; i++) {
        const struct wire_field *field = &type->fields[i];
        if (has_version(field, version) &&
            !field_equal(version, field, a + field->offset, b + field->offset))
            return false;
    }
    return true;
}

bool wire_equal(int version, const struct wire_struct *type, const void *a, const void *b)
{
    ensure_version(version, type);
    return struct_equal(version, type, a, b);
}
