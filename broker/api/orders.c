#include "broker/api/orders.h"
#include "broker/api/metadata.h"
#include "base/ensure.h"
#include "broker/group/groups.h"
#include "broker/replica/fetchers.h"
#include "cluster/image.h"
#include <stdlib.h>

/* ---- an order to every shard, and whom to tell when all have answered ---- */

struct broadcast {
    int waiting;
    void (*done)(void *to);
    void *to;
};

struct msg_order {
    struct msg msg;
    struct broadcast *broadcast;         /* the control shard's */
    struct api_shard *heard_by;          /* the data shard's, while it works on it */
    struct image *image;                 /* MSG_IMAGE: the new one there, the old one back */
    int64_t broker_epoch, feature_epoch; /* MSG_SHARD_STATE */
    struct slice cluster_id;
    struct log_dir *dir;      /* MSG_DIR_FAILED */
    struct log_config config; /* MSG_PARTITIONS_CONFIG, with the topic behind */
    int32_t min_insync;
    struct topic_throttles throttles; /* owned */
    struct replica_settings settings; /* MSG_SETTINGS */
    int32_t *gone;                    /* MSG_PARTITIONS_GONE, with the topic behind; owned */
    int gone_count;
    size_t topic_len;
    char topic[];
};

static void broadcast_answered(struct broadcast *broadcast)
{
    if (--broadcast->waiting > 0) return;
    if (broadcast->done != NULL) broadcast->done(broadcast->to);
    free(broadcast);
}

static struct broadcast *broadcast_start(struct api_shard *control, void (*done)(void *to),
                                         void *to)
{
    struct broadcast *broadcast = ensure_zalloc(sizeof(*broadcast));

    broadcast->waiting = control->process->shards;
    broadcast->done = done;
    broadcast->to = to;
    return broadcast;
}

static struct msg_order *order_new(enum msg_type type, struct broadcast *broadcast,
                                   struct slice topic)
{
    struct msg_order *order = ensure_zalloc(sizeof(*order) + topic.len);

    order->msg.type = (uint16_t)type;
    order->broadcast = broadcast;
    order->topic_len = topic.len;
    if (topic.len > 0) memcpy(order->topic, topic.ptr, topic.len);
    return order;
}

static void order_post(struct api_shard *control, int shard, struct msg_order *order)
{
    mailbox_call(control->shard->mailbox, (uint8_t)shard, &order->msg);
}

static void order_all(struct api_shard *control, enum msg_type type, void (*done)(void *to),
                      void *to)
{
    struct broadcast *broadcast = broadcast_start(control, done, to);

    for (int i = 0; i < control->process->shards; i++)
        order_post(control, i, order_new(type, broadcast, SLICE("")));
}

static void hear_answer(void *owner, struct msg *msg)
{
    struct msg_order *order = (struct msg_order *)(void *)msg;

    (void)owner;
    if (order->image != NULL) image_release(&order->image);
    topic_throttles_fini(&order->throttles);
    broadcast_answered(order->broadcast);
    free(order->gone);
    free(order);
}

/* ---- the control shard's side ---- */

void order_image(struct api_shard *control, struct image *image, void (*done)(void *to), void *to)
{
    struct broadcast *broadcast = broadcast_start(control, done, to);

    for (int i = 0; i < control->process->shards; i++) {
        struct msg_order *order = order_new(MSG_IMAGE, broadcast, SLICE(""));
        order->image = image_hold(image);
        order_post(control, i, order);
    }
}

void order_config(struct api_shard *control, struct slice topic, const struct log_config *config,
                  int32_t min_insync, const struct topic_throttles *throttles)
{
    struct broadcast *broadcast = broadcast_start(control, NULL, NULL);

    for (int i = 0; i < control->process->shards; i++) {
        struct msg_order *order = order_new(MSG_PARTITIONS_CONFIG, broadcast, topic);
        order->config = *config;
        order->min_insync = min_insync;
        topic_throttles_copy(throttles, &order->throttles);
        order_post(control, i, order);
    }
}

void order_settings(struct api_shard *control, const struct replica_settings *settings)
{
    struct broadcast *broadcast = broadcast_start(control, NULL, NULL);

    for (int i = 0; i < control->process->shards; i++) {
        struct msg_order *order = order_new(MSG_SETTINGS, broadcast, SLICE(""));
        order->settings = *settings;
        order_post(control, i, order);
    }
}

void order_gone(struct api_shard *control, struct slice topic, const int32_t *partitions, int count)
{
    struct broadcast *broadcast = broadcast_start(control, NULL, NULL);
    size_t bytes = sizeof(*partitions) * (size_t)count;

    for (int i = 0; i < control->process->shards; i++) {
        struct msg_order *order = order_new(MSG_PARTITIONS_GONE, broadcast, topic);
        order->gone = ensure_malloc(bytes + 1);
        memcpy(order->gone, partitions, bytes);
        order->gone_count = count;
        order_post(control, i, order);
    }
}

void order_facts(struct api_shard *control)
{
    struct broadcast *broadcast = broadcast_start(control, NULL, NULL);

    for (int i = 0; i < control->process->shards; i++) {
        struct msg_order *order = order_new(MSG_SHARD_STATE, broadcast, SLICE(""));
        order->broker_epoch = control->broker_epoch;
        order->feature_epoch = control->feature_epoch;
        order->cluster_id = control->cluster_id;
        order_post(control, i, order);
    }
}

void order_dir_failed(struct api_shard *control, struct log_dir *dir)
{
    struct broadcast *broadcast = broadcast_start(control, NULL, NULL);

    for (int i = 0; i < control->process->shards; i++) {
        struct msg_order *order = order_new(MSG_DIR_FAILED, broadcast, SLICE(""));
        order->dir = dir;
        order_post(control, i, order);
    }
}

void order_hand_over(struct api_shard *control)
{
    order_all(control, MSG_HAND_OVER, NULL, NULL);
}

void order_stop_accepting(struct api_shard *control, void (*done)(void *to), void *to)
{
    order_all(control, MSG_STOP_ACCEPTING, done, to);
}

void order_close_partitions(struct api_shard *control, void (*done)(void *to), void *to)
{
    order_all(control, MSG_PARTITIONS_CLOSE, done, to);
}

void order_leave(struct api_shard *control, void (*done)(void *to), void *to)
{
    order_all(control, MSG_LEAVE, done, to);
}

void order_settle(struct api_shard *control, void (*done)(void *to), void *to)
{
    order_all(control, MSG_SETTLE, done, to);
}

void order_control(struct api_shard *control, int shard, struct order_control *order)
{
    order->msg = (struct msg){.type = MSG_PARTITIONS_CONTROL};
    mailbox_call(control->shard->mailbox, (uint8_t)shard, &order->msg);
}

void order_move(struct api_shard *control, struct order_move *order)
{
    int shard = partition_shard(order->move.topic, order->move.partition, control->process->shards);

    order->msg = (struct msg){.type = MSG_PARTITION_MOVE};
    mailbox_call(control->shard->mailbox, (uint8_t)shard, &order->msg);
}

static void hear_move_answer(void *owner, struct msg *msg)
{
    struct order_move *order = (struct order_move *)(void *)msg;

    (void)owner;
    order->done(order);
}

static void hear_control_answer(void *owner, struct msg *msg)
{
    struct order_control *order = (struct order_control *)(void *)msg;

    (void)owner;
    order->done(order);
}

void orders_answers(struct api_shard *control, struct msg_routes *routes)
{
    messages_on_answer(routes, MSG_IMAGE, hear_answer, control);
    messages_on_answer(routes, MSG_SHARD_STATE, hear_answer, control);
    messages_on_answer(routes, MSG_PARTITIONS_CONFIG, hear_answer, control);
    messages_on_answer(routes, MSG_SETTINGS, hear_answer, control);
    messages_on_answer(routes, MSG_PARTITIONS_GONE, hear_answer, control);
    messages_on_answer(routes, MSG_DIR_FAILED, hear_answer, control);
    messages_on_answer(routes, MSG_HAND_OVER, hear_answer, control);
    messages_on_answer(routes, MSG_STOP_ACCEPTING, hear_answer, control);
    messages_on_answer(routes, MSG_PARTITIONS_CLOSE, hear_answer, control);
    messages_on_answer(routes, MSG_LEAVE, hear_answer, control);
    messages_on_answer(routes, MSG_SETTLE, hear_answer, control);
    messages_on_answer(routes, MSG_PARTITIONS_CONTROL, hear_control_answer, control);
    messages_on_answer(routes, MSG_PARTITION_MOVE, hear_move_answer, control);
}

/* ---- the data shard's side ---- */

static void hear_image(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_order *order = (struct msg_order *)(void *)msg;
    struct image *old = api->held_image;

    api->held_image = order->image;
    api->image = order->image;
    order->image = old;
    if (api->partitions != NULL) partitions_image_changed(api->partitions);
    if (api->fetchers != NULL) fetchers_image_changed(api->fetchers);
    metadata_image_changed(api);
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_facts(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_order *order = (struct msg_order *)(void *)msg;

    api->broker_epoch = order->broker_epoch;
    api->feature_epoch = order->feature_epoch;
    api->cluster_id = order->cluster_id;
    if (api->broker_epoch >= 0) api_registered(api);
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_config(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_order *order = (struct msg_order *)(void *)msg;

    partitions_configure(api->partitions, slice_of(order->topic, order->topic_len), &order->config,
                         order->min_insync, &order->throttles);
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_settings(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    const struct msg_order *order = (const struct msg_order *)(const void *)msg;

    partitions_set_settings(api->partitions, &order->settings);
    if (api->fetchers != NULL) fetchers_set_settings(api->fetchers, &order->settings);
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_hand_over(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;

    partitions_hand_over(api->partitions);
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_gone(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_order *order = (struct msg_order *)(void *)msg;

    if (api->groups != NULL)
        groups_partitions_gone(api->groups, slice_of(order->topic, order->topic_len), order->gone,
                               order->gone_count);
    if (api->partitions != NULL)
        partitions_topic_deleted(api->partitions, slice_of(order->topic, order->topic_len));
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_dir_failed(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;

    partitions_dir_failed(api->partitions, ((struct msg_order *)(void *)msg)->dir);
    mailbox_reply(api->shard->mailbox, msg);
}

static void on_control_done(struct replica_call *call)
{
    struct order_control *order =
        (struct order_control *)(void *)((char *)call - offsetof(struct order_control, call));

    mailbox_reply(order->heard_by->shard->mailbox, &order->msg);
}

static void hear_control(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct order_control *order = (struct order_control *)(void *)msg;

    order->heard_by = api;
    order->call.done = on_control_done;
    partitions_control(api->partitions, &order->call);
}

static void on_move_done(struct replica_move *move)
{
    struct order_move *order =
        (struct order_move *)(void *)((char *)move - offsetof(struct order_move, move));

    mailbox_reply(order->heard_by->shard->mailbox, &order->msg);
}

static void hear_move(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct order_move *order = (struct order_move *)(void *)msg;

    order->heard_by = api;
    order->move.done = on_move_done;
    partitions_move(api->partitions, &order->move);
}

static void on_partitions_closed(void *to)
{
    struct msg_order *order = to;

    mailbox_reply(order->heard_by->shard->mailbox, &order->msg);
}

static void on_fetchers_closed(void *to)
{
    struct msg_order *order = to;

    partitions_close(order->heard_by->partitions, on_partitions_closed, order);
}

static void hear_close(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_order *order = (struct msg_order *)(void *)msg;

    order->heard_by = api;
    fetchers_close(api->fetchers, on_fetchers_closed, order);
}

static void on_left(struct api_shard *api)
{
    struct msg *msg = api->leave_order;

    api->leave_order = NULL;
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_leave(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;

    api->leave_order = msg;
    metadata_release(api);
    /* Members wait for minutes: they are told to look for another coordinator. */
    if (api->groups != NULL) groups_stop(api->groups);
    api_leave(api, on_left);
}

static void hear_settle(void *owner, struct msg *msg)
{
    mailbox_reply(((struct api_shard *)owner)->shard->mailbox, msg);
}

void orders_listen(struct api_shard *api, struct msg_routes *routes)
{
    messages_on_call(routes, MSG_IMAGE, hear_image, api);
    messages_on_call(routes, MSG_SHARD_STATE, hear_facts, api);
    messages_on_call(routes, MSG_PARTITIONS_CONFIG, hear_config, api);
    messages_on_call(routes, MSG_SETTINGS, hear_settings, api);
    messages_on_call(routes, MSG_PARTITIONS_GONE, hear_gone, api);
    messages_on_call(routes, MSG_DIR_FAILED, hear_dir_failed, api);
    messages_on_call(routes, MSG_HAND_OVER, hear_hand_over, api);
    messages_on_call(routes, MSG_PARTITIONS_CONTROL, hear_control, api);
    messages_on_call(routes, MSG_PARTITION_MOVE, hear_move, api);
    messages_on_call(routes, MSG_PARTITIONS_CLOSE, hear_close, api);
    messages_on_call(routes, MSG_LEAVE, hear_leave, api);
    messages_on_call(routes, MSG_SETTLE, hear_settle, api);
}
