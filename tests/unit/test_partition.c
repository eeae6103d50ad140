/* tests/unit/test_partition.c - roles, epochs and what they make of events. */
#include "broker/replica/partition.h"
#include "unit.h"

static const int32_t replicas[] = {1, 2, 3};

static struct partition_change change_to(int32_t leader, int32_t epoch, int32_t partition_epoch)
{
    return (struct partition_change){
        .self = 1,
        .leader = leader,
        .leader_epoch = epoch,
        .partition_epoch = partition_epoch,
        .replicas = replicas,
        .replica_count = 3,
        .isr = replicas,
        .isr_count = 2,
        .is_leader_alive = true,
    };
}

static struct partition_effects step(struct partition *partition, struct partition_event event)
{
    struct partition_effects out;

    partition_step(partition, &event, &out);
    return out;
}

static struct partition_effects apply(struct partition *partition, struct partition_change change)
{
    return step(partition, (struct partition_event){.type = PARTITION_CHANGED, .changed = &change});
}

static void open_partition(struct partition *partition, int64_t end, int64_t watermark)
{
    partition_init(partition, 1, INT64_C(30000000000));
    partition_opened(partition, 0, end, watermark);
}

START_TEST(leading_starts_an_epoch_at_the_end_of_the_log)
{
    struct partition partition;

    open_partition(&partition, 25, 20);
    struct partition_effects out = apply(&partition, change_to(1, 3, 7));
    ck_assert_int_eq(out.refused, ERR_OK);
    ck_assert(out.lead && out.wake && !out.follow && !out.resign && !out.unfollow);
    ck_assert_int_eq(partition.role, PARTITION_LEADER);
    ck_assert_int_eq(partition.isr.epoch_start, 25);
    ck_assert_int_eq(partition_high_watermark(&partition), 20); /* kept, not raised */
    ck_assert(partition_is_lagging(&partition));
    ck_assert_uint_eq(partition.isr.committed, 0x3); /* self is slot 0 */
    partition_fini(&partition);
}
END_TEST

START_TEST(old_and_equal_epochs_are_refused)
{
    struct partition partition;

    open_partition(&partition, 0, 0);
    apply(&partition, change_to(1, 3, 7));
    ck_assert_int_eq(apply(&partition, change_to(2, 2, 9)).refused, ERR_STALE_CONTROLLER_EPOCH);
    ck_assert_int_eq(apply(&partition, change_to(2, 3, 9)).refused, ERR_STALE_CONTROLLER_EPOCH);
    ck_assert_int_eq(partition.role, PARTITION_LEADER);
    partition_fini(&partition);
}
END_TEST

START_TEST(a_broker_that_is_no_replica_refuses)
{
    struct partition partition;
    struct partition_change change = change_to(2, 3, 7);

    open_partition(&partition, 0, 0);
    change.self = 9;
    ck_assert_int_eq(apply(&partition, change).refused, ERR_NOT_FOUND);
    ck_assert_int_eq(partition.leader_epoch, -1);
    partition_fini(&partition);
}
END_TEST

START_TEST(an_older_partition_epoch_is_skipped)
{
    struct partition partition;

    open_partition(&partition, 0, 0);
    apply(&partition, change_to(1, 3, 7));
    struct partition_effects out = apply(&partition, change_to(2, 4, 6));
    ck_assert_int_eq(out.refused, ERR_OK);
    ck_assert(!out.follow);
    ck_assert_int_eq(partition.leader_epoch, 3);
    partition_fini(&partition);
}
END_TEST

START_TEST(without_a_live_leader_nothing_changes_and_the_epoch_can_come_again)
{
    struct partition partition;
    struct partition_change change = change_to(2, 3, 7);

    open_partition(&partition, 5, 5);
    change.is_leader_alive = false;
    ck_assert(!apply(&partition, change).follow);
    ck_assert_int_eq(partition.role, PARTITION_NONE);
    change.is_leader_alive = true;
    struct partition_effects out = apply(&partition, change);
    ck_assert(out.follow);
    ck_assert_int_eq(partition.leader, 2);
    partition_fini(&partition);
}
END_TEST

START_TEST(losing_leadership_ends_what_waits)
{
    struct partition partition;

    open_partition(&partition, 0, 0);
    apply(&partition, change_to(1, 1, 1));
    struct partition_effects out = apply(&partition, change_to(2, 2, 2));
    ck_assert(out.resign && out.follow && out.wake);
    ck_assert_int_eq(partition_check(&partition, -1, true), ERR_NOT_LEADER);
    ck_assert_int_eq(partition_check(&partition, -1, false), ERR_OK);
    out = apply(&partition, change_to(1, 3, 3));
    ck_assert(out.lead && out.unfollow && !out.resign);
    partition_fini(&partition);
}
END_TEST

START_TEST(epochs_are_fenced_in_order)
{
    struct partition partition;

    open_partition(&partition, 0, 0);
    ck_assert_int_eq(partition_check(&partition, 1, false), ERR_NOT_LEADER);
    apply(&partition, change_to(2, 5, 1));
    ck_assert_int_eq(partition_check(&partition, 4, true), ERR_FENCED_EPOCH);
    ck_assert_int_eq(partition_check(&partition, 6, true), ERR_UNKNOWN_EPOCH);
    ck_assert_int_eq(partition_check(&partition, 5, true), ERR_NOT_LEADER);
    ck_assert_int_eq(partition_check(&partition, 5, false), ERR_OK);
    step(&partition, (struct partition_event){.type = PARTITION_FAILED});
    ck_assert_int_eq(partition_check(&partition, 5, false), ERR_OFFLINE);
    ck_assert_int_eq(apply(&partition, change_to(1, 9, 9)).refused, ERR_OFFLINE);
    partition_fini(&partition);
}
END_TEST

START_TEST(a_follower_takes_the_leaders_watermark_even_backwards)
{
    struct partition partition;
    struct partition_event event = {
        .type = PARTITION_REPLICATED,
        .replicated = {.end_offset = 11, .leader_watermark = 10, .leader_log_start = -1},
    };

    open_partition(&partition, 10, 10);
    apply(&partition, change_to(2, 1, 1));
    struct partition_effects out = step(&partition, event);
    ck_assert(out.end_moved && !out.watermark_moved);
    event.replicated.leader_watermark = 50; /* no more than we have */
    out = step(&partition, event);
    ck_assert(out.watermark_moved && !out.end_moved);
    ck_assert_int_eq(partition_high_watermark(&partition), 11);
    event.replicated.leader_watermark = 7;
    ck_assert(step(&partition, event).watermark_moved);
    ck_assert_int_eq(partition_high_watermark(&partition), 7);
    partition_fini(&partition);
}
END_TEST

START_TEST(the_log_start_follows_the_watermark_and_not_before)
{
    struct partition partition;
    struct partition_event event = {
        .type = PARTITION_REPLICATED,
        .replicated = {.end_offset = 20, .leader_watermark = 12, .leader_log_start = 15},
    };

    open_partition(&partition, 10, 10);
    apply(&partition, change_to(2, 1, 1));
    ck_assert(!step(&partition, event).raise_log_start); /* 15 is above our watermark */
    event.replicated.leader_watermark = 18;
    struct partition_effects out = step(&partition, event);
    ck_assert(out.raise_log_start);
    ck_assert_int_eq(out.log_start, 15);
    partition_fini(&partition);
}
END_TEST

START_TEST(truncation_takes_the_watermark_along)
{
    struct partition partition;

    open_partition(&partition, 20, 18);
    apply(&partition, change_to(2, 1, 1));
    struct partition_effects out =
        step(&partition, (struct partition_event){.type = PARTITION_TRUNCATED,
                                                  .truncated = {.end_offset = 15}});
    ck_assert(out.watermark_moved && out.wake);
    ck_assert_int_eq(partition.end_offset, 15);
    ck_assert_int_eq(partition_high_watermark(&partition), 15);
    partition_fini(&partition);
}
END_TEST

START_TEST(acks_all_with_two_followers_step_by_step)
{
    /* replication.md 5.5 */
    struct partition partition;
    struct partition_event append = {.type = PARTITION_APPENDED, .appended.end_offset = 11};
    struct partition_event fetch = {.type = PARTITION_FETCHED};

    open_partition(&partition, 10, 10);
    apply(&partition, change_to(1, 1, 1)); /* ISR 1, 2 */
    fetch.fetched = (struct isr_fetched){.slot = 1, .fetch_offset = 10, .leader_end = 10};
    step(&partition, fetch);
    ck_assert(!step(&partition, append).watermark_moved);
    fetch.fetched = (struct isr_fetched){.slot = 1, .fetch_offset = 11, .leader_end = 11};
    ck_assert(step(&partition, fetch).watermark_moved);
    ck_assert_int_eq(partition_high_watermark(&partition), 11);
    partition_fini(&partition);
}
END_TEST

START_TEST(the_controllers_answer_names_brokers)
{
    static const int32_t both[] = {3, 1};
    struct partition partition;
    struct partition_event fetch = {.type = PARTITION_FETCHED, .alive = 0x7};
    struct partition_change change = change_to(1, 1, 5);

    open_partition(&partition, 10, 10);
    change.isr_count = 1;
    apply(&partition, change);
    fetch.fetched = (struct isr_fetched){.slot = 2, .fetch_offset = 10, .leader_end = 10};
    ck_assert(step(&partition, fetch).isr.propose);
    struct partition_event decided = {
        .type = PARTITION_DECIDED,
        .decided = {.isr = {.says = ISR_SAYS_COMMITTED, .leader_epoch = 1, .partition_epoch = 6},
                    .brokers = both,
                    .broker_count = 2},
    };
    ck_assert(step(&partition, decided).isr.is_grown);
    ck_assert_uint_eq(partition.isr.committed, 0x5);
    ck_assert_int_eq(partition.partition_epoch, 6); /* older LeaderAndIsr is skipped from now on */
    partition_fini(&partition);
}
END_TEST

START_TEST(stopping_ends_every_role)
{
    struct partition partition;

    open_partition(&partition, 0, 0);
    apply(&partition, change_to(2, 1, 1));
    struct partition_effects out =
        step(&partition, (struct partition_event){.type = PARTITION_STOPPED});
    ck_assert(out.unfollow && out.wake && !out.resign);
    ck_assert_int_eq(partition_check(&partition, -1, false), ERR_NOT_LEADER);
    ck_assert_int_eq(partition.leader_epoch, 1); /* and the epoch is remembered */
    ck_assert_int_eq(apply(&partition, change_to(1, 1, 2)).refused, ERR_STALE_CONTROLLER_EPOCH);
    ck_assert(instant_is_never(partition_deadline(&partition)));
    partition_fini(&partition);
}
END_TEST

UNIT(leading_starts_an_epoch_at_the_end_of_the_log, old_and_equal_epochs_are_refused,
     a_broker_that_is_no_replica_refuses, an_older_partition_epoch_is_skipped,
     without_a_live_leader_nothing_changes_and_the_epoch_can_come_again,
     losing_leadership_ends_what_waits, epochs_are_fenced_in_order,
     a_follower_takes_the_leaders_watermark_even_backwards,
     the_log_start_follows_the_watermark_and_not_before, truncation_takes_the_watermark_along,
     acks_all_with_two_followers_step_by_step, the_controllers_answer_names_brokers,
     stopping_ends_every_role)
