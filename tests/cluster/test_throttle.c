/* Configurations that change at run time, what log directories hold, and a move that is throttled:
 * slow as it was told, faster when it is told so, and without a trace when it has ended. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <stdio.h>
#include <string.h>

#define TEXT_MAX (64 * 1024)
#define RECORDS  24000
#define BYTES    (RECORDS * INT64_C(1000))
#define RATE     1000000

static struct cluster cluster;
static char text[TEXT_MAX];

static int ottla(const char *arguments)
{
    return cluster_ottla(&cluster, text, sizeof(text), "%s", arguments);
}

static void expect(const char *arguments, const char *output)
{
    ck_assert_msg(ottla(arguments) == 0, "%s: %s", arguments, text);
    ck_assert_msg(strstr(text, output) != NULL, "%s: %s", arguments, text);
}

struct wanted {
    const char *arguments, *output;
    bool is_absent;
};

static bool is_said(void *of)
{
    const struct wanted *wanted = of;

    return ottla(wanted->arguments) == 0 &&
           (strstr(text, wanted->output) != NULL) != wanted->is_absent;
}

/* A broker hears of a change a moment after it is answered. */
static void expect_soon(const char *arguments, const char *output)
{
    struct wanted wanted = {arguments, output, false};

    ck_assert_msg(wait_for(is_said, &wanted, 60), "%s: %s", arguments, text);
}

static void expect_gone(const char *arguments, const char *output)
{
    struct wanted wanted = {arguments, output, true};

    ck_assert_msg(wait_for(is_said, &wanted, 60), "%s: %s", arguments, text);
}

static void refuse(const char *arguments, const char *output)
{
    ck_assert_msg(ottla(arguments) != 0, "%s: %s", arguments, text);
    ck_assert_msg(strstr(text, output) != NULL, "%s: %s", arguments, text);
}

START_TEST(what_is_altered_is_described_and_stored)
{
    ck_assert(client_create_topic(cluster.bootstrap, "altered", 2, 2, 60));
    expect("configs --alter --topic altered --add-config "
           "'retention.ms=12345,cleanup.policy=[compact,delete]'",
           "Completed updating config for topic altered.");
    expect_soon("configs --describe --topic altered",
                "Dynamic configs for topic altered are:\n"
                "  cleanup.policy=compact,delete sensitive=false "
                "synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, "
                "DEFAULT_CONFIG:log.cleanup.policy=delete}\n"
                "  retention.ms=12345 sensitive=false ");
    expect("configs --alter --topic altered --delete-config cleanup.policy --add-config "
           "max.message.bytes=2000",
           "Completed");
    expect_soon("configs --describe --topic altered", "max.message.bytes=2000");
    ck_assert_msg(strstr(text, "cleanup.policy") == NULL, "%s", text);

    refuse("configs --alter --topic altered --delete-config cleanup.policy",
           "Invalid config(s): cleanup.policy");
    refuse("configs --alter --topic altered --add-config retention.ms=soon", "INVALID_CONFIG");
    refuse("configs --alter --topic altered --add-config no.such.key=1", "INVALID_CONFIG");
    refuse("configs --alter --topic nobody --add-config retention.ms=1",
           "UNKNOWN_TOPIC_OR_PARTITION");
    expect_soon("configs --describe --topic altered", "retention.ms=12345");
}
END_TEST

static bool has_logged_its_request(void *of)
{
    return node_has_logged(of, " debug broker request api=describe_configs version=");
}

START_TEST(brokers_take_what_can_change_at_run_time)
{
    expect("configs --alter --broker 2 --add-config leader.replication.throttled.rate=777",
           "Completed updating config for broker 2.");
    expect_soon("configs --describe --broker 2",
                "  leader.replication.throttled.rate=777 sensitive=false "
                "synonyms={DYNAMIC_BROKER_CONFIG:leader.replication.throttled.rate=777, ");
    expect_soon("configs --describe --broker 1", "Dynamic configs for broker 1 are:\n");
    ck_assert_msg(strstr(text, "throttled") == NULL, "%s", text);
    expect("configs --alter --broker-defaults --add-config log.retention.ms=98765",
           "Completed updating default config for brokers in the cluster.");
    expect_soon("configs --describe --broker-defaults",
                "Default configs for brokers in the cluster are:\n  log.retention.ms=98765");
    /* A topic without its own has the brokers' new default. */
    ck_assert(client_create_topic(cluster.bootstrap, "plain", 1, 3, 60));
    expect_soon("configs --describe --all --topic plain",
                "retention.ms=98765 sensitive=false "
                "synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=98765");
    expect("configs --alter --broker-defaults --delete-config log.retention.ms", "Completed");
    expect("configs --alter --broker 2 --delete-config leader.replication.throttled.rate",
           "Completed");
    refuse("configs --alter --broker 1 --add-config broker.rack=x", "INVALID_REQUEST");
    refuse("configs --alter --broker 1 --add-config num.io.threads=9", "INVALID_REQUEST");
    expect("configs --alter --broker-logger 1 --add-config root=DEBUG",
           "Completed updating config for broker-logger 1.");
    expect_soon("configs --describe --broker-logger 1", "root=DEBUG");
    expect("configs --alter --broker-logger 1 --add-config root=INFO", "Completed");
    /* A line for each request, of this broker, while it is asked for. */
    const struct node *one = cluster_node(&cluster, NODE_BROKER, 1);
    ck_assert(!node_has_logged(one, " broker request "));
    expect("configs --alter --broker-logger 1 --add-config kafka.request.logger=DEBUG",
           "Completed updating config for broker-logger 1.");
    expect_soon("configs --describe --broker-logger 1", "kafka.request.logger=DEBUG");
    ck_assert(wait_for(has_logged_its_request, cluster_node(&cluster, NODE_BROKER, 1), 30));
    ck_assert(!node_has_logged(cluster_node(&cluster, NODE_BROKER, 2), " broker request "));
    expect("configs --alter --broker-logger 1 --delete-config kafka.request.logger", "Completed");
    expect_soon("configs --describe --broker-logger 1", "kafka.request.logger=WARN");
    refuse("configs --alter --broker-logger 1 --add-config kafka.controller=DEBUG", "INVALID");
}
END_TEST

/* What the broker's directories say of a partition, −1 if nothing. */
static int64_t size_on(int broker, const char *partition)
{
    char arguments[64], wanted[64];

    snprintf(arguments, sizeof(arguments), "log-dirs --describe --broker-list %d", broker);
    ck_assert_msg(ottla(arguments) == 0, "%s", text);
    snprintf(wanted, sizeof(wanted), "{\"partition\":\"%s\",\"size\":", partition);
    const char *at = strstr(text, wanted);
    return at == NULL ? -1 : atoll(at + strlen(wanted));
}

static void write_json(const char *json)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/moves.json", cluster.folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(json, file);
    ck_assert_int_eq(fclose(file), 0);
}

static void reassign(const char *action, const char *output)
{
    char arguments[256];

    snprintf(arguments, sizeof(arguments), "reassign %s --reassignment-json-file %s/moves.json",
             action, cluster.folder);
    expect(arguments, output);
}

static bool is_moved(void *unused)
{
    (void)unused;
    reassign("--verify --preserve-throttles", "Status of partition reassignment:");
    return strstr(text, "Reassignment of partition big-0 is completed.") != NULL;
}

static void fill(const char *topic)
{
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = topic,
                                     .partitions = 1,
                                     .numbers_max = RECORDS,
                                     .value_bytes = 1000,
                                     .acks = "all",
                                     .retries = true};
    struct sender *sender = sender_open(&options);

    ck_assert(sender_send(sender, RECORDS));
    ck_assert(sender_flush(sender, 60));
    ck_assert_int_eq(sender_acknowledged(sender), RECORDS);
    ck_assert(sender_verify(sender, true, 60));
    sender_close(&sender);
}

/* As this broker says of itself. */
static bool has_limited_topic(void *of)
{
    const struct node *broker = of;
    struct cluster one = cluster;

    snprintf(one.bootstrap, sizeof(one.bootstrap), "%s:%d", broker->address, broker->port);
    return cluster_ottla(&one, text, sizeof(text), "configs --describe --topic big") == 0 &&
           strstr(text, "follower.replication.throttled.replicas=0:2 ") != NULL;
}

/* As the tool will do it. */
static void limit_to_rate(void)
{
    expect("configs --alter --topic big --add-config leader.replication.throttled.replicas=0:1,"
           "follower.replication.throttled.replicas=0:2",
           "Completed");
    expect("configs --alter --broker 1 --add-config leader.replication.throttled.rate=1000000",
           "Completed");
    expect("configs --alter --broker 2 --add-config follower.replication.throttled.rate=1000000",
           "Completed");
    expect_soon("configs --describe --broker 1", "throttled.rate=1000000 ");
    expect_soon("configs --describe --broker 2", "throttled.rate=1000000 ");
    for (int i = 1; i <= 2; i++)
        ck_assert_msg(wait_for(has_limited_topic, cluster_node(&cluster, NODE_BROKER, i), 60), "%s",
                      text);
}

START_TEST(a_throttled_move_is_as_slow_as_it_was_told)
{
    expect("topics --create --topic big --replica-assignment 1", "");
    fill("big");
    int64_t whole = size_on(1, "big-0");
    ck_assert_int_ge(whole, BYTES);
    ck_assert_int_eq(size_on(2, "big-0"), -1);

    write_json("{\"version\":1,\"partitions\":[{\"topic\":\"big\",\"partition\":0,"
               "\"replicas\":[2]}]}");
    /* It must not have ended before the brokers have heard of the limit. */
    limit_to_rate();
    double began = seconds_now();
    reassign("--execute --throttle 1000000",
             "The inter-broker throttle limit was set to 1000000 B/s\n"
             "Successfully started partition reassignment for big-0\n");
    expect_soon("configs --describe --topic big", "leader.replication.throttled.replicas=0:1 ");
    expect_soon("configs --describe --topic big", "follower.replication.throttled.replicas=0:2 ");
    expect_soon("configs --describe --broker 1", "leader.replication.throttled.rate=1000000 ");
    expect_soon("configs --describe --broker 2", "follower.replication.throttled.rate=1000000 ");

    /* A quarter has come: not before its time. One fetch of a mebibyte may be too much, on either
     * side, and the first window is for free. */
    int64_t has = -1;
    while (has < whole / 4) {
        has = size_on(2, "big-0");
        ck_assert_msg(seconds_now() < began + 120, "%lld", (long long)has);
    }
    double took = seconds_now() - began;
    ck_assert_msg(took >= (double)(has - 3 * (1 << 20)) / RATE, "%lld bytes in %.1f s",
                  (long long)has, took);
    ck_assert_int_lt(has, whole);
    reassign("--verify", "Reassignment of partition big-0 is still in progress.\n"
                         "  big-0: broker 2 has ");
    expect_soon("configs --describe --broker 2", "follower.replication.throttled.rate=1000000 ");

    reassign("--execute --additional --throttle 1000000000", "1000000000 B/s");
    ck_assert(wait_for(is_moved, NULL, 60));
    expect_soon("configs --describe --broker 2", "follower.replication.throttled.rate=1000000000 ");
    reassign("--verify", "Reassignment of partition big-0 is completed.\n\n"
                         "Clearing broker-level throttles on brokers 1,2,3\n"
                         "Clearing topic-level throttles on topic big\n");
    expect_gone("configs --describe --broker 2", "throttled");
    expect_gone("configs --describe --topic big", "throttled");
    ck_assert_int_eq(size_on(2, "big-0"), whole);
}
END_TEST

START_TEST(a_move_that_is_taken_back_leaves_no_throttle)
{
    expect("topics --create --topic stays --replica-assignment 1", "");
    fill("stays");
    write_json("{\"version\":1,\"partitions\":[{\"topic\":\"stays\",\"partition\":0,"
               "\"replicas\":[3]}]}");
    reassign("--execute --throttle 1000", "Successfully started");
    reassign("--cancel --preserve-throttles",
             "Successfully cancelled partition reassignment for: stays-0");
    expect_soon("configs --describe --broker 3", "follower.replication.throttled.rate=1000 ");
    reassign("--cancel", "None of the specified partition reassignments are active.\n\n"
                         "Clearing broker-level throttles on brokers 1,2,3\n");
    expect_gone("configs --describe --broker 3", "throttled");
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1, .controllers = 1, .brokers = 3};

    return CLUSTER_SUITE(&cluster, &options, 300, what_is_altered_is_described_and_stored,
                         brokers_take_what_can_change_at_run_time,
                         a_throttled_move_is_as_slow_as_it_was_told,
                         a_move_that_is_taken_back_leaves_no_throttle);
}
