/* Consumers read from the replica of their rack (KIP-392): librdkafka with client.rack, and its own
 * count of the bytes that came from each broker. */
#include "tests/cluster/client.h"
#include "tests/cluster/suite.h"
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define RECORDS 10000
#define BYTES   (RECORDS * INT64_C(1000))

static struct cluster cluster;

/* Every broker in a rack of its own: r1, r2, r3. */
START_TEST(brokers_have_racks)
{
    for (int i = 1; i <= 3; i++) {
        struct node *broker = cluster_node(&cluster, NODE_BROKER, i);
        char path[128];

        node_signal(&cluster, broker, SIGTERM);
        snprintf(path, sizeof(path), "%s/server.properties", broker->folder);
        FILE *file = fopen(path, "a");
        ck_assert_ptr_nonnull(file);
        fprintf(file, "\nbroker.rack=r%d\n", i);
        ck_assert_int_eq(fclose(file), 0);
        node_start(&cluster, broker);
        node_wait_ready(&cluster, broker, 120);
    }
}
END_TEST

struct reader {
    rd_kafka_t *client;
    int64_t came;
    int64_t bytes_from[4]; /* by broker id */
};

/* ….{"name":…,"nodeid":2,…,"rxbytes":123,…}: cumulative. */
static int on_stats(rd_kafka_t *client, char *json, size_t len, void *opaque)
{
    struct reader *reader = opaque;

    (void)client;
    (void)len;
    for (int id = 1; id <= 3; id++) {
        char wanted[32];
        int64_t most = 0;
        snprintf(wanted, sizeof(wanted), "\"nodeid\":%d,", id);
        for (const char *at = json; (at = strstr(at, wanted)) != NULL; at++) {
            const char *bytes = strstr(at, "\"rxbytes\":");
            if (bytes != NULL && atoll(bytes + 10) > most) most = atoll(bytes + 10);
        }
        if (most > reader->bytes_from[id]) reader->bytes_from[id] = most;
    }
    return 0;
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    char why[256];

    ck_assert_msg(rd_kafka_conf_set(conf, key, value, why, sizeof(why)) == RD_KAFKA_CONF_OK, "%s",
                  why);
}

static void reader_open(struct reader *reader, const char *topic, const char *rack)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256];

    *reader = (struct reader){0};
    set(conf, "bootstrap.servers", cluster.bootstrap);
    set(conf, "group.id", "none");
    set(conf, "enable.auto.commit", "false");
    set(conf, "client.rack", rack);
    set(conf, "statistics.interval.ms", "100");
    rd_kafka_conf_set_stats_cb(conf, on_stats);
    rd_kafka_conf_set_opaque(conf, reader);
    reader->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    ck_assert_msg(reader->client != NULL, "%s", why);
    rd_kafka_poll_set_consumer(reader->client);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = 0;
    ck_assert_int_eq(rd_kafka_assign(reader->client, list), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
}

/* Until so many records have come, each at its place. */
static bool reader_read(struct reader *reader, int64_t count, double seconds)
{
    double until = seconds_now() + seconds;

    while (reader->came < count && seconds_now() < until) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->client, 100);
        if (message == NULL) continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            ck_assert_int_eq(message->offset, reader->came++);
        rd_kafka_message_destroy(message);
    }
    return reader->came == count;
}

/* Statistics come a little later. */
static bool has_counted(void *of)
{
    struct reader *reader = of;
    rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->client, 50);

    if (message != NULL) rd_kafka_message_destroy(message);
    return reader->bytes_from[1] + reader->bytes_from[2] + reader->bytes_from[3] >= BYTES;
}

static void reader_close(struct reader *reader)
{
    rd_kafka_consumer_close(reader->client);
    rd_kafka_destroy(reader->client);
}

static struct sender *fill(const char *topic, const char *places)
{
    struct sender_options options = {.bootstrap = cluster.bootstrap,
                                     .topic = topic,
                                     .partitions = 1,
                                     .numbers_max = 2 * RECORDS,
                                     .value_bytes = 1000,
                                     .acks = "all",
                                     .retries = true,
                                     .may_repeat = true};
    char text[1024];

    ck_assert_msg(cluster_ottla(&cluster, text, sizeof(text),
                                "topics --create --topic %s --replica-assignment %s", topic,
                                places) == 0,
                  "%s", text);
    ck_assert(client_topic_is_led(cluster.bootstrap, topic, 1, 60));
    struct sender *sender = sender_open(&options);
    ck_assert(sender_send(sender, RECORDS));
    ck_assert(sender_flush(sender, 60));
    ck_assert_int_eq(sender_acknowledged(sender), RECORDS);
    return sender;
}

START_TEST(bytes_come_from_the_replica_of_the_rack)
{
    struct sender *sender = fill("near", "1:2:3");
    struct reader reader;

    for (int id = 1; id <= 3; id++) {
        char rack[16];
        snprintf(rack, sizeof(rack), "r%d", id);
        reader_open(&reader, "near", rack);
        ck_assert(reader_read(&reader, RECORDS, 60));
        ck_assert(wait_for(has_counted, &reader, 30));
        for (int other = 1; other <= 3; other++)
            ck_assert_msg(other == id ? reader.bytes_from[other] > BYTES
                                      : reader.bytes_from[other] < BYTES / 4,
                          "rack %s: broker %d gave %lld", rack, other,
                          (long long)reader.bytes_from[other]);
        reader_close(&reader);
    }
    /* A rack without a replica reads from the leader. */
    reader_open(&reader, "near", "elsewhere");
    ck_assert(reader_read(&reader, RECORDS, 60));
    ck_assert(wait_for(has_counted, &reader, 30));
    ck_assert_int_gt(reader.bytes_from[1], BYTES);
    reader_close(&reader);
    sender_close(&sender);
}
END_TEST

/* librdkafka keeps to a preferred replica that is down for its lease of five minutes, whatever the
 * metadata say; Java's consumer asks the leader again at once. So: who comes meanwhile is served by
 * the leader, and who was there goes on when the replica is back. */
START_TEST(reading_goes_on_when_the_near_replica_is_killed)
{
    struct sender *sender = fill("survives", "1:3");
    struct node *broker = cluster_node(&cluster, NODE_BROKER, 3);
    struct reader reader, late;

    reader_open(&reader, "survives", "r3");
    ck_assert(reader_read(&reader, RECORDS, 60));
    ck_assert(wait_for(has_counted, &reader, 30));
    ck_assert_int_gt(reader.bytes_from[3], BYTES);
    node_signal(&cluster, broker, SIGKILL);
    ck_assert(sender_send(sender, RECORDS));
    ck_assert(sender_flush(sender, 90));
    ck_assert_int_eq(sender_acknowledged(sender), 2 * RECORDS);
    reader_open(&late, "survives", "r3");
    ck_assert(reader_read(&late, 2 * RECORDS, 90));
    ck_assert(wait_for(has_counted, &late, 30));
    ck_assert_int_gt(late.bytes_from[1], BYTES);
    ck_assert_int_lt(late.bytes_from[3], BYTES / 4);
    reader_close(&late);

    node_start(&cluster, broker);
    node_wait_ready(&cluster, broker, 120);
    ck_assert(reader_read(&reader, 2 * RECORDS, 90));
    reader_close(&reader);
    sender_close(&sender);
}
END_TEST

int main(void)
{
    struct cluster_options options = {
        .zookeepers = 1,
        .controllers = 1,
        .brokers = 3,
        .broker_properties =
            "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector\n"};

    return CLUSTER_SUITE(&cluster, &options, 300, brokers_have_racks,
                         bytes_come_from_the_replica_of_the_rack,
                         reading_goes_on_when_the_near_replica_is_killed);
}
