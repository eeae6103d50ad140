#include "broker/api/broker_configs.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/text.h"
#include "cluster/options.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include "zk/zk.h"
#include <stdlib.h>

#define ARENA_BYTES_MAX (2 * DOC_BYTES_MAX)

enum layer { OF_ALL, OF_ONE, LAYERS };

struct broker_configs {
    struct api_shard *control;
    struct zk *zk;
    void (*changed)(void *to, const struct options *before);
    void *changed_to;
    struct buf stored[LAYERS]; /* the documents, as last read */
    struct options *options;   /* NULL: nothing was ever changed at run time */
    struct list reads;         /* under way */
    struct arena arena;
};

/* Both documents, once. */
struct both {
    struct list_node node;
    struct broker_configs *configs; /* NULL: destroyed meanwhile */
    struct one {
        struct zk_call call;
        struct both *of;
        enum layer layer;
    } one[LAYERS];
    int waiting;
    enum err err;
    bool has_ended; /* the session has, before it said anything */
    struct post post;
    void (*done)(void *to);
    void (*loaded)(void *to, enum err err);
    void *to;
};

static void on_problem(void *to, bool is_error, const char *message)
{
    (void)to;
    (void)is_error;
    log_warn("broker", "broker-config-ignored", "why=\"%s\"", message);
}

/* ---- what is stored, as options ---- */

static void apply(struct broker_configs *configs, struct options *options, enum layer layer)
{
    const struct options_report report = {.problem = on_problem};
    enum option_source source =
        layer == OF_ONE ? OPTION_SOURCE_DYNAMIC_BROKER : OPTION_SOURCE_DYNAMIC_DEFAULT;
    struct doc_config doc = {0};
    struct buf key = {0}, value = {0};

    arena_reset(&configs->arena);
    if (doc_config_read(buf_slice(&configs->stored[layer]), &configs->arena, &doc) != ERR_OK) {
        log_error("broker", "broker-config-unreadable", "default=%s",
                  layer == OF_ALL ? "true" : "false");
        return;
    }
    for (int32_t i = 0; i < doc.count; i++) {
        const struct doc_config_entry *entry = &doc.entries[i];
        enum option option = option_find(entry->name);

        buf_clear(&key);
        buf_clear(&value);
        buf_printf(&key, "%.*s", SLICE_ARGS(entry->name));
        buf_printf(&value, "%.*s", SLICE_ARGS(entry->value));
        buf_add(&key, "", 1);
        buf_add(&value, "", 1);
        enum err err = options_set_dynamic(options, source, (const char *)key.ptr,
                                           (const char *)value.ptr, &report);
        if (err == ERR_OK && option != OPTION_NONE && !option_is_live(option))
            log_warn("broker", "broker-config-without-effect", "key=%.*s", SLICE_ARGS(entry->name));
    }
    buf_fini(&key);
    buf_fini(&value);
}

static void rebuild(struct broker_configs *configs)
{
    struct api_shard *control = configs->control;
    struct options *before = configs->options;
    const struct options *was = control->options;

    configs->options = options_copy(control->process->options);
    for (int layer = 0; layer < LAYERS; layer++)
        apply(configs, configs->options, (enum layer)layer);
    control->options = configs->options;
    log_info("broker", "broker-config", "changed=true");
    if (configs->changed != NULL) configs->changed(configs->changed_to, was);
    options_destroy(&before);
}

/* ---- reading ---- */

static void both_end(struct both *both)
{
    struct broker_configs *configs = both->configs;

    if (configs != NULL) {
        list_remove(&both->node);
        if (both->done != NULL) both->done(both->to);
        if (both->loaded != NULL && !both->has_ended) both->loaded(both->to, both->err);
    }
    free(both);
}

/* True if it is other than before. What cannot be read leaves things as they are. */
static bool learn(struct broker_configs *configs, enum layer layer, enum err err, struct slice data)
{
    struct buf *stored = &configs->stored[layer];

    if (err == ERR_NOT_FOUND) data = SLICE("");
    if (slice_equal(buf_slice(stored), data) || (stored->len == 0 && data.len == 0)) return false;
    buf_clear(stored);
    if (data.len > 0) buf_add(stored, data.ptr, data.len);
    return true;
}

static void on_read(struct zk_call *call, enum err err, const struct zk_result *results, int count)
{
    struct one *one = list_entry(call, struct one, call);
    struct both *both = one->of;

    if (err == ERR_ZK_EXPIRED || err == ERR_CANCELLED) {
        both->has_ended = true;
    } else if (err != ERR_OK && err != ERR_NOT_FOUND) {
        log_error("broker", "broker-config-unread", "why=%s", err_name(err));
        both->err = err;
    } else if (both->configs != NULL) {
        if (learn(both->configs, one->layer, err, count > 0 ? results[0].data : SLICE_NULL))
            rebuild(both->configs);
    }
    if (--both->waiting == 0) both_end(both);
}

static void on_no_read(struct post *post)
{
    both_end((struct both *)(void *)((char *)post - offsetof(struct both, post)));
}

static struct both *both_create(struct broker_configs *configs)
{
    struct both *both = ensure_zalloc(sizeof(*both));

    both->configs = configs;
    list_push(&configs->reads, &both->node);
    return both;
}

static void both_submit(struct both *both)
{
    struct broker_configs *configs = both->configs;

    both->waiting = LAYERS;
    for (int layer = 0; layer < LAYERS; layer++) {
        struct one *one = &both->one[layer];
        struct path_entity entity = {.type = PATH_ENTITY_BROKER, .name = SLICE_NULL};

        arena_reset(&configs->arena);
        if (layer == OF_ONE)
            entity.name = arena_printf(&configs->arena, "%d", configs->control->process->broker_id);
        one->of = both;
        one->layer = (enum layer)layer;
        one->call = (struct zk_call){.done = on_read, .retry_loss = true};
        zk_submit(configs->zk, &one->call,
                  &(struct zk_op){.kind = ZK_GET, .path = path_config(&configs->arena, &entity)},
                  1);
    }
}

void broker_configs_read(struct broker_configs *configs, void (*done)(void *to), void *to)
{
    struct both *both = both_create(configs);

    both->done = done;
    both->to = to;
    if (configs->zk == NULL || !zk_is_connected(configs->zk)) {
        both->post.run = on_no_read;
        shard_post(configs->control->shard, &both->post);
        return;
    }
    both_submit(both);
}

void broker_configs_set_zk(struct broker_configs *configs, struct zk *zk,
                           void (*loaded)(void *to, enum err err), void *to)
{
    configs->zk = zk;
    if (zk == NULL) return;
    struct both *both = both_create(configs);
    both->loaded = loaded;
    both->to = to;
    both_submit(both);
}

void broker_configs_notified(struct broker_configs *configs, struct slice name)
{
    int64_t id;

    if (configs->zk == NULL) return;
    if (slice_is_null(name) ||
        (text_int(name, 0, INT32_MAX, &id) == ERR_OK && id == configs->control->process->broker_id))
        both_submit(both_create(configs));
}

/* ---- life ---- */

struct broker_configs *
broker_configs_create(struct api_shard *control,
                      void (*changed)(void *to, const struct options *before), void *to)
{
    struct broker_configs *configs = ensure_zalloc(sizeof(*configs));

    configs->control = control;
    configs->changed = changed;
    configs->changed_to = to;
    list_init(&configs->reads);
    arena_init(&configs->arena, ARENA_BYTES_MAX);
    return configs;
}

void broker_configs_destroy(struct broker_configs **configs)
{
    struct broker_configs *it = *configs;

    if (it == NULL) return;
    list_each (node, &it->reads) {
        struct both *both = list_entry(node, struct both, node);
        list_remove(node);
        both->configs = NULL;
        if (both->waiting == 0) { /* its post would come home to nobody */
            shard_unpost(&both->post);
            free(both);
        }
    }
    it->control->options = it->control->process->options;
    options_destroy(&it->options);
    for (int layer = 0; layer < LAYERS; layer++)
        buf_fini(&it->stored[layer]);
    arena_fini(&it->arena);
    free(it);
    *configs = NULL;
}
