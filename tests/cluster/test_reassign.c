/* Every partition of a topic moves, there and back, while a producer with acks=all runs: nothing
 * acknowledged is lost. Moves that cannot end are listed and taken back; leaders are elected. All
 * by the tool, whose output is checked on the way. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <signal.h>
#include <stdio.h>

#define PARTITIONS 6
#define TEXT_MAX   16384

/* Where partition i is at first, and where it goes: each move replaces a replica or two. */
static const char *const places[PARTITIONS][2] = {
    {"1,2,3", "4,1,2"}, {"2,3,4", "1,4,3"}, {"3,4,1", "2,3,4"},
    {"4,1,2", "3,2,1"}, {"1,3,4", "2,4,3"}, {"2,4,1", "3,1,4"},
};

static struct cluster cluster;
static char text[TEXT_MAX], before[TEXT_MAX];

static int run_ottla(const char *arguments, const char *option, const char *servers)
{
    const char *folder = getenv("OTTLA_BUILD");

    return run_command(text, sizeof(text), "%s/ottla %s %s %s", folder == NULL ? "." : folder,
                       arguments, option, servers);
}

/* Runs a command of `ottla`; its standard output is in `text` afterwards. */
static int ottla(const char *arguments)
{
    return run_ottla(arguments, "--bootstrap-server", cluster.bootstrap);
}

static void write_json(const char *name, const char *json)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", cluster.folder, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(json, file);
    ck_assert_int_eq(fclose(file), 0);
}

static int reassign(const char *action, const char *name)
{
    char arguments[256];

    snprintf(arguments, sizeof(arguments), "reassign --%s --reassignment-json-file %s/%s", action,
             cluster.folder, name);
    return ottla(arguments);
}

static void list_places(const char *topic, int which, char *out, size_t size)
{
    int used = snprintf(out, size, "{\"version\":1,\"partitions\":[");

    for (int i = 0; i < PARTITIONS; i++)
        used += snprintf(out + used, size - (size_t)used,
                         "%s{\"topic\":\"%s\",\"partition\":%d,\"replicas\":[%s]}",
                         i == 0 ? "" : ",", topic, i, places[i][which]);
    snprintf(out + used, size - (size_t)used, "]}");
}

static void create(const char *topic)
{
    char arguments[512];
    int used = snprintf(arguments, sizeof(arguments),
                        "topics --create --topic %s --replica-assignment ", topic);

    for (int i = 0; i < PARTITIONS; i++) {
        used += snprintf(arguments + used, sizeof(arguments) - (size_t)used, "%s%s",
                         i == 0 ? "" : ",", places[i][0]);
        for (char *at = arguments + used - 5; *at != '\0'; at++)
            if (*at == ',') *at = ':';
    }
    ck_assert_msg(ottla(arguments) == 0, "%s", text);
}

/* Sends on until the tool says that all has moved. */
static void send_until_moved(struct sender *sender, const char *name)
{
    double until = seconds_now() + 180;
    int done = 0;

    while (done < PARTITIONS && seconds_now() < until) {
        ck_assert(sender_send(sender, 2000));
        ck_assert_msg(reassign("verify", name) == 0, "%s", text);
        done = 0;
        for (const char *at = text; (at = strstr(at, " is completed.")) != NULL; at++)
            done++;
    }
    ck_assert_msg(done == PARTITIONS, "%s", text);
}

static bool is_led_by_the_preferred(void *topic)
{
    char arguments[128];
    int led = 0;

    snprintf(arguments, sizeof(arguments), "topics --describe --topic %s", (const char *)topic);
    if (ottla(arguments) != 0) return false;
    for (const char *at = text; (at = strstr(at, "\tLeader: ")) != NULL; at++) {
        char leader = at[9];
        const char *replicas = strstr(at, "\tReplicas: ");
        led += replicas != NULL && replicas[11] == leader;
    }
    return led == PARTITIONS;
}

/* No broker has a folder of a partition that is not its own. */
static bool folders_are_right(void *topic)
{
    bool is_right = true;

    for (int i = 0; i < PARTITIONS; i++)
        for (int b = 1; b <= 4; b++) {
            bool is_there = run_command(NULL, 0, "test -d %s/data/%s-%d",
                                        cluster_node(&cluster, NODE_BROKER, b)->folder,
                                        (const char *)topic, i) == 0;
            is_right &= is_there == (strchr(places[i][0], '0' + b) != NULL);
        }
    return is_right;
}

START_TEST(every_partition_moves_under_a_producer_and_back)
{
    static char topic[] = "moves";
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = topic,
                                     .partitions = PARTITIONS,
                                     .numbers_max = 2000000,
                                     .value_bytes = 100,
                                     .acks = "all",
                                     .retries = true,
                                     .idempotent = true};

    create(topic);
    list_places(topic, 1, before, sizeof(before));
    write_json("there.json", before);
    struct sender *sender = sender_open(&options);
    ck_assert(sender_send(sender, 50000));
    ck_assert_msg(reassign("execute", "there.json") == 0, "%s", text);
    ck_assert_msg(strstr(text, "Successfully started partition reassignments for moves-0,moves-1,"
                               "moves-2,moves-3,moves-4,moves-5\n") != NULL,
                  "%s", text);

    /* What was printed for a rollback is one. */
    char *json = strchr(text, '{');
    ck_assert_ptr_nonnull(json);
    *strchr(json, '\n') = '\0';
    write_json("back.json", json);
    send_until_moved(sender, "there.json");
    ck_assert_int_eq(ottla("reassign --list"), 0);
    ck_assert_str_eq(text, "No partition reassignments found.\n");
    /* The other list has not come true. */
    ck_assert_int_eq(reassign("verify", "back.json"), 0);
    ck_assert_msg(strstr(text, "There is no active reassignment of partition moves-0, but replica "
                               "set is 4,1,2 rather than 1,2,3.") != NULL,
                  "%s", text);

    ck_assert_msg(ottla("elect-leaders --election-type preferred --all-topic-partitions") == 0,
                  "%s", text);
    ck_assert(wait_for(is_led_by_the_preferred, topic, 60));
    ck_assert(sender_send(sender, 20000));

    ck_assert_msg(reassign("execute", "back.json") == 0, "%s", text);
    send_until_moved(sender, "back.json");
    ck_assert_msg(ottla("elect-leaders --election-type preferred --all-topic-partitions") == 0,
                  "%s", text);
    ck_assert(wait_for(is_led_by_the_preferred, topic, 60));
    ck_assert_int_eq(ottla("elect-leaders --election-type preferred --topic moves --partition 2"),
                     0);
    ck_assert_str_eq(text, "Valid replica already elected for partitions moves-2\n");
    ck_assert(sender_send(sender, 20000));
    ck_assert(sender_flush(sender, 60));
    ck_assert_msg(sender_acknowledged(sender) == sender_sent(sender), "%s",
                  sender_last_failure(sender));
    ck_assert(sender_verify(sender, true, 60));
    sender_close(&sender);
    ck_assert(wait_for(folders_are_right, topic, 60));
}
END_TEST

START_TEST(what_cannot_be_is_said)
{
    ck_assert(client_create_topic(cluster.bootstrap, "small", 1, 1, 60));
    write_json("nobody.json",
               "{\"partitions\":[{\"topic\":\"small\",\"partition\":0,\"replicas\":[9]}]}");
    ck_assert_int_eq(reassign("execute", "nobody.json"), 1);
    ck_assert_str_eq(text, "Error: Unknown broker id 9\n");
    write_json("nowhere.json",
               "{\"partitions\":[{\"topic\":\"none\",\"partition\":0,\"replicas\":[1]}]}");
    ck_assert_int_eq(reassign("execute", "nowhere.json"), 1);
    ck_assert_str_eq(text, "Error: Topic none: UNKNOWN_TOPIC_OR_PARTITION\n");
    ck_assert_int_eq(reassign("cancel", "nowhere.json"), 0);
    ck_assert_msg(
        strncmp(text, "None of the specified partition reassignments are active.\n", 57) == 0, "%s",
        text);
    write_json("partition.json",
               "{\"partitions\":[{\"topic\":\"small\",\"partition\":5,\"replicas\":[1]}]}");
    ck_assert_int_eq(reassign("execute", "partition.json"), 1);
    ck_assert_msg(strstr(text, "Error reassigning partition(s):\nsmall-5: ") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "UNKNOWN_TOPIC_OR_PARTITION") != NULL, "%s", text);
    ck_assert_int_eq(ottla("elect-leaders --election-type unclean --topic none --partition 0"), 1);
    ck_assert_msg(strstr(text, "for partition: none-0: UNKNOWN_TOPIC_OR_PARTITION") != NULL, "%s",
                  text);
}
END_TEST

START_TEST(a_proposal_uses_the_brokers_given)
{
    char arguments[256];

    ck_assert(client_create_topic(cluster.bootstrap, "wide", 4, 2, 60));
    write_json("topics.json", "{\"version\":1,\"topics\":[{\"topic\":\"wide\"}]}");
    snprintf(arguments, sizeof(arguments),
             "reassign --generate --topics-to-move-json-file %s/topics.json --broker-list 2,4",
             cluster.folder);
    ck_assert_msg(ottla(arguments) == 0, "%s", text);
    char *proposal = strstr(text, "\n\nProposed partition reassignment configuration\n{");
    ck_assert_msg(strncmp(text, "Current partition replica assignment\n{", 38) == 0 &&
                      proposal != NULL,
                  "%s", text);
    int on_both = 0;
    for (const char *at = proposal; (at = strstr(at, "\"replicas\":[")) != NULL; at++)
        on_both += strncmp(at + 12, "2,4]", 4) == 0 || strncmp(at + 12, "4,2]", 4) == 0;
    ck_assert_msg(on_both == 4, "%s", text);
    snprintf(arguments, sizeof(arguments),
             "reassign --generate --topics-to-move-json-file %s/topics.json --broker-list 2",
             cluster.folder);
    ck_assert_int_eq(ottla(arguments), 1);
    ck_assert_msg(strncmp(text, "Error: Topic wide: ", 19) == 0, "%s", text);
}
END_TEST

static bool is_taken_back(void *of)
{
    (void)of;
    return ottla("topics --describe --topic stuck") == 0 &&
           strstr(text, "\tReplicas: 2,1\tIsr: 1,2\t") != NULL;
}

/* Its new replica does not come: the broker stands still, which is too short to be taken for dead.
 */
START_TEST(a_move_that_does_not_end_is_listed_and_taken_back)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 4);

    ck_assert_msg(ottla("topics --create --topic stuck --replica-assignment 1:2") == 0, "%s", text);
    write_json("stuck.json",
               "{\"partitions\":[{\"topic\":\"stuck\",\"partition\":0,\"replicas\":[2,4]}]}");
    node_signal(&cluster, broker, SIGSTOP);
    int executed = reassign("execute", "stuck.json");
    bool is_started = strstr(text, "Successfully started partition reassignment for stuck-0\n");
    int listed = ottla("reassign --list");
    bool is_listed = strcmp(text, "Current partition reassignments:\n"
                                  "stuck-0: replicas: 2,4,1. adding: 4. removing: 1.\n") == 0;
    int refused = reassign("execute", "stuck.json");
    bool is_refused = strstr(text, "--additional") != NULL;
    /* One that stands still could not be told that its throttle is over. */
    int cancelled = reassign("cancel --preserve-throttles", "stuck.json");
    bool is_cancelled = strcmp(text, "Successfully cancelled partition reassignment for: "
                                     "stuck-0\n") == 0;
    int relisted = ottla("reassign --list");
    bool is_over = strcmp(text, "No partition reassignments found.\n") == 0;
    node_signal(&cluster, broker, SIGCONT);
    ck_assert_msg(executed == 0 && is_started && listed == 0 && is_listed, "%d %d %d %d", executed,
                  is_started, listed, is_listed);
    ck_assert_msg(refused == 1 && is_refused && cancelled == 0 && is_cancelled, "%d %d %d %d",
                  refused, is_refused, cancelled, is_cancelled);
    ck_assert(relisted == 0 && is_over);
    ck_assert_msg(wait_for(is_taken_back, NULL, 60), "%s", text);
}
END_TEST

static bool all_know_each_other(void *of)
{
    char arguments[512];

    (void)of;
    snprintf(arguments, sizeof(arguments), "cluster --zookeeper %s", cluster.zookeeper_connect);
    return ottla(arguments) == 0 && strstr(text, "not in the brokers' metadata") == NULL;
}

START_TEST(the_cluster_is_told)
{
    char line[160];

    ck_assert_msg(wait_for(all_know_each_other, NULL, 60), "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "Cluster ID: "));
    ck_assert_msg(strstr(text, "\nController: 10") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "\tEpoch: 1\tEndpoints: ") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "\nStandby: 10") != NULL, "%s", text);
    for (int b = 1; b <= 4; b++) {
        snprintf(line, sizeof(line),
                 "\nBroker: %d\tEndpoints: PLAINTEXT://127.0.0.1:%d\tRack: none\tEpoch: ", b,
                 cluster_node(&cluster, NODE_BROKER, b)->port);
        ck_assert_msg(strstr(text, line) != NULL, "%s", text);
    }
    ck_assert_int_eq(run_ottla("cluster cluster-id", "--zookeeper", cluster.zookeeper_connect), 0);
    ck_assert(strncmp(text, "Cluster ID: ", 12) == 0 && strchr(text, '\n')[1] == '\0');
    ck_assert_int_eq(run_ottla("topics --list", "--zookeeper", cluster.zookeeper_connect), 0);
    ck_assert_int_eq(ottla("cluster"), 0);
    snprintf(line, sizeof(line), "\nBroker: 4\tEndpoints: 127.0.0.1:%d\tRack: none\n",
             cluster_node(&cluster, NODE_BROKER, 4)->port);
    ck_assert_msg(strstr(text, line) != NULL, "%s", text);
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1,
                                      .controllers = 2,
                                      .brokers = 4,
                                      .broker_properties = "min.insync.replicas=2\n",
                                      .controller_properties =
                                          "auto.leader.rebalance.enable=false\n"
                                          "controller.broker.heartbeat.timeout.ms=60000\n"};

    return CLUSTER_SUITE(&cluster, &options, 300, the_cluster_is_told,
                         every_partition_moves_under_a_producer_and_back, what_cannot_be_is_said,
                         a_proposal_uses_the_brokers_given,
                         a_move_that_does_not_end_is_listed_and_taken_back);
}
