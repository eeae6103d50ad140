/* broker/api/alter.h - ISR changes on their way to the controller: AlterPartition; or, where
 * inter.broker.protocol.version is below 2.7-IV2, straight into ZooKeeper (isr_writer.h).
 *
 * Leaders propose on their shards; the control shard gathers what has come while one request is on
 * its way, sends it as the next, and brings each answer home. One request in flight, and it is
 * never given up: a partition waits for its answer. Rules: controller.md §21. */
#pragma once
#include "broker/api/dispatch.h"
#include "broker/replica/partitions.h"
#include "cluster/options.h"

struct alter;
struct zk;

/* On the control shard. */
struct alter *alter_create(struct api_shard *control, struct msg_routes *routes);
/* A session begins; NULL: there is none any more. */
void alter_set_zk(struct alter *alter, struct zk *zk);
/* The end, before forward_stop: nothing is sent any more; what waits is never decided. */
void alter_stop(struct alter *alter);
/* Sets to NULL; NULL is fine. */
void alter_destroy(struct alter **alter);

/* On a data shard, when its partitions exist. */
void alter_listen(struct api_shard *api, struct msg_routes *routes);
/* For partitions_ops.propose, with the shard's `struct api_shard` as owner. */
void alter_propose(void *api, const struct isr_change *change);
