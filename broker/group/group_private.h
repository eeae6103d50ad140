/* broker/group/group_private.h - inside of the machine: group.c (events), group_members.c (who
 * belongs to it, which protocols they have), group_view.c (what is told of it). */
#pragma once
#include "base/heap.h"
#include "base/map.h"
#include "broker/group/group.h"

enum group_alarm { ALARM_SESSION, ALARM_PENDING, ALARM_JOIN, ALARM_SYNC };

struct group_timer {
    struct heap_node node; /* in group.timers; zero: not set */
    enum group_alarm what;
};

/* A protocol that some member has. */
struct group_protocol {
    int members;      /* that list it */
    int votes;        /* while one is chosen */
    uint64_t counted; /* group.counts: the last time its name was seen in a list */
    size_t name_len;
    char name[];
};

struct group_choice {
    struct group_protocol *protocol;
    struct slice metadata; /* in the member's `bytes` */
    bool is_repeated;      /* the list has it twice: it counts once */
};

struct group_member {
    struct group_timer session; /* first: see member_of */
    char *id, *instance_id;     /* instance_id NULL: dynamic */
    char *client_id, *client_host;
    size_t id_len, instance_len, client_id_len, client_host_len;
    int32_t session_ms, rebalance_ms;
    struct group_choice *choices; /* in order of preference */
    int choice_count;
    uint8_t *bytes; /* of all metadata */
    uint8_t *assignment;
    size_t assignment_len;
    bool is_new;       /* has not had its first answer */
    bool owes_sync;    /* had the join's answer, has not synced */
    bool may_skip;     /* of the join that waits */
    void *join, *sync; /* calls that wait; NULL: none */
};

/* An id that was given to a new member, which has not come again with it. */
struct group_pending {
    struct group_timer expiry;
    size_t id_len;
    char id[];
};

struct group {
    const struct group_settings *settings;
    enum group_state state;
    int64_t since_ms;
    int32_t generation;
    char *protocol_type, *protocol_name; /* NULL: none */
    size_t protocol_type_len, protocol_name_len;
    struct group_member *leader; /* NULL: none */
    struct map members;          /* id → struct group_member */
    struct map instances;        /* instance id → struct group_member */
    struct map pending;          /* id → struct group_pending */
    struct map protocols;        /* name → struct group_protocol */
    uint64_t counts;             /* of passes over lists of protocols */
    int joining;                 /* members whose join waits */
    int owing;                   /* members that owe a sync */
    bool has_news;               /* a member came while the first generation was waited for */
    bool is_initial;             /* the join timer is the initial delay's: it is not ended early */
    int64_t initial_left_ms, initial_delay_ms;
    bool is_storing; /* the leader's assignment of this generation is being stored */
    struct heap timers;
    struct group_timer join_timer, sync_timer;
    struct instant now; /* of the step */
    int64_t now_ms;
    size_t id_len;
    char id[];
};

static inline struct slice member_id(const struct group_member *member)
{
    return slice_of(member->id, member->id_len);
}
static inline struct slice member_instance(const struct group_member *member)
{
    return member->instance_id == NULL ? SLICE_NULL
                                       : slice_of(member->instance_id, member->instance_len);
}
static inline struct slice member_assignment(const struct group_member *member)
{
    return slice_of(member->assignment == NULL ? (const void *)"" : member->assignment,
                    member->assignment_len);
}
static inline struct slice protocol_name(const struct group_protocol *protocol)
{
    return slice_of(protocol->name, protocol->name_len);
}

void timer_set(struct group *group, struct group_timer *timer, int64_t ms);
void timer_clear(struct group *group, struct group_timer *timer);

/* group_members.c */
struct group_member *members_find(const struct group *group, struct slice id);
struct group_member *members_of_instance(const struct group *group, struct slice instance_id);
/* A new one, with the join's protocols and timeouts. Neither id is known yet. The first becomes the
 * leader and gives the group its protocol type. */
struct group_member *members_add(struct group *group, struct slice id,
                                 const struct group_join *join);
/* Its calls have been answered. Another becomes leader. */
void members_remove(struct group *group, struct group_member *member);
/* `id` is not known yet. */
void members_rename(struct group *group, struct group_member *member, struct slice id);
/* Protocols, timeouts and what it may from a new join. */
void members_update(struct group *group, struct group_member *member,
                    const struct group_join *join);
void members_set_assignment(struct group_member *member, struct slice bytes);
void members_set_call(struct group *group, struct group_member *member, void *join);
void members_owe_sync(struct group *group, struct group_member *member, bool owes);
/* The same list: names, bytes, order. */
bool members_match(const struct group_member *member, const struct group_join *join);
/* In an empty group any, else one that all members have. */
bool members_can_join(const struct group *group, const struct group_join *join);
/* What most vote for, of what all have; null if there is none. Among equals the one that came
 * first. */
struct slice members_vote(struct group *group);
int64_t members_rebalance_ms(const struct group *group);
/* Of the protocol that was chosen; "" if it lists none such. */
struct slice members_metadata(const struct group *group, const struct group_member *member);
void members_free_all(struct group *group);

void pending_add(struct group *group, struct slice id, int64_t ms);
struct group_pending *pending_find(const struct group *group, struct slice id);
void pending_remove(struct group *group, struct group_pending *pending);

void text_set(char **text, size_t *len, struct slice to); /* null: NULL */
