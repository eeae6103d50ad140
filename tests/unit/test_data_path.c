/* tests/unit/test_data_path.c - Produce, Fetch, ListOffsets and OffsetForLeaderEpoch as a client
 * sees them: frames over loopback to two data shards (and a control shard), all turned by hand.
 * Partition 0 and 1 of a topic live on different shards, so that one of them is always elsewhere.
 */
#include "base/conf.h"
#include "base/ensure.h"
#include "broker/api/connections.h"
#include "broker/api/delete_records.h"
#include "broker/api/describe_producers.h"
#include "broker/api/fetch.h"
#include "broker/api/offsets.h"
#include "broker/api/produce.h"
#include "broker/log/store.h"
#include "broker/replica/partitions.h"
#include "cluster/image.h"
#include "cluster/listeners.h"
#include "runtime/disk.h"
#include "runtime/env_posix.h"
#include "unit.h"
#include "wire/frame.h"
#include "wire/gen/delete_records.h"
#include "wire/gen/describe_producers.h"
#include "wire/gen/fetch.h"
#include "wire/gen/list_offsets.h"
#include "wire/gen/offset_for_leader_epoch.h"
#include "wire/gen/produce.h"
#include "wire/oldset.h"
#include "wire/prim.h"
#include "wire/record.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELF       1
#define FOLLOWER   2
#define DATA       2
#define SHARDS     (DATA + 1)
#define PARTITIONS 4

struct data_shard {
    struct msg_routes routes; /* first */
    struct shard shard;
    struct api_shard api;
    struct partitions *partitions;
    struct listener *listener;
};

struct world {
    struct env *env;
    struct disk *disk;
    struct mesh *mesh;
    struct data_shard shards[SHARDS];
    struct api_process process;
    struct options *options;
    struct listeners listeners;
    struct connections connections;
    struct image *image;
    struct store *store;
    struct log_config config;
    char path[64];
    const char *paths[1];
    bool is_done;
    int client;
    int32_t correlation;
    struct buf out, in;
    struct arena arena;
    struct buf batch;
};

static const struct mailbox_handlers mailbox = {.call = messages_call, .answer = messages_answer};
static const struct uuid topic_id = {{7, 7, 7}};

static void idle(struct post *post)
{
    (void)post;
}

static void turn(struct world *world)
{
    for (int i = 0; i < SHARDS; i++) {
        struct post kick = {.run = idle};
        shard_post(&world->shards[i].shard, &kick);
        shard_turn(&world->shards[i].shard);
    }
}

static void until(struct world *world, const bool *flag)
{
    for (int i = 0; i < 3000000 && !*flag; i++) {
        turn(world);
        usleep(20);
    }
    ck_assert(*flag);
}

/* ---- the world ---- */

static void on_loaded(void *owner, enum err err, const char *text)
{
    (void)text;
    ck_assert_int_eq(err, ERR_OK);
    ((struct world *)owner)->is_done = true;
}
static void on_dir_failed(void *owner, struct log_dir *dir, enum err why, int left)
{
    (void)owner;
    (void)dir;
    (void)why;
    (void)left;
}
static void on_done(void *owner)
{
    ((struct world *)owner)->is_done = true;
}
static const struct store_events store_events = {on_loaded, on_dir_failed, on_done};

static void config_of(void *owner, struct slice topic, struct log_config *out)
{
    (void)topic;
    *out = ((struct world *)owner)->config;
}

static bool is_alive(void *owner, int32_t broker)
{
    (void)owner;
    (void)broker;
    return true;
}
static const struct partitions_ops ops = {.is_alive = is_alive};

static void on_accepted(void *owner, struct conn *conn)
{
    api_accepted(&((struct data_shard *)owner)->api, conn, 0);
}

static void make_image(struct world *world)
{
    static const int32_t replicas[] = {SELF, FOLLOWER};
    struct image_partition partitions[PARTITIONS];
    struct endpoint endpoint = {
        .listener = SLICE("PLAINTEXT"), .host = SLICE("two.example"), .port = 9999};
    struct image_broker brokers[] = {
        {.id = SELF, .rack = SLICE_NULL},
        {.id = FOLLOWER, .rack = SLICE_NULL, .endpoints = &endpoint, .endpoint_count = 1},
    };

    for (int32_t p = 0; p < PARTITIONS; p++)
        partitions[p] = (struct image_partition){
            .partition = p,
            .leader = SELF,
            .leader_epoch = 1,
            .replicas = {replicas, 2},
            .isr = {replicas, 2},
        };
    struct image_topic_change topic = {
        .name = SLICE("t"),
        .id = topic_id,
        .partitions = partitions,
        .partition_count = PARTITIONS,
    };
    struct image_change change = {
        .topics = &topic,
        .topic_count = 1,
        .has_brokers = true,
        .brokers = brokers,
        .broker_count = 2,
    };
    struct image *empty = image_create();
    world->image = image_next(empty, &change);
    image_release(&empty);
}

static void open_shards(struct world *world)
{
    world->mesh = mesh_create(SHARDS);
    ck_assert_int_eq(disk_open(world->env, (const int[DISK_CLASSES]){1, 1, 1}, &world->disk),
                     ERR_OK);
    for (int i = 0; i < SHARDS; i++) {
        struct data_shard *it = &world->shards[i];
        struct partitions_options options = {.shard = &it->shard,
                                             .broker_id = SELF,
                                             .files_open_max = 16,
                                             .ops = &ops,
                                             .owner = world};
        ck_assert_int_eq(
            shard_open(&it->shard, world->env, i, world->mesh, &mailbox, it, world->disk), ERR_OK);
        api_shard_init(&it->api, &it->shard, &world->process, &it->routes);
        it->api.image = world->image;
        if (i == DATA) continue;
        replica_settings_init(&options.settings);
        it->partitions = partitions_create(&options);
        it->api.partitions = it->partitions;
        produce_open(&it->api, &it->routes);
        fetch_open(&it->api, &it->routes, 10);
        offsets_open(&it->api, &it->routes);
        delete_records_open(&it->api, &it->routes);
        describe_producers_open(&it->api, &it->routes);
    }
}

static void connect_client(struct world *world)
{
    struct data_shard *it = &world->shards[0];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(listener_port(it->listener)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};

    world->client = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(world->client, (struct sockaddr *)&to, sizeof(to)), 0);
    fcntl(world->client, F_SETFL, O_NONBLOCK);
}

/* With more than the defaults, and with logs that stand already. */
static void open_world_with(struct world *world, const char *option, const char *value,
                            void (*prepare)(const char *path))
{
    struct buf problem = {0};
    struct options_report report = {0};

    memset(world, 0, sizeof(*world));
    log_config_default(&world->config);
    strcpy(world->path, "/tmp/ottla-data-path-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(world->path));
    world->paths[0] = world->path;
    world->env = env_posix_create(NULL);
    world->options = options_create();
    if (option != NULL) {
        struct conf conf;
        conf_init(&conf);
        conf_set(&conf, option, value, 1);
        ck_assert_int_eq(options_load(world->options, &conf, "test", &report), ERR_OK);
        conf_fini(&conf);
    }
    if (prepare != NULL) prepare(world->path);
    ck_assert_int_eq(listeners_read(world->options, &report, &world->listeners), ERR_OK);
    connections_init(&world->connections, world->options, &world->listeners);
    world->process = (struct api_process){.options = world->options,
                                          .broker_id = SELF,
                                          .shards = DATA,
                                          .listeners = &world->listeners,
                                          .connections = &world->connections};
    make_image(world);
    open_shards(world);
    arena_init(&world->arena, 16 << 20);

    struct store_options store = {
        .env = world->env,
        .home = &world->shards[DATA].shard,
        .disk = world->disk,
        .paths = world->paths,
        .path_count = 1,
        .recovery_threads = 1,
        .keeps_topic_ids = true,
        .config = config_of,
        .events = &store_events,
        .owner = world,
    };
    ck_assert_int_eq(store_open(&store, &problem, &world->store), ERR_OK);
    ck_assert_int_eq(store_identify(world->store, SELF, "cluster", &problem), ERR_OK);
    store_load(world->store);
    until(world, &world->is_done);
    buf_fini(&problem);

    struct listener_options listen = {.address = {.host = "127.0.0.1"},
                                      .socket = {-1, -1, 16},
                                      .handlers = &api_conn_handlers,
                                      .limits = &world->shards[0].api.limits,
                                      .accepted = on_accepted,
                                      .owner = &world->shards[0]};
    ck_assert_int_eq(listener_open(&world->shards[0].shard, &listen, &world->shards[0].listener),
                     ERR_OK);
    connect_client(world);
}

static void open_world(struct world *world)
{
    open_world_with(world, NULL, NULL, NULL);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static void close_world(struct world *world)
{
    close(world->client);
    listener_close(&world->shards[0].listener);
    for (int i = 0; i < 50; i++)
        turn(world);
    for (int i = 0; i < DATA; i++) {
        world->is_done = false;
        partitions_close(world->shards[i].partitions, on_done, world);
        until(world, &world->is_done);
    }
    for (int i = 0; i < 50; i++)
        turn(world);
    world->is_done = false;
    store_close(world->store);
    until(world, &world->is_done);
    store_destroy(&world->store);
    for (int i = 0; i < SHARDS; i++) {
        fetch_close(&world->shards[i].api.fetches);
        partitions_destroy(&world->shards[i].partitions);
        api_shard_fini(&world->shards[i].api);
    }
    for (int i = 0; i < 20; i++) {
        turn(world);
        usleep(500);
    }
    disk_close(world->env, &world->disk);
    for (int i = 0; i < SHARDS; i++)
        shard_close(&world->shards[i].shard);
    mesh_destroy(&world->mesh);
    image_release(&world->image);
    connections_fini(&world->connections);
    listeners_fini(&world->listeners);
    options_destroy(&world->options);
    env_posix_destroy(&world->env);
    arena_fini(&world->arena);
    buf_fini(&world->batch);
    buf_fini(&world->out);
    buf_fini(&world->in);
    nftw(world->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct control {
    struct replica_call call;
    struct world *world;
};

static void control_done(struct replica_call *call)
{
    ((struct control *)(void *)call)->world->is_done = true;
}

static void lead_all(struct world *world, int32_t leader, int32_t epoch, int replica_count,
                     int32_t min_insync)
{
    static const int32_t replicas[] = {SELF, FOLLOWER};

    for (int32_t p = 0; p < PARTITIONS; p++) {
        struct log *log = store_find(world->store, SLICE("t"), p);
        struct store_new_log new = {.topic = SLICE("t"),
                                    .partition = p,
                                    .topic_id = topic_id,
                                    .config = &world->config,
                                    .is_new = true};
        if (log == NULL) {
            world->is_done = false;
            store_create_many(world->store, &new, 1, on_done, world);
            until(world, &world->is_done);
            log = new.log;
        }
        ck_assert_ptr_nonnull(log);
        struct replica_change change = {
            .topic = SLICE("t"),
            .topic_id = topic_id,
            .partition = p,
            .leader = leader,
            .leader_epoch = epoch,
            .partition_epoch = epoch,
            .replicas = replicas,
            .replica_count = replica_count,
            .isr = replicas,
            .isr_count = replica_count,
            .is_leader_alive = true,
            .log = log,
            .min_insync = min_insync,
        };
        struct control control = {
            .call = {.changes = &change, .change_count = 1, .done = control_done}, .world = world};
        world->is_done = false;
        partitions_control(world->shards[partition_shard(SLICE("t"), p, DATA)].partitions,
                           &control.call);
        until(world, &world->is_done);
        ck_assert_int_eq(change.err, ERR_OK);
    }
}

/* ---- the client ---- */

static void send_request(struct world *world, int16_t key, int16_t version,
                         const struct wire_struct *type, const void *body)
{
    struct frame_request_head head = {.api_key = key,
                                      .api_version = version,
                                      .correlation_id = ++world->correlation,
                                      .client_id = SLICE("test")};
    size_t sent = 0;

    buf_clear(&world->out);
    buf_extend(&world->out, 4);
    frame_write_request_head(&world->out, &head);
    wire_write(&world->out, version, type, body);
    uint32_t length = htonl((uint32_t)world->out.len - 4);
    memcpy(world->out.ptr, &length, 4);
    while (sent < world->out.len) {
        ssize_t n = send(world->client, world->out.ptr + sent, world->out.len - sent, 0);
        if (n > 0) sent += (size_t)n;
        turn(world);
    }
}

/* Fills world->in with what has come; false when the connection has ended. */
static bool receive(struct world *world)
{
    ssize_t n = recv(world->client, buf_reserve(&world->in, 65536), 65536, 0);

    if (n > 0) world->in.len += (size_t)n;
    return n != 0;
}

static bool has_frame(const struct world *world, size_t *len)
{
    uint32_t length;

    if (world->in.len < 4) return false;
    memcpy(&length, world->in.ptr, 4);
    *len = ntohl(length);
    return world->in.len >= *len + 4;
}

/* The answer to the request with `correlation`: read, but left in world->in until the next. */
static void read_reply(struct world *world, int32_t correlation, int16_t key, int16_t version,
                       const struct wire_struct *type, void *out)
{
    size_t len = 0;
    int32_t got = 0;
    struct slice body;

    for (int i = 0; i < 600000 && !has_frame(world, &len); i++) {
        turn(world);
        ck_assert(receive(world));
        if (i > 10000) usleep(100); /* who works for it may need the processor */
    }
    ck_assert(has_frame(world, &len));
    /* In the arena: what the response points to outlives the next one. */
    struct slice frame = arena_copy(&world->arena, slice_of(world->in.ptr + 4, len));
    buf_drop_head(&world->in, len + 4);
    ck_assert_int_eq(frame_read_response_head(frame, key, version, &got, &body), ERR_OK);
    ck_assert_int_eq(got, correlation);
    ck_assert_int_eq(wire_read(body, version, type, &world->arena, out), ERR_OK);
}

static bool is_quiet(struct world *world, int ms)
{
    size_t len = 0;

    for (int i = 0; i < ms; i++) {
        turn(world);
        ck_assert(receive(world));
        usleep(1000);
    }
    return !has_frame(world, &len);
}

static bool is_closed(struct world *world)
{
    for (int i = 0; i < 600000; i++) {
        turn(world);
        if (!receive(world)) return true;
        if (i > 10000) usleep(100);
    }
    return false;
}

static struct slice make_batch(struct world *world, int records, size_t value_len)
{
    struct record_builder builder;
    struct buf batch = {0};
    char *value = ensure_zalloc(value_len + 1);

    memset(value, 'v', value_len);
    record_builder_begin(&builder, &batch);
    for (int i = 0; i < records; i++)
        record_builder_add(&builder, 5000 + i, SLICE("key"), slice_of(value, value_len), NULL, 0);
    record_builder_end(&builder);
    struct slice kept = arena_copy(&world->arena, buf_slice(&batch));
    buf_fini(&batch);
    free(value);
    return kept;
}

/* One batch to partitions 0 … count − 1. */
static void send_produce(struct world *world, int16_t version, int16_t acks, const char *topic,
                         int count, struct slice batch, int32_t timeout_ms)
{
    struct produce_request_topic_partition parts[PARTITIONS + 1];
    struct produce_request_topic topics = {.name = slice_text(topic),
                                           .partition_data = {parts, count}};
    struct produce_request request = {
        .acks = acks, .timeout_ms = timeout_ms, .topic_data = {&topics, 1}};

    for (int32_t p = 0; p < count; p++)
        parts[p] = (struct produce_request_topic_partition){.index = p, .records = batch};
    send_request(world, API_PRODUCE, version, &produce_request_wire, &request);
}

static struct produce_response produce(struct world *world, int16_t version, int16_t acks,
                                       const char *topic, int count, struct slice batch)
{
    struct produce_response response;

    send_produce(world, version, acks, topic, count, batch, 30000);
    read_reply(world, world->correlation, API_PRODUCE, version, &produce_response_wire, &response);
    return response;
}

struct fetch_one {
    int32_t partition;
    int64_t offset;
};

static struct fetch_request fetch_of(struct world *world, int16_t version, int32_t replica,
                                     const struct fetch_one *at, int count)
{
    struct fetch_request_topic *topic = arena_zalloc(&world->arena, sizeof(*topic));
    struct fetch_request request;

    wire_default(&fetch_request_wire, &request);
    request.replica_id = version < 15 ? replica : -1;
    request.replica_state.replica_id = version >= 15 ? replica : -1;
    request.max_wait_ms = 20000;
    request.min_bytes = 1;
    request.max_bytes = 50 << 20;
    request.session_epoch = -1;
    topic->topic = version < 13 ? SLICE("t") : SLICE("");
    topic->topic_id = version < 13 ? UUID_ZERO : topic_id;
    topic->partitions.at = arena_zalloc(&world->arena, sizeof(*topic->partitions.at) * 64);
    topic->partitions.count = count;
    for (int i = 0; i < count; i++)
        topic->partitions.at[i] = (struct fetch_request_topic_partition){
            .partition = at[i].partition,
            .fetch_offset = at[i].offset,
            .current_leader_epoch = -1,
            .last_fetched_epoch = -1,
            .partition_max_bytes = 1 << 20,
        };
    if (count > 0) {
        request.topics.at = topic;
        request.topics.count = 1;
    }
    return request;
}

static void send_fetch(struct world *world, int16_t version, const struct fetch_request *request)
{
    send_request(world, API_FETCH, version, &fetch_request_wire, request);
}

static struct fetch_response fetch(struct world *world, int16_t version,
                                   const struct fetch_request *request)
{
    struct fetch_response response;

    send_fetch(world, version, request);
    read_reply(world, world->correlation, API_FETCH, version, &fetch_response_wire, &response);
    return response;
}

static const struct fetch_response_topic_partition *fetched(const struct fetch_response *response,
                                                            int32_t partition)
{
    for (int32_t t = 0; t < response->responses.count; t++)
        for (int32_t p = 0; p < response->responses.at[t].partitions.count; p++)
            if (response->responses.at[t].partitions.at[p].partition_index == partition)
                return &response->responses.at[t].partitions.at[p];
    return NULL;
}

/* ---- the claims ---- */

START_TEST(every_version_round_trips_byte_for_byte)
{
    struct world world;

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    int64_t offset = 0;
    for (int16_t version = 3; version <= 11; version++, offset += 3) {
        struct slice batch = make_batch(&world, 3, 10);
        struct produce_response produced =
            produce(&world, version, version % 2 ? 1 : -1, "t", 2, batch);
        ck_assert_int_eq(produced.responses.count, 1);
        for (int p = 0; p < 2; p++) {
            ck_assert_int_eq(produced.responses.at[0].partition_responses.at[p].error_code, 0);
            ck_assert_int_eq(produced.responses.at[0].partition_responses.at[p].base_offset,
                             offset);
        }
    }
    for (int16_t version = 4; version <= 17; version++) {
        struct fetch_one both[] = {{0, 3}, {1, 24}};
        struct fetch_request request = fetch_of(&world, version, -1, both, 2);
        struct fetch_response response = fetch(&world, version, &request);
        const struct fetch_response_topic_partition *zero = fetched(&response, 0);
        const struct fetch_response_topic_partition *one = fetched(&response, 1);
        ck_assert_int_eq(zero->error_code, 0);
        ck_assert_int_eq(zero->high_watermark, 27);
        ck_assert_int_eq(zero->aborted_transactions.count, -1);
        struct batch batch;
        struct slice rest = zero->records;
        ck_assert_int_eq(batch_take(&rest, &batch), ERR_OK);
        ck_assert_int_eq(batch.base_offset, 3);
        ck_assert_int_eq(batch.leader_epoch, 1);
        ck_assert_int_eq(batch.record_count, 3);
        rest = one->records;
        ck_assert_int_eq(batch_take(&rest, &batch), ERR_OK);
        ck_assert_int_eq(batch.base_offset, 24);
        ck_assert_uint_eq(rest.len, 0);
    }
    close_world(&world);
}
END_TEST

/* The offsets of a set of messages, each in its own entry or in a wrapper; `*first` is the lowest.
 */
static int count_messages(struct slice set, int8_t magic, int64_t *first)
{
    struct oldset_message message;
    struct oldset_reader reader;
    struct batch_entry entry;
    struct buf inner = {0};
    int count = 0;

    while (batch_entry_take(&set, &entry) == ERR_OK) {
        ck_assert_int_eq(entry.magic, magic);
        ck_assert_int_eq(oldset_open(&entry, 1 << 20, &inner, &reader), ERR_OK);
        while (oldset_next(&reader, &message)) {
            if (count++ == 0) *first = message.offset;
            ck_assert(slice_is(message.key, "key"));
        }
    }
    buf_fini(&inner);
    return count;
}

START_TEST(old_versions_are_given_the_formats_that_they_know)
{
    static const int8_t magic[] = {0, 0, 1, 1};
    struct topic_throttles unthrottled = {0};
    struct fetch_response response;
    struct world world;
    int64_t first = -1;

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    for (int i = 0; i < 4; i++)
        produce(&world, 9, 1, "t", 2, make_batch(&world, 3, 10));
    struct fetch_one both[] = {{0, 3}, {1, 7}};
    for (int16_t version = 0; version <= 3; version++) {
        struct fetch_request request = fetch_of(&world, version, -1, both, 2);
        response = fetch(&world, version, &request);
        for (int p = 0; p < 2; p++) {
            ck_assert_int_eq(fetched(&response, p)->error_code, 0);
            ck_assert_int_eq(fetched(&response, p)->high_watermark, 12);
        }
        ck_assert_int_eq(count_messages(fetched(&response, 0)->records, magic[version], &first), 9);
        ck_assert_int_eq(first, 3);
        ck_assert_int_eq(count_messages(fetched(&response, 1)->records, magic[version], &first), 5);
        ck_assert_int_eq(first, 7); /* what is below in its batch is left out */
    }
    /* Too few bytes for a message, before version 3: the beginning of one. */
    struct fetch_request small = fetch_of(&world, 2, -1, both, 1);
    small.topics.at->partitions.at[0].partition_max_bytes = 40;
    response = fetch(&world, 2, &small);
    ck_assert_int_eq(fetched(&response, 0)->error_code, 0);
    ck_assert_uint_gt(fetched(&response, 0)->records.len, 0);
    ck_assert_int_eq(count_messages(fetched(&response, 0)->records, 1, &first), 0);

    world.config.downconverts = false;
    for (int i = 0; i < DATA; i++)
        partitions_configure(world.shards[i].partitions, SLICE("t"), &world.config, 1,
                             &unthrottled);
    for (int16_t version = 0; version <= 4; version++) {
        struct fetch_request request = fetch_of(&world, version, -1, both, 2);
        response = fetch(&world, version, &request);
        ck_assert_int_eq(fetched(&response, 0)->error_code,
                         version < 4 ? KAFKA_UNSUPPORTED_VERSION : 0);
    }
    close_world(&world);
}
END_TEST

/* Kafka's brokers take the last; and nobody has one partition read a million times. */
START_TEST(of_a_partition_named_twice_the_last_counts)
{
    struct world world;
    struct fetch_one all[] = {{0, 0}, {1, 0}, {0, 3}, {2, 0}, {3, 0}, {1, 99}, {0, 6}};

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    for (int i = 0; i < 3; i++)
        produce(&world, 9, 1, "t", 4, make_batch(&world, 3, 10));
    for (int16_t version = 12; version <= 13; version++) {
        struct fetch_request request = fetch_of(&world, version, -1, all, 7);
        struct fetch_response response = fetch(&world, version, &request);
        int count = 0;
        for (int32_t t = 0; t < response.responses.count; t++)
            count += response.responses.at[t].partitions.count;
        ck_assert_int_eq(count, 4);
        struct batch batch;
        struct slice rest = fetched(&response, 0)->records;
        ck_assert_int_eq(batch_take(&rest, &batch), ERR_OK);
        ck_assert_int_eq(batch.base_offset, 6);
        ck_assert_int_eq(fetched(&response, 1)->error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    }
    struct fetch_one many[40];
    for (int i = 0; i < 40; i++)
        many[i] = (struct fetch_one){i % 4, i < 36 ? 0 : 6};
    struct fetch_request request = fetch_of(&world, 12, -1, many, 40);
    struct fetch_response response = fetch(&world, 12, &request);
    ck_assert_int_eq(response.responses.at[0].partitions.count, 4);
    struct batch batch;
    struct slice rest = fetched(&response, 3)->records;
    ck_assert_int_eq(batch_take(&rest, &batch), ERR_OK);
    ck_assert_int_eq(batch.base_offset, 6);
    close_world(&world);
}
END_TEST

START_TEST(large_slices_go_by_file_and_small_ones_by_copy)
{
    struct world world;
    struct fetch_one all[] = {{0, 0}, {1, 0}, {2, 0}, {3, 0}};

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    struct slice large = make_batch(&world, 100, 1000);
    struct slice small = make_batch(&world, 1, 10);
    produce(&world, 9, 1, "t", 2, large);
    produce(&world, 9, 1, "t", 4, small);
    struct fetch_request request = fetch_of(&world, 12, -1, all, 4);
    struct fetch_response response = fetch(&world, 12, &request);
    for (int32_t p = 0; p < 4; p++) {
        struct batch batch;
        struct slice rest = fetched(&response, p)->records;
        if (p < 2) {
            ck_assert_uint_eq(rest.len, large.len + small.len);
            ck_assert_int_eq(batch_take(&rest, &batch), ERR_OK);
            ck_assert_int_eq(batch.record_count, 100);
        }
        ck_assert_int_eq(batch_take(&rest, &batch), ERR_OK);
        ck_assert_int_eq(batch.record_count, 1);
    }
    /* The whole reply has a bound, but the first batch comes whole. */
    request.max_bytes = 10;
    response = fetch(&world, 12, &request);
    size_t total = 0;
    for (int32_t p = 0; p < 4; p++)
        total += fetched(&response, p)->records.len;
    ck_assert(total == large.len || total == small.len);
    close_world(&world);
}
END_TEST

#define HUGE_BATCH ((int64_t)20 << 20)
#define HUGE_COUNT 55 /* 1100 MiB: two are more than a frame can hold */

/* Partitions 0 and 2, stopped cleanly: heads of batches in files that are holes otherwise. */
static void prepare_huge(const char *path)
{
    char name[200];

    for (int p = 0; p <= 2; p += 2) {
        static const char *const files[] = {"log", "index", "timeindex"};
        snprintf(name, sizeof(name), "%s/t-%d", path, p);
        ck_assert_int_eq(mkdir(name, 0700), 0);
        for (int f = 0; f < 3; f++) {
            snprintf(name, sizeof(name), "%s/t-%d/00000000000000000000.%s", path, p, files[f]);
            int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
            ck_assert_int_ge(fd, 0);
            for (int b = 0; f == 0 && b < HUGE_COUNT; b++) {
                uint8_t head[61] = {0};
                head[7] = (uint8_t)b;
                prim_store32(head + 8, (uint32_t)(HUGE_BATCH - 12));
                head[16] = 2;
                memset(head + 43, 0xff, 14);
                head[60] = 1;
                ck_assert_int_eq(pwrite(fd, head, sizeof(head), b * HUGE_BATCH), sizeof(head));
            }
            if (f == 0) ck_assert_int_eq(ftruncate(fd, HUGE_COUNT * HUGE_BATCH), 0);
            close(fd);
        }
    }
    snprintf(name, sizeof(name), "%s/.kafka_cleanshutdown", path);
    int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

START_TEST(a_fetch_of_all_that_a_frame_can_hold_leaves_room_for_its_head)
{
    struct world world;
    struct fetch_one both[] = {{0, 0}, {2, 0}};
    size_t len = 0;

    open_world_with(&world, "fetch.max.bytes", "2147483647", prepare_huge);
    lead_all(&world, SELF, 1, 1, 1);
    ck_assert_int_eq(partition_shard(SLICE("t"), 0, DATA), partition_shard(SLICE("t"), 2, DATA));
    struct fetch_request request = fetch_of(&world, 12, -1, both, 2);
    request.max_bytes = INT32_MAX;
    for (int i = 0; i < 2; i++)
        request.topics.at->partitions.at[i].partition_max_bytes = INT32_MAX;
    send_fetch(&world, 12, &request);
    /* The length word tells: the rest is not waited for. Too much would end the connection. */
    for (int i = 0; i < 1000000 && world.in.len < 4; i++) {
        turn(&world);
        ck_assert(receive(&world));
        usleep(20);
    }
    ck_assert_uint_ge(world.in.len, 4);
    ck_assert(!has_frame(&world, &len));
    ck_assert_uint_le(len, INT32_MAX);
    ck_assert_uint_gt(len, INT32_MAX - (1 << 20)); /* … and it is used */
    close_world(&world);
}
END_TEST

START_TEST(acks_all_is_answered_in_order_when_followers_have_it)
{
    struct world world;
    struct produce_response produced;
    struct fetch_response response;

    open_world(&world);
    lead_all(&world, SELF, 1, 2, 2);
    struct slice batch = make_batch(&world, 1, 10);
    struct fetch_one from_start[] = {{0, 0}, {1, 0}};
    struct fetch_one from_one[] = {{0, 1}, {1, 1}};
    struct fetch_one from_two[] = {{0, 2}, {1, 2}};
    int consumer = world.client;

    send_produce(&world, 9, -1, "t", 2, batch, 30000);
    send_produce(&world, 9, 1, "t", 2, batch, 30000); /* does not wait, but its reply does */
    ck_assert(is_quiet(&world, 30));

    connect_client(&world); /* the follower */
    struct fetch_request request = fetch_of(&world, 12, FOLLOWER, from_start, 2);
    response = fetch(&world, 12, &request);
    ck_assert_int_eq(fetched(&response, 0)->high_watermark, 0);
    ck_assert_int_gt(fetched(&response, 0)->records.len, 0);
    request = fetch_of(&world, 12, FOLLOWER, from_one, 2);
    response = fetch(&world, 12, &request); /* has the first of each: acknowledges it */
    ck_assert_int_eq(fetched(&response, 1)->high_watermark, 1);
    request = fetch_of(&world, 12, FOLLOWER, from_two, 2);
    request.max_wait_ms = 0;
    fetch(&world, 12, &request);
    close(world.client);

    world.client = consumer;
    read_reply(&world, 1, API_PRODUCE, 9, &produce_response_wire, &produced);
    ck_assert_int_eq(produced.responses.at[0].partition_responses.at[0].error_code, 0);
    ck_assert_int_eq(produced.responses.at[0].partition_responses.at[1].base_offset, 0);
    read_reply(&world, 2, API_PRODUCE, 9, &produce_response_wire, &produced);
    ck_assert_int_eq(produced.responses.at[0].partition_responses.at[1].base_offset, 1);
    close_world(&world);
}
END_TEST

START_TEST(acks_all_times_out_and_fails_with_leadership)
{
    struct world world;
    struct produce_response produced;

    open_world(&world);
    lead_all(&world, SELF, 1, 2, 1);
    struct slice batch = make_batch(&world, 1, 10);
    send_produce(&world, 10, -1, "t", 2, batch, 20);
    read_reply(&world, 1, API_PRODUCE, 10, &produce_response_wire, &produced);
    for (int p = 0; p < 2; p++)
        ck_assert_int_eq(produced.responses.at[0].partition_responses.at[p].error_code,
                         KAFKA_REQUEST_TIMED_OUT);

    send_produce(&world, 10, -1, "t", 2, batch, 60000);
    ck_assert(is_quiet(&world, 5));
    lead_all(&world, FOLLOWER, 2, 2, 1);
    read_reply(&world, 2, API_PRODUCE, 10, &produce_response_wire, &produced);
    ck_assert_int_eq(produced.responses.at[0].partition_responses.at[1].error_code,
                     KAFKA_NOT_LEADER_OR_FOLLOWER);

    /* And at once from now on, with who leads and where. */
    produced = produce(&world, 10, 1, "t", 1, batch);
    const struct produce_response_topic_partition *part =
        &produced.responses.at[0].partition_responses.at[0];
    ck_assert_int_eq(part->error_code, KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(part->base_offset, -1);
    ck_assert_int_eq(part->current_leader.leader_id, FOLLOWER);
    ck_assert_int_eq(part->current_leader.leader_epoch, 2);
    ck_assert_int_eq(produced.node_endpoints.count, 1);
    ck_assert(slice_is(produced.node_endpoints.at[0].host, "two.example"));
    close_world(&world);
}
END_TEST

START_TEST(errors_of_produce_are_kafkas)
{
    struct world world;
    struct produce_response produced;

    open_world(&world);
    world.config.message_bytes_max = 5000;
    lead_all(&world, SELF, 1, 1, 1);
    struct slice batch = make_batch(&world, 1, 10);

    produced = produce(&world, 9, 1, "unknown", 1, batch);
    ck_assert_int_eq(produced.responses.at[0].partition_responses.at[0].error_code,
                     KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    produced = produce(&world, 9, 7, "t", 1, batch);
    ck_assert_int_eq(produced.responses.at[0].partition_responses.at[0].error_code,
                     KAFKA_INVALID_REQUIRED_ACKS);
    produced = produce(&world, 9, 1, "t", 1, make_batch(&world, 10, 1000));
    ck_assert_int_eq(produced.responses.at[0].partition_responses.at[0].error_code,
                     KAFKA_MESSAGE_TOO_LARGE);
    produced = produce(&world, 9, 1, "t", 2, SLICE_NULL);
    ck_assert_int_eq(produced.responses.at[0].partition_responses.at[1].error_code,
                     KAFKA_INVALID_RECORD);
    struct slice bad = make_batch(&world, 1, 10);
    ((uint8_t *)(uintptr_t)bad.ptr)[bad.len - 1] ^= 1;
    produced = produce(&world, 9, 1, "t", 2, bad);
    for (int p = 0; p < 2; p++)
        ck_assert_int_eq(produced.responses.at[0].partition_responses.at[p].error_code,
                         KAFKA_CORRUPT_MESSAGE);
    produced = produce(&world, 9, 1, "t", 1, batch);
    ck_assert_int_eq(produced.responses.at[0].partition_responses.at[0].base_offset, 0);
    close_world(&world);
}
END_TEST

/* Old producers send messages of formats 0 and 1, plain and in wrappers: they are read back as
 * batches, and by old consumers as messages. */
START_TEST(old_producers_are_served)
{
    struct fetch_response response;
    struct produce_response produced;
    struct world world;
    struct buf set = {0}, packed = {0};
    int64_t first = -1, offset = 0;

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    for (int16_t version = 0; version <= 2; version++) {
        int8_t magic = version < 2 ? 0 : 1;
        for (int codec = BATCH_CODEC_NONE; codec <= BATCH_CODEC_LZ4; codec++) {
            buf_clear(&set);
            for (int i = 0; i < 3; i++) {
                const struct oldset_message message = {.offset = i,
                                                       .magic = magic,
                                                       .timestamp = magic == 0 ? -1 : 7000 + i,
                                                       .key = SLICE("key"),
                                                       .value = SLICE("value")};
                oldset_write(&set, &message);
            }
            if (codec != BATCH_CODEC_NONE) {
                buf_clear(&packed);
                compress_write(codec, magic, COMPRESS_LEVEL_DEFAULT, buf_slice(&set), &packed);
                const struct oldset_message wrapper = {.offset = 2,
                                                       .magic = magic,
                                                       .attributes = (uint8_t)codec,
                                                       .timestamp = magic == 0 ? -1 : 7002,
                                                       .value = buf_slice(&packed)};
                buf_clear(&set);
                oldset_write(&set, &wrapper);
            }
            produced = produce(&world, version, 1, "t", 1, buf_slice(&set));
            ck_assert_int_eq(produced.responses.at[0].partition_responses.at[0].error_code, 0);
            ck_assert_int_eq(produced.responses.at[0].partition_responses.at[0].base_offset,
                             offset);
            offset += 3;
        }
    }
    struct fetch_one all[] = {{0, 0}};
    for (int16_t version = 0; version <= 3; version++) {
        struct fetch_request request = fetch_of(&world, version, -1, all, 1);
        response = fetch(&world, version, &request);
        ck_assert_int_eq(
            count_messages(fetched(&response, 0)->records, version < 2 ? 0 : 1, &first), offset);
        ck_assert_int_eq(first, 0);
    }
    struct fetch_request request = fetch_of(&world, 12, -1, all, 1);
    response = fetch(&world, 12, &request);
    struct slice records = fetched(&response, 0)->records;
    struct batch batch;
    int batches = 0;
    while (batch_take(&records, &batch) == ERR_OK) {
        ck_assert_int_eq(batch.max_timestamp, batches < 8 ? -1 : 7002);
        ck_assert_int_eq(batch_codec(&batch), batches++ % 4);
    }
    ck_assert_int_eq(batches, 12);
    buf_fini(&packed);
    buf_fini(&set);
    close_world(&world);
}
END_TEST

/* Which records are bad, from version 8 on. */
START_TEST(bad_records_are_named_in_the_reply)
{
    const struct produce_response_topic_partition *part;
    struct produce_response produced;
    struct record_builder builder;
    struct buf bytes = {0};
    struct world world;

    open_world(&world);
    world.config.is_compacted = true;
    lead_all(&world, SELF, 1, 1, 1);
    record_builder_begin(&builder, &bytes);
    for (int i = 0; i < 3; i++)
        record_builder_add(&builder, 5000, i == 1 ? SLICE_NULL : SLICE("key"), SLICE("v"), NULL, 0);
    record_builder_end(&builder);
    for (int16_t version = 7; version <= 9; version++) {
        produced = produce(&world, version, -1, "t", 1, buf_slice(&bytes));
        part = &produced.responses.at[0].partition_responses.at[0];
        ck_assert_int_eq(part->error_code, KAFKA_INVALID_RECORD);
        ck_assert_int_eq(part->base_offset, -1);
        ck_assert_int_eq(part->log_start_offset, 0);
        ck_assert_int_eq(part->record_errors.count, version < 8 ? 0 : 1);
        if (version < 8) continue;
        ck_assert_int_eq(part->record_errors.at[0].batch_index, 1);
        ck_assert(slice_is(part->record_errors.at[0].batch_index_error_message,
                           "Compacted topic cannot accept message without key in topic partition "
                           "t-0"));
        ck_assert(!slice_is_null(part->error_message));
    }
    buf_fini(&bytes);
    close_world(&world);
}
END_TEST

START_TEST(acks_none_is_silent_or_closes)
{
    struct world world;

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    struct slice batch = make_batch(&world, 1, 10);
    send_produce(&world, 9, 0, "t", 2, batch, 1000);
    ck_assert(is_quiet(&world, 20));
    struct produce_response produced = produce(&world, 9, 1, "t", 2, batch);
    ck_assert_int_eq(produced.responses.at[0].partition_responses.at[1].base_offset, 1);
    send_produce(&world, 9, 0, "unknown", 1, batch, 1000);
    ck_assert(is_closed(&world));
    close_world(&world);
}
END_TEST

START_TEST(a_fetch_waits_for_data_here_and_elsewhere)
{
    struct world world;
    struct fetch_response response;
    struct fetch_one both[] = {{0, 0}, {1, 0}};

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    struct slice batch = make_batch(&world, 1, 10);
    int producer = world.client;
    for (int32_t p = 0; p < 2; p++) {
        both[0].offset = both[1].offset = p;
        world.client = producer;
        connect_client(&world);
        int consumer = world.client;
        struct fetch_request request = fetch_of(&world, 12, -1, both, 2);
        if (p == 1) request.topics.at->partitions.at[0].fetch_offset = 1;
        request.topics.at->partitions.at[1].fetch_offset = 0;
        send_fetch(&world, 12, &request);
        int32_t waiting = world.correlation;
        ck_assert(is_quiet(&world, 20));

        /* To one partition only: 0 first, then 1. */
        struct produce_request_topic_partition part = {.index = p, .records = batch};
        struct produce_request_topic topic = {.name = SLICE("t"), .partition_data = {&part, 1}};
        struct produce_request produce_it = {
            .acks = 1, .timeout_ms = 1000, .topic_data = {&topic, 1}};
        struct produce_response produced;
        world.client = producer;
        send_request(&world, API_PRODUCE, 9, &produce_request_wire, &produce_it);
        read_reply(&world, world.correlation, API_PRODUCE, 9, &produce_response_wire, &produced);

        world.client = consumer;
        read_reply(&world, waiting, API_FETCH, 12, &fetch_response_wire, &response);
        ck_assert_uint_eq(fetched(&response, p)->records.len, batch.len);
        ck_assert_uint_eq(fetched(&response, 1 - p)->records.len, 0);
        close(consumer);
    }
    world.client = producer;
    close_world(&world);
}
END_TEST

START_TEST(a_fetch_that_waits_counts_in_the_memory_and_does_not_wait_when_it_is_short)
{
    struct world world;
    struct fetch_response response;
    struct fetch_one both[] = {{0, 0}, {1, 0}};

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    struct conn_limits *limits = &world.shards[0].api.limits;
    struct fetch_request request = fetch_of(&world, 12, -1, both, 2);
    request.max_wait_ms = 500;
    send_fetch(&world, 12, &request);
    ck_assert(is_quiet(&world, 20));
    ck_assert_uint_gt(limits->memory_bytes, 500); /* the frame has about a hundred */
    read_reply(&world, world.correlation, API_FETCH, 12, &fetch_response_wire, &response);
    limits->memory_bytes_max = 1;
    request.max_wait_ms = INT32_MAX;
    send_fetch(&world, 12, &request);
    read_reply(&world, world.correlation, API_FETCH, 12, &fetch_response_wire, &response);
    ck_assert_uint_eq(fetched(&response, 0)->records.len, 0);
    close_world(&world);
}
END_TEST

START_TEST(a_fetch_that_waits_in_vain_is_answered_in_time)
{
    struct world world;
    struct fetch_one both[] = {{0, 0}, {1, 0}};

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    struct fetch_request request = fetch_of(&world, 12, -1, both, 2);
    request.max_wait_ms = 30;
    struct fetch_response response = fetch(&world, 12, &request);
    ck_assert_int_eq(fetched(&response, 0)->error_code, 0);
    ck_assert_uint_eq(fetched(&response, 1)->records.len, 0);
    ck_assert(!slice_is_null(fetched(&response, 1)->records)); /* empty, not null */

    /* One whose client goes away ends too. */
    request.max_wait_ms = 1000000;
    send_fetch(&world, 12, &request);
    ck_assert(is_quiet(&world, 5));
    close_world(&world);
}
END_TEST

START_TEST(errors_of_fetch_are_kafkas)
{
    struct world world;
    struct fetch_one one = {0, 9};

    open_world(&world);
    lead_all(&world, SELF, 3, 1, 1);
    struct fetch_request request = fetch_of(&world, 12, -1, &one, 1);
    struct fetch_response response = fetch(&world, 12, &request);
    ck_assert_int_eq(fetched(&response, 0)->error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(fetched(&response, 0)->high_watermark, -1);
    ck_assert_int_eq(fetched(&response, 0)->log_start_offset, -1);

    one.offset = 0;
    request = fetch_of(&world, 12, -1, &one, 1);
    request.topics.at->partitions.at[0].current_leader_epoch = 2;
    response = fetch(&world, 12, &request);
    ck_assert_int_eq(fetched(&response, 0)->error_code, KAFKA_FENCED_LEADER_EPOCH);
    request.topics.at->partitions.at[0].current_leader_epoch = 4;
    response = fetch(&world, 12, &request);
    ck_assert_int_eq(fetched(&response, 0)->error_code, KAFKA_UNKNOWN_LEADER_EPOCH);

    request = fetch_of(&world, 12, -1, &one, 1);
    request.topics.at->topic = SLICE("unknown");
    request.max_wait_ms = 0;
    response = fetch(&world, 12, &request);
    ck_assert_int_eq(fetched(&response, 0)->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    request = fetch_of(&world, 13, -1, &one, 1);
    request.topics.at->topic_id = (struct uuid){{1}};
    request.max_wait_ms = 0;
    response = fetch(&world, 13, &request);
    ck_assert_int_eq(fetched(&response, 0)->error_code, KAFKA_UNKNOWN_TOPIC_ID);

    lead_all(&world, FOLLOWER, 5, 2, 1);
    request = fetch_of(&world, 16, FOLLOWER, &one, 1);
    request.replica_state.replica_id = FOLLOWER;
    response = fetch(&world, 16, &request);
    ck_assert_int_eq(fetched(&response, 0)->error_code, KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(fetched(&response, 0)->current_leader.leader_id, FOLLOWER);
    ck_assert_int_eq(response.node_endpoints.count, 1);
    ck_assert_int_eq(response.node_endpoints.at[0].port, 9999);
    close_world(&world);
}
END_TEST

START_TEST(a_session_names_only_what_is_new)
{
    struct world world;
    struct fetch_one both[] = {{0, 0}, {1, 0}};

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    struct slice batch = make_batch(&world, 1, 10);
    struct fetch_request request = fetch_of(&world, 12, -1, both, 2);
    request.session_epoch = 0;
    request.max_wait_ms = 0;
    struct fetch_response response = fetch(&world, 12, &request);
    ck_assert_int_gt(response.session_id, 0);
    ck_assert_ptr_nonnull(fetched(&response, 1));
    int32_t session = response.session_id;

    request = fetch_of(&world, 12, -1, NULL, 0);
    request.session_id = session;
    request.session_epoch = 1;
    request.max_wait_ms = 0;
    response = fetch(&world, 12, &request);
    ck_assert_int_eq(response.session_id, session);
    ck_assert_int_eq(response.responses.count, 0);

    produce(&world, 9, 1, "t", 1, batch);
    request.session_epoch = 2;
    response = fetch(&world, 12, &request);
    ck_assert_uint_eq(fetched(&response, 0)->records.len, batch.len);
    ck_assert_ptr_null(fetched(&response, 1));

    request.session_epoch = 2; /* once more */
    response = fetch(&world, 12, &request);
    ck_assert_int_eq(response.error_code, KAFKA_INVALID_FETCH_SESSION_EPOCH);
    ck_assert_int_eq(response.session_id, 0);
    request.session_epoch = 3;
    request.session_id = session + 2;
    response = fetch(&world, 12, &request);
    ck_assert_int_eq(response.error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    request.session_id = session;
    response = fetch(&world, 13, &request);
    ck_assert_int_eq(response.error_code, KAFKA_FETCH_SESSION_TOPIC_ID_ERROR);

    /* Forgetting all ends it. */
    int32_t zero_and_one[] = {0, 1};
    struct fetch_request_forgotten_topic forgotten = {.topic = SLICE("t"),
                                                      .partitions = {zero_and_one, 2}};
    request.forgotten_topics_data.at = &forgotten;
    request.forgotten_topics_data.count = 1;
    response = fetch(&world, 12, &request);
    ck_assert_int_eq(response.error_code, 0);
    ck_assert_int_eq(response.session_id, 0);
    close_world(&world);
}
END_TEST

/* Shard 1 listens too, at the same port; connections may move between the two. */
static void listen_everywhere(struct world *world)
{
    struct listener_options listen = {
        .address = {.host = "127.0.0.1", .port = listener_port(world->shards[0].listener)},
        .socket = {-1, -1, 16},
        .handlers = &api_conn_handlers,
        .limits = &world->shards[1].api.limits,
        .accepted = on_accepted,
        .owner = &world->shards[1]};

    ck_assert_int_eq(listener_open(&world->shards[1].shard, &listen, &world->shards[1].listener),
                     ERR_OK);
    for (int i = 0; i < DATA; i++)
        world->process.nets[i] = world->shards[i].shard.net;
}

/* Where the one client is. */
static int shard_of_client(struct world *world)
{
    int found = -1;

    for (int i = 0; i < DATA; i++)
        list_each (node, &world->shards[i].api.clients) {
            ck_assert_int_eq(found, -1);
            ck_assert_ptr_nonnull(list_entry(node, struct client, node)->conn);
            found = i;
        }
    ck_assert_int_ge(found, 0);
    return found;
}

START_TEST(a_followers_connection_moves_to_where_its_partitions_live)
{
    struct world world;
    struct fetch_one three[] = {{0, 0}, {1, 0}, {3, 0}};

    open_world(&world);
    listen_everywhere(&world);
    lead_all(&world, SELF, 1, 2, 1);
    struct slice batch = make_batch(&world, 1, 10);
    produce(&world, 9, 1, "t", 2, batch);
    int before = shard_of_client(&world);

    /* A consumer's stays where it is, whatever it asks for. */
    for (int p = 0; p < 2; p++) {
        struct fetch_request request = fetch_of(&world, 12, -1, &three[p], 1);
        request.session_epoch = 0;
        request.max_wait_ms = 0;
        fetch(&world, 12, &request);
        ck_assert_int_eq(shard_of_client(&world), before);
    }
    /* A follower's goes after what it fetches: by name, by id, and by what most of it is. Its
     * session is there, and the same request is answered once. */
    for (int round = 0; round < 6; round++) {
        int p = round % 2, home = partition_shard(SLICE("t"), p, DATA);
        int16_t version = round < 2 ? 12 : 13;
        struct fetch_request request =
            fetch_of(&world, version, FOLLOWER, round == 5 ? three : &three[p], round == 5 ? 3 : 1);
        request.session_epoch = 0;
        struct fetch_response response = fetch(&world, version, &request);
        ck_assert_int_eq(shard_of_client(&world), home);
        ck_assert_uint_eq(fetched(&response, p)->records.len, batch.len);
        ck_assert_int_gt(response.session_id, 0);
        request = fetch_of(&world, version, FOLLOWER, NULL, 0);
        request.session_id = response.session_id;
        request.session_epoch = 1;
        response = fetch(&world, version, &request);
        ck_assert_int_eq(response.error_code, 0);
        ck_assert_uint_eq(fetched(&response, p)->records.len, batch.len);
        ck_assert(is_quiet(&world, 2));
    }
    ck_assert_int_eq(world.connections.total, 1);

    /* Not while something else is under way on it: answers keep their order. */
    int home = shard_of_client(&world);
    int other = partition_shard(SLICE("t"), 0, DATA) == home ? 1 : 0;
    struct fetch_request waits = fetch_of(&world, 12, -1, &(struct fetch_one){other, 1}, 1);
    struct fetch_request moves = fetch_of(&world, 12, FOLLOWER, &three[other], 1);
    struct fetch_response response;
    waits.max_wait_ms = 50;
    moves.session_epoch = 0;
    send_fetch(&world, 12, &waits);
    send_fetch(&world, 12, &moves);
    read_reply(&world, world.correlation - 1, API_FETCH, 12, &fetch_response_wire, &response);
    read_reply(&world, world.correlation, API_FETCH, 12, &fetch_response_wire, &response);
    ck_assert_uint_eq(fetched(&response, other)->records.len, batch.len);
    ck_assert_int_eq(shard_of_client(&world), home);
    listener_close(&world.shards[1].listener);
    close_world(&world);
}
END_TEST

START_TEST(offsets_come_from_every_owner)
{
    struct world world;
    struct list_offsets_request_topic_partition parts[4];
    struct list_offsets_request_topic topic = {.name = SLICE("t"), .partitions = {parts, 4}};
    struct list_offsets_request request = {.replica_id = -1, .topics = {&topic, 1}};
    struct list_offsets_response response;

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    produce(&world, 9, 1, "t", 2, make_batch(&world, 4, 10)); /* timestamps 5000 … 5003 */
    static const int64_t timestamps[] = {5002, 5002, OFFSETS_LATEST, OFFSETS_EARLIEST};
    for (int32_t p = 0; p < 4; p++)
        parts[p] = (struct list_offsets_request_topic_partition){
            .partition_index = p, .current_leader_epoch = -1, .timestamp = timestamps[p]};
    for (int16_t version = 1; version <= 9; version++) {
        send_request(&world, API_LIST_OFFSETS, version, &list_offsets_request_wire, &request);
        read_reply(&world, world.correlation, API_LIST_OFFSETS, version,
                   &list_offsets_response_wire, &response);
        const struct list_offsets_response_topic *to = &response.topics.at[0];
        ck_assert_int_eq(to->partitions.at[0].offset, 2);
        ck_assert_int_eq(to->partitions.at[1].offset, 2);
        ck_assert_int_eq(to->partitions.at[1].timestamp, 5002);
        ck_assert_int_eq(to->partitions.at[2].offset, 0);
        ck_assert_int_eq(to->partitions.at[3].offset, 0);
    }
    /* Special timestamps are those of the version; what is named twice is refused. */
    parts[0].timestamp = OFFSETS_MAX_TIMESTAMP;
    parts[3].partition_index = 2;
    send_request(&world, API_LIST_OFFSETS, 6, &list_offsets_request_wire, &request);
    read_reply(&world, world.correlation, API_LIST_OFFSETS, 6, &list_offsets_response_wire,
               &response);
    ck_assert_int_eq(response.topics.at[0].partitions.at[0].error_code, KAFKA_UNSUPPORTED_VERSION);
    ck_assert_int_eq(response.topics.at[0].partitions.at[1].error_code, 0);
    ck_assert_int_eq(response.topics.at[0].partitions.at[2].error_code, KAFKA_INVALID_REQUEST);
    ck_assert_int_eq(response.topics.at[0].partitions.at[3].error_code, KAFKA_INVALID_REQUEST);

    parts[0].timestamp = OFFSETS_LATEST;
    parts[0].max_num_offsets = 5;
    topic.partitions.count = 1;
    send_request(&world, API_LIST_OFFSETS, 0, &list_offsets_request_wire, &request);
    read_reply(&world, world.correlation, API_LIST_OFFSETS, 0, &list_offsets_response_wire,
               &response);
    ck_assert_int_ge(response.topics.at[0].partitions.at[0].old_style_offsets.count, 1);
    ck_assert_int_eq(response.topics.at[0].partitions.at[0].old_style_offsets.at[0], 4);
    close_world(&world);
}
END_TEST

START_TEST(epochs_end_where_the_next_began)
{
    struct world world;
    struct offset_for_leader_epoch_request_topic_partition parts[2];
    struct offset_for_leader_epoch_request_topic topic = {.topic = SLICE("t"),
                                                          .partitions = {parts, 2}};
    struct offset_for_leader_epoch_request request = {.replica_id = FOLLOWER,
                                                      .topics = {&topic, 1}};
    struct offset_for_leader_epoch_response response;

    open_world(&world);
    lead_all(&world, SELF, 1, 2, 1);
    produce(&world, 9, 1, "t", 2, make_batch(&world, 4, 10));
    lead_all(&world, SELF, 3, 2, 1);
    for (int32_t p = 0; p < 2; p++)
        parts[p] = (struct offset_for_leader_epoch_request_topic_partition){
            .partition = p, .current_leader_epoch = 3, .leader_epoch = 2};
    for (int16_t version = 0; version <= 4; version++) {
        send_request(&world, API_OFFSET_FOR_LEADER_EPOCH, version,
                     &offset_for_leader_epoch_request_wire, &request);
        read_reply(&world, world.correlation, API_OFFSET_FOR_LEADER_EPOCH, version,
                   &offset_for_leader_epoch_response_wire, &response);
        for (int p = 0; p < 2; p++) {
            ck_assert_int_eq(response.topics.at[0].partitions.at[p].error_code, 0);
            ck_assert_int_eq(response.topics.at[0].partitions.at[p].end_offset, 4);
            if (version > 0)
                ck_assert_int_eq(response.topics.at[0].partitions.at[p].leader_epoch, 1);
        }
    }
    parts[0].current_leader_epoch = 1;
    send_request(&world, API_OFFSET_FOR_LEADER_EPOCH, 4, &offset_for_leader_epoch_request_wire,
                 &request);
    read_reply(&world, world.correlation, API_OFFSET_FOR_LEADER_EPOCH, 4,
               &offset_for_leader_epoch_response_wire, &response);
    ck_assert_int_eq(response.topics.at[0].partitions.at[0].error_code, KAFKA_FENCED_LEADER_EPOCH);
    close_world(&world);
}
END_TEST

/* ---- who writes ---- */

/* What an idempotent producer sends: three records from `sequence` on. */
static struct slice make_idempotent(struct world *world, int64_t producer, int16_t epoch,
                                    int32_t sequence)
{
    struct record_builder builder;
    struct buf batch = {0};

    record_builder_begin(&builder, &batch);
    builder.head.producer_id = producer;
    builder.head.producer_epoch = epoch;
    builder.head.base_sequence = sequence;
    for (int i = 0; i < 3; i++)
        record_builder_add(&builder, 5000 + i, SLICE("key"), SLICE("value"), NULL, 0);
    record_builder_end(&builder);
    struct slice kept = arena_copy(&world->arena, buf_slice(&batch));
    buf_fini(&batch);
    return kept;
}

START_TEST(producers_are_told_by_leaders_and_followers)
{
    struct describe_producers_request_topic topics[] = {
        {.name = SLICE("t"), .partition_indexes = {(int32_t[]){1, 0, 2, 1, 9}, 5}},
        {.name = SLICE("none"), .partition_indexes = {(int32_t[]){0}, 1}},
        {.name = SLICE("no/name"), .partition_indexes = {(int32_t[]){0}, 1}},
    };
    struct describe_producers_request request = {.topics = {topics, 3}};
    struct describe_producers_response response;
    struct world world;

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    produce(&world, 9, 1, "t", 2, make_idempotent(&world, 4000, 2, 0));
    produce(&world, 9, 1, "t", 2, make_idempotent(&world, 4000, 2, 3));
    produce(&world, 9, 1, "t", 1, make_idempotent(&world, 31, 0, 7));
    for (int32_t leader = SELF; leader <= FOLLOWER; leader++) {
        lead_all(&world, leader, 1 + leader, 2, 1);
        send_request(&world, API_DESCRIBE_PRODUCERS, 0, &describe_producers_request_wire, &request);
        read_reply(&world, world.correlation, API_DESCRIBE_PRODUCERS, 0,
                   &describe_producers_response_wire, &response);
        ck_assert_int_eq(response.topics.count, 3);
        const struct describe_producers_response_topic_partition *parts =
            response.topics.at[0].partitions.at;
        ck_assert_int_eq(response.topics.at[0].partitions.count, 5);
        for (int p = 0; p < 4; p++) {
            ck_assert_int_eq(parts[p].partition_index, topics[0].partition_indexes.at[p]);
            ck_assert_int_eq(parts[p].error_code, KAFKA_NONE);
        }
        ck_assert_int_eq(parts[0].active_producers.count, 1);
        ck_assert_int_eq(parts[1].active_producers.count, 2);
        ck_assert_int_eq(parts[2].active_producers.count, 0);
        ck_assert_int_eq(parts[3].active_producers.count, 1);
        ck_assert_int_eq(parts[1].active_producers.at[0].producer_id, 31);
        ck_assert_int_eq(parts[1].active_producers.at[0].last_sequence, 9);
        ck_assert_int_eq(parts[0].active_producers.at[0].producer_id, 4000);
        ck_assert_int_eq(parts[0].active_producers.at[0].producer_epoch, 2);
        ck_assert_int_eq(parts[0].active_producers.at[0].last_sequence, 5);
        ck_assert_int_eq(parts[0].active_producers.at[0].last_timestamp, 5002);
        ck_assert_int_eq(parts[0].active_producers.at[0].coordinator_epoch, -1);
        ck_assert_int_eq(parts[0].active_producers.at[0].current_txn_start_offset, -1);
        ck_assert_int_eq(parts[4].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
        ck_assert_int_eq(response.topics.at[1].partitions.at[0].error_code,
                         KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
        ck_assert_int_eq(response.topics.at[2].partitions.at[0].error_code,
                         KAFKA_INVALID_TOPIC_EXCEPTION);
        ck_assert(!slice_is_null(response.topics.at[2].partitions.at[0].error_message));
    }
    close_world(&world);
}
END_TEST

/* ---- what is not in the page cache ---- */

static _Atomic bool is_stalled;

static void stall_run(struct disk_job *job)
{
    (void)job;
    while (is_stalled)
        usleep(1000);
}
static void stall_done(struct disk_job *job)
{
    (void)job;
}
static enum err nothing_is_cached(struct file *file, uint64_t position, void *to, size_t len,
                                  size_t *n)
{
    (void)file;
    (void)position;
    (void)to;
    (void)len;
    *n = 0;
    return ERR_OK;
}

/* While the pool hangs, whoever reads is a shard. */
static enum err (*real_read_at)(struct file *file, uint64_t position, void *to, size_t len,
                                size_t *n);
static _Atomic int shard_reads;

static enum err read_and_count(struct file *file, uint64_t position, void *to, size_t len,
                               size_t *n)
{
    if (is_stalled) shard_reads++;
    return real_read_at(file, position, to, len, n);
}

/* The device hangs: who reads what is cold waits for it, and nobody else, on the same shard or
 * another; not even to find where it lies. */
START_TEST(a_cold_read_waits_for_the_device_alone)
{
    struct fetch_one cold[] = {{0, 0}, {1, 0}}, tail[] = {{0, 5}, {1, 5}};
    struct disk_job stall = {.run = stall_run, .done = stall_done};
    struct env_ops cold_ops;
    struct files_ops cold_files;
    struct fetch_response response;
    struct world world;

    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    for (int i = 0; i < 6; i++) /* more than is taken for the tail, which is not asked for */
        produce(&world, 9, 1, "t", 2, make_batch(&world, 1, 1000000));
    const struct env_ops *real = world.env->ops;
    cold_ops = *real;
    cold_files = *real->files;
    cold_files.read_cached = nothing_is_cached;
    real_read_at = real->files->read_at;
    cold_files.read_at = read_and_count;
    cold_ops.files = &cold_files;
    world.env->ops = &cold_ops;
    shard_reads = 0;
    is_stalled = true;
    stall.home = &world.shards[0].shard;
    disk_submit(world.env, world.disk, DISK_SOON, &world.shards[0].shard, &stall);

    int slow = world.client;
    struct fetch_request request = fetch_of(&world, 12, -1, cold, 2);
    send_request(&world, API_FETCH, 12, &fetch_request_wire, &request);
    int32_t waiting = world.correlation;
    ck_assert(is_quiet(&world, 20));
    connect_client(&world);
    for (int i = 0; i < 3; i++) {
        produce(&world, 9, 1, "t", 2, make_batch(&world, 1, 10));
        request = fetch_of(&world, 12, -1, tail, 2);
        response = fetch(&world, 12, &request);
        ck_assert_uint_gt(fetched(&response, 0)->records.len, 0);
        ck_assert_uint_gt(fetched(&response, 1)->records.len, 0);
    }
    close(world.client);
    world.client = slow;
    ck_assert(is_quiet(&world, 20));
    ck_assert_int_eq(shard_reads, 0);
    is_stalled = false;
    read_reply(&world, waiting, API_FETCH, 12, &fetch_response_wire, &response);
    ck_assert_uint_gt(fetched(&response, 0)->records.len, 0);
    ck_assert_uint_gt(fetched(&response, 1)->records.len, 0);
    world.env->ops = real;
    close_world(&world);
}
END_TEST

/* ---- DeleteRecords ---- */

static void send_delete(struct world *world, int16_t version, const int64_t *offsets, int count,
                        int32_t timeout_ms)
{
    struct delete_records_request_topic_partition parts[PARTITIONS + 1];
    struct delete_records_request_topic topic = {.name = SLICE("t"), .partitions = {parts, count}};
    struct delete_records_request request = {.topics = {&topic, 1}, .timeout_ms = timeout_ms};

    for (int32_t p = 0; p < count; p++)
        parts[p] = (struct delete_records_request_topic_partition){p, offsets[p]};
    send_request(world, API_DELETE_RECORDS, version, &delete_records_request_wire, &request);
}

static const struct delete_records_response_topic_partition *
deleted(struct world *world, int16_t version, int32_t correlation)
{
    struct delete_records_response response;

    read_reply(world, correlation, API_DELETE_RECORDS, version, &delete_records_response_wire,
               &response);
    return response.topics.at[0].partitions.at;
}

/* A follower that has everything and says that its logs begin at `starts`. */
static struct fetch_response fetch_as_follower(struct world *world, const int64_t *starts)
{
    static const struct fetch_one ends[] = {{0, 4}, {1, 4}};
    struct fetch_request request = fetch_of(world, 12, FOLLOWER, ends, 2);

    request.max_wait_ms = 0;
    for (int p = 0; p < 2; p++)
        request.topics.at->partitions.at[p].log_start_offset = starts[p];
    return fetch(world, 12, &request);
}

START_TEST(records_are_deleted_when_every_live_replica_has_followed)
{
    static const int64_t old[] = {0, 0}, wanted[] = {3, -1}, followed[] = {3, 4}, more[] = {4, 2};
    struct fetch_one gone = {0, 2}, there = {0, 3};
    struct world world;

    open_world(&world);
    lead_all(&world, SELF, 1, 2, 1);
    produce(&world, 9, 1, "t", 2, make_batch(&world, 4, 10));
    int admin = world.client;
    connect_client(&world);
    int follower = world.client;
    fetch_as_follower(&world, old);

    for (int16_t version = 0; version <= 2; version++) {
        world.client = admin;
        send_delete(&world, version, wanted, 2, 60000);
        int32_t correlation = world.correlation;
        if (version == 0) {
            ck_assert(is_quiet(&world, 20)); /* the follower's logs still begin at 0 */
            world.client = follower;
            struct fetch_response response = fetch_as_follower(&world, old);
            ck_assert_int_eq(fetched(&response, 0)->log_start_offset, 3);
            ck_assert_int_eq(fetched(&response, 1)->log_start_offset, 4);
            fetch_as_follower(&world, followed);
            world.client = admin;
        } /* a second time there is nothing to wait for */
        const struct delete_records_response_topic_partition *parts =
            deleted(&world, version, correlation);
        for (int p = 0; p < 2; p++) {
            ck_assert_int_eq(parts[p].error_code, 0);
            ck_assert_int_eq(parts[p].low_watermark, followed[p]);
        }
    }
    struct fetch_request request = fetch_of(&world, 12, -1, &gone, 1);
    struct fetch_response response = fetch(&world, 12, &request);
    ck_assert_int_eq(fetched(&response, 0)->error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    request = fetch_of(&world, 12, -1, &there, 1);
    response = fetch(&world, 12, &request);
    ck_assert_int_eq(fetched(&response, 0)->error_code, 0);
    ck_assert_int_gt(fetched(&response, 0)->records.len, 0);

    /* Gone here, but the follower does not follow; what lies below a log's start is gone already.
     */
    send_delete(&world, 2, more, 2, 20);
    const struct delete_records_response_topic_partition *parts =
        deleted(&world, 2, world.correlation);
    ck_assert_int_eq(parts[0].error_code, KAFKA_REQUEST_TIMED_OUT);
    ck_assert_int_eq(parts[0].low_watermark, 3);
    ck_assert_int_eq(parts[1].error_code, 0);
    ck_assert_int_eq(parts[1].low_watermark, 4);
    close(follower);
    close_world(&world);
}
END_TEST

START_TEST(errors_of_delete_records_are_kafkas)
{
    static const int64_t wrong[] = {5, -2, 1, 1, 1}, old[] = {0, 0}, right[] = {2, 2};
    struct topic_throttles unthrottled = {0};
    struct world world;

    open_world(&world);
    lead_all(&world, SELF, 1, 2, 1);
    produce(&world, 9, 1, "t", 2, make_batch(&world, 4, 10));
    fetch_as_follower(&world, old);
    send_delete(&world, 2, wrong, 5, 60000);
    const struct delete_records_response_topic_partition *parts =
        deleted(&world, 2, world.correlation);
    ck_assert_int_eq(parts[0].error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(parts[0].low_watermark, -1);
    ck_assert_int_eq(parts[1].error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(parts[2].error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(parts[4].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);

    /* Leadership goes while it waits; then there is none. */
    send_delete(&world, 2, right, 2, 60000);
    ck_assert(is_quiet(&world, 5));
    lead_all(&world, FOLLOWER, 2, 2, 1);
    parts = deleted(&world, 2, world.correlation);
    ck_assert_int_eq(parts[0].error_code, KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(parts[1].error_code, KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(parts[1].low_watermark, -1);
    send_delete(&world, 2, right, 2, 60000);
    parts = deleted(&world, 2, world.correlation);
    ck_assert_int_eq(parts[0].error_code, KAFKA_NOT_LEADER_OR_FOLLOWER);

    lead_all(&world, SELF, 3, 1, 1);
    world.config.is_deleted = false;
    world.config.is_compacted = true;
    for (int i = 0; i < DATA; i++)
        partitions_configure(world.shards[i].partitions, SLICE("t"), &world.config, 1,
                             &unthrottled);
    send_delete(&world, 2, right, 2, 60000);
    parts = deleted(&world, 2, world.correlation);
    ck_assert_int_eq(parts[0].error_code, KAFKA_POLICY_VIOLATION);
    close_world(&world);
}
END_TEST

UNIT(a_cold_read_waits_for_the_device_alone, old_versions_are_given_the_formats_that_they_know,
     of_a_partition_named_twice_the_last_counts, every_version_round_trips_byte_for_byte,
     large_slices_go_by_file_and_small_ones_by_copy,
     a_fetch_of_all_that_a_frame_can_hold_leaves_room_for_its_head,
     acks_all_is_answered_in_order_when_followers_have_it,
     acks_all_times_out_and_fails_with_leadership, errors_of_produce_are_kafkas,
     old_producers_are_served, bad_records_are_named_in_the_reply, acks_none_is_silent_or_closes,
     a_fetch_waits_for_data_here_and_elsewhere,
     a_fetch_that_waits_counts_in_the_memory_and_does_not_wait_when_it_is_short,
     a_fetch_that_waits_in_vain_is_answered_in_time, errors_of_fetch_are_kafkas,
     a_session_names_only_what_is_new, a_followers_connection_moves_to_where_its_partitions_live,
     producers_are_told_by_leaders_and_followers, offsets_come_from_every_owner,
     epochs_end_where_the_next_began, records_are_deleted_when_every_live_replica_has_followed,
     errors_of_delete_records_are_kafkas)
