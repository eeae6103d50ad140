#include "base/heap.h"
#include "base/ensure.h"
#include <stdlib.h>

#define CHILDREN 4

void heap_fini(struct heap *heap)
{
    free(heap->at);
    *heap = (struct heap){0};
}

static inline bool before(const struct heap_slot *a, const struct heap_slot *b)
{
    return a->key != b->key ? a->key < b->key : a->arrival < b->arrival;
}

static inline void put(struct heap *heap, size_t i, struct heap_slot slot)
{
    heap->at[i] = slot;
    slot.node->place = i + 1;
}

static void sift_up(struct heap *heap, size_t i, struct heap_slot slot)
{
    while (i > 0 && before(&slot, &heap->at[(i - 1) / CHILDREN])) {
        put(heap, i, heap->at[(i - 1) / CHILDREN]);
        i = (i - 1) / CHILDREN;
    }
    put(heap, i, slot);
}

static size_t least_child(const struct heap *heap, size_t first)
{
    size_t end = first + CHILDREN, least = first;

    if (end > heap->count) end = heap->count;
    for (size_t i = first + 1; i < end; i++)
        if (before(&heap->at[i], &heap->at[least])) least = i;
    return least;
}

static void sift_down(struct heap *heap, size_t i, struct heap_slot slot)
{
    for (;;) {
        size_t first = CHILDREN * i + 1;
        if (first >= heap->count) break;
        size_t child = least_child(heap, first);
        if (!before(&heap->at[child], &slot)) break;
        put(heap, i, heap->at[child]);
        i = child;
    }
    put(heap, i, slot);
}

/* Into the gap at `i`, and on to where it belongs. */
static void sift(struct heap *heap, size_t i, struct heap_slot slot)
{
    if (i > 0 && before(&slot, &heap->at[(i - 1) / CHILDREN]))
        sift_up(heap, i, slot);
    else
        sift_down(heap, i, slot);
}

void heap_add(struct heap *heap, struct heap_node *node, int64_t key)
{
    ensure(node->place == 0);
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity == 0 ? 16 : heap->capacity * 2;
        heap->at = ensure_realloc(heap->at, heap->capacity * sizeof(heap->at[0]));
    }
    node->key = key;
    sift_up(heap, heap->count++, (struct heap_slot){key, heap->arrivals++, node});
}

void heap_move(struct heap *heap, struct heap_node *node, int64_t key)
{
    if (node->place == 0) {
        heap_add(heap, node, key);
        return;
    }
    size_t i = node->place - 1;
    ensure(i < heap->count && heap->at[i].node == node);
    node->key = key;
    sift(heap, i, (struct heap_slot){key, heap->arrivals++, node});
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (node->place == 0) return;
    size_t i = node->place - 1;
    ensure(i < heap->count && heap->at[i].node == node);
    struct heap_slot last = heap->at[--heap->count];
    node->place = 0;
    if (last.node != node) sift(heap, i, last);
}
