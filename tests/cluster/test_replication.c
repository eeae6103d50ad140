/* Replicated topics through a real cluster: acks=all with three replicas, and what a killed broker
 * must not cost. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <signal.h>
#include <stdio.h>

static struct cluster cluster;

START_TEST(three_replicas_acknowledge_and_give_back)
{
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "three", 6, 3, 100000, 100);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 100000));
    ck_assert(sender_finish(&sender, true, 60));
}
END_TEST

START_TEST(a_killed_broker_costs_no_acknowledged_record)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 2);
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "survives", 6, 3, 300000, 100);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 100000));
    node_signal(&cluster, broker, SIGKILL);
    ck_assert(sender_send(sender, 100000));
    ck_assert(sender_flush(sender, 90)); /* without it: the others go on */
    node_start(&cluster, broker);
    node_wait_ready(&cluster, broker, 30);
    ck_assert(sender_send(sender, 100000));
    ck_assert(sender_finish(&sender, false, 90));
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1, .controllers = 2, .brokers = 3};

    return CLUSTER_SUITE(&cluster, &options, 300, three_replicas_acknowledge_and_give_back,
                         a_killed_broker_costs_no_acknowledged_record);
}
