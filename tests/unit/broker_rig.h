/* tests/unit/broker_rig.h - the requests' side of a broker without partitions and without
 * ZooKeeper: one data shard and the control shard, turned by the test, and clients of plain
 * sockets. */
#pragma once
#include "base/ensure.h"
#include "base/log.h"
#include "broker/api/alter.h"
#include "broker/api/connections.h"
#include "broker/api/control.h"
#include "broker/api/forward.h"
#include "broker/api/orders.h"
#include "broker/api/table.h"
#include "cluster/image.h"
#include "cluster/options.h"
#include "runtime/env_posix.h"
#include "tests/unit/unit.h"
#include "wire/frame.h"
#include "wire/prim.h"
#include "wire/gen/update_metadata.h"
#include "wire/protocol.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RIG_SECONDS_MAX 60 /* only a broken test waits so long */

struct rig_shard {
    struct msg_routes routes; /* first */
    struct shard shard;
    struct api_shard api;
};

struct rig {
    struct env *env;
    struct disk *disk;
    struct mesh *mesh;
    struct options *options;
    struct listeners listeners;
    struct connections connections;
    struct api_process process;
    struct rig_shard data, control;
    struct listener *listener[2]; /* by index of the listener */
    struct alter *alter;
};

static inline void rig_silent(void *to, enum log_level level, struct slice line)
{
    (void)to;
    (void)level;
    (void)line;
}

static inline void rig_accepted_0(void *owner, struct conn *conn)
{
    api_accepted(&((struct rig *)owner)->data.api, conn, 0);
}
static inline void rig_accepted_1(void *owner, struct conn *conn)
{
    api_accepted(&((struct rig *)owner)->data.api, conn, 1);
}

static inline void rig_tick(struct timer *timer)
{
    (void)timer;
}

static inline void rig_turn(struct rig *rig)
{
    struct rig_shard *const shards[] = {&rig->data, &rig->control};

    for (int i = 0; i < 2; i++) {
        struct timer tick = {.fire = rig_tick};
        timer_arm(&shards[i]->shard, &tick, instant_add_ms(env_now(rig->env), 1));
        shard_turn(&shards[i]->shard);
        timer_cancel(&shards[i]->shard, &tick);
    }
}

/* `settings`: "key=value\n…". Two listeners, CLIENT and INTERNAL; broker 1. */
static inline void rig_open(struct rig *rig, const char *settings)
{
    static const struct mailbox_handlers handlers = {messages_call, messages_answer};
    static const char fixed[] =
        "broker.id=1\nzookeeper.connect=nowhere:1\nlistener.security.protocol.map="
        "CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT\ninter.broker.listener.name=INTERNAL\n"
        "listeners=CLIENT://127.0.0.1:0,INTERNAL://127.0.0.1:0\n";
    void (*const accepted[])(void *, struct conn *) = {rig_accepted_0, rig_accepted_1};
    struct conf conf;
    int line;

    *rig = (struct rig){0};
    log_to(rig_silent, NULL);
    rig->env = env_posix_create(NULL);
    rig->options = options_create();
    conf_init(&conf);
    ck_assert_int_eq(conf_read(&conf, slice_text(fixed), &line), ERR_OK);
    ck_assert_int_eq(conf_read(&conf, slice_text(settings), &line), ERR_OK);
    ck_assert_int_eq(options_load(rig->options, &conf, "test", NULL), ERR_OK);
    conf_fini(&conf);
    ck_assert_int_eq(listeners_read(rig->options, NULL, &rig->listeners), ERR_OK);
    connections_init(&rig->connections, rig->options, &rig->listeners);
    rig->process = (struct api_process){.options = rig->options,
                                        .broker_id = 1,
                                        .shards = 1,
                                        .listeners = &rig->listeners,
                                        .connections = &rig->connections};
    ck_assert_int_eq(disk_open(rig->env, (const int[DISK_CLASSES]){1, 1, 1}, &rig->disk), ERR_OK);
    rig->mesh = mesh_create(2);
    ck_assert_int_eq(
        shard_open(&rig->data.shard, rig->env, 0, rig->mesh, &handlers, &rig->data, rig->disk),
        ERR_OK);
    ck_assert_int_eq(shard_open(&rig->control.shard, rig->env, 1, rig->mesh, &handlers,
                                &rig->control, rig->disk),
                     ERR_OK);
    api_shard_init(&rig->data.api, &rig->data.shard, &rig->process, &rig->data.routes);
    api_shard_init(&rig->control.api, &rig->control.shard, &rig->process, &rig->control.routes);
    rig->control.api.broker_epoch = 0; /* registered */
    struct control *control = control_create(&rig->control.api);
    rig->control.api.forward =
        forward_create(&rig->control.shard, control, &rig->listeners, rig->options);
    orders_answers(&rig->control.api, &rig->control.routes);
    orders_listen(&rig->data.api, &rig->data.routes);
    rig->data.api.held_image = image_hold(control_image(control));
    rig->data.api.image = rig->data.api.held_image;
    rig->data.api.cluster_id = rig->control.api.cluster_id = SLICE("rig-cluster");
    rig->data.api.feature_epoch = 0;
    rig->data.api.limits.frame_bytes_max = 1024 * 1024;
    for (int i = 0; i < 2; i++) {
        struct listener_options listen = {.address = {.host = "127.0.0.1"},
                                          .socket = {-1, -1, 50},
                                          .handlers = &api_conn_handlers,
                                          .limits = &rig->data.api.limits,
                                          .accepted = accepted[i],
                                          .owner = rig};
        ck_assert_int_eq(listener_open(&rig->data.shard, &listen, &rig->listener[i]), ERR_OK);
    }
}

static inline void rig_left(struct api_shard *api)
{
    (void)api;
}

static inline void rig_stopped(void *owner)
{
    *(bool *)owner = true;
}

static inline void rig_close(struct rig *rig)
{
    bool stopped = false;

    listener_close(&rig->listener[0]);
    listener_close(&rig->listener[1]);
    forward_stop(rig->control.api.forward, rig_stopped, &stopped);
    api_leave(&rig->data.api, rig_left);
    for (int i = 0; i < 20 || !stopped || !list_is_empty(&rig->data.api.clients); i++)
        rig_turn(rig);
    forward_destroy(&rig->control.api.forward);
    image_release(&rig->data.api.held_image);
    control_destroy(&rig->control.api.control);
    api_shard_fini(&rig->data.api);
    api_shard_fini(&rig->control.api);
    shard_close(&rig->data.shard);
    shard_close(&rig->control.shard);
    disk_close(rig->env, &rig->disk);
    mesh_destroy(&rig->mesh);
    connections_fini(&rig->connections);
    listeners_fini(&rig->listeners);
    options_destroy(&rig->options);
    env_posix_destroy(&rig->env);
    log_to(NULL, NULL);
}

/* ---- clients ---- */

static inline int rig_connect_to(struct rig *rig, int listener)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(listener_port(rig->listener[listener])),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static inline int rig_connect(struct rig *rig)
{
    return rig_connect_to(rig, 0);
}

static inline void rig_send(int fd, struct slice bytes)
{
    ck_assert_int_eq(send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL), (ssize_t)bytes.len);
}

static inline void rig_send_frame(int fd, struct slice frame)
{
    uint8_t word[4];

    prim_store32(word, (uint32_t)frame.len);
    rig_send(fd, slice_of(word, 4));
    rig_send(fd, frame);
}

/* Turns until `len` bytes have come, or the other side has closed: then false. */
static inline bool rig_receive(struct rig *rig, int fd, void *to, size_t len)
{
    struct instant end = instant_add_ms(env_now(rig->env), RIG_SECONDS_MAX * INT64_C(1000));
    size_t have = 0;

    while (have < len) {
        ck_assert_msg(instant_before(env_now(rig->env), end), "no answer");
        ssize_t n = recv(fd, (uint8_t *)to + have, len - have, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) return false;
        if (n > 0)
            have += (size_t)n;
        else
            rig_turn(rig);
    }
    return true;
}

/* The next reply, without its length word; false when the connection was closed instead. */
static inline bool rig_reply(struct rig *rig, int fd, struct buf *out)
{
    uint8_t word[4];

    buf_clear(out);
    if (!rig_receive(rig, fd, word, 4)) return false;
    size_t len = prim_load32(word);
    return rig_receive(rig, fd, buf_extend(out, len), len);
}

static inline bool rig_is_closed(struct rig *rig, int fd)
{
    uint8_t byte;

    return !rig_receive(rig, fd, &byte, 1);
}

/* A whole request frame. */
static inline void rig_write(struct buf *out, int16_t key, int version,
                             const struct wire_struct *wire, const void *body)
{
    buf_clear(out);
    frame_write_request_head(out, &(struct frame_request_head){.api_key = key,
                                                               .api_version = (int16_t)version,
                                                               .correlation_id = 7,
                                                               .client_id = SLICE("rig")});
    wire_write(out, version, wire, body);
}

/* Asks and reads the answer into `answer` (arena as long as the test). */
static inline void rig_ask(struct rig *rig, int fd, const struct api *api, int version,
                           const void *body, struct arena *arena, void *answer)
{
    struct buf bytes;
    struct slice in;
    int32_t correlation_id;

    buf_init(&bytes);
    rig_write(&bytes, api->key, version, api->request_wire, body);
    rig_send_frame(fd, buf_slice(&bytes));
    ck_assert(rig_reply(rig, fd, &bytes));
    ck_assert_int_eq(
        frame_read_response_head(buf_slice(&bytes), api->key, version, &correlation_id, &in),
        ERR_OK);
    ck_assert_int_eq(correlation_id, 7);
    ck_assert_int_eq(wire_read(arena_copy(arena, in), version, api->response_wire, arena, answer),
                     ERR_OK);
    buf_fini(&bytes);
}

/* What the controller says in the tests: brokers 1 (both listeners) and 2 (INTERNAL only); topics
 * "led" (0 by 1; 1 by 2; 2 by nobody), with an id. Gives the answer's code. */
static inline int16_t rig_update(struct rig *rig, int fd, int64_t broker_epoch,
                                 int32_t controller_epoch)
{
    static int32_t both[] = {1, 2}, two[] = {2};
    struct update_metadata_request_live_broker_endpoint endpoints[] = {
        {.port = 9092, .host = SLICE("one"), .listener = SLICE("CLIENT")},
        {.port = 9093, .host = SLICE("one.internal"), .listener = SLICE("INTERNAL")},
        {.port = 9093, .host = SLICE("two.internal"), .listener = SLICE("INTERNAL")}};
    struct update_metadata_request_live_broker brokers[] = {
        {.id = 1, .endpoints = {endpoints, 2}, .rack = SLICE("r1")},
        {.id = 2, .endpoints = {&endpoints[2], 1}, .rack = SLICE_NULL}};
    struct update_metadata_request_partition_state partitions[] = {{.partition_index = 0,
                                                                    .leader = 1,
                                                                    .leader_epoch = 4,
                                                                    .isr = {both, 2},
                                                                    .replicas = {both, 2}},
                                                                   {.partition_index = 1,
                                                                    .leader = 2,
                                                                    .leader_epoch = 5,
                                                                    .isr = {two, 1},
                                                                    .replicas = {both, 2}},
                                                                   {.partition_index = 2,
                                                                    .leader = -1,
                                                                    .leader_epoch = 6,
                                                                    .isr = {two, 1},
                                                                    .replicas = {both, 2},
                                                                    .offline_replicas = {two, 1}}};
    struct update_metadata_request_topic_state topics[] = {{.topic_name = SLICE("led"),
                                                            .topic_id = uuid_from_random(1, 2),
                                                            .partition_states = {partitions, 3}}};
    struct update_metadata_request request;
    struct update_metadata_response response;
    struct arena arena;

    wire_default(&update_metadata_request_wire, &request);
    request.controller_id = 101;
    request.controller_epoch = controller_epoch;
    request.broker_epoch = broker_epoch;
    request.topic_states.at = topics;
    request.topic_states.count = 1;
    request.live_brokers.at = brokers;
    request.live_brokers.count = 2;
    arena_init(&arena, 65536);
    rig_ask(rig, fd, &update_metadata_api, 8, &request, &arena, &response);
    arena_fini(&arena);
    return response.error_code;
}
