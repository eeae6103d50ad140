/* cluster/alter.h - what AlterConfigs and IncrementalAlterConfigs make of a set of overrides. Pure.
 * Source: apis.md §10.2. */
#pragma once
#include "cluster/options.h"

enum alter_operation { ALTER_SET, ALTER_DELETE, ALTER_APPEND, ALTER_SUBTRACT };
enum alter_entity { ALTER_TOPIC, ALTER_BROKER, ALTER_ALL_BROKERS };

struct alteration {
    struct slice key, value; /* null value: only to delete */
    int operation;           /* alter_operation, as it was sent */
};

/* Each is a Kafka code of its own. */
enum alter_result {
    ALTER_OK,
    ALTER_INVALID_REQUEST, /* 42 */
    ALTER_INVALID_CONFIG,  /* 40 */
    ALTER_UNKNOWN_ERROR,   /* −1 */
};

/* The overrides `now` as they are after the changes: kept ones in their order, then new ones; in
 * `arena`, texts borrowed. Not ALTER_OK: with a message, and nothing given. */
MUST_CHECK enum alter_result alter_apply(enum alter_entity entity, const struct option_pair *now,
                                         int now_count, const struct alteration *changes, int count,
                                         struct arena *arena, struct option_pair **out,
                                         int *out_count, struct buf *message);

/* Whether a broker may be configured so at run time; of what is stored already only what changes is
 * looked at. A key that Ottla takes at its start only is refused: silence would be a lie. */
MUST_CHECK enum alter_result alter_check_broker(const struct options *options,
                                                enum alter_entity entity,
                                                const struct option_pair *pairs, int pair_count,
                                                const struct alteration *changes, int count,
                                                struct buf *message);
