/* runtime/conn.h - a framed connection: requests in, replies out in the order of the requests.
 *
 * A frame is an int32 length and that many bytes. Frames are handed over as they come; each has a
 * ticket, and replies leave in the order of tickets whatever the order in which they are given.
 * Reading stops (the kernel's buffer fills, the peer waits) while a bound is reached: unanswered
 * frames, bytes of replies not yet sent, the shard's memory for frames, or conn_pause. An idle
 * connection holds no buffer. A frame's memory grows with the bytes that have come, not with what
 * its length claims. */
#pragma once
#include "base/buf.h"
#include "base/list.h"
#include "runtime/metrics.h"
#include "runtime/shard.h"

#define CONN_SPARE_MAX 256

struct conn;
struct listener;

/* A frame's bytes (without the length word), counted: they go when the last holder lets go. Belongs
 * to its shard: a message carries one reference there and back. */
struct block {
    uint32_t references;
    bool is_small; /* of conn.c */
    size_t len;
    size_t charge;              /* of the budget for frames */
    struct conn_limits *limits; /* whose budget; NULL: none */
    uint8_t *bytes;
};
struct block *block_hold(struct block *block);
void block_drop(struct block **block); /* sets it to NULL; NULL is fine */
/* `bytes` that were taken because of it, until it goes, count as its own in the budget. On its own
 * shard. */
void block_charge(struct block *block, size_t bytes);
static inline struct slice block_slice(const struct block *block)
{
    return slice_of(block->bytes, block->len);
}

/* Bounds, shared by all connections of a shard (and of one kind); what they count. The caller's
 * memory, outlives its conns and blocks. */
struct conn_limits {
    size_t frame_bytes_max;    /* socket.request.max.bytes: a longer frame closes its connection,
                                  after the replies to those before it */
    size_t frames_pending_max; /* per connection: not yet answered */
    size_t reply_bytes_max;    /* per connection: replies given and not yet sent */
    size_t memory_bytes_max;   /* of frames held on this shard, and of what was charged to them:
                                  while over it nothing is read */
    int64_t stall_ms_max;      /* a part of a frame without a byte for so long, while others wait
                                  for memory, costs its connection */
    int64_t idle_ms_max; /* connections.max.idle.ms: without bytes either way, and with nothing
                            unanswered, for so long: closed. 0: never */

    /* of conn.c: zero, set by conn_limits_init */
    size_t memory_bytes;        /* now */
    size_t partial_bytes;       /* of these: not yet whole frames, and bytes not yet looked at */
    struct list memory_waiters; /* connections that wait for memory */
    struct list partial; /* connections that hold a part of a frame, longest without bytes first */
    struct list conns;   /* all, longest without bytes first */
    struct conn *privileged; /* reads on though memory is short, so that something ends */
    struct block *spare[CONN_SPARE_MAX]; /* small ones, to use again */
    int spare_count;
    struct shard *shard;
    struct timer timer;

    /* For the status page. */
    struct gauge connections;
    struct counter accepted, closed_idle, closed_limit;
    struct counter frames_in, bytes_in, frames_out, bytes_out;
    struct counter waits_memory, waits_pending,
        waits_replies; /* times that reading stopped for it */
};
/* Large bounds and no idle time: set your own afterwards. */
void conn_limits_init(struct conn_limits *limits);
/* No memory is left: whoever can let go of a frame soon should. */
bool conn_limits_are_reached(const struct conn_limits *limits);
/* After the last conn and block. */
void conn_limits_fini(struct conn_limits *limits);
/* Frees the blocks that are kept for use again: for who ends while connections may still be there. */
void conn_limits_trim(struct conn_limits *limits);

/* A reply: pieces in order, without the length word in front, which conn.c counts and writes.
 * `done` is called once, never inside a call of yours, when all is sent or the connection has gone:
 * then release what the pieces borrow, and the reply itself. */
struct reply_piece {
    struct slice bytes; /* of memory; or, when `file` is set: */
    struct file *file;
    uint64_t position;
    size_t len;
};
struct reply {
    struct reply_piece *pieces;
    int count;
    void (*done)(struct reply *reply);

    struct instant queued_at; /* set by conn.c: when the replies before it had been given too; zero
                                 if that never came about */

    /* of conn.c */
    struct list_node node;
    size_t unsent;
    bool is_counted; /* in the connection's bytes of replies */
    size_t at_sent;  /* of the piece that is being sent */
    int at;          /* which one that is; −1: the length word */
    uint8_t length[4];
};

struct conn_handlers {
    /* A frame came; `block` is given to you. */
    void (*frame)(struct conn *conn, struct block *block, uint64_t ticket);
    /* The last that anyone hears of `conn`, once, not inside a call of yours, after the `done` of
     * all its replies; `why` is ERR_OK if conn_close was called. The conn is freed afterwards: what
     * is still unanswered then must not be replied to. */
    void (*closed)(struct conn *conn, enum err why);
};

/* What belongs to a connection's program: set after accept, freed in `closed`. */
void conn_set_user(struct conn *conn, void *user);
void *conn_user(const struct conn *conn);
struct shard *conn_shard(const struct conn *conn);
const struct net_address *conn_peer(const struct conn *conn);
/* Our side of it, as the socket has it. */
MUST_CHECK enum err conn_local(const struct conn *conn, struct net_address *out);
/* When bytes last moved, for connections.max.idle.ms. */
struct instant conn_last_active(const struct conn *conn);
/* Frames not yet answered. */
size_t conn_pending(const struct conn *conn);

/* The reply to the frame with `ticket`, each once; takes `reply` until its `done`. One of more than
 * INT32_MAX bytes is not sent and closes the connection after the replies before it. After
 * conn_close, or when the peer has gone, `done` comes all the same. Replies of a turn leave
 * together at its end. */
void conn_reply(struct conn *conn, uint64_t ticket, struct reply *reply);
/* There is no reply to that frame (acks=0). */
void conn_no_reply(struct conn *conn, uint64_t ticket);
/* The other direction (client/peer.h): a frame of our own accord, sent in order of the calls; not
 * in the count of `reply_bytes_max`. Frames that come are answers then: conn_no_reply each. */
void conn_send(struct conn *conn, struct reply *frame);
/* Stops and resumes reading (quota). Counted: as many resumes as pauses. */
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);
/* Gives it, with the `frame` that is the only one unanswered, to another shard that listens at the
 * same address: there it is accepted anew and the frame comes once more. Here `closed` follows as
 * after conn_close; the frame needs no reply. But ERR_BUSY, and nothing changes, when more than
 * that frame is under way; ERR_NOT_FOUND when `to` does not listen there. Not inside the call that
 * brought the frame. */
MUST_CHECK enum err conn_move(struct conn *conn, const struct block *frame, struct net *to);
/* Ends it: after the replies that are already given (and whose turn it is) when `after_replies`,
 * else at once. No frame comes any more. `closed` follows; until then the conn is valid. */
void conn_close(struct conn *conn, bool after_replies);

/* A conn over a connected socket (a listener's, or one that net_connect made); takes `sock`. */
struct conn *conn_create(struct shard *shard, struct sock **sock,
                         const struct conn_handlers *handlers, struct conn_limits *limits,
                         void *user);

/* Listens, accepts, makes conns. `accepted` sets the user and may refuse with conn_close. Without
 * file descriptors accepting pauses for a moment, with one log line. */
struct listener_options {
    struct net_address address;
    struct net_options socket;
    const struct conn_handlers *handlers;             /* kept */
    struct conn_limits *limits;                       /* kept */
    void (*accepted)(void *owner, struct conn *conn); /* may be NULL */
    void *owner;
};
MUST_CHECK enum err listener_open(struct shard *shard, const struct listener_options *options,
                                  struct listener **out);
void listener_close(struct listener **listener); /* its conns live on */
uint16_t listener_port(const struct listener *listener);
