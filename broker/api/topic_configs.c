#include "broker/api/topic_configs.h"
#include "base/ensure.h"
#include "base/log.h"
#include "broker/api/orders.h"
#include "broker/log/store.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include "zk/recipes.h"
#include "zk/zk.h"
#include <stdlib.h>

#define ARENA_BYTES_MAX   (2 * DOC_BYTES_MAX)
#define RETRY_MS          5000
#define CHANGE_AGE_MS_MAX (15 * 60 * 1000)

/* The overrides of one topic; only topics that have some are kept, and those of which it is not
 * known whether they have. */
struct overrides {
    bool is_unknown; /* what is stored cannot be read, and nothing was known before */
    bool is_awaited; /* it could not be asked for yet */
    struct option_pair *pairs;
    int count;
    char *text; /* what the pairs point into */
};

struct topic_configs {
    struct api_shard *control;
    struct zk *zk;
    struct map topics;   /* name → struct overrides * */
    struct list reads;   /* under way */
    struct recipe *load; /* the whole, or the notifications: one at a time */
    bool changes_again;  /* /config/changes has news that the one under way may lack */
    int64_t change_seen; /* the last notification that was carried out */
    void (*loaded)(void *to, enum err err);
    void *loaded_to;
    struct timer again; /* the whole, in a session in which it could not be read */
    struct arena arena;
    void (*broker_notified)(void *to, struct slice name);
    void *broker_notified_to;
    struct list errands; /* under way */
};

/* ---- what is known ---- */

static void overrides_free(struct overrides *overrides)
{
    if (overrides == NULL) return;
    free(overrides->pairs);
    free(overrides->text);
    free(overrides);
}

static struct overrides *overrides_from(const struct doc_config *doc)
{
    struct overrides *overrides = ensure_zalloc(sizeof(*overrides));
    size_t len = 0;

    for (int32_t i = 0; i < doc->count; i++)
        len += doc->entries[i].name.len + doc->entries[i].value.len;
    overrides->count = doc->count;
    overrides->pairs = ensure_zalloc(sizeof(*overrides->pairs) * (size_t)doc->count);
    char *at = overrides->text = ensure_malloc(len + 1);
    for (int32_t i = 0; i < doc->count; i++) {
        const struct slice from[2] = {doc->entries[i].name, doc->entries[i].value};
        struct slice to[2];
        for (int k = 0; k < 2; k++) {
            if (from[k].len > 0) memcpy(at, from[k].ptr, from[k].len);
            to[k] = slice_of(at, from[k].len);
            at += from[k].len;
        }
        overrides->pairs[i] = (struct option_pair){.key = to[0], .value = to[1]};
    }
    return overrides;
}

static bool overrides_equal(const struct overrides *a, const struct overrides *b)
{
    int count_a = a == NULL ? 0 : a->count, count_b = b == NULL ? 0 : b->count;

    if (count_a != count_b || (a != NULL && a->is_unknown) != (b != NULL && b->is_unknown) ||
        (a != NULL && a->is_awaited) != (b != NULL && b->is_awaited))
        return false;
    for (int i = 0; i < count_a; i++)
        if (!slice_equal(a->pairs[i].key, b->pairs[i].key) ||
            !slice_equal(a->pairs[i].value, b->pairs[i].value))
            return false;
    return true;
}

/* Of the values of one topic. */
struct problems {
    struct slice topic;
    bool has_bad_value;
};

static void on_problem(void *to, bool is_error, const char *message)
{
    struct problems *problems = to;

    problems->has_bad_value |= is_error;
    if (is_error)
        log_error("broker", "topic-config-bad", "topic=%.*s why=\"%s\" nothing-is-deleted=true",
                  SLICE_ARGS(problems->topic), message);
    else
        log_warn("broker", "topic-config-ignored", "topic=%.*s why=\"%s\"",
                 SLICE_ARGS(problems->topic), message);
}

/* Without what the topic asks for, the broker's own retention could delete what it was to keep: so
 * nothing is deleted until it can be read. */
static void hold_back_deletion(struct log_config *log)
{
    log->is_deleted = log->is_compacted = false;
}

void topic_configs_get(const struct topic_configs *configs, struct slice topic,
                       struct log_config *log, int32_t *min_insync)
{
    const struct options *options = configs->control->options;
    const struct overrides *overrides = map_get(&configs->topics, topic);
    struct problems problems = {.topic = topic};
    const struct option_pair *pairs = NULL;
    struct topic_options resolved;
    int count = topic_configs_pairs(configs, topic, &pairs);

    topic_options_resolve(options, pairs, count,
                          &(struct options_report){.problem = on_problem, .to = &problems},
                          &resolved);
    log_config_from_topic(&resolved, options, log);
    log->is_awaited = overrides != NULL && overrides->is_awaited;
    if (problems.has_bad_value || log->is_awaited || (overrides != NULL && overrides->is_unknown))
        hold_back_deletion(log);
    *min_insync = resolved.min_insync_replicas;
}

void topic_configs_throttles(const struct topic_configs *configs, struct slice topic,
                             struct topic_throttles *out)
{
    int32_t broker = configs->control->process->broker_id;
    const struct option_pair *pairs = NULL;
    int count = topic_configs_pairs(configs, topic, &pairs);

    *out = (struct topic_throttles){0};
    for (int i = 0; i < count; i++) {
        int option = topic_option_find(pairs[i].key);
        struct throttled *side =
            option == TOPIC_OPTION_LEADER_REPLICATION_THROTTLED_REPLICAS     ? &out->leader
            : option == TOPIC_OPTION_FOLLOWER_REPLICATION_THROTTLED_REPLICAS ? &out->follower
                                                                             : NULL;
        if (side == NULL) continue;
        throttled_fini(side);
        throttled_read(pairs[i].value, broker, side);
    }
}

/* Every data shard hears how the topic is configured now. */
static void tell(struct topic_configs *configs, struct slice topic)
{
    struct log_config log;
    struct topic_throttles throttles;
    int32_t min_insync;

    topic_configs_get(configs, topic, &log, &min_insync);
    topic_configs_throttles(configs, topic, &throttles);
    order_config(configs->control, topic, &log, min_insync, &throttles);
    topic_throttles_fini(&throttles);
}

struct reapplying {
    struct topic_configs *configs;
    struct map told;
};

static void reapply_log(void *to, struct log *log)
{
    struct reapplying *it = to;

    if (map_set(&it->told, log_topic(log), it) == NULL) tell(it->configs, log_topic(log));
}

void topic_configs_reapply(struct topic_configs *configs, struct store *store)
{
    struct reapplying it = {.configs = configs};

    map_init(&it.told);
    store_each(store, reapply_log, &it);
    map_fini(&it.told);
}

bool topic_configs_has_own(const struct topic_configs *configs, struct slice topic)
{
    return map_get(&configs->topics, topic) != NULL;
}

int topic_configs_pairs(const struct topic_configs *configs, struct slice topic,
                        const struct option_pair **pairs)
{
    const struct overrides *overrides = map_get(&configs->topics, topic);

    *pairs = overrides == NULL ? NULL : overrides->pairs;
    return overrides == NULL ? 0 : overrides->count;
}

/* Takes `next` (may be NULL); tells the partitions if it differs. */
static void take(struct topic_configs *configs, struct slice topic, struct overrides *next)
{
    if (overrides_equal(next, map_get(&configs->topics, topic))) {
        overrides_free(next);
        return;
    }
    overrides_free(next == NULL ? map_remove(&configs->topics, topic)
                                : map_set(&configs->topics, topic, next));
    tell(configs, topic);
    log_info("broker", "topic-config", "topic=%.*s overrides=%d", SLICE_ARGS(topic),
             next == NULL ? 0 : next->count);
}

void topic_configs_forget(struct topic_configs *configs, struct slice topic)
{
    overrides_free(map_remove(&configs->topics, topic));
}

/* What is known stays. That a topic had no overrides is no knowledge to go on deleting by: what
 * stands there now was written since. */
static void take_unreadable(struct topic_configs *configs, struct slice topic, enum err err)
{
    const struct overrides *before = map_get(&configs->topics, topic);
    bool is_known = before != NULL && !before->is_awaited;

    log_error("broker", "topic-config-unreadable", "topic=%.*s why=%s now=%s", SLICE_ARGS(topic),
              err_name(err), is_known ? "as-before" : "nothing-is-deleted");
    if (is_known) return;
    struct overrides *unknown = ensure_zalloc(sizeof(*unknown));
    unknown->is_unknown = true;
    take(configs, topic, unknown);
}

/* The topic is new, what is known under its name an earlier one's. */
static void await(struct topic_configs *configs, struct slice topic)
{
    struct overrides *awaited = ensure_zalloc(sizeof(*awaited));

    awaited->is_awaited = true;
    overrides_free(map_set(&configs->topics, topic, awaited));
    log_info("broker", "topic-config-awaited", "topic=%.*s", SLICE_ARGS(topic));
}

/* Takes what ZooKeeper says. A session that ended has said nothing: the next one is asked. */
static void learn(struct topic_configs *configs, struct slice topic, bool is_new, enum err err,
                  struct slice json)
{
    struct doc_config doc = {0};

    arena_reset(&configs->arena);
    if (err == ERR_OK) err = doc_config_read(json, &configs->arena, &doc);
    if (is_new && err != ERR_OK && err != ERR_NOT_FOUND) await(configs, topic);
    if (err == ERR_ZK_EXPIRED || err == ERR_CANCELLED) return;
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        take_unreadable(configs, topic, err);
    else
        take(configs, topic, doc.count > 0 ? overrides_from(&doc) : NULL);
}

/* ---- what nobody waits for ---- */

struct errand {
    struct list_node node;
    struct zk_call call;
};

static void errand_done(struct zk_call *call, enum err err, const struct zk_result *results,
                        int count)
{
    struct errand *errand = (struct errand *)(void *)((char *)call - offsetof(struct errand, call));

    (void)err;
    (void)results;
    (void)count;
    list_remove(&errand->node);
    free(errand);
}

static void run_errand(struct topic_configs *configs, const struct zk_op *op)
{
    struct errand *errand = ensure_zalloc(sizeof(*errand));

    list_push(&configs->errands, &errand->node);
    errand->call = (struct zk_call){.done = errand_done, .retry_loss = true};
    zk_submit(configs->zk, &errand->call, op, 1);
}

/* What is asked for next is answered by a server that has caught up with what was written before
 * this: the servers of an ensemble lag, each by its own, and a topic is heard of from the
 * controller, which has asked another one. What was missed so would stay unknown, for nobody
 * notifies of what a topic was created with. */
static void catch_up(struct topic_configs *configs)
{
    run_errand(configs, &(struct zk_op){.kind = ZK_SYNC, .path = PATH_CONFIG_TOPICS});
}

/* ---- one topic ---- */

struct one_read {
    struct list_node node;
    struct zk_call call;
    struct post post;
    struct topic_configs *configs; /* NULL: destroyed meanwhile */
    void (*done)(void *to);
    void *to;
    bool is_new; /* of a topic that has no log here, by whoever waits */
    size_t len;
    char topic[];
};

static void one_read_end(struct one_read *read)
{
    if (read->configs != NULL) {
        list_remove(&read->node);
        if (read->done != NULL) read->done(read->to);
    }
    free(read);
}

static void on_one_read(struct zk_call *call, enum err err, const struct zk_result *results,
                        int count)
{
    struct one_read *read =
        (struct one_read *)(void *)((char *)call - offsetof(struct one_read, call));

    if (read->configs != NULL) {
        struct slice topic = slice_of(read->topic, read->len);
        learn(read->configs, topic, read->is_new, err, count > 0 ? results[0].data : SLICE_NULL);
    }
    one_read_end(read);
}

static void on_no_read(struct post *post)
{
    one_read_end((struct one_read *)(void *)((char *)post - offsetof(struct one_read, post)));
}

static struct one_read *one_read_create(struct topic_configs *configs, struct slice topic)
{
    struct one_read *read = ensure_zalloc(sizeof(*read) + topic.len);

    read->configs = configs;
    read->len = topic.len;
    memcpy(read->topic, topic.ptr, topic.len);
    list_push(&configs->reads, &read->node);
    return read;
}

static void submit_read(struct topic_configs *configs, struct one_read *read)
{
    read->call = (struct zk_call){.done = on_one_read, .retry_loss = true};
    arena_reset(&configs->arena);
    struct zk_op op = {.kind = ZK_GET,
                       .path =
                           path_config_topic(&configs->arena, slice_of(read->topic, read->len))};
    zk_submit(configs->zk, &read->call, &op, 1);
}

static void begin_read(struct topic_configs *configs, struct slice topic, bool is_new,
                       void (*done)(void *to), void *to)
{
    struct one_read *read = one_read_create(configs, topic);

    read->done = done;
    read->to = to;
    read->is_new = is_new;
    if (configs->zk == NULL || !zk_is_connected(configs->zk)) {
        if (is_new) await(configs, topic);
        read->post.run = on_no_read;
        shard_post(configs->control->shard, &read->post);
        /* Nobody waits for ZooKeeper, but what it has to say must be learnt: no notification comes
         * for what a topic was created with. A new session reads everything by itself. */
        if (configs->zk == NULL) return;
        if (is_new) catch_up(configs);
        submit_read(configs, one_read_create(configs, topic));
        return;
    }
    if (is_new) catch_up(configs);
    submit_read(configs, read);
}

void topic_configs_read(struct topic_configs *configs, struct slice topic, void (*done)(void *to),
                        void *to)
{
    begin_read(configs, topic, false, done, to);
}

void topic_configs_read_new(struct topic_configs *configs, struct slice topic,
                            void (*done)(void *to), void *to)
{
    begin_read(configs, topic, true, done, to);
}

/* The connection is lost: who waits for an answer, goes on with what is known, as one who asks now
 * would. The answers come when it is back, and are learnt then. */
static void stop_waiting(struct topic_configs *configs)
{
    struct list waiting;

    list_init(&waiting);
    list_each (node, &configs->reads) {
        struct one_read *read = list_entry(node, struct one_read, node);
        if (read->done == NULL || read->post.run != NULL) continue;
        struct one_read *told = one_read_create(configs, slice_of(read->topic, read->len));
        list_remove(&told->node);
        told->done = read->done;
        told->to = read->to;
        read->done = NULL;
        if (read->is_new) await(configs, slice_of(read->topic, read->len));
        read->is_new = false;
        list_push(&waiting, &told->node);
    }
    for (struct list_node *node; (node = list_pop(&waiting)) != NULL;) {
        struct one_read *told = list_entry(node, struct one_read, node);
        list_push(&configs->reads, &told->node);
        told->post.run = on_no_read;
        shard_post(configs->control->shard, &told->post);
    }
}

/* ---- notifications ---- */

static void read_changes(struct topic_configs *configs);

static void carry_out(struct topic_configs *configs, const struct recipe_child *child)
{
    struct slice entity_path;
    struct path_entity entity;
    int64_t sequence;

    if (path_parse_sequence(child->name, "config_change_", &sequence) != ERR_OK ||
        sequence <= configs->change_seen)
        return;
    configs->change_seen = sequence;
    arena_reset(&configs->arena);
    enum err err = doc_config_change_read(child->data, &configs->arena, &entity_path);
    if (err == ERR_OK) err = path_parse_entity(&configs->arena, entity_path, &entity);
    if (err != ERR_OK) {
        log_warn("broker", "config-change-ignored", "node=%.*s why=%s", SLICE_ARGS(child->name),
                 err_name(err));
        return;
    }
    if (entity.type == PATH_ENTITY_BROKER && configs->broker_notified != NULL)
        configs->broker_notified(configs->broker_notified_to, entity.name);
    if (entity.type == PATH_ENTITY_TOPIC && !slice_is_null(entity.name)) {
        char name[256];
        if (entity.name.len >= sizeof(name)) return;
        memcpy(name, entity.name.ptr, entity.name.len); /* the arena is used again */
        topic_configs_read(configs, slice_of(name, entity.name.len), NULL, NULL);
    }
}

/* Every broker has seen what is older than that, or reads everything when it comes back. */
static void purge_old(struct topic_configs *configs, const struct recipe_child *child)
{
    int64_t age_ms = env_wall_ms(configs->control->shard->env) - child->stat.ctime;

    if (age_ms <= CHANGE_AGE_MS_MAX) return;
    arena_reset(&configs->arena);
    struct zk_op op = {.kind = ZK_DELETE,
                       .path = path_child(&configs->arena, PATH_CONFIG_CHANGES, child->name),
                       .version = ZK_ANY_VERSION};
    run_errand(configs, &op); /* another broker may have been faster */
}

static void on_changes(void *owner, enum err err, const struct recipe_child *children, int count,
                       const struct zk_stat *stat)
{
    struct topic_configs *configs = owner;

    (void)stat;
    configs->load = NULL;
    for (int i = 0; err == ERR_OK && i < count; i++)
        carry_out(configs, &children[i]);
    for (int i = 0; err == ERR_OK && configs->zk != NULL && i < count; i++)
        purge_old(configs, &children[i]);
    if (err != ERR_OK && err != ERR_ZK_EXPIRED && err != ERR_CANCELLED)
        log_warn("broker", "config-changes-unread", "why=%s", err_name(err));
    if (configs->changes_again && configs->zk != NULL) read_changes(configs);
}

static void read_changes(struct topic_configs *configs)
{
    configs->changes_again = configs->load != NULL;
    if (configs->load != NULL) return;
    configs->load =
        recipe_read_children(configs->zk, PATH_CONFIG_CHANGES, true, false, on_changes, configs);
}

void topic_configs_on_broker(struct topic_configs *configs,
                             void (*notified)(void *to, struct slice name), void *to)
{
    configs->broker_notified = notified;
    configs->broker_notified_to = to;
}

void topic_configs_event(struct topic_configs *configs, const struct zk_event *event)
{
    if (event->type == ZK_DISCONNECTED) stop_waiting(configs);
    if (configs->zk != NULL && event->type == ZK_NODE_CHILDREN &&
        slice_equal(event->path, PATH_CONFIG_CHANGES))
        read_changes(configs);
}

/* ---- the whole ---- */

/* Who has lost all its overrides has no node, or is not among those that were read. */
static void forget_missing(struct topic_configs *configs, const struct recipe_child *children,
                           int count)
{
    struct map present;

    map_init(&present);
    for (int i = 0; i < count; i++)
        map_set(&present, children[i].name, configs);
    map_each (entry, &configs->topics)
        if (map_get(&present, map_key(entry)) == NULL) {
            char name[256];
            struct slice key = map_key(entry);
            size_t len = key.len < sizeof(name) ? key.len : sizeof(name);
            memcpy(name, key.ptr, len);
            learn(configs, slice_of(name, len), false, ERR_NOT_FOUND, SLICE_NULL);
        }
    map_fini(&present);
}

static void on_all(void *owner, enum err err, const struct recipe_child *children, int count,
                   const struct zk_stat *stat)
{
    struct topic_configs *configs = owner;
    void (*loaded)(void *to, enum err err) = configs->loaded;

    (void)stat;
    configs->load = NULL;
    if (err == ERR_ZK_EXPIRED || err == ERR_CANCELLED) return; /* the next session begins anew */
    if (err == ERR_OK || err == ERR_NOT_FOUND) {
        for (int i = 0; i < count; i++)
            learn(configs, children[i].name, false, ERR_OK, children[i].data);
        forget_missing(configs, children, count);
    } else {
        log_error("broker", "topic-configs-unread", "why=%s", err_name(err));
        timer_arm(configs->control->shard, &configs->again,
                  instant_add_ms(shard_now(configs->control->shard), RETRY_MS));
    }
    configs->loaded = NULL;
    if (loaded != NULL) loaded(configs->loaded_to, err == ERR_NOT_FOUND ? ERR_OK : err);
    if (configs->changes_again && configs->zk != NULL && configs->load == NULL)
        read_changes(configs);
}

static void read_all(struct topic_configs *configs)
{
    configs->load =
        recipe_read_children(configs->zk, PATH_CONFIG_TOPICS, false, false, on_all, configs);
}

static void on_again(struct timer *timer)
{
    struct topic_configs *configs =
        (struct topic_configs *)(void *)((char *)timer - offsetof(struct topic_configs, again));

    if (configs->load == NULL)
        read_all(configs);
    else /* notifications are being read: after them */
        timer_arm(configs->control->shard, timer,
                  instant_add_ms(shard_now(configs->control->shard), RETRY_MS));
}

/* Notifications from before are of no interest, for everything is read next: but what comes after
 * this list was made is. */
static void on_first_changes(void *owner, enum err err, const struct recipe_child *children,
                             int count, const struct zk_stat *stat)
{
    struct topic_configs *configs = owner;

    (void)stat;
    configs->load = NULL;
    if (err == ERR_ZK_EXPIRED || err == ERR_CANCELLED) return;
    for (int i = 0; err == ERR_OK && i < count; i++) {
        int64_t sequence;
        if (path_parse_sequence(children[i].name, "config_change_", &sequence) == ERR_OK &&
            sequence > configs->change_seen)
            configs->change_seen = sequence;
    }
    read_all(configs);
}

void topic_configs_set_zk(struct topic_configs *configs, struct zk *zk,
                          void (*loaded)(void *to, enum err err), void *to)
{
    recipe_cancel(&configs->load);
    timer_cancel(configs->control->shard, &configs->again);
    configs->zk = zk;
    configs->changes_again = false;
    configs->change_seen = -1;
    configs->loaded = loaded;
    configs->loaded_to = to;
    if (zk == NULL) return;
    catch_up(configs);
    configs->load =
        recipe_read_children(zk, PATH_CONFIG_CHANGES, true, false, on_first_changes, configs);
}

struct topic_configs *topic_configs_create(struct api_shard *control)
{
    struct topic_configs *configs = ensure_zalloc(sizeof(*configs));

    configs->control = control;
    configs->change_seen = -1;
    map_init(&configs->topics);
    list_init(&configs->reads);
    list_init(&configs->errands);
    configs->again.fire = on_again;
    arena_init(&configs->arena, ARENA_BYTES_MAX);
    return configs;
}

void topic_configs_destroy(struct topic_configs **configs)
{
    struct topic_configs *all = *configs;

    if (all == NULL) return;
    recipe_cancel(&all->load);
    timer_cancel(all->control->shard, &all->again);
    list_each (node, &all->reads) {
        list_remove(node);
        list_entry(node, struct one_read, node)->configs = NULL;
    }
    list_each (node, &all->errands)
        list_remove(node); /* freed by its answer */
    map_each (entry, &all->topics)
        overrides_free(entry->value);
    map_fini(&all->topics);
    arena_fini(&all->arena);
    free(all);
    *configs = NULL;
}

/* ---- as a log takes it ---- */

static int8_t codec_of(enum compression_setting setting)
{
    switch (setting) {
    case COMPRESSION_SETTING_PRODUCER:
        return LOG_COMPRESSION_PRODUCER;
    case COMPRESSION_SETTING_UNCOMPRESSED:
        return 0;
    case COMPRESSION_SETTING_GZIP:
        return 1;
    case COMPRESSION_SETTING_SNAPPY:
        return 2;
    case COMPRESSION_SETTING_LZ4:
        return 3;
    case COMPRESSION_SETTING_ZSTD:
        return 4;
    }
    return LOG_COMPRESSION_PRODUCER;
}

void log_config_from_topic(const struct topic_options *topic, const struct options *options,
                           struct log_config *out)
{
    log_config_default(out);
    out->segment_bytes_max = topic->segment_bytes;
    out->segment_ms_max = topic->segment_ms;
    out->segment_jitter_ms_max = topic->segment_jitter_ms;
    out->index_bytes_max = topic->segment_index_bytes;
    out->index_interval_bytes = topic->index_interval_bytes;
    out->preallocate = topic->preallocate;
    out->is_deleted = topic->cleanup_delete;
    out->is_compacted = topic->cleanup_compact;
    out->retention_ms = topic->retention_ms < 0 ? -1 : topic->retention_ms;
    out->retention_bytes = topic->retention_bytes < 0 ? -1 : topic->retention_bytes;
    out->file_delete_delay_ms = topic->file_delete_delay_ms;
    out->delete_retention_ms = topic->delete_retention_ms;
    out->compaction_lag_ms_min = topic->min_compaction_lag_ms;
    out->compaction_lag_ms_max = topic->max_compaction_lag_ms;
    out->cleanable_ratio_min = topic->min_cleanable_dirty_ratio;
    out->flush_messages = topic->flush_messages;
    out->leads_unclean = topic->unclean_leader_election_enable;
    out->flush_ms = topic->flush_ms;
    out->message_bytes_max = topic->max_message_bytes;
    out->is_append_time = topic->timestamp_is_append_time;
    out->timestamp_before_ms_max = topic->timestamp_before_max_ms;
    out->timestamp_after_ms_max = topic->timestamp_after_max_ms;
    out->compression = codec_of(topic->compression);
    out->gzip_level = topic->compression_gzip_level;
    out->lz4_level = topic->compression_lz4_level;
    out->zstd_level = topic->compression_zstd_level;
    out->downconverts = topic->message_downconversion_enable;
    out->producer_expiration_ms = options_int(options, OPTION_PRODUCER_ID_EXPIRATION_MS);
    out->validate_compressed = options_bool(options, OPTION_OTTLA_VALIDATE_COMPRESSED);
}
