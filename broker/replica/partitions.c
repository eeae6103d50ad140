/* broker/replica/partitions.c - feeds one event, performs what comes out: the only place where the
 * effects of `partition` touch the world. Control calls are carried out here too. */
#include "base/ensure.h"
#include "base/log.h"
#include "base/planted.h"
#include "broker/replica/hosted.h"
#include "cluster/level.h"
#include "cluster/types.h"
#include <float.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX             249 /* of a topic */
#define COMPLAIN_MS          10000
#define CONTROL_PER_TURN_MAX 256 /* partitions changed in one turn: a few hundred µs */

int partition_shard(struct slice topic, int32_t partition, int shards)
{
    /* FNV-1a over the name, then the partition added: neighbours go to different shards. */
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < topic.len; i++)
        hash = (hash ^ topic.ptr[i]) * 16777619u;
    return (int)((hash + (uint32_t)partition) % (uint32_t)shards);
}

void replica_settings_init(struct replica_settings *settings)
{
    *settings = (struct replica_settings){
        .replica_lag_time_ms_max = 30000,
        .retention_check_ms = 300000,
        .fetch_wait_ms_max = 500,
        .fetch_min_bytes = 1,
        .fetch_max_bytes = 1048576,
        .fetch_response_max_bytes = 10485760,
        .fetch_backoff_ms = 1000,
        .fetch_socket_timeout_ms = 30000,
        .fetchers = 1,
        .fetch_socket_buffer_bytes = 65536,
        .unsynced_bytes = 512 << 10,
        .cleaner_enable = true,
        .cleaner_backoff_ms = 15000,
        .cleaner_dedupe_bytes = 134217728,
        .cleaner_load_max = 0.9,
        .cleaner_io_bytes_per_second = DBL_MAX,
        .level = LEVEL_LATEST,
        .leader_throttle_rate = INT64_MAX,
        .follower_throttle_rate = INT64_MAX,
        .quota_windows = 11,
        .quota_window_ms = 1000,
        .move_windows = 11,
        .move_window_ms = 1000,
        .move_rate = INT64_MAX,
        .move_threads = 1,
    };
}

/* ---- the table ---- */

struct name_key {
    uint8_t bytes[NAME_MAX + 4];
    size_t len;
};

static bool name_key(struct slice topic, int32_t partition, struct name_key *out)
{
    if (topic.len > NAME_MAX) return false;
    memcpy(out->bytes, topic.len == 0 ? (const void *)"" : topic.ptr, topic.len);
    memcpy(out->bytes + topic.len, &partition, sizeof(partition));
    out->len = topic.len + sizeof(partition);
    return true;
}

struct hosted *partitions_find(const struct partitions *partitions, struct slice topic,
                               int32_t partition)
{
    struct name_key key;

    if (!name_key(topic, partition, &key)) return NULL;
    return map_get(&partitions->by_name, slice_of(key.bytes, key.len));
}

static void tick(struct timer *timer)
{
    struct hosted *hosted = list_entry(timer, struct hosted, tick);
    struct partition_event event = {.type = PARTITION_TICK};

    hosted_feed(hosted, &event);
}

static struct hosted *hosted_create(struct partitions *partitions,
                                    const struct replica_change *change)
{
    struct hosted *hosted = ensure_zalloc(sizeof(*hosted) + change->topic.len);
    struct name_key key;

    hosted->of = partitions;
    hosted->partition = change->partition;
    hosted->topic_len = change->topic.len;
    memcpy(hosted->topic, change->topic.ptr, change->topic.len);
    hosted->tick.fire = tick;
    hosted->sync_wanted_to = -1;
    wait_line_init(&hosted->commits);
    wait_line_init(&hosted->deletions);
    wait_line_init(&hosted->flushes);
    list_init(&hosted->watchers);
    partition_init(&hosted->machine, change->min_insync,
                   partitions->options.settings.replica_lag_time_ms_max * 1000000);
    hosted->log = change->log;
    log_attach(hosted->log, partitions->files);
    partition_opened(&hosted->machine, log_start_offset(hosted->log), log_end_offset(hosted->log),
                     log_high_watermark(hosted->log));

    ensure(name_key(change->topic, change->partition, &key));
    ensure(map_set(&partitions->by_name, slice_of(key.bytes, key.len), hosted) == NULL);
    list_push(&partitions->all, &hosted->all);
    walk_enter(hosted);
    gauge_add(&partitions->counts.partitions, 1);
    return hosted;
}

/* Nothing waits here and no job runs: gives the log back and forgets the rest. */
static struct log *hosted_destroy(struct hosted *hosted)
{
    struct partitions *partitions = hosted->of;
    struct log *log = hosted->log;
    struct name_key key;

    ensure(hosted->jobs == 0);
    ensure(list_is_empty(&hosted->commits.waits));
    ensure(list_is_empty(&hosted->deletions.waits));
    ensure(list_is_empty(&hosted->flushes.waits));
    upkeep_forget(hosted);
    list_each (node, &hosted->watchers) {
        serve_fire(partitions, list_entry(node, struct watch_part, node)->watch);
    }
    timer_cancel(partitions->shard, &hosted->tick);
    list_remove(&hosted->dirty);
    walk_leave(hosted);
    list_remove(&hosted->all);
    ensure(name_key(hosted_topic(hosted), hosted->partition, &key));
    ensure(map_remove(&partitions->by_name, slice_of(key.bytes, key.len)) == hosted);
    partition_fini(&hosted->machine);
    if (log != NULL) log_detach(log);
    free(hosted);
    gauge_add(&partitions->counts.partitions, -1);
    return log;
}

/* ---- events and effects ---- */

static const char *role_name(enum partition_role role)
{
    switch (role) {
    case PARTITION_NONE:
        return "none";
    case PARTITION_LEADER:
        return "leader";
    case PARTITION_FOLLOWER:
        return "follower";
    case PARTITION_OFFLINE:
        return "offline";
    }
    return "?";
}

/* Who counts although it is in neither set, if it is alive. Asked only where somebody is outside.
 */
static uint64_t alive_mask(const struct hosted *hosted)
{
    const struct partitions *partitions = hosted->of;
    const struct isr *isr = &hosted->machine.isr;
    uint64_t alive = 0;

    for (int slot = 1; slot < isr->count; slot++)
        if ((isr_maximal(isr) & (UINT64_C(1) << slot)) == 0 &&
            partitions->options.ops->is_alive(partitions->options.owner, isr->slots[slot].broker))
            alive |= UINT64_C(1) << slot;
    return alive;
}

static void propose(struct hosted *hosted, const struct isr_effects *effects)
{
    struct partitions *partitions = hosted->of;
    const struct isr *isr = &hosted->machine.isr;
    int32_t brokers[ISR_SLOTS_MAX];
    int64_t epochs[ISR_SLOTS_MAX];
    int count = 0;

    for (int slot = 0; slot < isr->count; slot++) {
        if ((effects->set & (UINT64_C(1) << slot)) == 0) continue;
        epochs[count] = isr->slots[slot].proposed_epoch;
        brokers[count++] = isr->slots[slot].broker;
    }
    log_info("replica", "isr_proposed", "topic=%.*s partition=%d leader_epoch=%d from=%d to=%d",
             SLICE_ARGS(hosted_topic(hosted)), hosted->partition, effects->leader_epoch,
             isr_set_count(isr->committed), count);
    if (partitions->options.ops->propose == NULL) return;
    partitions->options.ops->propose(partitions->options.owner,
                                     &(struct isr_change){
                                         .topic = hosted_topic(hosted),
                                         .topic_id = log_topic_id(hosted->log),
                                         .partition = hosted->partition,
                                         .leader_epoch = effects->leader_epoch,
                                         .partition_epoch = effects->partition_epoch,
                                         .controller_epoch = hosted->controller_epoch,
                                         .isr = brokers,
                                         .broker_epochs = epochs,
                                         .isr_count = count,
                                         .is_recovered = effects->is_recovered,
                                     });
}

static void count_role(struct hosted *hosted, enum partition_role before)
{
    struct partitions_counts *counts = &hosted->of->counts;
    enum partition_role after = hosted->machine.role;

    gauge_add(&counts->leaders, (after == PARTITION_LEADER) - (before == PARTITION_LEADER));
    gauge_add(&counts->offline, (after == PARTITION_OFFLINE) - (before == PARTITION_OFFLINE));
}

/* How the ISR of a partition stands, for gauges: bits of under-replicated, under and at min ISR. */
static unsigned isr_standing(const struct partition *machine)
{
    if (machine->role != PARTITION_LEADER) return 0;
    int in = isr_set_count(machine->isr.committed);
    int least = isr_min_effective(&machine->isr);
    return (in < machine->isr.count ? 1u : 0u) | (in < least ? 2u : 0u) | (in == least ? 4u : 0u);
}

static void count_standing(struct hosted *hosted, unsigned before)
{
    struct partitions_counts *counts = &hosted->of->counts;
    unsigned after = isr_standing(&hosted->machine);

    gauge_add(&counts->under_replicated, (int)(after & 1) - (int)(before & 1));
    gauge_add(&counts->under_min_isr, (int)(after >> 1 & 1) - (int)(before >> 1 & 1));
    gauge_add(&counts->at_min_isr, (int)(after >> 2 & 1) - (int)(before >> 2 & 1));
}

static void tell_follow(struct hosted *hosted, int32_t leader)
{
    const struct partitions_options *options = &hosted->of->options;

    if (options->ops->follow != NULL)
        options->ops->follow(options->owner, hosted_topic(hosted), hosted->partition, leader,
                             hosted->machine.leader_epoch);
}

static void tell_led(struct hosted *hosted, bool is_leader)
{
    const struct partitions_options *options = &hosted->of->options;

    if (options->ops->led != NULL)
        options->ops->led(options->owner, hosted_topic(hosted), hosted->partition, is_leader,
                          hosted->machine.leader_epoch);
}

static void settle_promise(struct hosted *hosted, const struct partition_effects *effects);

static void perform(struct hosted *hosted, const struct partition_effects *effects)
{
    struct partition *machine = &hosted->machine;
    struct partitions *partitions = hosted->of;

    if (effects->resign) {
        enum err why = machine->role == PARTITION_OFFLINE ? ERR_OFFLINE : ERR_NOT_LEADER;
        serve_refuse_commits(hosted, why);
        deletion_refuse(hosted, why);
    }
    if (effects->unfollow) tell_follow(hosted, -1);
    if ((effects->lead || effects->follow) && hosted->log != NULL) log_uncut(hosted->log);
    settle_promise(hosted, effects);
    if (effects->lead) /* before any append: KIP-279 */
        (void)hosted_log_failed(
            hosted, log_start_epoch(hosted->log, machine->leader_epoch, machine->isr.epoch_start));
    if (effects->watermark_moved && hosted->log != NULL) {
        log_set_high_watermark(hosted->log, machine->isr.high_watermark);
        serve_commits(hosted);
    }
    if (effects->watermark_moved || effects->end_moved || effects->wake)
        serve_touch(hosted, effects->wake);
    if (effects->isr.sync) upkeep_sync_to_end(hosted);
    if (effects->isr.propose) propose(hosted, &effects->isr);
    if (effects->isr.is_shrunk) counter_add(&partitions->counts.isr_shrinks, 1);
    if (effects->isr.is_grown) counter_add(&partitions->counts.isr_expands, 1);
    if (effects->resign) tell_led(hosted, false);
    if (effects->lead) tell_led(hosted, true);
    if (effects->follow) {
        bool is_for_nothing = partitions->hands_over && !effects->is_in_sync;
        tell_follow(hosted, is_for_nothing ? -1 : machine->leader);
    }
    if ((effects->lead || effects->follow) && hosted_is_held(hosted))
        upkeep_sync_held(hosted);
    else if (effects->lead || effects->follow)
        upkeep_save(hosted);
    if (effects->lead || effects->follow) upkeep_put_off_saves(partitions);

    struct instant deadline = partition_deadline(machine);
    if (instant_is_never(deadline) ? heap_has(&hosted->tick.node)
                                   : hosted->tick.node.key != deadline.ns)
        timer_arm(partitions->shard, &hosted->tick, deadline);
}

void hosted_feed(struct hosted *hosted, struct partition_event *event)
{
    struct partition_effects effects;
    enum partition_role role = hosted->machine.role;
    /* An append is most of what comes: it changes nobody's standing. */
    bool may_change = event->type != PARTITION_APPENDED;
    unsigned standing = may_change ? isr_standing(&hosted->machine) : 0;

    event->now = shard_now(hosted->of->shard);
    event->alive = alive_mask(hosted);
    event->is_held = hosted_is_held(hosted);
    if (event->is_held) event->held_from = log_recovery_point(hosted->log);
    partition_step(&hosted->machine, event, &effects);
    perform(hosted, &effects);

    if (hosted->machine.role != role)
        log_debug("replica", "role", "topic=%.*s partition=%d from=%s to=%s leader=%d epoch=%d",
                  SLICE_ARGS(hosted_topic(hosted)), hosted->partition, role_name(role),
                  role_name(hosted->machine.role), hosted->machine.leader,
                  hosted->machine.leader_epoch);
    count_role(hosted, role);
    if (may_change) count_standing(hosted, standing);
    deletion_look(hosted);

    if (effects.raise_log_start) {
        enum err err = hosted_log_failed(hosted, log_advance_start(hosted->log, effects.log_start));
        struct partition_event started = {
            .type = PARTITION_LOG_START,
            .started.log_start = effects.log_start,
        };
        if (err == ERR_OK) hosted_feed(hosted, &started); /* raises nothing itself: once deep */
        upkeep_garbage(hosted);
    }
}

/* It passes by itself when there is room again, but someone has to make that room. Every producer
 * that tries meets it: one line in a while. */
static void complain(struct hosted *hosted, enum err err)
{
    struct partitions *partitions = hosted->of;
    struct instant now = shard_now(partitions->shard);

    if (partitions->complained.ns != 0 &&
        instant_ms_between(partitions->complained, now) < COMPLAIN_MS)
        return;
    partitions->complained = now;
    log_error("replica", err == ERR_FULL ? "disk_full" : "too_many_open_files",
              "topic=%.*s partition=%d dir=%s", SLICE_ARGS(hosted_topic(hosted)), hosted->partition,
              hosted->log == NULL ? "" : log_directory(hosted->log)->path);
}

enum err hosted_log_failed(struct hosted *hosted, enum err err)
{
    const struct partitions_options *options = &hosted->of->options;

    if (err == ERR_FULL || err == ERR_TOO_MANY) complain(hosted, err);
    if (err != ERR_IO) return err;
    log_error("replica", "log_failed", "topic=%.*s partition=%d err=%s",
              SLICE_ARGS(hosted_topic(hosted)), hosted->partition, err_name(err));
    if (options->ops->dir_failed != NULL && hosted->log != NULL)
        options->ops->dir_failed(options->owner, log_directory(hosted->log));
    return err;
}

/* ---- control ---- */

static enum err check_topic_id(const struct hosted *hosted, const struct replica_change *change)
{
    struct uuid ours = log_topic_id(hosted->log);

    if (uuid_is_zero(change->topic_id) || uuid_is_zero(ours) || uuid_equal(ours, change->topic_id))
        return ERR_OK;
    return ERR_TOPIC_ID;
}

enum err hosted_check_writer(const struct hosted *hosted)
{
    enum err err = partition_check(&hosted->machine, -1, true);

    return err == ERR_OK && log_config(hosted->log)->is_awaited ? ERR_NOT_LEADER : err;
}

static void configure(struct hosted *hosted, int32_t min_insync)
{
    int64_t lag_ns_max = hosted->of->options.settings.replica_lag_time_ms_max * 1000000;
    struct partition_event event = {
        .type = PARTITION_CONFIGURED,
        .configured = {.min_insync = min_insync, .lag_ns_max = lag_ns_max},
    };

    if (hosted->machine.isr.min_insync != min_insync ||
        hosted->machine.isr.lag_ns_max != lag_ns_max)
        hosted_feed(hosted, &event);
}

/* ---- a log that lacks what was promised of it ---- */

static bool is_in_isr(const struct replica_change *change, int32_t broker)
{
    for (int i = 0; i < change->isr_count; i++)
        if (change->isr[i] == broker) return true;
    return false;
}

/* It must not lead, for what it would write next would stand where acknowledged records stood, and
 * followers that still have these would cut them off. Without a leader the controller is told the
 * same, or it would elect us. An unclean election, or the topic's leave for one, is the operator's
 * word that the loss is accepted. */
static bool must_stand_back(const struct partitions *partitions,
                            const struct replica_change *change, const struct log_config *config)
{
    int32_t self = partitions->options.broker_id;

    if (log_promised(change->log) == 0 || change->is_recovering || config->leads_unclean ||
        planted(last_replica_rule_off))
        return false;
    return change->leader == self || (change->leader < 0 && is_in_isr(change, self));
}

static enum err stand_back(struct partitions *partitions, struct replica_change *change)
{
    int64_t end = log_end_offset(change->log), promised = log_promised(change->log);

    change->stands_back = true;
    counter_add(&partitions->counts.guard_stood_back, 1);
    log_error(
        "replica", "stands_back",
        "topic=%.*s partition=%d epoch=%d isr_count=%d end=%lld promised=%lld lost=%lld "
        "hint=\"this replica was in the ISR and came back with less than it had acknowledged: "
        "it does not lead. Bring back another replica of the ISR or the missing data; or accept "
        "the loss: ottla elect-leaders --election-type unclean --topic %.*s --partition %d, or "
        "set unclean.leader.election.enable=true on the topic\"",
        SLICE_ARGS(change->topic), change->partition, change->leader_epoch, change->isr_count,
        (long long)end, (long long)promised, (long long)(promised - end), SLICE_ARGS(change->topic),
        change->partition);
    return ERR_OFFLINE;
}

/* It leads or follows now: the question is settled. */
static void settle_promise(struct hosted *hosted, const struct partition_effects *effects)
{
    int64_t promised = hosted->log == NULL ? 0 : log_promised(hosted->log);

    if (promised == 0 || (!effects->lead && !effects->follow)) return;
    if (effects->lead) {
        int64_t lost = promised - hosted->machine.end_offset;
        counter_add(&hosted->of->counts.guard_records_lost, (uint64_t)(lost > 0 ? lost : 0));
        log_warn("replica", "leads_with_loss",
                 "topic=%.*s partition=%d epoch=%d lost_from=%lld lost_to=%lld lost=%lld",
                 SLICE_ARGS(hosted_topic(hosted)), hosted->partition, hosted->machine.leader_epoch,
                 (long long)hosted->machine.end_offset, (long long)promised, (long long)lost);
    } else {
        log_info("replica", "loss_made_up",
                 "topic=%.*s partition=%d epoch=%d leader=%d end=%lld promised=%lld",
                 SLICE_ARGS(hosted_topic(hosted)), hosted->partition, hosted->machine.leader_epoch,
                 hosted->machine.leader, (long long)hosted->machine.end_offset,
                 (long long)promised);
    }
    log_forget_promise(hosted->log);
}

static void note_flushing(struct partitions *partitions, const struct log_config *config)
{
    partitions->may_hold = partitions->may_hold || config->flush_messages != INT64_MAX;
}

bool partitions_may_hold(const struct partitions *partitions)
{
    return partitions->may_hold;
}

static enum err apply_change(struct partitions *partitions, struct replica_change *change)
{
    struct hosted *hosted = partitions_find(partitions, change->topic, change->partition);
    struct partition_change to = {
        .self = partitions->options.broker_id,
        .leader = change->leader,
        .leader_epoch = change->leader_epoch,
        .partition_epoch = change->partition_epoch,
        .replicas = change->replicas,
        .replica_count = change->replica_count,
        .isr = change->isr,
        .isr_count = change->isr_count,
        .is_leader_alive = change->is_leader_alive,
        .is_recovering = change->is_recovering,
    };
    enum err err = change->log == NULL ? change->log_err : ERR_OK;

    ensure(change->log != NULL || change->log_err != ERR_OK);
    if (partitions->is_closing) return ERR_OFFLINE;
    if (err != ERR_OK) return err;
    /* It may have moved to another directory since the store was asked. */
    if (hosted != NULL && hosted->log != NULL) change->log = hosted->log;
    if (atomic_load(&log_directory(change->log)->is_offline)) return ERR_OFFLINE;
    if (must_stand_back(partitions, change,
                        change->config != NULL ? change->config : log_config(change->log)))
        return stand_back(partitions, change);
    if (hosted == NULL) {
        struct partition fresh;
        partition_init(&fresh, 1, 1);
        err = partition_check_change(&fresh, &to);
        partition_fini(&fresh);
        if (err != ERR_OK) return err;
        hosted = hosted_create(partitions, change);
    }
    if (hosted->is_leaving || hosted->log == NULL) return ERR_OFFLINE;

    bool gives_id = !uuid_is_zero(change->topic_id) && uuid_is_zero(log_topic_id(hosted->log));
    err = check_topic_id(hosted, change);
    if (err == ERR_OK && gives_id)
        err = hosted_log_failed(hosted, log_set_topic_id(hosted->log, change->topic_id));
    if (err != ERR_OK) return err;
    /* The request that only brings the topic id which a log from before 2.8 lacks. */
    if (gives_id && change->leader_epoch == hosted->machine.leader_epoch) return ERR_OK;

    if (change->config != NULL) log_set_config(hosted->log, change->config);
    note_flushing(partitions, log_config(hosted->log));
    configure(hosted, change->min_insync);
    hosted->is_leader_throttled = change->is_leader_throttled;
    hosted->is_follower_throttled = change->is_follower_throttled;
    err = partition_check_change(&hosted->machine, &to);
    if (err != ERR_OK) return err;
    struct partition_event event = {.type = PARTITION_CHANGED, .changed = &to};
    hosted->controller_epoch = change->controller_epoch;
    hosted_feed(hosted, &event);
    if (change->future != NULL) moving_start(hosted, change->future);
    return ERR_OK;
}

static void end_call_if_done(struct replica_call *call)
{
    if (call->waiting == 0 && call->at == call->change_count + call->stop_count) {
        list_remove(&call->node);
        call->done(call);
    }
}

void hosted_left(struct hosted *hosted)
{
    struct partitions *partitions = hosted->of;
    struct replica_call *call = hosted->stopped_by;
    struct replica_stop *stop = hosted->stop;

    ensure(hosted->is_leaving && hosted->jobs == 0);
    moving_leave(hosted);
    struct log *log = hosted_destroy(hosted);
    if (call != NULL) {
        stop->log = log;
        call->waiting--;
        shard_post(partitions->shard, &partitions->work);
    }
    if (partitions->is_closing && list_is_empty(&partitions->all))
        shard_post(partitions->shard, &partitions->closed_post);
}

static void leave(struct hosted *hosted)
{
    hosted->is_leaving = true;
    cleaning_leave(hosted);
    if (hosted->jobs == 0) hosted_left(hosted);
}

static void apply_stop(struct partitions *partitions, struct replica_call *call,
                       struct replica_stop *stop)
{
    struct hosted *hosted = partitions_find(partitions, stop->topic, stop->partition);
    struct partition_event event = {.type = PARTITION_STOPPED};

    stop->log = NULL;
    stop->err = ERR_OK;
    if (hosted == NULL || hosted->is_leaving) return;
    if (hosted->machine.role == PARTITION_OFFLINE) {
        stop->err = ERR_OFFLINE;
        return;
    }
    if (stop->leader_epoch >= 0 && stop->leader_epoch < hosted->machine.leader_epoch) {
        stop->err = ERR_FENCED_EPOCH;
        return;
    }
    hosted_feed(hosted, &event);
    if (!stop->is_delete) return;
    call->waiting++;
    hosted->stopped_by = call;
    hosted->stop = stop;
    leave(hosted);
}

static void work(struct post *post)
{
    struct partitions *partitions = list_entry(post, struct partitions, work);
    int left = CONTROL_PER_TURN_MAX;

    while (!list_is_empty(&partitions->calls) && left > 0) {
        struct replica_call *call =
            list_entry(list_first(&partitions->calls), struct replica_call, node);
        int total = call->change_count + call->stop_count;

        for (; call->at < total && left > 0; call->at++, left--) {
            if (call->at < call->change_count) {
                struct replica_change *change = &call->changes[call->at];
                change->err = apply_change(partitions, change);
            } else {
                apply_stop(partitions, call, &call->stops[call->at - call->change_count]);
            }
        }
        if (call->at == total && call->waiting > 0) return; /* hosted_left posts again */
        end_call_if_done(call);
    }
    if (!list_is_empty(&partitions->calls)) shard_post(partitions->shard, &partitions->work);
}

void partitions_control(struct partitions *partitions, struct replica_call *call)
{
    call->at = call->waiting = 0;
    call->node = (struct list_node){0};
    list_push(&partitions->calls, &call->node);
    shard_post(partitions->shard, &partitions->work);
}

/* What a call that waits would set is older than what is said now. */
static void configure_waiting(struct partitions *partitions, struct replica_call *call,
                              struct slice topic,
                              const struct log_config *config, int32_t min_insync,
                              const struct topic_throttles *throttles)
{
    for (int i = call->at; i < call->change_count; i++) {
        struct replica_change *change = &call->changes[i];
        if (change->log == NULL || !slice_equal(change->topic, topic)) continue;
        /* One that is here is told already, and may have another log than the call has. */
        if (partitions_find(partitions, topic, change->partition) == NULL)
            log_set_config(change->log, config);
        change->config = NULL;
        change->min_insync = min_insync;
        change->is_leader_throttled = throttled_has(&throttles->leader, change->partition);
        change->is_follower_throttled = throttled_has(&throttles->follower, change->partition);
    }
}

void partitions_configure(struct partitions *partitions, struct slice topic,
                          const struct log_config *config, int32_t min_insync,
                          const struct topic_throttles *throttles)
{
    note_flushing(partitions, config);
    list_each (node, &partitions->all) {
        struct hosted *hosted = list_entry(node, struct hosted, all);
        if (!slice_equal(hosted_topic(hosted), topic) || hosted->log == NULL) continue;
        log_set_config(hosted->log, config);
        configure(hosted, min_insync);
        if (hosted_is_held(hosted)) upkeep_sync_held(hosted);
        upkeep_flushed(hosted); /* or nothing is held any more */
        hosted->is_leader_throttled = throttled_has(&throttles->leader, hosted->partition);
        hosted->is_follower_throttled = throttled_has(&throttles->follower, hosted->partition);
    }
    list_each (node, &partitions->calls)
        configure_waiting(partitions, list_entry(node, struct replica_call, node), topic, config,
                          min_insync, throttles);
}

static void set_bounds(struct partitions *partitions)
{
    const struct replica_settings *settings = &partitions->options.settings;

    throttle_set_bound(&partitions->throttle, THROTTLE_LEADER, settings->leader_throttle_rate);
    throttle_set_bound(&partitions->throttle, THROTTLE_FOLLOWER, settings->follower_throttle_rate);
    throttle_set_bound(&partitions->throttle, THROTTLE_MOVES, settings->move_rate);
}

void partitions_set_settings(struct partitions *partitions, const struct replica_settings *settings)
{
    partitions->options.settings = *settings;
    cleaning_configured(partitions);
    set_bounds(partitions);
    list_each (node, &partitions->all) {
        struct hosted *hosted = list_entry(node, struct hosted, all);
        configure(hosted, hosted->machine.isr.min_insync);
    }
}

void partitions_hand_over(struct partitions *partitions)
{
    partitions->hands_over = true;
}

void partitions_image_changed(struct partitions *partitions)
{
    /* Only where a replica outside the ISR may hold the watermark, or stopped to do so; and where a
     * deletion waits for the live. */
    list_each (node, &partitions->all) {
        struct hosted *hosted = list_entry(node, struct hosted, all);
        if ((isr_standing(&hosted->machine) & 1) != 0) tick(&hosted->tick);
        deletion_look(hosted);
    }
}

void partitions_dir_failed(struct partitions *partitions, struct log_dir *dir)
{
    struct partition_event event = {.type = PARTITION_FAILED};

    list_each (node, &partitions->all) {
        struct hosted *hosted = list_entry(node, struct hosted, all);
        if (hosted->log != NULL && log_directory(hosted->log) == dir &&
            hosted->machine.role != PARTITION_OFFLINE)
            hosted_feed(hosted, &event);
        moving_dir_failed(hosted, dir);
    }
}

void partitions_isr_decided(struct partitions *partitions, const struct isr_decision *decision)
{
    struct hosted *hosted = partitions_find(partitions, decision->topic, decision->partition);
    struct partition_event event = {
        .type = PARTITION_DECIDED,
        .decided =
            {
                .isr =
                    {
                        .leader_epoch = decision->leader_epoch,
                        .partition_epoch = decision->partition_epoch,
                    },
                .brokers = decision->isr,
                .broker_count = decision->isr_count,
            },
    };

    if (hosted == NULL) return;
    switch (decision->verdict) {
    case ISR_COMMITTED:
        event.decided.isr.says = ISR_SAYS_COMMITTED;
        break;
    case ISR_REFUSED:
        event.decided.isr.says = ISR_SAYS_REFUSED;
        break;
    case ISR_UNKNOWN:
        event.decided.isr.says = ISR_SAYS_UNKNOWN;
        break;
    case ISR_RETRY:
        event.decided.isr.says = ISR_SAYS_RETRY;
        break;
    }
    if (decision->verdict != ISR_COMMITTED) counter_add(&partitions->counts.isr_failed, 1);
    hosted_feed(hosted, &event);
}

/* ---- life ---- */

static void tell_closed(struct post *post)
{
    struct partitions *partitions = list_entry(post, struct partitions, closed_post);

    if (!list_is_empty(&partitions->decided) || !list_is_empty(&partitions->ready)) {
        shard_post(partitions->shard, &partitions->closed_post);
        return;
    }
    partitions->closed(partitions->closed_to);
}

struct partitions *partitions_create(const struct partitions_options *options)
{
    struct partitions *partitions = ensure_zalloc(sizeof(*partitions));

    partitions->shard = options->shard;
    partitions->options = *options;
    partitions->files = log_files_create(options->shard->env, options->files_open_max);
    map_init(&partitions->by_name);
    list_init(&partitions->all);
    walk_init(partitions);
    list_init(&partitions->decided);
    list_init(&partitions->dirty);
    list_init(&partitions->ready);
    list_init(&partitions->calls);
    list_init(&partitions->garbage);
    list_init(&partitions->unsaved);
    list_init(&partitions->points);
    list_init(&partitions->due);
    if (options->throttle_cells == NULL)
        throttle_init(&partitions->throttle, &partitions->throttle_alone, 1, 0,
                      options->settings.quota_windows, options->settings.quota_window_ms);
    else
        throttle_init(&partitions->throttle, options->throttle_cells, options->shards,
                      options->shard->id, options->settings.quota_windows,
                      options->settings.quota_window_ms);
    throttle_set_windows(&partitions->throttle, THROTTLE_MOVES, options->settings.move_windows,
                         options->settings.move_window_ms);
    set_bounds(partitions);
    purgatory_init(&partitions->purgatory);
    partitions->purgatory_timer.fire = serve_timed_out;
    purgatory_init(&partitions->deletions);
    partitions->deletions_timer.fire = deletion_timed_out;
    partitions->wake.run = serve_wake;
    partitions->work.run = work;
    partitions->closed_post.run = tell_closed;
    buf_init(&partitions->rebuilt);
    upkeep_start(partitions);
    cleaning_start(partitions);
    moving_open(partitions);
    return partitions;
}

void partitions_close(struct partitions *partitions, void (*closed)(void *to), void *to)
{
    struct partition_event event = {.type = PARTITION_STOPPED};

    ensure(!partitions->is_closing);
    partitions->is_closing = true;
    partitions->closed = closed;
    partitions->closed_to = to;
    cleaning_stop(partitions);
    timer_cancel(partitions->shard, &partitions->moves.timer);
    upkeep_stop(partitions);
    if (list_is_empty(&partitions->all)) shard_post(partitions->shard, &partitions->closed_post);
    list_each (node, &partitions->all) {
        struct hosted *hosted = list_entry(node, struct hosted, all);
        if (hosted->is_leaving) continue;
        hosted_feed(hosted, &event);
        leave(hosted);
    }
}

void partitions_destroy(struct partitions **partitions)
{
    struct partitions *it = *partitions;

    if (it == NULL) return;
    ensure(list_is_empty(&it->all));
    cleaning_stop(it);
    timer_cancel(it->shard, &it->moves.timer);
    upkeep_stop(it);
    timer_cancel(it->shard, &it->purgatory_timer);
    timer_cancel(it->shard, &it->deletions_timer);
    shard_unpost(&it->wake);
    shard_unpost(&it->work);
    shard_unpost(&it->closed_post);
    purgatory_fini(&it->purgatory);
    purgatory_fini(&it->deletions);
    walk_fini(it);
    map_fini(&it->by_name);
    buf_fini(&it->rebuilt);
    log_files_destroy(&it->files);
    throttle_fini(&it->throttle);
    free(it);
    *partitions = NULL;
}

struct partitions_counts *partitions_counts(struct partitions *partitions)
{
    return &partitions->counts;
}
