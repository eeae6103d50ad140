#include "tools/cluster_client.h"
#include "base/ensure.h"
#include "cluster/types.h"
#include "runtime/env_posix.h"
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_BYTES_MAX   (256u << 20) /* one frame: a broker's fetch.max.bytes and much more */
#define ANSWER_MEMORY_MAX  (1024u << 20)
#define ARENA_BYTES_MAX    (256u << 20) /* arrays of one response */
#define CONNECT_TIMEOUT_MS 10000
#define RETRY_BACKOFF_MS   200
#define CONTROLLER_TRIES   50 /* while a controller is elected */

/* A broker, or a server of the bootstrap list (its node is below CLUSTER_ANY). */
struct node {
    int32_t id;
    struct net_address address;
    struct peer *peer; /* NULL: not needed so far */
};

struct cluster {
    struct env *env;
    struct shard shard;
    struct conn_limits limits;
    struct cluster_options options;
    struct node *nodes;
    int count;
    int bootstrap_count; /* the first of them */
    int next_bootstrap;
    int open_peers;
    int32_t controller; /* as Metadata said last; CLUSTER_ANY: not known */
};

static enum err address_parse(struct slice text, struct net_address *out)
{
    struct slice host;
    int32_t port;

    enum err err = host_port_parse(text, &host, &port);
    if (err != ERR_OK) return err;
    if (host.len == 0 || host.len >= sizeof(out->host) || port == 0) return ERR_INVALID;
    *out = (struct net_address){.port = (uint16_t)port};
    memcpy(out->host, host.ptr, host.len);
    return ERR_OK;
}

static struct node *add_node(struct cluster *cluster, int32_t id, const struct net_address *address)
{
    cluster->nodes =
        ensure_realloc(cluster->nodes, (size_t)(cluster->count + 1) * sizeof(*cluster->nodes));
    struct node *node = &cluster->nodes[cluster->count++];
    *node = (struct node){.id = id, .address = *address};
    return node;
}

static enum err read_bootstrap(struct cluster *cluster, const char *list, struct buf *message)
{
    struct slice left = slice_text(list), item;
    struct net_address address;

    for (bool more = true; more;) {
        more = slice_cut(&left, ',', &item);
        if (!more) item = left;
        if (item.len == 0) continue;
        if (address_parse(item, &address) != ERR_OK) {
            buf_printf(message, "\"%.*s\" must be host:port", SLICE_ARGS(item));
            return ERR_INVALID;
        }
        add_node(cluster, CLUSTER_ANY - 1 - cluster->count, &address);
    }
    cluster->bootstrap_count = cluster->count;
    if (cluster->count > 0) return ERR_OK;
    buf_add_text(message, "no server is named: host:port,host:port");
    return ERR_INVALID;
}

enum err cluster_open(const struct cluster_options *options, struct cluster **out,
                      struct buf *message)
{
    struct cluster *cluster = ensure_zalloc(sizeof(*cluster));

    cluster->options = *options;
    cluster->controller = CLUSTER_ANY;
    if (cluster->options.request_timeout_ms == 0) cluster->options.request_timeout_ms = 30000;
    if (cluster->options.timeout_ms == 0) cluster->options.timeout_ms = 60000;
    if (cluster->options.in_flight_max == 0) cluster->options.in_flight_max = 5;
    enum err err = read_bootstrap(cluster, options->bootstrap, message);
    if (err == ERR_OK) {
        cluster->env = env_posix_create(NULL);
        err = shard_open(&cluster->shard, cluster->env, 0, NULL, NULL, cluster, NULL);
        if (err != ERR_OK) buf_add_text(message, err_text(err));
    }
    if (err != ERR_OK) {
        if (cluster->env != NULL) env_posix_destroy(&cluster->env);
        free(cluster->nodes);
        free(cluster);
        return err;
    }
    conn_limits_init(&cluster->limits);
    cluster->limits.frame_bytes_max = ANSWER_BYTES_MAX;
    cluster->limits.memory_bytes_max = ANSWER_MEMORY_MAX;
    *out = cluster;
    return ERR_OK;
}

static void peer_closed(void *owner)
{
    struct cluster *cluster = owner;

    cluster->open_peers--;
}

void cluster_close(struct cluster **cluster)
{
    struct cluster *at = *cluster;

    if (at == NULL) return;
    for (int i = 0; i < at->count; i++)
        peer_close(&at->nodes[i].peer, peer_closed);
    while (at->open_peers > 0)
        shard_turn(&at->shard);
    shard_close(&at->shard);
    env_posix_destroy(&at->env);
    free(at->nodes);
    free(at);
    *cluster = NULL;
}

struct shard *cluster_shard(struct cluster *cluster)
{
    return &cluster->shard;
}

void cluster_turn(struct cluster *cluster)
{
    shard_turn(&cluster->shard);
}

struct pause {
    struct timer timer;
    bool is_over;
};

static void pause_fire(struct timer *timer)
{
    ((struct pause *)(void *)((char *)timer - offsetof(struct pause, timer)))->is_over = true;
}

void cluster_wait(struct cluster *cluster, int64_t ms)
{
    struct pause pause = {.timer.fire = pause_fire};

    timer_arm(&cluster->shard, &pause.timer, instant_add_ms(env_now(cluster->env), ms));
    while (!pause.is_over)
        shard_turn(&cluster->shard);
}

/* ---- one request ---- */

static struct cluster_request *request_of(struct peer_call *call)
{
    return (struct cluster_request *)(void *)((char *)call -
                                              offsetof(struct cluster_request, call));
}

static void write_body(struct peer_call *call, int version, struct buf *body)
{
    struct cluster_request *request = request_of(call);

    wire_write(body, version, api_info_find(request->api)->request, request->body);
}

static void finish(struct cluster_request *request, enum err err)
{
    request->err = err;
    if (request->done != NULL) request->done(request);
}

static void answered(struct peer_call *call, enum err err, struct slice answer, struct block *block)
{
    struct cluster_request *request = request_of(call);
    const struct wire_struct *type = api_info_find(request->api)->response;

    request->version = call->version;
    request->was_sent = call->was_sent;
    if (err == ERR_OK && !request->no_answer) {
        request->block = block_hold(block);
        arena_init(&request->arena, ARENA_BYTES_MAX);
        void *response = arena_zalloc(&request->arena, type->size);
        err = wire_read(answer, call->version, type, &request->arena, response);
        if (err == ERR_OK)
            request->response = response;
        else
            cluster_request_fini(request);
    }
    finish(request, err);
}

void cluster_request_fini(struct cluster_request *request)
{
    if (request->block != NULL) arena_fini(&request->arena);
    block_drop(&request->block);
    request->response = NULL;
}

static struct peer *peer_of(struct cluster *cluster, struct node *node)
{
    if (node->peer != NULL) return node->peer;
    node->peer =
        peer_open(&cluster->shard, &(struct peer_options){
                                       .address = node->address,
                                       .socket = {-1, -1, 0},
                                       .client_id = cluster->options.client_id,
                                       .limits = &cluster->limits,
                                       .in_flight_max = cluster->options.in_flight_max,
                                       .waiting_max = 10000,
                                       .request_timeout_ms = cluster->options.request_timeout_ms,
                                       .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                       .backoff_ms = 50,
                                       .backoff_ms_max = 1000,
                                       .negotiate = true,
                                       .owner = cluster,
                                   });
    cluster->open_peers++;
    return node->peer;
}

/* Any broker that is connected, else the next of the list. */
static struct node *any_node(struct cluster *cluster)
{
    for (int i = cluster->bootstrap_count; i < cluster->count; i++)
        if (cluster->nodes[i].peer != NULL && peer_state(cluster->nodes[i].peer) == PEER_UP)
            return &cluster->nodes[i];
    return &cluster->nodes[cluster->next_bootstrap];
}

static struct node *node_of(struct cluster *cluster, int32_t id)
{
    if (id == CLUSTER_ANY) return any_node(cluster);
    for (int i = cluster->bootstrap_count; i < cluster->count; i++)
        if (cluster->nodes[i].id == id) return &cluster->nodes[i];
    return NULL;
}

static struct peer_call call_of(const struct cluster_request *request)
{
    const struct api_info *api = api_info_find(request->api);
    int16_t newest = (int16_t)(api->version_max - (api->is_unstable ? 1 : 0));

    if (request->version_max > 0 && request->version_max < newest) newest = request->version_max;
    int16_t oldest =
        request->version_min > api->version_min ? request->version_min : api->version_min;
    return (struct peer_call){.api_key = api->key,
                              .version_min = oldest,
                              .version_max = newest,
                              .timeout_ms = request->timeout_ms,
                              .no_answer = request->no_answer,
                              .write = write_body,
                              .done = answered};
}

struct lost {
    struct post post;
    struct cluster_request *request;
};

static void lost_run(struct post *post)
{
    struct lost *lost = (struct lost *)(void *)((char *)post - offsetof(struct lost, post));

    finish(lost->request, ERR_NOT_FOUND);
    free(lost);
}

void cluster_send(struct cluster *cluster, int32_t node, struct cluster_request *request)
{
    struct node *to = node_of(cluster, node);

    request->response = NULL;
    request->block = NULL;
    request->was_sent = false;
    if (to == NULL) { /* answered later, as all are */
        struct lost *lost = ensure_zalloc(sizeof(*lost));
        lost->post.run = lost_run;
        lost->request = request;
        shard_post(&cluster->shard, &lost->post);
        return;
    }
    request->call = call_of(request);
    peer_send(peer_of(cluster, to), &request->call);
}

/* ---- questions ---- */

static void note_done(struct cluster_request *request)
{
    request->is_waited = false;
}

static bool is_of_connection(enum err err)
{
    return err == ERR_CLOSED || err == ERR_REFUSED || err == ERR_UNREACHABLE ||
           err == ERR_NOT_FOUND || err == ERR_TIMED_OUT;
}

enum err cluster_ask(struct cluster *cluster, int32_t node, bool is_safe,
                     struct cluster_request *request, struct buf *message)
{
    struct instant deadline = instant_add_ms(env_now(cluster->env), cluster->options.timeout_ms);
    int tries = 0;

    for (;;) {
        struct node *to = node_of(cluster, node);
        if (to == NULL) {
            buf_printf(message, "broker %d is not known", node);
            return ERR_NOT_FOUND;
        }
        struct net_address at = to->address; /* nodes may move while it waits */
        request->done = note_done;
        request->is_waited = true;
        cluster_send(cluster, node, request);
        while (request->is_waited)
            shard_turn(&cluster->shard);
        if (request->err == ERR_OK) return ERR_OK;

        bool may_repeat = is_of_connection(request->err) && (is_safe || !request->was_sent);
        if (node == CLUSTER_ANY)
            cluster->next_bootstrap = (cluster->next_bootstrap + 1) % cluster->bootstrap_count;
        if (!may_repeat || instant_reached(env_now(cluster->env), deadline)) {
            buf_printf(message, "%s at %s:%u: %s", api_info_name((int)request->api), at.host,
                       at.port, err_text(request->err));
            return request->err;
        }
        if (tries++ == 0)
            fprintf(stderr, "%s:%u: %s; trying on\n", at.host, at.port, err_text(request->err));
        cluster_wait(cluster, RETRY_BACKOFF_MS);
    }
}

void cluster_metadata_fill(struct metadata_request *request, struct metadata_request_topic *topics,
                           const struct slice *names, int count, bool create)
{
    wire_default(&metadata_request_wire, request);
    for (int i = 0; i < count; i++)
        topics[i] = (struct metadata_request_topic){.name = names[i]};
    request->topics.at = topics;
    request->topics.count = count; /* −1: null, all of them */
    request->allow_auto_topic_creation = create;
}

enum err cluster_metadata(struct cluster *cluster, const struct slice *topics, int count,
                          bool create, struct cluster_request *request,
                          const struct metadata_response **out, struct buf *message)
{
    struct metadata_request body;
    struct metadata_request_topic *names =
        ensure_malloc((size_t)(count > 0 ? count : 1) * sizeof(*names));

    cluster_metadata_fill(&body, names, topics, count, create);
    *request = (struct cluster_request){.api = API_METADATA, .body = &body};
    enum err err = cluster_ask(cluster, CLUSTER_ANY, true, request, message);
    free(names);
    request->body = NULL;
    if (err != ERR_OK) return err;
    *out = request->response;
    cluster_note(cluster, *out);
    return ERR_OK;
}

enum err cluster_ask_controller(struct cluster *cluster, struct cluster_request *request,
                                int16_t (*code)(const void *response), struct buf *message)
{
    struct cluster_request metadata_request;
    const struct metadata_response *metadata;

    for (int i = 0;; i++) {
        if (cluster->controller == CLUSTER_ANY) {
            enum err err =
                cluster_metadata(cluster, NULL, 0, false, &metadata_request, &metadata, message);
            if (err != ERR_OK) return err;
            cluster_request_fini(&metadata_request);
        }
        enum err err = cluster_ask(cluster, cluster->controller, false, request, message);
        if (err != ERR_OK) return err;
        if (code(request->response) != KAFKA_NOT_CONTROLLER || i == CONTROLLER_TRIES) return ERR_OK;
        cluster_request_fini(request);
        cluster->controller = CLUSTER_ANY;
        cluster_wait(cluster, RETRY_BACKOFF_MS);
    }
}

void cluster_note(struct cluster *cluster, const struct metadata_response *metadata)
{
    cluster->controller = metadata->controller_id >= 0 ? metadata->controller_id : CLUSTER_ANY;
    for (int32_t i = 0; i < metadata->brokers.count; i++) {
        const struct metadata_response_broker *broker = &metadata->brokers.at[i];
        struct net_address address = {.port = (uint16_t)broker->port};
        if (broker->node_id < 0 || broker->host.len == 0 ||
            broker->host.len >= sizeof(address.host) || broker->port < 1 || broker->port > 65535)
            continue;
        memcpy(address.host, broker->host.ptr, broker->host.len);
        struct node *node = node_of(cluster, broker->node_id);
        if (node == NULL) {
            add_node(cluster, broker->node_id, &address);
            continue;
        }
        bool is_same =
            strcmp(node->address.host, address.host) == 0 && node->address.port == address.port;
        if (is_same) continue;
        node->address = address;
        if (node->peer != NULL) peer_set_address(node->peer, &address);
    }
}
