/* broker/report.c - see report.h. */
#include "broker/report.h"
#include "broker/broker_private.h"
#include "broker/replica/fetchers.h"
#include "broker/replica/partitions.h"
#include <stdio.h>

#define LABELS_MAX   64
#define IDLE_WHOLE   1000000
#define IDLE_SECONDS 60

struct counted {
    size_t offset;
    const char *name, *labels, *help;
};

static const struct counted gauges[] = {
#define GAUGE(cell, name, labels, help)                                                            \
    {                                                                                              \
        offsetof(struct partitions_counts, cell), name, labels, help                               \
    }
    GAUGE(partitions, "kafka_server_replicamanager_partitioncount", NULL,
          "Partitions hosted here."),
    GAUGE(leaders, "kafka_server_replicamanager_leadercount", NULL, "Partitions led here."),
    GAUGE(offline, "kafka_server_replicamanager_offlinereplicacount", NULL,
          "Replicas here whose log directory is offline."),
    GAUGE(under_replicated, "kafka_server_replicamanager_underreplicatedpartitions", NULL,
          "Partitions led here whose ISR lacks a replica."),
    GAUGE(under_min_isr, "kafka_server_replicamanager_underminisrpartitioncount", NULL,
          "Partitions led here whose ISR is smaller than min.insync.replicas."),
    GAUGE(at_min_isr, "kafka_server_replicamanager_atminisrpartitioncount", NULL,
          "Partitions led here whose ISR is as small as min.insync.replicas allows."),
    GAUGE(moves, "ottla_logdirmoves_partitions", NULL,
          "Replicas that are on their way to another log directory."),
    GAUGE(moves_failed, "kafka_server_replicaalterlogdirsmanager_failedpartitionscount", NULL,
          "Replicas that cannot go on to another log directory."),
    GAUGE(waiting_produce, "kafka_server_delayedoperationpurgatory_purgatorysize",
          "delayedOperation=\"Produce\"", "Requests that wait."),
    GAUGE(waiting_fetch, "kafka_server_delayedoperationpurgatory_purgatorysize",
          "delayedOperation=\"Fetch\"", "Requests that wait."),
#undef GAUGE
};

static const struct counted counters[] = {
#define COUNTER(cell, name, help)                                                                  \
    {                                                                                              \
        offsetof(struct partitions_counts, cell), name, NULL, help                                 \
    }
    COUNTER(isr_shrinks, "kafka_server_replicamanager_isrshrinks_total",
            "Times that an ISR became smaller."),
    COUNTER(isr_expands, "kafka_server_replicamanager_isrexpands_total",
            "Times that an ISR became larger."),
    COUNTER(isr_failed, "kafka_server_replicamanager_failedisrupdates_total",
            "ISR changes that were not committed."),
    COUNTER(cleanings, "kafka_log_logcleaner_cleanings_total", "Times that a log was compacted."),
    COUNTER(moves_done, "ottla_logdirmoves_done_total",
            "Replicas that have moved to another log directory."),
    COUNTER(moved_bytes, "ottla_logdirmoves_bytes_total", "Bytes copied between log directories."),
    COUNTER(bytes_in, "kafka_server_brokertopicmetrics_bytesin_total",
            "Bytes that producers sent."),
    COUNTER(messages_in, "kafka_server_brokertopicmetrics_messagesin_total",
            "Records that producers sent."),
    COUNTER(bytes_out, "kafka_server_brokertopicmetrics_bytesout_total",
            "Bytes that consumers fetched."),
    COUNTER(replication_bytes_in, "kafka_server_brokertopicmetrics_replicationbytesin_total",
            "Bytes fetched from leaders."),
    COUNTER(replication_bytes_out, "kafka_server_brokertopicmetrics_replicationbytesout_total",
            "Bytes that followers fetched."),
    COUNTER(produce_requests, "kafka_server_brokertopicmetrics_totalproducerequests_total",
            "Produce requests."),
    COUNTER(fetch_requests, "kafka_server_brokertopicmetrics_totalfetchrequests_total",
            "Fetch requests."),
    COUNTER(produce_failed, "kafka_server_brokertopicmetrics_failedproducerequests_total",
            "Produce requests with an error."),
    COUNTER(fetch_failed, "kafka_server_brokertopicmetrics_failedfetchrequests_total",
            "Fetch requests with an error."),
    COUNTER(guard_syncs, "ottla_lastreplica_syncs_total",
            "Logs synced because their ISR is smaller than min.insync.replicas."),
    COUNTER(guard_syncs_failed, "ottla_lastreplica_syncfailures_total",
            "Such syncs that failed; they are tried again."),
    COUNTER(guard_stood_back, "ottla_lastreplica_stoodback_total",
            "Orders to lead that were refused because the log lacks what was promised of it."),
    COUNTER(guard_records_lost, "ottla_lastreplica_recordslost_total",
            "Committed records given up by unclean elections, as this broker knew them."),
#undef COUNTER
};

static void add_partitions(struct metrics *metrics, struct partitions_counts *counts)
{
    const char *base = (const char *)counts;

    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
        metrics_add_gauge(metrics, (const struct gauge *)(const void *)(base + gauges[i].offset),
                          gauges[i].name, gauges[i].labels, gauges[i].help);
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        metrics_add_counter(metrics,
                            (const struct counter *)(const void *)(base + counters[i].offset),
                            counters[i].name, counters[i].labels, counters[i].help);
    metrics_add_histogram(metrics, &counts->guard_sync_ns, "ottla_lastreplica_sync_seconds", NULL,
                          "How long ISR changes waited for the sync of their log.", 1e9);
}

static void add_fetchers(struct metrics *metrics, struct fetchers_counts *counts)
{
    metrics_add_gauge(metrics, &counts->partitions, "ottla_fetchers_partitions", NULL,
                      "Partitions followed here.");
    metrics_add_gauge(metrics, &counts->links, "ottla_fetchers_connections", NULL,
                      "Ways to leaders over which partitions are followed.");
    metrics_add_gauge(metrics, &counts->failed,
                      "kafka_server_replicafetchermanager_failedpartitionscount", NULL,
                      "Followed partitions that wait for a new leader epoch.");
    metrics_add_counter(metrics, &counts->requests, "ottla_fetchers_requests_total", NULL,
                        "Requests to leaders.");
    metrics_add_counter(metrics, &counts->request_errors, "ottla_fetchers_requesterrors_total",
                        NULL, "Requests to leaders that failed as a whole.");
}

static void add_connections(struct metrics *metrics, const struct conn_limits *limits)
{
    metrics_add_gauge(metrics, &limits->connections,
                      "kafka_server_socketservermetrics_connection_count", NULL,
                      "Connections that stand.");
    metrics_add_counter(metrics, &limits->accepted,
                        "kafka_server_socketservermetrics_connection_creation_total", NULL,
                        "Connections accepted.");
    metrics_add_counter(metrics, &limits->closed_limit, "ottla_connections_closedforlimits_total",
                        NULL, "Connections closed because they broke a limit.");
    metrics_add_counter(metrics, &limits->waits_memory, "ottla_connections_waits_total",
                        "for=\"memory\"", "Times that reading of a connection stopped.");
    metrics_add_counter(metrics, &limits->waits_pending, "ottla_connections_waits_total",
                        "for=\"pending\"", "Times that reading of a connection stopped.");
    metrics_add_counter(metrics, &limits->waits_replies, "ottla_connections_waits_total",
                        "for=\"replies\"", "Times that reading of a connection stopped.");
    metrics_add_counter(metrics, &limits->bytes_in,
                        "kafka_server_socketservermetrics_incoming_byte_total", NULL,
                        "Bytes received.");
    metrics_add_counter(metrics, &limits->bytes_out,
                        "kafka_server_socketservermetrics_outgoing_byte_total", NULL,
                        "Bytes sent.");
}

static void add_shard(struct metrics *metrics, const struct shard *shard, int number)
{
    char labels[LABELS_MAX];

    snprintf(labels, sizeof(labels), "shard=\"%d\"", number);
    metrics_add_counter(metrics, &shard->turns, "ottla_shard_turns_total", labels,
                        "Turns of the shard's loop.");
    metrics_add_counter(metrics, &shard->turns_long, "ottla_shard_longturns_total", labels,
                        "Turns that took long.");
    metrics_add_counter_in(metrics, &shard->busy_ns, "ottla_shard_busy_seconds_total", labels,
                           "Time that the shard did not wait.", 1e9);
}

static void add_groups(struct metrics *metrics, struct groups_counts *counts)
{
    metrics_add_gauge(metrics, &counts->groups,
                      "kafka_coordinator_group_groupmetadatamanager_numgroups", NULL,
                      "Groups coordinated here.");
    metrics_add_gauge(metrics, &counts->loading, "ottla_groups_loading", NULL,
                      "Partitions of __consumer_offsets that are being read.");
    metrics_add_counter(metrics, &counts->rebalances, "ottla_groups_rebalances_total", NULL,
                        "Rebalances that were completed.");
    metrics_add_counter(metrics, &counts->commits, "ottla_groups_commits_total", NULL,
                        "Commits of offsets.");
    metrics_add_counter(metrics, &counts->commits_failed, "ottla_groups_commitfailures_total",
                        NULL, "Commits of offsets that failed.");
    metrics_add_counter(metrics, &counts->expired, "ottla_groups_expiredoffsets_total", NULL,
                        "Offsets that expired.");
}

/* Kafka has two pools of threads; here both are the data shards. Exporters have either ending. */
static void add_idle(struct metrics *metrics, const struct gauge *idle)
{
    static const char *const names[] = {
        "kafka_network_socketserver_networkprocessoravgidlepercent",
        "kafka_network_socketserver_networkprocessoravgidle_percent",
        "kafka_server_kafkarequesthandlerpool_requesthandleravgidlepercent",
        "kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        metrics_add_gauge_in(metrics, idle, names[i], NULL,
                             "How idle the data shards were in the last minute, of 1.",
                             IDLE_WHOLE);
}

/* An average that forgets, as of Kafka's one-minute rates. */
static void take_idle(struct broker *broker)
{
    struct broker_report *report = &broker->report;
    struct instant now = shard_now(&broker->main->shard);
    int64_t elapsed_ns = instant_ns_between(report->idle_at, now) * broker->data_shards;
    uint64_t busy_ns = 0;

    for (int i = 0; i < broker->data_shards; i++)
        busy_ns += counter_value(&broker->shards[i].shard.busy_ns);
    bool is_first = report->idle_at.ns == 0;
    double busy = elapsed_ns <= 0 ? 0 : (double)(busy_ns - report->busy_ns) / (double)elapsed_ns;
    double idle = busy > 1 ? 0 : IDLE_WHOLE * (1 - busy);
    double before = (double)gauge_value(&report->idle);
    double weight = (double)elapsed_ns / broker->data_shards / (IDLE_SECONDS * 1e9);
    if (weight > 1) weight = 1;
    gauge_set(&report->idle, is_first ? IDLE_WHOLE : (int64_t)(before + weight * (idle - before)));
    report->busy_ns = busy_ns;
    report->idle_at = now;
}

static void take_dirs(struct broker *broker)
{
    int64_t offline = 0, full = 0;

    for (int i = 0; i < store_dir_count(broker->store); i++) {
        const struct log_dir *dir = store_dir(broker->store, i);
        offline += atomic_load(&dir->is_offline);
        full += atomic_load(&dir->is_full);
    }
    gauge_set(&broker->report.dirs_offline, offline);
    gauge_set(&broker->report.dirs_full, full);
}

void broker_report_open(struct broker *broker)
{
    struct metrics *metrics = broker->report.metrics;

    if (metrics == NULL) return;
    for (int i = 0; i < broker->data_shards; i++) {
        struct broker_shard *shard = &broker->shards[i];
        add_partitions(metrics, partitions_counts(shard->partitions));
        add_fetchers(metrics, fetchers_counts(shard->api.fetchers));
        add_groups(metrics, groups_counts(shard->api.groups));
        add_connections(metrics, &shard->api.limits);
        phases_register(&shard->api.phases, metrics);
        add_shard(metrics, &shard->shard, i);
    }
    add_shard(metrics, &broker->main->shard, broker->data_shards);
    add_idle(metrics, &broker->report.idle);
    metrics_add_gauge(metrics, &broker->report.dirs_offline,
                      "kafka_log_logmanager_offlinelogdirectorycount", NULL,
                      "Log directories that have failed.");
    metrics_add_gauge(metrics, &broker->report.dirs_full, "ottla_logdirs_reserveused", NULL,
                      "Log directories whose reserve is used up: nothing is written there.");
    metrics_add_gauge(metrics, &broker->report.state, "kafka_server_kafkaserver_brokerstate", NULL,
                      "1 starting, 3 running, 6 shutting down.");
    metrics_add_gauge(metrics, &broker->report.zookeeper, "ottla_zookeeper_connected", NULL,
                      "1 while the broker is registered.");
    metrics_add_counter(metrics, &broker->report.expired,
                        "kafka_server_sessionexpirelistener_zookeeperexpires_total", NULL,
                        "ZooKeeper sessions that expired.");
}

enum status_readiness broker_readiness(struct broker *broker)
{
    enum status_readiness readiness = broker->is_stopping      ? STATUS_STOPPING
                                      : !broker->is_started    ? STATUS_STARTING
                                      : !broker->is_registered ? STATUS_CUT_OFF
                                                               : STATUS_READY;

    take_idle(broker);
    take_dirs(broker);
    gauge_set(&broker->report.zookeeper, broker->is_registered);
    gauge_set(&broker->report.state, broker->is_stopping ? 6 : broker->is_started ? 3 : 1);
    return readiness;
}
