#include "broker/replica/throttle.h"
#include "base/ensure.h"

void throttle_init(struct throttle *throttle, struct throttle_cell *cells, int count, int own,
                   int windows, int64_t window_ms)
{
    ensure(own < count);
    *throttle = (struct throttle){.cells = cells, .own = &cells[own], .count = count};
    for (int side = 0; side < THROTTLE_SIDES; side++) {
        rate_init(&throttle->quotas[side].rate, windows, window_ms);
        throttle->quotas[side].bound = INT64_MAX;
    }
}

void throttle_fini(struct throttle *throttle)
{
    for (int side = 0; side < THROTTLE_SIDES; side++)
        rate_fini(&throttle->quotas[side].rate);
}

void throttle_set_windows(struct throttle *throttle, enum throttle_side side, int windows,
                          int64_t window_ms)
{
    rate_fini(&throttle->quotas[side].rate);
    rate_init(&throttle->quotas[side].rate, windows, window_ms);
}

void throttle_set_bound(struct throttle *throttle, enum throttle_side side, int64_t bound)
{
    throttle->quotas[side].bound = bound;
}

void throttle_record(struct throttle *throttle, enum throttle_side side, uint64_t bytes)
{
    counter_add(&throttle->own->bytes[side], bytes);
}

bool throttle_is_exceeded(struct throttle *throttle, enum throttle_side side, struct instant now)
{
    struct throttle_quota *quota = &throttle->quotas[side];
    uint64_t total = 0;

    if (quota->bound == INT64_MAX) return false;
    for (int i = 0; i < throttle->count; i++)
        total += counter_value(&throttle->cells[i].bytes[side]);
    rate_follow(&quota->rate, &quota->tally, total, now);
    return rate_is_above(&quota->rate, quota->bound, now);
}
