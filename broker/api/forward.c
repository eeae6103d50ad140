#include "broker/api/forward.h"
#include "base/ensure.h"
#include "base/log.h"
#include "broker/api/control.h"
#include "cluster/options.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include "zk/zk.h"
#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_MS       50 /* Kafka's pause of this channel */
#define BACKOFF_MS_MAX   1000
#define RETRY_MS         100
#define IN_FLIGHT_MAX    16
#define WAITING_MAX      1000
#define ANSWER_BYTES_MAX (64 * 1024 * 1024)
#define ARENA_BYTES_MAX  (1024 * 1024)
#define CALL_MS_MIN      1

/* One look: who is it, then where. The three answers come in order. */
struct look {
    struct forward *forward; /* NULL: given up */
    struct zk_call exists, get, process, broker;
    int waiting;
    int32_t id;
    bool is_process, is_broker;
    struct net_address address;
};

struct forward {
    struct shard *shard;
    struct control *control;
    struct zk *zk;
    struct slice listener; /* name of the inter-broker listener */
    int64_t request_timeout_ms, connect_timeout_ms;
    char client_id[16];

    struct look *look;
    bool look_again;
    int32_t id;     /* −1: nobody known */
    uint32_t found; /* how many so far */
    bool is_broker; /* an Apache controller */
    struct net_address address;

    bool is_stopping;
    int closing; /* peers that have not gone yet; one more while stopping begins */
    void (*stopped)(void *owner);
    void *stopped_owner;
    struct post stopped_post;
    struct conn_limits limits;
    struct peer *peers[FORWARD_LANES];
    struct list calls[FORWARD_LANES]; /* in the order in which they were given */
    struct list ended;                /* timed out: told in the next post */
    struct timer timer;               /* the next deadline, or the next attempt */
    struct post post;
    struct arena arena;
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ---- calls ---- */

static void send_waiting(struct forward *forward);

static void arm(struct forward *forward)
{
    struct instant at = INSTANT_NEVER, now = shard_now(forward->shard);
    bool waits = false;

    for (int lane = 0; lane < FORWARD_LANES; lane++) {
        list_each (node, &forward->calls[lane]) {
            struct forward_call *call = list_entry(node, struct forward_call, node);
            at = instant_min(at, call->deadline);
            waits = waits || !call->is_sending;
        }
    }
    if (waits) at = instant_min(at, instant_add_ms(now, RETRY_MS));
    timer_arm(forward->shard, &forward->timer, at);
}

static void on_answer(struct peer_call *peer_call, enum err err, struct slice answer,
                      struct block *block)
{
    struct forward_call *call = CONTAINER(peer_call, struct forward_call, call);
    struct forward *forward = call->forward;

    (void)block;
    call->is_sending = false;
    call->was_sent = call->was_sent || peer_call->was_sent;
    bool is_over = call->is_single && err != ERR_CANCELLED; /* that one is ours: sent again */
    if (err == ERR_OK || err == ERR_UNSUPPORTED || is_over) {
        list_remove(&call->node);
        call->done(call, err, answer);
        return;
    }
    call->was_resent = call->was_resent || peer_call->was_sent;
    log_debug("broker", "controller-call-failed", "api=%d why=%s", peer_call->api_key,
              err_name(err));
    arm(forward); /* it stays in its place: sent again with the next attempt */
}

static void expire(struct forward *forward)
{
    struct instant now = shard_now(forward->shard);

    for (int lane = 0; lane < FORWARD_LANES; lane++) {
        list_each (node, &forward->calls[lane]) {
            struct forward_call *call = list_entry(node, struct forward_call, node);
            if (!instant_reached(now, call->deadline)) continue;
            if (call->is_sending) {
                call->was_sent = call->was_sent || call->call.was_sent;
                peer_cancel(
                    &call->call); /* its `done` says ERR_CANCELLED, and the call has gone on */
                if (call->is_sending) continue;
            }
            list_remove(&call->node);
            list_push(&forward->ended, &call->node);
            shard_post(forward->shard, &forward->post);
        }
    }
}

static void on_ended(struct post *post)
{
    struct forward *forward = CONTAINER(post, struct forward, post);

    for (struct list_node *node; (node = list_pop(&forward->ended)) != NULL;) {
        struct forward_call *call = list_entry(node, struct forward_call, node);
        call->done(call, ERR_TIMED_OUT, SLICE_NULL);
    }
}

static void on_timer(struct timer *timer)
{
    struct forward *forward = CONTAINER(timer, struct forward, timer);

    expire(forward);
    send_waiting(forward);
    arm(forward);
}

static void peer_gone(struct forward *forward)
{
    if (--forward->closing == 0 && forward->is_stopping)
        shard_post(forward->shard, &forward->stopped_post);
}

static void on_peer_closed(void *owner)
{
    peer_gone(owner);
}

/* Every connection that ends is waited for at the end, whenever that began. */
static void close_peers(struct forward *forward)
{
    for (int lane = 0; lane < FORWARD_LANES; lane++) {
        if (forward->peers[lane] == NULL) continue;
        forward->closing++;
        peer_close(&forward->peers[lane], on_peer_closed);
    }
}

static void open_peer(struct forward *forward, int lane)
{
    struct peer_options options = {
        .address = forward->address,
        .socket = {.receive_buffer_bytes = -1, .send_buffer_bytes = -1},
        .client_id = forward->client_id,
        .limits = &forward->limits,
        .in_flight_max = lane == FORWARD_PROMPT ? 1 : IN_FLIGHT_MAX,
        .waiting_max = WAITING_MAX,
        .request_timeout_ms = forward->request_timeout_ms,
        .connect_timeout_ms = forward->connect_timeout_ms,
        .backoff_ms = BACKOFF_MS,
        .backoff_ms_max = BACKOFF_MS_MAX,
        .negotiate = forward->is_broker, /* an Apache controller may be of any release */
        .owner = forward,
    };

    forward->peers[lane] = peer_open(forward->shard, &options);
}

static void send_waiting(struct forward *forward)
{
    struct instant now = shard_now(forward->shard);

    if (forward->id < 0 || forward->is_stopping) return;
    for (int lane = 0; lane < FORWARD_LANES; lane++) {
        list_each (node, &forward->calls[lane]) {
            struct forward_call *call = list_entry(node, struct forward_call, node);
            if (call->is_sending) continue;
            if (forward->peers[lane] == NULL) open_peer(forward, lane);
            call->is_sending = true;
            call->to_broker = forward->is_broker;
            call->call = (struct peer_call){.done = on_answer};
            if (!instant_is_never(call->deadline)) {
                int64_t left_ms = instant_ms_between(now, call->deadline);
                call->call.timeout_ms = left_ms < CALL_MS_MIN ? CALL_MS_MIN : left_ms;
            }
            call->prepare(call, forward->is_broker);
            peer_send(forward->peers[lane], &call->call);
        }
    }
}

void forward_send(struct forward *forward, struct forward_call *call)
{
    call->forward = forward;
    call->is_sending = false;
    if (forward->is_stopping) call->deadline = INSTANT_ZERO;
    list_push(&forward->calls[call->lane], &call->node);
    send_waiting(forward);
    arm(forward);
}

static void on_stopped(struct post *post)
{
    struct forward *forward = CONTAINER(post, struct forward, stopped_post);

    forward->stopped(forward->stopped_owner);
}

void forward_stop(struct forward *forward, void (*stopped)(void *owner), void *owner)
{
    forward->is_stopping = true;
    forward->stopped = stopped;
    forward->stopped_owner = owner;
    forward->stopped_post.run = on_stopped;
    forward->closing++;
    for (int lane = 0; lane < FORWARD_LANES; lane++)
        list_each (node, &forward->calls[lane])
            list_entry(node, struct forward_call, node)->deadline = INSTANT_ZERO;
    close_peers(forward);
    arm(forward);
    peer_gone(forward);
}

/* ---- who and where ---- */

static void settle(struct forward *forward, const struct look *look)
{
    bool is_known = look->is_process || look->is_broker;
    bool is_broker = !look->is_process && look->is_broker;
    int32_t id = is_known ? look->id : BROKER_NONE;

    if (id == forward->id && is_broker == forward->is_broker &&
        (id < 0 || (strcmp(look->address.host, forward->address.host) == 0 &&
                    look->address.port == forward->address.port)))
        return;
    log_info("broker", "controller-found", "id=%d kind=%s address=%s:%u", id,
             id < 0      ? "none"
             : is_broker ? "broker"
                         : "process",
             look->address.host, (unsigned)look->address.port);
    forward->id = id;
    if (id >= 0) forward->found++;
    forward->is_broker = is_broker;
    forward->address = look->address;
    control_set_controller_process(forward->control, look->is_process ? id : BROKER_NONE);
    /* What was sent to the one before ends, and goes to this one. */
    close_peers(forward);
    send_waiting(forward);
    arm(forward);
}

static void look_start(struct forward *forward);

static void look_step(struct look *look)
{
    struct forward *forward = look->forward;

    if (--look->waiting > 0) return;
    if (forward != NULL) {
        forward->look = NULL;
        if (forward->look_again)
            look_start(forward);
        else
            settle(forward, look);
    }
    free(look);
}

/* The address by which brokers talk, or the first that can be spoken to. */
static bool choose_address(struct forward *forward, const struct doc_endpoint *endpoints, int count,
                           struct net_address *out)
{
    const struct doc_endpoint *chosen = NULL;

    for (int i = 0; i < count; i++) {
        if (!slice_is(endpoints[i].protocol, "PLAINTEXT")) continue;
        if (chosen == NULL || slice_equal(endpoints[i].listener, forward->listener))
            chosen = &endpoints[i];
    }
    if (chosen == NULL || chosen->host.len == 0 || chosen->host.len >= sizeof(out->host) ||
        chosen->port <= 0 || chosen->port > UINT16_MAX)
        return false;
    *out = (struct net_address){.port = (uint16_t)chosen->port};
    memcpy(out->host, chosen->host.ptr, chosen->host.len);
    return true;
}

static void on_process(struct zk_call *call, enum err err, const struct zk_result *results,
                       int count)
{
    struct look *look = CONTAINER(call, struct look, process);
    struct doc_controller_process doc;

    if (look->forward != NULL && err == ERR_OK && count > 0) {
        arena_reset(&look->forward->arena);
        err = doc_controller_process_read(results[0].data, &look->forward->arena, &doc);
        if (err == ERR_OK)
            look->is_process =
                choose_address(look->forward, doc.endpoints, doc.endpoint_count, &look->address);
    }
    look_step(look);
}

static void on_broker(struct zk_call *call, enum err err, const struct zk_result *results,
                      int count)
{
    struct look *look = CONTAINER(call, struct look, broker);
    struct doc_broker doc;

    if (look->forward != NULL && err == ERR_OK && count > 0 && !look->is_process) {
        arena_reset(&look->forward->arena);
        err = doc_broker_read(results[0].data, &look->forward->arena, &doc);
        if (err == ERR_OK)
            look->is_broker =
                choose_address(look->forward, doc.endpoints, doc.endpoint_count, &look->address);
    }
    look_step(look);
}

static void on_exists(struct zk_call *call, enum err err, const struct zk_result *results,
                      int count)
{
    (void)err;
    (void)results;
    (void)count;
    look_step(CONTAINER(call, struct look, exists)); /* it has armed the watch */
}

static void look_submit(struct look *look, struct zk_call *call, enum zk_kind kind,
                        struct slice path, bool watch,
                        void (*done)(struct zk_call *call, enum err err,
                                     const struct zk_result *results, int count))
{
    *call = (struct zk_call){.done = done, .retry_loss = true};
    look->waiting++;
    zk_submit(look->forward->zk, call, &(struct zk_op){.kind = kind, .path = path, .watch = watch},
              1);
}

static void on_controller(struct zk_call *call, enum err err, const struct zk_result *results,
                          int count)
{
    struct look *look = CONTAINER(call, struct look, get);
    struct forward *forward = look->forward;
    struct doc_controller doc;

    if (forward != NULL && forward->zk != NULL && err == ERR_OK && count > 0) {
        arena_reset(&forward->arena);
        err = doc_controller_read(results[0].data, &forward->arena, &doc);
        if (err == ERR_OK) {
            look->id = doc.broker_id;
            arena_reset(&forward->arena);
            struct slice process = path_controller_process(&forward->arena, doc.broker_id);
            struct slice broker = path_broker(&forward->arena, doc.broker_id);
            look_submit(look, &look->process, ZK_GET, process, false, on_process);
            look_submit(look, &look->broker, ZK_GET, broker, false, on_broker);
        } else {
            log_warn("broker", "controller-unreadable", "why=%s", err_name(err));
        }
    }
    look_step(look);
}

static void look_start(struct forward *forward)
{
    forward->look_again = forward->look != NULL;
    if (forward->look != NULL || forward->zk == NULL) return;
    struct look *look = ensure_zalloc(sizeof(*look));
    look->forward = forward;
    look->id = BROKER_NONE;
    forward->look = look;
    look_submit(look, &look->exists, ZK_EXISTS, PATH_CONTROLLER, true, on_exists);
    look_submit(look, &look->get, ZK_GET, PATH_CONTROLLER, false, on_controller);
}

void forward_again(struct forward_call *call)
{
    struct forward *forward = call->forward;

    if (forward->is_stopping) call->deadline = INSTANT_ZERO;
    list_push(&forward->calls[call->lane], &call->node);
    call->is_sending = false;
    look_start(forward);
    arm(forward);
}

void forward_set_zk(struct forward *forward, struct zk *zk)
{
    forward->zk = zk;
    if (forward->look != NULL) forward->look->forward = NULL;
    forward->look = NULL;
    look_start(forward);
}

void forward_event(struct forward *forward, const struct zk_event *event)
{
    bool is_node = event->type == ZK_NODE_CREATED || event->type == ZK_NODE_DELETED ||
                   event->type == ZK_NODE_CHANGED;

    if (is_node && !forward->is_stopping && slice_equal(event->path, PATH_CONTROLLER))
        look_start(forward);
}

int32_t forward_controller_id(const struct forward *forward)
{
    return forward->id;
}

uint32_t forward_controllers_found(const struct forward *forward)
{
    return forward->found;
}

/* ---- life ---- */

struct forward *forward_create(struct shard *shard, struct control *control,
                               const struct listeners *listeners, const struct options *options)
{
    struct forward *forward = ensure_zalloc(sizeof(*forward));

    forward->shard = shard;
    forward->control = control;
    forward->listener = listeners->at[listeners->inter_broker].name;
    forward->request_timeout_ms = options_int(options, OPTION_REQUEST_TIMEOUT_MS);
    forward->connect_timeout_ms = options_long(options, OPTION_SOCKET_CONNECTION_SETUP_TIMEOUT_MS);
    snprintf(forward->client_id, sizeof(forward->client_id), "%d",
             options_int(options, OPTION_BROKER_ID));
    forward->id = BROKER_NONE;
    conn_limits_init(&forward->limits);
    forward->limits.frame_bytes_max = ANSWER_BYTES_MAX;
    for (int lane = 0; lane < FORWARD_LANES; lane++)
        list_init(&forward->calls[lane]);
    list_init(&forward->ended);
    forward->timer.fire = on_timer;
    forward->post.run = on_ended;
    arena_init(&forward->arena, ARENA_BYTES_MAX);
    return forward;
}

void forward_destroy(struct forward **forward)
{
    struct forward *gone = *forward;

    if (gone == NULL) return;
    if (gone->look != NULL) gone->look->forward = NULL;
    for (int lane = 0; lane < FORWARD_LANES; lane++)
        if (gone->peers[lane] != NULL) peer_close(&gone->peers[lane], NULL);
    timer_cancel(gone->shard, &gone->timer);
    shard_unpost(&gone->post);
    shard_unpost(&gone->stopped_post);
    arena_fini(&gone->arena);
    conn_limits_trim(&gone->limits);
    free(gone);
    *forward = NULL;
}
