/* runtime/env_posix.h - the real world behind env.h.
 *
 * One per process. It owns the clock, the luck (streams seeded from the kernel), the listening
 * sockets that shards share and the threads that resolve names; files and sockets made through it
 * are closed by their owners before it is destroyed. */
#pragma once
#include "base/list.h"
#include "runtime/env.h"

/* `zk` is the table of ZooKeeper sessions (env_zookeeper.h), or NULL for a process without. */
struct env *env_posix_create(const struct zk_ops *zk);
void env_posix_destroy(struct env **env); /* sets it to NULL; NULL is fine */

/* For edges that bring a descriptor of their own (the ZooKeeper client, signals): it is watched by
 * the shard's own wait. Readiness is by level: `ready` is called on the shard, once per turn, while
 * it lasts. The caller's memory, zeroed at first; `net` is a real shard's (shard->net). For
 * time-outs there are the shard's timers. */
struct net;
struct net_watch {
    void (*ready)(struct net_watch *watch, unsigned ready); /* NET_READABLE, …_WRITABLE, …_FAILED */
    int fd;          /* of net_posix.c, as all below: −1 or 0 before the first use */
    unsigned events; /* 0: not watched */
    unsigned got;    /* what the last wait found */
    struct net *net;
    struct list_node node; /* of those with something to tell */
};
/* Watches `fd` for `events` (NET_READABLE | NET_WRITABLE, at least one); keeps `watch`. Saying it
 * again changes descriptor or events; also where the descriptor was closed meanwhile and its number
 * came again for another file. ERR_TOO_MANY, ERR_DENIED (a file that cannot be waited for). */
MUST_CHECK enum err net_posix_watch(struct net *net, struct net_watch *watch, int fd,
                                    unsigned events);
/* Before or after the descriptor is closed. One that is not watched is fine. */
void net_posix_unwatch(struct net_watch *watch);
