#include "broker/api/phases.h"
#include "base/ensure.h"
#include "base/log.h"
#include "broker/api/dispatch.h"
#include "broker/api/table.h"
#include "wire/protocol.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_BYTES   48
#define LABELS_MAX_BYTES 128
#define MS               1e6
#define SECONDS          1e9

void phases_init(struct phases *phases)
{
    memset(phases->place, 0xff, sizeof(phases->place));
    phases->count = 0;
    for (const struct api *const *api = api_table(); *api != NULL; api++) {
        ensure((*api)->key >= 0 && (*api)->key < PHASES_KEYS);
        ensure((*api)->version_max < PHASES_VERSIONS);
        phases->place[(*api)->key] = (uint8_t)phases->count++;
    }
    /* Pages of kinds that never come are never touched. */
    phases->at = ensure_zalloc(sizeof(phases->at[0]) * (size_t)(phases->count + 1));
}

void phases_fini(struct phases *phases)
{
    free(phases->at);
    phases->at = NULL;
}

/* ---- one request ---- */

/* Nanoseconds. Less than nothing where another shard's last look at its clock was before ours. */
struct times {
    int64_t queue, local, remote, response_queue, send, total;
};

static struct times times_of(const struct request *request)
{
    struct instant sent = shard_looked(request->client->home->shard);
    struct instant queued = request->reply.queued_at;
    bool has_waited = request->waits_since.ns != 0;
    struct instant done = has_waited ? request->waits_since : request->replied;
    struct times times = {
        .queue = instant_ns_between(request->arrived, request->begun),
        .local = instant_ns_between(request->begun, done),
        .remote = instant_ns_between(done, request->replied),
        .total = instant_ns_between(request->arrived, request->replied),
    };

    if (queued.ns == 0) return times; /* no reply left */
    times.response_queue = instant_ns_between(request->replied, queued);
    times.send = instant_ns_between(queued, sent);
    times.total = instant_ns_between(request->arrived, sent);
    return times;
}

static void enter(struct histogram *histogram, int64_t ns)
{
    if (ns > 0) histogram_add(histogram, (uint64_t)ns);
}

static long long us_of(int64_t ns)
{
    return ns > 0 ? ns / 1000 : 0;
}

static void log_request(const struct request *request, const struct times *times)
{
    /* No limit of lines: who asks for them wants all. Not of the level of the process either. */
    log_line(NULL, LOG_DEBUG, "broker", "request",
             " api=%s version=%d correlation=%d client_id=\"%.*s\" peer=%s bytes=%zu total_us=%lld "
             "queue_us=%lld local_us=%lld remote_us=%lld response_queue_us=%lld send_us=%lld",
             api_info_name(request->api->key), request->version, request->correlation_id,
             SLICE_ARGS(request->client_id), request->host, request->bytes, us_of(times->total),
             us_of(times->queue), us_of(times->local), us_of(times->remote),
             us_of(times->response_queue), us_of(times->send));
}

void phases_note(const struct request *request)
{
    struct api_shard *home = request->client->home;
    struct phases *phases = &home->phases;

    if (request->begun.ns == 0) return; /* refused before its handler, or moved to another shard */
    int place = request->is_of_follower ? phases->count : phases->place[request->api->key];
    struct phases_of *of = &phases->at[place];
    struct times times = times_of(request);

    enter(&of->queue, times.queue);
    enter(&of->local, times.local);
    enter(&of->remote, times.remote);
    enter(&of->response_queue, times.response_queue);
    enter(&of->send, times.send);
    histogram_add(&of->bytes, request->bytes);
    counter_add(&of->versions[request->version], 1);
    histogram_add(&of->total, times.total > 0 ? (uint64_t)times.total : 0);
    if (home->process->logs_requests != NULL &&
        atomic_load_explicit(home->process->logs_requests, memory_order_relaxed))
        log_request(request, &times);
}

/* ---- names ---- */

/* "offset_for_leader_epoch" is OffsetForLeaderEpoch. */
static void name_of(int16_t key, char out[NAME_MAX_BYTES])
{
    bool is_first = true;
    size_t n = 0;

    for (const char *at = api_info_name(key); *at != '\0' && n < NAME_MAX_BYTES - 1; at++) {
        if (*at == '_') {
            is_first = true;
            continue;
        }
        out[n++] = (char)(is_first ? toupper((unsigned char)*at) : *at);
        is_first = false;
    }
    out[n] = '\0';
}

static void register_times(struct metrics *metrics, const struct phases_of *of, const char *labels)
{
    const struct {
        const struct histogram *histogram;
        const char *name, *help;
    } parts[] = {
        {&of->queue, "kafka_network_requestmetrics_requestqueuetimems",
         "Before the request was begun, ms."},
        {&of->local, "kafka_network_requestmetrics_localtimems", "At work on the request, ms."},
        {&of->remote, "kafka_network_requestmetrics_remotetimems",
         "Waiting for replicas, data, the controller or members, ms."},
        {&of->response_queue, "kafka_network_requestmetrics_responsequeuetimems",
         "The reply behind those of earlier requests, ms."},
        {&of->send, "kafka_network_requestmetrics_responsesendtimems", "Sending the reply, ms."},
        {&of->total, "kafka_network_requestmetrics_totaltimems",
         "From the request to the end of its reply, ms."},
    };

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        metrics_add_part(metrics, parts[i].histogram, &of->total, parts[i].name, labels,
                         parts[i].help, MS);
    metrics_add_part(metrics, &of->bytes, &of->total, "kafka_network_requestmetrics_requestbytes",
                     labels, "Size of requests, bytes.", 1);
}

static void register_buckets(struct metrics *metrics, const struct phases_of *of, const char *name)
{
    const struct {
        const struct histogram *histogram;
        const char *phase;
    } parts[] = {{&of->queue, "queue"},
                 {&of->local, "local"},
                 {&of->remote, "remote"},
                 {&of->response_queue, "response_queue"},
                 {&of->send, "response_send"},
                 {&of->total, "total"}};
    char labels[LABELS_MAX_BYTES];

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        snprintf(labels, sizeof(labels), "request=\"%s\",phase=\"%s\"", name, parts[i].phase);
        metrics_add_part_buckets(metrics, parts[i].histogram, &of->total, "ottla_request_seconds",
                                 labels, "Where the time of requests went.", SECONDS);
    }
}

static void register_kind(struct metrics *metrics, const struct phases_of *of, const char *name,
                          int versions)
{
    char labels[LABELS_MAX_BYTES];

    snprintf(labels, sizeof(labels), "request=\"%s\"", name);
    register_times(metrics, of, labels);
    register_buckets(metrics, of, name);
    for (int version = 0; version < versions; version++) {
        snprintf(labels, sizeof(labels), "request=\"%s\",version=\"%d\"", name, version);
        metrics_add_counter_used(metrics, &of->versions[version],
                                 "kafka_network_requestmetrics_requests_total", labels,
                                 "Requests that were answered.");
    }
}

void phases_register(const struct phases *phases, struct metrics *metrics)
{
    int count = 0;

    for (const struct api *const *api = api_table(); *api != NULL; api++, count++) {
        const struct phases_of *of = &phases->at[count];
        char name[NAME_MAX_BYTES];

        name_of((*api)->key, name);
        if ((*api)->key != API_FETCH) {
            register_kind(metrics, of, name, (*api)->version_max + 1);
            continue;
        }
        /* Kafka tells fetches of consumers and of followers apart, and has both together. */
        const struct phases_of *followers = &phases->at[phases->count];
        register_kind(metrics, of, "FetchConsumer", (*api)->version_max + 1);
        register_kind(metrics, followers, "FetchFollower", (*api)->version_max + 1);
        register_times(metrics, of, "request=\"Fetch\"");
        register_times(metrics, followers, "request=\"Fetch\"");
    }
}
