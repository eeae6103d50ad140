#include "tests/chaos/world.h"
#include "base/ensure.h"
#include "tests/chaos/net.h"
#include "tests/chaos/replicas.h"
#include <arpa/inet.h>
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORD_BYTES 100
#define LARGE_BYTES  1000 /* of the plain producer's when it goes as fast as it can */
#define REPLICAS     3

/* A broker that starts while the ensemble elects its leader waits for that, instead of ending as it
 * should in production, where somebody starts it again. */
#define CONNECTION_MS 100000

/* What a partition keeps when the disk is bounded. */
#define KEEP_BYTES    (192LL << 20)
#define SEGMENT_BYTES (32LL << 20)

static const char *const topics[WORLD_TOPICS] = {"plain", "once", "again"};
static const char *const kinds[] = {"zookeeper", "controller", "broker"};

char world_text[1 << 18];

static void say(struct world *world, const char *head, const char *format, va_list args)
{
    printf("[%7.2f] %s", world->begun == 0 ? 0 : seconds_now() - world->begun, head);
    vprintf(format, args);
    printf("\n");
}

void world_say(struct world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(world, "", format, args);
    va_end(args);
}

void world_fail(struct world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(world, "FAILED: ", format, args);
    va_end(args);
    world->is_good = false;
}

static void place(struct node *node, void *of)
{
    struct world *world = of;
    char data[128], image[128];

    node->net_of = net_add(10 + world->places++, node->address);
    if (node->kind != NODE_BROKER || world->options.disk_bytes == 0) return;
    snprintf(data, sizeof(data), "%s/data", node->folder);
    snprintf(image, sizeof(image), "%s/image", node->folder);
    const char *what = net_mount_small(data, image, world->options.disk_bytes);
    if (node->number == 1)
        printf("each broker's data: %lld MiB of %s\n", (long long)(world->options.disk_bytes >> 20),
               what);
}

static void *run_sender(void *of)
{
    struct world_sender *it = of;
    double begun = seconds_now();
    int64_t part = (int64_t)(it->rate / 50) + 1;

    while (!__atomic_load_n(&it->must_stop, __ATOMIC_ACQUIRE)) {
        if ((double)sender_sent(it->sender) >= it->rate * (seconds_now() - begun))
            poll(NULL, 0, 5);
        else if (!sender_send(it->sender, part))
            poll(NULL, 0, 100); /* nobody knows the topic just now */
    }
    return NULL;
}

static void start_sender(struct world *world, struct world_sender *it, const char *topic,
                         bool retries)
{
    struct sender_options options = {
        .bootstrap = world->cluster.bootstrap,
        .topic = topic,
        .partitions = world->options.partitions,
        .numbers_max = (int64_t)(world->options.sender_rate * world->options.seconds_most) + 1000,
        .value_bytes = RECORD_BYTES,
        .acks = "all",
        .retries = retries,
        .may_repeat = true,
        .any_order = true};

    it->rate = world->options.sender_rate;
    it->sender = sender_open(&options);
    pthread_create(&it->thread, NULL, run_sender, it);
}

static void stop_sender(struct world_sender *it)
{
    __atomic_store_n(&it->must_stop, true, __ATOMIC_RELEASE);
    pthread_join(it->thread, NULL);
}

static void open_client(struct world *world)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char error[256];

    if (rd_kafka_conf_set(conf, "bootstrap.servers", world->cluster.bootstrap, error,
                          sizeof(error)) != RD_KAFKA_CONF_OK ||
        rd_kafka_conf_set(conf, "log_level", "0", error, sizeof(error)) != RD_KAFKA_CONF_OK ||
        rd_kafka_conf_set(conf, "reconnect.backoff.max.ms", "200", error, sizeof(error)) !=
            RD_KAFKA_CONF_OK ||
        (world->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error))) == NULL) {
        fprintf(stderr, "librdkafka: %s\n", error);
        exit(1);
    }
}

static int value_bytes(const struct world *world, int topic)
{
    return topic == 0 && world->options.rate == 0 ? LARGE_BYTES : RECORD_BYTES;
}

/* How many of a partition's last records retention leaves at least (with what a record has besides
 * its value, and its share of a batch's head); 0: all. */
static int64_t kept_records(const struct world *world, int topic)
{
    return world->options.bounded ? KEEP_BYTES / (value_bytes(world, topic) + 28) : 0;
}

static void start_plain(struct world *world)
{
    struct plain_options options = {.topic = "plain",
                                    .partitions = world->options.partitions,
                                    .record_bytes = value_bytes(world, 0),
                                    .batch_records = world->options.rate > 0 ? 10 : 100,
                                    .pipeline = 5,
                                    .rate = world->options.rate,
                                    .limit_s = 4,
                                    .ahead_max = kept_records(world, 0) / 2,
                                    .brokers = world->options.brokers};

    for (int i = 0; i < options.brokers; i++) {
        const struct node *node = cluster_node(&world->cluster, NODE_BROKER, i + 1);
        snprintf(options.broker[i].host, sizeof(options.broker[i].host), "%s", node->address);
        options.broker[i].port = node->port;
    }
    world->plain = plain_start(&options);
}

/* The consumer that reads along is who `plain` is verified by; another reads what can still be read
 * once more. */
static struct reader *start_reader(struct world *world, int topic, const int64_t *from)
{
    struct reader_options options = {.bootstrap = world->cluster.bootstrap,
                                     .topic = topics[topic],
                                     .partitions = world->options.partitions,
                                     .value_bytes = value_bytes(world, topic),
                                     .from = from,
                                     .keep = kept_records(world, topic)};

    if (topic == 0 && from == NULL) {
        options.see = plain_see;
        options.see_of = world->plain;
    }
    return reader_start(&options);
}

void world_start(struct world *world, const struct world_options *options)
{
    char broker[768], controller[256];
    struct cluster_options cluster = {.zookeepers = 3,
                                      .controllers = options->controllers,
                                      .brokers = options->brokers,
                                      .broker_properties = broker,
                                      .controller_properties = controller,
                                      .place = place,
                                      .place_of = world,
                                      .keep_logs = true};

    *world = (struct world){.options = *options, .is_good = true};
    snprintf(broker, sizeof(broker),
             "min.insync.replicas=2\nunclean.leader.election.enable=false\n"
             "zookeeper.session.timeout.ms=%d\nzookeeper.connection.timeout.ms=%d\n"
             "replica.lag.time.max.ms=5000\nauto.create.topics.enable=false\n"
             "num.network.threads=2\n",
             options->session_ms, CONNECTION_MS);
    if (options->bounded)
        snprintf(broker + strlen(broker), sizeof(broker) - strlen(broker),
                 "log.retention.bytes=%lld\nlog.segment.bytes=%lld\n"
                 "log.retention.check.interval.ms=1000\nlog.segment.delete.delay.ms=1000\n",
                 KEEP_BYTES, SEGMENT_BYTES);
    snprintf(controller, sizeof(controller),
             "zookeeper.session.timeout.ms=%d\nleader.imbalance.check.interval.seconds=5\n",
             options->session_ms);
    net_enter();
    cluster_start(&world->cluster, &cluster);
    printf("everything is in %s\n", world->cluster.folder);
    for (int i = 0; i < world->cluster.count; i++) {
        const struct node *node = &world->cluster.nodes[i];
        printf("%s-%d: %s:%d, its network: nsenter -t %d -n\n", kinds[node->kind], node->number,
               node->address, node->port, node->net_of);
    }
    for (int i = 0; i < WORLD_TOPICS; i++)
        if (!client_create_topic(world->cluster.bootstrap, topics[i], options->partitions, REPLICAS,
                                 60))
            exit(1);
    open_client(world);
    world->begun = seconds_now();
    if (!world_is_whole(world, 60)) {
        fprintf(stderr, "the cluster does not become whole\n");
        exit(1);
    }
    start_plain(world);
    for (int i = 0; i < WORLD_TOPICS; i++)
        world->readers[i] = start_reader(world, i, NULL);
    start_sender(world, &world->once, "once", false);
    start_sender(world, &world->again, "again", true);
}

static bool is_whole(void *of)
{
    struct world *world = of;
    int whole = 0;

    world_watch(world);
    for (int i = 0; i < WORLD_TOPICS; i++) {
        const struct rd_kafka_metadata *metadata = NULL;
        rd_kafka_topic_t *topic = rd_kafka_topic_new(world->client, topics[i], NULL);
        if (rd_kafka_metadata(world->client, 0, topic, &metadata, 1000) ==
            RD_KAFKA_RESP_ERR_NO_ERROR) {
            for (int p = 0; metadata->topic_cnt == 1 && p < metadata->topics[0].partition_cnt; p++)
                whole += metadata->topics[0].partitions[p].leader >= 0 &&
                         metadata->topics[0].partitions[p].isr_cnt == REPLICAS &&
                         metadata->topics[0].partitions[p].replica_cnt == REPLICAS;
            rd_kafka_metadata_destroy(metadata);
        }
        rd_kafka_topic_destroy(topic);
    }
    poll(NULL, 0, 50);
    return whole == WORLD_TOPICS * world->options.partitions;
}

bool world_is_whole(struct world *world, double seconds)
{
    return wait_for(is_whole, world, seconds);
}

static void bound_disk(struct world *world)
{
    char text[32] = "";
    double now = seconds_now();

    if (!world->options.bounded || world->plain == NULL || now < world->measured + 1) return;
    world->measured = now;
    /* Files go while it looks. */
    run_command(text, sizeof(text), "du -sB1 %s 2> /dev/null", world->cluster.folder);
    int64_t bytes = strtoll(text, NULL, 10);
    if (bytes > world->bytes_most) world->bytes_most = bytes;
    plain_hold(world->plain, bytes > WORLD_BYTES_MAX);
}

void world_watch(struct world *world)
{
    bound_disk(world);
    for (int i = 0; i < world->cluster.count; i++) {
        struct node *node = &world->cluster.nodes[i];
        siginfo_t info = {0};
        if (node->pid == 0 ||
            waitid(P_PID, (id_t)node->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
            info.si_pid == 0)
            continue;
        world_fail(world, "%s-%d ended by itself, status %d", kinds[node->kind], node->number,
                   info.si_status);
        node_signal(&world->cluster, node, SIGKILL);
    }
    for (int i = 0; i < WORLD_TOPICS; i++) {
        bool good = true;
        if (world->readers[i] == NULL) continue;
        reader_count(world->readers[i], &good);
        if (!good) world->is_good = false;
    }
}

int world_ottla(struct world *world, const char *format, ...)
{
    char arguments[1024];
    va_list args;
    const char *folder = getenv("OTTLA_BUILD");

    va_start(args, format);
    vsnprintf(arguments, sizeof(arguments), format, args);
    va_end(args);
    return run_command(world_text, sizeof(world_text), "timeout 30 %s/ottla %s --%s %s 2>&1",
                       folder == NULL ? "." : folder, arguments,
                       strcmp(arguments, "cluster") == 0 ? "zookeeper" : "bootstrap-server",
                       strcmp(arguments, "cluster") == 0 ? world->cluster.zookeeper_connect
                                                         : world->cluster.bootstrap);
}

struct node *world_active_controller(struct world *world)
{
    const char *at;
    int id = world_ottla(world, "cluster") == 0 && (at = strstr(world_text, "Controller: ")) != NULL
                 ? atoi(at + 12)
                 : 0;

    return id > 100 && id <= 100 + world->options.controllers
               ? cluster_node(&world->cluster, NODE_CONTROLLER, id - 100)
               : NULL;
}

struct node *world_zookeeper_leader(struct world *world)
{
    for (int i = 1; i <= 3; i++) {
        struct node *node = cluster_node(&world->cluster, NODE_ZOOKEEPER, i);
        if (run_command(NULL, 0,
                        "echo srvr | timeout 2 bash -c 'exec 3<>/dev/tcp/%s/%d; cat >&3; cat <&3' "
                        "2> /dev/null | grep -q 'Mode: leader'",
                        node->address, node->port) == 0)
            return node;
    }
    return NULL;
}

static void say_load(struct world *world)
{
    struct plain_counts counts;

    plain_count(world->plain, &counts);
    world_say(world,
              "plain: %ld sent, %ld acknowledged, %ld refused, %ld unknown, %ld connections "
              "given up",
              (long)counts.sent, (long)counts.acknowledged, (long)counts.refused,
              (long)counts.unknown, (long)counts.lost_connections);
    for (int code = -1; code < 127; code++)
        if (counts.codes[code + 1] > 0)
            world_say(world, "plain: error %d answered %ld times", code,
                      (long)counts.codes[code + 1]);
    world_say(world, "once: %ld sent, %ld acknowledged; again: %ld sent, %ld acknowledged",
              (long)sender_sent(world->once.sender), (long)sender_acknowledged(world->once.sender),
              (long)sender_sent(world->again.sender),
              (long)sender_acknowledged(world->again.sender));
}

/* Everything that can still be read is read once more: it is what was read along. */
static void read_again(struct world *world, int topic)
{
    int partitions = world->options.partitions;
    int64_t *from = ensure_zalloc((size_t)partitions * sizeof(int64_t));
    struct reader *along = world->readers[topic];
    bool good = true;

    world->is_good &= reader_to_end(along, 120);
    for (int p = 0; world->options.bounded && p < partitions; p++) {
        const struct history_part *part = &reader_history(along)->parts[p];
        int64_t kept = kept_records(world, topic);
        from[p] = part->end > kept ? part->end - kept : 0;
    }
    struct reader *again = start_reader(world, topic, from);
    world->is_good &= reader_to_end(again, 120);
    world_say(world, "%s: %ld records read along, %ld at the end", topics[topic],
              (long)reader_count(along, &good), (long)reader_count(again, &good));
    world->is_good &=
        history_is_within(reader_history(along), reader_history(again), topics[topic]);
    reader_destroy(&again);
    free(from);
}

static void verify(struct world *world)
{
    int64_t late = 0;

    for (int i = 0; i < WORLD_TOPICS; i++)
        read_again(world, i);
    world->is_good &= plain_verify(world->plain, &late);
    world_say(world, "plain: %ld unacknowledged records came late", (long)late);
    if (!sender_verify(world->once.sender, false, 120)) world_fail(world, "topic once: see above");
    if (!sender_verify(world->again.sender, false, 120))
        world_fail(world, "topic again: see above");
}

static void compare_replicas(struct world *world)
{
    char folders[REPLICAS][160];

    for (int t = 0; t < WORLD_TOPICS; t++)
        for (int p = 0; p < world->options.partitions; p++) {
            int found = 0;
            for (int b = 1; b <= world->options.brokers; b++) {
                char path[160];
                snprintf(path, sizeof(path), "%s/data/%s-%d",
                         cluster_node(&world->cluster, NODE_BROKER, b)->folder, topics[t], p);
                if (access(path, F_OK) != 0) continue;
                if (found < REPLICAS) memcpy(folders[found], path, sizeof(path));
                found++;
            }
            if (found != REPLICAS)
                world_fail(world, "%s-%d: %d brokers have a folder of it", topics[t], p, found);
            else if (!replicas_are_equal(folders, REPLICAS))
                world_fail(world, "%s-%d: the replicas' files differ", topics[t], p);
        }
}

static void search_logs(struct world *world)
{
    if (run_command(world_text, sizeof(world_text),
                    "grep -n -m 3 -E 'Sanitizer|runtime error:|fatal ' "
                    "%s/broker-*/log* %s/controller-*/log* 2> /dev/null",
                    world->cluster.folder, world->cluster.folder) == 0)
        world_fail(world, "in the logs:\n%s", world_text);
}

void world_finish(struct world *world)
{
    world_say(world, "the load ends");
    stop_sender(&world->once);
    stop_sender(&world->again);
    plain_stop(world->plain);
    if (!sender_flush(world->once.sender, 90) || !sender_flush(world->again.sender, 90))
        world_fail(world, "records without an answer");
    say_load(world);
    if (!world_is_whole(world, 60)) world_fail(world, "the cluster does not become whole");
    verify(world);
    if (world->options.bounded)
        world_say(world, "%ld MiB on disk at most", (long)(world->bytes_most >> 20));
    for (int b = 1; b <= world->options.brokers; b++)
        node_signal(&world->cluster, cluster_node(&world->cluster, NODE_BROKER, b), SIGTERM);
    compare_replicas(world);
    search_logs(world);
    sender_close(&world->once.sender);
    sender_close(&world->again.sender);
    for (int i = 0; i < WORLD_TOPICS; i++)
        reader_destroy(&world->readers[i]);
    plain_destroy(&world->plain);
    rd_kafka_destroy(world->client);
    if (!world->is_good) setenv("OTTLA_KEEP", "1", 1);
    for (int b = 1; world->options.disk_bytes > 0 && b <= world->options.brokers; b++)
        run_command(NULL, 0,
                    "cd %s && if [ -e image ] || [ -z \"$OTTLA_KEEP\" ]; then umount data; "
                    "else cp -a data data-kept; fi",
                    cluster_node(&world->cluster, NODE_BROKER, b)->folder);
    cluster_stop(&world->cluster);
}
