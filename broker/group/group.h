/* broker/group/group.h - one group of the classic protocol: members, generations, join, sync,
 * leave. Pure.
 *
 *     EMPTY ──first member──▶ PREPARING ──all joined, or time──▶ COMPLETING ──stored──▶ STABLE
 *       ▲                         │  ▲                              │                     │
 *       └──────no member left─────┘  └──member new, changed, gone───┴─────────────────────┘
 *
 * Who joins or syncs may have to wait: its `call` is kept here and comes back as an answer, exactly
 * once. What must be durable first goes out as `store` and is answered when GROUP_STORED comes.
 * Time is the event's; the next tick is wanted at group_deadline, and one that comes early does
 * nothing. Rules: Kafka 3.9's classic coordinator (reference: coordinators A2–A9). */
#pragma once
#include "base/arena.h"
#include "base/slice.h"
#include "base/time.h"

struct group;
struct group_store; /* what a store was for: of group.c */
struct group_metadata_value;

enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_COMPLETING, GROUP_STABLE, GROUP_DEAD };

/* Which protocol a group follows. Others than the classic one have their own machines and their own
 * records; names, lists and logs tell them apart by this. */
enum group_type { GROUP_CLASSIC, GROUP_CONSUMER, GROUP_SHARE };

struct group_settings {
    int32_t initial_delay_ms; /* group.initial.rebalance.delay.ms */
    int32_t size_max;         /* group.max.size */
};

/* How long a new member may wait for its first answer: that it has gone is not seen before. */
#define GROUP_NEW_MEMBER_MS 300000

struct group_offer {
    struct slice name, metadata;
};

struct group_join {
    struct slice member_id;   /* "": new */
    struct slice instance_id; /* null: a dynamic member */
    struct slice client_id, client_host;
    struct slice protocol_type;
    const struct group_offer *protocols; /* in order of preference */
    int protocol_count;
    int32_t session_ms, rebalance_ms;
    bool must_know_id;   /* v4+: a new dynamic member gets its id and comes again */
    bool may_skip;       /* v9+: a leader that need not assign can be told so */
    struct slice unique; /* text that makes the id of a new member */
};

struct group_assignment {
    struct slice member_id, bytes;
};

struct group_sync {
    struct slice member_id, instance_id;
    int32_t generation;
    struct slice protocol_type, protocol_name; /* null: not said */
    const struct group_assignment *assignments;
    int assignment_count;
};

/* Who speaks: a heartbeat, a commit. */
struct group_voice {
    struct slice member_id, instance_id;
    int32_t generation;
    bool is_transactional; /* a commit within a transaction */
};

struct group_leaver {
    struct slice member_id; /* "": by instance id */
    struct slice instance_id;
};

struct group_event {
    enum {
        GROUP_JOIN,
        GROUP_SYNC,
        GROUP_HEARTBEAT,
        GROUP_LEAVE,
        GROUP_COMMIT, /* may it? answered with ERR_OK: then its offsets may be stored */
        GROUP_STORED,
        GROUP_TICK,
        GROUP_UNLOAD, /* this broker coordinates no more: all that waits is answered */
        GROUP_KILL,   /* deleted */
    } type;
    struct instant now;
    int64_t now_ms; /* wall clock, for the record */
    void *call;     /* who is answered: JOIN, SYNC, HEARTBEAT, LEAVE, COMMIT */
    union {
        struct group_join join;
        struct group_sync sync;
        struct group_voice voice;
        struct {
            const struct group_leaver *leavers;
            int count;
        } leave;
        struct {
            struct group_store *store; /* taken */
            enum err err;              /* as the caller is to be told */
        } stored;
    };
};

struct group_joined_member {
    struct slice id, instance_id, metadata;
};

/* Slices borrow from the group and the event until the next step; arrays are in the arena. */
struct group_answer {
    void *call;
    enum err err;
    struct group_joined {
        struct slice member_id, leader;
        int32_t generation;
        bool skips_assignment;
        const struct group_joined_member *members; /* for the leader */
        int member_count;
    } joined;
    struct slice protocol_type, protocol_name; /* null: none */
    struct slice assignment;                   /* of a sync */
    const enum err *left;                      /* of a leave, one for each */
};

struct group_effects {
    struct arena *arena; /* set by the caller */
    struct group_answer *answers;
    int count, capacity;
    /* Append group_value now; then GROUP_STORED with this. NULL: nothing. */
    struct group_store *store;
};

/* Empty. `settings` is borrowed while it lives. */
struct group *group_create(struct slice id, const struct group_settings *settings, int64_t now_ms);
/* Nothing waits here any more. Sets to NULL; NULL is fine. */
void group_destroy(struct group **group);
/* What the log has of it, for a group just created; over the size limit it begins to rebalance.
 * Slices are copied. */
void group_restore(struct group *group, const struct group_metadata_value *value,
                   struct instant now, int64_t now_ms);

void group_step(struct group *group, const struct group_event *event, struct group_effects *out);
struct instant group_deadline(const struct group *group); /* INSTANT_NEVER: none */
/* For one that will not be fed back. Sets to NULL; NULL is fine. */
void group_store_free(struct group_store **store);

/* ---- what is */
struct slice group_id(const struct group *group);
enum group_state group_state(const struct group *group);
int32_t group_generation(const struct group *group);
struct slice group_protocol_type(const struct group *group); /* null: none */
struct slice group_protocol_name(const struct group *group); /* null: none */
struct slice group_leader(const struct group *group);        /* null: none */
int group_size(const struct group *group);
int64_t group_state_since_ms(const struct group *group); /* −1: not known */
/* Empty, never had a generation, and waits for nobody: as if it had not been made. */
bool group_is_blank(const struct group *group);

/* A member, as DescribeGroups shows it; metadata of the protocol chosen. */
struct group_member_view {
    struct slice id, instance_id, client_id, client_host, metadata, assignment;
};
/* All of them, in the arena; borrows until the next step. Gives group_size of them. */
const struct group_member_view *group_members(const struct group *group, struct arena *arena);

/* Whether a member of a group of consumers reads `topic`. Not known (a subscription that cannot be
 * read, a generation without a protocol): true. */
bool group_is_subscribed(const struct group *group, struct slice topic);
/* The subscriptions can be told. */
bool group_knows_subscriptions(const struct group *group);

/* The record that says what is now; arrays in the arena, slices borrow until the next step. */
void group_value(const struct group *group, struct arena *arena, struct group_metadata_value *out);

const char *group_state_name(enum group_state state); /* Kafka's */
const char *group_type_name(enum group_type type);

void group_audit(const struct group *group);
