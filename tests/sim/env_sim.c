#include "tests/sim/env_sim.h"
#include "base/ensure.h"
#include "runtime/disk.h"
#include "runtime/shard.h"
#include "tests/sim/heap.h"
#include "tests/sim/net.h"
#include "tests/sim/pool.h"
#include "tests/sim/zookeeper.h"
#include <stdio.h>
#include <stdlib.h>

#define REPLACED_MAX 16 /* more than jobs that replace a file run at a time */

/* ---- clock and luck ---- */

static struct instant op_now(void *of)
{
    return ((const struct sim_process *)of)->world->now;
}

static int64_t op_wall_ms(void *of)
{
    const struct sim_process *process = of;
    const struct world *world = process->world;

    return world->wall_began_ms + world->now.ns / 1000000 + process->host->wall_offset_ms;
}

static uint64_t op_random(void *of, const char *purpose)
{
    struct sim_process *process = of;
    char name[100];

    snprintf(name, sizeof(name), "%s.%s", process->host->name, purpose);
    return world_draw(process->world, name);
}

/* ---- files: those of the process, in the world's heap ---- */

#define PATH_CALL(name, params, args)                                                              \
    static enum err op_##name params                                                               \
    {                                                                                              \
        struct sim_process *process = of;                                                          \
        struct sim_heap *was = sim_heap_use_world();                                               \
        enum err err = sim_files_ops.name args;                                                    \
        sim_heap_use(was);                                                                         \
        return err;                                                                                \
    }

#define FILE_CALL(name, params, args)                                                              \
    static enum err op_##name params                                                               \
    {                                                                                              \
        struct sim_heap *was = sim_heap_use_world();                                               \
        enum err err = sim_files_ops.name args;                                                    \
        sim_heap_use(was);                                                                         \
        return err;                                                                                \
    }

static void op_close(struct file *file)
{
    struct sim_heap *was = sim_heap_use_world();

    sim_files_ops.close(file);
    sim_heap_use(was);
}

static void op_drop_cached(struct file *file)
{
    struct sim_heap *was = sim_heap_use_world();

    sim_files_ops.drop_cached(file);
    sim_heap_use(was);
}

FILE_CALL(read_at, (struct file * file, uint64_t position, void *to, size_t len, size_t *n),
          (file, position, to, len, n))
FILE_CALL(write_at, (struct file * file, uint64_t position, const struct iovec *parts, int count),
          (file, position, parts, count))
FILE_CALL(read_cached, (struct file * file, uint64_t position, void *to, size_t len, size_t *n),
          (file, position, to, len, n))
FILE_CALL(sync, (struct file * file), (file))
FILE_CALL(write_behind, (struct file * file, uint64_t position, uint64_t len),
          (file, position, len))
FILE_CALL(truncate, (struct file * file, uint64_t size), (file, size))
FILE_CALL(allocate, (struct file * file, uint64_t size), (file, size))
FILE_CALL(size, (struct file * file, uint64_t *out), (file, out))
PATH_CALL(open, (void *of, const char *path, int flags, struct file **out),
          (process->files, path, flags, out))
PATH_CALL(lock, (void *of, const char *path, struct file **out), (process->files, path, out))
PATH_CALL(status, (void *of, const char *path, struct file_status *out),
          (process->files, path, out))
PATH_CALL(set_modified, (void *of, const char *path, int64_t wall_ms),
          (process->files, path, wall_ms))
PATH_CALL(rename, (void *of, const char *from, const char *to), (process->files, from, to))
PATH_CALL(remove, (void *of, const char *path), (process->files, path))
PATH_CALL(make_directory, (void *of, const char *path), (process->files, path))
PATH_CALL(remove_directory, (void *of, const char *path), (process->files, path))
PATH_CALL(sync_directory, (void *of, const char *path), (process->files, path))
PATH_CALL(sync_system, (void *of, const char *path), (process->files, path))
PATH_CALL(space, (void *of, const char *path, uint64_t *total, uint64_t *usable),
          (process->files, path, total, usable))

struct listing {
    struct sim_process *process;
    void (*entry)(void *to, const char *name, bool is_directory);
    void *to;
};

static void on_entry(void *to, const char *name, bool is_directory)
{
    struct listing *listing = to;
    struct sim_heap *was = sim_heap_use(listing->process->heap);

    listing->entry(listing->to, name, is_directory);
    sim_heap_use(was);
}

static enum err op_list(void *of, const char *path,
                        void (*entry)(void *to, const char *name, bool is_directory), void *to)
{
    struct sim_process *process = of;
    struct listing listing = {process, entry, to};
    struct sim_heap *was = sim_heap_use_world();
    enum err err = sim_files_ops.list(process->files, path, on_entry, &listing);

    sim_heap_use(was);
    return err;
}

static const struct files_ops files_ops = {
    .open = op_open,
    .close = op_close,
    .read_at = op_read_at,
    .write_at = op_write_at,
    .read_cached = op_read_cached,
    .sync = op_sync,
    .drop_cached = op_drop_cached,
    .write_behind = op_write_behind,
    .truncate = op_truncate,
    .allocate = op_allocate,
    .size = op_size,
    .status = op_status,
    .set_modified = op_set_modified,
    .rename = op_rename,
    .remove = op_remove,
    .make_directory = op_make_directory,
    .remove_directory = op_remove_directory,
    .sync_directory = op_sync_directory,
    .sync_system = op_sync_system,
    .list = op_list,
    .lock = op_lock,
    .space = op_space,
};

/* ---- the pool: a job is a delay, then its operations in their time (pool.h), then its shard hears
 * of it ---- */

struct disk {
    struct sim_process *process;
    int backlog;
    struct instant free_at[DISK_CLASSES]; /* of its threads together */
};

struct sim_disks {
    struct world *world;
    struct world_part part;
    struct prng *luck;
    int64_t job_us_max;
    struct sim_fault *slow_job, *faults[SIM_DISK_FAULTS]; /* NULL: no world has it */
    struct sim_pool *pool;
};

static enum err op_pool_open(void *of, const int threads[DISK_CLASSES], struct disk **out)
{
    struct disk *disk = ensure_zalloc(sizeof(*disk));

    (void)threads;
    disk->process = of;
    *out = disk;
    return ERR_OK;
}

static int op_pool_backlog(struct disk *disk)
{
    return disk->backlog;
}

static void op_pool_close(struct disk *disk)
{
    ensure(disk->backlog == 0);
    free(disk);
}

/* In the process. */
static void job_ran(struct disk_job *job)
{
    job->home->disk->backlog--;
    shard_complete(job->home, job);
}

static void run_job(void *arg)
{
    struct disk_job *job = arg;
    struct sim_process *process = job->home->disk->process;

    sim_pool_run(process->world->disks->pool, process, job, job_ran);
}

static void on_pause(void *owner, int64_t ns)
{
    struct sim_process *process = owner;

    sim_pool_pause(process->world->disks->pool, process, ns);
}

static void op_pool_submit(struct disk *disk, enum disk_class class, struct disk_job *job)
{
    struct sim_process *process = disk->process;
    struct world *world = process->world;
    struct sim_disks *disks = world->disks;
    int64_t us = 20 + (int64_t)prng_below(disks->luck, (uint64_t)disks->job_us_max + 1);

    if (prng_below(disks->luck, 4) != 0) us = 20 + us / 16;
    if (fault_strikes(world, disks->slow_job)) us += (int64_t)prng_below(disks->luck, 20000000);
    disk->backlog++;
    /* Jobs of a class go side by side: each has a delay of its own. */
    (void)class;
    process_at(process, instant_add_ns(world->now, us * 1000), run_job, job);
}

static const struct disk_ops disk_ops = {
    .open = op_pool_open,
    .backlog = op_pool_backlog,
    .close = op_pool_close,
    .submit = op_pool_submit,
};

/* ---- ZooKeeper ---- */

static enum err op_zk_open(void *of, struct shard *shard, const struct zk_session_options *options,
                           const struct zk_session_handlers *handlers, void *owner,
                           struct zk_session **out)
{
    struct sim_heap *was = sim_heap_use_world();
    enum err err = sim_zookeeper_ops.open(of, shard, options, handlers, owner, out);

    sim_heap_use(was);
    return err;
}

static void op_zk_close(struct zk_session *session)
{
    struct sim_heap *was = sim_heap_use_world();

    sim_zookeeper_ops.close(session);
    sim_heap_use(was);
}

static void op_zk_submit(struct zk_session *session, struct zk_request *request)
{
    struct sim_heap *was = sim_heap_use_world();

    sim_zookeeper_ops.submit(session, request);
    sim_heap_use(was);
}

static int64_t op_zk_id(const struct zk_session *session)
{
    return sim_zookeeper_ops.id(session);
}

static int32_t op_zk_timeout_ms(const struct zk_session *session)
{
    return sim_zookeeper_ops.timeout_ms(session);
}

static const struct zk_ops zk_ops = {.open = op_zk_open,
                                     .close = op_zk_close,
                                     .submit = op_zk_submit,
                                     .id = op_zk_id,
                                     .timeout_ms = op_zk_timeout_ms};

static uint64_t op_boot(void *of)
{
    const struct sim_host *host = ((struct sim_process *)of)->host;

    return (uint64_t)host->id * 1000000 + (uint64_t)host->boots + 1;
}

const struct env_ops sim_env_ops = {
    .now = op_now,
    .wall_ms = op_wall_ms,
    .random = op_random,
    .boot = op_boot,
    .net = &sim_net_ops,
    .files = &files_ops,
    .disk = &disk_ops,
    .zk = &zk_ops,
};

/* ---- the part ---- */

static bool disk_strikes(void *owner, struct sim_device *device, enum sim_disk_fault fault)
{
    struct sim_disks *disks = owner;

    /* What costs data strikes the one whose turn it is; what only takes time strikes everybody. */
    if (fault != SIM_CACHE_MISS && fault != SIM_SLOW &&
        (disks->world->disks_victim == NULL ||
         sim_disk_device(disks->world->disks_victim->disk,
                         sim_disks_path(disks->world->disks_victim_device)) != device))
        return false;
    return disks->faults[fault] != NULL && fault_strikes(disks->world, disks->faults[fault]);
}

static void on_killed(void *owner, struct sim_process *process)
{
    struct sim_disks *disks = owner;

    sim_pool_killed(disks->pool, process);
    if (process->files == NULL) return;
    sim_files_kill(process->files);
    sim_files_destroy(&process->files);
}

static void audit(const struct sim_host *host)
{
    int replaced = host->disk == NULL ? 0 : sim_disk_replaced(host->disk);

    if (replaced > REPLACED_MAX)
        world_wrong(host->world,
                    "%s: %d files of a directory were replaced, and that is not synced", host->name,
                    replaced);
}

void sim_disks_audit(struct world *world)
{
    list_each (node, &world->hosts)
        audit(list_entry(node, struct sim_host, node));
}

static void on_power_lost(void *owner, struct sim_host *host)
{
    (void)owner;
    audit(host);
    if (host->disk != NULL) sim_disk_power_loss(host->disk, SIM_FATE_DRAWN);
}

struct sim_disks *sim_disks_create(struct world *world)
{
    struct sim_disks *disks = ensure_zalloc(sizeof(*disks));
    static char names[SIM_DISK_FAULTS][64];

    disks->world = world;
    disks->luck = world_stream(world, "disk");
    disks->pool = sim_pool_create(world);
    disks->job_us_max = world_option(world, "disk.job-us-max", 20, 200000);
    disks->slow_job = world_fault_of_steps(world, "disk.slow-job", 50000);
    for (int i = 0; i < SIM_DISK_FAULTS; i++) {
        if (i == SIM_READ_ERROR) continue; /* a sector that stays broken has no end by itself */
        /* What breaks for good takes a log directory offline, of one broker at a time. */
        bool takes_time = i == SIM_CACHE_MISS || i == SIM_SLOW;
        snprintf(names[i], sizeof(names[i]), "disk.%s",
                 sim_disk_fault_name((enum sim_disk_fault)i));
        disks->faults[i] = takes_time ? world_fault_of_steps(world, names[i], 50000)
                                      : world_fault(world, names[i], 300000);
    }
    disks->part =
        (struct world_part){.killed = on_killed, .power_lost = on_power_lost, .owner = disks};
    world_add_part(world, &disks->part);
    world->disks = disks;
    return disks;
}

void sim_disks_destroy(struct sim_disks **it)
{
    struct sim_disks *disks = *it;

    if (disks == NULL) return;
    list_each (node, &disks->world->hosts)
        sim_disk_destroy(&list_entry(node, struct sim_host, node)->disk);
    world_remove_part(&disks->part);
    sim_pool_destroy(&disks->pool);
    disks->world->disks = NULL;
    free(disks);
    *it = NULL;
}

const char *sim_disks_path(int device)
{
    static const char *const paths[SIM_DEVICES_MAX] = {"/data", "/data1", "/data2"};

    ensure(device >= 0 && device < SIM_DEVICES_MAX);
    return paths[device];
}

void sim_disks_add(struct sim_disks *disks, struct sim_host *host, int devices, uint64_t bytes)
{
    struct sim_heap *was = sim_heap_use_world();
    char name[64];

    snprintf(name, sizeof(name), "disk.%s", host->name);
    host->disk = sim_disk_create(world_draw(disks->world, name), host->name);
    for (int i = 0; i < devices; i++)
        sim_disk_mount(host->disk, sim_disks_path(i), bytes);
    sim_disk_set_luck(host->disk, disk_strikes, disks);
    sim_heap_use(was);
}

struct sim_process *sim_process_create(struct sim_host *host, const char *name)
{
    struct sim_process *process = process_create(host, name, &sim_env_ops);
    struct sim_heap *was = sim_heap_use_world();

    if (host->disk != NULL) {
        process->files = sim_files_create(host->disk, op_wall_ms, process);
        sim_files_set_pause(process->files, on_pause, process);
    }
    sim_heap_use(was);
    return process;
}
