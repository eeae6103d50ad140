/* broker/replica/partition.c - see partition.h. */
#include "broker/replica/partition.h"
#include "base/ensure.h"
#include "base/planted.h"

void partition_init(struct partition *partition, int32_t min_insync, int64_t lag_ns_max)
{
    *partition = (struct partition){
        .role = PARTITION_NONE,
        .leader = -1,
        .leader_epoch = -1,
        .partition_epoch = -1,
    };
    isr_init(&partition->isr, 0, min_insync, lag_ns_max);
}

void partition_fini(struct partition *partition)
{
    isr_fini(&partition->isr);
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    if (value > high) value = high;
    return value < low ? low : value;
}

void partition_opened(struct partition *partition, int64_t log_start, int64_t end_offset,
                      int64_t high_watermark)
{
    ensure(partition->role == PARTITION_NONE);
    partition->log_start = log_start;
    partition->end_offset = end_offset;
    partition->isr.high_watermark = clamp(high_watermark, log_start, end_offset);
    partition_audit(partition);
}

static bool is_among(int32_t broker, const int32_t *brokers, int count)
{
    for (int i = 0; i < count; i++)
        if (brokers[i] == broker) return true;
    return false;
}

enum err partition_check_change(const struct partition *partition,
                                const struct partition_change *change)
{
    if (partition->role == PARTITION_OFFLINE) return ERR_OFFLINE;
    if (change->leader_epoch <= partition->leader_epoch && !planted(old_leader_epoch))
        return ERR_STALE_CONTROLLER_EPOCH;
    if (!is_among(change->self, change->replicas, change->replica_count)) return ERR_NOT_FOUND;
    if (change->replica_count > ISR_SLOTS_MAX) return ERR_LIMIT;
    return ERR_OK;
}

/* This table is what may follow what. */
static void set_role(struct partition *partition, enum partition_role role)
{
    static const bool may[4][4] = {
        [PARTITION_NONE] = {true, true, true, true},
        [PARTITION_LEADER] = {true, true, true, true},
        [PARTITION_FOLLOWER] = {true, true, true, true},
        [PARTITION_OFFLINE] = {[PARTITION_NONE] = true, [PARTITION_OFFLINE] = true},
    };

    ensure(may[partition->role][role]);
    partition->role = role;
}

static uint64_t mask_of(const int32_t *replicas, int replica_count, const int32_t *set,
                        int set_count)
{
    uint64_t mask = 0;

    for (int i = 0; i < replica_count; i++)
        if (is_among(replicas[i], set, set_count)) mask |= UINT64_C(1) << i;
    return mask;
}

static void lead(struct partition *partition, const struct partition_event *event,
                 struct partition_effects *out)
{
    const struct partition_change *change = event->changed;
    int32_t replicas[ISR_SLOTS_MAX];
    int count = 1;

    /* Self first; a broker that is named twice counts once. */
    replicas[0] = change->self;
    for (int i = 0; i < change->replica_count; i++)
        if (!is_among(change->replicas[i], replicas, count))
            replicas[count++] = change->replicas[i];

    out->unfollow = partition->role == PARTITION_FOLLOWER;
    set_role(partition, PARTITION_LEADER);
    struct isr_event isr_event = {
        .type = ISR_LEAD,
        .now = event->now,
        .alive = event->alive,
        .is_held = event->is_held,
        .held_from = event->held_from,
        .lead =
            {
                .leader_epoch = change->leader_epoch,
                .partition_epoch = change->partition_epoch,
                .replicas = replicas,
                .replica_count = count,
                .isr = mask_of(replicas, count, change->isr, change->isr_count),
                .end_offset = partition->end_offset,
                .log_start = partition->log_start,
                .is_recovering = change->is_recovering,
            },
    };
    isr_step(&partition->isr, &isr_event, &out->isr);
    out->lead = true;
}

/* Nobody's progress is ours to judge any more; the watermark stays until the leader says another.
 */
static void forget_followers(struct partition *partition)
{
    isr_fini(&partition->isr);
    partition->isr.committed = partition->isr.proposed = 0;
    partition->isr.pending = ISR_SETTLED;
    partition->isr.epoch_start = -1;
    partition->isr.is_recovering = false;
}

static void follow(struct partition *partition, const struct partition_change *change,
                   struct partition_effects *out)
{
    out->resign = partition->role == PARTITION_LEADER;
    out->follow = true;
    out->is_in_sync = is_among(change->self, change->isr, change->isr_count);
    set_role(partition, PARTITION_FOLLOWER);
    forget_followers(partition);
    partition->isr.leader_epoch = partition->leader_epoch;
    partition->isr.partition_epoch = partition->partition_epoch;
}

static void change_role(struct partition *partition, const struct partition_event *event,
                        struct partition_effects *out)
{
    const struct partition_change *change = event->changed;
    bool leads = change->leader == change->self;

    out->refused = partition_check_change(partition, change);
    if (out->refused != ERR_OK) return;
    /* Without a live leader nothing is changed, so that the same epoch can be applied later. */
    if (!leads && !change->is_leader_alive) return;
    /* Overtaken by an AlterPartition of ours. */
    if (change->partition_epoch < partition->partition_epoch && !planted(old_leader_epoch)) return;

    partition->leader = change->leader;
    partition->leader_epoch = change->leader_epoch;
    partition->partition_epoch = change->partition_epoch;
    out->wake = true;
    if (leads)
        lead(partition, event, out);
    else
        follow(partition, change, out);
}

static void replicated(struct partition *partition, const struct partition_replicated *event,
                       struct partition_effects *out)
{
    if (partition->role != PARTITION_FOLLOWER) return;
    ensure(event->end_offset >= partition->end_offset);
    out->end_moved = event->end_offset != partition->end_offset;
    partition->end_offset = event->end_offset;

    int64_t watermark = clamp(event->leader_watermark, partition->log_start, event->end_offset);
    out->watermark_moved = watermark != partition->isr.high_watermark;
    partition->isr.high_watermark = watermark;

    /* The watermark first: the log start may not pass it. */
    if (event->leader_log_start > partition->log_start && event->leader_log_start <= watermark) {
        out->raise_log_start = true;
        out->log_start = event->leader_log_start;
    }
}

static void truncated(struct partition *partition, const struct partition_truncated *event,
                      struct partition_effects *out)
{
    ensure(partition->role != PARTITION_LEADER);
    partition->end_offset = event->end_offset;
    partition->log_start = event->log_start;
    int64_t watermark = clamp(partition->isr.high_watermark, event->log_start, event->end_offset);
    out->watermark_moved = watermark != partition->isr.high_watermark;
    partition->isr.high_watermark = watermark;
    out->wake = true;
}

static void isr_input(struct partition *partition, const struct isr_event *event,
                      struct partition_effects *out)
{
    if (partition->role != PARTITION_LEADER) return;
    isr_step(&partition->isr, event, &out->isr);
    partition->partition_epoch = partition->isr.partition_epoch;
}

void partition_step(struct partition *partition, const struct partition_event *event,
                    struct partition_effects *out)
{
    *out = (struct partition_effects){.refused = ERR_OK};
    struct isr_event isr = {
        .now = event->now,
        .alive = event->alive,
        .is_held = event->is_held,
        .held_from = event->held_from,
    };

    switch (event->type) {
    case PARTITION_CHANGED:
        change_role(partition, event, out);
        break;
    case PARTITION_APPENDED:
        ensure(partition->role == PARTITION_LEADER);
        partition->end_offset = event->appended.end_offset;
        out->end_moved = true;
        isr.type = ISR_APPENDED;
        isr.appended = event->appended;
        isr_input(partition, &isr, out);
        break;
    case PARTITION_REPLICATED:
        replicated(partition, &event->replicated, out);
        break;
    case PARTITION_TRUNCATED:
        truncated(partition, &event->truncated, out);
        break;
    case PARTITION_LOG_START:
        ensure(event->started.log_start >= partition->log_start);
        partition->log_start = event->started.log_start;
        if (partition->isr.count > 0) partition->isr.slots[0].log_start = partition->log_start;
        if (partition->isr.high_watermark < partition->log_start) {
            partition->isr.high_watermark = partition->log_start;
            out->watermark_moved = true;
        }
        break;
    case PARTITION_FETCHED:
        isr.type = ISR_FETCHED;
        isr.fetched = event->fetched;
        isr_input(partition, &isr, out);
        break;
    case PARTITION_SYNCED:
        isr.type = ISR_SYNCED;
        isr.synced = event->synced;
        isr_input(partition, &isr, out);
        break;
    case PARTITION_DECIDED:
        if (partition->role != PARTITION_LEADER) break;
        isr.type = ISR_DECIDED;
        isr.decided = event->decided.isr;
        isr.decided.set = 0;
        for (int slot = 0; slot < partition->isr.count; slot++)
            if (is_among(partition->isr.slots[slot].broker, event->decided.brokers,
                         event->decided.broker_count))
                isr.decided.set |= UINT64_C(1) << slot;
        isr_input(partition, &isr, out);
        break;
    case PARTITION_CONFIGURED:
        isr.type = ISR_CONFIGURED;
        isr.configured = event->configured;
        isr_step(&partition->isr, &isr, &out->isr);
        break;
    case PARTITION_FLUSHED:
        isr.type = ISR_FLUSHED;
        isr_input(partition, &isr, out);
        break;
    case PARTITION_TICK:
        isr.type = ISR_TICK;
        isr_input(partition, &isr, out);
        break;
    case PARTITION_STOPPED:
        if (partition->role == PARTITION_OFFLINE) break;
        out->resign = partition->role == PARTITION_LEADER;
        out->unfollow = partition->role == PARTITION_FOLLOWER;
        out->wake = true;
        set_role(partition, PARTITION_NONE);
        forget_followers(partition);
        break;
    case PARTITION_FAILED:
        out->resign = partition->role == PARTITION_LEADER;
        out->unfollow = partition->role == PARTITION_FOLLOWER;
        out->wake = true;
        set_role(partition, PARTITION_OFFLINE);
        forget_followers(partition);
        break;
    }

    out->watermark_moved = out->watermark_moved || out->isr.advance;
    partition_audit(partition);
}

struct instant partition_deadline(const struct partition *partition)
{
    return partition->role == PARTITION_LEADER ? isr_deadline(&partition->isr) : INSTANT_NEVER;
}

enum err partition_check(const struct partition *partition, int32_t leader_epoch, bool needs_leader)
{
    switch (partition->role) {
    case PARTITION_OFFLINE:
        return ERR_OFFLINE;
    case PARTITION_NONE:
        return ERR_NOT_LEADER;
    case PARTITION_LEADER:
    case PARTITION_FOLLOWER:
        break;
    }
    if (planted(epochs_not_compared)) leader_epoch = -1;
    if (leader_epoch >= 0 && leader_epoch < partition->leader_epoch) return ERR_FENCED_EPOCH;
    if (leader_epoch >= 0 && leader_epoch > partition->leader_epoch) return ERR_UNKNOWN_EPOCH;
    if (needs_leader && partition->role != PARTITION_LEADER) return ERR_NOT_LEADER;
    return ERR_OK;
}

void partition_audit(const struct partition *partition)
{
    ensure(partition->isr.high_watermark <= partition->end_offset);
    ensure(partition->log_start <= partition->end_offset);
    ensure(partition->role != PARTITION_LEADER || partition->isr.count > 0);
    ensure(partition->role == PARTITION_LEADER || partition->isr.count == 0);
    if (partition->isr.count > 0) isr_audit(&partition->isr);
}
