/* broker/replica/link.h - the inside of the fetchers: one way to one leader broker, and what is
 * followed over it. Only for fetchers.c, followed.c, link_ask.c and link_fetch.c.
 *
 * A link has one request under way at a time. A Fetch that waits at the leader must not keep others
 * waiting: when something new is wanted meanwhile and no answer begins to come, the connection is
 * ended and made anew (a broker answers a connection's requests in order, so nothing less ends a
 * wait), at most once in HURRY_EVERY_MS. */
#pragma once
#include "base/map.h"
#include "broker/replica/fetcher.h"
#include "broker/replica/fetchers.h"
#include "cluster/level.h"
#include "wire/codec.h"

#define LOST_MAX 8

/* One partition that this shard follows. */
struct followed {
    struct list_node node; /* of its link */
    struct link *link;
    struct fetcher machine;
    bool has_begun;
    bool is_asked; /* in the request under way, at … */
    int64_t asked_offset;
    /* What the leader's session has of it. */
    bool is_in_session;
    struct session_sent {
        int64_t offset, log_start;
        int32_t leader_epoch, last_epoch;
    } sent;
    struct follower_view view; /* as of the last look */
    int64_t lag; /* behind the leader's high watermark, as it last said; −1: not known */
    int32_t partition;
    size_t topic_len;
    char topic[];
};

enum link_call { LINK_IDLE, LINK_EPOCHS, LINK_OFFSETS, LINK_FETCH };

/* The way to one leader broker. */
struct link {
    struct list_node node; /* of fetchers */
    struct fetchers *of;
    int32_t broker;
    int index; /* among the links to that broker */
    struct peer *peer; /* NULL: its address is not known */
    struct net_address address;
    struct list followed;
    int count;
    enum link_call doing;
    struct peer_call call;
    struct conn_limits limits;
    struct post post;
    struct timer timer;
    struct arena arena; /* of a request, then of its answer */

    /* The session at the leader, as the asking side knows it. */
    int32_t session_id, session_epoch;
    bool has_ids;          /* the session is by topic ids */
    struct list forgotten; /* followed: gone, to be said in the next Fetch, then freed */
    int asked;             /* partitions in a full request */
    bool is_closing;
    bool is_up; /* as of the last news */

    /* A Fetch that waits, and others that wait for its end. */
    struct timer hurry;
    struct instant asked_at, hurried_at;
    bool is_hurried; /* the connection is being ended for them */
};

struct fetchers {
    struct shard *shard;
    struct fetchers_options options;
    struct map by_name; /* topic and partition → followed */
    struct list links;
    int closing;
    bool is_closing;
    void (*closed)(void *to);
    void *closed_to;
    struct fetchers_counts counts;
    struct lost {
        int32_t broker;
        struct instant until;
    } lost[LOST_MAX];
};

/* ---- fetchers.c ---- */
struct followed *fetchers_find(struct fetchers *fetchers, struct slice topic, int32_t partition);
enum level fetchers_level(const struct fetchers *fetchers);
/* The link looks for its next request soon. */
void link_wake(struct link *link);
/* Writes and sends; the link is no longer idle. */
void link_send(struct link *link, enum link_call doing, int16_t key, int16_t version,
               const struct wire_struct *type, const void *body);
/* All that the request under way asked for, and that was not answered, is asked again later. */
void link_retry_all(struct link *link);
/* Partitions of a request stand in the link's order; neighbours of one topic share an entry. */
bool link_is_next_topic(const struct followed *last, const struct followed *it);

/* ---- followed.c: a partition's machine, and its log ---- */
struct slice followed_topic(const struct followed *it);
struct fetcher_log followed_log(const struct follower_view *view);
/* The log is no follower's at this epoch any more: LeaderAndIsr has said, or will say, what
 * follows. */
bool followed_is_overtaken(enum err err);
void followed_begin(struct followed *it);
/* Fills `view`. Errors as partitions_follower. */
MUST_CHECK enum err followed_look(struct followed *it);
/* It lags, counts for the follower's quota, and that is used up: not asked for now. */
bool followed_is_held_back(const struct followed *it);
/* Feeds the machine, and does to the log what comes out. */
void followed_step(struct followed *it, struct fetcher_event event);
/* The log refused with `err`. */
void followed_refused(struct followed *it, enum err err);
/* What a Kafka code of one partition means to its machine; false: it is no error. */
bool followed_step_for_code(struct followed *it, int16_t code);
/* The leader says where `epoch` ended: `type` is FETCHER_EPOCH_END or FETCHER_DIVERGES. */
void followed_diverged(struct followed *it, int type, int32_t epoch, int64_t end_offset);

/* ---- link_ask.c: OffsetForLeaderEpoch and ListOffsets ---- */
/* False: nobody wants it, nothing was sent. */
bool link_ask_epochs(struct link *link);
bool link_ask_offsets(struct link *link);
/* The answers, decoded into the link's arena. */
void link_take_epochs(struct link *link, struct slice answer, int version);
void link_take_offsets(struct link *link, struct slice answer, int version);

/* ---- link_fetch.c: Fetch, as the asking side of a session (KIP-227) ---- */
bool link_ask_records(struct link *link);
void link_take_records(struct link *link, struct slice answer, int version);
/* A new one next, the old one (if any) closed with it; `keeps_id`: it may still be there. */
void link_reset_session(struct link *link, bool keeps_id);
