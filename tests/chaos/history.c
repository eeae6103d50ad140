#include "tests/chaos/history.h"
#include "base/ensure.h"
#include "tests/cluster/cluster.h"
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct history history;
    char topic[128];
    int value_bytes;
    rd_kafka_t *consumer;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below, and of the history while the thread runs */
    bool is_joined, must_stop, is_good;
    bool *is_at_end;
    int64_t count;
};

static void set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    char error[256];

    if (rd_kafka_conf_set(conf, key, value, error, sizeof(error)) == RD_KAFKA_CONF_OK) return;
    fprintf(stderr, "librdkafka: %s\n", error);
    exit(1);
}

static void quiet(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    if (getenv("OTTLA_VERBOSE") != NULL)
        fprintf(stderr, "librdkafka %d %s %s\n", level, facility, text);
}

static void wrong(struct reader *reader, const char *what, int partition, int64_t offset,
                  int64_t number)
{
    if (reader->is_good)
        printf("FAILED: topic %s partition %d offset %ld: %s (number %ld)\n", reader->topic,
               partition, (long)offset, what, (long)number);
    reader->is_good = false;
}

static void note(struct reader *reader, const rd_kafka_message_t *message)
{
    struct history_part *part = &reader->history.parts[message->partition];
    const uint8_t *value = message->payload;
    int64_t number = 0;

    if (message->len != (size_t)reader->value_bytes) {
        wrong(reader, "a value has another length", message->partition, message->offset, -1);
        return;
    }
    for (int i = 0; i < 8; i++)
        number = number << 8 | value[i];
    if (number < 0 || number % reader->history.partitions != message->partition)
        wrong(reader, "a record that nobody sent", message->partition, message->offset, number);
    for (size_t i = 8; i < message->len; i++)
        if (value[i] != 'a' + number % 26) {
            wrong(reader, "a value differs", message->partition, message->offset, number);
            break;
        }
    if (message->offset != part->count)
        wrong(reader, "offsets are not dense", message->partition, message->offset, part->count);
    if (part->count == part->capacity) {
        part->capacity = part->capacity == 0 ? 1024 : part->capacity * 2;
        part->numbers = realloc(part->numbers, (size_t)part->capacity * sizeof(int64_t));
        ensure(part->numbers != NULL);
    }
    part->numbers[part->count++] = number;
    reader->count++;
    reader->is_at_end[message->partition] = false;
}

static void *read_along(void *of)
{
    struct reader *reader = of;

    for (;;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->consumer, 50);
        pthread_mutex_lock(&reader->lock);
        bool is_over = reader->must_stop || !reader->is_good;
        if (message != NULL && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            reader->is_at_end[message->partition] =
                message->offset == reader->history.parts[message->partition].count;
        else if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            note(reader, message);
        else if (message != NULL && (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
                                     message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
                                     message->err == RD_KAFKA_RESP_ERR__BAD_MSG))
            wrong(reader, rd_kafka_message_errstr(message), message->partition, message->offset,
                  -1);
        pthread_mutex_unlock(&reader->lock);
        if (message != NULL) rd_kafka_message_destroy(message);
        if (is_over) return NULL;
    }
}

struct reader *reader_start(const char *bootstrap, const char *topic, int partitions,
                            int value_bytes)
{
    struct reader *reader = ensure_zalloc(sizeof(*reader));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new(partitions);
    char error[256];

    snprintf(reader->topic, sizeof(reader->topic), "%s", topic);
    reader->value_bytes = value_bytes;
    reader->is_good = true;
    reader->is_at_end = ensure_zalloc((size_t)partitions * sizeof(bool));
    reader->history.partitions = partitions;
    reader->history.parts = ensure_zalloc((size_t)partitions * sizeof(struct history_part));
    pthread_mutex_init(&reader->lock, NULL);
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "group.id", "not-used");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.partition.eof", "true");
    set(conf, "check.crcs", "true");
    /* The high watermark may not go back for a reader: then this shows it. */
    set(conf, "auto.offset.reset", "error");
    set(conf, "reconnect.backoff.ms", "10");
    set(conf, "reconnect.backoff.max.ms", "200");
    set(conf, "socket.timeout.ms", "10000");
    set(conf, "topic.metadata.refresh.interval.ms", "2000");
    rd_kafka_conf_set_log_cb(conf, quiet);
    reader->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof(error));
    if (reader->consumer == NULL) {
        fprintf(stderr, "librdkafka: %s\n", error);
        exit(1);
    }
    for (int p = 0; p < partitions; p++)
        rd_kafka_topic_partition_list_add(parts, topic, p)->offset = 0;
    rd_kafka_assign(reader->consumer, parts);
    rd_kafka_topic_partition_list_destroy(parts);
    ensure(pthread_create(&reader->thread, NULL, read_along, reader) == 0);
    return reader;
}

int64_t reader_count(struct reader *reader, bool *good)
{
    pthread_mutex_lock(&reader->lock);
    int64_t count = reader->count;
    *good = reader->is_good;
    pthread_mutex_unlock(&reader->lock);
    return count;
}

void reader_stop(struct reader *reader)
{
    if (reader->is_joined) return;
    pthread_mutex_lock(&reader->lock);
    reader->must_stop = true;
    pthread_mutex_unlock(&reader->lock);
    pthread_join(reader->thread, NULL);
    reader->is_joined = true;
}

const struct history *reader_history(const struct reader *reader)
{
    ensure(reader->is_joined);
    return &reader->history;
}

void reader_destroy(struct reader **of)
{
    struct reader *reader = *of;

    if (reader == NULL) return;
    reader_stop(reader);
    rd_kafka_destroy(reader->consumer);
    for (int p = 0; p < reader->history.partitions; p++)
        free(reader->history.parts[p].numbers);
    free(reader->history.parts);
    free(reader->is_at_end);
    free(reader);
    *of = NULL;
}

static bool is_over(void *of)
{
    struct reader *reader = of;
    int ended = 0;

    pthread_mutex_lock(&reader->lock);
    for (int p = 0; p < reader->history.partitions; p++)
        ended += reader->is_at_end[p];
    bool over = ended == reader->history.partitions || !reader->is_good;
    pthread_mutex_unlock(&reader->lock);
    return over;
}

bool reader_to_end(struct reader *reader, double seconds)
{
    bool ended = wait_for(is_over, reader, seconds);

    reader_stop(reader);
    if (ended) return reader->is_good;
    printf("FAILED: topic %s was not read to its end within %.0f s:", reader->topic, seconds);
    for (int p = 0; p < reader->history.partitions; p++)
        if (!reader->is_at_end[p])
            printf(" partition %d stands at %ld", p, (long)reader->history.parts[p].count);
    printf("\n");
    return false;
}

bool history_is_within(const struct history *some, const struct history *all, const char *topic)
{
    for (int p = 0; p < some->partitions; p++) {
        const struct history_part *seen = &some->parts[p], *there = &all->parts[p];
        for (int64_t o = 0; o < seen->count; o++) {
            if (o < there->count && seen->numbers[o] == there->numbers[o]) continue;
            printf("FAILED: topic %s partition %d offset %ld: a consumer saw number %ld, now %s "
                   "%ld\n",
                   topic, p, (long)o, (long)seen->numbers[o],
                   o < there->count ? "it is number" : "the partition ends at",
                   (long)(o < there->count ? there->numbers[o] : there->count));
            return false;
        }
    }
    return true;
}
