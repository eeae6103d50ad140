/* broker/log/recover.h - a partition's log as it is found on disk: loaded after a clean stop,
 * recovered after any other (storage reference §5). Internal to the room.
 *
 * A plain function for a disk job. After a clean stop it lists the directory, reads two small files
 * and asks the sizes of the segments: no index and no batch of a log that ends where its last index
 * entry says. Otherwise every segment from the one that has the recovery point on is scanned batch
 * by batch, cut behind the last good one, and its indexes are built anew; what is below the
 * recovery point was synced and is believed. In the first of them the scan begins near that point,
 * if it can (resume.h). */
#pragma once
#include "broker/log/parts.h"
#include "broker/log/resume.h"

struct recover_request {
    const struct env *env;
    struct log_dir *dir;
    const char *name; /* of the partition's directory */
    struct slice topic;
    int32_t partition;
    const struct log_config *config;
    struct log_files *files; /* of the job */
    bool is_clean;
    bool is_future; /* future.h */
    bool keeps_topic_ids;
    bool is_same_boot;      /* the page cache is that of whoever wrote here last */
    bool is_foreign;        /* that was not Ottla, which notes what it has compacted */
    int64_t recovery_point; /* of the checkpoints; 0: none */
    int64_t log_start;
    int64_t high_watermark;
    int64_t cleaned;                              /* -1: none */
    int64_t recovery_point_ms, high_watermark_ms; /* when these were written; 0: never */
    int64_t now_ms;
};

struct recover_result {
    int segments_recovered;
    int64_t bytes_scanned;
    int64_t bytes_cut;
    bool is_short; /* it ends before what was promised of it: log_promised */
};

/* ERR_IO and ERR_CORRUPT (a file that takes the directory offline), ERR_FULL, ERR_TOO_MANY. Gives a
 * detached log. */
MUST_CHECK enum err recover_log(const struct recover_request *request,
                                struct recover_result *result, struct log **out);

/* Scans one segment from `from` on, cuts it behind its last good batch, builds its indexes from
 * there on, and tells `epochs` of epochs that are later than all that it knows: from where `before`
 * has them begin, if that fits the batches. From `dense_from` on offsets go on without a gap.
 * `*next` is the offset after the last one; `*cut` how many bytes went. */
MUST_CHECK enum err recover_segment(struct segment *segment, const struct segment_place *place,
                                    const struct resume *from, const struct log_config *config,
                                    struct epochs *epochs, const struct epochs *before,
                                    int64_t dense_from, int64_t *next, int64_t *cut);

/* A new log, empty, in a new directory. On failure nothing of it stays, so that it may be tried
 * again. */
MUST_CHECK enum err recover_create(const struct recover_request *request, struct log **out);
/* Takes a new log that did not come to be, detached, with its directory. Sets to NULL. */
void recover_uncreate(struct log **log);
