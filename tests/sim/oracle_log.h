/* tests/sim/oracle_log.h - what clients have been promised about records, and what they saw.
 *
 * Every record says which topic, partition and number it is, so that a record that nobody sent, or
 * that was sent elsewhere, is recognised wherever it is read. Per partition it knows for each
 * offset which record was read or acknowledged there (acks=all): that may never change. Offsets are
 * dense. In one partition leader epochs do not go back as offsets go on, and in one leader epoch
 * the high watermark does not go back.
 *
 * A record of an idempotent producer stands at one offset at most, however often it was sent.
 *
 * Of a compacted topic each record has a key, which follows from its number. A reader may pass over
 * offsets there: for each that held a record it must meet a later one of the same key before the
 * end.
 *
 * A partition whose promise was lifted (unclean election, or a loss outside of the budget) is
 * judged for density and origin only. Anything else ends the run with world_wrong. All memory is
 * the world's. */
#pragma once
#include "base/slice.h"
#include "tests/sim/world.h"

struct oracle_log;

#define ORACLE_PARTITIONS_MAX 16
#define ORACLE_VALUE_MIN      16
#define ORACLE_KEYS           32
#define ORACLE_KEY_MAX        8 /* bytes */

struct oracle_partition {
    struct oracle_topic *topic;
    int32_t partition;
    uint64_t sent;               /* numbers given out: 1 … sent */
    uint64_t *slots;             /* per offset: the number that is known to be there, 0: none */
    int64_t capacity, known_end; /* one behind the last known offset */
    int32_t *epochs;             /* per offset: leader epoch of its batch as read, −1: not read */
    int64_t *places; /* per number: 0 may be written twice, else 1 + offset; −1 unknown */
    uint64_t place_count;
    int64_t trimmed_to;            /* below it operators have asked to delete records */
    int64_t gone_to;               /* below it a leader has said that there are none any more */
    int64_t acked, read, repeated; /* records, for the report */
    bool is_lifted;
};

/* A name; its incarnations one after another. */
struct oracle_topic {
    struct list_node node;
    struct oracle_log *oracle;
    char name[32];
    uint32_t serial;
    struct oracle_partition partitions[ORACLE_PARTITIONS_MAX];
};

struct oracle_log *oracle_log_create(struct world *world);
void oracle_log_destroy(struct oracle_log **oracle);
struct oracle_topic *oracle_log_topic(struct oracle_log *oracle, const char *name);
/* The topic was deleted: its offsets begin anew. Numbers go on: late records of the old one may
 * arrive in the new one. */
void oracle_log_forget(struct oracle_topic *topic);
void oracle_log_lift(struct oracle_partition *partition, const char *why);

/* The next `count` numbers; gives the first. */
uint64_t oracle_log_next(struct oracle_partition *partition, int count);
/* They are sent by an idempotent producer. */
void oracle_log_once(struct oracle_partition *partition, uint64_t first, int count);
/* What the record of that number is: `len` bytes, at least ORACLE_VALUE_MIN. */
void oracle_log_value(const struct oracle_partition *partition, uint64_t number, uint8_t *to,
                      size_t len);

/* Answered without error: `count` records from `number` on stand from `base` on. `is_safe`:
 * acks=all where that is a promise. */
void oracle_log_acked(struct oracle_partition *partition, int64_t base, uint64_t number, int count,
                      bool is_safe);
/* A consumer was given this. */
void oracle_log_read(struct oracle_partition *partition, int64_t offset, struct slice value,
                     int32_t leader_epoch);
/* The key that the record of that number has where keys matter: 0 … ORACLE_KEYS − 1; and its text:
 * `to` has ORACLE_KEY_MAX bytes; gives its length. */
int oracle_log_key_of(uint64_t number);
size_t oracle_log_key(uint64_t number, char *to);
/* One reader's way through a compacted partition; zero where it begins. */
struct oracle_pass {
    int64_t owed[ORACLE_KEYS]; /* 1 + the last offset of that key that it passed over; 0: none */
};
/* It was given nothing of offsets from … to − 1. */
void oracle_log_passed(const struct oracle_partition *partition, struct oracle_pass *pass,
                       int64_t from, int64_t to);
/* After oracle_log_read of that offset, whose record had this key. */
void oracle_log_met(const struct oracle_partition *partition, struct oracle_pass *pass,
                    int64_t offset, struct slice key);
/* An offset whose key has not been met since; −1: none. */
int64_t oracle_log_owed(const struct oracle_pass *pass);

/* As one client sees it over one connection after another; zero at first. */
struct oracle_watermark {
    int64_t offset;
    int32_t leader_epoch;
};
void oracle_log_watermark(struct oracle_partition *partition, struct oracle_watermark *seen,
                          int64_t watermark, int32_t leader_epoch);

/* It was given to a producer: never to a second one. */
void oracle_log_producer(struct oracle_log *oracle, int64_t producer_id);

struct oracle_log_counts {
    uint64_t sent, acked, read, repeated, lifted;
};
void oracle_log_count(const struct oracle_log *oracle, struct oracle_log_counts *out);
