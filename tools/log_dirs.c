#include "tools/log_dirs.h"
#include "tools/cluster_client.h"
#include "tools/log_dirs_text.h"
#include "tools/reassign_text.h"
#include "tools/usage.h"
#include "base/ensure.h"
#include "base/text.h"
#include <stdio.h>

static const struct args_option options[] = {
    {"bootstrap-server", "HOST:PORT,...", ARGS_REQUIRED, "brokers to ask first"},
    {"describe", NULL, ARGS_REQUIRED, "print what the log directories hold, as JSON"},
    {"broker-list", "0,1,2", 0, "these brokers only"},
    {"topic-list", "A,B", 0, "these topics only"},
    {"command-config", "FILE", 0, "client settings, a properties file"},
};

const struct args_command log_dirs_command = {
    .name = "ottla log-dirs",
    .summary = "what the brokers' log directories hold, and how full they are",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

struct session {
    const struct args *args;
    struct arena *arena;
    struct cluster *cluster;
    struct broker_ids brokers;
    struct slice *topics;
    int topic_count;
    const char *missing; /* a topic that was asked for, and is not there */
    struct buf *out, *message;
};

static void read_topics(struct session *s)
{
    struct slice rest = slice_text(args_text(s->args, "topic-list", "")), item;

    s->topics = arena_zalloc(s->arena, (rest.len + 1) * sizeof(*s->topics));
    while (slice_cut(&rest, ',', &item))
        if (text_trim(item).len > 0) s->topics[s->topic_count++] = text_trim(item);
    if (text_trim(rest).len > 0) s->topics[s->topic_count++] = text_trim(rest);
}

/* Kafka's tool says nothing of it: a name that was mistyped looks like a topic without replicas. */
static void look_for_missing(struct session *s, const struct metadata_response *metadata)
{
    for (int32_t i = 0; i < metadata->topics.count; i++) {
        const struct metadata_response_topic *topic = &metadata->topics.at[i];
        if (topic->error_code == KAFKA_UNKNOWN_TOPIC_OR_PARTITION ||
            topic->error_code == KAFKA_INVALID_TOPIC_EXCEPTION)
            s->missing = arena_text(s->arena, topic->name);
    }
}

static bool is_known(const struct metadata_response *metadata, int32_t broker)
{
    for (int32_t i = 0; i < metadata->brokers.count; i++)
        if (metadata->brokers.at[i].node_id == broker) return true;
    return false;
}

static enum err choose_brokers(struct session *s, const struct metadata_response *metadata)
{
    struct buf unknown = {0};
    enum err err = ERR_OK;

    if (!args_has(s->args, "broker-list")) {
        int32_t *ids = arena_zalloc(s->arena, (size_t)(metadata->brokers.count + 1) * sizeof(*ids));
        for (int32_t i = 0; i < metadata->brokers.count; i++)
            ids[i] = metadata->brokers.at[i].node_id;
        s->brokers = (struct broker_ids){ids, metadata->brokers.count};
        return ERR_OK;
    }
    err = reassign_read_brokers(slice_text(args_text(s->args, "broker-list", "")), s->arena,
                                &s->brokers, s->message);
    for (int32_t i = 0; err == ERR_OK && i < s->brokers.count; i++)
        if (!is_known(metadata, s->brokers.at[i]))
            buf_printf(&unknown, "%s%d", unknown.len == 0 ? "" : ",", s->brokers.at[i]);
    if (unknown.len > 0) {
        buf_printf(s->message, "The given brokers do not exist from --broker-list: %.*s",
                   SLICE_ARGS(buf_slice(&unknown)));
        err = ERR_INVALID;
    }
    buf_fini(&unknown);
    return err;
}

static enum err ask_one(struct session *s, int32_t broker)
{
    struct describe_log_dirs_request body;
    struct cluster_request request = {.api = API_DESCRIBE_LOG_DIRS, .body = &body};

    wire_default(&describe_log_dirs_request_wire, &body);
    body.topics.count = -1;
    enum err err = cluster_ask(s->cluster, broker, true, &request, s->message);
    if (err != ERR_OK) return err;
    const struct describe_log_dirs_response *response = request.response;
    if (response->error_code != KAFKA_NONE) {
        buf_add_text(s->message, kafka_error_name(response->error_code));
        err = ERR_DENIED;
    } else {
        log_dirs_write(s->out, broker, response, s->topics, s->topic_count);
    }
    cluster_request_fini(&request);
    return err;
}

static enum err describe(struct session *s)
{
    struct buf names = {0};
    enum err err = ERR_OK;

    reassign_write_ids(&names, s->brokers);
    buf_add_text(s->out, "Querying brokers for log directories information\n");
    buf_printf(s->out, "Received log directory information from brokers %.*s\n",
               SLICE_ARGS(buf_slice(&names)));
    buf_fini(&names);
    buf_add_text(s->out, "{\"version\":1,\"brokers\":[");
    for (int32_t i = 0; err == ERR_OK && i < s->brokers.count; i++) {
        if (i > 0) buf_add_text(s->out, ",");
        err = ask_one(s, s->brokers.at[i]);
    }
    buf_add_text(s->out, "]}\n");
    return err;
}

static enum err run(struct session *s)
{
    struct cluster_request request = {0};
    const struct metadata_response *metadata = NULL;
    struct conf settings;

    conf_init(&settings);
    enum err err = usage_read_settings(s->args, "command-config", NULL, &settings, s->message);
    if (err == ERR_OK)
        err = cluster_open(
            &(struct cluster_options){.bootstrap = args_text(s->args, "bootstrap-server", ""),
                                      .client_id = "log-dirs-command",
                                      .timeout_ms = usage_timeout_ms(&settings)},
            &s->cluster, s->message);
    read_topics(s);
    if (err == ERR_OK)
        err = cluster_metadata(s->cluster, s->topics, s->topic_count, false, &request, &metadata,
                               s->message);
    if (err == ERR_OK) {
        look_for_missing(s, metadata);
        err = choose_brokers(s, metadata);
        cluster_request_fini(&request);
    }
    if (err == ERR_OK) err = describe(s);
    cluster_close(&s->cluster);
    conf_fini(&settings);
    return err;
}

int log_dirs_main(int argc, char **argv)
{
    struct args args;
    struct arena arena;
    struct buf message = {0}, out = {0};
    struct session s = {.args = &args, .arena = &arena, .out = &out, .message = &message};
    int status;

    arena_init(&arena, (size_t)1 << 40);
    if (usage_read(&log_dirs_command, argc, argv, &args, &status)) {
        enum err err = run(&s);
        if (err == ERR_OK)
            fwrite(buf_slice(&out).ptr, 1, out.len, stdout);
        else
            fprintf(stderr, "Error: %.*s\n", SLICE_ARGS(buf_slice(&message)));
        fflush(stdout);
        if (err == ERR_OK && s.missing != NULL)
            fprintf(stderr, "Error: Topic '%s' does not exist as expected\n", s.missing);
        status = err == ERR_OK && s.missing == NULL ? 0 : 1;
    }
    args_fini(&args);
    buf_fini(&message);
    buf_fini(&out);
    arena_fini(&arena);
    return status;
}
