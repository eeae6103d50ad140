#include "zk/paths.h"
#include "base/text.h"
#include <stdio.h>

/* SLICE for what is initialised before the program runs. */
#define SLICE_INIT(literal)                                                                        \
    {                                                                                              \
        (const uint8_t *)("" literal), sizeof(literal) - 1                                         \
    }

/* In Kafka's order. */
const struct slice path_ensured[] = {
    SLICE_INIT("/consumers"),
    SLICE_INIT("/brokers/ids"),
    SLICE_INIT("/brokers/topics"),
    SLICE_INIT("/config/changes"),
    SLICE_INIT("/admin/delete_topics"),
    SLICE_INIT("/brokers/seqid"),
    SLICE_INIT("/isr_change_notification"),
    SLICE_INIT("/latest_producer_id_block"),
    SLICE_INIT("/log_dir_event_notification"),
    SLICE_INIT("/config/topics"),
    SLICE_INIT("/config/clients"),
    SLICE_INIT("/config/users"),
    SLICE_INIT("/config/brokers"),
    SLICE_INIT("/config/ips"),
    SLICE_INIT("/controllers/ids"), /* Ottla's own, last */
};
const int path_ensured_count = sizeof(path_ensured) / sizeof(path_ensured[0]);

const struct slice path_ensured_acl[] = {
    SLICE_INIT("/kafka-acl"),
    SLICE_INIT("/kafka-acl/Topic"),
    SLICE_INIT("/kafka-acl/Group"),
    SLICE_INIT("/kafka-acl/Cluster"),
    SLICE_INIT("/kafka-acl/TransactionalId"),
    SLICE_INIT("/kafka-acl/DelegationToken"),
    SLICE_INIT("/kafka-acl/User"),
    SLICE_INIT("/kafka-acl-extended/prefixed"),
    SLICE_INIT("/kafka-acl-extended/prefixed/Topic"),
    SLICE_INIT("/kafka-acl-extended/prefixed/Group"),
    SLICE_INIT("/kafka-acl-extended/prefixed/Cluster"),
    SLICE_INIT("/kafka-acl-extended/prefixed/TransactionalId"),
    SLICE_INIT("/kafka-acl-extended/prefixed/DelegationToken"),
    SLICE_INIT("/kafka-acl-extended/prefixed/User"),
    SLICE_INIT("/kafka-acl-changes"),
    SLICE_INIT("/kafka-acl-extended-changes"),
};
const int path_ensured_acl_count = sizeof(path_ensured_acl) / sizeof(path_ensured_acl[0]);

const struct slice path_ensured_token[] = {
    SLICE_INIT("/delegation_token/token_changes"),
    SLICE_INIT("/delegation_token/tokens"),
};
const int path_ensured_token_count = sizeof(path_ensured_token) / sizeof(path_ensured_token[0]);

static struct slice join(struct arena *arena, const struct slice *parts, int count)
{
    size_t len = 0;

    for (int i = 0; i < count; i++) {
        if (slice_is_null(parts[i])) return SLICE_NULL; /* a part that found no room */
        len += parts[i].len;
    }
    uint8_t *text = arena_try(arena, len + 1);
    if (text == NULL) return SLICE_NULL;
    uint8_t *at = text;
    for (int i = 0; i < count; i++) {
        if (parts[i].len > 0) memcpy(at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    *at = '\0';
    return slice_of(text, len);
}

static struct slice join_number(struct arena *arena, struct slice head, struct slice middle,
                                struct slice before, int32_t number, struct slice tail)
{
    char digits[12];
    int len = snprintf(digits, sizeof(digits), "%d", number);
    struct slice parts[] = {head, middle, before, slice_of(digits, (size_t)len), tail};

    return join(arena, parts, 5);
}

#define NOTHING SLICE("")

struct slice path_broker(struct arena *arena, int32_t broker_id)
{
    return join_number(arena, PATH_BROKERS_IDS, NOTHING, SLICE("/"), broker_id, NOTHING);
}

struct slice path_controller_process(struct arena *arena, int32_t id)
{
    return join_number(arena, PATH_CONTROLLERS_IDS, NOTHING, SLICE("/"), id, NOTHING);
}

struct slice path_child(struct arena *arena, struct slice parent, struct slice child)
{
    struct slice parts[] = {slice_is(parent, "/") ? NOTHING : parent, SLICE("/"), child};

    return join(arena, parts, 3);
}

struct slice path_topic(struct arena *arena, struct slice topic)
{
    return path_child(arena, PATH_BROKERS_TOPICS, topic);
}

struct slice path_partitions(struct arena *arena, struct slice topic)
{
    struct slice parts[] = {SLICE("/brokers/topics/"), topic, SLICE("/partitions")};

    return join(arena, parts, 3);
}

struct slice path_partition(struct arena *arena, struct slice topic, int32_t partition)
{
    return join_number(arena, SLICE("/brokers/topics/"), topic, SLICE("/partitions/"), partition,
                       NOTHING);
}

struct slice path_state(struct arena *arena, struct slice topic, int32_t partition)
{
    return join_number(arena, SLICE("/brokers/topics/"), topic, SLICE("/partitions/"), partition,
                       SLICE("/state"));
}

struct slice path_delete_topic(struct arena *arena, struct slice topic)
{
    return path_child(arena, PATH_DELETE_TOPICS, topic);
}

struct slice path_config_topic(struct arena *arena, struct slice topic)
{
    return path_child(arena, PATH_CONFIG_TOPICS, topic);
}

struct slice path_token(struct arena *arena, struct slice token_id)
{
    return path_child(arena, PATH_TOKENS, token_id);
}

struct slice path_consumer_offset(struct arena *arena, struct slice group, struct slice topic,
                                  int32_t partition)
{
    struct slice head[] = {SLICE("/consumers/"), group, SLICE("/offsets/"), topic};

    return join_number(arena, join(arena, head, 4), NOTHING, SLICE("/"), partition, NOTHING);
}

struct slice path_acl_resource(struct arena *arena, bool is_prefixed, struct slice type,
                               struct slice name)
{
    struct slice parts[] = {is_prefixed ? PATH_ACLS_PREFIXED : PATH_ACLS, SLICE("/"), type,
                            SLICE("/"), name};

    return join(arena, parts, 5);
}

/* ---- names of entities */

static bool is_plain(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

/* Gives where it ended; `to` has room for three bytes. */
static uint8_t *encode_byte(uint8_t *to, uint8_t c)
{
    static const char hex[] = "0123456789ABCDEF";

    if (is_plain(c)) {
        *to++ = c;
        return to;
    }
    *to++ = '%';
    *to++ = (uint8_t)hex[c >> 4];
    *to++ = (uint8_t)hex[c & 15];
    return to;
}

struct slice path_sanitise(struct arena *arena, struct slice name)
{
    if (slice_is_null(name)) return SLICE_NULL;
    size_t len = 0;
    for (size_t i = 0; i < name.len; i++)
        len += is_plain(name.ptr[i]) ? 1 : 3;
    uint8_t *text = arena_try(arena, len + 1), *at = text;
    if (text == NULL) return SLICE_NULL;
    for (size_t i = 0; i < name.len; i++)
        at = encode_byte(at, name.ptr[i]);
    *at = '\0';
    return slice_of(text, len);
}

void path_add_sanitised(struct buf *out, struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t *at = buf_reserve(out, 3);
        out->len += (size_t)(encode_byte(at, name.ptr[i]) - at);
    }
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err path_desanitise(struct arena *arena, struct slice text, struct slice *out)
{
    uint8_t *name = arena_try(arena, text.len + 1);
    size_t len = 0;

    if (name == NULL) return ERR_LIMIT;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_value(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) return ERR_INVALID;
            c = (uint8_t)(high * 16 + low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        name[len++] = c;
    }
    name[len] = '\0';
    *out = slice_of(name, len);
    return ERR_OK;
}

static const char *const entity_heads[] = {
    [PATH_ENTITY_TOPIC] = "topics/",      [PATH_ENTITY_BROKER] = "brokers/",
    [PATH_ENTITY_CLIENT] = "clients/",    [PATH_ENTITY_USER] = "users/",
    [PATH_ENTITY_USER_CLIENT] = "users/", [PATH_ENTITY_IP] = "ips/",
};

/* Topics and brokers have names that need no encoding: Kafka writes them as they are. */
static bool is_encoded(enum path_entity_type type)
{
    return type != PATH_ENTITY_TOPIC && type != PATH_ENTITY_BROKER;
}

static struct slice entity_name(struct arena *arena, enum path_entity_type type, struct slice name)
{
    if (slice_is_null(name)) return PATH_DEFAULT_ENTITY;
    return is_encoded(type) ? path_sanitise(arena, name) : name;
}

static struct slice entity_path(struct arena *arena, struct slice head,
                                const struct path_entity *entity)
{
    bool with_client = entity->type == PATH_ENTITY_USER_CLIENT;
    struct slice parts[] = {
        head,
        slice_text(entity_heads[entity->type]),
        entity_name(arena, entity->type, entity->name),
        with_client ? SLICE("/clients/") : NOTHING,
        with_client ? entity_name(arena, entity->type, entity->client) : NOTHING,
    };

    return join(arena, parts, 5);
}

struct slice path_entity(struct arena *arena, const struct path_entity *entity)
{
    return entity_path(arena, NOTHING, entity);
}

struct slice path_config(struct arena *arena, const struct path_entity *entity)
{
    return entity_path(arena, SLICE("/config/"), entity);
}

static enum err parse_name(struct arena *arena, enum path_entity_type type, struct slice text,
                           struct slice *out)
{
    if (text.len == 0 || memchr(text.ptr, '/', text.len) != NULL) return ERR_INVALID;
    if (slice_equal(text, PATH_DEFAULT_ENTITY)) {
        *out = SLICE_NULL;
        return ERR_OK;
    }
    if (is_encoded(type)) return path_desanitise(arena, text, out);
    *out = arena_copy(arena, text);
    return ERR_OK;
}

enum err path_parse_entity(struct arena *arena, struct slice text, struct path_entity *out)
{
    struct path_entity entity = {.name = SLICE_NULL, .client = SLICE_NULL};
    struct slice head = SLICE_NULL, rest = text, user = SLICE_NULL;

    if (!slice_cut(&rest, '/', &head)) return ERR_INVALID;
    if (slice_is(head, "topics"))
        entity.type = PATH_ENTITY_TOPIC;
    else if (slice_is(head, "brokers"))
        entity.type = PATH_ENTITY_BROKER;
    else if (slice_is(head, "clients"))
        entity.type = PATH_ENTITY_CLIENT;
    else if (slice_is(head, "ips"))
        entity.type = PATH_ENTITY_IP;
    else if (slice_is(head, "users"))
        entity.type = PATH_ENTITY_USER;
    else
        return ERR_INVALID;

    enum err err = ERR_OK;
    if (entity.type == PATH_ENTITY_USER && slice_cut(&rest, '/', &user)) {
        if (!slice_starts_with(rest, SLICE("clients/"))) return ERR_INVALID;
        entity.type = PATH_ENTITY_USER_CLIENT;
        rest = slice_of(rest.ptr + strlen("clients/"), rest.len - strlen("clients/"));
        err = parse_name(arena, entity.type, user, &entity.name);
        if (err == ERR_OK) err = parse_name(arena, entity.type, rest, &entity.client);
    } else {
        err = parse_name(arena, entity.type, rest, &entity.name);
    }
    if (err == ERR_OK) *out = entity;
    return err;
}

/* ---- parsing */

struct slice path_last(struct slice path)
{
    size_t at = path.len;

    while (at > 0 && path.ptr[at - 1] != '/')
        at--;
    return slice_of(path.ptr + at, path.len - at);
}

struct slice path_parent(struct slice path)
{
    struct slice last = path_last(path);

    if (path.len <= 1 || last.len == path.len) return SLICE_NULL;
    size_t len = path.len - last.len - 1;
    return slice_of(path.ptr, len == 0 ? 1 : len);
}

/* Digits only, and as the number is written: no "+1", no "007". */
enum err path_parse_id(struct slice child, int32_t *out)
{
    int64_t value = 0;

    if (child.len == 0 || child.ptr[0] < '0' || child.ptr[0] > '9') return ERR_INVALID;
    if (child.ptr[0] == '0' && child.len > 1) return ERR_INVALID;
    if (text_int(child, 0, INT32_MAX, &value) != ERR_OK) return ERR_INVALID;
    *out = (int32_t)value;
    return ERR_OK;
}

enum err path_parse_sequence(struct slice child, const char *prefix, int64_t *out)
{
    struct slice head = slice_text(prefix);
    int64_t value = 0;

    if (!slice_starts_with(child, head)) return ERR_INVALID;
    struct slice digits = slice_of(child.ptr + head.len, child.len - head.len);
    if (digits.len < 10 || digits.ptr[0] == '+') return ERR_INVALID;
    if (text_int(digits, INT32_MIN, INT64_MAX, &value) != ERR_OK) return ERR_INVALID;
    *out = value;
    return ERR_OK;
}

/* What stands behind `head` and a slash, when that is one component. */
static bool child_of(struct slice path, struct slice head, struct slice *child)
{
    if (!slice_starts_with(path, head) || path.len < head.len + 2 || path.ptr[head.len] != '/')
        return false;
    *child = slice_of(path.ptr + head.len + 1, path.len - head.len - 1);
    return memchr(child->ptr, '/', child->len) == NULL;
}

enum err path_parse_broker(struct slice path, int32_t *out)
{
    struct slice child = SLICE_NULL;

    return child_of(path, PATH_BROKERS_IDS, &child) ? path_parse_id(child, out) : ERR_INVALID;
}

enum err path_parse_controller_process(struct slice path, int32_t *out)
{
    struct slice child = SLICE_NULL;

    return child_of(path, PATH_CONTROLLERS_IDS, &child) ? path_parse_id(child, out) : ERR_INVALID;
}

enum err path_parse_topic(struct slice path, struct slice *topic)
{
    struct slice child = SLICE_NULL;

    if (!child_of(path, PATH_BROKERS_TOPICS, &child)) return ERR_INVALID;
    *topic = child;
    return ERR_OK;
}

enum err path_parse_state(struct slice path, struct slice *topic, int32_t *partition)
{
    struct slice rest = path, name = SLICE_NULL, word = SLICE_NULL, number = SLICE_NULL;

    if (!slice_starts_with(rest, SLICE("/brokers/topics/"))) return ERR_INVALID;
    rest = slice_of(rest.ptr + strlen("/brokers/topics/"), rest.len - strlen("/brokers/topics/"));
    if (!slice_cut(&rest, '/', &name) || name.len == 0 || !slice_cut(&rest, '/', &word) ||
        !slice_is(word, "partitions") || !slice_cut(&rest, '/', &number) ||
        !slice_is(rest, "state"))
        return ERR_INVALID;
    enum err err = path_parse_id(number, partition);
    if (err == ERR_OK) *topic = name;
    return err;
}

enum zk_acl path_acl(struct slice path)
{
    static const struct slice sensitive[] = {
        SLICE_INIT("/config/users"),
        SLICE_INIT("/config/brokers"),
        SLICE_INIT("/delegation_token/tokens"),
    };

    if (slice_is(path, "/consumers")) return ZK_ACL_OPEN;
    for (size_t i = 0; i < sizeof(sensitive) / sizeof(sensitive[0]); i++)
        if (slice_starts_with(path, sensitive[i])) /* a plain prefix, as Kafka's test is */
            return ZK_ACL_CREATOR;
    return ZK_ACL_CREATOR_AND_READ;
}
