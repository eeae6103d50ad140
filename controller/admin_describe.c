/* controller/admin_describe.c - DescribeConfigs, from clients that take the controller for one of
 * the brokers (admin_clients.c).
 *
 * A topic has as defaults what the brokers were configured with, which they alone know: one of them
 * is asked, and the next where it does not answer. Of itself the controller tells what it was
 * started with. */
#include "base/ensure.h"
#include "base/log.h"
#include "base/text.h"
#include "client/peer.h"
#include "cluster/describe.h"
#include "controller/asked.h"
#include <stdio.h>
#include <stdlib.h>

#define RESOURCE_TOPIC  2
#define RESOURCE_BROKER 4

#define PASSED_MAX      64 /* requests passed on at a time: each has a connection of its own */
#define CONNECT_MS      2000
#define ANSWER_MS       5000

/* One request, of which a broker is asked a part. */
struct describe {
    struct list_node node;                   /* of its admin */
    struct asked *asked;                     /* NULL: answered */
    struct describe_configs_request request; /* in its arena, as the rest */
    struct describe_configs_response response;
    int32_t *passed; /* which of the resources a broker tells */
    int32_t passed_count;
    bool has_told_self;
    struct ids brokers; /* to be asked, in order */
    int32_t tried;
    struct admin *admin;
    struct peer *peer; /* NULL: not open, or closing */
    struct peer_call call;
};

static bool is_own_id(const struct asked *asked, struct slice name)
{
    int64_t id;

    return text_int(name, 0, INT32_MAX, &id) == ERR_OK && id == asked->controller->id;
}

static void tell_self(struct describe *describe,
                      const struct describe_configs_request_resource *resource,
                      struct describe_configs_response_result *result)
{
    struct asked *asked = describe->asked;
    struct option_entry *entries;

    if (describe->has_told_self) {
        describe_refuse(resource, KAFKA_INVALID_REQUEST, "asked for twice", &asked->arena, result);
        return;
    }
    describe->has_told_self = true;
    int count = options_describe(asked->controller->options, false, &asked->arena, &entries);
    describe_entries(&describe->request, resource, entries, count, &asked->arena, result);
}

static void sort_out(struct describe *describe)
{
    const struct describe_configs_request *in = &describe->request;
    struct asked *asked = describe->asked;

    for (int32_t i = 0; i < in->resources.count; i++) {
        const struct describe_configs_request_resource *resource = &in->resources.at[i];
        struct describe_configs_response_result *result = &describe->response.results.at[i];
        bool is_broker = resource->resource_type == RESOURCE_BROKER;

        result->resource_type = resource->resource_type;
        result->resource_name = resource->resource_name;
        if (resource->resource_type == RESOURCE_TOPIC ||
            (is_broker && resource->resource_name.len == 0))
            describe->passed[describe->passed_count++] = i;
        else if (is_broker && is_own_id(asked, resource->resource_name))
            tell_self(describe, resource, result);
        else
            describe_refuse(resource, KAFKA_INVALID_REQUEST,
                            is_broker ? "not the id of this controller" : "resource type not known",
                            &asked->arena, result);
    }
}

static void reply(struct describe *describe)
{
    struct asked *asked = describe->asked;

    describe->asked = NULL;
    asked_reply(asked, &describe_configs_response_wire, &describe->response);
}

static void give_up(struct describe *describe)
{
    for (int32_t i = 0; i < describe->passed_count; i++) {
        int32_t at = describe->passed[i];
        describe_refuse(&describe->request.resources.at[at], KAFKA_BROKER_NOT_AVAILABLE,
                        "no broker tells", &describe->asked->arena,
                        &describe->response.results.at[at]);
    }
    reply(describe);
}

static void describe_free(void *owner)
{
    struct describe *describe = owner;
    struct controller *c = describe->admin->controller;

    list_remove(&describe->node);
    describe->admin->passed--;
    ids_fini(&describe->brokers);
    free(describe);
    controller_check_stopped(c);
}

/* ---- what a broker tells ---- */

static void write_passed(struct peer_call *call, int version, struct buf *body)
{
    struct describe *describe = list_entry(call, struct describe, call);
    struct describe_configs_request out = describe->request;

    out.resources.count = describe->passed_count;
    out.resources.at =
        asked_alloc(describe->asked, (size_t)describe->passed_count * sizeof(*out.resources.at));
    for (int32_t i = 0; i < describe->passed_count; i++)
        out.resources.at[i] = describe->request.resources.at[describe->passed[i]];
    wire_write(body, version, &describe_configs_request_wire, &out);
}

/* The answers are borrowed from `told`, which lies until the reply is written. */
static enum err take_results(struct describe *describe, struct slice told, int version)
{
    struct describe_configs_response in;
    struct describe_configs_response_result *results = describe->response.results.at;

    enum err err =
        wire_read(told, version, &describe_configs_response_wire, &describe->asked->arena, &in);
    if (err != ERR_OK) return err;
    if (in.results.count != describe->passed_count) return ERR_CORRUPT;
    for (int32_t i = 0; i < describe->passed_count; i++) {
        struct slice name = results[describe->passed[i]].resource_name;
        int8_t type = results[describe->passed[i]].resource_type;
        if (in.results.at[i].resource_type != type ||
            !slice_equal(in.results.at[i].resource_name, name))
            return ERR_CORRUPT;
    }
    for (int32_t i = 0; i < describe->passed_count; i++)
        results[describe->passed[i]] = in.results.at[i];
    return ERR_OK;
}

static const struct control_endpoint *next_endpoint(struct describe *describe)
{
    const struct context *context = &describe->admin->controller->context;
    const struct control_endpoint *endpoint = NULL;

    while (endpoint == NULL && describe->tried < describe->brokers.count) {
        const struct broker *broker =
            context_broker(context, describe->brokers.at[describe->tried++]);
        if (broker != NULL)
            endpoint = broker_endpoint(broker, context->config.inter_broker_listener);
    }
    return endpoint;
}

static void answered(struct peer_call *call, enum err err, struct slice told, struct block *block);

/* False: there is no other broker. */
static bool try_next(struct describe *describe)
{
    struct controller *c = describe->admin->controller;
    const struct control_endpoint *endpoint = next_endpoint(describe);
    struct peer_options options = {
        .address = {.port = endpoint == NULL ? 0 : (uint16_t)endpoint->port},
        .socket = {.receive_buffer_bytes = -1, .send_buffer_bytes = -1},
        .limits = &c->limits,
        .in_flight_max = 1,
        .waiting_max = 1,
        .request_timeout_ms = ANSWER_MS,
        .connect_timeout_ms = CONNECT_MS,
        .negotiate = true,
        .owner = describe,
    };

    if (endpoint == NULL) return false;
    snprintf(options.address.host, sizeof(options.address.host), "%s", endpoint->host);
    peer_close(&describe->peer, NULL);
    describe->peer = peer_open(c->shard, &options);
    describe->call = (struct peer_call){.api_key = API_DESCRIBE_CONFIGS,
                                        .version_max = describe->asked->head.api_version,
                                        .write = write_passed,
                                        .done = answered};
    peer_send(describe->peer, &describe->call);
    return true;
}

static void answered(struct peer_call *call, enum err err, struct slice told, struct block *block)
{
    struct describe *describe = list_entry(call, struct describe, call);

    (void)block;
    if (describe->asked == NULL) return;
    bool is_closing = describe->peer == NULL;
    if (err == ERR_OK) err = take_results(describe, told, call->version);
    if (err == ERR_OK) {
        reply(describe);
    } else {
        log_info("controller", "describe-not-answered", "error=%s", err_name(err));
        if (!is_closing && err != ERR_CORRUPT && try_next(describe)) return;
        give_up(describe);
    }
    if (!is_closing) peer_close(&describe->peer, describe_free);
}

void describes_close(struct admin *admin)
{
    list_each (node, &admin->describes) {
        struct describe *describe = list_entry(node, struct describe, node);
        if (describe->peer != NULL) peer_close(&describe->peer, describe_free);
    }
}

void ask_describe_configs(struct asked *asked)
{
    struct describe *describe = ensure_zalloc(sizeof(*describe));
    struct admin *admin = asked->controller->admin;

    if (!asked_read(asked, &describe_configs_request_wire, &describe->request)) {
        free(describe);
        return;
    }
    int32_t count = describe->request.resources.count < 0 ? 0 : describe->request.resources.count;
    describe->asked = asked;
    describe->admin = admin;
    describe->passed = asked_alloc(asked, (size_t)(count + 1) * sizeof(*describe->passed));
    wire_default(&describe_configs_response_wire, &describe->response);
    describe->response.results.at =
        asked_alloc(asked, (size_t)(count + 1) * sizeof(*describe->response.results.at));
    describe->response.results.count = count;
    sort_out(describe);
    admin->passed++;
    list_push(&admin->describes, &describe->node);
    context_alive(&asked->controller->context, &describe->brokers);
    if (describe->passed_count > 0 && admin->passed <= PASSED_MAX && try_next(describe)) return;
    give_up(describe);
    describe_free(describe);
}
