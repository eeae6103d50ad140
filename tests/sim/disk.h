/* tests/sim/disk.h - the disks of one simulated machine: what a process wrote, what of it is on the
 * device, and what is left of it after a death.
 *
 * A machine has devices, each a file system of its own with its own size and faults, mounted at
 * paths below "/" (which is one itself). Processes on it work through `struct sim_files`, the
 * `world` of sim_files_ops. Every file and directory is as its last operation left it; beside that
 * it keeps what was done since its last sync. So
 * - a stop or the death of a process changes nothing but that locks fall and files are closed: the
 *   page cache survives;
 * - at power loss each operation since the last sync is kept, dropped or torn at a sector, those of
 *   different files and directories in any order. As the journals of file systems have it, on one
 *   file a truncation comes before whatever was written after it, names of one directory change in
 *   their order, and a rename replaces its target at once or not at all. That a file is synced does
 *   not make its name durable: that takes a sync of its directory.
 * - a sync that fails has thrown the pages away: the next one succeeds and writes nothing of them.
 *
 * Not modelled: hard and symbolic links, permissions, mmap; a rename between directories is durable
 * at once.
 *
 * No clock and no luck but its seed: the same calls give the same disk. All memory is of whoever
 * calls. */
#pragma once
#include "base/prng.h"
#include "runtime/files.h"

#define SIM_SECTOR_BYTES 512

struct sim_disk;   /* of one machine */
struct sim_device; /* one file system of it */
struct sim_files;  /* what one process has of it */

/* ---- the machine ---- */

struct sim_disk *sim_disk_create(uint64_t seed, const char *name);
/* Its processes are gone. Sets to NULL; NULL is fine. */
void sim_disk_destroy(struct sim_disk **disk);
/* A device of `bytes` at `path`, which is made, with those above it. Valid as long as the disk. */
struct sim_device *sim_disk_mount(struct sim_disk *disk, const char *path, uint64_t bytes);
/* The device that has `path`. */
struct sim_device *sim_disk_device(struct sim_disk *disk, const char *path);

/* What is left when the power goes. */
enum sim_fate {
    SIM_FATE_DRAWN,   /* one of the others, by luck */
    SIM_FATE_KEPT,    /* all had been written back just in time */
    SIM_FATE_DROPPED, /* nothing that was not synced */
    SIM_FATE_ORDERED, /* all up to a moment */
    SIM_FATE_MIXED,   /* each operation has luck of its own */
    SIM_FATES,
};
/* Every process on it has been killed before. */
void sim_disk_power_loss(struct sim_disk *disk, enum sim_fate fate);
/* Everything is on the device: as after a long time, or an orderly stop of the machine. */
void sim_disk_settle(struct sim_disk *disk);

/* Flips one bit of a file at rest below `path`, by luck. False: there is no byte there. */
bool sim_disk_rot(struct sim_disk *disk, const char *path);
/* The same, of one byte of one file. */
void sim_disk_flip(struct sim_disk *disk, const char *path, uint64_t position, uint8_t bits);
/* The sector that has the position cannot be read until it is written again. */
void sim_disk_break(struct sim_disk *disk, const char *path, uint64_t position);
/* When the file was last written. */
void sim_disk_set_time(struct sim_disk *disk, const char *path, int64_t wall_ms);
/* Nothing of the device is in the page cache. */
void sim_disk_cool(struct sim_device *device);

/* ---- faults of a device ---- */

enum sim_disk_fault {
    SIM_WRITE_ERROR, /* ERR_IO, a part of it may have been written */
    SIM_READ_ERROR,  /* a sector breaks; ERR_IO there from now on */
    SIM_SYNC_ERROR,  /* and the pages are lost */
    SIM_NAME_ERROR,  /* ERR_IO of making, renaming or removing a name; nothing happened */
    SIM_CACHE_MISS,  /* the file is not in the page cache any more */
    SIM_SLOW,        /* the operation takes long: see sim_files_cost */
    SIM_DISK_FAULTS,
};
const char *sim_disk_fault_name(enum sim_disk_fault fault);

struct sim_device_faults {
    int64_t per_million[SIM_DISK_FAULTS]; /* of the operations that it can strike */
    bool is_broken;                       /* everything is ERR_IO */
    bool cannot_tell_cached;              /* read_cached is ERR_UNSUPPORTED */
    bool has_garbage;                     /* torn sectors may hold anything */
};
struct sim_device_faults *sim_device_faults(struct sim_device *device);
/* Who draws for the device; NULL: it does by its own luck and per_million. */
void sim_disk_set_luck(struct sim_disk *disk,
                       bool (*strikes)(void *owner, struct sim_device *device,
                                       enum sim_disk_fault fault),
                       void *owner);
/* Bytes that others have: makes it full, or gives room again. */
void sim_device_fill(struct sim_device *device, uint64_t taken);
uint64_t sim_device_usable(const struct sim_device *device);
const char *sim_device_path(const struct sim_device *device);

struct sim_disk_counts {
    uint64_t operations, power_losses, struck[SIM_DISK_FAULTS], full, broken_reads, rotten;
    uint64_t kept, dropped, torn; /* operations at power loss */
};
const struct sim_disk_counts *sim_disk_counts(const struct sim_disk *disk);
/* The most files of one directory that were replaced by a rename which no sync of the directory has
 * made durable: all of them could be back after a loss of power. Those that wait for their deletion
 * do not count. */
int sim_disk_replaced(const struct sim_disk *disk);
/* The state of all files and names, and what of them is not synced: for comparing two runs. */
uint64_t sim_disk_hash(const struct sim_disk *disk);

/* ---- a process ---- */

extern const struct files_ops sim_files_ops; /* `world` is the struct sim_files */

/* `wall_ms` for times of modification. */
struct sim_files *sim_files_create(struct sim_disk *disk, int64_t (*wall_ms)(void *owner),
                                   void *owner);
/* The process is dead: its files are closed and its locks fall. What its code calls afterwards
 * gives ERR_IO and does nothing. Twice is fine. */
void sim_files_kill(struct sim_files *files);
bool sim_files_is_dead(const struct sim_files *files);
/* Closes what is open. Sets to NULL; NULL is fine. */
void sim_files_destroy(struct sim_files **files);

/* Kinds of operations, as a set. */
enum sim_operation {
    SIM_OPEN = 1,
    SIM_CREATE = 2, /* an open that makes the file, or empties it; a lock */
    SIM_READ = 4,
    SIM_WRITE = 8,
    SIM_SYNC = 16, /* of file, directory or system */
    SIM_TRUNCATE = 32,
    SIM_NAMES = 64, /* rename, remove, directories made and removed */
    SIM_LOOK = 128, /* size, status, list, space */
    SIM_CHANGES = SIM_CREATE | SIM_WRITE | SIM_SYNC | SIM_TRUNCATE | SIM_NAMES,
    SIM_ALL = 255,
};
/* The nth-fault loops: of the operations of these kinds, number `at` (from 0) and perhaps all that
 * come after it meet their fault. A write is done in part; a sync that fails loses its pages. */
struct sim_nth {
    unsigned kinds;
    int at;
    bool dies;    /* there, before or in the middle or after: by luck */
    enum err err; /* else: what it gives */
    bool goes_on; /* those that follow fail too */
    bool fills;   /* or else: from there on the device is full, as sim_device_fill makes it */
    /* results */
    int seen; /* of these kinds, so far */
    bool was_reached;
    char what[96]; /* which operation that was, for people */
};
/* Borrows `nth` until the next call; NULL: none. */
void sim_files_plan(struct sim_files *files, struct sim_nth *nth);

/* For a pool that lets operations take their time: called before each with how long it takes (0:
 * not worth a pause), and may come back much later, or never. What a sync covers is what was done
 * before the call. */
void sim_files_set_pause(struct sim_files *files, void (*pause)(void *owner, int64_t ns),
                         void *owner);

struct sim_files_counts {
    int opens, reads, writes;
    int syncs; /* of files and systems */
    int directory_syncs;
};
struct sim_files_counts sim_files_counts(const struct sim_files *files);
