/* The part of codec.h that writes messages as Kafka's JSON converters do. */
#include "base/text.h"
#include "wire/codec_private.h"
#include <ctype.h>
#include <inttypes.h>

struct writer {
    struct buf *out;
    int version;
    const struct wire_json_bytes *bytes; /* may be NULL */
};

static void write_struct(const struct writer *w, const struct wire_struct *type,
                         const uint8_t *from);

/* "group_instance_id" is groupInstanceId. */
static void write_name(struct buf *out, const char *name)
{
    buf_add_text(out, "\"");
    for (; *name != '\0'; name++) {
        char c = *name;
        if (c == '_') c = (char)toupper((unsigned char)*++name);
        buf_add(out, &c, 1);
    }
    buf_add_text(out, "\":");
}

/* Base64 with padding. */
static void write_bytes(struct buf *out, struct slice s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    buf_add_text(out, "\"");
    for (size_t i = 0; i < s.len; i += 3) {
        size_t left = s.len - i;
        uint32_t three = (uint32_t)s.ptr[i] << 16;
        if (left > 1) three |= (uint32_t)s.ptr[i + 1] << 8;
        if (left > 2) three |= s.ptr[i + 2];
        char four[4] = {digits[three >> 18], digits[three >> 12 & 63],
                        left > 1 ? digits[three >> 6 & 63] : '=',
                        left > 2 ? digits[three & 63] : '='};
        buf_add(out, four, 4);
    }
    buf_add_text(out, "\"");
}

static void write_one(const struct writer *w, const struct wire_field *field, const void *at)
{
    char text[UUID_TEXT_LEN + 1];

    switch ((enum wire_type)field->type) {
    case WIRE_BOOL:
        buf_add_text(w->out, *(const bool *)at ? "true" : "false");
        break;
    case WIRE_FLOAT64:
        buf_printf(w->out, "%.17g", *(const double *)at);
        break;
    case WIRE_UUID:
        uuid_text(*(const struct uuid *)at, text);
        buf_printf(w->out, "\"%s\"", text);
        break;
    case WIRE_STRING:
        text_add_json(w->out, codec_load_slice(at));
        break;
    case WIRE_BYTES:
        if (w->bytes == NULL ||
            !w->bytes->write(w->bytes, field->name, codec_load_slice(at), w->out))
            write_bytes(w->out, codec_load_slice(at));
        break;
    case WIRE_RECORDS: /* its pointer may be a cookie: never followed */
        buf_printf(w->out, "%zu", codec_load_slice(at).len);
        break;
    case WIRE_STRUCT:
        write_struct(w, field->of, at);
        break;
    default:
        buf_printf(w->out, "%" PRId64, codec_load_number(field->type, at));
        break;
    }
}

static void write_array(const struct writer *w, const struct wire_field *field,
                        struct codec_array array)
{
    const uint8_t *from = array.at;

    buf_add_text(w->out, "[");
    for (int32_t i = 0; i < array.count; i++, from += codec_element_size(field)) {
        if (i > 0) buf_add_text(w->out, ",");
        write_one(w, field, from);
    }
    buf_add_text(w->out, "]");
}

static void write_struct(const struct writer *w, const struct wire_struct *type,
                         const uint8_t *from)
{
    const char *gap = "{";

    for (int i = 0; i < type->field_count; i++) {
        const struct wire_field *field = &type->fields[i];
        const void *at = from + field->offset;

        if (!codec_has_version(field, w->version) ||
            (field->tag >= 0 && codec_is_absent(w->version, field, at)))
            continue;
        buf_add_text(w->out, gap);
        gap = ",";
        write_name(w->out, field->name);
        if (codec_is_null(field, at))
            buf_add_text(w->out, "null");
        else if (field->is_array)
            write_array(w, field, codec_load_array(at));
        else
            write_one(w, field, codec_is_pointer(field) ? codec_load_pointer(at) : at);
    }
    buf_add_text(w->out, *gap == '{' ? "{}" : "}");
}

void wire_json(struct buf *out, int version, const struct wire_struct *type, const void *from,
               const struct wire_json_bytes *bytes)
{
    struct writer writer = {out, version, bytes};

    codec_ensure_version(version, type);
    write_struct(&writer, type, from);
}
