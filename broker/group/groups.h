/* broker/group/groups.h - a data shard's groups: a coordinator for each partition of
 * __consumer_offsets that this broker leads and that lives here.
 *
 * A coordinator begins by reading its log (on the disk pool, applied in bounded pieces), serves,
 * appends what must last, and ends with its leadership. It holds no more than its leadership may:
 * an append that is answered later changes nothing of the next one. What waits is a groups_call of
 * the caller's, which comes back through `done`. */
#pragma once
#include "broker/group/group.h"
#include "broker/group/offsets.h"
#include "broker/replica/partitions.h"

struct groups;
struct options;

struct groups_settings {
    struct group_settings group;
    int32_t session_ms_min, session_ms_max; /* group.min.session.timeout.ms, … */
    int32_t metadata_max;                   /* offset.metadata.max.bytes */
    int32_t commit_timeout_ms;              /* offsets.commit.timeout.ms */
    int32_t required_acks;                  /* offsets.commit.required.acks */
    int64_t retention_ms;                   /* offsets.retention.minutes */
    int64_t retention_check_ms;             /* offsets.retention.check.interval.ms */
    int32_t load_bytes;                     /* offsets.load.buffer.size */
    int32_t codec;                          /* offsets.topic.compression.codec */
    int32_t level;                          /* inter.broker.protocol.version: enum level */
};
void groups_settings_fill(struct groups_settings *settings, const struct options *options);

/* `partitions` and `settings` are borrowed while it lives. */
struct groups *groups_create(struct shard *shard, struct partitions *partitions,
                             const struct groups_settings *settings);
/* After groups_stop, and after the partitions have closed. Sets to NULL; NULL is fine. */
void groups_destroy(struct groups **groups);
/* The end: all that waits is answered; what comes gets ERR_NO_COORDINATOR. */
void groups_stop(struct groups *groups);

/* This broker leads the partition of __consumer_offsets from now on, or no more. */
void groups_led(struct groups *groups, int32_t partition, bool is_leader, int32_t leader_epoch);
/* These have been deleted: nobody's offsets of them are kept. */
void groups_partitions_gone(struct groups *groups, struct slice topic, const int32_t *partitions,
                            int count);
/* The marker of a transaction is in the log of the partition. */
void groups_transaction_ended(struct groups *groups, int32_t partition, int64_t producer_id,
                              bool is_commit);

/* ---- calls */

enum groups_call_kind {
    GROUPS_JOIN,
    GROUPS_SYNC,
    GROUPS_HEARTBEAT,
    GROUPS_LEAVE,
    GROUPS_COMMIT,
    GROUPS_FETCH,
    GROUPS_DELETE_OFFSETS,
    GROUPS_DESCRIBE,
    GROUPS_DELETE,
};

/* A partition that a call is about. */
struct groups_part {
    struct slice topic;
    int32_t partition;
    struct offset_commit commit; /* COMMIT: what; FETCH: result, offset −1: none */
    enum err err;                /* result */
};

struct groups_description {
    enum group_state state;
    struct slice protocol_type, protocol; /* "" for none */
    const struct group_member_view *members;
    int member_count;
};

/* All is the caller's, and stays as it is until `done`. */
struct groups_call {
    enum groups_call_kind kind;
    int32_t partition; /* of __consumer_offsets */
    struct slice group;
    union {
        struct group_join join;
        struct group_sync sync;
        struct group_voice voice; /* HEARTBEAT, COMMIT */
        struct {
            const struct group_leaver *leavers;
            int count;
        } leave;
    };
    /* COMMIT, DELETE_OFFSETS, FETCH: results are put into them. */
    struct groups_part *parts;
    int part_count;
    int64_t retention_ms; /* COMMIT: each expires after so long; −1: as the broker has it */
    bool fetches_all;     /* FETCH: `parts` is a result too, in `out` */
    bool must_be_stable;  /* FETCH */

    /* Results. What they point to is in `out`, which the caller initialises and ends. */
    struct arena out;
    enum err err; /* of the call as a whole */
    struct group_answer answer;
    struct groups_description described;

    void (*done)(struct groups_call *call); /* never inside groups_ask */
    struct list_node node;                  /* of groups.c, as the rest */
    bool is_asking, is_answered;
    struct hosted_group
        *committing;           /* COMMIT, on its way to the log: of this group; NULL: it has */
    struct list_node in_group; /* gone. In hosted_group.commits */
};
/* True: answered, and `done` will not come. False: it is kept until `done`.
 *
 * Errors of a call: ERR_NO_COORDINATOR, ERR_NOT_COORDINATOR, ERR_COORDINATOR_LOADING, and those of
 * Kafka's rules for its kind; of a commit or a deletion of offsets they are each part's. */
bool groups_ask(struct groups *groups, struct groups_call *call);

/* ---- lists */
struct groups_listed {
    struct slice id, protocol_type;
    enum group_state state;
    enum group_type type;
};
/* All groups of this shard, in the arena. True: some are still being read. */
bool groups_list(struct groups *groups, struct arena *arena, struct groups_listed **out,
                 int *count);

/* ---- what there is, in pieces: for the pages that watch a broker */
struct group_fact {
    struct slice group; /* borrowed for the call */
    enum group_state state;
    int members;
};
struct groups_watcher {
    int32_t (*group)(void *to, const struct group_fact *fact); /* gives what stands for it below */
    void (*offset)(void *to, int32_t group, struct slice topic, int32_t partition, int64_t offset);
    void *to;
};
/* One walk at a time; another one begins anew. */
void groups_walk_begin(struct groups *groups);
/* Groups until they and their commits are about `max`; one group is told as a whole. False: that
 * was the last. Between pieces groups may come and go. */
bool groups_walk(struct groups *groups, int max, const struct groups_watcher *watcher);

struct groups_counts {
    struct gauge groups, loading, members;
    struct counter rebalances, commits, commits_failed, expired;
};
struct groups_counts *groups_counts(struct groups *groups);
