/* runtime/shard.h - one thread of a process: sockets, timers, posted work, a mailbox; one loop.
 *
 * Everything that a shard owns is touched by it alone. A turn is one instant: shard_now is read once.
 * In production shard_run loops on a thread of its own; in the simulator the world calls shard_turn. */
#pragma once
#include "base/heap.h"
#include "base/list.h"
#include "runtime/mailbox.h"
#include "runtime/net.h"

struct disk;

/* Fires once, on its shard, at or after its time. */
struct timer {
    struct heap_node node; /* zero: not armed */
    void (*fire)(struct timer *timer);
};

/* Runs once, later in this turn or in the next: never inside the call that posted it. */
struct post {
    struct list_node node; /* zero: not posted */
    void (*run)(struct post *post);
};

struct shard {
    struct env *env;
    int id; /* 0 … shards − 1 of its process */
    struct net *net;
    struct mailbox *mailbox;
    struct disk *disk; /* the process's pool */
    void *owner;       /* of the program: what its handlers work on */

    /* of shard.c */
    struct instant now;
    struct heap timers;
    struct list posts;     /* run in this turn */
    struct list disk_done; /* completions: under the pool's lock */
    bool is_stopping;
    uint64_t turns, turns_long;
};

/* `mesh` and `disk` are the process's, borrowed until shard_close. `handlers` may be NULL for a process
 * of one shard. */
MUST_CHECK enum err shard_open(struct shard *shard, struct env *env, int id, struct mesh *mesh,
                               const struct mailbox_handlers *handlers, void *owner, struct disk *disk);
void shard_close(struct shard *shard);

/* One turn: messages, timers, sockets (waiting at most until the next timer), posted work. */
void shard_turn(struct shard *shard);
/* Turns until shard_stop. */
void shard_run(struct shard *shard);
/* Ends shard_run after its turn. From any thread. */
void shard_stop(struct shard *shard);

static inline struct instant shard_now(const struct shard *shard)
{
    return shard->now;
}

/* Arms, or moves, `timer`; INSTANT_NEVER disarms. */
void timer_arm(struct shard *shard, struct timer *timer, struct instant at);
/* One that is not armed is fine. */
void timer_cancel(struct shard *shard, struct timer *timer);

/* Posting one that is posted changes nothing. */
void shard_post(struct shard *shard, struct post *post);
void shard_unpost(struct post *post);
