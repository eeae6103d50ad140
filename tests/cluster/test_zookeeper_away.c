/* ZooKeeper goes away for longer than a session lives: data flows on, and all register again. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

static struct cluster cluster;

static int registered(void)
{
    char out[4096];
    struct node *zookeeper = cluster_node(&cluster, NODE_ZOOKEEPER, 1);

    run_command(
        out, sizeof(out),
        "printf dump | timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d; cat >&3; cat <&3' | "
        "grep -cE '^\t/(brokers/ids/|controllers/ids/|controller$)'",
        zookeeper->port);
    return atoi(out);
}

static bool all_registered(void *of)
{
    (void)of;
    return registered() == 6; /* three brokers, two controllers, /controller */
}

START_TEST(data_flows_while_zookeeper_is_away_and_all_return_with_it)
{
    struct node *zookeeper = cluster_node(&cluster, NODE_ZOOKEEPER, 1);
    const char *away_text = getenv("OTTLA_ZOOKEEPER_AWAY_SECONDS");
    double away = away_text != NULL ? atof(away_text) : 12; /* the session timeout is 6 */
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "away", 6, 1, 2000000, 100);

    ck_assert_ptr_nonnull(sender);
    ck_assert(wait_for(all_registered, NULL, 60));
    ck_assert(sender_send(sender, 10000) && sender_flush(sender, 60));

    node_signal(&cluster, zookeeper, SIGKILL);
    double until = seconds_now() + away;
    while (seconds_now() < until) {
        ck_assert(sender_send(sender, 1000));
        ck_assert_msg(sender_flush(sender, 60), "producing stopped while ZooKeeper was away");
        poll(NULL, 0, 50);
    }
    ck_assert(sender_verify(sender, true, 60)); /* consuming too */
    node_start(&cluster, zookeeper);
    node_wait_ready(&cluster, zookeeper, 60);
    ck_assert(wait_for(all_registered, NULL, 60));
    ck_assert(client_create_topic(cluster.bootstrap, "returned", 6, 1, 60));
    ck_assert(sender_send(sender, 10000));
    ck_assert(sender_finish(&sender, true, 60));
}
END_TEST

#define LOST 2 /* of three: a controller that hears nobody at all doubts itself */

static void signal_brokers(int signal)
{
    for (int i = 1; i <= LOST; i++)
        node_signal(&cluster, cluster_node(&cluster, NODE_BROKER, i), signal);
}

static bool has_lost(const struct node *controller, int broker)
{
    char line[64];

    snprintf(line, sizeof(line), "broker-dead broker=%d", broker);
    return node_has_logged(controller, line);
}

static bool all_are_lost(void *of)
{
    (void)of;
    for (int i = 1; i <= LOST; i++)
        if (!has_lost(cluster_node(&cluster, NODE_CONTROLLER, 1), i) &&
            !has_lost(cluster_node(&cluster, NODE_CONTROLLER, 2), i))
            return false;
    return true;
}

/* The controller took them for dead and said so; then ZooKeeper went away, and what follows from
 * their being heard again cannot be written. Clients must find them all the same. */
START_TEST(brokers_that_are_heard_again_while_zookeeper_is_away_serve_clients)
{
    struct node *zookeeper = cluster_node(&cluster, NODE_ZOOKEEPER, 1);
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "heard", 6, 1, 20000, 100);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 1000) && sender_flush(sender, 60));

    signal_brokers(SIGSTOP);
    ck_assert(wait_for(all_are_lost, NULL, 60));
    node_signal(&cluster, zookeeper, SIGKILL);
    signal_brokers(SIGCONT);
    double until = seconds_now() + 12; /* the sender asks for metadata every 5 s */
    while (seconds_now() < until) {
        ck_assert(sender_send(sender, 60));
        ck_assert_msg(sender_flush(sender, 60), "partitions are lost to clients");
        poll(NULL, 0, 50);
    }
    node_start(&cluster, zookeeper);
    node_wait_ready(&cluster, zookeeper, 60);
    ck_assert(wait_for(all_registered, NULL, 60));
    ck_assert(sender_send(sender, 1000));
    ck_assert(sender_finish(&sender, false, 60));
}
END_TEST

static bool has_asked_once(void *of)
{
    return node_has_logged(of, "controlled-shutdown attempt=1");
}

/* "no" stands for a dump without it: one that did not come says nothing. */
static bool is_unregistered(void *of)
{
    const struct node *broker = of;
    char out[8];

    run_command(
        out, sizeof(out),
        "printf dump | timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d; cat >&3; cat <&3' | "
        "awk '/^SessionTracker/ {came = 1} $1 == \"/brokers/ids/%d\" {is = 1} "
        "END {if (came && !is) print \"no\"}'",
        cluster_node(&cluster, NODE_ZOOKEEPER, 1)->port, broker->number);
    return strncmp(out, "no", 2) == 0;
}

static bool has_ended(void *of)
{
    const struct node *node = of;
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)node->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

/* It waits for a controller that it could tell of its end, when its session goes: whoever comes
 * will have taken its partitions away without its word. */
START_TEST(a_broker_whose_session_ends_as_it_stops_asks_no_controller_any_more)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 3);

    for (int i = 1; i <= 2; i++)
        node_signal(&cluster, cluster_node(&cluster, NODE_CONTROLLER, i), SIGKILL);
    kill(broker->pid, SIGTERM);
    ck_assert(wait_for(has_asked_once, broker, 60));
    kill(broker->pid, SIGSTOP);
    ck_assert(wait_for(is_unregistered, broker, 60));
    kill(broker->pid, SIGCONT);
    ck_assert(wait_for(has_ended, broker, 120));
    node_signal(&cluster, broker, SIGKILL); /* collects it */
    ck_assert(node_has_logged(broker, "controlled-shutdown-expired"));
    ck_assert(!node_has_logged(broker, "controlled-shutdown-failed"));
    for (int i = 1; i <= 2; i++) {
        node_start(&cluster, cluster_node(&cluster, NODE_CONTROLLER, i));
        node_wait_ready(&cluster, cluster_node(&cluster, NODE_CONTROLLER, i), 60);
    }
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1,
                                      .controllers = 2,
                                      .brokers = 3,
                                      .broker_properties =
                                          "zookeeper.session.timeout.ms=6000\n"
                                          "controlled.shutdown.retry.backoff.ms=20000\n",
                                      .controller_properties = "zookeeper.session.timeout.ms=6000"};

    return CLUSTER_SUITE(&cluster, &options, 400,
                         data_flows_while_zookeeper_is_away_and_all_return_with_it,
                         brokers_that_are_heard_again_while_zookeeper_is_away_serve_clients,
                         a_broker_whose_session_ends_as_it_stops_asks_no_controller_any_more);
}
