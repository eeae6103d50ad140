/* tests/cluster/client.h - what cluster tests do with librdkafka: numbered records out, and back.
 *
 * A record's value is its number (8 bytes, big endian) and padding; it goes to partition number %
 * partitions. Functions that cannot do their work print why and return false. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct sender; /* a producer that remembers what was acknowledged, and where */

struct sender_options {
    const char *bootstrap;
    const char *topic;
    int partitions;
    int64_t numbers_max; /* how many records it may send at most */
    int value_bytes;     /* at least 8 */
    const char *acks;    /* "all", "1" */
    /* librdkafka's. Without them too it sends anew what was refused by a leader that is none any
     * more, although that may have been written. */
    bool retries;
    bool idempotent; /* enable.idempotence, with five requests in flight; wants `retries` */
    bool may_repeat; /* what was written already may be there again: no matter of order */
    /* Nor is any other: where a leader changes while a request to the old one has no answer yet,
     * librdkafka goes on at the new one, and sends the first anew behind that. */
    bool any_order;
    /* After which a connection without an answer is dropped, and all in flight on it with it. 0:
     * librdkafka's minute. */
    int request_timeout_ms;
};
struct sender *sender_open(const struct sender_options *options);
void sender_close(struct sender **sender);

/* Creates the topic and opens a sender to it: acks=all, idempotent, librdkafka's retries. NULL if
 * it is not there, and led, after half a minute. */
struct sender *sender_to_new_topic(const char *bootstrap, const char *topic, int partitions,
                                   int replicas, int64_t numbers_max, int value_bytes);
/* Every record that was sent is acknowledged within `seconds`, and what sender_verify claims holds.
 * Without `once` what was written already may be there again (may_repeat), as when a leader dies
 * before it answers. Closes the sender; false, with the reason printed, if not. */
bool sender_finish(struct sender **sender, bool once, double seconds);
/* Sends the next `count` numbers, waiting while librdkafka's queue is full. */
bool sender_send(struct sender *sender, int64_t count);
/* Waits until each has been acknowledged or failed. False after `seconds`. */
bool sender_flush(struct sender *sender, double seconds);
int64_t sender_sent(const struct sender *sender);
int64_t sender_acknowledged(const struct sender *sender);
/* The text of the last failed delivery, or "". */
const char *sender_last_failure(const struct sender *sender);

/* Reads the topic from its beginning to the ends of its partitions. True if every acknowledged
 * record is there, at the offset that was acknowledged, with its own value; if in each partition
 * numbers ascend
 * (`once`: strictly: nothing twice); and if nothing is there that was not sent. Else prints what is
 * wrong. */
bool sender_verify(const struct sender *sender, bool once, double seconds);

/* Creates a topic through the Admin API; true when it is there and all partitions have leaders. */
bool client_create_topic(const char *bootstrap, const char *topic, int partitions, int replicas,
                         double seconds);
bool client_delete_topic(const char *bootstrap, const char *topic, double seconds);
/* Leaders known for all partitions (and `partitions` of them). */
bool client_topic_is_led(const char *bootstrap, const char *topic, int partitions, double seconds);
/* … and all partitions there are have `replicas` replicas in sync. */
bool client_topic_is_in_sync(const char *bootstrap, const char *topic, int replicas,
                             double seconds);
