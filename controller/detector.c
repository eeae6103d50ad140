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

/* Nothing was heard in time. When the tick itself is late by half a timeout, it was we who slept,
 * and what was sent to us meanwhile is not read yet: that is not silence. */
static void judge_silence(struct detector *d, struct instant now)
{
    struct instant deadline = instant_add_ms(d->heard, d->timeout_ms);

    if (!d->is_known || !instant_reached(now, deadline)) return;
    if (instant_reached(now, instant_add_ms(deadline, d->timeout_ms / 2)))
        d->heard = instant_add_ms(now, -d->timeout_ms / 2);
    else
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
        d->heard = now;
        d->verdict = DETECTOR_FINE;
        break;
    case DETECTOR_FAILED:
        break;
    case DETECTOR_TICK:
        judge_silence(d, now);
        break;
    }
    return d->verdict != before;
}

struct instant detector_deadline(const struct detector *d)
{
    if (!d->is_known || d->verdict == DETECTOR_DEAD) return INSTANT_NEVER;
    return instant_add_ms(d->heard, d->timeout_ms);
}
