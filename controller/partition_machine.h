/* controller/partition_machine.h - the states of partitions and what a transition implies. Pure.
 *
 * NonExistent → New → Online ⇄ Offline → NonExistent. An illegal one is noted and skipped. */
#pragma once
#include "controller/election.h"
#include "controller/task.h"

bool partition_may_become(enum partition_state from, enum partition_state to);
const char *partition_state_name(enum partition_state state);

/* To New, Offline or NonExistent: nothing is sent. */
void partitions_mark(struct context *context, const struct partition_set *set,
                     enum partition_state to);

/* What became of an election. */
struct elected {
    int32_t succeeded;
    enum answer *answers; /* by place in the set; owned, free it. Of initialised ones: OK */
};

/* To Online, as one batch: those in New are initialised (first live replica leads, ISR = all live
 * replicas, znodes created), the others elect. Takes the members of `set`. Pushes a task; `elected`
 * (may be NULL) is filled when it ends and must live as long. */
void partitions_to_online(struct context *context, struct partition_set *set,
                          enum election election, struct elected *elected);

/* Every partition that is New or Offline and not being deleted → Online; of `topic` only, if given.
 */
void partitions_trigger_online(struct context *context, const struct topic *topic,
                               struct elected *elected);

/* Leader epoch + 1, with compare-and-set until it holds; `recipients` are told (not new), and those
 * in `added` too (new). Copies the lists. Pushes a task. */
void partition_bump_epoch(struct context *context, struct partition *p,
                          const struct ids *recipients, const struct ids *added);

/* Reads the states of `set` into the context. Takes its members. Pushes a task. */
void partitions_refresh(struct context *context, struct partition_set *set);
