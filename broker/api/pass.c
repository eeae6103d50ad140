#include "broker/api/pass.h"
#include "base/ensure.h"
#include "broker/api/control.h"
#include "broker/api/forward.h"
#include "base/log.h"
#include "wire/frame.h"
#include "wire/gen/default_principal_data.h"
#include "wire/gen/envelope.h"
#include <arpa/inet.h>

/* For the controller's answer to come back after the time that the controller itself waits. */
#define ANSWER_GRACE_MS 1000

struct passing {
    struct request *request;
    const struct pass_kind *kind;
    struct forward_call call;
    struct image_watcher watcher;
    struct timer timer;
    struct instant deadline; /* of the wait for our own metadata */
    struct slice frame;      /* that a controller process gets */
    void *answer;            /* decoded */
    const void *noted;
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ---- the answer, held until it is true here ---- */

static void reply_now(struct passing *passing)
{
    struct request *request = passing->request;

    list_remove(&passing->watcher.node);
    timer_cancel(request->at->shard, &passing->timer);
    request_reply(request, passing->answer);
}

/* The work goes on; what is not seen yet is said not to be. */
static void reply_late(struct passing *passing)
{
    passing->kind->late(passing->request, passing->answer);
    reply_now(passing);
}

static void on_late(struct timer *timer)
{
    reply_late(CONTAINER(timer, struct passing, timer));
}

static void on_image(struct image_watcher *watcher)
{
    struct passing *passing = CONTAINER(watcher, struct passing, watcher);
    const struct request *request = passing->request;

    if (passing->kind->is_shown(request, passing->answer))
        reply_now(passing);
    else if (control_is_stopping(request->at->control))
        reply_late(passing);
}

static void hold_answer(struct passing *passing)
{
    struct request *request = passing->request;
    struct control *control = request->at->control;

    if (passing->kind->is_shown == NULL || passing->kind->is_shown(request, passing->answer)) {
        reply_now(passing);
        return;
    }
    if (control_is_stopping(control)) {
        reply_late(passing);
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
    passing->answer = arena_zalloc(&request->arena, passing->kind->answer_size);
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
    if (err == ERR_NOT_CONTROLLER ||
        (err == ERR_OK && passing->kind->is_not_controller(request, passing->answer))) {
        /* Of some of its topics it may have been, when the others were asked for. */
        if (err == ERR_OK) call->was_resent = true;
        forward_again(call);
        return;
    }
    switch (err) {
    case ERR_OK:
        if (call->was_resent && passing->kind->resent != NULL)
            passing->kind->resent(request, passing->noted, passing->answer);
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
    const struct passing *passing = CONTAINER(forward_call, struct passing, call);
    struct request *request = passing->request;
    uint8_t address[16];
    size_t address_len = address_bytes(request->host, address);
    struct envelope_request envelope;

    wire_default(&envelope_request_wire, &envelope);
    envelope.request_data = passing->frame;
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

/* The header as it came, and behind it `body`. */
static struct slice frame_with(struct request *request, const void *body)
{
    struct frame_request_head head;
    struct slice frame = request_frame(request), rest;
    struct buf out = {0};

    enum err err = frame_read_request_head(frame, &head, &rest);
    ensure(err == ERR_OK); /* it was read before */
    buf_add(&out, frame.ptr, frame.len - rest.len);
    wire_write(&out, request->version, request->api->request_wire, body);
    struct slice copy = arena_copy(&request->arena, buf_slice(&out));
    buf_fini(&out);
    return copy;
}

void pass_on(struct request *request, const struct pass_kind *kind)
{
    const void *filled = kind->filled == NULL ? NULL : kind->filled(request);
    struct passing *passing = arena_zalloc(&request->arena, sizeof(*passing));
    int64_t timeout_ms = kind->timeout_ms(request);

    passing->request = request;
    passing->kind = kind;
    passing->frame = filled == NULL ? request_frame(request) : frame_with(request, filled);
    if (kind->note != NULL) passing->noted = kind->note(request);
    passing->deadline =
        instant_add_ms(shard_now(request->at->shard), timeout_ms < 0 ? 0 : timeout_ms);
    passing->call.lane = FORWARD_ADMIN;
    passing->call.deadline = instant_add_ms(passing->deadline, ANSWER_GRACE_MS);
    passing->call.prepare = prepare;
    passing->call.done = on_passed;
    request_waits(request);
    forward_send(request->at->forward, &passing->call);
}
