/* tools/groups.h - `ottla groups`: groups of consumers, what they have committed, how far they are.
 *
 * groups.c has the command line and the actions, groups_client.c the questions to coordinators and
 * leaders, groups_text.c what is printed and what is read from the command line (pure). */
#pragma once
#include "tools/cluster_client.h"
#include "tools/usage.h"

extern const struct args_command groups_command;
int groups_main(int argc, char **argv);

#define GROUPS_NO_OFFSET (-1)

/* One partition of a group. */
struct group_part {
    struct slice topic;
    int32_t partition;
    int64_t committed, start, end; /* GROUPS_NO_OFFSET: not known */
    int64_t found;                 /* by time; GROUPS_NO_OFFSET: none so late */
    int64_t wanted;                /* reset: where to */
    int32_t leader;                /* −1: none */
    int16_t code;                  /* what came of a change */
    int member;                    /* who reads it; −1: nobody */
};

struct group_reader {
    struct slice id, instance_id, client_id, host; /* instance_id null: dynamic */
    struct group_part *parts;                      /* assigned, by topic and partition */
    int count;
};

struct group_report {
    struct slice id;
    struct slice state, protocol_type, protocol, type;
    int16_t code;
    int32_t coordinator, coordinator_port;
    struct slice coordinator_host;
    struct group_reader *readers;
    int reader_count;
    struct group_part *parts; /* those with a commit and those that are assigned */
    int part_count;
    bool has_offsets;
};

/* ---- groups_client.c: what is given lives in the session's arena */
struct groups_session {
    struct cluster *cluster;
    struct arena *arena;
    struct buf *message;
    int64_t timeout_ms;
    struct cluster_request metadata_request;
    const struct metadata_response *metadata;
};
MUST_CHECK enum err groups_open(struct groups_session *session, const char *bootstrap,
                                int64_t timeout_ms, int64_t connect_ms);
void groups_close(struct groups_session *session);
/* All groups, by name. */
MUST_CHECK enum err groups_all(struct groups_session *session, struct group_report **out,
                               int *count);
/* State, members, coordinator of `report->id`. */
MUST_CHECK enum err groups_describe(struct groups_session *session, struct group_report *report);
/* Commits; then the parts have everything but wanted. */
MUST_CHECK enum err groups_offsets(struct groups_session *session, struct group_report *report);
/* start and end of the parts, or, with a `timestamp` ≥ 0, found. */
MUST_CHECK enum err groups_ends(struct groups_session *session, struct group_part *parts, int count,
                                int64_t timestamp);
/* Each part's `code`. */
MUST_CHECK enum err groups_commit(struct groups_session *session, const struct group_report *report,
                                  struct group_part *parts, int count);
MUST_CHECK enum err groups_delete_offsets(struct groups_session *session,
                                          const struct group_report *report,
                                          struct group_part *parts, int count);
MUST_CHECK enum err groups_delete(struct groups_session *session, struct group_report *report);
/* Partitions of a topic: all of them, in the arena. False: there is no such topic. */
bool groups_topic(const struct groups_session *session, struct slice topic,
                  struct group_part **parts, int *count);

/* ---- groups_text.c */
void groups_print_offsets(const struct group_report *report, struct buf *out);
void groups_print_members(const struct group_report *report, bool verbose, struct buf *out);
void groups_print_state(const struct group_report *report, struct buf *out);
void groups_print_reset(const struct group_report *report, bool with_header, struct buf *out);
/* CSV of a reset: with the group's name where there are several. */
void groups_print_csv(const struct group_report *report, bool with_group, struct buf *out);
/* "t" or "t:0,2": `*partitions` of length `*count`, 0 for all. */
MUST_CHECK enum err groups_topic_parse(struct slice text, struct arena *arena, struct slice *topic,
                                       int32_t **partitions, int *count);
/* YYYY-MM-DDThh:mm:ss.sss with Z, ±hh:mm or nothing (UTC), to milliseconds since 1970. */
MUST_CHECK enum err groups_time_parse(struct slice text, int64_t *ms);
/* PnDTnHnMnS, to milliseconds. */
MUST_CHECK enum err groups_duration_parse(struct slice text, int64_t *ms);
/* By topic, then partition. */
void groups_sort(struct group_part *parts, int count);
