/* The part of codec.h that looks at messages: wire_print and wire_equal. */
#include "wire/codec_private.h"
#include <inttypes.h>

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
        print_text(out, codec_load_slice(at));
        break;
    case WIRE_BYTES:
        print_bytes(out, codec_load_slice(at));
        break;
    case WIRE_RECORDS: /* its pointer may be a cookie: never followed */
        buf_printf(out, "<%zu bytes>", codec_load_slice(at).len);
        break;
    case WIRE_STRUCT:
        buf_add_text(out, "{");
        print_struct(out, version, field->of, at);
        buf_add_text(out, "}");
        break;
    default:
        buf_printf(out, "%" PRId64, codec_load_number(field->type, at));
        break;
    }
}

static void print_array(struct buf *out, int version, const struct wire_field *field,
                        struct codec_array array)
{
    const uint8_t *from = array.at;

    buf_add_text(out, "[");
    for (int32_t i = 0; i < array.count; i++, from += codec_element_size(field)) {
        if (i > 0) buf_add_text(out, " ");
        print_one(out, version, field, from);
    }
    buf_add_text(out, "]");
}

static void print_struct(struct buf *out, int version, const struct wire_struct *type,
                         const uint8_t *from)
{
    const char *gap = "";

    for (int i = 0; i < type->field_count; i++) {
        const struct wire_field *field = &type->fields[i];
        const void *at = from + field->offset;

        if (!codec_has_version(field, version) ||
            (field->tag >= 0 && codec_is_absent(version, field, at)))
            continue;
        buf_printf(out, "%s%s=", gap, field->name);
        gap = " ";
        if (codec_is_null(field, at))
            buf_add_text(out, "null");
        else if (field->is_secret)
            buf_add_text(out, "***");
        else if (field->is_array)
            print_array(out, version, field, codec_load_array(at));
        else
            print_one(out, version, field, codec_is_pointer(field) ? codec_load_pointer(at) : at);
    }
}

void wire_print(struct buf *out, int version, const struct wire_struct *type, const void *from)
{
    codec_ensure_version(version, type);
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
        return memcmp(a, b, codec_basic_size[field->type]) == 0;
    case WIRE_STRING:
    case WIRE_BYTES:
    case WIRE_RECORDS:
        s = codec_load_slice(a);
        t = codec_load_slice(b);
        if (field->type == WIRE_STRING) {
            s = codec_string_on_wire(s);
            t = codec_string_on_wire(t);
        }
        return s.len == t.len && (s.len == 0 || memcmp(s.ptr, t.ptr, s.len) == 0);
    case WIRE_STRUCT:
        return struct_equal(version, field->of, a, b);
    default:
        return codec_load_number(field->type, a) == codec_load_number(field->type, b);
    }
}

static bool field_equal(int version, const struct wire_field *field, const void *a, const void *b)
{
    if ((codec_may_be_null(field, version) || codec_is_pointer(field)) &&
        codec_is_null(field, a) != codec_is_null(field, b))
        return false;
    if (field->is_array) {
        struct codec_array s = codec_load_array(a), t = codec_load_array(b);
        const uint8_t *from = s.at, *other = t.at;
        size_t step = codec_element_size(field);

        if ((s.count < 0 ? 0 : s.count) != (t.count < 0 ? 0 : t.count)) return false;
        for (int32_t i = 0; i < s.count; i++, from += step, other += step) {
            if (!one_equal(version, field, from, other)) return false;
        }
        return true;
    }
    if (codec_is_pointer(field)) {
        a = codec_load_pointer(a);
        b = codec_load_pointer(b);
        return a == NULL || struct_equal(version, field->of, a, b);
    }
    return one_equal(version, field, a, b);
}

static bool struct_equal(int version, const struct wire_struct *type, const uint8_t *a,
                         const uint8_t *b)
{
    for (int i = 0; i < type->field_count; i++) {
        const struct wire_field *field = &type->fields[i];
        if (codec_has_version(field, version) &&
            !field_equal(version, field, a + field->offset, b + field->offset))
            return false;
    }
    return true;
}

bool wire_equal(int version, const struct wire_struct *type, const void *a, const void *b)
{
    codec_ensure_version(version, type);
    return struct_equal(version, type, a, b);
}
