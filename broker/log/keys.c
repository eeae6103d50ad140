#include "broker/log/keys.h"
#include "base/ensure.h"
#include <stdlib.h>

#define CAPACITY_FIRST 1024
#define CAPACITY_LEAST 8 /* whatever the bound: or nothing could ever be cleaned */
#define GROWTH         8 /* while it grows the old table is there, too: a ninth of the bound */

struct keys_slot {
    uint64_t hash[2];
    int64_t offset; /* plus one; 0: free */
};
_Static_assert(sizeof(struct keys_slot) == KEYS_SLOT_BYTES, "counted with");

void keys_init(struct keys *keys, const uint64_t secret[2], size_t bytes_max, double load_max)
{
    *keys = (struct keys){.secret = {{secret[0], secret[1]}},
                          .capacity_max = bytes_max / KEYS_SLOT_BYTES * GROWTH / (GROWTH + 1),
                          .load_max = load_max};
    if (keys->capacity_max < CAPACITY_LEAST) keys->capacity_max = CAPACITY_LEAST;
}

void keys_fini(struct keys *keys)
{
    free(keys->slots);
    *keys = (struct keys){0};
}

/* The slot of `hash`, or the free one where it belongs. There is always a free one. */
static struct keys_slot *slot_of(const struct keys *keys, const uint64_t hash[2])
{
    size_t at = (size_t)(((unsigned __int128)hash[0] * keys->capacity) >> 64);

    for (;; at = at + 1 == keys->capacity ? 0 : at + 1) {
        struct keys_slot *slot = &keys->slots[at];
        if (slot->offset == 0 || (slot->hash[0] == hash[0] && slot->hash[1] == hash[1]))
            return slot;
    }
}

static size_t room(size_t capacity, double load_max)
{
    size_t n = (size_t)((double)capacity * load_max);

    return capacity == 0 || n < capacity ? n : capacity - 1; /* one slot stays free */
}

static bool grow(struct keys *keys)
{
    struct keys_slot *old = keys->slots;
    size_t old_capacity = keys->capacity;

    if (keys->capacity == keys->capacity_max) return false;
    keys->capacity = keys->capacity_max;
    while (keys->capacity / GROWTH > old_capacity && keys->capacity / GROWTH >= CAPACITY_FIRST)
        keys->capacity /= GROWTH;
    keys->slots = ensure_zalloc(keys->capacity * sizeof(*keys->slots));
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].offset != 0) *slot_of(keys, old[i].hash) = old[i];
    free(old);
    return true;
}

bool keys_put(struct keys *keys, struct slice key, int64_t offset)
{
    uint64_t hash[2];

    siphash128(&keys->secret, key, hash);
    struct keys_slot *slot = keys->capacity == 0 ? NULL : slot_of(keys, hash);
    if (slot == NULL || slot->offset == 0) {
        while (keys->count >= room(keys->capacity, keys->load_max))
            if (!grow(keys)) return false;
        slot = slot_of(keys, hash);
        slot->hash[0] = hash[0];
        slot->hash[1] = hash[1];
        keys->count++;
    }
    slot->offset = offset + 1;
    return true;
}

int64_t keys_get(const struct keys *keys, struct slice key)
{
    uint64_t hash[2];

    if (keys->count == 0) return -1;
    siphash128(&keys->secret, key, hash);
    return slot_of(keys, hash)->offset - 1;
}
