/* controller/channel.c - see channel.h. */
#include "controller/channel.h"
#include "base/ensure.h"
#include "base/log.h"
#include "client/peer.h"
#include "controller/outbox.h"
#include "wire/protocol.h"
#include <stdio.h>
#include <stdlib.h>

#define RETRY_MS 100

/* A batch lives until the last of its requests is answered: answers are read against it. */
struct shared {
    struct control_batch *batch;
    int32_t holders;
};

struct order {
    struct list_node node;
    struct shared *shared;
    const struct control *control;
    int version;
    struct buf body;
};

struct channel {
    struct channels *channels;
    int32_t broker;
    struct peer *peer;
    struct list orders; /* the first is under way or waits for its next attempt */
    struct peer_call call;
    bool is_calling;
    struct timer retry;
    size_t bytes; /* of the orders */
    struct post full;
};

struct channels {
    struct channels_options options;
    struct map by_broker;
    int32_t queued;
    /* Where the next channel's correlation ids begin: above those of all that were closed. A broker
     * takes an order for late that comes behind a higher one of our epoch (control_is_late), and
     * one that was given up for dead and is heard again gets a second channel under the same
     * epochs. */
    int32_t correlation;
};

struct channels *channels_create(const struct channels_options *options)
{
    struct channels *channels = ensure_zalloc(sizeof(*channels));

    channels->options = *options;
    map_init(&channels->by_broker);
    return channels;
}

static void drop_order(struct channel *channel, struct order *order)
{
    struct channels *channels = channel->channels;

    list_remove(&order->node);
    channel->bytes -= order->body.len;
    if (--order->shared->holders == 0) {
        outbox_batch_destroy(&order->shared->batch);
        free(order->shared);
    }
    buf_fini(&order->body);
    free(order);
    channels->queued--;
}

static void channel_freed(void *owner)
{
    free(owner);
}

static void destroy_channel(struct channel *channel)
{
    struct channels *channels = channel->channels;
    struct shard *shard = channels->options.shard;
    int32_t next = peer_correlation(channel->peer);
    uint32_t ahead = ((uint32_t)next - (uint32_t)channels->correlation) & INT32_MAX;

    if (ahead < UINT32_C(1) << 30) channels->correlation = next; /* they begin again some day */
    timer_cancel(shard, &channel->retry);
    while (!list_is_empty(&channel->orders))
        drop_order(channel, list_entry(list_first(&channel->orders), struct order, node));
    shard_unpost(&channel->full);
    /* The call that is under way ends with the peer; what it points to must live until then. */
    channel->channels = NULL;
    peer_close(&channel->peer, channel_freed);
}

void channels_close(struct channels *channels, int32_t broker)
{
    struct channel *channel = map_remove(&channels->by_broker, map_int(&broker));

    if (channel != NULL) destroy_channel(channel);
}

void channels_close_all(struct channels *channels)
{
    for (struct map_entry *entry; (entry = map_first(&channels->by_broker)) != NULL;)
        channels_close(channels, ((struct channel *)entry->value)->broker);
}

void channels_destroy(struct channels **channels)
{
    if (*channels == NULL) return;
    channels_close_all(*channels);
    map_fini(&(*channels)->by_broker);
    free(*channels);
    *channels = NULL;
}

int32_t channels_queued(const struct channels *channels)
{
    return channels->queued;
}

static void send_first(struct channel *channel);
static void tell_full(struct post *post);

static void retry_fired(struct timer *timer)
{
    send_first(list_entry(timer, struct channel, retry));
}

static void write_body(struct peer_call *call, int version, struct buf *body)
{
    struct channel *channel = list_entry(call, struct channel, call);
    struct list_node *first = list_first(&channel->orders);

    (void)version;
    if (first != NULL) buf_add_slice(body, buf_slice(&list_entry(first, struct order, node)->body));
}

static void take_answer(struct channel *channel, struct order *order, struct slice answer)
{
    struct channels *channels = channel->channels;
    enum err err;
    int16_t error;
    struct event *event = encode_read_answer(order->control, order->version, answer, &err, &error);

    if (err != ERR_OK)
        log_warn("controller", "control-answer-unreadable", "broker=%d request=%s error=%s",
                 channel->broker, api_info_name(encode_api(order->control->kind)), err_name(err));
    else if (error != KAFKA_NONE)
        log_info("controller", "control-refused", "broker=%d request=%s error=%s", channel->broker,
                 api_info_name(encode_api(order->control->kind)), kafka_error_name(error));
    drop_order(channel, order);
    send_first(channel);
    if (event != NULL) channels->options.event(channels->options.owner, &event);
}

static void call_done(struct peer_call *call, enum err err, struct slice answer,
                      struct block *block)
{
    struct channel *channel = list_entry(call, struct channel, call);

    (void)block;
    channel->is_calling = false;
    if (channel->channels == NULL) /* closed meanwhile */
        return;
    struct order *order = list_entry(list_first(&channel->orders), struct order, node);
    if (err == ERR_OK) {
        take_answer(channel, order, answer);
        return;
    }
    log_debug("controller", "control-unanswered", "broker=%d request=%s error=%s", channel->broker,
              api_info_name(encode_api(order->control->kind)), err_name(err));
    struct shard *shard = channel->channels->options.shard;
    timer_arm(shard, &channel->retry, instant_add_ms(shard_now(shard), RETRY_MS));
}

static void send_first(struct channel *channel)
{
    struct list_node *first = list_first(&channel->orders);

    if (first == NULL || channel->is_calling) return;
    struct order *order = list_entry(first, struct order, node);
    channel->call = (struct peer_call){
        .api_key = encode_api(order->control->kind),
        .version_min = (int16_t)order->version,
        .version_max = (int16_t)order->version,
        .write = write_body,
        .done = call_done,
    };
    channel->is_calling = true;
    peer_send(channel->peer, &channel->call);
}

void channels_open(struct channels *channels, int32_t broker, const struct net_address *address)
{
    char client_id[16];

    channels_close(channels, broker);
    struct channel *channel = ensure_zalloc(sizeof(*channel));
    channel->channels = channels;
    channel->broker = broker;
    channel->retry.fire = retry_fired;
    channel->full.run = tell_full;
    list_init(&channel->orders);
    snprintf(client_id, sizeof(client_id), "%d", channels->options.controller_id);
    struct peer_options options = {
        .address = *address,
        .socket = {.receive_buffer_bytes = -1, .send_buffer_bytes = -1},
        .client_id = client_id,
        .limits = channels->options.limits,
        .in_flight_max = 1,
        .waiting_max = 1,
        .request_timeout_ms = channels->options.request_timeout_ms,
        .connect_timeout_ms = channels->options.connect_timeout_ms,
        .backoff_ms = RETRY_MS,
        .backoff_ms_max = RETRY_MS,
        .correlation = channels->correlation,
        .owner = channel,
    };
    channel->peer = peer_open(channels->options.shard, &options);
    (void)map_set(&channels->by_broker, map_int(&broker), channel);
}

static void tell_full(struct post *post)
{
    struct channel *channel = list_entry(post, struct channel, full);
    const struct channels_options *options = &channel->channels->options;

    options->full(options->owner, channel->broker);
}

/* All but what is under way, and what nobody would say again. */
static void drop_waiting(struct channel *channel)
{
    int dropped = 0;

    list_each (node, &channel->orders) {
        struct order *order = list_entry(node, struct order, node);
        if (node == list_first(&channel->orders) || order->control->kind == CONTROL_STOP_REPLICA)
            continue;
        drop_order(channel, order);
        dropped++;
    }
    if (dropped == 0) return;
    log_warn("controller", "control-queue-full", "broker=%d dropped=%d", channel->broker, dropped);
    shard_post(channel->channels->options.shard, &channel->full);
}

static void queue(struct channel *channel, struct shared *shared, const struct control *control,
                  bool is_delete)
{
    struct channels *channels = channel->channels;
    struct order *order = ensure_zalloc(sizeof(*order));

    order->shared = shared;
    shared->holders++;
    order->control = control;
    order->version = encode_version(&channels->options.versions, control->kind);
    encode_request(&order->body, control, order->version, channels->options.controller_id,
                   is_delete);
    list_push(&channel->orders, &order->node);
    channel->bytes += order->body.len;
    channels->queued++;
    send_first(channel);
    if (channel->bytes > channels->options.queue_bytes_max) drop_waiting(channel);
}

static bool has_items(const struct control *control, bool is_delete)
{
    for (int32_t i = 0; i < control->count; i++)
        if (control->items[i].is_delete == is_delete) return true;
    return false;
}

void channels_send(struct channels *channels, struct control_batch **batch)
{
    struct shared *shared = ensure_zalloc(sizeof(*shared));

    shared->batch = *batch;
    *batch = NULL;
    shared->holders = 1; /* ours, while we queue */
    for (int32_t i = 0; i < shared->batch->count; i++) {
        const struct control *control = &shared->batch->at[i];
        struct channel *channel = map_get(&channels->by_broker, map_int(&control->broker));
        int version = encode_version(&channels->options.versions, control->kind);

        if (channel == NULL) continue;
        if (!encode_is_split(control, version)) {
            queue(channel, shared, control, false);
            continue;
        }
        if (has_items(control, true)) queue(channel, shared, control, true);
        if (has_items(control, false)) queue(channel, shared, control, false);
    }
    if (--shared->holders == 0) {
        outbox_batch_destroy(&shared->batch);
        free(shared);
    }
}
