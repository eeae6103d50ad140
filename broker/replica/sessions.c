/* broker/replica/sessions.c - see sessions.h. */
#include "broker/replica/sessions.h"
#include "base/ensure.h"
#include <stdlib.h>
#include <string.h>

#define TOPIC_MAX 32767 /* what the wire can carry */
#define NAME_MAX  249   /* what a topic can be called: longer ones are not remembered */

void sessions_init(struct sessions *sessions, int slots_max, size_t parts_max, int shard,
                   int shards)
{
    *sessions = (struct sessions){
        .slots_max = slots_max,
        .parts_max = parts_max,
        .shard = shard,
        .shards = shards,
    };
    map_init(&sessions->by_id);
    list_init(&sessions->by_use);
}

int32_t session_epoch_after(int32_t epoch)
{
    return epoch == INT32_MAX ? 1 : epoch + 1;
}

struct session *sessions_find(const struct sessions *sessions, int32_t id)
{
    return map_get(&sessions->by_id, map_int(&id));
}

/* ---- partitions of a session ---- */

/* The key of a partition: its number, then the id, or the name. */
static struct slice key_of(struct slice topic, struct uuid topic_id, int32_t partition, uint8_t *to)
{
    size_t len = sizeof(partition);

    memcpy(to, &partition, sizeof(partition));
    if (topic.len == 0) {
        memcpy(to + len, topic_id.bytes, sizeof(topic_id.bytes));
        return slice_of(to, len + sizeof(topic_id.bytes));
    }
    ensure(topic.len <= TOPIC_MAX);
    memcpy(to + len, topic.ptr, topic.len);
    return slice_of(to, len + topic.len);
}

struct session_part *session_part_of(const struct session *session, struct slice topic,
                                     struct uuid topic_id, int32_t partition)
{
    uint8_t key[sizeof(partition) + TOPIC_MAX];

    return map_get(&session->parts, key_of(topic, topic_id, partition, key));
}

static void part_destroy(struct session_part *part)
{
    list_remove(&part->order);
    free((void *)(uintptr_t)part->ask.topic.ptr);
    free(part);
}

enum err session_ask(struct sessions *sessions, struct session *session,
                     const struct session_ask *ask)
{
    uint8_t key[sizeof(ask->partition) + TOPIC_MAX];
    struct slice name = key_of(ask->topic, ask->topic_id, ask->partition, key);
    struct session_part *part = map_get(&session->parts, name);

    if (part != NULL) {
        struct slice topic = part->ask.topic;
        part->ask = *ask;
        part->ask.topic = topic;
        return ERR_OK;
    }
    if (sessions->parts >= sessions->parts_max || ask->topic.len > NAME_MAX) return ERR_LIMIT;
    part = ensure_zalloc(sizeof(*part));
    part->ask = *ask;
    part->ask.topic = SLICE_NULL;
    if (ask->topic.len > 0)
        part->ask.topic = slice_of(ensure_strndup(ask->topic.ptr, ask->topic.len), ask->topic.len);
    part->high_watermark = part->log_start = -1;
    map_set(&session->parts, name, part);
    list_push(&session->order, &part->order);
    sessions->parts++;
    return ERR_OK;
}

void session_forget(struct sessions *sessions, struct session *session, struct slice topic,
                    struct uuid topic_id, int32_t partition)
{
    uint8_t key[sizeof(partition) + TOPIC_MAX];
    struct session_part *part =
        map_remove(&session->parts, key_of(topic, topic_id, partition, key));

    if (part == NULL) return;
    part_destroy(part);
    sessions->parts--;
}

bool session_tell(struct session *session, struct session_part *part,
                  const struct session_told *told)
{
    if (part == NULL) return true;
    bool is_news = told->has_records || told->is_special || told->has_error ||
                   told->high_watermark != part->high_watermark ||
                   told->log_start != part->log_start;

    if (told->has_records) {
        list_remove(&part->order);
        list_push(&session->order, &part->order);
    }
    part->high_watermark = told->high_watermark;
    part->log_start = told->log_start;
    /* So that the end of the error is told, though nothing else has changed. */
    if (told->has_error) part->high_watermark = -1;
    return is_news;
}

/* ---- the cache ---- */

static void destroy(struct sessions *sessions, struct session *session)
{
    map_each (entry, &session->parts)
        part_destroy(entry->value);
    sessions->parts -= session->parts.count;
    map_fini(&session->parts);
    list_remove(&session->by_use);
    ensure(map_remove(&sessions->by_id, map_int(&session->id)) == session);
    free(session);
}

void sessions_close(struct sessions *sessions, int32_t id)
{
    struct session *session = sessions_find(sessions, id);

    if (session != NULL) destroy(sessions, session);
}

void sessions_fini(struct sessions *sessions)
{
    map_each (entry, &sessions->by_id)
        destroy(sessions, entry->value);
    map_fini(&sessions->by_id);
}

enum err sessions_continue(struct sessions *sessions, int32_t id, int32_t epoch, bool has_ids,
                           struct instant now, struct session **out)
{
    struct session *session = sessions_find(sessions, id);

    if (session == NULL) return ERR_NOT_FOUND;
    if (session->epoch != epoch) return ERR_STALE;
    if (session->has_ids != has_ids) return ERR_INVALID;
    session->epoch = session_epoch_after(epoch);
    session->used = now;
    list_remove(&session->by_use);
    list_push(&sessions->by_use, &session->by_use);
    *out = session;
    return ERR_OK;
}

/* Lower goes first: consumers before followers, small before large, then by id. */
static bool goes_before(const struct session *a, bool b_is_follower, size_t b_size, int32_t b_id)
{
    if (a->is_follower != b_is_follower) return b_is_follower;
    if (a->parts.count != b_size) return a->parts.count < b_size;
    return a->id < b_id;
}

/* The session that makes way for a new one, or NULL. */
static struct session *victim(const struct sessions *sessions, bool is_follower, size_t size,
                              struct instant now)
{
    struct list_node *oldest = list_first(&sessions->by_use);
    struct session *lowest = NULL;

    if (oldest == NULL) return NULL;
    struct session *session = list_entry(oldest, struct session, by_use);
    if (instant_ms_between(session->used, now) > SESSION_IDLE_MS) return session;

    list_each (node, &sessions->by_use) {
        session = list_entry(node, struct session, by_use);
        bool is_old = instant_ms_between(session->created, now) > SESSION_IDLE_MS;
        if (!is_old && !(is_follower && !session->is_follower)) continue;
        if (lowest == NULL ||
            goes_before(session, lowest->is_follower, lowest->parts.count, lowest->id))
            lowest = session;
    }
    if (lowest == NULL || !goes_before(lowest, is_follower, size, 0)) return NULL;
    return lowest;
}

/* Positive, of this shard's residue, and not in use. */
static int32_t new_id(const struct sessions *sessions, uint64_t random)
{
    uint32_t span = (uint32_t)(INT32_MAX / sessions->shards);
    uint32_t nth = (uint32_t)(random % span);

    for (;; nth = (nth + 1) % span) {
        int32_t id = (int32_t)(nth * (uint32_t)sessions->shards + (uint32_t)sessions->shard);
        if (id > 0 && sessions_find(sessions, id) == NULL) return id;
    }
}

struct session *sessions_create(struct sessions *sessions, bool is_follower, bool has_ids,
                                size_t count, struct instant now, uint64_t random)
{
    if (count == 0 || sessions->slots_max == 0) return NULL;
    if (sessions_count(sessions) >= sessions->slots_max) {
        struct session *old = victim(sessions, is_follower, count, now);
        if (old == NULL) return NULL;
        destroy(sessions, old);
        sessions->evicted++;
    }
    if (count > sessions->parts_max - sessions->parts) return NULL;

    struct session *session = ensure_zalloc(sizeof(*session));
    session->id = new_id(sessions, random);
    session->epoch = 1;
    session->is_follower = is_follower;
    session->has_ids = has_ids;
    session->created = session->used = now;
    list_init(&session->order);
    map_init(&session->parts);
    map_set(&sessions->by_id, map_int(&session->id), session);
    list_push(&sessions->by_use, &session->by_use);
    return session;
}
