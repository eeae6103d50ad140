/* broker/log/config.c - Kafka's defaults. */
#include "broker/log/config.h"

void log_config_default(struct log_config *out)
{
    *out = (struct log_config){
        .segment_bytes_max = 1073741824,
        .segment_ms_max = 604800000,
        .segment_jitter_ms_max = 0,
        .index_bytes_max = 10485760,
        .index_interval_bytes = 4096,
        .is_deleted = true,
        .retention_ms = 604800000,
        .retention_bytes = -1,
        .file_delete_delay_ms = 60000,
        .delete_retention_ms = 86400000,
        .compaction_lag_ms_max = INT64_MAX,
        .cleanable_ratio_min = 0.5,
        .flush_messages = INT64_MAX,
        .flush_ms = INT64_MAX,
        .message_bytes_max = 1048588,
        .timestamp_before_ms_max = INT64_MAX,
        .timestamp_after_ms_max = INT64_MAX,
        .compression = LOG_COMPRESSION_PRODUCER,
        .gzip_level = -1,
        .lz4_level = 9,
        .zstd_level = 3,
        .downconverts = true,
        .producer_expiration_ms = 86400000,
    };
}
