/* controller/warm.h - a standby's copy of the znodes that a take-over reads, kept up by watches.
 *
 * Brokers, topics, states: each is read with a watch, and read again when the watch fires; states a
 * second later, together, for ZooKeeper has more urgent things to do while they change. An entry
 * answers for ZooKeeper as long as its watch has not fired: a session hears of every change before
 * it can see anything later, so when the answer to the election has come, every change by the one
 * before has been told. Changes after that are fenced or come as watches to the machines. So taking
 * over costs what changed, not what exists.
 *
 * Bounded: on a reconnect the client library sends all its watches in one packet, which the server
 * limits (jute.maxbuffer, 1 MiB). What does not fit is not kept, and is read at the take-over. */
#pragma once
#include "controller/context.h"

struct warm;

struct warm *warm_create(struct shard *shard, struct zk *zk);
/* Its calls must have ended (zk_close). Sets it to NULL; NULL is fine. */
void warm_destroy(struct warm **warm);

/* Begins, or begins anew. */
void warm_start(struct warm *warm);
/* Forgets everything, at a loss of the session, or when it is taken over. */
void warm_stop(struct warm *warm);
/* A watch fired. */
void warm_event(struct warm *warm, const struct zk_event *event);

/* Answers `request` if it can. */
bool warm_answer(const struct warm *warm, struct request *request);
/* Entries that would answer now. */
size_t warm_count(const struct warm *warm);
