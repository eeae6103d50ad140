#include "tests/unit/loop.h"
#include <pthread.h>
#include <sys/resource.h>

static struct env *env;

static void start(void)
{
    env = env_posix_create(NULL);
}

static void stop(void)
{
    env_posix_destroy(&env);
}

struct heard {
    unsigned ready; /* all that was told */
    int times;
    struct sock *destroy;
};

static void on_ready(void *owner, struct sock *sock, unsigned ready)
{
    struct heard *heard = owner;

    (void)sock;
    heard->ready |= ready;
    heard->times++;
    net_destroy(env, &heard->destroy);
}

static void turn(struct net *net)
{
    net_wait(env, net, instant_add_ms(env_now(env), 5));
    net_dispatch(env, net);
}

#define turn_until(net, cond)                                                                      \
    do {                                                                                           \
        struct instant turn_end = instant_add_ms(env_now(env), LOOP_SECONDS_MAX * INT64_C(1000));  \
        while (!(cond)) {                                                                          \
            ck_assert_msg(instant_before(env_now(env), turn_end), "never: %s", #cond);             \
            turn(net);                                                                             \
        }                                                                                          \
    } while (0)

static struct sock *listen_at(struct net *net, const char *host, uint16_t port, struct heard *heard)
{
    struct net_address address = {.port = port};
    struct net_options options = LOOP_OPTIONS;
    struct sock *sock = NULL;

    snprintf(address.host, sizeof(address.host), "%s", host);
    ck_assert_int_eq(net_listen(env, net, &address, &options, on_ready, heard, &sock), ERR_OK);
    return sock;
}

static uint16_t port_of(struct sock *sock)
{
    struct net_address address;

    ck_assert_int_eq(net_local_address(env, sock, &address), ERR_OK);
    ck_assert_uint_ne(address.port, 0);
    return address.port;
}

static struct sock *connect_to(struct net *net, const char *host, uint16_t port,
                               struct heard *heard)
{
    struct net_address address = {.port = port};
    struct net_options options = LOOP_OPTIONS;
    struct sock *sock = NULL;

    snprintf(address.host, sizeof(address.host), "%s", host);
    ck_assert_int_eq(net_connect(env, net, &address, &options, on_ready, heard, &sock), ERR_OK);
    ck_assert_uint_eq(heard->ready, 0); /* never before the call has returned */
    return sock;
}

START_TEST(a_name_is_looked_up_and_each_address_is_tried)
{
    struct net *net = NULL;
    struct heard listening = {0}, heard = {0};
    struct net_address peer;

    start();
    ck_assert_int_eq(net_open(env, &net), ERR_OK);
    /* Where "localhost" is ::1 first, nobody answers there: the next address has to do. */
    struct sock *listener = listen_at(net, "127.0.0.1", 0, &listening);
    struct sock *sock = connect_to(net, "localhost", port_of(listener), &heard);
    turn_until(net, heard.ready != 0);
    ck_assert_uint_eq(heard.ready, NET_WRITABLE);
    ck_assert_int_eq(net_peer_address(env, sock, &peer), ERR_OK);
    ck_assert_str_eq(peer.host, "127.0.0.1");
    ck_assert_uint_eq(peer.port, port_of(listener));
    net_destroy(env, &sock);
    net_destroy(env, &listener);
    net_close(env, &net);
    stop();
}
END_TEST

START_TEST(failures_to_connect_say_why)
{
    struct net *net = NULL;
    struct heard listening = {0}, refused = {0}, nameless = {0}, empty = {0};

    start();
    ck_assert_int_eq(net_open(env, &net), ERR_OK);
    struct sock *listener = listen_at(net, "127.0.0.1", 0, &listening);
    uint16_t port = port_of(listener);
    net_destroy(env, &listener);

    struct sock *sock = connect_to(net, "127.0.0.1", port, &refused);
    turn_until(net, refused.ready != 0);
    ck_assert_uint_eq(refused.ready & (NET_FAILED | NET_WRITABLE), NET_FAILED);
    ck_assert_int_eq(net_failure(env, sock), ERR_REFUSED);
    net_destroy(env, &sock);

    sock = connect_to(net, "not..a..name", port, &nameless);
    turn_until(net, nameless.ready != 0);
    ck_assert_uint_eq(nameless.ready, NET_FAILED);
    ck_assert_int_eq(net_failure(env, sock), ERR_NOT_FOUND);
    net_destroy(env, &sock);

    sock = connect_to(net, "", port, &empty);
    turn_until(net, empty.ready != 0);
    ck_assert_int_eq(net_failure(env, sock), ERR_NOT_FOUND);
    net_destroy(env, &sock);
    net_close(env, &net);
    stop();
}
END_TEST

START_TEST(nothing_is_heard_of_what_was_destroyed)
{
    struct net *net = NULL;
    struct heard heard = {0}, listening = {0}, second = {0};

    start();
    ck_assert_int_eq(net_open(env, &net), ERR_OK);
    for (int i = 0; i < 50; i++) {
        /* A lookup that is under way ends by itself, unheard. */
        struct sock *sock = connect_to(net, "localhost", 9, &heard);
        if (i % 2 == 0) turn(net);
        heard.ready = 0;
        net_destroy(env, &sock);
        int before = heard.times;
        turn(net);
        ck_assert_int_eq(heard.times, before);
    }
    /* One of two that are ready destroys the other inside its call. */
    struct sock *listener = listen_at(net, "127.0.0.1", 0, &listening);
    struct heard one = {0};
    struct sock *first = connect_to(net, "127.0.0.1", port_of(listener), &one);
    struct sock *other = connect_to(net, "127.0.0.1", port_of(listener), &second);
    one.destroy = other;
    second.destroy = first;
    turn_until(net, one.times + second.times > 0);
    turn(net);
    ck_assert_int_eq(one.times > 0, second.times == 0);
    if (one.destroy != NULL) net_destroy(env, &other);
    if (second.destroy != NULL) net_destroy(env, &first);
    net_destroy(env, &listener);
    net_close(env, &net);
    stop();
}
END_TEST

static int accept_all(struct sock *listener, struct sock **out, int count)
{
    for (;;) {
        struct sock *sock = NULL;
        static struct heard nobody;
        ck_assert_int_eq(net_accept(env, listener, on_ready, &nobody, &sock), ERR_OK);
        if (sock == NULL) return count;
        out[count++] = sock;
    }
}

START_TEST(shards_at_one_address_share_connections_evenly)
{
    enum { SHARDS = 3, CLIENTS = 30 };
    struct net *nets[SHARDS] = {NULL};
    struct heard heard[SHARDS] = {{0}};
    struct sock *listeners[SHARDS], *accepted[SHARDS][CLIENTS];
    int counts[SHARDS] = {0}, fds[CLIENTS], all = 0;

    start();
    for (int i = 0; i < SHARDS; i++) {
        ck_assert_int_eq(net_open(env, &nets[i]), ERR_OK);
        listeners[i] =
            listen_at(nets[i], "127.0.0.1", i == 0 ? 0 : port_of(listeners[0]), &heard[i]);
        ck_assert_uint_eq(port_of(listeners[i]), port_of(listeners[0]));
    }
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = plain_connect(port_of(listeners[0]));
        /* Only the last is awake: it accepts for all. */
        for (int before = all; all == before;) {
            for (int k = SHARDS - 1; k >= 0; k--) {
                turn(nets[k]);
                int got = accept_all(listeners[k], accepted[k], counts[k]);
                all += got - counts[k];
                counts[k] = got;
            }
        }
    }
    for (int i = 0; i < SHARDS; i++)
        ck_assert_int_eq(counts[i], CLIENTS / SHARDS);

    /* One goes: its connections do too, the others go on listening. */
    for (int i = 0; i < counts[0]; i++)
        net_destroy(env, &accepted[0][i]);
    net_destroy(env, &listeners[0]);
    net_close(env, &nets[0]);
    int late = plain_connect(port_of(listeners[1]));
    for (int before = all; all == before;) {
        for (int k = 1; k < SHARDS; k++) {
            turn(nets[k]);
            struct sock *more[CLIENTS];
            int got = accept_all(listeners[k], more, 0);
            all += got;
            for (int i = 0; i < got; i++)
                net_destroy(env, &more[i]);
        }
    }
    close(late);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    for (int k = 1; k < SHARDS; k++) {
        for (int i = 0; i < counts[k]; i++)
            net_destroy(env, &accepted[k][i]);
        net_destroy(env, &listeners[k]);
        net_close(env, &nets[k]);
    }
    stop();
}
END_TEST

START_TEST(a_taken_port_is_refused_to_another_process)
{
    struct net *net = NULL, *foreign = NULL;
    struct heard heard = {0};
    struct net_options options = LOOP_OPTIONS;
    struct sock *sock = NULL;

    start();
    struct env *other = env_posix_create(NULL);
    ck_assert_int_eq(net_open(env, &net), ERR_OK);
    ck_assert_int_eq(net_open(other, &foreign), ERR_OK);
    struct sock *listener = listen_at(net, "127.0.0.1", 0, &heard);
    struct net_address taken = loop_address(port_of(listener));
    ck_assert_int_eq(net_listen(other, foreign, &taken, &options, on_ready, &heard, &sock),
                     ERR_BUSY);
    ck_assert_int_eq(net_listen(env, net, &taken, &options, on_ready, &heard, &sock), ERR_BUSY);
    ck_assert_ptr_null(sock);
    struct net_address nowhere = {.host = "192.0.2.1", .port = 0}; /* for documents only */
    ck_assert_int_eq(net_listen(env, net, &nowhere, &options, on_ready, &heard, &sock),
                     ERR_UNREACHABLE);
    net_destroy(env, &listener);
    listener = NULL;
    /* All interfaces: reached over IPv4. */
    listener = listen_at(net, "", 0, &heard);
    int fd = plain_connect(port_of(listener));
    turn_until(net, heard.ready != 0);
    close(fd);
    net_destroy(env, &listener);
    net_close(other, &foreign);
    net_close(env, &net);
    env_posix_destroy(&other);
    stop();
}
END_TEST

START_TEST(without_descriptors_nothing_is_lost)
{
    struct net *net = NULL;
    struct heard heard = {0};
    struct rlimit limit;
    struct sock *sock = NULL;

    start();
    ck_assert_int_eq(net_open(env, &net), ERR_OK);
    struct sock *listener = listen_at(net, "127.0.0.1", 0, &heard);
    int fd = plain_connect(port_of(listener));
    turn_until(net, heard.ready != 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(net_accept(env, listener, on_ready, &heard, &sock), ERR_TOO_MANY);
    ck_assert_ptr_null(sock);
    net_want(env, listener, 0);
    heard.ready = 0;
    turn(net);
    ck_assert_uint_eq(heard.ready, 0); /* no spinning meanwhile */
    limit.rlim_cur = before;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    net_want(env, listener, NET_READABLE);
    turn_until(net, heard.ready != 0);
    ck_assert_int_eq(net_accept(env, listener, on_ready, &heard, &sock), ERR_OK);
    ck_assert_ptr_nonnull(sock);
    close(fd);
    net_destroy(env, &sock);
    net_destroy(env, &listener);
    net_close(env, &net);
    stop();
}
END_TEST

/* Files are opened, and ZooKeeper is found again, whatever number of clients comes. */
START_TEST(connections_leave_descriptors_to_the_others)
{
    enum { LIMIT = 96, CLIENTS = LIMIT / 2, FILES = 8 };
    struct net *net = NULL;
    struct heard heard = {0};
    struct rlimit limit;
    struct sock *socks[CLIENTS];
    int fds[CLIENTS], files[FILES], count = 0;
    enum err err = ERR_OK;

    start();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = LIMIT;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(net_open(env, &net), ERR_OK);
    struct sock *listener = listen_at(net, "127.0.0.1", 0, &heard);
    while (err == ERR_OK && count < CLIENTS) {
        fds[count] = plain_connect(port_of(listener));
        heard.ready = 0;
        turn_until(net, heard.ready != 0);
        for (socks[count] = NULL; err == ERR_OK && socks[count] == NULL;)
            err = net_accept(env, listener, on_ready, &heard, &socks[count]);
        if (err == ERR_OK) count++;
    }
    ck_assert_int_eq(err, ERR_TOO_MANY); /* the last one waits, it is not refused */
    for (int i = 0; i < FILES; i++)
        ck_assert_int_ge(files[i] = dup(0), 0);
    for (int i = 0; i < FILES; i++)
        close(files[i]);
    ck_assert_int_eq(net_accept(env, listener, on_ready, &heard, &socks[count]), ERR_TOO_MANY);

    net_destroy(env, &socks[0]);
    close(fds[0]);
    ck_assert_int_eq(net_accept(env, listener, on_ready, &heard, &socks[0]), ERR_OK);
    ck_assert_ptr_nonnull(socks[0]);
    for (int i = 0; i < count; i++)
        net_destroy(env, &socks[i]);
    for (int i = 1; i <= count; i++)
        close(fds[i]);
    net_destroy(env, &listener);
    net_close(env, &net);
    limit.rlim_cur = before;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    stop();
}
END_TEST

START_TEST(the_end_of_the_stream_is_told_after_its_last_byte)
{
    struct net *net = NULL;
    struct heard heard = {0}, conn = {0};
    struct sock *sock = NULL;
    char bytes[100];
    size_t n = 0;

    start();
    ck_assert_int_eq(net_open(env, &net), ERR_OK);
    struct sock *listener = listen_at(net, "127.0.0.1", 0, &heard);
    int fd = plain_connect(port_of(listener));
    turn_until(net, heard.ready != 0);
    ck_assert_int_eq(net_accept(env, listener, on_ready, &conn, &sock), ERR_OK);

    /* Bytes and the end before we have looked: one edge tells of both. */
    ck_assert_int_eq(send(fd, "abc", 3, 0), 3);
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    turn_until(net, (conn.ready & NET_READABLE) != 0);
    ck_assert_int_eq(net_read(env, sock, bytes, sizeof(bytes), &n), ERR_OK);
    ck_assert_uint_eq(n, 3);
    enum err err = net_read(env, sock, bytes, sizeof(bytes), &n);
    while (err == ERR_OK) {
        ck_assert_uint_eq(n, 0);
        conn.ready = 0;
        turn_until(net, (conn.ready & NET_READABLE) != 0);
        err = net_read(env, sock, bytes, sizeof(bytes), &n);
    }
    ck_assert_int_eq(err, ERR_CLOSED);
    close(fd);
    net_destroy(env, &sock);
    net_destroy(env, &listener);
    net_close(env, &net);
    stop();
}
END_TEST

static void *wake(void *net)
{
    net_wake(env, net);
    return NULL;
}

START_TEST(a_wake_ends_a_wait_now_or_the_next)
{
    struct net *net = NULL;
    pthread_t thread;

    start();
    ck_assert_int_eq(net_open(env, &net), ERR_OK);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, wake, net), 0);
        net_wait(env, net, INSTANT_NEVER); /* without it the test would not end */
        pthread_join(thread, NULL);
    }
    net_close(env, &net);
    stop();
}
END_TEST

struct watched {
    struct net_watch watch;
    unsigned got;
    int times;
};

static void on_watch(struct net_watch *watch, unsigned ready)
{
    struct watched *watched = (struct watched *)(void *)watch;

    watched->got = ready;
    watched->times++;
}

START_TEST(a_foreign_descriptor_is_watched_by_level)
{
    struct net *net = NULL;
    struct watched watched = {.watch.ready = on_watch};
    int ends[2], again[2];
    char byte;

    start();
    ck_assert_int_eq(net_open(env, &net), ERR_OK);
    ck_assert_int_eq(pipe(ends), 0);
    net_posix_unwatch(&watched.watch); /* one that is not watched is fine */
    ck_assert_int_eq(net_posix_watch(net, &watched.watch, ends[0], NET_READABLE), ERR_OK);
    turn(net);
    ck_assert_int_eq(watched.times, 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    turn(net);
    turn(net);
    ck_assert_int_eq(watched.times, 2); /* as long as it lasts */
    ck_assert_uint_eq(watched.got, NET_READABLE);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    turn(net);
    ck_assert_int_eq(watched.times, 2);

    /* Closed, and its number taken by another: a fresh watch of the same struct. */
    ck_assert_int_eq(pipe(again), 0);
    int number = ends[0];
    close(ends[0]);
    ck_assert_int_eq(dup2(again[1], number), number);
    ck_assert_int_eq(net_posix_watch(net, &watched.watch, number, NET_WRITABLE), ERR_OK);
    turn(net);
    ck_assert_int_eq(watched.times, 3);
    ck_assert_uint_eq(watched.got, NET_WRITABLE);
    net_posix_unwatch(&watched.watch);
    turn(net);
    ck_assert_int_eq(watched.times, 3);
    close(number), close(ends[1]), close(again[0]), close(again[1]);
    net_close(env, &net);
    stop();
}
END_TEST

UNIT(a_name_is_looked_up_and_each_address_is_tried, failures_to_connect_say_why,
     nothing_is_heard_of_what_was_destroyed, shards_at_one_address_share_connections_evenly,
     a_taken_port_is_refused_to_another_process, without_descriptors_nothing_is_lost,
     connections_leave_descriptors_to_the_others, the_end_of_the_stream_is_told_after_its_last_byte,
     a_wake_ends_a_wait_now_or_the_next, a_foreign_descriptor_is_watched_by_level)
