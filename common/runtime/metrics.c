#include "runtime/metrics.h"
#include "base/ensure.h"
#include "base/list.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_SUMMARY, METRIC_BUCKETS };

struct metric {
    struct list_node node;
    enum metric_kind kind;
    const void *cell;
    const struct histogram *whole; /* of a part; NULL: of itself */
    bool hides_zero;
    char *name, *labels, *help;
    double unit;
    /* Of a summary's first cell: what all of its name and labels had when the window before this
     * one began, and when this one did. NULL: nothing. Differences are right modulo 2^32. */
    uint32_t *before, *between;
};

struct metrics {
    pthread_mutex_t lock; /* of the list; cells are atomic */
    struct list all;      /* by name, then labels */
};

/* Histograms. */

/* The largest value of a bucket. */
static uint64_t bucket_end(int bucket)
{
    if (bucket < 4) return (uint64_t)bucket;
    int power = (bucket + 4) / 4;
    uint64_t quarter = UINT64_C(1) << (power - 2);
    return (UINT64_C(1) << power) + quarter * (uint64_t)(bucket % 4 + 1) - 1;
}

/* The cells of one line of the snapshot, added up. */
struct sum {
    int64_t value;
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count, sum;
};

static void sum_histogram(struct sum *sum, const struct histogram *histogram)
{
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        sum->counts[i] += n;
        sum->count += n;
    }
    sum->sum += atomic_load_explicit(&histogram->sum, memory_order_relaxed);
}

/* What was not entered was 0. The whole is entered after its parts, on another thread. */
static void sum_part(struct sum *sum, const struct histogram *part, const struct histogram *whole)
{
    struct sum all = {0}, own = {0};

    sum_histogram(&own, part);
    sum_histogram(&all, whole);
    sum_histogram(sum, part);
    if (all.count <= own.count) return;
    sum->counts[0] += all.count - own.count;
    sum->count += all.count - own.count;
}

static uint64_t quantile_of(const struct sum *sum, int permille)
{
    uint64_t seen = 0, wanted = (sum->count * (uint64_t)permille + 999) / 1000;

    if (sum->count == 0) return 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += sum->counts[i];
        if (seen >= wanted) return bucket_end(i);
    }
    return bucket_end(HISTOGRAM_BUCKETS - 1);
}

uint64_t histogram_quantile(const struct histogram *histogram, int permille)
{
    struct sum sum = {0};

    sum_histogram(&sum, histogram);
    return quantile_of(&sum, permille);
}

uint64_t histogram_count(const struct histogram *histogram)
{
    struct sum sum = {0};

    sum_histogram(&sum, histogram);
    return sum.count;
}

/* The register. */

struct metrics *metrics_create(void)
{
    struct metrics *metrics = ensure_zalloc(sizeof(*metrics));

    pthread_mutex_init(&metrics->lock, NULL);
    list_init(&metrics->all);
    return metrics;
}

static void metric_free(struct metric *metric)
{
    free(metric->before);
    free(metric->between);
    free(metric->name);
    free(metric->labels);
    free(metric->help);
    free(metric);
}

void metrics_destroy(struct metrics **metrics)
{
    if (*metrics == NULL) return;
    for (struct list_node *node; (node = list_pop(&(*metrics)->all)) != NULL;)
        metric_free(list_entry(node, struct metric, node));
    pthread_mutex_destroy(&(*metrics)->lock);
    free(*metrics);
    *metrics = NULL;
}

static int order_of(const struct metric *a, const struct metric *b)
{
    int order = strcmp(a->name, b->name);

    return order != 0 ? order : strcmp(a->labels, b->labels);
}

static void add(struct metrics *metrics, const struct metric *what, const char *name,
                const char *labels, const char *help)
{
    struct metric *metric = ensure_zalloc(sizeof(*metric));

    *metric = *what;
    metric->name = ensure_strdup(name);
    metric->labels = ensure_strdup(labels == NULL ? "" : labels);
    metric->help = ensure_strdup(help);

    pthread_mutex_lock(&metrics->lock);
    /* From the end: cells of a name are mostly registered one after another. */
    struct list_node *at = metrics->all.head.prev;
    while (at != &metrics->all.head && order_of(list_entry(at, struct metric, node), metric) > 0)
        at = at->prev;
    list_insert_before(at->next, &metric->node);
    pthread_mutex_unlock(&metrics->lock);
}

void metrics_add_counter(struct metrics *metrics, const struct counter *counter, const char *name,
                         const char *labels, const char *help)
{
    add(metrics, &(struct metric){.kind = METRIC_COUNTER, .cell = counter}, name, labels, help);
}

void metrics_add_counter_in(struct metrics *metrics, const struct counter *counter,
                            const char *name, const char *labels, const char *help, double unit)
{
    add(metrics, &(struct metric){.kind = METRIC_COUNTER, .cell = counter, .unit = unit}, name,
        labels, help);
}

void metrics_add_gauge_in(struct metrics *metrics, const struct gauge *gauge, const char *name,
                          const char *labels, const char *help, double unit)
{
    add(metrics, &(struct metric){.kind = METRIC_GAUGE, .cell = gauge, .unit = unit}, name, labels,
        help);
}

void metrics_add_counter_used(struct metrics *metrics, const struct counter *counter,
                              const char *name, const char *labels, const char *help)
{
    add(metrics, &(struct metric){.kind = METRIC_COUNTER, .cell = counter, .hides_zero = true},
        name, labels, help);
}

void metrics_add_gauge(struct metrics *metrics, const struct gauge *gauge, const char *name,
                       const char *labels, const char *help)
{
    add(metrics, &(struct metric){.kind = METRIC_GAUGE, .cell = gauge}, name, labels, help);
}

void metrics_add_histogram(struct metrics *metrics, const struct histogram *histogram,
                           const char *name, const char *labels, const char *help, double unit)
{
    add(metrics, &(struct metric){.kind = METRIC_SUMMARY, .cell = histogram, .unit = unit}, name,
        labels, help);
}

void metrics_add_part(struct metrics *metrics, const struct histogram *histogram,
                      const struct histogram *whole, const char *name, const char *labels,
                      const char *help, double unit)
{
    const struct metric part = {.kind = METRIC_SUMMARY,
                                .cell = histogram,
                                .whole = whole,
                                .hides_zero = true,
                                .unit = unit};

    add(metrics, &part, name, labels, help);
}

void metrics_add_part_buckets(struct metrics *metrics, const struct histogram *histogram,
                              const struct histogram *whole, const char *name, const char *labels,
                              const char *help, double unit)
{
    const struct metric part = {.kind = METRIC_BUCKETS,
                                .cell = histogram,
                                .whole = whole,
                                .hides_zero = true,
                                .unit = unit};

    add(metrics, &part, name, labels, help);
}

void metrics_remove(struct metrics *metrics, const void *cell)
{
    pthread_mutex_lock(&metrics->lock);
    list_each (node, &metrics->all) {
        struct metric *metric = list_entry(node, struct metric, node);
        if (metric->cell == cell) {
            list_remove(node);
            metric_free(metric);
        }
    }
    pthread_mutex_unlock(&metrics->lock);
}

static void sum_cell(struct sum *sum, const struct metric *metric)
{
    switch (metric->kind) {
    case METRIC_COUNTER:
        sum->value += (int64_t)counter_value(metric->cell);
        break;
    case METRIC_GAUGE:
        sum->value += gauge_value(metric->cell);
        break;
    case METRIC_SUMMARY:
    case METRIC_BUCKETS:
        sum_part(sum, metric->cell, metric->whole == NULL ? metric->cell : metric->whole);
        break;
    }
}

/* Cells of the same name and labels stand next to each other: adds them up, and gives the last. */
static struct list_node *sum_same(const struct metrics *metrics, struct list_node *node,
                                  struct sum *sum)
{
    const struct metric *first = list_entry(node, struct metric, node);

    *sum = (struct sum){0};
    for (;;) {
        sum_cell(sum, list_entry(node, struct metric, node));
        if (node->next == &metrics->all.head ||
            order_of(list_entry(node->next, struct metric, node), first) != 0)
            return node;
        node = node->next;
    }
}

/* What was added since the window before this one began. */
static void since_before(const struct metric *metric, const struct sum *all, struct sum *out)
{
    *out = (struct sum){0};
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint32_t before = metric->before == NULL ? 0 : metric->before[i];
        out->counts[i] = (uint32_t)((uint32_t)all->counts[i] - before);
        out->count += out->counts[i];
    }
}

static void print_sum_and_count(struct buf *out, const struct metric *metric, const struct sum *sum)
{
    const char *labels = metric->labels;
    const char *open = labels[0] == '\0' ? "" : "{", *close = labels[0] == '\0' ? "" : "}";

    buf_printf(out, "%s_sum%s%s%s %.9g\n", metric->name, open, labels, close,
               (double)sum->sum / metric->unit);
    buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", metric->name, open, labels, close, sum->count);
}

static void print_summary(struct buf *out, const struct metric *metric, const struct sum *sum)
{
    static const struct {
        int permille;
        const char *text;
    } quantiles[] = {{500, "0.50"}, {750, "0.75"}, {950, "0.95"},
                     {980, "0.98"}, {990, "0.99"}, {999, "0.999"}};
    const char *labels = metric->labels, *comma = labels[0] == '\0' ? "" : ",";
    struct sum late;

    since_before(metric, sum, &late);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        buf_printf(out, "%s{%s%squantile=\"%s\"} ", metric->name, labels, comma,
                   quantiles[i].text);
        if (late.count == 0)
            buf_add_text(out, "NaN\n");
        else
            buf_printf(out, "%.9g\n",
                       (double)quantile_of(&late, quantiles[i].permille) / metric->unit);
    }
    print_sum_and_count(out, metric, sum);
}

static void print_buckets(struct buf *out, const struct metric *metric, const struct sum *sum)
{
    const char *labels = metric->labels, *comma = labels[0] == '\0' ? "" : ",";
    uint64_t below = 0;
    int bucket = 0;

    for (int power = METRICS_BUCKET_FIRST; power <= METRICS_BUCKET_LAST; power++) {
        for (; bucket < histogram_bucket(UINT64_C(1) << power); bucket++)
            below += sum->counts[bucket];
        buf_printf(out, "%s_bucket{%s%sle=\"%.9g\"} %" PRIu64 "\n", metric->name, labels, comma,
                   (double)(UINT64_C(1) << power) / metric->unit, below);
    }
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", metric->name, labels, comma,
               sum->count);
    print_sum_and_count(out, metric, sum);
}

static bool is_hidden(const struct metric *metric, const struct sum *sum)
{
    if (!metric->hides_zero) return false;
    switch (metric->kind) {
    case METRIC_COUNTER:
    case METRIC_GAUGE:
        return sum->value == 0;
    case METRIC_SUMMARY:
        return sum->count == 0;
    case METRIC_BUCKETS:
        return sum->sum == 0;
    }
    return false;
}

static void print_number(struct buf *out, const struct metric *metric, const struct sum *sum)
{
    const char *labels = metric->labels;
    const char *open = labels[0] == '\0' ? "" : "{", *close = labels[0] == '\0' ? "" : "}";

    buf_printf(out, "%s%s%s%s ", metric->name, open, labels, close);
    if (metric->unit > 0)
        buf_printf(out, "%.9g\n", (double)sum->value / metric->unit);
    else
        buf_printf(out, "%" PRId64 "\n", sum->value);
}

static void add_nothing(void *of, const char *name, struct buf *out)
{
    (void)of;
    (void)name;
    (void)out;
}

void metrics_print(struct metrics *metrics, struct buf *out)
{
    metrics_print_with(metrics, out, add_nothing, NULL);
}

void metrics_print_with(struct metrics *metrics, struct buf *out,
                        void (*more)(void *of, const char *name, struct buf *out), void *of)
{
    static const char *const kinds[] = {"counter", "gauge", "summary", "histogram"};
    const char *named = NULL;
    struct sum sum;

    pthread_mutex_lock(&metrics->lock);
    for (struct list_node *node = metrics->all.head.next; node != &metrics->all.head;
         node = node->next) {
        const struct metric *metric = list_entry(node, struct metric, node);
        node = sum_same(metrics, node, &sum);
        if (is_hidden(metric, &sum)) continue;
        bool is_next = named == NULL || strcmp(named, metric->name) != 0;
        if (is_next && named != NULL) more(of, named, out);
        if (is_next)
            buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
                       metric->name, kinds[metric->kind]);
        named = metric->name;
        if (metric->kind == METRIC_SUMMARY)
            print_summary(out, metric, &sum);
        else if (metric->kind == METRIC_BUCKETS)
            print_buckets(out, metric, &sum);
        else
            print_number(out, metric, &sum);
    }
    if (named != NULL) more(of, named, out);
    pthread_mutex_unlock(&metrics->lock);
}

void metrics_window(struct metrics *metrics)
{
    struct sum sum;

    pthread_mutex_lock(&metrics->lock);
    for (struct list_node *node = metrics->all.head.next; node != &metrics->all.head;
         node = node->next) {
        struct metric *metric = list_entry(node, struct metric, node);
        node = sum_same(metrics, node, &sum);
        if (metric->kind != METRIC_SUMMARY || sum.count == 0) continue;
        uint32_t *oldest = metric->before;
        metric->before = metric->between;
        metric->between =
            oldest != NULL ? oldest : ensure_zalloc(HISTOGRAM_BUCKETS * sizeof(*oldest));
        for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
            metric->between[i] = (uint32_t)sum.counts[i];
    }
    pthread_mutex_unlock(&metrics->lock);
}

/* Under the lock; NULL: not registered. */
static struct list_node *find(struct metrics *metrics, const char *name, const char *labels)
{
    list_each (node, &metrics->all) {
        const struct metric *metric = list_entry(node, struct metric, node);
        if (strcmp(metric->name, name) == 0 &&
            strcmp(metric->labels, labels == NULL ? "" : labels) == 0)
            return node;
    }
    return NULL;
}

enum err metrics_quantile(struct metrics *metrics, const char *name, const char *labels,
                          int permille, double *out)
{
    enum err err = ERR_NOT_FOUND;
    struct sum sum, late;

    pthread_mutex_lock(&metrics->lock);
    struct list_node *node = find(metrics, name, labels);
    if (node != NULL) {
        const struct metric *metric = list_entry(node, struct metric, node);
        sum_same(metrics, node, &sum);
        since_before(metric, &sum, &late);
        if (metric->kind == METRIC_SUMMARY && late.count > 0) {
            *out = (double)quantile_of(&late, permille) / metric->unit;
            err = ERR_OK;
        }
    }
    pthread_mutex_unlock(&metrics->lock);
    return err;
}

enum err metrics_value(struct metrics *metrics, const char *name, const char *labels, int64_t *out)
{
    enum err err = ERR_NOT_FOUND;
    struct sum sum;

    pthread_mutex_lock(&metrics->lock);
    struct list_node *node = find(metrics, name, labels);
    if (node != NULL) {
        const struct metric *metric = list_entry(node, struct metric, node);
        bool is_histogram = metric->kind == METRIC_SUMMARY || metric->kind == METRIC_BUCKETS;
        sum_same(metrics, node, &sum);
        *out = is_histogram ? (int64_t)sum.count : sum.value;
        err = ERR_OK;
    }
    pthread_mutex_unlock(&metrics->lock);
    return err;
}
