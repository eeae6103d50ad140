#include "tests/sim/cluster.h"
#include "base/ensure.h"
#include "base/log.h"
#include "broker/broker.h"
#include "cluster/options.h"
#include "controller/controller.h"
#include "tests/sim/heap.h"
#include "tests/sim/net.h"
#include "tests/sim/zookeeper.h"
#include <stdio.h>
#include <stdlib.h>

#define BROKER_PORT     9092
#define CONTROLLER_PORT 9093
#define FILES_MAX       4096
#define LEAVE_MS_MAX    10000

/* What main() has on its stack, in the memory of the process. */
struct program {
    struct member *member;
    struct options *options;
    struct listeners listeners;
    struct broker *broker;

    struct shard shard; /* of a controller */
    struct mesh *mesh;
    struct controller controller;
    struct timer leave;
    bool has_controller, has_left, has_shards;
    enum err err;
};

/* ---- settings ---- */

const char *cluster_setting(const struct cluster *cluster, const char *key)
{
    for (int i = 0; i < cluster->setting_count; i++)
        if (strcmp(cluster->settings[i].key, key) == 0) return cluster->settings[i].value;
    return NULL;
}

void cluster_set(struct cluster *cluster, const char *key, const char *value)
{
    int i = 0;

    while (i < cluster->setting_count && strcmp(cluster->settings[i].key, key) != 0)
        i++;
    ensure(i < (int)(sizeof(cluster->settings) / sizeof(cluster->settings[0])));
    snprintf(cluster->settings[i].key, sizeof(cluster->settings[i].key), "%s", key);
    snprintf(cluster->settings[i].value, sizeof(cluster->settings[i].value), "%s", value);
    if (i == cluster->setting_count) cluster->setting_count++;
}

void cluster_set_number(struct cluster *cluster, const char *key, int64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    cluster_set(cluster, key, text);
}

static void draw(struct cluster *cluster, const char *key, int count, const int64_t *values)
{
    if (cluster_setting(cluster, key) != NULL) return;
    cluster_set_number(cluster, key, world_option_of(cluster->world, key, values, count));
}

#define DRAW(key, ...)                                                                             \
    draw(cluster, key, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                  \
         (const int64_t[]){__VA_ARGS__})

/* A follower's Fetch is answered within its time-out, as on every net that somebody runs brokers
 * on: else it asks for the same again, for ever. A small window over long wires carries no more
 * than 20 kB/s, and TCP's would have grown. Half of the time-out is left for the rest. */
static void fit_answers(struct cluster *cluster)
{
    int64_t timeout_ms = strtoll(cluster_setting(cluster, "replica.socket.timeout.ms"), NULL, 10);
    int64_t bytes = strtoll(cluster_setting(cluster, "replica.fetch.response.max.bytes"), NULL, 10);
    int64_t fits = sim_net_bytes_per_s(cluster->world->net) * timeout_ms / 1000 / 2;

    if (bytes > fits) cluster_set_number(cluster, "replica.fetch.response.max.bytes", fits);
}

/* As in production, for the most part by default: what goes off after hours does so here. */
static void draw_slow_settings(struct cluster *cluster)
{
    DRAW("zookeeper.session.timeout.ms", 18000);
    DRAW("replica.lag.time.max.ms", 30000);
    /* By default 500: then nearly all that happens is followers that ask for nothing new. */
    DRAW("replica.fetch.wait.max.ms", 500, 2500, 5000, 10000, 10000);
    DRAW("replica.fetch.max.bytes", 50000, 1048576);
    DRAW("replica.fetch.response.max.bytes", 100000, 10485760);
    DRAW("replica.socket.timeout.ms", 30000);
    DRAW("log.flush.offset.checkpoint.interval.ms", 60000);
    DRAW("log.flush.start.offset.checkpoint.interval.ms", 60000);
    DRAW("replica.high.watermark.checkpoint.interval.ms", 5000, 60000);
    DRAW("log.retention.check.interval.ms", 300000);
    DRAW("log.segment.delete.delay.ms", 60000);
    DRAW("log.roll.ms", 600000, 3600000, 14400000, 604800000);
    DRAW("controller.broker.heartbeat.timeout.ms", 3000, 10000);
    DRAW("controller.socket.timeout.ms", 30000);
    DRAW("request.timeout.ms", 30000);
    DRAW("leader.imbalance.check.interval.seconds", 300);
    /* Long enough that no retry of a producer comes so late, whatever clocks do. */
    DRAW("producer.id.expiration.ms", 14400000, 86400000);
    DRAW("max.incremental.fetch.session.cache.slots", 4, 1000);
}

/* Timers of production are drawn rather large, followers and the controller's pings do not come
 * more often than by default: most of a simulated hour is waiting. */
static void draw_settings(struct cluster *cluster)
{
    static const int64_t levels[] = {0, 0, 0, 1, 2};
    static const char *const level_names[] = {"3.9", "2.8", "2.6"};
    int64_t level = world_option_of(cluster->world, "inter.broker.protocol.version", levels, 5);

    if (cluster_setting(cluster, "inter.broker.protocol.version") == NULL)
        cluster_set(cluster, "inter.broker.protocol.version", level_names[level]);
    DRAW("zookeeper.session.timeout.ms", 3000, 6000, 18000);
    cluster_set_number(cluster, "zookeeper.connection.timeout.ms", 60000);
    DRAW("zookeeper.max.in.flight.requests", 1, 10, 100);
    DRAW("replica.lag.time.max.ms", 3000, 10000, 30000);
    DRAW("replica.fetch.wait.max.ms", 500, 500, 1000, 2500);
    DRAW("replica.fetch.backoff.ms", 100, 1000);
    DRAW("replica.fetch.max.bytes", 2000, 50000, 1048576);
    DRAW("replica.fetch.response.max.bytes", 3000, 100000, 10485760);
    DRAW("replica.socket.timeout.ms", 3000, 30000);
    fit_answers(cluster);
    DRAW("log.segment.bytes", 16384, 100000, 1000000, 1073741824);
    DRAW("log.index.interval.bytes", 64, 4096);
    DRAW("log.index.size.max.bytes", 4096, 10485760);
    DRAW("log.flush.offset.checkpoint.interval.ms", 5000, 60000, 600000);
    DRAW("log.flush.start.offset.checkpoint.interval.ms", 60000, 600000);
    DRAW("replica.high.watermark.checkpoint.interval.ms", 5000, 60000, 600000);
    DRAW("log.retention.check.interval.ms", 60000, 300000);
    DRAW("log.segment.delete.delay.ms", 1000, 60000);
    DRAW("controller.broker.heartbeat.timeout.ms", 3000, 3000, 10000, 30000);
    DRAW("controller.socket.timeout.ms", 5000, 30000);
    DRAW("request.timeout.ms", 5000, 30000);
    DRAW("leader.imbalance.check.interval.seconds", 30, 300);
    DRAW("controlled.shutdown.max.retries", 1, 3);
    DRAW("controlled.shutdown.retry.backoff.ms", 500, 5000);
    DRAW("num.recovery.threads.per.data.dir", 1, 4);
    DRAW("max.incremental.fetch.session.cache.slots", 0, 4, 1000);
    DRAW("ottla.log.unsynced.bytes", 1, 4096, 524288);
    cluster_set_number(cluster, "log.retention.ms", -1);
    cluster_set_number(cluster, "log.retention.bytes", -1);
    cluster_set(cluster, "auto.create.topics.enable", "false");
    cluster_set_number(cluster, "offsets.topic.num.partitions", 2);
    cluster_set_number(cluster, "transaction.state.log.num.partitions", 2);
}

/* ---- programs: code of a process ---- */

static void on_problem(void *to, bool is_error, const char *message)
{
    struct member *member = to;

    if (is_error) world_wrong(member->cluster->world, "configuration: %s", message);
}

const char *cluster_log_dir(int index)
{
    static char path[40];

    snprintf(path, sizeof(path), "%s/logs", sim_disks_path(index));
    return path;
}

static void set_log_dirs(const struct cluster *cluster, struct conf *conf)
{
    char text[200] = "";
    size_t len = 0;

    for (int i = 0; i < cluster->log_dirs; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i == 0 ? "" : ",",
                                cluster_log_dir(i));
    conf_set(conf, "log.dirs", text, 0);
}

static void load_options(struct program *program)
{
    struct member *member = program->member;
    struct cluster *cluster = member->cluster;
    struct options_report report = {.problem = on_problem, .to = member};
    char text[100];
    struct conf conf;

    program->options = options_create();
    conf_init(&conf);
    for (int i = 0; i < cluster->setting_count; i++)
        conf_set(&conf, cluster->settings[i].key, cluster->settings[i].value, 0);
    snprintf(text, sizeof(text), "%d", member->id);
    conf_set(&conf, member->is_controller ? "controller.id" : "broker.id", text, 0);
    snprintf(text, sizeof(text), "PLAINTEXT://%s:%d", member->host->name,
             member->is_controller ? CONTROLLER_PORT : BROKER_PORT);
    conf_set(&conf, "listeners", text, 0);
    conf_set(&conf, "zookeeper.connect", "zk:2181", 0);
    set_log_dirs(cluster, &conf);
    enum err err = options_load(program->options, &conf, "sim", &report);
    if (err == ERR_OK)
        err = options_check(program->options,
                            member->is_controller ? OPTIONS_CONTROLLER : OPTIONS_BROKER, &report);
    if (err == ERR_OK) err = listeners_read(program->options, &report, &program->listeners);
    conf_fini(&conf);
    if (err != ERR_OK) world_wrong(cluster->world, "configuration: %s", err_text(err));
}

static void on_shard_opened(void *owner, struct shard *shard)
{
    ((struct program *)owner)->has_shards = true;
    sim_shard_start(shard);
}

static void start_broker(struct program *program)
{
    struct member *member = program->member;
    struct broker_options options = {.env = &member->process->env,
                                     .options = program->options,
                                     .listeners = &program->listeners,
                                     .shard_opened = on_shard_opened,
                                     .owner = program,
                                     .data_shards = member->cluster->data_shards,
                                     .files_max = FILES_MAX};
    struct buf problem;

    buf_init(&problem);
    program->err = broker_create(&options, &problem, &program->broker);
    if (program->err != ERR_OK)
        log_error("broker", "not-started", "problem=\"%.*s\"", SLICE_ARGS(buf_slice(&problem)));
    buf_fini(&problem);
    if (program->err == ERR_OK) program->err = broker_start(program->broker);
    if (program->err == ERR_OK) sim_shard_start(broker_shard(program->broker));
}

static void on_ready(void *owner)
{
    (void)owner;
}

static void on_stopped(void *owner)
{
    struct program *program = owner;

    timer_cancel(&program->shard, &program->leave);
    shard_stop(&program->shard);
}

static void leave_fired(struct timer *timer)
{
    struct program *program = list_entry(timer, struct program, leave);

    program->has_left = true;
    shard_stop(&program->shard);
}

static void start_controller(struct program *program)
{
    static const struct mailbox_handlers none;

    program->mesh = mesh_create(1);
    program->err = shard_open(&program->shard, &program->member->process->env, 0, program->mesh,
                              &none, program, NULL);
    if (program->err == ERR_OK)
        program->err = controller_open(&program->controller, &program->shard, program->options,
                                       &program->listeners, on_ready, on_stopped, program);
    program->has_controller = program->err == ERR_OK;
    if (program->has_controller) sim_shard_start(&program->shard);
}

static void begin_program(void *arg)
{
    struct member *member = arg;
    struct program *program = ensure_zalloc(sizeof(*program));

    member->program = program;
    program->member = member;
    load_options(program);
    if (member->is_controller)
        start_controller(program);
    else
        start_broker(program);
}

/* What main() does after a good end: all is given back, or the destructors have a bug. */
static void finish_program(void *arg)
{
    struct program *program = arg;

    if (program->member->is_controller) {
        controller_fini(&program->controller);
        shard_close(&program->shard);
        mesh_destroy(&program->mesh);
    } else {
        broker_destroy(&program->broker);
    }
    listeners_fini(&program->listeners);
    options_destroy(&program->options);
    free(program);
}

/* ---- members: the world's side ---- */

static void plan_restart(struct member *member)
{
    struct world *world = member->cluster->world;

    if (!member->is_wanted) return;
    world_arm(world, &member->restart,
              instant_add_ms(world->now, world_between(world, "restart", 1000, 10000)));
}

static void on_restart(struct world_event *event)
{
    member_start(heap_entry(event, struct member, restart));
}

static void ended(struct member *member, bool is_failure)
{
    struct cluster *cluster = member->cluster;

    if (is_failure) member->failures++;
    world_trace(cluster->world, "%s has ended%s", member->host->name,
                is_failure ? " by itself" : "");
    if (member->process != NULL) process_kill(member->process);
    if (cluster->ended != NULL) cluster->ended(cluster->owner, member, is_failure);
    plan_restart(member);
}

static void on_shard_stopped(struct sim_process *process, struct shard *shard)
{
    struct member *member = process->owner;
    struct program *program = member->program;
    struct world *world = process->world;

    (void)shard;
    enum err err = member->is_controller ? (program->has_left ? ERR_TIMED_OUT : ERR_OK)
                                         : broker_result(program->broker);
    if (err != ERR_OK) {
        world_trace(world, "%s: %s", member->host->name, err_name(err));
        ended(member, !member->is_ending);
        return;
    }
    /* What was told to shards that never ran is nobody's: the process ends anyway. */
    bool must_be_empty = member->is_controller || program->has_shards;
    if (!process_run(process, finish_program, program)) {
        ended(member, true);
        return;
    }
    size_t left = sim_heap_bytes(process->heap);
    if (left > 0 && must_be_empty) sim_heap_describe(process->heap);
    if (left > 0 && must_be_empty)
        world_wrong(world, "%s leaks %zu bytes at its orderly end", member->host->name, left);
    ended(member, false);
}

static void on_killed(void *owner, struct sim_process *process)
{
    struct cluster *cluster = owner;

    for (int i = 0; i < cluster->count; i++) {
        if (cluster->members[i].process != process) continue;
        cluster->members[i].process = NULL;
        cluster->members[i].program = NULL;
        cluster->members[i].is_ending = false;
    }
}

void member_start(struct member *member)
{
    struct world *world = member->cluster->world;

    world_disarm(world, &member->restart);
    if (member->process != NULL) return;
    host_power_on(member->host);
    member->is_wanted = true;
    member->is_ending = false;
    member->starts++;
    member->process = sim_process_create(member->host, member->host->name);
    member->process->owner = member;
    member->process->shard_stopped = on_shard_stopped;
    if (!process_run(member->process, begin_program, member)) {
        plan_restart(member);
        return;
    }
    struct program *program = member->program;
    if (program->err != ERR_OK) {
        world_trace(world, "%s does not start: %s", member->host->name, err_name(program->err));
        ended(member, true);
    }
}

static void stop_program(void *arg)
{
    struct program *program = arg;

    if (!program->member->is_controller) {
        broker_stop(program->broker);
        return;
    }
    program->leave.fire = leave_fired;
    timer_arm(&program->shard, &program->leave,
              instant_add_ms(env_now(program->shard.env), LEAVE_MS_MAX));
    controller_stop(&program->controller);
}

/* The signal comes to the control shard as a call on it. */
struct stop_note {
    struct shard_note note;
    struct program *program;
};

static void on_stop_note(struct shard_note *note)
{
    struct stop_note *stop = (struct stop_note *)(void *)note;
    struct program *program = stop->program;

    free(stop);
    stop_program(program);
}

static void tell_stop(void *arg)
{
    struct program *program = arg;
    struct stop_note *stop = ensure_zalloc(sizeof(*stop));

    stop->note.run = on_stop_note;
    stop->program = program;
    shard_tell(program->member->is_controller ? &program->shard : broker_shard(program->broker),
               &stop->note);
}

void member_stop(struct member *member)
{
    if (member->process == NULL || member->is_ending) return;
    world_trace(member->cluster->world, "%s is told to end", member->host->name);
    member->is_ending = true;
    process_at(member->process, member->cluster->world->now, tell_stop, member->program);
}

void member_kill(struct member *member)
{
    if (member->process != NULL) process_kill(member->process);
}

void member_power_loss(struct member *member)
{
    if (member->host->has_power) host_power_loss(member->host);
}

struct broker *member_broker(const struct member *member)
{
    return member->process == NULL || member->is_controller
               ? NULL
               : ((struct program *)member->program)->broker;
}

struct controller *member_controller(const struct member *member)
{
    return member->process == NULL || !member->is_controller
               ? NULL
               : &((struct program *)member->program)->controller;
}

/* ---- the cluster ---- */

static void add_member(struct cluster *cluster, bool is_controller, int id, const char *name)
{
    struct member *member = &cluster->members[cluster->count++];

    ensure(cluster->count <= MEMBERS_MAX);
    *member = (struct member){.cluster = cluster, .is_controller = is_controller, .id = id};
    member->host = host_create(cluster->world, name);
    member->restart.fire = on_restart;
    if (!is_controller)
        sim_disks_add(cluster->world->disks, member->host, cluster->log_dirs, UINT64_C(1) << 30);
}

struct cluster *cluster_create(struct world *world, int brokers, int controllers)
{
    struct sim_heap *was = sim_heap_use_world();
    struct cluster *cluster = ensure_zalloc(sizeof(*cluster));
    static const int64_t numbers[] = {1, 1, 2, 3};
    char name[32];

    cluster->world = world;
    cluster->brokers = brokers;
    cluster->controllers = controllers;
    cluster->log_dirs =
        (int)world_option_of(world, "log-dirs", numbers, sizeof(numbers) / sizeof(numbers[0]));
    for (int i = 1; i <= brokers; i++) {
        snprintf(name, sizeof(name), "b%d", i);
        add_member(cluster, false, i, name);
    }
    for (int i = 1; i <= controllers; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        add_member(cluster, true, 100 + i, name);
    }
    cluster->part = (struct world_part){.killed = on_killed, .owner = cluster};
    world_add_part(world, &cluster->part);
    cluster->data_shards = (int)world_option(world, "data-shards", 1, 3);
    if (world->is_slow) draw_slow_settings(cluster);
    draw_settings(cluster);
    sim_heap_use(was);
    return cluster;
}

void cluster_destroy(struct cluster **it)
{
    struct cluster *cluster = *it;

    if (cluster == NULL) return;
    for (int i = 0; i < cluster->count; i++) {
        cluster->members[i].is_wanted = false;
        member_kill(&cluster->members[i]);
        world_disarm(cluster->world, &cluster->members[i].restart);
    }
    world_remove_part(&cluster->part);
    free(cluster);
    *it = NULL;
}

struct member *cluster_broker(struct cluster *cluster, int32_t id)
{
    return id >= 1 && id <= cluster->brokers ? &cluster->members[id - 1] : NULL;
}

struct member *cluster_controller(struct cluster *cluster, int index)
{
    ensure(index >= 0 && index < cluster->controllers);
    return &cluster->members[cluster->brokers + index];
}
