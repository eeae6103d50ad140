/* tests/unit/sim_client.h - processes of one shard with a ZooKeeper session, over the simulator's
 * ensemble: what tests/cluster/zk_asks.h and zk_claims.h ask for. */
#pragma once
#include "base/ensure.h"
#include "base/log.h"
#include "runtime/shard.h"
#include "tests/sim/net.h"
#include "tests/sim/zookeeper.h"
#include "tests/unit/unit.h"
#include "zk/zk.h"
#include <stdio.h>

#define WAIT_MS 300000 /* virtual */

/* ---- the world under the claims of the real one */

static struct world *world;
static struct sim_net *net;
static struct sim_zookeeper *zookeeper;
static char connect_string[256];
static int hosts_made;

static struct instant op_now(void *process)
{
    return ((struct sim_process *)process)->world->now;
}

static int64_t op_wall_ms(void *process)
{
    return ((struct sim_process *)process)->world->wall_began_ms;
}

static uint64_t op_random(void *process, const char *purpose)
{
    return world_draw(((struct sim_process *)process)->world, purpose);
}

static const struct env_ops env_ops = {.now = op_now,
                                       .wall_ms = op_wall_ms,
                                       .random = op_random,
                                       .net = &sim_net_ops,
                                       .zk = &sim_zookeeper_ops};

static struct ensemble *ensemble(void)
{
    return sim_zookeeper_ensemble(zookeeper);
}

static void world_end(void)
{
    if (world == NULL) return;
    while (!list_is_empty(&world->processes))
        process_kill(list_entry(list_first(&world->processes), struct sim_process, node));
    sim_zookeeper_destroy(&zookeeper);
    sim_net_destroy(&net);
    world_destroy(&world);
}

static void world_begin(uint64_t seed, int servers)
{
    world_end();
    atomic_store(&log_level, LOG_ERROR);
    world = world_create(seed);
    world_set_option(world, "zookeeper.servers", servers);
    if (seed == 0) world_set_option(world, "zookeeper.tick-ms", 200);
    net = sim_net_create(world);
    zookeeper = sim_zookeeper_create(world);
    connect_string[0] = '\0';
    for (int i = 0; i < servers; i++)
        strcat(connect_string, i == 0 ? "z:1" : ",z:1");
    hosts_made = 0;
}

static inline void servers_up(const char *count)
{
    world_begin(0, atoi(count));
}

static void server_verb(const char *verb, int server)
{
    if (strcmp(verb, "stop") == 0 || strcmp(verb, "kill") == 0) ensemble_stop(ensemble(), server);
    if (strcmp(verb, "start") == 0) ensemble_start(ensemble(), server);
    if (strcmp(verb, "pause") == 0) ensemble_pause(ensemble(), server);
    if (strcmp(verb, "resume") == 0) ensemble_resume(ensemble(), server);
}

static inline int servers(const char *verb, const char *which)
{
    if (strcmp(verb, "down") == 0) {
        world_end();
        return 0;
    }
    for (int i = 0; i < ensemble_servers(ensemble()); i++)
        if (which[0] == '\0' || atoi(which) == i + 1) server_verb(verb, i);
    /* The script waits until what it started serves. */
    if (strcmp(verb, "start") == 0 || strcmp(verb, "kill") == 0)
        world_run(world, instant_add_ms(world->now, 4000));
    return 0;
}

struct client {
    struct sim_process *process;
    struct sim_host *host;
    struct zk_options options;
    struct shard shard;
    struct timer tick;
    struct zk *zk;
    bool is_closed;

    int connected, disconnected, expired, new_session, auth_failed;
    struct zk_event last;
    char path[256];
    int nodes;
    void (*heard)(struct client *client); /* an event: NULL, or who wants to know at once */
};

static void tick(struct timer *timer)
{
    struct client *client = list_entry(timer, struct client, tick);

    timer_arm(&client->shard, timer, instant_add_ms(shard_now(&client->shard), 5));
}

static void on_event(void *owner, const struct zk_event *event)
{
    struct client *client = owner;

    client->connected += event->type == ZK_CONNECTED;
    client->disconnected += event->type == ZK_DISCONNECTED;
    client->expired += event->type == ZK_EXPIRED;
    client->new_session += event->type == ZK_NEW_SESSION;
    client->auth_failed += event->type == ZK_AUTH_FAILED;
    if (event->type >= ZK_NODE_CREATED) {
        client->nodes++;
        client->last = *event;
        snprintf(client->path, sizeof(client->path), "%.*s", SLICE_ARGS(event->path));
    }
    if (client->heard != NULL) client->heard(client);
}

static void client_begins(void *arg)
{
    struct client *client = arg;

    ck_assert_int_eq(shard_open(&client->shard, &client->process->env, 0, NULL, NULL, NULL, NULL),
                     ERR_OK);
    sim_shard_start(&client->shard);
    timer_arm(&client->shard, &client->tick, world->now);
    ck_assert_int_eq(zk_open(&client->shard, &client->options, on_event, client, &client->zk),
                     ERR_OK);
}

static void client_open_with(struct client *client, struct zk_options options)
{
    char name[20];

    snprintf(name, sizeof(name), "c%d", ++hosts_made);
    *client = (struct client){.tick = {.fire = tick}, .options = options};
    if (options.session_timeout_ms == 0) client->options.session_timeout_ms = 6000;
    if (options.in_flight_max == 0) client->options.in_flight_max = 10;
    client->host = host_create(world, name);
    client->process = process_create(client->host, name, &env_ops);
    ck_assert(process_run(client->process, client_begins, client));
}

#define UNTIL(client, condition)                                                                   \
    do {                                                                                           \
        struct instant until_ = instant_add_ms(world->now, WAIT_MS);                               \
        (void)(client);                                                                            \
        while (!(condition)) {                                                                     \
            ck_assert_msg(world_step(world, until_), "waited for %s", #condition);                 \
            sim_zookeeper_audit(zookeeper);                                                        \
        }                                                                                          \
    } while (0)

static inline void client_open(struct client *client)
{
    client_open_with(client, (struct zk_options){.connect = connect_string});
    UNTIL(client, client->connected == 1);
}

static void on_closed(void *owner)
{
    ((struct client *)owner)->is_closed = true;
}

static inline void client_close(struct client *client)
{
    zk_close(&client->zk, on_closed, client);
    ck_assert(client->zk == NULL);
    UNTIL(client, client->is_closed);
    process_kill(client->process);
    client->process = NULL;
}

static inline void client_sleeps(struct client *client, bool sleeps)
{
    if (sleeps)
        process_pause(client->process);
    else
        process_resume(client->process);
}

static inline void begin(void)
{
    world_begin(0, 1);
}

static inline void end(void)
{
    world_end();
}

static inline void run_ms(int64_t ms)
{
    world_run(world, instant_add_ms(world->now, ms));
    sim_zookeeper_audit(zookeeper);
}

static inline enum err operate(enum zk_kind kind, const char *path, const char *data)
{
    struct zk_op op = {.kind = kind,
                       .path = slice_text(path),
                       .data = slice_text(data),
                       .version = ZK_ANY_VERSION,
                       .acl = ZK_ACL_OPEN};

    return ensemble_write(ensemble(), &op, 1, NULL);
}
