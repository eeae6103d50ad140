/* cluster/types.h - what all processes mean by the words of a cluster: values without behaviour.
 *
 * Everything here borrows: the struct that holds it says for how long. */
#pragma once
#include "base/slice.h"
#include "base/uuid.h"

#define BROKER_NONE (-1)

/* A leader's place taken by one of these says why nobody leads. */
#define LEADER_NONE             (-1) /* no replica can lead */
#define LEADER_DURING_DELETE    (-2) /* UpdateMetadata: the topic is being deleted */

#define EPOCH_NONE              (-1) /* leader epoch that a peer did not say */
#define EPOCH_DURING_DELETE     (-2) /* StopReplica: any epoch is old enough */

#define TOPIC_NAME_OFFSETS      "__consumer_offsets"
#define TOPIC_NAME_TRANSACTIONS "__transaction_state"
#define TOPIC_NAME_SHARE        "__share_group_state"
#define TOPIC_NAME_METADATA     "__cluster_metadata" /* of KRaft: must not be created */

/* The client id of a controller's pings to a broker, before the broker epoch that they are for. Of
 * an older epoch than its own a broker closes the connection; Apache's brokers look at no client
 * id. */
#define HEARTBEAT_CLIENT "ottla-controller-heartbeat-"

struct topic_partition {
    struct slice topic;
    int32_t partition;
};

/* Topic by bytes, then partition. */
int topic_partition_compare(struct topic_partition a, struct topic_partition b);

/* The topics that Metadata marks as internal. */
bool topic_is_internal(struct slice name);
/* Names that differ only in "." and "_" would have one metric name: they may not both exist. */
bool topic_names_collide(struct slice a, struct slice b);
/* Which of the partitions of __consumer_offsets has a group, or of __transaction_state a
 * transactional id: by Java's hash of its name. */
int32_t coordinator_partition(struct slice key, int32_t partitions);

/* A list of broker ids, in an order that means something (the first replica is the preferred one).
 */
struct broker_ids {
    const int32_t *at;
    int32_t count;
};

bool broker_ids_have(struct broker_ids ids, int32_t broker);
/* The same ids in the same order. */
bool broker_ids_equal(struct broker_ids a, struct broker_ids b);
/* Some id occurs twice. */
bool broker_ids_repeat(struct broker_ids ids);

/* Values are those of the wire. */
enum security_protocol {
    SECURITY_PLAINTEXT = 0,
    SECURITY_SSL = 1,
    SECURITY_SASL_PLAINTEXT = 2,
    SECURITY_SASL_SSL = 3,
};

/* "PLAINTEXT" … as Kafka writes it. Never NULL: an unknown value gives "UNKNOWN". */
const char *security_protocol_name(enum security_protocol protocol);
/* In any case of letters, as Kafka takes it. ERR_INVALID otherwise. */
MUST_CHECK enum err security_protocol_parse(struct slice text, enum security_protocol *out);

/* Where a process can be reached for one purpose. */
struct endpoint {
    struct slice listener; /* its name, upper case */
    struct slice host;     /* without brackets */
    int32_t port;
    enum security_protocol protocol;
};

/* "host:port" or "[v6]:port" into its parts; the host may be empty. ERR_INVALID. */
MUST_CHECK enum err host_port_parse(struct slice text, struct slice *host, int32_t *port);

enum leader_recovery { LEADER_RECOVERED = 0, LEADER_RECOVERING = 1 };

/* Who leads a partition and who follows closely: the document of its state znode, what LeaderAndIsr
 * carries, and what AlterPartition wants to change. */
struct leader_and_isr {
    int32_t leader;           /* or LEADER_NONE */
    int32_t leader_epoch;     /* grows with every leader and every fencing */
    int32_t partition_epoch;  /* version of the state znode: grows with every change */
    int32_t controller_epoch; /* of the controller that decided */
    enum leader_recovery recovery;
    struct broker_ids isr;
};

/* The same but for partition epoch and controller epoch. */
bool leader_and_isr_equal(const struct leader_and_isr *a, const struct leader_and_isr *b);
