#include "cluster/features.h"
#include "wire/protocol.h"

#define VERSION_TYPES 1 /* upgrade_type in place of allow_downgrade */

enum upgrade_type { UPGRADE = 1, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE };

static struct slice why_not(const struct update_features_request_feature_update *update,
                            int version)
{
    bool has_types = version >= VERSION_TYPES;
    bool may_lower = has_types ? update->upgrade_type != UPGRADE : update->allow_downgrade;

    if (update->feature.len == 0) return SLICE("a feature has to have a name");
    if (has_types && (update->upgrade_type < UPGRADE || update->upgrade_type > UNSAFE_DOWNGRADE))
        return SLICE("there is no such type of an upgrade");
    if (update->max_version_level >= 1) return SLICE("no broker supports this feature");
    return may_lower ? SLICE("this feature has no level that could be taken away")
                     : SLICE("a level below 1 takes a feature away, which is a downgrade");
}

void features_update(const struct update_features_request *request, int version,
                     struct arena *arena, struct update_features_response *out)
{
    int32_t count = request->feature_updates.count;

    wire_default(&update_features_response_wire, out);
    out->error_message = SLICE_NULL;
    out->results.at = arena_zalloc(arena, sizeof(*out->results.at) * (size_t)(count + 1));
    out->results.count = count;
    for (int32_t i = 0; i < count; i++)
        out->results.at[i] = (struct update_features_response_result){
            .feature = request->feature_updates.at[i].feature,
            .error_code = KAFKA_INVALID_REQUEST,
            .error_message = why_not(&request->feature_updates.at[i], version),
        };
}
