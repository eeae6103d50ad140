/* runtime/conn_private.h - what the three files of conn share: conn.c is its life and its bounds,
 * conn_receive.c reads frames, conn_send.c writes replies. */
#pragma once
#include "base/ensure.h"
#include "runtime/conn.h"

/* One turn, one connection: then the others. */
#define RECEIVE_TURN_MAX ((size_t)1 << 20)
#define SEND_TURN_MAX    ((size_t)4 << 20)
#define FINISH_MS_MAX    30000 /* after conn_close, for the replies to leave */
#define RING_INLINE      4

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
static inline const struct env *conn_env(const struct conn *conn)
{
    return conn->shard->env;
}

/* conn.c */
struct block *conn_block_make(struct block *old, size_t capacity);
/* One of `len` bytes, in the budget. */
struct block *conn_block_take(struct conn_limits *limits, size_t len);
void conn_wake_waiter(struct conn_limits *limits); /* there is memory again */
void conn_limits_arm(struct conn_limits *limits);
struct instant conn_after(const struct conn *conn, int64_t ms);
struct reply **conn_slot(struct conn *conn, uint64_t ticket); /* in the ring */
extern const struct reply conn_nothing;                /* in the ring: answered, by nothing */
void conn_owe(struct conn *conn, struct reply *reply); /* its `done` */
void conn_pay(struct conn *conn);
void conn_linger(struct conn *conn);
void conn_end(struct conn *conn, enum err why);

/* conn_receive.c */
void conn_set_wants(struct conn *conn);
void conn_note_active(struct conn *conn);
void conn_consider_resume(struct conn *conn);
void conn_receive(struct conn *conn);
void conn_discard(struct conn *conn);
void conn_drop_input(struct conn *conn);
void conn_run_resume(struct post *post);

/* conn_send.c */
void conn_flush(struct conn *conn);
void conn_run_flush(struct post *post);
