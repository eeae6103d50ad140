#include "tests/sim/net.h"
#include "base/ensure.h"
#include "runtime/files.h"
#include "runtime/shard.h"
#include "tests/sim/heap.h"
#include <stdio.h>
#include <stdlib.h>

#define HOSTS_MAX       64
#define TELL_MAX        256
#define EPHEMERAL_FIRST 40000

struct net {
    struct list_node node; /* of the process */
    struct sim_net *sim;
    struct sim_process *process;
    struct shard *shard; /* NULL until sim_shard_start */
    struct world_event turn;
    bool is_soon;    /* the turn that is armed is not for a timer only */
    bool has_missed; /* one came while it was paused */
    struct instant stalled_until;
    struct list pending, socks, notes;
    struct list_node end, notes_end; /* on the lists while they are worked off */
    struct sock *telling;
};

enum sock_kind { SOCK_LISTENER, SOCK_CONNECTING, SOCK_CONNECTED, SOCK_FAILED };

struct sock {
    struct list_node node;    /* of net->socks */
    struct list_node pending; /* of net->pending */
    struct net *net;
    net_ready_function *tell;
    void *owner;
    uint8_t kind;
    uint8_t ready, wants;
    enum err failure;
    struct net_address local, remote;

    struct list_node by_port; /* a listener: of sim->listeners */
    struct list waiting;      /* a listener: connections nobody has accepted */
    struct connection *connection;
    int side;

    struct world_event connect; /* while connecting: the next try */
    struct instant began;
    int tries;
};

struct chunk {
    struct instant at;
    size_t len;
    uint8_t what; /* of enum chunk_end, after the bytes */
};

enum chunk_end { CHUNK_GOES_ON, CHUNK_END, CHUNK_RESET };

/* One direction. Bytes from `head` on: `delivered` of them may be read, the others are under way.
 */
struct pipe {
    struct connection *connection;
    struct sim_host *from, *to;
    uint8_t *bytes;
    size_t capacity, head, len, delivered;
    struct chunk *chunks;
    int chunk_first, chunk_count, chunk_capacity;
    struct world_event arrival, give_up;
    bool is_held;      /* the first chunk is due, but does not come through */
    bool has_ended;    /* the writer has said its last */
    bool is_over;      /* … and the reader has got it */
    bool writer_waits; /* for room */
};

struct connection {
    struct list_node node; /* of sim->connections */
    struct list_node by_listener;
    struct sim_net *sim;
    struct pipe pipes[2];  /* [0]: from the one that connected */
    struct sock *socks[2]; /* NULL: closed, or not yet accepted */
    struct sock *listener; /* until it is accepted */
    bool is_silent[2];     /* that side lost its power: it does not answer */
    struct net_address address[2];
};

struct sim_net {
    struct world *world;
    struct world_part part;
    struct list listeners, connections;
    uint8_t cuts[HOSTS_MAX][HOSTS_MAX];
    uint16_t next_port;
    uint64_t bytes;
    int64_t latency_us, jitter_us, bytes_per_ms, window, turn_us, give_up_ms, connect_ms;
    struct sim_fault *cut, *stall, *refuse, *shard_stall;
    struct prng *luck, *turns;
};

static int64_t draw(struct prng *luck, int64_t high)
{
    return high <= 0 ? 0 : (int64_t)prng_below(luck, (uint64_t)high + 1);
}

/* ---- turns ---- */

static void arm_turn(struct net *net, struct instant at)
{
    struct world *world = net->sim->world;

    at = instant_max(at, net->stalled_until);
    world_arm(world, &net->turn, at);
}

static void turn_soon(struct net *net)
{
    struct sim_net *sim = net->sim;

    if (net->is_soon || net->shard == NULL) return;
    net->is_soon = true;
    if (fault_strikes(sim->world, sim->shard_stall))
        net->stalled_until = instant_add_ms(sim->world->now, 1 + draw(sim->turns, 30000));
    /* Mostly at once, sometimes late: as threads of one processor come to run. */
    int64_t us = draw(sim->turns, 15) == 0 ? draw(sim->turns, sim->turn_us) : draw(sim->turns, 20);
    arm_turn(net, instant_add_ns(sim->world->now, (1 + us) * 1000));
}

static struct instant rest_until;

static void turn(void *arg)
{
    struct net *net = arg;

    shard_work(net->shard);
    rest_until = shard_rest(net->shard);
}

static void on_turn(struct world_event *event)
{
    struct net *net = heap_entry(event, struct net, turn);
    struct sim_process *process = net->process;
    struct shard *shard = net->shard;

    net->is_soon = false;
    if (process->state == PROCESS_PAUSED) {
        net->has_missed = true;
        return;
    }
    if (!process_run(process, turn, net)) return;
    if (atomic_load(&shard->is_stopping)) {
        net->shard = NULL;
        if (process->shard_stopped != NULL) process->shard_stopped(process, shard);
        return;
    }
    if (rest_until.ns <= 0 || !list_is_empty(&net->pending) || !list_is_empty(&net->notes))
        turn_soon(net);
    else if (!net->is_soon && !instant_is_never(rest_until))
        arm_turn(net, rest_until);
}

void sim_shard_start(struct shard *shard)
{
    shard->net->shard = shard;
    turn_soon(shard->net);
}

void shard_tell(struct shard *shard, struct shard_note *note)
{
    if (list_has(&note->node)) return;
    list_push(&shard->net->notes, &note->node);
    turn_soon(shard->net);
}

void shard_untell(struct shard_note *note)
{
    list_remove(&note->node);
}

/* ---- telling ---- */

static void note_ready(struct sock *sock, unsigned ready)
{
    sock->ready |= (uint8_t)ready;
    if ((sock->ready & (sock->wants | NET_FAILED)) != 0 && !list_has(&sock->pending)) {
        list_push(&sock->net->pending, &sock->pending);
        turn_soon(sock->net);
    }
}

static void sock_fail(struct sock *sock, enum err why)
{
    if (sock == NULL) return;
    sock->kind = SOCK_FAILED;
    sock->failure = why;
    note_ready(sock, NET_FAILED | NET_READABLE | NET_WRITABLE);
}

static struct sock *sock_create(struct net *net, enum sock_kind kind, net_ready_function *tell,
                                void *owner)
{
    struct sock *sock = ensure_zalloc(sizeof(*sock));

    sock->net = net;
    sock->kind = (uint8_t)kind;
    sock->tell = tell;
    sock->owner = owner;
    sock->wants = NET_READABLE;
    list_init(&sock->waiting);
    list_push(&net->socks, &sock->node);
    return sock;
}

/* ---- connections ---- */

static bool is_through(const struct sim_net *sim, const struct sim_host *from,
                       const struct sim_host *to)
{
    return sim->cuts[from->id][to->id] == 0;
}

static void pipe_fini(struct pipe *pipe)
{
    struct world *world = pipe->connection->sim->world;

    world_disarm(world, &pipe->arrival);
    world_disarm(world, &pipe->give_up);
    free(pipe->bytes);
    free(pipe->chunks);
}

static void connection_destroy(struct connection *it)
{
    list_remove(&it->node);
    list_remove(&it->by_listener);
    pipe_fini(&it->pipes[0]);
    pipe_fini(&it->pipes[1]);
    free(it);
}

static void check_gone(struct connection *it)
{
    for (int side = 0; side < 2; side++)
        if (it->socks[side] != NULL || it->pipes[side].chunk_count > 0) return;
    if (it->listener == NULL) connection_destroy(it);
}

/* Both ends learn that it is no more; the readers keep what has arrived. */
static void connection_break(struct connection *it, enum err why)
{
    for (int side = 0; side < 2; side++) {
        struct pipe *pipe = &it->pipes[side];
        world_disarm(it->sim->world, &pipe->arrival);
        world_disarm(it->sim->world, &pipe->give_up);
        pipe->chunk_count = 0;
        pipe->len = pipe->delivered;
        pipe->is_held = false;
        pipe->has_ended = pipe->is_over = true;
    }
    it->is_silent[0] = it->is_silent[1] = false;
    sock_fail(it->socks[0], why);
    sock_fail(it->socks[1], why);
    if (it->listener != NULL) {
        it->listener = NULL;
        list_remove(&it->by_listener);
    }
    check_gone(it);
}

static struct chunk *chunk_at(struct pipe *pipe, int i)
{
    return &pipe->chunks[(pipe->chunk_first + i) % pipe->chunk_capacity];
}

static void arm_arrival(struct pipe *pipe)
{
    if (pipe->chunk_count > 0)
        world_arm(pipe->connection->sim->world, &pipe->arrival, chunk_at(pipe, 0)->at);
}

static void hold(struct pipe *pipe)
{
    struct sim_net *sim = pipe->connection->sim;

    pipe->is_held = true;
    if (!heap_has(&pipe->give_up.node))
        world_arm(sim->world, &pipe->give_up, instant_add_ms(sim->world->now, sim->give_up_ms));
}

/* The sender's kernel has repeated itself long enough. Of the other side only its own peer hears.
 */
static void on_give_up(struct world_event *event)
{
    struct pipe *pipe = heap_entry(event, struct pipe, give_up);
    struct connection *it = pipe->connection;
    int side = pipe == &it->pipes[0] ? 0 : 1;
    struct sock *writer = it->socks[side];

    if (writer == NULL) {
        connection_break(it, ERR_TIMED_OUT);
        return;
    }
    sock_fail(writer, ERR_TIMED_OUT);
    pipe->has_ended = true;
}

static void on_arrival(struct world_event *event)
{
    struct pipe *pipe = heap_entry(event, struct pipe, arrival);
    struct connection *it = pipe->connection;
    int writer = pipe == &it->pipes[0] ? 0 : 1, reader = 1 - writer;
    struct sock *sock = it->socks[reader];

    if (!is_through(it->sim, pipe->from, pipe->to) || !pipe->to->has_power) {
        hold(pipe);
        return;
    }
    if (it->is_silent[reader] || (sock == NULL && it->listener == NULL)) {
        /* Nobody knows this connection there (any more). */
        struct chunk *chunk = chunk_at(pipe, 0);
        if (chunk->what == CHUNK_END && chunk->len == 0 && !it->is_silent[reader]) {
            pipe->chunk_count--;
            check_gone(it);
            return;
        }
        connection_break(it, ERR_CLOSED);
        return;
    }
    struct chunk chunk = *chunk_at(pipe, 0);
    pipe->chunk_first = (pipe->chunk_first + 1) % pipe->chunk_capacity;
    pipe->chunk_count--;
    pipe->delivered += chunk.len;
    pipe->is_held = false;
    world_disarm(it->sim->world, &pipe->give_up);
    if (chunk.what == CHUNK_END) pipe->is_over = true;
    if (chunk.what == CHUNK_RESET) {
        connection_break(it, ERR_CLOSED);
        return;
    }
    if (sock != NULL) note_ready(sock, NET_READABLE);
    arm_arrival(pipe);
}

static int64_t latency_ns(struct sim_net *sim, const struct sim_host *from,
                          const struct sim_host *to)
{
    if (from == to) return 10000 + draw(sim->luck, 20000);
    return (sim->latency_us + draw(sim->luck, sim->jitter_us)) * 1000;
}

static void push_chunk(struct pipe *pipe, size_t len, enum chunk_end what)
{
    struct sim_net *sim = pipe->connection->sim;
    struct world *world = sim->world;
    int64_t ns = latency_ns(sim, pipe->from, pipe->to);

    if (len > 0) ns += (int64_t)len * 1000000 / sim->bytes_per_ms;
    if (pipe->from != pipe->to && len > 0 && fault_strikes(world, sim->stall)) {
        int64_t shift = draw(sim->luck, 8); /* not both in one expression: which comes first? */
        ns += (1 + draw(sim->luck, 60000)) * 1000000 >> shift;
    }
    struct instant at = instant_add_ns(world->now, ns);
    if (pipe->chunk_count > 0) {
        struct chunk *last = chunk_at(pipe, pipe->chunk_count - 1);
        at = instant_max(at, last->at);
    }
    if (pipe->chunk_count == pipe->chunk_capacity) {
        int capacity = pipe->chunk_capacity == 0 ? 4 : pipe->chunk_capacity * 2;
        struct chunk *chunks = ensure_malloc((size_t)capacity * sizeof(*chunks));
        for (int i = 0; i < pipe->chunk_count; i++)
            chunks[i] = *chunk_at(pipe, i);
        free(pipe->chunks);
        pipe->chunks = chunks;
        pipe->chunk_first = 0;
        pipe->chunk_capacity = capacity;
    }
    pipe->chunk_count++;
    *chunk_at(pipe, pipe->chunk_count - 1) = (struct chunk){at, len, (uint8_t)what};
    if (pipe->chunk_count == 1) arm_arrival(pipe);
    sim->bytes += len;
}

static size_t room(const struct pipe *pipe)
{
    size_t window = (size_t)pipe->connection->sim->window;

    return pipe->len >= window ? 0 : window - pipe->len;
}

static uint8_t *reserve(struct pipe *pipe, size_t len)
{
    if (pipe->head > 0 && pipe->head + pipe->len + len > pipe->capacity) {
        memmove(pipe->bytes, pipe->bytes + pipe->head, pipe->len);
        pipe->head = 0;
    }
    if (pipe->len + len > pipe->capacity) {
        pipe->capacity = (pipe->len + len) * 2 < 1024 ? 1024 : (pipe->len + len) * 2;
        pipe->bytes = ensure_realloc(pipe->bytes, pipe->capacity);
    }
    return pipe->bytes + pipe->head + pipe->len;
}

/* `len` bytes stand behind the others. */
static void sent(struct pipe *pipe, size_t len)
{
    struct sim_net *sim = pipe->connection->sim;

    if (pipe->from != pipe->to && fault_strikes(sim->world, sim->cut)) {
        size_t kept = (size_t)draw(sim->luck, (int64_t)len);
        pipe->len += kept;
        push_chunk(pipe, kept, CHUNK_RESET);
        pipe->has_ended = true;
        return;
    }
    pipe->len += len;
    push_chunk(pipe, len, CHUNK_GOES_ON);
}

/* The socket is gone, its kernel ends the connection. */
static void close_side(struct connection *it, int side)
{
    struct pipe *out = &it->pipes[side], *in = &it->pipes[1 - side];
    bool was_read = in->delivered == 0;

    it->socks[side] = NULL;
    if (!out->from->has_power) {
        it->is_silent[side] = true; /* what it had sent is under way, nothing follows */
        check_gone(it);
        return;
    }
    if (!out->has_ended) {
        out->has_ended = true;
        push_chunk(out, 0, was_read ? CHUNK_END : CHUNK_RESET);
    }
    check_gone(it);
}

static void end_connect(struct sock *sock, enum err why)
{
    world_disarm(sock->net->sim->world, &sock->connect);
    if (why == ERR_OK) {
        sock->kind = SOCK_CONNECTED;
        note_ready(sock, NET_WRITABLE);
    } else {
        sock_fail(sock, why);
    }
}

static struct sim_host *host_named(struct sim_net *sim, const char *name)
{
    list_each (node, &sim->world->hosts) {
        struct sim_host *host = list_entry(node, struct sim_host, node);
        if (strcmp(host->name, name) == 0) return host;
    }
    return NULL;
}

static struct sock *listener_at(struct sim_net *sim, const struct sim_host *host, uint16_t port)
{
    struct sock *found[SHARDS_MAX];
    int count = 0;

    list_each (node, &sim->listeners) {
        struct sock *sock = list_entry(node, struct sock, by_port);
        if (sock->net->process->host == host && sock->local.port == port && count < SHARDS_MAX)
            found[count++] = sock;
    }
    return count == 0 ? NULL : found[draw(sim->luck, count - 1)];
}

static struct connection *connection_create(struct sock *from, struct sock *listener)
{
    struct sim_net *sim = from->net->sim;
    struct connection *it = ensure_zalloc(sizeof(*it));
    struct sim_host *hosts[2] = {from->net->process->host, listener->net->process->host};

    it->sim = sim;
    for (int side = 0; side < 2; side++) {
        struct pipe *pipe = &it->pipes[side];
        pipe->connection = it;
        pipe->from = hosts[side];
        pipe->to = hosts[1 - side];
        pipe->arrival.fire = on_arrival;
        pipe->give_up.fire = on_give_up;
    }
    it->socks[0] = from;
    it->listener = listener;
    it->address[0] = from->local;
    it->address[1] = listener->local;
    list_push(&sim->connections, &it->node);
    list_push(&listener->waiting, &it->by_listener);
    return it;
}

static void on_connect(struct world_event *event)
{
    struct sock *sock = heap_entry(event, struct sock, connect);
    struct sim_net *sim = sock->net->sim;
    struct sim_host *from = sock->net->process->host, *to = host_named(sim, sock->remote.host);
    struct instant now = sim->world->now;

    if (to == NULL) {
        end_connect(sock, ERR_NOT_FOUND);
        return;
    }
    if (!is_through(sim, from, to) || !is_through(sim, to, from) || !to->has_power) {
        if (instant_ms_between(sock->began, now) >= sim->connect_ms) {
            end_connect(sock, ERR_TIMED_OUT);
            return;
        }
        world_arm(sim->world, &sock->connect,
                  instant_add_ms(now, INT64_C(1000) << (sock->tries < 6 ? sock->tries : 6)));
        sock->tries++;
        return;
    }
    struct sock *listener = listener_at(sim, to, sock->remote.port);
    if (listener == NULL || (from != to && fault_strikes(sim->world, sim->refuse))) {
        end_connect(sock, ERR_REFUSED);
        return;
    }
    sock->connection = connection_create(sock, listener);
    sock->side = 0;
    note_ready(listener, NET_READABLE);
    end_connect(sock, ERR_OK);
}

/* ---- the table: with the world's heap ---- */

static struct sim_heap *enter(struct world *world)
{
    return sim_heap_use(world->heap);
}

static enum err op_open(void *of, struct net **out)
{
    struct sim_process *process = of;
    struct sim_heap *was = enter(process->world);
    struct net *net = ensure_zalloc(sizeof(*net));

    net->sim = process->world->net;
    net->process = process;
    net->turn.fire = on_turn;
    list_init(&net->pending);
    list_init(&net->socks);
    list_init(&net->notes);
    list_push(&process->shards, &net->node);
    sim_heap_use(was);
    *out = net;
    return ERR_OK;
}

static void destroy(struct sock *sock)
{
    struct net *net = sock->net;

    if (net->telling == sock) net->telling = NULL;
    list_remove(&sock->pending);
    list_remove(&sock->node);
    list_remove(&sock->by_port);
    world_disarm(net->sim->world, &sock->connect);
    while (!list_is_empty(&sock->waiting)) {
        struct connection *it =
            list_entry(list_first(&sock->waiting), struct connection, by_listener);
        list_remove(&it->by_listener);
        it->listener = NULL;
        close_side(it, 1);
    }
    if (sock->connection != NULL) close_side(sock->connection, sock->side);
    free(sock);
}

/* Bytes that were read go back to the front. */
static void unread_at(struct pipe *pipe, struct slice bytes)
{
    reserve(pipe, bytes.len);
    memmove(pipe->bytes + pipe->head + bytes.len, pipe->bytes + pipe->head, pipe->len);
    memcpy(pipe->bytes + pipe->head, bytes.ptr, bytes.len);
    pipe->len += bytes.len;
    pipe->delivered += bytes.len;
}

static enum err op_move(struct sock *sock, struct net *to, struct slice unread)
{
    struct sim_net *sim = sock->net->sim;
    struct connection *it = sock->connection;

    if (sock->kind != SOCK_CONNECTED || it == NULL || sock->side != 1) return ERR_NOT_FOUND;
    list_each (node, &sim->listeners) {
        struct sock *listener = list_entry(node, struct sock, by_port);
        if (listener->net != to || listener->local.port != sock->local.port) continue;
        struct sim_heap *was = enter(sim->world);
        if (unread.len > 0) unread_at(&it->pipes[0], unread);
        it->socks[1] = NULL;
        it->listener = listener;
        list_push(&listener->waiting, &it->by_listener);
        note_ready(listener, NET_READABLE);
        sock->connection = NULL;
        destroy(sock);
        sim_heap_use(was);
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

static void op_destroy(struct sock *sock)
{
    struct sim_heap *was = enter(sock->net->sim->world);

    destroy(sock);
    sim_heap_use(was);
}

static void close_net(struct net *net)
{
    for (struct list_node *node; (node = list_first(&net->socks)) != NULL;)
        destroy(list_entry(node, struct sock, node));
    while (list_pop(&net->notes) != NULL)
        ;
    world_disarm(net->sim->world, &net->turn);
    list_remove(&net->node);
    free(net);
}

static void op_close(struct net *net)
{
    struct sim_heap *was = enter(net->sim->world);

    close_net(net);
    sim_heap_use(was);
}

/* A turn comes when there is something to do. */
static void op_wait(struct net *net, struct instant until)
{
    (void)net, (void)until;
}

static void op_wake(struct net *net)
{
    turn_soon(net);
}

static void op_dispatch(struct net *net)
{
    list_push(&net->notes, &net->notes_end);
    for (struct list_node *node; (node = list_pop(&net->notes)) != &net->notes_end;) {
        struct shard_note *note = list_entry(node, struct shard_note, node);
        note->run(note);
    }
    list_push(&net->pending, &net->end);
    for (int i = 0; i < TELL_MAX; i++) {
        struct list_node *node = list_first(&net->pending);
        if (node == &net->end) break;
        list_remove(node);
        struct sock *sock = list_entry(node, struct sock, pending);
        unsigned tell = sock->ready & (sock->wants | NET_FAILED);
        if (tell == 0) continue;
        sock->ready &= (uint8_t)~NET_FAILED; /* said once */
        net->telling = sock;
        sock->tell(sock->owner, sock, tell);
        if (net->telling == sock) note_ready(sock, 0);
        net->telling = NULL;
    }
    list_remove(&net->end);
}

static enum err op_listen(struct net *net, const struct net_address *address,
                          const struct net_options *options, net_ready_function *ready, void *owner,
                          struct sock **out)
{
    struct sim_net *sim = net->sim;

    (void)options;
    list_each (node, &sim->listeners) {
        struct sock *other = list_entry(node, struct sock, by_port);
        if (address->port != 0 && other->local.port == address->port &&
            other->net->process->host == net->process->host &&
            (other->net->process != net->process || other->net == net))
            return ERR_BUSY;
    }
    struct sim_heap *was = enter(sim->world);
    struct sock *sock = sock_create(net, SOCK_LISTENER, ready, owner);
    snprintf(sock->local.host, sizeof(sock->local.host), "%s", net->process->host->name);
    sock->local.port = address->port != 0 ? address->port : sim->next_port++;
    list_push(&sim->listeners, &sock->by_port);
    sim_heap_use(was);
    *out = sock;
    return ERR_OK;
}

static enum err op_accept(struct sock *listener, net_ready_function *ready, void *owner,
                          struct sock **out)
{
    struct list_node *node = list_pop(&listener->waiting);

    if (node == NULL) {
        listener->ready &= (uint8_t)~NET_READABLE;
        *out = NULL;
        return ERR_OK;
    }
    struct sim_heap *was = enter(listener->net->sim->world);
    struct connection *it = list_entry(node, struct connection, by_listener);
    struct sock *sock = sock_create(listener->net, SOCK_CONNECTED, ready, owner);
    sock->connection = it;
    sock->side = 1;
    sock->local = it->address[1];
    sock->remote = it->address[0];
    it->socks[1] = sock;
    it->listener = NULL;
    sock->ready = NET_WRITABLE;
    if (it->pipes[0].delivered > 0 || it->pipes[0].is_over) sock->ready |= NET_READABLE;
    note_ready(sock, 0);
    sim_heap_use(was);
    *out = sock;
    return ERR_OK;
}

static enum err op_connect(struct net *net, const struct net_address *address,
                           const struct net_options *options, net_ready_function *ready,
                           void *owner, struct sock **out)
{
    struct sim_net *sim = net->sim;
    struct sim_heap *was = enter(sim->world);
    struct sock *sock = sock_create(net, SOCK_CONNECTING, ready, owner);
    struct sim_host *to = host_named(sim, address->host);
    int64_t ns = 1000;

    (void)options;
    sock->wants = NET_READABLE | NET_WRITABLE;
    sock->remote = *address;
    snprintf(sock->local.host, sizeof(sock->local.host), "%s", net->process->host->name);
    sock->local.port = sim->next_port++;
    if (sim->next_port < EPHEMERAL_FIRST) sim->next_port = EPHEMERAL_FIRST;
    sock->began = sim->world->now;
    sock->connect.fire = on_connect;
    if (to != NULL) {
        ns = latency_ns(sim, net->process->host, to);
        ns += latency_ns(sim, to, net->process->host);
    }
    world_arm(sim->world, &sock->connect, instant_add_ns(sim->world->now, ns));
    sim_heap_use(was);
    *out = sock;
    return ERR_OK;
}

static enum err op_failure(struct sock *sock)
{
    return sock->failure == ERR_OK ? ERR_CLOSED : sock->failure;
}

static void op_set_owner(struct sock *sock, net_ready_function *tell, void *owner)
{
    sock->tell = tell;
    sock->owner = owner;
}

static enum err op_read(struct sock *sock, void *to, size_t len, size_t *n)
{
    struct pipe *pipe = sock->connection == NULL ? NULL : &sock->connection->pipes[1 - sock->side];

    if (pipe == NULL || (pipe->delivered == 0 && sock->kind == SOCK_FAILED)) return ERR_CLOSED;
    if (pipe->delivered == 0) {
        if (pipe->is_over) return ERR_CLOSED;
        sock->ready &= (uint8_t)~NET_READABLE;
        *n = 0;
        return ERR_OK;
    }
    size_t got = len < pipe->delivered ? len : pipe->delivered;
    memcpy(to, pipe->bytes + pipe->head, got);
    pipe->head += got;
    pipe->len -= got;
    pipe->delivered -= got;
    if (pipe->len == 0) pipe->head = 0;
    if (pipe->delivered == 0 && !pipe->is_over && sock->kind != SOCK_FAILED && got < len)
        sock->ready &= (uint8_t)~NET_READABLE;
    struct sock *writer = sock->connection->socks[1 - sock->side];
    if (pipe->writer_waits && writer != NULL && room(pipe) > 0) {
        struct sim_heap *was = enter(sock->net->sim->world);
        pipe->writer_waits = false;
        note_ready(writer, NET_WRITABLE);
        sim_heap_use(was);
    }
    *n = got;
    return ERR_OK;
}

/* How much of `len` may be sent now. */
static enum err may_send(struct sock *sock, size_t len, size_t *out, struct pipe **pipe)
{
    if (sock->kind == SOCK_CONNECTING) {
        *out = 0;
        return ERR_OK;
    }
    if (sock->kind == SOCK_FAILED || sock->connection == NULL) return ERR_CLOSED;
    *pipe = &sock->connection->pipes[sock->side];
    if ((*pipe)->has_ended) { /* cut: the bytes vanish, and soon we shall hear of it */
        *out = len;
        return ERR_OK;
    }
    size_t space = room(*pipe);
    *out = len < space ? len : space;
    if (*out < len) {
        (*pipe)->writer_waits = true;
        sock->ready &= (uint8_t)~NET_WRITABLE;
    }
    return ERR_OK;
}

static enum err op_write(struct sock *sock, const struct iovec *parts, int count, bool more,
                         size_t *n)
{
    struct pipe *pipe = NULL;
    size_t len = 0, may = 0, done = 0;

    (void)more;
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    enum err err = may_send(sock, len, &may, &pipe);
    if (err != ERR_OK) return err;
    if (may > 0 && !pipe->has_ended) {
        struct sim_heap *was = enter(sock->net->sim->world);
        uint8_t *to = reserve(pipe, may);
        for (int i = 0; i < count && done < may; i++) {
            size_t part = parts[i].iov_len < may - done ? parts[i].iov_len : may - done;
            memcpy(to + done, parts[i].iov_base, part);
            done += part;
        }
        sent(pipe, may);
        sim_heap_use(was);
    }
    *n = may;
    return ERR_OK;
}

static enum err op_send_file(struct sock *sock, struct file *file, uint64_t position, size_t len,
                             size_t *n)
{
    struct pipe *pipe = NULL;
    size_t may = 0, got = 0;

    enum err err = may_send(sock, len, &may, &pipe);
    if (err != ERR_OK) return err;
    *n = may;
    if (may == 0 || pipe->has_ended) return ERR_OK;
    struct sim_heap *was = enter(sock->net->sim->world);
    const struct env *env = &sock->net->process->env;
    err = env->ops->files->read_at(file, position, reserve(pipe, may), may, &got);
    if (err == ERR_OK && got > 0) sent(pipe, got);
    sim_heap_use(was);
    if (err == ERR_OK && got == 0) err = ERR_TRUNCATED;
    if (err == ERR_OK) *n = got;
    return err;
}

static void op_shutdown(struct sock *sock)
{
    struct connection *it = sock->connection;

    if (it == NULL || it->pipes[sock->side].has_ended) return;
    struct sim_heap *was = enter(sock->net->sim->world);
    it->pipes[sock->side].has_ended = true;
    push_chunk(&it->pipes[sock->side], 0, CHUNK_END);
    sim_heap_use(was);
}

static void op_want(struct sock *sock, unsigned ready)
{
    sock->wants = (uint8_t)ready;
    note_ready(sock, 0);
}

static enum err op_local_address(struct sock *sock, struct net_address *out)
{
    *out = sock->local;
    return ERR_OK;
}

static enum err op_peer_address(struct sock *sock, struct net_address *out)
{
    *out = sock->remote;
    return ERR_OK;
}

const struct net_ops sim_net_ops = {
    .open = op_open,
    .close = op_close,
    .wait = op_wait,
    .dispatch = op_dispatch,
    .wake = op_wake,
    .listen = op_listen,
    .accept = op_accept,
    .connect = op_connect,
    .failure = op_failure,
    .set_owner = op_set_owner,
    .move = op_move,
    .destroy = op_destroy,
    .read = op_read,
    .write = op_write,
    .send_file = op_send_file,
    .shutdown = op_shutdown,
    .want = op_want,
    .local_address = op_local_address,
    .peer_address = op_peer_address,
};

/* ---- the part ---- */

static void on_killed(void *owner, struct sim_process *process)
{
    (void)owner;
    while (!list_is_empty(&process->shards))
        close_net(list_entry(list_first(&process->shards), struct net, node));
}

static void on_resumed(void *owner, struct sim_process *process)
{
    (void)owner;
    list_each (node, &process->shards) {
        struct net *net = list_entry(node, struct net, node);
        if (!net->has_missed) continue;
        net->has_missed = false;
        turn_soon(net);
    }
}

/* What waited for a link or a host comes through, as late as senders repeat themselves. */
static void release(struct sim_net *sim, const struct sim_host *from, const struct sim_host *to)
{
    list_each (node, &sim->connections) {
        struct connection *it = list_entry(node, struct connection, node);
        for (int side = 0; side < 2; side++) {
            struct pipe *pipe = &it->pipes[side];
            if (!pipe->is_held || (from != NULL && pipe->from != from) || pipe->to != to) continue;
            pipe->is_held = false;
            world_arm(sim->world, &pipe->arrival,
                      instant_add_ms(sim->world->now, draw(sim->luck, 4000)));
        }
    }
}

static void on_power(void *owner, struct sim_host *host)
{
    release(owner, NULL, host);
}

struct sim_net *sim_net_create(struct world *world)
{
    struct sim_net *sim = ensure_zalloc(sizeof(*sim));

    sim->world = world;
    sim->next_port = EPHEMERAL_FIRST;
    list_init(&sim->listeners);
    list_init(&sim->connections);
    sim->luck = world_stream(world, "net");
    sim->turns = world_stream(world, "shard");
    static const int64_t latencies[] = {20, 100, 500, 2000, 20000};
    static const int64_t windows[] = {1024, 16384, 65536, 1 << 20};
    sim->latency_us = world_option_of(world, "net.latency-us", latencies, 5);
    sim->jitter_us = world_option(world, "net.jitter-us", 0, 5000);
    sim->bytes_per_ms = world_option(world, "net.bytes-per-ms", 1000, 1000000);
    sim->window = world_option_of(world, "net.window-bytes", windows, 4);
    sim->turn_us = world_option(world, "shard.turn-us-max", 1, 3000);
    sim->give_up_ms = world_option(world, "net.give-up-ms", 10000, 900000);
    sim->connect_ms = world_option(world, "net.connect-ms", 3000, 127000);
    sim->cut = world_fault_of_steps(world, "net.cut", 3000);
    sim->stall = world_fault_of_steps(world, "net.stall", 3000);
    sim->refuse = world_fault(world, "net.refuse", 200000);
    sim->shard_stall = world_fault_of_steps(world, "shard.stall", 300);
    sim->part = (struct world_part){
        .killed = on_killed, .resumed = on_resumed, .power_came = on_power, .owner = sim};
    world_add_part(world, &sim->part);
    world->net = sim;
    return sim;
}

void sim_net_destroy(struct sim_net **net)
{
    struct sim_net *sim = *net;

    if (sim == NULL) return;
    ensure(list_is_empty(&sim->listeners));
    while (!list_is_empty(&sim->connections))
        connection_destroy(list_entry(list_first(&sim->connections), struct connection, node));
    world_remove_part(&sim->part);
    sim->world->net = NULL;
    free(sim);
    *net = NULL;
}

void sim_net_cut(struct sim_net *net, struct sim_host *from, struct sim_host *to)
{
    ensure(from->id < HOSTS_MAX && to->id < HOSTS_MAX);
    net->cuts[from->id][to->id]++;
    world_trace(net->world, "link %s->%s cut", from->name, to->name);
}

void sim_net_heal(struct sim_net *net, struct sim_host *from, struct sim_host *to)
{
    ensure(net->cuts[from->id][to->id] > 0);
    if (--net->cuts[from->id][to->id] > 0) return;
    world_trace(net->world, "link %s->%s healed", from->name, to->name);
    release(net, from, to);
}

bool sim_net_is_cut(const struct sim_net *net, const struct sim_host *from,
                    const struct sim_host *to)
{
    return !is_through(net, from, to);
}

void sim_net_reset(struct sim_net *net, struct sim_host *a, struct sim_host *b)
{
    list_each (node, &net->connections) {
        struct connection *it = list_entry(node, struct connection, node);
        if ((it->pipes[0].from == a && it->pipes[0].to == b) ||
            (it->pipes[0].from == b && it->pipes[0].to == a))
            connection_break(it, ERR_CLOSED);
    }
}

uint64_t sim_net_bytes(const struct sim_net *net)
{
    return net->bytes;
}

int64_t sim_net_bytes_per_s(const struct sim_net *net)
{
    int64_t there_and_back_us = 2 * (net->latency_us + net->jitter_us + net->turn_us);
    int64_t by_window = net->window * 1000000 / there_and_back_us;

    return by_window < net->bytes_per_ms * 1000 ? by_window : net->bytes_per_ms * 1000;
}
