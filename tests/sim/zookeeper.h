/* sim/zookeeper.h - ZooKeeper in the simulated world: the seam of runtime/zk_ops.h over ensemble.h.
 *
 * What the real client library and env_zookeeper.c do with a connection: servers tried in a drawn
 * order with the same pauses, pings, the time after which a silent server is given up, watches
 * armed again after a reconnect, what is lost when a connection is. The client runs in its process:
 * while that is paused its connection and what has arrived wait, and it hears of its expiry when it
 * goes on. Faults of its own: zookeeper.loss-before and zookeeper.loss-after (a connection is lost,
 * and with it the answer to a write that was not, or was, done). */
#pragma once
#include "tests/sim/ensemble.h"

struct sim_zookeeper;

/* One per world; sets world->zookeeper. */
struct sim_zookeeper *sim_zookeeper_create(struct world *world);
void sim_zookeeper_destroy(struct sim_zookeeper **zookeeper);
struct ensemble *sim_zookeeper_ensemble(struct sim_zookeeper *zookeeper);

/* For env_sim.c. */
extern const struct zk_ops sim_zookeeper_ops;

/* The session of a process, 0: none; the latest it was told of. */
int64_t sim_zookeeper_session(const struct sim_zookeeper *zookeeper,
                              const struct sim_process *process);
/* The next write of the process (a create, set, delete or multi) loses its connection: before it
 * is done, or after. */
void sim_zookeeper_lose_next(struct sim_zookeeper *zookeeper, const struct sim_process *process,
                             bool is_done);
void sim_zookeeper_audit(const struct sim_zookeeper *zookeeper);
