/* broker/replica/purgatory.h - what waits for an offset, or for its time to run out. Pure.
 *
 *     purgatory      the waits of one shard, by deadline
 *     wait_line      the waits at one partition, by offset
 *
 * A wait holds no payload: an offset, a deadline and what its owner adds around it. It is on one
 * line until it is popped, dropped or expired; each of these takes it off both orders and gives it
 * back. */
#pragma once
#include "base/heap.h"
#include "base/list.h"
#include "base/time.h"

struct wait {
    struct list_node by_offset;
    struct heap_node by_time;
    int64_t offset; /* done when the line has reached it */
};

struct purgatory {
    struct heap by_time;
};

struct wait_line {
    struct list waits;
};

void purgatory_init(struct purgatory *purgatory);
void purgatory_fini(struct purgatory *purgatory); /* empty by now */

static inline void wait_line_init(struct wait_line *line)
{
    list_init(&line->waits);
}

/* Keeps `wait` until it is given back. */
void purgatory_add(struct purgatory *purgatory, struct wait_line *line, struct wait *wait,
                   int64_t offset, struct instant deadline);
/* Takes back one that waits; one that does not is fine. */
void purgatory_drop(struct purgatory *purgatory, struct wait *wait);

/* The next wait of `line` for an offset up to `reached`, lowest offset first, in order of arrival
 * among equals; NULL when there is none. INT64_MAX pops all. */
struct wait *purgatory_pop(struct purgatory *purgatory, struct wait_line *line, int64_t reached);
/* The next wait whose time has run out, or NULL. */
struct wait *purgatory_expired(struct purgatory *purgatory, struct instant now);
/* When purgatory_expired next has something; INSTANT_NEVER when nothing waits. */
struct instant purgatory_deadline(const struct purgatory *purgatory);

static inline size_t purgatory_count(const struct purgatory *purgatory)
{
    return purgatory->by_time.count;
}
