#include "base/uuid.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct uuid uuid_from_random(uint64_t high, uint64_t low)
{
    struct uuid id;

    for (int i = 0; i < 8; i++) {
        id.bytes[i] = (uint8_t)(high >> (56 - 8 * i));
        id.bytes[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

bool uuid_is_topic_id(struct uuid id)
{
    struct uuid one = {.bytes = {[15] = 1}};

    return !uuid_is_zero(id) && !uuid_equal(id, one) && digits[id.bytes[0] >> 2] != '-';
}

void uuid_text(struct uuid id, char text[UUID_TEXT_LEN + 1])
{
    uint32_t bits = 0;
    int have = 0, at = 0;

    for (int i = 0; i < 16; i++) {
        bits = (bits << 8) | id.bytes[i];
        for (have += 8; have >= 6; have -= 6)
            text[at++] = digits[(bits >> (have - 6)) & 63];
    }
    text[at++] = digits[(bits << (6 - have)) & 63];
    text[at] = '\0';
}

static int digit_value(uint8_t c)
{
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

enum err uuid_parse(struct slice text, struct uuid *out)
{
    struct uuid id = UUID_ZERO;
    uint32_t bits = 0;
    int have = 0, at = 0;

    if (text.len != UUID_TEXT_LEN) return ERR_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        int value = digit_value(text.ptr[i]);
        if (value < 0) return ERR_INVALID;
        bits = (bits << 6) | (uint32_t)value;
        have += 6;
        if (have >= 8 && at < 16) {
            id.bytes[at++] = (uint8_t)(bits >> (have - 8));
            have -= 8;
        }
    }
    if ((bits & 0xf) != 0) /* the four bits that no byte takes */
        return ERR_INVALID;
    *out = id;
    return ERR_OK;
}
