/* runtime/net.h - the sockets of one shard, and the wait for them.
 *
 * A handler is told what is possible and wanted (net_want), once per net_dispatch, until a call has
 * said "not now" (`*n` == 0) and then again when that has changed. Who stops earlier is told again
 * in the next turn: so a turn can bound what it does for one socket. Everything belongs to one
 * shard and is called on it, but net_wake. */
#pragma once
#include "runtime/env.h"
#include <sys/uio.h>

struct net;  /* one per shard */
struct sock; /* a listener or a connection */
struct file;

enum net_ready { NET_READABLE = 1, NET_WRITABLE = 2, NET_FAILED = 4 };

struct net_address {
    char host[256]; /* name or number; empty: all interfaces (listen) */
    uint16_t port;  /* listen: 0 takes a free one, see net_local_address */
};

struct net_options {
    int receive_buffer_bytes, send_buffer_bytes; /* −1: as the OS has it */
    int backlog;
};

/* What a socket tells its owner. Called from net_dispatch only. The socket may be destroyed inside.
 */
typedef void net_ready_function(void *owner, struct sock *sock, unsigned ready);

struct net_ops {
    enum err (*open)(void *world, struct net **out);
    void (*close)(struct net *net);
    void (*wait)(struct net *net, struct instant until);
    void (*dispatch)(struct net *net);
    void (*wake)(struct net *net);
    enum err (*listen)(struct net *net, const struct net_address *address,
                       const struct net_options *options, net_ready_function *ready, void *owner,
                       struct sock **out);
    enum err (*accept)(struct sock *listener, net_ready_function *ready, void *owner,
                       struct sock **out);
    enum err (*connect)(struct net *net, const struct net_address *address,
                        const struct net_options *options, net_ready_function *ready, void *owner,
                        struct sock **out);
    enum err (*failure)(struct sock *sock);
    void (*set_owner)(struct sock *sock, net_ready_function *ready, void *owner);
    enum err (*move)(struct sock *sock, struct net *to, struct slice unread);
    void (*destroy)(struct sock *sock);
    enum err (*read)(struct sock *sock, void *to, size_t len, size_t *n);
    enum err (*write)(struct sock *sock, const struct iovec *parts, int count, bool more,
                      size_t *n);
    enum err (*send_file)(struct sock *sock, struct file *file, uint64_t position, size_t len,
                          size_t *n);
    void (*shutdown)(struct sock *sock);
    void (*want)(struct sock *sock, unsigned ready);
    enum err (*local_address)(struct sock *sock, struct net_address *out);
    enum err (*peer_address)(struct sock *sock, struct net_address *out);
};

MUST_CHECK enum err net_open(const struct env *env, struct net **out);
void net_close(const struct env *env, struct net **net);

/* Waits until something is ready, net_wake was called, or `until`; one in the past only looks. */
void net_wait(const struct env *env, struct net *net, struct instant until);
/* Tells the owners what the wait has found, each at most once, within a bound per call. What is
 * left over makes the next net_wait return at once. (Two calls, so that the shard reads its clock
 * between.) */
void net_dispatch(const struct env *env, struct net *net);
/* Ends a wait, now or the next one. From any thread. */
void net_wake(const struct env *env, struct net *net);

/* Several shards may listen at the same address: the world spreads connections over them.
 * ERR_BUSY (address in use), ERR_UNREACHABLE (no such interface), ERR_DENIED. */
MUST_CHECK enum err net_listen(const struct env *env, struct net *net,
                               const struct net_address *address, const struct net_options *options,
                               net_ready_function *ready, void *owner, struct sock **out);
/* `*out` is NULL when none waits. ERR_TOO_MANY without descriptors: nothing is lost, try later. */
MUST_CHECK enum err net_accept(const struct env *env, struct sock *listener,
                               net_ready_function *ready, void *owner, struct sock **out);
/* Starts. NET_WRITABLE says it stands, NET_FAILED that it does not (net_failure tells why:
 * ERR_REFUSED, ERR_UNREACHABLE, ERR_TIMED_OUT, ERR_NOT_FOUND for a name without address). Names are
 * resolved without blocking the shard. */
MUST_CHECK enum err net_connect(const struct env *env, struct net *net,
                                const struct net_address *address,
                                const struct net_options *options, net_ready_function *ready,
                                void *owner, struct sock **out);
enum err net_failure(const struct env *env, struct sock *sock);
/* Gives an accepted connection to another shard that listens at the same address: it is accepted
 * there anew, and `unread` (copied), which was read here, is read there before what follows. Takes
 * `*sock`, as net_destroy; but ERR_NOT_FOUND, and nothing changes, when `to` does not listen there
 * (any more), or the connection was not accepted. */
MUST_CHECK enum err net_move(const struct env *env, struct sock **sock, struct net *to,
                             struct slice unread);
/* Closes at once and forgets: no handler is called for it any more. Sets *sock to NULL; NULL is
 * fine. */
void net_destroy(const struct env *env, struct sock **sock);

/* `*n` == 0 with ERR_OK: nothing now, a handler call will come. ERR_CLOSED at the end of the
 * stream. */
MUST_CHECK enum err net_read(const struct env *env, struct sock *sock, void *to, size_t len,
                             size_t *n);
/* `more`: further bytes follow at once (MSG_MORE). */
MUST_CHECK enum err net_write(const struct env *env, struct sock *sock, const struct iovec *parts,
                              int count, bool more, size_t *n);
/* File bytes to the socket without touching user space. ERR_TRUNCATED when the file ends before. */
MUST_CHECK enum err net_send_file(const struct env *env, struct sock *sock, struct file *file,
                                  uint64_t position, size_t len, size_t *n);
/* No more will be written: the other side reads the end of the stream behind what was. */
void net_shutdown(const struct env *env, struct sock *sock);
/* What to tell (NET_READABLE | NET_WRITABLE; failures always); at first NET_READABLE, for one that
 * connects both. Without NET_READABLE the kernel's buffer fills and the sender waits: that is
 * back-pressure. Costs no system call, but for listeners. */
void net_want(const struct env *env, struct sock *sock, unsigned ready);
void net_set_owner(const struct env *env, struct sock *sock, net_ready_function *ready,
                   void *owner);
MUST_CHECK enum err net_local_address(const struct env *env, struct sock *sock,
                                      struct net_address *out);
MUST_CHECK enum err net_peer_address(const struct env *env, struct sock *sock,
                                     struct net_address *out);
