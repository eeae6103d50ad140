#include "zk/doc_json.h"
#include "base/text.h"

json_t *doc_open(struct doc_reader *reader, struct slice text, struct arena *arena)
{
    *reader = (struct doc_reader){.arena = arena};
    if (text.len == 0) {
        doc_fail(reader, ERR_CORRUPT);
        return NULL;
    }
    if (text.len > DOC_BYTES_MAX) {
        doc_fail(reader, ERR_LIMIT);
        return NULL;
    }
    /* Nesting is bounded by the parser (2048 levels), numbers to 64 bits. */
    reader->root = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(reader->root)) doc_fail(reader, ERR_CORRUPT);
    return reader->err == ERR_OK ? reader->root : NULL;
}

enum err doc_close(struct doc_reader *reader)
{
    json_decref(reader->root);
    reader->root = NULL;
    return reader->err;
}

void doc_fail(struct doc_reader *reader, enum err err)
{
    if (reader->err == ERR_OK) reader->err = err;
}

/* NULL for what is absent or null. */
static json_t *member(const json_t *object, const char *key)
{
    json_t *value = object == NULL ? NULL : json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}

static int64_t int_value(struct doc_reader *reader, const json_t *value, int64_t min, int64_t max)
{
    if (!json_is_integer(value)) {
        doc_fail(reader, ERR_CORRUPT);
        return 0;
    }
    json_int_t number = json_integer_value(value);
    if (number < min || number > max) {
        doc_fail(reader, ERR_CORRUPT);
        return 0;
    }
    return number;
}

int64_t doc_int(struct doc_reader *reader, const json_t *object, const char *key, int64_t min,
                int64_t max)
{
    return int_value(reader, member(object, key), min, max);
}

int32_t doc_int32(struct doc_reader *reader, const json_t *object, const char *key, int32_t min)
{
    return (int32_t)doc_int(reader, object, key, min, INT32_MAX);
}

int64_t doc_int_or(struct doc_reader *reader, const json_t *object, const char *key, int64_t min,
                   int64_t max, int64_t fallback)
{
    const json_t *value = member(object, key);

    return value == NULL ? fallback : int_value(reader, value, min, max);
}

static struct slice text_of(const json_t *value)
{
    return slice_of(json_string_value(value), json_string_length(value));
}

int64_t doc_quoted(struct doc_reader *reader, const json_t *object, const char *key, int64_t min,
                   int64_t max)
{
    const json_t *value = member(object, key);
    int64_t number = 0;

    if (!json_is_string(value) || text_int(text_of(value), min, max, &number) != ERR_OK)
        doc_fail(reader, ERR_CORRUPT);
    return number;
}

int64_t doc_timestamp(const json_t *object, const char *key)
{
    const json_t *value = member(object, key);
    int64_t number = -1;

    if (json_is_integer(value)) return json_integer_value(value);
    if (json_is_string(value) && text_int(text_of(value), 0, INT64_MAX, &number) != ERR_OK)
        return -1;
    return number;
}

struct slice doc_copy(struct doc_reader *reader, struct slice text)
{
    char *room = doc_room(reader, text.len + 1, 1);

    if (room == NULL) return SLICE_NULL;
    if (text.len > 0) memcpy(room, text.ptr, text.len);
    return slice_of(room, text.len);
}

struct slice doc_string_value(struct doc_reader *reader, const json_t *value)
{
    if (!json_is_string(value)) {
        doc_fail(reader, ERR_CORRUPT);
        return SLICE_NULL;
    }
    return doc_copy(reader, text_of(value));
}

struct slice doc_string(struct doc_reader *reader, const json_t *object, const char *key)
{
    return doc_string_value(reader, member(object, key));
}

struct slice doc_string_or_null(struct doc_reader *reader, const json_t *object, const char *key)
{
    const json_t *value = member(object, key);

    return value == NULL ? SLICE_NULL : doc_string_value(reader, value);
}

json_t *doc_object(struct doc_reader *reader, const json_t *object, const char *key,
                   bool is_optional)
{
    json_t *value = member(object, key);

    if (json_is_object(value)) return value;
    if (value != NULL || !is_optional) doc_fail(reader, ERR_CORRUPT);
    return NULL;
}

json_t *doc_array(struct doc_reader *reader, const json_t *object, const char *key,
                  bool is_optional)
{
    json_t *value = member(object, key);

    if (json_is_array(value)) return value;
    if (value != NULL || !is_optional) doc_fail(reader, ERR_CORRUPT);
    return NULL;
}

struct doc_ints doc_int_array(struct doc_reader *reader, const json_t *array)
{
    struct doc_ints ints = {0};

    if (!json_is_array(array)) {
        doc_fail(reader, ERR_CORRUPT);
        return ints;
    }
    size_t count = json_array_size(array);
    ints.at = doc_room(reader, count, sizeof(*ints.at));
    if (ints.at == NULL) return ints;
    ints.count = (int32_t)count;
    for (size_t i = 0; i < count; i++)
        ints.at[i] = (int32_t)int_value(reader, json_array_get(array, i), 0, INT32_MAX);
    return ints;
}

void *doc_room(struct doc_reader *reader, size_t count, size_t size)
{
    /* A count comes from what was parsed, so that count * size is small beside SIZE_MAX. */
    size_t bytes = count * size == 0 ? 1 : count * size;
    void *room = reader->err == ERR_OK ? arena_try(reader->arena, bytes) : NULL;

    if (room == NULL)
        doc_fail(reader, ERR_LIMIT);
    else
        memset(room, 0, bytes);
    return room;
}

static bool is_known(const char *key, const char *const *known)
{
    for (; *known != NULL; known++)
        if (strcmp(key, *known) == 0) return true;
    return false;
}

struct slice doc_extra(struct doc_reader *reader, const json_t *object, const char *const *known)
{
    json_t *rest = json_object();
    struct slice extra = SLICE_NULL;

    for (void *at = json_object_iter((json_t *)object); at != NULL;
         at = json_object_iter_next((json_t *)object, at))
        if (!is_known(json_object_iter_key(at), known) &&
            json_object_set(rest, json_object_iter_key(at), json_object_iter_value(at)) != 0)
            doc_fail(reader, ERR_LIMIT);
    if (json_object_size(rest) > 0) {
        char *text = json_dumps(rest, JSON_COMPACT);
        if (text == NULL)
            doc_fail(reader, ERR_CORRUPT);
        else
            extra = doc_copy(reader, slice_of(text + 1, strlen(text) - 2)); /* without braces */
        free(text);
    }
    json_decref(rest);
    return extra;
}

/* ---- writing */

void doc_add_ints(struct buf *out, const struct doc_ints *ints)
{
    buf_add_text(out, "[");
    for (int32_t i = 0; i < ints->count; i++)
        buf_printf(out, i == 0 ? "%d" : ",%d", ints->at[i]);
    buf_add_text(out, "]");
}

void doc_add_extra(struct buf *out, struct slice extra)
{
    if (extra.len > 0) {
        buf_add_text(out, ",");
        buf_add_slice(out, extra);
    }
}
