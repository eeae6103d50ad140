/* What a log keeps and where: records that are deleted by order, on all replicas, and the offsets
 * that are told of what is left. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX (64 * 1024)

static struct cluster cluster;
static char text[TEXT_MAX];

/* Its exit code; what it says is in `text`. */
#define ottla(...) cluster_ottla(&cluster, text, sizeof(text), __VA_ARGS__)

/* −1: nothing is told. It may also say that it looks for another broker than the one that is away.
 */
static void expect_offset(const char *topic, const char *time, int64_t offset)
{
    char wanted[128];

    ck_assert_msg(ottla("get-offsets --topic %s --time %s", topic, time) == 0, "%s", text);
    int len = snprintf(wanted, sizeof(wanted), "%s:0:", topic);
    const char *told = strstr(text, wanted);
    if (offset >= 0)
        snprintf(wanted + len, sizeof(wanted) - (size_t)len, "%lld\n", (long long)offset);
    ck_assert_msg(offset < 0 ? told == NULL
                             : told != NULL && strncmp(told, wanted, strlen(wanted)) == 0,
                  "%s, time %s: %s instead of %s", topic, time, text, wanted);
}

/* What `ottla delete-records` says of partition 0. */
static int delete_below(const char *topic, int64_t offset)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/offsets.json", cluster.folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file,
            "{\"partitions\":[{\"topic\":\"%s\",\"partition\":0,\"offset\":%lld}],\"version\":1}",
            topic, (long long)offset);
    ck_assert_int_eq(fclose(file), 0);
    return ottla("delete-records --offset-json-file %s", path);
}

static int leader_of(const char *topic)
{
    ck_assert_msg(ottla("topics --describe --topic %s", topic) == 0, "%s", text);
    const char *at = strstr(text, "Leader: ");
    return at == NULL ? -1 : atoi(at + strlen("Leader: "));
}

static bool has_another_leader(void *of)
{
    int leader = leader_of("cut");

    return leader > 0 && leader != *(int *)of;
}

START_TEST(deleted_records_are_gone_on_every_replica)
{
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "cut", 1, 3, 1000, 100);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 1000));
    ck_assert(sender_finish(&sender, true, 60));
    expect_offset("cut", "earliest", 0);
    expect_offset("cut", "latest", 1000);
    expect_offset("cut", "earliest-local", 0);
    expect_offset("cut", "latest-tiered", -1);
    expect_offset("cut", "0", 0);
    expect_offset("cut", "4102444800000", -1);
    ck_assert_msg(ottla("get-offsets --topic cut --time max-timestamp") == 0, "%s", text);
    ck_assert_msg(strncmp(text, "cut:0:", 6) == 0, "%s", text);

    ck_assert_msg(delete_below("cut", 400) == 0, "%s", text);
    ck_assert_msg(strstr(text, "Records delete operation completed:\n"
                               "partition: cut-0\tlow_watermark: 400\n") != NULL,
                  "%s", text);
    expect_offset("cut", "earliest", 400);
    expect_offset("cut", "0", 400);
    ck_assert_msg(delete_below("cut", 1001) != 0, "%s", text);
    ck_assert_msg(strstr(text, "partition: cut-0\terror: OFFSET_OUT_OF_RANGE\n") != NULL, "%s",
                  text);

    /* It was answered when the others had followed: whoever leads next says the same. */
    int before = leader_of("cut");
    node_signal(&cluster, cluster_node(&cluster, NODE_BROKER, before), SIGKILL);
    ck_assert(wait_for(has_another_leader, &before, 60));
    expect_offset("cut", "earliest", 400);
    /* Who is away is not waited for, and learns of it when it is back. */
    ck_assert_msg(delete_below("cut", -1) == 0, "%s", text);
    expect_offset("cut", "earliest", 1000);
    node_start(&cluster, cluster_node(&cluster, NODE_BROKER, before));
    node_wait_ready(&cluster, cluster_node(&cluster, NODE_BROKER, before), 60);
    ck_assert(client_topic_is_in_sync(cluster.bootstrap, "cut", 3, 60));
    ck_assert_msg(delete_below("cut", 1000) == 0, "%s", text);
}
END_TEST

/* The leader hears of the policy in its time. */
static bool is_refused(void *of)
{
    (void)of;
    delete_below("kept", 0);
    return strstr(text, "partition: kept-0\terror: POLICY_VIOLATION\n") != NULL;
}

START_TEST(records_of_a_compacted_topic_are_not_deleted)
{
    ck_assert(client_create_topic(cluster.bootstrap, "kept", 1, 3, 60));
    ck_assert_msg(ottla("configs --alter --topic kept --add-config cleanup.policy=compact") == 0,
                  "%s", text);
    ck_assert_msg(wait_for(is_refused, NULL, 60), "%s", text);
}
END_TEST

/* ---- several log directories ---- */

#define SPREAD 6 /* partitions, on all three brokers */

/* Partitions of the topic "spread" in that directory of a broker, as `ottla log-dirs` says; −1: it
 * is offline. */
static int count_in(int broker, const char *directory)
{
    char path[128];
    int count = 0;

    ck_assert_msg(ottla("log-dirs --describe --topic-list spread --broker-list %d", broker) == 0,
                  "%s", text);
    snprintf(path, sizeof(path), "\"logDir\":\"%s/%s\"",
             cluster_node(&cluster, NODE_BROKER, broker)->folder, directory);
    const char *at = strstr(text, path);
    ck_assert_msg(at != NULL, "%s: %s", path, text);
    const char *end = strstr(at + 1, "\"logDir\":");
    const char *error = strstr(at, "\"error\":\"KAFKA_STORAGE_ERROR\"");
    if (error != NULL && (end == NULL || error < end)) return -1;
    while ((at = strstr(at, "\"partition\":\"spread-")) != NULL && (end == NULL || at < end)) {
        count++;
        at++;
    }
    return count;
}

static bool is_offline(void *of)
{
    (void)of;
    return count_in(1, "data-2") < 0;
}

/* Every partition is led, by broker 1 none whose log was in the lost directory, and by it some. */
static bool is_led_elsewhere(void *of)
{
    int led = 0, led_by_one = 0;

    (void)of;
    ck_assert_msg(ottla("topics --describe --topic spread") == 0, "%s", text);
    for (const char *at = text; (at = strstr(at, "Leader: ")) != NULL; at++) {
        int leader = atoi(at + strlen("Leader: "));
        led += leader >= 1;
        led_by_one += leader == 1;
    }
    return led == SPREAD && led_by_one <= SPREAD / 2;
}

START_TEST(a_lost_directory_takes_only_what_was_in_it)
{
    struct node *one = cluster_node(&cluster, NODE_BROKER, 1);
    struct sender *sender =
        sender_to_new_topic(cluster.bootstrap, "spread", SPREAD, 3, 100000, 100);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 3000) && sender_flush(sender, 60));
    /* Each new log goes where there are fewest. */
    int first = count_in(1, "data"), second = count_in(1, "data-2");
    ck_assert_int_eq(first + second, SPREAD);
    ck_assert(first > 0 && second > 0);

    /* Something else under its name: the next checkpoint finds out. */
    ck_assert_int_eq(run_command(NULL, 0, "mv %s/data-2 %s/was-data-2 && touch %s/data-2",
                                 one->folder, one->folder, one->folder),
                     0);
    ck_assert(wait_for(is_offline, NULL, 60));
    ck_assert_int_eq(count_in(1, "data"), first);
    ck_assert(wait_for(is_led_elsewhere, NULL, 60));
    ck_assert(sender_send(sender, 3000) && sender_flush(sender, 60));
    ck_assert_int_eq(sender_acknowledged(sender), 6000);

    /* The process lives, and is whole again when it is started with the directory. */
    ck_assert_int_eq(run_command(NULL, 0, "rm %s/data-2 && mv %s/was-data-2 %s/data-2", one->folder,
                                 one->folder, one->folder),
                     0);
    node_signal(&cluster, one, SIGTERM);
    node_start(&cluster, one);
    node_wait_ready(&cluster, one, 60);
    ck_assert(client_topic_is_in_sync(cluster.bootstrap, "spread", 3, 60));
    ck_assert_int_eq(count_in(1, "data-2"), second);
    ck_assert(sender_finish(&sender, true, 60));
}
END_TEST

int main(void)
{
    struct cluster_options options = {
        .zookeepers = 1, .controllers = 1, .brokers = 3, .log_dirs = 2};

    return CLUSTER_SUITE(&cluster, &options, 300, deleted_records_are_gone_on_every_replica,
                         records_of_a_compacted_topic_are_not_deleted,
                         a_lost_directory_takes_only_what_was_in_it);
}
