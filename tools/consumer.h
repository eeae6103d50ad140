/* tools/consumer.h - fetches records of partitions: all of some topics, or those that it is given
 * from time to time (consumer_assign: member.h gives what a group has assigned).
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
    int32_t partition;     /* −1: all */
    bool is_by_assignment; /* none of its own accord: those of consumer_assign */
    int64_t start;         /* an offset, or one of the above */
    int64_t reset; /* one of the above: when the offset is out of range; 0: that is an error */
    bool read_committed;
    int32_t fetch_bytes_max, partition_bytes_max, wait_ms, fetch_bytes_min;
    int64_t request_timeout_ms, retry_backoff_ms, metadata_max_age_ms;
    int64_t start_wait_ms; /* for a topic that is not there yet; 0: a minute */
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

/* A partition, and where it is read next: an offset, or one of the above. */
struct consumer_part {
    struct slice topic;
    int32_t partition;
    int64_t offset;
};
/* From now on these and no others: those that stay go on from where they are. What is copied.
 * Nothing more comes of those that are not among them. Not inside a callback. */
void consumer_assign(struct consumer *consumer, const struct consumer_part *parts, int count);
/* Where each stands: all before has been handed over. `out` has room for consumer_count of them;
 * topics are borrowed until the next assignment. */
int consumer_count(const struct consumer *consumer);
void consumer_positions(const struct consumer *consumer, struct consumer_part *out);
/* `record` has said so, or nothing can be done any more: then `consumer_failure` says why. */
bool consumer_is_stopped(const struct consumer *consumer);
/* NULL: none. */
const char *consumer_failure(const struct consumer *consumer);
