/* controller/deletion.h - topics that are to go: their replicas are stopped, deleted, and when all
 * have said so the znodes go. Pure. */
#pragma once
#include "controller/task.h"

/* Whatever can go on does; pushes a task. */
void deletions_resume(struct context *context);
/* Those replicas cannot be deleted now. Takes the members of `set`. Pushes a task. */
void deletions_failed(struct context *context, struct replica_set *set);
/* Topics with a replica on one of `brokers` are tried again. */
void deletions_allow_on(struct context *context, const struct ids *brokers);
