#include "broker/api/alter.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/map.h"
#include "broker/api/forward.h"
#include "broker/api/isr_writer.h"
#include "cluster/level.h"
#include "wire/gen/alter_partition.h"
#include "wire/protocol.h"
#include <stdlib.h>

#define RETRY_MS           50
#define PARTITIONS_MAX     2000 /* in one request */
#define ARENA_BYTES_MAX    (64 * 1024 * 1024)
#define VERSION_TOPIC_IDS  2
#define VERSION_ISR_EPOCHS 3

/* A proposal, from its shard and back; and the decision, which takes the other direction. */
struct msg_isr {
    struct msg msg;
    struct uuid topic_id;
    int32_t partition, leader_epoch, partition_epoch, controller_epoch;
    bool is_recovered;
    enum isr_verdict verdict;
    int isr_count;
    int32_t isr[ISR_SLOTS_MAX];
    int64_t broker_epochs[ISR_SLOTS_MAX]; /* of a proposal's members; −1: not known */
    size_t topic_len;
    char topic[256];
};

struct pending {
    struct list_node node;
    int shard;
    struct msg_isr change;
    struct isr_write write; /* instead of AlterPartition */
};

struct alter {
    struct api_shard *control;
    struct list waiting; /* struct pending */
    struct list sent;    /* with the request that is on its way */
    struct list writing; /* in the hands of `writer` */
    struct isr_writer *writer;
    struct forward_call call;
    bool is_sending, is_stopping;
    struct timer timer;
    struct arena arena; /* of the request that is on its way */
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static struct slice topic_of(const struct msg_isr *isr)
{
    return slice_of(isr->topic, isr->topic_len);
}

/* ---- on the leaders' shards ---- */

void alter_propose(void *owner, const struct isr_change *change)
{
    struct api_shard *api = owner;
    struct msg_isr *say = ensure_zalloc(sizeof(*say));

    ensure(change->isr_count <= ISR_SLOTS_MAX && change->topic.len < sizeof(say->topic));
    say->msg.type = MSG_ISR_PROPOSED;
    say->topic_id = change->topic_id;
    say->partition = change->partition;
    say->leader_epoch = change->leader_epoch;
    say->partition_epoch = change->partition_epoch;
    say->controller_epoch = change->controller_epoch;
    say->is_recovered = change->is_recovered;
    say->isr_count = change->isr_count;
    memcpy(say->isr, change->isr, sizeof(*say->isr) * (size_t)change->isr_count);
    memcpy(say->broker_epochs, change->broker_epochs,
           sizeof(*say->broker_epochs) * (size_t)change->isr_count);
    memcpy(say->topic, change->topic.ptr, change->topic.len);
    say->topic_len = change->topic.len;
    mailbox_call(api->shard->mailbox, (uint8_t)api->process->shards, &say->msg);
}

static void hear_answer(void *owner, struct msg *msg)
{
    (void)owner;
    free(msg);
}

static void hear_decided(void *owner, struct msg *msg)
{
    struct api_shard *api = owner;
    struct msg_isr *decided = (struct msg_isr *)(void *)msg;

    partitions_isr_decided(api->partitions,
                           &(struct isr_decision){.topic = topic_of(decided),
                                                  .partition = decided->partition,
                                                  .verdict = decided->verdict,
                                                  .leader_epoch = decided->leader_epoch,
                                                  .partition_epoch = decided->partition_epoch,
                                                  .isr = decided->isr,
                                                  .isr_count = decided->isr_count});
    mailbox_reply(api->shard->mailbox, msg);
}

void alter_listen(struct api_shard *api, struct msg_routes *routes)
{
    messages_on_answer(routes, MSG_ISR_PROPOSED, hear_answer, api);
    messages_on_call(routes, MSG_ISR_DECIDED, hear_decided, api);
}

/* ---- on the control shard ---- */

static void send_next(struct alter *alter);

static void decide(struct alter *alter, struct pending *pending, enum isr_verdict verdict)
{
    struct msg_isr *say = ensure_malloc(sizeof(*say));

    *say = pending->change;
    say->msg = (struct msg){.type = MSG_ISR_DECIDED};
    say->verdict = verdict;
    mailbox_call(alter->control->shard->mailbox, (uint8_t)pending->shard, &say->msg);
    list_remove(&pending->node);
    free(pending);
}

/* Brokers below 2.7-IV2 may be among us: then nobody asks the controller. */
static bool writes_by_itself(const struct alter *alter)
{
    return options_level(alter->control->process->options) < LEVEL_2_7_IV2;
}

static void on_written(void *owner, struct isr_write *write)
{
    struct pending *pending = CONTAINER(write, struct pending, write);

    pending->change.partition_epoch = write->partition_epoch;
    decide(owner, pending, write->verdict);
}

static void write_state(struct alter *alter, struct pending *pending)
{
    struct msg_isr *change = &pending->change;

    pending->write = (struct isr_write){
        .topic = topic_of(change),
        .partition = change->partition,
        .leader_epoch = change->leader_epoch,
        .partition_epoch = change->partition_epoch,
        .controller_epoch = change->controller_epoch,
        .isr = change->isr,
        .isr_count = change->isr_count,
    };
    list_push(&alter->writing, &pending->node);
    isr_writer_add(alter->writer, &pending->write);
}

void alter_set_zk(struct alter *alter, struct zk *zk)
{
    isr_writer_set_zk(alter->writer, zk);
}

static enum isr_verdict verdict_of(int16_t code)
{
    switch (code) {
    case KAFKA_NONE:
        return ISR_COMMITTED;
    case KAFKA_OPERATION_NOT_ATTEMPTED:
    case KAFKA_INELIGIBLE_REPLICA:
        return ISR_REFUSED;
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
    case KAFKA_UNKNOWN_TOPIC_ID:
    case KAFKA_FENCED_LEADER_EPOCH:
    case KAFKA_INVALID_UPDATE_VERSION:
    case KAFKA_INVALID_REQUEST:
    case KAFKA_NEW_LEADER_ELECTED:
        return ISR_UNKNOWN;
    default:
        return ISR_RETRY;
    }
}

/* A topic by its id, or where the version has none by its name, and a partition of it. */
struct key {
    uint8_t bytes[sizeof(int32_t) + 256];
};

static struct slice key_of(struct key *key, struct slice topic, int32_t partition)
{
    size_t len = topic.len > sizeof(*key) - sizeof(partition) ? 0 : topic.len;

    memcpy(key->bytes, &partition, sizeof(partition));
    if (len > 0) memcpy(key->bytes + sizeof(partition), topic.ptr, len);
    return slice_of(key->bytes, sizeof(partition) + len);
}

static struct slice id_slice(const struct uuid *id)
{
    return slice_of(id->bytes, sizeof(id->bytes));
}

static void index_sent(const struct alter *alter, bool by_id, struct map *out)
{
    struct key key;

    list_each (node, &alter->sent) {
        struct pending *pending = list_entry(node, struct pending, node);
        const struct msg_isr *change = &pending->change;
        struct slice topic = by_id ? id_slice(&change->topic_id) : topic_of(change);
        struct slice at = key_of(&key, topic, change->partition);
        /* Of two for the same partition the first is answered; the other is sent again. */
        if (map_get(out, at) == NULL) (void)map_set(out, at, pending);
    }
}

static void take_answer(struct alter *alter, int version, const struct alter_partition_response *in)
{
    bool by_id = version >= VERSION_TOPIC_IDS;
    struct map sent;
    struct key key;

    map_init(&sent);
    index_sent(alter, by_id, &sent);
    for (int32_t t = 0; t < in->topics.count; t++) {
        const struct alter_partition_response_topic *topic = &in->topics.at[t];
        for (int32_t p = 0; p < topic->partitions.count; p++) {
            const struct alter_partition_response_topic_partition *part = &topic->partitions.at[p];
            struct slice name = by_id ? id_slice(&topic->topic_id) : topic->topic_name;
            struct pending *pending = map_remove(&sent, key_of(&key, name, part->partition_index));
            if (pending == NULL) continue;
            enum isr_verdict verdict = verdict_of(part->error_code);
            if (verdict == ISR_COMMITTED) {
                if (part->isr.count < 0 || part->isr.count > ISR_SLOTS_MAX) continue;
                pending->change.leader_epoch = part->leader_epoch;
                pending->change.partition_epoch = part->partition_epoch;
                pending->change.isr_count = part->isr.count;
                memcpy(pending->change.isr, part->isr.at,
                       sizeof(*part->isr.at) * (size_t)part->isr.count);
            }
            log_info("broker", "alter-partition", "topic=%.*s partition=%d code=%d isr_count=%d",
                     SLICE_ARGS(topic_of(&pending->change)), part->partition_index,
                     part->error_code, pending->change.isr_count);
            decide(alter, pending, verdict);
        }
    }
    map_fini(&sent);
}

/* What was not answered is sent again, before what has come since. */
static void requeue(struct alter *alter)
{
    for (struct list_node *node; (node = list_last(&alter->sent)) != NULL;) {
        list_remove(node);
        list_push_front(&alter->waiting, node);
    }
}

static bool is_not_controller(const struct alter_partition_response *in)
{
    for (int32_t t = 0; t < in->topics.count; t++)
        for (int32_t p = 0; p < in->topics.at[t].partitions.count; p++)
            if (in->topics.at[t].partitions.at[p].error_code == KAFKA_NOT_CONTROLLER) return true;
    return in->error_code == KAFKA_NOT_CONTROLLER;
}

static void on_answer(struct forward_call *call, enum err err, struct slice answer)
{
    struct alter *alter = CONTAINER(call, struct alter, call);
    struct alter_partition_response in;

    if (err == ERR_OK)
        err = wire_read(answer, call->call.version, &alter_partition_response_wire, &alter->arena,
                        &in);
    if (err == ERR_OK && is_not_controller(&in) && !alter->is_stopping) {
        forward_again(call);
        return;
    }
    if (err == ERR_OK && in.error_code == KAFKA_NONE)
        take_answer(alter, call->call.version, &in);
    else if (!alter->is_stopping)
        log_warn("broker", "alter-partition-failed", "why=%s code=%d", err_name(err),
                 err == ERR_OK ? in.error_code : -1);
    alter->is_sending = false;
    requeue(alter);
    if (!list_is_empty(&alter->waiting) && !alter->is_stopping)
        timer_arm(alter->control->shard, &alter->timer,
                  instant_add_ms(shard_now(alter->control->shard), RETRY_MS));
}

static void write_request(struct peer_call *peer, int version, struct buf *body)
{
    struct forward_call *call = CONTAINER(peer, struct forward_call, call);
    struct alter *alter = CONTAINER(call, struct alter, call);
    struct alter_partition_request out;
    int count = 0;

    arena_reset(&alter->arena);
    wire_default(&alter_partition_request_wire, &out);
    out.broker_id = alter->control->process->broker_id;
    out.broker_epoch = alter->control->broker_epoch;
    list_each (node, &alter->sent)
        count++;
    out.topics.at = arena_zalloc(&alter->arena, sizeof(*out.topics.at) * (size_t)(count + 1));
    out.topics.count = 0;
    list_each (node, &alter->sent) {
        struct msg_isr *change = &list_entry(node, struct pending, node)->change;
        struct alter_partition_request_topic *topic = &out.topics.at[out.topics.count++];
        struct alter_partition_request_topic_partition *part =
            arena_zalloc(&alter->arena, sizeof(*part));
        topic->topic_name = topic_of(change);
        topic->topic_id = change->topic_id;
        topic->partitions.at = part;
        topic->partitions.count = 1;
        part->partition_index = change->partition;
        part->leader_epoch = change->leader_epoch;
        part->partition_epoch = change->partition_epoch;
        part->new_isr.at = change->isr;
        part->new_isr.count = change->isr_count;
        part->new_isr_with_epochs.at = arena_zalloc(
            &alter->arena, sizeof(*part->new_isr_with_epochs.at) * (size_t)(change->isr_count + 1));
        part->new_isr_with_epochs.count = change->isr_count;
        for (int i = 0; i < change->isr_count; i++) {
            part->new_isr_with_epochs.at[i].broker_id = change->isr[i];
            part->new_isr_with_epochs.at[i].broker_epoch =
                change->isr[i] == out.broker_id ? out.broker_epoch : change->broker_epochs[i];
        }
    }
    wire_write(body, version, &alter_partition_request_wire, &out);
}

static void prepare(struct forward_call *call, bool is_broker)
{
    struct alter *alter = CONTAINER(call, struct alter, call);
    bool has_ids = options_level(alter->control->process->options) >= LEVEL_2_8_IV0;

    list_each (node, &alter->sent)
        has_ids = has_ids && !uuid_is_zero(list_entry(node, struct pending, node)->change.topic_id);
    call->call.api_key = API_ALTER_PARTITION;
    call->call.version_max = has_ids ? VERSION_ISR_EPOCHS : VERSION_TOPIC_IDS - 1;
    call->call.version_min = is_broker ? 0 : call->call.version_max;
    call->call.write = write_request;
}

static void send_next(struct alter *alter)
{
    if (alter->is_sending || alter->is_stopping || list_is_empty(&alter->waiting)) return;
    for (int i = 0; i < PARTITIONS_MAX && !list_is_empty(&alter->waiting); i++)
        list_push(&alter->sent, list_pop(&alter->waiting));
    alter->is_sending = true;
    alter->call = (struct forward_call){
        .lane = FORWARD_PROMPT, .deadline = INSTANT_NEVER, .prepare = prepare, .done = on_answer};
    forward_send(alter->control->forward, &alter->call);
}

static void on_timer(struct timer *timer)
{
    send_next(CONTAINER(timer, struct alter, timer));
}

static void hear_proposed(void *owner, struct msg *msg)
{
    struct alter *alter = owner;
    struct pending *pending = ensure_zalloc(sizeof(*pending));

    pending->shard = msg->home;
    pending->change = *(struct msg_isr *)(void *)msg;
    mailbox_reply(alter->control->shard->mailbox, msg);
    if (!alter->is_stopping && writes_by_itself(alter)) {
        write_state(alter, pending);
        return;
    }
    list_push(&alter->waiting, &pending->node);
    if (alter->is_stopping) return;
    /* At the end of the turn's messages, so that what comes together goes together. */
    timer_arm(alter->control->shard, &alter->timer, shard_now(alter->control->shard));
}

struct alter *alter_create(struct api_shard *control, struct msg_routes *routes)
{
    struct alter *alter = ensure_zalloc(sizeof(*alter));

    alter->control = control;
    list_init(&alter->waiting);
    list_init(&alter->sent);
    list_init(&alter->writing);
    alter->writer =
        isr_writer_create(&(struct isr_writer_options){.shard = control->shard,
                                                       .broker_id = control->process->broker_id,
                                                       .decided = on_written,
                                                       .owner = alter});
    alter->timer.fire = on_timer;
    arena_init(&alter->arena, ARENA_BYTES_MAX);
    messages_on_call(routes, MSG_ISR_PROPOSED, hear_proposed, alter);
    messages_on_answer(routes, MSG_ISR_DECIDED, hear_answer, alter);
    return alter;
}

void alter_stop(struct alter *alter)
{
    alter->is_stopping = true;
    timer_cancel(alter->control->shard, &alter->timer);
}

void alter_destroy(struct alter **alter)
{
    struct alter *gone = *alter;

    if (gone == NULL) return;
    requeue(gone);
    isr_writer_destroy(&gone->writer);
    for (struct list_node *node; (node = list_pop(&gone->waiting)) != NULL;)
        free(list_entry(node, struct pending, node));
    for (struct list_node *node; (node = list_pop(&gone->writing)) != NULL;)
        free(list_entry(node, struct pending, node));
    timer_cancel(gone->control->shard, &gone->timer);
    arena_fini(&gone->arena);
    free(gone);
    *alter = NULL;
}
