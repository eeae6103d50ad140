/* controller/election.h - who leads a partition, and with which ISR. Pure, a function of the
 * context.
 *
 * Replicas are asked in the order of the assignment. Every success is a new leader epoch, even for
 * the same leader; what is recovering stays so. */
#pragma once
#include "controller/context.h"

enum election {
    ELECTION_OFFLINE,         /* the leader is gone, or there was none */
    ELECTION_OFFLINE_UNCLEAN, /* the same, and unclean if need be whatever the topic says */
    ELECTION_AGAIN,           /* the same leader, if it may: it began a new life in between */
    ELECTION_REASSIGN,        /* among the target replicas */
    ELECTION_PREFERRED,       /* the first replica or nobody */
    ELECTION_CONTROLLED_SHUTDOWN,
};

/* What the topic's configuration allows. */
struct election_terms {
    bool is_unclean_allowed;
    int32_t min_insync;  /* of the topic; 0: it says nothing */
    int64_t config_zxid; /* since when */
};

/* Whether these matter: nobody of the ISR is online, or who is has lost something. */
bool election_asks_terms(const struct context *context, const struct partition *p,
                         enum election election, const struct leadership *from);

/* False when nobody may lead: nothing is changed. Else `*to` (zeroed, the caller's) is the state to
 * write, `*recipients` who is told by LeaderAndIsr, and `*is_unclean` whether records may be lost
 * by it: the leader was not in sync, or could not say that it has all it promised. */
bool election_choose(const struct context *context, const struct partition *p,
                     enum election election, const struct election_terms *terms,
                     const struct leadership *from, struct leadership *to, struct ids *recipients,
                     bool *is_unclean);
