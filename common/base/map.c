#include "base/map.h"
#include "base/ensure.h"
#include <stdlib.h>

#define BUCKETS_MIN 8

/* Eight bytes a step, mixed by multiplication: keys are short, and iteration never shows the order
 * of buckets. A client that chooses colliding names gains little: what clients can add to is
 * bounded elsewhere. */
static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 32);
}

static uint64_t hash_of(struct slice key)
{
    uint64_t h = key.len, word = 0;
    const uint8_t *at = key.ptr;
    size_t left = key.len;

    for (; left >= sizeof(word); at += sizeof(word), left -= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        h = mix(h, word);
    }
    word = 0;
    if (left > 0) memcpy(&word, at, left);
    return mix(h, word);
}

void map_init(struct map *map)
{
    *map = (struct map){0};
    list_init(&map->order);
}

void map_fini(struct map *map)
{
    list_each (node, &map->order)
        free(list_entry(node, struct map_entry, order));
    free(map->buckets);
    map_init(map);
}

static struct map_entry **place_of(const struct map *map, struct slice key, uint64_t hash)
{
    struct map_entry **at = &map->buckets[hash & (map->bucket_count - 1)];

    while (*at != NULL && !((*at)->hash == hash && slice_equal(map_key(*at), key)))
        at = &(*at)->chain;
    return at;
}

static void grow(struct map *map)
{
    size_t count = map->bucket_count == 0 ? BUCKETS_MIN : map->bucket_count * 2;

    free(map->buckets);
    map->buckets = ensure_zalloc(count * sizeof(map->buckets[0]));
    map->bucket_count = count;
    list_each (node, &map->order) {
        struct map_entry *entry = list_entry(node, struct map_entry, order);
        struct map_entry **at = &map->buckets[entry->hash & (count - 1)];
        entry->chain = *at;
        *at = entry;
    }
}

/* A key's bytes are compared as such: a null key is the empty one. */
static struct slice plain(struct slice key)
{
    return key.ptr == NULL ? slice_of("", 0) : key;
}

void *map_get(const struct map *map, struct slice key)
{
    if (map->bucket_count == 0) return NULL;
    key = plain(key);
    struct map_entry *entry = *place_of(map, key, hash_of(key));
    return entry == NULL ? NULL : entry->value;
}

void *map_set(struct map *map, struct slice key, void *value)
{
    key = plain(key);
    ensure(value != NULL);
    if (map->count >= map->bucket_count) grow(map);
    uint64_t hash = hash_of(key);
    struct map_entry **at = place_of(map, key, hash);
    if (*at != NULL) {
        void *old = (*at)->value;
        (*at)->value = value;
        return old;
    }
    struct map_entry *entry = ensure_malloc(sizeof(*entry) + key.len);
    entry->chain = NULL;
    entry->value = value;
    entry->hash = hash;
    entry->key_len = key.len;
    if (key.len > 0) memcpy(entry->key, key.ptr, key.len);
    *at = entry;
    list_push(&map->order, &entry->order);
    map->count++;
    return NULL;
}

void *map_remove(struct map *map, struct slice key)
{
    if (map->bucket_count == 0) return NULL;
    key = plain(key);
    struct map_entry **at = place_of(map, key, hash_of(key));
    struct map_entry *entry = *at;
    if (entry == NULL) return NULL;
    void *value = entry->value;
    *at = entry->chain;
    list_remove(&entry->order);
    free(entry);
    map->count--;
    return value;
}

static struct map_entry *entry_at(const struct map *map, struct list_node *node)
{
    return node == &map->order.head ? NULL : list_entry(node, struct map_entry, order);
}

struct map_entry *map_first(const struct map *map)
{
    return entry_at(map, map->order.head.next);
}

struct map_entry *map_next(const struct map *map, const struct map_entry *entry)
{
    return entry == NULL ? NULL : entry_at(map, entry->order.next);
}
