/* controller/admin_partitions.c - requests that become one event of the machines, and back. */
#include "base/ensure.h"
#include "controller/asked.h"
#include "wire/gen/allocate_producer_ids.h"
#include "wire/gen/alter_partition.h"
#include "wire/gen/alter_partition_reassignments.h"
#include "wire/gen/controlled_shutdown.h"
#include "wire/gen/elect_leaders.h"
#include "wire/gen/list_partition_reassignments.h"
#include "zk/docs.h"

static void ask(struct asked *asked, struct event *event)
{
    controller_post(asked->controller, &event);
}

/* ---- ControlledShutdown ---- */

void ask_controlled_shutdown(struct asked *asked)
{
    struct controlled_shutdown_request request;

    if (!asked_read(asked, &controlled_shutdown_request_wire, &request)) return;
    struct event *event = asked_event(asked, EVENT_CONTROLLED_SHUTDOWN);
    event->broker = request.broker_id;
    event->broker_epoch = request.broker_epoch;
    ask(asked, event);
}

void tell_controlled_shutdown(struct asked *asked, struct event *event)
{
    struct controlled_shutdown_response response;
    size_t count = event->answer == ANSWER_OK ? (size_t)event->count : 0;

    wire_default(&controlled_shutdown_response_wire, &response);
    /* This one API says of a controller that is not one: stale epoch. */
    response.error_code = event->answer == ANSWER_NOT_CONTROLLER ? KAFKA_STALE_CONTROLLER_EPOCH
                                                                 : kafka_code(event->answer);
    response.remaining_partitions.at =
        asked_alloc(asked, (count + 1) * sizeof(*response.remaining_partitions.at));
    response.remaining_partitions.count = (int32_t)count;
    for (size_t i = 0; i < count; i++)
        response.remaining_partitions.at[i] =
            (struct controlled_shutdown_response_remaining_partition){event->items[i].topic,
                                                                      event->items[i].partition};
    asked_reply(asked, &controlled_shutdown_response_wire, &response);
}

/* ---- AlterPartition ---- */

static void take_isr(struct event *event, struct event_item *item, int version,
                     const struct alter_partition_request_topic_partition *from)
{
    struct leadership *out = &item->state;

    out->leader_epoch = from->leader_epoch;
    out->partition_epoch = from->partition_epoch;
    out->is_recovering = from->leader_recovery_state == 1;
    if (version < 3) {
        ids_set(&out->isr, from->new_isr.at, from->new_isr.count);
        return;
    }
    int32_t count = from->new_isr_with_epochs.count < 0 ? 0 : from->new_isr_with_epochs.count;
    int64_t *epochs = arena_zalloc(&event->arena, (size_t)(count + 1) * sizeof(*epochs));
    for (int32_t i = 0; i < count; i++) {
        ids_add(&out->isr, from->new_isr_with_epochs.at[i].broker_id);
        epochs[i] = from->new_isr_with_epochs.at[i].broker_epoch;
    }
    item->broker_epochs = epochs;
}

void ask_alter_partition(struct asked *asked)
{
    struct alter_partition_request *request = asked_alloc(asked, sizeof(*request));
    int32_t count = 0;

    if (!asked_read(asked, &alter_partition_request_wire, request)) return;
    struct event *event = asked_event(asked, EVENT_ALTER_PARTITION);
    event->broker = request->broker_id;
    event->broker_epoch = request->broker_epoch;
    for (int32_t t = 0; t < request->topics.count; t++)
        count += request->topics.at[t].partitions.count;
    event_make_items(event, count);
    count = 0;
    for (int32_t t = 0; t < request->topics.count; t++)
        for (int32_t i = 0; i < request->topics.at[t].partitions.count; i++) {
            struct event_item *item = &event->items[count++];

            item->topic = arena_copy(&event->arena, request->topics.at[t].topic_name);
            item->has_id = asked->head.api_version >= 2;
            item->topic_id = request->topics.at[t].topic_id;
            item->partition = request->topics.at[t].partitions.at[i].partition_index;
            take_isr(event, item, asked->head.api_version, &request->topics.at[t].partitions.at[i]);
        }
    asked->work = request;
    ask(asked, event);
}

static int16_t alter_code(const struct asked *asked, enum answer answer)
{
    if (answer == ANSWER_INELIGIBLE_REPLICA && asked->head.api_version < 2)
        return KAFKA_OPERATION_NOT_ATTEMPTED;
    return kafka_code(answer);
}

void tell_alter_partition(struct asked *asked, struct event *event)
{
    const struct alter_partition_request *request = asked->work;
    struct alter_partition_response response;
    const struct event_item *item = event->items;

    wire_default(&alter_partition_response_wire, &response);
    response.error_code = kafka_code(event->answer);
    if (event->answer != ANSWER_OK) {
        asked_reply(asked, &alter_partition_response_wire, &response);
        return;
    }
    response.topics.count = request->topics.count;
    response.topics.at =
        asked_alloc(asked, (size_t)(request->topics.count + 1) * sizeof(*response.topics.at));
    for (int32_t t = 0; t < request->topics.count; t++) {
        struct alter_partition_response_topic *topic = &response.topics.at[t];

        topic->topic_name = request->topics.at[t].topic_name;
        topic->topic_id = request->topics.at[t].topic_id;
        topic->partitions.count = request->topics.at[t].partitions.count;
        topic->partitions.at = asked_alloc(asked, (size_t)(topic->partitions.count + 1) *
                                                      sizeof(*topic->partitions.at));
        for (int32_t i = 0; i < topic->partitions.count; i++, item++) {
            struct alter_partition_response_topic_partition *p = &topic->partitions.at[i];

            p->partition_index = item->partition;
            p->error_code = alter_code(asked, item->answer);
            if (item->answer != ANSWER_OK) continue;
            p->leader_id = item->state.leader;
            p->leader_epoch = item->state.leader_epoch;
            p->isr.at = item->state.isr.at;
            p->isr.count = item->state.isr.count;
            p->leader_recovery_state = item->state.is_recovering ? 1 : 0;
            p->partition_epoch = item->state.partition_epoch;
        }
    }
    asked_reply(asked, &alter_partition_response_wire, &response);
}

/* ---- ElectLeaders ---- */

void ask_elect_leaders(struct asked *asked)
{
    struct elect_leaders_request request;
    int32_t count = 0;

    if (!asked_read(asked, &elect_leaders_request_wire, &request)) return;
    struct event *event = asked_event(asked, EVENT_ELECT);
    event->is_unclean = request.election_type == 1;
    event->is_all = request.topic_partitions.count < 0;
    for (int32_t t = 0; t < request.topic_partitions.count; t++)
        count += request.topic_partitions.at[t].partitions.count;
    event_make_items(event, count);
    count = 0;
    for (int32_t t = 0; t < request.topic_partitions.count; t++)
        for (int32_t i = 0; i < request.topic_partitions.at[t].partitions.count; i++) {
            event->items[count].topic =
                arena_copy(&event->arena, request.topic_partitions.at[t].topic);
            event->items[count++].partition = request.topic_partitions.at[t].partitions.at[i];
        }
    ask(asked, event);
}

void tell_elect_leaders(struct asked *asked, struct event *event)
{
    struct elect_leaders_response response;
    struct elect_leaders_response_replica_election_result *topics =
        asked_alloc(asked, (size_t)(event->count + 1) * sizeof(*topics));
    struct elect_leaders_response_replica_election_result_partition_result *results =
        asked_alloc(asked, (size_t)(event->count + 1) * sizeof(*results));
    int32_t n = 0;

    /* What is wrong with all of it stands with each too: version 0 has no other place. */
    for (int32_t i = 0; event->answer != ANSWER_OK && i < event->count; i++)
        event->items[i].answer = event->answer;
    wire_default(&elect_leaders_response_wire, &response);
    response.error_code = kafka_code(event->answer);
    response.replica_election_results.at = topics;
    response.replica_election_results.count = 0;
    for (int32_t i = 0; i < event->count; i++) {
        const struct event_item *item = &event->items[i];
        struct elect_leaders_response_replica_election_result *last =
            response.replica_election_results.count == 0
                ? NULL
                : &topics[response.replica_election_results.count - 1];

        if (event->is_all && item->answer == ANSWER_NOT_NEEDED) continue;
        if (last == NULL || !slice_equal(last->topic, item->topic)) {
            last = &topics[response.replica_election_results.count++];
            last->topic = item->topic;
            last->partition_result.at = &results[n];
        }
        last->partition_result.count++;
        results[n++] = (struct elect_leaders_response_replica_election_result_partition_result){
            .partition_id = item->partition,
            .error_code = kafka_code(item->answer),
            .error_message =
                item->answer == ANSWER_OK ? SLICE_NULL : slice_text(answer_name(item->answer)),
        };
    }
    asked_reply(asked, &elect_leaders_response_wire, &response);
}

/* ---- reassignments ---- */

void ask_reassign(struct asked *asked)
{
    struct alter_partition_reassignments_request *request = asked_alloc(asked, sizeof(*request));
    int32_t count = 0;

    if (!asked_read(asked, &alter_partition_reassignments_request_wire, request)) return;
    struct event *event = asked_event(asked, EVENT_REASSIGN);
    for (int32_t t = 0; t < request->topics.count; t++)
        count += request->topics.at[t].partitions.count;
    event_make_items(event, count);
    count = 0;
    for (int32_t t = 0; t < request->topics.count; t++)
        for (int32_t i = 0; i < request->topics.at[t].partitions.count; i++) {
            const struct alter_partition_reassignments_request_topic_partition *from =
                &request->topics.at[t].partitions.at[i];
            struct event_item *item = &event->items[count++];

            item->topic = arena_copy(&event->arena, request->topics.at[t].name);
            item->partition = from->partition_index;
            item->is_cancel = from->replicas.count < 0;
            if (!item->is_cancel) ids_set(&item->replicas, from->replicas.at, from->replicas.count);
        }
    asked->work = request;
    ask(asked, event);
}

void tell_reassign(struct asked *asked, struct event *event)
{
    const struct alter_partition_reassignments_request *request = asked->work;
    struct alter_partition_reassignments_response response;
    const struct event_item *item = event->items;

    wire_default(&alter_partition_reassignments_response_wire, &response);
    response.error_code = kafka_code(event->answer);
    response.responses.count = event->answer == ANSWER_OK ? request->topics.count : 0;
    response.responses.at =
        asked_alloc(asked, (size_t)(request->topics.count + 1) * sizeof(*response.responses.at));
    for (int32_t t = 0; t < response.responses.count; t++) {
        struct alter_partition_reassignments_response_response *topic = &response.responses.at[t];

        topic->name = request->topics.at[t].name;
        topic->partitions.count = request->topics.at[t].partitions.count;
        topic->partitions.at = asked_alloc(asked, (size_t)(topic->partitions.count + 1) *
                                                      sizeof(*topic->partitions.at));
        for (int32_t i = 0; i < topic->partitions.count; i++, item++) {
            topic->partitions.at[i].partition_index = item->partition;
            topic->partitions.at[i].error_code = kafka_code(item->answer);
            if (item->answer != ANSWER_OK)
                topic->partitions.at[i].error_message = slice_text(answer_name(item->answer));
        }
    }
    asked_reply(asked, &alter_partition_reassignments_response_wire, &response);
}

struct listing {
    struct asked *asked;
    struct list_partition_reassignments_response_topic *topics;
    int32_t count;
    int32_t room; /* for partitions of the last topic */
};

/* At most `room` partitions are listed after the first of a topic. */
static void list_partition(struct listing *listing, const struct partition *p, int32_t room)
{
    if (p->adding.count == 0 && p->removing.count == 0) return;
    struct slice name = slice_text(p->topic->name);
    struct list_partition_reassignments_response_topic *topic =
        listing->count == 0 ? NULL : &listing->topics[listing->count - 1];

    if (topic == NULL || !slice_equal(topic->name, name)) {
        topic = &listing->topics[listing->count++];
        topic->name = name;
        topic->partitions.at =
            asked_alloc(listing->asked, (size_t)room * sizeof(*topic->partitions.at));
        listing->room = room;
    }
    if (topic->partitions.count == listing->room) return;
    topic->partitions.at[topic->partitions.count++] =
        (struct list_partition_reassignments_response_topic_partition){
            .partition_index = p->id,
            .replicas = {p->replicas.at, p->replicas.count},
            .adding_replicas = {p->adding.at, p->adding.count},
            .removing_replicas = {p->removing.at, p->removing.count},
        };
}

void ask_list_reassignments(struct asked *asked)
{
    const struct context *context = &asked->controller->context;
    struct list_partition_reassignments_request request;
    struct list_partition_reassignments_response response;
    struct listing listing = {.asked = asked};

    if (!asked_read(asked, &list_partition_reassignments_request_wire, &request)) return;
    wire_default(&list_partition_reassignments_response_wire, &response);
    if (!controller_is_active(asked->controller)) {
        response.error_code = KAFKA_NOT_CONTROLLER;
        asked_reply(asked, &list_partition_reassignments_response_wire, &response);
        return;
    }
    size_t most = request.topics.count < 0 ? context->topics.count : (size_t)request.topics.count;
    listing.topics = asked_alloc(asked, (most + 1) * sizeof(*listing.topics));
    if (request.topics.count < 0)
        context_each_topic(entry, topic, context) for (int32_t i = 0; i < topic->count; i++)
            list_partition(&listing, topic->partitions[i], topic->count);
    for (int32_t t = 0; t < request.topics.count; t++)
        for (int32_t i = 0; i < request.topics.at[t].partition_indexes.count; i++) {
            const struct partition *p = context_partition(
                context, request.topics.at[t].name, request.topics.at[t].partition_indexes.at[i]);
            if (p != NULL)
                list_partition(&listing, p, request.topics.at[t].partition_indexes.count);
        }
    response.topics.at = listing.topics;
    response.topics.count = listing.count;
    asked_reply(asked, &list_partition_reassignments_response_wire, &response);
}

/* ---- AllocateProducerIds ---- */

void ask_producer_ids(struct asked *asked)
{
    struct allocate_producer_ids_request request;

    if (!asked_read(asked, &allocate_producer_ids_request_wire, &request)) return;
    struct event *event = asked_event(asked, EVENT_PRODUCER_IDS);
    event->broker = request.broker_id;
    event->broker_epoch = request.broker_epoch;
    ask(asked, event);
}

void tell_producer_ids(struct asked *asked, struct event *event)
{
    struct allocate_producer_ids_response response;

    wire_default(&allocate_producer_ids_response_wire, &response);
    response.error_code = kafka_code(event->answer);
    if (event->answer == ANSWER_OK) {
        response.producer_id_start = event->block_start;
        response.producer_id_len = DOC_PRODUCER_IDS_SIZE;
    }
    asked_reply(asked, &allocate_producer_ids_response_wire, &response);
}
