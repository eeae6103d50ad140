#include "tools/format.h"
#include "wire/prim.h"
#include <strings.h>

void format_options_init(struct format_options *options)
{
    *options = (struct format_options){.value = true,
                                       .key_separator = "\t",
                                       .line_separator = "\n",
                                       .headers_separator = ",",
                                       .null_literal = "null"};
}

static enum err set_bool(bool *out, const char *value)
{
    bool is_true = strcasecmp(value, "true") == 0;

    if (!is_true && strcasecmp(value, "false") != 0) return ERR_INVALID;
    *out = is_true;
    return ERR_OK;
}

enum err format_kind_parse(const char *class_name, enum format_kind *out)
{
    static const struct {
        const char *end;
        enum format_kind kind;
    } kinds[] = {{"StringDeserializer", FORMAT_STRING},   {"ByteArrayDeserializer", FORMAT_STRING},
                 {"BytesDeserializer", FORMAT_STRING},    {"ShortDeserializer", FORMAT_SHORT},
                 {"IntegerDeserializer", FORMAT_INTEGER}, {"LongDeserializer", FORMAT_LONG}};
    const char *dot = strrchr(class_name, '.');
    const char *end = dot == NULL ? class_name : dot + 1;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(end, kinds[i].end) == 0) {
            *out = kinds[i].kind;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

enum err format_options_formatter(struct format_options *options, const char *class_name)
{
    static const struct {
        const char *end;
        enum format_formatter formatter;
    } known[] = {{"DefaultMessageFormatter", FORMAT_DEFAULT},
                 {"LoggingMessageFormatter", FORMAT_LOGGING},
                 {"NoOpMessageFormatter", FORMAT_NO_OP}};
    const char *dot = strrchr(class_name, '.');
    const char *end = dot == NULL ? class_name : dot + 1;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(end, known[i].end) == 0) {
            options->formatter = known[i].formatter;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

enum err format_options_set(struct format_options *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"print.timestamp", &o->timestamp},
                 {"print.partition", &o->partition},
                 {"print.offset", &o->offset},
                 {"print.headers", &o->headers},
                 {"print.key", &o->key},
                 {"print.value", &o->value}};
    const struct {
        const char *name;
        const char **text;
    } texts[] = {{"key.separator", &o->key_separator},
                 {"line.separator", &o->line_separator},
                 {"headers.separator", &o->headers_separator},
                 {"null.literal", &o->null_literal}};
    const struct {
        const char *name;
        enum format_kind *kind;
    } kinds[] = {{"key.deserializer", &o->key_kind},
                 {"value.deserializer", &o->value_kind},
                 {"headers.deserializer", &o->header_kind}};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (strcmp(name, flags[i].name) == 0) return set_bool(flags[i].flag, value);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].text = value;
            return ERR_OK;
        }
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(name, kinds[i].name) == 0) return format_kind_parse(value, kinds[i].kind);
    return ERR_NOT_FOUND;
}

static size_t size_of(enum format_kind kind)
{
    return kind == FORMAT_SHORT ? 2 : kind == FORMAT_INTEGER ? 4 : 8;
}

static enum err add_bytes(const struct format_options *options, enum format_kind kind,
                          struct slice bytes, struct buf *out)
{
    if (slice_is_null(bytes)) {
        buf_add_text(out, options->null_literal);
        return ERR_OK;
    }
    if (kind == FORMAT_STRING) {
        buf_add_slice(out, bytes);
        return ERR_OK;
    }
    if (bytes.len != size_of(kind)) return ERR_INVALID;
    int64_t number = kind == FORMAT_SHORT     ? (int16_t)prim_load16(bytes.ptr)
                     : kind == FORMAT_INTEGER ? (int32_t)prim_load32(bytes.ptr)
                                              : (int64_t)prim_load64(bytes.ptr);
    buf_printf(out, "%lld", (long long)number);
    return ERR_OK;
}

static void add_timestamp(const struct format_record *record, struct buf *out)
{
    if (record->timestamp_type == FORMAT_NO_TIMESTAMP)
        buf_add_text(out, "NO_TIMESTAMP");
    else
        buf_printf(out, "%s:%lld",
                   record->timestamp_type == FORMAT_CREATE_TIME ? "CreateTime" : "LogAppendTime",
                   (long long)record->timestamp);
}

static enum err add_headers(const struct format_options *options, struct slice headers,
                            struct buf *out)
{
    struct record_header header;
    enum err err = ERR_OK;
    int count = 0;

    while (err == ERR_OK && record_header_next(&headers, &header)) {
        if (count++ > 0) buf_add_text(out, options->headers_separator);
        buf_add_slice(out, header.key);
        buf_add_text(out, ":");
        err = add_bytes(options, options->header_kind, header.value, out);
    }
    if (count == 0) buf_add_text(out, "NO_HEADERS");
    return err;
}

static enum err write_default(const struct format_options *o, const struct format_record *record,
                              struct buf *out)
{
    const bool wanted[] = {o->timestamp, o->partition, o->offset, o->headers, o->key, o->value};
    const int columns = sizeof(wanted) / sizeof(wanted[0]);
    enum err err = ERR_OK;
    int written = 0;

    for (int column = 0; column < columns && err == ERR_OK; column++) {
        if (!wanted[column]) continue;
        if (written++ > 0) buf_add_text(out, o->key_separator);
        switch (column) {
        case 0:
            add_timestamp(record, out);
            break;
        case 1:
            buf_printf(out, "Partition:%d", record->partition);
            break;
        case 2:
            buf_printf(out, "Offset:%lld", (long long)record->offset);
            break;
        case 3:
            err = add_headers(o, record->headers, out);
            break;
        case 4:
            err = add_bytes(o, o->key_kind, record->key, out);
            break;
        default:
            err = add_bytes(o, o->value_kind, record->value, out);
        }
    }
    if (written > 0) buf_add_text(out, o->line_separator);
    return err;
}

static void write_logging(const struct format_options *options, const struct format_record *record,
                          struct buf *out)
{
    struct slice key = record->key;

    if (record->timestamp_type != FORMAT_NO_TIMESTAMP) {
        add_timestamp(record, out);
        buf_add_text(out, ", ");
    }
    buf_add_text(out, "key:");
    buf_add_slice(out, slice_is_null(key) ? slice_text(options->null_literal) : key);
    buf_add_text(out, ", value:");
    buf_add_slice(out,
                  slice_is_null(record->value) ? slice_text(options->null_literal) : record->value);
    buf_add_text(out, "\n");
}

enum err format_write(const struct format_options *options, const struct format_record *record,
                      struct buf *out)
{
    size_t before = out->len;
    enum err err = ERR_OK;

    switch (options->formatter) {
    case FORMAT_DEFAULT:
        err = write_default(options, record, out);
        break;
    case FORMAT_LOGGING:
        write_logging(options, record, out);
        break;
    case FORMAT_NO_OP:
        break;
    }
    if (err != ERR_OK) out->len = before;
    return err;
}
