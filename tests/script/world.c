/* tests/script/world.c - see world.h. */
#include "script/world.h"
#include "base/ensure.h"
#include "controller/outbox.h"
#include "controller/task.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdio.h>
#include <stdlib.h>

struct node {
    struct buf data;
    bool is_null;
    int32_t version;
    int64_t czxid, mzxid;
};

static struct node *node_at(const struct world *world, const char *path)
{
    return map_get(&world->nodes, slice_text(path));
}

static struct node *make(struct world *world, const char *path)
{
    struct node *node = ensure_zalloc(sizeof(*node));

    node->czxid = node->mzxid = ++world->zxid;
    (void)map_set(&world->nodes, slice_text(path), node);
    return node;
}

/* A change shares the number of what was made last: only who registered after it is newer. */
static void change(const struct world *world, struct node *node)
{
    node->version++;
    node->mzxid = world->zxid;
}

static struct zk_stat stat_of(const struct node *node)
{
    return (struct zk_stat){.version = node->version, .czxid = node->czxid, .mzxid = node->mzxid};
}

static void put(struct node *node, struct slice data)
{
    buf_clear(&node->data);
    buf_add_slice(&node->data, data);
    node->is_null = slice_is_null(data);
}

void world_node(struct world *world, const char *path, struct slice data)
{
    struct node *node = node_at(world, path);

    if (node == NULL)
        node = make(world, path);
    else
        change(world, node);
    put(node, data);
}

void world_remove(struct world *world, const char *path)
{
    struct node *node = map_remove(&world->nodes, slice_text(path));

    if (node == NULL) return;
    buf_fini(&node->data);
    free(node);
}

struct slice world_data(const struct world *world, const char *path)
{
    const struct node *node = node_at(world, path);

    return node == NULL || node->is_null ? SLICE_NULL : buf_slice(&node->data);
}

int32_t world_version(const struct world *world, const char *path)
{
    const struct node *node = node_at(world, path);

    return node == NULL ? -1 : node->version;
}

void world_init(struct world *world)
{
    static const char *const parents[] = {"/brokers/ids",
                                          "/brokers/topics",
                                          "/admin/delete_topics",
                                          "/isr_change_notification",
                                          "/log_dir_event_notification",
                                          "/latest_producer_id_block"};
    const struct context_config config = {
        .id = 101,
        .inter_broker_listener = "PLAINTEXT",
        .is_delete_enabled = true,
        .imbalance_percent = 10,
        .imbalance_check_ms = 300000,
        .has_topic_ids = false, /* ids are luck: transcripts give their own */
        .has_recovery_state = true,
        .has_alter_partition = true,
        .has_features = true,
        .feature_version = 2,
    };

    *world = (struct world){0};
    map_init(&world->nodes);
    context_init(&world->context, &config, 1);
    for (unsigned i = 0; i < sizeof(parents) / sizeof(parents[0]); i++)
        world_node(world, parents[i], SLICE_NULL);
}

void world_fini(struct world *world)
{
    context_fini(&world->context);
    for (struct map_entry *entry; (entry = map_first(&world->nodes)) != NULL;) {
        char *path = ensure_strndup(map_key(entry).ptr, map_key(entry).len);

        world_remove(world, path);
        free(path);
    }
    map_fini(&world->nodes);
    buf_fini(&world->out);
}

/* ---- ZooKeeper ---- */

static void answer_children(struct world *world, struct request *r)
{
    struct slice *names = ensure_zalloc((world->nodes.count + 1) * sizeof(*names));
    struct zk_stat stat = {0};
    int32_t count = 0;
    size_t len = strlen(r->path);

    map_each (entry, &world->nodes) {
        struct slice path = map_key(entry);

        if (path.len > len + 1 && memcmp(path.ptr, r->path, len) == 0 && path.ptr[len] == '/' &&
            memchr(path.ptr + len + 1, '/', path.len - len - 1) == NULL)
            names[count++] = slice_of(path.ptr + len + 1, path.len - len - 1);
    }
    bool is_there = node_at(world, r->path) != NULL || count > 0;
    request_answer(r, is_there ? ERR_OK : ERR_NOT_FOUND, &stat, SLICE_NULL, names, count);
    free(names);
}

static void print_write(struct world *world, const char *what, const struct request *r,
                        enum err err)
{
    buf_printf(&world->out, "%s %s", what, r->path);
    if (!slice_is_null(r->data)) buf_printf(&world->out, " %.*s", SLICE_ARGS(r->data));
    if (r->kind == ZK_SET && r->version >= 0) buf_printf(&world->out, " if version=%d", r->version);
    if (err != ERR_OK) buf_printf(&world->out, " -> %s", err_name(err));
    buf_add_text(&world->out, "\n");
}

static bool has_parent(const struct world *world, const char *path)
{
    char parent[512];

    snprintf(parent, sizeof(parent), "%s", path);
    *strrchr(parent, '/') = '\0';
    return strchr(parent + (parent[0] == '/'), '/') == NULL || node_at(world, parent) != NULL;
}

/* Another writer was there first: an ISR change by the leader, say. */
static void interfere(struct world *world, struct request *r)
{
    struct node *node = node_at(world, r->path);

    if (world->conflicts == 0 || node == NULL || strstr(r->path, "/state") == NULL) return;
    world->conflicts--;
    node->version++;
}

static bool guard_fails(struct world *world, const struct request *r)
{
    char path[64];

    for (int32_t i = 0; i < r->guard_count; i++) {
        snprintf(path, sizeof(path), "/brokers/ids/%d", r->guards[i].broker);
        const struct node *node = node_at(world, path);
        if (node == NULL || node->version != r->guards[i].version) return true;
    }
    return false;
}

static void perform_write(struct world *world, struct request *r)
{
    struct node *node = node_at(world, r->path);
    struct zk_stat stat = {0};
    enum err err = ERR_OK;

    if (world->is_late && r->is_for_now && world->lost_answers == 0) {
        print_write(world, "set", r, ERR_ZK_LOSS);
        request_answer(r, ERR_ZK_LOSS, &stat, SLICE_NULL, NULL, 0);
        return;
    }
    if (world->vanishing != 0 && strstr(r->path, "/state") != NULL) {
        world_broker_gone(world, world->vanishing);
        world->vanishing = 0;
    }
    if (world->losing != 0 && strstr(r->path, "/state") != NULL) {
        world_broker(world, world->losing, NULL, 0);
        world->losing = 0;
    }
    if (guard_fails(world, r)) {
        print_write(world, "set", r, ERR_ZK_SKIPPED);
        request_answer(r, ERR_ZK_SKIPPED, &stat, SLICE_NULL, NULL, 0);
        return;
    }
    switch (r->kind) {
    case ZK_CREATE:
        if (node != NULL) {
            err = ERR_EXISTS;
        } else if (!has_parent(world, r->path)) {
            err = ERR_NOT_FOUND;
        } else {
            node = make(world, r->path);
            put(node, r->data);
        }
        print_write(world, "create", r, err);
        break;
    case ZK_SET:
        interfere(world, r);
        if (node == NULL)
            err = ERR_NOT_FOUND;
        else if (r->version >= 0 && r->version != node->version)
            err = ERR_ZK_VERSION;
        else
            change(world, node), put(node, r->data);
        if (err == ERR_OK && world->lost_answers > 0 && strstr(r->path, "/state") != NULL) {
            world->lost_answers--;
            err = r->is_for_now ? ERR_ZK_LOSS : ERR_ZK_VERSION;
        }
        print_write(world, "set", r, err);
        break;
    default:
        err = node == NULL ? ERR_NOT_FOUND : ERR_OK;
        print_write(world, "delete", r, err);
        world_remove(world, r->path);
        node = NULL;
        break;
    }
    if (node != NULL) stat = stat_of(node);
    request_answer(r, err, &stat, SLICE_NULL, NULL, 0);
}

static void perform(struct world *world, struct request *r)
{
    const struct node *node = node_at(world, r->path);
    struct zk_stat stat = {0};

    if (r->kind == ZK_CHILDREN) {
        answer_children(world, r);
        return;
    }
    if (r->kind != ZK_GET && r->kind != ZK_EXISTS) {
        perform_write(world, r);
        return;
    }
    if (node != NULL) stat = stat_of(node);
    if (node != NULL && slice_is(buf_slice(&node->data), "denied")) {
        request_answer(r, ERR_ZK_AUTH, &stat, SLICE_NULL, NULL, 0);
        return;
    }
    request_answer(r, node == NULL ? ERR_NOT_FOUND : ERR_OK, &stat,
                   node == NULL || node->is_null ? SLICE_NULL : buf_slice(&node->data), NULL, 0);
}

/* ---- effects ---- */

static void print_reply(struct world *world, const struct event *event)
{
    buf_printf(&world->out, "reply %s", answer_name(event->answer));
    if (event->type == EVENT_PRODUCER_IDS && event->answer == ANSWER_OK)
        buf_printf(&world->out, " from=%lld", (long long)event->block_start);
    for (int32_t i = 0; i < event->count; i++) {
        const struct event_item *item = &event->items[i];

        buf_printf(&world->out, " %.*s-%d=%s", SLICE_ARGS(item->topic), item->partition,
                   answer_name(item->answer));
        if (event->type == EVENT_ALTER_PARTITION && item->answer == ANSWER_OK) {
            buf_add_text(&world->out, " isr=");
            ids_print(&world->out, &item->state.isr);
            buf_printf(&world->out, " version=%d", item->state.partition_epoch);
        }
    }
    buf_add_text(&world->out, "\n");
}

static void answer(struct world *world, struct task *task)
{
    for (int32_t i = 0; i < task->requests.count; i++)
        perform(world, &task->requests.at[i]);
    context_answered(&world->context, task);
}

static void perform_effect(struct world *world, struct effect *effect)
{
    switch (effect->type) {
    case EFFECT_ZK:
        if (world->is_away)
            world->unanswered = effect->task;
        else
            answer(world, effect->task);
        break;
    case EFFECT_CONTROL:
        for (int32_t i = 0; i < effect->batch->count && !world->is_quiet; i++) {
            outbox_print(&world->out, &effect->batch->at[i]);
            buf_add_text(&world->out, "\n");
        }
        break;
    case EFFECT_CHANNEL_OPEN:
        buf_printf(&world->out, "channel-open %d\n", effect->broker);
        break;
    case EFFECT_CHANNEL_CLOSE:
        buf_printf(&world->out, "channel-close %d\n", effect->broker);
        break;
    case EFFECT_REPLY:
        print_reply(world, effect->event);
        break;
    case EFFECT_REBALANCE_AT:
        buf_add_text(&world->out, "rebalance-later\n");
        break;
    case EFFECT_TAKEN_OVER:
        break;
    case EFFECT_GIVE_UP:
        buf_add_text(&world->out, "give-up\n");
        break;
    case EFFECT_MOVED:
        buf_add_text(&world->out, "moved\n");
        break;
    case EFFECT_NOTE:
        buf_add_slice(&world->out, buf_slice(&effect->text));
        buf_add_text(&world->out, "\n");
        break;
    }
}

static void settle(struct world *world)
{
    struct effect *effect;

    while ((effect = context_take(&world->context)) != NULL) {
        perform_effect(world, effect);
        effect_destroy(&effect);
    }
    ensure(context_audit(&world->context));
}

void world_post(struct world *world, struct event **event)
{
    context_post(&world->context, event);
    settle(world);
}

void world_zookeeper(struct world *world, bool is_away)
{
    struct task *task = world->unanswered;

    world->is_away = is_away;
    if (is_away || task == NULL) return;
    world->unanswered = NULL;
    world->is_late = true;
    answer(world, task);
    world->is_late = false;
    settle(world);
}

void world_happens(struct world *world, enum event_type type)
{
    struct event *event = event_create(type);

    world_post(world, &event);
}

void world_take_over(struct world *world, int32_t epoch)
{
    struct event *event = event_create(EVENT_TAKE_OVER);

    event->epoch = epoch;
    event->epoch_version = epoch;
    world_post(world, &event);
}

/* ---- documents ---- */

void world_ids(const char *text, struct ids *out)
{
    out->count = 0;
    while (*text >= '0' && *text <= '9') {
        char *end;

        ids_add(out, (int32_t)strtol(text, &end, 10));
        text = *end == ',' ? end + 1 : end;
    }
}

void world_broker(struct world *world, int32_t id, const char *rack, int64_t lost_since)
{
    struct doc_endpoint endpoint = {SLICE("PLAINTEXT"), SLICE("PLAINTEXT"), SLICE("localhost"),
                                    9000 + id};
    struct doc_broker doc = {.version = 5,
                             .endpoints = &endpoint,
                             .endpoint_count = 1,
                             .rack = slice_text(rack),
                             .jmx_port = -1,
                             .is_cache_lost = lost_since >= 0,
                             .cache_lost_since = lost_since};
    struct buf json = {0};
    char path[64];

    snprintf(path, sizeof(path), "/brokers/ids/%d", id);
    doc_broker_write(&json, &doc);
    world_remove(world, path);
    world_node(world, path, buf_slice(&json));
    if (lost_since >= 0) world_node(world, path, buf_slice(&json)); /* told apart by its version */
    buf_fini(&json);
}

void world_broker_gone(struct world *world, int32_t id)
{
    char path[64];

    snprintf(path, sizeof(path), "/brokers/ids/%d", id);
    world_remove(world, path);
}

void world_topic(struct world *world, const char *name, const char *assignment)
{
    struct doc_partition partitions[64];
    struct ids lists[64] = {0};
    struct doc_topic doc = {.version = 3, .partitions = partitions};
    struct buf json = {0};
    char path[300];

    while (*assignment != '\0' && doc.partition_count < 64) {
        char *end;
        int32_t n = doc.partition_count;

        int32_t id = (int32_t)strtol(assignment, &end, 10);
        world_ids(end + 1, &lists[n]);
        partitions[n] =
            (struct doc_partition){.partition = id, .replicas = {lists[n].at, lists[n].count}};
        doc.partition_count++;
        assignment = strchr(assignment, ' ');
        if (assignment == NULL) break;
        assignment++;
    }
    doc_topic_write(&json, &doc);
    snprintf(path, sizeof(path), "/brokers/topics/%s", name);
    world_node(world, path, buf_slice(&json));
    buf_fini(&json);
    for (int32_t i = 0; i < 64; i++)
        ids_fini(&lists[i]);
}

void world_state(struct world *world, const char *topic, int32_t partition, int32_t leader,
                 int32_t epoch, const char *isr)
{
    struct ids ids = {0};
    struct buf json = {0};
    char path[300];

    world_ids(isr, &ids);
    struct doc_state doc = {
        .leader = leader, .leader_epoch = epoch, .isr = {ids.at, ids.count}, .controller_epoch = 1};
    doc_state_write(&json, &doc);
    snprintf(path, sizeof(path), "/brokers/topics/%s/partitions", topic);
    if (node_at(world, path) == NULL) world_node(world, path, SLICE_NULL);
    snprintf(path, sizeof(path), "/brokers/topics/%s/partitions/%d", topic, partition);
    if (node_at(world, path) == NULL) world_node(world, path, SLICE_NULL);
    snprintf(path, sizeof(path), "/brokers/topics/%s/partitions/%d/state", topic, partition);
    world_node(world, path, buf_slice(&json));
    buf_fini(&json);
    ids_fini(&ids);
}
