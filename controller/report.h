/* controller/report.h - what a controller counts, under the names that dashboards of Kafka know.
 *
 * The gauges are taken from the context each second, on the controller's shard, those that need a
 * look at all partitions by a survey that begins then; a standby shows zeros, and
 * activecontrollercount tells who is active: its sum over a cluster is 1. */
#pragma once
#include "controller/controller.h"
#include "controller/survey.h"
#include "runtime/metrics.h"
#include "runtime/status.h"

struct report {
    struct gauge active, offline_partitions, imbalanced, topics, partitions, topics_deleting;
    struct gauge brokers, brokers_suspect, reassigning;
    struct counter unclean_elections, elections;
    struct survey survey;
    struct controller *controller; /* NULL: not opened */
    struct post post;              /* the next piece of the survey */
};

/* Zeroed before. The cells stay the caller's, who keeps them until `metrics` has gone; the
 * controller is kept until report_close. */
void report_open(struct report *report, struct controller *controller, struct metrics *metrics);
void report_take(struct report *report);
/* One that was not opened is fine. */
void report_close(struct report *report);
enum status_readiness report_readiness(const struct controller *controller);
