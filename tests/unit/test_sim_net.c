#include "tests/sim/net.h"
#include "base/ensure.h"
#include "runtime/shard.h"
#include "tests/sim/heap.h"
#include "tests/unit/unit.h"
#include <stdlib.h>

/* Two processes of one shard each: one listens and echoes, the other connects and sends. */
struct side {
    struct sim_process *process;
    struct shard shard;
    struct sock *listener, *sock;
    size_t received, sent, to_send;
    uint64_t sum;
    bool stands, ended;
    enum err failure;
    bool is_echo;
};

static struct world *world;
static struct sim_host *hosts[2];
static struct side sides[2];

static struct instant op_now(void *of)
{
    return ((struct sim_process *)of)->world->now;
}

static const struct env_ops env_ops = {.now = op_now, .net = &sim_net_ops};
static const struct mailbox_handlers no_handlers;

static void send_more(struct side *side)
{
    const struct env *env = side->shard.env;

    while (side->sent < side->to_send) {
        uint8_t bytes[1000];
        size_t len = side->to_send - side->sent, n = 0;
        if (len > sizeof(bytes)) len = sizeof(bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)((side->sent + i) * 7);
        struct iovec part = {bytes, len};
        if (net_write(env, side->sock, &part, 1, false, &n) != ERR_OK || n == 0) return;
        side->sent += n;
    }
}

static void on_ready(void *owner, struct sock *sock, unsigned ready)
{
    struct side *side = owner;
    const struct env *env = side->shard.env;

    if ((ready & NET_FAILED) != 0 || side->ended) {
        if (side->failure == ERR_OK) side->failure = net_failure(env, sock);
        side->ended = true;
        net_destroy(env, &side->sock);
        return;
    }
    if ((ready & NET_WRITABLE) != 0) side->stands = true;
    if ((ready & NET_READABLE) != 0) {
        uint8_t bytes[300];
        size_t n = 0;
        enum err err = net_read(env, sock, bytes, sizeof(bytes), &n);
        if (err != ERR_OK) {
            side->ended = true;
            net_destroy(env, &side->sock);
            return;
        }
        for (size_t i = 0; i < n; i++)
            side->sum += bytes[i] == (uint8_t)((side->received + i) * 7);
        side->received += n;
        if (side->is_echo) side->to_send += n;
    }
    send_more(side);
    net_want(env, sock, NET_READABLE | (side->sent < side->to_send ? NET_WRITABLE : 0));
}

static void on_listener(void *owner, struct sock *listener, unsigned ready)
{
    struct side *side = owner;

    (void)ready;
    struct sock *sock = NULL;
    ck_assert_int_eq(net_accept(side->shard.env, listener, on_ready, side, &sock), ERR_OK);
    if (sock != NULL) {
        ck_assert_ptr_null(side->sock);
        side->sock = sock;
        side->stands = true;
    }
}

static void open_shard(void *arg)
{
    struct side *side = arg;

    ck_assert_int_eq(
        shard_open(&side->shard, &side->process->env, 0, NULL, &no_handlers, side, NULL), ERR_OK);
    sim_shard_start(&side->shard);
}

static void listen_now(void *arg)
{
    struct side *side = arg;
    struct net_address address = {.port = 9000};

    open_shard(side);
    ck_assert_int_eq(net_listen(side->shard.env, side->shard.net, &address,
                                &(struct net_options){-1, -1, 0}, on_listener, side,
                                &side->listener),
                     ERR_OK);
}

static void connect_now(void *arg)
{
    struct side *side = arg;
    struct net_address address = {.host = "b", .port = 9000};

    open_shard(side);
    ck_assert_int_eq(net_connect(side->shard.env, side->shard.net, &address,
                                 &(struct net_options){-1, -1, 0}, on_ready, side, &side->sock),
                     ERR_OK);
}

static void send_now(void *arg)
{
    struct side *side = arg;

    side->to_send += 5000;
    send_more(side);
    net_want(side->shard.env, side->sock, NET_READABLE | NET_WRITABLE);
}

static void begin_side(int i, void (*start)(void *arg))
{
    sides[i] = (struct side){.is_echo = i == 1};
    sides[i].process = process_create(hosts[i], i == 0 ? "client" : "server", &env_ops);
    process_run(sides[i].process, start, &sides[i]);
}

static void run_ms(int64_t ms)
{
    world_run(world, instant_add_ms(world->now, ms));
}

static void begin(uint64_t seed)
{
    world = world_create(seed);
    world_set_option(world, "net.give-up-ms", 20000);
    world_set_option(world, "net.connect-ms", 5000);
    sim_net_create(world);
    hosts[0] = host_create(world, "a");
    hosts[1] = host_create(world, "b");
}

static void begin_connected(uint64_t seed)
{
    begin(seed);
    begin_side(1, listen_now);
    begin_side(0, connect_now);
    run_ms(1000);
    ck_assert(sides[0].stands && sides[1].stands);
}

static void end(void)
{
    while (!list_is_empty(&world->processes))
        process_kill(list_entry(list_first(&world->processes), struct sim_process, node));
    sim_net_destroy(&world->net);
    world_destroy(&world);
}

START_TEST(bytes_come_whole_and_in_order_through_any_window)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        begin_connected(seed);
        process_run(sides[0].process, send_now, &sides[0]);
        run_ms(10000);
        ck_assert_uint_eq(sides[1].received, 5000);
        ck_assert_uint_eq(sides[1].sum, 5000);
        ck_assert_uint_eq(sides[0].received, 5000);
        ck_assert_uint_eq(sides[0].sum, 5000);
        end();
    }
}
END_TEST

START_TEST(who_is_killed_ends_its_connections_and_refuses_new_ones)
{
    begin_connected(1);
    process_kill(sides[1].process);
    run_ms(1000);
    ck_assert(sides[0].ended);
    process_kill(sides[0].process);
    begin_side(0, connect_now);
    run_ms(1000);
    ck_assert(sides[0].ended && !sides[0].stands);
    ck_assert_int_eq(sides[0].failure, ERR_REFUSED);
    end();
}
END_TEST

START_TEST(a_host_without_power_is_silent_until_it_is_up_again)
{
    begin_connected(2);
    host_power_loss(hosts[1]);
    process_run(sides[0].process, send_now, &sides[0]);
    run_ms(10000);
    ck_assert(!sides[0].ended);
    host_power_on(hosts[1]);
    begin_side(1, listen_now);
    run_ms(10000);
    ck_assert(sides[0].ended); /* the new kernel knows of no such connection */
    ck_assert_uint_eq(sides[1].received, 0);
    end();
}
END_TEST

START_TEST(a_cut_link_holds_bytes_until_it_heals_or_the_sender_gives_up)
{
    begin_connected(3);
    sim_net_cut(world->net, hosts[0], hosts[1]);
    process_run(sides[0].process, send_now, &sides[0]);
    run_ms(10000);
    ck_assert_uint_eq(sides[1].received, 0);
    sim_net_heal(world->net, hosts[0], hosts[1]);
    run_ms(10000);
    ck_assert_uint_eq(sides[1].received, 5000);
    ck_assert_uint_eq(sides[0].received, 5000);
    sim_net_cut(world->net, hosts[0], hosts[1]);
    process_run(sides[0].process, send_now, &sides[0]);
    run_ms(30000);
    ck_assert(sides[0].ended && !sides[1].ended); /* half open: the other one has not heard of it */
    ck_assert_int_eq(sides[0].failure, ERR_TIMED_OUT);
    end();
}
END_TEST

START_TEST(a_connect_over_a_cut_link_takes_its_time_and_may_fail)
{
    begin(4);
    begin_side(1, listen_now);
    sim_net_cut(world->net, hosts[1], hosts[0]); /* the answer is lost */
    begin_side(0, connect_now);
    run_ms(4000);
    ck_assert(!sides[0].stands && !sides[0].ended);
    sim_net_heal(world->net, hosts[1], hosts[0]);
    run_ms(4000);
    ck_assert(sides[0].stands);
    process_kill(sides[0].process);
    sim_net_cut(world->net, hosts[1], hosts[0]);
    begin_side(0, connect_now);
    run_ms(30000);
    ck_assert_int_eq(sides[0].failure, ERR_TIMED_OUT);
    end();
}
END_TEST

START_TEST(a_paused_process_accepts_and_answers_later)
{
    begin(5);
    begin_side(1, listen_now);
    run_ms(100);
    process_pause(sides[1].process);
    begin_side(0, connect_now);
    run_ms(1000);
    ck_assert(sides[0].stands);
    process_run(sides[0].process, send_now, &sides[0]);
    run_ms(5000);
    ck_assert_uint_eq(sides[0].received, 0);
    process_resume(sides[1].process);
    run_ms(5000);
    ck_assert_uint_eq(sides[0].received, 5000);
    end();
}
END_TEST

/* A stream is cut at any byte: the receiver has a prefix, both hear of the end. */
START_TEST(a_cut_stream_keeps_its_beginning)
{
    int cut = 0, partly = 0;

    for (uint64_t seed = 0; seed < 60; seed++) {
        begin(seed);
        struct sim_fault *fault = world_fault(world, "net.cut", 1);
        begin_side(1, listen_now);
        begin_side(0, connect_now);
        run_ms(1000);
        if (fault->per_million == 0) {
            end();
            continue;
        }
        fault->per_million = 300000;
        world->phase = PHASE_SAFETY;
        process_run(sides[0].process, send_now, &sides[0]);
        run_ms(90000);
        ck_assert_uint_eq(sides[1].sum, sides[1].received);
        if (fault->struck > 0) {
            cut++;
            ck_assert(sides[0].ended && sides[1].ended);
            if (sides[1].received > 0 && sides[1].received < 5000) partly++;
        }
        end();
    }
    ck_assert_int_gt(cut, 5);
    ck_assert_int_gt(partly, 3);
}
END_TEST

START_TEST(the_same_seed_is_the_same_run)
{
    uint64_t hashes[2];

    for (int i = 0; i < 2; i++) {
        begin_connected(9);
        world->phase = PHASE_SAFETY;
        process_run(sides[0].process, send_now, &sides[0]);
        run_ms(20000);
        hashes[i] = world->trace.hash;
        end();
    }
    ck_assert_uint_eq(hashes[0], hashes[1]);
}
END_TEST

UNIT(bytes_come_whole_and_in_order_through_any_window,
     who_is_killed_ends_its_connections_and_refuses_new_ones,
     a_host_without_power_is_silent_until_it_is_up_again,
     a_cut_link_holds_bytes_until_it_heals_or_the_sender_gives_up,
     a_connect_over_a_cut_link_takes_its_time_and_may_fail,
     a_paused_process_accepts_and_answers_later, a_cut_stream_keeps_its_beginning,
     the_same_seed_is_the_same_run)
