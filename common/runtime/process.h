/* runtime/process.h - what a process owes its system: limits, signals, readiness, an orderly end.
 *
 * Real processes only; nothing of it exists in the simulator. */
#pragma once
#include "runtime/env_posix.h"
#include "runtime/shard.h"
#include <stdatomic.h>

/* First thing in main, before any thread: raises the limit of open files to what is allowed, keeps
 * the allocator to few arenas (each costs memory, and a shard is one thread) that keep the pages
 * of frames, ignores SIGPIPE and blocks SIGTERM, SIGINT and SIGHUP in all threads to come, for
 * process_signals. */
void process_prepare(void);

/* How many descriptors may be open now. */
uint64_t process_files_max(void);
/* Resident memory in bytes; 0 when the system does not tell. */
uint64_t process_resident_bytes(void);

/* The name of this host, for addresses that others are told; "localhost" when it has none. */
#define PROCESS_HOST_MAX 256
void process_host_name(char out[PROCESS_HOST_MAX]);

/* Tells `shard` of the signals that process_prepare has blocked, as calls on it: SIGTERM and SIGINT
 * ask for the orderly end, SIGHUP for reading files again. The caller's memory. */
struct process_signals {
    struct net_watch watch;
    int fd;
    void (*got)(struct process_signals *signals, int number);
};
MUST_CHECK enum err process_signals_open(struct process_signals *signals, struct shard *shard,
                                         void (*got)(struct process_signals *signals, int number));
void process_signals_close(struct process_signals *signals);

/* Says so to the service manager that started us (NOTIFY_SOCKET), if one did: "READY=1",
 * "STOPPING=1", "STATUS=…". Never blocks, never fails. */
void process_notify(const char *state);

/* The service manager's watchdog (WATCHDOG_USEC), which ends a process that does not feed it: fed
 * by one shard as long as all that are watched turn. Nothing happens where nobody asked for it. */
struct process_watchdog {
    struct shard *shard;
    struct timer timer;
    int64_t limit_ms; /* 0: nobody asked */
    struct process_beat *beats;
};
/* A shard that has to turn; the caller's memory until process_watchdog_stop. */
struct process_beat {
    struct shard *shard;
    struct timer timer;
    int64_t every_ms;
    _Atomic int64_t at_ns; /* of the last beat; its own thread writes, the feeding one reads */
    struct process_beat *next;
};
void process_watchdog_start(struct process_watchdog *watchdog, struct shard *shard);
/* On the watchdog's thread, before that of `shard` runs. */
void process_watchdog_watch(struct process_watchdog *watchdog, struct process_beat *beat,
                            struct shard *shard);
/* When no thread of a watched shard runs any more. Fine on a zeroed one, and twice. */
void process_watchdog_stop(struct process_watchdog *watchdog);

/* Steps done one after another on one shard, the order of an end: each starts something and says
 * when it is over with process_step_done, at once or later. One that takes longer than its time is
 * logged and left behind. */
struct process_step {
    const char *name;
    void (*start)(void *owner); /* owes one process_step_done */
    int64_t timeout_ms;
};
struct process_end {
    struct shard *shard;
    const struct process_step *steps;
    int count, at;
    void *owner;
    void (*ended)(void *owner); /* after the last, not inside a call of yours */
    bool has_left_behind;       /* a step whose time was over: what it began may still run */
    struct timer timer;
    struct post post;
};
/* Borrows `steps` until `ended`. */
void process_end_start(struct process_end *end, struct shard *shard,
                       const struct process_step *steps, int count, void *owner,
                       void (*ended)(void *owner));
/* `name` is the step's: an answer that comes after its time is recognised and ignored. */
void process_step_done(struct process_end *end, const char *name);
bool process_is_ending(const struct process_end *end);
