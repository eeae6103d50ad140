/* controller/znodes.c - see znodes.h. */
#include "controller/znodes.h"
#include "controller/warm.h"
#include "base/arena.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/planted.h"
#include "zk/paths.h"
#include "zk/recipes.h"
#include <stdlib.h>

/* Of one multi: ZooKeeper's limit of a packet is 1 MiB. */
#define GROUP_OPS_MAX   100
#define GROUP_BYTES_MAX (256 * 1024)
#define PATHS_MAX       (1 << 20)

struct batch {
    struct znodes *znodes;
    struct task *task; /* NULL: forgotten */
    struct list_node node;
    int32_t left;    /* requests without answer */
    int32_t holders; /* calls under way */
    int32_t epoch_version;
    struct post post; /* when nothing had to be asked */
};

struct group {
    struct zk_call call;
    struct batch *batch;
    int32_t first, count; /* of the batch's requests */
    int32_t checks;       /* before them: the fence and the guards */
    bool is_fenced;
};

struct znodes {
    struct shard *shard;
    struct zk *zk;
    const struct warm *warm;
    void (*answered)(void *owner, struct task *task);
    void (*moved)(void *owner);
    void *owner;
    struct list batches;
};

struct znodes *znodes_create(struct shard *shard, struct zk *zk, const struct warm *warm,
                             void (*answered)(void *owner, struct task *task),
                             void (*moved)(void *owner), void *owner)
{
    struct znodes *znodes = ensure_zalloc(sizeof(*znodes));

    znodes->shard = shard;
    znodes->zk = zk;
    znodes->warm = warm;
    znodes->answered = answered;
    znodes->moved = moved;
    znodes->owner = owner;
    list_init(&znodes->batches);
    return znodes;
}

static void release(struct batch *batch)
{
    if (batch->holders > 0 || (batch->task != NULL && batch->left > 0)) return;
    list_remove(&batch->node);
    shard_unpost(&batch->post);
    free(batch);
}

void znodes_forget(struct znodes *znodes)
{
    list_each (node, &znodes->batches) {
        struct batch *batch = list_entry(node, struct batch, node);

        batch->task = NULL;
        release(batch);
    }
}

void znodes_destroy(struct znodes **znodes)
{
    if (*znodes == NULL) return;
    znodes_forget(*znodes);
    ensure(list_is_empty(&(*znodes)->batches));
    free(*znodes);
    *znodes = NULL;
}

static struct zk_op op_of(const struct request *r)
{
    return (struct zk_op){
        .kind = r->kind,
        .path = slice_text(r->path),
        .data = r->data,
        .version = r->version,
        .watch = r->is_watching,
    };
}

static void submit(struct batch *batch, int32_t first, int32_t count, bool is_fenced);

static void answer(struct batch *batch, int32_t place, const struct zk_result *result)
{
    struct request *r = &batch->task->requests.at[place];

    request_answer(r, result->err, &result->stat, result->data, result->children,
                   result->child_count);
    batch->left--;
}

static void finish(struct batch *batch)
{
    struct znodes *znodes = batch->znodes;
    struct task *task = batch->task;
    bool is_whole = task != NULL && batch->left == 0;

    release(batch);
    if (is_whole) znodes->answered(znodes->owner, task);
}

/* What had to be done at once is decided anew; the others of the multi are done each by itself, or
 * were done: their versions tell. */
static void group_lost(struct batch *batch, int32_t first, int32_t n)
{
    const struct zk_result loss = {.err = ERR_ZK_LOSS};

    for (int32_t i = first; i < first + n; i++) {
        if (batch->task->requests.at[i].is_for_now)
            answer(batch, i, &loss);
        else
            submit(batch, i, 1, true);
    }
    finish(batch);
}

static void group_done(struct zk_call *call, enum err err, const struct zk_result *results,
                       int count)
{
    struct group *group = list_entry(call, struct group, call);
    struct batch *batch = group->batch;
    int32_t first = group->first;
    int32_t n = group->count;
    int32_t checks = group->checks;
    bool is_fenced = group->is_fenced;
    struct znodes *znodes = batch->znodes;

    free(group);
    batch->holders--;
    if (batch->task == NULL || err == ERR_ZK_EXPIRED || err == ERR_ZK_AUTH ||
        err == ERR_CANCELLED) {
        /* Dropped, or the session is gone: its owner resigns. */
        release(batch);
        return;
    }
    if (is_fenced && count > 0 && results[0].err == ERR_ZK_VERSION) {
        znodes_forget(znodes);
        znodes->moved(znodes->owner);
        return;
    }
    if (err == ERR_ZK_LOSS) {
        group_lost(batch, first, n);
        return;
    }
    if (is_fenced && err != ERR_OK && n > 1) {
        for (int32_t i = 0; i < n; i++)
            submit(batch, first + i, 1, true);
        return;
    }
    /* Refused before it was sent, or as too large: its task must hear it like any other error. */
    const struct zk_result refusal = {.err = err};
    for (int32_t i = 0; i < n; i++)
        answer(batch, first + i, count == 0 ? &refusal : &results[checks + i]);
    finish(batch);
}

static void add_guard(struct guard *guards, int32_t *count, const struct guard *guard)
{
    for (int32_t i = 0; i < *count; i++)
        if (guards[i].broker == guard->broker && guards[i].version == guard->version) return;
    guards[(*count)++] = *guard;
}

static void submit(struct batch *batch, int32_t first, int32_t count, bool is_fenced)
{
    const struct request *requests = &batch->task->requests.at[first];
    struct group *group = ensure_zalloc(sizeof(*group));
    struct guard *guards;
    int32_t guard_count = 0, guard_capacity = 0;
    struct arena arena;
    bool is_for_now = false;
    int n = 0;

    if (planted(unfenced_writes)) is_fenced = false;
    for (int32_t i = 0; i < count; i++) {
        is_for_now |= requests[i].is_for_now;
        guard_capacity += requests[i].guard_count;
    }
    guards = ensure_zalloc((size_t)(guard_capacity + 1) * sizeof(*guards));
    for (int32_t i = 0; i < count && is_fenced; i++)
        for (int32_t g = 0; g < requests[i].guard_count; g++)
            add_guard(guards, &guard_count, &requests[i].guards[g]);
    arena_init(&arena, PATHS_MAX);
    struct zk_op *ops = ensure_zalloc((size_t)(1 + guard_count + count) * sizeof(*ops));
    if (is_fenced) ops[n++] = recipe_fence(batch->epoch_version);
    for (int32_t g = 0; g < guard_count; g++)
        ops[n++] = (struct zk_op){.kind = ZK_CHECK,
                                  .path = path_broker(&arena, guards[g].broker),
                                  .version = guards[g].version};
    *group = (struct group){
        .call = {.done = group_done, .retry_loss = !is_for_now},
        .batch = batch,
        .first = first,
        .count = count,
        .checks = n,
        .is_fenced = is_fenced,
    };
    for (int32_t i = 0; i < count; i++)
        ops[n++] = op_of(&requests[i]);
    batch->holders++;
    zk_submit(batch->znodes->zk, &group->call, ops, n);
    free(ops);
    arena_fini(&arena);
    free(guards);
}

static void answered_now(struct post *post)
{
    finish(list_entry(post, struct batch, post));
}

void znodes_ask(struct znodes *znodes, struct task *task, int32_t epoch_version)
{
    struct batch *batch = ensure_zalloc(sizeof(*batch));
    const struct requests *rs = &task->requests;

    *batch = (struct batch){
        .znodes = znodes, .task = task, .left = rs->count, .epoch_version = epoch_version};
    list_push(&znodes->batches, &batch->node);

    for (int32_t i = 0; i < rs->count;) {
        size_t bytes = 0;
        int32_t n = 0;

        if (rs->at[i].is_warm_enough && warm_answer(znodes->warm, &rs->at[i])) {
            batch->left--;
            i++;
            continue;
        }

        while (i + n < rs->count && rs->at[i + n].is_fenced && n < GROUP_OPS_MAX) {
            bytes += rs->at[i + n].data.len + strlen(rs->at[i + n].path) + 64;
            if (n > 0 && bytes > GROUP_BYTES_MAX) break;
            n++;
        }
        submit(batch, i, n == 0 ? 1 : n, n > 0);
        i += n == 0 ? 1 : n;
    }
    if (batch->left == 0) {
        batch->post.run = answered_now;
        shard_post(znodes->shard, &batch->post);
    }
}
