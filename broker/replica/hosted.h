/* broker/replica/hosted.h - inside of the room: a partition that this shard has, and its shard's
 * state.
 *
 * Shared by partitions.c (roles, control), serve.c (produce, fetch, offsets), follow.c (what
 * followers write), deletion.c (DeleteRecords), moving.c (to another log directory) and upkeep.c
 * (sync, retention, write-behind). Nobody else includes it. */
#pragma once
#include "base/map.h"
#include "base/planted.h"
#include "broker/log/compact.h"
#include "broker/replica/partition.h"
#include "broker/replica/partitions.h"

/* Of walk.c: what went through the partitions of one topic on this shard. */
struct topic_traffic {
    struct list_node node; /* partitions.topics */
    uint64_t bytes_in, messages_in, bytes_out;
    int32_t hosted;
    bool is_deleted;
    uint32_t walk; /* the last that has told it, and as what */
    int32_t index;
    size_t name_len;
    char name[];
};

struct hosted {
    struct partitions *of;
    struct list_node all;     /* partitions.all */
    struct instant retain_at; /* of upkeep.c: not before; zero: not set */
    struct partition machine;
    struct topic_traffic *traffic;
    struct log *log; /* attached; NULL when it has been given back */
    struct wait_line commits;
    struct wait_line deletions; /* for the low watermark */
    struct wait_line flushes;   /* acks=1, for the device (flush.messages) */
    struct list watchers;       /* of watch_part */
    struct list_node dirty;     /* partitions.dirty: watchers to look at */
    bool wakes_all;             /* … and each of them reads again */
    struct timer tick;
    struct log_position watermark_at; /* where the high watermark was last found */
    struct log_position stable_at;    /* and the last stable offset, where that is another */
    bool is_leader_throttled, is_follower_throttled;

    /* upkeep.c */
    struct list_node garbage; /* partitions.garbage: files to unlink when due */
    struct list_node unsaved; /* partitions.unsaved or .due: epochs to be saved */
    struct list_node point;   /* partitions.points: its recovery point is to follow */
    struct instant point_at;  /* not before */
    int jobs;                 /* on the disk pool, using the log */
    bool is_syncing, sync_again;
    bool is_saving; /* the sync counts in partitions.saving */
    bool is_writing_behind;
    int64_t sync_wanted_to; /* the ISR waits for this end to be on the device; −1 */
    struct instant sync_asked_at;
    int64_t bytes_unwritten;
    struct moving *moving; /* of moving.c: to another log directory; NULL: it is not */
    bool is_telling;       /* it has moved, and the store has not heard of it: counted in `jobs` */
    struct replica_move *move_waits; /* until it has */
    bool is_leaving;                 /* given back when its jobs have ended */
    struct replica_call *stopped_by;
    struct replica_stop *stop;

    int32_t controller_epoch; /* of the decision that stands here */
    int32_t partition;
    size_t topic_len;
    char topic[];
};

/* Of cleaning.c: the log that is being compacted. */
struct cleaning {
    struct timer timer; /* the next look, or the next step */
    struct disk_job job;
    struct compact *compact;
    struct hosted *at; /* NULL: none */
    bool is_running;   /* a job of it is on the pool */
    struct instant began, step_began;
};

/* Of moving.c. */
struct moves {
    struct list all;
    struct timer timer;
    int running; /* steps on the pool */
    int syncing; /* logs whose end is being synced */
    struct instant complained;
};

struct partitions {
    struct shard *shard;
    struct partitions_options options;
    struct log_files *files;
    struct map by_name;
    struct list all;
    struct map traffics;                        /* topic → struct topic_traffic */
    struct list topics;                         /* the same */
    uint32_t walks;                             /* so many have begun */
    struct list_node *walk_topic, *walk_hosted; /* what comes next in the walk */
    struct purgatory purgatory;
    struct timer purgatory_timer;
    struct purgatory deletions;
    struct timer deletions_timer;
    struct list decided; /* commit_wait: off the purgatory, to be told in the post */
    struct list dirty;   /* hosted */
    struct list ready;   /* watch: to be told in the post */
    struct post wake;
    struct list calls; /* replica_call, in order */
    struct post work;
    struct list garbage;
    struct list unsaved, due; /* hosted; due: for a turn at least */
    int saving;               /* syncs of what was due that are under way */
    struct instant saved_at;  /* when some of it had its turn last */
    struct sync_job *syncs;   /* of this turn, not on the pool yet; NULL: none */
    struct post syncs_post;
    struct list points; /* hosted, in the order of their time */
    struct timer points_timer;
    bool is_pointing;          /* a job of them is on the pool */
    _Atomic bool leaves_syncs; /* for jobs on the pool: store_close does it for all logs at once */
    struct timer upkeep, saves;
    struct cleaning cleaning;
    struct moves moves;
    struct buf rebuilt; /* one batch, between check and append */
    bool is_closing, hands_over;
    bool may_hold; /* some log had flush.messages */
    void (*closed)(void *to);
    void *closed_to;
    struct post closed_post;
    struct partitions_counts counts;
    struct throttle throttle;
    struct throttle_cell throttle_alone; /* when there are no other shards */
    struct instant complained;           /* when a line last said that logs cannot be written */
};

static inline struct slice hosted_topic(const struct hosted *hosted)
{
    return slice_of(hosted->topic, hosted->topic_len);
}

/* flush.messages have been written and are not on the device: what lies above the recovery point is
 * held back. */
static inline bool hosted_is_held(const struct hosted *hosted)
{
    return hosted->log != NULL &&
           log_end_offset(hosted->log) - log_recovery_point(hosted->log) >=
               log_config(hosted->log)->flush_messages &&
           !planted(ack_before_flush);
}

/* NULL when it is not here. */
struct hosted *partitions_find(const struct partitions *partitions, struct slice topic,
                               int32_t partition);
/* One event through the machine, and what comes out. Sets now and alive. Not from within itself. */
void hosted_feed(struct hosted *hosted, struct partition_event *event);
/* May clients change it here? As partition_check of a leader; ERR_NOT_LEADER also while it is not
 * known what its topic asks for: min.insync.replicas and the rest could not be kept to. */
enum err hosted_check_writer(const struct hosted *hosted);
/* The log gave `err`: ERR_IO takes its directory away. Gives the error to answer with. */
enum err hosted_log_failed(struct hosted *hosted, enum err err);
/* Its jobs have ended and it is leaving. */
void hosted_left(struct hosted *hosted);

/* serve.c */
/* A wait that is off its purgatory has ended so: told in serve_wake. */
void serve_decide(struct partitions *partitions, struct wait *wait, enum err err);
void serve_wake(struct post *post);
void serve_timed_out(struct timer *timer);
void serve_arm(struct partitions *partitions);
/* Watchers look at it later in this turn; `all`: each of them reads again. */
void serve_touch(struct hosted *hosted, bool all);
/* The watch is over; its `ready` comes later in this turn. */
void serve_fire(struct partitions *partitions, struct watch *watch);
/* Commits up to the high watermark are decided. */
void serve_commits(struct hosted *hosted);
/* The device has more of the log: appends with acks=1 that waited for it are decided. */
void serve_flushed(struct hosted *hosted);
/* All that waits for commits, or for the device, ends with `err`. */
void serve_refuse_commits(struct hosted *hosted, enum err err);

/* upkeep.c */
void upkeep_start(struct partitions *partitions);
/* The end. Syncs that wait on the pool are left to whoever closes the logs. */
void upkeep_stop(struct partitions *partitions);
/* After an append: sync, write behind, as is due. */
void upkeep_appended(struct hosted *hosted, const struct log_appended *appended);
void upkeep_sync(struct hosted *hosted);
/* Its sync has ended with `err`, and is_syncing is off; `again`: one more was asked for. */
void upkeep_synced(struct hosted *hosted, enum err err, bool again);
/* Less is held than was, or may be: who waits for the device goes on. */
void upkeep_flushed(struct hosted *hosted);
/* Something is held: again soon, should the sync not be under way. */
void upkeep_sync_held(struct hosted *hosted);
/* The ISR waits until what the log has now is on the device. */
void upkeep_sync_to_end(struct hosted *hosted);
/* Its leader epochs are to be saved, in their turn: recovery would find them in the batches too. */
void upkeep_save(struct hosted *hosted);
/* Leaders change: what is to be saved waits a turn more, but not for ever. */
void upkeep_put_off_saves(struct partitions *partitions);
/* It may have files to unlink. */
void upkeep_garbage(struct hosted *hosted);
void upkeep_forget(struct hosted *hosted);

/* walk.c */
void walk_init(struct partitions *partitions);
void walk_fini(struct partitions *partitions); /* after the last partition */
/* It has been put into partitions.all; it is about to be taken out. */
void walk_enter(struct hosted *hosted);
void walk_leave(struct hosted *hosted);

/* deletion.c */
/* Where log starts, or who is alive, may have changed: waits that have been reached end. */
void deletion_look(struct hosted *hosted);
void deletion_refuse(struct hosted *hosted, enum err err);
void deletion_timed_out(struct timer *timer);

/* cleaning.c */
void cleaning_start(struct partitions *partitions);
/* The settings have changed. */
void cleaning_configured(struct partitions *partitions);
void cleaning_stop(struct partitions *partitions);
/* It leaves, or moves: ends its cleaning, unless a job is on the pool, whose end does it. */
void cleaning_leave(struct hosted *hosted);

/* moving.c */
void moving_open(struct partitions *partitions);
/* It begins to move to `future`, of another directory; or it goes on with that, as after a start or
 * a failure. Nothing happens where it cannot. */
void moving_start(struct hosted *hosted, struct log *future);
/* A sync is wanted, and none is under way. True: the move has begun one of both logs. */
bool moving_sync(struct hosted *hosted);
/* Its log has been cut to `offset`, or begun anew there. */
void moving_cut(struct hosted *hosted, int64_t offset);
/* It is about to be set aside for good, or waits for that: no job that is not needed. */
bool moving_wants_quiet(const struct hosted *hosted);
/* Where the future log starts; INT64_MAX: there is none. */
int64_t moving_log_start(const struct hosted *hosted);
void moving_dir_failed(struct hosted *hosted, const struct log_dir *dir);
/* It leaves, and its jobs have ended. */
void moving_leave(struct hosted *hosted);
