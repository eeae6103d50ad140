#include "base/map.h"
#include "tests/unit/unit.h"
#include <stdio.h>

START_TEST(iteration_is_in_order_of_insertion_whatever_left_in_between)
{
    struct map map;
    static int values[3000];
    char key[16];
    int expected = 1;

    map_init(&map);
    for (int i = 0; i < 3000; i++) {
        values[i] = i;
        snprintf(key, sizeof(key), "k%d", i);
        ck_assert_ptr_null(map_set(&map, slice_text(key), &values[i]));
    }
    for (int i = 0; i < 3000; i += 2) {
        snprintf(key, sizeof(key), "k%d", i);
        ck_assert_ptr_eq(map_remove(&map, slice_text(key)), &values[i]);
        ck_assert_ptr_null(map_remove(&map, slice_text(key)));
    }
    ck_assert_uint_eq(map.count, 1500);
    map_each (entry, &map) {
        ck_assert_int_eq(*(int *)entry->value, expected);
        expected += 2;
        if (expected % 5 == 0) {
            struct slice name = map_key(entry);
            snprintf(key, sizeof(key), "%.*s", SLICE_ARGS(name));
            map_remove(&map, slice_text(key)); /* the current one may leave */
        }
    }
    ck_assert_int_eq(expected, 3001);
    map_fini(&map);
}
END_TEST

START_TEST(setting_again_replaces_and_keeps_the_place)
{
    struct map map;
    int a = 1, b = 2, c = 3;

    map_init(&map);
    map_set(&map, SLICE("a"), &a);
    map_set(&map, SLICE("b"), &b);
    ck_assert_ptr_eq(map_set(&map, SLICE("a"), &c), &a);
    ck_assert_ptr_eq(map_first(&map)->value, &c);
    ck_assert_uint_eq(map.count, 2);
    ck_assert_ptr_null(map_get(&map, SLICE("ab")));
    ck_assert_ptr_null(map_get(&map, SLICE("")));
    map_set(&map, SLICE(""), &b);
    ck_assert_ptr_eq(map_get(&map, SLICE_NULL), &b);
    map_fini(&map);
}
END_TEST

UNIT(iteration_is_in_order_of_insertion_whatever_left_in_between,
     setting_again_replaces_and_keeps_the_place)
