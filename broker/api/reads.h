/* broker/api/reads.h - one Fetch's partitions, read at all the shards that own them, and watched
 * there.
 *
 * A pass reads every partition once: those of this shard at once, those of others with one message
 * to each. Slices that the page cache lacks are brought in by the disk pool before a pass ends, so
 * that sending never waits for a device. Between passes no slice is held: owners watch, and say
 * when there is more.
 *
 * While a message is under way `reads` and all that it points to stay where they are. A watch at an
 * owner lives until it is told that it is over (MSG_READ_FORGET), whether it has fired or not; its
 * word that comes too late finds no `reads` of its number and is dropped. */
#pragma once
#include "base/map.h"
#include "broker/api/dispatch.h"
#include "broker/replica/partitions.h"

struct owner_watch; /* at an owner */

/* What a data shard's fetches have in common. */
struct reads_shard {
    struct api_shard *api;
    struct map waiting; /* number → reads that watch */
    uint64_t numbers;
};
/* Hears MSG_READ, …_MORE, …_FORGET and …_RELEASE. */
void reads_open(struct reads_shard *home, struct api_shard *api, struct msg_routes *routes);
void reads_close(struct reads_shard *home);

/* What one owner has of it. Lent with a message. */
struct reads_part {
    struct read *at; /* topics live as long as `reads` */
    int count;
    struct owner_watch *watcher; /* of reads.c */
};

enum reads_state { READS_IDLE, READS_PASSING, READS_WATCHING };

struct reads {
    struct reads_shard *home;
    struct read_by reader;
    int64_t bytes_max; /* of the whole reply */
    bool at_least_one;
    struct reads_part *parts; /* by shard, `shards` of them */
    int shards;
    /* A pass has ended. Never inside reads_pass. */
    void (*passed)(struct reads *reads);
    /* There may be more, or reads_hurry was called: idle again. Never inside these. */
    void (*more)(struct reads *reads);

    /* of reads.c */
    enum reads_state state;
    bool is_hurried;
    int calls;
    uint64_t number;
    struct watch watch; /* here; its `parts` are the caller's: as many as this shard has */
    struct post post;
};

/* Reads all parts; ends in `passed`. `is_first`: followers' progress is noted. No slice is held. */
void reads_pass(struct reads *reads, bool is_first);
/* Gives the slices of the last pass back and watches: until `bytes_wanted` more than they had can
 * be read, or something else has happened. Ends in `more`. */
void reads_watch(struct reads *reads, int64_t bytes_wanted);
/* Ends a watch before its time: `more` follows soon. Not watching: nothing. */
void reads_hurry(struct reads *reads);
/* Gives the slices of the last pass back. */
void reads_release(struct reads *reads);
