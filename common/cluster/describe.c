#include "cluster/describe.h"

static bool is_wanted(const struct describe_configs_request_resource *in, struct slice name)
{
    if (in->configuration_keys.count <= 0) return true;
    for (int32_t i = 0; i < in->configuration_keys.count; i++)
        if (slice_equal(in->configuration_keys.at[i], name)) return true;
    return false;
}

static void fill_entry(const struct describe_configs_request *request,
                       const struct option_entry *from, struct arena *arena,
                       struct describe_configs_response_result_config *to)
{
    *to = (struct describe_configs_response_result_config){
        .name = from->name,
        .value = from->value,
        .read_only = from->is_read_only,
        .config_source = (int8_t)from->source,
        .is_sensitive = from->is_sensitive,
        .config_type = (int8_t)from->type,
        .documentation = request->include_documentation ? from->doc : SLICE_NULL};
    if (!request->include_synonyms) return;
    to->synonyms.at =
        arena_zalloc(arena, sizeof(*to->synonyms.at) * (size_t)(from->synonym_count + 1));
    to->synonyms.count = from->synonym_count;
    for (int i = 0; i < from->synonym_count; i++)
        to->synonyms.at[i] = (struct describe_configs_response_result_config_synonym){
            .name = from->synonyms[i].name,
            .value = from->synonyms[i].value,
            .source = (int8_t)from->synonyms[i].source};
}

void describe_entries(const struct describe_configs_request *request,
                      const struct describe_configs_request_resource *resource,
                      const struct option_entry *entries, int count, struct arena *arena,
                      struct describe_configs_response_result *out)
{
    out->configs.at = arena_zalloc(arena, sizeof(*out->configs.at) * (size_t)(count + 1));
    out->configs.count = 0;
    for (int i = 0; i < count; i++)
        if (is_wanted(resource, entries[i].name))
            fill_entry(request, &entries[i], arena, &out->configs.at[out->configs.count++]);
}

void describe_refuse(const struct describe_configs_request_resource *resource, int16_t code,
                     const char *text, struct arena *arena,
                     struct describe_configs_response_result *out)
{
    out->error_code = code;
    out->error_message = arena_printf(arena, "%s: %.*s", text, SLICE_ARGS(resource->resource_name));
}
