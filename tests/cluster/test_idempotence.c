/* Idempotent producers through what makes them send again: brokers that die with answers unsent,
 * leaders that move, connections that are dropped with requests on them that are executed later.
 * Nothing twice, nothing missing, in order. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <signal.h>
#include <stdio.h>

#define PARTITIONS 6
#define ROUND      60000

static struct cluster cluster;

static struct sender *open_sender(const char *topic, int request_timeout_ms)
{
    const struct sender_options options = {.bootstrap = cluster.bootstrap,
                                           .topic = topic,
                                           .partitions = PARTITIONS,
                                           .numbers_max = 10 * ROUND,
                                           .value_bytes = 100,
                                           .acks = "all",
                                           .retries = true,
                                           .idempotent = true,
                                           .request_timeout_ms = request_timeout_ms};

    ck_assert(client_create_topic(cluster.bootstrap, topic, PARTITIONS, 3, 60));
    return sender_open(&options);
}

static void all_are_there_once(struct sender *sender)
{
    ck_assert(sender_flush(sender, 90));
    ck_assert_msg(sender_acknowledged(sender) == sender_sent(sender), "%lld of %lld: %s",
                  (long long)sender_acknowledged(sender), (long long)sender_sent(sender),
                  sender_last_failure(sender));
    ck_assert(sender_verify(sender, true, 60));
}

/* Each broker in turn ends by `number`, with requests under way, and comes back. */
static void end_each(const char *topic, int number, int records)
{
    struct sender *sender = open_sender(topic, 2000);

    for (int id = 1; id <= 3; id++) {
        struct node *broker = cluster_node(&cluster, NODE_BROKER, id);
        ck_assert(sender_send(sender, records));
        node_signal(&cluster, broker, number);
        ck_assert(sender_send(sender, records));
        if (number == SIGKILL) ck_assert(sender_flush(sender, 90)); /* the others go on */
        node_start(&cluster, broker);
        node_wait_ready(&cluster, broker, 120);
        ck_assert(client_topic_is_in_sync(cluster.bootstrap, topic, 3, 60));
    }
    all_are_there_once(sender);
    sender_close(&sender);
}

START_TEST(killed_leaders_neither_lose_nor_repeat)
{
    end_each("killed", SIGKILL, ROUND);
}
END_TEST

START_TEST(leaders_that_leave_in_order_neither_lose_nor_repeat)
{
    end_each("moved", SIGTERM, ROUND / 2);
}
END_TEST

/* By a client that has asked nobody else. */
static bool knows_the_topic(void *of)
{
    const struct node *broker = of;
    char address[64];

    snprintf(address, sizeof(address), "%s:%d", broker->address, broker->port);
    return client_topic_is_led(address, "dropped", PARTITIONS, 0);
}

/* A broker that is silent for longer than its clients wait; then it reads what they had sent. Its
 * leaders stay where they are: when one moves under a request without an answer, librdkafka may
 * send to the new one what comes after that first. What is rightly refused then ends it, or it
 * repeats under an epoch of its own (issues 4438 and 4953 of its repository). */
START_TEST(dropped_connections_neither_lose_nor_repeat)
{
    struct sender *sender = open_sender("dropped", 1000);

    /* Else one says later that there is no such topic. */
    for (int number = 1; number <= 3; number++)
        ck_assert(wait_for(knows_the_topic, cluster_node(&cluster, NODE_BROKER, number), 60));
    for (int number = 1; number <= 3; number++) {
        struct node *broker = cluster_node(&cluster, NODE_BROKER, number);
        ck_assert(sender_send(sender, ROUND / 2));
        node_signal(&cluster, broker, SIGSTOP);
        ck_assert(sender_send(sender, ROUND / 2));
        run_command(NULL, 0, "sleep 4");
        node_signal(&cluster, broker, SIGCONT);
        ck_assert(sender_flush(sender, 90));
        ck_assert(client_topic_is_in_sync(cluster.bootstrap, "dropped", 3, 60));
    }
    all_are_there_once(sender);
    sender_close(&sender);
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1,
                                      .controllers = 2,
                                      .brokers = 3,
                                      .broker_properties = "min.insync.replicas=2\n"
                                                           "log.segment.bytes=1048576\n",
                                      .controller_properties =
                                          "controller.broker.heartbeat.timeout.ms=60000\n"};

    return CLUSTER_SUITE(&cluster, &options, 300, killed_leaders_neither_lose_nor_repeat,
                         leaders_that_leave_in_order_neither_lose_nor_repeat,
                         dropped_connections_neither_lose_nor_repeat);
}
