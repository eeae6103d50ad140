/* What the ZooKeeper room relies on, as tests: against real servers (test_zk_real.c), and against
 * the simulator's model of them (unit/test_sim_zookeeper.c).
 *
 * Who includes this has made before: `connect_string`; servers("stop" | "start" | "kill" | "pause"
 * | "resume", "" or a server's number) and servers("down", ""), servers_up("3"); struct client with
 * `shard`, `zk` and the counts of events; client_open, client_open_with, client_close,
 * client_sleeps(client, whether); UNTIL(client, condition); WAIT_MS. */
#pragma once
#include "tests/cluster/zk_asks.h"
#include "zk/docs.h"

#define ZK_CLAIMS                                                                                  \
    operations_answer_with_kafkas_codes_below_a_new_chroot, a_multi_is_done_whole_or_not_at_all,   \
        an_event_comes_before_any_answer_that_shows_the_change,                                    \
        a_server_that_comes_back_finds_session_watches_and_calls,                                  \
        a_server_killed_under_load_loses_no_call,                                                  \
        a_process_that_slept_too_long_gets_a_new_session,                                          \
        registration_waits_for_its_predecessor_and_yields_to_a_stranger,                           \
        one_controller_is_elected_and_epochs_grow, ids_are_given_out_once,                         \
        trees_are_made_read_and_taken_down, set_acl_keeps_secrets_from_others,                     \
        bad_connect_strings_are_refused, another_server_of_the_ensemble_resumes_the_session,       \
        closing_answers_what_is_under_way

/* ---- tests */

START_TEST(operations_answer_with_kafkas_codes_below_a_new_chroot)
{
    struct client client;
    char connect[300];

    snprintf(connect, sizeof(connect), "%s/ottla/deep", connect_string);
    client_open_with(&client, (struct zk_options){.connect = connect});
    ck_assert_int_eq(create(&client, "/a", SLICE_NULL), ERR_OK); /* before it is connected */
    ck_assert_int_eq(create(&client, "/a", SLICE_NULL), ERR_EXISTS);
    ck_assert_int_eq(create(&client, "/x/y", SLICE_NULL), ERR_NOT_FOUND);
    ck_assert_int_eq(create(&client, "/a/empty", SLICE("")), ERR_OK);
    ck_assert_int_eq(create(&client, "/a/b", SLICE("data")), ERR_OK);

    struct asked asked = get(&client, "/a");
    ck_assert(asked.err == ERR_OK && slice_is_null(asked.results[0].data));
    ck_assert(asked.results[0].stat.child_count == 2 && asked.results[0].stat.version == 0);
    asked = get(&client, "/a/empty");
    ck_assert(!slice_is_null(asked.results[0].data) && asked.results[0].data.len == 0);
    asked = get(&client, "/a/b");
    ck_assert_str_eq(asked.text, "data");
    ck_assert_int_eq(get(&client, "/nothing").err, ERR_NOT_FOUND);

    asked = ask(&client, (struct zk_op){.kind = ZK_CHILDREN, .path = SLICE("/a")});
    ck_assert_str_eq(asked.children, "b empty ");
    asked = ask(&client, (struct zk_op){.kind = ZK_CHILDREN, .path = SLICE("/")});
    ck_assert_str_eq(asked.children, "a "); /* the chroot itself is the root */
    asked = ask(&client, (struct zk_op){.kind = ZK_EXISTS, .path = SLICE("/a/b")});
    ck_assert(asked.err == ERR_OK && asked.results[0].stat.data_len == 4);

    asked = ask(&client,
                (struct zk_op){.kind = ZK_CREATE, .path = SLICE("/a/n_"), .is_sequential = true});
    ck_assert_str_eq(asked.text, "/a/n_0000000002");
    ck_assert_int_gt(asked.results[0].stat.czxid, 0);

    asked = ask(
        &client,
        (struct zk_op){.kind = ZK_SET, .path = SLICE("/a/b"), .data = SLICE("2"), .version = 0});
    ck_assert(asked.err == ERR_OK && asked.results[0].stat.version == 1);
    asked = ask(&client, (struct zk_op){.kind = ZK_SET, .path = SLICE("/a/b"), .version = 0});
    ck_assert_int_eq(asked.err, ERR_ZK_VERSION);
    asked = ask(&client,
                (struct zk_op){.kind = ZK_DELETE, .path = SLICE("/a"), .version = ZK_ANY_VERSION});
    ck_assert_int_eq(asked.err, ERR_ZK_CHILDREN);
    asked = ask(&client, (struct zk_op){.kind = ZK_DELETE, .path = SLICE("/a/b"), .version = 1});
    ck_assert_int_eq(asked.err, ERR_OK);
    ck_assert_int_eq(ask(&client, (struct zk_op){.kind = ZK_SYNC, .path = SLICE("/a")}).err,
                     ERR_OK);
    ck_assert_int_eq(get(&client, "no slash").err, ERR_INVALID);
    ck_assert_int_eq(get(&client, "/a//b").err, ERR_INVALID);
    client_close(&client);

    /* Another client, without the chroot, sees where it all went. */
    client_open(&client);
    ck_assert_int_eq(get(&client, "/ottla/deep/a/empty").err, ERR_OK);
    client_close(&client);
}
END_TEST

START_TEST(a_multi_is_done_whole_or_not_at_all)
{
    struct client client;

    client_open(&client);
    struct zk_op good[] = {
        {.kind = ZK_CREATE, .path = SLICE("/m"), .is_ephemeral = true},
        {.kind = ZK_SET, .path = SLICE("/m"), .data = SLICE("x"), .version = 0},
        {.kind = ZK_CHECK, .path = SLICE("/m"), .version = 1},
    };
    struct asked asked = ask_many(&client, good, 3);
    ck_assert(asked.err == ERR_OK && asked.count == 3);
    ck_assert_str_eq(asked.text, "/m");
    ck_assert_int_eq(asked.results[1].stat.version, 1);
    ck_assert_int_eq(asked.results[1].stat.czxid, asked.results[1].stat.mzxid);
    ck_assert_int_eq(asked.results[1].stat.ephemeral_owner, zk_session_id(client.zk));

    struct zk_op bad[] = {
        {.kind = ZK_CREATE, .path = SLICE("/n")},
        {.kind = ZK_CHECK, .path = SLICE("/m"), .version = 7},
        {.kind = ZK_DELETE, .path = SLICE("/m"), .version = ZK_ANY_VERSION},
    };
    asked = ask_many(&client, bad, 3);
    ck_assert(asked.err == ERR_ZK_VERSION && asked.count == 3);
    ck_assert_int_eq(asked.results[0].err, ERR_OK);
    ck_assert_int_eq(asked.results[1].err, ERR_ZK_VERSION);
    ck_assert_int_eq(asked.results[2].err, ERR_ZK_SKIPPED);
    ck_assert_int_eq(get(&client, "/n").err, ERR_NOT_FOUND);
    ck_assert_int_eq(get(&client, "/m").err, ERR_OK);

    /* The fence of a controller. */
    ck_assert_int_eq(recipe_fenced_err(asked.err, asked.results, asked.count), ERR_ZK_VERSION);
    asked = ask_many(&client, bad + 1, 2);
    ck_assert_int_eq(recipe_fenced_err(asked.err, asked.results, asked.count), ERR_NOT_CONTROLLER);
    client_close(&client);
}
END_TEST

START_TEST(an_event_comes_before_any_answer_that_shows_the_change)
{
    struct client client, other;
    struct asked set, read;

    client_open(&client);
    client_open(&other);
    struct asked asked =
        ask(&client, (struct zk_op){.kind = ZK_EXISTS, .path = SLICE("/w"), .watch = true});
    ck_assert_int_eq(asked.err, ERR_NOT_FOUND); /* armed all the same */
    ck_assert_int_eq(create(&other, "/w", SLICE("1")), ERR_OK);
    UNTIL(&client, client.nodes == 1);
    ck_assert(client.last.type == ZK_NODE_CREATED && strcmp(client.path, "/w") == 0);

    ask(&client, (struct zk_op){.kind = ZK_GET, .path = SLICE("/w"), .watch = true});
    struct zk_op write = {.kind = ZK_SET, .path = SLICE("/w"), .version = ZK_ANY_VERSION};
    struct zk_op look = {.kind = ZK_GET, .path = SLICE("/w")};
    ask_start(&client, &set, &write, 1);
    ask_start(&client, &read, &look, 1);
    UNTIL(&client, read.is_done);
    ck_assert(set.nodes_before == 2 && read.nodes_before == 2 && set.is_done);
    ck_assert_int_eq(client.last.type, ZK_NODE_CHANGED);

    ask(&client, (struct zk_op){.kind = ZK_CHILDREN, .path = SLICE("/w"), .watch = true});
    ck_assert_int_eq(create(&other, "/w/child", SLICE_NULL), ERR_OK);
    UNTIL(&client, client.nodes == 3);
    ck_assert_int_eq(client.last.type, ZK_NODE_CHILDREN);

    ask(&client, (struct zk_op){.kind = ZK_GET, .path = SLICE("/w/child"), .watch = true});
    ask(&other,
        (struct zk_op){.kind = ZK_DELETE, .path = SLICE("/w/child"), .version = ZK_ANY_VERSION});
    UNTIL(&client, client.nodes == 4);
    ck_assert(client.last.type == ZK_NODE_DELETED && strcmp(client.path, "/w/child") == 0);
    client_close(&other);
    client_close(&client);
}
END_TEST

START_TEST(a_server_that_comes_back_finds_session_watches_and_calls)
{
    struct client client;
    struct asked waiting[30];

    client_open_with(&client,
                     (struct zk_options){.connect = connect_string, .session_timeout_ms = 20000});
    UNTIL(&client, client.connected == 1);
    int64_t session = zk_session_id(client.zk);
    ck_assert_int_eq(
        ask(&client, (struct zk_op){.kind = ZK_CREATE, .path = SLICE("/e"), .is_ephemeral = true})
            .err,
        ERR_OK);
    ask(&client, (struct zk_op){.kind = ZK_EXISTS, .path = SLICE("/later"), .watch = true});
    ck_assert_int_eq(servers("stop", ""), 0);
    UNTIL(&client, client.disconnected == 1);
    ck_assert(!zk_is_connected(client.zk));
    for (int i = 0; i < 30; i++) {
        char path[20];
        snprintf(path, sizeof(path), "/c%d", i);
        struct zk_op op = {.kind = ZK_CREATE, .path = slice_text(path)};
        ask_start(&client, &waiting[i], &op, 1);
    }
    ck_assert_int_eq(servers("start", ""), 0);
    UNTIL(&client, client.connected == 2);
    ck_assert_int_eq(zk_session_id(client.zk), session);
    UNTIL(&client, waiting[29].is_done);
    for (int i = 0; i < 30; i++)
        ck_assert(waiting[i].is_done && waiting[i].err == ERR_OK); /* in order: so all are done */
    ck_assert_int_eq(get(&client, "/e").results[0].stat.ephemeral_owner, session);
    ck_assert_int_eq(create(&client, "/later", SLICE_NULL), ERR_OK);
    ck_assert_int_eq(client.last.type, ZK_NODE_CREATED); /* the watch survived */
    ck_assert_int_eq(client.expired, 0);
    client_close(&client);
}
END_TEST

START_TEST(a_server_killed_under_load_loses_no_call)
{
    enum { CALLS = 3000 };
    struct client client;
    struct asked *calls = calloc(CALLS, sizeof(*calls));
    int resent = 0;

    client_open_with(&client, (struct zk_options){.connect = connect_string,
                                                  .in_flight_max = 500,
                                                  .session_timeout_ms = 20000});
    UNTIL(&client, client.connected == 1);
    for (int i = 0; i < CALLS; i++) {
        char path[20];
        snprintf(path, sizeof(path), "/k%04d", i);
        struct zk_op op = {.kind = ZK_CREATE, .path = slice_text(path)};
        ask_start(&client, &calls[i], &op, 1);
    }
    for (int round = 1; round <= 3; round++) {
        UNTIL(&client, calls[round * CALLS / 5].is_done);
        ck_assert_int_eq(servers("kill", ""), 0);
        ck_assert_int_eq(servers("start", ""), 0);
        UNTIL(&client, client.connected == 1 + round);
    }
    UNTIL(&client, calls[CALLS - 1].is_done);
    for (int i = 0; i < CALLS; i++) {
        ck_assert(calls[i].is_done);
        /* What was done before its answer was lost is there already, and says that it was resent.
         */
        ck_assert_msg(calls[i].err == ERR_OK ||
                          (calls[i].err == ERR_EXISTS && calls[i].call.resent),
                      "call %d: %s", i, err_name(calls[i].err));
        resent += calls[i].call.resent;
    }
    ck_assert_int_gt(resent, 0);
    struct asked asked = ask(&client, (struct zk_op){.kind = ZK_EXISTS, .path = SLICE("/")});
    ck_assert_int_eq(asked.results[0].stat.child_count, CALLS + 1); /* and /zookeeper */
    ck_assert_int_eq(client.expired, 0);
    client_close(&client);
    free(calls);
}
END_TEST

START_TEST(a_process_that_slept_too_long_gets_a_new_session)
{
    struct client sleeper, other;
    struct asked lost, later;
    struct told told = {0};

    client_open_with(&sleeper,
                     (struct zk_options){.connect = connect_string, .session_timeout_ms = 3000});
    UNTIL(&sleeper, sleeper.connected == 1);
    client_open(&other);
    ck_assert_int_eq(ensure_start_paths(&sleeper), ERR_OK);
    recipe_register(sleeper.zk, SLICE("/brokers/ids/1"), SLICE("{}"), 0, 0, false, told_two, &told);
    UNTIL(&sleeper, told.is_done);
    ck_assert(told.err == ERR_OK && told.b == zk_session_id(sleeper.zk));
    int64_t first_session = told.b, first_epoch = told.a;

    /* Only the other one runs, until the servers have given the sleeper up. */
    client_sleeps(&sleeper, true);
    ask(&other, (struct zk_op){.kind = ZK_EXISTS, .path = SLICE("/brokers/ids/1"), .watch = true});
    UNTIL(&other, other.nodes == 1);
    ck_assert_int_eq(other.last.type, ZK_NODE_DELETED);
    client_sleeps(&sleeper, false);

    struct zk_op op = {.kind = ZK_GET, .path = SLICE("/brokers")};
    ask_start(&sleeper, &lost, &op, 1);
    UNTIL(&sleeper, sleeper.expired == 1);
    ck_assert(lost.is_done && (lost.err == ERR_ZK_EXPIRED || lost.err == ERR_OK));
    ask_start(&sleeper, &later, &op, 1); /* waits for the new session */
    UNTIL(&sleeper, sleeper.new_session == 1 && later.is_done);
    ck_assert_int_eq(later.err, ERR_OK);
    ck_assert_int_ne(zk_session_id(sleeper.zk), first_session);

    told.is_done = false;
    recipe_register(sleeper.zk, SLICE("/brokers/ids/1"), SLICE("{}"), first_session, 0, false,
                    told_two, &told);
    UNTIL(&sleeper, told.is_done);
    ck_assert(told.err == ERR_OK && told.a > first_epoch);
    client_close(&other);
    client_close(&sleeper);
}
END_TEST

START_TEST(registration_waits_for_its_predecessor_and_yields_to_a_stranger)
{
    struct client old, new;
    struct told told = {0};

    client_open(&old);
    client_open(&new);
    ck_assert_int_eq(ensure_start_paths(&old), ERR_OK);
    recipe_register(old.zk, SLICE("/brokers/ids/1"), SLICE("{\"a\":1}"), 0, 0, false, told_two,
                    &told);
    UNTIL(&old, told.is_done);
    ck_assert_int_eq(told.err, ERR_OK);
    struct asked asked = get(&new, "/brokers/ids/1");
    ck_assert_str_eq(asked.text, "{\"a\":1}");
    ck_assert(asked.results[0].stat.version == 1 && asked.results[0].stat.czxid == told.a);

    /* Again in the same session: the node is ours, as after a lost answer. */
    int64_t epoch = told.a;
    told.is_done = false;
    recipe_register(old.zk, SLICE("/brokers/ids/1"), SLICE("{}"), 0, 0, false, told_two, &told);
    UNTIL(&old, told.is_done);
    ck_assert(told.err == ERR_OK && told.a == epoch);

    told.is_done = false;
    recipe_register(new.zk, SLICE("/brokers/ids/1"), SLICE("{}"), 0, 0, false, told_two, &told);
    UNTIL(&new, told.is_done);
    ck_assert_int_eq(told.err, ERR_EXISTS);

    told.is_done = false;
    recipe_register(new.zk, SLICE("/brokers/ids/1"), SLICE("{}"), 0, WAIT_MS, false, told_two,
                    &told);
    ck_assert_int_eq(get(&new, "/brokers/ids/1").err, ERR_OK);
    ck_assert(!told.is_done);
    client_close(&old); /* its node goes with it, at once */
    UNTIL(&new, told.is_done);
    ck_assert(told.err == ERR_OK && told.a > epoch);

    /* One that was cancelled while it waits says nothing. */
    client_open(&old);
    told.is_done = false;
    struct recipe *recipe = recipe_register(old.zk, SLICE("/brokers/ids/1"), SLICE("{}"), 0,
                                            WAIT_MS, false, told_two, &told);
    ck_assert_int_eq(get(&old, "/brokers/ids/1").err, ERR_OK);
    ck_assert_int_eq(get(&old, "/brokers/ids/1").err, ERR_OK);
    recipe_cancel(&recipe);
    ck_assert(recipe == NULL);
    client_close(&old);
    ck_assert(!told.is_done);
    client_close(&new);
}
END_TEST

START_TEST(one_controller_is_elected_and_epochs_grow)
{
    struct client one, two;
    struct told told = {0};
    struct buf json;

    client_open(&one);
    client_open(&two);
    buf_init(&json);
    doc_controller_write(&json, &(struct doc_controller){101, 5, -1});
    recipe_elect(one.zk, 101, buf_slice(&json), told_election, &told);
    UNTIL(&one, told.is_done);
    ck_assert(told.err == ERR_OK && told.election.is_won && told.election.epoch == 1);
    ck_assert_str_eq(get(&one, "/controller_epoch").text, "1");
    struct asked asked = get(&one, "/controller");
    ck_assert_str_eq(asked.text, "{\"version\":2,\"brokerid\":101,\"timestamp\":\"5\","
                                 "\"kraftControllerEpoch\":-1}");
    ck_assert_int_eq(asked.results[0].stat.czxid, told.election.czxid);
    int32_t fence = told.election.epoch_version;

    buf_clear(&json);
    doc_controller_write(&json, &(struct doc_controller){102, 6, -1});
    told.is_done = false;
    recipe_elect(two.zk, 102, buf_slice(&json), told_election, &told);
    UNTIL(&two, told.is_done);
    ck_assert(told.err == ERR_OK && !told.election.is_won && told.election.controller_id == 101);
    ck_assert_int_eq(told.election.controller_owner, zk_session_id(one.zk));

    struct zk_op fenced[] = {recipe_fence(fence), {.kind = ZK_CREATE, .path = SLICE("/f1")}};
    asked = ask_many(&one, fenced, 2);
    ck_assert_int_eq(recipe_fenced_err(asked.err, asked.results, asked.count), ERR_OK);

    client_close(&one);
    UNTIL(&two, two.nodes == 1); /* the loser's watch */
    ck_assert(two.last.type == ZK_NODE_DELETED && strcmp(two.path, "/controller") == 0);
    told.is_done = false;
    recipe_elect(two.zk, 102, buf_slice(&json), told_election, &told);
    UNTIL(&two, told.is_done);
    ck_assert(told.election.is_won && told.election.epoch == 2);
    fenced[1].path = SLICE("/f2");
    asked = ask_many(&two, fenced, 2);
    ck_assert_int_eq(recipe_fenced_err(asked.err, asked.results, asked.count), ERR_NOT_CONTROLLER);
    buf_fini(&json);
    client_close(&two);
}
END_TEST

START_TEST(ids_are_given_out_once)
{
    struct client client;
    struct told told = {0};

    client_open(&client);
    for (int i = 1; i <= 2; i++) { /* the first time it is created */
        told.is_done = false;
        recipe_broker_id(client.zk, 1000, told_id, &told);
        UNTIL(&client, told.is_done);
        ck_assert(told.err == ERR_OK && told.a == 1000 + i);
    }
    for (int i = 0; i < 2; i++) {
        told.is_done = false;
        recipe_cluster_id(client.zk, i == 0 ? SLICE("first") : SLICE("second"), told_text, &told);
        UNTIL(&client, told.is_done);
        ck_assert_int_eq(told.err, ERR_OK);
        ck_assert_str_eq(told.text, "first");
    }
    ck_assert_str_eq(get(&client, "/cluster/id").text, "{\"version\":\"1\",\"id\":\"first\"}");
    for (int i = 0; i < 2; i++) {
        told.is_done = false;
        recipe_producer_ids(client.zk, 3, told_two, &told);
        UNTIL(&client, told.is_done);
        ck_assert(told.err == ERR_OK && told.a == 1000 * i && told.b == 1000 * i + 999);
    }
    client_close(&client);
}
END_TEST

START_TEST(trees_are_made_read_and_taken_down)
{
    struct client client;
    struct told told = {0};

    client_open(&client);
    ck_assert_int_eq(ensure_start_paths(&client), ERR_OK);
    ck_assert_int_eq(ensure_start_paths(&client), ERR_OK);
    for (int i = 0; i < path_ensured_count; i++)
        ck_assert_int_eq(get(&client, (const char *)path_ensured[i].ptr).err, ERR_OK);
    struct asked asked = get(&client, "/latest_producer_id_block");
    ck_assert(slice_is_null(asked.results[0].data));

    recipe_create(client.zk, SLICE("/t/u/v/w"), SLICE("x"), false, told_plain, &told);
    UNTIL(&client, told.is_done);
    ck_assert_int_eq(told.err, ERR_OK);
    told.is_done = false;
    recipe_create(client.zk, SLICE("/t/u/v/w"), SLICE("x"), false, told_plain, &told);
    UNTIL(&client, told.is_done);
    ck_assert_int_eq(told.err, ERR_EXISTS);
    for (int i = 0; i < 40; i++) {
        char path[40];
        snprintf(path, sizeof(path), "/t/u/c%02d", i);
        ck_assert_int_eq(create(&client, path, slice_text(path + 5)), ERR_OK);
    }
    told.is_done = false;
    recipe_read_children(client.zk, SLICE("/t/u"), false, false, told_children, &told);
    UNTIL(&client, told.is_done);
    ck_assert(told.err == ERR_OK && told.a == 41 && told.b == 41);
    ck_assert_int_eq(strncmp(told.text, "c00=c00 c01=c01 ", 16), 0);
    told.is_done = false;
    recipe_read_children(client.zk, SLICE("/none"), false, false, told_children, &told);
    UNTIL(&client, told.is_done);
    ck_assert(told.err == ERR_NOT_FOUND && told.a == 0);

    ck_assert_int_eq(create(&client, "/controller_epoch", SLICE("1")), ERR_OK);
    int32_t fence = 1;
    told.is_done = false;
    recipe_delete(client.zk, SLICE("/t"), &fence, told_plain, &told);
    UNTIL(&client, told.is_done);
    ck_assert_int_eq(told.err, ERR_NOT_CONTROLLER);
    ck_assert_int_eq(get(&client, "/t/u/v/w").err, ERR_OK);
    fence = 0;
    for (int i = 0; i < 2; i++) { /* what is not there is deleted already */
        told.is_done = false;
        recipe_delete(client.zk, SLICE("/t"), &fence, told_plain, &told);
        UNTIL(&client, told.is_done);
        ck_assert_int_eq(told.err, ERR_OK);
        ck_assert_int_eq(get(&client, "/t").err, ERR_NOT_FOUND);
    }
    client_close(&client);
}
END_TEST

START_TEST(set_acl_keeps_secrets_from_others)
{
    struct client owner, stranger;

    client_open_with(
        &owner,
        (struct zk_options){.connect = connect_string, .digest = "kafka:secret", .set_acl = true});
    UNTIL(&owner, owner.connected == 1);
    client_open(&stranger);
    ck_assert_int_eq(ensure_start_paths(&owner), ERR_OK);
    ck_assert_int_eq(create(&owner, "/config/users/alice", SLICE("secret")), ERR_OK);
    struct zk_op together[] = {{.kind = ZK_CREATE, .path = SLICE("/brokers/topics/t")},
                               {.kind = ZK_CREATE, .path = SLICE("/config/users/bob")}};
    ck_assert_int_eq(ask_many(&owner, together, 2).err, ERR_OK);
    ck_assert_int_eq(get(&owner, "/config/users/alice").err, ERR_OK);
    ck_assert_int_eq(get(&stranger, "/config/users/alice").err, ERR_DENIED);
    ck_assert_int_eq(get(&stranger, "/brokers/topics/t").err, ERR_OK); /* world may read */
    ck_assert_int_eq(create(&stranger, "/brokers/topics/x", SLICE_NULL), ERR_DENIED);
    ck_assert_int_eq(create(&stranger, "/consumers/g", SLICE_NULL), ERR_OK);
    client_close(&stranger);
    client_close(&owner);
}
END_TEST

START_TEST(bad_connect_strings_are_refused)
{
    static const char *const bad[] = {"",     ":2181",    "h:0",        "h:70000", "h:x",
                                      "h:1,", "h:1/a//b", "h:1/a/../b", ",h:1"};
    struct client client;

    client_open(&client);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct zk *zk = NULL;
        struct zk_options options = {.connect = bad[i], .session_timeout_ms = 600};
        ck_assert_msg(zk_open(&client.shard, &options, on_event, &client, &zk) == ERR_INVALID, "%s",
                      bad[i]);
    }
    client_close(&client);
}
END_TEST

START_TEST(another_server_of_the_ensemble_resumes_the_session)
{
    struct client client;
    char number[12];

    servers("down", "");
    servers_up("3");
    client_open_with(&client,
                     (struct zk_options){.connect = connect_string, .session_timeout_ms = 20000});
    UNTIL(&client, client.connected == 1);
    int64_t session = zk_session_id(client.zk);
    ck_assert_int_eq(
        ask(&client, (struct zk_op){.kind = ZK_CREATE, .path = SLICE("/e"), .is_ephemeral = true})
            .err,
        ERR_OK);
    for (int i = 1; i <= 3; i++) { /* one of them is ours; a quorum stays */
        snprintf(number, sizeof(number), "%d", i);
        ck_assert_int_eq(servers("kill", number), 0);
        struct asked asked = get(&client, "/e");
        ck_assert_int_eq(asked.err, ERR_OK);
        ck_assert_int_eq(asked.results[0].stat.ephemeral_owner, session);
        ck_assert_int_eq(create(&client,
                                number[0] == '1'   ? "/x1"
                                : number[0] == '2' ? "/x2"
                                                   : "/x3",
                                SLICE_NULL),
                         ERR_OK);
        ck_assert_int_eq(servers("start", number), 0);
    }
    ck_assert_int_eq(client.expired, 0);
    ck_assert_int_ge(client.disconnected, 1);

    /* One that is silent is left for one that answers. */
    for (int i = 1; i <= 3; i++) {
        snprintf(number, sizeof(number), "%d", i);
        ck_assert_int_eq(servers("pause", number), 0);
        ck_assert_int_eq(get(&client, "/e").err, ERR_OK);
        ck_assert_int_eq(servers("resume", number), 0);
    }
    ck_assert_int_eq(zk_session_id(client.zk), session);
    ck_assert_int_eq(client.connected, client.disconnected + zk_is_connected(client.zk));
    client_close(&client);
}
END_TEST

START_TEST(closing_answers_what_is_under_way)
{
    struct client client;
    struct asked calls[50];

    client_open(&client);
    for (int i = 0; i < 50; i++) {
        struct zk_op op = {.kind = ZK_GET, .path = SLICE("/zookeeper")};
        ask_start(&client, &calls[i], &op, 1);
    }
    shard_turn(&client.shard);
    client_close(&client);
    for (int i = 0; i < 50; i++)
        ck_assert(calls[i].is_done && (calls[i].err == ERR_CANCELLED || calls[i].err == ERR_OK));
    ck_assert_int_eq(calls[49].err, ERR_CANCELLED);
}
END_TEST
