/* Names to addresses, on threads of their own: getaddrinfo waits for servers that do not answer. */
#include "base/ensure.h"
#include "runtime/posix.h"
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define THREADS_MAX      4
#define IDLE_SECONDS_MAX 10

/* Lives until its last user has gone: threads that still wait for a server outlive the world. */
struct resolver {
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct list waiting;
    int threads, idle;
    int users; /* the world and the threads */
    bool is_closing;
};

struct resolver *resolver_create(void)
{
    struct resolver *resolver = ensure_zalloc(sizeof(*resolver));
    pthread_condattr_t attr;

    pthread_mutex_init(&resolver->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&resolver->some, &attr);
    pthread_condattr_destroy(&attr);
    list_init(&resolver->waiting);
    resolver->users = 1;
    return resolver;
}

/* Under the lock, which it gives back. */
static void leave(struct resolver *resolver)
{
    bool is_last = --resolver->users == 0;

    pthread_mutex_unlock(&resolver->lock);
    if (!is_last) return;
    pthread_cond_destroy(&resolver->some);
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

void resolver_release(struct resolver **resolver)
{
    if (*resolver == NULL) return;
    pthread_mutex_lock(&(*resolver)->lock);
    (*resolver)->is_closing = true;
    pthread_cond_broadcast(&(*resolver)->some);
    leave(*resolver);
    *resolver = NULL;
}

void resolver_lock(struct resolver *resolver)
{
    pthread_mutex_lock(&resolver->lock);
}

void resolver_unlock(struct resolver *resolver)
{
    pthread_mutex_unlock(&resolver->lock);
}

static void note_addresses(struct lookup *lookup, const struct addrinfo *first)
{
    lookup->count = 0;
    for (; first != NULL && lookup->count < LOOKUP_ADDRESSES_MAX; first = first->ai_next) {
        if (first->ai_addrlen > sizeof(lookup->at[0])) continue;
        memcpy(&lookup->at[lookup->count++], first->ai_addr, first->ai_addrlen);
    }
}

static enum err ask(struct lookup *lookup, int flags)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char port[8];

    snprintf(port, sizeof(port), "%u", lookup->port);
    if (getaddrinfo(lookup->host, port, &hints, &found) != 0) return ERR_NOT_FOUND;
    note_addresses(lookup, found);
    freeaddrinfo(found);
    return lookup->count == 0 ? ERR_NOT_FOUND : ERR_OK;
}

enum err lookup_number(struct lookup *lookup)
{
    return ask(lookup, AI_NUMERICHOST);
}

static bool wait_for_one(struct resolver *resolver)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS_MAX;
    resolver->idle++;
    while (list_is_empty(&resolver->waiting) && !resolver->is_closing)
        if (pthread_cond_timedwait(&resolver->some, &resolver->lock, &until) == ETIMEDOUT) break;
    resolver->idle--;
    return !list_is_empty(&resolver->waiting) && !resolver->is_closing;
}

static void *work(void *resolver_)
{
    struct resolver *resolver = resolver_;

    pthread_mutex_lock(&resolver->lock);
    while (wait_for_one(resolver)) {
        struct lookup *lookup = list_entry(list_pop(&resolver->waiting), struct lookup, node);
        pthread_mutex_unlock(&resolver->lock);
        enum err err = ask(lookup, 0);
        pthread_mutex_lock(&resolver->lock);
        lookup->err = err;
        if (lookup->asker == NULL)
            free(lookup);
        else
            lookup->found(lookup);
    }
    resolver->threads--;
    leave(resolver);
    return NULL;
}

void lookup_start(struct resolver *resolver, struct lookup *lookup)
{
    pthread_t thread;

    ensure(lookup->asker != NULL);
    pthread_mutex_lock(&resolver->lock);
    list_push(&resolver->waiting, &lookup->node);
    if (resolver->idle == 0 && resolver->threads < THREADS_MAX) {
        resolver->threads++;
        resolver->users++;
        if (posix_thread(&thread, work, resolver) == ERR_OK) {
            pthread_detach(thread);
        } else {
            resolver->threads--;
            resolver->users--;
        }
    }
    if (resolver->threads == 0) {
        /* No thread to be had: an answer all the same. */
        list_remove(&lookup->node);
        lookup->err = ERR_TOO_MANY;
        lookup->found(lookup);
    }
    pthread_cond_signal(&resolver->some);
    pthread_mutex_unlock(&resolver->lock);
}

void lookup_forget(struct resolver *resolver, struct lookup *lookup)
{
    pthread_mutex_lock(&resolver->lock);
    if (list_has(&lookup->node)) {
        list_remove(&lookup->node);
        free(lookup);
    } else {
        lookup->asker = NULL; /* its thread frees it */
    }
    pthread_mutex_unlock(&resolver->lock);
}
