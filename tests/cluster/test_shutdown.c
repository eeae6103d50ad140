/* A broker that ends in order hands its partitions over first: a producer that goes on all the time
 * is told that it is not the leader any more, and hears no other error. */
#include "tests/cluster/client.h"
#include "tests/cluster/client_errors.h"
#include "tests/cluster/suite.h"
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <sys/wait.h>

#define PARTITIONS 30
#define BATCH      90

static struct cluster cluster;

struct producing {
    rd_kafka_t *client;
    struct client_errors errors;
    int sent, acknowledged, failed;
};

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct producing *it = opaque;

    (void)client;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        it->acknowledged++;
    else
        it->failed++;
}

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *line)
{
    struct producing *it = rd_kafka_opaque(client);

    (void)level;
    client_errors_log(&it->errors, facility, line);
}

static void open_producer(struct producing *it)
{
    const char *const pairs[][2] = {{"bootstrap.servers", cluster.bootstrap},
                                    {"acks", "all"},
                                    {"linger.ms", "0"},
                                    {"debug", "broker"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256];

    *it = (struct producing){.errors = {.lock = PTHREAD_MUTEX_INITIALIZER}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        ck_assert_msg(rd_kafka_conf_set(conf, pairs[i][0], pairs[i][1], why, sizeof(why)) ==
                          RD_KAFKA_CONF_OK,
                      "%s", why);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_opaque(conf, it);
    it->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
    ck_assert_msg(it->client != NULL, "%s", why);
}

static void send_batch(struct producing *it)
{
    for (int i = 0; i < BATCH; i++) {
        ck_assert_int_eq(
            rd_kafka_producev(it->client, RD_KAFKA_V_TOPIC("handed-over"),
                              RD_KAFKA_V_PARTITION(i % PARTITIONS), RD_KAFKA_V_VALUE("a record", 8),
                              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
            RD_KAFKA_RESP_ERR_NO_ERROR);
        it->sent++;
    }
}

static bool has_ended(const struct node *node)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)node->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

static bool all_answered(void *of)
{
    struct producing *it = of;

    rd_kafka_poll(it->client, 10);
    return it->acknowledged + it->failed == it->sent;
}

START_TEST(a_controlled_shutdown_shows_no_error_but_not_leader)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 1);
    struct producing it;

    ck_assert(client_create_topic(cluster.bootstrap, "handed-over", PARTITIONS, 3, 60));
    ck_assert(client_topic_is_in_sync(cluster.bootstrap, "handed-over", 3, 60));
    open_producer(&it);
    send_batch(&it); /* it has met all leaders */
    ck_assert(wait_for(all_answered, &it, 60));
    client_errors_forget(
        &it.errors); /* a leader may have heard of the new topic later than others */
    double end = seconds_now() + 60;
    kill(broker->pid, SIGTERM);
    while (!has_ended(broker) && seconds_now() < end) {
        send_batch(&it);
        ck_assert(wait_for(all_answered, &it, 60));
    }
    ck_assert(has_ended(broker));
    node_signal(&cluster, broker, SIGKILL); /* collects it */
    send_batch(&it);
    ck_assert(wait_for(all_answered, &it, 60));
    client_errors_print(&it.errors);
    ck_assert_int_eq(it.failed, 0);
    ck_assert_int_eq(client_errors_but(&it.errors, "Produce:", "Not leader for partition"), 0);
    /* It handed over. Whether the producer met it after that and before its end is luck. */
    ck_assert(node_has_logged(broker, "why=OK code=0 remaining=0"));
    rd_kafka_destroy(it.client);
}
END_TEST

static struct node *active_controller(void)
{
    for (int i = 1; i <= 2; i++) {
        struct node *node = cluster_node(&cluster, NODE_CONTROLLER, i);
        if (node_has_logged(node, "controller active epoch=") &&
            !node_has_logged(node, "controller resigned"))
            return node;
    }
    ck_abort_msg("no controller is active");
    return NULL;
}

/* The one that it would ask has just been killed: it asks the next one when there is one, instead
 * of the dead one thrice. */
START_TEST(a_shutdown_is_heard_by_the_controller_that_comes_after_a_killed_one)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 1);

    node_start(&cluster, broker);
    node_wait_ready(&cluster, broker, 60);
    ck_assert(client_topic_is_in_sync(cluster.bootstrap, "handed-over", 3, 60));
    struct node *controller = active_controller();
    node_signal(&cluster, controller, SIGKILL);
    double begin = seconds_now();
    node_signal(&cluster, broker, SIGTERM);
    printf("ended after %.0f ms\n", (seconds_now() - begin) * 1e3);
    ck_assert(node_has_logged(broker, "why=OK code=0 remaining=0"));
    ck_assert(!node_has_logged(broker, "controlled-shutdown-failed"));
    ck_assert(client_topic_is_led(cluster.bootstrap, "handed-over", PARTITIONS, 60));
}
END_TEST

int main(void)
{
    struct cluster_options options = {
        .zookeepers = 1,
        .controllers = 2,
        .brokers = 3,
        .broker_properties = "min.insync.replicas=2\n",
    };

    return CLUSTER_SUITE(&cluster, &options, 300,
                         a_controlled_shutdown_shows_no_error_but_not_leader,
                         a_shutdown_is_heard_by_the_controller_that_comes_after_a_killed_one);
}
