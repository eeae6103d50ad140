/* tests/chaos/crowds.c - groups of librdkafka consumers that join, leave, crash and return while
 * producers run.
 *
 *   tests/chaos/crowds [--seed N] [--minutes M] [--members N] [--partitions N] [--kinds a,b]
 *                      [--kill-coordinators]
 *   tests/chaos/crowds --short       the run that is part of the tests: the four kinds side by side
 *
 * Kinds: eager, eager-static, cooperative, cooperative-static, one after the other, M minutes each.
 * Every quarter of a minute all members are there and the group must come to rest: each partition
 * has one owner, everything sent has been read. What must hold all the time is in
 * tests/cluster/crowd.h. With --kill-coordinators the brokers are killed (SIGKILL) in turn too. */
#include "base/ensure.h"
#include "base/prng.h"
#include "base/slice.h"
#include "base/text.h"
#include "tests/cluster/client.h"
#include "tests/cluster/cluster.h"
#include "tests/cluster/crowd.h"
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BROKERS      3
#define KINDS        4
#define CALM_SECONDS 15
#define REST_SECONDS 180 /* to come to rest, on a machine that does much else */
#define NUMBERS_MAX  (1 << 22)

static const struct kind {
    const char *name, *strategy;
    bool is_static;
} kinds[KINDS] = {{"eager", "range", false},
                  {"eager-static", "roundrobin", true},
                  {"cooperative", "cooperative-sticky", false},
                  {"cooperative-static", "cooperative-sticky", true}};

struct storm {
    struct cluster cluster;
    struct prng prng;
    struct crowd *crowds[KINDS]; /* those that run */
    const char *names[KINDS];
    int count;
    int members, partitions;
    struct sender *sender;
    const char *topic;
    bool kills_coordinators;
    int killed; /* broker, 0: none */
    int kills;
    double began;
};

static void fail(const struct storm *storm, const char *what)
{
    fprintf(stderr, "crowds: %s after %.1f s (%s)\n", what, seconds_now() - storm->began,
            storm->cluster.folder);
    exit(1);
}

static void crowd_begins(struct storm *storm, const struct kind *kind)
{
    storm->names[storm->count] = kind->name;
    storm->crowds[storm->count++] =
        crowd_open(&(struct crowd_options){.cluster = &storm->cluster,
                                           .group = kind->name,
                                           .topic = storm->topic,
                                           .strategy = kind->strategy,
                                           .is_static = kind->is_static,
                                           .members = storm->members,
                                           .partitions = storm->partitions,
                                           .numbers_max = NUMBERS_MAX});
}

static void topic_begins(struct storm *storm, const char *topic)
{
    struct sender_options options = {.bootstrap = storm->cluster.bootstrap,
                                     .topic = topic,
                                     .partitions = storm->partitions,
                                     .numbers_max = NUMBERS_MAX,
                                     .value_bytes = 64,
                                     .acks = "all",
                                     .retries = true,
                                     .idempotent = true};

    storm->topic = topic;
    if (!client_create_topic(storm->cluster.bootstrap, topic, storm->partitions, BROKERS, 60))
        fail(storm, "there is no topic");
    storm->sender = sender_open(&options);
}

/* ---- what happens ---- */

static int draw(struct storm *storm, int below)
{
    return (int)prng_below(&storm->prng, (uint64_t)below);
}

/* Somebody leaves, crashes, or comes (back). */
static void strike(struct storm *storm)
{
    struct crowd *crowd = storm->crowds[draw(storm, storm->count)];
    int member = draw(storm, storm->members);

    if (!crowd_has(crowd, member))
        crowd_start(crowd, member);
    else
        crowd_end(crowd, member, draw(storm, 3) == 0 ? SIGTERM : SIGKILL);
}

/* One broker at a time, each in its turn: it comes back before the next goes. */
static void strike_broker(struct storm *storm)
{
    if (storm->killed != 0) {
        struct node *node = cluster_node(&storm->cluster, NODE_BROKER, storm->killed);
        node_start(&storm->cluster, node);
        node_wait_ready(&storm->cluster, node, 60);
        storm->killed = 0;
        return;
    }
    storm->killed = 1 + storm->kills++ % BROKERS;
    node_signal(&storm->cluster, cluster_node(&storm->cluster, NODE_BROKER, storm->killed),
                SIGKILL);
}

static void all_come(struct storm *storm)
{
    for (int i = 0; i < storm->count; i++)
        for (int m = 0; m < storm->members; m++)
            crowd_start(storm->crowds[i], m);
}

/* All are there, all is read, each partition has its one owner. */
static void come_to_rest(struct storm *storm)
{
    int64_t total = 0;

    if (storm->killed != 0) strike_broker(storm);
    all_come(storm);
    if (!sender_flush(storm->sender, REST_SECONDS)) fail(storm, "records were not acknowledged");
    for (int i = 0; i < storm->count; i++) {
        struct crowd *crowd = storm->crowds[i];
        if (!crowd_await_read(crowd, sender_sent(storm->sender), REST_SECONDS))
            fail(storm, "not all was read");
        if (!crowd_await_whole(crowd, REST_SECONDS)) fail(storm, "a group did not come to rest");
        crowd_committed(crowd, &total);
        printf("%6.1f s  %s: generation %d, %lld records\n", seconds_now() - storm->began,
               storm->names[i], crowd_generations(crowd), (long long)crowd_read(crowd));
    }
}

static void blow(struct storm *storm, double seconds)
{
    double until = seconds_now() + seconds, looked = 0, broker_at = seconds_now() + 5;
    int64_t total = 0;

    while (seconds_now() < until) {
        strike(storm);
        if (!sender_send(storm->sender, 20 + draw(storm, 200))) fail(storm, "nothing can be sent");
        if (storm->kills_coordinators && seconds_now() > broker_at) {
            strike_broker(storm);
            broker_at = seconds_now() + 3;
        }
        if (seconds_now() - looked > 1) {
            looked = seconds_now();
            for (int i = 0; i < storm->count; i++) {
                crowd_look(storm->crowds[i]);
                crowd_committed(storm->crowds[i], &total);
            }
        }
        poll(NULL, 0, 50 + draw(storm, 500));
    }
}

/* Who leaves commits what it has read: all of it, in the end. */
static void all_end(struct storm *storm)
{
    int64_t total = 0;

    for (int i = 0; i < storm->count; i++) {
        for (int m = 0; m < storm->members; m++)
            crowd_end(storm->crowds[i], m, SIGTERM);
        if (!crowd_await_committed(storm->crowds[i], &total))
            fail(storm, "nobody knows the commits");
        if (total != sender_acknowledged(storm->sender)) {
            fprintf(stderr, "%s: committed %lld of %lld\n", storm->names[i], (long long)total,
                    (long long)sender_acknowledged(storm->sender));
            fail(storm, "not all is committed");
        }
        crowd_close(&storm->crowds[i]);
    }
    sender_close(&storm->sender);
    storm->count = 0;
}

static void run(struct storm *storm, double seconds)
{
    double until;

    all_come(storm);
    if (!sender_send(storm->sender, 1000)) fail(storm, "nothing can be sent");
    come_to_rest(storm);
    until = seconds_now() + seconds;
    while (seconds_now() < until) {
        double rest = until - seconds_now();
        blow(storm, rest < CALM_SECONDS ? rest : CALM_SECONDS);
        come_to_rest(storm);
    }
    all_end(storm);
}

/* ---- options ---- */

static void usage(const char *what)
{
    fprintf(stderr, "crowds: %s\n", what);
    exit(2);
}

static int64_t number_of(const char *text, int64_t least, int64_t most)
{
    int64_t out = 0;

    if (text_int(slice_text(text), least, most, &out) != ERR_OK) usage("an option wants a number");
    return out;
}

static bool has_name(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0')) return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"short", no_argument, NULL, 's'},
                                            {"seed", required_argument, NULL, 'r'},
                                            {"minutes", required_argument, NULL, 'm'},
                                            {"members", required_argument, NULL, 'n'},
                                            {"partitions", required_argument, NULL, 'p'},
                                            {"kinds", required_argument, NULL, 'k'},
                                            {"kill-coordinators", no_argument, NULL, 'c'},
                                            {0}};
    struct cluster_options cluster = {
        .zookeepers = 1,
        .controllers = 1,
        .brokers = BROKERS,
        .keep_logs = true,
        .broker_properties = "group.min.session.timeout.ms=1000\n"
                             "group.initial.rebalance.delay.ms=300\n"
                             "offsets.topic.replication.factor=3\n",
    };
    struct storm storm = {.members = 50, .partitions = 100};
    const char *missing = cluster_missing(), *wanted = NULL;
    uint64_t seed = 1;
    double minutes = 2;
    bool is_short = false;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's') is_short = true;
        if (c == 'r') seed = (uint64_t)number_of(optarg, 0, INT64_MAX);
        if (c == 'm') minutes = (double)number_of(optarg, 1, 10000);
        if (c == 'n') storm.members = (int)number_of(optarg, 1, 500);
        if (c == 'p') storm.partitions = (int)number_of(optarg, 1, 1000);
        if (c == 'k') wanted = optarg;
        if (c == 'c') storm.kills_coordinators = true;
        if (c == '?') return 2;
    }
    if (missing != NULL) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    prng_init(&storm.prng, seed);
    cluster_start(&storm.cluster, &cluster);
    storm.began = seconds_now();
    if (is_short) {
        storm.members = 4;
        storm.partitions = 8;
        topic_begins(&storm, "storm");
        for (int i = 0; i < KINDS; i++)
            crowd_begins(&storm, &kinds[i]);
        run(&storm, 8);
    }
    for (int i = 0; i < KINDS && !is_short; i++) {
        if (wanted != NULL && !has_name(wanted, kinds[i].name)) continue;
        topic_begins(&storm, kinds[i].name);
        crowd_begins(&storm, &kinds[i]);
        run(&storm, minutes * 60);
    }
    cluster_stop(&storm.cluster);
    printf("all held\n");
    return 0;
}
