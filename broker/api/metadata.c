/* broker/api/metadata.c - what clients are told of the cluster: Metadata and DescribeCluster.
 *
 * Answered from the shard's own image, of the listener that the request came in by. A topic that is
 * to be created takes the request to the control shard; there the image is at least as new. What
 * waits for a new image, and why: metadata.h. */
#include "broker/api/metadata.h"
#include "broker/api/autocreate.h"
#include "broker/api/control.h"
#include "broker/api/table.h"
#include "broker/replica/fetchers.h"
#include "base/map.h"
#include "base/text.h"
#include "cluster/image.h"
#include "cluster/listeners.h"
#include "cluster/options.h"
#include "wire/gen/describe_cluster.h"
#include "wire/gen/metadata.h"
#include "wire/gen/protocol.h"

/* As OPERATIONS_TOPIC, of the cluster. */
#define OPERATIONS_CLUSTER                                                                         \
    8096 /* create, alter, describe, cluster action, …configs, idempotent write */

#define CREATED_MAX            500 /* by one request: no more are under way at a time */
#define RELEASED_MAX           8   /* of those that waited, in one turn */
#define DOUBT_MS               10
#define VERSION_LISTENER_ERROR 6  /* LISTENER_NOT_FOUND is known */
#define VERSION_EXPLICIT_ALL   1  /* null is all topics; before, empty was */
#define VERSION_TOPIC_IDS      12 /* a topic may be asked for by id */

/* What a topic that was to be created came to; in request->state while they are made. */
struct creation {
    struct request *request;
    int waiting;
    int16_t *codes; /* by index in the request: 0 where nothing was created */
};

static struct slice listener_of(const struct request *request)
{
    return request->at->process->listeners->at[request->listener].name;
}

static void *zalloc(struct request *request, int count, size_t size)
{
    return arena_zalloc(&request->arena, (size_t)(count == 0 ? 1 : count) * size);
}

/* ---- partitions and topics ---- */

/* Those that can be reached by the listener; the same array when none is missing. */
static struct broker_ids reachable(struct request *request, struct slice listener,
                                   struct broker_ids ids)
{
    const struct image *image = request->at->image;
    int32_t *at = zalloc(request, ids.count, sizeof(*at));
    int32_t count = 0;

    for (int i = 0; i < ids.count; i++) {
        const struct image_broker *broker = image_broker(image, ids.at[i]);
        if (broker != NULL && image_endpoint(broker, listener) != NULL) at[count++] = ids.at[i];
    }
    return (struct broker_ids){at, count};
}

#define SET_IDS(field, ids)                                                                        \
    do {                                                                                           \
        (field).at = (int32_t *)(uintptr_t)(ids).at;                                               \
        (field).count = (ids).count;                                                               \
    } while (0)

static void fill_partition(struct request *request, struct slice listener,
                           const struct image_partition *partition,
                           struct metadata_response_topic_partition *out)
{
    const struct image_broker *leader = image_broker(request->at->image, partition->leader);
    struct broker_ids replicas = partition->replicas, isr = partition->isr;

    out->partition_index = partition->partition;
    out->leader_epoch = partition->leader_epoch;
    out->leader_id = partition->leader;
    if (request->version == 0) {
        /* The first clients took every id that they saw for one that they could connect to. */
        replicas = reachable(request, listener, replicas);
        isr = reachable(request, listener, isr);
    }
    if (leader == NULL || (request->at->fetchers != NULL &&
                           fetchers_has_lost(request->at->fetchers, partition->leader))) {
        out->error_code = KAFKA_LEADER_NOT_AVAILABLE;
        out->leader_id = LEADER_NONE;
    } else if (image_endpoint(leader, listener) == NULL) {
        out->error_code = request->version >= VERSION_LISTENER_ERROR ? KAFKA_LISTENER_NOT_FOUND
                                                                     : KAFKA_LEADER_NOT_AVAILABLE;
        out->leader_id = LEADER_NONE;
    } else if (replicas.count < partition->replicas.count || isr.count < partition->isr.count) {
        out->error_code = KAFKA_REPLICA_NOT_AVAILABLE;
    }
    SET_IDS(out->replica_nodes, replicas);
    SET_IDS(out->isr_nodes, isr);
    SET_IDS(out->offline_replicas, partition->offline);
}

static void fill_topic(struct request *request, struct slice listener,
                       const struct image_topic *topic, struct metadata_response_topic *out)
{
    const struct metadata_request *in = request->body;
    int count = image_topic_partition_count(topic);

    out->name = image_topic_name(topic);
    out->topic_id = image_topic_id(topic);
    out->is_internal = topic_is_internal(out->name);
    out->partitions.at = zalloc(request, count, sizeof(*out->partitions.at));
    out->partitions.count = count;
    for (int i = 0; i < count; i++) {
        struct image_partition partition = image_topic_partition_at(topic, i);
        fill_partition(request, listener, &partition, &out->partitions.at[i]);
    }
    out->topic_authorized_operations =
        in->include_topic_authorized_operations ? OPERATIONS_TOPIC : INT32_MIN;
}

static void fill_error(struct metadata_response_topic *out, struct slice name, struct uuid id,
                       int16_t code)
{
    out->error_code = code;
    out->name = name;
    out->topic_id = id;
    out->is_internal = topic_is_internal(name);
    out->partitions.count = 0;
    out->topic_authorized_operations = INT32_MIN;
}

static bool asks_for_all(const struct request *request)
{
    const struct metadata_request *in = request->body;

    return request->version < VERSION_EXPLICIT_ALL ? in->topics.count <= 0 : in->topics.count < 0;
}

/* Ids and nulls came into the request before anyone could answer them. */
static bool asks_too_early(const struct request *request)
{
    const struct metadata_request *in = request->body;

    for (int32_t i = 0; request->version < VERSION_TOPIC_IDS && i < in->topics.count; i++)
        if (slice_is_null(in->topics.at[i].name) || !uuid_is_zero(in->topics.at[i].topic_id))
            return true;
    return false;
}

static bool asks_by_id(const struct metadata_request *in)
{
    for (int32_t i = 0; i < in->topics.count; i++)
        if (!uuid_is_zero(in->topics.at[i].topic_id)) return true;
    return false;
}

/* ---- the answer ---- */

static void fill_brokers(struct request *request, struct slice listener,
                         struct metadata_response *out)
{
    const struct image *image = request->at->image;
    int count = image_broker_count(image);

    out->brokers.at = zalloc(request, count, sizeof(*out->brokers.at));
    out->brokers.count = 0;
    for (int i = 0; i < count; i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        const struct endpoint *endpoint = image_endpoint(broker, listener);
        if (endpoint == NULL) continue;
        out->brokers.at[out->brokers.count++] =
            (struct metadata_response_broker){.node_id = broker->id,
                                              .host = endpoint->host,
                                              .port = endpoint->port,
                                              .rack = broker->rack};
    }
}

/* Who is named as controller: this broker, which passes on what is for the controller, so that
 * clients need to know nothing of controller processes. */
static int32_t named_controller(const struct request *request)
{
    int32_t self = request->at->process->broker_id;
    const struct image_broker *broker = image_broker(request->at->image, self);

    return broker != NULL && image_endpoint(broker, listener_of(request)) != NULL ? self
                                                                                  : BROKER_NONE;
}

static void fill_all_topics(struct request *request, struct slice listener,
                            struct metadata_response *out)
{
    const struct image *image = request->at->image;
    int count = image_topic_count(image);

    out->topics.at = zalloc(request, count, sizeof(*out->topics.at));
    out->topics.count = count;
    for (int i = 0; i < count; i++)
        fill_topic(request, listener, image_topic_at(image, i), &out->topics.at[i]);
}

/* True the first time. What is named again is not answered again, as Kafka does: an answer is a
 * thousand times as long as the name that asks for it. */
static bool is_news(struct map *seen, const struct metadata_request_topic *topic, bool by_id)
{
    struct slice key =
        by_id ? slice_of(topic->topic_id.bytes, sizeof(topic->topic_id.bytes))
              : slice_of(slice_is_null(topic->name) ? (const void *)"" : topic->name.ptr,
                         topic->name.len);

    return map_set(seen, key, seen) == NULL;
}

static void fill_asked_topics(struct request *request, struct slice listener,
                              const struct creation *creation, struct metadata_response *out)
{
    const struct metadata_request *in = request->body;
    const struct image *image = request->at->image;
    bool by_id = asks_by_id(in), too_early = asks_too_early(request);
    struct map seen;

    map_init(&seen);
    out->topics.at = zalloc(request, in->topics.count, sizeof(*out->topics.at));
    out->topics.count = 0;
    for (int32_t i = 0; i < in->topics.count; i++) {
        struct slice name = in->topics.at[i].name;
        struct uuid id = in->topics.at[i].topic_id;
        if (by_id && uuid_is_zero(id) && !too_early) continue;
        if (!too_early && !is_news(&seen, &in->topics.at[i], by_id)) continue;
        struct metadata_response_topic *topic = &out->topics.at[out->topics.count++];
        if (too_early) {
            fill_error(topic, slice_is_null(name) ? SLICE("") : name, id, KAFKA_INVALID_REQUEST);
            continue;
        }
        const struct image_topic *known =
            by_id ? image_topic_by_id(image, id) : image_topic(image, name);
        if (known != NULL)
            fill_topic(request, listener, known, topic);
        else if (by_id)
            fill_error(topic, SLICE_NULL, id, KAFKA_UNKNOWN_TOPIC_ID);
        else if (!text_is_topic_name(name))
            fill_error(topic, name, UUID_ZERO, KAFKA_INVALID_TOPIC_EXCEPTION);
        else if (creation != NULL && creation->codes[i] != 0)
            fill_error(topic, name, UUID_ZERO, creation->codes[i]);
        else /* one that has just started knows of none: a producer would give its records up */
            fill_error(topic, name, UUID_ZERO,
                       image_broker_count(image) == 0 ? KAFKA_LEADER_NOT_AVAILABLE
                                                      : KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    }
    map_fini(&seen);
}

static void answer(struct request *request, const struct creation *creation)
{
    const struct metadata_request *in = request->body;
    struct slice listener = listener_of(request);
    struct metadata_response out;

    wire_default(&metadata_response_wire, &out);
    fill_brokers(request, listener, &out);
    out.cluster_id = request->at->cluster_id;
    out.controller_id = named_controller(request);
    if (asks_for_all(request))
        fill_all_topics(request, listener, &out);
    else
        fill_asked_topics(request, listener, creation, &out);
    if (in->include_cluster_authorized_operations)
        out.cluster_authorized_operations = OPERATIONS_CLUSTER;
    request_reply(request, &out);
}

/* ---- waiting for the controller's word ---- */

/* In request->state of one that waits. */
struct hold {
    struct instant until;
};

/* Until when the loss of a leader keeps this topic's answer; INSTANT_ZERO: it does not. */
static struct instant topic_wait(const struct api_shard *api, const struct image_topic *topic)
{
    struct instant until = INSTANT_ZERO;
    int32_t before = BROKER_NONE;

    for (int i = 0; i < image_topic_partition_count(topic); i++) {
        int32_t leader = image_topic_partition_at(topic, i).leader;
        if (leader < 0 || leader == before) continue;
        before = leader;
        if (image_broker(api->image, leader) != NULL)
            until = instant_max(until, fetchers_lost_until(api->fetchers, leader));
    }
    return until;
}

static struct instant request_wait(const struct request *request)
{
    const struct metadata_request *in = request->body;
    const struct api_shard *api = request->at;
    struct instant until = INSTANT_ZERO;

    if (api->fetchers == NULL || api->is_leaving || !fetchers_has_lost_any(api->fetchers) ||
        conn_limits_are_reached(&api->limits))
        return INSTANT_ZERO;
    if (asks_for_all(request)) {
        for (int i = 0; i < image_topic_count(api->image); i++)
            until = instant_max(until, topic_wait(api, image_topic_at(api->image, i)));
        return until;
    }
    bool by_id = asks_by_id(in);
    for (int32_t i = 0; i < in->topics.count; i++) {
        const struct image_topic *topic =
            by_id ? image_topic_by_id(api->image, in->topics.at[i].topic_id)
                  : image_topic(api->image, in->topics.at[i].name);
        if (topic != NULL) until = instant_max(until, topic_wait(api, topic));
    }
    return until;
}

/* Until when the image is about to be replaced; INSTANT_ZERO: it is not. */
static struct instant image_wait(const struct api_shard *api)
{
    const _Atomic int64_t *awaited_ns = api->process->image_awaited_ns;
    struct instant until = {awaited_ns == NULL ? 0 : atomic_load(awaited_ns)};

    if (api->is_leaving || conn_limits_are_reached(&api->limits) ||
        instant_reached(shard_now(api->shard), until))
        return INSTANT_ZERO;
    return until;
}

/* Who has been working here and asks is likely to have lost somebody; where that is a leader, we
 * are about to notice too. */
static struct instant doubt(const struct request *request)
{
    struct api_shard *api = request->at;
    struct instant until = instant_add_ms(request->arrived, DOUBT_MS);

    if (api->fetchers == NULL || api->is_leaving || !request->client->is_working ||
        instant_reached(shard_now(api->shard), until))
        return INSTANT_ZERO;
    return until;
}

static void on_release(struct timer *timer);

/* The next few that are looked at, or else the first whose time ends. */
static void arm_release(struct api_shard *api)
{
    struct instant at = INSTANT_NEVER;

    if (!list_is_empty(&api->looked_at)) at = shard_now(api->shard);
    list_each (node, &api->held) {
        const struct hold *hold = list_entry(node, struct request, node)->state;
        at = instant_min(at, hold->until);
    }
    api->release.fire = on_release;
    if (!instant_is_never(at)) timer_arm(api->shard, &api->release, at);
}

/* Takes. True: it is held. */
static bool answer_or_hold(struct request *request)
{
    struct hold *hold = request->state;
    struct instant until = instant_max(request_wait(request), image_wait(request->at));

    if (until.ns == 0) until = doubt(request);
    if (until.ns == 0) {
        answer(request, NULL);
        return false;
    }
    if (hold == NULL) request->state = hold = arena_zalloc(&request->arena, sizeof(*hold));
    hold->until = until;
    request_waits(request);
    list_push(&request->at->held, &request->node);
    return true;
}

/* Those whose time has come by `now`. */
static void look_at(struct api_shard *api, struct instant now)
{
    list_each (node, &api->held) {
        const struct hold *hold = list_entry(node, struct request, node)->state;
        if (!instant_reached(now, hold->until)) continue;
        list_remove(node);
        list_push(&api->looked_at, node);
    }
}

/* A few in each turn: answers may be long, and other requests, the controller's too, go on. */
static void on_release(struct timer *timer)
{
    struct api_shard *api =
        (struct api_shard *)(void *)((char *)timer - offsetof(struct api_shard, release));
    struct list_node *node = NULL;

    look_at(api, shard_now(api->shard));
    for (int i = 0; i < RELEASED_MAX && (node = list_pop(&api->looked_at)) != NULL; i++)
        (void)answer_or_hold(list_entry(node, struct request, node));
    arm_release(api);
}

void metadata_image_changed(struct api_shard *api)
{
    look_at(api, INSTANT_NEVER);
    arm_release(api);
}

void metadata_release(struct api_shard *api)
{
    struct list_node *node;

    look_at(api, INSTANT_NEVER);
    timer_cancel(api->shard, &api->release);
    while ((node = list_pop(&api->looked_at)) != NULL)
        answer(list_entry(node, struct request, node), NULL);
}

/* ---- auto-creation: on the control shard ---- */

static void on_created(void *to, int index, int16_t code)
{
    struct creation *creation = to;
    struct request *request = creation->request;

    creation->codes[index] = code;
    if (--creation->waiting == 0) answer(request, creation);
}

static bool is_missing(const struct request *request, int32_t index)
{
    const struct metadata_request *in = request->body;
    struct slice name = in->topics.at[index].name;

    return text_is_topic_name(name) && image_topic(request->at->image, name) == NULL;
}

/* Names beyond the bound are told to be unknown, by which their client asks again. */
static void create_missing(struct request *request)
{
    const struct metadata_request *in = request->body;
    struct creation *creation = arena_zalloc(&request->arena, sizeof(*creation));

    creation->request = request;
    creation->codes = zalloc(request, in->topics.count, sizeof(*creation->codes));
    creation->waiting = 1;
    for (int32_t i = 0; i < in->topics.count && creation->waiting <= CREATED_MAX; i++) {
        if (!is_missing(request, i)) continue;
        creation->waiting++;
        autocreate_topic(control_autocreate(request->at->control), in->topics.at[i].name,
                         on_created, creation, i);
    }
    if (--creation->waiting == 0) answer(request, creation);
}

static void metadata_handle(struct request *request)
{
    const struct metadata_request *in = request->body;
    bool may_create =
        in->allow_auto_topic_creation && !asks_for_all(request) && !asks_by_id(in) &&
        !asks_too_early(request) &&
        options_bool(request->at->process->options, OPTION_AUTO_CREATE_TOPICS_ENABLE) &&
        image_broker_count(request->at->image) > 0;

    for (int32_t i = 0; may_create && i < in->topics.count; i++) {
        if (is_missing(request, i)) {
            request_to_control(request, create_missing);
            return;
        }
    }
    if (answer_or_hold(request)) arm_release(request->at);
}

static const void *metadata_refuse(struct request *request, int16_t code)
{
    const struct metadata_request *in = request->body;
    struct metadata_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int32_t count = in->topics.count < 0 ? 0 : in->topics.count;

    wire_default(&metadata_response_wire, out);
    out->topics.at = zalloc(request, count, sizeof(*out->topics.at));
    out->topics.count = count;
    for (int32_t i = 0; i < count; i++) {
        struct slice name = in->topics.at[i].name;
        fill_error(&out->topics.at[i], slice_is_null(name) ? SLICE("") : name,
                   in->topics.at[i].topic_id, code);
    }
    return out;
}

const struct api metadata_api = {
    .key = API_METADATA,
    .version_min = 0,
    .version_max = 12,
    .request_wire = &metadata_request_wire,
    .response_wire = &metadata_response_wire,
    .request_size = sizeof(struct metadata_request),
    .place = API_HERE,
    .handle = metadata_handle,
    .refuse = metadata_refuse,
};

/* ---- DescribeCluster ---- */

#define ENDPOINTS_OF_BROKERS     1
#define ENDPOINTS_OF_CONTROLLERS 2

static const void *describe_cluster_refuse(struct request *request, int16_t code)
{
    const struct describe_cluster_request *in = request->body;
    struct describe_cluster_response *out = arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&describe_cluster_response_wire, out);
    out->error_code = code;
    out->endpoint_type = in->endpoint_type;
    return out;
}

static void describe_cluster_handle(struct request *request)
{
    const struct describe_cluster_request *in = request->body;
    const struct image *image = request->at->image;
    struct slice listener = listener_of(request);
    struct describe_cluster_response out;
    int count = image_broker_count(image);

    if (in->endpoint_type != ENDPOINTS_OF_BROKERS) {
        request_fail(request, in->endpoint_type == ENDPOINTS_OF_CONTROLLERS
                                  ? KAFKA_MISMATCHED_ENDPOINT_TYPE
                                  : KAFKA_UNSUPPORTED_ENDPOINT_TYPE);
        return;
    }
    wire_default(&describe_cluster_response_wire, &out);
    out.cluster_id = request->at->cluster_id;
    out.controller_id = named_controller(request);
    out.brokers.at = zalloc(request, count, sizeof(*out.brokers.at));
    out.brokers.count = 0;
    for (int i = 0; i < count; i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        const struct endpoint *endpoint = image_endpoint(broker, listener);
        if (endpoint == NULL) continue;
        out.brokers.at[out.brokers.count++] =
            (struct describe_cluster_response_broker){.broker_id = broker->id,
                                                      .host = endpoint->host,
                                                      .port = endpoint->port,
                                                      .rack = broker->rack};
    }
    if (in->include_cluster_authorized_operations)
        out.cluster_authorized_operations = OPERATIONS_CLUSTER;
    request_reply(request, &out);
}

const struct api describe_cluster_api = {
    .key = API_DESCRIBE_CLUSTER,
    .version_min = 0,
    .version_max = 1,
    .request_wire = &describe_cluster_request_wire,
    .response_wire = &describe_cluster_response_wire,
    .request_size = sizeof(struct describe_cluster_request),
    .place = API_HERE,
    .handle = describe_cluster_handle,
    .refuse = describe_cluster_refuse,
};
