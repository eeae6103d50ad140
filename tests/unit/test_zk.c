#include "tests/unit/fake_zk.h"

/* A call that notes its end as "name:ERR". */
struct named {
    struct zk_call call;
    const char *name;
    struct named *then; /* submitted from `done` */
    char created[100];
    char children[100];
};

static void submit(struct named *named);

static void named_done(struct zk_call *call, enum err err, const struct zk_result *results,
                       int count)
{
    struct named *named = list_entry(call, struct named, call);
    char text[100];

    snprintf(text, sizeof(text), "%s:%s%s", named->name, err_name(err),
             call->resent ? ":resent" : "");
    fake_note(text);
    for (int i = 0; i < count; i++) {
        snprintf(named->created, sizeof(named->created), "%.*s", SLICE_ARGS(results[i].created));
        for (int j = 0; j < results[i].child_count; j++)
            snprintf(named->children + strlen(named->children), 20, "%.*s ",
                     SLICE_ARGS(results[i].children[j]));
    }
    if (named->then != NULL) submit(named->then);
}

static void submit(struct named *named)
{
    char path[20];

    snprintf(path, sizeof(path), "/%s", named->name);
    named->call.done = named_done;
    zk_submit(fake.zk, &named->call, &(struct zk_op){.kind = ZK_GET, .path = slice_text(path)}, 1);
}

static void start(struct named *named, const char *name, bool retry_loss)
{
    *named = (struct named){.name = name, .call = {.retry_loss = retry_loss}};
    submit(named);
}

static void check_log(const char *expected)
{
    ck_assert_str_eq(fake.log, expected);
    fake.log[0] = '\0';
}

static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

START_TEST(requests_leave_in_order_within_the_bound)
{
    struct named calls[6];

    fake_begin_with("h:1", false);
    for (int i = 0; i < 6; i++)
        start(&calls[i], names[i], true);
    fake_run();
    ck_assert_int_eq(fake.count, 0); /* not before there is a connection */
    ck_assert(!zk_is_connected(fake.zk) && zk_session_id(fake.zk) == 0);

    fake_state(ZK_SESSION_CONNECTED);
    check_log("connected ");
    ck_assert_int_eq(zk_session_id(fake.zk), 101);
    ck_assert_int_eq(fake.count, 4);
    ck_assert_str_eq(fake_request(0), "get:/a");
    ck_assert_str_eq(fake_request(3), "get:/d");
    fake_answer(ERR_OK, (struct zk_result){0});
    ck_assert_str_eq(fake_request(3), "get:/e");
    for (int i = 0; i < 5; i++)
        fake_answer(i == 1 ? ERR_NOT_FOUND : ERR_OK, (struct zk_result){0});
    check_log("a:OK b:OK c:NOT_FOUND d:OK e:OK f:OK ");
    fake_end();
}
END_TEST

START_TEST(what_was_lost_is_sent_again_first_and_in_order)
{
    struct named calls[6];

    fake_begin();
    for (int i = 0; i < 6; i++)
        start(&calls[i], names[i], i != 1); /* b wants to know */
    fake_run();
    fake_answer(ERR_OK, (struct zk_result){0}); /* a; now b c d e are out, f waits */
    fake_state(ZK_SESSION_DISCONNECTED);
    for (int i = 0; i < 4; i++)
        fake_answer(ERR_ZK_LOSS, (struct zk_result){0});
    check_log("a:OK disconnected b:ZK_LOSS ");
    ck_assert_int_eq(fake.count, 0);

    fake_state(ZK_SESSION_CONNECTED);
    ck_assert_int_eq(fake.count, 4);
    ck_assert_str_eq(fake_request(0), "get:/c");
    ck_assert_str_eq(fake_request(2), "get:/e");
    ck_assert_str_eq(fake_request(3), "get:/f");
    for (int i = 0; i < 4; i++)
        fake_answer(ERR_OK, (struct zk_result){0});
    check_log("connected c:OK:resent d:OK:resent e:OK:resent f:OK ");
    ck_assert_int_eq(fake.opened, 1);
    fake_end();
}
END_TEST

/* What was decided on what was known before is not done later. */
START_TEST(what_is_for_now_or_never_is_not_sent_by_a_later_connection)
{
    struct named calls[6], while_away;

    fake_begin(); /* four at a time */
    for (int i = 0; i < 6; i++)
        start(&calls[i], names[i], i != 4); /* e is not sent yet */
    fake_run();
    ck_assert_int_eq(fake.count, 4);
    fake_state(ZK_SESSION_DISCONNECTED);
    start(&while_away, "g", false);
    fake_run();
    check_log("disconnected e:ZK_LOSS g:ZK_LOSS ");
    for (int i = 0; i < 4; i++)
        fake_answer(ERR_ZK_LOSS, (struct zk_result){0});
    fake_state(ZK_SESSION_CONNECTED);
    for (int i = 0; i < 5; i++)
        fake_answer(ERR_OK, (struct zk_result){0});
    check_log("connected a:OK:resent b:OK:resent c:OK:resent d:OK:resent f:OK ");
    fake_end();
}
END_TEST

/* It may have been done: what is read next must show it, or nobody finds out for a long time. */
START_TEST(after_a_lost_write_a_sync_goes_first)
{
    struct zk_op write = {.kind = ZK_SET, .path = SLICE("/w")};
    struct named calls[2];

    for (int retry = 0; retry < 2; retry++) {
        fake_begin();
        calls[0] =
            (struct named){.name = "w", .call = {.done = named_done, .retry_loss = retry == 1}};
        zk_submit(fake.zk, &calls[0].call, &write, 1);
        start(&calls[1], "a", true);
        fake_run();
        for (int i = 0; i < 2; i++) { /* it is lost itself: again */
            int lost = fake.count;
            fake_state(ZK_SESSION_DISCONNECTED);
            for (int k = 0; k < lost; k++)
                fake_answer(ERR_ZK_LOSS, (struct zk_result){0});
            fake_state(ZK_SESSION_CONNECTED);
            ck_assert_int_eq(fake.count, 2 + retry);
            ck_assert_str_eq(fake_request(0), "sync:/");
            ck_assert_str_eq(fake_request(1), retry ? "set:/w" : "get:/a");
        }
        fake.log[0] = '\0';
        for (int i = 0; i < 2 + retry; i++)
            fake_answer(ERR_OK, (struct zk_result){0});
        check_log(retry ? "w:OK:resent a:OK:resent " : "a:OK:resent ");

        start(&calls[1], "a", true); /* a read that is lost asks for none */
        fake_run();
        fake_state(ZK_SESSION_DISCONNECTED);
        fake_answer(ERR_ZK_LOSS, (struct zk_result){0});
        fake_state(ZK_SESSION_CONNECTED);
        ck_assert_int_eq(fake.count, 1);
        ck_assert_str_eq(fake_request(0), "get:/a");
        fake_end();
    }
}
END_TEST

START_TEST(losses_that_are_told_late_are_not_overtaken)
{
    struct named calls[3];

    fake_begin();
    for (int i = 0; i < 2; i++)
        start(&calls[i], names[i], true);
    fake_run();
    fake_state(ZK_SESSION_DISCONNECTED);
    fake_state(ZK_SESSION_CONNECTED); /* and a, b have not been told yet */
    start(&calls[2], names[2], true);
    fake_run();
    ck_assert_int_eq(fake.count, 2);
    fake_answer(ERR_ZK_LOSS, (struct zk_result){0});
    ck_assert_int_eq(fake.count, 1);
    fake_answer(ERR_ZK_LOSS, (struct zk_result){0});
    ck_assert_int_eq(fake.count, 3);
    ck_assert_str_eq(fake_request(0), "get:/a");
    ck_assert_str_eq(fake_request(2), "get:/c");
    fake_end();
}
END_TEST

/* A server that takes less than we thought cuts the connection without a word: all others wait for
 * the one that it is cut for. */
START_TEST(a_large_request_that_is_lost_again_and_again_is_given_up)
{
    struct named large = {.name = "large", .call = {.done = named_done, .retry_loss = true}};
    struct named other;
    char *data = ensure_zalloc(1100 * 1000);

    fake_begin();
    zk_submit(
        fake.zk, &large.call,
        &(struct zk_op){.kind = ZK_SET, .path = SLICE("/x"), .data = slice_of(data, 1100 * 1000)},
        1);
    free(data);
    start(&other, "b", true);
    fake_run();
    for (int i = 0; i < 3; i++) {
        int count = fake.count; /* with a sync, but at first */
        ck_assert_int_eq(count, i == 0 ? 2 : 3);
        fake_state(ZK_SESSION_DISCONNECTED);
        for (int k = 0; k < count; k++)
            fake_answer(ERR_ZK_LOSS, (struct zk_result){0});
        fake_state(ZK_SESSION_CONNECTED);
    }
    ck_assert_int_eq(fake.count, 2);
    fake_answer(ERR_OK, (struct zk_result){0});
    fake_answer(ERR_OK, (struct zk_result){0});
    check_log("disconnected connected disconnected connected disconnected large:TOO_LARGE:resent "
              "connected b:OK:resent ");
    fake_end();
}
END_TEST

START_TEST(expiry_answers_everything_before_it_is_told)
{
    struct named calls[6], later = {.name = "later", .call = {.retry_loss = true}};

    fake_begin();
    for (int i = 0; i < 6; i++)
        start(&calls[i], names[i], true);
    fake_run();
    calls[0].then = &later; /* submitted while the end is being told: of the next session */
    fake_state(ZK_SESSION_DISCONNECTED);
    fake_answer(ERR_ZK_LOSS, (struct zk_result){0});
    fake_answer(ERR_ZK_LOSS, (struct zk_result){0}); /* a, b are to be resent; c, d unheard of */
    fake_state(ZK_SESSION_EXPIRED);
    check_log("disconnected a:ZK_EXPIRED b:ZK_EXPIRED c:ZK_EXPIRED d:ZK_EXPIRED "
              "e:ZK_EXPIRED f:ZK_EXPIRED expired ");
    ck_assert_int_eq(fake.closed, 1);
    ck_assert_int_eq(fake.opened, 2); /* at once */
    ck_assert_int_eq(zk_session_id(fake.zk), 0);
    ck_assert_int_eq(fake.count, 0);

    fake_state(ZK_SESSION_CONNECTED);
    ck_assert_int_eq(zk_session_id(fake.zk), 102);
    ck_assert_int_eq(fake.count, 1);
    fake_answer(ERR_OK, (struct zk_result){0});
    check_log("new-session later:OK ");
    fake_state(ZK_SESSION_DISCONNECTED);
    fake_state(ZK_SESSION_CONNECTED);
    check_log("disconnected connected ");
    fake_end();
}
END_TEST

START_TEST(a_handle_that_dies_before_it_was_connected_is_no_expiry)
{
    struct named call;

    fake_begin_with("h:1", false);
    start(&call, "a", true);
    fake_state(ZK_SESSION_DEAD);
    check_log("a:ZK_EXPIRED ");
    ck_assert_int_eq(fake.closed, 1);
    fake_end();
}
END_TEST

START_TEST(refused_credentials_are_told)
{
    struct named call;

    fake_begin();
    start(&call, "a", true);
    fake_run();
    fake_state(ZK_SESSION_AUTH_FAILED);
    check_log("a:ZK_AUTH auth-failed expired ");
    fake_end();
}
END_TEST

START_TEST(an_event_is_told_as_it_comes)
{
    struct named call;

    fake_begin();
    start(&call, "a", true);
    fake_run();
    fake.handlers->watch(fake.owner, ZK_NODE_CHANGED, SLICE("/a"));
    fake_answer(ERR_OK, (struct zk_result){0});
    check_log("changed:/a a:OK ");
    fake_end();
}
END_TEST

START_TEST(the_chroot_is_made_first_and_stays_hidden)
{
    struct named call, listed;
    struct slice children[] = {SLICE("b"), SLICE("c"), SLICE("a")};

    fake_begin_with("h:1,i/x/y", false);
    start(&call, "a", true);
    start(&listed, "l", true);
    fake_state(ZK_SESSION_CONNECTED);
    ck_assert_int_eq(fake.count, 1);
    ck_assert_str_eq(fake_request(0), "exists:/x/y");
    fake_answer(ERR_NOT_FOUND, (struct zk_result){0});
    ck_assert_str_eq(fake_request(0), "create:/x");
    fake_answer(ERR_EXISTS, (struct zk_result){0});
    ck_assert_str_eq(fake_request(0), "create:/x/y");
    ck_assert_int_eq(fake.count, 1);
    /* Lost in the middle of it: goes on with the next connection. */
    fake_state(ZK_SESSION_DISCONNECTED);
    fake_answer(ERR_ZK_LOSS, (struct zk_result){0});
    fake_state(ZK_SESSION_CONNECTED);
    ck_assert_str_eq(fake_request(0), "sync:/");
    fake_answer(ERR_OK, (struct zk_result){0});
    ck_assert_str_eq(fake_request(0), "create:/x/y");
    fake_answer(ERR_OK, (struct zk_result){0});
    ck_assert_int_eq(fake.count, 2);
    ck_assert_str_eq(fake_request(0), "get:/x/y/a");
    fake_answer(ERR_OK, (struct zk_result){.created = SLICE("/x/y/n_1")});
    ck_assert_str_eq(call.created, "/n_1");
    fake_answer(ERR_OK, (struct zk_result){.children = children, .child_count = 3});
    ck_assert_str_eq(listed.children, "a b c ");
    fake.log[0] = '\0';
    fake.handlers->watch(fake.owner, ZK_NODE_CHILDREN, SLICE("/x/y"));
    fake.handlers->watch(fake.owner, ZK_NODE_CREATED, SLICE("/x/y/z"));
    fake.handlers->watch(fake.owner, ZK_NODE_CREATED, SLICE("/x/yes"));
    check_log("children:/ created:/z ");

    /* The next session need not look again. */
    fake_state(ZK_SESSION_EXPIRED);
    fake_state(ZK_SESSION_CONNECTED);
    ck_assert_int_eq(fake.count, 0);
    fake_end();
}
END_TEST

static void check_op(struct zk_op op, int count, enum err expected)
{
    struct named call = {.name = "op", .call = {.done = named_done}};
    struct zk_op ops[2] = {op, op};
    char text[40];

    fake.log[0] = '\0';
    zk_submit(fake.zk, &call.call, ops, count);
    ck_assert_str_eq(fake.log, "");
    fake_run();
    if (expected == ERR_OK) {
        ck_assert_int_eq(fake.requests[0]->is_multi, count > 1 || op.kind == ZK_CHECK);
        fake_answer(ERR_OK, (struct zk_result){0});
    }
    snprintf(text, sizeof(text), "op:%s ", err_name(expected));
    ck_assert_str_eq(fake.log, text);
}

START_TEST(what_is_no_operation_is_refused)
{
    static char large[5 * 1024 * 1024];

    fake_begin();
    check_op((struct zk_op){.kind = ZK_GET, .path = SLICE_NULL}, 1, ERR_INVALID);
    check_op((struct zk_op){.kind = ZK_GET, .path = SLICE("a")}, 1, ERR_INVALID);
    check_op((struct zk_op){.kind = ZK_GET, .path = SLICE("/a/")}, 1, ERR_INVALID);
    check_op((struct zk_op){.kind = ZK_GET, .path = SLICE("/a\0b")}, 1, ERR_INVALID);
    check_op((struct zk_op){.kind = ZK_GET, .path = SLICE("/./b")}, 1, ERR_INVALID);
    check_op((struct zk_op){.kind = ZK_GET, .path = SLICE("/a")}, 2, ERR_INVALID);
    check_op((struct zk_op){.kind = ZK_GET, .path = SLICE("/a")}, 0, ERR_INVALID);
    check_op(
        (struct zk_op){.kind = ZK_SET, .path = SLICE("/a"), .data = slice_of(large, sizeof(large))},
        1, ERR_TOO_LARGE);
    check_op((struct zk_op){.kind = ZK_GET, .path = SLICE("/..a/b..")}, 1, ERR_OK);
    check_op((struct zk_op){.kind = ZK_GET, .path = SLICE("/")}, 1, ERR_OK);
    check_op((struct zk_op){.kind = ZK_CREATE, .path = SLICE("/a/"), .is_sequential = true}, 1,
             ERR_OK);
    check_op((struct zk_op){.kind = ZK_CHECK, .path = SLICE("/a")}, 1, ERR_OK);
    check_op((struct zk_op){.kind = ZK_SET, .path = SLICE("/a")}, 2, ERR_OK);
    fake_end();
}
END_TEST

START_TEST(operations_are_copied_and_acls_decided)
{
    struct named call = {.name = "op", .call = {.done = named_done}};
    char path[] = "/config/users/alice", data[] = "secret";

    fake_begin_with("h:1", true);
    fake_state(ZK_SESSION_CONNECTED);
    struct zk_op ops[] = {
        {.kind = ZK_CREATE, .path = slice_text(path), .data = slice_text(data)},
        {.kind = ZK_CREATE, .path = SLICE("/brokers/ids/1")},
        {.kind = ZK_CREATE, .path = SLICE("/consumers"), .data = SLICE("")},
    };
    zk_submit(fake.zk, &call.call, ops, 3);
    memset(path, 'x', sizeof(path));
    memset(data, 'x', sizeof(data));
    memset(ops, 0, sizeof(ops));
    fake_run();
    ck_assert_str_eq(fake_request(0), "create:/config/users/alice=secret create:/brokers/ids/1 "
                                      "create:/consumers");
    const struct zk_op *sent = fake.requests[0]->ops;
    ck_assert_int_eq(sent[0].acl, ZK_ACL_CREATOR);
    ck_assert_int_eq(sent[1].acl, ZK_ACL_CREATOR_AND_READ);
    ck_assert_int_eq(sent[2].acl, ZK_ACL_OPEN);
    ck_assert(slice_is_null(sent[1].data) && !slice_is_null(sent[2].data)); /* null is not empty */
    fake_end();
}
END_TEST

START_TEST(closing_cancels_what_is_unanswered_and_comes_last)
{
    struct named calls[6];

    fake_begin();
    for (int i = 0; i < 6; i++)
        start(&calls[i], names[i], true);
    fake_run();
    zk_close(&fake.zk, fake_closed, NULL);
    ck_assert(fake.zk == NULL);
    check_log(""); /* nothing inside the call */
    ck_assert_int_eq(fake.closed, 1);
    fake_run();
    check_log("a:CANCELLED b:CANCELLED c:CANCELLED d:CANCELLED e:CANCELLED "
              "f:CANCELLED closed ");
    timer_cancel(&fake.shard, &fake.now);
    shard_close(&fake.shard);
    env_posix_destroy(&fake.env);
}
END_TEST

UNIT(requests_leave_in_order_within_the_bound, what_was_lost_is_sent_again_first_and_in_order,
     what_is_for_now_or_never_is_not_sent_by_a_later_connection,
     losses_that_are_told_late_are_not_overtaken, after_a_lost_write_a_sync_goes_first,
     a_large_request_that_is_lost_again_and_again_is_given_up,
     expiry_answers_everything_before_it_is_told,
     a_handle_that_dies_before_it_was_connected_is_no_expiry, refused_credentials_are_told,
     an_event_is_told_as_it_comes, the_chroot_is_made_first_and_stays_hidden,
     what_is_no_operation_is_refused, operations_are_copied_and_acls_decided,
     closing_cancels_what_is_unanswered_and_comes_last)
