#include "tools/configs_text.h"
#include "base/text.h"
#include <stdlib.h>

/* Up to the next comma that is not in brackets. */
static bool next_pair(struct slice *rest, struct slice *pair)
{
    size_t depth = 0, n = 0;

    if (rest->len == 0) return false;
    for (; n < rest->len; n++) {
        uint8_t c = rest->ptr[n];
        if (c == '[') depth++;
        if (c == ']' && depth > 0) depth--;
        if (c == ',' && depth == 0) break;
    }
    *pair = text_trim(slice_of(rest->ptr, n));
    size_t used = n < rest->len ? n + 1 : n;
    *rest = slice_of(rest->ptr + used, rest->len - used);
    return true;
}

static void add(struct arena *arena, struct config_change **list, int *count,
                struct config_change change)
{
    struct config_change *grown = arena_zalloc(arena, (size_t)(*count + 1) * sizeof(*grown));

    if (*count > 0) memcpy(grown, *list, (size_t)*count * sizeof(*grown));
    grown[(*count)++] = change;
    *list = grown;
}

enum err configs_read_changes(struct slice text, struct arena *arena, struct config_change **out,
                              int *count, struct buf *message)
{
    struct slice rest = text, pair, key;

    while (next_pair(&rest, &pair)) {
        struct slice value = pair;
        if (!slice_cut(&value, '=', &key) || text_trim(key).len == 0) {
            buf_printf(message,
                       "Invalid entity config \"%.*s\": all configs to be added must be in the "
                       "format \"key=val\" or \"key=[val1,val2]\"",
                       SLICE_ARGS(pair));
            return ERR_INVALID;
        }
        value = text_trim(value);
        if (value.len >= 2 && value.ptr[0] == '[' && value.ptr[value.len - 1] == ']')
            value = slice_of(value.ptr + 1, value.len - 2);
        if (value.len == 0) value = SLICE("");
        add(arena, out, count, (struct config_change){text_trim(key), value});
    }
    return ERR_OK;
}

void configs_read_keys(struct slice text, struct arena *arena, struct config_change **out,
                       int *count)
{
    struct slice rest = text, key;

    while (next_pair(&rest, &key))
        if (key.len > 0) add(arena, out, count, (struct config_change){key, SLICE_NULL});
}

static void write_value(struct buf *out, struct slice value)
{
    if (slice_is_null(value))
        buf_add_text(out, "null");
    else
        buf_add(out, value.ptr, value.len);
}

static int by_name(const void *a, const void *b)
{
    const struct describe_configs_response_result_config *one = a, *other = b;

    return slice_compare(one->name, other->name);
}

void configs_write(struct buf *out, const struct describe_configs_response_result *in, int source)
{
    if (in->configs.count > 1)
        qsort(in->configs.at, (size_t)in->configs.count, sizeof(*in->configs.at), by_name);
    for (int32_t i = 0; i < in->configs.count; i++) {
        const struct describe_configs_response_result_config *config = &in->configs.at[i];
        if (source >= 0 && config->config_source != source) continue;
        buf_printf(out, "  %.*s=", SLICE_ARGS(config->name));
        write_value(out, config->value);
        buf_printf(out, " sensitive=%s synonyms={", config->is_sensitive ? "true" : "false");
        for (int32_t k = 0; k < config->synonyms.count; k++) {
            buf_printf(out, "%s%s:%.*s=", k == 0 ? "" : ", ",
                       config_source_name(config->synonyms.at[k].source),
                       SLICE_ARGS(config->synonyms.at[k].name));
            write_value(out, config->synonyms.at[k].value);
        }
        buf_add_text(out, "}\n");
    }
}

static bool is_set(const struct describe_configs_response_result *in, int source, struct slice key)
{
    for (int32_t i = 0; i < in->configs.count; i++)
        if (in->configs.at[i].config_source == source && slice_equal(in->configs.at[i].name, key))
            return true;
    return false;
}

void configs_write_unset(struct buf *out, const struct describe_configs_response_result *in,
                         int source, const struct config_change *changes, int count)
{
    for (int i = 0; i < count; i++) {
        if (!slice_is_null(changes[i].value) || is_set(in, source, changes[i].key)) continue;
        buf_printf(out, "%s%.*s", out->len == 0 ? "" : ",", SLICE_ARGS(changes[i].key));
    }
}
