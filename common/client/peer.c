#include "client/peer.h"
#include "base/ensure.h"
#include "base/log.h"
#include "wire/frame.h"
#include "wire/gen/api_versions.h"
#include <stdlib.h>

#define VERSIONS_ARENA_BYTES 65536

enum call_state {
    CALL_IDLE,
    CALL_WAITING, /* on peer->waiting */
    CALL_SENT,    /* its frame is on peer->sent */
    CALL_ENDED,   /* on peer->ended: `done` is owed */
};

/* A request on its way. Its bytes are the connection's until they have left, its place in the order
 * of answers stays taken until the answer has come: so it lives longer than the call may. */
struct peer_frame {
    struct reply reply;
    struct reply_piece pieces[2];
    struct buf head, body;
    struct list_node node; /* of peer->sent; without an answer, of peer->leaving */
    struct peer *peer;
    struct peer_call *call; /* NULL: it has ended, nobody waits for the answer */
    int32_t correlation;
    int16_t api_key;
    int version;
    bool is_borrowed; /* by the connection */
    bool is_awaited;  /* its answer */
};

struct peer {
    struct shard *shard;
    struct peer_options options;
    char *client_id;
    enum peer_state state;
    struct sock *sock; /* while it connects */
    struct conn *conn;
    bool is_closing;
    bool is_negotiating;
    enum err lost_why; /* not ERR_OK: peer_disconnect was called */
    int failures;
    struct timer timer; /* connect time-out, or backoff */
    struct post post;
    struct list waiting, sent, leaving, ended;
    int waiting_count, sent_count;
    int32_t correlation;
    struct instant last_heard;
    struct peer_call ask_versions;
    struct api_range {
        int16_t api_key, min, max;
    } * versions;
    int version_count;
    void (*closed)(void *owner);
};

static void lose(struct peer *peer, enum err why, struct peer_call *late);
static void send_waiting(struct peer *peer);

static void news(struct peer *peer, enum err why)
{
    if (peer->options.news != NULL && !peer->is_closing)
        peer->options.news(peer->options.owner, peer, peer->state, why);
}

/* Calls. */

static void call_leave(struct peer_call *call)
{
    struct peer *peer = call->peer;

    if (call->state == CALL_WAITING) peer->waiting_count--;
    if (call->frame != NULL) call->frame->call = NULL;
    call->frame = NULL;
    list_remove(&call->node);
    timer_cancel(peer->shard, &call->timer);
    buf_fini(&call->body);
}

/* Ends it now: only where no caller of ours is below. The call may be gone afterwards. */
static void call_done(struct peer_call *call, enum err err, struct slice answer,
                      struct block *block)
{
    call_leave(call);
    call->state = CALL_IDLE;
    call->done(call, err, answer, block);
}

static void call_end_later(struct peer_call *call, enum err err)
{
    struct peer *peer = call->peer;

    call_leave(call);
    call->state = CALL_ENDED;
    call->err = err;
    list_push(&peer->ended, &call->node);
    shard_post(peer->shard, &peer->post);
}

static void call_late(struct timer *timer)
{
    struct peer_call *call = list_entry(timer, struct peer_call, timer);

    if (call->state == CALL_SENT)
        lose(call->peer, ERR_TIMED_OUT, call);
    else
        call_done(call, ERR_TIMED_OUT, SLICE_NULL, NULL);
}

static void pay_ended(struct peer *peer)
{
    for (struct list_node *node; (node = list_pop(&peer->ended)) != NULL;) {
        struct peer_call *call = list_entry(node, struct peer_call, node);
        call->state = CALL_IDLE;
        call->done(call, call->err, SLICE_NULL, NULL);
    }
}

/* Frames. */

static void frame_free_if_over(struct peer_frame *frame)
{
    if (frame->is_borrowed || frame->is_awaited) return;
    buf_fini(&frame->head);
    buf_fini(&frame->body);
    free(frame);
}

static void frame_forget_answer(struct peer_frame *frame)
{
    if (frame->is_awaited) {
        list_remove(&frame->node);
        frame->peer->sent_count--;
        frame->is_awaited = false;
    }
    frame_free_if_over(frame);
}

static void frame_left(struct reply *reply)
{
    struct peer_frame *frame = list_entry(reply, struct peer_frame, reply);
    struct peer_call *call = frame->call;

    frame->is_borrowed = false;
    if (!frame->is_awaited)
        list_remove(&frame->node);
    if (call != NULL && call->no_answer)
        call_done(call, reply->unsent == 0 ? ERR_OK : ERR_CLOSED, SLICE_NULL, NULL);
    frame_free_if_over(frame);
}

static enum err choose_version(const struct peer *peer, const struct peer_call *call, int *out)
{
    int min = 0, max = 0;

    if (!peer->options.negotiate || call == &peer->ask_versions) {
        *out = call->version_max;
        return ERR_OK;
    }
    enum err err = peer_versions(peer, call->api_key, &min, &max);
    if (err != ERR_OK) return err;
    if (max > call->version_max) max = call->version_max;
    if (max < call->version_min || max < min) return ERR_UNSUPPORTED;
    *out = max;
    return ERR_OK;
}

static void call_send(struct peer *peer, struct peer_call *call)
{
    struct peer_frame *frame = ensure_zalloc(sizeof(*frame));
    struct frame_request_head head = {
        .api_key = call->api_key,
        .api_version = (int16_t)call->version,
        .correlation_id = peer->correlation,
        .client_id = slice_text(peer->client_id),
    };

    frame->peer = peer;
    frame->call = call;
    frame->correlation = peer->correlation;
    frame->api_key = call->api_key;
    frame->version = call->version;
    frame->is_borrowed = true;
    frame->is_awaited = !call->no_answer;
    peer->correlation = peer->correlation == INT32_MAX ? 0 : peer->correlation + 1;

    if (call->write != NULL) call->write(call, call->version, &call->body);
    frame_write_request_head(&frame->head, &head);
    frame->body = call->body;
    buf_init(&call->body);
    frame->pieces[0].bytes = buf_slice(&frame->head);
    frame->pieces[1].bytes = buf_slice(&frame->body);
    frame->reply = (struct reply){.pieces = frame->pieces, .count = 2, .done = frame_left};

    call->state = CALL_SENT;
    call->was_sent = true;
    call->frame = frame;
    if (frame->is_awaited) {
        list_push(&peer->sent, &frame->node);
        peer->sent_count++;
    } else {
        list_push(&peer->leaving, &frame->node);
    }
    conn_send(peer->conn, &frame->reply);
}

static void send_waiting(struct peer *peer)
{
    while (peer->state == PEER_UP && peer->lost_why == ERR_OK && !peer->is_closing &&
           peer->sent_count < peer->options.in_flight_max && !list_is_empty(&peer->waiting)) {
        struct peer_call *call = list_entry(list_first(&peer->waiting), struct peer_call, node);
        enum err err = choose_version(peer, call, &call->version);
        if (err != ERR_OK) {
            call_end_later(call, err == ERR_NOT_FOUND ? ERR_UNSUPPORTED : err);
            continue;
        }
        list_remove(&call->node);
        peer->waiting_count--;
        call_send(peer, call);
    }
}

/* The connection. */

static int64_t backoff_ns(struct peer *peer)
{
    int64_t ms = peer->options.backoff_ms;

    for (int i = 1; i < peer->failures && ms < peer->options.backoff_ms_max; i++)
        ms *= 2;
    if (ms > peer->options.backoff_ms_max) ms = peer->options.backoff_ms_max;
    if (ms < peer->options.backoff_ms) ms = peer->options.backoff_ms;
    /* A fifth more or less, so that all who lost the same broker do not come back at once. */
    uint64_t drawn = env_random(peer->shard->env, "peer/backoff");
    return ms * 1000 * (800 + (int64_t)(drawn % 401));
}

static void wait_again(struct peer *peer)
{
    peer->state = PEER_WAITING;
    if (peer->options.backoff_ms > 0)
        timer_arm(peer->shard, &peer->timer,
                  instant_add_ns(shard_now(peer->shard), backoff_ns(peer)));
    else
        timer_cancel(peer->shard, &peer->timer);
}

/* All that was sent: `late` ends with `why_late`, the others with `why`. */
static void end_sent(struct peer *peer, enum err why, const struct peer_call *late,
                     enum err why_late)
{
    struct list *lists[] = {&peer->sent, &peer->leaving};

    for (int i = 0; i < 2; i++) {
        for (struct list_node *node; (node = list_first(lists[i])) != NULL;) {
            struct peer_frame *frame = list_entry(node, struct peer_frame, node);
            if (frame->call != NULL)
                call_end_later(frame->call, frame->call == late ? why_late : why);
            list_remove(node);
            frame_forget_answer(frame);
        }
    }
}

/* The attempt or the connection is over: `late` (may be NULL) hears why, others that they were
 * lost. Those that were not sent go on waiting after a loss, and fail with an attempt. */
static void lose(struct peer *peer, enum err why, struct peer_call *late)
{
    bool was_up = peer->state == PEER_UP;
    struct list over;

    list_init(&over);
    peer->is_negotiating = false;
    peer->lost_why = ERR_OK;
    net_destroy(peer->shard->env, &peer->sock);
    if (peer->conn != NULL) {
        struct conn *conn = peer->conn;
        peer->conn = NULL;
        conn_set_user(conn, NULL);
        conn_close(conn, false);
    }
    peer->failures = was_up ? 1 : peer->failures + 1;
    wait_again(peer);

    /* Ended in their order, each with its own reason, before anyone is told. */
    end_sent(peer, ERR_CLOSED, late, why);
    if (!was_up || peer->options.backoff_ms == 0)
        while (!list_is_empty(&peer->waiting))
            call_end_later(list_entry(list_first(&peer->waiting), struct peer_call, node), why);
    pay_ended(peer);
    news(peer, why);
}

static void is_up(struct peer *peer)
{
    peer->state = PEER_UP;
    peer->failures = 0;
    timer_cancel(peer->shard, &peer->timer);
    news(peer, ERR_OK);
    send_waiting(peer);
}

static void forget_versions(struct peer *peer)
{
    free(peer->versions);
    peer->versions = NULL;
    peer->version_count = 0;
}

static void take_versions(struct peer_call *call, enum err err, struct slice answer,
                          struct block *block)
{
    struct peer *peer = list_entry(call, struct peer, ask_versions);
    struct api_versions_response response;
    struct arena arena;

    (void)block;
    if (err != ERR_OK) return; /* with the connection, which is told elsewhere */
    arena_init(&arena, VERSIONS_ARENA_BYTES);
    err = wire_read(answer, call->version, &api_versions_response_wire, &arena, &response);
    if (err == ERR_OK && response.error_code != 0) err = ERR_UNSUPPORTED;
    if (err == ERR_OK) {
        int count = response.api_keys.count > 0 ? response.api_keys.count : 0;
        forget_versions(peer);
        peer->versions = ensure_zalloc((size_t)count * sizeof(peer->versions[0]));
        peer->version_count = count;
        for (int i = 0; i < count; i++)
            peer->versions[i] = (struct api_range){response.api_keys.at[i].api_key,
                                                   response.api_keys.at[i].min_version,
                                                   response.api_keys.at[i].max_version};
    }
    arena_fini(&arena);
    if (err != ERR_OK)
        lose(peer, err, NULL);
    else
        is_up(peer);
}

/* Before anything else, in the oldest version, which everyone understands. */
static void negotiate(struct peer *peer)
{
    struct peer_call *call = &peer->ask_versions;

    *call = (struct peer_call){.api_key = API_API_VERSIONS, .done = take_versions};
    call->peer = peer;
    call->timer.fire = call_late;
    call_send(peer, call);
}

static void on_frame(struct conn *conn, struct block *block, uint64_t ticket)
{
    struct peer *peer = conn_user(conn);
    struct slice answer = SLICE_NULL;
    int32_t correlation = 0;

    conn_no_reply(conn, ticket);
    if (peer == NULL) {
        block_drop(&block);
        return;
    }
    peer->last_heard = shard_now(peer->shard);
    struct list_node *node = list_first(&peer->sent);
    struct peer_frame *frame = node == NULL ? NULL : list_entry(node, struct peer_frame, node);
    enum err err = frame == NULL ? ERR_CORRUPT
                                 : frame_read_response_head(block_slice(block), frame->api_key,
                                                            frame->version, &correlation, &answer);
    if (err == ERR_OK && correlation != frame->correlation) err = ERR_CORRUPT;
    if (err != ERR_OK) {
        log_warn("client", "answer-refused", "peer=%s:%d error=%s", peer->options.address.host,
                 peer->options.address.port, err_name(err));
        block_drop(&block);
        lose(peer, err, NULL);
        return;
    }
    struct peer_call *call = frame->call;
    frame->call = NULL;
    frame_forget_answer(frame);
    if (call != NULL) {
        call->frame = NULL;
        call_done(call, ERR_OK, answer, block);
    }
    block_drop(&block);
    send_waiting(peer); /* closed meanwhile, it still lives and sends nothing */
}

static void finish_close(struct peer *peer);

static void on_closed(struct conn *conn, enum err why)
{
    struct peer *peer = conn_user(conn);

    if (peer == NULL) return;
    if (peer->is_closing) {
        peer->conn = NULL;
        finish_close(peer);
        return;
    }
    peer->conn = NULL;
    lose(peer, why == ERR_OK ? ERR_CLOSED : why, NULL);
}

static const struct conn_handlers handlers = {.frame = on_frame, .closed = on_closed};

static void on_connecting(void *owner, struct sock *sock, unsigned ready)
{
    struct peer *peer = owner;

    if ((ready & NET_FAILED) != 0) {
        lose(peer, net_failure(peer->shard->env, sock), NULL);
        return;
    }
    if ((ready & NET_WRITABLE) == 0) return;
    peer->conn = conn_create(peer->shard, &peer->sock, &handlers, peer->options.limits, peer);
    if (!peer->options.negotiate) {
        is_up(peer);
        return;
    }
    peer->is_negotiating = true;
    negotiate(peer);
}

static void connect_now(struct peer *peer)
{
    struct shard *shard = peer->shard;

    peer->state = PEER_CONNECTING;
    timer_arm(shard, &peer->timer,
              instant_add_ms(shard_now(shard), peer->options.connect_timeout_ms));
    news(peer, ERR_OK);
    if (peer->is_closing || peer->state != PEER_CONNECTING || peer->sock != NULL) return;
    enum err err = net_connect(shard->env, shard->net, &peer->options.address,
                               &peer->options.socket, on_connecting, peer, &peer->sock);
    if (err != ERR_OK) lose(peer, err, NULL);
}

static void timer_fired(struct timer *timer)
{
    struct peer *peer = list_entry(timer, struct peer, timer);

    if (peer->state == PEER_WAITING)
        connect_now(peer);
    else if (peer->state == PEER_CONNECTING)
        lose(peer, ERR_TIMED_OUT, NULL);
}

/* What was asked for inside a call of the owner's happens here. */
static void run_post(struct post *post)
{
    struct peer *peer = list_entry(post, struct peer, post);

    if (peer->is_closing) {
        if (peer->conn == NULL) finish_close(peer);
        return;
    }
    if (peer->lost_why != ERR_OK && peer->state != PEER_WAITING) lose(peer, peer->lost_why, NULL);
    peer->lost_why = ERR_OK;
    pay_ended(peer);
    send_waiting(peer);
}

struct peer *peer_open(struct shard *shard, const struct peer_options *options)
{
    struct peer *peer = ensure_zalloc(sizeof(*peer));

    ensure(options->in_flight_max > 0 && options->connect_timeout_ms > 0);
    ensure(options->request_timeout_ms > 0 && options->limits != NULL);
    peer->shard = shard;
    peer->options = *options;
    peer->correlation = options->correlation;
    peer->client_id = options->client_id == NULL ? NULL : ensure_strdup(options->client_id);
    peer->state = PEER_WAITING;
    peer->timer.fire = timer_fired;
    peer->post.run = run_post;
    list_init(&peer->waiting);
    list_init(&peer->sent);
    list_init(&peer->leaving);
    list_init(&peer->ended);
    timer_arm(shard, &peer->timer, shard_now(shard));
    return peer;
}

/* The connection has gone, and with it what it borrowed. */
static void finish_close(struct peer *peer)
{
    pay_ended(peer);
    shard_unpost(&peer->post);
    if (peer->closed != NULL) peer->closed(peer->options.owner);
    ensure(list_is_empty(&peer->ended) && list_is_empty(&peer->sent));
    forget_versions(peer);
    free(peer->client_id);
    free(peer);
}

void peer_close(struct peer **peer_, void (*closed)(void *owner))
{
    struct peer *peer = *peer_;

    *peer_ = NULL;
    if (peer == NULL) return;
    ensure(!peer->is_closing);
    peer->is_closing = true;
    peer->closed = closed;
    timer_cancel(peer->shard, &peer->timer);
    net_destroy(peer->shard->env, &peer->sock);
    end_sent(peer, ERR_CANCELLED, NULL, ERR_CANCELLED);
    while (!list_is_empty(&peer->waiting))
        call_end_later(list_entry(list_first(&peer->waiting), struct peer_call, node),
                       ERR_CANCELLED);
    if (peer->conn != NULL) conn_close(peer->conn, false); /* its `closed` goes on */
    shard_post(peer->shard, &peer->post);
}

void peer_send(struct peer *peer, struct peer_call *call)
{
    int64_t timeout_ms = call->timeout_ms > 0 ? call->timeout_ms : peer->options.request_timeout_ms;

    ensure(call->state == CALL_IDLE && call->done != NULL);
    ensure(call->version_min == call->version_max || call->write != NULL);
    call->peer = peer;
    call->frame = NULL;
    call->was_sent = false;
    call->timer.fire = call_late;
    call->state = CALL_WAITING;
    list_push(&peer->waiting, &call->node);
    peer->waiting_count++;
    if (peer->is_closing) {
        call_end_later(call, ERR_CANCELLED);
        return;
    }
    timer_arm(peer->shard, &call->timer, instant_add_ms(shard_now(peer->shard), timeout_ms));
    send_waiting(peer);
    if (call->state == CALL_WAITING && peer->waiting_count > peer->options.waiting_max)
        call_end_later(call, ERR_LIMIT);
}

void peer_cancel(struct peer_call *call)
{
    if (call->state == CALL_WAITING || call->state == CALL_SENT)
        call_end_later(call, ERR_CANCELLED);
    else if (call->state == CALL_ENDED)
        call->err = ERR_CANCELLED;
}

void peer_connect(struct peer *peer)
{
    if (peer->state == PEER_WAITING && !peer->is_closing)
        timer_arm(peer->shard, &peer->timer, shard_now(peer->shard));
}

void peer_disconnect(struct peer *peer, enum err why)
{
    ensure(why != ERR_OK);
    if (peer->state == PEER_WAITING || peer->is_closing) return;
    peer->lost_why = why;
    shard_post(peer->shard, &peer->post);
}

void peer_set_address(struct peer *peer, const struct net_address *address)
{
    if (peer->options.address.port == address->port &&
        strcmp(peer->options.address.host, address->host) == 0)
        return;
    peer->options.address = *address;
    peer_disconnect(peer, ERR_CANCELLED);
}

enum peer_state peer_state(const struct peer *peer)
{
    return peer->state;
}

int peer_in_flight(const struct peer *peer)
{
    return peer->sent_count;
}

int peer_waiting(const struct peer *peer)
{
    return peer->waiting_count;
}

int32_t peer_correlation(const struct peer *peer)
{
    return peer->correlation;
}

struct instant peer_last_heard(const struct peer *peer)
{
    return peer->last_heard;
}

const struct net_address *peer_address(const struct peer *peer)
{
    return &peer->options.address;
}

enum err peer_versions(const struct peer *peer, int16_t api_key, int *min, int *max)
{
    if (peer->versions == NULL) return ERR_NOT_FOUND;
    for (int i = 0; i < peer->version_count; i++) {
        if (peer->versions[i].api_key == api_key) {
            *min = peer->versions[i].min;
            *max = peer->versions[i].max;
            return ERR_OK;
        }
    }
    return ERR_UNSUPPORTED;
}
