/* tests/unit/test_sessions.c - incremental fetch sessions and the bounds of their cache. */
#include "broker/replica/sessions.h"
#include "unit.h"

static struct instant at_s(int64_t s)
{
    return (struct instant){s * 1000000000};
}

static struct session_ask ask_for(const char *topic, int32_t partition)
{
    return (struct session_ask){.topic = slice_text(topic), .partition = partition, .bytes_max = 1};
}

static struct session *made(struct sessions *sessions, bool is_follower, int parts, int64_t s)
{
    struct session *session = sessions_create(sessions, is_follower, false, (size_t)parts, at_s(s),
                                              (uint64_t)(parts * 1000 + s));

    for (int i = 0; session != NULL && i < parts; i++) {
        struct session_ask ask = ask_for("t", i);
        ck_assert_int_eq(session_ask(sessions, session, &ask), ERR_OK);
    }
    return session;
}

START_TEST(each_request_has_the_next_epoch)
{
    struct sessions sessions;
    struct session *found = NULL;

    sessions_init(&sessions, 10, 100, 1, 4);
    struct session *session = made(&sessions, false, 2, 0);
    ck_assert_int_gt(session->id, 0);
    ck_assert_int_eq(session->id % 4, 1); /* of this shard */
    int32_t id = session->id;
    ck_assert_int_eq(sessions_continue(&sessions, id + 4, 1, false, at_s(1), &found),
                     ERR_NOT_FOUND);
    ck_assert_int_eq(sessions_continue(&sessions, id, 2, false, at_s(1), &found), ERR_STALE);
    ck_assert_int_eq(sessions_continue(&sessions, id, 1, true, at_s(1), &found), ERR_INVALID);
    ck_assert_int_eq(sessions_continue(&sessions, id, 1, false, at_s(1), &found), ERR_OK);
    ck_assert_ptr_eq(found, session);
    ck_assert_int_eq(sessions_continue(&sessions, id, 1, false, at_s(1), &found), ERR_STALE);
    ck_assert_int_eq(sessions_continue(&sessions, id, 2, false, at_s(1), &found), ERR_OK);
    ck_assert_int_eq(session_epoch_after(INT32_MAX), 1);
    sessions_fini(&sessions);
}
END_TEST

START_TEST(only_news_are_told)
{
    struct sessions sessions;
    struct session_told told = {.high_watermark = 5, .log_start = 0};

    sessions_init(&sessions, 10, 100, 0, 1);
    struct session *session = made(&sessions, false, 1, 0);
    struct session_part *part = session_part_of(session, SLICE("t"), UUID_ZERO, 0);
    ck_assert(session_tell(session, part, &told)); /* for the first time */
    ck_assert(!session_tell(session, part, &told));
    told.high_watermark = 6;
    ck_assert(session_tell(session, part, &told));
    told.log_start = 2;
    ck_assert(session_tell(session, part, &told));
    told.has_records = true;
    ck_assert(session_tell(session, part, &told));
    told.has_records = false;
    ck_assert(!session_tell(session, part, &told));

    struct session_told error = {.high_watermark = -1, .log_start = -1, .has_error = true};
    ck_assert(session_tell(session, part, &error));
    ck_assert(session_tell(session, part, &error)); /* as long as it lasts */
    ck_assert(session_tell(session, part, &told));  /* and once more when it is over */
    ck_assert(!session_tell(session, part, &told));
    sessions_fini(&sessions);
}
END_TEST

START_TEST(what_had_records_goes_to_the_end)
{
    struct sessions sessions;
    struct session_told told = {.has_records = true};

    sessions_init(&sessions, 10, 100, 0, 1);
    struct session *session = made(&sessions, false, 3, 0);
    session_tell(session, session_part_of(session, SLICE("t"), UUID_ZERO, 0), &told);
    int32_t order[3];
    int n = 0;
    list_each (node, &session->order)
        order[n++] = list_entry(node, struct session_part, order)->ask.partition;
    ck_assert_int_eq(order[0], 1);
    ck_assert_int_eq(order[1], 2);
    ck_assert_int_eq(order[2], 0);
    sessions_fini(&sessions);
}
END_TEST

START_TEST(asking_again_changes_and_forgetting_removes)
{
    struct sessions sessions;
    struct session_ask ask = ask_for("t", 0);

    sessions_init(&sessions, 10, 100, 0, 1);
    struct session *session = made(&sessions, false, 2, 0);
    ask.offset = 42;
    ck_assert_int_eq(session_ask(&sessions, session, &ask), ERR_OK);
    ck_assert_uint_eq(session->parts.count, 2);
    struct session_part *part = session_part_of(session, SLICE("t"), UUID_ZERO, 0);
    ck_assert_int_eq(part->ask.offset, 42);
    ck_assert(slice_is(part->ask.topic, "t"));
    session_forget(&sessions, session, SLICE("t"), UUID_ZERO, 0);
    session_forget(&sessions, session, SLICE("t"), UUID_ZERO, 9); /* not there */
    ck_assert_uint_eq(session->parts.count, 1);
    ck_assert_uint_eq(sessions.parts, 1);
    ck_assert_ptr_null(session_part_of(session, SLICE("t"), UUID_ZERO, 0));
    sessions_fini(&sessions);
}
END_TEST

START_TEST(ids_and_names_are_other_partitions)
{
    struct sessions sessions;
    struct session_ask by_id = {.topic_id = {{1, 2, 3}}, .partition = 0};

    sessions_init(&sessions, 10, 100, 0, 1);
    struct session *session = made(&sessions, false, 1, 0);
    ck_assert_int_eq(session_ask(&sessions, session, &by_id), ERR_OK);
    ck_assert_uint_eq(session->parts.count, 2);
    ck_assert_ptr_nonnull(session_part_of(session, SLICE_NULL, by_id.topic_id, 0));
    sessions_fini(&sessions);
}
END_TEST

START_TEST(a_full_cache_lets_go_of_the_idle_then_of_the_lesser)
{
    struct sessions sessions;

    sessions_init(&sessions, 2, 1000, 0, 1);
    int32_t small = made(&sessions, false, 1, 0)->id;
    int32_t large = made(&sessions, false, 9, 0)->id;
    ck_assert_ptr_null(made(&sessions, false, 5, 10)); /* both are young */

    struct session *found = NULL;
    ck_assert_int_eq(sessions_continue(&sessions, small, 1, false, at_s(100), &found), ERR_OK);
    ck_assert_int_eq(sessions_continue(&sessions, large, 1, false, at_s(100), &found), ERR_OK);
    ck_assert_ptr_null(made(&sessions, false, 1, 130)); /* old ones, but none is smaller */
    struct session *third = made(&sessions, false, 5, 130);
    ck_assert_ptr_nonnull(third);
    ck_assert_ptr_null(sessions_find(&sessions, small));
    ck_assert_ptr_nonnull(sessions_find(&sessions, large));

    ck_assert_ptr_nonnull(made(&sessions, false, 1, 221)); /* large is idle for over 120 s */
    ck_assert_ptr_null(sessions_find(&sessions, large));
    ck_assert_uint_eq(sessions.evicted, 2);
    sessions_fini(&sessions);
}
END_TEST

START_TEST(a_follower_goes_before_consumers_however_young)
{
    struct sessions sessions;

    sessions_init(&sessions, 1, 1000, 0, 1);
    ck_assert_ptr_nonnull(made(&sessions, false, 50, 0));
    ck_assert_ptr_nonnull(made(&sessions, true, 1, 1));
    ck_assert_ptr_null(made(&sessions, true, 50, 2));   /* a young follower stays */
    ck_assert_ptr_null(made(&sessions, false, 500, 3)); /* and before any consumer */
    sessions_fini(&sessions);
}
END_TEST

START_TEST(remembered_partitions_are_bounded)
{
    struct sessions sessions;
    struct session_ask more = ask_for("t", 77);

    sessions_init(&sessions, 10, 5, 0, 1);
    struct session *session = made(&sessions, false, 4, 0);
    ck_assert_ptr_null(made(&sessions, false, 2, 0));
    ck_assert_int_eq(session_ask(&sessions, session, &more), ERR_OK);
    more.partition = 78;
    ck_assert_int_eq(session_ask(&sessions, session, &more), ERR_LIMIT);
    sessions_close(&sessions, session->id);
    ck_assert_uint_eq(sessions.parts, 0);
    ck_assert_int_eq(sessions_count(&sessions), 0);
    sessions_fini(&sessions);
}
END_TEST

/* A name costs what it is long: of unknown topics, clients may say anything. */
START_TEST(a_name_that_no_topic_can_have_is_not_remembered)
{
    static const char longest[] =
        "................................................................................"
        "................................................................................"
        "................................................................................"
        ".........";
    struct sessions sessions;
    struct session_ask ask = {.topic = slice_text(longest), .bytes_max = 1};
    char longer[sizeof(longest) + 1];

    ck_assert_uint_eq(ask.topic.len, 249);
    sessions_init(&sessions, 10, 100, 0, 1);
    struct session *session = sessions_create(&sessions, false, false, 2, at_s(0), 1);
    ck_assert_int_eq(session_ask(&sessions, session, &ask), ERR_OK);
    memset(longer, '.', sizeof(longer));
    ask.topic = slice_of(longer, 250);
    ck_assert_int_eq(session_ask(&sessions, session, &ask), ERR_LIMIT);
    ck_assert_uint_eq(sessions.parts, 1);
    sessions_fini(&sessions);
}
END_TEST

UNIT(each_request_has_the_next_epoch, only_news_are_told, what_had_records_goes_to_the_end,
     asking_again_changes_and_forgetting_removes, ids_and_names_are_other_partitions,
     a_full_cache_lets_go_of_the_idle_then_of_the_lesser,
     a_follower_goes_before_consumers_however_young, remembered_partitions_are_bounded,
     a_name_that_no_topic_can_have_is_not_remembered)
