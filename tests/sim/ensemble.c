#include "tests/sim/ensemble.h"
#include "base/ensure.h"
#include <stdio.h>
#include <stdlib.h>

#define REQUEST_MAX (1024 * 1024) /* jute.maxbuffer of the servers */
#define SLOW_LOOKS  100           /* times as long from look to look, in a slow world */

/* One place in the order of all writes. */
struct entry {
    struct entry *next;
    struct arena arena;
    struct instant committed;
    struct ensemble_txn txn;
    struct ensemble_change *changes; /* those of `txn` */
    uint64_t link;                   /* over which it came; 0: none */
    struct packet *answer;           /* for that connection, or NULL */
    bool is_moved; /* its session speaks over another connection: this one is cut */
};

struct session {
    struct list_node node;
    struct ensemble *ensemble;
    int64_t id;
    int32_t timeout_ms;
    uint64_t creator;
    uint64_t link; /* that speaks for it */
    struct world_event expiry;
};

struct server {
    struct ensemble *ensemble;
    int id;
    bool is_up, is_paused, is_frozen;
    bool is_serving; /* it has joined a leader */
    struct tree *tree;
    int64_t zxid;
    struct entry *next; /* to apply; NULL: it has all */
    struct world_event applying;
    struct instant last_applied;
    struct list forwards; /* to the leader */
    struct world_event forwarding;
    struct instant last_forward;
    struct list conns;
    struct world_event comeback; /* of the nemesis */
};

/* A server's side of a connection. */
struct conn {
    struct list_node node;
    struct server *server;
    struct zk_link *link;
    int64_t session; /* 0: nobody has spoken yet */
    bool is_valid;   /* it was welcomed */
    struct world_event welcome;
    struct list queue; /* requests in order, unanswered */
    struct map data_watches, child_watches;
};

/* On its way to the leader. */
struct forward {
    struct list_node node;
    struct instant due;
    uint64_t link;
    int64_t session;
    struct packet *packet;
};

enum nemesis_kind {
    NEMESIS_RESET,
    NEMESIS_STALL,
    NEMESIS_FREEZE,
    NEMESIS_CRASH,
    NEMESIS_SILENT,
    NEMESIS_ABSENT,
    NEMESIS_EXPIRE,
    NEMESIS_KINDS,
};

struct ensemble {
    struct world *world;
    struct zk_wire wire;
    struct prng *luck;
    struct server servers[ENSEMBLE_SERVERS_MAX];
    int count;
    int32_t tick_ms;
    int leader; /* −1: none */
    struct world_event election;

    struct tree *tree; /* what is committed */
    int64_t zxid;
    struct entry *first, *last; /* what not all servers have applied */
    struct list sessions;
    int64_t sessions_made;
    uint64_t links_made;
    struct list links;
    struct map cut_hosts;
    struct list listeners;

    struct sim_fault *lag, *faults[NEMESIS_KINDS];
    struct world_event nemesis;
    bool is_healed;
};

static void lose_leader(struct ensemble *ensemble);
static void run_queue(struct conn *conn);

static int64_t draw(struct ensemble *ensemble, int64_t low, int64_t high)
{
    return low + (int64_t)prng_below(ensemble->luck, (uint64_t)(high - low) + 1);
}

static struct instant after_ms(const struct ensemble *ensemble, int64_t ms)
{
    return instant_add_ms(ensemble->world->now, ms);
}

static int64_t wall_ms(const struct ensemble *ensemble)
{
    const struct world *world = ensemble->world;

    return world->wall_began_ms + instant_ms_between(WORLD_BEGINS, world->now);
}

/* ---- sessions, as the leader knows them */

static struct session *session_find(const struct ensemble *ensemble, int64_t id)
{
    list_each (node, &ensemble->sessions) {
        struct session *session = list_entry(node, struct session, node);
        if (session->id == id) return session;
    }
    return NULL;
}

/* Sessions end in ticks, never early. */
static void touch(struct session *session)
{
    struct ensemble *ensemble = session->ensemble;
    int64_t tick_ns = (int64_t)ensemble->tick_ms * 1000000;
    int64_t due = after_ms(ensemble, session->timeout_ms).ns;

    if (ensemble->leader < 0) return;
    world_arm(ensemble->world, &session->expiry,
              (struct instant){(due + tick_ns - 1) / tick_ns * tick_ns});
}

static void session_destroy(struct session *session)
{
    world_disarm(session->ensemble->world, &session->expiry);
    list_remove(&session->node);
    free(session);
}

/* ---- the order of writes */

static void entry_destroy(struct entry *entry)
{
    packet_destroy(&entry->answer);
    arena_fini(&entry->arena);
    free(entry);
}

static struct entry *entry_create(struct ensemble *ensemble, int64_t session, uint64_t link)
{
    struct entry *entry = ensure_zalloc(sizeof(*entry));

    arena_init(&entry->arena, SIZE_MAX);
    entry->committed = ensemble->world->now;
    entry->link = link;
    entry->txn.session = session;
    entry->txn.time_ms = wall_ms(ensemble);
    return entry;
}

static void arm_apply(struct server *server)
{
    struct ensemble *ensemble = server->ensemble;

    if (server->next == NULL || !server->is_serving || server->is_paused || server->is_frozen) {
        world_disarm(ensemble->world, &server->applying);
        return;
    }
    if (heap_has(&server->applying.node)) return;
    int64_t ns = zk_wire_delay_ns(&ensemble->wire);
    if (fault_strikes(ensemble->world, ensemble->lag)) ns += draw(ensemble, 1, 5000) * 1000000;
    struct instant due = instant_add_ns(server->next->committed, ns);
    due = instant_max(due, instant_add_ns(server->last_applied, 1));
    world_arm(ensemble->world, &server->applying, due);
}

/* What all servers that are there have applied is forgotten. */
static void trim(struct ensemble *ensemble)
{
    while (ensemble->first != NULL) {
        for (int i = 0; i < ensemble->count; i++)
            if (ensemble->servers[i].next == ensemble->first) return;
        /* One behind which a server still stands is not the first. */
        struct entry *entry = ensemble->first;
        ensemble->first = entry->next;
        if (entry == ensemble->last) ensemble->last = NULL;
        entry_destroy(entry);
    }
}

static void trace_txn(struct ensemble *ensemble, const struct ensemble_txn *txn)
{
    static const char *const kinds[] = {"add", "set", "remove"};

    for (int i = 0; i < txn->change_count; i++) {
        const struct ensemble_change *change = &txn->changes[i];
        world_trace(ensemble->world, "zk %lld session=%llx %s %.*s %.*s", (long long)txn->zxid,
                    (unsigned long long)txn->session, kinds[change->kind], SLICE_ARGS(change->path),
                    (int)(change->data.len > 200 ? 200 : change->data.len),
                    change->data.ptr == NULL ? "" : (const char *)change->data.ptr);
    }
}

static void commit(struct ensemble *ensemble, struct entry *entry)
{
    if (ensemble->last == NULL)
        ensemble->first = entry;
    else
        ensemble->last->next = entry;
    ensemble->last = entry;
    for (int i = 0; i < ensemble->count; i++) {
        struct server *server = &ensemble->servers[i];
        if (!server->is_serving) continue;
        if (server->next == NULL) server->next = entry;
        arm_apply(server);
    }
    if (entry->txn.change_count > 0) {
        trace_txn(ensemble, &entry->txn);
        list_each (node, &ensemble->listeners) {
            struct ensemble_listener *listener = list_entry(node, struct ensemble_listener, node);
            listener->committed(listener->owner, &entry->txn);
        }
    }
    trim(ensemble);
}

/* ---- what the leader decides: operations on the committed tree */

enum permission { MAY_READ, MAY_WRITE };

struct actor {
    int64_t session;
    uint64_t creator;
    bool is_operator; /* no ACL binds it */
};

static bool may(const struct actor *actor, const struct tree_node *node, enum permission what)
{
    if (actor->is_operator || node->acl.acl == ZK_ACL_OPEN) return true;
    if (what == MAY_READ && node->acl.acl == ZK_ACL_CREATOR_AND_READ) return true;
    return actor->creator != 0 && actor->creator == node->acl.creator;
}

static void make_changes(struct entry *entry, int count)
{
    entry->changes = arena_zalloc(&entry->arena, (size_t)count * sizeof(*entry->changes) + 1);
    entry->txn.changes = entry->changes;
}

static struct ensemble_change *add_change(struct entry *entry, int kind, struct slice path)
{
    struct ensemble_change *change = &entry->changes[entry->txn.change_count++];

    change->kind = kind;
    change->path = path;
    return change;
}

static void note_before(struct entry *entry, struct ensemble_change *change,
                        const struct tree_node *node)
{
    change->before = arena_copy(&entry->arena, node->data);
    change->stat_before = node->stat;
    change->created_before = node->created;
    if (change->kind == CHANGE_REMOVE) change->acl = node->acl;
    if (node->parent != NULL) change->parent_pzxid = node->parent->stat.pzxid;
}

static enum err do_create(struct ensemble *ensemble, struct entry *entry, const struct actor *actor,
                          const struct zk_op *op, struct zk_result *result)
{
    struct tree_node *parent = tree_find(ensemble->tree, tree_parent_path(op->path));
    bool needs_creator = op->acl == ZK_ACL_CREATOR || op->acl == ZK_ACL_CREATOR_AND_READ;
    struct slice path = op->path;

    if (needs_creator && actor->creator == 0) return ERR_INVALID;
    if (parent == NULL) return ERR_NOT_FOUND;
    if (!may(actor, parent, MAY_WRITE)) return ERR_DENIED;
    if (op->is_sequential)
        path = arena_printf(&entry->arena, "%.*s%010d", SLICE_ARGS(op->path), parent->created);
    else
        path = arena_copy(&entry->arena, path);
    if (tree_find(ensemble->tree, path) != NULL) return ERR_EXISTS;
    if (parent->stat.ephemeral_owner != 0) return ERR_ZK_OTHER;

    struct ensemble_change *change = add_change(entry, CHANGE_ADD, path);
    change->data = arena_copy(&entry->arena, op->data);
    change->owner = op->is_ephemeral ? actor->session : 0;
    change->acl = (struct tree_acl){op->acl == ZK_ACL_BY_PATH ? ZK_ACL_OPEN : op->acl,
                                    needs_creator ? actor->creator : 0};
    change->parent_pzxid = parent->stat.pzxid;
    struct tree_node *node = tree_add(ensemble->tree, path, change->data, change->owner,
                                      change->acl, entry->txn.zxid, entry->txn.time_ms);
    result->created = path;
    result->stat = tree_stat(node);
    return ERR_OK;
}

static bool is_version(const struct tree_node *node, const struct zk_op *op)
{
    return op->version == ZK_ANY_VERSION || op->version == node->stat.version;
}

static enum err do_set(struct ensemble *ensemble, struct entry *entry, const struct actor *actor,
                       const struct zk_op *op, struct zk_result *result)
{
    struct tree_node *node = tree_find(ensemble->tree, op->path);

    if (node == NULL) return ERR_NOT_FOUND;
    if (!may(actor, node, MAY_WRITE)) return ERR_DENIED;
    if (!is_version(node, op)) return ERR_ZK_VERSION;
    struct ensemble_change *change =
        add_change(entry, CHANGE_SET, arena_copy(&entry->arena, op->path));
    note_before(entry, change, node);
    change->data = arena_copy(&entry->arena, op->data);
    tree_set(node, change->data, entry->txn.zxid, entry->txn.time_ms);
    result->stat = tree_stat(node);
    return ERR_OK;
}

static enum err do_delete(struct ensemble *ensemble, struct entry *entry, const struct actor *actor,
                          const struct zk_op *op)
{
    struct tree_node *node = tree_find(ensemble->tree, op->path);

    if (op->path.len <= 1) return ERR_INVALID;
    if (node == NULL) return ERR_NOT_FOUND;
    if (!may(actor, node->parent, MAY_WRITE)) return ERR_DENIED;
    if (!is_version(node, op)) return ERR_ZK_VERSION;
    if (node->stat.child_count > 0) return ERR_ZK_CHILDREN;
    struct ensemble_change *change =
        add_change(entry, CHANGE_REMOVE, arena_copy(&entry->arena, op->path));
    note_before(entry, change, node);
    tree_remove(ensemble->tree, node, entry->txn.zxid);
    return ERR_OK;
}

static enum err do_check(struct ensemble *ensemble, const struct actor *actor,
                         const struct zk_op *op)
{
    const struct tree_node *node = tree_find(ensemble->tree, op->path);

    if (node == NULL) return ERR_NOT_FOUND;
    if (!may(actor, node, MAY_READ)) return ERR_DENIED;
    return is_version(node, op) ? ERR_OK : ERR_ZK_VERSION;
}

static enum err do_op(struct ensemble *ensemble, struct entry *entry, const struct actor *actor,
                      const struct zk_op *op, struct zk_result *result)
{
    switch (op->kind) {
    case ZK_CREATE:
        return do_create(ensemble, entry, actor, op, result);
    case ZK_SET:
        return do_set(ensemble, entry, actor, op, result);
    case ZK_DELETE:
        return do_delete(ensemble, entry, actor, op);
    case ZK_CHECK:
        return do_check(ensemble, actor, op);
    case ZK_SYNC:
        return ERR_OK;
    case ZK_GET:
    case ZK_EXISTS:
    case ZK_CHILDREN:
        break;
    }
    return ERR_ZK_OTHER;
}

static void undo(struct ensemble *ensemble, const struct ensemble_change *change)
{
    struct tree *tree = ensemble->tree;
    struct tree_node *parent = tree_find(tree, tree_parent_path(change->path));
    struct tree_node *node = tree_find(tree, change->path);

    if (change->kind == CHANGE_ADD) {
        tree_remove(tree, node, change->parent_pzxid);
        parent->created--;
    } else if (change->kind == CHANGE_SET) {
        tree_set(node, change->before, change->stat_before.mzxid, change->stat_before.mtime);
        node->stat.version = change->stat_before.version;
    } else {
        tree_restore(tree, change->path, change->before, change->acl, &change->stat_before,
                     change->created_before);
        parent->stat.pzxid = change->parent_pzxid;
    }
}

/* All ops or none. Results as a server gives them: `results` has one per op. */
static enum err perform(struct ensemble *ensemble, struct entry *entry, const struct actor *actor,
                        const struct zk_op *ops, int count, struct zk_result *results)
{
    enum err err = ERR_OK;
    int failed = count;

    entry->txn.zxid = ensemble->zxid + 1;
    make_changes(entry, count);
    for (int i = 0; i < count && err == ERR_OK; i++) {
        err = results[i].err = do_op(ensemble, entry, actor, &ops[i], &results[i]);
        if (err != ERR_OK) failed = i;
    }
    if (err == ERR_OK) return ERR_OK;
    while (entry->txn.change_count > 0)
        undo(ensemble, &entry->txn.changes[--entry->txn.change_count]);
    for (int i = 0; i < count; i++) {
        results[i] = (struct zk_result){.err = i < failed ? ERR_OK : ERR_ZK_SKIPPED};
        if (i == failed) results[i].err = err;
    }
    return err;
}

/* The C client gives no stat for a create in a multi. */
static void trim_results(struct packet *answer, const struct zk_op *ops, int count)
{
    for (int i = 0; i < count; i++) {
        struct zk_result *result = &answer->results[i];
        result->created = arena_copy(&answer->arena, result->created);
        if (ops[i].kind == ZK_CREATE) result->stat = (struct zk_stat){0};
    }
}

/* A write has reached the leader. */
static void lead_request(struct ensemble *ensemble, const struct forward *forward)
{
    const struct packet *request = forward->packet;
    struct session *session = session_find(ensemble, forward->session);
    struct entry *entry = entry_create(ensemble, forward->session, forward->link);
    struct packet *answer = packet_create(PACKET_ANSWER);

    entry->answer = answer;
    answer->serial = request->serial;
    if (session == NULL) {
        answer->err = ERR_ZK_EXPIRED;
    } else if (session->link != forward->link) {
        entry->is_moved = true;
    } else {
        struct actor actor = {.session = session->id, .creator = session->creator};
        size_t size = (size_t)request->count * sizeof(*answer->results);
        answer->count = request->count;
        answer->results = arena_zalloc(&answer->arena, size);
        answer->err =
            perform(ensemble, entry, &actor, request->ops, request->count, answer->results);
        entry->txn.ops = request->ops;
        entry->txn.op_count = request->count;
        if (request->is_multi)
            trim_results(answer, request->ops, request->count);
        else
            answer->results->created = arena_copy(&answer->arena, answer->results->created);
        /* A sync is of the order, but changes nothing. Refused writes take a number too. */
        bool is_sync = !request->is_multi && request->ops->kind == ZK_SYNC;
        if (is_sync)
            entry->txn.zxid = ensemble->zxid;
        else
            ensemble->zxid = entry->txn.zxid;
    }
    if (entry->txn.zxid == 0) entry->txn.zxid = ensemble->zxid;
    commit(ensemble, entry);
    entry->txn.ops = NULL; /* they were the packet's */
}

enum err ensemble_write(struct ensemble *ensemble, const struct zk_op *ops, int count,
                        enum err *results)
{
    struct actor actor = {.is_operator = true};

    if (ensemble->leader < 0) return ERR_REFUSED;
    struct entry *entry = entry_create(ensemble, 0, 0);
    size_t size = (size_t)count * sizeof(struct zk_result);
    struct zk_result *each = arena_zalloc(&entry->arena, size + 1);
    enum err err = perform(ensemble, entry, &actor, ops, count, each);
    for (int i = 0; i < count && results != NULL; i++)
        results[i] = each[i].err;
    entry->txn.ops = ops;
    entry->txn.op_count = count;
    ensemble->zxid = entry->txn.zxid;
    commit(ensemble, entry);
    return err;
}

static void end_session(struct session *session, const char *how);

static void expire(struct world_event *event)
{
    end_session(heap_entry(event, struct session, expiry), "expires");
}

static void lead_new_session(struct ensemble *ensemble, const struct forward *forward)
{
    struct session *session = ensure_zalloc(sizeof(*session));
    struct entry *entry;
    int32_t least = 2 * ensemble->tick_ms, most = 20 * ensemble->tick_ms;
    int32_t wanted = forward->packet->timeout_ms;

    if (most < 60000) most = 60000; /* maxSessionTimeout */
    session->ensemble = ensemble;
    session->id = INT64_C(0x1000000000000) + ++ensemble->sessions_made;
    session->timeout_ms = wanted < least ? least : wanted > most ? most : wanted;
    session->creator = forward->packet->creator;
    session->link = forward->link;
    session->expiry.fire = expire;
    list_push(&ensemble->sessions, &session->node);
    touch(session);

    entry = entry_create(ensemble, session->id, forward->link);
    entry->txn.zxid = ++ensemble->zxid;
    entry->answer = packet_create(PACKET_WELCOME);
    entry->answer->session = session->id;
    entry->answer->timeout_ms = session->timeout_ms;
    world_trace(ensemble->world, "zk %lld session=%llx begins timeout_ms=%d",
                (long long)entry->txn.zxid, (unsigned long long)session->id, session->timeout_ms);
    commit(ensemble, entry);
}

static int owned_by(const struct tree *tree, int64_t session)
{
    int count = 0;

    map_each (at, &tree->nodes)
        count += ((const struct tree_node *)at->value)->stat.ephemeral_owner == session;
    return count;
}

static void end_session(struct session *session, const char *how)
{
    struct ensemble *ensemble = session->ensemble;
    struct entry *entry = entry_create(ensemble, session->id, 0);
    int count = owned_by(ensemble->tree, session->id);

    entry->txn.zxid = ++ensemble->zxid;
    entry->txn.is_end_of_session = true;
    make_changes(entry, count);
    world_trace(ensemble->world, "zk %lld session=%llx %s", (long long)entry->txn.zxid,
                (unsigned long long)session->id, how);
    map_each (at, &ensemble->tree->nodes) {
        struct tree_node *node = at->value;
        if (node->stat.ephemeral_owner != session->id) continue;
        struct slice path = arena_copy(&entry->arena, slice_text(node->path));
        struct ensemble_change *change = add_change(entry, CHANGE_REMOVE, path);
        note_before(entry, change, node);
        tree_remove(ensemble->tree, node, entry->txn.zxid);
    }
    session_destroy(session);
    commit(ensemble, entry);
}

/* ---- the way to the leader */

static void forward_destroy(struct forward *forward)
{
    packet_destroy(&forward->packet);
    free(forward);
}

static void arm_forward(struct server *server)
{
    struct list_node *node = list_first(&server->forwards);
    struct instant due = INSTANT_NEVER;

    if (node != NULL && !server->is_paused) due = list_entry(node, struct forward, node)->due;
    world_arm(server->ensemble->world, &server->forwarding, due);
}

static void forward_arrives(struct world_event *event)
{
    struct server *server = heap_entry(event, struct server, forwarding);
    struct ensemble *ensemble = server->ensemble;
    struct forward *forward = list_entry(list_pop(&server->forwards), struct forward, node);
    struct session *session = session_find(ensemble, forward->session);

    arm_forward(server);
    ensure(ensemble->leader >= 0);
    if (forward->packet->type == PACKET_REQUEST)
        lead_request(ensemble, forward);
    else if (forward->packet->type == PACKET_HELLO)
        lead_new_session(ensemble, forward);
    else if (session != NULL && session->link == forward->link)
        end_session(session, "closes");
    forward_destroy(forward);
}

/* Takes. */
static void to_leader(struct conn *conn, struct packet *packet)
{
    struct server *server = conn->server;
    struct forward *forward = ensure_zalloc(sizeof(*forward));
    struct instant due =
        instant_add_ns(server->ensemble->world->now, zk_wire_delay_ns(&server->ensemble->wire));

    due = instant_max(due, instant_add_ns(server->last_forward, 1));
    server->last_forward = forward->due = due;
    forward->link = conn->link->id;
    forward->session = conn->session;
    forward->packet = packet;
    list_push(&server->forwards, &forward->node);
    arm_forward(server);
}

/* ---- connections at a server */

static void conn_destroy(struct conn *conn)
{
    struct list_node *node;

    world_disarm(conn->server->ensemble->world, &conn->welcome);
    while ((node = list_pop(&conn->queue)) != NULL) {
        struct packet *packet = list_entry(node, struct packet, node);
        packet_destroy(&packet);
    }
    map_fini(&conn->data_watches);
    map_fini(&conn->child_watches);
    list_remove(&conn->node);
    free(conn);
}

static void conn_close(struct conn *conn, bool is_cut)
{
    struct zk_link *link = conn->link;

    conn_destroy(conn);
    zk_link_close(link, ZK_END_SERVER, is_cut);
}

static struct conn *conn_find(struct server *server, uint64_t link)
{
    list_each (node, &server->conns) {
        struct conn *conn = list_entry(node, struct conn, node);
        if (conn->link->id == link) return conn;
    }
    return NULL;
}

static void conn_send(struct conn *conn, struct packet *packet)
{
    packet->zxid = conn->server->zxid;
    zk_link_send(conn->link, ZK_END_CLIENT, &packet);
}

/* ---- reads, from what this server has */

static void watch(struct map *watches, struct slice path)
{
    map_set(watches, path, watches); /* any pointer */
}

static void read_children(struct packet *answer, const struct tree_node *node)
{
    struct zk_result *result = answer->results;
    size_t size = (size_t)node->stat.child_count * sizeof(*result->children);

    result->children = arena_zalloc(&answer->arena, size + 1);
    /* In no order that one could rely on. */
    for (struct list_node *at = node->children.head.prev; at != &node->children.head; at = at->prev)
        result->children[result->child_count++] =
            arena_copy(&answer->arena, tree_name(list_entry(at, struct tree_node, among_children)));
}

static enum err read_op(struct conn *conn, const struct zk_op *op, struct packet *answer)
{
    const struct tree_node *node = tree_find(conn->server->tree, op->path);
    const struct session *session = session_find(conn->server->ensemble, conn->session);
    struct actor actor = {.session = conn->session,
                          .creator = session == NULL ? 0 : session->creator};
    struct zk_result *result = answer->results;

    if (op->kind == ZK_EXISTS && op->watch) watch(&conn->data_watches, op->path);
    if (node == NULL) return ERR_NOT_FOUND;
    if (op->kind != ZK_EXISTS && !may(&actor, node, MAY_READ)) return ERR_DENIED;
    if (op->kind == ZK_GET && op->watch) watch(&conn->data_watches, op->path);
    if (op->kind == ZK_CHILDREN && op->watch) watch(&conn->child_watches, op->path);
    if (op->kind == ZK_GET) result->data = arena_copy(&answer->arena, node->data);
    if (op->kind == ZK_CHILDREN) read_children(answer, node);
    result->stat = tree_stat(node);
    return ERR_OK;
}

static void answer_read(struct conn *conn, const struct packet *request)
{
    struct packet *answer = packet_create(PACKET_ANSWER);

    answer->serial = request->serial;
    answer->count = 1;
    answer->results = arena_zalloc(&answer->arena, sizeof(*answer->results));
    answer->err = answer->results->err = read_op(conn, request->ops, answer);
    conn_send(conn, answer);
}

static void send_event(struct conn *conn, enum zk_event_type type, struct slice path)
{
    struct packet *packet = packet_create(PACKET_EVENT);

    packet->event = type;
    packet->path = arena_copy(&packet->arena, path);
    zk_link_send(conn->link, ZK_END_CLIENT, &packet);
}

/* What was armed before a reconnect: told at once where it has happened since. */
static void rearm(struct conn *conn, const struct packet *packet)
{
    for (int kind = 0; kind < WATCH_KINDS; kind++) {
        for (int i = 0; i < packet->paths[kind].count; i++) {
            struct slice path = packet->paths[kind].at[i];
            const struct tree_node *node = tree_find(conn->server->tree, path);
            if (kind == WATCH_EXISTS && node != NULL)
                send_event(conn, ZK_NODE_CREATED, path);
            else if (kind != WATCH_EXISTS && node == NULL)
                send_event(conn, ZK_NODE_DELETED, path);
            else if (kind == WATCH_DATA && node->stat.mzxid > packet->zxid)
                send_event(conn, ZK_NODE_CHANGED, path);
            else if (kind == WATCH_CHILDREN && node->stat.pzxid > packet->zxid)
                send_event(conn, ZK_NODE_CHILDREN, path);
            else
                watch(kind == WATCH_CHILDREN ? &conn->child_watches : &conn->data_watches, path);
        }
    }
}

/* Answers what can be, up to the first write that this server has not applied. */
static void run_queue(struct conn *conn)
{
    struct list_node *node;

    while ((node = list_first(&conn->queue)) != NULL) {
        struct packet *packet = list_entry(node, struct packet, node);
        if (packet->type == PACKET_REQUEST && packet_is_write(packet)) return;
        list_remove(node);
        if (packet->type == PACKET_REQUEST)
            answer_read(conn, packet);
        else if (packet->type == PACKET_WATCHES)
            rearm(conn, packet);
        else
            conn_send(conn, packet_create(PACKET_PONG));
        packet_destroy(&packet);
    }
}

/* ---- what arrives at a server */

static void welcome(struct world_event *event)
{
    struct conn *conn = heap_entry(event, struct conn, welcome);
    struct session *session = session_find(conn->server->ensemble, conn->session);
    struct packet *packet = packet_create(session == NULL ? PACKET_EXPIRED : PACKET_WELCOME);

    if (session != NULL) {
        session->link = conn->link->id; /* what still comes over another is refused */
        packet->session = session->id;
        packet->timeout_ms = session->timeout_ms;
        touch(session);
    }
    conn->is_valid = session != NULL;
    conn_send(conn, packet);
    if (session == NULL) conn_close(conn, false);
}

static void hello(struct conn *conn, struct packet *packet)
{
    struct ensemble *ensemble = conn->server->ensemble;

    if (!conn->server->is_serving || packet->zxid > conn->server->zxid || conn->session != 0) {
        packet_destroy(&packet);
        conn_close(conn, false); /* the client has seen more than we have */
        return;
    }
    if (packet->session == 0) {
        to_leader(conn, packet);
        return;
    }
    conn->session = packet->session;
    packet_destroy(&packet);
    int64_t ns = zk_wire_delay_ns(&ensemble->wire); /* the leader is asked */
    world_arm(ensemble->world, &conn->welcome, instant_add_ns(ensemble->world->now, ns));
}

static struct packet *copy_request(const struct packet *packet)
{
    struct zk_request request = {packet->ops, packet->count, packet->is_multi};
    struct packet *copy = packet_of_request(&request);

    copy->serial = packet->serial;
    return copy;
}

static void server_receives(void *owner, struct zk_link *link, struct packet *packet)
{
    struct conn *conn = owner;

    (void)link;
    if (packet->type == PACKET_END) {
        packet_destroy(&packet);
        conn_close(conn, false);
        return;
    }
    if (packet->type == PACKET_HELLO) {
        hello(conn, packet);
        return;
    }
    bool is_request = packet->type == PACKET_REQUEST;
    if (!conn->is_valid || (is_request && packet_bytes(packet) > REQUEST_MAX)) {
        packet_destroy(&packet);
        conn_close(conn, false);
        return;
    }
    struct session *session = session_find(conn->server->ensemble, conn->session);
    if (session != NULL && session->link == conn->link->id) touch(session);
    if (packet->type == PACKET_CLOSE) {
        to_leader(conn, packet);
        return;
    }
    if (is_request && packet_is_write(packet)) to_leader(conn, copy_request(packet));
    list_push(&conn->queue, &packet->node);
    run_queue(conn);
}

/* ---- what a server applies */

static bool unwatch(struct map *watches, struct slice path)
{
    return map_remove(watches, path) != NULL;
}

static void tell_watches(struct conn *conn, const struct ensemble_change *change)
{
    struct slice parent = tree_parent_path(change->path);
    bool has_data = unwatch(&conn->data_watches, change->path), has_child = false;

    if (change->kind == CHANGE_REMOVE) has_child = unwatch(&conn->child_watches, change->path);
    if (has_data && change->kind == CHANGE_ADD) send_event(conn, ZK_NODE_CREATED, change->path);
    if (has_data && change->kind == CHANGE_SET) send_event(conn, ZK_NODE_CHANGED, change->path);
    if ((has_data || has_child) && change->kind == CHANGE_REMOVE)
        send_event(conn, ZK_NODE_DELETED, change->path);
    if (change->kind != CHANGE_SET && unwatch(&conn->child_watches, parent))
        send_event(conn, ZK_NODE_CHILDREN, parent);
}

static void apply_changes(struct server *server, const struct ensemble_txn *txn)
{
    for (int i = 0; i < txn->change_count; i++) {
        const struct ensemble_change *change = &txn->changes[i];
        struct tree_node *node = tree_find(server->tree, change->path);
        if (change->kind == CHANGE_ADD)
            tree_add(server->tree, change->path, change->data, change->owner, change->acl,
                     txn->zxid, txn->time_ms);
        else if (change->kind == CHANGE_SET)
            tree_set(node, change->data, txn->zxid, txn->time_ms);
        else
            tree_remove(server->tree, node, txn->zxid);
        list_each (at, &server->conns)
            tell_watches(list_entry(at, struct conn, node), change);
    }
    server->zxid = txn->zxid;
}

/* The write that it came for is answered where it came from. */
static void answer_entry(struct server *server, struct entry *entry)
{
    struct conn *conn = entry->link == 0 ? NULL : conn_find(server, entry->link);

    if (conn == NULL || entry->answer == NULL) return;
    if (entry->is_moved) {
        conn_close(conn, false);
        return;
    }
    struct packet *answer = entry->answer;
    entry->answer = NULL;
    if (answer->type == PACKET_WELCOME) {
        struct session *session = session_find(server->ensemble, answer->session);
        conn->session = answer->session;
        conn->is_valid = true;
        if (session != NULL) touch(session);
    } else {
        struct packet *request = list_entry(list_pop(&conn->queue), struct packet, node);
        ensure(request->serial == answer->serial);
        packet_destroy(&request);
    }
    conn_send(conn, answer);
    run_queue(conn);
}

static void close_conns_of(struct server *server, int64_t session)
{
    list_each (node, &server->conns) {
        struct conn *conn = list_entry(node, struct conn, node);
        if (conn->session == session) conn_close(conn, false);
    }
}

static void apply(struct world_event *event)
{
    struct server *server = heap_entry(event, struct server, applying);
    struct entry *entry = server->next;

    server->last_applied = server->ensemble->world->now;
    apply_changes(server, &entry->txn);
    answer_entry(server, entry);
    if (entry->txn.is_end_of_session) close_conns_of(server, entry->txn.session);
    server->next = entry->next;
    arm_apply(server);
    trim(server->ensemble);
}

/* ---- servers come and go */

static void drop_clients(struct server *server)
{
    struct list_node *node;

    while ((node = list_first(&server->conns)) != NULL)
        conn_close(list_entry(node, struct conn, node), true);
    while ((node = list_pop(&server->forwards)) != NULL)
        forward_destroy(list_entry(node, struct forward, node));
    arm_forward(server);
}

static void leave(struct server *server)
{
    server->is_serving = false;
    server->next = NULL;
    world_disarm(server->ensemble->world, &server->applying);
    drop_clients(server);
}

static bool can_vote(const struct server *server)
{
    return server->is_up && !server->is_paused;
}

static bool has_quorum(const struct ensemble *ensemble)
{
    int votes = 0;

    for (int i = 0; i < ensemble->count; i++)
        votes += can_vote(&ensemble->servers[i]);
    return votes * 2 > ensemble->count;
}

/* It takes over all that was committed before it serves. */
static void join(struct server *server)
{
    struct ensemble *ensemble = server->ensemble;

    tree_destroy(&server->tree);
    server->tree = tree_clone(ensemble->tree);
    server->zxid = ensemble->zxid;
    server->next = NULL;
    server->is_serving = true;
}

static void elect(struct world_event *event)
{
    struct ensemble *ensemble = heap_entry(event, struct ensemble, election);

    if (ensemble->leader >= 0 || !has_quorum(ensemble)) return;
    do {
        ensemble->leader = (int)draw(ensemble, 0, ensemble->count - 1);
    } while (!can_vote(&ensemble->servers[ensemble->leader]));
    world_trace(ensemble->world, "zk leader=%d", ensemble->leader);
    for (int i = 0; i < ensemble->count; i++)
        if (can_vote(&ensemble->servers[i])) join(&ensemble->servers[i]);
    list_each (node, &ensemble->sessions)
        touch(list_entry(node, struct session, node)); /* all begin anew */
    trim(ensemble);
}

static void seek_leader(struct ensemble *ensemble)
{
    if (ensemble->leader >= 0 || !has_quorum(ensemble)) return;
    world_arm(ensemble->world, &ensemble->election, after_ms(ensemble, draw(ensemble, 50, 3000)));
}

static void lose_leader(struct ensemble *ensemble)
{
    if (ensemble->leader >= 0) world_trace(ensemble->world, "zk no leader");
    ensemble->leader = -1;
    list_each (node, &ensemble->sessions)
        world_disarm(ensemble->world, &list_entry(node, struct session, node)->expiry);
    for (int i = 0; i < ensemble->count; i++)
        if (can_vote(&ensemble->servers[i])) leave(&ensemble->servers[i]);
    trim(ensemble);
    seek_leader(ensemble);
}

static void lost_server(struct server *server)
{
    struct ensemble *ensemble = server->ensemble;

    if (ensemble->leader < 0) return;
    if (ensemble->leader == server->id || !has_quorum(ensemble)) lose_leader(ensemble);
    trim(ensemble);
}

void ensemble_stop(struct ensemble *ensemble, int number)
{
    struct server *server = &ensemble->servers[number];

    ensemble_resume(ensemble, number);
    if (!server->is_up) return;
    world_trace(ensemble->world, "zk server %d stops", number);
    server->is_up = false;
    leave(server);
    lost_server(server);
}

void ensemble_start(struct ensemble *ensemble, int number)
{
    struct server *server = &ensemble->servers[number];

    if (server->is_up) return;
    world_trace(ensemble->world, "zk server %d starts", number);
    server->is_up = true;
    if (ensemble->leader >= 0)
        join(server);
    else
        seek_leader(ensemble);
}

static void stall_links(struct ensemble *ensemble, int server, struct sim_host *host,
                        unsigned reason, bool is_stalled)
{
    list_each (node, &ensemble->links) {
        struct zk_link *link = list_entry(node, struct zk_link, node);
        if (host != NULL ? link->host != host : link->server != server) continue;
        for (enum zk_end end = ZK_END_CLIENT; end <= ZK_END_SERVER; end++) {
            if (is_stalled)
                zk_link_stall(link, end, reason);
            else
                zk_link_unstall(link, end, reason);
        }
    }
}

void ensemble_pause(struct ensemble *ensemble, int number)
{
    struct server *server = &ensemble->servers[number];

    if (!can_vote(server)) return;
    world_trace(ensemble->world, "zk server %d pauses", number);
    server->is_paused = true;
    arm_apply(server);
    arm_forward(server);
    list_each (node, &server->conns)
        world_disarm(ensemble->world, &list_entry(node, struct conn, node)->welcome);
    stall_links(ensemble, number, NULL, STALL_SERVER, true);
    lost_server(server);
}

/* It was given up meanwhile: it joins again, its clients come again. */
void ensemble_resume(struct ensemble *ensemble, int number)
{
    struct server *server = &ensemble->servers[number];

    if (!server->is_paused) return;
    world_trace(ensemble->world, "zk server %d goes on", number);
    server->is_paused = false;
    stall_links(ensemble, number, NULL, STALL_SERVER, false);
    leave(server);
    if (ensemble->leader >= 0)
        join(server);
    else
        seek_leader(ensemble);
    trim(ensemble);
}

void ensemble_freeze(struct ensemble *ensemble, int number, bool is_frozen)
{
    struct server *server = &ensemble->servers[number];

    if (server->is_frozen == is_frozen) return;
    world_trace(ensemble->world, "zk server %d %s", number, is_frozen ? "lags" : "catches up");
    server->is_frozen = is_frozen;
    arm_apply(server);
}

/* ---- hosts */

static bool is_cut(const struct ensemble *ensemble, const struct sim_host *host)
{
    int32_t id = host->id;

    return map_get(&ensemble->cut_hosts, map_int(&id)) != NULL;
}

void ensemble_cut_host(struct ensemble *ensemble, struct sim_host *host, bool is_now_cut)
{
    int32_t id = host->id;

    world_trace(ensemble->world, "zk host %s %s", host->name, is_now_cut ? "cut off" : "back");
    if (is_now_cut)
        map_set(&ensemble->cut_hosts, map_int(&id), host);
    else
        map_remove(&ensemble->cut_hosts, map_int(&id));
    stall_links(ensemble, -1, host, STALL_HOST, is_now_cut);
}

void ensemble_stall_host(struct ensemble *ensemble, struct sim_host *host, enum zk_end to,
                         int64_t ms)
{
    list_each (node, &ensemble->links) {
        struct zk_link *link = list_entry(node, struct zk_link, node);
        if (link->host != host) continue;
        zk_link_stall(link, to, STALL_LUCK);
        world_arm(ensemble->world, &link->let_go, after_ms(ensemble, ms));
    }
}

void ensemble_reset_host(struct ensemble *ensemble, struct sim_host *host)
{
    list_each (node, &ensemble->links) {
        struct zk_link *link = list_entry(node, struct zk_link, node);
        if (link->host == host) zk_link_cut(link);
    }
}

struct zk_link *ensemble_connect(struct ensemble *ensemble, int number, struct sim_host *from,
                                 void (*receive)(void *owner, struct zk_link *link,
                                                 struct packet *packet),
                                 void *owner)
{
    struct server *server = &ensemble->servers[number % ensemble->count];
    unsigned stalls = 0;

    if (is_cut(ensemble, from)) stalls |= STALL_HOST;
    if (server->is_up && server->is_paused) stalls |= STALL_SERVER;
    if (stalls == 0 && !server->is_serving) return NULL;

    struct zk_link *link = zk_link_create(&ensemble->wire, from, server->id);
    struct conn *conn = ensure_zalloc(sizeof(*conn));
    link->id = ++ensemble->links_made;
    list_push(&ensemble->links, &link->node);
    conn->server = server;
    conn->link = link;
    conn->welcome.fire = welcome;
    list_init(&conn->queue);
    map_init(&conn->data_watches);
    map_init(&conn->child_watches);
    list_push(&server->conns, &conn->node);
    link->receive[ZK_END_CLIENT] = receive;
    link->owner[ZK_END_CLIENT] = owner;
    link->receive[ZK_END_SERVER] = server_receives;
    link->owner[ZK_END_SERVER] = conn;
    link->ways[ZK_END_CLIENT].stalls = link->ways[ZK_END_SERVER].stalls = stalls;
    return link;
}

bool ensemble_expire(struct ensemble *ensemble, int64_t id)
{
    struct session *session = session_find(ensemble, id);

    if (session == NULL || ensemble->leader < 0) return false;
    end_session(session, "is expired");
    return true;
}

/* ---- the nemesis */

static void comes_back(struct world_event *event)
{
    struct server *server = heap_entry(event, struct server, comeback);

    ensemble_freeze(server->ensemble, server->id, false);
    ensemble_resume(server->ensemble, server->id);
    ensemble_start(server->ensemble, server->id);
}

static void back_after(struct server *server, int64_t ms)
{
    world_arm(server->ensemble->world, &server->comeback, after_ms(server->ensemble, ms));
}

static struct list_node *any_of(struct ensemble *ensemble, const struct list *list)
{
    int64_t count = 0;

    list_each (node, list)
        count++;
    if (count == 0) return NULL;
    int64_t skip = draw(ensemble, 0, count - 1);
    struct list_node *at = list_first(list);
    while (skip-- > 0)
        at = at->next;
    return at;
}

/* Mostly short. One draw after the other: C does not say which of two operands comes first. */
static int64_t draw_ms(struct ensemble *ensemble, int64_t seconds_max)
{
    int64_t ms = draw(ensemble, 1, 1000);

    return ms * draw(ensemble, 1, seconds_max);
}

static void stall_one(struct ensemble *ensemble)
{
    struct list_node *node = any_of(ensemble, &ensemble->links);
    int64_t which = draw(ensemble, 1, 3);
    int64_t ms = draw_ms(ensemble, 40);

    if (node == NULL) return;
    struct zk_link *link = list_entry(node, struct zk_link, node);
    world_trace(ensemble->world, "zk link %llu host=%s stalls ways=%lld ms=%lld",
                (unsigned long long)link->id, link->host->name, (long long)which, (long long)ms);
    if ((which & 1) != 0) zk_link_stall(link, ZK_END_CLIENT, STALL_LUCK);
    if ((which & 2) != 0) zk_link_stall(link, ZK_END_SERVER, STALL_LUCK);
    world_arm(ensemble->world, &link->let_go, after_ms(ensemble, ms));
}

static void strike(struct ensemble *ensemble, enum nemesis_kind kind)
{
    struct server *server = &ensemble->servers[draw(ensemble, 0, ensemble->count - 1)];
    int64_t ms = draw_ms(ensemble, 20);
    struct list_node *node = NULL;

    switch (kind) {
    case NEMESIS_RESET:
        node = any_of(ensemble, &ensemble->links);
        if (node != NULL) zk_link_cut(list_entry(node, struct zk_link, node));
        break;
    case NEMESIS_STALL:
        stall_one(ensemble);
        break;
    case NEMESIS_FREEZE:
        ensemble_freeze(ensemble, server->id, true);
        back_after(server, ms);
        break;
    case NEMESIS_CRASH:
        ensemble_stop(ensemble, server->id);
        back_after(server, ms);
        break;
    case NEMESIS_SILENT:
        ensemble_pause(ensemble, server->id);
        back_after(server, ms);
        break;
    case NEMESIS_ABSENT:
        ms *= 3;
        for (int i = 0; i < ensemble->count; i++) {
            ensemble_stop(ensemble, i);
            back_after(&ensemble->servers[i], ms + draw(ensemble, 0, 2000));
        }
        break;
    case NEMESIS_EXPIRE:
        node = any_of(ensemble, &ensemble->sessions);
        if (node != NULL) ensemble_expire(ensemble, list_entry(node, struct session, node)->id);
        break;
    case NEMESIS_KINDS:
        break;
    }
}

static void nemesis(struct world_event *event)
{
    struct ensemble *ensemble = heap_entry(event, struct ensemble, nemesis);

    int64_t ms = draw(ensemble, 100, 2000) * (ensemble->world->is_slow ? SLOW_LOOKS : 1);

    world_arm(ensemble->world, event, after_ms(ensemble, ms));
    for (enum nemesis_kind kind = 0; kind < NEMESIS_KINDS; kind++)
        if (fault_strikes(ensemble->world, ensemble->faults[kind])) strike(ensemble, kind);
}

void ensemble_heal(struct ensemble *ensemble)
{
    world_disarm(ensemble->world, &ensemble->nemesis);
    while (true) {
        struct map_entry *first = map_first(&ensemble->cut_hosts);
        if (first == NULL) break;
        ensemble_cut_host(ensemble, first->value, false);
    }
    for (int i = 0; i < ensemble->count; i++) {
        ensemble_freeze(ensemble, i, false);
        ensemble_resume(ensemble, i);
        ensemble_start(ensemble, i);
        world_disarm(ensemble->world, &ensemble->servers[i].comeback);
    }
    for (int i = 0; i < ensemble->count; i++)
        stall_links(ensemble, i, NULL, STALL_LUCK, false);
}

/* ---- made and ended */

static void make_faults(struct ensemble *ensemble)
{
    static const struct {
        const char *name;
        int64_t per_million; /* per look of the nemesis: about one a second, in a slow world one
                                in two minutes */
    } kinds[NEMESIS_KINDS] = {
        [NEMESIS_RESET] = {"zookeeper.reset", 100000},
        [NEMESIS_STALL] = {"zookeeper.stall", 50000},
        [NEMESIS_FREEZE] = {"zookeeper.lagging-server", 50000},
        [NEMESIS_CRASH] = {"zookeeper.server-crash", 20000},
        [NEMESIS_SILENT] = {"zookeeper.server-silent", 20000},
        [NEMESIS_ABSENT] = {"zookeeper.absent", 5000},
        [NEMESIS_EXPIRE] = {"zookeeper.expire", 10000},
    };

    for (int i = 0; i < NEMESIS_KINDS; i++)
        ensemble->faults[i] = world_fault(ensemble->world, kinds[i].name, kinds[i].per_million);
    ensemble->lag = world_fault(ensemble->world, "zookeeper.lag", 50000);
}

struct ensemble *ensemble_create(struct world *world)
{
    static const int64_t sizes[] = {1, 3, 3, 5}, ticks[] = {200, 2000};
    struct ensemble *ensemble = ensure_zalloc(sizeof(*ensemble));

    ensemble->world = world;
    ensemble->luck = world_stream(world, "zookeeper");
    ensemble->count = (int)world_option_of(world, "zookeeper.servers", sizes, 4);
    ensemble->tick_ms = (int32_t)world_option_of(world, "zookeeper.tick-ms", ticks, 2);
    zk_wire_init(&ensemble->wire, world);
    make_faults(ensemble);
    list_init(&ensemble->sessions);
    list_init(&ensemble->links);
    list_init(&ensemble->listeners);
    map_init(&ensemble->cut_hosts);
    ensemble->tree = tree_create();
    ensemble->election.fire = elect;
    ensemble->nemesis.fire = nemesis;
    for (int i = 0; i < ensemble->count; i++) {
        struct server *server = &ensemble->servers[i];
        server->ensemble = ensemble;
        server->id = i;
        server->is_up = true;
        server->applying.fire = apply;
        server->forwarding.fire = forward_arrives;
        server->comeback.fire = comes_back;
        list_init(&server->forwards);
        list_init(&server->conns);
    }
    ensemble->leader = -1;
    elect(&ensemble->election);
    world_arm(world, &ensemble->nemesis, after_ms(ensemble, 1000));
    return ensemble;
}

void ensemble_destroy(struct ensemble **ensemble_at)
{
    struct ensemble *ensemble = *ensemble_at;
    struct list_node *node;

    *ensemble_at = NULL;
    if (ensemble == NULL) return;
    for (int i = 0; i < ensemble->count; i++) {
        struct server *server = &ensemble->servers[i];
        leave(server);
        world_disarm(ensemble->world, &server->comeback);
        tree_destroy(&server->tree);
    }
    while ((node = list_first(&ensemble->links)) != NULL) {
        struct zk_link *link = list_entry(node, struct zk_link, node);
        zk_link_destroy(&link);
    }
    while ((node = list_first(&ensemble->sessions)) != NULL)
        session_destroy(list_entry(node, struct session, node));
    trim(ensemble);
    world_disarm(ensemble->world, &ensemble->election);
    world_disarm(ensemble->world, &ensemble->nemesis);
    map_fini(&ensemble->cut_hosts);
    tree_destroy(&ensemble->tree);
    free(ensemble);
}

void ensemble_hear(struct ensemble *ensemble, struct ensemble_listener *listener)
{
    list_push(&ensemble->listeners, &listener->node);
}

int ensemble_servers(const struct ensemble *ensemble)
{
    return ensemble->count;
}

const struct tree *ensemble_tree(const struct ensemble *ensemble)
{
    return ensemble->tree;
}

int64_t ensemble_zxid(const struct ensemble *ensemble)
{
    return ensemble->zxid;
}

bool ensemble_has_leader(const struct ensemble *ensemble)
{
    return ensemble->leader >= 0;
}

bool ensemble_has_session(const struct ensemble *ensemble, int64_t session)
{
    return session_find(ensemble, session) != NULL;
}

/* ---- audit */

static void audit_server(const struct ensemble *ensemble, const struct server *server)
{
    if (server->tree == NULL) return;
    tree_audit(server->tree);
    ensure(server->zxid <= ensemble->zxid);
    if (server->is_serving && server->next == NULL)
        ensure(tree_hash(server->tree) == tree_hash(ensemble->tree));
    list_each (node, &server->conns) {
        const struct conn *conn = list_entry(node, struct conn, node);
        ensure(conn->server == server);
        ensure(conn->is_valid || list_is_empty(&conn->queue));
        ensure(server->is_serving || !conn->is_valid);
    }
}

void ensemble_audit(const struct ensemble *ensemble)
{
    tree_audit(ensemble->tree);
    for (int i = 0; i < ensemble->count; i++)
        audit_server(ensemble, &ensemble->servers[i]);
    map_each (entry, &ensemble->tree->nodes) {
        const struct tree_node *node = entry->value;
        int64_t owner = node->stat.ephemeral_owner;
        ensure(owner == 0 || session_find(ensemble, owner) != NULL);
        ensure(node->stat.mzxid <= ensemble->zxid && node->stat.pzxid <= ensemble->zxid);
    }
}
