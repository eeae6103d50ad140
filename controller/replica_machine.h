/* controller/replica_machine.h - the states of replicas and what a transition implies. Pure.
 *
 * NonExistent → New → Online ⇄ Offline; deletion: Offline → DeletionStarted → DeletionSuccessful →
 * NonExistent, or DeletionIneligible, from where it may be tried again. An illegal transition is
 * noted and skipped. */
#pragma once
#include "controller/task.h"

bool replica_may_become(enum replica_state from, enum replica_state to);
const char *replica_state_name(enum replica_state state);

/* One batch; takes the members of `set`. To Offline pushes a task (it takes the replicas out of
 * their ISRs); every other transition is done on return. */
void replicas_to(struct context *context, struct replica_set *set, enum replica_state to);
