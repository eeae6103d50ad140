#include "tests/sim/zookeeper.h"
#include "base/ensure.h"
#include "runtime/shard.h"
#include "tests/sim/heap.h"
#include <stdlib.h>

#define PAUSE_MS_MIN   10 /* as env_zookeeper.c */
#define PAUSE_MS_MAX   500
#define ATTEMPT_MS_MIN 250
#define READS_PER_TURN 128

/* A request on its way. */
struct flight {
    struct list_node node;
    struct zk_request *request; /* the process's */
    uint64_t serial;
};

enum next_loss { LOSS_NONE, LOSS_BEFORE, LOSS_AFTER };

struct zk_session {
    struct list_node node;
    struct sim_zookeeper *zookeeper;
    struct sim_process *process;
    struct shard *shard;
    const struct zk_session_handlers *handlers; /* NULL: closed */
    void *owner;
    int32_t wanted_timeout_ms, timeout_ms; /* timeout 0: not negotiated yet */
    uint64_t creator;
    int64_t id, zxid;
    uint64_t serials;

    int order[ENSEMBLE_SERVERS_MAX], count;
    int address, tried;
    int64_t pause_ms;
    struct instant pause_ends, attempt_ends;

    struct zk_link *link; /* NULL: none */
    bool is_welcome;      /* it was let in over `link` */
    bool is_ended;        /* the server, or the network, has ended it: not yet noticed */
    struct list inbox;    /* arrived, as in a socket's buffer */
    struct instant last_heard, last_sent;

    struct list sent; /* struct flight, by `link` */
    struct list lost; /* their connection is gone, and nobody was told yet */
    struct map watches[WATCH_KINDS];
    enum next_loss next_loss;

    struct packet *reading; /* lent to a handler */
    struct flight *told;
    struct shard_note note;
    struct world_event due; /* tells the shard when time is up for something */
    int depth;
    bool is_connected, is_over, is_close_wanted;
};

struct sim_zookeeper {
    struct world *world;
    struct ensemble *ensemble;
    struct list sessions;
    struct world_part part;
    struct sim_fault *loss_before, *loss_after;
};

static void run(struct shard_note *note);

static struct world *world_of(const struct zk_session *session)
{
    return session->process->world;
}

static void wake(struct zk_session *session)
{
    shard_tell(session->shard, &session->note);
}

static void due_fire(struct world_event *event)
{
    wake(heap_entry(event, struct zk_session, due));
}

/* ---- handlers: code of the process, with its memory */

static void tell(struct zk_session *session, enum zk_session_state state)
{
    if (session->handlers == NULL || session->is_over) return;
    session->is_connected = state == ZK_SESSION_CONNECTED;
    session->is_over = state != ZK_SESSION_CONNECTED && state != ZK_SESSION_DISCONNECTED;
    struct sim_heap *heap = sim_heap_use(session->process->heap);
    session->handlers->state(session->owner, state);
    sim_heap_use(heap);
}

static void tell_watch(struct zk_session *session, enum zk_event_type type, struct slice path)
{
    if (session->handlers == NULL || session->is_over) return;
    struct sim_heap *heap = sim_heap_use(session->process->heap);
    session->handlers->watch(session->owner, type, path);
    sim_heap_use(heap);
}

/* Takes `flight`. */
static void tell_answer(struct zk_session *session, struct flight *flight, enum err err,
                        struct zk_result *results, int count)
{
    session->told = flight;
    list_remove(&flight->node);
    if (session->handlers != NULL && !session->is_over) {
        struct sim_heap *heap = sim_heap_use(session->process->heap);
        session->handlers->answer(session->owner, flight->request, err, results, count);
        sim_heap_use(heap);
    }
    session->told = NULL;
    free(flight);
}

/* ---- the end of a connection */

static void forget_link(struct zk_session *session, bool is_cut)
{
    struct list_node *node;

    if (session->link != NULL) zk_link_close(session->link, ZK_END_CLIENT, is_cut);
    session->link = NULL;
    session->is_welcome = session->is_ended = false;
    while ((node = list_pop(&session->inbox)) != NULL) {
        struct packet *packet = list_entry(node, struct packet, node);
        packet_destroy(&packet);
    }
}

static void tell_losses(struct zk_session *session)
{
    struct list_node *node;

    while (session->handlers != NULL && (node = list_first(&session->lost)) != NULL)
        tell_answer(session, list_entry(node, struct flight, node), ERR_ZK_LOSS, NULL, 0);
}

/* What was sent may have been done. */
static void lose_connection(struct zk_session *session)
{
    struct list_node *node;
    bool losses_first = world_draw(world_of(session), "zookeeper/client") % 4 == 0;

    forget_link(session, true);
    while ((node = list_pop(&session->sent)) != NULL)
        list_push(&session->lost, node);
    if (losses_first) tell_losses(session);
    if (session->is_connected) tell(session, ZK_SESSION_DISCONNECTED);
    tell_losses(session);
}

/* ---- connecting */

static void link_receives(void *owner, struct zk_link *link, struct packet *packet)
{
    struct zk_session *session = owner;

    (void)link;
    list_push(&session->inbox, &packet->node);
    wake(session);
}

static int64_t attempt_ms(const struct zk_session *session)
{
    int32_t timeout = session->timeout_ms != 0 ? session->timeout_ms : session->wanted_timeout_ms;
    int64_t share = (int64_t)timeout * 2 / 3 / session->count;

    return share < ATTEMPT_MS_MIN ? ATTEMPT_MS_MIN : share;
}

/* The next server in turn; after all were tried in vain a pause, which doubles. */
static void connect_next(struct zk_session *session)
{
    struct world *world = world_of(session);
    struct sim_zookeeper *zookeeper = session->zookeeper;

    while (session->link == NULL) {
        if (session->tried >= session->count) {
            session->tried = 0;
            session->pause_ends = instant_add_ms(world->now, session->pause_ms);
            session->pause_ms =
                session->pause_ms * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : session->pause_ms * 2;
        }
        if (!instant_reached(world->now, session->pause_ends)) return;
        session->address = (session->address + 1) % session->count;
        session->tried++;
        session->link = ensemble_connect(zookeeper->ensemble, session->order[session->address],
                                         session->process->host, link_receives, session);
    }
    struct packet *hello = packet_create(PACKET_HELLO);
    hello->session = session->id;
    hello->zxid = session->zxid;
    hello->timeout_ms = session->wanted_timeout_ms;
    hello->creator = session->creator;
    zk_link_send(session->link, ZK_END_SERVER, &hello);
    session->last_heard = session->last_sent = world->now;
    session->attempt_ends = instant_add_ms(world->now, attempt_ms(session));
}

static void send_watches(struct zk_session *session)
{
    struct packet *packet = packet_create(PACKET_WATCHES);
    size_t count = 0;

    packet->zxid = session->zxid;
    for (int kind = 0; kind < WATCH_KINDS; kind++) {
        size_t size = session->watches[kind].count * sizeof(struct slice);
        packet->paths[kind].at = arena_zalloc(&packet->arena, size + 1);
        map_each (entry, &session->watches[kind])
            packet->paths[kind].at[packet->paths[kind].count++] =
                arena_copy(&packet->arena, map_key(entry));
        count += session->watches[kind].count;
    }
    if (count > 0)
        zk_link_send(session->link, ZK_END_SERVER, &packet);
    else
        packet_destroy(&packet);
}

static void welcomed(struct zk_session *session, const struct packet *packet)
{
    session->id = packet->session;
    session->timeout_ms = packet->timeout_ms;
    session->is_welcome = true;
    session->tried = 0;
    session->pause_ms = PAUSE_MS_MIN;
    send_watches(session); /* before any request */
    tell(session, ZK_SESSION_CONNECTED);
}

/* ---- what arrives */

static bool unwatch(struct zk_session *session, int kind, struct slice path)
{
    return map_remove(&session->watches[kind], path) != NULL;
}

/* An event is told if somebody watches for it here, once. */
static void event_arrives(struct zk_session *session, const struct packet *packet)
{
    bool is_wanted = false;

    if (packet->event != ZK_NODE_CHILDREN) {
        if (unwatch(session, WATCH_EXISTS, packet->path)) is_wanted = true;
        if (unwatch(session, WATCH_DATA, packet->path)) is_wanted = true;
    }
    if (packet->event == ZK_NODE_CHILDREN || packet->event == ZK_NODE_DELETED)
        if (unwatch(session, WATCH_CHILDREN, packet->path)) is_wanted = true;
    if (is_wanted) tell_watch(session, packet->event, packet->path);
}

/* A watch counts once its read is answered. */
static void note_watch(struct zk_session *session, const struct zk_op *op, enum err err)
{
    int kind = op->kind == ZK_CHILDREN ? WATCH_CHILDREN : WATCH_DATA;

    if (!op->watch) return;
    if (op->kind == ZK_EXISTS && err == ERR_NOT_FOUND) kind = WATCH_EXISTS;
    if (err != ERR_OK && kind != WATCH_EXISTS) return;
    map_set(&session->watches[kind], op->path, session);
}

static void answer_arrives(struct zk_session *session, struct packet *packet)
{
    struct flight *flight = list_entry(list_first(&session->sent), struct flight, node);

    ensure(!list_is_empty(&session->sent) && flight->serial == packet->serial);
    session->zxid = packet->zxid > session->zxid ? packet->zxid : session->zxid;
    if (!flight->request->is_multi) note_watch(session, flight->request->ops, packet->err);
    tell_answer(session, flight, packet->err, packet->results, packet->count);
}

static void read_one(struct zk_session *session)
{
    struct packet *packet = list_entry(list_pop(&session->inbox), struct packet, node);

    session->reading = packet;
    session->last_heard = world_of(session)->now;
    switch (packet->type) {
    case PACKET_WELCOME:
        welcomed(session, packet);
        break;
    case PACKET_EXPIRED:
        tell(session, ZK_SESSION_EXPIRED);
        break;
    case PACKET_PONG:
        session->zxid = packet->zxid > session->zxid ? packet->zxid : session->zxid;
        break;
    case PACKET_ANSWER:
        answer_arrives(session, packet);
        break;
    case PACKET_EVENT:
        event_arrives(session, packet);
        break;
    case PACKET_END:
        session->is_ended = true;
        break;
    case PACKET_HELLO:
    case PACKET_PING:
    case PACKET_REQUEST:
    case PACKET_WATCHES:
    case PACKET_CLOSE:
        ensure(false);
    }
    session->reading = NULL;
    packet_destroy(&packet);
}

/* ---- the turn of a session */

static int32_t timeout_of(const struct zk_session *session)
{
    return session->timeout_ms != 0 ? session->timeout_ms : session->wanted_timeout_ms;
}

/* Nothing was heard for too long, or the server does not let us in. */
static bool is_silent(const struct zk_session *session)
{
    struct instant now = world_of(session)->now;
    int64_t most_ms = (int64_t)timeout_of(session) * 2 / 3;

    if (session->link == NULL) return false;
    if (!session->is_welcome && session->count > 1 && instant_reached(now, session->attempt_ends))
        return true;
    return instant_reached(now, instant_add_ms(session->last_heard, most_ms));
}

static struct instant ping_due(const struct zk_session *session)
{
    return instant_add_ms(session->last_sent, timeout_of(session) / 3);
}

static void ping(struct zk_session *session)
{
    if (!session->is_welcome || session->is_over) return;
    if (!instant_reached(world_of(session)->now, ping_due(session))) return;
    struct packet *packet = packet_create(PACKET_PING);
    zk_link_send(session->link, ZK_END_SERVER, &packet);
    session->last_sent = world_of(session)->now;
}

static void arm(struct zk_session *session)
{
    struct world *world = world_of(session);
    struct instant due = INSTANT_NEVER;

    if (session->is_over) {
        world_disarm(world, &session->due);
        return;
    }
    if (session->link == NULL) {
        due = session->pause_ends;
    } else {
        int64_t most_ms = (int64_t)timeout_of(session) * 2 / 3;
        due = instant_add_ms(session->last_heard, most_ms);
        if (session->is_welcome) due = instant_min(due, ping_due(session));
        if (!session->is_welcome && session->count > 1)
            due = instant_min(due, session->attempt_ends);
    }
    /* Anything of the past has been seen to in this turn. */
    world_arm(world, &session->due, instant_max(due, instant_add_ns(world->now, 1000)));
}

static void destroy(struct zk_session *session)
{
    struct list_node *node;

    shard_untell(&session->note);
    world_disarm(world_of(session), &session->due);
    forget_link(session, true);
    packet_destroy(&session->reading);
    while ((node = list_pop(&session->sent)) != NULL || (node = list_pop(&session->lost)) != NULL)
        free(list_entry(node, struct flight, node));
    free(session->told);
    for (int kind = 0; kind < WATCH_KINDS; kind++)
        map_fini(&session->watches[kind]);
    list_remove(&session->node);
    free(session);
}

static void enter(struct zk_session *session)
{
    session->depth++;
}

/* It must not be freed below a handler. */
static void leave(struct zk_session *session)
{
    session->depth--;
    if (session->depth == 0 && session->is_close_wanted) destroy(session);
}

static void run(struct shard_note *note)
{
    struct zk_session *session = list_entry(note, struct zk_session, note);
    struct sim_heap *heap = sim_heap_use(world_of(session)->heap);

    enter(session);
    if (!list_is_empty(&session->lost)) tell_losses(session);
    if (!session->is_over && is_silent(session)) lose_connection(session);
    for (int i = 0; i < READS_PER_TURN && !session->is_over && !session->is_close_wanted; i++) {
        if (list_is_empty(&session->inbox)) break;
        read_one(session);
    }
    if (!session->is_close_wanted && !session->is_over) {
        if (session->is_ended) lose_connection(session);
        if (!session->is_close_wanted && session->link == NULL) connect_next(session);
        if (!session->is_close_wanted) ping(session);
    }
    if (session->is_over) forget_link(session, false);
    if (!session->is_close_wanted) {
        arm(session);
        if (!list_is_empty(&session->inbox)) wake(session);
    }
    leave(session);
    sim_heap_use(heap);
}

/* ---- the table */

static uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return hash | 1;
}

/* As many as the connect string names, in an order of the process's own. */
static void choose_order(struct zk_session *session, const char *servers)
{
    int count = 1, all = ensemble_servers(session->zookeeper->ensemble);

    for (const char *at = servers; *at != '\0'; at++)
        count += *at == ',';
    session->count = count < all ? count : all;
    for (int i = 0; i < session->count; i++)
        session->order[i] = i;
    for (int i = session->count - 1; i > 0; i--) {
        int other = (int)(world_draw(world_of(session), "zookeeper/client") % (uint64_t)(i + 1));
        int kept = session->order[i];
        session->order[i] = session->order[other];
        session->order[other] = kept;
    }
    session->address = session->count - 1;
}

static enum err session_open(void *world, struct shard *shard,
                             const struct zk_session_options *options,
                             const struct zk_session_handlers *handlers, void *owner,
                             struct zk_session **out)
{
    struct sim_process *process = world;
    struct sim_heap *heap = sim_heap_use(process->world->heap);
    struct zk_session *session = ensure_zalloc(sizeof(*session));

    session->zookeeper = process->world->zookeeper;
    session->process = process;
    session->shard = shard;
    session->handlers = handlers;
    session->owner = owner;
    session->wanted_timeout_ms = options->session_timeout_ms;
    session->creator = options->digest == NULL ? 0 : hash_text(options->digest);
    session->pause_ms = PAUSE_MS_MIN;
    list_init(&session->inbox);
    list_init(&session->sent);
    list_init(&session->lost);
    for (int kind = 0; kind < WATCH_KINDS; kind++)
        map_init(&session->watches[kind]);
    session->note.run = run;
    session->due.fire = due_fire;
    list_push(&session->zookeeper->sessions, &session->node);
    choose_order(session, options->servers);
    wake(session); /* begins with the next turn */
    sim_heap_use(heap);
    *out = session;
    return ERR_OK;
}

static void session_close(struct zk_session *session)
{
    struct sim_heap *heap = sim_heap_use(world_of(session)->heap);
    struct packet *packet = packet_create(PACKET_CLOSE);

    session->handlers = NULL;
    session->is_close_wanted = true;
    if (session->is_welcome && !session->is_over)
        zk_link_send(session->link, ZK_END_SERVER, &packet);
    packet_destroy(&packet);
    /* What was sent arrives: the real one waits for it. */
    if (session->link != NULL) forget_link(session, false);
    enter(session);
    leave(session);
    sim_heap_use(heap);
}

static enum next_loss draw_loss(struct zk_session *session, const struct packet *packet)
{
    struct sim_zookeeper *zookeeper = session->zookeeper;
    enum next_loss loss = session->next_loss;

    if (!packet_is_write(packet)) return LOSS_NONE;
    session->next_loss = LOSS_NONE;
    if (loss != LOSS_NONE) return loss;
    if (fault_strikes(zookeeper->world, zookeeper->loss_before)) return LOSS_BEFORE;
    if (fault_strikes(zookeeper->world, zookeeper->loss_after)) return LOSS_AFTER;
    return LOSS_NONE;
}

static void send_request(struct zk_session *session, const struct flight *flight)
{
    struct packet *packet = packet_of_request(flight->request);

    packet->serial = flight->serial;
    enum next_loss loss = draw_loss(session, packet);
    if (loss == LOSS_BEFORE) zk_link_cut(session->link);
    zk_link_send(session->link, ZK_END_SERVER, &packet);
    if (loss == LOSS_AFTER) zk_link_deafen(session->link);
    session->last_sent = world_of(session)->now;
}

static void session_submit(struct zk_session *session, struct zk_request *request)
{
    struct sim_heap *heap = sim_heap_use(world_of(session)->heap);
    struct flight *flight = ensure_zalloc(sizeof(*flight));

    flight->request = request;
    flight->serial = ++session->serials;
    if (session->is_welcome && !session->is_over) {
        list_push(&session->sent, &flight->node);
        send_request(session, flight);
    } else {
        list_push(&session->lost, &flight->node);
        wake(session);
    }
    sim_heap_use(heap);
}

static int64_t session_id(const struct zk_session *session)
{
    return session->id;
}

static int32_t session_timeout_ms(const struct zk_session *session)
{
    return session->timeout_ms;
}

const struct zk_ops sim_zookeeper_ops = {
    .open = session_open,
    .close = session_close,
    .submit = session_submit,
    .id = session_id,
    .timeout_ms = session_timeout_ms,
};

/* ---- the part of the world */

static void process_killed(void *owner, struct sim_process *process)
{
    struct sim_zookeeper *zookeeper = owner;

    list_each (node, &zookeeper->sessions) {
        struct zk_session *session = list_entry(node, struct zk_session, node);
        if (session->process == process) destroy(session);
    }
}

struct sim_zookeeper *sim_zookeeper_create(struct world *world)
{
    struct sim_zookeeper *zookeeper = ensure_zalloc(sizeof(*zookeeper));

    zookeeper->world = world;
    zookeeper->ensemble = ensemble_create(world);
    zookeeper->loss_before = world_fault(world, "zookeeper.loss-before", 20000);
    zookeeper->loss_after = world_fault(world, "zookeeper.loss-after", 20000);
    zookeeper->part.killed = process_killed;
    zookeeper->part.owner = zookeeper;
    list_init(&zookeeper->sessions);
    world_add_part(world, &zookeeper->part);
    world->zookeeper = zookeeper;
    return zookeeper;
}

void sim_zookeeper_destroy(struct sim_zookeeper **zookeeper_at)
{
    struct sim_zookeeper *zookeeper = *zookeeper_at;

    *zookeeper_at = NULL;
    if (zookeeper == NULL) return;
    ensure(list_is_empty(&zookeeper->sessions)); /* its processes are dead */
    ensemble_destroy(&zookeeper->ensemble);
    world_remove_part(&zookeeper->part);
    zookeeper->world->zookeeper = NULL;
    free(zookeeper);
}

struct ensemble *sim_zookeeper_ensemble(struct sim_zookeeper *zookeeper)
{
    return zookeeper->ensemble;
}

int64_t sim_zookeeper_session(const struct sim_zookeeper *zookeeper,
                              const struct sim_process *process)
{
    list_each (node, &zookeeper->sessions) {
        const struct zk_session *session = list_entry(node, struct zk_session, node);
        if (session->process == process) return session->id;
    }
    return 0;
}

void sim_zookeeper_lose_next(struct sim_zookeeper *zookeeper, const struct sim_process *process,
                             bool is_done)
{
    list_each (node, &zookeeper->sessions) {
        struct zk_session *session = list_entry(node, struct zk_session, node);
        if (session->process == process) session->next_loss = is_done ? LOSS_AFTER : LOSS_BEFORE;
    }
}

void sim_zookeeper_audit(const struct sim_zookeeper *zookeeper)
{
    ensemble_audit(zookeeper->ensemble);
    list_each (node, &zookeeper->sessions) {
        const struct zk_session *session = list_entry(node, struct zk_session, node);
        uint64_t before = 0;
        ensure(session->process->state != PROCESS_DEAD);
        ensure(list_is_empty(&session->sent) || session->link != NULL);
        list_each (at, &session->sent) {
            uint64_t serial = list_entry(at, struct flight, node)->serial;
            ensure(serial > before);
            before = serial;
        }
        ensure(session->id == 0 || session->zxid <= ensemble_zxid(zookeeper->ensemble));
    }
}
