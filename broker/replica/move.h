/* broker/replica/move.h - the move of one replica to another log directory: what is next. Pure.
 *
 * The future log (broker/log/future.h) is filled from the current one, which goes on being led or
 * followed, and may be cut meanwhile. When little is missing the current one is set aside, both are
 * synced, and if then what was appended during the sync is little again, it is copied at once and
 * the place is taken. So nobody waits for the move, and nothing that was on the device before is
 * not there after.
 *
 * moving.c asks when nothing of the move is under way, and says what it did. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct move {
    bool is_aside;    /* the current log has the name of a deleted one */
    bool is_compared; /* nothing has been cut since the two were found to have the same records */
    bool is_synced;   /* since it was set aside both have been synced together */
    int64_t cut_to;   /* the current log was cut down to here; INT64_MAX: no lower than the copy */
    int64_t gap_max;  /* bytes that are little */
};

/* The two logs as they are. */
struct move_view {
    int64_t start, end, synced; /* current: log start, end, recovery point */
    int64_t future_start, future_end, future_synced;
    int64_t common;    /* future_common; asked only if not `is_compared` */
    int64_t gap_bytes; /* between both ends, if it is at most gap_max; else INT64_MAX */
    bool is_busy;      /* somebody's job has the current log */
};

enum move_what {
    MOVE_WAIT,       /* until the jobs have ended */
    MOVE_RESTART,    /* the future log begins anew at `offset` */
    MOVE_CUT,        /* … is cut to `offset` */
    MOVE_COPY,       /* … gets more */
    MOVE_SET_ASIDE,  /* the current one makes way */
    MOVE_SYNC,       /* what is missing is copied at once, and both are synced */
    MOVE_TAKE_PLACE, /* what is missing is copied at once, and the place is taken */
};
struct move_next {
    enum move_what what;
    int64_t offset;
};

void move_init(struct move *move);
/* The current log has been cut to `offset`, or begun anew there. */
void move_cut(struct move *move, int64_t offset);
/* What to do now. A restart or a cut is taken as done; if it was not, say move_cut again. */
struct move_next move_next(struct move *move, const struct move_view *view);
