/* tests/unit/test_purgatory.c - waits for offsets and for time. */
#include "broker/replica/purgatory.h"
#include "unit.h"

static struct instant at_ms(int64_t ms)
{
    return (struct instant){ms * 1000000};
}

START_TEST(waits_leave_in_offset_order_up_to_what_is_reached)
{
    struct purgatory purgatory;
    struct wait_line line;
    struct wait waits[4] = {0};

    purgatory_init(&purgatory);
    wait_line_init(&line);
    purgatory_add(&purgatory, &line, &waits[0], 10, at_ms(100));
    purgatory_add(&purgatory, &line, &waits[1], 20, at_ms(50));
    purgatory_add(&purgatory, &line, &waits[2], 15, at_ms(70)); /* a repeated batch */
    purgatory_add(&purgatory, &line, &waits[3], 20, at_ms(90));

    ck_assert_ptr_null(purgatory_pop(&purgatory, &line, 9));
    ck_assert_ptr_eq(purgatory_pop(&purgatory, &line, 19), &waits[0]);
    ck_assert_ptr_eq(purgatory_pop(&purgatory, &line, 19), &waits[2]);
    ck_assert_ptr_null(purgatory_pop(&purgatory, &line, 19));
    ck_assert_ptr_eq(purgatory_pop(&purgatory, &line, 20), &waits[1]);
    ck_assert_ptr_eq(purgatory_pop(&purgatory, &line, INT64_MAX), &waits[3]);
    ck_assert_uint_eq(purgatory_count(&purgatory), 0);
    purgatory_fini(&purgatory);
}
END_TEST

START_TEST(time_runs_out_earliest_first_across_lines)
{
    struct purgatory purgatory;
    struct wait_line lines[2];
    struct wait waits[3] = {0};

    purgatory_init(&purgatory);
    wait_line_init(&lines[0]);
    wait_line_init(&lines[1]);
    ck_assert(instant_is_never(purgatory_deadline(&purgatory)));
    purgatory_add(&purgatory, &lines[0], &waits[0], 1, at_ms(30));
    purgatory_add(&purgatory, &lines[1], &waits[1], 1, at_ms(10));
    purgatory_add(&purgatory, &lines[0], &waits[2], 2, at_ms(20));

    ck_assert_int_eq(purgatory_deadline(&purgatory).ns, at_ms(10).ns);
    ck_assert_ptr_null(purgatory_expired(&purgatory, at_ms(9)));
    ck_assert_ptr_eq(purgatory_expired(&purgatory, at_ms(25)), &waits[1]);
    ck_assert_ptr_eq(purgatory_expired(&purgatory, at_ms(25)), &waits[2]);
    ck_assert_ptr_null(purgatory_expired(&purgatory, at_ms(25)));
    /* One that expired is not popped again. */
    ck_assert_ptr_eq(purgatory_pop(&purgatory, &lines[0], INT64_MAX), &waits[0]);
    ck_assert_ptr_null(purgatory_pop(&purgatory, &lines[1], INT64_MAX));
    purgatory_fini(&purgatory);
}
END_TEST

START_TEST(a_dropped_wait_is_on_neither_order)
{
    struct purgatory purgatory;
    struct wait_line line;
    struct wait wait = {0};

    purgatory_init(&purgatory);
    wait_line_init(&line);
    purgatory_drop(&purgatory, &wait); /* never waited */
    purgatory_add(&purgatory, &line, &wait, 5, at_ms(1));
    purgatory_drop(&purgatory, &wait);
    ck_assert_ptr_null(purgatory_pop(&purgatory, &line, INT64_MAX));
    ck_assert_ptr_null(purgatory_expired(&purgatory, at_ms(2)));
    purgatory_add(&purgatory, &line, &wait, 6, at_ms(1)); /* and may wait again */
    ck_assert_ptr_eq(purgatory_pop(&purgatory, &line, 6), &wait);
    purgatory_fini(&purgatory);
}
END_TEST

UNIT(waits_leave_in_offset_order_up_to_what_is_reached, time_runs_out_earliest_first_across_lines,
     a_dropped_wait_is_on_neither_order)
