/* broker/api/offsets.h - ListOffsets and OffsetForLeaderEpoch: where in a log something is. */
#pragma once
#include "broker/api/dispatch.h"

extern const struct api list_offsets_api, offset_for_leader_epoch_api;

/* On a data shard, once: hears MSG_LIST_OFFSETS and MSG_EPOCH_END. */
void offsets_open(struct api_shard *api, struct msg_routes *routes);

/* Kafka's code, in a reply of this version of ListOffsets. */
int16_t offsets_code(enum err err, bool is_known, int version);
