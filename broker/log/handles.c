/* broker/log/handles.c - see handles.h. */
#include "broker/log/handles.h"
#include "base/ensure.h"
#include <stdlib.h>

struct log_files *log_files_create(const struct env *env, int open_max)
{
    struct log_files *files = ensure_zalloc(sizeof(*files));

    files->env = env;
    files->unused_max = open_max < 1 ? 1 : open_max;
    list_init(&files->unused);
    return files;
}

static void close_one(struct log_file *file)
{
    list_remove(&file->unused);
    if (file->slot != NULL) *file->slot = NULL;
    file_close(file->files->env, &file->file);
    file->files->open_count--;
    free(file);
}

static void close_unused(struct log_files *files, int keep)
{
    while (files->unused_count > keep) {
        files->unused_count--;
        close_one(list_entry(list_first(&files->unused), struct log_file, unused));
    }
}

void log_files_destroy(struct log_files **files)
{
    if (*files == NULL) return;
    close_unused(*files, 0);
    ensure((*files)->open_count == 0);
    free(*files);
    *files = NULL;
}

int log_files_open_count(const struct log_files *files)
{
    return files->open_count;
}

static enum err open_one(struct log_files *files, const char *path, int flags, struct file **out)
{
    enum err err = files_open(files->env, path, flags, out);

    if (err == ERR_TOO_MANY && files->unused_count > 0) {
        close_unused(files, files->unused_count / 2);
        err = files_open(files->env, path, flags, out);
    }
    return err == ERR_NOT_FOUND || err == ERR_DENIED ? ERR_IO : err;
}

enum err handles_use(struct log_files *files, struct log_file **slot, const char *path, int flags,
                     struct log_file **out)
{
    struct file *file = NULL;

    if (*slot == NULL) {
        enum err err = open_one(files, path, flags, &file);
        if (err != ERR_OK) return err;
        *slot = ensure_zalloc(sizeof(**slot));
        **slot = (struct log_file){.files = files, .file = file, .slot = slot};
        files->open_count++;
    } else if ((*slot)->references == 0) {
        list_remove(&(*slot)->unused);
        files->unused_count--;
    }
    *out = *slot;
    (*out)->references++;
    return ERR_OK;
}

enum err handles_read(struct log_file *file, int64_t position, void *to, size_t len, size_t *n)
{
    struct log_files *files = file->files;
    enum err err = ERR_UNSUPPORTED;

    if (files->only_cached)
        err = file_read_cached(files->env, file->file, (uint64_t)position, to, len, n);
    if (err == ERR_UNSUPPORTED)
        return file_read_at(files->env, file->file, (uint64_t)position, to, len, n);
    if (err != ERR_OK || *n == len) return err;
    if (files->missed == NULL) {
        files->missed = handles_hold(file);
        files->missed_at = position;
    }
    return ERR_BUSY;
}

struct log_file *handles_hold(struct log_file *file)
{
    ensure(file->references > 0);
    file->references++;
    return file;
}

void handles_drop(struct log_file **file)
{
    struct log_file *f = *file;

    *file = NULL;
    if (f == NULL || --f->references > 0) return;
    if (f->slot == NULL) {
        close_one(f);
        return;
    }
    list_push(&f->files->unused, &f->unused);
    f->files->unused_count++;
    close_unused(f->files, f->files->unused_max);
}

void handles_forget(struct log_file **slot)
{
    struct log_file *file = *slot;

    *slot = NULL;
    if (file == NULL) return;
    file->slot = NULL;
    if (file->references == 0) {
        file->files->unused_count--;
        close_one(file);
    }
}
