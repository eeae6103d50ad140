/* The tables of keys, and what a single value may be. */
#include "cluster/options_private.h"
#include "base/text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* The words of options_broker.inc and options_topic.inc. */
#define ANY                                                                                        \
    {                                                                                              \
        .kind = CHECK_ANY                                                                          \
    }
#define MIN(n)                                                                                     \
    {                                                                                              \
        .kind = CHECK_NUMBER, .min = (n), .max = INT64_MAX                                         \
    }
#define BETWEEN(a, b)                                                                              \
    {                                                                                              \
        .kind = CHECK_NUMBER, .min = (a), .max = (b)                                               \
    }
#define SHARE(a, b)                                                                                \
    {                                                                                              \
        .kind = CHECK_SHARE, .low = (a), .high = (b)                                               \
    }
#define ONE_OF(list)                                                                               \
    {                                                                                              \
        .kind = CHECK_WORDS, .words = (list)                                                       \
    }
#define GZIP_LEVEL                                                                                 \
    {                                                                                              \
        .kind = CHECK_GZIP                                                                         \
    }
#define NOT_EMPTY                                                                                  \
    {                                                                                              \
        .kind = CHECK_NOT_EMPTY                                                                    \
    }
#define LEVEL                                                                                      \
    {                                                                                              \
        .kind = CHECK_LEVEL                                                                        \
    }
#define THROTTLED                                                                                  \
    {                                                                                              \
        .kind = CHECK_THROTTLED                                                                    \
    }
#define READ_ONLY    OPTION_READ_ONLY
#define CLUSTER_WIDE OPTION_CLUSTER_WIDE
#define PER_BROKER   OPTION_PER_BROKER
#define COMMON       FLAG_COMMON
#define INTERNAL     FLAG_INTERNAL
#define PREFIXED     FLAG_PREFIXED
#define DYNAMIC_ONLY FLAG_DYNAMIC_ONLY
#define OWN          FLAG_OWN

const struct option_row option_rows[OPTION_COUNT] = {
#define OPTION(name, key, type, value, ...)                                                        \
    [OPTION_##name] = {key, OPTION_TYPE_##type, value, __VA_ARGS__},
#include "cluster/options_broker.inc"
#undef OPTION
};

const struct topic_option_row topic_option_rows[TOPIC_OPTION_COUNT] = {
#define TOPIC_OPTION(name, key, type, value, ...)                                                  \
    [TOPIC_OPTION_##name] = {key, OPTION_TYPE_##type, value, __VA_ARGS__},
#include "cluster/options_topic.inc"
#undef TOPIC_OPTION
};

const char *option_key(enum option option)
{
    return option_rows[option].key;
}

enum option_type option_type(enum option option)
{
    return option_rows[option].type;
}

enum option_dynamic option_dynamic(enum option option)
{
    return option_rows[option].dynamic;
}

const char *option_default(enum option option)
{
    return option_rows[option].value;
}

const char *option_doc(enum option option)
{
    return option_rows[option].doc;
}

bool option_is_internal(enum option option)
{
    return (option_rows[option].flags & FLAG_INTERNAL) != 0;
}

bool option_is_common(enum option option)
{
    return (option_rows[option].flags & FLAG_COMMON) != 0;
}

const char *option_range(enum option option, char *text, size_t size)
{
    return check_text(option_rows[option].type, &option_rows[option].check, text, size);
}

enum option option_find(struct slice key)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (slice_is(key, option_rows[i].key)) return (enum option)i;
    return OPTION_NONE;
}

const char *topic_option_key(enum topic_option option)
{
    return topic_option_rows[option].key;
}

enum option_type topic_option_type(enum topic_option option)
{
    return topic_option_rows[option].type;
}

int topic_option_find(struct slice key)
{
    for (int i = 0; i < TOPIC_OPTION_COUNT; i++)
        if (slice_is(key, topic_option_rows[i].key)) return i;
    return -1;
}

static const enum option groups[][4] = {
    {OPTION_LOG_RETENTION_MS, OPTION_LOG_RETENTION_MINUTES, OPTION_LOG_RETENTION_HOURS,
     OPTION_NONE},
    {OPTION_LOG_ROLL_MS, OPTION_LOG_ROLL_HOURS, OPTION_NONE},
    {OPTION_LOG_ROLL_JITTER_MS, OPTION_LOG_ROLL_JITTER_HOURS, OPTION_NONE},
    {OPTION_LOG_FLUSH_INTERVAL_MS, OPTION_LOG_FLUSH_SCHEDULER_INTERVAL_MS, OPTION_NONE},
};

const enum option *option_synonyms(enum option option)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        for (int j = 0; groups[i][j] != OPTION_NONE; j++)
            if (groups[i][j] == option) return groups[i];
    return NULL;
}

struct slice list_item(struct slice list, int index)
{
    struct slice head;

    if (text_trim(list).len == 0) return SLICE_NULL;
    for (; index > 0; index--)
        if (!slice_cut(&list, ',', &head)) return SLICE_NULL;
    return text_trim(slice_cut(&list, ',', &head) ? head : list);
}

static int64_t type_min(enum option_type type)
{
    return type == OPTION_TYPE_SHORT ? INT16_MIN : type == OPTION_TYPE_INT ? INT32_MIN : INT64_MIN;
}

static int64_t type_max(enum option_type type)
{
    return type == OPTION_TYPE_SHORT ? INT16_MAX : type == OPTION_TYPE_INT ? INT32_MAX : INT64_MAX;
}

const char *check_text(enum option_type type, const struct check *check, char *text, size_t size)
{
    text[0] = '\0';
    switch (check->kind) {
    case CHECK_ANY:
        if (type == OPTION_TYPE_INT || type == OPTION_TYPE_SHORT)
            snprintf(text, size, "in %lld … %lld", (long long)type_min(type),
                     (long long)type_max(type));
        break;
    case CHECK_NUMBER:
        if (check->max == INT64_MAX)
            snprintf(text, size, "at least %lld", (long long)check->min);
        else
            snprintf(text, size, "in %lld … %lld", (long long)check->min, (long long)check->max);
        break;
    case CHECK_GZIP:
        snprintf(text, size, "-1 or in 1 … 9");
        break;
    case CHECK_SHARE:
        snprintf(text, size, "in %g … %g", check->low, check->high);
        break;
    case CHECK_WORDS:
        snprintf(text, size, type == OPTION_TYPE_LIST ? "a list of: %s" : "one of: %s",
                 check->words);
        break;
    case CHECK_NOT_EMPTY:
        snprintf(text, size, "not empty");
        break;
    case CHECK_LEVEL:
        snprintf(text, size, "a release in 0.8.0 … 3.9, or a level such as 3.9-IV0");
        break;
    case CHECK_THROTTLED:
        snprintf(text, size, "empty, *, or partition:broker pairs with commas");
        break;
    }
    return text;
}

static bool is_word(const char *words, struct slice text)
{
    struct slice item;

    for (int i = 0; !slice_is_null(item = list_item(slice_text(words), i)); i++)
        if (slice_equal(item, text)) return true;
    return false;
}

static bool are_words(const char *words, struct slice list)
{
    struct slice item;

    for (int i = 0; !slice_is_null(item = list_item(list, i)); i++)
        if (!is_word(words, item)) return false;
    return true;
}

static bool are_throttled(struct slice list)
{
    struct slice item, partition;
    int64_t number;

    if (slice_is(list, "*")) return true;
    for (int i = 0; !slice_is_null(item = list_item(list, i)); i++) {
        if (!slice_cut(&item, ':', &partition) ||
            text_int(partition, 0, INT32_MAX, &number) != ERR_OK ||
            text_int(item, 0, INT32_MAX, &number) != ERR_OK)
            return false;
    }
    return true;
}

static enum err parse_double(struct slice text, double *out)
{
    char copy[64], *end;

    if (text.len == 0 || text.len >= sizeof(copy) ||
        strspn((const char *)text.ptr, "0123456789.+-eE") < text.len)
        return ERR_INVALID;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    double value = strtod(copy, &end);
    if (*end != '\0') return ERR_INVALID;
    *out = value;
    return ERR_OK;
}

static bool is_truth(struct slice text, const char *word)
{
    return text.len == strlen(word) && strncasecmp((const char *)text.ptr, word, text.len) == 0;
}

static enum err parse_type(enum option_type type, struct slice text, char why[OPTION_WHY_MAX],
                           struct option_parsed *out)
{
    switch (type) {
    case OPTION_TYPE_BOOLEAN:
        if (!is_truth(text, "true") && !is_truth(text, "false")) {
            snprintf(why, OPTION_WHY_MAX, "must be true or false");
            return ERR_INVALID;
        }
        out->number = is_truth(text, "true");
        return ERR_OK;
    case OPTION_TYPE_INT:
    case OPTION_TYPE_SHORT:
    case OPTION_TYPE_LONG:
        if (text_int(text, type_min(type), type_max(type), &out->number) == ERR_OK) return ERR_OK;
        snprintf(why, OPTION_WHY_MAX, "must be a whole number in %lld … %lld",
                 (long long)type_min(type), (long long)type_max(type));
        return ERR_INVALID;
    case OPTION_TYPE_DOUBLE:
        if (parse_double(text, &out->real) == ERR_OK) return ERR_OK;
        snprintf(why, OPTION_WHY_MAX, "must be a number");
        return ERR_INVALID;
    case OPTION_TYPE_UNKNOWN:
    case OPTION_TYPE_STRING:
    case OPTION_TYPE_LIST:
    case OPTION_TYPE_CLASS:
    case OPTION_TYPE_PASSWORD:
        return ERR_OK;
    }
    return ERR_OK;
}

static bool check_passes(enum option_type type, const struct check *check, struct slice text,
                         const struct option_parsed *value)
{
    enum level level;

    switch (check->kind) {
    case CHECK_ANY:
        return true;
    case CHECK_NUMBER:
        return value->number >= check->min && value->number <= check->max;
    case CHECK_GZIP:
        return value->number == -1 || (value->number >= 1 && value->number <= 9);
    case CHECK_SHARE:
        return value->real >= check->low && value->real <= check->high;
    case CHECK_WORDS:
        return type == OPTION_TYPE_LIST ? are_words(check->words, text)
                                        : is_word(check->words, text);
    case CHECK_NOT_EMPTY:
        return text.len > 0;
    case CHECK_LEVEL:
        return level_parse(text, &level) == ERR_OK;
    case CHECK_THROTTLED:
        return are_throttled(text);
    }
    return true;
}

enum err option_value_parse(enum option_type type, const struct check *check, struct slice text,
                            char why[OPTION_WHY_MAX], struct option_parsed *out)
{
    struct option_parsed parsed = {0};
    char range[OPTION_WHY_MAX - 16];

    if (parse_type(type, text, why, &parsed) != ERR_OK) {
        /* A number that is not one is told its range too, when it has a narrower one. */
        if (check->kind == CHECK_NUMBER || check->kind == CHECK_GZIP || check->kind == CHECK_SHARE)
            snprintf(why, OPTION_WHY_MAX, "must be a number %s",
                     check_text(type, check, range, sizeof(range)));
        return ERR_INVALID;
    }
    if (!check_passes(type, check, text, &parsed)) {
        snprintf(why, OPTION_WHY_MAX, "must be %s", check_text(type, check, range, sizeof(range)));
        return ERR_INVALID;
    }
    *out = parsed;
    return ERR_OK;
}
