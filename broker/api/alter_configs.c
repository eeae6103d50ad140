/* broker/api/alter_configs.c - AlterConfigs and IncrementalAlterConfigs.
 *
 * Configurations of topics and brokers are the controller's to write: passed on (pass.h), answered
 * once they are stored; their effect comes with the notification. Of brokers only one's own, or the
 * default of all, may be named here. The level of the log is this process's and is set at once.
 * Rules: apis.md §10.2. */
#include "base/log.h"
#include "base/text.h"
#include "broker/api/pass.h"
#include "broker/api/table.h"
#include "wire/gen/alter_configs.h"
#include "wire/gen/incremental_alter_configs.h"
#include "wire/protocol.h"

#define RESOURCE_BROKER        4
#define RESOURCE_BROKER_LOGGER 8
#define OPERATION_SET          0
#define OPERATION_DELETE       1

#define TIMEOUT_MS             30000 /* the request has none of its own */

static int64_t timeout_of(const struct request *request)
{
    (void)request;
    return TIMEOUT_MS;
}

static bool is_own_id(const struct request *request, struct slice name)
{
    int64_t id;

    return text_int(name, 0, INT32_MAX, &id) == ERR_OK && id == request->at->process->broker_id;
}

/* A resource that is no matter of the controller's. */
static bool is_ours(const struct request *request, int8_t type, struct slice name)
{
    if (type == RESOURCE_BROKER_LOGGER) return true;
    return type == RESOURCE_BROKER && name.len > 0 && !is_own_id(request, name);
}

/* ---- AlterConfigs ---- */

static bool alter_not_controller(const struct request *request, const void *answer)
{
    const struct alter_configs_response *out = answer;

    (void)request;
    for (int32_t i = 0; i < out->responses.count; i++)
        if (out->responses.at[i].error_code == KAFKA_NOT_CONTROLLER) return true;
    return false;
}

static const void *alter_refuse(struct request *request, int16_t code)
{
    const struct alter_configs_request *in = request->body;
    struct alter_configs_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int32_t count = in->resources.count > 0 ? in->resources.count : 0;

    wire_default(&alter_configs_response_wire, out);
    out->responses.at =
        arena_zalloc(&request->arena, sizeof(*out->responses.at) * (size_t)(count + 1));
    out->responses.count = count;
    for (int32_t i = 0; i < count; i++)
        out->responses.at[i] = (struct alter_configs_response_response){
            .error_code = code,
            .error_message = SLICE_NULL,
            .resource_type = in->resources.at[i].resource_type,
            .resource_name = in->resources.at[i].resource_name,
        };
    return out;
}

static void alter_handle(struct request *request)
{
    static const struct pass_kind kind = {
        .answer_size = sizeof(struct alter_configs_response),
        .timeout_ms = timeout_of,
        .is_not_controller = alter_not_controller,
    };
    const struct alter_configs_request *in = request->body;

    for (int32_t i = 0; i < in->resources.count; i++)
        if (is_ours(request, in->resources.at[i].resource_type,
                    in->resources.at[i].resource_name)) {
            request_fail(request, KAFKA_INVALID_REQUEST);
            return;
        }
    pass_on(request, &kind);
}

/* ---- IncrementalAlterConfigs ---- */

static bool incremental_not_controller(const struct request *request, const void *answer)
{
    const struct incremental_alter_configs_response *out = answer;

    (void)request;
    for (int32_t i = 0; i < out->responses.count; i++)
        if (out->responses.at[i].error_code == KAFKA_NOT_CONTROLLER) return true;
    return false;
}

static void *incremental_answer(struct request *request, int16_t code)
{
    const struct incremental_alter_configs_request *in = request->body;
    struct incremental_alter_configs_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int32_t count = in->resources.count > 0 ? in->resources.count : 0;

    wire_default(&incremental_alter_configs_response_wire, out);
    out->responses.at =
        arena_zalloc(&request->arena, sizeof(*out->responses.at) * (size_t)(count + 1));
    out->responses.count = count;
    for (int32_t i = 0; i < count; i++)
        out->responses.at[i] = (struct incremental_alter_configs_response_response){
            .error_code = code,
            .error_message = SLICE_NULL,
            .resource_type = in->resources.at[i].resource_type,
            .resource_name = in->resources.at[i].resource_name,
        };
    return out;
}

static const void *incremental_refuse(struct request *request, int16_t code)
{
    return incremental_answer(request, code);
}

/* log4j's levels, of which there are fewer here. */
static bool level_of(struct slice name, enum log_level *out)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {{"TRACE", LOG_DEBUG}, {"DEBUG", LOG_DEBUG}, {"INFO", LOG_INFO},
                  {"WARN", LOG_WARN},   {"ERROR", LOG_ERROR}, {"FATAL", LOG_ERROR}};

    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (slice_is(name, levels[i].name)) {
            *out = levels[i].level;
            return true;
        }
    return false;
}

/* One logger of Kafka's is here besides "root": at DEBUG, or below, each request has a line. */
static void set_request_logger(const struct request *request, bool is_on)
{
    const struct api_process *process = request->at->process;

    if (process->logs_requests == NULL) return;
    if (atomic_exchange(process->logs_requests, is_on) != is_on)
        log_info("broker", "request-log", "on=%s", is_on ? "true" : "false");
}

static int16_t alter_logger(struct request *request,
                            const struct incremental_alter_configs_request_resource *in,
                            bool is_validate_only, const char **why)
{
    enum log_level level = LOG_INFO, root = LOG_INFO;
    bool has_root = false, has_requests = false, logs_requests = false;

    if (!is_own_id(request, in->resource_name)) {
        *why = "not the id of this broker";
        return KAFKA_INVALID_REQUEST;
    }
    for (int32_t i = 0; i < in->configs.count; i++) {
        const struct incremental_alter_configs_request_resource_config *config = &in->configs.at[i];
        bool is_root = slice_is(config->name, "root");
        bool is_delete = config->config_operation == OPERATION_DELETE;

        *why = "there are only the loggers root and " REQUEST_LOGGER;
        if (!is_root && !slice_is(config->name, REQUEST_LOGGER)) return KAFKA_INVALID_CONFIG;
        *why = "the level of root can only be set";
        if (is_delete && is_root) return KAFKA_INVALID_REQUEST;
        *why = "a level can be set or deleted";
        if (!is_delete && config->config_operation != OPERATION_SET) return KAFKA_INVALID_REQUEST;
        *why = "a level is one of TRACE, DEBUG, INFO, WARN, ERROR, FATAL";
        if (!is_delete && !level_of(config->value, &level)) return KAFKA_INVALID_CONFIG;
        if (is_root) {
            has_root = true;
            root = level;
        } else {
            has_requests = true;
            logs_requests = !is_delete && level == LOG_DEBUG;
        }
    }
    if (has_root && !is_validate_only) atomic_store(&log_level, root);
    if (has_requests && !is_validate_only) set_request_logger(request, logs_requests);
    return KAFKA_NONE;
}

/* A request that names what is ours has nothing else: clients send each to its place. */
static void incremental_here(struct request *request)
{
    const struct incremental_alter_configs_request *in = request->body;
    struct incremental_alter_configs_response *out =
        incremental_answer(request, KAFKA_INVALID_REQUEST);

    for (int32_t i = 0; i < in->resources.count; i++) {
        const struct incremental_alter_configs_request_resource *resource = &in->resources.at[i];
        struct incremental_alter_configs_response_response *to = &out->responses.at[i];
        const char *why = NULL;

        if (resource->resource_type == RESOURCE_BROKER_LOGGER)
            to->error_code = alter_logger(request, resource, in->validate_only, &why);
        else if (is_ours(request, resource->resource_type, resource->resource_name))
            why = "not the id of this broker";
        else
            why = "not in one request with a log level, or with another broker's configuration";
        if (to->error_code != KAFKA_NONE) to->error_message = slice_text(why);
    }
    request_reply(request, out);
}

static void incremental_handle(struct request *request)
{
    static const struct pass_kind kind = {
        .answer_size = sizeof(struct incremental_alter_configs_response),
        .timeout_ms = timeout_of,
        .is_not_controller = incremental_not_controller,
    };
    const struct incremental_alter_configs_request *in = request->body;

    for (int32_t i = 0; i < in->resources.count; i++)
        if (is_ours(request, in->resources.at[i].resource_type,
                    in->resources.at[i].resource_name)) {
            incremental_here(request);
            return;
        }
    pass_on(request, &kind);
}

const struct api alter_configs_api = {
    .key = API_ALTER_CONFIGS,
    .version_min = 0,
    .version_max = 2,
    .request_wire = &alter_configs_request_wire,
    .response_wire = &alter_configs_response_wire,
    .request_size = sizeof(struct alter_configs_request),
    .place = API_ON_CONTROL,
    .handle = alter_handle,
    .refuse = alter_refuse,
};

const struct api incremental_alter_configs_api = {
    .key = API_INCREMENTAL_ALTER_CONFIGS,
    .version_min = 0,
    .version_max = 1,
    .request_wire = &incremental_alter_configs_request_wire,
    .response_wire = &incremental_alter_configs_response_wire,
    .request_size = sizeof(struct incremental_alter_configs_request),
    .place = API_ON_CONTROL,
    .handle = incremental_handle,
    .refuse = incremental_refuse,
};
