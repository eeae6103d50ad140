/* broker/census.c - see census.h. */
#include "broker/census.h"
#include "base/ensure.h"
#include "broker/api/control.h"
#include "broker/broker_private.h"
#include "runtime/meeting.h"
#include <stdlib.h>

#define AGE_MS_MAX  1000
#define WAIT_MS_MAX 5000
#define PIECE       256 /* partitions, or commits of groups: about 50 µs of a turn */

struct taker {
    struct census_part part;
    struct arena texts;
    size_t topics_room, partitions_room, groups_room, offsets_room;
    struct taken *of;
    struct broker_shard *shard;
    struct disk_job job; /* brings the order, from the thread that asks */
    struct post post;    /* the next piece */
    bool is_at_groups;
};

/* A census, and how it comes about. */
struct taken {
    struct census census;
    struct censuses *of;
    struct taker *takers; /* of the data shards */
    struct disk_job lend, release;
    struct image *image;
    _Atomic int missing; /* parts, and the control shard's */
    int holders;         /* under the lock, as all below */
    struct instant at;
    struct list_node node; /* of censuses.all */
};

struct censuses {
    struct broker *broker;
    struct meeting *meeting; /* of those who wait, and the lock */
    struct taken *latest;    /* whole, and held; or NULL */
    struct taken *coming;    /* or NULL */
    struct list all;
    bool is_stopped;
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static void *grow(void *at, size_t count, size_t *room, size_t size)
{
    if (count < *room) return at;
    *room = *room == 0 ? 64 : *room * 2;
    return ensure_realloc(at, *room * size);
}

/* ---- on the data shards ---- */

static int32_t take_topic(void *to, const struct topic_fact *fact)
{
    struct taker *taker = to;
    struct census_part *part = &taker->part;

    part->topics =
        grow(part->topics, part->topic_count, &taker->topics_room, sizeof(part->topics[0]));
    part->topics[part->topic_count] = *fact;
    part->topics[part->topic_count].topic = arena_copy(&taker->texts, fact->topic);
    return (int32_t)part->topic_count++;
}

static void take_partition(void *to, const struct partition_fact *fact)
{
    struct taker *taker = to;
    struct census_part *part = &taker->part;

    part->partitions = grow(part->partitions, part->partition_count, &taker->partitions_room,
                            sizeof(part->partitions[0]));
    part->partitions[part->partition_count++] = *fact;
}

static int32_t take_group(void *to, const struct group_fact *fact)
{
    struct taker *taker = to;
    struct census_part *part = &taker->part;

    part->groups =
        grow(part->groups, part->group_count, &taker->groups_room, sizeof(part->groups[0]));
    part->groups[part->group_count] = (struct census_group){
        .name = arena_copy(&taker->texts, fact->group),
        .state = fact->state,
        .members = fact->members,
        .offsets_from = part->offset_count,
    };
    return (int32_t)part->group_count++;
}

static void take_offset(void *to, int32_t group, struct slice topic, int32_t partition,
                        int64_t offset)
{
    struct taker *taker = to;
    struct census_part *part = &taker->part;
    struct census_group *of = &part->groups[group];

    part->offsets =
        grow(part->offsets, part->offset_count, &taker->offsets_room, sizeof(part->offsets[0]));
    struct census_offset *at = &part->offsets[part->offset_count++];
    /* Offsets of a topic come one after another. */
    bool is_same = of->offsets_count > 0 && slice_equal(at[-1].topic, topic);
    *at = (struct census_offset){
        .topic = is_same ? at[-1].topic : arena_copy(&taker->texts, topic),
        .partition = partition,
        .offset = offset,
    };
    of->offsets_count++;
}

static void part_done(struct taken *taken);

static void take_piece(struct post *post)
{
    struct taker *taker = CONTAINER(post, struct taker, post);
    struct api_shard *api = &taker->shard->api;
    const struct partitions_watcher partitions = {take_topic, take_partition, taker};
    const struct groups_watcher groups = {take_group, take_offset, taker};
    bool is_more;

    if (!taker->is_at_groups) {
        is_more = partitions_walk(api->partitions, PIECE, &partitions);
        if (!is_more) {
            taker->is_at_groups = is_more = true;
            groups_walk_begin(api->groups);
        }
    } else {
        is_more = groups_walk(api->groups, PIECE, &groups);
    }
    if (is_more)
        shard_post_last(api->shard, post); /* in the next turn */
    else
        part_done(taker->of);
}

static void take_begin(struct disk_job *job)
{
    struct taker *taker = CONTAINER(job, struct taker, job);
    struct api_shard *api = &taker->shard->api;

    partitions_walk_begin(api->partitions);
    /* Room for all at once: none is moved in a later turn. */
    taker->partitions_room = (size_t)gauge_value(&partitions_counts(api->partitions)->partitions);
    taker->part.partitions =
        ensure_malloc((taker->partitions_room + 1) * sizeof(taker->part.partitions[0]));
    taker->post.run = take_piece;
    shard_post_last(api->shard, &taker->post);
}

/* ---- on the control shard ---- */

static void lend_image(struct disk_job *job)
{
    struct taken *taken = CONTAINER(job, struct taken, lend);
    struct broker *broker = taken->of->broker;

    taken->image = image_hold(control_image(broker->control));
    taken->census.image = taken->image;
    memcpy(taken->census.cluster_id, broker->cluster_id, sizeof(taken->census.cluster_id));
    part_done(taken);
}

static void taken_free(struct taken *taken)
{
    for (int i = 0; i < taken->census.part_count; i++) {
        struct taker *taker = &taken->takers[i];
        free(taker->part.topics);
        free(taker->part.partitions);
        free(taker->part.groups);
        free(taker->part.offsets);
        arena_fini(&taker->texts);
    }
    image_release(&taken->image);
    free(taken->census.parts);
    free(taken->takers);
    free(taken);
}

static void release(struct disk_job *job)
{
    struct taken *taken = CONTAINER(job, struct taken, release);

    meeting_lock(taken->of->meeting);
    list_remove(&taken->node);
    meeting_unlock(taken->of->meeting);
    taken_free(taken);
}

/* ---- between the threads ---- */

/* Under the lock. The image goes back where it was lent; when that does not turn any more,
 * censuses_destroy finds it. */
static void let_go(struct taken *taken)
{
    ensure(taken->holders > 0);
    if (--taken->holders > 0) return;
    taken->release.done = release;
    shard_complete(&taken->of->broker->main->shard, &taken->release);
}

static void part_done(struct taken *taken)
{
    struct censuses *censuses = taken->of;

    if (atomic_fetch_sub(&taken->missing, 1) > 1) return;
    for (int i = 0; i < taken->census.part_count; i++)
        taken->census.parts[i] = taken->takers[i].part;
    meeting_lock(censuses->meeting);
    struct taken *before = censuses->latest;
    censuses->coming = NULL;
    censuses->latest = taken; /* the hold that it came with */
    if (before != NULL) let_go(before);
    meeting_call(censuses->meeting);
    meeting_unlock(censuses->meeting);
}

/* Under the lock. */
static void begin(struct censuses *censuses, struct instant now)
{
    struct broker *broker = censuses->broker;
    int shards = broker->data_shards;
    struct taken *taken = ensure_zalloc(sizeof(*taken));

    taken->of = censuses;
    taken->holders = 1;
    taken->at = now;
    taken->census.part_count = shards;
    taken->census.parts = ensure_zalloc(sizeof(taken->census.parts[0]) * (size_t)shards);
    taken->takers = ensure_zalloc(sizeof(taken->takers[0]) * (size_t)shards);
    atomic_store(&taken->missing, shards + 1);
    list_push(&censuses->all, &taken->node);
    censuses->coming = taken;
    for (int i = 0; i < shards; i++) {
        struct taker *taker = &taken->takers[i];
        arena_init(&taker->texts, SIZE_MAX);
        taker->of = taken;
        taker->shard = &broker->shards[i];
        taker->job.done = take_begin;
        shard_complete(&broker->shards[i].shard, &taker->job);
    }
    taken->lend.done = lend_image;
    shard_complete(&broker->main->shard, &taken->lend);
}

/* Under the lock. NULL: there is none that was begun a moment before `asked`, or later. */
static struct taken *fresh(const struct censuses *censuses, struct instant asked)
{
    struct taken *latest = censuses->latest;

    return latest != NULL && instant_ms_between(latest->at, asked) <= AGE_MS_MAX ? latest : NULL;
}

enum err census_take(struct censuses *censuses, struct census **out)
{
    const struct env *env = censuses->broker->env;
    struct instant asked = env_now(env), late = instant_add_ms(asked, WAIT_MS_MAX);
    struct taken *found = NULL;
    enum err err = ERR_OK;

    meeting_lock(censuses->meeting);
    while (err == ERR_OK && (found = fresh(censuses, asked)) == NULL) {
        struct instant now = env_now(env);
        if (censuses->is_stopped)
            err = ERR_CLOSED;
        else if (instant_reached(now, late))
            err = ERR_TIMED_OUT;
        else if (censuses->coming == NULL)
            begin(censuses, now);
        else
            meeting_wait(censuses->meeting, instant_ms_between(now, late) + 1);
    }
    if (found != NULL) {
        found->holders++;
        *out = &found->census;
    }
    meeting_unlock(censuses->meeting);
    return err;
}

void census_give(struct censuses *censuses, struct census **census)
{
    meeting_lock(censuses->meeting);
    let_go(CONTAINER(*census, struct taken, census));
    meeting_unlock(censuses->meeting);
    *census = NULL;
}

/* ---- life ---- */

struct censuses *censuses_create(struct broker *broker)
{
    struct censuses *censuses = ensure_zalloc(sizeof(*censuses));

    censuses->broker = broker;
    censuses->meeting = meeting_create();
    list_init(&censuses->all);
    return censuses;
}

void censuses_stop(struct censuses *censuses)
{
    meeting_lock(censuses->meeting);
    censuses->is_stopped = true;
    meeting_call(censuses->meeting);
    meeting_unlock(censuses->meeting);
}

void censuses_destroy(struct censuses **censuses)
{
    struct censuses *it = *censuses;

    if (it == NULL) return;
    for (struct list_node *node; (node = list_pop(&it->all)) != NULL;)
        taken_free(list_entry(node, struct taken, node));
    meeting_destroy(&it->meeting);
    free(it);
    *censuses = NULL;
}
