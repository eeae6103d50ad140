/* OffsetCommit and OffsetFetch of version 0: offsets in ZooKeeper, as old consumers have them. */
#include "base/arena.h"
#include "base/buf.h"
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include "wire/codec.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_fetch.h"
#include "wire/gen/protocol.h"
#include "wire/prim.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PARTITIONS 4

static struct cluster cluster;
static struct arena arena; /* of the last answer */
static struct buf frame;

/* One request of version 0 on a connection of its own. */
static void ask(int api, const struct wire_struct *type, const void *body,
                const struct wire_struct *answer_type, void *out)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(cluster_node(&cluster, NODE_BROKER, 1)->port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval limit = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint8_t head[8];

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    buf_clear(&frame);
    prim_add_int32(&frame, 0);
    prim_add_int16(&frame, (int16_t)api);
    prim_add_int16(&frame, 0);
    prim_add_int32(&frame, 7);
    prim_add_string(&frame, SLICE("old"));
    wire_write(&frame, 0, type, body);
    prim_store32(frame.ptr, (uint32_t)frame.len - 4);
    ck_assert_int_eq(send(fd, frame.ptr, frame.len, MSG_NOSIGNAL), (ssize_t)frame.len);
    ck_assert_int_eq(recv(fd, head, sizeof(head), MSG_WAITALL), sizeof(head));
    size_t len = prim_load32(head) - 4;
    buf_clear(&frame);
    uint8_t *to = buf_extend(&frame, len);
    ck_assert_int_eq(recv(fd, to, len, MSG_WAITALL), (ssize_t)len);
    close(fd);
    arena_reset(&arena);
    ck_assert_int_eq(wire_read(buf_slice(&frame), 0, answer_type, &arena, out), ERR_OK);
}

/* All of `count` partitions from the first on; the code of partition `at`. */
static int commit(struct slice group, const char *topic, int count, int at, int64_t offset,
                  struct slice metadata)
{
    struct offset_commit_request_topic_partition parts[PARTITIONS + 1];
    struct offset_commit_request_topic topics = {.name = slice_text(topic),
                                                 .partitions = {parts, count}};
    struct offset_commit_request in;
    struct offset_commit_response out;

    for (int i = 0; i < count; i++)
        parts[i] = (struct offset_commit_request_topic_partition){
            .partition_index = i, .committed_offset = offset + i, .committed_metadata = metadata};
    wire_default(&offset_commit_request_wire, &in);
    in.group_id = group;
    in.topics.at = &topics;
    in.topics.count = 1;
    ask(API_OFFSET_COMMIT, &offset_commit_request_wire, &in, &offset_commit_response_wire, &out);
    ck_assert_int_eq(out.topics.count, 1);
    ck_assert(slice_is(out.topics.at[0].name, topic));
    ck_assert_int_eq(out.topics.at[0].partitions.count, count);
    ck_assert_int_eq(out.topics.at[0].partitions.at[at].partition_index, at);
    return out.topics.at[0].partitions.at[at].error_code;
}

static int fetch(struct slice group, const char *topic, int32_t partition, int64_t *offset)
{
    struct offset_fetch_request_topic topics = {.name = slice_text(topic),
                                                .partition_indexes = {&partition, 1}};
    struct offset_fetch_request in;
    struct offset_fetch_response out;

    wire_default(&offset_fetch_request_wire, &in);
    in.group_id = group;
    in.topics.at = &topics;
    in.topics.count = 1;
    ask(API_OFFSET_FETCH, &offset_fetch_request_wire, &in, &offset_fetch_response_wire, &out);
    ck_assert_int_eq(out.topics.count, 1);
    ck_assert_int_eq(out.topics.at[0].partitions.count, 1);
    ck_assert_int_eq((int64_t)out.topics.at[0].partitions.at[0].metadata.len, 0);
    *offset = out.topics.at[0].partitions.at[0].committed_offset;
    return out.topics.at[0].partitions.at[0].error_code;
}

/* The last line of what zkCli says. */
static void zkcli(const char *command, char *out, int size)
{
    const struct node *zookeeper = cluster_node(&cluster, NODE_ZOOKEEPER, 1);

    run_command(out, size,
                "java -Xmx64m -XX:TieredStopAtLevel=1 -cp %s:/usr/share/java/zookeeper.jar "
                "org.apache.zookeeper.ZooKeeperMain -server 127.0.0.1:%d %s 2> /dev/null | "
                "grep -v '^WATCHER\\|^WatchedEvent\\|^Connecting\\|^$' | tail -n 1 | tr -d '\\n'",
                zookeeper->folder, zookeeper->port, command);
}

static void expect_node(const char *path, const char *text)
{
    char command[256], out[512];

    snprintf(command, sizeof(command), "get %s", path);
    zkcli(command, out, sizeof(out));
    ck_assert_str_eq(out, text);
}

START_TEST(a_commit_of_version_0_is_a_node_below_consumers)
{
    int64_t offset = 0;
    char out[256];

    ck_assert(client_create_topic(cluster.bootstrap, "t", PARTITIONS, 1, 60));
    ck_assert_int_eq(fetch(SLICE("g"), "t", 0, &offset), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(offset, -1);

    /* Their parents are made side by side: each must find what another has made. */
    ck_assert_int_eq(commit(SLICE("g"), "t", PARTITIONS, 3, 40, SLICE("x")), KAFKA_NONE);
    expect_node("/consumers/g/offsets/t/0", "40");
    expect_node("/consumers/g/offsets/t/3", "43");
    zkcli("ls /consumers/g/offsets/t", out, sizeof(out));
    ck_assert_str_eq(out, "[0, 1, 2, 3]");
    zkcli("ls /consumers/g", out, sizeof(out)); /* and nothing else */
    ck_assert_str_eq(out, "[offsets]");

    ck_assert_int_eq(commit(SLICE("g"), "t", 1, 0, 7, SLICE_NULL), KAFKA_NONE);
    expect_node("/consumers/g/offsets/t/0", "7");
    ck_assert_int_eq(fetch(SLICE("g"), "t", 0, &offset), KAFKA_NONE);
    ck_assert_int_eq(offset, 7);
    ck_assert_int_eq(fetch(SLICE("g"), "t", 2, &offset), KAFKA_NONE);
    ck_assert_int_eq(offset, 42);

    /* What an old consumer wrote by itself is read as well. */
    zkcli("set /consumers/g/offsets/t/1 1234567890123", out, sizeof(out));
    ck_assert_int_eq(fetch(SLICE("g"), "t", 1, &offset), KAFKA_NONE);
    ck_assert_int_eq(offset, 1234567890123);
}
END_TEST

START_TEST(what_cannot_be_a_node_is_refused_and_nothing_is_written)
{
    int64_t offset = 0;
    char text[5000], out[256];

    ck_assert_int_eq(commit(SLICE("h"), "t", PARTITIONS + 1, PARTITIONS, 1, SLICE("")),
                     KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(commit(SLICE("h"), "missing", 1, 0, 1, SLICE("")),
                     KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(fetch(SLICE("h"), "missing", 0, &offset), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    memset(text, 'm', sizeof(text));
    ck_assert_int_eq(commit(SLICE("long"), "t", 1, 0, 1, slice_of(text, 4097)),
                     KAFKA_OFFSET_METADATA_TOO_LARGE);
    static const struct slice names[] = {SLICE("a/b"),  SLICE("../x"), SLICE(".."), SLICE("."),
                                         SLICE("a\0b"), SLICE("\n"),   SLICE(""),   SLICE("/")};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        ck_assert_int_eq(commit(names[i], "t", 1, 0, 1, SLICE("")), KAFKA_UNKNOWN_SERVER_ERROR);
        ck_assert_int_eq(fetch(names[i], "t", 0, &offset), KAFKA_UNKNOWN_SERVER_ERROR);
    }
    zkcli("ls /consumers", out, sizeof(out));
    ck_assert_str_eq(out, "[g, h]");
    zkcli("set /consumers/g/offsets/t/1 none", out, sizeof(out));
    ck_assert_int_eq(fetch(SLICE("g"), "t", 1, &offset), KAFKA_UNKNOWN_SERVER_ERROR);
    ck_assert_int_eq(offset, -1);
}
END_TEST

START_TEST(a_group_of_the_log_and_one_of_zookeeper_do_not_meet)
{
    char out[512];

    /* kcat commits to the log; version 0 does not know of it. */
    int code =
        run_command(out, sizeof(out),
                    "seq 1 50 | kcat -b %s -P -t t -p 0 && timeout 90 kcat -b %s -G modern -X "
                    "auto.offset.reset=earliest -c 50 -q t 2>&1 | wc -l",
                    cluster.bootstrap, cluster.bootstrap);
    ck_assert_msg(code == 0, "%d %s", code, out);
    int64_t offset = 0;
    ck_assert_int_eq(fetch(SLICE("modern"), "t", 0, &offset), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    zkcli("ls /consumers", out, sizeof(out));
    ck_assert_str_eq(out, "[g, h]");
}
END_TEST

int main(void)
{
    struct cluster_options options = {.zookeepers = 1,
                                      .controllers = 1,
                                      .brokers = 1,
                                      .broker_properties = "group.initial.rebalance.delay.ms=0\n"
                                                           "offsets.topic.replication.factor=1\n"};

    arena_init(&arena, 1 << 20);
    int code =
        CLUSTER_SUITE(&cluster, &options, 300, a_commit_of_version_0_is_a_node_below_consumers,
                      what_cannot_be_a_node_is_refused_and_nothing_is_written,
                      a_group_of_the_log_and_one_of_zookeeper_do_not_meet);
    arena_fini(&arena);
    buf_fini(&frame);
    return code;
}
