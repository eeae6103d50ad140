#include "tools/consume.h"
#include "tools/consumer.h"
#include "tools/member.h"
#include "tools/topics_text.h"
#include "tools/usage.h"
#include "base/text.h"
#include "runtime/process.h"
#include <stdio.h>
#include <strings.h>

#define OUT_BYTES 65536

static const struct args_option options[] = {
    {"bootstrap-server", "HOST:PORT,...", ARGS_REQUIRED, "brokers to ask first"},
    {"topic", "NAME", 0, "the topic to read"},
    {"include", "REGEX", 0, "topics to read: a regular expression, or several with commas"},
    {"whitelist", "REGEX", 0, "the same, for old scripts"},
    {"group", "NAME", 0,
     "read as a member of this group: what the group assigns, from what it has committed"},
    {"partition", "N", 0, "only this partition; goes with --topic, not with --group"},
    {"offset", "OFFSET", 0,
     "where to begin: earliest, latest or a number; goes with --partition (latest)"},
    {"from-beginning", NULL, 0,
     "begin with the oldest record instead of the next one, where nothing is committed"},
    {"max-messages", "N", 0, "stop after so many records"},
    {"timeout-ms", "MS", 0, "stop when no record has come for so long"},
    {"skip-message-on-error", NULL, 0, "pass over a record that cannot be printed"},
    {"isolation-level", "LEVEL", 0, "read_uncommitted or read_committed (read_uncommitted)"},
    {"formatter", "CLASS", 0,
     "DefaultMessageFormatter, LoggingMessageFormatter or NoOpMessageFormatter"},
    {"property", "KEY=VALUE", 0,
     "how records are printed: print.timestamp, print.partition, print.offset, print.headers, "
     "print.key, print.value, key.separator, line.separator, headers.separator, null.literal, "
     "key.deserializer, value.deserializer, headers.deserializer; may be repeated"},
    {"formatter-config", "FILE", 0, "the same as a properties file; --property goes before it"},
    {"key-deserializer", "CLASS", 0, "String, ByteArray, Short, Integer or LongDeserializer"},
    {"value-deserializer", "CLASS", 0, "the same for values"},
    {"consumer-property", "KEY=VALUE", 0,
     "fetch.min.bytes, fetch.max.bytes, fetch.max.wait.ms, max.partition.fetch.bytes, "
     "request.timeout.ms, auto.offset.reset, isolation.level, client.id; of a group: group.id, "
     "group.instance.id, session.timeout.ms (45000), heartbeat.interval.ms (3000), "
     "max.poll.interval.ms (300000), enable.auto.commit (true), auto.commit.interval.ms (5000), "
     "partition.assignment.strategy (range); may be repeated"},
    {"consumer.config", "FILE", 0,
     "the same as a properties file; --consumer-property goes before it"},
    {"enable-systest-events", NULL, 0, "print shutdown_complete at the end"},
};

const struct args_command consume_command = {
    .name = "ottla consume",
    .summary = "print the records of topics",
    .more =
        "One of --topic and --include. Without --group all partitions are read, or --partition, "
        "and\n"
        "nothing is committed. With it the members of the group share them, by the strategies "
        "range\n"
        "and roundrobin; what has been printed is committed. Columns: timestamp, partition, "
        "offset,\n"
        "headers, key, value.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

struct job {
    struct args args;
    struct cluster *cluster;
    struct consumer *consumer;
    struct member *member; /* NULL: in no group */
    struct consumer_options options;
    struct member_options group; /* .group NULL: none */
    bool commits;                /* enable.auto.commit */
    struct format_options format;
    struct topics_pattern *pattern;
    struct conf settings, properties; /* what options point into */
    const char *client_id;
    int64_t count, count_max; /* count_max −1: no end */
    int64_t timeout_ms;       /* −1: none */
    bool has_failed, is_interrupted, is_timed_out;
    struct instant last_record;
    struct timer timer;
    struct process_signals signals;
    struct buf out, message;
};

/* ---- options ---- */

static enum err wrong(struct job *job, const char *name, const char *value, const char *range)
{
    buf_printf(&job->message, "%s=%s: must be %s", name, value, range);
    return ERR_INVALID;
}

static enum err set_isolation(struct job *job, const char *value)
{
    job->options.read_committed = strcmp(value, "read_committed") == 0;
    if (job->options.read_committed || strcmp(value, "read_uncommitted") == 0) return ERR_OK;
    return wrong(job, "isolation.level", value, "read_uncommitted or read_committed");
}

static enum err set_reset(struct job *job, const char *value)
{
    struct consumer_options *o = &job->options;

    if (strcmp(value, "earliest") == 0)
        o->reset = CONSUMER_EARLIEST;
    else if (strcmp(value, "latest") == 0)
        o->reset = CONSUMER_LATEST;
    else if (strcmp(value, "none") == 0)
        o->reset = 0;
    else
        return wrong(job, "auto.offset.reset", value, "earliest, latest or none");
    return ERR_OK;
}

/* Of two places that name a group both must say the same. */
static enum err set_group(struct job *job, const char *name)
{
    if (job->group.group != NULL && strcmp(job->group.group, name) != 0) {
        buf_printf(&job->message, "two groups are named: %s and %s", job->group.group, name);
        return ERR_INVALID;
    }
    job->group.group = name;
    return ERR_OK;
}

static enum err set_strategies(struct job *job, const char *key, const char *value)
{
    struct slice left = slice_text(value), name;
    struct member_options *to = &job->group;

    to->assignor_count = 0;
    for (bool more = true; more;) {
        more = slice_cut(&left, ',', &name);
        if (!more) name = left;
        if (to->assignor_count == ASSIGNOR_COUNT ||
            assignor_find(name, &to->assignors[to->assignor_count]) != ERR_OK)
            return wrong(job, key, value, "range, roundrobin or both");
        to->assignor_count++;
    }
    return ERR_OK;
}

static enum err set_setting(struct job *job, const char *key, const char *value)
{
    struct consumer_options *o = &job->options;
    int64_t number = 0;
    const struct {
        const char *key;
        int32_t *out;
        int64_t *out_long;
    } numbers[] = {{"fetch.min.bytes", &o->fetch_bytes_min, NULL},
                   {"fetch.max.bytes", &o->fetch_bytes_max, NULL},
                   {"fetch.max.wait.ms", &o->wait_ms, NULL},
                   {"max.partition.fetch.bytes", &o->partition_bytes_max, NULL},
                   {"request.timeout.ms", NULL, &o->request_timeout_ms},
                   {"retry.backoff.ms", NULL, &o->retry_backoff_ms},
                   {"metadata.max.age.ms", NULL, &o->metadata_max_age_ms},
                   {"session.timeout.ms", &job->group.session_ms, NULL},
                   {"heartbeat.interval.ms", &job->group.heartbeat_ms, NULL},
                   {"max.poll.interval.ms", &job->group.rebalance_ms, NULL},
                   {"auto.commit.interval.ms", NULL, &job->group.commit_ms}};

    if (strcmp(key, "client.id") == 0) job->client_id = value;
    if (strcmp(key, "auto.offset.reset") == 0) return set_reset(job, value);
    if (strcmp(key, "isolation.level") == 0) return set_isolation(job, value);
    if (strcmp(key, "group.id") == 0) return set_group(job, value);
    if (strcmp(key, "group.instance.id") == 0) job->group.instance_id = value;
    if (strcmp(key, "partition.assignment.strategy") == 0) return set_strategies(job, key, value);
    if (strcmp(key, "enable.auto.commit") == 0) {
        job->commits = strcmp(value, "true") == 0;
        if (!job->commits && strcmp(value, "false") != 0)
            return wrong(job, key, value, "true or false");
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(key, numbers[i].key) != 0) continue;
        if (text_int(slice_text(value), 1, INT32_MAX, &number) != ERR_OK)
            return wrong(job, key, value, "a whole number in 1 ... 2147483647");
        if (numbers[i].out != NULL)
            *numbers[i].out = (int32_t)number;
        else
            *numbers[i].out_long = number;
    }
    return ERR_OK;
}

static enum err read_format(struct job *job)
{
    const char *class_name = args_text(&job->args, "formatter", NULL);
    const char *path = args_text(&job->args, "formatter-config", NULL);
    const char *key = args_text(&job->args, "key-deserializer", NULL);
    const char *value = args_text(&job->args, "value-deserializer", NULL);
    enum err err = ERR_OK;

    format_options_init(&job->format);
    if (class_name != NULL && format_options_formatter(&job->format, class_name) != ERR_OK)
        return wrong(job, "--formatter", class_name, "one of the built-in ones");
    if (key != NULL && format_kind_parse(key, &job->format.key_kind) != ERR_OK)
        return wrong(job, "--key-deserializer", key, "one of the built-in ones");
    if (value != NULL && format_kind_parse(value, &job->format.value_kind) != ERR_OK)
        return wrong(job, "--value-deserializer", value, "one of the built-in ones");
    if (path != NULL) err = usage_read_file(path, &job->properties, &job->message);
    for (int i = 0; err == ERR_OK && args_at(&job->args, "property", i) != NULL; i++) {
        struct slice rest = slice_text(args_at(&job->args, "property", i)), name;
        struct buf copy = {0};
        if (!slice_cut(&rest, '=', &name))
            return wrong(job, "--property", (const char *)rest.ptr, "KEY=VALUE");
        buf_add_slice(&copy, name);
        buf_add(&copy, "", 1);
        conf_set(&job->properties, (const char *)copy.ptr, (const char *)rest.ptr, 0);
        buf_fini(&copy);
    }
    map_each (entry, &job->properties.entries) {
        const struct conf_entry *pair = entry->value;
        if (err == ERR_OK &&
            format_options_set(&job->format, pair->key, pair->value) == ERR_INVALID)
            err = wrong(job, pair->key, pair->value, "another value");
    }
    return err;
}

static enum err read_start(struct job *job)
{
    const struct args *args = &job->args;
    const char *offset = args_text(args, "offset", "latest");
    bool from_beginning = args_has(args, "from-beginning");
    struct consumer_options *o = &job->options;
    int64_t partition = -1;

    enum err err = args_number(args, "partition", 0, INT32_MAX, &partition, &job->message);
    if (err != ERR_OK) return err;
    o->partition = (int32_t)partition;
    if (partition >= 0 && !args_has(args, "topic")) {
        buf_add_text(&job->message, "--partition goes with --topic");
        return ERR_INVALID;
    }
    if (args_has(args, "offset") && (partition < 0 || from_beginning)) {
        buf_add_text(&job->message,
                     "--offset goes with --partition, and not with --from-beginning");
        return ERR_INVALID;
    }
    if (from_beginning || strcasecmp(offset, "earliest") == 0)
        o->start = CONSUMER_EARLIEST;
    else if (strcasecmp(offset, "latest") == 0)
        o->start = CONSUMER_LATEST;
    else if (text_int(slice_text(offset), 0, INT64_MAX, &o->start) != ERR_OK)
        return wrong(job, "--offset", offset, "earliest, latest or a number that is not negative");
    if (from_beginning) o->reset = CONSUMER_EARLIEST;
    return ERR_OK;
}

static enum err read_topics(struct job *job)
{
    static const char *const ways[] = {"topic", "include", "whitelist", NULL};
    const char *way = args_one_of(&job->args, ways, &job->message);

    if (way == NULL) return ERR_INVALID;
    if (strcmp(way, "topic") == 0) return ERR_OK;
    const char *text = args_text(&job->args, way, "");
    if (topics_pattern_create(text, &job->pattern) == ERR_OK) return ERR_OK;
    return wrong(job, way, text, "a regular expression");
}

static enum err read_options(struct job *job)
{
    job->options = (struct consumer_options){.reset = CONSUMER_LATEST,
                                             .fetch_bytes_max = 50 << 20,
                                             .partition_bytes_max = 1 << 20,
                                             .wait_ms = 500,
                                             .fetch_bytes_min = 1,
                                             .request_timeout_ms = 30000,
                                             .retry_backoff_ms = 100,
                                             .metadata_max_age_ms = 30000};
    job->group = (struct member_options){.assignors = {ASSIGNOR_RANGE},
                                         .assignor_count = 1,
                                         .session_ms = 45000,
                                         .rebalance_ms = 300000,
                                         .heartbeat_ms = 3000,
                                         .commit_ms = 5000};
    job->commits = true;
    job->client_id = "console-consumer";
    job->count_max = job->timeout_ms = -1;
    enum err err = read_topics(job);
    if (err == ERR_OK) err = read_start(job);
    if (err == ERR_OK)
        err =
            args_number(&job->args, "max-messages", -1, INT64_MAX, &job->count_max, &job->message);
    if (err == ERR_OK)
        err = args_number(&job->args, "timeout-ms", -1, INT32_MAX, &job->timeout_ms, &job->message);
    if (err == ERR_OK) err = read_format(job);
    if (err == ERR_OK)
        err = usage_read_settings(&job->args, "consumer.config", "consumer-property",
                                  &job->settings, &job->message);
    map_each (entry, &job->settings.entries) {
        const struct conf_entry *pair = entry->value;
        if (err == ERR_OK) err = set_setting(job, pair->key, pair->value);
    }
    if (err == ERR_OK && args_has(&job->args, "isolation-level"))
        err = set_isolation(job, args_text(&job->args, "isolation-level", ""));
    if (err == ERR_OK && args_has(&job->args, "group"))
        err = set_group(job, args_text(&job->args, "group", ""));
    if (err == ERR_OK && job->group.group != NULL && args_has(&job->args, "partition")) {
        buf_add_text(&job->message, "--partition does not go with a group");
        err = ERR_INVALID;
    }
    return err;
}

/* ---- records ---- */

static bool wants(void *owner, struct slice topic, bool is_internal)
{
    struct job *job = owner;

    if (job->pattern == NULL) return slice_is(topic, args_text(&job->args, "topic", ""));
    return !is_internal && topics_pattern_matches(job->pattern, topic);
}

/* False when nobody reads any more. */
static bool flush_out(struct job *job)
{
    bool is_written = fwrite(buf_slice(&job->out).ptr, 1, job->out.len, stdout) == job->out.len &&
                      fflush(stdout) == 0;

    buf_clear(&job->out);
    if (!is_written && !job->has_failed) fprintf(stderr, "standard output was closed\n");
    job->has_failed = job->has_failed || !is_written;
    return is_written;
}

static bool take_record(void *owner, const struct format_record *record)
{
    struct job *job = owner;

    if (job->count_max >= 0 && job->count >= job->count_max) return false;
    job->last_record = shard_now(cluster_shard(job->cluster));
    if (format_write(&job->format, record, &job->out) != ERR_OK) {
        fprintf(stderr, "%.*s-%d at offset %lld is not of the form that was asked for\n",
                SLICE_ARGS(record->topic), record->partition, (long long)record->offset);
        if (!args_has(&job->args, "skip-message-on-error")) {
            job->has_failed = true;
            return false;
        }
        return true;
    }
    job->count++;
    if (job->out.len >= OUT_BYTES && !flush_out(job)) return false;
    return job->count_max < 0 || job->count < job->count_max;
}

static void end_round(void *owner)
{
    struct job *job = owner;

    if (job->out.len > 0) (void)flush_out(job);
}

static void interrupted(struct process_signals *signals, int number)
{
    struct job *job = (struct job *)(void *)((char *)signals - offsetof(struct job, signals));

    (void)number;
    job->is_interrupted = true;
}

static void look_at_time(struct timer *timer)
{
    struct job *job = (struct job *)(void *)((char *)timer - offsetof(struct job, timer));
    struct shard *shard = cluster_shard(job->cluster);
    struct instant deadline = instant_add_ms(job->last_record, job->timeout_ms);

    job->is_timed_out = instant_reached(shard_now(shard), deadline);
    if (!job->is_timed_out) timer_arm(shard, timer, deadline);
}

/* Nothing more is wanted. */
static bool is_ended(void *owner)
{
    const struct job *job = owner;

    return job->is_interrupted || job->is_timed_out || job->has_failed;
}

static bool is_over(const struct job *job)
{
    return consumer_is_stopped(job->consumer) || job->is_interrupted || job->is_timed_out ||
           job->has_failed || (job->count_max >= 0 && job->count >= job->count_max);
}

static void join_group(struct job *job)
{
    struct member_options *group = &job->group;
    const struct consumer_options *o = &job->options;

    group->wants = wants;
    group->is_over = is_ended;
    group->owner = job;
    group->start = args_has(&job->args, "from-beginning") ? CONSUMER_EARLIEST : o->reset;
    group->retry_backoff_ms = o->retry_backoff_ms;
    group->metadata_max_age_ms = o->metadata_max_age_ms;
    group->read_committed = o->read_committed;
    if (!job->commits) group->commit_ms = -1;
    job->member = member_open(job->cluster, job->consumer, group);
}

static enum err run(struct job *job)
{
    enum err err = cluster_open(
        &(struct cluster_options){.bootstrap = args_text(&job->args, "bootstrap-server", ""),
                                  .client_id = job->client_id,
                                  .timeout_ms = usage_timeout_ms(&job->settings)},
        &job->cluster, &job->message);
    if (err != ERR_OK) return err;
    job->options.wants = wants;
    job->options.record = take_record;
    job->options.round = end_round;
    job->options.owner = job;
    job->options.is_by_assignment = job->group.group != NULL;
    job->options.start_wait_ms = usage_timeout_ms(&job->settings);
    if (job->timeout_ms >= 0 &&
        (job->options.start_wait_ms == 0 || job->timeout_ms < job->options.start_wait_ms))
        job->options.start_wait_ms = job->timeout_ms > 0 ? job->timeout_ms : 1;
    err = consumer_open(job->cluster, &job->options, &job->consumer, &job->message);
    if (err == ERR_NOT_FOUND)
        buf_printf(&job->message, ": %s",
                   args_text(&job->args, "topic", args_text(&job->args, "include", "")));
    if (err != ERR_OK) return err;
    if (job->group.group != NULL) join_group(job);

    struct shard *shard = cluster_shard(job->cluster);
    process_prepare(); /* from here on an interrupt is an orderly end */
    err = process_signals_open(&job->signals, shard, interrupted);
    if (err != ERR_OK) {
        buf_add_text(&job->message, err_text(err));
        return err;
    }
    job->last_record = env_now(shard->env);
    job->timer.fire = look_at_time;
    if (job->timeout_ms >= 0)
        timer_arm(shard, &job->timer, instant_add_ms(job->last_record, job->timeout_ms));
    while (!is_over(job) && err == ERR_OK) {
        if (job->member != NULL) err = member_poll(job->member, &job->message);
        if (err == ERR_OK && !is_over(job)) cluster_turn(job->cluster);
    }
    /* What could not be printed is not committed. */
    bool is_printed = flush_out(job) && !job->has_failed;
    member_close(&job->member, is_printed);
    process_signals_close(&job->signals);
    timer_cancel(shard, &job->timer);
    const char *failure = consumer_failure(job->consumer);
    if (failure == NULL || err != ERR_OK) return err;
    buf_add_text(&job->message, failure);
    return ERR_IO;
}

int consume_main(int argc, char **argv)
{
    struct job job = {0};
    int status;

    conf_init(&job.settings);
    conf_init(&job.properties);
    if (usage_read(&consume_command, argc, argv, &job.args, &status)) {
        status = 1;
        if (read_options(&job) != ERR_OK) {
            usage_wrong(&consume_command, &job.message);
        } else {
            enum err err = run(&job);
            if (err != ERR_OK) fprintf(stderr, "%.*s\n", SLICE_ARGS(buf_slice(&job.message)));
            if (job.consumer != NULL)
                fprintf(stderr, "Processed a total of %lld messages\n", (long long)job.count);
            if (args_has(&job.args, "enable-systest-events")) printf("shutdown_complete\n");
            status = err != ERR_OK || job.has_failed;
        }
    }
    consumer_close(&job.consumer);
    cluster_close(&job.cluster);
    topics_pattern_destroy(&job.pattern);
    args_fini(&job.args);
    conf_fini(&job.settings);
    conf_fini(&job.properties);
    buf_fini(&job.out);
    buf_fini(&job.message);
    return status;
}
