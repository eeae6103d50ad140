#include "broker/api/produce.h"
#include "base/ensure.h"
#include "broker/api/codes.h"
#include "broker/api/leaders.h"
#include "broker/log/check.h"
#include "broker/replica/partitions.h"
#include "cluster/image.h"
#include "wire/gen/produce.h"
#include "wire/protocol.h"
#include <stdlib.h>

#define ADMIN_CLIENT           "__admin_client"
#define TEXTS_BYTES_MAX        (1 << 20) /* of a shard's refusals of one request */
#define BATCH_ATTRIBUTES_AT    21
#define BATCH_MAGIC_AT         16
#define BATCH_HEADER_LEN       61
#define BATCH_IS_TRANSACTIONAL 0x10

/* One partition of the request. */
struct produce_item {
    struct produce *produce;
    int topic, partition; /* where in the request */
    int shard;            /* the owner; −1: decided without one */
    int16_t code;
    bool is_known;     /* in the metadata */
    bool is_appended;  /* `append` has its results */
    bool is_committed; /* its wait has ended, with `commit_err` */
    enum err commit_err;
    struct append *append; /* of its owner's array */
    struct commit_wait wait;
};

/* The appends of one owner shard. Between shards it is lent with the message; `texts` holds what
 * the owner said until the reply is written. */
struct produce_part {
    struct append *appends;
    struct produce_item **items; /* of the home shard only */
    int count;
    struct arena texts;
};

struct produce {
    struct request *request;
    struct produce_item *items;
    int count;
    int open;                   /* items that are not decided, and one while they are handed out */
    struct produce_part *parts; /* by shard */
    int shards;
};

/* ---- codes ---- */

int16_t produce_code(enum err err, bool is_known)
{
    switch ((int)err) {
    case ERR_NOT_ENOUGH_REPLICAS:
    case ERR_FULL: /* nothing was written, and it passes: producers try again */
    case ERR_TOO_MANY:
        return KAFKA_NOT_ENOUGH_REPLICAS;
    case ERR_TOO_LARGE:
        return KAFKA_MESSAGE_TOO_LARGE;
    case ERR_LIMIT:
        return KAFKA_RECORD_LIST_TOO_LARGE;
    case ERR_CORRUPT:
    case ERR_TRUNCATED:
        return KAFKA_CORRUPT_MESSAGE;
    case ERR_INVALID_RECORD:
        return KAFKA_INVALID_RECORD;
    case ERR_INVALID_TIMESTAMP:
        return KAFKA_INVALID_TIMESTAMP;
    case ERR_UNSUPPORTED:
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    case ERR_SEQUENCE:
        return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    case ERR_PRODUCER_EPOCH:
        return KAFKA_INVALID_PRODUCER_EPOCH;
    case ERR_TXN_STATE:
        return KAFKA_INVALID_TXN_STATE;
    case ERR_COORDINATOR_FENCED:
        return KAFKA_TRANSACTION_COORDINATOR_FENCED;
    default:
        return codes_of_partition(err, is_known);
    }
}

/* How a wait for acks=all ended: in the log in any case. */
static int16_t commit_code(enum err err)
{
    return err == ERR_NOT_ENOUGH_REPLICAS ? KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND
                                          : produce_code(err, true);
}

/* ---- the reply ---- */

static void fill_partition(const struct produce_item *item,
                           struct produce_response_topic_partition *out)
{
    const struct append *append = item->append;

    out->error_code = item->code;
    out->base_offset = out->log_append_time_ms = out->log_start_offset = -1;
    out->error_message = SLICE_NULL;
    if (append == NULL || !item->is_appended) return;
    out->log_start_offset = append->log_start;
    if (append->err == ERR_OK) {
        out->base_offset = append->base_offset;
        out->log_append_time_ms = append->append_time_ms;
    }
    if (append->err == ERR_INVALID_RECORD || append->err == ERR_INVALID_TIMESTAMP)
        out->error_message = append->refusal.message;
}

static void fill_records(struct arena *arena, const struct produce_item *item,
                         struct produce_response_topic_partition *out)
{
    if (item->append == NULL || !item->is_appended || item->append->refusal.count == 0) return;
    int32_t count = item->append->refusal.count;
    out->record_errors.at = arena_zalloc(arena, sizeof(*out->record_errors.at) * (size_t)count);
    out->record_errors.count = count;
    for (int32_t i = 0; i < count; i++) {
        out->record_errors.at[i].batch_index = item->append->refusal.records[i].index;
        out->record_errors.at[i].batch_index_error_message =
            item->append->refusal.records[i].message;
    }
}

static void fill_leader(struct request *request, struct leaders *leaders,
                        const struct produce_item *item, struct slice topic, int32_t partition,
                        struct produce_response_topic_partition *out)
{
    struct leader_hint hint;

    out->current_leader.leader_id = out->current_leader.leader_epoch = -1;
    if (request->version < 10 || item->code != KAFKA_NOT_LEADER_OR_FOLLOWER) return;
    bool is_here = item->append != NULL && item->is_appended && item->append->leader_epoch >= 0;
    leaders_hint(leaders, request, topic, partition, is_here ? item->append->leader : -1,
                 is_here ? item->append->leader_epoch : -1, &hint);
    out->current_leader.leader_id = hint.leader;
    out->current_leader.leader_epoch = hint.leader_epoch;
}

static struct produce_response *response_of(struct produce *produce)
{
    struct request *request = produce->request;
    const struct produce_request *in = request->body;
    struct arena *arena = &request->arena;
    struct produce_response *out = arena_zalloc(arena, sizeof(*out));
    struct leaders leaders;
    int at = 0;

    wire_default(&produce_response_wire, out);
    leaders_init(&leaders, arena);
    int32_t topics = in->topic_data.count < 0 ? 0 : in->topic_data.count;
    out->responses.at = arena_zalloc(arena, sizeof(*out->responses.at) * (size_t)topics);
    out->responses.count = topics;
    for (int32_t t = 0; t < topics; t++) {
        const struct produce_request_topic *topic = &in->topic_data.at[t];
        struct produce_response_topic *to = &out->responses.at[t];
        int32_t partitions = topic->partition_data.count < 0 ? 0 : topic->partition_data.count;

        to->name = topic->name;
        to->partition_responses.at =
            arena_zalloc(arena, sizeof(*to->partition_responses.at) * (size_t)partitions);
        to->partition_responses.count = partitions;
        for (int32_t p = 0; p < partitions; p++, at++) {
            struct produce_response_topic_partition *part = &to->partition_responses.at[p];
            part->index = topic->partition_data.at[p].index;
            fill_partition(&produce->items[at], part);
            fill_records(arena, &produce->items[at], part);
            fill_leader(request, &leaders, &produce->items[at], topic->name, part->index, part);
        }
    }
    if (leaders.count > 0) {
        out->node_endpoints.count = leaders.count;
        out->node_endpoints.at =
            arena_zalloc(arena, sizeof(*out->node_endpoints.at) * (size_t)leaders.count);
        for (int i = 0; i < leaders.count; i++) {
            out->node_endpoints.at[i].node_id = leaders.at[i].id;
            out->node_endpoints.at[i].host = leaders.at[i].host;
            out->node_endpoints.at[i].port = leaders.at[i].port;
            out->node_endpoints.at[i].rack = leaders.at[i].rack;
        }
    }
    return out;
}

static void free_texts(struct produce *produce)
{
    for (int i = 0; i < produce->shards; i++)
        if (produce->parts[i].count > 0) arena_fini(&produce->parts[i].texts);
}

/* All items are decided. The request ends here, and with it all that is in its arena. */
static void finish(struct produce *produce)
{
    struct request *request = produce->request;
    const struct produce_request *in = request->body;
    bool failed = false;

    for (int i = 0; i < produce->count; i++)
        failed = failed || produce->items[i].code != KAFKA_NONE;
    if (failed) counter_add(&partitions_counts(request->at->partitions)->produce_failed, 1);
    if (in->acks == 0) {
        free_texts(produce);
        if (failed)
            request_close(request);
        else
            request_no_reply(request);
        return;
    }
    struct produce_response *out = response_of(produce);
    struct arena texts[SHARDS_MAX];
    int count = 0;
    for (int i = 0; i < produce->shards; i++)
        if (produce->parts[i].count > 0) texts[count++] = produce->parts[i].texts;
    request_reply(request, out); /* writes it: the texts may go */
    for (int i = 0; i < count; i++)
        arena_fini(&texts[i]);
}

/* All appends are done and something waits for other brokers: the records are not needed any more,
 * and of the frame only the names. */
static void forget_frame(struct produce *produce)
{
    struct request *request = produce->request;
    const struct produce_request *in = request->body;

    for (int i = 0; i < produce->count; i++)
        if (produce->items[i].shard >= 0 && !produce->items[i].is_appended) return;
    request_waits(request);
    for (int32_t t = 0; t < in->topic_data.count; t++)
        in->topic_data.at[t].name = arena_copy(&request->arena, in->topic_data.at[t].name);
    request->client_id = arena_copy(&request->arena, request->client_id);
    block_drop(&request->block);
}

static void let_go(struct produce *produce)
{
    ensure(produce->open > 0);
    if (--produce->open == 0)
        finish(produce);
    else if (produce->request->block != NULL)
        forget_frame(produce);
}

/* Both the append's result and, where it waits, the commit's are there: in whatever order they
 * came. */
static void decide_if_whole(struct produce_item *item)
{
    const struct append *append = item->append;

    if (!item->is_appended || (append->waits && !item->is_committed)) return;
    item->code =
        append->waits ? commit_code(item->commit_err) : produce_code(append->err, item->is_known);
    let_go(item->produce);
}

static void on_committed_here(struct commit_wait *wait, enum err err)
{
    struct produce_item *item =
        (struct produce_item *)(void *)((char *)wait - offsetof(struct produce_item, wait));

    item->is_committed = true;
    item->commit_err = err;
    decide_if_whole(item);
}

/* ---- between shards ---- */

/* → the owner: append these. Answered in its turn, with the results in place. */
struct msg_append {
    struct msg msg;
    struct block *block; /* what the records point into */
    struct produce_part *part;
    struct instant deadline;
};

/* → home: these waits have ended. One for all that waited of a msg_append. */
struct msg_append_committed {
    struct msg msg;
    struct produce_part *part;
    int open;
    struct owner_wait {
        struct commit_wait wait;
        struct msg_append_committed *group;
        struct api_shard *api;
        int index; /* of part */
        enum err err;
    } * waits;
    int count;
};

static void on_committed_there(struct commit_wait *wait, enum err err)
{
    struct owner_wait *it =
        (struct owner_wait *)(void *)((char *)wait - offsetof(struct owner_wait, wait));
    struct msg_append_committed *group = it->group;

    it->err = err;
    if (--group->open == 0) mailbox_call(it->api->shard->mailbox, group->msg.to, &group->msg);
}

static void hear_append(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_append *call = (struct msg_append *)(void *)msg;
    struct produce_part *part = call->part;
    struct msg_append_committed *group = NULL;

    for (int i = 0; i < part->count; i++) {
        struct append *append = &part->appends[i];
        struct owner_wait *wait = NULL;
        bool may_wait =
            append->acks_all || (append->acks_leader && partitions_may_hold(api->partitions));

        if (may_wait && group == NULL) {
            group = ensure_zalloc(sizeof(*group));
            group->msg.type = MSG_APPEND_COMMITTED;
            group->msg.to = msg->home;
            group->part = part;
            group->waits = ensure_zalloc(sizeof(*group->waits) * (size_t)part->count);
        }
        append->acks_leader = append->acks_leader && may_wait;
        if (may_wait) {
            wait = &group->waits[group->count];
            *wait = (struct owner_wait){
                .wait.done = on_committed_there, .group = group, .api = api, .index = i};
            append->wait = &wait->wait;
        }
        append->arena = &part->texts;
        partitions_append(api->partitions, append);
        if (append->waits) {
            group->count++;
            group->open++;
        }
        append->wait = NULL; /* ours; home has no use for it */
    }
    if (group != NULL && group->count == 0) {
        free(group->waits);
        free(group);
    }
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_append_answer(void *owner, struct msg *msg)
{
    struct msg_append *call = (struct msg_append *)(void *)msg;
    struct produce_part *part = call->part;
    int count = part->count;

    (void)owner;
    block_drop(&call->block);
    free(call);
    struct produce *produce = part->items[0]->produce;
    produce->open++; /* so that it does not end under us */
    for (int i = 0; i < count; i++) {
        part->items[i]->is_appended = true;
        decide_if_whole(part->items[i]);
    }
    let_go(produce);
}

static void hear_committed(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_append_committed *group = (struct msg_append_committed *)(void *)msg;
    struct produce *produce = group->part->items[0]->produce;

    produce->open++;
    for (int i = 0; i < group->count; i++) {
        struct produce_item *item = group->part->items[group->waits[i].index];
        item->is_committed = true;
        item->commit_err = group->waits[i].err;
        decide_if_whole(item);
    }
    let_go(produce);
    mailbox_reply(api->shard->mailbox, msg);
}

static void hear_committed_answer(void *owner, struct msg *msg)
{
    struct msg_append_committed *group = (struct msg_append_committed *)(void *)msg;

    (void)owner;
    free(group->waits);
    free(group);
}

void produce_open(struct api_shard *api, struct msg_routes *routes)
{
    messages_on_call(routes, MSG_APPEND, hear_append, api);
    messages_on_answer(routes, MSG_APPEND, hear_append_answer, api);
    messages_on_call(routes, MSG_APPEND_COMMITTED, hear_committed, api);
    messages_on_answer(routes, MSG_APPEND_COMMITTED, hear_committed_answer, api);
}

/* ---- the request ---- */

static bool is_transactional(struct slice records)
{
    return records.len >= BATCH_HEADER_LEN && records.ptr[BATCH_MAGIC_AT] >= 2 &&
           (records.ptr[BATCH_ATTRIBUTES_AT + 1] & BATCH_IS_TRANSACTIONAL) != 0;
}

/* Transactional records without a transactional id of one's own: the whole request is refused. */
static bool is_without_id(const struct produce_request *in)
{
    for (int32_t t = 0; t < in->topic_data.count; t++)
        for (int32_t p = 0; p < in->topic_data.at[t].partition_data.count; p++)
            if (is_transactional(in->topic_data.at[t].partition_data.at[p].records))
                return slice_is_null(in->transactional_id);
    return false;
}

/* What can be said before any log is asked; KAFKA_NONE: ask it. */
static int16_t check(const struct request *request, const struct produce_request *in,
                     struct slice topic, int32_t partition, struct slice records, bool *is_known)
{
    const struct image_topic *known = image_topic(request->at->image, topic);
    struct image_partition unused;

    *is_known = known != NULL && image_topic_partition(known, partition, &unused);
    if (!*is_known) return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    enum err err = check_version(request->version, records);
    if (err != ERR_OK) return produce_code(err, true);
    if (in->acks < -1 || in->acks > 1) return KAFKA_INVALID_REQUIRED_ACKS;
    /* Nobody coordinates transactions here, so that no partition is in one (KIP-890). */
    if (is_transactional(records)) return KAFKA_INVALID_TXN_STATE;
    if (topic_is_internal(topic) && !slice_is(request->client_id, ADMIN_CLIENT))
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    return KAFKA_NONE;
}

static void check_items(struct produce *produce, int *per_shard)
{
    struct request *request = produce->request;
    const struct produce_request *in = request->body;
    bool is_refused = is_without_id(in);
    int at = 0;

    for (int32_t t = 0; t < in->topic_data.count; t++) {
        const struct produce_request_topic *topic = &in->topic_data.at[t];
        for (int32_t p = 0; p < topic->partition_data.count; p++, at++) {
            const struct produce_request_topic_partition *part = &topic->partition_data.at[p];
            struct produce_item *item = &produce->items[at];

            *item = (struct produce_item){
                .produce = produce,
                .topic = t,
                .partition = p,
                .shard = -1,
                .wait.done = on_committed_here,
            };
            item->code = is_refused ? KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                                    : check(request, in, topic->name, part->index, part->records,
                                            &item->is_known);
            if (item->code != KAFKA_NONE) continue;
            item->shard = partition_shard(topic->name, part->index, produce->shards);
            per_shard[item->shard]++;
        }
    }
}

static void make_parts(struct produce *produce, const int *per_shard)
{
    struct request *request = produce->request;
    const struct produce_request *in = request->body;
    struct arena *arena = &request->arena;
    struct instant deadline = instant_add_ms(shard_now(request->at->shard), in->timeout_ms);

    for (int shard = 0; shard < produce->shards; shard++) {
        struct produce_part *part = &produce->parts[shard];
        if (per_shard[shard] == 0) continue;
        arena_init(&part->texts, TEXTS_BYTES_MAX);
        part->appends = arena_zalloc(arena, sizeof(*part->appends) * (size_t)per_shard[shard]);
        part->items = arena_zalloc(arena, sizeof(*part->items) * (size_t)per_shard[shard]);
    }
    for (int i = 0; i < produce->count; i++) {
        struct produce_item *item = &produce->items[i];
        if (item->shard < 0) continue;
        const struct produce_request_topic *topic = &in->topic_data.at[item->topic];
        const struct produce_request_topic_partition *from =
            &topic->partition_data.at[item->partition];
        struct produce_part *part = &produce->parts[item->shard];

        item->append = &part->appends[part->count];
        part->items[part->count++] = item;
        *item->append = (struct append){
            .topic = topic->name,
            .partition = from->index,
            .records = (uint8_t *)(uintptr_t)from->records.ptr, /* the frame's own bytes */
            .len = from->records.len,
            .origin = CHECK_CLIENT,
            .acks_all = in->acks == -1,
            .acks_leader = in->acks == 1,
            .deadline = deadline,
        };
    }
}

static void append_here(struct produce *produce, struct produce_part *part)
{
    struct api_shard *api = produce->request->at;

    for (int i = 0; i < part->count; i++) {
        struct append *append = &part->appends[i];
        append->arena = &part->texts;
        append->wait = &part->items[i]->wait;
        partitions_append(api->partitions, append);
        part->items[i]->is_appended = true;
        decide_if_whole(part->items[i]);
    }
}

static void append_there(struct produce *produce, int shard)
{
    struct request *request = produce->request;
    struct msg_append *call = ensure_zalloc(sizeof(*call));

    call->msg.type = MSG_APPEND;
    call->block = block_hold(request_block(request));
    call->part = &produce->parts[shard];
    mailbox_call(request->at->shard->mailbox, (uint8_t)shard, &call->msg);
}

static void handle(struct request *request)
{
    const struct produce_request *in = request->body;
    struct arena *arena = &request->arena;
    struct produce *produce = arena_zalloc(arena, sizeof(*produce));
    int per_shard[SHARDS_MAX] = {0};

    produce->request = request;
    produce->shards = request->at->process->shards;
    for (int32_t t = 0; t < in->topic_data.count; t++)
        if (in->topic_data.at[t].partition_data.count > 0)
            produce->count += in->topic_data.at[t].partition_data.count;
    produce->items = arena_zalloc(arena, sizeof(*produce->items) * (size_t)produce->count);
    produce->parts = arena_zalloc(arena, sizeof(*produce->parts) * (size_t)produce->shards);
    counter_add(&partitions_counts(request->at->partitions)->produce_requests, 1);

    check_items(produce, per_shard);
    make_parts(produce, per_shard);
    produce->open = 1;
    for (int i = 0; i < produce->count; i++)
        produce->open += produce->items[i].shard >= 0;
    for (int shard = 0; shard < produce->shards; shard++) {
        if (produce->parts[shard].count == 0) continue;
        if (shard == request->at->shard->id)
            append_here(produce, &produce->parts[shard]);
        else
            append_there(produce, shard);
    }
    let_go(produce);
}

static const void *refuse(struct request *request, int16_t code)
{
    const struct produce_request *in = request->body;
    struct arena *arena = &request->arena;
    struct produce produce = {.request = request};

    if (in->acks == 0) return NULL;
    for (int32_t t = 0; t < in->topic_data.count; t++)
        if (in->topic_data.at[t].partition_data.count > 0)
            produce.count += in->topic_data.at[t].partition_data.count;
    produce.items = arena_zalloc(arena, sizeof(*produce.items) * (size_t)produce.count);
    for (int i = 0; i < produce.count; i++)
        produce.items[i].code = code;
    return response_of(&produce);
}

const struct api produce_api = {
    .key = API_PRODUCE,
    .version_min = 0,
    .version_max = 11,
    .request_wire = &produce_request_wire,
    .response_wire = &produce_response_wire,
    .request_size = sizeof(struct produce_request),
    .place = API_HERE,
    .handle = handle,
    .refuse = refuse,
};
