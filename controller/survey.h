/* controller/survey.h - all partitions of a controller counted, in pieces: for its metrics and its
 * page.
 *
 * A piece has a bound, so that very many partitions hold nobody up; what was counted is told when
 * all of it has been. A partition is as it was when its piece was, which is a moment ago, and the
 * sums of one survey fit together. Pure. */
#pragma once
#include "controller/context.h"

struct survey_health {
    int64_t partitions, offline, under_replicated;
};
/* Adds one partition. */
void survey_judge(const struct context *context, const struct partition *p,
                  struct survey_health *health);
/* A leader that is alive. */
bool survey_is_led(const struct context *context, const struct partition *p);

/* What one broker has. */
struct survey_load {
    int32_t broker;
    int64_t leads, has, in_sync;
};

struct survey_sums {
    struct survey_health health;
    /* Without topics that are being deleted; a partition that was never led is not offline. */
    int64_t offline, imbalanced;
    int64_t topics_deleting;
    struct survey_load *loads; /* ascending by broker */
    int32_t load_count;
};

struct survey {
    struct topic_walk walk;
    bool is_under_way;
    struct survey_sums counting;
    struct survey_sums sums; /* of the last one that came to its end */
};

void survey_begin(struct survey *survey, struct context *context);
/* Counts at most about `max` partitions. True: there are more. */
bool survey_piece(struct survey *survey, struct context *context, int max);
/* What `broker` has; zeros for one that was not there. */
struct survey_load survey_load_of(const struct survey *survey, int32_t broker);
void survey_fini(struct survey *survey);
