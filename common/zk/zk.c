#include "zk/zk.h"
#include "base/ensure.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/text.h"
#include "zk/paths.h"
#include <stdlib.h>

#define REOPEN_MS   1000 /* between attempts to make a session, as Kafka waits */
#define REQUEST_MAX (4 * 1024 * 1024 + 64 * 1024)
/* What servers take unless their jute.maxbuffer was raised is 1 MiB; over it they cut the
 * connection without a word, at each resend. So much of it is what a request has around its paths
 * and data. */
#define REQUEST_PLAIN   (1024 * 1024 - 16 * 1024)
#define LOSSES_TO_DOUBT 3

enum readiness {
    ROOT_UNKNOWN, /* the chroot has not been looked for yet */
    ROOT_ASKED,
    ROOT_READY,
};

struct zk {
    struct shard *shard;
    void (*event)(void *owner, const struct zk_event *event);
    void *owner;
    char *servers; /* without the chroot */
    char *chroot;  /* NULL, or "/a/b" */
    char *digest;
    struct zk_session_options session_options;
    int in_flight_max;
    bool set_acl;

    struct zk_session *session; /* NULL: none now */
    int64_t session_id;         /* of `session`; 0 until connected */
    bool is_connected;
    bool was_expired;    /* and the new session is not there yet */
    uint64_t connection; /* counts comings and goings: to tell old requests from new */
    enum readiness root;
    struct zk_call root_call;
    int root_len; /* of the chroot: how much of it is known to be there */
    /* A write was lost: it may have been done, and the next server need not have heard of it. */
    bool must_sync;

    struct list waiting;   /* not sent yet */
    struct list again;     /* lost and to be resent; also what must come before all else */
    struct list in_flight; /* in the order of sending */
    struct list refused;   /* will not be sent: answered with the next turn */
    int in_flight_count;

    struct post pump;
    struct timer reopen;

    bool is_closing;
    void (*closed)(void *owner);
    void *closed_owner;
};

/* One submission: the caller's ops, copied, with whole paths. */
struct send {
    struct list_node node;
    struct zk_request request;
    struct zk_call *call;
    uint64_t connection; /* by which it was sent; 0: not yet */
    size_t bytes;        /* of paths and data */
    int losses;
    enum err refusal;
    struct zk_op ops[];
};

static void pump_run(struct post *post);
static void open_session(struct zk *zk);
static void reopen_fire(struct timer *timer);

/* ---- the connect string */

static bool is_path(struct slice path, bool is_sequential)
{
    size_t begin = 1; /* of the current component */

    if (path.len == 0 || path.ptr[0] != '/') return false;
    if (path.len == 1) return true;
    for (size_t i = 1; i <= path.len; i++) {
        bool at_end = i == path.len;
        if (!at_end && path.ptr[i] < 0x20) return false;
        if (!at_end && path.ptr[i] != '/') continue;
        struct slice part = slice_of(path.ptr + begin, i - begin);
        /* A sequential node's last part gets a number: it may be empty or a dot until then. */
        bool is_open = at_end && is_sequential;
        if (!is_open && (part.len == 0 || slice_is(part, ".") || slice_is(part, "..")))
            return false;
        begin = i + 1;
    }
    return true;
}

static bool are_servers(struct slice servers)
{
    struct slice rest = servers, each = SLICE_NULL;
    bool more = true;

    while (more) {
        more = slice_cut(&rest, ',', &each);
        if (!more) each = rest;
        size_t colon = each.len;
        while (colon > 0 && each.ptr[colon - 1] != ':')
            colon--;
        if (colon < 2 || colon == each.len) return false;
        int64_t port = 0;
        for (size_t i = colon; i < each.len; i++) {
            if (each.ptr[i] < '0' || each.ptr[i] > '9' || port > UINT16_MAX) return false;
            port = port * 10 + (each.ptr[i] - '0');
        }
        if (port < 1 || port > UINT16_MAX) return false;
    }
    return true;
}

/* Servers without a port have 2181, as in Kafka's client. */
static char *with_ports(struct slice servers)
{
    struct slice rest = servers, each = SLICE_NULL;
    struct buf text;
    bool more = true, is_first = true;

    buf_init(&text);
    while (more) {
        more = slice_cut(&rest, ',', &each);
        if (!more) each = rest;
        each = text_trim(each);
        if (!is_first) buf_add_text(&text, ",");
        is_first = false;
        buf_add_slice(&text, each);
        bool has_port = each.len > 0 && memchr(each.ptr, ':', each.len) != NULL;
        if (each.len > 0 && (!has_port || each.ptr[each.len - 1] == ']'))
            buf_add_text(&text, ":2181");
    }
    char *result = ensure_strndup(text.ptr, text.len);
    buf_fini(&text);
    return result;
}

static enum err parse_connect(struct zk *zk, const char *connect)
{
    const char *slash = strchr(connect, '/');
    size_t len = slash == NULL ? strlen(connect) : (size_t)(slash - connect);
    struct slice root = slash == NULL ? SLICE("/") : slice_text(slash);

    zk->servers = with_ports(slice_of(connect, len));
    if (!are_servers(slice_text(zk->servers))) return ERR_INVALID;
    if (root.len > 1 && root.ptr[root.len - 1] == '/') root.len--;
    if (!is_path(root, false)) return ERR_INVALID;
    if (root.len > 1) zk->chroot = ensure_strndup(root.ptr, root.len);
    return ERR_OK;
}

/* ---- open and close */

static void destroy(struct zk *zk)
{
    free(zk->servers);
    free(zk->chroot);
    free(zk->digest);
    free(zk);
}

enum err zk_open(struct shard *shard, const struct zk_options *options,
                 void (*event)(void *owner, const struct zk_event *event), void *owner,
                 struct zk **out)
{
    struct zk *zk = ensure_zalloc(sizeof(*zk));

    zk->shard = shard;
    zk->event = event;
    zk->owner = owner;
    zk->in_flight_max = options->in_flight_max < 1 ? 1 : options->in_flight_max;
    zk->set_acl = options->set_acl;
    list_init(&zk->waiting);
    list_init(&zk->again);
    list_init(&zk->in_flight);
    list_init(&zk->refused);
    zk->pump.run = pump_run;
    zk->reopen.fire = reopen_fire;

    enum err err = parse_connect(zk, options->connect);
    if (err != ERR_OK) {
        destroy(zk);
        return err;
    }
    zk->root = zk->chroot == NULL ? ROOT_READY : ROOT_UNKNOWN;
    zk->digest = options->digest == NULL ? NULL : ensure_strdup(options->digest);
    zk->session_options = (struct zk_session_options){
        .servers = zk->servers,
        .session_timeout_ms = options->session_timeout_ms,
        .digest = zk->digest,
    };
    open_session(zk);
    *out = zk;
    return ERR_OK;
}

static const struct zk_ops *ops_of(const struct zk *zk)
{
    return zk->shard->env->ops->zk;
}

static void drop_session(struct zk *zk)
{
    if (zk->session != NULL) ops_of(zk)->close(zk->session);
    zk->session = NULL;
    zk->session_id = 0;
    zk->is_connected = false;
    zk->must_sync = false; /* a new session begins behind all that there was */
}

void zk_close(struct zk **zk_at, void (*closed)(void *owner), void *owner)
{
    struct zk *zk = *zk_at;

    *zk_at = NULL;
    if (zk == NULL) return;
    ensure(!zk->is_closing);
    zk->is_closing = true;
    zk->closed = closed;
    zk->closed_owner = owner;
    timer_cancel(zk->shard, &zk->reopen);
    drop_session(zk);
    shard_post(zk->shard, &zk->pump);
}

bool zk_is_connected(const struct zk *zk)
{
    return zk->is_connected;
}

struct shard *zk_shard(const struct zk *zk)
{
    return zk->shard;
}

int64_t zk_session_id(const struct zk *zk)
{
    return zk->session_id;
}

/* ---- submission */

static size_t copy_bytes(uint8_t **at, struct slice from)
{
    if (from.len > 0) memcpy(*at, from.ptr, from.len);
    *at += from.len;
    return from.len;
}

/* What of `chroot` stands before `path`: "/" below a chroot is the chroot itself. */
static struct slice whole_path(uint8_t **at, struct slice chroot, struct slice path)
{
    uint8_t *begin = *at;
    size_t len = copy_bytes(at, chroot);

    if (chroot.len == 0 || path.len != 1) len += copy_bytes(at, path);
    *(*at)++ = '\0';
    return slice_of(begin, len);
}

static enum err check_op(const struct zk_op *op, int count)
{
    bool in_multi = count > 1 || op->kind == ZK_CHECK;

    if (slice_is_null(op->path) || !is_path(op->path, op->is_sequential)) return ERR_INVALID;
    switch (op->kind) {
    case ZK_GET:
    case ZK_EXISTS:
    case ZK_CHILDREN:
    case ZK_SYNC:
        return in_multi ? ERR_INVALID : ERR_OK;
    case ZK_CREATE:
    case ZK_SET:
    case ZK_DELETE:
    case ZK_CHECK:
        return ERR_OK;
    }
    return ERR_INVALID;
}

static struct send *make_send(const struct zk *zk, struct slice chroot, struct zk_call *call,
                              const struct zk_op *ops, int count)
{
    size_t bytes = 0;
    enum err refusal = count < 1 ? ERR_INVALID : ERR_OK;

    for (int i = 0; i < count; i++) {
        bytes += chroot.len + ops[i].path.len + 1 + ops[i].data.len;
        if (refusal == ERR_OK) refusal = check_op(&ops[i], count);
    }
    if (refusal == ERR_OK && bytes > REQUEST_MAX)
        refusal = ERR_TOO_LARGE; /* servers cut the connection for it, and would at each resend */
    if (refusal != ERR_OK) count = 0, bytes = 0;

    size_t ops_size = (size_t)count * sizeof(struct zk_op);
    struct send *send = ensure_zalloc(sizeof(*send) + ops_size + bytes);
    uint8_t *at = (uint8_t *)send->ops + ops_size;

    for (int i = 0; i < count; i++) {
        struct zk_op *op = &send->ops[i];
        *op = ops[i];
        op->path = whole_path(&at, chroot, ops[i].path);
        if (!slice_is_null(ops[i].data)) {
            op->data = slice_of(at, ops[i].data.len);
            copy_bytes(&at, ops[i].data);
        }
        if (op->acl == ZK_ACL_BY_PATH) op->acl = zk->set_acl ? path_acl(ops[i].path) : ZK_ACL_OPEN;
    }
    send->request.ops = send->ops;
    send->request.count = count;
    send->request.is_multi = count > 1 || (count == 1 && send->ops[0].kind == ZK_CHECK);
    send->call = call;
    send->bytes = bytes;
    send->refusal = refusal;
    call->sent = send;
    call->resent = false;
    return send;
}

void zk_submit(struct zk *zk, struct zk_call *call, const struct zk_op *ops, int count)
{
    struct slice chroot = zk->chroot == NULL ? SLICE("") : slice_text(zk->chroot);
    struct send *send = make_send(zk, chroot, call, ops, count);

    if (send->refusal == ERR_OK && !call->retry_loss && !zk->is_connected)
        send->refusal = ERR_ZK_LOSS;
    list_push(send->refusal == ERR_OK ? &zk->waiting : &zk->refused, &send->node);
    shard_post(zk->shard, &zk->pump);
}

/* The connection is gone: what is for now or never is not sent by the next one. */
static void refuse_late(struct zk *zk)
{
    list_each (node, &zk->waiting) {
        struct send *send = list_entry(node, struct send, node);

        if (send->call->retry_loss) continue;
        list_remove(node);
        send->refusal = ERR_ZK_LOSS;
        list_push(&zk->refused, node);
    }
    shard_post(zk->shard, &zk->pump);
}

/* ---- answers */

/* Ends a send that is on no list. */
static void finish(struct send *send, enum err err, const struct zk_result *results, int count)
{
    struct zk_call *call = send->call;

    call->sent = NULL;
    call->done(call, err, results, count); /* the call may be gone behind this */
    free(send);
}

static void finish_all(struct list *list, enum err err)
{
    struct list_node *node;

    while ((node = list_pop(list)) != NULL)
        finish(list_entry(node, struct send, node), err, NULL, 0);
}

/* Moves all of `from` behind what is in `to`. */
static void take_all(struct list *to, struct list *from)
{
    struct list_node *node;

    while ((node = list_pop(from)) != NULL)
        list_push(to, node);
}

/* Requests of an earlier connection have not all been told as lost: what is sent now would overtake
 * those of them that are sent again. */
static bool has_old_requests(const struct zk *zk)
{
    struct list_node *node = list_first(&zk->in_flight);

    return node != NULL && list_entry(node, struct send, node)->connection != zk->connection;
}

/* Ends everything unanswered, in the order of submission. What `done` functions submit meanwhile is
 * not of it. */
static void finish_everything(struct zk *zk, enum err err)
{
    struct list ended;

    list_init(&ended);
    if (has_old_requests(zk)) take_all(&ended, &zk->again); /* lost from before these */
    take_all(&ended, &zk->in_flight);
    take_all(&ended, &zk->again);
    take_all(&ended, &zk->waiting);
    zk->in_flight_count = 0;
    finish_all(&ended, err);
}

static void answer_refused(struct zk *zk)
{
    struct list refused;
    struct list_node *node;

    list_init(&refused);
    take_all(&refused, &zk->refused);
    while ((node = list_pop(&refused)) != NULL) {
        struct send *send = list_entry(node, struct send, node);
        finish(send, send->refusal, NULL, 0);
    }
}

/* The part of a whole path that the owner knows. False: not below the chroot. */
static bool strip_chroot(const struct zk *zk, struct slice *path)
{
    struct slice root = zk->chroot == NULL ? SLICE("") : slice_text(zk->chroot);

    if (root.len == 0) return true;
    if (slice_equal(*path, root)) {
        *path = SLICE("/");
        return true;
    }
    if (!slice_starts_with(*path, root) || path->ptr[root.len] != '/') return false;
    *path = slice_of(path->ptr + root.len, path->len - root.len);
    return true;
}

static int by_name(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static void put_right(const struct zk *zk, struct zk_result *result)
{
    if (result->created.len > 0 && !strip_chroot(zk, &result->created))
        result->created = SLICE_NULL;
    if (result->child_count > 1)
        qsort(result->children, (size_t)result->child_count, sizeof(*result->children), by_name);
}

/* Is it this request that the servers cut the connection for? */
static bool is_in_the_way(struct send *send)
{
    return send->bytes > REQUEST_PLAIN && ++send->losses >= LOSSES_TO_DOUBT;
}

static bool is_read(const struct send *send)
{
    enum zk_kind kind = send->ops[0].kind;

    return kind == ZK_GET || kind == ZK_EXISTS || kind == ZK_CHILDREN;
}

static void session_answer(void *owner, struct zk_request *request, enum err err,
                           struct zk_result *results, int count)
{
    struct zk *zk = owner;
    struct send *send = list_entry(request, struct send, request);

    list_remove(&send->node);
    zk->in_flight_count--;
    if (err == ERR_ZK_LOSS && !is_read(send)) zk->must_sync = true;
    if (err == ERR_ZK_LOSS && send->call->retry_loss && is_in_the_way(send)) {
        log_error("zk", "too-large", "path=%.*s bytes=%zu losses=%d", SLICE_ARGS(send->ops[0].path),
                  send->bytes, send->losses);
        finish(send, ERR_TOO_LARGE, NULL, 0);
    } else if (err == ERR_ZK_LOSS && send->call->retry_loss) {
        /* Losses are told in the order of sending: so is `again`. */
        list_push(&zk->again, &send->node);
    } else {
        bool is_over = err == ERR_ZK_LOSS || err == ERR_ZK_EXPIRED;
        for (int i = 0; i < count && !is_over; i++)
            put_right(zk, &results[i]);
        finish(send, err, is_over ? NULL : results, is_over ? 0 : count);
    }
    shard_post(zk->shard, &zk->pump);
}

/* ---- the pump: the one place where requests go out */

static struct send *next_to_send(struct zk *zk)
{
    struct list_node *node = list_first(&zk->again);

    if (node == NULL && zk->root == ROOT_READY) node = list_first(&zk->waiting);
    return node == NULL ? NULL : list_entry(node, struct send, node);
}

static void synced(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    (void)err, (void)results, (void)count; /* lost, it is sent again */
    free(call);
}

/* Servers answer a session's requests in order: what is read behind it shows what was lost. */
static struct send *make_sync(struct zk *zk)
{
    struct zk_call *call = ensure_zalloc(sizeof(*call));

    call->done = synced;
    zk->must_sync = false;
    return make_send(zk, SLICE(""), call, &(struct zk_op){.kind = ZK_SYNC, .path = SLICE("/")}, 1);
}

static void send_waiting(struct zk *zk)
{
    while (zk->is_connected && zk->in_flight_count < zk->in_flight_max && !has_old_requests(zk)) {
        bool is_sync = zk->must_sync;
        struct send *send = is_sync ? make_sync(zk) : next_to_send(zk);
        if (send == NULL) break;
        if (!is_sync) list_remove(&send->node);
        send->call->resent = send->connection != 0;
        send->connection = zk->connection;
        list_push(&zk->in_flight, &send->node);
        zk->in_flight_count++;
        ops_of(zk)->submit(zk->session, &send->request);
    }
}

static void pump_run(struct post *post)
{
    struct zk *zk = list_entry(post, struct zk, pump);

    if (zk->is_closing) {
        while (!list_is_empty(&zk->in_flight) || !list_is_empty(&zk->again) ||
               !list_is_empty(&zk->waiting))
            finish_everything(zk, ERR_CANCELLED);
        answer_refused(zk);
        if (zk->closed != NULL) zk->closed(zk->closed_owner);
        shard_unpost(&zk->pump); /* a last `done` may have posted it again */
        destroy(zk);
        return;
    }
    answer_refused(zk);
    if (!zk->is_closing) send_waiting(zk);
}

/* ---- the chroot: made before anything else is sent, once in the life of the process */

static void root_submit(struct zk *zk, const struct zk_op *op)
{
    struct send *send = make_send(zk, SLICE(""), &zk->root_call, op, 1);

    ensure(send->refusal == ERR_OK); /* the path was checked with the connect string */
    list_push(&zk->again, &send->node);
    shard_post(zk->shard, &zk->pump);
}

static void root_created(struct zk_call *call, enum err err, const struct zk_result *results,
                         int count);

/* Creates the next part of the chroot, or is done. */
static void root_create_next(struct zk *zk)
{
    struct slice whole = slice_text(zk->chroot);
    size_t end = (size_t)zk->root_len + 1;

    if ((size_t)zk->root_len == whole.len) {
        zk->root = ROOT_READY;
        shard_post(zk->shard, &zk->pump);
        return;
    }
    while (end < whole.len && whole.ptr[end] != '/')
        end++;
    zk->root_len = (int)end;
    zk->root_call = (struct zk_call){.done = root_created, .retry_loss = true};
    root_submit(zk, &(struct zk_op){.kind = ZK_CREATE, .path = slice_of(whole.ptr, end)});
}

static void root_failed(struct zk *zk, enum err err)
{
    zk->root = ROOT_UNKNOWN;
    if (err == ERR_ZK_EXPIRED || err == ERR_CANCELLED)
        return; /* the next session asks again, if there is one */
    log_error("zk", "chroot", "path=%s err=%s", zk->chroot, err_name(err));
    timer_arm(zk->shard, &zk->reopen, instant_add_ms(shard_now(zk->shard), REOPEN_MS));
}

static void root_created(struct zk_call *call, enum err err, const struct zk_result *results,
                         int count)
{
    struct zk *zk = list_entry(call, struct zk, root_call);

    (void)results, (void)count;
    if (err == ERR_OK || err == ERR_EXISTS)
        root_create_next(zk);
    else
        root_failed(zk, err);
}

static void root_looked(struct zk_call *call, enum err err, const struct zk_result *results,
                        int count)
{
    struct zk *zk = list_entry(call, struct zk, root_call);

    (void)results, (void)count;
    if (err == ERR_OK) zk->root_len = (int)strlen(zk->chroot);
    if (err == ERR_OK || err == ERR_NOT_FOUND)
        root_create_next(zk);
    else
        root_failed(zk, err);
}

static void root_look(struct zk *zk)
{
    zk->root = ROOT_ASKED;
    zk->root_len = 0;
    zk->root_call = (struct zk_call){.done = root_looked, .retry_loss = true};
    root_submit(zk, &(struct zk_op){.kind = ZK_EXISTS, .path = slice_text(zk->chroot)});
}

/* ---- sessions */

static void tell(struct zk *zk, enum zk_event_type type)
{
    struct zk_event event = {.type = type, .path = SLICE_NULL};

    if (!zk->is_closing) zk->event(zk->owner, &event);
}

static void session_connected(struct zk *zk)
{
    bool is_new = zk->was_expired;

    zk->session_id = ops_of(zk)->id(zk->session);
    zk->is_connected = true;
    zk->was_expired = false;
    zk->connection++;
    log_info("zk", "connected", "session=0x%llx timeout_ms=%d is_new=%d",
             (unsigned long long)zk->session_id, ops_of(zk)->timeout_ms(zk->session), is_new);
    if (zk->root == ROOT_UNKNOWN) root_look(zk);
    shard_post(zk->shard, &zk->pump);
    tell(zk, is_new ? ZK_NEW_SESSION : ZK_CONNECTED);
}

/* The session is over, for whatever reason: nothing of it is left when the owner hears of it. */
static void session_over(struct zk *zk, enum zk_session_state state)
{
    bool was_connected = zk->session_id != 0;
    bool is_auth = state == ZK_SESSION_AUTH_FAILED;

    log_warn("zk", is_auth ? "auth_failed" : "expired", "session=0x%llx",
             (unsigned long long)zk->session_id);
    drop_session(zk);
    /* Before anything is told: what is submitted meanwhile belongs to the session to come. */
    int64_t wait_ms = state == ZK_SESSION_EXPIRED ? 0 : REOPEN_MS;
    timer_arm(zk->shard, &zk->reopen, instant_add_ms(shard_now(zk->shard), wait_ms));
    if (was_connected) zk->was_expired = true;
    finish_everything(zk, is_auth ? ERR_ZK_AUTH : ERR_ZK_EXPIRED);
    if (is_auth) tell(zk, ZK_AUTH_FAILED);
    if (was_connected) tell(zk, ZK_EXPIRED);
}

static void session_state(void *owner, enum zk_session_state state)
{
    struct zk *zk = owner;

    switch (state) {
    case ZK_SESSION_CONNECTED:
        session_connected(zk);
        break;
    case ZK_SESSION_DISCONNECTED:
        if (!zk->is_connected) break;
        zk->is_connected = false;
        zk->connection++;
        log_warn("zk", "disconnected", "session=0x%llx", (unsigned long long)zk->session_id);
        refuse_late(zk);
        tell(zk, ZK_DISCONNECTED);
        break;
    case ZK_SESSION_EXPIRED:
    case ZK_SESSION_DEAD:
    case ZK_SESSION_AUTH_FAILED:
        session_over(zk, state);
        break;
    }
}

static void session_watch(void *owner, enum zk_event_type type, struct slice path)
{
    struct zk *zk = owner;
    struct zk_event event = {.type = type, .path = path};

    if (strip_chroot(zk, &event.path)) zk->event(zk->owner, &event);
}

static const struct zk_session_handlers handlers = {
    .state = session_state,
    .watch = session_watch,
    .answer = session_answer,
};

static void open_session(struct zk *zk)
{
    enum err err = ops_of(zk)->open(zk->shard->env->world, zk->shard, &zk->session_options,
                                    &handlers, zk, &zk->session);

    if (err != ERR_OK) {
        log_warn("zk", "open", "servers=%s err=%s", zk->servers, err_name(err));
        timer_arm(zk->shard, &zk->reopen, instant_add_ms(shard_now(zk->shard), REOPEN_MS));
    }
}

static void reopen_fire(struct timer *timer)
{
    struct zk *zk = list_entry(timer, struct zk, reopen);

    if (zk->session == NULL)
        open_session(zk);
    else if (zk->root == ROOT_UNKNOWN && zk->is_connected)
        root_look(zk);
}
