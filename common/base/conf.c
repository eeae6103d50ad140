#include "base/conf.h"
#include "base/ensure.h"
#include <stdlib.h>

void conf_init(struct conf *conf)
{
    map_init(&conf->entries);
}

static void entry_free(struct conf_entry *entry)
{
    if (entry == NULL) return;
    free(entry->key);
    free(entry->value);
    free(entry);
}

void conf_fini(struct conf *conf)
{
    map_each (entry, &conf->entries)
        entry_free(entry->value);
    map_fini(&conf->entries);
}

void conf_set(struct conf *conf, const char *key, const char *value, int line)
{
    struct conf_entry *entry = ensure_malloc(sizeof(*entry));

    entry->key = ensure_strdup(key);
    entry->value = ensure_strdup(value);
    entry->line = line;
    entry_free(map_set(&conf->entries, slice_text(key), entry));
}

const struct conf_entry *conf_get(const struct conf *conf, const char *key)
{
    return map_get(&conf->entries, slice_text(key));
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static struct slice without_head_space(struct slice s)
{
    while (s.len > 0 && is_space(s.ptr[0]))
        s = slice_of(s.ptr + 1, s.len - 1);
    return s;
}

/* One natural line, its end consumed. False at the end of the text. */
static bool natural_line(struct slice *text, struct slice *line)
{
    size_t n = 0;

    if (text->len == 0) return false;
    while (n < text->len && text->ptr[n] != '\n' && text->ptr[n] != '\r')
        n++;
    *line = slice_of(text->ptr, n);
    if (n < text->len)
        n += text->ptr[n] == '\r' && n + 1 < text->len && text->ptr[n + 1] == '\n' ? 2 : 1;
    *text = slice_of(text->ptr + n, text->len - n);
    return true;
}

static bool ends_with_odd_backslashes(struct slice line)
{
    size_t n = 0;

    while (n < line.len && line.ptr[line.len - 1 - n] == '\\')
        n++;
    return n % 2 == 1;
}

static void add_code_point(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_add(out, (uint8_t[]){(uint8_t)c}, 1);
    } else if (c < 0x800) {
        buf_add(out, (uint8_t[]){(uint8_t)(0xc0 | c >> 6), (uint8_t)(0x80 | (c & 63))}, 2);
    } else {
        buf_add(out,
                (uint8_t[]){(uint8_t)(0xe0 | c >> 12), (uint8_t)(0x80 | (c >> 6 & 63)),
                            (uint8_t)(0x80 | (c & 63))},
                3);
    }
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `s` begins behind the backslash. Gives how many bytes it took; 0 is malformed. */
static size_t unescape(struct slice s, struct buf *out)
{
    if (s.len == 0) return 0;
    switch (s.ptr[0]) {
    case 't':
        buf_add_text(out, "\t");
        return 1;
    case 'n':
        buf_add_text(out, "\n");
        return 1;
    case 'r':
        buf_add_text(out, "\r");
        return 1;
    case 'f':
        buf_add_text(out, "\f");
        return 1;
    case 'u':
        break;
    default:
        buf_add(out, s.ptr, 1);
        return 1;
    }
    uint32_t point = 0;
    if (s.len < 5) return 0;
    for (int i = 1; i <= 4; i++) {
        int digit = hex_value(s.ptr[i]);
        if (digit < 0) return 0;
        point = point << 4 | (uint32_t)digit;
    }
    if (point == 0) return 0;
    add_code_point(out, point);
    return 5;
}

/* From `*s` until the end, or until a key's end when `is_key`. */
static enum err take_part(struct slice *s, bool is_key, struct buf *out)
{
    while (s->len > 0) {
        uint8_t c = s->ptr[0];
        size_t used = 1;
        if (is_key && (c == '=' || c == ':' || is_space(c))) break;
        if (c == '\0') return ERR_INVALID;
        if (c == '\\') {
            used = unescape(slice_of(s->ptr + 1, s->len - 1), out);
            if (used == 0) return ERR_INVALID;
            used++;
        } else {
            buf_add(out, &c, 1);
        }
        *s = slice_of(s->ptr + used, s->len - used);
    }
    buf_add(out, "", 1);
    return ERR_OK;
}

static enum err take_entry(struct conf *conf, struct slice logical, int line)
{
    struct buf key = {0}, value = {0};
    struct slice at = logical;

    enum err err = take_part(&at, true, &key);
    at = without_head_space(at);
    if (at.len > 0 && (at.ptr[0] == '=' || at.ptr[0] == ':'))
        at = without_head_space(slice_of(at.ptr + 1, at.len - 1));
    if (err == ERR_OK) err = take_part(&at, false, &value);
    if (err == ERR_OK) conf_set(conf, (const char *)key.ptr, (const char *)value.ptr, line);
    buf_fini(&key);
    buf_fini(&value);
    return err;
}

enum err conf_read(struct conf *conf, struct slice text, int *line)
{
    struct buf logical = {0};
    struct slice natural;
    enum err err = ERR_OK;
    int at = 0;

    while (err == ERR_OK && natural_line(&text, &natural)) {
        int began = ++at;
        natural = without_head_space(natural);
        if (natural.len == 0 || natural.ptr[0] == '#' || natural.ptr[0] == '!') continue;
        buf_clear(&logical);
        while (ends_with_odd_backslashes(natural)) {
            buf_add(&logical, natural.ptr, natural.len - 1);
            if (!natural_line(&text, &natural)) {
                natural = slice_of("", 0);
                break;
            }
            natural = without_head_space(natural);
            at++;
        }
        buf_add_slice(&logical, natural);
        err = take_entry(conf, buf_slice(&logical), began);
        if (err != ERR_OK) *line = began;
    }
    buf_fini(&logical);
    return err;
}

static void write_part(struct buf *out, const char *text, bool is_key)
{
    for (const char *at = text; *at != '\0'; at++) {
        switch (*at) {
        case '\t':
            buf_add_text(out, "\\t");
            break;
        case '\n':
            buf_add_text(out, "\\n");
            break;
        case '\r':
            buf_add_text(out, "\\r");
            break;
        case '\f':
            buf_add_text(out, "\\f");
            break;
        case ' ':
            buf_add_text(out, is_key || at == text ? "\\ " : " ");
            break;
        case '=':
        case ':':
        case '#':
        case '!':
        case '\\':
            buf_add_text(out, "\\");
            buf_add(out, at, 1);
            break;
        default:
            buf_add(out, at, 1);
        }
    }
}

void conf_write(struct buf *out, const char *key, const char *value)
{
    write_part(out, key, true);
    buf_add_text(out, "=");
    write_part(out, value, false);
    buf_add_text(out, "\n");
}
