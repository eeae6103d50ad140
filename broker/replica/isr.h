/* broker/replica/isr.h - who is in sync, as the leader of one partition sees it, and the high
 * watermark that follows from it. Pure.
 *
 * Replicas are slots of a table; a set of them is a bit mask. Slot 0 is the leader itself. The set
 * that the controller has confirmed is `committed`; while a change is on its way both the old and
 * the new one count (the maximal ISR): neither answer may take back what a consumer has seen.
 *
 * The high watermark never goes back here. It stands still while the committed ISR is smaller than
 * min.insync.replicas (KIP-966). A follower acknowledges by asking for the next offset.
 *
 * A change that leaves fewer than min.insync.replicas is proposed only after the leader's own log
 * has been synced to its end: Ottla's own rule, so that the last replica standing has on its device
 * what it answers for. Where the controller brings so small an ISR (others died), the log is synced
 * at once: the watermark stands still meanwhile, so nothing new is promised.
 *
 * Where the topic asks for it (flush.messages), the leader's own log counts only as far as it is on
 * the device; followers ask for the next offset when theirs is.
 *
 * A follower that restarts may have less than its last fetch said (KIP-903). Its broker epoch tells
 * its lives apart: a fetch of an earlier life than the latest is not counted, and a proposal says
 * of which life each member was when it was chosen, also when it is sent again, so that the
 * controller refuses one that is another by then. */
#pragma once
#include "base/time.h"
#include <stdbool.h>
#include <stdint.h>

#define ISR_SLOTS_MAX 64

/* Before all that happens: "never caught up". */
#define ISR_LONG_AGO ((struct instant){INT64_MIN / 2})

struct isr_slot {
    int32_t broker;
    int64_t end_offset;          /* it has all below; −1 not known yet */
    int64_t log_start;           /* −1 not known yet */
    int64_t leader_end_at_fetch; /* our end when it last fetched */
    int64_t broker_epoch;        /* as its last fetch said; −1: none has said it in this epoch */
    int64_t proposed_epoch;      /* that one, when the set on its way was chosen */
    struct instant fetched_at;
    struct instant known_at; /* at least so late it took us for the leader */
    struct instant caught_up_at;
};

/* Proposal of ours, and how far it is. */
enum isr_pending {
    ISR_SETTLED,  /* none: proposed == committed */
    ISR_SYNCING,  /* our log is being synced before the proposal goes out */
    ISR_PROPOSED, /* the controller has it */
    ISR_FROZEN,   /* it may or may not have been written: only LeaderAndIsr tells */
};

struct isr {
    struct isr_slot *slots; /* owned */
    int count;
    int32_t min_insync; /* min.insync.replicas as configured */
    int64_t lag_ns_max;
    int32_t leader_epoch, partition_epoch;
    int64_t epoch_start; /* our end offset when we began to lead this epoch */
    uint64_t committed, proposed;
    enum isr_pending pending;
    bool is_recovering; /* the state said so; the next proposal clears it */
    int64_t high_watermark;
    struct instant checked_at; /* last look for those that lag */
    struct instant joins_at;   /* nobody is proposed to join before: one was refused */
};

struct isr_lead {
    int32_t leader_epoch, partition_epoch;
    const int32_t *replicas; /* [0] is the leader itself; each broker once; 1 … ISR_SLOTS_MAX */
    int replica_count;
    uint64_t isr;       /* of `replicas`; bit 0 need not be set */
    int64_t end_offset; /* of our log */
    int64_t log_start;
    bool is_recovering;
};

struct isr_event {
    enum {
        ISR_LEAD, /* we lead: a new epoch, or the same one with a newer partition epoch */
        ISR_APPENDED,
        ISR_FETCHED, /* a follower asked, without error and not diverging, for the first time */
        ISR_SYNCED,  /* our log is on the device up to `end_offset` */
        ISR_DECIDED,
        ISR_CONFIGURED,
        ISR_FLUSHED, /* less is held than was */
        ISR_TICK,
    } type;
    struct instant now;
    /* Slots whose brokers are alive in the metadata image; bit 0 is not looked at. */
    uint64_t alive;
    /* flush.messages: what our log has from `held_from` on is not promised before it is on the
     * device. */
    bool is_held;
    int64_t held_from;
    union {
        struct isr_lead lead;
        struct isr_appended {
            int64_t end_offset;
        } appended;
        struct isr_fetched {
            int slot;
            int64_t fetch_offset;
            int64_t log_start;
            int64_t leader_end; /* ours, taken before the read */
            int64_t broker_epoch;
        } fetched;
        struct isr_synced {
            int64_t end_offset;
            bool failed;
        } synced;
        struct isr_decided {
            enum { ISR_SAYS_COMMITTED, ISR_SAYS_REFUSED, ISR_SAYS_UNKNOWN, ISR_SAYS_RETRY } says;
            int32_t leader_epoch, partition_epoch;
            uint64_t set;
        } decided;
        struct isr_configured {
            int32_t min_insync;
            int64_t lag_ns_max;
        } configured;
    };
};

struct isr_effects {
    bool advance; /* the high watermark moved: wake acks=all and consumers */
    int64_t high_watermark;
    bool propose; /* send AlterPartition with `set` under `partition_epoch` */
    bool sync;    /* sync our log to its end, then ISR_SYNCED */
    uint64_t set;
    int32_t leader_epoch, partition_epoch;
    bool is_recovered;        /* the proposal ends RECOVERING */
    bool is_shrunk, is_grown; /* the committed set became smaller, larger: for counters */
};

/* How long nobody is proposed to join after the controller has refused one (it is about to end, or
 * the controller does not reach it): its next fetch, a round trip later, changes nothing of that.
 */
#define ISR_REFUSED_NS INT64_C(500000000)

/* `high_watermark` is what the log knew: at most its end. */
void isr_init(struct isr *isr, int64_t high_watermark, int32_t min_insync, int64_t lag_ns_max);
void isr_fini(struct isr *isr);

/* Cannot fail, reads no clock: same state and event, same effects. */
void isr_step(struct isr *isr, const struct isr_event *event, struct isr_effects *out);

/* When it next wants ISR_TICK: half of replica.lag.time.max.ms after the last; INSTANT_NEVER when
 * it has no follower. */
struct instant isr_deadline(const struct isr *isr);

/* Slot of `broker`, or −1. */
int isr_slot_of(const struct isr *isr, int32_t broker);
/* Both sets: who counts for the high watermark and for acknowledgements. */
static inline uint64_t isr_maximal(const struct isr *isr)
{
    return isr->committed | isr->proposed;
}
int isr_set_count(uint64_t set);
/* Somebody whose word counts took us for the leader within `silence_ns`, or nobody else could lead:
 * as far as we can know, nobody else does. One that was cut off may have been replaced unheard, and
 * what followers had sent until then comes to it later. */
bool isr_is_confirmed(const struct isr *isr, struct instant now, int64_t silence_ns);
/* min(min.insync.replicas, number of replicas). */
int isr_min_effective(const struct isr *isr);
/* Before an append with acks=all: enough replicas are confirmed. */
bool isr_may_append_all(const struct isr *isr);
/* When the watermark has passed an append with acks=all: enough replicas had it. */
bool isr_has_enough(const struct isr *isr);
bool isr_is_caught_up(const struct isr *isr, int slot, struct instant now);
/* ensures what always holds. */
void isr_audit(const struct isr *isr);
