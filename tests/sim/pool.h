/* tests/sim/pool.h - jobs of the disk pool that take their time, operation by operation.
 *
 * Each job runs on a stack of its own. Before a file operation that costs something it stops, and
 * goes on when the time is over; meanwhile everything else of the world happens: appends to the
 * file that is being synced, a truncation, another job, the end of the process. A job whose process
 * dies is never heard of again, and what it had half done stays half done. */
#pragma once
#include "tests/sim/world.h"

struct disk_job;
struct sim_pool; /* one per world */

struct sim_pool *sim_pool_create(struct world *world);
void sim_pool_destroy(struct sim_pool **pool);

/* Runs `job->run`, at once up to its first pause; `done` when it has come to its end. Both as code
 * of the process; called from there. */
void sim_pool_run(struct sim_pool *pool, struct sim_process *process, struct disk_job *job,
                  void (*done)(struct disk_job *job));
/* From a file operation of the process: if a job makes it, it goes on after `ns`. */
void sim_pool_pause(struct sim_pool *pool, struct sim_process *process, int64_t ns);
/* Its jobs are gone. */
void sim_pool_killed(struct sim_pool *pool, struct sim_process *process);
/* Jobs that are under way. */
int sim_pool_count(const struct sim_pool *pool);
