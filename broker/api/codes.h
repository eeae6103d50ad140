/* broker/api/codes.h - what the partitions of a shard say, in Kafka's codes: as all requests that
 * are about a partition are told it. What means something else to one family of requests, or comes
 * to it alone, is in that family's own function, which asks here for the rest:
 *
 *     produce         what is wrong with a batch, and its producer; what passes by itself (full
 *                     disk) is NOT_ENOUGH_REPLICAS there, for a producer tries that again
 *     fetch           before version 6 a reader does not know KAFKA_STORAGE_ERROR; a batch that
 *                     cannot be read or converted
 *     offsets         the leader does not know yet; versions and timestamps that cannot be asked
 *     delete_records  a topic that is compacted only
 *     control         to the controller a full disk is a broken one
 *
 * Groups (group_calls.h) have errors of their own, and share none of these but the first. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/* `is_known`: the metadata has the partition, so it is merely not here. UNKNOWN_SERVER_ERROR for
 * what is not in the table. */
int16_t codes_of_partition(enum err err, bool is_known);
