/* broker/api/versions.c - ApiVersions: what dispatch's table serves, and nothing else. */
#include "broker/api/table.h"
#include "cluster/types.h"
#include "wire/gen/api_versions.h"
#include "wire/gen/protocol.h"
#include <stdlib.h>

/* [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])? */
static bool is_software_text(struct slice text)
{
    if (text.len == 0) return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool is_inner = i > 0 && i + 1 < text.len;
        if (!is_alnum && !(is_inner && (c == '-' || c == '.'))) return false;
    }
    return true;
}

static void add_all(struct request *request, struct api_versions_response *out)
{
    int count = 0;

    while (api_table()[count] != NULL)
        count++;
    out->api_keys.at = arena_zalloc(&request->arena, sizeof(*out->api_keys.at) * (size_t)count);
    out->api_keys.count = count;
    for (int i = 0; i < count; i++) {
        const struct api *api = api_table()[i];
        out->api_keys.at[i] = (struct api_versions_response_api_key){
            .api_key = api->key, .min_version = api->version_min, .max_version = api->version_max};
    }
}

/* A controller's ping to the life before: to answer it would say that it still goes on. */
static bool is_for_earlier_life(const struct request *request)
{
    struct slice prefix = slice_text(HEARTBEAT_CLIENT), id = request->client_id;
    char text[21] = "";

    if (id.len <= prefix.len || id.len - prefix.len >= sizeof(text) ||
        memcmp(id.ptr, prefix.ptr, prefix.len) != 0)
        return false;
    memcpy(text, id.ptr + prefix.len, id.len - prefix.len);
    return strtoll(text, NULL, 10) < request->at->broker_epoch;
}

/* The answer to all who ask in this version: kept encoded, as controllers ask some times a second.
 */
static struct slice body_of(struct request *request)
{
    struct api_shard *api = request->at;
    struct buf *body = &api->versions[request->version];
    struct api_versions_response out;

    if (api->versions_epoch != api->feature_epoch) {
        for (int version = 0; version < API_VERSIONS_TOLD; version++)
            buf_clear(&api->versions[version]);
        api->versions_epoch = api->feature_epoch;
    }
    if (body->len > 0) return buf_slice(body);
    wire_default(&api_versions_response_wire, &out);
    add_all(request, &out);
    out.finalized_features_epoch = api->feature_epoch;
    wire_write(body, request->version, &api_versions_response_wire, &out);
    return buf_slice(body);
}

static void versions_handle(struct request *request)
{
    const struct api_versions_request *in = request->body;

    if (is_for_earlier_life(request)) {
        request_close(request);
        return;
    }
    if (request->version >= 3 && (!is_software_text(in->client_software_name) ||
                                  !is_software_text(in->client_software_version))) {
        request_fail(request, KAFKA_INVALID_REQUEST);
        return;
    }
    request_reply_bytes(request, body_of(request));
}

void versions_refuse_version(struct request *request)
{
    struct api_versions_response out;

    wire_default(&api_versions_response_wire, &out);
    out.error_code = KAFKA_UNSUPPORTED_VERSION;
    out.api_keys.at = arena_zalloc(&request->arena, sizeof(*out.api_keys.at));
    out.api_keys.count = 1;
    out.api_keys.at[0] =
        (struct api_versions_response_api_key){.api_key = versions_api.key,
                                               .min_version = versions_api.version_min,
                                               .max_version = versions_api.version_max};
    request->version = 0;
    request_reply(request, &out);
}

static const void *versions_refuse(struct request *request, int16_t code)
{
    struct api_versions_response *out = arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&api_versions_response_wire, out);
    out->error_code = code;
    return out;
}

const struct api versions_api = {
    .key = API_API_VERSIONS,
    .version_min = 0,
    .version_max = API_VERSIONS_TOLD - 1,
    .request_wire = &api_versions_request_wire,
    .response_wire = &api_versions_response_wire,
    .request_size = sizeof(struct api_versions_request),
    .place = API_HERE,
    .handle = versions_handle,
    .refuse = versions_refuse,
};
