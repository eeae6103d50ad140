/* broker/group/groups_log.c - what groups append to __consumer_offsets. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/group/hosted_group.h"
#include "cluster/image.h"
#include "cluster/types.h"
#include "wire/record.h"
#include <stdlib.h>

/* A group's tombstones are cut into batches of about so much: far below what a batch may be. */
#define TOMBSTONES_BYTES_MAX (256 * 1024)
/* Commits of a turn go into one batch until it has so much. */
#define COMMITS_BYTES (64 * 1024)

/* ---- how the log's errors are told ---- */

/* Of an assignment or a static member's return. */
static enum err store_err(enum err err)
{
    switch ((int)err) {
    case ERR_OK:
        return ERR_OK;
    case ERR_NOT_ENOUGH_REPLICAS:
    case ERR_FULL: /* passes by itself, as does the next */
    case ERR_TOO_MANY:
        return ERR_NO_COORDINATOR;
    case ERR_NOT_FOUND:
    case ERR_NOT_LEADER:
    case ERR_OFFLINE:
    case ERR_IO:
        return ERR_NOT_COORDINATOR;
    case ERR_TIMED_OUT:
        return ERR_REBALANCING;
    default:
        return ERR_INVALID;
    }
}

static enum err commit_err(enum err err)
{
    switch ((int)err) {
    case ERR_TIMED_OUT:
        return err;
    case ERR_TOO_LARGE:
    case ERR_LIMIT:
        return ERR_COMMIT_TOO_LARGE;
    default:
        return store_err(err);
    }
}

/* ---- one append ---- */

/* The call's part in what became of the batch. */
static void finish_commit(struct group_append *append, struct groups_call *call, enum err err)
{
    struct groups *groups = append->of;
    struct offsets *offsets = call->committing == NULL ? NULL : call->committing->offsets;

    for (int i = 0; i < call->part_count; i++) {
        struct groups_part *part = &call->parts[i];
        if (part->err != ERR_OK) continue;
        if (offsets != NULL && err == ERR_OK)
            offsets_done(offsets, part->topic, part->partition, &part->commit, append->base_offset);
        else if (offsets != NULL)
            offsets_undone(offsets, part->topic, part->partition);
        part->err = err;
    }
    counter_add(err == ERR_OK ? &groups->counts.commits : &groups->counts.commits_failed, 1);
    list_remove(&call->in_group);
    call->committing = NULL;
    groups_answered(groups, call);
}

static void finish(struct group_append *append)
{
    struct groups *groups = append->of;
    struct list_node *node;

    if (append->store != NULL) { /* fed in the post: never within the step that asked for it */
        list_push(&groups->stored, &append->told);
        shard_post(groups->shard, &groups->tell);
        return;
    }
    while ((node = list_pop(&append->commits)) != NULL)
        finish_commit(append, list_entry(node, struct groups_call, node), commit_err(append->err));
    free(append);
}

static void on_committed(struct commit_wait *wait, enum err err)
{
    struct group_append *append =
        (struct group_append *)(void *)((char *)wait - offsetof(struct group_append, wait));

    append->err = err;
    finish(append);
}

static void batch_begin(struct groups *groups, struct record_builder *builder)
{
    int codec = groups->settings->codec;

    buf_clear(&groups->batch);
    record_builder_begin(builder, &groups->batch);
    if (codec > BATCH_CODEC_NONE && codec < BATCH_CODEC_COUNT)
        builder->head.attributes = (uint16_t)codec;
}

static void append_batch(struct coordinator *coordinator, struct record_builder *builder,
                         bool waits, struct append *out, struct commit_wait *wait)
{
    struct groups *groups = coordinator->of;

    record_builder_end(builder);
    *out = (struct append){
        .topic = SLICE(TOPIC_NAME_OFFSETS),
        .partition = coordinator->partition,
        .records = groups->batch.ptr,
        .len = groups->batch.len,
        .origin = CHECK_COORDINATOR,
        .acks_all = waits,
        .deadline = instant_add_ms(shard_now(groups->shard), groups->settings->commit_timeout_ms),
        .wait = wait,
        .arena = &groups->arena,
    };
    partitions_append(groups->partitions, out);
    /* Who retries is told; the operator only what will not pass by itself. */
    if (out->err != ERR_OK && out->err != ERR_NOT_LEADER && out->err != ERR_NOT_FOUND)
        log_warn("group", "not-appended", "partition=%d why=%s", coordinator->partition,
                 err_name(out->err));
    if (groups->batch.capacity > 4 * TOMBSTONES_BYTES_MAX) buf_fini(&groups->batch);
}

static struct group_append *append_create(struct groups *groups)
{
    struct group_append *append = ensure_zalloc(sizeof(*append));

    append->of = groups;
    append->wait.done = on_committed;
    list_init(&append->commits);
    return append;
}

/* True: its fate is known. */
static bool start(struct group_append *append, struct coordinator *coordinator,
                  struct record_builder *builder)
{
    bool waits = append->of->settings->required_acks == -1;
    struct append out;

    append_batch(coordinator, builder, waits, &out, &append->wait);
    append->base_offset = out.base_offset;
    append->err = out.err;
    return !out.waits;
}

static void append_commits(struct coordinator *coordinator);

/* ---- groups ---- */

void groups_log_store(struct hosted_group *hosted, struct group_store *store)
{
    struct groups *groups = hosted->of->of;
    struct group_append *append = append_create(groups);
    struct group_metadata_value value;
    struct record_builder builder;

    append_commits(hosted->of); /* what came before stands before */
    append->store = store;
    append->group = hosted;
    list_push(&hosted->appends, &append->node);
    buf_clear(&groups->key);
    buf_clear(&groups->value);
    group_value(hosted->machine, &groups->arena, &value);
    group_log_write_group_key(&groups->key, hosted_group_id(hosted));
    group_log_write_group(&groups->value, groups->settings->level, &value);
    batch_begin(groups, &builder);
    record_builder_add(&builder, groups_wall_ms(groups), buf_slice(&groups->key),
                       buf_slice(&groups->value), NULL, 0);
    if (start(append, hosted->of, &builder)) finish(append);
}

void groups_log_tell(struct groups *groups)
{
    for (struct list_node *node; (node = list_pop(&groups->stored)) != NULL;) {
        struct group_append *append = list_entry(node, struct group_append, told);
        struct hosted_group *hosted = append->group;
        struct group_event event = {
            .type = GROUP_STORED,
            .stored = {.store = append->store, .err = store_err(append->err)}};
        list_remove(&append->node);
        if (hosted != NULL)
            hosted_group_feed(hosted, &event);
        else
            group_store_free(&append->store);
        free(append);
    }
}

/* ---- commits: those of one turn of the shard share batches ---- */

static void add_commit(struct groups *groups, struct record_builder *builder,
                       const struct groups_call *call, int64_t now_ms)
{
    for (int i = 0; i < call->part_count; i++) {
        const struct groups_part *part = &call->parts[i];
        if (part->err != ERR_OK) continue;
        buf_clear(&groups->key);
        buf_clear(&groups->value);
        group_log_write_offset_key(&groups->key, call->group, part->topic, part->partition);
        group_log_write_offset(&groups->value, groups->settings->level, &part->commit);
        record_builder_add(builder, now_ms, buf_slice(&groups->key), buf_slice(&groups->value),
                           NULL, 0);
    }
}

/* A batch of the commits that have come, up to COMMITS_BYTES; of the first alone if `alone`. */
static struct group_append *begin_commits(struct coordinator *coordinator,
                                          struct record_builder *builder, bool alone)
{
    struct groups *groups = coordinator->of;
    struct group_append *append = append_create(groups);
    int64_t now_ms = groups_wall_ms(groups);
    struct list_node *node;

    batch_begin(groups, builder);
    while (record_builder_size(builder) < COMMITS_BYTES &&
           (node = list_pop(&coordinator->commits)) != NULL) {
        list_push(&append->commits, node);
        add_commit(groups, builder, list_entry(node, struct groups_call, node), now_ms);
        if (alone) break;
    }
    return append;
}

static void append_commits(struct coordinator *coordinator)
{
    struct record_builder builder;
    int alone = 0; /* so many of the next go one by one */

    while (!list_is_empty(&coordinator->commits)) {
        struct group_append *append = begin_commits(coordinator, &builder, alone > 0);
        bool shares = list_first(&append->commits) != list_last(&append->commits);
        bool has_ended = start(append, coordinator, &builder);
        if (alone > 0) alone--;
        /* Too large together: who is too large alone is told so, the others are not. */
        if (shares && (append->err == ERR_TOO_LARGE || append->err == ERR_LIMIT)) {
            for (struct list_node *node; (node = list_last(&append->commits)) != NULL; alone++) {
                list_remove(node);
                list_push_front(&coordinator->commits, node);
            }
            free(append);
        } else if (has_ended) {
            finish(append);
        }
    }
}

void groups_log_append(struct post *post)
{
    append_commits(
        (struct coordinator *)(void *)((char *)post - offsetof(struct coordinator, append)));
}

void groups_log_commit(struct hosted_group *hosted, struct groups_call *call)
{
    struct coordinator *coordinator = hosted->of;
    struct groups *groups = coordinator->of;
    int64_t now_ms = groups_wall_ms(groups);

    for (int i = 0; i < call->part_count; i++) {
        struct groups_part *part = &call->parts[i];
        if (part->err != ERR_OK) continue;
        if (part->commit.commit_ms < 0) part->commit.commit_ms = now_ms;
        part->commit.expire_ms = call->retention_ms < 0 ? -1 : now_ms + call->retention_ms;
        offsets_prepare(hosted->offsets, part->topic, part->partition);
    }
    call->committing = hosted;
    list_push(&hosted->commits, &call->in_group);
    list_push(&coordinator->commits, &call->node);
    shard_post(groups->shard, &coordinator->append);
}

void groups_log_refuse(struct coordinator *coordinator)
{
    shard_unpost(&coordinator->append);
    if (list_is_empty(&coordinator->commits)) return;
    struct group_append *append = append_create(coordinator->of);
    append->err = ERR_NOT_LEADER;
    for (struct list_node *node; (node = list_pop(&coordinator->commits)) != NULL;)
        list_push(&append->commits, node);
    finish(append);
}

/* ---- tombstones ---- */

void tombstones_begin(struct tombstones *tombstones, struct hosted_group *group,
                      struct record_builder *builder)
{
    append_commits(group->of); /* what came before stands before */
    *tombstones = (struct tombstones){.group = group, .builder = builder};
}

static void tombstones_flush(struct tombstones *tombstones)
{
    struct append out;

    if (tombstones->count == 0) return;
    /* One that does not come to the log is tried again with the next check, or after the next load.
     */
    append_batch(tombstones->group->of, tombstones->builder, false, &out, NULL);
    tombstones->count = 0;
}

static void tombstones_add(struct tombstones *tombstones)
{
    struct groups *groups = tombstones->group->of->of;

    if (tombstones->count == 0) batch_begin(groups, tombstones->builder);
    record_builder_add(tombstones->builder, groups_wall_ms(groups), buf_slice(&groups->key),
                       SLICE_NULL, NULL, 0);
    tombstones->count++;
    if (record_builder_size(tombstones->builder) > TOMBSTONES_BYTES_MAX)
        tombstones_flush(tombstones);
}

void tombstones_add_offset(struct tombstones *tombstones, struct slice topic, int32_t partition)
{
    struct buf *key = &tombstones->group->of->of->key;

    buf_clear(key);
    group_log_write_offset_key(key, hosted_group_id(tombstones->group), topic, partition);
    tombstones_add(tombstones);
}

void tombstones_add_group(struct tombstones *tombstones)
{
    struct buf *key = &tombstones->group->of->of->key;

    buf_clear(key);
    group_log_write_group_key(key, hosted_group_id(tombstones->group));
    tombstones_add(tombstones);
}

void tombstones_end(struct tombstones *tombstones)
{
    tombstones_flush(tombstones);
}
