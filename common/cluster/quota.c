#include "cluster/quota.h"
#include "base/ensure.h"
#include <stdlib.h>

#define NS_PER_SECOND INT64_C(1000000000)

/* Wide enough for any amount times any time. */
#define WIDE __int128

void rate_init(struct rate *rate, int count, int64_t window_ms)
{
    ensure(count >= 1 && window_ms >= 1);
    *rate = (struct rate){
        .windows = ensure_zalloc((size_t)count * sizeof(*rate->windows)),
        .count = count,
        .window_ns = window_ms > INT64_MAX / 1000000 ? INT64_MAX : window_ms * 1000000,
    };
}

void rate_fini(struct rate *rate)
{
    free(rate->windows);
    *rate = (struct rate){0};
}

static bool is_kept(const struct rate *rate, const struct rate_window *window, struct instant now)
{
    return window->is_used &&
           (WIDE)instant_ns_between(window->began, now) < (WIDE)rate->window_ns * rate->count;
}

void rate_record(struct rate *rate, int64_t amount, struct instant now)
{
    struct rate_window *window = &rate->windows[rate->current];

    if (window->is_used && instant_ns_between(window->began, now) >= rate->window_ns) {
        rate->current = (rate->current + 1) % rate->count;
        window = &rate->windows[rate->current];
        window->is_used = false;
    }
    if (!window->is_used) *window = (struct rate_window){.began = now, .is_used = true};
    window->amount += amount;
}

/* What the kept windows have, and the time that it took: at least one window. */
static int64_t measure(const struct rate *rate, struct instant now, int64_t *elapsed_ns)
{
    int64_t amount = 0;

    *elapsed_ns = rate->window_ns;
    for (int i = 0; i < rate->count; i++) {
        const struct rate_window *window = &rate->windows[i];
        if (!is_kept(rate, window, now)) continue;
        int64_t age_ns = instant_ns_between(window->began, now);
        amount += window->amount;
        if (age_ns > *elapsed_ns) *elapsed_ns = age_ns;
    }
    return amount;
}

int64_t rate_per_second(const struct rate *rate, struct instant now)
{
    int64_t elapsed_ns;
    int64_t amount = measure(rate, now, &elapsed_ns);

    return (int64_t)((WIDE)amount * NS_PER_SECOND / elapsed_ns);
}

bool rate_is_above(const struct rate *rate, int64_t bound, struct instant now)
{
    int64_t elapsed_ns;

    if (bound == INT64_MAX) return false;
    int64_t amount = measure(rate, now, &elapsed_ns);
    return (WIDE)amount * NS_PER_SECOND > (WIDE)bound * elapsed_ns;
}

int64_t rate_throttle_ms(const struct rate *rate, int64_t bound, struct instant now)
{
    int64_t elapsed_ns;

    if (!rate_is_above(rate, bound, now)) return 0;
    int64_t amount = measure(rate, now, &elapsed_ns);
    if (bound <= 0) return elapsed_ns / 1000000;
    WIDE surplus = (WIDE)amount * NS_PER_SECOND - (WIDE)bound * elapsed_ns;
    WIDE ms = surplus / bound / 1000000;
    return ms > INT64_MAX ? INT64_MAX : (int64_t)ms;
}

void rate_follow(struct rate *rate, struct rate_tally *tally, uint64_t total, struct instant now)
{
    int64_t gap_ns = tally->has_begun ? instant_ns_between(tally->at, now) : 0;
    int64_t amount = (int64_t)(total - tally->seen);
    int64_t steps = gap_ns / rate->window_ns;
    struct instant from = tally->at;

    *tally = (struct rate_tally){.seen = total, .at = now, .has_begun = true};
    if (amount == 0) return;
    if (steps > rate->count) { /* what is older than all windows is forgotten */
        amount = (int64_t)((WIDE)amount * rate->window_ns * rate->count / gap_ns);
        from = (struct instant){now.ns - rate->window_ns * rate->count};
        gap_ns = rate->window_ns * rate->count;
        steps = rate->count;
    }
    for (int64_t i = 1; i < steps; i++) {
        int64_t part = amount / (steps - i + 1);
        rate_record(rate, part, instant_add_ns(from, (int64_t)((WIDE)gap_ns * i / steps)));
        amount -= part;
    }
    rate_record(rate, amount, now);
}
