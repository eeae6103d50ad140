/* tests/script/world.h - the controller's machines over a tree of znodes in memory.
 *
 * What the machines ask of ZooKeeper is done at once; what they tell brokers, and every write, is
 * printed. For transcripts (run.c) and for unit tests. */
#pragma once
#include "controller/context.h"

struct world {
    struct context context;
    struct map nodes; /* path → struct node * */
    struct buf out;   /* what happened since it was last cleared */
    int64_t zxid;
    bool is_quiet;           /* control requests are not printed */
    bool is_away;            /* ZooKeeper: nothing asked of it is answered */
    bool is_late;            /* it is back: what was to be done at once is lost */
    struct task *unanswered; /* what was asked meanwhile; a machine asks one thing at a time */
    /* This many writes of states from now on meet another writer first. */
    int conflicts;
    /* So many are done, but their answers are lost: what is sent again meets its own version. */
    int lost_answers;
    int32_t vanishing; /* its registration goes before the next write of a state; 0: nobody's */
    int32_t losing;    /* loses power, and is registered anew, before that; 0: nobody does */
};

void world_init(struct world *world);
void world_fini(struct world *world);

void world_node(struct world *world, const char *path, struct slice data); /* creates or sets */
void world_remove(struct world *world, const char *path);
/* Null when absent. */
struct slice world_data(const struct world *world, const char *path);
int32_t world_version(const struct world *world, const char *path); /* −1: absent */

/* `lost_since`: its machine has been booted anew since one of its lives, and this is the czxid of its
 * first registration after that; 0: that is this one; −1: it has not. */
void world_broker(struct world *world, int32_t id, const char *rack, int64_t lost_since);
void world_broker_gone(struct world *world, int32_t id);
/* "0=1,2,3 1=2,3,1" */
void world_topic(struct world *world, const char *name, const char *assignment);
void world_state(struct world *world, const char *topic, int32_t partition, int32_t leader,
                 int32_t epoch, const char *isr);
void world_take_over(struct world *world, int32_t epoch);
/* Takes. Everything that follows from it is done on return. */
void world_post(struct world *world, struct event **event);
/* ZooKeeper goes, or returns and answers. */
void world_zookeeper(struct world *world, bool is_away);
void world_happens(struct world *world, enum event_type type);
void world_ids(const char *text, struct ids *out);
