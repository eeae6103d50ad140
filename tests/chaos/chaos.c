/* tests/chaos/chaos.c - real processes, real faults, and records that must survive them.
 *
 *   tests/chaos/chaos [--seed N] [--minutes M] [--faults a,b,c] [--in-order] [--together PERCENT]
 *                     [--brokers N] [--controllers N] [--rate RECORDS] [--full-speed] [--disk MIB]
 *   tests/chaos/chaos --short        the run that is part of the tests
 *   tests/chaos/chaos --must-show    at full speed through each broker killed, the controller
 *                                    killed, a rolling restart, 20 moves of all leaders, a move of
 *                                    all partitions; takes at most 12 GiB of disk
 *   tests/chaos/chaos --list         the faults
 *
 * Faults are drawn from the seed, one after the other and some together, until the minutes are
 * over; after each the cluster must become whole again. In the end everything is read and compared
 * (world.h). The output is the timeline; on a failure the folder with all logs stays. Wants root,
 * for network namespaces (net.h), ZooKeeper and librdkafka; else it says what it lacks and gives
 * 77. */
#include "base/slice.h"
#include "base/text.h"
#include "tests/chaos/faults.h"
#include "tests/chaos/net.h"
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_SECONDS 180 /* how long it takes is said; a busy machine takes its time */
#define FAULTS_MAX    64

struct plan {
    uint64_t seed;
    double seconds;
    bool in_order; /* each once, as named */
    int together;  /* per cent of faults that another overlaps */
    struct {
        const struct fault *fault;
        int number;
    } faults[FAULTS_MAX];
    int count;
};

static void usage(const char *what)
{
    fprintf(stderr, "chaos: %s; --list names the faults\n", what);
    exit(2);
}

static int64_t number_of(const char *text, int64_t least, int64_t most)
{
    int64_t out = 0;

    if (text_int(slice_text(text), least, most, &out) != ERR_OK) usage("an option wants a number");
    return out;
}

static void set_faults(struct plan *plan, const char *list)
{
    char names[1024], *rest = NULL;

    snprintf(names, sizeof(names), "%s", list);
    plan->count = 0;
    for (char *name = strtok_r(names, ",", &rest); name != NULL;
         name = strtok_r(NULL, ",", &rest)) {
        char *number = strchr(name, ':');
        if (number != NULL) *number++ = '\0';
        if (plan->count == FAULTS_MAX) usage("too many faults");
        plan->faults[plan->count].fault = fault_find(name);
        plan->faults[plan->count].number = number == NULL ? 0 : (int)number_of(number, 1, 32);
        if (plan->faults[plan->count++].fault == NULL) usage("there is no such fault");
    }
}

static void wait_seconds(struct world *world, double seconds)
{
    double until = seconds_now() + seconds;

    while (seconds_now() < until) {
        world_watch(world);
        poll(NULL, 0, 20);
    }
}

static const struct fault *draw(const struct plan *plan, struct prng *prng, int *number)
{
    int which = (int)prng_below(prng, (uint64_t)plan->count);

    *number = plan->faults[which].number;
    return plan->faults[which].fault;
}

/* One fault, or two that overlap, and back to a whole cluster. */
static void run_step(const struct plan *plan, struct world *world, struct prng *prng,
                     const struct fault *fault, int number)
{
    struct fault_run first, second;
    struct plain_counts before, counts;
    bool two = !plan->in_order && (int)prng_below(prng, 100) < plan->together;

    plain_mark(world->plain);
    plain_count(world->plain, &before);
    if (!fault_begin(fault, world, prng, number, NULL, &first)) return;
    if (two) {
        int other = 0;
        const struct fault *next = draw(plan, prng, &other);
        wait_seconds(world, first.seconds * (double)prng_below(prng, 100) / 100);
        two = fault_begin(next, world, prng, other, &first, &second);
    }
    if (two && prng_below(prng, 2) == 0) {
        wait_seconds(world, second.seconds);
        fault_end(world, &second);
        two = false;
    }
    wait_seconds(world, first.seconds);
    fault_end(world, &first);
    if (two) {
        wait_seconds(world, second.seconds);
        fault_end(world, &second);
    }
    double begun = seconds_now();
    if (!world_is_whole(world, WHOLE_SECONDS))
        world_fail(world, "not whole %d s after the fault", WHOLE_SECONDS);
    plain_count(world->plain, &counts);
    world_say(world, "  whole after %.1f s; longest without an acknowledgement %.2f s (plain-%d)",
              seconds_now() - begun, counts.silence, counts.silent_partition);
    for (int code = -1; code < 127; code++)
        if (counts.codes[code + 1] > before.codes[code + 1])
            world_say(world, "  plain: error %d answered %ld times", code,
                      (long)(counts.codes[code + 1] - before.codes[code + 1]));
}

static bool run_all(const struct plan *plan, const struct world_options *options)
{
    static struct world world;
    struct prng prng;

    prng_init_named(&prng, plan->seed, "faults");
    world_start(&world, options);
    if (plan->in_order) {
        for (int i = 0; world.is_good && i < plan->count; i++) {
            wait_seconds(&world, 2);
            run_step(plan, &world, &prng, plan->faults[i].fault, plan->faults[i].number);
        }
    } else {
        while (world.is_good && seconds_now() - world.begun < plan->seconds) {
            int number = 0;
            wait_seconds(&world, (double)prng_below(&prng, 2000) / 1000);
            const struct fault *fault = draw(plan, &prng, &number);
            run_step(plan, &world, &prng, fault, number);
        }
    }
    world_finish(&world);
    printf("%s: seed %lu\n",
           world.is_good ? "nothing lost, nothing twice, nothing out of order" : "FAILED",
           (unsigned long)plan->seed);
    if (!world.is_good) printf("everything is kept in %s\n", world.cluster.folder);
    return world.is_good;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"minutes", required_argument, NULL, 'm'},
                                            {"faults", required_argument, NULL, 'f'},
                                            {"in-order", no_argument, NULL, 'o'},
                                            {"together", required_argument, NULL, 't'},
                                            {"brokers", required_argument, NULL, 'b'},
                                            {"controllers", required_argument, NULL, 'c'},
                                            {"rate", required_argument, NULL, 'r'},
                                            {"full-speed", no_argument, NULL, 'F'},
                                            {"disk", required_argument, NULL, 'd'},
                                            {"short", no_argument, NULL, 'S'},
                                            {"must-show", no_argument, NULL, 'M'},
                                            {"list", no_argument, NULL, 'l'},
                                            {0}};
    struct plan plan = {.seed = 1, .seconds = 300, .together = 30};
    struct world_options world = {.controllers = 2,
                                  .brokers = 3,
                                  .partitions = 6,
                                  .rate = 2000,
                                  .sender_rate = 500,
                                  .disk_bytes = 2LL << 30,
                                  .session_ms = 6000};

    setvbuf(stdout, NULL, _IOLBF, 0);
    set_faults(&plan, fault_usual());
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's')
            plan.seed = (uint64_t)number_of(optarg, 0, INT64_MAX);
        else if (c == 'm')
            plan.seconds = 60.0 * (double)number_of(optarg, 1, 10000);
        else if (c == 'f')
            set_faults(&plan, optarg);
        else if (c == 'o')
            plan.in_order = true;
        else if (c == 't')
            plan.together = (int)number_of(optarg, 0, 100);
        else if (c == 'b')
            world.brokers = (int)number_of(optarg, 3, 9);
        else if (c == 'c')
            world.controllers = (int)number_of(optarg, 1, 5);
        else if (c == 'r')
            world.rate = (double)number_of(optarg, 1, 10000000);
        else if (c == 'F')
            world.rate = 0;
        else if (c == 'd')
            world.disk_bytes = number_of(optarg, 0, 1 << 20) << 20;
        else if (c == 'S') {
            plan.in_order = true;
            set_faults(&plan, "kill,pause,cut-in,kill-controller,cut-zookeeper,full,moves");
        } else if (c == 'M') {
            plan.in_order = true;
            world.brokers = 4;
            world.rate = 0;
            world.disk_bytes = 0;
            world.bounded = true;
            set_faults(&plan, "kill:1,kill:2,kill:3,kill:4,kill-controller,rolling,moves-20,"
                              "reassign");
        } else if (c == 'l') {
            fault_list();
            return 0;
        } else
            usage("what is that");
    }
    const char *missing = cluster_missing();
    if (missing == NULL) missing = net_missing();
    if (missing != NULL) {
        printf("chaos: %s\n", missing);
        return 77;
    }
    world.seconds_most = plan.in_order ? 1800 : plan.seconds + 300;
    return run_all(&plan, &world) ? 0 : 1;
}
