#include "base/text.h"
#include <ctype.h>

#define TOPIC_NAME_MAX 249

enum err text_int(struct slice text, int64_t min, int64_t max, int64_t *out)
{
    size_t i = 0;
    bool negative = false;

    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
        negative = text.ptr[0] == '-';
        i = 1;
    }
    if (i == text.len) return ERR_INVALID;

    /* Counts downwards, because INT64_MIN has no positive twin. */
    int64_t value = 0;
    bool over = false;
    for (; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return ERR_INVALID;
        over = over || __builtin_mul_overflow(value, 10, &value) ||
               __builtin_sub_overflow(value, text.ptr[i] - '0', &value);
    }
    if (over || (!negative && value == INT64_MIN)) return ERR_RANGE;
    if (!negative) value = -value;
    if (value < min || value > max) return ERR_RANGE;
    *out = value;
    return ERR_OK;
}

struct slice text_trim(struct slice text)
{
    while (text.len > 0 && isspace(text.ptr[0]))
        text = slice_of(text.ptr + 1, text.len - 1);
    while (text.len > 0 && isspace(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

size_t text_character(struct slice text)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint8_t first = text.ptr[0];

    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    size_t more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    uint32_t point = first & (0x3fu >> more);
    if (more >= text.len) return 0;
    for (size_t i = 1; i <= more; i++) {
        if ((text.ptr[i] & 0xc0) != 0x80) return 0;
        point = (point << 6) | (text.ptr[i] & 0x3f);
    }
    bool good = point >= least[more] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    return good ? more + 1 : 0;
}

static void add_escaped(struct buf *out, uint8_t c)
{
    static const char names[] = "btn?fr"; /* 8, 9, 10, -, 12, 13 */

    if (c == '"' || c == '\\')
        buf_printf(out, "\\%c", c);
    else if (c >= 8 && c <= 13 && c != 11)
        buf_printf(out, "\\%c", names[c - 8]);
    else
        buf_printf(out, "\\u%04X", c);
}

void text_add_json(struct buf *out, struct slice text)
{
    if (slice_is_null(text)) {
        buf_add_text(out, "null");
        return;
    }
    buf_add_text(out, "\"");
    for (size_t i = 0; i < text.len;) {
        uint8_t c = text.ptr[i];
        size_t len = text_character(slice_of(text.ptr + i, text.len - i));
        if (len == 0)
            buf_add_text(out, "\xef\xbf\xbd");
        else if (c < 0x20 || c == '"' || c == '\\')
            add_escaped(out, c);
        else
            buf_add(out, text.ptr + i, len);
        i += len == 0 ? 1 : len;
    }
    buf_add_text(out, "\"");
}

/* One code point from the front; U+FFFD for a byte that begins none. */
static uint32_t next_code_point(struct slice *text)
{
    size_t len = text_character(*text), used = len == 0 ? 1 : len;
    uint32_t point = len <= 1 ? text->ptr[0] : text->ptr[0] & (0x7fu >> len);

    for (size_t i = 1; i < len; i++)
        point = point << 6 | (text->ptr[i] & 0x3fu);
    *text = slice_of(text->ptr + used, text->len - used);
    return len == 0 ? 0xfffd : point;
}

int32_t text_java_hash(struct slice text)
{
    uint32_t hash = 0;

    while (text.len > 0) {
        uint32_t point = next_code_point(&text);
        if (point >= 0x10000) {
            hash = hash * 31 + (0xd800 + ((point - 0x10000) >> 10));
            point = 0xdc00 + ((point - 0x10000) & 0x3ff);
        }
        hash = hash * 31 + point;
    }
    return (int32_t)hash;
}

bool text_is_topic_name(struct slice name)
{
    if (name.len == 0 || name.len > TOPIC_NAME_MAX || slice_is(name, ".") || slice_is(name, ".."))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '_' && c != '-') return false;
    }
    return true;
}
