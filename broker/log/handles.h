/* broker/log/handles.h - the few files that are open at a time. Internal to the room.
 *
 * A shard may have a hundred thousand files and hold a few hundred open. A file is opened when it
 * is asked for, counted while it is used, and then kept on a list of the unused, whose oldest is
 * closed when there are too many. Whoever could ask again has a slot (a pointer in its segment)
 * that leads to the open file as long as there is one; a file whose slot has been forgotten (its
 * segment is gone) is closed with its last use. */
#pragma once
#include "broker/log/log.h"

struct log_file {
    struct list_node unused; /* in log_files.unused while references is 0 */
    struct log_files *files;
    struct file *file;
    struct log_file **slot; /* NULL: nobody will ask again */
    uint32_t references;
};

struct log_files {
    const struct env *env;
    struct list unused; /* least recently used first */
    int unused_count, unused_max;
    int open_count;
    /* While something is looked for on behalf of who must not wait (handles_read). */
    bool only_cached;
    struct log_file *missed; /* NULL: nothing; held */
    int64_t missed_at;
};

/* One more use of the file of `*slot`, opened with `flags` (files.h) if it is not open. A file that
 * is there by right and is not found is ERR_IO. */
MUST_CHECK enum err handles_use(struct log_files *files, struct log_file **slot, const char *path,
                                int flags, struct log_file **out);
/* Reads up to `len` bytes. With files->only_cached what is not in the page cache is not waited for:
 * ERR_BUSY, and `missed` and `missed_at` say what it was. */
MUST_CHECK enum err handles_read(struct log_file *file, int64_t position, void *to, size_t len,
                                 size_t *n);
struct log_file *handles_hold(struct log_file *file);
/* Ends one use; sets to NULL; NULL is fine. */
void handles_drop(struct log_file **file);
/* The slot goes: its file is closed as soon as nobody uses it. */
void handles_forget(struct log_file **slot);
