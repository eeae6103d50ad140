/* Data through a real cluster: what is acknowledged is there, in order, byte for byte. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <signal.h>
#include <stdio.h>

static struct cluster cluster;

START_TEST(a_million_records_come_back_in_order)
{
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "million", 6, 1, 1000000, 40);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 1000000));
    ck_assert(sender_finish(&sender, true, 120));
}
END_TEST

START_TEST(kcat_gets_the_bytes_of_a_real_file)
{
    char out[512];
    const char *bootstrap = cluster.bootstrap;

    ck_assert(client_create_topic(bootstrap, "lines", 6, 1, 60));
    int code = run_command(
        out, sizeof(out),
        "cd %s && (cat /var/lib/dpkg/status /usr/share/common-licenses/* | grep . > sent; "
        "kcat -b %s -P -t lines -l -X acks=all sent && "
        "kcat -b %s -C -t lines -o beginning -e -q -X check.crcs=true > received && "
        "LC_ALL=C sort sent > a && LC_ALL=C sort received > b && cmp a b && wc -l < received) 2>&1",
        cluster.folder, bootstrap, bootstrap);
    ck_assert_msg(code == 0, "%s", out);
    ck_assert_int_gt(atoi(out), 10000);
}
END_TEST

START_TEST(a_killed_broker_comes_back_with_all_that_it_acknowledged)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 2);
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "killed", 6, 1, 400000, 100);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 100000));
    node_signal(&cluster, broker, SIGKILL); /* with requests in flight */
    ck_assert(sender_send(sender, 100000));
    node_start(&cluster, broker);
    node_wait_ready(&cluster, broker, 120);
    ck_assert(sender_send(sender, 100000));
    ck_assert(sender_finish(&sender, false, 90));
}
END_TEST

/* The recovery point of segmented-0 in broker 1's checkpoint; 0 if it is not there. */
static long recovery_point(void)
{
    char out[64];

    run_command(out, sizeof(out),
                "awk '$1 == \"segmented\" && $2 == 0 {print $3}' "
                "%s/data/recovery-point-offset-checkpoint 2> /dev/null",
                cluster_node(&cluster, NODE_BROKER, 1)->folder);
    return atol(out);
}

static bool most_is_synced(void *of)
{
    (void)of;
    return recovery_point() > 15000; /* of 20,000 records, 50 to a segment of 1 MiB and more */
}

START_TEST(after_a_kill_only_what_was_not_synced_is_read_again)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 1);
    char out[512];
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = "segmented",
                                     .partitions = 1,
                                     .numbers_max = 20000,
                                     .value_bytes = 2000,
                                     .acks = "all",
                                     .retries = true};

    ck_assert_msg(cluster_ottla(&cluster, out, sizeof(out),
                                "topics --create --topic segmented --replica-assignment 1 "
                                "--config segment.bytes=1048576") == 0,
                  "%s", out);
    ck_assert(client_topic_is_led(cluster.bootstrap, "segmented", 1, 60));
    struct sender *sender = sender_open(&options);
    ck_assert(sender_send(sender, 20000) && sender_flush(sender, 60));
    ck_assert(wait_for(most_is_synced, NULL, 90));
    node_signal(&cluster, broker, SIGKILL);
    node_start(&cluster, broker);
    node_wait_ready(&cluster, broker, 120);
    run_command(out, sizeof(out), "grep -o 'segments_recovered=[0-9]*' %s/log", broker->folder);
    int recovered = atoi(out + strcspn(out, "0123456789"));
    run_command(out, sizeof(out), "grep -o ' logs=[0-9]* ' %s/log", broker->folder);
    int logs = atoi(out + strcspn(out, "0123456789"));
    run_command(out, sizeof(out), "ls %s/data/segmented-0/*.log | wc -l", broker->folder);
    ck_assert_int_ge(atoi(out), 35);
    ck_assert_int_lt(recovered, logs + 15); /* one of each other partition among them */
    ck_assert(client_topic_is_led(cluster.bootstrap, "segmented", 1, 60));
    ck_assert(sender_verify(sender, true, 60));
    sender_close(&sender);
}
END_TEST

START_TEST(a_stopped_broker_has_a_clean_log_and_comes_back)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 3);
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "stopped", 3, 1, 30000, 100);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 30000));
    ck_assert(sender_flush(sender, 60));
    ck_assert_int_eq(node_signal(&cluster, broker, SIGTERM), 0);
    ck_assert_int_eq(run_command(NULL, 0, "test -e %s/data/.kafka_cleanshutdown", broker->folder),
                     0);
    node_start(&cluster, broker);
    node_wait_ready(&cluster, broker, 120);
    ck_assert_int_ne(run_command(NULL, 0, "test -e %s/data/.kafka_cleanshutdown", broker->folder),
                     0);
    ck_assert(client_topic_is_led(cluster.bootstrap, "stopped", 3, 60));
    ck_assert(sender_verify(sender, true, 60));
    sender_close(&sender);
}
END_TEST

START_TEST(a_topic_that_is_deleted_is_gone_and_can_be_made_again)
{
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = "again",
                                     .partitions = 2,
                                     .numbers_max = 1000,
                                     .value_bytes = 10,
                                     .acks = "all",
                                     .retries = true};

    for (int round = 0; round < 3; round++) {
        ck_assert(client_create_topic(cluster.bootstrap, "again", 2, 1, 60));
        struct sender *sender = sender_open(&options);
        ck_assert(sender_send(sender, 1000) && sender_flush(sender, 60));
        ck_assert_int_eq(sender_acknowledged(sender), 1000);
        ck_assert(sender_verify(sender, true, 60)); /* nothing of the round before */
        sender_close(&sender);
        ck_assert(client_delete_topic(cluster.bootstrap, "again", 60));
    }
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1,
                                      .controllers = 2,
                                      .brokers = 3,
                                      .broker_properties =
                                          "log.flush.offset.checkpoint.interval.ms=500"};

    return CLUSTER_SUITE(&cluster, &options, 300, a_million_records_come_back_in_order,
                         kcat_gets_the_bytes_of_a_real_file,
                         a_killed_broker_comes_back_with_all_that_it_acknowledged,
                         after_a_kill_only_what_was_not_synced_is_read_again,
                         a_stopped_broker_has_a_clean_log_and_comes_back,
                         a_topic_that_is_deleted_is_gone_and_can_be_made_again);
}
