/* controller/channel.h - the ordered control connection to each broker.
 *
 * One request in flight; a request that got no answer is sent again, the same bytes, 100 ms later,
 * for as long as the channel is open: at least once, strictly in order. A request that was refused
 * is not repeated. Requests carry the epochs of when they were queued.
 *
 * What a broker that does not answer is owed is bounded: beyond `queue_bytes_max` its LeaderAndIsr
 * and UpdateMetadata that wait are dropped, and the owner is told, who counts it as dead until it
 * answers and then tells it everything anew. StopReplica stays: nobody would say it again. */
#pragma once
#include "controller/encode.h"
#include "runtime/conn.h"

struct channels;

struct channels_options {
    struct shard *shard;
    int32_t controller_id;
    struct control_versions versions;
    int64_t connect_timeout_ms; /* controller.socket.timeout.ms */
    int64_t request_timeout_ms; /* request.timeout.ms */
    struct conn_limits *limits;
    size_t queue_bytes_max;                           /* of one broker's requests that wait */
    void (*event)(void *owner, struct event **event); /* what an answer said; takes */
    void (*full)(void *owner, int32_t broker);        /* see above. Not inside a call of yours */
    void *owner;
};

struct channels *channels_create(const struct channels_options *options);
void channels_destroy(struct channels **channels); /* with all that is queued; NULL is fine */

/* Replaces one that is open, with its queue. The address is that of now. What is sent over it has
 * higher correlation ids than all that was sent to this broker before. */
void channels_open(struct channels *channels, int32_t broker, const struct net_address *address);
void channels_close(struct channels *channels, int32_t broker); /* one that is not open is fine */
void channels_close_all(struct channels *channels);

/* Queues all requests of the batch; takes it. Those for brokers without channel are dropped. */
void channels_send(struct channels *channels, struct control_batch **batch);
/* Requests that wait or are unanswered, over all channels. */
int32_t channels_queued(const struct channels *channels);
