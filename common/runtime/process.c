#include "runtime/process.h"
#include "base/ensure.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Frames of up to a mebibyte, a producer's usual limit, come from an arena, and so much of each
 * arena stays when they go. With the allocator's own limits the pages of a frame are given back and
 * faulted in anew for the next: 13 % of the broker's CPU, producing batches of 100 KiB. */
#define MMAP_THRESHOLD (2 << 20)
#define TRIM_THRESHOLD (4 << 20)

static sigset_t our_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

void process_prepare(void)
{
    struct rlimit files;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set = our_signals();

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* what there is has to do */
    }
    /* A shard allocates on its own thread and hardly ever waits for another: two arenas do. */
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
    sigaction(SIGPIPE, &ignore, NULL);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

uint64_t process_files_max(void)
{
    struct rlimit files;

    return getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : 0;
}

void process_host_name(char out[PROCESS_HOST_MAX])
{
    if (gethostname(out, PROCESS_HOST_MAX) != 0 || out[0] == '\0')
        snprintf(out, PROCESS_HOST_MAX, "localhost");
    out[PROCESS_HOST_MAX - 1] = '\0';
}

uint64_t process_resident_bytes(void)
{
    char text[128];
    unsigned long long size = 0, resident = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "%llu %llu", &size, &resident) != 2) return 0;
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void signal_came(struct net_watch *watch, unsigned ready)
{
    struct process_signals *signals =
        (struct process_signals *)(void *)((char *)watch - offsetof(struct process_signals, watch));
    struct signalfd_siginfo info;

    (void)ready;
    if (read(signals->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        signals->got(signals, (int)info.ssi_signo);
}

enum err process_signals_open(struct process_signals *signals, struct shard *shard,
                              void (*got)(struct process_signals *signals, int number))
{
    sigset_t set = our_signals();

    *signals = (struct process_signals){.got = got, .watch.ready = signal_came};
    signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->fd < 0) return err_from_errno(errno);
    enum err err = net_posix_watch(shard->net, &signals->watch, signals->fd, NET_READABLE);
    if (err != ERR_OK) process_signals_close(signals);
    return err;
}

void process_signals_close(struct process_signals *signals)
{
    net_posix_unwatch(&signals->watch);
    if (signals->fd >= 0) close(signals->fd);
    signals->fd = -1;
}

void process_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path == NULL ? 0 : strlen(path);

    if (len < 2 || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@')) return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@') to.sun_path[0] = '\0'; /* the abstract namespace */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    ssize_t ignored = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    (void)ignored;
    close(fd);
}

/* The watchdog. A shard that stands still misses four beats before it is given up, and the feeding
 * itself may be late by three quarters of the limit. */
#define BEATS_IN_LIMIT 8
#define FEEDS_IN_LIMIT 4

/* 0: the service manager has asked for none, or asked another process. */
static int64_t watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end;

    if (usec == NULL) return 0;
    if (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid()) return 0;
    long long value = strtoll(usec, &end, 10);
    return end == usec || *end != '\0' || value < 0 ? 0 : value / 1000;
}

static void beat(struct timer *timer)
{
    struct process_beat *of = list_entry(timer, struct process_beat, timer);

    atomic_store_explicit(&of->at_ns, shard_now(of->shard).ns, memory_order_relaxed);
    timer_arm(of->shard, timer, instant_add_ms(shard_now(of->shard), of->every_ms));
}

static void feed(struct timer *timer)
{
    struct process_watchdog *watchdog = list_entry(timer, struct process_watchdog, timer);
    struct instant now = shard_now(watchdog->shard);
    bool is_alive = true;

    for (struct process_beat *at = watchdog->beats; at != NULL; at = at->next) {
        struct instant last = {atomic_load_explicit(&at->at_ns, memory_order_relaxed)};
        if (instant_ms_between(last, now) > watchdog->limit_ms / 2) is_alive = false;
    }
    if (is_alive)
        process_notify("WATCHDOG=1");
    else
        log_error("runtime", "shard-stands-still", "watchdog_ms=%lld",
                  (long long)watchdog->limit_ms);
    timer_arm(watchdog->shard, timer, instant_add_ms(now, 1 + watchdog->limit_ms / FEEDS_IN_LIMIT));
}

void process_watchdog_start(struct process_watchdog *watchdog, struct shard *shard)
{
    *watchdog =
        (struct process_watchdog){.shard = shard, .timer.fire = feed, .limit_ms = watchdog_ms()};
    if (watchdog->limit_ms > 0) timer_arm(shard, &watchdog->timer, shard_now(shard));
}

void process_watchdog_watch(struct process_watchdog *watchdog, struct process_beat *of,
                            struct shard *shard)
{
    *of = (struct process_beat){.shard = shard,
                                .timer.fire = beat,
                                .every_ms = 1 + watchdog->limit_ms / BEATS_IN_LIMIT,
                                .next = watchdog->beats};
    if (watchdog->limit_ms == 0) return;
    atomic_store(&of->at_ns, shard_now(watchdog->shard).ns);
    timer_arm(shard, &of->timer, shard_now(shard));
    watchdog->beats = of;
}

void process_watchdog_stop(struct process_watchdog *watchdog)
{
    if (watchdog->shard == NULL) return;
    timer_cancel(watchdog->shard, &watchdog->timer);
    for (struct process_beat *at = watchdog->beats; at != NULL; at = at->next)
        timer_cancel(at->shard, &at->timer);
    *watchdog = (struct process_watchdog){0};
}

/* The order of an end. */

static void step_late(struct timer *timer)
{
    struct process_end *end = list_entry(timer, struct process_end, timer);

    log_warn("runtime", "step-left-behind", "step=%s timeout_ms=%lld", end->steps[end->at].name,
             (long long)end->steps[end->at].timeout_ms);
    end->has_left_behind = true;
    process_step_done(end, end->steps[end->at].name);
}

static void run_step(struct post *post)
{
    struct process_end *end = list_entry(post, struct process_end, post);

    if (end->at == end->count) {
        end->shard = NULL;
        end->ended(end->owner);
        return;
    }
    const struct process_step *step = &end->steps[end->at];
    log_info("runtime", "stopping", "step=%s", step->name);
    timer_arm(end->shard, &end->timer, instant_add_ms(shard_now(end->shard), step->timeout_ms));
    step->start(end->owner);
}

void process_end_start(struct process_end *end, struct shard *shard,
                       const struct process_step *steps, int count, void *owner,
                       void (*ended)(void *owner))
{
    *end = (struct process_end){
        .shard = shard,
        .steps = steps,
        .count = count,
        .owner = owner,
        .ended = ended,
        .timer.fire = step_late,
        .post.run = run_step,
    };
    shard_post(shard, &end->post);
}

void process_step_done(struct process_end *end, const char *name)
{
    if (end->shard == NULL || end->at == end->count || list_has(&end->post.node) ||
        strcmp(end->steps[end->at].name, name) != 0)
        return;
    timer_cancel(end->shard, &end->timer);
    end->at++;
    shard_post(end->shard, &end->post);
}

bool process_is_ending(const struct process_end *end)
{
    return end->shard != NULL;
}
