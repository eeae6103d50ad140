#include "broker/api/offsets.h"
#include "base/ensure.h"
#include "broker/api/codes.h"
#include "broker/replica/partitions.h"
#include "cluster/image.h"
#include "wire/gen/list_offsets.h"
#include "wire/gen/offset_for_leader_epoch.h"
#include "wire/protocol.h"
#include <stdlib.h>

#define OLD_OFFSETS_MAX 1024 /* of ListOffsets v0, whatever it asks for */

int16_t offsets_code(enum err err, bool is_known, int version)
{
    switch ((int)err) {
    case ERR_BUSY: /* the watermark has not reached the leader's own epoch */
        return version >= 5 ? KAFKA_OFFSET_NOT_AVAILABLE : KAFKA_LEADER_NOT_AVAILABLE;
    case ERR_UNSUPPORTED:
        return KAFKA_UNSUPPORTED_VERSION;
    case ERR_INVALID:
        return KAFKA_INVALID_REQUEST;
    default:
        return codes_of_partition(err, is_known);
    }
}

static bool is_known(const struct request *request, struct slice topic, int32_t partition)
{
    const struct image_topic *known = image_topic(request->at->image, topic);
    struct image_partition unused;

    return known != NULL && image_topic_partition(known, partition, &unused);
}

/* ---- ListOffsets ---- */

/* One partition. Lent to the owner with its message, or asked here. */
struct lookup {
    struct offset_query query;
    struct list_offsets *of; /* of the home shard only */
    int16_t code;
    bool is_known;
    int64_t *old; /* v0 */
    int old_count, old_max;
};

struct list_offsets {
    struct request *request;
    struct lookup *lookups;
    int count;
    int open;
};

struct msg_list_offsets {
    struct msg msg;
    struct api_shard *at; /* the owner */
    struct lookup *lookup;
};

static struct list_offsets_response *list_response(struct list_offsets *list)
{
    const struct list_offsets_request *in = list->request->body;
    struct arena *arena = &list->request->arena;
    struct list_offsets_response *out = arena_zalloc(arena, sizeof(*out));
    int32_t topics = in->topics.count < 0 ? 0 : in->topics.count;
    int at = 0;

    wire_default(&list_offsets_response_wire, out);
    out->topics.at = arena_zalloc(arena, sizeof(*out->topics.at) * (size_t)topics);
    out->topics.count = topics;
    for (int32_t t = 0; t < topics; t++) {
        const struct list_offsets_request_topic *topic = &in->topics.at[t];
        struct list_offsets_response_topic *to = &out->topics.at[t];
        int32_t partitions = topic->partitions.count < 0 ? 0 : topic->partitions.count;

        to->name = topic->name;
        to->partitions.at = arena_zalloc(arena, sizeof(*to->partitions.at) * (size_t)partitions);
        to->partitions.count = partitions;
        for (int32_t p = 0; p < partitions; p++, at++) {
            const struct lookup *lookup = &list->lookups[at];
            struct list_offsets_response_topic_partition *part = &to->partitions.at[p];
            bool is_ok = lookup->code == KAFKA_NONE;

            part->partition_index = topic->partitions.at[p].partition_index;
            part->error_code = lookup->code;
            part->timestamp = is_ok ? lookup->query.found_timestamp : -1;
            part->offset = is_ok ? lookup->query.offset : -1;
            part->leader_epoch = is_ok ? lookup->query.found_epoch : -1;
            part->old_style_offsets.at = lookup->old;
            part->old_style_offsets.count = is_ok ? lookup->old_count : 0;
        }
    }
    return out;
}

static void let_go(struct list_offsets *list)
{
    ensure(list->open > 0);
    if (--list->open == 0) request_reply(list->request, list_response(list));
}

static void looked_up(struct lookup *lookup)
{
    lookup->code = offsets_code(lookup->query.err, lookup->is_known, lookup->of->request->version);
    let_go(lookup->of);
}

/* At the owner. True: done. */
static bool look_up(struct api_shard *api, struct lookup *lookup)
{
    struct offset_query *query = &lookup->query;

    if (lookup->old != NULL) {
        query->err = partitions_offsets_before(api->partitions, query->topic, query->partition,
                                               query->replica, query->timestamp, lookup->old_max,
                                               lookup->old, &lookup->old_count);
        return true;
    }
    return partitions_list_offsets(api->partitions, query);
}

static void done_here(struct offset_query *query)
{
    looked_up((struct lookup *)(void *)((char *)query - offsetof(struct lookup, query)));
}

static void done_there(struct offset_query *query)
{
    struct msg_list_offsets *call = query->to;

    mailbox_reply(call->at->shard->mailbox, &call->msg);
}

static void hear_lookup(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_list_offsets *call = (struct msg_list_offsets *)(void *)msg;

    call->at = api;
    call->lookup->query.done = done_there;
    call->lookup->query.to = call;
    if (look_up(api, call->lookup)) mailbox_reply(api->shard->mailbox, msg);
}

static void hear_lookup_answer(void *owner, struct msg *msg)
{
    struct lookup *lookup = ((struct msg_list_offsets *)(void *)msg)->lookup;

    (void)owner;
    free(msg);
    looked_up(lookup);
}

static enum err check_timestamp(int64_t timestamp, int version)
{
    static const int8_t since[] = {
        [-OFFSETS_LATEST] = 0,         [-OFFSETS_EARLIEST] = 0,      [-OFFSETS_MAX_TIMESTAMP] = 7,
        [-OFFSETS_EARLIEST_LOCAL] = 8, [-OFFSETS_LATEST_TIERED] = 9,
    };

    if (timestamp >= 0) return ERR_OK;
    if (timestamp < OFFSETS_LATEST_TIERED) return ERR_UNSUPPORTED;
    return version >= since[-timestamp] ? ERR_OK : ERR_UNSUPPORTED;
}

static bool is_repeated(const struct list_offsets_request *in, int32_t t, int32_t p)
{
    const struct list_offsets_request_topic *topic = &in->topics.at[t];
    int32_t partition = topic->partitions.at[p].partition_index;
    int times = 0;

    for (int32_t i = 0; i < in->topics.count; i++) {
        const struct list_offsets_request_topic *other = &in->topics.at[i];
        if (i != t && !slice_equal(other->name, topic->name)) continue;
        for (int32_t j = 0; j < other->partitions.count; j++)
            times += other->partitions.at[j].partition_index == partition;
    }
    return times > 1;
}

/* Quadratic looks only where they are short: a request that names very much is not searched. */
#define REPEATS_LOOKED_FOR_MAX 1000

static void prepare(struct list_offsets *list, struct lookup *lookup, int32_t t, int32_t p)
{
    struct request *request = list->request;
    const struct list_offsets_request *in = request->body;
    const struct list_offsets_request_topic_partition *part = &in->topics.at[t].partitions.at[p];

    *lookup = (struct lookup){
        .query =
            {
                .topic = in->topics.at[t].name,
                .partition = part->partition_index,
                .leader_epoch = part->current_leader_epoch,
                .timestamp = part->timestamp,
                .replica = in->replica_id,
                .is_committed = in->isolation_level == 1,
                .done = done_here,
            },
        .of = list,
    };
    lookup->is_known = is_known(request, lookup->query.topic, lookup->query.partition);
    enum err err = lookup->is_known ? ERR_OK : ERR_NOT_FOUND;
    if (list->count <= REPEATS_LOOKED_FOR_MAX && is_repeated(in, t, p)) err = ERR_INVALID;
    if (err == ERR_OK) err = check_timestamp(part->timestamp, request->version);
    lookup->code = offsets_code(err, lookup->is_known, request->version);
    if (err == ERR_OK && request->version == 0) {
        lookup->old_max = part->max_num_offsets < 1                 ? 1
                          : part->max_num_offsets < OLD_OFFSETS_MAX ? part->max_num_offsets
                                                                    : OLD_OFFSETS_MAX;
        lookup->old = arena_zalloc(&request->arena, sizeof(*lookup->old) * (size_t)lookup->old_max);
    }
}

static void ask(struct list_offsets *list, struct lookup *lookup)
{
    struct api_shard *api = list->request->at;
    int shard = partition_shard(lookup->query.topic, lookup->query.partition, api->process->shards);

    list->open++;
    if (shard == api->shard->id) {
        if (look_up(api, lookup)) looked_up(lookup);
        return;
    }
    struct msg_list_offsets *call = ensure_zalloc(sizeof(*call));
    call->msg.type = MSG_LIST_OFFSETS;
    call->lookup = lookup;
    mailbox_call(api->shard->mailbox, (uint8_t)shard, &call->msg);
}

static void begin(struct list_offsets *list, struct request *request)
{
    const struct list_offsets_request *in = request->body;
    int at = 0;

    *list = (struct list_offsets){.request = request};
    for (int32_t t = 0; t < in->topics.count; t++)
        if (in->topics.at[t].partitions.count > 0) list->count += in->topics.at[t].partitions.count;
    list->lookups = arena_zalloc(&request->arena, sizeof(*list->lookups) * (size_t)list->count);
    for (int32_t t = 0; t < in->topics.count; t++)
        for (int32_t p = 0; p < in->topics.at[t].partitions.count; p++)
            prepare(list, &list->lookups[at++], t, p);
}

static void list_handle(struct request *request)
{
    struct list_offsets *list = arena_zalloc(&request->arena, sizeof(*list));

    begin(list, request);
    list->open = 1;
    for (int i = 0; i < list->count; i++)
        if (list->lookups[i].code == KAFKA_NONE) ask(list, &list->lookups[i]);
    let_go(list);
}

static const void *list_refuse(struct request *request, int16_t code)
{
    struct list_offsets list;

    begin(&list, request);
    for (int i = 0; i < list.count; i++)
        list.lookups[i].code = code;
    return list_response(&list);
}

const struct api list_offsets_api = {
    .key = API_LIST_OFFSETS,
    .version_min = 0,
    .version_max = 9,
    .request_wire = &list_offsets_request_wire,
    .response_wire = &list_offsets_response_wire,
    .request_size = sizeof(struct list_offsets_request),
    .place = API_HERE,
    .handle = list_handle,
    .refuse = list_refuse,
};

/* ---- OffsetForLeaderEpoch ---- */

struct epoch_lookup {
    struct slice topic;
    int32_t partition, leader_epoch, epoch;
    enum err err;
    struct epoch_end end;
    struct epoch_ends *of;
    int16_t code;
    bool is_known;
};

struct epoch_ends {
    struct request *request;
    struct epoch_lookup *lookups;
    int count;
    int open;
};

struct msg_epoch_end {
    struct msg msg;
    struct epoch_lookup *lookup;
};

static struct offset_for_leader_epoch_response *epoch_response(struct epoch_ends *ends)
{
    const struct offset_for_leader_epoch_request *in = ends->request->body;
    struct arena *arena = &ends->request->arena;
    struct offset_for_leader_epoch_response *out = arena_zalloc(arena, sizeof(*out));
    int32_t topics = in->topics.count < 0 ? 0 : in->topics.count;
    int at = 0;

    wire_default(&offset_for_leader_epoch_response_wire, out);
    out->topics.at = arena_zalloc(arena, sizeof(*out->topics.at) * (size_t)topics);
    out->topics.count = topics;
    for (int32_t t = 0; t < topics; t++) {
        const struct offset_for_leader_epoch_request_topic *topic = &in->topics.at[t];
        struct offset_for_leader_epoch_response_topic *to = &out->topics.at[t];
        int32_t partitions = topic->partitions.count < 0 ? 0 : topic->partitions.count;

        to->topic = topic->topic;
        to->partitions.at = arena_zalloc(arena, sizeof(*to->partitions.at) * (size_t)partitions);
        to->partitions.count = partitions;
        for (int32_t p = 0; p < partitions; p++, at++) {
            const struct epoch_lookup *lookup = &ends->lookups[at];
            bool is_ok = lookup->code == KAFKA_NONE;

            to->partitions.at[p].partition = topic->partitions.at[p].partition;
            to->partitions.at[p].error_code = lookup->code;
            to->partitions.at[p].leader_epoch = is_ok ? lookup->end.epoch : -1;
            to->partitions.at[p].end_offset = is_ok ? lookup->end.end_offset : -1;
        }
    }
    return out;
}

static void let_epochs_go(struct epoch_ends *ends)
{
    ensure(ends->open > 0);
    if (--ends->open == 0) request_reply(ends->request, epoch_response(ends));
}

static void look_up_epoch(struct api_shard *api, struct epoch_lookup *lookup)
{
    lookup->err = partitions_epoch_end(api->partitions, lookup->topic, lookup->partition,
                                       lookup->leader_epoch, lookup->epoch, &lookup->end);
}

static void epoch_looked_up(struct epoch_lookup *lookup)
{
    lookup->code = offsets_code(lookup->err, lookup->is_known, lookup->of->request->version);
    let_epochs_go(lookup->of);
}

static void hear_epoch(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;

    look_up_epoch(api, ((struct msg_epoch_end *)(void *)msg)->lookup);
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_epoch_answer(void *owner, struct msg *msg)
{
    struct epoch_lookup *lookup = ((struct msg_epoch_end *)(void *)msg)->lookup;

    (void)owner;
    free(msg);
    epoch_looked_up(lookup);
}

static void ask_epoch(struct epoch_ends *ends, struct epoch_lookup *lookup)
{
    struct api_shard *api = ends->request->at;
    int shard = partition_shard(lookup->topic, lookup->partition, api->process->shards);

    ends->open++;
    if (shard == api->shard->id) {
        look_up_epoch(api, lookup);
        epoch_looked_up(lookup);
        return;
    }
    struct msg_epoch_end *call = ensure_zalloc(sizeof(*call));
    call->msg.type = MSG_EPOCH_END;
    call->lookup = lookup;
    mailbox_call(api->shard->mailbox, (uint8_t)shard, &call->msg);
}

static void begin_epochs(struct epoch_ends *ends, struct request *request)
{
    const struct offset_for_leader_epoch_request *in = request->body;
    int at = 0;

    *ends = (struct epoch_ends){.request = request};
    for (int32_t t = 0; t < in->topics.count; t++)
        if (in->topics.at[t].partitions.count > 0) ends->count += in->topics.at[t].partitions.count;
    ends->lookups = arena_zalloc(&request->arena, sizeof(*ends->lookups) * (size_t)ends->count);
    for (int32_t t = 0; t < in->topics.count; t++) {
        const struct offset_for_leader_epoch_request_topic *topic = &in->topics.at[t];
        for (int32_t p = 0; p < topic->partitions.count; p++) {
            struct epoch_lookup *lookup = &ends->lookups[at++];
            *lookup = (struct epoch_lookup){
                .topic = topic->topic,
                .partition = topic->partitions.at[p].partition,
                .leader_epoch = topic->partitions.at[p].current_leader_epoch,
                .epoch = topic->partitions.at[p].leader_epoch,
                .of = ends,
            };
            lookup->is_known = is_known(request, lookup->topic, lookup->partition);
            if (!lookup->is_known) lookup->code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        }
    }
}

static void epoch_handle(struct request *request)
{
    struct epoch_ends *ends = arena_zalloc(&request->arena, sizeof(*ends));

    begin_epochs(ends, request);
    ends->open = 1;
    for (int i = 0; i < ends->count; i++)
        if (ends->lookups[i].code == KAFKA_NONE) ask_epoch(ends, &ends->lookups[i]);
    let_epochs_go(ends);
}

static const void *epoch_refuse(struct request *request, int16_t code)
{
    struct epoch_ends ends;

    begin_epochs(&ends, request);
    for (int i = 0; i < ends.count; i++)
        ends.lookups[i].code = code;
    return epoch_response(&ends);
}

const struct api offset_for_leader_epoch_api = {
    .key = API_OFFSET_FOR_LEADER_EPOCH,
    .version_min = 0,
    .version_max = 4,
    .request_wire = &offset_for_leader_epoch_request_wire,
    .response_wire = &offset_for_leader_epoch_response_wire,
    .request_size = sizeof(struct offset_for_leader_epoch_request),
    .place = API_HERE,
    .handle = epoch_handle,
    .refuse = epoch_refuse,
};

void offsets_open(struct api_shard *api, struct msg_routes *routes)
{
    messages_on_call(routes, MSG_LIST_OFFSETS, hear_lookup, api);
    messages_on_answer(routes, MSG_LIST_OFFSETS, hear_lookup_answer, api);
    messages_on_call(routes, MSG_EPOCH_END, hear_epoch, api);
    messages_on_answer(routes, MSG_EPOCH_END, hear_epoch_answer, api);
}
