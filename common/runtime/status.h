/* runtime/status.h - the pages that watch a process: a small HTTP server on a thread of its own.
 *
 *     GET /metrics   what is registered, and what the system says of the process (scrape.h)
 *     GET /healthz   200 while the shard that beats does so, else 503
 *     GET /readyz    200 when it has said that it serves, else 503 with why not
 *
 * and what the process adds. It reads atomics and the register of metrics, nothing else of the
 * process, and holds nobody up: few connections, each on a thread of its own that yields to the
 * shards where processors are short, small requests, a limit of time for each, and at most
 * STATUS_SCRAPES_MAX of /metrics at a time (503). It may be left out: nothing waits for it. */
#pragma once
#include "runtime/scrape.h"
#include "runtime/shard.h"

/* What a shard says of itself; read by any thread. The owner's memory, outlives the server. */
struct status_beat {
    struct shard *shard;
    struct timer timer;
    _Atomic int64_t at_ns;  /* of the last beat */
    _Atomic int readiness;  /* enum status_readiness */
    void (*each)(void *of); /* each second, on the shard: for gauges that are taken; or NULL */
    void *of;
};
enum status_readiness { STATUS_STARTING, STATUS_READY, STATUS_CUT_OFF, STATUS_STOPPING };

/* Beats each second until status_beat_stop. `beat` zeroed but for `each` and `of`. */
void status_beat_start(struct status_beat *beat, struct shard *shard);
void status_beat_stop(struct status_beat *beat);

/* One request for a page of the process's own. */
struct status_ask {
    const char *path;
    void *connection; /* of status.c */
};
/* What stands behind `name=` in the query, decoded; NULL: nothing. Borrowed for the call. */
const char *status_argument(const struct status_ask *ask, const char *name);

#define STATUS_POLICY_MAX 400
struct status_answer {
    unsigned code;                  /* 200, 404, 503 */
    const char *type;               /* text/plain … */
    char policy[STATUS_POLICY_MAX]; /* Content-Security-Policy; "": none */
    struct buf body;
};

#define STATUS_SCRAPES_MAX 8

/* What a process adds; any may be NULL. On the thread of the request, which may wait some seconds.
 */
struct status_pages {
    struct scrape_lines lines; /* of /metrics */
    /* Any other path. False: there is no such page. `answer` is 200, text/plain and empty. */
    bool (*page)(void *of, const struct status_ask *ask, struct status_answer *answer);
    void *of;
};

struct status_options {
    const char *listen;      /* "host:port", "[::1]:port", ":port" for all addresses */
    struct metrics *metrics; /* kept */
    struct status_beat *beat;
    const struct env *env; /* kept: its clock */
    struct status_pages pages;
};

struct status;
/* ERR_INVALID: `listen` is no address of this host; ERR_BUSY: the port is taken; ERR_IO. */
MUST_CHECK enum err status_open(const struct status_options *options, struct status **out);
uint16_t status_port(const struct status *status); /* the real one where 0 was asked for */
/* Waits for the requests under way. Sets to NULL; NULL is fine. */
void status_close(struct status **status);
