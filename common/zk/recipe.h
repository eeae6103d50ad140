/* zk/recipe.h - how recipes are made; for recipes.c and roles.c only.
 *
 * A recipe goes in batches: it asks one or more operations (`recipe_ask`), hears each answer, then
 * `all` once, where the next batch begins or `done` is called and the recipe destroyed. */
#pragma once
#include "base/arena.h"
#include "zk/recipes.h"

struct recipe_item {
    struct zk_call call;
    struct recipe *recipe;
    int index;
};

/* First member of every recipe. */
struct recipe {
    struct zk *zk;
    void *owner;
    struct arena arena; /* copies of what was given, and results that must last */
    bool is_cancelled;

    struct recipe_item *items; /* of the batch under way */
    int outstanding;
    void (*each)(struct recipe *recipe, int index, enum err err, const struct zk_result *results,
                 int count);
    void (*all)(struct recipe *recipe);

    void (*fini)(struct recipe *recipe); /* what it has outside the arena; or NULL */

    struct timer timer;
    void (*resume)(struct recipe *recipe);
};

/* Zeroed, `size` bytes. */
void *recipe_create_of(size_t size, struct zk *zk, void *owner);
void recipe_destroy(struct recipe *recipe);

/* Begins a batch of `count` > 0 operations, each to be asked next. */
void recipe_batch(struct recipe *recipe, int count,
                  void (*each)(struct recipe *recipe, int index, enum err err,
                               const struct zk_result *results, int count),
                  void (*all)(struct recipe *recipe));
void recipe_ask(struct recipe *recipe, int index, const struct zk_op *ops, int count);
/* A batch of one. */
void recipe_ask_one(struct recipe *recipe, const struct zk_op *ops, int count,
                    void (*each)(struct recipe *recipe, int index, enum err err,
                                 const struct zk_result *results, int count));
/* Calls `resume` after `ms`. */
void recipe_pause(struct recipe *recipe, int64_t ms, void (*resume)(struct recipe *recipe));

/* Asks for the creation of all that stands above `path` (null data; what exists is fine), as items
 * `from` … of a batch. Gives how many there are, without asking when `recipe` is NULL. */
int recipe_ask_parents(struct recipe *recipe, int from, struct slice path);
