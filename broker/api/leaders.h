/* broker/api/leaders.h - what replies say beside NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH
 * (Produce v10+, Fetch v16+): who leads now, and where that broker can be reached. */
#pragma once
#include "broker/api/dispatch.h"

struct leader_hint {
    int32_t leader, leader_epoch; /* −1: not known */
};

struct leader_node {
    int32_t id;
    struct slice host, rack;
    int32_t port;
};

/* The nodes of one reply, each once. */
struct leaders {
    struct arena *arena;
    struct leader_node *at;
    int count, capacity;
};

void leaders_init(struct leaders *leaders, struct arena *arena);
/* Who leads: what this broker's partition says (`epoch_here` ≥ 0), or the image if that is newer. A
 * leader that is alive and has the request's listener is added to the nodes. */
void leaders_hint(struct leaders *leaders, const struct request *request, struct slice topic,
                  int32_t partition, int32_t leader_here, int32_t epoch_here,
                  struct leader_hint *out);
