/* broker/replica/fetchers.c - who is followed, and the links to their leaders: what each asks next,
 * and when. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/replica/link.h"
#include "wire/protocol.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECONNECT_MS       50
#define RECONNECT_MS_MAX   1000
#define CONNECT_TIMEOUT_MS 10000
#define ANSWER_SPARE_BYTES ((size_t)128 << 20) /* a first batch comes whole, whatever its size */
#define DECODED_BYTES_MAX  ((size_t)256 << 20)
#define HURRY_MS           5 /* an answer that is on its way is let come */
#define LOST_MS            1000
#define HURRY_EVERY_MS     100 /* … and a link that is hurried all the time still fetches */
#define LINKS_MAX          16  /* to one leader */

/* ---- the table ---- */

struct key {
    uint8_t bytes[256 + 4];
    size_t len;
};

static struct slice key_of(struct key *key, struct slice topic, int32_t partition)
{
    ensure(topic.len <= 256);
    memcpy(key->bytes, &partition, sizeof(partition));
    memcpy(key->bytes + sizeof(partition), topic.ptr, topic.len);
    key->len = sizeof(partition) + topic.len;
    return slice_of(key->bytes, key->len);
}

struct followed *fetchers_find(struct fetchers *fetchers, struct slice topic, int32_t partition)
{
    struct key key;

    return topic.len > 256 ? NULL : map_get(&fetchers->by_name, key_of(&key, topic, partition));
}

enum level fetchers_level(const struct fetchers *fetchers)
{
    return (enum level)fetchers->options.settings.level;
}

static void run_link(struct post *post);
static void link_done(struct peer_call *call, enum err err, struct slice answer,
                      struct block *block);

void link_wake(struct link *link)
{
    shard_post(link->of->shard, &link->post);
}

void link_send(struct link *link, enum link_call doing, int16_t key, int16_t version,
               const struct wire_struct *type, const void *body)
{
    const struct replica_settings *settings = &link->of->options.settings;

    memset(&link->call, 0, sizeof(link->call));
    link->doing = doing;
    link->call.api_key = key;
    link->call.version_min = link->call.version_max = version;
    link->call.timeout_ms = settings->fetch_socket_timeout_ms;
    link->call.done = link_done;
    link->asked_at = shard_now(link->of->shard);
    wire_write(&link->call.body, version, type, body);
    counter_add(&link->of->counts.requests, 1);
    peer_send(link->peer, &link->call);
}

bool link_is_next_topic(const struct followed *last, const struct followed *it)
{
    return last == NULL || !slice_equal(followed_topic(last), followed_topic(it));
}

void link_retry_all(struct link *link)
{
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        if (it->is_asked) followed_step(it, (struct fetcher_event){.type = FETCHER_RETRY});
        it->is_asked = false;
    }
}

/* The wait was ended by ourselves: no error, and nothing is delayed by it. */
static void ask_anew(struct link *link)
{
    list_each (node, &link->followed)
        list_entry(node, struct followed, node)->is_asked = false;
    link_reset_session(link, true);
    peer_connect(link->peer);
}

static void link_done(struct peer_call *call, enum err err, struct slice answer,
                      struct block *block)
{
    struct link *link = list_entry(call, struct link, call);
    enum link_call doing = link->doing;

    (void)block;
    link->doing = LINK_IDLE;
    arena_reset(&link->arena);
    timer_cancel(link->of->shard, &link->hurry);
    bool was_hurried = link->is_hurried;
    link->is_hurried = false;
    if (was_hurried && err == ERR_CLOSED && !link->is_closing) {
        ask_anew(link);
        return;
    }
    if (err != ERR_OK) {
        counter_add(&link->of->counts.request_errors, 1);
        if (err != ERR_CANCELLED)
            log_info("replica", "fetch_failed", "leader=%d why=%s", link->broker, err_name(err));
        if (!link->is_closing) {
            link_retry_all(link);
            link_reset_session(link, true);
        }
        link_wake(link);
        return;
    }
    switch (doing) {
    case LINK_IDLE:
        break;
    case LINK_EPOCHS:
        link_take_epochs(link, answer, call->version);
        break;
    case LINK_OFFSETS:
        link_take_offsets(link, answer, call->version);
        break;
    case LINK_FETCH:
        link_take_records(link, answer, call->version);
        break;
    }
    arena_reset(&link->arena);
    link_wake(link);
}

/* ---- a Fetch that waits while others want something ---- */

static bool is_wanting(const struct followed *it, struct instant now)
{
    if (it->is_asked || (it->has_begun && followed_is_held_back(it))) return false;
    return !it->has_begun || fetcher_wants(&it->machine, now) != FETCHER_WANTS_NOTHING;
}

static void hurry(struct link *link)
{
    struct instant at = instant_add_ms(shard_now(link->of->shard), HURRY_MS);

    if (link->doing != LINK_FETCH || link->is_hurried || link->is_closing) return;
    if (heap_has(&link->hurry.node)) return;
    if (link->hurried_at.ns != 0)
        at = instant_max(at, instant_add_ms(link->hurried_at, HURRY_EVERY_MS));
    timer_arm(link->of->shard, &link->hurry, at);
}

static void hurry_fired(struct timer *timer)
{
    struct link *link = list_entry(timer, struct link, hurry);
    struct instant now = shard_now(link->of->shard);
    bool is_wanted = false;

    if (link->doing != LINK_FETCH || link->is_hurried || link->is_closing) return;
    list_each (node, &link->followed)
        is_wanted = is_wanted || is_wanting(list_entry(node, struct followed, node), now);
    if (!is_wanted || peer_state(link->peer) != PEER_UP) return;
    if (instant_before(link->asked_at, peer_last_heard(link->peer))) {
        hurry(link); /* the answer comes already */
        return;
    }
    link->is_hurried = true;
    link->hurried_at = now;
    counter_add(&link->of->counts.hurries, 1);
    peer_disconnect(link->peer, ERR_CANCELLED);
}

/* ---- links ---- */

static void timer_fired(struct timer *timer)
{
    link_wake(list_entry(timer, struct link, timer));
}

int fetchers_links(int32_t fetchers, int shards)
{
    if (fetchers <= shards) return 1;
    int links = (fetchers - 1) / shards + 1;
    return links < LINKS_MAX ? links : LINKS_MAX;
}

/* The hash that chose the shard goes on: what is the same for all partitions of a shard must not
 * choose again. */
int fetchers_link_of(struct slice topic, int32_t partition, int shards, int links)
{
    return partition_shard(topic, partition, shards * links) / shards;
}

static int link_index(const struct fetchers *fetchers, struct slice topic, int32_t partition)
{
    int shards = fetchers->options.shards;

    return fetchers_link_of(topic, partition, shards,
                            fetchers_links(fetchers->options.settings.fetchers, shards));
}

static struct link *find_link(struct fetchers *fetchers, int32_t broker, int index)
{
    list_each (node, &fetchers->links) {
        struct link *link = list_entry(node, struct link, node);
        if (link->broker == broker && link->index == index && !link->is_closing) return link;
    }
    return NULL;
}

static struct link *make_link(struct fetchers *fetchers, int32_t broker, int index)
{
    struct link *link = ensure_zalloc(sizeof(*link));

    link->of = fetchers;
    link->broker = broker;
    link->index = index;
    link->post.run = run_link;
    link->timer.fire = timer_fired;
    link->hurry.fire = hurry_fired;
    list_init(&link->followed);
    list_init(&link->forgotten);
    arena_init(&link->arena, DECODED_BYTES_MAX);
    conn_limits_init(&link->limits);
    link->limits.frame_bytes_max =
        (size_t)fetchers->options.settings.fetch_response_max_bytes + ANSWER_SPARE_BYTES;
    link->limits.memory_bytes_max = link->limits.frame_bytes_max;
    list_push(&fetchers->links, &link->node);
    gauge_add(&fetchers->counts.links, 1);
    return link;
}

static void free_link(struct link *link)
{
    struct fetchers *fetchers = link->of;

    link_reset_session(link, false);
    shard_unpost(&link->post);
    timer_cancel(fetchers->shard, &link->timer);
    timer_cancel(fetchers->shard, &link->hurry);
    list_remove(&link->node);
    arena_fini(&link->arena);
    conn_limits_fini(&link->limits);
    free(link);
    gauge_add(&fetchers->counts.links, -1);
    if (fetchers->is_closing && list_is_empty(&fetchers->links))
        fetchers->closed(fetchers->closed_to);
}

static void link_closed(void *owner)
{
    free_link(owner);
}

static void close_link(struct link *link)
{
    link->is_closing = true;
    timer_cancel(link->of->shard, &link->timer);
    timer_cancel(link->of->shard, &link->hurry);
    if (link->peer == NULL)
        free_link(link);
    else
        peer_close(&link->peer, link_closed);
}

/* A cluster that loses more brokers than that at once has other troubles. */
static void note_lost(struct link *link)
{
    struct fetchers *fetchers = link->of;
    struct instant now = shard_now(fetchers->shard);

    for (int i = 0; i < LOST_MAX; i++) {
        struct lost *lost = &fetchers->lost[i];
        if (lost->broker != link->broker && !instant_reached(now, lost->until)) continue;
        *lost = (struct lost){link->broker, instant_add_ms(now, LOST_MS)};
        return;
    }
}

static void forget_lost(struct link *link)
{
    for (int i = 0; i < LOST_MAX; i++)
        if (link->of->lost[i].broker == link->broker) link->of->lost[i].until = INSTANT_ZERO;
}

struct instant fetchers_lost_until(const struct fetchers *fetchers, int32_t broker)
{
    for (int i = 0; i < LOST_MAX; i++)
        if (fetchers->lost[i].broker == broker &&
            instant_before(shard_now(fetchers->shard), fetchers->lost[i].until))
            return fetchers->lost[i].until;
    return INSTANT_ZERO;
}

bool fetchers_has_lost(const struct fetchers *fetchers, int32_t broker)
{
    return fetchers_lost_until(fetchers, broker).ns != 0;
}

bool fetchers_has_lost_any(const struct fetchers *fetchers)
{
    for (int i = 0; i < LOST_MAX; i++)
        if (instant_before(shard_now(fetchers->shard), fetchers->lost[i].until)) return true;
    return false;
}

static void news(void *owner, struct peer *peer, enum peer_state state, enum err why)
{
    struct link *link = owner;

    (void)peer;
    if (state == PEER_WAITING)
        log_debug("replica", "leader_away", "leader=%d why=%s", link->broker, err_name(why));
    if (state == PEER_WAITING && link->is_up && why != ERR_CANCELLED) note_lost(link);
    if (state == PEER_UP) forget_lost(link);
    link->is_up = state == PEER_UP;
    link_wake(link);
}

static void open_peer(struct link *link)
{
    const struct replica_settings *settings = &link->of->options.settings;
    char client_id[64];

    snprintf(client_id, sizeof(client_id), "broker-%d-fetcher-%d", link->of->options.broker_id,
             link->of->shard->id + link->index * link->of->options.shards);
    struct peer_options options = {
        .address = link->address,
        .socket = {settings->fetch_socket_buffer_bytes, -1, 0},
        .client_id = client_id,
        .limits = &link->limits,
        .in_flight_max = 1,
        .waiting_max = 4,
        .request_timeout_ms = settings->fetch_socket_timeout_ms,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .backoff_ms = RECONNECT_MS,
        .backoff_ms_max = RECONNECT_MS_MAX,
        .news = news,
        .owner = link,
    };
    link->peer = peer_open(link->of->shard, &options);
}

/* The leader's address may have changed with a restart. False: it is not known now. */
static bool has_way(struct link *link)
{
    const struct fetchers_options *options = &link->of->options;
    struct net_address address = {0};

    if (!options->ops->address(options->owner, link->broker, &address)) return link->peer != NULL;
    bool is_other =
        strcmp(address.host, link->address.host) != 0 || address.port != link->address.port;
    link->address = address;
    if (link->peer == NULL)
        open_peer(link);
    else if (is_other)
        peer_set_address(link->peer, &address);
    return true;
}

/* When a delayed partition wants something again; at the latest after a backoff. */
static void rest(struct link *link)
{
    struct instant now = shard_now(link->of->shard);
    struct instant until = instant_add_ms(now, link->of->options.settings.fetch_backoff_ms);

    list_each (node, &link->followed) {
        struct instant at = fetcher_deadline(&list_entry(node, struct followed, node)->machine);
        if (instant_before(now, at)) until = instant_min(until, at);
    }
    timer_arm(link->of->shard, &link->timer, until);
}

/* The next request, if something is wanted and none is under way. */
static void run_link(struct post *post)
{
    struct link *link = list_entry(post, struct link, post);

    if (link->is_closing) return;
    if (link->count == 0) {
        close_link(link);
        return;
    }
    if (link->doing != LINK_IDLE) return;
    list_each (node, &link->followed) {
        struct followed *it = list_entry(node, struct followed, node);
        if (!it->has_begun) followed_begin(it);
    }
    if (!has_way(link)) {
        rest(link);
        return;
    }
    if (peer_state(link->peer) != PEER_UP) /* its news wake us */
        return;
    arena_reset(&link->arena);
    if (!link_ask_epochs(link) && !link_ask_offsets(link) && !link_ask_records(link)) rest(link);
    arena_reset(&link->arena);
}

/* ---- who is followed ---- */

static void unfollow(struct followed *it)
{
    struct fetchers *fetchers = it->link->of;
    struct link *link = it->link;
    struct key key;

    ensure(map_remove(&fetchers->by_name, key_of(&key, followed_topic(it), it->partition)) == it);
    list_remove(&it->node);
    link->count--;
    gauge_add(&fetchers->counts.partitions, -1);
    if (it->machine.state == FETCHER_FAILED) gauge_add(&fetchers->counts.failed, -1);
    if (it->is_in_session && !link->is_closing)
        list_push(&link->forgotten, &it->node);
    else
        free(it);
    link_wake(link);
}

void fetchers_follow(struct fetchers *fetchers, struct slice topic, int32_t partition,
                     int32_t leader, int32_t leader_epoch)
{
    struct followed *it = fetchers_find(fetchers, topic, partition);
    struct key key;

    if (it != NULL) unfollow(it);
    if (leader < 0 || fetchers->is_closing) return;
    int index = link_index(fetchers, topic, partition);
    struct link *link = find_link(fetchers, leader, index);
    if (link == NULL) link = make_link(fetchers, leader, index);
    it = ensure_zalloc(sizeof(*it) + topic.len);
    it->link = link;
    it->lag = -1;
    it->partition = partition;
    it->topic_len = topic.len;
    memcpy(it->topic, topic.ptr, topic.len);
    fetcher_init(&it->machine, leader_epoch, fetchers_level(fetchers) >= LEVEL_2_7_IV1,
                 fetchers->options.settings.fetch_backoff_ms);
    map_set(&fetchers->by_name, key_of(&key, topic, partition), it);
    list_push(&link->followed, &it->node);
    link->count++;
    gauge_add(&fetchers->counts.partitions, 1);
    hurry(link);
    link_wake(link);
}

void fetchers_flushed(struct fetchers *fetchers, struct slice topic, int32_t partition)
{
    struct followed *it = fetchers_find(fetchers, topic, partition);

    if (it != NULL && !it->link->is_closing) link_wake(it->link);
}

void fetchers_image_changed(struct fetchers *fetchers)
{
    list_each (node, &fetchers->links)
        link_wake(list_entry(node, struct link, node));
}

/* ---- life ---- */

struct fetchers *fetchers_create(const struct fetchers_options *options)
{
    struct fetchers *fetchers = ensure_zalloc(sizeof(*fetchers));

    fetchers->shard = options->shard;
    fetchers->options = *options;
    ensure(options->shards > 0);
    map_init(&fetchers->by_name);
    list_init(&fetchers->links);
    return fetchers;
}

/* Over the link that it belongs to now, from the beginning: its log says where it was. One that has
 * failed does not fetch, wherever it stands. */
static void spread(struct followed *it)
{
    struct fetchers *fetchers = it->link->of;
    int32_t partition = it->partition, leader = it->link->broker;
    int32_t leader_epoch = it->machine.leader_epoch;
    char topic[256];

    if (it->machine.state == FETCHER_FAILED ||
        link_index(fetchers, followed_topic(it), partition) == it->link->index)
        return;
    size_t len = it->topic_len;
    ensure(len <= sizeof(topic));
    memcpy(topic, it->topic, len);
    fetchers_follow(fetchers, slice_of(topic, len), partition, leader, leader_epoch);
}

void fetchers_set_settings(struct fetchers *fetchers, const struct replica_settings *settings)
{
    int shards = fetchers->options.shards;
    bool is_other = fetchers_links(settings->fetchers, shards) !=
                    fetchers_links(fetchers->options.settings.fetchers, shards);

    fetchers->options.settings = *settings;
    if (!is_other || fetchers->is_closing) return;
    list_each (node, &fetchers->links) {
        struct link *link = list_entry(node, struct link, node);
        list_each (each, &link->followed)
            spread(list_entry(each, struct followed, node));
    }
}

void fetchers_close(struct fetchers *fetchers, void (*closed)(void *to), void *to)
{
    fetchers->is_closing = true;
    fetchers->closed = closed;
    fetchers->closed_to = to;
    map_each (entry, &fetchers->by_name)
        unfollow(entry->value);
    if (list_is_empty(&fetchers->links)) {
        closed(to);
        return;
    }
    list_each (node, &fetchers->links) {
        struct link *link = list_entry(node, struct link, node);
        if (!link->is_closing) close_link(link);
    }
}

void fetchers_destroy(struct fetchers **fetchers)
{
    struct fetchers *it = *fetchers;

    if (it == NULL) return;
    ensure(list_is_empty(&it->links));
    map_fini(&it->by_name);
    free(it);
    *fetchers = NULL;
}

struct fetchers_counts *fetchers_counts(struct fetchers *fetchers)
{
    return &fetchers->counts;
}
