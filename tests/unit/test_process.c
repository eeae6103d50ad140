#include "runtime/process.h"
#include "base/log.h"
#include "tests/unit/loop.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/un.h>

static struct env *env;
static struct shard shard;
static char trace[256];

static void note(const char *what)
{
    strncat(trace, what, sizeof(trace) - strlen(trace) - 1);
}

static void start(void)
{
    trace[0] = '\0';
    env = env_posix_create(NULL);
    loop_open(&shard, env, NULL, NULL);
}

static void stop(void)
{
    shard_close(&shard);
    env_posix_destroy(&env);
}

static void on_signal(struct process_signals *signals, int number)
{
    (void)signals;
    note(number == SIGTERM  ? "term "
         : number == SIGHUP ? "hup "
         : number == SIGINT ? "int "
                            : "? ");
}

START_TEST(signals_come_as_calls_on_the_shard)
{
    struct process_signals signals;
    struct rlimit files;

    process_prepare();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    ck_assert_uint_eq(files.rlim_cur, files.rlim_max);
    ck_assert_uint_eq(process_files_max(), files.rlim_max);
    ck_assert_uint_gt(process_resident_bytes(), 100000);
    start();
    raise(SIGHUP); /* before anyone listens: kept */
    ck_assert_int_eq(process_signals_open(&signals, &shard, on_signal), ERR_OK);
    loop_until(&shard, strcmp(trace, "hup ") == 0);
    kill(getpid(), SIGTERM);
    loop_until(&shard, strcmp(trace, "hup term ") == 0);
    kill(getpid(), SIGINT);
    loop_until(&shard, strcmp(trace, "hup term int ") == 0);
    process_signals_close(&signals);
    stop();
}
END_TEST

/* A service manager's socket, in the environment. */
static int open_manager(struct sockaddr_un *at)
{
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(at->sun_path, sizeof(at->sun_path), "/tmp/ottla-notify-%d", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)at, sizeof(*at)), 0);
    setenv("NOTIFY_SOCKET", at->sun_path, 1);
    return fd;
}

static void close_manager(struct sockaddr_un *at, int fd)
{
    close(fd);
    unlink(at->sun_path);
    unsetenv("NOTIFY_SOCKET");
}

START_TEST(readiness_is_said_to_who_asked_for_it)
{
    struct sockaddr_un at;
    char got[64] = "";

    unsetenv("NOTIFY_SOCKET");
    process_notify("READY=1"); /* nobody asked */
    setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    process_notify("READY=1"); /* never fails */
    int fd = open_manager(&at);
    process_notify("READY=1");
    ck_assert_int_eq(recv(fd, got, sizeof(got), 0), 7);
    ck_assert_str_eq(got, "READY=1");
    close_manager(&at, fd);
}
END_TEST

static int fed(int fd) /* how often since the last call */
{
    char got[64];
    int count = 0;
    ssize_t n;

    while ((n = recv(fd, got, sizeof(got), 0)) > 0) {
        ck_assert(n == 10 && memcmp(got, "WATCHDOG=1", 10) == 0);
        count++;
    }
    return count;
}

static int complaints;

static void count_complaint(void *to, enum log_level level, struct slice line)
{
    (void)to;
    if (level == LOG_ERROR && memmem(line.ptr, line.len, "shard-stands-still", 18) != NULL)
        complaints++;
}

START_TEST(the_watchdog_starves_when_a_shard_stands_still)
{
    struct process_watchdog watchdog = {0};
    struct process_beat one;
    struct sockaddr_un at;
    struct shard other;
    char pid[32];

    start();
    loop_open(&other, env, NULL, NULL);
    int fd = open_manager(&at);
    process_watchdog_stop(&watchdog); /* never started */
    setenv("WATCHDOG_USEC", "200000", 1);
    setenv("WATCHDOG_PID", "1", 1); /* not us */
    process_watchdog_start(&watchdog, &shard);
    process_watchdog_watch(&watchdog, &one, &other);
    ck_assert_int_eq(watchdog.limit_ms, 0);
    process_watchdog_stop(&watchdog);

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    log_to(count_complaint, NULL);
    process_watchdog_start(&watchdog, &shard);
    loop_until(&shard, fed(fd) > 0);
    process_watchdog_watch(&watchdog, &one, &other);
    loop_until(&shard, complaints > 0); /* `other` never turns */
    fed(fd);
    complaints = 0;
    loop_until(&shard, complaints >= 2);
    ck_assert_int_eq(fed(fd), 0);
    loop_until(&shard, (loop_turn(&other), fed(fd) > 0));

    process_watchdog_stop(&watchdog);
    log_to(NULL, NULL);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    close_manager(&at, fd);
    shard_close(&other);
    stop();
}
END_TEST

static struct process_end ending;

static void step_at_once(void *owner)
{
    (void)owner;
    note("a ");
    process_step_done(&ending, "a");
    process_step_done(&ending, "a"); /* said twice */
}

static void step_never(void *owner)
{
    (void)owner;
    note("b ");
}

static void step_later(void *owner)
{
    (void)owner;
    note("c ");
    process_step_done(&ending, "b"); /* the one that was left behind answers after all */
}

static void ended(void *owner)
{
    (void)owner;
    note("end");
}

START_TEST(steps_follow_each_other_and_none_holds_up_the_end)
{
    static const struct process_step steps[] = {
        {"a", step_at_once, 60000}, {"b", step_never, 20}, {"c", step_later, 60000}};

    start();
    process_end_start(&ending, &shard, steps, 3, NULL, ended);
    ck_assert_str_eq(trace, "");
    ck_assert(process_is_ending(&ending));
    loop_until(&shard, strcmp(trace, "a b c ") == 0);
    for (int i = 0; i < 3; i++)
        loop_turn(&shard);
    ck_assert_str_eq(trace, "a b c ");
    process_step_done(&ending, "c");
    ck_assert_str_eq(trace, "a b c "); /* not inside the call */
    loop_until(&shard, strcmp(trace, "a b c end") == 0);
    ck_assert(!process_is_ending(&ending));
    ck_assert(ending.has_left_behind); /* nothing that b may still use is to be given back */

    process_end_start(&ending, &shard, steps, 1, NULL, ended);
    loop_until(&shard, !process_is_ending(&ending));
    ck_assert(!ending.has_left_behind);
    stop();
}
END_TEST

UNIT(signals_come_as_calls_on_the_shard, readiness_is_said_to_who_asked_for_it,
     the_watchdog_starves_when_a_shard_stands_still,
     steps_follow_each_other_and_none_holds_up_the_end)
