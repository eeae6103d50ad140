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

/* One code point from the front; U+FFFD for a byte that begins none. */
static uint32_t next_code_point(struct slice *text)
{
    uint8_t first = text->ptr[0];
    size_t more = first < 0x80 ? 0 : first < 0xc2 ? 9 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    uint32_t point = more == 0 ? first : first & (0x3fu >> more);
    bool good = more < text->len && first < 0xf5;

    for (size_t i = 1; good && i <= more; i++) {
        good = (text->ptr[i] & 0xc0) == 0x80;
        point = (point << 6) | (text->ptr[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    good = good && point >= least[more] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    size_t used = good ? more + 1 : 1;
    *text = slice_of(text->ptr + used, text->len - used);
    return good ? point : 0xfffd;
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
