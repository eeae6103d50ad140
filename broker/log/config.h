/* broker/log/config.h - what a log is told to do: the topic's configuration, resolved. Open data,
 * filled by others (topic config over broker default) and copied into the log. Units are in the
 * names; a limit that is off is -1, or INT64_MAX where Kafka's default is that. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define LOG_COMPRESSION_PRODUCER (-1) /* as the producer sent it */

struct log_config {
    /* segments */
    int32_t segment_bytes_max;     /* segment.bytes */
    int64_t segment_ms_max;        /* segment.ms */
    int64_t segment_jitter_ms_max; /* segment.jitter.ms */
    int32_t index_bytes_max;       /* segment.index.bytes */
    int32_t index_interval_bytes;  /* index.interval.bytes */
    bool preallocate;              /* preallocate */

    /* clean-up */
    bool is_deleted;              /* cleanup.policy has "delete" */
    bool is_compacted;            /* cleanup.policy has "compact" */
    int64_t retention_ms;         /* retention.ms, -1: for ever */
    int64_t retention_bytes;      /* retention.bytes, -1: without limit */
    int64_t file_delete_delay_ms; /* file.delete.delay.ms */
    int64_t delete_retention_ms;  /* delete.retention.ms */
    int64_t compaction_lag_ms_min, compaction_lag_ms_max;
    double cleanable_ratio_min; /* min.cleanable.dirty.ratio */

    /* durability */
    int64_t flush_messages; /* flush.messages: sync after so many records */
    int64_t flush_ms;       /* flush.ms: sync what is older */
    bool leads_unclean; /* unclean.leader.election.enable: may lead without all it had promised */

    /* what producers may send */
    int32_t message_bytes_max;       /* max.message.bytes, of a batch with its prefix */
    bool is_append_time;             /* message.timestamp.type=LogAppendTime */
    int64_t timestamp_before_ms_max; /* message.timestamp.before.max.ms, INT64_MAX: off */
    int64_t timestamp_after_ms_max;  /* message.timestamp.after.max.ms, INT64_MAX: off */
    int8_t compression; /* codec 0–4 of compression.type, or LOG_COMPRESSION_PRODUCER */
    int gzip_level, lz4_level, zstd_level;
    bool downconverts; /* message.downconversion.enable: for fetchers of old versions */
    int64_t producer_expiration_ms; /* producer.id.expiration.ms */
    bool validate_compressed; /* ottla.validate.compressed: open every compressed batch */

    /* What the topic asks for is not known yet, and the above is the broker's own: its leader takes
     * no records. */
    bool is_awaited;
};

/* Kafka's defaults (storage reference §13). */
void log_config_default(struct log_config *out);
