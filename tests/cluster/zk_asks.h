/* Calls and recipes of the ZooKeeper room that wait for their ends, for tests. Whoever includes
 * this has made before: struct client with `zk` and `nodes`; UNTIL(client, condition). */
#pragma once
#include "tests/unit/unit.h"
#include "zk/paths.h"
#include "zk/recipes.h"
#include <stdio.h>

/* ---- calls that wait */

struct asked {
    struct zk_call call;
    struct client *client;
    bool is_done;
    enum err err;
    int count;
    struct zk_result results[4];
    char text[2000]; /* data or created path of the first */
    char children[500];
    int nodes_before; /* events of nodes that came before the answer */
};

static void asked_done(struct zk_call *call, enum err err, const struct zk_result *results,
                       int count)
{
    struct asked *asked = list_entry(call, struct asked, call);

    ck_assert(!asked->is_done);
    asked->is_done = true;
    asked->err = err;
    asked->count = count;
    asked->nodes_before = asked->client->nodes;
    for (int i = 0; i < count && i < 4; i++)
        asked->results[i] = results[i];
    if (count == 0) return;
    struct slice text = results[0].created.len > 0 ? results[0].created : results[0].data;
    snprintf(asked->text, sizeof(asked->text), "%.*s", SLICE_ARGS(text));
    for (int i = 0; i < results[0].child_count; i++)
        snprintf(asked->children + strlen(asked->children),
                 sizeof(asked->children) - strlen(asked->children), "%.*s ",
                 SLICE_ARGS(results[0].children[i]));
}

static inline void ask_start(struct client *client, struct asked *asked, const struct zk_op *ops,
                             int count)
{
    *asked = (struct asked){.client = client, .call = {.done = asked_done, .retry_loss = true}};
    zk_submit(client->zk, &asked->call, ops, count);
    ck_assert(!asked->is_done); /* never inside the call that asked */
}

static inline struct asked ask_many(struct client *client, const struct zk_op *ops, int count)
{
    struct asked asked;

    ask_start(client, &asked, ops, count);
    UNTIL(client, asked.is_done);
    return asked;
}

static inline struct asked ask(struct client *client, struct zk_op op)
{
    return ask_many(client, &op, 1);
}

static inline struct asked get(struct client *client, const char *path)
{
    return ask(client, (struct zk_op){.kind = ZK_GET, .path = slice_text(path)});
}

static inline enum err create(struct client *client, const char *path, struct slice data)
{
    return ask(client, (struct zk_op){.kind = ZK_CREATE, .path = slice_text(path), .data = data})
        .err;
}

/* ---- recipes that wait */

struct told {
    bool is_done;
    enum err err;
    int64_t a, b;
    struct recipe_election election;
    char text[300];
};

static inline void told_plain(void *owner, enum err err)
{
    *(struct told *)owner = (struct told){.is_done = true, .err = err};
}

static inline void told_two(void *owner, enum err err, int64_t a, int64_t b)
{
    *(struct told *)owner = (struct told){.is_done = true, .err = err, .a = a, .b = b};
}

static inline void told_id(void *owner, enum err err, int32_t id)
{
    *(struct told *)owner = (struct told){.is_done = true, .err = err, .a = id};
}

static inline void told_election(void *owner, enum err err, const struct recipe_election *election)
{
    *(struct told *)owner = (struct told){.is_done = true, .err = err, .election = *election};
}

static inline void told_text(void *owner, enum err err, struct slice text)
{
    struct told *told = owner;

    *told = (struct told){.is_done = true, .err = err};
    snprintf(told->text, sizeof(told->text), "%.*s", SLICE_ARGS(text));
}

static inline void told_children(void *owner, enum err err, const struct recipe_child *children,
                                 int count, const struct zk_stat *stat)
{
    struct told *told = owner;

    *told = (struct told){.is_done = true, .err = err, .a = count, .b = stat->child_count};
    for (int i = 0; i < count; i++)
        snprintf(told->text + strlen(told->text), sizeof(told->text) - strlen(told->text),
                 "%.*s=%.*s ", SLICE_ARGS(children[i].name), SLICE_ARGS(children[i].data));
}

static inline enum err ensure_start_paths(struct client *client)
{
    struct told told = {0};

    recipe_ensure(client->zk, path_ensured, path_ensured_count, told_plain, &told);
    UNTIL(client, told.is_done);
    return told.err;
}
