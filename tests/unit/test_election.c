#include "controller/election.h"
#include "tests/unit/unit.h"
#include <stdio.h>

static struct context context;
static struct partition *partition;
static struct leadership chosen;
static struct ids told;

static void broker(int32_t id)
{
    context_add_broker(&context, id);
}

/* Replicas 1, 2, 3, all alive, leader 1. */
static void begin(void)
{
    const struct context_config config = {.id = 9, .has_recovery_state = true};
    const int32_t all[] = {1, 2, 3};

    context_init(&context, &config, 1);
    context.epoch = 7;
    for (int32_t id = 1; id <= 3; id++)
        broker(id);
    struct topic *topic = context_add_topic(&context, SLICE("orders"));
    partition = topic_add_partition(&context, topic, 0);
    ids_set(&partition->replicas, all, 3);
    struct leadership now = {.leader = 1, .leader_epoch = 4, .controller_epoch = 2};
    ids_set(&now.isr, all, 3);
    partition_set_leadership(partition, &now);
    leadership_fini(&now);
}

static void end(void)
{
    leadership_fini(&chosen);
    ids_fini(&told);
    context_fini(&context);
}

static void isr(int32_t a, int32_t b)
{
    const int32_t at[] = {a, b};

    ids_set(&partition->now.isr, at, b == 0 ? 1 : 2);
}

static struct election_terms terms;
static bool is_unclean;

static bool choose(enum election election, bool is_unclean_allowed)
{
    leadership_fini(&chosen);
    told.count = 0;
    terms.is_unclean_allowed = is_unclean_allowed;
    return election_choose(&context, partition, election, &terms, &partition->now, &chosen, &told,
                           &is_unclean);
}

static const char *text(const struct ids *ids)
{
    static char out[64];
    struct buf buf = {0};

    ids_print(&buf, ids);
    snprintf(out, sizeof(out), "%.*s", (int)buf.len, (const char *)buf.ptr);
    buf_fini(&buf);
    return out;
}

START_TEST(the_first_replica_in_the_isr_that_lives_leads)
{
    begin();
    context_remove_broker(&context, 1);
    ck_assert(choose(ELECTION_OFFLINE, false));
    ck_assert_int_eq(chosen.leader, 2);
    ck_assert_int_eq(chosen.leader_epoch, 5);
    ck_assert_int_eq(chosen.controller_epoch, 7);
    ck_assert_str_eq(text(&chosen.isr), "2,3");
    ck_assert_str_eq(text(&told), "2,3");
    end();
}
END_TEST

START_TEST(a_leader_that_returned_leads_again_in_a_new_epoch)
{
    begin();
    isr(3, 2);
    partition->now.leader = 3;
    ck_assert(choose(ELECTION_AGAIN, false));
    ck_assert_int_eq(chosen.leader, 3);
    ck_assert_int_eq(chosen.leader_epoch, 5);
    ck_assert_str_eq(text(&chosen.isr), "3,2");
    ck_assert_str_eq(text(&told), "1,2,3");
    context_remove_broker(&context, 3);
    ck_assert(choose(ELECTION_AGAIN, false));
    ck_assert_int_eq(chosen.leader, 2);
    ck_assert_str_eq(text(&chosen.isr), "2");
    end();
}
END_TEST

START_TEST(the_order_of_the_assignment_counts_not_that_of_the_isr)
{
    begin();
    context_remove_broker(&context, 1);
    isr(3, 2);
    ck_assert(choose(ELECTION_OFFLINE, false));
    ck_assert_int_eq(chosen.leader, 2);
    ck_assert_str_eq(text(&chosen.isr), "3,2");
    end();
}
END_TEST

START_TEST(nobody_outside_the_isr_leads_unless_it_may_be_unclean)
{
    begin();
    isr(1, 0);
    context_remove_broker(&context, 1);
    ck_assert(election_asks_terms(&context, partition, ELECTION_OFFLINE, &partition->now));
    ck_assert(!choose(ELECTION_OFFLINE, false));
    ck_assert(choose(ELECTION_OFFLINE, true));
    ck_assert_int_eq(chosen.leader, 2);
    ck_assert_str_eq(text(&chosen.isr), "2");
    ck_assert(chosen.is_recovering);
    ck_assert(choose(ELECTION_OFFLINE_UNCLEAN, false));
    end();
}
END_TEST

START_TEST(a_living_member_of_the_isr_makes_it_clean)
{
    begin();
    isr(1, 3);
    context_remove_broker(&context, 1);
    ck_assert(!election_asks_terms(&context, partition, ELECTION_OFFLINE, &partition->now));
    ck_assert(choose(ELECTION_OFFLINE_UNCLEAN, true));
    ck_assert_int_eq(chosen.leader, 3);
    ck_assert(!chosen.is_recovering);
    end();
}
END_TEST

START_TEST(an_offline_directory_is_a_dead_replica)
{
    begin();
    context_set_dir_offline(&context, partition, 1, true);
    ck_assert(choose(ELECTION_OFFLINE, false));
    ck_assert_int_eq(chosen.leader, 2);
    end();
}
END_TEST

/* A replica of the ISR that has said it cannot is asked once more when the operator orders an
 * unclean election and nobody else is there: with the recovery state, which says that it may. */
START_TEST(an_ordered_unclean_election_asks_a_refusing_replica_last)
{
    begin();
    isr(1, 0);
    context_set_dir_offline(&context, partition, 1, true);
    ck_assert(choose(ELECTION_OFFLINE_UNCLEAN, false));
    ck_assert_int_eq(chosen.leader, 2);
    context_remove_broker(&context, 2);
    context_remove_broker(&context, 3);
    ck_assert(!choose(ELECTION_OFFLINE, true));
    ck_assert(choose(ELECTION_OFFLINE_UNCLEAN, false));
    ck_assert_int_eq(chosen.leader, 1);
    ck_assert(chosen.is_recovering);
    ck_assert_str_eq(text(&chosen.isr), "1");
    ck_assert_str_eq(text(&told), "1");
    context_remove_broker(&context, 1);
    ck_assert(!choose(ELECTION_OFFLINE_UNCLEAN, false));
    end();
}
END_TEST

START_TEST(preferred_is_the_first_or_nobody)
{
    begin();
    partition->now.leader = 2;
    ck_assert(choose(ELECTION_PREFERRED, false));
    ck_assert_int_eq(chosen.leader, 1);
    ck_assert_str_eq(text(&chosen.isr), "1,2,3");
    isr(2, 3);
    ck_assert(!choose(ELECTION_PREFERRED, false));
    end();
}
END_TEST

START_TEST(a_broker_that_shuts_down_leads_nothing_and_leaves_the_isr)
{
    begin();
    context_broker(&context, 1)->is_shutting_down = true;
    ck_assert(choose(ELECTION_CONTROLLED_SHUTDOWN, false));
    ck_assert_int_eq(chosen.leader, 2);
    ck_assert_str_eq(text(&chosen.isr), "2,3");
    ck_assert_str_eq(text(&told), "1,2,3"); /* it hears that it follows now */
    isr(1, 0);
    ck_assert(!choose(ELECTION_CONTROLLED_SHUTDOWN, false));
    end();
}
END_TEST

START_TEST(a_reassignment_elects_among_its_target)
{
    const int32_t removing[] = {1};

    begin();
    ids_set(&partition->removing, removing, 1);
    ck_assert(choose(ELECTION_REASSIGN, false));
    ck_assert_int_eq(chosen.leader, 2);
    ck_assert_str_eq(text(&chosen.isr), "1,2,3");
    ck_assert_str_eq(text(&told), "2,3");
    end();
}
END_TEST

START_TEST(a_suspect_broker_is_not_live)
{
    begin();
    context_broker(&context, 1)->is_suspect = true;
    ck_assert(choose(ELECTION_OFFLINE, false));
    ck_assert_int_eq(chosen.leader, 2);
    end();
}
END_TEST

/* 2 left the ISR of two with all that had to be on both of them. */
START_TEST(who_left_the_isr_with_all_leads_before_one_that_lost_something)
{
    begin();
    struct broker *first = context_broker(&context, 1);
    struct leadership next = {0};
    isr(1, 2);
    leadership_copy(&next, &partition->now);
    ids_remove(&next.isr, 2);
    terms = (struct election_terms){.min_insync = 2, .config_zxid = 5};
    first->epoch = 3;
    partition_note_online(partition, first);
    partition_note_left(&context, partition, &partition->now, &next, 10);
    partition_set_leadership(partition, &next);
    leadership_fini(&next);
    ck_assert(!election_asks_terms(&context, partition, ELECTION_OFFLINE, &partition->now));
    ck_assert(choose(ELECTION_OFFLINE, false));
    ck_assert_int_eq(chosen.leader, 1);

    first->epoch += 100;
    first->is_cache_lost = true;
    partition_note_online(partition, first);
    ck_assert(election_asks_terms(&context, partition, ELECTION_OFFLINE, &partition->now));
    ck_assert(choose(ELECTION_OFFLINE, false));
    ck_assert_int_eq(chosen.leader, 2);
    ck_assert_str_eq(text(&chosen.isr), "2");
    ck_assert(!is_unclean && !chosen.is_recovering);

    /* It is waited for: 1 may not have synced for being alone. */
    context_set_dir_offline(&context, partition, 2, true);
    ck_assert(election_asks_terms(&context, partition, ELECTION_OFFLINE, &partition->now));
    ck_assert(!choose(ELECTION_OFFLINE, false));
    ck_assert(!choose(ELECTION_PREFERRED, false));
    ck_assert(choose(ELECTION_OFFLINE_UNCLEAN, false));
    ck_assert_int_eq(chosen.leader, 1);
    context_set_dir_offline(&context, partition, 2, false);

    /* Fewer were enough, or may have been for a while. */
    terms.min_insync = 1;
    ck_assert(choose(ELECTION_OFFLINE, false));
    ck_assert_int_eq(chosen.leader, 1);
    terms = (struct election_terms){.min_insync = 2, .config_zxid = 11};
    ck_assert(choose(ELECTION_OFFLINE, false));
    ck_assert_int_eq(chosen.leader, 1);
    terms.config_zxid = 5;

    /* Who is in the ISR and away may have more. */
    isr(1, 3);
    context_remove_broker(&context, 3);
    ck_assert(election_asks_terms(&context, partition, ELECTION_OFFLINE, &partition->now));
    ck_assert(!choose(ELECTION_OFFLINE, false));
    ck_assert(!choose(ELECTION_PREFERRED, false));
    ck_assert(choose(ELECTION_OFFLINE_UNCLEAN, false));
    ck_assert_int_eq(chosen.leader, 1);
    isr(1, 0);

    /* It has lost something itself. */
    struct broker *second = context_broker(&context, 2);
    second->epoch = 4;
    partition_note_online(partition, second);
    second->epoch += 100;
    second->is_cache_lost = true;
    partition_note_online(partition, second);
    ck_assert(choose(ELECTION_OFFLINE, false));
    ck_assert_int_eq(chosen.leader, 1);
    terms = (struct election_terms){0};
    end();
}
END_TEST

UNIT(who_left_the_isr_with_all_leads_before_one_that_lost_something,
     the_first_replica_in_the_isr_that_lives_leads,
     a_leader_that_returned_leads_again_in_a_new_epoch,
     the_order_of_the_assignment_counts_not_that_of_the_isr,
     nobody_outside_the_isr_leads_unless_it_may_be_unclean,
     a_living_member_of_the_isr_makes_it_clean, an_offline_directory_is_a_dead_replica,
     an_ordered_unclean_election_asks_a_refusing_replica_last, preferred_is_the_first_or_nobody,
     a_broker_that_shuts_down_leads_nothing_and_leaves_the_isr,
     a_reassignment_elects_among_its_target, a_suspect_broker_is_not_live)
