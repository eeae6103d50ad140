/* controller/admin_metadata.c - Metadata at the controller's listener.
 *
 * In a cluster with Apache brokers the active controller is told of as a broker
 * (controller.in.live.brokers), so their clients may turn to it with what any broker can be asked.
 * It leads nothing and creates nothing here: topics are told as they are. One that is not active
 * knows no broker; clients take an answer without brokers for none and ask elsewhere. */
#include "base/text.h"
#include "controller/asked.h"
#include "wire/gen/metadata.h"

#define VERSION_LISTENER_ERROR 6  /* LISTENER_NOT_FOUND is known */
#define VERSION_EXPLICIT_ALL   1  /* null is all topics; before, empty was */
#define VERSION_TOPIC_IDS      12 /* a topic may be asked for by id */

struct telling {
    struct asked *asked;
    const struct context *context;
    struct ids alive;
    const char *listener;
};

static bool is_reachable(const struct telling *t, int32_t broker)
{
    const struct broker *known = context_broker(t->context, broker);

    return known != NULL && broker_endpoint(known, t->listener) != NULL;
}

static void fill_partition(const struct telling *t, const struct partition *partition,
                           struct metadata_response_topic_partition *out)
{
    const struct ids *replicas = &partition->replicas, *isr = &partition->now.isr;
    bool is_led = partition->has_leadership && ids_have(&t->alive, partition->now.leader);
    size_t room = (size_t)(replicas->count + 1) * sizeof(int32_t);

    out->partition_index = partition->id;
    out->leader_id = is_led ? partition->now.leader : -1;
    out->leader_epoch = partition->has_leadership ? partition->now.leader_epoch : -1;
    out->replica_nodes.at = replicas->at;
    out->replica_nodes.count = replicas->count;
    out->isr_nodes.at = isr->at;
    out->isr_nodes.count = partition->has_leadership ? isr->count : 0;
    out->offline_replicas.at = asked_alloc(t->asked, room);
    out->offline_replicas.count = 0;
    for (int32_t i = 0; i < replicas->count; i++)
        if (!ids_have(&t->alive, replicas->at[i]))
            out->offline_replicas.at[out->offline_replicas.count++] = replicas->at[i];
    if (!is_led) {
        out->error_code = KAFKA_LEADER_NOT_AVAILABLE;
    } else if (!is_reachable(t, out->leader_id)) {
        out->leader_id = -1;
        out->error_code = t->asked->head.api_version >= VERSION_LISTENER_ERROR
                              ? KAFKA_LISTENER_NOT_FOUND
                              : KAFKA_LEADER_NOT_AVAILABLE;
    }
}

static void fill_topic(const struct telling *t, const struct topic *topic,
                       struct metadata_response_topic *out)
{
    out->name = slice_text(topic->name);
    out->topic_id = topic->id;
    out->is_internal = topic_is_internal(out->name);
    out->partitions.at =
        asked_alloc(t->asked, (size_t)(topic->count + 1) * sizeof(*out->partitions.at));
    out->partitions.count = topic->count;
    for (int32_t i = 0; i < topic->count; i++)
        fill_partition(t, topic->partitions[i], &out->partitions.at[i]);
    out->topic_authorized_operations = INT32_MIN;
}

static void fill_missing(struct metadata_response_topic *out, struct slice name, struct uuid id,
                         int16_t code)
{
    out->error_code = code;
    out->name = name;
    out->topic_id = id;
    out->topic_authorized_operations = INT32_MIN;
}

static void fill_asked(const struct telling *t, const struct metadata_request_topic *in,
                       struct metadata_response_topic *out)
{
    bool is_by_id = !uuid_is_zero(in->topic_id);
    bool is_early = t->asked->head.api_version < VERSION_TOPIC_IDS;
    const struct topic *topic = NULL;

    if (is_early && (is_by_id || slice_is_null(in->name))) {
        struct slice name = slice_is_null(in->name) ? SLICE("") : in->name;
        fill_missing(out, name, in->topic_id, KAFKA_INVALID_REQUEST);
        return;
    }
    if (is_by_id)
        topic = context_topic_by_id(t->context, in->topic_id);
    else if (!slice_is_null(in->name))
        topic = context_topic(t->context, in->name);
    if (topic != NULL)
        fill_topic(t, topic, out);
    else if (is_by_id)
        fill_missing(out, SLICE_NULL, in->topic_id, KAFKA_UNKNOWN_TOPIC_ID);
    else
        fill_missing(out, in->name, in->topic_id,
                     text_is_topic_name(in->name) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                                  : KAFKA_INVALID_TOPIC_EXCEPTION);
}

static struct slice uuid_slice(const struct uuid *id)
{
    return (struct slice){(const uint8_t *)id, sizeof(*id)};
}

/* A topic is told once however often it is asked for: an answer is no larger than the cluster. */
static bool is_told(struct map *told, struct slice key)
{
    return !slice_is_null(key) && map_set(told, key, told) != NULL;
}

static void fill_topics(const struct telling *t, const struct metadata_request *request,
                        struct metadata_response *out)
{
    bool is_all = t->asked->head.api_version < VERSION_EXPLICIT_ALL ? request->topics.count <= 0
                                                                    : request->topics.count < 0;
    size_t count = is_all ? t->context->topics.count : (size_t)request->topics.count;

    out->topics.at = asked_alloc(t->asked, (count + 1) * sizeof(*out->topics.at));
    out->topics.count = 0;
    if (is_all) {
        context_each_topic(entry, topic, t->context)
            fill_topic(t, topic, &out->topics.at[out->topics.count++]);
        return;
    }
    struct map told;
    map_init(&told);
    for (size_t i = 0; i < count; i++) {
        const struct metadata_request_topic *in = &request->topics.at[i];
        if (is_told(&told, uuid_is_zero(in->topic_id) ? in->name : uuid_slice(&in->topic_id)))
            continue;
        fill_asked(t, in, &out->topics.at[out->topics.count++]);
    }
    map_fini(&told);
}

static void add_broker(struct metadata_response *out, int32_t id, const char *rack,
                       const struct control_endpoint *endpoint)
{
    out->brokers.at[out->brokers.count++] = (struct metadata_response_broker){
        .node_id = id,
        .host = slice_text(endpoint->host),
        .port = endpoint->port,
        .rack = slice_text(rack),
    };
}

/* As Apache brokers are told: the controller among them. */
static void fill_brokers(const struct telling *t, struct metadata_response *out)
{
    const struct controller *c = t->asked->controller;
    const struct context_config *config = &t->context->config;

    out->brokers.at =
        asked_alloc(t->asked, (size_t)(t->alive.count + 2) * sizeof(*out->brokers.at));
    out->brokers.count = 0;
    for (int32_t i = 0; i < t->alive.count; i++) {
        const struct broker *broker = context_broker(t->context, t->alive.at[i]);
        const struct control_endpoint *endpoint = broker_endpoint(broker, t->listener);
        if (endpoint != NULL) add_broker(out, broker->id, broker->rack, endpoint);
    }
    if (config->is_in_live_brokers && c->leader_id == config->id &&
        strcmp(t->listener, config->self.listener) == 0) {
        add_broker(out, config->id, NULL, &config->self);
        out->controller_id = config->id;
    }
}

void ask_metadata(struct asked *asked)
{
    struct controller *c = asked->controller;
    struct metadata_request request;
    struct metadata_response response;
    struct telling t = {.asked = asked, .context = &c->context};

    if (!asked_read(asked, &metadata_request_wire, &request)) return;
    wire_default(&metadata_response_wire, &response);
    t.listener = asked_listener(asked);
    context_alive(t.context, &t.alive);
    response.cluster_id = slice_text(c->cluster_id);
    fill_brokers(&t, &response);
    fill_topics(&t, &request, &response);
    ids_fini(&t.alive);
    asked_reply(asked, &metadata_response_wire, &response);
}
