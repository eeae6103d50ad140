#include "broker/api/update.h"
#include "base/map.h"
#include "wire/gen/update_metadata.h"

#define VERSION_ENDPOINTS 1 /* before: one PLAINTEXT address */
#define VERSION_LISTENERS 3 /* before: a listener has the name of its protocol */

/* ---- brokers ---- */

static void fill_endpoints(const struct update_metadata_request_live_broker *from, int version,
                           struct arena *arena, struct image_broker *to)
{
    int count = version < VERSION_ENDPOINTS ? 1 : from->endpoints.count;
    if (count < 0) count = 0;
    struct endpoint *endpoints = arena_zalloc(arena, sizeof(*endpoints) * (size_t)(count + 1));

    for (int i = 0; i < count; i++) {
        if (version < VERSION_ENDPOINTS) {
            endpoints[i] = (struct endpoint){.listener = SLICE("PLAINTEXT"),
                                             .host = from->v0_host,
                                             .port = from->v0_port,
                                             .protocol = SECURITY_PLAINTEXT};
            continue;
        }
        enum security_protocol protocol =
            (enum security_protocol)from->endpoints.at[i].security_protocol;
        endpoints[i] = (struct endpoint){
            .listener = version < VERSION_LISTENERS ? slice_text(security_protocol_name(protocol))
                                                    : from->endpoints.at[i].listener,
            .host = from->endpoints.at[i].host,
            .port = from->endpoints.at[i].port,
            .protocol = protocol};
    }
    to->endpoints = endpoints;
    to->endpoint_count = count;
}

static void fill_brokers(const struct update_metadata_request *request, int version,
                         int32_t not_a_broker, struct arena *arena, struct image_change *out)
{
    int count = request->live_brokers.count < 0 ? 0 : request->live_brokers.count;
    struct image_broker *brokers = arena_zalloc(arena, sizeof(*brokers) * (size_t)(count + 1));
    struct map by_id;

    map_init(&by_id);
    out->brokers = brokers;
    out->has_brokers = true;
    for (int i = 0; i < count; i++) {
        const struct update_metadata_request_live_broker *from = &request->live_brokers.at[i];
        if (from->id == not_a_broker) continue;
        struct image_broker *to = map_get(&by_id, map_int(&from->id));
        if (to == NULL) {
            to = &brokers[out->broker_count++];
            map_set(&by_id, map_int(&from->id), to);
        }
        *to = (struct image_broker){.id = from->id, .epoch = -1, .rack = from->rack};
        fill_endpoints(from, version, arena, to);
    }
    map_fini(&by_id);
}

/* ---- topics ---- */

struct gathered {
    struct image_topic_change *change;
    struct image_partition *partitions; /* room for all of this topic */
    struct map by_number;
};

/* First pass: which topics there are and how many partitions of each are named. */
static struct gathered *gather(struct map *topics, struct slice name, struct uuid id, int count,
                               struct arena *arena, struct image_change *out,
                               struct image_topic_change *changes)
{
    struct gathered *topic = map_get(topics, name);

    if (topic == NULL) {
        topic = arena_zalloc(arena, sizeof(*topic));
        topic->change = &changes[out->topic_count++];
        topic->change->name = name;
        map_init(&topic->by_number);
        map_set(topics, name, topic);
    }
    topic->change->id = id;
    topic->change->partition_count += count;
    return topic;
}

static void put_partition(struct gathered *topic,
                          const struct update_metadata_request_partition_state *from)
{
    struct image_partition *to = map_get(&topic->by_number, map_int(&from->partition_index));

    if (to == NULL) {
        to = &topic->partitions[topic->change->partition_count++];
        map_set(&topic->by_number, map_int(&from->partition_index), to);
    }
    *to = (struct image_partition){
        .partition = from->partition_index,
        .leader = from->leader,
        .leader_epoch = from->leader_epoch,
        .partition_epoch = from->zk_version,
        .controller_epoch = from->controller_epoch,
        .replicas = {from->replicas.at, from->replicas.count < 0 ? 0 : from->replicas.count},
        .isr = {from->isr.at, from->isr.count < 0 ? 0 : from->isr.count},
        .offline = {from->offline_replicas.at,
                    from->offline_replicas.count < 0 ? 0 : from->offline_replicas.count},
    };
}

static void fill_topics(const struct update_metadata_request *request, struct arena *arena,
                        struct image_change *out)
{
    int flat = request->ungrouped_partition_states.count, grouped = request->topic_states.count;
    struct map topics;

    if (flat < 0) flat = 0;
    if (grouped < 0) grouped = 0;
    struct image_topic_change *changes =
        arena_zalloc(arena, sizeof(*changes) * (size_t)(flat + grouped + 1));
    map_init(&topics);
    out->topics = changes;
    for (int i = 0; i < flat; i++)
        gather(&topics, request->ungrouped_partition_states.at[i].topic_name, UUID_ZERO, 1, arena,
               out, changes);
    for (int t = 0; t < grouped; t++) {
        int count = request->topic_states.at[t].partition_states.count;
        gather(&topics, request->topic_states.at[t].topic_name,
               request->topic_states.at[t].topic_id, count < 0 ? 0 : count, arena, out, changes);
    }

    map_each (entry, &topics) {
        struct gathered *topic = entry->value;
        topic->partitions = arena_zalloc(arena, sizeof(*topic->partitions) *
                                                    (size_t)(topic->change->partition_count + 1));
        topic->change->partitions = topic->partitions;
        topic->change->partition_count = 0;
    }
    for (int i = 0; i < flat; i++) {
        const struct update_metadata_request_partition_state *state =
            &request->ungrouped_partition_states.at[i];
        put_partition(map_get(&topics, state->topic_name), state);
    }
    for (int t = 0; t < grouped; t++) {
        const struct update_metadata_request_topic_state *from = &request->topic_states.at[t];
        struct gathered *topic = map_get(&topics, from->topic_name);
        for (int32_t p = 0; p < from->partition_states.count; p++)
            put_partition(topic, &from->partition_states.at[p]);
    }
    map_each (entry, &topics)
        map_fini(&((struct gathered *)entry->value)->by_number);
    map_fini(&topics);
}

void update_change(const struct update_metadata_request *request, int version, int32_t not_a_broker,
                   struct arena *arena, struct image_change *out)
{
    *out = (struct image_change){0};
    fill_brokers(request, version, not_a_broker, arena, out);
    fill_topics(request, arena, out);
    out->has_controller = true;
    out->controller_id = request->controller_id < 0 ? BROKER_NONE : request->controller_id;
}
