#include "runtime/conn_private.h"
#include "base/fenced.h"
#include "base/log.h"
#include <assert.h>
#include <stdlib.h>

#define LINGER_MS_MAX 1000 /* for the peer to see the end */
#define SMALL_BYTES   512  /* a frame up to this takes a block that was used before */

/* An idle connection costs at most this of ours (and a sock of about 150 bytes). */
static_assert(sizeof(struct conn) <= 1024, "struct conn has grown");

/* Memory: blocks and their budget. */

void conn_limits_init(struct conn_limits *limits)
{
    *limits = (struct conn_limits){
        .frame_bytes_max = 100 * 1024 * 1024,
        .frames_pending_max = 64,
        .reply_bytes_max = 16 * 1024 * 1024,
        .memory_bytes_max = 256 * 1024 * 1024,
        .stall_ms_max = 5000,
    };
    list_init(&limits->memory_waiters);
    list_init(&limits->partial);
    list_init(&limits->conns);
}

void conn_limits_fini(struct conn_limits *limits)
{
    ensure(list_is_empty(&limits->conns) && limits->memory_bytes == 0);
    if (limits->shard != NULL) timer_cancel(limits->shard, &limits->timer);
    conn_limits_trim(limits);
}

void conn_limits_trim(struct conn_limits *limits)
{
    while (limits->spare_count > 0)
        free(limits->spare[--limits->spare_count]);
}

struct block *conn_block_make(struct block *old, size_t capacity)
{
    struct block *block = ensure_realloc(old, sizeof(*block) + capacity);

    block->bytes = (uint8_t *)(block + 1);
    return block;
}

struct block *conn_block_take(struct conn_limits *limits, size_t len)
{
    bool is_small = len <= SMALL_BYTES;
    struct block *block = is_small && limits->spare_count > 0
                              ? limits->spare[--limits->spare_count]
                              : conn_block_make(NULL, is_small ? SMALL_BYTES : len);

    *block = (struct block){.references = 1,
                            .is_small = is_small,
                            .len = len,
                            .charge = len,
                            .limits = limits,
                            .bytes = block->bytes};
    limits->memory_bytes += len;
    return block;
}

/* Not kept where a sanitizer shall see its use after the end. */
static void block_free(struct block *block)
{
    struct conn_limits *limits = block->limits;

    if (block->is_small && limits->spare_count < CONN_SPARE_MAX && !MEMORY_FENCED)
        limits->spare[limits->spare_count++] = block;
    else
        free(block);
}

struct block *block_hold(struct block *block)
{
    block->references++;
    return block;
}

void block_charge(struct block *block, size_t bytes)
{
    if (block->limits == NULL) return;
    block->charge += bytes;
    block->limits->memory_bytes += bytes;
}

bool conn_limits_are_reached(const struct conn_limits *limits)
{
    return limits->memory_bytes >= limits->memory_bytes_max;
}

/* Memory came back, or only parts of frames hold what there is: the longest waiting tries again. */
void conn_wake_waiter(struct conn_limits *limits)
{
    struct list_node *first = list_first(&limits->memory_waiters);

    if (first == NULL) return;
    if (limits->memory_bytes >= limits->memory_bytes_max &&
        (limits->privileged != NULL || limits->memory_bytes > limits->partial_bytes))
        return;
    struct conn *conn = list_entry(first, struct conn, memory_wait);
    list_remove(first);
    shard_post(conn->shard, &conn->resume);
}

void block_drop(struct block **block_)
{
    struct block *block = *block_;

    *block_ = NULL;
    if (block == NULL || --block->references > 0) return;
    struct conn_limits *limits = block->limits;
    if (limits != NULL) {
        limits->memory_bytes -= block->charge;
        conn_wake_waiter(limits);
    }
    block_free(block);
}

/* Nothing of it will be sent any more. */
void conn_owe(struct conn *conn, struct reply *reply)
{
    if (reply->is_counted) conn->reply_bytes -= reply->unsent;
    list_push(&conn->owed, &reply->node);
}

const struct reply conn_nothing;

struct reply **conn_slot(struct conn *conn, uint64_t ticket)
{
    return &conn->ring[ticket & (conn->ring_capacity - 1)];
}

static void drop_replies(struct conn *conn)
{
    for (struct list_node *node; (node = list_pop(&conn->sending)) != NULL;)
        conn_owe(conn, list_entry(node, struct reply, node));
    for (uint64_t ticket = conn->ticket_head; ticket != conn->ticket_next; ticket++) {
        struct reply **slot = conn_slot(conn, ticket);
        if (*slot != NULL && *slot != &conn_nothing) conn_owe(conn, *slot);
        *slot = NULL;
    }
}

void conn_end(struct conn *conn, enum err why)
{
    if (conn->state == CONN_ENDED) return;
    conn->why = conn->state == CONN_OPEN ? why : ERR_OK; /* later it was conn_close */
    if (conn->refused != ERR_OK) conn->why = conn->refused;
    conn->state = CONN_ENDED;
    net_destroy(conn_env(conn), &conn->sock);
    conn_drop_input(conn);
    drop_replies(conn);
    list_remove(&conn->by_activity);
    gauge_add(&conn->limits->connections, -1);
    timer_cancel(conn->shard, &conn->timer);
    shard_unpost(&conn->flush);
    shard_unpost(&conn->resume);
    shard_post(conn->shard, &conn->finish);
}

void conn_pay(struct conn *conn)
{
    for (struct list_node *node; (node = list_pop(&conn->owed)) != NULL;) {
        struct reply *reply = list_entry(node, struct reply, node);
        reply->done(reply);
    }
}

static void run_finish(struct post *post)
{
    struct conn *conn = list_entry(post, struct conn, finish);

    conn_pay(conn);
    if (conn->state != CONN_ENDED) return; /* only replies were owed */
    conn->handlers->closed(conn, conn->why);
    ensure(list_is_empty(&conn->owed) && !list_has(&conn->finish.node));
    if (conn->ring != conn->ring_inline) free(conn->ring);
    free(conn);
}

static void close_too_late(struct timer *timer)
{
    conn_end(list_entry(timer, struct conn, timer), ERR_TIMED_OUT);
}

void conn_linger(struct conn *conn)
{
    conn->state = CONN_LINGERING;
    net_shutdown(conn_env(conn), conn->sock);
    conn_set_wants(conn);
    timer_arm(conn->shard, &conn->timer, instant_add_ms(conn->shard->now, LINGER_MS_MAX));
}

/* Receiving. */

void conn_pause(struct conn *conn)
{
    conn->pauses++;
    if (conn->state != CONN_OPEN || conn->is_stopped) return;
    conn->is_stopped = true;
    conn_set_wants(conn);
}

void conn_resume(struct conn *conn)
{
    ensure(conn->pauses > 0);
    conn->pauses--;
    conn_consider_resume(conn);
}

void conn_close(struct conn *conn, bool after_replies)
{
    if (!after_replies) {
        conn->state = conn->state == CONN_OPEN ? CONN_FINISHING : conn->state;
        conn_end(conn, ERR_OK);
        return;
    }
    if (conn->state != CONN_OPEN) return;
    conn->state = CONN_FINISHING;
    conn_drop_input(conn);
    conn_set_wants(conn);
    timer_arm(conn->shard, &conn->timer, instant_add_ms(conn->shard->now, FINISH_MS_MAX));
    shard_post_last(conn->shard, &conn->flush);
}

enum err conn_move(struct conn *conn, const struct block *frame, struct net *to)
{
    size_t len = frame->len;
    struct buf bytes;

    if (conn->state != CONN_OPEN || conn->refused != ERR_OK || conn->pauses > 0 ||
        conn->ticket_next - conn->ticket_head != 1 || !list_is_empty(&conn->sending) ||
        conn->head_got > 0 || conn->frame != NULL || conn->rest != NULL)
        return ERR_BUSY;
    buf_init(&bytes);
    uint8_t *head = buf_extend(&bytes, 4 + len);
    head[0] = (uint8_t)(len >> 24);
    head[1] = (uint8_t)(len >> 16);
    head[2] = (uint8_t)(len >> 8);
    head[3] = (uint8_t)len;
    if (len > 0) memcpy(head + 4, frame->bytes, len);
    enum err err = net_move(conn_env(conn), &conn->sock, to, buf_slice(&bytes));
    buf_fini(&bytes);
    if (err == ERR_OK) conn_close(conn, false);
    return err;
}

/* Time: the idle, and those who hold memory and do not go on. */

struct instant conn_after(const struct conn *conn, int64_t ms)
{
    return instant_add_ms(conn->active, ms);
}

void conn_limits_arm(struct conn_limits *limits)
{
    struct list_node *first = list_first(&limits->conns);
    struct list_node *partial = list_first(&limits->partial);
    struct instant at = INSTANT_NEVER;

    if (limits->idle_ms_max > 0 && first != NULL)
        at = conn_after(list_entry(first, struct conn, by_activity), limits->idle_ms_max);
    if (partial != NULL && !list_is_empty(&limits->memory_waiters))
        at = instant_min(
            at, conn_after(list_entry(partial, struct conn, in_partial), limits->stall_ms_max));
    /* One that is armed for earlier looks again then: no work per byte that moves. */
    if (heap_has(&limits->timer.node) && limits->timer.node.key <= at.ns) return;
    timer_arm(limits->shard, &limits->timer, at);
}

static void close_idle(struct conn_limits *limits, struct instant now)
{
    for (struct list_node *node; (node = list_first(&limits->conns)) != NULL;) {
        struct conn *conn = list_entry(node, struct conn, by_activity);
        if (!instant_reached(now, conn_after(conn, limits->idle_ms_max))) return;
        if (conn->ticket_next != conn->ticket_head) {
            conn_note_active(conn); /* it waits for us, not we for it */
            continue;
        }
        counter_add(&limits->closed_idle, 1);
        conn_end(conn, ERR_TIMED_OUT);
    }
}

static void close_stalled(struct conn_limits *limits, struct instant now)
{
    for (struct list_node *node; (node = list_first(&limits->partial)) != NULL;) {
        struct conn *conn = list_entry(node, struct conn, in_partial);
        if (list_is_empty(&limits->memory_waiters) ||
            !instant_reached(now, conn_after(conn, limits->stall_ms_max)))
            return;
        if (conn->is_stopped) {
            conn_note_active(conn); /* it is us who do not read */
            continue;
        }
        counter_add(&limits->closed_limit, 1);
        log_warn("runtime", "stalled-frame-dropped", "peer=%s:%d got=%zu of=%zu", conn->peer.host,
                 conn->peer.port, conn->frame_got, conn->frame_len);
        conn_end(conn, ERR_TIMED_OUT);
    }
}

static void limits_tick(struct timer *timer)
{
    struct conn_limits *limits = list_entry(timer, struct conn_limits, timer);

    if (limits->idle_ms_max > 0) close_idle(limits, limits->shard->now);
    close_stalled(limits, limits->shard->now);
    conn_limits_arm(limits);
}

/* A connection from its socket. */

static void on_ready(void *owner, struct sock *sock, unsigned ready)
{
    struct conn *conn = owner;

    (void)sock;
    if ((ready & NET_FAILED) != 0) {
        conn_end(conn, net_failure(conn_env(conn), conn->sock));
        return;
    }
    if ((ready & NET_READABLE) != 0 && conn->state == CONN_OPEN)
        conn_receive(conn);
    else if ((ready & NET_READABLE) != 0 && conn->state == CONN_LINGERING)
        conn_discard(conn);
    /* What was answered just now leaves at the end of the turn, with the rest. */
    if ((ready & NET_WRITABLE) != 0 && conn->state != CONN_ENDED)
        shard_post_last(conn->shard, &conn->flush);
}

struct conn *conn_create(struct shard *shard, struct sock **sock,
                         const struct conn_handlers *handlers, struct conn_limits *limits,
                         void *user)
{
    struct conn *conn = ensure_zalloc(sizeof(*conn));

    conn->shard = shard;
    conn->sock = *sock;
    *sock = NULL;
    conn->handlers = handlers;
    conn->limits = limits;
    conn->user = user;
    conn->ring = conn->ring_inline;
    conn->ring_capacity = RING_INLINE;
    list_init(&conn->sending);
    list_init(&conn->owed);
    conn->resume.run = conn_run_resume;
    conn->flush.run = conn_run_flush;
    conn->finish.run = run_finish;
    conn->timer.fire = close_too_late;
    conn->active = shard->now;
    /* One that has gone already has no address: its first read says so. */
    enum err ignored = net_peer_address(conn_env(conn), conn->sock, &conn->peer);
    (void)ignored;

    ensure(limits->shard == NULL || limits->shard == shard);
    limits->shard = shard;
    limits->timer.fire = limits_tick;
    list_push(&limits->conns, &conn->by_activity);
    gauge_add(&limits->connections, 1);
    conn_limits_arm(limits);
    net_set_owner(conn_env(conn), conn->sock, on_ready, conn);
    conn_set_wants(conn);
    return conn;
}

void conn_set_user(struct conn *conn, void *user)
{
    conn->user = user;
}

void *conn_user(const struct conn *conn)
{
    return conn->user;
}

struct shard *conn_shard(const struct conn *conn)
{
    return conn->shard;
}

const struct net_address *conn_peer(const struct conn *conn)
{
    return &conn->peer;
}

enum err conn_local(const struct conn *conn, struct net_address *out)
{
    return conn->state == CONN_ENDED ? ERR_CLOSED
                                     : net_local_address(conn_env(conn), conn->sock, out);
}

struct instant conn_last_active(const struct conn *conn)
{
    return conn->active;
}

size_t conn_pending(const struct conn *conn)
{
    return (size_t)(conn->ticket_next - conn->ticket_head);
}
