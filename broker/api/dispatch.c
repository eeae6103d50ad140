#include "broker/api/dispatch.h"
#include "base/ensure.h"
#include "base/log.h"
#include "broker/api/connections.h"
#include "broker/api/table.h"
#include "wire/codec.h"
#include "wire/frame.h"
#include <stdlib.h>

#define REQUESTS_SPARE_MAX 256

/* A decoded body is larger than its bytes: the least element of an array takes few bytes in the
 * frame, and a struct in the arena. */
#define DECODED_BYTES_MIN   (64 * 1024)
#define DECODED_BYTES_MAX   (64 * 1024 * 1024)
#define DECODED_PER_BYTE    48

#define ADMIT_INTERVAL_MS   100
#define CLIENTS_WAITING_MAX 64
#define LEAVE_MS_MAX        3000 /* for replies to leave when the broker ends */
#define QUIET_MS            50   /* … and for requests that are on the way to it */
#define QUIET_MS_MAX        500
#define QUIET_LOOK_MS       10

/* ---- requests: taken, ended ---- */

static struct request *request_take(struct api_shard *api)
{
    struct list_node *node = list_pop(&api->spare);
    struct request *request;

    if (node == NULL) {
        request = ensure_zalloc(sizeof(*request));
        arena_init(&request->arena, SIZE_MAX);
        buf_init(&request->out);
    } else {
        api->spare_count--;
        request = list_entry(node, struct request, node);
    }
    request->at = api;
    request->end = REQUEST_REPLIES;
    return request;
}

/* On the home shard, when nothing borrows from it any more. */
static void request_give(struct request *request)
{
    struct client *client = request->client;
    struct api_shard *home = client->home;

    block_drop(&request->block);
    client->requests--;
    if (client->conn == NULL && client->requests == 0) free(client);

    if (home->spare_count >= REQUESTS_SPARE_MAX) {
        arena_fini(&request->arena);
        buf_fini(&request->out);
        free(request);
        return;
    }
    arena_reset(&request->arena);
    if (request->out.capacity > DECODED_BYTES_MIN) buf_fini(&request->out);
    buf_clear(&request->out);
    *request = (struct request){.arena = request->arena, .out = request->out};
    list_push(&home->spare, &request->node);
    home->spare_count++;
}

static void on_sent(struct reply *reply)
{
    struct request *request =
        (struct request *)(void *)((char *)reply - offsetof(struct request, reply));

    phases_note(request);
    if (request->sent != NULL) request->sent(request);
    request_give(request);
}

static void on_orphan_sent(struct post *post)
{
    struct request *request = list_entry(post, struct request, post);

    on_sent(&request->reply);
}

/* On the home shard: what was decided about the request takes effect. */
static void request_finish(struct request *request)
{
    struct client *client = request->client;

    request->replied = shard_look(client->home->shard);
    if (client->conn == NULL) {
        request->post.run = on_orphan_sent;
        shard_post(client->home->shard, &request->post);
        return;
    }
    switch (request->end) {
    case REQUEST_REPLIES:
        request->reply.done = on_sent;
        conn_reply(client->conn, request->ticket, &request->reply);
        return;
    case REQUEST_CLOSES:
        counter_add(&client->home->requests_refused, 1);
        conn_close(client->conn, true);
        break;
    case REQUEST_IS_SILENT:
        conn_no_reply(client->conn, request->ticket);
        break;
    }
    request->post.run = on_orphan_sent;
    shard_post(client->home->shard, &request->post);
}

/* ---- between a connection's shard and the control shard ---- */

struct msg_request {
    struct msg msg;
    struct request *request;
};

static void request_post(struct request *request, enum msg_type type, int to)
{
    struct msg_request *msg = ensure_zalloc(sizeof(*msg));

    msg->msg.type = (uint16_t)type;
    msg->request = request;
    mailbox_call(request->at->shard->mailbox, (uint8_t)to, &msg->msg);
}

static void request_end(struct request *request)
{
    struct api_shard *home = request->client->home;

    if (request->at == home)
        request_finish(request);
    else
        request_post(request, MSG_RESPONSE, home->shard->id);
}

static void hear_request(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct request *request = ((struct msg_request *)(void *)msg)->request;

    mailbox_reply(api->shard->mailbox, msg);
    request->at = api;
    if (request->begun.ns == 0) request->begun = shard_looked(api->shard);
    request->handle(request);
}

static void hear_response(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct request *request = ((struct msg_request *)(void *)msg)->request;

    mailbox_reply(api->shard->mailbox, msg);
    request->at = api;
    request_finish(request);
}

static void hear_answer(void *owner, struct msg *msg)
{
    (void)owner;
    free(msg);
}

void request_to_control(struct request *request, void (*handle)(struct request *request))
{
    int control = request->at->process->shards;

    request->handle = handle;
    request_post(request, MSG_REQUEST, control);
}

void request_waits(struct request *request)
{
    if (request->waits_since.ns == 0) request->waits_since = shard_look(request->at->shard);
}

/* ---- replies ---- */

void request_write_head(const struct request *request, struct buf *out)
{
    frame_write_response_head(out, request->api->key, request->version, request->correlation_id);
}

static void reply_out(struct request *request)
{
    request->piece = (struct reply_piece){.bytes = buf_slice(&request->out)};
    request->reply.pieces = &request->piece;
    request->reply.count = 1;
    request->end = REQUEST_REPLIES;
    request_end(request);
}

void request_reply(struct request *request, const void *body)
{
    buf_clear(&request->out);
    request_write_head(request, &request->out);
    wire_write(&request->out, request->version, request->api->response_wire, body);
    reply_out(request);
}

void request_reply_bytes(struct request *request, struct slice body)
{
    buf_clear(&request->out);
    request_write_head(request, &request->out);
    buf_add_slice(&request->out, body);
    reply_out(request);
}

void request_send(struct request *request, struct reply_piece *pieces, int count,
                  void (*sent)(struct request *request))
{
    ensure(request->at == request->client->home);
    request->reply.pieces = pieces;
    request->reply.count = count;
    request->sent = sent;
    request->end = REQUEST_REPLIES;
    request_finish(request);
}

void request_fail(struct request *request, int16_t code)
{
    const void *body = request->api->refuse == NULL ? NULL : request->api->refuse(request, code);

    if (body == NULL)
        request_close(request);
    else
        request_reply(request, body);
}

void request_no_reply(struct request *request)
{
    request->end = REQUEST_IS_SILENT;
    request_end(request);
}

void request_close(struct request *request)
{
    request->end = REQUEST_CLOSES;
    request_end(request);
}

bool request_move(struct request *request, int to)
{
    struct client *client = request->client;
    const struct api_process *process = client->home->process;

    ensure(request->at == client->home);
    /* It has its place until `closed`: with limits by address it would be refused another there. */
    if (client->conn == NULL || client->home->is_leaving || process->nets[to] == NULL ||
        process->connections->counts_addresses ||
        conn_move(client->conn, request->block, process->nets[to]) != ERR_OK)
        return false;
    request->begun = INSTANT_ZERO; /* it is counted there */
    request_no_reply(request);
    return true;
}

bool request_is_orphan(const struct request *request)
{
    ensure(request->at == request->client->home);
    return request->client->conn == NULL;
}

struct slice request_frame(const struct request *request)
{
    return block_slice(request->block);
}

struct block *request_block(struct request *request)
{
    return request->at == request->client->home ? request->block : NULL;
}

/* ---- frames ---- */

const struct api *table_find(int16_t key)
{
    for (const struct api *const *api = api_table(); *api != NULL; api++)
        if ((*api)->key == key) return *api;
    return NULL;
}

enum err request_read_head(struct slice frame, struct request_head *out)
{
    struct frame_request_head head;
    struct slice body;

    /* Key, version and correlation id stand at the same place in all versions of the header; that
     * is what an unsupported version of ApiVersions is answered by. */
    enum err err = frame_peek_request(frame, &head);
    if (err != ERR_OK) return err;
    *out = (struct request_head){
        .key = head.api_key, .version = head.api_version, .correlation_id = head.correlation_id};
    out->api = table_find(head.api_key);
    if (out->api == NULL || head.api_version < out->api->version_min ||
        head.api_version > out->api->version_max)
        return ERR_UNSUPPORTED;
    err = frame_read_request_head(frame, &head, &body);
    if (err != ERR_OK) return err;
    out->client_id = slice_is_null(head.client_id) ? SLICE("") : head.client_id;
    out->body = body;
    return ERR_OK;
}

static void refuse_frame(struct client *client, const struct request_head *head, enum err err)
{
    counter_add(&client->home->requests_refused, 1);
    log_info("broker", "request-refused", "why=%s api=%d version=%d peer=%s", err_name(err),
             head->key, head->version, client->host);
}

static size_t decoded_bytes_max(size_t len)
{
    return len > DECODED_BYTES_MAX / DECODED_PER_BYTE ? DECODED_BYTES_MAX
                                                      : DECODED_BYTES_MIN + DECODED_PER_BYTE * len;
}

static void on_frame(struct conn *conn, struct block *block, uint64_t ticket)
{
    struct client *client = conn_user(conn);
    struct api_shard *api = client->home;
    struct request_head head = {0};

    enum err err = request_read_head(block_slice(block), &head);
    bool is_versions_guess = err == ERR_UNSUPPORTED && head.key == versions_api.key;
    if (err != ERR_OK && !is_versions_guess) {
        refuse_frame(client, &head, err);
        block_drop(&block);
        conn_close(conn, true);
        return;
    }

    struct request *request = request_take(api);
    client->requests++;
    counter_add(&api->requests, 1);
    request->client = client;
    request->ticket = ticket;
    request->block = block;
    request->api = head.api;
    request->version = head.version;
    request->correlation_id = head.correlation_id;
    request->client_id = head.client_id;
    request->bytes = block->len;
    request->arrived = shard_now(api->shard);
    request->listener = client->listener;
    request->principal = client->principal;
    memcpy(request->host, client->host, sizeof(request->host));

    if (is_versions_guess) {
        versions_refuse_version(request);
        return;
    }
    request->arena.limit = decoded_bytes_max(head.body.len);
    request->body = arena_zalloc(&request->arena, head.api->request_size);
    err =
        wire_read(head.body, head.version, head.api->request_wire, &request->arena, request->body);
    request->arena.limit = SIZE_MAX;
    block_charge(block, request->arena.used);
    if (err != ERR_OK) {
        refuse_frame(client, &head, err);
        request_close(request);
        return;
    }
    if (head.key == produce_api.key || head.key == fetch_api.key) client->is_working = true;
    request->handle = head.api->handle;
    if (head.api->place == API_ON_CONTROL) {
        request_to_control(request, head.api->handle);
    } else {
        request->begun = shard_looked(api->shard);
        head.api->handle(request);
    }
}

/* ---- connections ---- */

/* Tells the control shard; for `is_enter` it answers whether the address may have one more. */
struct msg_connection {
    struct msg msg;
    struct client *client; /* NULL: it went meanwhile */
    bool is_enter, is_allowed;
    char host[64];
};

static void hear_connection(void *owner, struct msg *msg)
{
    struct api_shard *control = owner;
    struct msg_connection *say = (struct msg_connection *)(void *)msg;
    struct slice address = slice_text(say->host);

    if (say->is_enter)
        say->is_allowed = connections_address_enter(control->process->connections, address);
    else
        connections_address_leave(control->process->connections, address);
    mailbox_reply(control->shard->mailbox, msg);
}

static struct msg_connection *say_connection(struct api_shard *api, const char *host, bool is_enter)
{
    struct msg_connection *say = ensure_zalloc(sizeof(*say));

    say->msg.type = MSG_CONNECTION;
    say->is_enter = is_enter;
    memcpy(say->host, host, sizeof(say->host));
    mailbox_call(api->shard->mailbox, (uint8_t)api->process->shards, &say->msg);
    return say;
}

static void try_admit(struct client *client)
{
    struct api_shard *api = client->home;

    /* What is asked of a broker before it is registered may be meant for its life before. And to
     * answer the controller's ping would say that this life still goes on. */
    if (api->awaits_registration) {
        if (!list_has(&client->waiting)) list_push(&api->clients_waiting, &client->waiting);
        return;
    }
    if (connections_enter(api->process->connections, client->listener)) {
        list_remove(&client->waiting);
        client->is_admitted = true;
        conn_resume(client->conn);
        return;
    }
    if (list_has(&client->waiting)) return;
    if (api->clients_waiting_count >= CLIENTS_WAITING_MAX) {
        conn_close(client->conn, false);
        return;
    }
    list_push(&api->clients_waiting, &client->waiting);
    api->clients_waiting_count++;
    timer_arm(api->shard, &api->admit, instant_add_ms(shard_now(api->shard), ADMIT_INTERVAL_MS));
}

/* Places get free on other shards too: they are looked for now and then while someone waits. */
static void admit_waiting(struct api_shard *api)
{
    api->clients_waiting_count = 0;
    list_each (node, &api->clients_waiting)
        api->clients_waiting_count++;
    list_each (node, &api->clients_waiting) {
        struct client *client = list_entry(node, struct client, waiting);
        try_admit(client);
        if (list_has(&client->waiting)) break;
        api->clients_waiting_count--;
    }
    if (!list_is_empty(&api->clients_waiting))
        timer_arm(api->shard, &api->admit,
                  instant_add_ms(shard_now(api->shard), ADMIT_INTERVAL_MS));
}

static void on_admit(struct timer *timer)
{
    admit_waiting((struct api_shard *)(void *)((char *)timer - offsetof(struct api_shard, admit)));
}

static void hear_connection_answer(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_connection *said = (struct msg_connection *)(void *)msg;
    struct client *client = said->client;

    if (said->is_enter && client == NULL && said->is_allowed) {
        say_connection(api, said->host, false); /* it went before the answer */
    } else if (said->is_enter && client != NULL) {
        client->counting = NULL;
        client->is_counted = said->is_allowed;
        if (said->is_allowed)
            try_admit(client);
        else
            conn_close(client->conn, false);
    }
    free(said);
}

void api_registered(struct api_shard *api)
{
    if (!api->awaits_registration) return;
    api->awaits_registration = false;
    admit_waiting(api);
}

void api_accepted(struct api_shard *api, struct conn *conn, int listener)
{
    struct client *client = ensure_zalloc(sizeof(*client));
    const struct net_address *peer = conn_peer(conn);

    client->conn = conn;
    client->home = api;
    client->listener = listener;
    client->principal = SLICE("User:ANONYMOUS");
    size_t len = strnlen(peer->host, sizeof(client->host) - 1);
    memcpy(client->host, peer->host, len);
    list_push(&api->clients, &client->node);
    conn_set_user(conn, client);

    conn_pause(conn);
    if (api->is_leaving) {
        conn_close(conn, false);
    } else if (api->process->connections->counts_addresses) {
        client->counting = say_connection(api, client->host, true);
        client->counting->client = client;
    } else {
        try_admit(client);
    }
}

static void have_left(struct api_shard *api)
{
    void (*left)(struct api_shard * api) = api->left;

    api->left = NULL; /* once: a late one may come and go */
    timer_cancel(api->shard, &api->leave);
    if (left != NULL) left(api);
}

static void on_closed(struct conn *conn, enum err why)
{
    struct client *client = conn_user(conn);

    if (client == NULL) return; /* refused before it was accepted */
    struct api_shard *api = client->home;
    log_debug("broker", "connection-closed", "peer=%s why=%s", client->host, err_name(why));
    client->conn = NULL;
    list_remove(&client->node);
    list_remove(&client->waiting);
    if (client->counting != NULL) client->counting->client = NULL;
    if (client->is_counted) say_connection(api, client->host, false);
    if (client->is_admitted) {
        connections_leave(api->process->connections, client->listener);
        if (!list_is_empty(&api->clients_waiting)) admit_waiting(api);
    }
    if (client->requests == 0) free(client);
    if (api->is_leaving && list_is_empty(&api->clients)) have_left(api);
}

const struct conn_handlers api_conn_handlers = {.frame = on_frame, .closed = on_closed};

/* A connection ends when it has been quiet for a while: who has not heard yet that others lead now
 * still sends here, and shall be told so, not be cut off with a request on the way. */
static void let_go(struct api_shard *api, bool is_late)
{
    struct instant now = shard_now(api->shard);
    struct instant next = INSTANT_NEVER;

    list_each (node, &api->clients) {
        struct client *client = list_entry(node, struct client, node);
        if (client->is_let_go) continue;
        struct instant at = instant_add_ms(conn_last_active(client->conn), QUIET_MS);
        if (!is_late && instant_before(now, at)) {
            next = instant_add_ms(now, QUIET_LOOK_MS);
            continue;
        }
        client->is_let_go = true;
        conn_close(client->conn, true);
    }
    if (instant_is_never(next))
        next = instant_add_ms(api->leave_began, QUIET_MS_MAX + LEAVE_MS_MAX);
    timer_arm(api->shard, &api->leave, next);
}

static void on_leave(struct timer *timer)
{
    struct api_shard *api =
        (struct api_shard *)(void *)((char *)timer - offsetof(struct api_shard, leave));
    int64_t ms = instant_ms_between(api->leave_began, shard_now(api->shard));

    if (ms < QUIET_MS_MAX + LEAVE_MS_MAX) {
        let_go(api, ms >= QUIET_MS_MAX);
        return;
    }
    list_each (node, &api->clients)
        conn_close(list_entry(node, struct client, node)->conn, false);
}

void api_leave(struct api_shard *api, void (*left)(struct api_shard *api))
{
    api->is_leaving = true;
    api->left = left;
    api->leave_began = shard_now(api->shard);
    if (list_is_empty(&api->clients))
        have_left(api);
    else
        let_go(api, false);
}

/* ---- a shard's part ---- */

void api_shard_init(struct api_shard *api, struct shard *shard, const struct api_process *process,
                    struct msg_routes *routes)
{
    bool is_control = shard->id == process->shards;

    *api = (struct api_shard){.shard = shard,
                              .process = process,
                              .options = process->options,
                              .broker_epoch = -1,
                              .feature_epoch = -1};
    list_init(&api->spare);
    list_init(&api->clients);
    list_init(&api->clients_waiting);
    list_init(&api->held);
    list_init(&api->looked_at);
    api->admit.fire = on_admit;
    api->leave.fire = on_leave;
    conn_limits_init(&api->limits);
    phases_init(&api->phases);

    if (is_control) {
        messages_on_call(routes, MSG_REQUEST, hear_request, api);
        messages_on_call(routes, MSG_CONNECTION, hear_connection, api);
        messages_on_answer(routes, MSG_RESPONSE, hear_answer, api);
    } else {
        messages_on_call(routes, MSG_RESPONSE, hear_response, api);
        messages_on_answer(routes, MSG_REQUEST, hear_answer, api);
        messages_on_answer(routes, MSG_CONNECTION, hear_connection_answer, api);
    }
}

void api_shard_fini(struct api_shard *api)
{
    timer_cancel(api->shard, &api->admit);
    timer_cancel(api->shard, &api->leave);
    timer_cancel(api->shard, &api->release);
    for (struct list_node *node; (node = list_pop(&api->spare)) != NULL;) {
        struct request *request = list_entry(node, struct request, node);
        arena_fini(&request->arena);
        buf_fini(&request->out);
        free(request);
    }
    for (int version = 0; version < API_VERSIONS_TOLD; version++)
        buf_fini(&api->versions[version]);
    conn_limits_fini(&api->limits);
    phases_fini(&api->phases);
}
