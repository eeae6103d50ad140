/* A znode's document as anybody may have written it. The first byte picks the kind. What was read
 * is written, and what was written is read and written again to the same bytes. */
#include "tests/fuzz/fuzz.h"
#include "zk/docs.h"
#include "zk/paths.h"

/* Reads `json` and writes it to `out`. */
typedef enum err pass_function(struct slice json, struct arena *arena, struct buf *out);

#define PASS(type, name)                                                                           \
    static enum err pass_##name(struct slice json, struct arena *arena, struct buf *out)           \
    {                                                                                              \
        struct doc_##type doc = {0};                                                               \
        enum err err = doc_##name##_read(json, arena, &doc);                                       \
        if (err == ERR_OK) doc_##name##_write(out, &doc);                                          \
        return err;                                                                                \
    }

PASS(controller_process, controller_process)
PASS(controller, controller)
PASS(topic, topic)
PASS(state, state)
PASS(topic_partitions, reassign)
PASS(topic_partitions, partitions)
PASS(log_dir_event, log_dir_event)
PASS(config, config)
PASS(features, features)
PASS(producer_ids, producer_ids)
PASS(acls, acls)
PASS(token, token)

/* Written in the newest version: an older one leaves out what this one may have had. */
static enum err pass_broker(struct slice json, struct arena *arena, struct buf *out)
{
    struct doc_broker broker = {0};
    enum err err = doc_broker_read(json, arena, &broker);

    broker.version = 5;
    if (err == ERR_OK) doc_broker_write(out, &broker);
    return err;
}

static enum err pass_config_change(struct slice json, struct arena *arena, struct buf *out)
{
    struct slice path = SLICE_NULL;
    struct path_entity entity;
    enum err err = doc_config_change_read(json, arena, &path);

    if (err != ERR_OK) return err;
    doc_config_change_write(out, path);
    if (path_parse_entity(arena, path, &entity) == ERR_OK) {
        /* Another spelling of the same entity comes to the same path. */
        struct path_entity again;
        struct slice text = path_entity(arena, &entity);
        ensure(path_parse_entity(arena, text, &again) == ERR_OK);
        ensure(slice_equal(path_entity(arena, &again), text));
    }
    return ERR_OK;
}

static enum err pass_cluster_id(struct slice json, struct arena *arena, struct buf *out)
{
    struct slice id = SLICE_NULL;
    enum err err = doc_cluster_id_read(json, arena, &id);

    if (err == ERR_OK) doc_cluster_id_write(out, id);
    return err;
}

static enum err pass_acl_change(struct slice data, struct arena *arena, struct buf *out)
{
    struct doc_acl_change change;
    enum err err = doc_acl_change_read(data, false, arena, &change);

    if (err == ERR_OK) doc_acl_change_write(out, &change);
    return err;
}

static enum err pass_acl_change_extended(struct slice data, struct arena *arena, struct buf *out)
{
    struct doc_acl_change change;
    enum err err = doc_acl_change_read(data, true, arena, &change);

    change.is_prefixed = true; /* the other sort is not written as JSON */
    if (err == ERR_OK) doc_acl_change_write(out, &change);
    return err;
}

static pass_function *const passes[] = {
    pass_broker,
    pass_controller_process,
    pass_controller,
    pass_topic,
    pass_state,
    pass_reassign,
    pass_partitions,
    pass_log_dir_event,
    pass_config,
    pass_features,
    pass_producer_ids,
    pass_acls,
    pass_token,
    pass_config_change,
    pass_cluster_id,
    pass_acl_change,
    pass_acl_change_extended,
};

static void parse_paths(struct slice path)
{
    struct slice topic;
    int64_t sequence;
    int32_t number;

    (void)!path_parse_broker(path, &number);
    (void)!path_parse_topic(path, &topic);
    (void)!path_parse_state(path, &topic, &number);
    (void)!path_parse_sequence(path, "x_", &sequence);
    (void)path_acl(path);
    ensure(path_last(path).len <= path.len);
    ensure(slice_is_null(path_parent(path)) || path_parent(path).len < path.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice json;
    struct arena arena;
    struct buf once, twice;

    if (size == 0) return 0;
    json = slice_of(data + 1, size - 1);
    arena_init(&arena, 1 << 20);
    buf_init(&once);
    buf_init(&twice);
    parse_paths(json);
    pass_function *pass = passes[data[0] % (sizeof(passes) / sizeof(passes[0]))];
    if (pass(json, &arena, &once) == ERR_OK) {
        arena_reset(&arena);
        enum err err = pass(buf_slice(&once), &arena, &twice);
        /* An escape is longer than what it stands for, so the second may find the room too small.
         */
        ensure(err == ERR_OK || err == ERR_LIMIT);
        ensure(err != ERR_OK || slice_equal(buf_slice(&once), buf_slice(&twice)));
    }
    buf_fini(&once);
    buf_fini(&twice);
    arena_fini(&arena);
    return 0;
}
