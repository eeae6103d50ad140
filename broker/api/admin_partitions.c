/* broker/api/admin_partitions.c - what only the active controller does with partitions:
 * ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments.
 *
 * Passed on (pass.h). An election is answered when this broker's own metadata shows the new
 * leaders, as far as the request's time allows. A reassignment is answered once the controller has
 * stored it: its data moves long after. Rules: apis.md §9.4, §9.5. */
#include "broker/api/pass.h"
#include "broker/api/table.h"
#include "cluster/image.h"
#include "wire/gen/alter_partition_reassignments.h"
#include "wire/gen/elect_leaders.h"
#include "wire/gen/list_partition_reassignments.h"
#include "wire/protocol.h"

#define ELECT_PREFERRED 0

/* ---- ElectLeaders ---- */

static int64_t elect_timeout(const struct request *request)
{
    return ((const struct elect_leaders_request *)request->body)->timeout_ms;
}

/* Of the results, topic after topic. */
struct elect_cursor {
    int32_t topic_at, partition_at; /* the next one; zeroed: the first */
    struct slice topic;             /* of the one that was given */
    int32_t partition;
};

/* Gives the next result's code, to be read or set; NULL behind the last. */
static int16_t *elect_next(const struct elect_leaders_response *out, struct elect_cursor *cursor)
{
    for (; cursor->topic_at < out->replica_election_results.count; cursor->topic_at++) {
        const struct elect_leaders_response_replica_election_result *of =
            &out->replica_election_results.at[cursor->topic_at];

        if (cursor->partition_at < of->partition_result.count) {
            struct elect_leaders_response_replica_election_result_partition_result *result =
                &of->partition_result.at[cursor->partition_at++];
            cursor->topic = of->topic;
            cursor->partition = result->partition_id;
            return &result->error_code;
        }
        cursor->partition_at = 0;
    }
    return NULL;
}

/* Version 0 has no code for all: there each partition says it. */
static bool elect_not_controller(const struct request *request, const void *answer)
{
    const struct elect_leaders_response *out = answer;
    struct elect_cursor cursor = {0};
    const int16_t *code;

    (void)request;
    if (out->error_code == KAFKA_NOT_CONTROLLER) return true;
    while ((code = elect_next(out, &cursor)) != NULL)
        if (*code == KAFKA_NOT_CONTROLLER) return true;
    return false;
}

/* Who was elected is not told. A preferred election has only one outcome; of an unclean one it is
 * known that there was no living leader before. */
static bool is_elected(const struct request *request, struct slice name, int32_t number)
{
    const struct elect_leaders_request *in = request->body;
    const struct image *image = request->at->image;
    const struct image_topic *topic = image_topic(image, name);
    struct image_partition partition;

    if (topic == NULL || !image_topic_partition(topic, number, &partition)) return false;
    if (in->election_type == ELECT_PREFERRED)
        return partition.replicas.count > 0 && partition.leader == partition.replicas.at[0];
    return partition.leader >= 0 && image_broker(image, partition.leader) != NULL;
}

static bool elect_is_shown(const struct request *request, const void *answer)
{
    struct elect_cursor cursor = {0};
    const int16_t *code;

    while ((code = elect_next(answer, &cursor)) != NULL)
        if (*code == KAFKA_NONE && !is_elected(request, cursor.topic, cursor.partition))
            return false;
    return true;
}

static void elect_late(const struct request *request, void *answer)
{
    struct elect_cursor cursor = {0};
    int16_t *code;

    while ((code = elect_next(answer, &cursor)) != NULL)
        if (*code == KAFKA_NONE && !is_elected(request, cursor.topic, cursor.partition))
            *code = KAFKA_REQUEST_TIMED_OUT;
}

static void elect_handle(struct request *request)
{
    static const struct pass_kind kind = {
        .answer_size = sizeof(struct elect_leaders_response),
        .timeout_ms = elect_timeout,
        .is_not_controller = elect_not_controller,
        .is_shown = elect_is_shown,
        .late = elect_late,
    };

    pass_on(request, &kind);
}

static const void *elect_refuse(struct request *request, int16_t code)
{
    const struct elect_leaders_request *in = request->body;
    struct elect_leaders_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int32_t topics = in->topic_partitions.count > 0 ? in->topic_partitions.count : 0;

    wire_default(&elect_leaders_response_wire, out);
    out->error_code = code;
    out->replica_election_results.at = arena_zalloc(
        &request->arena, sizeof(*out->replica_election_results.at) * (size_t)(topics + 1));
    out->replica_election_results.count = topics;
    for (int32_t t = 0; t < topics; t++) {
        const struct elect_leaders_request_topic_partition *from = &in->topic_partitions.at[t];
        struct elect_leaders_response_replica_election_result *to =
            &out->replica_election_results.at[t];
        int32_t count = from->partitions.count > 0 ? from->partitions.count : 0;

        to->topic = from->topic;
        to->partition_result.at =
            arena_zalloc(&request->arena, sizeof(*to->partition_result.at) * (size_t)(count + 1));
        to->partition_result.count = count;
        for (int32_t i = 0; i < count; i++) {
            to->partition_result.at[i].partition_id = from->partitions.at[i];
            to->partition_result.at[i].error_code = code;
        }
    }
    return out;
}

/* ---- AlterPartitionReassignments, ListPartitionReassignments ---- */

static int64_t alter_timeout(const struct request *request)
{
    return ((const struct alter_partition_reassignments_request *)request->body)->timeout_ms;
}

static bool alter_not_controller(const struct request *request, const void *answer)
{
    (void)request;
    return ((const struct alter_partition_reassignments_response *)answer)->error_code ==
           KAFKA_NOT_CONTROLLER;
}

static void alter_handle(struct request *request)
{
    static const struct pass_kind kind = {
        .answer_size = sizeof(struct alter_partition_reassignments_response),
        .timeout_ms = alter_timeout,
        .is_not_controller = alter_not_controller,
    };

    pass_on(request, &kind);
}

static const void *alter_refuse(struct request *request, int16_t code)
{
    struct alter_partition_reassignments_response *out =
        arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&alter_partition_reassignments_response_wire, out);
    out->error_code = code;
    return out;
}

static int64_t list_timeout(const struct request *request)
{
    return ((const struct list_partition_reassignments_request *)request->body)->timeout_ms;
}

static bool list_not_controller(const struct request *request, const void *answer)
{
    (void)request;
    return ((const struct list_partition_reassignments_response *)answer)->error_code ==
           KAFKA_NOT_CONTROLLER;
}

static void list_handle(struct request *request)
{
    static const struct pass_kind kind = {
        .answer_size = sizeof(struct list_partition_reassignments_response),
        .timeout_ms = list_timeout,
        .is_not_controller = list_not_controller,
    };

    pass_on(request, &kind);
}

static const void *list_refuse(struct request *request, int16_t code)
{
    struct list_partition_reassignments_response *out = arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&list_partition_reassignments_response_wire, out);
    out->error_code = code;
    return out;
}

const struct api elect_leaders_api = {
    .key = API_ELECT_LEADERS,
    .version_min = 0,
    .version_max = 2,
    .request_wire = &elect_leaders_request_wire,
    .response_wire = &elect_leaders_response_wire,
    .request_size = sizeof(struct elect_leaders_request),
    .place = API_ON_CONTROL,
    .handle = elect_handle,
    .refuse = elect_refuse,
};

const struct api alter_partition_reassignments_api = {
    .key = API_ALTER_PARTITION_REASSIGNMENTS,
    .version_min = 0,
    .version_max = 0,
    .request_wire = &alter_partition_reassignments_request_wire,
    .response_wire = &alter_partition_reassignments_response_wire,
    .request_size = sizeof(struct alter_partition_reassignments_request),
    .place = API_ON_CONTROL,
    .handle = alter_handle,
    .refuse = alter_refuse,
};

const struct api list_partition_reassignments_api = {
    .key = API_LIST_PARTITION_REASSIGNMENTS,
    .version_min = 0,
    .version_max = 0,
    .request_wire = &list_partition_reassignments_request_wire,
    .response_wire = &list_partition_reassignments_response_wire,
    .request_size = sizeof(struct list_partition_reassignments_request),
    .place = API_ON_CONTROL,
    .handle = list_handle,
    .refuse = list_refuse,
};
