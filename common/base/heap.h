/* base/heap.h - binary heap of elements ordered by an int64 key, through a member of each.
 *
 * Equal keys leave in order of arrival, so that nothing depends on the shape of the heap. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;
    uint64_t arrival;
    size_t place; /* 0: in no heap; else index + 1 */
};

struct heap {
    struct heap_node **at;
    size_t count, capacity;
    uint64_t arrivals;
};

#define heap_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void heap_init(struct heap *heap)
{
    *heap = (struct heap){0};
}
void heap_fini(struct heap *heap); /* the elements are their owners' */

/* `node` is in no heap. Borrowed until it leaves. */
void heap_add(struct heap *heap, struct heap_node *node, int64_t key);
/* One that is in no heap is fine. */
void heap_remove(struct heap *heap, struct heap_node *node);
/* The least key, or NULL. It stays. */
struct heap_node *heap_first(const struct heap *heap);

static inline bool heap_has(const struct heap_node *node)
{
    return node->place != 0;
}
