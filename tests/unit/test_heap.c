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

UNIT(keys_leave_in_order_and_equal_ones_in_order_of_arrival)
