#include "tools/delete_records.h"
#include "tools/usage.h"
#include "wire/gen/delete_records.h"
#include "zk/doc_json.h"
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS 30000 /* for replicas to follow */

static const struct args_option options[] = {
    {"bootstrap-server", "HOST:PORT,...", ARGS_REQUIRED, "brokers to ask first"},
    {"offset-json-file", "FILE", ARGS_REQUIRED,
     "{\"partitions\":[{\"topic\":\"t\",\"partition\":0,\"offset\":5}],\"version\":1}: what lies "
     "below the offset goes; -1 is the high watermark"},
    {"command-config", "FILE", 0, "client settings, a properties file"},
};

const struct args_command delete_records_command = {
    .name = "ottla delete-records",
    .summary = "delete the records of partitions below an offset",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

static int by_place(const void *a, const void *b)
{
    return topic_partition_compare(((const struct led_part *)a)->at,
                                   ((const struct led_part *)b)->at);
}

enum err delete_records_read(struct slice json, struct arena *arena, struct led_part **out,
                             int *count, struct buf *message)
{
    struct doc_reader reader;
    const json_t *root = doc_open(&reader, json, arena);
    int64_t version = doc_int_or(&reader, root, "version", INT32_MIN, INT32_MAX, 1);
    const json_t *array = doc_array(&reader, root, "partitions", true);
    size_t n = json_array_size(array);
    struct led_part *parts = doc_room(&reader, n + 1, sizeof(*parts));

    for (size_t i = 0; reader.err == ERR_OK && i < n; i++) {
        const json_t *each = json_array_get(array, i);
        if (!json_is_object(each)) {
            doc_fail(&reader, ERR_CORRUPT);
            break;
        }
        parts[i].at.topic = doc_string(&reader, each, "topic");
        parts[i].at.partition = doc_int32(&reader, each, "partition", 0);
        parts[i].wanted = doc_int(&reader, each, "offset", INT64_MIN, INT64_MAX);
    }
    enum err err = doc_close(&reader);
    if (err != ERR_OK) {
        buf_printf(message, "this is no list of offsets in JSON (%s)", err_text(err));
        return ERR_INVALID;
    }
    if (version != 1) {
        buf_printf(message, "Not supported version field value %lld", (long long)version);
        return ERR_INVALID;
    }
    if (n == 0) {
        buf_add_text(message, "the list of partitions is empty");
        return ERR_INVALID;
    }
    qsort(parts, n, sizeof(*parts), by_place);
    for (size_t i = 1; i < n; i++) {
        if (by_place(&parts[i - 1], &parts[i]) != 0) continue;
        buf_printf(message, "Offset json file contains duplicate topic partitions: %.*s-%d",
                   SLICE_ARGS(parts[i].at.topic), parts[i].at.partition);
        return ERR_INVALID;
    }
    *out = parts;
    *count = (int)n;
    return ERR_OK;
}

bool delete_records_print(const struct led_part *parts, int count, struct buf *out)
{
    bool is_good = true;

    for (int i = 0; i < count; i++) {
        buf_printf(out, "partition: %.*s-%d\t", SLICE_ARGS(parts[i].at.topic),
                   parts[i].at.partition);
        if (parts[i].code == KAFKA_NONE)
            buf_printf(out, "low_watermark: %lld\n", (long long)parts[i].answer);
        else
            buf_printf(out, "error: %s\n", kafka_error_name(parts[i].code));
        is_good = is_good && parts[i].code == KAFKA_NONE;
    }
    return is_good;
}

/* ---- asking ---- */

struct session {
    struct cluster *cluster;
    struct arena *arena;
    struct buf *message;
};

static void read_answer(const struct delete_records_response *response, struct led_part **parts,
                        int count)
{
    int at = 0;

    for (int32_t t = 0; t < response->topics.count; t++)
        for (int32_t p = 0; p < response->topics.at[t].partitions.count; p++, at = (at + 1) % count)
            for (int i = 0; i < count; i++, at = (at + 1) % count) { /* mostly the next one */
                if (!slice_equal(parts[at]->at.topic, response->topics.at[t].name) ||
                    parts[at]->at.partition !=
                        response->topics.at[t].partitions.at[p].partition_index)
                    continue;
                parts[at]->code = response->topics.at[t].partitions.at[p].error_code;
                parts[at]->answer = response->topics.at[t].partitions.at[p].low_watermark;
                break;
            }
}

static enum err ask(void *owner, int32_t leader, struct led_part **parts, int count)
{
    struct session *s = owner;
    struct delete_records_request body;
    struct cluster_request request = {
        .api = API_DELETE_RECORDS, .body = &body, .timeout_ms = 2 * TIMEOUT_MS};
    struct delete_records_request_topic_partition *each =
        arena_zalloc(s->arena, sizeof(*each) * (size_t)count);

    wire_default(&delete_records_request_wire, &body);
    body.timeout_ms = TIMEOUT_MS;
    body.topics.at = arena_zalloc(s->arena, sizeof(*body.topics.at) * (size_t)count);
    body.topics.count = 0;
    for (int i = 0; i < count; i++) {
        each[i].partition_index = parts[i]->at.partition;
        each[i].offset = parts[i]->wanted;
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

static enum err run(const struct args *args, struct session *s, struct led_part **parts, int *count)
{
    const char *path = args_text(args, "offset-json-file", "");
    struct buf text = {0}, why = {0};
    struct conf settings;

    conf_init(&settings);
    enum err err = usage_read_settings(args, "command-config", NULL, &settings, s->message);
    if (err == ERR_OK) err = usage_read_text(path, &text, s->message);
    if (err == ERR_OK) {
        err = delete_records_read(buf_slice(&text), s->arena, parts, count, &why);
        if (err != ERR_OK) buf_printf(s->message, "%s: %.*s", path, SLICE_ARGS(buf_slice(&why)));
    }
    if (err == ERR_OK)
        err = cluster_open(
            &(struct cluster_options){.bootstrap = args_text(args, "bootstrap-server", ""),
                                      .client_id = "delete-records-command",
                                      .timeout_ms = usage_timeout_ms(&settings)},
            &s->cluster, s->message);
    if (err == ERR_OK) {
        printf("Executing records delete operation\n");
        err = by_leader(s->cluster, *parts, *count, ask, s, s->arena, s->message);
    }
    cluster_close(&s->cluster);
    conf_fini(&settings);
    buf_fini(&text);
    buf_fini(&why);
    return err;
}

int delete_records_main(int argc, char **argv)
{
    struct args args;
    struct arena arena;
    struct buf message = {0}, out = {0};
    struct session s = {.arena = &arena, .message = &message};
    struct led_part *parts = NULL;
    int status, count = 0;

    arena_init(&arena, (size_t)1 << 40);
    if (usage_read(&delete_records_command, argc, argv, &args, &status)) {
        enum err err = run(&args, &s, &parts, &count);
        bool is_good = err == ERR_OK && delete_records_print(parts, count, &out);
        if (err == ERR_OK)
            printf("Records delete operation completed:\n%.*s", SLICE_ARGS(buf_slice(&out)));
        else
            fprintf(stderr, "Error: %.*s\n", SLICE_ARGS(buf_slice(&message)));
        fflush(stdout);
        status = is_good ? 0 : 1;
    }
    args_fini(&args);
    buf_fini(&message);
    buf_fini(&out);
    arena_fini(&arena);
    return status;
}
