/* tests/unit/test_groups.c - the group APIs as a client sees them: frames over loopback to two data
 * shards (and a control shard), all turned by hand. The four partitions of __consumer_offsets live
 * on both shards, so that some coordinators are always elsewhere. */
#include "base/ensure.h"
#include "broker/api/connections.h"
#include "broker/api/group_calls.h"
#include "broker/log/store.h"
#include "broker/group/group_log.h"
#include "broker/group/groups.h"
#include "broker/replica/partitions.h"
#include "cluster/image.h"
#include "cluster/level.h"
#include "cluster/listeners.h"
#include "cluster/options.h"
#include "cluster/types.h"
#include "runtime/disk.h"
#include "runtime/env_posix.h"
#include "unit.h"
#include "wire/frame.h"
#include "wire/gen/delete_groups.h"
#include "wire/gen/describe_groups.h"
#include "wire/gen/find_coordinator.h"
#include "wire/gen/heartbeat.h"
#include "wire/gen/join_group.h"
#include "wire/gen/leave_group.h"
#include "wire/gen/list_groups.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_delete.h"
#include "wire/gen/offset_fetch.h"
#include "wire/gen/sync_group.h"
#include "wire/protocol.h"
#include "wire/record.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SELF        1
#define FOLLOWER    2
#define DATA        2
#define SHARDS      (DATA + 1)
#define PARTITIONS  4
#define SESSION_MS  60000
#define WAIT_MS_MAX 60000 /* only a broken test waits so long */
#define OFFSETS     SLICE(TOPIC_NAME_OFFSETS)

struct data_shard {
    struct msg_routes routes; /* first */
    struct shard shard;
    struct api_shard api;
    struct partitions *partitions;
    struct groups *groups;
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
    struct groups_settings settings;
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

/* One more turn of those that may be waited for: time, not turns, or a busy machine would be too
 * slow for it. */
static void turn_on(struct world *world, struct instant *end)
{
    struct instant now = env_now(world->env);

    if (end->ns == 0) *end = instant_add_ms(now, WAIT_MS_MAX);
    ck_assert_msg(instant_before(now, *end), "waited in vain");
    turn(world);
    usleep(20);
}

static void until(struct world *world, const bool *flag)
{
    struct instant end = {0};

    while (!*flag)
        turn_on(world, &end);
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
static void led(void *owner, struct slice topic, int32_t partition, bool is_leader,
                int32_t leader_epoch)
{
    struct data_shard *it = owner;

    if (slice_is(topic, TOPIC_NAME_OFFSETS))
        groups_led(it->groups, partition, is_leader, leader_epoch);
}
static const struct partitions_ops ops = {.is_alive = is_alive, .led = led};

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
    struct endpoint own = {
        .listener = SLICE("PLAINTEXT"), .host = SLICE("one.example"), .port = 11};
    struct image_broker brokers[] = {
        {.id = SELF, .rack = SLICE_NULL, .endpoints = &own, .endpoint_count = 1},
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
        .name = OFFSETS,
        .id = topic_id,
        .partitions = partitions,
        .partition_count = PARTITIONS,
    };
    struct image_topic_change other = topic; /* what is read */
    other.name = SLICE("t");
    other.id = (struct uuid){{8}};
    struct image_topic_change both[] = {topic, other};
    struct image_change change = {
        .topics = both,
        .topic_count = 2,
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
        struct partitions_options options = {
            .shard = &it->shard, .broker_id = SELF, .files_open_max = 16, .ops = &ops, .owner = it};
        ck_assert_int_eq(
            shard_open(&it->shard, world->env, i, world->mesh, &mailbox, it, world->disk), ERR_OK);
        api_shard_init(&it->api, &it->shard, &world->process, &it->routes);
        it->api.image = world->image;
        if (i == DATA) continue;
        replica_settings_init(&options.settings);
        it->partitions = partitions_create(&options);
        it->api.partitions = it->partitions;
        it->groups = groups_create(&it->shard, it->partitions, &world->settings);
        it->api.groups = it->groups;
        group_calls_open(&it->api, &it->routes);
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

static void open_world(struct world *world)
{
    struct buf problem = {0};
    struct options_report report = {0};

    memset(world, 0, sizeof(*world));
    log_config_default(&world->config);
    strcpy(world->path, "/tmp/ottla-groups-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(world->path));
    world->paths[0] = world->path;
    world->env = env_posix_create(NULL);
    world->options = options_create();
    ck_assert_int_eq(listeners_read(world->options, &report, &world->listeners), ERR_OK);
    connections_init(&world->connections, world->options, &world->listeners);
    world->process = (struct api_process){.options = world->options,
                                          .broker_id = SELF,
                                          .shards = DATA,
                                          .listeners = &world->listeners,
                                          .connections = &world->connections};
    groups_settings_fill(&world->settings, world->options);
    world->settings.group.initial_delay_ms = 10;
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
    for (int i = 0; i < DATA; i++)
        listener_close(&world->shards[i].listener);
    for (int i = 0; i < DATA; i++)
        groups_stop(world->shards[i].groups);
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
        groups_destroy(&world->shards[i].groups);
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
        struct log *log = store_find(world->store, OFFSETS, p);
        struct store_new_log new = {.topic = OFFSETS,
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
            .topic = OFFSETS,
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
        partitions_control(world->shards[partition_shard(OFFSETS, p, DATA)].partitions,
                           &control.call);
        until(world, &world->is_done);
        ck_assert_int_eq(change.err, ERR_OK);
    }
}

/* ---- the client ---- */

/* Behind what is to be sent already. */
static void add_request(struct world *world, int16_t key, int16_t version,
                        const struct wire_struct *type, const void *body)
{
    size_t start = world->out.len;
    struct frame_request_head head = {.api_key = key,
                                      .api_version = version,
                                      .correlation_id = ++world->correlation,
                                      .client_id = SLICE("test")};

    buf_extend(&world->out, 4);
    frame_write_request_head(&world->out, &head);
    wire_write(&world->out, version, type, body);
    uint32_t length = htonl((uint32_t)(world->out.len - start) - 4);
    memcpy(world->out.ptr + start, &length, 4);
}

static void send_added(struct world *world)
{
    size_t sent = 0;

    while (sent < world->out.len) {
        ssize_t n = send(world->client, world->out.ptr + sent, world->out.len - sent, 0);
        if (n > 0) sent += (size_t)n;
        turn(world);
    }
    buf_clear(&world->out);
}

static void send_request(struct world *world, int16_t key, int16_t version,
                         const struct wire_struct *type, const void *body)
{
    add_request(world, key, version, type, body);
    send_added(world);
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
    struct instant end = {0};
    size_t len = 0;
    int32_t got = 0;
    struct slice body;

    while (!has_frame(world, &len)) {
        turn_on(world, &end);
        ck_assert(receive(world));
    }
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

/* ---- what the tests say ---- */

#define ASK(name, api, version, body, out)                                                         \
    do {                                                                                           \
        send_request(&world, api, version, &name##_request_wire, body);                            \
        read_reply(&world, world.correlation, api, version, &name##_response_wire, out);           \
    } while (0)

static struct world world;

static bool all_loaded(void)
{
    int64_t loading = 0;

    for (int i = 0; i < DATA; i++)
        loading += gauge_value(&groups_counts(world.shards[i].groups)->loading);
    return loading == 0;
}

static void await_loaded(void)
{
    struct instant end = {0};

    while (!all_loaded())
        turn_on(&world, &end);
}

static void begin(void)
{
    open_world(&world);
    lead_all(&world, SELF, 1, 1, 1);
    await_loaded();
}

static void again(int32_t epoch)
{
    lead_all(&world, FOLLOWER, epoch, 2, 1);
    lead_all(&world, SELF, epoch + 1, 1, 1);
}

static void finish(void)
{
    close_world(&world);
}

struct joined {
    int16_t code;
    char id[80];
    int32_t generation;
};

static const struct join_group_request_protocol range = {
    SLICE("range"), {(const uint8_t *)"\0\3\0\0\0\1\0\1t\0\0\0\0", 13}};

static int32_t send_join(const char *group, const char *id, const char *instance, struct slice type,
                         int16_t version)
{
    struct join_group_request in;

    wire_default(&join_group_request_wire, &in);
    in.group_id = slice_text(group);
    in.session_timeout_ms = SESSION_MS;
    in.rebalance_timeout_ms = SESSION_MS;
    in.member_id = slice_text(id);
    in.group_instance_id = instance == NULL ? SLICE_NULL : slice_text(instance);
    in.protocol_type = type;
    in.protocols.at = (struct join_group_request_protocol *)(uintptr_t)&range;
    in.protocols.count = 1;
    send_request(&world, API_JOIN_GROUP, version, &join_group_request_wire, &in);
    return world.correlation;
}

static struct joined read_join(int32_t correlation, int16_t version)
{
    struct join_group_response out;
    struct joined joined;

    read_reply(&world, correlation, API_JOIN_GROUP, version, &join_group_response_wire, &out);
    joined.code = out.error_code;
    joined.generation = out.generation_id;
    snprintf(joined.id, sizeof(joined.id), "%.*s", SLICE_ARGS(out.member_id));
    return joined;
}

static struct joined join(const char *group, const char *id, const char *instance, int16_t version)
{
    return read_join(send_join(group, id, instance, SLICE("consumer"), version), version);
}

static int16_t sync_group(const char *group, const char *id, const char *instance,
                          int32_t generation)
{
    struct sync_group_request_assignment assignment = {slice_text(id), SLICE("A")};
    struct sync_group_request in;
    struct sync_group_response out;

    wire_default(&sync_group_request_wire, &in);
    in.group_id = slice_text(group);
    in.generation_id = generation;
    in.member_id = slice_text(id);
    in.group_instance_id = instance == NULL ? SLICE_NULL : slice_text(instance);
    in.protocol_type = SLICE("consumer");
    in.protocol_name = SLICE("range");
    in.assignments.at = &assignment;
    in.assignments.count = 1;
    ASK(sync_group, API_SYNC_GROUP, 5, &in, &out);
    return out.error_code;
}

/* One member, stable. */
static struct joined member_of(const char *group, const char *instance)
{
    struct joined joined = join(group, "", instance, 9);

    if (joined.code == KAFKA_MEMBER_ID_REQUIRED) joined = join(group, joined.id, instance, 9);
    ck_assert_int_eq(joined.code, KAFKA_NONE);
    ck_assert_int_eq(sync_group(group, joined.id, instance, joined.generation), KAFKA_NONE);
    return joined;
}

static int16_t heartbeat(const char *group, const char *id, const char *instance,
                         int32_t generation)
{
    struct heartbeat_request in = {.group_id = slice_text(group),
                                   .generation_id = generation,
                                   .member_id = slice_text(id),
                                   .group_instance_id =
                                       instance == NULL ? SLICE_NULL : slice_text(instance)};
    struct heartbeat_response out;

    ASK(heartbeat, API_HEARTBEAT, 4, &in, &out);
    return out.error_code;
}

/* A commit that is sent with the next request. Gives its correlation id. */
static int32_t add_commit(struct slice group, const char *id, const char *instance,
                          int32_t generation, const char *topic, int32_t partition, int64_t offset,
                          struct slice metadata)
{
    struct offset_commit_request_topic_partition part = {.partition_index = partition,
                                                         .committed_offset = offset,
                                                         .committed_leader_epoch = 5,
                                                         .commit_timestamp = -1,
                                                         .committed_metadata = metadata};
    struct offset_commit_request_topic topics = {.name = slice_text(topic),
                                                 .partitions = {&part, 1}};
    struct offset_commit_request in;

    wire_default(&offset_commit_request_wire, &in);
    in.group_id = group;
    in.generation_id_or_member_epoch = generation;
    in.member_id = slice_text(id);
    in.group_instance_id = instance == NULL ? SLICE_NULL : slice_text(instance);
    in.topics.at = &topics;
    in.topics.count = 1;
    add_request(&world, API_OFFSET_COMMIT, 9, &offset_commit_request_wire, &in);
    return world.correlation;
}

static int16_t read_commit(int32_t correlation)
{
    struct offset_commit_response out;

    read_reply(&world, correlation, API_OFFSET_COMMIT, 9, &offset_commit_response_wire, &out);
    ck_assert_int_eq(out.topics.count, 1);
    ck_assert_int_eq(out.topics.at[0].partitions.count, 1);
    return out.topics.at[0].partitions.at[0].error_code;
}

static int16_t commit_as(const char *group, const char *id, const char *instance,
                         int32_t generation, const char *topic, int32_t partition, int64_t offset,
                         struct slice metadata)
{
    int32_t correlation =
        add_commit(slice_text(group), id, instance, generation, topic, partition, offset, metadata);

    send_added(&world);
    return read_commit(correlation);
}

static int16_t commit(const char *group, int32_t partition, int64_t offset)
{
    return commit_as(group, "", NULL, -1, "t", partition, offset, SLICE("m"));
}

/* The committed offset of t-`partition`; −1 none; −2 − code when it was refused. */
static int64_t committed_by(struct slice group, int32_t partition)
{
    struct offset_fetch_request_group_topic topic = {.name = SLICE("t"),
                                                     .partition_indexes = {&partition, 1}};
    struct offset_fetch_request_group of = {
        .group_id = group, .member_id = SLICE_NULL, .member_epoch = -1, .topics = {&topic, 1}};
    struct offset_fetch_request in;
    struct offset_fetch_response out;

    wire_default(&offset_fetch_request_wire, &in);
    in.groups.at = &of;
    in.groups.count = 1;
    ASK(offset_fetch, API_OFFSET_FETCH, 9, &in, &out);
    ck_assert_int_eq(out.groups.count, 1);
    if (out.groups.at[0].error_code != 0) return -2 - out.groups.at[0].error_code;
    return out.groups.at[0].topics.at[0].partitions.at[0].committed_offset;
}

static int64_t committed(const char *group, int32_t partition)
{
    return committed_by(slice_text(group), partition);
}

static struct describe_groups_response_group describe(const char *group)
{
    struct slice name = slice_text(group);
    struct describe_groups_request in = {.groups = {&name, 1},
                                         .include_authorized_operations = true};
    struct describe_groups_response out;

    ASK(describe_groups, API_DESCRIBE_GROUPS, 5, &in, &out);
    ck_assert_int_eq(out.groups.count, 1);
    return out.groups.at[0];
}

static int16_t delete_group(const char *group)
{
    struct slice names[] = {slice_text(group), slice_text(group)}; /* twice is once */
    struct delete_groups_request in = {.groups_names = {names, 2}};
    struct delete_groups_response out;

    ASK(delete_groups, API_DELETE_GROUPS, 2, &in, &out);
    ck_assert_int_eq(out.results.count, 1);
    return out.results.at[0].error_code;
}

static int list(const char *state, const char *type, struct list_groups_response *out)
{
    struct slice states = slice_text(state), types = slice_text(type);
    struct list_groups_request in = {.states_filter = {&states, state == NULL ? 0 : 1},
                                     .types_filter = {&types, type == NULL ? 0 : 1}};

    ASK(list_groups, API_LIST_GROUPS, 5, &in, out);
    ck_assert_int_eq(out->error_code, KAFKA_NONE);
    return out->groups.count;
}

static int16_t delete_offset(const char *group, const char *topic, int16_t *top)
{
    struct offset_delete_request_topic_partition part = {.partition_index = 1};
    struct offset_delete_request_topic topics = {.name = slice_text(topic),
                                                 .partitions = {&part, 1}};
    struct offset_delete_request in = {.group_id = slice_text(group), .topics = {&topics, 1}};
    struct offset_delete_response out;

    ASK(offset_delete, API_OFFSET_DELETE, 0, &in, &out);
    *top = out.error_code;
    return out.topics.count == 0 ? -1 : out.topics.at[0].partitions.at[0].error_code;
}

/* Groups whose coordinators live on both shards. */
static const char *const names[] = {"g1", "g2", "g3", "g4", "my-group", "connect-cluster"};
#define NAMES ((int)(sizeof(names) / sizeof(names[0])))

START_TEST(coordinators_are_found_by_the_hash_of_the_group)
{
    struct slice keys[NAMES];
    struct find_coordinator_request in = {.coordinator_keys = {keys, NAMES}};
    struct find_coordinator_response out;

    begin();
    for (int i = 0; i < NAMES; i++)
        keys[i] = slice_text(names[i]);
    ASK(find_coordinator, API_FIND_COORDINATOR, 6, &in, &out);
    ck_assert_int_eq(out.coordinators.count, NAMES);
    for (int i = 0; i < NAMES; i++) {
        ck_assert_int_eq(out.coordinators.at[i].error_code, KAFKA_NONE);
        ck_assert_int_eq(out.coordinators.at[i].node_id, SELF);
        ck_assert_int_eq(out.coordinators.at[i].port, 11);
        ck_assert_uint_eq(out.coordinators.at[i].error_message.len, 0);
    }
    in.key = SLICE("g1");
    for (int16_t version = 0; version <= 3; version++) {
        ASK(find_coordinator, API_FIND_COORDINATOR, version, &in, &out);
        ck_assert_int_eq(out.error_code, KAFKA_NONE);
        ck_assert(slice_is(out.host, "one.example"));
        if (version > 0) ck_assert(slice_is(out.error_message, "NONE"));
    }
    /* Not one that is asked for again and again, and with a reason that people are shown. */
    for (in.key_type = 1; in.key_type <= 2; in.key_type++) {
        ASK(find_coordinator, API_FIND_COORDINATOR, 6, &in, &out);
        ck_assert_int_eq(out.coordinators.at[0].error_code, KAFKA_UNSUPPORTED_VERSION);
        ck_assert_uint_gt(out.coordinators.at[0].error_message.len, 0);
        ck_assert_int_eq(out.coordinators.at[0].node_id, -1);
    }
    in.key_type = 2;
    ASK(find_coordinator, API_FIND_COORDINATOR, 5, &in, &out);
    ck_assert_int_eq(out.coordinators.at[0].error_code, KAFKA_INVALID_REQUEST);
    in.key_type = 9;
    ASK(find_coordinator, API_FIND_COORDINATOR, 6, &in, &out);
    ck_assert_int_eq(out.coordinators.at[0].error_code, KAFKA_INVALID_REQUEST);
    finish();
}
END_TEST

START_TEST(what_is_committed_is_known_after_leadership_has_come_back)
{
    begin();
    for (int i = 0; i < NAMES; i++) {
        ck_assert_int_eq(committed(names[i], 1), -1);
        ck_assert_int_eq(commit(names[i], 1, 10 + i), KAFKA_NONE);
        ck_assert_int_eq(commit(names[i], 2, 99), KAFKA_NONE);
        ck_assert_int_eq(commit(names[i], 1, 20 + i), KAFKA_NONE);
        ck_assert_int_eq(committed(names[i], 1), 20 + i);
    }
    struct joined leader = member_of("g1", NULL);
    struct joined fixed = member_of("g2", "i2");
    lead_all(&world, FOLLOWER, 2, 2, 1);
    ck_assert_int_eq(commit("g1", 1, 7), KAFKA_NOT_COORDINATOR);
    ck_assert_int_eq(committed("g1", 1), -2 - KAFKA_NOT_COORDINATOR);
    ck_assert_int_eq(heartbeat("g1", leader.id, NULL, leader.generation), KAFKA_NOT_COORDINATOR);
    lead_all(&world, SELF, 3, 1, 1);
    await_loaded();
    for (int i = 0; i < NAMES; i++)
        ck_assert_int_eq(committed(names[i], 1), 20 + i);
    ck_assert_int_eq(heartbeat("g1", leader.id, NULL, leader.generation), KAFKA_NONE);
    ck_assert_int_eq(heartbeat("g2", fixed.id, "i2", fixed.generation), KAFKA_NONE);
    struct describe_groups_response_group group = describe("g2");
    ck_assert(slice_is(group.group_state, "Stable") && slice_is(group.protocol_data, "range"));
    ck_assert(slice_is(group.members.at[0].group_instance_id, "i2"));
    ck_assert(slice_is(group.members.at[0].member_assignment, "A"));
    ck_assert(slice_is(group.members.at[0].client_host, "/127.0.0.1"));
    ck_assert_int_eq(group.authorized_operations, 328);
    finish();
}
END_TEST

START_TEST(while_its_log_is_read_a_coordinator_says_so)
{
    begin();
    ck_assert_int_eq(commit("g1", 1, 10), KAFKA_NONE);
    again(2);
    /* The jobs of the pool are not taken while nobody turns: it reads for as long as we like. */
    int32_t shard = partition_shard(OFFSETS, coordinator_partition(SLICE("g1"), PARTITIONS), DATA);
    struct groups *groups = world.shards[shard].groups;
    groups_led(groups, coordinator_partition(SLICE("g1"), PARTITIONS), false, 4);
    groups_led(groups, coordinator_partition(SLICE("g1"), PARTITIONS), true, 5);
    struct groups_call call = {.kind = GROUPS_HEARTBEAT,
                               .partition = coordinator_partition(SLICE("g1"), PARTITIONS),
                               .group = SLICE("g1"),
                               .voice = {.member_id = SLICE("x")}};
    ck_assert(groups_ask(groups, &call));
    ck_assert_int_eq(call.err, ERR_OK);
    call.kind = GROUPS_SYNC;
    ck_assert(groups_ask(groups, &call));
    ck_assert_int_eq(call.err, ERR_REBALANCING);
    call.kind = GROUPS_FETCH;
    ck_assert(groups_ask(groups, &call));
    ck_assert_int_eq(call.err, ERR_COORDINATOR_LOADING);
    await_loaded();
    ck_assert_int_eq(committed("g1", 1), 10);
    finish();
}
END_TEST

/* Straight to the log, as another broker may have done. */
static void append_raw(const char *group, struct slice key, struct slice value, int64_t producer,
                       bool is_transactional)
{
    int32_t partition = coordinator_partition(slice_text(group), PARTITIONS);
    struct record_builder builder;
    struct buf batch = {0};

    record_builder_begin(&builder, &batch);
    builder.head.producer_id = producer;
    if (is_transactional) {
        builder.head.attributes = BATCH_TRANSACTIONAL;
        builder.head.producer_epoch = 0;
        builder.head.base_sequence = 0;
    }
    record_builder_add(&builder, 5000, key, value, NULL, 0);
    record_builder_end(&builder);
    struct append append = {.topic = OFFSETS,
                            .partition = partition,
                            .records = batch.ptr,
                            .len = batch.len,
                            .origin = CHECK_COORDINATOR,
                            .arena = &world.arena};
    partitions_append(world.shards[partition_shard(OFFSETS, partition, DATA)].partitions, &append);
    ck_assert_int_eq(append.err, ERR_OK);
    buf_fini(&batch);
}

START_TEST(records_of_other_kinds_and_broken_ones_are_passed_over)
{
    struct offset_commit value = {
        .offset = 77, .leader_epoch = -1, .metadata = SLICE(""), .commit_ms = 1, .expire_ms = -1};
    struct buf key = {0}, bytes = {0};

    begin();
    append_raw("g1", SLICE("\0\3\0\2g1"), SLICE("\0\0\0\0\0\1"), -1, false);
    append_raw("g1", SLICE("\0\x8\0\2g1\0\1m"), SLICE_NULL, -1, false);
    append_raw("g1", SLICE("\0"), SLICE("?"), -1, false);
    append_raw("g1", SLICE("\0\1\0\2g1\0\1t\0\0\0\1"), SLICE("\0\7newer"), -1, false);
    append_raw("g1", SLICE("\0\2\0\2g1"), SLICE("\0\3\0"), -1, false);
    group_log_write_offset_key(&key, SLICE("g1"), SLICE("t"), 3);
    group_log_write_offset(&bytes, LEVEL_LATEST, &value);
    append_raw("g1", buf_slice(&key), buf_slice(&bytes), -1, false);
    again(2);
    await_loaded();
    ck_assert_int_eq(committed("g1", 3), 77);
    ck_assert_int_eq(committed("g1", 1), -1);
    append_raw("g1", buf_slice(&key), SLICE_NULL, -1, false);
    again(4);
    await_loaded();
    ck_assert_int_eq(committed("g1", 3), -1);
    buf_fini(&key);
    buf_fini(&bytes);
    finish();
}
END_TEST

/* ---- input that is not right: Kafka's error, and nothing else happens ---- */

START_TEST(a_member_that_is_not_one_is_told_so)
{
    int16_t top;

    begin();
    struct joined member = member_of("g1", NULL);
    ck_assert_int_eq(heartbeat("g1", "nobody", NULL, member.generation), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(heartbeat("g9", member.id, NULL, 1), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(join("g1", "nobody", NULL, 9).code, KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(join("g9", "nobody", NULL, 9).code, KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(sync_group("g1", "nobody", NULL, member.generation), KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(commit_as("g1", "nobody", NULL, member.generation, "t", 1, 5, SLICE("")),
                     KAFKA_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(commit("g1", 1, 5), KAFKA_UNKNOWN_MEMBER_ID); /* no name at all */
    ck_assert_int_eq(committed("g1", 1), -1);
    ck_assert_int_eq(delete_offset("g1", "t", &top), KAFKA_GROUP_SUBSCRIBED_TO_TOPIC);
    ck_assert_int_eq(delete_group("g1"), KAFKA_NON_EMPTY_GROUP);
    ck_assert_int_eq(heartbeat("g1", member.id, NULL, member.generation), KAFKA_NONE);
    finish();
}
END_TEST

START_TEST(another_generation_is_illegal)
{
    begin();
    struct joined member = member_of("g1", NULL);
    ck_assert_int_eq(heartbeat("g1", member.id, NULL, member.generation - 1),
                     KAFKA_ILLEGAL_GENERATION);
    ck_assert_int_eq(sync_group("g1", member.id, NULL, member.generation + 1),
                     KAFKA_ILLEGAL_GENERATION);
    ck_assert_int_eq(commit_as("g1", member.id, NULL, member.generation + 1, "t", 1, 5, SLICE("")),
                     KAFKA_ILLEGAL_GENERATION);
    ck_assert_int_eq(commit_as("g9", member.id, NULL, 1, "t", 1, 5, SLICE("")),
                     KAFKA_ILLEGAL_GENERATION);
    ck_assert_int_eq(committed("g1", 1), -1);
    ck_assert(slice_is(describe("g9").group_state, "Dead"));
    finish();
}
END_TEST

START_TEST(another_type_of_protocol_cannot_join)
{
    begin();
    struct joined member = member_of("g1", NULL);
    ck_assert_int_eq(read_join(send_join("g1", "", NULL, SLICE("connect"), 9), 9).code,
                     KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    ck_assert_int_eq(read_join(send_join("g2", "", NULL, SLICE(""), 9), 9).code,
                     KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    ck_assert(slice_is(describe("g2").group_state, "Dead")); /* not even an empty one is left */
    ck_assert_int_eq(heartbeat("g1", member.id, NULL, member.generation), KAFKA_NONE);

    struct sync_group_request in;
    struct sync_group_response out;
    wire_default(&sync_group_request_wire, &in);
    in.group_id = SLICE("g1");
    in.member_id = slice_text(member.id);
    in.generation_id = member.generation;
    in.protocol_type = SLICE("consumer");
    in.protocol_name = SLICE("sticky");
    ASK(sync_group, API_SYNC_GROUP, 5, &in, &out);
    ck_assert_int_eq(out.error_code, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    in.protocol_name = SLICE_NULL;
    ASK(sync_group, API_SYNC_GROUP, 5, &in, &out);
    ck_assert_int_eq(out.error_code, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    ASK(sync_group, API_SYNC_GROUP, 4, &in, &out);
    ck_assert_int_eq(out.error_code, KAFKA_NONE);
    finish();
}
END_TEST

START_TEST(metadata_that_is_too_long_is_refused_for_its_partition_alone)
{
    struct offset_commit_request_topic_partition parts[3] = {
        {.partition_index = 1, .committed_offset = 5, .committed_leader_epoch = -1},
        {.partition_index = 2, .committed_offset = 6, .committed_leader_epoch = -1},
        {.partition_index = 99, .committed_offset = 6, .committed_leader_epoch = -1},
    };
    struct offset_commit_request_topic topics = {.name = SLICE("t"), .partitions = {parts, 3}};
    struct offset_commit_request in;
    struct offset_commit_response out;
    char *text = ensure_zalloc(4098);

    begin();
    memset(text, 'm', 4097);
    parts[0].committed_metadata = slice_of(text, 4097);
    parts[1].committed_metadata = slice_of(text, 4096);
    parts[2].committed_metadata = SLICE_NULL;
    wire_default(&offset_commit_request_wire, &in);
    in.group_id = SLICE("g1");
    in.topics.at = &topics;
    in.topics.count = 1;
    ASK(offset_commit, API_OFFSET_COMMIT, 8, &in, &out);
    ck_assert_int_eq(out.topics.at[0].partitions.at[0].error_code, KAFKA_OFFSET_METADATA_TOO_LARGE);
    ck_assert_int_eq(out.topics.at[0].partitions.at[1].error_code, KAFKA_NONE);
    ck_assert_int_eq(out.topics.at[0].partitions.at[2].error_code,
                     KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(committed("g1", 1), -1);
    ck_assert_int_eq(committed("g1", 2), 6);
    free(text);
    finish();
}
END_TEST

START_TEST(of_a_partition_that_is_committed_twice_at_once_the_last_counts)
{
    struct offset_commit_request_topic_partition parts[3] = {
        {.partition_index = 1, .committed_offset = 5, .committed_leader_epoch = -1},
        {.partition_index = 2, .committed_offset = 6, .committed_leader_epoch = -1},
        {.partition_index = 1, .committed_offset = 7, .committed_leader_epoch = -1},
    };
    struct offset_commit_request_topic topics = {.name = SLICE("t"), .partitions = {parts, 3}};
    struct offset_commit_request in;
    struct offset_commit_response out;

    begin();
    wire_default(&offset_commit_request_wire, &in);
    in.group_id = SLICE("g1");
    in.topics.at = &topics;
    in.topics.count = 1;
    ASK(offset_commit, API_OFFSET_COMMIT, 8, &in, &out);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(out.topics.at[0].partitions.at[i].error_code, KAFKA_NONE);
    ck_assert_int_eq(committed("g1", 1), 7);
    again(2); /* so it is read from the log */
    await_loaded();
    ck_assert_int_eq(committed("g1", 1), 7);
    ck_assert_int_eq(committed("g1", 2), 6);
    finish();
}
END_TEST

START_TEST(a_static_member_that_was_replaced_commits_nothing)
{
    begin();
    struct joined old = member_of("g1", "i1");
    struct joined fresh = join("g1", "", "i1", 9); /* back, without a rebalance */
    ck_assert_int_eq(fresh.code, KAFKA_NONE);
    ck_assert_int_eq(fresh.generation, old.generation);
    ck_assert_str_ne(fresh.id, old.id);
    ck_assert_int_eq(commit_as("g1", old.id, "i1", old.generation, "t", 1, 5, SLICE("")),
                     KAFKA_FENCED_INSTANCE_ID);
    ck_assert_int_eq(heartbeat("g1", old.id, "i1", old.generation), KAFKA_FENCED_INSTANCE_ID);
    ck_assert_int_eq(sync_group("g1", old.id, "i1", old.generation), KAFKA_FENCED_INSTANCE_ID);
    ck_assert_int_eq(join("g1", old.id, "i1", 9).code, KAFKA_FENCED_INSTANCE_ID);
    ck_assert_int_eq(commit_as("g1", fresh.id, "i9", old.generation, "t", 1, 5, SLICE("")),
                     KAFKA_UNKNOWN_MEMBER_ID); /* an instance that nobody is */
    ck_assert(slice_is(describe("g1").group_state, "Stable"));
    ck_assert_int_eq(committed("g1", 1), -1);
    ck_assert_int_eq(commit_as("g1", fresh.id, "i1", old.generation, "t", 1, 6, SLICE("")),
                     KAFKA_NONE);
    ck_assert_int_eq(committed("g1", 1), 6);
    finish();
}
END_TEST

START_TEST(a_group_may_have_every_odd_byte_in_its_name)
{
    char name[4] = {'g', 0, 'x', 0};
    struct list_groups_response out;
    int16_t top;

    begin();
    for (int byte = 1; byte < 256; byte++) {
        name[1] = (char)byte;
        ck_assert_int_eq(commit(name, 1, byte), KAFKA_NONE);
        ck_assert_int_eq(committed(name, 1), byte);
    }
    ck_assert_int_eq(list(NULL, NULL, &out), 255);
    static char longest[INT16_MAX];
    memset(longest, 'n', sizeof(longest));
    const struct slice odd[] = {SLICE("g\0x"), SLICE("\0"), SLICE("\xff\xfe\xc0"),
                                SLICE("\xed\xa0\x80"), slice_of(longest, sizeof(longest))};
    for (int i = 0; i < 5; i++) {
        int32_t correlation = add_commit(odd[i], "", NULL, -1, "t", 1, 300 + i, SLICE(""));
        send_added(&world);
        ck_assert_int_eq(read_commit(correlation), KAFKA_NONE);
    }
    ck_assert_int_eq(commit("../../brokers/ids", 1, 5), KAFKA_NONE);
    ck_assert_int_eq(commit("", 1, 5), KAFKA_NONE); /* Kafka takes the empty name here … */
    ck_assert_int_eq(join("", "", NULL, 9).code, KAFKA_INVALID_GROUP_ID); /* … and not there */
    ck_assert_int_eq(heartbeat("", "m", NULL, 1), KAFKA_INVALID_GROUP_ID);
    ck_assert_int_eq(sync_group("", "m", NULL, 1), KAFKA_INVALID_GROUP_ID);
    ck_assert_int_eq(delete_offset("", "t", &top), -1);
    ck_assert_int_eq(top, KAFKA_INVALID_GROUP_ID);
    again(2);
    await_loaded();
    for (int byte = 1; byte < 256; byte++) {
        name[1] = (char)byte;
        ck_assert_int_eq(committed(name, 1), byte);
    }
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(committed_by(odd[i], 1), 300 + i);
    finish();
}
END_TEST

START_TEST(a_session_timeout_out_of_bounds_is_refused)
{
    begin();
    world.settings.session_ms_min = SESSION_MS + 1;
    ck_assert_int_eq(join("g1", "", NULL, 9).code, KAFKA_INVALID_SESSION_TIMEOUT);
    world.settings.session_ms_min = 1;
    world.settings.session_ms_max = SESSION_MS - 1;
    ck_assert_int_eq(join("g1", "", NULL, 9).code, KAFKA_INVALID_SESSION_TIMEOUT);
    ck_assert(slice_is(describe("g1").group_state, "Dead"));
    finish();
}
END_TEST

/* ---- commits of one turn of the shard share a batch ---- */

static int32_t offsets_partition(struct slice group)
{
    return coordinator_partition(group, PARTITIONS);
}

static struct log *log_of(const char *group)
{
    return store_find(world.store, OFFSETS, offsets_partition(slice_text(group)));
}

/* The `nth` of the groups that have their coordinator with "g1". */
static struct slice companion(int nth)
{
    for (int i = 0;; i++) {
        struct slice name = arena_printf(&world.arena, "companion-%d", i);
        if (offsets_partition(name) == offsets_partition(SLICE("g1")) && nth-- == 0) return name;
    }
}

/* Batches in the log of "g1", and the records of the last one. */
static int batches_of(const char *group, int32_t *last_records)
{
    char *path = (char *)(uintptr_t)arena_printf(&world.arena, "%s/%s-%d/00000000000000000000.log",
                                                 world.path, TOPIC_NAME_OFFSETS,
                                                 offsets_partition(slice_text(group)))
                     .ptr;
    uint8_t *bytes = arena_zalloc(&world.arena, 65536);
    FILE *file = fopen(path, "r");
    struct batch batch;
    int count = 0;

    ck_assert_ptr_nonnull(file);
    struct slice rest = slice_of(bytes, fread(bytes, 1, 65536, file));
    fclose(file);
    for (; batch_take(&rest, &batch) == ERR_OK; count++)
        *last_records = batch.record_count;
    return count;
}

static int32_t add_plain(struct slice group, int64_t offset, size_t metadata_len)
{
    uint8_t *metadata = arena_zalloc(&world.arena, metadata_len + 1);

    memset(metadata, 'm', metadata_len);
    return add_commit(group, "", NULL, -1, "t", 1, offset, slice_of(metadata, metadata_len));
}

START_TEST(commits_that_come_together_share_a_batch_and_each_has_its_answer)
{
    int32_t asked[5], records = 0;

    begin();
    for (int i = 0; i < 5; i++)
        asked[i] = i == 2 ? add_commit(companion(i), "", NULL, 7, "t", 1, 9, SLICE(""))
                          : add_plain(companion(i), 10 + i, 5);
    int32_t later = add_plain(companion(0), 20, 0); /* the later counts */
    send_added(&world);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(read_commit(asked[i]), i == 2 ? KAFKA_ILLEGAL_GENERATION : KAFKA_NONE);
    ck_assert_int_eq(read_commit(later), KAFKA_NONE);
    ck_assert_int_eq(batches_of("g1", &records), 1);
    ck_assert_int_eq(records, 5);
    for (int round = 0; round < 2; round++) { /* as it stands, and as the log has it */
        for (int i = 0; i < 5; i++)
            ck_assert_int_eq(committed_by(companion(i), 1), i == 0 ? 20 : i == 2 ? -1 : 10 + i);
        again(2 + 2 * round);
        await_loaded();
    }
    finish();
}
END_TEST

START_TEST(who_is_too_large_alone_is_told_so_and_the_others_are_not)
{
    static const size_t metadata[] = {300, 300, 1000, 10};
    int32_t asked[4], records = 0;

    begin();
    struct log_config config = *log_config(log_of("g1"));
    config.message_bytes_max = 600; /* of a batch */
    log_set_config(log_of("g1"), &config);
    for (int i = 0; i < 4; i++)
        asked[i] = add_plain(companion(i), 10 + i, metadata[i]);
    send_added(&world);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(read_commit(asked[i]),
                         i == 2 ? KAFKA_INVALID_COMMIT_OFFSET_SIZE : KAFKA_NONE);
    ck_assert_int_eq(batches_of("g1", &records), 3);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(committed_by(companion(i), 1), i == 2 ? -1 : 10 + i);
    finish();
}
END_TEST

START_TEST(what_is_deleted_after_a_commit_of_the_same_turn_stays_deleted)
{
    struct offset_delete_request_topic_partition part = {.partition_index = 1};
    struct offset_delete_request_topic topics = {.name = SLICE("t"), .partitions = {&part, 1}};
    struct offset_delete_request in = {.group_id = SLICE("g1"), .topics = {&topics, 1}};
    struct offset_delete_response out;

    begin();
    int32_t asked = add_plain(SLICE("g1"), 5, 0);
    add_request(&world, API_OFFSET_DELETE, 0, &offset_delete_request_wire, &in);
    int32_t deleted = world.correlation;
    send_added(&world);
    ck_assert_int_eq(read_commit(asked), KAFKA_NONE);
    read_reply(&world, deleted, API_OFFSET_DELETE, 0, &offset_delete_response_wire, &out);
    ck_assert_int_eq(out.error_code, KAFKA_NONE);
    ck_assert_int_eq(committed("g1", 1), -1);
    again(2);
    await_loaded();
    ck_assert_int_eq(committed("g1", 1), -1);
    finish();
}
END_TEST

static void is_told(struct groups_call *call)
{
    world.is_done = call->is_answered;
}

START_TEST(a_commit_of_the_turn_in_which_its_coordinator_goes_is_refused)
{
    struct groups_part part = {.topic = SLICE("t"), .partition = 1, .commit = {.offset = 5}};
    struct groups_call call = {.kind = GROUPS_COMMIT,
                               .partition = offsets_partition(SLICE("g1")),
                               .group = SLICE("g1"),
                               .voice = {.member_id = SLICE(""), .generation = -1},
                               .parts = &part,
                               .part_count = 1,
                               .retention_ms = -1,
                               .done = is_told};
    int32_t records = 0;

    begin();
    struct groups *groups = world.shards[partition_shard(OFFSETS, call.partition, DATA)].groups;
    part.commit.metadata = SLICE("");
    world.is_done = false;
    ck_assert(!groups_ask(groups, &call));
    groups_led(groups, call.partition, false, 2);
    ck_assert(!world.is_done); /* never inside a call */
    until(&world, &world.is_done);
    ck_assert_int_eq(part.err, ERR_NOT_COORDINATOR);
    ck_assert_int_eq(batches_of("g1", &records), 0);
    finish();
}
END_TEST

/* ---- a consumer's connection goes to where its group is ---- */

static struct slice group_on(int shard, int nth)
{
    for (int i = 0;; i++) {
        struct slice name = arena_printf(&world.arena, "there-%d", i);
        if (partition_shard(OFFSETS, offsets_partition(name), DATA) == shard && nth-- == 0)
            return name;
    }
}

static void let_connections_move(void)
{
    struct listener_options listen = {.address = {.host = "127.0.0.1"},
                                      .socket = {-1, -1, 16},
                                      .handlers = &api_conn_handlers,
                                      .limits = &world.shards[1].api.limits,
                                      .accepted = on_accepted,
                                      .owner = &world.shards[1]};

    listen.address.port = listener_port(world.shards[0].listener);
    ck_assert_int_eq(listener_open(&world.shards[1].shard, &listen, &world.shards[1].listener),
                     ERR_OK);
    for (int i = 0; i < DATA; i++)
        world.process.nets[i] = world.shards[i].shard.net;
}

static int clients_at(int shard)
{
    int count = 0;

    list_each (node, &world.shards[shard].api.clients)
        count++;
    return count;
}

START_TEST(a_connection_of_one_group_moves_to_its_shard)
{
    begin();
    let_connections_move();
    struct slice group = group_on(1, 0);
    for (int i = 0; i < 10; i++) {
        int32_t asked = add_plain(group, i, 0);
        send_added(&world);
        ck_assert_int_eq(read_commit(asked), KAFKA_NONE);
        ck_assert_int_eq(committed_by(group, 1), i);
    }
    ck_assert_int_eq(clients_at(0), 0);
    ck_assert_int_eq(clients_at(1), 1);
    finish();
}
END_TEST

START_TEST(a_connection_of_many_groups_stays)
{
    begin();
    let_connections_move();
    for (int i = 0; i < 20; i++) {
        struct slice group = group_on(i % DATA, 0);
        int32_t asked = add_plain(group, i, 0);
        send_added(&world);
        ck_assert_int_eq(read_commit(asked), KAFKA_NONE);
    }
    ck_assert_int_eq(clients_at(0), 1);
    ck_assert_int_eq(clients_at(1), 0);
    finish();
}
END_TEST

/* ---- the rest of the APIs ---- */

START_TEST(groups_are_listed_by_state_and_type)
{
    struct list_groups_response out;

    begin();
    ck_assert_int_eq(commit("g1", 1, 5), KAFKA_NONE);
    ck_assert_int_eq(commit("g3", 1, 5), KAFKA_NONE);
    member_of("g2", NULL);
    ck_assert_int_eq(list(NULL, NULL, &out), 3);
    ck_assert_int_eq(list("stable", NULL, &out), 1);
    ck_assert(slice_is(out.groups.at[0].group_id, "g2"));
    ck_assert(slice_is(out.groups.at[0].group_state, "Stable"));
    ck_assert(slice_is(out.groups.at[0].group_type, "classic"));
    ck_assert(slice_is(out.groups.at[0].protocol_type, "consumer"));
    ck_assert_int_eq(list("Empty", "CLASSIC", &out), 2);
    ck_assert_int_eq(list(NULL, "share", &out), 0);
    finish();
}
END_TEST

START_TEST(deleted_groups_and_offsets_stay_deleted)
{
    int16_t top;

    begin();
    ck_assert_int_eq(delete_group("g1"), KAFKA_GROUP_ID_NOT_FOUND);
    ck_assert_int_eq(delete_offset("g1", "t", &top), -1);
    ck_assert_int_eq(top, KAFKA_GROUP_ID_NOT_FOUND);
    ck_assert_int_eq(commit("g1", 1, 5), KAFKA_NONE);
    ck_assert_int_eq(commit("g2", 1, 5), KAFKA_NONE);
    ck_assert_int_eq(commit("g2", 2, 6), KAFKA_NONE);
    ck_assert_int_eq(delete_group("g1"), KAFKA_NONE);
    ck_assert_int_eq(delete_offset("g2", "t", &top), KAFKA_NONE);
    ck_assert_int_eq(delete_offset("g2", "gone", &top), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    again(2);
    await_loaded();
    ck_assert(slice_is(describe("g1").group_state, "Dead"));
    ck_assert_int_eq(committed("g2", 1), -1);
    ck_assert_int_eq(committed("g2", 2), 6);
    groups_partitions_gone(
        world.shards[partition_shard(OFFSETS, coordinator_partition(SLICE("g2"), PARTITIONS), DATA)]
            .groups,
        SLICE("t"), (int32_t[]){2, 3}, 2);
    ck_assert_int_eq(committed("g2", 2), -1);
    finish();
}
END_TEST

START_TEST(members_leave_one_by_one_or_in_a_batch)
{
    struct leave_group_request in;
    struct leave_group_response out;

    begin();
    struct joined member = member_of("g1", NULL);
    wire_default(&leave_group_request_wire, &in);
    in.group_id = SLICE("g1");
    in.member_id = SLICE("nobody");
    ASK(leave_group, API_LEAVE_GROUP, 2, &in, &out);
    ck_assert_int_eq(out.error_code, KAFKA_UNKNOWN_MEMBER_ID);
    in.member_id = slice_text(member.id);
    ASK(leave_group, API_LEAVE_GROUP, 2, &in, &out);
    ck_assert_int_eq(out.error_code, KAFKA_NONE);
    ck_assert(slice_is(describe("g1").group_state, "Empty"));
    member = member_of("g1", "i1");
    struct leave_group_request_member members[2] = {
        {.member_id = SLICE(""), .group_instance_id = SLICE("i1")},
        {.member_id = SLICE("x"), .group_instance_id = SLICE_NULL}};
    in.members.at = members;
    in.members.count = 2;
    ASK(leave_group, API_LEAVE_GROUP, 5, &in, &out);
    ck_assert_int_eq(out.error_code, KAFKA_NONE);
    ck_assert_int_eq(out.members.at[0].error_code, KAFKA_NONE);
    ck_assert_int_eq(out.members.at[1].error_code, KAFKA_UNKNOWN_MEMBER_ID);
    in.group_id = SLICE("g9");
    ASK(leave_group, API_LEAVE_GROUP, 5, &in, &out);
    ck_assert_int_eq(out.error_code, KAFKA_NONE);
    ck_assert_int_eq(out.members.at[0].error_code, KAFKA_UNKNOWN_MEMBER_ID);
    finish();
}
END_TEST

START_TEST(a_join_that_waits_is_answered_when_the_coordinator_goes)
{
    begin();
    world.settings.group.initial_delay_ms = 60000;
    int32_t waiting[NAMES];
    for (int i = 0; i < NAMES; i++)
        waiting[i] = send_join(names[i], "", NULL, SLICE("consumer"), 3);
    ck_assert(is_quiet(&world, 20));
    lead_all(&world, FOLLOWER, 2, 2, 1);
    for (int i = 0; i < NAMES; i++)
        ck_assert_int_eq(read_join(waiting[i], 3).code, KAFKA_NOT_COORDINATOR);
    finish();
}
END_TEST

START_TEST(a_commit_waits_for_the_replicas_and_says_when_they_do_not_come)
{
    begin();
    lead_all(&world, SELF, 2, 2, 1); /* the follower is in the ISR and never fetches */
    world.settings.commit_timeout_ms = 50;
    ck_assert_int_eq(commit("g1", 1, 5), KAFKA_REQUEST_TIMED_OUT);
    ck_assert_int_eq(committed("g1", 1), -1);
    struct joined joined = join("g2", "", "i", 9);
    ck_assert_int_eq(sync_group("g2", joined.id, "i", joined.generation),
                     KAFKA_REBALANCE_IN_PROGRESS);
    world.settings.required_acks = 1;
    ck_assert_int_eq(commit("g1", 1, 7), KAFKA_NONE);
    ck_assert_int_eq(committed("g1", 1), 7);
    finish();
}
END_TEST

/* A leader before has written it, and the next one may not have it: it would be taken back. */
START_TEST(what_the_replicas_may_lack_is_told_to_nobody)
{
    begin();
    lead_all(&world, SELF, 2, 2, 1); /* the follower is in the ISR and never fetches */
    world.settings.commit_timeout_ms = 50;
    ck_assert_int_eq(commit("g1", 1, 5), KAFKA_REQUEST_TIMED_OUT);
    lead_all(&world, FOLLOWER, 5, 2, 1);
    lead_all(&world, SELF, 6, 2, 1);
    ck_assert(is_quiet(&world, 200));
    ck_assert(!all_loaded());
    ck_assert_int_eq(committed("g1", 1), -2 - KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    lead_all(&world, SELF, 7, 1, 1); /* nobody else has to have it */
    await_loaded();
    ck_assert_int_eq(committed("g1", 1), 5);
    finish();
}
END_TEST

START_TEST(offsets_and_empty_groups_expire)
{
    struct list_groups_response out;

    begin();
    ck_assert_int_eq(commit("g1", 1, 5), KAFKA_NONE);
    ck_assert_int_eq(commit("g2", 1, 5), KAFKA_NONE);
    member_of("g3", NULL);
    ck_assert_int_eq(list(NULL, NULL, &out), 3);
    world.settings.retention_ms = 0;
    for (int i = 0; i < DATA; i++) { /* as if the interval were over */
        struct groups *groups = world.shards[i].groups;
        world.settings.retention_check_ms = 1;
        groups_stop(groups);
        groups_destroy(&world.shards[i].groups);
        world.shards[i].groups =
            groups_create(&world.shards[i].shard, world.shards[i].partitions, &world.settings);
        world.shards[i].api.groups = world.shards[i].groups;
    }
    again(2);
    await_loaded();
    struct instant end = {0};
    while (list(NULL, NULL, &out) > 1)
        turn_on(&world, &end);
    ck_assert(slice_is(out.groups.at[0].group_id, "g3")); /* it has a member */
    world.settings.retention_ms = 604800000;
    again(4);
    await_loaded();
    ck_assert_int_eq(committed("g1", 1), -1); /* so says the log too */
    finish();
}
END_TEST

/* Many groups that do nothing: what they cost. */
static size_t rss_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0, resident = 0;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld %ld", &pages, &resident), 2);
    fclose(file);
    return (size_t)resident * 4096;
}

START_TEST(ten_thousand_idle_groups_are_small)
{
    struct group_settings settings = {.initial_delay_ms = 0, .size_max = 100};
    struct group **groups = ensure_zalloc(sizeof(struct group *) * 10000);
    struct arena arena;
    size_t before = rss_bytes();

    arena_init(&arena, SIZE_MAX);
    for (int i = 0; i < 10000; i++) {
        struct group_metadata_value_member member = {
            .member_id = SLICE("rdkafka-4dc5e6c2-0f3b-4a8e-b7f1-0123456789ab"),
            .client_id = SLICE("rdkafka"),
            .client_host = SLICE("/127.0.0.1"),
            .rebalance_timeout = 300000,
            .session_timeout = 45000,
            .subscription = range.metadata,
            .assignment = range.metadata};
        struct group_metadata_value value = {.protocol_type = SLICE("consumer"),
                                             .generation = 1,
                                             .protocol = SLICE("range"),
                                             .leader = member.member_id,
                                             .members = {&member, 1}};
        groups[i] = group_create(SLICE("a-group-name"), &settings, 0);
        group_restore(groups[i], &value, (struct instant){1}, 1);
    }
    size_t bytes = rss_bytes() - before;
    /* With the sanitizer each allocation costs more; without, the bound is the real one. */
    ck_assert_msg(bytes < (size_t)100 << 20, "%zu bytes", bytes);
    for (int i = 0; i < 10000; i++)
        group_destroy(&groups[i]);
    free(groups);
    arena_fini(&arena);
}
END_TEST

UNIT(coordinators_are_found_by_the_hash_of_the_group,
     what_is_committed_is_known_after_leadership_has_come_back,
     while_its_log_is_read_a_coordinator_says_so,
     records_of_other_kinds_and_broken_ones_are_passed_over, a_member_that_is_not_one_is_told_so,
     another_generation_is_illegal, another_type_of_protocol_cannot_join,
     of_a_partition_that_is_committed_twice_at_once_the_last_counts,
     metadata_that_is_too_long_is_refused_for_its_partition_alone,
     a_static_member_that_was_replaced_commits_nothing, a_group_may_have_every_odd_byte_in_its_name,
     a_session_timeout_out_of_bounds_is_refused, groups_are_listed_by_state_and_type,
     deleted_groups_and_offsets_stay_deleted, members_leave_one_by_one_or_in_a_batch,
     commits_that_come_together_share_a_batch_and_each_has_its_answer,
     who_is_too_large_alone_is_told_so_and_the_others_are_not,
     what_is_deleted_after_a_commit_of_the_same_turn_stays_deleted,
     a_commit_of_the_turn_in_which_its_coordinator_goes_is_refused,
     a_connection_of_one_group_moves_to_its_shard, a_connection_of_many_groups_stays,
     a_join_that_waits_is_answered_when_the_coordinator_goes,
     a_commit_waits_for_the_replicas_and_says_when_they_do_not_come,
     what_the_replicas_may_lack_is_told_to_nobody,
     offsets_and_empty_groups_expire, ten_thousand_idle_groups_are_small)
