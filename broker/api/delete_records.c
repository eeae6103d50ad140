#include "broker/api/delete_records.h"
#include "base/ensure.h"
#include "broker/api/codes.h"
#include "broker/replica/partitions.h"
#include "cluster/image.h"
#include "cluster/types.h"
#include "wire/gen/delete_records.h"
#include "wire/protocol.h"
#include <stdlib.h>

/* One partition. The owner's between MSG_DELETE_RECORDS and its result. */
struct removal {
    struct records_deletion deletion;
    struct delete_records *of; /* of the home shard only, as the next two */
    int16_t code;
    bool is_known;
    struct api_shard *owner;
    uint8_t home;
};

struct delete_records {
    struct request *request;
    struct removal *removals;
    int count;
    int open; /* removals that are under way, and one while they are handed out */
};

struct msg_delete_records {
    struct msg msg;
    struct removal *removal; /* not to be touched at home unless it is answered */
    bool is_answered;
};

static int16_t code_of(enum err err, bool is_known)
{
    switch ((int)err) {
    case ERR_RANGE:
        return KAFKA_OFFSET_OUT_OF_RANGE;
    case ERR_DENIED:
        return KAFKA_POLICY_VIOLATION;
    default:
        return codes_of_partition(err, is_known);
    }
}

static struct delete_records_response *response_of(const struct delete_records *all)
{
    const struct delete_records_request *in = all->request->body;
    struct arena *arena = &all->request->arena;
    struct delete_records_response *out = arena_zalloc(arena, sizeof(*out));
    int32_t topics = in->topics.count < 0 ? 0 : in->topics.count;
    int at = 0;

    wire_default(&delete_records_response_wire, out);
    out->topics.at = arena_zalloc(arena, sizeof(*out->topics.at) * (size_t)topics);
    out->topics.count = topics;
    for (int32_t t = 0; t < topics; t++) {
        const struct delete_records_request_topic *topic = &in->topics.at[t];
        struct delete_records_response_topic *to = &out->topics.at[t];
        int32_t partitions = topic->partitions.count < 0 ? 0 : topic->partitions.count;

        to->name = topic->name;
        to->partitions.at = arena_zalloc(arena, sizeof(*to->partitions.at) * (size_t)partitions);
        to->partitions.count = partitions;
        for (int32_t p = 0; p < partitions; p++, at++) {
            const struct removal *removal = &all->removals[at];
            bool is_told = removal->code == KAFKA_NONE || removal->code == KAFKA_REQUEST_TIMED_OUT;

            to->partitions.at[p].partition_index = topic->partitions.at[p].partition_index;
            to->partitions.at[p].error_code = removal->code;
            to->partitions.at[p].low_watermark = is_told ? removal->deletion.low_watermark : -1;
        }
    }
    return out;
}

static void let_go(struct delete_records *all)
{
    ensure(all->open > 0);
    if (--all->open == 0) request_reply(all->request, response_of(all));
}

static void removed(struct removal *removal)
{
    removal->code = code_of(removal->deletion.err, removal->is_known);
    let_go(removal->of);
}

/* ---- between shards ---- */

static void say(struct api_shard *api, enum msg_type type, int to, struct removal *removal)
{
    struct msg_delete_records *msg = ensure_zalloc(sizeof(*msg));

    msg->msg.type = (uint16_t)type;
    msg->removal = removal;
    mailbox_call(api->shard->mailbox, (uint8_t)to, &msg->msg);
}

static void done_here(struct records_deletion *deletion)
{
    removed(deletion->to);
}

static void done_there(struct records_deletion *deletion)
{
    struct removal *removal = deletion->to;

    say(removal->owner, MSG_RECORDS_DELETED, removal->home, removal);
}

static void hear_delete(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_delete_records *call = (struct msg_delete_records *)(void *)msg;

    call->removal->owner = api;
    call->removal->deletion.done = done_there;
    call->is_answered = partitions_delete_records(api->partitions, &call->removal->deletion);
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_delete_answer(void *owner, struct msg *msg)
{
    struct msg_delete_records *call = (struct msg_delete_records *)(void *)msg;
    struct removal *removal = call->is_answered ? call->removal : NULL;

    (void)owner;
    free(call);
    if (removal != NULL) removed(removal);
}

static void hear_deleted(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct removal *removal = ((struct msg_delete_records *)(void *)msg)->removal;

    mailbox_reply(api->shard->mailbox, msg);
    removed(removal);
}

static void hear_deleted_answer(void *owner, struct msg *msg)
{
    (void)owner;
    free(msg);
}

void delete_records_open(struct api_shard *api, struct msg_routes *routes)
{
    messages_on_call(routes, MSG_DELETE_RECORDS, hear_delete, api);
    messages_on_answer(routes, MSG_DELETE_RECORDS, hear_delete_answer, api);
    messages_on_call(routes, MSG_RECORDS_DELETED, hear_deleted, api);
    messages_on_answer(routes, MSG_RECORDS_DELETED, hear_deleted_answer, api);
}

/* ---- the request ---- */

static void prepare(struct delete_records *all, struct removal *removal, struct slice topic,
                    const struct delete_records_request_topic_partition *part)
{
    struct request *request = all->request;
    const struct delete_records_request *in = request->body;
    const struct image_topic *known = image_topic(request->at->image, topic);
    struct image_partition unused;
    int64_t wait_ms = in->timeout_ms < 0 ? 0 : in->timeout_ms;

    *removal = (struct removal){
        .deletion =
            {
                .topic = topic,
                .partition = part->partition_index,
                .offset = part->offset,
                .deadline = instant_add_ms(shard_now(request->at->shard), wait_ms),
                .done = done_here,
                .to = removal,
            },
        .of = all,
        .home = (uint8_t)request->at->shard->id,
        .is_known = known != NULL && image_topic_partition(known, part->partition_index, &unused),
    };
    if (topic_is_internal(topic))
        removal->code = KAFKA_INVALID_TOPIC_EXCEPTION;
    else if (!removal->is_known)
        removal->code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

static void begin(struct delete_records *all, struct request *request)
{
    const struct delete_records_request *in = request->body;
    int at = 0;

    *all = (struct delete_records){.request = request};
    for (int32_t t = 0; t < in->topics.count; t++)
        if (in->topics.at[t].partitions.count > 0) all->count += in->topics.at[t].partitions.count;
    all->removals = arena_zalloc(&request->arena, sizeof(*all->removals) * (size_t)all->count);
    for (int32_t t = 0; t < in->topics.count; t++)
        for (int32_t p = 0; p < in->topics.at[t].partitions.count; p++)
            prepare(all, &all->removals[at++], in->topics.at[t].name,
                    &in->topics.at[t].partitions.at[p]);
}

static void ask(struct removal *removal)
{
    struct api_shard *api = removal->of->request->at;
    struct records_deletion *deletion = &removal->deletion;
    int shard = partition_shard(deletion->topic, deletion->partition, api->process->shards);

    removal->of->open++;
    if (shard != api->shard->id)
        say(api, MSG_DELETE_RECORDS, shard, removal);
    else if (partitions_delete_records(api->partitions, deletion))
        removed(removal);
    else
        request_waits(removal->of->request);
}

static void handle(struct request *request)
{
    struct delete_records *all = arena_zalloc(&request->arena, sizeof(*all));

    begin(all, request);
    all->open = 1;
    for (int i = 0; i < all->count; i++)
        if (all->removals[i].code == KAFKA_NONE) ask(&all->removals[i]);
    let_go(all);
}

static const void *refuse(struct request *request, int16_t code)
{
    struct delete_records all;

    begin(&all, request);
    for (int i = 0; i < all.count; i++)
        all.removals[i].code = code;
    return response_of(&all);
}

const struct api delete_records_api = {
    .key = API_DELETE_RECORDS,
    .version_min = 0,
    .version_max = 2,
    .request_wire = &delete_records_request_wire,
    .response_wire = &delete_records_response_wire,
    .request_size = sizeof(struct delete_records_request),
    .place = API_HERE,
    .handle = handle,
    .refuse = refuse,
};
