/* Topics: overrides over the broker's values. */
#include "cluster/options_private.h"
#include "base/ensure.h"
#include "base/text.h"
#include <stdio.h>

/* The overrides of one topic, by key. */
struct overrides {
    struct slice text[TOPIC_OPTION_COUNT]; /* null: none */
    struct option_parsed parsed[TOPIC_OPTION_COUNT];
};

/* Puts one pair in. What is wrong with it goes to `why`. */
static enum err overrides_add(struct overrides *overrides, const struct option_pair *pair,
                              char why[OPTION_WHY_MAX])
{
    int option = topic_option_find(pair->key);
    struct option_parsed parsed;

    if (option < 0) {
        snprintf(why, OPTION_WHY_MAX, "is not a topic configuration");
        return ERR_INVALID;
    }
    if (slice_is_null(pair->value)) {
        snprintf(why, OPTION_WHY_MAX, "must have a value");
        return ERR_INVALID;
    }
    const struct topic_option_row *row = &topic_option_rows[option];
    struct slice text = text_trim(pair->value);
    enum err err = option_value_parse(row->type, &row->check, text, why, &parsed);
    if (err != ERR_OK) return err;
    overrides->text[option] = text;
    overrides->parsed[option] = parsed;
    return ERR_OK;
}

/* The broker's value for a topic key that is not overridden, in the topic's unit. */
static struct option_parsed broker_value(const struct options *options, enum topic_option option)
{
    const struct topic_option_row *row = &topic_option_rows[option];
    const enum option *group =
        row->broker_option == OPTION_NONE ? NULL : option_synonyms(row->broker_option);
    struct option_parsed value = {0};
    char why[OPTION_WHY_MAX];

    if (row->broker_option == OPTION_NONE) {
        enum err err =
            option_value_parse(row->type, &row->check, slice_text(row->value), why, &value);
        ensure(err == ERR_OK);
        return value;
    }
    if (group == NULL) return options->values[row->broker_option].parsed;

    /* The first of the group that has a value counts; the last has a default. */
    while (!options_has(options, *group) && group[1] != OPTION_NONE)
        group++;
    value = options->values[*group].parsed;
    if (*group == OPTION_LOG_RETENTION_MINUTES)
        value.number *= 60000;
    else if (*group == OPTION_LOG_RETENTION_HOURS || *group == OPTION_LOG_ROLL_HOURS ||
             *group == OPTION_LOG_ROLL_JITTER_HOURS)
        value.number *= 3600000;
    if (option == TOPIC_OPTION_RETENTION_MS && value.number < 0) value.number = -1;
    return value;
}

static struct option_parsed effective(const struct options *options,
                                      const struct overrides *overrides, enum topic_option option)
{
    return slice_is_null(overrides->text[option]) ? broker_value(options, option)
                                                  : overrides->parsed[option];
}

static struct slice effective_text(const struct options *options, const struct overrides *overrides,
                                   enum topic_option option)
{
    const struct topic_option_row *row = &topic_option_rows[option];

    if (!slice_is_null(overrides->text[option])) return overrides->text[option];
    if (row->broker_option == OPTION_NONE) return slice_text(row->value);
    return slice_text(option_current(options, row->broker_option));
}

static bool list_names(struct slice list, const char *word)
{
    struct slice item;

    for (int i = 0; !slice_is_null(item = list_item(list, i)); i++)
        if (slice_is(item, word)) return true;
    return false;
}

static enum compression_setting compression_of(struct slice text)
{
    static const char *const names[] = {
        [COMPRESSION_SETTING_PRODUCER] = "producer",
        [COMPRESSION_SETTING_UNCOMPRESSED] = "uncompressed",
        [COMPRESSION_SETTING_GZIP] = "gzip",
        [COMPRESSION_SETTING_SNAPPY] = "snappy",
        [COMPRESSION_SETTING_LZ4] = "lz4",
        [COMPRESSION_SETTING_ZSTD] = "zstd",
    };
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (slice_is(text, names[i])) return (enum compression_setting)i;
    return COMPRESSION_SETTING_PRODUCER;
}

/* A bound that was left at "any" falls back to the older key that meant both directions. */
static int64_t timestamp_bound(const struct options *options, const struct overrides *overrides,
                               enum topic_option option)
{
    int64_t bound = effective(options, overrides, option).number;

    if (bound != INT64_MAX) return bound;
    return effective(options, overrides, TOPIC_OPTION_MESSAGE_TIMESTAMP_DIFFERENCE_MAX_MS).number;
}

static void resolve(const struct options *options, const struct overrides *given,
                    struct topic_options *out)
{
#define NUMBER(name) effective(options, given, TOPIC_OPTION_##name).number
#define TEXT(name)   effective_text(options, given, TOPIC_OPTION_##name)
    *out = (struct topic_options){
        .cleanup_compact = list_names(TEXT(CLEANUP_POLICY), "compact"),
        .cleanup_delete = list_names(TEXT(CLEANUP_POLICY), "delete"),
        .compression = compression_of(TEXT(COMPRESSION_TYPE)),
        .compression_gzip_level = (int32_t)NUMBER(COMPRESSION_GZIP_LEVEL),
        .compression_lz4_level = (int32_t)NUMBER(COMPRESSION_LZ4_LEVEL),
        .compression_zstd_level = (int32_t)NUMBER(COMPRESSION_ZSTD_LEVEL),
        .delete_retention_ms = NUMBER(DELETE_RETENTION_MS),
        .file_delete_delay_ms = NUMBER(FILE_DELETE_DELAY_MS),
        .flush_messages = NUMBER(FLUSH_MESSAGES),
        .flush_ms = NUMBER(FLUSH_MS),
        .index_interval_bytes = (int32_t)NUMBER(INDEX_INTERVAL_BYTES),
        .max_compaction_lag_ms = NUMBER(MAX_COMPACTION_LAG_MS),
        .min_compaction_lag_ms = NUMBER(MIN_COMPACTION_LAG_MS),
        .min_cleanable_dirty_ratio =
            effective(options, given, TOPIC_OPTION_MIN_CLEANABLE_DIRTY_RATIO).real,
        .max_message_bytes = (int32_t)NUMBER(MAX_MESSAGE_BYTES),
        .message_downconversion_enable = NUMBER(MESSAGE_DOWNCONVERSION_ENABLE) != 0,
        .timestamp_before_max_ms =
            timestamp_bound(options, given, TOPIC_OPTION_MESSAGE_TIMESTAMP_BEFORE_MAX_MS),
        .timestamp_after_max_ms =
            timestamp_bound(options, given, TOPIC_OPTION_MESSAGE_TIMESTAMP_AFTER_MAX_MS),
        .timestamp_is_append_time = slice_is(TEXT(MESSAGE_TIMESTAMP_TYPE), "LogAppendTime"),
        .min_insync_replicas = (int32_t)NUMBER(MIN_INSYNC_REPLICAS),
        .preallocate = NUMBER(PREALLOCATE) != 0,
        .retention_bytes = NUMBER(RETENTION_BYTES),
        .retention_ms = NUMBER(RETENTION_MS),
        .segment_bytes = (int32_t)NUMBER(SEGMENT_BYTES),
        .segment_index_bytes = (int32_t)NUMBER(SEGMENT_INDEX_BYTES),
        .segment_ms = NUMBER(SEGMENT_MS),
        .segment_jitter_ms = NUMBER(SEGMENT_JITTER_MS),
        .unclean_leader_election_enable = NUMBER(UNCLEAN_LEADER_ELECTION_ENABLE) != 0,
    };
#undef NUMBER
#undef TEXT
}

void topic_options_resolve(const struct options *options, const struct option_pair *pairs,
                           int count, const struct options_report *report,
                           struct topic_options *out)
{
    struct overrides given = {0};
    char why[OPTION_WHY_MAX];

    for (int i = 0; i < count; i++)
        if (overrides_add(&given, &pairs[i], why) != ERR_OK)
            report_problem(report, topic_option_find(pairs[i].key) >= 0, "%.*s=%.*s: %s",
                           SLICE_ARGS(pairs[i].key), SLICE_ARGS(pairs[i].value), why);
    resolve(options, &given, out);
}

static bool is_same_value(const struct options *one, const struct options *other,
                          enum option option)
{
    const char *a = option_current(one, option), *b = option_current(other, option);

    return a == b || (a != NULL && b != NULL && slice_equal(slice_text(a), slice_text(b)));
}

bool topic_options_differ(const struct options *one, const struct options *other)
{
    for (int i = 0; i < TOPIC_OPTION_COUNT; i++) {
        enum option option = topic_option_rows[i].broker_option;
        const enum option *group = option == OPTION_NONE ? NULL : option_synonyms(option);

        if (option != OPTION_NONE && !is_same_value(one, other, option)) return true;
        for (int k = 0; group != NULL && group[k] != OPTION_NONE; k++)
            if (!is_same_value(one, other, group[k])) return true;
    }
    return false;
}

bool option_is_live(enum option option)
{
    static const enum option others[] = {OPTION_LEADER_REPLICATION_THROTTLED_RATE,
                                         OPTION_FOLLOWER_REPLICATION_THROTTLED_RATE,
                                         OPTION_REPLICA_ALTER_LOG_DIRS_IO_MAX_BYTES_PER_SECOND,
                                         OPTION_NUM_REPLICA_FETCHERS,
                                         OPTION_MAX_CONNECTIONS,
                                         OPTION_LOG_CLEANER_BACKOFF_MS,
                                         OPTION_LOG_CLEANER_DEDUPE_BUFFER_SIZE,
                                         OPTION_LOG_CLEANER_IO_BUFFER_LOAD_FACTOR,
                                         OPTION_LOG_CLEANER_IO_MAX_BYTES_PER_SECOND};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (others[i] == option) return true;
    for (int i = 0; i < TOPIC_OPTION_COUNT; i++)
        if (topic_option_rows[i].broker_option == option && option != OPTION_NONE) return true;
    return false;
}

/* What Ottla and ZooKeeper mode do not have: true would be a promise that nobody keeps. */
static const char *remote_refusal(const struct overrides *given)
{
    static const enum topic_option refused[] = {TOPIC_OPTION_REMOTE_STORAGE_ENABLE,
                                                TOPIC_OPTION_REMOTE_LOG_COPY_DISABLE,
                                                TOPIC_OPTION_REMOTE_LOG_DELETE_ON_DISABLE};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (given->parsed[refused[i]].number != 0) return topic_option_rows[refused[i]].key;
    return NULL;
}

enum err topic_options_check(const struct options *options, const struct option_pair *pairs,
                             int count, struct buf *message)
{
    struct overrides given = {0};
    struct topic_options resolved;
    char why[OPTION_WHY_MAX];

    for (int i = 0; i < count; i++) {
        if (topic_option_find(pairs[i].key) < 0) {
            buf_printf(message, "Unknown topic config name: %.*s", SLICE_ARGS(pairs[i].key));
            return ERR_INVALID;
        }
        if (overrides_add(&given, &pairs[i], why) != ERR_OK) {
            buf_printf(message, "Invalid value %.*s for configuration %.*s: %s",
                       SLICE_ARGS(pairs[i].value), SLICE_ARGS(pairs[i].key), why);
            return ERR_INVALID;
        }
    }
    const char *remote = remote_refusal(&given);
    if (remote != NULL) {
        buf_printf(message, "%s cannot be switched on: there is no tiered storage here", remote);
        return ERR_INVALID;
    }
    resolve(options, &given, &resolved);
    if (resolved.min_compaction_lag_ms > resolved.max_compaction_lag_ms) {
        buf_printf(message, "min.compaction.lag.ms=%lld is more than max.compaction.lag.ms=%lld",
                   (long long)resolved.min_compaction_lag_ms,
                   (long long)resolved.max_compaction_lag_ms);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* A value as DescribeConfigs writes it. Those of a group are shown in the topic's unit. */
static struct slice described(const struct options *options, const struct overrides *given,
                              enum topic_option option, struct arena *arena)
{
    const struct topic_option_row *row = &topic_option_rows[option];

    if (row->type == OPTION_TYPE_LONG)
        return arena_printf(arena, "%lld", (long long)effective(options, given, option).number);
    return arena_copy(arena, effective_text(options, given, option));
}

int topic_options_describe(const struct options *options, const struct option_pair *pairs,
                           int count, struct arena *arena, struct option_entry **entries)
{
    struct overrides given = {0};
    char why[OPTION_WHY_MAX];
    struct option_entry *all = arena_zalloc(arena, TOPIC_OPTION_COUNT * sizeof(*all));

    for (int i = 0; i < count; i++) {
        enum err err = overrides_add(&given, &pairs[i], why);
        (void)err; /* a bad one that is stored does not count, as in topic_options_resolve */
    }
    for (int i = 0; i < TOPIC_OPTION_COUNT; i++) {
        const struct topic_option_row *row = &topic_option_rows[i];
        struct option_synonym *synonyms =
            arena_zalloc(arena, (1 + OPTION_SYNONYMS_MAX) * sizeof(*synonyms));
        int n = 0;
        if (!slice_is_null(given.text[i]))
            synonyms[n++] = (struct option_synonym){
                slice_text(row->key), arena_copy(arena, given.text[i]), OPTION_SOURCE_TOPIC};
        if (row->broker_option != OPTION_NONE)
            n += option_broker_synonyms(options, row->broker_option, arena, synonyms + n);
        all[i] = (struct option_entry){
            .name = slice_text(row->key),
            .value = described(options, &given, (enum topic_option)i, arena),
            .source = n > 0 ? synonyms[0].source : OPTION_SOURCE_DEFAULT,
            .type = row->type,
            .doc = slice_text(row->doc),
            .synonyms = synonyms,
            .synonym_count = n,
        };
    }
    *entries = all;
    return TOPIC_OPTION_COUNT;
}
