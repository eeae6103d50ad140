#include "tools/reassign_dirs.h"
#include "unit.h"
#include "wire/protocol.h"

static struct arena arena;
static struct buf out, message;
static struct move_list list;
static struct dir_move_list moves;

static void read_list(const char *json)
{
    arena_init(&arena, 1 << 20);
    buf_init(&out);
    buf_init(&message);
    ck_assert_int_eq(reassign_read(slice_text(json), &arena, &list, &message), ERR_OK);
    dir_moves_of(&list, &arena, &moves);
}

static void end(void)
{
    buf_fini(&out);
    buf_fini(&message);
    arena_fini(&arena);
}

static const char *said(void)
{
    buf_add(&out, "", 1);
    return (const char *)out.ptr;
}

#define LIST                                                                                       \
    "{\"version\":1,\"partitions\":["                                                              \
    "{\"topic\":\"b\",\"partition\":1,\"replicas\":[2,1],\"log_dirs\":[\"/x\",\"/y\"]},"           \
    "{\"topic\":\"a\",\"partition\":0,\"replicas\":[1,2],\"log_dirs\":[\"/y\",\"any\"]},"          \
    "{\"topic\":\"b\",\"partition\":0,\"replicas\":[1]}]}"

START_TEST(replicas_that_name_a_directory_are_moved)
{
    struct alter_replica_log_dirs_request body;
    struct dir_move_list mine;

    read_list(LIST);
    dir_moves_write_names(&out, &moves);
    ck_assert_str_eq(said(), "a-0-1,b-1-1,b-1-2");
    dir_moves_on(&moves, 1, &arena, &mine);
    ck_assert_int_eq(mine.count, 2);
    dir_moves_fill(&mine, &arena, &body);
    ck_assert_int_eq(body.dirs.count, 1);
    ck_assert(slice_is(body.dirs.at[0].path, "/y"));
    ck_assert_int_eq(body.dirs.at[0].topics.count, 2);
    ck_assert(slice_is(body.dirs.at[0].topics.at[1].name, "b"));
    ck_assert_int_eq(body.dirs.at[0].topics.at[1].partitions.count, 1);
    ck_assert_int_eq(body.dirs.at[0].topics.at[1].partitions.at[0], 1);

    buf_clear(&out);
    reassign_write(&out, &list);
    ck_assert_str_eq(said(), "{\"version\":1,\"partitions\":["
                             "{\"topic\":\"a\",\"partition\":0,\"replicas\":[1,2],\"log_dirs\":["
                             "\"/y\",\"any\"]},"
                             "{\"topic\":\"b\",\"partition\":0,\"replicas\":[1],\"log_dirs\":["
                             "\"any\"]},"
                             "{\"topic\":\"b\",\"partition\":1,\"replicas\":[2,1],\"log_dirs\":["
                             "\"/x\",\"/y\"]}]}");
    end();
}
END_TEST

START_TEST(directories_of_one_broker_are_grouped)
{
    struct alter_replica_log_dirs_request body;

    read_list("{\"partitions\":["
              "{\"topic\":\"t\",\"partition\":0,\"replicas\":[1],\"log_dirs\":[\"/x\"]},"
              "{\"topic\":\"t\",\"partition\":1,\"replicas\":[1],\"log_dirs\":[\"/y\"]},"
              "{\"topic\":\"t\",\"partition\":2,\"replicas\":[1],\"log_dirs\":[\"/x\"]}]}");
    dir_moves_fill(&moves, &arena, &body);
    ck_assert_int_eq(body.dirs.count, 2);
    ck_assert_int_eq(body.dirs.at[0].topics.count, 1);
    ck_assert_int_eq(body.dirs.at[0].topics.at[0].partitions.count, 2);
    ck_assert_int_eq(body.dirs.at[0].topics.at[0].partitions.at[1], 2);
    ck_assert(slice_is(body.dirs.at[1].path, "/y"));
    end();
}
END_TEST

static struct describe_log_dirs_response_result_topic_partition x_parts[2], y_parts[2];
static struct describe_log_dirs_response_result_topic x_topic, y_topic;
static struct describe_log_dirs_response_result dirs[2];

static const char *state(bool in_x, bool in_y, bool y_is_future)
{
    struct describe_log_dirs_response response = {.results = {dirs, 2}};
    struct dir_move move = {{SLICE("t"), 3}, 7, SLICE("/y")};

    x_parts[0].partition_index = y_parts[0].partition_index = 3;
    y_parts[0].is_future_key = y_is_future;
    x_topic = (struct describe_log_dirs_response_result_topic){
        .name = SLICE("t"), .partitions = {x_parts, in_x ? 1 : 0}};
    y_topic = (struct describe_log_dirs_response_result_topic){
        .name = SLICE("t"), .partitions = {y_parts, in_y ? 1 : 0}};
    dirs[0] =
        (struct describe_log_dirs_response_result){.log_dir = SLICE("/x"), .topics = {&x_topic, 1}};
    dirs[1] =
        (struct describe_log_dirs_response_result){.log_dir = SLICE("/y"), .topics = {&y_topic, 1}};
    struct dir_state is = dir_state_of(&response, &move);
    buf_clear(&out);
    dir_state_write(&out, &move, &is);
    return said();
}

START_TEST(how_far_a_move_is_is_told_as_kafka_tells_it)
{
    buf_init(&out);
    ck_assert_str_eq(state(true, true, true),
                     "Reassignment of replica t-3-7 is still in progress.\n");
    ck_assert_str_eq(state(false, true, false),
                     "Reassignment of replica t-3-7 completed successfully.\n");
    ck_assert_str_eq(state(true, false, false),
                     "Partition t-3 on broker 7 is not being moved from log dir /x to /y.\n");
    ck_assert_str_eq(state(false, false, false),
                     "Partition t-3 cannot be found in any live log directory on broker 7.\n");
    ck_assert_str_eq(
        state(false, true, true),
        "Partition t-3 is not found in any live log dir on broker 7. There is likely an "
        "offline log directory on the broker.\n");
    struct dir_move other = {{SLICE("t"), 3}, 7, SLICE("/z")};
    struct dir_state moving = {.is = DIR_MOVING, .current = SLICE("/x"), .future = SLICE("/y")};
    buf_clear(&out);
    dir_state_write(&out, &other, &moving);
    ck_assert_str_eq(said(),
                     "Partition t-3 on broker 7 is being moved to log dir /y instead of /z.\n");
    ck_assert_int_eq(dir_state_of(NULL, &other).is, DIR_NO_REPLICA);
    buf_fini(&out);
}
END_TEST

START_TEST(a_broker_answers_for_each)
{
    struct alter_replica_log_dirs_response_result_partition part = {3, KAFKA_LOG_DIR_NOT_FOUND};
    struct alter_replica_log_dirs_response_result topic = {SLICE("t"), {&part, 1}};
    struct alter_replica_log_dirs_response response = {.results = {&topic, 1}};
    struct dir_move move = {{SLICE("t"), 3}, 7, SLICE("/y")};

    ck_assert_int_eq(dir_move_code(&response, &move), KAFKA_LOG_DIR_NOT_FOUND);
    move.at.partition = 4;
    ck_assert_int_eq(dir_move_code(&response, &move), -1);
}
END_TEST

UNIT(replicas_that_name_a_directory_are_moved, directories_of_one_broker_are_grouped,
     how_far_a_move_is_is_told_as_kafka_tells_it, a_broker_answers_for_each)
