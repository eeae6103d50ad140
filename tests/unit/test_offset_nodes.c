/* tests/unit/test_offset_nodes.c - OffsetCommit and OffsetFetch of version 0, from the frame to the
 * nodes: ZooKeeper answers what the test says, in the order that it says. */
#include "tests/unit/broker_rig.h"
#include "broker/api/autocreate.h"
#include "fake_zk.h"
#include "wire/gen/offset_commit.h"
#include "wire/gen/offset_fetch.h"

#define PARTS_MAX 3

static struct rig rig;
static struct arena arena;
static int client;

static void zk_is(struct zk *zk)
{
    autocreate_set_zk(control_autocreate(rig.control.api.control), zk);
}

/* A broker that knows topic "led" with partitions 0 to 2. */
static void begin(void)
{
    rig_open(&rig, "");
    fake_begin();
    arena_init(&arena, 1 << 20);
    int controller = rig_connect_to(&rig, 1);
    ck_assert_int_eq(rig_update(&rig, controller, 0, 1), KAFKA_NONE);
    close(controller);
    zk_is(fake.zk);
    client = rig_connect(&rig);
}

static void end(void)
{
    close(client);
    zk_is(NULL);
    fake_end();
    rig_close(&rig);
    arena_fini(&arena);
}

static void send_body(const struct api *api, const void *body)
{
    struct buf frame;

    buf_init(&frame);
    rig_write(&frame, api->key, 0, api->request_wire, body);
    rig_send_frame(client, buf_slice(&frame));
    buf_fini(&frame);
}

/* Partitions 0, 1 … of "led", at `offset`, `offset` + 1 …. */
static void send_commit(struct slice group, int count, int64_t offset, struct slice metadata)
{
    struct offset_commit_request_topic_partition parts[PARTS_MAX];
    struct offset_commit_request_topic topic = {.name = SLICE("led"), .partitions = {parts, count}};
    struct offset_commit_request in;

    for (int i = 0; i < count; i++)
        parts[i] = (struct offset_commit_request_topic_partition){
            .partition_index = i, .committed_offset = offset + i, .committed_metadata = metadata};
    wire_default(&offset_commit_request_wire, &in);
    in.group_id = group;
    in.topics.at = &topic;
    in.topics.count = 1;
    send_body(table_find(API_OFFSET_COMMIT), &in);
}

static void send_fetch(struct slice group, int count)
{
    static int32_t parts[PARTS_MAX] = {0, 1, 2};
    struct offset_fetch_request_topic topic = {.name = SLICE("led"),
                                               .partition_indexes = {parts, count}};
    struct offset_fetch_request in;

    wire_default(&offset_fetch_request_wire, &in);
    in.group_id = group;
    in.topics.at = &topic;
    in.topics.count = 1;
    send_body(table_find(API_OFFSET_FETCH), &in);
}

/* Turns until ZooKeeper has been asked so many things that are not answered yet. */
static void await_asked(int count)
{
    struct instant limit = instant_add_ms(env_now(rig.env), RIG_SECONDS_MAX * INT64_C(1000));

    while (fake.count < count) {
        ck_assert_msg(instant_before(env_now(rig.env), limit), "ZooKeeper is not asked");
        rig_turn(&rig);
        fake_run();
    }
    ck_assert_int_eq(fake.count, count);
}

static void answer(enum err err, const char *asked, struct slice data)
{
    await_asked(fake.count > 0 ? fake.count : 1);
    ck_assert_str_eq(fake_request(0), asked);
    fake_answer(err, (struct zk_result){.data = data});
}

static void read_answer(const struct api *api, void *out)
{
    int32_t correlation_id;
    struct buf bytes;
    struct slice body;

    buf_init(&bytes);
    ck_assert(rig_reply(&rig, client, &bytes));
    struct slice frame = arena_copy(&arena, buf_slice(&bytes));
    buf_fini(&bytes);
    ck_assert_int_eq(frame_read_response_head(frame, api->key, 0, &correlation_id, &body), ERR_OK);
    ck_assert_int_eq(wire_read(body, 0, api->response_wire, &arena, out), ERR_OK);
}

/* The codes of a commit's partitions, in order. */
static void expect_commit(int count, const int16_t *codes)
{
    struct offset_commit_response out;

    read_answer(table_find(API_OFFSET_COMMIT), &out);
    ck_assert_int_eq(out.topics.count, 1);
    ck_assert(slice_is(out.topics.at[0].name, "led"));
    ck_assert_int_eq(out.topics.at[0].partitions.count, count);
    for (int i = 0; i < count; i++) {
        ck_assert_int_eq(out.topics.at[0].partitions.at[i].partition_index, i);
        ck_assert_int_eq(out.topics.at[0].partitions.at[i].error_code, codes[i]);
    }
}

static void expect_fetch(int count, const int16_t *codes, const int64_t *offsets)
{
    struct offset_fetch_response out;

    read_answer(table_find(API_OFFSET_FETCH), &out);
    ck_assert_int_eq(out.topics.count, 1);
    ck_assert_int_eq(out.topics.at[0].partitions.count, count);
    for (int i = 0; i < count; i++) {
        const struct offset_fetch_response_topic_partition *part =
            &out.topics.at[0].partitions.at[i];
        ck_assert_int_eq(part->partition_index, i);
        ck_assert_int_eq(part->error_code, codes[i]);
        ck_assert_int_eq(part->committed_offset, offsets[i]);
        ck_assert(slice_is(part->metadata, ""));
    }
}

START_TEST(a_node_that_stands_is_set)
{
    begin();
    send_commit(SLICE("g"), 1, 42, SLICE("kept nowhere"));
    answer(ERR_OK, "set:/consumers/g/offsets/led/0=42", SLICE_NULL);
    expect_commit(1, (int16_t[]){KAFKA_NONE});
    end();
}
END_TEST

START_TEST(a_node_that_does_not_is_made_with_all_above_it)
{
    begin();
    send_commit(SLICE("g"), 1, 42, SLICE_NULL);
    answer(ERR_NOT_FOUND, "set:/consumers/g/offsets/led/0=42", SLICE_NULL);
    answer(ERR_EXISTS, "create:/consumers", SLICE_NULL);
    answer(ERR_OK, "create:/consumers/g", SLICE_NULL);
    answer(ERR_EXISTS, "create:/consumers/g/offsets", SLICE_NULL); /* somebody else's */
    answer(ERR_OK, "create:/consumers/g/offsets/led", SLICE_NULL);
    answer(ERR_OK, "create:/consumers/g/offsets/led/0=42", SLICE_NULL);
    expect_commit(1, (int16_t[]){KAFKA_NONE});
    end();
}
END_TEST

START_TEST(a_node_that_somebody_made_meanwhile_has_our_offset_in_the_end)
{
    begin();
    send_commit(SLICE("g"), 1, 42, SLICE_NULL);
    answer(ERR_NOT_FOUND, "set:/consumers/g/offsets/led/0=42", SLICE_NULL);
    answer(ERR_EXISTS, "create:/consumers", SLICE_NULL);
    answer(ERR_EXISTS, "create:/consumers/g", SLICE_NULL);
    answer(ERR_EXISTS, "create:/consumers/g/offsets", SLICE_NULL);
    answer(ERR_EXISTS, "create:/consumers/g/offsets/led", SLICE_NULL);
    answer(ERR_EXISTS, "create:/consumers/g/offsets/led/0=42", SLICE_NULL);
    answer(ERR_OK, "set:/consumers/g/offsets/led/0=42", SLICE_NULL);
    expect_commit(1, (int16_t[]){KAFKA_NONE});
    end();
}
END_TEST

START_TEST(each_partition_has_its_own_outcome_in_the_order_of_the_request)
{
    begin();
    send_commit(SLICE("g"), 3, 10, SLICE_NULL);
    await_asked(3); /* side by side */
    answer(ERR_ZK_AUTH, "set:/consumers/g/offsets/led/0=10", SLICE_NULL);
    answer(ERR_NOT_FOUND, "set:/consumers/g/offsets/led/1=11", SLICE_NULL);
    answer(ERR_OK, "set:/consumers/g/offsets/led/2=12", SLICE_NULL);
    answer(ERR_EXISTS, "create:/consumers", SLICE_NULL);
    answer(ERR_NOT_FOUND, "create:/consumers/g", SLICE_NULL); /* gone again */
    expect_commit(3,
                  (int16_t[]){KAFKA_UNKNOWN_SERVER_ERROR, KAFKA_UNKNOWN_SERVER_ERROR, KAFKA_NONE});
    end();
}
END_TEST

START_TEST(an_offset_is_read_as_text_and_nothing_else_is_one)
{
    static const struct slice texts[] = {SLICE("0"),  SLICE("9223372036854775807"),
                                         SLICE(""),   SLICE("9223372036854775808"),
                                         SLICE("-1"), SLICE("12x")};
    static const int64_t offsets[] = {0, INT64_MAX, -1, -1, -1, -1};

    begin();
    for (int i = 0; i < 6; i++) {
        send_fetch(SLICE("g"), 1);
        answer(ERR_OK, "get:/consumers/g/offsets/led/0", texts[i]);
        expect_fetch(1, (int16_t[]){i < 2 ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR}, &offsets[i]);
    }
    end();
}
END_TEST

START_TEST(what_was_never_committed_is_unknown)
{
    begin();
    send_fetch(SLICE("g"), 3);
    await_asked(3);
    answer(ERR_NOT_FOUND, "get:/consumers/g/offsets/led/0", SLICE_NULL);
    answer(ERR_OK, "get:/consumers/g/offsets/led/1", SLICE("7"));
    answer(ERR_ZK_EXPIRED, "get:/consumers/g/offsets/led/2", SLICE_NULL);
    expect_fetch(
        3, (int16_t[]){KAFKA_UNKNOWN_TOPIC_OR_PARTITION, KAFKA_NONE, KAFKA_UNKNOWN_SERVER_ERROR},
        (int64_t[]){-1, 7, -1});
    end();
}
END_TEST

START_TEST(zookeeper_is_not_asked_for_what_cannot_be)
{
    static const struct slice names[] = {SLICE(""),    SLICE("."),     SLICE(".."), SLICE("a/b"),
                                         SLICE("a\0"), SLICE("a\x7f"), SLICE("\n"), SLICE("/")};
    const int16_t unknown[] = {KAFKA_UNKNOWN_SERVER_ERROR};
    char text[4100];

    begin();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        send_commit(names[i], 1, 1, SLICE_NULL);
        expect_commit(1, unknown);
        send_fetch(names[i], 1);
        expect_fetch(1, unknown, (int64_t[]){-1});
    }
    memset(text, 'm', sizeof(text));
    send_commit(SLICE("g"), 1, 1, slice_of(text, 4097));
    expect_commit(1, (int16_t[]){KAFKA_OFFSET_METADATA_TOO_LARGE});
    ck_assert_int_eq(fake.count, 0);
    send_commit(SLICE("g"), 1, 1, slice_of(text, 4096)); /* the bound itself is fine */
    answer(ERR_OK, "set:/consumers/g/offsets/led/0=1", SLICE_NULL);
    expect_commit(1, (int16_t[]){KAFKA_NONE});
    end();
}
END_TEST

START_TEST(without_zookeeper_it_is_said_so)
{
    begin();
    zk_is(NULL);
    send_commit(SLICE("g"), 1, 1, SLICE_NULL);
    expect_commit(1, (int16_t[]){KAFKA_COORDINATOR_NOT_AVAILABLE});
    send_fetch(SLICE("g"), 1);
    expect_fetch(1, (int16_t[]){KAFKA_COORDINATOR_NOT_AVAILABLE}, (int64_t[]){-1});
    zk_is(fake.zk);
    send_commit(SLICE("g"), 1, 1, SLICE_NULL);
    await_asked(1);
    zk_is(NULL); /* in the midst of it */
    answer(ERR_NOT_FOUND, "set:/consumers/g/offsets/led/0=1", SLICE_NULL);
    expect_commit(1, (int16_t[]){KAFKA_COORDINATOR_NOT_AVAILABLE});
    end();
}
END_TEST

START_TEST(a_client_that_goes_meanwhile_costs_nothing)
{
    begin();
    send_commit(SLICE("g"), 2, 1, SLICE_NULL);
    await_asked(2);
    close(client);
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    answer(ERR_OK, "set:/consumers/g/offsets/led/0=1", SLICE_NULL);
    answer(ERR_NOT_FOUND, "set:/consumers/g/offsets/led/1=2", SLICE_NULL);
    answer(ERR_ZK_AUTH, "create:/consumers", SLICE_NULL);
    client = rig_connect(&rig);
    send_fetch(SLICE("g"), 1);
    answer(ERR_OK, "get:/consumers/g/offsets/led/0", SLICE("1"));
    expect_fetch(1, (int16_t[]){KAFKA_NONE}, (int64_t[]){1});
    end();
}
END_TEST

UNIT(a_node_that_stands_is_set, a_node_that_does_not_is_made_with_all_above_it,
     a_node_that_somebody_made_meanwhile_has_our_offset_in_the_end,
     each_partition_has_its_own_outcome_in_the_order_of_the_request,
     an_offset_is_read_as_text_and_nothing_else_is_one, what_was_never_committed_is_unknown,
     zookeeper_is_not_asked_for_what_cannot_be, without_zookeeper_it_is_said_so,
     a_client_that_goes_meanwhile_costs_nothing)
