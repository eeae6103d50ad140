/* cluster/options_private.h - what the files of the registry share; for options*.c only. */
#pragma once
#include "cluster/options.h"

enum check_kind {
    CHECK_ANY,
    CHECK_NUMBER,    /* min … max */
    CHECK_GZIP,      /* −1 or 1 … 9 */
    CHECK_SHARE,     /* a double in low … high */
    CHECK_WORDS,     /* one of `words`; for a list, each item */
    CHECK_NOT_EMPTY,
    CHECK_LEVEL,     /* a protocol level */
    CHECK_THROTTLED, /* "*", or partition:broker pairs */
};

struct check {
    enum check_kind kind;
    int64_t min, max;
    double low, high;
    const char *words;
};

enum option_flag {
    FLAG_COMMON = 1,       /* operators set it */
    FLAG_INTERNAL = 2,     /* not shown unless set */
    FLAG_PREFIXED = 4,     /* at run time only as listener.name.<name>.key */
    FLAG_DYNAMIC_ONLY = 8, /* never in a file */
    FLAG_OWN = 16,         /* not Kafka's */
};

struct option_row {
    const char *key;
    enum option_type type;
    const char *value; /* default; NULL: none */
    struct check check;
    enum option_dynamic dynamic;
    unsigned flags;
    const char *doc;
};

struct topic_option_row {
    const char *key;
    enum option_type type;
    const char *value;
    struct check check;
    enum option broker_option;
    unsigned flags;
    const char *doc;
};

extern const struct option_row option_rows[OPTION_COUNT];
extern const struct topic_option_row topic_option_rows[TOPIC_OPTION_COUNT];

struct option_parsed {
    int64_t number; /* BOOLEAN: 0 or 1 */
    double real;
};

#define OPTION_WHY_MAX 256

/* Whether `text` (trimmed) is a value of that type within the check. ERR_INVALID with the reason, "must
 * be at least 14", in `why`. */
MUST_CHECK enum err option_value_parse(enum option_type type, const struct check *check,
                                       struct slice text, char why[OPTION_WHY_MAX],
                                       struct option_parsed *out);
/* The reason's second half: "at least 14", or "". */
const char *check_text(enum option_type type, const struct check *check, char *text, size_t size);

/* Item `index` of a comma list; null behind the last. */
struct slice list_item(struct slice list, int index);

/* Where a value was given, by rising right. */
enum option_layer { LAYER_STATIC, LAYER_DYNAMIC_DEFAULT, LAYER_DYNAMIC_BROKER, LAYER_COUNT };

struct option_value {
    char *given[LAYER_COUNT]; /* trimmed; NULL: not given there */
    struct option_parsed parsed;
};

struct options {
    struct option_value values[OPTION_COUNT];
    struct conf unknown; /* with listener.name.* */
};

/* The value that counts: of the highest layer, or the default; NULL: none. */
const char *option_current(const struct options *options, enum option option);

/* The keys that say the same in other units, the primary one first, ended by OPTION_NONE; NULL when
 * `option` stands alone. */
const enum option *option_synonyms(enum option option);

/* Where a broker key's value could come from, the strongest first: each of its group's names in each
 * layer, then the defaults; without what stands before the first entry of its own name. Gives the count
 * (at most OPTION_SYNONYMS_MAX). Values are in `arena` or static. */
#define OPTION_SYNONYMS_MAX 12
int option_broker_synonyms(const struct options *options, enum option option, struct arena *arena,
                           struct option_synonym *out);

void report_problem(const struct options_report *report, bool is_error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
