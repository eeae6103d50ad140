/* controller/asked.c - see asked.h. */
#include "controller/asked.h"
#include "base/ensure.h"
#include "base/log.h"
#include "wire/gen/envelope.h"
#include <stdlib.h>

struct sent {
    struct reply reply;
    struct reply_piece piece;
    struct buf bytes;
};

static void sent_done(struct reply *reply)
{
    struct sent *sent = list_entry(reply, struct sent, reply);

    buf_fini(&sent->bytes);
    free(sent);
}

static void asked_free(struct asked *asked)
{
    list_remove(&asked->node);
    block_drop(&asked->block);
    arena_fini(&asked->arena);
    free(asked);
}

void *asked_alloc(struct asked *asked, size_t size)
{
    return arena_zalloc(&asked->arena, size);
}

const char *asked_listener(struct asked *asked)
{
    struct controller *c = asked->controller;

    if (asked->client == NULL) return "";
    struct slice name = c->listeners->at[asked->client->listener].name;
    char *text = asked_alloc(asked, name.len + 1);
    memcpy(text, name.ptr, name.len);
    return text;
}

/* Takes the bytes. */
static void send_frame(struct asked *asked, struct buf *bytes)
{
    struct sent *sent = ensure_zalloc(sizeof(*sent));

    sent->bytes = *bytes;
    *bytes = (struct buf){0};
    sent->piece.bytes = buf_slice(&sent->bytes);
    sent->piece.len = sent->bytes.len;
    sent->reply.pieces = &sent->piece;
    sent->reply.count = 1;
    sent->reply.done = sent_done;
    conn_reply(asked->client->conn, asked->ticket, &sent->reply);
}

static void send_envelope(struct asked *asked, struct slice inner, int16_t error)
{
    struct envelope_response response = {.response_data = inner, .error_code = error};
    struct buf bytes = {0};

    frame_write_response_head(&bytes, API_ENVELOPE, asked->envelope.api_version,
                              asked->envelope.correlation_id);
    wire_write(&bytes, asked->envelope.api_version, &envelope_response_wire, &response);
    send_frame(asked, &bytes);
}

void asked_reply(struct asked *asked, const struct wire_struct *type, const void *response)
{
    struct buf bytes = {0};

    if (asked->client != NULL) {
        frame_write_response_head(&bytes, asked->head.api_key, asked->head.api_version,
                                  asked->head.correlation_id);
        wire_write(&bytes, asked->head.api_version, type, response);
        if (asked->is_enveloped)
            send_envelope(asked, buf_slice(&bytes), KAFKA_NONE);
        else
            send_frame(asked, &bytes);
        buf_fini(&bytes);
    }
    asked_free(asked);
}

void asked_refuse_envelope(struct asked *asked, int16_t error)
{
    if (asked->client != NULL) send_envelope(asked, SLICE_NULL, error);
    asked_free(asked);
}

void asked_close(struct asked *asked, const char *why)
{
    if (asked->client != NULL) {
        log_info("controller", "connection-closed", "why=%s api=%d version=%d", why,
                 asked->head.api_key, asked->head.api_version);
        conn_no_reply(asked->client->conn, asked->ticket);
        conn_close(asked->client->conn, true);
    }
    asked_free(asked);
}

bool asked_read(struct asked *asked, const struct wire_struct *type, void *out)
{
    enum err err = wire_read(asked->body, asked->head.api_version, type, &asked->arena, out);

    if (err == ERR_OK) return true;
    asked_close(asked, err_name(err));
    return false;
}

struct event *asked_event(struct asked *asked, enum event_type type)
{
    struct event *event = event_create(type);

    event->caller = asked;
    event->version = asked->head.api_version;
    return event;
}

int16_t kafka_code(enum answer answer)
{
    switch (answer) {
    case ANSWER_OK:
        return KAFKA_NONE;
    case ANSWER_UNKNOWN_ERROR:
        return KAFKA_UNKNOWN_SERVER_ERROR;
    case ANSWER_UNKNOWN_PARTITION:
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    case ANSWER_UNKNOWN_TOPIC_ID:
        return KAFKA_UNKNOWN_TOPIC_ID;
    case ANSWER_NOT_CONTROLLER:
        return KAFKA_NOT_CONTROLLER;
    case ANSWER_FENCED_EPOCH:
        return KAFKA_FENCED_LEADER_EPOCH;
    case ANSWER_INVALID_VERSION:
        return KAFKA_INVALID_UPDATE_VERSION;
    case ANSWER_INVALID_REQUEST:
        return KAFKA_INVALID_REQUEST;
    case ANSWER_INVALID_TOPIC:
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    case ANSWER_INELIGIBLE_REPLICA:
        return KAFKA_INELIGIBLE_REPLICA;
    case ANSWER_STALE_BROKER_EPOCH:
        return KAFKA_STALE_BROKER_EPOCH;
    case ANSWER_BROKER_NOT_AVAILABLE:
        return KAFKA_BROKER_NOT_AVAILABLE;
    case ANSWER_BROKER_NOT_REGISTERED:
        return KAFKA_BROKER_ID_NOT_REGISTERED;
    case ANSWER_NOT_NEEDED:
        return KAFKA_ELECTION_NOT_NEEDED;
    case ANSWER_PREFERRED_NOT_AVAILABLE:
        return KAFKA_PREFERRED_LEADER_NOT_AVAILABLE;
    case ANSWER_NO_ELIGIBLE_LEADER:
        return KAFKA_ELIGIBLE_LEADERS_NOT_AVAILABLE;
    case ANSWER_NO_REASSIGNMENT:
        return KAFKA_NO_REASSIGNMENT_IN_PROGRESS;
    case ANSWER_INVALID_ASSIGNMENT:
        return KAFKA_INVALID_REPLICA_ASSIGNMENT;
    }
    return KAFKA_UNKNOWN_SERVER_ERROR;
}
