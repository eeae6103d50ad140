/* tests/unit/test_group.c - the classic protocol, transition by transition, under a clock that the
 * test moves; and a walk at random with the audit after each step. */
#include "base/ensure.h"
#include "base/prng.h"
#include "broker/group/group.h"
#include "wire/gen/group_metadata.h"
#include "unit.h"
#include <stdio.h>

#define T0 ((struct instant){1000000000})

static struct group_settings settings = {.initial_delay_ms = 3000, .size_max = INT32_MAX};
static struct group *group;
static struct arena arena;
static struct group_effects out;
static struct instant now;
static int64_t wall;
static int unique;
static struct group_store *kept;

static void begin(void)
{
    arena_init(&arena, SIZE_MAX);
    now = T0;
    wall = 5000;
    unique = 0;
    kept = NULL;
    settings = (struct group_settings){.initial_delay_ms = 3000, .size_max = INT32_MAX};
    group = group_create(SLICE("g"), &settings, wall);
}

static void finish(void)
{
    group_store_free(&kept);
    group_destroy(&group);
    arena_fini(&arena);
}

static void step(struct group_event *event)
{
    out = (struct group_effects){.arena = &arena};
    event->now = now;
    event->now_ms = wall;
    group_step(group, event, &out);
    if (out.store != NULL) {
        group_store_free(&kept);
        kept = out.store;
    }
}

static const struct group_answer *to(int call)
{
    const struct group_answer *found = NULL;

    for (int i = 0; i < out.count; i++)
        if (out.answers[i].call == (void *)(intptr_t)call) {
            ck_assert_ptr_null(found); /* once */
            found = &out.answers[i];
        }
    return found;
}

static enum err err_to(int call)
{
    const struct group_answer *it = to(call);

    ck_assert_ptr_nonnull(it);
    return it->err;
}

static void tick(int64_t ms)
{
    struct group_event event = {.type = GROUP_TICK};

    now = instant_add_ms(now, ms);
    wall += ms;
    step(&event);
}

static const struct group_offer range = {SLICE("range"), SLICE("m")};
static const struct group_offer both[2] = {{SLICE("range"), SLICE("m")},
                                           {SLICE("sticky"), SLICE("s")}};

struct who {
    const char *id, *instance;
    const struct group_offer *offers;
    int count;
    bool knows, skips;
    int32_t session_ms, rebalance_ms;
};

static void join_as(int call, struct who who)
{
    char *text = ensure_malloc(16);

    snprintf(text, 16, "u%d", ++unique);
    struct group_event event = {
        .type = GROUP_JOIN,
        .call = (void *)(intptr_t)call,
        .join =
            {
                .member_id = who.id == NULL ? SLICE("") : slice_text(who.id),
                .instance_id = who.instance == NULL ? SLICE_NULL : slice_text(who.instance),
                .client_id = SLICE("c"),
                .client_host = SLICE("/127.0.0.1"),
                .protocol_type = SLICE("consumer"),
                .protocols = who.offers == NULL ? &range : who.offers,
                .protocol_count = who.offers == NULL ? 1 : who.count,
                .session_ms = who.session_ms == 0 ? 10000 : who.session_ms,
                .rebalance_ms = who.rebalance_ms == 0 ? 60000 : who.rebalance_ms,
                .must_know_id = who.knows,
                .may_skip = who.skips,
                .unique = slice_text(text),
            },
    };
    step(&event);
    free(text);
}

static void join(int call, const char *id)
{
    join_as(call, (struct who){.id = id});
}

static void sync_with(int call, const char *id, const char *instance, int32_t generation,
                      const struct group_assignment *assignments, int count)
{
    struct group_event event = {
        .type = GROUP_SYNC,
        .call = (void *)(intptr_t)call,
        .sync = {.member_id = slice_text(id),
                 .instance_id = instance == NULL ? SLICE_NULL : slice_text(instance),
                 .generation = generation,
                 .assignments = assignments,
                 .assignment_count = count},
    };
    step(&event);
}

static void sync(int call, const char *id, int32_t generation)
{
    sync_with(call, id, NULL, generation, NULL, 0);
}

static enum err says(int type, const char *id, const char *instance, int32_t generation)
{
    struct group_event event = {
        .type = type,
        .call = (void *)(intptr_t)99,
        .voice = {.member_id = slice_text(id),
                  .instance_id = instance == NULL ? SLICE_NULL : slice_text(instance),
                  .generation = generation},
    };
    step(&event);
    return err_to(99);
}

static enum err beat(const char *id, int32_t generation)
{
    return says(GROUP_HEARTBEAT, id, NULL, generation);
}

static enum err leave(const char *id, const char *instance)
{
    struct group_leaver leaver = {.member_id = id == NULL ? SLICE("") : slice_text(id),
                                  .instance_id =
                                      instance == NULL ? SLICE_NULL : slice_text(instance)};
    struct group_event event = {
        .type = GROUP_LEAVE, .call = (void *)(intptr_t)98, .leave = {&leaver, 1}};

    step(&event);
    ck_assert_int_eq(err_to(98), ERR_OK);
    return to(98)->left[0];
}

static void stored(enum err err)
{
    struct group_event event = {.type = GROUP_STORED, .stored = {kept, err}};

    ck_assert_ptr_nonnull(kept);
    kept = NULL;
    step(&event);
}

/* Members c-u1 … c-uN, the first leading, all in the state after the leader's sync is stored. */
static void stable(int members)
{
    for (int i = 1; i <= members; i++)
        join_as(i, (struct who){.offers = both, .count = 2});
    tick(3000);
    tick(3000); /* those that came after the first make it wait once more */
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    sync_with(1, "c-u1", NULL, 1, (struct group_assignment[]){{SLICE("c-u1"), SLICE("A")}}, 1);
    stored(ERR_OK);
    ck_assert_int_eq(group_state(group), GROUP_STABLE);
    for (int i = 2; i <= members; i++) {
        char id[16];
        snprintf(id, sizeof(id), "c-u%d", i);
        sync(i, id, 1);
        ck_assert_int_eq(err_to(i), ERR_OK);
    }
}

static bool slice_has(struct slice s, const char *text)
{
    return slice_compare(s, slice_text(text)) == 0;
}

START_TEST(a_first_member_waits_for_others_then_leads_and_assigns)
{
    begin();
    join(1, NULL);
    ck_assert_int_eq(out.count, 0);
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    ck_assert_int_eq(group_deadline(group).ns, instant_add_ms(T0, 3000).ns);
    tick(2999);
    ck_assert_int_eq(out.count, 0);
    tick(1);
    const struct group_answer *it = to(1);
    ck_assert_ptr_nonnull(it);
    ck_assert_int_eq(it->err, ERR_OK);
    ck_assert(slice_has(it->joined.leader, "c-u1") && slice_has(it->joined.member_id, "c-u1"));
    ck_assert_int_eq(it->joined.generation, 1);
    ck_assert_int_eq(it->joined.member_count, 1);
    ck_assert(slice_has(it->joined.members[0].metadata, "m"));
    ck_assert(slice_has(it->protocol_name, "range") && slice_has(it->protocol_type, "consumer"));

    sync_with(2, "c-u1", NULL, 1, (struct group_assignment[]){{SLICE("c-u1"), SLICE("A")}}, 1);
    ck_assert_int_eq(out.count, 0); /* not before the log knows */
    ck_assert_ptr_nonnull(kept);
    struct group_metadata_value value;
    group_value(group, &arena, &value);
    ck_assert_int_eq(value.generation, 1);
    ck_assert(slice_has(value.members.at[0].assignment, "A"));
    stored(ERR_OK);
    ck_assert_int_eq(err_to(2), ERR_OK);
    ck_assert(slice_has(to(2)->assignment, "A"));
    ck_assert_int_eq(group_state(group), GROUP_STABLE);
    finish();
}
END_TEST

START_TEST(the_initial_delay_is_extended_while_members_come_up_to_the_rebalance_timeout)
{
    begin();
    join_as(1, (struct who){.rebalance_ms = 8000});
    for (int i = 0; i < 2; i++) { /* at 3 s and 6 s there is news; the rest is 5 s, then 2 s */
        tick(1500);
        join_as(10 + i, (struct who){.rebalance_ms = 8000});
        tick(1500);
        ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    }
    join_as(20, (struct who){.rebalance_ms = 8000});
    tick(1999);
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    tick(1); /* 8 s: nothing is left to extend by */
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    ck_assert_int_eq(out.count, 4);
    finish();
}
END_TEST

START_TEST(a_new_dynamic_member_gets_its_id_and_comes_again)
{
    begin();
    join_as(1, (struct who){.knows = true});
    ck_assert_int_eq(err_to(1), ERR_MEMBER_ID_REQUIRED);
    ck_assert(slice_has(to(1)->joined.member_id, "c-u1"));
    ck_assert_int_eq(group_state(group), GROUP_EMPTY);
    join_as(2, (struct who){.id = "c-u1", .instance = "i"}); /* it was given to a dynamic one */
    ck_assert_int_eq(err_to(2), ERR_INVALID);
    join_as(2, (struct who){.id = "c-u1", .knows = true});
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    join(3, "c-other");
    ck_assert_int_eq(err_to(3), ERR_UNKNOWN_MEMBER);
    ck_assert(slice_has(to(3)->joined.member_id, "c-other"));
    tick(3000);
    ck_assert_int_eq(err_to(2), ERR_OK);
    finish();
}
END_TEST

START_TEST(ids_that_are_waited_for_hold_a_rebalance_until_they_run_out)
{
    begin();
    stable(1);
    join_as(5, (struct who){.knows = true, .session_ms = 7000});
    ck_assert_int_eq(err_to(5), ERR_MEMBER_ID_REQUIRED);
    join(6, "c-u1"); /* the leader rejoins: all are here but the id that was given out */
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    tick(6999);
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    tick(1);
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    ck_assert_int_eq(err_to(6), ERR_OK);
    join_as(7, (struct who){.id = "c-u2", .knows = true});
    ck_assert_int_eq(err_to(7), ERR_UNKNOWN_MEMBER);
    join_as(8, (struct who){.knows = true});
    ck_assert_int_eq(leave("c-u5", NULL), ERR_OK); /* gives it back */
    join_as(9, (struct who){.id = "c-u5", .knows = true});
    ck_assert_int_eq(err_to(9), ERR_UNKNOWN_MEMBER);
    finish();
}
END_TEST

START_TEST(a_second_member_makes_the_first_rejoin)
{
    begin();
    stable(1);
    join(5, NULL);
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    ck_assert_int_eq(beat("c-u1", 1), ERR_REBALANCING);
    sync(6, "c-u1", 1);
    ck_assert_int_eq(err_to(6), ERR_REBALANCING);
    join(7, "c-u1");
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    ck_assert_int_eq(to(7)->joined.member_count, 2); /* it still leads */
    ck_assert_int_eq(to(5)->joined.member_count, 0);
    ck_assert_int_eq(to(5)->joined.generation, 2);
    ck_assert(slice_has(to(5)->joined.leader, "c-u1"));
    ck_assert_int_eq(beat("c-u1", 1), ERR_ILLEGAL_GENERATION);
    ck_assert_int_eq(beat("c-u1", 2), ERR_OK);

    sync(8, "c-u2", 2);
    ck_assert_int_eq(out.count, 0);
    sync_with(9, "c-u1", NULL, 2, (struct group_assignment[]){{SLICE("c-u2"), SLICE("B")}}, 1);
    stored(ERR_OK);
    ck_assert(slice_has(to(8)->assignment, "B"));
    ck_assert_uint_eq(to(9)->assignment.len, 0); /* left out: nothing */
    finish();
}
END_TEST

START_TEST(who_does_not_rejoin_in_time_is_dropped_and_another_leads)
{
    begin();
    stable(3);
    join(5, "c-u1");
    for (int i = 0; i < 5; i++) { /* the others beat, but do not join */
        tick(9000);
        ck_assert_int_eq(beat("c-u2", 1), ERR_REBALANCING);
        ck_assert_int_eq(beat("c-u3", 1), ERR_REBALANCING);
    }
    join(6, "c-u3");
    leave("c-u1", NULL); /* the leader goes while it waits */
    ck_assert_int_eq(err_to(5), ERR_UNKNOWN_MEMBER);
    ck_assert_uint_eq(to(5)->joined.member_id.len, 0);
    ck_assert_int_eq(beat("c-u2", 1), ERR_REBALANCING);
    tick(9000);
    ck_assert_int_eq(beat("c-u2", 1), ERR_REBALANCING);
    tick(6000);
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    ck_assert_int_eq(group_size(group), 1);
    ck_assert(slice_has(to(6)->joined.leader, "c-u3"));
    finish();
}
END_TEST

START_TEST(a_session_that_runs_out_removes_its_member)
{
    begin();
    stable(2);
    tick(9999);
    ck_assert_int_eq(beat("c-u1", 1), ERR_OK);
    ck_assert_int_eq(group_state(group), GROUP_STABLE);
    tick(1);
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    ck_assert_int_eq(beat("c-u2", 1), ERR_UNKNOWN_MEMBER);
    join(5, "c-u1");
    ck_assert_int_eq(err_to(5), ERR_OK); /* the only one left */
    tick(10000);                         /* and does not sync nor beat */
    ck_assert_int_eq(group_state(group), GROUP_EMPTY);
    ck_assert_int_eq(group_generation(group), 3);
    ck_assert_ptr_nonnull(kept);
    struct group_metadata_value value;
    group_value(group, &arena, &value);
    ck_assert(slice_is_null(value.protocol) && slice_is_null(value.leader));
    ck_assert_int_eq(value.members.count, 0);
    ck_assert_int_eq(value.generation, 3);
    ck_assert_int_eq(value.current_state_timestamp, wall);
    finish();
}
END_TEST

START_TEST(who_waits_for_a_join_or_a_sync_is_alive)
{
    begin();
    stable(2);
    join(5, "c-u1");
    tick(9000);
    ck_assert_int_eq(beat("c-u2", 1), ERR_REBALANCING);
    tick(9000); /* c-u1's session would be over; it waits */
    ck_assert_int_eq(group_size(group), 2);
    join(6, "c-u2");
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    sync(7, "c-u2", 2); /* a follower */
    tick(9000);
    ck_assert_int_eq(beat("c-u1", 2), ERR_OK);
    tick(9000);
    ck_assert_int_eq(group_size(group), 2);
    sync(8, "c-u1", 2);
    stored(ERR_OK);
    ck_assert_int_eq(err_to(7), ERR_OK);
    tick(9999); /* from the answer on its session counts again */
    ck_assert_int_eq(group_size(group), 2);
    tick(1);
    ck_assert_int_lt(group_size(group), 2);
    finish();
}
END_TEST

START_TEST(a_new_member_that_is_not_answered_waits_five_minutes_at_most)
{
    begin();
    join_as(1, (struct who){.rebalance_ms = 900000, .session_ms = 1800000});
    tick(3000);
    join_as(2, (struct who){.rebalance_ms = 900000});
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    tick(GROUP_NEW_MEMBER_MS - 1);
    ck_assert_int_eq(group_size(group), 2);
    tick(1);
    ck_assert_int_eq(err_to(2), ERR_UNKNOWN_MEMBER);
    ck_assert_uint_eq(to(2)->joined.member_id.len, 0);
    ck_assert_int_eq(group_size(group), 1);
    finish();
}
END_TEST

START_TEST(members_that_joined_and_do_not_sync_are_dropped_after_the_rebalance_timeout)
{
    begin();
    join_as(1, (struct who){.rebalance_ms = 6000, .session_ms = 100000});
    join_as(2, (struct who){.rebalance_ms = 6000, .session_ms = 100000});
    tick(3000);
    tick(3000);
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    sync(3, "c-u1", 1);
    stored(ERR_OK);
    ck_assert_int_eq(group_state(group), GROUP_STABLE);
    tick(5999);
    ck_assert_int_eq(group_state(group), GROUP_STABLE);
    tick(1);
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    ck_assert_int_eq(group_size(group), 1);
    finish();
}
END_TEST

START_TEST(a_rejoin_says_the_same_or_begins_again)
{
    begin();
    stable(2);
    join_as(5, (struct who){.id = "c-u2", .offers = both, .count = 2}); /* follower, unchanged */
    ck_assert_int_eq(err_to(5), ERR_OK);
    ck_assert_int_eq(to(5)->joined.generation, 1);
    ck_assert_int_eq(to(5)->joined.member_count, 0);
    ck_assert_int_eq(group_state(group), GROUP_STABLE);
    join(6, "c-u2"); /* with another list */
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    join(7, "c-u2"); /* once more: the earlier one is not left without an answer */
    ck_assert_int_eq(err_to(6), ERR_REBALANCING);
    join_as(8, (struct who){.id = "c-u1", .offers = both, .count = 2});
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    join_as(9, (struct who){.id = "c-u1", .offers = both, .count = 2}); /* its answer was lost */
    ck_assert_int_eq(err_to(9), ERR_OK);
    ck_assert_int_eq(to(9)->joined.member_count, 2);
    sync(10, "c-u2", 2);
    join_as(11, (struct who){.id = "c-u1"}); /* changed */
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    ck_assert_int_eq(err_to(10), ERR_REBALANCING);
    finish();
}
END_TEST

START_TEST(the_leader_of_a_stable_group_may_ask_for_a_rebalance)
{
    begin();
    stable(2);
    join_as(5,
            (struct who){.id = "c-u1", .offers = both, .count = 2}); /* unchanged, but it leads */
    ck_assert_int_eq(out.count, 0);
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    finish();
}
END_TEST

START_TEST(protocols_are_chosen_by_vote_of_what_all_have)
{
    const struct group_offer a[] = {
        {SLICE("x"), SLICE("1")}, {SLICE("range"), SLICE("2")}, {SLICE("sticky"), SLICE("3")}};
    const struct group_offer b[] = {{SLICE("sticky"), SLICE("4")}, {SLICE("range"), SLICE("5")}};
    const struct group_offer twice[] = {{SLICE("range"), SLICE("6")}, {SLICE("range"), SLICE("7")}};
    const struct group_offer alone[] = {{SLICE("own"), SLICE("8")}};

    begin();
    join_as(1, (struct who){.offers = a, .count = 3});
    join_as(2, (struct who){.offers = b, .count = 2});
    join_as(3, (struct who){.offers = b, .count = 2});
    join_as(4, (struct who){.offers = alone, .count = 1});
    ck_assert_int_eq(err_to(4), ERR_PROTOCOL);
    tick(3000);
    tick(3000);
    ck_assert(slice_has(to(1)->protocol_name, "sticky"));
    ck_assert(slice_has(to(1)->joined.members[0].metadata, "3"));
    join_as(5, (struct who){.offers = twice, .count = 2}); /* a name twice counts once */
    join_as(6, (struct who){.id = "c-u1", .offers = a, .count = 3});
    join_as(7, (struct who){.id = "c-u2", .offers = b, .count = 2});
    join_as(8, (struct who){.id = "c-u3", .offers = b, .count = 2});
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    ck_assert(slice_has(to(5)->protocol_name, "range"));
    finish();
}
END_TEST

START_TEST(an_empty_group_wants_a_type_and_a_protocol)
{
    struct group_event event = {.type = GROUP_JOIN,
                                .call = (void *)1,
                                .join = {.member_id = SLICE(""),
                                         .client_id = SLICE("c"),
                                         .protocol_type = SLICE(""),
                                         .protocols = &range,
                                         .protocol_count = 1,
                                         .unique = SLICE("u")}};

    begin();
    step(&event);
    ck_assert_int_eq(err_to(1), ERR_PROTOCOL);
    event.join.protocol_type = SLICE("consumer");
    event.join.protocol_count = 0;
    step(&event);
    ck_assert_int_eq(err_to(1), ERR_PROTOCOL);
    ck_assert_int_eq(group_state(group), GROUP_EMPTY);
    join(2, NULL);
    event.join.protocol_type = SLICE("connect");
    event.join.protocol_count = 1;
    step(&event);
    ck_assert_int_eq(err_to(1), ERR_PROTOCOL);
    finish();
}
END_TEST

START_TEST(a_full_group_refuses_new_members_and_the_last_to_rejoin)
{
    begin();
    stable(2);
    settings.size_max = 2;
    join(5, NULL);
    ck_assert_int_eq(err_to(5), ERR_GROUP_FULL);
    ck_assert_uint_eq(to(5)->joined.member_id.len, 0);
    ck_assert_int_eq(group_state(group), GROUP_STABLE);
    settings.size_max = 1; /* as after a restart with less */
    join(6, "c-u1");
    join(7, "c-u2");
    ck_assert_int_eq(err_to(7), ERR_GROUP_FULL);
    ck_assert_int_eq(err_to(6), ERR_OK);
    ck_assert_int_eq(group_size(group), 1);
    finish();
}
END_TEST

/* ---- static members ---- */

static void stable_static(bool skips)
{
    join_as(1, (struct who){.instance = "one", .offers = both, .count = 2, .skips = skips});
    join_as(2, (struct who){.instance = "two", .offers = both, .count = 2, .skips = skips});
    tick(3000);
    tick(3000);
    sync_with(
        3, "one-u1", "one", 1,
        (struct group_assignment[]){{SLICE("one-u1"), SLICE("A")}, {SLICE("two-u2"), SLICE("B")}},
        2);
    stored(ERR_OK);
    sync_with(4, "two-u2", "two", 1, NULL, 0);
    ck_assert_int_eq(err_to(4), ERR_OK);
}

START_TEST(a_static_member_returns_without_a_rebalance)
{
    begin();
    stable_static(true);
    join_as(5, (struct who){.instance = "two", .offers = both, .count = 2, .skips = true});
    ck_assert_int_eq(out.count, 0);
    ck_assert_ptr_nonnull(kept);
    struct group_metadata_value value;
    group_value(group, &arena, &value);
    ck_assert_int_eq(value.generation, 1);
    stored(ERR_OK);
    ck_assert_int_eq(err_to(5), ERR_OK);
    ck_assert(slice_has(to(5)->joined.member_id, "two-u3"));
    ck_assert(slice_has(to(5)->joined.leader, "one-u1"));
    ck_assert(!to(5)->joined.skips_assignment);
    ck_assert_int_eq(to(5)->joined.generation, 1);
    sync_with(6, "two-u3", "two", 1, NULL, 0);
    ck_assert(slice_has(to(6)->assignment, "B"));

    /* The one that it replaced is fenced, whatever it says. */
    ck_assert_int_eq(says(GROUP_HEARTBEAT, "two-u2", "two", 1), ERR_FENCED_INSTANCE);
    ck_assert_int_eq(says(GROUP_COMMIT, "two-u2", "two", 1), ERR_FENCED_INSTANCE);
    ck_assert_int_eq(says(GROUP_HEARTBEAT, "two-u2", NULL, 1), ERR_UNKNOWN_MEMBER);
    ck_assert_int_eq(says(GROUP_HEARTBEAT, "two-u3", "three", 1), ERR_UNKNOWN_MEMBER);
    ck_assert_int_eq(leave("two-u2", "two"), ERR_FENCED_INSTANCE);
    sync_with(7, "two-u2", "two", 1, NULL, 0);
    ck_assert_int_eq(err_to(7), ERR_FENCED_INSTANCE);
    join_as(8, (struct who){.id = "two-u2", .instance = "two", .offers = both, .count = 2});
    ck_assert_int_eq(err_to(8), ERR_FENCED_INSTANCE);
    ck_assert_int_eq(group_state(group), GROUP_STABLE);
    finish();
}
END_TEST

START_TEST(a_static_leader_that_returns_is_told_to_skip_or_not_told_that_it_leads)
{
    begin();
    stable_static(true);
    join_as(5, (struct who){.instance = "one", .offers = both, .count = 2, .skips = true});
    stored(ERR_OK);
    ck_assert(to(5)->joined.skips_assignment);
    ck_assert(slice_has(to(5)->joined.leader, "one-u3"));
    ck_assert_int_eq(to(5)->joined.member_count, 2);
    join_as(6, (struct who){.instance = "one", .offers = both, .count = 2});
    stored(ERR_OK);
    ck_assert(!to(6)->joined.skips_assignment);
    ck_assert(slice_has(to(6)->joined.leader, "one-u3"));
    ck_assert(slice_has(to(6)->joined.member_id, "one-u4"));
    ck_assert_int_eq(to(6)->joined.member_count, 0);
    finish();
}
END_TEST

START_TEST(a_return_that_cannot_be_stored_did_not_happen)
{
    begin();
    stable_static(true);
    join_as(5, (struct who){.instance = "two", .offers = both, .count = 2, .skips = true});
    stored(ERR_NOT_COORDINATOR);
    ck_assert_int_eq(err_to(5), ERR_NOT_COORDINATOR);
    ck_assert_uint_eq(to(5)->joined.member_id.len, 0);
    ck_assert_int_eq(says(GROUP_HEARTBEAT, "two-u2", "two", 1), ERR_OK);
    ck_assert_int_eq(says(GROUP_HEARTBEAT, "two-u3", "two", 1), ERR_FENCED_INSTANCE);
    finish();
}
END_TEST

START_TEST(a_static_member_that_changes_the_choice_or_comes_before_the_sync_causes_a_rebalance)
{
    const struct group_offer sticky = {SLICE("sticky"), SLICE("s")};

    begin();
    stable_static(true);
    join_as(5, (struct who){.instance = "two", .offers = &sticky, .count = 1});
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    join_as(6, (struct who){.id = "one-u1", .instance = "one", .offers = both, .count = 2});
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    ck_assert(slice_has(to(5)->protocol_name, "sticky"));
    sync_with(7, "two-u3", "two", 2, NULL, 0);
    join_as(8, (struct who){.instance = "two", .offers = &sticky, .count = 1});
    ck_assert_int_eq(err_to(7), ERR_FENCED_INSTANCE);
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    join_as(9, (struct who){.instance = "two", .offers = &sticky, .count = 1});
    ck_assert_int_eq(err_to(8), ERR_FENCED_INSTANCE);
    finish();
}
END_TEST

START_TEST(a_static_member_outlives_a_rebalance_that_it_misses)
{
    begin();
    join_as(1, (struct who){.instance = "one", .session_ms = 100000, .rebalance_ms = 5000});
    join_as(2, (struct who){.instance = "two", .session_ms = 100000, .rebalance_ms = 5000});
    tick(3000);
    tick(3000);
    sync_with(3, "one-u1", "one", 1, NULL, 0);
    stored(ERR_OK);
    sync_with(4, "two-u2", "two", 1, NULL, 0);
    join_as(5, (struct who){
                   .id = "one-u1", .instance = "one", .session_ms = 100000, .rebalance_ms = 5000});
    tick(5000);
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    ck_assert_int_eq(group_size(group), 2);
    ck_assert_int_eq(to(5)->joined.member_count, 2);
    ck_assert_int_eq(leave(NULL, "two"), ERR_OK); /* an operator removes it */
    ck_assert_int_eq(leave(NULL, "two"), ERR_UNKNOWN_MEMBER);
    ck_assert_int_eq(leave(NULL, NULL), ERR_UNKNOWN_MEMBER);
    ck_assert_int_eq(group_size(group), 1);
    finish();
}
END_TEST

START_TEST(static_members_of_whom_none_comes_are_waited_for)
{
    begin();
    stable_static(true);
    join_as(
        5,
        (struct who){
            .id = "one-u1", .instance = "one", .rebalance_ms = 1000, .offers = both, .count = 2});
    ck_assert_int_eq(leave("one-u1", "one"), ERR_OK);
    ck_assert_int_eq(group_size(group), 1);
    ck_assert_int_eq(says(GROUP_HEARTBEAT, "two-u2", "two", 1), ERR_REBALANCING);
    for (int i = 0; i < 9; i++) {
        tick(9000);
        ck_assert_int_eq(says(GROUP_HEARTBEAT, "two-u2", "two", 1), ERR_REBALANCING);
    }
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    tick(10000);
    ck_assert_int_eq(group_state(group), GROUP_EMPTY);
    finish();
}
END_TEST

/* ---- failures, commits, ends ---- */

START_TEST(an_assignment_that_cannot_be_stored_makes_all_begin_again)
{
    begin();
    join(1, NULL);
    tick(3000);
    sync(2, "c-u1", 1);
    stored(ERR_NO_COORDINATOR);
    ck_assert_int_eq(err_to(2), ERR_NO_COORDINATOR);
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    finish();
}
END_TEST

START_TEST(a_late_answer_of_the_log_changes_nothing)
{
    begin();
    join(1, NULL);
    tick(3000);
    sync(2, "c-u1", 1);
    struct group_store *late = kept;
    kept = NULL;
    join_as(3, (struct who){.id = "c-u1", .offers = both, .count = 2}); /* changed: again */
    ck_assert_int_eq(err_to(2), ERR_REBALANCING);
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    ck_assert_int_eq(group_generation(group), 2);
    kept = late;
    stored(ERR_OK);
    ck_assert_int_eq(out.count, 0);
    ck_assert_int_eq(group_state(group), GROUP_COMPLETING);
    finish();
}
END_TEST

START_TEST(commits_are_checked_as_kafka_does)
{
    begin();
    ck_assert_int_eq(says(GROUP_COMMIT, "", NULL, -1), ERR_OK); /* an empty group: anybody */
    ck_assert_int_eq(says(GROUP_COMMIT, "x", NULL, 3), ERR_UNKNOWN_MEMBER);
    join(1, NULL);
    tick(3000);
    ck_assert_int_eq(says(GROUP_COMMIT, "c-u1", NULL, 1), ERR_REBALANCING);
    sync(2, "c-u1", 1);
    stored(ERR_OK);
    ck_assert_int_eq(says(GROUP_COMMIT, "", NULL, -1), ERR_UNKNOWN_MEMBER);
    ck_assert_int_eq(says(GROUP_COMMIT, "c-u1", NULL, 2), ERR_ILLEGAL_GENERATION);
    ck_assert_int_eq(says(GROUP_COMMIT, "c-u1", NULL, -1), ERR_ILLEGAL_GENERATION);
    ck_assert_int_eq(says(GROUP_COMMIT, "c-u1", NULL, 1), ERR_OK);
    struct group_event event = {
        .type = GROUP_COMMIT,
        .call = (void *)99,
        .voice = {.member_id = SLICE(""), .generation = -1, .is_transactional = true}};
    step(&event);
    ck_assert_int_eq(err_to(99), ERR_OK); /* a transaction: anybody, whatever the state */
    tick(9000);
    ck_assert_int_eq(says(GROUP_COMMIT, "c-u1", NULL, 1), ERR_OK); /* counts as a heartbeat */
    tick(9000);
    ck_assert_int_eq(group_size(group), 1);
    finish();
}
END_TEST

START_TEST(what_waits_is_answered_when_the_coordinator_goes)
{
    struct group_event event = {.type = GROUP_UNLOAD};

    begin();
    stable(2);
    join(5, NULL);
    join(6, "c-u1");
    step(&event);
    ck_assert_int_eq(out.count, 2);
    ck_assert_int_eq(err_to(5), ERR_NOT_COORDINATOR);
    ck_assert_int_eq(err_to(6), ERR_NOT_COORDINATOR);
    ck_assert_int_eq(group_state(group), GROUP_DEAD);
    ck_assert(instant_is_never(group_deadline(group)));
    join(7, NULL);
    ck_assert_int_eq(err_to(7), ERR_NO_COORDINATOR);
    ck_assert_int_eq(beat("c-u1", 1), ERR_NO_COORDINATOR);
    sync(8, "c-u1", 1);
    ck_assert_int_eq(err_to(8), ERR_NO_COORDINATOR);
    ck_assert_int_eq(says(GROUP_COMMIT, "", NULL, -1), ERR_NO_COORDINATOR);
    finish();
}
END_TEST

START_TEST(a_group_is_restored_as_it_was_stored)
{
    struct group_metadata_value value, again;
    struct group_event event = {.type = GROUP_HEARTBEAT, .call = (void *)1};

    begin();
    stable_static(true);
    group_value(group, &arena, &value);
    struct group *other = group_create(SLICE("g"), &settings, 0);
    group_restore(other, &value, now, wall);
    group_audit(other);
    ck_assert_int_eq(group_state(other), GROUP_STABLE);
    group_value(other, &arena, &again);
    ck_assert_int_eq(again.generation, 1);
    ck_assert_int_eq(again.members.count, 2);
    ck_assert(slice_has(again.leader, "one-u1"));
    ck_assert(slice_has(again.members.at[1].assignment, "B"));
    ck_assert_int_eq(again.current_state_timestamp, value.current_state_timestamp);
    struct group *ours = group;
    group = other;
    event.voice = (struct group_voice){SLICE("two-u2"), SLICE("two"), 1, false};
    step(&event);
    ck_assert_int_eq(err_to(1), ERR_OK);
    tick(10000); /* sessions run from the restart on */
    ck_assert_int_eq(group_state(group), GROUP_EMPTY);
    group_destroy(&group);

    settings.size_max = 1;
    group = group_create(SLICE("g"), &settings, 0);
    group_restore(group, &value, now, wall);
    ck_assert_int_eq(group_state(group), GROUP_PREPARING);
    group_audit(group);
    group_destroy(&group);

    /* Nobody's log has a member twice; such a one does not stop us. */
    settings.size_max = 10;
    struct group_metadata_value_member twice[3] = {value.members.at[0], value.members.at[0],
                                                   value.members.at[0]};
    twice[2].member_id = SLICE("other");
    value.members.at = twice;
    value.members.count = 3;
    value.leader = SLICE("nobody");
    group = group_create(SLICE("g"), &settings, 0);
    group_restore(group, &value, now, wall);
    group_audit(group);
    ck_assert_int_eq(group_size(group), 1);
    group_destroy(&group);
    group = ours;
    finish();
}
END_TEST

START_TEST(subscriptions_are_read_from_the_chosen_protocol)
{
    static const uint8_t topics[] = {0, 3, 0, 0, 0, 2, 0, 1, 'a', 0, 2, 'b', 'b', 0xff};
    static const uint8_t broken[] = {0, 3, 0, 0, 0, 2, 0, 1, 'a', 0, 200, 'b'};
    struct group_offer offer = {SLICE("range"), slice_of(topics, sizeof(topics))};

    begin();
    join_as(1, (struct who){.offers = &offer, .count = 1});
    tick(3000);
    ck_assert(group_knows_subscriptions(group));
    ck_assert(group_is_subscribed(group, SLICE("bb")));
    ck_assert(!group_is_subscribed(group, SLICE("b")));
    offer.metadata = slice_of(broken, sizeof(broken));
    join_as(2, (struct who){.id = "c-u1", .offers = &offer, .count = 1});
    ck_assert(!group_knows_subscriptions(group));
    ck_assert(group_is_subscribed(group, SLICE("b")));
    finish();
}
END_TEST

/* ---- many ---- */

START_TEST(a_thousand_members_rebalance_at_once)
{
    char id[32];
    int answered = 0;

    begin();
    for (int i = 1; i <= 1000; i++)
        join(i, NULL);
    tick(3000);
    tick(3000);
    ck_assert_int_eq(out.count, 1000);
    ck_assert_int_eq(to(1)->joined.member_count, 1000);
    for (int i = 2; i <= 1000; i++) {
        snprintf(id, sizeof(id), "c-u%d", i);
        sync(i, id, 1);
    }
    sync(1, "c-u1", 1);
    stored(ERR_OK);
    for (int i = 0; i < out.count; i++)
        answered += out.answers[i].err == ERR_OK;
    ck_assert_int_eq(answered, 1000);
    finish();
}
END_TEST

/* Events at random. What must hold after each: the audit; a call is answered once; nothing is left
 * without an answer at the end; a generation never goes back. */
struct walk {
    struct prng prng;
    bool waits[4096];
    int calls, open;
    char ids[64][40]; /* ids that were told */
    int id_count;
};

static void walk_answers(struct walk *walk)
{
    for (int i = 0; i < out.count; i++) {
        intptr_t call = (intptr_t)out.answers[i].call;
        struct slice id = out.answers[i].joined.member_id;
        ck_assert(call >= 0 && call < walk->calls && walk->waits[call]);
        walk->waits[call] = false;
        walk->open--;
        if (id.len > 0 && id.len < 40)
            snprintf(walk->ids[walk->id_count++ % 64], 40, "%.*s", SLICE_ARGS(id));
    }
}

static int walk_call(struct walk *walk)
{
    walk->waits[walk->calls] = true;
    walk->open++;
    return walk->calls++;
}

static void walk_step(struct walk *walk)
{
    static const char *const instances[] = {NULL, NULL, NULL, "one", "two", "three"};
    static const int spans[] = {1, 100, 1000, 2999, 5000, 20000};
    const char *id = prng_below(&walk->prng, 3) == 0 || walk->id_count == 0
                         ? ""
                         : walk->ids[prng_below(
                               &walk->prng, (uint64_t)(walk->id_count < 64 ? walk->id_count : 64))];
    const char *instance = instances[prng_below(&walk->prng, 6)];
    int32_t generation = group_generation(group) - (prng_below(&walk->prng, 8) == 0);
    struct group_leaver leavers[2] = {
        {slice_text(id), instance == NULL ? SLICE_NULL : slice_text(instance)},
        {SLICE(""), SLICE("one")}};
    struct group_event event = {0};
    char copy[40];

    snprintf(copy, sizeof(copy), "%s", id);
    switch (prng_below(&walk->prng, 10)) {
    case 0:
    case 1:
    case 2:
        join_as(walk_call(walk),
                (struct who){.id = copy,
                             .instance = instance,
                             .offers = both,
                             .count = 1 + (int)prng_below(&walk->prng, 2),
                             .knows = prng_below(&walk->prng, 2) == 0,
                             .skips = prng_below(&walk->prng, 2) == 0,
                             .rebalance_ms = 3000 + (int32_t)prng_below(&walk->prng, 9000)});
        break;
    case 3:
    case 4:
        sync_with(walk_call(walk), copy, instance, generation, NULL, 0);
        break;
    case 5:
        event.type = GROUP_HEARTBEAT + 2 * (int)prng_below(&walk->prng, 2); /* or a commit */
        event.call = (void *)(intptr_t)walk_call(walk);
        event.voice = (struct group_voice){slice_text(copy), SLICE_NULL, generation, false};
        step(&event);
        break;
    case 6:
        event.type = GROUP_LEAVE;
        event.call = (void *)(intptr_t)walk_call(walk);
        event.leave.leavers = leavers;
        event.leave.count = 1 + (int)prng_below(&walk->prng, 2);
        if (prng_below(&walk->prng, 3) == 0)
            step(&event);
        else
            tick(0), walk->waits[--walk->calls] = false, walk->open--;
        break;
    case 7:
    case 8:
        if (kept != NULL)
            stored(prng_below(&walk->prng, 4) == 0 ? ERR_NO_COORDINATOR : ERR_OK);
        else
            tick(0);
        break;
    default:
        tick(spans[prng_below(&walk->prng, 6)]);
        break;
    }
}

START_TEST(a_walk_at_random_answers_every_call_once)
{
    int reached[5] = {0};

    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct walk *walk = ensure_zalloc(sizeof(*walk));
        int32_t generation = 0;

        begin();
        walk->calls = 1; /* NULL is no call */
        if (seed % 4 == 0) settings.size_max = 3;
        prng_init(&walk->prng, seed);
        for (int i = 0; i < 400; i++) {
            walk_step(walk);
            walk_answers(walk);
            group_audit(group);
            ck_assert_int_ge(group_generation(group), generation);
            generation = group_generation(group);
            reached[group_state(group)]++;
            ck_assert(instant_is_never(group_deadline(group)) ||
                      group_state(group) != GROUP_EMPTY || group_size(group) == 0);
        }
        struct group_event event = {.type = GROUP_UNLOAD};
        step(&event);
        walk_answers(walk);
        ck_assert_int_eq(walk->open, 0);
        finish();
        free(walk);
    }
    for (int i = 0; i < GROUP_DEAD; i++)
        ck_assert_int_gt(reached[i], 100);
}
END_TEST

UNIT(a_first_member_waits_for_others_then_leads_and_assigns,
     the_initial_delay_is_extended_while_members_come_up_to_the_rebalance_timeout,
     a_new_dynamic_member_gets_its_id_and_comes_again,
     ids_that_are_waited_for_hold_a_rebalance_until_they_run_out,
     a_second_member_makes_the_first_rejoin,
     who_does_not_rejoin_in_time_is_dropped_and_another_leads,
     a_session_that_runs_out_removes_its_member, who_waits_for_a_join_or_a_sync_is_alive,
     a_new_member_that_is_not_answered_waits_five_minutes_at_most,
     members_that_joined_and_do_not_sync_are_dropped_after_the_rebalance_timeout,
     a_rejoin_says_the_same_or_begins_again, the_leader_of_a_stable_group_may_ask_for_a_rebalance,
     protocols_are_chosen_by_vote_of_what_all_have, an_empty_group_wants_a_type_and_a_protocol,
     a_full_group_refuses_new_members_and_the_last_to_rejoin,
     a_static_member_returns_without_a_rebalance,
     a_static_leader_that_returns_is_told_to_skip_or_not_told_that_it_leads,
     a_return_that_cannot_be_stored_did_not_happen,
     a_static_member_that_changes_the_choice_or_comes_before_the_sync_causes_a_rebalance,
     a_static_member_outlives_a_rebalance_that_it_misses,
     static_members_of_whom_none_comes_are_waited_for,
     an_assignment_that_cannot_be_stored_makes_all_begin_again,
     a_late_answer_of_the_log_changes_nothing, commits_are_checked_as_kafka_does,
     what_waits_is_answered_when_the_coordinator_goes, a_group_is_restored_as_it_was_stored,
     subscriptions_are_read_from_the_chosen_protocol, a_thousand_members_rebalance_at_once,
     a_walk_at_random_answers_every_call_once)
