/* controller/detector.c - see detector.h. */
#include "controller/detector.h"

#define LOOKS_PER_TIMEOUT 8

void detector_init(struct detector *detector, struct instant now, int64_t timeout_ms,
                   int64_t grace_ms)
{
    *detector = (struct detector){
        .timeout_ms = timeout_ms,
        .heard = now,
        .looked = now,
        .grace_ends = instant_add_ms(now, grace_ms),
    };
}

/* When we sleep, or are busy with something else, nothing is heard and nothing is asked: that is
 * not silence. So we look often, and what a look is late by does not count. */
static int64_t look_ms(const struct detector *d)
{
    int64_t ms = d->timeout_ms / LOOKS_PER_TIMEOUT;

    return ms < 1 ? 1 : ms;
}

static void look(struct detector *d, struct instant now)
{
    int64_t late_ns = instant_ns_between(instant_add_ms(d->looked, look_ms(d)), now);

    if (late_ns > 0) d->heard = instant_add_ns(d->heard, late_ns);
    d->looked = now;
    if (d->is_known && instant_reached(now, instant_add_ms(d->heard, d->timeout_ms)))
        d->verdict = DETECTOR_DEAD;
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
        if (d->is_known || instant_reached(now, d->grace_ends)) d->verdict = DETECTOR_DEAD;
        break;
    case DETECTOR_ANSWERED:
        d->is_known = true;
        d->heard = d->looked = now;
        d->verdict = DETECTOR_FINE;
        break;
    case DETECTOR_FAILED:
        break;
    case DETECTOR_TICK:
        look(d, now);
        break;
    }
    return d->verdict != before;
}

bool detector_is_fresh(const struct detector *d, struct instant now)
{
    return d->is_known && d->verdict == DETECTOR_FINE &&
           instant_ms_between(d->heard, now) < d->timeout_ms / 2;
}

void detector_hold(struct detector *d, struct instant now)
{
    d->verdict = DETECTOR_FINE;
    d->heard = instant_add_ms(now, look_ms(d) - d->timeout_ms);
    d->looked = now;
}

struct instant detector_deadline(const struct detector *d)
{
    if (!d->is_known || d->verdict == DETECTOR_DEAD) return INSTANT_NEVER;
    struct instant end = instant_add_ms(d->heard, d->timeout_ms);
    struct instant next = instant_add_ms(d->looked, look_ms(d));
    return instant_reached(next, end) ? end : next;
}
