/* tests/chaos/faults.h - what is done to the cluster, drawn from a seed.
 *
 * A fault begins, lasts, and ends; afterwards everything runs and is connected again. Each has a
 * name; `name:N` means the broker N (or controller, or ZooKeeper) and not one that is drawn. */
#pragma once
#include "base/prng.h"
#include "tests/chaos/world.h"

struct fault; /* a kind */

/* NULL: there is no such kind. */
const struct fault *fault_find(const char *name);
void fault_list(void);
/* All that the drawn runs use when nothing is said. */
const char *fault_usual(void);

struct fault_run {
    const struct fault *fault;
    struct node *node, *other;
    double seconds; /* how long it lasts */
    char what[160];
};
/* `number` 0: drawn. False when there is nobody to do it to. Nodes of `busy` (or NULL) are left
 * alone. */
bool fault_begin(const struct fault *fault, struct world *world, struct prng *prng, int number,
                 const struct fault_run *busy, struct fault_run *run);
void fault_end(struct world *world, struct fault_run *run);
