/* base/planted.h - places where the simulator's own test puts in a bug, to show that it is found.
 *
 *     if (is_complete(it) || planted(half_is_enough))
 *
 * False, and gone, unless configured with --enable-planted; then true while `planted_bug` (set by
 * `sim --plant NAME`) has that name. tests/sim/planted.h lists the names with what each breaks.
 * Never in a build that is installed. */
#pragma once

#ifdef OTTLA_PLANTED
#include <stdbool.h>
#include <string.h>

extern const char *planted_bug;

static inline bool planted_is(const char *name)
{
    return planted_bug != NULL && strcmp(planted_bug, name) == 0;
}
#define planted(name) planted_is(#name)
#else
#define planted(name) false
#endif
