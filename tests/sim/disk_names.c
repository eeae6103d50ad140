/* tests/sim/disk_names.c - inodes and the names that lead to them: as they are now, and which of
 * that a sync of the directory has not yet made durable. */
#include "base/ensure.h"
#include "tests/sim/disk_parts.h"
#include <stdlib.h>
#include <string.h>

/* ---- inodes ---- */

struct inode *inode_create(struct sim_device *device, bool is_directory)
{
    struct inode *inode = ensure_zalloc(sizeof(*inode));

    inode->device = device;
    inode->is_directory = is_directory;
    inode->number = ++device->disk->inodes;
    if (is_directory) map_init(&inode->entries);
    return inode;
}

void inode_hold(struct inode *inode)
{
    inode->references++;
}

void inode_drop(struct inode *inode)
{
    ensure(inode->references > 0);
    if (--inode->references > 0) return;
    inode->links = inode->opens = 0;
    inode_account(inode);
    list_remove(&inode->dirty);
    data_fini(inode);
    if (inode->is_directory) names_fini(inode);
    free(inode);
}

void inode_account(struct inode *inode)
{
    uint64_t now = 0;

    if (inode->links > 0 || inode->opens > 0)
        now = inode->is_directory ? SIM_BLOCK : data_blocks(inode->held, inode->allocated);
    inode->device->used += now - inode->counted;
    inode->counted = now;
}

static void add_link(struct inode *inode, int n)
{
    inode->links += (uint32_t)n;
    inode_account(inode);
}

/* ---- the present names ---- */

struct inode *names_get(const struct inode *directory, const char *name)
{
    return map_get(&directory->entries, slice_text(name));
}

/* Entries hold what they lead to. */
static void put(struct inode *directory, const char *name, struct inode *inode)
{
    inode_hold(inode);
    add_link(inode, 1);
    struct inode *old = map_set(&directory->entries, slice_text(name), inode);
    if (old != NULL) {
        add_link(old, -1);
        inode_drop(old);
    }
    if (inode->is_directory) inode->parent = directory;
}

static void take(struct inode *directory, const char *name)
{
    struct inode *old = map_remove(&directory->entries, slice_text(name));

    if (old == NULL) return;
    add_link(old, -1);
    inode_drop(old);
}

/* ---- operations ---- */

static void add_op(struct inode *directory, struct name_op op)
{
    if (directory->name_count == directory->name_capacity) {
        directory->name_capacity = directory->name_capacity == 0 ? 4 : directory->name_capacity * 2;
        directory->names = ensure_realloc(directory->names, (size_t)directory->name_capacity *
                                                                sizeof(directory->names[0]));
    }
    if (!list_has(&directory->dirty)) list_push(&directory->device->dirty, &directory->dirty);
    op.sequence = ++directory->device->disk->sequence;
    inode_hold(op.inode);
    if (op.displaced != NULL) inode_hold(op.displaced);
    directory->names[directory->name_count++] = op;
}

void names_link(struct inode *directory, const char *name, struct inode *inode)
{
    add_op(directory,
           (struct name_op){.kind = OP_LINK, .name = ensure_strdup(name), .inode = inode});
    put(directory, name, inode);
}

void names_unlink(struct inode *directory, const char *name)
{
    add_op(directory, (struct name_op){.kind = OP_UNLINK,
                                       .name = ensure_strdup(name),
                                       .inode = names_get(directory, name)});
    take(directory, name);
}

void names_rename(struct inode *from, const char *name, struct inode *to, const char *new_name)
{
    struct inode *inode = names_get(from, name);

    if (from == to) {
        add_op(from, (struct name_op){.kind = OP_RENAME,
                                      .name = ensure_strdup(name),
                                      .to = ensure_strdup(new_name),
                                      .inode = inode,
                                      .displaced = names_get(to, new_name)});
    }
    inode_hold(inode);
    take(from, name);
    put(to, new_name, inode);
    inode_drop(inode);
    if (from != to) {
        names_sync(from, UINT64_MAX);
        names_sync(to, UINT64_MAX);
    }
}

static void op_fini(struct name_op *op)
{
    inode_drop(op->inode);
    if (op->displaced != NULL) inode_drop(op->displaced);
    free(op->name);
    free(op->to);
}

static void forget_ops(struct inode *directory, int n)
{
    for (int i = 0; i < n; i++)
        op_fini(&directory->names[i]);
    memmove(directory->names, directory->names + n,
            (size_t)(directory->name_count - n) * sizeof(directory->names[0]));
    directory->name_count -= n;
    if (directory->name_count > 0) return;
    list_remove(&directory->dirty);
    free(directory->names);
    directory->names = NULL;
    directory->name_capacity = 0;
}

void names_sync(struct inode *directory, uint64_t up_to)
{
    int n = 0;

    while (n < directory->name_count && directory->names[n].sequence <= up_to)
        n++;
    if (n > 0) forget_ops(directory, n);
}

void names_fini(struct inode *directory)
{
    if (directory->name_count > 0) forget_ops(directory, directory->name_count);
    map_each (entry, &directory->entries) {
        struct inode *inode = entry->value;
        add_link(inode, -1);
        inode_drop(inode);
    }
    map_fini(&directory->entries);
}

/* ---- power loss ---- */

static void undo(struct inode *directory, const struct name_op *op)
{
    switch (op->kind) {
    case OP_LINK:
        take(directory, op->name);
        break;
    case OP_UNLINK:
        put(directory, op->name, op->inode);
        break;
    case OP_RENAME:
        put(directory, op->name, op->inode);
        if (op->displaced != NULL)
            put(directory, op->to, op->displaced);
        else
            take(directory, op->to);
        break;
    }
}

/* How many of a directory's operations are kept: from the first on, for file systems keep their
 * order within a directory. Directories have each luck of their own. */
static int survivors(const struct inode *directory, enum sim_fate fate, uint64_t up_to)
{
    int n = 0;

    switch (fate) {
    case SIM_FATE_KEPT:
        return directory->name_count;
    case SIM_FATE_DROPPED:
        return 0;
    case SIM_FATE_ORDERED:
        while (n < directory->name_count && directory->names[n].sequence <= up_to)
            n++;
        return n;
    case SIM_FATE_MIXED:
    case SIM_FATE_DRAWN:
    case SIM_FATES:
        break;
    }
    return (int)prng_below(&directory->device->disk->fate, (uint64_t)directory->name_count + 1);
}

void names_power_loss(struct inode *directory, enum sim_fate fate, uint64_t up_to)
{
    struct sim_disk_counts *counts = &directory->device->disk->counts;
    int kept = survivors(directory, fate, up_to);

    for (int i = directory->name_count - 1; i >= kept; i--)
        undo(directory, &directory->names[i]);
    counts->kept += (uint64_t)kept;
    counts->dropped += (uint64_t)(directory->name_count - kept);
    if (directory->name_count > 0) forget_ops(directory, directory->name_count);
}

/* ---- paths ---- */

static struct inode *root_of(struct sim_disk *disk)
{
    return list_entry(list_first(&disk->devices), struct sim_device, node)->root;
}

enum err names_find(struct sim_disk *disk, const char *path, struct inode **out)
{
    struct inode *at = root_of(disk);
    const char *rest = path;

    for (;;) {
        while (*rest == '/')
            rest++;
        size_t len = strcspn(rest, "/");
        if (len == 0) break;
        if (!at->is_directory) return ERR_NOT_FOUND;
        at = map_get(&at->entries, slice_of(rest, len));
        if (at == NULL) return ERR_NOT_FOUND;
        rest += len;
    }
    *out = at;
    return ERR_OK;
}

enum err names_parent(struct sim_disk *disk, const char *path, struct inode **parent,
                      const char **name)
{
    char part[FILES_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);

    if (slash == NULL || slash[1] == '\0' || len >= sizeof(part)) return ERR_INVALID;
    memcpy(part, path, len);
    part[len] = '\0';
    struct inode *found;
    enum err err = names_find(disk, part, &found);
    if (err == ERR_OK && !found->is_directory) err = ERR_NOT_FOUND;
    if (err != ERR_OK) return err;
    *parent = found;
    *name = slash + 1;
    return ERR_OK;
}
