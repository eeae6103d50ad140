#include "cluster/alter.h"
#include "base/text.h"
#include "cluster/options_private.h"

/* What the registry says of a key of this kind of entity. */
struct known {
    bool is_known;
    enum option_type type;
    struct slice otherwise; /* the default, null: none */
};

static struct known look_up(enum alter_entity entity, struct slice key)
{
    if (entity == ALTER_TOPIC) {
        int option = topic_option_find(key);
        if (option < 0) return (struct known){0};
        return (struct known){true, topic_option_rows[option].type,
                              slice_text(topic_option_rows[option].value)};
    }
    enum option option = option_find(key);
    if (option == OPTION_NONE) return (struct known){0};
    const char *otherwise = option_default(option);
    return (struct known){true, option_type(option),
                          otherwise == NULL ? SLICE_NULL : slice_text(otherwise)};
}

static int find(const struct option_pair *pairs, int count, struct slice key)
{
    for (int i = 0; i < count; i++)
        if (slice_equal(pairs[i].key, key)) return i;
    return -1;
}

static bool has_item(struct slice list, struct slice wanted)
{
    struct slice item;

    for (int i = 0; !slice_is_null(item = list_item(list, i)); i++)
        if (slice_equal(item, wanted)) return true;
    return false;
}

static void add_items(struct buf *out, struct slice list, struct slice without)
{
    struct slice item;

    for (int i = 0; !slice_is_null(item = list_item(list, i)); i++) {
        if (item.len == 0 || has_item(without, item)) continue;
        if (out->len > 0) buf_add_text(out, ",");
        buf_add(out, item.ptr, item.len);
    }
}

/* The list `base` with the values of the change, or without them. */
static struct slice changed_list(struct arena *arena, struct slice base,
                                 const struct alteration *change)
{
    struct buf text = {0};

    if (change->operation == ALTER_APPEND) {
        add_items(&text, base, SLICE_NULL);
        add_items(&text, change->value, base);
    } else {
        add_items(&text, base, change->value);
    }
    struct slice copy = text.len == 0 ? SLICE("") : arena_copy(arena, buf_slice(&text));
    buf_fini(&text);
    return copy;
}

static enum alter_result check_change(enum alter_entity entity, const struct alteration *changes,
                                      int at, struct buf *message)
{
    const struct alteration *change = &changes[at];

    for (int i = 0; i < at; i++)
        if (slice_equal(changes[i].key, change->key)) {
            buf_printf(message, "the key %.*s comes twice", SLICE_ARGS(change->key));
            return ALTER_INVALID_REQUEST;
        }
    if (change->operation < ALTER_SET || change->operation > ALTER_SUBTRACT) {
        buf_printf(message, "operation %d is not known", change->operation);
        return entity == ALTER_TOPIC ? ALTER_UNKNOWN_ERROR : ALTER_INVALID_REQUEST;
    }
    if (slice_is_null(change->value) && change->operation != ALTER_DELETE) {
        buf_printf(message, "%.*s has no value", SLICE_ARGS(change->key));
        return ALTER_INVALID_REQUEST;
    }
    if (change->operation == ALTER_SET || change->operation == ALTER_DELETE) return ALTER_OK;
    struct known known = look_up(entity, change->key);
    if (!known.is_known) {
        buf_printf(message, "%.*s is not known", SLICE_ARGS(change->key));
        return ALTER_UNKNOWN_ERROR;
    }
    if (known.type == OPTION_TYPE_LIST) return ALTER_OK;
    buf_printf(message, "%.*s is no list: nothing can be appended or subtracted",
               SLICE_ARGS(change->key));
    return ALTER_INVALID_CONFIG;
}

enum alter_result alter_apply(enum alter_entity entity, const struct option_pair *now,
                              int now_count, const struct alteration *changes, int count,
                              struct arena *arena, struct option_pair **out, int *out_count,
                              struct buf *message)
{
    struct option_pair *pairs =
        arena_zalloc(arena, (size_t)(now_count + count + 1) * sizeof(*pairs));
    int used = now_count;

    for (int i = 0; i < count; i++) {
        enum alter_result result = check_change(entity, changes, i, message);
        if (result != ALTER_OK) return result;
    }
    for (int i = 0; i < now_count; i++)
        pairs[i] = now[i];
    for (int i = 0; i < count; i++) {
        const struct alteration *change = &changes[i];
        int at = find(pairs, used, change->key);
        struct slice value = change->value;

        if (change->operation == ALTER_DELETE) {
            for (int k = at; at >= 0 && k + 1 < used; k++)
                pairs[k] = pairs[k + 1];
            used -= at >= 0;
            continue;
        }
        if (change->operation != ALTER_SET)
            value = changed_list(
                arena, at >= 0 ? pairs[at].value : look_up(entity, change->key).otherwise, change);
        if (at < 0) at = used++;
        pairs[at] = (struct option_pair){.key = change->key, .value = value};
    }
    *out = pairs;
    *out_count = used;
    return ALTER_OK;
}

static void keep_problem(void *to, bool is_error, const char *text)
{
    struct buf *message = to;

    if (is_error && message->len == 0) buf_add_text(message, text);
}

enum alter_result alter_check_broker(const struct options *options, enum alter_entity entity,
                                     const struct option_pair *pairs, int pair_count,
                                     const struct alteration *changes, int count,
                                     struct buf *message)
{
    const struct options_report report = {.problem = keep_problem, .to = message};
    struct options *copy = options_copy(options);
    enum err err = ERR_OK;

    for (int i = 0; err == ERR_OK && i < count; i++) {
        enum option option = option_find(changes[i].key);
        int at = find(pairs, pair_count, changes[i].key);
        struct buf key = {0}, value = {0};

        buf_printf(&key, "%.*s", SLICE_ARGS(changes[i].key));
        buf_add(&key, "", 1);
        if (at >= 0) buf_printf(&value, "%.*s", SLICE_ARGS(pairs[at].value));
        buf_add(&value, "", 1);
        err = options_set_dynamic(
            copy,
            entity == ALTER_BROKER ? OPTION_SOURCE_DYNAMIC_BROKER : OPTION_SOURCE_DYNAMIC_DEFAULT,
            (const char *)key.ptr, at < 0 ? NULL : (const char *)value.ptr, &report);
        if (err == ERR_OK && option != OPTION_NONE && at >= 0 && !option_is_live(option)) {
            buf_printf(message,
                       "%s takes effect at the start of a broker only: set it in "
                       "server.properties",
                       option_key(option));
            err = ERR_INVALID;
        }
        buf_fini(&key);
        buf_fini(&value);
    }
    options_destroy(&copy);
    return err == ERR_OK ? ALTER_OK : ALTER_INVALID_REQUEST;
}
