#include "tests/unit/fake_zk.h"
#include "zk/recipes.h"

/* What a recipe told. */
static struct told {
    int times;
    enum err err;
    int64_t a, b;
    struct recipe_election election;
} told;

static void told_plain(void *owner, enum err err)
{
    (void)owner;
    told.times++;
    told.err = err;
}

static void told_two(void *owner, enum err err, int64_t a, int64_t b)
{
    told_plain(owner, err);
    told.a = a;
    told.b = b;
}

static void told_election(void *owner, enum err err, const struct recipe_election *election)
{
    told_plain(owner, err);
    told.election = *election;
}

static void told_children(void *owner, enum err err, const struct recipe_child *children, int count,
                          const struct zk_stat *stat)
{
    told_plain(owner, err);
    told.a = count;
    told.b = stat->version;
    for (int i = 0; i < count; i++) {
        char text[40];
        snprintf(text, sizeof(text), "%.*s=%.*s", SLICE_ARGS(children[i].name),
                 SLICE_ARGS(children[i].data));
        fake_note(text);
    }
}

static void expect(int index, const char *request)
{
    ck_assert_str_eq(fake_request(index), request);
}

static void answer(enum err err)
{
    fake_answer(err, (struct zk_result){0});
}

static void answer_node(const char *data, int64_t owner, int64_t czxid, int32_t version)
{
    fake_answer(
        ERR_OK,
        (struct zk_result){.data = slice_text(data),
                           .stat = {.ephemeral_owner = owner, .czxid = czxid, .version = version}});
}

static void answer_multi(enum err err, enum err first, enum err second, struct zk_stat stat)
{
    struct zk_result results[] = {{.err = first}, {.err = second, .stat = stat}};

    fake_answer_all(err, results, 2);
    fake_run();
}

static void begin(void)
{
    told = (struct told){0};
    fake_begin();
    ck_assert_int_eq(zk_session_id(fake.zk), 101);
}

#define REGISTER "create:/brokers/ids/1 set:/brokers/ids/1={}"

static struct recipe *start_registration(int64_t session_registered)
{
    struct recipe *recipe = recipe_register(fake.zk, SLICE("/brokers/ids/1"), SLICE("{}"),
                                            session_registered, 0, false, told_two, NULL);
    fake_run();
    expect(0, REGISTER);
    ck_assert(fake.requests[0]->ops[0].is_ephemeral && fake.requests[0]->ops[1].version == 0);
    return recipe;
}

START_TEST(a_registration_tells_czxid_and_session)
{
    begin();
    start_registration(0);
    answer_multi(ERR_OK, ERR_OK, ERR_OK, (struct zk_stat){.czxid = 77});
    ck_assert(told.times == 1 && told.err == ERR_OK && told.a == 77 && told.b == 101);
    fake_end();
}
END_TEST

/* The version of the node's data is one of its session's own: as often as it is written. */
START_TEST(a_registration_is_told_apart_by_its_version)
{
    struct zk_result results[1 + 30] = {0};

    begin();
    recipe_register(fake.zk, SLICE("/brokers/ids/1"), SLICE("{}"), 0, 0, true, told_two, NULL);
    fake_run();
    int count = fake.requests[0]->count;
    ck_assert_int_eq(count, 1 + 2 + 101 % 29);
    for (int i = 1; i < count; i++) {
        ck_assert_int_eq(fake.requests[0]->ops[i].kind, ZK_SET);
        ck_assert_int_eq(fake.requests[0]->ops[i].version, i - 1);
    }
    results[count - 1].stat.czxid = 77;
    fake_answer_all(ERR_OK, results, count);
    fake_run();
    ck_assert(told.times == 1 && told.err == ERR_OK && told.a == 77);
    fake_end();
}
END_TEST

START_TEST(a_registration_knows_its_own_lost_success)
{
    begin();
    start_registration(0);
    answer_multi(ERR_EXISTS, ERR_EXISTS, ERR_ZK_SKIPPED, (struct zk_stat){0});
    expect(0, "get:/brokers/ids/1");
    answer_node("{}", 101, 55, 1);
    ck_assert(told.err == ERR_OK && told.a == 55 && told.times == 1);
    fake_end();
}
END_TEST

START_TEST(a_registration_replaces_what_its_last_session_left)
{
    begin();
    start_registration(99);
    answer_multi(ERR_EXISTS, ERR_EXISTS, ERR_ZK_SKIPPED, (struct zk_stat){0});
    answer_node("{}", 99, 55, 1);
    expect(0, "delete:/brokers/ids/1");
    answer(ERR_NOT_FOUND); /* gone by itself */
    expect(0, REGISTER);
    answer_multi(ERR_OK, ERR_OK, ERR_OK, (struct zk_stat){.czxid = 56});
    ck_assert(told.err == ERR_OK && told.a == 56);
    fake_end();
}
END_TEST

static void note_removed(void *owner, enum err err)
{
    (void)owner;
    told.err = err;
    told.times++;
}

START_TEST(what_an_ended_process_registered_is_removed)
{
    begin();
    told.times = 0;
    recipe_unregister(fake.zk, SLICE("/brokers/ids/1"), 99, note_removed, NULL);
    fake_run();
    expect(0, "get:/brokers/ids/1");
    answer_node("{}", 99, 55, 1);
    expect(0, "delete:/brokers/ids/1");
    ck_assert_int_eq(told.times, 0);
    answer(ERR_NOT_FOUND); /* gone by itself */
    ck_assert(told.err == ERR_OK && told.times == 1);

    recipe_unregister(fake.zk, SLICE("/brokers/ids/1"), 99, note_removed, NULL);
    fake_run();
    answer_node("{}", 98, 55, 1); /* another's stays */
    ck_assert(told.err == ERR_OK && told.times == 2 && fake.count == 0);

    recipe_unregister(fake.zk, SLICE("/brokers/ids/1"), 99, note_removed, NULL);
    fake_run();
    answer(ERR_NOT_FOUND);
    ck_assert(told.err == ERR_OK && told.times == 3 && fake.count == 0);
    fake_end();
}
END_TEST

START_TEST(a_registration_leaves_a_strangers_node_alone)
{
    begin();
    start_registration(99);
    answer_multi(ERR_EXISTS, ERR_EXISTS, ERR_ZK_SKIPPED, (struct zk_stat){0});
    answer_node("{}", 98, 55, 1);
    ck_assert(told.err == ERR_EXISTS && fake.count == 0);

    /* Never registered: an owner of 0 (a persistent node) is not "our last session". */
    told.times = 0;
    start_registration(0);
    answer_multi(ERR_EXISTS, ERR_EXISTS, ERR_ZK_SKIPPED, (struct zk_stat){0});
    answer_node("{}", 0, 55, 1);
    ck_assert(told.err == ERR_EXISTS && told.times == 1 && fake.count == 0);
    fake_end();
}
END_TEST

static const char *const look[] = {"exists+watch:/controller", "get+watch:/controller",
                                   "get:/controller_epoch"};

static void expect_look(void)
{
    fake_run();
    for (int i = 0; i < 3; i++)
        expect(i, look[i]);
}

static void answer_no_controller(const char *epoch, int32_t version)
{
    expect_look();
    answer(ERR_NOT_FOUND);
    answer(ERR_NOT_FOUND);
    answer_node(epoch, 0, 1, version);
}

static void answer_controller(const char *json, int64_t owner, const char *epoch, int32_t version)
{
    expect_look();
    answer(ERR_OK);
    answer_node(json, owner, 900, 0);
    answer_node(epoch, 0, 1, version);
}

#define MINE "{\"brokerid\":5}"
#define TRY8 "create:/controller=" MINE " set:/controller_epoch=8"

static void start_election(void)
{
    recipe_elect(fake.zk, 5, SLICE(MINE), told_election, NULL);
}

START_TEST(an_election_is_won_with_the_next_epoch)
{
    begin();
    start_election();
    answer_no_controller("7", 12);
    expect(0, TRY8);
    ck_assert_int_eq(fake.requests[0]->ops[1].version, 12);
    answer_multi(ERR_OK, ERR_OK, ERR_OK, (struct zk_stat){.version = 13, .mzxid = 500});
    ck_assert(told.err == ERR_OK && told.election.is_won && told.election.epoch == 8);
    ck_assert(told.election.epoch_version == 13 && told.election.czxid == 500);
    fake_end();
}
END_TEST

START_TEST(the_first_election_makes_the_epoch)
{
    begin();
    start_election();
    expect_look();
    for (int i = 0; i < 3; i++)
        answer(ERR_NOT_FOUND);
    expect(0, "create:/controller_epoch=0");
    answer(ERR_EXISTS); /* another candidate did */
    answer_no_controller("0", 0);
    expect(0, "create:/controller=" MINE " set:/controller_epoch=1");
    fake_end();
}
END_TEST

START_TEST(a_lost_answer_may_have_been_a_victory)
{
    begin();
    start_election();
    answer_no_controller("7", 12);
    answer_multi(ERR_EXISTS, ERR_EXISTS, ERR_ZK_SKIPPED, (struct zk_stat){0});
    answer_controller(MINE, 101, "8", 13);
    ck_assert(told.election.is_won && told.election.epoch == 8);
    ck_assert(told.election.epoch_version == 13 && told.election.czxid == 900);
    fake_end();
}
END_TEST

START_TEST(a_node_of_ours_from_another_session_or_epoch_is_no_victory)
{
    begin();
    start_election();
    answer_no_controller("7", 12);
    answer_multi(ERR_EXISTS, ERR_EXISTS, ERR_ZK_SKIPPED, (struct zk_stat){0});
    answer_controller(MINE, 99, "8", 13);
    ck_assert(!told.election.is_won && told.election.controller_owner == 99);

    start_election();
    answer_no_controller("7", 12);
    answer_multi(ERR_ZK_VERSION, ERR_OK, ERR_ZK_VERSION, (struct zk_stat){0});
    answer_controller(MINE, 101, "9", 14);
    ck_assert(!told.election.is_won && told.times == 2);

    /* Without a try of ours in this round a node of ours is not a new victory either. */
    start_election();
    answer_controller(MINE, 101, "8", 13);
    ck_assert(!told.election.is_won && told.election.controller_id == 5 && told.times == 3);
    fake_end();
}
END_TEST

START_TEST(a_winner_that_is_gone_again_means_another_round)
{
    begin();
    start_election();
    answer_no_controller("7", 12);
    answer_multi(ERR_EXISTS, ERR_EXISTS, ERR_ZK_SKIPPED, (struct zk_stat){0});
    answer_no_controller("8", 13);
    expect(0, "create:/controller=" MINE " set:/controller_epoch=9");
    ck_assert_int_eq(told.times, 0);
    fake_end();
}
END_TEST

START_TEST(whoever_is_controller_is_told)
{
    begin();
    start_election();
    answer_controller("{\"brokerid\":6,\"kraftControllerEpoch\":3}", 0, "7", 12);
    ck_assert(!told.election.is_won && told.election.controller_id == 6 && told.election.is_kraft);
    start_election();
    answer_controller("garbage", 44, "7", 12);
    ck_assert(told.err == ERR_OK && told.election.controller_id == -1 && told.times == 2);
    start_election();
    expect_look();
    answer(ERR_NOT_FOUND);
    answer(ERR_NOT_FOUND);
    answer_node("seven", 0, 1, 2);
    ck_assert(told.err == ERR_CORRUPT && !told.election.is_won);
    fake_end();
}
END_TEST

START_TEST(producer_ids_are_taken_by_compare_and_set)
{
    begin();
    recipe_producer_ids(fake.zk, 4, told_two, NULL);
    fake_run();
    answer_node(NULL, 0, 1, 0);
    expect(0, "set:/latest_producer_id_block={\"version\":1,\"broker\":4,\"block_start\":\"0\","
              "\"block_end\":\"999\"}");
    ck_assert_int_eq(fake.requests[0]->ops[0].version, 0);
    answer(ERR_ZK_VERSION); /* another one, or our own lost try: the next block in any case */
    answer_node("{\"version\":1,\"broker\":4,\"block_start\":\"0\",\"block_end\":\"999\"}", 0, 1,
                1);
    ck_assert_int_eq(fake.requests[0]->ops[0].version, 1);
    answer(ERR_OK);
    ck_assert(told.err == ERR_OK && told.a == 1000 && told.b == 1999 && told.times == 1);
    fake_end();
}
END_TEST

START_TEST(parents_are_made_when_they_are_missed)
{
    begin();
    recipe_create(fake.zk, SLICE("/a/b/c"), SLICE("x"), false, told_plain, NULL);
    fake_run();
    answer(ERR_NOT_FOUND);
    expect(0, "create:/a");
    expect(1, "create:/a/b");
    ck_assert_int_eq(fake.count, 2);
    answer(ERR_EXISTS);
    answer(ERR_OK);
    expect(0, "create:/a/b/c=x");
    answer(ERR_OK);
    ck_assert(told.times == 1 && told.err == ERR_OK);

    recipe_create(fake.zk, SLICE("/a/b/d"), SLICE_NULL, false, told_plain, NULL);
    fake_run();
    answer(ERR_NOT_FOUND);
    answer(ERR_DENIED);
    answer(ERR_NOT_FOUND);
    ck_assert(told.times == 2 && told.err == ERR_DENIED && fake.count == 0);
    fake_end();
}
END_TEST

START_TEST(only_what_is_missing_is_ensured_parents_first)
{
    struct slice paths[] = {SLICE("/b/ids"), SLICE("/c"), SLICE("/b/topics")};

    begin();
    recipe_ensure(fake.zk, paths, 3, told_plain, NULL);
    fake_run();
    expect(0, "exists:/b");
    expect(1, "exists:/b/ids");
    expect(2, "exists:/c");
    expect(3, "exists:/b/topics");
    answer(ERR_OK);
    answer(ERR_NOT_FOUND);
    answer(ERR_OK);
    answer(ERR_NOT_FOUND);
    expect(0, "create:/b/ids");
    expect(1, "create:/b/topics");
    answer(ERR_EXISTS); /* another process was faster */
    answer(ERR_OK);
    ck_assert(told.times == 1 && told.err == ERR_OK && fake.count == 0);
    fake_end();
}
END_TEST

START_TEST(a_tree_is_deleted_from_its_leaves_behind_a_fence)
{
    struct slice children[] = {SLICE("x"), SLICE("y")};
    int32_t fence = 3;

    begin();
    recipe_delete(fake.zk, SLICE("/t"), &fence, told_plain, NULL);
    fake_run();
    expect(0, "children:/t");
    fake_answer(ERR_OK, (struct zk_result){.children = children, .child_count = 2});
    expect(0, "children:/t/x");
    expect(1, "children:/t/y");
    answer(ERR_OK);
    answer(ERR_NOT_FOUND);
    expect(0, "check:/controller_epoch delete:/t/y");
    expect(2, "check:/controller_epoch delete:/t");
    answer_multi(ERR_NOT_FOUND, ERR_OK, ERR_NOT_FOUND, (struct zk_stat){0});
    answer_multi(ERR_OK, ERR_OK, ERR_OK, (struct zk_stat){0});
    answer_multi(ERR_ZK_CHILDREN, ERR_OK, ERR_ZK_CHILDREN, (struct zk_stat){0});
    ck_assert_int_eq(told.times, 0);
    expect(0, "children:/t"); /* it got a child meanwhile: again */
    answer(ERR_OK);
    answer_multi(ERR_ZK_VERSION, ERR_ZK_VERSION, ERR_ZK_SKIPPED, (struct zk_stat){0});
    ck_assert(told.times == 1 && told.err == ERR_NOT_CONTROLLER);
    fake_end();
}
END_TEST

START_TEST(children_that_vanish_are_left_out)
{
    struct slice children[] = {SLICE("x"), SLICE("y"), SLICE("z")};

    begin();
    recipe_read_children(fake.zk, SLICE("/t"), true, false, told_children, NULL);
    fake_run();
    expect(0, "children+watch:/t");
    fake_answer(ERR_OK,
                (struct zk_result){.children = children, .child_count = 3, .stat = {.version = 9}});
    expect(2, "get:/t/z");
    answer_node("1", 0, 0, 0);
    answer(ERR_NOT_FOUND);
    answer_node("3", 0, 0, 0);
    ck_assert_str_eq(fake.log, "x=1 z=3 ");
    ck_assert(told.err == ERR_OK && told.a == 2 && told.b == 9);
    fake_end();
}
END_TEST

START_TEST(a_cancelled_recipe_is_silent)
{
    struct slice paths[] = {SLICE("/a"), SLICE("/b")};

    begin();
    struct recipe *one = start_registration(0);
    struct recipe *two = recipe_ensure(fake.zk, paths, 2, told_plain, NULL);
    struct recipe *three = recipe_delete(fake.zk, SLICE("/t"), NULL, told_plain, NULL);
    fake_run();
    recipe_cancel(&one);
    recipe_cancel(&two);
    recipe_cancel(&three);
    ck_assert(one == NULL && two == NULL && three == NULL);
    while (fake.count > 0)
        answer(ERR_OK);
    ck_assert_int_eq(told.times, 0);
    fake_end();
}
END_TEST

START_TEST(expiry_and_closing_end_recipes)
{
    begin();
    start_registration(0);
    fake_state(ZK_SESSION_EXPIRED);
    ck_assert(told.times == 1 && told.err == ERR_ZK_EXPIRED);
    fake_state(ZK_SESSION_CONNECTED);
    recipe_elect(fake.zk, 5, SLICE(MINE), told_election, NULL);
    fake_run();
    fake_end();
    ck_assert(told.times == 2 && told.err == ERR_CANCELLED);
}
END_TEST

UNIT(a_registration_tells_czxid_and_session, a_registration_is_told_apart_by_its_version,
     a_registration_knows_its_own_lost_success, a_registration_replaces_what_its_last_session_left,
     what_an_ended_process_registered_is_removed, a_registration_leaves_a_strangers_node_alone,
     an_election_is_won_with_the_next_epoch, the_first_election_makes_the_epoch,
     a_lost_answer_may_have_been_a_victory,
     a_node_of_ours_from_another_session_or_epoch_is_no_victory,
     a_winner_that_is_gone_again_means_another_round, whoever_is_controller_is_told,
     producer_ids_are_taken_by_compare_and_set, parents_are_made_when_they_are_missed,
     only_what_is_missing_is_ensured_parents_first,
     a_tree_is_deleted_from_its_leaves_behind_a_fence, children_that_vanish_are_left_out,
     a_cancelled_recipe_is_silent, expiry_and_closing_end_recipes)
