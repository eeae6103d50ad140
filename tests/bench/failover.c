/* tests/bench/failover.c - how long producers wait when a broker goes.
 *
 *   ottla-failover [--partitions N] [--rounds N] [--term | --both | --pause]
 *                  [--bootstrap-binaries D] [--client-debug LIST]
 *
 * Three brokers, N partitions led by each, RF=3, min.insync.replicas=2. Each round kills broker 1
 * (--term: ends it with SIGTERM; --both: kills it and the active controller at once; --pause: stops
 * it with SIGSTOP, and the producer gives a request up after 500 ms), sends a record to every
 * partition at that instant with a librdkafka producer (acks=all), and waits until each has been
 * acknowledged; then the broker comes back and leads its partitions again. Says what each round
 * took, what processor time the others used for it, and the median; with --term also which requests
 * of the producer failed, by error, and when the process had ended. When the brokers that stay had
 * taken their orders is told apart: that is no client's doing; and how long the same records took
 * before it went, which no failover can be faster than. Read the figures of an optimised build
 * only.
 */
#include "base/slice.h"
#include "base/text.h"
#include "tests/cluster/client.h"
#include "tests/cluster/client_errors.h"
#include "tests/cluster/cluster.h"
#include <getopt.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define TOPIC       "failover"
#define BROKERS     3
#define ROUNDS_MAX  100
#define SECONDS_MAX 60.0

struct failover {
    struct cluster cluster;
    rd_kafka_t *producer;
    int partitions; /* in all */
    bool *was_led;  /* by broker 1, when it went */
    bool *is_acknowledged;
    int acknowledged, acknowledged_led, failed;
    double first_led, last_led, last, last_other; /* seconds_now of acknowledgements; 0: none */
    const char *debug;                            /* of librdkafka */
    enum { GOES_KILLED, GOES_ENDED, GOES_WITH_CONTROLLER, GOES_PAUSED } how;
    double used[CLUSTER_NODES_MAX]; /* processor seconds when the round began */
    struct client_errors errors;
    bool counts_errors;
    char failure[128];
};

static void die(const char *what)
{
    fprintf(stderr, "ottla-failover: %s\n", what);
    exit(1);
}

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    struct failover *it = opaque;
    int p = message->partition;

    (void)producer;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        it->failed++;
        snprintf(it->failure, sizeof(it->failure), "%s", rd_kafka_err2str(message->err));
        return;
    }
    if (p < 0 || p >= it->partitions || it->is_acknowledged[p]) return;
    it->is_acknowledged[p] = true;
    it->acknowledged++;
    it->last = seconds_now();
    if (!it->was_led[p]) {
        it->last_other = it->last;
        return;
    }
    it->acknowledged_led++;
    it->last_led = it->last;
    if (it->first_led == 0) it->first_led = it->last;
}

static void on_log(const rd_kafka_t *producer, int level, const char *facility, const char *line)
{
    struct failover *it = rd_kafka_opaque(producer);

    (void)level;
    client_errors_log(&it->errors, facility, line);
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    char text[256];

    if (rd_kafka_conf_set(conf, key, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) die(text);
}

static void open_producer(struct failover *it)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    set(conf, "bootstrap.servers", it->cluster.bootstrap);
    set(conf, "acks", "all");
    set(conf, "linger.ms", "0");
    it->counts_errors = it->debug == NULL && it->how == GOES_ENDED;
    set(conf, "log_level", it->debug == NULL && !it->counts_errors ? "0" : "7");
    if (it->debug != NULL) set(conf, "debug", it->debug);
    if (it->counts_errors) {
        pthread_mutex_init(&it->errors.lock, NULL);
        set(conf, "debug", "broker");
        rd_kafka_conf_set_log_cb(conf, on_log);
    }
    if (it->how == GOES_PAUSED) {
        /* What was sent to a broker that is paused waits there until the client gives it up. What
         * waits at the others for an ISR without the paused one is given up then too, with the
         * connection, and the client's back-off, up to ten seconds, is not what is measured. */
        set(conf, "socket.timeout.ms", "500");
        set(conf, "request.timeout.ms", "500");
        set(conf, "reconnect.backoff.ms", "10");
        set(conf, "reconnect.backoff.max.ms", "100");
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, it);
    it->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (it->producer == NULL) die(text);
}

/* One record to each partition. */
static void send_round(struct failover *it)
{
    it->acknowledged = it->acknowledged_led = it->failed = 0;
    it->first_led = it->last_led = it->last = it->last_other = 0;
    memset(it->is_acknowledged, 0, (size_t)it->partitions * sizeof(bool));
    for (int p = 0; p < it->partitions; p++)
        if (rd_kafka_producev(it->producer, RD_KAFKA_V_TOPIC(TOPIC), RD_KAFKA_V_PARTITION(p),
                              RD_KAFKA_V_VALUE("a record", 8),
                              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                              RD_KAFKA_V_END) != RD_KAFKA_RESP_ERR_NO_ERROR)
            die("the producer's queue is full");
}

static void await_round(struct failover *it)
{
    double end = seconds_now() + SECONDS_MAX;

    while (it->acknowledged + it->failed < it->partitions && seconds_now() < end)
        rd_kafka_poll(it->producer, 1);
    if (it->acknowledged < it->partitions)
        printf("  %d of %d not acknowledged: %s\n", it->partitions - it->acknowledged,
               it->partitions, it->failure);
}

/* What broker 1 leads, into was_led; −1 if not all partitions have a leader and a full ISR. */
static int look(struct failover *it)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(it->producer, TOPIC, NULL);
    int led = 0;

    memset(it->was_led, 0, (size_t)it->partitions * sizeof(bool));
    if (rd_kafka_metadata(it->producer, 0, topic, &metadata, 5000) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        metadata->topic_cnt != 1 || metadata->topics[0].partition_cnt != it->partitions)
        led = -1;
    for (int i = 0; led >= 0 && i < it->partitions; i++) {
        const struct rd_kafka_metadata_partition *part = &metadata->topics[0].partitions[i];
        if (part->leader < 0 || part->isr_cnt < BROKERS) led = -1;
        if (led < 0) break;
        it->was_led[part->id] = part->leader == 1;
        led += part->leader == 1;
    }
    if (metadata != NULL) rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return led;
}

static bool leads_its_share(void *of)
{
    struct failover *it = of;

    rd_kafka_poll(it->producer, 0);
    return look(it) == it->partitions / BROKERS;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double used_by(const struct node *node)
{
    struct process_use use = {0};

    return node->pid != 0 && process_use(node->pid, &use) ? use.cpu_seconds : 0;
}

static void note_use(struct failover *it)
{
    for (int i = 0; i < it->cluster.count; i++)
        it->used[i] = used_by(&it->cluster.nodes[i]);
}

/* What those that stayed have used since: wall time tells little on a machine that is busy. */
static void print_use(const struct failover *it)
{
    static const char *const kinds[] = {"zookeeper", "controller", "broker"};

    printf("  processor ms:");
    for (int i = 0; i < it->cluster.count; i++)
        if (it->cluster.nodes[i].pid != 0)
            printf(" %s-%d %.0f", kinds[it->cluster.nodes[i].kind], it->cluster.nodes[i].number,
                   (used_by(&it->cluster.nodes[i]) - it->used[i]) * 1e3);
    printf("\n");
}

static struct node *active_controller(struct failover *it)
{
    for (int i = 0; i < it->cluster.count; i++)
        if (it->cluster.nodes[i].kind == NODE_CONTROLLER &&
            node_has_logged(&it->cluster.nodes[i], "controller active epoch=") &&
            !node_has_logged(&it->cluster.nodes[i], "controller resigned"))
            return &it->cluster.nodes[i];
    die("no controller is active");
    return NULL;
}

/* "2026-11-22T11:00:28.357Z …" as milliseconds since 1970; −1: no such line. */
static int64_t line_ms(const char *line)
{
    struct tm at = {0};
    int ms;

    if (sscanf(line, "%d-%d-%dT%d:%d:%d.%3dZ", &at.tm_year, &at.tm_mon, &at.tm_mday, &at.tm_hour,
               &at.tm_min, &at.tm_sec, &ms) != 7)
        return -1;
    at.tm_year -= 1900;
    at.tm_mon -= 1;
    return (int64_t)timegm(&at) * 1000 + ms;
}

/* When a broker had done what the first and the last LeaderAndIsr since `begin_ms` said; 0: none.
 */
static void find_orders(const struct node *broker, int64_t begin_ms, int64_t *first, int64_t *last)
{
    char path[128], line[512];

    *first = *last = 0;
    snprintf(path, sizeof(path), "%s/log", broker->folder);
    FILE *log = fopen(path, "r");
    while (log != NULL && fgets(line, sizeof(line), log) != NULL) {
        int64_t at = strstr(line, " leader-and-isr ") == NULL ? -1 : line_ms(line);
        if (at < begin_ms) continue;
        if (*first == 0) *first = at;
        *last = at;
    }
    if (log != NULL) fclose(log);
}

/* What is the brokers' part, and no client's back-off: when those that stay had taken their orders,
 * from their own logs. The first are the new leaderships; the others take the dead one out of the
 * ISRs. */
static void print_orders(struct failover *it, int64_t begin_ms)
{
    int64_t first = 0, last = 0;

    for (int i = 2; i <= BROKERS; i++) {
        int64_t a, b;
        find_orders(cluster_node(&it->cluster, NODE_BROKER, i), begin_ms, &a, &b);
        if (a > first) first = a;
        if (b > last) last = b;
    }
    if (first > 0)
        printf("  new leaderships taken after %ld ms, all orders after %ld ms\n",
               (long)(first - begin_ms), (long)(last - begin_ms));
}

static int64_t wall_ms_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void restart(struct failover *it, struct node *node)
{
    if (node->pid != 0) return;
    node_start(&it->cluster, node);
    node_wait_ready(&it->cluster, node, 60);
}

static double run_round(struct failover *it, int number)
{
    struct node *node = cluster_node(&it->cluster, NODE_BROKER, 1), *controller = NULL;
    bool term = it->how == GOES_ENDED;
    double gone = 0;

    if (!wait_for(leads_its_share, it, SECONDS_MAX)) die("the broker does not lead its share");
    double quiet = seconds_now();
    send_round(it);
    await_round(it);
    quiet = seconds_now() - quiet;
    if (it->how == GOES_WITH_CONTROLLER) controller = active_controller(it);
    note_use(it);
    if (it->counts_errors) client_errors_forget(&it->errors); /* a new topic's are no round's */
    double begin = seconds_now();
    int64_t begin_ms = wall_ms_now();
    if (controller != NULL) node_signal(&it->cluster, controller, SIGKILL);
    if (term) {
        kill(node->pid, SIGTERM);
        send_round(it);
        while (seconds_now() < begin + SECONDS_MAX) {
            siginfo_t info = {0};
            rd_kafka_poll(it->producer, 1);
            if (gone == 0 &&
                waitid(P_PID, (id_t)node->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                info.si_pid != 0)
                gone = seconds_now();
            if (gone > 0 && it->acknowledged + it->failed >= it->partitions) break;
        }
        node_signal(&it->cluster, node, SIGKILL); /* it has ended: collects it */
    } else {
        node_signal(&it->cluster, node, it->how == GOES_PAUSED ? SIGSTOP : SIGKILL);
        send_round(it);
        await_round(it);
    }
    printf("round %d: %d partitions of the broker acknowledged again, first %.0f ms, last %.0f ms; "
           "the others' last %.0f ms",
           number, it->acknowledged_led, (it->first_led - begin) * 1e3,
           (it->last_led - begin) * 1e3, (it->last_other - begin) * 1e3);
    if (term) printf("; ended after %.0f ms", (gone - begin) * 1e3);
    printf(", failed %d %s\n", it->failed, it->failure);
    if (it->counts_errors) client_errors_print(&it->errors);
    print_orders(it, begin_ms);
    printf("  the same records before it went: %.0f ms\n", quiet * 1e3);
    print_use(it);
    if (it->how == GOES_PAUSED) node_signal(&it->cluster, node, SIGCONT);
    restart(it, node);
    if (controller != NULL) restart(it, controller);
    return term ? gone - begin : it->last_led - begin;
}

static int number_of(const char *value, int max)
{
    int64_t out = 0;

    if (text_int(slice_text(value), 1, max, &out) != ERR_OK) die("an option wants a number");
    return (int)out;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"partitions", required_argument, NULL, 'p'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"term", no_argument, NULL, 't'},
                                            {"both", no_argument, NULL, '2'},
                                            {"pause", no_argument, NULL, 's'},
                                            {"bootstrap-binaries", required_argument, NULL, 'b'},
                                            {"client-debug", required_argument, NULL, 'd'},
                                            {0}};
    struct cluster_options cluster = {
        .zookeepers = 1,
        .controllers = 2,
        .brokers = BROKERS,
        .keep_logs = getenv("OTTLA_KEEP") != NULL,
        .broker_properties = "min.insync.replicas=2\nunclean.leader.election.enable=false\n",
        .controller_properties = "leader.imbalance.check.interval.seconds=1\n"
                                 "leader.imbalance.per.broker.percentage=0\n",
    };
    struct failover it = {.partitions = 1000 * BROKERS};
    double took[ROUNDS_MAX];
    int rounds = 5;
    static const char *const hows[] = {"kill -9", "controlled shutdown",
                                       "kill -9 with the active controller", "SIGSTOP"};

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'p')
            it.partitions = number_of(optarg, 100000) * BROKERS;
        else if (c == 'r')
            rounds = number_of(optarg, ROUNDS_MAX);
        else if (c == 't')
            it.how = GOES_ENDED;
        else if (c == '2')
            it.how = GOES_WITH_CONTROLLER;
        else if (c == 's')
            it.how = GOES_PAUSED;
        else if (c == 'b')
            cluster.binaries = optarg;
        else if (c == 'd')
            it.debug = optarg;
        else
            return 2;
    }
    const char *missing = cluster_missing();
    if (missing != NULL) {
        fprintf(stderr, "ottla-failover: %s\n", missing);
        return 77;
    }
    it.was_led = calloc((size_t)it.partitions, sizeof(bool));
    it.is_acknowledged = calloc((size_t)it.partitions, sizeof(bool));
    if (it.was_led == NULL || it.is_acknowledged == NULL) die("no memory");
    cluster_start(&it.cluster, &cluster);
    if (!client_create_topic(it.cluster.bootstrap, TOPIC, it.partitions, BROKERS, SECONDS_MAX))
        die("the topic was not made");
    open_producer(&it);
    for (int i = 0; i < rounds; i++)
        took[i] = run_round(&it, i + 1);
    qsort(took, (size_t)rounds, sizeof(took[0]), by_size);
    printf("%s, %d partitions led: median %.0f ms, worst %.0f ms\n", hows[it.how],
           it.partitions / BROKERS, took[rounds / 2] * 1e3, took[rounds - 1] * 1e3);
    rd_kafka_destroy(it.producer);
    double begin = seconds_now();
    cluster_stop(&it.cluster);
    printf("the whole cluster ended in %.0f ms\n", (seconds_now() - begin) * 1e3);
    free(it.was_led);
    free(it.is_acknowledged);
    return 0;
}
