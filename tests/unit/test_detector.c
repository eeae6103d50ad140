#include "controller/detector.h"
#include "tests/unit/unit.h"

#define TIMEOUT_MS 3000
#define GRACE_MS   500

static struct detector detector;

static struct instant at(int64_t ms)
{
    return instant_add_ms(INSTANT_ZERO, ms);
}

static bool step(enum detector_event event, int64_t ms)
{
    return detector_step(&detector, event, at(ms));
}

/* Ticks as its timer gives them, until its verdict changes or `until`. When that was. */
static int64_t tick_until(int64_t until)
{
    for (;;) {
        struct instant at_next = detector_deadline(&detector);

        if (instant_is_never(at_next) || at_next.ns > at(until).ns) return until;
        if (detector_step(&detector, DETECTOR_TICK, at_next)) return at_next.ns / 1000000;
    }
}

static void begin(void)
{
    detector_init(&detector, at(0), TIMEOUT_MS, GRACE_MS);
}

START_TEST(a_loss_alone_condemns_nobody)
{
    begin();
    step(DETECTOR_CONNECTED, 1);
    step(DETECTOR_ANSWERED, 2);
    ck_assert(!step(DETECTOR_LOST, 10));
    ck_assert(!step(DETECTOR_CONNECTED, 11));
    ck_assert_int_eq(detector.verdict, DETECTOR_FINE);
}
END_TEST

/* One of many whose silence all share: it is looked at again, and judged when others are heard. */
START_TEST(a_verdict_that_is_held_comes_again)
{
    begin();
    step(DETECTOR_CONNECTED, 1);
    step(DETECTOR_ANSWERED, 2);
    ck_assert(detector_is_fresh(&detector, at(1000)));
    ck_assert(!detector_is_fresh(&detector, at(1502)));
    int64_t dead = tick_until(10000);
    ck_assert_int_eq(detector.verdict, DETECTOR_DEAD);
    ck_assert(!detector_is_fresh(&detector, at(dead)));
    detector_hold(&detector, at(dead));
    ck_assert_int_eq(detector.verdict, DETECTOR_FINE);
    ck_assert(!detector_is_fresh(&detector, at(dead))); /* not heard all the same */
    int64_t again = tick_until(10000);
    ck_assert_int_eq(detector.verdict, DETECTOR_DEAD);
    ck_assert_int_gt(again, dead);
    ck_assert_int_le(again, dead + TIMEOUT_MS / 4);
    detector_hold(&detector, at(again));
    ck_assert(!step(DETECTOR_ANSWERED, again + 1));
    ck_assert(detector_is_fresh(&detector, at(again + 2)));
}
END_TEST

START_TEST(a_loss_and_a_refused_attempt_are_death_at_once)
{
    begin();
    step(DETECTOR_CONNECTED, 1);
    step(DETECTOR_ANSWERED, 2);
    step(DETECTOR_LOST, 10);
    ck_assert(step(DETECTOR_REFUSED, 11));
    ck_assert_int_eq(detector.verdict, DETECTOR_DEAD);
    ck_assert(!step(DETECTOR_REFUSED, 111));
}
END_TEST

START_TEST(silence_is_death_after_the_timeout_and_not_before)
{
    begin();
    step(DETECTOR_CONNECTED, 1);
    step(DETECTOR_ANSWERED, 1000);
    ck_assert_int_eq(tick_until(3999), 3999);
    ck_assert_int_eq(detector.verdict, DETECTOR_FINE);
    ck_assert_int_eq(tick_until(5000), 4000);
    ck_assert_int_eq(detector.verdict, DETECTOR_DEAD);
    ck_assert(instant_is_never(detector_deadline(&detector)));
}
END_TEST

START_TEST(one_that_starts_may_refuse_for_its_grace)
{
    begin();
    ck_assert(!step(DETECTOR_REFUSED, 100));
    ck_assert(!step(DETECTOR_REFUSED, 499));
    ck_assert(step(DETECTOR_REFUSED, 500));
}
END_TEST

START_TEST(one_that_was_never_heard_is_not_condemned_by_silence)
{
    begin();
    ck_assert(instant_is_never(detector_deadline(&detector)));
    ck_assert(!step(DETECTOR_TICK, 100000));
    ck_assert(!step(DETECTOR_FAILED, 100000));
}
END_TEST

START_TEST(only_an_answer_brings_back)
{
    begin();
    step(DETECTOR_CONNECTED, 1);
    step(DETECTOR_ANSWERED, 2);
    ck_assert_int_eq(tick_until(4000), 3002);
    ck_assert_int_eq(detector.verdict, DETECTOR_DEAD);
    ck_assert(!step(DETECTOR_CONNECTED, 3100)); /* it accepts, but is silent: no flapping */
    ck_assert_int_eq(detector.verdict, DETECTOR_DEAD);
    ck_assert(step(DETECTOR_ANSWERED, 3200));
    ck_assert_int_eq(detector.verdict, DETECTOR_FINE);
}
END_TEST

START_TEST(an_unreachable_one_is_judged_by_the_timeout)
{
    begin();
    step(DETECTOR_CONNECTED, 1);
    step(DETECTOR_ANSWERED, 2);
    step(DETECTOR_LOST, 10);
    ck_assert(!step(DETECTOR_FAILED, 2000));
    ck_assert_int_eq(tick_until(4000), 3002);
    ck_assert_int_eq(detector.verdict, DETECTOR_DEAD);
}
END_TEST

/* Whatever the length of the pause: just over the timeout is the one that a timer alone would take
 * for silence. */
START_TEST(who_has_slept_does_not_judge)
{
    static const int64_t wakes[] = {2990, 3001, 3500, 4400, 4600, 60000};

    for (size_t i = 0; i < sizeof(wakes) / sizeof(wakes[0]); i++) {
        begin();
        step(DETECTOR_CONNECTED, 1);
        step(DETECTOR_ANSWERED, 0);
        ck_assert_int_eq(tick_until(100), 100);
        ck_assert(!step(DETECTOR_TICK, wakes[i]));
        /* All but what it was awake for is still to come. */
        ck_assert_int_eq(tick_until(wakes[i] + 2624), wakes[i] + 2624);
        ck_assert_int_eq(tick_until(wakes[i] + 9000), wakes[i] + 2625);
        ck_assert_int_eq(detector.verdict, DETECTOR_DEAD);
    }
}
END_TEST

UNIT(a_verdict_that_is_held_comes_again, a_loss_alone_condemns_nobody,
     a_loss_and_a_refused_attempt_are_death_at_once,
     silence_is_death_after_the_timeout_and_not_before, one_that_starts_may_refuse_for_its_grace,
     one_that_was_never_heard_is_not_condemned_by_silence, only_an_answer_brings_back,
     an_unreachable_one_is_judged_by_the_timeout, who_has_slept_does_not_judge)
