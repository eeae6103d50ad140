#include "broker/api/describe_producers.h"
#include "base/ensure.h"
#include "base/text.h"
#include "broker/api/codes.h"
#include "broker/api/table.h"
#include "broker/log/producers.h"
#include "broker/replica/partitions.h"
#include "cluster/image.h"
#include "wire/gen/describe_producers.h"
#include "wire/protocol.h"
#include <stdlib.h>

/* In request->state. */
struct listing {
    struct describe_producers_response out;
    int32_t topic, partition; /* what is asked next */
    int64_t told;             /* producers so far */
};

/* What one partition's owner said. */
struct found {
    enum err err;
    struct producers_view *producers; /* on the heap */
    int32_t count;
};

struct msg_producers {
    struct msg msg;
    struct request *request; /* not the owner's to touch */
    struct slice topic;
    int32_t partition;
    struct found found;
};

static void go_on(struct request *request);

/* ---- the answer ---- */

static void prepare(struct request *request, struct describe_producers_response *out)
{
    const struct describe_producers_request *in = request->body;
    struct arena *arena = &request->arena;

    wire_default(&describe_producers_response_wire, out);
    out->topics.at = arena_zalloc(arena, sizeof(*out->topics.at) * (size_t)(in->topics.count + 1));
    out->topics.count = in->topics.count;
    for (int32_t t = 0; t < in->topics.count; t++) {
        struct describe_producers_response_topic *topic = &out->topics.at[t];
        int32_t count = in->topics.at[t].partition_indexes.count;

        topic->name = in->topics.at[t].name;
        topic->partitions.at =
            arena_zalloc(arena, sizeof(*topic->partitions.at) * (size_t)(count + 1));
        topic->partitions.count = count;
        for (int32_t p = 0; p < count; p++)
            topic->partitions.at[p] = (struct describe_producers_response_topic_partition){
                .partition_index = in->topics.at[t].partition_indexes.at[p],
                .error_message = SLICE_NULL,
            };
    }
}

static void set_code(struct describe_producers_response_topic_partition *out, int16_t code)
{
    out->error_code = code;
    if (code != KAFKA_NONE) out->error_message = slice_text(kafka_error_name(code));
}

static void tell(struct request *request, struct describe_producers_response_topic_partition *out,
                 const struct found *found)
{
    struct listing *listing = request->state;

    /* It is in the metadata: else nobody had been asked. */
    set_code(out, codes_of_partition(found->err, true));
    if (found->err != ERR_OK) return;
    listing->told += found->count;
    out->active_producers.at = arena_zalloc(&request->arena, sizeof(*out->active_producers.at) *
                                                                 (size_t)(found->count + 1));
    out->active_producers.count = found->count;
    for (int32_t i = 0; i < found->count; i++) {
        const struct producers_view *view = &found->producers[i];

        out->active_producers.at[i] =
            (struct describe_producers_response_topic_partition_active_producer){
                .producer_id = view->producer_id,
                .producer_epoch = view->epoch,
                .last_sequence = view->last_sequence,
                .last_timestamp = view->last_timestamp,
                .coordinator_epoch = view->coordinator_epoch,
                .current_txn_start_offset = view->txn_first_offset,
            };
    }
}

/* The partition whose turn it is, and the next one's turn. */
static struct describe_producers_response_topic_partition *next(struct listing *listing)
{
    return &listing->out.topics.at[listing->topic].partitions.at[listing->partition++];
}

/* ---- the owner of a partition ---- */

static struct found find(struct api_shard *api, struct slice topic, int32_t partition)
{
    struct found found = {0};

    found.err =
        partitions_producers(api->partitions, topic, partition, &found.producers, &found.count);
    return found;
}

static void hear(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_producers *call = (struct msg_producers *)(void *)msg;

    call->found = find(api, call->topic, call->partition);
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_answer(void *owner, struct msg *msg)
{
    struct msg_producers *call = (struct msg_producers *)(void *)msg;
    struct request *request = call->request;

    (void)owner;
    tell(request, next(request->state), &call->found);
    free(call->found.producers);
    free(call);
    go_on(request);
}

void describe_producers_open(struct api_shard *api, struct msg_routes *routes)
{
    messages_on_call(routes, MSG_PRODUCERS, hear, api);
    messages_on_answer(routes, MSG_PRODUCERS, hear_answer, api);
}

/* ---- the request ---- */

static int16_t check(const struct request *request, struct slice topic, int32_t partition)
{
    const struct listing *listing = request->state;
    const struct image_topic *known = image_topic(request->at->image, topic);
    struct image_partition unused;

    if (!text_is_topic_name(topic)) return KAFKA_INVALID_TOPIC_EXCEPTION;
    if (known == NULL || !image_topic_partition(known, partition, &unused))
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    return listing->told < PRODUCERS_TOLD_MAX ? KAFKA_NONE : KAFKA_POLICY_VIOLATION;
}

/* True: answered. False: its owner was asked. */
static bool ask(struct request *request, struct slice topic, int32_t partition)
{
    struct api_shard *api = request->at;
    int16_t code = check(request, topic, partition);
    int shard = partition_shard(topic, partition, api->process->shards);

    if (code != KAFKA_NONE) {
        set_code(next(request->state), code);
        return true;
    }
    if (shard == api->shard->id) {
        struct found found = find(api, topic, partition);

        tell(request, next(request->state), &found);
        free(found.producers);
        return true;
    }
    struct msg_producers *call = ensure_zalloc(sizeof(*call));
    call->msg.type = MSG_PRODUCERS;
    call->request = request;
    call->topic = topic;
    call->partition = partition;
    mailbox_call(api->shard->mailbox, (uint8_t)shard, &call->msg);
    return false;
}

static void go_on(struct request *request)
{
    const struct describe_producers_request *in = request->body;
    struct listing *listing = request->state;

    while (listing->topic < in->topics.count) {
        const struct describe_producers_request_topic *topic = &in->topics.at[listing->topic];

        if (listing->partition >= topic->partition_indexes.count) {
            listing->topic++;
            listing->partition = 0;
        } else if (!ask(request, topic->name, topic->partition_indexes.at[listing->partition])) {
            return;
        }
    }
    request_reply(request, &listing->out);
}

static void handle(struct request *request)
{
    struct listing *listing = arena_zalloc(&request->arena, sizeof(*listing));

    prepare(request, &listing->out);
    request->state = listing;
    go_on(request);
}

static const void *refuse(struct request *request, int16_t code)
{
    struct describe_producers_response *out = arena_zalloc(&request->arena, sizeof(*out));

    prepare(request, out);
    for (int32_t t = 0; t < out->topics.count; t++)
        for (int32_t p = 0; p < out->topics.at[t].partitions.count; p++)
            set_code(&out->topics.at[t].partitions.at[p], code);
    return out;
}

const struct api describe_producers_api = {
    .key = API_DESCRIBE_PRODUCERS,
    .version_min = 0,
    .version_max = 0,
    .request_wire = &describe_producers_request_wire,
    .response_wire = &describe_producers_response_wire,
    .request_size = sizeof(struct describe_producers_request),
    .place = API_HERE,
    .handle = handle,
    .refuse = refuse,
};
