/* The pages of a process, asked as anybody may ask them. */
#include "runtime/status.h"
#include "runtime/env_posix.h"
#include "tests/unit/unit.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct env *env;
static struct shard shard;
static struct metrics *metrics;
static struct status_beat beat;
static struct status *status;
static int beats;
static _Atomic int lines_begun, lines_ended;
static _Atomic int64_t lines_bytes; /* made so far */

static void on_beat(void *of)
{
    (void)of;
    beats++;
}

/* Lines without end, in pieces of 10 KB. */
static bool add_endlessly(void *taken, struct buf *out)
{
    (void)taken;
    for (int i = 0; i < 1000; i++)
        buf_add_text(out, "endless 1\n");
    atomic_fetch_add(&lines_bytes, (int64_t)out->len);
    return true;
}

static void *begin_lines(void *of)
{
    atomic_fetch_add(&lines_begun, 1);
    return of;
}

static void end_lines(void *of, void *taken)
{
    (void)of, (void)taken;
    atomic_fetch_add(&lines_ended, 1);
}

static void begin_with(const struct status_pages *pages)
{
    env = env_posix_create(NULL);
    ck_assert_int_eq(shard_open(&shard, env, 0, NULL, NULL, NULL, NULL), ERR_OK);
    metrics = metrics_create();
    beat = (struct status_beat){.each = on_beat};
    beats = 0;
    status_beat_start(&beat, &shard);
    ck_assert_int_eq(beats, 1);
    struct status_options options = {
        .listen = "127.0.0.1:0", .metrics = metrics, .beat = &beat, .env = env, .pages = *pages};
    ck_assert_int_eq(status_open(&options, &status), ERR_OK);
}

static void begin(void)
{
    begin_with(&(struct status_pages){0});
}

static void end(void)
{
    status_close(&status);
    ck_assert_ptr_null(status);
    status_beat_stop(&beat);
    metrics_destroy(&metrics);
    shard_close(&shard);
    env_posix_destroy(&env);
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(status_port(status))};
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    return fd;
}

/* What comes back until the other side closes, as text. */
static const char *ask(const char *request)
{
    static char answer[65536];
    size_t len = 0;
    ssize_t n;
    int fd = dial();

    ck_assert_int_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while (len < sizeof(answer) - 1 && (n = read(fd, answer + len, sizeof(answer) - 1 - len)) > 0)
        len += (size_t)n;
    answer[len] = '\0';
    close(fd);
    return answer;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

START_TEST(metrics_are_what_is_registered_and_what_the_system_says)
{
    struct counter counter = {0};

    begin();
    counter_add(&counter, 42);
    metrics_add_counter(metrics, &counter, "kafka_x_total", NULL, "Some.");
    const char *answer = ask(GET("/metrics"));
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 200"));
    ck_assert_ptr_nonnull(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
    ck_assert_ptr_nonnull(strstr(answer, "\nkafka_x_total 42\n"));
    ck_assert_ptr_nonnull(strstr(answer, "\nprocess_open_fds "));
    ck_assert_ptr_nonnull(strstr(answer, "\nprocess_resident_memory_bytes "));
    counter_add(&counter, 1);
    ck_assert_ptr_nonnull(strstr(ask(GET("/metrics")), "\nkafka_x_total 43\n"));
    end();
}
END_TEST

START_TEST(readiness_is_what_the_shard_says)
{
    begin();
    ck_assert_ptr_nonnull(strstr(ask(GET("/healthz")), "HTTP/1.1 200"));
    ck_assert_ptr_nonnull(strstr(ask(GET("/readyz")), "HTTP/1.1 503"));
    ck_assert_ptr_nonnull(strstr(ask(GET("/readyz")), "\r\n\r\nstarting\n"));
    atomic_store(&beat.readiness, STATUS_READY);
    ck_assert_ptr_nonnull(strstr(ask(GET("/readyz")), "HTTP/1.1 200"));
    atomic_store(&beat.readiness, STATUS_CUT_OFF);
    ck_assert_ptr_nonnull(strstr(ask(GET("/readyz")), "HTTP/1.1 503"));
    end();
}
END_TEST

/* Nobody turns the shard any more. */
START_TEST(a_shard_that_stands_still_is_not_well)
{
    begin();
    atomic_store(&beat.readiness, STATUS_READY);
    atomic_store(&beat.at_ns, env_now(env).ns - INT64_C(31000000000));
    ck_assert_ptr_nonnull(strstr(ask(GET("/healthz")), "HTTP/1.1 503"));
    ck_assert_ptr_nonnull(strstr(ask(GET("/readyz")), "HTTP/1.1 503"));
    end();
}
END_TEST

START_TEST(what_is_not_a_page_is_refused)
{
    begin();
    ck_assert_ptr_nonnull(strstr(ask(GET("/")), "HTTP/1.1 404"));
    ck_assert_ptr_nonnull(strstr(ask(GET("/../etc/passwd")), "HTTP/1.1 404"));
    ck_assert_ptr_nonnull(strstr(ask("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                     "Content-Length: 3\r\n\r\nabc"),
                                 "HTTP/1.1 405"));
    ck_assert_ptr_nonnull(strstr(
        ask("HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200"));
    end();
}
END_TEST

/* A head without end, no head at all, far more connections than there may be: none of them keeps
 * the page from who asks properly afterwards, and an end does not wait for them. */
START_TEST(bad_clients_cost_only_themselves)
{
    static char long_head[70000];
    int idle[64];

    begin();
    memset(long_head, 'a', sizeof(long_head) - 1);
    memcpy(long_head, "GET /", 5);
    int fd = dial();
    (void)!write(fd, long_head, sizeof(long_head) - 1);
    char some[256];
    (void)!read(fd, some, sizeof(some)); /* refused, or closed */
    close(fd);
    fd = dial();
    ck_assert_int_eq(write(fd, "\0\1\2\3 nonsense\r\n\r\n", 17), 17);
    (void)!read(fd, some, sizeof(some));
    close(fd);
    for (int i = 0; i < 64; i++)
        idle[i] = dial();
    for (int i = 0; i < 64; i++)
        close(idle[i]);
    const char *answer = "";
    for (int i = 0; i < 200 && strstr(answer, "HTTP/1.1 200") == NULL; i++)
        answer = ask(GET("/healthz"));
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 200"));
    fd = dial(); /* stays open over the end */
    end();
    close(fd);
}
END_TEST

START_TEST(addresses_that_cannot_be_are_refused)
{
    static const char *const bad[] = {
        "", "9100", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "no such host:1", "192.0.2.1:0"};
    struct status *second = NULL;
    char taken[32];

    begin();
    struct status_options options = {.metrics = metrics, .beat = &beat, .env = env};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        options.listen = bad[i];
        ck_assert_msg(status_open(&options, &second) == ERR_INVALID, "%s", bad[i]);
    }
    snprintf(taken, sizeof(taken), "127.0.0.1:%d", status_port(status));
    options.listen = taken;
    ck_assert_int_eq(status_open(&options, &second), ERR_BUSY);
    ck_assert_ptr_null(second);
    end();
}
END_TEST

#define SECONDS_MAX 60 /* only a broken test waits so long */

static int ask_and_read(size_t wanted)
{
    static char some[65536];
    int fd = dial();

    ck_assert_int_eq(write(fd, GET("/metrics"), sizeof(GET("/metrics")) - 1),
                     (ssize_t)sizeof(GET("/metrics")) - 1);
    for (size_t len = 0; len < wanted;) {
        ssize_t n = read(fd, some, sizeof(some));
        ck_assert_int_gt(n, 0);
        len += (size_t)n;
    }
    return fd;
}

/* Those that read slowly, or not at all, cost what the sockets hold and no more; there may be only
 * so many of them, and who gives up is forgotten. */
START_TEST(a_page_is_made_as_it_is_read)
{
    const struct status_pages pages = {
        .lines = {.begin = begin_lines, .rest = add_endlessly, .end = end_lines}};
    int fds[STATUS_SCRAPES_MAX];

    atomic_store(&lines_begun, 0);
    atomic_store(&lines_ended, 0);
    atomic_store(&lines_bytes, 0);
    begin_with(&pages);
    int fd = ask_and_read(4 << 20);
    close(fd);
    for (int i = 0; i < SECONDS_MAX * 1000 && atomic_load(&lines_ended) < 1; i++)
        usleep(1000);
    ck_assert_int_eq(atomic_load(&lines_ended), 1);
    /* The sockets of both sides hold some MB; without an end to the lines any number says that it
     * was not made before it was read. */
    ck_assert_int_lt(atomic_load(&lines_bytes), 64 << 20);

    /* On a machine that stands still for long some end by the limit of time: then once more. */
    bool is_refused = false;
    for (int round = 0; round < 20 && !is_refused; round++) {
        for (int i = 0; i < STATUS_SCRAPES_MAX; i++)
            fds[i] = ask_and_read(0);
        for (int i = 0; i < 100 && !is_refused; i++)
            is_refused = strstr(ask(GET("/metrics")), "HTTP/1.1 503") != NULL;
        ck_assert_ptr_nonnull(strstr(ask(GET("/healthz")), "HTTP/1.1 200"));
        for (int i = 0; i < STATUS_SCRAPES_MAX && !is_refused; i++)
            close(fds[i]);
    }
    ck_assert(is_refused);
    end(); /* waits for nobody who does not read */
    ck_assert_int_eq(atomic_load(&lines_ended), atomic_load(&lines_begun));
    for (int i = 0; i < STATUS_SCRAPES_MAX; i++)
        close(fds[i]);
}
END_TEST

UNIT(metrics_are_what_is_registered_and_what_the_system_says, readiness_is_what_the_shard_says,
     a_shard_that_stands_still_is_not_well, what_is_not_a_page_is_refused,
     bad_clients_cost_only_themselves, a_page_is_made_as_it_is_read,
     addresses_that_cannot_be_are_refused)
