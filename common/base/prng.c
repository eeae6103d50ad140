#include "base/prng.h"
#include "base/ensure.h"

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void prng_init(struct prng *prng, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        prng->state[i] = splitmix(&seed);
}

void prng_init_named(struct prng *prng, uint64_t seed, const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        seed ^= (uint8_t)*at;
        seed = splitmix(&seed);
    }
    prng_init(prng, seed);
}

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t prng_next(struct prng *prng)
{
    uint64_t *s = prng->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *prng, uint64_t below)
{
    ensure(below > 0);
    uint64_t threshold = -below % below; /* draws under it would favour the small results */
    for (;;) {
        uint64_t draw = prng_next(prng);
        if (draw >= threshold) return draw % below;
    }
}
