/* tests/sim/env_sim.h - what a simulated process can ask of its world: the tables of env.h put
 * together, each call with the world's heap in force; the disks of hosts and the disk pool. */
#pragma once
#include "tests/sim/disk.h"
#include "tests/sim/world.h"

extern const struct env_ops sim_env_ops;

/* The part of the world that has the disks: deaths and power loss reach them, faults are drawn from
 * the seed. After sim_net_create. */
struct sim_disks;
struct sim_disks *sim_disks_create(struct world *world);
void sim_disks_destroy(struct sim_disks **disks);

/* Gives the host so many devices of `bytes` each. */
#define SIM_DEVICES_MAX 3
void sim_disks_add(struct sim_disks *disks, struct sim_host *host, int devices, uint64_t bytes);
/* Where a device is mounted, from 0 on: "/data", … */
const char *sim_disks_path(int device);
/* What a broker has replaced, a checkpoint say, it relies on: wrong, if names of files that were
 * replaced pile up without a sync of their directory. Looked at before a loss of power too. */
void sim_disks_audit(struct world *world);
/* A process on such a host; else it has no files. */
struct sim_process *sim_process_create(struct sim_host *host, const char *name);
