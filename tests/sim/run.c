#include "tests/sim/run.h"
#include "base/ensure.h"
#include "base/buf.h"
#include "base/log.h"
#include "broker/log/checkpoint.h"
#include "runtime/files.h"
#include "tests/sim/cluster.h"
#include "tests/sim/env_sim.h"
#include "tests/sim/faults.h"
#include "tests/sim/heap.h"
#include "tests/sim/load.h"
#include "tests/sim/oracle_controller.h"
#include "tests/sim/scenario.h"
#include "tests/sim/zookeeper.h"
#include "wire/batch.h"
#include "wire/compress.h"
#include "wire/record.h"
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SLOW_ONE_OF  16 /* seeds, in turn: dense worlds keep three quarters of the time */
#define WARM_UP_MS   30000
#define LIVENESS_S   900 /* in which nobody has read anything new */
#define ON_THE_WAY_S 65  /* the longest that a wire or a shard stands still, and a little more */
#define STOP_S       700
#define LOG_FILE_MAX (64u << 20)

struct run {
    struct world *world;
    struct cluster *cluster;
    struct oracle_log *oracle;
    struct oracle_controller *znodes;
    struct load *load;
    struct nemesis *nemesis;
};

/* For the handler of a crash, which has no other way. */
static struct world *crashing;

static void on_crash(int number)
{
    signal(number, SIG_DFL);
    fflush(stdout);
    if (crashing != NULL) {
        fprintf(stderr, "crash: signal %d at %lld.%06lld\n", number,
                (long long)(crashing->now.ns / 1000000000),
                (long long)(crashing->now.ns / 1000 % 1000000));
        world_trace_dump(crashing, 100);
    }
    _exit(SIM_EXIT_CRASH);
}

static bool line_has(struct slice line, const char *text)
{
    return memmem(line.ptr, line.len, text, strlen(text)) != NULL;
}

static void on_log(void *to, enum log_level level, struct slice line)
{
    struct world *world = to;

    (void)level;
    world_note(world, "| %.*s", SLICE_ARGS(line));
    if (line_has(line, " directory_offline ") && line_has(line, "why=FULL"))
        world_wrong(world, "a full disk takes a log directory offline");
}

static int64_t log_now(void *from)
{
    return ((struct world *)from)->now.ns / 1000000;
}

/* ---- the phases ---- */

static void run_ms(struct run *run, int64_t ms)
{
    world_run(run->world, instant_add_ms(run->world->now, ms));
}

static void await_drained(struct run *run, const char *what)
{
    char why[300];
    int64_t read_to = 0;

    for (int i = 0; i < LIVENESS_S; i++) {
        run_ms(run, 1000);
        /* Some networks carry so little at a time that all of it takes hours. */
        if (load_read_to(run->load) > read_to) {
            read_to = load_read_to(run->load);
            i = 0;
        }
        if (load_is_whole(run->load, why, sizeof(why)) &&
            load_is_drained(run->load, why, sizeof(why)))
            return;
    }
    world_stuck(run->world, "%s: %s", what, why);
}

/* ---- the logs of the replicas ---- */

static void on_log_file(void *to, const char *name, bool is_directory)
{
    struct buf *names = to;
    size_t len = strlen(name);

    if (!is_directory && len > 4 && strcmp(name + len - 4, ".log") == 0)
        buf_add(names, name, len + 1);
}

struct log_start {
    const char *topic;
    int partition;
    int64_t offset;
};

static void on_log_start(void *to, struct slice topic, int32_t partition, int64_t offset)
{
    struct log_start *start = to;

    if (partition == start->partition && slice_is(topic, start->topic)) start->offset = offset;
}

static enum err read_log_start(const struct env *env, const char *dir, struct log_start *start)
{
    char path[500];
    struct buf text;

    snprintf(path, sizeof(path), "%s/%s", dir, CHECKPOINT_LOG_START);
    buf_init(&text);
    enum err err = files_read_all(env, path, LOG_FILE_MAX, &text);
    if (err == ERR_OK) err = checkpoint_read(buf_slice(&text), on_log_start, start);
    buf_fini(&text);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* All segments of a replica, one after another, and where its log starts, if within the first of
 * them: else 0. False: it has no such log. */
static bool read_log(struct world *world, struct sim_host *host, int dirs, const char *topic,
                     int partition, struct buf *out, int64_t *from)
{
    struct log_start start = {.topic = topic, .partition = partition};
    struct sim_process *reader = sim_process_create(host, "reader");
    const struct env *env = &reader->env;
    struct buf names;
    char folder[200] = "", path[500];

    buf_init(&names);
    enum err err = ERR_NOT_FOUND;
    for (int i = 0; i < dirs && err == ERR_NOT_FOUND; i++) {
        snprintf(folder, sizeof(folder), "%s/%s-%d", cluster_log_dir(i), topic, partition);
        err = files_list(env, folder, on_log_file, &names);
        if (err == ERR_OK) err = read_log_start(env, cluster_log_dir(i), &start);
    }
    for (size_t at = 0; err == ERR_OK && at < names.len;) {
        const char *name = (const char *)names.ptr + at;
        at += strlen(name) + 1;
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        err = files_read_all(env, path, LOG_FILE_MAX, out);
    }
    *from = start.offset;
    buf_fini(&names);
    process_kill(reader);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        world_wrong(world, "%s of %s: %s", folder, host->name, err_name(err));
    return err == ERR_OK;
}

/* Batches with records from `start` on. */
static struct slice tail_of(struct world *world, struct slice log, int64_t start)
{
    struct batch batch;

    for (struct slice rest = log; rest.len > 0; log = rest) {
        if (batch_take(&rest, &batch) != ERR_OK)
            world_wrong(world, "a log at its end has bytes that are no batch");
        if (batch_last_offset(&batch) >= start) return log;
    }
    return log;
}

static int64_t first_offset(struct world *world, struct slice log)
{
    struct batch batch;

    if (log.len == 0) return INT64_MAX;
    if (batch_take(&log, &batch) != ERR_OK)
        world_wrong(world, "a log at its end begins with bytes that are no batch");
    return batch.base_offset;
}

/* Replicas drop old segments each in its own time: what is left of all, from `start` on, where the
 * last of the logs starts, is the same. Below it a follower may keep what another leader has cut
 * off: epochs are not known so far back. */
static void cut_to_common(struct world *world, struct slice *logs, int count, int64_t start)
{
    for (int i = 0; i < count; i++) {
        int64_t first = first_offset(world, logs[i]);
        if (first > start) start = first;
    }
    for (int i = 0; i < count; i++)
        logs[i] = tail_of(world, logs[i], start);
}

/* The last offset of each key; every record is as it was sent. */
static void last_of_keys(struct run *run, const struct load_topic *topic, int partition,
                         struct slice log, int64_t *last)
{
    struct oracle_partition *oracle = &topic->oracle->partitions[partition];
    struct oracle_pass pass = {0};
    struct record record;
    struct batch batch;
    struct buf plain;

    for (int k = 0; k < ORACLE_KEYS; k++)
        last[k] = -1;
    buf_init(&plain);
    while (log.len > 0) {
        if (batch_take(&log, &batch) != ERR_OK)
            world_wrong(run->world, "a log of %s-%d has bytes that are no batch", topic->name,
                        partition);
        struct slice records = batch.records;
        buf_clear(&plain);
        if (batch_codec(&batch) != BATCH_CODEC_NONE) {
            if (compress_read(batch_codec(&batch), BATCH_MAGIC, batch.records, LOG_FILE_MAX,
                              &plain) != ERR_OK)
                world_wrong(run->world, "a batch of %s-%d cannot be opened", topic->name,
                            partition);
            records = buf_slice(&plain);
        }
        struct record_reader reader = record_reader_of(records, batch.record_count);
        while (record_next(&reader, &record)) {
            int64_t offset = record_offset(&batch, &record);
            oracle_log_read(oracle, offset, record.value, batch.leader_epoch);
            oracle_log_met(oracle, &pass, offset, record.key);
            last[oracle_log_key_of(oracle->slots[offset])] = offset;
        }
    }
    buf_fini(&plain);
}

/* Replicas are compacted each in its own time: of each key they end with the same record. */
static void compare_compacted(struct run *run, const struct load_topic *topic, int partition,
                              const struct load_partition *at, const struct buf *logs)
{
    int64_t first[ORACLE_KEYS], other[ORACLE_KEYS];

    for (int i = 0; i < at->replica_count; i++) {
        last_of_keys(run, topic, partition, buf_slice(&logs[i]), i == 0 ? first : other);
        for (int k = 0; i > 0 && k < ORACLE_KEYS; k++)
            if (first[k] != other[k])
                world_wrong(
                    run->world,
                    "%s-%d: the last record of key %d is at %lld on broker %d, at %lld on %d",
                    topic->name, partition, k, (long long)first[k], at->replicas[0],
                    (long long)other[k], at->replicas[i]);
    }
}

static void compare_bytes(struct run *run, const struct load_topic *topic, int partition,
                          const struct load_partition *at, const struct buf *logs, int64_t start)
{
    struct slice tails[MEMBERS_MAX];

    for (int i = 0; i < at->replica_count; i++)
        tails[i] = buf_slice(&logs[i]);
    if (topic->is_short_lived || topic->is_trimmed)
        cut_to_common(run->world, tails, at->replica_count, start);
    for (int i = 1; i < at->replica_count; i++) {
        if (slice_equal(tails[0], tails[i])) continue;
        size_t same = 0;
        while (same < tails[0].len && same < tails[i].len &&
               tails[0].ptr[same] == tails[i].ptr[same])
            same++;
        world_wrong(run->world,
                    "the logs of %s-%d differ: broker %d has %zu bytes, broker %d %zu, the "
                    "first %zu are the same",
                    topic->name, partition, at->replicas[0], tails[0].len, at->replicas[i],
                    tails[i].len, same);
    }
}

static void compare_partition(struct run *run, const struct load_topic *topic, int partition,
                              const struct load_partition *at)
{
    struct buf logs[MEMBERS_MAX];
    bool is_short = topic->is_short_lived || topic->is_trimmed;
    int64_t start = 0;

    for (int i = 0; i < at->replica_count; i++) {
        struct sim_host *host = cluster_broker(run->cluster, at->replicas[i])->host;
        int64_t from;
        buf_init(&logs[i]);
        if (!read_log(run->world, host, run->cluster->log_dirs, topic->name, partition, &logs[i],
                      &from))
            world_wrong(run->world, "%s has no log of %s-%d", host->name, topic->name, partition);
        if (from > start) start = from;
        if (!is_short && !topic->is_compacted && logs[i].len > 0 &&
            first_offset(run->world, buf_slice(&logs[i])) != 0)
            world_wrong(run->world, "the log of %s-%d on %s does not begin at 0", topic->name,
                        partition, host->name);
    }
    /* Where records were lost, the replicas of those that stayed may have gone for the sake of the
     * lost ones, here and not there. */
    if (topic->is_compacted && topic->oracle->partitions[partition].is_lifted)
        world_trace(run->world, "%s-%d: not compared", topic->name, partition);
    else if (topic->is_compacted)
        compare_compacted(run, topic, partition, at, logs);
    else
        compare_bytes(run, topic, partition, at, logs, start);
    for (int i = 0; i < at->replica_count; i++)
        buf_fini(&logs[i]);
}

static void compare_logs(struct run *run)
{
    struct load_partition at;
    int count;
    struct load_topic *topics = load_topics(run->load, &count);

    for (int t = 0; t < count; t++)
        for (int p = 0;
             topics[t].state == TOPIC_LIVE && load_partition(run->load, topics[t].name, p, &at);
             p++)
            compare_partition(run, &topics[t], p, &at);
}

static bool are_all_down(const struct cluster *cluster)
{
    for (int i = 0; i < cluster->count; i++)
        if (cluster->members[i].process != NULL) return false;
    return true;
}

static void end_in_order(struct run *run)
{
    struct cluster *cluster = run->cluster;

    for (int i = 0; i < cluster->count; i++) {
        cluster->members[i].is_wanted = false;
        member_stop(&cluster->members[i]);
    }
    for (int i = 0; i < STOP_S; i++) {
        run_ms(run, 1000);
        if (are_all_down(cluster)) return;
    }
    for (int i = 0; i < cluster->count; i++)
        if (cluster->members[i].process != NULL)
            world_stuck(run->world, "%s does not end", cluster->members[i].host->name);
}

static struct oracle_controller *judge_znodes(struct run *run)
{
    const char *level = cluster_setting(run->cluster, "inter.broker.protocol.version");
    struct oracle_controller_options options = {
        .leaders_write = strcmp(level, "2.7") < 0,
        .no_topic_ids = strcmp(level, "2.8") < 0,
        .no_recovery_state = strcmp(level, "3.2") < 0,
    };

    return oracle_controller_create(run->world, sim_zookeeper_ensemble(run->world->zookeeper),
                                    &options);
}

static void audit(struct run *run, bool is_at_rest)
{
    sim_disks_audit(run->world);
    sim_zookeeper_audit(run->world->zookeeper);
    oracle_controller_audit(run->znodes, is_at_rest);
}

/* ---- a run ---- */

static void apply_options(struct world *world, const struct run_options *options)
{
    char name[100];

    for (int i = 0; i < options->without_count; i++)
        world_without(world, options->without[i]);
    for (int i = 0; i < options->set_count; i++) {
        const char *equals = strchr(options->set[i], '=');
        if (equals == NULL) continue;
        snprintf(name, sizeof(name), "%.*s", (int)(equals - options->set[i]), options->set[i]);
        world_set_option(world, name, strtoll(equals + 1, NULL, 10));
    }
}

static void fill_result(struct run *run, struct run_result *result)
{
    struct oracle_log_counts counts;
    const struct load_counts *did = load_counts(run->load);

    oracle_log_count(run->oracle, &counts);
    result->hash = run->world->trace.hash;
    result->events = run->world->events_run;
    result->virtual_s = (double)(run->world->now.ns - WORLD_BEGINS.ns) / 1e9;
    result->is_slow = run->world->is_slow;
    result->brokers = run->cluster->brokers;
    result->controllers = run->cluster->controllers;
    result->sent = counts.sent;
    result->acked = counts.acked;
    result->read = counts.read;
    result->repeated = counts.repeated;
    result->generations = did->generations;
    result->commits = did->commits;
    result->offsets_told = did->offsets_told;
    result->lifted = counts.lifted;
    result->produce = did->produce;
    result->produce_failed = did->produce_failed;
    result->fetch = did->fetch;
    result->fetch_failed = did->fetch_failed;
    result->operations = did->operations;
    result->refused = did->refused;
    result->out_of_range = did->out_of_range;
    for (int i = 0; i < run->cluster->count; i++)
        result->starts += (uint64_t)run->cluster->members[i].starts;
    map_each (entry, &run->world->faults) {
        const struct sim_fault *fault = entry->value;
        if (result->fault_count == RUN_FAULTS_MAX) break;
        struct run_fault *to = &result->faults[result->fault_count++];
        snprintf(to->name, sizeof(to->name), "%s", fault->name);
        to->is_on = fault->per_million > 0;
        to->asked = fault->asked;
        to->struck = fault->struck;
    }
}

static void begin(struct run *run, const struct run_options *options)
{
    int64_t is_slow = options->seed % SLOW_ONE_OF == SLOW_ONE_OF - 1;
    struct world *world = run->world = world_create(options->seed);

    crashing = world;
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    world->trace.prints = options->prints;
    atomic_store(&log_level, options->logs ? LOG_DEBUG : LOG_INFO);
    log_to(on_log, world);
    log_clock(log_now, world);
    json_object_seed(1);
    json_set_alloc_funcs(malloc, free);
    apply_options(world, options);
    if (options->scenario != NULL)
        scenario_prepare(options->scenario, world);
    else
        world->is_slow = world_option(world, "slow", is_slow, is_slow) != 0;
    sim_net_create(world);
    sim_disks_create(world);
    sim_zookeeper_create(world);
    int brokers = (int)world_option(world, "brokers", 2, 5);
    int controllers = (int)world_option(world, "controllers", 1, 3);
    run->cluster = cluster_create(world, brokers, controllers);
    run->oracle = oracle_log_create(world);
    run->znodes = judge_znodes(run);
    run->load = load_create(world, run->cluster, run->oracle, run->znodes);
    run->nemesis = nemesis_create(world, run->cluster, run->load);
}

static void end(struct run *run)
{
    crashing = NULL;
    nemesis_destroy(&run->nemesis);
    load_destroy(&run->load);
    cluster_destroy(&run->cluster);
    oracle_controller_destroy(&run->znodes);
    oracle_log_destroy(&run->oracle);
    sim_zookeeper_destroy(&run->world->zookeeper);
    sim_disks_destroy(&run->world->disks);
    sim_net_destroy(&run->world->net);
    world_destroy(&run->world);
    log_to(NULL, NULL);
    log_clock(NULL, NULL);
}

static void set_phase(struct run *run, enum sim_phase phase, const char *name)
{
    run->world->phase = phase;
    world_trace(run->world, "phase %s", name);
}

/* Of slow worlds few are of days: each of those takes as long as dozens of dense ones. */
static int64_t draw_safety_s(struct world *world)
{
    static const int64_t slow[] = {7200, 14400, 14400, 28800, 57600, 115200};

    return world->is_slow ? world_option_of(world, "safety-s", slow, sizeof(slow) / sizeof(slow[0]))
                          : world_option(world, "safety-s", 120, 3600);
}

void run_seed(const struct run_options *options, struct run_result *result)
{
    struct run run = {0};
    clock_t began = clock();

    *result = (struct run_result){.seed = options->seed};
    begin(&run, options);
    int64_t safety_s = draw_safety_s(run.world);
    for (int i = 0; i < run.cluster->count; i++)
        member_start(&run.cluster->members[i]);
    load_start(run.load);
    run_ms(&run, WARM_UP_MS);

    set_phase(&run, PHASE_SAFETY, "safety");
    if (options->scenario != NULL) {
        scenario_play(options->scenario, run.world, run.cluster, run.load);
    } else {
        nemesis_start(run.nemesis);
        run_ms(&run, safety_s * 1000);
    }

    audit(&run, false);
    set_phase(&run, PHASE_LIVENESS, "liveness");
    nemesis_heal(run.nemesis);
    load_calm(run.load);
    await_drained(&run, "not live");
    /* A request that was given up may still be on the way, or in the hands of a shard that sleeps:
     * what it appends is to be everywhere before anybody ends. */
    run_ms(&run, ON_THE_WAY_S * 1000);
    set_phase(&run, PHASE_LIVENESS, "reading again");
    load_calm(run.load);
    await_drained(&run, "not read again");
    set_phase(&run, PHASE_LIVENESS, "ending");
    end_in_order(&run);
    compare_logs(&run);
    audit(&run, true);
    fill_result(&run, result);
    end(&run);
    result->cpu_s = (double)(clock() - began) / CLOCKS_PER_SEC;
}
