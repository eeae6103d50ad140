/* controller/outbox.h - what one step of a machine wants to tell brokers, gathered into one
 * LeaderAndIsr, one UpdateMetadata and one StopReplica per broker. Pure.
 *
 * Rules (Kafka's batches): a partition is told to a broker once, "new" and "delete" stick; every
 * LeaderAndIsr addition tells the partition to all alive brokers by UpdateMetadata too; requests
 * leave as all LeaderAndIsr, then UpdateMetadata, then all StopReplica, each in order of broker
 * ids. They go to alive brokers only; but a suspect one, whose channel keeps what it is given, is
 * sent the ends: of topics, and of replicas. One that is returning is named as live. What is sent
 * is what the context says when outbox_send is called. */
#pragma once
#include "controller/context.h"

struct outbox;

struct outbox *outbox_create(void);
void outbox_destroy(struct outbox **outbox);
/* Forgets what was gathered. */
void outbox_clear(struct outbox *outbox);
bool outbox_is_empty(const struct outbox *outbox);

/* The partition must have leadership; negative ids are skipped. */
void outbox_leader_and_isr(struct context *context, const struct ids *brokers, struct partition *p,
                           bool is_new);
/* One without leadership is skipped. */
void outbox_update(struct context *context, const struct ids *brokers, struct partition *p);
/* UpdateMetadata without partitions. */
void outbox_update_brokers(struct context *context, const struct ids *brokers);
void outbox_stop(struct context *context, int32_t broker, struct partition *p, bool is_delete);

/* Makes an EFFECT_CONTROL of what was gathered, if it was anything. */
void outbox_send(struct context *context);

/* UpdateMetadata without partitions, at once and apart from what is gathered: to alive brokers and
 * those that are returning, naming both. */
void outbox_tell_returning(struct context *context);

void outbox_batch_destroy(struct control_batch **batch); /* NULL is fine */
/* One line per request, for logs and transcripts. */
void outbox_print(struct buf *out, const struct control *control);
