/* tests/bench/awake.h - processors that do not sleep while latencies are taken.
 *
 * In a virtual machine an idle processor is given back to the host, and comes back when the host has
 * time for it: on a "quiet" machine that is most of a p99, and it has nothing to do with the broker.
 * One process per processor spins at the lowest priority there is (SCHED_IDLE, in a group of its
 * own): whoever wants to run goes before it. */
#pragma once
#include <sys/types.h>

struct awake {
    pid_t *pids;
    int count;
};
/* They end with awake_end, or with the thread that began them. One that cannot be made is left out. */
void awake_begin(struct awake *awake);
void awake_end(struct awake *awake);
