/* runtime/env.h - all that a process can ask of the world.
 *
 * Two worlds exist: env_posix.c, and the simulator's. Code above runtime/ makes no system call,
 * reads no clock and draws no luck except through this. Calls start things; answers come as
 * callbacks on the asking shard, never before the call has returned. One `struct env` per process:
 * a test program may hold many. */
#pragma once
#include "base/slice.h"
#include "base/time.h"

struct net_ops;   /* runtime/net.h: sockets of one shard, and the wait for them */
struct files_ops; /* runtime/files.h: files and directories */
struct disk_ops;  /* runtime/disk.h: the pool for what may block */
struct zk_ops;    /* runtime/zk_ops.h: ZooKeeper sessions, for zk/zk.h */

struct env {
    const struct env_ops *ops;
    void *world;
};

struct env_ops {
    struct instant (*now)(void *world);
    int64_t (*wall_ms)(
        void *world); /* since 1970; may step: for record timestamps and znodes only */
    /* A stream per purpose, so that one more draw here changes nothing there. Thread-safe. */
    uint64_t (*random)(void *world, const char *purpose);
    /* A number that every boot of the machine has of its own: what an earlier boot had in the page
     * cache is gone. 0: not known. NULL: never known. */
    uint64_t (*boot)(void *world);
    const struct net_ops *net;
    const struct files_ops *files;
    const struct disk_ops *disk;
    const struct zk_ops *zk;
};

static inline struct instant env_now(const struct env *env)
{
    return env->ops->now(env->world);
}

static inline int64_t env_wall_ms(const struct env *env)
{
    return env->ops->wall_ms(env->world);
}

static inline uint64_t env_boot(const struct env *env)
{
    return env->ops->boot == NULL ? 0 : env->ops->boot(env->world);
}

static inline uint64_t env_random(const struct env *env, const char *purpose)
{
    return env->ops->random(env->world, purpose);
}
