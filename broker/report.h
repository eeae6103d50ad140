/* broker/report.h - what a broker counts, under the names that dashboards of Kafka know.
 *
 * Names are what jmx_exporter's usual rules make of Kafka's JMX names: kafka_<domain>_<type>_<name>
 * in lower case, counters with _total; what Kafka has not begins with ottla_. The cells are the
 * shards'; they are summed when the page is asked for. */
#pragma once
#include "base/time.h"
#include "runtime/metrics.h"

struct broker;

/* Cells that are no shard's, written on the control shard. */
struct broker_report {
    struct metrics *metrics; /* NULL: nobody asks */
    struct gauge state;      /* Kafka's: 1 starting, 3 running, 6 shutting down, 0 not running */
    struct gauge zookeeper;  /* 1: a session stands */
    struct counter expired;  /* sessions */
    struct gauge dirs_offline, dirs_full;
    struct gauge idle; /* of the data shards, in IDLE_WHOLE, over about a minute */
    uint64_t busy_ns;  /* when `idle` was taken last, as the next */
    struct instant idle_at;
};

/* When the shards have their partitions. */
void broker_report_open(struct broker *broker);
