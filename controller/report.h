/* controller/report.h - what a controller counts, under the names that dashboards of Kafka know.
 *
 * The gauges are taken from the context each second, on the controller's shard; a standby shows
 * zeros, and activecontrollercount tells who is active: its sum over a cluster is 1. */
#pragma once
#include "controller/controller.h"
#include "runtime/metrics.h"
#include "runtime/status.h"

struct report {
    struct gauge active, offline_partitions, imbalanced, topics, partitions, topics_deleting;
    struct gauge brokers, brokers_suspect, reassigning;
    struct counter unclean_elections, elections;
};

/* The cells stay the caller's, who keeps them until `metrics` has gone. */
void report_open(struct report *report, struct metrics *metrics);
void report_take(struct report *report, const struct controller *controller);
enum status_readiness report_readiness(const struct controller *controller);
