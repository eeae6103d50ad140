/* runtime/zk_ops.h - a ZooKeeper client as the world gives it: the seam below zk/zk.c.
 *
 * env_zookeeper.c has the real one, the simulator its model of an ensemble. Above zk/ nothing calls
 * this.
 *
 * A session here is one handle of the client: it finds a server, resumes its session after a lost
 * connection for as long as the ensemble keeps it, and is of no use once it has said
 * ZK_SESSION_EXPIRED or ZK_SESSION_DEAD. Handlers are called on the shard, from its sockets, timers
 * or posts: never inside a call made here. Requests are executed, and answered, in the order of
 * submission; the event of a watch comes before any answer that shows the new state. Every request
 * is answered once, but that `close` forgets those that are unanswered. */
#pragma once
#include "base/slice.h"

struct shard;

enum zk_kind {
    ZK_GET,      /* data, stat */
    ZK_EXISTS,   /* stat; ERR_NOT_FOUND when absent (a watch is armed all the same) */
    ZK_CHILDREN, /* names in byte order, stat */
    ZK_CREATE,   /* created path (of a sequential node), stat */
    ZK_SET,      /* stat */
    ZK_DELETE,
    ZK_CHECK, /* in a multi only */
    ZK_SYNC,  /* what follows sees at least what any client was told before */
};

#define ZK_ANY_VERSION (-1)

/* Who may do what with a node that is created. */
enum zk_acl {
    ZK_ACL_BY_PATH, /* as zookeeper.set.acl and the path say (zk/paths.h); not in a request */
    ZK_ACL_OPEN,    /* world: all */
    ZK_ACL_CREATOR, /* creator: all */
    ZK_ACL_CREATOR_AND_READ, /* creator: all, world: read */
};

struct zk_op {
    enum zk_kind kind;
    struct slice path;                /* zk.h: without the chroot */
    struct slice data;                /* create, set; null is ZooKeeper's null */
    int32_t version;                  /* set, delete, check; ZK_ANY_VERSION */
    bool is_ephemeral, is_sequential; /* create */
    enum zk_acl acl;                  /* create */
    bool watch;                       /* get, exists, children */
};

struct zk_stat {
    int64_t czxid, mzxid, pzxid;
    int64_t ctime, mtime;
    int32_t version, cversion, aversion;
    int64_t ephemeral_owner;
    int32_t data_len, child_count;
};

/* Of one op. Borrowed from the room until `done` returns. */
struct zk_result {
    enum err err; /* ERR_OK, ERR_NOT_FOUND, ERR_EXISTS, ERR_ZK_… */
    struct slice data;
    struct slice created;
    struct zk_stat stat;
    struct slice *children;
    int child_count;
};

enum zk_event_type {
    ZK_CONNECTED,    /* the first time, or the same session again */
    ZK_DISCONNECTED, /* nothing is lost yet */
    ZK_EXPIRED,      /* session, ephemerals, watches are gone; all calls have been answered */
    ZK_NEW_SESSION,  /* after ZK_EXPIRED: connected with a new session */
    ZK_AUTH_FAILED,
    ZK_NODE_CREATED,
    ZK_NODE_DELETED,
    ZK_NODE_CHANGED,
    ZK_NODE_CHILDREN,
};

struct zk_session;

enum zk_session_state {
    ZK_SESSION_CONNECTED,    /* first or again: the session's id is known */
    ZK_SESSION_DISCONNECTED, /* unanswered requests have been answered ERR_ZK_LOSS, or will be */
    ZK_SESSION_EXPIRED,      /* over; requests are answered ERR_ZK_EXPIRED */
    ZK_SESSION_DEAD,         /* the handle is of no use for another reason: make a new one */
    ZK_SESSION_AUTH_FAILED,  /* over: the credentials were refused */
};

/* Full paths (chroot in front), each with a NUL behind it; `acl` is decided. Borrowed until the
 * answer. */
struct zk_request {
    const struct zk_op *ops;
    int count; /* 1, unless is_multi */
    bool is_multi;
};

struct zk_session_handlers {
    void (*state)(void *owner, enum zk_session_state state);
    /* ZK_NODE_…; full path */
    void (*watch)(void *owner, enum zk_event_type type, struct slice path);
    /* As `done` of zk_call, but children are in any order and paths whole: zk.c puts right what it
     * is lent. ERR_ZK_LOSS: it may have happened. */
    void (*answer)(void *owner, struct zk_request *request, enum err err, struct zk_result *results,
                   int count);
};

struct zk_session_options {
    const char *servers; /* h1:p1,h2:p2 without chroot */
    int32_t session_timeout_ms;
    const char *digest; /* user:password, or NULL */
};

struct zk_ops {
    /* Starts connecting. */
    enum err (*open)(void *world, struct shard *shard, const struct zk_session_options *options,
                     const struct zk_session_handlers *handlers, void *owner,
                     struct zk_session **out);
    /* Ends the session at the ensemble if it can, without waiting long. No handler is called any
     * more. Allowed inside a handler. */
    void (*close)(struct zk_session *session);
    /* While ZK_SESSION_CONNECTED was the last state told. */
    void (*submit)(struct zk_session *session, struct zk_request *request);
    int64_t (*id)(const struct zk_session *session);         /* 0: not connected so far */
    int32_t (*timeout_ms)(const struct zk_session *session); /* as negotiated; 0: not yet */
};
