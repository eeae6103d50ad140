/* zk/docs.h - every znode document: JSON and its own plain struct. Pure.
 *
 * Written byte for byte as Kafka writes it (key order of its samples, compact). Read tolerantly:
 * any order, unknown keys ignored, or kept in `extra` where the document is one that we rewrite. A
 * read borrows nothing from `json`: all is in the arena. Reads fail with ERR_CORRUPT (not JSON, a
 * key missing or of the wrong type, a number out of range, a key twice, nested too deep),
 * ERR_UNSUPPORTED (a version that must be refused) or ERR_LIMIT (the arena is full), and then
 * `*out` is untouched. Null and empty data are ERR_CORRUPT unless said otherwise. Source:
 * reference/zookeeper.md §4 to §12. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/uuid.h"

/* A longer document is ERR_LIMIT: Kafka's jute.maxbuffer. */
#define DOC_BYTES_MAX (4 * 1024 * 1024)

struct doc_ints {
    int32_t *at;
    int32_t count;
};

/* ---- /brokers/ids/<id>, /controllers/ids/<id> */

struct doc_endpoint {
    struct slice listener; /* upper case */
    struct slice protocol; /* PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL */
    struct slice host;     /* without brackets; may be empty */
    int32_t port;
};

struct doc_feature {
    struct slice name;
    int32_t min, max;
};

struct doc_broker {
    int32_t version; /* written: 5, 4 or 2 by inter.broker.protocol.version */
    struct doc_endpoint *endpoints;
    int32_t endpoint_count;
    struct slice rack; /* null: none */
    int32_t jmx_port;  /* −1: none */
    int64_t timestamp_ms;
    struct doc_feature *features;
    int32_t feature_count;
    /* Ottla's own, written only where it is so: its machine was booted anew since one of its lives,
     * which did not end in order; the czxid of its first registration after that, 0: this one. */
    bool is_cache_lost;
    int64_t cache_lost_since;
};
/* host and port are those of the first PLAINTEXT endpoint, else null and −1. */
void doc_broker_write(struct buf *out, const struct doc_broker *broker);
/* All versions. A version 1 has one PLAINTEXT endpoint. A listener twice, or one without protocol,
 * is ERR_CORRUPT. */
MUST_CHECK enum err doc_broker_read(struct slice json, struct arena *arena, struct doc_broker *out);

/* Ottla's own: a controller process. */
struct doc_controller_process {
    struct doc_endpoint *endpoints;
    int32_t endpoint_count;
    int64_t timestamp_ms;
};
/* {"version":1,"host":…,"port":…,"listeners":["L://h:p"],"listener_security_protocol_map":{…},
 * "timestamp":"…"}; host and port are those of the first endpoint. */
void doc_controller_process_write(struct buf *out, const struct doc_controller_process *process);
MUST_CHECK enum err doc_controller_process_read(struct slice json, struct arena *arena,
                                                struct doc_controller_process *out);

/* ---- /controller, /controller_epoch */

struct doc_controller {
    int32_t broker_id;
    int64_t timestamp_ms;
    int32_t kraft_epoch; /* −1: ZooKeeper mode, or not said */
};
void doc_controller_write(struct buf *out, const struct doc_controller *controller); /* version 2 */
MUST_CHECK enum err doc_controller_read(struct slice json, struct arena *arena,
                                        struct doc_controller *out);

/* Plain decimals: /controller_epoch, /consumers/…/offsets/…. */
void doc_number_write(struct buf *out, int64_t number);
MUST_CHECK enum err doc_number_read(struct slice text, int64_t min, int64_t max, int64_t *out);

/* ---- /brokers/topics/<t> */

struct doc_partition {
    int32_t partition;
    struct doc_ints replicas;         /* the first is the preferred leader */
    struct doc_ints adding, removing; /* count 0 unless it is being reassigned */
};
struct doc_topic {
    int32_t version;                  /* as read; 3 is written */
    struct uuid id;                   /* zero: none */
    struct doc_partition *partitions; /* read: in order of their numbers */
    int32_t partition_count;
    struct slice extra; /* unknown members as JSON text ("\"k\":1,…"), or null */
};
void doc_topic_write(struct buf *out, const struct doc_topic *topic);
MUST_CHECK enum err doc_topic_read(struct slice json, struct arena *arena, struct doc_topic *out);

/* ---- …/partitions/<p>/state */

struct doc_left {
    int32_t broker;
    int64_t zxid; /* 0: the transaction that writes it */
};
struct doc_state {
    int32_t leader; /* −1: none */
    int32_t leader_epoch;
    struct doc_ints isr;
    int32_t controller_epoch;
    int32_t leader_recovery_state; /* 0: recovered; 1: recovering */
    /* Ottla's own, written only where there is one: whom the controller took out of the ISR when it
     * became one broker, and when. */
    const struct doc_left *left;
    int32_t left_count;
};
void doc_state_write(struct buf *out, const struct doc_state *state);
MUST_CHECK enum err doc_state_read(struct slice json, struct arena *arena, struct doc_state *out);

/* ---- admin requests, notifications */

struct doc_topic_partition {
    struct slice topic;
    int32_t partition;
    struct doc_ints replicas; /* of a reassignment */
};
struct doc_topic_partitions {
    struct doc_topic_partition *at;
    int32_t count;
};
/* /admin/reassign_partitions */
void doc_reassign_write(struct buf *out, const struct doc_topic_partitions *list);
MUST_CHECK enum err doc_reassign_read(struct slice json, struct arena *arena,
                                      struct doc_topic_partitions *out);
/* /admin/preferred_replica_election and /isr_change_notification/…: without replicas. */
void doc_partitions_write(struct buf *out, const struct doc_topic_partitions *list);
MUST_CHECK enum err doc_partitions_read(struct slice json, struct arena *arena,
                                        struct doc_topic_partitions *out);

struct doc_log_dir_event {
    int32_t broker;
    int32_t event; /* 1: a log directory failed */
};
void doc_log_dir_event_write(struct buf *out, const struct doc_log_dir_event *event);
MUST_CHECK enum err doc_log_dir_event_read(struct slice json, struct arena *arena,
                                           struct doc_log_dir_event *out);

/* ---- /config/… */

struct doc_config_entry {
    struct slice name, value;
};
struct doc_config {
    struct doc_config_entry *entries;
    int32_t count;
    struct slice extra; /* unknown members, as in doc_topic */
};
void doc_config_write(struct buf *out, const struct doc_config *config);
/* Null or empty data is an empty config. */
MUST_CHECK enum err doc_config_read(struct slice json, struct arena *arena, struct doc_config *out);

/* /config/changes/…: what changed, as "topics/foo" (path_parse_entity reads it). Version 2. */
void doc_config_change_write(struct buf *out, struct slice entity_path);
/* Versions 1 (its type and name are joined) and 2; others are ERR_UNSUPPORTED. */
MUST_CHECK enum err doc_config_change_read(struct slice json, struct arena *arena,
                                           struct slice *entity_path);

/* ---- /cluster/id, /feature, /latest_producer_id_block */

void doc_cluster_id_write(struct buf *out, struct slice id);
MUST_CHECK enum err doc_cluster_id_read(struct slice json, struct arena *arena, struct slice *id);

struct doc_features {
    int32_t version; /* 1 or 2; version 2 has no minima (read as 1) */
    bool is_enabled;
    struct doc_feature *features;
    int32_t feature_count;
};
void doc_features_write(struct buf *out, const struct doc_features *features);
/* Another version is ERR_UNSUPPORTED. */
MUST_CHECK enum err doc_features_read(struct slice json, struct arena *arena,
                                      struct doc_features *out);

#define DOC_PRODUCER_IDS_SIZE 1000
struct doc_producer_ids {
    int32_t broker;
    int64_t first, last; /* inclusive */
};
void doc_producer_ids_write(struct buf *out, const struct doc_producer_ids *block);
MUST_CHECK enum err doc_producer_ids_read(struct slice json, struct arena *arena,
                                          struct doc_producer_ids *out);
/* The block that follows `json` (null or empty: the first), for `broker`. ERR_RANGE when producer
 * ids are used up; otherwise as a read. */
MUST_CHECK enum err doc_producer_ids_next(struct slice json, struct arena *arena, int32_t broker,
                                          struct doc_producer_ids *out);

/* ---- /kafka-acl… */

struct doc_acl {
    struct slice principal; /* User:alice */
    struct slice host;      /* * is any */
    struct slice operation; /* as spelled: Read, DescribeConfigs … */
    bool is_allow;
};
struct doc_acls {
    struct doc_acl *at;
    int32_t count;
};
void doc_acls_write(struct buf *out, const struct doc_acls *acls);
/* Null or empty data is no ACL. A version other than 1 is ERR_UNSUPPORTED. */
MUST_CHECK enum err doc_acls_read(struct slice json, struct arena *arena, struct doc_acls *out);

struct doc_acl_change {
    bool is_prefixed;
    struct slice type; /* TOPIC, TRANSACTIONAL_ID … */
    struct slice name;
};
/* Literal: TOPIC:foo as raw text. Prefixed: JSON. */
void doc_acl_change_write(struct buf *out, const struct doc_acl_change *change);
/* Of a child of /kafka-acl-changes (is_extended false) or /kafka-acl-extended-changes. */
MUST_CHECK enum err doc_acl_change_read(struct slice data, bool is_extended, struct arena *arena,
                                        struct doc_acl_change *out);

/* ---- /delegation_token/tokens/<id> */

struct doc_token {
    struct slice owner, requester; /* User:alice; sanitised only in the document */
    struct slice *renewers;
    int32_t renewer_count;
    int64_t issue_ms, max_ms, expiry_ms;
    struct slice token_id;
};
void doc_token_write(struct buf *out, const struct doc_token *token); /* version 3 */
/* Versions 1 to 3; others are ERR_UNSUPPORTED. */
MUST_CHECK enum err doc_token_read(struct slice json, struct arena *arena, struct doc_token *out);
