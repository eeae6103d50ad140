/* broker/replica/followed.c - one followed partition: feeds its machine (fetcher.h), does to the
 * log what comes out, and says in the log what became of it. */
#include "base/log.h"
#include "broker/replica/link.h"
#include "wire/protocol.h"

struct slice followed_topic(const struct followed *it)
{
    return slice_of(it->topic, it->topic_len);
}

struct fetcher_log followed_log(const struct follower_view *view)
{
    return (struct fetcher_log){.start = view->start,
                                .end = view->end,
                                .high_watermark = view->high_watermark,
                                .latest_epoch = view->latest.epoch};
}

bool followed_is_overtaken(enum err err)
{
    return err == ERR_STALE || err == ERR_NOT_FOUND || err == ERR_OFFLINE;
}

void followed_refused(struct followed *it, enum err err)
{
    /* ERR_BUSY: the checkpoints are being lowered. */
    bool may_pass = err == ERR_CORRUPT || err == ERR_FULL || err == ERR_TOO_MANY || err == ERR_BUSY;

    if (followed_is_overtaken(err)) {
        followed_step(it, (struct fetcher_event){.type = FETCHER_FENCED});
        return;
    }
    log_warn("replica", "follower_log_refused", "topic=%.*s partition=%d leader=%d err=%s",
             SLICE_ARGS(followed_topic(it)), it->partition, it->link->broker, err_name(err));
    followed_step(it, (struct fetcher_event){.type = may_pass ? FETCHER_RETRY : FETCHER_BROKEN,
                                             .log = followed_log(&it->view)});
}

static void cut(struct followed *it, const struct fetcher_effects *effects)
{
    struct partitions *partitions = it->link->of->options.partitions;
    int32_t epoch = it->machine.leader_epoch;
    enum err err = ERR_OK;

    /* Where no record goes, an epoch may go in which none was written: else the leader, which does
     * not know it, would tell of the same divergence for ever. */
    struct follower_view before = it->view;
    if (effects->restart)
        err = partitions_restart_at(partitions, followed_topic(it), it->partition, epoch,
                                    effects->offset, &it->view);
    else
        err = partitions_truncate(partitions, followed_topic(it), it->partition, epoch,
                                  effects->offset, &it->view);
    if (err == ERR_BUSY) { /* the checkpoints are being lowered: soon again */
        followed_step(
            it, (struct fetcher_event){.type = FETCHER_RETRY, .log = followed_log(&it->view)});
        return;
    }
    if (effects->restart || effects->offset != before.end)
        log_info("replica", effects->restart ? "log_restarted" : "log_truncated",
                 "topic=%.*s partition=%d leader=%d epoch=%d from=%lld to=%lld watermark=%lld",
                 SLICE_ARGS(followed_topic(it)), it->partition, it->link->broker, epoch,
                 (long long)before.end, (long long)effects->offset,
                 (long long)before.high_watermark);
    if (err == ERR_OK)
        followed_step(it,
                      (struct fetcher_event){.type = FETCHER_CUT, .log = followed_log(&it->view)});
    else
        followed_refused(it, err);
}

/* A cut is done and answered at once; that answer has no effect of its own. */
void followed_step(struct followed *it, struct fetcher_event event)
{
    struct fetcher_effects effects;

    event.now = shard_now(it->link->of->shard);
    fetcher_step(&it->machine, &event, &effects);
    if (effects.failed) {
        gauge_add(&it->link->of->counts.failed, 1);
        /* An epoch that is over is the way of every leader change; a log that refuses is not. */
        if (event.type == FETCHER_FENCED)
            log_info("replica", "follower_fenced", "topic=%.*s partition=%d leader=%d epoch=%d",
                     SLICE_ARGS(followed_topic(it)), it->partition, it->link->broker,
                     it->machine.leader_epoch);
        else
            log_error("replica", "follower_failed", "topic=%.*s partition=%d leader=%d epoch=%d",
                      SLICE_ARGS(followed_topic(it)), it->partition, it->link->broker,
                      it->machine.leader_epoch);
    }
    if (effects.cut || effects.restart) cut(it, &effects);
}

enum err followed_look(struct followed *it)
{
    return partitions_follower(it->link->of->options.partitions, followed_topic(it), it->partition,
                               it->machine.leader_epoch, &it->view);
}

bool followed_is_held_back(const struct followed *it)
{
    return it->view.is_throttled && it->lag != 0 &&
           partitions_is_fetching_enough(it->link->of->options.partitions);
}

void followed_begin(struct followed *it)
{
    enum err err = followed_look(it);

    it->has_begun = true;
    if (err != ERR_OK) {
        followed_refused(it, err);
        return;
    }
    followed_step(it,
                  (struct fetcher_event){.type = FETCHER_BEGINS, .log = followed_log(&it->view)});
}

bool followed_step_for_code(struct followed *it, int16_t code)
{
    switch (code) {
    case KAFKA_NONE:
        return false;
    case KAFKA_OFFSET_OUT_OF_RANGE:
        followed_step(it, (struct fetcher_event){.type = FETCHER_RANGE});
        return true;
    case KAFKA_FENCED_LEADER_EPOCH:
        followed_step(it, (struct fetcher_event){.type = FETCHER_FENCED});
        return true;
    default:
        log_debug("replica", "fetch_refused", "topic=%.*s partition=%d leader=%d code=%d",
                  SLICE_ARGS(followed_topic(it)), it->partition, it->link->broker, code);
        followed_step(it, (struct fetcher_event){.type = FETCHER_RETRY});
        return true;
    }
}

void followed_diverged(struct followed *it, int type, int32_t epoch, int64_t end_offset)
{
    struct fetcher_event event = {.type = type, .epoch = epoch, .end_offset = end_offset};
    struct epoch_end own = {-1, -1};
    enum err err = followed_look(it);

    if (err == ERR_OK && epoch >= 0)
        err = partitions_own_epoch_end(it->link->of->options.partitions, followed_topic(it),
                                       it->partition, epoch, &own);
    if (err != ERR_OK) {
        followed_refused(it, err);
        return;
    }
    event.log = followed_log(&it->view);
    event.own_epoch = own.epoch;
    event.own_end = own.end_offset;
    followed_step(it, event);
}
