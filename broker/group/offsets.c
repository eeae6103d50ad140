#include "broker/group/offsets.h"
#include "base/ensure.h"
#include "base/map.h"
#include <stdlib.h>

/* One partition: its commit, and how many are on their way. */
struct entry {
    int32_t partition;
    int32_t leader_epoch;
    int64_t offset, commit_ms, expire_ms;
    int64_t log_offset; /* of the batch that has it; −1: there is no commit */
    char *metadata;     /* NULL: "" */
    uint32_t metadata_len;
    uint32_t pending; /* on their way to the log */
};

struct topic {
    struct entry *entries; /* ascending */
    int count, capacity;
};

/* A transaction's commits, by topic as above; `log_offset` −1: on its way for the first time. */
struct txn {
    struct map topics;
};

struct offsets {
    struct map topics; /* name → struct topic */
    struct map txns;   /* producer id → struct txn */
    size_t count;
};

/* ---- entries ---- */

static struct slice entry_metadata(const struct entry *entry)
{
    return slice_of(entry->metadata == NULL ? "" : entry->metadata, entry->metadata_len);
}

static int place_of(const struct topic *topic, int32_t partition)
{
    int low = 0, high = topic->count;

    while (low < high) {
        int middle = low + (high - low) / 2;
        if (topic->entries[middle].partition < partition)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *entry_find(const struct map *topics, struct slice name, int32_t partition)
{
    const struct topic *topic = map_get(topics, name);
    int at = topic == NULL ? 0 : place_of(topic, partition);

    if (topic == NULL || at == topic->count || topic->entries[at].partition != partition)
        return NULL;
    return &topic->entries[at];
}

static struct entry *entry_take(struct map *topics, struct slice name, int32_t partition)
{
    struct topic *topic = map_get(topics, name);

    if (topic == NULL) {
        topic = ensure_zalloc(sizeof(*topic));
        map_set(topics, name, topic);
    }
    int at = place_of(topic, partition);
    if (at < topic->count && topic->entries[at].partition == partition) return &topic->entries[at];
    if (topic->count == topic->capacity) {
        topic->capacity = topic->capacity == 0 ? 1 : topic->capacity * 2;
        topic->entries =
            ensure_realloc(topic->entries, sizeof(*topic->entries) * (size_t)topic->capacity);
    }
    memmove(&topic->entries[at + 1], &topic->entries[at],
            sizeof(*topic->entries) * (size_t)(topic->count - at));
    topic->count++;
    topic->entries[at] = (struct entry){.partition = partition, .log_offset = -1};
    return &topic->entries[at];
}

static void entry_drop(struct map *topics, struct slice name, int32_t partition)
{
    struct topic *topic = map_get(topics, name);
    int at = place_of(topic, partition);

    ensure(at < topic->count && topic->entries[at].partition == partition);
    free(topic->entries[at].metadata);
    topic->count--;
    memmove(&topic->entries[at], &topic->entries[at + 1],
            sizeof(*topic->entries) * (size_t)(topic->count - at));
    if (topic->count > 0) return;
    map_remove(topics, name);
    free(topic->entries);
    free(topic);
}

static void entry_set(struct entry *entry, const struct offset_commit *commit, int64_t log_offset)
{
    /* Most commits of a consumer have the same (empty) metadata: it is not copied again. */
    if (slice_compare(entry_metadata(entry), commit->metadata) != 0) {
        free(entry->metadata);
        entry->metadata = commit->metadata.len == 0
                              ? NULL
                              : ensure_strndup(commit->metadata.ptr, commit->metadata.len);
        entry->metadata_len = (uint32_t)commit->metadata.len;
    }
    entry->offset = commit->offset;
    entry->leader_epoch = commit->leader_epoch;
    entry->commit_ms = commit->commit_ms;
    entry->expire_ms = commit->expire_ms;
    entry->log_offset = log_offset;
}

static struct offset_commit entry_commit(const struct entry *entry)
{
    return (struct offset_commit){.offset = entry->offset,
                                  .leader_epoch = entry->leader_epoch,
                                  .metadata = entry_metadata(entry),
                                  .commit_ms = entry->commit_ms,
                                  .expire_ms = entry->expire_ms};
}

static void topics_free(struct map *topics)
{
    map_each (entry, topics) {
        struct topic *topic = entry->value;
        for (int i = 0; i < topic->count; i++)
            free(topic->entries[i].metadata);
        free(topic->entries);
        free(topic);
    }
    map_fini(topics);
}

/* ---- life ---- */

struct offsets *offsets_create(void)
{
    struct offsets *offsets = ensure_zalloc(sizeof(*offsets));

    map_init(&offsets->topics);
    map_init(&offsets->txns);
    return offsets;
}

void offsets_destroy(struct offsets **it)
{
    struct offsets *offsets = *it;

    if (offsets == NULL) return;
    topics_free(&offsets->topics);
    map_each (entry, &offsets->txns) {
        struct txn *txn = entry->value;
        topics_free(&txn->topics);
        free(txn);
    }
    map_fini(&offsets->txns);
    free(offsets);
    *it = NULL;
}

size_t offsets_count(const struct offsets *offsets)
{
    return offsets->count;
}

bool offsets_is_empty(const struct offsets *offsets)
{
    return offsets->topics.count == 0 && offsets->txns.count == 0;
}

/* ---- commits ---- */

bool offsets_find(const struct offsets *offsets, struct slice topic, int32_t partition,
                  struct offset_commit *out)
{
    const struct entry *entry = entry_find(&offsets->topics, topic, partition);

    if (entry == NULL || entry->log_offset < 0) return false;
    *out = entry_commit(entry);
    return true;
}

bool offsets_has_topic(const struct offsets *offsets, struct slice topic)
{
    return map_get(&offsets->topics, topic) != NULL;
}

bool offsets_is_unstable(const struct offsets *offsets, struct slice topic, int32_t partition)
{
    const struct entry *entry = entry_find(&offsets->topics, topic, partition);

    if (entry != NULL && entry->pending > 0) return true;
    map_each (each, &offsets->txns) {
        const struct txn *txn = each->value;
        if (entry_find(&txn->topics, topic, partition) != NULL) return true;
    }
    return false;
}

static void put(struct offsets *offsets, struct entry *entry, const struct offset_commit *commit,
                int64_t log_offset)
{
    /* What is there is later in the log. Of two in one batch the last counts. */
    if (entry->log_offset > log_offset) return;
    offsets->count += entry->log_offset < 0;
    entry_set(entry, commit, log_offset);
}

/* An entry that is no commit and has none on its way is not kept. */
static void tidy(struct map *topics, struct slice topic, int32_t partition)
{
    const struct entry *entry = entry_find(topics, topic, partition);

    if (entry != NULL && entry->pending == 0 && entry->log_offset < 0)
        entry_drop(topics, topic, partition);
}

static struct entry *arrive(struct entry *entry)
{
    ensure(entry != NULL && entry->pending > 0);
    entry->pending--;
    return entry;
}

void offsets_prepare(struct offsets *offsets, struct slice topic, int32_t partition)
{
    entry_take(&offsets->topics, topic, partition)->pending++;
}

void offsets_done(struct offsets *offsets, struct slice topic, int32_t partition,
                  const struct offset_commit *commit, int64_t log_offset)
{
    put(offsets, arrive(entry_find(&offsets->topics, topic, partition)), commit, log_offset);
}

void offsets_undone(struct offsets *offsets, struct slice topic, int32_t partition)
{
    arrive(entry_find(&offsets->topics, topic, partition));
    tidy(&offsets->topics, topic, partition);
}

void offsets_load(struct offsets *offsets, struct slice topic, int32_t partition,
                  const struct offset_commit *commit, int64_t log_offset)
{
    put(offsets, entry_take(&offsets->topics, topic, partition), commit, log_offset);
}

bool offsets_remove(struct offsets *offsets, struct slice topic, int32_t partition)
{
    struct entry *entry = entry_find(&offsets->topics, topic, partition);

    if (entry == NULL || entry->log_offset < 0) return false;
    entry->log_offset = -1;
    offsets->count--;
    tidy(&offsets->topics, topic, partition);
    return true;
}

/* ---- transactions ---- */

static struct slice txn_key(const int64_t *producer_id)
{
    return slice_of(producer_id, sizeof(*producer_id));
}

static struct txn *txn_find(const struct offsets *offsets, int64_t producer_id)
{
    return map_get(&offsets->txns, txn_key(&producer_id));
}

static void txn_tidy(struct offsets *offsets, int64_t producer_id)
{
    struct txn *txn = txn_find(offsets, producer_id);

    if (txn == NULL || txn->topics.count > 0) return;
    map_remove(&offsets->txns, txn_key(&producer_id));
    map_fini(&txn->topics);
    free(txn);
}

static struct txn *txn_take(struct offsets *offsets, int64_t producer_id)
{
    struct txn *txn = txn_find(offsets, producer_id);

    if (txn != NULL) return txn;
    txn = ensure_zalloc(sizeof(*txn));
    map_init(&txn->topics);
    map_set(&offsets->txns, txn_key(&producer_id), txn);
    return txn;
}

bool offsets_has_txn(const struct offsets *offsets, int64_t producer_id)
{
    return txn_find(offsets, producer_id) != NULL;
}

void offsets_txn_prepare(struct offsets *offsets, int64_t producer_id, struct slice topic,
                         int32_t partition)
{
    entry_take(&txn_take(offsets, producer_id)->topics, topic, partition)->pending++;
}

void offsets_txn_done(struct offsets *offsets, int64_t producer_id, struct slice topic,
                      int32_t partition, const struct offset_commit *commit, int64_t log_offset)
{
    struct txn *txn = txn_take(offsets, producer_id);
    struct entry *entry = entry_take(&txn->topics, topic, partition);

    if (entry->pending > 0) entry->pending--; /* 0: the log is being read */
    if (log_offset >= entry->log_offset) entry_set(entry, commit, log_offset);
}

void offsets_txn_undone(struct offsets *offsets, int64_t producer_id, struct slice topic,
                        int32_t partition)
{
    struct txn *txn = txn_find(offsets, producer_id);

    ensure(txn != NULL);
    arrive(entry_find(&txn->topics, topic, partition));
    tidy(&txn->topics, topic, partition);
    txn_tidy(offsets, producer_id);
}

void offsets_txn_end(struct offsets *offsets, int64_t producer_id, bool is_commit)
{
    struct txn *txn = txn_find(offsets, producer_id);

    if (txn == NULL) return;
    map_each (each, &txn->topics) {
        struct topic *topic = each->value;
        struct slice name = map_key(each);
        int count = topic->count;
        for (int i = count - 1; i >= 0; i--) { /* the last one dropped takes the topic with it */
            struct entry *entry = &topic->entries[i];
            if (entry->log_offset < 0) continue;
            struct offset_commit commit = entry_commit(entry);
            if (is_commit)
                put(offsets, entry_take(&offsets->topics, name, entry->partition), &commit,
                    entry->log_offset);
            entry->log_offset = -1;
            if (entry->pending == 0) entry_drop(&txn->topics, name, entry->partition);
        }
    }
    txn_tidy(offsets, producer_id);
}

/* ---- walks ---- */

void offsets_each(const struct offsets *offsets,
                  void (*each)(void *to, struct slice topic, int32_t partition,
                               const struct offset_commit *commit),
                  void *to)
{
    map_each (it, &offsets->topics) {
        const struct topic *topic = it->value;
        for (int i = 0; i < topic->count; i++) {
            struct offset_commit commit = entry_commit(&topic->entries[i]);
            if (topic->entries[i].log_offset < 0) continue;
            each(to, map_key(it), topic->entries[i].partition, &commit);
        }
    }
}

/* ---- time ---- */

static bool has_expired(const struct entry *entry, const struct offsets_age *age)
{
    int64_t since = entry->commit_ms;

    if (entry->log_offset < 0 || entry->pending > 0) return false;
    if (entry->expire_ms >= 0) return age->now_ms >= entry->expire_ms;
    if (age->aging == OFFSETS_AGE_FROM_EMPTY && age->empty_since_ms >= 0)
        since = age->empty_since_ms;
    return age->now_ms - since >= age->retention_ms;
}

int offsets_expire(struct offsets *offsets, const struct offsets_age *age,
                   void (*removed)(void *to, struct slice topic, int32_t partition), void *to)
{
    int count = 0;

    if (age->aging == OFFSETS_AGE_NEVER) return 0;
    map_each (it, &offsets->topics) {
        struct topic *topic = it->value;
        struct slice name = map_key(it);
        if (age->keeps != NULL && age->keeps(age->to, name)) continue;
        for (int i = topic->count - 1; i >= 0; i--) {
            struct entry *entry = &topic->entries[i];
            if (!has_expired(entry, age)) continue;
            count++;
            offsets->count--;
            removed(to, name, entry->partition);
            entry_drop(&offsets->topics, name, entry->partition);
        }
    }
    return count;
}

/* A character beyond the first plane (four bytes of UTF-8) is two units. */
int64_t offsets_metadata_len(struct slice metadata)
{
    int64_t units = 0;

    for (size_t i = 0; i < metadata.len; i++) {
        uint8_t byte = metadata.ptr[i];
        units += (byte & 0xc0) != 0x80;
        units += byte >= 0xf0;
    }
    return units;
}

void offsets_audit(const struct offsets *offsets)
{
    size_t count = 0;

    map_each (it, &offsets->topics) {
        const struct topic *topic = it->value;
        ensure(topic->count > 0);
        for (int i = 0; i < topic->count; i++) {
            const struct entry *entry = &topic->entries[i];
            ensure(i == 0 || entry->partition > topic->entries[i - 1].partition);
            ensure(entry->log_offset >= 0 || entry->pending > 0);
            count += entry->log_offset >= 0;
        }
    }
    ensure(count == offsets->count);
    map_each (it, &offsets->txns)
        ensure(((const struct txn *)it->value)->topics.count > 0);
}
