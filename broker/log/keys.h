/* broker/log/keys.h - the latest offset of each key, while a log is compacted. Pure.
 *
 * A slot is a 128-bit keyed hash and an offset: 24 bytes, whatever the key's length. Kafka uses
 * MD5; a hash with a secret key cannot be made to collide by who chooses the keys, and is faster.
 * The table grows as it fills; with the one that it replaces it never takes more than its bound. */
#pragma once
#include "base/siphash.h"

#define KEYS_SLOT_BYTES 24

struct keys {
    struct siphash_key secret;
    struct keys_slot *slots;
    size_t capacity, capacity_max;
    size_t count;
    double load_max;
};

/* `bytes_max`: log.cleaner.dedupe.buffer.size of one cleaning; `load_max`: io.buffer.load.factor,
 * 0 … 1. */
void keys_init(struct keys *keys, const uint64_t secret[2], size_t bytes_max, double load_max);
void keys_fini(struct keys *keys);

/* `offset` becomes the latest of `key`: it is not below what was put before. False: the table is
 * full, nothing has changed. */
bool keys_put(struct keys *keys, struct slice key, int64_t offset);
/* -1: absent. */
int64_t keys_get(const struct keys *keys, struct slice key);
