/* sim/oracle_controller.h - are the znodes, at each step, as Kafka 3.9 could have written them?
 *
 * Hears every committed transaction of the ensemble, with what it was asked as. Rules, each named
 * in what it says when one is broken:
 *
 * - path: only paths that Kafka has, and /controllers/ids; ephemeral exactly where Kafka's are
 * - document: it parses, and is what doc_…_write would write, byte for byte
 * - epoch: /controller_epoch grows by one, together with a new /controller, and in no other way
 * - fence: writes of the controller come behind a check of /controller_epoch, over the session
 *   that won it
 * - state: leader in ISR or −1; ISR not empty, without duplicates, in the replicas (or still in it
 *   from before, until all is at rest); RECOVERING means alone; compare-and-set only
 * - leader-epoch: stays, or grows by one; grows when the leader changes; an ISR grows only without
 * - controller-epoch: a state carries the epoch that is current
 * - unclean: a leader from outside of the ISR only where that is allowed
 * - assignment: replicas not empty, without duplicates; adding and removing are of them; one
 *   reassignment at a time begins from, ends in, or goes back to what it should; existing
 *   partitions are changed by the controller only
 * - topic-id: there, of one topic, and the same for its life
 * - deletion: topics go while their marker stands; the marker goes last
 * - registration: /brokers/ids/<id> is written by the session that owns it
 * - sequence: numbered children only grow
 * - producer-ids: blocks of 1000, each behind the last
 *
 * Session 0 is an operator's tool: its writes need no fence, nor must they be as we write them. */
#pragma once
#include "tests/sim/ensemble.h"

struct oracle_controller;

struct oracle_controller_options {
    /* NULL: world_wrong. `rule` is one of the names above. */
    void (*wrong)(void *owner, const char *rule, const char *text);
    void *owner;
    /* By inter.broker.protocol.version. */
    bool leaders_write;     /* below 2.7: states without a fence */
    bool no_topic_ids;      /* below 2.8 */
    bool no_recovery_state; /* below 3.2 */
    bool allow_unclean;     /* else only with unclean.leader.election.enable=true of the topic */
};

struct oracle_controller *oracle_controller_create(struct world *world, struct ensemble *ensemble,
                                                   const struct oracle_controller_options *options);
void oracle_controller_destroy(struct oracle_controller **oracle); /* before the ensemble */
/* An operator asked for an unclean election of this topic. */
void oracle_controller_unclean(struct oracle_controller *oracle, struct slice topic);
/* The whole tree, now and then. `is_at_rest`: all that was begun has ended, as at a run's end. */
void oracle_controller_audit(struct oracle_controller *oracle, bool is_at_rest);
/* States that were written, so that a test can show that there was something to see. */
uint64_t oracle_controller_states(const struct oracle_controller *oracle);
