#include "tests/bench/awake.h"
#include "base/ensure.h"
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void spin_on(int processor)
{
    struct sched_param none = {0};
    cpu_set_t set;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    /* A session is a group of its own to the scheduler; where groups are not made so, this is all
     * the same. */
    FILE *group = fopen("/proc/self/autogroup", "w");
    if (group != NULL) {
        fputs("19", group);
        fclose(group);
    }
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    /* At any other priority it would be in the way. */
    if (sched_setaffinity(0, sizeof(set), &set) != 0 ||
        sched_setscheduler(0, SCHED_IDLE, &none) != 0)
        _exit(1);
    for (;;)
        ;
}

void awake_begin(struct awake *awake)
{
    cpu_set_t ours;

    *awake = (struct awake){.pids = ensure_zalloc(CPU_SETSIZE * sizeof(pid_t))};
    if (sched_getaffinity(0, sizeof(ours), &ours) != 0) return;
    fflush(NULL); /* what is buffered is written once */
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &ours)) continue;
        pid_t pid = fork();
        if (pid == 0) spin_on(i);
        if (pid > 0) awake->pids[awake->count++] = pid;
    }
}

void awake_end(struct awake *awake)
{
    for (int i = 0; i < awake->count; i++) {
        kill(awake->pids[i], SIGKILL);
        waitpid(awake->pids[i], NULL, 0);
    }
    free(awake->pids);
    *awake = (struct awake){0};
}
