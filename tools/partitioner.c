#include "tools/partitioner.h"

#define SEED 0x9747b28cu
#define MIX  0x5bd1e995u

int32_t partitioner_hash(struct slice key)
{
    uint32_t hash = SEED ^ (uint32_t)key.len;
    size_t whole = key.len & ~(size_t)3;

    for (size_t i = 0; i < whole; i += 4) {
        uint32_t word = (uint32_t)key.ptr[i] | (uint32_t)key.ptr[i + 1] << 8 |
                        (uint32_t)key.ptr[i + 2] << 16 | (uint32_t)key.ptr[i + 3] << 24;
        word *= MIX;
        word ^= word >> 24;
        word *= MIX;
        hash = hash * MIX ^ word;
    }
    size_t left = key.len - whole;
    if (left > 0) {
        for (size_t i = left; i > 0; i--)
            hash ^= (uint32_t)key.ptr[whole + i - 1] << (8 * (i - 1));
        hash *= MIX;
    }
    hash ^= hash >> 13;
    hash *= MIX;
    hash ^= hash >> 15;
    return (int32_t)hash;
}

int32_t partitioner_of_key(struct slice key, int32_t partitions)
{
    return (partitioner_hash(key) & INT32_MAX) % partitions;
}
