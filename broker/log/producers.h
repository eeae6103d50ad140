/* broker/log/producers.h - who wrote to a partition: sequences, duplicates, transactions. Pure.
 *
 * Of each producer id the log remembers the epoch and the last five batches, so that a batch that
 * comes again is known, one that was lost leaves a gap that is refused, and an old incarnation is
 * fenced (KIP-98). Of transactions it remembers where the open ones began and which ended ones are
 * not yet replicated: below the first of these everything is decided (the last stable offset).
 *
 * On a leader a batch is checked, written, and then noted; on a follower and in a replay it is
 * noted: what the leader let in is not judged again. State and file are Kafka's (storage reference
 * §8).
 *
 * Memory: at most PRODUCERS_MAX producers; beyond, the one that has been silent longest and has no
 * open transaction is forgotten, as by age (producer.id.expiration.ms). Kafka has no such bound. A
 * forgotten producer may go on; only what it sent before is not known to be a duplicate. */
#pragma once
#include "base/buf.h"
#include "base/list.h"

#define PRODUCERS_BATCHES 5 /* a producer has at most as many in flight */
#define PRODUCERS_MAX     65536

enum producers_marker { PRODUCERS_DATA, PRODUCERS_ABORT, PRODUCERS_COMMIT };

/* What a batch says about its producer. */
struct producers_batch {
    int64_t producer_id;
    int16_t epoch;
    enum producers_marker marker;
    bool is_transactional;
    int32_t first_sequence, last_sequence; /* -1: a coordinator's, without */
    int64_t first_offset, last_offset;     /* where it is, or will be */
    int64_t timestamp;                     /* its highest; the clock of expiry */
    int32_t coordinator_epoch;             /* of a marker */
};

/* One that is there already. */
struct producers_known {
    int64_t first_offset, last_offset, timestamp;
};

/* A transaction that a marker has ended. */
struct producers_ended {
    int64_t producer_id;
    int64_t first_offset, last_offset; /* of its data, and of the marker */
    int64_t last_stable;               /* afterwards, as far as open transactions tell */
    bool is_aborted;
};

struct producer; /* of producers.c */

struct producers {
    struct producers_slot {
        int64_t id;
        struct producer *producer;
    } * slots; /* ascending by id */
    int32_t count, capacity;
    struct list by_age; /* silent longest first */
    struct list open;   /* transactions, ascending by first offset */
    struct producers_txn {
        int64_t first_offset, last_offset;
    } * unreplicated; /* ended, marker not yet below the high watermark */
    int32_t unreplicated_count, unreplicated_capacity;
};

void producers_init(struct producers *producers);
void producers_fini(struct producers *producers);
void producers_clear(struct producers *producers);
/* Each gets what the other had. */
void producers_swap(struct producers *a, struct producers *b);
static inline bool producers_are_none(const struct producers *producers)
{
    return producers->count == 0 && producers->unreplicated_count == 0;
}

/* May a leader append it? `is_client`: sequences count, and duplicates are looked for; else a
 * coordinator's. ERR_EXISTS: it is there, at `*known`. ERR_SEQUENCE (45), ERR_PRODUCER_EPOCH (47),
 * ERR_TXN_STATE (48), ERR_COORDINATOR_FENCED (52). */
MUST_CHECK enum err producers_check(const struct producers *producers, bool is_client,
                                    const struct producers_batch *batch,
                                    struct producers_known *known);

/* It is in the log. True: it has ended a transaction. */
bool producers_note(struct producers *producers, const struct producers_batch *batch,
                    struct producers_ended *ended);

/* Ended transactions below it are decided for good. */
void producers_replicated(struct producers *producers, int64_t high_watermark);
/* The first offset that is not decided; -1: everything is. */
int64_t producers_first_unstable(const struct producers *producers);

/* Forgets who has been silent for `expiration_ms` by its own timestamps; gives how many. */
int producers_expire(struct producers *producers, int64_t now_ms, int64_t expiration_ms);

/* A .snapshot file's content. */
void producers_write(const struct producers *producers, struct buf *out);
/* Into `producers`, which is empty; who has expired is left out. ERR_CORRUPT, and it stays empty:
 * another version, a wrong checksum or size. */
MUST_CHECK enum err producers_read(struct producers *producers, struct slice bytes, int64_t now_ms,
                                   int64_t expiration_ms);

/* Each in order of its id: for DescribeProducers and the tools. */
struct producers_view {
    int64_t producer_id;
    int16_t epoch;
    int32_t last_sequence; /* -1: none */
    int64_t last_offset;   /* of its data; -1: none is known */
    int64_t last_timestamp;
    int32_t coordinator_epoch; /* -1 */
    int64_t txn_first_offset;  /* -1: none is open */
};
struct producers_view producers_at(const struct producers *producers, int32_t index);

/* Counts and order are what they must be: for tests and the simulator. */
void producers_audit(const struct producers *producers);
