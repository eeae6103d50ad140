/* sim/zk_link.h - one connection between a ZooKeeper client and a server of the ensemble.
 *
 * Two ways, each in order, each with its own delay. An end that closes hears nothing more; what it
 * has sent arrives as far as the luck of the cut goes, and behind it the other end hears
 * PACKET_END. A way that is stalled keeps what is sent until it is let go, as TCP does: a silent
 * connection. A way that is deaf loses it, and its receiver hears the end later. */
#pragma once
#include "base/arena.h"
#include "runtime/zk_ops.h"
#include "tests/sim/world.h"

enum packet_type {
    /* of clients */
    PACKET_HELLO, /* session (0: a new one), zxid seen, timeout_ms, creator */
    PACKET_PING,
    PACKET_REQUEST, /* ops, count, is_multi, serial */
    PACKET_WATCHES, /* zxid; paths: what was armed before a reconnect */
    PACKET_CLOSE,   /* ends the session */
    /* of servers */
    PACKET_WELCOME, /* session, timeout_ms */
    PACKET_EXPIRED,
    PACKET_PONG,   /* zxid */
    PACKET_ANSWER, /* serial, zxid, err, results, count */
    PACKET_EVENT,  /* event, path */
    /* of both */
    PACKET_END,
};

enum { WATCH_DATA, WATCH_EXISTS, WATCH_CHILDREN, WATCH_KINDS };

/* All that it points to is in its arena. */
struct packet {
    struct list_node node;
    struct instant due;
    enum packet_type type;
    struct arena arena;

    int64_t session, zxid;
    int32_t timeout_ms;
    uint64_t creator, serial;
    struct zk_op *ops;
    int count;
    bool is_multi;
    enum err err;
    struct zk_result *results;
    enum zk_event_type event;
    struct slice path;
    struct {
        struct slice *at;
        int count;
    } paths[WATCH_KINDS];
};

struct packet *packet_create(enum packet_type type);
void packet_destroy(struct packet **packet); /* NULL is fine */
/* Bytes of a request, roughly as a server counts them. */
size_t packet_bytes(const struct packet *packet);
/* Copies what a client submits. */
struct packet *packet_of_request(const struct zk_request *request);
bool packet_is_write(const struct packet *packet); /* also a sync: what goes through the leader */

enum zk_end { ZK_END_CLIENT, ZK_END_SERVER };

/* Why a way stands still: it goes on when none is left. */
enum { STALL_HOST = 1, STALL_SERVER = 2, STALL_LUCK = 4 };

/* How quick wires are in this seed. */
struct zk_wire {
    struct world *world;
    int64_t typical_us;
    struct sim_fault *slow;
    struct prng *luck;
};

void zk_wire_init(struct zk_wire *wire, struct world *world);
/* What one message takes, now. */
int64_t zk_wire_delay_ns(struct zk_wire *wire);

struct zk_way {
    struct zk_link *link;
    struct list packets; /* under way, in order */
    struct world_event event;
    struct instant last_due;
    unsigned stalls; /* STALL_ */
    bool is_deaf;
};

struct zk_link {
    struct list_node node; /* of the ensemble's links */
    struct zk_wire *wire;
    uint64_t id;
    struct sim_host *host; /* the client's */
    int server;
    struct zk_way ways[2]; /* by who receives */
    /* Takes the packet. NULL: that end has closed. */
    void (*receive[2])(void *owner, struct zk_link *link, struct packet *packet);
    void *owner[2];
    struct world_event let_go; /* when STALL_LUCK ends */
};

/* Both ends open, nothing sent. Freed when both have closed and nothing is under way. */
struct zk_link *zk_link_create(struct zk_wire *wire, struct sim_host *host, int server);
void zk_link_send(struct zk_link *link, enum zk_end to, struct packet **packet);
/* `end` closes. Is `is_cut`, a drawn part of what it sent last is lost. */
void zk_link_close(struct zk_link *link, enum zk_end end, bool is_cut);
/* Both ends notice by themselves, each after its delay; of what is under way a part is lost. */
void zk_link_cut(struct zk_link *link);
void zk_link_stall(struct zk_link *link, enum zk_end to, unsigned reason);
void zk_link_unstall(struct zk_link *link, enum zk_end to, unsigned reason);
/* The client hears nothing from now on, and after a while the end: what it has sent is executed. */
void zk_link_deafen(struct zk_link *link);
/* At the end of the world: whatever is under way. */
void zk_link_destroy(struct zk_link **link);
