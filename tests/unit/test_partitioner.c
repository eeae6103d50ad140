#include "tools/partitioner.h"
#include "tests/unit/unit.h"

/* What Kafka's own hash gives: the vectors of its clients, which all agree on these. */
START_TEST(the_hash_is_that_of_other_clients)
{
    static const struct {
        const char *key;
        int32_t hash;
    } known[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                 {"abc", 479470107}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        ck_assert_int_eq(partitioner_hash(slice_text(known[i].key)), known[i].hash);
}
END_TEST

START_TEST(a_partition_is_never_negative)
{
    char key[2] = "a";

    for (int i = 0; i < 256; i++) {
        key[0] = (char)i;
        int32_t at = partitioner_of_key(slice_of(key, 1), 7);
        ck_assert(at >= 0 && at < 7);
    }
    ck_assert_int_eq(partitioner_of_key(SLICE("21"), 1000), (-973932308 & INT32_MAX) % 1000);
}
END_TEST

UNIT(the_hash_is_that_of_other_clients, a_partition_is_never_negative)
