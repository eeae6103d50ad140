/* tools/partitioner.h - which partition a record goes to, as Kafka's own clients decide. Pure. */
#pragma once
#include "base/slice.h"

/* MurmurHash2 with Kafka's seed. */
int32_t partitioner_hash(struct slice key);
/* Of a record with a key; `partitions` > 0. */
int32_t partitioner_of_key(struct slice key, int32_t partitions);
