#include "tools/consumer.h"
#include "base/ensure.h"
#include "cluster/types.h"
#include "wire/gen/fetch.h"
#include "wire/gen/list_offsets.h"
#include "wire/oldset.h"
#include <stdio.h>
#include <stdlib.h>

#define OPENED_BYTES_MAX (1u << 30) /* of one compressed batch */
#define START_WAIT_MS    60000      /* for a topic that is not there yet */

struct aborted {
    int64_t producer_id, first_offset;
};

struct part {
    struct slice topic; /* owned */
    struct uuid topic_id;
    int32_t index;
    int32_t leader;
    int64_t offset; /* next to be fetched, or a CONSUMER_… that is to be asked for */
    int32_t bytes_max;
    bool is_busy;    /* in a request */
    bool is_dropped; /* not ours any more: freed when its request has ended */
    struct instant not_before;
};

/* What is under way to one broker. */
struct source {
    struct consumer *consumer;
    int32_t node;
    bool is_busy;
    struct cluster_request request;
    struct fetch_request fetch;
    struct fetch_request_topic *fetch_topics;
    struct fetch_request_topic_partition *fetch_partitions;
    struct list_offsets_request list;
    struct list_offsets_request_topic *list_topics;
    struct list_offsets_request_topic_partition *list_partitions;
    struct part **parts; /* that are in it: one topic entry each */
    int count;
};

struct consumer {
    struct cluster *cluster;
    struct consumer_options options;
    struct part **parts;
    int part_count;
    struct source **sources;
    int source_count;
    bool is_stopped, is_closing;
    char failure[512];
    struct buf opened;
    struct post work;
    struct timer timer;

    struct cluster_request metadata;
    struct metadata_request metadata_body;
    bool is_asking;
    struct instant ask_at;
};

static struct instant now(const struct consumer *c)
{
    return env_now(cluster_shard(c->cluster)->env);
}

static void fail(struct consumer *c, const struct part *part, const char *why)
{
    if (c->failure[0] == '\0')
        snprintf(c->failure, sizeof(c->failure), "%.*s-%d: %s", SLICE_ARGS(part->topic),
                 part->index, why);
    c->is_stopped = true;
}

static void want_metadata(struct consumer *c)
{
    c->ask_at = instant_min(c->ask_at, instant_add_ms(now(c), c->options.retry_backoff_ms));
}

static void back_off(struct consumer *c, struct part *part)
{
    part->not_before = instant_add_ms(now(c), c->options.retry_backoff_ms);
    want_metadata(c);
}

static void part_free(struct part *part)
{
    free((void *)(uintptr_t)part->topic.ptr);
    free(part);
}

/* ---- records ---- */

static bool hand_over(struct consumer *c, struct part *part, struct format_record *record)
{
    if (record->offset < part->offset) return true; /* before what was asked for */
    record->topic = part->topic;
    record->partition = part->index;
    part->offset = record->offset + 1;
    c->is_stopped = !c->options.record(c->options.owner, record);
    return !c->is_stopped;
}

static enum err take_batch(struct consumer *c, struct part *part, const struct batch *batch)
{
    struct slice records = batch->records;
    struct record record;
    enum err err = ERR_OK;

    if (batch_codec(batch) != BATCH_CODEC_NONE) {
        buf_clear(&c->opened);
        err = compress_read(batch_codec(batch), BATCH_MAGIC, records, OPENED_BYTES_MAX, &c->opened);
        if (err != ERR_OK) return err;
        records = buf_slice(&c->opened);
    }
    struct record_reader reader = record_reader_of(records, batch->record_count);
    while (record_next(&reader, &record)) {
        struct format_record out = {.offset = record_offset(batch, &record),
                                    .timestamp_type = batch_has_append_time(batch)
                                                          ? FORMAT_APPEND_TIME
                                                          : FORMAT_CREATE_TIME,
                                    .timestamp = record_timestamp(batch, &record),
                                    .headers = record.headers,
                                    .key = record.key,
                                    .value = record.value};
        if (out.timestamp < 0) out.timestamp_type = FORMAT_NO_TIMESTAMP;
        if (!hand_over(c, part, &out)) return ERR_OK;
    }
    return record_reader_end(&reader);
}

static enum err take_old(struct consumer *c, struct part *part, const struct batch_entry *entry)
{
    struct oldset_reader reader;
    struct oldset_message message;

    enum err err = oldset_open(entry, OPENED_BYTES_MAX, &c->opened, &reader);
    if (err != ERR_OK) return err;
    while (oldset_next(&reader, &message)) {
        struct format_record out = {
            .offset = message.offset,
            .timestamp_type = message.magic == 0 || message.timestamp < 0 ? FORMAT_NO_TIMESTAMP
                              : message.has_append_time                   ? FORMAT_APPEND_TIME
                                                                          : FORMAT_CREATE_TIME,
            .timestamp = message.timestamp,
            .key = message.key,
            .value = message.value};
        if (!hand_over(c, part, &out)) return ERR_OK;
    }
    return reader.err;
}

/* Aborted transactions of one answer: those whose first record has been passed are open until their
 * marker. */
struct filter {
    struct aborted *waiting;
    int count;
};

static bool is_aborted(const struct filter *filter, const struct batch *batch)
{
    for (int i = 0; i < filter->count; i++)
        if (filter->waiting[i].producer_id == batch->producer_id &&
            filter->waiting[i].first_offset <= batch->base_offset)
            return true;
    return false;
}

/* The marker of an aborted transaction ends it: later ones of that producer are others. */
static void end_aborted(struct filter *filter, const struct batch *batch)
{
    int found = -1;

    for (int i = 0; i < filter->count; i++)
        if (filter->waiting[i].producer_id == batch->producer_id &&
            filter->waiting[i].first_offset <= batch->base_offset &&
            (found < 0 || filter->waiting[i].first_offset < filter->waiting[found].first_offset))
            found = i;
    if (found >= 0) filter->waiting[found] = filter->waiting[--filter->count];
}

static enum err take_entry(struct consumer *c, struct part *part, const struct batch_entry *entry,
                           struct filter *filter)
{
    struct batch batch;

    if (entry->magic < BATCH_MAGIC) return take_old(c, part, entry);
    enum err err = batch_view(entry->bytes, &batch);
    if (err == ERR_OK) err = batch_check(&batch);
    if (err != ERR_OK) return err;
    bool is_hidden = batch_is_transactional(&batch) && is_aborted(filter, &batch);
    if (batch_is_control(&batch))
        end_aborted(filter, &batch);
    else if (!is_hidden)
        err = take_batch(c, part, &batch);
    /* Past the batch even when its last records are not there any more, or not for us. */
    if (err == ERR_OK && !c->is_stopped && batch_last_offset(&batch) >= part->offset)
        part->offset = batch_last_offset(&batch) + 1;
    return err;
}

static void take_records(struct consumer *c, struct part *part,
                         const struct fetch_response_topic_partition *answer)
{
    struct slice left = answer->records;
    int32_t count = answer->aborted_transactions.count;
    struct filter filter = {0};
    struct batch_entry entry;
    int entries = 0;

    if (c->options.read_committed && count > 0) {
        filter.waiting = ensure_malloc((size_t)count * sizeof(*filter.waiting));
        for (; filter.count < count; filter.count++)
            filter.waiting[filter.count] =
                (struct aborted){answer->aborted_transactions.at[filter.count].producer_id,
                                 answer->aborted_transactions.at[filter.count].first_offset};
    }
    enum err err = ERR_OK;
    while (!c->is_stopped && left.len > 0) {
        err = batch_entry_take(&left, &entry);
        if (err != ERR_OK) break;
        entries++;
        err = take_entry(c, part, &entry, &filter);
        if (err != ERR_OK) break;
    }
    free(filter.waiting);
    if (err == ERR_TRUNCATED && entries == 0) { /* a broker that never gives more than was asked */
        if (part->bytes_max > INT32_MAX / 2) fail(c, part, "a batch is larger than can be fetched");
        part->bytes_max = part->bytes_max > INT32_MAX / 2 ? part->bytes_max : part->bytes_max * 2;
    } else if (err != ERR_OK && err != ERR_TRUNCATED) {
        fail(c, part, err_text(err));
    }
}

/* ---- answers ---- */

static struct part *find_part(struct source *source, struct slice topic, struct uuid id,
                              int32_t index)
{
    for (int i = 0; i < source->count; i++) {
        struct part *part = source->parts[i];
        bool is_same =
            uuid_is_zero(id) ? slice_equal(part->topic, topic) : uuid_equal(part->topic_id, id);
        if (is_same && part->index == index) return part->is_dropped ? NULL : part;
    }
    return NULL;
}

/* What an error of a partition means. */
static void take_code(struct consumer *c, struct part *part, int16_t code)
{
    if (code == KAFKA_OFFSET_OUT_OF_RANGE && part->offset >= 0) {
        if (c->options.reset != 0)
            part->offset = c->options.reset;
        else
            fail(c, part, kafka_error_name(code));
        return;
    }
    bool will_heal = kafka_error_is_retriable(code) || code == KAFKA_FENCED_LEADER_EPOCH;
    if (will_heal)
        back_off(c, part);
    else
        fail(c, part, kafka_error_name(code));
}

static void fetched(struct source *source)
{
    struct consumer *c = source->consumer;
    const struct fetch_response *response = source->request.response;

    for (int32_t i = 0; i < response->responses.count; i++) {
        const struct fetch_response_topic *topic = &response->responses.at[i];
        struct uuid id = source->request.version >= 13 ? topic->topic_id : UUID_ZERO;
        for (int32_t j = 0; j < topic->partitions.count && !c->is_stopped; j++) {
            const struct fetch_response_topic_partition *answer = &topic->partitions.at[j];
            struct part *part = find_part(source, topic->topic, id, answer->partition_index);
            if (part == NULL) continue;
            if (answer->error_code != KAFKA_NONE)
                take_code(c, part, answer->error_code);
            else
                take_records(c, part, answer);
        }
    }
    if (response->error_code != KAFKA_NONE)
        for (int i = 0; i < source->count; i++)
            if (!source->parts[i]->is_dropped) take_code(c, source->parts[i], response->error_code);
    c->options.round(c->options.owner);
}

static void listed(struct source *source)
{
    struct consumer *c = source->consumer;
    const struct list_offsets_response *response = source->request.response;

    for (int32_t i = 0; i < response->topics.count; i++) {
        const struct list_offsets_response_topic *topic = &response->topics.at[i];
        for (int32_t j = 0; j < topic->partitions.count; j++) {
            const struct list_offsets_response_topic_partition *answer = &topic->partitions.at[j];
            struct part *part = find_part(source, topic->name, UUID_ZERO, answer->partition_index);
            if (part == NULL) continue;
            if (answer->error_code != KAFKA_NONE)
                take_code(c, part, answer->error_code);
            else
                part->offset = answer->offset < 0 ? 0 : answer->offset;
        }
    }
}

static void source_answered(struct cluster_request *request)
{
    struct source *source = request->owner;
    struct consumer *c = source->consumer;

    source->is_busy = false;
    for (int i = 0; i < source->count; i++)
        source->parts[i]->is_busy = false;
    if (request->err == ERR_OK && !c->is_stopped) {
        if (request->api == API_FETCH)
            fetched(source);
        else
            listed(source);
    } else if (request->err == ERR_UNSUPPORTED && source->count > 0) {
        fail(c, source->parts[0], "the broker speaks no version that we do");
    } else {
        for (int i = 0; i < source->count; i++)
            back_off(c, source->parts[i]);
    }
    for (int i = 0; i < source->count; i++)
        if (source->parts[i]->is_dropped) part_free(source->parts[i]);
    source->count = 0;
    cluster_request_fini(request);
    shard_post(cluster_shard(c->cluster), &c->work);
}

/* ---- requests ---- */

static struct source *source_for(struct consumer *c, int32_t node)
{
    for (int i = 0; i < c->source_count; i++)
        if (c->sources[i]->node == node) return c->sources[i];
    struct source *source = ensure_zalloc(sizeof(*source));
    source->consumer = c;
    source->node = node;
    c->sources =
        ensure_realloc(c->sources, (size_t)(c->source_count + 1) * sizeof(struct source *));
    c->sources[c->source_count++] = source;
    return source;
}

/* The partitions that this broker leads and that are to be asked for: for their offsets, or for
 * records. */
static void gather(struct source *source, bool for_offsets)
{
    struct consumer *c = source->consumer;
    size_t most = (size_t)c->part_count;

    source->parts = ensure_realloc(source->parts, most * sizeof(struct part *));
    source->count = 0;
    for (int i = 0; i < c->part_count; i++) {
        struct part *part = c->parts[i];
        if (part->leader == source->node && !part->is_busy && (part->offset < 0) == for_offsets &&
            instant_reached(now(c), part->not_before))
            source->parts[source->count++] = part;
    }
    for (int i = 0; i < source->count; i++)
        source->parts[i]->is_busy = true;
}

static void send(struct source *source, enum api_key api, const void *body, int16_t version_min,
                 int16_t version_max, int64_t timeout_ms)
{
    source->is_busy = true;
    source->request = (struct cluster_request){.api = api,
                                               .body = body,
                                               .version_min = version_min,
                                               .version_max = version_max,
                                               .timeout_ms = timeout_ms,
                                               .done = source_answered,
                                               .owner = source};
    cluster_send(source->consumer->cluster, source->node, &source->request);
}

static void send_list(struct source *source)
{
    const struct consumer_options *o = &source->consumer->options;
    size_t n = (size_t)source->count;

    source->list_topics = ensure_realloc(source->list_topics, n * sizeof(*source->list_topics));
    source->list_partitions =
        ensure_realloc(source->list_partitions, n * sizeof(*source->list_partitions));
    for (size_t i = 0; i < n; i++) {
        const struct part *part = source->parts[i];
        source->list_partitions[i] =
            (struct list_offsets_request_topic_partition){.partition_index = part->index,
                                                          .current_leader_epoch = EPOCH_NONE,
                                                          .timestamp = part->offset,
                                                          .max_num_offsets = 1};
        source->list_topics[i] = (struct list_offsets_request_topic){.name = part->topic};
        source->list_topics[i].partitions.at = &source->list_partitions[i];
        source->list_topics[i].partitions.count = 1;
    }
    wire_default(&list_offsets_request_wire, &source->list);
    source->list.replica_id = BROKER_NONE;
    source->list.isolation_level = o->read_committed;
    source->list.topics.at = source->list_topics;
    source->list.topics.count = source->count;
    send(source, API_LIST_OFFSETS, &source->list, o->read_committed ? 2 : 1, 0,
         o->request_timeout_ms);
}

static void send_fetch(struct source *source)
{
    const struct consumer_options *o = &source->consumer->options;
    size_t n = (size_t)source->count;
    bool have_ids = true;

    source->fetch_topics = ensure_realloc(source->fetch_topics, n * sizeof(*source->fetch_topics));
    source->fetch_partitions =
        ensure_realloc(source->fetch_partitions, n * sizeof(*source->fetch_partitions));
    for (size_t i = 0; i < n; i++) {
        const struct part *part = source->parts[i];
        have_ids = have_ids && !uuid_is_zero(part->topic_id);
        source->fetch_partitions[i] =
            (struct fetch_request_topic_partition){.partition = part->index,
                                                   .current_leader_epoch = EPOCH_NONE,
                                                   .fetch_offset = part->offset,
                                                   .last_fetched_epoch = EPOCH_NONE,
                                                   .log_start_offset = -1,
                                                   .partition_max_bytes = part->bytes_max};
        source->fetch_topics[i] =
            (struct fetch_request_topic){.topic = part->topic, .topic_id = part->topic_id};
        source->fetch_topics[i].partitions.at = &source->fetch_partitions[i];
        source->fetch_topics[i].partitions.count = 1;
    }
    wire_default(&fetch_request_wire, &source->fetch);
    source->fetch.max_wait_ms = o->wait_ms;
    source->fetch.min_bytes = o->fetch_bytes_min;
    source->fetch.max_bytes = o->fetch_bytes_max;
    source->fetch.isolation_level = o->read_committed;
    source->fetch.session_epoch = -1; /* no session: every request is whole */
    source->fetch.topics.at = source->fetch_topics;
    source->fetch.topics.count = source->count;
    send(source, API_FETCH, &source->fetch, o->read_committed ? 4 : 0,
         have_ids ? 0 : 12, /* later versions know topics by id only */
         o->request_timeout_ms + o->wait_ms);
}

static void ask_source(struct consumer *c, int32_t node)
{
    struct source *source = source_for(c, node);

    if (source->is_busy) return;
    gather(source, true);
    if (source->count > 0) {
        send_list(source);
        return;
    }
    gather(source, false);
    if (source->count > 0) send_fetch(source);
}

/* ---- leaders ---- */

static struct part *part_find(const struct consumer *c, struct slice topic, int32_t index)
{
    for (int i = 0; i < c->part_count; i++)
        if (c->parts[i]->index == index && slice_equal(c->parts[i]->topic, topic))
            return c->parts[i];
    return NULL;
}

static struct part *part_take(struct consumer *c, struct slice topic, int32_t index, int64_t start)
{
    struct part *part = part_find(c, topic, index);

    if (part != NULL) return part;
    part = ensure_zalloc(sizeof(*part));
    part->topic = slice_of(ensure_strndup(topic.ptr, topic.len), topic.len);
    part->leader = BROKER_NONE;
    part->index = index;
    part->offset = start;
    part->bytes_max = c->options.partition_bytes_max;
    c->parts = ensure_realloc(c->parts, (size_t)(c->part_count + 1) * sizeof(struct part *));
    c->parts[c->part_count++] = part;
    return part;
}

/* Takes over what Metadata says. Partitions that are new are read from `start`. */
static void take_metadata(struct consumer *c, const struct metadata_response *metadata,
                          int64_t start)
{
    const struct consumer_options *o = &c->options;

    for (int32_t i = 0; i < metadata->topics.count; i++) {
        const struct metadata_response_topic *topic = &metadata->topics.at[i];
        if (topic->error_code != KAFKA_NONE || slice_is_null(topic->name) ||
            (!o->is_by_assignment && !o->wants(o->owner, topic->name, topic->is_internal)))
            continue;
        for (int32_t j = 0; j < topic->partitions.count; j++) {
            const struct metadata_response_topic_partition *from = &topic->partitions.at[j];
            if (o->partition >= 0 && from->partition_index != o->partition) continue;
            struct part *part = o->is_by_assignment
                                    ? part_find(c, topic->name, from->partition_index)
                                    : part_take(c, topic->name, from->partition_index, start);
            if (part == NULL) continue;
            part->leader = from->leader_id;
            if (!uuid_is_zero(topic->topic_id)) part->topic_id = topic->topic_id;
        }
    }
}

static bool is_leaderless(const struct consumer *c)
{
    for (int i = 0; i < c->part_count; i++)
        if (c->parts[i]->leader < 0) return true;
    return false;
}

static void metadata_came(struct cluster_request *request)
{
    struct consumer *c = request->owner;

    c->is_asking = false;
    c->ask_at = instant_add_ms(now(c), c->options.metadata_max_age_ms);
    if (request->err == ERR_OK) {
        cluster_note(c->cluster, request->response);
        take_metadata(c, request->response, CONSUMER_EARLIEST);
    }
    if (request->err != ERR_OK || is_leaderless(c)) want_metadata(c);
    cluster_request_fini(request);
    shard_post(cluster_shard(c->cluster), &c->work);
}

static void ask_metadata(struct consumer *c)
{
    c->is_asking = true;
    c->metadata = (struct cluster_request){
        .api = API_METADATA, .body = &c->metadata_body, .done = metadata_came, .owner = c};
    cluster_metadata_fill(&c->metadata_body, NULL, NULL, -1, false);
    cluster_send(c->cluster, CLUSTER_ANY, &c->metadata);
}

static void work(struct post *post)
{
    struct consumer *c =
        (struct consumer *)(void *)((char *)post - offsetof(struct consumer, work));

    if (c->is_stopped || c->is_closing) return;
    struct instant next = c->is_asking ? INSTANT_NEVER : c->ask_at;
    for (int i = 0; i < c->part_count; i++) {
        struct part *part = c->parts[i];
        if (part->leader >= 0 && !part->is_busy) ask_source(c, part->leader);
        if (!part->is_busy && part->leader >= 0 && instant_before(now(c), part->not_before))
            next = instant_min(next, part->not_before);
    }
    if (!c->is_asking && instant_reached(now(c), c->ask_at)) {
        ask_metadata(c);
        next = INSTANT_NEVER;
    }
    timer_arm(cluster_shard(c->cluster), &c->timer, next);
}

static void fire(struct timer *timer)
{
    struct consumer *c =
        (struct consumer *)(void *)((char *)timer - offsetof(struct consumer, timer));

    work(&c->work);
}

/* ---- open, close ---- */

static enum err wait_for_partitions(struct consumer *c, struct buf *message)
{
    struct instant deadline = instant_add_ms(
        now(c), c->options.start_wait_ms > 0 ? c->options.start_wait_ms : START_WAIT_MS);
    bool is_told = false;

    for (;;) {
        const struct metadata_response *metadata;
        struct cluster_request request;
        enum err err = cluster_metadata(c->cluster, NULL, -1, false, &request, &metadata, message);
        if (err != ERR_OK) return err;
        take_metadata(c, metadata, c->options.start);
        cluster_request_fini(&request);
        if (c->part_count > 0) return ERR_OK;
        if (instant_reached(now(c), deadline)) {
            buf_add_text(message, "there is no such topic or partition");
            return ERR_NOT_FOUND;
        }
        if (!is_told) fprintf(stderr, "there is no such topic or partition; waiting for it\n");
        is_told = true;
        cluster_wait(c->cluster, c->options.retry_backoff_ms);
    }
}

enum err consumer_open(struct cluster *cluster, const struct consumer_options *options,
                       struct consumer **out, struct buf *message)
{
    struct consumer *c = ensure_zalloc(sizeof(*c));

    c->cluster = cluster;
    c->options = *options;
    c->work.run = work;
    c->timer.fire = fire;
    c->ask_at = instant_add_ms(now(c), options->metadata_max_age_ms);
    enum err err = options->is_by_assignment ? ERR_OK : wait_for_partitions(c, message);
    if (err != ERR_OK) {
        consumer_close(&c);
        return err;
    }
    if (is_leaderless(c)) want_metadata(c);
    shard_post(cluster_shard(cluster), &c->work);
    *out = c;
    return ERR_OK;
}

/* ---- assignments ---- */

void consumer_assign(struct consumer *c, const struct consumer_part *parts, int count)
{
    struct part **were = c->parts;
    int were_count = c->part_count;

    c->parts = NULL;
    c->part_count = 0;
    for (int i = 0; i < count; i++) {
        struct part *part = NULL;
        for (int j = 0; j < were_count && part == NULL; j++) {
            if (were[j] == NULL || were[j]->index != parts[i].partition ||
                !slice_equal(were[j]->topic, parts[i].topic))
                continue;
            part = were[j];
            were[j] = NULL;
            c->parts =
                ensure_realloc(c->parts, (size_t)(c->part_count + 1) * sizeof(struct part *));
            c->parts[c->part_count++] = part;
        }
        if (part == NULL) part_take(c, parts[i].topic, parts[i].partition, parts[i].offset);
    }
    for (int i = 0; i < were_count; i++) {
        if (were[i] == NULL) continue;
        were[i]->is_dropped = true;
        if (!were[i]->is_busy) part_free(were[i]);
    }
    free(were);
    if (is_leaderless(c)) c->ask_at = now(c);
    shard_post(cluster_shard(c->cluster), &c->work);
}

int consumer_count(const struct consumer *c)
{
    return c->part_count;
}

void consumer_positions(const struct consumer *c, struct consumer_part *out)
{
    for (int i = 0; i < c->part_count; i++)
        out[i] =
            (struct consumer_part){c->parts[i]->topic, c->parts[i]->index, c->parts[i]->offset};
}

static bool is_anything_under_way(const struct consumer *c)
{
    for (int i = 0; i < c->source_count; i++)
        if (c->sources[i]->is_busy) return true;
    return c->is_asking;
}

void consumer_close(struct consumer **consumer)
{
    struct consumer *c = *consumer;

    if (c == NULL) return;
    c->is_closing = c->is_stopped = true;
    for (int i = 0; i < c->source_count; i++)
        if (c->sources[i]->is_busy) peer_cancel(&c->sources[i]->request.call);
    if (c->is_asking) peer_cancel(&c->metadata.call);
    while (is_anything_under_way(c))
        cluster_turn(c->cluster);
    timer_cancel(cluster_shard(c->cluster), &c->timer);
    shard_unpost(&c->work);
    for (int i = 0; i < c->source_count; i++) {
        free(c->sources[i]->fetch_topics);
        free(c->sources[i]->fetch_partitions);
        free(c->sources[i]->list_topics);
        free(c->sources[i]->list_partitions);
        free(c->sources[i]->parts);
        free(c->sources[i]);
    }
    for (int i = 0; i < c->part_count; i++)
        part_free(c->parts[i]);
    free(c->sources);
    free(c->parts);
    buf_fini(&c->opened);
    free(c);
    *consumer = NULL;
}

bool consumer_is_stopped(const struct consumer *c)
{
    return c->is_stopped;
}

const char *consumer_failure(const struct consumer *c)
{
    return c->failure[0] == '\0' ? NULL : c->failure;
}
