/* sim/ensemble.h - the servers of the simulated ZooKeeper: what they promise, and no more.
 *
 * Writes are put in one order by the leader, checked against the committed tree, and reach each
 * server after its own delay; a server answers a write when it has applied it, a read from what it
 * has applied. So reads lag, a session sees its own writes, and the event of a watch leaves before
 * any answer that shows the new state. Requests of one connection are answered in order. A session
 * belongs to the connection that spoke for it last: what comes late over an older one is refused.
 * Sessions expire by virtual time, in ticks, and only while there is a leader; the client hears of
 * it when it next reaches a server. */
#pragma once
#include "tests/sim/tree.h"
#include "tests/sim/zk_link.h"

#define ENSEMBLE_SERVERS_MAX 5

struct ensemble;

/* What a transaction changed, for oracles. Borrowed until the listener returns. */
struct ensemble_change {
    enum { CHANGE_ADD, CHANGE_SET, CHANGE_REMOVE } kind;
    struct slice path;
    struct slice data;          /* add, set */
    int64_t owner;              /* add: session of an ephemeral, or 0 */
    struct tree_acl acl;        /* add */
    struct slice before;        /* set, remove */
    struct zk_stat stat_before; /* set, remove */
    int32_t created_before;     /* remove */
    int64_t parent_pzxid;       /* before */
};

struct ensemble_txn {
    int64_t zxid, time_ms;
    int64_t session;         /* whose; 0: an operator's tool */
    bool is_end_of_session;  /* it closed, or expired: its ephemerals go */
    const struct zk_op *ops; /* as asked; NULL for an end of session */
    int op_count;
    const struct ensemble_change *changes;
    int change_count;
};

struct ensemble_listener {
    struct list_node node;
    /* After it was applied to the committed tree; `owner`'s memory is the world's. */
    void (*committed)(void *owner, const struct ensemble_txn *txn);
    void *owner;
};

/* Draws its options from the seed (zookeeper.servers, .tick-ms, .latency-us), makes its faults
 * known (zookeeper.…). */
struct ensemble *ensemble_create(struct world *world);
void ensemble_destroy(struct ensemble **ensemble);

void ensemble_hear(struct ensemble *ensemble, struct ensemble_listener *listener);

int ensemble_servers(const struct ensemble *ensemble);
/* What is committed: ahead of what lagging servers have. */
const struct tree *ensemble_tree(const struct ensemble *ensemble);
int64_t ensemble_zxid(const struct ensemble *ensemble);
bool ensemble_has_leader(const struct ensemble *ensemble);
bool ensemble_has_session(const struct ensemble *ensemble, int64_t session);

/* A transaction out of nowhere, as of zkCli: applied at once; the results of a multi in `results`
 * when it is not NULL. ERR_REFUSED when there is no leader. */
enum err ensemble_write(struct ensemble *ensemble, const struct zk_op *ops, int count,
                        enum err *results);

/* ---- for clients (zookeeper.c) */

/* Gives a connection to `server`, on which the client receives; NULL: refused. */
struct zk_link *ensemble_connect(struct ensemble *ensemble, int server, struct sim_host *from,
                                 void (*receive)(void *owner, struct zk_link *link,
                                                 struct packet *packet),
                                 void *owner);

/* ---- faults, by hand */

/* The process of a server ends, comes back with all that was committed. */
void ensemble_stop(struct ensemble *ensemble, int server);
void ensemble_start(struct ensemble *ensemble, int server);
/* It keeps its connections and is silent. */
void ensemble_pause(struct ensemble *ensemble, int server);
void ensemble_resume(struct ensemble *ensemble, int server);
/* From now on nothing that was committed reaches this server, but what makes it serve at all. */
void ensemble_freeze(struct ensemble *ensemble, int server, bool is_frozen);
/* This host and the servers hear nothing of each other; connections stay. */
void ensemble_cut_host(struct ensemble *ensemble, struct sim_host *host, bool is_cut);
/* The connections that the host has now are silent in that way for a while; a new one is not. */
void ensemble_stall_host(struct ensemble *ensemble, struct sim_host *host, enum zk_end to,
                         int64_t ms);
/* Every connection of the host ends. */
void ensemble_reset_host(struct ensemble *ensemble, struct sim_host *host);
/* Ends a session as if its time were over. False: there is none such. */
bool ensemble_expire(struct ensemble *ensemble, int64_t session);
/* All servers up, quick, and reachable, for good. */
void ensemble_heal(struct ensemble *ensemble);

/* Structure, and that servers which have applied everything are equal. */
void ensemble_audit(const struct ensemble *ensemble);
