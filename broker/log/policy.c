/* broker/log/policy.c - see policy.h. */
#include "broker/log/policy.h"

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t segment_ms_max(const struct log_config *config)
{
    if (config->is_compacted && config->compaction_lag_ms_max > 0)
        return smaller(config->segment_ms_max, config->compaction_lag_ms_max);
    return config->segment_ms_max;
}

bool policy_must_roll(const struct log_config *config, const struct policy_append *append)
{
    if (append->segment_size > config->segment_bytes_max - append->len) return true;

    /* Timestamps are the clients' and may be anything: the difference is taken with care. */
    int64_t waited;
    bool over =
        append->first_timestamp >= 0
            ? __builtin_sub_overflow(append->max_timestamp, append->first_timestamp, &waited)
            : __builtin_sub_overflow(append->now_ms, append->opened_ms, &waited);
    if (!over && append->segment_size > 0 && waited > segment_ms_max(config) - append->jitter_ms)
        return true;

    int64_t relative = append->last_offset - append->segment_base;
    return append->is_index_full || relative < 0 || relative > INT32_MAX;
}

int64_t policy_jitter(const struct log_config *config, uint64_t random)
{
    int64_t max = smaller(config->segment_jitter_ms_max, config->segment_ms_max);

    return max <= 0 ? 0 : (int64_t)(random % (uint64_t)max);
}

/* What the three rules share: from the oldest on, until one segment must stay. */
struct sweep {
    const struct policy_segment *segments;
    int count;
    int64_t end, high_watermark;
};

static int64_t upper_bound(const struct sweep *sweep, int i)
{
    return i + 1 < sweep->count ? sweep->segments[i + 1].base : sweep->end;
}

static bool may_go(const struct sweep *sweep, int i)
{
    bool is_empty_last = i + 1 == sweep->count && sweep->segments[i].size == 0;

    return i < sweep->count && !is_empty_last && upper_bound(sweep, i) <= sweep->high_watermark;
}

static int by_log_start(const struct sweep *sweep, int from, int64_t log_start)
{
    /* The rule asks for the base of the next segment: the last one has none. */
    while (may_go(sweep, from) && from + 1 < sweep->count &&
           sweep->segments[from + 1].base <= log_start)
        from++;
    return from;
}

static int by_size(const struct sweep *sweep, int from, int64_t retention_bytes)
{
    int64_t total = 0;

    for (int i = from; i < sweep->count; i++)
        total += sweep->segments[i].size;
    if (retention_bytes < 0 || total < retention_bytes) return from;

    int64_t over = total - retention_bytes;
    while (may_go(sweep, from) && over - sweep->segments[from].size >= 0)
        over -= sweep->segments[from++].size;
    return from;
}

static int by_time(const struct sweep *sweep, int from, int64_t retention_ms, int64_t now_ms)
{
    if (retention_ms < 0) return from;
    while (may_go(sweep, from) && now_ms - sweep->segments[from].largest_timestamp > retention_ms)
        from++;
    return from;
}

int policy_retention(const struct log_config *config, const struct policy_segment *segments,
                     int count, int64_t log_start, int64_t end, int64_t high_watermark,
                     int64_t now_ms)
{
    const struct sweep sweep = {segments, count, end, high_watermark};
    int gone = by_log_start(&sweep, 0, log_start);

    if (config->is_deleted) {
        gone = by_size(&sweep, gone, config->retention_bytes);
        gone = by_time(&sweep, gone, config->retention_ms, now_ms);
    }
    return gone;
}
