/* Accepts connections and makes conns of them: see conn.h. */
#include "base/ensure.h"
#include "base/log.h"
#include "runtime/conn.h"
#include <stdlib.h>

#define ACCEPT_MAX 64  /* per turn */
#define PAUSE_MS   200 /* without descriptors */

struct listener {
    struct shard *shard;
    struct sock *sock;
    struct listener_options options;
    struct timer pause;
    uint16_t port;
    bool is_said; /* that it cannot accept; once, until it can again */
};

static void pause_over(struct timer *timer)
{
    struct listener *listener = list_entry(timer, struct listener, pause);

    net_want(listener->shard->env, listener->sock, NET_READABLE);
}

/* Those who wait stay in the kernel's queue. */
static void pause_accepting(struct listener *listener, enum err why)
{
    if (!listener->is_said)
        log_warn("runtime", "accept-paused", "port=%d error=%s", listener->port, err_name(why));
    listener->is_said = true;
    net_want(listener->shard->env, listener->sock, 0);
    timer_arm(listener->shard, &listener->pause,
              instant_add_ms(shard_now(listener->shard), PAUSE_MS));
}

static void nobody_yet(void *owner, struct sock *sock, unsigned ready)
{
    (void)owner, (void)sock, (void)ready;
}

static void on_ready(void *owner, struct sock *sock, unsigned ready)
{
    struct listener *listener = owner;

    (void)ready;
    for (int i = 0; i < ACCEPT_MAX; i++) {
        struct sock *accepted = NULL;
        enum err err = net_accept(listener->shard->env, sock, nobody_yet, NULL, &accepted);
        if (err != ERR_OK) {
            pause_accepting(listener, err);
            return;
        }
        if (accepted == NULL) return;
        if (listener->is_said) log_info("runtime", "accept-resumed", "port=%d", listener->port);
        listener->is_said = false;
        counter_add(&listener->options.limits->accepted, 1);
        struct conn *conn = conn_create(listener->shard, &accepted, listener->options.handlers,
                                        listener->options.limits, NULL);
        if (listener->options.accepted != NULL)
            listener->options.accepted(listener->options.owner, conn);
    }
}

enum err listener_open(struct shard *shard, const struct listener_options *options,
                       struct listener **out)
{
    struct listener *listener = ensure_zalloc(sizeof(*listener));
    struct net_address bound;

    listener->shard = shard;
    listener->options = *options;
    listener->pause.fire = pause_over;
    enum err err = net_listen(shard->env, shard->net, &options->address, &options->socket, on_ready,
                              listener, &listener->sock);
    if (err == ERR_OK) err = net_local_address(shard->env, listener->sock, &bound);
    if (err != ERR_OK) {
        net_destroy(shard->env, &listener->sock);
        free(listener);
        return err;
    }
    listener->port = bound.port;
    *out = listener;
    return ERR_OK;
}

void listener_close(struct listener **listener)
{
    if (*listener == NULL) return;
    timer_cancel((*listener)->shard, &(*listener)->pause);
    net_destroy((*listener)->shard->env, &(*listener)->sock);
    free(*listener);
    *listener = NULL;
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}
