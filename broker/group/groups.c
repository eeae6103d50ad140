#include "broker/group/groups.h"
#include "base/ensure.h"
#include "base/log.h"
#include "broker/group/hosted_group.h"
#include "cluster/level.h"
#include "cluster/options.h"
#include <stdlib.h>

#define MINUTE_MS 60000

void groups_settings_fill(struct groups_settings *settings, const struct options *options)
{
    *settings = (struct groups_settings){
        .group = {.initial_delay_ms = options_int(options, OPTION_GROUP_INITIAL_REBALANCE_DELAY_MS),
                  .size_max = options_int(options, OPTION_GROUP_MAX_SIZE)},
        .session_ms_min = options_int(options, OPTION_GROUP_MIN_SESSION_TIMEOUT_MS),
        .session_ms_max = options_int(options, OPTION_GROUP_MAX_SESSION_TIMEOUT_MS),
        .metadata_max = options_int(options, OPTION_OFFSET_METADATA_MAX_BYTES),
        .commit_timeout_ms = options_int(options, OPTION_OFFSETS_COMMIT_TIMEOUT_MS),
        .required_acks = options_int(options, OPTION_OFFSETS_COMMIT_REQUIRED_ACKS),
        .retention_ms = (int64_t)options_int(options, OPTION_OFFSETS_RETENTION_MINUTES) * MINUTE_MS,
        .retention_check_ms = options_long(options, OPTION_OFFSETS_RETENTION_CHECK_INTERVAL_MS),
        .load_bytes = options_int(options, OPTION_OFFSETS_LOAD_BUFFER_SIZE),
        .codec = options_int(options, OPTION_OFFSETS_TOPIC_COMPRESSION_CODEC),
        .level = (int32_t)options_level(options),
    };
}

int64_t groups_wall_ms(const struct groups *groups)
{
    return env_wall_ms(groups->shard->env);
}

/* ---- groups of a coordinator ---- */

struct coordinator *coordinator_find(const struct groups *groups, int32_t partition)
{
    return map_get(&groups->coordinators, map_int(&partition));
}

struct hosted_group *hosted_group_find(const struct coordinator *coordinator, struct slice id)
{
    return map_get(&coordinator->groups, id);
}

static void on_timer(struct timer *timer)
{
    struct hosted_group *hosted =
        (struct hosted_group *)(void *)((char *)timer - offsetof(struct hosted_group, timer));
    struct group_event event = {.type = GROUP_TICK};

    hosted_group_feed(hosted, &event);
    hosted_group_tidy(hosted);
}

struct hosted_group *hosted_group_add(struct coordinator *coordinator, struct slice id)
{
    struct groups *groups = coordinator->of;
    struct hosted_group *hosted = ensure_zalloc(sizeof(*hosted) + id.len + 1);

    hosted->of = coordinator;
    hosted->id_len = id.len;
    if (id.len > 0) memcpy(hosted->id, id.ptr, id.len);
    hosted->offsets = offsets_create();
    hosted->timer.fire = on_timer;
    list_init(&hosted->appends);
    list_init(&hosted->commits);
    buf_init(&hosted->value);
    if (!coordinator->is_loading)
        hosted->machine = group_create(id, &groups->settings->group, groups_wall_ms(groups));
    ensure(map_set(&coordinator->groups, id, hosted) == NULL);
    list_push(&groups->all, &hosted->all);
    gauge_add(&groups->counts.groups, 1);
    return hosted;
}

void hosted_group_remove(struct hosted_group *hosted)
{
    struct groups *groups = hosted->of->of;

    list_each (node, &hosted->appends) {
        list_entry(node, struct group_append, node)->group = NULL;
        list_remove(node);
    }
    list_each (node, &hosted->commits) {
        list_entry(node, struct groups_call, in_group)->committing = NULL;
        list_remove(node);
    }
    timer_cancel(groups->shard, &hosted->timer);
    if (groups->walk_next == &hosted->all) groups->walk_next = hosted->all.next;
    list_remove(&hosted->all);
    list_remove(&hosted->aging);
    list_remove(&hosted->restoring);
    ensure(map_remove(&hosted->of->groups, hosted_group_id(hosted)) == hosted);
    gauge_add(&groups->counts.groups, -1);
    group_destroy(&hosted->machine);
    offsets_destroy(&hosted->offsets);
    buf_fini(&hosted->value);
    free(hosted);
}

void hosted_group_tidy(struct hosted_group *hosted)
{
    if (group_is_blank(hosted->machine) && offsets_is_empty(hosted->offsets))
        hosted_group_remove(hosted);
}

/* ---- events and effects ---- */

void groups_answered(struct groups *groups, struct groups_call *call)
{
    ensure(!call->is_answered);
    call->is_answered = true;
    if (call->is_asking) return;
    list_push(&groups->ended, &call->node);
    shard_post(groups->shard, &groups->tell);
}

/* Most answers have nothing but a code: they take no memory. */
static struct slice copy(struct arena *out, struct slice from)
{
    return !slice_is_null(from) && from.len == 0 ? SLICE("") : arena_copy(out, from);
}

/* What the machine says lives until its next step: the call keeps a copy. */
static void copy_answer(struct groups_call *call, const struct group_answer *from)
{
    struct arena *out = &call->out;
    struct group_answer *to = &call->answer;
    int count = from->joined.member_count;

    *to = *from;
    to->joined.member_id = copy(out, from->joined.member_id);
    to->joined.leader = copy(out, from->joined.leader);
    to->protocol_type = copy(out, from->protocol_type);
    to->protocol_name = copy(out, from->protocol_name);
    to->assignment = copy(out, from->assignment);
    if (count > 0) {
        struct group_joined_member *members = arena_zalloc(out, sizeof(*members) * (size_t)count);
        for (int i = 0; i < count; i++)
            members[i] = (struct group_joined_member){
                .id = copy(out, from->joined.members[i].id),
                .instance_id = copy(out, from->joined.members[i].instance_id),
                .metadata = copy(out, from->joined.members[i].metadata)};
        to->joined.members = members;
    }
    if (from->left != NULL) {
        enum err *left = arena_zalloc(out, sizeof(*left) * (size_t)(call->leave.count + 1));
        memcpy(left, from->left, sizeof(*left) * (size_t)call->leave.count);
        to->left = left;
    }
    call->err = from->err;
}

static void trace(const struct hosted_group *hosted, enum group_state was, int32_t generation)
{
    const struct group *machine = hosted->machine;

    if (group_state(machine) == was && group_generation(machine) == generation) return;
    log_debug("group", "state", "group=%.*s from=%s to=%s generation=%d members=%d",
              SLICE_ARGS(hosted_group_id(hosted)), group_state_name(was),
              group_state_name(group_state(machine)), group_generation(machine),
              group_size(machine));
    if (group_generation(machine) != generation) counter_add(&hosted->of->of->counts.rebalances, 1);
}

/* One timer a group, moved only when it would ring too late: sessions are restarted far more often
 * than they run out, and a tick that comes early does nothing. */
static void arm(struct hosted_group *hosted)
{
    struct groups *groups = hosted->of->of;
    struct instant deadline = group_deadline(hosted->machine);

    if (instant_is_never(deadline))
        timer_cancel(groups->shard, &hosted->timer);
    else if (!heap_has(&hosted->timer.node) || hosted->timer.node.key > deadline.ns)
        timer_arm(groups->shard, &hosted->timer, deadline);
}

void hosted_group_feed(struct hosted_group *hosted, struct group_event *event)
{
    struct groups *groups = hosted->of->of;
    struct group_effects out = {.arena = &groups->arena};
    enum group_state was = group_state(hosted->machine);
    int32_t generation = group_generation(hosted->machine);
    int size = group_size(hosted->machine);

    arena_reset(&groups->arena);
    event->now = shard_now(groups->shard);
    event->now_ms = groups_wall_ms(groups);
    group_step(hosted->machine, event, &out);
    trace(hosted, was, generation);
    gauge_add(&groups->counts.members, group_size(hosted->machine) - size);
    for (int i = 0; i < out.count; i++) {
        struct groups_call *call = out.answers[i].call;
        copy_answer(call, &out.answers[i]);
        groups_answered(groups, call);
    }
    if (out.store != NULL) groups_log_store(hosted, out.store);
    arm(hosted);
}

static void tell(struct post *post)
{
    struct groups *groups = (struct groups *)(void *)((char *)post - offsetof(struct groups, tell));

    groups_log_tell(groups);
    for (struct list_node *node; (node = list_pop(&groups->ended)) != NULL;) {
        struct groups_call *call = list_entry(node, struct groups_call, node);
        call->done(call);
    }
}

/* ---- transactions ---- */

void coordinator_note_txn(struct coordinator *coordinator, int64_t producer_id,
                          struct hosted_group *hosted)
{
    struct slice key = slice_of(&producer_id, sizeof(producer_id));
    struct map *ids = map_get(&coordinator->txns, key);

    if (ids == NULL) {
        ids = ensure_zalloc(sizeof(*ids));
        map_init(ids);
        map_set(&coordinator->txns, key, ids);
    }
    map_set(ids, hosted_group_id(hosted), coordinator);
}

static void txn_forget(struct coordinator *coordinator, int64_t producer_id)
{
    struct map *ids = map_remove(&coordinator->txns, slice_of(&producer_id, sizeof(producer_id)));

    if (ids == NULL) return;
    map_fini(ids);
    free(ids);
}

void coordinator_end_txn(struct coordinator *coordinator, int64_t producer_id, bool is_commit)
{
    struct map *ids = map_get(&coordinator->txns, slice_of(&producer_id, sizeof(producer_id)));

    if (ids == NULL) return;
    map_each (entry, ids) {
        struct hosted_group *hosted = hosted_group_find(coordinator, map_key(entry));
        if (hosted != NULL) offsets_txn_end(hosted->offsets, producer_id, is_commit);
    }
    txn_forget(coordinator, producer_id);
}

void groups_transaction_ended(struct groups *groups, int32_t partition, int64_t producer_id,
                              bool is_commit)
{
    struct coordinator *coordinator = coordinator_find(groups, partition);

    /* One that reads its log comes to the marker there. */
    if (coordinator != NULL && !coordinator->is_loading)
        coordinator_end_txn(coordinator, producer_id, is_commit);
}

/* ---- leadership ---- */

static void coordinator_begin(struct groups *groups, int32_t partition, int32_t epoch)
{
    struct coordinator *coordinator = ensure_zalloc(sizeof(*coordinator));

    coordinator->of = groups;
    coordinator->partition = partition;
    coordinator->epoch = epoch;
    coordinator->is_loading = true;
    map_init(&coordinator->groups);
    map_init(&coordinator->txns);
    list_init(&coordinator->commits);
    coordinator->append.run = groups_log_append;
    map_set(&groups->coordinators, map_int(&partition), coordinator);
    load_begin(coordinator);
}

static void coordinator_end(struct coordinator *coordinator)
{
    struct groups *groups = coordinator->of;
    size_t count = coordinator->groups.count;

    load_drop(coordinator);
    groups_log_refuse(coordinator);
    map_each (entry, &coordinator->groups) {
        struct hosted_group *hosted = entry->value;
        struct group_event event = {.type = GROUP_UNLOAD};
        if (hosted->machine != NULL) hosted_group_feed(hosted, &event);
        hosted_group_remove(hosted);
    }
    map_each (entry, &coordinator->txns) {
        map_fini(entry->value);
        free(entry->value);
    }
    map_fini(&coordinator->txns);
    map_fini(&coordinator->groups);
    map_remove(&groups->coordinators, map_int(&coordinator->partition));
    log_info("group", "coordinator-ended", "partition=%d epoch=%d groups=%zu",
             coordinator->partition, coordinator->epoch, count);
    free(coordinator);
}

void groups_led(struct groups *groups, int32_t partition, bool is_leader, int32_t leader_epoch)
{
    struct coordinator *coordinator = coordinator_find(groups, partition);

    if (!is_leader && coordinator != NULL)
        coordinator_end(coordinator);
    else if (is_leader && coordinator != NULL)
        coordinator->epoch = leader_epoch; /* led without a break: what we hold is the log's */
    else if (is_leader && !groups->is_stopped)
        coordinator_begin(groups, partition, leader_epoch);
}

/* ---- deleted partitions ---- */

static void forget_partitions(struct hosted_group *hosted, struct slice topic,
                              const int32_t *partitions, int count)
{
    struct record_builder builder;
    struct tombstones tombstones;

    tombstones_begin(&tombstones, hosted, &builder);
    for (int i = 0; i < count; i++)
        if (offsets_remove(hosted->offsets, topic, partitions[i]))
            tombstones_add_offset(&tombstones, topic, partitions[i]);
    tombstones_end(&tombstones);
}

void groups_partitions_gone(struct groups *groups, struct slice topic, const int32_t *partitions,
                            int count)
{
    map_each (each, &groups->coordinators) {
        struct coordinator *coordinator = each->value;
        if (coordinator->is_loading) continue; /* those expire by time */
        map_each (entry, &coordinator->groups) {
            struct hosted_group *hosted = entry->value;
            if (offsets_has_topic(hosted->offsets, topic))
                forget_partitions(hosted, topic, partitions, count);
        }
    }
}

/* ---- lists ---- */

bool groups_list(struct groups *groups, struct arena *arena, struct groups_listed **out, int *count)
{
    size_t total = 0;
    bool is_loading = false;
    int n = 0;

    map_each (each, &groups->coordinators)
        total += ((const struct coordinator *)each->value)->groups.count;
    struct groups_listed *listed = arena_zalloc(arena, sizeof(*listed) * (total + 1));
    map_each (each, &groups->coordinators) {
        const struct coordinator *coordinator = each->value;
        is_loading = is_loading || coordinator->is_loading;
        map_each (entry, &coordinator->groups) {
            const struct hosted_group *hosted = entry->value;
            if (hosted->machine == NULL) continue;
            struct slice type = group_protocol_type(hosted->machine);
            listed[n++] = (struct groups_listed){
                .id = arena_copy(arena, hosted_group_id(hosted)),
                .protocol_type = slice_is_null(type) ? SLICE("") : arena_copy(arena, type),
                .state = group_state(hosted->machine),
                .type = GROUP_CLASSIC};
        }
    }
    *out = listed;
    *count = n;
    return is_loading;
}

struct groups_counts *groups_counts(struct groups *groups)
{
    return &groups->counts;
}

/* ---- life ---- */

struct groups *groups_create(struct shard *shard, struct partitions *partitions,
                             const struct groups_settings *settings)
{
    struct groups *groups = ensure_zalloc(sizeof(*groups));

    groups->shard = shard;
    groups->partitions = partitions;
    groups->settings = settings;
    map_init(&groups->coordinators);
    list_init(&groups->all);
    list_init(&groups->ended);
    list_init(&groups->stored);
    list_init(&groups->aging);
    groups->tell.run = tell;
    arena_init(&groups->arena, SIZE_MAX);
    buf_init(&groups->batch);
    buf_init(&groups->key);
    buf_init(&groups->value);
    age_begin(groups);
    return groups;
}

void groups_stop(struct groups *groups)
{
    groups->is_stopped = true;
    age_end(groups);
    map_each (entry, &groups->coordinators)
        coordinator_end(entry->value);
}

void groups_destroy(struct groups **it)
{
    struct groups *groups = *it;

    if (groups == NULL) return;
    groups_stop(groups);
    groups_log_tell(groups);
    shard_unpost(&groups->tell);
    map_fini(&groups->coordinators);
    arena_fini(&groups->arena);
    buf_fini(&groups->batch);
    buf_fini(&groups->key);
    buf_fini(&groups->value);
    free(groups);
    *it = NULL;
}
