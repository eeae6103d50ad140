#include "wire/protocol.h"

const struct api_info *api_info_find(int key)
{
    int low = 0, high = API_COUNT;

    /* Keys go up without a gap, but for the last ones. */
    if (key >= 0 && key < API_COUNT && api_infos[key].key == key) return &api_infos[key];
    while (low < high) {
        int middle = (low + high) / 2;
        if (api_infos[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < API_COUNT && api_infos[low].key == key ? &api_infos[low] : NULL;
}

const char *api_info_name(int key)
{
    const struct api_info *api = api_info_find(key);

    return api == NULL ? "unknown" : api->name;
}

int api_info_request_header(const struct api_info *api, int version)
{
    if (api_info_is_flexible(api, version)) return 2;
    return api->key == API_CONTROLLED_SHUTDOWN && version == 0 ? 0 : 1;
}

int api_info_response_header(const struct api_info *api, int version)
{
    return api->key != API_API_VERSIONS && api_info_is_flexible(api, version);
}

static const struct kafka_error_info *find_error(int code)
{
    return &kafka_error_infos[code < -1 || code > KAFKA_ERROR_MAX ? 0 : code + 1];
}

const char *kafka_error_name(int code)
{
    return find_error(code)->name;
}

bool kafka_error_is_retriable(int code)
{
    return find_error(code)->is_retriable;
}
