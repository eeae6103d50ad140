/* broker/log/check.h - what may enter a log. Pure: reads and patches bytes, no I/O, no clock.
 *
 * A produced batch is checked once, in place, before it is appended: size, CRC, counts, record
 * walk, timestamps (storage reference §3). It comes out as one record batch v2 with offsets from 0,
 * ready for log_append_leader, which sets offset and leader epoch. Where the stored form must
 * differ from what was sent (message sets v0/v1, another codec), it is rebuilt in a buffer of the
 * caller's. Compressed batches are opened only when something asks: compacted topic, timestamp
 * bounds, another codec, old format, or validate_compressed; the highest timestamp of an unopened
 * one is its header's. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "broker/log/config.h"

/* Who wrote it: only coordinators may write control batches. */
enum check_origin { CHECK_CLIENT, CHECK_COORDINATOR };

struct check_request {
    uint8_t *bytes; /* borrowed for as long as the result is used; patched in place */
    size_t len;
    enum check_origin origin;
    const struct log_config *config;
    struct slice topic; /* for texts only */
    int32_t partition;
    int64_t now_ms;      /* wall clock, read once */
    struct arena *arena; /* texts of a refusal */
    struct buf *rebuilt; /* holds the batch if it had to be rebuilt; cleared first. Keep it as long
                            as the result */
};

/* What to append: whole v2 batches (of a client: one), offsets from 0. */
struct checked {
    uint8_t *bytes;
    size_t len;
    int64_t offset_count; /* offsets that it takes: last offset + 1 */
    int64_t record_count;
    int64_t max_timestamp;        /* -1: none */
    int64_t max_timestamp_offset; /* last offset of the batch that has it, from 0; -1: none */
    int64_t append_time_ms;       /* for the reply: -1 unless LogAppendTime */
    bool was_rebuilt;
};

/* For Produce v8+: only record errors have these; `message` null otherwise. Live in the arena. */
struct check_bad_record {
    int32_t index;
    struct slice message;
};
struct check_refusal {
    struct slice message;
    struct check_bad_record *records;
    int32_t count;
};

/* The rules that depend on the version of Produce alone (§3.1), before any log is asked:
 * ERR_INVALID_RECORD (87): v3+ without exactly one batch of magic 2; ERR_UNSUPPORTED (76): zstd
 * before v7. */
MUST_CHECK enum err check_version(int produce_version, struct slice records);

/* ERR_TOO_LARGE (10), ERR_CORRUPT (2), ERR_INVALID_RECORD (87), ERR_INVALID_TIMESTAMP (32):
 * refused, nothing may be appended, `*refusal` says more; ERR_INVALID: what Kafka answers with
 * UNKNOWN_SERVER_ERROR (-1): a codec that does not exist, a timestamp that cannot be rebuilt. */
MUST_CHECK enum err check_produce(const struct check_request *request, struct checked *out,
                                  struct check_refusal *refusal);

/* What came from a leader: whole batches of any magic, CRC right, last offsets ascending. Bytes
 * after the last whole batch are not looked at. ERR_CORRUPT: fetch again. ERR_RANGE: offsets do not
 * ascend. */
struct check_run {
    size_t len;           /* of the whole batches */
    int64_t first_offset; /* of v0/v1: the last offset of the first batch, the first is not known */
    int64_t last_offset;
    int32_t batches;
    int64_t max_timestamp;        /* -1: none */
    int64_t max_timestamp_offset; /* last offset of the first batch that has it; -1: none */
    bool is_legacy;               /* a batch of v0/v1 is there */
    bool has_holes;               /* offsets are missing between two batches: compacted away */
};
MUST_CHECK enum err check_replicated(struct slice bytes, struct check_run *out);
