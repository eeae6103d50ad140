/* controller/warm.c - see warm.h. */
#include "controller/warm.h"
#include "base/ensure.h"
#include "controller/task.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdlib.h>

#define ARENA_MAX       (64u << 20)
#define WATCH_BYTES_MAX (512u << 10) /* of paths: half of what the server takes in one packet */
/* When thousands of states change, a broker has gone, and somebody waits for the next of these
 * writes: they are read when that is over. */
#define STATES_LATER_MS 1000

/* One path, with what it answers; the root of those below it. */
struct entry {
    struct zk_call call;
    struct warm *warm; /* NULL: forgotten while a read was under way */
    char *path;
    bool is_list;
    bool is_valid, is_reading;
    bool is_stale_already; /* the watch fired while it was read */
    bool is_awaited;       /* a state that is absent: its creation is watched for */
    struct list_node changed;
    struct request kept;
};

struct warm {
    struct shard *shard;
    struct zk *zk;
    struct list changed; /* states, to be read at the timer's end */
    struct timer timer;
    bool is_on;
    struct map entries; /* path → struct entry * */
    size_t valid;
    size_t watch_bytes;
};

static void read_entry(struct entry *entry);

static void read_changed(struct timer *timer)
{
    struct warm *warm = list_entry(timer, struct warm, timer);

    for (struct list_node *node; (node = list_pop(&warm->changed)) != NULL;)
        read_entry(list_entry(node, struct entry, changed));
}

struct warm *warm_create(struct shard *shard, struct zk *zk)
{
    struct warm *warm = ensure_zalloc(sizeof(*warm));

    warm->shard = shard;
    warm->zk = zk;
    list_init(&warm->changed);
    warm->timer.fire = read_changed;
    map_init(&warm->entries);
    return warm;
}

static void clear_kept(struct entry *entry)
{
    free((void *)entry->kept.answer.ptr);
    for (int32_t i = 0; i < entry->kept.child_count; i++)
        free((void *)entry->kept.children[i].ptr);
    free(entry->kept.children);
    entry->kept = (struct request){0};
    if (entry->is_valid && entry->warm != NULL) entry->warm->valid--;
    entry->is_valid = false;
}

static void free_entry(struct entry *entry)
{
    free(entry->path);
    free(entry);
}

static void forget(struct warm *warm, struct entry *entry)
{
    (void)map_remove(&warm->entries, slice_text(entry->path));
    warm->watch_bytes -= strlen(entry->path);
    list_remove(&entry->changed);
    clear_kept(entry);
    entry->warm = NULL;
    if (!entry->is_reading) free_entry(entry);
}

void warm_stop(struct warm *warm)
{
    warm->is_on = false;
    timer_cancel(warm->shard, &warm->timer);
    for (struct map_entry *first; (first = map_first(&warm->entries)) != NULL;)
        forget(warm, first->value);
}

void warm_destroy(struct warm **warm)
{
    if (*warm == NULL) return;
    warm_stop(*warm);
    map_fini(&(*warm)->entries);
    free(*warm);
    *warm = NULL;
}

size_t warm_count(const struct warm *warm)
{
    return warm->valid;
}

static void keep(struct warm *warm, struct slice path, bool is_list);

static void read_entry(struct entry *entry)
{
    const struct zk_op op = {.kind = entry->is_list      ? ZK_CHILDREN
                                     : entry->is_awaited ? ZK_EXISTS
                                                         : ZK_GET,
                             .path = slice_text(entry->path),
                             .watch = true};

    if (entry->is_reading) {
        entry->is_stale_already = true;
        return;
    }
    entry->is_reading = true;
    entry->is_stale_already = false;
    zk_submit(entry->warm->zk, &entry->call, &op, 1);
}

/* Entries below `path` that are not among `names` any more. */
static void prune(struct warm *warm, struct slice path, const struct zk_result *list)
{
    struct map names;

    map_init(&names);
    for (int i = 0; i < list->child_count; i++)
        (void)map_set(&names, list->children[i], warm);
    map_each (each, &warm->entries) {
        struct slice rest = map_key(each);
        struct slice head;
        struct slice child;

        if (!slice_starts_with(rest, path) || rest.len <= path.len + 1) continue;
        rest = slice_of(rest.ptr + path.len + 1, rest.len - path.len - 1);
        child = slice_cut(&rest, '/', &head) ? head : rest;
        if (map_get(&names, child) == NULL) forget(warm, each->value);
    }
    map_fini(&names);
}

static void keep_states(struct warm *warm, struct slice topic, struct slice json)
{
    struct doc_topic doc;
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    if (doc_topic_read(json, &arena, &doc) == ERR_OK)
        for (int32_t i = 0; i < doc.partition_count; i++)
            keep(warm, path_state(&arena, topic, doc.partitions[i].partition), false);
    arena_fini(&arena);
}

static void follow(struct warm *warm, const struct entry *entry, const struct zk_result *result)
{
    struct slice path = slice_text(entry->path);
    struct slice topic;
    struct arena arena;

    if (entry->is_list) {
        prune(warm, path, result);
        arena_init(&arena, ARENA_MAX);
        for (int i = 0; i < result->child_count; i++)
            keep(warm, path_child(&arena, path, result->children[i]), false);
        arena_fini(&arena);
    } else if (path_parse_topic(path, &topic) == ERR_OK) {
        keep_states(warm, topic, result->data);
    }
}

static bool is_state(const struct entry *entry)
{
    struct slice topic;
    int32_t partition;

    return path_parse_state(slice_text(entry->path), &topic, &partition) == ERR_OK;
}

static void read_done(struct zk_call *call, enum err err, const struct zk_result *results,
                      int count)
{
    struct entry *entry = list_entry(call, struct entry, call);
    struct warm *warm = entry->warm;

    entry->is_reading = false;
    if (warm == NULL) {
        free_entry(entry);
        return;
    }
    clear_kept(entry);
    bool was_awaited = entry->is_awaited;
    entry->is_awaited = false;
    if (err == ERR_NOT_FOUND && is_state(entry)) {
        if (was_awaited) return; /* its creation comes as an event */
        entry->is_awaited = true;
        read_entry(entry);
        return;
    }
    if (err != ERR_OK || count != 1) {
        forget(warm, entry); /* the list that it was in says when it is there */
        return;
    }
    if (entry->is_stale_already || was_awaited) {
        read_entry(entry);
        return;
    }
    request_answer(&entry->kept, ERR_OK, &results[0].stat, results[0].data, results[0].children,
                   results[0].child_count);
    entry->is_valid = true;
    warm->valid++;
    follow(warm, entry, &results[0]);
}

static void keep(struct warm *warm, struct slice path, bool is_list)
{
    if (map_get(&warm->entries, path) != NULL || warm->watch_bytes + path.len > WATCH_BYTES_MAX)
        return;
    warm->watch_bytes += path.len;
    struct entry *entry = ensure_zalloc(sizeof(*entry));
    entry->warm = warm;
    entry->path = ensure_strndup(path.ptr, path.len);
    entry->is_list = is_list;
    entry->call = (struct zk_call){.done = read_done, .retry_loss = true};
    (void)map_set(&warm->entries, path, entry);
    read_entry(entry);
}

void warm_start(struct warm *warm)
{
    warm->is_on = true;
    keep(warm, PATH_BROKERS_IDS, true);
    keep(warm, PATH_BROKERS_TOPICS, true);
}

void warm_event(struct warm *warm, const struct zk_event *event)
{
    struct entry *entry = map_get(&warm->entries, event->path);

    if (!warm->is_on || entry == NULL) return;
    clear_kept(entry);
    if (!is_state(entry) || entry->is_reading) {
        read_entry(entry);
        return;
    }
    if (list_is_empty(&warm->changed))
        timer_arm(warm->shard, &warm->timer,
                  instant_add_ms(shard_now(warm->shard), STATES_LATER_MS));
    if (!list_has(&entry->changed)) list_push(&warm->changed, &entry->changed);
}

bool warm_answer(const struct warm *warm, struct request *request)
{
    const struct entry *entry = map_get(&warm->entries, slice_text(request->path));

    if (entry == NULL || !entry->is_valid || entry->is_list != (request->kind == ZK_CHILDREN))
        return false;
    request_answer(request, ERR_OK, &entry->kept.stat, entry->kept.answer, entry->kept.children,
                   entry->kept.child_count);
    return true;
}
