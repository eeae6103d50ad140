/* runtime/shard.h - one thread of a process: sockets, timers, posted work, a mailbox; one loop.
 *
 * Everything that a shard owns is touched by it alone. A turn is one instant: shard_now is read
 * once. In production shard_run loops on a thread of its own; in the simulator the world calls
 * shard_turn. */
#pragma once
#include "base/heap.h"
#include "base/list.h"
#include "runtime/mailbox.h"
#include "runtime/metrics.h"
#include "runtime/net.h"

struct disk;
struct disk_job;

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

    uint8_t *scratch; /* SHARD_SCRATCH_BYTES; conn.c's */

    /* of shard.c */
    struct instant now;
    struct instant clock; /* as it was last looked at: `now`, or later in the turn */
    struct heap timers;
    struct list posts;                    /* run in this turn */
    struct list last_posts;               /* run in this turn after all others */
    _Atomic(struct disk_job *) disk_done; /* completions, latest first; pushed by the pool */
    struct disk_job *disk_left;           /* taken from there, in order, not yet handed over */
    struct sleeper sleeper;
    _Atomic bool is_stopping;
    bool is_busy; /* a bound was reached: the next turn does not wait */
    struct counter turns, turns_long, busy_ns;
};

#define SHARD_SCRATCH_BYTES 65536

/* `mesh` and `disk` are the process's, borrowed until shard_close. `handlers` may be NULL for a
 * process of one shard. */
MUST_CHECK enum err shard_open(struct shard *shard, struct env *env, int id, struct mesh *mesh,
                               const struct mailbox_handlers *handlers, void *owner,
                               struct disk *disk);
/* When its conns, listeners and peers have ended. */
void shard_close(struct shard *shard);

/* One turn: waits until something is there or the next timer is due, reads the clock, then
 * messages, completions, timers, sockets, posted work; last what was posted with shard_post_last
 * (so that replies of a turn leave together) and the posted calls. Each within a bound; a turn
 * longer than 10 ms is counted and logged. */
void shard_turn(struct shard *shard);
/* The same without the wait, for a world that turns shards itself. */
void shard_work(struct shard *shard);
/* For such a world, after a turn: when the next one is due, INSTANT_ZERO at
 * once. Until then the shard counts as asleep: whoever leaves something for it calls net_wake. */
struct instant shard_rest(struct shard *shard);
/* Turns until shard_stop. */
void shard_run(struct shard *shard);
/* Ends shard_run after its turn. From any thread. */
void shard_stop(struct shard *shard);

static inline struct instant shard_now(const struct shard *shard)
{
    return shard->now;
}

/* For measuring what a turn is spent on: the clock, and what the last look at it gave. */
struct instant shard_look(struct shard *shard);
static inline struct instant shard_looked(const struct shard *shard)
{
    return shard->clock;
}

/* Arms, or moves, `timer`; INSTANT_NEVER disarms. */
void timer_arm(struct shard *shard, struct timer *timer, struct instant at);
/* One that is not armed is fine. */
void timer_cancel(struct shard *shard, struct timer *timer);

/* Posting one that is posted changes nothing. */
void shard_post(struct shard *shard, struct post *post);
/* The same, after everything else of the turn; what it posts in turn waits for the next. */
void shard_post_last(struct shard *shard, struct post *post);
void shard_unpost(struct post *post);
/* Hands a finished job to its home. From any thread: for the disk pool. */
void shard_complete(struct shard *shard, struct disk_job *job);
