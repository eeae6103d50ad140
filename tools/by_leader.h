/* tools/by_leader.h - one question about each of many partitions, put to whoever leads it. */
#pragma once
#include "cluster/types.h"
#include "tools/cluster_client.h"

struct led_part {
    struct topic_partition at;
    int64_t wanted; /* what is asked: an offset, a timestamp */

    int16_t code;   /* Kafka's; LEADER_NOT_AVAILABLE, UNKNOWN_TOPIC_OR_PARTITION: nobody to ask */
    int64_t answer; /* an offset; −1 none */
    int32_t leader; /* of by_leader.c, as the next */
    bool is_open;
};

/* Asks `leader` about `count` parts, in order of topics: sets their code and answer. */
typedef enum err by_leader_ask(void *owner, int32_t leader, struct led_part **parts, int count);

/* `parts` in order of topics. Those whose leader has moved are asked again, for some seconds; then
 * their code says so. ERR_…, with a message: a broker could not be reached. */
MUST_CHECK enum err by_leader(struct cluster *cluster, struct led_part *parts, int count,
                              by_leader_ask *ask, void *owner, struct arena *arena,
                              struct buf *message);
