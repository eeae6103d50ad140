#include "tools/log_dirs_text.h"
#include "wire/protocol.h"

static void write_text(struct buf *out, struct slice text)
{
    buf_add_text(out, "\"");
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20)
            buf_printf(out, "\\u%04x", c);
        else
            buf_add(out, &c, 1);
    }
    buf_add_text(out, "\"");
}

static bool is_wanted(struct slice topic, const struct slice *topics, int count)
{
    for (int i = 0; i < count; i++)
        if (slice_equal(topics[i], topic)) return true;
    return count == 0;
}

static void write_dir(struct buf *out, const struct describe_log_dirs_response_result *dir,
                      const struct slice *topics, int count)
{
    int written = 0;

    buf_add_text(out, "{\"logDir\":");
    write_text(out, dir->log_dir);
    if (dir->error_code == KAFKA_NONE)
        buf_add_text(out, ",\"error\":null,\"partitions\":[");
    else
        buf_printf(out, ",\"error\":\"%s\",\"partitions\":[", kafka_error_name(dir->error_code));
    for (int32_t t = 0; t < dir->topics.count; t++) {
        const struct describe_log_dirs_response_result_topic *topic = &dir->topics.at[t];
        for (int32_t p = 0; is_wanted(topic->name, topics, count) && p < topic->partitions.count;
             p++) {
            const struct describe_log_dirs_response_result_topic_partition *part =
                &topic->partitions.at[p];
            buf_printf(out,
                       "%s{\"partition\":\"%.*s-%d\",\"size\":%lld,\"offsetLag\":%lld,"
                       "\"isFuture\":%s}",
                       written++ == 0 ? "" : ",", SLICE_ARGS(topic->name), part->partition_index,
                       (long long)part->partition_size, (long long)part->offset_lag,
                       part->is_future_key ? "true" : "false");
        }
    }
    buf_add_text(out, "]");
    if (dir->total_bytes >= 0)
        buf_printf(out, ",\"totalBytes\":%lld,\"usableBytes\":%lld", (long long)dir->total_bytes,
                   (long long)dir->usable_bytes);
    buf_add_text(out, "}");
}

void log_dirs_write(struct buf *out, int32_t broker,
                    const struct describe_log_dirs_response *response, const struct slice *topics,
                    int count)
{
    buf_printf(out, "{\"broker\":%d,\"logDirs\":[", broker);
    for (int32_t i = 0; i < response->results.count; i++) {
        if (i > 0) buf_add_text(out, ",");
        write_dir(out, &response->results.at[i], topics, count);
    }
    buf_add_text(out, "]}");
}

int64_t log_dirs_size(const struct describe_log_dirs_response *response, struct topic_partition at)
{
    for (int32_t d = 0; d < response->results.count; d++)
        for (int32_t t = 0; t < response->results.at[d].topics.count; t++) {
            const struct describe_log_dirs_response_result_topic *topic =
                &response->results.at[d].topics.at[t];
            for (int32_t p = 0; slice_equal(topic->name, at.topic) && p < topic->partitions.count;
                 p++)
                if (topic->partitions.at[p].partition_index == at.partition &&
                    !topic->partitions.at[p].is_future_key)
                    return topic->partitions.at[p].partition_size;
        }
    return -1;
}
