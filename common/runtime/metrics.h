/* runtime/metrics.h - counters, gauges and histograms, written by one shard, read by any thread.
 *
 * A cell lives in its owner's struct and is written with relaxed atomics by one thread (adding is a
 * load and a store, no locked instruction). Registered under a name it appears in the snapshot;
 * cells of the same name and labels (one per shard) are summed. Names are Kafka's in Prometheus
 * style:
 *
 *     struct counter bytes_in;
 *     metrics_add_counter(metrics, &bytes_in, "kafka_server_brokertopicmetrics_bytesin_total",
 *                         "topic=\"orders\"", "Bytes that producers sent.");
 */
#pragma once
#include "base/buf.h"
#include <stdatomic.h>

struct metrics; /* one per process */

struct counter {
    _Atomic uint64_t value;
};
struct gauge {
    _Atomic int64_t value;
};

/* Four buckets per power of two from 1 to 2^40: 25 % of resolution. The unit is the caller's. */
#define HISTOGRAM_BUCKETS 164
struct histogram {
    _Atomic uint64_t counts[HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum;
};

static inline void counter_add(struct counter *counter, uint64_t n)
{
    uint64_t now = atomic_load_explicit(&counter->value, memory_order_relaxed);
    atomic_store_explicit(&counter->value, now + n, memory_order_relaxed);
}

static inline uint64_t counter_value(const struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

static inline void gauge_set(struct gauge *gauge, int64_t value)
{
    atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}

static inline void gauge_add(struct gauge *gauge, int64_t n)
{
    gauge_set(gauge, atomic_load_explicit(&gauge->value, memory_order_relaxed) + n);
}

static inline int64_t gauge_value(const struct gauge *gauge)
{
    return atomic_load_explicit(&gauge->value, memory_order_relaxed);
}

void histogram_add(struct histogram *histogram, uint64_t value);
/* The value below which a share of all lies, within the resolution; 0 when there is none.
 * `permille` 500 is the median, 990 the 99th percentile. */
uint64_t histogram_quantile(const struct histogram *histogram, int permille);
uint64_t histogram_count(const struct histogram *histogram);

struct metrics *metrics_create(void);
void metrics_destroy(struct metrics **metrics); /* cells are their owners' */

/* Keep the cell until metrics_remove; copy the texts. `labels` is what stands between the braces,
 * NULL for none. From any thread. A name is [a-zA-Z_:][a-zA-Z0-9_:]*, always with the same kind. */
void metrics_add_counter(struct metrics *metrics, const struct counter *counter, const char *name,
                         const char *labels, const char *help);
void metrics_add_gauge(struct metrics *metrics, const struct gauge *gauge, const char *name,
                       const char *labels, const char *help);
/* `unit` divides what was added: 1e9 for nanoseconds that are shown as seconds. Shown as a summary
 * with the quantiles 0.5, 0.75, 0.95, 0.98, 0.99 and 0.999, as Kafka's own exporters do. */
void metrics_add_histogram(struct metrics *metrics, const struct histogram *histogram,
                           const char *name, const char *labels, const char *help, double unit);
/* One that is not registered is fine. */
void metrics_remove(struct metrics *metrics, const void *cell);

/* Everything in Prometheus text format 0.0.4, by name and labels in byte order. From any thread. */
void metrics_print(struct metrics *metrics, struct buf *out);
/* The value of one counter or gauge, summed over its cells. ERR_NOT_FOUND. */
MUST_CHECK enum err metrics_value(struct metrics *metrics, const char *name, const char *labels,
                                  int64_t *out);
