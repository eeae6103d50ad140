/* tools/topics_text.h - what `ottla topics` reads and prints as text. Pure. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "cluster/types.h"

struct partition_view {
    int32_t partition;
    int32_t leader;    /* or LEADER_NONE */
    bool is_available; /* it has a leader, and that lives */
    struct broker_ids replicas, isr, adding, removing;
    bool tells_elr; /* the cluster tells eligible leader replicas, and who was one last */
    struct broker_ids elr, last_elr;
};

struct topic_config_view {
    struct slice name, value;
};

struct topic_view {
    struct slice name;
    struct uuid id;                          /* zero: not shown */
    const struct topic_config_view *configs; /* those that are not the default */
    int config_count;
    bool has_overrides; /* of its own */
    int32_t min_insync_replicas;
    bool is_marked; /* for deletion */
    const struct partition_view *partitions;
    int partition_count;
};

/* What of a description is wanted; all false: everything. */
struct topics_wanted {
    bool under_replicated, unavailable, under_min_isr, at_min_isr;
    bool overrides; /* headers of topics with configurations of their own, nothing else */
};

void topic_view_print(const struct topic_view *topic, const struct topics_wanted *wanted,
                      struct buf *out);

/* "0:1,1:2": replicas with ":", partitions with ",". All lists are equally long and name no broker
 * twice: ERR_INVALID with a message. `*replicas` has count × factor ids, in the arena. */
MUST_CHECK enum err topics_assignment_parse(struct slice text, struct arena *arena,
                                            int32_t **replicas, int32_t *count, int32_t *factor,
                                            struct buf *message);

/* Topic names by a list of regular expressions with commas between them, each for the whole name.
 */
struct topics_pattern;
MUST_CHECK enum err topics_pattern_create(const char *text, struct topics_pattern **out);
void topics_pattern_destroy(struct topics_pattern **pattern); /* NULL is fine */
bool topics_pattern_matches(const struct topics_pattern *pattern, struct slice name);

/* Whether metric names of such topics could collide. */
bool topics_name_is_risky(const char *name);
