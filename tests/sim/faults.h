/* tests/sim/faults.h - the nemesis: what happens to processes, hosts, links and disks by a clock of
 * its own, within the budget, and the healing of it all.
 *
 * The budget: a broker may lose power, or have a disk that fails, only while no other broker is so
 * damaged: until it is back in all in-sync replicas (ZooKeeper says so) nobody else's disk is
 * touched. Where a partition was promised less than two replicas (min.insync.replicas 1) the
 * oracle's promise is lifted first. Kills and pauses need no budget: the page cache survives. */
#pragma once
#include "tests/sim/cluster.h"
#include "tests/sim/load.h"

struct nemesis;

struct nemesis *nemesis_create(struct world *world, struct cluster *cluster, struct load *load);
void nemesis_destroy(struct nemesis **nemesis);
/* From now on, until nemesis_heal. */
void nemesis_start(struct nemesis *nemesis);
/* Ends all that it has begun: links, pauses, power, disks, ZooKeeper; starts who is down. */
void nemesis_heal(struct nemesis *nemesis);
