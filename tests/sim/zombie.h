/* tests/sim/zombie.h - orders that a broker must refuse, sent as those would send them who are
 * deposed or late: LeaderAndIsr that makes the broker the leader of a partition, under epochs that
 * are over. Whoever takes one obeys somebody who has nothing to say any more (KIP-320, KIP-380). */
#pragma once
#include "tests/sim/load.h"

enum zombie {
    ZOMBIE_CONTROLLER,   /* the controller epoch is the one before the present one */
    ZOMBIE_BROKER_EPOCH, /* meant for the broker's life before this one */
    ZOMBIE_LEADER_EPOCH, /* the leader epoch is the one before the present one */
    ZOMBIE_EQUAL_EPOCH,  /* the present one again: all is as it was, and must stay */
};

/* Sends it to `broker` about partition 0 of `topic`; world_wrong if it is taken. A broker that is
 * not there to answer has not taken it. False, and nothing is sent: there is no such epoch. */
bool zombie_orders(struct load *load, enum zombie zombie, const char *topic, int32_t broker);
/* Asks for the latest offset, in the name of a leader epoch so much newer or older than the present
 * one; world_wrong if it is told. */
void zombie_asks(struct load *load, int32_t epochs, const char *topic, int32_t broker);
