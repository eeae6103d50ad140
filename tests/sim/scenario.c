#include "tests/sim/scenario.h"
#include "tests/sim/disk.h"
#include "tests/sim/load_private.h"
#include "tests/sim/net.h"
#include "tests/sim/zombie.h"
#include "tests/sim/zookeeper.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdio.h>
#include <stdlib.h>

#define PATIENCE_S 600

/* ---- the language of plays ---- */

static int64_t between(struct scene *s, int64_t low, int64_t high)
{
    return low + (int64_t)prng_below(s->luck, (uint64_t)(high - low) + 1);
}

static void pass_ms(struct scene *s, int64_t ms)
{
    world_run(s->world, instant_add_ms(s->world->now, ms));
}

static void pass_s(struct scene *s, int64_t seconds)
{
    pass_ms(s, seconds * 1000);
}

#define UNTIL(s, condition)                                                                        \
    do {                                                                                           \
        struct instant until_ = instant_add_ms((s)->world->now, PATIENCE_S * 1000);                \
        while (!(condition)) {                                                                     \
            if (instant_reached((s)->world->now, until_))                                          \
                world_stuck((s)->world, "the play waits for %s", #condition);                      \
            pass_ms(s, 20);                                                                        \
        }                                                                                          \
    } while (0)

static struct load_partition state_of(struct scene *s, int partition)
{
    struct load_partition at = {.leader = -1};

    (void)load_partition(s->load, s->topic, partition, &at);
    return at;
}

static int leader_of(struct scene *s)
{
    return state_of(s, 0).leader;
}

static bool is_whole(struct scene *s)
{
    struct load_partition at = state_of(s, 0);

    return at.leader > 0 && at.replica_count == 3 && at.isr_count == 3;
}

static bool is_in_sync(struct scene *s, int broker)
{
    struct load_partition at = state_of(s, 0);

    for (int i = 0; i < at.isr_count; i++)
        if (at.isr[i] == broker) return true;
    return false;
}

/* The n-th replica that does not lead. */
static int follower_of(struct scene *s, int n)
{
    struct load_partition at = state_of(s, 0);

    for (int i = 0; i < at.replica_count; i++)
        if (at.replicas[i] != at.leader && n-- == 0) return at.replicas[i];
    return -1;
}

static struct member *broker(struct scene *s, int id)
{
    return cluster_broker(s->cluster, id);
}

/* NULL: there is no active one just now. */
static struct member *active(struct scene *s)
{
    struct doc_controller doc;
    struct arena arena;
    const struct tree_node *node = tree_find(ensemble_tree(s->zookeeper), PATH_CONTROLLER);
    struct member *found = NULL;

    if (node == NULL) return NULL;
    arena_init(&arena, 1 << 20);
    if (doc_controller_read(node->data, &arena, &doc) == ERR_OK)
        for (int i = 0; i < s->cluster->count; i++)
            if (s->cluster->members[i].is_controller && s->cluster->members[i].id == doc.broker_id)
                found = &s->cluster->members[i];
    arena_fini(&arena);
    return found;
}

static bool is_registered(struct scene *s, const struct member *member)
{
    struct arena arena;

    arena_init(&arena, 1 << 20);
    bool is_there = tree_find(ensemble_tree(s->zookeeper), path_broker(&arena, member->id)) != NULL;
    arena_fini(&arena);
    return is_there;
}

static void pause_it(struct member *member)
{
    if (member->process != NULL) process_pause(member->process);
}

static void resume_it(struct member *member)
{
    if (member->process != NULL) process_resume(member->process);
}

/* Down, and started again only by the play. */
static void kill_it(struct member *member)
{
    member->is_wanted = false;
    member_kill(member);
}

/* Topics that are promised one replica may lose it: their promise ends here, as an operator ends it
 * who gives up what is lost. */
static void power_off(struct scene *s, struct member *member)
{
    int count = 0;
    struct load_topic *topics = load_topics(s->load, &count);

    for (int t = 0; t < count; t++) {
        if (topics[t].state != TOPIC_LIVE || topics[t].min_insync > 1) continue;
        for (int p = 0; p < ORACLE_PARTITIONS_MAX; p++)
            oracle_log_lift(&topics[t].oracle->partitions[p], "one replica, which loses power");
        (void)load_configure(s->load, topics[t].name, "unclean.leader.election.enable", "true");
    }
    member->is_wanted = false;
    member_power_loss(member);
}

static void start_it(struct member *member)
{
    member->is_wanted = true;
    member_start(member);
}

static void cut(struct scene *s, struct member *from, struct member *to)
{
    sim_net_cut(s->world->net, from->host, to->host);
}

static void heal(struct scene *s, struct member *from, struct member *to)
{
    sim_net_heal(s->world->net, from->host, to->host);
}

/* From the other members and ZooKeeper, not from clients. */
static void isolate(struct scene *s, struct member *member, bool is_now)
{
    for (int i = 0; i < s->cluster->count; i++) {
        struct member *other = &s->cluster->members[i];
        if (other == member) continue;
        if (is_now) {
            cut(s, member, other);
            cut(s, other, member);
        } else {
            heal(s, member, other);
            heal(s, other, member);
        }
    }
    ensemble_cut_host(s->zookeeper, member->host, is_now);
}

static void lose_answer(struct scene *s, struct member *member, bool is_done)
{
    if (member != NULL && member->process != NULL)
        sim_zookeeper_lose_next(s->world->zookeeper, member->process, is_done);
}

static void expire(struct scene *s, struct member *member)
{
    if (member->process != NULL)
        ensemble_expire(s->zookeeper, sim_zookeeper_session(s->world->zookeeper, member->process));
}

/* ---- plays ---- */

/* KIP-101: a follower that restarts does not know what was committed; before it learns, it leads.
 */
static void a_follower_restarts_and_leads(struct scene *s)
{
    for (int round = 0; round < 6; round++) {
        UNTIL(s, is_whole(s));
        int leader = leader_of(s), follower = follower_of(s, round % 2);
        kill_it(broker(s, follower));
        start_it(broker(s, follower));
        pass_ms(s, between(s, 1, 3000));
        kill_it(broker(s, leader));
        pass_ms(s, between(s, 1, 5000));
        start_it(broker(s, leader));
    }
}

/* KIP-279: leaders change faster than followers learn, each with records of its own. */
static void leaders_change_fast(struct scene *s)
{
    for (int round = 0; round < 8; round++) {
        UNTIL(s, leader_of(s) > 0);
        int leader = leader_of(s);
        isolate(s, broker(s, leader), true);
        UNTIL(s, leader_of(s) != leader);
        pass_ms(s, between(s, 1, 2000));
        isolate(s, broker(s, leader), false);
        pass_ms(s, between(s, 1, 1500));
    }
}

/* KIP-320: a deposed leader that nobody has told still serves those who reach it. */
static void a_deposed_leader_goes_on(struct scene *s)
{
    UNTIL(s, is_whole(s));
    int leader = leader_of(s);
    isolate(s, broker(s, leader), true);
    UNTIL(s, leader_of(s) > 0 && leader_of(s) != leader);
    pass_s(s, 60);
    isolate(s, broker(s, leader), false);
    pass_s(s, 30);
}

/* A process that sleeps through the end of its session wakes up as a leader that it is no more. */
static void a_leader_sleeps_through_its_session(struct scene *s)
{
    for (int round = 0; round < 3; round++) {
        UNTIL(s, is_whole(s));
        int leader = leader_of(s);
        pause_it(broker(s, leader));
        UNTIL(s, leader_of(s) > 0 && leader_of(s) != leader);
        pass_ms(s, between(s, 1, 30000));
        resume_it(broker(s, leader));
        pass_s(s, 5);
    }
}

/* KIP-380: what was meant for an earlier life of a broker arrives in the next one. */
static void a_broker_bounces_behind_slow_wires(struct scene *s)
{
    for (int round = 0; round < 4; round++) {
        UNTIL(s, is_whole(s) && active(s) != NULL);
        struct member *controller = active(s), *it = broker(s, follower_of(s, 0));
        cut(s, controller, it);
        kill_it(broker(s, leader_of(s))); /* there is something to tell */
        pass_ms(s, between(s, 1, 3000));
        kill_it(it);
        start_it(it);
        pass_ms(s, between(s, 1, 4000));
        heal(s, controller, it);
        for (int id = 1; id <= s->cluster->brokers; id++)
            start_it(broker(s, id));
    }
}

/* KIP-841, KIP-903: a follower loses what it had not synced while it is in the ISR, comes back at
 * once, and the leader dies before anybody has noticed. */
static void one_of_the_isr_comes_back_with_less(struct scene *s)
{
    UNTIL(s, is_whole(s));
    int leader = leader_of(s), follower = follower_of(s, 0), other = follower_of(s, 1);
    power_off(s, broker(s, follower));
    start_it(broker(s, follower));
    pass_ms(s, between(s, 1, 2000));
    kill_it(broker(s, leader));
    pass_ms(s, between(s, 1, 2000));
    kill_it(broker(s, other)); /* the page cache survives */
    pass_s(s, 10);
    start_it(broker(s, leader));
    start_it(broker(s, other));
    pass_s(s, 20);
    load_give_up(s->load); /* the one that lost is alone in the ISR: the others have it all */
}

static uint64_t acknowledged(struct scene *s)
{
    struct oracle_log_counts counts;

    oracle_log_count(s->load->oracle, &counts);
    return counts.acked;
}

/* With flush.messages=1 what was acknowledged is on the devices of all in-sync replicas. */
static void everything_loses_power_but_what_was_flushed(struct scene *s)
{
    int count = 0;
    struct load_topic *topics = load_topics(s->load, &count);

    for (int t = 0; t < count; t++)
        if (topics[t].state == TOPIC_LIVE)
            (void)load_configure(s->load, topics[t].name, "flush.messages", "1");
    pass_s(s, 30); /* everybody has heard of it, and what was written before is there */
    for (int round = 0; round < 6; round++) {
        UNTIL(s, is_whole(s));
        pass_ms(s, between(s, 1000, 10000));
        uint64_t before = acknowledged(s);
        UNTIL(s, acknowledged(s) != before); /* just now */
        for (int id = 1; id <= 3; id++)
            power_off(s, broker(s, id));
        pass_ms(s, between(s, 0, 5000));
        for (int id = 1; id <= 3; id++)
            start_it(broker(s, id));
    }
}

/* KIP-966: the ISR shrinks to one, which then loses its page cache. It has had the seconds that it
 * takes to hear of the shrink and to sync: until then only the brokers that were taken out of the
 * ISR have what was acknowledged, and none of them may lead. */
static void the_last_of_the_isr_loses_power(struct scene *s)
{
    for (int round = 0; round < 3; round++) {
        UNTIL(s, is_whole(s));
        int leader = leader_of(s), first = follower_of(s, 0), second = follower_of(s, 1);
        kill_it(broker(s, first));
        kill_it(broker(s, second));
        UNTIL(s, !is_in_sync(s, first) && !is_in_sync(s, second));
        pass_ms(s, between(s, 3000, 8000));
        power_off(s, broker(s, leader));
        start_it(broker(s, first));
        start_it(broker(s, second));
        pass_s(s, 20);
        start_it(broker(s, leader));
        pass_s(s, 10);
    }
}

/* The same when the leader is it that takes the others out, because they do not fetch: it is told
 * nothing, and nobody else is. What was acknowledged is on its device before it asks for that. */
static void the_last_of_the_isr_was_left_alone(struct scene *s)
{
    for (int round = 0; round < 4; round++) {
        UNTIL(s, is_whole(s));
        int leader = leader_of(s), first = follower_of(s, 0), second = follower_of(s, 1);
        pass_ms(s, between(s, 1000, 10000));
        cut(s, broker(s, first), broker(s, leader));
        cut(s, broker(s, second), broker(s, leader));
        UNTIL(s, leader_of(s) != leader || (!is_in_sync(s, first) && !is_in_sync(s, second)));
        pass_ms(s, between(s, 1, 1000));
        power_off(s, broker(s, leader));
        heal(s, broker(s, first), broker(s, leader));
        heal(s, broker(s, second), broker(s, leader));
        pass_ms(s, between(s, 1, 20000));
        start_it(broker(s, leader));
    }
}

/* The same before it hears that it is alone, so that nothing is synced for that: the one that has
 * just left the ISR has all that was acknowledged, and leads when it is there. */
static void lose_the_last_unaware(struct scene *s, bool with_controllers, bool has_heard)
{
    for (int round = 0; round < 4; round++) {
        bool is_other_late = has_heard || round % 2 == 1;
        UNTIL(s, is_whole(s));
        int leader = leader_of(s), away = follower_of(s, 0), other = follower_of(s, 1);
        kill_it(broker(s, away));
        UNTIL(s, !is_in_sync(s, away));
        pass_ms(s, between(s, 5000, 10000));
        for (int i = 0; i < s->cluster->controllers && !has_heard; i++)
            cut(s, cluster_controller(s->cluster, i), broker(s, leader));
        kill_it(broker(s, other));
        if (!is_other_late) start_it(broker(s, other));
        UNTIL(s, !is_in_sync(s, other) || leader_of(s) != leader);
        if (has_heard) pass_ms(s, between(s, 0, 50));
        power_off(s, broker(s, leader));
        for (int i = 0; i < s->cluster->controllers && !has_heard; i++)
            heal(s, cluster_controller(s->cluster, i), broker(s, leader));
        for (int i = 0; i < s->cluster->controllers && with_controllers; i++)
            kill_it(cluster_controller(s->cluster, i));
        UNTIL(s, is_other_late || is_registered(s, broker(s, other)));
        pass_ms(s, between(s, 1, 5000));
        start_it(broker(s, leader));
        for (int i = 0; i < s->cluster->controllers && with_controllers; i++)
            start_it(cluster_controller(s->cluster, i));
        pass_s(s, 10);
        start_it(broker(s, other));
        pass_s(s, 5);
        start_it(broker(s, away));
    }
}

static void the_last_of_the_isr_loses_power_unaware(struct scene *s)
{
    lose_the_last_unaware(s, false, false);
}

/* It has heard, and is about to sync. */
static void the_last_of_the_isr_loses_power_at_once(struct scene *s)
{
    lose_the_last_unaware(s, false, true);
}

/* Nobody who saw the other one leave is there any more: the state says it. */
static void the_last_of_the_isr_and_the_controllers_go(struct scene *s)
{
    lose_the_last_unaware(s, true, false);
}

/* The same one restarts before it loses its page cache: what nobody else has was not committed, and
 * a restart does not make it so. */
static void the_last_of_the_isr_restarts_and_loses_power(struct scene *s)
{
    UNTIL(s, is_whole(s));
    int leader = leader_of(s), first = follower_of(s, 0), second = follower_of(s, 1);
    kill_it(broker(s, first));
    kill_it(broker(s, second));
    UNTIL(s, !is_in_sync(s, first) && !is_in_sync(s, second));
    pass_ms(s, between(s, 3000, 8000));
    kill_it(broker(s, leader));
    start_it(broker(s, leader));
    pass_s(s, 25);
    power_off(s, broker(s, leader));
    start_it(broker(s, leader));
    pass_s(s, 20);
    start_it(broker(s, first));
    start_it(broker(s, second));
    pass_s(s, 30);
}

/* A controller that sleeps through the election of the next one wakes up with work in its hands. */
static void a_controller_sleeps_through_an_election(struct scene *s)
{
    for (int round = 0; round < 4; round++) {
        UNTIL(s, is_whole(s) && active(s) != NULL);
        struct member *controller = active(s), *leader = broker(s, leader_of(s));
        kill_it(leader);
        pass_ms(s, between(s, 1, 4000));
        pause_it(controller);
        UNTIL(s, active(s) != NULL && active(s) != controller);
        pass_ms(s, between(s, 1, 10000));
        resume_it(controller);
        pass_ms(s, between(s, 1, 3000));
        start_it(leader);
    }
}

/* The answer to a controller's write is lost, and the write was done. */
static void a_controller_loses_answers_of_writes_done(struct scene *s)
{
    for (int round = 0; round < 6; round++) {
        UNTIL(s, is_whole(s) && active(s) != NULL);
        struct member *it = broker(s, round % 2 == 0 ? leader_of(s) : follower_of(s, 0));
        lose_answer(s, active(s), true);
        kill_it(it);
        pass_ms(s, between(s, 1, 10000));
        lose_answer(s, active(s), true);
        start_it(it);
    }
}

/* The same, and it was not. */
static void a_controller_loses_writes(struct scene *s)
{
    for (int round = 0; round < 6; round++) {
        UNTIL(s, is_whole(s) && active(s) != NULL);
        struct member *it = broker(s, round % 2 == 0 ? leader_of(s) : follower_of(s, 0));
        lose_answer(s, active(s), false);
        kill_it(it);
        pass_ms(s, between(s, 1, 10000));
        lose_answer(s, active(s), false);
        start_it(it);
    }
}

/* An election whose answer is lost: who has won? */
static void the_answer_of_an_election_is_lost(struct scene *s)
{
    for (int round = 0; round < 6; round++) {
        UNTIL(s, active(s) != NULL);
        struct member *controller = active(s);
        for (int i = 0; i < s->cluster->count; i++)
            if (s->cluster->members[i].is_controller)
                lose_answer(s, &s->cluster->members[i], round % 2 == 0);
        kill_it(controller);
        UNTIL(s, active(s) != NULL && active(s) != controller);
        start_it(controller);
        pass_s(s, 5);
    }
}

/* Sessions end that nobody had given up; the connections between brokers stand. */
static void sessions_end_under_living_brokers(struct scene *s)
{
    for (int round = 0; round < 6; round++) {
        UNTIL(s, is_whole(s));
        expire(s, broker(s, round % 2 == 0 ? leader_of(s) : follower_of(s, 0)));
        if (round % 3 == 0 && active(s) != NULL) expire(s, active(s));
        pass_ms(s, between(s, 1, 5000));
    }
}

/* The leader's change of its ISR and the controller's election meet at the same state. */
static void an_isr_change_meets_an_election(struct scene *s)
{
    for (int round = 0; round < 4; round++) {
        UNTIL(s, is_whole(s) && active(s) != NULL);
        struct member *leader = broker(s, leader_of(s)), *follower = broker(s, follower_of(s, 0));
        struct member *controller = active(s);
        cut(s, follower, leader); /* it falls behind */
        pass_ms(s, between(s, 1000, 40000));
        cut(s, controller, leader); /* what was decided is not heard */
        pass_ms(s, between(s, 1, 3000));
        kill_it(follower);
        pass_ms(s, between(s, 1, 3000));
        heal(s, controller, leader);
        heal(s, follower, leader);
        start_it(follower);
    }
}

/* AlterPartition is under way when its controller goes. */
static void a_controller_dies_over_an_isr_change(struct scene *s)
{
    for (int round = 0; round < 5; round++) {
        UNTIL(s, is_whole(s) && active(s) != NULL);
        struct member *follower = broker(s, follower_of(s, 0)), *controller = active(s);
        int id = follower->id;
        kill_it(follower);
        UNTIL(s, !is_in_sync(s, id));
        start_it(follower);
        pass_ms(s, between(s, 500, 6000)); /* it comes back in */
        kill_it(controller);
        UNTIL(s, active(s) != NULL && active(s) != controller);
        start_it(controller);
    }
}

/* Nothing can be decided for minutes, while what should be decided piles up. */
static void zookeeper_is_away(struct scene *s)
{
    UNTIL(s, is_whole(s));
    int leader = leader_of(s);
    for (int i = 0; i < ensemble_servers(s->zookeeper); i++)
        ensemble_stop(s->zookeeper, i);
    pass_s(s, 30);
    kill_it(broker(s, leader));
    pass_s(s, 30);
    start_it(broker(s, leader));
    pass_s(s, 60);
    for (int i = 0; i < ensemble_servers(s->zookeeper); i++)
        ensemble_start(s->zookeeper, i);
    pass_s(s, 30);
}

/* The next controller reads from a server that does not know yet what the last one wrote. */
static void a_controller_takes_over_from_a_lagging_server(struct scene *s)
{
    for (int round = 0; round < 3; round++) {
        UNTIL(s, is_whole(s) && active(s) != NULL);
        struct member *controller = active(s), *leader = broker(s, leader_of(s));
        for (int i = 0; i < ensemble_servers(s->zookeeper); i++)
            if (i != round) ensemble_freeze(s->zookeeper, i, true);
        kill_it(leader);
        pass_ms(s, between(s, 1, 5000));
        kill_it(controller);
        pass_s(s, between(s, 5, 40));
        for (int i = 0; i < ensemble_servers(s->zookeeper); i++)
            ensemble_freeze(s->zookeeper, i, false);
        start_it(leader);
        start_it(controller);
    }
}

/* Every broker in turn ends in order; before it is back the next leader dies. */
static void a_rolling_restart_is_disturbed(struct scene *s)
{
    for (int id = 1; id <= s->cluster->brokers; id++) {
        UNTIL(s, is_whole(s));
        struct member *it = broker(s, id);
        it->is_wanted = true;
        member_stop(it);
        pass_ms(s, between(s, 1, 8000));
        int leader = leader_of(s);
        if (leader > 0 && leader != id) {
            kill_it(broker(s, leader));
            pass_ms(s, between(s, 1, 3000));
            start_it(broker(s, leader));
        }
        pass_s(s, 5);
        start_it(it);
    }
}

/* Topics are made, moved and deleted, and made again under their names, while a replica is away. */
static void topics_come_and_go_while_replicas_are_away(struct scene *s)
{
    for (int round = 0; round < 12; round++) {
        struct member *it = broker(s, (int)between(s, 1, s->cluster->brokers));
        kill_it(it);
        pass_s(s, between(s, 1, 60));
        start_it(it);
        pass_s(s, between(s, 1, 60));
    }
}

/* The same, while controllers go. */
static void topics_come_and_go_while_controllers_die(struct scene *s)
{
    for (int round = 0; round < 12; round++) {
        UNTIL(s, active(s) != NULL);
        struct member *it = active(s);
        kill_it(it);
        pass_s(s, between(s, 1, 40));
        start_it(it);
        pass_s(s, between(s, 1, 20));
    }
}

/* KIP-279: a leader writes what no other replica gets, and is deposed: its epoch begins and ends
 * where the next one begins. */
static void an_epoch_that_nobody_got(struct scene *s)
{
    for (int round = 0; round < 3; round++) {
        UNTIL(s, is_whole(s));
        int leader = leader_of(s);
        struct member *first = broker(s, follower_of(s, 0)), *second = broker(s, follower_of(s, 1));
        cut(s, first, second);
        cut(s, second, first);
        kill_it(broker(s, leader));
        UNTIL(s, leader_of(s) == first->id || leader_of(s) == second->id);
        struct member *alone = leader_of(s) == first->id ? first : second;
        pass_ms(s, between(s, 3000, 8000)); /* clients have found it, some write with acks=1 */
        isolate(s, alone, true);
        UNTIL(s, leader_of(s) > 0 && leader_of(s) != alone->id);
        pass_ms(s, between(s, 1, 3000));
        isolate(s, alone, false);
        heal(s, first, second);
        heal(s, second, first);
        start_it(broker(s, leader));
        pass_s(s, 5);
    }
}

/* KIP-497: the leader wants one out of the ISR, and nobody has agreed when that one is all that is
 * left. */
static void the_one_left_out_leads(struct scene *s)
{
    UNTIL(s, is_whole(s));
    struct member *leader = broker(s, leader_of(s)), *silent = broker(s, follower_of(s, 0)),
                  *other = broker(s, follower_of(s, 1));
    int64_t lag_ms = strtoll(cluster_setting(s->cluster, "replica.lag.time.max.ms"), NULL, 10);
    cut(s, silent, leader);
    for (int i = 0; i < s->cluster->controllers; i++)
        cut(s, leader, cluster_controller(s->cluster, i));
    pass_ms(s, lag_ms + lag_ms / 2 + 2000); /* less than a silent broker is believed to live */
    kill_it(leader);
    kill_it(other);
    heal(s, silent, leader);
    for (int i = 0; i < s->cluster->controllers; i++)
        heal(s, leader, cluster_controller(s->cluster, i));
    pass_s(s, 30);
    start_it(leader);
    start_it(other);
}

/* KIP-497: a follower joins, the controller writes it and loses the answer. What leader and
 * controller believe then must let it go again. */
static void an_isr_change_loses_its_answer(struct scene *s)
{
    for (int round = 0; round < 2; round++) {
        UNTIL(s, is_whole(s) && active(s) != NULL);
        struct member *leader = broker(s, leader_of(s)), *joins = broker(s, follower_of(s, 0));
        kill_it(joins);
        UNTIL(s, !is_in_sync(s, joins->id));
        start_it(joins);
        for (int i = 0; i < 200 && !is_in_sync(s, joins->id); i++) {
            lose_answer(s, active(s), true);
            pass_ms(s, 50);
        }
        UNTIL(s, is_in_sync(s, joins->id));
        pass_s(s, 5);
        cut(s, joins, leader);
        UNTIL(s, !is_in_sync(s, joins->id) || leader_of(s) == joins->id);
        heal(s, joins, leader);
    }
}

/* KIP-841: that a replica may join the ISR is said when it is there, and heard when it is gone. It
 * returns with less. */
static void a_replica_dies_as_it_joins(struct scene *s)
{
    UNTIL(s, is_whole(s));
    struct member *leader = broker(s, leader_of(s)), *joins = broker(s, follower_of(s, 0)),
                  *other = broker(s, follower_of(s, 1));
    kill_it(joins);
    UNTIL(s, !is_in_sync(s, joins->id));
    pass_s(s, 20);
    for (int i = 0; i < s->cluster->controllers; i++)
        cut(s, leader, cluster_controller(s->cluster, i));
    start_it(joins);
    pass_ms(s, between(s, 4000, 8000)); /* the leader has asked for it by now */
    kill_it(joins);
    UNTIL(s, !is_registered(s, joins)); /* else it is taken out as it registers anew */
    for (int i = 0; i < s->cluster->controllers; i++)
        heal(s, leader, cluster_controller(s->cluster, i));
    pass_ms(s, between(s, 4000, 6000)); /* what was held up has come through */
    power_off(s, joins);
    cut(s, joins, leader); /* it does not get back what it has lost */
    cut(s, joins, other);
    start_it(joins);
    UNTIL(s, is_registered(s, joins));
    pass_ms(s, between(s, 1, 2000));
    kill_it(leader);
    kill_it(other);
    pass_s(s, 30);
    heal(s, joins, leader);
    heal(s, joins, other);
    start_it(leader);
    start_it(other);
}

/* KIP-903: that a replica may join the ISR is said when it has all, and heard when it is back with
 * less. */
static void a_replica_returns_with_less_as_it_joins(struct scene *s)
{
    UNTIL(s, is_whole(s));
    struct member *leader = broker(s, leader_of(s)), *joins = broker(s, follower_of(s, 0)),
                  *other = broker(s, follower_of(s, 1));
    kill_it(joins);
    UNTIL(s, !is_in_sync(s, joins->id));
    pass_s(s, 20);
    for (int i = 0; i < s->cluster->controllers; i++)
        cut(s, leader, cluster_controller(s->cluster, i));
    start_it(joins);
    pass_ms(s, between(s, 4000, 8000)); /* the leader has asked for it by now */
    cut(s, joins, leader);
    power_off(s, joins);
    start_it(joins);
    pass_ms(s, between(s, 4000, 8000)); /* it is registered anew */
    for (int i = 0; i < s->cluster->controllers; i++)
        heal(s, leader, cluster_controller(s->cluster, i));
    pass_ms(s, between(s, 1000, 4000));
    kill_it(leader);
    kill_it(other);
    pass_s(s, 30);
    heal(s, joins, leader);
    start_it(leader);
    start_it(other);
}

/* All of an ISR end and are back before the controller looks; only one of them has lost power. */
static void an_isr_returns_while_the_controller_sleeps(struct scene *s)
{
    UNTIL(s, is_whole(s) && active(s) != NULL);
    struct member *away = broker(s, follower_of(s, 0));
    kill_it(away);
    UNTIL(s, !is_in_sync(s, away->id) && leader_of(s) > 0);
    struct load_partition at = state_of(s, 0);
    int64_t first = between(s, 0, 1);
    struct member *killed = broker(s, at.isr[first]), *lost = broker(s, at.isr[1 - first]);
    pass_s(s, 15);
    struct member *controller = active(s);
    pause_it(controller);
    kill_it(killed);
    power_off(s, lost);
    start_it(killed);
    start_it(lost);
    pass_ms(s, between(s, 300, 1500)); /* else another takes over */
    resume_it(controller);
    pass_s(s, 10);
    start_it(away);
}

/* Design §7.8: with room again everything goes on by itself, where nothing is told before it is on
 * the device, too. */
static void a_disk_is_full_for_a_while(struct scene *s)
{
    int count = 0;
    struct load_topic *topics = load_topics(s->load, &count);

    for (int round = 0; round < 12; round++) {
        UNTIL(s, is_whole(s));
        for (int t = 0; t < count; t++)
            if (topics[t].state == TOPIC_LIVE)
                (void)load_configure(s->load, topics[t].name, "flush.messages",
                               round % 3 == 0 ? "100000" : "1");
        pass_ms(s, between(s, 1000, 5000));
        struct member *it =
            broker(s, between(s, 0, 1) == 0 ? leader_of(s) : follower_of(s, round % 2));
        struct sim_device *device = sim_disk_device(it->host->disk, "/data");
        sim_device_fill(device, UINT64_C(1) << 30);
        pass_ms(s, between(s, 1000, 60000));
        sim_device_fill(device, 0);
    }
}

/* One broker after another loses power, and leads when it is back. */
static void power_is_lost_in_turn(struct scene *s)
{
    for (int round = 0; round < 8; round++) {
        UNTIL(s, is_whole(s));
        pass_ms(s, between(s, 1, 20000)); /* checkpoints, syncs */
        int leader = leader_of(s), id = round % 2 == 0 ? leader : follower_of(s, 0);
        power_off(s, broker(s, id));
        pass_ms(s, between(s, 1, 15000));
        start_it(broker(s, id));
        UNTIL(s, is_whole(s));
        if (round % 4 != 3) continue;
        kill_it(broker(s, leader_of(s)));
        pass_s(s, 5);
        for (int i = 1; i <= s->cluster->brokers; i++)
            start_it(broker(s, i));
    }
}

/* KIP-320, KIP-380: orders of those who were deposed, and to those who are no more, arrive at
 * brokers that know better. */
static void orders_come_from_the_past(struct scene *s)
{
    for (int round = 0; round < 4; round++) {
        UNTIL(s, is_whole(s) && active(s) != NULL);
        struct member *controller = active(s), *leader = broker(s, leader_of(s));
        kill_it(controller); /* else there is no controller epoch before this one */
        kill_it(leader);
        UNTIL(s, active(s) != NULL && active(s) != controller);
        start_it(controller);
        start_it(leader);
        UNTIL(s, is_whole(s));
        pass_s(s, 5); /* everybody has heard */
        for (int id = 1; id <= s->cluster->brokers; id++)
            for (int kind = ZOMBIE_CONTROLLER; kind <= ZOMBIE_EQUAL_EPOCH; kind++) {
                (void)zombie_orders(s->load, (enum zombie)kind, s->topic, id);
                pass_ms(s, between(s, 1, 500));
            }
        zombie_asks(s->load, 10, s->topic, leader_of(s)); /* of an epoch that is to come */
        pass_ms(s, between(s, 1, 500));
        zombie_asks(s->load, -1, s->topic, leader_of(s));
        pass_s(s, 10);
    }
}

static bool has_leader(struct scene *s, const char *topic)
{
    struct load_partition at = {.leader = -1};

    return load_partition(s->load, topic, 0, &at) && at.leader > 0;
}

/* Topics that tools write straight into ZooKeeper, one while the controller looks at the one
 * before: the watch must be set with the reading, not after it. */
static void topics_are_made_while_the_controller_looks(struct scene *s)
{
    char name[32];

    for (int round = 0; round < 40; round++) {
        UNTIL(s, is_whole(s) && active(s) != NULL);
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof(name), "made-%d-%d", round, i);
            load_make_topic(s->load, name, 1);
            pass_ms(s, between(s, 0, 40));
        }
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof(name), "made-%d-%d", round, i);
            UNTIL(s, has_leader(s, name));
        }
    }
}

static struct load_topic *topic_of(struct scene *s)
{
    int count = 0;
    struct load_topic *topics = load_topics(s->load, &count);

    for (int t = 0; t < count; t++)
        if (strcmp(topics[t].name, s->topic) == 0) return &topics[t];
    return NULL;
}

/* A replica is taken from a broker that is away, and the topic made again under its name: the log
 * that comes back belongs to the topic before. */
static void a_log_comes_back_to_another_topic(struct scene *s)
{
    for (int round = 0; round < 3; round++) {
        UNTIL(s, is_whole(s));
        struct load_topic *topic = topic_of(s);
        struct member *away = broker(s, round == 0 ? leader_of(s) : follower_of(s, 0));
        int32_t kept[2], count = 0;
        for (int id = 1; id <= 3; id++)
            if (id != away->id) kept[count++] = id;
        kill_it(away);
        UNTIL(s, leader_of(s) > 0 && leader_of(s) != away->id);
        load_reassign(s->load, s->topic, topic->partitions, kept, 2);
        for (int p = 0; p < topic->partitions; p++)
            UNTIL(s, state_of(s, p).replica_count == 2);
        topic->state = TOPIC_DRAINING;
        load_wake_operator(s->load);
        UNTIL(s, topic->state == TOPIC_ABSENT);
        if (round == 2) start_it(away); /* it is there when it is asked to make the new one */
        if (round == 2) pass_s(s, 20);
        load_make_topic(s->load, s->topic, topic->partitions); /* for all three, two are there */
        topic->min_insync = 1;
        topic->state = TOPIC_CREATING;
        load_wake_operator(s->load);
        UNTIL(s, topic->state == TOPIC_LIVE);
        pass_ms(s, between(s, 1, 20000));
        start_it(away);
    }
    UNTIL(s, is_whole(s));
}

#define PLAY(name, what, ...)                                                                      \
    {                                                                                              \
#name, what, name,                                                                         \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
const struct scenario scenarios[] = {
    PLAY(a_follower_restarts_and_leads, "KIP-101"),
    PLAY(leaders_change_fast, "KIP-279"),
    PLAY(a_deposed_leader_goes_on, "KIP-320"),
    PLAY(a_leader_sleeps_through_its_session, "a zombie leader"),
    PLAY(a_broker_bounces_behind_slow_wires, "KIP-380"),
    PLAY(one_of_the_isr_comes_back_with_less, "KIP-841, KIP-903"),
    PLAY(the_last_of_the_isr_loses_power, "KIP-966",
         {"log.flush.offset.checkpoint.interval.ms", 5000}),
    PLAY(the_last_of_the_isr_loses_power_unaware, "KIP-966",
         {"log.flush.offset.checkpoint.interval.ms", 600000},
         {"replica.high.watermark.checkpoint.interval.ms", 600000},
         {"controller.broker.heartbeat.timeout.ms", 30000}),
    PLAY(the_last_of_the_isr_loses_power_at_once, "KIP-966",
         {"log.flush.offset.checkpoint.interval.ms", 600000},
         {"replica.high.watermark.checkpoint.interval.ms", 600000},
         {"controller.broker.heartbeat.timeout.ms", 30000}),
    PLAY(the_last_of_the_isr_and_the_controllers_go, "KIP-966",
         {"log.flush.offset.checkpoint.interval.ms", 600000},
         {"replica.high.watermark.checkpoint.interval.ms", 600000},
         {"controller.broker.heartbeat.timeout.ms", 30000}),
    PLAY(the_last_of_the_isr_was_left_alone, "KIP-966", {"replica.lag.time.max.ms", 3000}),
    PLAY(the_last_of_the_isr_restarts_and_loses_power, "KIP-966"),
    PLAY(everything_loses_power_but_what_was_flushed, "flush.messages=1",
         {"disk.job-us-max", 200000}),
    PLAY(a_controller_sleeps_through_an_election, "a zombie controller"),
    PLAY(a_controller_loses_answers_of_writes_done, "lost answers"),
    PLAY(a_controller_loses_writes, "lost writes"),
    PLAY(the_answer_of_an_election_is_lost, "lost answers"),
    PLAY(sessions_end_under_living_brokers, "new broker epochs"),
    PLAY(an_isr_change_meets_an_election, "KIP-497"),
    PLAY(a_controller_dies_over_an_isr_change, "KIP-497"),
    PLAY(zookeeper_is_away, "no coordination for minutes"),
    PLAY(a_controller_takes_over_from_a_lagging_server, "stale reads"),
    PLAY(a_rolling_restart_is_disturbed, "controlled shutdown"),
    PLAY(topics_come_and_go_while_replicas_are_away, "KIP-516", {"load.operation-pause-ms", 15000},
         {"load.burst-pause-ms", 60000}),
    PLAY(topics_come_and_go_while_controllers_die, "deletions, reassignments taken over",
         {"load.operation-pause-ms", 15000}, {"load.burst-pause-ms", 60000}),
    PLAY(an_epoch_that_nobody_got, "KIP-279", {"replica.lag.time.max.ms", 30000}),
    PLAY(the_one_left_out_leads, "KIP-497", {"replica.lag.time.max.ms", 10000},
         {"controller.broker.heartbeat.timeout.ms", 30000}),
    PLAY(an_isr_change_loses_its_answer, "KIP-497"),
    PLAY(a_replica_dies_as_it_joins, "KIP-841", {"replica.lag.time.max.ms", 30000},
         {"controller.broker.heartbeat.timeout.ms", 30000}, {"zookeeper.session.timeout.ms", 3000},
         {"inter.broker.protocol.version", 0}),
    PLAY(a_replica_returns_with_less_as_it_joins, "KIP-903", {"inter.broker.protocol.version", 0},
         {"replica.lag.time.max.ms", 30000}, {"controller.broker.heartbeat.timeout.ms", 30000},
         {"replica.high.watermark.checkpoint.interval.ms", 600000}),
    PLAY(an_isr_returns_while_the_controller_sleeps, "a lost page cache",
         {"inter.broker.protocol.version", 0}, {"zookeeper.session.timeout.ms", 18000},
         {"replica.high.watermark.checkpoint.interval.ms", 600000}),
    PLAY(a_disk_is_full_for_a_while, "a full disk", {"log.segment.bytes", 16384},
         {"log.index.interval.bytes", 64}),
    PLAY(power_is_lost_in_turn, "what is on the device",
         {"log.flush.offset.checkpoint.interval.ms", 5000}, {"log.segment.bytes", 16384}),
    PLAY(topics_are_made_while_the_controller_looks, "watches"),
    PLAY(orders_come_from_the_past, "KIP-320, KIP-380"),
    PLAY(a_log_comes_back_to_another_topic, "KIP-516", {"inter.broker.protocol.version", 0}),
};
const int scenario_count = (int)(sizeof(scenarios) / sizeof(scenarios[0]));

/* ---- playing ---- */

const struct scenario *scenario_find(const char *name)
{
    for (int i = 0; i < scenario_count; i++)
        if (strcmp(scenarios[i].name, name) == 0) return &scenarios[i];
    return NULL;
}

void scenario_prepare(const struct scenario *scenario, struct world *world)
{
    static const char *const families[] = {"net",     "shard", "disk", "zookeeper",
                                           "process", "power", "link", "clock"};

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        world_without(world, families[i]);
    world_set_option(world, "brokers", 3);
    world_set_option(world, "controllers", 2);
    world_set_option(world, "zookeeper.servers", 3);
    world_set_option(world, "log-dirs", 1);
    world_set_option(world, "load.burst-pause-ms", 500);
    world_set_option(world, "load.burst-length", 40);
    world_set_option(world, "load.send-pause-ms", 40);
    world_set_option(world, "load.operation-pause-ms", 100000000); /* hardly ever */
    for (int i = 0; i < SCENARIO_OPTIONS_MAX && scenario->options[i].name != NULL; i++)
        world_set_option(world, scenario->options[i].name, scenario->options[i].value);
}

static bool has_operator(const struct scenario *scenario)
{
    for (int i = 0; i < SCENARIO_OPTIONS_MAX && scenario->options[i].name != NULL; i++)
        if (strcmp(scenario->options[i].name, "load.operation-pause-ms") == 0) return true;
    return false;
}

void scenario_play(const struct scenario *scenario, struct world *world, struct cluster *cluster,
                   struct load *load)
{
    int count = 0;
    struct load_topic *topics = load_topics(load, &count), *topic = &topics[count - 1];
    struct scene scene = {
        .world = world,
        .cluster = cluster,
        .load = load,
        .zookeeper = sim_zookeeper_ensemble(world->zookeeper),
        .luck = world_stream(world, "scenario"),
    };

    for (int t = 0; t < count; t++)
        if (topics[t].state == TOPIC_ABSENT) topic = &topics[t];
    /* One that the operator has made already will do, if it promises enough. */
    for (int t = 0; t < count; t++)
        if (topics[t].state == TOPIC_LIVE && topics[t].replicas == 3 && topics[t].min_insync == 2 &&
            !topics[t].is_unclean && !topics[t].was_reassigned)
            topic = &topics[t];
    scene.topic = topic->name;
    if (topic->state == TOPIC_ABSENT) {
        topic->partitions = 2;
        topic->replicas = 3;
        topic->min_insync = 2;
        topic->is_unclean = false;
        topic->state = TOPIC_CREATING;
        load_wake_operator(load);
    }
    /* Where topics come and go, this one may have gone before it is whole. */
    UNTIL(&scene, topic->state != TOPIC_CREATING && (is_whole(&scene) || has_operator(scenario)));
    pass_s(&scene, 20);
    world_trace(world, "play %s", scenario->name);
    scenario->play(&scene);
}
