#include "zk/recipes.h"
#include "base/ensure.h"
#include "base/map.h"
#include "zk/paths.h"
#include "zk/recipe.h"
#include <stdlib.h>

#define ROUNDS_MAX 10 /* of recipes that begin again when others interfere */

/* ---- the engine */

static void pause_over(struct timer *timer)
{
    struct recipe *recipe = list_entry(timer, struct recipe, timer);

    recipe->resume(recipe);
}

void *recipe_create_of(size_t size, struct zk *zk, void *owner)
{
    struct recipe *recipe = ensure_zalloc(size);

    recipe->zk = zk;
    recipe->owner = owner;
    recipe->timer.fire = pause_over;
    arena_init(&recipe->arena, SIZE_MAX / 2);
    return recipe;
}

void recipe_destroy(struct recipe *recipe)
{
    ensure(recipe->outstanding == 0);
    if (recipe->fini != NULL) recipe->fini(recipe);
    free(recipe->items);
    arena_fini(&recipe->arena);
    free(recipe);
}

void recipe_cancel(struct recipe **recipe_at)
{
    struct recipe *recipe = *recipe_at;

    *recipe_at = NULL;
    if (recipe == NULL) return;
    recipe->is_cancelled = true;
    if (recipe->outstanding > 0) return; /* freed with the last answer */
    timer_cancel(zk_shard(recipe->zk), &recipe->timer);
    recipe_destroy(recipe);
}

static void item_done(struct zk_call *call, enum err err, const struct zk_result *results,
                      int count)
{
    struct recipe_item *item = list_entry(call, struct recipe_item, call);
    struct recipe *recipe = item->recipe;

    if (!recipe->is_cancelled) recipe->each(recipe, item->index, err, results, count);
    if (--recipe->outstanding > 0) return;
    if (recipe->is_cancelled)
        recipe_destroy(recipe);
    else
        recipe->all(recipe);
}

void recipe_batch(struct recipe *recipe, int count,
                  void (*each)(struct recipe *recipe, int index, enum err err,
                               const struct zk_result *results, int count),
                  void (*all)(struct recipe *recipe))
{
    ensure(recipe->outstanding == 0 && count > 0);
    free(recipe->items);
    recipe->items = ensure_zalloc((size_t)count * sizeof(*recipe->items));
    recipe->outstanding = count;
    recipe->each = each;
    recipe->all = all;
}

void recipe_ask(struct recipe *recipe, int index, const struct zk_op *ops, int count)
{
    struct recipe_item *item = &recipe->items[index];

    item->recipe = recipe;
    item->index = index;
    item->call = (struct zk_call){.done = item_done, .retry_loss = true};
    zk_submit(recipe->zk, &item->call, ops, count);
}

/* Where the answer itself decides what comes next, there is one item: `each` runs when nothing is
 * outstanding any more, so that it may begin a batch or end the recipe. */
static void one_done(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct recipe_item *item = list_entry(call, struct recipe_item, call);
    struct recipe *recipe = item->recipe;

    recipe->outstanding--;
    if (recipe->is_cancelled)
        recipe_destroy(recipe);
    else
        recipe->each(recipe, 0, err, results, count);
}

void recipe_ask_one(struct recipe *recipe, const struct zk_op *ops, int count,
                    void (*each)(struct recipe *recipe, int index, enum err err,
                                 const struct zk_result *results, int count))
{
    recipe_batch(recipe, 1, each, NULL);
    recipe->items[0] = (struct recipe_item){
        .recipe = recipe,
        .call = {.done = one_done, .retry_loss = true},
    };
    zk_submit(recipe->zk, &recipe->items[0].call, ops, count);
}

void recipe_pause(struct recipe *recipe, int64_t ms, void (*resume)(struct recipe *recipe))
{
    struct shard *shard = zk_shard(recipe->zk);

    recipe->resume = resume;
    timer_arm(shard, &recipe->timer, instant_add_ms(shard_now(shard), ms));
}

int recipe_ask_parents(struct recipe *recipe, int from, struct slice path)
{
    int count = 0;

    for (size_t i = 1; i < path.len; i++) {
        if (path.ptr[i] != '/') continue;
        struct zk_op op = {.kind = ZK_CREATE, .path = slice_of(path.ptr, i)};
        if (recipe != NULL) recipe_ask(recipe, from + count, &op, 1);
        count++;
    }
    return count;
}

/* ---- fences */

struct zk_op recipe_fence(int32_t epoch_version)
{
    return (struct zk_op){
        .kind = ZK_CHECK, .path = PATH_CONTROLLER_EPOCH, .version = epoch_version};
}

enum err recipe_fenced_err(enum err err, const struct zk_result *results, int count)
{
    /* The op behind the fence may be ERR_ZK_VERSION too: only the fence itself tells. */
    if (err == ERR_ZK_VERSION && count > 0 && results[0].err == ERR_ZK_VERSION)
        return ERR_NOT_CONTROLLER;
    return err;
}

/* ---- create */

struct create {
    struct recipe base;
    struct slice path, data;
    bool exists_ok;
    int rounds;
    enum err err;
    recipe_done *done;
};

static void create_try(struct create *create);

static void create_end(struct create *create, enum err err)
{
    if (err == ERR_EXISTS && create->exists_ok) err = ERR_OK;
    create->done(create->base.owner, err);
    recipe_destroy(&create->base);
}

static void create_parent(struct recipe *recipe, int index, enum err err,
                          const struct zk_result *results, int count)
{
    struct create *create = (struct create *)recipe;

    (void)index, (void)results, (void)count;
    if (err != ERR_OK && err != ERR_EXISTS && create->err == ERR_OK) create->err = err;
}

static void create_parents_made(struct recipe *recipe)
{
    struct create *create = (struct create *)recipe;

    if (create->err == ERR_OK)
        create_try(create);
    else
        create_end(create, create->err);
}

static void create_answer(struct recipe *recipe, int index, enum err err,
                          const struct zk_result *results, int count)
{
    struct create *create = (struct create *)recipe;
    int parents = recipe_ask_parents(NULL, 0, create->path);

    (void)index, (void)results, (void)count;
    if (err != ERR_NOT_FOUND || parents == 0 || ++create->rounds > ROUNDS_MAX) {
        create_end(create, err);
        return;
    }
    recipe_batch(recipe, parents, create_parent, create_parents_made);
    recipe_ask_parents(recipe, 0, create->path);
}

static void create_try(struct create *create)
{
    struct zk_op op = {.kind = ZK_CREATE, .path = create->path, .data = create->data};

    recipe_ask_one(&create->base, &op, 1, create_answer);
}

struct recipe *recipe_create(struct zk *zk, struct slice path, struct slice data, bool exists_ok,
                             recipe_done *done, void *owner)
{
    struct create *create = recipe_create_of(sizeof(*create), zk, owner);

    create->path = arena_copy(&create->base.arena, path);
    create->data = arena_copy(&create->base.arena, data);
    create->exists_ok = exists_ok;
    create->done = done;
    create_try(create);
    return &create->base;
}

/* ---- ensure: a round of reads, which the server near us answers, then what is missing */

struct provide {
    struct recipe base;
    struct map paths; /* with all their parents, which come first: → themselves */
    struct slice *missing;
    int missing_count;
    enum err err;
    recipe_done *done;
};

static void provide_fini(struct recipe *recipe)
{
    map_fini(&((struct provide *)recipe)->paths);
}

static void provide_end(struct provide *provide)
{
    provide->done(provide->base.owner, provide->err);
    recipe_destroy(&provide->base);
}

static void provide_made(struct recipe *recipe, int index, enum err err,
                         const struct zk_result *results, int count)
{
    struct provide *provide = (struct provide *)recipe;

    (void)index, (void)results, (void)count;
    if (err != ERR_OK && err != ERR_EXISTS && provide->err == ERR_OK) provide->err = err;
}

static void provide_all_made(struct recipe *recipe)
{
    provide_end((struct provide *)recipe);
}

static void provide_seen(struct recipe *recipe, int index, enum err err,
                         const struct zk_result *results, int count)
{
    struct provide *provide = (struct provide *)recipe;

    (void)results, (void)count;
    if (err == ERR_OK)
        provide->missing[index] = SLICE_NULL;
    else if (err == ERR_NOT_FOUND)
        provide->missing_count++;
    else if (provide->err == ERR_OK)
        provide->err = err;
}

static void provide_all_seen(struct recipe *recipe)
{
    struct provide *provide = (struct provide *)recipe;
    int next = 0;

    if (provide->err != ERR_OK || provide->missing_count == 0) {
        provide_end(provide);
        return;
    }
    recipe_batch(recipe, provide->missing_count, provide_made, provide_all_made);
    for (size_t i = 0; i < provide->paths.count; i++) {
        struct zk_op op = {.kind = ZK_CREATE, .path = provide->missing[i]};
        if (!slice_is_null(op.path)) recipe_ask(recipe, next++, &op, 1);
    }
}

struct recipe *recipe_ensure(struct zk *zk, const struct slice *paths, int count, recipe_done *done,
                             void *owner)
{
    struct provide *provide = recipe_create_of(sizeof(*provide), zk, owner);
    int n = 0;

    ensure(count > 0);
    map_init(&provide->paths);
    provide->done = done;
    provide->base.fini = provide_fini;
    for (int i = 0; i < count; i++)
        for (size_t end = 1; end <= paths[i].len; end++)
            if (end == paths[i].len || paths[i].ptr[end] == '/')
                map_set(&provide->paths, slice_of(paths[i].ptr, end), provide);
    provide->missing =
        arena_zalloc(&provide->base.arena, provide->paths.count * sizeof(*provide->missing));
    recipe_batch(&provide->base, (int)provide->paths.count, provide_seen, provide_all_seen);
    map_each (entry, &provide->paths) {
        provide->missing[n] = map_key(entry);
        recipe_ask(&provide->base, n, &(struct zk_op){.kind = ZK_EXISTS, .path = map_key(entry)},
                   1);
        n++;
    }
    return &provide->base;
}

/* ---- delete: lists level by level, then deletes from the leaves up; both pipelined, for requests
 * of a session are done in their order */

struct delete
{
    struct recipe base;
    struct slice root;
    struct slice *nodes; /* parents before children */
    int count, capacity;
    int level, level_end; /* of `nodes`: those that are being listed */
    bool is_fenced;
    int32_t fence;
    int rounds;
    bool has_newcomers; /* a node got a child after it was listed */
    enum err err;
    recipe_done *done;
};

static void delete_list(struct delete *delete, int from);
static void delete_begin(struct delete *delete);

static void delete_fini(struct recipe *recipe)
{
    free(((struct delete *)recipe)->nodes);
}

static void delete_end(struct delete *delete)
{
    delete->done(delete->base.owner, delete->err);
    recipe_destroy(&delete->base);
}

static void delete_add(struct delete *delete, struct slice path)
{
    if (delete->count == delete->capacity) {
        delete->capacity = delete->capacity == 0 ? 16 : delete->capacity * 2;
        delete->nodes =
            ensure_realloc(delete->nodes, (size_t) delete->capacity * sizeof(*delete->nodes));
    }
    delete->nodes[delete->count++] = path;
}

static void delete_gone(struct recipe *recipe, int index, enum err err,
                        const struct zk_result *results, int count)
{
    struct delete *delete = (struct delete *)recipe;

    (void)index;
    if (delete->is_fenced) err = recipe_fenced_err(err, results, count);
    if (err == ERR_ZK_CHILDREN)
        delete->has_newcomers = true;
    else if (err != ERR_OK && err != ERR_NOT_FOUND && delete->err == ERR_OK)
        delete->err = err;
}

static void delete_all_gone(struct recipe *recipe)
{
    struct delete *delete = (struct delete *)recipe;

    if (delete->err == ERR_OK && delete->has_newcomers) {
        if (++delete->rounds < ROUNDS_MAX) {
            delete_begin(delete);
            return;
        }
        delete->err = ERR_ZK_CHILDREN;
    }
    delete_end(delete);
}

static void delete_nodes(struct delete *delete)
{
    recipe_batch(&delete->base, delete->count, delete_gone, delete_all_gone);
    for (int i = 0; i < delete->count; i++) {
        struct zk_op ops[] = {
            recipe_fence(delete->fence),
            {.kind = ZK_DELETE,
             .path = delete->nodes[delete->count - 1 - i],
             .version = ZK_ANY_VERSION},
        };
        recipe_ask(&delete->base, i, delete->is_fenced ? ops : ops + 1, delete->is_fenced ? 2 : 1);
    }
}

static void delete_listed(struct recipe *recipe, int index, enum err err,
                          const struct zk_result *results, int count)
{
    struct delete *delete = (struct delete *)recipe;
    struct slice parent = delete->nodes[delete->level + index];

    if (err != ERR_OK && err != ERR_NOT_FOUND && delete->err == ERR_OK) delete->err = err;
    for (int i = 0; err == ERR_OK && count == 1 && i < results->child_count; i++)
        delete_add(delete, path_child(&recipe->arena, parent, results->children[i]));
}

static void delete_level_listed(struct recipe *recipe)
{
    struct delete *delete = (struct delete *)recipe;

    if (delete->err != ERR_OK)
        delete_end(delete);
    else
        delete_list(delete, delete->level_end);
}

/* Lists what stands from `from` on. */
static void delete_list(struct delete *delete, int from)
{
    int count = delete->count - from;

    if (count == 0) {
        delete_nodes(delete);
        return;
    }
    delete->level = from;
    delete->level_end = delete->count;
    recipe_batch(&delete->base, count, delete_listed, delete_level_listed);
    for (int i = 0; i < count; i++) {
        struct zk_op op = {.kind = ZK_CHILDREN, .path = delete->nodes[from + i]};
        recipe_ask(&delete->base, i, &op, 1);
    }
}

static void delete_begin(struct delete *delete)
{
    delete->count = 0;
    delete->has_newcomers = false;
    delete_add(delete, delete->root);
    delete_list(delete, 0);
}

struct recipe *recipe_delete(struct zk *zk, struct slice path, const int32_t *fence,
                             recipe_done *done, void *owner)
{
    struct delete *delete = recipe_create_of(sizeof(*delete), zk, owner);

    delete->root = arena_copy(&delete->base.arena, path);
    delete->is_fenced = fence != NULL;
    delete->fence = fence == NULL ? 0 : *fence;
    delete->done = done;
    delete->base.fini = delete_fini;
    delete_begin(delete);
    return &delete->base;
}

/* ---- children and their data */

struct read_children {
    struct recipe base;
    struct slice path;
    bool watch_data;
    struct zk_stat stat;
    struct recipe_child *children; /* name null: it vanished */
    int count;
    enum err err;
    void (*done)(void *owner, enum err err, const struct recipe_child *children, int count,
                 const struct zk_stat *stat);
};

static void read_end(struct read_children *read, enum err err)
{
    int kept = 0;

    for (int i = 0; i < read->count; i++)
        if (!slice_is_null(read->children[i].name)) read->children[kept++] = read->children[i];
    read->done(read->base.owner, err, read->children, err == ERR_OK ? kept : 0, &read->stat);
    recipe_destroy(&read->base);
}

static void read_child(struct recipe *recipe, int index, enum err err,
                       const struct zk_result *results, int count)
{
    struct read_children *read = (struct read_children *)recipe;
    struct recipe_child *child = &read->children[index];

    if (err == ERR_OK && count == 1) {
        child->data = arena_copy(&recipe->arena, results->data);
        child->stat = results->stat;
    } else if (err == ERR_NOT_FOUND) {
        child->name = SLICE_NULL;
    } else if (read->err == ERR_OK) {
        read->err = err;
    }
}

static void read_all(struct recipe *recipe)
{
    struct read_children *read = (struct read_children *)recipe;

    read_end(read, read->err);
}

static void read_listed(struct recipe *recipe, int index, enum err err,
                        const struct zk_result *results, int count)
{
    struct read_children *read = (struct read_children *)recipe;
    struct arena paths;

    (void)index;
    if (err == ERR_OK && count == 1) {
        read->stat = results->stat;
        read->children = arena_zalloc(&recipe->arena,
                                      (size_t)results->child_count * sizeof(*read->children) + 1);
        read->count = results->child_count;
        for (int i = 0; i < read->count; i++)
            read->children[i].name = arena_copy(&recipe->arena, results->children[i]);
    }
    if (err != ERR_OK || read->count == 0) {
        read_end(read, err);
        return;
    }
    arena_init(&paths, SIZE_MAX / 2);
    recipe_batch(recipe, read->count, read_child, read_all);
    for (int i = 0; i < read->count; i++) {
        struct zk_op op = {.kind = ZK_GET,
                           .path = path_child(&paths, read->path, read->children[i].name),
                           .watch = read->watch_data};
        recipe_ask(recipe, i, &op, 1);
    }
    arena_fini(&paths);
}

struct recipe *
recipe_read_children(struct zk *zk, struct slice path, bool watch_list, bool watch_data,
                     void (*done)(void *owner, enum err err, const struct recipe_child *children,
                                  int count, const struct zk_stat *stat),
                     void *owner)
{
    struct read_children *read = recipe_create_of(sizeof(*read), zk, owner);

    read->path = arena_copy(&read->base.arena, path);
    read->watch_data = watch_data;
    read->done = done;
    recipe_ask_one(&read->base,
                   &(struct zk_op){.kind = ZK_CHILDREN, .path = path, .watch = watch_list}, 1,
                   read_listed);
    return &read->base;
}
