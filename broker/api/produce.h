/* broker/api/produce.h - Produce: split by owner shard, append, wait for acks=all, reply.
 *
 * Each request is on its way by itself: the next one's append does not wait for the acks=all of the
 * one before; only replies keep order (dispatch.h). What waits holds the request's frame until its
 * appends are done, afterwards only the few words of the wait. */
#pragma once
#include "broker/api/dispatch.h"

extern const struct api produce_api;

/* On a data shard, once: hears MSG_APPEND and MSG_APPEND_COMMITTED. `api` outlives the shard's
 * turns, api->partitions is set. */
void produce_open(struct api_shard *api, struct msg_routes *routes);

/* Kafka's code for what partitions_append and its waits say. `is_known`: the metadata has the
 * partition (then it is merely not here). */
int16_t produce_code(enum err err, bool is_known);
