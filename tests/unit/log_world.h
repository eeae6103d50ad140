/* tests/unit/log_world.h - what the tests of broker/log stand on: a directory of their own, the
 * real world behind a table of functions that can fail or "die" at the nth change, jobs run by
 * hand, and batches.
 *
 * A world that died has left on disk what was done until then, the last write perhaps in part;
 * nothing after it reaches the disk. Opening the same directory in a fresh world is the restart. */
#pragma once
#include "base/ensure.h"
#include "broker/log/checkpoint.h"
#include "broker/log/names.h"
#include "broker/log/parts.h"
#include "broker/log/recover.h"
#include "runtime/disk.h"
#include "runtime/env_posix.h"
#include "unit.h"
#include "wire/record.h"
#include <stdio.h>

enum fault { FAULT_NONE, FAULT_FAIL, FAULT_DIE };

struct world {
    struct env env; /* first: this is what the code under test gets */
    struct env_ops ops;
    struct files_ops files;
    struct env *real;
    enum fault fault;
    enum err fault_err;
    int fault_at; /* which change, from 0 */
    int changes;  /* so far */
    bool is_dead;
    int opens, reads, syncs;
    int64_t wall_ms;
    struct disk_job *first_job, **last_job;
    char dir[512];
};

static struct world *the_world; /* file calls do not carry it */

/* Counts a change. False: it does not happen. */
static inline bool world_change(enum err *err)
{
    struct world *w = the_world;

    if (w->is_dead) {
        *err = ERR_IO;
        return false;
    }
    if (w->fault == FAULT_NONE || w->changes++ != w->fault_at) return true;
    w->is_dead = w->fault == FAULT_DIE;
    *err = w->fault == FAULT_DIE ? ERR_IO : w->fault_err;
    return false;
}

static inline const struct files_ops *world_real(void)
{
    return the_world->real->ops->files;
}

static inline enum err world_open(void *world, const char *path, int flags, struct file **out)
{
    enum err err;
    (void)world;
    the_world->opens++;
    if ((flags & FILE_TRUNCATE) != 0 && !world_change(&err)) return err;
    if (the_world->is_dead) return ERR_IO;
    return world_real()->open(the_world->real->world, path, flags, out);
}
static inline enum err world_read_at(struct file *file, uint64_t position, void *to, size_t len,
                                     size_t *n)
{
    the_world->reads++;
    return world_real()->read_at(file, position, to, len, n);
}
static inline enum err world_write_at(struct file *file, uint64_t position,
                                      const struct iovec *parts, int count)
{
    enum err err;
    if (world_change(&err)) return world_real()->write_at(file, position, parts, count);
    /* A part of it is there all the same. */
    struct iovec part = {parts[0].iov_base, parts[0].iov_len * 2 / 3};
    if (the_world->changes == the_world->fault_at + 1 && part.iov_len > 0)
        ck_assert_int_eq(world_real()->write_at(file, position, &part, 1), ERR_OK);
    return err;
}
static inline enum err world_sync(struct file *file)
{
    enum err err;
    the_world->syncs++;
    return world_change(&err) ? world_real()->sync(file) : err;
}
static inline enum err world_sync_system(void *world, const char *path)
{
    enum err err;
    (void)world;
    the_world->syncs++;
    /* Counted, not done: it would wait for all that others write. */
    return world_change(&err) ? world_real()->sync_directory(the_world->real->world, path) : err;
}
static inline enum err world_truncate(struct file *file, uint64_t size)
{
    enum err err;
    return world_change(&err) ? world_real()->truncate(file, size) : err;
}
static inline enum err world_allocate(struct file *file, uint64_t size)
{
    enum err err;
    return world_change(&err) ? world_real()->allocate(file, size) : err;
}
static inline enum err world_rename(void *world, const char *from, const char *to)
{
    enum err err;
    (void)world;
    return world_change(&err) ? world_real()->rename(the_world->real->world, from, to) : err;
}
static inline enum err world_remove(void *world, const char *path)
{
    enum err err;
    (void)world;
    return world_change(&err) ? world_real()->remove(the_world->real->world, path) : err;
}
static inline enum err world_make_directory(void *world, const char *path)
{
    enum err err;
    (void)world;
    return world_change(&err) ? world_real()->make_directory(the_world->real->world, path) : err;
}
static inline int64_t world_wall_ms(void *world)
{
    (void)world;
    return the_world->wall_ms;
}
static inline void world_submit(struct disk *disk, enum disk_class class, struct disk_job *job)
{
    (void)disk;
    (void)class;
    job->next = NULL;
    *the_world->last_job = job;
    the_world->last_job = &job->next;
}
/* Runs jobs, and what they start, until there are none. */
static inline void world_run_jobs(struct world *w)
{
    while (w->first_job != NULL) {
        struct disk_job *job = w->first_job;
        w->first_job = job->next;
        if (w->first_job == NULL) w->last_job = &w->first_job;
        job->run(job);
        job->done(job);
    }
}

/* A world over `dir`, or over a new directory if that is NULL. */
static inline struct world *world_create(const char *dir)
{
    static struct disk_ops disk_ops;
    struct world *w = ensure_zalloc(sizeof(*w));

    w->real = env_posix_create(NULL);
    w->ops = *w->real->ops;
    w->files = *w->real->ops->files;
    w->files.open = world_open;
    w->files.read_at = world_read_at;
    w->files.write_at = world_write_at;
    w->files.sync = world_sync;
    w->files.sync_system = world_sync_system;
    w->files.truncate = world_truncate;
    w->files.allocate = world_allocate;
    w->files.rename = world_rename;
    w->files.remove = world_remove;
    w->files.make_directory = world_make_directory;
    disk_ops.submit = world_submit;
    w->ops.files = &w->files;
    w->ops.disk = &disk_ops;
    w->ops.wall_ms = world_wall_ms;
    w->env = (struct env){&w->ops, w->real->world};
    w->wall_ms = 1700000000000;
    w->last_job = &w->first_job;
    if (dir == NULL) {
        const char *base = getenv("TMPDIR");
        snprintf(w->dir, sizeof(w->dir), "%s/ottla-log-XXXXXX", base == NULL ? "/tmp" : base);
        ck_assert_ptr_nonnull(mkdtemp(w->dir));
    } else {
        snprintf(w->dir, sizeof(w->dir), "%s", dir);
    }
    the_world = w;
    return w;
}

/* The same directory after the process has gone. */
static inline struct world *world_restart(struct world *old)
{
    char dir[512];

    memcpy(dir, old->dir, sizeof(dir));
    env_posix_destroy(&old->real);
    free(old);
    return world_create(dir);
}

static inline void world_destroy(struct world *w)
{
    char command[600];

    snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
    ck_assert_int_eq(system(command), 0);
    env_posix_destroy(&w->real);
    free(w);
}

static inline void world_fault(struct world *w, enum fault fault, enum err err, int at)
{
    w->fault = fault;
    w->fault_err = err;
    w->fault_at = at;
    w->changes = 0;
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
        .keeps_topic_ids = true,
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
