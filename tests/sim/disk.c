/* tests/sim/disk.c - see disk.h: machines, devices and faults; the operations of a process are in
 * disk_files.c. */
#include "base/ensure.h"
#include "tests/sim/disk_parts.h"
#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

static struct sim_device *add_device(struct sim_disk *disk, const char *path, uint64_t bytes)
{
    struct sim_device *device = ensure_zalloc(sizeof(*device));

    *device = (struct sim_device){.disk = disk, .path = ensure_strdup(path), .bytes = bytes};
    list_init(&device->dirty);
    list_push(&disk->devices, &device->node);
    device->root = inode_create(device, true);
    inode_hold(device->root);
    return device;
}

struct sim_disk *sim_disk_create(uint64_t seed, const char *name)
{
    struct sim_disk *disk = ensure_zalloc(sizeof(*disk));
    uint64_t own = seed;

    for (const char *at = name; *at != '\0'; at++)
        own = own * 1099511628211u + (uint8_t)*at;
    list_init(&disk->devices);
    list_init(&disk->users);
    prng_init_named(&disk->fate, own, "disk-fate");
    prng_init_named(&disk->fault, own, "disk-fault");
    add_device(disk, "/", UINT64_C(1) << 40);
    return disk;
}

void sim_disk_destroy(struct sim_disk **disk)
{
    struct sim_disk *d = *disk;

    if (d == NULL) return;
    ensure(list_is_empty(&d->users));
    list_each (node, &d->devices) {
        struct sim_device *device = list_entry(node, struct sim_device, node);
        struct inode *root = device->root;
        device->root = NULL;
        inode_drop(root);
    }
    list_each (node, &d->devices) {
        struct sim_device *device = list_entry(node, struct sim_device, node);
        list_remove(node);
        free(device->path);
        free(device);
    }
    free(d);
    *disk = NULL;
}

static struct inode *make_directories(struct sim_disk *disk, const char *path)
{
    char part[FILES_PATH_MAX];
    struct inode *inode = NULL, *parent = NULL;
    const char *name = NULL;

    ensure(strlen(path) < sizeof(part));
    for (size_t len = 1; len <= strlen(path); len++) {
        if (path[len] != '/' && path[len] != '\0') continue;
        memcpy(part, path, len);
        part[len] = '\0';
        if (names_find(disk, part, &inode) == ERR_OK) continue;
        enum err err = names_parent(disk, part, &parent, &name);
        ensure(err == ERR_OK);
        names_link(parent, name, inode_create(parent->device, true));
        names_sync(parent, UINT64_MAX);
    }
    enum err err = names_find(disk, path, &inode);
    ensure(err == ERR_OK);
    return inode;
}

struct sim_device *sim_disk_mount(struct sim_disk *disk, const char *path, uint64_t bytes)
{
    struct inode *below = make_directories(disk, path), *parent = NULL;
    struct sim_device *device = add_device(disk, path, bytes);
    const char *name = NULL;

    enum err err = names_parent(disk, path, &parent, &name);
    ensure(err == ERR_OK && below->entries.count == 0);
    names_unlink(parent, name);
    names_link(parent, name, device->root);
    names_sync(parent, UINT64_MAX);
    return device;
}

struct sim_device *sim_disk_device(struct sim_disk *disk, const char *path)
{
    struct sim_device *best = NULL;

    list_each (node, &disk->devices) {
        struct sim_device *device = list_entry(node, struct sim_device, node);
        size_t len = strcmp(device->path, "/") == 0 ? 0 : strlen(device->path);
        if (strncmp(path, device->path, len) != 0 || (path[len] != '/' && path[len] != '\0'))
            continue;
        if (best == NULL || len > strlen(best->path)) best = device;
    }
    ensure(best != NULL);
    return best;
}

/* ---- every file of a machine ---- */

static void each_inode(struct inode *directory, void (*fn)(struct inode *inode, void *arg),
                       void *arg)
{
    fn(directory, arg);
    map_each (entry, &directory->entries) {
        struct inode *inode = entry->value;
        if (inode->is_directory)
            each_inode(inode, fn, arg);
        else
            fn(inode, arg);
    }
}

static void each(struct sim_disk *disk, void (*fn)(struct inode *inode, void *arg), void *arg)
{
    struct sim_device *root = list_entry(list_first(&disk->devices), struct sim_device, node);

    each_inode(root->root, fn, arg);
}

static void cool(struct inode *inode, void *device)
{
    if (device == NULL || inode->device == device) inode->is_cold = true;
}

void sim_disk_cool(struct sim_device *device)
{
    each(device->disk, cool, device);
}

/* ---- what becomes of it ---- */

/* A sync may free what only an operation has held: so all are held first. */
void sim_device_sync(struct sim_device *device, uint64_t up_to)
{
    struct inode **all = NULL;
    size_t count = 0, capacity = 0;

    list_each (node, &device->dirty) {
        if (count == capacity) {
            capacity = capacity == 0 ? 64 : capacity * 2;
            all = ensure_realloc(all, capacity * sizeof(*all));
        }
        all[count] = list_entry(node, struct inode, dirty);
        inode_hold(all[count++]);
    }
    for (size_t i = 0; i < count; i++) {
        if (all[i]->is_directory)
            names_sync(all[i], up_to);
        else
            data_sync(all[i], up_to);
    }
    for (size_t i = 0; i < count; i++)
        inode_drop(all[i]);
    free(all);
}

void sim_disk_settle(struct sim_disk *disk)
{
    list_each (node, &disk->devices)
        sim_device_sync(list_entry(node, struct sim_device, node), UINT64_MAX);
}

static void account(struct inode *inode, void *arg)
{
    (void)arg;
    inode_account(inode);
}

void sim_disk_power_loss(struct sim_disk *disk, enum sim_fate fate)
{
    if (fate == SIM_FATE_DRAWN)
        fate = (enum sim_fate)(SIM_FATE_KEPT + prng_below(&disk->fate, SIM_FATES - SIM_FATE_KEPT));
    uint64_t up_to = disk->sequence == 0 ? 0 : prng_below(&disk->fate, disk->sequence + 1);
    /* Mostly the last seconds are at stake, not what was done an hour ago. */
    if (disk->sequence > 64 && prng_below(&disk->fate, 2) == 0)
        up_to = disk->sequence - prng_below(&disk->fate, 64);

    list_each (user, &disk->users)
        ensure(sim_files_is_dead(list_entry(user, struct sim_files, node)));
    disk->counts.power_losses++;
    list_each (node, &disk->devices) {
        struct sim_device *device = list_entry(node, struct sim_device, node);
        while (!list_is_empty(&device->dirty)) {
            struct inode *inode = list_entry(list_first(&device->dirty), struct inode, dirty);
            inode_hold(inode);
            if (inode->is_directory)
                names_power_loss(inode, fate, up_to);
            else
                data_power_loss(inode, fate, up_to);
            ensure(!list_has(&inode->dirty));
            inode_drop(inode);
        }
        cool(device->root, NULL);
    }
    each(disk, cool, NULL);
    each(disk, account, NULL);
}

/* ---- damage ---- */

static struct inode *file_at(struct sim_disk *disk, const char *path)
{
    struct inode *inode = NULL;
    enum err err = names_find(disk, path, &inode);

    ensure(err == ERR_OK && !inode->is_directory);
    return inode;
}

void sim_disk_flip(struct sim_disk *disk, const char *path, uint64_t position, uint8_t bits)
{
    data_flip(file_at(disk, path), position, bits);
    disk->counts.rotten++;
}

struct choice {
    uint64_t left; /* bytes until the chosen one */
    struct inode *inode;
    uint64_t total;
};

static void sum(struct inode *inode, void *arg)
{
    struct choice *choice = arg;

    if (!inode->is_directory) choice->total += inode->held;
}

static void choose(struct inode *inode, void *arg)
{
    struct choice *choice = arg;

    if (inode->is_directory || choice->inode != NULL) return;
    if (choice->left < inode->held)
        choice->inode = inode;
    else
        choice->left -= inode->held;
}

bool sim_disk_rot(struct sim_disk *disk, const char *path)
{
    struct choice choice = {0};
    struct inode *top = NULL;

    if (names_find(disk, path, &top) != ERR_OK || !top->is_directory) return false;
    each_inode(top, sum, &choice);
    if (choice.total == 0) return false;
    choice.left = prng_below(&disk->fate, choice.total);
    each_inode(top, choose, &choice);
    uint64_t bit = prng_below(&disk->fate, 8);
    data_flip(choice.inode, choice.left, (uint8_t)(1u << bit));
    disk->counts.rotten++;
    return true;
}

void sim_inode_break(struct inode *inode, uint64_t position)
{
    inode->bad = ensure_realloc(inode->bad, (size_t)(inode->bad_count + 1) * sizeof(inode->bad[0]));
    inode->bad[inode->bad_count++] = position / SIM_SECTOR_BYTES;
    inode->is_cold = true;
}

void sim_disk_break(struct sim_disk *disk, const char *path, uint64_t position)
{
    sim_inode_break(file_at(disk, path), position);
}

void sim_disk_set_time(struct sim_disk *disk, const char *path, int64_t wall_ms)
{
    file_at(disk, path)->modified_ms = wall_ms;
}

/* ---- faults ---- */

const char *sim_disk_fault_name(enum sim_disk_fault fault)
{
    static const char *const names[] = {"write-error", "read-error", "sync-error",
                                        "name-error",  "cache-miss", "slow"};

    _Static_assert(sizeof(names) / sizeof(names[0]) == SIM_DISK_FAULTS, "a name for each");
    return names[fault];
}

bool sim_device_strikes(struct sim_device *device, enum sim_disk_fault fault)
{
    struct sim_disk *disk = device->disk;
    bool strikes;

    if (disk->strikes != NULL) {
        strikes = disk->strikes(disk->luck_owner, device, fault);
    } else {
        int64_t rate = device->faults.per_million[fault];
        strikes = rate > 0 && prng_below(&disk->fault, 1000000) < (uint64_t)rate;
    }
    disk->counts.struck[fault] += strikes;
    return strikes;
}

struct sim_device_faults *sim_device_faults(struct sim_device *device)
{
    return &device->faults;
}

void sim_disk_set_luck(struct sim_disk *disk,
                       bool (*strikes)(void *owner, struct sim_device *device,
                                       enum sim_disk_fault fault),
                       void *owner)
{
    disk->strikes = strikes;
    disk->luck_owner = owner;
}

void sim_device_fill(struct sim_device *device, uint64_t taken)
{
    device->taken = taken;
}

uint64_t sim_device_usable(const struct sim_device *device)
{
    uint64_t used = device->used + device->taken;

    return used < device->bytes ? device->bytes - used : 0;
}

const char *sim_device_path(const struct sim_device *device)
{
    return device->path;
}

const struct sim_disk_counts *sim_disk_counts(const struct sim_disk *disk)
{
    return &disk->counts;
}

/* Not by one that waits for its deletion, in the place of an earlier one of its name: nobody needs
 * either, and which of them a power loss leaves is all the same. */
static bool is_replacement(const struct name_op *op)
{
    static const char going[] = ".deleted";
    size_t len = op->kind == OP_RENAME ? strlen(op->to) : 0;

    if (op->kind != OP_RENAME || op->displaced == NULL) return false;
    return len < sizeof(going) - 1 || strcmp(op->to + len - (sizeof(going) - 1), going) != 0;
}

int sim_disk_replaced(const struct sim_disk *disk)
{
    int most = 0;

    list_each (device, &disk->devices) {
        list_each (node, &list_entry(device, struct sim_device, node)->dirty) {
            const struct inode *inode = list_entry(node, struct inode, dirty);
            int count = 0;
            for (int i = 0; inode->is_directory && i < inode->name_count; i++)
                count += is_replacement(&inode->names[i]);
            if (count > most) most = count;
        }
    }
    return most;
}

/* ---- comparing ---- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * UINT64_C(1099511628211);
    return hash;
}

static uint64_t mix_number(uint64_t hash, uint64_t number)
{
    return mix(hash, &number, sizeof(number));
}

static uint64_t hash_inode(const struct inode *inode, uint64_t hash)
{
    hash = mix_number(hash, (uint64_t)inode->op_count + ((uint64_t)inode->name_count << 32));
    if (!inode->is_directory) {
        hash = mix_number(hash, inode->size);
        return mix(hash, inode->bytes, inode->held);
    }
    map_each (entry, &inode->entries) {
        hash = mix(hash, entry->key, entry->key_len);
        hash = hash_inode(entry->value, hash);
    }
    return hash;
}

uint64_t sim_disk_hash(const struct sim_disk *disk)
{
    struct sim_device *root = list_entry(disk->devices.head.next, struct sim_device, node);

    return hash_inode(root->root, mix_number(UINT64_C(14695981039346656037), disk->sequence));
}
