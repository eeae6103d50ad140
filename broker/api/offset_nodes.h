/* broker/api/offset_nodes.h - OffsetCommit and OffsetFetch of version 0: offsets in ZooKeeper,
 * under /consumers, as the consumers before 0.9 kept them. On the control shard. */
#pragma once
#include "broker/api/dispatch.h"

/* Take the request, whose body is decoded. */
void offset_nodes_commit(struct request *request);
void offset_nodes_fetch(struct request *request);
