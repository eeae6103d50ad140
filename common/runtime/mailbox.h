/* runtime/mailbox.h - how shards talk: calls, and their answers.
 *
 * A lane per ordered pair of shards, one writer and one reader, no locks. A call is a struct whose
 * first member is `struct msg`; the callee fills in the answer and sends the same object home,
 * where it is freed. Three rules keep it free of deadlock and of head-of-line blocking:
 *   - A call is a leaf: answered from what the callee's shard has, in that turn or after a disk
 * job. The handler never calls a third shard in order to answer.
 *   - Nothing holds a slot while the cluster thinks: what waits for other brokers is two calls.
 *   - At most LANE_SLOTS calls of a pair are unanswered; what is above waits at home, and
 * mailbox_backlog tells, so that the connection that causes it can stop being read. A call to one's
 * own shard takes the same way without the lane: its handler runs later in the turn. */
#pragma once
#include "runtime/env.h"
#include <stdatomic.h>

#define LANE_SLOTS 128
#define SHARDS_MAX 64

struct mesh; /* the lanes between all shards of a process */
struct mailbox;

struct msg {
    struct msg *next;  /* while it waits at home for a slot */
    uint8_t home;      /* shard that made it and frees it */
    uint8_t to;        /* shard that was called */
    uint8_t is_answer; /* on its way home */
    uint16_t type;     /* the program's enum: one struct per type, this first */
};

struct mailbox_handlers {
    void (*call)(void *owner, struct msg *msg);   /* takes: owes one mailbox_reply */
    void (*answer)(void *owner, struct msg *msg); /* gives it back: free it */
};

/* Posts a call; takes `msg`. Nothing moves before the end of the turn. */
void mailbox_call(struct mailbox *box, uint8_t to, struct msg *msg);
/* Sends a call home, answered. Never waits: the call has held the slot for its answer. A pushed
 * message is given away: read nothing of it afterwards. */
void mailbox_reply(struct mailbox *box, struct msg *msg);
/* Calls of ours to `to` that wait for a slot. */
int mailbox_backlog(const struct mailbox *box, uint8_t to);

/* For shard.c and the simulator. */
struct mesh *mesh_create(int shards);
void mesh_destroy(struct mesh **mesh);

/* How a shard that waits is woken: by whoever has just left something for it. */
struct net;
struct sleeper {
    _Atomic bool is_asleep;
    const struct env *env;
    struct net *net;
};
/* Says that the caller is about to wait. Look again afterwards at all that others may have left (a
 * full fence stands between), then wait or not, then sleeper_wakes. */
void sleeper_sleeps(struct sleeper *sleeper);
void sleeper_wakes(struct sleeper *sleeper);
/* After something was left where the sleeper looks. From any thread; a system call only if it
 * sleeps. */
void sleeper_wake(struct sleeper *sleeper);

/* `mesh` may be NULL: then there is only the way to oneself. */
struct mailbox *mailbox_open(struct mesh *mesh, uint8_t self, struct sleeper *sleeper,
                             const struct mailbox_handlers *handlers, void *owner);
void mailbox_close(struct mailbox **box);
/* Hands over what came from other shards, within a bound; true if some may be left. */
bool mailbox_drain(struct mailbox *box);
/* Hands over what the shard has sent to itself; true if there was any. */
bool mailbox_drain_own(struct mailbox *box);
/* Sends the posted calls as far as slots allow, and wakes those who sleep. End of the turn. */
void mailbox_flush(struct mailbox *box);
/* Something lies in a lane to us: no time to sleep. */
bool mailbox_has_mail(const struct mailbox *box);
