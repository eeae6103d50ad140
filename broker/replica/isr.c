/* broker/replica/isr.c - see isr.h. The rules are those of Kafka 3.9's leader: follower progress,
 * shrink and expand, maximal ISR, watermark. */
#include "broker/replica/isr.h"
#include "base/ensure.h"
#include "base/planted.h"
#include <stdlib.h>
#include <string.h>

#define SELF UINT64_C(1)

static uint64_t bit(int slot)
{
    return UINT64_C(1) << slot;
}

void isr_init(struct isr *isr, int64_t high_watermark, int32_t min_insync, int64_t lag_ns_max)
{
    *isr = (struct isr){
        .min_insync = min_insync,
        .lag_ns_max = lag_ns_max,
        .leader_epoch = -1,
        .partition_epoch = -1,
        .epoch_start = -1,
        .high_watermark = high_watermark,
        .checked_at = ISR_LONG_AGO,
    };
}

void isr_fini(struct isr *isr)
{
    free(isr->slots);
    isr->slots = NULL;
    isr->count = 0;
}

int isr_slot_of(const struct isr *isr, int32_t broker)
{
    for (int i = 0; i < isr->count; i++)
        if (isr->slots[i].broker == broker) return i;
    return -1;
}

int isr_set_count(uint64_t set)
{
    return __builtin_popcountll(set);
}

bool isr_is_confirmed(const struct isr *isr, struct instant now, int64_t silence_ns)
{
    uint64_t others = isr_maximal(isr) & ~SELF;

    for (int slot = 1; slot < isr->count; slot++)
        if ((others & bit(slot)) != 0 &&
            instant_ns_between(isr->slots[slot].known_at, now) <= silence_ns)
            return true;
    return others == 0;
}

int isr_min_effective(const struct isr *isr)
{
    return isr->min_insync < isr->count ? isr->min_insync : isr->count;
}

bool isr_may_append_all(const struct isr *isr)
{
    return isr_set_count(isr->committed) >= isr_min_effective(isr) || planted(min_insync_ignored);
}

bool isr_has_enough(const struct isr *isr)
{
    return isr_set_count(isr_maximal(isr)) >= isr_min_effective(isr) || planted(min_insync_ignored);
}

bool isr_is_caught_up(const struct isr *isr, int slot, struct instant now)
{
    const struct isr_slot *it = &isr->slots[slot];

    return it->end_offset == isr->slots[0].end_offset ||
           instant_ns_between(it->caught_up_at, now) <= isr->lag_ns_max;
}

/* What a slot starts an epoch with. One that we knew as leader keeps what it has; a new leader
 * knows nothing of anyone. */
static struct isr_slot slot_for_epoch(const struct isr *old, const struct isr_event *event,
                                      int index)
{
    const struct isr_lead *lead = &event->lead;
    int32_t broker = lead->replicas[index];
    bool is_in = (lead->isr & bit(index)) != 0;
    struct isr_slot slot = {
        .broker = broker,
        .end_offset = -1,
        .log_start = -1,
        .leader_end_at_fetch = -1,
        .broker_epoch = -1,
        .proposed_epoch = -1,
        .fetched_at = ISR_LONG_AGO,
        .known_at = ISR_LONG_AGO,
        .caught_up_at = is_in ? event->now : ISR_LONG_AGO,
    };
    int before = isr_slot_of(old, broker);

    if (before > 0 && lead->leader_epoch == old->leader_epoch) return old->slots[before];
    if (before > 0) {
        slot.end_offset = old->slots[before].end_offset;
        slot.log_start = old->slots[before].log_start;
        slot.leader_end_at_fetch = lead->end_offset;
        slot.fetched_at = is_in ? event->now : ISR_LONG_AGO;
    }
    return slot;
}

static void begin_to_lead(struct isr *isr, const struct isr_event *event, struct isr_effects *out)
{
    const struct isr_lead *lead = &event->lead;

    ensure(lead->replica_count >= 1 && lead->replica_count <= ISR_SLOTS_MAX);
    ensure(lead->leader_epoch >= isr->leader_epoch);
    struct isr_slot *slots = ensure_zalloc(sizeof(*slots) * (size_t)lead->replica_count);
    for (int i = 0; i < lead->replica_count; i++)
        slots[i] = slot_for_epoch(isr, event, i);
    slots[0].end_offset = lead->end_offset;
    slots[0].log_start = lead->log_start;
    if (lead->leader_epoch != isr->leader_epoch) isr->epoch_start = lead->end_offset;

    free(isr->slots);
    isr->slots = slots;
    isr->count = lead->replica_count;
    isr->leader_epoch = lead->leader_epoch;
    isr->partition_epoch = lead->partition_epoch;
    isr->committed = isr->proposed = lead->isr;
    isr->pending = ISR_SETTLED;
    isr->joins_at = INSTANT_ZERO;
    isr->is_recovering = lead->is_recovering;
    isr->checked_at = event->now;

    /* It is committed already, and nothing more is acknowledged under it; but what was, before, may
     * have its only copy here. */
    out->sync =
        isr_set_count(isr->committed) < isr_min_effective(isr) && !planted(last_replica_rule_off);
}

static void note_fetch(struct isr *isr, const struct isr_fetched *fetched, struct instant now)
{
    ensure(fetched->slot > 0 && fetched->slot < isr->count);
    struct isr_slot *it = &isr->slots[fetched->slot];
    bool is_past = fetched->broker_epoch >= 0 && fetched->broker_epoch < it->broker_epoch;

    if (is_past && !planted(broker_epoch_ignored)) return;
    /* A follower that reaches, with each fetch, what our end was at the one before keeps up,
     * however fast we grow: that is what the second line is for. */
    if (fetched->fetch_offset >= fetched->leader_end)
        it->caught_up_at = instant_max(it->caught_up_at, now);
    else if (fetched->fetch_offset >= it->leader_end_at_fetch)
        it->caught_up_at = instant_max(it->caught_up_at, it->fetched_at);

    it->end_offset = planted(fetch_counts_as_done) ? fetched->leader_end : fetched->fetch_offset;
    it->log_start = fetched->log_start;
    if (fetched->leader_end > it->leader_end_at_fetch)
        it->leader_end_at_fetch = fetched->leader_end;
    /* Sent after our answer to the one before: so late, at least, it took us for the leader. */
    it->known_at = it->fetched_at;
    it->fetched_at = now;
    it->broker_epoch = fetched->broker_epoch;
}

static void propose(struct isr *isr, struct isr_effects *out)
{
    isr->pending = ISR_PROPOSED;
    out->propose = true;
    out->set = isr->proposed;
    out->leader_epoch = isr->leader_epoch;
    out->partition_epoch = isr->partition_epoch;
    out->is_recovered = isr->is_recovering;
}

static void note_decision(struct isr *isr, const struct isr_decided *decided, struct instant now,
                          struct isr_effects *out)
{
    /* LeaderAndIsr may have overtaken what this answers, and a proposal of the new epoch be on its
     * way: its own answer is yet to come. */
    if (isr->pending != ISR_PROPOSED || decided->leader_epoch != isr->leader_epoch) return;

    switch (decided->says) {
    case ISR_SAYS_COMMITTED:
        if (decided->partition_epoch < isr->partition_epoch) return;
        out->is_shrunk = isr_set_count(decided->set) < isr_set_count(isr->committed);
        out->is_grown = isr_set_count(decided->set) > isr_set_count(isr->committed);
        isr->committed = isr->proposed = decided->set;
        isr->partition_epoch = decided->partition_epoch;
        isr->pending = ISR_SETTLED;
        isr->is_recovering = false;
        break;
    case ISR_SAYS_REFUSED:
        if (isr_set_count(isr->proposed) > isr_set_count(isr->committed))
            isr->joins_at = instant_add_ns(now, ISR_REFUSED_NS);
        isr->proposed = isr->committed;
        isr->pending = ISR_SETTLED;
        break;
    case ISR_SAYS_UNKNOWN:
        isr->pending = ISR_FROZEN;
        break;
    case ISR_SAYS_RETRY:
        propose(isr, out); /* the same set again */
        break;
    }
}

/* A follower that has all that is committed, and all that the epochs before ours wrote. */
static uint64_t wanted_after_fetch(const struct isr *isr, int slot, uint64_t alive,
                                   struct instant now)
{
    const struct isr_slot *it = &isr->slots[slot];
    bool may_join = (isr->committed & bit(slot)) == 0 && (alive & bit(slot)) != 0 &&
                    instant_reached(now, isr->joins_at) && it->end_offset >= isr->high_watermark &&
                    it->end_offset >= isr->epoch_start;

    if (planted(joins_isr_behind))
        may_join = (isr->committed & bit(slot)) == 0 && (alive & bit(slot)) != 0;

    return may_join ? isr->committed | bit(slot) : isr->committed;
}

static uint64_t wanted_after_tick(const struct isr *isr, struct instant now)
{
    uint64_t wanted = isr->committed;

    for (int slot = 1; slot < isr->count; slot++)
        if ((wanted & bit(slot)) != 0 && !isr_is_caught_up(isr, slot, now)) wanted &= ~bit(slot);
    return wanted;
}

/* `wanted` differs from what is committed, and nothing is on its way. */
static void want(struct isr *isr, uint64_t wanted, struct isr_effects *out)
{
    isr->proposed = wanted;
    for (int slot = 0; slot < isr->count; slot++)
        isr->slots[slot].proposed_epoch = isr->slots[slot].broker_epoch;
    if (isr_set_count(wanted) < isr_set_count(isr->committed) &&
        isr_set_count(wanted) < isr_min_effective(isr) && !planted(last_replica_rule_off)) {
        isr->pending = ISR_SYNCING;
        out->sync = true;
        return;
    }
    propose(isr, out);
}

static void note_synced(struct isr *isr, const struct isr_synced *synced, struct isr_effects *out)
{
    if (isr->pending != ISR_SYNCING) return;
    if (synced->failed) { /* the next tick looks again; the log directory has gone by then */
        isr->proposed = isr->committed;
        isr->pending = ISR_SETTLED;
        return;
    }
    propose(isr, out);
}

/* The least end offset of those that count; INT64_MAX cannot come out, slot 0 counts always. */
static int64_t lowest_end(const struct isr *isr, const struct isr_event *event)
{
    uint64_t alive = event->alive;
    struct instant now = event->now;
    uint64_t count = (planted(watermark_on_proposed) ? isr->proposed : isr_maximal(isr)) | SELF;
    int64_t low = isr->slots[0].end_offset;

    if (event->is_held && event->held_from < low) low = event->held_from;
    for (int slot = 1; slot < isr->count; slot++) {
        bool counts = (count & bit(slot)) != 0 ||
                      ((alive & bit(slot)) != 0 && isr_is_caught_up(isr, slot, now));
        if (planted(watermark_on_proposed)) counts = (count & bit(slot)) != 0;
        if (counts && isr->slots[slot].end_offset < low) low = isr->slots[slot].end_offset;
    }
    return low;
}

void isr_step(struct isr *isr, const struct isr_event *event, struct isr_effects *out)
{
    *out = (struct isr_effects){0};
    uint64_t wanted = isr->committed;

    switch (event->type) {
    case ISR_LEAD:
        begin_to_lead(isr, event, out);
        wanted = isr->committed;
        break;
    case ISR_APPENDED:
        ensure(event->appended.end_offset >= isr->slots[0].end_offset);
        isr->slots[0].end_offset = event->appended.end_offset;
        break;
    case ISR_FETCHED:
        note_fetch(isr, &event->fetched, event->now);
        wanted = wanted_after_fetch(isr, event->fetched.slot, event->alive, event->now);
        break;
    case ISR_SYNCED:
        note_synced(isr, &event->synced, out);
        wanted = isr->committed;
        break;
    case ISR_DECIDED:
        note_decision(isr, &event->decided, event->now, out);
        wanted = isr->committed;
        break;
    case ISR_CONFIGURED:
        isr->min_insync = event->configured.min_insync;
        isr->lag_ns_max = event->configured.lag_ns_max;
        break;
    case ISR_FLUSHED:
        break;
    case ISR_TICK:
        isr->checked_at = event->now;
        wanted = wanted_after_tick(isr, event->now);
        break;
    }

    if (isr->pending == ISR_SETTLED && wanted != isr->committed) want(isr, wanted, out);

    if (isr->count > 0 && isr_may_append_all(isr)) {
        int64_t low = lowest_end(isr, event);
        if (low > isr->high_watermark) {
            isr->high_watermark = out->high_watermark = low;
            out->advance = true;
        }
    }
    isr_audit(isr);
}

struct instant isr_deadline(const struct isr *isr)
{
    if (isr->count <= 1) return INSTANT_NEVER;
    return instant_add_ns(isr->checked_at, isr->lag_ns_max / 2);
}

void isr_audit(const struct isr *isr)
{
    if (isr->count == 0) return;
    ensure(isr->high_watermark <= isr->slots[0].end_offset);
    ensure(isr->pending != ISR_SETTLED || isr->proposed == isr->committed);
}
