/* Producers and consumers of one client. */
#include "base/ensure.h"
#include "tests/sim/load_private.h"
#include "wire/compress.h"
#include "wire/gen/fetch.h"
#include "wire/gen/init_producer_id.h"
#include "wire/gen/list_offsets.h"
#include "wire/gen/produce.h"
#include "wire/protocol.h"
#include "wire/record.h"
#include <stdlib.h>

#define SEND_PARTS_MAX      3
#define RECORDS_MAX         12
#define ATTEMPTS_MAX        12
#define PRODUCE_MIN         3
#define PRODUCE_MAX         11

#define PRODUCER_ID_VERSION 2

#define START_VERSION       4
#define EARLIEST            (-2)

#define FETCH_MIN           4
#define FETCH_NAMES_MAX     12
#define FETCH_MAX           15
#define FETCH_BYTES_MAX     (1 << 20)
#define RECORDS_BYTES_MAX   (4 << 20)

/* ---- producers ---- */

struct send_part {
    int32_t partition;
    uint64_t first;
    int count;
    bool is_done;
};

struct send {
    struct peer_call call;
    struct client *client;
    int topic;
    struct send_part parts[SEND_PARTS_MAX];
    int part_count;
    int16_t acks, producer_epoch;
    int64_t producer_id; /* −1: not idempotent; else it has one part */
    int32_t sequence;
    int32_t leader; /* who was asked last */
    int attempts, codec, bytes, version;
    struct timer retry;
};

static void attempt(struct send *send);

/* ---- idempotent producers: one batch at a time in each partition, with the same sequence until it
 * is answered. Who gives one up goes on under another id. */

static void on_producer_id(struct peer_call *call, enum err err, struct slice answer,
                           struct block *block)
{
    struct client *client = list_entry(call, struct client, producer_call);
    struct init_producer_id_response in;

    (void)block;
    client->is_asking_id = false;
    if (err != ERR_OK) return;
    arena_reset(&client->arena);
    err = wire_read(answer, PRODUCER_ID_VERSION, &init_producer_id_response_wire, &client->arena,
                    &in);
    if (err != ERR_OK)
        world_wrong(client->load->world, "the answer to InitProducerId cannot be read: %s",
                    err_name(err));
    if (in.error_code != KAFKA_NONE) return;
    oracle_log_producer(client->load->oracle, in.producer_id);
    client->producer_id = in.producer_id;
    client->producer_epoch = in.producer_epoch;
    for (int t = 0; t < LOAD_TOPICS_MAX; t++)
        for (int p = 0; p < ORACLE_PARTITIONS_MAX; p++)
            client->topics[t].at[p].sequence = 0;
}

static void ask_producer_id(struct client *client)
{
    struct init_producer_id_request request;
    int32_t broker = (int32_t)world_between(client->load->world, "load.producer-id", 1,
                                            client->load->cluster->brokers);

    if (client->is_asking_id) return;
    client->is_asking_id = true;
    wire_default(&init_producer_id_request_wire, &request);
    request.transactional_id = SLICE_NULL;
    request.transaction_timeout_ms = 60000;
    client->producer_call = (struct peer_call){.api_key = API_INIT_PRODUCER_ID,
                                               .version_min = PRODUCER_ID_VERSION,
                                               .version_max = PRODUCER_ID_VERSION,
                                               .timeout_ms = 10000,
                                               .done = on_producer_id};
    buf_init(&client->producer_call.body);
    wire_write(&client->producer_call.body, PRODUCER_ID_VERSION, &init_producer_id_request_wire,
               &request);
    peer_send(client_peer(client, broker, PEER_ASK), &client->producer_call);
}

static struct client_partition *partition_of(const struct send *send)
{
    return &send->client->topics[send->topic].at[send->parts[0].partition];
}

static void make_idempotent(struct send *send)
{
    struct client *client = send->client;
    struct client_partition *at = partition_of(send);

    if (client->producer_id < 0) {
        ask_producer_id(client);
        return;
    }
    if (at->is_sending) return;
    at->is_sending = true;
    send->producer_id = client->producer_id;
    send->producer_epoch = client->producer_epoch;
    send->sequence = at->sequence;
    send->acks = -1;
    oracle_log_once(&client->load->topics[send->topic].oracle->partitions[send->parts[0].partition],
                    send->parts[0].first, send->parts[0].count);
}

static void idempotent_ended(struct send *send, bool is_done)
{
    struct client *client = send->client;
    struct client_partition *at = partition_of(send);

    if (send->producer_id < 0) return;
    at->is_sending = false;
    at->has_strays |= send->attempts > 1;
    if (send->producer_id != client->producer_id) return;
    if (is_done)
        at->sequence = batch_sequence_after(send->sequence, send->parts[0].count);
    else
        client->producer_id = -1; /* written or not: nobody knows which sequence is next */
}

/* All that it has sent before was acknowledged: a leader that misses it has lost it. One that was
 * deposed, and that clients reach, need not have it. */
static void check_idempotent(const struct send *send, int16_t code)
{
    const struct load_topic *topic = &send->client->load->topics[send->topic];
    struct load_partition at;

    if (send->producer_id < 0 || topic->oracle->partitions[send->parts[0].partition].is_lifted)
        return;
    if (code == KAFKA_NONE ||
        !load_partition(send->client->load, topic->name, send->parts[0].partition, &at) ||
        at.leader != send->leader)
        return;
    switch (code) {
    case KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER:
    case KAFKA_DUPLICATE_SEQUENCE_NUMBER:
    case KAFKA_INVALID_PRODUCER_EPOCH:
    case KAFKA_UNKNOWN_PRODUCER_ID:
        world_wrong(send->client->load->world,
                    "%s-%d: sequence %d of producer %lld is refused with %d", topic->name,
                    send->parts[0].partition, send->sequence, (long long)send->producer_id, code);
    default:
        return;
    }
}

/* ---- sends ---- */

static void send_ended(struct send *send)
{
    struct client *client = send->client;

    client->load->topics[send->topic].users--;
    client->sends--;
    free(send);
}

static void try_later(struct send *send)
{
    struct client *client = send->client;

    client_want_metadata(client);
    if (send->attempts >= ATTEMPTS_MAX) {
        client->load->counts.produce_failed++;
        idempotent_ended(send, false);
        send_ended(send);
        return;
    }
    timer_arm(&client->shard, &send->retry,
              client_after_ms(client, client_draw(client, 20, 200) << (send->attempts / 2)));
}

static void on_retry(struct timer *timer)
{
    attempt(list_entry(timer, struct send, retry));
}

/* What a right request must never be answered. */
static void check_code(struct client *client, const char *what, const char *topic,
                       int32_t partition, int16_t code)
{
    switch (code) {
    case KAFKA_UNKNOWN_SERVER_ERROR:
    case KAFKA_CORRUPT_MESSAGE:
    case KAFKA_INVALID_REQUEST:
    case KAFKA_INVALID_RECORD:
    case KAFKA_INVALID_TIMESTAMP:
    case KAFKA_UNSUPPORTED_VERSION:
    case KAFKA_INVALID_REQUIRED_ACKS:
    case KAFKA_MESSAGE_TOO_LARGE:
    case KAFKA_RECORD_LIST_TOO_LARGE:
        world_wrong(client->load->world, "%s of %s-%d is answered %d", what, topic, partition,
                    code);
    default:
        return;
    }
}

static void on_part(struct send *send, const struct produce_response_topic_partition *told)
{
    struct client *client = send->client;
    struct load_topic *topic = &client->load->topics[send->topic];

    for (int i = 0; i < send->part_count; i++) {
        struct send_part *part = &send->parts[i];
        if (part->partition != told->index || part->is_done) continue;
        check_code(client, "a produce", topic->name, told->index, told->error_code);
        check_idempotent(send, told->error_code);
        if (told->error_code != KAFKA_NONE) continue;
        part->is_done = true;
        oracle_log_acked(&topic->oracle->partitions[part->partition], told->base_offset,
                         part->first, part->count, send->acks == -1);
    }
}

static void on_produced(struct peer_call *call, enum err err, struct slice answer,
                        struct block *block)
{
    struct send *send = list_entry(call, struct send, call);
    struct client *client = send->client;
    struct produce_response in;
    bool is_done = true;

    (void)block;
    if (err == ERR_OK) {
        arena_reset(&client->arena);
        err = wire_read(answer, send->version, &produce_response_wire, &client->arena, &in);
        if (err != ERR_OK)
            world_wrong(client->load->world, "the answer to a produce cannot be read: %s",
                        err_name(err));
        for (int32_t t = 0; t < in.responses.count; t++)
            for (int32_t p = 0; p < in.responses.at[t].partition_responses.count; p++)
                on_part(send, &in.responses.at[t].partition_responses.at[p]);
    }
    for (int i = 0; i < send->part_count; i++)
        if (!send->parts[i].is_done) is_done = false;
    if (!is_done) {
        try_later(send);
        return;
    }
    idempotent_ended(send, true);
    send_ended(send);
}

static void build_batch(struct send *send, struct send_part *part, struct buf *out)
{
    struct client *client = send->client;
    struct oracle_partition *oracle =
        &client->load->topics[send->topic].oracle->partitions[part->partition];
    int64_t wall_ms = env_wall_ms(&client->process->env);
    struct record_builder builder;
    uint8_t value[8192];
    char key[ORACLE_KEY_MAX];
    bool is_keyed = client->load->topics[send->topic].is_compacted;

    record_builder_begin(&builder, out);
    builder.head.attributes = (uint16_t)send->codec;
    if (send->producer_id >= 0) {
        builder.head.producer_id = send->producer_id;
        builder.head.producer_epoch = send->producer_epoch;
        builder.head.base_sequence = send->sequence;
    }
    for (int i = 0; i < part->count; i++) {
        oracle_log_value(oracle, part->first + (uint64_t)i, value, (size_t)send->bytes);
        struct slice key_slice =
            is_keyed ? slice_of(key, oracle_log_key(part->first + (uint64_t)i, key)) : SLICE_NULL;
        record_builder_add(&builder, wall_ms, key_slice, slice_of(value, (size_t)send->bytes), NULL,
                           0);
    }
    record_builder_end(&builder);
}

static void attempt(struct send *send)
{
    struct client *client = send->client;
    struct load_topic *topic = &client->load->topics[send->topic];
    struct client_topic *known = &client->topics[send->topic];
    struct produce_request request;
    struct produce_request_topic_partition partitions[SEND_PARTS_MAX];
    struct buf batches[SEND_PARTS_MAX];
    int32_t leader = -1;
    int count = 0;

    send->attempts++;
    for (int i = 0; i < send->part_count; i++) {
        struct send_part *part = &send->parts[i];
        if (part->is_done) continue;
        int32_t its = known->at[part->partition].leader;
        if (leader < 0) leader = its;
        if (its != leader) { /* they have parted: this one is given up, perhaps written */
            part->is_done = true;
            continue;
        }
        if (leader < 0) continue;
        buf_init(&batches[count]);
        build_batch(send, part, &batches[count]);
        partitions[count] = (struct produce_request_topic_partition){
            .index = part->partition, .records = buf_slice(&batches[count])};
        count++;
    }
    struct peer *peer = leader < 0 ? NULL : client_peer(client, leader, PEER_PRODUCE);
    if (peer == NULL) {
        for (int i = 0; i < count; i++)
            buf_fini(&batches[i]);
        try_later(send);
        return;
    }
    send->leader = leader;
    struct produce_request_topic named = {.name = slice_text(topic->name)};
    wire_default(&produce_request_wire, &request);
    named.partition_data.at = partitions;
    named.partition_data.count = count;
    request.transactional_id = SLICE_NULL;
    request.acks = send->acks;
    request.timeout_ms = (int32_t)client_draw(client, 500, 30000);
    request.topic_data.at = &named;
    request.topic_data.count = 1;
    send->version =
        (int)client_draw(client, send->codec == BATCH_CODEC_ZSTD ? 7 : PRODUCE_MIN, PRODUCE_MAX);
    send->call = (struct peer_call){.api_key = API_PRODUCE,
                                    .version_min = (int16_t)send->version,
                                    .version_max = (int16_t)send->version,
                                    .timeout_ms = client_draw(client, 1000, 40000),
                                    .done = on_produced};
    buf_init(&send->call.body);
    wire_write(&send->call.body, send->version, &produce_request_wire, &request);
    for (int i = 0; i < count; i++)
        buf_fini(&batches[i]);
    client->load->counts.produce++;
    peer_send(peer, &send->call);
}

static void start_send(struct client *client)
{
    struct load *load = client->load;
    int t = (int)client_draw(client, 0, LOAD_TOPICS_MAX - 1);
    struct load_topic *topic = &load->topics[t];
    struct client_topic *known = &client->topics[t];

    if (topic->state != TOPIC_LIVE) return;
    if (known->partitions == 0) {
        client_want_metadata(client);
        return;
    }
    struct send *send = ensure_zalloc(sizeof(*send));
    send->client = client;
    send->topic = t;
    send->producer_id = -1;
    bool is_idempotent =
        load->idempotent > 0 && world_chance(load->world, "load.idempotent-send", 500000);
    send->acks = client_draw(client, 0, 3) == 0 ? 1 : -1;
    send->codec = client_draw(client, 0, 3) == 0 ? (int)client_draw(client, 0, 4) : 0;
    send->bytes = (int)client_draw(client, ORACLE_VALUE_MIN, load->record_bytes);
    send->retry.fire = on_retry;
    int wanted = (int)client_draw(client, 1, SEND_PARTS_MAX);
    if (is_idempotent) wanted = 1;
    for (int i = 0; i < wanted; i++) {
        struct send_part *part = &send->parts[send->part_count];
        part->partition = (int32_t)client_draw(client, 0, known->partitions - 1);
        bool is_new = true;
        for (int j = 0; j < send->part_count; j++)
            if (send->parts[j].partition == part->partition) is_new = false;
        if (!is_new) continue;
        if (send->part_count > 0 &&
            known->at[part->partition].leader != known->at[send->parts[0].partition].leader)
            continue;
        part->count = (int)client_draw(client, 1, RECORDS_MAX);
        part->first = oracle_log_next(&topic->oracle->partitions[part->partition], part->count);
        send->part_count++;
    }
    if (is_idempotent) make_idempotent(send);
    topic->users++;
    client->sends++;
    attempt(send);
}

static void on_produce_timer(struct timer *timer)
{
    struct client *client = list_entry(timer, struct client, produce_timer);
    struct load *load = client->load;
    int64_t pause = client_draw(client, 0, load->send_pause_ms);

    if (load->is_calm) return;
    if (client->sends < 50) start_send(client);
    if (--client->burst_left <= 0) {
        client->burst_left = (int)client_draw(client, 1, load->burst_length);
        pause = client_draw(client, 0, load->burst_pause_ms);
    }
    timer_arm(&client->shard, &client->produce_timer, client_after_ms(client, pause));
}

/* ---- consumers ---- */

static void start_fetch(struct client_broker *broker);

void client_seek(struct client_partition *at, int64_t offset)
{
    at->position = offset;
    at->pass = (struct oracle_pass){0};
}

/* ---- where a partition begins whose records may go */

static void on_start_told(struct peer_call *call, enum err err, struct slice answer,
                          struct block *block)
{
    struct client *client = list_entry(call, struct client, start_call);
    struct load_topic *topic = &client->load->topics[client->start_topic];
    struct oracle_partition *oracle = &topic->oracle->partitions[client->start_partition];
    struct client_partition *at = &client->topics[client->start_topic].at[client->start_partition];
    struct list_offsets_response in;

    (void)block;
    client->is_asking_start = false;
    topic->users--;
    if (err != ERR_OK) return;
    arena_reset(&client->arena);
    err = wire_read(answer, START_VERSION, &list_offsets_response_wire, &client->arena, &in);
    if (err != ERR_OK || in.topics.count != 1 || in.topics.at[0].partitions.count != 1)
        world_wrong(client->load->world, "the answer to ListOffsets cannot be read: %s",
                    err_name(err));
    const struct list_offsets_response_topic_partition *told = &in.topics.at[0].partitions.at[0];
    if (told->error_code != KAFKA_NONE) return;
    if (!topic->is_short_lived && !oracle->is_lifted && told->offset > oracle->trimmed_to)
        world_wrong(client->load->world, "%s-%d begins at %lld, records below %lld were deleted",
                    topic->name, client->start_partition, (long long)told->offset,
                    (long long)oracle->trimmed_to);
    if (told->offset > oracle->gone_to) oracle->gone_to = told->offset;
    if (told->offset > at->position) client_seek(at, told->offset);
}

static void ask_start(struct client *client, int t, int partition, int32_t broker)
{
    struct list_offsets_request_topic_partition wanted = {
        .partition_index = partition, .current_leader_epoch = -1, .timestamp = EARLIEST};
    struct list_offsets_request_topic topic = {.name = slice_text(client->load->topics[t].name),
                                               .partitions = {&wanted, 1}};
    struct list_offsets_request request;
    struct peer *peer = client_peer(client, broker, PEER_ASK);

    if (client->is_asking_start || peer == NULL) return;
    wire_default(&list_offsets_request_wire, &request);
    request.replica_id = -1;
    request.topics.at = &topic;
    request.topics.count = 1;
    client->start_call = (struct peer_call){.api_key = API_LIST_OFFSETS,
                                            .version_min = START_VERSION,
                                            .version_max = START_VERSION,
                                            .timeout_ms = 10000,
                                            .done = on_start_told};
    buf_init(&client->start_call.body);
    wire_write(&client->start_call.body, START_VERSION, &list_offsets_request_wire, &request);
    client->is_asking_start = true;
    client->start_topic = t;
    client->start_partition = partition;
    client->load->topics[t].users++;
    peer_send(peer, &client->start_call);
}

/* ---- fetches */

static void release_topics(struct client_broker *broker)
{
    for (int t = 0; t < LOAD_TOPICS_MAX; t++)
        if ((broker->fetch_topics & (1u << t)) != 0) broker->client->load->topics[t].users--;
    broker->fetch_topics = 0;
}

/* The records of one batch, from the position on. */
static void read_batch(struct client *client, struct oracle_partition *oracle,
                       struct oracle_pass *pass, int64_t *next, int64_t high_watermark,
                       struct batch *batch)
{
    struct world *world = client->load->world;
    const char *name = oracle->topic->name;
    struct slice records = batch->records;
    struct buf plain;
    struct record record;

    buf_init(&plain);
    if (batch_codec(batch) != BATCH_CODEC_NONE) {
        enum err err = compress_read(batch_codec(batch), BATCH_MAGIC, batch->records,
                                     RECORDS_BYTES_MAX, &plain);
        if (err != ERR_OK)
            world_wrong(world, "%s-%d: a batch at %lld cannot be opened: %s", name,
                        oracle->partition, (long long)batch->base_offset, err_name(err));
        records = buf_slice(&plain);
    }
    struct record_reader reader = record_reader_of(records, batch->record_count);
    while (record_next(&reader, &record)) {
        int64_t offset = record_offset(batch, &record);
        if (offset < *next) continue;
        if (offset != *next && pass == NULL)
            world_wrong(world, "%s-%d: offset %lld follows %lld", name, oracle->partition,
                        (long long)offset, (long long)*next - 1);
        if (pass != NULL) oracle_log_passed(oracle, pass, *next, offset);
        if (offset >= high_watermark && !oracle->is_lifted) /* see read_records */
            world_wrong(world, "%s-%d: offset %lld is given, the high watermark is %lld", name,
                        oracle->partition, (long long)offset, (long long)high_watermark);
        oracle_log_read(oracle, offset, record.value, batch->leader_epoch);
        if (pass != NULL) oracle_log_met(oracle, pass, offset, record.key);
        *next = offset + 1;
    }
    if (pass != NULL && batch_last_offset(batch) >= *next) { /* its last ones are gone */
        oracle_log_passed(oracle, pass, *next, batch_last_offset(batch) + 1);
        *next = batch_last_offset(batch) + 1;
    }
    if (record_reader_end(&reader) != ERR_OK)
        world_wrong(world, "%s-%d: bad records in the batch at %lld", name, oracle->partition,
                    (long long)batch->base_offset);
    buf_fini(&plain);
}

/* `pass`: NULL where all offsets must be there. */
static void read_records(struct client *client, struct oracle_partition *oracle,
                         struct oracle_pass *pass, int64_t *next, int64_t high_watermark,
                         struct slice records)
{
    struct world *world = client->load->world;
    struct batch_entry entry;
    struct batch batch;

    while (records.len > 0) {
        enum err err = batch_entry_take(&records, &entry);
        if (err == ERR_TRUNCATED) return; /* the rest comes with the next fetch */
        if (err == ERR_OK) err = batch_view(entry.bytes, &batch);
        if (err == ERR_OK) err = batch_check(&batch);
        /* An unclean leader had the broker cut, and write anew, what it was sending: the same
         * pages. The client's checksum finds it, as with Apache's brokers, and it asks again. */
        if (err == ERR_CORRUPT && oracle->is_lifted) {
            world_trace(world, "%s-%d was cut while it was sent", oracle->topic->name,
                        oracle->partition);
            return;
        }
        if (err != ERR_OK)
            world_wrong(world, "%s-%d: what is given at %lld is no batch: %s", oracle->topic->name,
                        oracle->partition, (long long)*next, err_name(err));
        read_batch(client, oracle, pass, next, high_watermark, &batch);
    }
}

static void on_fetched_partition(struct client *client, int t, int32_t broker, int32_t leader_epoch,
                                 int64_t asked, const struct fetch_response_topic_partition *told,
                                 bool *has_more)
{
    struct load *load = client->load;
    struct load_topic *topic = &load->topics[t];

    struct oracle_partition *oracle = &topic->oracle->partitions[told->partition_index];
    struct client_partition *at = &client->topics[t].at[told->partition_index];
    check_code(client, "a fetch", topic->name, told->partition_index, told->error_code);
    if (told->error_code == KAFKA_OFFSET_OUT_OF_RANGE) {
        load->counts.out_of_range++;
        world_trace(load->world, "client%d: %s-%d out of range at %lld watermark=%lld",
                    client->index, topic->name, told->partition_index, (long long)at->position,
                    (long long)told->high_watermark);
        if (topic->is_short_lived || topic->is_trimmed)
            ask_start(client, t, told->partition_index, broker);
        if (oracle->is_lifted) client_seek(at, 0);
    }
    if (told->error_code != KAFKA_NONE) {
        client_want_metadata(client);
        return;
    }
    if (leader_epoch >= 0 && leader_epoch == at->leader_epoch)
        oracle_log_watermark(oracle, &at->watermark, told->high_watermark, leader_epoch);
    if (told->log_start_offset > oracle->gone_to) oracle->gone_to = told->log_start_offset;
    /* The position may have moved: while an old leader was asked, another answered. */
    int64_t next = asked;
    struct oracle_pass pass = at->pass;
    read_records(client, oracle, topic->is_compacted ? &pass : NULL, &next, told->high_watermark,
                 told->records);
    if (at->position == asked) {
        at->position = next;
        at->pass = pass;
    }
    at->high_watermark = told->high_watermark;
    at->told_at = load->world->now;
    if (at->position < told->high_watermark) *has_more = true;
    /* Not at the end: with many partitions there would always be one that has gone back. */
    if (!load->is_calm && client_draw(client, 0, 99) == 0) {
        int64_t back = client_draw(client, 0, at->position);
        int64_t shift = client_draw(client, 0, 10); /* mostly a little, seldom nearly all */
        client_seek(at, at->position - (back >> shift));
    }
}

static int topic_of(struct client *client, const struct fetch_response_topic *told, int version)
{
    for (int t = 0; t < LOAD_TOPICS_MAX; t++) {
        if (version > FETCH_NAMES_MAX ? uuid_equal(client->topics[t].id, told->topic_id)
                                      : slice_is(told->topic, client->load->topics[t].name))
            return t;
    }
    return -1;
}

static void fetch_later(struct client_broker *broker, bool has_more)
{
    struct client *client = broker->client;
    const struct load *load = client->load;
    int64_t pause =
        has_more ? 1 : client_draw(client, 1, load->is_calm ? 300 : load->fetch_pause_ms);

    timer_arm(&client->shard, &broker->fetch_again, client_after_ms(client, pause));
}

static void on_fetched(struct peer_call *call, enum err err, struct slice answer,
                       struct block *block)
{
    struct client_broker *broker = list_entry(call, struct client_broker, fetch);
    struct client *client = broker->client;
    struct fetch_response in;
    bool has_more = false;

    (void)block;
    broker->is_fetching = false;
    if (err != ERR_OK) {
        client->load->counts.fetch_failed++;
        client_want_metadata(client);
    } else {
        arena_reset(&client->arena);
        err = wire_read(answer, broker->fetch_version, &fetch_response_wire, &client->arena, &in);
        if (err != ERR_OK)
            world_wrong(client->load->world, "the answer to a fetch cannot be read: %s",
                        err_name(err));
        for (int32_t i = 0; i < in.responses.count; i++) {
            int t = topic_of(client, &in.responses.at[i], broker->fetch_version);
            if (t < 0 || (broker->fetch_topics & (1u << t)) == 0) continue;
            for (int32_t p = 0; p < in.responses.at[i].partitions.count; p++) {
                const struct fetch_response_topic_partition *told =
                    &in.responses.at[i].partitions.at[p];
                if (told->partition_index < 0 || told->partition_index >= ORACLE_PARTITIONS_MAX)
                    world_wrong(client->load->world, "%s has no partition %d",
                                client->load->topics[t].name, told->partition_index);
                int32_t epoch = broker->fetch_version >= 9
                                    ? broker->asked_epochs[t][told->partition_index]
                                    : -1;
                on_fetched_partition(client, t, broker->id, epoch,
                                     broker->asked_offsets[t][told->partition_index], told,
                                     &has_more);
            }
        }
    }
    release_topics(broker);
    fetch_later(broker, has_more);
}

static void start_fetch(struct client_broker *broker)
{
    struct client *client = broker->client;
    struct load *load = client->load;
    struct fetch_request request;
    struct fetch_request_topic topics[LOAD_TOPICS_MAX];
    int version = (int)client_draw(client, FETCH_MIN, FETCH_MAX), count = 0;

    if (broker->is_fetching) return;
    arena_reset(&client->arena);
    for (int t = 0; t < LOAD_TOPICS_MAX; t++) {
        struct client_topic *known = &client->topics[t];
        struct fetch_request_topic *to = &topics[count];
        if (load->topics[t].state != TOPIC_LIVE) continue;
        if (version > FETCH_NAMES_MAX && uuid_is_zero(known->id)) version = FETCH_NAMES_MAX;
        *to = (struct fetch_request_topic){0};
        to->topic = slice_text(load->topics[t].name);
        to->topic_id = known->id;
        to->partitions.at =
            arena_zalloc(&client->arena, sizeof(to->partitions.at[0]) * ORACLE_PARTITIONS_MAX);
        to->partitions.count = 0;
        for (int p = 0; p < known->partitions; p++) {
            if (known->at[p].leader != broker->id) continue;
            struct fetch_request_topic_partition *at = &to->partitions.at[to->partitions.count++];
            *at = (struct fetch_request_topic_partition){.last_fetched_epoch = -1,
                                                         .log_start_offset = -1};
            at->partition = p;
            at->current_leader_epoch = known->at[p].leader_epoch;
            at->fetch_offset = known->at[p].position;
            at->partition_max_bytes = (int32_t)client_draw(client, 100, FETCH_BYTES_MAX);
            broker->asked_epochs[t][p] = at->current_leader_epoch;
            broker->asked_offsets[t][p] = at->fetch_offset;
        }
        if (to->partitions.count == 0) continue;
        count++;
        broker->fetch_topics |= 1u << t;
        load->topics[t].users++;
    }
    struct peer *peer = count == 0 ? NULL : client_peer(client, broker->id, PEER_FETCH);
    if (peer == NULL) return;
    wire_default(&fetch_request_wire, &request);
    request.max_wait_ms =
        load->is_calm ? 200 : (int32_t)client_draw(client, 0, load->fetch_wait_ms);
    request.min_bytes = 1;
    request.max_bytes = FETCH_BYTES_MAX;
    request.topics.at = topics;
    request.topics.count = count;
    broker->fetch_version = version;
    broker->fetch = (struct peer_call){.api_key = API_FETCH,
                                       .version_min = (int16_t)version,
                                       .version_max = (int16_t)version,
                                       .done = on_fetched};
    buf_init(&broker->fetch.body);
    wire_write(&broker->fetch.body, version, &fetch_request_wire, &request);
    broker->is_fetching = true;
    load->counts.fetch++;
    peer_send(peer, &broker->fetch);
}

static void on_fetch_again(struct timer *timer)
{
    start_fetch(list_entry(timer, struct client_broker, fetch_again));
}

void traffic_kick(struct client *client)
{
    for (int b = 0; b < client->load->cluster->brokers; b++)
        if (!client->brokers[b].is_fetching) fetch_later(&client->brokers[b], true);
}

void traffic_forget(struct load *load, int topic)
{
    for (int c = 0; c < load->client_count; c++) {
        struct client_topic *known = &load->clients[c].topics[topic];
        /* What stands still in the network would be let in as the first of its producer, when the
         * topic has been made again. */
        for (int p = 0; p < ORACLE_PARTITIONS_MAX; p++)
            if (known->at[p].has_strays) load->clients[c].producer_id = -1;
        *known = (struct client_topic){0};
        for (int p = 0; p < ORACLE_PARTITIONS_MAX; p++)
            known->at[p] = (struct client_partition){.leader = -1, .leader_epoch = -1};
    }
}

void traffic_start(struct client *client)
{
    client->produce_timer.fire = on_produce_timer;
    for (int b = 0; b < client->load->cluster->brokers; b++)
        client->brokers[b].fetch_again.fire = on_fetch_again;
    timer_arm(&client->shard, &client->produce_timer, client_after_ms(client, 1000));
}
