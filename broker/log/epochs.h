/* broker/log/epochs.h - which leader epoch wrote which offsets. Pure.
 *
 * A follower that may have diverged asks where an epoch ended; this table answers. Entries ascend
 * in both epoch and start. No I/O: the log saves it (checkpoint.h) after a change. Kafka's rules:
 * storage reference §7.1. An epoch that is not known is -1. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct epoch_entry {
    int32_t epoch;
    int64_t start; /* the first offset that it may have written */
};

struct epochs {
    struct epoch_entry *at;
    int32_t count, capacity;
};

void epochs_init(struct epochs *epochs);
void epochs_fini(struct epochs *epochs);
bool epochs_equal(const struct epochs *a, const struct epochs *b);
void epochs_copy(struct epochs *to, const struct epochs *from); /* `to` is initialised */

/* `epoch` writes from `start` on. Saying the latest one again, not earlier, changes nothing;
 * otherwise entries of that or a later epoch, or at that or a later offset, make way. `*changed`
 * says whether there is something to save. ERR_INVALID, and nothing changes, if one is negative. */
MUST_CHECK enum err epochs_start(struct epochs *epochs, int32_t epoch, int64_t start,
                                 bool *changed);

/* Where `epoch` ended, for a log that ends at `end_offset`: the largest epoch not above it, and the
 * start of the one after. (-1, -1) when that cannot be said. */
struct epoch_end {
    int32_t epoch;
    int64_t end_offset;
};
struct epoch_end epochs_end_of(const struct epochs *epochs, int32_t epoch, int64_t end_offset);

/* The latest or the earliest; epoch -1 when there is none. */
struct epoch_entry epochs_latest(const struct epochs *epochs);
struct epoch_entry epochs_earliest(const struct epochs *epochs);
/* The epoch that wrote `offset`, as far as the table knows; -1. */
int32_t epochs_at(const struct epochs *epochs, int64_t offset);

/* Each says whether there is something to save. */
bool epochs_truncate_end(struct epochs *epochs, int64_t offset); /* drops starts ≥ offset */
bool epochs_truncate_start(struct epochs *epochs,
                           int64_t offset); /* the epoch at `offset` starts there */
bool epochs_clear(struct epochs *epochs);
