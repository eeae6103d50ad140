/* Files of the operating system. */
#include "base/ensure.h"
#include "runtime/posix.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

/* Per system call. A larger write has the kernel look for larger pieces of memory for the page
 * cache, and where memory is full, of other files, it moves pages about for each of them:
 * README.md, "Memory of frames". */
#define WRITE_BYTES_MAX 32768
#define PARTS_MAX       64

static enum err failed(void)
{
    return err_from_errno(errno);
}

static int open_again(const char *path, int flags)
{
    int fd;

    do {
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0644);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static struct file *file_of(int fd)
{
    struct file *file = ensure_malloc(sizeof(*file));

    file->fd = fd;
    return file;
}

static enum err posix_open(void *world, const char *path, int flags, struct file **out)
{
    int how = (flags & FILE_WRITE) != 0 ? O_RDWR : O_RDONLY;

    (void)world;
    if ((flags & FILE_CREATE) != 0) how |= O_CREAT;
    if ((flags & FILE_EXCLUSIVE) != 0) how |= O_EXCL;
    if ((flags & FILE_TRUNCATE) != 0) how |= O_TRUNC;
    int fd = open_again(path, how);
    if (fd < 0) return failed();
    if ((flags & FILE_RANDOM) != 0) (void)!posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    *out = file_of(fd);
    return ERR_OK;
}

static void posix_close(struct file *file)
{
    close(file->fd); /* what it could tell was asked with sync */
    free(file);
}

static enum err posix_read_at(struct file *file, uint64_t position, void *to, size_t len, size_t *n)
{
    size_t got = 0;

    while (got < len) {
        ssize_t more = pread(file->fd, (char *)to + got, len - got, (off_t)(position + got));
        if (more < 0 && errno == EINTR) continue;
        if (more < 0) return failed();
        if (more == 0) break;
        got += (size_t)more;
    }
    *n = got;
    return ERR_OK;
}

static enum err posix_read_cached(struct file *file, uint64_t position, void *to, size_t len,
                                  size_t *n)
{
    struct iovec part = {to, len};
    ssize_t got;

    do {
        got = preadv2(file->fd, &part, 1, (off_t)position, RWF_NOWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) got = 0;
    if (got < 0)
        return errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL ? ERR_UNSUPPORTED
                                                                         : failed();
    *n = (size_t)got;
    return ERR_OK;
}

/* Copies as many parts as fit, without the first `skip` bytes of the first; `max` bytes at most. */
static int take_parts(const struct iovec *from, int count, size_t skip, size_t max,
                      struct iovec to[PARTS_MAX])
{
    int taken = 0;

    for (; taken < count && taken < PARTS_MAX && max > 0; taken++, skip = 0) {
        size_t len = from[taken].iov_len - skip;
        if (len > max) len = max;
        to[taken] = (struct iovec){(char *)from[taken].iov_base + skip, len};
        max -= len;
    }
    return taken;
}

static enum err posix_write_at(struct file *file, uint64_t position, const struct iovec *parts,
                               int count)
{
    struct iovec now[PARTS_MAX];
    size_t skip = 0; /* of parts[0], written already */

    for (;;) {
        for (; count > 0 && parts[0].iov_len == skip; parts++, count--)
            skip = 0;
        if (count == 0) return ERR_OK;
        int taken =
            take_parts(parts, count, skip, WRITE_BYTES_MAX - position % WRITE_BYTES_MAX, now);
        ssize_t n = pwritev(file->fd, now, taken, (off_t)position);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed();
        if (n == 0) return ERR_IO; /* a regular file does not do that; do not spin if one does */
        position += (uint64_t)n;
        skip += (size_t)n;
        for (; count > 0 && skip >= parts[0].iov_len; parts++, count--)
            skip -= parts[0].iov_len;
    }
}

static enum err posix_sync(struct file *file)
{
    /* Never again after a failure: the kernel reports a lost page once and then calls it clean. */
    return fdatasync(file->fd) == 0 ? ERR_OK : failed();
}

static void posix_drop_cached(struct file *file)
{
    (void)!posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED); /* an advice */
}

static enum err posix_write_behind(struct file *file, uint64_t position, uint64_t len)
{
    if (sync_file_range(file->fd, (off_t)position, (off_t)len, SYNC_FILE_RANGE_WRITE) == 0)
        return ERR_OK;
    return errno == ESPIPE || errno == EINVAL || errno == ENOSYS ? ERR_UNSUPPORTED : failed();
}

static enum err posix_truncate(struct file *file, uint64_t size)
{
    int done;

    do {
        done = ftruncate(file->fd, (off_t)size);
    } while (done != 0 && errno == EINTR);
    return done == 0 ? ERR_OK : failed();
}

static enum err posix_size(struct file *file, uint64_t *out)
{
    struct stat status;

    if (fstat(file->fd, &status) != 0) return failed();
    *out = (uint64_t)status.st_size;
    return ERR_OK;
}

static enum err posix_allocate(struct file *file, uint64_t size)
{
    uint64_t before = 0;
    int done = 0;

    enum err err = posix_size(file, &before);
    if (err != ERR_OK) return err;
    if (size > 0) {
        do {
            done = fallocate(file->fd, 0, 0, (off_t)size);
        } while (done != 0 && errno == EINTR);
    }
    if (done != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
        err = failed();
        enum err ignored = posix_truncate(file, before); /* gives back what was taken */
        (void)ignored;
        return err;
    }
    return posix_truncate(file, size);
}

static enum err posix_status(void *world, const char *path, struct file_status *out)
{
    struct stat status;

    (void)world;
    if (stat(path, &status) != 0) return failed();
    *out = (struct file_status){
        .is_directory = S_ISDIR(status.st_mode),
        .size = (uint64_t)status.st_size,
        .modified_ms = (int64_t)status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000,
        .disk_bytes = (uint64_t)status.st_blocks * 512,
    };
    return ERR_OK;
}

static enum err posix_set_modified(void *world, const char *path, int64_t wall_ms)
{
    struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = wall_ms / 1000, .tv_nsec = wall_ms % 1000 * 1000000},
    };

    (void)world;
    return utimensat(AT_FDCWD, path, times, 0) == 0 ? ERR_OK : failed();
}

static enum err posix_rename(void *world, const char *from, const char *to)
{
    (void)world;
    return rename(from, to) == 0 ? ERR_OK : failed();
}

static enum err posix_remove(void *world, const char *path)
{
    (void)world;
    return unlink(path) == 0 ? ERR_OK : failed();
}

static enum err posix_make_directory(void *world, const char *path)
{
    (void)world;
    return mkdir(path, 0755) == 0 ? ERR_OK : failed();
}

static enum err posix_remove_directory(void *world, const char *path)
{
    (void)world;
    if (rmdir(path) == 0) return ERR_OK;
    return errno == ENOTEMPTY ? ERR_EXISTS : failed();
}

static enum err posix_sync_directory(void *world, const char *path)
{
    (void)world;
    int fd = open_again(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return failed();
    enum err err = fsync(fd) == 0 ? ERR_OK : failed();
    close(fd);
    return err;
}

/* Since Linux 5.8 it also tells of pages that could not be written. */
static enum err posix_sync_system(void *world, const char *path)
{
    (void)world;
    int fd = open_again(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return failed();
    enum err err = syncfs(fd) == 0 ? ERR_OK : failed();
    close(fd);
    return err;
}

struct entry {
    bool is_directory;
    char name[];
};

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct entry *const *)a)->name, (*(struct entry *const *)b)->name);
}

static struct entry *entry_of(int fd, const struct dirent *found)
{
    size_t len = strlen(found->d_name) + 1;
    struct entry *entry = ensure_malloc(sizeof(*entry) + len);
    struct stat status;

    memcpy(entry->name, found->d_name, len);
    entry->is_directory = found->d_type == DT_DIR;
    /* A link to a directory is one, as it is for status. */
    if (found->d_type == DT_UNKNOWN || found->d_type == DT_LNK)
        entry->is_directory =
            fstatat(fd, found->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
    return entry;
}

static enum err posix_list(void *world, const char *path,
                           void (*tell)(void *to, const char *name, bool is_directory), void *to)
{
    struct entry **at = NULL;
    size_t count = 0, capacity = 0;
    enum err err = ERR_OK;

    (void)world;
    DIR *directory = opendir(path);
    if (directory == NULL) return failed();
    for (;;) {
        errno = 0;
        struct dirent *found = readdir(directory);
        if (found == NULL) {
            err = errno == 0 ? ERR_OK : failed();
            break;
        }
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) continue;
        if (count == capacity) {
            capacity = capacity == 0 ? 32 : capacity * 2;
            at = ensure_realloc(at, capacity * sizeof(at[0]));
        }
        at[count++] = entry_of(dirfd(directory), found);
    }
    closedir(directory);

    if (count > 0) qsort(at, count, sizeof(at[0]), by_name);
    for (size_t i = 0; i < count; i++) {
        if (err == ERR_OK) tell(to, at[i]->name, at[i]->is_directory);
        free(at[i]);
    }
    free(at);
    return err;
}

/* A lock of the open file and not of the process: the process's own kind falls with any close of
 * any descriptor of that file. It conflicts with that kind, which is what Java takes. */
static enum err posix_lock(void *world, const char *path, struct file **out)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    (void)world;
    int fd = open_again(path, O_RDWR | O_CREAT);
    if (fd < 0) return failed();
    if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
        enum err err = errno == EAGAIN || errno == EACCES ? ERR_BUSY : failed();
        close(fd);
        return err;
    }
    *out = file_of(fd);
    return ERR_OK;
}

static enum err posix_space(void *world, const char *path, uint64_t *total, uint64_t *usable)
{
    struct statvfs status;

    (void)world;
    if (statvfs(path, &status) != 0) return failed();
    *total = (uint64_t)status.f_blocks * status.f_frsize;
    *usable = (uint64_t)status.f_bavail * status.f_frsize;
    return ERR_OK;
}

const struct files_ops files_posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .read_at = posix_read_at,
    .write_at = posix_write_at,
    .read_cached = posix_read_cached,
    .sync = posix_sync,
    .drop_cached = posix_drop_cached,
    .write_behind = posix_write_behind,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .size = posix_size,
    .status = posix_status,
    .set_modified = posix_set_modified,
    .rename = posix_rename,
    .remove = posix_remove,
    .make_directory = posix_make_directory,
    .remove_directory = posix_remove_directory,
    .sync_directory = posix_sync_directory,
    .sync_system = posix_sync_system,
    .list = posix_list,
    .lock = posix_lock,
    .space = posix_space,
};
