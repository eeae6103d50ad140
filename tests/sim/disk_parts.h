/* tests/sim/disk_parts.h - what a simulated disk consists of. Of disk.c,
 * disk_files.c, disk_data.c and disk_names.c. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "tests/sim/disk.h"

#define SIM_BLOCK       4096

#define SIM_MERGE_BYTES ((uint64_t)256 << 10) /* appends in a row are one operation up to this */

/* What was done to a file's content since its last sync. `undo` brings back what it replaced. */
struct data_op {
    enum { OP_WRITE, OP_RESIZE } kind;
    enum {
        OP_PENDING,
        OP_DURABLE, /* behind one that is lost */
        OP_LOST     /* its pages were thrown away by a sync that failed */
    } state;
    uint64_t sequence;
    uint64_t position, len; /* OP_WRITE */
    uint64_t size_before, size_after;
    size_t held_before;
    uint8_t *undo;
    size_t undo_len;
};

/* What was done to a directory's names since its last sync. */
struct name_op {
    enum { OP_LINK, OP_UNLINK, OP_RENAME } kind;
    uint64_t sequence;
    char *name, *to; /* OP_RENAME: from name to `to` */
    struct inode *inode, *displaced;
};

struct inode {
    struct sim_device *device;
    struct list_node dirty; /* of the device, while there are operations */
    uint32_t references;    /* names, operations, handles */
    uint32_t links, opens;  /* names now, handles */
    bool is_directory;
    uint64_t number;
    int64_t modified_ms;

    /* a file: `held` bytes, and zeros up to `size` */
    uint8_t *bytes;
    size_t held, capacity;
    uint64_t size, allocated;
    uint64_t counted; /* bytes of the device that are its */
    struct data_op *ops;
    int op_count, op_capacity;
    uint64_t barrier; /* a sync is or was under way of all up to this: no operation grows over it */
    bool is_cold;
    struct file *lock;
    uint64_t *bad; /* sectors */
    int bad_count;

    /* a directory */
    struct inode *parent;
    struct map entries; /* name → inode */
    struct name_op *names;
    int name_count, name_capacity;
};

struct sim_device {
    struct list_node node;
    struct sim_disk *disk;
    char *path;
    struct inode *root;
    uint64_t bytes, used, taken;
    struct list dirty;
    struct sim_device_faults faults;
};

struct sim_disk {
    struct list devices;
    struct list users;
    struct prng fate, fault; /* luck: at power loss, and of operations */
    uint64_t sequence, inodes;
    struct sim_disk_counts counts;
    bool (*strikes)(void *owner, struct sim_device *device, enum sim_disk_fault fault);
    void *luck_owner;
};

struct sim_files {
    struct list_node node; /* of the disk's users */
    struct sim_disk *disk;
    struct list open;
    int64_t (*wall_ms)(void *owner);
    void *clock_owner;
    bool is_dead;
    struct sim_nth *nth;
    void (*pause)(void *owner, int64_t ns);
    void *pause_owner;
    struct sim_files_counts counts;
};

/* ---- devices (disk.c) ---- */
void sim_device_sync(struct sim_device *device, uint64_t up_to);
bool sim_device_strikes(struct sim_device *device, enum sim_disk_fault fault);
void sim_inode_break(struct inode *inode, uint64_t position);

/* ---- inodes (disk_names.c) ---- */
struct inode *inode_create(struct sim_device *device, bool is_directory);
void inode_hold(struct inode *inode);
/* Frees it with the last one. */
void inode_drop(struct inode *inode);
/* Counts anew what it takes of its device. */
void inode_account(struct inode *inode);

/* ---- content (disk_data.c) ---- */
/* Bytes of the device that the file would take with `held` bytes there and `allocated` reserved. */
uint64_t data_blocks(size_t held, uint64_t allocated);
void data_write(struct inode *inode, uint64_t position, const void *bytes, size_t len);
void data_resize(struct inode *inode, uint64_t size);
/* Bytes from `position` on, which is below the size; `len` does not go over it. */
void data_read(const struct inode *inode, uint64_t position, void *to, size_t len);
/* All operations up to the sequence number are on the device. */
void data_sync(struct inode *inode, uint64_t up_to);
/* They should be, and their pages are gone. */
void data_lose(struct inode *inode, uint64_t up_to);
/* What is lost is not seen any more. */
void data_drop_lost(struct inode *inode);
void data_power_loss(struct inode *inode, enum sim_fate fate, uint64_t up_to);
void data_fini(struct inode *inode);
void data_flip(struct inode *inode, uint64_t position, uint8_t bits);

/* ---- names (disk_names.c) ---- */
/* ERR_NOT_FOUND. */
enum err names_find(struct sim_disk *disk, const char *path, struct inode **out);
/* The directory that has or would have it, and its last part. */
enum err names_parent(struct sim_disk *disk, const char *path, struct inode **parent,
                      const char **name);
struct inode *names_get(const struct inode *directory, const char *name);
void names_link(struct inode *directory, const char *name, struct inode *inode);
void names_unlink(struct inode *directory, const char *name);
void names_rename(struct inode *from, const char *name, struct inode *to, const char *new_name);
void names_sync(struct inode *directory, uint64_t up_to);
void names_power_loss(struct inode *directory, enum sim_fate fate, uint64_t up_to);
void names_fini(struct inode *directory);
