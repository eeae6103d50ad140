/* How a broker comes into a cluster, stays in it, and leaves it. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct cluster cluster;

static bool has_registered_again(void *of)
{
    char out[16];

    run_command(out, sizeof(out), "grep -c 'broker registered' %s/log",
                ((const struct node *)of)->folder);
    return atoi(out) >= 2;
}

/* Its session ends while it cannot know: it comes back under a new epoch, with all that it led. */
START_TEST(a_broker_whose_session_expired_registers_under_a_new_epoch)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 1);
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = "expiry",
                                     .partitions = 4,
                                     .numbers_max = 100000,
                                     .value_bytes = 100,
                                     .acks = "all",
                                     .retries = true};

    ck_assert(client_create_topic(cluster.bootstrap, "expiry", 4, 1, 60));
    struct sender *sender = sender_open(&options);
    ck_assert(sender_send(sender, 1000) && sender_flush(sender, 60));
    node_signal(&cluster, broker, SIGSTOP);
    poll(NULL, 0, 5000); /* longer than a session: that is the case that is tried */
    node_signal(&cluster, broker, SIGCONT);
    ck_assert(wait_for(has_registered_again, broker, 60));
    ck_assert(client_topic_is_led(cluster.bootstrap, "expiry", 4, 60));
    ck_assert(sender_send(sender, 1000) && sender_flush(sender, 60));
    ck_assert_int_eq(sender_acknowledged(sender), 2000);
    ck_assert(sender_verify(sender, false, 60));
    sender_close(&sender);
}
END_TEST

/* Its registration stands until its session ends, in a minute; but it is known whose it is. */
START_TEST(a_broker_that_was_killed_starts_again_at_once)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 2);

    ck_assert(client_create_topic(cluster.bootstrap, "killed", 4, 1, 60));
    ck_assert_int_eq(run_command(NULL, 0,
                                 "echo zookeeper.session.timeout.ms=60000 >> %s/server.properties",
                                 broker->folder),
                     0);
    for (int time = 0; time < 2; time++) { /* the second one takes over from a long session */
        node_signal(&cluster, broker, SIGKILL);
        node_start(&cluster, broker);
        node_wait_ready(&cluster, broker, 120);
    }
    ck_assert(client_topic_is_led(cluster.bootstrap, "killed", 4, 60));
}
END_TEST

START_TEST(an_orderly_end_exits_with_success_and_leaves_a_clean_log)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 2);

    int status = node_signal(&cluster, broker, SIGTERM);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert(node_has_logged(broker, "why=OK code=0 remaining=0"));
    ck_assert_int_eq(
        run_command(NULL, 0, "find %s -name .kafka_cleanshutdown | grep -q .", broker->folder), 0);
    node_start(&cluster, broker);
    node_wait_ready(&cluster, broker, 60);
}
END_TEST

/* The folder's server.properties with something else in it; gives what the broker says. */
static int run_with(char *out, int size, const struct node *broker, const char *arguments)
{
    const char *build = getenv("OTTLA_BUILD");

    return run_command(out, size, "timeout 60 %s/ottla-broker %s/server.properties %s 2>&1",
                       build == NULL ? "." : build, broker->folder, arguments);
}

START_TEST(what_cannot_be_is_refused_at_the_start)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 1);
    char out[65536];

    /* The data folder is in use. */
    ck_assert_int_ne(
        run_with(out, sizeof(out), broker, "--override listeners=PLAINTEXT://127.0.0.1:0"), 0);
    ck_assert_msg(strstr(out, "locked") != NULL, "%s", out);
    /* The id is another broker's: known when its session has outlived the wait. */
    char arguments[512];
    snprintf(arguments, sizeof(arguments),
             "--override log.dirs=%s/other --override listeners=PLAINTEXT://127.0.0.1:0",
             broker->folder);
    ck_assert_int_ne(run_with(out, sizeof(out), broker, arguments), 0);
    ck_assert_msg(strstr(out, "id-taken") != NULL, "%s", out);
    /* The address is. */
    snprintf(arguments, sizeof(arguments), "--override broker.id=77 --override log.dirs=%s/third",
             broker->folder);
    ck_assert_int_ne(run_with(out, sizeof(out), broker, arguments), 0);
    ck_assert_msg(strstr(out, "address-taken") != NULL, "%s", out);
}
END_TEST

START_TEST(a_configuration_is_checked_without_starting)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 1);
    char out[65536];

    ck_assert_int_eq(run_with(out, sizeof(out), broker, "--check-config"), 0);
    ck_assert_int_ne(
        run_with(out, sizeof(out), broker, "--check-config --override num.io.threads=0"), 0);
    ck_assert_msg(strstr(out, "num.io.threads") != NULL && strstr(out, "1") != NULL, "%s", out);
    ck_assert_int_eq(run_with(out, sizeof(out), broker, "--print-config"), 0);
    ck_assert_msg(strstr(out, "broker.id=1") != NULL, "%s", out);
}
END_TEST

/* One that asks and asks and never reads: connected, with more replies owed than the kernel takes.
 */
static int deaf_client(uint16_t port)
{
    static const uint8_t api_versions[] = {0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    for (int i = 0; i < 20000; i++)
        if (send(fd, api_versions, sizeof(api_versions), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
    return fd;
}

START_TEST(a_client_that_does_not_read_does_not_hold_up_the_end)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 2);
    int fd = deaf_client(broker->port);

    ck_assert(client_create_topic(cluster.bootstrap, "deaf", 4, 1, 60)); /* it has come to it */
    double began = seconds_now();
    int status = node_signal(&cluster, broker, SIGTERM);
    double took = seconds_now() - began;
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x after %.1f s",
                  (unsigned)status, took);
    ck_assert_msg(took < 90, "%.1f s", took);
    close(fd);
    node_start(&cluster, broker);
    node_wait_ready(&cluster, broker, 60);
}
END_TEST

/* A broker that is busy for a moment (here: stopped) has room for those who come meanwhile, though
 * socket.listen.backlog.size is 50. */
START_TEST(a_burst_of_connections_waits_for_a_busy_broker)
{
    enum { COUNT = 600 };
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 1);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(broker->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fds[COUNT], connected = 0;

    node_signal(&cluster, broker, SIGSTOP);
    double until = seconds_now() + 20; /* where there is no room nobody ever gets in */
    for (int i = 0; i < COUNT; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fds[i], (const struct sockaddr *)&to, sizeof(to));
        struct pollfd writable = {.fd = fds[i], .events = POLLOUT};
        double left = until - seconds_now();
        connected += poll(&writable, 1, left > 0 ? (int)(left * 1000) : 0) == 1;
    }
    node_signal(&cluster, broker, SIGCONT);
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    ck_assert_int_eq(connected, COUNT);
}
END_TEST

/* Nobody could take over what it leads: it asks once and does not wait for better times. */
START_TEST(the_last_broker_of_a_cluster_waits_for_nobody)
{
    struct node *first = cluster_node(&cluster, NODE_BROKER, 1);
    struct node *last = cluster_node(&cluster, NODE_BROKER, 2);

    ck_assert(client_create_topic(cluster.bootstrap, "last", 2, 2, 60));
    ck_assert(client_topic_is_led(cluster.bootstrap, "last", 2, 60));
    ck_assert_int_eq(node_signal(&cluster, first, SIGTERM), 0);
    ck_assert_int_eq(node_signal(&cluster, last, SIGTERM), 0);
    ck_assert(node_has_logged(last, "controlled-shutdown-alone"));
    node_start(&cluster, last);
    node_wait_ready(&cluster, last, 60);
    node_start(&cluster, first);
    node_wait_ready(&cluster, first, 60);
}
END_TEST

/* Last: it takes the others away. What is left to do for the broker must not wait for them. */
START_TEST(a_broker_that_is_left_alone_still_ends_in_order)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 1);

    ck_assert(client_create_topic(cluster.bootstrap, "alone", 4, 2, 60));
    ck_assert(client_topic_is_led(cluster.bootstrap, "alone", 4, 60));
    node_signal(&cluster, cluster_node(&cluster, NODE_BROKER, 2), SIGKILL);
    node_signal(&cluster, cluster_node(&cluster, NODE_CONTROLLER, 1), SIGKILL);
    node_signal(&cluster, cluster_node(&cluster, NODE_ZOOKEEPER, 1), SIGKILL);
    double began = seconds_now();
    int status = node_signal(&cluster, broker, SIGTERM);
    double took = seconds_now() - began;
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x after %.1f s",
                  (unsigned)status, took);
    /* Three attempts with two pauses of 5 s between, and what is local: not what it would take to
     * wait for ZooKeeper. */
    ck_assert_msg(took < 90, "%.1f s", took);
    ck_assert_int_eq(
        run_command(NULL, 0, "find %s -name .kafka_cleanshutdown | grep -q .", broker->folder), 0);
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1,
                                      .controllers = 1,
                                      .brokers = 2,
                                      .broker_properties = "zookeeper.session.timeout.ms=2000",
                                      .controller_properties = "zookeeper.session.timeout.ms=2000"};

    return CLUSTER_SUITE(
        &cluster, &options, 240, a_broker_whose_session_expired_registers_under_a_new_epoch,
        a_broker_that_was_killed_starts_again_at_once,
        an_orderly_end_exits_with_success_and_leaves_a_clean_log,
        what_cannot_be_is_refused_at_the_start, a_configuration_is_checked_without_starting,
        a_client_that_does_not_read_does_not_hold_up_the_end,
        a_burst_of_connections_waits_for_a_busy_broker,
        the_last_broker_of_a_cluster_waits_for_nobody,
        a_broker_that_is_left_alone_still_ends_in_order);
}
