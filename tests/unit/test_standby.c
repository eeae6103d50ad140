/* A controller process on a ZooKeeper whose answers the test gives: joining, following. */
#include "controller/controller.h"
#include "cluster/options.h"
#include "tests/unit/fake_zk.h"

static struct options *options;
static struct listeners listeners;
static struct controller controller;

static void noted_ready(void *owner)
{
    (void)owner;
    fake_note("ready");
}

static void noted_stopped(void *owner)
{
    (void)owner;
    fake.is_closed = true;
}

/* Until it looks for a leftover of an earlier process with its id. */
static void begin(void)
{
    static const char settings[] = "controller.id=101\nzookeeper.connect=nowhere:1\n"
                                   "listeners=PLAINTEXT://127.0.0.1:0\n";
    struct conf conf;
    int line;

    fake = (struct fake){.now = {.fire = fake_now}};
    atomic_store(&log_level, LOG_ERROR);
    fake.env = env_posix_create(&fake_ops);
    ck_assert_int_eq(shard_open(&fake.shard, fake.env, 0, NULL, NULL, NULL, NULL), ERR_OK);
    options = options_create();
    conf_init(&conf);
    ck_assert_int_eq(conf_read(&conf, slice_text(settings), &line), ERR_OK);
    ck_assert_int_eq(options_load(options, &conf, "test", NULL), ERR_OK);
    conf_fini(&conf);
    ck_assert_int_eq(listeners_read(options, NULL, &listeners), ERR_OK);
    ck_assert_int_eq(controller_open(&controller, &fake.shard, options, &listeners, noted_ready,
                                     noted_stopped, NULL),
                     ERR_OK);
    fake_state(ZK_SESSION_CONNECTED);
    while (strcmp(fake_request(0), "get:/controllers/ids/101") != 0)
        if (strcmp(fake_request(0), "get:/cluster/id") == 0)
            fake_answer(ERR_OK, (struct zk_result){
                                    .data = SLICE("{\"version\":\"1\",\"id\":\"cluster\"}")});
        else
            fake_answer(ERR_OK, (struct zk_result){0});
}

static void end(void)
{
    controller_stop(&controller);
    for (int i = 0; i < 100 && !fake.is_closed; i++)
        fake_run();
    ck_assert(fake.is_closed);
    fake_run();
    controller_fini(&controller);
    listeners_fini(&listeners);
    options_destroy(&options);
    timer_cancel(&fake.shard, &fake.now);
    shard_close(&fake.shard);
    env_posix_destroy(&fake.env);
}

static bool is_asked(const char *what)
{
    for (int i = 0; i < fake.count; i++)
        if (strcmp(fake_request(i), what) == 0) return true;
    return false;
}

START_TEST(a_connection_lost_while_it_joins_does_not_make_it_join_twice)
{
    begin();
    ck_assert_int_eq(fake.count, 1);
    fake_state(ZK_SESSION_DISCONNECTED);
    fake_answer(ERR_ZK_LOSS, (struct zk_result){0});
    fake_state(ZK_SESSION_CONNECTED);
    ck_assert_int_eq(fake.count, 1);
    fake_answer(ERR_NOT_FOUND, (struct zk_result){0});
    ck_assert_int_eq(fake.count, 1); /* the registration, once */
    end();
}
END_TEST

/* The three reads of an election that is decided: by whom, in which session. */
static void elected_in(int32_t id, int64_t czxid, int64_t session)
{
    char json[100];
    struct zk_result result = {.stat = {.czxid = czxid, .ephemeral_owner = session}};

    snprintf(json, sizeof(json),
             "{\"version\":2,\"brokerid\":%d,\"timestamp\":\"1\",\"kraftControllerEpoch\":-1}", id);
    while (!is_asked("get:/controller_epoch"))
        fake_answer(ERR_NOT_FOUND, (struct zk_result){0});
    for (int reads = 0; reads < 3;) {
        bool is_get = strcmp(fake_request(0), "get+watch:/controller") == 0;
        bool is_epoch = strcmp(fake_request(0), "get:/controller_epoch") == 0;
        result.data = is_get ? slice_text(json) : is_epoch ? SLICE("1") : SLICE_NULL;
        bool is_of_it =
            is_get || is_epoch || strcmp(fake_request(0), "exists+watch:/controller") == 0;
        reads += is_of_it;
        fake_answer(is_of_it ? ERR_OK : ERR_NOT_FOUND, result);
    }
}

static void elected(int32_t id, int64_t czxid)
{
    elected_in(id, czxid, 7);
}

/* The address of the one before must not be taken for its successor's: nobody listens there any
 * more, and the healthy one would be deposed for it. */
START_TEST(an_address_that_comes_late_is_not_the_next_controllers)
{
    struct zk_result made[2] = {0};

    begin();
    fake_answer(ERR_NOT_FOUND, (struct zk_result){0});
    fake_answer_all(ERR_OK, made, 2);
    fake_run();
    ck_assert_str_eq(fake.log, "ready ");
    elected(102, 50);
    ck_assert(is_asked("get:/controllers/ids/102"));
    struct zk_request *late = fake.requests[fake.count - 1];
    ck_assert_str_eq(fake_request(fake.count - 1), "get:/controllers/ids/102");
    fake.count--;
    fake.handlers->watch(fake.owner, ZK_NODE_CHANGED, SLICE("/controller"));
    fake_run();
    elected(103, 60);
    ck_assert_int_eq(controller.leader_id, 103);
    fake.requests[fake.count++] = late;
    while (fake.requests[0] != late)
        fake_answer(ERR_NOT_FOUND, (struct zk_result){0});
    fake_answer(ERR_OK, (struct zk_result){
                            .data = SLICE("{\"version\":1,\"host\":\"127.0.0.1\",\"port\":1,"
                                          "\"listeners\":[\"PLAINTEXT://127.0.0.1:1\"],"
                                          "\"listener_security_protocol_map\":{\"PLAINTEXT\":"
                                          "\"PLAINTEXT\"},\"timestamp\":\"1\"}")});
    ck_assert(!watcher_has(controller.leader, 103, 60));
    ck_assert(is_asked("get:/controllers/ids/103"));
    end();
}
END_TEST

static void found_on_port(int port)
{
    char json[300];

    snprintf(json, sizeof(json),
             "{\"version\":1,\"host\":\"127.0.0.1\",\"port\":%d,"
             "\"listeners\":[\"PLAINTEXT://127.0.0.1:%d\"],\"listener_security_protocol_map\":"
             "{\"PLAINTEXT\":\"PLAINTEXT\"},\"timestamp\":\"1\"}",
             port, port);
    while (strcmp(fake_request(0), "get:/controllers/ids/102") != 0)
        fake_answer(ERR_NOT_FOUND, (struct zk_result){0});
    fake_answer(ERR_OK, (struct zk_result){.data = slice_text(json)});
}

/* An address that nobody can reach, by a wrong advertised.listeners say, is no reason for an
 * election every half second: each such verdict takes twice as long as the one before. */
START_TEST(who_was_never_heard_is_deposed_ever_more_slowly)
{
    struct zk_result made[2] = {0};

    begin();
    fake_answer(ERR_NOT_FOUND, (struct zk_result){0});
    fake_answer_all(ERR_OK, made, 2);
    fake_run();
    for (int64_t czxid = 50; czxid < 52; czxid++) {
        if (czxid > 50) {
            while (fake.count > 0)
                fake_answer(ERR_ZK_OTHER, (struct zk_result){0});
            fake.handlers->watch(fake.owner, ZK_NODE_CHANGED, SLICE("/controller"));
            fake_run();
        }
        elected(102, czxid);
        int64_t grace_ms = controller.leader_grace_ms;
        struct instant began = env_now(fake.env);
        found_on_port(1);
        while (!is_asked("get:/controller_epoch"))
            fake_run();
        ck_assert_int_ge(instant_ms_between(began, env_now(fake.env)), grace_ms);
        ck_assert_int_eq(controller.leader_grace_ms, 2 * grace_ms);
    }
    end();
}
END_TEST

/* It has resigned, by the word of /controller_epoch, and /controller is still its own: nobody else
 * would ever remove that. */
START_TEST(a_node_of_its_own_that_it_does_not_act_for_is_removed)
{
    struct zk_result made[2] = {0};

    begin();
    fake_answer(ERR_NOT_FOUND, (struct zk_result){0});
    fake_answer_all(ERR_OK, made, 2);
    fake_run();
    elected_in(101, 50, fake_id(&fake.session));
    ck_assert_int_eq(controller.deposed_czxid, 50);
    ck_assert(!is_asked("get:/controllers/ids/101")); /* does not follow itself */
    end();
}
END_TEST

/* ZooKeeper has ended the session of its earlier life while it looked: that node is not there any
 * more to be removed, and its end was told once. */
START_TEST(a_node_of_its_own_that_goes_while_it_looks_is_looked_for_again)
{
    struct zk_result made[2] = {0};

    begin();
    fake_answer(ERR_NOT_FOUND, (struct zk_result){0});
    fake_answer_all(ERR_OK, made, 2);
    fake_run();
    fake.handlers->watch(fake.owner, ZK_NODE_DELETED, SLICE("/controller"));
    fake_run();
    elected_in(101, 50, 7);
    ck_assert_int_eq(controller.deposed_czxid, 0);
    ck_assert(is_asked("exists+watch:/controller"));
    end();
}
END_TEST

UNIT(a_node_of_its_own_that_goes_while_it_looks_is_looked_for_again,
     a_node_of_its_own_that_it_does_not_act_for_is_removed,
     who_was_never_heard_is_deposed_ever_more_slowly,
     a_connection_lost_while_it_joins_does_not_make_it_join_twice,
     an_address_that_comes_late_is_not_the_next_controllers)
