/* broker/api/orders.h - what the control shard has the data shards do: each hears it here.
 *
 * The control shard's side of each order is a call with `done`; the data shard's side is entered by
 * orders_listen. Orders to one shard are carried out in the order of the calls. */
#pragma once
#include "broker/api/dispatch.h"
#include "broker/log/config.h"
#include "broker/replica/partitions.h"

/* On a data shard, when its partitions exist. */
void orders_listen(struct api_shard *api, struct msg_routes *routes);
/* On the control shard. */
void orders_answers(struct api_shard *control, struct msg_routes *routes);

/* A shard's part of a LeaderAndIsr or StopReplica. The caller's until `done`; `call` is filled by
 * the caller but for its `done`. */
struct order_control {
    struct msg msg;
    struct api_shard *heard_by; /* of orders.c */
    struct replica_call call;
    void (*done)(struct order_control *order);
    void *owner;
};
void order_control(struct api_shard *control, int shard, struct order_control *order);

/* partitions_move on the shard that has the partition. The caller's until `done`; `move` is filled
 * by the caller but for its `done`. */
struct order_move {
    struct msg msg;
    struct api_shard *heard_by; /* of orders.c */
    struct replica_move move;
    void (*done)(struct order_move *order);
    void *owner;
};
void order_move(struct api_shard *control, struct order_move *order);

/* The next metadata image, to every data shard. Takes a hold of `image` for each, and releases each
 * shard's hold of the one before when the shard has let it go. `done` may be NULL. */
void order_image(struct api_shard *control, struct image *image, void (*done)(void *to), void *to);

/* What a topic's logs are told from now on, to every data shard. */
void order_config(struct api_shard *control, struct slice topic, const struct log_config *config,
                  int32_t min_insync, const struct topic_throttles *throttles);

/* Numbers that were changed at run time, to every data shard. */
void order_settings(struct api_shard *control, const struct replica_settings *settings);

/* Partitions of a topic have been deleted from the cluster, to every data shard. */
void order_gone(struct api_shard *control, struct slice topic, const int32_t *partitions,
                int count);

/* Small facts that every shard holds a copy of. */
void order_facts(struct api_shard *control);

/* A log directory has failed: its partitions answer so. */
void order_dir_failed(struct api_shard *control, struct log_dir *dir);

/* The controller is about to be asked to move this broker's leaderships: partitions_hand_over. */
void order_hand_over(struct api_shard *control);

/* The end of the data shards' part: `done` when every shard has answered. */
void order_stop_accepting(struct api_shard *control, void (*done)(void *to), void *to);
void order_close_partitions(struct api_shard *control, void (*done)(void *to), void *to);
void order_leave(struct api_shard *control, void (*done)(void *to), void *to);
/* `done` when every shard has turned, and heard what others had said to it until then. */
void order_settle(struct api_shard *control, void (*done)(void *to), void *to);
