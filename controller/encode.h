/* controller/encode.h - control requests to bytes, and their answers to events. Pure.
 *
 * Versions follow from inter.broker.protocol.version; nothing is negotiated on this way. */
#pragma once
#include "cluster/level.h"
#include "controller/context.h"

struct control_versions {
    int leader_and_isr, update_metadata, stop_replica;
};
struct control_versions encode_versions(enum level level);

int16_t encode_api(enum control_kind kind);
int encode_version(const struct control_versions *versions, enum control_kind kind);

/* The body, behind the header. For stop replica below version 3 only the items whose is_delete is
 * `is_delete` are written (a request has one flag): see encode_is_split. */
void encode_request(struct buf *out, const struct control *control, int version,
                    int32_t controller_id, bool is_delete);
/* The request has to be sent as two: first what is deleted, then what is not. */
bool encode_is_split(const struct control *control, int version);

/* What the answer says, as an event; NULL when nothing follows from it (or it cannot be read: then
 * `*err` says so). `error` is the Kafka code at the top. */
struct event *encode_read_answer(const struct control *control, int version, struct slice answer,
                                 enum err *err, int16_t *error);
