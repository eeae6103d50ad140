/* broker/api/control.h - what the controller tells this broker: LeaderAndIsr, StopReplica,
 * UpdateMetadata. On the control shard.
 *
 * It keeps the newest metadata image and the highest controller epoch seen. Requests are carried
 * out one after the other, each answered when all shards have done their part: so what a controller
 * sent later never overtakes what it sent before. Rules: controller.md §20. */
#pragma once
#include "broker/api/dispatch.h"

struct control;
struct autocreate;
struct topic_configs;
struct store;
struct image;

struct control *control_create(struct api_shard *api);
/* Sets to NULL; NULL is fine. Requests that wait end without answer: their connections are gone. */
void control_destroy(struct control **control);
/* The end: requests that wait, and those that still come, lose their connections; `stopped` is
 * called, perhaps inside, when the one under way is done. Watchers are told: no image comes any
 * more. */
void control_stop(struct control *control, void (*stopped)(void *to), void *to);
bool control_is_stopping(const struct control *control);

/* For other requests that move what the controller's requests are about: carried out in turn with
 * those. `handle` of the API is control_enqueue; control_done when it has been answered. */
void control_enqueue(struct request *request);
void control_done(struct control *control);

/* The logs; before the first request. */
void control_set_store(struct control *control, struct store *store);
/* The id of a controller that is a process of its own: no live broker, though UpdateMetadata may
 * list it for Apache's sake. −1: none. */
void control_set_controller_process(struct control *control, int32_t id);

/* Logs could not be made for want of room or of descriptors. That passes, but the controller does
 * not ask again by itself: the owner has it do so (a log directory event) and then forgets it. */
bool control_lacks_logs(const struct control *control);
void control_forget_lack(struct control *control);

/* Whether a replica that stands back (partitions.h) could lead or follow if it were told again: its
 * topic allows unclean elections now, or another broker leads. A log directory event makes the
 * controller tell it; after one the owner asks again only when it has had time to work. */
bool control_may_return(const struct control *control);

struct image *control_image(const struct control *control);
struct store *control_store(const struct control *control);
struct autocreate *control_autocreate(const struct control *control);
struct topic_configs *control_topic_configs(const struct control *control);
int32_t control_epoch(const struct control *control);

/* Told after each change of the image, and when there will be none any more (control_is_stopping),
 * until removed. May be removed inside `changed`. */
struct image_watcher {
    struct list_node node;
    void (*changed)(struct image_watcher *watcher);
};
void control_watch(struct control *control, struct image_watcher *watcher);

/* The last request that was heard on a controller's channel to this registration of the broker. */
struct control_heard {
    int32_t controller_epoch;
    int64_t broker_epoch;
    int32_t correlation_id;
};
/* A request that its controller has sent again since, or has gone on behind: what it left on an
 * earlier connection. Correlation ids go up over all connections of one channel, Apache's too; one
 * below the last is late. Notes the request where it is not. Without a broker epoch (−1) nothing is
 * known of it. Pure. */
bool control_is_late(struct control_heard *last, int32_t controller_epoch, int64_t broker_epoch,
                     int32_t correlation_id);

/* Kafka's code for a request of these epochs, or 0. `*seen` is raised. Pure. */
int16_t control_check_epochs(int64_t own_broker_epoch, int64_t broker_epoch, int32_t *seen,
                             int32_t controller_epoch);
