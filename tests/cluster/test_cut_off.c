/* A controller that hears no broker at all while ZooKeeper answers doubts itself: it deposes
 * nobody, and after a while leaves its place to another controller. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct cluster cluster;

static bool has_doubted(void *of)
{
    const struct node **active = of;

    for (int i = 1; i <= 2; i++) {
        *active = cluster_node(&cluster, NODE_CONTROLLER, i);
        if (node_has_logged(*active, "cut-off epoch=")) return true;
    }
    return false;
}

static bool has_taken_over(void *of)
{
    return node_has_logged(of, "elected controller=");
}

START_TEST(who_hears_nobody_condemns_nobody)
{
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = "t",
                                     .partitions = 6,
                                     .numbers_max = 2000,
                                     .value_bytes = 100,
                                     .acks = "all",
                                     .retries = true};
    const struct node *active = NULL;

    ck_assert(client_create_topic(cluster.bootstrap, "t", 6, 3, 60));
    struct sender *sender = sender_open(&options);
    ck_assert(sender_send(sender, 1000));
    ck_assert(sender_flush(sender, 60));
    for (int i = 1; i <= 3; i++)
        node_signal(&cluster, cluster_node(&cluster, NODE_BROKER, i), SIGSTOP);
    ck_assert(wait_for(has_doubted, &active, 60));
    struct node *other = cluster_node(&cluster, NODE_CONTROLLER, active->number == 1 ? 2 : 1);
    ck_assert(wait_for(has_taken_over, other, 60));
    for (int i = 1; i <= 3; i++)
        node_signal(&cluster, cluster_node(&cluster, NODE_BROKER, i), SIGCONT);

    ck_assert(sender_send(sender, 1000));
    ck_assert(sender_flush(sender, 60));
    ck_assert_int_eq(sender_acknowledged(sender), 2000);
    ck_assert(sender_verify(sender, false, 60));
    sender_close(&sender);
    for (int i = 1; i <= 2; i++)
        ck_assert(!node_has_logged(cluster_node(&cluster, NODE_CONTROLLER, i), "broker-dead"));
}
END_TEST

int main(void)
{
    struct cluster_options options = {
        .zookeepers = 1,
        .controllers = 2,
        .brokers = 3,
        .controller_properties = "controller.broker.heartbeat.timeout.ms=3000\n"
                                 "auto.leader.rebalance.enable=false\n",
    };

    return CLUSTER_SUITE(&cluster, &options, 300, who_hears_nobody_condemns_nobody);
}
