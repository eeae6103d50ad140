#include "base/heap.h"
#include "base/ensure.h"
#include <stdlib.h>

void heap_fini(struct heap *heap)
{
    free(heap->at);
    *heap = (struct heap){0};
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->arrival < b->arrival;
}

static void put(struct heap *heap, size_t i, struct heap_node *node)
{
    heap->at[i] = node;
    node->place = i + 1;
}

static void sift_up(struct heap *heap, size_t i, struct heap_node *node)
{
    while (i > 0 && before(node, heap->at[(i - 1) / 2])) {
        put(heap, i, heap->at[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(heap, i, node);
}

static void sift_down(struct heap *heap, size_t i, struct heap_node *node)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= heap->count) break;
        if (child + 1 < heap->count && before(heap->at[child + 1], heap->at[child])) child++;
        if (!before(heap->at[child], node)) break;
        put(heap, i, heap->at[child]);
        i = child;
    }
    put(heap, i, node);
}

void heap_add(struct heap *heap, struct heap_node *node, int64_t key)
{
    ensure(node->place == 0);
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity == 0 ? 16 : heap->capacity * 2;
        heap->at = ensure_realloc(heap->at, heap->capacity * sizeof(heap->at[0]));
    }
    node->key = key;
    node->arrival = heap->arrivals++;
    sift_up(heap, heap->count++, node);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (node->place == 0) return;
    size_t i = node->place - 1;
    ensure(i < heap->count && heap->at[i] == node);
    struct heap_node *last = heap->at[--heap->count];
    node->place = 0;
    if (last == node) return;
    if (i > 0 && before(last, heap->at[(i - 1) / 2]))
        sift_up(heap, i, last);
    else
        sift_down(heap, i, last);
}

struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->at[0];
}
