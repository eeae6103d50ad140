/* inter.broker.protocol.version below 2.7-IV2: leaders write their ISR into ZooKeeper themselves.
 * The controller stands still while it happens, so that it is the leader who does it, and what it
 * leaves for the controller can be seen. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct cluster cluster;
static char text[16384];

static void zk_cli(const char *command)
{
    const struct node *zookeeper = cluster_node(&cluster, NODE_ZOOKEEPER, 1);

    run_command(text, sizeof(text),
                "java -Xmx64m -XX:TieredStopAtLevel=1 -cp %s:/usr/share/java/zookeeper.jar "
                "org.apache.zookeeper.ZooKeeperMain -server 127.0.0.1:%d %s 2> /dev/null",
                zookeeper->folder, zookeeper->port, command);
}

struct shown {
    const char *command, *want;
    bool is_absent;
};

static bool is_shown(void *of)
{
    const struct shown *shown = of;

    zk_cli(shown->command);
    return (strstr(text, shown->want) != NULL) != shown->is_absent;
}

static void expect(const char *command, const char *want, bool is_absent)
{
    struct shown shown = {command, want, is_absent};

    ck_assert_msg(wait_for(is_shown, &shown, 60), "%s: wanted %s\"%s\", got: %s", command,
                  is_absent ? "no " : "", want, text);
}

static bool is_described(void *isr)
{
    char want[32];

    snprintf(want, sizeof(want), "\tIsr: %s\t", (const char *)isr);
    cluster_ottla(&cluster, text, sizeof(text), "topics --describe --topic t");
    return strstr(text, want) != NULL;
}

#define STATE "get /brokers/topics/t/partitions/0/state"

START_TEST(the_leader_writes_the_state_and_tells_the_controller)
{
    struct node *controller = cluster_node(&cluster, NODE_CONTROLLER, 1);
    struct node *follower = cluster_node(&cluster, NODE_BROKER, 3);
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = "t",
                                     .partitions = 1,
                                     .numbers_max = 3000,
                                     .value_bytes = 100,
                                     .acks = "all",
                                     .retries = true};

    ck_assert_int_eq(cluster_ottla(&cluster, text, sizeof(text),
                                   "topics --create --topic t --replica-assignment 1:2:3"),
                     0);
    ck_assert(client_topic_is_led(cluster.bootstrap, "t", 1, 60));
    struct sender *sender = sender_open(&options);
    ck_assert(sender_send(sender, 1000));
    ck_assert(sender_flush(sender, 60));

    node_signal(&cluster, controller, SIGSTOP);
    node_signal(&cluster, follower, SIGSTOP);
    ck_assert(sender_send(sender, 1000));
    expect(STATE, "\"isr\":[1,2]", false);
    ck_assert(sender_flush(sender, 60)); /* acks=all without the third: the shrink is committed */
    expect("ls /isr_change_notification", "isr_change_", false);

    node_signal(&cluster, controller, SIGCONT);
    expect("ls /isr_change_notification", "isr_change_", true);
    ck_assert_msg(wait_for(is_described, "1,2", 60), "%s", text);

    node_signal(&cluster, follower, SIGCONT);
    expect(STATE, "\"isr\":[1,2,3]", false);
    ck_assert_msg(wait_for(is_described, "1,2,3", 60), "%s", text);
    expect("ls /isr_change_notification", "isr_change_", true);
    ck_assert(sender_send(sender, 1000));
    ck_assert(sender_flush(sender, 60));
    ck_assert_int_eq(sender_acknowledged(sender), 3000);
    ck_assert(sender_verify(sender, true, 60));
    sender_close(&sender);
    ck_assert(node_has_logged(cluster_node(&cluster, NODE_BROKER, 1), "isr-written topic=t"));
    ck_assert(!node_has_logged(cluster_node(&cluster, NODE_BROKER, 1), "alter-partition"));
}
END_TEST

int main(void)
{
    struct cluster_options options = {
        .zookeepers = 1,
        .controllers = 1,
        .brokers = 3,
        .broker_properties = "inter.broker.protocol.version=2.6\nreplica.lag.time.max.ms=4000\n",
        .controller_properties =
            "inter.broker.protocol.version=2.6\nauto.leader.rebalance.enable=false\n",
    };

    return CLUSTER_SUITE(&cluster, &options, 300,
                         the_leader_writes_the_state_and_tells_the_controller);
}
