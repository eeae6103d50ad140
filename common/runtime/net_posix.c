/* Sockets over epoll.
 *
 * Connections are registered once, for all edges, and never changed: what the owner wants is kept
 * here, so that starting and stopping to read costs no system call. What the kernel has told is
 * kept as well: a read that came back short has emptied the buffer, and the next one is answered
 * without asking. One epoll_wait, one read and one write are all that a small request costs.
 *
 * A listening socket is shared by the shards that listen at the same address: whoever is woken
 * accepts and gives the connection to the shard that has the fewest. (SO_REUSEPORT would spread by
 * hash, which is uneven for the few long connections of a broker, loses connections when one shard
 * stops listening, and lets a second process take the same port unnoticed.) */
#include "base/ensure.h"
#include "runtime/mailbox.h"
#include "runtime/posix.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define EVENTS_MAX   128 /* per wait */
#define TELL_MAX     256 /* sockets per dispatch */
#define ACCEPT_MAX   64  /* connections given away per call */
#define SENDFILE_MAX (1u << 30)

/* A listening socket and the shards that use it. Under the world's lock, but for `connections`. */
struct group {
    struct list_node node; /* of the world */
    char host[256];
    uint16_t port;
    int fd;
    int users; /* members and accepted sockets */
    struct member {
        struct sock *listener; /* NULL: a free place */
        _Atomic int connections;
    } members[SHARDS_MAX];
};

/* A connection that another shard has accepted for us, and what it has read of it. */
struct handed {
    struct list_node node;
    struct sock *listener;
    int fd;
    size_t len, at;
    uint8_t unread[];
};

struct net {
    struct posix_world *world;
    int epoll, wake;
    struct list pending;  /* sockets that may have something to tell */
    struct list_node end; /* on `pending` during a dispatch: what is behind it waits for the next */
    struct list watches;  /* the same */
    struct list socks;    /* all */
    struct sock *telling;
    struct net_watch *telling_watch;
    _Atomic bool has_inbox;
    struct list handed; /* under the world's lock */
    struct list found;  /* lookups that have ended; under the resolver's lock */
    bool no_pwait2;
    int accepted_max; /* a descriptor from this on is not for connections */
    bool is_crowded;  /* one such was accepted: no more before lower ones are free */
};

enum sock_kind { SOCK_LISTENER, SOCK_CONNECTING, SOCK_CONNECTED, SOCK_FAILED };

struct sock {
    struct list_node node;    /* of net->socks */
    struct list_node pending; /* of net->pending */
    struct net *net;
    net_ready_function *tell;
    void *owner;
    int fd; /* −1 while a name is looked up, and after a failure */
    uint8_t kind;
    uint8_t ready, wants; /* known to be possible; asked for */
    bool saw_end;         /* the other side has ended: a short read does not mean an empty buffer */
    bool is_registered;
    enum err failure;
    struct group *group; /* of a listener, and of what it accepted */
    int place;
    struct list handed;    /* a listener's */
    struct handed *unread; /* read where it was accepted first */
    struct way *way;       /* while connecting */
};

/* The addresses of a name, tried one after another. */
struct way {
    struct lookup *lookup;
    bool is_looking;
    int next;
    struct net_options options;
};

static void note_ready(struct sock *sock, unsigned ready)
{
    sock->ready |= (uint8_t)ready;
    if ((sock->ready & (sock->wants | NET_FAILED)) != 0 && !list_has(&sock->pending))
        list_push(&sock->net->pending, &sock->pending);
}

/* Connections leave an eighth of the descriptors to the rest of the process: a log that cannot open
 * its file and a ZooKeeper that cannot be reached again are worse than clients that wait. */
#define SPARE_SHARE 8
#define SPARE_MIN   16
#define SPARE_MAX   256

static int accepted_max(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur > INT_MAX) return INT_MAX;
    int all = (int)files.rlim_cur, spare = all / SPARE_SHARE;
    if (spare < SPARE_MIN) spare = SPARE_MIN;
    if (spare > SPARE_MAX) spare = SPARE_MAX;
    return all > spare ? all - spare : 1;
}

static enum err posix_open(void *world, struct net **out)
{
    struct net *net = ensure_zalloc(sizeof(*net));
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};

    net->world = world;
    net->epoll = epoll_create1(EPOLL_CLOEXEC);
    net->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (net->epoll < 0 || net->wake < 0 ||
        epoll_ctl(net->epoll, EPOLL_CTL_ADD, net->wake, &event) != 0) {
        enum err err = err_from_errno(errno);
        if (net->epoll >= 0) close(net->epoll);
        if (net->wake >= 0) close(net->wake);
        free(net);
        return err;
    }
    list_init(&net->pending);
    list_init(&net->watches);
    list_init(&net->socks);
    list_init(&net->handed);
    list_init(&net->found);
    net->accepted_max = accepted_max();
    *out = net;
    return ERR_OK;
}

static void posix_destroy(struct sock *sock);

static void posix_close(struct net *net)
{
    for (struct list_node *node; (node = list_first(&net->socks)) != NULL;)
        posix_destroy(list_entry(node, struct sock, node));
    ensure(list_is_empty(&net->handed) && list_is_empty(&net->found));
    close(net->epoll);
    close(net->wake);
    free(net);
}

static void posix_wake(struct net *net)
{
    uint64_t one = 1;

    /* Watched by edge: each write is one, nobody needs to read it. It could only fail when full. */
    ssize_t ignored = write(net->wake, &one, sizeof(one));
    (void)ignored;
}

/* Connecting: the next address, or the end. */

static void set_option(int fd, int level, int name, int value)
{
    /* An option that cannot be had is no reason not to talk. */
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void set_options(int fd, const struct net_options *options)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (options == NULL) return;
    if (options->send_buffer_bytes > 0)
        set_option(fd, SOL_SOCKET, SO_SNDBUF, options->send_buffer_bytes);
    if (options->receive_buffer_bytes > 0)
        set_option(fd, SOL_SOCKET, SO_RCVBUF, options->receive_buffer_bytes);
}

static enum err watch_edges(struct sock *sock)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = sock};

    if (epoll_ctl(sock->net->epoll, EPOLL_CTL_ADD, sock->fd, &event) != 0)
        return err_from_errno(errno);
    return ERR_OK;
}

static socklen_t length_of(const struct sockaddr_storage *at)
{
    return at->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static enum err connect_to(struct sock *sock, const struct sockaddr_storage *at,
                           const struct net_options *options)
{
    sock->fd = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sock->fd < 0) return err_from_errno(errno);
    set_options(sock->fd, options);
    enum err err = ERR_OK;
    if (connect(sock->fd, (const struct sockaddr *)at, length_of(at)) != 0 &&
        errno != EINPROGRESS && errno != EINTR)
        err = err_from_errno(errno);
    if (err == ERR_OK) err = watch_edges(sock);
    if (err != ERR_OK) {
        close(sock->fd);
        sock->fd = -1;
    }
    return err;
}

static void way_destroy(struct sock *sock)
{
    if (sock->way == NULL) return;
    if (sock->way->is_looking)
        lookup_forget(sock->net->world->resolver, sock->way->lookup);
    else
        free(sock->way->lookup);
    free(sock->way);
    sock->way = NULL;
}

static void try_next(struct sock *sock)
{
    struct way *way = sock->way;

    while (way->next < way->lookup->count) {
        sock->failure = connect_to(sock, &way->lookup->at[way->next++], &way->options);
        if (sock->failure == ERR_OK) return;
    }
    sock->kind = SOCK_FAILED;
    way_destroy(sock);
    note_ready(sock, NET_FAILED);
}

/* To itself: between two ports of this machine a connection to a port where nobody listens may come
 * about when the kernel picks that very port as its own end. */
static bool is_to_itself(int fd)
{
    struct sockaddr_storage ours = {0}, theirs = {0};
    socklen_t ours_len = sizeof(ours), theirs_len = sizeof(theirs);

    return getsockname(fd, (struct sockaddr *)&ours, &ours_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&theirs, &theirs_len) == 0 &&
           ours_len == theirs_len && memcmp(&ours, &theirs, ours_len) == 0;
}

static void connect_ended(struct sock *sock)
{
    int error = 0;
    socklen_t len = sizeof(error);

    getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error == 0 && is_to_itself(sock->fd)) error = ECONNREFUSED;
    if (error == 0) {
        sock->kind = SOCK_CONNECTED;
        way_destroy(sock);
        return;
    }
    close(sock->fd);
    sock->fd = -1;
    sock->failure = err_from_errno(error);
    try_next(sock);
}

/* On the resolver's thread, under its lock. */
static void name_found(struct lookup *lookup)
{
    struct sock *sock = lookup->asker;
    struct net *net = sock->net;

    list_push(&net->found, &lookup->node);
    atomic_store(&net->has_inbox, true);
    posix_wake(net);
}

static struct sock *sock_create(struct net *net, enum sock_kind kind, net_ready_function *tell,
                                void *owner)
{
    struct sock *sock = ensure_zalloc(sizeof(*sock));

    sock->net = net;
    sock->kind = (uint8_t)kind;
    sock->tell = tell;
    sock->owner = owner;
    sock->fd = -1;
    sock->wants = NET_READABLE;
    list_push(&net->socks, &sock->node);
    return sock;
}

static struct resolver *resolver_of(struct posix_world *world)
{
    pthread_mutex_lock(&world->lock);
    if (world->resolver == NULL) world->resolver = resolver_create();
    pthread_mutex_unlock(&world->lock);
    return world->resolver;
}

static enum err posix_connect(struct net *net, const struct net_address *address,
                              const struct net_options *options, net_ready_function *ready,
                              void *owner, struct sock **out)
{
    struct sock *sock = sock_create(net, SOCK_CONNECTING, ready, owner);
    struct way *way = sock->way = ensure_zalloc(sizeof(*way));

    sock->wants = NET_READABLE | NET_WRITABLE;
    way->options = *options;
    way->lookup = ensure_zalloc(sizeof(*way->lookup));
    memcpy(way->lookup->host, address->host, sizeof(way->lookup->host));
    way->lookup->port = address->port;
    way->lookup->found = name_found;
    way->lookup->asker = sock;
    *out = sock;

    if (address->host[0] == '\0' || memchr(address->host, '\0', sizeof(address->host)) == NULL) {
        sock->failure = ERR_NOT_FOUND;
        sock->kind = SOCK_FAILED;
        way_destroy(sock);
        note_ready(sock, NET_FAILED);
    } else if (lookup_number(way->lookup) == ERR_OK) {
        try_next(sock);
    } else {
        way->is_looking = true;
        lookup_start(resolver_of(net->world), way->lookup);
    }
    return ERR_OK;
}

static enum err posix_failure(struct sock *sock)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (sock->failure == ERR_OK && sock->fd >= 0 &&
        getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0)
        sock->failure = err_from_errno(error);
    return sock->failure == ERR_OK ? ERR_CLOSED : sock->failure;
}

/* Listening. */

static enum err bind_to(const struct sockaddr_storage *at, const struct net_options *options,
                        int *out)
{
    int backlog = options->backlog > 0 ? options->backlog : SOMAXCONN;
    int fd = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) return err_from_errno(errno);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (at->ss_family == AF_INET6) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    /* Before listen: the window that connections offer is decided by it. */
    set_options(fd, options);
    if (bind(fd, (const struct sockaddr *)at, length_of(at)) != 0 || listen(fd, backlog) != 0) {
        enum err err = err_from_errno(errno);
        close(fd);
        return err;
    }
    *out = fd;
    return ERR_OK;
}

/* All interfaces, both families; IPv4 alone where there is no IPv6. */
static enum err bind_everywhere(uint16_t port, const struct net_options *options, int *out)
{
    struct sockaddr_storage at = {0};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};

    memcpy(&at, &six, sizeof(six));
    enum err err = bind_to(&at, options, out);
    if (err == ERR_OK || err == ERR_BUSY || err == ERR_DENIED) return err;
    at = (struct sockaddr_storage){0};
    memcpy(&at, &four, sizeof(four));
    return bind_to(&at, options, out);
}

static enum err bind_address(const struct net_address *address, const struct net_options *options,
                             int *out)
{
    struct lookup lookup = {.port = address->port};
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;

    if (address->host[0] == '\0') return bind_everywhere(address->port, options, out);
    memcpy(lookup.host, address->host, sizeof(lookup.host));
    if (memchr(lookup.host, '\0', sizeof(lookup.host)) == NULL) return ERR_INVALID;
    if (lookup_number(&lookup) == ERR_OK) return bind_to(&lookup.at[0], options, out);

    /* A name of ours, at the start of the process: it may wait for it. */
    char port[8];
    snprintf(port, sizeof(port), "%u", address->port);
    if (getaddrinfo(lookup.host, port, &hints, &found) != 0) return ERR_UNREACHABLE;
    enum err err = ERR_UNREACHABLE;
    for (struct addrinfo *each = found; each != NULL && err != ERR_OK; each = each->ai_next) {
        memcpy(&lookup.at[0], each->ai_addr, each->ai_addrlen);
        err = bind_to(&lookup.at[0], options, out);
    }
    freeaddrinfo(found);
    return err;
}

static enum err address_of(int fd, bool ours, struct net_address *out)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof(at);
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if ((ours ? getsockname : getpeername)(fd, (struct sockaddr *)&at, &len) != 0)
        return err_from_errno(errno);
    if (getnameinfo((struct sockaddr *)&at, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return ERR_IO;
    *out = (struct net_address){.port = (uint16_t)strtoul(port, NULL, 10)};
    const char *number = strncmp(host, "::ffff:", 7) == 0 && strchr(host, '.') ? host + 7 : host;
    size_t n = strlen(number);
    ensure(n < sizeof(out->host));
    memcpy(out->host, number, n + 1);
    return ERR_OK;
}

/* Under the world's lock. A port of 0 is always a socket of its own. */
static enum err group_for(struct posix_world *world, const struct net_address *address,
                          const struct net_options *options, struct group **out)
{
    struct net_address bound;
    int fd = -1;

    list_each (node, &world->groups) {
        struct group *group = list_entry(node, struct group, node);
        if (address->port != 0 && group->port == address->port &&
            strcmp(group->host, address->host) == 0) {
            *out = group;
            return ERR_OK;
        }
    }
    enum err err = bind_address(address, options, &fd);
    if (err == ERR_OK) err = address_of(fd, true, &bound);
    if (err != ERR_OK) {
        if (fd >= 0) close(fd);
        return err;
    }
    struct group *group = ensure_zalloc(sizeof(*group));
    memcpy(group->host, address->host, sizeof(group->host));
    group->port = bound.port;
    group->fd = fd;
    list_push(&world->groups, &group->node);
    *out = group;
    return ERR_OK;
}

/* Under the world's lock. */
static void group_leave(struct group *group)
{
    if (--group->users > 0) return;
    free(group);
}

static void listener_register(struct sock *listener, bool on)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = listener};

    if (on == listener->is_registered) return;
    int done = epoll_ctl(listener->net->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
                         listener->group->fd, &event);
    listener->is_registered = on && done == 0;
}

static enum err posix_listen(struct net *net, const struct net_address *address,
                             const struct net_options *options, net_ready_function *ready,
                             void *owner, struct sock **out)
{
    struct posix_world *world = net->world;
    struct group *group = NULL;
    int place = 0;

    pthread_mutex_lock(&world->lock);
    enum err err = group_for(world, address, options, &group);
    if (err == ERR_OK) {
        for (int i = 0; i < SHARDS_MAX; i++)
            if (group->members[i].listener != NULL && group->members[i].listener->net == net)
                err = ERR_BUSY;
        while (place < SHARDS_MAX && group->members[place].listener != NULL)
            place++;
        if (place == SHARDS_MAX) err = ERR_TOO_MANY;
    }
    if (err == ERR_OK) {
        struct sock *sock = sock_create(net, SOCK_LISTENER, ready, owner);
        sock->group = group;
        sock->place = place;
        list_init(&sock->handed);
        group->members[place].listener = sock;
        atomic_store(&group->members[place].connections, 0);
        group->users++;
        listener_register(sock, true);
        *out = sock;
    }
    pthread_mutex_unlock(&world->lock);
    return err;
}

static struct sock *accepted_sock(struct sock *listener, int fd, net_ready_function *ready,
                                  void *owner)
{
    struct sock *sock = sock_create(listener->net, SOCK_CONNECTED, ready, owner);

    sock->fd = fd;
    set_options(fd, NULL);
    sock->group = listener->group;
    sock->place = listener->place;
    pthread_mutex_lock(&listener->net->world->lock);
    sock->group->users++;
    pthread_mutex_unlock(&listener->net->world->lock);
    sock->ready = NET_WRITABLE; /* its buffer is empty */
    return sock;
}

/* The member with the fewest connections, ourselves where that is equal. Counts it. */
static int place_for(struct group *group, int ours)
{
    int best = ours, least = atomic_load(&group->members[ours].connections);

    for (int i = 0; i < SHARDS_MAX; i++) {
        int connections = atomic_load(&group->members[i].connections);
        if (group->members[i].listener != NULL && connections < least) {
            best = i;
            least = connections;
        }
    }
    atomic_fetch_add(&group->members[best].connections, 1);
    return best;
}

/* Under the world's lock. */
static void hand(struct sock *listener, int fd, struct slice unread)
{
    struct handed *handed = ensure_zalloc(sizeof(*handed) + unread.len);

    handed->listener = listener;
    handed->fd = fd;
    handed->len = unread.len;
    if (unread.len > 0) memcpy(handed->unread, unread.ptr, unread.len);
    list_push(&listener->net->handed, &handed->node);
    atomic_store(&listener->net->has_inbox, true);
    posix_wake(listener->net);
}

/* Gives it to the shard with the fewest; true if that is not ours. */
static bool hand_over(struct sock *listener, int fd)
{
    struct group *group = listener->group;
    struct posix_world *world = listener->net->world;

    pthread_mutex_lock(&world->lock);
    int place = place_for(group, listener->place);
    if (place != listener->place) hand(group->members[place].listener, fd, SLICE(""));
    pthread_mutex_unlock(&world->lock);
    return place != listener->place;
}

static enum err posix_move(struct sock *sock, struct net *to, struct slice unread)
{
    struct posix_world *world = sock->net->world;
    struct group *group = sock->group;
    enum err err = ERR_NOT_FOUND;

    if (sock->kind != SOCK_CONNECTED || group == NULL || sock->unread != NULL) return err;
    pthread_mutex_lock(&world->lock);
    for (int i = 0; i < SHARDS_MAX && err != ERR_OK; i++) {
        if (group->members[i].listener == NULL || group->members[i].listener->net != to) continue;
        err = ERR_OK;
        /* Before anybody else may close it, and its number be another's. */
        (void)epoll_ctl(sock->net->epoll, EPOLL_CTL_DEL, sock->fd, NULL);
        atomic_fetch_add(&group->members[i].connections, 1);
        hand(group->members[i].listener, sock->fd, unread);
        sock->fd = -1;
    }
    pthread_mutex_unlock(&world->lock);
    if (err == ERR_OK) posix_destroy(sock);
    return err;
}

/* −1 with ERR_OK: none waits. */
static enum err accept_one(int fd, int *out)
{
    for (;;) {
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0 || errno == EAGAIN) {
            *out = accepted;
            return ERR_OK;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            return ERR_TOO_MANY;
        if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK || errno == EOPNOTSUPP)
            return ERR_IO;
        /* Else it is the trouble of that connection, which ended before we had it: the next. */
    }
}

/* The system gives the lowest free number. */
static bool is_crowded(struct net *net)
{
    if (!net->is_crowded) return false;
    int probe = fcntl(net->wake, F_DUPFD_CLOEXEC, 0);
    if (probe >= 0) close(probe);
    net->is_crowded = probe < 0 || probe >= net->accepted_max;
    return net->is_crowded;
}

static enum err posix_accept(struct sock *listener, net_ready_function *ready, void *owner,
                             struct sock **out)
{
    struct list_node *node = list_pop(&listener->handed);
    struct handed *handed = node == NULL ? NULL : list_entry(node, struct handed, node);
    int fd = handed == NULL ? -1 : handed->fd;

    if (handed != NULL && handed->len == 0) {
        free(handed);
        handed = NULL;
    }
    for (int i = 0; fd < 0 && i < ACCEPT_MAX; i++) {
        if (is_crowded(listener->net)) return ERR_TOO_MANY;
        enum err err = accept_one(listener->group->fd, &fd);
        if (err != ERR_OK) return err;
        if (fd < 0) break;
        if (fd >= listener->net->accepted_max) listener->net->is_crowded = true;
        if (hand_over(listener, fd)) fd = -1;
    }
    if (fd < 0) {
        listener->ready &= (uint8_t)~NET_READABLE;
        *out = NULL;
        return ERR_OK;
    }
    struct sock *sock = accepted_sock(listener, fd, ready, owner);
    sock->unread = handed;
    if (handed != NULL) note_ready(sock, NET_READABLE);
    enum err err = watch_edges(sock);
    if (err != ERR_OK) {
        posix_destroy(sock);
        return err;
    }
    *out = sock;
    return ERR_OK;
}

/* Under the world's lock: a listener goes, and with it what was accepted for it. */
static void leave_group(struct sock *listener)
{
    struct group *group = listener->group;
    bool is_last = true;

    listener_register(listener, false);
    group->members[listener->place].listener = NULL;
    for (int i = 0; i < SHARDS_MAX; i++)
        if (group->members[i].listener != NULL) is_last = false;
    if (is_last) {
        close(group->fd);
        list_remove(&group->node);
    }
    list_each (node, &listener->net->handed) {
        struct handed *handed = list_entry(node, struct handed, node);
        if (handed->listener == listener) {
            list_remove(node);
            list_push(&listener->handed, node);
        }
    }
    for (struct list_node *node; (node = list_pop(&listener->handed)) != NULL;) {
        struct handed *handed = list_entry(node, struct handed, node);
        close(handed->fd);
        free(handed);
    }
}

static void posix_destroy(struct sock *sock)
{
    struct net *net = sock->net;

    if (net->telling == sock) net->telling = NULL;
    list_remove(&sock->pending);
    list_remove(&sock->node);
    way_destroy(sock);
    if (sock->group != NULL) {
        pthread_mutex_lock(&net->world->lock);
        if (sock->kind == SOCK_LISTENER)
            leave_group(sock);
        else
            atomic_fetch_sub(&sock->group->members[sock->place].connections, 1);
        group_leave(sock->group);
        pthread_mutex_unlock(&net->world->lock);
    }
    if (sock->fd >= 0) close(sock->fd); /* leaves epoll with it */
    free(sock->unread);
    free(sock);
}

/* Reading and writing. */

static enum err broken(int number)
{
    switch (number) {
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case ESHUTDOWN:
        return ERR_CLOSED;
    default:
        return err_from_errno(number);
    }
}

static size_t take_unread(struct sock *sock, void *to, size_t len)
{
    struct handed *from = sock->unread;
    size_t n = len < from->len - from->at ? len : from->len - from->at;

    memcpy(to, from->unread + from->at, n);
    from->at += n;
    if (from->at < from->len) return n;
    free(from);
    sock->unread = NULL;
    return n;
}

static enum err posix_read(struct sock *sock, void *to, size_t len, size_t *n)
{
    ssize_t got;

    if (sock->unread != NULL) {
        *n = take_unread(sock, to, len);
        return ERR_OK;
    }
    if ((sock->ready & NET_READABLE) == 0) {
        *n = 0;
        return ERR_OK;
    }
    do {
        got = recv(sock->fd, to, len, 0);
    } while (got < 0 && errno == EINTR);
    if (got == 0) return ERR_CLOSED;
    if (got < 0 && errno != EAGAIN) return broken(errno);
    if (got < 0 || ((size_t)got < len && !sock->saw_end)) sock->ready &= (uint8_t)~NET_READABLE;
    *n = got < 0 ? 0 : (size_t)got;
    return ERR_OK;
}

static enum err posix_write(struct sock *sock, const struct iovec *parts, int count, bool more,
                            size_t *n)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
    size_t len = 0;
    ssize_t sent;

    if ((sock->ready & NET_WRITABLE) == 0) {
        *n = 0;
        return ERR_OK;
    }
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    do {
        sent = sendmsg(sock->fd, &msg, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN) return broken(errno);
    if (sent < 0 || (size_t)sent < len) sock->ready &= (uint8_t)~NET_WRITABLE;
    *n = sent < 0 ? 0 : (size_t)sent;
    return ERR_OK;
}

static enum err posix_send_file(struct sock *sock, struct file *file, uint64_t position, size_t len,
                                size_t *n)
{
    size_t done = 0;

    while (done < len && (sock->ready & NET_WRITABLE) != 0) {
        size_t want = len - done < SENDFILE_MAX ? len - done : SENDFILE_MAX;
        off_t from = (off_t)(position + done);
        ssize_t sent = sendfile(sock->fd, file->fd, &from, want);
        if (sent > 0) {
            done += (size_t)sent;
        } else if (sent == 0) {
            return ERR_TRUNCATED;
        } else if (errno == EAGAIN) {
            sock->ready &= (uint8_t)~NET_WRITABLE;
        } else if (errno != EINTR) {
            return broken(errno);
        }
    }
    *n = done;
    return ERR_OK;
}

static void posix_shutdown(struct sock *sock)
{
    if (sock->fd >= 0) shutdown(sock->fd, SHUT_WR); /* one that has gone already is no news */
}

static void posix_want(struct sock *sock, unsigned ready)
{
    sock->wants = (uint8_t)ready;
    if (sock->kind == SOCK_LISTENER) listener_register(sock, (ready & NET_READABLE) != 0);
    note_ready(sock, 0);
}

static void posix_set_owner(struct sock *sock, net_ready_function *tell, void *owner)
{
    sock->tell = tell;
    sock->owner = owner;
}

static enum err posix_local_address(struct sock *sock, struct net_address *out)
{
    return address_of(sock->kind == SOCK_LISTENER ? sock->group->fd : sock->fd, true, out);
}

static enum err posix_peer_address(struct sock *sock, struct net_address *out)
{
    return address_of(sock->fd, false, out);
}

/* Waiting and telling. */

static void note_sock(struct sock *sock, uint32_t events)
{
    unsigned ready = 0;

    if (sock->kind == SOCK_CONNECTING) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
        connect_ended(sock);
        if (sock->kind != SOCK_CONNECTED) return;
    }
    if ((events & EPOLLIN) != 0) ready |= NET_READABLE;
    if ((events & EPOLLOUT) != 0) ready |= NET_WRITABLE;
    if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) {
        ready |= NET_READABLE;
        sock->saw_end = true;
    }
    if ((events & EPOLLERR) != 0) ready |= NET_FAILED;
    note_ready(sock, ready);
}

static void note_watch(struct net_watch *watch, uint32_t events)
{
    unsigned got = 0;

    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0) got |= NET_READABLE;
    if ((events & (EPOLLOUT | EPOLLHUP)) != 0) got |= NET_WRITABLE;
    if ((events & EPOLLERR) != 0) got |= NET_FAILED | NET_READABLE | NET_WRITABLE;
    watch->got = got & (watch->events | NET_FAILED);
    if (watch->got != 0 && !list_has(&watch->node)) list_push(&watch->net->watches, &watch->node);
}

/* The lowest bit of a pointer that epoll keeps for us tells a watch from a socket. */
static void note_event(const struct epoll_event *event)
{
    uintptr_t tagged = (uintptr_t)event->data.ptr;

    if (tagged == 0) return; /* woken */
    if ((tagged & 1) != 0)
        note_watch((struct net_watch *)(tagged & ~(uintptr_t)1), event->events);
    else
        note_sock((struct sock *)tagged, event->events);
}

static int wait_events(struct net *net, struct epoll_event *events, struct instant until)
{
    struct timespec at = {0}, *timeout = &at;
    int64_t left_ns = 0;

    if (instant_is_never(until)) {
        timeout = NULL;
    } else if (until.ns > 0) {
        left_ns = instant_ns_between(env_now(&net->world->env), until);
        if (left_ns < 0) left_ns = 0;
        at = (struct timespec){left_ns / 1000000000, left_ns % 1000000000};
    }
    if (!net->no_pwait2) {
        int n = epoll_pwait2(net->epoll, events, EVENTS_MAX, timeout, NULL);
        if (n >= 0 || errno == EINTR) return n < 0 ? 0 : n;
        net->no_pwait2 = true; /* an older kernel, or a sandbox that does not know it */
    }
    int64_t left_ms = (left_ns + 999999) / 1000000;
    int n = epoll_wait(net->epoll, events, EVENTS_MAX,
                       timeout == NULL       ? -1
                       : left_ms > INT32_MAX ? INT32_MAX
                                             : (int)left_ms);
    return n < 0 ? 0 : n;
}

static void take_inbox(struct net *net)
{
    struct list found;

    if (!atomic_load_explicit(&net->has_inbox, memory_order_relaxed) ||
        !atomic_exchange(&net->has_inbox, false))
        return;
    pthread_mutex_lock(&net->world->lock);
    for (struct list_node *node; (node = list_pop(&net->handed)) != NULL;) {
        struct sock *listener = list_entry(node, struct handed, node)->listener;
        list_push(&listener->handed, node);
        note_ready(listener, NET_READABLE);
    }
    struct resolver *resolver = net->world->resolver;
    pthread_mutex_unlock(&net->world->lock);
    if (resolver == NULL) return;

    list_init(&found);
    resolver_lock(resolver);
    for (struct list_node *node; (node = list_pop(&net->found)) != NULL;)
        list_push(&found, node);
    resolver_unlock(resolver);
    for (struct list_node *node; (node = list_pop(&found)) != NULL;) {
        struct lookup *lookup = list_entry(node, struct lookup, node);
        struct sock *sock = lookup->asker;
        sock->way->is_looking = false;
        sock->failure = lookup->err;
        try_next(sock);
    }
}

static void posix_wait(struct net *net, struct instant until)
{
    struct epoll_event events[EVENTS_MAX];

    if (!list_is_empty(&net->pending) || !list_is_empty(&net->watches)) until = INSTANT_ZERO;
    int n = wait_events(net, events, until);
    for (int i = 0; i < n; i++)
        note_event(&events[i]);
    take_inbox(net);
}

static void tell_watches(struct net *net)
{
    struct list now;

    if (list_is_empty(&net->watches)) return;
    list_init(&now);
    for (struct list_node *node; (node = list_pop(&net->watches)) != NULL;)
        list_push(&now, node);
    for (struct list_node *node; (node = list_pop(&now)) != NULL;) {
        struct net_watch *watch = list_entry(node, struct net_watch, node);
        unsigned got = watch->got;
        watch->got = 0;
        watch->ready(watch, got);
    }
}

static void posix_dispatch(struct net *net)
{
    tell_watches(net);
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
        if (net->telling == sock) note_ready(sock, 0); /* again, if it did not go to the end */
        net->telling = NULL;
    }
    list_remove(&net->end);
}

enum err net_posix_watch(struct net *net, struct net_watch *watch, int fd, unsigned events)
{
    struct epoll_event event = {.data.ptr = (void *)((uintptr_t)watch | 1)};

    ensure(events != 0 && watch->ready != NULL);
    ensure(watch->events == 0 || watch->net == net);
    if ((events & NET_READABLE) != 0) event.events |= EPOLLIN | EPOLLRDHUP;
    if ((events & NET_WRITABLE) != 0) event.events |= EPOLLOUT;
    if (watch->events != 0 && watch->fd != fd) net_posix_unwatch(watch);
    if (epoll_ctl(net->epoll, EPOLL_CTL_MOD, fd, &event) != 0 &&
        (errno != ENOENT || epoll_ctl(net->epoll, EPOLL_CTL_ADD, fd, &event) != 0))
        return err_from_errno(errno);
    watch->net = net;
    watch->fd = fd;
    watch->events = events;
    watch->got &= events | NET_FAILED;
    return ERR_OK;
}

void net_posix_unwatch(struct net_watch *watch)
{
    if (watch->events == 0) return;
    /* Closed already: then epoll has forgotten it by itself. */
    (void)epoll_ctl(watch->net->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    list_remove(&watch->node);
    watch->events = watch->got = 0;
}

const struct net_ops net_posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .wait = posix_wait,
    .dispatch = posix_dispatch,
    .wake = posix_wake,
    .listen = posix_listen,
    .accept = posix_accept,
    .connect = posix_connect,
    .failure = posix_failure,
    .set_owner = posix_set_owner,
    .move = posix_move,
    .destroy = posix_destroy,
    .read = posix_read,
    .write = posix_write,
    .send_file = posix_send_file,
    .shutdown = posix_shutdown,
    .want = posix_want,
    .local_address = posix_local_address,
    .peer_address = posix_peer_address,
};
