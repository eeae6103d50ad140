#include "tests/chaos/history.h"
#include "base/ensure.h"
#include "tests/cluster/cluster.h"
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 1000 /* messages taken from librdkafka in one call */

struct reader {
    struct history history;
    char topic[128];
    int value_bytes;
    int64_t keep;
    const char *(*see)(void *of, int partition, int64_t offset, int64_t number);
    void *see_of;
    rd_kafka_t *consumer;
    rd_kafka_queue_t *queue;
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

/* Room for one more: where not all are kept, the last of them move to the front. */
static void make_room(struct history_part *part, int64_t keep)
{
    int64_t count = part->end - part->first;

    if (count < part->capacity) return;
    if (keep > 0 && count >= 2 * keep) {
        memmove(part->numbers, part->numbers + (count - keep), (size_t)keep * sizeof(int64_t));
        part->first = part->end - keep;
        return;
    }
    part->capacity = part->capacity == 0 ? 1024 : part->capacity * 2;
    part->numbers = realloc(part->numbers, (size_t)part->capacity * sizeof(int64_t));
    ensure(part->numbers != NULL);
}

static bool is_filled(const uint8_t *at, size_t len, uint8_t byte)
{
    return len == 0 || (at[0] == byte && memcmp(at, at + 1, len - 1) == 0);
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
    if (number < 0 || number % reader->history.partitions != message->partition) {
        wrong(reader, "a record that nobody sent", message->partition, message->offset, number);
        return;
    }
    if (!is_filled(value + 8, message->len - 8, (uint8_t)('a' + number % 26)))
        wrong(reader, "a value differs", message->partition, message->offset, number);
    if (message->offset != part->end)
        wrong(reader, "offsets are not dense", message->partition, message->offset, part->end);
    make_room(part, reader->keep);
    part->numbers[part->end++ - part->first] = number;
    reader->count++;
    reader->is_at_end[message->partition] = false;
    const char *doubt = reader->see == NULL ? NULL
                                            : reader->see(reader->see_of, message->partition,
                                                          message->offset, number);
    if (doubt != NULL) wrong(reader, doubt, message->partition, message->offset, number);
}

static void take(struct reader *reader, const rd_kafka_message_t *message)
{
    switch (message->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        note(reader, message);
        break;
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        reader->is_at_end[message->partition] =
            message->offset == reader->history.parts[message->partition].end;
        break;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__BAD_MSG:
        wrong(reader, rd_kafka_message_errstr(message), message->partition, message->offset, -1);
        break;
    default: /* it will come right, or the end is not reached */
        break;
    }
}

static void *read_along(void *of)
{
    struct reader *reader = of;
    rd_kafka_message_t *messages[AT_ONCE];

    for (;;) {
        ssize_t count = rd_kafka_consume_batch_queue(reader->queue, 50, messages, AT_ONCE);
        pthread_mutex_lock(&reader->lock);
        for (ssize_t i = 0; i < count && reader->is_good; i++)
            take(reader, messages[i]);
        bool is_over = reader->must_stop || !reader->is_good;
        pthread_mutex_unlock(&reader->lock);
        for (ssize_t i = 0; i < count; i++)
            rd_kafka_message_destroy(messages[i]);
        if (is_over) return NULL;
    }
}

struct reader *reader_start(const struct reader_options *options)
{
    struct reader *reader = ensure_zalloc(sizeof(*reader));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int partitions = options->partitions;
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new(partitions);
    char error[256];

    snprintf(reader->topic, sizeof(reader->topic), "%s", options->topic);
    reader->value_bytes = options->value_bytes;
    reader->keep = options->keep;
    reader->see = options->see;
    reader->see_of = options->see_of;
    reader->is_good = true;
    reader->is_at_end = ensure_zalloc((size_t)partitions * sizeof(bool));
    reader->history.partitions = partitions;
    reader->history.parts = ensure_zalloc((size_t)partitions * sizeof(struct history_part));
    pthread_mutex_init(&reader->lock, NULL);
    set(conf, "bootstrap.servers", options->bootstrap);
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
    reader->queue = rd_kafka_queue_get_consumer(reader->consumer);
    for (int p = 0; p < partitions; p++) {
        int64_t from = options->from == NULL ? 0 : options->from[p];
        rd_kafka_topic_partition_list_add(parts, options->topic, p)->offset = from;
        reader->history.parts[p].first = reader->history.parts[p].end = from;
    }
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
    rd_kafka_queue_destroy(reader->queue);
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
            printf(" partition %d stands at %ld", p, (long)reader->history.parts[p].end);
    printf("\n");
    return false;
}

bool history_is_within(const struct history *some, const struct history *all, const char *topic)
{
    for (int p = 0; p < some->partitions; p++) {
        const struct history_part *seen = &some->parts[p], *there = &all->parts[p];
        for (int64_t o = seen->first > there->first ? seen->first : there->first; o < seen->end;
             o++) {
            int64_t then = seen->numbers[o - seen->first];
            if (o < there->end && then == there->numbers[o - there->first]) continue;
            printf("FAILED: topic %s partition %d offset %ld: a consumer saw number %ld, now %s "
                   "%ld\n",
                   topic, p, (long)o, (long)then,
                   o < there->end ? "it is number" : "the partition ends at",
                   (long)(o < there->end ? there->numbers[o - there->first] : there->end));
            return false;
        }
    }
    return true;
}
