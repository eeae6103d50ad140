/* tests/bench/groups.h - what groups cost: commits, a rebalance of many members, idle groups,
 * reading the log of a coordinator, the death of a coordinator. */
#pragma once
#include <stdint.h>

struct groups_load {
    double commits_rate;  /* a second */
    double seconds;       /* of commits */
    int members;          /* of the one group that rebalances */
    int idle;             /* groups */
    int64_t load_commits; /* in the log that is read */
    const char *broker_properties, *binaries;
};

/* `what`: commits, members, idle, load, kill, or all of them for NULL. Each has a cluster of its
 * own. Prints; ends the program if something does not come up. */
void groups_run(const struct groups_load *load, const char *what);
