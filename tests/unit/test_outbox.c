#include "controller/outbox.h"
#include "tests/unit/unit.h"

static struct context context;
static struct partition *partition;
static struct control_batch *batch;

static struct ids ids(int32_t a, int32_t b)
{
    struct ids out = {0};

    ids_add(&out, a);
    if (b != 0) ids_add(&out, b);
    return out;
}

static void begin(void)
{
    const struct context_config config = {.id = 9, .inter_broker_listener = "PLAINTEXT"};

    context_init(&context, &config, 1);
    context.epoch = 3;
    for (int32_t id = 1; id <= 3; id++)
        context_add_broker(&context, id)->epoch = 100 + id;
    struct topic *topic = context_add_topic(&context, SLICE("orders"));
    partition = topic_add_partition(&context, topic, 0);
    struct leadership now = {.leader = 1, .leader_epoch = 4, .isr = ids(1, 2)};
    partition_set_leadership(partition, &now);
    leadership_fini(&now);
    partition->replicas = ids(1, 2);
}

static void add(int32_t a, int32_t b, bool is_new)
{
    struct ids to = ids(a, b);

    outbox_leader_and_isr(&context, &to, partition, is_new);
    ids_fini(&to);
}

/* The batch that leaves, or NULL. */
static struct control_batch *sent(void)
{
    outbox_send(&context);
    struct effect *effect = context_take(&context);
    batch = NULL;
    if (effect != NULL) {
        ck_assert_int_eq(effect->type, EFFECT_CONTROL);
        batch = effect->batch;
        effect->batch = NULL;
        effect_destroy(&effect);
    }
    return batch;
}

static void end(void)
{
    outbox_batch_destroy(&batch);
    context_fini(&context);
}

static void expect(int32_t place, enum control_kind kind, int32_t broker)
{
    ck_assert_int_lt(place, batch->count);
    ck_assert_int_eq(batch->at[place].kind, kind);
    ck_assert_int_eq(batch->at[place].broker, broker);
    ck_assert_int_eq(batch->at[place].broker_epoch, 100 + broker);
    ck_assert_int_eq(batch->at[place].controller_epoch, 3);
}

START_TEST(leader_and_isr_goes_first_then_metadata_to_all_then_stops)
{
    begin();
    outbox_stop(&context, 3, partition, true);
    add(2, 1, false);
    ck_assert_ptr_nonnull(sent());
    ck_assert_int_eq(batch->count, 6);
    expect(0, CONTROL_LEADER_AND_ISR, 1);
    expect(1, CONTROL_LEADER_AND_ISR, 2);
    expect(2, CONTROL_UPDATE_METADATA, 1);
    expect(3, CONTROL_UPDATE_METADATA, 2);
    expect(4, CONTROL_UPDATE_METADATA, 3);
    expect(5, CONTROL_STOP_REPLICA, 3);
    end();
}
END_TEST

START_TEST(a_partition_is_told_once_and_new_sticks)
{
    begin();
    add(1, 0, true);
    add(1, 0, false);
    sent();
    ck_assert_int_eq(batch->at[0].count, 1);
    ck_assert(batch->at[0].items[0].is_new);
    end();
}
END_TEST

START_TEST(the_dead_and_the_suspect_are_not_told)
{
    begin();
    context_remove_broker(&context, 1);
    context_broker(&context, 2)->is_suspect = true;
    add(1, 2, false);
    outbox_stop(&context, 2, partition, false);
    sent();
    ck_assert_int_eq(batch->count, 1);
    expect(0, CONTROL_UPDATE_METADATA, 3);
    ck_assert_int_eq(batch->at[0].live_count, 1);
    end();
}
END_TEST

START_TEST(what_is_sent_is_what_holds_at_the_end)
{
    begin();
    add(1, 2, false);
    partition->now.leader_epoch = 9;
    sent();
    ck_assert_int_eq(batch->at[0].items[0].partition->leader_epoch, 9);
    end();
}
END_TEST

START_TEST(a_stop_says_deletion_epoch_or_none)
{
    begin();
    outbox_stop(&context, 1, partition, false);
    sent();
    ck_assert_int_eq(batch->at[0].items[0].leader_epoch, 4);
    outbox_batch_destroy(&batch);

    partition->has_leadership = false;
    outbox_stop(&context, 1, partition, false);
    sent();
    ck_assert_int_eq(batch->at[0].items[0].leader_epoch, -1);
    outbox_batch_destroy(&batch);

    partition->topic->is_deleting = true;
    partition_hosted(partition, 1)->deletion = 5;
    outbox_stop(&context, 1, partition, true);
    sent();
    ck_assert_int_eq(batch->at[0].items[0].leader_epoch, -2);
    ck_assert_uint_eq(batch->at[0].items[0].deletion, 5);
    ck_assert(batch->at[0].items[0].is_delete);
    end();
}
END_TEST

START_TEST(metadata_of_a_topic_that_goes_says_so)
{
    struct ids to = ids(1, 0);

    begin();
    partition->topic->is_deleting = true;
    outbox_update(&context, &to, partition);
    sent();
    ck_assert_int_eq(batch->at[0].items[0].partition->leader, -2);
    ck_assert_int_eq(batch->at[0].items[0].partition->leader_epoch, 0);
    ids_fini(&to);
    end();
}
END_TEST

START_TEST(metadata_without_partitions_is_sent_and_nothing_is_not)
{
    struct ids to = ids(2, 3);

    begin();
    ck_assert_ptr_null(sent());
    outbox_update_brokers(&context, &to);
    sent();
    ck_assert_int_eq(batch->count, 2);
    ck_assert_int_eq(batch->at[0].count, 0);
    ck_assert_int_eq(batch->at[0].live_count, 3);
    ck_assert(outbox_is_empty(context.outbox));
    ids_fini(&to);
    end();
}
END_TEST

UNIT(leader_and_isr_goes_first_then_metadata_to_all_then_stops,
     a_partition_is_told_once_and_new_sticks, the_dead_and_the_suspect_are_not_told,
     what_is_sent_is_what_holds_at_the_end, a_stop_says_deletion_epoch_or_none,
     metadata_of_a_topic_that_goes_says_so, metadata_without_partitions_is_sent_and_nothing_is_not)
