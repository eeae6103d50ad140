/* The reference vectors of SipHash-2-4-128: key 00 01 … 0f, input 00 01 02 …. */
#include "base/siphash.h"
#include "unit.h"

START_TEST(the_reference_vectors_hold)
{
    static const uint8_t empty[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                      0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
    static const uint8_t one[16] = {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44,
                                    0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45};
    struct siphash_key key;
    uint8_t bytes[16];
    uint64_t out[2];

    for (uint8_t i = 0; i < 16; i++)
        bytes[i] = i;
    memcpy(key.at, bytes, 16);
    siphash128(&key, slice_of(bytes, 0), out);
    ck_assert_mem_eq(out, empty, 16);
    siphash128(&key, slice_of(bytes, 1), out);
    ck_assert_mem_eq(out, one, 16);
}
END_TEST

START_TEST(length_and_every_byte_count)
{
    struct siphash_key key = {{1, 2}};
    uint8_t bytes[40] = {0};
    uint64_t before[2], after[2];

    for (size_t n = 1; n < sizeof(bytes); n++) {
        siphash128(&key, slice_of(bytes, n), before);
        siphash128(&key, slice_of(bytes, n - 1), after);
        ck_assert(before[0] != after[0] && before[1] != after[1]);
        bytes[n - 1] = 1;
        siphash128(&key, slice_of(bytes, n), after);
        ck_assert(before[0] != after[0] && before[1] != after[1]);
        bytes[n - 1] = 0;
    }
}
END_TEST

UNIT(the_reference_vectors_hold, length_and_every_byte_count)
