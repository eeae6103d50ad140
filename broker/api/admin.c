/* broker/api/admin.c - what only the active controller does: CreateTopics, DeleteTopics,
 * CreatePartitions.
 *
 * Passed on with the caller's principal in an Envelope; to an Apache controller, which opens no
 * envelopes, as the plain request. The answer is held until this broker's own metadata shows the
 * result, as far as the request's time allows: who has created a topic here finds it here. */
#include "broker/api/control.h"
#include "broker/api/forward.h"
#include "broker/api/table.h"
#include "base/ensure.h"
#include "base/log.h"
#include "cluster/image.h"
#include "wire/frame.h"
#include "wire/gen/create_partitions.h"
#include "wire/gen/create_topics.h"
#include "wire/gen/default_principal_data.h"
#include "wire/gen/delete_topics.h"
#include "wire/gen/envelope.h"
#include <arpa/inet.h>

/* For the controller's answer to come back after the time that the controller itself waits. */
#define ANSWER_GRACE_MS 1000

struct passing {
    struct request *request;
    struct forward_call call;
    struct image_watcher watcher;
    struct timer timer;
    struct instant deadline; /* of the wait for our own metadata */
    void *answer;            /* decoded */
    int64_t timeout_ms;
    bool is_validate_only;
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ---- what differs between the three ---- */

static int64_t timeout_of(const struct request *request)
{
    if (request->api == &create_topics_api)
        return ((const struct create_topics_request *)request->body)->timeout_ms;
    if (request->api == &delete_topics_api)
        return ((const struct delete_topics_request *)request->body)->timeout_ms;
    return ((const struct create_partitions_request *)request->body)->timeout_ms;
}

static bool is_validate_only(const struct request *request)
{
    if (request->api == &create_topics_api)
        return ((const struct create_topics_request *)request->body)->validate_only;
    if (request->api == &create_partitions_api)
        return ((const struct create_partitions_request *)request->body)->validate_only;
    return false;
}

static size_t answer_size(const struct request *request)
{
    if (request->api == &create_topics_api) return sizeof(struct create_topics_response);
    if (request->api == &delete_topics_api) return sizeof(struct delete_topics_response);
    return sizeof(struct create_partitions_response);
}

static bool every_partition_is_led(const struct image_topic *topic, int32_t count)
{
    int known = image_topic_partition_count(topic);

    if (known < count) return false;
    for (int i = 0; i < known; i++)
        if (image_topic_partition_at(topic, i).leader < 0) return false;
    return known > 0;
}

/* How many partitions the request wanted; 0 when it left that open. */
static int32_t asked_count(const struct request *request, struct slice name)
{
    if (request->api == &create_partitions_api) {
        const struct create_partitions_request *in = request->body;
        for (int32_t i = 0; i < in->topics.count; i++)
            if (slice_equal(in->topics.at[i].name, name)) return in->topics.at[i].count;
        return 0;
    }
    const struct create_topics_request *in = request->body;
    for (int32_t i = 0; i < in->topics.count; i++)
        if (slice_equal(in->topics.at[i].name, name))
            return in->topics.at[i].num_partitions > 0 ? in->topics.at[i].num_partitions
                                                       : in->topics.at[i].assignments.count;
    return 0;
}

/* Gives the code of result number `i`, to be read or set, with its topic; NULL behind the last. */
static int16_t *result_at(const struct passing *passing, int32_t i, struct slice *name,
                          struct uuid *id)
{
    const struct request *request = passing->request;

    *id = UUID_ZERO;
    if (request->api == &create_topics_api) {
        struct create_topics_response *out = passing->answer;
        if (i >= out->topics.count) return NULL;
        *name = out->topics.at[i].name;
        return &out->topics.at[i].error_code;
    }
    if (request->api == &delete_topics_api) {
        struct delete_topics_response *out = passing->answer;
        if (i >= out->responses.count) return NULL;
        *name = out->responses.at[i].name;
        *id = out->responses.at[i].topic_id;
        return &out->responses.at[i].error_code;
    }
    struct create_partitions_response *out = passing->answer;
    if (i >= out->results.count) return NULL;
    *name = out->results.at[i].name;
    return &out->results.at[i].error_code;
}

/* Whether our own metadata shows what was done. */
static bool is_shown(const struct request *request, struct slice name, struct uuid id)
{
    const struct image *image = request->at->image;
    const struct image_topic *topic = image_topic(image, name);

    if (request->api == &delete_topics_api) {
        /* A topic of that name that was created anew is another one. */
        return topic == NULL || (!uuid_is_zero(id) && !uuid_equal(image_topic_id(topic), id));
    }
    return topic != NULL && every_partition_is_led(topic, asked_count(request, name));
}

static bool all_shown(const struct passing *passing)
{
    struct slice name;
    struct uuid id;
    int16_t *code;

    for (int32_t i = 0; (code = result_at(passing, i, &name, &id)) != NULL; i++)
        if (*code == KAFKA_NONE && !is_shown(passing->request, name, id)) return false;
    return true;
}

static bool is_not_controller(const struct passing *passing)
{
    struct slice name;
    struct uuid id;
    int16_t *code;

    for (int32_t i = 0; (code = result_at(passing, i, &name, &id)) != NULL; i++)
        if (*code == KAFKA_NOT_CONTROLLER) return true;
    return false;
}

/* ---- the answer, held until it is true here ---- */

static void reply_now(struct passing *passing)
{
    struct request *request = passing->request;

    list_remove(&passing->watcher.node);
    timer_cancel(request->at->shard, &passing->timer);
    request_reply(request, passing->answer);
}

static void on_image(struct image_watcher *watcher)
{
    struct passing *passing = CONTAINER(watcher, struct passing, watcher);

    if (all_shown(passing)) reply_now(passing);
}

/* The work goes on; what is not seen yet is said not to be. */
static void on_late(struct timer *timer)
{
    struct passing *passing = CONTAINER(timer, struct passing, timer);
    struct slice name;
    struct uuid id;
    int16_t *code;

    for (int32_t i = 0; (code = result_at(passing, i, &name, &id)) != NULL; i++)
        if (*code == KAFKA_NONE && !is_shown(passing->request, name, id))
            *code = KAFKA_REQUEST_TIMED_OUT;
    reply_now(passing);
}

static void hold_answer(struct passing *passing)
{
    struct request *request = passing->request;
    struct control *control = request->at->control;

    if (passing->is_validate_only || all_shown(passing)) {
        reply_now(passing);
        return;
    }
    passing->watcher.changed = on_image;
    control_watch(control, &passing->watcher);
    passing->timer.fire = on_late;
    timer_arm(request->at->shard, &passing->timer, passing->deadline);
}

/* ---- there and back ---- */

static enum err read_answer(struct passing *passing, struct slice body)
{
    struct request *request = passing->request;

    /* The answer outlives the buffer that it came in. */
    body = arena_copy(&request->arena, body);
    passing->answer = arena_zalloc(&request->arena, answer_size(request));
    return wire_read(body, request->version, request->api->response_wire, &request->arena,
                     passing->answer);
}

/* Opens the controller's envelope. */
static enum err read_envelope(struct passing *passing, struct slice answer)
{
    struct request *request = passing->request;
    struct envelope_response envelope;
    struct slice body;
    int32_t correlation_id;

    enum err err = wire_read(answer, 0, &envelope_response_wire, &request->arena, &envelope);
    if (err == ERR_OK && envelope.error_code == KAFKA_NOT_CONTROLLER) return ERR_NOT_CONTROLLER;
    if (err == ERR_OK && envelope.error_code != KAFKA_NONE) return ERR_DENIED;
    if (err == ERR_OK)
        err = frame_read_response_head(envelope.response_data, request->api->key, request->version,
                                       &correlation_id, &body);
    return err == ERR_OK ? read_answer(passing, body) : err;
}

static void on_passed(struct forward_call *call, enum err err, struct slice answer)
{
    struct passing *passing = CONTAINER(call, struct passing, call);
    struct request *request = passing->request;

    if (err == ERR_OK)
        err = call->to_broker ? read_answer(passing, answer) : read_envelope(passing, answer);
    if (err == ERR_NOT_CONTROLLER || (err == ERR_OK && is_not_controller(passing))) {
        forward_again(call);
        return;
    }
    switch (err) {
    case ERR_OK:
        hold_answer(passing);
        return;
    case ERR_TIMED_OUT:
        request_fail(request, KAFKA_REQUEST_TIMED_OUT);
        return;
    case ERR_UNSUPPORTED:
        request_fail(request, KAFKA_UNSUPPORTED_VERSION);
        return;
    default:
        log_warn("broker", "controller-answer-unreadable", "api=%s why=%s",
                 api_info_name(request->api->key), err_name(err));
        request_fail(request, KAFKA_UNKNOWN_SERVER_ERROR);
    }
}

/* "User:ANONYMOUS" as Kafka's principal serde has it: a version, then the fields. */
static struct slice write_principal(struct request *request)
{
    struct default_principal_data data;
    struct slice type = SLICE("User"), name = request->principal, head;
    struct buf *out = arena_zalloc(&request->arena, sizeof(*out));

    if (slice_cut(&name, ':', &head)) type = head;
    wire_default(&default_principal_data_wire, &data);
    data.type = type;
    data.name = name;
    wire_write_versioned(out, 0, &default_principal_data_wire, &data);
    struct slice copy = arena_copy(&request->arena, buf_slice(out));
    buf_fini(out);
    return copy;
}

/* 4 or 16 bytes, as the envelope has it. */
static size_t address_bytes(const char *host, uint8_t address[16])
{
    if (inet_pton(AF_INET, host, address) == 1) return 4;
    if (inet_pton(AF_INET6, host, address) == 1) return 16;
    memset(address, 0, 4);
    return 4;
}

static void write_envelope(struct peer_call *call, int version, struct buf *body)
{
    struct forward_call *forward_call = CONTAINER(call, struct forward_call, call);
    struct request *request = CONTAINER(forward_call, struct passing, call)->request;
    uint8_t address[16];
    size_t address_len = address_bytes(request->host, address);
    struct envelope_request envelope;

    wire_default(&envelope_request_wire, &envelope);
    envelope.request_data = request_frame(request);
    envelope.request_principal = write_principal(request);
    envelope.client_host_address = slice_of(address, address_len);
    wire_write(body, version, &envelope_request_wire, &envelope);
}

static void write_plain(struct peer_call *call, int version, struct buf *body)
{
    struct forward_call *forward_call = CONTAINER(call, struct forward_call, call);
    struct request *request = CONTAINER(forward_call, struct passing, call)->request;

    wire_write(body, version, request->api->request_wire, request->body);
}

static void prepare(struct forward_call *call, bool is_broker)
{
    struct request *request = CONTAINER(call, struct passing, call)->request;
    struct peer_call *peer = &call->call;

    if (is_broker) {
        peer->api_key = request->api->key;
        peer->version_min = peer->version_max = request->version;
        peer->write = write_plain;
    } else {
        peer->api_key = API_ENVELOPE;
        peer->version_min = peer->version_max = 0;
        peer->write = write_envelope;
    }
}

static void pass_on(struct request *request)
{
    struct passing *passing = arena_zalloc(&request->arena, sizeof(*passing));
    struct instant now = shard_now(request->at->shard);
    int64_t timeout_ms = timeout_of(request);

    if (timeout_ms < 0) timeout_ms = 0;
    passing->request = request;
    passing->timeout_ms = timeout_ms;
    passing->is_validate_only = is_validate_only(request);
    passing->deadline = instant_add_ms(now, timeout_ms);
    passing->call.lane = FORWARD_ADMIN;
    passing->call.deadline = instant_add_ms(passing->deadline, ANSWER_GRACE_MS);
    passing->call.prepare = prepare;
    passing->call.done = on_passed;
    forward_send(request->at->forward, &passing->call);
}

/* ---- refusals ---- */

static const void *create_topics_refuse(struct request *request, int16_t code)
{
    const struct create_topics_request *in = request->body;
    struct create_topics_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int count = in->topics.count < 0 ? 0 : in->topics.count;

    wire_default(&create_topics_response_wire, out);
    out->topics.at = arena_zalloc(&request->arena, sizeof(*out->topics.at) * (size_t)(count + 1));
    out->topics.count = count;
    for (int i = 0; i < count; i++)
        out->topics.at[i] = (struct create_topics_response_topic){.name = in->topics.at[i].name,
                                                                  .error_code = code,
                                                                  .num_partitions = -1,
                                                                  .replication_factor = -1};
    return out;
}

static const void *delete_topics_refuse(struct request *request, int16_t code)
{
    const struct delete_topics_request *in = request->body;
    struct delete_topics_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int named = in->topic_names.count < 0 ? 0 : in->topic_names.count;
    int topics = in->topics.count < 0 ? 0 : in->topics.count;

    wire_default(&delete_topics_response_wire, out);
    out->responses.at =
        arena_zalloc(&request->arena, sizeof(*out->responses.at) * (size_t)(named + topics + 1));
    out->responses.count = named + topics;
    for (int i = 0; i < named; i++)
        out->responses.at[i] = (struct delete_topics_response_response){
            .name = in->topic_names.at[i], .error_code = code};
    for (int i = 0; i < topics; i++)
        out->responses.at[named + i] =
            (struct delete_topics_response_response){.name = in->topics.at[i].name,
                                                     .topic_id = in->topics.at[i].topic_id,
                                                     .error_code = code};
    return out;
}

static const void *create_partitions_refuse(struct request *request, int16_t code)
{
    const struct create_partitions_request *in = request->body;
    struct create_partitions_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int count = in->topics.count < 0 ? 0 : in->topics.count;

    wire_default(&create_partitions_response_wire, out);
    out->results.at = arena_zalloc(&request->arena, sizeof(*out->results.at) * (size_t)(count + 1));
    out->results.count = count;
    for (int i = 0; i < count; i++)
        out->results.at[i] = (struct create_partitions_response_result){
            .name = in->topics.at[i].name, .error_code = code};
    return out;
}

const struct api create_topics_api = {
    .key = API_CREATE_TOPICS,
    .version_min = 0,
    .version_max = 7,
    .request_wire = &create_topics_request_wire,
    .response_wire = &create_topics_response_wire,
    .request_size = sizeof(struct create_topics_request),
    .place = API_ON_CONTROL,
    .handle = pass_on,
    .refuse = create_topics_refuse,
};

const struct api delete_topics_api = {
    .key = API_DELETE_TOPICS,
    .version_min = 0,
    .version_max = 6,
    .request_wire = &delete_topics_request_wire,
    .response_wire = &delete_topics_response_wire,
    .request_size = sizeof(struct delete_topics_request),
    .place = API_ON_CONTROL,
    .handle = pass_on,
    .refuse = delete_topics_refuse,
};

const struct api create_partitions_api = {
    .key = API_CREATE_PARTITIONS,
    .version_min = 0,
    .version_max = 3,
    .request_wire = &create_partitions_request_wire,
    .response_wire = &create_partitions_response_wire,
    .request_size = sizeof(struct create_partitions_request),
    .place = API_ON_CONTROL,
    .handle = pass_on,
    .refuse = create_partitions_refuse,
};
