/* What DescribeConfigs tells about a broker. */
#include "cluster/options_private.h"
#include "base/ensure.h"

static struct slice visible(const struct option_row *row, const char *text, struct arena *arena)
{
    if (text == NULL || row->type == OPTION_TYPE_PASSWORD) return SLICE_NULL;
    return arena_copy(arena, slice_text(text));
}

int option_broker_synonyms(const struct options *options, enum option option, struct arena *arena,
                           struct option_synonym *out)
{
    const enum option alone[] = {option, OPTION_NONE};
    const enum option *group = option_synonyms(option);
    int count = 0;

    if (group == NULL) group = alone;
    for (int layer = LAYER_COUNT - 1; layer >= -1; layer--) {
        for (int i = 0; group[i] != OPTION_NONE; i++) {
            const struct option_row *row = &option_rows[group[i]];
            const char *text = layer < 0 ? row->value : options->values[group[i]].given[layer];
            if (text == NULL || (count == 0 && group[i] != option)) continue;
            ensure(count < OPTION_SYNONYMS_MAX);
            out[count++] = (struct option_synonym){
                .name = slice_text(row->key),
                .value = visible(row, text, arena),
                .source = layer == LAYER_DYNAMIC_BROKER    ? OPTION_SOURCE_DYNAMIC_BROKER
                          : layer == LAYER_DYNAMIC_DEFAULT ? OPTION_SOURCE_DYNAMIC_DEFAULT
                          : layer == LAYER_STATIC          ? OPTION_SOURCE_STATIC
                                                           : OPTION_SOURCE_DEFAULT};
        }
    }
    return count;
}

static bool is_shown(const struct options *options, enum option option, bool defaults_only)
{
    const struct option_row *row = &option_rows[option];

    if (defaults_only) return options->values[option].given[LAYER_DYNAMIC_DEFAULT] != NULL;
    bool is_hidden = (row->flags & (FLAG_INTERNAL | FLAG_DYNAMIC_ONLY)) != 0;
    return !is_hidden || options_is_set(options, option);
}

static struct option_entry describe(const struct options *options, enum option option,
                                    bool defaults_only, struct arena *arena)
{
    const struct option_row *row = &option_rows[option];
    struct option_synonym *synonyms = arena_zalloc(arena, OPTION_SYNONYMS_MAX * sizeof(*synonyms));
    const char *text = defaults_only ? options->values[option].given[LAYER_DYNAMIC_DEFAULT]
                                     : option_current(options, option);
    int count = option_broker_synonyms(options, option, arena, synonyms);

    if (defaults_only) { /* of the layers only this one is the cluster's */
        int kept = 0;
        for (int i = 0; i < count; i++)
            if (synonyms[i].source == OPTION_SOURCE_DYNAMIC_DEFAULT) synonyms[kept++] = synonyms[i];
        count = kept;
    }
    return (struct option_entry){
        .name = slice_text(row->key),
        .value = visible(row, text, arena),
        .source = count > 0 ? synonyms[0].source : OPTION_SOURCE_DEFAULT,
        .type = row->type,
        .is_read_only = row->dynamic == OPTION_READ_ONLY,
        .is_sensitive = row->type == OPTION_TYPE_PASSWORD,
        .doc = slice_text(row->doc),
        .synonyms = synonyms,
        .synonym_count = count,
    };
}

int options_describe(const struct options *options, bool defaults_only, struct arena *arena,
                     struct option_entry **entries)
{
    size_t most = OPTION_COUNT + options->unknown.entries.count;
    struct option_entry *all = arena_zalloc(arena, most * sizeof(*all));
    int count = 0;

    for (int i = 0; i < OPTION_COUNT; i++)
        if (is_shown(options, (enum option)i, defaults_only))
            all[count++] = describe(options, (enum option)i, defaults_only, arena);
    if (!defaults_only) {
        /* What nobody typed may be a secret. */
        map_each (entry, &options->unknown.entries)
            all[count++] = (struct option_entry){.name = arena_copy(arena, map_key(entry)),
                                                 .source = OPTION_SOURCE_STATIC,
                                                 .type = OPTION_TYPE_UNKNOWN,
                                                 .is_sensitive = true};
    }
    *entries = all;
    return count;
}
