/* controller/topics.h - topics come and grow. Pure. */
#pragma once
#include "controller/partition_machine.h"

/* Reads the topics (watching the list and each), forgets those that went, gives ids to those
 * without (IBP ≥ 2.8). `added`, the caller's, gets the partitions that were not known. Pushes a
 * task. */
void topics_load(struct context *context, struct partition_set *added);
/* Reads the topic's node again and brings into being what was added to it. Pushes a task. */
void topics_reload(struct context *context, struct topic *topic);
/* Brings partitions that were not known into being: New, then Online. Takes members. Pushes a task.
 */
void topics_create_partitions(struct context *context, struct partition_set *set);
