/* controller/brokers.h - brokers come, go, shut down, lose a log directory. Pure. */
#pragma once
#include "controller/task.h"

/* The replicas can no longer serve. Partitions that they led elect, they leave their ISRs. Takes
 * the members of `set`. With `spare_leaders` a replica that still leads for want of another is left
 * alone: its broker is only suspected. Pushes a task. */
void replicas_became_offline(struct context *context, struct replica_set *set, bool spare_leaders);

/* Reads the registered brokers (watching them) into the context, with a channel to each, and does
 * nothing more. Pushes a task. */
void brokers_load(struct context *context);

/* All that a broker needs to hear when it comes: pushes a task. Copies `ids`. */
void brokers_start_up(struct context *context, const struct ids *ids);

/* All replicas on the broker, of topics being deleted too. */
void broker_replicas(const struct context *context, int32_t id, struct replica_set *out);
