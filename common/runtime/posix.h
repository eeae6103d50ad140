/* runtime/posix.h - what the posix files share with each other. Nobody else includes it. */
#pragma once
#include "base/list.h"
#include "runtime/disk.h"
#include "runtime/env_posix.h"
#include "runtime/files.h"
#include "runtime/net.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

extern const struct files_ops files_posix_ops;
extern const struct net_ops net_posix_ops;
extern const struct disk_ops disk_posix_ops;

struct file {
    int fd;
};

struct posix_world {
    struct env env;
    struct env_ops ops;
    pthread_mutex_t lock; /* of all that follows; never on the way of data */
    struct list streams;
    uint64_t seed;
    struct list groups;        /* listening sockets, see net_posix.c */
    struct resolver *resolver; /* NULL until a name is looked up */
};

/* A thread that may block: all signals blocked, a small stack, so that it costs little memory.
 * ERR_TOO_MANY when the system has no more. */
MUST_CHECK enum err posix_thread(pthread_t *thread, void *(*run)(void *), void *arg);

/* Looks names up on threads of its own (getaddrinfo blocks as long as it likes). */
#define LOOKUP_ADDRESSES_MAX 8
struct lookup {
    struct list_node node;
    char host[256];
    uint16_t port;
    enum err err; /* ERR_NOT_FOUND: no such name */
    int count;
    struct sockaddr_storage at[LOOKUP_ADDRESSES_MAX];
    /* On the helper's thread, under the resolver's lock; not called any more after lookup_forget.
     */
    void (*found)(struct lookup *lookup);
    void *asker;
};
struct resolver *resolver_create(void);
/* Lookups that still run end by themselves, unheard. */
void resolver_release(struct resolver **resolver);
/* Keeps `lookup` until `found` has been called (then it is the asker's) or lookup_forget. */
void lookup_start(struct resolver *resolver, struct lookup *lookup);
/* `lookup` is freed, now or when its thread is done with it; `found` is not called any more. One
 * that `found` has put on a list leaves that list. */
void lookup_forget(struct resolver *resolver, struct lookup *lookup);
/* For those that touch what `found` touches. */
void resolver_lock(struct resolver *resolver);
void resolver_unlock(struct resolver *resolver);
/* A number as text: at once, without a thread. ERR_NOT_FOUND if it is a name. */
MUST_CHECK enum err lookup_number(struct lookup *lookup);
