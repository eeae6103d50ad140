/* tests/cluster/suite.h - the main of a cluster test: one cluster, its tests in order.
 *
 *     int main(void)
 *     {
 *         struct cluster_options options = {.zookeepers = 1, .controllers = 2, .brokers = 3};
 *         return CLUSTER_SUITE(&cluster, &options, 300, a_claim, another_claim);
 *     }
 */
#pragma once
#include "tests/cluster/cluster.h"
#include "tests/unit/unit.h"
#include <stdio.h>

/* The exit code: 77 (skipped) where clusters cannot be had. Each test may take `seconds`. */
#define CLUSTER_SUITE(cluster, options, seconds, ...)                                              \
    cluster_suite((cluster), (options), (seconds), __FILE__, (const TTest *const[]){__VA_ARGS__},  \
                  sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(const TTest *))

static inline int cluster_suite(struct cluster *cluster, const struct cluster_options *options,
                                double seconds, const char *name, const TTest *const *tests,
                                size_t count)
{
    const char *missing = cluster_missing();

    if (missing != NULL) {
        printf("%s\n", missing);
        return 77;
    }
    cluster_start(cluster, options);
    int failed = unit_run_no_fork(name, tests, count, seconds);
    cluster_stop(cluster);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
