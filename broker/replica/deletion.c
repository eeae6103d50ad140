/* broker/replica/deletion.c - DeleteRecords: the leader's log start moves by order, and who asked
 * waits until the live replicas have moved theirs.
 *
 * Followers hear of the leader's log start in the answers to their fetches and tell their own with
 * the next one. The files go with the next retention. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/replica/hosted.h"

/* The lowest log start of the replicas that are alive, and of the copy in another directory; −1 while one of them has not told its own.
 * Who is away is not waited for: it learns of the log start when it comes back. */
static int64_t low_watermark(const struct hosted *hosted)
{
    const struct partitions_options *options = &hosted->of->options;
    const struct isr *isr = &hosted->machine.isr;
    int64_t low = hosted->machine.log_start;

    for (int slot = 1; slot < isr->count; slot++) {
        const struct isr_slot *at = &isr->slots[slot];
        if (at->log_start < low && options->ops->is_alive(options->owner, at->broker))
            low = at->log_start;
    }
    if (moving_log_start(hosted) < low) low = moving_log_start(hosted);
    return low;
}

static void arm(struct partitions *partitions)
{
    timer_arm(partitions->shard, &partitions->deletions_timer,
              purgatory_deadline(&partitions->deletions));
}

static void note_low(struct wait *wait, int64_t low)
{
    struct commit_wait *commit = list_entry(wait, struct commit_wait, wait);

    list_entry(commit, struct records_deletion, wait)->low_watermark = low;
}

void deletion_look(struct hosted *hosted)
{
    struct partitions *partitions = hosted->of;
    struct wait *wait;

    if (list_is_empty(&hosted->deletions.waits) || hosted->machine.role != PARTITION_LEADER) return;
    int64_t low = low_watermark(hosted);
    while ((wait = purgatory_pop(&partitions->deletions, &hosted->deletions, low)) != NULL) {
        note_low(wait, low);
        serve_decide(partitions, wait, ERR_OK);
    }
    arm(partitions);
}

void deletion_refuse(struct hosted *hosted, enum err err)
{
    struct partitions *partitions = hosted->of;
    struct wait *wait;

    if (list_is_empty(&hosted->deletions.waits)) return;
    while ((wait = purgatory_pop(&partitions->deletions, &hosted->deletions, INT64_MAX)) != NULL) {
        note_low(wait, -1);
        serve_decide(partitions, wait, err);
    }
    arm(partitions);
}

void deletion_timed_out(struct timer *timer)
{
    struct partitions *partitions = list_entry(timer, struct partitions, deletions_timer);
    struct wait *wait;

    while ((wait = purgatory_expired(&partitions->deletions, shard_now(partitions->shard))) != NULL)
        serve_decide(partitions, wait, ERR_TIMED_OUT);
    arm(partitions);
}

static void decided(struct commit_wait *wait, enum err err)
{
    struct records_deletion *deletion = list_entry(wait, struct records_deletion, wait);

    deletion->err = err;
    deletion->done(deletion);
}

/* What is below the watermark only: what is above may yet be another's, or none. */
static enum err advance(struct hosted *hosted, int64_t offset)
{
    if (offset < 0 || offset > partition_high_watermark(&hosted->machine)) return ERR_RANGE;
    if (offset <= hosted->machine.log_start) return ERR_OK;
    enum err err = hosted_log_failed(hosted, log_advance_start(hosted->log, offset));
    if (err != ERR_OK) return err;
    log_info("replica", "records_deleted", "topic=%.*s partition=%d from=%lld start=%lld",
             SLICE_ARGS(hosted_topic(hosted)), hosted->partition,
             (long long)hosted->machine.log_start, (long long)offset);
    struct partition_event event = {
        .type = PARTITION_LOG_START,
        .started.log_start = offset,
    };
    hosted_feed(hosted, &event);
    upkeep_save(hosted);
    return ERR_OK;
}

bool partitions_delete_records(struct partitions *partitions, struct records_deletion *deletion)
{
    struct hosted *hosted = partitions_find(partitions, deletion->topic, deletion->partition);

    deletion->low_watermark = -1;
    deletion->partitions = partitions;
    deletion->err = ERR_NOT_FOUND;
    if (hosted == NULL || hosted->is_leaving) return true;
    deletion->err = hosted_check_writer(hosted);
    if (deletion->err != ERR_OK) return true;
    if (!log_config(hosted->log)->is_deleted) {
        deletion->err = ERR_DENIED;
        return true;
    }

    int64_t offset =
        deletion->offset == -1 ? partition_high_watermark(&hosted->machine) : deletion->offset;
    deletion->err = advance(hosted, offset);
    if (deletion->err != ERR_OK) return true;
    deletion->low_watermark = low_watermark(hosted);
    if (deletion->low_watermark >= offset) return true;

    deletion->wait = (struct commit_wait){.at = hosted, .done = decided};
    purgatory_add(&partitions->deletions, &hosted->deletions, &deletion->wait.wait, offset,
                  deletion->deadline);
    arm(partitions);
    return false;
}
