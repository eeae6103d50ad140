/* base/prng.h - seeded pseudo-random numbers (xoshiro256**, seeded through splitmix64).
 *
 * Not for secrets. Named streams: a stream made from (seed, name) does not change when another one
 * draws more, so that a seed stays meaningful across small edits of the code. */
#pragma once
#include <stdint.h>

struct prng {
    uint64_t state[4];
};

void prng_init(struct prng *prng, uint64_t seed);
void prng_init_named(struct prng *prng, uint64_t seed, const char *name);
uint64_t prng_next(struct prng *prng);
/* Uniform in 0 … below − 1, without bias; `below` > 0. */
uint64_t prng_below(struct prng *prng, uint64_t below);
