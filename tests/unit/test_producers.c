/* Sequences, duplicates, epochs, transactions: what a leader lets in, and what a snapshot keeps. */
#include "broker/log/producers.h"
#include "base/prng.h"
#include "unit.h"

static struct producers all;
static int64_t end_offset; /* of the log that is thought of */

static void begin(void)
{
    producers_init(&all);
    end_offset = 0;
}
static void end(void)
{
    producers_audit(&all);
    producers_fini(&all);
}

/* `count` records from sequence `first`. */
static struct producers_batch data(int64_t id, int16_t epoch, int32_t first, int32_t count)
{
    int64_t last = (int64_t)first + count - 1;
    return (struct producers_batch){
        .producer_id = id,
        .epoch = epoch,
        .first_sequence = first,
        .last_sequence = (int32_t)(last > INT32_MAX ? last - INT32_MAX - 1 : last),
        .first_offset = end_offset,
        .last_offset = end_offset + count - 1,
        .timestamp = 1000 + end_offset,
        .coordinator_epoch = -1,
    };
}
static struct producers_batch in_txn(int64_t id, int16_t epoch, int32_t first, int32_t count)
{
    struct producers_batch batch = data(id, epoch, first, count);
    batch.is_transactional = true;
    return batch;
}
static struct producers_batch marker(int64_t id, int16_t epoch, enum producers_marker type,
                                     int32_t coordinator_epoch)
{
    struct producers_batch batch = data(id, epoch, -1, 1);
    batch.last_sequence = -1;
    batch.is_transactional = true;
    batch.marker = type;
    batch.coordinator_epoch = coordinator_epoch;
    return batch;
}

static struct producers_known known;
static enum err check(struct producers_batch batch)
{
    return producers_check(&all, batch.first_sequence >= 0, &batch, &known);
}
static struct producers_ended ended;
static bool note(struct producers_batch batch)
{
    bool has_ended = producers_note(&all, &batch, &ended);
    end_offset = batch.last_offset + 1;
    producers_audit(&all);
    return has_ended;
}
static void add(struct producers_batch batch)
{
    ck_assert_int_eq(check(batch), ERR_OK);
    note(batch);
}
/* What a restart knows. */
static void restart(int64_t now_ms)
{
    struct buf bytes;

    buf_init(&bytes);
    producers_write(&all, &bytes);
    producers_clear(&all);
    ck_assert_int_eq(producers_read(&all, buf_slice(&bytes), now_ms, 86400000), ERR_OK);
    producers_audit(&all);
    buf_fini(&bytes);
}

START_TEST(sequences_go_on_without_gap)
{
    begin();
    add(data(7, 0, 0, 10));
    ck_assert_int_eq(check(data(7, 0, 11, 1)), ERR_SEQUENCE); /* a gap */
    ck_assert_int_eq(check(data(7, 0, 5, 5)), ERR_SEQUENCE);  /* another cut of what is there */
    add(data(7, 0, 10, 1));
    ck_assert_int_eq(check(data(7, 0, 0, 1)), ERR_SEQUENCE); /* 0 only after the last of all */
    end();
}
END_TEST

START_TEST(an_unknown_producer_may_begin_anywhere)
{
    begin();
    add(data(7, 3, 4711, 2));
    add(data(7, 3, 4713, 1));
    end();
}
END_TEST

START_TEST(sequences_wrap_to_zero)
{
    begin();
    add(data(7, 0, INT32_MAX - 2, 3));
    ck_assert_int_eq(check(data(7, 0, 1, 1)), ERR_SEQUENCE);
    add(data(7, 0, 0, 4));
    add(data(7, 0, 4, 1));
    end();

    begin();
    struct producers_batch around = data(7, 0, INT32_MAX - 1, 5); /* …646, …647, 0, 1, 2 */
    ck_assert_int_eq(around.last_sequence, 2);
    add(around);
    ck_assert_int_eq(check(around), ERR_EXISTS);
    ck_assert_int_eq(known.first_offset, 0);
    ck_assert_int_eq(known.last_offset, 4);
    add(data(7, 0, 3, 1));
    end();
}
END_TEST

START_TEST(the_last_five_batches_are_known_again)
{
    begin();
    for (int i = 0; i < 6; i++)
        add(data(7, 0, i * 10, 10));
    for (int i = 1; i < 6; i++) {
        ck_assert_int_eq(check(data(7, 0, i * 10, 10)), ERR_EXISTS);
        ck_assert_int_eq(known.first_offset, i * 10);
        ck_assert_int_eq(known.last_offset, i * 10 + 9);
        ck_assert_int_eq(known.timestamp, 1000 + i * 10);
    }
    ck_assert_int_eq(check(data(7, 0, 0, 10)), ERR_SEQUENCE); /* the sixth is forgotten */
    ck_assert_int_eq(check(data(7, 0, 10, 9)),
                     ERR_SEQUENCE);                      /* and another shape is another batch */
    ck_assert_int_eq(check(data(8, 0, 10, 10)), ERR_OK); /* of another producer */
    end();
}
END_TEST

START_TEST(a_new_epoch_begins_at_zero_and_fences_the_old)
{
    begin();
    add(data(7, 1, 0, 5));
    ck_assert_int_eq(check(data(7, 2, 5, 1)), ERR_SEQUENCE);
    ck_assert_int_eq(check(data(7, 0, 0, 5)), ERR_PRODUCER_EPOCH);
    add(data(7, 2, 0, 5));
    ck_assert_int_eq(check(data(7, 1, 0, 5)), ERR_PRODUCER_EPOCH); /* no duplicate of its epoch */
    ck_assert_int_eq(check(data(7, 2, 0, 5)), ERR_EXISTS);
    end();
}
END_TEST

START_TEST(a_coordinator_is_asked_for_epochs_alone)
{
    begin();
    struct producers_batch commit = in_txn(7, 1, -1, 3); /* offsets that a transaction commits */
    commit.first_sequence = commit.last_sequence = -1;
    add(commit);
    commit.epoch = 0;
    ck_assert_int_eq(check(commit), ERR_PRODUCER_EPOCH);
    ck_assert_int_eq(check(marker(7, 0, PRODUCERS_COMMIT, 0)), ERR_PRODUCER_EPOCH);
    ck_assert(note(marker(7, 1, PRODUCERS_COMMIT, 5)));
    ck_assert_int_eq(check(marker(7, 1, PRODUCERS_COMMIT, 4)), ERR_COORDINATOR_FENCED);
    ck_assert_int_eq(check(marker(7, 1, PRODUCERS_COMMIT, 5)), ERR_OK);
    end();
}
END_TEST

START_TEST(after_a_marker_of_a_new_epoch_sequences_begin_anew)
{
    begin();
    add(in_txn(7, 0, 0, 5));
    ck_assert(note(marker(7, 1, PRODUCERS_ABORT, 0))); /* the coordinator has fenced it */
    ck_assert_int_eq(check(in_txn(7, 0, 5, 1)), ERR_PRODUCER_EPOCH);
    ck_assert_int_eq(check(in_txn(7, 1, 1, 1)), ERR_SEQUENCE);
    add(in_txn(7, 1, 0, 1));
    end();
}
END_TEST

START_TEST(data_outside_an_open_transaction_is_refused)
{
    begin();
    add(in_txn(7, 0, 0, 1));
    ck_assert_int_eq(check(data(7, 0, 1, 1)), ERR_TXN_STATE);
    note(marker(7, 0, PRODUCERS_COMMIT, 0));
    ck_assert_int_eq(check(data(7, 0, 1, 1)), ERR_OK);
    end();
}
END_TEST

START_TEST(what_is_open_or_not_replicated_is_not_stable)
{
    begin();
    ck_assert_int_eq(producers_first_unstable(&all), -1);
    add(data(1, 0, 0, 5));
    ck_assert_int_eq(producers_first_unstable(&all), -1);
    add(in_txn(2, 0, 0, 5)); /* 5 … 9 */
    add(in_txn(3, 0, 0, 5)); /* 10 … 14 */
    add(in_txn(2, 0, 5, 5)); /* 15 … 19 */
    ck_assert_int_eq(producers_first_unstable(&all), 5);
    ck_assert(note(marker(2, 0, PRODUCERS_ABORT, 0))); /* 20 */
    ck_assert_int_eq(ended.producer_id, 2);
    ck_assert_int_eq(ended.first_offset, 5);
    ck_assert_int_eq(ended.last_offset, 20);
    ck_assert_int_eq(ended.last_stable, 10); /* 3 is open */
    ck_assert(ended.is_aborted);
    ck_assert_int_eq(producers_first_unstable(&all), 5);
    producers_replicated(&all, 20); /* the marker itself is not below */
    ck_assert_int_eq(producers_first_unstable(&all), 5);
    producers_replicated(&all, 21);
    ck_assert_int_eq(producers_first_unstable(&all), 10);
    ck_assert(note(marker(3, 0, PRODUCERS_COMMIT, 0))); /* 21 */
    ck_assert_int_eq(ended.last_stable, 22);
    ck_assert(!ended.is_aborted);
    producers_replicated(&all, 22);
    ck_assert_int_eq(producers_first_unstable(&all), -1);
    ck_assert(!note(marker(3, 0, PRODUCERS_COMMIT, 0))); /* nothing was open */
    ck_assert_int_eq(producers_first_unstable(&all), -1);
    end();
}
END_TEST

START_TEST(a_snapshot_keeps_the_last_batch_the_epoch_and_the_open_transaction)
{
    begin();
    add(data(1, 4, 0, 5));
    add(data(1, 4, 5, 5));
    add(in_txn(3, 0, 0, 2)); /* 10, 11 */
    add(in_txn(2, 9, 0, 2)); /* 12, 13 */
    note(marker(5, 1, PRODUCERS_COMMIT, 77));
    restart(2000);
    ck_assert_int_eq(all.count, 4);
    ck_assert_int_eq(check(data(1, 4, 5, 5)), ERR_EXISTS);
    ck_assert_int_eq(known.first_offset, 5);
    ck_assert_int_eq(known.last_offset, 9);
    ck_assert_int_eq(check(data(1, 4, 0, 5)), ERR_SEQUENCE); /* the one before is not kept */
    ck_assert_int_eq(check(data(1, 4, 10, 1)), ERR_OK);
    ck_assert_int_eq(check(data(1, 3, 10, 1)), ERR_PRODUCER_EPOCH);
    ck_assert_int_eq(producers_first_unstable(&all), 10); /* though 2 comes before 3 in the file */
    ck_assert_int_eq(check(marker(5, 1, PRODUCERS_COMMIT, 76)), ERR_COORDINATOR_FENCED);
    ck_assert(note(marker(3, 0, PRODUCERS_ABORT, 0)));
    ck_assert_int_eq(ended.last_stable, 12);
    end();
}
END_TEST

/* The bytes, by hand: storage reference §8.2. */
START_TEST(the_file_is_kafkas)
{
    static const uint8_t expected[] = {
        0,    1,    0x19, 0xfe, 0xbc, 0x42, 0,    0,    0,    1, /* version, checksum, count */
        0,    0,    0,    0,    0,    0,    0x12, 0x34, 0,    2, /* id, epoch */
        0,    0,    0,    6,    0,    0,    0,    0,    0,    0,    0,    2,    0,
        0,    0,    2, /* last sequence, offset, delta */
        0,    0,    0,    0,    0,    0,    3,    0xe8, 0xff, 0xff, 0xff, 0xff, /* timestamp,
                                                                                   coordinator epoch
                                                                                 */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,                         /* no transaction */
    };
    struct buf bytes;

    begin();
    buf_init(&bytes);
    add(data(0x1234, 2, 4, 3));
    producers_write(&all, &bytes);
    ck_assert_uint_eq(bytes.len, sizeof(expected));
    ck_assert_mem_eq(bytes.ptr, expected, 2);
    ck_assert_mem_eq(bytes.ptr + 6, expected + 6, sizeof(expected) - 6);
    ck_assert_mem_eq(bytes.ptr, expected, sizeof(expected));
    producers_clear(&all);
    ck_assert_int_eq(producers_read(&all, slice_of(expected, sizeof(expected)), 0, 1), ERR_OK);
    ck_assert_int_eq(all.count, 1);
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(a_damaged_file_is_refused_whole)
{
    struct buf bytes;

    begin();
    buf_init(&bytes);
    for (int i = 0; i < 5; i++)
        add(in_txn(i, 0, 0, 1));
    producers_write(&all, &bytes);
    producers_clear(&all);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.ptr[i] ^= 0x10;
        ck_assert_int_eq(producers_read(&all, buf_slice(&bytes), 0, 1), ERR_CORRUPT);
        ck_assert_int_eq(all.count, 0);
        bytes.ptr[i] ^= 0x10;
        ck_assert_int_eq(producers_read(&all, slice_of(bytes.ptr, i), 0, 1), ERR_CORRUPT);
        producers_audit(&all);
    }
    buf_fini(&bytes);
    end();
}
END_TEST

START_TEST(the_silent_are_forgotten_by_their_own_clock)
{
    begin();
    struct producers_batch old = data(1, 0, 0, 1), young = data(2, 0, 0, 1),
                           ahead = data(3, 0, 0, 1);
    struct producers_batch open = in_txn(4, 0, 0, 1);
    old.timestamp = 1000;
    young.timestamp = 1001;
    ahead.timestamp = INT64_MAX;
    open.timestamp = 0;
    note(old);
    note(young);
    note(ahead);
    note(open);
    ck_assert_int_eq(producers_expire(&all, 1999, 1000), 0);
    ck_assert_int_eq(producers_expire(&all, 2000, 1000), 1);
    ck_assert_int_eq(check(data(1, 0, 99, 1)), ERR_OK); /* unknown again */
    ck_assert_int_eq(check(data(2, 0, 99, 1)), ERR_SEQUENCE);
    restart(2001 + 86400000 - 1000 - 1);
    ck_assert_int_eq(all.count, 3);
    restart(2001 + 86400000 - 1000);
    ck_assert_int_eq(all.count, 2); /* an open transaction is never forgotten */
    ck_assert_int_eq(check(data(4, 0, 1, 1)), ERR_TXN_STATE);
    end();
}
END_TEST

START_TEST(memory_is_bounded_whoever_comes)
{
    begin();
    add(in_txn(INT32_MAX, 0, 0, 1));
    add(data(5, 0, 0, 1));
    for (int i = 0; i < PRODUCERS_MAX + 10; i++) {
        struct producers_batch batch = data(10 + i, 0, 0, 1);
        ck_assert_int_eq(check(batch), ERR_OK);
        producers_note(&all, &batch, &ended);
        end_offset++;
        if (i % 1000 == 0) note(data(5, 0, 1 + i / 1000, 1)); /* goes on, and is not silent */
    }
    ck_assert_int_eq(all.count, PRODUCERS_MAX);
    ck_assert_int_eq(check(data(10, 0, 7, 1)), ERR_OK); /* the most silent has been forgotten */
    ck_assert_int_eq(check(data(5, 0, 1000, 1)), ERR_SEQUENCE);
    ck_assert_int_eq(check(data(INT32_MAX, 0, 1, 1)), ERR_TXN_STATE);
    end();
}
END_TEST

/* Leader, follower and a leader that restarted half way agree on what is open and who is where. */
START_TEST(leader_follower_and_restart_agree)
{
    struct producers follower;
    struct producers_ended other;
    struct prng prng;

    for (uint64_t seed = 0; seed < 50; seed++) {
        int32_t next[8] = {0};
        int16_t epochs[8] = {0};
        bool is_open[8] = {0};

        begin();
        producers_init(&follower);
        prng_init_named(&prng, seed, "producers");
        for (int step = 0; step < 300; step++) {
            int id = (int)prng_below(&prng, 8);
            struct producers_batch batch;
            if (is_open[id] && prng_below(&prng, 4) == 0) {
                if (prng_below(&prng, 5) == 0) epochs[id]++, next[id] = 0;
                batch = marker(id, epochs[id],
                               prng_below(&prng, 2) == 0 ? PRODUCERS_ABORT : PRODUCERS_COMMIT, 1);
                is_open[id] = false;
            } else {
                int32_t count = 1 + (int32_t)prng_below(&prng, 5);
                bool joins = is_open[id] || prng_below(&prng, 3) == 0;
                batch = joins ? in_txn(id, epochs[id], next[id], count)
                              : data(id, epochs[id], next[id], count);
                is_open[id] = joins;
                next[id] += count;
            }
            add(batch);
            producers_note(&follower, &batch, &other);
            if (prng_below(&prng, 50) == 0) {
                producers_replicated(&all, end_offset);
                producers_replicated(&follower, end_offset);
                restart(0);
            }
        }
        producers_replicated(&all, end_offset);
        producers_replicated(&follower, end_offset);
        ck_assert_int_eq(producers_first_unstable(&all), producers_first_unstable(&follower));
        ck_assert_int_eq(all.count, follower.count);
        for (int32_t i = 0; i < all.count; i++) {
            struct producers_view a = producers_at(&all, i), b = producers_at(&follower, i);
            ck_assert_int_eq(a.producer_id, b.producer_id);
            ck_assert_int_eq(a.epoch, b.epoch);
            ck_assert_int_eq(a.last_sequence, b.last_sequence);
            ck_assert_int_eq(a.last_timestamp, b.last_timestamp);
            ck_assert_int_eq(a.txn_first_offset, b.txn_first_offset);
            ck_assert_int_eq(a.coordinator_epoch, b.coordinator_epoch);
        }
        producers_audit(&follower);
        producers_fini(&follower);
        end();
    }
}
END_TEST

UNIT(sequences_go_on_without_gap, an_unknown_producer_may_begin_anywhere, sequences_wrap_to_zero,
     the_last_five_batches_are_known_again, a_new_epoch_begins_at_zero_and_fences_the_old,
     a_coordinator_is_asked_for_epochs_alone, after_a_marker_of_a_new_epoch_sequences_begin_anew,
     data_outside_an_open_transaction_is_refused, what_is_open_or_not_replicated_is_not_stable,
     a_snapshot_keeps_the_last_batch_the_epoch_and_the_open_transaction, the_file_is_kafkas,
     a_damaged_file_is_refused_whole, the_silent_are_forgotten_by_their_own_clock,
     memory_is_bounded_whoever_comes, leader_follower_and_restart_agree)
