/* controller/admin_clients.c - what clients ask of any broker: FindCoordinator, ListGroups,
 * InitProducerId, UpdateFeatures.
 *
 * In a cluster with Apache brokers the active controller is told of as a broker
 * (controller.in.live.brokers). Clients send these to whichever broker has least to do, and take
 * one that does not know them for a broker too old: Java's producer gives up at once. */
#include "cluster/features.h"
#include "cluster/types.h"
#include "controller/asked.h"
#include "wire/gen/find_coordinator.h"
#include "wire/gen/init_producer_id.h"
#include "wire/gen/list_groups.h"
#include "zk/docs.h"

/* ---- FindCoordinator ---- */

#define VERSION_BATCHED 4 /* many keys, an answer each */
#define VERSION_SHARE   6

enum key_type { KEY_GROUP, KEY_TRANSACTION, KEY_SHARE };

static const struct control_endpoint *coordinator_of(struct asked *asked, struct slice group,
                                                     int32_t *id)
{
    const struct context *context = &asked->controller->context;
    const struct topic *topic = context_topic(context, SLICE(TOPIC_NAME_OFFSETS));
    const struct broker *broker;

    if (topic == NULL || topic->count == 0) return NULL;
    const struct partition *at = topic->partitions[coordinator_partition(group, topic->count)];
    if (!at->has_leadership) return NULL;
    broker = context_broker(context, at->now.leader);
    *id = at->now.leader;
    return broker == NULL ? NULL : broker_endpoint(broker, asked_listener(asked));
}

/* As brokers answer (broker/api/coordinator.c): nobody coordinates transactions or shares. The
 * topic of groups is made by brokers: who is sent away asks again, and soon another than this. */
static void find(struct asked *asked, int8_t type, struct slice key,
                 struct find_coordinator_response_coordinator *out)
{
    const struct control_endpoint *endpoint = NULL;
    int32_t id = -1;
    bool is_known = type == KEY_GROUP || type == KEY_TRANSACTION ||
                    (type == KEY_SHARE && asked->head.api_version >= VERSION_SHARE);

    if (type == KEY_GROUP) endpoint = coordinator_of(asked, key, &id);
    *out = (struct find_coordinator_response_coordinator){
        .key = key,
        .node_id = -1,
        .port = -1,
        .error_code = !is_known           ? KAFKA_INVALID_REQUEST
                      : type == KEY_GROUP ? KAFKA_COORDINATOR_NOT_AVAILABLE
                                          : KAFKA_UNSUPPORTED_VERSION,
    };
    if (endpoint != NULL) {
        out->error_code = KAFKA_NONE;
        out->node_id = id;
        out->host = slice_text(endpoint->host);
        out->port = endpoint->port;
    }
}

void ask_find_coordinator(struct asked *asked)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    struct find_coordinator_response_coordinator one;

    if (!asked_read(asked, &find_coordinator_request_wire, &request)) return;
    wire_default(&find_coordinator_response_wire, &response);
    if (asked->head.api_version < VERSION_BATCHED) {
        find(asked, request.key_type, request.key, &one);
        response.error_code = one.error_code;
        response.error_message = slice_text(kafka_error_name(one.error_code));
        response.node_id = one.node_id;
        response.host = one.host;
        response.port = one.port;
    } else {
        int32_t count = request.coordinator_keys.count;

        response.coordinators.at =
            asked_alloc(asked, (size_t)(count + 1) * sizeof(*response.coordinators.at));
        response.coordinators.count = count;
        for (int32_t i = 0; i < count; i++)
            find(asked, request.key_type, request.coordinator_keys.at[i],
                 &response.coordinators.at[i]);
    }
    asked_reply(asked, &find_coordinator_response_wire, &response);
}

/* ---- ListGroups ---- */

/* No group is here. Tools gather the answers of all brokers. */
void ask_list_groups(struct asked *asked)
{
    struct list_groups_request request;
    struct list_groups_response response;

    if (!asked_read(asked, &list_groups_request_wire, &request)) return;
    wire_default(&list_groups_response_wire, &response);
    asked_reply(asked, &list_groups_response_wire, &response);
}

/* ---- UpdateFeatures ---- */

void ask_update_features(struct asked *asked)
{
    struct update_features_request request;
    struct update_features_response response;

    if (!asked_read(asked, &update_features_request_wire, &request)) return;
    features_update(&request, asked->head.api_version, &asked->arena, &response);
    asked_reply(asked, &update_features_response_wire, &response);
}

/* ---- InitProducerId ---- */

static void tell_producer(struct asked *asked, int16_t code, int64_t id)
{
    struct init_producer_id_response response;

    wire_default(&init_producer_id_response_wire, &response);
    response.error_code = code;
    response.producer_id = code == KAFKA_NONE ? id : -1;
    response.producer_epoch = code == KAFKA_NONE ? 0 : -1;
    asked_reply(asked, &init_producer_id_response_wire, &response);
}

/* The checks of broker/api/producer_ids.c. */
void ask_init_producer_id(struct asked *asked)
{
    struct init_producer_id_request request;
    struct producer_block *block;

    if (!asked_read(asked, &init_producer_id_request_wire, &request)) return;
    block = &asked->controller->admin->block;
    if ((request.producer_id == -1) != (request.producer_epoch == -1)) {
        tell_producer(asked, KAFKA_INVALID_REQUEST, -1);
    } else if (!slice_is_null(request.transactional_id)) {
        tell_producer(
            asked,
            request.transactional_id.len == 0 ? KAFKA_INVALID_REQUEST : KAFKA_NOT_COORDINATOR, -1);
    } else if (block->next < block->end) {
        tell_producer(asked, KAFKA_NONE, block->next++);
    } else {
        struct event *event = asked_event(asked, EVENT_PRODUCER_IDS);
        event->broker = asked->controller->context.config.id;
        controller_post(asked->controller, &event);
    }
}

/* Who asked while a block was on its way has a block of its own: what the last of them leaves over
 * is given out. Without a block they are told to ask again. */
void tell_init_producer_id(struct asked *asked, struct event *event)
{
    if (event->answer != ANSWER_OK) {
        tell_producer(asked, KAFKA_COORDINATOR_LOAD_IN_PROGRESS, -1);
        return;
    }
    asked->controller->admin->block =
        (struct producer_block){event->block_start + 1, event->block_start + DOC_PRODUCER_IDS_SIZE};
    tell_producer(asked, KAFKA_NONE, event->block_start);
}
