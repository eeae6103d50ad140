#include "tools/zookeeper_client.h"
#include "runtime/env_posix.h"
#include "runtime/env_zookeeper.h"

#define WAIT_MS            30000 /* for ZooKeeper, each step */
#define SESSION_TIMEOUT_MS 30000
#define IN_FLIGHT_MAX      200

static void late(struct timer *timer)
{
    ((struct zookeeper_client *)(void *)((char *)timer - offsetof(struct zookeeper_client, timer)))
        ->is_late = true;
}

void zookeeper_client_wait(struct zookeeper_client *client)
{
    client->is_late = false;
    client->timer.fire = late;
    timer_arm(&client->shard, &client->timer, instant_add_ms(env_now(client->env), WAIT_MS));
}

static void answered(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct zookeeper_answer *answer =
        (struct zookeeper_answer *)(void *)((char *)call - offsetof(struct zookeeper_answer, call));
    struct arena *arena = answer->client->arena;

    answer->is_done = true;
    answer->err = err;
    if (err != ERR_OK || count == 0) return;
    answer->data = arena_copy(arena, results[0].data);
    answer->stat = results[0].stat;
    answer->child_count = results[0].child_count;
    answer->children =
        arena_zalloc(arena, (size_t)(results[0].child_count + 1) * sizeof(*answer->children));
    for (int i = 0; i < results[0].child_count; i++)
        answer->children[i] = arena_copy(arena, results[0].children[i]);
}

enum err zookeeper_client_read_all(struct zookeeper_client *client, const struct zk_op *ops,
                                   int count, struct zookeeper_answer **answers)
{
    struct zookeeper_answer *all = arena_zalloc(client->arena, (size_t)(count + 1) * sizeof(*all));

    zookeeper_client_wait(client);
    for (int i = 0; i < count; i++) {
        all[i].client = client;
        all[i].call.done = answered;
        all[i].call.retry_loss = true;
        zk_submit(client->zk, &all[i].call, &ops[i], 1);
    }
    for (int i = 0; i < count; i++) {
        while (!all[i].is_done && !client->is_late)
            shard_turn(&client->shard);
        if (!all[i].is_done) {
            buf_printf(client->message, "ZooKeeper at %s does not answer", client->connect);
            return ERR_TIMED_OUT;
        }
    }
    *answers = all;
    return ERR_OK;
}

enum err zookeeper_client_fail(struct zookeeper_client *client, struct slice path, enum err err)
{
    buf_printf(client->message, "%.*s: %s", SLICE_ARGS(path), err_text(err));
    return err;
}

enum err zookeeper_client_do(struct zookeeper_client *client, const struct zk_op *op, enum err fine,
                             struct zookeeper_answer **answer)
{
    enum err err = zookeeper_client_read_all(client, op, 1, answer);

    if (err != ERR_OK) return err;
    if ((*answer)->err == ERR_OK || (*answer)->err == fine) return (*answer)->err;
    return zookeeper_client_fail(client, op->path, (*answer)->err);
}

static void on_event(void *owner, const struct zk_event *event)
{
    (void)owner;
    (void)event; /* nothing is watched, and operations say themselves what became of them */
}

static void on_closed(void *owner)
{
    ((struct zookeeper_client *)owner)->is_closed = true;
}

static void close_shard(struct zookeeper_client *client)
{
    timer_cancel(&client->shard, &client->timer);
    shard_close(&client->shard);
    env_posix_destroy(&client->env);
}

enum err zookeeper_client_open(struct zookeeper_client *client, const char *connect,
                               struct arena *arena, struct buf *message)
{
    *client = (struct zookeeper_client){.connect = connect, .arena = arena, .message = message};
    client->env = env_posix_create(&zookeeper_ops);
    enum err err = shard_open(&client->shard, client->env, 0, NULL, NULL, client, NULL);
    if (err != ERR_OK) {
        buf_add_text(message, err_text(err));
        env_posix_destroy(&client->env);
        return err;
    }
    err = zk_open(&client->shard,
                  &(struct zk_options){.connect = connect,
                                       .session_timeout_ms = SESSION_TIMEOUT_MS,
                                       .in_flight_max = IN_FLIGHT_MAX},
                  on_event, client, &client->zk);
    if (err != ERR_OK) {
        buf_printf(message, "--zookeeper %s: must be host:port,...[/chroot]", connect);
        close_shard(client);
    }
    return err;
}

void zookeeper_client_close(struct zookeeper_client *client)
{
    zk_close(&client->zk, on_closed, client);
    while (!client->is_closed)
        shard_turn(&client->shard);
    close_shard(client);
}
