/* tools/log_dirs_text.h - what `ottla log-dirs` prints, and sums of what brokers tell. Pure. */
#pragma once
#include "base/buf.h"
#include "cluster/types.h"
#include "wire/gen/describe_log_dirs.h"

/* One broker of the document, {"broker":0,"logDirs":[…]}: partitions of `topics` only (`count` 0:
 * of all). */
void log_dirs_write(struct buf *out, int32_t broker,
                    const struct describe_log_dirs_response *response, const struct slice *topics,
                    int count);
/* The bytes of a partition on that broker, −1 if it has none. */
int64_t log_dirs_size(const struct describe_log_dirs_response *response, struct topic_partition at);
