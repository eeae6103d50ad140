/* broker/log/checkpoint.h - the small text files of a log directory, byte for byte Kafka's (storage
 * reference §1.3, §1.4).
 *
 *     0                      version
 *     2                      number of lines that follow
 *     orders 0 4711          topic partition offset; or, in leader-epoch-checkpoint: epoch offset
 *
 * Texts are made and read here without I/O; files are replaced whole with files_replace. Reading is
 * as strict and as tolerant as Kafka: fields may stand apart by any white space, a file of no bytes
 * or of a version alone has no entries; ERR_CORRUPT is a wrong version, count or number of fields
 * (takes the directory offline), ERR_INVALID a field of an entry that is no number (the caller
 * decides). */
#pragma once
#include "base/buf.h"
#include "base/uuid.h"
#include "broker/log/epochs.h"

#define CHECKPOINT_RECOVERY_POINT "recovery-point-offset-checkpoint"
#define CHECKPOINT_LOG_START      "log-start-offset-checkpoint"
#define CHECKPOINT_REPLICATION    "replication-offset-checkpoint"
#define CHECKPOINT_CLEANER        "cleaner-offset-checkpoint"
#define CHECKPOINT_EPOCHS         "leader-epoch-checkpoint"
#define CHECKPOINT_TOPIC_ID       "partition.metadata"
#define CHECKPOINT_CLEAN_SHUTDOWN ".kafka_cleanshutdown"
#define CHECKPOINT_META           "meta.properties"
#define CHECKPOINT_BYTES_MAX      ((size_t)256 << 20) /* a larger file is corrupt */

/* Offsets: begin, add each, end. `count` must be the number of adds. */
void checkpoint_begin(struct buf *out, size_t count);
void checkpoint_add(struct buf *out, struct slice topic, int32_t partition, int64_t offset);

/* Calls `entry` for each line; what was called before an error stays called. */
MUST_CHECK enum err checkpoint_read(struct slice text,
                                    void (*entry)(void *to, struct slice topic, int32_t partition,
                                                  int64_t offset),
                                    void *to);

void checkpoint_write_epochs(struct buf *out, const struct epochs *epochs);
/* Adds to `epochs`, which is empty. */
MUST_CHECK enum err checkpoint_read_epochs(struct slice text, struct epochs *epochs);

/* partition.metadata. ERR_CORRUPT if malformed or the id is zero. */
void checkpoint_write_topic_id(struct buf *out, struct uuid id);
MUST_CHECK enum err checkpoint_read_topic_id(struct slice text, struct uuid *id);
