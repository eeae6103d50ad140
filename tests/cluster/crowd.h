/* tests/cluster/crowd.h - a group of librdkafka consumers, each a process of its own that can be
 * killed (group_member.c), and what must hold of them: a partition has one owner in a generation,
 * commits never go back, every record is read.
 *
 * Records are a sender's (client.h): numbered from 0. What must not be ends the program with a
 * message (exit 1), as in cluster.h; the folder with all logs stays. */
#pragma once
#include "tests/cluster/cluster.h"

struct crowd;

struct crowd_options {
    const struct cluster *cluster;
    const char *group, *topic; /* borrowed */
    const char *strategy;      /* partition.assignment.strategy */
    bool is_static;            /* members have a group.instance.id */
    int members, partitions;
    int session_ms; /* 0: 3000 */
    int64_t numbers_max;
};

/* Nobody is there yet. */
struct crowd *crowd_open(const struct crowd_options *options);
/* Ends all members. NULL is fine. */
void crowd_close(struct crowd **crowd);

void crowd_start(struct crowd *crowd, int member); /* nothing, if it is there */
/* SIGTERM: leaves and ends, which is waited for; SIGKILL. Nothing, if it is not there. */
void crowd_end(struct crowd *crowd, int member, int signal);
bool crowd_has(const struct crowd *crowd, int member);

/* Takes in what members have written since. */
void crowd_look(struct crowd *crowd);
int64_t crowd_read(const struct crowd *crowd); /* different records */
int crowd_generations(const struct crowd *crowd);
/* Each partition is owned by one of the members that are there. */
bool crowd_is_whole(const struct crowd *crowd);
/* What the group has committed, asked from outside; false when nobody could say. The other asks again
 * for a minute. */
bool crowd_committed(struct crowd *crowd, int64_t *total);
bool crowd_await_committed(struct crowd *crowd, int64_t *total);

/* Until so many records have been read; false after `seconds`, with a report. After half of them the
 * members that are there are killed and begin anew, once. */
bool crowd_await_read(struct crowd *crowd, int64_t wanted, double seconds);
/* Until there is a generation after `generation`. */
bool crowd_await_generation(struct crowd *crowd, int generation, double seconds);
bool crowd_await_whole(struct crowd *crowd, double seconds);
/* Who is there, what they own, when they last said something; and the coordinator's opinion. */
void crowd_report(struct crowd *crowd);
