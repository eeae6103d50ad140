/* What a broker that does not answer is owed: in order, and bounded. */
#include "controller/channel.h"
#include "base/ensure.h"
#include "base/log.h"
#include "controller/outbox.h"
#include "runtime/env_posix.h"
#include "tests/unit/unit.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIVE 200 /* brokers named in each UpdateMetadata: some KiB */

static struct env *env;
static struct shard shard;
static struct conn_limits limits;
static struct channels *channels;
static struct net_address address;
static int closed_port, full;

static void on_full(void *owner, int32_t broker)
{
    (void)owner;
    ck_assert_int_eq(broker, 7);
    full++;
}

static void idle(struct post *post)
{
    (void)post;
}

static void turn(void)
{
    struct post kick = {.run = idle};

    shard_post(&shard, &kick);
    shard_turn(&shard);
}

/* A port where nobody accepts: bound, and not listened on. */
static void begin(size_t queue_bytes_max)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);

    atomic_store(&log_level, LOG_ERROR);
    full = 0;
    env = env_posix_create(NULL);
    ck_assert_int_eq(shard_open(&shard, env, 0, NULL, NULL, NULL, NULL), ERR_OK);
    conn_limits_init(&limits);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    closed_port = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(closed_port, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(getsockname(closed_port, (struct sockaddr *)&at, &len), 0);
    address = (struct net_address){.host = "127.0.0.1", .port = ntohs(at.sin_port)};
    struct channels_options options = {.shard = &shard,
                                       .controller_id = 100,
                                       .versions = {7, 8, 4},
                                       .connect_timeout_ms = 1000,
                                       .request_timeout_ms = 1000,
                                       .limits = &limits,
                                       .queue_bytes_max = queue_bytes_max,
                                       .full = on_full};
    channels = channels_create(&options);
    channels_open(channels, 7, &address);
}

static void end(void)
{
    channels_destroy(&channels);
    for (int i = 0; i < 20; i++)
        turn();
    conn_limits_fini(&limits);
    shard_close(&shard);
    env_posix_destroy(&env);
    close(closed_port);
}

static void send_one(enum control_kind kind)
{
    struct control_batch *batch = ensure_zalloc(sizeof(*batch));
    struct control_partition *partition;

    arena_init(&batch->arena, 1 << 20);
    batch->at = arena_zalloc(&batch->arena, sizeof(*batch->at));
    batch->count = 1;
    struct control_broker *live = arena_zalloc(&batch->arena, LIVE * sizeof(*live));
    for (int i = 0; i < LIVE; i++)
        live[i].id = i;
    struct control *control = &batch->at[0];
    *control = (struct control){.kind = kind, .broker = 7, .broker_epoch = 1};
    if (kind == CONTROL_STOP_REPLICA) {
        partition = arena_zalloc(&batch->arena, sizeof(*partition));
        partition->topic = SLICE("t");
        control->items = arena_zalloc(&batch->arena, sizeof(*control->items));
        control->items[0] = (struct control_item){.partition = partition, .is_delete = true};
        control->count = 1;
    } else {
        control->live = live;
        control->live_count = LIVE;
    }
    channels_send(channels, &batch);
}

START_TEST(what_waits_is_bounded_and_the_owner_is_told)
{
    begin(20000);
    for (int i = 0; i < 1000; i++)
        send_one(CONTROL_UPDATE_METADATA);
    ck_assert_int_eq(full, 0); /* not inside a call of ours */
    ck_assert_int_lt(channels_queued(channels), 50);
    turn();
    ck_assert_int_ge(full, 1);
    end();
}
END_TEST

/* A replica that is to be deleted would stay for ever. */
START_TEST(orders_to_stop_are_kept)
{
    begin(20000);
    for (int i = 0; i < 5; i++) {
        send_one(CONTROL_STOP_REPLICA);
        for (int k = 0; k < 100; k++)
            send_one(CONTROL_UPDATE_METADATA);
    }
    ck_assert_int_ge(channels_queued(channels), 5);
    ck_assert_int_lt(channels_queued(channels), 60);
    end();
}
END_TEST

START_TEST(within_the_bound_nothing_is_dropped)
{
    begin(100 << 20);
    for (int i = 0; i < 500; i++)
        send_one(CONTROL_UPDATE_METADATA);
    for (int i = 0; i < 5; i++)
        turn();
    ck_assert_int_eq(channels_queued(channels), 500);
    ck_assert_int_eq(full, 0);
    channels_close(channels, 7);
    ck_assert_int_eq(channels_queued(channels), 0);
    end();
}
END_TEST

/* Correlation id of the next request that comes to `listening`. */
static int32_t take_correlation(int listening)
{
    uint8_t head[12];
    int in = -1;

    while ((in = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) < 0)
        turn();
    for (size_t n = 0; n < sizeof(head);) {
        ssize_t got = read(in, head + n, sizeof(head) - n);
        if (got > 0) n += (size_t)got;
        turn();
    }
    close(in);
    return (int32_t)((uint32_t)head[8] << 24 | (uint32_t)head[9] << 16 | (uint32_t)head[10] << 8 |
                     head[11]);
}

/* A broker that was taken for dead and is heard again has its registration still; it takes what is
 * behind the last that it heard of our epoch for late. */
START_TEST(a_second_channel_goes_on_where_the_first_ended)
{
    begin(1 << 20);
    ck_assert_int_eq(listen(closed_port, 5), 0);
    ck_assert_int_ne(fcntl(closed_port, F_SETFL, O_NONBLOCK), -1);
    channels_open(channels, 7, &address);
    send_one(CONTROL_UPDATE_METADATA);
    int32_t first = take_correlation(closed_port);
    int32_t resent = take_correlation(closed_port);
    ck_assert_int_gt(resent, first);
    channels_close(channels, 7);
    channels_open(channels, 7, &address);
    send_one(CONTROL_UPDATE_METADATA);
    ck_assert_int_gt(take_correlation(closed_port), resent);
    end();
}
END_TEST

UNIT(what_waits_is_bounded_and_the_owner_is_told, orders_to_stop_are_kept,
     within_the_bound_nothing_is_dropped, a_second_channel_goes_on_where_the_first_ended)
