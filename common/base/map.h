/* base/map.h - hash map from bytes to a pointer, iterated in order of insertion.
 *
 *     map_each (entry, &topics) {                  // the current entry may be removed
 *         struct topic *topic = entry->value;
 *
 * Keys are copied. The order of iteration is the order of insertion, so that nothing depends on the
 * hash; a value that is set again keeps its place. A map is not moved once it is initialised. */
#pragma once
#include "base/list.h"
#include "base/slice.h"

struct map_entry {
    struct list_node order;
    struct map_entry *chain;
    void *value;
    uint64_t hash;
    size_t key_len;
    uint8_t key[];
};

struct map {
    struct list order;
    struct map_entry **buckets;
    size_t bucket_count; /* 0 or a power of two */
    size_t count;
};

#define map_each(entry, map)                                                                       \
    for (struct map_entry *entry = map_first(map), *entry##_next = map_next(map, entry);           \
         entry != NULL; entry = entry##_next, entry##_next = map_next(map, entry))

void map_init(struct map *map);
void map_fini(struct map *map); /* values are their owner's */

/* NULL when absent. */
void *map_get(const struct map *map, struct slice key);
/* Sets, and gives the value that was there, or NULL. `value` is not NULL. */
void *map_set(struct map *map, struct slice key, void *value);
/* Removes, and gives what was there, or NULL. */
void *map_remove(struct map *map, struct slice key);

static inline struct slice map_key(const struct map_entry *entry)
{
    return slice_of(entry->key, entry->key_len);
}

struct map_entry *map_first(const struct map *map);
struct map_entry *map_next(const struct map *map, const struct map_entry *entry); /* NULL: NULL */

/* Keys that are one integer. */
static inline struct slice map_int(const int32_t *key)
{
    return slice_of(key, sizeof(*key));
}
