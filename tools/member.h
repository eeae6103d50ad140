/* tools/member.h - one member of a group of consumers: joins, assigns where it leads, beats, reads
 * what it is assigned (consumer.h), commits, leaves.
 *
 * Eager: what it has is committed and given up before each rebalance. member_poll does what is due
 * and waits for answers while it does, on the cluster's one shard; heartbeats go out meanwhile. */
#pragma once
#include "tools/assignor.h"
#include "tools/consumer.h"

struct member;

struct member_options {
    const char *group;
    const char *instance_id; /* NULL: a dynamic member */
    /* Which topics: all that it says true for. */
    bool (*wants)(void *owner, struct slice topic, bool is_internal);
    /* The user wants to end: nothing is waited for any more. */
    bool (*is_over)(void *owner);
    void *owner;
    enum assignor assignors[ASSIGNOR_COUNT]; /* in order of preference */
    int assignor_count;
    int64_t start; /* of a partition without a commit: CONSUMER_EARLIEST or _LATEST; 0: an error */
    int32_t session_ms, rebalance_ms, heartbeat_ms;
    int64_t
        commit_ms; /* between commits; −1: none but those that are asked for, and none at the end */
    int64_t retry_backoff_ms, metadata_max_age_ms;
    bool read_committed; /* offsets of open transactions are waited for */
};

/* Asks nobody yet. `consumer` is by assignment; both are borrowed while it lives. */
struct member *member_open(struct cluster *cluster, struct consumer *consumer,
                           const struct member_options *options);
/* What is due now: to be called after each turn. An error, with a message, that does not pass. */
MUST_CHECK enum err member_poll(struct member *member, struct buf *message);
/* Commits, if it does so by itself and `commits`, and leaves, if it is not static. NULL is fine. */
void member_close(struct member **member, bool commits);
