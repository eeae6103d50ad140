/* controller/reassign.h - partitions move to other brokers: new replicas are added, caught up, and
 * the old ones removed. Pure.
 *
 * RS := distinct(target ++ origin), AR := RS − origin, RR := RS − target. The origin stays in
 * ZooKeeper until the end, so that another controller can go on from any point. */
#pragma once
#include "controller/task.h"

/* Goes on with the partition's own assignment, whether it is complete or not. Pushes a task. */
void reassign_resume(struct context *context, struct partition *p);
/* Those of `set` that are reassigning and complete are finished. Takes its members. Pushes a task.
 */
void reassign_complete(struct context *context, struct partition_set *set);
/* Those that have a target replica on one of `brokers` are resumed. Pushes tasks. */
void reassign_resume_on(struct context *context, const struct ids *brokers);

/* What a new target makes of an assignment. `out` is zeroed. */
struct assignment;
void reassign_plan(const struct partition *p, const struct ids *target, struct assignment *out);
