#include "broker/api/offset_nodes.h"
#include "base/ensure.h"
#include "base/text.h"
#include "broker/api/autocreate.h"
#include "broker/api/control.h"
#include "broker/api/group_calls.h"
#include "broker/group/offsets.h"
#include "cluster/image.h"
#include "cluster/options.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_fetch.h"
#include "wire/protocol.h"
#include "zk/paths.h"
#include "zk/zk.h"
#include <stdio.h>

/* One partition: a node to be read, or to be written and, if it is absent, made with those above
 * it. */
struct node {
    struct nodes *of;
    struct slice topic;
    int32_t partition;
    int64_t offset; /* −1: none */
    struct slice path, data;
    int16_t code;
    struct zk_call call;
    int level; /* how many of the path's nodes above are made already */
};

struct nodes {
    struct request *request;
    struct node *at;
    int count, open;
    void (*finished)(struct nodes *nodes);
};

static struct zk *zk_of(const struct nodes *nodes)
{
    return autocreate_zk(control_autocreate(nodes->request->at->control));
}

static struct node *node_of(struct zk_call *call)
{
    return (struct node *)(void *)((char *)call - offsetof(struct node, call));
}

static void let_go(struct nodes *nodes)
{
    ensure(nodes->open > 0);
    if (--nodes->open == 0) nodes->finished(nodes);
}

static void node_end(struct node *node, int16_t code)
{
    node->code = code;
    let_go(node->of);
}

/* A name is one component of a path: none that ends it, leaves it, or is no text to ZooKeeper. */
static bool is_component(struct slice name)
{
    if (name.len == 0 || slice_is(name, ".") || slice_is(name, "..")) return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '/' || name.ptr[i] < 0x20 || name.ptr[i] == 0x7f) return false;
    return true;
}

/* What can be said of a partition without ZooKeeper. */
static int16_t check(const struct request *request, struct slice group, const struct node *node)
{
    const struct image_topic *known = image_topic(request->at->image, node->topic);
    struct image_partition unused;

    if (known == NULL || !image_topic_partition(known, node->partition, &unused))
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (autocreate_zk(control_autocreate(request->at->control)) == NULL)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    return is_component(group) ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
}

/* ---- commit ---- */

static void on_set(struct zk_call *call, enum err err, const struct zk_result *results, int count);

static void submit(struct node *node, enum zk_kind kind, struct slice path, struct slice data,
                   void (*done)(struct zk_call *call, enum err err, const struct zk_result *results,
                                int count))
{
    struct zk_op op = {.kind = kind, .path = path, .data = data, .version = ZK_ANY_VERSION};

    if (zk_of(node->of) == NULL) {
        node_end(node, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    node->call = (struct zk_call){.done = done, .retry_loss = true};
    zk_submit(zk_of(node->of), &node->call, &op, 1);
}

static void on_made(struct zk_call *call, enum err err, const struct zk_result *results, int count);

/* /consumers (which stands since the start), group, offsets, topic, partition: each in its turn. */
static void make_next(struct node *node)
{
    struct slice path = node->path;
    size_t len = 0;
    int slashes = 0;

    for (; len < path.len; len++)
        if (path.ptr[len] == '/' && slashes++ == node->level + 1) break;
    submit(node, ZK_CREATE, slice_of(path.ptr, len), len == path.len ? node->data : SLICE_NULL,
           on_made);
}

static void on_made(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct node *node = node_of(call);

    (void)results;
    (void)count;
    if (err == ERR_EXISTS && node->level == 4) { /* somebody was faster */
        submit(node, ZK_SET, node->path, node->data, on_set);
        return;
    }
    if (err != ERR_OK && err != ERR_EXISTS) {
        node_end(node, KAFKA_UNKNOWN_SERVER_ERROR);
        return;
    }
    if (node->level++ == 4)
        node_end(node, KAFKA_NONE);
    else
        make_next(node);
}

static void on_set(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct node *node = node_of(call);

    (void)results;
    (void)count;
    if (err == ERR_NOT_FOUND) {
        node->level = 0;
        make_next(node);
        return;
    }
    node_end(node, err == ERR_OK ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR);
}

static void commit_finished(struct nodes *nodes)
{
    struct request *request = nodes->request;
    const struct offset_commit_request *in = request->body;
    struct arena *arena = &request->arena;
    struct offset_commit_response out;
    int32_t topics = in->topics.count < 0 ? 0 : in->topics.count;
    int at = 0;

    wire_default(&offset_commit_response_wire, &out);
    out.topics.at = arena_zalloc(arena, sizeof(*out.topics.at) * (size_t)(topics + 1));
    out.topics.count = topics;
    for (int32_t t = 0; t < topics; t++) {
        int32_t count =
            in->topics.at[t].partitions.count < 0 ? 0 : in->topics.at[t].partitions.count;
        struct offset_commit_response_topic *to = &out.topics.at[t];

        to->name = in->topics.at[t].name;
        to->partitions.at = arena_zalloc(arena, sizeof(*to->partitions.at) * (size_t)(count + 1));
        to->partitions.count = count;
        for (int32_t p = 0; p < count; p++, at++) {
            to->partitions.at[p].partition_index = nodes->at[at].partition;
            to->partitions.at[p].error_code = nodes->at[at].code;
        }
    }
    request_reply(request, &out);
}

static void commit_one(struct nodes *nodes, const struct offset_commit_request *in,
                       const struct offset_commit_request_topic *topic, int32_t p)
{
    struct request *request = nodes->request;
    struct node *node = &nodes->at[nodes->count++];
    const struct offset_commit_request_topic_partition *from = &topic->partitions.at[p];
    int64_t metadata_max =
        options_int(request->at->process->options, OPTION_OFFSET_METADATA_MAX_BYTES);

    *node = (struct node){.of = nodes, .topic = topic->name, .partition = from->partition_index};
    node->code = check(request, in->group_id, node);
    if (node->code == KAFKA_NONE && offsets_metadata_len(from->committed_metadata) > metadata_max)
        node->code = KAFKA_OFFSET_METADATA_TOO_LARGE;
    if (node->code != KAFKA_NONE) return;
    node->path =
        path_consumer_offset(&request->arena, in->group_id, topic->name, from->partition_index);
    node->data = arena_printf(&request->arena, "%lld", (long long)from->committed_offset);
    nodes->open++;
    submit(node, ZK_SET, node->path, node->data, on_set);
}

static struct nodes *nodes_new(struct request *request, int count,
                               void (*finished)(struct nodes *nodes))
{
    struct nodes *nodes = arena_zalloc(&request->arena, sizeof(*nodes));

    nodes->request = request;
    nodes->at = arena_zalloc(&request->arena, sizeof(*nodes->at) * (size_t)(count + 1));
    nodes->open = 1;
    nodes->finished = finished;
    return nodes;
}

void offset_nodes_commit(struct request *request)
{
    const struct offset_commit_request *in = request->body;
    int count = 0;

    for (int32_t t = 0; t < in->topics.count; t++)
        if (in->topics.at[t].partitions.count > 0) count += in->topics.at[t].partitions.count;
    struct nodes *nodes = nodes_new(request, count, commit_finished);
    for (int32_t t = 0; t < in->topics.count; t++)
        for (int32_t p = 0; p < in->topics.at[t].partitions.count; p++)
            commit_one(nodes, in, &in->topics.at[t], p);
    let_go(nodes);
}

/* ---- fetch ---- */

static void on_read(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct node *node = node_of(call);
    int64_t offset = -1;

    if (err == ERR_OK && count == 1 && text_int(results[0].data, 0, INT64_MAX, &offset) != ERR_OK)
        err = ERR_CORRUPT;
    node->offset = offset;
    if (err == ERR_NOT_FOUND)
        node_end(node, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    else
        node_end(node, err == ERR_OK ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR);
}

static void fetch_finished(struct nodes *nodes)
{
    struct request *request = nodes->request;
    const struct offset_fetch_request *in = request->body;
    struct arena *arena = &request->arena;
    struct offset_fetch_response out;
    int32_t topics = in->topics.count < 0 ? 0 : in->topics.count;
    int at = 0;

    wire_default(&offset_fetch_response_wire, &out);
    out.topics.at = arena_zalloc(arena, sizeof(*out.topics.at) * (size_t)(topics + 1));
    out.topics.count = topics;
    for (int32_t t = 0; t < topics; t++) {
        int32_t count = in->topics.at[t].partition_indexes.count;
        struct offset_fetch_response_topic *to = &out.topics.at[t];

        if (count < 0) count = 0;
        to->name = in->topics.at[t].name;
        to->partitions.at = arena_zalloc(arena, sizeof(*to->partitions.at) * (size_t)(count + 1));
        to->partitions.count = count;
        for (int32_t p = 0; p < count; p++, at++)
            to->partitions.at[p] = (struct offset_fetch_response_topic_partition){
                .partition_index = nodes->at[at].partition,
                .committed_offset = nodes->at[at].code == KAFKA_NONE ? nodes->at[at].offset : -1,
                .committed_leader_epoch = -1,
                .metadata = SLICE(""),
                .error_code = nodes->at[at].code};
    }
    request_reply(request, &out);
}

static void fetch_one(struct nodes *nodes, struct slice group, struct slice topic,
                      int32_t partition)
{
    struct node *node = &nodes->at[nodes->count++];

    *node = (struct node){.of = nodes, .topic = topic, .partition = partition, .offset = -1};
    node->code = check(nodes->request, group, node);
    if (node->code != KAFKA_NONE) return;
    node->path = path_consumer_offset(&nodes->request->arena, group, topic, partition);
    nodes->open++;
    submit(node, ZK_GET, node->path, SLICE_NULL, on_read);
}

void offset_nodes_fetch(struct request *request)
{
    const struct offset_fetch_request *in = request->body;
    int count = 0;

    for (int32_t t = 0; t < in->topics.count; t++)
        if (in->topics.at[t].partition_indexes.count > 0)
            count += in->topics.at[t].partition_indexes.count;
    struct nodes *nodes = nodes_new(request, count, fetch_finished);
    for (int32_t t = 0; t < in->topics.count; t++)
        for (int32_t p = 0; p < in->topics.at[t].partition_indexes.count; p++)
            fetch_one(nodes, in->group_id, in->topics.at[t].name,
                      in->topics.at[t].partition_indexes.at[p]);
    let_go(nodes);
}
