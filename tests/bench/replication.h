/* tests/bench/replication.h - what replication costs, told apart from what producing costs. */
#pragma once
#include "tests/bench/load.h"

/* Starts three brokers; all partitions are led by the first. The load goes, with acks=all, first to
 * a topic that only the leader has and then to one that all three have, and the CPU time of each
 * broker's process is counted apart: what the leader spends on its followers is the difference of
 * the two. Then single records at `load->rate`, their latency with one replica and with three.
 * Prints; ends the program if the cluster does not come up. */
void replication_run(const struct load_options *load, int partitions, const char *broker_properties,
                     const char *binaries);
