/* controller/detector.c - see detector.h. */
#include "controller/detector.h"

void detector_init(struct detector *detector, struct instant now, int64_t timeout_ms,
                   int64_t grace_ms)
{
    *detector = (struct detector){
        .timeout_ms = timeout_ms,
        .heard = now,
        .grace_ends = instant_add_ms(now, grace_ms),
    };
}

static bool is_silent(const struct detector *d, struct instant now)
{
    return d->is_known && instant_reached(now, instant_add_ms(d->heard, d->timeout_ms));
}

bool detector_step(struct detector *d, enum detector_event event, struct instant now)
{
    enum detector_verdict before = d->verdict;

    switch (event) {
    case DETECTOR_CONNECTED:
        d->is_connected = true;
        break;
    case DETECTOR_LOST:
        d->is_connected = false;
        break;
    case DETECTOR_REFUSED:
        d->is_connected = false;
        if (d->is_known || instant_reached(now, d->grace_ends))
            d->verdict = DETECTOR_DEAD;
        break;
    case DETECTOR_ANSWERED:
        d->is_known = true;
        d->heard = now;
        d->verdict = DETECTOR_FINE;
        break;
    case DETECTOR_FAILED:
    case DETECTOR_TICK:
        break;
    }
    if (is_silent(d, now))
        d->verdict = DETECTOR_DEAD;
    return d->verdict != before;
}

struct instant detector_deadline(const struct detector *d)
{
    if (!d->is_known || d->verdict == DETECTOR_DEAD)
        return INSTANT_NEVER;
    return instant_add_ms(d->heard, d->timeout_ms);
}
