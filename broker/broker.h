/* broker/broker.h - one broker: its shards, what they share, from the start to the end.
 *
 *     broker_create → broker_run … (SIGTERM, or broker_stop) → broker_destroy
 *
 * Data shards have connections and partitions; the control shard, on the caller's thread, has
 * ZooKeeper, the store of logs, the metadata image and what the controller says. Nothing here is
 * global: a program may hold many brokers. */
#pragma once
#include "base/conf.h"
#include "cluster/listeners.h"
#include "runtime/env.h"
#include "runtime/status.h"

struct broker;
struct shard;

struct broker_options {
    struct env *env;
    const struct options *options;     /* checked (options_check); borrowed until broker_destroy */
    const struct listeners *listeners; /* likewise */
    bool takes_signals;                /* SIGTERM and SIGINT end it */

    /* For a world that turns shards itself, without threads. Told of each data shard, on the
     * control shard, when it may have its first turn; NULL: they get threads of their own. */
    void (*shard_opened)(void *owner, struct shard *shard);
    void *owner;
    struct metrics *metrics; /* what it counts is entered there; outlives it. NULL: nowhere */
    int data_shards;         /* 0: as configured, at most one per processor */
    int files_max;           /* descriptors to reckon with; 0: as the system says */
};

/* Locks and reads the log directories. ERR_BUSY, ERR_INVALID, ERR_OFFLINE, ERR_IO …; `problem` gets
 * a sentence. */
MUST_CHECK enum err broker_create(const struct broker_options *options, struct buf *problem,
                                  struct broker **out);

/* Until the end. ERR_OK: it was asked to end, and has done so in order. ERR_TIMED_OUT: likewise,
 * but a step was left behind, and what that began may still run. Else why it could not start, or go
 * on. It has been logged. */
MUST_CHECK enum err broker_run(struct broker *broker);

/* The same in parts, where the caller turns the shards: broker_start, then turns of broker_shard
 * and of the data shards until the control shard has been stopped, then broker_result. */
MUST_CHECK enum err broker_start(struct broker *broker);
struct shard *broker_shard(struct broker *broker); /* the control shard */
enum err broker_result(const struct broker *broker);

/* How far it is; for the page that watches it. On the control shard. */
enum status_readiness broker_readiness(struct broker *broker);

/* What it adds to the pages of its process, when it has `metrics`. Until broker_end_pages, after
 * which nobody who asks is kept waiting. */
struct status_pages broker_pages(struct broker *broker);
void broker_end_pages(struct broker *broker);

/* Asks for the orderly end. On the control shard. */
void broker_stop(struct broker *broker);

/* Sets to NULL; NULL is fine. */
void broker_destroy(struct broker **broker);
