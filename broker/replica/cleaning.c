/* broker/replica/cleaning.c - compaction of this shard's logs: which one, when, how fast.
 *
 * One log at a time, the dirtiest that is due, step by step on the disk pool
 * (broker/log/compact.h). Kafka's log.cleaner.threads clean side by side whatever logs there are;
 * here every shard cleans its own, so that buffer and throttle are shared out by shards instead of
 * threads, and a log is never touched by two. The pool has log.cleaner.threads for the steps of all
 * shards. A step that has used up its share of
 * log.cleaner.io.max.bytes.per.second is followed by a pause. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/replica/hosted.h"

#define STEP_BYTES (4 << 20)

static void step(struct partitions *partitions);

/* ---- choose ---- */

static struct hosted *dirtiest(struct partitions *partitions, int64_t now_ms)
{
    struct hosted *best = NULL;
    double ratio = -1;

    list_each (node, &partitions->all) {
        struct hosted *hosted = list_entry(node, struct hosted, all);
        if (hosted->log == NULL || hosted->is_leaving || hosted->moving != NULL ||
            hosted->machine.role == PARTITION_OFFLINE || hosted->machine.role == PARTITION_NONE)
            continue;
        struct compact_need need = compact_need(hosted->log, now_ms);
        if (need.is_due && need.dirty_ratio > ratio) {
            best = hosted;
            ratio = need.dirty_ratio;
        }
    }
    return best;
}

static void look_later(struct partitions *partitions, int64_t ms)
{
    timer_arm(partitions->shard, &partitions->cleaning.timer,
              instant_add_ms(shard_now(partitions->shard), ms));
}

static void look(struct partitions *partitions)
{
    const struct replica_settings *settings = &partitions->options.settings;
    struct cleaning *cleaning = &partitions->cleaning;
    int shards = partitions->options.shards < 1 ? 1 : partitions->options.shards;
    int64_t now_ms = env_wall_ms(partitions->shard->env);
    const struct compact_settings compact = {
        .dedupe_bytes_max = (size_t)(settings->cleaner_dedupe_bytes / shards),
        .load_max = settings->cleaner_load_max,
        .step_bytes = STEP_BYTES,
    };

    struct hosted *hosted = settings->cleaner_enable ? dirtiest(partitions, now_ms) : NULL;
    if (hosted != NULL) {
        enum err err = compact_start(hosted->log, &compact, now_ms, &cleaning->compact);
        (void)hosted_log_failed(hosted, err);
    }
    if (cleaning->compact == NULL) {
        look_later(partitions, settings->cleaner_backoff_ms);
        return;
    }
    cleaning->at = hosted;
    cleaning->began = shard_now(partitions->shard);
    step(partitions);
}

/* ---- step ---- */

static void run(struct disk_job *job)
{
    compact_run(list_entry(job, struct cleaning, job)->compact);
}

static void ended(struct partitions *partitions, enum err err, const struct compact_work *work)
{
    struct cleaning *cleaning = &partitions->cleaning;
    struct hosted *hosted = cleaning->at;

    cleaning->at = NULL;
    upkeep_garbage(hosted);
    if (err == ERR_OK) {
        counter_add(&partitions->counts.cleanings, 1);
        log_info(
            "replica", "compacted",
            "topic=%.*s partition=%d end=%lld segments=%d to=%d bytes=%lld to_bytes=%lld ms=%lld",
            SLICE_ARGS(hosted_topic(hosted)), hosted->partition, (long long)work->end_offset,
            work->segments_before, work->segments_after, (long long)work->bytes_before,
            (long long)work->bytes_after,
            (long long)instant_ms_between(cleaning->began, shard_now(partitions->shard)));
    }
    (void)hosted_log_failed(hosted, err);
    /* After a failure others wait, too: what it lacks they lack. */
    look_later(partitions, err == ERR_OK ? 0 : partitions->options.settings.cleaner_backoff_ms);
}

/* How long the bytes of a step take at the rate that is allowed, beyond what they took. */
static int64_t pause_ms(struct partitions *partitions, int64_t bytes)
{
    double rate = partitions->options.settings.cleaner_io_bytes_per_second;
    int shards = partitions->options.shards < 1 ? 1 : partitions->options.shards;
    double ms = (double)bytes * 1000 * shards / rate;
    int64_t took =
        instant_ms_between(partitions->cleaning.step_began, shard_now(partitions->shard));

    if (ms > 3600000) ms = 3600000;
    return (int64_t)ms > took ? (int64_t)ms - took : 0;
}

static void done(struct disk_job *job)
{
    struct cleaning *cleaning = list_entry(job, struct cleaning, job);
    struct partitions *partitions = list_entry(cleaning, struct partitions, cleaning);
    struct hosted *hosted = cleaning->at;
    enum err err = ERR_OK;

    cleaning->is_running = false;
    hosted->jobs--;
    if (hosted->is_leaving) {
        cleaning_leave(hosted);
        if (hosted->jobs == 0) hosted_left(hosted);
        return;
    }
    if (hosted->moving != NULL) { /* it is copied as it is */
        cleaning_leave(hosted);
        return;
    }
    struct compact_work work = compact_work(cleaning->compact);
    int64_t bytes = compact_step_bytes(cleaning->compact);
    if (!compact_done(hosted->log, &cleaning->compact, &err)) {
        ended(partitions, err, &work);
        return;
    }
    int64_t ms = pause_ms(partitions, bytes);
    if (ms > 0)
        look_later(partitions, ms);
    else
        step(partitions);
}

static void step(struct partitions *partitions)
{
    struct cleaning *cleaning = &partitions->cleaning;
    struct shard *shard = partitions->shard;

    cleaning->step_began = shard_now(shard);
    cleaning->is_running = true;
    cleaning->at->jobs++;
    cleaning->job = (struct disk_job){.home = shard, .run = run, .done = done};
    disk_submit(shard->env, shard->disk, DISK_IDLE, shard, &cleaning->job);
}

static void on_timer(struct timer *timer)
{
    struct cleaning *cleaning = list_entry(timer, struct cleaning, timer);
    struct partitions *partitions = list_entry(cleaning, struct partitions, cleaning);

    if (cleaning->compact != NULL)
        step(partitions);
    else if (!partitions->is_closing)
        look(partitions);
}

/* ---- life ---- */

void cleaning_leave(struct hosted *hosted)
{
    struct partitions *partitions = hosted->of;
    struct cleaning *cleaning = &partitions->cleaning;

    if (cleaning->at != hosted || cleaning->is_running) return;
    compact_cancel(hosted->log, &cleaning->compact);
    cleaning->at = NULL;
    look_later(partitions, partitions->options.settings.cleaner_backoff_ms);
}

void cleaning_start(struct partitions *partitions)
{
    partitions->cleaning.timer.fire = on_timer;
    look_later(partitions, partitions->options.settings.cleaner_backoff_ms);
}

void cleaning_configured(struct partitions *partitions)
{
    if (partitions->cleaning.compact == NULL)
        look_later(partitions, partitions->options.settings.cleaner_backoff_ms);
}

void cleaning_stop(struct partitions *partitions)
{
    timer_cancel(partitions->shard, &partitions->cleaning.timer);
}
