#include "tests/bench/storage.h"
#include "base/ensure.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROBE_PARTITIONS 2 /* of either shard of a small machine */
#define READY_SECONDS    600

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- the broker ---- */

void storage_start(struct storage *storage, const struct storage_options *options,
                   const char *properties)
{
    const char *missing = cluster_missing();
    static char lines[1024];

    if (missing != NULL) {
        fprintf(stderr, "ottla-bench: %s\n", missing);
        exit(77);
    }
    snprintf(lines, sizeof(lines), "%s\n%s", properties,
             options->broker_properties == NULL ? "" : options->broker_properties);
    *storage = (struct storage){.options = options};
    cluster_start(&storage->cluster, &(struct cluster_options){.zookeepers = 1,
                                                               .controllers = 1,
                                                               .brokers = 1,
                                                               .broker_properties = lines,
                                                               .binaries = options->binaries});
    storage->broker = cluster_node(&storage->cluster, NODE_BROKER, 1);
    storage->data = (struct load_target){.port = storage->broker->port, .host = "127.0.0.1"};
    storage->probe = storage->data;
    storage->probe.topic = "probe";
    storage->probe.partitions = PROBE_PARTITIONS;
    load_create_topic(&storage->probe, storage->probe.topic, PROBE_PARTITIONS, NULL);
}

void storage_stop(struct storage *storage)
{
    cluster_stop(&storage->cluster);
}

/* `directory` is a partition's. */
static void drop_files(const char *directory)
{
    char path[700];
    DIR *dir = opendir(directory);

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        int fd = entry->d_name[0] == '.' ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        (void)!posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
    if (dir != NULL) closedir(dir);
}

void storage_make_cold(const struct storage *storage)
{
    char data[128], path[400];

    sync(); /* only what is clean can go */
    snprintf(data, sizeof(data), "%s/data", storage->broker->folder);
    DIR *dir = opendir(data);
    if (dir == NULL) die(data);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof(path), "%s/%s", data, entry->d_name);
        drop_files(path);
    }
    closedir(dir);
}

double storage_seconds_to_ready(struct cluster *cluster, struct node *node)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[256] = "";
    struct timeval limit = {.tv_sec = READY_SECONDS};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", cluster->folder);
    unlink(address.sun_path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die("bench: notify socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    double begin = seconds_now();
    node_start(cluster, node);
    unsetenv("NOTIFY_SOCKET");
    while (strstr(text, "READY=1") == NULL) {
        ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
        if (n < 0) {
            fprintf(stderr, "bench: the broker did not say READY=1\n");
            exit(1);
        }
        text[n] = '\0';
    }
    double seconds = seconds_now() - begin;
    close(fd);
    return seconds;
}

/* ---- threads ---- */

static enum storage_crew crew_of(const char *name)
{
    if (strncmp(name, "shard-", 6) == 0) return CREW_SHARDS;
    if (strncmp(name, "disk-idle", 9) == 0) return CREW_CLEANER;
    return strncmp(name, "disk-", 5) == 0 ? CREW_DISK : CREW_OTHERS;
}

static uint64_t value_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

static bool read_text(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "r");

    if (file == NULL) return false;
    size_t n = fread(out, 1, size - 1, file);
    fclose(file);
    out[n] = '\0';
    return true;
}

/* A thread that has ended meanwhile has used nothing. */
static void add_thread(pid_t pid, const char *thread, struct storage_use *out)
{
    unsigned long user = 0, system = 0;
    char path[128], text[1024];

    snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, thread);
    if (!read_text(path, text, sizeof(text))) return;
    const char *name = strchr(text, '('), *rest = strrchr(text, ')');
    if (name == NULL || rest == NULL) return;
    enum storage_crew crew = crew_of(name + 1);
    if (sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) ==
        2)
        out->of[crew].cpu_seconds += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    snprintf(path, sizeof(path), "/proc/%d/task/%s/io", pid, thread);
    if (!read_text(path, text, sizeof(text))) return;
    out->of[crew].asked_bytes += value_of(text, "rchar: ");
    out->of[crew].device_bytes += value_of(text, "read_bytes: ");
}

void storage_use(const struct storage *storage, struct storage_use *out)
{
    char path[64];

    *out = (struct storage_use){0};
    snprintf(path, sizeof(path), "/proc/%d/task", storage->broker->pid);
    DIR *dir = opendir(path);
    if (dir == NULL) die("bench: the broker's threads");
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.') add_thread(storage->broker->pid, entry->d_name, out);
    closedir(dir);
}

struct storage_use storage_use_since(const struct storage *storage,
                                     const struct storage_use *before)
{
    struct storage_use now;

    storage_use(storage, &now);
    for (int i = 0; i < CREWS; i++) {
        now.of[i].cpu_seconds -= before->of[i].cpu_seconds;
        now.of[i].asked_bytes -= before->of[i].asked_bytes;
        now.of[i].device_bytes -= before->of[i].device_bytes;
    }
    return now;
}

/* ---- latencies ---- */

void storage_probe(struct storage *storage, double seconds, struct storage_latencies *to)
{
    struct load_options load = storage->options->load;
    struct load_result result;

    load.record_bytes = 100;
    load.batch_bytes = 1; /* one record */
    load.seconds = seconds;
    load_produce_at_rate(&storage->probe, &load, &result);
    if (result.errors > 0) {
        fprintf(stderr, "bench: %lu records were refused\n", (unsigned long)result.errors);
        exit(1);
    }
    to->at = ensure_realloc(to->at, (to->count + result.latency_count + 1) * sizeof(*to->at));
    memcpy(to->at + to->count, result.latencies, result.latency_count * sizeof(*to->at));
    to->count += result.latency_count;
    load_result_fini(&result);
}

void storage_latencies_fini(struct storage_latencies *latencies)
{
    free(latencies->at);
    *latencies = (struct storage_latencies){0};
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double storage_percentile(struct storage_latencies *latencies, double share)
{
    if (latencies->count == 0) return 0;
    qsort(latencies->at, latencies->count, sizeof(*latencies->at), compare);
    return latencies->at[(size_t)(share * (double)(latencies->count - 1) + 0.5)];
}

void storage_print_latencies(const char *when, struct storage_latencies *latencies)
{
    printf("one record, %-28s p50 %5.0f us  p99 %6.0f us  p99.9 %6.0f us  max %7.0f us  "
           "(%zu records)\n",
           when, storage_percentile(latencies, 0.5) * 1e6,
           storage_percentile(latencies, 0.99) * 1e6, storage_percentile(latencies, 0.999) * 1e6,
           storage_percentile(latencies, 1) * 1e6, latencies->count);
}

const char *storage_verdict(bool is_met)
{
    return is_met ? "met" : "MISSED";
}

void storage_print_ratio(const char *what, double loaded, double quiet, double aim)
{
    double ratio = quiet > 0 ? loaded / quiet : 0;

    printf("%-40s %.2f of its quiet value (aim: at most %.1f) %s\n", what, ratio, aim,
           storage_verdict(ratio <= aim));
}
