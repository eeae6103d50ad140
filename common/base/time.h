/* base/time.h - points in monotonic time and the spans between them. No clock: an instant comes
 * from env_now() or in an event. Wall-clock time (record timestamps) is plain int64_t milliseconds.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct instant {
    int64_t ns; /* since an origin of the process; INSTANT_NEVER is after all others */
};

#define INSTANT_NEVER ((struct instant){INT64_MAX})
#define INSTANT_ZERO  ((struct instant){0})

static inline bool instant_before(struct instant a, struct instant b)
{
    return a.ns < b.ns;
}

static inline bool instant_reached(struct instant now, struct instant deadline)
{
    return now.ns >= deadline.ns;
}

static inline bool instant_is_never(struct instant at)
{
    return at.ns == INT64_MAX;
}

static inline struct instant instant_min(struct instant a, struct instant b)
{
    return a.ns < b.ns ? a : b;
}

static inline struct instant instant_max(struct instant a, struct instant b)
{
    return a.ns > b.ns ? a : b;
}

/* Saturates at INSTANT_NEVER. */
static inline struct instant instant_add_ns(struct instant at, int64_t ns)
{
    return ns > 0 && at.ns > INT64_MAX - ns ? INSTANT_NEVER : (struct instant){at.ns + ns};
}

static inline struct instant instant_add_ms(struct instant at, int64_t ms)
{
    return ms > INT64_MAX / 1000000 ? INSTANT_NEVER : instant_add_ns(at, ms * 1000000);
}

static inline int64_t instant_ms_between(struct instant from, struct instant to)
{
    return (to.ns - from.ns) / 1000000;
}

static inline int64_t instant_ns_between(struct instant from, struct instant to)
{
    return to.ns - from.ns;
}
