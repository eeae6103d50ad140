#include "runtime/meeting.h"
#include "base/ensure.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t called;
};

struct meeting *meeting_create(void)
{
    struct meeting *meeting = ensure_zalloc(sizeof(*meeting));
    pthread_condattr_t monotonic;

    pthread_mutex_init(&meeting->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&meeting->called, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return meeting;
}

void meeting_destroy(struct meeting **meeting)
{
    if (*meeting == NULL) return;
    pthread_cond_destroy(&(*meeting)->called);
    pthread_mutex_destroy(&(*meeting)->lock);
    free(*meeting);
    *meeting = NULL;
}

void meeting_lock(struct meeting *meeting)
{
    pthread_mutex_lock(&meeting->lock);
}

void meeting_unlock(struct meeting *meeting)
{
    pthread_mutex_unlock(&meeting->lock);
}

void meeting_wait(struct meeting *meeting, int64_t ms)
{
    struct timespec until;

    if (ms < 0) ms = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(&meeting->called, &meeting->lock, &until);
}

void meeting_call(struct meeting *meeting)
{
    pthread_cond_broadcast(&meeting->called);
}
