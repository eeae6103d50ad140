#include "broker/replica/move.h"

#define GAP_BYTES_FIRST (INT64_C(256) << 10)
/* A log that is written to faster than that in the time of a sync is moved all the same. */
#define GAP_BYTES_MAX (INT64_C(64) << 20)

void move_init(struct move *move)
{
    *move = (struct move){.cut_to = INT64_MAX, .gap_max = GAP_BYTES_FIRST};
}

void move_cut(struct move *move, int64_t offset)
{
    if (offset < move->cut_to) move->cut_to = offset;
    move->is_compared = false;
}

static struct move_next restart(struct move *move, const struct move_view *view)
{
    move->cut_to = INT64_MAX;
    return (struct move_next){MOVE_RESTART, view->start};
}

struct move_next move_next(struct move *move, const struct move_view *view)
{
    int64_t limit = move->cut_to;

    if (!move->is_compared && view->common < limit) limit = view->common;
    if (view->future_end < view->start) return restart(move, view);
    if (limit < view->future_end) {
        if (limit < view->future_start || limit < view->start) return restart(move, view);
        move->cut_to = INT64_MAX;
        return (struct move_next){MOVE_CUT, limit};
    }
    move->cut_to = INT64_MAX;
    move->is_compared = true;

    if (view->gap_bytes == INT64_MAX) {
        /* It was little before the sync: there is no end to it unless more is little. */
        if (move->is_synced && move->gap_max < GAP_BYTES_MAX) move->gap_max *= 2;
        move->is_synced = false;
        return (struct move_next){MOVE_COPY, view->future_end};
    }
    if (view->is_busy) return (struct move_next){MOVE_WAIT, 0};
    if (!move->is_aside) {
        move->is_aside = true;
        move->is_synced = false;
        return (struct move_next){MOVE_SET_ASIDE, 0};
    }
    if (move->is_synced && view->future_synced >= view->synced)
        return (struct move_next){MOVE_TAKE_PLACE, 0};
    return (struct move_next){MOVE_SYNC, 0};
}
