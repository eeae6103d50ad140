/* tests/sim/run.h - one seed, from the first process to the last check.
 *
 * Warm-up without faults; safety with all of them; liveness: everything is healed, no new work, and
 * within a bound the cluster must be whole and every record read; then everything is read once more
 * from the beginning, all processes end in order, and the logs of all replicas are compared. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define RUN_FAULTS_MAX 64

struct scenario;

struct run_options {
    uint64_t seed;
    const struct scenario *scenario; /* instead of faults that are drawn; NULL */
    bool prints, logs;
    bool is_quiet; /* nothing on stderr when it fails: for who tries what is known to fail */
    const char *const *without;
    int without_count;
    const char *const *set; /* NAME=VALUE */
    int set_count;
};

/* Plain bytes: it goes through a pipe. */
struct run_result {
    uint64_t seed, hash, events;
    double virtual_s, cpu_s;
    bool is_slow;
    int brokers, controllers;
    uint64_t sent, acked, read, repeated, lifted, produce, produce_failed, fetch, fetch_failed,
        operations, refused, out_of_range, starts, generations, commits, offsets_told;
    struct run_fault {
        char name[40];
        bool is_on;
        uint64_t asked, struck;
    } faults[RUN_FAULTS_MAX];
    int fault_count;
};

/* In a process of its own: it may end it, with 127 (crash), 128 (stuck) or 129 (wrong). */
void run_seed(const struct run_options *options, struct run_result *result);
