/* common/runtime/status.c - see status.h. */
#include "runtime/status.h"
#include "base/ensure.h"
#include "base/log.h"
#include "runtime/process.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BEAT_MS           1000
#define SILENCE_MS_MAX    30000 /* a shard that has not turned for so long is not well */
#define CONNECTIONS_MAX   32
#define CONNECTION_SECS   10
#define CONNECTION_MEMORY 16384
#define BLOCK_BYTES       16384
#define THREAD_STACK      (1 << 20)
#define LISTEN_MAX        300
#define WINDOW_NS         INT64_C(60000000000) /* of quantiles */
#define THREAD_NICE       10

struct status {
    struct status_options options;
    _Atomic int64_t window_at_ns; /* when the window of quantiles began */
    _Atomic int scrapes;          /* under way */
    struct MHD_Daemon *daemon;
    uint16_t port;
};

/* ---- beats ---- */

static void on_beat(struct timer *timer)
{
    struct status_beat *beat = list_entry(timer, struct status_beat, timer);

    atomic_store_explicit(&beat->at_ns, shard_now(beat->shard).ns, memory_order_relaxed);
    if (beat->each != NULL) beat->each(beat->of);
    timer_arm(beat->shard, timer, instant_add_ms(shard_now(beat->shard), BEAT_MS));
}

void status_beat_start(struct status_beat *beat, struct shard *shard)
{
    beat->shard = shard;
    beat->timer.fire = on_beat;
    on_beat(&beat->timer);
}

void status_beat_stop(struct status_beat *beat)
{
    if (beat->shard != NULL) timer_cancel(beat->shard, &beat->timer);
    beat->shard = NULL;
}

static bool is_alive(const struct status *status)
{
    int64_t at = atomic_load_explicit(&status->options.beat->at_ns, memory_order_relaxed);

    return env_now(status->options.env).ns - at < SILENCE_MS_MAX * INT64_C(1000000);
}

/* ---- pages ---- */

static int open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    if (directory == NULL) return 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 3; /* ".", "..", and the one that looks */
}

/* Names as the exporters of other processes have them. */
static void print_process(struct buf *out)
{
    struct rusage use;

    if (getrusage(RUSAGE_SELF, &use) == 0)
        buf_printf(out,
                   "# HELP process_cpu_seconds_total Processor time of this process.\n"
                   "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.3f\n",
                   (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    buf_printf(out,
               "# HELP process_max_fds Descriptors that may be open.\n"
               "# TYPE process_max_fds gauge\nprocess_max_fds %llu\n"
               "# HELP process_open_fds Descriptors that are open.\n"
               "# TYPE process_open_fds gauge\nprocess_open_fds %d\n"
               "# HELP process_resident_memory_bytes Memory that this process has.\n"
               "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %llu\n",
               (unsigned long long)process_files_max(), open_files(),
               (unsigned long long)process_resident_bytes());
}

/* Quantiles are of the last minute or two, if somebody looks as often. */
static void turn_window(struct status *status)
{
    int64_t now = env_now(status->options.env).ns;
    int64_t began = atomic_load(&status->window_at_ns);

    if (now - began >= WINDOW_NS &&
        atomic_compare_exchange_strong(&status->window_at_ns, &began, now))
        metrics_window(status->options.metrics);
}

static void answer(struct status *status, const struct status_ask *ask, struct status_answer *out)
{
    static const char *const why[] = {"starting", "ready", "no session with ZooKeeper", "stopping"};
    const struct status_pages *pages = &status->options.pages;

    if (strcmp(ask->path, "/healthz") == 0) {
        bool is_well = is_alive(status);
        buf_add_text(&out->body, is_well ? "ok\n" : "the control shard stands still\n");
        if (!is_well) out->code = MHD_HTTP_SERVICE_UNAVAILABLE;
    } else if (strcmp(ask->path, "/readyz") == 0) {
        int readiness =
            atomic_load_explicit(&status->options.beat->readiness, memory_order_relaxed);
        bool is_ready = readiness == STATUS_READY && is_alive(status);
        buf_printf(&out->body, "%s\n",
                   is_ready || readiness != STATUS_READY ? why[readiness] : "standing still");
        if (!is_ready) out->code = MHD_HTTP_SERVICE_UNAVAILABLE;
    } else if (pages->page == NULL || !pages->page(pages->of, ask, out)) {
        buf_add_text(&out->body, "no such page\n");
        out->code = MHD_HTTP_NOT_FOUND;
    }
}

const char *status_argument(const struct status_ask *ask, const char *name)
{
    return MHD_lookup_connection_value(ask->connection, MHD_GET_ARGUMENT_KIND, name);
}

static enum MHD_Result send_response(struct MHD_Connection *connection,
                                     const struct status_answer *answer,
                                     struct MHD_Response *response)
{
    (void)MHD_add_response_header(response, "Content-Type", answer->type);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    (void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    if (answer->policy[0] != '\0')
        (void)MHD_add_response_header(response, "Content-Security-Policy", answer->policy);
    enum MHD_Result result = MHD_queue_response(connection, answer->code, response);
    MHD_destroy_response(response);
    return result;
}

/* Takes the answer's body. */
static enum MHD_Result send_answer(struct MHD_Connection *connection, struct status_answer *answer)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->body.len, answer->body.len == 0 ? (void *)(uintptr_t) "" : answer->body.ptr,
        answer->body.len == 0 ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);

    if (response == NULL) {
        buf_fini(&answer->body);
        return MHD_NO;
    }
    if (answer->body.len == 0) buf_fini(&answer->body);
    return send_response(connection, answer, response);
}

/* ---- /metrics, made while it is sent ---- */

struct sending {
    struct status *status;
    struct scrape *scrape;
};

static ssize_t read_scrape(void *of, uint64_t position, char *to, size_t max)
{
    struct sending *sending = of;

    (void)position;
    size_t n = scrape_read(sending->scrape, to, max);
    return n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)n;
}

/* Sent, or given up. */
static void end_scrape(void *of)
{
    struct sending *sending = of;

    scrape_end(&sending->scrape);
    atomic_fetch_sub(&sending->status->scrapes, 1);
    free(sending);
}

static enum MHD_Result send_metrics(struct status *status, struct MHD_Connection *connection,
                                    struct status_answer *answer)
{
    if (atomic_fetch_add(&status->scrapes, 1) >= STATUS_SCRAPES_MAX) {
        atomic_fetch_sub(&status->scrapes, 1);
        answer->code = MHD_HTTP_SERVICE_UNAVAILABLE;
        buf_add_text(&answer->body, "too many scrapes at a time\n");
        return send_answer(connection, answer);
    }
    struct sending *sending = ensure_zalloc(sizeof(*sending));
    sending->status = status;
    sending->scrape =
        scrape_begin(status->options.metrics, &status->options.pages.lines, print_process);
    turn_window(status); /* afterwards: what is shown is of more than a moment */
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_scrape, sending, end_scrape);
    if (response == NULL) {
        end_scrape(sending);
        return MHD_NO;
    }
    return send_response(connection, answer, response);
}

static enum MHD_Result on_request(void *owner, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **state)
{
    const struct status_ask ask = {.path = url, .connection = connection};
    struct status_answer out = {.code = MHD_HTTP_OK,
                                .type = "text/plain; version=0.0.4; charset=utf-8"};

    (void)version, (void)data;
    /* First the head only; then what it sends besides, which is thrown away; then the answer. */
    if (*state == NULL) {
        *state = connection;
        (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), THREAD_NICE); /* of this thread only */
        return MHD_YES;
    }
    if (*data_size > 0) {
        *data_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        buf_add_text(&out.body, "only GET and HEAD\n");
        out.code = MHD_HTTP_METHOD_NOT_ALLOWED;
    } else if (strcmp(url, "/metrics") == 0) {
        return send_metrics(owner, connection, &out);
    } else {
        answer(owner, &ask, &out);
    }
    return send_answer(connection, &out);
}

/* ---- the server ---- */

/* Splits "host:port"; the host's brackets go, an empty one is all addresses. */
static enum err resolve(const char *listen, struct addrinfo **out)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    char host[LISTEN_MAX];
    const char *colon = strrchr(listen, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - listen);

    if (colon == NULL || colon[1] == '\0' || len >= sizeof(host)) return ERR_INVALID;
    memcpy(host, listen, len);
    host[len] = '\0';
    char *name = host;
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        name = host + 1;
    }
    return getaddrinfo(name[0] == '\0' ? NULL : name, colon + 1, &hints, out) == 0 ? ERR_OK
                                                                                   : ERR_INVALID;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)(void *)&address, &len) != 0) return 0;
    return ntohs(address.ss_family == AF_INET6
                     ? ((struct sockaddr_in6 *)(void *)&address)->sin6_port
                     : ((struct sockaddr_in *)(void *)&address)->sin_port);
}

static enum err listen_on(const struct addrinfo *address, int *out)
{
    int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) return errno == EAFNOSUPPORT ? ERR_INVALID : ERR_IO;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, CONNECTIONS_MAX) == 0) {
        *out = fd;
        return ERR_OK;
    }
    enum err err = errno == EADDRINUSE      ? ERR_BUSY
                   : errno == EADDRNOTAVAIL ? ERR_INVALID
                   : errno == EACCES        ? ERR_DENIED
                                            : ERR_IO;
    close(fd);
    return err;
}

enum err status_open(const struct status_options *options, struct status **out)
{
    struct addrinfo *addresses = NULL;
    sigset_t all, before;
    int fd = -1;

    enum err err = resolve(options->listen, &addresses);
    if (err == ERR_OK) err = ERR_INVALID;
    for (const struct addrinfo *at = addresses; err != ERR_OK && at != NULL; at = at->ai_next)
        err = listen_on(at, &fd);
    if (addresses != NULL) freeaddrinfo(addresses);
    if (err != ERR_OK) return err;

    struct status *status = ensure_zalloc(sizeof(*status));
    status->options = *options;
    atomic_store(&status->window_at_ns, env_now(options->env).ns);
    status->port = port_of(fd);
    /* Its thread takes none of the process's signals. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    status->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL |
            MHD_USE_ITC,
        0, NULL, NULL, on_request, status, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_SECS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status->daemon == NULL) {
        close(fd);
        free(status);
        return ERR_IO;
    }
    *out = status;
    return ERR_OK;
}

uint16_t status_port(const struct status *status)
{
    return status->port;
}

void status_close(struct status **status)
{
    if (*status == NULL) return;
    MHD_stop_daemon((*status)->daemon); /* with its socket */
    free(*status);
    *status = NULL;
}
