/* tests/unit/log_world.h - what the tests of broker/log stand on: a process on a simulated disk
 * (tests/sim/disk.h) whose nth operation can fail, or end the process, or the power; jobs run by
 * hand; and batches. Opening the same disk in a fresh world is the restart. */
#pragma once
#include "base/ensure.h"
#include "broker/log/checkpoint.h"
#include "broker/log/names.h"
#include "broker/log/parts.h"
#include "broker/log/recover.h"
#include "runtime/disk.h"
#include "tests/sim/disk.h"
#include "unit.h"
#include "wire/record.h"
#include <stdio.h>

enum fault { FAULT_NONE, FAULT_FAIL, FAULT_DIE };

struct world {
    struct env env; /* first: this is what the code under test gets */
    struct env_ops ops;
    struct sim_disk *machine;
    struct sim_files *files; /* of the process */
    struct sim_nth nth;
    struct env_ops outside;
    struct env look; /* of who looks at the disk from outside: meets no faults */
    struct env *real;
    struct prng luck;
    int64_t wall_ms;
    struct disk_job *first_job, **last_job;
    char dir[512];
};

static struct world *the_world; /* the calls do not carry it */

static inline int64_t world_wall_ms(void *world)
{
    (void)world;
    return the_world->wall_ms;
}
static inline struct instant world_now(void *world)
{
    (void)world;
    return (struct instant){the_world->wall_ms * 1000000};
}
static inline uint64_t world_random(void *world, const char *purpose)
{
    (void)world;
    (void)purpose;
    return prng_next(&the_world->luck);
}
static inline void world_submit(struct disk *disk, enum disk_class class, struct disk_job *job)
{
    (void)disk;
    (void)class;
    job->next = NULL;
    *the_world->last_job = job;
    the_world->last_job = &job->next;
}
/* False: there is none. */
static inline bool world_run_job(struct world *w)
{
    struct disk_job *job = w->first_job;

    if (job == NULL) return false;
    w->first_job = job->next;
    if (w->first_job == NULL) w->last_job = &w->first_job;
    job->run(job);
    job->done(job);
    return true;
}
/* Runs jobs, and what they start, until there are none. */
static inline void world_run_jobs(struct world *w)
{
    while (world_run_job(w)) {
    }
}

/* A process on `machine`, or on a new one with that seed if that is NULL. */
static inline struct world *world_on(struct sim_disk *machine, uint64_t seed)
{
    static const struct disk_ops disk_ops = {.submit = world_submit};
    struct world *w = ensure_zalloc(sizeof(*w));

    if (machine == NULL) {
        machine = sim_disk_create(seed, "machine");
        sim_disk_mount(machine, "/data", UINT64_C(1) << 30);
    }
    w->machine = machine;
    w->files = sim_files_create(machine, world_wall_ms, w);
    w->ops = (struct env_ops){.now = world_now,
                              .wall_ms = world_wall_ms,
                              .random = world_random,
                              .files = &sim_files_ops,
                              .disk = &disk_ops};
    w->env = (struct env){&w->ops, w->files};
    w->outside = w->ops;
    w->look = (struct env){&w->outside, sim_files_create(machine, world_wall_ms, w)};
    w->real = &w->look;
    w->wall_ms = 1700000000000;
    w->last_job = &w->first_job;
    prng_init(&w->luck, seed);
    snprintf(w->dir, sizeof(w->dir), "/data");
    the_world = w;
    return w;
}

static inline struct world *world_create(void)
{
    return world_on(NULL, 1);
}

/* The process and who looks on have gone; the machine stays. */
static inline struct sim_disk *world_end(struct world *w)
{
    struct sim_disk *machine = w->machine;
    struct sim_files *look = w->look.world;

    sim_files_destroy(&look);
    sim_files_destroy(&w->files);
    free(w);
    return machine;
}

/* The same disk after the process has gone. */
static inline struct world *world_restart(struct world *old)
{
    return world_on(world_end(old), 1);
}

/* The same disk after the power has gone. */
static inline struct world *world_restart_after_power_loss(struct world *old, enum sim_fate fate)
{
    struct sim_disk *machine = world_end(old);

    sim_disk_power_loss(machine, fate);
    return world_on(machine, 1);
}

static inline void world_destroy(struct world *w)
{
    struct sim_disk *machine = world_end(w);

    sim_disk_destroy(&machine);
}

/* Of the changes from now on, number `at`. */
static inline void world_fault(struct world *w, enum fault fault, enum err err, int at)
{
    w->nth =
        (struct sim_nth){.kinds = SIM_CHANGES, .at = at, .dies = fault == FAULT_DIE, .err = err};
    sim_files_plan(w->files, fault == FAULT_NONE ? NULL : &w->nth);
}

static inline bool world_is_dead(const struct world *w)
{
    return sim_files_is_dead(w->files);
}

static inline struct sim_files_counts world_counts(const struct world *w)
{
    return sim_files_counts(w->files);
}

/* ---- files of the directory ---- */

static inline void world_path(const struct world *w, char path[FILES_PATH_MAX], const char *name)
{
    snprintf(path, FILES_PATH_MAX, "%s/%s", w->dir, name);
}
static inline bool world_has(struct world *w, const char *name)
{
    char path[FILES_PATH_MAX];
    struct file_status status;
    world_path(w, path, name);
    return files_status(w->real, path, &status) == ERR_OK;
}
static inline int64_t world_size(struct world *w, const char *name)
{
    char path[FILES_PATH_MAX];
    struct file_status status = {0};
    world_path(w, path, name);
    ck_assert_msg(files_status(w->real, path, &status) == ERR_OK, "%s is not there", name);
    return (int64_t)status.size;
}
static inline void world_put(struct world *w, const char *name, struct slice bytes)
{
    char path[FILES_PATH_MAX];
    struct file *file = NULL;
    world_path(w, path, name);
    ck_assert_int_eq(files_open(w->real, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file),
                     ERR_OK);
    if (bytes.len > 0) ck_assert_int_eq(file_write_at(w->real, file, 0, bytes), ERR_OK);
    file_close(w->real, &file);
}
static inline void world_get(struct world *w, const char *name, struct buf *out)
{
    char path[FILES_PATH_MAX];
    world_path(w, path, name);
    buf_clear(out);
    ck_assert_msg(files_read_all(w->real, path, (size_t)1 << 30, out) == ERR_OK,
                  "%s cannot be read", name);
}
static inline void world_cut(struct world *w, const char *name, int64_t size)
{
    char path[FILES_PATH_MAX];
    struct file *file = NULL;
    world_path(w, path, name);
    ck_assert_int_eq(files_open(w->real, path, FILE_WRITE, &file), ERR_OK);
    ck_assert_int_eq(file_truncate(w->real, file, (uint64_t)size), ERR_OK);
    file_close(w->real, &file);
}
static inline void world_delete(struct world *w, const char *name)
{
    char path[FILES_PATH_MAX];
    world_path(w, path, name);
    ck_assert_int_eq(files_remove(w->real, path), ERR_OK);
}
static inline void world_mkdir(struct world *w, const char *name)
{
    char path[FILES_PATH_MAX];
    world_path(w, path, name);
    ck_assert_int_eq(files_make_directory(w->real, path), ERR_OK);
}

/* ---- one log, without a store ---- */

struct one_log {
    struct world *w;
    struct log_dir dir;
    struct log_files *files;
    struct log_config config;
    struct log *log;
    struct recover_result recovered;
    bool is_same_boot; /* so the next one_log_reopen is told */
};

static inline struct recover_request one_log_request(struct one_log *one)
{
    one->dir = (struct log_dir){.index = 0, .path = one->w->dir};
    if (one->files == NULL) one->files = log_files_create(&one->w->env, 4);
    return (struct recover_request){
        .env = &one->w->env,
        .dir = &one->dir,
        .name = "t-0",
        .topic = SLICE("t"),
        .config = &one->config,
        .files = one->files,
        .is_clean = true,
        .cleaned = -1,
        .keeps_topic_ids = true,
        .is_same_boot = one->is_same_boot,
        .now_ms = one->w->wall_ms,
    };
}

/* Makes topic t, partition 0. Change one->config before. */
static inline void one_log_create(struct one_log *one)
{
    struct recover_request request = one_log_request(one);
    ck_assert_int_eq(recover_create(&request, &one->log), ERR_OK);
    log_attach(one->log, one->files);
}

static inline void one_log_gone(struct one_log *one)
{
    if (one->log != NULL && one->log->files != NULL) log_detach(one->log);
    log_destroy(&one->log);
    log_files_destroy(&one->files);
}

/* Kills the process, and starts again. */
static inline enum err one_log_reopen(struct one_log *one, bool is_clean, int64_t recovery_point,
                                      int64_t log_start)
{
    one_log_gone(one);
    one->w = world_restart(one->w);
    struct recover_request request = one_log_request(one);
    request.is_clean = is_clean;
    request.recovery_point = recovery_point;
    request.log_start = log_start;
    request.high_watermark = INT64_MAX;
    enum err err = recover_log(&request, &one->recovered, &one->log);
    if (err == ERR_OK) log_attach(one->log, one->files);
    return err;
}

/* ---- batches ---- */

/* `n` records of `value_bytes` each, timestamps from `timestamp` on, offsets from 0. */
static inline void make_batch(struct buf *out, int n, size_t value_bytes, int64_t timestamp)
{
    struct record_builder builder;
    uint8_t *value = ensure_zalloc(value_bytes + 1);

    memset(value, 'v', value_bytes);
    buf_clear(out);
    record_builder_begin(&builder, out);
    for (int i = 0; i < n; i++)
        record_builder_add(&builder, timestamp + i, SLICE("k"), slice_of(value, value_bytes), NULL,
                           0);
    record_builder_end(&builder);
    free(value);
}

/* Appends as leader; the offset of the first record. */
static inline int64_t append_at(struct one_log *one, int n, size_t value_bytes, int64_t timestamp,
                                int32_t epoch, struct log_appended *out)
{
    struct buf bytes;
    struct log_appended appended;
    struct batch batch;

    buf_init(&bytes);
    make_batch(&bytes, n, value_bytes, timestamp);
    ck_assert_int_eq(batch_view(buf_slice(&bytes), &batch), ERR_OK);
    const struct checked checked = {.bytes = bytes.ptr,
                                    .len = bytes.len,
                                    .offset_count = n,
                                    .record_count = n,
                                    .max_timestamp = batch.max_timestamp,
                                    .max_timestamp_offset = n - 1,
                                    .append_time_ms = -1};
    enum err err = log_append_leader(one->log, &checked, epoch, one->w->wall_ms,
                                     out == NULL ? &appended : out);
    ck_assert_msg(err == ERR_OK, "append: %s", err_name(err));
    buf_fini(&bytes);
    return (out == NULL ? &appended : out)->first_offset;
}

static inline int64_t append_one(struct one_log *one, int n)
{
    return append_at(one, n, 100, 1000, 1, NULL);
}

/* Everything a reader sees from `offset` on, at most `bytes_max`: checked batch by batch, offsets
 * dense from `offset`'s batch on. Gives the offset after the last whole batch. */
static inline int64_t read_all(struct one_log *one, int64_t offset, int64_t bytes_max)
{
    while (offset < log_end_offset(one->log)) {
        const struct log_read read = {.offset = offset,
                                      .bytes_max = bytes_max,
                                      .at_least_one = true,
                                      .limit = log_end_position(one->log)};
        struct log_slice slice;
        ck_assert_int_eq(log_read(one->log, &read, &slice), ERR_OK);
        ck_assert_int_gt(slice.len, 0);
        uint8_t *bytes = ensure_malloc((size_t)slice.len);
        size_t n = 0;
        ck_assert_int_eq(file_read_at(&one->w->env, log_slice_file(&slice),
                                      (uint64_t)slice.position, bytes, (size_t)slice.len, &n),
                         ERR_OK);
        ck_assert_uint_eq(n, (size_t)slice.len);
        struct slice rest = slice_of(bytes, n);
        struct batch batch;
        int64_t before = offset;
        while (batch_take(&rest, &batch) == ERR_OK) {
            if (offset != before || batch.base_offset > offset)
                ck_assert_int_eq(batch.base_offset, offset);
            offset = batch_last_offset(&batch) + 1;
        }
        ck_assert_int_gt(offset, before);
        free(bytes);
        log_slice_release(&slice);
    }
    return offset;
}
