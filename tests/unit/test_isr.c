/* tests/unit/test_isr.c - who is in sync and what that makes of the high watermark, transition by
 * transition, with the timelines of the replication reference. */
#include "broker/replica/isr.h"
#include "unit.h"

#define LAG_MS 30000
#define ALL    UINT64_C(7)

static struct instant at_ms(int64_t ms)
{
    return (struct instant){ms * 1000000};
}

static struct isr_effects step(struct isr *isr, int64_t ms, struct isr_event event)
{
    struct isr_effects out;

    event.now = at_ms(ms);
    event.alive = ALL;
    isr_step(isr, &event, &out);
    return out;
}

static struct isr_effects lead(struct isr *isr, int64_t ms, int32_t epoch, uint64_t set,
                               int64_t end)
{
    static const int32_t replicas[] = {1, 2, 3};

    return step(isr, ms,
                (struct isr_event){.type = ISR_LEAD,
                                   .lead = {.leader_epoch = epoch,
                                            .partition_epoch = epoch * 10,
                                            .replicas = replicas,
                                            .replica_count = 3,
                                            .isr = set,
                                            .end_offset = end}});
}

static struct isr_effects appended(struct isr *isr, int64_t ms, int64_t end)
{
    return step(isr, ms, (struct isr_event){.type = ISR_APPENDED, .appended.end_offset = end});
}

static struct isr_effects fetched(struct isr *isr, int64_t ms, int slot, int64_t offset)
{
    return step(isr, ms,
                (struct isr_event){.type = ISR_FETCHED,
                                   .fetched = {.slot = slot,
                                               .fetch_offset = offset,
                                               .leader_end = isr->slots[0].end_offset,
                                               .broker_epoch = -1}});
}

static struct isr_effects tick(struct isr *isr, int64_t ms)
{
    return step(isr, ms, (struct isr_event){.type = ISR_TICK});
}

static struct isr_effects decided(struct isr *isr, int64_t ms, int says, int32_t leader_epoch,
                                  int32_t partition_epoch, uint64_t set)
{
    struct isr_event event = {.type = ISR_DECIDED};

    event.decided.says = says;
    event.decided.leader_epoch = leader_epoch;
    event.decided.partition_epoch = partition_epoch;
    event.decided.set = set;
    return step(isr, ms, event);
}

static void open_isr(struct isr *isr, int32_t min_insync)
{
    isr_init(isr, 0, min_insync, INT64_C(1000000) * LAG_MS);
}

START_TEST(the_next_fetch_is_the_acknowledgement)
{
    struct isr isr;

    open_isr(&isr, 2);
    lead(&isr, 0, 1, ALL, 0);
    fetched(&isr, 1, 1, 0);
    fetched(&isr, 1, 2, 0);
    ck_assert(!appended(&isr, 2, 11).advance);
    ck_assert(!fetched(&isr, 3, 1, 11).advance); /* one follower is not all */
    struct isr_effects out = fetched(&isr, 4, 2, 11);
    ck_assert(out.advance);
    ck_assert_int_eq(out.high_watermark, 11);
    isr_fini(&isr);
}
END_TEST

START_TEST(an_unknown_follower_holds_the_watermark)
{
    struct isr isr;

    open_isr(&isr, 1);
    lead(&isr, 0, 1, ALL, 0);
    appended(&isr, 1, 5);
    ck_assert(!fetched(&isr, 2, 1, 5).advance); /* slot 2 has never fetched */
    ck_assert_int_eq(isr.high_watermark, 0);
    isr_fini(&isr);
}
END_TEST

START_TEST(a_silent_follower_holds_the_watermark_until_the_controller_agrees)
{
    struct isr isr;

    open_isr(&isr, 1);
    lead(&isr, 0, 1, ALL, 0);
    appended(&isr, 0, 10);
    fetched(&isr, 29000, 1, 10); /* slot 2 never fetches */

    ck_assert(!tick(&isr, 30000).propose); /* the limit is not passed yet */
    struct isr_effects out = tick(&isr, 30001);
    ck_assert(out.propose && !out.advance); /* asking is not enough */
    ck_assert_uint_eq(out.set, 0x3);
    ck_assert_int_eq(out.partition_epoch, 10);
    ck_assert_uint_eq(isr_maximal(&isr), ALL);

    out = decided(&isr, 30002, ISR_SAYS_COMMITTED, 1, 11, 0x3);
    ck_assert(out.advance && out.is_shrunk);
    ck_assert_int_eq(out.high_watermark, 10);
    ck_assert_int_eq(isr.partition_epoch, 11);
    isr_fini(&isr);
}
END_TEST

START_TEST(a_follower_that_always_reaches_the_end_of_its_last_fetch_stays)
{
    struct isr isr;

    open_isr(&isr, 1);
    isr.high_watermark = 0;
    lead(&isr, 0, 1, ALL, 100);
    /* the table of replication.md 5.1, in seconds */
    fetched(&isr, 0, 1, 100);
    ck_assert_int_eq(isr.slots[1].caught_up_at.ns, 0);
    appended(&isr, 4000, 500);
    fetched(&isr, 5000, 1, 100);
    ck_assert_int_eq(isr.slots[1].caught_up_at.ns, 0);
    appended(&isr, 9000, 900);
    fetched(&isr, 10000, 1, 400);
    ck_assert_int_eq(isr.slots[1].caught_up_at.ns, 0);
    appended(&isr, 14000, 1000);
    fetched(&isr, 15000, 1, 900);
    ck_assert_int_eq(isr.slots[1].caught_up_at.ns, at_ms(10000).ns);
    isr_fini(&isr);
}
END_TEST

START_TEST(joining_takes_the_watermark_and_the_start_of_the_epoch)
{
    struct isr isr;

    open_isr(&isr, 1);
    lead(&isr, 0, 1, 0x1, 100); /* alone in the ISR; the epoch starts at 100 */
    ck_assert_int_eq(isr.high_watermark, 100);
    ck_assert(!fetched(&isr, 1, 1, 99).propose);
    struct isr_effects out = fetched(&isr, 2, 1, 100);
    ck_assert(out.propose);
    ck_assert_uint_eq(out.set, 0x3);
    /* Only one change at a time. */
    ck_assert(!fetched(&isr, 3, 2, 100).propose);
    out = decided(&isr, 4, ISR_SAYS_COMMITTED, 1, 11, 0x3);
    ck_assert(out.is_grown);
    ck_assert(fetched(&isr, 5, 2, 100).propose);
    isr_fini(&isr);
}
END_TEST

START_TEST(a_watermark_below_the_epoch_start_does_not_let_a_stale_replica_join)
{
    struct isr isr;
    static const int32_t replicas[] = {1, 2, 3};
    struct isr_event event = {.type = ISR_LEAD,
                              .lead = {.leader_epoch = 4,
                                       .partition_epoch = 9,
                                       .replicas = replicas,
                                       .replica_count = 3,
                                       .isr = 0x3,
                                       .end_offset = 50}};

    open_isr(&isr, 1);
    isr.high_watermark = 40;
    step(&isr, 0, event);
    ck_assert(!fetched(&isr, 1, 2, 45).propose); /* above the watermark, below the epoch */
    ck_assert(fetched(&isr, 2, 2, 50).propose);
    isr_fini(&isr);
}
END_TEST

START_TEST(a_dead_broker_does_not_join)
{
    struct isr isr;
    struct isr_effects out;

    open_isr(&isr, 1);
    lead(&isr, 0, 1, 0x1, 10);
    struct isr_event event = {.type = ISR_FETCHED,
                              .now = at_ms(1),
                              .alive = 0,
                              .fetched = {.slot = 1, .fetch_offset = 10, .leader_end = 10}};
    isr_step(&isr, &event, &out);
    ck_assert(!out.propose);
    isr_fini(&isr);
}
END_TEST

START_TEST(while_a_joiner_is_proposed_it_counts)
{
    struct isr isr;

    open_isr(&isr, 1);
    lead(&isr, 0, 1, 0x1, 10);
    ck_assert(fetched(&isr, 1, 1, 10).propose);
    ck_assert(!appended(&isr, 2, 20).advance); /* it might be in the ISR already */
    ck_assert(fetched(&isr, 3, 1, 20).advance);
    isr_fini(&isr);
}
END_TEST

START_TEST(a_caught_up_replica_outside_the_isr_counts_while_it_lives)
{
    struct isr isr;
    struct isr_effects out;

    open_isr(&isr, 1);
    lead(&isr, 0, 1, 0x1, 10);
    fetched(&isr, 1, 1, 10);
    decided(&isr, 2, ISR_SAYS_REFUSED, isr.leader_epoch, 0, 0); /* 107: not now */
    ck_assert_uint_eq(isr_maximal(&isr), 0x1);
    ck_assert(!appended(&isr, 3, 20).advance);

    struct isr_event event = {.type = ISR_TICK, .now = at_ms(4), .alive = 0};
    isr_step(&isr, &event, &out);
    ck_assert(out.advance); /* its broker has gone */
    isr_fini(&isr);
}
END_TEST

START_TEST(one_that_was_refused_is_not_proposed_with_each_fetch)
{
    struct isr isr;

    open_isr(&isr, 1);
    lead(&isr, 0, 1, 0x1, 10);
    ck_assert(fetched(&isr, 1, 1, 10).propose);
    decided(&isr, 2, ISR_SAYS_REFUSED, isr.leader_epoch, 0, 0);
    ck_assert(!fetched(&isr, 3, 1, 10).propose);
    ck_assert(!fetched(&isr, 501, 1, 10).propose);
    ck_assert(fetched(&isr, 502, 1, 10).propose);
    isr_fini(&isr);
}
END_TEST

START_TEST(a_leader_that_nobody_fetches_from_may_be_none)
{
    struct isr isr;
    int64_t second = INT64_C(1000000000);

    open_isr(&isr, 1);
    lead(&isr, 0, 1, 0x3, 10);
    fetched(&isr, 1000, 1, 10);
    ck_assert(!isr_is_confirmed(&isr, at_ms(1000), second)); /* it may have been on its way long */
    fetched(&isr, 1500, 1, 10);                              /* an answer to our answer */
    ck_assert(isr_is_confirmed(&isr, at_ms(2000), second));
    ck_assert(!isr_is_confirmed(&isr, at_ms(2001), second));
    for (int64_t ms = 9000; ms < 9100; ms += 10) /* outside the ISR: it says nothing */
        fetched(&isr, ms, 2, 9);
    ck_assert(!isr_is_confirmed(&isr, at_ms(9100), second));
    fetched(&isr, 9200, 1, 10); /* sent before we were cut off, heard afterwards */
    ck_assert(!isr_is_confirmed(&isr, at_ms(9200), second));
    isr_fini(&isr);

    open_isr(&isr, 1);
    lead(&isr, 0, 1, 0x1, 10);
    ck_assert(isr_is_confirmed(&isr, at_ms(60000), second)); /* nobody else could be elected */
    isr_fini(&isr);
}
END_TEST

START_TEST(the_watermark_is_frozen_under_min_isr)
{
    struct isr isr;

    open_isr(&isr, 2);
    lead(&isr, 0, 1, 0x1, 10);
    ck_assert_int_eq(isr.high_watermark, 0);
    ck_assert(!appended(&isr, 1, 20).advance);
    ck_assert(!isr_may_append_all(&isr));
    fetched(&isr, 2, 1, 20);
    ck_assert_int_eq(isr.high_watermark, 0); /* proposed is not committed */
    struct isr_effects out = decided(&isr, 3, ISR_SAYS_COMMITTED, 1, 11, 0x3);
    ck_assert(out.advance);
    ck_assert_int_eq(out.high_watermark, 20);
    ck_assert(isr_may_append_all(&isr));
    isr_fini(&isr);
}
END_TEST

START_TEST(min_isr_is_never_more_than_there_are_replicas)
{
    static const int32_t one[] = {1};
    struct isr isr;

    open_isr(&isr, 3);
    step(&isr, 0,
         (struct isr_event){
             .type = ISR_LEAD,
             .lead = {.leader_epoch = 0, .replicas = one, .replica_count = 1, .isr = 1}});
    ck_assert_int_eq(isr_min_effective(&isr), 1);
    ck_assert(isr_may_append_all(&isr));
    struct isr_effects out = appended(&isr, 1, 7);
    ck_assert(out.advance); /* alone: the append itself commits */
    ck_assert(instant_is_never(isr_deadline(&isr)));
    isr_fini(&isr);
}
END_TEST

START_TEST(below_min_isr_the_log_is_synced_before_the_proposal)
{
    struct isr isr;

    open_isr(&isr, 2);
    lead(&isr, 0, 1, 0x3, 0);
    appended(&isr, 1, 10);
    struct isr_effects out = tick(&isr, 30001);
    ck_assert(out.sync && !out.propose);
    ck_assert_uint_eq(isr_maximal(&isr), 0x3);

    struct isr_event event = {.type = ISR_SYNCED, .synced.end_offset = 10};
    out = step(&isr, 30002, event);
    ck_assert(out.propose);
    ck_assert_uint_eq(out.set, 0x1);

    /* The device failed: nothing is said, the next tick looks again. */
    decided(&isr, 30003, ISR_SAYS_REFUSED, isr.leader_epoch, 0, 0);
    ck_assert(tick(&isr, 30004).sync);
    event.synced.failed = true;
    ck_assert(!step(&isr, 30005, event).propose);
    ck_assert_int_eq(isr.pending, ISR_SETTLED);
    isr_fini(&isr);
}
END_TEST

START_TEST(an_isr_below_min_insync_that_the_controller_brings_syncs_too)
{
    struct isr isr;

    open_isr(&isr, 2);
    ck_assert(!lead(&isr, 0, 1, 0x3, 0).sync);
    appended(&isr, 1, 10);
    ck_assert(lead(&isr, 2, 2, 0x1, 10).sync); /* alone */
    ck_assert(!appended(&isr, 3, 12).advance); /* nothing is promised */
    /* The sync that ends proposes nothing: the set is the controller's own. */
    struct isr_event event = {.type = ISR_SYNCED, .synced.end_offset = 10};
    ck_assert(!step(&isr, 4, event).propose);
    ck_assert_int_eq(isr.pending, ISR_SETTLED);
    isr_fini(&isr);

    open_isr(&isr, 1); /* one is enough here: it is no exception, and costs no sync */
    ck_assert(!lead(&isr, 0, 1, 0x1, 0).sync);
    isr_fini(&isr);
}
END_TEST

START_TEST(answers_of_another_time_are_not_believed)
{
    struct isr isr;

    open_isr(&isr, 1);
    lead(&isr, 0, 5, ALL, 0);
    decided(&isr, 1, ISR_SAYS_COMMITTED, 5, 60, 0x1); /* nothing was asked */
    ck_assert_uint_eq(isr.committed, ALL);

    fetched(&isr, 2, 1, 0);
    tick(&isr, 40000); /* both are late */
    ck_assert_int_eq(isr.pending, ISR_PROPOSED);
    decided(&isr, 40001, ISR_SAYS_COMMITTED, 4, 70, 0x1); /* another leader's */
    ck_assert_int_eq(isr.pending, ISR_PROPOSED);
    decided(&isr, 40002, ISR_SAYS_COMMITTED, 5, 49, 0x1); /* older than the state we know */
    ck_assert_int_eq(isr.pending, ISR_PROPOSED);
    isr_fini(&isr);
}
END_TEST

START_TEST(an_unclear_answer_freezes_until_leader_and_isr)
{
    struct isr isr;

    open_isr(&isr, 1);
    lead(&isr, 0, 1, ALL, 0);
    appended(&isr, 0, 10);
    fetched(&isr, 29000, 1, 10);
    ck_assert(tick(&isr, 31000).propose);
    ck_assert(!decided(&isr, 31001, ISR_SAYS_UNKNOWN, 1, 10, 0).propose);
    ck_assert(!tick(&isr, 62000).propose); /* no second guess */
    ck_assert_uint_eq(isr_maximal(&isr), ALL);
    ck_assert_int_eq(isr.high_watermark, 0);

    struct isr_effects out = lead(&isr, 62001, 2, 0x3, 10);
    ck_assert_int_eq(isr.pending, ISR_SETTLED);
    ck_assert(out.advance); /* slot 1 is known from before and has it all */
    isr_fini(&isr);
}
END_TEST

START_TEST(what_became_of_an_old_epochs_proposal_says_nothing_of_the_new_one)
{
    static const int says[] = {ISR_SAYS_UNKNOWN, ISR_SAYS_REFUSED, ISR_SAYS_RETRY};

    for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
        struct isr isr;

        open_isr(&isr, 1);
        lead(&isr, 0, 1, ALL, 0);
        appended(&isr, 0, 10);
        ck_assert(tick(&isr, 31000).propose);
        lead(&isr, 31001, 2, ALL, 10); /* before the controller's answer */
        ck_assert(tick(&isr, 62002).propose);
        ck_assert(!decided(&isr, 62003, says[i], 1, 10, 0).propose);
        ck_assert_int_eq(isr.pending, ISR_PROPOSED);
        decided(&isr, 62004, ISR_SAYS_COMMITTED, 2, 21, 0x1);
        ck_assert_uint_eq(isr.committed, 0x1);
        ck_assert_int_eq(isr.high_watermark, 10);
        isr_fini(&isr);
    }
}
END_TEST

START_TEST(a_retry_asks_for_the_same_set)
{
    struct isr isr;

    open_isr(&isr, 1);
    lead(&isr, 0, 1, 0x1, 10);
    ck_assert(fetched(&isr, 1, 1, 10).propose);
    struct isr_effects out = decided(&isr, 2, ISR_SAYS_RETRY, isr.leader_epoch, 0, 0);
    ck_assert(out.propose);
    ck_assert_uint_eq(out.set, 0x3);
    isr_fini(&isr);
}
END_TEST

START_TEST(a_follower_may_fall_back_without_moving_the_watermark)
{
    struct isr isr;

    open_isr(&isr, 1);
    lead(&isr, 0, 1, 0x3, 0);
    appended(&isr, 1, 10);
    ck_assert(fetched(&isr, 2, 1, 10).advance);
    ck_assert(!fetched(&isr, 3, 1, 4).advance); /* it restarted with less */
    ck_assert_int_eq(isr.slots[1].end_offset, 4);
    ck_assert_int_eq(isr.high_watermark, 10);
    isr_fini(&isr);
}
END_TEST

START_TEST(a_new_leader_knows_nobody_and_gives_the_isr_its_time)
{
    struct isr isr;

    open_isr(&isr, 1);
    lead(&isr, 100000, 1, 0x3, 10);
    ck_assert_int_eq(isr.slots[1].end_offset, -1);
    ck_assert(isr_is_caught_up(&isr, 1, at_ms(130000)));
    ck_assert(!isr_is_caught_up(&isr, 1, at_ms(130001)));
    ck_assert(!isr_is_caught_up(&isr, 2, at_ms(100000)));
    ck_assert_int_eq(isr_deadline(&isr).ns, at_ms(115000).ns);
    isr_fini(&isr);
}
END_TEST

static struct isr_effects fetched_by(struct isr *isr, int64_t ms, int slot, int64_t offset,
                                     int64_t broker_epoch)
{
    return step(isr, ms,
                (struct isr_event){.type = ISR_FETCHED,
                                   .fetched = {.slot = slot,
                                               .fetch_offset = offset,
                                               .leader_end = isr->slots[0].end_offset,
                                               .broker_epoch = broker_epoch}});
}

/* KIP-903: what made a follower eligible was said in the life that the proposal names, however
 * often it is sent and whatever a later life has said since. */
START_TEST(a_proposal_names_the_life_that_was_eligible)
{
    struct isr isr;

    open_isr(&isr, 2);
    lead(&isr, 0, 1, 3, 100);
    fetched_by(&isr, 1, 1, 100, 20);
    struct isr_effects out = fetched_by(&isr, 2, 2, 100, 30);
    ck_assert(out.propose);
    ck_assert_uint_eq(out.set, 7);
    ck_assert_int_eq(isr.slots[1].proposed_epoch, 20);
    ck_assert_int_eq(isr.slots[2].proposed_epoch, 30);
    fetched_by(&isr, 3, 2, 40, 31); /* it was restarted, and has less */
    out = decided(&isr, 4, ISR_SAYS_RETRY, 1, 10, 0);
    ck_assert(out.propose);
    ck_assert_int_eq(isr.slots[2].proposed_epoch, 30);
    decided(&isr, 5, ISR_SAYS_REFUSED, 1, 10, 0);
    out = fetched_by(&isr, 2000, 2, 99, 31);
    ck_assert(!out.propose);
    out = fetched_by(&isr, 2001, 2, 100, 31);
    ck_assert(out.propose);
    ck_assert_int_eq(isr.slots[2].proposed_epoch, 31);
    isr_fini(&isr);
}
END_TEST

/* The last request of a process that has ended may come after the first one of the next. */
START_TEST(what_an_earlier_life_has_fetched_does_not_count)
{
    struct isr isr;

    open_isr(&isr, 2);
    lead(&isr, 0, 1, 7, 100);
    fetched_by(&isr, 1, 1, 40, 21);
    struct isr_effects out = fetched_by(&isr, 2, 1, 100, 20);
    ck_assert_int_eq(isr.slots[1].end_offset, 40);
    ck_assert_int_eq(isr.slots[1].broker_epoch, 21);
    out = fetched_by(&isr, 3, 2, 100, -1);
    ck_assert(out.advance);
    ck_assert_int_eq(out.high_watermark, 40);
    fetched_by(&isr, 4, 1, 50, -1); /* of a version that does not say */
    ck_assert_int_eq(isr.slots[1].end_offset, 50);
    /* In a new leader epoch nobody has said anything yet. */
    lead(&isr, 5, 2, 7, 100);
    ck_assert_int_eq(isr.slots[2].broker_epoch, -1);
    isr_fini(&isr);
}
END_TEST

UNIT(a_proposal_names_the_life_that_was_eligible, what_an_earlier_life_has_fetched_does_not_count,
     the_next_fetch_is_the_acknowledgement, an_unknown_follower_holds_the_watermark,
     a_silent_follower_holds_the_watermark_until_the_controller_agrees,
     a_follower_that_always_reaches_the_end_of_its_last_fetch_stays,
     joining_takes_the_watermark_and_the_start_of_the_epoch,
     a_watermark_below_the_epoch_start_does_not_let_a_stale_replica_join,
     a_dead_broker_does_not_join, while_a_joiner_is_proposed_it_counts,
     a_caught_up_replica_outside_the_isr_counts_while_it_lives,
     one_that_was_refused_is_not_proposed_with_each_fetch,
     a_leader_that_nobody_fetches_from_may_be_none, the_watermark_is_frozen_under_min_isr,
     min_isr_is_never_more_than_there_are_replicas,
     below_min_isr_the_log_is_synced_before_the_proposal,
     an_isr_below_min_insync_that_the_controller_brings_syncs_too,
     answers_of_another_time_are_not_believed, an_unclear_answer_freezes_until_leader_and_isr,
     what_became_of_an_old_epochs_proposal_says_nothing_of_the_new_one,
     a_retry_asks_for_the_same_set, a_follower_may_fall_back_without_moving_the_watermark,
     a_new_leader_knows_nobody_and_gives_the_isr_its_time)
