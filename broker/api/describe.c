/* broker/api/describe.c - DescribeConfigs: topics and this broker, with sources and synonyms.
 *
 * Overrides are read from ZooKeeper for each request, so that who has changed one sees it
 * at once; while ZooKeeper is away what was read last serves. Rules: apis.md §10. */
#include "broker/api/broker_configs.h"
#include "broker/api/control.h"
#include "broker/api/table.h"
#include "broker/api/topic_configs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "cluster/describe.h"
#include "cluster/image.h"
#include "wire/codec.h"
#include "wire/gen/protocol.h"

#define RESOURCE_TOPIC         2
#define RESOURCE_BROKER        4
#define RESOURCE_BROKER_LOGGER 8

#define SOURCE_BROKER_LOGGER   6

struct describe {
    struct request *request;
    int waiting;
};

static void describe_topic(struct request *request,
                           const struct describe_configs_request_resource *in,
                           struct describe_configs_response_result *out)
{
    const struct option_pair *pairs;
    struct option_entry *entries;

    if (!text_is_topic_name(in->resource_name)) {
        describe_refuse(in, KAFKA_INVALID_TOPIC_EXCEPTION, "not a topic name", &request->arena,
                        out);
        return;
    }
    if (image_topic(request->at->image, in->resource_name) == NULL) {
        describe_refuse(in, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "no such topic", &request->arena,
                        out);
        return;
    }
    int count =
        topic_configs_pairs(control_topic_configs(request->at->control), in->resource_name, &pairs);
    count = topic_options_describe(request->at->options, pairs, count, &request->arena, &entries);
    describe_entries(request->body, in, entries, count, &request->arena, out);
}

static bool is_own_id(const struct request *request, struct slice name)
{
    int64_t id;

    return text_int(name, 0, INT32_MAX, &id) == ERR_OK && id == request->at->process->broker_id;
}

static void describe_broker(struct request *request,
                            const struct describe_configs_request_resource *in,
                            struct describe_configs_response_result *out)
{
    struct option_entry *entries;

    if (in->resource_name.len > 0 && !is_own_id(request, in->resource_name)) {
        describe_refuse(in, KAFKA_INVALID_REQUEST, "not the id of this broker", &request->arena,
                        out);
        return;
    }
    int count = options_describe(request->at->options, in->resource_name.len == 0, &request->arena,
                                 &entries);
    describe_entries(request->body, in, entries, count, &request->arena, out);
}

static void describe_logger(struct request *request,
                            const struct describe_configs_request_resource *in,
                            struct describe_configs_response_result *out)
{
    static const char *const levels[] = {"ERROR", "WARN", "INFO", "DEBUG"};

    if (!is_own_id(request, in->resource_name)) {
        describe_refuse(in, KAFKA_INVALID_REQUEST, "not the id of this broker", &request->arena,
                        out);
        return;
    }
    const _Atomic bool *logs_requests = request->at->process->logs_requests;
    bool is_on = logs_requests != NULL && atomic_load(logs_requests);
    struct option_entry loggers[] = {
        {.name = SLICE(REQUEST_LOGGER), .value = slice_text(is_on ? "DEBUG" : "WARN")},
        {.name = SLICE("root"), .value = slice_text(levels[atomic_load(&log_level)])}};
    int count = (int)(sizeof(loggers) / sizeof(loggers[0]));

    for (int i = 0; i < count; i++) {
        loggers[i].source = (enum option_source)SOURCE_BROKER_LOGGER;
        loggers[i].type = OPTION_TYPE_STRING;
        loggers[i].doc = SLICE_NULL;
    }
    describe_entries(request->body, in, loggers, count, &request->arena, out);
}

/* Asked for once more: what is looked at for the answer, whatever keys it names, is a thousand
 * times as long as the question. */
static bool is_repeated(struct map *seen, const struct describe_configs_request_resource *resource)
{
    uint8_t key[1 + 256];
    size_t len = resource->resource_name.len;

    if (len > 256) return false; /* nothing is called so */
    key[0] = (uint8_t)resource->resource_type;
    if (len > 0) memcpy(key + 1, resource->resource_name.ptr, len);
    return map_set(seen, slice_of(key, 1 + len), seen) != NULL;
}

static void answer(struct request *request)
{
    const struct describe_configs_request *in = request->body;
    struct describe_configs_response out;
    int count = in->resources.count < 0 ? 0 : in->resources.count;
    struct map seen;

    map_init(&seen);
    wire_default(&describe_configs_response_wire, &out);
    out.results.at = arena_zalloc(&request->arena, sizeof(*out.results.at) * (size_t)(count + 1));
    out.results.count = count;
    for (int i = 0; i < count; i++) {
        const struct describe_configs_request_resource *resource = &in->resources.at[i];
        struct describe_configs_response_result *result = &out.results.at[i];
        result->resource_type = resource->resource_type;
        result->resource_name = resource->resource_name;
        if (is_repeated(&seen, resource)) {
            describe_refuse(resource, KAFKA_INVALID_REQUEST, "asked for twice", &request->arena,
                            result);
            continue;
        }
        switch (resource->resource_type) {
        case RESOURCE_TOPIC:
            describe_topic(request, resource, result);
            break;
        case RESOURCE_BROKER:
            describe_broker(request, resource, result);
            break;
        case RESOURCE_BROKER_LOGGER:
            describe_logger(request, resource, result);
            break;
        default:
            describe_refuse(resource, KAFKA_INVALID_REQUEST, "resource type not known",
                            &request->arena, result);
        }
    }
    map_fini(&seen);
    request_reply(request, &out);
}

static void on_read(void *to)
{
    struct describe *describe = to;

    if (--describe->waiting == 0) answer(describe->request);
}

static bool names_broker(const struct request *request)
{
    const struct describe_configs_request *in = request->body;

    if (request->at->configs == NULL) return false;
    for (int32_t i = 0; i < in->resources.count; i++)
        if (in->resources.at[i].resource_type == RESOURCE_BROKER) return true;
    return false;
}

static void describe_handle(struct request *request)
{
    const struct describe_configs_request *in = request->body;
    struct describe *describe = arena_zalloc(&request->arena, sizeof(*describe));
    struct map seen;

    map_init(&seen);
    describe->request = request;
    describe->waiting = 1;
    for (int32_t i = 0; i < in->resources.count; i++) {
        struct slice name = in->resources.at[i].resource_name;
        if (in->resources.at[i].resource_type != RESOURCE_TOPIC || !text_is_topic_name(name) ||
            image_topic(request->at->image, name) == NULL || map_set(&seen, name, describe) != NULL)
            continue;
        describe->waiting++;
        topic_configs_read(control_topic_configs(request->at->control), name, on_read, describe);
    }
    map_fini(&seen);
    if (names_broker(request)) {
        describe->waiting++;
        broker_configs_read(request->at->configs, on_read, describe);
    }
    on_read(describe);
}

static const void *refuse_all(struct request *request, int16_t code)
{
    const struct describe_configs_request *in = request->body;
    struct describe_configs_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int count = in->resources.count < 0 ? 0 : in->resources.count;

    wire_default(&describe_configs_response_wire, out);
    out->results.at = arena_zalloc(&request->arena, sizeof(*out->results.at) * (size_t)(count + 1));
    out->results.count = count;
    for (int i = 0; i < count; i++)
        out->results.at[i] = (struct describe_configs_response_result){
            .error_code = code,
            .resource_type = in->resources.at[i].resource_type,
            .resource_name = in->resources.at[i].resource_name};
    return out;
}

const struct api describe_configs_api = {
    .key = API_DESCRIBE_CONFIGS,
    .version_min = 0,
    .version_max = 4,
    .request_wire = &describe_configs_request_wire,
    .response_wire = &describe_configs_response_wire,
    .request_size = sizeof(struct describe_configs_request),
    .place = API_ON_CONTROL,
    .handle = describe_handle,
    .refuse = refuse_all,
};
