#include "tests/unit/loop.h"
#include <pthread.h>

static struct env *env;
static struct shard shard;
static char trace[256];

static void note(const char *what)
{
    strncat(trace, what, sizeof(trace) - strlen(trace) - 1);
}

/* Timers and posts that say their name when they run. */
struct named_timer {
    struct timer timer;
    const char *name;
};
struct named_post {
    struct post post;
    const char *name;
    struct named_post *next;
    bool again_last;
};

static void say_timer(struct timer *timer)
{
    note(((struct named_timer *)(void *)timer)->name);
}

static void say_post(struct post *post)
{
    struct named_post *named = (struct named_post *)(void *)post;

    note(named->name);
    if (named->next != NULL && named->again_last)
        shard_post_last(&shard, &named->next->post);
    else if (named->next != NULL)
        shard_post(&shard, &named->next->post);
}

static void start(struct disk *disk)
{
    if (env == NULL) env = env_posix_create(NULL);
    trace[0] = '\0';
    loop_open(&shard, env, disk, NULL);
}

static void stop(void)
{
    shard_close(&shard);
    env_posix_destroy(&env);
}

START_TEST(timers_fire_in_order_once_and_never_early)
{
    struct named_timer a = {{.fire = say_timer}, "a"}, b = {{.fire = say_timer}, "b"},
                       c = {{.fire = say_timer}, "c"}, d = {{.fire = say_timer}, "d"};

    start(NULL);
    struct instant now = shard_now(&shard), soon = instant_add_ms(now, 20);
    timer_arm(&shard, &a.timer, instant_add_ms(now, 1));
    timer_arm(&shard, &b.timer, soon);
    timer_arm(&shard, &c.timer, soon); /* the same time: in the order of arming */
    timer_arm(&shard, &d.timer, INSTANT_ZERO);
    timer_arm(&shard, &a.timer, instant_add_ms(soon, 1)); /* moved behind them */
    shard_turn(&shard);
    ck_assert_str_eq(trace, "d"); /* at once, and nothing else yet */
    while (trace[1] == '\0') {
        shard_turn(&shard);
        if (instant_before(shard_now(&shard), soon)) ck_assert_str_eq(trace, "d");
    }
    loop_until(&shard, strlen(trace) == 4);
    ck_assert_str_eq(trace, "dbca");
    timer_arm(&shard, &b.timer, INSTANT_ZERO);
    timer_arm(&shard, &c.timer, INSTANT_ZERO);
    timer_arm(&shard, &b.timer, INSTANT_NEVER); /* disarms */
    timer_cancel(&shard, &c.timer);
    timer_cancel(&shard, &c.timer);
    loop_turn(&shard);
    ck_assert_str_eq(trace, "dbca");
    stop();
}
END_TEST

START_TEST(posts_run_once_later_and_the_last_ones_last)
{
    struct named_post last = {{.run = say_post}, "L", NULL, false};
    struct named_post third = {{.run = say_post}, "3", NULL, false};
    struct named_post second = {{.run = say_post}, "2", &last, true};
    struct named_post first = {{.run = say_post}, "1", &third, false};
    struct named_post gone = {{.run = say_post}, "x", NULL, false};
    struct named_post late = {{.run = say_post}, "l", &third, false};

    start(NULL);
    shard_post(&shard, &second.post);
    shard_post(&shard, &first.post);
    shard_post(&shard, &second.post); /* stands already */
    shard_post(&shard, &gone.post);
    shard_unpost(&gone.post);
    ck_assert_str_eq(trace, ""); /* never inside the call */
    shard_turn(&shard);
    ck_assert_str_eq(trace, "213L"); /* what is posted meanwhile runs too, before the last */

    shard_post_last(&shard, &late.post);
    shard_turn(&shard);
    ck_assert_str_eq(trace, "213Ll"); /* what a last one posts waits for the next turn … */
    shard_turn(&shard);
    ck_assert_str_eq(trace, "213Ll3"); /* … which does not wait */
    stop();
}
END_TEST

struct job {
    struct disk_job job;
    pthread_t ran_on;
    int ran, done;
};

static void job_run(struct disk_job *job)
{
    struct job *mine = (struct job *)(void *)job;

    mine->ran_on = pthread_self();
    mine->ran++;
}

static void job_done(struct disk_job *job)
{
    struct job *mine = (struct job *)(void *)job;

    ck_assert_int_eq(mine->ran, mine->done + 1);
    mine->done++;
    if (mine->done < 3) /* the next of an order is submitted from here */
        disk_submit(env, shard.disk, DISK_LONG, &shard, job);
}

START_TEST(jobs_run_elsewhere_and_come_home)
{
    enum { JOBS = 500 };
    static struct job jobs[JOBS];
    struct disk *disk = NULL;
    int done = 0;

    env = env_posix_create(NULL);
    ck_assert_int_eq(disk_open(env, (const int[DISK_CLASSES]){3, 2, 1}, &disk), ERR_OK);
    start(disk);
    for (int i = 0; i < JOBS; i++) {
        jobs[i].job.run = job_run;
        jobs[i].job.done = job_done;
        disk_submit(env, disk, DISK_SOON, &shard, &jobs[i].job);
    }
    for (int i = 0; i < JOBS; i++)
        ck_assert_int_eq(jobs[i].done, 0); /* never inside the call */
    loop_until(&shard, (done = 0, ({
                            for (int i = 0; i < JOBS; i++)
                                done += jobs[i].done;
                        }),
                        done == 3 * JOBS));
    for (int i = 0; i < JOBS; i++)
        ck_assert(!pthread_equal(jobs[i].ran_on, pthread_self()));
    ck_assert_int_eq(disk_backlog(env, disk), 0);
    disk_close(env, &disk);
    stop();
}
END_TEST

static void *run_shard(void *unused)
{
    (void)unused;
    shard_run(&shard);
    return NULL;
}

START_TEST(stop_ends_a_shard_that_waits_for_nothing)
{
    pthread_t thread;

    for (int i = 0; i < 200; i++) {
        start(NULL);
        ck_assert_int_eq(pthread_create(&thread, NULL, run_shard, NULL), 0);
        shard_stop(&shard);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        stop();
    }
}
END_TEST

/* A call to oneself: its handler and its answer come later in the same turn. */
static void own_call(void *owner, struct msg *msg)
{
    (void)owner;
    note("call ");
    mailbox_reply(shard.mailbox, msg);
    note("replied ");
}

static void own_answer(void *owner, struct msg *msg)
{
    (void)owner;
    ck_assert_uint_eq(msg->type, 7);
    note("answer ");
}

START_TEST(a_call_to_oneself_is_answered_in_the_same_turn_but_not_inside)
{
    static const struct mailbox_handlers handlers = {.call = own_call, .answer = own_answer};
    struct msg msg = {.type = 7};

    env = env_posix_create(NULL);
    ck_assert_int_eq(shard_open(&shard, env, 0, NULL, &handlers, NULL, NULL), ERR_OK);
    mailbox_call(shard.mailbox, 0, &msg);
    ck_assert_str_eq(trace, "");
    shard_turn(&shard);
    ck_assert_str_eq(trace, "call replied answer ");
    stop();
}
END_TEST

UNIT(timers_fire_in_order_once_and_never_early, posts_run_once_later_and_the_last_ones_last,
     jobs_run_elsewhere_and_come_home, stop_ends_a_shard_that_waits_for_nothing,
     a_call_to_oneself_is_answered_in_the_same_turn_but_not_inside)
