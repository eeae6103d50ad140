#include "broker/replica/move.h"
#include "unit.h"

static struct move move;

/* Both as long, nothing is missing, nothing was synced. */
static struct move_view same(int64_t end)
{
    return (struct move_view){.end = end, .future_end = end, .common = end};
}

static struct move_next next(struct move_view view)
{
    return move_next(&move, &view);
}

START_TEST(what_is_missing_is_copied_until_it_is_little)
{
    move_init(&move);
    struct move_view view = same(1000);
    view.future_end = view.common = 10;
    view.gap_bytes = INT64_MAX;
    ck_assert_int_eq(next(view).what, MOVE_COPY);
    ck_assert(move.is_compared);
    ck_assert(!move.is_aside);
    view.gap_bytes = 5000;
    ck_assert_int_eq(next(view).what, MOVE_SET_ASIDE);
}
END_TEST

START_TEST(the_place_is_taken_when_nothing_synced_would_be_lost)
{
    move_init(&move);
    ck_assert_int_eq(next(same(100)).what, MOVE_SET_ASIDE);
    struct move_view view = same(100);
    view.synced = 90;
    view.future_synced = 100;
    ck_assert_int_eq(next(view).what, MOVE_SYNC); /* the directory's new name, too */
    move.is_synced = true;
    view.synced = 101; /* another sync has overtaken ours */
    ck_assert_int_eq(next(view).what, MOVE_SYNC);
    view.future_synced = 101;
    ck_assert_int_eq(next(view).what, MOVE_TAKE_PLACE);
}
END_TEST

START_TEST(nothing_is_renamed_under_a_job)
{
    move_init(&move);
    struct move_view view = same(100);
    view.is_busy = true;
    ck_assert_int_eq(next(view).what, MOVE_WAIT);
    ck_assert(!move.is_aside);
    view.is_busy = false;
    ck_assert_int_eq(next(view).what, MOVE_SET_ASIDE);
    move.is_synced = true;
    view.is_busy = true;
    ck_assert_int_eq(next(view).what, MOVE_WAIT);
}
END_TEST

START_TEST(a_cut_of_the_one_cuts_the_other_whatever_came_after)
{
    move_init(&move);
    struct move_view view = same(100);
    (void)next(view);
    move_cut(&move, 60);
    move_cut(&move, 70);
    view.end = 300; /* a new leader's records */
    view.gap_bytes = INT64_MAX;
    struct move_next cut = next(view);
    ck_assert_int_eq(cut.what, MOVE_CUT);
    ck_assert_int_eq(cut.offset, 60);
    view.future_end = 60;
    view.common = 55; /* and their epochs tell of more */
    cut = next(view);
    ck_assert_int_eq(cut.what, MOVE_CUT);
    ck_assert_int_eq(cut.offset, 55);
    view.future_end = 55;
    ck_assert_int_eq(next(view).what, MOVE_COPY);
    view.common = 0; /* not asked any more */
    ck_assert_int_eq(next(view).what, MOVE_COPY);
}
END_TEST

START_TEST(a_cut_that_could_not_be_made_is_not_forgotten)
{
    move_init(&move);
    (void)next(same(100));
    move_cut(&move, 60);
    struct move_view view = same(100);
    struct move_next cut = next(view);
    ck_assert_int_eq(cut.what, MOVE_CUT);
    move_cut(&move, cut.offset); /* busy */
    cut = next(view);
    ck_assert_int_eq(cut.what, MOVE_CUT);
    ck_assert_int_eq(cut.offset, 60);
}
END_TEST

START_TEST(a_copy_without_a_common_offset_begins_anew)
{
    move_init(&move);
    struct move_view view = same(500);
    view.start = 400;
    view.future_end = 300; /* DeleteRecords went further */
    view.common = 300;
    struct move_next restart = next(view);
    ck_assert_int_eq(restart.what, MOVE_RESTART);
    ck_assert_int_eq(restart.offset, 400);

    move_init(&move);
    view = (struct move_view){
        .start = 50, .end = 60, .future_start = 100, .future_end = 200, .common = 60};
    restart = next(view);
    ck_assert_int_eq(restart.what, MOVE_RESTART);
    ck_assert_int_eq(restart.offset, 50);
}
END_TEST

START_TEST(a_log_that_grows_fast_is_moved_in_the_end)
{
    int64_t grows_by = INT64_C(3) << 20; /* in the time of a sync */
    int rounds = 0;

    move_init(&move);
    struct move_view view = same(100);
    (void)next(view);
    for (; rounds < 20; rounds++) {
        move.is_synced = true;
        view.gap_bytes = grows_by <= move.gap_max ? grows_by : INT64_MAX;
        if (next(view).what == MOVE_TAKE_PLACE) break;
        view.gap_bytes = 0; /* copied by and by */
        ck_assert_int_eq(next(view).what, MOVE_SYNC);
    }
    ck_assert_int_gt(rounds, 0);
    ck_assert_int_lt(rounds, 6);
}
END_TEST

UNIT(what_is_missing_is_copied_until_it_is_little,
     the_place_is_taken_when_nothing_synced_would_be_lost, nothing_is_renamed_under_a_job,
     a_cut_of_the_one_cuts_the_other_whatever_came_after,
     a_cut_that_could_not_be_made_is_not_forgotten, a_copy_without_a_common_offset_begins_anew,
     a_log_that_grows_fast_is_moved_in_the_end)
