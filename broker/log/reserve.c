/* broker/log/reserve.c - see reserve.h. */
#include "broker/log/reserve.h"
#include "broker/log/names.h"
#include "runtime/files.h"

uint64_t reserve_size(const struct env *env, const char *directory, uint64_t bytes)
{
    uint64_t total = 0, usable = 0;

    if (bytes == 0 || files_space(env, directory, &total, &usable) != ERR_OK) return 0;
    return bytes < total / RESERVE_SHARE ? bytes : total / RESERVE_SHARE;
}

static bool has_room(const struct env *env, const char *directory, uint64_t size)
{
    uint64_t total = 0, usable = 0;

    return files_space(env, directory, &total, &usable) != ERR_OK || usable >= size;
}

/* A shorter one was made for another configuration, or lost its room with the power. */
static bool is_whole(const struct env *env, const char *path, uint64_t size)
{
    struct file_status status;

    return files_status(env, path, &status) == ERR_OK && status.size >= size;
}

bool reserve_make(const struct env *env, const char *directory, uint64_t size)
{
    char path[FILES_PATH_MAX];
    struct file *file = NULL;

    if (names_join(path, directory, RESERVE_NAME) != ERR_OK) return true;
    enum err err = files_open(env, path, FILE_WRITE | FILE_CREATE, &file);
    if (err == ERR_OK) err = file_allocate(env, file, size);
    file_close(env, &file);
    if (err == ERR_FULL) (void)!files_remove(env, path);
    /* What else may be wrong with the directory is for those to find who need it. */
    return err != ERR_FULL;
}

bool reserve_open(const struct env *env, const char *directory, uint64_t size)
{
    char path[FILES_PATH_MAX];

    if (size == 0 || names_join(path, directory, RESERVE_NAME) != ERR_OK) return true;
    if (!has_room(env, directory, size)) {
        (void)!files_remove(env, path);
        return false;
    }
    if (is_whole(env, path, size)) return true;
    /* Made now only if that leaves as much for the start itself; else as soon as that is over. */
    return has_room(env, directory, 2 * size) && reserve_make(env, directory, size);
}

void reserve_give_up(const struct env *env, const char *directory, uint64_t size)
{
    char path[FILES_PATH_MAX];

    if (size == 0 || has_room(env, directory, size)) return;
    if (names_join(path, directory, RESERVE_NAME) == ERR_OK) (void)!files_remove(env, path);
}
