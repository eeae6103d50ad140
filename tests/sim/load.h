/* tests/sim/load.h - clients of a simulated cluster: what they do to it, and what they tell the
 * oracle.
 *
 * Client processes speak the real protocol through common/client: producers (acks 1 and all,
 * several requests in flight, retries that may write a batch twice; idempotent ones, whose retries
 * may not), consumers that read on, go
 * back and read again, and one operator who creates, deletes, re-creates, expands, reassigns,
 * elects and configures topics. Between bursts there is silence, so that idle time costs nothing.
 *
 * A topic is deleted only when nobody has a request for it under way: else an answer could be of
 * either of two topics of one name. */
#pragma once
#include "tests/sim/cluster.h"
#include "tests/sim/oracle_controller.h"
#include "tests/sim/oracle_log.h"

struct load;

#define LOAD_TOPICS_MAX    6
#define LOAD_OFFSETS_TOPIC "__consumer_offsets" /* there with `--set load.groups=N` only */

enum topic_state { TOPIC_ABSENT, TOPIC_CREATING, TOPIC_LIVE, TOPIC_DRAINING, TOPIC_DELETING };

struct load_topic {
    char name[32];
    enum topic_state state;
    int partitions, replicas, min_insync;
    bool is_unclean;     /* unclean elections are allowed */
    bool is_compacted;   /* its records have keys, and older ones of a key may go */
    bool is_short_lived; /* records go by age or size */
    bool is_trimmed;     /* records may be deleted by order */
    bool was_reassigned; /* a partition of this incarnation was */
    bool asks_to_cancel; /* its reassignments next, then for its deletion again */
    /* Asked for more than once: a request that was given up may be done later yet, after others. */
    int creations_asked, deletions_asked;
    bool may_come_again, may_go_again;
    int users; /* requests under way that name it */
    struct oracle_topic *oracle;
};

struct load *load_create(struct world *world, struct cluster *cluster, struct oracle_log *oracle,
                         struct oracle_controller *znodes);
/* Processes are killed before. */
void load_destroy(struct load **load);
/* Starts the clients. */
void load_start(struct load *load);
/* No more new records, no more operations but what is under way; consumers read on. */
void load_calm(struct load *load);
/* From then on the operator has a leader elected, unclean, where there is none: what is promised is
 * judged all the same. */
void load_give_up(struct load *load);
/* Nothing is under way, and every consumer has read all to the end; `why` says what is not. */
bool load_is_drained(struct load *load, char *why, size_t size);
/* Of all consumers and partitions together: whether they get on. */
int64_t load_read_to(const struct load *load);
/* Topics are what they should be, every partition has a leader and all its replicas in sync, in
 * ZooKeeper: the healed end of a run. */
bool load_is_whole(struct load *load, char *why, size_t size);
struct load_topic *load_topics(struct load *load, int *count);

/* What ZooKeeper says of a partition; false: nothing (any more). */
struct load_partition {
    int32_t leader, leader_epoch, replica_count, isr_count;
    int32_t replicas[MEMBERS_MAX], isr[MEMBERS_MAX];
    int64_t written_at; /* the transaction of its state; 0: it has none */
};
bool load_partition(struct load *load, const char *topic, int32_t partition,
                    struct load_partition *out);
/* The transaction in which the process that runs has registered its broker; 0: it is not
 * registered, or by an earlier life. */
int64_t load_registered_at(struct load *load, const struct member *member);

struct load_counts {
    uint64_t produce, produce_failed, fetch, fetch_failed, operations, refused, out_of_range;
    uint64_t generations, commits, offsets_told; /* of groups */
};
const struct load_counts *load_counts(const struct load *load);
