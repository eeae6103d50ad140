/* Groups through a real cluster with librdkafka: members come, go, are killed and return; a
 * partition has one owner in a generation, every record is read, commits never go back. */
#include "tests/cluster/client.h"
#include "tests/cluster/cluster.h"
#include "tests/cluster/crowd.h"
#include "tests/unit/unit.h"
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MEMBERS     6
#define PARTITIONS  12
#define NUMBERS_MAX 200000

static struct cluster cluster;

/* ---- members: processes, each with a log that outlives it ---- */

static struct crowd *crowd_of(const char *group, const char *strategy, bool is_static)
{
    struct crowd *crowd = crowd_open(&(struct crowd_options){.cluster = &cluster,
                                                             .group = group,
                                                             .topic = group,
                                                             .strategy = strategy,
                                                             .is_static = is_static,
                                                             .members = MEMBERS,
                                                             .partitions = PARTITIONS,
                                                             .numbers_max = NUMBERS_MAX});

    for (int i = 0; i < MEMBERS; i++)
        crowd_start(crowd, i);
    return crowd;
}

static void all_leave(struct crowd *crowd)
{
    for (int i = 0; i < MEMBERS; i++)
        crowd_end(crowd, i, SIGTERM);
}

static struct sender *sender_to(const char *topic)
{
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = topic,
                                     .partitions = PARTITIONS,
                                     .numbers_max = NUMBERS_MAX,
                                     .value_bytes = 16,
                                     .acks = "all",
                                     .retries = true};

    ck_assert(client_create_topic(cluster.bootstrap, topic, PARTITIONS, 3, 60));
    return sender_open(&options);
}

/* ---- members come and go ---- */

/* Of dynamic members each that goes is missed; static ones are back before. */
static void await_generation(struct crowd *crowd, bool is_static, int *generation)
{
    if (!is_static)
        ck_assert_msg(crowd_await_generation(crowd, *generation, 60), "no rebalance after %d",
                      *generation);
    *generation = crowd_generations(crowd);
}

static void churn(const char *group, const char *strategy, bool is_static)
{
    struct sender *sender = sender_to(group);
    struct crowd *crowd = crowd_of(group, strategy, is_static);
    int64_t total;

    ck_assert(sender_send(sender, 1000) && sender_flush(sender, 60));
    ck_assert_msg(crowd_await_read(crowd, 1000, 90), "the group did not begin to read");
    for (int round = 0; round < 6; round++) {
        int leaves = round % MEMBERS, dies = (round + 3) % MEMBERS;
        crowd_look(crowd);
        int generation = crowd_generations(crowd);
        crowd_end(crowd, leaves, SIGTERM);
        ck_assert(sender_send(sender, 500));
        await_generation(crowd, is_static, &generation);
        crowd_committed(crowd, &total);
        crowd_end(crowd, dies, SIGKILL);
        ck_assert(sender_send(sender, 500));
        await_generation(crowd, is_static, &generation);
        crowd_committed(crowd, &total);
        crowd_start(crowd, leaves);
        ck_assert(sender_send(sender, 500));
        crowd_start(crowd, dies);
        ck_assert(sender_flush(sender, 60));
        if (round % 2 == 1)
            ck_assert(crowd_await_read(crowd, sender_sent(sender), 120) &&
                      crowd_await_whole(crowd, 120));
        crowd_committed(crowd, &total);
    }
    all_leave(crowd); /* what they have read is committed */
    ck_assert(crowd_await_committed(crowd, &total));
    ck_assert_int_eq(total, sender_acknowledged(sender));
    ck_assert_int_ge(crowd_generations(crowd), is_static ? 1 : 12);
    printf("%s: %d generations, %lld records\n", group, crowd_generations(crowd),
           (long long)crowd_read(crowd));
    crowd_close(&crowd);
    sender_close(&sender);
}

START_TEST(an_eager_group_of_dynamic_members_reads_everything)
{
    churn("eager", "range", false);
}
END_TEST

START_TEST(an_eager_group_of_static_members_reads_everything)
{
    churn("eager-static", "roundrobin", true);
}
END_TEST

START_TEST(a_cooperative_group_of_dynamic_members_reads_everything)
{
    churn("cooperative", "cooperative-sticky", false);
}
END_TEST

START_TEST(a_cooperative_group_of_static_members_reads_everything)
{
    churn("cooperative-static", "cooperative-sticky", true);
}
END_TEST

/* ---- the tool ---- */

static void ottla_groups(const char *arguments, char *out, int size)
{
    int code = cluster_ottla(&cluster, out, size, "groups %s", arguments);
    ck_assert_msg(code == 0, "%s: %d %s", arguments, code, out);
}

START_TEST(the_tool_lists_describes_resets_and_deletes)
{
    char out[4096];
    int code = run_command(
        out, sizeof(out),
        "cd %s && seq 1 100 | kcat -b %s -P -t tool -p 0 && "
        "timeout 120 kcat -b %s -G tool-group -X auto.offset.reset=earliest -c 100 -q tool 2>&1",
        cluster.folder, cluster.bootstrap, cluster.bootstrap);
    ck_assert_msg(code == 0, "%d %s", code, out);
    ottla_groups("--list --state", out, sizeof(out));
    ck_assert_msg(strstr(out, "tool-group") != NULL && strstr(out, "Empty") != NULL, "%s", out);
    ottla_groups("--describe --group tool-group", out, sizeof(out));
    ck_assert_msg(strstr(out, "0          100             100             0 ") != NULL, "%s", out);
    ottla_groups("--reset-offsets --group tool-group --topic tool:0 --shift-by -30", out,
                 sizeof(out));
    ck_assert_msg(strstr(out, "0          70 ") != NULL, "%s", out);
    ottla_groups("--describe --group tool-group", out, sizeof(out)); /* that was dry */
    ck_assert_msg(strstr(out, "0          100             100             0 ") != NULL, "%s", out);
    ottla_groups("--reset-offsets --group tool-group --topic tool:0 --shift-by -30 --execute", out,
                 sizeof(out));
    ottla_groups("--describe --group tool-group", out, sizeof(out));
    ck_assert_msg(strstr(out, "0          70              100             30 ") != NULL, "%s", out);
    ottla_groups("--delete-offsets --group tool-group --topic tool:0", out, sizeof(out));
    ck_assert_msg(strstr(out, "Successful") != NULL, "%s", out);
    ottla_groups("--delete --group tool-group", out, sizeof(out));
    ck_assert_msg(strstr(out, "('tool-group') was successful") != NULL, "%s", out);
    ottla_groups("--describe --group tool-group", out, sizeof(out));
    ck_assert_msg(strstr(out, "does not exist") != NULL, "%s", out);
}
END_TEST

START_TEST(the_tool_reads_as_a_member)
{
    const char *source = getenv("OTTLA_SOURCE");
    char out[4096];
    int code = run_command(out, sizeof(out),
                           "timeout -k 5 600 %s/tests/cluster/consume_group.sh %s %s 2>&1",
                           source == NULL ? "." : source, cluster.bootstrap, cluster.folder);

    ck_assert_msg(code == 0, "%d %s", code, out);
}
END_TEST

/* ---- the coordinator goes ---- */

static rd_kafka_t *asker_open(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256];

    rd_kafka_conf_set(conf, "bootstrap.servers", cluster.bootstrap, why, sizeof(why));
    rd_kafka_conf_set(conf, "log_level", "0", why, sizeof(why));
    rd_kafka_conf_set(conf, "reconnect.backoff.max.ms", "200", why, sizeof(why));
    rd_kafka_t *asker = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
    ck_assert_ptr_nonnull(asker);
    return asker;
}

/* Who leads the partition of __consumer_offsets that has "g1": the 42nd of 50. */
static int coordinator_of_g1(rd_kafka_t *asker)
{
    const struct rd_kafka_metadata *metadata = NULL;
    int leader = -1;

    rd_kafka_topic_t *topic = rd_kafka_topic_new(asker, "__consumer_offsets", NULL);
    if (rd_kafka_metadata(asker, 0, topic, &metadata, 5000) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (metadata->topic_cnt == 1 && metadata->topics[0].partition_cnt == 50)
            leader = metadata->topics[0].partitions[42].leader;
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(topic);
    return leader;
}

START_TEST(a_killed_coordinator_is_followed_by_another_that_knows_all_commits)
{
    struct sender *sender = sender_to("g1");
    struct crowd *crowd = crowd_of("g1", "range", false);
    rd_kafka_t *asker = asker_open();
    int64_t total = 0, after = 0;

    ck_assert(sender_send(sender, 2000) && sender_flush(sender, 60));
    ck_assert(crowd_await_read(crowd, 2000, 90));
    for (int round = 0; round < 3; round++) {
        int id = coordinator_of_g1(asker);
        ck_assert_int_gt(id, 0);
        struct node *broker = cluster_node(&cluster, NODE_BROKER, id);
        ck_assert(sender_send(sender, 2000));
        ck_assert(crowd_await_committed(crowd, &total));
        node_signal(&cluster, broker, SIGKILL);
        double killed = seconds_now();
        ck_assert_msg(crowd_await_committed(crowd, &after), "nobody knew the commits");
        double answered = seconds_now() - killed;
        ck_assert_int_ge(after, total); /* and crowd_committed looks at each */
        ck_assert(sender_send(sender, 1000));
        ck_assert(sender_flush(sender, 60));
        ck_assert(crowd_await_read(crowd, sender_sent(sender), 120));
        printf("coordinator %d killed: commits told again after %.2f s, all read after %.2f s\n",
               id, answered, seconds_now() - killed);
        node_start(&cluster, broker);
        node_wait_ready(&cluster, broker, 60);
    }
    all_leave(crowd);
    ck_assert(crowd_await_committed(crowd, &total));
    ck_assert_int_ge(total, sender_acknowledged(sender)); /* some were sent twice */
    rd_kafka_destroy(asker);
    crowd_close(&crowd);
    sender_close(&sender);
}
END_TEST

START_TEST(kcat_reads_in_a_group_and_goes_on_where_it_stopped)
{
    char out[512];
    const char *bootstrap = cluster.bootstrap;

    ck_assert(client_create_topic(bootstrap, "kcat", 3, 1, 60));
    int code = run_command(out, sizeof(out),
                           "cd %s && seq 1 300 | kcat -b %s -P -t kcat && "
                           "timeout 120 kcat -b %s -G by-kcat -X auto.offset.reset=earliest -c 300 "
                           "-q kcat | sort -n > a && "
                           "seq 301 400 | kcat -b %s -P -t kcat && "
                           "timeout 120 kcat -b %s -G by-kcat -X auto.offset.reset=earliest -c 100 "
                           "-q kcat | sort -n > b && "
                           "seq 1 300 | cmp - a && seq 301 400 | cmp - b 2>&1",
                           cluster.folder, bootstrap, bootstrap, bootstrap, bootstrap);
    ck_assert_msg(code == 0, "%d %s", code, out);
}
END_TEST

int main(void)
{
    struct cluster_options options = {
        .zookeepers = 1,
        .controllers = 1,
        .brokers = 3,
        .broker_properties = "group.min.session.timeout.ms=1000\n"
                             "group.initial.rebalance.delay.ms=300\n"
                             "offsets.topic.replication.factor=3\n",
    };
    const TTest *const tests[] = {
        kcat_reads_in_a_group_and_goes_on_where_it_stopped,
        the_tool_lists_describes_resets_and_deletes,
        the_tool_reads_as_a_member,
        an_eager_group_of_dynamic_members_reads_everything,
        an_eager_group_of_static_members_reads_everything,
        a_cooperative_group_of_dynamic_members_reads_everything,
        a_cooperative_group_of_static_members_reads_everything,
        a_killed_coordinator_is_followed_by_another_that_knows_all_commits,
    };
    const char *missing = cluster_missing();

    if (missing != NULL) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    cluster_start(&cluster, &options);
    int failed = unit_run_no_fork(__FILE__, tests, sizeof(tests) / sizeof(tests[0]), 900);
    cluster_stop(&cluster);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
