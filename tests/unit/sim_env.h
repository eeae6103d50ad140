/* tests/unit/sim_env.h - an env of one process on a simulated disk (tests/sim/disk.h), without a
 * simulated world: its clock stands, its luck is a stream, its network is none. */
#pragma once
#include "base/ensure.h"
#include "tests/sim/disk.h"

struct sim_env {
    struct env env; /* first: this is what the code under test gets */
    struct env_ops ops;
    struct sim_files *files;
    struct prng luck;
    int64_t wall_ms;
};

static struct sim_env *the_sim_env; /* `world` of its env is the files */

static inline struct instant sim_env_now(void *world)
{
    (void)world;
    return (struct instant){the_sim_env->wall_ms * 1000000};
}
static inline int64_t sim_env_wall_ms(void *world)
{
    (void)world;
    return the_sim_env->wall_ms;
}
static inline uint64_t sim_env_random(void *world, const char *purpose)
{
    (void)world;
    (void)purpose;
    return prng_next(&the_sim_env->luck);
}

/* A new process on the machine. */
static inline void sim_env_init(struct sim_env *e, struct sim_disk *disk)
{
    *e = (struct sim_env){.wall_ms = 1700000000000};
    prng_init(&e->luck, 7);
    e->files = sim_files_create(disk, sim_env_wall_ms, e);
    e->ops = (struct env_ops){.now = sim_env_now,
                              .wall_ms = sim_env_wall_ms,
                              .random = sim_env_random,
                              .files = &sim_files_ops};
    e->env = (struct env){&e->ops, e->files};
    the_sim_env = e;
}

static inline void sim_env_fini(struct sim_env *e)
{
    sim_files_destroy(&e->files);
}
