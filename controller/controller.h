/* controller/controller.h - one controller process: it joins, stands by, is elected, leads,
 * resigns.
 *
 * Drives the machines of the context: ZooKeeper's watches and answers, answers of brokers, the
 * detector's word and requests of the API become events; effects are performed here. Lives on the
 * control shard. On expiry of its session it resigns and joins again; it never ends because
 * ZooKeeper was away. */
#pragma once
#include "cluster/listeners.h"
#include "controller/changes.h"
#include "controller/channel.h"
#include "controller/warm.h"
#include "controller/watcher.h"
#include "controller/znodes.h"
#include "zk/recipes.h"

struct admin;

enum controller_state {
    CONTROLLER_JOINING, /* not registered (yet, or again) */
    CONTROLLER_STANDBY,
    CONTROLLER_ACTIVE,
    CONTROLLER_STOPPING,
};

struct controller {
    struct shard *shard;
    const struct options *options;
    const struct listeners *listeners;
    int32_t id;
    enum controller_state state;

    struct zk *zk;
    struct recipe *recipe; /* of joining and electing: one at a time */
    int64_t session_registered;
    bool has_ensured, is_election_wanted, is_holding;
    char cluster_id[64];
    struct buf registration; /* document of /controllers/ids/<id> */
    struct buf claim;        /* of /controller */
    struct zk_call look, find, check_epoch, check_owner, depose, leftover;
    bool is_looking, is_deposing, is_finding, is_clearing;
    int32_t deposed_id, deposed_epoch_version;
    int64_t deposed_czxid;
    int32_t found_id; /* whose address is asked for */
    int64_t found_czxid;
    int32_t leader_id; /* who is active; −1 nobody or unknown */
    int64_t leader_czxid;
    int64_t leader_grace_ms; /* so long it may refuse us before it was ever heard */
    struct timer again;      /* joining or electing is tried again */

    struct context context;
    struct znodes *znodes;
    struct warm *warm;
    struct changes *changes;
    struct channels *channels;
    struct watcher *brokers, *leader;
    struct conn_limits limits;
    bool is_taking_over, is_driving;
    struct timer rebalance;

    struct admin *admin;
    void (*ready)(void *owner);   /* first registered */
    void (*stopped)(void *owner); /* after controller_stop */
    void *owner;
    bool has_told_ready, has_left; /* left: the session is closed */
};

/* `options`, `listeners` are kept. ERR_… of zk_open and of the listener. */
MUST_CHECK enum err controller_open(struct controller *controller, struct shard *shard,
                                    const struct options *options,
                                    const struct listeners *listeners, void (*ready)(void *owner),
                                    void (*stopped)(void *owner), void *owner);
/* Resigns, closes the session; `stopped` follows, then controller_fini. */
void controller_stop(struct controller *controller);
void controller_fini(struct controller *controller);
/* For admin.c: a connection has ended. */
void controller_check_stopped(struct controller *controller);

/* Takes the event; for those with a caller admin_answered follows, perhaps inside. */
void controller_post(struct controller *controller, struct event **event);
static inline bool controller_is_active(const struct controller *controller)
{
    return controller->state == CONTROLLER_ACTIVE;
}
