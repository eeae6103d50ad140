/* broker/group/group_log.h - keys and values of __consumer_offsets. Pure.
 *
 * Every version that Kafka 3.9 may have written is read; what is written is what Kafka 3.9 writes
 * at the given inter.broker.protocol.version. A record begins with its version (int16); the key's
 * says what the record is. Kinds that are not the classic group's are told as such, to be skipped,
 * until their coordinators are here. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "broker/group/offsets.h"
#include "wire/gen/group_metadata.h"

enum group_log_kind {
    GROUP_LOG_OFFSET,  /* key versions 0, 1 */
    GROUP_LOG_GROUP,   /* key version 2 */
    GROUP_LOG_UNKNOWN, /* other types of groups (from 3 on), or newer than we are */
};

struct group_log_key {
    enum group_log_kind kind;
    int version;
    struct slice group, topic; /* borrows from the input; null if unknown */
    int32_t partition;
};

/* ERR_CORRUPT, ERR_TRUNCATED: not a key. */
MUST_CHECK enum err group_log_read_key(struct slice in, struct arena *arena,
                                       struct group_log_key *out);
/* Values of their kinds. `in` is not null: that is a tombstone. ERR_UNSUPPORTED: newer than known.
 * Borrows from the input and the arena. */
MUST_CHECK enum err group_log_read_offset(struct slice in, struct arena *arena,
                                          struct offset_commit *out);
MUST_CHECK enum err group_log_read_group(struct slice in, struct arena *arena,
                                         struct group_metadata_value *out);

/* Append to `out`. `level` is enum level: inter.broker.protocol.version. */
void group_log_write_offset_key(struct buf *out, struct slice group, struct slice topic,
                                int32_t partition);
void group_log_write_group_key(struct buf *out, struct slice group);
void group_log_write_offset(struct buf *out, int level, const struct offset_commit *commit);
void group_log_write_group(struct buf *out, int level, const struct group_metadata_value *value);
