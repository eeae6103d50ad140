#include "base/list.h"
#include "tests/unit/unit.h"

struct item {
    int number;
    struct list_node node;
};

START_TEST(elements_may_leave_while_the_list_is_walked)
{
    struct list list;
    struct item items[6] = {0};
    int seen = 0, sum = 0;

    list_init(&list);
    for (int i = 0; i < 6; i++) {
        items[i].number = i;
        list_push(&list, &items[i].node);
    }
    list_each (node, &list) {
        struct item *item = list_entry(node, struct item, node);
        ck_assert_int_eq(item->number, seen++);
        if (item->number % 2 == 0) list_remove(node);
    }
    ck_assert(!list_has(&items[0].node));
    list_remove(&items[0].node); /* twice is fine */
    list_push_front(&list, &items[4].node);
    list_each (node, &list)
        sum = sum * 10 + list_entry(node, struct item, node)->number;
    ck_assert_int_eq(sum, 4135);
    ck_assert_ptr_eq(list_pop(&list), &items[4].node);
    ck_assert_ptr_eq(list_last(&list), &items[5].node);
}
END_TEST

UNIT(elements_may_leave_while_the_list_is_walked)
