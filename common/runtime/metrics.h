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

/* Values 0 to 3 have a bucket each; above, four per power of two. Every request comes here several
 * times: the three bits from the highest one on, and how far they had to be shifted, are the place,
 * without a branch. */
static inline int histogram_bucket(uint64_t value)
{
    int shift = (63 ^ __builtin_clzll(value | 4)) - 2;
    int bucket = 4 * shift + (int)(value >> shift);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    _Atomic uint64_t *count = &histogram->counts[histogram_bucket(value)];

    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    atomic_store_explicit(&histogram->sum,
                          atomic_load_explicit(&histogram->sum, memory_order_relaxed) + value,
                          memory_order_relaxed);
}

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
 * with the quantiles 0.50, 0.75, 0.95, 0.98, 0.99 and 0.999, as Kafka's own exporters do: of what
 * was added since the window before this one began (metrics_window), NaN if nothing was. Count and
 * sum are of all. */
void metrics_add_histogram(struct metrics *metrics, const struct histogram *histogram,
                           const char *name, const char *labels, const char *help, double unit);
/* A part of each thing that `whole` counts, entered only where it is not 0: as many as there are in
 * `whole` were added, the others as 0. `whole` may be `histogram` itself. Shown once there is one.
 * The other form: cumulative buckets, by powers of two from METRICS_BUCKET_FIRST to …_LAST, for
 * sums over processes; the part is left out while all of it is 0. */
#define METRICS_BUCKET_FIRST 17 /* of nanoseconds: 131 µs */
#define METRICS_BUCKET_LAST  34 /* 17 s */
void metrics_add_part(struct metrics *metrics, const struct histogram *histogram,
                      const struct histogram *whole, const char *name, const char *labels,
                      const char *help, double unit);
void metrics_add_part_buckets(struct metrics *metrics, const struct histogram *histogram,
                              const struct histogram *whole, const char *name, const char *labels,
                              const char *help, double unit);
/* A counter that is shown once it is not 0. */
void metrics_add_counter_used(struct metrics *metrics, const struct counter *counter,
                              const char *name, const char *labels, const char *help);
/* The same, shown divided by `unit`. */
void metrics_add_counter_in(struct metrics *metrics, const struct counter *counter,
                            const char *name, const char *labels, const char *help, double unit);
void metrics_add_gauge_in(struct metrics *metrics, const struct gauge *gauge, const char *name,
                          const char *labels, const char *help, double unit);
/* One that is not registered is fine. */
void metrics_remove(struct metrics *metrics, const void *cell);

/* A new window of quantiles begins. From any thread, now and then. */
void metrics_window(struct metrics *metrics);
/* Everything in Prometheus text format 0.0.4, by name and labels in byte order. From any thread. */
void metrics_print(struct metrics *metrics, struct buf *out);
/* The same; behind the lines of each name `more` may add lines of that name with other labels. */
void metrics_print_with(struct metrics *metrics, struct buf *out,
                        void (*more)(void *of, const char *name, struct buf *out), void *of);
/* A quantile of a summary as it is shown. ERR_NOT_FOUND: not registered, or nothing lately. */
MUST_CHECK enum err metrics_quantile(struct metrics *metrics, const char *name, const char *labels,
                                     int permille, double *out);
/* The value of one counter or gauge, summed over its cells. ERR_NOT_FOUND. */
MUST_CHECK enum err metrics_value(struct metrics *metrics, const char *name, const char *labels,
                                  int64_t *out);
