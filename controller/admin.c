/* controller/admin.c - see admin.h: listeners, connections, which handler; and the small answers.
 */
#include "controller/admin.h"
#include "base/ensure.h"
#include "base/log.h"
#include "cluster/features.h"
#include "controller/asked.h"
#include "wire/gen/api_versions.h"
#include "wire/gen/default_principal_data.h"
#include "wire/gen/describe_cluster.h"
#include "wire/gen/envelope.h"
#include <stdio.h>
#include <stdlib.h>

/* What a request can make of itself when it is decoded and answered is at most some forty times its
 * size: the arena's limit is never reached by one that was let in. */
#define REQUEST_ARENA_MAX  (1024u << 20)
#define FRAME_BYTES_MAX    (8u << 20)
#define FRAMES_PENDING_MAX 64
#define REPLY_BYTES_MAX    (16u << 20)
#define MEMORY_BYTES_MAX   (64u << 20)
#define CLIENTS_MAX        10000 /* further connections are closed at once */

static const struct handler {
    int16_t api_key;
    int16_t version_min, version_max;
    bool is_forwarded; /* may come in an Envelope */
    void (*ask)(struct asked *asked);
} handlers[] = {
    {API_METADATA, 0, 12, false, ask_metadata},
    {API_CONTROLLED_SHUTDOWN, 0, 3, false, ask_controlled_shutdown},
    {API_API_VERSIONS, 0, 4, false, ask_api_versions},
    {API_CREATE_TOPICS, 0, 7, true, ask_create_topics},
    {API_DELETE_TOPICS, 0, 6, true, ask_delete_topics},
    {API_ALTER_CONFIGS, 0, 2, true, ask_alter_configs},
    {API_CREATE_PARTITIONS, 0, 3, true, ask_create_partitions},
    {API_ELECT_LEADERS, 0, 2, true, ask_elect_leaders},
    {API_ALTER_PARTITION_REASSIGNMENTS, 0, 0, true, ask_reassign},
    {API_INCREMENTAL_ALTER_CONFIGS, 0, 1, true, ask_incremental_alter_configs},
    {API_LIST_PARTITION_REASSIGNMENTS, 0, 0, true, ask_list_reassignments},
    {API_ALTER_PARTITION, 0, 3, false, ask_alter_partition},
    {API_ENVELOPE, 0, 0, false, NULL},
    {API_DESCRIBE_CLUSTER, 0, 1, true, ask_describe_cluster},
    {API_ALLOCATE_PRODUCER_IDS, 0, 0, false, ask_producer_ids},
    {API_FIND_COORDINATOR, 0, 6, false, ask_find_coordinator},
    {API_DESCRIBE_CONFIGS, 0, 4, false, ask_describe_configs},
    {API_LIST_GROUPS, 0, 5, false, ask_list_groups},
    {API_INIT_PRODUCER_ID, 0, 5, false, ask_init_producer_id},
    {API_UPDATE_FEATURES, 0, UPDATE_FEATURES_VERSION_MAX, true, ask_update_features},
};
#define HANDLER_COUNT (sizeof(handlers) / sizeof(handlers[0]))

static const struct handler *handler_of(int16_t api_key)
{
    for (unsigned i = 0; i < HANDLER_COUNT; i++)
        if (handlers[i].api_key == api_key) return &handlers[i];
    return NULL;
}

/* ---- small answers ---- */

static void list_apis(struct asked *asked, struct api_versions_response *response)
{
    response->api_keys.at = asked_alloc(asked, HANDLER_COUNT * sizeof(*response->api_keys.at));
    response->api_keys.count = HANDLER_COUNT;
    for (unsigned i = 0; i < HANDLER_COUNT; i++)
        response->api_keys.at[i] = (struct api_versions_response_api_key){
            handlers[i].api_key, handlers[i].version_min, handlers[i].version_max};
}

/* Of a version that we do not have: the oldest layout, naming only itself. */
static void refuse_version(struct asked *asked)
{
    struct api_versions_response response;
    struct api_versions_response_api_key self = {API_API_VERSIONS, 0, 4};

    wire_default(&api_versions_response_wire, &response);
    response.error_code = KAFKA_UNSUPPORTED_VERSION;
    response.api_keys.at = &self;
    response.api_keys.count = 1;
    asked->head.api_version = 0;
    asked_reply(asked, &api_versions_response_wire, &response);
}

void ask_api_versions(struct asked *asked)
{
    struct api_versions_request request;
    struct api_versions_response response;

    if (!asked_read(asked, &api_versions_request_wire, &request)) return;
    wire_default(&api_versions_response_wire, &response);
    list_apis(asked, &response);
    asked_reply(asked, &api_versions_response_wire, &response);
}

void ask_describe_cluster(struct asked *asked)
{
    struct controller *c = asked->controller;
    struct describe_cluster_request request;
    struct describe_cluster_response response;
    struct ids alive = {0};
    const char *listener = asked_listener(asked);

    if (!asked_read(asked, &describe_cluster_request_wire, &request)) return;
    wire_default(&describe_cluster_response_wire, &response);
    response.cluster_id = slice_text(c->cluster_id);
    response.controller_id = c->leader_id;
    response.endpoint_type = request.endpoint_type;
    context_alive(&c->context, &alive);
    response.brokers.at =
        asked_alloc(asked, (size_t)(alive.count + 1) * sizeof(*response.brokers.at));
    response.brokers.count = 0;
    for (int32_t i = 0; i < alive.count; i++) {
        const struct broker *broker = context_broker(&c->context, alive.at[i]);
        const struct control_endpoint *endpoint = broker_endpoint(broker, listener);

        if (endpoint != NULL)
            response.brokers.at[response.brokers.count++] =
                (struct describe_cluster_response_broker){
                    .broker_id = broker->id,
                    .host = slice_text(endpoint->host),
                    .port = endpoint->port,
                    .rack = slice_text(broker->rack),
                };
    }
    ids_fini(&alive);
    asked_reply(asked, &describe_cluster_response_wire, &response);
}

/* ---- requests ---- */

static void serve(struct asked *asked)
{
    const struct handler *handler = handler_of(asked->head.api_key);

    if (handler == NULL || handler->ask == NULL ||
        (asked->is_enveloped && !handler->is_forwarded)) {
        if (asked->is_enveloped)
            asked_refuse_envelope(asked, KAFKA_INVALID_REQUEST);
        else
            asked_close(asked, "unknown-api");
        return;
    }
    if (asked->head.api_version >= handler->version_min &&
        asked->head.api_version <= handler->version_max)
        handler->ask(asked);
    else if (asked->head.api_key == API_API_VERSIONS)
        refuse_version(asked);
    else if (asked->is_enveloped)
        asked_refuse_envelope(asked, KAFKA_UNSUPPORTED_VERSION);
    else
        asked_close(asked, "unknown-version");
}

/* A broker has authorised what is inside. The principal is checked to be one; what it may do was
 * the broker's to say. */
static bool is_principal(struct asked *asked, struct slice bytes)
{
    struct default_principal_data data;
    int version;

    return slice_is_null(bytes) || wire_read_versioned(bytes, &default_principal_data_wire,
                                                       &asked->arena, &version, &data) == ERR_OK;
}

static void open_envelope(struct asked *asked)
{
    struct envelope_request request;

    if (asked->head.api_version != 0) {
        asked_close(asked, "unknown-version");
        return;
    }
    if (!asked_read(asked, &envelope_request_wire, &request)) return;
    asked->is_enveloped = true;
    asked->envelope = asked->head;
    if (!is_principal(asked, request.request_principal))
        asked_refuse_envelope(asked, KAFKA_PRINCIPAL_DESERIALIZATION_FAILURE);
    else if (frame_read_request_head(request.request_data, &asked->head, &asked->body) != ERR_OK)
        asked_refuse_envelope(asked, KAFKA_INVALID_REQUEST);
    else
        serve(asked);
}

static void frame_came(struct conn *conn, struct block *block, uint64_t ticket)
{
    struct client *client = conn_user(conn);
    struct asked *asked = ensure_zalloc(sizeof(*asked));
    struct slice frame = block_slice(block);

    asked->controller = client->admin->controller;
    asked->client = client;
    asked->ticket = ticket;
    asked->block = block;
    arena_init(&asked->arena, REQUEST_ARENA_MAX);
    list_push(&client->asked, &asked->node);

    if (frame_read_request_head(frame, &asked->head, &asked->body) != ERR_OK)
        asked_close(asked, "bad-header");
    else if (asked->head.api_key == API_ENVELOPE)
        open_envelope(asked);
    else
        serve(asked);
}

static void conn_ended(struct conn *conn, enum err why)
{
    struct client *client = conn_user(conn);

    (void)why;
    if (client == NULL) return;
    /* Their work goes on: what was begun in ZooKeeper is not undone by a lost connection. It needs
     * the request, which lies in the block. */
    list_each (node, &client->asked) {
        list_remove(node);
        list_entry(node, struct asked, node)->client = NULL;
    }
    struct controller *c = client->admin->controller;
    list_remove(&client->node);
    client->admin->clients--;
    free(client);
    controller_check_stopped(c);
}

static const struct conn_handlers conn_handlers = {.frame = frame_came, .closed = conn_ended};

static void accepted(void *owner, struct conn *conn)
{
    struct listener_owner *at = owner;

    if (at->admin->clients >= CLIENTS_MAX) {
        conn_close(conn, false);
        return;
    }
    struct client *client = ensure_zalloc(sizeof(*client));
    client->conn = conn;
    client->admin = at->admin;
    client->listener = at->index;
    list_init(&client->asked);
    list_push(&at->admin->all, &client->node);
    at->admin->clients++;
    conn_set_user(conn, client);
}

enum err admin_open(struct controller *c, struct admin **out)
{
    struct admin *admin = ensure_zalloc(sizeof(*admin));
    enum err err = ERR_OK;

    admin->controller = c;
    list_init(&admin->works);
    list_init(&admin->describes);
    list_init(&admin->all);
    conn_limits_init(&admin->limits);
    admin->limits.frame_bytes_max = FRAME_BYTES_MAX;
    admin->limits.frames_pending_max = FRAMES_PENDING_MAX;
    admin->limits.reply_bytes_max = REPLY_BYTES_MAX;
    admin->limits.memory_bytes_max = MEMORY_BYTES_MAX;
    for (int i = 0; err == ERR_OK && i < c->listeners->count; i++) {
        const struct listener_setting *l = &c->listeners->at[i];

        admin->owners[i] = (struct listener_owner){admin, i};
        struct listener_options options = {
            .address = {.port = (uint16_t)l->bind_port},
            .socket = {.receive_buffer_bytes = -1, .send_buffer_bytes = -1, .backlog = 128},
            .handlers = &conn_handlers,
            .limits = &admin->limits,
            .accepted = accepted,
            .owner = &admin->owners[i],
        };
        snprintf(options.address.host, sizeof(options.address.host), "%.*s",
                 SLICE_ARGS(l->bind_host));
        err = listener_open(c->shard, &options, &admin->listeners[i]);
        if (err != ERR_OK)
            log_error("controller", "cannot-listen", "listener=%.*s port=%d error=%s",
                      SLICE_ARGS(l->name), l->bind_port, err_text(err));
    }
    if (err == ERR_OK) {
        *out = admin;
    } else {
        admin_close(admin);
        admin_destroy(&admin);
    }
    return err;
}

void admin_destroy(struct admin **admin)
{
    if (*admin != NULL) conn_limits_trim(&(*admin)->limits);
    free(*admin);
    *admin = NULL;
}

void admin_close(struct admin *a)
{
    for (int i = 0; i < LISTENERS_MAX; i++)
        if (a->listeners[i] != NULL) listener_close(&a->listeners[i]);
    works_drop(a);
    describes_close(a);
    list_each (node, &a->all)
        conn_close(list_entry(node, struct client, node)->conn, false);
}

int32_t admin_clients(const struct admin *admin)
{
    return admin->clients + admin->passed;
}

int32_t admin_port(const struct admin *admin, int index)
{
    return admin->listeners[index] == NULL ? 0 : listener_port(admin->listeners[index]);
}

void admin_check(struct admin *admin)
{
    if (admin != NULL) works_check(admin);
}

void admin_answered(struct admin *admin, struct event **event)
{
    struct asked *asked = (*event)->caller;

    (void)admin;
    switch ((*event)->type) {
    case EVENT_CONTROLLED_SHUTDOWN:
        tell_controlled_shutdown(asked, *event);
        break;
    case EVENT_ALTER_PARTITION:
        tell_alter_partition(asked, *event);
        break;
    case EVENT_ELECT:
        tell_elect_leaders(asked, *event);
        break;
    case EVENT_REASSIGN:
        tell_reassign(asked, *event);
        break;
    case EVENT_PRODUCER_IDS:
        if (asked->head.api_key == API_INIT_PRODUCER_ID)
            tell_init_producer_id(asked, *event);
        else
            tell_producer_ids(asked, *event);
        break;
    default: /* nobody asks for the others */
        break;
    }
    event_destroy(event);
}
