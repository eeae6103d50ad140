#include "tests/sim/pool.h"
#include "base/ensure.h"
#include "runtime/disk.h"
#include "runtime/files.h"
#include "runtime/shard.h"
#include "tests/sim/env_sim.h"
#include "tests/sim/net.h"
#include "tests/unit/unit.h"

enum { STEPS = 20 };

/* Appends and syncs, so often. */
struct writer {
    struct disk_job job;
    const char *path;
    int steps;
    bool is_done;
};

static struct world *world;
static struct sim_host *host;
static struct sim_process *process;
static struct shard shard;
static struct disk *disk;
static struct writer writers[2];
static char order[2 * STEPS + 1];
static int order_len;

static void writer_run(struct disk_job *job)
{
    struct writer *w = list_entry(job, struct writer, job);
    const struct env *env = &process->env;
    struct file *file = NULL;

    enum err err = files_open(env, w->path, FILE_WRITE | FILE_CREATE, &file);
    ensure(err == ERR_OK);
    while (w->steps < STEPS) {
        err = file_write_at(env, file, (uint64_t)w->steps, SLICE("x"));
        if (err == ERR_OK) err = file_sync(env, file);
        ensure(err == ERR_OK);
        w->steps++;
        order[order_len++] = w == &writers[0] ? 'a' : 'b';
    }
    file_close(env, &file);
}

static void writer_done(struct disk_job *job)
{
    list_entry(job, struct writer, job)->is_done = true;
}

static void start_process(void *arg)
{
    static const struct mailbox_handlers no_handlers;

    (void)arg;
    enum err err = disk_open(&process->env, (const int[DISK_CLASSES]){2, 2, 1}, &disk);
    if (err == ERR_OK) err = shard_open(&shard, &process->env, 0, NULL, &no_handlers, NULL, disk);
    ensure(err == ERR_OK);
    sim_shard_start(&shard);
    for (int i = 0; i < 2; i++) {
        writers[i] = (struct writer){.job = {.run = writer_run, .done = writer_done},
                                     .path = i == 0 ? "/data/a" : "/data/b"};
        disk_submit(&process->env, disk, i == 0 ? DISK_SOON : DISK_LONG, &shard, &writers[i].job);
    }
}

static void end_process(void *arg)
{
    (void)arg;
    shard_close(&shard);
    disk_close(&process->env, &disk);
}

static void start(uint64_t seed)
{
    world = world_create(seed);
    world_set_option(world, "disk.job-us-max", 20);
    world_without(world, "disk");
    sim_net_create(world);
    sim_disks_create(world);
    host = host_create(world, "h");
    sim_disks_add(world->disks, host, 1, 1 << 20);
    process = sim_process_create(host, "p");
    order_len = 0;
    memset(order, 0, sizeof(order));
    ck_assert(process_run(process, start_process, NULL));
}

static void end(void)
{
    sim_disks_destroy(&world->disks);
    sim_net_destroy(&world->net);
    world_destroy(&world);
}

static void run_ms(int64_t ms)
{
    world_run(world, instant_add_ms(world->now, ms));
}

START_TEST(jobs_go_side_by_side_and_take_their_time)
{
    start(1);
    run_ms(20);
    ck_assert(writers[0].steps > 0 && writers[0].steps < STEPS);
    ck_assert(writers[1].steps > 0 && writers[1].steps < STEPS);
    ck_assert_int_eq(disk_backlog(&process->env, disk), 2);
    run_ms(1000);
    ck_assert(writers[0].is_done && writers[1].is_done);
    ck_assert_int_eq(disk_backlog(&process->env, disk), 0);
    ck_assert_ptr_nonnull(strstr(order, "ab"));
    ck_assert_ptr_nonnull(strstr(order, "ba"));
    char first[sizeof(order)];
    memcpy(first, order, sizeof(order));
    ck_assert(process_run(process, end_process, NULL));
    process_kill(process);
    end();

    start(1); /* the same seed, the same order */
    run_ms(1000);
    ck_assert_str_eq(order, first);
    process_kill(process);
    end();
}
END_TEST

START_TEST(what_a_killed_job_has_half_done_stays_half_done)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct file_status status = {0};
        start(seed);
        run_ms(5 + (int64_t)seed * 3);
        int steps = writers[0].steps;
        process_kill(process);
        run_ms(1000);
        ck_assert_int_eq(writers[0].steps, steps);
        ck_assert(steps < STEPS && !writers[0].is_done);
        struct sim_process *next = sim_process_create(host, "q");
        ck_assert_int_eq(files_status(&next->env, "/data/a", &status), ERR_OK);
        ck_assert_uint_ge(status.size, (uint64_t)steps);
        ck_assert_uint_le(status.size, (uint64_t)steps + 1);
        process_kill(next);
        end();
    }
}
END_TEST

START_TEST(a_paused_process_leaves_its_jobs_where_they_are)
{
    start(3);
    run_ms(20);
    process_pause(process);
    int steps = writers[0].steps + writers[1].steps;
    run_ms(1000);
    ck_assert_int_eq(writers[0].steps + writers[1].steps, steps);
    process_resume(process);
    run_ms(1000);
    ck_assert(writers[0].is_done && writers[1].is_done);
    process_kill(process);
    end();
}
END_TEST

UNIT(jobs_go_side_by_side_and_take_their_time, what_a_killed_job_has_half_done_stays_half_done,
     a_paused_process_leaves_its_jobs_where_they_are)
