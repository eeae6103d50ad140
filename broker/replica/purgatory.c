/* broker/replica/purgatory.c - see purgatory.h. */
#include "broker/replica/purgatory.h"
#include "base/ensure.h"

void purgatory_init(struct purgatory *purgatory)
{
    heap_init(&purgatory->by_time);
}

void purgatory_fini(struct purgatory *purgatory)
{
    ensure(purgatory->by_time.count == 0);
    heap_fini(&purgatory->by_time);
}

static struct wait *line_entry(struct list_node *node)
{
    return list_entry(node, struct wait, by_offset);
}

void purgatory_add(struct purgatory *purgatory, struct wait_line *line, struct wait *wait,
                   int64_t offset, struct instant deadline)
{
    ensure(!list_has(&wait->by_offset));
    wait->offset = offset;

    /* Appends come in offset order; only the repeat of an earlier batch looks further back. */
    struct list_node *at = &line->waits.head;
    while (at->prev != &line->waits.head && line_entry(at->prev)->offset > offset)
        at = at->prev;
    list_insert_before(at, &wait->by_offset);
    heap_add(&purgatory->by_time, &wait->by_time, deadline.ns);
}

void purgatory_drop(struct purgatory *purgatory, struct wait *wait)
{
    list_remove(&wait->by_offset);
    heap_remove(&purgatory->by_time, &wait->by_time);
}

struct wait *purgatory_pop(struct purgatory *purgatory, struct wait_line *line, int64_t reached)
{
    struct list_node *first = list_first(&line->waits);

    if (first == NULL || line_entry(first)->offset > reached) return NULL;
    struct wait *wait = line_entry(first);
    purgatory_drop(purgatory, wait);
    return wait;
}

struct wait *purgatory_expired(struct purgatory *purgatory, struct instant now)
{
    struct heap_node *first = heap_first(&purgatory->by_time);

    if (first == NULL || first->key > now.ns) return NULL;
    struct wait *wait = heap_entry(first, struct wait, by_time);
    purgatory_drop(purgatory, wait);
    return wait;
}

struct instant purgatory_deadline(const struct purgatory *purgatory)
{
    struct heap_node *first = heap_first(&purgatory->by_time);

    return first == NULL ? INSTANT_NEVER : (struct instant){first->key};
}
