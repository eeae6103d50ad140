/* runtime/env_zookeeper.h - ZooKeeper's C client library behind the seam of runtime/zk_ops.h.
 *
 * The single-threaded library, driven by the shard's own loop: a raw descriptor watch and a timer
 * of the posix world. Its log lines go to base/log.h. */
#pragma once
#include "runtime/zk_ops.h"

/* For the ops of env_posix. */
extern const struct zk_ops zookeeper_ops;
