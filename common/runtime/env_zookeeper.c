/* How the library is driven, and what one has to know of it (libzookeeper_st 3.8).
 *
 * It calls back from zookeeper_process and zookeeper_interest, and when it is closed. So a request
 * is given to it from a post of our own, and no answer can come inside zk_ops.submit; a session
 * that is closed in a callback is taken down when the library has returned.
 *
 * When a send fails inside a zoo_a… call it closes its socket and tells nobody: what was sent stays
 * unanswered, half a request may stay in its queue. give() notices, and makes the library fail a
 * connection properly, which answers everything as lost. When it cannot send a ping it reports the
 * error and keeps the connection: connection_failed.
 *
 * With several servers in its list it skips some after a failure, and can go round on a dead one
 * for ever; and it resolves names in the calling thread. So it is given one numeric address at a
 * time: order, pauses and resolution are ours. It waits two thirds of the session timeout for a
 * server that does not answer its first packet; with more than one server that is cut short
 * (attempt_ms).
 *
 * Closing waits for the server, up to 4.5 s if that is silent. It happens at the end of a process.
 *
 * After a reconnect it sends all its watches in one packet. When that is over the servers'
 * jute.maxbuffer (1 MiB unless set: some 20,000 watches of 50 bytes) they cut the connection until
 * the session expires. Clusters with that many watched topics raise it, as for long lists of
 * children. */
#include "runtime/env_zookeeper.h"
#include "base/ensure.h"
#include "base/log.h"
#include "runtime/disk.h"
#include "runtime/env_posix.h"
#include "runtime/shard.h"
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <zookeeper/zookeeper.h>

#define ADDRESSES_MAX  32
#define ADDRESS_TEXT   80
#define READS_PER_TURN 128 /* answers taken before the shard's other work has its turn */
#define PAUSE_MS_MIN   10  /* after each server has been tried in vain; doubles */
#define PAUSE_MS_MAX   500
#define RESOLVE_MS     1000 /* between attempts to resolve names */
#define ATTEMPT_MS_MIN 250

struct addresses {
    int count;
    char text[ADDRESSES_MAX][ADDRESS_TEXT]; /* "127.0.0.1:2181" */
};

/* Resolution on the pool. Outlives its session if it must. */
struct resolution {
    struct disk_job job;
    struct zk_session *session; /* NULL: nobody waits any more */
    struct addresses found;
    char servers[];
};

struct zk_session {
    struct shard *shard;
    const struct zk_session_handlers *handlers; /* NULL: closed, no more calls */
    void *owner;
    char *servers;
    char *digest;
    int32_t timeout_ms;

    zhandle_t *handle; /* NULL until an address is known */
    struct addresses addresses;
    int address; /* in use */
    int tried;   /* since the last success */
    int64_t pause_ms;
    bool has_names;                /* so that it is worth resolving again */
    bool is_paused;                /* until `timer` */
    struct resolution *resolution; /* under way */
    struct instant attempt_ends;

    struct net_watch watch;
    int fd; /* the library's; −1: none */
    struct timer timer;
    struct post giving;
    struct list requests; /* struct flight: not given to the library yet */
    struct list flights;  /* given to it */

    int depth; /* of library calls: it must not be freed below one */
    bool is_connected;
    bool is_over; /* an end was told: the handle is of no use */
    bool is_close_wanted;
};

/* A request on its way. */
struct flight {
    struct list_node node;
    struct zk_session *session;
    struct zk_request *request; /* the owner's: not touched after its answer or the end */
    int count;
    zoo_op_t *ops;
    zoo_op_result_t *results;
    struct Stat *stats;
    char **created;
};

static void drive(struct zk_session *session);
static void give(struct post *post);
static void watch_ready(struct net_watch *watch, unsigned ready);
static void timer_fire(struct timer *timer);
static int64_t session_id(const struct zk_session *session);

/* ---- the library's log */

/* "2026-…,123:77:ZOO_WARN@function@1234: text" */
static void library_log(const char *message)
{
    const char *level = strstr(message, ":ZOO_");
    const char *text = level == NULL ? NULL : strstr(level, ": ");

    if (text == NULL) {
        log_debug("zk", "client", "text=\"%s\"", message);
        return;
    }
    text += 2;
    size_t len = strcspn(text, "\n");
    bool is_error = level[5] == 'E';
    /* That a server could not be reached is said by zk.c, once. */
    if (is_error && strncmp(text, "Socket ", 7) != 0)
        log_warn("zk", "client", "text=\"%.*s\"", (int)len, text);
    else
        log_debug("zk", "client", "text=\"%.*s\"", (int)len, text);
}

/* The library has one level for all handles of a process. */
static void set_library_level(void)
{
    bool is_debug = atomic_load_explicit(&log_level, memory_order_relaxed) >= LOG_DEBUG;

    zoo_set_debug_level(is_debug ? ZOO_LOG_LEVEL_INFO : ZOO_LOG_LEVEL_ERROR);
}

/* ---- addresses */

static void add_addresses(struct addresses *out, const char *host, const char *port, int flags)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *found = NULL;

    if (getaddrinfo(host, NULL, &hints, &found) != 0) return;
    for (const struct addrinfo *each = found; each != NULL && out->count < ADDRESSES_MAX;
         each = each->ai_next) {
        char number[64], text[ADDRESS_TEXT];
        bool is_known = getnameinfo(each->ai_addr, each->ai_addrlen, number, sizeof(number), NULL,
                                    0, NI_NUMERICHOST) != 0;
        snprintf(text, sizeof(text), "%s:%s", number, port);
        for (int i = 0; i < out->count && !is_known; i++)
            is_known = strcmp(out->text[i], text) == 0;
        if (!is_known) memcpy(out->text[out->count++], text, sizeof(text));
    }
    freeaddrinfo(found);
}

/* Of "h1:p1,h2:p2". Gives how many hosts are not there: with AI_NUMERICHOST, are names. */
static int look_up(const char *servers, int flags, struct addresses *out)
{
    char *copy = ensure_strdup(servers), *rest = copy;
    int missing = 0;

    out->count = 0;
    for (char *each = strsep(&rest, ","); each != NULL; each = strsep(&rest, ",")) {
        char *colon = strrchr(each, ':');
        if (colon == NULL) continue;
        *colon = '\0';
        if (each[0] == '[' && colon[-1] == ']') {
            each++;
            colon[-1] = '\0';
        }
        int before = out->count;
        add_addresses(out, each, colon + 1, flags);
        missing += out->count == before;
    }
    free(copy);
    return missing;
}

/* So that not all clients go to the first server. */
static void shuffle(const struct env *env, struct addresses *addresses)
{
    for (int i = addresses->count - 1; i > 0; i--) {
        int other = (int)(env_random(env, "zk/servers") % (uint64_t)(i + 1));
        char text[ADDRESS_TEXT];
        memcpy(text, addresses->text[i], sizeof(text));
        memcpy(addresses->text[i], addresses->text[other], sizeof(text));
        memcpy(addresses->text[other], text, sizeof(text));
    }
}

static void resolve_run(struct disk_job *job)
{
    struct resolution *resolution = list_entry(job, struct resolution, job);

    look_up(resolution->servers, AI_ADDRCONFIG, &resolution->found);
    if (resolution->found.count == 0) look_up(resolution->servers, 0, &resolution->found);
}

static void take_addresses(struct zk_session *session, const struct addresses *found)
{
    if (found->count == 0) {
        log_warn("zk", "resolve", "servers=%s err=%s", session->servers, err_name(ERR_NOT_FOUND));
        return; /* those that were known may do */
    }
    session->addresses = *found;
    shuffle(session->shard->env, &session->addresses);
    session->address = session->addresses.count - 1; /* the next is the first */
}

static void resolve_done(struct disk_job *job)
{
    struct resolution *resolution = list_entry(job, struct resolution, job);
    struct zk_session *session = resolution->session;

    if (session != NULL) {
        session->resolution = NULL;
        take_addresses(session, &resolution->found);
        if (session->handle == NULL) drive(session);
    }
    free(resolution);
}

/* The answer comes when it comes; without a pool it is waited for. */
static void resolve(struct zk_session *session)
{
    if (session->resolution != NULL) return;
    size_t len = strlen(session->servers) + 1;
    struct resolution *resolution = ensure_zalloc(sizeof(*resolution) + len);
    memcpy(resolution->servers, session->servers, len);
    resolution->session = session;
    resolution->job.run = resolve_run;
    resolution->job.done = resolve_done;
    session->resolution = resolution;
    if (session->shard->disk == NULL) {
        resolve_run(&resolution->job);
        session->resolution = NULL;
        take_addresses(session, &resolution->found);
        free(resolution);
        return;
    }
    disk_submit(session->shard->env, session->shard->disk, DISK_LONG, session->shard,
                &resolution->job);
}

/* ---- what the library tells */

static void tell(struct zk_session *session, enum zk_session_state state)
{
    if (session->handlers == NULL || session->is_over) return;
    session->is_connected = state == ZK_SESSION_CONNECTED;
    session->is_over = state != ZK_SESSION_CONNECTED && state != ZK_SESSION_DISCONNECTED;
    session->handlers->state(session->owner, state);
}

static void tell_session(struct zk_session *session, int state)
{
    if (state == ZOO_CONNECTED_STATE) {
        session->tried = 0;
        session->pause_ms = PAUSE_MS_MIN;
        tell(session, ZK_SESSION_CONNECTED);
    } else if (state == ZOO_EXPIRED_SESSION_STATE) {
        tell(session, ZK_SESSION_EXPIRED);
    } else if (state == ZOO_AUTH_FAILED_STATE) {
        tell(session, ZK_SESSION_AUTH_FAILED);
    } else if (session->is_connected) {
        tell(session, ZK_SESSION_DISCONNECTED);
    }
}

static void library_event(zhandle_t *handle, int type, int state, const char *path, void *context)
{
    struct zk_session *session = context;
    struct slice text = slice_text(path);

    (void)handle;
    if (session->handlers == NULL) return;
    if (type == ZOO_SESSION_EVENT)
        tell_session(session, state);
    else if (type == ZOO_CREATED_EVENT)
        session->handlers->watch(session->owner, ZK_NODE_CREATED, text);
    else if (type == ZOO_DELETED_EVENT)
        session->handlers->watch(session->owner, ZK_NODE_DELETED, text);
    else if (type == ZOO_CHANGED_EVENT)
        session->handlers->watch(session->owner, ZK_NODE_CHANGED, text);
    else if (type == ZOO_CHILD_EVENT)
        session->handlers->watch(session->owner, ZK_NODE_CHILDREN, text);
}

static enum err err_from_code(int code)
{
    switch (code) {
    case ZOK:
        return ERR_OK;
    case ZNONODE:
        return ERR_NOT_FOUND;
    case ZNODEEXISTS:
        return ERR_EXISTS;
    case ZBADVERSION:
        return ERR_ZK_VERSION;
    case ZNOTEMPTY:
        return ERR_ZK_CHILDREN;
    case ZNOAUTH:
        return ERR_DENIED;
    case ZAUTHFAILED:
        return ERR_ZK_AUTH;
    case ZBADARGUMENTS:
    case ZINVALIDACL:
        return ERR_INVALID;
    case ZSESSIONEXPIRED:
    case ZINVALIDSTATE:
    case ZCLOSING:
        return ERR_ZK_EXPIRED;
    case ZCONNECTIONLOSS:
    case ZOPERATIONTIMEOUT:
    case ZSYSTEMERROR:
    case ZRUNTIMEINCONSISTENCY: /* answers out of order: the connection was cut for it */
    case ZSESSIONMOVED:         /* not done here; the resumed connection will do it */
    case ZNOTREADONLY:
    case ZTHROTTLEDOP:
        return ERR_ZK_LOSS;
    default:
        return ERR_ZK_OTHER;
    }
}

static enum err err_in_multi(int code)
{
    return code == ZRUNTIMEINCONSISTENCY ? ERR_ZK_SKIPPED : err_from_code(code);
}

static void read_stat(const struct Stat *from, struct zk_stat *to)
{
    if (from != NULL)
        *to = (struct zk_stat){
            .czxid = from->czxid,
            .mzxid = from->mzxid,
            .pzxid = from->pzxid,
            .ctime = from->ctime,
            .mtime = from->mtime,
            .version = from->version,
            .cversion = from->cversion,
            .aversion = from->aversion,
            .ephemeral_owner = from->ephemeralOwner,
            .data_len = from->dataLength,
            .child_count = from->numChildren,
        };
}

static void free_flight(struct flight *flight)
{
    for (int i = 0; flight->created != NULL && i < flight->count; i++)
        free(flight->created[i]);
    free(flight->created);
    free(flight->stats);
    free(flight->results);
    free(flight->ops);
    free(flight);
}

static void answer(struct flight *flight, enum err err, struct zk_result *results, int count)
{
    struct zk_session *session = flight->session;
    struct zk_request *request = flight->request;

    list_remove(&flight->node);
    if (session->handlers != NULL && !session->is_over)
        session->handlers->answer(session->owner, request, err, results, count);
    free_flight(flight);
}

static void answer_one(const void *data, int code, struct zk_result *result)
{
    struct flight *flight = (struct flight *)data;

    result->err = err_from_code(code);
    answer(flight, result->err, result, 1);
}

static void void_done(int code, const void *data)
{
    answer_one(data, code, &(struct zk_result){0});
}

static void stat_done(int code, const struct Stat *stat, const void *data)
{
    struct zk_result result = {0};

    read_stat(stat, &result.stat);
    answer_one(data, code, &result);
}

static void data_done(int code, const char *value, int len, const struct Stat *stat,
                      const void *data)
{
    struct zk_result result = {0};

    if (code == ZOK && len >= 0) result.data = slice_of(value == NULL ? "" : value, (size_t)len);
    read_stat(stat, &result.stat);
    answer_one(data, code, &result);
}

static void children_done(int code, const struct String_vector *strings, const struct Stat *stat,
                          const void *data)
{
    struct zk_result result = {0};
    int count = code == ZOK && strings != NULL ? strings->count : 0;
    struct slice *children = ensure_malloc((size_t)count * sizeof(*children) + 1);

    for (int i = 0; i < count; i++)
        children[i] = slice_text(strings->data[i]);
    result.children = children;
    result.child_count = count;
    read_stat(stat, &result.stat);
    answer_one(data, code, &result);
    free(children);
}

static void string_stat_done(int code, const char *path, const struct Stat *stat, const void *data)
{
    struct zk_result result = {.created = code == ZOK ? slice_text(path) : SLICE_NULL};

    read_stat(stat, &result.stat);
    answer_one(data, code, &result);
}

static void string_done(int code, const char *path, const void *data)
{
    (void)path;
    void_done(code, data);
}

static void multi_done(int code, const void *data)
{
    struct flight *flight = (struct flight *)data;
    enum err err = err_from_code(code);
    int count = err == ERR_ZK_LOSS || err == ERR_ZK_EXPIRED ? 0 : flight->count;
    struct zk_result *results = ensure_zalloc((size_t)flight->count * sizeof(*results));

    for (int i = 0; i < count; i++) {
        results[i].err = err_in_multi(flight->results[i].err);
        if (code == ZOK && flight->created[i] != NULL)
            results[i].created = slice_text(flight->created[i]);
        if (code == ZOK && flight->request->ops[i].kind == ZK_SET)
            read_stat(&flight->stats[i], &results[i].stat);
    }
    answer(flight, err, results, count);
    free(results);
}

/* ---- requests */

/* The library wants a pointer, and −1 for null. */
static const char *data_of(const struct zk_op *op)
{
    return (const char *)op->data.ptr;
}

static int data_len_of(const struct zk_op *op)
{
    return slice_is_null(op->data) ? -1 : (int)op->data.len;
}

static int mode_of(const struct zk_op *op)
{
    if (op->is_ephemeral) return op->is_sequential ? ZOO_EPHEMERAL_SEQUENTIAL : ZOO_EPHEMERAL;
    return op->is_sequential ? ZOO_PERSISTENT_SEQUENTIAL : ZOO_PERSISTENT;
}

struct acl_room {
    struct ACL entries[2];
    struct ACL_vector vector;
};

/* Serialised by the library before its call returns. */
static const struct ACL_vector *acl_of(const struct zk_op *op, struct acl_room *room)
{
    if (op->acl == ZK_ACL_CREATOR) return &ZOO_CREATOR_ALL_ACL;
    if (op->acl != ZK_ACL_CREATOR_AND_READ) return &ZOO_OPEN_ACL_UNSAFE;
    room->entries[0] = (struct ACL){.perms = ZOO_PERM_ALL, .id = ZOO_AUTH_IDS};
    room->entries[1] = (struct ACL){.perms = ZOO_PERM_READ, .id = ZOO_ANYONE_ID_UNSAFE};
    room->vector = (struct ACL_vector){.count = 2, .data = room->entries};
    return &room->vector;
}

static int give_multi(zhandle_t *handle, struct flight *flight)
{
    size_t count = (size_t)flight->count;
    struct acl_room room;

    flight->ops = ensure_zalloc(count * sizeof(*flight->ops));
    flight->results = ensure_zalloc(count * sizeof(*flight->results));
    flight->stats = ensure_zalloc(count * sizeof(*flight->stats));
    flight->created = ensure_zalloc(count * sizeof(*flight->created));
    for (size_t i = 0; i < count; i++) {
        const struct zk_op *op = &flight->request->ops[i];
        const char *path = (const char *)op->path.ptr;
        if (op->kind == ZK_CREATE) {
            size_t len = op->path.len + 16; /* with a sequence number */
            flight->created[i] = ensure_zalloc(len);
            /* `room` serves all ops: those that need it want the same. */
            zoo_create_op_init(&flight->ops[i], path, data_of(op), data_len_of(op),
                               acl_of(op, &room), mode_of(op), flight->created[i], (int)len);
        } else if (op->kind == ZK_SET) {
            zoo_set_op_init(&flight->ops[i], path, data_of(op), data_len_of(op), op->version,
                            &flight->stats[i]);
        } else if (op->kind == ZK_DELETE) {
            zoo_delete_op_init(&flight->ops[i], path, op->version);
        } else {
            zoo_check_op_init(&flight->ops[i], path, op->version);
        }
    }
    return zoo_amulti(handle, flight->count, flight->ops, flight->results, multi_done, flight);
}

static int give_one(zhandle_t *handle, struct flight *flight)
{
    const struct zk_op *op = flight->request->ops;
    const char *path = (const char *)op->path.ptr;
    struct acl_room room;

    switch (op->kind) {
    case ZK_GET:
        return zoo_aget(handle, path, op->watch, data_done, flight);
    case ZK_EXISTS:
        return zoo_aexists(handle, path, op->watch, stat_done, flight);
    case ZK_CHILDREN:
        return zoo_aget_children2(handle, path, op->watch, children_done, flight);
    case ZK_CREATE:
        return zoo_acreate2(handle, path, data_of(op), data_len_of(op), acl_of(op, &room),
                            mode_of(op), string_stat_done, flight);
    case ZK_SET:
        return zoo_aset(handle, path, data_of(op), data_len_of(op), op->version, stat_done, flight);
    case ZK_DELETE:
        return zoo_adelete(handle, path, op->version, void_done, flight);
    case ZK_SYNC:
        return zoo_async(handle, path, string_done, flight);
    case ZK_CHECK:
        break; /* of a multi */
    }
    return ZBADARGUMENTS;
}

static bool library_is_connected(const struct zk_session *session)
{
    return session->handle != NULL && zoo_state(session->handle) == ZOO_CONNECTED_STATE;
}

/* ---- closing */

static void destroy(struct zk_session *session)
{
    struct list_node *node;

    timer_cancel(session->shard, &session->timer);
    shard_unpost(&session->giving);
    net_posix_unwatch(&session->watch);
    if (session->resolution != NULL) session->resolution->session = NULL;
    if (session->handle != NULL) {
        session->depth++;
        zookeeper_close(session->handle); /* ends what flies, unheard */
        session->depth--;
    }
    while ((node = list_pop(&session->requests)) != NULL)
        free_flight(list_entry(node, struct flight, node));
    while ((node = list_pop(&session->flights)) != NULL)
        free_flight(list_entry(node, struct flight, node));
    free(session->servers);
    free(session->digest);
    free(session);
}

static void enter(struct zk_session *session)
{
    session->depth++;
}

/* False: the session is no more. */
static bool leave(struct zk_session *session)
{
    session->depth--;
    if (session->depth > 0 || !session->is_close_wanted) return true;
    destroy(session);
    return false;
}

static void session_close(struct zk_session *session)
{
    session->handlers = NULL;
    session->is_close_wanted = true;
    enter(session);
    (void)leave(session);
}

/* ---- the loop */

static void arm(struct zk_session *session, int64_t ms)
{
    struct instant now = env_now(session->shard->env);

    timer_arm(session->shard, &session->timer, instant_add_ms(now, ms));
}

/* How long a server may take to let us in. */
static int64_t attempt_ms(const struct zk_session *session)
{
    int64_t whole = session->timeout_ms * 2 / 3;
    int64_t share = whole / session->addresses.count;

    return share < ATTEMPT_MS_MIN ? ATTEMPT_MS_MIN : share;
}

/* Makes the library fail its connection, so that all it has is answered as lost. */
static void fail_connection(struct zk_session *session)
{
    for (int i = 0; i < 3 && session->fd >= 0 && !session->is_over; i++) {
        shutdown(session->fd, SHUT_RDWR);
        if (zookeeper_process(session->handle, ZOOKEEPER_WRITE | ZOOKEEPER_READ) != ZOK) break;
    }
    net_posix_unwatch(&session->watch);
    session->fd = -1;
}

/* The library lost its connection in a zoo_a… call, see the top. Its queues are emptied by a
 * connection that fails. */
static void recover_queues(struct zk_session *session)
{
    struct timeval wait;
    int interest = 0, code = ZOK;

    log_debug("zk", "send_failed", "session=0x%llx", (unsigned long long)session_id(session));
    net_posix_unwatch(&session->watch);
    session->fd = -1;
    for (int i = 0; i < 3 && session->fd < 0 && code == ZOK; i++)
        code = zookeeper_interest(session->handle, &session->fd, &interest, &wait);
    if (code != ZOK) session->fd = -1; /* it failed by itself */
    fail_connection(session);
    if (session->is_connected) tell(session, ZK_SESSION_DISCONNECTED);
}

/* After an error of the library. Nearly always it has closed its connection and said so; but when
 * it cannot send a ping it has done neither. */
static void connection_failed(struct zk_session *session)
{
    if (session->is_connected) fail_connection(session);
    if (session->is_connected && !session->is_over) recover_queues(session);
    net_posix_unwatch(&session->watch);
    session->fd = -1;
}

static void give(struct post *post)
{
    struct zk_session *session = list_entry(post, struct zk_session, giving);
    struct list_node *node;

    enter(session);
    while (!session->is_close_wanted && (node = list_pop(&session->requests)) != NULL) {
        struct flight *flight = list_entry(node, struct flight, node);
        list_push(&session->flights, &flight->node);
        if (!library_is_connected(session)) {
            answer(flight, ERR_ZK_LOSS, NULL, 0);
            continue;
        }
        int code = flight->request->is_multi ? give_multi(session->handle, flight)
                                             : give_one(session->handle, flight);
        if (code != ZOK) answer_one(flight, code, &(struct zk_result){0});
        if (!library_is_connected(session) && session->is_connected) recover_queues(session);
    }
    drive(session);
    (void)leave(session);
}

static void open_handle(struct zk_session *session)
{
    const char *address = session->addresses.text[session->address];

    session->handle = zookeeper_init2(address, library_event, session->timeout_ms, NULL, session,
                                      ZOO_NO_LOG_CLIENTENV, library_log);
    if (session->handle == NULL) return;
    zoo_set_servers_resolution_delay(session->handle, -1);
    if (session->digest != NULL)
        zoo_add_auth(session->handle, "digest", session->digest, (int)strlen(session->digest), NULL,
                     NULL);
}

/* The library takes two addresses that differ in their port only for the same (as on loopback): one
 * of another host in between, which is never connected to, makes it look. */
static void set_server(struct zk_session *session)
{
    zoo_set_servers(session->handle, "192.0.2.1:1");
    zoo_set_servers(session->handle, session->addresses.text[session->address]);
}

/* The next server, when there is no connection. False: not now, `timer` is armed. */
static bool choose_server(struct zk_session *session)
{
    if (session->addresses.count == 0) {
        resolve(session);
        if (session->addresses.count == 0) {
            arm(session, RESOLVE_MS);
            return false;
        }
    }
    if (session->is_paused) return false;
    if (session->tried >= session->addresses.count) {
        session->tried = 0;
        session->is_paused = true;
        arm(session, session->pause_ms);
        session->pause_ms =
            session->pause_ms * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : session->pause_ms * 2;
        if (session->has_names) resolve(session);
        return false;
    }
    session->address = (session->address + 1) % session->addresses.count;
    session->tried++;
    if (session->handle == NULL)
        open_handle(session);
    else if (session->addresses.count > 1 || session->has_names)
        set_server(session);
    if (session->handle == NULL) {
        log_warn("zk", "client", "err=%s", err_name(ERR_IO));
        arm(session, RESOLVE_MS);
        return false;
    }
    session->attempt_ends = instant_add_ms(env_now(session->shard->env), attempt_ms(session));
    return true;
}

/* Asks the library what it waits for. False: it has no connection, nor tries one. */
static bool wait_for_library(struct zk_session *session)
{
    struct timeval wait = {0};
    int interest = 0, code = ZOK;

    session->fd = -1;
    /* After a failure its first answer is to pause: the pauses are ours. */
    for (int i = 0; i < 2 && session->fd < 0 && code == ZOK; i++)
        code = zookeeper_interest(session->handle, &session->fd, &interest, &wait);
    if (session->is_over || session->is_close_wanted) return true;
    if (code == ZINVALIDSTATE) {
        tell(session, ZK_SESSION_DEAD);
        return true;
    }
    if (code != ZOK || session->fd < 0) {
        connection_failed(session);
        return false;
    }
    (void)fcntl(session->fd, F_SETFD, FD_CLOEXEC); /* the library forgets that */
    unsigned events = NET_READABLE | ((interest & ZOOKEEPER_WRITE) != 0 ? NET_WRITABLE : 0u);
    if (net_posix_watch(session->shard->net, &session->watch, session->fd, events) != ERR_OK) {
        fail_connection(session);
        return false;
    }
    int64_t ms = (int64_t)wait.tv_sec * 1000 + wait.tv_usec / 1000;
    struct instant now = env_now(session->shard->env);
    struct instant due = instant_add_ms(now, ms < 1 ? 1 : ms);
    if (!session->is_connected && session->addresses.count > 1)
        due = instant_min(due, session->attempt_ends);
    timer_arm(session->shard, &session->timer, due);
    return true;
}

/* Brings the library to where it waits for its descriptor or a timer. */
static void drive(struct zk_session *session)
{
    enter(session);
    while (!session->is_over && !session->is_close_wanted) {
        bool is_idle = session->handle == NULL || session->fd < 0;
        if (is_idle && !choose_server(session)) break;
        if (wait_for_library(session)) break;
    }
    if (session->is_over) {
        timer_cancel(session->shard, &session->timer);
        net_posix_unwatch(&session->watch);
    }
    (void)leave(session);
}

static void process(struct zk_session *session, int events)
{
    int code = ZOK;

    for (int i = 0; i < READS_PER_TURN && code == ZOK && !session->is_over; i++) {
        if (session->is_close_wanted) return;
        code = zookeeper_process(session->handle, events);
        events = ZOOKEEPER_READ;
    }
    if (code != ZOK && code != ZNOTHING) connection_failed(session);
}

static void watch_ready(struct net_watch *watch, unsigned ready)
{
    struct zk_session *session = list_entry(watch, struct zk_session, watch);
    int events = 0;

    if ((ready & NET_FAILED) != 0)
        ready |= NET_READABLE | NET_WRITABLE; /* it finds out by using it */
    if ((ready & NET_READABLE) != 0) events |= ZOOKEEPER_READ;
    if ((ready & NET_WRITABLE) != 0) events |= ZOOKEEPER_WRITE;
    enter(session);
    process(session, events);
    drive(session);
    (void)leave(session);
}

static void timer_fire(struct timer *timer)
{
    struct zk_session *session = list_entry(timer, struct zk_session, timer);

    enter(session);
    session->is_paused = false;
    if (session->fd >= 0 && !session->is_connected && session->addresses.count > 1 &&
        instant_reached(env_now(session->shard->env), session->attempt_ends))
        fail_connection(session);
    drive(session);
    (void)leave(session);
}

/* ---- the table */

static enum err session_open(void *world, struct shard *shard,
                             const struct zk_session_options *options,
                             const struct zk_session_handlers *handlers, void *owner,
                             struct zk_session **out)
{
    struct zk_session *session = ensure_zalloc(sizeof(*session));

    (void)world;
    set_library_level();
    session->shard = shard;
    session->handlers = handlers;
    session->owner = owner;
    session->servers = ensure_strdup(options->servers);
    session->digest = options->digest == NULL ? NULL : ensure_strdup(options->digest);
    session->timeout_ms = options->session_timeout_ms;
    session->pause_ms = PAUSE_MS_MIN;
    session->fd = -1;
    session->watch.ready = watch_ready;
    session->timer.fire = timer_fire;
    session->giving.run = give;
    list_init(&session->requests);
    list_init(&session->flights);

    session->has_names = look_up(session->servers, AI_NUMERICHOST, &session->addresses) > 0;
    if (session->has_names)
        session->addresses.count = 0; /* all together, when the names are known */
    else
        shuffle(shard->env, &session->addresses);
    session->address = session->addresses.count - 1;
    shard_post(shard, &session->giving); /* begins with the next turn */
    *out = session;
    return ERR_OK;
}

static void session_submit(struct zk_session *session, struct zk_request *request)
{
    struct flight *flight = ensure_zalloc(sizeof(*flight));

    flight->session = session;
    flight->request = request;
    flight->count = request->count;
    list_push(&session->requests, &flight->node);
    shard_post(session->shard, &session->giving);
}

static int64_t session_id(const struct zk_session *session)
{
    return session->handle == NULL ? 0 : zoo_client_id(session->handle)->client_id;
}

static int32_t session_timeout_ms(const struct zk_session *session)
{
    return session->handle == NULL ? 0 : zoo_recv_timeout(session->handle);
}

const struct zk_ops zookeeper_ops = {
    .open = session_open,
    .close = session_close,
    .submit = session_submit,
    .id = session_id,
    .timeout_ms = session_timeout_ms,
};
