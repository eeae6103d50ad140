/* tools/overview_text.h - what `ottla cluster` prints. Pure. */
#pragma once
#include "base/buf.h"
#include "cluster/types.h"

/* A broker or a controller process. */
struct overview_node {
    int32_t id;
    struct slice endpoints;     /* with commas; empty: not known */
    struct slice rack;          /* of a broker; null: none */
    int64_t epoch;              /* of a broker; −1: not known */
    bool is_unknown_to_brokers; /* registered, but the brokers that were asked do not name it */
};

struct overview {
    struct slice cluster_id;                 /* null: it has none so far */
    int32_t controller;                      /* the active one; BROKER_NONE */
    bool by_broker;                          /* a broker has said so, not ZooKeeper */
    int64_t controller_epoch;                /* −1: not known */
    const struct overview_node *controllers; /* processes of their own, active and standing by */
    int controller_count;
    const struct overview_node *brokers;
    int broker_count;
};

void overview_print(const struct overview *overview, struct buf *out);
