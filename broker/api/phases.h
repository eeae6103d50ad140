/* broker/api/phases.h - how many requests there were, how large, and where their time went.
 *
 * Kafka's phases, as they are here:
 *
 *     queue     from the turn that read the frame to its handler: what the shard did for others
 *               first, and the way to the control shard
 *     local     the handler, until it answers or waits for others
 *     remote    waiting: for replicas (acks=all), for data (Fetch), for the controller, for members
 *     response  queue: replies to earlier requests of the connection go first
 *               send: until the kernel has taken the last byte
 *
 * Cells of a shard are written by it alone and made when it begins: a request costs two looks at
 * the clock and the histograms of the phases that took any time. What took none is not entered; it
 * is known from the number of all. */
#pragma once
#include "runtime/metrics.h"
#include "runtime/shard.h"

#define PHASES_VERSIONS 24  /* of an API, at most */
#define PHASES_KEYS     128

/* One kind of request, on one shard. Nanoseconds; bytes of frames. */
struct phases_of {
    struct histogram queue, local, remote, response_queue, send, total, bytes;
    struct counter versions[PHASES_VERSIONS];
};

/* A shard's: by place in api_table(), then fetches of followers (fetches of consumers have the
 * place of the API). */
struct phases {
    struct phases_of *at;
    int count;                  /* of APIs; `at` has one more */
    uint8_t place[PHASES_KEYS]; /* by key */
};

struct request;

void phases_init(struct phases *phases);
void phases_fini(struct phases *phases);
/* Its reply has been sent, or will never be; on its connection's shard. Also writes its line where
 * requests are logged. */
void phases_note(const struct request *request);
/* Keeps the cells until `metrics` has gone. */
void phases_register(const struct phases *phases, struct metrics *metrics);
