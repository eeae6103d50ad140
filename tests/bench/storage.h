/* tests/bench/storage.h - what the disk costs those who do not wait for it: the cleaner, consumers
 * of cold data, recovery. What the three benches share. */
#pragma once
#include "tests/bench/load.h"
#include "tests/cluster/cluster.h"

struct storage_options {
    struct load_options load;
    double gib; /* of data; 0: as the bench has it */
    int64_t keys;
    int codec; /* of keyed data */
    int partitions;
    int rounds;
    const char *broker_properties; /* or NULL */
    const char *binaries;
};

void storage_cleaner(const struct storage_options *options);
void storage_cold(const struct storage_options *options);
void storage_recovery(const struct storage_options *options);

/* ---- what they share ---- */

struct storage {
    const struct storage_options *options;
    struct cluster cluster;
    struct node *broker;
    struct load_target data;  /* many GiB */
    struct load_target probe; /* one record at a time */
};

/* One broker with these lines besides the options'. Ends the program (77) where clusters cannot be
 * had. */
void storage_start(struct storage *storage, const struct storage_options *options,
                   const char *properties);
void storage_stop(struct storage *storage);
/* The data are on the device and no longer in the page cache, nor is anything else of the broker's
 * log directory. */
void storage_make_cold(const struct storage *storage);
/* Starts the broker, which does not run; seconds until its READY=1 (sd_notify). */
double storage_seconds_to_ready(struct cluster *cluster, struct node *node);

/* What threads of the broker have used, by their names. */
enum storage_crew { CREW_SHARDS, CREW_CLEANER, CREW_DISK, CREW_OTHERS, CREWS };
struct storage_use {
    struct {
        double cpu_seconds;
        uint64_t asked_bytes;  /* read() and the like, from memory or not; not sendfile */
        uint64_t device_bytes; /* of which the device was asked for by this thread */
    } of[CREWS];
};
void storage_use(const struct storage *storage, struct storage_use *out);
struct storage_use storage_use_since(const struct storage *storage,
                                     const struct storage_use *before);

/* Latencies of single records, gathered over some windows. */
struct storage_latencies {
    double *at;
    size_t count;
    double cpu_seconds;
};
void storage_probe(struct storage *storage, double seconds, struct storage_latencies *to);
void storage_latencies_fini(struct storage_latencies *latencies);
/* Seconds; sorts. */
double storage_percentile(struct storage_latencies *latencies, double share);
void storage_print_latencies(const char *when, struct storage_latencies *latencies);
/* One line: a ratio of two percentiles, and whether it is within `aim`. */
void storage_print_ratio(const char *what, double loaded, double quiet, double aim);
const char *storage_verdict(bool is_met);
