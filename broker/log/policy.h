/* broker/log/policy.h - when to roll, what to delete. Pure: numbers in, decisions out (storage
 * reference §4.2, §7). */
#pragma once
#include "broker/log/config.h"

/* What is about to be appended, and where. */
struct policy_append {
    int64_t now_ms;
    int64_t len;           /* bytes to append */
    int64_t last_offset;   /* of what is appended */
    int64_t max_timestamp; /* of what is appended; -1: none */

    int64_t segment_base;
    int64_t segment_size;
    int64_t first_timestamp; /* the highest of the segment's first batch; < 0: none */
    int64_t opened_ms;       /* wall clock, when this process opened it */
    int64_t jitter_ms;       /* of this segment: policy_jitter */
    bool is_index_full;
};
bool policy_must_roll(const struct log_config *config, const struct policy_append *append);

/* The jitter of a new segment, from a random number. */
int64_t policy_jitter(const struct log_config *config, uint64_t random);

/* One segment, oldest first. */
struct policy_segment {
    int64_t base;
    int64_t size;
    int64_t largest_timestamp; /* of its records, or when it was last written */
};

/* How many segments from the oldest on may go. `end` is the log's end; the last segment may be
 * among them: then the caller rolls first. Only what is below the high watermark goes, and never an
 * empty last segment. */
int policy_retention(const struct log_config *config, const struct policy_segment *segments,
                     int count, int64_t log_start, int64_t end, int64_t high_watermark,
                     int64_t now_ms);
