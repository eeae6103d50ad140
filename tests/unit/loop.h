/* tests/unit/loop.h - a real shard that a test turns itself, and plain sockets that talk to it. */
#pragma once
#include "base/ensure.h"
#include "runtime/conn.h"
#include "runtime/disk.h"
#include "runtime/env_posix.h"
#include "tests/unit/unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOP_SECONDS_MAX 60 /* only a broken test waits so long */

static inline void loop_tick(struct timer *timer)
{
    (void)timer;
}

/* Turns the shard until `cond` holds; a turn waits 5 ms at most, since what the condition looks at
 * may change outside of the shard. */
#define loop_until(shard, cond)                                                                    \
    do {                                                                                           \
        struct instant loop_end =                                                                  \
            instant_add_ms(env_now((shard)->env), LOOP_SECONDS_MAX * INT64_C(1000));               \
        while (!(cond)) {                                                                          \
            ck_assert_msg(instant_before(env_now((shard)->env), loop_end), "never: %s", #cond);    \
            loop_turn(shard);                                                                      \
        }                                                                                          \
    } while (0)

static inline void loop_turn(struct shard *shard)
{
    struct timer tick = {.fire = loop_tick};

    timer_arm(shard, &tick, instant_add_ms(env_now(shard->env), 5));
    shard_turn(shard);
    timer_cancel(shard, &tick);
}

static inline void loop_open(struct shard *shard, struct env *env, struct disk *disk, void *owner)
{
    ck_assert_int_eq(shard_open(shard, env, 0, NULL, NULL, owner, disk), ERR_OK);
}

static inline struct net_address loop_address(uint16_t port)
{
    struct net_address address = {.host = "127.0.0.1", .port = port};
    return address;
}

#define LOOP_OPTIONS ((struct net_options){-1, -1, 0})

/* A client of plain calls. */
static inline int plain_connect_sized(uint16_t port, int receive_bytes)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    if (receive_bytes > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static inline int plain_connect(uint16_t port)
{
    return plain_connect_sized(port, 0);
}

/* All of it, turning the shard while the kernel's buffers are full. */
static inline void plain_send(struct shard *shard, int fd, const void *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = send(fd, (const char *)bytes + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        ck_assert_msg(n >= 0 || errno == EAGAIN, "send: %d", errno);
        if (n > 0)
            at += (size_t)n;
        else
            loop_turn(shard);
    }
}

/* Exactly `len` bytes. */
static inline void plain_receive(struct shard *shard, int fd, void *to, size_t len)
{
    struct instant end = instant_add_ms(env_now(shard->env), LOOP_SECONDS_MAX * INT64_C(1000));

    for (size_t at = 0; at < len;) {
        ssize_t n = recv(fd, (char *)to + at, len - at, MSG_DONTWAIT);
        ck_assert_msg(n > 0 || (n < 0 && errno == EAGAIN), "recv: %zd errno %d at %zu", n, errno,
                      at);
        if (n > 0)
            at += (size_t)n;
        else
            loop_turn(shard);
        ck_assert_msg(instant_before(env_now(shard->env), end), "received %zu of %zu", at, len);
    }
}

/* True when the other side has ended, false when there is nothing now. */
static inline bool plain_has_ended(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

    ck_assert_msg(n <= 0, "a byte came: %d", byte);
    return n == 0 || errno != EAGAIN;
}
