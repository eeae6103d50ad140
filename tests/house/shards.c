/* tests/house/shards.c - four real shards and the disk pool, under load, for the thread sanitizer.
 *
 * First each shard calls the others and itself, more at a time than a lane holds, and sends jobs to
 * the pool; every call comes home once with the right answer, those to one shard in their order.
 * Then each has one call at a time, so that all sleep and are woken again and again and nobody
 * comes by chance to wake another: a lost wake-up is a test that does not end. */
#include "base/ensure.h"
#include "base/prng.h"
#include "runtime/disk.h"
#include "runtime/env_posix.h"
#include "runtime/shard.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHARDS      4
#define AT_ONCE_MAX 700

struct ask {
    struct msg msg;
    uint64_t number;
    uint64_t answer;
};

struct work {
    struct disk_job job;
    struct party *party;
    uint64_t number, answer;
};

struct party {
    struct shard shard;
    struct prng prng;
    struct post more;
    struct timer nap;
    pthread_t thread;
    uint64_t calls, jobs, at_once_max; /* what this round is */
    uint64_t asked, answered, served, jobs_asked, jobs_done;
    uint64_t last_asked[SHARDS], last_served[SHARDS];
    _Atomic bool is_done;
};

static uint64_t answer_to(uint64_t number)
{
    return number * 2654435761u + 1;
}

static void job_run(struct disk_job *job)
{
    struct work *work = (struct work *)(void *)job;

    work->answer = answer_to(work->number);
}

static void ask_more(struct post *post);

static void note_progress(struct party *party)
{
    if (party->answered == party->calls && party->jobs_done == party->jobs)
        atomic_store(&party->is_done, true);
    else if (party->asked < party->calls && party->asked - party->answered < party->at_once_max)
        shard_post(&party->shard, &party->more);
}

static void job_done(struct disk_job *job)
{
    struct work *work = (struct work *)(void *)job;
    struct party *party = work->party;

    ensure(work->answer == answer_to(work->number));
    party->jobs_done++;
    free(work);
    note_progress(party);
}

static void on_call(void *owner, struct msg *msg)
{
    struct party *party = owner;
    struct ask *ask = (struct ask *)(void *)msg;

    ensure(ask->number > party->last_served[msg->home]);
    party->last_served[msg->home] = ask->number;
    party->served++;
    ask->answer = answer_to(ask->number);
    mailbox_reply(party->shard.mailbox, msg);
}

static void on_answer(void *owner, struct msg *msg)
{
    struct party *party = owner;
    struct ask *ask = (struct ask *)(void *)msg;

    ensure(ask->answer == answer_to(ask->number));
    party->answered++;
    free(ask);
    note_progress(party);
}

static void ask_one(struct party *party)
{
    struct ask *ask = ensure_zalloc(sizeof(*ask));
    uint8_t to = (uint8_t)prng_below(&party->prng, SHARDS);

    ask->number = ++party->last_asked[to];
    party->asked++;
    mailbox_call(party->shard.mailbox, to, &ask->msg);
    if (party->jobs_asked < party->jobs &&
        party->jobs_asked * party->calls <= party->asked * party->jobs) {
        struct work *work = ensure_zalloc(sizeof(*work));
        work->job.run = job_run;
        work->job.done = job_done;
        work->party = party;
        work->number = ++party->jobs_asked;
        disk_submit(party->shard.env, party->shard.disk, DISK_SOON, &party->shard, &work->job);
    }
}

static void ask_more(struct post *post)
{
    struct party *party = (struct party *)(void *)((char *)post - offsetof(struct party, more));
    /* Sometimes one, so that the others sleep between; sometimes more than a lane holds. */
    uint64_t n =
        prng_below(&party->prng, 8) == 0 ? party->at_once_max : 1 + prng_below(&party->prng, 3);

    for (; n > 0 && party->asked < party->calls &&
           party->asked - party->answered < party->at_once_max;
         n--)
        ask_one(party);
}

static void *run(void *party_)
{
    struct party *party = party_;

    shard_post(&party->shard, &party->more);
    shard_run(&party->shard);
    return NULL;
}

static bool are_done(struct party *parties)
{
    for (int i = 0; i < SHARDS; i++)
        if (!atomic_load(&parties[i].is_done)) return false;
    return true;
}

static void play(uint64_t calls, uint64_t jobs, uint64_t at_once_max)
{
    static const struct mailbox_handlers handlers = {.call = on_call, .answer = on_answer};
    struct party *parties = ensure_zalloc(SHARDS * sizeof(parties[0]));
    struct env *env = env_posix_create(NULL);
    struct mesh *mesh = mesh_create(SHARDS);
    struct disk *disk = NULL;
    uint64_t served = 0, seed = env_random(env, "test/shards");

    printf("%d shards, %d calls and %d jobs each, %d at once, seed %llu\n", SHARDS, (int)calls,
           (int)jobs, (int)at_once_max, (unsigned long long)seed);
    fflush(stdout);
    ensure(disk_open(env, (const int[DISK_CLASSES]){2, 1, 1}, &disk) == ERR_OK);
    for (int i = 0; i < SHARDS; i++) {
        struct party *party = &parties[i];
        party->calls = calls;
        party->jobs = jobs;
        party->at_once_max = at_once_max;
        party->more.run = ask_more;
        prng_init(&party->prng, seed + (uint64_t)i);
        ensure(shard_open(&party->shard, env, i, mesh, &handlers, party, disk) == ERR_OK);
    }
    for (int i = 0; i < SHARDS; i++)
        ensure(pthread_create(&parties[i].thread, NULL, run, &parties[i]) == 0);
    while (!are_done(parties))
        usleep(1000);
    for (int i = 0; i < SHARDS; i++)
        shard_stop(&parties[i].shard);
    for (int i = 0; i < SHARDS; i++)
        pthread_join(parties[i].thread, NULL);
    for (int i = 0; i < SHARDS; i++)
        served += parties[i].served;
    ensure(served == SHARDS * calls);
    disk_close(env, &disk);
    for (int i = 0; i < SHARDS; i++)
        shard_close(&parties[i].shard);
    mesh_destroy(&mesh);
    env_posix_destroy(&env);
    free(parties);
}

int main(void)
{
    alarm(900); /* a lost wake-up ends here, with a signal */
    play(20000, 2000, AT_ONCE_MAX);
    play(40000, 0, 1);
    return 0;
}
