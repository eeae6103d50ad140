/* runtime/conn.h - a framed connection: requests in, replies out in the order of the requests.
 *
 * A frame is an int32 length and that many bytes. Frames are handed over as they come; each has a
 * ticket, and replies leave in the order of tickets whatever the order in which they are given. Reading
 * stops (the kernel's buffer fills, the peer waits) while a bound is reached: unanswered frames, bytes
 * of replies not yet sent, the shard's memory for frames, or conn_pause. An idle connection holds no
 * buffer. A frame's memory grows with the bytes that have come, not with what its length claims. */
#pragma once
#include "base/buf.h"
#include "base/list.h"
#include "runtime/shard.h"

struct conn;
struct listener;

/* A frame's bytes (without the length word), counted: they go when the last holder lets go. Belongs to
 * its shard: a message carries one reference there and back. */
struct block {
    uint32_t references;
    size_t len;
    size_t charge; /* of the shard's budget for frames */
    struct conn_limits *limits;
    uint8_t *bytes;
};
struct block *block_hold(struct block *block);
void block_drop(struct block **block); /* sets it to NULL; NULL is fine */
static inline struct slice block_slice(const struct block *block)
{
    return slice_of(block->bytes, block->len);
}

/* Bounds, shared by all connections of a shard. */
struct conn_limits {
    size_t frame_bytes_max;      /* socket.request.max.bytes: a longer frame closes its connection */
    size_t frames_pending_max;   /* per connection: not yet answered */
    size_t reply_bytes_max;      /* per connection: replies given and not yet sent */
    size_t memory_bytes_max;     /* of frames held on this shard: while over it nothing is read */
    size_t memory_bytes;         /* now */
    struct list memory_waiters;  /* connections that wait for memory */
};
void conn_limits_init(struct conn_limits *limits);

/* A reply: pieces in order. `done` is called once, when all is sent or the connection has gone: then
 * release what the pieces borrow, and the reply itself. */
struct reply_piece {
    struct slice bytes; /* of memory; or, when `file` is set: */
    struct file *file;
    uint64_t position;
    size_t len;
};
struct reply {
    struct list_node node; /* of conn.c */
    uint64_t ticket;       /* of conn.c */
    size_t unsent;         /* of conn.c */
    struct reply_piece *pieces;
    int count;
    void (*done)(struct reply *reply);
};

struct conn_handlers {
    /* A frame came; `block` is given to you. */
    void (*frame)(struct conn *conn, struct block *block, uint64_t ticket);
    /* The last that anyone hears of `conn`, once, not inside a call of yours; `why` is ERR_OK if
     * conn_close was called. The conn is freed afterwards. */
    void (*closed)(struct conn *conn, enum err why);
};

/* What belongs to a connection's program: set after accept, freed in `closed`. */
void conn_set_user(struct conn *conn, void *user);
void *conn_user(const struct conn *conn);
struct shard *conn_shard(const struct conn *conn);
const struct net_address *conn_peer(const struct conn *conn);
/* When bytes last moved, for connections.max.idle.ms. */
struct instant conn_last_active(const struct conn *conn);

/* The reply to the frame with `ticket`, each once; takes `reply` until its `done`. After conn_close, or
 * when the peer has gone, `done` comes all the same. */
void conn_reply(struct conn *conn, uint64_t ticket, struct reply *reply);
/* There is no reply to that frame (acks=0). */
void conn_no_reply(struct conn *conn, uint64_t ticket);
/* Stops and resumes reading (quota). Counted: as many resumes as pauses. */
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);
/* Ends it: after the replies that are already given when `after_replies`, else at once. `closed` follows;
 * until then the conn is valid. */
void conn_close(struct conn *conn, bool after_replies);

/* A conn over a connected socket (a listener's, or one that net_connect made); takes `sock`. */
struct conn *conn_create(struct shard *shard, struct sock **sock, const struct conn_handlers *handlers,
                         struct conn_limits *limits, void *user);

/* Listens, accepts, makes conns. `accepted` sets the user and may refuse with conn_close. Without file
 * descriptors accepting pauses for a moment, with one log line. */
struct listener_options {
    struct net_address address;
    struct net_options socket;
    const struct conn_handlers *handlers;
    struct conn_limits *limits;
    void (*accepted)(void *owner, struct conn *conn);
    void *owner;
};
MUST_CHECK enum err listener_open(struct shard *shard, const struct listener_options *options,
                                  struct listener **out);
void listener_close(struct listener **listener); /* its conns live on */
uint16_t listener_port(const struct listener *listener);
