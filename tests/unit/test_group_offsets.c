/* tests/unit/test_group_offsets.c - what a group has committed, on its way, and in transactions. */
#include "base/ensure.h"
#include "base/prng.h"
#include "broker/group/offsets.h"
#include "unit.h"
#include <stdio.h>

static struct offsets *offsets;
static char removed[256];

static struct offset_commit at(int64_t offset)
{
    return (struct offset_commit){.offset = offset,
                                  .leader_epoch = 3,
                                  .metadata = SLICE("m"),
                                  .commit_ms = 1000,
                                  .expire_ms = -1};
}

static void load(const char *topic, int32_t partition, int64_t offset, int64_t log_offset)
{
    struct offset_commit commit = at(offset);

    offsets_load(offsets, slice_text(topic), partition, &commit, log_offset);
    offsets_audit(offsets);
}

static int64_t found(const char *topic, int32_t partition)
{
    struct offset_commit commit;

    if (!offsets_find(offsets, slice_text(topic), partition, &commit)) return -1;
    return commit.offset;
}

static void begin(void)
{
    offsets = offsets_create();
    removed[0] = 0;
}

START_TEST(a_commit_counts_when_it_is_in_the_log)
{
    struct offset_commit commit = at(10), out;

    begin();
    offsets_prepare(offsets, SLICE("t"), 1);
    ck_assert(!offsets_is_empty(offsets) && offsets_count(offsets) == 0);
    ck_assert(offsets_is_unstable(offsets, SLICE("t"), 1));
    ck_assert(!offsets_is_unstable(offsets, SLICE("t"), 0));
    ck_assert_int_eq(found("t", 1), -1);
    offsets_done(offsets, SLICE("t"), 1, &commit, 100);
    ck_assert(!offsets_is_unstable(offsets, SLICE("t"), 1));
    ck_assert(offsets_find(offsets, SLICE("t"), 1, &out));
    ck_assert_int_eq(out.leader_epoch, 3);
    ck_assert(slice_is(out.metadata, "m"));
    offsets_prepare(offsets, SLICE("t"), 1);
    offsets_undone(offsets, SLICE("t"), 1);
    ck_assert_int_eq(found("t", 1), 10);
    offsets_prepare(offsets, SLICE("t"), 2);
    offsets_undone(offsets, SLICE("t"), 2);
    ck_assert_uint_eq(offsets_count(offsets), 1);
    offsets_audit(offsets);
    ck_assert(offsets_remove(offsets, SLICE("t"), 1));
    ck_assert(!offsets_remove(offsets, SLICE("t"), 1));
    ck_assert(offsets_is_empty(offsets));
    offsets_destroy(&offsets);
}
END_TEST

START_TEST(the_later_in_the_log_counts_whichever_is_answered_first)
{
    struct offset_commit older = at(10), newer = at(20);

    begin();
    offsets_prepare(offsets, SLICE("t"), 0);
    offsets_prepare(offsets, SLICE("t"), 0);
    offsets_done(offsets, SLICE("t"), 0, &newer, 101);
    ck_assert(offsets_is_unstable(offsets, SLICE("t"), 0));
    offsets_done(offsets, SLICE("t"), 0, &older, 100);
    ck_assert_int_eq(found("t", 0), 20);
    load("t", 0, 21, 101); /* once more in the same batch: the last counts */
    ck_assert_int_eq(found("t", 0), 21);
    load("t", 0, 22, 100);
    ck_assert_int_eq(found("t", 0), 21);
    load("t", 0, 5, 102); /* back, as an operator may ask */
    ck_assert_int_eq(found("t", 0), 5);
    offsets_destroy(&offsets);
}
END_TEST

START_TEST(a_transaction_commits_all_or_nothing)
{
    struct offset_commit commit = at(30);

    begin();
    load("t", 0, 1, 10);
    offsets_txn_prepare(offsets, 7, SLICE("t"), 0);
    ck_assert(offsets_is_unstable(offsets, SLICE("t"), 0));
    offsets_txn_done(offsets, 7, SLICE("t"), 0, &commit, 11);
    offsets_txn_prepare(offsets, 7, SLICE("t"), 1);
    offsets_txn_done(offsets, 7, SLICE("t"), 1, &commit, 11);
    offsets_txn_prepare(offsets, 8, SLICE("t"), 1);
    offsets_txn_done(offsets, 8, SLICE("t"), 1, &commit, 12);
    ck_assert_int_eq(found("t", 0), 1);
    offsets_txn_end(offsets, 8, false);
    ck_assert(!offsets_has_txn(offsets, 8));
    offsets_txn_end(offsets, 7, true);
    ck_assert_int_eq(found("t", 0), 30);
    ck_assert_int_eq(found("t", 1), 30);
    ck_assert(!offsets_is_unstable(offsets, SLICE("t"), 0));
    offsets_audit(offsets);

    /* A plain commit that is later in the log wins over the transaction's. */
    offsets_txn_done(offsets, 7, SLICE("t"), 0, &commit, 20);
    load("t", 0, 77, 21);
    offsets_txn_end(offsets, 7, true);
    ck_assert_int_eq(found("t", 0), 77);
    offsets_txn_prepare(offsets, 9, SLICE("t"), 0); /* fails: nothing stays */
    offsets_txn_undone(offsets, 9, SLICE("t"), 0);
    ck_assert(!offsets_has_txn(offsets, 9));
    offsets_txn_prepare(offsets, 9, SLICE("t"), 0);
    offsets_txn_end(offsets, 9, true); /* what is on its way stays until it is answered */
    ck_assert(offsets_has_txn(offsets, 9));
    offsets_txn_undone(offsets, 9, SLICE("t"), 0);
    offsets_audit(offsets);
    offsets_destroy(&offsets);
}
END_TEST

static void note(void *to, struct slice topic, int32_t partition)
{
    (void)to;
    snprintf(removed + strlen(removed), sizeof(removed) - strlen(removed), "%.*s-%d ",
             SLICE_ARGS(topic), partition);
}

static bool keeps_a(void *to, struct slice topic)
{
    (void)to;
    return slice_is(topic, "a");
}

START_TEST(offsets_expire_by_how_their_group_is_used)
{
    struct offsets_age age = {
        .aging = OFFSETS_AGE_NEVER, .empty_since_ms = 5000, .now_ms = 1000000, .retention_ms = 100};

    begin();
    load("a", 0, 1, 1);
    load("b", 3, 1, 1);
    load("b", 2, 1, 1);
    ck_assert_int_eq(offsets_expire(offsets, &age, note, NULL), 0);
    age.aging = OFFSETS_AGE_FROM_EMPTY; /* 5000, though the commits are of 1000 */
    age.now_ms = 5099;
    ck_assert_int_eq(offsets_expire(offsets, &age, note, NULL), 0);
    age.aging = OFFSETS_AGE_FROM_COMMIT;
    age.keeps = keeps_a;
    offsets_prepare(offsets, SLICE("b"), 2); /* one on its way keeps it */
    ck_assert_int_eq(offsets_expire(offsets, &age, note, NULL), 1);
    ck_assert_str_eq(removed, "b-3 ");
    offsets_undone(offsets, SLICE("b"), 2);
    age.keeps = NULL;
    age.aging = OFFSETS_AGE_FROM_EMPTY;
    age.now_ms = 5100;
    ck_assert_int_eq(offsets_expire(offsets, &age, note, NULL), 2);
    ck_assert(offsets_is_empty(offsets));

    /* A commit that says when it ends ends then, whatever the rest. */
    struct offset_commit commit = at(1);
    commit.expire_ms = 9000;
    offsets_load(offsets, SLICE("c"), 0, &commit, 1);
    age.now_ms = 8999;
    ck_assert_int_eq(offsets_expire(offsets, &age, note, NULL), 0);
    age.now_ms = 9000;
    ck_assert_int_eq(offsets_expire(offsets, &age, note, NULL), 1);
    age.empty_since_ms = -1; /* a group from an old record */
    load("c", 0, 1, 1);
    age.now_ms = 1099;
    ck_assert_int_eq(offsets_expire(offsets, &age, note, NULL), 0);
    age.now_ms = 1100;
    ck_assert_int_eq(offsets_expire(offsets, &age, note, NULL), 1);
    offsets_destroy(&offsets);
}
END_TEST

START_TEST(metadata_is_measured_in_java_characters)
{
    ck_assert_int_eq(offsets_metadata_len(SLICE("")), 0);
    ck_assert_int_eq(offsets_metadata_len(SLICE("abc")), 3);
    ck_assert_int_eq(offsets_metadata_len(SLICE("\xc3\xa4")), 1);
    ck_assert_int_eq(offsets_metadata_len(SLICE("\xe2\x82\xac")), 1);
    ck_assert_int_eq(offsets_metadata_len(SLICE("\xf0\x9f\x98\x80")), 2);
}
END_TEST

/* Against a plain table: what was done last in the log is what is found. */
START_TEST(a_walk_at_random_agrees_with_a_table)
{
    struct prng prng;
    int64_t value[4][8], log[4][8];
    int pending[4][8] = {0};
    static const char *const topics[] = {"a", "b", "c", "d"};

    begin();
    prng_init(&prng, 5);
    for (int t = 0; t < 4; t++)
        for (int p = 0; p < 8; p++)
            value[t][p] = log[t][p] = -1;
    for (int i = 0; i < 20000; i++) {
        int t = (int)prng_below(&prng, 4), p = (int)prng_below(&prng, 8);
        int64_t where = (int64_t)prng_below(&prng, 1000) + i;
        struct offset_commit commit = at(i);
        switch (prng_below(&prng, 4)) {
        case 0:
            offsets_prepare(offsets, slice_text(topics[t]), p);
            pending[t][p]++;
            break;
        case 1:
            if (pending[t][p] == 0) break;
            pending[t][p]--;
            offsets_done(offsets, slice_text(topics[t]), p, &commit, where);
            if (where >= log[t][p]) value[t][p] = i, log[t][p] = where;
            break;
        case 2:
            if (pending[t][p] == 0) break;
            pending[t][p]--;
            offsets_undone(offsets, slice_text(topics[t]), p);
            break;
        default:
            ck_assert_int_eq(offsets_remove(offsets, slice_text(topics[t]), p), value[t][p] >= 0);
            value[t][p] = log[t][p] = -1;
            break;
        }
        offsets_audit(offsets);
        ck_assert_int_eq(found(topics[t], p), value[t][p]);
        ck_assert(offsets_is_unstable(offsets, slice_text(topics[t]), p) == (pending[t][p] > 0));
    }
    offsets_destroy(&offsets);
}
END_TEST

UNIT(a_commit_counts_when_it_is_in_the_log, the_later_in_the_log_counts_whichever_is_answered_first,
     a_transaction_commits_all_or_nothing, offsets_expire_by_how_their_group_is_used,
     metadata_is_measured_in_java_characters, a_walk_at_random_agrees_with_a_table)
