/* broker/api/coordinator.c - FindCoordinator: who has a group.
 *
 * The topic that holds groups is made when somebody first asks. Sources: apis.md §8.5. */
#include "broker/api/autocreate.h"
#include "broker/api/control.h"
#include "broker/api/group_calls.h"
#include "broker/api/table.h"
#include "broker/replica/fetchers.h"
#include "cluster/image.h"
#include "cluster/listeners.h"
#include "cluster/types.h"
#include "wire/gen/find_coordinator.h"
#include "wire/protocol.h"

#define VERSION_BATCHED 4 /* many keys, an answer each */
#define VERSION_SHARE   6
#define NOT_AVAILABLE   "The coordinator is not available."
#define NOT_SUPPORTED   "Transactions and share groups are not supported."

enum key_type { KEY_GROUP, KEY_TRANSACTION, KEY_SHARE };

struct found {
    int16_t code;
    int32_t node, port;
    struct slice host;
};

static void find_group(const struct request *request, struct slice group, struct found *out)
{
    const struct api_shard *api = request->at;
    int32_t partition = group_partition_of(api->image, SLICE(TOPIC_NAME_OFFSETS), group);
    struct image_partition at;

    *out = (struct found){
        .code = KAFKA_COORDINATOR_NOT_AVAILABLE, .node = -1, .port = -1, .host = SLICE("")};
    if (partition < 0 ||
        !image_topic_partition(image_topic(api->image, SLICE(TOPIC_NAME_OFFSETS)), partition, &at))
        return;
    const struct image_broker *leader = image_broker(api->image, at.leader);
    if (leader == NULL) return;
    /* One that is not heard any more: who is sent there comes back only after a time-out. */
    if (api->fetchers != NULL && fetchers_has_lost(api->fetchers, at.leader)) return;
    const struct endpoint *endpoint =
        image_endpoint(leader, api->process->listeners->at[request->listener].name);
    if (endpoint == NULL) return;
    *out = (struct found){
        .code = KAFKA_NONE, .node = leader->id, .port = endpoint->port, .host = endpoint->host};
}

static void find(const struct request *request, struct slice key, struct found *out)
{
    const struct find_coordinator_request *in = request->body;

    *out = (struct found){.code = KAFKA_INVALID_REQUEST, .node = -1, .port = -1, .host = SLICE("")};
    switch (in->key_type) {
    case KEY_GROUP:
        find_group(request, key, out);
        return;
    /* Nobody coordinates these: who was told to ask again would ask for a minute. */
    case KEY_TRANSACTION:
        out->code = KAFKA_UNSUPPORTED_VERSION;
        return;
    case KEY_SHARE:
        if (request->version >= VERSION_SHARE) out->code = KAFKA_UNSUPPORTED_VERSION;
        return;
    default:
        return;
    }
}

static struct slice message_of(int16_t code)
{
    return code == KAFKA_NONE                        ? SLICE("NONE")
           : code == KAFKA_COORDINATOR_NOT_AVAILABLE ? SLICE(NOT_AVAILABLE)
           : code == KAFKA_UNSUPPORTED_VERSION       ? SLICE(NOT_SUPPORTED)
                                                     : slice_text(kafka_error_name(code));
}

static const void *response_of(struct request *request, int16_t refused)
{
    const struct find_coordinator_request *in = request->body;
    struct find_coordinator_response *out = arena_zalloc(&request->arena, sizeof(*out));
    struct found found = {.code = refused, .node = -1, .port = -1, .host = SLICE("")};
    int32_t keys = in->coordinator_keys.count < 0 ? 0 : in->coordinator_keys.count;

    wire_default(&find_coordinator_response_wire, out);
    if (request->version < VERSION_BATCHED) {
        if (refused == KAFKA_NONE) find(request, in->key, &found);
        out->error_code = found.code;
        out->error_message = message_of(found.code);
        out->node_id = found.node;
        out->host = found.host;
        out->port = found.port;
        return out;
    }
    out->coordinators.at =
        arena_zalloc(&request->arena, sizeof(*out->coordinators.at) * (size_t)(keys + 1));
    out->coordinators.count = keys;
    for (int32_t i = 0; i < keys; i++) {
        if (refused == KAFKA_NONE) find(request, in->coordinator_keys.at[i], &found);
        out->coordinators.at[i] = (struct find_coordinator_response_coordinator){
            .key = in->coordinator_keys.at[i],
            .node_id = found.node,
            .host = found.host,
            .port = found.port,
            .error_code = found.code,
            .error_message =
                found.code == KAFKA_UNSUPPORTED_VERSION ? message_of(found.code) : SLICE("")};
    }
    return out;
}

/* ---- the topic's creation: on the control shard ---- */

static void on_created(void *to, int index, int16_t code)
{
    struct request *request = to;

    (void)index;
    (void)code; /* whatever it was: they ask again */
    request_reply(request, response_of(request, KAFKA_COORDINATOR_NOT_AVAILABLE));
}

static void create(struct request *request)
{
    autocreate_topic(control_autocreate(request->at->control), SLICE(TOPIC_NAME_OFFSETS),
                     on_created, request, 0);
}

static void handle(struct request *request)
{
    const struct find_coordinator_request *in = request->body;

    if (in->key_type == KEY_GROUP &&
        image_topic(request->at->image, SLICE(TOPIC_NAME_OFFSETS)) == NULL)
        request_to_control(request, create);
    else
        request_reply(request, response_of(request, KAFKA_NONE));
}

const struct api find_coordinator_api = {
    .key = API_FIND_COORDINATOR,
    .version_min = 0,
    .version_max = 6,
    .request_wire = &find_coordinator_request_wire,
    .response_wire = &find_coordinator_response_wire,
    .request_size = sizeof(struct find_coordinator_request),
    .place = API_HERE,
    .handle = handle,
    .refuse = response_of,
};
