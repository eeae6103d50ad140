/* controller/machines.h - where each event begins. One function per event type: it looks, and
 * pushes the tasks that do the work. The tables of files: takeover.c, brokers.c, topics.c,
 * deletion.c, reassign.c, elect.c, alter.c. */
#pragma once
#include "controller/task.h"

void take_over_start(struct context *context, struct event *event);

void brokers_changed(struct context *context, struct event *event);
void broker_changed(struct context *context, struct event *event);
void broker_suspect(struct context *context, struct event *event);
void broker_back(struct context *context, struct event *event);
/* A BROKER_SUSPECT or a BROKER_BACK has come and must wait for its turn. */
void broker_verdict_waits(struct context *context, const struct event *event);
void controlled_shutdown(struct context *context, struct event *event);
void log_dirs_notified(struct context *context, struct event *event);
void leader_and_isr_answered(struct context *context, struct event *event);

void topics_changed(struct context *context, struct event *event);
void topic_changed(struct context *context, struct event *event);

void deletions_changed(struct context *context, struct event *event);
void stop_answered(struct context *context, struct event *event);

void reassign_node(struct context *context, struct event *event);
void reassign_asked(struct context *context, struct event *event);
void state_changed(struct context *context, struct event *event);

void preferred_node(struct context *context, struct event *event);
void elect_asked(struct context *context, struct event *event);
void rebalance(struct context *context, struct event *event);
void unclean_enabled(struct context *context, struct event *event);

void alter_partition(struct context *context, struct event *event);
void isr_notified(struct context *context, struct event *event);
void producer_ids(struct context *context, struct event *event);
