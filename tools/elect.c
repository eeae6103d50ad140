#include "tools/elect.h"
#include "tools/cluster_client.h"
#include "tools/reassign_text.h"
#include "tools/usage.h"
#include <stdio.h>
#include <strings.h>

#define ELECT_TIMEOUT_MS 30000
#define ANSWER_GRACE_MS  5000

static const struct args_option options[] = {
    {"bootstrap-server", "HOST:PORT,...", ARGS_REQUIRED, "brokers to ask first"},
    {"election-type", "TYPE", ARGS_REQUIRED,
     "preferred: the first replica leads, if it is in sync; unclean: where nobody leads, a live "
     "replica does although records may be lost"},
    {"topic", "NAME", 0, "with --partition: the one partition"},
    {"partition", "N", 0, "with --topic"},
    {"all-topic-partitions", NULL, 0, "every partition that needs it"},
    {"path-to-json-file", "FILE", 0,
     "the partitions: {\"partitions\":[{\"topic\":\"t\",\"partition\":0}]}"},
    {"admin.config", "FILE", 0, "client settings, a properties file"},
};

const struct args_command elect_command = {
    .name = "ottla elect-leaders",
    .summary = "let preferred replicas lead, or any at all",
    .more = "One of --topic, --all-topic-partitions and --path-to-json-file.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

/* ---- what came of it ---- */

static bool is_done(int16_t code)
{
    return code == KAFKA_NONE;
}

static bool is_not_needed(int16_t code)
{
    return code == KAFKA_ELECTION_NOT_NEEDED;
}

/* One line with all partitions of that outcome. */
static void print_those(const struct elect_leaders_response *response, bool (*filter)(int16_t code),
                        const char *title, struct buf *out)
{
    int count = 0;

    for (int32_t t = 0; t < response->replica_election_results.count; t++) {
        const struct elect_leaders_response_replica_election_result *topic =
            &response->replica_election_results.at[t];
        for (int32_t i = 0; i < topic->partition_result.count; i++) {
            if (!filter(topic->partition_result.at[i].error_code)) continue;
            if (count++ == 0) buf_add_text(out, title);
            buf_printf(out, "%s%.*s-%d", count == 1 ? " " : ", ", SLICE_ARGS(topic->topic),
                       topic->partition_result.at[i].partition_id);
        }
    }
    if (count > 0) buf_add_text(out, "\n");
}

bool elect_print(const struct elect_leaders_response *response, const char *type, struct buf *out)
{
    bool is_good = true;
    char title[128];

    snprintf(title, sizeof(title), "Successfully completed leader election (%s) for partitions",
             type);
    print_those(response, is_done, title, out);
    print_those(response, is_not_needed, "Valid replica already elected for partitions", out);
    for (int32_t t = 0; t < response->replica_election_results.count; t++) {
        const struct elect_leaders_response_replica_election_result *topic =
            &response->replica_election_results.at[t];
        for (int32_t i = 0; i < topic->partition_result.count; i++) {
            const struct elect_leaders_response_replica_election_result_partition_result *p =
                &topic->partition_result.at[i];
            if (is_done(p->error_code) || is_not_needed(p->error_code)) continue;
            is_good = false;
            buf_printf(out, "Error completing leader election (%s) for partition: %.*s-%d: %s",
                       type, SLICE_ARGS(topic->topic), p->partition_id,
                       kafka_error_name(p->error_code));
            if (p->error_message.len > 0) buf_printf(out, ": %.*s", SLICE_ARGS(p->error_message));
            buf_add_text(out, "\n");
        }
    }
    return is_good;
}

/* ---- asking ---- */

struct job {
    bool is_unclean;
    const char *type; /* as it is printed */
    bool is_all;
    struct move_list list;
};

static enum err read_job(const struct args *args, struct arena *arena, struct job *job,
                         struct buf *message)
{
    static const char *const ways[] = {"topic", "all-topic-partitions", "path-to-json-file", NULL};
    const char *type = args_text(args, "election-type", "");
    const char *way = args_one_of(args, ways, message);
    int64_t partition = -1;

    if (way == NULL) return ERR_INVALID;
    if (strcasecmp(type, "preferred") != 0 && strcasecmp(type, "unclean") != 0) {
        buf_printf(message, "--election-type %s: must be preferred or unclean", type);
        return ERR_INVALID;
    }
    job->is_unclean = strcasecmp(type, "unclean") == 0;
    job->type = job->is_unclean ? "UNCLEAN" : "PREFERRED";
    job->is_all = args_has(args, "all-topic-partitions");
    enum err err = args_number(args, "partition", 0, INT32_MAX, &partition, message);
    if (err != ERR_OK) return err;
    if ((partition >= 0) != args_has(args, "topic")) {
        buf_add_text(message, "--topic and --partition go together");
        return ERR_INVALID;
    }
    if (partition < 0) return ERR_OK;
    job->list.at = arena_zalloc(arena, sizeof(*job->list.at));
    job->list.at[0].at =
        (struct topic_partition){slice_text(args_text(args, "topic", "")), (int32_t)partition};
    job->list.count = 1;
    return ERR_OK;
}

static enum err read_list(const struct args *args, struct arena *arena, struct job *job,
                          struct buf *message)
{
    const char *path = args_text(args, "path-to-json-file", NULL);
    struct buf text = {0}, why = {0};

    if (path == NULL) return ERR_OK;
    enum err err = usage_read_text(path, &text, message);
    if (err == ERR_OK) {
        err = reassign_read_partitions(buf_slice(&text), arena, &job->list, &why);
        if (err != ERR_OK) buf_printf(message, "%s: %.*s", path, SLICE_ARGS(buf_slice(&why)));
    }
    buf_fini(&text);
    buf_fini(&why);
    return err;
}

static void fill(const struct job *job, struct arena *arena, struct elect_leaders_request *body)
{
    const struct move_list *list = &job->list;
    struct elect_leaders_request_topic_partition *topics =
        arena_zalloc(arena, (size_t)(list->count + 1) * sizeof(*topics));
    int32_t *partitions = arena_zalloc(arena, (size_t)(list->count + 1) * sizeof(*partitions));
    int32_t count = 0;

    wire_default(&elect_leaders_request_wire, body);
    for (int32_t i = 0; i < list->count; i++) {
        const struct topic_partition *at = &list->at[i].at;
        if (count == 0 || !slice_equal(topics[count - 1].topic, at->topic)) {
            topics[count].topic = at->topic;
            topics[count++].partitions.at = &partitions[i];
        }
        partitions[i] = at->partition;
        topics[count - 1].partitions.count++;
    }
    body->election_type = job->is_unclean ? 1 : 0;
    body->topic_partitions.at = topics;
    body->topic_partitions.count = job->is_all ? -1 : count;
    body->timeout_ms = ELECT_TIMEOUT_MS;
}

/* Version 0 has no code for all: a controller that is none says so with each partition. */
static int16_t answer_code(const void *response)
{
    const struct elect_leaders_response *r = response;

    if (r->error_code == KAFKA_NONE && r->replica_election_results.count > 0 &&
        r->replica_election_results.at[0].partition_result.count > 0 &&
        r->replica_election_results.at[0].partition_result.at[0].error_code == KAFKA_NOT_CONTROLLER)
        return KAFKA_NOT_CONTROLLER;
    return r->error_code;
}

static enum err elect(const struct args *args, struct arena *arena, struct job *job,
                      struct buf *out, struct buf *message)
{
    struct cluster *cluster = NULL;
    struct conf settings;
    struct elect_leaders_request body;
    struct cluster_request request = {.api = API_ELECT_LEADERS,
                                      .body = &body,
                                      .version_min = job->is_unclean ? 1 : 0,
                                      .timeout_ms = ELECT_TIMEOUT_MS + ANSWER_GRACE_MS};

    conf_init(&settings);
    enum err err = usage_read_settings(args, "admin.config", NULL, &settings, message);
    if (err == ERR_OK)
        err = cluster_open(
            &(struct cluster_options){.bootstrap = args_text(args, "bootstrap-server", ""),
                                      .client_id = "leader-election-command",
                                      .timeout_ms = usage_timeout_ms(&settings)},
            &cluster, message);
    if (err == ERR_OK) {
        fill(job, arena, &body);
        err = cluster_ask_controller(cluster, &request, answer_code, message);
    }
    if (err == ERR_TIMED_OUT) {
        buf_clear(message);
        buf_add_text(message, "Timeout waiting for election results");
    }
    if (err == ERR_OK) {
        int16_t code = answer_code(request.response);
        if (code != KAFKA_NONE) {
            buf_add_text(message, code == KAFKA_REQUEST_TIMED_OUT
                                      ? "Timeout waiting for election results"
                                      : kafka_error_name(code));
            err = ERR_DENIED;
        } else if (!elect_print(request.response, job->type, out)) {
            err = ERR_DENIED; /* the lines say it */
        }
        cluster_request_fini(&request);
    }
    cluster_close(&cluster);
    conf_fini(&settings);
    return err;
}

int elect_main(int argc, char **argv)
{
    struct args args;
    struct arena arena;
    struct buf message = {0}, out = {0};
    struct job job = {0};
    int status;

    arena_init(&arena, (size_t)1 << 40);
    if (usage_read(&elect_command, argc, argv, &args, &status)) {
        status = 1;
        if (read_job(&args, &arena, &job, &message) != ERR_OK) {
            usage_wrong(&elect_command, &message);
        } else {
            enum err err = read_list(&args, &arena, &job, &message);
            if (err == ERR_OK) err = elect(&args, &arena, &job, &out, &message);
            fwrite(buf_slice(&out).ptr, 1, out.len, stdout);
            fflush(stdout);
            if (message.len > 0) fprintf(stderr, "%.*s\n", SLICE_ARGS(buf_slice(&message)));
            status = err == ERR_OK ? 0 : 1;
        }
    }
    args_fini(&args);
    buf_fini(&message);
    buf_fini(&out);
    arena_fini(&arena);
    return status;
}
