/* broker/replica/moving.c - replicas that move to another log directory of this broker (KIP-113):
 * what move.h decides is done here, in jobs on the disk pool where it is more than a little.
 *
 * The moves of a shard take turns, the first by name first, each piece by piece; together with
 * those of other shards they keep to replica.alter.log.dirs.io.max.bytes.per.second. Kafka's
 * num.replica.alter.log.dirs.threads are shared out by shards, of which each has one at least. The
 * last sync of both logs is one of the partition's own syncs (upkeep.c), so that neither gets ahead
 * of the other. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/log/future.h"
#include "broker/replica/hosted.h"
#include "broker/replica/move.h"
#include <stdlib.h>

#define FILES_OPEN_MAX  8
#define SOON_MS         5 /* others' jobs have the log, or a checkpoint is being written */
#define THROTTLED_MS    100
#define AGAIN_MS        1000 /* no room, no descriptors */
#define COMPLAIN_MS     10000
#define PIECE_BYTES_MIN 4096
/* Of thousands that move the first are looked at, and few are at their end: their syncs stand
 * before those of others. */
#define ACTS_PER_TURN_MAX 16
#define SYNCS_MAX         4

struct moving {
    struct list_node node; /* moves.all, by topic and partition */
    struct hosted *at;
    struct log *future; /* attached, with files of its own */
    struct log_files *files;
    struct move machine;
    struct disk_job job; /* of one of the next: */
    struct future_step *step;
    struct log_sync *sync, *future_sync;
    enum err directory_err;
    bool is_running;
    bool is_failed;  /* until it is started anew */
    bool is_dropped; /* a directory has gone */
    struct instant not_before, began;
    struct replica_move *ended_by;
    int64_t bytes;
};

static void turn(struct partitions *partitions);

static void wake(struct partitions *partitions, int64_t ms)
{
    struct instant at = instant_add_ms(shard_now(partitions->shard), ms);
    struct timer *timer = &partitions->moves.timer;

    if (heap_has(&timer->node) && timer->node.key <= at.ns) return;
    timer_arm(partitions->shard, timer, at);
}

static void on_timer(struct timer *timer)
{
    turn(list_entry(timer, struct partitions, moves.timer));
}

/* ---- the end of one ---- */

/* The move is over; the future log stays where it is, detached. */
static void forget(struct moving *moving)
{
    struct hosted *hosted = moving->at;

    ensure(!moving->is_running);
    if (moving->is_failed) gauge_add(&hosted->of->counts.moves_failed, -1);
    gauge_add(&hosted->of->counts.moves, -1);
    if (moving->files != NULL) {
        log_detach(moving->future);
        log_files_destroy(&moving->files);
    }
    list_remove(&moving->node);
    hosted->moving = NULL;
    free(moving);
    deletion_look(hosted);
    if (!list_is_empty(&hosted->of->moves.all) && !hosted->of->is_closing) wake(hosted->of, 0);
}

/* The current log gets its name again, if no job has it. */
static bool step_back(struct moving *moving)
{
    struct hosted *hosted = moving->at;

    if (!moving->machine.is_aside) return true;
    if (hosted->jobs > 0) return false;
    enum err err = future_set_back(hosted->log);
    /* In a directory that is offline the next start does it. */
    if (err != ERR_OFFLINE) (void)hosted_log_failed(hosted, err);
    moving->machine.is_aside = moving->machine.is_synced = false;
    return true;
}

static void called_off(struct moving *moving)
{
    struct replica_move *call = moving->ended_by;
    const struct hosted *hosted = moving->at;

    log_info("replica", "move_ended", "topic=%.*s partition=%d to=%s copied=%lld",
             SLICE_ARGS(hosted_topic(hosted)), hosted->partition,
             log_directory(moving->future)->path, (long long)moving->bytes);
    if (call != NULL) call->left = moving->future;
    forget(moving);
    if (call != NULL) call->done(call);
}

void moving_leave(struct hosted *hosted)
{
    ensure(hosted->jobs == 0);
    if (hosted->moving == NULL) return;
    (void)step_back(hosted->moving);
    called_off(hosted->moving);
}

/* ---- what went wrong ---- */

static void fail(struct moving *moving, bool of_current, enum err err)
{
    struct hosted *hosted = moving->at;
    struct partitions *partitions = hosted->of;
    const struct partitions_options *options = &partitions->options;
    struct instant now = shard_now(partitions->shard);
    bool was_cut = !moving->machine.is_compared || moving->machine.cut_to != INT64_MAX;
    bool passes = err == ERR_FULL || err == ERR_TOO_MANY || err == ERR_RANGE ||
                  (err == ERR_CORRUPT && was_cut);

    if (err == ERR_IO) {
        if (of_current)
            (void)hosted_log_failed(hosted, err);
        else if (options->ops->dir_failed != NULL)
            options->ops->dir_failed(options->owner, log_directory(moving->future));
    }
    if (passes) {
        bool is_slow = err == ERR_FULL || err == ERR_TOO_MANY;
        moving->not_before = instant_add_ms(now, is_slow ? AGAIN_MS : SOON_MS);
        if (is_slow && (partitions->moves.complained.ns == 0 ||
                        instant_ms_between(partitions->moves.complained, now) >= COMPLAIN_MS)) {
            partitions->moves.complained = now;
            log_warn("replica", "move_waits", "topic=%.*s partition=%d to=%s err=%s",
                     SLICE_ARGS(hosted_topic(hosted)), hosted->partition,
                     log_directory(moving->future)->path, err_name(err));
        }
    } else {
        moving->is_failed = true;
        gauge_add(&partitions->counts.moves_failed, 1);
        log_error("replica", "move_failed", "topic=%.*s partition=%d to=%s of_current=%d err=%s",
                  SLICE_ARGS(hosted_topic(hosted)), hosted->partition,
                  log_directory(moving->future)->path, of_current, err_name(err));
    }
    (void)step_back(moving);
    wake(partitions, SOON_MS);
}

/* ---- a step on the pool ---- */

static void submit(struct moving *moving, enum disk_class class, void (*run)(struct disk_job *),
                   void (*done)(struct disk_job *))
{
    struct shard *shard = moving->at->of->shard;

    moving->is_running = true;
    moving->at->jobs++;
    moving->job = (struct disk_job){.home = shard, .run = run, .done = done};
    disk_submit(shard->env, shard->disk, class, shard, &moving->job);
}

/* A job of it has ended. */
static void ran(struct moving *moving)
{
    moving->is_running = false;
    moving->at->jobs--;
}

static void copied(struct moving *moving, int64_t bytes)
{
    struct partitions *partitions = moving->at->of;

    moving->bytes += bytes;
    counter_add(&partitions->counts.moved_bytes, (uint64_t)bytes);
    throttle_record(&partitions->throttle, THROTTLE_MOVES, (uint64_t)bytes);
}

static void step_run(struct disk_job *job)
{
    future_run(list_entry(job, struct moving, job)->step);
}

static void step_done(struct disk_job *job)
{
    struct moving *moving = list_entry(job, struct moving, job);
    struct hosted *hosted = moving->at;
    struct partitions *partitions = hosted->of;

    ran(moving);
    partitions->moves.running--;
    struct future_result result = future_done(&moving->step);
    copied(moving, result.bytes);
    if (hosted->is_leaving) {
        if (hosted->jobs == 0) hosted_left(hosted);
        return;
    }
    deletion_look(hosted);
    if (result.err != ERR_OK) fail(moving, result.of_current, result.err);
    turn(partitions);
}

/* What is copied at once: not more than a second's share, or a low rate would be exceeded by as
 * much as its windows forget. */
static int64_t piece(const struct replica_settings *settings)
{
    int64_t most = settings->fetch_max_bytes;

    if (settings->move_rate >= most) return most;
    return settings->move_rate < PIECE_BYTES_MIN ? PIECE_BYTES_MIN : settings->move_rate;
}

static void begin_step(struct moving *moving, enum future_do what, int64_t offset)
{
    struct hosted *hosted = moving->at;
    const struct partitions_options *options = &hosted->of->options;

    enum err err = future_plan(hosted->log, moving->future, what, offset, piece(&options->settings),
                               &moving->step);
    if (err != ERR_OK && what != FUTURE_COPY) move_cut(&moving->machine, offset);
    if (err == ERR_BUSY) {
        if (options->ops->save != NULL) options->ops->save(options->owner);
        wake(hosted->of, SOON_MS);
        return;
    }
    if (err != ERR_OK) {
        fail(moving, true, err);
        return;
    }
    hosted->of->moves.running++;
    submit(moving, DISK_LONG, step_run, step_done);
}

/* ---- the last bytes ---- */

/* What is missing is little, and was written a moment ago: it is in the page cache. */
static enum err copy_rest(struct moving *moving)
{
    struct log *current = moving->at->log, *future = moving->future;
    enum err err = ERR_OK;

    while (err == ERR_OK && log_end_offset(future) < log_end_offset(current)) {
        int64_t before = log_end_offset(future);
        struct future_step *step = NULL;
        err = future_plan(current, future, FUTURE_REST, 0, moving->machine.gap_max, &step);
        if (err != ERR_OK) break;
        future_run(step);
        struct future_result result = future_done(&step);
        copied(moving, result.bytes);
        err = result.err;
        if (err == ERR_OK && log_end_offset(future) == before) err = ERR_RANGE;
    }
    return err;
}

static void sync_run(struct disk_job *job)
{
    struct moving *moving = list_entry(job, struct moving, job);

    moving->directory_err =
        files_sync_directory(job->home->env, log_directory(moving->at->log)->path);
    if (moving->sync != NULL) log_sync_run(moving->sync);
    if (moving->future_sync != NULL) log_sync_run(moving->future_sync);
}

/* What an act may come to: more is copied; another log is the partition's afterwards. */
enum may { MAY_COPY = 1, MAY_TAKE = 2 };
static bool act(struct moving *moving, int may);

static void sync_done(struct disk_job *job)
{
    struct moving *moving = list_entry(job, struct moving, job);
    struct hosted *hosted = moving->at;
    struct partitions *partitions = hosted->of;
    enum err err = ERR_OK, future_err = ERR_OK;
    bool again = hosted->sync_again;

    ran(moving);
    partitions->moves.syncing--;
    hosted->is_syncing = hosted->sync_again = false;
    if (moving->sync != NULL) err = log_sync_done(hosted->log, &moving->sync);
    if (err == ERR_OK && moving->directory_err != ERR_OK) {
        atomic_store(&log_directory(hosted->log)->is_offline, true);
        err = ERR_IO;
    }
    if (moving->future_sync != NULL)
        future_err = log_sync_done(moving->future, &moving->future_sync);
    if (hosted->is_leaving) {
        (void)hosted_log_failed(hosted, err);
    } else {
        if (err != ERR_OK || future_err != ERR_OK) {
            fail(moving, err != ERR_OK, err != ERR_OK ? err : future_err);
        } else if (!moving->is_dropped && moving->ended_by == NULL) {
            moving->machine.is_synced = true;
            (void)act(moving, MAY_COPY | MAY_TAKE);
        }
    }
    upkeep_synced(hosted, err, again);
    if (hosted->is_leaving) {
        if (hosted->jobs == 0) hosted_left(hosted);
        return;
    }
    turn(partitions);
}

/* Both, as the partition's sync. False: it was not begun. */
static bool begin_sync(struct moving *moving)
{
    struct hosted *hosted = moving->at;
    int64_t now_ms = env_wall_ms(hosted->of->shard->env);

    enum err err = copy_rest(moving);
    if (err != ERR_OK) {
        fail(moving, false, err);
        return false;
    }
    future_take_over(hosted->log, moving->future);
    err = log_sync_plan(moving->future, now_ms, &moving->future_sync);
    if (err != ERR_OK) {
        fail(moving, false, err);
        return false;
    }
    err = log_sync_plan(hosted->log, now_ms, &moving->sync);
    /* Then that of the future log proves less, and the next one is tried. */
    if (err != ERR_OK) (void)hosted_log_failed(hosted, err);
    hosted->is_syncing = true;
    hosted->of->moves.syncing++;
    submit(moving, DISK_SOON, sync_run, sync_done);
    return true;
}

static void take_place(struct moving *moving)
{
    struct hosted *hosted = moving->at;
    struct partitions *partitions = hosted->of;
    const struct partitions_options *options = &partitions->options;

    enum err err = copy_rest(moving);
    if (err == ERR_OK) err = future_take_place(hosted->log, moving->future);
    if (err != ERR_OK) {
        fail(moving, false, err);
        return;
    }
    struct log *old = hosted->log, *new = moving->future;
    log_detach(old);
    log_detach(new);
    log_files_destroy(&moving->files);
    log_attach(new, partitions->files);
    hosted->log = new;
    hosted->watermark_at = hosted->stable_at = (struct log_position){.offset = -1};
    hosted->bytes_unwritten = 0;
    counter_add(&partitions->counts.moves_done, 1);
    log_info("replica", "moved",
             "topic=%.*s partition=%d from=%s to=%s end=%lld copied=%lld ms=%lld",
             SLICE_ARGS(hosted_topic(hosted)), hosted->partition, log_directory(old)->path,
             log_directory(new)->path, (long long)log_end_offset(new), (long long)moving->bytes,
             (long long)instant_ms_between(moving->began, shard_now(partitions->shard)));
    forget(moving);

    /* Until the store has heard of it, it would give us the old log. */
    if (options->ops->moved != NULL) {
        hosted->is_telling = true;
        hosted->jobs++;
        options->ops->moved(options->owner, hosted_topic(hosted), hosted->partition);
    }
    serve_touch(hosted, true); /* positions are others */
    upkeep_garbage(hosted);
    upkeep_sync(hosted); /* the name */
}

void partitions_moved_heard(struct partitions *partitions, struct slice topic, int32_t partition)
{
    struct hosted *hosted = partitions_find(partitions, topic, partition);

    ensure(hosted != NULL && hosted->is_telling);
    hosted->is_telling = false;
    hosted->jobs--;
    struct replica_move *call = hosted->move_waits;
    hosted->move_waits = NULL;
    if (hosted->is_leaving && hosted->jobs == 0) hosted_left(hosted);
    if (call != NULL) partitions_move(partitions, call);
}

/* ---- turns ---- */

static struct move_view look(const struct moving *moving)
{
    const struct hosted *hosted = moving->at;
    bool is_compared = moving->machine.is_compared;
    bool may_end = moving->machine.is_aside || hosted->of->moves.syncing < SYNCS_MAX;

    return (struct move_view){
        .start = log_start_offset(hosted->log),
        .end = log_end_offset(hosted->log),
        .synced = log_recovery_point(hosted->log),
        .future_start = log_start_offset(moving->future),
        .future_end = log_end_offset(moving->future),
        .future_synced = log_recovery_point(moving->future),
        .common = is_compared ? INT64_MAX : future_common(hosted->log, moving->future),
        .gap_bytes = future_gap(hosted->log, moving->future, moving->machine.gap_max),
        .is_busy = hosted->jobs > 0 || !may_end,
    };
}

/* MAY_COPY, if there is room for one more copy, and the rate is not used up. */
static int room(struct partitions *partitions)
{
    const struct replica_settings *settings = &partitions->options.settings;
    int shards = partitions->options.shards < 1 ? 1 : partitions->options.shards;
    int at_once = (settings->move_threads + shards - 1) / shards;

    if (partitions->moves.running >= (at_once < 1 ? 1 : at_once)) return 0;
    if (!throttle_is_exceeded(&partitions->throttle, THROTTLE_MOVES, shard_now(partitions->shard)))
        return MAY_COPY;
    wake(partitions, THROTTLED_MS);
    return 0;
}

/* Does what is next. True: a sync of both has begun. */
static bool act(struct moving *moving, int may)
{
    struct hosted *hosted = moving->at;

    /* Once it is set aside the rest is not waited for. */
    if ((may & MAY_COPY) == 0 && !moving->machine.is_aside &&
        log_end_offset(moving->future) < log_end_offset(hosted->log))
        return false;
    struct move_view view = look(moving);
    struct move_next next = move_next(&moving->machine, &view);
    enum err err;

    switch (next.what) {
    case MOVE_WAIT:
        wake(hosted->of, SOON_MS);
        return false;
    case MOVE_RESTART:
        begin_step(moving, FUTURE_RESTART, next.offset);
        return false;
    case MOVE_CUT:
        begin_step(moving, FUTURE_CUT, next.offset);
        return false;
    case MOVE_COPY:
        if ((may & MAY_COPY) != 0) begin_step(moving, FUTURE_COPY, next.offset);
        return false;
    case MOVE_SET_ASIDE:
        err = future_set_aside(hosted->log, moving->future);
        if (err != ERR_OK) {
            moving->machine.is_aside = false;
            fail(moving, true, err);
            return false;
        }
        return begin_sync(moving);
    case MOVE_SYNC:
        return begin_sync(moving);
    case MOVE_TAKE_PLACE:
        if ((may & MAY_TAKE) == 0) return begin_sync(moving); /* then, at its end */
        take_place(moving);
        return false;
    }
    return false;
}

static bool is_over(const struct moving *moving)
{
    return moving->is_dropped || moving->ended_by != NULL;
}

/* Whether it may do something now. */
static bool may_act(struct partitions *partitions, struct moving *moving)
{
    if (moving->is_running || moving->at->is_leaving) return false;
    if (is_over(moving)) {
        if (step_back(moving))
            called_off(moving);
        else
            wake(partitions, SOON_MS);
        return false;
    }
    bool is_early = !instant_reached(shard_now(partitions->shard), moving->not_before);
    if (!is_early && !moving->is_failed) return true;
    if (!step_back(moving) || is_early) wake(partitions, SOON_MS);
    return false;
}

static void turn(struct partitions *partitions)
{
    int acts = 0;

    list_each (node, &partitions->moves.all) {
        struct moving *moving = list_entry(node, struct moving, node);
        if (partitions->is_closing || !may_act(partitions, moving)) continue;
        if (acts++ < ACTS_PER_TURN_MAX) (void)act(moving, room(partitions) | MAY_TAKE);
    }
}

bool moving_sync(struct hosted *hosted)
{
    struct moving *moving = hosted->moving;

    if (moving->is_running || moving->is_failed || is_over(moving) || hosted->is_leaving ||
        hosted->jobs > 0 || !instant_reached(shard_now(hosted->of->shard), moving->not_before))
        return false;
    return act(moving, room(hosted->of));
}

/* ---- begin ---- */

static bool is_before(const struct hosted *a, const struct hosted *b)
{
    int order = slice_compare(hosted_topic(a), hosted_topic(b));

    return order != 0 ? order < 0 : a->partition < b->partition;
}

void moving_start(struct hosted *hosted, struct log *future)
{
    struct partitions *partitions = hosted->of;
    struct list_node *at = &partitions->moves.all.head;

    if (hosted->moving != NULL && hosted->moving->is_failed) {
        hosted->moving->is_failed = false;
        gauge_add(&partitions->counts.moves_failed, -1);
        wake(partitions, 0);
    }
    if (hosted->moving != NULL || hosted->log == NULL ||
        log_directory(future) == log_directory(hosted->log) ||
        atomic_load(&log_directory(future)->is_offline) ||
        hosted->machine.role == PARTITION_OFFLINE)
        return;
    struct moving *moving = ensure_zalloc(sizeof(*moving));
    moving->at = hosted;
    moving->future = future;
    moving->files = log_files_create(partitions->shard->env, FILES_OPEN_MAX);
    moving->began = shard_now(partitions->shard);
    move_init(&moving->machine);
    log_attach(future, moving->files);
    list_each (node, &partitions->moves.all) {
        at = node;
        if (is_before(hosted, list_entry(node, struct moving, node)->at)) break;
        at = &partitions->moves.all.head;
    }
    list_insert_before(at, &moving->node);
    hosted->moving = moving;
    gauge_add(&partitions->counts.moves, 1);
    cleaning_leave(hosted);
    log_info("replica", "move_begun", "topic=%.*s partition=%d from=%s to=%s at=%lld end=%lld",
             SLICE_ARGS(hosted_topic(hosted)), hosted->partition, log_directory(hosted->log)->path,
             log_directory(future)->path, (long long)log_end_offset(future),
             (long long)log_end_offset(hosted->log));
    wake(partitions, 0);
}

void partitions_move(struct partitions *partitions, struct replica_move *move)
{
    struct hosted *hosted = partitions_find(partitions, move->topic, move->partition);

    move->left = NULL;
    move->err = ERR_OK;
    if (hosted == NULL || hosted->is_leaving || partitions->is_closing) {
        move->err = ERR_NOT_FOUND;
    } else if (hosted->machine.role == PARTITION_OFFLINE || hosted->log == NULL) {
        move->err = ERR_OFFLINE;
    } else if (hosted->is_telling) {
        ensure(hosted->move_waits == NULL);
        hosted->move_waits = move;
        return;
    } else if (move->future != NULL) {
        moving_start(hosted, move->future);
        if (hosted->moving == NULL || hosted->moving->future != move->future)
            move->err = ERR_OFFLINE;
    } else if (hosted->moving != NULL) {
        ensure(hosted->moving->ended_by == NULL);
        hosted->moving->ended_by = move;
        wake(partitions, 0);
        return;
    }
    move->done(move);
}

void moving_cut(struct hosted *hosted, int64_t offset)
{
    if (hosted->moving != NULL) move_cut(&hosted->moving->machine, offset);
}

void moving_dir_failed(struct hosted *hosted, const struct log_dir *dir)
{
    struct moving *moving = hosted->moving;

    if (moving == NULL ||
        (log_directory(moving->future) != dir && log_directory(hosted->log) != dir))
        return;
    moving->is_dropped = true;
    wake(hosted->of, 0);
}

bool moving_wants_quiet(const struct hosted *hosted)
{
    return hosted->moving != NULL && hosted->moving->machine.is_aside;
}

int64_t moving_log_start(const struct hosted *hosted)
{
    return hosted->moving == NULL ? INT64_MAX : log_start_offset(hosted->moving->future);
}

void moving_open(struct partitions *partitions)
{
    list_init(&partitions->moves.all);
    partitions->moves.timer.fire = on_timer;
}
