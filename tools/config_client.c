#include "tools/config_client.h"
#include "base/ensure.h"
#include "base/text.h"
#include "wire/gen/incremental_alter_configs.h"
#include <stdlib.h>

enum { OPERATION_SET, OPERATION_DELETE };

const char *config_source_name(int source)
{
    static const char *const names[] = {"UNKNOWN",
                                        "DYNAMIC_TOPIC_CONFIG",
                                        "DYNAMIC_BROKER_CONFIG",
                                        "DYNAMIC_DEFAULT_BROKER_CONFIG",
                                        "STATIC_BROKER_CONFIG",
                                        "DEFAULT_CONFIG",
                                        "DYNAMIC_BROKER_LOGGER_CONFIG"};

    return source < 0 || source >= (int)(sizeof(names) / sizeof(names[0])) ? names[0]
                                                                           : names[source];
}

/* Who is asked. */
static enum err node_of(enum config_type type, struct slice name, int32_t *node,
                        struct buf *message)
{
    int64_t id;

    *node = CLUSTER_ANY;
    if (type == CONFIG_TOPIC || name.len == 0) return ERR_OK;
    if (text_int(name, 0, INT32_MAX, &id) != ERR_OK) {
        buf_printf(message,
                   "The entity name for brokers must be a valid integer broker id, but it is: "
                   "%.*s",
                   SLICE_ARGS(name));
        return ERR_INVALID;
    }
    *node = (int32_t)id;
    return ERR_OK;
}

static enum err refuse(struct buf *message, int16_t code, struct slice text)
{
    if (text.len == 0)
        buf_add_text(message, kafka_error_name(code));
    else
        buf_printf(message, "%.*s (%s)", SLICE_ARGS(text), kafka_error_name(code));
    return ERR_DENIED;
}

static enum err ask(struct cluster *cluster, int32_t node, bool is_safe,
                    struct cluster_request *request, struct buf *message)
{
    enum err err = cluster_ask(cluster, node, is_safe, request, message);

    if (err == ERR_NOT_FOUND && node != CLUSTER_ANY) {
        buf_clear(message);
        buf_printf(message, "broker %d is not there", node);
    }
    return err;
}

enum err config_alter(struct cluster *cluster, enum config_type type, struct slice name,
                      const struct config_change *changes, int count, struct buf *message)
{
    struct incremental_alter_configs_request body;
    struct incremental_alter_configs_request_resource resource = {.resource_type = (int8_t)type,
                                                                  .resource_name = name};
    struct cluster_request request = {.api = API_INCREMENTAL_ALTER_CONFIGS, .body = &body};
    int32_t node;

    enum err err = node_of(type, name, &node, message);
    if (err != ERR_OK) return err;
    resource.configs.at = ensure_zalloc((size_t)(count + 1) * sizeof(*resource.configs.at));
    resource.configs.count = count;
    for (int i = 0; i < count; i++)
        resource.configs.at[i] = (struct incremental_alter_configs_request_resource_config){
            .name = changes[i].key,
            .config_operation = slice_is_null(changes[i].value) ? OPERATION_DELETE : OPERATION_SET,
            .value = changes[i].value,
        };
    wire_default(&incremental_alter_configs_request_wire, &body);
    body.resources.at = &resource;
    body.resources.count = 1;
    err = ask(cluster, node, true, &request, message); /* said twice it is the same */
    free(resource.configs.at);
    if (err != ERR_OK) return err;
    const struct incremental_alter_configs_response *response = request.response;
    if (response->responses.count != 1)
        err = refuse(message, KAFKA_UNKNOWN_SERVER_ERROR, SLICE_NULL);
    else if (response->responses.at[0].error_code != KAFKA_NONE)
        err = refuse(message, response->responses.at[0].error_code,
                     response->responses.at[0].error_message);
    cluster_request_fini(&request);
    return err;
}

enum err config_describe(struct cluster *cluster, enum config_type type, struct slice name,
                         struct cluster_request *request,
                         const struct describe_configs_response_result **out, struct buf *message)
{
    struct describe_configs_request body;
    struct describe_configs_request_resource resource = {.resource_type = (int8_t)type,
                                                         .resource_name = name};
    int32_t node;

    enum err err = node_of(type, name, &node, message);
    if (err != ERR_OK) return err;
    resource.configuration_keys.count = -1;
    wire_default(&describe_configs_request_wire, &body);
    body.resources.at = &resource;
    body.resources.count = 1;
    body.include_synonyms = true;
    *request =
        (struct cluster_request){.api = API_DESCRIBE_CONFIGS, .body = &body, .version_min = 1};
    err = ask(cluster, node, true, request, message);
    request->body = NULL;
    if (err != ERR_OK) return err;
    const struct describe_configs_response *response = request->response;
    if (response->results.count != 1) {
        err = refuse(message, KAFKA_UNKNOWN_SERVER_ERROR, SLICE_NULL);
    } else if (response->results.at[0].error_code != KAFKA_NONE) {
        err = refuse(message, response->results.at[0].error_code,
                     response->results.at[0].error_message);
    } else {
        *out = &response->results.at[0];
        return ERR_OK;
    }
    cluster_request_fini(request);
    return err;
}
