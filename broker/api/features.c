/* broker/api/features.c - UpdateFeatures. Any broker answers: each stands for the controller. */
#include "broker/api/table.h"
#include "cluster/features.h"
#include "wire/protocol.h"

static void update_features_handle(struct request *request)
{
    struct update_features_response out;

    features_update(request->body, request->version, &request->arena, &out);
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
    .version_max = UPDATE_FEATURES_VERSION_MAX,
    .request_wire = &update_features_request_wire,
    .response_wire = &update_features_response_wire,
    .request_size = sizeof(struct update_features_request),
    .place = API_HERE,
    .handle = update_features_handle,
    .refuse = update_features_refuse,
};
