/* runtime/conn_receive.c - frames come in, as far as the bounds of memory and of replies allow. */
#include "base/log.h"
#include "runtime/conn_private.h"
#include <stdlib.h>

/* After a large frame: read little more than the next length word, so that the rest of the next
 * large frame is read straight into its memory. */
#define SMALL_READ_BYTES 4096
#define LARGE_FRAME      32768

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
    conn_wake_waiter(conn->limits);
}

/* One that holds no part of a frame needs no privilege: the next may need it to end. */
static void check_privilege(struct conn *conn)
{
    if (conn->frame == NULL && conn->rest == NULL) lose_privilege(conn);
}

/* Reading stops and goes on. */

void conn_set_wants(struct conn *conn)
{
    unsigned wants = 0;

    if (conn->state == CONN_ENDED) return;
    if (conn->state == CONN_LINGERING ||
        (conn->state == CONN_OPEN && !conn->is_stopped && conn->refused == ERR_OK))
        wants |= NET_READABLE;
    if (!list_is_empty(&conn->sending)) wants |= NET_WRITABLE;
    net_want(conn_env(conn), conn->sock, wants);
}

void conn_limits_arm(struct conn_limits *limits);

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
        conn_limits_arm(limits);
        counter_add(&limits->waits_memory, 1);
    } else {
        lose_privilege(conn); /* it waits for something else: let another one end its frame */
        if (conn->reply_bytes >= limits->reply_bytes_max)
            counter_add(&limits->waits_replies, 1);
        else if (conn->pauses == 0)
            counter_add(&limits->waits_pending, 1);
    }
    conn->is_stopped = true;
    conn_set_wants(conn);
    return true;
}

/* After a bound may have been left behind. Frames come later, not inside the call that led here. */
void conn_consider_resume(struct conn *conn)
{
    if (conn->state == CONN_OPEN && conn->refused == ERR_OK && conn->is_stopped &&
        is_within_bounds(conn) && !list_has(&conn->memory_wait))
        shard_post(conn->shard, &conn->resume);
}

/* The end. */

void conn_note_active(struct conn *conn)
{
    conn->active = conn->shard->now;
    list_remove(&conn->by_activity);
    list_push(&conn->limits->conns, &conn->by_activity);
    if (list_has(&conn->in_partial)) {
        list_remove(&conn->in_partial);
        list_push(&conn->limits->partial, &conn->in_partial);
    }
}

void conn_drop_input(struct conn *conn)
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
    conn_wake_waiter(conn->limits);
}

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
            ring[each & (capacity - 1)] = *conn_slot(conn, each);
        if (conn->ring != conn->ring_inline) free(conn->ring);
        conn->ring = ring;
        conn->ring_capacity = capacity;
    }
    *conn_slot(conn, ticket) = NULL;
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

    block = conn_block_make(block, capacity);
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
    struct block *block = conn_block_take(conn->limits, bytes.len);

    if (bytes.len > 0) memcpy(block->bytes, bytes.ptr, bytes.len);
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
    conn_drop_input(conn);
    conn_set_wants(conn);
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
    conn_note_active(conn);
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
    enum err err = net_read(conn_env(conn), conn->sock, to, len, &n);
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

void conn_receive(struct conn *conn)
{
    size_t budget = RECEIVE_TURN_MAX;

    while (budget > 0 && !must_stop(conn))
        if (!receive_some(conn, &budget)) break;
    check_privilege(conn);
}

void conn_run_resume(struct post *post)
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
    conn_set_wants(conn);
    check_privilege(conn);
    conn_wake_waiter(conn->limits);
}

void conn_discard(struct conn *conn)
{
    size_t n = 0, budget = RECEIVE_TURN_MAX;

    do {
        enum err err =
            net_read(conn_env(conn), conn->sock, conn->shard->scratch, SHARD_SCRATCH_BYTES, &n);
        if (err != ERR_OK) {
            conn_end(conn, err);
            return;
        }
        budget -= n < budget ? n : budget;
    } while (n > 0 && budget > 0);
}

/* Sending. */
