#include "runtime/mailbox.h"
#include "base/ensure.h"
#include "tests/unit/unit.h"

/* Two shards' mailboxes, drained by hand. */
struct ask {
    struct msg msg;
    int number;
};

struct side {
    struct mailbox *box;
    struct sleeper sleeper;
    int called, answered, last;
    bool holds; /* keeps what it is called with */
    struct msg *held[512];
    int held_count;
};

static struct mesh *mesh;
static struct side a, b;

static void on_call(void *owner, struct msg *msg)
{
    struct side *side = owner;
    struct ask *ask = (struct ask *)(void *)msg;

    side->called++;
    ck_assert_int_eq(ask->number, side->last + 1); /* in order */
    side->last = ask->number;
    if (side->holds)
        side->held[side->held_count++] = msg;
    else
        mailbox_reply(side->box, msg);
}

static void on_answer(void *owner, struct msg *msg)
{
    struct side *side = owner;

    ck_assert_uint_eq(msg->home, side == &a ? 0 : 1);
    side->answered++;
    free(msg);
}

static const struct mailbox_handlers handlers = {.call = on_call, .answer = on_answer};

static void start(void)
{
    mesh = mesh_create(2);
    a.box = mailbox_open(mesh, 0, &a.sleeper, &handlers, &a);
    b.box = mailbox_open(mesh, 1, &b.sleeper, &handlers, &b);
}

static void stop(void)
{
    mailbox_close(&a.box);
    mailbox_close(&b.box);
    mesh_destroy(&mesh);
}

static void ask_b(int number)
{
    struct ask *ask = ensure_zalloc(sizeof(*ask));

    ask->number = number;
    mailbox_call(a.box, 1, &ask->msg);
}

START_TEST(nothing_moves_before_the_flush)
{
    start();
    ask_b(1);
    ck_assert(!mailbox_has_mail(b.box));
    mailbox_drain(b.box);
    ck_assert_int_eq(b.called, 0);
    mailbox_flush(a.box);
    ck_assert(mailbox_has_mail(b.box));
    mailbox_drain(b.box);
    ck_assert_int_eq(b.called, 1);
    ck_assert(mailbox_has_mail(a.box)); /* a reply goes at once */
    mailbox_drain(a.box);
    ck_assert_int_eq(a.answered, 1);
    stop();
}
END_TEST

START_TEST(calls_above_the_slots_wait_at_home_and_go_on_as_answers_come)
{
    enum { CALLS = LANE_SLOTS * 2 + 50 };

    start();
    b.holds = true;
    for (int i = 1; i <= CALLS; i++)
        ask_b(i);
    mailbox_flush(a.box);
    ck_assert_int_eq(mailbox_backlog(a.box, 1), CALLS - LANE_SLOTS);
    while (mailbox_drain(b.box))
        ;
    ck_assert_int_eq(b.called, LANE_SLOTS);
    mailbox_flush(a.box);
    ck_assert(!mailbox_has_mail(b.box)); /* taken, but not answered: the slots are still held */

    /* Every answer fits, however many come at once. */
    while (a.answered < CALLS) {
        for (int i = 0; i < b.held_count; i++)
            mailbox_reply(b.box, b.held[i]);
        b.held_count = 0;
        while (mailbox_drain(a.box))
            ;
        mailbox_flush(a.box);
        while (mailbox_drain(b.box))
            ;
    }
    ck_assert_int_eq(b.called, CALLS);
    ck_assert_int_eq(mailbox_backlog(a.box, 1), 0);
    stop();
}
END_TEST

START_TEST(both_ways_at_once_with_full_lanes_is_no_deadlock)
{
    start();
    b.holds = true;
    for (int i = 1; i <= LANE_SLOTS; i++)
        ask_b(i);
    mailbox_flush(a.box);
    while (mailbox_drain(b.box))
        ;
    for (int i = 1; i <= LANE_SLOTS * 2; i++) {
        struct ask *ask = ensure_zalloc(sizeof(*ask));
        ask->number = i;
        mailbox_call(b.box, 0, &ask->msg);
    }
    mailbox_flush(b.box);
    while (mailbox_drain(a.box)) /* answers b's calls though its own are all unanswered */
        ;
    while (mailbox_drain(b.box))
        ;
    ck_assert_int_eq(b.answered, LANE_SLOTS);
    mailbox_flush(b.box);
    while (mailbox_drain(a.box))
        ;
    while (mailbox_drain(b.box))
        ;
    ck_assert_int_eq(b.answered, LANE_SLOTS * 2);
    for (int i = 0; i < b.held_count; i++)
        mailbox_reply(b.box, b.held[i]);
    while (mailbox_drain(a.box))
        ;
    ck_assert_int_eq(a.answered, LANE_SLOTS);
    stop();
}
END_TEST

UNIT(nothing_moves_before_the_flush, calls_above_the_slots_wait_at_home_and_go_on_as_answers_come,
     both_ways_at_once_with_full_lanes_is_no_deadlock)
