#include "runtime/files.h"
#include "base/buf.h"
#include "base/ensure.h"
#include "base/planted.h"
#include <stdio.h>

enum err files_open(const struct env *env, const char *path, int flags, struct file **out)
{
    if ((flags & FILE_WRITE) != 0) flags |= FILE_READ;
    ensure((flags & FILE_READ) != 0);
    ensure((flags & (FILE_CREATE | FILE_TRUNCATE)) == 0 || (flags & FILE_WRITE) != 0);
    ensure((flags & FILE_EXCLUSIVE) == 0 || (flags & FILE_CREATE) != 0);
    return env->ops->files->open(env->world, path, flags, out);
}

void file_close(const struct env *env, struct file **file)
{
    if (*file != NULL) env->ops->files->close(*file);
    *file = NULL;
}

enum err file_read_at(const struct env *env, struct file *file, uint64_t position, void *to,
                      size_t len, size_t *n)
{
    return env->ops->files->read_at(file, position, to, len, n);
}

enum err file_read_cached(const struct env *env, struct file *file, uint64_t position, void *to,
                          size_t len, size_t *n)
{
    return env->ops->files->read_cached(file, position, to, len, n);
}

enum err file_write_at(const struct env *env, struct file *file, uint64_t position,
                       struct slice bytes)
{
    struct iovec part = {(void *)(uintptr_t)bytes.ptr, bytes.len};

    return env->ops->files->write_at(file, position, &part, 1);
}

enum err file_write_parts_at(const struct env *env, struct file *file, uint64_t position,
                             const struct iovec *parts, int count)
{
    return env->ops->files->write_at(file, position, parts, count);
}

enum err file_sync(const struct env *env, struct file *file)
{
    return env->ops->files->sync(file);
}

void file_drop_cached(const struct env *env, struct file *file)
{
    env->ops->files->drop_cached(file);
}

enum err file_write_behind(const struct env *env, struct file *file, uint64_t position,
                           uint64_t len)
{
    return env->ops->files->write_behind(file, position, len);
}

enum err file_truncate(const struct env *env, struct file *file, uint64_t size)
{
    return env->ops->files->truncate(file, size);
}

enum err file_allocate(const struct env *env, struct file *file, uint64_t size)
{
    return env->ops->files->allocate(file, size);
}

enum err file_size(const struct env *env, struct file *file, uint64_t *out)
{
    return env->ops->files->size(file, out);
}

enum err files_status(const struct env *env, const char *path, struct file_status *out)
{
    return env->ops->files->status(env->world, path, out);
}

enum err files_set_modified(const struct env *env, const char *path, int64_t wall_ms)
{
    return env->ops->files->set_modified(env->world, path, wall_ms);
}

enum err files_rename(const struct env *env, const char *from, const char *to)
{
    return env->ops->files->rename(env->world, from, to);
}

enum err files_remove(const struct env *env, const char *path)
{
    return env->ops->files->remove(env->world, path);
}

enum err files_make_directory(const struct env *env, const char *path)
{
    return env->ops->files->make_directory(env->world, path);
}

enum err files_remove_directory(const struct env *env, const char *path)
{
    return env->ops->files->remove_directory(env->world, path);
}

enum err files_sync_directory(const struct env *env, const char *path)
{
    return env->ops->files->sync_directory(env->world, path);
}

enum err files_sync_system(const struct env *env, const char *path)
{
    return env->ops->files->sync_system(env->world, path);
}

enum err files_list(const struct env *env, const char *path,
                    void (*entry)(void *to, const char *name, bool is_directory), void *to)
{
    return env->ops->files->list(env->world, path, entry, to);
}

enum err files_lock(const struct env *env, const char *path, struct file **out)
{
    return env->ops->files->lock(env->world, path, out);
}

enum err files_space(const struct env *env, const char *path, uint64_t *total, uint64_t *usable)
{
    return env->ops->files->space(env->world, path, total, usable);
}

enum err files_read_all(const struct env *env, const char *path, size_t size_max, struct buf *out)
{
    struct file *file = NULL;
    uint64_t size = 0;
    size_t n = 0, len_before = out->len;

    enum err err = files_open(env, path, FILE_READ, &file);
    if (err == ERR_OK) err = file_size(env, file, &size);
    if (err == ERR_OK && size > size_max) err = ERR_LIMIT;
    if (err == ERR_OK) {
        /* One byte more than it says, to notice a file that grows meanwhile. */
        uint8_t *to = buf_reserve(out, (size_t)size + 1);
        err = file_read_at(env, file, 0, to, (size_t)size + 1, &n);
    }
    if (err == ERR_OK && n > size_max) err = ERR_LIMIT;
    if (err == ERR_OK) buf_extend(out, n);
    file_close(env, &file);
    ensure(err == ERR_OK || out->len == len_before);
    return err;
}

/* The directory that holds `path`; `path` is absolute. */
static void parent_of(const char *path, char parent[FILES_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL || slash == path ? 1 : (size_t)(slash - path);

    memcpy(parent, slash == NULL ? "." : path, len);
    parent[len] = '\0';
}

static enum err temp_of(const char *path, char temp[FILES_PATH_MAX])
{
    if (strlen(path) + sizeof(".tmp") > FILES_PATH_MAX) return ERR_LIMIT;
    snprintf(temp, FILES_PATH_MAX, "%s.tmp", path);
    return ERR_OK;
}

static enum err write_temp(const struct env *env, const char *temp, struct slice text, bool syncs)
{
    struct file *file = NULL;

    enum err err = files_open(env, temp, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    if (err != ERR_OK) return err;
    err = file_write_at(env, file, 0, text);
    if (err == ERR_OK && syncs) err = file_sync(env, file);
    if (err == ERR_OK && !syncs) (void)!file_write_behind(env, file, 0, text.len);
    file_close(env, &file);
    if (err == ERR_OK) return ERR_OK;

    enum err ignored = files_remove(env, temp); /* the disk may be full: leave no rubbish */
    (void)ignored;
    return err;
}

enum err files_replace_write(const struct env *env, const char *path, struct slice text)
{
    char temp[FILES_PATH_MAX];
    enum err err = temp_of(path, temp);

    return err == ERR_OK ? write_temp(env, temp, text, false) : err;
}

enum err files_replace_sync(const struct env *env, const char *path)
{
    char temp[FILES_PATH_MAX];
    struct file *file = NULL;

    enum err err = temp_of(path, temp);
    if (err == ERR_OK) err = files_open(env, temp, FILE_WRITE, &file);
    if (err != ERR_OK) return err;
    err = file_sync(env, file);
    file_close(env, &file);
    if (err != ERR_OK) (void)!files_remove(env, temp);
    return err;
}

enum err files_replace_rename(const struct env *env, const char *path)
{
    char temp[FILES_PATH_MAX];
    enum err err = temp_of(path, temp);

    if (err == ERR_OK) err = files_rename(env, temp, path);
    if (err == ERR_OK) return ERR_OK;
    enum err ignored = files_remove(env, temp);
    (void)ignored;
    return err;
}

enum err files_replace(const struct env *env, const char *path, struct slice text)
{
    char temp[FILES_PATH_MAX], parent[FILES_PATH_MAX];

    enum err err = temp_of(path, temp);
    if (err == ERR_OK) err = write_temp(env, temp, text, true);
    if (err == ERR_OK) err = files_replace_rename(env, path);
    if (err != ERR_OK || planted(rename_without_directory_sync)) return err;
    parent_of(path, parent);
    return files_sync_directory(env, parent);
}
