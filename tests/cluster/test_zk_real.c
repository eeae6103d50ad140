/* The ZooKeeper room against real servers: tests/cluster/zookeeper.sh makes them, loopback only.
 * Skips (exit 77) where Java or ZooKeeper is not installed. */
#include "base/ensure.h"
#include "base/log.h"
#include "runtime/disk.h"
#include "runtime/env_posix.h"
#include "runtime/env_zookeeper.h"
#include "tests/unit/unit.h"
#include "zk/zk.h"
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 60000

/* ---- servers */

static char folder[64];
static char connect_string[256];

static int servers(const char *verb, const char *more)
{
    const char *source = getenv("OTTLA_SOURCE");
    char command[512];

    snprintf(command, sizeof(command), "%s/tests/cluster/zookeeper.sh %s %s %s >%s.out",
             source == NULL ? "." : source, verb, folder, more, folder);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void servers_up(const char *count)
{
    char name[80];

    ck_assert_int_eq(servers("up", count), 0);
    snprintf(name, sizeof(name), "%s.out", folder);
    FILE *file = fopen(name, "r");
    ck_assert(file != NULL && fgets(connect_string, sizeof(connect_string), file) != NULL);
    fclose(file);
    connect_string[strcspn(connect_string, "\n")] = '\0';
}

static void begin(void)
{
    servers("down", ""); /* of a test that crashed */
    servers_up("1");
}

static void end(void)
{
    servers("down", "");
    char name[80];
    snprintf(name, sizeof(name), "%s.out", folder);
    unlink(name);
}

/* ---- a client: a process's control shard with a session */

struct client {
    struct env *env;
    struct disk *disk;
    struct shard shard;
    struct timer tick;
    struct zk *zk;
    bool is_closed;

    int connected, disconnected, expired, new_session, auth_failed;
    struct zk_event last; /* of a node; its path in `path` */
    char path[256];
    int nodes; /* events of nodes */
};

static void tick(struct timer *timer)
{
    struct client *client = list_entry(timer, struct client, tick);

    timer_arm(&client->shard, timer, instant_add_ms(shard_now(&client->shard), 5));
}

static void on_event(void *owner, const struct zk_event *event)
{
    struct client *client = owner;

    client->connected += event->type == ZK_CONNECTED;
    client->disconnected += event->type == ZK_DISCONNECTED;
    client->expired += event->type == ZK_EXPIRED;
    client->new_session += event->type == ZK_NEW_SESSION;
    client->auth_failed += event->type == ZK_AUTH_FAILED;
    if (event->type >= ZK_NODE_CREATED) {
        client->nodes++;
        client->last = *event;
        snprintf(client->path, sizeof(client->path), "%.*s", SLICE_ARGS(event->path));
    }
}

static void client_open_with(struct client *client, struct zk_options options)
{
    *client = (struct client){.tick = {.fire = tick}};
    client->env = env_posix_create(&zookeeper_ops);
    ck_assert_int_eq(disk_open(client->env, (const int[DISK_CLASSES]){1, 1, 1}, &client->disk),
                     ERR_OK);
    ck_assert_int_eq(shard_open(&client->shard, client->env, 0, NULL, NULL, NULL, client->disk),
                     ERR_OK);
    timer_arm(&client->shard, &client->tick, env_now(client->env));
    if (options.session_timeout_ms == 0) options.session_timeout_ms = 30000;
    if (options.in_flight_max == 0) options.in_flight_max = 10;
    ck_assert_int_eq(zk_open(&client->shard, &options, on_event, client, &client->zk), ERR_OK);
}

#define UNTIL(client, condition)                                                                   \
    do {                                                                                           \
        struct instant until_ = instant_add_ms(env_now((client)->env), WAIT_MS);                   \
        while (!(condition)) {                                                                     \
            ck_assert_msg(!instant_reached(env_now((client)->env), until_), "waited for %s",       \
                          #condition);                                                             \
            shard_turn(&(client)->shard);                                                          \
        }                                                                                          \
    } while (0)

static void client_open(struct client *client)
{
    client_open_with(client, (struct zk_options){.connect = connect_string});
    UNTIL(client, client->connected == 1);
}

static void on_closed(void *owner)
{
    ((struct client *)owner)->is_closed = true;
}

static void client_close(struct client *client)
{
    zk_close(&client->zk, on_closed, client);
    ck_assert(client->zk == NULL);
    UNTIL(client, client->is_closed);
    timer_cancel(&client->shard, &client->tick);
    shard_close(&client->shard);
    disk_close(client->env, &client->disk);
    env_posix_destroy(&client->env);
}

/* It runs only where a test waits for something of it. */
static void client_sleeps(struct client *client, bool sleeps)
{
    (void)client, (void)sleeps;
}

#include "tests/cluster/zk_claims.h"

START_TEST(names_that_are_not_there_do_not_hinder_those_that_are)
{
    struct client client;
    char connect[400];
    const char *port = strchr(connect_string, ':') + 1;

    snprintf(connect, sizeof(connect), "no-such-host.invalid:%s,localhost:%s", port, port);
    client_open_with(&client, (struct zk_options){.connect = connect});
    UNTIL(&client, client.connected == 1);
    ck_assert_int_eq(get(&client, "/zookeeper").err, ERR_OK);
    client_close(&client);
}
END_TEST

/* The library's socket: the one that leads to the server. */
static int library_socket(void)
{
    int port = atoi(strchr(connect_string, ':') + 1);

    for (int fd = 3; fd < 1000; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t len = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && ntohs(peer.sin_port) == port)
            return fd;
    }
    return -1;
}

START_TEST(a_ping_that_cannot_be_sent_is_a_lost_connection)
{
    struct client client;
    char connect[300];

    /* A name: then the library is given an address before each attempt. */
    snprintf(connect, sizeof(connect), "localhost%s", strchr(connect_string, ':'));
    client_open_with(&client, (struct zk_options){.connect = connect, .session_timeout_ms = 6000});
    UNTIL(&client, client.connected == 1);
    int64_t session = zk_session_id(client.zk);
    ck_assert_int_eq(get(&client, "/zookeeper").err, ERR_OK);
    int fd = library_socket();
    ck_assert_int_ge(fd, 0);
    usleep(2100 * 1000); /* a third of the session and more: the next turn begins with a ping */
    ck_assert_int_eq(shutdown(fd, SHUT_RDWR), 0);
    UNTIL(&client, client.connected == 2);
    ck_assert_int_eq(client.disconnected, 1);
    ck_assert_int_eq(zk_session_id(client.zk), session);
    ck_assert_int_eq(get(&client, "/zookeeper").err, ERR_OK);
    client_close(&client);
}
END_TEST

int main(void)
{
    snprintf(folder, sizeof(folder), "/tmp/ottla-zk-%d", (int)getpid());
    int status = servers("up", "1");
    end();
    if (getenv("OTTLA_TEST_DEBUG") != NULL) atomic_store(&log_level, LOG_DEBUG);
    if (status == 77) {
        printf("skipped: Java or ZooKeeper is not installed\n");
        return 77;
    }

    const TTest *const tests[] = {
        ZK_CLAIMS,
        names_that_are_not_there_do_not_hinder_those_that_are,
        a_ping_that_cannot_be_sent_is_a_lost_connection,
    };
    Suite *suite = suite_create(__FILE__);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        TCase *one = tcase_create(tests[i]->name); /* CK_RUN_CASE=name runs one */
        tcase_set_timeout(one, 400);
        tcase_add_checked_fixture(one, begin, end);
        tcase_add_test(one, tests[i]);
        suite_add_tcase(suite, one);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    end();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
