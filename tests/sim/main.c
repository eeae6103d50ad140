/* sim - whole clusters of the production code in seeded worlds; each seed in a process of its own.
 */
#include "base/planted.h"
#include "tests/sim/planted.h"
#include "tests/sim/run.h"
#include "tests/sim/scenario.h"
#include "tests/sim/world.h"
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: sim [options]\n"
    "\n"
    "  --seed N           one seed\n"
    "  --seeds A-B        all from A to B\n"
    "  --minutes M        fresh seeds for so long, or those from --seed on; the first is printed\n"
    "  --hours H          seeds, likewise, until they have run so many virtual cluster-hours\n"
    "  --list FILE        the seeds of a file, one a line; # begins a comment\n"
    "  --twice            each seed twice: the hashes of their traces must be equal\n"
    "  --shrink           what fails is run again with fewer kinds of faults, and shorter\n"
    "  --without NAME     no fault of this name or family; may be repeated\n"
    "  --set NAME=VALUE   an option that is not drawn; may be repeated\n"
    "  --print            the trace, on standard output\n"
    "  --logs             with --print: debug lines of the processes too\n"
    "  --hashes           one line of seed and hash each\n"
    "  --jobs N           seeds side by side; 1\n"
    "  --scenario NAME    a play instead of drawn faults; --scenarios lists them\n"
    "  --plant NAME       with a bug put in (configure --enable-planted); --plants lists them\n"
    "\n"
    "Exit code: 0, or that of a seed that failed: 127 crash, 128 stuck, 129 wrong; 1 differs.\n";

#define LIST_MAX             100
#define JOBS_MAX             64
#define SEEDS_MAX            1000
#define FAILED_MAX           1000
#define AHEAD_MAX            256 /* seeds that have ended before an earlier one */

#define SHRINK_SAFETY_S      1800 /* half of the longest that is drawn */
#define SHRINK_SLOW_SAFETY_S 64800

struct arguments {
    uint64_t first, last;
    double minutes, hours;
    bool twice, shrink, hashes;
    int jobs;
    const char *list, *plant;
    const char *without[LIST_MAX], *set[LIST_MAX];
    struct run_options options;
};

struct job {
    pid_t pid; /* 0: it has ended */
    int pipe;
    uint64_t seed;
    int code;
    struct run_result result; /* with code 0 */
};

struct totals {
    struct run_result sum;
    struct {
        uint64_t seed;
        int code;
    } failed[FAILED_MAX];
    int failed_count;
    int seeds;
    double cluster_hours;
    struct pace {
        int seeds;
        double virtual_s, cpu_s;
        bool has_seen[RUN_FAULTS_MAX]; /* of sum.faults */
    } dense, slow;
};

/* ---- one seed in a child ---- */

static void start(struct job *job, const struct run_options *options, uint64_t seed)
{
    struct run_options its = *options;
    struct run_result result;
    int ends[2];

    fflush(stdout);
    if (pipe(ends) != 0) exit(1);
    its.seed = job->seed = seed;
    job->pipe = ends[0];
    job->pid = fork();
    if (job->pid < 0) exit(1);
    if (job->pid > 0) {
        close(ends[1]);
        return;
    }
    close(ends[0]);
    if (options->is_quiet && freopen("/dev/null", "w", stderr) == NULL) exit(1);
    run_seed(&its, &result);
    fflush(stdout);
    ssize_t n = write(ends[1], &result, sizeof(result));
    exit(n == (ssize_t)sizeof(result) ? 0 : 1);
}

/* Waits for its end. */
static void finish(struct job *job)
{
    struct run_result *result = &job->result;
    size_t got = 0;
    int status;

    while (got < sizeof(*result)) {
        ssize_t n = read(job->pipe, (char *)result + got, sizeof(*result) - got);
        if (n <= 0) break;
        got += (size_t)n;
    }
    close(job->pipe);
    waitpid(job->pid, &status, 0);
    job->pid = 0;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : SIM_EXIT_CRASH;
    if (code == 0 && got < sizeof(*result)) code = 1;
    /* A sanitizer ends with a code of its own. */
    if (code != 0 && code != SIM_EXIT_STUCK && code != SIM_EXIT_WRONG) code = SIM_EXIT_CRASH;
    job->code = code;
}

static int run_once(const struct run_options *options, uint64_t seed, struct run_result *result)
{
    struct job job;

    start(&job, options, seed);
    finish(&job);
    *result = job.result;
    return job.code;
}

static void print_command(const struct arguments *arguments, const struct run_options *options,
                          uint64_t seed)
{
    printf("sim --seed %llu", (unsigned long long)seed);
    if (options->scenario != NULL) printf(" --scenario %s", options->scenario->name);
    if (arguments->plant != NULL) printf(" --plant %s", arguments->plant);
    for (int i = 0; i < options->without_count; i++)
        printf(" --without %s", options->without[i]);
    for (int i = 0; i < options->set_count; i++)
        printf(" --set %s", options->set[i]);
}

/* ---- adding up ---- */

static void add(struct totals *totals, const struct run_result *result)
{
    struct run_result *sum = &totals->sum;
    struct pace *pace = result->is_slow ? &totals->slow : &totals->dense;

    pace->seeds++;
    pace->virtual_s += result->virtual_s;
    pace->cpu_s += result->cpu_s;
    totals->seeds++;
    totals->cluster_hours += result->virtual_s / 3600;
    sum->virtual_s += result->virtual_s;
    sum->cpu_s += result->cpu_s;
    sum->events += result->events;
    sum->sent += result->sent;
    sum->acked += result->acked;
    sum->read += result->read;
    sum->repeated += result->repeated;
    sum->lifted += result->lifted;
    sum->produce += result->produce;
    sum->produce_failed += result->produce_failed;
    sum->fetch += result->fetch;
    sum->fetch_failed += result->fetch_failed;
    sum->operations += result->operations;
    sum->refused += result->refused;
    sum->out_of_range += result->out_of_range;
    sum->generations += result->generations;
    sum->commits += result->commits;
    sum->offsets_told += result->offsets_told;
    sum->starts += result->starts;
    for (int i = 0; i < result->fault_count; i++) {
        const struct run_fault *from = &result->faults[i];
        int j = 0;
        while (j < sum->fault_count && strcmp(sum->faults[j].name, from->name) != 0)
            j++;
        if (j == RUN_FAULTS_MAX) continue;
        if (j == sum->fault_count) {
            sum->fault_count++;
            memcpy(sum->faults[j].name, from->name, sizeof(from->name));
        }
        sum->faults[j].asked += from->asked;
        sum->faults[j].struck += from->struck;
        if (from->struck > 0) pace->has_seen[j] = true;
    }
}

static void print_pace(const char *name, const struct pace *pace, double all_cpu_s)
{
    int kinds = 0;

    if (pace->seeds == 0) return;
    for (int i = 0; i < RUN_FAULTS_MAX; i++)
        if (pace->has_seen[i]) kinds++;
    printf("%s worlds: %d seeds, %.1f virtual cluster-hours in %.0f CPU seconds (%.0f %%), "
           "%.0f virtual seconds per CPU second, %d kinds of faults\n",
           name, pace->seeds, pace->virtual_s / 3600, pace->cpu_s, 100 * pace->cpu_s / all_cpu_s,
           pace->virtual_s / pace->cpu_s, kinds);
}

static void print_totals(const struct arguments *arguments, const struct totals *totals,
                         double seconds)
{
    const struct run_result *sum = &totals->sum;
    int seen = 0;

    printf("%d seeds passed, %d failed: %.1f virtual cluster-hours in %.0f s (%.0f CPU seconds), "
           "%.0f virtual seconds per CPU second, %llu events\n",
           totals->seeds, totals->failed_count, totals->cluster_hours, seconds, sum->cpu_s,
           sum->cpu_s > 0 ? sum->virtual_s / sum->cpu_s : 0, (unsigned long long)sum->events);
    print_pace("dense", &totals->dense, sum->cpu_s);
    print_pace("slow", &totals->slow, sum->cpu_s);
    printf("records: sent=%llu acknowledged=%llu read=%llu of-these-again=%llu\n",
           (unsigned long long)sum->sent, (unsigned long long)sum->acked,
           (unsigned long long)sum->read, (unsigned long long)sum->repeated);
    printf("requests: produce=%llu given-up=%llu fetch=%llu failed=%llu out-of-range=%llu "
           "operations=%llu without-answer=%llu; starts of processes=%llu\n",
           (unsigned long long)sum->produce, (unsigned long long)sum->produce_failed,
           (unsigned long long)sum->fetch, (unsigned long long)sum->fetch_failed,
           (unsigned long long)sum->out_of_range, (unsigned long long)sum->operations,
           (unsigned long long)sum->refused, (unsigned long long)sum->starts);
    if (sum->generations > 0)
        printf("groups: generations=%llu commits=%llu offsets-told=%llu\n",
               (unsigned long long)sum->generations, (unsigned long long)sum->commits,
               (unsigned long long)sum->offsets_told);
    printf("faults:");
    for (int i = 0; i < sum->fault_count; i++) {
        printf(" %s=%llu", sum->faults[i].name, (unsigned long long)sum->faults[i].struck);
        if (sum->faults[i].struck > 0) seen++;
    }
    printf("\nfault points reached: %d of %d", seen, sum->fault_count);
    /* Of a short run it would be most. */
    for (int i = 0, told = 0; 2 * seen > sum->fault_count && i < sum->fault_count; i++)
        if (sum->faults[i].struck == 0)
            printf("%s%s", told++ == 0 ? ", not: " : " ", sum->faults[i].name);
    printf("\n");
    for (int i = 0; i < totals->failed_count && i < FAILED_MAX; i++) {
        printf("failed: seed %llu (%s); again: ", (unsigned long long)totals->failed[i].seed,
               totals->failed[i].code == SIM_EXIT_CRASH   ? "crash"
               : totals->failed[i].code == SIM_EXIT_STUCK ? "stuck"
               : totals->failed[i].code == SIM_EXIT_WRONG ? "wrong"
                                                          : "differs");
        print_command(arguments, &arguments->options, totals->failed[i].seed);
        printf(" --print\n");
    }
}

/* ---- shrinking ---- */

static const char *const families[] = {"net",     "shard", "disk", "zookeeper",
                                       "process", "power", "link", "clock"};
#define FAMILIES (int)(sizeof(families) / sizeof(families[0]))

/* What is left of a failure: its options, with room for what is tried. */
struct shrinking {
    struct run_options options;
    uint64_t seed;
    int code;
    const char *without[LIST_MAX + FAMILIES + RUN_FAULTS_MAX];
    const char *set[LIST_MAX + 1];
    char safety[40];
};

/* Does it still fail in the same way? */
static bool still_fails(const struct shrinking *it, const char *what, struct run_result *result)
{
    int code = run_once(&it->options, it->seed, result);

    printf("shrink: %s: %s\n", what, code == it->code ? "fails" : code == 0 ? "passes" : "differs");
    fflush(stdout);
    return code == it->code;
}

/* Stays without it if that makes no difference. */
static bool leave_out(struct shrinking *it, const char *name, struct run_result *result)
{
    it->without[it->options.without_count++] = name;
    if (still_fails(it, name, result)) return true;
    it->options.without_count--;
    return false;
}

/* The names of all faults, as a run tells them that has none of them. */
static bool list_faults(const struct shrinking *it, struct run_result *result)
{
    const char *without[FAMILIES], *set[LIST_MAX + 1];
    int set_count = it->options.set_count;
    struct run_options options = {.without = without,
                                  .without_count = FAMILIES,
                                  .set = set,
                                  .set_count = set_count + 1,
                                  .is_quiet = true};

    memcpy(without, families, sizeof(families));
    memcpy(set, it->set, (size_t)set_count * sizeof(*set));
    set[set_count] = "safety-s=1";
    return run_once(&options, it->seed, result) == 0;
}

static void leave_out_kinds(struct shrinking *it, const char *family, const struct run_result *all)
{
    struct run_result ignored;
    size_t len = strlen(family);

    for (int i = 0; i < all->fault_count; i++)
        if (strncmp(all->faults[i].name, family, len) == 0 && all->faults[i].name[len] == '.')
            (void)leave_out(it, all->faults[i].name, &ignored);
}

/* Halves the time of the faults, from `seconds` or what is set on, while that makes no difference.
 */
static void shorten(struct shrinking *it, int seconds)
{
    struct run_result ignored;
    int place = 0, last = 0;

    while (place < it->options.set_count && strncmp(it->set[place], "safety-s=", 9) != 0)
        place++;
    const char *given = it->set[place];
    if (place < it->options.set_count)
        seconds = (int)strtol(given + 9, NULL, 10) / 2;
    else
        it->options.set_count++;
    it->set[place] = it->safety;
    for (; seconds >= 30; seconds /= 2) {
        snprintf(it->safety, sizeof(it->safety), "safety-s=%d", seconds);
        if (!still_fails(it, it->safety, &ignored)) break;
        last = seconds;
    }
    snprintf(it->safety, sizeof(it->safety), "safety-s=%d", last);
    if (last > 0) return;
    it->set[place] = given;
    if (given == NULL) it->options.set_count--;
}

static void shrink(const struct arguments *arguments, uint64_t seed, int code)
{
    struct shrinking it = {.options = arguments->options, .seed = seed, .code = code};
    static struct run_result all, ignored;

    if (arguments->options.scenario != NULL) {
        printf("shrink: a play has no faults that could be left out\n");
        return;
    }
    it.options.is_quiet = true;
    it.options.prints = it.options.logs = false;
    memcpy(it.without, arguments->without, sizeof(arguments->without));
    memcpy(it.set, arguments->set, sizeof(arguments->set));
    it.options.without = it.without;
    it.options.set = it.set;
    bool has_names = list_faults(&it, &all);
    /* First: all that follows is faster. */
    shorten(&it, has_names && all.is_slow ? SHRINK_SLOW_SAFETY_S : SHRINK_SAFETY_S);
    for (int i = 0; i < FAMILIES; i++)
        if (!leave_out(&it, families[i], &ignored) && has_names)
            leave_out_kinds(&it, families[i], &all);
    printf("shrunk: ");
    print_command(arguments, &it.options, seed);
    printf("\n");
}

/* ---- many ---- */

static void failed(struct totals *totals, uint64_t seed, int code)
{
    if (totals->failed_count < FAILED_MAX) {
        totals->failed[totals->failed_count].seed = seed;
        totals->failed[totals->failed_count].code = code;
    }
    totals->failed_count++;
}

static void report(const struct arguments *arguments, struct totals *totals, const struct job *job)
{
    const struct run_result *result = &job->result;
    struct run_result again;
    uint64_t seed = job->seed;
    int code = job->code;

    if (code == 0 && arguments->twice) {
        code = run_once(&arguments->options, seed, &again);
        if (code == 0 && again.hash != result->hash) {
            printf("seed %llu: hashes %016llx and %016llx\n", (unsigned long long)seed,
                   (unsigned long long)result->hash, (unsigned long long)again.hash);
            code = 1;
        }
    }
    if (code != 0) {
        printf("seed %llu fails: %d\n", (unsigned long long)seed, code);
        failed(totals, seed, code);
        if (arguments->shrink && code != 1) shrink(arguments, seed, code);
        return;
    }
    if (arguments->hashes)
        printf("%llu %016llx\n", (unsigned long long)seed, (unsigned long long)result->hash);
    add(totals, result);
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of those from `first` to `last` that run, one that has ended. */
static struct job *await_any(struct job *jobs, uint64_t first, uint64_t last)
{
    struct pollfd ends[JOBS_MAX];
    struct job *running[JOBS_MAX];
    int count = 0;

    for (uint64_t seed = first; seed < last; seed++) {
        struct job *job = &jobs[seed % AHEAD_MAX];
        if (job->pid == 0) continue;
        ends[count] = (struct pollfd){.fd = job->pipe, .events = POLLIN};
        running[count++] = job;
    }
    while (poll(ends, (nfds_t)count, -1) < 0)
        ;
    for (int i = 0; i < count; i++)
        if (ends[i].revents != 0) return running[i];
    return running[0];
}

/* Each processor has a seed as long as there are more; they are told of in their order. */
static void run_range(const struct arguments *arguments, struct totals *totals)
{
    static struct job jobs[AHEAD_MAX];
    double end = seconds_now() + arguments->minutes * 60;
    uint64_t next = arguments->first, told = next;
    int running = 0;

    for (;;) {
        bool is_more = arguments->minutes > 0 ? seconds_now() < end
                       : arguments->hours > 0 ? totals->cluster_hours < arguments->hours
                                              : next <= arguments->last;
        if (is_more && running < arguments->jobs && next - told < AHEAD_MAX) {
            start(&jobs[next % AHEAD_MAX], &arguments->options, next);
            next++;
            running++;
            continue;
        }
        if (running == 0) return;
        finish(await_any(jobs, told, next));
        running--;
        for (; told < next && jobs[told % AHEAD_MAX].pid == 0; told++)
            report(arguments, totals, &jobs[told % AHEAD_MAX]);
    }
}

static void run_list(const struct arguments *arguments, struct totals *totals)
{
    FILE *file = fopen(arguments->list, "r");
    uint64_t seeds[SEEDS_MAX];
    char line[500];
    int count = 0;

    if (file == NULL) {
        fprintf(stderr, "sim: %s cannot be read\n", arguments->list);
        exit(2);
    }
    /* All of it first: a child that ends puts the position of the file it shares back. */
    while (count < SEEDS_MAX && fgets(line, sizeof(line), file) != NULL) {
        char *end;
        seeds[count] = strtoull(line, &end, 10);
        if (end != line) count++;
    }
    fclose(file);
    for (int i = 0; i < count; i++) {
        struct arguments one = *arguments;
        one.first = one.last = seeds[i];
        one.minutes = one.hours = 0;
        one.jobs = 1;
        run_range(&one, totals);
    }
}

static const struct {
    const char *name, *what;
} plants[] = {
#define PLANT(name, what) {#name, what},
    PLANTED_TABLE(PLANT)
#undef PLANT
};
#define PLANT_COUNT (sizeof(plants) / sizeof(plants[0]))

static void print_plants(void)
{
    for (size_t i = 0; i < PLANT_COUNT; i++)
        printf("%s  %s\n", plants[i].name, plants[i].what);
}

/* False: there is no such bug, or it cannot be put into this build. */
static bool plant(const char *name)
{
    for (size_t i = 0; i < PLANT_COUNT; i++) {
        if (strcmp(plants[i].name, name) != 0) continue;
#ifdef OTTLA_PLANTED
        planted_bug = plants[i].name;
        return true;
#endif
    }
    return false;
}

static int fail_usage(const char *what)
{
    fprintf(stderr, "sim: %s\n%s", what, usage);
    return 2;
}

int main(int argc, char **argv)
{
    static struct arguments arguments = {.jobs = 1, .first = 1, .last = 1};
    static struct totals totals;
    bool has_range = false;

    /* What is given back is soon taken again: not by way of the system. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool takes = true;
        if (strcmp(name, "--twice") == 0) {
            arguments.twice = true, takes = false;
        } else if (strcmp(name, "--shrink") == 0) {
            arguments.shrink = true, takes = false;
        } else if (strcmp(name, "--hashes") == 0) {
            arguments.hashes = true, takes = false;
        } else if (strcmp(name, "--print") == 0) {
            arguments.options.prints = true, takes = false;
        } else if (strcmp(name, "--logs") == 0) {
            arguments.options.logs = true, takes = false;
        } else if (strcmp(name, "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        } else if (strcmp(name, "--scenarios") == 0) {
            for (int k = 0; k < scenario_count; k++)
                printf("%s  %s\n", scenarios[k].name, scenarios[k].what);
            return 0;
        } else if (strcmp(name, "--plants") == 0) {
            print_plants();
            return 0;
        } else if (value == NULL) {
            return fail_usage(name);
        } else if (strcmp(name, "--scenario") == 0) {
            arguments.options.scenario = scenario_find(value);
            if (arguments.options.scenario == NULL) return fail_usage("--scenario: no such play");
        } else if (strcmp(name, "--plant") == 0) {
            if (!plant(value)) return fail_usage("--plant: no such bug, or not --enable-planted");
            arguments.plant = value;
        } else if (strcmp(name, "--seed") == 0) {
            arguments.first = arguments.last = strtoull(value, NULL, 10);
            has_range = true;
        } else if (strcmp(name, "--seeds") == 0) {
            char *dash;
            arguments.first = strtoull(value, &dash, 10);
            if (*dash != '-') return fail_usage("--seeds wants A-B");
            arguments.last = strtoull(dash + 1, NULL, 10);
            has_range = true;
        } else if (strcmp(name, "--minutes") == 0) {
            arguments.minutes = strtod(value, NULL);
        } else if (strcmp(name, "--hours") == 0) {
            arguments.hours = strtod(value, NULL);
        } else if (strcmp(name, "--list") == 0) {
            arguments.list = value;
        } else if (strcmp(name, "--jobs") == 0) {
            arguments.jobs = (int)strtol(value, NULL, 10);
            if (arguments.jobs < 1 || arguments.jobs > JOBS_MAX) return fail_usage("--jobs");
        } else if (strcmp(name, "--without") == 0 && arguments.options.without_count < LIST_MAX) {
            arguments.without[arguments.options.without_count++] = value;
        } else if (strcmp(name, "--set") == 0 && arguments.options.set_count < LIST_MAX) {
            arguments.set[arguments.options.set_count++] = value;
        } else {
            return fail_usage(name);
        }
        if (takes) i++;
    }
    arguments.options.without = arguments.without;
    arguments.options.set = arguments.set;
    double began = seconds_now();
    bool is_open = arguments.minutes > 0 || arguments.hours > 0;
    if (arguments.list != NULL) run_list(&arguments, &totals);
    if (is_open && !has_range) {
        arguments.first = (uint64_t)time(NULL) * 1000;
        printf("fresh seeds from %llu\n", (unsigned long long)arguments.first);
    }
    if (arguments.list == NULL || has_range || is_open) run_range(&arguments, &totals);
    print_totals(&arguments, &totals, seconds_now() - began);
    return totals.failed_count == 0 ? 0 : totals.failed[0].code;
}
