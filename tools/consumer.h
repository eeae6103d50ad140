/* tools/consumer.h - fetches records of partitions that it was given: no group, no committed
 * offsets.
 *
 * One request is under way to each broker that leads something; records of a partition come in
 * order. Leaders are followed when they move. */
#pragma once
#include "tools/cluster_client.h"
#include "tools/format.h"

#define CONSUMER_EARLIEST (-2) /* as in ListOffsets */
#define CONSUMER_LATEST   (-1)

struct consumer;

struct consumer_options {
    /* Which topics: all that it says true for. */
    bool (*wants)(void *owner, struct slice topic, bool is_internal);
    int32_t partition; /* −1: all */
    int64_t start;     /* an offset, or one of the above */
    int64_t reset;     /* one of the above: when the offset is out of range; 0: that is an error */
    bool read_committed;
    int32_t fetch_bytes_max, partition_bytes_max, wait_ms, fetch_bytes_min;
    int64_t request_timeout_ms, retry_backoff_ms, metadata_max_age_ms;
    /* Each record; what it points to is borrowed. False: no more (consumer_is_stopped). */
    bool (*record)(void *owner, const struct format_record *record);
    /* What was fetched has been handed over. */
    void (*round)(void *owner);
    void *owner;
};

/* Waits for the topics, at most the cluster's time. ERR_… with a message: no such topic or
 * partition. */
MUST_CHECK enum err consumer_open(struct cluster *cluster, const struct consumer_options *options,
                                  struct consumer **out, struct buf *message);
void consumer_close(struct consumer **consumer); /* NULL is fine */
/* `record` has said so, or nothing can be done any more: then `consumer_failure` says why. */
bool consumer_is_stopped(const struct consumer *consumer);
/* NULL: none. */
const char *consumer_failure(const struct consumer *consumer);
