/* tests/bench/recovery.c - kill -9 under load, and how long until the broker is there again. */
#include "tests/bench/storage.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOPIC       "recovery"
#define AIM_SECONDS 3.0
#define LOAD_RATE   500 /* requests a second: 50 MiB/s of usual batches */

/* ---- what the recovery points leave ---- */

struct uncovered {
    double bytes, all_bytes;
    int partitions;
};

static double file_bytes(const char *directory)
{
    char path[700];
    struct stat status;
    double bytes = 0;
    DIR *dir = opendir(directory);

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        size_t len = strlen(entry->d_name);
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (len > 4 && strcmp(entry->d_name + len - 4, ".log") == 0 && stat(path, &status) == 0)
            bytes += (double)status.st_size;
    }
    if (dir != NULL) closedir(dir);
    return bytes;
}

/* All batches are alike: an offset says how many bytes are before it. */
static struct uncovered look(const struct storage *storage, double record_bytes)
{
    char path[300], topic[256];
    struct uncovered found = {0};
    long long offset;
    int partition;

    snprintf(path, sizeof(path), "%s/data/recovery-point-offset-checkpoint",
             storage->broker->folder);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    (void)!fscanf(file, "%*d %*d");
    while (fscanf(file, "%255s %d %lld", topic, &partition, &offset) == 3) {
        if (strcmp(topic, TOPIC) != 0) continue;
        snprintf(path, sizeof(path), "%s/data/" TOPIC "-%d", storage->broker->folder, partition);
        double all = file_bytes(path), covered = (double)offset * record_bytes;
        found.all_bytes += all;
        found.bytes += all > covered ? all - covered : 0;
        found.partitions++;
    }
    fclose(file);
    return found;
}

/* ---- the run ---- */

static pid_t start_load(struct storage *storage)
{
    struct load_options load = storage->options->load;
    struct load_result result;
    pid_t pid = fork();

    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_WRONLY); /* that the broker goes away is no news */
    dup2(null, STDERR_FILENO);
    load.rate = LOAD_RATE;
    load.seconds = 3600;
    load_produce_at_rate(&storage->data, &load, &result);
    _exit(0);
}

static void kill_under_load(struct storage *storage)
{
    int status;
    pid_t load = start_load(storage);

    poll(NULL, 0, (int)(storage->options->load.seconds * 1000));
    node_signal(&storage->cluster, storage->broker, SIGKILL);
    kill(load, SIGKILL);
    while (waitpid(load, &status, 0) < 0) {
    }
}

static uint64_t read_so_far(pid_t pid, const char *what)
{
    char path[64], text[1024];

    snprintf(path, sizeof(path), "/proc/%d/io", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *at = strstr(text, what);
    return at == NULL ? 0 : strtoull(at + strlen(what), NULL, 10);
}

void storage_recovery(const struct storage_options *options)
{
    struct load_options load = options->load;
    struct load_result result;
    struct storage storage;
    double gib = options->gib > 0 ? options->gib : 20, worst = 0;
    int partitions = options->partitions;

    storage_start(&storage, options, "");
    storage.data.topic = TOPIC;
    storage.data.partitions = partitions;
    load_create_topic(&storage.data, TOPIC, partitions, NULL);
    load.total_bytes = (uint64_t)(gib * (1 << 30));
    double begin = seconds_now();
    load_produce(&storage.data, &load, &result);
    double record_bytes = (double)result.bytes / (double)result.records;
    printf(
        "recovery: %d partitions, %.1f GiB written in %.0f s; then %.0f s of %d batches a second, "
        "kill -9 in the middle of them, page cache dropped, start; %d rounds\n",
        partitions, (double)result.bytes / (1 << 30), seconds_now() - begin, load.seconds,
        LOAD_RATE, options->rounds);
    load_result_fini(&result);
    for (int round = 1; round <= options->rounds; round++) {
        kill_under_load(&storage);
        storage_make_cold(&storage);
        struct uncovered uncovered = look(&storage, record_bytes);
        double seconds = storage_seconds_to_ready(&storage.cluster, storage.broker);
        uint64_t device = read_so_far(storage.broker->pid, "read_bytes: ");
        uint64_t asked = read_so_far(storage.broker->pid, "rchar: ");
        node_wait_ready(&storage.cluster, storage.broker, 60);
        printf("round %d: %d partitions with %.2f GiB, of which %.3f GiB are beyond the recovery "
               "points; read %.3f GiB (%.3f GiB from the device); ready in %.2f s\n",
               round, uncovered.partitions, uncovered.all_bytes / (1 << 30),
               uncovered.bytes / (1 << 30), (double)asked / (1 << 30), (double)device / (1 << 30),
               seconds);
        if (seconds > worst) worst = seconds;
    }
    printf("recovery                                 ready in %.2f s at worst (aim: under %.0f) "
           "%s\n",
           worst, AIM_SECONDS, storage_verdict(worst < AIM_SECONDS));
    storage_stop(&storage);
}
