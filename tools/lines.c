#include "tools/lines.h"
#include <strings.h>

void line_options_init(struct line_options *options)
{
    *options = (struct line_options){.key_separator = "\t",
                                     .headers_delimiter = "\t",
                                     .headers_separator = ",",
                                     .headers_key_separator = ":"};
}

static enum err set_bool(bool *out, const char *value)
{
    bool is_true = strcasecmp(value, "true") == 0;

    if (!is_true && strcasecmp(value, "false") != 0) return ERR_INVALID;
    *out = is_true;
    return ERR_OK;
}

static enum err set_text(const char **out, const char *value)
{
    if (value[0] == '\0') return ERR_INVALID;
    *out = value;
    return ERR_OK;
}

enum err line_options_set(struct line_options *options, const char *name, const char *value)
{
    if (strcmp(name, "parse.key") == 0) return set_bool(&options->parse_key, value);
    if (strcmp(name, "parse.headers") == 0) return set_bool(&options->parse_headers, value);
    if (strcmp(name, "ignore.error") == 0) return set_bool(&options->ignore_error, value);
    if (strcmp(name, "key.separator") == 0) return set_text(&options->key_separator, value);
    if (strcmp(name, "headers.delimiter") == 0) return set_text(&options->headers_delimiter, value);
    if (strcmp(name, "headers.separator") == 0) return set_text(&options->headers_separator, value);
    if (strcmp(name, "headers.key.separator") == 0)
        return set_text(&options->headers_key_separator, value);
    if (strcmp(name, "null.marker") == 0) return set_text(&options->null_marker, value);
    return ERR_NOT_FOUND;
}

enum err line_options_check(const struct line_options *o, struct buf *message)
{
    /* Key and headers may be divided by the same text: the headers come first. */
    const struct {
        const char *name, *text;
    } all[] = {{"headers.separator", o->headers_separator},
               {"headers.key.separator", o->headers_key_separator},
               {"headers.delimiter", o->headers_delimiter},
               {"null.marker", o->null_marker},
               {"key.separator", o->key_separator}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        for (size_t j = i + 1; j < sizeof(all) / sizeof(all[0]); j++) {
            bool may_equal = i == 2 && j == 4;
            if (may_equal || all[i].text == NULL || all[j].text == NULL ||
                strcmp(all[i].text, all[j].text) != 0)
                continue;
            buf_printf(message, "%s and %s may not be equal", all[i].name, all[j].name);
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

/* The part before the first `separator` goes to `*head`. False when there is none. */
static bool cut(struct slice *from, const char *separator, struct slice *head)
{
    size_t len = strlen(separator);
    const uint8_t *at = from->len < len ? NULL : memmem(from->ptr, from->len, separator, len);

    if (at == NULL) return false;
    size_t before = (size_t)(at - from->ptr);
    *head = slice_of(from->ptr, before);
    *from = slice_of(at + len, from->len - before - len);
    return true;
}

static struct slice or_null(const struct line_options *options, struct slice text)
{
    return options->null_marker != NULL && slice_is(text, options->null_marker) ? SLICE_NULL : text;
}

static enum err parse_headers(const struct line_options *options, struct slice text, int64_t number,
                              struct arena *arena, struct line_record *out, struct buf *message)
{
    struct slice left = text, item, key;
    size_t most = 1;

    for (struct slice rest = text; cut(&rest, options->headers_separator, &item);)
        most++;
    out->headers = arena_zalloc(arena, most * sizeof(*out->headers));
    for (bool more = true; more;) {
        more = cut(&left, options->headers_separator, &item);
        if (!more) item = left;
        struct slice value = item;
        if (!cut(&value, options->headers_key_separator, &key)) {
            if (!options->ignore_error) {
                buf_printf(message,
                           "No header key separator found in pair '%.*s' on line number %lld",
                           SLICE_ARGS(item), (long long)number);
                return ERR_INVALID;
            }
            key = item;
            value = SLICE_NULL;
        } else {
            value = or_null(options, value);
        }
        out->headers[out->header_count++] = (struct record_header){key, value};
    }
    return ERR_OK;
}

enum err line_parse(const struct line_options *options, struct slice line, int64_t number,
                    struct arena *arena, struct line_record *out, struct buf *message)
{
    struct line_record record = {.key = SLICE_NULL};
    struct slice left = line, headers;

    if (options->parse_headers) {
        if (cut(&left, options->headers_delimiter, &headers)) {
            bool has_headers =
                !(options->null_marker != NULL && slice_is(headers, options->null_marker));
            if (has_headers && headers.len > 0) {
                enum err err = parse_headers(options, headers, number, arena, &record, message);
                if (err != ERR_OK) return err;
            }
        } else if (!options->ignore_error) {
            buf_printf(message, "No headers delimiter found on line number %lld: '%.*s'",
                       (long long)number, SLICE_ARGS(line));
            return ERR_INVALID;
        }
    }
    if (options->parse_key) {
        if (cut(&left, options->key_separator, &record.key)) {
            record.key = or_null(options, record.key);
        } else if (!options->ignore_error) {
            buf_printf(message, "No key separator found on line number %lld: '%.*s'",
                       (long long)number, SLICE_ARGS(line));
            return ERR_INVALID;
        }
    }
    record.value = or_null(options, left);
    *out = record;
    return ERR_OK;
}
