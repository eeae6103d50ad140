/* tools/producer.h - sends records to the partitions of one topic: batched, in order, with retries.
 *
 * A partition has one batch in flight: what is retried cannot pass what came after it, without help
 * from the broker. While it is away the next batch grows (to `batch_bytes_grown` at most), so that
 * a slow answer costs latency and not throughput; partitions and brokers go side by side. What is
 * too large for the topic is sent again in two batches, and none grows to that size again. */
#pragma once
#include "tools/cluster_client.h"
#include "wire/record.h"

struct producer;

struct producer_options {
    const char *topic;
    int16_t acks; /* −1: all in-sync replicas */
    int codec;    /* enum batch_codec */
    int64_t batch_bytes, linger_ms;
    int64_t batch_bytes_grown; /* while the batch before is away; below batch_bytes: that */
    int64_t retries, retry_backoff_ms;
    int64_t request_timeout_ms, delivery_timeout_ms;
    int64_t metadata_expiry_ms;
    int64_t request_bytes_max;
    /* A batch is done: `code` is its Kafka error, 0 is success; `err` that of the connection. */
    void (*delivered)(void *owner, int32_t records, enum err err, int16_t code,
                      struct slice message);
    void *owner;
};

/* Waits until the topic has partitions, at most `max_block_ms`. ERR_… with a message. */
MUST_CHECK enum err producer_open(struct cluster *cluster, const struct producer_options *options,
                                  int64_t max_block_ms, struct producer **out, struct buf *message);
/* What is not delivered is dropped. NULL is fine. */
void producer_close(struct producer **producer);

/* Copies the record into a batch. Never waits: see producer_bytes. Nothing leaves before the next
 * turn. */
void producer_add(struct producer *producer, const struct record_header *headers,
                  int32_t header_count, struct slice key, struct slice value);
/* Sends batches that are not full, too, from now on. */
void producer_flush(struct producer *producer);
/* Bytes of records that are not done. */
size_t producer_bytes(const struct producer *producer);
/* Records that are not done. */
int64_t producer_pending(const struct producer *producer);
