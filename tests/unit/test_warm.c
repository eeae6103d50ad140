/* tests/unit/test_warm.c - what a standby reads again, and when. */
#include "controller/warm.h"
#include "tests/unit/fake_zk.h"
#include <stdlib.h>
#include <unistd.h>

#define STATE_0 "/brokers/topics/t/partitions/0/state"
#define STATE_1 "/brokers/topics/t/partitions/1/state"

static struct warm *warm;

static struct slice answer_to(const char *request)
{
    if (strstr(request, "/state") != NULL) return SLICE("{\"leader\":1}");
    if (strcmp(request, "get+watch:/brokers/topics/t") == 0)
        return SLICE("{\"version\":2,\"partitions\":{\"0\":[1],\"1\":[1]}}");
    return SLICE_NULL;
}

static void answer_everything(void)
{
    static struct slice names[] = {{(const uint8_t *)"t", 1}};

    for (fake_run(); fake.count > 0; fake_run()) {
        const char *request = fake_request(0);
        bool is_topics = strcmp(request, "children+watch:/brokers/topics") == 0;
        struct zk_result result = {.data = answer_to(request),
                                   .children = is_topics ? names : NULL,
                                   .child_count = is_topics};
        fake_answer(ERR_OK, result);
    }
}

static void begin(void)
{
    fake_begin();
    warm = warm_create(&fake.shard, fake.zk);
    warm_start(warm);
    answer_everything();
    ck_assert_uint_eq(warm_count(warm), 5); /* two lists, a topic, two states */
}

static void end(void)
{
    warm_stop(warm);
    fake_end();
    warm_destroy(&warm);
}

static void change(const char *path)
{
    struct zk_event event = {.type = ZK_NODE_CHANGED, .path = slice_text(path)};

    warm_event(warm, &event);
}

static bool answers(const char *path)
{
    struct request request = {.kind = ZK_GET, .path = (char *)(uintptr_t)path};
    bool is_answered = warm_answer(warm, &request);

    free((void *)(uintptr_t)request.answer.ptr);
    return is_answered;
}

/* A thousand of them change when a broker goes, and ZooKeeper has the next writes to do. */
START_TEST(states_that_change_are_read_again_together_and_later)
{
    begin();
    ck_assert(answers(STATE_0) && answers(STATE_1));
    struct instant before = env_now(fake.env);
    change(STATE_0);
    change(STATE_1);
    change(STATE_0);
    ck_assert(!answers(STATE_0) && !answers(STATE_1)); /* from the first moment */
    for (int i = 0; i < 30000 && fake.count == 0; i++) {
        fake_run();
        usleep(1000);
    }
    ck_assert_int_ge(instant_ms_between(before, env_now(fake.env)), 1000);
    ck_assert_int_eq(fake.count, 2);
    answer_everything();
    ck_assert(answers(STATE_0) && answers(STATE_1));
    end();
}
END_TEST

/* What was on its way when it changed says nothing. */
START_TEST(a_state_that_changes_while_it_is_read_is_read_once_more)
{
    begin();
    change(STATE_0);
    for (int i = 0; i < 30000 && fake.count == 0; i++) {
        fake_run();
        usleep(1000);
    }
    change(STATE_0);
    fake_answer(ERR_OK, (struct zk_result){.data = SLICE("{\"leader\":1}")});
    ck_assert(!answers(STATE_0));
    answer_everything();
    ck_assert(answers(STATE_0));
    end();
}
END_TEST

/* Which topics and brokers there are is read at once: everything else follows from that. */
START_TEST(lists_are_read_again_at_once)
{
    begin();
    change("/brokers/ids");
    change("/brokers/topics/t");
    fake_run();
    ck_assert_int_eq(fake.count, 2);
    answer_everything();
    end();
}
END_TEST

/* A take-over, or a lost session, while states wait to be read. */
START_TEST(what_waits_is_forgotten_at_the_end)
{
    begin();
    change(STATE_0);
    warm_stop(warm);
    ck_assert_uint_eq(warm_count(warm), 0);
    warm_start(warm);
    answer_everything();
    ck_assert_uint_eq(warm_count(warm), 5);
    end();
}
END_TEST

UNIT(states_that_change_are_read_again_together_and_later,
     a_state_that_changes_while_it_is_read_is_read_once_more, lists_are_read_again_at_once,
     what_waits_is_forgotten_at_the_end)
