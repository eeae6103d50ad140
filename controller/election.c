/* controller/election.c - see election.h. */
#include "controller/election.h"
#include "base/planted.h"

static bool may_lead(const struct context *context, const struct partition *p,
                     enum election election, int32_t broker)
{
    if (election != ELECTION_CONTROLLED_SHUTDOWN) return replica_is_online(context, p, broker);
    const struct broker *b = context_broker(context, broker);
    return replica_is_alive(context, p, broker) && !b->is_shutting_down;
}

/* First of `candidates` that may lead and, when `isr` is given, is in it; −1: nobody. */
static int32_t first_able(const struct context *context, const struct partition *p,
                          enum election election, const struct ids *candidates,
                          const struct ids *isr)
{
    for (int32_t i = 0; i < candidates->count; i++) {
        int32_t id = candidates->at[i];

        if ((isr == NULL || ids_have(isr, id)) && may_lead(context, p, election, id)) return id;
    }
    return -1;
}

bool election_asks_unclean(const struct context *context, const struct partition *p,
                           enum election election, const struct leadership *from)
{
    if (election != ELECTION_OFFLINE) return false;
    for (int32_t i = 0; i < from->isr.count; i++)
        if (replica_is_online(context, p, from->isr.at[i])) return false;
    return true;
}

static void keep(const struct context *context, const struct partition *p, const struct ids *from,
                 bool (*is_kept)(const struct context *, const struct partition *, int32_t),
                 struct ids *out)
{
    out->count = 0;
    for (int32_t i = 0; i < from->count; i++)
        if (is_kept(context, p, from->at[i])) ids_add(out, from->at[i]);
}

static bool is_staying(const struct context *context, const struct partition *p, int32_t broker)
{
    const struct broker *b = context_broker(context, broker);

    (void)p;
    return b == NULL || !b->is_shutting_down;
}

/* Of the ISR, on a live broker, but it has answered that it cannot: a failed disk, or a replica
 * that stands back because it came back with less than it had promised. By order of the operator it
 * is asked once more, with the recovery state that tells it so. */
static int32_t first_refusing(const struct context *context, const struct partition *p,
                              const struct ids *isr)
{
    for (int32_t i = 0; i < p->replicas.count; i++) {
        int32_t id = p->replicas.at[i];

        if (ids_have(isr, id) && broker_is_live(context, id)) return id;
    }
    return -1;
}

static int32_t choose_leader(const struct context *context, const struct partition *p,
                             enum election election, bool is_unclean_allowed,
                             const struct leadership *from, bool *is_clean)
{
    struct ids only = {0};
    int32_t leader = -1;

    *is_clean = true;
    switch (election) {
    case ELECTION_OFFLINE:
    case ELECTION_OFFLINE_UNCLEAN:
        leader = first_able(context, p, election, &p->replicas, &from->isr);
        if (leader < 0 && (is_unclean_allowed || election == ELECTION_OFFLINE_UNCLEAN ||
                           planted(unclean_by_default))) {
            leader = first_able(context, p, election, &p->replicas, NULL);
            *is_clean = false;
        }
        if (leader < 0 && election == ELECTION_OFFLINE_UNCLEAN)
            leader = first_refusing(context, p, &from->isr);
        break;
    case ELECTION_AGAIN:
        leader = from->leader;
        if (!ids_have(&from->isr, leader) || !may_lead(context, p, election, leader))
            leader = first_able(context, p, election, &p->replicas, &from->isr);
        break;
    case ELECTION_REASSIGN:
        partition_target(p, &only);
        leader = first_able(context, p, election, &only, &from->isr);
        break;
    case ELECTION_PREFERRED:
        if (p->replicas.count > 0) ids_set(&only, p->replicas.at, 1);
        leader = first_able(context, p, election, &only, &from->isr);
        break;
    case ELECTION_CONTROLLED_SHUTDOWN:
        leader = first_able(context, p, election, &p->replicas, &from->isr);
        break;
    }
    ids_fini(&only);
    return leader;
}

bool election_choose(const struct context *context, const struct partition *p,
                     enum election election, bool is_unclean_allowed, const struct leadership *from,
                     struct leadership *to, struct ids *recipients)
{
    bool is_clean;
    int32_t leader = choose_leader(context, p, election, is_unclean_allowed, from, &is_clean);

    if (leader < 0) return false;
    leadership_copy(to, from);
    to->leader = leader;
    to->leader_epoch = from->leader_epoch + (planted(leader_epoch_kept) ? 0 : 1);
    to->controller_epoch = context->epoch;

    switch (election) {
    case ELECTION_OFFLINE:
    case ELECTION_OFFLINE_UNCLEAN:
    case ELECTION_AGAIN:
        keep(context, p, &p->replicas, replica_is_online, recipients);
        if (is_clean) {
            keep(context, p, &from->isr, replica_is_online, &to->isr);
        } else {
            ids_add_once(recipients, leader);
            ids_set(&to->isr, &leader, 1);
            if (context->config.has_recovery_state) to->is_recovering = true;
        }
        break;
    case ELECTION_REASSIGN:
        partition_target(p, recipients);
        break;
    case ELECTION_PREFERRED:
        ids_copy(recipients, &p->replicas);
        break;
    case ELECTION_CONTROLLED_SHUTDOWN:
        keep(context, p, &from->isr, is_staying, &to->isr);
        keep(context, p, &p->replicas, replica_is_alive, recipients);
        break;
    }
    return true;
}
