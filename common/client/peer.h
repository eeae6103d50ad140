/* client/peer.h - one outgoing connection to a broker or controller: requests out, answers back.
 *
 * A peer connects by itself as soon as it exists, and again after a loss, with a backoff that
 * doubles (with jitter) up to a bound. Requests leave in the order in which they are given, at most
 * `in_flight_max` of them unanswered, and every call ends exactly once, never inside a call of
 * yours: ERR_OK          with the answer (which may well carry a Kafka error code of its own)
 *   ERR_TIMED_OUT   no answer in time: the connection is ended with it, since answers keep order
 *   ERR_CLOSED      the connection was lost
 *   ERR_CANCELLED   peer_cancel or peer_close
 *   ERR_REFUSED, ERR_UNREACHABLE, ERR_NOT_FOUND, ERR_TIMED_OUT
 *                   the attempt to connect for which it waited failed
 *   ERR_UNSUPPORTED negotiated: the other side has no version in the range that was offered
 *   ERR_LIMIT       more than `waiting_max` wait
 * `was_sent` tells "maybe executed" from "certainly not": bytes of the request may have left.
 *
 * Lives on one shard. */
#pragma once
#include "base/buf.h"
#include "runtime/conn.h"

struct peer;

struct peer_call {
    /* The caller's, set before peer_send. */
    int16_t api_key;
    int16_t version_min, version_max; /* the same unless versions are negotiated */
    int64_t timeout_ms;               /* 0: the peer's; counts from peer_send */
    bool no_answer; /* acks=0: done as soon as the bytes are handed to the kernel */
    /* Called when the version is known, to write the request behind its header; NULL if `body` was
     * set before (then the version is not negotiated). Not inside peer_send if the peer is not
     * connected. */
    void (*write)(struct peer_call *call, int version, struct buf *body);
    struct buf body; /* written before peer_send; taken by it */
    /* `answer`: the answer behind its header; it lies in `block`, both borrowed until `done`
     * returns (block_hold keeps them longer). SLICE_NULL and NULL unless `err` is ERR_OK. The call
     * may be freed or used again inside. */
    void (*done)(struct peer_call *call, enum err err, struct slice answer, struct block *block);

    /* Of peer.c, zero at first; `version` and `was_sent` may be read in `done`. */
    int version;
    bool was_sent;
    uint8_t state;
    enum err err;
    struct list_node node;
    struct timer timer;
    struct peer *peer;
    struct peer_frame *frame;
};

enum peer_state { PEER_WAITING, PEER_CONNECTING, PEER_UP };

struct peer_options {
    struct net_address address; /* copied */
    struct net_options socket;
    const char *client_id;      /* copied; NULL is Kafka's null */
    struct conn_limits *limits; /* of answers; kept until `closed` */
    int in_flight_max;          /* sent and unanswered: 1 keeps strict order over a loss */
    int waiting_max;            /* given and not sent */
    int64_t request_timeout_ms; /* request.timeout.ms */
    int64_t connect_timeout_ms; /* socket.connection.setup.timeout.ms */
    int64_t backoff_ms; /* reconnect.backoff.ms; 0: no second attempt by itself, see peer_connect */
    int64_t backoff_ms_max; /* reconnect.backoff.max.ms */
    int32_t correlation;    /* of the first request; each next has the next, over all connections */
    bool negotiate;         /* asks ApiVersions after connecting, before anything else */
    /* News, never inside a call of yours; may be NULL. PEER_UP: connected (and negotiated), `why`
     * is ERR_OK. PEER_WAITING: the attempt or the connection ended, `why` tells; all calls that
     * were with it have ended. PEER_CONNECTING: an attempt starts. */
    void (*news)(void *owner, struct peer *peer, enum peer_state state, enum err why);
    void *owner;
};

/* Starts connecting. */
struct peer *peer_open(struct shard *shard, const struct peer_options *options);
/* Ends all calls with ERR_CANCELLED and the connection at once; `closed` (may be NULL) is the last
 * that anyone hears. No news any more. Sets *peer to NULL; NULL is fine. */
void peer_close(struct peer **peer, void (*closed)(void *owner));

/* Keeps `call` until its `done`. Waits for the connection if there is none. */
void peer_send(struct peer *peer, struct peer_call *call);
/* Ends `call` with ERR_CANCELLED. If it was sent its answer, when it comes, is dropped. One that
 * has ended, or that was never given, is fine while its struct is zeroed or its `done` has
 * returned. */
void peer_cancel(struct peer_call *call);

/* Connects now if it waits (no backoff); ends the connection if there is one, as a loss with `why`.
 */
void peer_connect(struct peer *peer);
void peer_disconnect(struct peer *peer, enum err why);
/* Another address for the next attempt; a present connection to another one is ended. */
void peer_set_address(struct peer *peer, const struct net_address *address);

enum peer_state peer_state(const struct peer *peer);
/* Of the request that is sent next. */
int32_t peer_correlation(const struct peer *peer);
int peer_in_flight(const struct peer *peer);
int peer_waiting(const struct peer *peer);
/* When bytes last came; INSTANT_ZERO before the first. */
struct instant peer_last_heard(const struct peer *peer);
const struct net_address *peer_address(const struct peer *peer);
/* The range the other side has of an API. ERR_UNSUPPORTED: it has none; ERR_NOT_FOUND: not
 * negotiated (yet). */
MUST_CHECK enum err peer_versions(const struct peer *peer, int16_t api_key, int *min, int *max);
