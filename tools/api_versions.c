#include "tools/api_versions.h"
#include "base/text.h"
#include "tools/cluster_client.h"
#include "tools/usage.h"
#include <stdio.h>
#include <stdlib.h>

#define SOFTWARE_NAME    "ottla"
#define SOFTWARE_VERSION "3.9"
#define KEY_MAX          INT16_MAX

static const struct args_option options[] = {
    {"bootstrap-server", "HOST:PORT,...", ARGS_REQUIRED, "brokers to ask first"},
    {"command-config", "FILE", 0, "client settings, a properties file"},
};

const struct args_command api_versions_command = {
    .name = "ottla broker-api-versions",
    .summary = "which versions of which requests each broker takes",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

/* Requests that Kafka's clients of 3.9 send to clusters with KRaft only: the schemas have none of
 * them. */
static const struct api_info of_kraft[] = {
    {.name = "describe_quorum", .key = 55, .version_max = 2},
    {.name = "unregister_broker", .key = 64, .version_max = 0},
    {.name = "add_raft_voter", .key = 80, .version_max = 0},
    {.name = "remove_raft_voter", .key = 81, .version_max = 0},
};
#define OF_KRAFT (int)(sizeof(of_kraft) / sizeof(of_kraft[0]))

static const struct api_info *find(int key)
{
    for (int i = 0; i < OF_KRAFT; i++)
        if (of_kraft[i].key == key) return &of_kraft[i];
    return api_info_find(key);
}

/* "list_offsets" as "ListOffsets". */
static void print_name(const struct api_info *api, struct buf *out)
{
    bool is_first = true;

    for (const char *c = api->name; *c != '\0'; c++) {
        if (*c == '_') {
            is_first = true;
            continue;
        }
        char letter = is_first && *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        buf_add(out, &letter, 1);
        is_first = false;
    }
}

static void print_api(const struct api_info *api, const struct api_versions_response_api_key *has,
                      struct buf *out)
{
    if (api == NULL)
        buf_printf(out, "UNKNOWN(%d): ", has->api_key);
    else
        print_name(api, out);
    if (api != NULL) buf_printf(out, "(%d): ", api->key);
    if (has == NULL) {
        buf_add_text(out, "UNSUPPORTED");
        return;
    }
    buf_printf(out, "%d", has->min_version);
    if (has->max_version != has->min_version) buf_printf(out, " to %d", has->max_version);
    if (api == NULL) return;
    int newest = api->version_max - (api->is_unstable ? 1 : 0);
    if (newest < has->min_version)
        buf_add_text(out, " [unusable: node too new]");
    else if (has->max_version < api->version_min)
        buf_add_text(out, " [unusable: node too old]");
    else
        buf_printf(out, " [usable: %d]", newest < has->max_version ? newest : has->max_version);
}

static const struct api_versions_response_api_key *
offered(const struct api_versions_response *response, int key)
{
    for (int32_t i = 0; i < response->api_keys.count; i++)
        if (response->api_keys.at[i].api_key == key) return &response->api_keys.at[i];
    return NULL;
}

void api_versions_print(const struct api_versions_response *response, struct buf *out)
{
    bool is_first = true;

    for (int key = 0; key <= KEY_MAX; key++) {
        const struct api_versions_response_api_key *has = offered(response, key);
        const struct api_info *api = find(key);
        if (has == NULL && api == NULL) continue;
        buf_add_text(out, is_first ? "\t" : ",\n\t");
        print_api(api, has, out);
        is_first = false;
    }
    buf_add_text(out, "\n");
}

/* A broker that does not answer has its line too, and the others have theirs. */
static void ask_one(struct cluster *cluster, const struct metadata_response_broker *broker,
                    struct buf *out)
{
    struct api_versions_request body;
    struct cluster_request request = {.api = API_API_VERSIONS, .body = &body};
    struct buf message = {0};

    wire_default(&api_versions_request_wire, &body);
    body.client_software_name = slice_text(SOFTWARE_NAME);
    body.client_software_version = slice_text(SOFTWARE_VERSION);
    buf_printf(out, "%.*s:%d (id: %d rack: ", SLICE_ARGS(broker->host), broker->port,
               broker->node_id);
    if (slice_is_null(broker->rack))
        buf_add_text(out, "null) -> ");
    else
        buf_printf(out, "%.*s) -> ", SLICE_ARGS(broker->rack));
    enum err err = cluster_ask(cluster, broker->node_id, true, &request, &message);
    if (err != ERR_OK) {
        buf_printf(out, "ERROR: %.*s\n", SLICE_ARGS(buf_slice(&message)));
    } else {
        const struct api_versions_response *response = request.response;
        if (response->error_code != KAFKA_NONE) {
            buf_printf(out, "ERROR: %s\n", kafka_error_name(response->error_code));
        } else {
            buf_add_text(out, "(\n");
            api_versions_print(response, out);
            buf_add_text(out, ")\n");
        }
        cluster_request_fini(&request);
    }
    buf_fini(&message);
}

static enum err run(const struct args *args, struct buf *out, struct buf *message)
{
    struct cluster *cluster = NULL;
    struct cluster_request request = {0};
    const struct metadata_response *metadata = NULL;
    struct conf settings;

    conf_init(&settings);
    enum err err = usage_read_settings(args, "command-config", NULL, &settings, message);
    if (err == ERR_OK)
        err = cluster_open(
            &(struct cluster_options){.bootstrap = args_text(args, "bootstrap-server", ""),
                                      .client_id = "admin",
                                      .timeout_ms = usage_timeout_ms(&settings)},
            &cluster, message);
    if (err == ERR_OK)
        err = cluster_metadata(cluster, NULL, 0, false, &request, &metadata, message);
    if (err == ERR_OK) {
        for (int32_t i = 0; i < metadata->brokers.count; i++)
            ask_one(cluster, &metadata->brokers.at[i], out);
        cluster_request_fini(&request);
    }
    cluster_close(&cluster);
    conf_fini(&settings);
    return err;
}

int api_versions_main(int argc, char **argv)
{
    struct args args;
    struct buf message = {0}, out = {0};
    int status;

    if (usage_read(&api_versions_command, argc, argv, &args, &status)) {
        enum err err = run(&args, &out, &message);
        fwrite(buf_slice(&out).ptr, 1, out.len, stdout);
        fflush(stdout);
        if (err != ERR_OK) fprintf(stderr, "Error: %.*s\n", SLICE_ARGS(buf_slice(&message)));
        status = err == ERR_OK ? 0 : 1;
    }
    args_fini(&args);
    buf_fini(&message);
    buf_fini(&out);
    return status;
}
