/* base/err.h - the one table of what can go wrong.
 *
 * An `enum err` is what a function returns; 0 is success. Results come through the last parameters
 * and are untouched on failure. Four families: ok; not yet (a part of the result, never an error);
 * refused (input, epoch, limit, authorisation: answered and forgotten); broken (I/O, corruption:
 * takes a connection or a log directory with it). Kafka's wire codes are another thing
 * (wire/gen/protocol.h): only broker/api and the controller's API turn an err into one. */
#pragma once

#define MUST_CHECK __attribute__((warn_unused_result))

/* name, text for people */
#define ERR_TABLE(X)                                                                               \
    X(ERR_OK, "ok")                                                                                \
    /* bytes */                                                                                    \
    X(ERR_TRUNCATED, "ends too early")                                                             \
    X(ERR_CORRUPT, "is corrupt")                                                                   \
    X(ERR_LIMIT, "is over a limit")                                                                \
    X(ERR_INVALID, "is not valid")                                                                 \
    X(ERR_UNSUPPORTED, "is not supported")                                                         \
    /* state */                                                                                    \
    X(ERR_NOT_FOUND, "does not exist")                                                             \
    X(ERR_EXISTS, "exists already")                                                                \
    X(ERR_STALE, "is older than what is known")                                                    \
    X(ERR_RANGE, "is out of range")                                                                \
    X(ERR_BUSY, "is in use")                                                                       \
    X(ERR_CANCELLED, "was cancelled")                                                              \
    X(ERR_DENIED, "is not permitted")                                                              \
    /* the world */                                                                                \
    X(ERR_IO, "input/output error")                                                                \
    X(ERR_FULL, "no space left")                                                                   \
    X(ERR_TOO_MANY, "no more files or connections")                                                \
    X(ERR_CLOSED, "was closed by the other side")                                                  \
    X(ERR_REFUSED, "connection refused")                                                           \
    X(ERR_UNREACHABLE, "cannot be reached")                                                        \
    X(ERR_TIMED_OUT, "timed out")                                                                  \
    /* ZooKeeper */                                                                                \
    X(ERR_ZK_LOSS, "ZooKeeper connection lost, the operation may have happened")                   \
    X(ERR_ZK_EXPIRED, "ZooKeeper session expired")                                                 \
    X(ERR_ZK_VERSION, "znode version differs")                                                     \
    X(ERR_ZK_CHILDREN, "znode has children")                                                       \
    X(ERR_ZK_AUTH, "ZooKeeper refused the credentials")                                            \
    X(ERR_ZK_SKIPPED, "not done, an operation of the same multi failed")                           \
    X(ERR_ZK_OTHER, "ZooKeeper error")                                                             \
    /* partitions and the controller: refusals that Kafka has names for */                         \
    X(ERR_NOT_LEADER, "is not led by this broker")                                                 \
    X(ERR_NOT_CONTROLLER, "is not the active controller")                                          \
    X(ERR_FENCED_EPOCH, "leader epoch is older than ours")                                         \
    X(ERR_UNKNOWN_EPOCH, "leader epoch is newer than ours")                                        \
    X(ERR_STALE_BROKER_EPOCH, "broker epoch is older than ours")                                   \
    X(ERR_STALE_CONTROLLER_EPOCH, "controller epoch is older than ours")                           \
    X(ERR_TOPIC_ID, "topic id differs from the log's")                                             \
    X(ERR_OFFLINE, "log directory is offline")                                                     \
    X(ERR_NOT_ENOUGH_REPLICAS, "fewer in-sync replicas than min.insync.replicas")                  \
    X(ERR_TOO_LARGE, "is larger than allowed")                                                     \
    X(ERR_INVALID_RECORD, "a record is not valid")                                                 \
    X(ERR_INVALID_TIMESTAMP, "a record's timestamp is out of bounds")                              \
    X(ERR_SEQUENCE, "producer sequence is out of order")                                           \
    X(ERR_PRODUCER_EPOCH, "producer epoch is old")                                                 \
    X(ERR_TXN_STATE, "does not fit the producer's transaction")                                    \
    X(ERR_COORDINATOR_FENCED, "coordinator epoch is old")                                          \
    /* groups */                                                                                   \
    X(ERR_NOT_COORDINATOR, "is not coordinated by this broker")                                    \
    X(ERR_COORDINATOR_LOADING, "the coordinator is still reading its log")                         \
    X(ERR_NO_COORDINATOR, "no coordinator is available")                                           \
    X(ERR_UNKNOWN_MEMBER, "is no member of the group")                                             \
    X(ERR_ILLEGAL_GENERATION, "is of another generation")                                          \
    X(ERR_FENCED_INSTANCE, "another member has this instance id now")                              \
    X(ERR_REBALANCING, "the group is rebalancing")                                                 \
    X(ERR_MEMBER_ID_REQUIRED, "must join again with its member id")                                \
    X(ERR_PROTOCOL, "has no protocol that all members have")                                       \
    X(ERR_GROUP_FULL, "the group has as many members as allowed")                                  \
    X(ERR_GROUP_NAME, "is no group id")                                                            \
    X(ERR_GROUP_NOT_FOUND, "there is no such group")                                               \
    X(ERR_GROUP_NOT_EMPTY, "the group has members")                                                \
    X(ERR_SUBSCRIBED, "the group reads this topic")                                                \
    X(ERR_SESSION_TIMEOUT, "session timeout is outside of what is allowed")                        \
    X(ERR_UNSTABLE_OFFSET, "a commit of this offset is under way")                                 \
    X(ERR_METADATA_TOO_LARGE, "metadata of an offset is too long")                                 \
    X(ERR_COMMIT_TOO_LARGE, "offsets are larger than a record may be")

#define ERR_ENUM(name, text) name,
enum err { ERR_TABLE(ERR_ENUM) ERR_COUNT };
#undef ERR_ENUM

/* The text for people, as in "topic orders " + err_text(ERR_EXISTS). Never NULL. */
const char *err_text(enum err err);

/* The name without ERR_: for key=value log lines and transcripts. Never NULL. */
const char *err_name(enum err err);

/* The family of an errno of the OS. Anything unknown is ERR_IO; 0 is ERR_OK. */
enum err err_from_errno(int number);
