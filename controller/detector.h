/* controller/detector.h - is a process dead, or only slow? Pure: one target, told of its
 * connection.
 *
 * Dead is: the connection broke and a new one was refused (nobody listens there any more), or
 * nothing was heard for the heartbeat timeout. One that was never connected is given `grace_ms` in
 * which it may refuse (it registers before it listens), and silence alone never condemns it:
 * nothing is known of it. One that is only slow to connect, or unreachable, is judged by the
 * timeout, of which only that counts in which we were awake to hear: a pause of ours, or an event
 * that kept us busy, condemns nobody. Back is: it answers a ping. So a connection that is accepted
 * and then left silent does not flap. */
#pragma once
#include "base/time.h"

enum detector_verdict { DETECTOR_FINE, DETECTOR_DEAD };

struct detector {
    int64_t timeout_ms;
    bool is_known;             /* has answered once */
    bool is_connected;         /* now */
    struct instant heard;      /* the last answer, and what we slept since */
    struct instant looked;     /* the last tick, or answer */
    struct instant grace_ends; /* of one that is not known */
    enum detector_verdict verdict;
};

enum detector_event {
    DETECTOR_CONNECTED,
    DETECTOR_LOST,     /* the connection that stood */
    DETECTOR_REFUSED,  /* an attempt: nobody listens */
    DETECTOR_FAILED,   /* an attempt: anything else */
    DETECTOR_ANSWERED, /* a ping */
    DETECTOR_TICK,
};

void detector_init(struct detector *detector, struct instant now, int64_t timeout_ms,
                   int64_t grace_ms);
/* True when the verdict changed. */
bool detector_step(struct detector *detector, enum detector_event event, struct instant now);
/* Of one among many: it was heard lately, in less than half of the timeout. When silence would
 * condemn one while nobody else is fresh, it is more likely we who hear nothing. */
bool detector_is_fresh(const struct detector *detector, struct instant now);
/* Takes the verdict of a tick back; the next look decides again. */
void detector_hold(struct detector *detector, struct instant now);
/* When a tick may change it. */
struct instant detector_deadline(const struct detector *detector);
