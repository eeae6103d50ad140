/* The last replica standing, and the choice of an unclean election: brokers are killed one by one,
 * and what comes back is out of sync, or has lost its page cache (the tail of its log is cut off
 * while it is down). */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 16384

static struct cluster cluster;
static char text[TEXT_MAX];

static int ottla(const char *arguments)
{
    return cluster_ottla(&cluster, text, sizeof(text), "%s", arguments);
}

static void zk_cli(const char *command)
{
    const struct node *zookeeper = cluster_node(&cluster, NODE_ZOOKEEPER, 1);
    int code =
        run_command(NULL, 0,
                    "java -Xmx64m -XX:TieredStopAtLevel=1 -cp %s:/usr/share/java/zookeeper.jar "
                    "org.apache.zookeeper.ZooKeeperMain -server 127.0.0.1:%d %s > /dev/null 2>&1",
                    zookeeper->folder, zookeeper->port, command);

    ck_assert_int_eq(code, 0);
}

static struct node *broker(int number)
{
    return cluster_node(&cluster, NODE_BROKER, number);
}

static void start(int number)
{
    node_start(&cluster, broker(number));
    node_wait_ready(&cluster, broker(number), 120);
}

static void create(const char *topic, const char *replicas)
{
    char arguments[256];

    snprintf(arguments, sizeof(arguments), "topics --create --topic %s --replica-assignment %s",
             topic, replicas);
    ck_assert_msg(ottla(arguments) == 0, "%s", text);
    ck_assert(client_topic_is_led(cluster.bootstrap, topic, 1, 60));
}

/* "Leader: …" and "Isr: …" of a topic's one partition. */
struct wanted {
    const char *topic, *leader, *isr; /* isr: as a set; NULL: any */
};

static bool is_same_set(const char *at, const char *set)
{
    size_t len = strspn(at, "0123456789,");

    if (len != strlen(set)) return false;
    for (size_t i = 0; i < len; i += 2)
        if (memchr(at, set[i], len) == NULL) return false;
    return true;
}

static bool is_so(void *of)
{
    const struct wanted *wanted = of;
    char arguments[128], leader[32];

    snprintf(arguments, sizeof(arguments), "topics --describe --topic %s", wanted->topic);
    snprintf(leader, sizeof(leader), "\tLeader: %s\t", wanted->leader);
    if (ottla(arguments) != 0) return false;
    const char *at = strstr(text, "\tIsr: ");
    return strstr(text, leader) != NULL && at != NULL &&
           (wanted->isr == NULL || is_same_set(at + 6, wanted->isr));
}

static void expect(const char *topic, const char *leader, const char *isr)
{
    struct wanted wanted = {topic, leader, isr};

    ck_assert_msg(wait_for(is_so, &wanted, 60), "wanted %s leader=%s isr=%s:\n%s", topic, leader,
                  isr, text);
}

static void send_to(const char *topic, int count)
{
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = topic,
                                     .partitions = 1,
                                     .numbers_max = count,
                                     .value_bytes = 100,
                                     .acks = "all",
                                     .retries = true};
    struct sender *sender = sender_open(&options);

    ck_assert(sender_send(sender, count));
    ck_assert(sender_flush(sender, 60));
    ck_assert_msg(sender_acknowledged(sender) == count, "%s", sender_last_failure(sender));
    sender_close(&sender);
}

/* The high watermark of a topic that a broker has in its checkpoint. */
struct saved {
    int broker;
    const char *topic;
    int64_t at_least;
};

static bool is_saved(void *of)
{
    const struct saved *saved = of;
    char out[64];

    run_command(out, sizeof(out),
                "awk '$1 == \"%s\" {print $3}' %s/data/replication-offset-checkpoint", saved->topic,
                broker(saved->broker)->folder);
    return strtoll(out, NULL, 10) >= saved->at_least;
}

static void expect_saved(int number, const char *topic, int64_t offset)
{
    struct saved saved = {number, topic, offset};

    ck_assert(wait_for(is_saved, &saved, 60));
}

/* What a power failure does to what was not synced. The broker is down. */
static void lose_half(int number, const char *topic)
{
    struct stat status;
    char path[256];

    snprintf(path, sizeof(path), "%s/data/%s-0/00000000000000000000.log", broker(number)->folder,
             topic);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(truncate(path, status.st_size / 2), 0);
}

static bool has_logged(void *of)
{
    const struct saved *logged = of; /* its topic is the text */

    return node_has_logged(broker(logged->broker), logged->topic);
}

static void expect_logged(int number, const char *line)
{
    struct saved logged = {number, line, 0};

    ck_assert_msg(wait_for(has_logged, &logged, 60), "broker %d has not logged \"%s\"", number,
                  line);
}

struct value {
    const struct node *node;
    const char *name;
    double low, high;
};

static bool is_within(void *of)
{
    const struct value *value = of;
    double seen = node_metric(value->node, value->name);

    return seen >= value->low && seen <= value->high;
}

static void expect_metric(const struct node *node, const char *name, double low, double high)
{
    struct value value = {node, name, low, high};

    ck_assert_msg(wait_for(is_within, &value, 60), "%s: %g", name, node_metric(node, name));
}

/* Kills the brokers one by one, records between; all that was acknowledged is on broker 1 at last.
 */
START_TEST(only_the_last_in_sync_replica_leads_or_whom_the_operator_chooses)
{
    create("choice", "1:2:3");
    create("taken", "1:2:3");
    send_to("choice", 1000);
    send_to("taken", 1000);
    node_signal(&cluster, broker(3), SIGKILL);
    expect("choice", "1", "1,2");
    expect("taken", "1", "1,2");
    send_to("choice", 1000);
    node_signal(&cluster, broker(2), SIGKILL);
    expect("choice", "1", "1");
    expect("taken", "1", "1");
    send_to("choice", 1000);
    send_to("taken", 1000);
    expect_saved(1, "taken", 2000);
    node_signal(&cluster, broker(1), SIGKILL);

    /* Only a replica that is not in sync is back: nobody leads, and the ISR still says who could.
     */
    start(3);
    expect("choice", "none", "1");
    expect("taken", "none", "1");

    /* For one topic the operator takes what there is … */
    zk_cli(
        "set /config/topics/taken "
        "{\\\"version\\\":1,\\\"config\\\":{\\\"unclean.leader.election.enable\\\":\\\"true\\\"}}");
    zk_cli("create -s /config/changes/config_change_ "
           "{\\\"version\\\":2,\\\"entity_path\\\":\\\"topics/taken\\\"}");
    expect("taken", "3", "3");
    /* … for the other the last in-sync replica is waited for, and with it everything is there. */
    expect("choice", "none", "1");
    start(1);
    expect("choice", "1", NULL);
    start(2);
    expect("choice", "1", "1,2,3");
    expect("taken", "3", NULL);
    ck_assert_int_eq(ottla("consume --topic choice --from-beginning --max-messages 3000 "
                           "--timeout-ms 60000 > /dev/null"),
                     0);
    /* Broker 1 says what it cost that 3 leads: it had 2000 committed, the other 1000. */
    expect_logged(1, "committed_records_cut topic=taken");
    expect("taken", "3", "1,2,3");
    expect_metric(broker(1), "ottla_lastreplica_recordslost_total", 1000, 1000);
    expect_metric(cluster_node(&cluster, NODE_CONTROLLER, 1),
                  "kafka_controller_controllerstats_uncleanleaderelections_total", 1, 1);
}
END_TEST

START_TEST(a_sole_replica_that_lost_its_tail_does_not_lead)
{
    create("tail", "1:2:3");
    create("alone", "1");
    create("given", "1");
    send_to("tail", 1000);
    send_to("alone", 1000);
    send_to("given", 1000);
    node_signal(&cluster, broker(3), SIGKILL);
    node_signal(&cluster, broker(2), SIGKILL);
    expect("tail", "1", "1");
    send_to("tail", 1000);
    expect_saved(1, "tail", 2000);
    expect_saved(1, "alone", 1000);
    expect_saved(1, "given", 1000);
    node_signal(&cluster, broker(1), SIGKILL);
    lose_half(1, "tail");
    lose_half(1, "alone");
    lose_half(1, "given");

    start(1);
    expect_logged(1, "stands_back topic=tail partition=0");
    expect_logged(1, "stands_back topic=alone partition=0");
    expect("tail", "none", "1");
    expect("alone", "none", "1");
    /* Starting it again changes nothing: what it promised is not forgotten. */
    ck_assert_int_eq(node_signal(&cluster, broker(1), SIGTERM), 0);
    start(1);
    expect_logged(1, "stands_back topic=tail partition=0");
    expect("tail", "none", "1");
    /* A replica that is not in sync does not help, as long as nobody says that it may. */
    start(2);
    expect("tail", "none", "1");

    /* By order the other one leads, and who had lost its tail follows it, without a restart. */
    ck_assert_msg(ottla("elect-leaders --election-type unclean --topic tail --partition 0") == 0,
                  "%s", text);
    expect("tail", "2", NULL);
    expect("tail", "2", "1,2");

    /* Nobody else is there: by order the replica itself leads with what it has. */
    ck_assert_msg(ottla("elect-leaders --election-type unclean --topic alone --partition 0") == 0,
                  "%s", text);
    expect("alone", "1", "1");
    expect_logged(1, "leads_with_loss topic=alone");
    send_to("alone", 10);

    /* Or because its topic allows it: asked for by the broker, nobody restarts anything. */
    expect("given", "none", "1");
    zk_cli(
        "set /config/topics/given "
        "{\\\"version\\\":1,\\\"config\\\":{\\\"unclean.leader.election.enable\\\":\\\"true\\\"}}");
    zk_cli("create -s /config/changes/config_change_ "
           "{\\\"version\\\":2,\\\"entity_path\\\":\\\"topics/given\\\"}");
    expect("given", "1", "1");
    expect_logged(1, "leads_with_loss topic=given");
    expect_metric(broker(1), "ottla_lastreplica_stoodback_total", 3, 1e9);
    expect_metric(broker(1), "ottla_lastreplica_recordslost_total", 2, 1e9);
    send_to("given", 10);
    start(3);
}
END_TEST

int main(void)
{
    struct cluster_options options = {
        .zookeepers = 1,
        .controllers = 1,
        .brokers = 3,
        .broker_properties = "metrics.listen=127.0.0.1:0\n"
                             "replica.high.watermark.checkpoint.interval.ms=100\n"
                             "min.insync.replicas=1\n"
                             "replica.lag.time.max.ms=5000\n"
                             "controlled.shutdown.max.retries=1\n"
                             "controlled.shutdown.retry.backoff.ms=100\n",
        .controller_properties = "metrics.listen=127.0.0.1:0\nauto.leader.rebalance.enable=false\n",
    };

    return CLUSTER_SUITE(&cluster, &options, 300,
                         only_the_last_in_sync_replica_leads_or_whom_the_operator_chooses,
                         a_sole_replica_that_lost_its_tail_does_not_lead);
}
