#include "broker/api/autocreate.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/map.h"
#include "broker/api/dispatch.h"
#include "cluster/assign.h"
#include "cluster/image.h"
#include "cluster/options.h"
#include "wire/gen/protocol.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include "zk/zk.h"
#include <stdio.h>
#include <stdlib.h>

/* More at a time are not begun; their clients ask again. */
#define CREATIONS_MAX   500
#define ARENA_BYTES_MAX (4 * 1024 * 1024)

struct autocreate {
    struct api_shard *control;
    struct zk *zk;
    struct map creations; /* name → struct creation *: under way */
    struct list ended;    /* answered in the next post */
    struct post post;
    struct arena arena;
    bool has_told_racks; /* clients ask again and again: one line is enough */
};

struct creation {
    struct autocreate *autocreate;
    struct list_node node; /* on `ended` */
    void (*done)(void *to, int index, int16_t code);
    void *to;
    int index;
    int16_t code;
    struct zk_call call;
    enum zk_kind config_kind; /* how the configuration is being written */
    struct buf config, topic;
    char name[256];
    size_t len;
};

static struct slice name_of(const struct creation *creation)
{
    return slice_of(creation->name, creation->len);
}

/* ---- ends ---- */

static void creation_free(struct creation *creation)
{
    buf_fini(&creation->config);
    buf_fini(&creation->topic);
    free(creation);
}

static void on_ended(struct post *post)
{
    struct autocreate *all =
        (struct autocreate *)(void *)((char *)post - offsetof(struct autocreate, post));

    for (struct list_node *node; (node = list_pop(&all->ended)) != NULL;) {
        struct creation *creation = list_entry(node, struct creation, node);
        creation->done(creation->to, creation->index, creation->code);
        creation_free(creation);
    }
}

static void creation_end(struct creation *creation, int16_t code)
{
    struct autocreate *all = creation->autocreate;

    creation->code = code;
    if (map_get(&all->creations, name_of(creation)) == creation)
        map_remove(&all->creations, name_of(creation));
    list_push(&all->ended, &creation->node);
    shard_post(all->control->shard, &all->post);
}

static int16_t code_of(enum err err)
{
    switch (err) {
    case ERR_OK:
    case ERR_EXISTS: /* another broker was faster, or it is being deleted */
        return KAFKA_LEADER_NOT_AVAILABLE;
    default:
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
}

/* ---- steps: nothing waits for its deletion; then both nodes or none ---- */

static void on_created(struct zk_call *call, enum err err, const struct zk_result *results,
                       int count);

/* Who comes second with a name must not change the configuration of the topic that there is. A
 * configuration without its topic, from an earlier one, is replaced. */
static void create_nodes(struct creation *creation, enum zk_kind config)
{
    struct autocreate *all = creation->autocreate;

    arena_reset(&all->arena);
    creation->config_kind = config;
    creation->call = (struct zk_call){.done = on_created, .retry_loss = true};
    const struct zk_op ops[] = {
        {.kind = config,
         .path = path_config_topic(&all->arena, name_of(creation)),
         .data = buf_slice(&creation->config),
         .version = ZK_ANY_VERSION},
        {.kind = ZK_CREATE,
         .path = path_topic(&all->arena, name_of(creation)),
         .data = buf_slice(&creation->topic)},
    };
    zk_submit(all->zk, &creation->call, ops, 2);
}

static void on_created(struct zk_call *call, enum err err, const struct zk_result *results,
                       int count)
{
    struct creation *creation =
        (struct creation *)(void *)((char *)call - offsetof(struct creation, call));
    struct autocreate *all = creation->autocreate;

    if (all == NULL) {
        creation_free(creation);
        return;
    }
    enum err config_err = count == 2 ? results[0].err : ERR_OK;
    if (all->zk != NULL && creation->config_kind == ZK_CREATE && config_err == ERR_EXISTS) {
        create_nodes(creation, ZK_SET);
        return;
    }
    if (all->zk != NULL && creation->config_kind == ZK_SET && config_err == ERR_NOT_FOUND) {
        create_nodes(creation, ZK_CREATE);
        return;
    }
    if (err == ERR_OK)
        log_info("broker", "topic-created", "topic=%.*s by=auto.create",
                 SLICE_ARGS(name_of(creation)));
    else if (err != ERR_EXISTS)
        log_warn("broker", "topic-not-created", "topic=%.*s why=%s", SLICE_ARGS(name_of(creation)),
                 err_name(err));
    creation_end(creation, code_of(err));
}

static void on_deletion_asked(struct zk_call *call, enum err err, const struct zk_result *results,
                              int count)
{
    struct creation *creation =
        (struct creation *)(void *)((char *)call - offsetof(struct creation, call));
    struct autocreate *all = creation->autocreate;

    (void)results;
    (void)count;
    if (all == NULL) {
        creation_free(creation);
        return;
    }
    if (err != ERR_NOT_FOUND || all->zk == NULL) {
        creation_end(creation, code_of(err == ERR_OK ? ERR_EXISTS : err));
        return;
    }
    create_nodes(creation, ZK_CREATE);
}

/* ---- what it is to be ---- */

/* How many partitions and replicas, and which overrides: Kafka's own topics have settings of
 * their own. */
struct shape {
    int32_t partitions, replicas;
    struct doc_config config;
    struct doc_config_entry entries[4];
    char text[4][32];
};

static void shape_add(struct shape *shape, const char *name, const char *value)
{
    shape->entries[shape->config.count++] =
        (struct doc_config_entry){.name = slice_text(name), .value = slice_text(value)};
    shape->config.entries = shape->entries;
}

static void shape_add_int(struct shape *shape, const char *name, int32_t value)
{
    char *text = shape->text[shape->config.count];

    snprintf(text, sizeof(shape->text[0]), "%d", value);
    shape_add(shape, name, text);
}

static void shape_of(struct slice topic, const struct options *options, struct shape *out)
{
    *out = (struct shape){0};
    if (slice_is(topic, TOPIC_NAME_OFFSETS)) {
        out->partitions = options_int(options, OPTION_OFFSETS_TOPIC_NUM_PARTITIONS);
        out->replicas = options_int(options, OPTION_OFFSETS_TOPIC_REPLICATION_FACTOR);
        shape_add(out, "cleanup.policy", "compact");
        shape_add_int(out, "segment.bytes",
                      options_int(options, OPTION_OFFSETS_TOPIC_SEGMENT_BYTES));
        shape_add(out, "compression.type", "producer");
    } else if (slice_is(topic, TOPIC_NAME_TRANSACTIONS)) {
        out->partitions = options_int(options, OPTION_TRANSACTION_STATE_LOG_NUM_PARTITIONS);
        out->replicas = options_int(options, OPTION_TRANSACTION_STATE_LOG_REPLICATION_FACTOR);
        shape_add(out, "cleanup.policy", "compact");
        shape_add_int(out, "segment.bytes",
                      options_int(options, OPTION_TRANSACTION_STATE_LOG_SEGMENT_BYTES));
        shape_add_int(out, "min.insync.replicas",
                      options_int(options, OPTION_TRANSACTION_STATE_LOG_MIN_ISR));
        shape_add(out, "unclean.leader.election.enable", "false");
    } else {
        out->partitions = options_int(options, OPTION_NUM_PARTITIONS);
        out->replicas = options_int(options, OPTION_DEFAULT_REPLICATION_FACTOR);
    }
}

static int16_t assign_code(enum assign_refusal refusal)
{
    switch (refusal) {
    case ASSIGN_OK:
        return KAFKA_NONE;
    case ASSIGN_PARTITIONS:
        return KAFKA_INVALID_PARTITIONS;
    case ASSIGN_REPLICATION:
        return KAFKA_INVALID_REPLICATION_FACTOR;
    case ASSIGN_RACKS:
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
    return KAFKA_UNKNOWN_SERVER_ERROR;
}

static struct uuid fresh_topic_id(const struct env *env)
{
    struct uuid id;

    do {
        uint64_t high = env_random(env, "topic-id");
        uint64_t low = env_random(env, "topic-id");
        id = uuid_from_random(high, low);
    } while (!uuid_is_topic_id(id));
    return id;
}

/* Places the replicas and writes both documents. */
static int16_t creation_write(struct creation *creation)
{
    struct autocreate *all = creation->autocreate;
    const struct options *options = all->control->process->options;
    const struct image *image = all->control->image;
    const struct env *env = all->control->shard->env;
    struct shape shape;
    int brokers = image_broker_count(image);

    shape_of(name_of(creation), options, &shape);
    if (brokers == 0 || shape.replicas > brokers) return KAFKA_INVALID_REPLICATION_FACTOR;
    arena_reset(&all->arena);
    struct assign_broker *live = arena_zalloc(&all->arena, sizeof(*live) * (size_t)brokers);
    for (int i = 0; i < brokers; i++)
        live[i] = (struct assign_broker){.id = image_broker_at(image, i)->id,
                                         .rack = image_broker_at(image, i)->rack};
    int32_t start = (int32_t)(env_random(env, "assign-start") % (uint64_t)brokers);
    int32_t shift = (int32_t)(env_random(env, "assign-shift") % (uint64_t)brokers);
    struct assign_request assign = {.brokers = live,
                                    .broker_count = brokers,
                                    .partition_count = shape.partitions,
                                    .replication_factor = shape.replicas,
                                    .start = start,
                                    .shift = shift};
    size_t cells = (size_t)shape.partitions * (size_t)shape.replicas;
    int32_t *ids = ensure_malloc((cells + 1) * sizeof(*ids));
    struct doc_partition *partitions =
        ensure_zalloc(((size_t)shape.partitions + 1) * sizeof(*partitions));
    enum assign_refusal refusal = assign_replicas(&assign, ids);
    int16_t code = assign_code(refusal);
    if (refusal == ASSIGN_RACKS && !all->has_told_racks)
        log_warn("broker", "topic-not-created", "topic=%.*s why=racks hint=\"%s\"",
                 SLICE_ARGS(name_of(creation)),
                 "some brokers have a broker.rack and some have none");
    all->has_told_racks = refusal == ASSIGN_RACKS;
    if (code == KAFKA_NONE) {
        for (int32_t p = 0; p < shape.partitions; p++) {
            partitions[p].partition = p;
            partitions[p].replicas =
                (struct doc_ints){&ids[(size_t)p * (size_t)shape.replicas], shape.replicas};
        }
        struct doc_topic topic = {
            .version = 3, .partitions = partitions, .partition_count = shape.partitions};
        if (options_level(options) >= LEVEL_2_8_IV0) topic.id = fresh_topic_id(env);
        doc_topic_write(&creation->topic, &topic);
        doc_config_write(&creation->config, &shape.config);
    }
    free(ids);
    free(partitions);
    return code;
}

/* ---- start ---- */

static int16_t may_begin(struct autocreate *all, struct slice topic)
{
    if (image_topic(all->control->image, topic) != NULL) return KAFKA_LEADER_NOT_AVAILABLE;
    if (slice_is(topic, TOPIC_NAME_METADATA)) return KAFKA_INVALID_REQUEST;
    if (image_topic_colliding(all->control->image, topic) != NULL)
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    if (all->zk == NULL || !zk_is_connected(all->zk) || map_get(&all->creations, topic) != NULL ||
        all->creations.count >= CREATIONS_MAX)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    return KAFKA_NONE;
}

void autocreate_topic(struct autocreate *all, struct slice topic,
                      void (*done)(void *to, int index, int16_t code), void *to, int index)
{
    struct creation *creation = ensure_zalloc(sizeof(*creation));

    ensure(topic.len > 0 && topic.len < sizeof(creation->name));
    creation->autocreate = all;
    creation->done = done;
    creation->to = to;
    creation->index = index;
    memcpy(creation->name, topic.ptr, topic.len);
    creation->len = topic.len;

    int16_t code = may_begin(all, topic);
    if (code == KAFKA_NONE) code = creation_write(creation);
    if (code != KAFKA_NONE) {
        creation_end(creation, code);
        return;
    }
    map_set(&all->creations, topic, creation);
    creation->call = (struct zk_call){.done = on_deletion_asked, .retry_loss = true};
    arena_reset(&all->arena);
    struct zk_op op = {.kind = ZK_EXISTS, .path = path_delete_topic(&all->arena, topic)};
    zk_submit(all->zk, &creation->call, &op, 1);
}

void autocreate_set_zk(struct autocreate *all, struct zk *zk)
{
    all->zk = zk;
}

struct zk *autocreate_zk(const struct autocreate *all)
{
    return all->zk;
}

struct autocreate *autocreate_create(struct api_shard *control)
{
    struct autocreate *all = ensure_zalloc(sizeof(*all));

    all->control = control;
    map_init(&all->creations);
    list_init(&all->ended);
    all->post.run = on_ended;
    arena_init(&all->arena, ARENA_BYTES_MAX);
    return all;
}

void autocreate_destroy(struct autocreate **autocreate)
{
    struct autocreate *all = *autocreate;

    if (all == NULL) return;
    shard_unpost(&all->post);
    for (struct list_node *node; (node = list_pop(&all->ended)) != NULL;)
        creation_free(list_entry(node, struct creation, node));
    map_each (entry, &all->creations) {
        struct creation *creation = entry->value;
        creation->autocreate = NULL; /* its call ends it */
    }
    map_fini(&all->creations);
    arena_fini(&all->arena);
    free(all);
    *autocreate = NULL;
}
