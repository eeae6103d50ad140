#include "tools/get_offsets.h"
#include "base/ensure.h"
#include "base/text.h"
#include "tools/topics_text.h"
#include "tools/usage.h"
#include "wire/gen/list_offsets.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct args_option options[] = {
    {"bootstrap-server", "HOST:PORT,...", 0, "brokers to ask first"},
    {"broker-list", "HOST:PORT,...", 0, "the same, as it was called before"},
    {"topic", "REGEX", 0, "topics whose whole name matches; all, unless given"},
    {"partitions", "0,1,...", 0, "of these topics only these partitions"},
    {"topic-partitions", "t:0-3,u:1", 0,
     "instead of --topic and --partitions: TOPIC:PARTITIONS, each side may be left out; "
     "0-3 are the partitions 0, 1, 2"},
    {"time", "TIME", 0,
     "latest (the default), earliest, max-timestamp, earliest-local, latest-tiered, -1 to -5 for "
     "these; or ms since 1970: the first record that is not older"},
    {"exclude-internal-topics", NULL, 0, "leave out the topics of groups and transactions"},
    {"command-config", "FILE", 0, "client settings, a properties file"},
};

const struct args_command get_offsets_command = {
    .name = "ottla get-offsets",
    .summary = "where partitions begin and end, or have a time",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

enum err get_offsets_time(const char *text, int64_t *out, struct buf *message)
{
    static const char *const names[] = {"latest", "earliest", "max-timestamp", "earliest-local",
                                        "latest-tiered"};
    int64_t time = 0;

    for (int i = 0; i < 5; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = -1 - i;
            return ERR_OK;
        }
    if (text_int(slice_text(text), -5, INT64_MAX, &time) != ERR_OK) {
        buf_printf(message,
                   "Malformed time argument %s. Please use -1 or latest / -2 or earliest / -3 or "
                   "max-timestamp / -4 or earliest-local / -5 or latest-tiered, or a specified "
                   "long format timestamp",
                   text);
        return ERR_INVALID;
    }
    *out = time;
    return ERR_OK;
}

/* ---- which ---- */

struct rule {
    struct topics_pattern *topic; /* NULL: all */
    int32_t from, below;          /* partitions */
};

struct offsets_wanted {
    struct rule *rules;
    int count;
};

static enum err read_number(struct slice text, int32_t otherwise, int32_t *out)
{
    int64_t number = 0;

    if (text.len == 0) {
        *out = otherwise;
        return ERR_OK;
    }
    if (text_int(text, 0, INT32_MAX, &number) != ERR_OK) return ERR_INVALID;
    *out = (int32_t)number;
    return ERR_OK;
}

/* "", "3", "3-5", "3-", "-5" */
static enum err read_range(struct slice text, struct rule *rule)
{
    struct slice rest = text, from;
    bool is_range = slice_cut(&rest, '-', &from);

    if (text.len == 0) {
        rule->from = 0;
        rule->below = INT32_MAX;
        return ERR_OK;
    }
    enum err err = read_number(is_range ? from : text, 0, &rule->from);
    if (err == ERR_OK && is_range) return read_number(rest, INT32_MAX, &rule->below);
    if (err == ERR_OK) rule->below = rule->from == INT32_MAX ? INT32_MAX : rule->from + 1;
    return err;
}

static enum err read_topic(struct slice text, struct rule *rule)
{
    if (text.len == 0) return ERR_OK;
    char *name = ensure_malloc(text.len + 1);
    memcpy(name, text.ptr, text.len);
    name[text.len] = '\0';
    enum err err = topics_pattern_create(name, &rule->topic);
    free(name);
    return err;
}

static enum err add_rule(struct offsets_wanted *wanted, struct slice topic, struct slice range)
{
    struct rule rule = {0};

    enum err err = read_range(range, &rule);
    if (err == ERR_OK) err = read_topic(topic, &rule);
    if (err != ERR_OK) return err;
    wanted->rules =
        ensure_realloc(wanted->rules, sizeof(*wanted->rules) * (size_t)(wanted->count + 1));
    wanted->rules[wanted->count++] = rule;
    return ERR_OK;
}

/* The topic ends at the last colon. */
static enum err add_pair(struct offsets_wanted *wanted, struct slice pair)
{
    size_t at = pair.len;

    while (at > 0 && pair.ptr[at - 1] != ':')
        at--;
    if (at == 0) return add_rule(wanted, pair, SLICE(""));
    return add_rule(wanted, slice_of(pair.ptr, at - 1), slice_of(pair.ptr + at, pair.len - at));
}

static enum err add_list(struct offsets_wanted *wanted, const char *rules, const char *topic,
                         const char *partitions)
{
    struct slice rest = slice_text(rules != NULL ? rules : partitions != NULL ? partitions : "");
    struct slice item, of = slice_text(topic == NULL ? "" : topic);
    enum err err = ERR_OK;

    if (rest.len == 0) return add_rule(wanted, of, SLICE(""));
    for (bool more = true; err == ERR_OK && more;) {
        more = slice_cut(&rest, ',', &item);
        item = text_trim(more ? item : rest);
        if (item.len == 0) return ERR_INVALID;
        err = rules != NULL ? add_pair(wanted, item) : add_rule(wanted, of, item);
    }
    return err;
}

enum err offsets_wanted_create(const char *rules, const char *topic, const char *partitions,
                               struct offsets_wanted **out, struct buf *message)
{
    if (rules != NULL && (topic != NULL || partitions != NULL)) {
        buf_add_text(message, "--topic-partitions cannot be used with --topic or --partitions");
        return ERR_INVALID;
    }
    struct offsets_wanted *wanted = ensure_zalloc(sizeof(*wanted));
    enum err err = add_list(wanted, rules, topic, partitions);
    if (err == ERR_OK) {
        *out = wanted;
        return ERR_OK;
    }
    offsets_wanted_destroy(&wanted);
    buf_add_text(message, rules != NULL ? "--topic-partitions is no list of TOPIC:PARTITIONS"
                                        : "--topic is no regular expression, or --partitions no "
                                          "list of partitions");
    return ERR_INVALID;
}

void offsets_wanted_destroy(struct offsets_wanted **wanted)
{
    if (*wanted == NULL) return;
    for (int i = 0; i < (*wanted)->count; i++)
        topics_pattern_destroy(&(*wanted)->rules[i].topic);
    free((*wanted)->rules);
    free(*wanted);
    *wanted = NULL;
}

bool offsets_wanted_has(const struct offsets_wanted *wanted, struct slice topic, int32_t partition)
{
    for (int i = 0; i < wanted->count; i++) {
        const struct rule *rule = &wanted->rules[i];
        if (partition >= rule->from && partition < rule->below &&
            (rule->topic == NULL || topics_pattern_matches(rule->topic, topic)))
            return true;
    }
    return false;
}

void get_offsets_print(const struct led_part *parts, int count, struct buf *out, struct buf *errors)
{
    for (int i = 0; i < count; i++) {
        struct slice topic = parts[i].at.topic;
        if (parts[i].code != KAFKA_NONE)
            buf_printf(errors,
                       "Skip getting offsets for topic-partition %.*s-%d due to error: %s\n",
                       SLICE_ARGS(topic), parts[i].at.partition, kafka_error_name(parts[i].code));
        else if (parts[i].answer >= 0)
            buf_printf(out, "%.*s:%d:%lld\n", SLICE_ARGS(topic), parts[i].at.partition,
                       (long long)parts[i].answer);
    }
}

/* ---- asking ---- */

struct session {
    const struct args *args;
    struct cluster *cluster;
    struct arena *arena;
    struct buf *message;
    struct offsets_wanted *wanted;
    int64_t time;
    struct led_part *parts;
    int count;
};

static int by_place(const void *a, const void *b)
{
    return topic_partition_compare(((const struct led_part *)a)->at,
                                   ((const struct led_part *)b)->at);
}

static enum err choose(struct session *s)
{
    struct cluster_request request = {0};
    const struct metadata_response *metadata = NULL;
    bool no_internal = args_has(s->args, "exclude-internal-topics");
    size_t room = 1;

    enum err err = cluster_metadata(s->cluster, NULL, -1, false, &request, &metadata, s->message);
    if (err != ERR_OK) return err;
    for (int32_t t = 0; t < metadata->topics.count; t++)
        room += (size_t)metadata->topics.at[t].partitions.count;
    s->parts = arena_zalloc(s->arena, sizeof(*s->parts) * room);
    for (int32_t t = 0; t < metadata->topics.count; t++) {
        const struct metadata_response_topic *topic = &metadata->topics.at[t];
        if (no_internal && topic->is_internal) continue;
        struct slice name = arena_copy(s->arena, topic->name);
        for (int32_t p = 0; p < topic->partitions.count; p++) {
            int32_t partition = topic->partitions.at[p].partition_index;
            if (offsets_wanted_has(s->wanted, name, partition))
                s->parts[s->count++] =
                    (struct led_part){.at = {name, partition}, .wanted = s->time};
        }
    }
    cluster_request_fini(&request);
    if (s->count > 1) qsort(s->parts, (size_t)s->count, sizeof(*s->parts), by_place);
    if (s->count > 0) return ERR_OK;
    buf_add_text(s->message, "Could not match any topic-partitions with the specified filters");
    return ERR_NOT_FOUND;
}

static void read_answer(const struct list_offsets_response *response, struct led_part **parts,
                        int count)
{
    int at = 0;

    for (int32_t t = 0; t < response->topics.count; t++)
        for (int32_t p = 0; p < response->topics.at[t].partitions.count; p++, at = (at + 1) % count)
            for (int i = 0; i < count; i++, at = (at + 1) % count) { /* mostly the next one */
                const struct list_offsets_response_topic_partition *from =
                    &response->topics.at[t].partitions.at[p];
                if (!slice_equal(parts[at]->at.topic, response->topics.at[t].name) ||
                    parts[at]->at.partition != from->partition_index)
                    continue;
                parts[at]->code = from->error_code;
                parts[at]->answer = from->offset;
                break;
            }
}

/* The oldest version that knows the time; below 1 there is no one offset. */
static int16_t least_version(int64_t time)
{
    return time == -3 ? 7 : time == -4 ? 8 : time == -5 ? 9 : 1;
}

static enum err ask(void *owner, int32_t leader, struct led_part **parts, int count)
{
    struct session *s = owner;
    struct list_offsets_request body;
    struct cluster_request request = {
        .api = API_LIST_OFFSETS, .body = &body, .version_min = least_version(s->time)};
    struct list_offsets_request_topic_partition *each =
        arena_zalloc(s->arena, sizeof(*each) * (size_t)count);

    wire_default(&list_offsets_request_wire, &body);
    body.topics.at = arena_zalloc(s->arena, sizeof(*body.topics.at) * (size_t)count);
    body.topics.count = 0;
    for (int i = 0; i < count; i++) {
        each[i] = (struct list_offsets_request_topic_partition){
            .partition_index = parts[i]->at.partition,
            .current_leader_epoch = -1,
            .timestamp = parts[i]->wanted,
            .max_num_offsets = 1,
        };
        if (i == 0 || !slice_equal(parts[i]->at.topic, parts[i - 1]->at.topic)) {
            body.topics.at[body.topics.count].name = parts[i]->at.topic;
            body.topics.at[body.topics.count++].partitions.at = &each[i];
        }
        body.topics.at[body.topics.count - 1].partitions.count++;
    }
    enum err err = cluster_ask(s->cluster, leader, true, &request, s->message);
    if (err != ERR_OK) return err;
    read_answer(request.response, parts, count);
    cluster_request_fini(&request);
    return ERR_OK;
}

static enum err run(struct session *s)
{
    static const char *const servers[] = {"bootstrap-server", "broker-list", NULL};
    struct conf settings;

    conf_init(&settings);
    const char *server = args_one_of(s->args, servers, s->message);
    enum err err = server == NULL ? ERR_INVALID : ERR_OK;
    if (err == ERR_OK)
        err = usage_read_settings(s->args, "command-config", NULL, &settings, s->message);
    if (err == ERR_OK)
        err = get_offsets_time(args_text(s->args, "time", "latest"), &s->time, s->message);
    if (err == ERR_OK)
        err = offsets_wanted_create(args_text(s->args, "topic-partitions", NULL),
                                    args_text(s->args, "topic", NULL),
                                    args_text(s->args, "partitions", NULL), &s->wanted, s->message);
    if (err == ERR_OK)
        err = cluster_open(&(struct cluster_options){.bootstrap = args_text(s->args, server, ""),
                                                     .client_id = "get-offsets-command",
                                                     .timeout_ms = usage_timeout_ms(&settings)},
                           &s->cluster, s->message);
    if (err == ERR_OK) err = choose(s);
    if (err == ERR_OK)
        err = by_leader(s->cluster, s->parts, s->count, ask, s, s->arena, s->message);
    cluster_close(&s->cluster);
    offsets_wanted_destroy(&s->wanted);
    conf_fini(&settings);
    return err;
}

int get_offsets_main(int argc, char **argv)
{
    struct args args;
    struct arena arena;
    struct buf message = {0}, out = {0}, errors = {0};
    struct session s = {.args = &args, .arena = &arena, .message = &message};
    int status;

    arena_init(&arena, (size_t)1 << 40);
    if (usage_read(&get_offsets_command, argc, argv, &args, &status)) {
        enum err err = run(&s);
        if (err == ERR_OK)
            get_offsets_print(s.parts, s.count, &out, &errors);
        else
            buf_printf(&errors, "Error occurred: %.*s\n", SLICE_ARGS(buf_slice(&message)));
        fwrite(buf_slice(&out).ptr, 1, out.len, stdout);
        fwrite(buf_slice(&errors).ptr, 1, errors.len, stderr);
        fflush(stdout);
        status = err == ERR_OK ? 0 : 1;
    }
    args_fini(&args);
    buf_fini(&message);
    buf_fini(&out);
    buf_fini(&errors);
    arena_fini(&arena);
    return status;
}
