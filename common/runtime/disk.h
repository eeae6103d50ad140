/* runtime/disk.h - the pool for what may block: sync, unlink, cold reads, recovery scans.
 *
 *     struct flush { struct disk_job job; struct file *file; enum err err; };
 *     static void flush_run(struct disk_job *job)  { ... blocks, on a pool thread ... }
 *     static void flush_done(struct disk_job *job) { ... on the shard that asked ... }
 *
 * Jobs run in any order and side by side; who needs an order submits the next from `done`. `run`
 * may touch what the job holds and files, nothing of a shard. In the simulator a job is a delay. */
#pragma once
#include "base/list.h"
#include "runtime/env.h"

struct shard;
struct disk; /* one pool per process */

struct disk_job {
    struct disk_job *next; /* of the pool */
    struct shard *home;    /* of the pool: who asked */
    void (*run)(struct disk_job *job);
    void (*done)(struct disk_job *job);
};

/* Classes, so that a long scan or clean-up never keeps a sync or a cold read waiting, nor
 * compaction anything: each class has its own threads. Those of DISK_IDLE take the processor from
 * nobody who wants it. */
enum disk_class { DISK_SOON, DISK_LONG, DISK_IDLE, DISK_CLASSES };

struct disk_ops {
    enum err (*open)(void *world, const int threads[DISK_CLASSES], struct disk **out);
    /* Queued or running, of all classes together. */
    int (*backlog)(struct disk *disk);
    void (*close)(struct disk *disk);
    void (*submit)(struct disk *disk, enum disk_class class, struct disk_job *job);
};

/* With at most so many threads of each class, at least one. */
MUST_CHECK enum err disk_open(const struct env *env, const int threads[DISK_CLASSES],
                              struct disk **out);
/* Waits for the jobs that run; none may be waiting. */
void disk_close(const struct env *env, struct disk **disk);
/* Borrows `job` until its `done` has been called on `home`. From the thread of `home`. */
void disk_submit(const struct env *env, struct disk *disk, enum disk_class class,
                 struct shard *home, struct disk_job *job);
/* Jobs that wait or run now. From any thread. */
int disk_backlog(const struct env *env, struct disk *disk);
