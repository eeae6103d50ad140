/* tools/zookeeper_client.h - a ZooKeeper session of a command: asks, and waits for the answers on a
 * shard of its own. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "zk/zk.h"

/* Open, for recipes: they run on its session, while the caller turns its shard. Closed, it may not
 * move. */
struct zookeeper_client {
    const char *connect;
    struct arena *arena; /* for answers */
    struct buf *message;
    struct env *env;
    struct shard shard;
    struct zk *zk;
    struct timer timer;
    bool is_late; /* since zookeeper_client_wait: ZooKeeper has had its time */
    bool is_closed;
};

/* What one read came to; in the arena. */
struct zookeeper_answer {
    struct zk_call call;
    struct zookeeper_client *client;
    bool is_done;
    enum err err;
    struct slice data;
    struct zk_stat stat;
    struct slice *children;
    int child_count;
};

/* Nothing is asked yet. `connect`, `arena` and `message` are borrowed until the end. Failures have
 * a message, here and below. */
MUST_CHECK enum err zookeeper_client_open(struct zookeeper_client *client, const char *connect,
                                          struct arena *arena, struct buf *message);
/* After a successful open. */
void zookeeper_client_close(struct zookeeper_client *client);

/* From now on ZooKeeper has its time, until `is_late`. */
void zookeeper_client_wait(struct zookeeper_client *client);
/* All reads at once; what each came to is in its answer. ERR_TIMED_OUT when ZooKeeper does not
 * answer. */
MUST_CHECK enum err zookeeper_client_read_all(struct zookeeper_client *client,
                                              const struct zk_op *ops, int count,
                                              struct zookeeper_answer **answers);
/* One op, and what it came to; `fine` is an error that needs no message (ERR_OK: none). */
MUST_CHECK enum err zookeeper_client_do(struct zookeeper_client *client, const struct zk_op *op,
                                        enum err fine, struct zookeeper_answer **answer);
/* Says in the message that `path` failed; gives `err`. */
enum err zookeeper_client_fail(struct zookeeper_client *client, struct slice path, enum err err);
