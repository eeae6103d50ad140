#include "base/siphash.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void rounds(struct sip *s, int n)
{
    for (; n > 0; n--) {
        s->v0 += s->v1;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v2 = rotate(s->v2, 32);
    }
}

static inline void absorb(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

void siphash128(const struct siphash_key *key, struct slice in, uint64_t out[2])
{
    struct sip s = {key->at[0] ^ 0x736f6d6570736575, key->at[1] ^ 0x646f72616e646f6d ^ 0xee,
                    key->at[0] ^ 0x6c7967656e657261, key->at[1] ^ 0x7465646279746573};
    size_t words = in.len / 8;
    uint64_t word;

    for (size_t i = 0; i < words; i++) {
        memcpy(&word, in.ptr + i * 8, 8); /* little endian, as everywhere here */
        absorb(&s, word);
    }
    word = (uint64_t)in.len << 56;
    for (size_t i = 0; i < in.len % 8; i++)
        word |= (uint64_t)in.ptr[words * 8 + i] << (8 * i);
    absorb(&s, word);
    s.v2 ^= 0xee;
    rounds(&s, 4);
    out[0] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    s.v1 ^= 0xdd;
    rounds(&s, 4);
    out[1] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
