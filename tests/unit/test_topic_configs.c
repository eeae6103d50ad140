#include "broker/api/dispatch.h"
#include "broker/api/topic_configs.h"
#include "cluster/options.h"
#include "tests/unit/fake_zk.h"

static struct options *options;
static struct api_process process;
static struct msg_routes routes;
static struct api_shard api;
static struct topic_configs *configs;

/* No data shards: what they are told is answered by nobody. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:broadcast_start\n";
}

static void noted(void *to)
{
    fake_note(to);
}

static void noted_load(void *to, enum err err)
{
    fake_note(err == ERR_OK ? to : err_name(err));
}

/* With a session in which everything has been read: no topic has overrides. */
static void begin(void)
{
    struct conf conf;
    int line;

    fake_begin();
    options = options_create();
    conf_init(&conf);
    ck_assert_int_eq(conf_read(&conf, SLICE("broker.id=1\nzookeeper.connect=nowhere:1\n"), &line),
                     ERR_OK);
    ck_assert_int_eq(options_load(options, &conf, "test", NULL), ERR_OK);
    conf_fini(&conf);
    process = (struct api_process){.options = options, .broker_id = 1};
    routes = (struct msg_routes){0};
    api_shard_init(&api, &fake.shard, &process, &routes);
    configs = topic_configs_create(&api);
    topic_configs_set_zk(configs, fake.zk, noted_load, "loaded");
    fake_run();
    while (fake.count > 0)
        fake_answer(ERR_OK, (struct zk_result){0});
    ck_assert_str_eq(fake.log, "loaded ");
    fake.log[0] = '\0';
}

static void end(void)
{
    topic_configs_destroy(&configs);
    api_shard_fini(&api);
    fake_end();
    options_destroy(&options);
}

static int overrides_of(const char *topic)
{
    const struct option_pair *pairs;

    return topic_configs_pairs(configs, slice_text(topic), &pairs);
}

START_TEST(what_is_asked_for_is_known_when_it_is_answered)
{
    begin();
    topic_configs_read(configs, SLICE("orders"), noted, "read");
    fake_run();
    ck_assert_str_eq(fake.log, "");
    ck_assert_str_eq(fake_request(0), "get:/config/topics/orders");
    fake_answer(ERR_OK, (struct zk_result){
                            .data = SLICE("{\"version\":1,\"config\":{\"retention.ms\":\"1\"}}")});
    ck_assert_str_eq(fake.log, "read ");
    ck_assert_int_eq(overrides_of("orders"), 1);
    end();
}
END_TEST

/* A topic that was created while this broker had no connection: it hosts it at once, and is not
 * left with the defaults, for nobody will notify it of what the topic was created with. */
START_TEST(what_could_not_be_asked_for_is_learnt_later)
{
    begin();
    fake_state(ZK_SESSION_DISCONNECTED);
    fake.log[0] = '\0';
    topic_configs_read(configs, SLICE("orders"), noted, "read");
    fake_run();
    ck_assert_str_eq(fake.log, "read ");
    ck_assert_int_eq(overrides_of("orders"), 0);
    fake_state(ZK_SESSION_CONNECTED);
    ck_assert_int_eq(fake.count, 1);
    ck_assert_str_eq(fake_request(0), "get:/config/topics/orders");
    fake_answer(ERR_OK,
                (struct zk_result){
                    .data = SLICE("{\"version\":1,\"config\":{\"cleanup.policy\":\"compact\"}}")});
    ck_assert_int_eq(overrides_of("orders"), 1);
    end();
}
END_TEST

/* A LeaderAndIsr waits for it, and behind that all that the controller says. */
START_TEST(a_connection_that_is_lost_keeps_nobody_waiting)
{
    struct zk_event lost = {.type = ZK_DISCONNECTED};

    begin();
    topic_configs_read(configs, SLICE("orders"), noted, "read");
    fake_run();
    ck_assert_int_eq(fake.count, 1);
    fake_state(ZK_SESSION_DISCONNECTED);
    fake.log[0] = '\0';
    topic_configs_event(configs, &lost);
    ck_assert_str_eq(fake.log, ""); /* never inside the call */
    fake_run();
    ck_assert_str_eq(fake.log, "read ");
    topic_configs_event(configs, &lost);
    fake_run();
    ck_assert_str_eq(fake.log, "read "); /* once */
    /* What it says when it is back is learnt all the same. */
    fake_state(ZK_SESSION_CONNECTED);
    fake_answer(ERR_OK,
                (struct zk_result){
                    .data = SLICE("{\"version\":1,\"config\":{\"cleanup.policy\":\"compact\"}}")});
    ck_assert_int_eq(overrides_of("orders"), 1);
    end();
}
END_TEST

static bool is_held(const char *topic)
{
    struct log_config log;
    int32_t min_insync;

    topic_configs_get(configs, slice_text(topic), &log, &min_insync);
    return !log.is_deleted && !log.is_compacted;
}

static void answer_config(const char *json)
{
    topic_configs_read(configs, SLICE("orders"), NULL, NULL);
    fake_run();
    fake_answer(ERR_OK, (struct zk_result){.data = slice_text(json)});
}

static bool is_awaited(const char *topic)
{
    struct log_config log;
    int32_t min_insync;

    topic_configs_get(configs, slice_text(topic), &log, &min_insync);
    ck_assert(!log.is_awaited || is_held(topic));
    return log.is_awaited;
}

/* It was deleted, and made again with other wishes, or without any. */
START_TEST(what_was_known_of_an_earlier_topic_is_not_taken_for_the_next_ones)
{
    struct zk_event lost = {.type = ZK_DISCONNECTED};

    for (int is_plain = 0; is_plain < 2; is_plain++)
        for (int is_asked = 0; is_asked < 2; is_asked++) {
            begin();
            answer_config("{\"version\":1,\"config\":{\"cleanup.policy\":\"compact\"}}");
            if (is_asked) topic_configs_read_new(configs, SLICE("orders"), noted, "read");
            ck_assert(!is_awaited("orders"));
            fake_state(ZK_SESSION_DISCONNECTED);
            fake.log[0] = '\0';
            topic_configs_event(configs, &lost);
            if (!is_asked) topic_configs_read_new(configs, SLICE("orders"), noted, "read");
            fake_run();
            ck_assert_str_eq(fake.log, "read ");
            ck_assert(is_awaited("orders"));
            ck_assert_int_eq(overrides_of("orders"), 0);
            /* Of one that has logs here, what is known stays. */
            topic_configs_read(configs, SLICE("others"), NULL, NULL);
            ck_assert(!is_awaited("others"));

            fake_state(ZK_SESSION_CONNECTED);
            while (fake.count > 0)
                fake_answer(is_plain ? ERR_NOT_FOUND : ERR_OK,
                            (struct zk_result){
                                .data = is_plain
                                            ? SLICE_NULL
                                            : SLICE("{\"version\":1,\"config\":{\"retention.ms\":"
                                                    "\"5\",\"segment.ms\":\"1000\"}}")});
            ck_assert(!is_awaited("orders"));
            ck_assert_int_eq(overrides_of("orders"), is_plain ? 0 : 2);
            end();
        }
}
END_TEST

/* The broker's server of the ensemble may not have heard of the topic that the controller speaks
 * of, and would say that it has no configuration: nobody would ask again. */
START_TEST(a_new_topic_is_read_from_a_server_that_has_caught_up)
{
    for (int is_lost = 0; is_lost < 2; is_lost++) {
        begin();
        if (is_lost) fake_state(ZK_SESSION_DISCONNECTED);
        topic_configs_read_new(configs, SLICE("orders"), NULL, NULL);
        topic_configs_read(configs, SLICE("known"), NULL, NULL);
        fake_run();
        if (is_lost) fake_state(ZK_SESSION_CONNECTED);
        ck_assert_int_eq(fake.count, 3);
        ck_assert_str_eq(fake_request(0), "sync:/config/topics");
        ck_assert_str_eq(fake_request(1), "get:/config/topics/orders");
        ck_assert_str_eq(fake_request(2), "get:/config/topics/known");
        end();
    }
    begin();
    topic_configs_set_zk(configs, fake.zk, noted_load, "loaded");
    fake_run();
    ck_assert_str_eq(fake_request(0), "sync:/config/topics");
    end();
}
END_TEST

/* The session ends before it has answered: the next one reads everything, and finds no topic that
 * has a configuration. */
START_TEST(what_is_awaited_comes_with_the_next_session)
{
    for (int has_none = 0; has_none < 2; has_none++) {
        begin();
        answer_config("{\"version\":1,\"config\":{\"cleanup.policy\":\"compact\"}}");
        topic_configs_read_new(configs, SLICE("orders"), noted, "read");
        fake_run();
        fake_answer(ERR_OK, (struct zk_result){0}); /* it has caught up */
        fake_answer(ERR_ZK_EXPIRED, (struct zk_result){0});
        ck_assert_str_eq(fake.log, "read ");
        ck_assert(is_awaited("orders"));
        topic_configs_set_zk(configs, NULL, NULL, NULL);
        topic_configs_read_new(configs, SLICE("others"), noted, "others");
        fake_run();
        ck_assert(is_awaited("others"));
        topic_configs_set_zk(configs, fake.zk, noted_load, "loaded");
        fake_run();
        while (fake.count > 0)
            fake_answer(has_none ? ERR_NOT_FOUND : ERR_OK, (struct zk_result){0});
        ck_assert(!is_awaited("orders"));
        ck_assert(!is_awaited("others"));
        end();
    }
}
END_TEST

START_TEST(a_new_topic_that_cannot_be_read_has_nothing_of_an_earlier_one)
{
    for (int is_broken = 0; is_broken < 2; is_broken++) {
        begin();
        answer_config("{\"version\":1,\"config\":{\"cleanup.policy\":\"compact\"}}");
        topic_configs_read_new(configs, SLICE("orders"), noted, "read");
        fake_run();
        fake_answer(ERR_OK, (struct zk_result){0});
        fake_answer(is_broken ? ERR_OK : ERR_ZK_AUTH,
                    (struct zk_result){.data = SLICE("nonsense")});
        ck_assert(!is_awaited("orders"));
        ck_assert(is_held("orders"));
        ck_assert_int_eq(overrides_of("orders"), 0);
        end();
    }
}
END_TEST

/* The broker's own retention could delete what the topic was made to keep. */
START_TEST(what_cannot_be_read_deletes_nothing)
{
    begin();
    ck_assert(!is_held("orders"));
    answer_config("{\"version\":1,\"config\":[");
    ck_assert(is_held("orders"));
    ck_assert(topic_configs_has_own(configs, SLICE("orders")));
    ck_assert(!is_held("others"));
    answer_config("{\"version\":1,\"config\":{}}");
    ck_assert(!is_held("orders"));
    topic_configs_read(configs, SLICE("orders"), NULL, NULL);
    fake_run();
    fake_answer(ERR_ZK_AUTH, (struct zk_result){0});
    ck_assert(is_held("orders"));
    topic_configs_read(configs, SLICE("orders"), NULL, NULL);
    fake_run();
    fake_answer(ERR_NOT_FOUND, (struct zk_result){0});
    ck_assert(!is_held("orders"));
    end();
}
END_TEST

START_TEST(what_was_known_stays_when_it_cannot_be_read_again)
{
    begin();
    answer_config("{\"version\":1,\"config\":{\"retention.ms\":\"5\"}}");
    answer_config("nonsense");
    ck_assert_int_eq(overrides_of("orders"), 1);
    ck_assert(!is_held("orders"));
    end();
}
END_TEST

START_TEST(a_bad_value_deletes_nothing_and_an_unknown_key_is_passed_over)
{
    begin();
    answer_config("{\"version\":1,\"config\":{\"from.the.future\":\"5\"}}");
    ck_assert(!is_held("orders"));
    answer_config("{\"version\":1,\"config\":{\"retention.ms\":\"for ever\"}}");
    ck_assert(is_held("orders"));
    end();
}
END_TEST

START_TEST(whoever_waits_for_the_whole_hears_that_it_cannot_be_read)
{
    begin();
    topic_configs_set_zk(configs, fake.zk, noted_load, "loaded");
    fake_run();
    ck_assert_int_gt(fake.count, 0);
    while (fake.count > 0)
        fake_answer(strstr(fake_request(0), "/config/topics") == NULL ? ERR_OK : ERR_ZK_AUTH,
                    (struct zk_result){0});
    ck_assert_ptr_null(strstr(fake.log, "loaded"));
    ck_assert_ptr_nonnull(strstr(fake.log, err_name(ERR_ZK_AUTH)));
    end();
}
END_TEST

UNIT(a_connection_that_is_lost_keeps_nobody_waiting, what_is_asked_for_is_known_when_it_is_answered,
     what_could_not_be_asked_for_is_learnt_later,
     what_was_known_of_an_earlier_topic_is_not_taken_for_the_next_ones,
     a_new_topic_is_read_from_a_server_that_has_caught_up,
     what_is_awaited_comes_with_the_next_session,
     a_new_topic_that_cannot_be_read_has_nothing_of_an_earlier_one,
     what_cannot_be_read_deletes_nothing, what_was_known_stays_when_it_cannot_be_read_again,
     a_bad_value_deletes_nothing_and_an_unknown_key_is_passed_over,
     whoever_waits_for_the_whole_hears_that_it_cannot_be_read)
