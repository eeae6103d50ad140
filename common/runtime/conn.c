#include "runtime/conn.h"
#include "base/ensure.h"
#include "base/log.h"
#include "runtime/files.h"
#include <assert.h>
#include <stdlib.h>

/* One turn, one connection: then the others. */
#define RECEIVE_TURN_MAX ((size_t)1 << 20)
#define SEND_TURN_MAX    ((size_t)4 << 20)
/* File slices up to this size are read into the chain of memory pieces; larger ones go by sendfile,
 * which is a system call and a segment of its own. Where both cost the same was measured:
 * README.md, "Copy or sendfile". */
#define FILE_COPY_MAX 16384
#define PARTS_MAX     64
/* After a large frame: read little more than the next length word, so that the rest of the next
 * large frame is read straight into its memory. */
#define SMALL_READ_BYTES 4096
#define LARGE_FRAME      32768
#define RING_INLINE      4
#define RING_KEPT_MAX    64
/* After conn_close: for the replies to leave, and for the peer to see the end. */
#define FINISH_MS_MAX 30000
#define LINGER_MS_MAX 1000

enum conn_state {
    CONN_OPEN,
    CONN_FINISHING, /* conn_close was called: replies leave, nothing is read */
    CONN_LINGERING, /* all is sent and said; what comes is thrown away, so that the kernel does not
                       answer it with a reset that overtakes our last reply */
    CONN_ENDED,     /* the socket is gone; `closed` is owed */
};

struct conn {
    struct shard *shard;
    struct sock *sock;
    const struct conn_handlers *handlers;
    struct conn_limits *limits;
    void *user;
    struct list_node by_activity; /* of limits->conns */
    struct instant active;
    uint8_t state;
    bool is_stopped; /* does not read, for one of the bounds */
    int pauses;
    enum err why;
    enum err refused; /* a frame that may not be: what came before is answered, nothing is read */

    /* Receiving. */
    uint8_t head[4]; /* length word of the next frame */
    uint8_t head_got;
    struct block *frame; /* begun and not whole; frame->charge bytes of it are there */
    size_t frame_len, frame_got;
    size_t large_len; /* the last large frame's: this peer is believed when it says so again */
    uint8_t *rest;    /* read and not looked at: reading stopped in the midst of many frames */
    size_t rest_len;
    struct list_node memory_wait; /* of limits->memory_waiters */
    struct list_node in_partial;  /* of limits->partial */
    struct post resume;

    /* Replies that wait for their turn: a ring by ticket. */
    uint64_t ticket_next; /* of the next frame */
    uint64_t ticket_head; /* the next to be answered */
    struct reply **ring;
    uint32_t ring_capacity;
    struct reply *ring_inline[RING_INLINE];

    /* Sending. */
    struct list sending;
    struct list owed; /* replies whose `done` is owed */
    size_t reply_bytes;
    struct post flush;
    struct post finish;
    struct timer timer; /* of the close */
    struct net_address peer;
};

/* An idle connection costs at most this of ours (and a sock of about 150 bytes). */
static_assert(sizeof(struct conn) <= 1024, "struct conn has grown");

static const struct env *env_of(const struct conn *conn)
{
    return conn->shard->env;
}

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
}

static struct block *block_make(struct block *old, size_t capacity)
{
    struct block *block = ensure_realloc(old, sizeof(*block) + capacity);

    block->bytes = (uint8_t *)(block + 1);
    return block;
}

struct block *block_create(size_t len)
{
    struct block *block = block_make(NULL, len);

    *block = (struct block){.references = 1, .len = len, .bytes = block->bytes};
    return block;
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
static void wake_waiter(struct conn_limits *limits)
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
        wake_waiter(limits);
    }
    free(block);
}

static void charge_partial(struct conn_limits *limits, size_t bytes)
{
    limits->memory_bytes += bytes;
    limits->partial_bytes += bytes;
}

static void discharge_partial(struct conn_limits *limits, size_t bytes)
{
    limits->memory_bytes -= bytes;
    limits->partial_bytes -= bytes;
}

/* True if this connection may take memory now. When all that is taken belongs to frames that are
 * not whole, none of them could end: then one connection at a time reads on over the bound, which
 * is so passed by one frame at most. */
static bool has_memory(struct conn *conn)
{
    struct conn_limits *limits = conn->limits;

    if (limits->memory_bytes < limits->memory_bytes_max || limits->privileged == conn) return true;
    if (limits->privileged != NULL || limits->memory_bytes > limits->partial_bytes) return false;
    limits->privileged = conn;
    return true;
}

static void lose_privilege(struct conn *conn)
{
    if (conn->limits->privileged != conn) return;
    conn->limits->privileged = NULL;
    wake_waiter(conn->limits);
}

/* One that holds no part of a frame needs no privilege: the next may need it to end. */
static void check_privilege(struct conn *conn)
{
    if (conn->frame == NULL && conn->rest == NULL) lose_privilege(conn);
}

/* Reading stops and goes on. */

static void set_wants(struct conn *conn)
{
    unsigned wants = 0;

    if (conn->state == CONN_ENDED) return;
    if (conn->state == CONN_LINGERING ||
        (conn->state == CONN_OPEN && !conn->is_stopped && conn->refused == ERR_OK))
        wants |= NET_READABLE;
    if (!list_is_empty(&conn->sending)) wants |= NET_WRITABLE;
    net_want(env_of(conn), conn->sock, wants);
}

static void limits_arm(struct conn_limits *limits);

static bool is_within_bounds(const struct conn *conn)
{
    return conn->pauses == 0 &&
           conn->ticket_next - conn->ticket_head < conn->limits->frames_pending_max &&
           conn->reply_bytes < conn->limits->reply_bytes_max;
}

/* True if the next bytes may not be looked at; notes and counts why. */
static bool must_stop(struct conn *conn)
{
    struct conn_limits *limits = conn->limits;

    if (conn->state != CONN_OPEN || conn->refused != ERR_OK) return true;
    if (is_within_bounds(conn)) {
        if (has_memory(conn)) return false;
        if (!list_has(&conn->memory_wait)) list_push(&limits->memory_waiters, &conn->memory_wait);
        limits_arm(limits);
        counter_add(&limits->waits_memory, 1);
    } else {
        lose_privilege(conn); /* it waits for something else: let another one end its frame */
        if (conn->reply_bytes >= limits->reply_bytes_max)
            counter_add(&limits->waits_replies, 1);
        else if (conn->pauses == 0)
            counter_add(&limits->waits_pending, 1);
    }
    conn->is_stopped = true;
    set_wants(conn);
    return true;
}

/* After a bound may have been left behind. Frames come later, not inside the call that led here. */
static void consider_resume(struct conn *conn)
{
    if (conn->state == CONN_OPEN && conn->refused == ERR_OK && conn->is_stopped &&
        is_within_bounds(conn) && !list_has(&conn->memory_wait))
        shard_post(conn->shard, &conn->resume);
}

/* The end. */

static void note_active(struct conn *conn)
{
    conn->active = conn->shard->now;
    list_remove(&conn->by_activity);
    list_push(&conn->limits->conns, &conn->by_activity);
    if (list_has(&conn->in_partial)) {
        list_remove(&conn->in_partial);
        list_push(&conn->limits->partial, &conn->in_partial);
    }
}

static void drop_input(struct conn *conn)
{
    if (conn->frame != NULL) {
        discharge_partial(conn->limits, conn->frame->charge);
        free(conn->frame);
        conn->frame = NULL;
    }
    if (conn->rest != NULL) {
        discharge_partial(conn->limits, conn->rest_len);
        free(conn->rest);
        conn->rest = NULL;
    }
    list_remove(&conn->in_partial);
    list_remove(&conn->memory_wait);
    lose_privilege(conn);
    wake_waiter(conn->limits);
}

/* Nothing of it will be sent any more. */
static void owe(struct conn *conn, struct reply *reply)
{
    if (reply->is_counted) conn->reply_bytes -= reply->unsent;
    list_push(&conn->owed, &reply->node);
}

static const struct reply no_reply; /* in the ring: answered, by nothing */

static struct reply **slot_of(struct conn *conn, uint64_t ticket)
{
    return &conn->ring[ticket & (conn->ring_capacity - 1)];
}

static void drop_replies(struct conn *conn)
{
    for (struct list_node *node; (node = list_pop(&conn->sending)) != NULL;)
        owe(conn, list_entry(node, struct reply, node));
    for (uint64_t ticket = conn->ticket_head; ticket != conn->ticket_next; ticket++) {
        struct reply **slot = slot_of(conn, ticket);
        if (*slot != NULL && *slot != &no_reply) owe(conn, *slot);
        *slot = NULL;
    }
}

static void conn_end(struct conn *conn, enum err why)
{
    if (conn->state == CONN_ENDED) return;
    conn->why = conn->state == CONN_OPEN ? why : ERR_OK; /* later it was conn_close */
    if (conn->refused != ERR_OK) conn->why = conn->refused;
    conn->state = CONN_ENDED;
    net_destroy(env_of(conn), &conn->sock);
    drop_input(conn);
    drop_replies(conn);
    list_remove(&conn->by_activity);
    gauge_add(&conn->limits->connections, -1);
    timer_cancel(conn->shard, &conn->timer);
    shard_unpost(&conn->flush);
    shard_unpost(&conn->resume);
    shard_post(conn->shard, &conn->finish);
}

static void pay(struct conn *conn)
{
    for (struct list_node *node; (node = list_pop(&conn->owed)) != NULL;) {
        struct reply *reply = list_entry(node, struct reply, node);
        reply->done(reply);
    }
}

static void run_finish(struct post *post)
{
    struct conn *conn = list_entry(post, struct conn, finish);

    pay(conn);
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

static void linger(struct conn *conn)
{
    conn->state = CONN_LINGERING;
    net_shutdown(env_of(conn), conn->sock);
    set_wants(conn);
    timer_arm(conn->shard, &conn->timer, instant_add_ms(conn->shard->now, LINGER_MS_MAX));
}

/* Receiving. */

static void hand_over(struct conn *conn, struct block *block)
{
    counter_add(&conn->limits->frames_in, 1);
    conn->head_got = 0;
    if (block->len >= LARGE_FRAME)
        conn->large_len = block->len;
    else
        conn->large_len = 0;

    uint64_t ticket = conn->ticket_next++;
    if (ticket - conn->ticket_head >= conn->ring_capacity) {
        /* Twice as many places, each ticket at its new one. */
        uint32_t capacity = conn->ring_capacity * 2;
        struct reply **ring = ensure_zalloc(capacity * sizeof(ring[0]));
        for (uint64_t each = conn->ticket_head; each != ticket; each++)
            ring[each & (capacity - 1)] = *slot_of(conn, each);
        if (conn->ring != conn->ring_inline) free(conn->ring);
        conn->ring = ring;
        conn->ring_capacity = capacity;
    }
    *slot_of(conn, ticket) = NULL;
    conn->handlers->frame(conn, block, ticket);
}

/* The frame is whole: from now on its memory waits for the program, not for the peer. */
static void frame_complete(struct conn *conn)
{
    struct block *block = conn->frame;

    conn->limits->partial_bytes -= block->charge;
    conn->frame = NULL;
    list_remove(&conn->in_partial);
    lose_privilege(conn);
    hand_over(conn, block);
}

/* Makes room for at least one more byte; `at_hand` are there already. False: no memory now
 * (must_stop has noted it). Room grows with what has come: four times that, or about as much as the
 * peer has filled before. */
static bool frame_grow(struct conn *conn, size_t at_hand)
{
    struct block *block = conn->frame;
    size_t old = block == NULL ? 0 : block->charge;
    size_t capacity = (conn->frame_got + at_hand) * 4;

    if (block != NULL && conn->frame_got < old) return true;
    if (must_stop(conn)) return false;
    if (capacity < 1024) capacity = 1024;
    if (capacity < conn->large_len + conn->large_len / 2)
        capacity = conn->large_len + conn->large_len / 2;
    if (capacity > conn->frame_len) capacity = conn->frame_len;

    block = block_make(block, capacity);
    *block = (struct block){.references = 1,
                            .len = conn->frame_len,
                            .charge = capacity,
                            .limits = conn->limits,
                            .bytes = block->bytes};
    conn->frame = block;
    charge_partial(conn->limits, capacity - old);
    if (!list_has(&conn->in_partial)) list_push(&conn->limits->partial, &conn->in_partial);
    return true;
}

static void take_whole_frame(struct conn *conn, struct slice bytes)
{
    struct block *block = block_create(bytes.len);

    block->limits = conn->limits;
    block->charge = bytes.len;
    if (bytes.len > 0) memcpy(block->bytes, bytes.ptr, bytes.len);
    conn->limits->memory_bytes += block->charge;
    lose_privilege(conn);
    hand_over(conn, block);
}

/* Nothing after a frame that may not be can be understood; what came before it is still owed its
 * replies. */
static void refuse_frames(struct conn *conn, enum err why)
{
    if (conn->ticket_head == conn->ticket_next && list_is_empty(&conn->sending)) {
        conn_end(conn, why);
        return;
    }
    conn->refused = why;
    drop_input(conn);
    set_wants(conn);
    if (conn->ticket_head == conn->ticket_next)
        conn_close(conn, true);
    else
        timer_arm(conn->shard, &conn->timer, instant_add_ms(conn->shard->now, FINISH_MS_MAX));
}

/* The length word is there. False, and no frame comes any more, if it may not be so. */
static bool head_complete(struct conn *conn)
{
    uint32_t len = (uint32_t)conn->head[0] << 24 | (uint32_t)conn->head[1] << 16 |
                   (uint32_t)conn->head[2] << 8 | conn->head[3];

    if (len <= INT32_MAX && len <= conn->limits->frame_bytes_max) {
        conn->frame_len = len;
        conn->frame_got = 0;
        return true;
    }
    counter_add(&conn->limits->closed_limit, 1);
    log_info("runtime", "frame-refused", "peer=%s:%d length=%d max=%zu", conn->peer.host,
             conn->peer.port, (int32_t)len, conn->limits->frame_bytes_max);
    refuse_frames(conn, len > INT32_MAX ? ERR_INVALID : ERR_TOO_LARGE);
    return false;
}

/* Frames out of `from`; gives how many bytes were used, fewer when reading has to stop. */
static size_t take_frames(struct conn *conn, struct slice from)
{
    size_t at = 0;

    /* A length word of zero is a whole frame without any byte after it. */
    while (at < from.len || (conn->head_got == 4 && conn->frame_len == 0)) {
        if (must_stop(conn)) return at;
        size_t left = from.len - at;
        if (conn->head_got < 4) {
            size_t n = left < 4u - conn->head_got ? left : 4u - conn->head_got;
            memcpy(conn->head + conn->head_got, from.ptr + at, n);
            conn->head_got = (uint8_t)(conn->head_got + n);
            at += n;
            if (conn->head_got == 4 && !head_complete(conn)) return at;
            continue;
        }
        if (conn->frame == NULL && left >= conn->frame_len) {
            at += conn->frame_len;
            take_whole_frame(conn, slice_of(from.ptr + at - conn->frame_len, conn->frame_len));
            continue;
        }
        if (!frame_grow(conn, left)) return at;
        size_t room = conn->frame->charge - conn->frame_got;
        size_t n = left < room ? left : room;
        memcpy(conn->frame->bytes + conn->frame_got, from.ptr + at, n);
        conn->frame_got += n;
        at += n;
        if (conn->frame_got == conn->frame_len) frame_complete(conn);
    }
    return at;
}

static void keep_rest(struct conn *conn, struct slice rest)
{
    if (rest.len == 0 || conn->state != CONN_OPEN || conn->refused != ERR_OK) return;
    conn->rest = ensure_malloc(rest.len);
    conn->rest_len = rest.len;
    memcpy(conn->rest, rest.ptr, rest.len);
    charge_partial(conn->limits, rest.len);
}

static void note_received(struct conn *conn, size_t n)
{
    counter_add(&conn->limits->bytes_in, n);
    note_active(conn);
}

/* One read. False: not now, or no more. */
static bool receive_some(struct conn *conn, size_t *budget)
{
    uint8_t *to = conn->shard->scratch;
    size_t len = conn->large_len > 0 ? SMALL_READ_BYTES : SHARD_SCRATCH_BYTES, n = 0;
    bool is_direct = conn->frame != NULL;

    if (is_direct) {
        if (!frame_grow(conn, 0)) return false;
        to = conn->frame->bytes + conn->frame_got;
        len = conn->frame->charge - conn->frame_got;
    }
    if (len > *budget) len = *budget;
    enum err err = net_read(env_of(conn), conn->sock, to, len, &n);
    if (err != ERR_OK) {
        conn_end(conn, err);
        return false;
    }
    if (n == 0) return false;
    *budget -= n;
    note_received(conn, n);
    if (is_direct) {
        conn->frame_got += n;
        if (conn->frame_got == conn->frame_len) frame_complete(conn);
    } else {
        size_t used = take_frames(conn, slice_of(to, n));
        keep_rest(conn, slice_of(to + used, n - used));
    }
    return true;
}

static void receive(struct conn *conn)
{
    size_t budget = RECEIVE_TURN_MAX;

    while (budget > 0 && !must_stop(conn))
        if (!receive_some(conn, &budget)) break;
    check_privilege(conn);
}

static void run_resume(struct post *post)
{
    struct conn *conn = list_entry(post, struct conn, resume);

    if (conn->state != CONN_OPEN) return;
    conn->is_stopped = false;
    /* Handed frames may stop the reading again, or end it all: the rest is looked after here. */
    uint8_t *rest = conn->rest;
    size_t charged = rest == NULL ? 0 : conn->rest_len;
    struct slice left = rest == NULL ? SLICE("") : slice_of(rest, charged);
    conn->rest = NULL;
    size_t used = must_stop(conn) ? 0 : take_frames(conn, left);
    discharge_partial(conn->limits, charged);
    keep_rest(conn, slice_of(left.ptr + used, left.len - used));
    free(rest);
    set_wants(conn);
    check_privilege(conn);
    wake_waiter(conn->limits);
}

static void discard(struct conn *conn)
{
    size_t n = 0, budget = RECEIVE_TURN_MAX;

    do {
        enum err err =
            net_read(env_of(conn), conn->sock, conn->shard->scratch, SHARD_SCRATCH_BYTES, &n);
        if (err != ERR_OK) {
            conn_end(conn, err);
            return;
        }
        budget -= n < budget ? n : budget;
    } while (n > 0 && budget > 0);
}

/* Sending. */

/* False if no length word can tell how long it is: then none of it is to be sent. */
static bool reply_begin(struct reply *reply, bool is_counted)
{
    size_t len = 0;

    for (int i = 0; i < reply->count; i++)
        len += reply->pieces[i].file != NULL ? reply->pieces[i].len : reply->pieces[i].bytes.len;
    reply->is_counted = is_counted && len <= INT32_MAX;
    reply->unsent = len + 4;
    reply->at = -1;
    reply->at_sent = 0;
    reply->length[0] = (uint8_t)(len >> 24);
    reply->length[1] = (uint8_t)(len >> 16);
    reply->length[2] = (uint8_t)(len >> 8);
    reply->length[3] = (uint8_t)len;
    return len <= INT32_MAX;
}

/* Who asked so much gets the end instead, after what was answered before. */
static void refuse_reply(struct conn *conn, struct reply *reply)
{
    counter_add(&conn->limits->closed_limit, 1);
    log_error("runtime", "reply-too-large", "peer=%s:%d length=%zu", conn->peer.host,
              conn->peer.port, reply->unsent - 4);
    conn_close(conn, true);
    owe(conn, reply);
    shard_post(conn->shard, &conn->finish);
}

static size_t piece_len(const struct reply *reply, int at)
{
    if (at < 0) return sizeof(reply->length);
    return reply->pieces[at].file != NULL ? reply->pieces[at].len : reply->pieces[at].bytes.len;
}

/* What one system call is to send. */
struct chain {
    struct iovec parts[PARTS_MAX];
    int count;
    size_t len;
    size_t scratch_used;
    bool more;         /* something follows at once */
    struct file *file; /* with count == 0: a file slice stands first */
    uint64_t position;
    size_t file_len;
};

static void chain_add(struct chain *chain, const uint8_t *bytes, size_t len)
{
    if (len == 0) return;
    chain->parts[chain->count++] = (struct iovec){(void *)(uintptr_t)bytes, len};
    chain->len += len;
}

/* A small slice of a file becomes a piece of memory, if it is in the page cache. */
static bool chain_copy(struct conn *conn, struct chain *chain, const struct reply_piece *piece,
                       size_t skip)
{
    size_t len = piece->len - skip, got = 0;
    uint8_t *to = conn->shard->scratch + chain->scratch_used;

    if (piece->len > FILE_COPY_MAX || len > SHARD_SCRATCH_BYTES - chain->scratch_used) return false;
    if (file_read_cached(env_of(conn), piece->file, piece->position + skip, to, len, &got) !=
            ERR_OK ||
        got < len)
        return false;
    chain->scratch_used += len;
    chain_add(chain, to, len);
    return true;
}

/* Adds what is unsent of `reply`; false when the chain ends within it. */
static bool chain_reply(struct conn *conn, struct chain *chain, const struct reply *reply)
{
    size_t skip = reply->at_sent;

    for (int at = reply->at; at < reply->count; at++, skip = 0) {
        size_t len = piece_len(reply, at);
        if (len == skip) continue;
        if (chain->count == PARTS_MAX) return false;
        if (at < 0) {
            chain_add(chain, reply->length + skip, len - skip);
        } else if (reply->pieces[at].file == NULL) {
            chain_add(chain, reply->pieces[at].bytes.ptr + skip, len - skip);
        } else if (!chain_copy(conn, chain, &reply->pieces[at], skip)) {
            if (chain->count == 0) {
                chain->file = reply->pieces[at].file;
                chain->position = reply->pieces[at].position + skip;
                chain->file_len = len - skip;
            }
            return false;
        }
    }
    return true;
}

static void chain_gather(struct conn *conn, struct chain *chain, size_t budget)
{
    chain->count = 0;
    chain->len = chain->scratch_used = 0;
    chain->more = false;
    chain->file = NULL;
    list_each (node, &conn->sending) {
        if (!chain_reply(conn, chain, list_entry(node, struct reply, node))) {
            chain->more = true;
            return;
        }
        if (chain->len >= budget || chain->count == PARTS_MAX) {
            chain->more = node_next != &conn->sending.head;
            return;
        }
    }
}

/* `n` bytes have left: replies that are whole are owed their `done`. */
static void note_sent(struct conn *conn, size_t n)
{
    counter_add(&conn->limits->bytes_out, n);
    while (!list_is_empty(&conn->sending)) {
        struct reply *reply = list_entry(list_first(&conn->sending), struct reply, node);
        size_t now = n < reply->unsent ? n : reply->unsent;

        n -= now;
        reply->unsent -= now;
        if (reply->is_counted) conn->reply_bytes -= now;
        if (reply->unsent > 0) {
            reply->at_sent += now;
            while (reply->at_sent >= piece_len(reply, reply->at))
                reply->at_sent -= piece_len(reply, reply->at++);
            return;
        }
        counter_add(&conn->limits->frames_out, 1);
        list_remove(&reply->node);
        list_push(&conn->owed, &reply->node);
    }
    ensure(n == 0);
}

/* One system call. False: it did not take all. */
static bool send_some(struct conn *conn, size_t *budget)
{
    struct chain chain;
    size_t n = 0, len;
    enum err err;

    chain_gather(conn, &chain, *budget);
    if (chain.file != NULL) {
        len = chain.file_len < *budget ? chain.file_len : *budget;
        err = net_send_file(env_of(conn), conn->sock, chain.file, chain.position, len, &n);
    } else {
        len = chain.len;
        err = net_write(env_of(conn), conn->sock, chain.parts, chain.count, chain.more, &n);
    }
    if (err != ERR_OK) {
        if (err == ERR_TRUNCATED || err == ERR_IO)
            log_error("runtime", "reply-file-failed", "peer=%s:%d error=%s", conn->peer.host,
                      conn->peer.port, err_name(err));
        conn_end(conn, err);
        return false;
    }
    if (n > 0) {
        note_active(conn);
        note_sent(conn, n);
    }
    *budget -= n < *budget ? n : *budget;
    return n == len;
}

static void flush(struct conn *conn)
{
    size_t budget = SEND_TURN_MAX;

    while (conn->state != CONN_ENDED && !list_is_empty(&conn->sending) && budget > 0)
        if (!send_some(conn, &budget)) break;
    if (conn->state == CONN_FINISHING && list_is_empty(&conn->sending)) linger(conn);
    set_wants(conn); /* what is left is told to be writable */
    consider_resume(conn);
    /* Last: what `done` calls may do anything to this connection but free it. */
    pay(conn);
}

static void run_flush(struct post *post)
{
    flush(list_entry(post, struct conn, flush));
}

/* Replies whose turn it is go to the end of what is being sent. */
static void queue_in_order(struct conn *conn)
{
    while (conn->ticket_head != conn->ticket_next) {
        struct reply **slot = slot_of(conn, conn->ticket_head);
        if (*slot == NULL) break;
        if (*slot != &no_reply) {
            list_push(&conn->sending, &(*slot)->node);
            shard_post_last(conn->shard, &conn->flush);
        }
        *slot = NULL;
        conn->ticket_head++;
    }
    if (conn->ticket_head == conn->ticket_next && conn->ring_capacity > RING_KEPT_MAX) {
        free(conn->ring);
        conn->ring = conn->ring_inline;
        conn->ring_capacity = RING_INLINE;
        memset(conn->ring_inline, 0, sizeof(conn->ring_inline));
    }
    if (conn->ticket_head == conn->ticket_next && conn->refused != ERR_OK)
        conn_close(conn, true);
    else
        consider_resume(conn);
}

static void answer(struct conn *conn, uint64_t ticket, struct reply *reply)
{
    ensure(ticket - conn->ticket_head < conn->ticket_next - conn->ticket_head);
    ensure(*slot_of(conn, ticket) == NULL);
    *slot_of(conn, ticket) = reply;
    queue_in_order(conn);
}

void conn_reply(struct conn *conn, uint64_t ticket, struct reply *reply)
{
    if (!reply_begin(reply, true)) {
        refuse_reply(conn, reply);
        return;
    }
    conn->reply_bytes += reply->unsent;
    if (conn->state == CONN_OPEN) {
        answer(conn, ticket, reply);
    } else {
        owe(conn, reply);
        shard_post(conn->shard, &conn->finish);
    }
}

void conn_no_reply(struct conn *conn, uint64_t ticket)
{
    if (conn->state == CONN_OPEN) answer(conn, ticket, (struct reply *)(uintptr_t)&no_reply);
}

void conn_send(struct conn *conn, struct reply *frame)
{
    if (!reply_begin(frame, false)) {
        refuse_reply(conn, frame);
        return;
    }
    if (conn->state == CONN_OPEN) {
        list_push(&conn->sending, &frame->node);
        shard_post_last(conn->shard, &conn->flush);
    } else {
        owe(conn, frame);
        shard_post(conn->shard, &conn->finish);
    }
}

void conn_pause(struct conn *conn)
{
    conn->pauses++;
    if (conn->state != CONN_OPEN || conn->is_stopped) return;
    conn->is_stopped = true;
    set_wants(conn);
}

void conn_resume(struct conn *conn)
{
    ensure(conn->pauses > 0);
    conn->pauses--;
    consider_resume(conn);
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
    drop_input(conn);
    set_wants(conn);
    timer_arm(conn->shard, &conn->timer, instant_add_ms(conn->shard->now, FINISH_MS_MAX));
    shard_post_last(conn->shard, &conn->flush);
}

/* Time: the idle, and those who hold memory and do not go on. */

static struct instant after(const struct conn *conn, int64_t ms)
{
    return instant_add_ms(conn->active, ms);
}

static void limits_arm(struct conn_limits *limits)
{
    struct list_node *first = list_first(&limits->conns);
    struct list_node *partial = list_first(&limits->partial);
    struct instant at = INSTANT_NEVER;

    if (limits->idle_ms_max > 0 && first != NULL)
        at = after(list_entry(first, struct conn, by_activity), limits->idle_ms_max);
    if (partial != NULL && !list_is_empty(&limits->memory_waiters))
        at = instant_min(at,
                         after(list_entry(partial, struct conn, in_partial), limits->stall_ms_max));
    /* One that is armed for earlier looks again then: no work per byte that moves. */
    if (heap_has(&limits->timer.node) && limits->timer.node.key <= at.ns) return;
    timer_arm(limits->shard, &limits->timer, at);
}

static void close_idle(struct conn_limits *limits, struct instant now)
{
    for (struct list_node *node; (node = list_first(&limits->conns)) != NULL;) {
        struct conn *conn = list_entry(node, struct conn, by_activity);
        if (!instant_reached(now, after(conn, limits->idle_ms_max))) return;
        if (conn->ticket_next != conn->ticket_head) {
            note_active(conn); /* it waits for us, not we for it */
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
            !instant_reached(now, after(conn, limits->stall_ms_max)))
            return;
        if (conn->is_stopped) {
            note_active(conn); /* it is us who do not read */
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
    limits_arm(limits);
}

/* A connection from its socket. */

static void on_ready(void *owner, struct sock *sock, unsigned ready)
{
    struct conn *conn = owner;

    (void)sock;
    if ((ready & NET_FAILED) != 0) {
        conn_end(conn, net_failure(env_of(conn), conn->sock));
        return;
    }
    if ((ready & NET_READABLE) != 0 && conn->state == CONN_OPEN)
        receive(conn);
    else if ((ready & NET_READABLE) != 0 && conn->state == CONN_LINGERING)
        discard(conn);
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
    conn->resume.run = run_resume;
    conn->flush.run = run_flush;
    conn->finish.run = run_finish;
    conn->timer.fire = close_too_late;
    conn->active = shard->now;
    /* One that has gone already has no address: its first read says so. */
    enum err ignored = net_peer_address(env_of(conn), conn->sock, &conn->peer);
    (void)ignored;

    ensure(limits->shard == NULL || limits->shard == shard);
    limits->shard = shard;
    limits->timer.fire = limits_tick;
    list_push(&limits->conns, &conn->by_activity);
    gauge_add(&limits->connections, 1);
    limits_arm(limits);
    net_set_owner(env_of(conn), conn->sock, on_ready, conn);
    set_wants(conn);
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
                                     : net_local_address(env_of(conn), conn->sock, out);
}

struct instant conn_last_active(const struct conn *conn)
{
    return conn->active;
}

size_t conn_pending(const struct conn *conn)
{
    return (size_t)(conn->ticket_next - conn->ticket_head);
}
