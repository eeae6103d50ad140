/* tests/bench/bench.c - what a broker costs: throughput, latency, CPU per GiB, system calls,
 * memory.
 *
 *   ottla-bench [SCENARIO …] [options]
 *
 * Without --peer it starts ZooKeeper, a controller and a broker of its own build. With --peer
 * host:port
 * --peer-pid PID the very same load goes to that broker (Ottla or any other that speaks Kafka's
 * protocol), so that ratios come from one run. Read the figures of an optimised build only. */
#include "base/ensure.h"
#include "base/slice.h"
#include "base/text.h"
#include "tests/bench/groups.h"
#include "tests/bench/load.h"
#include "tests/bench/replication.h"
#include "tests/bench/storage.h"
#include "tests/cluster/cluster.h"
#include "wire/batch.h"
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define PARTITIONS_USUAL 6

struct bench {
    struct cluster cluster; /* unless there is a peer */
    bool has_peer;
    struct load_target target;
    pid_t pid;
    struct load_options load;
    struct groups_load groups;
    struct storage_options storage;
    const char *broker_properties;
    int many_partitions;
    int idle_connections;
    char topic[64];
};

static void check_read(bool good)
{
    if (good) return;
    fprintf(stderr, "bench: the broker's process cannot be read in /proc\n");
    exit(1);
}

static struct process_use use_of(const struct bench *bench)
{
    struct process_use use = {0};

    check_read(process_use(bench->pid, &use));
    return use;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void new_topic(struct bench *bench, const char *name, int partitions)
{
    snprintf(bench->topic, sizeof(bench->topic), "bench-%s-%d-%ld", name, (int)getpid(),
             (long)(seconds_now() * 1000) % 1000000);
    bench->target.topic = bench->topic;
    bench->target.partitions = partitions;
    load_create_topic(&bench->target, bench->topic, partitions, NULL);
}

static void print_throughput(const struct bench *bench, const char *name,
                             const struct load_result *result, double cpu_seconds)
{
    double gib = (double)result->bytes / (1 << 30);

    printf(
        "%-16s %9.1f MiB/s %11.0f records/s %9.0f requests/s  broker %6.3f CPU s/GiB  rss %7.1f MiB"
        "  errors %lu\n",
        name, mib(result->bytes) / result->seconds, (double)result->records / result->seconds,
        (double)result->requests / result->seconds, cpu_seconds / gib, mib(use_of(bench).rss_bytes),
        (unsigned long)result->errors);
}

/* Batches as asked, acks as asked, then everything is read back. */
static void run_throughput(struct bench *bench)
{
    struct load_result result;
    struct load_options warm = bench->load;

    new_topic(bench, "throughput", bench->target.partitions);
    warm.total_bytes = bench->load.total_bytes / 8;
    load_produce(&bench->target, &warm, &result);
    double before = use_of(bench).cpu_seconds;
    load_produce(&bench->target, &bench->load, &result);
    print_throughput(bench, "produce", &result, use_of(bench).cpu_seconds - before);
    load_result_fini(&result);

    before = use_of(bench).cpu_seconds;
    load_fetch(&bench->target, &bench->load, &result);
    print_throughput(bench, "fetch", &result, use_of(bench).cpu_seconds - before);
    load_result_fini(&result);
}

static void run_latency(struct bench *bench)
{
    struct load_options load = bench->load;
    struct load_result result;
    int partitions = bench->target.partitions;

    load.record_bytes = 100;
    load.batch_bytes = 1; /* one record */
    new_topic(bench, "latency", 1);
    for (int warm = 1; warm >= 0; warm--) {
        load.seconds = warm ? 2 : bench->load.seconds;
        double before = use_of(bench).cpu_seconds;
        load_produce_at_rate(&bench->target, &load, &result);
        if (!warm)
            printf(
                "one record       at %.0f/s  p50 %.0f us  p99 %.0f us  p99.9 %.0f us  max %.0f us"
                "  broker %.1f us CPU/request  errors %lu\n",
                load.rate, load_percentile(&result, 0.5) * 1e6,
                load_percentile(&result, 0.99) * 1e6, load_percentile(&result, 0.999) * 1e6,
                load_percentile(&result, 1) * 1e6,
                (use_of(bench).cpu_seconds - before) * 1e6 / (double)result.requests,
                (unsigned long)result.errors);
        load_result_fini(&result);
    }
    bench->target.partitions = partitions;
}

/* strace counts while a fixed number of requests is served. */
static void run_syscalls(struct bench *bench)
{
    struct load_result result;
    struct load_options load = bench->load;
    char summary[160], out[8192];

    if (run_command(NULL, 0, "command -v strace > /dev/null") != 0) {
        printf("syscalls         strace is not installed\n");
        return;
    }
    snprintf(summary, sizeof(summary), "/tmp/ottla-bench-strace-%d", (int)getpid());
    new_topic(bench, "syscalls", bench->target.partitions);
    for (int fetch = 0; fetch <= 1; fetch++) {
        run_command(NULL, 0, "strace -c -f -o %s -p %d > /dev/null 2>&1 & echo $! > %s.pid",
                    summary, bench->pid, summary);
        poll(NULL, 0, 1500); /* strace says nowhere that it has attached */
        load.total_bytes = 128 << 20;
        if (fetch)
            load_fetch(&bench->target, &load, &result);
        else
            load_produce(&bench->target, &load, &result);
        run_command(
            NULL, 0,
            "kill -INT $(cat %s.pid); while kill -0 $(cat %s.pid) 2> /dev/null; do sleep 0.1; done",
            summary, summary);
        run_command(out, sizeof(out),
                    "awk '$NF == \"total\" {print $4}' %s; sort -k4 -n -r %s | awk '$4 ~ "
                    "/^[0-9]+$/ && $NF != \"total\" {printf "
                    "\"%%s %%s, \", $NF, $4}' | head -c 300",
                    summary, summary);
        printf("syscalls %-7s %.2f per request of %.0f bytes (%s)\n", fetch ? "fetch" : "produce",
               strtod(out, NULL) / (double)result.requests,
               (double)result.bytes / (double)result.requests,
               strchr(out, '\n') == NULL ? "" : strchr(out, '\n') + 1);
        load_result_fini(&result);
    }
    run_command(NULL, 0, "rm -f %s %s.pid", summary, summary);
}

static void run_idle(struct bench *bench)
{
    uint64_t before = use_of(bench).rss_bytes;
    double begin = seconds_now();
    int *fds = load_idle_begin(&bench->target, bench->idle_connections);
    double seconds = seconds_now() - begin;

    poll(NULL, 0, 1000);
    uint64_t after = use_of(bench).rss_bytes;
    printf("idle connections %d: opened and used once in %.1f s, %.0f bytes each, rss %.1f MiB\n",
           bench->idle_connections, seconds,
           (double)(after > before ? after - before : 0) / bench->idle_connections, mib(after));
    load_idle_end(fds, bench->idle_connections);
}

static void run_partitions(struct bench *bench, int count)
{
    char name[32];
    int partitions = bench->target.partitions;
    struct node *node;

    if (bench->has_peer) {
        printf("partitions       skipped: the peer is not ours to restart\n");
        return;
    }
    node = cluster_node(&bench->cluster, NODE_BROKER, 1);
    poll(NULL, 0, 500);
    printf("empty broker     rss %.1f MiB\n", mib(use_of(bench).rss_bytes));
    double begin = seconds_now();
    for (int made = 0; made < count; made += 1000) {
        snprintf(name, sizeof(name), "many-%d", made);
        new_topic(bench, name, count - made < 1000 ? count - made : 1000);
    }
    bench->target.partitions = partitions;
    struct process_use controller = {0};
    check_read(process_use(cluster_node(&bench->cluster, NODE_CONTROLLER, 1)->pid, &controller));
    printf("%d partitions    created in %.1f s, rss %.1f MiB, open files %lu, controller rss %.1f "
           "MiB\n",
           count, seconds_now() - begin, mib(use_of(bench).rss_bytes),
           (unsigned long)use_of(bench).open_files, mib(controller.rss_bytes));
    for (int kill = 0; kill <= 1; kill++) {
        begin = seconds_now();
        node_signal(&bench->cluster, node, kill ? SIGKILL : SIGTERM);
        double stopped = seconds_now() - begin;
        double ready = storage_seconds_to_ready(&bench->cluster, node);
        node_wait_ready(&bench->cluster, node, 60);
        bench->pid = node->pid;
        poll(NULL, 0, 1000);
        printf("%d partitions    %s after %.0f ms, ready %.1f ms after its start, rss %.1f MiB, "
               "open files "
               "%lu\n",
               count, kill ? "killed" : "stopped", stopped * 1e3, ready * 1e3,
               mib(use_of(bench).rss_bytes), (unsigned long)use_of(bench).open_files);
    }
}

static void usage(FILE *to)
{
    fputs("usage: ottla-bench [SCENARIO …] [options]\n"
          "scenarios: throughput latency syscalls idle partitions (default: the first four);\n"
          "  replication: alone, for it has three brokers of its own; acks is −1\n"
          "  groups [commits|members|idle|load|kill]: alone; each part has brokers of its own\n"
          "  cleaner, cold, recovery: alone, each with a broker of its own and many GiB below "
          "TMPDIR\n"
          "  --bootstrap-binaries D  where ottla-broker and ottla-controller are (default "
          "$OTTLA_BUILD or .)\n"
          "  --peer HOST:PORT        measure this broker instead (HOST is a number)\n"
          "  --peer-pid PID          its process\n"
          "  --partitions N          of the topics (default 6; of recovery 1000)\n"
          "  --connections N         (default 4)\n"
          "  --pipeline N            produce requests in flight per connection (default 5)\n"
          "  --batch-bytes N         (default 102400)\n"
          "  --record-bytes N        (default 1024)\n"
          "  --acks N                −1, 0 or 1 (default 1)\n"
          "  --total-mib N           moved by throughput (default 2048)\n"
          "  --rate N                requests a second of latency (default 2000)\n"
          "  --seconds N             of latency (default 10)\n"
          "  --idle N                idle connections (default 10000)\n"
          "  --many N                partitions of the scenario partitions (default 1000)\n"
          "  --commits-rate N        a second, of groups (default 50000)\n"
          "  --members N             of the group that rebalances (default 1000)\n"
          "  --idle-groups N         (default 10000)\n"
          "  --load-commits N        in the log that a coordinator reads (default 10000000)\n"
          "  --gib N                 of data, of cleaner (default 10), cold (4), recovery (20)\n"
          "  --keys N                of cleaner (default 1000000)\n"
          "  --codec N               of cleaner's data, as in batches: 0 none (default), 3 lz4, …\n"
          "  --rounds N              of cold and recovery (default 3)\n"
          "  --override LINE         of the broker's server.properties\n",
          to);
}

static int64_t number_of(const char *option, const char *value, int64_t min, int64_t max)
{
    int64_t out = 0;

    if (text_int(slice_text(value), min, max, &out) != ERR_OK) {
        fprintf(stderr, "ottla-bench: --%s wants a number from %ld to %ld, not '%s'\n", option,
                (long)min, (long)max, value);
        exit(2);
    }
    return out;
}

enum {
    PEER = 256,
    PEER_PID,
    PARTITIONS,
    CONNECTIONS,
    PIPELINE,
    BATCH,
    RECORD,
    ACKS,
    TOTAL,
    RATE,
    SECONDS,
    IDLE,
    MANY,
    COMMITS_RATE,
    MEMBERS,
    IDLE_GROUPS,
    LOAD_COMMITS,
    GIB,
    KEYS,
    CODEC,
    ROUNDS,
    OVERRIDE,
    BINARIES,
    HELP
};

static const struct option long_options[] = {
    {"peer", required_argument, NULL, PEER},
    {"peer-pid", required_argument, NULL, PEER_PID},
    {"partitions", required_argument, NULL, PARTITIONS},
    {"connections", required_argument, NULL, CONNECTIONS},
    {"pipeline", required_argument, NULL, PIPELINE},
    {"batch-bytes", required_argument, NULL, BATCH},
    {"record-bytes", required_argument, NULL, RECORD},
    {"acks", required_argument, NULL, ACKS},
    {"total-mib", required_argument, NULL, TOTAL},
    {"rate", required_argument, NULL, RATE},
    {"seconds", required_argument, NULL, SECONDS},
    {"idle", required_argument, NULL, IDLE},
    {"many", required_argument, NULL, MANY},
    {"commits-rate", required_argument, NULL, COMMITS_RATE},
    {"members", required_argument, NULL, MEMBERS},
    {"idle-groups", required_argument, NULL, IDLE_GROUPS},
    {"load-commits", required_argument, NULL, LOAD_COMMITS},
    {"gib", required_argument, NULL, GIB},
    {"keys", required_argument, NULL, KEYS},
    {"codec", required_argument, NULL, CODEC},
    {"rounds", required_argument, NULL, ROUNDS},
    {"override", required_argument, NULL, OVERRIDE},
    {"bootstrap-binaries", required_argument, NULL, BINARIES},
    {"help", no_argument, NULL, HELP},
    {0},
};

static void set_peer(struct bench *bench, const char *value)
{
    const char *colon = strrchr(value, ':');

    if (colon == NULL || colon == value) {
        fprintf(stderr, "ottla-bench: --peer wants HOST:PORT\n");
        exit(2);
    }
    bench->has_peer = true;
    bench->target.port = (uint16_t)number_of("peer", colon + 1, 1, 65535);
    snprintf(bench->target.host, sizeof(bench->target.host), "%.*s", (int)(colon - value), value);
}

static void parse(struct bench *bench, int argc, char **argv, const char **binaries)
{
    for (int c, index = 0; (c = getopt_long(argc, argv, "", long_options, &index)) != -1;) {
        const char *name = long_options[index].name;
        switch (c) {
        case PEER:
            set_peer(bench, optarg);
            break;
        case PEER_PID:
            bench->pid = (pid_t)number_of(name, optarg, 1, INT32_MAX);
            break;
        case PARTITIONS:
            bench->target.partitions = (int)number_of(name, optarg, 1, 10000);
            break;
        case CONNECTIONS:
            bench->load.connections = (int)number_of(name, optarg, 1, 10000);
            break;
        case PIPELINE:
            bench->load.pipeline = (int)number_of(name, optarg, 1, 1000);
            break;
        case BATCH:
            bench->load.batch_bytes = (int)number_of(name, optarg, 1, 100 << 20);
            break;
        case RECORD:
            bench->load.record_bytes = (int)number_of(name, optarg, 1, 100 << 20);
            break;
        case ACKS:
            bench->load.acks = (int)number_of(name, optarg, -1, 1);
            break;
        case TOTAL:
            bench->load.total_bytes = (uint64_t)number_of(name, optarg, 1, 1 << 20) << 20;
            break;
        case RATE:
            bench->load.rate = (double)number_of(name, optarg, 1, 10000000);
            break;
        case SECONDS:
            bench->load.seconds = (double)number_of(name, optarg, 1, 36000);
            break;
        case IDLE:
            bench->idle_connections = (int)number_of(name, optarg, 1, 1000000);
            break;
        case MANY:
            bench->many_partitions = (int)number_of(name, optarg, 1, 1000000);
            break;
        case COMMITS_RATE:
            bench->groups.commits_rate = (double)number_of(name, optarg, 1, 10000000);
            break;
        case MEMBERS:
            bench->groups.members = (int)number_of(name, optarg, 1, 100000);
            break;
        case IDLE_GROUPS:
            bench->groups.idle = (int)number_of(name, optarg, 1, 10000000);
            break;
        case LOAD_COMMITS:
            bench->groups.load_commits = number_of(name, optarg, 1, INT64_C(1) << 40);
            break;
        case GIB:
            bench->storage.gib = (double)number_of(name, optarg, 1, 1 << 20);
            break;
        case KEYS:
            bench->storage.keys = number_of(name, optarg, 1, INT64_C(1) << 40);
            break;
        case CODEC:
            bench->storage.codec = (int)number_of(name, optarg, 0, BATCH_CODEC_COUNT - 1);
            break;
        case ROUNDS:
            bench->storage.rounds = (int)number_of(name, optarg, 1, 1000);
            break;
        case OVERRIDE:
            bench->broker_properties = optarg;
            break;
        case BINARIES:
            *binaries = optarg;
            break;
        case HELP:
            usage(stdout);
            exit(0);
        default:
            usage(stderr);
            exit(2);
        }
    }
    if (bench->has_peer && bench->pid == 0) {
        fprintf(stderr, "ottla-bench: --peer needs --peer-pid\n");
        exit(2);
    }
}

static void run_scenario(struct bench *bench, const char *name)
{
    static const struct {
        const char *name;
        void (*run)(struct bench *bench);
    } scenarios[] = {{"throughput", run_throughput},
                     {"latency", run_latency},
                     {"syscalls", run_syscalls},
                     {"idle", run_idle}};

    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        if (strcmp(name, scenarios[i].name) == 0) {
            scenarios[i].run(bench);
            return;
        }
    }
    if (strcmp(name, "partitions") == 0) {
        run_partitions(bench, bench->many_partitions);
        return;
    }
    fprintf(stderr, "ottla-bench: no scenario '%s'\n", name);
    exit(2);
}

/* False: it is none of these. */
static bool run_storage(struct bench *bench, const char *name, const char *binaries)
{
    static const struct {
        const char *name;
        void (*run)(const struct storage_options *options);
        int partitions;
    } scenarios[] = {{"cleaner", storage_cleaner, 1},
                     {"cold", storage_cold, PARTITIONS_USUAL},
                     {"recovery", storage_recovery, 1000}};

    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        if (strcmp(name, scenarios[i].name) != 0) continue;
        bench->storage.load = bench->load;
        bench->storage.partitions =
            bench->target.partitions > 0 ? bench->target.partitions : scenarios[i].partitions;
        bench->storage.broker_properties = bench->broker_properties;
        bench->storage.binaries = binaries;
        scenarios[i].run(&bench->storage);
        return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"throughput", "latency", "syscalls", "idle"};
    struct bench bench = {
        .load = {.connections = 4,
                 .pipeline = 5,
                 .batch_bytes = 100 << 10,
                 .record_bytes = 1 << 10,
                 .acks = 1,
                 .total_bytes = UINT64_C(2048) << 20,
                 .rate = 2000,
                 .seconds = 10,
                 .fetch_max_bytes = 1 << 20},
        .groups = {.commits_rate = 50000, .members = 1000, .idle = 10000, .load_commits = 10000000},
        .storage = {.keys = 1000000, .rounds = 3},
        .idle_connections = 10000,
        .many_partitions = 1000};
    const char *binaries = NULL;
    struct rlimit files;

    setvbuf(stdout, NULL, _IOLBF, 0);
    parse(&bench, argc, argv, &binaries);
    if (optind == argc - 1 && !bench.has_peer && run_storage(&bench, argv[optind], binaries))
        return 0;
    if (bench.target.partitions == 0) bench.target.partitions = PARTITIONS_USUAL;
    if (optind == argc - 1 && strcmp(argv[optind], "replication") == 0 && !bench.has_peer) {
        replication_run(&bench.load, bench.target.partitions, bench.broker_properties, binaries);
        return 0;
    }
    if (optind < argc && optind + 2 >= argc && strcmp(argv[optind], "groups") == 0 &&
        !bench.has_peer) {
        bench.groups.seconds = bench.load.seconds;
        bench.groups.broker_properties = bench.broker_properties;
        bench.groups.binaries = binaries;
        groups_run(&bench.groups, argv[optind + 1]);
        return 0;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    rlim_t usual_files = files.rlim_cur;
    if (!bench.has_peer) {
        const char *missing = cluster_missing();
        struct cluster_options options = {.zookeepers = 1,
                                          .controllers = 1,
                                          .brokers = 1,
                                          .broker_properties = bench.broker_properties,
                                          .binaries = binaries};
        if (missing != NULL) {
            fprintf(stderr, "ottla-bench: %s\n", missing);
            return 77;
        }
        cluster_start(&bench.cluster, &options);
        struct node *node = cluster_node(&bench.cluster, NODE_BROKER, 1);
        bench.pid = node->pid;
        bench.target.port = node->port;
        snprintf(bench.target.host, sizeof(bench.target.host), "127.0.0.1");
    }
    /* Ours alone, after the broker has started with what the system gives. */
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    printf("broker pid %d at %s:%u, %d connections, %d partitions, batches of %d bytes, records of "
           "%d, acks "
           "%d, open file limit %lu\n",
           bench.pid, bench.target.host, bench.target.port, bench.load.connections,
           bench.target.partitions, bench.load.batch_bytes, bench.load.record_bytes,
           bench.load.acks, (unsigned long)usual_files);
    if (optind == argc)
        for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
            run_scenario(&bench, usual[i]);
    for (int i = optind; i < argc; i++)
        run_scenario(&bench, argv[i]);
    if (!bench.has_peer) cluster_stop(&bench.cluster);
    return 0;
}
