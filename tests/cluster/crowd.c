#include "tests/cluster/crowd.h"
#include "base/ensure.h"
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GENERATIONS_MAX   100000
#define LINE_MAX_BYTES    16384
#define END_SECONDS       90

#define COMMITTED_SECONDS 60

struct member {
    pid_t pid; /* 0: not there */
    long read_at;
    bool *owns; /* by partition, as it has said last */
};

struct crowd {
    struct crowd_options options;
    struct member *members;
    bool *has_read; /* by number */
    int64_t read;
    int16_t **owner; /* by generation, then partition: member + 1; NULL: nothing is known of it */
    int generations;
    int64_t *committed;
    rd_kafka_t *asker;
};

static void fail(struct crowd *crowd, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void fail(struct crowd *crowd, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "crowd %s: ", crowd->options.group);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (%s)\n", crowd->options.cluster->folder);
    va_end(args);
    exit(1);
}

static const char *programs(void)
{
    return getenv("OTTLA_BUILD") == NULL ? "." : getenv("OTTLA_BUILD");
}

static void log_path(const struct crowd *crowd, int member, char *out, size_t size)
{
    snprintf(out, size, "%s/%s.%d", crowd->options.cluster->folder, crowd->options.group, member);
}

/* ---- members ---- */

bool crowd_has(const struct crowd *crowd, int member)
{
    return crowd->members[member].pid != 0;
}

void crowd_start(struct crowd *crowd, int member)
{
    const struct crowd_options *o = &crowd->options;
    char program[512], path[256], instance[32], session[16];

    if (crowd_has(crowd, member)) return;
    snprintf(program, sizeof(program), "%s/tests/cluster/group_member", programs());
    snprintf(instance, sizeof(instance), "i%d", member);
    snprintf(session, sizeof(session), "%d", o->session_ms);
    log_path(crowd, member, path, sizeof(path));
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, "group_member", o->cluster->bootstrap, o->group, o->topic, path, o->strategy,
              o->is_static ? instance : "-", session, (char *)NULL);
        _exit(127);
    }
    if (pid < 0) fail(crowd, "no more processes");
    crowd->members[member].pid = pid;
}

struct ending {
    pid_t pid;
    int status;
};

static bool has_ended(void *of)
{
    struct ending *ending = of;

    return waitpid(ending->pid, &ending->status, WNOHANG) != 0;
}

void crowd_end(struct crowd *crowd, int member, int number)
{
    struct member *it = &crowd->members[member];
    struct ending ending = {.pid = it->pid};

    if (it->pid == 0) return;
    kill(it->pid, number);
    if (!wait_for(has_ended, &ending, END_SECONDS)) {
        /* What librdkafka waits for when it closes and does not get is seen in the report. */
        fprintf(stderr, "member %d of %s does not end: killed\n", member, crowd->options.group);
        crowd_report(crowd);
        number = SIGKILL;
        kill(it->pid, number);
        waitpid(it->pid, &ending.status, 0);
    }
    int status = ending.status;
    /* One that has hardly begun does not catch the signal yet. And librdkafka 2.0 aborts itself
     * where an assignment comes while it closes: to the group it has crashed, which may happen at
     * any time. */
    if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0) &&
        !(WIFSIGNALED(status) && (WTERMSIG(status) == number || WTERMSIG(status) == SIGABRT)))
        fail(crowd, "member %d ended with %d", member, status);
    crowd_look(crowd);
    it->pid = 0;
    memset(it->owns, 0, sizeof(bool) * (size_t)crowd->options.partitions);
}

/* ---- what they say ---- */

static int16_t *owners_of(struct crowd *crowd, int generation)
{
    if (generation < 0 || generation >= GENERATIONS_MAX) return NULL;
    if (crowd->owner[generation] == NULL)
        crowd->owner[generation] =
            ensure_zalloc(sizeof(int16_t) * (size_t)crowd->options.partitions);
    return crowd->owner[generation];
}

/* "a GENERATION PARTITION …": owns these from now on, and nobody else did in that generation.
 * "u GENERATION PARTITION …": has only these left. */
static void note_owned(struct crowd *crowd, int member, char *text)
{
    struct member *it = &crowd->members[member];
    bool is_new = text[0] == 'a';
    char *save = NULL;

    (void)strtok_r(text, " \n", &save);
    const char *word = strtok_r(NULL, " \n", &save);
    int generation = word == NULL ? -1 : atoi(word);
    int16_t *owners = owners_of(crowd, generation);
    memset(it->owns, 0, sizeof(bool) * (size_t)crowd->options.partitions);
    if (generation > crowd->generations) crowd->generations = generation;
    while ((word = strtok_r(NULL, " \n", &save)) != NULL) {
        int partition = atoi(word);
        if (partition < 0 || partition >= crowd->options.partitions)
            fail(crowd, "member %d owns partition %d", member, partition);
        it->owns[partition] = true;
        if (owners == NULL || !is_new) continue;
        if (owners[partition] != 0 && owners[partition] != member + 1)
            fail(crowd, "partition %d of generation %d is owned by %d and by %d", partition,
                 generation, owners[partition] - 1, member);
        owners[partition] = (int16_t)(member + 1);
    }
}

static void note_read(struct crowd *crowd, const char *text)
{
    int64_t number = atoll(text);

    if (number < 0 || number >= crowd->options.numbers_max)
        fail(crowd, "a record was read that nobody sent: %s", text);
    if (crowd->has_read[number]) return;
    crowd->has_read[number] = true;
    crowd->read++;
}

static void look_at(struct crowd *crowd, int member)
{
    struct member *it = &crowd->members[member];
    char path[256], text[LINE_MAX_BYTES];

    log_path(crowd, member, path, sizeof(path));
    FILE *file = fopen(path, "r");
    if (file == NULL) return;
    fseek(file, it->read_at, SEEK_SET);
    while (fgets(text, sizeof(text), file) != NULL) {
        if (text[strlen(text) - 1] != '\n') break; /* a kill in the middle of one */
        it->read_at = ftell(file);
        if (text[0] == 'r')
            note_read(crowd, text + 2);
        else if (text[0] == 'a' || text[0] == 'u')
            note_owned(crowd, member, text);
    }
    fclose(file);
}

void crowd_look(struct crowd *crowd)
{
    for (int i = 0; i < crowd->options.members; i++)
        look_at(crowd, i);
}

int64_t crowd_read(const struct crowd *crowd)
{
    return crowd->read;
}

int crowd_generations(const struct crowd *crowd)
{
    return crowd->generations;
}

bool crowd_is_whole(const struct crowd *crowd)
{
    for (int p = 0; p < crowd->options.partitions; p++) {
        int owners = 0;
        for (int i = 0; i < crowd->options.members; i++)
            owners += crowd->members[i].pid != 0 && crowd->members[i].owns[p];
        if (owners != 1) return false;
    }
    return true;
}

/* ---- commits ---- */

static rd_kafka_t *asker_open(struct crowd *crowd)
{
    const char *const settings[][2] = {{"bootstrap.servers", crowd->options.cluster->bootstrap},
                                       {"group.id", crowd->options.group},
                                       {"log_level", "0"},
                                       {"reconnect.backoff.max.ms", "200"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256] = "";

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why));
    rd_kafka_t *asker = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    if (asker == NULL) fail(crowd, "%s", why);
    return asker;
}

bool crowd_committed(struct crowd *crowd, int64_t *total)
{
    int partitions = crowd->options.partitions;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);

    for (int p = 0; p < partitions; p++)
        rd_kafka_topic_partition_list_add(list, crowd->options.topic, p);
    bool is_told = rd_kafka_committed(crowd->asker, list, 2000) == RD_KAFKA_RESP_ERR_NO_ERROR;
    *total = 0;
    for (int i = 0; is_told && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &list->elems[i];
        if (part->err != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
        int64_t offset = part->offset < 0 ? 0 : part->offset;
        int64_t *known = &crowd->committed[part->partition];
        if (offset < *known)
            fail(crowd, "commit of partition %d went back from %lld to %lld", part->partition,
                 (long long)*known, (long long)offset);
        *known = offset;
        *total += offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return is_told;
}

bool crowd_await_committed(struct crowd *crowd, int64_t *total)
{
    double end = seconds_now() + COMMITTED_SECONDS;

    while (!crowd_committed(crowd, total))
        if (seconds_now() > end) return false;
    return true;
}

/* ---- waiting ---- */

struct wish {
    struct crowd *crowd;
    int64_t read;
    int generation;
};

static bool has_read(void *of)
{
    const struct wish *wish = of;

    crowd_look(wish->crowd);
    return wish->crowd->read >= wish->read;
}

static bool has_generation(void *of)
{
    const struct wish *wish = of;

    crowd_look(wish->crowd);
    return wish->crowd->generations > wish->generation;
}

static bool has_all(void *of)
{
    const struct wish *wish = of;

    crowd_look(wish->crowd);
    return crowd_is_whole(wish->crowd);
}

static bool await(struct crowd *crowd, bool (*is_true)(void *of), struct wish *wish, double seconds)
{
    wish->crowd = crowd;
    if (wait_for(is_true, wish, seconds)) return true;
    crowd_report(crowd);
    return false;
}

/* librdkafka 2.0, when a leader changes, now and then leaves one of its partitions out of its
 * fetches for good: its requests, traced, name the others only, while its metadata has the new
 * leader. What a broker holds back is held back from who begins anew, too. */
bool crowd_await_read(struct crowd *crowd, int64_t wanted, double seconds)
{
    struct wish wish = {.crowd = crowd, .read = wanted};

    if (wait_for(has_read, &wish, seconds / 2)) return true;
    crowd_report(crowd);
    printf("crowd %s: members begin anew\n", crowd->options.group);
    for (int i = 0; i < crowd->options.members; i++) {
        if (!crowd_has(crowd, i)) continue;
        crowd_end(crowd, i, SIGKILL);
        crowd_start(crowd, i);
    }
    return await(crowd, has_read, &wish, seconds / 2);
}

bool crowd_await_generation(struct crowd *crowd, int generation, double seconds)
{
    return await(crowd, has_generation, &(struct wish){.generation = generation}, seconds);
}

bool crowd_await_whole(struct crowd *crowd, double seconds)
{
    return await(crowd, has_all, &(struct wish){0}, seconds);
}

void crowd_report(struct crowd *crowd)
{
    const struct crowd_options *o = &crowd->options;
    char path[256], text[65536];
    struct stat about;

    fprintf(stderr, "crowd %s: %d generations, %lld records read\n", o->group, crowd->generations,
            (long long)crowd->read);
    for (int i = 0; i < o->members; i++) {
        const struct member *it = &crowd->members[i];
        if (it->pid == 0) continue;
        log_path(crowd, i, path, sizeof(path));
        bool has_log = stat(path, &about) == 0;
        fprintf(stderr, "  member %d, pid %d, last line %ld s ago, owns", i, it->pid,
                has_log ? (long)(time(NULL) - about.st_mtime) : -1L);
        for (int p = 0; p < o->partitions; p++)
            if (it->owns[p]) fprintf(stderr, " %d", p);
        fputc('\n', stderr);
    }
    static const char *const asked[] = {"--state", "--members --verbose", "--offsets"};
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        run_command(
            text, sizeof(text),
            "timeout 60 %s/ottla groups --bootstrap-server %s --describe --group %s %s 2>&1",
            programs(), o->cluster->bootstrap, o->group, asked[i]);
        fprintf(stderr, "%s\n", text);
    }
}

/* ---- life ---- */

struct crowd *crowd_open(const struct crowd_options *options)
{
    struct crowd *crowd = ensure_zalloc(sizeof(*crowd));
    size_t partitions = (size_t)options->partitions;

    crowd->options = *options;
    if (options->session_ms == 0) crowd->options.session_ms = 3000;
    crowd->members = ensure_zalloc(sizeof(*crowd->members) * (size_t)options->members);
    for (int i = 0; i < options->members; i++)
        crowd->members[i].owns = ensure_zalloc(sizeof(bool) * partitions);
    crowd->has_read = ensure_zalloc(sizeof(bool) * (size_t)options->numbers_max);
    crowd->owner = ensure_zalloc(sizeof(int16_t *) * GENERATIONS_MAX);
    crowd->committed = ensure_zalloc(sizeof(int64_t) * partitions);
    crowd->asker = asker_open(crowd);
    return crowd;
}

void crowd_close(struct crowd **it)
{
    struct crowd *crowd = *it;

    if (crowd == NULL) return;
    for (int i = 0; i < crowd->options.members; i++) {
        crowd_end(crowd, i, SIGTERM);
        free(crowd->members[i].owns);
    }
    rd_kafka_destroy(crowd->asker);
    for (int i = 0; i < GENERATIONS_MAX; i++)
        free(crowd->owner[i]);
    free(crowd->owner);
    free(crowd->members);
    free(crowd->has_read);
    free(crowd->committed);
    free(crowd);
    *it = NULL;
}
