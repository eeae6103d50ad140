/* tests/unit/test_fetcher.c - a follower's way to its leader's log, step by step. */
#include "broker/replica/fetcher.h"
#include "unit.h"

static struct instant at_ms(int64_t ms)
{
    return (struct instant){ms * 1000000};
}

static struct fetcher_effects step(struct fetcher *fetcher, struct fetcher_event event)
{
    struct fetcher_effects out;

    fetcher_step(fetcher, &event, &out);
    return out;
}

static void begun(struct fetcher *fetcher, bool on_fetch, int64_t end, int64_t watermark,
                  int32_t latest)
{
    fetcher_init(fetcher, 5, on_fetch, 1000);
    ck_assert_int_eq(fetcher_wants(fetcher, at_ms(1)), FETCHER_WANTS_NOTHING);
    step(fetcher, (struct fetcher_event){
                      .type = FETCHER_BEGINS,
                      .log = {.end = end, .high_watermark = watermark, .latest_epoch = latest}});
}

static struct fetcher_effects was_cut(struct fetcher *fetcher, int64_t end, int32_t latest)
{
    return step(fetcher, (struct fetcher_event){.type = FETCHER_CUT,
                                                .log = {.end = end, .latest_epoch = latest}});
}

START_TEST(a_restart_does_not_cut_to_the_watermark)
{
    /* Example A: everything up to 10 is acknowledged, the watermark is known up to 8. */
    struct fetcher fetcher;

    begun(&fetcher, true, 10, 8, 1);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_RECORDS);
    ck_assert_int_eq(fetcher.offset, 10);
    ck_assert_int_eq(fetcher.last_epoch, 1);
}
END_TEST

START_TEST(without_epochs_the_watermark_is_all_that_can_be_believed)
{
    struct fetcher fetcher;
    struct fetcher_effects out;

    fetcher_init(&fetcher, 5, true, 1000);
    out = step(&fetcher,
               (struct fetcher_event){.type = FETCHER_BEGINS,
                                      .log = {.end = 10, .high_watermark = 8, .latest_epoch = -1}});
    ck_assert(out.cut);
    ck_assert_int_eq(out.offset, 8);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_NOTHING);
    was_cut(&fetcher, 8, -1);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_RECORDS);
    ck_assert_int_eq(fetcher.offset, 8);
}
END_TEST

START_TEST(fast_elections_are_undone_epoch_by_epoch)
{
    /* Example B: ours is 0:0 2:15 up to 20; the leader's is 0:0 1:10 3:20 up to 25. */
    struct fetcher fetcher;

    begun(&fetcher, true, 20, 10, 2);
    struct fetcher_effects out =
        step(&fetcher, (struct fetcher_event){.type = FETCHER_DIVERGES,
                                              .epoch = 1,
                                              .end_offset = 20,
                                              .own_epoch = 0,
                                              .own_end = 15,
                                              .log = {.end = 20, .latest_epoch = 2}});
    ck_assert(out.cut);
    ck_assert_int_eq(out.offset, 15);
    was_cut(&fetcher, 15, 0);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_RECORDS);
    ck_assert_int_eq(fetcher.offset, 15);
    ck_assert_int_eq(fetcher.last_epoch, 0);

    out = step(&fetcher, (struct fetcher_event){.type = FETCHER_DIVERGES,
                                                .epoch = 0,
                                                .end_offset = 10,
                                                .own_epoch = 0,
                                                .own_end = 15,
                                                .log = {.end = 15, .latest_epoch = 0}});
    ck_assert_int_eq(out.offset, 10);
    was_cut(&fetcher, 10, 0);
    ck_assert_int_eq(fetcher.offset, 10);
}
END_TEST

START_TEST(old_leaders_are_asked_before_fetching)
{
    struct fetcher fetcher;

    begun(&fetcher, false, 20, 10, 2);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_EPOCH_END);
    struct fetcher_effects out = step(&fetcher, (struct fetcher_event){.type = FETCHER_EPOCH_END,
                                                                       .epoch = 1,
                                                                       .end_offset = 20,
                                                                       .own_epoch = 0,
                                                                       .own_end = 15,
                                                                       .log = {.end = 20}});
    ck_assert_int_eq(out.offset, 15);
    was_cut(&fetcher, 15, 0);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_EPOCH_END); /* again */
    out = step(&fetcher, (struct fetcher_event){.type = FETCHER_EPOCH_END,
                                                .epoch = 0,
                                                .end_offset = 10,
                                                .own_epoch = 0,
                                                .own_end = 15,
                                                .log = {.end = 15}});
    ck_assert_int_eq(out.offset, 10);
    was_cut(&fetcher, 10, 0);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_RECORDS);
}
END_TEST

START_TEST(a_leader_without_epochs_gives_an_end_or_nothing)
{
    struct fetcher fetcher;

    begun(&fetcher, false, 20, 10, 2); /* a peer before 2.0 */
    struct fetcher_effects out =
        step(&fetcher, (struct fetcher_event){.type = FETCHER_EPOCH_END,
                                              .epoch = -1,
                                              .end_offset = 17,
                                              .own_epoch = 2,
                                              .own_end = 20,
                                              .log = {.end = 20, .high_watermark = 10}});
    ck_assert_int_eq(out.offset, 17);
    begun(&fetcher, false, 20, 10, 2);
    out = step(&fetcher, (struct fetcher_event){.type = FETCHER_EPOCH_END,
                                                .epoch = -1,
                                                .end_offset = -1,
                                                .log = {.end = 20, .high_watermark = 10}});
    ck_assert_int_eq(out.offset, 10);
    was_cut(&fetcher, 10, 2);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_RECORDS);
}
END_TEST

START_TEST(out_of_range_asks_for_the_end_and_then_the_start)
{
    struct fetcher fetcher;
    struct fetcher_event end = {.type = FETCHER_END, .end_offset = 12, .log = {.end = 20}};
    struct fetcher_event start = {.type = FETCHER_START, .end_offset = 50, .log = {.end = 20}};

    begun(&fetcher, true, 20, 10, 2); /* the leader's log is shorter */
    step(&fetcher, (struct fetcher_event){.type = FETCHER_RANGE});
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_END);
    struct fetcher_effects out = step(&fetcher, end);
    ck_assert(out.cut);
    ck_assert_int_eq(out.offset, 12);
    was_cut(&fetcher, 12, 1);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_RECORDS);

    begun(&fetcher, true, 20, 10, 2); /* the leader begins above us */
    step(&fetcher, (struct fetcher_event){.type = FETCHER_RANGE});
    end.end_offset = 90;
    ck_assert(!step(&fetcher, end).cut);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_START);
    out = step(&fetcher, start);
    ck_assert(out.restart);
    ck_assert_int_eq(out.offset, 50);
    was_cut(&fetcher, 50, -1);
    ck_assert_int_eq(fetcher.offset, 50);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(0)), FETCHER_WANTS_RECORDS);

    begun(&fetcher, true, 20, 10, 2); /* it has what we want by now */
    step(&fetcher, (struct fetcher_event){.type = FETCHER_RANGE});
    step(&fetcher, end);
    start.end_offset = 5;
    out = step(&fetcher, start);
    ck_assert(!out.restart && !out.cut);
    ck_assert_int_eq(fetcher.offset, 20);
}
END_TEST

START_TEST(errors_that_pass_delay_and_others_end_it)
{
    struct fetcher fetcher;

    static const int delays[] = {20, 40, 80, 160, 320, 640, 1000, 1000};

    begun(&fetcher, true, 20, 10, 2);
    for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        step(&fetcher, (struct fetcher_event){.type = FETCHER_RETRY, .now = at_ms(100)});
        ck_assert_int_eq(fetcher_deadline(&fetcher).ns, at_ms(100 + delays[i]).ns);
        ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(99 + delays[i])), FETCHER_WANTS_NOTHING);
        ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(100 + delays[i])), FETCHER_WANTS_RECORDS);
    }
    step(&fetcher,
         (struct fetcher_event){.type = FETCHER_APPENDED, .log = {.end = 20, .latest_epoch = 2}});
    step(&fetcher, (struct fetcher_event){.type = FETCHER_RETRY, .now = at_ms(2000)});
    ck_assert_int_eq(fetcher_deadline(&fetcher).ns, at_ms(2020).ns); /* from the start again */

    struct fetcher_effects out =
        step(&fetcher, (struct fetcher_event){.type = FETCHER_FENCED, .now = at_ms(1200)});
    ck_assert(out.failed);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(999999)), FETCHER_WANTS_NOTHING);
    ck_assert(instant_is_never(fetcher_deadline(&fetcher)));
    /* What comes late changes nothing. */
    ck_assert(!step(&fetcher, (struct fetcher_event){.type = FETCHER_BROKEN}).failed);
    was_cut(&fetcher, 3, 0);
    ck_assert_int_eq(fetcher.state, FETCHER_FAILED);
}
END_TEST

START_TEST(a_cut_that_could_not_be_made_now_is_asked_for_again)
{
    struct fetcher fetcher;

    begun(&fetcher, true, 20, 10, 2);
    struct fetcher_event diverges = {.type = FETCHER_DIVERGES,
                                     .epoch = 2,
                                     .end_offset = 15,
                                     .own_epoch = 2,
                                     .own_end = 20,
                                     .log = {.end = 20, .high_watermark = 10, .latest_epoch = 2}};
    ck_assert(step(&fetcher, diverges).cut);
    step(&fetcher, (struct fetcher_event){.type = FETCHER_RETRY,
                                          .now = at_ms(100),
                                          .log = {.end = 18, .latest_epoch = 2}});
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(119)), FETCHER_WANTS_NOTHING);
    ck_assert_int_eq(fetcher_wants(&fetcher, at_ms(120)), FETCHER_WANTS_RECORDS);
    ck_assert_int_eq(fetcher.offset, 18); /* where the log ends now */
    ck_assert(step(&fetcher, diverges).cut);
}
END_TEST

START_TEST(answers_to_an_earlier_question_are_not_taken)
{
    struct fetcher fetcher;

    begun(&fetcher, true, 20, 10, 2);
    ck_assert(!step(&fetcher, (struct fetcher_event){.type = FETCHER_EPOCH_END,
                                                     .epoch = 0,
                                                     .end_offset = 3,
                                                     .own_epoch = 0,
                                                     .own_end = 3,
                                                     .log = {.end = 20}})
                   .cut);
    ck_assert(
        !step(&fetcher,
              (struct fetcher_event){.type = FETCHER_END, .end_offset = 1, .log = {.end = 20}})
             .cut);
    ck_assert_int_eq(fetcher.offset, 20);
    step(&fetcher,
         (struct fetcher_event){.type = FETCHER_APPENDED, .log = {.end = 25, .latest_epoch = 5}});
    ck_assert_int_eq(fetcher.offset, 25);
    ck_assert_int_eq(fetcher.last_epoch, 5);
}
END_TEST

UNIT(a_restart_does_not_cut_to_the_watermark,
     without_epochs_the_watermark_is_all_that_can_be_believed,
     fast_elections_are_undone_epoch_by_epoch, old_leaders_are_asked_before_fetching,
     a_leader_without_epochs_gives_an_end_or_nothing,
     out_of_range_asks_for_the_end_and_then_the_start, errors_that_pass_delay_and_others_end_it,
     a_cut_that_could_not_be_made_now_is_asked_for_again,
     answers_to_an_earlier_question_are_not_taken)
