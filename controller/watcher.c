/* controller/watcher.c - see watcher.h. */
#include "controller/watcher.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/map.h"
#include "client/peer.h"
#include "cluster/types.h"
#include "wire/protocol.h"
#include <stdio.h>
#include <stdlib.h>

/* Pings per timeout: one lost to a slow turn is not a verdict. */
#define PINGS_PER_TIMEOUT 4
#define PING_MS_MIN       50
/* Between attempts to connect to one that is away. */
#define ATTEMPT_MS 100

struct target {
    struct watcher *watcher; /* NULL: removed */
    int32_t id;
    int64_t tag;
    struct detector detector;
    struct peer *peer;
    struct peer_call ping;
    bool is_pinging;
    struct timer ping_timer, deadline_timer;
};

struct watcher {
    struct watcher_options options;
    struct map targets;
    struct instant held_at; /* since then verdicts are held, for nobody is heard; zero: not */
};

struct watcher *watcher_create(const struct watcher_options *options)
{
    struct watcher *watcher = ensure_zalloc(sizeof(*watcher));

    watcher->options = *options;
    map_init(&watcher->targets);
    return watcher;
}

static void target_freed(void *owner)
{
    free(owner);
}

void watcher_remove(struct watcher *watcher, int32_t id)
{
    struct target *target = map_remove(&watcher->targets, map_int(&id));

    if (target == NULL) return;
    timer_cancel(watcher->options.shard, &target->ping_timer);
    timer_cancel(watcher->options.shard, &target->deadline_timer);
    target->watcher = NULL;
    peer_close(&target->peer, target_freed);
}

bool watcher_has(const struct watcher *watcher, int32_t id, int64_t tag)
{
    const struct target *target = map_get(&watcher->targets, map_int(&id));

    return target != NULL && target->tag == tag;
}

bool watcher_has_heard(const struct watcher *watcher, int32_t id)
{
    const struct target *target = map_get(&watcher->targets, map_int(&id));

    return target != NULL && target->detector.is_known;
}

void watcher_condemn(struct watcher *watcher, int32_t id)
{
    struct target *target = map_get(&watcher->targets, map_int(&id));

    if (target != NULL) target->detector.verdict = DETECTOR_DEAD;
}

void watcher_clear(struct watcher *watcher)
{
    watcher->held_at = INSTANT_ZERO;
    for (struct map_entry *entry; (entry = map_first(&watcher->targets)) != NULL;)
        watcher_remove(watcher, ((struct target *)entry->value)->id);
}

void watcher_destroy(struct watcher **watcher)
{
    if (*watcher == NULL) return;
    watcher_clear(*watcher);
    map_fini(&(*watcher)->targets);
    free(*watcher);
    *watcher = NULL;
}

static bool is_another_fresh(const struct target *target, struct instant now)
{
    map_each (entry, &target->watcher->targets) {
        const struct target *other = entry->value;
        if (other != target && detector_is_fresh(&other->detector, now)) return true;
    }
    return false;
}

/* True when `target`, silent for the timeout, is not condemned for it: all are silent. */
static bool hold(struct target *target, struct instant now)
{
    struct watcher *watcher = target->watcher;

    if (watcher->options.cut_off == NULL || is_another_fresh(target, now)) return false;
    detector_hold(&target->detector, now);
    if (watcher->held_at.ns == 0) {
        watcher->held_at = now;
        log_warn("controller", "nobody-heard", "watched=%zu", watcher->targets.count);
    }
    return true;
}

/* The target may be gone afterwards. */
static void tell(struct target *target, enum detector_event event)
{
    struct watcher *watcher = target->watcher;
    struct shard *shard = watcher->options.shard;
    struct instant now = shard_now(shard);
    bool has_changed = detector_step(&target->detector, event, now);

    if (event == DETECTOR_ANSWERED) watcher->held_at = INSTANT_ZERO;
    if (has_changed && event == DETECTOR_TICK && hold(target, now)) {
        has_changed = false;
        if (instant_ms_between(watcher->held_at, now) >= watcher->options.timeout_ms) {
            watcher->held_at = INSTANT_ZERO;
            timer_arm(shard, &target->deadline_timer, detector_deadline(&target->detector));
            watcher->options.cut_off(watcher->options.owner);
            return;
        }
    }

    timer_arm(shard, &target->deadline_timer, detector_deadline(&target->detector));
    if (has_changed)
        watcher->options.verdict(watcher->options.owner, target->id, target->tag,
                                 target->detector.verdict);
}

static void deadline_fired(struct timer *timer)
{
    tell(list_entry(timer, struct target, deadline_timer), DETECTOR_TICK);
}

static int64_t ping_ms(const struct watcher *watcher)
{
    int64_t ms = watcher->options.timeout_ms / PINGS_PER_TIMEOUT;

    return ms < PING_MS_MIN ? PING_MS_MIN : ms;
}

static void ping_done(struct peer_call *call, enum err err, struct slice answer,
                      struct block *block)
{
    struct target *target = list_entry(call, struct target, ping);

    (void)answer;
    (void)block;
    target->is_pinging = false;
    if (target->watcher == NULL) return;
    struct shard *shard = target->watcher->options.shard;
    timer_arm(shard, &target->ping_timer,
              instant_add_ms(shard_now(shard), ping_ms(target->watcher)));
    if (err == ERR_OK) tell(target, DETECTOR_ANSWERED);
}

static void ping(struct target *target)
{
    if (target->is_pinging || peer_state(target->peer) != PEER_UP) return;
    target->ping = (struct peer_call){
        .api_key = API_API_VERSIONS,
        .timeout_ms = target->watcher->options.timeout_ms,
        .done = ping_done,
    };
    target->is_pinging = true;
    peer_send(target->peer, &target->ping);
}

static void ping_fired(struct timer *timer)
{
    ping(list_entry(timer, struct target, ping_timer));
}

static void news(void *owner, struct peer *peer, enum peer_state state, enum err why)
{
    struct target *target = owner;

    if (target->watcher == NULL || state == PEER_CONNECTING) return;
    if (state == PEER_UP) {
        ping(target);
        tell(target, DETECTOR_CONNECTED);
        return;
    }
    bool was_connected = target->detector.is_connected;
    enum detector_event event = was_connected        ? DETECTOR_LOST
                                : why == ERR_REFUSED ? DETECTOR_REFUSED
                                                     : DETECTOR_FAILED;
    /* A loss alone says little; whether anyone listens there still is asked at once. */
    if (was_connected) peer_connect(peer);
    tell(target, event);
}

void watcher_add(struct watcher *watcher, int32_t id, int64_t tag,
                 const struct net_address *address, int64_t grace_ms)
{
    struct shard *shard = watcher->options.shard;

    watcher_remove(watcher, id);
    struct target *target = ensure_zalloc(sizeof(*target));
    target->watcher = watcher;
    target->id = id;
    target->tag = tag;
    target->ping_timer.fire = ping_fired;
    target->deadline_timer.fire = deadline_fired;
    detector_init(&target->detector, shard_now(shard), watcher->options.timeout_ms, grace_ms);
    char client_id[sizeof(HEARTBEAT_CLIENT) + 20];
    snprintf(client_id, sizeof(client_id), "%s%lld", HEARTBEAT_CLIENT, (long long)tag);
    struct peer_options options = {
        .address = *address,
        .socket = {.receive_buffer_bytes = -1, .send_buffer_bytes = -1},
        .client_id = client_id,
        .limits = watcher->options.limits,
        .in_flight_max = 1,
        .waiting_max = 1,
        .request_timeout_ms = watcher->options.timeout_ms,
        .connect_timeout_ms = watcher->options.timeout_ms,
        .backoff_ms = ATTEMPT_MS,
        .backoff_ms_max = ATTEMPT_MS,
        .news = news,
        .owner = target,
    };
    target->peer = peer_open(shard, &options);
    (void)map_set(&watcher->targets, map_int(&id), target);
}
