/* broker/replica/upkeep.c - what a log needs beside requests: sync, write-behind, retention,
 * unlink.
 *
 * The shard plans and finishes, the disk pool does what blocks. At most one sync and one
 * write-behind of a log are under way. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/replica/hosted.h"
#include <stdlib.h>

#define TURN_MS               1000
#define WRITE_BEHIND_BYTES    (8 << 20) /* of one log, before it is pushed to the device */
#define RETAINED_PER_TURN_MIN 16
#define RETAIN_FIRST_MS       30000
#define SYNCS_PER_JOB_MAX     64
/* Recovery points follow what is written, so that little is beyond them when the process is killed:
 * from some bytes of a log on, after a while, a few logs at a time. */
#define POINT_WAIT_MS  2000
#define POINTS_PER_JOB 8
#define SAVE_PAUSE_MS  250  /* between jobs of saves: new epochs come when there is much to do */
#define SAVE_LATEST_MS 5000 /* … for so long, however often leaders change */

/* Syncs that were wanted in one turn: they wait for the device together. An ISR that shrinks, or a
 * new leader, wants a thousand at once. */
struct sync_job {
    struct disk_job job;
    struct partitions *partitions;
    int count;
    bool is_points;
    struct hosted *hosted[SYNCS_PER_JOB_MAX];
    struct log_sync *syncs[SYNCS_PER_JOB_MAX]; /* NULL: there was nothing to sync */
};

struct write_job {
    struct disk_job job;
    struct hosted *hosted;
    struct log_slice slice;
};

struct unlink_job {
    struct disk_job job;
    struct log_unlink *unlink;
};

static void submit(struct hosted *hosted, enum disk_class class, struct disk_job *job,
                   void (*run)(struct disk_job *), void (*done)(struct disk_job *))
{
    struct shard *shard = hosted->of->shard;

    job->home = shard;
    job->run = run;
    job->done = done;
    hosted->jobs++;
    disk_submit(shard->env, shard->disk, class, shard, job);
}

static void job_ended(struct hosted *hosted)
{
    hosted->jobs--;
    if (hosted->is_leaving && hosted->jobs == 0) hosted_left(hosted);
}

/* ---- sync ---- */

static void tell_synced(struct hosted *hosted, bool failed)
{
    struct partition_event event = {
        .type = PARTITION_SYNCED,
        .synced = {.end_offset = hosted->sync_wanted_to, .failed = failed},
    };
    struct partitions_counts *counts = &hosted->of->counts;
    int64_t ns = instant_ns_between(hosted->sync_asked_at, shard_now(hosted->of->shard));

    counter_add(failed ? &counts->guard_syncs_failed : &counts->guard_syncs, 1);
    histogram_add(&counts->guard_sync_ns, (uint64_t)(ns < 0 ? 0 : ns));
    log_debug("replica", "synced_for_isr", "topic=%.*s partition=%d to=%lld failed=%d us=%lld",
              SLICE_ARGS(hosted_topic(hosted)), hosted->partition,
              (long long)hosted->sync_wanted_to, failed, (long long)(ns / 1000));
    /* A durable floor of what was promised: the next start is to know of it. */
    if (!failed) log_want_saving(hosted->log);
    hosted->sync_wanted_to = -1;
    hosted_feed(hosted, &event);
}

/* Nothing to hold back, or less: who waits for the device goes on. */
void upkeep_flushed(struct hosted *hosted)
{
    const struct partitions_options *options = &hosted->of->options;
    struct partition_event event = {.type = PARTITION_FLUSHED};

    if (log_config(hosted->log)->flush_messages == INT64_MAX &&
        list_is_empty(&hosted->flushes.waits))
        return;
    serve_flushed(hosted);
    hosted_feed(hosted, &event);
    if (hosted->machine.role == PARTITION_FOLLOWER && !hosted_is_held(hosted) &&
        options->ops->flushed != NULL)
        options->ops->flushed(options->owner, hosted_topic(hosted), hosted->partition);
}

void upkeep_sync_held(struct hosted *hosted)
{
    upkeep_sync(hosted);
    if (!hosted->is_syncing) upkeep_save(hosted);
}

static void sync_run(struct disk_job *job)
{
    struct sync_job *it = list_entry(job, struct sync_job, job);
    struct log_sync *syncs[SYNCS_PER_JOB_MAX];
    int count = 0;

    for (int i = 0; i < it->count; i++)
        if (it->syncs[i] != NULL) syncs[count++] = it->syncs[i];
    if (!atomic_load(&it->partitions->leaves_syncs)) {
        log_syncs_run(syncs, count);
        return;
    }
    for (int i = 0; i < count; i++)
        log_sync_leave(syncs[i]);
}

static void synced(struct hosted *hosted, struct log_sync **sync)
{
    enum err err = *sync == NULL ? ERR_OK : log_sync_done(hosted->log, sync);
    bool again = hosted->sync_again;

    err = hosted_log_failed(hosted, err);
    hosted->is_syncing = hosted->sync_again = false;
    hosted->jobs--;
    upkeep_synced(hosted, err, again);
    if (hosted->is_leaving && hosted->jobs == 0) hosted_left(hosted);
}

void upkeep_synced(struct hosted *hosted, enum err err, bool again)
{
    if (hosted->is_saving) hosted->of->saving--;
    hosted->is_saving = false;
    if (hosted->sync_wanted_to >= 0) {
        if (err != ERR_OK || log_recovery_point(hosted->log) >= hosted->sync_wanted_to)
            tell_synced(hosted, err != ERR_OK);
        else
            again = true;
    }
    if (err == ERR_OK && !hosted->is_leaving) {
        if (hosted_is_held(hosted)) again = true; /* one sync for all that came meanwhile */
        upkeep_flushed(hosted);
    }
    if (again && err == ERR_OK && !hosted->is_leaving) upkeep_sync(hosted);
    /* With room again, or descriptors, nobody else may come to ask: a follower waits with its next
     * fetch until what it has is on the device. */
    if ((err == ERR_FULL || err == ERR_TOO_MANY) && !hosted->is_leaving && hosted_is_held(hosted))
        upkeep_save(hosted);
    /* One that cannot begin now (no descriptors) has failed: the ISR's next look asks again. */
    if (hosted->sync_wanted_to >= 0 && !hosted->is_syncing) tell_synced(hosted, true);
}

static void arm_points(struct partitions *partitions);

static void sync_done(struct disk_job *job)
{
    struct sync_job *it = list_entry(job, struct sync_job, job);
    struct partitions *partitions = it->partitions;
    bool is_points = it->is_points;

    if (is_points) partitions->is_pointing = false;
    for (int i = 0; i < it->count; i++)
        synced(it->hosted[i], &it->syncs[i]);
    free(it);
    if (is_points) arm_points(partitions);
}

static void submit_job(struct partitions *partitions, struct sync_job *job, enum disk_class class)
{
    struct shard *shard = partitions->shard;

    job->job = (struct disk_job){.home = shard, .run = sync_run, .done = sync_done};
    disk_submit(shard->env, shard->disk, class, shard, &job->job);
}

static void submit_syncs(struct partitions *partitions)
{
    struct sync_job *job = partitions->syncs;

    partitions->syncs = NULL;
    if (job != NULL) submit_job(partitions, job, DISK_SOON);
}

static void run_syncs(struct post *post)
{
    submit_syncs(list_entry(post, struct partitions, syncs_post));
}

static struct sync_job *new_job(struct partitions *partitions)
{
    struct sync_job *job = ensure_zalloc(sizeof(*job));

    job->partitions = partitions;
    return job;
}

static void add_to(struct sync_job *job, struct hosted *hosted, struct log_sync *sync)
{
    job->hosted[job->count] = hosted;
    job->syncs[job->count++] = sync;
    hosted->is_syncing = true;
    hosted->jobs++;
}

static void add_sync(struct hosted *hosted, struct log_sync *sync)
{
    struct partitions *partitions = hosted->of;

    if (partitions->syncs == NULL) {
        partitions->syncs = new_job(partitions);
        shard_post(partitions->shard, &partitions->syncs_post);
    }
    add_to(partitions->syncs, hosted, sync);
    if (partitions->syncs->count == SYNCS_PER_JOB_MAX) submit_syncs(partitions);
}

void upkeep_sync(struct hosted *hosted)
{
    struct log_sync *sync = NULL;

    if (hosted->is_syncing || hosted->log == NULL) {
        hosted->sync_again = true;
        return;
    }
    if (hosted->moving != NULL && moving_sync(hosted)) return;
    enum err err = log_sync_plan(hosted->log, env_wall_ms(hosted->of->shard->env), &sync);
    (void)hosted_log_failed(hosted, err);
    if (err == ERR_OK && sync != NULL) add_sync(hosted, sync);
}

void upkeep_sync_to_end(struct hosted *hosted)
{
    hosted->sync_wanted_to = log_end_offset(hosted->log);
    hosted->sync_asked_at = shard_now(hosted->of->shard);
    upkeep_sync(hosted);
    /* Nothing to sync: said as late as a sync would say it, never inside a step. */
    if (!hosted->is_syncing) add_sync(hosted, NULL);
}

/* ---- recovery points ---- */

static void arm_points(struct partitions *partitions)
{
    if (partitions->is_closing || partitions->is_pointing || list_is_empty(&partitions->points))
        return;
    timer_arm(partitions->shard, &partitions->points_timer,
              list_entry(list_first(&partitions->points), struct hosted, point)->point_at);
}

/* Where records are held back until they are on the device, syncs are asked for all the time. */
static void want_point(struct hosted *hosted)
{
    struct partitions *partitions = hosted->of;

    if (list_has(&hosted->point) ||
        log_unsynced_bytes(hosted->log) < partitions->options.settings.unsynced_bytes ||
        log_config(hosted->log)->flush_messages != INT64_MAX)
        return;
    hosted->point_at = instant_add_ms(shard_now(partitions->shard), POINT_WAIT_MS);
    list_push(&partitions->points, &hosted->point);
    if (list_first(&partitions->points) == &hosted->point) arm_points(partitions);
}

/* One that is synced or moved at the moment has its turn after its next append. */
static void add_point(struct sync_job *job, struct hosted *hosted)
{
    struct log_sync *sync = NULL;

    if (hosted->log == NULL || hosted->is_syncing || hosted->is_leaving || hosted->moving != NULL)
        return;
    enum err err = log_sync_plan_point(hosted->log, env_wall_ms(hosted->of->shard->env), &sync);
    (void)hosted_log_failed(hosted, err);
    if (err == ERR_OK && sync != NULL) add_to(job, hosted, sync);
}

static void move_points(struct timer *timer)
{
    struct partitions *partitions = list_entry(timer, struct partitions, points_timer);
    struct sync_job *job = new_job(partitions);
    struct instant now = shard_now(partitions->shard);

    while (job->count < POINTS_PER_JOB && !list_is_empty(&partitions->points)) {
        struct hosted *hosted = list_entry(list_first(&partitions->points), struct hosted, point);
        if (!instant_reached(now, hosted->point_at)) break;
        list_remove(&hosted->point);
        add_point(job, hosted);
    }
    if (job->count == 0) {
        free(job);
        arm_points(partitions);
        return;
    }
    job->is_points = partitions->is_pointing = true;
    submit_job(partitions, job, DISK_LONG);
}

/* ---- write behind ---- */

static void write_run(struct disk_job *job)
{
    struct write_job *it = list_entry(job, struct write_job, job);

    log_write_behind_run(it->job.home->env, &it->slice);
}

static void write_done(struct disk_job *job)
{
    struct write_job *it = list_entry(job, struct write_job, job);
    struct hosted *hosted = it->hosted;

    log_slice_release(&it->slice);
    free(it);
    hosted->is_writing_behind = false;
    job_ended(hosted);
}

static void write_behind(struct hosted *hosted)
{
    struct log_slice slice = log_dirty_slice(hosted->log);

    hosted->bytes_unwritten = 0;
    if (slice.file == NULL) return;
    struct write_job *job = ensure_zalloc(sizeof(*job));
    job->hosted = hosted;
    job->slice = slice;
    hosted->is_writing_behind = true;
    submit(hosted, DISK_LONG, &job->job, write_run, write_done);
}

void upkeep_appended(struct hosted *hosted, const struct log_appended *appended)
{
    hosted->bytes_unwritten += (int64_t)appended->len;
    if (appended->wants_sync)
        upkeep_sync_held(hosted);
    else if (appended->has_rolled)
        upkeep_sync(hosted);
    else if (log_wants_save(hosted->log))
        upkeep_save(hosted);
    want_point(hosted);
    if (hosted->bytes_unwritten >= WRITE_BEHIND_BYTES && !hosted->is_writing_behind &&
        !moving_wants_quiet(hosted))
        write_behind(hosted);
}

/* ---- unlink ---- */

static void unlink_run(struct disk_job *job)
{
    log_unlink_run(list_entry(job, struct unlink_job, job)->unlink);
}

static void unlink_done(struct disk_job *job)
{
    struct unlink_job *it = list_entry(job, struct unlink_job, job);

    log_unlink_done(&it->unlink);
    free(it);
}

void upkeep_garbage(struct hosted *hosted)
{
    if (!list_has(&hosted->garbage)) list_push(&hosted->of->garbage, &hosted->garbage);
}

void upkeep_forget(struct hosted *hosted)
{
    list_remove(&hosted->garbage);
    list_remove(&hosted->unsaved);
    list_remove(&hosted->point);
}

void upkeep_save(struct hosted *hosted)
{
    if (!list_has(&hosted->unsaved)) list_push(&hosted->of->unsaved, &hosted->unsaved);
}

/* A job of its own, not counted with the log's: it holds nothing of it. */
static void unlink_due(struct hosted *hosted, int64_t now_ms)
{
    struct shard *shard = hosted->of->shard;
    struct log_unlink *due = log_unlink_plan(hosted->log, now_ms);

    if (due == NULL) return;
    struct unlink_job *job = ensure_zalloc(sizeof(*job));
    job->unlink = due;
    job->job = (struct disk_job){.home = shard, .run = unlink_run, .done = unlink_done};
    disk_submit(shard->env, shard->disk, DISK_LONG, shard, &job->job);
}

/* ---- flush.ms and retention: all logs in turn, twice per log.retention.check.interval.ms or more
 * ---- */

/* As Kafka's task: first 30 s after the log came, then once per interval. Old timestamps do not
 * make records vanish under the eyes of who has just sent them. */
static bool is_retention_due(struct hosted *hosted)
{
    int64_t interval_ms = hosted->of->options.settings.retention_check_ms;
    struct instant now = shard_now(hosted->of->shard);

    if (hosted->retain_at.ns == 0)
        hosted->retain_at =
            instant_add_ms(now, interval_ms < RETAIN_FIRST_MS ? interval_ms : RETAIN_FIRST_MS);
    if (!instant_reached(now, hosted->retain_at)) return false;
    hosted->retain_at = instant_add_ms(now, interval_ms);
    return true;
}

static void retain(struct hosted *hosted, int64_t now_ms)
{
    int removed = 0;

    if (hosted->log == NULL || hosted->machine.role == PARTITION_OFFLINE ||
        hosted->machine.role == PARTITION_NONE)
        return;
    if (log_sync_due(hosted->log, now_ms)) upkeep_sync(hosted);
    if (!is_retention_due(hosted)) return;
    log_expire_producers(hosted->log, now_ms);
    enum err err = hosted_log_failed(hosted, log_retain(hosted->log, now_ms, &removed));
    if (err != ERR_OK || removed == 0) return;
    upkeep_garbage(hosted);
    if (log_start_offset(hosted->log) > hosted->machine.log_start) {
        struct partition_event event = {
            .type = PARTITION_LOG_START,
            .started.log_start = log_start_offset(hosted->log),
        };
        log_info("replica", "retained", "topic=%.*s partition=%d segments_removed=%d start=%lld",
                 SLICE_ARGS(hosted_topic(hosted)), hosted->partition, removed,
                 (long long)event.started.log_start);
        hosted_feed(hosted, &event);
    }
}

static void save(struct hosted *hosted)
{
    if (hosted_is_held(hosted))
        upkeep_sync_held(hosted);
    else
        upkeep_sync(hosted);
}

static void save_later(struct partitions *partitions, int64_t ms)
{
    timer_arm(partitions->shard, &partitions->saves,
              instant_add_ms(shard_now(partitions->shard), ms));
}

/* Clients wait for the new leaders, and nobody for what is to be saved: where it is lost, epochs
 * are learnt from the records. */
void upkeep_put_off_saves(struct partitions *partitions)
{
    int64_t waited = instant_ms_between(partitions->saved_at, shard_now(partitions->shard));

    if (!list_is_empty(&partitions->due) && waited < SAVE_LATEST_MS)
        save_later(partitions, TURN_MS);
}

/* A job's worth, when the one before has ended: 50,000 new epochs do not stand before other syncs.
 */
static void save_some(struct timer *timer)
{
    struct partitions *partitions = list_entry(timer, struct partitions, saves);

    partitions->saved_at = shard_now(partitions->shard);

    while (partitions->saving < SYNCS_PER_JOB_MAX && !list_is_empty(&partitions->due)) {
        struct hosted *hosted = list_entry(list_pop(&partitions->due), struct hosted, unsaved);
        bool was_syncing = hosted->is_syncing;
        save(hosted);
        if (was_syncing || !hosted->is_syncing) continue;
        hosted->is_saving = true;
        partitions->saving++;
    }
    if (!list_is_empty(&partitions->due)) save_later(partitions, SAVE_PAUSE_MS);
}

static void upkeep(struct timer *timer)
{
    struct partitions *partitions = list_entry(timer, struct partitions, upkeep);
    int64_t now_ms = env_wall_ms(partitions->shard->env);
    int64_t turns = partitions->options.settings.retention_check_ms / 2 / TURN_MS;
    size_t count = partitions->by_name.count;
    size_t share = turns <= 1 ? count : count / (size_t)turns + 1;

    if (share < RETAINED_PER_TURN_MIN) share = RETAINED_PER_TURN_MIN;
    for (size_t i = 0; i < share && i < count; i++) {
        struct list_node *node = list_pop(&partitions->all);
        list_push(&partitions->all, node);
        retain(list_entry(node, struct hosted, all), now_ms);
    }
    list_each (node, &partitions->garbage) {
        struct hosted *hosted = list_entry(node, struct hosted, garbage);
        if (hosted->log != NULL) unlink_due(hosted, now_ms);
    }
    if (list_is_empty(&partitions->due) && !list_is_empty(&partitions->unsaved)) {
        partitions->saved_at = shard_now(partitions->shard);
        save_later(partitions, TURN_MS);
    }
    while (!list_is_empty(&partitions->unsaved))
        list_push(&partitions->due, list_pop(&partitions->unsaved));
    timer_arm(partitions->shard, &partitions->upkeep,
              instant_add_ms(shard_now(partitions->shard), TURN_MS));
}

void upkeep_start(struct partitions *partitions)
{
    partitions->upkeep.fire = upkeep;
    partitions->saves.fire = save_some;
    partitions->points_timer.fire = move_points;
    partitions->syncs_post.run = run_syncs;
    timer_arm(partitions->shard, &partitions->upkeep,
              instant_add_ms(shard_now(partitions->shard), TURN_MS));
}

void upkeep_stop(struct partitions *partitions)
{
    atomic_store(&partitions->leaves_syncs, true);
    timer_cancel(partitions->shard, &partitions->upkeep);
    timer_cancel(partitions->shard, &partitions->saves);
    timer_cancel(partitions->shard, &partitions->points_timer);
}
