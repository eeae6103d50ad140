/* tests/sim/disk_files.c - the files of one process: the operations of runtime/files.h on a
 * simulated disk, and what can go wrong with them. */
#include "base/ensure.h"
#include "tests/sim/disk_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file {
    struct list_node node; /* of the process */
    struct sim_files *files;
    struct inode *inode; /* NULL: the process is dead */
    bool is_writable;
};

/* ---- what goes wrong ---- */

/* How far an operation comes that meets its fault. */
enum reach { REACH_ALL, REACH_PART, REACH_NOTHING };

struct step {
    enum err err;     /* ERR_OK: it goes well */
    enum reach reach; /* what of it is done */
};

static uint64_t draw(struct sim_disk *disk, uint64_t below)
{
    return prng_below(&disk->fault, below);
}

/* The planned fault of a process. */
static bool meets_nth(struct sim_files *files, struct sim_device *device, enum sim_operation kind,
                      const char *what, struct step *step)
{
    struct sim_nth *nth = files->nth;

    if (nth == NULL || (nth->kinds & (unsigned)kind) == 0) return false;
    int number = nth->seen++;
    if (number < nth->at || (number > nth->at && !nth->goes_on)) return false;
    if (number == nth->at) {
        nth->was_reached = true;
        snprintf(nth->what, sizeof(nth->what), "%s", what);
    }
    if (nth->fills) {
        if (device != NULL) device->taken = device->bytes - device->used;
        return false;
    }
    step->err = nth->dies ? ERR_IO : nth->err;
    step->reach = nth->dies ? (enum reach)draw(files->disk, 3) : REACH_NOTHING;
    if (kind == SIM_WRITE && !nth->dies) step->reach = REACH_PART;
    return true;
}

/* Before an operation: what comes of it. Who is dead does nothing. */
static struct step begin(struct sim_files *files, struct sim_device *device,
                         enum sim_operation kind, const char *what)
{
    struct step step = {ERR_OK, REACH_ALL};

    if (files->is_dead) return (struct step){ERR_IO, REACH_NOTHING};
    files->disk->counts.operations++;
    if (meets_nth(files, device, kind, what, &step)) return step;
    if (device != NULL && device->faults.is_broken) return (struct step){ERR_IO, REACH_NOTHING};
    return step;
}

/* Whether a drawn fault of the device strikes an operation that would have gone well. */
static void try_fault(struct step *step, struct sim_device *device, enum sim_disk_fault fault,
                      enum reach reach)
{
    if (step->err == ERR_OK && sim_device_strikes(device, fault))
        *step = (struct step){ERR_IO, reach};
}

/* After it; `err` is what it gives if nothing strikes. */
static enum err end_with(struct sim_files *files, struct step step, enum err err)
{
    if (step.err == ERR_OK) return err;
    if (files->nth != NULL && files->nth->was_reached && files->nth->dies) sim_files_kill(files);
    return step.err;
}

static enum err end(struct sim_files *files, struct step step)
{
    return end_with(files, step, ERR_OK);
}

/* ---- time ---- */

enum { QUICK_NS = 20000, SYNC_NS = 4000000, COLD_NS = 3000000 };

static void take_time(struct sim_files *files, struct sim_device *device, int64_t usual_ns)
{
    if (files->pause == NULL || files->is_dead) return;
    int64_t ns = usual_ns / 2 + (int64_t)draw(files->disk, (uint64_t)usual_ns);
    if (sim_device_strikes(device, SIM_SLOW))
        ns += INT64_C(1000000) << draw(files->disk, 15); /* 1 ms … 16 s */
    files->pause(files->pause_owner, ns);
}

/* ---- the process ---- */

struct sim_files *sim_files_create(struct sim_disk *disk, int64_t (*wall_ms)(void *owner),
                                   void *owner)
{
    struct sim_files *files = ensure_zalloc(sizeof(*files));

    *files = (struct sim_files){.disk = disk, .wall_ms = wall_ms, .clock_owner = owner};
    list_init(&files->open);
    list_push(&disk->users, &files->node);
    return files;
}

static void let_go(struct file *file)
{
    struct inode *inode = file->inode;

    if (inode == NULL) return;
    file->inode = NULL;
    if (inode->lock == file) inode->lock = NULL;
    inode->opens--;
    inode_account(inode);
    inode_drop(inode);
}

void sim_files_kill(struct sim_files *files)
{
    files->is_dead = true;
    list_each (node, &files->open)
        let_go(list_entry(node, struct file, node));
}

bool sim_files_is_dead(const struct sim_files *files)
{
    return files->is_dead;
}

void sim_files_destroy(struct sim_files **files)
{
    struct sim_files *f = *files;

    if (f == NULL) return;
    sim_files_kill(f);
    list_each (node, &f->open) {
        list_remove(node);
        free(list_entry(node, struct file, node));
    }
    list_remove(&f->node);
    free(f);
    *files = NULL;
}

void sim_files_plan(struct sim_files *files, struct sim_nth *nth)
{
    files->nth = nth;
}

void sim_files_set_pause(struct sim_files *files, void (*pause)(void *owner, int64_t ns),
                         void *owner)
{
    files->pause = pause;
    files->pause_owner = owner;
}

struct sim_files_counts sim_files_counts(const struct sim_files *files)
{
    return files->counts;
}

/* ---- open files ---- */

static struct file *open_file(struct sim_files *files, struct inode *inode, bool is_writable)
{
    struct file *file = ensure_zalloc(sizeof(*file));

    *file = (struct file){.files = files, .inode = inode, .is_writable = is_writable};
    list_push(&files->open, &file->node);
    inode_hold(inode);
    inode->opens++;
    return file;
}

static void touch(struct sim_files *files, struct inode *inode)
{
    inode->modified_ms = files->wall_ms(files->clock_owner);
    inode_account(inode);
}

/* A name takes room in its directory, sooner or later. */
static bool has_room_for_name(struct sim_device *device)
{
    if (sim_device_usable(device) >= SIM_BLOCK) return true;
    device->disk->counts.full++;
    return false;
}

static enum err create_file(struct sim_files *files, const char *path, struct inode **out)
{
    struct inode *parent = NULL;
    const char *name = NULL;

    enum err err = names_parent(files->disk, path, &parent, &name);
    if (err == ERR_OK && !has_room_for_name(parent->device)) err = ERR_FULL;
    if (err != ERR_OK) return err;
    struct inode *inode = inode_create(parent->device, false);
    names_link(parent, name, inode);
    touch(files, inode);
    *out = inode;
    return ERR_OK;
}

static void sim_close(struct file *file)
{
    let_go(file);
    list_remove(&file->node);
    free(file);
}

static enum err may_open(struct sim_files *files, const char *path, int flags, bool is_there,
                         struct inode **inode)
{
    if (!is_there)
        return (flags & FILE_CREATE) != 0 ? create_file(files, path, inode) : ERR_NOT_FOUND;
    if ((flags & FILE_EXCLUSIVE) != 0) return ERR_EXISTS;
    return (*inode)->is_directory && (flags & FILE_WRITE) != 0 ? ERR_IO : ERR_OK;
}

static enum err sim_open(void *world, const char *path, int flags, struct file **out)
{
    struct sim_files *files = world;
    struct sim_device *device = sim_disk_device(files->disk, path);
    struct inode *inode = NULL;

    bool is_there = names_find(files->disk, path, &inode) == ERR_OK;
    bool changes = ((flags & FILE_CREATE) != 0 && !is_there) || (flags & FILE_TRUNCATE) != 0;
    struct step step = begin(files, device, changes ? SIM_CREATE : SIM_OPEN, path);
    if (changes) try_fault(&step, device, SIM_NAME_ERROR, REACH_NOTHING);
    files->counts.opens++;
    if (step.reach != REACH_NOTHING) {
        enum err err = may_open(files, path, flags, is_there, &inode);
        if (err != ERR_OK) return end_with(files, step, err);
        if ((flags & FILE_TRUNCATE) != 0 && inode->size > 0) {
            data_resize(inode, 0);
            inode->allocated = 0;
            touch(files, inode);
        }
    }
    enum err err = end(files, step);
    if (err == ERR_OK) *out = open_file(files, inode, (flags & FILE_WRITE) != 0);
    return err;
}

static enum err sim_lock(void *world, const char *path, struct file **out)
{
    struct sim_files *files = world;
    struct sim_device *device = sim_disk_device(files->disk, path);
    struct inode *inode = NULL;

    struct step step = begin(files, device, SIM_CREATE, path);
    if (step.reach != REACH_NOTHING && names_find(files->disk, path, &inode) != ERR_OK) {
        enum err made = create_file(files, path, &inode);
        if (made != ERR_OK) return end_with(files, step, made);
    }
    enum err err = end(files, step);
    if (err != ERR_OK) return err;
    if (inode->is_directory) return ERR_IO;
    if (inode->lock != NULL) return ERR_BUSY;
    *out = open_file(files, inode, true);
    inode->lock = *out;
    return ERR_OK;
}

/* ---- content ---- */

static bool is_bad(const struct inode *inode, uint64_t position, size_t len)
{
    for (int i = 0; i < inode->bad_count; i++) {
        uint64_t from = inode->bad[i] * SIM_SECTOR_BYTES;
        if (from < position + len && position < from + SIM_SECTOR_BYTES) return true;
    }
    return false;
}

static enum err sim_read_at(struct file *file, uint64_t position, void *to, size_t len, size_t *n)
{
    struct sim_files *files = file->files;
    struct inode *inode = file->inode;
    struct sim_device *device = inode == NULL ? NULL : inode->device;

    struct step step = begin(files, device, SIM_READ, "read");
    if (step.err != ERR_OK) return end(files, step);
    files->counts.reads++;
    if (inode->is_cold) take_time(files, device, COLD_NS);
    size_t there = position < inode->size ? (size_t)(inode->size - position) : 0;
    if (there > len) there = len;
    if (there > 0 && sim_device_strikes(device, SIM_READ_ERROR))
        sim_inode_break(inode, position + draw(files->disk, there));
    if (there > 0 && is_bad(inode, position, there)) {
        files->disk->counts.broken_reads++;
        return ERR_IO;
    }
    if (there > 0) data_read(inode, position, to, there);
    inode->is_cold = false;
    *n = there;
    return ERR_OK;
}

static enum err sim_read_cached(struct file *file, uint64_t position, void *to, size_t len,
                                size_t *n)
{
    struct inode *inode = file->inode;

    if (file->files->is_dead) return ERR_IO;
    if (inode->device->faults.is_broken) return ERR_IO;
    if (inode->device->faults.cannot_tell_cached) return ERR_UNSUPPORTED;
    size_t there = position < inode->size ? (size_t)(inode->size - position) : 0;
    if (there > len) there = len;
    if (!inode->is_cold && sim_device_strikes(inode->device, SIM_CACHE_MISS)) {
        /* Some of it may still be there. */
        inode->is_cold = true;
        size_t kept = (size_t)(position + draw(file->files->disk, there + 1)) / SIM_BLOCK;
        kept *= SIM_BLOCK;
        there = kept > position ? (size_t)(kept - position) : 0;
    } else if (inode->is_cold || is_bad(inode, position, there)) {
        there = 0;
    }
    if (there > 0) data_read(inode, position, to, there);
    *n = there;
    return ERR_OK;
}

/* A sector that is written is a good one again. */
static void mend(struct inode *inode, uint64_t position, size_t len)
{
    int kept = 0;

    for (int i = 0; i < inode->bad_count; i++) {
        uint64_t from = inode->bad[i] * SIM_SECTOR_BYTES;
        if (from < position || from + SIM_SECTOR_BYTES > position + len)
            inode->bad[kept++] = inode->bad[i];
    }
    inode->bad_count = kept;
}

/* How much of `len` there is room for. */
static size_t room_for(const struct inode *inode, uint64_t position, size_t len)
{
    uint64_t usable = sim_device_usable(inode->device), end = position + len;

    if (end < inode->held) end = inode->held;
    uint64_t wanted = data_blocks((size_t)end, inode->allocated);
    if (wanted <= inode->counted || wanted - inode->counted <= usable) return len;
    uint64_t limit = inode->counted + usable / SIM_BLOCK * SIM_BLOCK;
    return limit > position ? (size_t)(limit - position) : 0;
}

static enum err sim_write_at(struct file *file, uint64_t position, const struct iovec *parts,
                             int count)
{
    struct sim_files *files = file->files;
    struct inode *inode = file->inode;
    struct sim_device *device = inode == NULL ? NULL : inode->device;
    size_t len = 0, done = 0;

    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    if (len == 0 && !files->is_dead) return ERR_OK;
    struct step step = begin(files, device, SIM_WRITE, "write");
    if (step.reach == REACH_NOTHING) return end(files, step);
    if (!file->is_writable) return ERR_IO;
    files->counts.writes++;
    try_fault(&step, device, SIM_WRITE_ERROR, REACH_PART);
    size_t most = room_for(inode, position, len);
    if (most < len && step.err == ERR_OK) {
        step.err = ERR_FULL;
        device->disk->counts.full++;
    }
    if (step.reach == REACH_PART && most > 0) most = (size_t)draw(files->disk, most + 1);
    for (int i = 0; i < count && done < most; i++) {
        size_t n = parts[i].iov_len < most - done ? parts[i].iov_len : most - done;
        data_write(inode, position + done, parts[i].iov_base, n);
        done += n;
    }
    if (inode->bad_count > 0) mend(inode, position, done);
    touch(files, inode);
    return end(files, step);
}

static enum err sim_truncate(struct file *file, uint64_t size)
{
    struct sim_files *files = file->files;
    struct inode *inode = file->inode;

    struct step step = begin(files, inode == NULL ? NULL : inode->device, SIM_TRUNCATE, "truncate");
    if (step.err == ERR_OK) try_fault(&step, inode->device, SIM_NAME_ERROR, REACH_NOTHING);
    if (step.reach != REACH_NOTHING) {
        data_resize(inode, size);
        inode->allocated = 0;
        touch(files, inode);
    }
    return end(files, step);
}

static enum err sim_allocate(struct file *file, uint64_t size)
{
    struct sim_files *files = file->files;
    struct inode *inode = file->inode;

    struct step step = begin(files, inode == NULL ? NULL : inode->device, SIM_TRUNCATE, "allocate");
    if (step.err == ERR_OK) try_fault(&step, inode->device, SIM_NAME_ERROR, REACH_NOTHING);
    if (step.reach != REACH_NOTHING) {
        uint64_t wanted = data_blocks(0, size);
        if (wanted > inode->counted && wanted - inode->counted > sim_device_usable(inode->device)) {
            files->disk->counts.full++;
            return end_with(files, step, ERR_FULL);
        }
        data_resize(inode, size);
        inode->allocated = size;
        touch(files, inode);
    }
    return end(files, step);
}

static enum err sim_size(struct file *file, uint64_t *out)
{
    struct sim_files *files = file->files;
    struct inode *inode = file->inode;

    struct step step = begin(files, inode == NULL ? NULL : inode->device, SIM_LOOK, "size");
    if (step.err == ERR_OK) *out = inode->size;
    return end(files, step);
}

/* ---- sync ---- */

static enum err sim_sync(struct file *file)
{
    struct sim_files *files = file->files;
    struct inode *inode = file->inode;
    struct sim_device *device = inode == NULL ? NULL : inode->device;

    struct step step = begin(files, device, SIM_SYNC, "sync");
    if (files->is_dead) return ERR_IO;
    files->counts.syncs++;
    uint64_t up_to = files->disk->sequence;
    inode->barrier = up_to;
    take_time(files, device, SYNC_NS);
    bool has_something = inode->op_count > 0;
    if (has_something) try_fault(&step, device, SIM_SYNC_ERROR, REACH_NOTHING);
    if (step.reach == REACH_ALL)
        data_sync(inode, up_to);
    else if (step.err != ERR_OK && !(files->nth != NULL && files->nth->dies))
        data_lose(inode, up_to);
    inode_account(inode);
    return end(files, step);
}

static void sim_drop_cached(struct file *file)
{
    if (file->files->is_dead) return;
    data_drop_lost(file->inode);
    file->inode->is_cold = true;
}

static enum err sim_write_behind(struct file *file, uint64_t position, uint64_t len)
{
    (void)position;
    (void)len;
    return file->files->is_dead ? ERR_IO : ERR_OK;
}

static enum err sim_sync_directory(void *world, const char *path)
{
    struct sim_files *files = world;
    struct sim_device *device = sim_disk_device(files->disk, path);
    struct inode *inode = NULL;

    struct step step = begin(files, device, SIM_SYNC, path);
    if (files->is_dead) return ERR_IO;
    enum err err = names_find(files->disk, path, &inode);
    if (err != ERR_OK || !inode->is_directory) return end_with(files, step, ERR_NOT_FOUND);
    files->counts.directory_syncs++;
    uint64_t up_to = files->disk->sequence;
    struct file *directory = open_file(files, inode, false); /* which may be renamed meanwhile */
    take_time(files, device, SYNC_NS);
    try_fault(&step, device, SIM_SYNC_ERROR, REACH_NOTHING);
    if (step.reach == REACH_ALL) names_sync(inode, up_to);
    sim_close(directory);
    return end(files, step);
}

static enum err sim_sync_system(void *world, const char *path)
{
    struct sim_files *files = world;
    struct sim_device *device = sim_disk_device(files->disk, path);
    struct inode *inode = NULL;

    struct step step = begin(files, device, SIM_SYNC, "sync of all");
    if (files->is_dead) return ERR_IO;
    if (names_find(files->disk, path, &inode) != ERR_OK)
        return end_with(files, step, ERR_NOT_FOUND);
    files->counts.syncs++;
    uint64_t up_to = files->disk->sequence;
    list_each (node, &device->dirty)
        list_entry(node, struct inode, dirty)->barrier = up_to;
    take_time(files, device, SYNC_NS);
    try_fault(&step, device, SIM_SYNC_ERROR, REACH_NOTHING);
    if (step.reach == REACH_ALL) sim_device_sync(device, up_to);
    return end(files, step);
}

/* ---- names ---- */

static enum err sim_status(void *world, const char *path, struct file_status *out)
{
    struct sim_files *files = world;
    struct inode *inode = NULL;

    struct step step = begin(files, sim_disk_device(files->disk, path), SIM_LOOK, path);
    if (step.err != ERR_OK) return end(files, step);
    enum err err = names_find(files->disk, path, &inode);
    if (err != ERR_OK) return err;
    *out = (struct file_status){.is_directory = inode->is_directory,
                                .size = inode->is_directory ? SIM_BLOCK : inode->size,
                                .modified_ms = inode->modified_ms,
                                .disk_bytes = inode->counted};
    return ERR_OK;
}

static enum err sim_set_modified(void *world, const char *path, int64_t wall_ms)
{
    struct sim_files *files = world;
    struct inode *inode = NULL;

    struct step step = begin(files, sim_disk_device(files->disk, path), SIM_LOOK, path);
    if (step.err != ERR_OK) return end(files, step);
    enum err err = names_find(files->disk, path, &inode);
    if (err == ERR_OK) inode->modified_ms = wall_ms;
    return err;
}

/* What a rename would say of its target. */
static enum err may_replace(const struct inode *moved, const struct inode *target)
{
    if (target == NULL) return ERR_OK;
    if (moved->is_directory && !target->is_directory) return ERR_NOT_FOUND;
    if (!moved->is_directory && target->is_directory) return ERR_IO;
    return target->is_directory && target->entries.count > 0 ? ERR_EXISTS : ERR_OK;
}

static enum err sim_rename(void *world, const char *from, const char *to)
{
    struct sim_files *files = world;
    struct sim_device *device = sim_disk_device(files->disk, from);
    struct inode *parent = NULL, *new_parent = NULL, *inode = NULL;
    const char *name = NULL, *new_name = NULL;

    struct step step = begin(files, device, SIM_NAMES, to);
    take_time(files, device, QUICK_NS);
    if (files->is_dead) return ERR_IO;
    enum err err = names_find(files->disk, from, &inode);
    if (err == ERR_OK) err = names_parent(files->disk, from, &parent, &name);
    if (err == ERR_OK) err = names_parent(files->disk, to, &new_parent, &new_name);
    if (err == ERR_OK && new_parent->device != device) err = ERR_IO;
    if (err == ERR_OK) err = may_replace(inode, names_get(new_parent, new_name));
    if (err != ERR_OK) return end_with(files, step, err);
    try_fault(&step, device, SIM_NAME_ERROR, REACH_NOTHING);
    if (step.reach != REACH_NOTHING && inode != names_get(new_parent, new_name))
        names_rename(parent, name, new_parent, new_name);
    return end(files, step);
}

static enum err remove_name(struct sim_files *files, const char *path, bool is_directory)
{
    struct sim_device *device = sim_disk_device(files->disk, path);
    struct inode *parent = NULL, *inode = NULL;
    const char *name = NULL;

    struct step step = begin(files, device, SIM_NAMES, path);
    take_time(files, device, QUICK_NS);
    if (files->is_dead) return ERR_IO;
    enum err err = names_find(files->disk, path, &inode);
    if (err == ERR_OK && inode->is_directory != is_directory)
        err = is_directory ? ERR_NOT_FOUND : ERR_IO;
    if (err == ERR_OK && is_directory && inode->entries.count > 0) err = ERR_EXISTS;
    if (err == ERR_OK) err = names_parent(files->disk, path, &parent, &name);
    if (err != ERR_OK) return end_with(files, step, err);
    try_fault(&step, device, SIM_NAME_ERROR, REACH_NOTHING);
    if (step.reach != REACH_NOTHING) names_unlink(parent, name);
    return end(files, step);
}

static enum err sim_remove(void *world, const char *path)
{
    return remove_name(world, path, false);
}

static enum err sim_remove_directory(void *world, const char *path)
{
    return remove_name(world, path, true);
}

static enum err sim_make_directory(void *world, const char *path)
{
    struct sim_files *files = world;
    struct sim_device *device = sim_disk_device(files->disk, path);
    struct inode *parent = NULL, *inode = NULL;
    const char *name = NULL;

    struct step step = begin(files, device, SIM_NAMES, path);
    if (files->is_dead) return ERR_IO;
    if (names_find(files->disk, path, &inode) == ERR_OK) return end_with(files, step, ERR_EXISTS);
    enum err err = names_parent(files->disk, path, &parent, &name);
    if (err == ERR_OK && !has_room_for_name(parent->device)) err = ERR_FULL;
    if (err != ERR_OK) return end_with(files, step, err);
    try_fault(&step, device, SIM_NAME_ERROR, REACH_NOTHING);
    if (step.reach != REACH_NOTHING) names_link(parent, name, inode_create(parent->device, true));
    return end(files, step);
}

struct listed {
    bool is_directory;
    char name[];
};

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct listed *const *)a)->name, (*(struct listed *const *)b)->name);
}

static enum err sim_list(void *world, const char *path,
                         void (*tell)(void *to, const char *name, bool is_directory), void *to)
{
    struct sim_files *files = world;
    struct inode *inode = NULL;
    size_t count = 0;

    struct step step = begin(files, sim_disk_device(files->disk, path), SIM_LOOK, path);
    if (step.err != ERR_OK) return end(files, step);
    enum err err = names_find(files->disk, path, &inode);
    if (err != ERR_OK || !inode->is_directory) return ERR_NOT_FOUND;
    struct listed **all = ensure_malloc((inode->entries.count + 1) * sizeof(*all));
    map_each (entry, &inode->entries) {
        struct listed *one = ensure_malloc(sizeof(*one) + entry->key_len + 1);
        one->is_directory = ((struct inode *)entry->value)->is_directory;
        memcpy(one->name, entry->key, entry->key_len);
        one->name[entry->key_len] = '\0';
        all[count++] = one;
    }
    qsort(all, count, sizeof(*all), by_name);
    for (size_t i = 0; i < count; i++) {
        tell(to, all[i]->name, all[i]->is_directory);
        free(all[i]);
    }
    free(all);
    return ERR_OK;
}

static enum err sim_space(void *world, const char *path, uint64_t *total, uint64_t *usable)
{
    struct sim_files *files = world;
    struct sim_device *device = sim_disk_device(files->disk, path);
    struct inode *inode = NULL;

    struct step step = begin(files, device, SIM_LOOK, path);
    if (step.err != ERR_OK) return end(files, step);
    enum err err = names_find(files->disk, path, &inode);
    if (err != ERR_OK) return err;
    *total = device->bytes;
    *usable = sim_device_usable(device);
    return ERR_OK;
}

const struct files_ops sim_files_ops = {
    .open = sim_open,
    .close = sim_close,
    .read_at = sim_read_at,
    .write_at = sim_write_at,
    .read_cached = sim_read_cached,
    .sync = sim_sync,
    .drop_cached = sim_drop_cached,
    .write_behind = sim_write_behind,
    .truncate = sim_truncate,
    .allocate = sim_allocate,
    .size = sim_size,
    .status = sim_status,
    .set_modified = sim_set_modified,
    .rename = sim_rename,
    .remove = sim_remove,
    .make_directory = sim_make_directory,
    .remove_directory = sim_remove_directory,
    .sync_directory = sim_sync_directory,
    .sync_system = sim_sync_system,
    .list = sim_list,
    .lock = sim_lock,
    .space = sim_space,
};
