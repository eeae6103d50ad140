/* base/heap.h - heap of elements ordered by an int64 key, through a member of each.
 *
 * Equal keys leave in order of arrival, so that nothing depends on the shape of the heap. Four
 * children each, and the keys beside each other: elements are not looked at on the way. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;
    size_t place; /* 0: in no heap; else index + 1 */
};

struct heap_slot {
    int64_t key;
    uint64_t arrival;
    struct heap_node *node;
};

struct heap {
    struct heap_slot *at;
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
/* As removed and added again; one that is in no heap is fine. */
void heap_move(struct heap *heap, struct heap_node *node, int64_t key);
/* One that is in no heap is fine. */
void heap_remove(struct heap *heap, struct heap_node *node);
/* The least key, or NULL. It stays. */
static inline struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->at[0].node;
}

static inline bool heap_has(const struct heap_node *node)
{
    return node->place != 0;
}
