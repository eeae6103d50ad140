/* tests/sim/world.h - one seeded, virtual world: time, luck, processes, the trace.
 *
 * Everything happens in one thread, as events in the order of (time, sequence). Luck comes from
 * named streams of the seed, so that one more draw here changes nothing there. What happens is told
 * to the trace, whose hash says whether two runs were the same.
 *
 * Parts. net.c, disk.c and zookeeper.c are parts of the world: they keep what they know in the
 * world, not in a process. Two heaps keep that apart (heap.h): all that a process allocates is its
 * own and goes with it when it is killed, without a destructor being run. A part's functions in
 * env_ops are called with the world's heap in force (env_sim.c sees to it), and call back into a
 * process only by process_at and shard_tell, which change to its heap. So: never call a handler of
 * a process from an event of the world.
 *
 * The `world` of every env_ops function is the `struct sim_process *` that calls. env_sim.c puts
 * the tables together: sim_net_ops (net.h), sim_files_ops and sim_disk_ops (disk.h), sim_zk_ops
 * (zookeeper.h). The one callback that is called inside is files_ops.list's. */
#pragma once
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "runtime/env.h"
#include <setjmp.h>
#include <stdarg.h>

struct world;
struct sim_heap;
struct sim_process;
struct sim_host;
struct shard;

struct sim_disk;      /* disk.h: what a host has on its disks */
struct sim_zookeeper; /* zookeeper.h: the ensemble, one per world */
struct sim_net;       /* net.h: the wires between hosts */
struct sim_disks;     /* env_sim.h: faults of disks, the pool */
struct sim_files;     /* disk.h: what one process has of its host's disk */

/* ---- the world ---- */

enum sim_phase { PHASE_WARM_UP, PHASE_SAFETY, PHASE_LIVENESS };

#define TRACE_KEPT     400 /* the last lines, for whoever looks at a failure */
#define TRACE_LINE_MAX 400

struct world {
    uint64_t seed;
    struct instant now;    /* virtual; starts at WORLD_BEGINS */
    int64_t wall_began_ms; /* wall clock at WORLD_BEGINS, before offsets of processes */
    enum sim_phase phase;  /* faults strike in PHASE_SAFETY only */
    bool is_slow;          /* hours to days in which little happens: options are drawn for that */

    /* parts; made and ended by who puts the world together */
    struct sim_net *net;
    struct sim_disks *disks;
    struct sim_host *disks_victim; /* one of whose disks may fail now; NULL: nobody's */
    int disks_victim_device;       /* which one: see sim_disks_path */
    struct sim_zookeeper *zookeeper;

    struct list hosts, processes; /* in order of making; dead processes leave */
    struct list parts;

    /* world.c */
    struct heap events;
    uint64_t events_run;
    struct list free_calls;
    struct map streams, options, faults;
    struct sim_process *running; /* whose code runs now, or NULL */
    struct sim_heap *heap;       /* of the world */
    struct {
        uint64_t hash, lines;
        char (*kept)[TRACE_LINE_MAX];
        bool prints; /* to stdout as well */
    } trace;
    void (*failed)(void *owner, int exit_code); /* prints what a reader needs; may not return */
    void *failed_owner;
    int next_generation;
};

#define WORLD_BEGINS ((struct instant){INT64_C(1000000000)})

struct world *world_create(uint64_t seed);
/* Processes are killed, parts must have ended. */
void world_destroy(struct world **world);

/* Runs the next event; false when there is none at or before `until` (then it is `until`). */
bool world_step(struct world *world, struct instant until);
/* Runs until then. */
void world_run(struct world *world, struct instant until);

/* ---- time ---- */

/* An event that its owner keeps; zero: not armed. */
struct world_event {
    struct heap_node node;
    void (*fire)(struct world_event *event);
};

/* Arms, or moves; INSTANT_NEVER disarms. In the past is now. */
void world_arm(struct world *world, struct world_event *event, struct instant at);
void world_disarm(struct world *world, struct world_event *event);
/* Once, in the world's own name: not for the code of a process. Cannot be taken back. */
void world_at(struct world *world, struct instant at, void (*fn)(void *arg), void *arg);

/* ---- luck ---- */

/* The stream of that name: made at the first call, valid as long as the world. */
struct prng *world_stream(struct world *world, const char *name);
/* From the stream of that name. */
uint64_t world_draw(struct world *world, const char *name);
int64_t world_between(struct world *world, const char *name, int64_t low, int64_t high);
bool world_chance(struct world *world, const char *name, int64_t per_million);

/* A number that stays the same for the whole run, drawn from its own stream at the first call (or
 * given by --set NAME=VALUE, world_set_option). It is traced. Names: "zookeeper.lag-ms-max". */
int64_t world_option(struct world *world, const char *name, int64_t low, int64_t high);
/* The same, with other bounds in a slow world. */
int64_t world_option_paced(struct world *world, const char *name, int64_t low, int64_t high,
                           int64_t slow_low, int64_t slow_high);
/* The same where a few values are meant: one of the `count`. */
int64_t world_option_of(struct world *world, const char *name, const int64_t *values, int count);
/* Before the option is first asked for. */
void world_set_option(struct world *world, const char *name, int64_t value);

/* ---- faults ---- */

/* A kind of fault, or a named point where one can strike. Most are struck by asking fault_strikes
 * at the point; what a nemesis does by its own clock is counted with fault_struck. */
struct sim_fault {
    const char *name;    /* "disk.write-error"; the part before the point is its family */
    int64_t per_million; /* 0: off in this seed */
    uint64_t asked, struck;
    struct prng luck;
};

/* Makes the fault known, with a rate of this seed: off in about half of the seeds (swarm), else up
 * to `per_million_max`. --without NAME or FAMILY turns it off. */
struct sim_fault *world_fault(struct world *world, const char *name, int64_t per_million_max);
/* One that is asked about at each step of the work. A slow world has a hundred times as many steps,
 * idle ones most of them: there it strikes that much more seldom. */
struct sim_fault *world_fault_of_steps(struct world *world, const char *name,
                                       int64_t per_million_max);
/* Whether it strikes here and now: never outside of PHASE_SAFETY. Counted and traced. */
bool fault_strikes(struct world *world, struct sim_fault *fault);
void fault_struck(struct world *world, struct sim_fault *fault);
/* Before the fault is made known. */
void world_without(struct world *world, const char *name);

/* ---- the trace ---- */

/* One line; the time and what runs stand before it. The text enters the hash, so it holds no
 * pointer and nothing of the real world. */
void world_trace(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, for readers only: it does not enter the hash. */
void world_note(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The last lines, oldest first, to stderr. */
void world_trace_dump(const struct world *world, int lines);

/* Ends the run: what has been promised is broken (129), or does not come about (128). */
_Noreturn void world_wrong(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
_Noreturn void world_stuck(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

enum { SIM_EXIT_CRASH = 127, SIM_EXIT_STUCK = 128, SIM_EXIT_WRONG = 129 };

/* ---- hosts and processes ---- */

/* A machine: a name in the network, disks, one power supply. It outlives its processes. */
struct sim_host {
    struct list_node node;
    struct world *world;
    int id; /* from 0 in order of making */
    char name[32];
    struct sim_disk *disk; /* disk.h; NULL: it has none */
    bool has_power;
    int boots;              /* times that its power went */
    int64_t wall_offset_ms; /* of its wall clock; steps */
    struct prng luck;       /* of env_random on this host */
};

struct sim_host *host_create(struct world *world, const char *name);

enum sim_state { PROCESS_RUNNING, PROCESS_PAUSED, PROCESS_DEAD };

/* One life of one program. After a kill it is gone: a restart is another process on its host. */
struct sim_process {
    struct list_node node;
    struct world *world;
    struct sim_host *host;
    char name[32];
    int generation; /* no two processes of a world have the same */
    enum sim_state state;
    struct env env; /* what its code gets; ops: env_sim.c */
    struct sim_heap *heap;
    struct sim_files *files; /* of env_sim.c */
    void *owner;             /* of the program's driver (cluster.c): world memory */

    /* A shard of it has been told to stop (shard_stop): by the world, after its last turn. */
    void (*shard_stopped)(struct sim_process *process, struct shard *shard);

    /* world.c */
    struct list calls;   /* process_at that has not run */
    struct list waiting; /* of those, what came due while it was paused */
    struct list shards;  /* net.c: struct net, one per shard */
    jmp_buf *out;        /* where to go on when it dies in the middle of a call */
};

/* `env_ops`: all that it can ask of the world. */
struct sim_process *process_create(struct sim_host *host, const char *name,
                                   const struct env_ops *env_ops);
/* Runs `fn` as code of the process, now, with its heap; from events of the world. False: it has
 * died meanwhile, perhaps in the middle of `fn`. */
bool process_run(struct sim_process *process, void (*fn)(void *arg), void *arg);
/* The same at an instant: late if it is paused then, never if it is killed before. For jobs of the
 * disk pool and the like. Calls due at one instant run in the order of asking. `arg` is not freed.
 */
void process_at(struct sim_process *process, struct instant at, void (*fn)(void *arg), void *arg);

/* Kill −9: the code is not asked. Connections end as the kernel ends them, files stay as they are
 * in the page cache, ZooKeeper hears nothing more. Called from the process's own code (through a
 * function of env_ops) it does not return. Frees the process. */
void process_kill(struct sim_process *process);
/* SIGSTOP, SIGCONT: nothing of it runs meanwhile. Its kernel goes on: connections stay open. */
void process_pause(struct sim_process *process);
void process_resume(struct sim_process *process);
/* All its processes die at once, and the parts forget what the host had not synced. */
void host_power_loss(struct sim_host *host);
void host_power_on(struct sim_host *host);

/* What a part of the world wants to hear. Called in the order of adding, with the world's heap. */
struct world_part {
    struct list_node node;
    /* It is dead: forget what it has open. Its memory is still there, its code runs no more. */
    void (*killed)(void *owner, struct sim_process *process);
    /* After its processes were killed. */
    void (*power_lost)(void *owner, struct sim_host *host);
    void (*power_came)(void *owner, struct sim_host *host);
    void (*resumed)(void *owner, struct sim_process *process);
    void *owner;
};

void world_add_part(struct world *world, struct world_part *part);
void world_remove_part(struct world_part *part);

/* ---- shards ---- */

/* Something for a shard: runs in its next turn, where it hears of sockets, in the order of telling.
 * A part keeps it; zero: not told. */
struct shard_note {
    struct list_node node;
    void (*run)(struct shard_note *note); /* code of the process: may call its handlers */
};

/* The shard gets a turn soon. Telling one that is told changes nothing. From the world or from the
 * shard's own code (then: a later turn). */
void shard_tell(struct shard *shard, struct shard_note *note);
/* Takes it back; one that is not told is fine. When a process dies, net.c takes back what was told
 * to its shards before `killed` of the other parts. */
void shard_untell(struct shard_note *note);
