#include "runtime/net.h"
#include "base/ensure.h"

enum err net_open(const struct env *env, struct net **out)
{
    return env->ops->net->open(env->world, out);
}

void net_close(const struct env *env, struct net **net)
{
    if (*net != NULL) env->ops->net->close(*net);
    *net = NULL;
}

void net_wait(const struct env *env, struct net *net, struct instant until)
{
    env->ops->net->wait(net, until);
}

void net_dispatch(const struct env *env, struct net *net)
{
    env->ops->net->dispatch(net);
}

void net_wake(const struct env *env, struct net *net)
{
    env->ops->net->wake(net);
}

enum err net_listen(const struct env *env, struct net *net, const struct net_address *address,
                    const struct net_options *options, net_ready_function *ready, void *owner,
                    struct sock **out)
{
    return env->ops->net->listen(net, address, options, ready, owner, out);
}

enum err net_accept(const struct env *env, struct sock *listener, net_ready_function *ready,
                    void *owner, struct sock **out)
{
    return env->ops->net->accept(listener, ready, owner, out);
}

enum err net_connect(const struct env *env, struct net *net, const struct net_address *address,
                     const struct net_options *options, net_ready_function *ready, void *owner,
                     struct sock **out)
{
    return env->ops->net->connect(net, address, options, ready, owner, out);
}

enum err net_failure(const struct env *env, struct sock *sock)
{
    return env->ops->net->failure(sock);
}

enum err net_move(const struct env *env, struct sock **sock, struct net *to, struct slice unread)
{
    enum err err = env->ops->net->move(*sock, to, unread);

    if (err == ERR_OK) *sock = NULL;
    return err;
}

void net_destroy(const struct env *env, struct sock **sock)
{
    if (*sock != NULL) env->ops->net->destroy(*sock);
    *sock = NULL;
}

enum err net_read(const struct env *env, struct sock *sock, void *to, size_t len, size_t *n)
{
    ensure(len > 0);
    return env->ops->net->read(sock, to, len, n);
}

enum err net_write(const struct env *env, struct sock *sock, const struct iovec *parts, int count,
                   bool more, size_t *n)
{
    return env->ops->net->write(sock, parts, count, more, n);
}

enum err net_send_file(const struct env *env, struct sock *sock, struct file *file,
                       uint64_t position, size_t len, size_t *n)
{
    ensure(len > 0);
    return env->ops->net->send_file(sock, file, position, len, n);
}

void net_shutdown(const struct env *env, struct sock *sock)
{
    env->ops->net->shutdown(sock);
}

void net_want(const struct env *env, struct sock *sock, unsigned ready)
{
    env->ops->net->want(sock, ready);
}

void net_set_owner(const struct env *env, struct sock *sock, net_ready_function *ready, void *owner)
{
    env->ops->net->set_owner(sock, ready, owner);
}

enum err net_local_address(const struct env *env, struct sock *sock, struct net_address *out)
{
    return env->ops->net->local_address(sock, out);
}

enum err net_peer_address(const struct env *env, struct sock *sock, struct net_address *out)
{
    return env->ops->net->peer_address(sock, out);
}
