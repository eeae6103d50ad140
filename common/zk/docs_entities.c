/* The documents of docs.h that belong to entities: configs, ids, ACLs, tokens. */
#include "base/text.h"
#include "zk/doc_json.h"
#include "zk/docs.h"
#include "zk/paths.h"

/* ---- configs */

void doc_config_write(struct buf *out, const struct doc_config *config)
{
    buf_add_text(out, "{\"version\":1,\"config\":{");
    for (int32_t i = 0; i < config->count; i++) {
        if (i > 0) buf_add_text(out, ",");
        text_add_json(out, config->entries[i].name);
        buf_add_text(out, ":");
        text_add_json(out, config->entries[i].value);
    }
    buf_add_text(out, "}");
    doc_add_extra(out, config->extra);
    buf_add_text(out, "}");
}

enum err doc_config_read(struct slice json, struct arena *arena, struct doc_config *out)
{
    static const char *const known[] = {"version", "config", NULL};
    struct doc_reader reader;
    struct doc_config config = {0};

    if (json.len == 0) {
        *out = config;
        return ERR_OK;
    }
    const json_t *root = doc_open(&reader, json, arena);
    json_t *entries = doc_object(&reader, root, "config", true);
    config.entries = doc_room(&reader, json_object_size(entries), sizeof(*config.entries));
    for (void *at = json_object_iter(entries); at != NULL && reader.err == ERR_OK;
         at = json_object_iter_next(entries, at)) {
        struct doc_config_entry *entry = &config.entries[config.count++];
        entry->name = doc_copy(&reader, slice_text(json_object_iter_key(at)));
        entry->value = doc_string_value(&reader, json_object_iter_value(at));
    }
    config.extra = doc_extra(&reader, root, known);

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = config;
    return err;
}

void doc_config_change_write(struct buf *out, struct slice entity_path)
{
    buf_add_text(out, "{\"version\":2,\"entity_path\":");
    text_add_json(out, entity_path);
    buf_add_text(out, "}");
}

static struct slice joined(struct doc_reader *reader, struct slice type, struct slice name)
{
    size_t len = type.len + 1 + name.len;
    uint8_t *text = doc_room(reader, len + 1, 1);

    if (text == NULL) return SLICE_NULL;
    if (type.len > 0) memcpy(text, type.ptr, type.len);
    text[type.len] = '/';
    if (name.len > 0) memcpy(text + type.len + 1, name.ptr, name.len);
    return slice_of(text, len);
}

enum err doc_config_change_read(struct slice json, struct arena *arena, struct slice *entity_path)
{
    struct doc_reader reader;
    struct slice path = SLICE_NULL;
    const json_t *root = doc_open(&reader, json, arena);
    int64_t version = doc_int(&reader, root, "version", INT32_MIN, INT32_MAX);

    if (version == 2) {
        path = doc_string(&reader, root, "entity_path");
    } else if (version == 1) {
        struct slice type = doc_string(&reader, root, "entity_type");
        struct slice name = doc_string(&reader, root, "entity_name");
        if (!slice_is(type, "topics") && !slice_is(type, "clients")) doc_fail(&reader, ERR_CORRUPT);
        path = joined(&reader, type, name);
    } else {
        doc_fail(&reader, ERR_UNSUPPORTED);
    }

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *entity_path = path;
    return err;
}

/* ---- ids */

void doc_cluster_id_write(struct buf *out, struct slice id)
{
    buf_add_text(out, "{\"version\":\"1\",\"id\":");
    text_add_json(out, id);
    buf_add_text(out, "}");
}

enum err doc_cluster_id_read(struct slice json, struct arena *arena, struct slice *id)
{
    struct doc_reader reader;
    const json_t *root = doc_open(&reader, json, arena);
    struct slice text = doc_string(&reader, root, "id");

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *id = text;
    return err;
}

void doc_producer_ids_write(struct buf *out, const struct doc_producer_ids *block)
{
    buf_printf(out, "{\"version\":1,\"broker\":%d,\"block_start\":\"%lld\",\"block_end\":\"%lld\"}",
               block->broker, (long long)block->first, (long long)block->last);
}

enum err doc_producer_ids_read(struct slice json, struct arena *arena, struct doc_producer_ids *out)
{
    struct doc_reader reader;
    struct doc_producer_ids block = {0};
    const json_t *root = doc_open(&reader, json, arena);

    block.broker = doc_int32(&reader, root, "broker", -1);
    block.first = doc_quoted(&reader, root, "block_start", 0, INT64_MAX);
    block.last = doc_quoted(&reader, root, "block_end", 0, INT64_MAX);
    if (block.last < block.first) doc_fail(&reader, ERR_CORRUPT);

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = block;
    return err;
}

enum err doc_producer_ids_next(struct slice json, struct arena *arena, int32_t broker,
                               struct doc_producer_ids *out)
{
    struct doc_producer_ids block = {.last = -1};
    enum err err = json.len == 0 ? ERR_OK : doc_producer_ids_read(json, arena, &block);

    if (err == ERR_OK && block.last > INT64_MAX - DOC_PRODUCER_IDS_SIZE) err = ERR_RANGE;
    if (err == ERR_OK)
        *out = (struct doc_producer_ids){
            .broker = broker,
            .first = block.last + 1,
            .last = block.last + DOC_PRODUCER_IDS_SIZE,
        };
    return err;
}

/* ---- ACLs */

void doc_acls_write(struct buf *out, const struct doc_acls *acls)
{
    buf_add_text(out, "{\"version\":1,\"acls\":[");
    for (int32_t i = 0; i < acls->count; i++) {
        const struct doc_acl *acl = &acls->at[i];
        buf_add_text(out, i == 0 ? "{\"principal\":" : ",{\"principal\":");
        text_add_json(out, acl->principal);
        buf_printf(out,
                   ",\"permissionType\":\"%s\",\"operation\":", acl->is_allow ? "Allow" : "Deny");
        text_add_json(out, acl->operation);
        buf_add_text(out, ",\"host\":");
        text_add_json(out, acl->host);
        buf_add_text(out, "}");
    }
    buf_add_text(out, "]}");
}

/* Kafka compares names of permissions without regard to case. */
static bool read_permission(struct doc_reader *reader, const json_t *object)
{
    struct slice text = doc_string(reader, object, "permissionType");

    if (reader->err == ERR_OK && text.len == 5 &&
        strncasecmp((const char *)text.ptr, "allow", 5) == 0)
        return true;
    if (reader->err == ERR_OK &&
        (text.len != 4 || strncasecmp((const char *)text.ptr, "deny", 4) != 0))
        doc_fail(reader, ERR_CORRUPT);
    return false;
}

enum err doc_acls_read(struct slice json, struct arena *arena, struct doc_acls *out)
{
    struct doc_reader reader;
    struct doc_acls acls = {0};

    if (json.len == 0) {
        *out = acls;
        return ERR_OK;
    }
    const json_t *root = doc_open(&reader, json, arena);
    if (doc_int(&reader, root, "version", INT32_MIN, INT32_MAX) != 1)
        doc_fail(&reader, ERR_UNSUPPORTED);
    const json_t *array = doc_array(&reader, root, "acls", false);
    size_t n = json_array_size(array);
    acls.at = doc_room(&reader, n, sizeof(*acls.at));
    for (size_t i = 0; i < n && reader.err == ERR_OK; i++) {
        const json_t *each = json_array_get(array, i);
        if (!json_is_object(each)) {
            doc_fail(&reader, ERR_CORRUPT);
            break;
        }
        acls.at[i].principal = doc_string(&reader, each, "principal");
        acls.at[i].host = doc_string(&reader, each, "host");
        acls.at[i].operation = doc_string(&reader, each, "operation");
        acls.at[i].is_allow = read_permission(&reader, each);
    }
    acls.count = (int32_t)n;

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = acls;
    return err;
}

void doc_acl_change_write(struct buf *out, const struct doc_acl_change *change)
{
    if (!change->is_prefixed) {
        buf_add_slice(out, change->type);
        buf_add_text(out, ":");
        buf_add_slice(out, change->name);
        return;
    }
    buf_add_text(out, "{\"version\":1,\"resourceType\":");
    text_add_json(out, change->type);
    buf_add_text(out, ",\"name\":");
    text_add_json(out, change->name);
    buf_add_text(out, ",\"patternType\":\"PREFIXED\"}");
}

static enum err read_literal_change(struct slice data, struct doc_reader *reader,
                                    struct doc_acl_change *change)
{
    struct slice name = data, type = SLICE_NULL;

    if (!slice_cut(&name, ':', &type) || type.len == 0) return ERR_CORRUPT;
    change->type = doc_copy(reader, type);
    change->name = doc_copy(reader, name);
    return reader->err;
}

enum err doc_acl_change_read(struct slice data, bool is_extended, struct arena *arena,
                             struct doc_acl_change *out)
{
    struct doc_reader reader = {.arena = arena};
    struct doc_acl_change change = {0};
    enum err err = ERR_OK;

    if (is_extended) {
        const json_t *root = doc_open(&reader, data, arena);
        if (doc_int(&reader, root, "version", INT32_MIN, INT32_MAX) > 1)
            doc_fail(&reader, ERR_UNSUPPORTED);
        change.type = doc_string(&reader, root, "resourceType");
        change.name = doc_string(&reader, root, "name");
        struct slice pattern = doc_string(&reader, root, "patternType");
        change.is_prefixed = slice_is(pattern, "PREFIXED");
        if (!change.is_prefixed && !slice_is(pattern, "LITERAL")) doc_fail(&reader, ERR_CORRUPT);
        err = doc_close(&reader);
    } else {
        err = data.len > DOC_BYTES_MAX ? ERR_LIMIT : read_literal_change(data, &reader, &change);
    }
    if (err == ERR_OK) *out = change;
    return err;
}

/* ---- delegation tokens */

/* Encoded bytes are letters, digits and "%.-_": nothing to escape. */
static void add_sanitised(struct buf *out, struct slice name)
{
    buf_add_text(out, "\"");
    path_add_sanitised(out, name);
    buf_add_text(out, "\"");
}

void doc_token_write(struct buf *out, const struct doc_token *token)
{
    buf_add_text(out, "{\"version\":3,\"owner\":");
    add_sanitised(out, token->owner);
    buf_add_text(out, ",\"tokenRequester\":");
    add_sanitised(out, token->requester);
    buf_add_text(out, ",\"renewers\":[");
    for (int32_t i = 0; i < token->renewer_count; i++) {
        if (i > 0) buf_add_text(out, ",");
        add_sanitised(out, token->renewers[i]);
    }
    buf_printf(out,
               "],\"issueTimestamp\":%lld,\"maxTimestamp\":%lld,\"expiryTimestamp\":%lld"
               ",\"tokenId\":",
               (long long)token->issue_ms, (long long)token->max_ms, (long long)token->expiry_ms);
    text_add_json(out, token->token_id);
    buf_add_text(out, "}");
}

static struct slice desanitised(struct doc_reader *reader, struct slice text)
{
    struct slice name = SLICE_NULL;

    if (reader->err == ERR_OK) {
        enum err err = path_desanitise(reader->arena, text, &name);
        if (err != ERR_OK) doc_fail(reader, err == ERR_INVALID ? ERR_CORRUPT : err);
    }
    return name;
}

enum err doc_token_read(struct slice json, struct arena *arena, struct doc_token *out)
{
    struct doc_reader reader;
    struct doc_token token = {0};
    const json_t *root = doc_open(&reader, json, arena);
    int64_t version = doc_int(&reader, root, "version", INT32_MIN, INT32_MAX);

    if (version < 1 || version > 3) doc_fail(&reader, ERR_UNSUPPORTED);
    token.owner = desanitised(&reader, doc_string(&reader, root, "owner"));
    token.requester = token.owner;
    if (version >= 3)
        token.requester = desanitised(&reader, doc_string(&reader, root, "tokenRequester"));
    const json_t *renewers = doc_array(&reader, root, "renewers", false);
    size_t n = json_array_size(renewers);
    token.renewers = doc_room(&reader, n, sizeof(*token.renewers));
    for (size_t i = 0; i < n && reader.err == ERR_OK; i++)
        token.renewers[i] =
            desanitised(&reader, doc_string_value(&reader, json_array_get(renewers, i)));
    token.renewer_count = (int32_t)n;
    token.issue_ms = doc_int(&reader, root, "issueTimestamp", INT64_MIN, INT64_MAX);
    token.max_ms = doc_int(&reader, root, "maxTimestamp", INT64_MIN, INT64_MAX);
    token.expiry_ms = doc_int(&reader, root, "expiryTimestamp", INT64_MIN, INT64_MAX);
    token.token_id = doc_string(&reader, root, "tokenId");

    enum err err = doc_close(&reader);
    if (err == ERR_OK) *out = token;
    return err;
}
