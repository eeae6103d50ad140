#include "tests/sim/oracle_controller.h"
#include "tests/unit/sim_client.h"

#include "tests/cluster/zk_asks.h"
#include "zk/docs.h"

/* A controller and a broker, played by the test: first as Kafka would, then each rule is broken. */

static struct oracle_controller *oracle;
static struct client controller, broker;
static char heard[400]; /* rules that were said to be broken */
static int32_t fence;

#define ID_1 "AAAAAAAAQAGAAAAAAAAAAQ"
#define ID_2 "AAAAAAAAQAGAAAAAAAAAAg"
#define TOPIC(partitions, id)                                                                      \
    "{\"removing_replicas\":{},\"partitions\":" partitions ",\"topic_id\":\"" id                   \
    "\",\"adding_replicas\":{},\"version\":3}"
#define STATE(epoch, leader, leader_epoch, isr)                                                    \
    "{\"controller_epoch\":" #epoch ",\"leader\":" #leader                                         \
    ",\"version\":1,\"leader_epoch\":" #leader_epoch ",\"isr\":" isr "}"
#define STATE_PATH "/brokers/topics/t/partitions/0/state"

static void hear(void *owner, const char *rule, const char *text)
{
    (void)owner;
    if (getenv("OTTLA_TEST_DEBUG") != NULL) fprintf(stderr, "%s: %s\n", rule, text);
    if (strstr(heard, rule) != NULL) return;
    strcat(heard, rule);
    strcat(heard, " ");
}

static struct zk_op make(enum zk_kind kind, const char *path, const char *data, int32_t version)
{
    return (struct zk_op){
        .kind = kind, .path = slice_text(path), .data = slice_text(data), .version = version};
}

/* By the controller, behind its fence. */
static enum err fenced(struct zk_op op)
{
    struct zk_op ops[] = {recipe_fence(fence), op};

    return ask_many(&controller, ops, 2).err;
}

static enum err create_fenced(const char *path, const char *data)
{
    return fenced(make(ZK_CREATE, path, data, 0));
}

static enum err set_state(const char *data, int32_t version)
{
    return fenced(make(ZK_SET, STATE_PATH, data, version));
}

static struct told elect(struct client *client, int32_t id)
{
    struct told told = {0};
    struct buf json;

    buf_init(&json);
    doc_controller_write(&json, &(struct doc_controller){id, 5, -1});
    recipe_elect(client->zk, id, buf_slice(&json), told_election, &told);
    UNTIL(client, told.is_done);
    buf_fini(&json);
    return told;
}

static enum err register_broker(struct client *client, const char *json)
{
    struct told told = {0};

    recipe_register(client->zk, SLICE("/brokers/ids/1"), slice_text(json), 0, 0, false, told_two,
                    &told);
    UNTIL(client, told.is_done);
    return told.err;
}

#define BROKER                                                                                     \
    "{\"features\":{},\"listener_security_protocol_map\":{\"PLAINTEXT\":\"PLAINTEXT\"},"           \
    "\"endpoints\":[\"PLAINTEXT://b:9092\"],\"jmx_port\":-1,\"port\":9092,\"host\":\"b\","         \
    "\"version\":5,\"timestamp\":\"7\"}"

/* A topic "t" of one partition on 1, 2 and 3, led by 1. All as it should be. */
static void set_the_scene(struct oracle_controller_options options)
{
    options.wrong = hear;
    world_begin(1, 3);
    oracle = oracle_controller_create(world, ensemble(), &options);
    client_open(&controller);
    client_open(&broker);
    ck_assert_int_eq(ensure_start_paths(&controller), ERR_OK);
    fence = elect(&controller, 101).election.epoch_version;
    ck_assert_int_eq(register_broker(&broker, BROKER), ERR_OK);
    ck_assert_int_eq(create(&broker, "/config/topics/t", SLICE("{\"version\":1,\"config\":{}}")),
                     ERR_OK);
    ck_assert_int_eq(create(&broker, "/brokers/topics/t", SLICE(TOPIC("{\"0\":[1,2,3]}", ID_1))),
                     ERR_OK);
    ck_assert_int_eq(create_fenced("/brokers/topics/t/partitions", NULL), ERR_OK);
    ck_assert_int_eq(create_fenced("/brokers/topics/t/partitions/0", NULL), ERR_OK);
    ck_assert_int_eq(create_fenced(STATE_PATH, STATE(1, 1, 0, "[1,2,3]")), ERR_OK);
    oracle_controller_audit(oracle, true);
    ck_assert_str_eq(heard, "");
}

static void begin_scene(void)
{
    heard[0] = '\0';
    set_the_scene((struct oracle_controller_options){0});
}

static void begin_scene_of_2_6(void)
{
    heard[0] = '\0';
    set_the_scene((struct oracle_controller_options){.leaders_write = true});
}

static void end_scene(void)
{
    oracle_controller_destroy(&oracle);
    world_end();
}

static void expect(const char *rule)
{
    ck_assert_msg(strstr(heard, rule) != NULL, "wanted %s, heard: %s", rule, heard);
    heard[0] = '\0';
}

START_TEST(what_kafka_does_is_not_objected_to)
{
    /* ISR shrinks by its leader's wish, grows again; a leader dies, comes back, is elected again.
     */
    ck_assert_int_eq(set_state(STATE(1, 1, 0, "[1,2]"), 0), ERR_OK);
    ck_assert_int_eq(set_state(STATE(1, 1, 0, "[1,2,3]"), 1), ERR_OK);
    ck_assert_int_eq(set_state(STATE(1, 2, 1, "[2,3]"), 2), ERR_OK);
    ck_assert_int_eq(set_state(STATE(1, 2, 1, "[2,3,1]"), 3), ERR_OK);
    ck_assert_int_eq(set_state(STATE(1, 1, 2, "[2,3,1]"), 4), ERR_OK);
    ck_assert_int_eq(set_state(STATE(1, -1, 3, "[1]"), 5), ERR_OK);
    ck_assert_int_eq(set_state(STATE(1, 1, 4, "[1]"), 6), ERR_OK);

    /* Reassigned to 1 and 4; partitions added; configuration changed. */
    const char *moving = "{\"removing_replicas\":{\"0\":[2,3]},\"partitions\":{\"0\":[1,4,2,3]},"
                         "\"topic_id\":\"" ID_1 "\",\"adding_replicas\":{\"0\":[4]},\"version\":3}";
    ck_assert_int_eq(fenced(make(ZK_SET, "/brokers/topics/t", moving, -1)), ERR_OK);
    ck_assert_int_eq(set_state(STATE(1, 1, 5, "[1]"), 7), ERR_OK);
    ck_assert_int_eq(set_state(STATE(1, 1, 5, "[1,4]"), 8), ERR_OK);
    ck_assert_int_eq(fenced(make(ZK_SET, "/brokers/topics/t", TOPIC("{\"0\":[1,4]}", ID_1), -1)),
                     ERR_OK);
    ck_assert_int_eq(ask(&broker, make(ZK_SET, "/brokers/topics/t",
                                       TOPIC("{\"0\":[1,4],\"1\":[2,3]}", ID_1), -1))
                         .err,
                     ERR_OK);
    struct zk_op change = make(ZK_CREATE, "/config/changes/config_change_",
                               "{\"version\":2,\"entity_path\":\"topics/t\"}", 0);
    change.is_sequential = true;
    ck_assert_int_eq(ask(&broker, change).err, ERR_OK);
    for (int i = 0; i < 2; i++) {
        struct told told = {0};
        recipe_producer_ids(broker.zk, 3, told_two, &told);
        UNTIL(&broker, told.is_done);
    }

    /* Deleted, and made again under the same name. */
    ck_assert_int_eq(create(&broker, "/admin/delete_topics/t", SLICE_NULL), ERR_OK);
    struct told told = {0};
    recipe_delete(controller.zk, SLICE("/brokers/topics/t"), &fence, told_plain, &told);
    UNTIL(&controller, told.is_done);
    ck_assert_int_eq(told.err, ERR_OK);
    ck_assert_int_eq(fenced(make(ZK_DELETE, "/config/topics/t", NULL, -1)), ERR_OK);
    ck_assert_int_eq(fenced(make(ZK_DELETE, "/admin/delete_topics/t", NULL, -1)), ERR_OK);
    ck_assert_int_eq(create(&broker, "/brokers/topics/t", SLICE(TOPIC("{\"0\":[1,2,3]}", ID_2))),
                     ERR_OK);

    /* The next controller. */
    client_close(&controller);
    client_open(&controller);
    run_ms(3000);
    struct told won = elect(&controller, 102);
    ck_assert(won.election.is_won && won.election.epoch == 2);
    oracle_controller_audit(oracle, true);
    ck_assert_str_eq(heard, "");
    ck_assert_uint_eq(oracle_controller_states(oracle), 10);
}
END_TEST

static const struct {
    const char *rule;
    enum { BY_CONTROLLER, UNFENCED, BY_BROKER } by;
    enum zk_kind kind;
    const char *path, *data;
    int32_t version;
} broken[] = {
    {"path", BY_CONTROLLER, ZK_CREATE, "/brokers/topics/t/partitions/0/more", "", 0},
    {"path", BY_CONTROLLER, ZK_CREATE, "/brokers/ids/x", "", 0},
    {"document", BY_CONTROLLER, ZK_SET, STATE_PATH, "{", 0},
    {"document", BY_CONTROLLER, ZK_SET, STATE_PATH,
     "{\"leader\":1,\"controller_epoch\":1,\"version\":1,\"leader_epoch\":0,\"isr\":[1]}", 0},
    {"document", BY_BROKER, ZK_CREATE, "/config/topics/u", "nothing", 0},
    {"document", BY_CONTROLLER, ZK_CREATE, "/brokers/topics/t/partitions/1", "x", 0},
    {"epoch", BY_BROKER, ZK_SET, "/controller_epoch", "2", -1},
    {"epoch", BY_BROKER, ZK_SET, "/controller_epoch", "1", -1},
    {"epoch", BY_BROKER, ZK_DELETE, "/controller_epoch", NULL, -1},
    {"epoch", BY_BROKER, ZK_SET, "/controller", "{}", -1},
    {"fence", UNFENCED, ZK_SET, STATE_PATH, STATE(1, 1, 0, "[1,2]"), 0},
    {"fence", BY_BROKER, ZK_SET, STATE_PATH, STATE(1, 1, 0, "[1,2]"), 0},
    {"fence", BY_BROKER, ZK_CREATE, "/brokers/topics/t/partitions/1", NULL, 0},
    {"fence", UNFENCED, ZK_DELETE, STATE_PATH, NULL, -1},
    {"state", BY_CONTROLLER, ZK_SET, STATE_PATH, STATE(1, 3, 1, "[1,2]"), 0},
    {"state", BY_CONTROLLER, ZK_SET, STATE_PATH, STATE(1, -1, 1, "[]"), 0},
    {"state", BY_CONTROLLER, ZK_SET, STATE_PATH, STATE(1, 1, 0, "[1,1]"), 0},
    {"state", BY_CONTROLLER, ZK_SET, STATE_PATH, STATE(1, 1, 0, "[1,2,3,4]"), 0},
    {"state", BY_CONTROLLER, ZK_SET, STATE_PATH, STATE(1, 1, 0, "[1,2]"), -1},
    {"state", BY_CONTROLLER, ZK_SET, STATE_PATH,
     "{\"controller_epoch\":1,\"leader\":1,\"version\":1,\"leader_epoch\":1,\"isr\":[1,2],"
     "\"leader_recovery_state\":1}",
     0},
    {"state", BY_CONTROLLER, ZK_SET, STATE_PATH,
     "{\"controller_epoch\":1,\"leader\":1,\"version\":1,\"leader_epoch\":1,\"isr\":[1],"
     "\"ottla_left\":{\"1\":0}}",
     0},
    {"leader-epoch", BY_CONTROLLER, ZK_SET, STATE_PATH, STATE(1, 1, 2, "[1,2]"), 0},
    {"leader-epoch", BY_CONTROLLER, ZK_SET, STATE_PATH, STATE(1, 2, 0, "[1,2]"), 0},
    {"document", BY_CONTROLLER, ZK_SET, STATE_PATH, STATE(1, 1, -1, "[1,2]"), 0},
    {"controller-epoch", BY_CONTROLLER, ZK_SET, STATE_PATH, STATE(0, 1, 1, "[1,2]"), 0},
    {"controller-epoch", BY_CONTROLLER, ZK_SET, STATE_PATH, STATE(2, 1, 1, "[1,2]"), 0},
    {"assignment", BY_CONTROLLER, ZK_SET, "/brokers/topics/t", TOPIC("{\"0\":[]}", ID_1), -1},
    {"assignment", BY_CONTROLLER, ZK_SET, "/brokers/topics/t", TOPIC("{\"0\":[1,1]}", ID_1), -1},
    {"assignment", BY_CONTROLLER, ZK_SET, "/brokers/topics/t", TOPIC("{\"0\":[1,2,4]}", ID_1), -1},
    {"assignment", UNFENCED, ZK_SET, "/brokers/topics/t", TOPIC("{\"0\":[3,2,1]}", ID_1), -1},
    {"assignment", UNFENCED, ZK_SET, "/brokers/topics/t", TOPIC("{}", ID_1), -1},
    {"topic-id", BY_CONTROLLER, ZK_SET, "/brokers/topics/t", TOPIC("{\"0\":[1,2,3]}", ID_2), -1},
    {"topic-id", BY_BROKER, ZK_CREATE, "/brokers/topics/u", TOPIC("{\"0\":[1,2,3]}", ID_1), -1},
    {"topic-id", BY_BROKER, ZK_CREATE, "/brokers/topics/u",
     "{\"removing_replicas\":{},\"partitions\":{\"0\":[1]},\"adding_replicas\":{},\"version\":3}",
     -1},
    {"deletion", BY_CONTROLLER, ZK_DELETE, STATE_PATH, NULL, -1},
    {"registration", BY_CONTROLLER, ZK_SET, "/brokers/ids/1", BROKER, -1},
    {"sequence", BY_BROKER, ZK_CREATE, "/config/changes/config_change_0000000000",
     "{\"version\":2,\"entity_path\":\"topics/t\"}", 0},
    {"producer-ids", BY_BROKER, ZK_SET, "/latest_producer_id_block",
     "{\"version\":1,\"broker\":1,\"block_start\":\"0\",\"block_end\":\"1999\"}", 0},
    {"producer-ids", BY_BROKER, ZK_SET, "/latest_producer_id_block",
     "{\"version\":1,\"broker\":1,\"block_start\":\"1000\",\"block_end\":\"1999\"}", 0},
    {"producer-ids", BY_BROKER, ZK_SET, "/latest_producer_id_block",
     "{\"version\":1,\"broker\":1,\"block_start\":\"0\",\"block_end\":\"999\"}", -1},
    {"producer-ids", BY_BROKER, ZK_SET, "/latest_producer_id_block", "", 0},
};
#define BROKEN_COUNT ((int)(sizeof(broken) / sizeof(broken[0])))

START_TEST(each_rule_that_is_broken_is_named)
{
    struct zk_op op = make(broken[_i].kind, broken[_i].path, broken[_i].data, broken[_i].version);
    struct zk_op change = make(ZK_CREATE, "/config/changes/config_change_",
                               "{\"version\":2,\"entity_path\":\"topics/t\"}", 0);
    enum err err;

    change.is_sequential = true;
    ck_assert_int_eq(ask(&broker, change).err, ERR_OK);
    ck_assert_int_eq(ask(&broker, change).err, ERR_OK);
    ck_assert_int_eq(
        ask(&broker, make(ZK_DELETE, "/config/changes/config_change_0000000000", NULL, -1)).err,
        ERR_OK);
    ck_assert_str_eq(heard, "");
    if (broken[_i].by == BY_CONTROLLER)
        err = fenced(op);
    else
        err = ask(broken[_i].by == BY_BROKER ? &broker : &controller, op).err;
    ck_assert_msg(err == ERR_OK, "%d: %s", _i, err_name(err));
    expect(broken[_i].rule);
}
END_TEST

START_TEST(what_takes_more_than_one_write_is_seen_too)
{
    /* A leader from outside of the ISR. */
    ck_assert_int_eq(set_state(STATE(1, 1, 0, "[1]"), 0), ERR_OK);
    const char *unclean = "{\"controller_epoch\":1,\"leader\":2,\"version\":1,\"leader_epoch\":1,"
                          "\"isr\":[2],\"leader_recovery_state\":1}";
    ck_assert_int_eq(set_state(unclean, 1), ERR_OK);
    expect("unclean");
    ck_assert_int_eq(set_state(STATE(1, 2, 1, "[2]"), 2), ERR_OK); /* recovered */
    oracle_controller_unclean(oracle, SLICE("t"));
    const char *asked = "{\"controller_epoch\":1,\"leader\":3,\"version\":1,\"leader_epoch\":2,"
                        "\"isr\":[3],\"leader_recovery_state\":1}";
    ck_assert_int_eq(set_state(asked, 3), ERR_OK);
    ck_assert_str_eq(heard, "");
    ck_assert_int_eq(set_state(STATE(1, 1, 3, "[1]"), 4), ERR_OK); /* without saying so */
    expect("unclean");
    /* The one in the ISR stood back, and is to lead with what it has. */
    ck_assert_int_eq(set_state(STATE(1, -1, 4, "[1]"), 5), ERR_OK);
    const char *own = "{\"controller_epoch\":1,\"leader\":1,\"version\":1,\"leader_epoch\":5,"
                      "\"isr\":[1],\"leader_recovery_state\":1}";
    ck_assert_int_eq(set_state(own, 6), ERR_OK);
    ck_assert_str_eq(heard, "");
    ck_assert_int_eq(set_state(STATE(1, 1, 6, "[1,2]"), 7), ERR_OK);
    expect("leader-epoch"); /* the controller added to an ISR */

    /* An epoch without a controller, a controller without an epoch, an old epoch's write. */
    struct zk_op again = make(ZK_CREATE, "/controller", "{}", 0);
    ck_assert_int_eq(ask(&broker, make(ZK_DELETE, "/controller", NULL, -1)).err, ERR_OK);
    again.is_ephemeral = true;
    ck_assert_int_eq(ask(&broker, again).err, ERR_OK);
    ck_assert(strstr(heard, "document") != NULL);
    expect("epoch");

    /* The fence holds, but over another's session: one that came to know the version. */
    struct zk_op stolen[] = {recipe_fence(fence),
                             make(ZK_SET, STATE_PATH, STATE(1, 1, 6, "[1]"), 8)};
    ck_assert_int_eq(ask_many(&broker, stolen, 2).err, ERR_OK);
    expect("fence");

    /* A marker before its topic. */
    ck_assert_int_eq(create(&broker, "/brokers/topics/v", SLICE(TOPIC("{\"0\":[1]}", ID_2))),
                     ERR_OK);
    ck_assert_int_eq(create(&broker, "/admin/delete_topics/v", SLICE_NULL), ERR_OK);
    ck_assert_str_eq(heard, "");
    ck_assert_int_eq(fenced(make(ZK_DELETE, "/admin/delete_topics/v", NULL, -1)), ERR_OK);
    expect("deletion");

    /* A node that should be ephemeral. */
    ck_assert_int_eq(create(&broker, "/brokers/ids/9", SLICE(BROKER)), ERR_OK);
    expect("path");
}
END_TEST

/* 3 leaves the replicas, and the leader, which has not heard of it, has it in the ISR. */
static void name_who_was_a_replica(void)
{
    ck_assert_int_eq(set_state(STATE(1, 1, 0, "[1,2]"), 0), ERR_OK);
    ck_assert_int_eq(
        fenced(make(ZK_SET, "/brokers/topics/t",
                    "{\"removing_replicas\":{\"0\":[3]},\"partitions\":{\"0\":[1,2,3]},"
                    "\"topic_id\":\"" ID_1 "\",\"adding_replicas\":{},\"version\":3}",
                    -1)),
        ERR_OK);
    ck_assert_int_eq(fenced(make(ZK_SET, "/brokers/topics/t", TOPIC("{\"0\":[1,2]}", ID_1), -1)),
                     ERR_OK);
    ck_assert_int_eq(ask(&broker, make(ZK_SET, STATE_PATH, STATE(1, 1, 0, "[1,2,3]"), 1)).err,
                     ERR_OK);
}

/* A leader named who was removed before; so it is a replica again, though the next reassignment has
 * begun. */
START_TEST(who_is_in_the_isr_is_kept_by_a_reassignment_under_way)
{
    const char *moving = "{\"removing_replicas\":{\"0\":[2]},\"partitions\":{\"0\":[4,1,2]},"
                         "\"topic_id\":\"" ID_1 "\",\"adding_replicas\":{\"0\":[4]},\"version\":3}";
    const char *keeping =
        "{\"removing_replicas\":{\"0\":[2,3]},\"partitions\":{\"0\":[4,1,2,3]},"
        "\"topic_id\":\"" ID_1 "\",\"adding_replicas\":{\"0\":[4]},\"version\":3}";
    const char *too_many =
        "{\"removing_replicas\":{\"0\":[2,3,5]},\"partitions\":{\"0\":[4,1,2,3,5]},"
        "\"topic_id\":\"" ID_1 "\",\"adding_replicas\":{\"0\":[4]},\"version\":3}";

    name_who_was_a_replica();
    ck_assert_int_eq(fenced(make(ZK_SET, "/brokers/topics/t", moving, -1)), ERR_OK);
    ck_assert_int_eq(fenced(make(ZK_SET, "/brokers/topics/t", keeping, -1)), ERR_OK);
    ck_assert_str_eq(heard, "");
    ck_assert_int_eq(fenced(make(ZK_SET, "/brokers/topics/t", too_many, -1)), ERR_OK);
    expect("assignment"); /* 5 has nothing */
}
END_TEST

/* It may not have heard who is no replica any more; nor may that stay so. */
START_TEST(a_leader_that_writes_its_isr_may_name_who_was_a_replica_but_not_for_good)
{
    name_who_was_a_replica();
    oracle_controller_audit(oracle, false);
    ck_assert_str_eq(heard, "");
    oracle_controller_audit(oracle, true);
    expect("state");

    ck_assert_int_eq(ask(&broker, make(ZK_SET, STATE_PATH, STATE(1, 1, 0, "[1,2,4]"), 2)).err,
                     ERR_OK);
    expect("state"); /* and never was */
    ck_assert_int_eq(set_state(STATE(1, 1, 0, "[1,2]"), 3), ERR_OK);
    ck_assert_int_eq(set_state(STATE(1, 1, 0, "[1,2,3]"), 4), ERR_OK);
    expect("state"); /* the controller knows */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create(__FILE__);
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 120);
    tcase_add_checked_fixture(all, begin_scene, end_scene);
    tcase_add_test(all, what_kafka_does_is_not_objected_to);
    tcase_add_loop_test(all, each_rule_that_is_broken_is_named, 0, BROKEN_COUNT);
    tcase_add_test(all, what_takes_more_than_one_write_is_seen_too);
    TCase *of_2_6 = tcase_create("2.6");
    tcase_set_timeout(of_2_6, 120);
    tcase_add_checked_fixture(of_2_6, begin_scene_of_2_6, end_scene);
    tcase_add_test(of_2_6, who_is_in_the_isr_is_kept_by_a_reassignment_under_way);
    tcase_add_test(of_2_6,
                   a_leader_that_writes_its_isr_may_name_who_was_a_replica_but_not_for_good);
    suite_add_tcase(suite, of_2_6);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
