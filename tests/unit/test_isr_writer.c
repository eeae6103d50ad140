/* A leader writes its ISR into ZooKeeper: what it asks, and what it makes of the answers. */
#include "broker/api/isr_writer.h"
#include "fake_zk.h"

#define STATE "/brokers/topics/t/partitions/3/state"
#define WANTED                                                                                     \
    "{\"controller_epoch\":7,\"leader\":1,\"version\":1,\"leader_epoch\":4,\"isr\":[1,3]}"

static struct isr_writer *writer;
static int decided;

static void on_decided(void *owner, struct isr_write *write)
{
    (void)owner;
    (void)write;
    decided++;
}

static const int32_t isr[] = {1, 3};

static struct isr_write change(void)
{
    return (struct isr_write){.topic = SLICE("t"),
                              .partition = 3,
                              .leader_epoch = 4,
                              .partition_epoch = 10,
                              .controller_epoch = 7,
                              .isr = isr,
                              .isr_count = 2,
                              .verdict = ISR_RETRY};
}

static void begin(void)
{
    fake_begin();
    decided = 0;
    writer = isr_writer_create(
        &(struct isr_writer_options){.shard = &fake.shard, .broker_id = 1, .decided = on_decided});
    isr_writer_set_zk(writer, fake.zk);
}

static void end(void)
{
    isr_writer_set_zk(writer, NULL);
    fake_end();
    isr_writer_destroy(&writer);
}

static struct zk_result version(int32_t at)
{
    return (struct zk_result){.stat = {.version = at}};
}

static struct zk_result stands(const char *json, int32_t at)
{
    return (struct zk_result){.stat = {.version = at}, .data = slice_text(json)};
}

START_TEST(the_state_is_written_under_the_version_that_is_known)
{
    struct isr_write write = change();

    begin();
    isr_writer_add(writer, &write);
    fake_run();
    ck_assert_str_eq(fake_request(0), "set:" STATE "=" WANTED);
    ck_assert_int_eq(fake.requests[0]->ops[0].version, 10);
    ck_assert_int_eq(decided, 0);
    fake_answer(ERR_OK, version(11));
    ck_assert_int_eq(decided, 1);
    ck_assert_int_eq(write.verdict, ISR_COMMITTED);
    ck_assert_int_eq(write.partition_epoch, 11);
    end();
}
END_TEST

/* The answer to our own write was lost; sent again it meets what it has written itself. */
START_TEST(another_version_with_our_own_words_is_our_success)
{
    struct isr_write write = change();

    begin();
    isr_writer_add(writer, &write);
    fake_run();
    fake_answer(ERR_ZK_VERSION, version(0));
    ck_assert_int_eq(decided, 0);
    ck_assert_str_eq(fake_request(0), "get:" STATE);
    fake_answer(ERR_OK, stands(WANTED, 11));
    ck_assert_int_eq(write.verdict, ISR_COMMITTED);
    ck_assert_int_eq(write.partition_epoch, 11);
    end();
}
END_TEST

START_TEST(another_version_with_other_words_waits_for_the_controller)
{
    static const char *const others[] = {
        "{\"controller_epoch\":7,\"leader\":1,\"version\":1,\"leader_epoch\":5,\"isr\":[1,3]}",
        "{\"controller_epoch\":8,\"leader\":1,\"version\":1,\"leader_epoch\":4,\"isr\":[1,3]}",
        "{\"controller_epoch\":7,\"leader\":2,\"version\":1,\"leader_epoch\":4,\"isr\":[1,3]}",
        "{\"controller_epoch\":7,\"leader\":1,\"version\":1,\"leader_epoch\":4,\"isr\":[1]}",
        "{\"controller_epoch\":7,\"leader\":1,\"version\":1,\"leader_epoch\":4,\"isr\":[1,2]}",
        "{\"controller_epoch\":7,\"leader\":1,\"version\":1,\"leader_epoch\":4,\"isr\":[1,3],"
        "\"leader_recovery_state\":1}",
        "nonsense"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct isr_write write = change();
        begin();
        isr_writer_add(writer, &write);
        fake_run();
        fake_answer(ERR_ZK_VERSION, version(0));
        fake_answer(ERR_OK, stands(others[i], 11));
        ck_assert_int_eq(decided, 1);
        ck_assert_msg(write.verdict == ISR_UNKNOWN, "%s", others[i]);
        ck_assert_int_eq(write.partition_epoch, 10);
        end();
    }
}
END_TEST

START_TEST(a_topic_that_is_gone_decides_nothing)
{
    struct isr_write write = change();

    begin();
    isr_writer_add(writer, &write);
    fake_run();
    fake_answer(ERR_NOT_FOUND, version(0));
    ck_assert_int_eq(write.verdict, ISR_UNKNOWN);
    end();
}
END_TEST

/* The session ends with the write under way: it has happened or not, and the next session tells. */
START_TEST(a_session_that_ends_leaves_the_write_for_the_next)
{
    struct isr_write write = change();

    begin();
    isr_writer_add(writer, &write);
    fake_run();
    ck_assert_int_eq(fake.count, 1);
    isr_writer_set_zk(writer, NULL);
    fake_state(ZK_SESSION_EXPIRED);
    fake_run();
    ck_assert_int_eq(decided, 0);
    fake_state(ZK_SESSION_CONNECTED);
    isr_writer_set_zk(writer, fake.zk);
    fake_run();
    ck_assert_str_eq(fake_request(0), "set:" STATE "=" WANTED);
    fake_answer(ERR_ZK_VERSION, version(0));
    fake_answer(ERR_OK, stands(WANTED, 11));
    ck_assert_int_eq(write.verdict, ISR_COMMITTED);
    end();
}
END_TEST

START_TEST(the_controller_is_told_when_it_is_quiet_or_late)
{
    struct instant t0 = {0};

    ck_assert(!isr_writer_is_due(t0, t0, instant_add_ms(t0, 5000)));
    ck_assert(isr_writer_is_due(t0, t0, instant_add_ms(t0, 5001)));
    /* It goes on changing: once a minute all the same. */
    struct instant t60 = instant_add_ms(t0, 60000);
    ck_assert(!isr_writer_is_due(t60, t0, t60));
    ck_assert(isr_writer_is_due(t60, t0, instant_add_ms(t60, 1)));
}
END_TEST

UNIT(the_state_is_written_under_the_version_that_is_known,
     another_version_with_our_own_words_is_our_success,
     another_version_with_other_words_waits_for_the_controller,
     a_topic_that_is_gone_decides_nothing, a_session_that_ends_leaves_the_write_for_the_next,
     the_controller_is_told_when_it_is_quiet_or_late)
