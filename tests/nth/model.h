/* tests/nth/model.h - what a log must hold after a fault, and whether it does.
 *
 * Every append and truncation is told here before it is tried, its success afterwards. A truncation
 * begins another history, which shares with the one before what it keeps. What is found later must
 * be the front of one of the histories that are possible, and as long as what has been promised:
 * - while the page cache survives, all that was acknowledged, of the last history;
 * - after power loss what was synced, of the history that was synced or of a later one. */
#pragma once
#include "tests/unit/log_world.h"

#define MODEL_BATCHES   128
#define MODEL_HISTORIES 12

struct model_batch {
    int64_t first;
    int n;
    int64_t stamp; /* of its first record; no two batches have the same */
    int32_t epoch;
};

struct model {
    const char *topic;
    int partition;
    struct uuid id;
    struct log *log;
    struct history {
        int64_t base; /* it begins there */
        struct model_batch at[MODEL_BATCHES];
        int count;
    } histories[MODEL_HISTORIES];
    int count;         /* the last one is what was tried last */
    int acked, synced; /* the first histories that may be found: after a kill, after power loss */
    int64_t acked_end, synced_end;
    int64_t start_max;
    bool is_created, is_durable; /* acknowledged; and synced since */
    bool is_deleting, is_deleted;
};

static int64_t the_stamp = 1000;

static inline struct history *model_last(struct model *m)
{
    return &m->histories[m->count - 1];
}
static inline int64_t history_end(const struct history *h)
{
    return h->count == 0 ? h->base : h->at[h->count - 1].first + h->at[h->count - 1].n;
}

static inline void model_begin(struct model *m, const char *topic, int partition, uint8_t id)
{
    *m = (struct model){.topic = topic, .partition = partition, .id = {{9, id}}, .count = 1};
}

/* ---- what is tried ---- */

/* `bytes` gets the batch. */
static inline void model_append(struct model *m, int n, int32_t epoch, struct buf *bytes)
{
    struct history *h = model_last(m);
    struct record_builder builder;

    ensure(h->count < MODEL_BATCHES);
    int64_t end = history_end(h);
    buf_clear(bytes);
    record_builder_begin(&builder, bytes);
    builder.head.producer_id = 7;
    builder.head.producer_epoch = 0;
    builder.head.base_sequence = (int32_t)end;
    for (int i = 0; i < n; i++)
        record_builder_add(&builder, the_stamp + i, SLICE("k"),
                           SLICE("a value of some length, so that segments fill up"), NULL, 0);
    record_builder_end(&builder);
    h->at[h->count++] = (struct model_batch){end, n, the_stamp, epoch};
    the_stamp += n;
}
static inline void model_appended(struct model *m)
{
    m->acked_end = history_end(model_last(m));
}
/* It failed, and nothing of it may be found later. */
static inline void model_not_appended(struct model *m)
{
    model_last(m)->count--;
}

static inline void model_truncate(struct model *m, int64_t to)
{
    ensure(m->count < MODEL_HISTORIES);
    struct history *old = model_last(m), *new = &m->histories[m->count++];

    *new = *old;
    while (new->count > 0 && new->at[new->count - 1].first >= to)
        new->count--;
    if (new->count > 0 && history_end(new) > to) new->count--; /* whole batches only */
    if (to < new->base || new->count == 0) new->base = to < new->base ? to : new->base;
    int64_t end = history_end(new);
    if (m->acked_end > end) m->acked_end = end;
    if (m->synced_end > end) m->synced_end = end;
}
static inline void model_truncated(struct model *m)
{
    m->acked = m->count - 1;
    m->acked_end = history_end(model_last(m));
}
/* An empty log that begins at `offset`. */
static inline void model_restart_at(struct model *m, int64_t offset)
{
    ensure(m->count < MODEL_HISTORIES);
    m->histories[m->count++] = (struct history){.base = offset};
    m->acked_end = m->synced_end = 0;
    /* On the way its oldest segments go first. */
    int64_t end = history_end(&m->histories[m->count - 2]);
    if (end > m->start_max) m->start_max = end;
    if (offset > m->start_max) m->start_max = offset;
}
static inline void model_synced(struct model *m, int64_t end)
{
    m->synced = m->acked = m->count - 1;
    m->is_durable = true;
    if (end > m->synced_end) m->synced_end = end;
}

/* ---- what is found ---- */

#define FOUND_MAX 256

struct found_batches {
    struct model_batch at[FOUND_MAX];
    int count;
};

static char model_problem[600];

#define model_fail(...) (snprintf(model_problem, sizeof(model_problem), __VA_ARGS__), false)

/* Reads the log from its start to its end. */
static inline bool model_read(const struct env *env, struct log *log, struct found_batches *out)
{
    int64_t offset = log_start_offset(log);

    out->count = 0;
    while (offset < log_end_offset(log)) {
        const struct log_read read = {.offset = offset,
                                      .bytes_max = 700,
                                      .at_least_one = true,
                                      .limit = log_end_position(log)};
        struct log_slice slice;
        struct batch batch;
        enum err err = log_read(log, &read, &slice);
        if (err != ERR_OK) return model_fail("read at %lld: %s", (long long)offset, err_name(err));
        if (slice.len == 0) return model_fail("nothing at %lld", (long long)offset);
        uint8_t *bytes = ensure_malloc((size_t)slice.len);
        size_t n = 0;
        err = file_read_at(env, log_slice_file(&slice), (uint64_t)slice.position, bytes,
                           (size_t)slice.len, &n);
        struct slice rest = slice_of(bytes, n);
        int64_t before = offset;
        while (err == ERR_OK && batch_take(&rest, &batch) == ERR_OK) {
            if (batch_last_offset(&batch) < offset) continue; /* before the start */
            ensure(out->count < FOUND_MAX);
            out->at[out->count++] =
                (struct model_batch){batch.base_offset, batch.last_offset_delta + 1,
                                     batch.base_timestamp, batch.leader_epoch};
            offset = batch_last_offset(&batch) + 1;
        }
        free(bytes);
        log_slice_release(&slice);
        if (err != ERR_OK) return model_fail("at %lld: %s", (long long)before, err_name(err));
        if (offset == before) return model_fail("no batch at %lld", (long long)before);
    }
    return true;
}

/* Whether it is the front of the history, from the log's start on. */
static inline bool is_front(const struct found_batches *found, int64_t start, int64_t end,
                            const struct history *h)
{
    int i = 0;

    if (end > history_end(h) || end < h->base) return false;
    if (start >= end) return found->count == 0;
    while (i < h->count && h->at[i].first + h->at[i].n <= start)
        i++;
    if (i == h->count || h->at[i].first > start) return false;
    for (int k = 0; k < found->count; k++, i++) {
        if (i == h->count || found->at[k].first != h->at[i].first || found->at[k].n != h->at[i].n ||
            found->at[k].stamp != h->at[i].stamp || found->at[k].epoch != h->at[i].epoch)
            return false;
    }
    return true;
}

static inline bool model_epochs_are_right(struct log *log, const struct found_batches *found)
{
    const struct epochs *epochs = log_epochs(log);

    for (int i = 0; i < found->count; i++) {
        int64_t at = found->at[i].first;
        if (at < log_start_offset(log)) at = log_start_offset(log);
        if (epochs_at(epochs, at) != found->at[i].epoch && getenv("NTH_SHOW") != NULL) {
            for (int k = 0; k < epochs->count; k++)
                fprintf(stderr, "epoch %d from %lld\n", epochs->at[k].epoch,
                        (long long)epochs->at[k].start);
            for (int k = 0; k < found->count; k++)
                fprintf(stderr, "found %lld+%d epoch %d\n", (long long)found->at[k].first,
                        found->at[k].n, found->at[k].epoch);
            for (int k = 0; k < log->count; k++)
                fprintf(stderr, "segment %lld size %lld\n", (long long)log->segments[k]->base,
                        (long long)log->segments[k]->size);
        }
        if (epochs_at(epochs, at) != found->at[i].epoch)
            return model_fail("offset %lld is of epoch %d, not %d", (long long)at,
                              found->at[i].epoch, epochs_at(epochs, at));
    }
    for (int i = 0; i < epochs->count; i++)
        if (epochs->at[i].start > log_end_offset(log))
            return model_fail("epoch %d begins behind the end", epochs->at[i].epoch);
    return true;
}

/* The log, as it was found at a start or as it is. */
static inline bool model_holds(const struct env *env, const struct model *m, struct log *log,
                               bool power_was_lost)
{
    int first = power_was_lost ? m->synced : m->acked;
    int64_t least = power_was_lost ? m->synced_end : m->acked_end;
    static struct found_batches found;

    if (!model_read(env, log, &found)) return false;
    int64_t start = log_start_offset(log), end = log_end_offset(log);
    if (start > end) return model_fail("start %lld, end %lld", (long long)start, (long long)end);
    if (start > m->start_max) return model_fail("start %lld, never set", (long long)start);
    if (end < least)
        return model_fail("end %lld, though %lld were promised", (long long)end, (long long)least);
    if (log_recovery_point(log) > end || log_high_watermark(log) > end)
        return model_fail("recovery point %lld, watermark %lld, end %lld",
                          (long long)log_recovery_point(log), (long long)log_high_watermark(log),
                          (long long)end);
    bool is_one = false;
    for (int i = first; i < m->count && !is_one; i++)
        is_one = is_front(&found, start, end, &m->histories[i]);
    if (!is_one && getenv("NTH_SHOW") != NULL) {
        for (int i = 0; i < found.count; i++)
            fprintf(stderr, "found %lld+%d stamp %lld epoch %d\n", (long long)found.at[i].first,
                    found.at[i].n, (long long)found.at[i].stamp, found.at[i].epoch);
        for (int i = first; i < m->count; i++) {
            fprintf(stderr, "history %d base %lld\n", i, (long long)m->histories[i].base);
            for (int k = 0; k < m->histories[i].count; k++)
                fprintf(stderr, "  %lld+%d stamp %lld epoch %d\n",
                        (long long)m->histories[i].at[k].first, m->histories[i].at[k].n,
                        (long long)m->histories[i].at[k].stamp, m->histories[i].at[k].epoch);
        }
    }
    if (!is_one)
        return model_fail("what is there from %lld to %lld is no front of what was written",
                          (long long)start, (long long)end);
    return model_epochs_are_right(log, &found);
}
