/* cluster/options.h - the configuration registry: every key of server.properties and of topics.
 *
 * A set of options has a value for each key: from the file, changed at run time, or the default. It is
 * plain data without threads: whoever changes one at run time copies it and hands the copy round, as
 * with metadata images. Problems are told to a report, in words for an operator; nothing is logged.
 * Keys, defaults, ranges and dynamic classes: configs.md. Ottla's own: the end of options_broker.inc. */
#pragma once
#include "base/arena.h"
#include "base/conf.h"
#include "cluster/level.h"

enum option {
    OPTION_NONE = -1,
#define OPTION(name, ...) OPTION_##name,
#include "cluster/options_broker.inc"
#undef OPTION
    OPTION_COUNT
};

enum topic_option {
#define TOPIC_OPTION(name, ...) TOPIC_OPTION_##name,
#include "cluster/options_topic.inc"
#undef TOPIC_OPTION
    TOPIC_OPTION_COUNT
};

/* Values are those of DescribeConfigs. */
enum option_type {
    OPTION_TYPE_UNKNOWN = 0,
    OPTION_TYPE_BOOLEAN = 1,
    OPTION_TYPE_STRING = 2,
    OPTION_TYPE_INT = 3,
    OPTION_TYPE_SHORT = 4,
    OPTION_TYPE_LONG = 5,
    OPTION_TYPE_DOUBLE = 6,
    OPTION_TYPE_LIST = 7,
    OPTION_TYPE_CLASS = 8,
    OPTION_TYPE_PASSWORD = 9,
};

enum option_source {
    OPTION_SOURCE_TOPIC = 1,           /* override of a topic */
    OPTION_SOURCE_DYNAMIC_BROKER = 2,  /* /config/brokers/<id> */
    OPTION_SOURCE_DYNAMIC_DEFAULT = 3, /* /config/brokers/<default> */
    OPTION_SOURCE_STATIC = 4,          /* server.properties, --override */
    OPTION_SOURCE_DEFAULT = 5,
};

enum option_dynamic {
    OPTION_READ_ONLY,    /* needs a restart */
    OPTION_CLUSTER_WIDE, /* at run time, for all brokers or for one */
    OPTION_PER_BROKER,   /* at run time, for one broker */
};

/* How problems are told. `is_error` false: a warning, the work goes on. `message` is one line without a
 * newline, valid during the call. A NULL report is silent. */
struct options_report {
    void (*problem)(void *to, bool is_error, const char *message);
    void *to;
};

struct options;

/* All defaults. */
struct options *options_create(void);
struct options *options_copy(const struct options *options);
void options_destroy(struct options **options); /* sets it to NULL; NULL is fine */

/* Takes the values of `conf`; `file` names it in messages (borrowed during the call). An unknown key is
 * a warning and is kept (options_unknown). ERR_INVALID if some value is bad: all are reported. */
MUST_CHECK enum err options_load(struct options *options, const struct conf *conf, const char *file,
                                 const struct options_report *report);

enum options_process { OPTIONS_BROKER, OPTIONS_CONTROLLER };

/* What must hold between keys before a process may start (apis.md §13), and values that mean something
 * Ottla does not do yet. ERR_INVALID or ERR_UNSUPPORTED: all problems are reported. Listeners are
 * checked by listeners_read, which this calls. */
MUST_CHECK enum err options_check(const struct options *options, enum options_process process,
                                  const struct options_report *report);

/* Sets (or with NULL takes away) a value at run time, from /config/brokers. ERR_INVALID with a report:
 * bad value, or the key is read-only or not allowed for `source`. Unknown keys are kept. */
MUST_CHECK enum err options_set_dynamic(struct options *options, enum option_source source,
                                        const char *key, const char *value,
                                        const struct options_report *report);

/* Typed values. The getter must fit the type of the key (a bug otherwise); int serves SHORT and INT, and
 * long also serves them. A key without value (options_has is false) gives −1, false, NULL or 0. */
bool options_has(const struct options *options, enum option option);
int32_t options_int(const struct options *options, enum option option);
int64_t options_long(const struct options *options, enum option option);
double options_double(const struct options *options, enum option option);
bool options_bool(const struct options *options, enum option option);
/* STRING, CLASS, PASSWORD. Borrowed until the value changes; NULL: none. */
const char *options_text(const struct options *options, enum option option);
/* LIST: its items, trimmed, in order; `index` from 0, null behind the last. Borrowed likewise. */
struct slice options_item(const struct options *options, enum option option, int index);
bool options_list_has(const struct options *options, enum option option, const char *item);
enum option_source options_source(const struct options *options, enum option option);
/* True if it was given anywhere (its source is not the default). */
bool options_is_set(const struct options *options, enum option option);

/* What several keys say together. */
enum level options_level(const struct options *options); /* inter.broker.protocol.version */
/* replica.selector.class is the one that Kafka has for racks, by its Java name or the last part. */
bool options_reads_by_rack(const struct options *options);
int32_t options_zookeeper_connection_timeout_ms(const struct options *options);
/* log.dirs, or log.dir: `index` from 0, null behind the last. Borrowed. */
struct slice options_log_dir(const struct options *options, int index);
/* key or listener.name.<name>.key: max.connections and the like, per listener. */
int64_t options_listener_long(const struct options *options, struct slice listener,
                              enum option option);

/* About a key. */
const char *option_key(enum option option);
enum option_type option_type(enum option option);
enum option_dynamic option_dynamic(enum option option);
const char *option_default(enum option option); /* NULL: none */
const char *option_doc(enum option option);
/* Ottla acts on a change at run time; of other keys it takes the value at the start. */
bool option_is_live(enum option option);
bool option_is_internal(enum option option); /* not shown unless set */
bool option_is_common(enum option option);   /* one that operators set */
/* What a value may be, for people: "at least 1", "one of a, b"; "" when anything goes. */
const char *option_range(enum option option, char *text, size_t size);
/* OPTION_NONE when there is no such key. */
enum option option_find(struct slice key);

/* Every key with its value, for --print-config: a section for each source, its name in a comment line.
 * It can be read back as a server.properties. Secrets are hidden. */
void options_print(const struct options *options, struct buf *out);
/* Keys that the registry does not know, with their values, in the order of the file. */
const struct conf *options_unknown(const struct options *options);

/* One entry of DescribeConfigs. In the caller's arena, or static. */
struct option_synonym {
    struct slice name;
    struct slice value; /* null: none, or secret */
    enum option_source source;
};
struct option_entry {
    struct slice name;
    struct slice value; /* null: none, or secret */
    enum option_source source;
    enum option_type type;
    bool is_read_only;
    bool is_sensitive;
    struct slice doc;
    const struct option_synonym *synonyms;
    int synonym_count;
};

/* Broker `entries`: all known keys (internal ones only if set) and the unknown ones. With
 * `defaults_only` the cluster-wide dynamic values and nothing else. Gives the count. */
int options_describe(const struct options *options, bool defaults_only, struct arena *arena,
                     struct option_entry **entries);

/* ---- topics ---- */

/* One override, as in /config/topics/<name> and in CreateTopics. */
struct option_pair {
    struct slice key;
    struct slice value; /* null in a request is an error of its sender */
};

enum compression_setting {
    COMPRESSION_SETTING_PRODUCER,
    COMPRESSION_SETTING_UNCOMPRESSED,
    COMPRESSION_SETTING_GZIP,
    COMPRESSION_SETTING_SNAPPY,
    COMPRESSION_SETTING_LZ4,
    COMPRESSION_SETTING_ZSTD,
};

/* The effective configuration of one topic, resolved: what its log and its partitions ask. */
struct topic_options {
    bool cleanup_compact, cleanup_delete;
    enum compression_setting compression;
    int32_t compression_gzip_level, compression_lz4_level, compression_zstd_level;
    int64_t delete_retention_ms;
    int64_t file_delete_delay_ms;
    int64_t flush_messages, flush_ms;
    int32_t index_interval_bytes;
    int64_t max_compaction_lag_ms, min_compaction_lag_ms;
    double min_cleanable_dirty_ratio;
    int32_t max_message_bytes;
    bool message_downconversion_enable;
    int64_t timestamp_before_max_ms, timestamp_after_max_ms;
    bool timestamp_is_append_time; /* message.timestamp.type=LogAppendTime */
    int32_t min_insync_replicas;
    bool preallocate;
    int64_t retention_bytes, retention_ms; /* negative: without limit */
    int32_t segment_bytes, segment_index_bytes;
    int64_t segment_ms, segment_jitter_ms;
    bool unclean_leader_election_enable;
};

/* Overrides that are bad (an error) or unknown (a warning) are reported and left out: what is stored is
 * never a reason not to open a log. */
void topic_options_resolve(const struct options *options, const struct option_pair *pairs, int count,
                           const struct options_report *report, struct topic_options *out);

/* What a request wants to set, the whole of a topic's overrides. ERR_INVALID and a message for the
 * client (INVALID_CONFIG): unknown key, null or bad value, keys that contradict each other. */
MUST_CHECK enum err topic_options_check(const struct options *options,
                                        const struct option_pair *pairs, int count,
                                        struct buf *message);

/* All topic keys, with synonyms under the broker's names. Gives the count. */
int topic_options_describe(const struct options *options, const struct option_pair *pairs, int count,
                           struct arena *arena, struct option_entry **entries);

/* Whether a topic without overrides could be configured otherwise by one than by the other. */
bool topic_options_differ(const struct options *one, const struct options *other);

const char *topic_option_key(enum topic_option option);
/* −1 when there is no such key. */
int topic_option_find(struct slice key);
enum option_type topic_option_type(enum topic_option option);
