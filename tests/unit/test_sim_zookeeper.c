#include "tests/unit/sim_client.h"
#include "tests/cluster/zk_claims.h"

/* ---- what only a model can show */

static void ask_get(struct client *client, struct asked *asked, const char *path, bool watch)
{
    struct zk_op op = {.kind = ZK_GET, .path = slice_text(path), .watch = watch};

    ask_start(client, asked, &op, 1);
}

static void freeze_all(bool is_frozen)
{
    for (int i = 0; i < ensemble_servers(ensemble()); i++)
        ensemble_freeze(ensemble(), i, is_frozen);
}

START_TEST(a_lost_write_was_done_or_not)
{
    struct client client;

    client_open(&client);
    for (int is_done = 0; is_done <= 1; is_done++) {
        const char *path = is_done ? "/done" : "/not";
        struct asked asked;
        struct zk_op op = {.kind = ZK_CREATE, .path = slice_text(path)};
        sim_zookeeper_lose_next(zookeeper, client.process, is_done);
        ask_start(&client, &asked, &op, 1);
        asked.call.retry_loss = false;
        UNTIL(&client, asked.is_done);
        ck_assert_int_eq(asked.err, ERR_ZK_LOSS);
        UNTIL(&client, zk_is_connected(client.zk));
        ck_assert_int_eq(get(&client, path).err, is_done ? ERR_OK : ERR_NOT_FOUND);

        /* Sent again it is one's own success. */
        op.path = is_done ? SLICE("/done2") : SLICE("/not2");
        sim_zookeeper_lose_next(zookeeper, client.process, is_done);
        ask_start(&client, &asked, &op, 1);
        UNTIL(&client, asked.is_done);
        ck_assert_int_eq(asked.err, is_done ? ERR_EXISTS : ERR_OK);
        ck_assert(asked.call.resent);
    }
    ck_assert_int_eq(client.expired, 0);
}
END_TEST

START_TEST(reads_lag_until_a_sync)
{
    struct client client;
    struct asked read, sync;
    struct zk_op op = {.kind = ZK_SYNC, .path = SLICE("/a")};

    client_open(&client);
    ck_assert_int_eq(create(&client, "/a", SLICE("1")), ERR_OK);
    freeze_all(true);
    ck_assert_int_eq(operate(ZK_SET, "/a", "2"), ERR_OK);
    read = get(&client, "/a");
    ck_assert_str_eq(read.text, "1");
    ask_start(&client, &sync, &op, 1);
    ask_get(&client, &read, "/a", false);
    run_ms(500);
    ck_assert(!sync.is_done && !read.is_done); /* behind it in the same session */
    freeze_all(false);
    UNTIL(&client, read.is_done);
    ck_assert(sync.is_done && sync.err == ERR_OK);
    ck_assert_str_eq(read.text, "2");
}
END_TEST

/* By a server that has not heard of it. */
START_TEST(what_is_read_after_a_lost_write_shows_it)
{
    struct client client;
    struct asked write, read;
    struct zk_op op = {.kind = ZK_CREATE, .path = SLICE("/done")};

    client_open(&client);
    freeze_all(true);
    sim_zookeeper_lose_next(zookeeper, client.process, true);
    ask_start(&client, &write, &op, 1);
    write.call.retry_loss = false;
    UNTIL(&client, write.is_done);
    ck_assert_int_eq(write.err, ERR_ZK_LOSS);
    UNTIL(&client, zk_is_connected(client.zk));
    ask_get(&client, &read, "/done", false);
    run_ms(500);
    freeze_all(false);
    UNTIL(&client, read.is_done);
    ck_assert_int_eq(read.err, ERR_OK);
    ck_assert_int_eq(client.expired, 0);
}
END_TEST

START_TEST(ones_own_writes_are_seen_and_read_in_order)
{
    struct client client;
    struct asked calls[30];

    client_open(&client);
    ck_assert_int_eq(create(&client, "/n", SLICE("")), ERR_OK);
    for (int i = 0; i < 30; i += 2) {
        struct zk_op op = {.kind = ZK_SET, .path = SLICE("/n"), .version = i / 2};
        ask_start(&client, &calls[i], &op, 1);
        ask_get(&client, &calls[i + 1], "/n", false);
    }
    UNTIL(&client, calls[29].is_done);
    for (int i = 0; i < 30; i += 2) {
        ck_assert_int_eq(calls[i].err, ERR_OK);
        ck_assert_int_eq(calls[i + 1].results[0].stat.version, i / 2 + 1);
    }
}
END_TEST

START_TEST(a_session_never_goes_back_behind_what_it_has_seen)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct client client;
        world_begin(seed, 3);
        client_open(&client);
        ck_assert_int_eq(create(&client, "/a", SLICE("1")), ERR_OK);
        run_ms(200); /* all have it */
        int lagging = (int)(seed % 3);
        ensemble_freeze(ensemble(), lagging, true);
        ck_assert_int_eq(operate(ZK_SET, "/a", "2"), ERR_OK);
        run_ms(200);
        struct asked asked = get(&client, "/a");
        bool is_there = strcmp(asked.text, "1") == 0; /* its own server lags */
        for (int i = 0; i < 5; i++) {
            ensemble_reset_host(ensemble(), client.host);
            run_ms(1000);
            asked = get(&client, "/a");
            ck_assert(strcmp(asked.text, "2") == 0 || is_there);
            if (strcmp(asked.text, "2") == 0) is_there = false;
        }
        ck_assert_int_eq(client.expired, 0);
    }
}
END_TEST

START_TEST(watches_tell_after_a_reconnect_what_happened_meanwhile)
{
    struct client client;
    struct asked asked;

    world_begin(3, 1);
    client_open_with(&client,
                     (struct zk_options){.connect = connect_string, .session_timeout_ms = 30000});
    UNTIL(&client, client.connected == 1);
    ck_assert_int_eq(create(&client, "/set", SLICE("1")), ERR_OK);
    ck_assert_int_eq(create(&client, "/gone", SLICE("1")), ERR_OK);
    ck_assert_int_eq(create(&client, "/same", SLICE("1")), ERR_OK);
    ck_assert_int_eq(create(&client, "/parent", SLICE("1")), ERR_OK);
    ask_get(&client, &asked, "/set", true);
    UNTIL(&client, asked.is_done);
    asked = ask(&client, (struct zk_op){.kind = ZK_EXISTS, .path = SLICE("/gone"), .watch = true});
    asked = ask(&client, (struct zk_op){.kind = ZK_EXISTS, .path = SLICE("/new"), .watch = true});
    asked = ask(&client, (struct zk_op){.kind = ZK_GET, .path = SLICE("/same"), .watch = true});
    asked =
        ask(&client, (struct zk_op){.kind = ZK_CHILDREN, .path = SLICE("/parent"), .watch = true});
    ensemble_cut_host(ensemble(), client.host, true);
    ck_assert_int_eq(operate(ZK_SET, "/set", "2"), ERR_OK);
    ck_assert_int_eq(operate(ZK_DELETE, "/gone", NULL), ERR_OK);
    ck_assert_int_eq(operate(ZK_CREATE, "/new", "2"), ERR_OK);
    ck_assert_int_eq(operate(ZK_CREATE, "/parent/child", "2"), ERR_OK);
    run_ms(3000);
    ck_assert_int_eq(client.nodes, 0);
    ensemble_reset_host(ensemble(), client.host);
    ensemble_cut_host(ensemble(), client.host, false);
    UNTIL(&client, client.connected == 2);
    ask_get(&client, &asked, "/set", false);
    UNTIL(&client, asked.is_done);
    ck_assert_int_eq(asked.nodes_before, 4);
    ck_assert_str_eq(asked.text, "2");
    ck_assert_int_eq(operate(ZK_SET, "/set", "3"), ERR_OK);  /* one-shot */
    ck_assert_int_eq(operate(ZK_SET, "/same", "3"), ERR_OK); /* still armed */
    UNTIL(&client, client.nodes == 5);
    run_ms(1000);
    ck_assert(client.nodes == 5 && strcmp(client.path, "/same") == 0);
}
END_TEST

START_TEST(expiry_is_heard_of_late)
{
    struct client client, other;
    struct zk_op mine = {.kind = ZK_CREATE, .path = SLICE("/mine"), .is_ephemeral = true};

    client_open(&client);
    client_open(&other);
    int64_t session = zk_session_id(client.zk);
    ck_assert_int_eq(ask(&client, mine).err, ERR_OK);
    ensemble_cut_host(ensemble(), client.host, true);
    UNTIL(&client, !ensemble_has_session(ensemble(), session));
    ck_assert(tree_find(ensemble_tree(ensemble()), SLICE("/mine")) == NULL);
    run_ms(20000);
    ck_assert(client.expired == 0 && client.disconnected == 1);
    ensemble_cut_host(ensemble(), client.host, false);
    UNTIL(&client, client.new_session == 1);
    ck_assert_int_eq(client.expired, 1);
    ck_assert_int_eq(other.expired, 0);
}
END_TEST

START_TEST(a_paused_process_wakes_up_without_its_session)
{
    struct client client;
    struct asked asked;
    struct zk_op op = {.kind = ZK_CREATE, .path = SLICE("/x")};
    struct zk_op mine = {.kind = ZK_CREATE, .path = SLICE("/mine"), .is_ephemeral = true};

    client_open(&client);
    ck_assert_int_eq(ask(&client, mine).err, ERR_OK);
    process_pause(client.process);
    run_ms(30000);
    ck_assert(tree_find(ensemble_tree(ensemble()), SLICE("/mine")) == NULL);
    ck_assert(zk_is_connected(client.zk)); /* as far as it knows */
    ask_start(&client, &asked, &op, 1);
    process_resume(client.process);
    UNTIL(&client, asked.is_done);
    ck_assert_int_eq(asked.err, ERR_ZK_EXPIRED);
    ck_assert(tree_find(ensemble_tree(ensemble()), SLICE("/x")) == NULL);
    UNTIL(&client, client.new_session == 1);
}
END_TEST

START_TEST(a_killed_process_leaves_its_session_for_its_time)
{
    struct client client;
    struct zk_op mine = {.kind = ZK_CREATE, .path = SLICE("/mine"), .is_ephemeral = true};

    client_open(&client);
    int64_t session = zk_session_id(client.zk);
    ck_assert_int_eq(ask(&client, mine).err, ERR_OK);
    process_kill(client.process);
    run_ms(5900);
    ck_assert(tree_find(ensemble_tree(ensemble()), SLICE("/mine")) != NULL);
    run_ms(600);
    ck_assert(tree_find(ensemble_tree(ensemble()), SLICE("/mine")) == NULL);
    ck_assert(!ensemble_has_session(ensemble(), session));

    /* A close ends it at once. */
    client_open(&client);
    ck_assert_int_eq(ask(&client, mine).err, ERR_OK);
    client_close(&client);
    run_ms(200);
    ck_assert(tree_find(ensemble_tree(ensemble()), SLICE("/mine")) == NULL);
}
END_TEST

START_TEST(what_comes_late_over_an_older_connection_is_refused)
{
    int resent = 0;

    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct client client;
        struct asked asked;
        struct zk_op op = {.kind = ZK_CREATE, .path = SLICE("/n_"), .is_sequential = true};
        world_begin(seed, 3);
        client_open_with(
            &client, (struct zk_options){.connect = connect_string, .session_timeout_ms = 30000});
        UNTIL(&client, client.connected == 1);
        ensemble_stall_host(ensemble(), client.host, ZK_END_SERVER, 25000);
        ask_start(&client, &asked, &op, 1); /* under way until it is given up */
        UNTIL(&client, asked.is_done);
        ck_assert_int_eq(client.connected, 2);
        run_ms(10000);
        resent += asked.call.resent;
        ck_assert_int_eq(asked.err, ERR_OK);
        int made = 0;
        map_each (entry, &ensemble_tree(ensemble())->nodes)
            made += slice_starts_with(map_key(entry), SLICE("/n_"));
        ck_assert_int_eq(made, 1);
    }
    ck_assert_int_eq(resent, 30);
}
END_TEST

START_TEST(without_a_leader_no_session_ends_and_nothing_is_written)
{
    struct client client;
    struct asked asked;
    struct zk_op op = {.kind = ZK_CREATE, .path = SLICE("/x")};
    struct zk_op mine = {.kind = ZK_CREATE, .path = SLICE("/mine"), .is_ephemeral = true};

    world_begin(5, 3);
    client_open(&client);
    int64_t session = zk_session_id(client.zk);
    ck_assert_int_eq(ask(&client, mine).err, ERR_OK);
    ensemble_stop(ensemble(), 0);
    ensemble_stop(ensemble(), 1);
    ck_assert_int_eq(operate(ZK_CREATE, "/y", ""), ERR_REFUSED);
    ask_start(&client, &asked, &op, 1);
    run_ms(100000);
    ck_assert(!asked.is_done && ensemble_has_session(ensemble(), session));
    ensemble_start(ensemble(), 0);
    UNTIL(&client, asked.is_done);
    ck_assert_int_eq(asked.err, ERR_OK);
    ck_assert_int_eq(zk_session_id(client.zk), session);
    ck_assert_int_eq(get(&client, "/mine").err, ERR_OK);
}
END_TEST

START_TEST(too_large_a_request_cuts_the_connection)
{
    struct client client;
    size_t size = 1200 * 1024;
    uint8_t *bytes = calloc(1, size);

    client_open(&client);
    ck_assert_int_eq(create(&client, "/big", slice_of(bytes, size)), ERR_TOO_LARGE);
    ck_assert_int_ge(client.disconnected, 3);
    ck_assert_int_eq(create(&client, "/small", slice_of(bytes, 1000)), ERR_OK);
    free(bytes);
}
END_TEST

/* ---- everything at once: several clients, all faults, each promise looked at */

enum { CLIENTS = 3, COUNTERS = 2 };

struct hostile {
    struct client client;
    struct zk_call call;
    bool is_asking, is_write;
    int counter;
    int32_t seen[COUNTERS];    /* versions that it has been told of */
    int32_t watched[COUNTERS]; /* a watch is armed at this version; −1: none */
    int32_t basis[COUNTERS];   /* version read, for the next compare-and-set; −1 */
    int sessions;
    int done, maybe;
};

static const char *const counters[COUNTERS] = {"/count0", "/count1"};

static void hostile_heard(struct client *client)
{
    struct hostile *one = list_entry(client, struct hostile, client);
    bool is_new =
        client->expired != one->sessions; /* its watches are gone, its view is another's */

    for (int i = 0; i < COUNTERS; i++) {
        if (is_new || strcmp(client->path, counters[i]) == 0) one->watched[i] = -1;
        if (is_new) one->seen[i] = 0;
    }
    one->sessions = client->expired;
    client->path[0] = '\0';
}

static void hostile_told(struct zk_call *call, enum err err, const struct zk_result *results,
                         int count)
{
    struct hostile *one = list_entry(call, struct hostile, call);
    int c = one->counter;

    one->is_asking = false;
    if (one->is_write) {
        bool is_maybe = err == ERR_ZK_LOSS || err == ERR_ZK_EXPIRED;
        ck_assert(err == ERR_OK || err == ERR_ZK_VERSION || is_maybe);
        one->done += err == ERR_OK;
        one->maybe += is_maybe;
        one->basis[c] = -1;
    }
    if (err != ERR_OK) return;
    ck_assert_int_eq(count, 1);
    int32_t version = results[0].stat.version;
    ck_assert_int_ge(version, one->seen[c]); /* never back, whatever server */
    one->seen[c] = version;
    /* The event of a change has come before an answer that shows it: our own change too. */
    ck_assert(one->watched[c] == -1 || (!one->is_write && version == one->watched[c]));
    if (one->is_write) return;
    one->watched[c] = one->basis[c] = version; /* armed by this read */
}

static void ask_next(struct hostile *one)
{
    int c = one->counter = (int)(world_draw(world, "test") % COUNTERS);
    struct zk_op op = {.kind = ZK_GET, .path = slice_text(counters[c]), .watch = true};

    one->is_write = one->basis[c] >= 0 && world_draw(world, "test") % 2 == 0;
    if (one->is_write)
        op = (struct zk_op){
            .kind = ZK_SET, .path = op.path, .data = SLICE("x"), .version = one->basis[c]};
    one->is_asking = true;
    one->call = (struct zk_call){.done = hostile_told};
    zk_submit(one->client.zk, &one->call, &op, 1);
}

static uint64_t hostile_run(uint64_t seed, int *done, int *struck)
{
    struct hostile all[CLIENTS] = {0};
    int maybe = 0;
    int32_t versions = 0;

    world_begin(seed, seed % 4 == 0 ? 1 : 3);
    world->phase = PHASE_SAFETY;
    for (int i = 0; i < COUNTERS; i++)
        ck_assert_int_eq(operate(ZK_CREATE, counters[i], ""), ERR_OK);
    for (int i = 0; i < CLIENTS; i++) {
        client_open_with(&all[i].client, (struct zk_options){.connect = connect_string});
        all[i].client.heard = hostile_heard;
        for (int c = 0; c < COUNTERS; c++)
            all[i].watched[c] = all[i].basis[c] = -1;
    }
    struct instant ends = instant_add_ms(world->now, 40000);
    for (int steps = 0; world_step(world, ends); steps++) {
        for (int i = 0; i < CLIENTS; i++)
            if (!all[i].is_asking && world_draw(world, "test") % 20 == 0) ask_next(&all[i]);
        if (steps % 50 == 0) sim_zookeeper_audit(zookeeper);
        if (world_draw(world, "test") % 20000 == 0) process_pause(all[0].client.process);
        if (world_draw(world, "test") % 5000 == 0) process_resume(all[0].client.process);
    }
    process_resume(all[0].client.process);
    world->phase = PHASE_LIVENESS;
    ensemble_heal(ensemble());
    run_ms(60000);
    for (int i = 0; i < CLIENTS; i++) {
        ck_assert_msg(!all[i].is_asking && zk_is_connected(all[i].client.zk), "seed %d client %d",
                      (int)seed, i);
        *done += all[i].done;
        versions -= all[i].done;
        maybe += all[i].maybe;
    }
    for (int c = 0; c < COUNTERS; c++)
        versions += tree_find(ensemble_tree(ensemble()), slice_text(counters[c]))->stat.version;
    ck_assert_msg(versions >= 0 && versions <= maybe, "seed %d", (int)seed);
    *struck += maybe;
    return world->trace.hash;
}

START_TEST(hostile_sequences_keep_every_promise)
{
    int done = 0, maybe = 0;

    for (uint64_t seed = 1; seed <= 60; seed++)
        hostile_run(seed, &done, &maybe);
    ck_assert_int_gt(done, 1000);
    ck_assert_int_gt(maybe, 20);
}
END_TEST

START_TEST(the_same_seed_is_the_same_run)
{
    int ignored = 0;

    for (uint64_t seed = 100; seed < 105; seed++)
        ck_assert_uint_eq(hostile_run(seed, &ignored, &ignored),
                          hostile_run(seed, &ignored, &ignored));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        ZK_CLAIMS,
        a_lost_write_was_done_or_not,
        reads_lag_until_a_sync,
        what_is_read_after_a_lost_write_shows_it,
        ones_own_writes_are_seen_and_read_in_order,
        a_session_never_goes_back_behind_what_it_has_seen,
        watches_tell_after_a_reconnect_what_happened_meanwhile,
        expiry_is_heard_of_late,
        a_paused_process_wakes_up_without_its_session,
        a_killed_process_leaves_its_session_for_its_time,
        what_comes_late_over_an_older_connection_is_refused,
        without_a_leader_no_session_ends_and_nothing_is_written,
        too_large_a_request_cuts_the_connection,
        hostile_sequences_keep_every_promise,
        the_same_seed_is_the_same_run,
    };
    Suite *suite = suite_create(__FILE__);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        TCase *one = tcase_create(tests[i]->name);
        tcase_set_timeout(one, 120);
        tcase_add_checked_fixture(one, begin, end);
        tcase_add_test(one, tests[i]);
        suite_add_tcase(suite, one);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
