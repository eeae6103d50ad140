/* runtime/files.h - files and directories, with `enum err`. Nothing else calls the OS for files.
 *
 * These calls happen on the thread that makes them. What may block (sync, cold reads, unlink of
 * large files, recovery scans) is called from jobs of the disk pool (disk.h); appends to the page
 * cache and reads that are known to be cached may be called from a shard. A `struct file` may be
 * read, sent and synced from any thread while its owner keeps it open. Paths are NUL-terminated,
 * absolute. */
#pragma once
#include "runtime/env.h"
#include <sys/uio.h>

#define FILES_PATH_MAX 4096

struct file; /* an open file; each world has its own */

enum file_open {
    FILE_READ = 1,
    FILE_WRITE = 2,     /* implies FILE_READ */
    FILE_CREATE = 4,    /* if absent; needs FILE_WRITE */
    FILE_EXCLUSIVE = 8, /* with FILE_CREATE: ERR_EXISTS if present */
    FILE_TRUNCATE = 16,
    FILE_RANDOM = 32, /* a read brings in what it asks for, and nothing is read ahead of it */
};

struct file_status {
    bool is_directory;
    uint64_t size;
    int64_t modified_ms; /* wall clock */
    uint64_t disk_bytes; /* blocks really taken */
};

struct files_ops {
    enum err (*open)(void *world, const char *path, int flags, struct file **out);
    void (*close)(struct file *file);
    enum err (*read_at)(struct file *file, uint64_t position, void *to, size_t len, size_t *n);
    enum err (*write_at)(struct file *file, uint64_t position, const struct iovec *parts,
                         int count);
    enum err (*read_cached)(struct file *file, uint64_t position, void *to, size_t len, size_t *n);
    enum err (*sync)(struct file *file);
    void (*drop_cached)(struct file *file);
    enum err (*write_behind)(struct file *file, uint64_t position, uint64_t len);
    enum err (*truncate)(struct file *file, uint64_t size);
    enum err (*allocate)(struct file *file, uint64_t size);
    enum err (*size)(struct file *file, uint64_t *out);
    enum err (*status)(void *world, const char *path, struct file_status *out);
    enum err (*set_modified)(void *world, const char *path, int64_t wall_ms);
    enum err (*rename)(void *world, const char *from, const char *to);
    enum err (*remove)(void *world, const char *path);
    enum err (*make_directory)(void *world, const char *path);
    enum err (*remove_directory)(void *world, const char *path);
    enum err (*sync_directory)(void *world, const char *path);
    enum err (*sync_system)(void *world, const char *path);
    enum err (*list)(void *world, const char *path,
                     void (*entry)(void *to, const char *name, bool is_directory), void *to);
    enum err (*lock)(void *world, const char *path, struct file **out);
    enum err (*space)(void *world, const char *path, uint64_t *total, uint64_t *usable);
};

/* Opens. ERR_NOT_FOUND, ERR_EXISTS, ERR_DENIED, ERR_TOO_MANY, ERR_FULL, ERR_IO. */
MUST_CHECK enum err files_open(const struct env *env, const char *path, int flags,
                               struct file **out);
/* Sets *file to NULL; NULL is fine. */
void file_close(const struct env *env, struct file **file);

/* Reads up to `len` bytes; `*n` is less only at the end of the file. */
MUST_CHECK enum err file_read_at(const struct env *env, struct file *file, uint64_t position,
                                 void *to, size_t len, size_t *n);
/* The same, of what is in the page cache: `*n` is what could be had without waiting (perhaps 0). A
 * probe: ERR_UNSUPPORTED where the file system cannot tell. */
MUST_CHECK enum err file_read_cached(const struct env *env, struct file *file, uint64_t position,
                                     void *to, size_t len, size_t *n);
/* Writes all of it, or fails: then what stands behind `position` is not known. */
MUST_CHECK enum err file_write_at(const struct env *env, struct file *file, uint64_t position,
                                  struct slice bytes);
MUST_CHECK enum err file_write_parts_at(const struct env *env, struct file *file, uint64_t position,
                                        const struct iovec *parts, int count);
/* Data and size are on the device when it returns (fdatasync). After a failure nothing that was not
 * synced before may be believed to be there. Blocks. */
MUST_CHECK enum err file_sync(const struct env *env, struct file *file);
/* What the page cache has of the file and need not write goes, and is read anew. After a sync that
 * failed: the cache still shows, as if it were safe, what the device never got. */
void file_drop_cached(const struct env *env, struct file *file);
/* Starts writing pages back; a hint (sync_file_range). May block on a slow device. */
enum err file_write_behind(const struct env *env, struct file *file, uint64_t position,
                           uint64_t len);
MUST_CHECK enum err file_truncate(const struct env *env, struct file *file, uint64_t size);
/* Makes the file `size` bytes long, with room for them where the file system can. */
MUST_CHECK enum err file_allocate(const struct env *env, struct file *file, uint64_t size);
MUST_CHECK enum err file_size(const struct env *env, struct file *file, uint64_t *out);

MUST_CHECK enum err files_status(const struct env *env, const char *path, struct file_status *out);
/* Says that it was last written at `wall_ms`. */
MUST_CHECK enum err files_set_modified(const struct env *env, const char *path, int64_t wall_ms);
MUST_CHECK enum err files_rename(const struct env *env, const char *from, const char *to);
/* ERR_NOT_FOUND when it is not there. */
MUST_CHECK enum err files_remove(const struct env *env, const char *path);
/* ERR_EXISTS when it is there. Parents are not made. */
MUST_CHECK enum err files_make_directory(const struct env *env, const char *path);
/* ERR_EXISTS when it is not empty. */
MUST_CHECK enum err files_remove_directory(const struct env *env, const char *path);
/* Renames, creations and removals in this directory survive power loss when it returns. Blocks. */
MUST_CHECK enum err files_sync_directory(const struct env *env, const char *path);
/* All that was written to the file system that holds the directory `path`, files and names,
 * survives power loss when it returns (syncfs): one wait where there are many files. Blocks. */
MUST_CHECK enum err files_sync_system(const struct env *env, const char *path);
/* Each entry but "." and "..", in byte order of the names. */
MUST_CHECK enum err files_list(const struct env *env, const char *path,
                               void (*entry)(void *to, const char *name, bool is_directory),
                               void *to);
/* An exclusive lock on the whole file (fcntl, as Java's FileChannel.tryLock), made if absent and
 * held until file_close. ERR_BUSY if another process has it. */
MUST_CHECK enum err files_lock(const struct env *env, const char *path, struct file **out);
/* Bytes of the file system that holds `path`. */
MUST_CHECK enum err files_space(const struct env *env, const char *path, uint64_t *total,
                                uint64_t *usable);

/* Made of the above. */
struct buf;
/* Adds the whole content to `out`. ERR_LIMIT if it is over `size_max`. */
MUST_CHECK enum err files_read_all(const struct env *env, const char *path, size_t size_max,
                                   struct buf *out);
/* Replaces the file: a crash leaves the old text or the new, whole (path.tmp, sync, rename, sync of
 * the directory). Blocks. */
MUST_CHECK enum err files_replace(const struct env *env, const char *path, struct slice text);
/* The same in steps for whoever replaces many files, each step for all of them:
 * files_replace_write, with which the way to the device begins; files_replace_sync of each, or
 * files_sync_system; files_replace_rename; files_sync_directory of each, or again
 * files_sync_system. */
MUST_CHECK enum err files_replace_write(const struct env *env, const char *path, struct slice text);
MUST_CHECK enum err files_replace_sync(const struct env *env, const char *path);
MUST_CHECK enum err files_replace_rename(const struct env *env, const char *path);
