/* Replicas move to another log directory of their broker: led and followed, written to meanwhile,
 * through kills of the process, called off, deleted, and as part of a move to another broker. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (64 * 1024)

static struct cluster cluster;
static char text[TEXT_MAX];

/* Its exit code; what it says is in `text`. */
#define ottla(...) cluster_ottla(&cluster, text, sizeof(text), __VA_ARGS__)

static void expect_text(const char *wanted)
{
    ck_assert_msg(strstr(text, wanted) != NULL, "no <%s> in: %s", wanted, text);
}

/* How many entries a directory of broker `number` has whose names are `pattern`. */
static int count_in(int number, const char *dir, const char *pattern)
{
    char out[32];

    ck_assert_int_eq(run_command(out, sizeof(out), "ls -d %s/%s/%s 2>/dev/null | wc -l",
                                 cluster_node(&cluster, NODE_BROKER, number)->folder, dir, pattern),
                     0);
    return atoi(out);
}

/* "data" or "data-2". */
static const char *dir_of(int number, const char *partition)
{
    bool is_first = count_in(number, "data", partition) == 1;

    ck_assert_int_eq(count_in(number, "data-2", partition), !is_first);
    return is_first ? "data" : "data-2";
}

static const char *other_of(const char *dir)
{
    return strcmp(dir, "data") == 0 ? "data-2" : "data";
}

static void replicas_of(const char *topic, int replicas[2])
{
    ck_assert_msg(ottla("topics --describe --topic %s", topic) == 0, "%s", text);
    const char *at = strstr(text, "Replicas: ");
    ck_assert_msg(at != NULL && sscanf(at, "Replicas: %d,%d", &replicas[0], &replicas[1]) >= 1,
                  "%s", text);
}

static char list_path[128];

/* Partition 0 of a topic: replica `i` is on that broker, in that directory ("any": wherever). */
static void write_list(const char *topic, int count, const int *replicas, const char *const *dirs)
{
    snprintf(list_path, sizeof(list_path), "%s/list.json", cluster.folder);
    FILE *file = fopen(list_path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "{\"version\":1,\"partitions\":[{\"topic\":\"%s\",\"partition\":0,\"replicas\":[",
            topic);
    for (int i = 0; i < count; i++)
        fprintf(file, "%s%d", i == 0 ? "" : ",", replicas[i]);
    fprintf(file, "],\"log_dirs\":[");
    for (int i = 0; i < count; i++) {
        const char *folder = cluster_node(&cluster, NODE_BROKER, replicas[i])->folder;
        if (strcmp(dirs[i], "any") == 0)
            fprintf(file, "%s\"any\"", i == 0 ? "" : ",");
        else
            fprintf(file, "%s\"%s/%s\"", i == 0 ? "" : ",", folder, dirs[i]);
    }
    fprintf(file, "]}]}");
    ck_assert_int_eq(fclose(file), 0);
}

static int reassign(const char *action)
{
    return ottla("reassign %s --reassignment-json-file %s", action, list_path);
}

struct place {
    int number;
    const char *partition, *dir;
};

static bool is_there(void *of)
{
    const struct place *place = of;
    char future[128];

    snprintf(future, sizeof(future), "%s.*-future", place->partition);
    return count_in(place->number, place->dir, place->partition) == 1 &&
           count_in(place->number, other_of(place->dir), place->partition) == 0 &&
           count_in(place->number, place->dir, future) == 0;
}

static void expect_there(int number, const char *partition, const char *dir)
{
    struct place place = {number, partition, dir};

    ck_assert_msg(wait_for(is_there, &place, 120), "%s of broker %d is not in %s", partition,
                  number, dir);
}

static struct sender *filled(const char *topic, int replicas, int batches)
{
    struct sender *sender =
        sender_to_new_topic(cluster.bootstrap, topic, 1, replicas, 200000, 1000);

    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, batches * 1000) && sender_flush(sender, 60));
    return sender;
}

#define THROTTLE "replica.alter.log.dirs.io.max.bytes.per.second"

struct limit {
    int number;
    const char *rate; /* NULL: none */
};

static bool is_limited(void *of)
{
    const struct limit *limit = of;
    char line[96];

    if (ottla("configs --describe --broker %d", limit->number) != 0) return false;
    if (limit->rate == NULL) return strstr(text, THROTTLE) == NULL;
    snprintf(line, sizeof(line), "  " THROTTLE "=%s ", limit->rate);
    return strstr(text, line) != NULL;
}

/* Until the broker has heard of it: a move that begins then is held up, or is not. */
static void throttle(int number, const char *rate)
{
    struct limit limit = {number, rate};

    if (rate != NULL)
        ck_assert_msg(
            ottla("configs --alter --broker %d --add-config " THROTTLE "=%s", number, rate) == 0,
            "%s", text);
    else
        ck_assert_msg(ottla("configs --alter --broker %d --delete-config " THROTTLE, number) == 0,
                      "%s", text);
    ck_assert_msg(wait_for(is_limited, &limit, 60), "%s", text);
}

START_TEST(a_led_and_a_followed_replica_move_while_they_are_written)
{
    struct sender *sender = filled("moves", 2, 5);
    int replicas[2];

    replicas_of("moves", replicas);
    const char *first = dir_of(replicas[0], "moves-0"), *second = dir_of(replicas[1], "moves-0");
    write_list("moves", 2, replicas, (const char *[]){other_of(first), other_of(second)});
    ck_assert_msg(reassign("--execute") == 0, "%s", text);
    expect_text("Successfully started moving log directory to ");
    ck_assert(sender_send(sender, 20000));
    expect_there(replicas[0], "moves-0", other_of(first));
    expect_there(replicas[1], "moves-0", other_of(second));
    ck_assert(sender_send(sender, 5000));
    ck_assert_msg(reassign("--verify") == 0, "%s", text);
    char wanted[128];
    for (int i = 0; i < 2; i++) {
        snprintf(wanted, sizeof(wanted),
                 "Reassignment of replica moves-0-%d completed successfully.", replicas[i]);
        expect_text(wanted);
    }
    ck_assert(sender_finish(&sender, true, 60));
    /* And whoever reads it now reads the new files; also after a clean restart. */
    struct node *leader = cluster_node(&cluster, NODE_BROKER, replicas[0]);
    node_signal(&cluster, leader, SIGTERM);
    node_start(&cluster, leader);
    node_wait_ready(&cluster, leader, 60);
    ck_assert(client_topic_is_in_sync(cluster.bootstrap, "moves", 2, 60));
    ck_assert_ptr_eq(dir_of(replicas[0], "moves-0"), other_of(first));
}
END_TEST

START_TEST(a_move_goes_on_after_a_kill)
{
    struct sender *sender = filled("killed", 2, 8);
    int replicas[2];

    replicas_of("killed", replicas);
    struct node *leader = cluster_node(&cluster, NODE_BROKER, replicas[0]);
    const char *from = dir_of(replicas[0], "killed-0");
    write_list("killed", 2, replicas, (const char *[]){other_of(from), "any"});
    throttle(replicas[0], "20000");
    ck_assert_msg(reassign("--execute --replica-alter-log-dirs-throttle 20000") == 0, "%s", text);
    expect_text("The replica-alter-dir throttle limit was set to 20000 B/s");
    ck_assert_msg(reassign("--verify") == 0, "%s", text);
    expect_text("is still in progress.");
    ck_assert_msg(ottla("log-dirs --describe --broker-list %d", replicas[0]) == 0, "%s", text);
    expect_text("\"isFuture\":true");
    ck_assert(sender_send(sender, 1000));

    node_signal(&cluster, leader, SIGKILL);
    ck_assert_int_eq(count_in(replicas[0], from, "killed-0"), 1);
    ck_assert_int_eq(count_in(replicas[0], other_of(from), "killed-0.*-future"), 1);
    node_start(&cluster, leader);
    node_wait_ready(&cluster, leader, 60);
    ck_assert(client_topic_is_in_sync(cluster.bootstrap, "killed", 2, 60));
    ck_assert(sender_send(sender, 1000));
    ck_assert_msg(reassign("--verify") == 0, "%s", text);
    expect_text("is still in progress.");
    throttle(replicas[0], NULL);
    expect_there(replicas[0], "killed-0", other_of(from));
    ck_assert(sender_finish(&sender, false, 60));
    ck_assert_msg(reassign("--verify") == 0, "%s", text);
    expect_text("completed successfully.");
}
END_TEST

static const char *source_topic;

static bool is_led_by_the_other(void *of)
{
    const int *replicas = of;
    char wanted[32];

    snprintf(wanted, sizeof(wanted), "Leader: %d\t", replicas[1]);
    ck_assert_msg(ottla("topics --describe --topic %s", source_topic) == 0, "%s", text);
    return strstr(text, wanted) != NULL;
}

/* The directory from which a led replica moves fails. The other replica leads; when the directory
 * is back the move goes on, when an empty one is in its place the replica is filled by its leader.
 */
static void lose_the_source(const char *topic, bool comes_back)
{
    struct sender *sender = filled(topic, 2, 4);
    char partition[64], future[64];
    int replicas[2];

    source_topic = topic;
    snprintf(partition, sizeof(partition), "%s-0", topic);
    snprintf(future, sizeof(future), "%s-0.*-future", topic);
    replicas_of(topic, replicas);
    struct node *node = cluster_node(&cluster, NODE_BROKER, replicas[0]);
    const char *from = dir_of(replicas[0], partition), *to = other_of(from);
    write_list(topic, 2, replicas, (const char *[]){to, "any"});
    throttle(replicas[0], "1000");
    ck_assert_msg(reassign("--execute") == 0, "%s", text);
    ck_assert_int_eq(count_in(replicas[0], to, future), 1);

    /* Something else under its name: the next checkpoint finds out. */
    ck_assert_int_eq(
        run_command(NULL, 0, "cd %s && mv %s lost && touch %s", node->folder, from, from), 0);
    ck_assert(wait_for(is_led_by_the_other, replicas, 60));
    ck_assert(sender_send(sender, 2000) && sender_flush(sender, 60));
    ck_assert_int_eq(sender_acknowledged(sender), sender_sent(sender));
    ck_assert_int_eq(count_in(replicas[0], to, partition), 0); /* a part is not the whole */

    ck_assert_int_eq(run_command(NULL, 0,
                                 "cd %s && rm %s && if %s; then mv lost %s; else rm -r lost; fi",
                                 node->folder, from, comes_back ? "true" : "false", from),
                     0);
    node_signal(&cluster, node, SIGTERM);
    node_start(&cluster, node);
    node_wait_ready(&cluster, node, 60);
    ck_assert(client_topic_is_in_sync(cluster.bootstrap, topic, 2, 60));
    throttle(replicas[0], NULL);
    expect_there(replicas[0], partition, to);
    ck_assert(sender_finish(&sender, true, 60));
}

START_TEST(a_lost_source_is_led_elsewhere_and_moves_on_when_it_is_back)
{
    lose_the_source("source", true);
}
END_TEST

START_TEST(a_lost_source_that_is_replaced_is_filled_again)
{
    lose_the_source("replaced", false);
}
END_TEST

START_TEST(a_move_is_called_off_and_sent_elsewhere)
{
    struct sender *sender = filled("off", 2, 3);
    int replicas[2];

    replicas_of("off", replicas);
    const char *from = dir_of(replicas[0], "off-0");
    throttle(replicas[0], "1000");
    write_list("off", 2, replicas, (const char *[]){other_of(from), "any"});
    ck_assert_msg(reassign("--execute") == 0, "%s", text);
    ck_assert_int_eq(count_in(replicas[0], other_of(from), "off-0.*-future"), 1);
    ck_assert_msg(reassign("--cancel --preserve-throttles") == 0, "%s", text);
    expect_text("Successfully started moving log directory to ");
    ck_assert_int_eq(count_in(replicas[0], other_of(from), "off-0.*-future"), 0);
    ck_assert_ptr_eq(dir_of(replicas[0], "off-0"), from);
    ck_assert_msg(reassign("--verify --preserve-throttles") == 0, "%s", text);
    expect_text("is not being moved from log dir");
    ck_assert_msg(reassign("--cancel --preserve-throttles") == 0, "%s", text);
    expect_text("None of the specified partition moves are active.");

    /* A topic that is deleted takes its copy with it. */
    ck_assert(sender_finish(&sender, true, 60));
    ck_assert_msg(reassign("--execute") == 0, "%s", text);
    ck_assert(client_delete_topic(cluster.bootstrap, "off", 60));
    for (int i = 0; i < 600 && count_in(replicas[0], other_of(from), "off-0.*-future") > 0; i++)
        run_command(NULL, 0, "sleep 0.1");
    ck_assert_int_eq(count_in(replicas[0], other_of(from), "off-0.*-future"), 0);
    throttle(replicas[0], NULL);
}
END_TEST

START_TEST(a_replica_comes_to_a_broker_where_it_is_wanted)
{
    struct sender *sender = filled("comes", 1, 2);
    int replicas[2] = {0, 0};

    replicas_of("comes", replicas);
    int to = replicas[0] == 1 ? 2 : 1;
    for (int i = 0; i < 2; i++) { /* either directory: one of them is not the emptier one */
        const char *dir = i == 0 ? "data" : "data-2";
        write_list("comes", 1, &to, (const char *const *)&dir);
        ck_assert_msg(reassign("--execute --timeout 60000") == 0, "%s", text);
        expect_there(to, "comes-0", dir);
        for (int k = 0;
             k < 600 && reassign("--verify") == 0 && strstr(text, "is completed.") == NULL; k++)
            run_command(NULL, 0, "sleep 0.1");
        expect_text("completed successfully.");
    }
    ck_assert(sender_finish(&sender, true, 60));
    int only[2] = {0, 0};
    replicas_of("comes", only);
    ck_assert_int_eq(only[0], to);

    const char *nowhere = "nowhere";
    write_list("comes", 1, &to, &nowhere);
    ck_assert_int_ne(reassign("--execute"), 0);
    expect_text("LOG_DIR_NOT_FOUND");
}
END_TEST

#define MANY_DEFAULT 60

/* All of one directory of broker 1 to the other; OTTLA_MOVES_PARTITIONS: so many. */
START_TEST(many_replicas_move_at_once)
{
    const char *wanted = getenv("OTTLA_MOVES_PARTITIONS");
    int many = wanted == NULL ? MANY_DEFAULT : atoi(wanted);
    const char *folder = cluster_node(&cluster, NODE_BROKER, 1)->folder;
    char last[32];

    struct sender *sender =
        sender_to_new_topic(cluster.bootstrap, "many", many, 2, many * 100, 100);
    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, many * 20) && sender_flush(sender, 60));
    snprintf(list_path, sizeof(list_path), "%s/list.json", cluster.folder);
    FILE *file = fopen(list_path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "{\"version\":1,\"partitions\":[");
    for (int p = 0; p < many; p++)
        fprintf(file,
                "%s{\"topic\":\"many\",\"partition\":%d,\"replicas\":[%s],"
                "\"log_dirs\":[\"%s/data-2\",\"any\"]}",
                p == 0 ? "" : ",", p, "1,2", folder);
    fprintf(file, "]}");
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_msg(reassign("--execute --additional --timeout 60000") == 0, "%s", text);
    ck_assert(sender_send(sender, many * 20));
    for (int i = 0; i < 600 && count_in(1, "data-2", "many-*[0-9]") < many; i++)
        run_command(NULL, 0, "sleep 0.1");
    ck_assert_int_eq(count_in(1, "data-2", "many-*[0-9]"), many);
    snprintf(last, sizeof(last), "many-%d", many - 1);
    expect_there(1, last, "data-2");
    ck_assert_int_eq(count_in(1, "data", "many-*[0-9]"), 0);
    ck_assert(sender_finish(&sender, true, 60));
}
END_TEST

static bool is_settled(void *of)
{
    (void)of;
    for (int number = 1; number <= 2; number++)
        if (count_in(number, "data", "storm-*-future") +
                count_in(number, "data-2", "storm-*-future") >
            0)
            return false;
    return true;
}

/* Back and forth, while it is written, with kills at any moment. OTTLA_MOVES_SECONDS: for how
 * long. */
START_TEST(moves_and_kills_lose_nothing)
{
    const char *wanted = getenv("OTTLA_MOVES_SECONDS");
    double seconds = wanted == NULL ? 4 : atof(wanted), began = seconds_now();
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "storm", 1, 2, 20000000, 500);
    int replicas[2], moves = 0, kills = 0;

    ck_assert_ptr_nonnull(sender);
    ck_assert_msg(ottla("configs --alter --topic storm --add-config "
                        "segment.bytes=1100000,flush.messages=1") == 0,
                  "%s", text);
    replicas_of("storm", replicas);
    bool is_synced = true; /* what is acknowledged */
    while (seconds_now() - began < seconds) {
        if (is_synced && seconds_now() - began > seconds / 2) {
            ck_assert_msg(ottla("configs --alter --topic storm --delete-config flush.messages") ==
                              0,
                          "%s", text);
            is_synced = false;
        }
        ck_assert(sender_send(sender, 400));
        int i = rand() % 2;
        const char *dirs[2] = {"any", "any"};
        dirs[i] = rand() % 2 == 0 ? "data" : "data-2";
        write_list("storm", 2, replicas, dirs);
        moves += reassign("--execute --additional") == 0;
        struct node *node = cluster_node(&cluster, NODE_BROKER, replicas[rand() % 2]);
        if (rand() % 3 != 0) continue;
        run_command(NULL, 0, "sleep 0.0%d", rand() % 10);
        node_signal(&cluster, node, SIGKILL);
        kills++;
        node_start(&cluster, node);
        node_wait_ready(&cluster, node, 60);
        ck_assert(client_topic_is_in_sync(cluster.bootstrap, "storm", 2, 60));
    }
    ck_assert_int_gt(moves, 0);
    ck_assert(wait_for(is_settled, NULL, 60));
    for (int number = 1; number <= 2; number++)
        (void)dir_of(number, "storm-0"); /* in one of them */
    printf("%d moves, %d kills, %lld records\n", moves, kills, (long long)sender_sent(sender));
    ck_assert(sender_finish(&sender, false, 120));
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1,
                                      .controllers = 1,
                                      .brokers = 2,
                                      .log_dirs = 2,
                                      .broker_properties = "log.segment.bytes=1048576\n"};

    return CLUSTER_SUITE(
        &cluster, &options, 300, a_led_and_a_followed_replica_move_while_they_are_written,
        a_move_goes_on_after_a_kill, a_move_is_called_off_and_sent_elsewhere,
        a_replica_comes_to_a_broker_where_it_is_wanted, many_replicas_move_at_once,
        moves_and_kills_lose_nothing, a_lost_source_is_led_elsewhere_and_moves_on_when_it_is_back,
        a_lost_source_that_is_replaced_is_filled_again);
}
