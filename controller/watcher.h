/* controller/watcher.h - keeps a connection and a heartbeat to each of some processes, and says
 * which of them is dead (detector.h). The ping is an ApiVersions request, whose client id names the
 * tag: a broker that is registered anew does not answer for its life before (cluster/types.h). */
#pragma once
#include "controller/detector.h"
#include "runtime/conn.h"

struct watcher;

struct watcher_options {
    struct shard *shard;
    struct conn_limits *limits;
    int64_t timeout_ms; /* controller.broker.heartbeat.timeout.ms */
    /* The verdict on `id` changed. Not inside a call of yours. `tag` is that of watcher_add. */
    void (*verdict)(void *owner, int32_t id, int64_t tag, enum detector_verdict verdict);
    /* Nobody at all has been heard for two timeouts: it must be us. Until then nobody is condemned
     * for a silence that all share. The watcher may be cleared in it. NULL: all are judged alone.
     */
    void (*cut_off)(void *owner);
    void *owner;
};

struct watcher *watcher_create(const struct watcher_options *options);
void watcher_destroy(struct watcher **watcher); /* NULL is fine */
/* Replaces one with this id. */
void watcher_add(struct watcher *watcher, int32_t id, int64_t tag,
                 const struct net_address *address, int64_t grace_ms);
bool watcher_has(const struct watcher *watcher, int32_t id, int64_t tag);
/* It is watched, and has answered at least once. */
bool watcher_has_heard(const struct watcher *watcher, int32_t id);
/* Its owner knows that it does not answer: it is dead until it does, without a verdict now. */
void watcher_condemn(struct watcher *watcher, int32_t id);
void watcher_remove(struct watcher *watcher, int32_t id); /* one that is not there is fine */
void watcher_clear(struct watcher *watcher);
