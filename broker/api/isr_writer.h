/* broker/api/isr_writer.h - ISR changes without a controller: the leader writes the partition's
 * state znode itself (inter.broker.protocol.version below 2.7-IV2).
 *
 * On the control shard. A write is conditional on the partition epoch, which is the node's version.
 * An answer that was lost is no answer: the write is sent again, and if it then meets another
 * version, what stands there is read: exactly what we wanted to write is our own success. What was
 * changed is told to the controller by a sequential node, many partitions in one: looked at every
 * 2.5 s, written when nothing has changed for 5 s or the last one is 60 s old. Without a session
 * everything waits for the next one. Rules: zookeeper.md §6, §8. */
#pragma once
#include "broker/replica/partitions.h"
#include "zk/zk.h"

/* One change. The caller's, zeroed but for what it fills in, kept until `decided`. */
struct isr_write {
    struct slice topic;
    int32_t partition;
    int32_t leader_epoch, partition_epoch; /* the latter a result too */
    int32_t controller_epoch; /* of the LeaderAndIsr that made us leader: written back */
    const int32_t *isr;
    int isr_count;

    /* Result: ISR_COMMITTED, or ISR_UNKNOWN: someone else has written, LeaderAndIsr will tell. */
    enum isr_verdict verdict;

    struct list_node node; /* of isr_writer.c, as all below */
    struct zk_call call;
    struct isr_writer *writer;
    bool is_reading;
};

struct isr_writer_options {
    struct shard *shard;
    int32_t broker_id;
    void (*decided)(void *owner, struct isr_write *write); /* never inside isr_writer_add */
    void *owner;
};

struct isr_writer;
struct isr_writer *isr_writer_create(const struct isr_writer_options *options); /* copied */
/* Its session has ended, or set_zk was never called. What waits is forgotten: it is its caller's.
 */
void isr_writer_destroy(struct isr_writer **writer);
/* A session begins; NULL: there is none any more. */
void isr_writer_set_zk(struct isr_writer *writer, struct zk *zk);
void isr_writer_add(struct isr_writer *writer, struct isr_write *write);

/* Whether partitions whose ISR has changed are to be told now. Pure. */
bool isr_writer_is_due(struct instant changed_at, struct instant told_at, struct instant now);
