/* broker/group/hosted_group.h - inside of the room: a shard's coordinators and what they hold.
 * groups.c (life, groups), groups_ask.c (calls), groups_log.c (appends), groups_load.c (reading),
 * groups_age.c (what goes by its time). */
#pragma once
#include "base/map.h"
#include "broker/group/group_log.h"
#include "broker/group/groups.h"
#include "wire/record.h"

struct group_metadata_value;

struct hosted_group {
    struct list_node all; /* groups.all */
    struct coordinator *of;
    struct group *machine; /* NULL while its log is read */
    struct offsets *offsets;
    struct timer timer;
    struct list appends;        /* struct group_append of it */
    struct list commits;        /* groups_call.in_group: on their way to the log */
    struct list_node aging;     /* groups.aging: still to be looked at */
    struct list_node restoring; /* load: still to be made of `value` */
    struct buf value;           /* its last record, while the log is read; empty: none */
    size_t id_len;
    char id[];
};

struct coordinator {
    struct groups *of;
    int32_t partition, epoch;
    bool is_loading;
    bool is_broken;      /* its log cannot be read */
    struct map groups;   /* id → struct hosted_group */
    struct map txns;     /* producer id → struct map of ids: groups that have offsets in it */
    struct load *load;   /* NULL: has been read */
    struct list commits; /* groups_call.node: of this turn, to be appended together */
    struct post append;
};

struct groups {
    struct shard *shard;
    struct partitions *partitions;
    const struct groups_settings *settings;
    struct map coordinators;     /* partition → struct coordinator */
    struct list all;             /* struct hosted_group */
    struct list_node *walk_next; /* of groups_walk.c */
    struct list ended;           /* calls to be told */
    struct list stored;          /* struct group_append of groups, to be told */
    struct post tell;
    struct list aging;
    struct timer age_timer;
    struct post age_post;
    struct arena arena; /* of a step */
    struct buf batch, key, value;
    bool is_stopped;
    struct groups_counts counts;
};

/* A batch on its way to the log: a group's record, or commits of any groups of the coordinator. */
struct group_append {
    struct list_node node; /* hosted_group.appends: of a group's record */
    struct list_node told; /* groups.stored */
    struct groups *of;
    struct hosted_group *group; /* NULL: it has gone */
    struct group_store *store;  /* NULL: commits */
    struct list commits;        /* groups_call.node */
    struct commit_wait wait;
    int64_t base_offset;
    enum err err; /* of partitions */
};

static inline struct slice hosted_group_id(const struct hosted_group *hosted)
{
    return slice_of(hosted->id, hosted->id_len);
}

/* groups.c */
struct coordinator *coordinator_find(const struct groups *groups, int32_t partition);
struct hosted_group *hosted_group_find(const struct coordinator *coordinator, struct slice id);
struct hosted_group *hosted_group_add(struct coordinator *coordinator, struct slice id);
/* Nothing waits in it. Appends of it go on without it. */
void hosted_group_remove(struct hosted_group *hosted);
/* One event through the machine, and what comes out. */
void hosted_group_feed(struct hosted_group *hosted, struct group_event *event);
/* Forgets a group of which nothing is known and nothing was written. */
void hosted_group_tidy(struct hosted_group *hosted);
void groups_answered(struct groups *groups, struct groups_call *call);
/* Now for the log: the wall clock. */
int64_t groups_wall_ms(const struct groups *groups);
void coordinator_end_txn(struct coordinator *coordinator, int64_t producer_id, bool is_commit);
void coordinator_note_txn(struct coordinator *coordinator, int64_t producer_id,
                          struct hosted_group *hosted);

/* groups_log.c */
/* Appends the group's record; GROUP_STORED comes later. Takes. */
void groups_log_store(struct hosted_group *hosted, struct group_store *store);
/* Appends the commits whose part is ERR_OK, together with what else is committed in this turn of
 * the shard, and answers. */
void groups_log_commit(struct hosted_group *hosted, struct groups_call *call);
/* Commits that wait for the turn's end are refused: leadership has gone. */
void groups_log_refuse(struct coordinator *coordinator);
/* The turn's commits are to be appended; in the post. */
void groups_log_append(struct post *post);
/* GROUP_STORED for what has been told; in the post. */
void groups_log_tell(struct groups *groups);
/* Tombstones: begun, added, ended (appended as they fill a batch). Nobody waits for them. */
struct tombstones {
    struct hosted_group *group;
    struct record_builder *builder;
    int count;
};
void tombstones_begin(struct tombstones *tombstones, struct hosted_group *group,
                      struct record_builder *builder);
void tombstones_add_offset(struct tombstones *tombstones, struct slice topic, int32_t partition);
void tombstones_add_group(struct tombstones *tombstones);
void tombstones_end(struct tombstones *tombstones);

/* groups_load.c */
void load_begin(struct coordinator *coordinator);
/* Not to go on: freed when its job has ended. */
void load_drop(struct coordinator *coordinator);

/* groups_age.c */
void age_begin(struct groups *groups);
void age_end(struct groups *groups);
/* Forgets an empty group without offsets, with its record. True: it has gone. */
bool age_bury(struct hosted_group *hosted, struct tombstones *tombstones);
