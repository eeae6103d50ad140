/* broker/api/forward.h - the way to the active controller. On the control shard.
 *
 * /controller names it; its id is looked for among the controller processes first, then among the
 * brokers (an Apache controller). Calls that find no controller, or lose it, wait and are sent
 * again until their deadline: at least once, never given up early. While ZooKeeper is away the last
 * known address serves. Rules: controller.md §21, §26. */
#pragma once
#include "client/peer.h"
#include "cluster/listeners.h"

struct forward;
struct control;
struct zk;
struct zk_event;

/* Two connections, so that what must be prompt never waits behind an admin request that takes its
 * time. */
enum forward_lane { FORWARD_PROMPT, FORWARD_ADMIN, FORWARD_LANES };

/* The caller's memory, zeroed but for what it sets, until `done`. */
struct forward_call {
    enum forward_lane lane;
    struct instant deadline; /* INSTANT_NEVER: until it succeeds */
    bool is_single;          /* one attempt: a failed one ends it with why it failed */
    /* Sets api_key, version_min, version_max, and write or body, of `call`. Before each attempt. */
    void (*prepare)(struct forward_call *call, bool is_broker);
    /* ERR_OK with the answer (borrowed until return), ERR_TIMED_OUT (`was_sent` says whether it may
     * have been carried out), ERR_UNSUPPORTED: the controller has no such version. Never inside a
     * call of the caller's. */
    void (*done)(struct forward_call *call, enum err err, struct slice answer);
    bool was_sent;
    bool was_resent; /* an attempt before the one that was answered may have been carried out */
    bool to_broker; /* who answered, or was asked last: an Apache controller */

    /* of forward.c */
    struct forward *forward;
    struct list_node node;
    struct peer_call call;
    bool is_sending;
};

struct forward *forward_create(struct shard *shard, struct control *control,
                               const struct listeners *listeners, const struct options *options);
/* After `stopped`. Sets to NULL; NULL is fine. */
void forward_destroy(struct forward **forward);

/* A session to find the controller with; NULL: none. */
void forward_set_zk(struct forward *forward, struct zk *zk);
void forward_event(struct forward *forward, const struct zk_event *event);

void forward_send(struct forward *forward, struct forward_call *call);
/* From `done`: the answer was that it is not the controller. Sends it again, to whoever is. */
void forward_again(struct forward_call *call);
/* The end: every call that waits, and every one to come, ends with ERR_TIMED_OUT soon; then, when
 * the connections have gone, `stopped`, never inside the call. */
void forward_stop(struct forward *forward, void (*stopped)(void *owner), void *owner);

/* The active controller's id, or −1. */
int32_t forward_controller_id(const struct forward *forward);
/* How many have been found so far: another number, another controller. */
uint32_t forward_controllers_found(const struct forward *forward);
