/* controller/znodes.h - performs what the machines ask of ZooKeeper.
 *
 * Reads and unfenced writes leave one by one, pipelined. Fenced writes leave in multis of many
 * behind one check of /controller_epoch, and of the registrations that they name as guards; a multi
 * that failed for another reason than the fence is done again write by write, so that each has its
 * own answer. All are resent after a lost connection, except those that are for now: ERR_ZK_LOSS.
 * When the fence fails, `moved` is called and the batch is never answered. */
#pragma once
#include "controller/task.h"

struct znodes;
struct warm;

/* `warm` answers the reads that say so. */
struct znodes *znodes_create(struct shard *shard, struct zk *zk, const struct warm *warm,
                             void (*answered)(void *owner, struct task *task),
                             void (*moved)(void *owner), void *owner);
/* Its unanswered calls end with the session (zk_close first). */
void znodes_destroy(struct znodes **znodes);

/* Keeps the task's requests until `answered`, which is never called inside. */
void znodes_ask(struct znodes *znodes, struct task *task, int32_t epoch_version);
/* Forgets all that is under way: the tasks are gone. What was sent may still happen, under its
 * fence. */
void znodes_forget(struct znodes *znodes);
