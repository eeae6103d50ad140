/* tools/topics.h - `ottla topics`. */
#pragma once
#include "tools/args.h"
#include "tools/topics_text.h"

extern const struct args_command topics_command;
int topics_main(int argc, char **argv);

/* The command line, understood. */
struct topics_job {
    const struct args *args;
    const char *action;             /* "create" … */
    const char *topic;              /* NULL: not given */
    struct topics_pattern *pattern; /* NULL: all */
    struct arena *arena;
    int64_t partitions, factor; /* −1: not given */
    int32_t *assigned;          /* NULL: not given */
    int32_t assigned_count, assigned_factor;
    const struct topic_config_view *configs;
    int config_count;
    bool exclude_internal, if_exists, if_not_exists;
    struct topics_wanted wanted;
};

/* Both fail with a message for the user. */
MUST_CHECK enum err topics_by_brokers(const struct topics_job *job, struct buf *out,
                                      struct buf *message);
MUST_CHECK enum err topics_by_zookeeper(const struct topics_job *job, struct buf *out,
                                        struct buf *message);

static inline bool topics_job_selects(const struct topics_job *job, struct slice name,
                                      bool is_internal)
{
    return !(job->exclude_internal && is_internal) &&
           (job->pattern == NULL || topics_pattern_matches(job->pattern, name));
}
