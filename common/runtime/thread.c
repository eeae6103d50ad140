#include "runtime/thread.h"
#include <sched.h>
#include <stdio.h>

/* A shard's stack is shallow: the default of 8 MiB is address space that every thread would take. */
#define STACK_BYTES (1024 * 1024)

static void *run(void *arg)
{
    struct thread *thread = arg;
    char name[16];

    snprintf(name, sizeof(name), "shard-%d", thread->shard->id);
    pthread_setname_np(pthread_self(), name);
    shard_run(thread->shard);
    return NULL;
}

enum err thread_start(struct thread *thread, struct shard *shard)
{
    pthread_attr_t attributes;

    thread->shard = shard;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int failed = pthread_create(&thread->handle, &attributes, run, thread);
    pthread_attr_destroy(&attributes);
    return failed == 0 ? ERR_OK : ERR_TOO_MANY;
}

void thread_join(struct thread *thread)
{
    pthread_join(thread->handle, NULL);
}

int thread_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count;
}
