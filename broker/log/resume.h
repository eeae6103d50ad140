/* broker/log/resume.h - where in a segment recovery goes on. Internal to the room.
 *
 * Kafka scans the segment of the recovery point from its beginning. When only the process has ended
 * (the machine's boot is the same), the page cache has its indexes as they were written, at least
 * up to the recovery point (sync.c saves them first): then the scan goes on one entry before the
 * last that is below that point, at a batch that is looked at. Whatever does not fit, all is
 * scanned. */
#pragma once
#include "broker/log/segment.h"

struct resume {
    int64_t position; /* 0: at the beginning, and the indexes are made anew */
    int64_t next;     /* offset of the batch there */
};

/* `point`: all below is on the device. Of a segment that has its file's size; its indexes keep what
 * is before the place. */
MUST_CHECK enum err resume_find(struct segment *segment, const struct segment_place *place,
                                int64_t point, struct resume *out);
