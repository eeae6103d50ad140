#include "tests/chaos/faults.h"
#include "tests/chaos/net.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READY_SECONDS 120
#define MOVE_SECONDS  300

struct fault {
    const char *name;
    const char *doc;
    enum { AT_BROKER, AT_CONTROLLER, AT_ZOOKEEPER, AT_ALL } at;
    double least, most; /* seconds */
    void (*begin)(struct world *world, struct fault_run *run);
    void (*end)(struct world *world, struct fault_run *run);
    bool is_usual;
};

static void what(struct fault_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void what(struct fault_run *run, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(run->what, sizeof(run->what), format, args);
    va_end(args);
}

static void kill_node(struct world *world, struct fault_run *run)
{
    node_signal(&world->cluster, run->node, SIGKILL);
    if (run->other != NULL) node_signal(&world->cluster, run->other, SIGKILL);
}

static void restart(struct world *world, struct node *node)
{
    if (node->pid != 0) return;
    node_start(&world->cluster, node);
    node_wait_ready(&world->cluster, node, READY_SECONDS);
}

static void restart_node(struct world *world, struct fault_run *run)
{
    restart(world, run->node);
    if (run->other != NULL) restart(world, run->other);
}

/* A machine that loses its power: nobody answers, not even with a reset. */
static void vanish(struct world *world, struct fault_run *run)
{
    net_cut(run->node->net_of, NULL, NET_BOTH);
    node_signal(&world->cluster, run->node, SIGKILL);
}

static void reappear(struct world *world, struct fault_run *run)
{
    net_heal(run->node->net_of);
    restart(world, run->node);
}

static void pause_node(struct world *world, struct fault_run *run)
{
    node_signal(&world->cluster, run->node, SIGSTOP);
}

static void resume_node(struct world *world, struct fault_run *run)
{
    node_signal(&world->cluster, run->node, SIGCONT);
}

static void shut_down(struct world *world, struct fault_run *run)
{
    double begun = seconds_now();

    node_signal(&world->cluster, run->node, SIGTERM);
    what(run, "ended after %.0f ms", (seconds_now() - begun) * 1e3);
}

static void cut(struct world *world, struct fault_run *run)
{
    (void)world;
    net_cut(run->node->net_of, NULL, NET_BOTH);
}

static void cut_in(struct world *world, struct fault_run *run)
{
    (void)world;
    net_cut(run->node->net_of, NULL, NET_IN);
}

static void cut_out(struct world *world, struct fault_run *run)
{
    (void)world;
    net_cut(run->node->net_of, NULL, NET_OUT);
}

static void cut_kind(struct world *world, struct node *node, enum node_kind kind, enum net_way way)
{
    for (int i = 0; i < world->cluster.count; i++)
        if (world->cluster.nodes[i].kind == kind)
            net_cut(node->net_of, world->cluster.nodes[i].address, way);
}

static void cut_controllers(struct world *world, struct fault_run *run)
{
    cut_kind(world, run->node, NODE_CONTROLLER, NET_BOTH);
}

static void cut_controllers_out(struct world *world, struct fault_run *run)
{
    cut_kind(world, run->node, NODE_CONTROLLER, NET_OUT);
}

static void cut_zookeeper(struct world *world, struct fault_run *run)
{
    cut_kind(world, run->node, NODE_ZOOKEEPER, NET_BOTH);
}

static void cut_brokers(struct world *world, struct fault_run *run)
{
    cut_kind(world, run->node, NODE_BROKER, NET_BOTH);
}

static void cut_pair(struct world *world, struct fault_run *run)
{
    int peer = run->node->number % world->options.brokers + 1;

    run->other = cluster_node(&world->cluster, NODE_BROKER, peer);
    what(run, "and broker-%d", peer);
    net_cut(run->node->net_of, run->other->address, NET_BOTH);
}

static void cut_pair_in(struct world *world, struct fault_run *run)
{
    int peer = run->node->number % world->options.brokers + 1;

    run->other = cluster_node(&world->cluster, NODE_BROKER, peer);
    what(run, "hears nothing of broker-%d", peer);
    net_cut(run->node->net_of, run->other->address, NET_IN);
}

static void heal(struct world *world, struct fault_run *run)
{
    (void)world;
    net_heal(run->node->net_of);
}

static void fill_disk(struct world *world, struct fault_run *run)
{
    (void)world;
    run_command(NULL, 0,
                "cd %s/data && { fallocate -l $(df --output=avail -B1 . | tail -n 1) filler; "
                "dd if=/dev/zero bs=4096 of=filler oflag=append conv=notrunc; } > /dev/null 2>&1",
                run->node->folder);
}

static void free_disk(struct world *world, struct fault_run *run)
{
    (void)world;
    run_command(NULL, 0, "rm -f %s/data/filler", run->node->folder);
}

/* It must start, and run, without room for anything. */
static void fill_and_restart(struct world *world, struct fault_run *run)
{
    fill_disk(world, run);
    node_signal(&world->cluster, run->node, SIGKILL);
    restart(world, run->node);
}

static void kill_both(struct world *world, struct fault_run *run)
{
    run->other = world_active_controller(world);
    if (run->other != NULL) what(run, "and controller-%d", run->other->number);
    kill_node(world, run);
}

static void roll(struct world *world, struct fault_run *run)
{
    (void)run;
    for (int b = 1; b <= world->options.brokers; b++) {
        struct node *node = cluster_node(&world->cluster, NODE_BROKER, b);
        double begun = seconds_now();
        if (node->pid == 0) continue;
        node_signal(&world->cluster, node, SIGTERM);
        world_say(world, "  broker-%d ended after %.0f ms", b, (seconds_now() - begun) * 1e3);
        restart(world, node);
        if (!world_is_whole(world, MOVE_SECONDS))
            world_fail(world, "not whole after broker-%d was restarted", b);
    }
}

static int replica(const struct world *world, int partition, int which)
{
    int place = (which + world->turn) % 3;

    return (partition + world->shift + place) % world->options.brokers + 1;
}

static void write_moves(struct world *world, const char *path)
{
    static const char *const topics[] = {"plain", "once", "again"};
    FILE *file = fopen(path, "w");

    if (file == NULL) exit(1);
    fprintf(file, "{\"version\":1,\"partitions\":[");
    for (int t = 0; t < WORLD_TOPICS; t++)
        for (int p = 0; p < world->options.partitions; p++)
            fprintf(file, "%s{\"topic\":\"%s\",\"partition\":%d,\"replicas\":[%d,%d,%d]}",
                    t + p > 0 ? "," : "", topics[t], p, replica(world, p, 0), replica(world, p, 1),
                    replica(world, p, 2));
    fprintf(file, "]}");
    fclose(file);
}

static bool has_moved(void *of)
{
    struct world *world = of;
    int done = 0;

    world_watch(world);
    if (world_ottla(world,
                    "reassign --verify --preserve-throttles --reassignment-json-file %s/moves.json",
                    world->cluster.folder) != 0)
        return false;
    for (const char *at = world_text; (at = strstr(at, " is completed.")) != NULL; at++)
        done++;
    return done == WORLD_TOPICS * world->options.partitions;
}

static bool accepts_moves(void *of)
{
    struct world *world = of;

    return world_ottla(world, "reassign --execute --reassignment-json-file %s/moves.json",
                       world->cluster.folder) == 0;
}

static void place_anew(struct world *world)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/moves.json", world->cluster.folder);
    write_moves(world, path);
    if (!wait_for(accepts_moves, world, MOVE_SECONDS) || !wait_for(has_moved, world, MOVE_SECONDS))
        world_fail(world, "partitions do not move:\n%s", world_text);
}

/* Every partition to the next broker (with three brokers: their order only). */
static void reassign(struct world *world, struct fault_run *run)
{
    (void)run;
    world->shift++;
    place_anew(world);
}

static bool elects(void *of)
{
    return world_ottla(of, "elect-leaders --election-type preferred --all-topic-partitions") == 0;
}

static void move_leaders(struct world *world, struct fault_run *run)
{
    (void)run;
    world->turn++;
    place_anew(world);
    if (!wait_for(elects, world, MOVE_SECONDS))
        world_fail(world, "leaders are not elected:\n%s", world_text);
}

static void move_often(struct world *world, struct fault_run *run)
{
    for (int i = 0; i < 20; i++)
        move_leaders(world, run);
}

static void nothing(struct world *world, struct fault_run *run)
{
    (void)world;
    (void)run;
}

static const struct fault kinds[] = {
    {"kill", "kill -9 of a broker", AT_BROKER, 0, 8, kill_node, restart_node, true},
    {"kill-controller", "kill -9 of the active controller", AT_CONTROLLER, 0, 8, kill_node,
     restart_node, true},
    {"kill-both", "kill -9 of the active controller and a broker", AT_BROKER, 0, 8, kill_both,
     restart_node, true},
    {"vanish", "a broker's machine loses its power (its disk survives)", AT_BROKER, 1, 15, vanish,
     reappear, true},
    {"pause", "SIGSTOP of a broker", AT_BROKER, 0.5, 12, pause_node, resume_node, true},
    {"pause-controller", "SIGSTOP of the active controller", AT_CONTROLLER, 0.5, 12, pause_node,
     resume_node, true},
    {"cut", "a broker is cut off, both ways", AT_BROKER, 1, 15, cut, heal, true},
    {"cut-in", "a broker hears nobody", AT_BROKER, 1, 15, cut_in, heal, true},
    {"cut-out", "nobody hears a broker", AT_BROKER, 1, 15, cut_out, heal, true},
    {"cut-brokers", "a broker and all other brokers", AT_BROKER, 1, 15, cut_brokers, heal, true},
    {"cut-controllers", "a broker and the controllers", AT_BROKER, 1, 15, cut_controllers, heal,
     true},
    {"cut-controllers-out", "no controller hears a broker", AT_BROKER, 1, 15, cut_controllers_out,
     heal, true},
    {"cut-zookeeper", "a broker and the ZooKeepers", AT_BROKER, 1, 15, cut_zookeeper, heal, true},
    {"cut-pair", "two brokers", AT_BROKER, 1, 15, cut_pair, heal, true},
    {"cut-pair-in", "a broker does not hear another", AT_BROKER, 1, 15, cut_pair_in, heal, true},
    {"cut-controller", "the active controller is cut off", AT_CONTROLLER, 1, 15, cut, heal, true},
    {"cut-controller-zookeeper", "the active controller and the ZooKeepers", AT_CONTROLLER, 1, 15,
     cut_zookeeper, heal, true},
    {"cut-controller-brokers", "the active controller and all brokers", AT_CONTROLLER, 1, 15,
     cut_brokers, heal, true},
    {"kill-zookeeper", "kill -9 of the ZooKeeper that leads", AT_ZOOKEEPER, 0, 8, kill_node,
     restart_node, true},
    {"pause-zookeeper", "SIGSTOP of the ZooKeeper that leads", AT_ZOOKEEPER, 0.5, 12, pause_node,
     resume_node, true},
    {"cut-ensemble", "the ZooKeeper that leads is cut off", AT_ZOOKEEPER, 1, 15, cut, heal, true},
    {"full", "a broker's disk is full", AT_BROKER, 2, 12, fill_disk, free_disk, true},
    {"full-restart", "and it is killed and started again meanwhile", AT_BROKER, 2, 12,
     fill_and_restart, free_disk, true},
    {"stop", "SIGTERM of a broker", AT_BROKER, 0, 5, shut_down, restart_node, true},
    {"reassign", "every partition moves on by one broker", AT_ALL, 0, 0, reassign, nothing, true},
    {"moves", "every leader hands over to the next replica", AT_ALL, 0, 0, move_leaders, nothing,
     true},
    {"moves-20", "twenty times that", AT_ALL, 0, 0, move_often, nothing, false},
    {"rolling", "all brokers end and start again, one by one", AT_ALL, 0, 0, roll, nothing, false},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const struct fault *fault_find(const char *name)
{
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

void fault_list(void)
{
    for (size_t i = 0; i < KINDS; i++)
        printf("  %-26s%s%s\n", kinds[i].name, kinds[i].doc, kinds[i].is_usual ? "" : " *");
    printf("  (* only when named)\n");
}

const char *fault_usual(void)
{
    static char list[1024];
    size_t used = 0;

    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].is_usual)
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used > 0 ? "," : "",
                                     kinds[i].name);
    return list;
}

static struct node *choose(const struct fault *fault, struct world *world, struct prng *prng,
                           int number)
{
    int drawn = (int)prng_below(prng, (uint64_t)world->options.brokers) + 1;

    switch (fault->at) {
    case AT_BROKER:
        return cluster_node(&world->cluster, NODE_BROKER, number > 0 ? number : drawn);
    case AT_CONTROLLER:
        return number > 0 ? cluster_node(&world->cluster, NODE_CONTROLLER, number)
                          : world_active_controller(world);
    case AT_ZOOKEEPER:
        return number > 0 ? cluster_node(&world->cluster, NODE_ZOOKEEPER, number)
                          : world_zookeeper_leader(world);
    case AT_ALL:
        return NULL;
    }
    return NULL;
}

bool fault_begin(const struct fault *fault, struct world *world, struct prng *prng, int number,
                 const struct fault_run *busy, struct fault_run *run)
{
    double share = (double)prng_below(prng, 1001) / 1000;

    *run =
        (struct fault_run){.fault = fault,
                           .node = choose(fault, world, prng, number),
                           /* Short ones are as telling as long ones. */
                           .seconds = fault->least + (fault->most - fault->least) * share * share};
    if (fault->at != AT_ALL && (run->node == NULL || run->node->pid == 0)) return false;
    if (busy != NULL &&
        (fault->at == AT_ALL || run->node == busy->node || run->node == busy->other))
        return false;
    if (fault->end == free_disk && world->options.disk_bytes == 0) return false;
    world_say(world, "%s %s%.0d begins, for %.1f s", fault->name,
              run->node == NULL ? ""
              : run->node->kind == NODE_BROKER
                  ? "broker-"
                  : (run->node->kind == NODE_CONTROLLER ? "controller-" : "zookeeper-"),
              run->node == NULL ? 0 : run->node->number, run->seconds);
    fault->begin(world, run);
    if (run->what[0] != '\0') world_say(world, "  %s", run->what);
    return true;
}

void fault_end(struct world *world, struct fault_run *run)
{
    run->fault->end(world, run);
    world_say(world, "%s ended", run->fault->name);
}
