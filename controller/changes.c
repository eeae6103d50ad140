/* controller/changes.c - see changes.h. */
#include "controller/changes.h"
#include "base/ensure.h"
#include "base/list.h"
#include "base/log.h"
#include "controller/documents.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdlib.h>

#define ARENA_MAX (8u << 20)

/* One notification, or the configuration that it names: a read under way. */
struct reading {
    struct zk_call call;
    struct changes *changes;
    uint64_t round;     /* of the start that it belongs to */
    struct slice topic; /* owned; null: the default, or not known yet */
};

struct changes {
    struct zk *zk;
    void (*enabled)(void *owner, struct slice topic, bool is_enabled);
    void *owner;
    struct zk_call list;
    bool is_on, is_listing, is_stale_already, has_seen;
    bool otherwise;
    int64_t last; /* number of the newest one that was seen */
    uint64_t round;
};

static void listed(struct zk_call *call, enum err err, const struct zk_result *results, int count);

struct changes *changes_create(struct zk *zk,
                               void (*enabled)(void *owner, struct slice topic, bool is_enabled),
                               void *owner)
{
    struct changes *changes = ensure_zalloc(sizeof(*changes));

    changes->zk = zk;
    changes->enabled = enabled;
    changes->owner = owner;
    changes->list = (struct zk_call){.done = listed, .retry_loss = true};
    return changes;
}

void changes_destroy(struct changes **changes)
{
    free(*changes);
    *changes = NULL;
}

void changes_stop(struct changes *changes)
{
    changes->is_on = false;
    changes->round++;
}

static struct reading *reading_create(struct changes *changes, struct slice topic,
                                      void (*done)(struct zk_call *, enum err,
                                                   const struct zk_result *, int))
{
    struct reading *reading = ensure_zalloc(sizeof(*reading));

    reading->call = (struct zk_call){.done = done, .retry_loss = true};
    reading->changes = changes;
    reading->round = changes->round;
    if (!slice_is_null(topic))
        reading->topic = slice_of(ensure_strndup(topic.ptr, topic.len), topic.len);
    return reading;
}

static void reading_free(struct reading *reading)
{
    free((void *)reading->topic.ptr);
    free(reading);
}

static void read_path(struct reading *reading, struct slice path)
{
    const struct zk_op op = {.kind = ZK_GET, .path = path};

    zk_submit(reading->changes->zk, &reading->call, &op, 1);
}

static void config_read(struct zk_call *call, enum err err, const struct zk_result *results,
                        int count)
{
    struct reading *reading = list_entry(call, struct reading, call);
    struct changes *changes = reading->changes;
    bool is_default = slice_is_null(reading->topic);
    struct election_terms terms = {.is_unclean_allowed = is_default && changes->otherwise};

    if (reading->round == changes->round && (err == ERR_OK || err == ERR_NOT_FOUND)) {
        struct slice data = err == ERR_OK && count == 1 ? results[0].data : SLICE_NULL;

        if (document_read_terms(data, &terms) == ERR_OK &&
            (is_default || terms.is_unclean_allowed))
            changes->enabled(changes->owner, reading->topic, terms.is_unclean_allowed);
    }
    reading_free(reading);
}

static void read_default(struct changes *changes)
{
    struct path_entity entity = {.type = PATH_ENTITY_BROKER};
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    read_path(reading_create(changes, SLICE_NULL, config_read), path_config(&arena, &entity));
    arena_fini(&arena);
}

static void change_read(struct zk_call *call, enum err err, const struct zk_result *results,
                        int count)
{
    struct reading *reading = list_entry(call, struct reading, call);
    struct changes *changes = reading->changes;
    struct path_entity entity;
    struct slice text;
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    if (reading->round == changes->round && err == ERR_OK && count == 1 &&
        doc_config_change_read(results[0].data, &arena, &text) == ERR_OK &&
        path_parse_entity(&arena, text, &entity) == ERR_OK) {
        if (entity.type == PATH_ENTITY_TOPIC)
            read_path(reading_create(changes, entity.name, config_read),
                      path_config_topic(&arena, entity.name));
        else if (entity.type == PATH_ENTITY_BROKER && slice_is_null(entity.name))
            read_default(changes);
    }
    arena_fini(&arena);
    reading_free(reading);
}

static void read_new(struct changes *changes, const struct zk_result *list)
{
    int64_t newest = changes->last;
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    for (int i = 0; i < list->child_count; i++) {
        int64_t number;

        if (path_parse_sequence(list->children[i], "config_change_", &number) != ERR_OK ||
            number <= changes->last)
            continue;
        if (number > newest) newest = number;
        if (changes->has_seen)
            read_path(reading_create(changes, SLICE_NULL, change_read),
                      path_child(&arena, PATH_CONFIG_CHANGES, list->children[i]));
        arena_reset(&arena);
    }
    arena_fini(&arena);
    changes->last = newest;
    changes->has_seen = true;
}

static void listed(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct changes *changes = list_entry(call, struct changes, list);

    changes->is_listing = false;
    if (!changes->is_on) return;
    if (err == ERR_OK && count == 1) read_new(changes, &results[0]);
    if (changes->is_stale_already) changes_look(changes);
}

void changes_look(struct changes *changes)
{
    const struct zk_op op = {.kind = ZK_CHILDREN, .path = PATH_CONFIG_CHANGES, .watch = true};

    if (!changes->is_on) return;
    if (changes->is_listing) {
        changes->is_stale_already = true;
        return;
    }
    changes->is_listing = true;
    changes->is_stale_already = false;
    zk_submit(changes->zk, &changes->list, &op, 1);
}

void changes_start(struct changes *changes, bool otherwise)
{
    changes->is_on = true;
    changes->has_seen = false;
    changes->otherwise = otherwise;
    changes->last = -1;
    changes->round++;
    changes_look(changes);
    read_default(changes);
}
