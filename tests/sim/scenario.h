/* tests/sim/scenario.h - cases by hand: known windows of Kafka's, played on a cluster under load
 * with no other faults, and judged by the same oracles as any run. `sim --scenario NAME --seed N`;
 * another seed is another interleaving of the same play.
 *
 * A topic "its" of three replicas (min.insync.replicas=2) has producers and consumers all the time.
 * Brokers and controllers are named by their numbers; what a play has done to them need not be
 * undone: the liveness phase heals everything. */
#pragma once
#include "tests/sim/load.h"

#define SCENARIO_OPTIONS_MAX 4

struct scene {
    struct world *world;
    struct cluster *cluster;
    struct load *load;
    struct ensemble *zookeeper;
    const char *topic;
    struct prng *luck;
};

struct scenario {
    const char *name, *what;
    void (*play)(struct scene *scene);
    struct scenario_option {
        const char *name;
        int64_t value;
    } options[SCENARIO_OPTIONS_MAX]; /* what is not drawn; no more after one without a name */
};

extern const struct scenario scenarios[];
extern const int scenario_count;
/* NULL: there is none of that name. */
const struct scenario *scenario_find(const char *name);

/* Before the world's parts are made: no faults but those of the play, steady load. */
void scenario_prepare(const struct scenario *scenario, struct world *world);
/* The topic is there, and whole; then the play. */
void scenario_play(const struct scenario *scenario, struct world *world, struct cluster *cluster,
                   struct load *load);
