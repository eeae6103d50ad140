/* broker/api/producer_ids.h - InitProducerId: ids for idempotent producers. On the control shard.
 *
 * Ids come in blocks: from the controller (AllocateProducerIds), or, where
 * inter.broker.protocol.version is below 3.0, by compare-and-set of /latest_producer_id_block. The
 * next block is asked for when 90 % of one are given out. Kafka tells the first producer after a
 * start to try again (14); here it waits for the block, and is told so only when that takes long.
 * Ids that a stop leaves over are never used. Rules: coordinators.md C3, C11. */
#pragma once
#include "broker/api/dispatch.h"

struct producer_ids;
struct zk;

/* Sets control->producer_ids. */
struct producer_ids *producer_ids_create(struct api_shard *control);
/* A session; NULL: none. Recipes of the one before have ended. */
void producer_ids_set_zk(struct producer_ids *ids, struct zk *zk);
/* The end, before forward_stop: nothing is asked for any more, who waits is told to try again. */
void producer_ids_stop(struct producer_ids *ids);
/* Sets to NULL; NULL is fine. Requests that wait end without answer: their connections are gone. */
void producer_ids_destroy(struct producer_ids **ids);
