/* broker/messages.h - what the shards of a broker say to each other: all types, and who hears them.
 *
 * A type has one struct, declared in the header of the room that hears the call; its first member
 * is `struct msg`. Shards 0 … n − 1 are data shards, shard n is the control shard. A shard has one
 * table of routes; each room enters what it hears when it is created, and the shard's mailbox
 * handlers are messages_call and messages_answer over that table. */
#pragma once
#include "runtime/mailbox.h"

enum msg_type {
    MSG_NONE,

    /* A connection's shard ↔ control shard: broker/api/dispatch.h. */
    MSG_REQUEST, /* → control: handle this request; answered at once, the reply comes later as … */
    MSG_RESPONSE,   /* → home: these bytes are the reply */
    MSG_CONNECTION, /* → control: one more or one less from this address */

    /* Control → data shards: broker/broker.c. */
    MSG_IMAGE,          /* here is the new metadata image; the answer brings the old one back */
    MSG_SHARD_STATE,    /* small facts that change: broker epoch, feature epoch */
    MSG_STOP_ACCEPTING, /* close the listeners */
    MSG_LEAVE,          /* close the connections; answered when all have gone */
    MSG_SETTLE,         /* nothing: what was said before this has been heard */

    /* Control → owners of partitions: broker/api/control.h, over broker/replica/partitions.h. */
    MSG_PARTITIONS_CONTROL, /* this shard's part of a LeaderAndIsr or StopReplica: a replica_call */
    MSG_PARTITIONS_CONFIG,  /* a topic's configuration changed */
    MSG_PARTITIONS_GONE,    /* partitions of a topic have been deleted from the cluster */
    MSG_SETTINGS,           /* numbers of server.properties were changed at run time */
    MSG_DIR_FAILED,         /* a log directory went offline */
    MSG_HAND_OVER,          /* this broker is about to end */
    MSG_PARTITIONS_CLOSE,   /* flush, checkpoints, close */
    MSG_PARTITION_MOVE,     /* one moves to another log directory, or does no more */
    MSG_ISR_DECIDED,        /* the controller's answer to MSG_ISR_PROPOSED */
    /* The store of logs (broker/log/store.h) is the control shard's, owners of partitions never
     * call it. So each replica_change brings its log, found or just made (store_create_many), or
     * the error that prevented it (ERR_OFFLINE, ERR_IO, ERR_TOPIC_ID); the owner attaches it when
     * it begins to use it. Each replica_stop that deletes gives back the detached log, which
     * control hands to store_delete. At the start the logs that were loaded come to no one until a
     * LeaderAndIsr names them. */

    /* Owners of partitions → control. */
    MSG_ISR_PROPOSED, /* AlterPartition, please; answered at once */
    MSG_MOVED, /* a replica has moved to another log directory: answered when that is known */
    MSG_LOG_DIR_FAILED, /* tell the controller */
    MSG_SAVE_WANTED,    /* write the checkpoints that a truncation waits for */

    /* A connection's shard ↔ owners of partitions: broker/replica/partitions.h and
     * broker/api/{produce,fetch,offsets,delete_records}.h (their room adds what it needs). */
    MSG_APPEND,
    MSG_APPEND_COMMITTED,
    MSG_READ,
    MSG_READ_MORE,
    MSG_READ_FORGET,
    MSG_READ_RELEASE,
    MSG_LIST_OFFSETS,
    MSG_EPOCH_END,
    MSG_PRODUCERS,
    MSG_DELETE_RECORDS,  /* answered at once, perhaps with the result */
    MSG_RECORDS_DELETED, /* → home: the result of one that waited */

    /* A connection's shard ↔ coordinators of groups: broker/api/group_calls.h. */
    MSG_GROUP,      /* answered at once, perhaps with the result */
    MSG_GROUP_DONE, /* → home: the result of one that waited */
    MSG_GROUPS_LIST,

    MSG_TYPES
};

struct msg_route {
    void (*call)(void *owner, struct msg *msg);   /* takes: owes one mailbox_reply */
    void (*answer)(void *owner, struct msg *msg); /* gives it back: free it */
    void *call_owner, *answer_owner;
};

struct msg_routes {
    struct msg_route at[MSG_TYPES];
};

/* Who hears calls of `type` on this shard, and who hears the answers to this shard's own calls of
 * that type. Each is set once. */
void messages_on_call(struct msg_routes *routes, enum msg_type type,
                      void (*call)(void *owner, struct msg *msg), void *owner);
void messages_on_answer(struct msg_routes *routes, enum msg_type type,
                        void (*answer)(void *owner, struct msg *msg), void *owner);

/* For shard_open: mailbox_handlers over a `struct msg_routes` at the shard's `owner`'s beginning. A
 * type without a route is a bug. */
void messages_call(void *routes, struct msg *msg);
void messages_answer(void *routes, struct msg *msg);
