/* broker/api/describe_producers.h - DescribeProducers: who writes to a partition, as the log of
 * this replica knows it. Any replica answers, not the leader alone.
 *
 * Partitions are asked one after the other, so that no more than one list is under way; what one
 * answer tells is bounded (PRODUCERS_TOLD_MAX), which Kafka's is not. */
#pragma once
#include "broker/api/dispatch.h"

/* In one answer, about 40 MB of it: from then on partitions are told to be asked by themselves. */
#define PRODUCERS_TOLD_MAX 1000000

/* On a data shard, once: hears MSG_PRODUCERS. */
void describe_producers_open(struct api_shard *api, struct msg_routes *routes);
