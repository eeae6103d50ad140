/* Replicated topics through a real cluster: acks=all with three replicas, and what a killed broker
 * must not cost. */
#include "tests/cluster/client.h"
#include "tests/cluster/cluster.h"
#include "tests/unit/unit.h"
#include <signal.h>
#include <stdio.h>

static struct cluster cluster;

START_TEST(three_replicas_acknowledge_and_give_back)
{
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = "three",
                                     .partitions = 6,
                                     .numbers_max = 100000,
                                     .value_bytes = 100,
                                     .acks = "all",
                                     .retries = true};

    ck_assert(client_create_topic(cluster.bootstrap, "three", 6, 3, 30));
    struct sender *sender = sender_open(&options);
    ck_assert(sender_send(sender, options.numbers_max));
    ck_assert(sender_flush(sender, 60));
    ck_assert_msg(sender_acknowledged(sender) == options.numbers_max, "%s",
                  sender_last_failure(sender));
    ck_assert(sender_verify(sender, true, 60));
    sender_close(&sender);
}
END_TEST

START_TEST(a_killed_broker_costs_no_acknowledged_record)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 2);
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = "survives",
                                     .partitions = 6,
                                     .numbers_max = 300000,
                                     .value_bytes = 100,
                                     .acks = "all",
                                     .retries = true};

    ck_assert(client_create_topic(cluster.bootstrap, "survives", 6, 3, 30));
    struct sender *sender = sender_open(&options);
    ck_assert(sender_send(sender, 100000));
    node_signal(&cluster, broker, SIGKILL);
    ck_assert(sender_send(sender, 100000));
    ck_assert(sender_flush(sender, 90)); /* without it: the others go on */
    node_start(&cluster, broker);
    node_wait_ready(&cluster, broker, 30);
    ck_assert(sender_send(sender, 100000));
    ck_assert(sender_flush(sender, 90));
    ck_assert_msg(sender_acknowledged(sender) == sender_sent(sender), "%s",
                  sender_last_failure(sender));
    ck_assert(sender_verify(sender, false, 60));
    sender_close(&sender);
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1, .controllers = 2, .brokers = 3};
    const TTest *const tests[] = {three_replicas_acknowledge_and_give_back,
                                  a_killed_broker_costs_no_acknowledged_record};

    if (cluster_missing() != NULL) {
        printf("%s\n", cluster_missing());
        return 77;
    }
    cluster_start(&cluster, &options);
    int failed = unit_run_no_fork(__FILE__, tests, sizeof(tests) / sizeof(tests[0]), 300);
    cluster_stop(&cluster);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
