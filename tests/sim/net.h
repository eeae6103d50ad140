/* tests/sim/net.h - the wires between hosts, and the turns of shards.
 *
 * A connection is two streams of bytes with latency, bandwidth and a window. Lies: a stream cut at
 * any byte with what came before arriving; long stalls; refused connects; one-way and two-way cuts
 * of a link, in which bytes wait and connections stay open and silent until the writer gives up;
 * hosts without power, whose peers hear nothing until they are up again and know of no connection.
 * A paused process has a kernel that still accepts connections and takes bytes.
 *
 * Hosts are reached by their names. Whoever listens at a host and port is found at the moment of
 * the connect: so a reconnect may reach a restarted process. */
#pragma once
#include "runtime/net.h"
#include "tests/sim/world.h"

extern const struct net_ops sim_net_ops;

/* The first of the world's parts. */
struct sim_net *sim_net_create(struct world *world);
/* After all processes. */
void sim_net_destroy(struct sim_net **net);

/* From now on the world turns the shard; from its own process's code. Each turn comes after a delay
 * of the seed, so that shards interleave. */
void sim_shard_start(struct shard *shard);

/* What `from` sends does not reach `to`, until healed. Cuts count: each needs its heal. */
void sim_net_cut(struct sim_net *net, struct sim_host *from, struct sim_host *to);
void sim_net_heal(struct sim_net *net, struct sim_host *from, struct sim_host *to);
bool sim_net_is_cut(const struct sim_net *net, const struct sim_host *from,
                    const struct sim_host *to);
/* Breaks connections between two hosts now, as a middle box does that forgets them. */
void sim_net_reset(struct sim_net *net, struct sim_host *a, struct sim_host *b);
uint64_t sim_net_bytes(const struct sim_net *net);
/* What one connection carries at worst, without faults: a window for each way there and back. */
int64_t sim_net_bytes_per_s(const struct sim_net *net);
