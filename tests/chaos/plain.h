/* tests/chaos/plain.h - a producer that never sends a record twice.
 *
 * librdkafka sends a batch anew that a leader refused because it leads no more, even with
 * retries=0; a record may then be there twice although the cluster did nothing wrong. This one
 * speaks the protocol itself: acks=all, several requests in flight per partition, all on one
 * connection, and what was not acknowledged is given up. So whatever is there twice, or in another
 * order than it was sent on one connection, is the cluster's doing.
 *
 * Record n of partition p has number n × partitions + p: the number is the first 8 bytes of the
 * value, big endian, as in tests/cluster/client.h. Runs on threads of its own. A consumer that
 * reads along tells it what it sees (plain_see), and so each record is verified (ledger.h) and
 * forgotten.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define PLAIN_BROKERS_MAX 16

struct plain_options {
    const char *topic;
    int partitions;
    int record_bytes;  /* of a value, at least 8 */
    int batch_records; /* in one request */
    int pipeline;      /* requests in flight per partition */
    double rate;       /* records a second at most; 0: as many as go */
    double limit_s;    /* without an answer for so long a connection is given up */
    /* It waits for the consumer where more offsets of a partition than that are acknowledged and
     * not seen; 0: it does not wait. */
    int64_t ahead_max;
    int brokers;
    struct {
        char host[16];
        uint16_t port;
    } broker[PLAIN_BROKERS_MAX]; /* broker.id is the index + 1 */
};

struct plain;
struct plain *plain_start(const struct plain_options *options);
/* No new records; waits until nothing is in flight. */
void plain_stop(struct plain *plain);
void plain_destroy(struct plain **plain);

struct plain_counts {
    int64_t sent, acknowledged, refused, unknown; /* records */
    int64_t codes[128];                           /* answers with an error, by code + 1 */
    int64_t lost_connections;
    /* The longest that a partition has been without an acknowledgement since the last
     * plain_mark, and which. */
    double silence;
    int silent_partition;
};
void plain_count(struct plain *plain, struct plain_counts *out);
void plain_mark(struct plain *plain);

/* While held it sends nothing new. */
void plain_hold(struct plain *plain, bool is_held);

/* A consumer sees record `number` at `offset`; on any thread, `of` is the struct plain. Each
 * partition's offsets ascend, each is told once. Gives what is wrong: a record is there twice, or
 * not where it was acknowledged, or out of the order of its connection, or was refused before it
 * was written, or never sent. NULL: nothing. */
const char *plain_see(void *of, int partition, int64_t offset, int64_t number);

/* After plain_stop, when the consumer has read to the end. True if every acknowledged record was
 * seen, and nothing else was wrong; else prints the first in doubt. `late` counts unacknowledged
 * records that were found behind later ones of another connection: allowed. */
bool plain_verify(const struct plain *plain, int64_t *late);
