/* controller/election.c - see election.h. */
#include "controller/election.h"
#include "base/planted.h"

enum choice { CHOICE_OF_ISR, CHOICE_FORMER, CHOICE_UNCLEAN };

static bool may_lead(const struct context *context, const struct partition *p,
                     enum election election, int32_t broker)
{
    if (!broker_is_heard(context, broker)) return false;
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

/* The first of the ISR that may lead, of those that have lost nothing if there is one. */
static int32_t first_of_isr(const struct context *context, const struct partition *p,
                            enum election election, const struct ids *isr)
{
    struct ids sure = {0};

    ids_copy(&sure, isr);
    partition_drop_doubted(p, &sure);
    int32_t leader = first_able(context, p, election, &p->replicas, &sure);
    ids_fini(&sure);
    return leader >= 0 ? leader : first_able(context, p, election, &p->replicas, isr);
}

/* Somebody of the ISR is away, and has not lost what others have. */
static bool is_sure_one_away(const struct context *context, const struct partition *p,
                             const struct ids *isr)
{
    for (int32_t i = 0; i < isr->count; i++)
        if (!partition_is_doubted(p, isr->at[i]) && !broker_is_live(context, isr->at[i]))
            return true;
    return false;
}

/* All of the ISR are back, and may lack what was acknowledged, or cannot lead. Who is away is
 * waited for. */
static bool is_isr_in_doubt(const struct context *context, const struct partition *p,
                            const struct ids *isr)
{
    for (int32_t i = 0; i < isr->count; i++) {
        int32_t id = isr->at[i];

        if (!broker_is_live(context, id) ||
            (replica_is_online(context, p, id) && !partition_is_doubted(p, id)))
            return false;
    }
    return true;
}

/* Of the ISR that is in memory it is remembered who left it. */
static bool knows_formers(const struct context *context, const struct partition *p,
                          const struct leadership *from)
{
    return p->has_leadership && p->now.partition_epoch == from->partition_epoch &&
           is_isr_in_doubt(context, p, &from->isr);
}

/* One that left the ISR with all that was acknowledged, where `terms` say so (NULL: where they
 * might); online, if `context` is given. −1: there is none. */
static int32_t any_former(const struct context *context, const struct partition *p,
                          const struct election_terms *terms)
{
    int32_t min_insync = terms == NULL ? INT32_MAX : terms->min_insync;
    int64_t since = terms == NULL ? -1 : terms->config_zxid;

    for (int32_t i = 0; i < p->replicas.count; i++) {
        int32_t id = p->replicas.at[i];

        if ((context == NULL ||
             (replica_is_online(context, p, id) && broker_is_heard(context, id))) &&
            partition_has_left_with_all(p, id, min_insync, since))
            return id;
    }
    return -1;
}

/* Where nobody in the ISR is as good. */
static int32_t first_former(const struct context *context, const struct partition *p,
                            const struct leadership *from, const struct election_terms *terms)
{
    return knows_formers(context, p, from) ? any_former(context, p, terms) : -1;
}

/* The ISR lost something, perhaps before it had heard that it was alone, and synced for that; and
 * one that left it before is not back yet. */
static bool is_former_awaited(const struct context *context, const struct partition *p,
                              const struct leadership *from, const struct election_terms *terms)
{
    return knows_formers(context, p, from) && any_former(NULL, p, terms) >= 0;
}

bool election_asks_terms(const struct context *context, const struct partition *p,
                         enum election election, const struct leadership *from)
{
    if (election != ELECTION_OFFLINE && election != ELECTION_OFFLINE_UNCLEAN) return false;
    int32_t able = first_of_isr(context, p, election, &from->isr);

    return (able < 0 && election == ELECTION_OFFLINE) ||
           (able >= 0 && partition_is_doubted(p, able) &&
            is_sure_one_away(context, p, &from->isr)) ||
           first_former(context, p, from, NULL) >= 0 || is_former_awaited(context, p, from, NULL);
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

/* Of the ISR; or, where those that could lead may lack what was acknowledged, of those that left it
 * with all of that. Else whoever there is, if that is allowed. */
static int32_t choose_for_offline(const struct context *context, const struct partition *p,
                                  enum election election, const struct election_terms *terms,
                                  const struct leadership *from, enum choice *choice)
{
    bool is_unclean_allowed = terms->is_unclean_allowed || election == ELECTION_OFFLINE_UNCLEAN ||
                              planted(unclean_by_default);
    int32_t leader = first_former(context, p, from, terms);

    if (leader >= 0) {
        *choice = CHOICE_FORMER;
        return leader;
    }
    leader = first_of_isr(context, p, election, &from->isr);
    if (leader >= 0 && !is_unclean_allowed &&
        (is_former_awaited(context, p, from, terms) ||
         (partition_is_doubted(p, leader) && is_sure_one_away(context, p, &from->isr))))
        return -1;
    if (leader < 0 && is_unclean_allowed) {
        leader = first_able(context, p, election, &p->replicas, NULL);
        *choice = CHOICE_UNCLEAN;
    }
    if (leader < 0 && election == ELECTION_OFFLINE_UNCLEAN)
        leader = first_refusing(context, p, &from->isr);
    return leader;
}

static int32_t choose_leader(const struct context *context, const struct partition *p,
                             enum election election, const struct election_terms *terms,
                             const struct leadership *from, enum choice *choice)
{
    struct ids only = {0};
    int32_t leader = -1;

    *choice = CHOICE_OF_ISR;
    switch (election) {
    case ELECTION_OFFLINE:
    case ELECTION_OFFLINE_UNCLEAN:
        leader = choose_for_offline(context, p, election, terms, from, choice);
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
    /* Who is in doubt leads by an election that knows of those who left. */
    bool knows_better = election == ELECTION_OFFLINE || election == ELECTION_OFFLINE_UNCLEAN;
    if (!knows_better && leader >= 0 && partition_is_doubted(p, leader) &&
        (is_sure_one_away(context, p, &from->isr) ||
         (knows_formers(context, p, from) && any_former(NULL, p, NULL) >= 0)))
        leader = -1;
    return leader;
}

bool election_choose(const struct context *context, const struct partition *p,
                     enum election election, const struct election_terms *terms,
                     const struct leadership *from, struct leadership *to, struct ids *recipients,
                     bool *is_unclean)
{
    enum choice choice;
    int32_t leader = choose_leader(context, p, election, terms, from, &choice);

    if (leader < 0) return false;
    *is_unclean = choice != CHOICE_FORMER &&
                  (!ids_have(&from->isr, leader) || !replica_is_online(context, p, leader));
    leadership_copy(to, from);
    to->leader = leader;
    to->leader_epoch = from->leader_epoch + (planted(leader_epoch_kept) ? 0 : 1);
    to->controller_epoch = context->epoch;

    switch (election) {
    case ELECTION_OFFLINE:
    case ELECTION_OFFLINE_UNCLEAN:
    case ELECTION_AGAIN:
        keep(context, p, &p->replicas, replica_is_online, recipients);
        if (choice == CHOICE_OF_ISR) {
            keep(context, p, &from->isr, replica_is_online, &to->isr);
            if (!partition_is_doubted(p, leader)) partition_drop_doubted(p, &to->isr);
        } else {
            ids_add_once(recipients, leader);
            ids_set(&to->isr, &leader, 1);
            /* A former member is not to lead with less than it promised. */
            if (choice == CHOICE_UNCLEAN && context->config.has_recovery_state)
                to->is_recovering = true;
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
