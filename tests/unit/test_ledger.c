/* What judges tests/chaos must itself see what is wrong. */
#include "tests/chaos/ledger.h"
#include "tests/chaos/replicas.h"
#include "tests/unit/unit.h"
#include "wire/prim.h"
#include <stdio.h>
#include <sys/stat.h>

static struct ledger ledger;

static void begin(int64_t records)
{
    ledger_init(&ledger);
    ledger_send(&ledger, records, 0);
}

static void end(void)
{
    ledger_fini(&ledger);
}

static void is_good(const char *doubt)
{
    if (doubt != NULL) ck_abort_msg("in doubt: %s", doubt);
}

static void is_wrong(const char *doubt, const char *what)
{
    ck_assert_ptr_nonnull(doubt);
    ck_assert_str_eq(doubt, what);
}

START_TEST(what_was_acknowledged_and_not_seen_is_lost)
{
    int64_t number = -1;

    begin(10);
    is_good(ledger_answer(&ledger, 0, 10, 100));
    for (int64_t n = 0; n < 10; n++)
        if (n != 7) is_good(ledger_see(&ledger, n, 100 + n));
    is_wrong(ledger_end(&ledger, &number), "was acknowledged and is lost");
    ck_assert_int_eq(number, 7);
    end();
}
END_TEST

START_TEST(what_was_never_answered_may_be_there_or_not)
{
    int64_t number = -1;

    begin(3);
    is_good(ledger_answer(&ledger, 0, 3, LEDGER_UNKNOWN));
    is_good(ledger_see(&ledger, 1, 0));
    is_good(ledger_end(&ledger, &number));
    end();
}
END_TEST

/* A consumer may see a record before its producer has the answer. */
START_TEST(the_answer_and_the_sight_of_a_record_come_in_any_order)
{
    int64_t number = -1;

    begin(2);
    is_good(ledger_see(&ledger, 0, 5));
    is_good(ledger_answer(&ledger, 0, 1, 5));
    is_good(ledger_answer(&ledger, 1, 1, 6));
    is_good(ledger_see(&ledger, 1, 6));
    is_good(ledger_end(&ledger, &number));
    end();
}
END_TEST

START_TEST(another_offset_than_the_acknowledged_one_is_found)
{
    begin(3);
    is_good(ledger_answer(&ledger, 0, 1, 5));
    is_wrong(ledger_see(&ledger, 0, 6), "was acknowledged at another offset");
    is_good(ledger_see(&ledger, 1, 7));
    is_wrong(ledger_answer(&ledger, 1, 1, 8), "was acknowledged at another offset");
    end();
}
END_TEST

START_TEST(what_was_refused_must_not_be_there)
{
    begin(2);
    is_good(ledger_answer(&ledger, 0, 1, LEDGER_REFUSED));
    is_wrong(ledger_see(&ledger, 0, 0), "was refused, and is there");
    is_good(ledger_see(&ledger, 1, 1));
    is_wrong(ledger_answer(&ledger, 1, 1, LEDGER_REFUSED), "was refused, and is there");
    end();
}
END_TEST

START_TEST(what_nobody_sent_is_found)
{
    begin(2);
    is_wrong(ledger_see(&ledger, 2, 0), "nobody sent it");
    end();
}
END_TEST

START_TEST(records_of_one_connection_stay_in_their_order)
{
    begin(4);
    ledger_send(&ledger, 2, 1);
    is_good(ledger_see(&ledger, 4, 0)); /* of the next connection: overtakes */
    is_good(ledger_see(&ledger, 1, 1));
    ck_assert_int_eq(ledger.late, 1);
    is_wrong(ledger_see(&ledger, 0, 2), "out of order on its connection");
    end();
}
END_TEST

START_TEST(acknowledged_offsets_ascend)
{
    begin(2);
    is_good(ledger_answer(&ledger, 0, 1, 9));
    is_wrong(ledger_answer(&ledger, 1, 1, 8), "acknowledged out of order");
    end();
}
END_TEST

/* Many times what it keeps open: memory stays, and nothing of this is forgotten. */
START_TEST(what_is_settled_makes_way_and_is_still_known)
{
    const int64_t rounds = 1000, part = 100;
    int64_t offset = 0, number = -1;

    begin(0);
    for (int64_t r = 0; r < rounds; r++) {
        int64_t first = r * part;
        bool is_lost = r % 50 == 49; /* the last of its connection */
        ledger_send(&ledger, part, (int32_t)(r / 50));
        is_good(ledger_answer(&ledger, first, part, is_lost ? LEDGER_UNKNOWN : offset));
        for (int64_t i = 0; !is_lost && i < part; i++)
            is_good(ledger_see(&ledger, first + i, offset++));
    }
    ck_assert_int_lt(ledger.capacity, 10000);
    ck_assert_int_le(ledger.odd_count, rounds / 50 * part);
    is_good(ledger_end(&ledger, &number));
    is_wrong(ledger_see(&ledger, 250, offset), "is there twice");
    is_good(ledger_see(&ledger, 49 * part, offset)); /* had no answer: it comes late */
    is_wrong(ledger_see(&ledger, 49 * part, offset + 1), "is there twice");
    is_wrong(ledger_see(&ledger, 49 * part - 1, offset + 1), "is there twice");
    end();
}
END_TEST

START_TEST(it_says_how_far_the_consumer_is_behind)
{
    begin(10);
    ck_assert_int_eq(ledger_ahead(&ledger), 0);
    is_good(ledger_answer(&ledger, 0, 4, 0));
    ck_assert_int_eq(ledger_ahead(&ledger), 4);
    is_good(ledger_see(&ledger, 0, 0));
    ck_assert_int_eq(ledger_ahead(&ledger), 3);
    end();
}
END_TEST

/* Folders of segments; a batch is its offset, a length and so many bytes. */
static char folders[3][160];

static void make_folders(void)
{
    char root[] = "/tmp/ottla-replicas-XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(root));
    for (int i = 0; i < 3; i++) {
        snprintf(folders[i], sizeof(folders[i]), "%s/%d", root, i);
        ck_assert_int_eq(mkdir(folders[i], 0700), 0);
    }
}

static void remove_folders(void)
{
    char command[256];

    snprintf(command, sizeof(command), "rm -r '%.*s'", (int)strlen(folders[0]) - 2, folders[0]);
    ck_assert_int_eq(system(command), 0);
}

/* Batches of one record from `first` to below `end` in one segment; that at `wrong` has another
 * byte. */
static void write_segment(int replica, int64_t first, int64_t end, int64_t wrong)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%020ld.log", folders[replica], (long)first);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    for (int64_t o = first; o < end; o++) {
        uint8_t batch[12 + 30];
        memset(batch, o == wrong ? 'x' : 'a' + (int)(o % 26), sizeof(batch));
        prim_store64(batch, (uint64_t)o);
        prim_store32(batch + 8, 30);
        ck_assert_uint_eq(fwrite(batch, sizeof(batch), 1, file), 1);
    }
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(replicas_are_compared_from_where_all_have_bytes)
{
    make_folders();
    write_segment(0, 0, 10, 3); /* below what the others have: nobody can tell */
    write_segment(0, 10, 20, -1);
    write_segment(1, 5, 12, -1);
    write_segment(1, 12, 20, -1);
    write_segment(2, 4, 20, -1);
    ck_assert(replicas_are_equal(folders, 3));
    remove_folders();
}
END_TEST

START_TEST(a_byte_that_differs_is_found)
{
    make_folders();
    write_segment(0, 0, 20, -1);
    write_segment(1, 5, 20, 17);
    write_segment(2, 0, 20, -1);
    ck_assert(!replicas_are_equal(folders, 3));
    remove_folders();
}
END_TEST

START_TEST(a_replica_that_ends_early_is_found)
{
    make_folders();
    write_segment(0, 0, 20, -1);
    write_segment(1, 0, 20, -1);
    write_segment(2, 0, 19, -1);
    ck_assert(!replicas_are_equal(folders, 3));
    remove_folders();
}
END_TEST

START_TEST(a_replica_without_segments_is_found)
{
    make_folders();
    write_segment(0, 0, 20, -1);
    write_segment(1, 0, 20, -1);
    ck_assert(!replicas_are_equal(folders, 3));
    remove_folders();
}
END_TEST

UNIT(what_was_acknowledged_and_not_seen_is_lost, what_was_never_answered_may_be_there_or_not,
     the_answer_and_the_sight_of_a_record_come_in_any_order,
     another_offset_than_the_acknowledged_one_is_found, what_was_refused_must_not_be_there,
     what_nobody_sent_is_found, records_of_one_connection_stay_in_their_order,
     acknowledged_offsets_ascend, what_is_settled_makes_way_and_is_still_known,
     it_says_how_far_the_consumer_is_behind, replicas_are_compared_from_where_all_have_bytes,
     a_byte_that_differs_is_found, a_replica_that_ends_early_is_found,
     a_replica_without_segments_is_found)
