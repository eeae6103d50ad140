/* broker/replica/sessions.h - incremental fetch sessions (KIP-227) of the connections of one shard.
 * Pure.
 *
 * A session remembers what its client fetches, so that a Fetch names only what changed and its
 * reply only what is new. Ids are unique on the broker: each shard gives those of its own residue.
 * Bounds: so many sessions, and so many remembered partitions in all of them; at the end of either
 * there is no new session, and its client goes on with full fetches. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "base/time.h"
#include "base/uuid.h"

/* Seconds of Kafka's cache: unused for so long, a session makes way for any; younger than that, a
 * consumer's makes way only for a follower's. */
#define SESSION_IDLE_MS 120000

/* One partition as its client asks for it. */
struct session_ask {
    struct slice topic;   /* by name, or … */
    struct uuid topic_id; /* … by id (v13+), the name being empty */
    int32_t partition;
    int32_t leader_epoch;
    int64_t offset;
    int32_t last_epoch;
    int64_t log_start;
    int32_t bytes_max;
};

/* What a reply says of it. */
struct session_told {
    int64_t high_watermark, log_start;
    bool has_records; /* bytes of them */
    bool has_error;
    bool is_special; /* diverging epoch or preferred replica */
};

struct session_part {
    struct list_node order;
    struct session_ask ask;            /* `topic` is its own copy */
    int64_t high_watermark, log_start; /* as last told; −1 after an error */
};

struct session {
    int32_t id;
    int32_t epoch; /* of the next request */
    bool is_follower, has_ids;
    struct instant created, used;
    struct list order; /* session_part: as they are served */
    struct map parts;
    struct list_node by_use; /* longest unused first */
};

struct sessions {
    struct map by_id;
    struct list by_use;
    int slots_max;
    size_t parts_max, parts; /* of all sessions */
    int shard, shards;
    uint64_t evicted; /* for a metric */
};

void sessions_init(struct sessions *sessions, int slots_max, size_t parts_max, int shard,
                   int shards);
void sessions_fini(struct sessions *sessions);
static inline int sessions_count(const struct sessions *sessions)
{
    return (int)sessions->by_id.count;
}

/* Ends it; one that is not there is fine. */
void sessions_close(struct sessions *sessions, int32_t id);
/* NULL when it is not there. */
struct session *sessions_find(const struct sessions *sessions, int32_t id);

/* An incremental request comes: ERR_NOT_FOUND (70), ERR_STALE: not the epoch that is next (71),
 * ERR_INVALID: ids in a session by names, or the reverse (106). ERR_OK: its epoch has moved on. */
MUST_CHECK enum err sessions_continue(struct sessions *sessions, int32_t id, int32_t epoch,
                                      bool has_ids, struct instant now, struct session **out);
/* Adds a partition or changes how it is asked for. ERR_LIMIT: too many in all,
 * or a name that no topic has; then close it. */
MUST_CHECK enum err session_ask(struct sessions *sessions, struct session *session,
                                const struct session_ask *ask);
void session_forget(struct sessions *sessions, struct session *session, struct slice topic,
                    struct uuid topic_id, int32_t partition);

/* After a full fetch: a session for `count` partitions, or NULL when none may be made now. `random`
 * is luck for the id. The parts come by session_ask, then session_tell. */
struct session *sessions_create(struct sessions *sessions, bool is_follower, bool has_ids,
                                size_t count, struct instant now, uint64_t random);

/* Whether an incremental reply has to name the partition; remembers what it says. One with records
 * goes to the end of the order, so that a busy partition does not starve the others. NULL part:
 * true. */
bool session_tell(struct session *session, struct session_part *part,
                  const struct session_told *told);
struct session_part *session_part_of(const struct session *session, struct slice topic,
                                     struct uuid topic_id, int32_t partition);
/* The epoch after `epoch`: from 2147483647 on to 1. */
int32_t session_epoch_after(int32_t epoch);
