#include "base/heap.h"
#include "base/prng.h"
#include "tests/unit/unit.h"

struct item {
    int number;
    struct heap_node node;
};

START_TEST(keys_leave_in_order_and_equal_ones_in_order_of_arrival)
{
    enum { N = 2000 };
    static struct item items[N];
    struct heap heap;
    struct prng prng;
    int64_t last_key = -1;
    int last_number = -1, left = 0;

    heap_init(&heap);
    prng_init(&prng, 7);
    for (int i = 0; i < N; i++) {
        items[i].number = i;
        heap_add(&heap, &items[i].node, (int64_t)prng_below(&prng, 50));
    }
    for (int i = 0; i < N; i += 3)
        heap_remove(&heap, &items[i].node); /* from the middle */
    heap_remove(&heap, &items[0].node);     /* twice is fine */
    for (struct heap_node *first; (first = heap_first(&heap)) != NULL; left++) {
        struct item *item = heap_entry(first, struct item, node);
        ck_assert_int_ne(item->number % 3, 0);
        ck_assert(first->key > last_key || (first->key == last_key && item->number > last_number));
        last_key = first->key;
        last_number = item->number;
        heap_remove(&heap, first);
        ck_assert(!heap_has(first));
    }
    ck_assert_int_eq(left, N - (N + 2) / 3);
    heap_fini(&heap);
}
END_TEST

START_TEST(what_is_moved_has_arrived_anew)
{
    struct item items[40] = {0};
    struct heap heap;

    heap_init(&heap);
    for (int i = 0; i < 40; i++) {
        items[i].number = i;
        heap_move(&heap, &items[i].node, i < 20 ? 5 : 7); /* one that is in no heap is added */
    }
    heap_move(&heap, &items[0].node, 5);  /* behind those of its key */
    heap_move(&heap, &items[39].node, 1); /* up */
    heap_move(&heap, &items[1].node, 9);  /* down */
    const int order[] = {39, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 0};
    for (int i = 0; i < 20; i++) {
        struct heap_node *first = heap_first(&heap);
        ck_assert_int_eq(heap_entry(first, struct item, node)->number, order[i]);
        heap_remove(&heap, first);
    }
    for (int number = 20; number < 39; number++) {
        ck_assert_int_eq(heap_entry(heap_first(&heap), struct item, node)->number, number);
        heap_remove(&heap, heap_first(&heap));
    }
    ck_assert_int_eq(heap_first(&heap)->key, 9);
    heap_remove(&heap, &items[1].node);
    ck_assert_ptr_null(heap_first(&heap));
    heap_fini(&heap);
}
END_TEST

UNIT(keys_leave_in_order_and_equal_ones_in_order_of_arrival, what_is_moved_has_arrived_anew)
