#include "tests/bench/replication.h"
#include "tests/cluster/cluster.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BROKERS      3
#define WARM_SECONDS 2

struct replication {
    struct cluster cluster;
    struct load_target target; /* the leader */
    struct load_options load;
    int partitions;
    char topic[64];
};

static double cpu_of(struct replication *it, int broker)
{
    struct process_use use = {0};

    if (!process_use(cluster_node(&it->cluster, NODE_BROKER, broker)->pid, &use)) {
        fprintf(stderr, "bench: broker %d has ended\n", broker);
        exit(1);
    }
    return use.cpu_seconds;
}

static void new_topic(struct replication *it, const char *name, int partitions, int replicas)
{
    const struct load_replicas on = {{1, 2, 3}, replicas};

    snprintf(it->topic, sizeof(it->topic), "%s-%d", name, replicas);
    it->target.topic = it->topic;
    it->target.partitions = partitions;
    load_create_topic(&it->target, it->topic, partitions, &on);
}

static void check(const struct load_result *result)
{
    if (result->errors > 0) printf("  (%lu errors!)", (unsigned long)result->errors);
    printf("\n");
}

/* CPU seconds per GiB of each broker; [0] is the leader's. With acks=all the followers have written
 * everything when the load ends. */
static void measure_cost(struct replication *it, int replicas, double cost[BROKERS])
{
    struct load_options warm = it->load;
    struct load_result result;
    double before[BROKERS];

    new_topic(it, "cost", it->partitions, replicas);
    warm.total_bytes = it->load.total_bytes / 8;
    load_produce(&it->target, &warm, &result);
    load_result_fini(&result);
    for (int i = 0; i < BROKERS; i++)
        before[i] = cpu_of(it, i + 1);
    load_produce(&it->target, &it->load, &result);
    double gib = (double)result.bytes / (1 << 30);
    for (int i = 0; i < BROKERS; i++)
        cost[i] = (cpu_of(it, i + 1) - before[i]) / gib;
    printf("produce, acks=all, replicas=%d  %9.1f MiB/s  CPU s/GiB: leader %.3f", replicas,
           (double)result.bytes / (1 << 20) / result.seconds, cost[0]);
    for (int i = 1; i < replicas; i++)
        printf("  follower %d %.3f", i + 1, cost[i]);
    check(&result);
    load_result_fini(&result);
}

static void measure_latency(struct replication *it, int replicas)
{
    struct load_options load = it->load;
    struct load_result result;

    load.record_bytes = 100;
    load.batch_bytes = 1; /* one record */
    new_topic(it, "latency", 1, replicas);
    load.seconds = WARM_SECONDS;
    load_produce_at_rate(&it->target, &load, &result);
    load_result_fini(&result);
    load.seconds = it->load.seconds;
    load_produce_at_rate(&it->target, &load, &result);
    printf(
        "one record, acks=all, replicas=%d at %.0f/s  p50 %.0f us  p99 %.0f us  p99.9 %.0f us  max "
        "%.0f us",
        replicas, load.rate, load_percentile(&result, 0.5) * 1e6,
        load_percentile(&result, 0.99) * 1e6, load_percentile(&result, 0.999) * 1e6,
        load_percentile(&result, 1) * 1e6);
    check(&result);
    load_result_fini(&result);
}

void replication_run(const struct load_options *load, int partitions, const char *broker_properties,
                     const char *binaries)
{
    struct replication it = {.load = *load, .partitions = partitions};
    struct cluster_options options = {.zookeepers = 1,
                                      .controllers = 1,
                                      .brokers = BROKERS,
                                      .broker_properties = broker_properties,
                                      /* the first broker leads what it is to lead */
                                      .controller_properties = "auto.leader.rebalance.enable=false",
                                      .binaries = binaries};
    double alone[BROKERS], together[BROKERS];
    const char *missing = cluster_missing();

    if (missing != NULL) {
        fprintf(stderr, "ottla-bench: %s\n", missing);
        exit(77);
    }
    it.load.acks = -1;
    cluster_start(&it.cluster, &options);
    it.target.port = cluster_node(&it.cluster, NODE_BROKER, 1)->port;
    snprintf(it.target.host, sizeof(it.target.host), "127.0.0.1");
    printf(
        "three brokers, all led by the first; %d connections, %d partitions, batches of %d bytes, "
        "records of %d\n",
        it.load.connections, partitions, it.load.batch_bytes, it.load.record_bytes);
    measure_cost(&it, 1, alone);
    measure_cost(&it, BROKERS, together);
    printf("replication to two followers    CPU s/GiB: leader %.3f more (%.3f each)\n",
           together[0] - alone[0], (together[0] - alone[0]) / (BROKERS - 1));
    measure_latency(&it, 1);
    measure_latency(&it, BROKERS);
    cluster_stop(&it.cluster);
}
