/* What an operator sees on /metrics: an ISR that shrinks and grows, who controls, who is ready. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define REPLICAS "kafka_server_replicamanager_"
#define CONTROL  "kafka_controller_kafkacontroller_"

static struct cluster cluster;
static char text[262144];

struct wanted {
    const struct node *node;
    const char *name;
    double low, high;
};

static bool is_so(void *of)
{
    const struct wanted *wanted = of;
    double value = node_metric(wanted->node, wanted->name);

    return value >= wanted->low && value <= wanted->high;
}

static void expect(const struct node *node, const char *name, double low, double high)
{
    struct wanted wanted = {node, name, low, high};

    ck_assert_msg(wait_for(is_so, &wanted, 60), "%s of %s: %g, wanted %g to %g", name, node->folder,
                  node_metric(node, name), low, high);
}

START_TEST(an_isr_that_shrinks_and_grows_is_seen)
{
    const struct node *leader = cluster_node(&cluster, NODE_BROKER, 1);
    struct node *follower = cluster_node(&cluster, NODE_BROKER, 3);
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = "t",
                                     .partitions = 1,
                                     .numbers_max = 2000,
                                     .value_bytes = 100,
                                     .acks = "all",
                                     .retries = true};

    ck_assert_msg(cluster_ottla(&cluster, text, sizeof(text),
                                "topics --create --topic t --replica-assignment 1:2:3 "
                                "--config min.insync.replicas=3") == 0,
                  "%s", text);
    ck_assert(client_topic_is_led(cluster.bootstrap, "t", 1, 60));
    struct sender *sender = sender_open(&options);
    ck_assert(sender_send(sender, 1000));
    ck_assert(sender_flush(sender, 60));
    expect(leader, REPLICAS "partitioncount", 1, 1);
    expect(leader, REPLICAS "leadercount", 1, 1);
    expect(leader, REPLICAS "underreplicatedpartitions", 0, 0);
    expect(leader, REPLICAS "underminisrpartitioncount", 0, 0);
    expect(leader, "kafka_server_brokertopicmetrics_messagesin_total", 1000, 1000);
    expect(leader, "kafka_server_brokertopicmetrics_bytesin_total", 100000, 200000);
    expect(cluster_node(&cluster, NODE_BROKER, 2),
           "kafka_server_brokertopicmetrics_replicationbytesin_total", 100000, 200000);

    /* A follower that stands still leaves the ISR by the leader's word. That leaves fewer than
     * min.insync.replicas: first the log is synced, and how long that took is seen too. */
    double shrinks = node_metric(leader, REPLICAS "isrshrinks_total");
    double expands = node_metric(leader, REPLICAS "isrexpands_total");
    node_signal(&cluster, follower, SIGSTOP);
    ck_assert(sender_send(sender, 1));
    expect(leader, REPLICAS "underreplicatedpartitions", 1, 1);
    expect(leader, REPLICAS "underminisrpartitioncount", 1, 1);
    expect(leader, REPLICAS "isrshrinks_total", shrinks + 1, shrinks + 10);
    expect(leader, "ottla_lastreplica_syncs_total", 1, 100);
    expect(leader, "ottla_lastreplica_sync_seconds_count", 1, 100);
    printf("sync before the ISR change: %g s\n",
           node_metric(leader, "ottla_lastreplica_sync_seconds_sum"));

    node_signal(&cluster, follower, SIGCONT);
    expect(leader, REPLICAS "isrexpands_total", expands + 1, expands + 10);
    expect(leader, REPLICAS "underreplicatedpartitions", 0, 0);
    expect(leader, REPLICAS "underminisrpartitioncount", 0, 0);
    ck_assert(sender_flush(sender, 60));
    sender_close(&sender);
}
END_TEST

START_TEST(one_controller_is_active_and_counts)
{
    const struct node *one = cluster_node(&cluster, NODE_CONTROLLER, 1);
    const struct node *two = cluster_node(&cluster, NODE_CONTROLLER, 2);
    bool is_one = node_metric(one, CONTROL "activecontrollercount") > 0;
    const struct node *active = is_one ? one : two, *standby = is_one ? two : one;

    expect(active, CONTROL "activecontrollercount", 1, 1);
    expect(standby, CONTROL "activecontrollercount", 0, 0);
    expect(active, CONTROL "activebrokercount", 3, 3);
    expect(active, CONTROL "globaltopiccount", 1, 1);
    expect(active, CONTROL "globalpartitioncount", 1, 1);
    expect(active, CONTROL "offlinepartitionscount", 0, 0);
    expect(active, "kafka_controller_controllerstats_uncleanleaderelections_total", 0, 0);

    /* The first replica dies: another one leads, which is not the preferred. */
    node_signal(&cluster, cluster_node(&cluster, NODE_BROKER, 1), SIGKILL);
    expect(active, CONTROL "preferredreplicaimbalancecount", 1, 1);
    expect(active, CONTROL "activebrokercount", 2, 2);
    expect(cluster_node(&cluster, NODE_BROKER, 2), REPLICAS "leadercount", 1, 1);
}
END_TEST

START_TEST(pages_answer_in_the_form_that_is_scraped)
{
    const struct node *nodes[] = {cluster_node(&cluster, NODE_BROKER, 2),
                                  cluster_node(&cluster, NODE_CONTROLLER, 1)};

    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(node_get(nodes[i], "/healthz", text, sizeof(text)), 200);
        ck_assert_int_eq(node_get(nodes[i], "/readyz", text, sizeof(text)), 200);
        ck_assert_int_eq(node_get(nodes[i], "/nothing", text, sizeof(text)), 404);
        ck_assert_int_eq(node_get(nodes[i], "/metrics", text, sizeof(text)), 200);
        /* Each line is a comment, or a name (with labels) and a number; each name has a type. */
        char *body = strstr(text, "\r\n\r\n") + 4, *rest = NULL;
        for (char *line = strtok_r(body, "\n", &rest); line != NULL;
             line = strtok_r(NULL, "\n", &rest)) {
            char *end;
            if (line[0] == '#') continue;
            char *value = strrchr(line, ' ');
            ck_assert_msg(value != NULL, "%s", line);
            (void)strtod(value + 1, &end);
            ck_assert_msg(*end == '\0' && end != value + 1, "%s", line);
            ck_assert_msg(strspn(line, "abcdefghijklmnopqrstuvwxyz_0123456789") > 3, "%s", line);
        }
    }
}
END_TEST

static void alter_fetchers(const char *change)
{
    ck_assert_msg(
        cluster_ottla(&cluster, text, sizeof(text), "configs --alter --broker 3 %s", change) == 0,
        "%s", text);
}

/* The third broker follows the second: eight partitions, over a connection for each shard, and at
 * run time over eight, each of which brings what is acknowledged. */
START_TEST(more_fetchers_are_more_connections)
{
    const struct node *follower = cluster_node(&cluster, NODE_BROKER, 3);
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = "many",
                                     .partitions = 8,
                                     .numbers_max = 2000,
                                     .value_bytes = 100,
                                     .acks = "all",
                                     .retries = true};

    ck_assert_msg(cluster_ottla(&cluster, text, sizeof(text),
                                "topics --create --topic many --config min.insync.replicas=2 "
                                "--replica-assignment 2:3,2:3,2:3,2:3,2:3,2:3,2:3,2:3") == 0,
                  "%s", text);
    ck_assert(client_topic_is_led(cluster.bootstrap, "many", 8, 60));
    struct sender *sender = sender_open(&options);
    expect(follower, "ottla_fetchers_partitions", 9, 9);
    expect(follower, "ottla_fetchers_connections", 1, 3);
    ck_assert(sender_send(sender, 400));
    alter_fetchers("--add-config num.replica.fetchers=8");
    expect(follower, "ottla_fetchers_connections", 8, 12);
    ck_assert(sender_send(sender, 400));
    ck_assert(sender_flush(sender, 60));
    alter_fetchers("--delete-config num.replica.fetchers");
    expect(follower, "ottla_fetchers_connections", 1, 3);
    ck_assert(sender_send(sender, 400));
    ck_assert(sender_flush(sender, 60));
    expect(follower, "ottla_fetchers_partitions", 9, 9);
    expect(follower, "kafka_server_replicafetchermanager_failedpartitionscount", 0, 0);
    sender_close(&sender);
}
END_TEST

int main(void)
{
    struct cluster_options options = {
        .zookeepers = 1,
        .controllers = 2,
        .brokers = 3,
        /* One that stands still leaves the ISR by its leader's word, and by nobody else's. */
        .broker_properties = "metrics.listen=127.0.0.1:0\nreplica.lag.time.max.ms=4000\n"
                             "zookeeper.session.timeout.ms=60000\n",
        .controller_properties = "metrics.listen=127.0.0.1:0\nauto.leader.rebalance.enable=false\n"
                                 "controller.broker.heartbeat.timeout.ms=60000\n",
    };

    return CLUSTER_SUITE(&cluster, &options, 300, an_isr_that_shrinks_and_grows_is_seen,
                         one_controller_is_active_and_counts,
                         pages_answer_in_the_form_that_is_scraped,
                         more_fetchers_are_more_connections);
}
