#include "broker/api/leaders.h"
#include "cluster/image.h"
#include "cluster/listeners.h"

void leaders_init(struct leaders *leaders, struct arena *arena)
{
    *leaders = (struct leaders){.arena = arena};
}

static void add_node(struct leaders *leaders, const struct request *request, int32_t id)
{
    struct slice listener = request->at->process->listeners->at[request->listener].name;
    const struct image_broker *broker = image_broker(request->at->image, id);

    for (int i = 0; i < leaders->count; i++)
        if (leaders->at[i].id == id) return;
    const struct endpoint *endpoint = broker == NULL ? NULL : image_endpoint(broker, listener);
    if (endpoint == NULL) return;
    if (leaders->count == leaders->capacity) {
        int capacity = leaders->capacity == 0 ? 4 : leaders->capacity * 2;
        struct leader_node *at = arena_zalloc(leaders->arena, sizeof(*at) * (size_t)capacity);
        for (int i = 0; i < leaders->count; i++)
            at[i] = leaders->at[i];
        leaders->at = at;
        leaders->capacity = capacity;
    }
    /* Copied: the image is borrowed for the turn only, the reply may leave later. */
    leaders->at[leaders->count++] = (struct leader_node){
        .id = id,
        .host = arena_copy(leaders->arena, endpoint->host),
        .rack = arena_copy(leaders->arena, broker->rack),
        .port = endpoint->port,
    };
}

void leaders_hint(struct leaders *leaders, const struct request *request, struct slice topic,
                  int32_t partition, int32_t leader_here, int32_t epoch_here,
                  struct leader_hint *out)
{
    const struct image_topic *known = image_topic(request->at->image, topic);
    struct image_partition it;

    *out = (struct leader_hint){.leader = leader_here, .leader_epoch = epoch_here};
    if (known != NULL && image_topic_partition(known, partition, &it) &&
        it.leader_epoch > epoch_here)
        *out = (struct leader_hint){.leader = it.leader, .leader_epoch = it.leader_epoch};
    if (out->leader >= 0) add_node(leaders, request, out->leader);
}
