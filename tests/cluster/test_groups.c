/* Groups through a real cluster with librdkafka: members come, go, are killed and return; a
 * partition has one owner in a generation, every record is read, commits never go back. */
#include "base/ensure.h"
#include "tests/cluster/client.h"
#include "tests/cluster/cluster.h"
#include "tests/unit/unit.h"
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMBERS     6
#define PARTITIONS  12
#define NUMBERS_MAX 200000
#define GENERATIONS 4000

static struct cluster cluster;

/* ---- members: processes, each with a log that outlives it ---- */

struct crowd {
    const char *group, *topic, *strategy;
    bool is_static;
    pid_t pids[MEMBERS]; /* 0: not there */
    long read_at[MEMBERS];
    bool *has_read; /* by number */
    int64_t read;
    int owner[GENERATIONS][PARTITIONS]; /* member + 1 */
    int generations;
    int64_t committed[PARTITIONS];
};

static const char *programs(void)
{
    return getenv("OTTLA_BUILD") == NULL ? "." : getenv("OTTLA_BUILD");
}

static void log_path(const struct crowd *crowd, int member, char *out, size_t size)
{
    snprintf(out, size, "%s/%s.%d", cluster.folder, crowd->group, member);
}

static void member_start(struct crowd *crowd, int member)
{
    char program[512], path[256], instance[32];

    snprintf(program, sizeof(program), "%s/tests/cluster/group_member", programs());
    snprintf(instance, sizeof(instance), "i%d", member);
    log_path(crowd, member, path, sizeof(path));
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, "group_member", cluster.bootstrap, crowd->group, crowd->topic, path,
              crowd->strategy, crowd->is_static ? instance : "-", (char *)NULL);
        _exit(127);
    }
    ck_assert_int_gt(pid, 0);
    crowd->pids[member] = pid;
}

static void member_end(struct crowd *crowd, int member, int number)
{
    int status = 0;

    if (crowd->pids[member] == 0) return;
    kill(crowd->pids[member], number);
    ck_assert_int_eq(waitpid(crowd->pids[member], &status, 0), crowd->pids[member]);
    ck_assert_msg(number == SIGKILL || (WIFEXITED(status) && WEXITSTATUS(status) == 0),
                  "member %d ended with %d", member, status);
    crowd->pids[member] = 0;
}

/* What a member says that it owns in a generation, nobody else owned in it. */
static void note_owned(struct crowd *crowd, int member, char *text)
{
    char *save = NULL, *word = strtok_r(text, " ", &save);
    int generation = atoi(strtok_r(NULL, " ", &save));

    (void)word;
    if (generation < 0 || generation >= GENERATIONS) return;
    if (generation > crowd->generations) crowd->generations = generation;
    while ((word = strtok_r(NULL, " ", &save)) != NULL) {
        int partition = atoi(word);
        int *owner = &crowd->owner[generation][partition];
        ck_assert_msg(*owner == 0 || *owner == member + 1,
                      "partition %d of generation %d is owned by %d and by %d", partition,
                      generation, *owner - 1, member);
        *owner = member + 1;
    }
}

static void crowd_look(struct crowd *crowd)
{
    char path[256], text[4096];

    for (int member = 0; member < MEMBERS; member++) {
        log_path(crowd, member, path, sizeof(path));
        FILE *file = fopen(path, "r");
        if (file == NULL) continue;
        fseek(file, crowd->read_at[member], SEEK_SET);
        while (fgets(text, sizeof(text), file) != NULL) {
            if (text[strlen(text) - 1] != '\n') break; /* a kill in the middle of one */
            crowd->read_at[member] = ftell(file);
            if (text[0] == 'a') note_owned(crowd, member, text);
            if (text[0] != 'r') continue;
            int64_t number = atoll(text + 2);
            if (number < 0 || number >= NUMBERS_MAX || crowd->has_read[number]) continue;
            crowd->has_read[number] = true;
            crowd->read++;
        }
        fclose(file);
    }
}

/* What the group has committed, asked from outside; false when nobody could say. */
static bool crowd_committed(struct crowd *crowd, rd_kafka_t *asker, int64_t *total)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);

    for (int p = 0; p < PARTITIONS; p++)
        rd_kafka_topic_partition_list_add(list, crowd->topic, p);
    bool is_told = rd_kafka_committed(asker, list, 2000) == RD_KAFKA_RESP_ERR_NO_ERROR;
    *total = 0;
    for (int i = 0; is_told && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &list->elems[i];
        if (part->err != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
        int64_t offset = part->offset < 0 ? 0 : part->offset;
        ck_assert_msg(offset >= crowd->committed[part->partition],
                      "commit of partition %d went back from %lld to %lld", part->partition,
                      (long long)crowd->committed[part->partition], (long long)offset);
        crowd->committed[part->partition] = offset;
        *total += offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return is_told;
}

static rd_kafka_t *asker_open(const char *group)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256];

    rd_kafka_conf_set(conf, "bootstrap.servers", cluster.bootstrap, why, sizeof(why));
    rd_kafka_conf_set(conf, "group.id", group, why, sizeof(why));
    rd_kafka_conf_set(conf, "log_level", "0", why, sizeof(why));
    rd_kafka_conf_set(conf, "reconnect.backoff.max.ms", "200", why, sizeof(why));
    rd_kafka_t *asker = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    ck_assert_ptr_nonnull(asker);
    return asker;
}

static struct crowd *crowd_open(const char *group, const char *topic, const char *strategy,
                                bool is_static)
{
    struct crowd *crowd = ensure_zalloc(sizeof(*crowd));

    crowd->group = group;
    crowd->topic = topic;
    crowd->strategy = strategy;
    crowd->is_static = is_static;
    crowd->has_read = ensure_zalloc(NUMBERS_MAX);
    for (int i = 0; i < MEMBERS; i++)
        member_start(crowd, i);
    return crowd;
}

static void crowd_close(struct crowd *crowd)
{
    for (int i = 0; i < MEMBERS; i++)
        member_end(crowd, i, SIGTERM);
    crowd_look(crowd);
    free(crowd->has_read);
    free(crowd);
}

struct progress {
    struct crowd *crowd;
    int64_t wanted;
    int generation;
};

static bool has_read_all(void *of)
{
    struct progress *progress = of;

    crowd_look(progress->crowd);
    return progress->crowd->read >= progress->wanted;
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

    ck_assert(client_create_topic(cluster.bootstrap, topic, PARTITIONS, 3, 30));
    return sender_open(&options);
}

/* ---- members come and go ---- */

static bool has_new_generation(void *of)
{
    struct progress *progress = of;

    crowd_look(progress->crowd);
    return progress->crowd->generations > progress->generation;
}

/* Of dynamic members each that goes is missed; static ones are back before. */
static void await_generation(struct progress *progress)
{
    if (!progress->crowd->is_static)
        ck_assert_msg(wait_for(has_new_generation, progress, 20), "no rebalance after %d",
                      progress->generation);
    progress->generation = progress->crowd->generations;
}

static void churn(const char *group, const char *strategy, bool is_static)
{
    struct sender *sender = sender_to(group);
    struct crowd *crowd = crowd_open(group, group, strategy, is_static);
    rd_kafka_t *asker = asker_open(group);
    struct progress progress = {.crowd = crowd, .wanted = 1000};
    int64_t total;

    ck_assert(sender_send(sender, 1000) && sender_flush(sender, 60));
    ck_assert_msg(wait_for(has_read_all, &progress, 90), "the group did not begin to read");
    for (int round = 0; round < 6; round++) {
        int leaves = round % MEMBERS, dies = (round + 3) % MEMBERS;
        crowd_look(crowd);
        progress.generation = crowd->generations;
        member_end(crowd, leaves, SIGTERM);
        ck_assert(sender_send(sender, 500));
        await_generation(&progress);
        crowd_committed(crowd, asker, &total);
        member_end(crowd, dies, SIGKILL);
        ck_assert(sender_send(sender, 500));
        await_generation(&progress);
        crowd_look(crowd);
        crowd_committed(crowd, asker, &total);
        member_start(crowd, leaves);
        ck_assert(sender_send(sender, 500));
        member_start(crowd, dies);
        progress.wanted = sender_sent(sender);
        ck_assert(sender_flush(sender, 60));
        if (round % 2 == 1)
            ck_assert_msg(wait_for(has_read_all, &progress, 90), "read %lld of %lld",
                          (long long)crowd->read, (long long)progress.wanted);
        crowd_committed(crowd, asker, &total);
    }
    for (int i = 0; i < MEMBERS; i++) /* all leave: what they have read is committed */
        member_end(crowd, i, SIGTERM);
    ck_assert(crowd_committed(crowd, asker, &total));
    ck_assert_int_eq(total, sender_acknowledged(sender));
    ck_assert_int_ge(crowd->generations, is_static ? 1 : 12);
    printf("%s: %d generations, %lld records\n", group, crowd->generations, (long long)crowd->read);
    rd_kafka_destroy(asker);
    crowd_close(crowd);
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
    int code = run_command(out, size, "%s/ottla groups --bootstrap-server %s %s 2>&1", programs(),
                           cluster.bootstrap, arguments);
    ck_assert_msg(code == 0, "%s: %d %s", arguments, code, out);
}

START_TEST(the_tool_lists_describes_resets_and_deletes)
{
    char out[4096];
    int code = run_command(
        out, sizeof(out),
        "cd %s && seq 1 100 | kcat -b %s -P -t tool -p 0 && "
        "timeout 60 kcat -b %s -G tool-group -X auto.offset.reset=earliest -c 100 -q tool 2>&1",
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

/* ---- the coordinator goes ---- */

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
    struct crowd *crowd = crowd_open("g1", "g1", "range", false);
    rd_kafka_t *asker = asker_open("g1");
    struct progress progress = {.crowd = crowd, .wanted = 2000};
    int64_t total = 0, after = 0;

    ck_assert(sender_send(sender, 2000) && sender_flush(sender, 60));
    ck_assert(wait_for(has_read_all, &progress, 90));
    for (int round = 0; round < 3; round++) {
        int id = coordinator_of_g1(asker);
        ck_assert_int_gt(id, 0);
        struct node *broker = cluster_node(&cluster, NODE_BROKER, id);
        ck_assert(sender_send(sender, 2000));
        ck_assert(crowd_committed(crowd, asker, &total));
        node_signal(&cluster, broker, SIGKILL);
        double killed = seconds_now();
        while (!crowd_committed(crowd, asker, &after) && seconds_now() - killed < 30) {
        }
        double answered = seconds_now() - killed;
        ck_assert_msg(answered < 10, "nobody knew the commits for %.1f s", answered);
        ck_assert_int_ge(after, total); /* and crowd_committed looks at each */
        ck_assert(sender_send(sender, 1000));
        ck_assert(sender_flush(sender, 60));
        progress.wanted = sender_sent(sender);
        ck_assert_msg(wait_for(has_read_all, &progress, 90), "read %lld of %lld",
                      (long long)crowd->read, (long long)progress.wanted);
        printf("coordinator %d killed: commits told again after %.2f s, all read after %.2f s\n",
               id, answered, seconds_now() - killed);
        node_start(&cluster, broker);
        node_wait_ready(&cluster, broker, 40);
    }
    for (int i = 0; i < MEMBERS; i++)
        member_end(crowd, i, SIGTERM);
    ck_assert(crowd_committed(crowd, asker, &total));
    ck_assert_int_ge(total, sender_acknowledged(sender)); /* some were sent twice */
    rd_kafka_destroy(asker);
    crowd_close(crowd);
    sender_close(&sender);
}
END_TEST

START_TEST(kcat_reads_in_a_group_and_goes_on_where_it_stopped)
{
    char out[512];
    const char *bootstrap = cluster.bootstrap;

    ck_assert(client_create_topic(bootstrap, "kcat", 3, 1, 30));
    int code = run_command(out, sizeof(out),
                           "cd %s && seq 1 300 | kcat -b %s -P -t kcat && "
                           "timeout 60 kcat -b %s -G by-kcat -X auto.offset.reset=earliest -c 300 "
                           "-q kcat | sort -n > a && "
                           "seq 301 400 | kcat -b %s -P -t kcat && "
                           "timeout 60 kcat -b %s -G by-kcat -X auto.offset.reset=earliest -c 100 "
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
