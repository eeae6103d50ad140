/* tests/unit/fake_zk.h - a ZooKeeper client whose answers the test gives, one by one. */
#pragma once
#include "base/ensure.h"
#include "base/log.h"
#include "runtime/env_posix.h"
#include "tests/unit/unit.h"
#include "zk/zk.h"
#include <stdio.h>

#define FAKE_REQUESTS_MAX 64

struct zk_session {
    int number; /* of the sessions opened, from 1 */
};

static struct fake {
    struct env *env;
    struct shard shard;
    struct timer now;
    struct zk *zk;

    struct zk_session session;
    const struct zk_session_handlers *handlers;
    void *owner;
    int opened, closed;
    struct zk_request *requests[FAKE_REQUESTS_MAX]; /* unanswered, in the order of their coming */
    int count;

    char log[1000]; /* events of the room, and what tests add */
    bool is_closed;
} fake;

static void fake_note(const char *text)
{
    strcat(fake.log, text);
    strcat(fake.log, " ");
}

static enum err fake_open(void *world, struct shard *shard,
                          const struct zk_session_options *options,
                          const struct zk_session_handlers *handlers, void *owner,
                          struct zk_session **out)
{
    (void)world, (void)shard, (void)options;
    fake.session.number = ++fake.opened;
    fake.handlers = handlers;
    fake.owner = owner;
    *out = &fake.session;
    return ERR_OK;
}

static void fake_close(struct zk_session *session)
{
    ck_assert_ptr_eq(session, &fake.session);
    fake.closed++;
    fake.handlers = NULL;
    fake.count = 0;
}

static void fake_submit(struct zk_session *session, struct zk_request *request)
{
    ck_assert_ptr_eq(session, &fake.session);
    ck_assert_int_lt(fake.count, FAKE_REQUESTS_MAX);
    fake.requests[fake.count++] = request;
}

static int64_t fake_id(const struct zk_session *session)
{
    return 100 + session->number;
}

static int32_t fake_timeout_ms(const struct zk_session *session)
{
    (void)session;
    return 6000;
}

static const struct zk_ops fake_ops = {fake_open, fake_close, fake_submit, fake_id,
                                       fake_timeout_ms};

static void fake_now(struct timer *timer)
{
    (void)timer;
}

/* Lets everything happen that can. */
static void fake_run(void)
{
    for (int i = 0; i < 4; i++) {
        timer_arm(&fake.shard, &fake.now, env_now(fake.env));
        shard_turn(&fake.shard);
    }
}

static inline void fake_event(void *owner, const struct zk_event *event)
{
    static const char *const names[] = {"connected",   "disconnected", "expired",
                                        "new-session", "auth-failed",  "created",
                                        "deleted",     "changed",      "children"};
    char text[100];

    (void)owner;
    snprintf(text, sizeof(text), "%s%s%.*s", names[event->type], event->path.len > 0 ? ":" : "",
             SLICE_ARGS(event->path));
    fake_note(text);
}

static inline void fake_begin_with(const char *connect, bool set_acl)
{
    fake = (struct fake){.now = {.fire = fake_now}};
    atomic_store(&log_level, LOG_ERROR);
    fake.env = env_posix_create(&fake_ops);
    ck_assert_int_eq(shard_open(&fake.shard, fake.env, 0, NULL, NULL, NULL, NULL), ERR_OK);
    struct zk_options options = {
        .connect = connect, .session_timeout_ms = 6000, .in_flight_max = 4, .set_acl = set_acl};
    ck_assert_int_eq(zk_open(&fake.shard, &options, fake_event, NULL, &fake.zk), ERR_OK);
}

static void fake_state(enum zk_session_state state)
{
    fake.handlers->state(fake.owner, state);
    fake_run();
}

/* With a session that stands. */
static inline void fake_begin(void)
{
    fake_begin_with("h:1", false);
    fake_state(ZK_SESSION_CONNECTED);
    fake.log[0] = '\0';
}

static inline void fake_closed(void *owner)
{
    (void)owner;
    fake_note("closed");
    fake.is_closed = true;
}

static inline void fake_end(void)
{
    zk_close(&fake.zk, fake_closed, NULL);
    fake_run();
    ck_assert(fake.is_closed);
    timer_cancel(&fake.shard, &fake.now);
    shard_close(&fake.shard);
    env_posix_destroy(&fake.env);
}

/* Answers the oldest request. */
static void fake_answer_all(enum err err, struct zk_result *results, int count)
{
    ck_assert_int_gt(fake.count, 0);
    struct zk_request *request = fake.requests[0];
    memmove(fake.requests, fake.requests + 1, (size_t)--fake.count * sizeof(fake.requests[0]));
    fake.handlers->answer(fake.owner, request, err, results, count);
}

static void fake_answer(enum err err, struct zk_result result)
{
    result.err = err;
    fake_answer_all(err, &result, 1);
    fake_run();
}

/* What the oldest request asks, as "create:/a=data". */
static const char *fake_request(int index)
{
    static const char *const kinds[] = {"get", "exists", "children", "create",
                                        "set", "delete", "check",    "sync"};
    static char text[400];

    ck_assert_int_lt(index, fake.count);
    text[0] = '\0';
    for (int i = 0; i < fake.requests[index]->count; i++) {
        const struct zk_op *op = &fake.requests[index]->ops[i];
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s%s%s:%s%s%.*s", i == 0 ? "" : " ",
                 kinds[op->kind], op->watch ? "+watch" : "", (const char *)op->path.ptr,
                 op->data.len > 0 ? "=" : "", SLICE_ARGS(op->data));
    }
    return text;
}
