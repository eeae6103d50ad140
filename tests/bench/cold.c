/* tests/bench/cold.c - a consumer reads what is not in memory while somebody produces. */
#include "tests/bench/storage.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOPIC     "cold"
#define AIM_RATIO 1.5

enum state { QUIET, WARM, COLD, STATES };

/* Of the consumer, which is another process. */
struct consumed {
    _Atomic uint64_t bytes;
    _Atomic uint64_t passes;
};

/* Reads the topic from its beginning, again and again. As if on another machine: what it does on
 * this one is not to take the broker's processor. */
static pid_t start_consumer(const struct storage *storage, bool is_cold, uint64_t bytes,
                            struct consumed *consumed)
{
    struct load_options load = storage->options->load;
    struct load_result result;
    pid_t pid = fork();

    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpriority(PRIO_PROCESS, 0, 19);
    /* In pieces, so that there is a count when it is ended. */
    load.total_bytes = bytes;
    for (;;) {
        load_fetch(&storage->data, &load, &result);
        consumed->bytes += result.bytes;
        consumed->passes++;
        if (is_cold) storage_make_cold(storage);
        load_result_fini(&result);
    }
}

static void run_window(struct storage *storage, enum state state, uint64_t bytes,
                       struct consumed *consumed, struct storage_latencies *latencies,
                       struct storage_use *use)
{
    struct storage_use before, used;
    int status;
    pid_t consumer = 0;

    if (state == COLD) storage_make_cold(storage);
    storage_use(storage, &before);
    if (state != QUIET) consumer = start_consumer(storage, state == COLD, bytes, consumed);
    storage_probe(storage, storage->options->load.seconds, latencies);
    used = storage_use_since(storage, &before);
    for (int i = 0; i < CREWS; i++) {
        use->of[i].cpu_seconds += used.of[i].cpu_seconds;
        use->of[i].device_bytes += used.of[i].device_bytes;
    }
    if (consumer == 0) return;
    kill(consumer, SIGKILL);
    while (waitpid(consumer, &status, 0) < 0) {
    }
}

void storage_cold(const struct storage_options *options)
{
    static const char *const names[] = {
        "quiet:", "consumer, data in memory:", "consumer, data not in memory:"};
    struct storage_latencies warm = {0}, latencies[STATES] = {0};
    struct storage_use use[STATES] = {0};
    struct load_options load = options->load;
    struct load_result result;
    struct storage storage;
    double gib = options->gib > 0 ? options->gib : 4;
    struct consumed *consumed = mmap(NULL, sizeof(*consumed) * STATES, PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (consumed == MAP_FAILED) abort();
    storage_start(&storage, options, "");
    storage.data.topic = TOPIC;
    storage.data.partitions = options->partitions;
    load_create_topic(&storage.data, TOPIC, options->partitions, NULL);
    load.total_bytes = (uint64_t)(gib * (1 << 30));
    load_produce(&storage.data, &load, &result);
    printf(
        "cold: %.1f GiB in %d partitions; %d rounds of %.0f s each: quiet, a consumer of it from "
        "memory, a consumer of it from the device\n",
        (double)result.bytes / (1 << 30), options->partitions, options->rounds, load.seconds);
    uint64_t bytes = result.bytes;
    load_result_fini(&result);
    storage_probe(&storage, 2, &warm);
    for (int round = 0; round < options->rounds; round++) {
        for (int state = 0; state < STATES; state++) {
            if (state == WARM) { /* in memory again, after the round before */
                load.total_bytes = bytes;
                load_fetch(&storage.data, &load, &result);
                load_result_fini(&result);
            }
            run_window(&storage, (enum state)state, bytes, &consumed[state], &latencies[state],
                       &use[state]);
        }
    }
    for (int state = 0; state < STATES; state++)
        storage_print_latencies(names[state], &latencies[state]);
    double seconds = load.seconds * options->rounds;
    printf("the device was asked in the cold rounds: by the pool for %.0f MiB/s, by shards, which "
           "must not wait for it, for %.1f; %llu whole passes\n",
           (double)use[COLD].of[CREW_DISK].device_bytes / (1 << 20) / seconds,
           (double)use[COLD].of[CREW_SHARDS].device_bytes / (1 << 20) / seconds,
           (unsigned long long)consumed[COLD].passes);
    printf("from memory: %.0f MiB/s in whole passes\n",
           (double)consumed[WARM].bytes / (1 << 20) / seconds);
    storage_print_ratio("p99.9 beside a consumer from memory",
                        storage_percentile(&latencies[WARM], 0.999),
                        storage_percentile(&latencies[QUIET], 0.999), AIM_RATIO);
    storage_print_ratio("p99.9 beside a consumer from the device",
                        storage_percentile(&latencies[COLD], 0.999),
                        storage_percentile(&latencies[QUIET], 0.999), AIM_RATIO);
    for (int state = 0; state < STATES; state++)
        storage_latencies_fini(&latencies[state]);
    storage_latencies_fini(&warm);
    munmap(consumed, sizeof(*consumed) * STATES);
    storage_stop(&storage);
}
