/* broker/replica/fetcher.c - see fetcher.h. */
#include "broker/replica/fetcher.h"
#include "base/ensure.h"
#include "base/planted.h"

void fetcher_init(struct fetcher *fetcher, int32_t leader_epoch, bool truncates_on_fetch,
                  int64_t backoff_ms)
{
    *fetcher = (struct fetcher){
        .state = FETCHER_TRUNCATING,
        .truncates_on_fetch = truncates_on_fetch,
        .leader_epoch = leader_epoch,
        .last_epoch = -1,
        .delayed_until = INSTANT_NEVER, /* until it begins */
        .backoff_ms = backoff_ms,
    };
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void cut_to(struct fetcher *fetcher, int64_t offset, bool is_done,
                   struct fetcher_effects *out)
{
    fetcher->is_cutting = true;
    fetcher->is_cut_done = is_done;
    out->cut = true;
    out->offset = offset;
}

static void restart_at(struct fetcher *fetcher, int64_t offset, struct fetcher_effects *out)
{
    fetcher->is_cutting = true;
    fetcher->is_cut_done = true;
    out->restart = true;
    out->offset = offset;
}

static void begin(struct fetcher *fetcher, const struct fetcher_event *event,
                  struct fetcher_effects *out)
{
    const struct fetcher_log *log = &event->log;

    fetcher->delayed_until = INSTANT_ZERO;
    fetcher->last_epoch = log->latest_epoch;
    fetcher->high_watermark = log->high_watermark;
    if (log->latest_epoch < 0 || planted(truncate_to_watermark)) {
        /* Nothing says who wrote what: only what is committed may be believed. */
        fetcher->offset = log->high_watermark;
        cut_to(fetcher, log->high_watermark, true, out);
        return;
    }
    fetcher->offset = log->end;
    fetcher->state = fetcher->truncates_on_fetch ? FETCHER_FETCHING : FETCHER_TRUNCATING;
}

/* The leader says that `epoch`, or what it has before it, ended at `end_offset`. */
static void diverge(struct fetcher *fetcher, const struct fetcher_event *event,
                    struct fetcher_effects *out)
{
    int64_t end = event->log.end;

    if (event->end_offset < 0) {
        /* It knows nothing of our epoch. While truncating that leaves the watermark. */
        cut_to(fetcher,
               fetcher->state == FETCHER_TRUNCATING ? least(event->log.high_watermark, end)
                                                    : least(fetcher->offset, end),
               true, out);
    } else if (event->epoch < 0 || event->own_epoch < 0) {
        cut_to(fetcher, least(event->end_offset, end), true, out);
    } else if (event->own_epoch != event->epoch) {
        /* We do not have that epoch: everything above the one below it goes, then we ask again. */
        cut_to(fetcher, least(event->own_end, end), false, out);
    } else {
        cut_to(fetcher, least(least(event->own_end, event->end_offset), end), true, out);
    }
}

static void note_cut(struct fetcher *fetcher, const struct fetcher_event *event)
{
    if (!fetcher->is_cutting) return;
    fetcher->is_cutting = false;
    fetcher->offset = event->log.end;
    fetcher->last_epoch = event->log.latest_epoch;
    /* Where leaders tell divergence in Fetch, fetching is asking again. */
    if (fetcher->is_cut_done || fetcher->truncates_on_fetch || fetcher->last_epoch < 0)
        fetcher->state = FETCHER_FETCHING;
    else
        fetcher->state = FETCHER_TRUNCATING;
}

static void note_leader_end(struct fetcher *fetcher, const struct fetcher_event *event,
                            struct fetcher_effects *out)
{
    if (event->end_offset < event->log.end)
        cut_to(fetcher, event->end_offset, true, out);
    else
        fetcher->state = FETCHER_ASKING_START;
}

static void note_leader_start(struct fetcher *fetcher, const struct fetcher_event *event,
                              struct fetcher_effects *out)
{
    if (event->end_offset > event->log.end) {
        restart_at(fetcher, event->end_offset, out);
        return;
    }
    fetcher->offset = event->log.end;
    fetcher->last_epoch = event->log.latest_epoch;
    fetcher->state = FETCHER_FETCHING;
}

static void fail(struct fetcher *fetcher, struct fetcher_effects *out)
{
    out->failed = fetcher->state != FETCHER_FAILED;
    fetcher->state = FETCHER_FAILED;
    fetcher->is_cutting = false;
}

static int64_t next_delay(struct fetcher *fetcher)
{
    int64_t delay = least((int64_t)FETCHER_DELAY_MS_MIN << fetcher->retries, fetcher->backoff_ms);

    if (delay < fetcher->backoff_ms) fetcher->retries++;
    return delay;
}

void fetcher_step(struct fetcher *fetcher, const struct fetcher_event *event,
                  struct fetcher_effects *out)
{
    *out = (struct fetcher_effects){0};
    if (fetcher->state == FETCHER_FAILED) return;

    switch (event->type) {
    case FETCHER_BEGINS:
        begin(fetcher, event, out);
        break;
    case FETCHER_EPOCH_END:
        if (fetcher->state == FETCHER_TRUNCATING && !fetcher->is_cutting)
            diverge(fetcher, event, out);
        break;
    case FETCHER_DIVERGES:
        if (fetcher->state == FETCHER_FETCHING && !fetcher->is_cutting)
            diverge(fetcher, event, out);
        break;
    case FETCHER_RANGE:
        if (fetcher->state == FETCHER_FETCHING && !fetcher->is_cutting)
            fetcher->state = FETCHER_ASKING_END;
        break;
    case FETCHER_END:
        if (fetcher->state == FETCHER_ASKING_END && !fetcher->is_cutting)
            note_leader_end(fetcher, event, out);
        break;
    case FETCHER_START:
        if (fetcher->state == FETCHER_ASKING_START && !fetcher->is_cutting)
            note_leader_start(fetcher, event, out);
        break;
    case FETCHER_APPENDED:
        ensure(fetcher->state == FETCHER_FETCHING);
        ensure(event->log.end >= fetcher->offset);
        fetcher->offset = event->log.end;
        fetcher->last_epoch = event->log.latest_epoch;
        fetcher->high_watermark = event->log.high_watermark;
        fetcher->retries = 0;
        break;
    case FETCHER_CUT:
        note_cut(fetcher, event);
        break;
    case FETCHER_RETRY:
        /* A cut that was not made, or not to its end: asking again leads to it again. */
        if (fetcher->is_cutting) {
            fetcher->is_cutting = false;
            fetcher->offset = event->log.end;
            fetcher->last_epoch = event->log.latest_epoch;
        }
        fetcher->delayed_until = instant_add_ms(event->now, next_delay(fetcher));
        break;
    case FETCHER_FENCED:
    case FETCHER_BROKEN:
        fail(fetcher, out);
        break;
    }
}

enum fetcher_want fetcher_wants(const struct fetcher *fetcher, struct instant now)
{
    if (fetcher->is_cutting || !instant_reached(now, fetcher->delayed_until))
        return FETCHER_WANTS_NOTHING;
    switch (fetcher->state) {
    case FETCHER_TRUNCATING:
        return FETCHER_WANTS_EPOCH_END;
    case FETCHER_FETCHING:
        return FETCHER_WANTS_RECORDS;
    case FETCHER_ASKING_END:
        return FETCHER_WANTS_END;
    case FETCHER_ASKING_START:
        return FETCHER_WANTS_START;
    case FETCHER_FAILED:
        return FETCHER_WANTS_NOTHING;
    }
    return FETCHER_WANTS_NOTHING;
}

struct instant fetcher_deadline(const struct fetcher *fetcher)
{
    return fetcher->state == FETCHER_FAILED ? INSTANT_NEVER : fetcher->delayed_until;
}
