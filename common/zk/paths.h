/* zk/paths.h - every znode path: built, and parsed. Pure.
 *
 * Paths are without the chroot. A built one lives in the arena, with a NUL behind it that its
 * length does not count. Names of users, clients and ips are percent-encoded in paths
 * ("sanitised"), all others stand as they are; the default entity of a config type is the literal
 * <default>, never encoded. Builders give null when the arena is full (zk_submit refuses a null
 * path). Source: reference/zookeeper.md §2, §3, §9, §10. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "runtime/zk_ops.h"

#define PATH_CONTROLLER              SLICE("/controller")
#define PATH_CONTROLLER_EPOCH        SLICE("/controller_epoch")
#define PATH_BROKERS_IDS             SLICE("/brokers/ids")
#define PATH_BROKERS_TOPICS          SLICE("/brokers/topics")
#define PATH_BROKERS_SEQID           SLICE("/brokers/seqid")
#define PATH_DELETE_TOPICS           SLICE("/admin/delete_topics")
#define PATH_REASSIGN                SLICE("/admin/reassign_partitions")
#define PATH_PREFERRED_ELECTION      SLICE("/admin/preferred_replica_election")
#define PATH_ISR_CHANGES             SLICE("/isr_change_notification")
#define PATH_ISR_CHANGE_NEW          SLICE("/isr_change_notification/isr_change_") /* sequential */
#define PATH_LOG_DIR_EVENTS          SLICE("/log_dir_event_notification")
#define PATH_LOG_DIR_EVENT_NEW       SLICE("/log_dir_event_notification/log_dir_event_")
#define PATH_CONFIG_TOPICS           SLICE("/config/topics")
#define PATH_CONFIG_BROKERS          SLICE("/config/brokers")
#define PATH_CONFIG_CLIENTS          SLICE("/config/clients")
#define PATH_CONFIG_USERS            SLICE("/config/users")
#define PATH_CONFIG_IPS              SLICE("/config/ips")
#define PATH_CONFIG_CHANGES          SLICE("/config/changes")
#define PATH_CONFIG_CHANGE_NEW       SLICE("/config/changes/config_change_")
#define PATH_CLUSTER_ID              SLICE("/cluster/id")
#define PATH_FEATURE                 SLICE("/feature")
#define PATH_PRODUCER_IDS            SLICE("/latest_producer_id_block")
#define PATH_ACLS                    SLICE("/kafka-acl")
#define PATH_ACLS_PREFIXED           SLICE("/kafka-acl-extended/prefixed")
#define PATH_ACL_CHANGES             SLICE("/kafka-acl-changes")
#define PATH_ACL_CHANGE_NEW          SLICE("/kafka-acl-changes/acl_changes_")
#define PATH_ACL_CHANGES_EXTENDED    SLICE("/kafka-acl-extended-changes")
#define PATH_ACL_CHANGE_EXTENDED_NEW SLICE("/kafka-acl-extended-changes/acl_changes_")
#define PATH_TOKENS                  SLICE("/delegation_token/tokens")
#define PATH_TOKEN_CHANGES           SLICE("/delegation_token/token_changes")
#define PATH_TOKEN_CHANGE_NEW        SLICE("/delegation_token/token_changes/token_change_")
#define PATH_CONTROLLERS_IDS         SLICE("/controllers/ids") /* Ottla's own */

#define PATH_DEFAULT_ENTITY          SLICE("<default>")

/* What a start ensures, in this order (null data, persistent, parents implied). */
extern const struct slice path_ensured[];
extern const int path_ensured_count;
/* What the authorizer ensures at its start, and the token manager at its. */
extern const struct slice path_ensured_acl[];
extern const int path_ensured_acl_count;
extern const struct slice path_ensured_token[];
extern const int path_ensured_token_count;

/* Building. Names are borrowed until return. */
struct slice path_broker(struct arena *arena, int32_t broker_id);
struct slice path_controller_process(struct arena *arena, int32_t id); /* /controllers/ids/<id> */
struct slice path_topic(struct arena *arena, struct slice topic);
struct slice path_partitions(struct arena *arena, struct slice topic);
struct slice path_partition(struct arena *arena, struct slice topic, int32_t partition);
struct slice path_state(struct arena *arena, struct slice topic, int32_t partition);
struct slice path_delete_topic(struct arena *arena, struct slice topic);
struct slice path_config_topic(struct arena *arena, struct slice topic);
struct slice path_token(struct arena *arena, struct slice token_id);
struct slice path_consumer_offset(struct arena *arena, struct slice group, struct slice topic,
                                  int32_t partition);
/* `type` as the path spells it: "Topic", "TransactionalId" … */
struct slice path_acl_resource(struct arena *arena, bool is_prefixed, struct slice type,
                               struct slice name);
/* `parent`/`child`. */
struct slice path_child(struct arena *arena, struct slice parent, struct slice child);

/* What a configuration belongs to. */
enum path_entity_type {
    PATH_ENTITY_TOPIC,
    PATH_ENTITY_BROKER,
    PATH_ENTITY_CLIENT,
    PATH_ENTITY_USER,
    PATH_ENTITY_USER_CLIENT,
    PATH_ENTITY_IP,
};
struct path_entity {
    enum path_entity_type type;
    struct slice name;   /* decoded; null is the default entity */
    struct slice client; /* of a user and client: decoded; null is the default */
};
/* "topics/foo", "brokers/<default>", "users/alice/clients/app%2A1": as in a change notification. */
struct slice path_entity(struct arena *arena, const struct path_entity *entity);
/* The same behind "/config/". */
struct slice path_config(struct arena *arena, const struct path_entity *entity);
/* Reads "topics/foo" and the like. ERR_INVALID for anything else. */
MUST_CHECK enum err path_parse_entity(struct arena *arena, struct slice text,
                                      struct path_entity *out);

/* Percent-encodes all but A-Z a-z 0-9 . - _ ; null stays null. */
struct slice path_sanitise(struct arena *arena, struct slice name);
void path_add_sanitised(struct buf *out, struct slice name);
/* Form-URL decoding: %XX, and "+" is a space. ERR_INVALID for a broken %XX. */
MUST_CHECK enum err path_desanitise(struct arena *arena, struct slice text, struct slice *out);

/* Parsing. All are ERR_INVALID for what is not of the form, and then *out is untouched. */
/* What stands behind the last "/" ("" for "/"), and what before it ("/" for "/a", null for "/"). */
struct slice path_last(struct slice path);
struct slice path_parent(struct slice path);
/* A child of /brokers/ids, /controllers/ids or …/partitions: a decimal number, not negative. */
MUST_CHECK enum err path_parse_id(struct slice child, int32_t *out);
/* The counter of a sequential node's name, "config_change_0000000012" with prefix "config_change_".
 * May be negative when the parent's counter has wrapped around. */
MUST_CHECK enum err path_parse_sequence(struct slice child, const char *prefix, int64_t *out);
/* The id in /brokers/ids/<id>, in /controllers/ids/<id>. */
MUST_CHECK enum err path_parse_broker(struct slice path, int32_t *out);
MUST_CHECK enum err path_parse_controller_process(struct slice path, int32_t *out);
/* The topic in /brokers/topics/<t>: not of the nodes below it. */
MUST_CHECK enum err path_parse_topic(struct slice path, struct slice *topic);
MUST_CHECK enum err path_parse_state(struct slice path, struct slice *topic, int32_t *partition);

/* Which ACL a node gets at its creation when zookeeper.set.acl is on. */
enum zk_acl path_acl(struct slice path);
