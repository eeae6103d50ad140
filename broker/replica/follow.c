/* broker/replica/follow.c - what a follower does to its log, for the fetchers. Each call names the
 * leader epoch under which it was decided: one that LeaderAndIsr has overtaken changes nothing. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/replica/hosted.h"

static enum err find_follower(struct partitions *partitions, struct slice topic, int32_t partition,
                              int32_t leader_epoch, struct hosted **out)
{
    struct hosted *hosted = partitions_find(partitions, topic, partition);

    if (hosted == NULL || hosted->is_leaving) return ERR_NOT_FOUND;
    if (hosted->machine.role == PARTITION_OFFLINE) return ERR_OFFLINE;
    if (hosted->machine.role != PARTITION_FOLLOWER || hosted->machine.leader_epoch != leader_epoch)
        return ERR_STALE;
    *out = hosted;
    return ERR_OK;
}

static void view(const struct hosted *hosted, struct follower_view *out)
{
    *out = (struct follower_view){
        .start = hosted->machine.log_start,
        .end = hosted->machine.end_offset,
        .high_watermark = partition_high_watermark(&hosted->machine),
        .latest = epochs_latest(log_epochs(hosted->log)),
        .topic_id = log_topic_id(hosted->log),
        .is_throttled = hosted->is_follower_throttled,
        .is_held = hosted_is_held(hosted),
    };
}

bool partitions_is_fetching_enough(struct partitions *partitions)
{
    return throttle_is_exceeded(&partitions->throttle, THROTTLE_FOLLOWER,
                                shard_now(partitions->shard));
}

enum err partitions_follower(struct partitions *partitions, struct slice topic, int32_t partition,
                             int32_t leader_epoch, struct follower_view *out)
{
    struct hosted *hosted = NULL;
    enum err err = find_follower(partitions, topic, partition, leader_epoch, &hosted);

    if (err == ERR_OK) view(hosted, out);
    return err;
}

/* A crash between cut and checkpoint must not look as if what was cut had been lost: the checkpoint
 * goes first. */
static bool may_cut(struct hosted *hosted, int64_t offset)
{
    const struct partitions_options *options = &hosted->of->options;

    if (options->ops->save == NULL || log_may_cut(hosted->log, offset)) return true;
    options->ops->save(options->owner);
    return false;
}

/* The leader's log begins in the middle of a batch (DeleteRecords), and ours ends there, for it is
 * empty or was cut to that offset: the batch's own base is where we go on. ERR_RANGE: it does not.
 */
static enum err go_on_in_batch(struct hosted *hosted, struct slice records)
{
    int64_t start = log_start_offset(hosted->log), end = log_end_offset(hosted->log);
    struct check_run run;

    enum err err = check_replicated(records, &run);
    if (err != ERR_OK) return err;
    if (run.batches == 0 || run.first_offset >= end || end > run.last_offset) return ERR_RANGE;
    if (start < end && !may_cut(hosted, run.first_offset)) return ERR_BUSY;
    err = run.first_offset > start ? log_truncate_to(hosted->log, run.first_offset)
                                   : log_truncate_fully(hosted->log, run.first_offset, -1);
    if (err != ERR_OK) return err;
    moving_cut(hosted, run.first_offset);
    struct partition_event event = {
        .type = PARTITION_TRUNCATED,
        .truncated = {.end_offset = log_end_offset(hosted->log),
                      .log_start = log_start_offset(hosted->log)},
    };
    hosted->watermark_at = (struct log_position){.offset = -1};
    hosted_feed(hosted, &event);
    return ERR_OK;
}

static enum err append(struct hosted *hosted, struct slice records)
{
    int64_t now_ms = env_wall_ms(hosted->of->shard->env);
    struct log_appended appended;

    if (records.len == 0) return ERR_OK;
    enum err err = log_append_follower(hosted->log, records, now_ms, &appended);
    if (err == ERR_RANGE) {
        err = go_on_in_batch(hosted, records);
        if (err == ERR_BUSY) return err;
        if (err == ERR_OK) err = log_append_follower(hosted->log, records, now_ms, &appended);
    }
    if (err == ERR_TRUNCATED) return ERR_OK; /* not one whole batch: asked again */
    if (err != ERR_OK) return hosted_log_failed(hosted, err);
    upkeep_appended(hosted, &appended);
    counter_add(&hosted->of->counts.replication_bytes_in, appended.len);
    if (hosted->is_follower_throttled)
        throttle_record(&hosted->of->throttle, THROTTLE_FOLLOWER, records.len);
    return ERR_OK;
}

enum err partitions_replicate(struct partitions *partitions, struct slice topic, int32_t partition,
                              int32_t leader_epoch, struct slice records, int64_t leader_watermark,
                              int64_t leader_log_start, struct follower_view *out)
{
    struct hosted *hosted = NULL;
    enum err err = find_follower(partitions, topic, partition, leader_epoch, &hosted);

    if (err == ERR_OK) err = append(hosted, records);
    if (err != ERR_OK) return err;
    struct partition_event event = {
        .type = PARTITION_REPLICATED,
        .replicated =
            {
                .end_offset = log_end_offset(hosted->log),
                .leader_watermark = leader_watermark,
                .leader_log_start = leader_log_start,
            },
    };
    hosted_feed(hosted, &event);
    view(hosted, out);
    return ERR_OK;
}

/* What a leader lacks that we had been told was committed: an unclean election's price. */
static void note_loss(struct hosted *hosted, int64_t watermark)
{
    int64_t end = log_end_offset(hosted->log);

    if (end >= watermark) return;
    counter_add(&hosted->of->counts.guard_records_lost, (uint64_t)(watermark - end));
    log_warn("replica", "committed_records_cut",
             "topic=%.*s partition=%d leader=%d epoch=%d lost_from=%lld lost_to=%lld lost=%lld",
             SLICE_ARGS(hosted_topic(hosted)), hosted->partition, hosted->machine.leader,
             hosted->machine.leader_epoch, (long long)end, (long long)watermark,
             (long long)(watermark - end));
}

static void cut(struct hosted *hosted, struct follower_view *out)
{
    struct partition_event event = {
        .type = PARTITION_TRUNCATED,
        .truncated =
            {
                .end_offset = log_end_offset(hosted->log),
                .log_start = log_start_offset(hosted->log),
            },
    };

    hosted->watermark_at = (struct log_position){.offset = -1};
    moving_cut(hosted, log_end_offset(hosted->log));
    hosted_feed(hosted, &event);
    upkeep_garbage(hosted);
    upkeep_sync(hosted);
    view(hosted, out);
}

enum err partitions_truncate(struct partitions *partitions, struct slice topic, int32_t partition,
                             int32_t leader_epoch, int64_t offset, struct follower_view *out)
{
    struct hosted *hosted = NULL;
    enum err err = find_follower(partitions, topic, partition, leader_epoch, &hosted);

    if (err != ERR_OK) return err;
    if (!may_cut(hosted, offset)) return ERR_BUSY;
    int64_t watermark = partition_high_watermark(&hosted->machine);
    err = hosted_log_failed(hosted, log_truncate_to(hosted->log, offset));
    /* What could not be done to its end may have been begun. */
    if (err == ERR_OK || log_end_offset(hosted->log) != hosted->machine.end_offset) {
        note_loss(hosted, watermark);
        cut(hosted, out);
    }
    return err;
}

enum err partitions_restart_at(struct partitions *partitions, struct slice topic, int32_t partition,
                               int32_t leader_epoch, int64_t offset, struct follower_view *out)
{
    struct hosted *hosted = NULL;
    enum err err = find_follower(partitions, topic, partition, leader_epoch, &hosted);

    if (err == ERR_OK && !may_cut(hosted, offset)) err = ERR_BUSY;
    if (err != ERR_OK) return err;
    int64_t watermark = partition_high_watermark(&hosted->machine);
    err = hosted_log_failed(hosted, log_truncate_fully(hosted->log, offset, -1));
    if (err != ERR_OK) return err;
    note_loss(hosted, watermark);
    cut(hosted, out);
    return ERR_OK;
}

enum err partitions_own_epoch_end(struct partitions *partitions, struct slice topic,
                                  int32_t partition, int32_t epoch, struct epoch_end *out)
{
    struct hosted *hosted = partitions_find(partitions, topic, partition);

    if (hosted == NULL || hosted->is_leaving) return ERR_NOT_FOUND;
    if (hosted->machine.role == PARTITION_OFFLINE) return ERR_OFFLINE;
    *out = epochs_end_of(log_epochs(hosted->log), epoch, hosted->machine.end_offset);
    return ERR_OK;
}
