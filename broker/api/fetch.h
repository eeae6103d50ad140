/* broker/api/fetch.h - Fetch: session, read at the owners, wait, reply with pieces of files.
 *
 * Record bytes do not enter user space (conn.c copies small pieces, where that is cheaper). A reply
 * is put together by the codec around splices (wire/codec.h). */
#pragma once
#include "broker/api/reads.h"
#include "broker/replica/sessions.h"

extern const struct api fetch_api;

struct fetch_shard {
    struct reads_shard reads;
    struct sessions sessions;
};

/* On a data shard, once; api->fetches is set to it. `session_slots`: of this shard. */
struct fetch_shard *fetch_open(struct api_shard *api, struct msg_routes *routes, int session_slots);
/* No fetch is under way. Sets to NULL; NULL is fine. */
void fetch_close(struct fetch_shard **fetches);

/* Kafka's code, in a reply of this version. `is_known`: the metadata has the partition. */
int16_t fetch_code(enum err err, bool is_known, int version);
