/* A disk that fills kills nothing: producers are told to try again, reading and deleting go on,
 * followers wait, a broker starts on it, and writing resumes by itself when there is room.
 *
 * Broker 1 has a small file system of its own, in a mount namespace that ends with this process. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define TEXT_MAX   (64 * 1024)
#define DISK_BYTES "100663296" /* 96 MiB */

static struct cluster cluster;
static char text[TEXT_MAX];

/* Its exit code; what it says is in `text`. */
#define ottla(...) cluster_ottla(&cluster, text, sizeof(text), __VA_ARGS__)

static struct node *small(void)
{
    return cluster_node(&cluster, NODE_BROKER, 1);
}

/* Somebody else's file takes all that is left of the disk. */
static void fill(void)
{
    run_command(NULL, 0, "dd if=/dev/zero of=%s/data/filler bs=4096 2> /dev/null; sync",
                small()->folder);
}

static void make_room(void)
{
    ck_assert_int_eq(run_command(NULL, 0, "rm %s/data/filler", small()->folder), 0);
}

static struct sender *open_sender(const char *topic)
{
    struct sender_options options = {
        .bootstrap = cluster.bootstrap,
        .topic = topic,
        .partitions = 1,
        .numbers_max = 100000,
        .value_bytes = 2000,
        .acks = "all",
        .retries = true,
        .idempotent = true,
    };
    struct sender *sender = sender_open(&options);

    ck_assert_ptr_nonnull(sender);
    return sender;
}

static void create(const char *topic, const char *replicas)
{
    ck_assert_msg(ottla("topics --create --topic %s --replica-assignment %s", topic, replicas) == 0,
                  "%s", text);
    ck_assert(client_topic_is_led(cluster.bootstrap, topic, 1, 60));
}

static bool has_complained(void *of)
{
    (void)of;
    return node_has_logged(small(), "disk_full");
}

static int64_t offset_of(const char *topic, const char *time)
{
    ck_assert_msg(ottla("get-offsets --topic %s --time %s", topic, time) == 0, "%s", text);
    const char *last = strrchr(text, ':');
    return last == NULL ? -1 : atoll(last + 1);
}

static void delete_below(const char *topic, int64_t offset)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/offsets.json", cluster.folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "{\"partitions\":[{\"topic\":\"%s\",\"partition\":0,\"offset\":%lld}]}", topic,
            (long long)offset);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_msg(ottla("delete-records --offset-json-file %s", path) == 0, "%s", text);
}

START_TEST(a_full_disk_stops_writing_and_nothing_else)
{
    create("led", "1");
    create("followed", "2:1");
    struct sender *led = open_sender("led"), *followed = open_sender("followed");
    ck_assert(sender_send(led, 1000) && sender_flush(led, 60));
    ck_assert(sender_send(followed, 1000) && sender_flush(followed, 60));
    ck_assert_int_eq(sender_acknowledged(led), 1000);

    fill();
    ck_assert(sender_send(led, 1000));
    ck_assert(wait_for(has_complained, NULL, 60));
    ck_assert(node_has_logged(small(), "dir="));
    ck_assert_int_lt(sender_acknowledged(led), 2000);

    /* What is there is read, and deleted; who leads elsewhere goes on without its follower here. */
    ck_assert_msg(
        ottla("consume --topic led --from-beginning --max-messages 1000 --timeout-ms 60000"
              " > /dev/null") == 0,
        "%s", text);
    ck_assert(sender_send(followed, 1000) && sender_flush(followed, 120));
    ck_assert_int_eq(sender_acknowledged(followed), 2000);
    delete_below("led", 500);
    ck_assert_int_eq(offset_of("led", "earliest"), 500);

    /* Room: nobody has to say so. */
    make_room();
    double since = seconds_now();
    ck_assert(sender_flush(led, 60));
    printf("written again %.1f s after there was room\n", seconds_now() - since);
    ck_assert_int_eq(sender_acknowledged(led), 2000);
    ck_assert_int_eq(offset_of("led", "latest"), 2000);
    ck_assert(client_topic_is_in_sync(cluster.bootstrap, "followed", 2, 60));
    sender_close(&led);
    ck_assert(sender_finish(&followed, true, 60));
}
END_TEST

START_TEST(a_broker_starts_on_a_full_disk)
{
    fill();
    node_signal(&cluster, small(), SIGKILL);
    node_start(&cluster, small());
    node_wait_ready(&cluster, small(), 60);
    ck_assert(client_topic_is_led(cluster.bootstrap, "led", 1, 60));
    ck_assert_int_eq(offset_of("led", "latest"), 2000);
    make_room();
    struct sender *sender = sender_to_new_topic(cluster.bootstrap, "later", 1, 2, 500, 100);
    ck_assert_ptr_nonnull(sender);
    ck_assert(sender_send(sender, 500));
    ck_assert(sender_finish(&sender, true, 60));
}
END_TEST

static void place(struct node *node, void *of)
{
    char data[128];

    (void)of;
    if (node->kind != NODE_BROKER || node->number != 1) return;
    snprintf(data, sizeof(data), "%s/data", node->folder);
    if (mount("tmpfs", data, "tmpfs", 0, "size=" DISK_BYTES) != 0) {
        fprintf(stderr, "no tmpfs on %s: %s\n", data, strerror(errno));
        exit(1);
    }
}

int main(void)
{
    struct cluster_options options = {.zookeepers = 1,
                                      .controllers = 1,
                                      .brokers = 2,
                                      .place = place,
                                      .broker_properties = "replica.lag.time.max.ms=3000"};
    const char *missing = cluster_missing();
    const TTest *const tests[] = {a_full_disk_stops_writing_and_nothing_else,
                                  a_broker_starts_on_a_full_disk};
    char data[128];

    if (missing == NULL &&
        (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0))
        missing = "skipped: file systems cannot be mounted here (not root, or a container)";
    if (missing != NULL) {
        printf("%s\n", missing);
        return 77;
    }
    cluster_start(&cluster, &options);
    int failed = unit_run_no_fork(__FILE__, tests, 2, 300);
    snprintf(data, sizeof(data), "%s/data", small()->folder);
    umount2(data, MNT_DETACH);
    cluster_stop(&cluster);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
