#include "broker/group/group_log.h"
#include "cluster/level.h"
#include "wire/gen/offset_commit_record.h"
#include "wire/prim.h"

#define KEY_OFFSET_MAX   1
#define KEY_GROUP        2
#define KEY_OFFSET_WRITE 1

/* Values' versions, by what they brought. */
#define OFFSET_HAS_EXPIRY 1 /* and no later one has it */
#define OFFSET_PLAIN      2
#define OFFSET_HAS_EPOCH  3
#define GROUP_FIRST       0
#define GROUP_HAS_TIMEOUT 1
#define GROUP_HAS_SINCE   2
#define GROUP_HAS_STATIC  3

static enum err read_offset_key(struct slice in, struct arena *arena, struct group_log_key *out)
{
    struct offset_commit_key key;
    int version;
    enum err err = wire_read_versioned(in, &offset_commit_key_wire, arena, &version, &key);

    if (err != ERR_OK) return err;
    *out = (struct group_log_key){.kind = GROUP_LOG_OFFSET,
                                  .version = version,
                                  .group = key.group,
                                  .topic = key.topic,
                                  .partition = key.partition};
    return ERR_OK;
}

enum err group_log_read_key(struct slice in, struct arena *arena, struct group_log_key *out)
{
    struct group_metadata_key key;
    struct reader peek = reader_of(in);
    int version = reader_int16(&peek);

    if (peek.err != ERR_OK) return peek.err;
    if (version < 0) return ERR_CORRUPT;
    if (version <= KEY_OFFSET_MAX) return read_offset_key(in, arena, out);
    if (version != KEY_GROUP) {
        *out = (struct group_log_key){.kind = GROUP_LOG_UNKNOWN, .version = version};
        return ERR_OK;
    }
    enum err err = wire_read_versioned(in, &group_metadata_key_wire, arena, &version, &key);
    if (err != ERR_OK) return err;
    *out = (struct group_log_key){.kind = GROUP_LOG_GROUP, .version = version, .group = key.group};
    return ERR_OK;
}

enum err group_log_read_offset(struct slice in, struct arena *arena, struct offset_commit *out)
{
    struct offset_commit_value value;
    int version;
    enum err err = wire_read_versioned(in, &offset_commit_value_wire, arena, &version, &value);

    if (err != ERR_OK) return err;
    *out = (struct offset_commit){.offset = value.offset,
                                  .leader_epoch = value.leader_epoch,
                                  .metadata = value.metadata,
                                  .commit_ms = value.commit_timestamp,
                                  .expire_ms = value.expire_timestamp};
    return ERR_OK;
}

enum err group_log_read_group(struct slice in, struct arena *arena,
                              struct group_metadata_value *out)
{
    int version;

    return wire_read_versioned(in, &group_metadata_value_wire, arena, &version, out);
}

void group_log_write_offset_key(struct buf *out, struct slice group, struct slice topic,
                                int32_t partition)
{
    struct offset_commit_key key = {.group = group, .topic = topic, .partition = partition};

    wire_write_versioned(out, KEY_OFFSET_WRITE, &offset_commit_key_wire, &key);
}

void group_log_write_group_key(struct buf *out, struct slice group)
{
    struct group_metadata_key key = {.group = group};

    wire_write_versioned(out, KEY_GROUP, &group_metadata_key_wire, &key);
}

void group_log_write_offset(struct buf *out, int level, const struct offset_commit *commit)
{
    struct offset_commit_value value = {.offset = commit->offset,
                                        .leader_epoch = commit->leader_epoch,
                                        .metadata = commit->metadata,
                                        .commit_timestamp = commit->commit_ms,
                                        .expire_timestamp = commit->expire_ms};
    int version = level < LEVEL_2_1_IV0 || commit->expire_ms >= 0 ? OFFSET_HAS_EXPIRY
                  : level < LEVEL_2_1_IV1                         ? OFFSET_PLAIN
                                                                  : OFFSET_HAS_EPOCH;

    wire_write_versioned(out, version, &offset_commit_value_wire, &value);
}

void group_log_write_group(struct buf *out, int level, const struct group_metadata_value *value)
{
    int version = level < LEVEL_0_10_1_IV0 ? GROUP_FIRST
                  : level < LEVEL_2_1_IV0  ? GROUP_HAS_TIMEOUT
                  : level < LEVEL_2_3_IV0  ? GROUP_HAS_SINCE
                                           : GROUP_HAS_STATIC;

    wire_write_versioned(out, version, &group_metadata_value_wire, value);
}
