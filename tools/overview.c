#include "tools/overview.h"
#include "tools/cluster_client.h"
#include "tools/overview_text.h"
#include "tools/usage.h"
#include "tools/zookeeper_client.h"
#include "wire/gen/describe_cluster.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdio.h>
#include <stdlib.h>

static const struct args_option options[] = {
    {"bootstrap-server", "HOST:PORT,...", 0, "brokers to ask first: brokers and racks"},
    {"zookeeper", "HOST:PORT,...[/CHROOT]", 0,
     "read the znodes: also all listeners, epochs, and the controllers, active and standing by"},
    {"config", "FILE", 0, "client settings, a properties file"},
    {"id", "BROKER", 0, "the broker that \"unregister\" means"},
};

const struct args_command overview_command = {
    .name = "ottla cluster",
    .summary = "tell who is in the cluster: brokers and controllers",
    .more =
        "--bootstrap-server, --zookeeper or both: then brokers that are registered, but "
        "unknown\nto the brokers that are asked, are marked. \"ottla cluster cluster-id\" prints "
        "the\nid of the cluster alone, \"ottla cluster unregister --id N\" is kafka-cluster's, "
        "which needs KRaft.",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};

struct session {
    const struct args *args;
    struct arena *arena;
    struct buf *message;
    struct overview overview;
};

static int by_id(const void *a, const void *b)
{
    const struct overview_node *one = a, *other = b;

    return (one->id > other->id) - (one->id < other->id);
}

static void sort(struct overview_node *nodes, int count)
{
    if (count > 1) qsort(nodes, (size_t)count, sizeof(*nodes), by_id);
}

/* ---- by ZooKeeper ---- */

static struct slice endpoints_text(struct arena *arena, const struct doc_endpoint *endpoints,
                                   int32_t count)
{
    struct buf out = {0};

    for (int32_t i = 0; i < count; i++) {
        bool is_v6 = endpoints[i].host.len > 0 &&
                     memchr(endpoints[i].host.ptr, ':', endpoints[i].host.len) != NULL;
        buf_printf(&out, is_v6 ? "%s%.*s://[%.*s]:%d" : "%s%.*s://%.*s:%d", i == 0 ? "" : ",",
                   SLICE_ARGS(endpoints[i].listener), SLICE_ARGS(endpoints[i].host),
                   endpoints[i].port);
    }
    struct slice text = arena_copy(arena, buf_slice(&out));
    buf_fini(&out);
    return text;
}

/* All registrations below `parent`, which need not be there. One that cannot be read is shown by
 * its id. */
static enum err read_nodes(struct session *s, struct zookeeper_client *zookeeper,
                           struct slice parent, bool are_brokers, struct overview_node **nodes,
                           int *count)
{
    struct zookeeper_answer *ids, *docs;
    struct zk_op list = {.kind = ZK_CHILDREN, .path = parent};
    int n = 0;

    enum err err = zookeeper_client_do(zookeeper, &list, ERR_NOT_FOUND, &ids);
    if (err != ERR_OK && err != ERR_NOT_FOUND) return err;
    struct overview_node *all =
        arena_zalloc(s->arena, (size_t)(ids->child_count + 1) * sizeof(*all));
    struct zk_op *ops = arena_zalloc(s->arena, (size_t)(ids->child_count + 1) * sizeof(*ops));
    for (int i = 0; i < ids->child_count; i++)
        ops[i] =
            (struct zk_op){.kind = ZK_GET, .path = path_child(s->arena, parent, ids->children[i])};
    err = zookeeper_client_read_all(zookeeper, ops, ids->child_count, &docs);
    if (err != ERR_OK) return err;
    for (int i = 0; i < ids->child_count; i++) {
        struct overview_node *node = &all[n];
        struct doc_broker broker;
        struct doc_controller_process process;

        /* One that has just gone is none. */
        if (docs[i].err != ERR_OK || path_parse_id(ids->children[i], &node->id) != ERR_OK) continue;
        n++;
        node->epoch = docs[i].stat.czxid;
        node->rack = SLICE_NULL;
        if (are_brokers && doc_broker_read(docs[i].data, s->arena, &broker) == ERR_OK) {
            node->endpoints = endpoints_text(s->arena, broker.endpoints, broker.endpoint_count);
            node->rack = broker.rack;
        } else if (!are_brokers &&
                   doc_controller_process_read(docs[i].data, s->arena, &process) == ERR_OK) {
            node->endpoints = endpoints_text(s->arena, process.endpoints, process.endpoint_count);
        }
    }
    sort(all, n);
    *nodes = all;
    *count = n;
    return ERR_OK;
}

static enum err read_znodes(struct session *s, struct zookeeper_client *zookeeper)
{
    const struct zk_op ops[] = {{.kind = ZK_GET, .path = PATH_CLUSTER_ID},
                                {.kind = ZK_GET, .path = PATH_CONTROLLER},
                                {.kind = ZK_GET, .path = PATH_CONTROLLER_EPOCH}};
    struct zookeeper_answer *answers;
    struct doc_controller controller;
    struct overview *overview = &s->overview;
    struct overview_node *nodes;

    enum err err = zookeeper_client_read_all(zookeeper, ops, 3, &answers);
    if (err != ERR_OK) return err;
    for (int i = 0; i < 3; i++)
        if (answers[i].err != ERR_OK && answers[i].err != ERR_NOT_FOUND)
            return zookeeper_client_fail(zookeeper, ops[i].path, answers[i].err);
    /* What is not there, or is no such document, stays unknown. */
    if (answers[0].err == ERR_OK &&
        doc_cluster_id_read(answers[0].data, s->arena, &overview->cluster_id) != ERR_OK)
        overview->cluster_id = SLICE_NULL;
    if (answers[1].err == ERR_OK &&
        doc_controller_read(answers[1].data, s->arena, &controller) == ERR_OK)
        overview->controller = controller.broker_id;
    if (answers[2].err == ERR_OK &&
        doc_number_read(answers[2].data, 0, INT32_MAX, &overview->controller_epoch) != ERR_OK)
        overview->controller_epoch = -1;
    err =
        read_nodes(s, zookeeper, PATH_CONTROLLERS_IDS, false, &nodes, &overview->controller_count);
    if (err != ERR_OK) return err;
    overview->controllers = nodes;
    err = read_nodes(s, zookeeper, PATH_BROKERS_IDS, true, &nodes, &overview->broker_count);
    if (err == ERR_OK) overview->brokers = nodes;
    return err;
}

static enum err by_zookeeper(struct session *s)
{
    struct zookeeper_client zookeeper;

    enum err err = zookeeper_client_open(&zookeeper, args_text(s->args, "zookeeper", ""), s->arena,
                                         s->message);
    if (err != ERR_OK) return err;
    err = read_znodes(s, &zookeeper);
    zookeeper_client_close(&zookeeper);
    return err;
}

/* ---- by the brokers ---- */

static void take_brokers(struct session *s, const struct describe_cluster_response *response)
{
    int32_t count = response->brokers.count > 0 ? response->brokers.count : 0;
    struct overview_node *nodes = arena_zalloc(s->arena, (size_t)(count + 1) * sizeof(*nodes));

    for (int32_t i = 0; i < count; i++) {
        const struct describe_cluster_response_broker *broker = &response->brokers.at[i];
        nodes[i] = (struct overview_node){
            .id = broker->broker_id,
            .endpoints = arena_printf(s->arena, "%.*s:%d", SLICE_ARGS(broker->host), broker->port),
            .rack = arena_copy(s->arena, broker->rack),
            .epoch = -1,
        };
    }
    sort(nodes, count);
    s->overview.brokers = nodes;
    s->overview.broker_count = count;
    s->overview.cluster_id = arena_copy(s->arena, response->cluster_id);
    s->overview.controller = response->controller_id;
    s->overview.by_broker = true;
}

/* ZooKeeper has told who is registered: those that the brokers do not name are marked. */
static void mark_unknown(struct session *s, const struct describe_cluster_response *response)
{
    struct overview_node *nodes =
        arena_zalloc(s->arena, (size_t)(s->overview.broker_count + 1) * sizeof(*nodes));

    for (int i = 0; i < s->overview.broker_count; i++) {
        nodes[i] = s->overview.brokers[i];
        nodes[i].is_unknown_to_brokers = true;
        for (int32_t j = 0; j < response->brokers.count; j++)
            if (response->brokers.at[j].broker_id == nodes[i].id)
                nodes[i].is_unknown_to_brokers = false;
    }
    s->overview.brokers = nodes;
}

static enum err by_brokers(struct session *s, bool is_second)
{
    struct cluster *cluster = NULL;
    struct conf settings;
    struct describe_cluster_request body;
    struct cluster_request request = {.api = API_DESCRIBE_CLUSTER, .body = &body};

    conf_init(&settings);
    wire_default(&describe_cluster_request_wire, &body);
    enum err err = usage_read_settings(s->args, "config", NULL, &settings, s->message);
    if (err == ERR_OK)
        err = cluster_open(
            &(struct cluster_options){.bootstrap = args_text(s->args, "bootstrap-server", ""),
                                      .client_id = "adminclient-1",
                                      .timeout_ms = usage_timeout_ms(&settings)},
            &cluster, s->message);
    if (err == ERR_OK) err = cluster_ask(cluster, CLUSTER_ANY, true, &request, s->message);
    if (err == ERR_OK) {
        const struct describe_cluster_response *response = request.response;
        if (response->error_code != KAFKA_NONE) {
            buf_add_text(s->message, kafka_error_name(response->error_code));
            err = ERR_DENIED;
        } else if (is_second) {
            mark_unknown(s, response);
        } else {
            take_brokers(s, response);
        }
        cluster_request_fini(&request);
    }
    cluster_close(&cluster);
    conf_fini(&settings);
    return err;
}

/* ---- the whole ---- */

static enum err run(struct session *s, bool is_id_only, struct buf *out)
{
    bool by_znodes = args_has(s->args, "zookeeper"),
         by_server = args_has(s->args, "bootstrap-server");

    enum err err = by_znodes ? by_zookeeper(s) : ERR_OK;
    if (err == ERR_OK && by_server) err = by_brokers(s, by_znodes);
    if (err != ERR_OK) return err;
    if (!is_id_only)
        overview_print(&s->overview, out);
    else if (slice_is_null(s->overview.cluster_id))
        buf_add_text(out, "No cluster ID found. The Kafka version is probably too old.\n");
    else
        buf_printf(out, "Cluster ID: %.*s\n", SLICE_ARGS(s->overview.cluster_id));
    return ERR_OK;
}

/* The actions that kafka-cluster has. */
enum action { OVERVIEW, CLUSTER_ID, UNREGISTER };

static enum action take_action(int *argc, char ***argv)
{
    enum action action = *argc == 0                              ? OVERVIEW
                         : strcmp((*argv)[0], "cluster-id") == 0 ? CLUSTER_ID
                         : strcmp((*argv)[0], "unregister") == 0 ? UNREGISTER
                                                                 : OVERVIEW;

    if (action != OVERVIEW) {
        --*argc;
        ++*argv;
    }
    /* Of all tools only this one has short options. Nobody writes into what stands here. */
    for (int i = 0; i < *argc; i++) {
        if (strcmp((*argv)[i], "-b") == 0) (*argv)[i] = (char *)(uintptr_t) "--bootstrap-server";
        if (strcmp((*argv)[i], "-c") == 0) (*argv)[i] = (char *)(uintptr_t) "--config";
    }
    return action;
}

static enum err act(struct session *s, enum action action, struct buf *out)
{
    enum err err = run(s, action == CLUSTER_ID, out);

    if (err != ERR_OK || action != UNREGISTER) return err;
    /* Where there is ZooKeeper a broker's registration ends with its session: Kafka says so too. */
    buf_clear(out);
    buf_add_text(out, "The cluster does not support the broker unregistration API.\n");
    return ERR_OK;
}

static const char *misuse(const struct args *args, enum action action)
{
    if (!args_has(args, "zookeeper") && !args_has(args, "bootstrap-server"))
        return "--bootstrap-server or --zookeeper is missing";
    if (args_has(args, "id") != (action == UNREGISTER)) return "--id goes with unregister";
    return NULL;
}

int overview_main(int argc, char **argv)
{
    enum action action = take_action(&argc, &argv);
    struct args args;
    struct arena arena;
    struct buf message = {0}, out = {0};
    struct session s = {
        .args = &args,
        .arena = &arena,
        .message = &message,
        .overview = {.cluster_id = SLICE_NULL, .controller = BROKER_NONE, .controller_epoch = -1}};
    int status;

    arena_init(&arena, (size_t)1 << 40);
    if (usage_read(&overview_command, argc, argv, &args, &status)) {
        const char *wrong = misuse(&args, action);
        status = 1;
        if (wrong != NULL) {
            buf_add_text(&message, wrong);
            usage_wrong(&overview_command, &message);
        } else if (act(&s, action, &out) == ERR_OK) {
            fwrite(buf_slice(&out).ptr, 1, out.len, stdout);
            status = 0;
        } else {
            fprintf(stderr, "Error: %.*s\n", SLICE_ARGS(buf_slice(&message)));
        }
    }
    args_fini(&args);
    buf_fini(&message);
    buf_fini(&out);
    arena_fini(&arena);
    return status;
}
