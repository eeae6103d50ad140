#include "tools/reassign.h"
#include "tools/cluster_client.h"
#include "tools/config_client.h"
#include "tools/log_dirs_text.h"
#include "tools/reassign_dirs.h"
#include "tools/reassign_throttle.h"
#include "tools/usage.h"
#include "base/ensure.h"
#include "cluster/assign.h"
#include "runtime/env_posix.h"
#include "wire/gen/alter_partition_reassignments.h"
#include "wire/gen/list_partition_reassignments.h"
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_GRACE_MS 5000
#define DIR_RETRY_MS    100

static const struct args_option options[] = {
    {"bootstrap-server", "HOST:PORT,...", 0, "brokers to ask first"},
    {"generate", NULL, 0, "print where the topics are, and a proposal for the brokers given"},
    {"execute", NULL, 0, "begin to move partitions"},
    {"verify", NULL, 0, "print how far the moves of a list have come"},
    {"cancel", NULL, 0, "take back those moves of a list that still run"},
    {"list", NULL, 0, "print all moves that run"},
    {"reassignment-json-file", "FILE", 0,
     "--execute, --verify, --cancel: the partitions and their brokers"},
    {"topics-to-move-json-file", "FILE", 0, "--generate: the topics"},
    {"broker-list", "1,2,3", 0, "--generate: the brokers that shall have them"},
    {"disable-rack-aware", NULL, 0, "--generate: do not spread replicas over racks"},
    {"additional", NULL, 0, "--execute: although other moves run; or to change their throttle"},
    {"throttle", "BYTES", 0,
     "--execute: so many bytes per second from and to each broker, until --verify finds all "
     "moved"},
    {"replica-alter-log-dirs-throttle", "BYTES", 0,
     "--execute: so many bytes per second between the log dirs of each broker, until --verify "
     "finds "
     "all moved"},
    {"preserve-throttles", NULL, 0, "--verify, --cancel: leave the throttles as they are"},
    {"timeout", "MS", 0, "how long a move may take to begin (10000)"},
    {"command-config", "FILE", 0, "client settings, a properties file"},
};

const struct args_command reassign_command = {
    .name = "ottla reassign",
    .summary = "move partitions to other brokers, and to other log dirs",
    .more = "One action, and --bootstrap-server.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

struct session {
    const struct args *args;
    struct arena *arena;
    struct cluster *cluster;
    struct move_list wanted; /* of the file, with those actions that have one */
    struct slice *topics;    /* likewise, or for --generate */
    int32_t topic_count;
    struct broker_ids brokers; /* for --generate */
    int64_t timeout_ms;
    int64_t throttle, dirs_throttle; /* −1: none */
    struct dir_move_list dir_moves;  /* those of `wanted` that name a log dir */
    struct cluster_request metadata_request;
    const struct metadata_response *metadata;
    struct buf *out, *message;
};

/* ---- the command line ---- */

static bool needs_list(const char *action)
{
    return strcmp(action, "execute") == 0 || strcmp(action, "verify") == 0 ||
           strcmp(action, "cancel") == 0;
}

/* What goes with which action. */
static const char *misuse(const struct args *args, const char *action)
{
    bool is_new = strcmp(action, "generate") == 0, is_list = strcmp(action, "list") == 0;
    bool is_execute = strcmp(action, "execute") == 0;

    if (!args_has(args, "bootstrap-server")) return "--bootstrap-server is missing";
    if (needs_list(action) != args_has(args, "reassignment-json-file"))
        return needs_list(action) ? "--reassignment-json-file is missing"
                                  : "--reassignment-json-file goes with --execute, --verify and "
                                    "--cancel only";
    if (is_new && !(args_has(args, "topics-to-move-json-file") && args_has(args, "broker-list")))
        return "--generate needs --topics-to-move-json-file and --broker-list";
    if (!is_new && (args_has(args, "topics-to-move-json-file") || args_has(args, "broker-list") ||
                    args_has(args, "disable-rack-aware")))
        return "--topics-to-move-json-file, --broker-list and --disable-rack-aware go with "
               "--generate only";
    if (!is_execute && args_has(args, "additional")) return "--additional goes with --execute only";
    if (!is_execute &&
        (args_has(args, "throttle") || args_has(args, "replica-alter-log-dirs-throttle")))
        return "--throttle and --replica-alter-log-dirs-throttle go with --execute only";
    if ((is_new || is_execute || is_list) && args_has(args, "preserve-throttles"))
        return "--preserve-throttles goes with --verify and --cancel only";
    return NULL;
}

/* The topics of the list, each once: it is sorted. */
static void note_topics(struct session *s)
{
    s->topics = arena_zalloc(s->arena, (size_t)(s->wanted.count + 1) * sizeof(*s->topics));
    for (int32_t i = 0; i < s->wanted.count; i++)
        if (i == 0 || !slice_equal(s->wanted.at[i].at.topic, s->wanted.at[i - 1].at.topic))
            s->topics[s->topic_count++] = s->wanted.at[i].at.topic;
}

static enum err read_documents(struct session *s, const char *action)
{
    const char *option = needs_list(action) ? "reassignment-json-file" : "topics-to-move-json-file";
    const char *path = args_text(s->args, option, NULL);
    struct buf text = {0}, why = {0};

    if (path == NULL) return ERR_OK;
    enum err err = usage_read_text(path, &text, s->message);
    if (err == ERR_OK) {
        if (needs_list(action))
            err = reassign_read(buf_slice(&text), s->arena, &s->wanted, &why);
        else
            err =
                reassign_read_topics(buf_slice(&text), s->arena, &s->topics, &s->topic_count, &why);
        if (err != ERR_OK) buf_printf(s->message, "%s: %.*s", path, SLICE_ARGS(buf_slice(&why)));
    }
    if (err == ERR_OK && needs_list(action)) {
        note_topics(s);
        dir_moves_of(&s->wanted, s->arena, &s->dir_moves);
    }
    if (err == ERR_OK && !needs_list(action))
        err = reassign_read_brokers(slice_text(args_text(s->args, "broker-list", "")), s->arena,
                                    &s->brokers, s->message);
    buf_fini(&text);
    buf_fini(&why);
    return err;
}

/* ---- questions ---- */

static enum err refuse(struct session *s, int16_t code, struct slice text)
{
    if (slice_is_null(text) || text.len == 0)
        buf_add_text(s->message, kafka_error_name(code));
    else
        buf_printf(s->message, "%.*s (%s)", SLICE_ARGS(text), kafka_error_name(code));
    return ERR_DENIED;
}

static int16_t listed_code(const void *response)
{
    return ((const struct list_partition_reassignments_response *)response)->error_code;
}

/* All that moves; for cluster_request_fini. */
static enum err ask_moving(struct session *s, struct cluster_request *request)
{
    struct list_partition_reassignments_request body;

    wire_default(&list_partition_reassignments_request_wire, &body);
    body.topics.count = -1;
    body.timeout_ms = (int32_t)s->timeout_ms;
    *request = (struct cluster_request){.api = API_LIST_PARTITION_REASSIGNMENTS,
                                        .body = &body,
                                        .timeout_ms = s->timeout_ms + ANSWER_GRACE_MS};
    enum err err = cluster_ask_controller(s->cluster, request, listed_code, s->message);
    request->body = NULL;
    if (err != ERR_OK) return err;
    const struct list_partition_reassignments_response *response = request->response;
    if (response->error_code == KAFKA_NONE) return ERR_OK;
    err = refuse(s, response->error_code, response->error_message);
    cluster_request_fini(request);
    return err;
}

/* The partitions that move, as they are now; borrows from the answer. */
static void list_moving(const struct cluster_request *request, struct arena *arena,
                        struct move_list *out)
{
    const struct list_partition_reassignments_response *response = request->response;
    int32_t count = 0;

    for (int32_t t = 0; t < response->topics.count; t++)
        count += response->topics.at[t].partitions.count;
    *out = (struct move_list){.at = arena_zalloc(arena, (size_t)(count + 1) * sizeof(*out->at))};
    for (int32_t t = 0; t < response->topics.count; t++)
        for (int32_t i = 0; i < response->topics.at[t].partitions.count; i++) {
            const struct list_partition_reassignments_response_topic_partition *p =
                &response->topics.at[t].partitions.at[i];
            out->at[out->count++] =
                (struct move){.at = {response->topics.at[t].name, p->partition_index},
                              .replicas = {p->replicas.at, p->replicas.count}};
        }
    reassign_sort(out);
}

static struct broker_ids adding_of(const struct list_partition_reassignments_response *response,
                                   struct topic_partition at)
{
    for (int32_t t = 0; t < response->topics.count; t++)
        for (int32_t i = 0; slice_equal(response->topics.at[t].name, at.topic) &&
                            i < response->topics.at[t].partitions.count;
             i++) {
            const struct list_partition_reassignments_response_topic_partition *p =
                &response->topics.at[t].partitions.at[i];
            if (p->partition_index == at.partition)
                return (struct broker_ids){p->adding_replicas.at, p->adding_replicas.count};
        }
    return (struct broker_ids){0};
}

static bool topic_exists(const struct session *s, struct slice name)
{
    for (int32_t t = 0; t < s->metadata->topics.count; t++)
        if (slice_equal(s->metadata->topics.at[t].name, name))
            return s->metadata->topics.at[t].error_code == KAFKA_NONE;
    return false;
}

static enum err ask_metadata(struct session *s)
{
    return cluster_metadata(s->cluster, s->topics, s->topic_count, false, &s->metadata_request,
                            &s->metadata, s->message);
}

/* Where the partitions of the topics are; with `must_exist` all topics must be there. */
static enum err current_assignment(struct session *s, bool must_exist, struct move_list *out)
{
    int32_t count = 0;

    for (int32_t t = 0; t < s->metadata->topics.count; t++) {
        const struct metadata_response_topic *topic = &s->metadata->topics.at[t];
        if (topic->partitions.count > 0) count += topic->partitions.count;
        if (topic->error_code == KAFKA_NONE || !must_exist) continue;
        buf_printf(s->message, "Topic %.*s: ", SLICE_ARGS(topic->name));
        return refuse(s, topic->error_code, SLICE_NULL);
    }
    *out = (struct move_list){.at = arena_zalloc(s->arena, (size_t)(count + 1) * sizeof(*out->at))};
    for (int32_t t = 0; t < s->metadata->topics.count; t++) {
        const struct metadata_response_topic *topic = &s->metadata->topics.at[t];
        for (int32_t i = 0; i < topic->partitions.count; i++)
            out->at[out->count++] =
                (struct move){.at = {topic->name, topic->partitions.at[i].partition_index},
                              .replicas = {topic->partitions.at[i].replica_nodes.at,
                                           topic->partitions.at[i].replica_nodes.count}};
    }
    reassign_sort(out);
    return ERR_OK;
}

/* ---- --generate ---- */

static const struct metadata_response_broker *live_broker(const struct session *s, int32_t id)
{
    for (int32_t i = 0; i < s->metadata->brokers.count; i++)
        if (s->metadata->brokers.at[i].node_id == id) return &s->metadata->brokers.at[i];
    return NULL;
}

static enum err brokers_to_use(struct session *s, struct assign_broker *brokers)
{
    bool by_rack = !args_has(s->args, "disable-rack-aware");

    for (int32_t i = 0; i < s->brokers.count; i++) {
        const struct metadata_response_broker *broker = live_broker(s, s->brokers.at[i]);
        if (broker == NULL) {
            buf_printf(s->message, "Unknown broker %d", s->brokers.at[i]);
            return ERR_INVALID;
        }
        brokers[i] = (struct assign_broker){broker->node_id, by_rack ? broker->rack : SLICE_NULL};
    }
    return ERR_OK;
}

static int by_id(const void *a, const void *b)
{
    const struct assign_broker *one = a, *other = b;

    return (one->id > other->id) - (one->id < other->id);
}

/* Partitions first … last of one topic; they get as many replicas as the first of them has. */
static enum err propose_topic(struct session *s, const struct assign_broker *brokers,
                              const struct move_list *now, int32_t first, int32_t count,
                              struct move_list *out)
{
    static const char *const refusals[] = {
        [ASSIGN_OK] = "",
        [ASSIGN_PARTITIONS] = "it has no partitions",
        [ASSIGN_REPLICATION] = "it has more replicas than brokers are given",
        [ASSIGN_RACKS] = "some brokers have a rack and some have none; --disable-rack-aware places "
                         "without racks",
    };
    int32_t factor = now->at[first].replicas.count;
    struct env *env = env_posix_create(NULL);
    struct assign_request request = {
        .brokers = brokers,
        .broker_count = s->brokers.count,
        .partition_count = count,
        .replication_factor = factor,
        .start = (int32_t)(env_random(env, "assignment") % (uint64_t)s->brokers.count),
        .shift = (int32_t)(env_random(env, "assignment") % (uint64_t)s->brokers.count),
    };
    env_posix_destroy(&env);
    int32_t *ids = arena_zalloc(s->arena, ((size_t)count * (size_t)factor + 1) * sizeof(*ids));

    enum assign_refusal refusal = assign_replicas(&request, ids);
    if (refusal != ASSIGN_OK) {
        buf_printf(s->message, "Topic %.*s: %s", SLICE_ARGS(now->at[first].at.topic),
                   refusals[refusal]);
        return ERR_INVALID;
    }
    for (int32_t i = 0; i < count; i++)
        out->at[out->count++] = (struct move){
            .at = now->at[first + i].at, .replicas = {ids + (size_t)i * (size_t)factor, factor}};
    return ERR_OK;
}

static enum err generate(struct session *s)
{
    struct move_list now, next = {0};
    struct assign_broker *brokers =
        arena_zalloc(s->arena, (size_t)(s->brokers.count + 1) * sizeof(*brokers));

    enum err err = ask_metadata(s);
    if (err == ERR_OK) err = brokers_to_use(s, brokers);
    if (err == ERR_OK) err = current_assignment(s, true, &now);
    if (err != ERR_OK) return err;
    qsort(brokers, (size_t)s->brokers.count, sizeof(*brokers), by_id);
    next.at = arena_zalloc(s->arena, (size_t)(now.count + 1) * sizeof(*next.at));
    for (int32_t i = 0, count; err == ERR_OK && i < now.count; i += count) {
        for (count = 1; i + count < now.count; count++)
            if (!slice_equal(now.at[i + count].at.topic, now.at[i].at.topic)) break;
        err = propose_topic(s, brokers, &now, i, count, &next);
    }
    if (err != ERR_OK) return err;
    buf_add_text(s->out, "Current partition replica assignment\n");
    reassign_write(s->out, &now);
    buf_add_text(s->out, "\n\nProposed partition reassignment configuration\n");
    reassign_write(s->out, &next);
    buf_add_text(s->out, "\n");
    return ERR_OK;
}

/* ---- --execute, --cancel ---- */

static int16_t altered_code(const void *response)
{
    return ((const struct alter_partition_reassignments_response *)response)->error_code;
}

static void fill_alter(struct session *s, const struct move_list *list, bool is_cancel,
                       struct alter_partition_reassignments_request *body)
{
    struct alter_partition_reassignments_request_topic *topics =
        arena_zalloc(s->arena, (size_t)(list->count + 1) * sizeof(*topics));
    struct alter_partition_reassignments_request_topic_partition *partitions =
        arena_zalloc(s->arena, (size_t)(list->count + 1) * sizeof(*partitions));
    int32_t count = 0;

    wire_default(&alter_partition_reassignments_request_wire, body);
    for (int32_t i = 0; i < list->count; i++) {
        const struct move *move = &list->at[i];
        if (count == 0 || !slice_equal(topics[count - 1].name, move->at.topic)) {
            topics[count].name = move->at.topic;
            topics[count++].partitions.at = &partitions[i];
        }
        topics[count - 1].partitions.count++;
        partitions[i].partition_index = move->at.partition;
        /* What is sent is only read. */
        partitions[i].replicas.at = is_cancel ? NULL : (int32_t *)(uintptr_t)move->replicas.at;
        partitions[i].replicas.count = is_cancel ? -1 : move->replicas.count;
    }
    body->topics.at = topics;
    body->topics.count = count;
    body->timeout_ms = (int32_t)s->timeout_ms;
}

/* Adds a line to the message for each partition that was refused, and gives how many. */
static int note_refusals(struct session *s, const char *title,
                         const struct alter_partition_reassignments_response *response)
{
    int refused = 0;

    for (int32_t t = 0; t < response->responses.count; t++)
        for (int32_t i = 0; i < response->responses.at[t].partitions.count; i++) {
            const struct alter_partition_reassignments_response_response_partition *p =
                &response->responses.at[t].partitions.at[i];
            if (p->error_code == KAFKA_NONE) continue;
            if (refused++ == 0) buf_add_text(s->message, title);
            buf_printf(s->message, "\n%.*s-%d: ", SLICE_ARGS(response->responses.at[t].name),
                       p->partition_index);
            (void)refuse(s, p->error_code, p->error_message);
        }
    return refused;
}

static enum err alter(struct session *s, const struct move_list *list, bool is_cancel,
                      const char *title)
{
    struct alter_partition_reassignments_request body;
    struct cluster_request request = {.api = API_ALTER_PARTITION_REASSIGNMENTS,
                                      .body = &body,
                                      .timeout_ms = s->timeout_ms + ANSWER_GRACE_MS};

    fill_alter(s, list, is_cancel, &body);
    enum err err = cluster_ask_controller(s->cluster, &request, altered_code, s->message);
    if (err != ERR_OK) return err;
    const struct alter_partition_reassignments_response *response = request.response;
    if (response->error_code != KAFKA_NONE)
        err = refuse(s, response->error_code, response->error_message);
    else if (note_refusals(s, title, response) > 0)
        err = ERR_DENIED;
    cluster_request_fini(&request);
    return err;
}

/* Those of `all` that the file names. */
static void print_current(struct session *s, const struct move_list *all)
{
    struct move_list named = {
        .at = arena_zalloc(s->arena, (size_t)(s->wanted.count + 1) * sizeof(*named.at))};

    for (int32_t i = 0; i < s->wanted.count; i++) {
        const struct move *is = reassign_find(all, s->wanted.at[i].at);
        if (is != NULL) named.at[named.count++] = *is;
    }
    buf_add_text(s->out, "Current partition replica assignment\n\n");
    reassign_write(s->out, &named);
    buf_add_text(s->out, "\n\nSave this to use as the --reassignment-json-file option during "
                         "rollback\n");
}

/* ---- throttles ---- */

#define LEADER_RATE       SLICE("leader.replication.throttled.rate")
#define FOLLOWER_RATE     SLICE("follower.replication.throttled.rate")
#define DIRS_RATE         SLICE("replica.alter.log.dirs.io.max.bytes.per.second")
#define LEADER_REPLICAS   SLICE("leader.replication.throttled.replicas")
#define FOLLOWER_REPLICAS SLICE("follower.replication.throttled.replicas")

static enum err throttle_topic(struct session *s, const struct flow *first, int32_t count)
{
    struct buf sources = {0}, targets = {0};
    struct config_change changes[2];
    int n = 0;

    flows_write_sources(&sources, first, count);
    flows_write_targets(&targets, first, count);
    if (sources.len > 0)
        changes[n++] = (struct config_change){LEADER_REPLICAS, buf_slice(&sources)};
    if (targets.len > 0)
        changes[n++] = (struct config_change){FOLLOWER_REPLICAS, buf_slice(&targets)};
    enum err err =
        n == 0 ? ERR_OK
               : config_alter(s->cluster, CONFIG_TOPIC, first->at.topic, changes, n, s->message);
    buf_fini(&sources);
    buf_fini(&targets);
    return err;
}

static enum err throttle_brokers(struct session *s, struct broker_ids brokers)
{
    struct slice rate = arena_printf(s->arena, "%lld", (long long)s->throttle);
    const struct config_change changes[] = {{LEADER_RATE, rate}, {FOLLOWER_RATE, rate}};
    enum err err = ERR_OK;

    for (int32_t i = 0; err == ERR_OK && i < brokers.count; i++)
        err = config_alter(s->cluster, CONFIG_BROKER, arena_printf(s->arena, "%d", brokers.at[i]),
                           changes, 2, s->message);
    return err;
}

/* For what is to move, and for what moves already: its lists would be overwritten otherwise. */
static enum err set_throttle(struct session *s, const struct move_list *now)
{
    struct cluster_request request;
    struct move_list moving;
    struct flow_list flows;

    enum err err = ask_moving(s, &request);
    if (err != ERR_OK) return err;
    list_moving(&request, s->arena, &moving);
    struct broker_ids *adding =
        arena_zalloc(s->arena, (size_t)(moving.count + 1) * sizeof(*adding));
    for (int32_t i = 0; i < moving.count; i++)
        adding[i] = adding_of(request.response, moving.at[i].at);
    flows_of(&moving, adding, &s->wanted, now, s->arena, &flows);
    for (int32_t i = 0, count; err == ERR_OK && i < flows.count; i += count) {
        for (count = 1; i + count < flows.count; count++)
            if (!slice_equal(flows.at[i + count].at.topic, flows.at[i].at.topic)) break;
        err = throttle_topic(s, &flows.at[i], count);
    }
    if (err == ERR_OK) err = throttle_brokers(s, flows_brokers(&flows, s->arena));
    if (err == ERR_OK)
        buf_printf(s->out, "The inter-broker throttle limit was set to %lld B/s\n",
                   (long long)s->throttle);
    cluster_request_fini(&request);
    return err;
}

/* Takes the keys away; what goes wrong is added to the message. */
static void note_uncleared(struct session *s, const char *what, struct slice name,
                           enum config_type type, const struct config_change *keys, int count,
                           enum err *err)
{
    struct buf why = {0};
    enum err one = config_alter(s->cluster, type, name, keys, count, &why);

    if (one != ERR_OK) {
        buf_printf(s->message, "%sthe throttles of %s %.*s could not be removed: %.*s",
                   s->message->len == 0 ? "" : "\n", what, SLICE_ARGS(name),
                   SLICE_ARGS(buf_slice(&why)));
        *err = one;
    }
    buf_fini(&why);
}

/* Of all brokers, and of the topics in the list. */
static enum err clear_throttles(struct session *s)
{
    static const struct config_change of_brokers[] = {
        {LEADER_RATE, {NULL, 0}}, {FOLLOWER_RATE, {NULL, 0}}, {DIRS_RATE, {NULL, 0}}};
    static const struct config_change of_topics[] = {{LEADER_REPLICAS, {NULL, 0}},
                                                     {FOLLOWER_REPLICAS, {NULL, 0}}};
    struct buf ids = {0};
    enum err err = ERR_OK;

    for (int32_t i = 0; i < s->metadata->brokers.count; i++)
        buf_printf(&ids, "%s%d", i == 0 ? "" : ",", s->metadata->brokers.at[i].node_id);
    buf_printf(s->out, "\nClearing broker-level throttles on broker%s %.*s\n",
               s->metadata->brokers.count == 1 ? "" : "s", SLICE_ARGS(buf_slice(&ids)));
    /* Who cannot be told keeps nobody else throttled. */
    for (int32_t i = 0; i < s->metadata->brokers.count; i++)
        note_uncleared(s, "broker",
                       arena_printf(s->arena, "%d", s->metadata->brokers.at[i].node_id),
                       CONFIG_BROKER, of_brokers, 3, &err);
    buf_printf(s->out, "Clearing topic-level throttles on topic%s ",
               s->topic_count == 1 ? "" : "s");
    for (int32_t i = 0; i < s->topic_count; i++)
        buf_printf(s->out, "%s%.*s", i == 0 ? "" : ",", SLICE_ARGS(s->topics[i]));
    buf_add_text(s->out, "\n");
    for (int32_t i = 0; i < s->topic_count; i++)
        if (topic_exists(s, s->topics[i]))
            note_uncleared(s, "topic", s->topics[i], CONFIG_TOPIC, of_topics, 2, &err);
    buf_fini(&ids);
    return err;
}

/* ---- log directories ---- */

/* What a broker's log directories hold; `request` for cluster_request_fini. NULL: it does not
 * answer, which is no reason to fail. */
static const struct describe_log_dirs_response *ask_dirs(struct session *s, int32_t broker,
                                                         struct cluster_request *request)
{
    struct describe_log_dirs_request body;
    struct buf ignored = {0};

    wire_default(&describe_log_dirs_request_wire, &body);
    body.topics.count = -1;
    *request = (struct cluster_request){.api = API_DESCRIBE_LOG_DIRS, .body = &body};
    enum err err = live_broker(s, broker) == NULL
                       ? ERR_NOT_FOUND
                       : cluster_ask(s->cluster, broker, true, request, &ignored);
    request->body = NULL;
    buf_fini(&ignored);
    return err == ERR_OK ? request->response : NULL;
}

/* The brokers that have moves, each once. */
static struct broker_ids dir_brokers(struct session *s, const struct dir_move_list *list)
{
    int32_t *ids = arena_zalloc(s->arena, (size_t)(list->count + 1) * sizeof(*ids));
    struct broker_ids found = {ids, 0};

    for (int32_t i = 0; i < list->count; i++)
        if (!broker_ids_have(found, list->at[i].broker)) ids[found.count++] = list->at[i].broker;
    return found;
}

/* What each replica of the list does; `states` in its order. Borrows from the answers, which are
 * `requests`, one per broker: for forget_dirs. */
struct dir_answers {
    struct dir_state *states;
    struct cluster_request *requests;
    bool *is_answered;
    int32_t count;
};

static void ask_states(struct session *s, struct dir_answers *out)
{
    const struct dir_move_list *list = &s->dir_moves;
    struct broker_ids brokers = dir_brokers(s, list);
    size_t room = (size_t)(brokers.count + 1);

    *out = (struct dir_answers){
        .states = arena_zalloc(s->arena, (size_t)(list->count + 1) * sizeof(*out->states)),
        .requests = arena_zalloc(s->arena, room * sizeof(*out->requests)),
        .is_answered = arena_zalloc(s->arena, room * sizeof(*out->is_answered)),
        .count = brokers.count,
    };
    for (int32_t b = 0; b < brokers.count; b++) {
        const struct describe_log_dirs_response *response =
            ask_dirs(s, brokers.at[b], &out->requests[b]);
        out->is_answered[b] = response != NULL;
        for (int32_t i = 0; i < list->count; i++)
            if (list->at[i].broker == brokers.at[b])
                out->states[i] = dir_state_of(response, &list->at[i]);
    }
}

static void forget_dirs(struct dir_answers *answers)
{
    for (int32_t b = 0; b < answers->count; b++)
        if (answers->is_answered[b]) cluster_request_fini(&answers->requests[b]);
}

/* One try; what has begun leaves the list. */
static enum err begin_dir_moves_on(struct session *s, int32_t broker, struct dir_move_list *left,
                                   struct dir_move_list *begun)
{
    struct alter_replica_log_dirs_request body;
    struct cluster_request request = {.api = API_ALTER_REPLICA_LOG_DIRS, .body = &body};
    struct dir_move_list mine, kept = *left;

    dir_moves_on(left, broker, s->arena, &mine);
    dir_moves_fill(&mine, s->arena, &body);
    /* What has begun is not begun twice. */
    enum err err = cluster_ask(s->cluster, broker, true, &request, s->message);
    if (err != ERR_OK) return err;
    kept.count = 0;
    for (int32_t i = 0; err == ERR_OK && i < left->count; i++) {
        const struct dir_move *move = &left->at[i];
        int16_t code = move->broker == broker ? dir_move_code(request.response, move)
                                              : KAFKA_REPLICA_NOT_AVAILABLE;
        if (code == KAFKA_NONE) {
            begun->at[begun->count++] = *move;
        } else if (code == KAFKA_REPLICA_NOT_AVAILABLE) { /* it may come yet */
            kept.at[kept.count++] = *move;
        } else {
            buf_printf(s->message, "Failed to alter dir for %.*s-%d-%d: %s",
                       SLICE_ARGS(move->at.topic), move->at.partition, move->broker,
                       kafka_error_name(code));
            err = ERR_DENIED;
        }
    }
    if (err == ERR_OK) *left = kept;
    cluster_request_fini(&request);
    return err;
}

/* Until all have begun: a replica that is new on its broker may not be there yet. */
static enum err begin_dir_moves(struct session *s, const struct dir_move_list *list)
{
    size_t room = (size_t)(list->count + 1);
    struct dir_move_list left = {arena_zalloc(s->arena, room * sizeof(*left.at)), list->count};
    struct dir_move_list begun = {arena_zalloc(s->arena, room * sizeof(*begun.at)), 0};
    struct instant deadline = instant_add_ms(shard_now(cluster_shard(s->cluster)), s->timeout_ms);
    enum err err = ERR_OK;

    for (int32_t i = 0; i < list->count; i++)
        left.at[i] = list->at[i];
    while (err == ERR_OK && left.count > 0) {
        struct broker_ids brokers = dir_brokers(s, &left);
        begun.count = 0;
        for (int32_t b = 0; err == ERR_OK && b < brokers.count; b++)
            err = begin_dir_moves_on(s, brokers.at[b], &left, &begun);
        dir_moves_write_begun(s->out, &begun);
        if (err != ERR_OK || left.count == 0) break;
        if (instant_reached(shard_now(cluster_shard(s->cluster)), deadline)) {
            buf_printf(s->message, "Timed out before log directory move%s could be started for: ",
                       left.count > 1 ? "s" : "");
            dir_moves_write_names(s->message, &left);
            return ERR_TIMED_OUT;
        }
        cluster_wait(s->cluster, DIR_RETRY_MS);
    }
    return err;
}

static enum err set_dirs_throttle(struct session *s)
{
    struct slice rate = arena_printf(s->arena, "%lld", (long long)s->dirs_throttle);
    const struct config_change change = {DIRS_RATE, rate};
    struct broker_ids brokers = dir_brokers(s, &s->dir_moves);
    enum err err = ERR_OK;

    for (int32_t i = 0; err == ERR_OK && i < brokers.count; i++)
        err = config_alter(s->cluster, CONFIG_BROKER, arena_printf(s->arena, "%d", brokers.at[i]),
                           &change, 1, s->message);
    if (err == ERR_OK)
        buf_printf(s->out, "The replica-alter-dir throttle limit was set to %lld B/s\n",
                   (long long)s->dirs_throttle);
    return err;
}

/* Those that still run go back to where they are. */
static enum err cancel_dir_moves(struct session *s)
{
    struct dir_answers answers;
    struct dir_move_list back = {
        arena_zalloc(s->arena, (size_t)(s->dir_moves.count + 1) * sizeof(*back.at)), 0};

    ask_states(s, &answers);
    for (int32_t i = 0; i < s->dir_moves.count; i++) {
        if (answers.states[i].is != DIR_MOVING) continue;
        back.at[back.count] = s->dir_moves.at[i];
        back.at[back.count++].dir = answers.states[i].current;
    }
    enum err err = ERR_OK;
    if (back.count == 0)
        buf_add_text(s->out, "None of the specified partition moves are active.\n");
    else
        err = begin_dir_moves(s, &back);
    forget_dirs(&answers);
    return err;
}

/* True: some still run. */
static bool verify_dir_moves(struct session *s)
{
    struct dir_answers answers;
    bool is_moving = false;

    ask_states(s, &answers);
    for (int32_t i = 0; i < s->dir_moves.count; i++) {
        dir_state_write(s->out, &s->dir_moves.at[i], &answers.states[i]);
        is_moving |= answers.states[i].is == DIR_MOVING;
    }
    forget_dirs(&answers);
    return is_moving;
}

/* ---- --execute, --cancel: the whole ---- */

static enum err check_nothing_moves(struct session *s)
{
    struct cluster_request request;

    enum err err = ask_moving(s, &request);
    if (err != ERR_OK) return err;
    bool is_moving =
        ((const struct list_partition_reassignments_response *)request.response)->topics.count > 0;
    cluster_request_fini(&request);
    if (!is_moving) return ERR_OK;
    buf_add_text(s->message, "Cannot execute because there is an existing partition assignment. "
                             "Use --additional to begin these moves while the others run.");
    return ERR_DENIED;
}

static enum err execute(struct session *s)
{
    struct move_list now;

    enum err err = ask_metadata(s);
    if (err != ERR_OK) return err;
    for (int32_t i = 0; i < s->wanted.count; i++)
        for (int32_t j = 0; j < s->wanted.at[i].replicas.count; j++) {
            int32_t id = s->wanted.at[i].replicas.at[j];
            if (live_broker(s, id) != NULL) continue;
            buf_printf(s->message, "Unknown broker id %d", id);
            return ERR_INVALID;
        }
    if (!args_has(s->args, "additional")) err = check_nothing_moves(s);
    if (err == ERR_OK) err = current_assignment(s, true, &now);
    if (err != ERR_OK) return err;
    print_current(s, &now);
    if (s->throttle >= 0 || s->dirs_throttle >= 0)
        buf_add_text(s->out, "Warning: You must run --verify periodically, until the reassignment "
                             "completes, to ensure the throttle is removed.\n");
    if (s->throttle >= 0) err = set_throttle(s, &now);
    if (err == ERR_OK && s->dirs_throttle >= 0) err = set_dirs_throttle(s);
    if (err != ERR_OK) return err;
    err = alter(s, &s->wanted, false, "Error reassigning partition(s):");
    if (err != ERR_OK) return err;
    buf_printf(s->out, "Successfully started partition reassignment%s for ",
               s->wanted.count > 1 ? "s" : "");
    reassign_write_names(s->out, &s->wanted, ",");
    buf_add_text(s->out, "\n");
    return begin_dir_moves(s, &s->dir_moves);
}

static enum err cancel(struct session *s)
{
    struct cluster_request request;
    struct move_list moving, mine = {0};

    enum err err = ask_moving(s, &request);
    if (err != ERR_OK) return err;
    list_moving(&request, s->arena, &moving);
    mine.at = arena_zalloc(s->arena, (size_t)(s->wanted.count + 1) * sizeof(*mine.at));
    for (int32_t i = 0; i < s->wanted.count; i++)
        if (reassign_find(&moving, s->wanted.at[i].at) != NULL)
            mine.at[mine.count++] = s->wanted.at[i];
    cluster_request_fini(&request);
    err = ask_metadata(s);
    if (err != ERR_OK) return err;
    if (mine.count == 0) {
        buf_add_text(s->out, "None of the specified partition reassignments are active.\n");
    } else {
        err = alter(s, &mine, true, "Error cancelling partition reassignment(s):");
        if (err != ERR_OK) return err;
        buf_printf(s->out, "Successfully cancelled partition reassignment%s for: ",
                   mine.count > 1 ? "s" : "");
        reassign_write_names(s->out, &mine, ",");
        buf_add_text(s->out, "\n");
    }
    if (s->dir_moves.count > 0) err = cancel_dir_moves(s);
    if (err != ERR_OK || args_has(s->args, "preserve-throttles")) return err;
    return clear_throttles(s);
}

/* ---- --verify, --list ---- */

static int32_t leader_of(const struct session *s, struct topic_partition at)
{
    for (int32_t t = 0; t < s->metadata->topics.count; t++)
        for (int32_t i = 0; slice_equal(s->metadata->topics.at[t].name, at.topic) &&
                            i < s->metadata->topics.at[t].partitions.count;
             i++)
            if (s->metadata->topics.at[t].partitions.at[i].partition_index == at.partition)
                return s->metadata->topics.at[t].partitions.at[i].leader_id;
    return -1;
}

/* One line for each replica that is on its way: bytes that it has, of those that the leader has. */
static void write_progress(struct session *s, const struct cluster_request *moving_request,
                           const struct move_list *moving)
{
    int32_t brokers = s->metadata->brokers.count;
    struct cluster_request *requests =
        arena_zalloc(s->arena, (size_t)(brokers + 1) * sizeof(*requests));
    const struct describe_log_dirs_response **sizes =
        arena_zalloc(s->arena, (size_t)(brokers + 1) * sizeof(*sizes));

    for (int32_t b = 0; b < brokers; b++)
        sizes[b] = ask_dirs(s, s->metadata->brokers.at[b].node_id, &requests[b]);
    for (int32_t i = 0; i < s->wanted.count; i++) {
        struct topic_partition at = s->wanted.at[i].at;
        struct broker_ids adding = adding_of(moving_request->response, at);
        int64_t whole = -1;
        if (reassign_find(moving, at) == NULL) continue;
        for (int32_t b = 0; b < brokers; b++)
            if (sizes[b] != NULL && s->metadata->brokers.at[b].node_id == leader_of(s, at))
                whole = log_dirs_size(sizes[b], at);
        for (int32_t k = 0; whole >= 0 && k < adding.count; k++)
            for (int32_t b = 0; b < brokers; b++) {
                if (sizes[b] == NULL || s->metadata->brokers.at[b].node_id != adding.at[k])
                    continue;
                int64_t has = log_dirs_size(sizes[b], at);
                buf_printf(s->out, "  %.*s-%d: broker %d has %lld of %lld bytes\n",
                           SLICE_ARGS(at.topic), at.partition, adding.at[k],
                           (long long)(has < 0 ? 0 : has), (long long)whole);
            }
    }
    for (int32_t b = 0; b < brokers; b++)
        if (sizes[b] != NULL) cluster_request_fini(&requests[b]);
}

static enum err verify(struct session *s)
{
    struct cluster_request request;
    struct move_list moving, now = {0};

    /* What moves first: what ends in between then shows as still in progress, not as never begun.
     */
    enum err err = ask_moving(s, &request);
    if (err != ERR_OK) return err;
    err = ask_metadata(s);
    if (err == ERR_OK) err = current_assignment(s, false, &now);
    if (err == ERR_OK) {
        list_moving(&request, s->arena, &moving);
        buf_add_text(s->out, "Status of partition reassignment:\n");
        for (int32_t i = 0; i < s->wanted.count; i++)
            reassign_write_status(s->out, &s->wanted.at[i],
                                  reassign_find(&moving, s->wanted.at[i].at) != NULL,
                                  reassign_find(&now, s->wanted.at[i].at));
        if (moving.count > 0) write_progress(s, &request, &moving);
        bool moves_dirs = verify_dir_moves(s);
        if (moving.count == 0 && !moves_dirs && !args_has(s->args, "preserve-throttles"))
            err = clear_throttles(s);
    }
    cluster_request_fini(&request);
    return err;
}

static int by_topic(const void *a, const void *b)
{
    const struct list_partition_reassignments_response_topic *one = a, *other = b;

    return slice_compare(one->name, other->name);
}

static int by_partition(const void *a, const void *b)
{
    const struct list_partition_reassignments_response_topic_partition *one = a, *other = b;

    return (one->partition_index > other->partition_index) -
           (one->partition_index < other->partition_index);
}

static enum err list(struct session *s)
{
    struct cluster_request request;

    enum err err = ask_moving(s, &request);
    if (err != ERR_OK) return err;
    struct list_partition_reassignments_response *response = request.response;
    if (response->topics.count <= 0) {
        buf_add_text(s->out, "No partition reassignments found.\n");
    } else {
        buf_add_text(s->out, "Current partition reassignments:\n");
        qsort(response->topics.at, (size_t)response->topics.count, sizeof(*response->topics.at),
              by_topic);
    }
    for (int32_t t = 0; t < response->topics.count; t++) {
        struct list_partition_reassignments_response_topic *topic = &response->topics.at[t];
        if (topic->partitions.count > 1)
            qsort(topic->partitions.at, (size_t)topic->partitions.count,
                  sizeof(*topic->partitions.at), by_partition);
        for (int32_t i = 0; i < topic->partitions.count; i++) {
            const struct list_partition_reassignments_response_topic_partition *p =
                &topic->partitions.at[i];
            struct move is = {.at = {topic->name, p->partition_index},
                              .replicas = {p->replicas.at, p->replicas.count}};
            reassign_write_moving(
                s->out, &is, (struct broker_ids){p->adding_replicas.at, p->adding_replicas.count},
                (struct broker_ids){p->removing_replicas.at, p->removing_replicas.count});
        }
    }
    cluster_request_fini(&request);
    return ERR_OK;
}

/* ---- the whole ---- */

static enum err run(struct session *s, const char *action)
{
    struct conf settings;

    conf_init(&settings);
    enum err err = usage_read_settings(s->args, "command-config", NULL, &settings, s->message);
    if (err == ERR_OK)
        err = cluster_open(
            &(struct cluster_options){.bootstrap = args_text(s->args, "bootstrap-server", ""),
                                      .client_id = "reassign-partitions-tool",
                                      .timeout_ms = usage_timeout_ms(&settings)},
            &s->cluster, s->message);
    if (err == ERR_OK) {
        if (strcmp(action, "generate") == 0)
            err = generate(s);
        else if (strcmp(action, "execute") == 0)
            err = execute(s);
        else if (strcmp(action, "verify") == 0)
            err = verify(s);
        else if (strcmp(action, "cancel") == 0)
            err = cancel(s);
        else
            err = list(s);
    }
    cluster_request_fini(&s->metadata_request);
    cluster_close(&s->cluster);
    conf_fini(&settings);
    return err;
}

int reassign_main(int argc, char **argv)
{
    static const char *const actions[] = {"generate", "execute", "verify", "cancel", "list", NULL};
    struct args args;
    struct arena arena;
    struct buf message = {0}, out = {0};
    struct session s = {.args = &args,
                        .arena = &arena,
                        .timeout_ms = 10000,
                        .throttle = -1,
                        .dirs_throttle = -1,
                        .out = &out,
                        .message = &message};
    int status;

    arena_init(&arena, (size_t)1 << 40);
    if (usage_read(&reassign_command, argc, argv, &args, &status)) {
        const char *action = args_one_of(&args, actions, &message);
        const char *wrong = action == NULL ? NULL : misuse(&args, action);
        enum err err = action == NULL ? ERR_INVALID : ERR_OK;
        if (wrong != NULL) {
            buf_add_text(&message, wrong);
            err = ERR_INVALID;
        }
        if (err == ERR_OK)
            err = args_number(&args, "timeout", 1, INT32_MAX, &s.timeout_ms, &message);
        if (err == ERR_OK)
            err = args_number(&args, "throttle", 0, INT64_MAX, &s.throttle, &message);
        if (err == ERR_OK)
            err = args_number(&args, "replica-alter-log-dirs-throttle", 0, INT64_MAX,
                              &s.dirs_throttle, &message);
        status = 1;
        if (err != ERR_OK) {
            usage_wrong(&reassign_command, &message);
        } else {
            err = read_documents(&s, action);
            if (err == ERR_OK) err = run(&s, action);
            fwrite(buf_slice(&out).ptr, 1, out.len, stdout);
            if (err != ERR_OK) printf("Error: %.*s\n", SLICE_ARGS(buf_slice(&message)));
            status = err == ERR_OK ? 0 : 1;
        }
    }
    args_fini(&args);
    buf_fini(&message);
    buf_fini(&out);
    arena_fini(&arena);
    return status;
}
