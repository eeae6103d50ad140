#include "tests/sim/zombie.h"
#include "base/ensure.h"
#include "tests/sim/heap.h"
#include "tests/sim/load_private.h"
#include "tests/sim/zookeeper.h"
#include "wire/gen/leader_and_isr.h"
#include "wire/gen/list_offsets.h"
#include "wire/protocol.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdio.h>
#include <stdlib.h>

#define VERSION    4 /* names of topics, and broker epochs; of ListOffsets leader epochs */
#define TIMEOUT_MS 10000

struct order {
    struct peer_call call;
    struct client *client;
    enum zombie zombie;
    int32_t broker;
    char topic[32];
    int32_t controller, controller_epoch;
    int64_t broker_epoch;
    struct load_partition state;
};

static const char *const names[] = {"controller", "broker-epoch", "leader-epoch", "equal-epoch"};

static void on_answered(struct peer_call *call, enum err err, struct slice answer,
                        struct block *block)
{
    struct order *order = list_entry(call, struct order, call);
    struct world *world = order->client->load->world;
    struct leader_and_isr_response in;
    int16_t code = 0, wanted = order->zombie == ZOMBIE_BROKER_EPOCH ? KAFKA_STALE_BROKER_EPOCH
                                                                    : KAFKA_STALE_CONTROLLER_EPOCH;

    (void)block;
    if (err == ERR_OK) {
        arena_reset(&order->client->arena);
        err = wire_read(answer, VERSION, &leader_and_isr_response_wire, &order->client->arena, &in);
        if (err != ERR_OK)
            world_wrong(world, "the answer to LeaderAndIsr cannot be read: %s", err_name(err));
        code = in.error_code;
        if (code == 0 && in.partition_errors.count > 0) code = in.partition_errors.at[0].error_code;
        world_trace(world, "zombie %s: %d answers %d", names[order->zombie], order->broker, code);
        /* It may know less than we: who has not heard of the new epoch takes the old one. */
        if (code == KAFKA_NONE)
            world_wrong(world, "%d takes an order of an epoch that is over: %s", order->broker,
                        names[order->zombie]);
        if (code != wanted) world_trace(world, "zombie: %d was to be answered", wanted);
    }
    free(order);
}

static void send_order(void *arg)
{
    struct order given = *(struct order *)arg, *order = ensure_zalloc(sizeof(*order));
    struct leader_and_isr_request request;
    struct leader_and_isr_request_topic_state topic = {0};
    struct leader_and_isr_request_partition_state partition = {0};
    struct leader_and_isr_request_live_leader leader = {0};
    char host[32];

    *order = given;
    wire_default(&leader_and_isr_request_wire, &request);
    partition.controller_epoch = order->controller_epoch;
    partition.leader = order->broker;
    partition.leader_epoch = order->state.leader_epoch;
    partition.isr.at = order->state.isr;
    partition.isr.count = order->state.isr_count;
    partition.replicas.at = order->state.replicas;
    partition.replicas.count = order->state.replica_count;
    topic.topic_name = slice_text(order->topic);
    topic.partition_states.at = &partition;
    topic.partition_states.count = 1;
    snprintf(host, sizeof(host), "b%d", order->broker);
    leader = (struct leader_and_isr_request_live_leader){
        .broker_id = order->broker, .host_name = slice_text(host), .port = 9092};
    request.controller_id = order->controller;
    request.controller_epoch = order->controller_epoch;
    request.broker_epoch = order->broker_epoch;
    request.topic_states.at = &topic;
    request.topic_states.count = 1;
    request.live_leaders.at = &leader;
    request.live_leaders.count = 1;
    order->call = (struct peer_call){.api_key = API_LEADER_AND_ISR,
                                     .version_min = VERSION,
                                     .version_max = VERSION,
                                     .timeout_ms = TIMEOUT_MS,
                                     .done = on_answered};
    buf_init(&order->call.body);
    wire_write(&order->call.body, VERSION, &leader_and_isr_request_wire, &request);
    peer_send(client_peer(order->client, order->broker, PEER_ASK), &order->call);
}

static bool read_epochs(struct load *load, struct order *order)
{
    const struct tree *tree = ensemble_tree(sim_zookeeper_ensemble(load->world->zookeeper));
    const struct tree_node *epoch = tree_find(tree, PATH_CONTROLLER_EPOCH);
    const struct tree_node *controller = tree_find(tree, PATH_CONTROLLER);
    struct doc_controller doc;
    int64_t number = 0;

    arena_reset(&load->arena);
    const struct tree_node *id = tree_find(tree, path_broker(&load->arena, order->broker));
    if (epoch == NULL || controller == NULL || id == NULL) return false;
    if (doc_number_read(epoch->data, 0, INT32_MAX, &number) != ERR_OK) return false;
    if (doc_controller_read(controller->data, &load->arena, &doc) != ERR_OK) return false;
    order->controller = doc.broker_id;
    order->controller_epoch = (int32_t)number;
    order->broker_epoch = id->stat.czxid;
    return true;
}

static bool make_old(struct order *order)
{
    switch (order->zombie) {
    case ZOMBIE_CONTROLLER:
        order->state.leader_epoch += 10; /* it would be obeyed, but for who sends it */
        return order->controller_epoch-- > 1;
    case ZOMBIE_BROKER_EPOCH:
        order->state.leader_epoch += 10;
        order->broker_epoch--;
        return true;
    case ZOMBIE_LEADER_EPOCH:
        return order->state.leader_epoch-- > 0;
    case ZOMBIE_EQUAL_EPOCH:
        return true;
    }
    return false;
}

bool zombie_orders(struct load *load, enum zombie zombie, const char *topic, int32_t broker)
{
    struct client *client = &load->clients[0];
    struct sim_heap *was = sim_heap_use_world();
    struct order *order = ensure_zalloc(sizeof(*order));

    *order = (struct order){.client = client, .zombie = zombie, .broker = broker};
    snprintf(order->topic, sizeof(order->topic), "%s", topic);
    bool is_there = load_partition(load, topic, 0, &order->state) && read_epochs(load, order) &&
                    make_old(order);
    if (is_there) {
        world_trace(load->world, "zombie %s: to %d about %s-0", names[zombie], broker, topic);
        process_run(client->process, send_order, order);
    }
    free(order);
    sim_heap_use(was);
    return is_there;
}

/* ---- questions ---- */

static void on_told(struct peer_call *call, enum err err, struct slice answer, struct block *block)
{
    struct order *order = list_entry(call, struct order, call);
    struct world *world = order->client->load->world;
    struct list_offsets_response in;

    (void)block;
    if (err == ERR_OK) {
        arena_reset(&order->client->arena);
        err = wire_read(answer, VERSION, &list_offsets_response_wire, &order->client->arena, &in);
        if (err != ERR_OK || in.topics.count != 1 || in.topics.at[0].partitions.count != 1)
            world_wrong(world, "the answer to ListOffsets cannot be read: %s", err_name(err));
        int16_t code = in.topics.at[0].partitions.at[0].error_code;
        world_trace(world, "zombie: %d answers %d about epoch %d", order->broker, code,
                    order->state.leader_epoch);
        if (code == KAFKA_NONE)
            world_wrong(world, "%d tells offsets of leader epoch %d, which is not the present one",
                        order->broker, order->state.leader_epoch);
    }
    free(order);
}

static void send_question(void *arg)
{
    struct order given = *(struct order *)arg, *order = ensure_zalloc(sizeof(*order));
    struct list_offsets_request request;
    struct list_offsets_request_topic topic = {0};
    struct list_offsets_request_topic_partition partition = {0};

    *order = given;
    wire_default(&list_offsets_request_wire, &request);
    partition.current_leader_epoch = order->state.leader_epoch;
    partition.timestamp = -1;
    topic.name = slice_text(order->topic);
    topic.partitions.at = &partition;
    topic.partitions.count = 1;
    request.replica_id = -1;
    request.topics.at = &topic;
    request.topics.count = 1;
    order->call = (struct peer_call){.api_key = API_LIST_OFFSETS,
                                     .version_min = VERSION,
                                     .version_max = VERSION,
                                     .timeout_ms = TIMEOUT_MS,
                                     .done = on_told};
    buf_init(&order->call.body);
    wire_write(&order->call.body, VERSION, &list_offsets_request_wire, &request);
    peer_send(client_peer(order->client, order->broker, PEER_ASK), &order->call);
}

void zombie_asks(struct load *load, int32_t epochs, const char *topic, int32_t broker)
{
    struct client *client = &load->clients[0];
    struct sim_heap *was = sim_heap_use_world();
    struct order *order = ensure_zalloc(sizeof(*order));

    *order = (struct order){.client = client, .broker = broker};
    snprintf(order->topic, sizeof(order->topic), "%s", topic);
    bool is_there = load_partition(load, topic, 0, &order->state);
    order->state.leader_epoch += epochs;
    if (is_there && order->state.leader_epoch >= 0)
        process_run(client->process, send_question, order);
    free(order);
    sim_heap_use(was);
}
