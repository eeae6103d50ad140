/* Replicated topics through a real cluster: acks=all with three replicas, and what a killed broker
 * must not cost. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct cluster cluster;

START_TEST(three_replicas_acknowledge_and_give_back)
{
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "three", 6, 3, 100000, 100);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 100000));
    ck_assert(sender_finish(&sender, true, 60));
}
END_TEST

START_TEST(a_killed_broker_costs_no_acknowledged_record)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 2);
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "survives", 6, 3, 300000, 100);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 100000));
    node_signal(&cluster, broker, SIGKILL);
    ck_assert(sender_send(sender, 100000));
    ck_assert(sender_flush(sender, 90)); /* without it: the others go on */
    node_start(&cluster, broker);
    node_wait_ready(&cluster, broker, 120);
    ck_assert(sender_send(sender, 100000));
    ck_assert(sender_finish(&sender, false, 90));
}
END_TEST

/* Whether the logs of topic "damaged" are the same bytes everywhere. */
static bool are_equal(void *of)
{
    char out[16];

    (void)of;
    int code =
        run_command(out, sizeof(out),
                    "for p in 0 1 2 3 4 5; do for n in 1 2 3; do "
                    "cat %s/broker-$n/data/damaged-$p/*.log | md5sum; done | uniq; done | wc -l",
                    cluster.folder);
    return code == 0 && atoi(out) == 6;
}

/* The middle of what a killed replica had not synced: more than the head of a batch, not all of
 * which a checksum covers. */
START_TEST(a_damaged_replica_fetches_again_what_it_lost)
{
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 1);
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "damaged", 6, 3, 100000, 100);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 60000) && sender_flush(sender, 60));
    node_signal(&cluster, broker, SIGKILL);
    ck_assert_int_eq(
        run_command(NULL, 0,
                    "for f in %s/data/damaged-*/*.log; do printf '%%064d' 0 | dd of=$f bs=1 "
                    "seek=$(($(stat -c %%s $f) / 2)) conv=notrunc 2> /dev/null; done",
                    broker->folder),
        0);
    node_start(&cluster, broker);
    node_wait_ready(&cluster, broker, 120);
    ck_assert(node_has_logged(broker, "cut behind the last good batch"));
    ck_assert(client_topic_is_in_sync(cluster.bootstrap, "damaged", 3, 60));
    ck_assert(sender_send(sender, 10000) && sender_flush(sender, 60));
    ck_assert(wait_for(are_equal, NULL, 60));
    ck_assert(sender_finish(&sender, true, 60));
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1, .controllers = 2, .brokers = 3};

    return CLUSTER_SUITE(&cluster, &options, 300, three_replicas_acknowledge_and_give_back,
                         a_killed_broker_costs_no_acknowledged_record,
                         a_damaged_replica_fetches_again_what_it_lost);
}
