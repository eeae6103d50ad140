#include "tests/sim/zk_link.h"
#include "base/ensure.h"
#include <stdlib.h>

/* ---- packets */

struct packet *packet_create(enum packet_type type)
{
    struct packet *packet = ensure_zalloc(sizeof(*packet));

    packet->type = type;
    arena_init(&packet->arena, SIZE_MAX);
    return packet;
}

void packet_destroy(struct packet **packet_at)
{
    struct packet *packet = *packet_at;

    *packet_at = NULL;
    if (packet == NULL) return;
    arena_fini(&packet->arena);
    free(packet);
}

struct packet *packet_of_request(const struct zk_request *request)
{
    struct packet *packet = packet_create(PACKET_REQUEST);

    packet->count = request->count;
    packet->is_multi = request->is_multi;
    packet->ops = arena_zalloc(&packet->arena, (size_t)request->count * sizeof(*packet->ops) + 1);
    for (int i = 0; i < request->count; i++) {
        struct zk_op *op = &packet->ops[i];
        *op = request->ops[i];
        op->path = arena_copy(&packet->arena, op->path);
        op->data = arena_copy(&packet->arena, op->data);
    }
    return packet;
}

size_t packet_bytes(const struct packet *packet)
{
    size_t bytes = 16;

    for (int i = 0; i < packet->count; i++)
        bytes += packet->ops[i].path.len + packet->ops[i].data.len + 32;
    return bytes;
}

bool packet_is_write(const struct packet *packet)
{
    if (packet->is_multi) return true;
    switch (packet->ops[0].kind) {
    case ZK_GET:
    case ZK_EXISTS:
    case ZK_CHILDREN:
        return false;
    case ZK_CREATE:
    case ZK_SET:
    case ZK_DELETE:
    case ZK_CHECK:
    case ZK_SYNC:
        return true;
    }
    return true;
}

/* ---- the way of packets */

static enum zk_end other(enum zk_end end)
{
    return end == ZK_END_CLIENT ? ZK_END_SERVER : ZK_END_CLIENT;
}

static struct packet *first_of(struct zk_way *way)
{
    return list_entry(list_first(&way->packets), struct packet, node);
}

static void arm(struct zk_way *way)
{
    bool has_next = !list_is_empty(&way->packets) && way->stalls == 0;

    world_arm(way->link->wire->world, &way->event, has_next ? first_of(way)->due : INSTANT_NEVER);
}

static void drop_all(struct zk_way *way)
{
    struct list_node *node;

    while ((node = list_pop(&way->packets)) != NULL) {
        struct packet *packet = list_entry(node, struct packet, node);
        packet_destroy(&packet);
    }
    arm(way);
}

/* Nobody hears of it any more. What is under way to an end that has closed does not count. */
static bool is_over(const struct zk_link *link)
{
    return link->receive[ZK_END_CLIENT] == NULL && link->receive[ZK_END_SERVER] == NULL;
}

void zk_link_destroy(struct zk_link **link_at)
{
    struct zk_link *link = *link_at;

    *link_at = NULL;
    if (link == NULL) return;
    for (int end = 0; end < 2; end++) {
        drop_all(&link->ways[end]);
        world_disarm(link->wire->world, &link->ways[end].event);
    }
    world_disarm(link->wire->world, &link->let_go);
    list_remove(&link->node);
    free(link);
}

static void arrive(struct world_event *event)
{
    struct zk_way *way = heap_entry(event, struct zk_way, event);
    struct zk_link *link = way->link;
    enum zk_end end = way == &link->ways[ZK_END_CLIENT] ? ZK_END_CLIENT : ZK_END_SERVER;
    struct packet *packet = first_of(way);

    list_remove(&packet->node);
    arm(way);
    if (link->receive[end] == NULL)
        packet_destroy(&packet);
    else
        link->receive[end](link->owner[end], link, packet); /* may free the link */
}

void zk_wire_init(struct zk_wire *wire, struct world *world)
{
    wire->world = world;
    wire->typical_us = world_option(world, "zookeeper.latency-us", 30, 3000);
    wire->slow = world_fault(world, "zookeeper.slow-message", 10000);
    wire->luck = world_stream(world, "zookeeper/wire");
}

static int64_t draw(struct zk_wire *wire, int64_t low, int64_t high)
{
    return low + (int64_t)prng_below(wire->luck, (uint64_t)(high - low) + 1);
}

/* Nearly always quick; a slow one holds up what is behind it. */
int64_t zk_wire_delay_ns(struct zk_wire *wire)
{
    int64_t us = draw(wire, wire->typical_us / 2 + 1, wire->typical_us * 2);

    if (fault_strikes(wire->world, wire->slow)) us += draw(wire, 1000, 4000000);
    return us * 1000;
}

static struct instant due_of(struct zk_link *link, struct zk_way *way)
{
    struct instant due = instant_add_ns(link->wire->world->now, zk_wire_delay_ns(link->wire));

    way->last_due = instant_max(due, instant_add_ns(way->last_due, 1));
    return way->last_due;
}

void zk_link_send(struct zk_link *link, enum zk_end to, struct packet **packet_at)
{
    struct zk_way *way = &link->ways[to];
    struct packet *packet = *packet_at;

    *packet_at = NULL;
    if (way->is_deaf || link->receive[to] == NULL) {
        packet_destroy(&packet);
        return;
    }
    packet->due = due_of(link, way);
    list_push(&way->packets, &packet->node);
    arm(way);
}

/* Loses a drawn part of what was sent last. */
static void lose_tail(struct zk_way *way)
{
    int64_t count = 0;

    list_each (node, &way->packets)
        count++;
    int64_t lost = draw(way->link->wire, 0, count);
    for (; lost > 0; lost--) {
        struct packet *packet = list_entry(list_last(&way->packets), struct packet, node);
        list_remove(&packet->node);
        packet_destroy(&packet);
    }
    arm(way);
}

static void send_end(struct zk_link *link, enum zk_end to)
{
    struct packet *end = packet_create(PACKET_END);

    link->ways[to].is_deaf = false;
    zk_link_send(link, to, &end);
    link->ways[to].is_deaf = true;
}

void zk_link_close(struct zk_link *link, enum zk_end end, bool is_cut)
{
    struct zk_way *out = &link->ways[other(end)];

    ensure(link->receive[end] != NULL);
    link->receive[end] = NULL;
    drop_all(&link->ways[end]);
    if (is_over(link)) {
        zk_link_destroy(&link);
        return;
    }
    if (is_cut) lose_tail(out);
    if (!out->is_deaf) send_end(link, other(end));
}

void zk_link_cut(struct zk_link *link)
{
    for (enum zk_end end = ZK_END_CLIENT; end <= ZK_END_SERVER; end++) {
        if (link->ways[end].is_deaf || link->receive[end] == NULL) continue;
        lose_tail(&link->ways[end]);
        send_end(link, end);
    }
}

void zk_link_stall(struct zk_link *link, enum zk_end to, unsigned reason)
{
    link->ways[to].stalls |= reason;
    arm(&link->ways[to]);
}

void zk_link_unstall(struct zk_link *link, enum zk_end to, unsigned reason)
{
    link->ways[to].stalls &= ~reason;
    arm(&link->ways[to]);
}

static void let_go(struct world_event *event)
{
    struct zk_link *link = heap_entry(event, struct zk_link, let_go);

    zk_link_unstall(link, ZK_END_CLIENT, STALL_LUCK);
    zk_link_unstall(link, ZK_END_SERVER, STALL_LUCK);
}

void zk_link_deafen(struct zk_link *link)
{
    struct zk_way *way = &link->ways[ZK_END_CLIENT];

    if (way->is_deaf || link->receive[ZK_END_CLIENT] == NULL) return;
    struct instant heard = instant_add_ms(link->wire->world->now, draw(link->wire, 1, 500));
    way->last_due = instant_max(way->last_due, heard);
    send_end(link, ZK_END_CLIENT);
}

struct zk_link *zk_link_create(struct zk_wire *wire, struct sim_host *host, int server)
{
    struct zk_link *link = ensure_zalloc(sizeof(*link));

    link->wire = wire;
    link->let_go.fire = let_go;
    link->host = host;
    link->server = server;
    for (int end = 0; end < 2; end++) {
        link->ways[end].link = link;
        link->ways[end].event.fire = arrive;
        list_init(&link->ways[end].packets);
    }
    return link;
}
