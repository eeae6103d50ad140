/* broker/api/features.c - UpdateFeatures: levels of features that all brokers of a cluster agree
 * on.
 *
 * Brokers of Kafka 3.9 know none while ZooKeeper coordinates them, and neither do we: `/feature`
 * stays as it is, and each update is refused with the reason. Any broker says so: each stands for
 * the controller. */
#include "broker/api/table.h"
#include "wire/gen/update_features.h"
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

static void update_features_handle(struct request *request)
{
    const struct update_features_request *in = request->body;
    struct update_features_response out;
    int32_t count = in->feature_updates.count;

    wire_default(&update_features_response_wire, &out);
    out.error_message = SLICE_NULL;
    out.results.at = arena_zalloc(&request->arena, sizeof(*out.results.at) * (size_t)(count + 1));
    out.results.count = count;
    for (int32_t i = 0; i < count; i++)
        out.results.at[i] = (struct update_features_response_result){
            .feature = in->feature_updates.at[i].feature,
            .error_code = KAFKA_INVALID_REQUEST,
            .error_message = why_not(&in->feature_updates.at[i], request->version),
        };
    request_reply(request, &out);
}

static const void *update_features_refuse(struct request *request, int16_t code)
{
    struct update_features_response *out = arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&update_features_response_wire, out);
    out->error_code = code;
    out->error_message = slice_text(kafka_error_name(code));
    return out;
}

const struct api update_features_api = {
    .key = API_UPDATE_FEATURES,
    .version_min = 0,
    .version_max = 1,
    .request_wire = &update_features_request_wire,
    .response_wire = &update_features_response_wire,
    .request_size = sizeof(struct update_features_request),
    .place = API_HERE,
    .handle = update_features_handle,
    .refuse = update_features_refuse,
};
