#include "tools/producer.h"
#include "tools/partitioner.h"
#include "base/ensure.h"
#include "cluster/types.h"
#include "wire/gen/produce.h"
#include <stdlib.h>

#define RECORD_OVERHEAD 32 /* bytes of a record besides its content, at most about */

/* One batch of one partition, on its way. */
struct parcel {
    struct list_node node;
    struct record_builder builder;
    struct buf bytes;
    size_t charge; /* of producer_bytes */
    bool is_sealed;
    int64_t tries;
    struct instant opened;
};

struct part {
    int32_t index;
    int32_t leader;
    struct list waiting;      /* batches in order; only the last may be open */
    struct parcel *in_flight; /* NULL: none */
    struct instant not_before;
};

/* One Produce request under way. */
struct sending {
    struct list_node node;
    struct cluster_request request;
    struct producer *producer;
    struct produce_request body;
    struct produce_request_topic topic;
    struct produce_request_topic_partition *partitions;
    struct part **parts;
    int count;
};

struct producer {
    struct cluster *cluster;
    struct producer_options options;
    struct part **parts;
    int32_t part_count;
    int32_t sticky; /* where records without a key go now */
    size_t sticky_bytes;
    size_t fits; /* a larger batch is split, for one was too large for the topic */
    size_t bytes;
    int64_t pending;
    bool is_flushing;
    struct list sendings;
    struct post work;
    struct timer timer;

    struct cluster_request metadata;
    struct metadata_request metadata_body;
    struct metadata_request_topic metadata_topic;
    struct slice metadata_name;
    bool is_asking, must_ask;
    struct instant ask_at;
};

static struct instant now(const struct producer *p)
{
    return env_now(cluster_shard(p->cluster)->env);
}

/* ---- batches ---- */

static struct parcel *parcel_open(struct producer *p, struct part *part)
{
    struct parcel *batch = ensure_zalloc(sizeof(*batch));

    batch->opened = now(p);
    record_builder_begin(&batch->builder, &batch->bytes);
    batch->builder.head.attributes = (uint16_t)p->options.codec;
    batch->builder.level = COMPRESS_LEVEL_DEFAULT;
    list_push(&part->waiting, &batch->node);
    return batch;
}

static void parcel_seal(struct parcel *batch)
{
    if (!batch->is_sealed) record_builder_end(&batch->builder);
    batch->is_sealed = true;
}

static void parcel_free(struct producer *p, struct parcel *batch)
{
    p->bytes -= batch->charge;
    p->pending -= batch->builder.head.record_count;
    buf_fini(&batch->bytes);
    free(batch);
}

static struct parcel *first_waiting(const struct part *part)
{
    struct list_node *node = list_first(&part->waiting);

    return node == NULL ? NULL : list_entry(node, struct parcel, node);
}

static struct parcel *last_waiting(const struct part *part)
{
    struct list_node *node = list_last(&part->waiting);

    return node == NULL ? NULL : list_entry(node, struct parcel, node);
}

/* The batch that takes a record of so many bytes: the open one, or a new one. */
static struct parcel *parcel_for(struct producer *p, struct part *part, size_t bytes)
{
    struct parcel *last = last_waiting(part);
    size_t limit = (size_t)p->options.batch_bytes;

    if (part->in_flight != NULL && limit < (size_t)p->options.batch_bytes_grown)
        limit = (size_t)p->options.batch_bytes_grown;
    if (limit > p->fits) limit = p->fits;
    bool has_room =
        last != NULL && !last->is_sealed && record_builder_size(&last->builder) + bytes <= limit;
    return has_room ? last : parcel_open(p, part);
}

static struct part *part_for(struct producer *p, struct slice key)
{
    if (!slice_is_null(key)) return p->parts[partitioner_of_key(key, p->part_count)];
    if (p->sticky_bytes >= (size_t)p->options.batch_bytes) {
        p->sticky_bytes = 0;
        for (int32_t i = 0; i < p->part_count; i++) {
            p->sticky = (p->sticky + 1) % p->part_count;
            if (p->parts[p->sticky]->leader >= 0) break; /* else whatever comes */
        }
    }
    return p->parts[p->sticky];
}

void producer_add(struct producer *p, const struct record_header *headers, int32_t header_count,
                  struct slice key, struct slice value)
{
    size_t bytes = key.len + value.len + RECORD_OVERHEAD;

    for (int32_t i = 0; i < header_count; i++)
        bytes += headers[i].key.len + headers[i].value.len + 10;
    struct part *part = part_for(p, key);
    struct parcel *batch = parcel_for(p, part, bytes);
    record_builder_add(&batch->builder, env_wall_ms(cluster_shard(p->cluster)->env), key, value,
                       headers, header_count);
    batch->charge += bytes;
    p->bytes += bytes;
    p->pending++;
    if (slice_is_null(key)) p->sticky_bytes += bytes;
    shard_post(cluster_shard(p->cluster), &p->work);
}

static void end_parcel(struct producer *p, struct parcel *batch, enum err err, int16_t code,
                       struct slice message)
{
    p->options.delivered(p->options.owner, batch->builder.head.record_count, err, code, message);
    parcel_free(p, batch);
}

/* Larger than a record of the topic may be, or than a segment: what it has in it may still fit. */
static bool is_too_large(int16_t code)
{
    return code == KAFKA_MESSAGE_TOO_LARGE || code == KAFKA_RECORD_LIST_TOO_LARGE;
}

/* A batch that is too large for the topic, as two or more, in its place. */
static bool split_parcel(struct producer *p, struct part *part, struct parcel *batch)
{
    struct slice whole = buf_slice(&batch->bytes);
    struct buf opened = {0};
    struct parcel *half = NULL;
    struct record record;
    int32_t half_count = (batch->builder.head.record_count + 1) / 2, n = 0;
    struct list halves;

    list_init(&halves);
    if (batch->builder.head.record_count < 2) return false;
    if (p->fits > batch->charge / 2) p->fits = batch->charge / 2;
    struct slice records = slice_of(whole.ptr + BATCH_HEADER_SIZE, whole.len - BATCH_HEADER_SIZE);
    if (p->options.codec != BATCH_CODEC_NONE) {
        enum err err =
            compress_read(p->options.codec, BATCH_MAGIC, records, (size_t)1 << 30, &opened);
        ensure(err == ERR_OK); /* we have written it */
        records = buf_slice(&opened);
    }
    struct record_reader reader = record_reader_of(records, batch->builder.head.record_count);
    while (record_next(&reader, &record)) {
        if (n++ % half_count == 0) {
            half = ensure_zalloc(sizeof(*half));
            half->opened = batch->opened;
            record_builder_begin(&half->builder, &half->bytes);
            half->builder.head.attributes = (uint16_t)p->options.codec;
            half->builder.level = COMPRESS_LEVEL_DEFAULT;
            list_push(&halves, &half->node);
        }
        struct slice left = record.headers;
        struct record_header header, *headers = NULL;
        int32_t count = 0;
        while (record_header_next(&left, &header)) {
            headers = ensure_realloc(headers, (size_t)(count + 1) * sizeof(*headers));
            headers[count++] = header;
        }
        record_builder_add(&half->builder,
                           batch->builder.head.base_timestamp + record.timestamp_delta, record.key,
                           record.value, headers, count);
        half->charge += record.key.len + record.value.len + RECORD_OVERHEAD;
        free(headers);
    }
    /* From the last on, so that they stand in order before what waits. */
    for (struct list_node *node; (node = list_last(&halves)) != NULL;) {
        list_remove(node);
        half = list_entry(node, struct parcel, node);
        parcel_seal(half);
        p->bytes += half->charge;
        p->pending += half->builder.head.record_count;
        list_push_front(&part->waiting, node);
    }
    buf_fini(&opened);
    parcel_free(p, batch);
    return true;
}

/* ---- leaders ---- */

static struct part *part_at(struct producer *p, int32_t index)
{
    for (; p->part_count <= index; p->part_count++) {
        struct part *part = ensure_zalloc(sizeof(*part));
        p->parts = ensure_realloc(p->parts, (size_t)(p->part_count + 1) * sizeof(*p->parts));
        part->index = p->part_count;
        part->leader = LEADER_NONE;
        list_init(&part->waiting);
        p->parts[p->part_count] = part;
    }
    return p->parts[index];
}

/* Takes over what Metadata says. The topic's error, 0 when it has partitions. */
static int16_t take_metadata(struct producer *p, const struct metadata_response *metadata)
{
    for (int32_t i = 0; i < metadata->topics.count; i++) {
        const struct metadata_response_topic *topic = &metadata->topics.at[i];
        if (!slice_is(topic->name, p->options.topic)) continue;
        if (topic->error_code != KAFKA_NONE) return topic->error_code;
        for (int32_t j = 0; j < topic->partitions.count; j++) {
            const struct metadata_response_topic_partition *from = &topic->partitions.at[j];
            if (from->partition_index >= 0 && from->partition_index < topic->partitions.count)
                part_at(p, from->partition_index)->leader = from->leader_id;
        }
        return p->part_count > 0 ? KAFKA_NONE : KAFKA_LEADER_NOT_AVAILABLE;
    }
    return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

static void metadata_came(struct cluster_request *request)
{
    struct producer *p = request->owner;

    p->is_asking = false;
    p->must_ask = false;
    p->ask_at = instant_add_ms(now(p), p->options.metadata_expiry_ms);
    bool is_known = false;
    if (request->err == ERR_OK) {
        cluster_note(p->cluster, request->response);
        is_known = take_metadata(p, request->response) == KAFKA_NONE;
        for (int32_t i = 0; i < p->part_count; i++)
            is_known = is_known && !(p->parts[i]->leader < 0 && first_waiting(p->parts[i]) != NULL);
    }
    if (!is_known) p->ask_at = instant_add_ms(now(p), p->options.retry_backoff_ms);
    cluster_request_fini(request);
    shard_post(cluster_shard(p->cluster), &p->work);
}

static void ask_metadata(struct producer *p)
{
    p->is_asking = true;
    p->metadata = (struct cluster_request){
        .api = API_METADATA, .body = &p->metadata_body, .done = metadata_came, .owner = p};
    cluster_metadata_fill(&p->metadata_body, &p->metadata_topic, &p->metadata_name, 1, false);
    cluster_send(p->cluster, CLUSTER_ANY, &p->metadata);
}

static void want_metadata(struct producer *p)
{
    if (!p->must_ask && !p->is_asking)
        p->ask_at = instant_min(p->ask_at, instant_add_ms(now(p), p->options.retry_backoff_ms));
    p->must_ask = true;
}

/* ---- sending ---- */

static void sending_free(struct sending *sending)
{
    list_remove(&sending->node);
    cluster_request_fini(&sending->request);
    free(sending->partitions);
    free(sending->parts);
    free(sending);
}

static const struct produce_response_topic_partition *
answer_of(const struct produce_response *response, int32_t index)
{
    for (int32_t i = 0; response != NULL && i < response->responses.count; i++)
        for (int32_t j = 0; j < response->responses.at[i].partition_responses.count; j++)
            if (response->responses.at[i].partition_responses.at[j].index == index)
                return &response->responses.at[i].partition_responses.at[j];
    return NULL;
}

static bool is_passing(enum err err)
{
    return err == ERR_CLOSED || err == ERR_REFUSED || err == ERR_UNREACHABLE ||
           err == ERR_NOT_FOUND || err == ERR_TIMED_OUT;
}

/* Puts the batch back at its place, or gives it up. */
static void retry_parcel(struct producer *p, struct part *part, struct parcel *batch, bool was_sent,
                         enum err err, int16_t code, struct slice message)
{
    bool may_retry = err != ERR_OK ? is_passing(err) : kafka_error_is_retriable(code);

    if (may_retry && was_sent) may_retry = batch->tries++ < p->options.retries;
    if (!may_retry) {
        end_parcel(p, batch, err, code, message);
        return;
    }
    list_push_front(&part->waiting, &batch->node);
    part->not_before = instant_add_ms(now(p), p->options.retry_backoff_ms);
    want_metadata(p);
}

static void part_answered(struct producer *p, struct part *part, const struct sending *sending)
{
    struct parcel *batch = part->in_flight;
    const struct cluster_request *request = &sending->request;

    part->in_flight = NULL;
    if (request->err != ERR_OK) {
        retry_parcel(p, part, batch, request->was_sent, request->err, 0, SLICE_NULL);
        return;
    }
    const struct produce_response_topic_partition *answer =
        request->no_answer ? NULL : answer_of(request->response, part->index);
    int16_t code = request->no_answer ? KAFKA_NONE
                   : answer == NULL   ? KAFKA_UNKNOWN_SERVER_ERROR
                                      : answer->error_code;
    if (code == KAFKA_NONE)
        end_parcel(p, batch, ERR_OK, KAFKA_NONE, SLICE_NULL);
    else if (!is_too_large(code) || !split_parcel(p, part, batch))
        retry_parcel(p, part, batch, true, ERR_OK, code,
                     answer == NULL ? SLICE_NULL : answer->error_message);
}

static void sending_answered(struct cluster_request *request)
{
    struct sending *sending = request->owner;
    struct producer *p = sending->producer;

    for (int i = 0; i < sending->count; i++)
        part_answered(p, sending->parts[i], sending);
    sending_free(sending);
    shard_post(cluster_shard(p->cluster), &p->work);
}

/* When the partition's first batch may leave; INSTANT_NEVER when there is none. */
static struct instant part_due(const struct producer *p, const struct part *part)
{
    struct parcel *first = first_waiting(part);

    if (first == NULL || part->in_flight != NULL || part->leader < 0) return INSTANT_NEVER;
    bool is_full = first != last_waiting(part) || first->is_sealed || p->is_flushing ||
                   record_builder_size(&first->builder) >= (size_t)p->options.batch_bytes;
    struct instant due =
        is_full ? INSTANT_ZERO : instant_add_ms(first->opened, p->options.linger_ms);
    return instant_max(due, part->not_before);
}

static void add_part(struct sending *sending, struct part *part)
{
    struct parcel *batch = first_waiting(part);

    list_remove(&batch->node);
    parcel_seal(batch);
    part->in_flight = batch;
    sending->partitions[sending->count].index = part->index;
    sending->partitions[sending->count].records = buf_slice(&batch->bytes);
    sending->parts[sending->count++] = part;
}

/* One request to the leader of `first`, with all of that broker's partitions that are due. */
static void send_to(struct producer *p, int32_t first)
{
    struct sending *sending = ensure_zalloc(sizeof(*sending));
    int32_t leader = p->parts[first]->leader;
    int64_t bytes = 0;

    sending->producer = p;
    sending->partitions = ensure_zalloc((size_t)p->part_count * sizeof(*sending->partitions));
    sending->parts = ensure_zalloc((size_t)p->part_count * sizeof(struct part *));
    for (int32_t i = first; i < p->part_count; i++) {
        struct part *part = p->parts[i];
        if (part->leader != leader || !instant_reached(now(p), part_due(p, part))) continue;
        int64_t more = (int64_t)record_builder_size(&first_waiting(part)->builder);
        if (sending->count > 0 && bytes + more > p->options.request_bytes_max) break;
        bytes += more;
        add_part(sending, part);
    }
    wire_default(&produce_request_wire, &sending->body);
    sending->topic.name = slice_text(p->options.topic);
    sending->topic.partition_data.at = sending->partitions;
    sending->topic.partition_data.count = sending->count;
    sending->body.transactional_id = SLICE_NULL;
    sending->body.acks = p->options.acks;
    sending->body.timeout_ms = (int32_t)p->options.request_timeout_ms;
    sending->body.topic_data.at = &sending->topic;
    sending->body.topic_data.count = 1;
    sending->request = (struct cluster_request){.api = API_PRODUCE,
                                                .body = &sending->body,
                                                .version_min = 3, /* record batches */
                                                .timeout_ms = p->options.request_timeout_ms,
                                                .no_answer = p->options.acks == 0,
                                                .done = sending_answered,
                                                .owner = sending};
    list_push(&p->sendings, &sending->node);
    cluster_send(p->cluster, leader, &sending->request);
}

/* Batches that are too old are given up, wherever they wait. */
static void expire(struct producer *p)
{
    for (int32_t i = 0; i < p->part_count; i++) {
        struct parcel *first;
        while ((first = first_waiting(p->parts[i])) != NULL &&
               instant_reached(now(p),
                               instant_add_ms(first->opened, p->options.delivery_timeout_ms))) {
            list_remove(&first->node);
            end_parcel(p, first, ERR_TIMED_OUT, 0, SLICE_NULL);
        }
    }
}

static void work(struct post *post)
{
    struct producer *p =
        (struct producer *)(void *)((char *)post - offsetof(struct producer, work));
    struct instant next = p->ask_at;

    expire(p);
    for (int32_t i = 0; i < p->part_count; i++)
        if (instant_reached(now(p), part_due(p, p->parts[i]))) send_to(p, i);
    for (int32_t i = 0; i < p->part_count; i++) {
        struct parcel *first = first_waiting(p->parts[i]);
        next = instant_min(next, part_due(p, p->parts[i]));
        if (first == NULL) continue;
        next = instant_min(next, instant_add_ms(first->opened, p->options.delivery_timeout_ms));
        if (p->parts[i]->leader < 0) want_metadata(p);
    }
    if (!p->is_asking && instant_reached(now(p), p->ask_at)) ask_metadata(p);
    if (p->is_asking && instant_reached(now(p), p->ask_at))
        p->ask_at = instant_add_ms(now(p), p->options.retry_backoff_ms);
    timer_arm(cluster_shard(p->cluster), &p->timer, instant_min(next, p->ask_at));
}

static void fire(struct timer *timer)
{
    struct producer *p =
        (struct producer *)(void *)((char *)timer - offsetof(struct producer, timer));

    work(&p->work);
}

void producer_flush(struct producer *p)
{
    p->is_flushing = true;
    shard_post(cluster_shard(p->cluster), &p->work);
}

size_t producer_bytes(const struct producer *p)
{
    return p->bytes;
}

int64_t producer_pending(const struct producer *p)
{
    return p->pending;
}

/* ---- open, close ---- */

static enum err wait_for_topic(struct producer *p, int64_t max_block_ms, struct buf *message)
{
    struct instant deadline = instant_add_ms(now(p), max_block_ms);

    for (;;) {
        const struct metadata_response *metadata;
        struct cluster_request request;
        enum err err =
            cluster_metadata(p->cluster, &p->metadata_name, 1, true, &request, &metadata, message);
        if (err != ERR_OK) return err;
        int16_t code = take_metadata(p, metadata);
        cluster_request_fini(&request);
        if (code == KAFKA_NONE) return ERR_OK;
        bool is_over = instant_reached(now(p), deadline);
        if (!kafka_error_is_retriable(code) || is_over) {
            buf_printf(message, "topic %s: %s", p->options.topic, kafka_error_name(code));
            if (is_over) buf_printf(message, " after %lld ms", (long long)max_block_ms);
            return ERR_NOT_FOUND;
        }
        cluster_wait(p->cluster, p->options.retry_backoff_ms);
    }
}

enum err producer_open(struct cluster *cluster, const struct producer_options *options,
                       int64_t max_block_ms, struct producer **out, struct buf *message)
{
    struct producer *p = ensure_zalloc(sizeof(*p));

    p->cluster = cluster;
    p->options = *options;
    p->fits = SIZE_MAX;
    p->metadata_name = slice_text(options->topic);
    p->work.run = work;
    p->timer.fire = fire;
    p->ask_at = instant_add_ms(now(p), options->metadata_expiry_ms);
    list_init(&p->sendings);
    enum err err = wait_for_topic(p, max_block_ms, message);
    if (err != ERR_OK) {
        producer_close(&p);
        return err;
    }
    p->sticky =
        (int32_t)(env_random(cluster_shard(cluster)->env, "partitioner") % (uint64_t)p->part_count);
    *out = p;
    return ERR_OK;
}

void producer_close(struct producer **producer)
{
    struct producer *p = *producer;

    if (p == NULL) return;
    list_each (node, &p->sendings) {
        struct sending *sending = list_entry(node, struct sending, node);
        peer_cancel(&sending->request.call);
    }
    if (p->is_asking) peer_cancel(&p->metadata.call);
    while (!list_is_empty(&p->sendings) || p->is_asking)
        cluster_turn(p->cluster);
    for (int32_t i = 0; i < p->part_count; i++) {
        struct parcel *first;
        while ((first = first_waiting(p->parts[i])) != NULL) {
            list_remove(&first->node);
            parcel_free(p, first);
        }
        free(p->parts[i]);
    }
    free(p->parts);
    timer_cancel(cluster_shard(p->cluster), &p->timer);
    shard_unpost(&p->work);
    free(p);
    *producer = NULL;
}
