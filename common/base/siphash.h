/* base/siphash.h - SipHash-2-4 with 128 bits (Aumasson, Bernstein): a keyed hash whose collisions
 * cannot be made by whoever does not know the key. For tables of what clients choose. */
#pragma once
#include "base/slice.h"

struct siphash_key {
    uint64_t at[2]; /* random */
};
void siphash128(const struct siphash_key *key, struct slice in, uint64_t out[2]);
