/* runtime/thread.h - a shard on a thread of its own. Real processes only. */
#pragma once
#include "runtime/shard.h"
#include <pthread.h>

struct thread {
    pthread_t handle;
    struct shard *shard;
};

/* Runs shard_run of `shard` on a new thread; keeps both until thread_join. ERR_TOO_MANY. */
MUST_CHECK enum err thread_start(struct thread *thread, struct shard *shard);
/* After shard_stop: waits for its end. */
void thread_join(struct thread *thread);

/* Processors that this process may use; at least 1. */
int thread_cpus(void);
