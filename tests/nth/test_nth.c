/* The 1st, 2nd, 3rd … file operation of everything that broker/log does on a disk fails, in each
 * way, or is where the process dies or the power goes; until the run comes through without having
 * reached it. After each the store must start again, and hold what it promised (model.h). */
#include "base/log.h"
#include "broker/log/store_parts.h"
#include "tests/nth/model.h"
#include "tests/unit/store_world.h"
#include <stdarg.h>

#define MODELS 2

static struct log_files *files;
static struct model models[MODELS];
static struct model *const a = &models[0], *const b = &models[1];
static struct buf bytes;
static const char *paths[2] = {"/data/d0", "/data/d1"};

/* ---- what goes wrong ---- */

struct kind {
    const char *name;
    unsigned kinds;
    enum err err; /* ERR_OK: the process dies */
    bool goes_on;
    bool fills; /* the disk is full from then on */
    bool loses_power;
    enum sim_fate fate;
    int seeds;
};

#define MAKES (SIM_CREATE | SIM_WRITE)

static const struct kind kinds[] = {
    {"full", MAKES | SIM_NAMES, ERR_FULL, .seeds = 1},
    {"full from then on", MAKES | SIM_TRUNCATE, ERR_FULL, .fills = true, .seeds = 1},
    {"no descriptors", SIM_OPEN | SIM_CREATE, ERR_TOO_MANY, .seeds = 1},
    {"i/o error", SIM_CHANGES, ERR_IO, .seeds = 1},
    {"i/o errors from then on", SIM_ALL, ERR_IO, .goes_on = true, .seeds = 1},
    {"i/o error of a read", SIM_OPEN | SIM_READ | SIM_LOOK, ERR_IO, .seeds = 1},
    {"kill", SIM_CHANGES, .seeds = 1},
    {"power, nothing kept", SIM_CHANGES, .loses_power = true, .fate = SIM_FATE_DROPPED, .seeds = 1},
    {"power, all kept", SIM_CHANGES, .loses_power = true, .fate = SIM_FATE_KEPT, .seeds = 1},
    {"power, in order", SIM_CHANGES, .loses_power = true, .fate = SIM_FATE_ORDERED, .seeds = 2},
    {"power, mixed", SIM_CHANGES, .loses_power = true, .fate = SIM_FATE_MIXED, .seeds = 4},
};
#define KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

/* ---- where it went wrong, for people ---- */

static struct {
    const char *scenario;
    const struct kind *kind;
    int at, seed;
    const char *when;
    bool power_was_lost; /* or pages of it, by a sync that failed */
} run;

static long runs;

static _Noreturn void wrong(const char *format, ...)
{
    char text[800];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ck_abort_msg("%s: %s at operation %d (%s), seed %d, %s: %s", run.scenario, run.kind->name,
                 run.at, w->nth.what, run.seed, run.when, text);
    abort();
}

#define expect(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) wrong(__VA_ARGS__);                                                      \
    } while (0)

/* ---- a store ---- */

static bool is_dead(void)
{
    return world_is_dead(w);
}

static void attach_all(void)
{
    char name[NAMES_MAX + 1];

    for (int i = 0; i < MODELS; i++) {
        struct model *m = &models[i];
        if (m->topic == NULL) continue;
        ensure(names_live(name, slice_text(m->topic), m->partition) == ERR_OK);
        m->log = store_find(store, slice_text(m->topic), m->partition);
        if (m->log != NULL) log_attach(m->log, files);
    }
}

static void detach_all(void)
{
    for (int i = 0; i < MODELS; i++) {
        if (models[i].log != NULL) log_detach(models[i].log);
        models[i].log = NULL;
    }
}

/* Everything that a start does. */
static enum err start_store(struct buf *problem)
{
    one_store_options(paths, 2);
    files = log_files_create(&w->env, 8);
    enum err err = one_store_start(problem);
    if (err == ERR_COUNT && run.kind->fills) { /* there is no reserve here: it waits */
        sim_files_plan(w->files, NULL);
        for (int i = 0; i < 2; i++)
            sim_device_fill(sim_disk_device(w->machine, paths[i]), 0);
        store_load_again(store);
        world_run_jobs(w);
        if (told.loaded == 1) err = told.loaded_err;
        expect(err == ERR_OK, "the start did not go on when there was room");
    }
    expect(err != ERR_COUNT, "the load did not end");
    if (err == ERR_OK) attach_all();
    return err;
}

static void close_store(void)
{
    detach_all();
    store_close(store);
    world_run_jobs(w);
    expect(told.closed == 1, "the close did not end");
}

/* The process ends, however. */
static void stop_store(void)
{
    detach_all();
    if (store != NULL) world_run_jobs(w);
    store_destroy(&store);
    log_files_destroy(&files);
}

static void restart(bool loses_power, enum sim_fate fate)
{
    char what[sizeof(w->nth.what)];

    memcpy(what, w->nth.what, sizeof(what));
    int64_t now_ms = w->wall_ms + 1000;
    w = loses_power ? world_restart_after_power_loss(w, fate) : world_restart(w);
    w->wall_ms = now_ms;
    memcpy(w->nth.what, what, sizeof(what));
}

/* ---- what is done ---- */

static bool is_online(const struct model *m)
{
    return store != NULL && m->log != NULL && !log_is_offline(m->log) && !is_dead();
}

/* After an operation that failed in a process that lives: what passes by takes nothing offline. */
static void judge(const struct model *m, enum err err)
{
    if (err == ERR_OK || is_dead()) return;
    if (run.kind->err == ERR_FULL || run.kind->err == ERR_TOO_MANY)
        expect(!log_is_offline(m->log), "%s took the directory offline", err_name(err));
}

static enum err created_err;
static struct log *created_log;

static void on_created(void *to, enum err err, struct log *log)
{
    (void)to;
    created_err = err;
    created_log = log;
}

static bool create(struct model *m, const char *topic, int partition, uint8_t id)
{
    if (store == NULL || is_dead() || store_dirs_offline(store) == 2) return false;
    model_begin(m, topic, partition, id);
    int offline = store_dirs_offline(store);
    created_err = ERR_COUNT;
    store_create(store, slice_text(topic), partition, m->id, &config, true, on_created, NULL);
    world_run_jobs(w);
    expect(created_err != ERR_COUNT, "the creation did not end");
    if (created_err != ERR_OK) {
        if (!is_dead() && (run.kind->err == ERR_FULL || run.kind->err == ERR_TOO_MANY))
            expect(store_dirs_offline(store) == offline, "%s at a creation", err_name(created_err));
        return false;
    }
    m->log = created_log;
    log_attach(m->log, files);
    m->is_created = true;
    return true;
}

static void append(struct model *m, int n, int32_t epoch)
{
    struct log_appended appended;
    struct batch batch;

    if (!is_online(m)) return;
    model_append(m, n, epoch, &bytes);
    ensure(batch_view(buf_slice(&bytes), &batch) == ERR_OK);
    const struct checked checked = {.bytes = bytes.ptr,
                                    .len = bytes.len,
                                    .offset_count = n,
                                    .record_count = n,
                                    .max_timestamp = batch.max_timestamp,
                                    .max_timestamp_offset = n - 1,
                                    .append_time_ms = -1};
    enum err err = log_append_leader(m->log, &checked, epoch, w->wall_ms, &appended);
    judge(m, err);
    if (err == ERR_OK)
        model_appended(m);
    else if (!is_dead() && !log_is_offline(m->log))
        model_not_appended(m);
}

static void sync_log(struct model *m, bool sealed)
{
    struct log_sync *sync = NULL;

    if (!is_online(m)) return;
    enum err err = sealed ? log_sync_plan_sealed(m->log, w->wall_ms, &sync)
                          : log_sync_plan(m->log, w->wall_ms, &sync);
    if (err == ERR_OK && sync != NULL) {
        log_sync_run(sync);
        err = log_sync_done(m->log, &sync);
        if (err == ERR_OK) model_synced(m, log_recovery_point(m->log));
        if (err == ERR_IO) run.power_was_lost = true;
    }
    judge(m, err);
}

static void checkpoint(void)
{
    if (store == NULL || is_dead()) return;
    store_checkpoint(store, STORE_RECOVERY_POINTS | STORE_LOG_STARTS | STORE_HIGH_WATERMARKS);
    world_run_jobs(w);
}

static void after_cut(struct model *m, enum err err)
{
    judge(m, err);
    if (err == ERR_OK) {
        model_truncated(m);
    } else if (is_online(m)) {
        /* Some of it has been cut: the log says how much. */
        model_truncate(m, log_end_offset(m->log));
        m->count--;
        m->histories[m->count - 1] = m->histories[m->count];
        model_truncated(m);
    }
}

static void truncate_to(struct model *m, int64_t to)
{
    for (int i = 0; i < 3 && is_online(m) && !log_may_cut(m->log, to); i++)
        checkpoint();
    if (!is_online(m) || !log_may_cut(m->log, to)) return;
    struct history before = *model_last(m);
    model_truncate(m, to);
    enum err err = log_truncate_to(m->log, to);
    if (err != ERR_OK && is_online(m)) *model_last(m) = before;
    after_cut(m, err);
}

static void truncate_fully(struct model *m, int64_t to)
{
    for (int i = 0; i < 3 && is_online(m) && !log_may_cut(m->log, 0); i++)
        checkpoint();
    if (!is_online(m) || !log_may_cut(m->log, 0)) return;
    struct history before = *model_last(m);
    model_restart_at(m, to);
    enum err err = log_truncate_fully(m->log, to, -1);
    if (err != ERR_OK && is_online(m)) *model_last(m) = before;
    after_cut(m, err);
}

static void retain(struct model *m)
{
    int removed;

    if (!is_online(m)) return;
    log_set_high_watermark(m->log, log_end_offset(m->log));
    struct log_config small = config;
    small.retention_bytes = 1000;
    log_set_config(m->log, &small);
    m->start_max = log_end_offset(m->log);
    enum err err = log_retain(m->log, w->wall_ms, &removed);
    if (is_online(m)) m->start_max = log_start_offset(m->log);
    judge(m, err);
}

static void unlink_deleted(struct model *m)
{
    if (!is_online(m)) return;
    struct log_unlink *unlink = log_unlink_plan(m->log, w->wall_ms);
    if (unlink != NULL) log_unlink_run(unlink);
    log_unlink_done(&unlink);
}

static void advance_start(struct model *m, int64_t offset)
{
    if (!is_online(m)) return;
    log_set_high_watermark(m->log, log_end_offset(m->log));
    if (offset > m->start_max) m->start_max = offset;
    judge(m, log_advance_start(m->log, offset));
}

static enum err deleted_err;

static void on_deleted(void *to, enum err err)
{
    (void)to;
    deleted_err = err;
}

static void delete_log(struct model *m)
{
    if (!is_online(m)) return;
    log_detach(m->log);
    m->is_deleting = true;
    deleted_err = ERR_COUNT;
    store_delete(store, &m->log, on_deleted, NULL);
    world_run_jobs(w);
    expect(deleted_err != ERR_COUNT, "the deletion did not end");
    m->is_deleted = deleted_err == ERR_OK;
}

static void tick(void)
{
    if (store == NULL || is_dead()) return;
    w->wall_ms += 100000;
    store_tick(store);
    world_run_jobs(w);
}

/* ---- what is checked ---- */

static void check_found(struct model *m, struct log *log)
{
    bool power = run.power_was_lost;

    if (m->topic == NULL || (!m->is_created && log == NULL)) return;
    bool must_be = m->is_created && !m->is_deleting && (!power || m->is_durable);
    expect(log != NULL || !must_be, "%s-%d is gone", m->topic, m->partition);
    expect(log == NULL || !m->is_deleted, "%s-%d is back", m->topic, m->partition);
    if (log == NULL) return;
    if (m->is_created)
        expect(uuid_equal(log_topic_id(log), m->id), "%s-%d has another id", m->topic,
               m->partition);
    expect(model_holds(&w->env, m, log, power), "%s-%d: %s", m->topic, m->partition, model_problem);
    if (!power) expect(log_promised(log) == 0, "%s: a loss where there was none", m->topic);
    expect(log_promised(log) == 0 || log_promised(log) > log_end_offset(log),
           "%s: promised %lld, end %lld", m->topic, (long long)log_promised(log),
           (long long)log_end_offset(log));
}

/* The process lives on after a fault that passed: everything is as it was acknowledged. */
static void check_alive(void)
{
    run.when = "in the process";
    for (int i = 0; i < MODELS; i++) {
        struct model *m = &models[i];
        if (!is_online(m)) continue;
        expect(model_holds(w->real, m, m->log, run.power_was_lost), "%s-%d: %s", m->topic,
               m->partition, model_problem);
        if (run.power_was_lost) continue;
        expect(log_end_offset(m->log) ==
                   (model_last(m)->count == 0 ? model_last(m)->base : m->acked_end),
               "%s: end %lld, acknowledged %lld", m->topic, (long long)log_end_offset(m->log),
               (long long)m->acked_end);
    }
}

/* What was found is the truth from now on. */
static void settle_on(struct model *m)
{
    static struct found_batches found;

    if (m->log == NULL) {
        m->topic = NULL;
        return;
    }
    ensure(model_read(w->real, m->log, &found));
    m->histories[0] = (struct history){.base = log_start_offset(m->log), .count = found.count};
    if (found.count == 0) m->histories[0].base = log_end_offset(m->log);
    if (found.count > 0 && found.at[0].first < m->histories[0].base)
        m->histories[0].base = found.at[0].first;
    ensure(found.count < MODEL_BATCHES - 8);
    memcpy(m->histories[0].at, found.at, (size_t)found.count * sizeof(found.at[0]));
    m->count = 1;
    m->acked = m->synced = 0;
    m->acked_end = log_end_offset(m->log);
    m->synced_end = 0;
    m->is_created = true;
    m->is_deleting = false;
    m->id = log_topic_id(m->log);
}

static void start_healthy(const char *when)
{
    struct buf problem;

    run.when = when;
    buf_init(&problem);
    enum err err = start_store(&problem);
    expect(err == ERR_OK, "the start is refused: %s %.*s%s", err_name(err),
           SLICE_ARGS(buf_slice(&problem)), told.loaded_text);
    expect(store_dirs_offline(store) == 0, "a directory is offline");
    buf_fini(&problem);
    for (int i = 0; i < MODELS; i++)
        check_found(&models[i], models[i].log);
}

/* It starts, holds what it must, works, stops well, and starts again as clean. */
static void check_start(void)
{
    start_healthy("at the next start");
    for (int i = 0; i < MODELS; i++) {
        struct model *m = &models[i];
        settle_on(m);
        append(m, 2, 50);
        append(m, 1, 51);
        sync_log(m, i == 0);
    }
    check_alive();
    checkpoint();
    close_store();
    stop_store();
    run.power_was_lost = true;
    for (int i = 0; i < MODELS; i++) {
        models[i].synced_end = models[i].acked_end;
        models[i].is_durable = true;
    }
    restart(true, SIM_FATE_DROPPED); /* what a clean stop has said is on the device */
    start_healthy("after a clean stop and the loss of power");
    expect(store->dirs[0].was_clean && store->dirs[1].was_clean, "the stop was not clean");
    for (int i = 0; i < MODELS; i++)
        if (models[i].topic != NULL)
            expect(log_promised(models[i].log) == 0, "%s: a loss where there was none",
                   models[i].topic);
    stop_store();
}

/* ---- the loop ---- */

struct scenario {
    const char *name;
    void (*prepare)(void); /* nothing goes wrong */
    void (*act)(void);
};

static void plan(const struct kind *kind, int at)
{
    w->nth = (struct sim_nth){.kinds = kind->kinds,
                              .at = at,
                              .dies = kind->err == ERR_OK,
                              .err = kind->err,
                              .goes_on = kind->goes_on,
                              .fills = kind->fills};
    sim_files_plan(w->files, &w->nth);
}

/* Gives whether the operation was reached. */
static bool run_one(const struct scenario *scenario, const struct kind *kind, int at, int seed)
{
    memset(models, 0, sizeof(models));
    run.scenario = scenario->name;
    run.kind = kind;
    run.at = at;
    run.seed = seed;
    run.power_was_lost = false;
    run.when = "before";
    runs++;
    w = world_on(NULL, (uint64_t)(at * 1000 + seed));
    store = NULL;
    scenario->prepare();
    run.when = "meanwhile";
    plan(kind, at);
    scenario->act();
    bool was_reached = w->nth.was_reached;
    /* Pages may have been lost. */
    run.power_was_lost |=
        kind->err == ERR_IO && (kind->goes_on || strcmp(w->nth.what, "sync") == 0);
    if (!kind->goes_on) sim_files_plan(w->files, NULL);
    if (!is_dead()) {
        if (!kind->goes_on || kind->fills) check_alive();
        if (at % 2 == 0 && store != NULL && told.loaded_err == ERR_OK && told.loaded == 1 &&
            told.closed == 0) {
            /* A sync at the end may have lost pages. */
            run.power_was_lost |= kind->err == ERR_IO;
            close_store();
        }
    }
    stop_store();
    sim_device_fill(sim_disk_device(w->machine, "/data"), 0);
    run.power_was_lost |= kind->loses_power;
    restart(kind->loses_power, kind->fate);
    check_start();
    sim_files_plan(w->files, NULL);
    world_destroy(w);
    return was_reached;
}

static void discard_line(void *to, enum log_level level, struct slice line)
{
    (void)to, (void)level, (void)line;
}

/* For a longer look: OTTLA_NTH_SEEDS=20 tests/nth/test_nth */
static int seeds_factor(void)
{
    const char *text = getenv("OTTLA_NTH_SEEDS");
    int factor = text == NULL ? 1 : atoi(text);

    return factor < 1 ? 1 : factor;
}

static void run_scenario(const struct scenario *scenario)
{
    int most = 0;

    if (getenv("NTH_SHOW") == NULL) log_to(discard_line, NULL);
    if (getenv("NTH_ONLY") != NULL && strcmp(getenv("NTH_ONLY"), scenario->name) != 0) return;
    buf_init(&bytes);
    log_config_default(&config);
    config.segment_bytes_max = 700;
    config.index_interval_bytes = 150;
    config.file_delete_delay_ms = 0;
    config.retention_ms = -1;
    config.producer_expiration_ms = INT64_MAX;
    runs = 0;
    for (int k = 0; k < KINDS; k++) {
        for (int seed = 0; seed < kinds[k].seeds * seeds_factor(); seed++) {
            int at = 0;
            while (run_one(scenario, &kinds[k], at, seed)) {
                at++;
                ck_assert_int_lt(at, 1000);
            }
            most = at > most ? at : most;
        }
    }
    buf_fini(&bytes);
    ck_assert_msg(most > 3, "%s: only %d operations", scenario->name, most);
    printf("%s: %ld runs, %d operations\n", scenario->name, runs, most);
    fflush(stdout);
}

/* ---- the scenarios ---- */

static void nothing(void) {}

static void start(void)
{
    struct buf problem;

    buf_init(&problem);
    enum err err = start_store(&problem);
    expect(err == ERR_OK, "%s", err_name(err));
    buf_fini(&problem);
}

/* Two logs with segments, of which not all is synced. */
static void begin(void)
{
    start();
    create(a, "a", 0, 1);
    create(b, "b-x", 3, 2);
    for (int i = 0; i < 6; i++)
        append(a, 1 + i % 3, i / 3);
    append(b, 2, 0);
    sync_log(a, false);
    checkpoint();
    for (int i = 0; i < 5; i++)
        append(a, 2, 3);
    append(b, 1, 1);
}

static void try_start(void)
{
    struct buf problem;

    buf_init(&problem);
    (void)!start_store(&problem);
    buf_fini(&problem);
}

static void first_start(void)
{
    try_start();
    if (told.loaded != 1 || told.loaded_err != ERR_OK) return;
    create(a, "a", 0, 1);
    append(a, 2, 0);
    sync_log(a, false);
}

static void appends(void)
{
    for (int i = 0; i < 7; i++)
        append(a, 1 + i % 2, 4 + i / 5);
    sync_log(a, true);
    append(b, 2, 2);
}

static void syncs(void)
{
    for (int i = 0; i < 4; i++) {
        append(a, 2, 4 + i / 2);
        sync_log(a, false);
    }
    sync_log(b, false);
}

static void truncations(void)
{
    int64_t end = log_end_offset(a->log);

    truncate_to(a, end - 2);
    append(a, 1, 5);
    sync_log(a, false);
    truncate_to(a, 6);
    append(a, 3, 6);
    append(a, 3, 6);
    truncate_to(b, 2);
    append(b, 2, 7);
    sync_log(a, false);
}

static void restarts(void)
{
    truncate_fully(a, 100);
    append(a, 2, 5);
    sync_log(a, false);
    truncate_fully(b, 0);
    append(b, 1, 5);
}

static void checkpoints(void)
{
    if (a->log != NULL) log_set_high_watermark(a->log, log_end_offset(a->log));
    checkpoint();
    sync_log(a, false);
    advance_start(a, 2);
    checkpoint();
    append(a, 1, 5);
    sync_log(b, false);
    checkpoint();
}

static void retention(void)
{
    retain(a);
    append(a, 2, 5);
    unlink_deleted(a);
    checkpoint();
    retain(a);
    unlink_deleted(a);
}

static void deletion(void)
{
    delete_log(a);
    append(b, 1, 4);
    tick();
    sync_log(b, false);
}

static void recreation(void)
{
    delete_log(a);
    if (!a->is_deleted) return;
    create(a, "a", 0, 9);
    append(a, 1, 0);
    append(a, 2, 0);
    tick();
    sync_log(a, false);
    checkpoint();
}

static void close_it(void)
{
    close_store();
}

static void end_process(void)
{
    stop_store();
    restart(false, SIM_FATE_KEPT);
}

static void stopped(void)
{
    begin();
    close_store();
    end_process();
}

static void killed(void)
{
    begin();
    end_process();
}

static void powerless(void)
{
    begin();
    stop_store();
    run.power_was_lost = true;
    restart(true, SIM_FATE_MIXED);
}

#define SCENARIO(claim, ...)                                                                       \
    START_TEST(claim)                                                                              \
    {                                                                                              \
        run_scenario(&(const struct scenario){__VA_ARGS__});                                       \
    }                                                                                              \
    END_TEST

SCENARIO(the_first_start, "first start", nothing, first_start)
SCENARIO(appends_and_rolls, "append", begin, appends)
SCENARIO(syncs_of_each_append, "sync", begin, syncs)
SCENARIO(truncation, "truncate", begin, truncations)
SCENARIO(a_log_that_restarts_elsewhere, "truncate fully", begin, restarts)
SCENARIO(checkpoint_files, "checkpoint", begin, checkpoints)
SCENARIO(retention_and_unlinking, "retain", begin, retention)
SCENARIO(deleting_a_log, "delete", begin, deletion)
SCENARIO(a_topic_made_again, "recreate", begin, recreation)
SCENARIO(a_clean_stop, "close", begin, close_it)
SCENARIO(the_start_after_a_clean_stop, "start", stopped, try_start)
SCENARIO(the_start_after_a_kill, "start after a kill", killed, try_start)
SCENARIO(the_start_after_power_loss, "start after power loss", powerless, try_start)

UNIT(the_first_start, appends_and_rolls, syncs_of_each_append, truncation,
     a_log_that_restarts_elsewhere, checkpoint_files, retention_and_unlinking, deleting_a_log,
     a_topic_made_again, a_clean_stop, the_start_after_a_clean_stop, the_start_after_a_kill,
     the_start_after_power_loss)
