/* wire/protocol.h - what the protocol has: apis, header versions, error codes. */
#pragma once
#include "wire/gen/protocol.h"

/* NULL when the schemas have no such key. */
const struct api_info *api_info_find(int key);
/* "fetch", or "unknown" for a key that is not in the schemas. */
const char *api_info_name(int key);

static inline bool api_info_has_version(const struct api_info *api, int version)
{
    return version >= api->version_min && version <= api->version_max;
}
static inline bool api_info_is_flexible(const struct api_info *api, int version)
{
    return version >= api->flexible_min;
}

/* Which version of the request header (0 to 2) and of the response header (0 or 1) goes with a
 * version of an api. ApiVersions is answered with 0 always: its client cannot know yet whether the
 * broker is flexible. */
int api_info_request_header(const struct api_info *api, int version);
int api_info_response_header(const struct api_info *api, int version);

/* "OFFSET_OUT_OF_RANGE"; "UNKNOWN_SERVER_ERROR" for codes that are not in the table. */
const char *kafka_error_name(int code);
/* Whether a client may try again. */
bool kafka_error_is_retriable(int code);
