/* tools/cluster_client.h - a client of one cluster for a command: finds brokers, asks them, waits.
 *
 * Requests are asynchronous (cluster_send) on the client's one shard; cluster_ask and the like turn
 * that shard until the answer is there. Versions are negotiated with each broker, so that clusters
 * of Apache Kafka of any age serve as well. Not for use inside a callback: cluster_ask,
 * cluster_turn, cluster_wait, cluster_close. */
#pragma once
#include "base/arena.h"
#include "client/peer.h"
#include "wire/gen/metadata.h"
#include "wire/protocol.h"

#define CLUSTER_ANY (-1) /* whichever broker can be reached */

struct cluster;

struct cluster_options {
    const char *bootstrap; /* host:port,host:port */
    const char *client_id;
    int64_t request_timeout_ms; /* one request; 0: 30000 */
    int64_t timeout_ms;         /* all tries of one question; 0: 60000 */
    int in_flight_max;          /* per connection; 0: 5 */
};

/* ERR_INVALID with a message: the list of servers. Nothing is connected yet. */
MUST_CHECK enum err cluster_open(const struct cluster_options *options, struct cluster **out,
                                 struct buf *message);
void cluster_close(struct cluster **cluster); /* ends all connections; NULL is fine */
struct shard *cluster_shard(struct cluster *cluster);
/* One turn of the loop: callbacks happen here. */
void cluster_turn(struct cluster *cluster);
/* Turns for so long. */
void cluster_wait(struct cluster *cluster, int64_t ms);

/* One request. The caller sets the first part, all else zero; `done` is called once. */
struct cluster_request {
    enum api_key api;
    const void *body;    /* the request's struct; borrowed until `done` */
    int16_t version_min; /* the oldest that will do */
    int16_t version_max; /* 0: the newest that we have */
    int64_t timeout_ms;  /* 0: the client's */
    bool no_answer;      /* Produce with acks=0 */
    void (*done)(struct cluster_request *request);
    void *owner;

    /* Set when `done` is called; until cluster_request_fini. */
    enum err err;
    int version;
    void *response; /* the response's struct; NULL unless err is ERR_OK */
    bool was_sent;

    /* of cluster_client.c */
    struct peer_call call;
    struct arena arena;
    struct block *block;
    bool is_waited;
};

/* To that broker (its address is known from Metadata; ERR_NOT_FOUND otherwise), or CLUSTER_ANY. */
void cluster_send(struct cluster *cluster, int32_t node, struct cluster_request *request);
/* Frees what the response took. The request can be used again, zeroed. */
void cluster_request_fini(struct cluster_request *request);

/* Sends and waits. A broker that cannot be reached is tried again, CLUSTER_ANY at the next server,
 * until the client's time is over: then its error, with a message. Requests that may have been
 * executed are not sent twice unless `is_safe`. cluster_request_fini is due after success. */
MUST_CHECK enum err cluster_ask(struct cluster *cluster, int32_t node, bool is_safe,
                                struct cluster_request *request, struct buf *message);

/* Asks the controller, or the broker that says it speaks for it. `code` gives the answer's error
 * code: while that is NOT_CONTROLLER it is asked again, for some seconds; then the answer stands.
 * As cluster_ask for the rest. */
MUST_CHECK enum err cluster_ask_controller(struct cluster *cluster, struct cluster_request *request,
                                           int16_t (*code)(const void *response),
                                           struct buf *message);

/* Metadata of topics (`count` −1: all), and of the brokers, whose addresses it notes. Borrowed from
 * `request`, for cluster_request_fini. */
MUST_CHECK enum err cluster_metadata(struct cluster *cluster, const struct slice *topics, int count,
                                     bool create, struct cluster_request *request,
                                     const struct metadata_response **out, struct buf *message);
/* Notes the brokers of a Metadata answer that came by cluster_send. */
void cluster_note(struct cluster *cluster, const struct metadata_response *metadata);
/* Fills in a Metadata request; `topics` has room for `count`. */
void cluster_metadata_fill(struct metadata_request *request, struct metadata_request_topic *topics,
                           const struct slice *names, int count, bool create);
