/* broker/group/offsets.h - what one group has committed. Pure.
 *
 * A commit is prepared (it is on its way to the log), then done with the offset of its batch there,
 * or undone. Of two commits of one partition the one that is later in the log counts, whichever is
 * done first. Commits of a transaction wait under their producer id for its marker.
 *
 * Times are wall-clock milliseconds. Rules: Kafka 3.9's (reference: coordinators A10, KIP-211). */
#pragma once
#include "base/buf.h"
#include "base/slice.h"

struct offsets;

struct offset_commit {
    int64_t offset;
    int32_t leader_epoch; /* −1: none */
    struct slice metadata;
    int64_t commit_ms;
    int64_t expire_ms; /* −1: by the broker's retention */
};

struct offsets *offsets_create(void);
void offsets_destroy(struct offsets **offsets); /* sets to NULL; NULL is fine */

size_t offsets_count(const struct offsets *offsets); /* partitions that have a commit */
/* No commit, none on its way, none in a transaction. */
bool offsets_is_empty(const struct offsets *offsets);

/* False: none. Borrows until the next change. */
bool offsets_find(const struct offsets *offsets, struct slice topic, int32_t partition,
                  struct offset_commit *out);
bool offsets_has_topic(const struct offsets *offsets, struct slice topic);
/* A commit of it is on its way, or waits for its transaction's end. */
bool offsets_is_unstable(const struct offsets *offsets, struct slice topic, int32_t partition);

/* ---- commits, on their way */
void offsets_prepare(struct offsets *offsets, struct slice topic, int32_t partition);
/* In the log, in the batch at `log_offset`. */
void offsets_done(struct offsets *offsets, struct slice topic, int32_t partition,
                  const struct offset_commit *commit, int64_t log_offset);
void offsets_undone(struct offsets *offsets, struct slice topic, int32_t partition);

/* ---- within transactions */
void offsets_txn_prepare(struct offsets *offsets, int64_t producer_id, struct slice topic,
                         int32_t partition);
void offsets_txn_done(struct offsets *offsets, int64_t producer_id, struct slice topic,
                      int32_t partition, const struct offset_commit *commit, int64_t log_offset);
void offsets_txn_undone(struct offsets *offsets, int64_t producer_id, struct slice topic,
                        int32_t partition);
/* The marker: what is in the log becomes a commit, or is forgotten. What is still on its way stays
 * until it is done or undone. */
void offsets_txn_end(struct offsets *offsets, int64_t producer_id, bool is_commit);
bool offsets_has_txn(const struct offsets *offsets, int64_t producer_id);

/* ---- what the log says, while it is read */
void offsets_load(struct offsets *offsets, struct slice topic, int32_t partition,
                  const struct offset_commit *commit, int64_t log_offset);
/* True: there was one. */
bool offsets_remove(struct offsets *offsets, struct slice topic, int32_t partition);

/* ---- walks: `each` changes nothing; topics in order of their first commit */
void offsets_each(const struct offsets *offsets,
                  void (*each)(void *to, struct slice topic, int32_t partition,
                               const struct offset_commit *commit),
                  void *to);
/* How a group's offsets age. */
enum offsets_aging {
    OFFSETS_AGE_NEVER,       /* it rebalances, or nobody knows what it reads */
    OFFSETS_AGE_FROM_EMPTY,  /* since the group became empty (−1: since each commit) */
    OFFSETS_AGE_FROM_COMMIT, /* since each commit, of topics that `keeps` does not keep */
};
struct offsets_age {
    enum offsets_aging aging;
    int64_t empty_since_ms;
    int64_t now_ms, retention_ms;
    bool (*keeps)(void *to, struct slice topic); /* NULL: nothing */
    void *to;
};
/* Removes what has expired; `removed` hears each before. Gives how many. */
int offsets_expire(struct offsets *offsets, const struct offsets_age *age,
                   void (*removed)(void *to, struct slice topic, int32_t partition), void *to);

/* Length as Java counts it: in UTF-16 units. */
int64_t offsets_metadata_len(struct slice metadata);

void offsets_audit(const struct offsets *offsets);
