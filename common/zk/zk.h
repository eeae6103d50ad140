/* zk/zk.h - one ZooKeeper session of a process: pipelined operations, multi, watches.
 *
 * Lives on the control shard. Every operation answers exactly once, never inside the call that
 * asked. A lost connection is not an end: the session is resumed, or, when the ensemble has expired
 * it, a new one is made for as long as it takes; the owner is told and registers again. The process
 * never ends because ZooKeeper was away.
 *
 * "Maybe": an operation that was unanswered when the connection broke has happened or not. With
 * `retry_loss` (Kafka's rule for all its requests) it is sent again when the connection is back,
 * and the result says so (`resent`): then ERR_EXISTS or ERR_ZK_VERSION may be one's own success.
 * Without it, it is for now or never: it ends with ERR_ZK_LOSS, and so does one that could not be
 * sent before the connection broke, or that is submitted while there is none: who decided it knows
 * more when there is one again. What is read from then on shows what a lost operation has done,
 * though servers may lag: a sync goes first. On expiry everything unanswered ends with
 * ERR_ZK_EXPIRED.
 *
 * Watches are one-shot. A read with `watch` arms one; its event comes before any answer that shows
 * the new state. Watches survive a reconnect; none survives expiry. */
#pragma once
#include "base/list.h"
#include "base/slice.h"
#include "runtime/shard.h"
#include "runtime/zk_ops.h"

/* The caller's memory, kept by the room until `done`. The caller sets done and retry_loss, all else
 * zero. */
struct zk_call {
    struct list_node node;
    void (*done)(struct zk_call *call, enum err err, const struct zk_result *results, int count);
    bool retry_loss;
    bool resent; /* set by the room: it was sent more than once */
    void *sent;  /* of the room */
};

struct zk_event {
    enum zk_event_type type;
    struct slice path; /* of the ZK_NODE_ ones, without the chroot */
};

struct zk_options {
    const char *connect; /* zookeeper.connect: h1:p1,h2:p2[/chroot] */
    int32_t session_timeout_ms;
    int32_t in_flight_max; /* zookeeper.max.in.flight.requests */
    const char *digest;    /* user:password, or NULL */
    bool set_acl;          /* zookeeper.set.acl: which ACL a node gets is decided by its path */
};

struct zk;

/* Starts connecting. ERR_INVALID for a bad connect string. The chroot is made if it is absent.
 * `event` is called on the shard, never inside a call of the owner's. */
MUST_CHECK enum err zk_open(struct shard *shard, const struct zk_options *options,
                            void (*event)(void *owner, const struct zk_event *event), void *owner,
                            struct zk **out);
/* Ends the session (its ephemerals go at once), then calls `closed`; calls still unanswered end
 * with ERR_CANCELLED first. `*zk` is NULL on return. */
void zk_close(struct zk **zk, void (*closed)(void *owner), void *owner);

/* One op, or an atomic multi of many (create, set, delete, check): all or none. Ops are copied.
 * `err` of `done` is the first that is not ok; in a failed multi the ops before the failing one say
 * ERR_OK, those behind it ERR_ZK_SKIPPED. There are no results (count 0) on ERR_ZK_LOSS,
 * ERR_ZK_EXPIRED, ERR_ZK_AUTH (the session ended for that), ERR_CANCELLED, and where nothing was
 * sent: ERR_INVALID (a path or a combination of ops that cannot be), ERR_TOO_LARGE (over 4 MiB:
 * servers would cut the connection at each try; or over 1 MiB, when they have cut it three times
 * with this request under way: it would be in the way of all others for ever). */
void zk_submit(struct zk *zk, struct zk_call *call, const struct zk_op *ops, int count);

bool zk_is_connected(const struct zk *zk);
struct shard *zk_shard(const struct zk *zk);
int64_t zk_session_id(const struct zk *zk); /* 0: none yet */
