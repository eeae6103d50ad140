/* broker/log/names.c - see names.h. */
#include "broker/log/names.h"
#include "base/text.h"
#include <stdio.h>

static enum err fits(int written, size_t room)
{
    return written < 0 || (size_t)written >= room ? ERR_LIMIT : ERR_OK;
}

enum err names_segment(char path[FILES_PATH_MAX], const char *directory, int64_t base,
                       const char *extension, const char *suffix)
{
    return fits(snprintf(path, FILES_PATH_MAX, "%s/%020lld%s%s", directory, (long long)base,
                         extension, suffix),
                FILES_PATH_MAX);
}

enum err names_join(char path[FILES_PATH_MAX], const char *directory, const char *name)
{
    return fits(snprintf(path, FILES_PATH_MAX, "%s/%s", directory, name), FILES_PATH_MAX);
}

/* The one of `known` that `*text` begins with, up to the next "." or the end; moves behind it. */
static const char *take_known(const char **text, const char *const *known)
{
    size_t len = **text == '\0' ? 0 : 1 + strcspn(*text + 1, ".");

    for (; *known != NULL; known++) {
        if (strlen(*known) == len && memcmp(*known, *text, len) == 0) {
            *text += len;
            return *known;
        }
    }
    return NULL;
}

bool names_parse_file(const char *name, struct names_file *out)
{
    static const char *const extensions[] = {NAMES_LOG,     NAMES_OFFSETS,   NAMES_TIMES,
                                             NAMES_ABORTED, NAMES_PRODUCERS, NULL};
    static const char *const suffixes[] = {NAMES_DELETED, NAMES_CLEANED, NAMES_SWAP, NULL};
    size_t digits = strspn(name, "0123456789");
    int64_t base;

    if (digits == 0 || name[digits] != '.' ||
        text_int(slice_of(name, digits), 0, INT64_MAX, &base) != ERR_OK)
        return false;
    const char *rest = name + digits;
    out->base = base;
    out->extension = take_known(&rest, extensions);
    out->suffix = *rest == '\0' ? "" : take_known(&rest, suffixes);
    if (*rest != '\0') out->suffix = NULL;
    return true;
}

static bool is_space_free(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == ' ' || (text.ptr[i] >= '\t' && text.ptr[i] <= '\r')) return false;
    return text.len > 0;
}

/* Where the last `c` is, or -1. */
static int64_t last_of(struct slice text, char c)
{
    for (size_t i = text.len; i > 0; i--)
        if (text.ptr[i - 1] == (uint8_t)c) return (int64_t)i - 1;
    return -1;
}

/* "<anything>.<unique>-<word>": cuts that off and says which word it was. */
static enum names_kind take_suffix(struct slice *name, struct slice *unique)
{
    static const struct {
        const char *word;
        enum names_kind kind;
    } words[] = {{"-delete", NAMES_DELETING}, {"-future", NAMES_FUTURE}, {"-stray", NAMES_STRAY}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t len = strlen(words[i].word);
        if (name->len <= len || memcmp(name->ptr + name->len - len, words[i].word, len) != 0)
            continue;
        struct slice head = slice_of(name->ptr, name->len - len);
        int64_t dot = last_of(head, '.');
        if (dot <= 0 || (size_t)dot + 1 == head.len) continue;
        *name = slice_of(name->ptr, (size_t)dot);
        *unique = slice_of(head.ptr + dot + 1, head.len - (size_t)dot - 1);
        return words[i].kind;
    }
    return NAMES_LIVE;
}

bool names_parse_directory(const char *name, struct names_directory *out)
{
    struct slice rest = slice_text(name), unique = SLICE("");
    enum names_kind kind = take_suffix(&rest, &unique);
    int64_t dash = last_of(rest, '-'), partition;

    if (dash <= 0 || !is_space_free(rest)) return false;
    struct slice number = slice_of(rest.ptr + dash + 1, rest.len - (size_t)dash - 1);
    if (text_int(number, 0, INT32_MAX, &partition) != ERR_OK) return false;
    *out = (struct names_directory){kind, slice_of(rest.ptr, (size_t)dash), (int32_t)partition,
                                    unique};
    return true;
}

enum err names_live(char *name, struct slice topic, int32_t partition)
{
    return fits(snprintf(name, NAMES_MAX + 1, "%.*s-%d", SLICE_ARGS(topic), partition),
                NAMES_MAX + 1);
}

#define UNIQUE_DIGITS 32

static struct slice hex(char *digits, struct uuid unique)
{
    for (size_t i = 0; i < sizeof(unique.bytes); i++)
        snprintf(digits + 2 * i, 3, "%02x", unique.bytes[i]);
    return slice_of(digits, UNIQUE_DIGITS);
}

static enum err put_away(char *name, struct slice topic, int32_t partition, struct slice unique,
                         const char *word)
{
    char tail[UNIQUE_DIGITS + 32];

    if (unique.len > UNIQUE_DIGITS) return ERR_LIMIT;
    int len = snprintf(tail, sizeof(tail), "-%d.%.*s-%s", partition, SLICE_ARGS(unique), word);
    size_t room = NAMES_MAX - (size_t)len;
    if (topic.len > room) topic.len = room;
    return fits(snprintf(name, NAMES_MAX + 1, "%.*s%s", SLICE_ARGS(topic), tail), NAMES_MAX + 1);
}

enum err names_deleting_for(char *name, struct slice topic, int32_t partition, struct slice unique)
{
    return put_away(name, topic, partition, unique, "delete");
}

void names_stray(char *name, struct slice topic, int32_t partition, struct uuid unique)
{
    char digits[UNIQUE_DIGITS + 1];

    /* Cannot be too long: the topic is cut. */
    (void)!put_away(name, topic, partition, hex(digits, unique), "stray");
}

void names_deleting(char *name, struct slice topic, int32_t partition, struct uuid unique)
{
    char digits[UNIQUE_DIGITS + 1];

    /* Cannot be too long: the topic is cut. */
    (void)!names_deleting_for(name, topic, partition, hex(digits, unique));
}

enum err names_future(char *name, struct slice topic, int32_t partition, struct uuid unique)
{
    char digits[UNIQUE_DIGITS + 1];

    return fits(snprintf(name, NAMES_MAX + 1, "%.*s-%d.%.*s-future", SLICE_ARGS(topic), partition,
                         SLICE_ARGS(hex(digits, unique))),
                NAMES_MAX + 1);
}
