/* tests/chaos/ledger.h - what became of the records of one partition, and where they were seen.
 *
 * Records have numbers from 0, in the order in which they are sent. The ledger is told when one is
 * sent, what was answered, and where a consumer sees it, the latter two in any order; it says at
 * once what cannot be. A record that was acknowledged and seen is forgotten but for that, so memory
 * grows with what is open, and with what had no answer or was refused.
 *
 * What may be wrong comes back as a text, NULL when nothing is. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define LEDGER_PENDING -1
#define LEDGER_UNKNOWN -2 /* no answer, or one that does not say whether it was written */
#define LEDGER_REFUSED -3 /* before it was written */

struct ledger_record {
    int64_t number;
    int64_t outcome;    /* its offset, or one of the above */
    int64_t seen_at;    /* −1: not yet */
    int32_t generation; /* of the connection that it was sent on */
};

struct ledger {
    struct ledger_record *open; /* numbers first … sent */
    int64_t first, sent, capacity;
    struct ledger_record *odd; /* not acknowledged, below first; ascending */
    int64_t odd_count, odd_capacity;
    int64_t *last_of; /* the last number seen, by generation; −1 */
    int32_t generations;
    int64_t acknowledged; /* the last offset that was; −1 */
    int64_t seen_end;     /* the offset after the last one seen */
    int64_t highest;      /* number seen; −1 */
    int64_t late;         /* unacknowledged ones that were seen behind later ones */
};

void ledger_init(struct ledger *ledger);
void ledger_fini(struct ledger *ledger);

/* The next `count` are sent, on connection `generation`: from 0 on, ascending. */
void ledger_send(struct ledger *ledger, int64_t count, int32_t generation);

/* `count` from `number` on, which are pending, have an answer: the offset of the first, or
 * LEDGER_UNKNOWN or LEDGER_REFUSED. Answers with offsets come in the order of numbers. */
const char *ledger_answer(struct ledger *ledger, int64_t number, int64_t count, int64_t outcome);

/* A consumer that reads along sees it. Offsets ascend, each is seen once. */
const char *ledger_see(struct ledger *ledger, int64_t number, int64_t offset);

/* How many offsets the last acknowledged one is ahead of what was seen. */
int64_t ledger_ahead(const struct ledger *ledger);

/* All has been answered, the consumer has read to the end: what was acknowledged and not seen?
 * `number` is the first such record. */
const char *ledger_end(const struct ledger *ledger, int64_t *number);

/* What is known of a record, for messages; NULL when it was acknowledged and seen, or never sent.
 */
const struct ledger_record *ledger_find(const struct ledger *ledger, int64_t number);
