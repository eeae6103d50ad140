#include "base/prng.h"
#include "tests/unit/unit.h"

START_TEST(the_same_seed_gives_the_same_numbers_for_ever)
{
    struct prng prng;

    /* Fixed: kept seeds of failing runs mean something only as long as this holds. */
    prng_init(&prng, 42);
    ck_assert_uint_eq(prng_next(&prng), UINT64_C(0x15780b2e0c2ec716));
    ck_assert_uint_eq(prng_next(&prng), UINT64_C(0x6104d9866d113a7e));
}
END_TEST

START_TEST(streams_of_other_names_are_others)
{
    struct prng a, b, again;

    prng_init_named(&a, 1, "net");
    prng_init_named(&b, 1, "disk");
    prng_init_named(&again, 1, "net");
    uint64_t first = prng_next(&a);
    ck_assert_uint_ne(first, prng_next(&b));
    ck_assert_uint_eq(first, prng_next(&again));
}
END_TEST

START_TEST(a_bound_is_kept_and_each_value_comes)
{
    struct prng prng;
    int seen[7] = {0};

    prng_init(&prng, 3);
    for (int i = 0; i < 7000; i++)
        seen[prng_below(&prng, 7)]++;
    for (int i = 0; i < 7; i++)
        ck_assert(seen[i] > 800 && seen[i] < 1200);
    ck_assert_uint_eq(prng_below(&prng, 1), 0);
}
END_TEST

UNIT(the_same_seed_gives_the_same_numbers_for_ever, streams_of_other_names_are_others,
     a_bound_is_kept_and_each_value_comes)
