/* tests/unit/test_znodes.c - how writes leave, and what becomes of them when an answer is lost. */
#include "controller/znodes.h"
#include "tests/unit/fake_zk.h"

#define MULTI_HEAD "check:/controller_epoch "

static struct context context;
static struct znodes *znodes;
static struct task *task;
static int answered, moved;

static void on_answered(void *owner, struct task *its)
{
    (void)owner;
    ck_assert_ptr_eq(its, task);
    answered++;
}

static void on_moved(void *owner)
{
    (void)owner;
    moved++;
}

static void run(struct context *of, struct task *its)
{
    (void)of, (void)its;
}

static void begin(void)
{
    const struct context_config config = {.id = 1, .inter_broker_listener = "PLAINTEXT"};

    fake_begin();
    context_init(&context, &config, 1);
    context_add_broker(&context, 2)->version = 3;
    znodes = znodes_create(&fake.shard, fake.zk, NULL, on_answered, on_moved, NULL);
    task = task_push(&context, sizeof(*task), run, NULL);
    answered = moved = 0;
}

static void end(void)
{
    fake_end();
    znodes_destroy(&znodes);
    context_fini(&context);
}

static struct request *write(const char *path)
{
    return task_set(task, slice_text(path), SLICE("x"), 0);
}

/* 1 leaves in favour of 2. */
static void leave(struct request *request)
{
    int32_t both[] = {1, 2}, other[] = {2};
    struct ids isr = {0}, next = {0};

    ids_set(&isr, both, 2);
    ids_set(&next, other, 1);
    request_guard_isr(&context, request, &next);
    ids_fini(&isr);
    ids_fini(&next);
}

static void answer_multi(int count)
{
    struct zk_result results[8] = {0};

    fake_answer_all(ERR_OK, results, count);
    fake_run();
}

START_TEST(writes_leave_together_behind_the_fence_and_the_guards)
{
    begin();
    write("/a");
    leave(write("/b"));
    leave(write("/c"));
    znodes_ask(znodes, task, 7);
    fake_run();
    ck_assert_int_eq(fake.count, 1);
    ck_assert_str_eq(fake_request(0),
                     MULTI_HEAD "check:/brokers/ids/2 set:/a=x set:/b=x set:/c=x");
    ck_assert_int_eq(fake.requests[0]->ops[1].version, 3);
    answer_multi(5);
    ck_assert_int_eq(answered, 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(task->requests.at[i].err, ERR_OK);
    end();
}
END_TEST

/* A decision to let somebody go is not carried out later; the others of its multi are. */
START_TEST(after_a_loss_only_what_is_not_for_now_is_written)
{
    begin();
    write("/a");
    leave(write("/b"));
    write("/c");
    znodes_ask(znodes, task, 7);
    fake_run();
    fake_state(ZK_SESSION_DISCONNECTED);
    fake_answer(ERR_ZK_LOSS, (struct zk_result){0});
    ck_assert_int_eq(answered, 0);
    fake_state(ZK_SESSION_CONNECTED);
    ck_assert_int_eq(fake.count, 3);
    ck_assert_str_eq(fake_request(0), "sync:/");
    fake_answer(ERR_OK, (struct zk_result){0});
    ck_assert_str_eq(fake_request(0), MULTI_HEAD "set:/a=x");
    ck_assert_str_eq(fake_request(1), MULTI_HEAD "set:/c=x");
    answer_multi(2);
    answer_multi(2);
    ck_assert_int_eq(answered, 1);
    ck_assert_int_eq(task->requests.at[0].err, ERR_OK);
    ck_assert_int_eq(task->requests.at[1].err, ERR_ZK_LOSS);
    ck_assert_int_eq(task->requests.at[2].err, ERR_OK);
    end();
}
END_TEST

START_TEST(who_leaves_while_zookeeper_is_away_does_not)
{
    begin();
    fake_state(ZK_SESSION_DISCONNECTED);
    leave(write("/b"));
    znodes_ask(znodes, task, 7);
    fake_run();
    ck_assert_int_eq(answered, 1);
    ck_assert_int_eq(task->requests.at[0].err, ERR_ZK_LOSS);
    fake_state(ZK_SESSION_CONNECTED);
    ck_assert_int_eq(fake.count, 0);
    end();
}
END_TEST

/* A guard that fails takes only those with it that have it. */
START_TEST(a_multi_that_fails_is_done_write_by_write)
{
    struct zk_result failed[] = {
        {.err = ERR_OK}, {.err = ERR_NOT_FOUND}, {.err = ERR_ZK_SKIPPED}, {.err = ERR_ZK_SKIPPED}};

    begin();
    write("/a");
    leave(write("/b"));
    znodes_ask(znodes, task, 7);
    fake_run();
    fake_answer_all(ERR_NOT_FOUND, failed, 4);
    fake_run();
    ck_assert_int_eq(fake.count, 2);
    ck_assert_str_eq(fake_request(0), MULTI_HEAD "set:/a=x");
    ck_assert_str_eq(fake_request(1), MULTI_HEAD "check:/brokers/ids/2 set:/b=x");
    answer_multi(2);
    fake_answer_all(ERR_NOT_FOUND, failed, 3);
    fake_run();
    ck_assert_int_eq(answered, 1);
    ck_assert_int_eq(task->requests.at[0].err, ERR_OK);
    ck_assert_int_eq(task->requests.at[1].err, ERR_ZK_SKIPPED);
    ck_assert_int_eq(moved, 0);
    end();
}
END_TEST

START_TEST(another_controller_is_told_and_nothing_is_answered)
{
    struct zk_result fenced[] = {{.err = ERR_ZK_VERSION}, {.err = ERR_ZK_SKIPPED}};

    begin();
    write("/a");
    znodes_ask(znodes, task, 7);
    fake_run();
    fake_answer_all(ERR_ZK_VERSION, fenced, 2);
    fake_run();
    ck_assert_int_eq(moved, 1);
    ck_assert_int_eq(answered, 0);
    end();
}
END_TEST

UNIT(writes_leave_together_behind_the_fence_and_the_guards,
     after_a_loss_only_what_is_not_for_now_is_written, who_leaves_while_zookeeper_is_away_does_not,
     a_multi_that_fails_is_done_write_by_write, another_controller_is_told_and_nothing_is_answered)
