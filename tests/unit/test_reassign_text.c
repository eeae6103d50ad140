#include "tools/reassign_text.h"
#include "tests/unit/unit.h"

static struct arena arena;
static struct buf out, message;

static void begin(void)
{
    arena_fini(&arena);
    arena_init(&arena, 1u << 20);
    buf_clear(&out);
    buf_clear(&message);
}

static const char *text_of(struct buf *buf)
{
    buf_add(buf, "", 1);
    return (const char *)buf->ptr;
}

START_TEST(a_list_is_read_sorted_and_written_as_kafka_writes_it)
{
    struct move_list list;

    begin();
    ck_assert_int_eq(
        reassign_read(SLICE("{\"partitions\":[{\"partition\":1,\"topic\":\"b\",\"replicas\":[3]},"
                            "{\"topic\":\"a\",\"partition\":10,\"replicas\":[2,1],\"other\":7},"
                            "{\"topic\":\"a\",\"partition\":9,\"replicas\":[1,2],"
                            "\"log_dirs\":[\"any\",\"any\"]}]}"),
                      &arena, &list, &message),
        ERR_OK);
    reassign_write(&out, &list);
    ck_assert_str_eq(
        text_of(&out),
        "{\"version\":1,\"partitions\":["
        "{\"topic\":\"a\",\"partition\":9,\"replicas\":[1,2],\"log_dirs\":[\"any\",\"any\"]},"
        "{\"topic\":\"a\",\"partition\":10,\"replicas\":[2,1],\"log_dirs\":[\"any\",\"any\"]},"
        "{\"topic\":\"b\",\"partition\":1,\"replicas\":[3],\"log_dirs\":[\"any\"]}]}");
    buf_clear(&out);
    reassign_write_names(&out, &list, ",");
    ck_assert_str_eq(text_of(&out), "a-9,a-10,b-1");
    ck_assert_ptr_eq(reassign_find(&list, (struct topic_partition){SLICE("a"), 10}), &list.at[1]);
    ck_assert_ptr_null(reassign_find(&list, (struct topic_partition){SLICE("a"), 1}));
}
END_TEST

START_TEST(what_cannot_be_meant_is_refused)
{
    static const struct {
        const char *json, *why;
    } cases[] = {
        {"", "this is no list"},
        {"[]", "this is no list"},
        {"{}", "is empty"},
        {"{\"version\":2,\"partitions\":[]}", "version 2"},
        {"{\"partitions\":[{\"topic\":\"a\",\"partition\":0}]}", "this is no list"},
        {"{\"partitions\":[{\"topic\":\"a\",\"partition\":-1,\"replicas\":[1]}]}", "this is no"},
        {"{\"partitions\":[{\"topic\":\"a\",\"partition\":0,\"replicas\":[]}]}", "empty list"},
        {"{\"partitions\":[{\"topic\":\"a\",\"partition\":0,\"replicas\":[1,1]}]}", "twice"},
        {"{\"partitions\":[{\"topic\":\"a\",\"partition\":0,\"replicas\":[-1]}]}", ""},
        {"{\"partitions\":[{\"topic\":\"a\",\"partition\":0,\"replicas\":[1]},"
         "{\"topic\":\"a\",\"partition\":0,\"replicas\":[2]}]}",
         "a-0 is in the list twice"},
        {"{\"partitions\":[{\"topic\":\"a\",\"partition\":0,\"replicas\":[1],"
         "\"log_dirs\":[]}]}",
         "another number of log_dirs"},
        {"{\"partitions\":[{\"topic\":\"a\",\"partition\":0,\"replicas\":[1],"
         "\"log_dirs\":[\"data\"]}]}",
         "no absolute path"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct move_list list = {.count = -1};

        begin();
        ck_assert_msg(reassign_read(slice_text(cases[i].json), &arena, &list, &message) ==
                          ERR_INVALID,
                      "%s", cases[i].json);
        ck_assert_msg(strstr(text_of(&message), cases[i].why) != NULL, "%s: %s", cases[i].json,
                      (const char *)message.ptr);
        ck_assert_int_eq(list.count, -1);
    }
}
END_TEST

START_TEST(topics_and_brokers_are_read)
{
    struct slice *names;
    struct broker_ids ids;
    struct move_list list;
    int32_t count;

    begin();
    ck_assert_int_eq(reassign_read_topics(SLICE("{\"version\":1,\"topics\":[{\"topic\":\"t2\"},"
                                                "{\"topic\":\"t1\"},{\"topic\":\"t2\"}]}"),
                                          &arena, &names, &count, &message),
                     ERR_OK);
    ck_assert_int_eq(count, 2);
    ck_assert(slice_is(names[0], "t2") && slice_is(names[1], "t1"));
    ck_assert_int_eq(
        reassign_read_topics(SLICE("{\"topics\":[]}"), &arena, &names, &count, &message),
        ERR_INVALID);

    ck_assert_int_eq(reassign_read_brokers(SLICE("3, 1,2"), &arena, &ids, &message), ERR_OK);
    ck_assert_int_eq(ids.count, 3);
    ck_assert_int_eq(ids.at[1], 1);
    ck_assert_int_eq(reassign_read_brokers(SLICE("1,,2"), &arena, &ids, &message), ERR_INVALID);
    ck_assert_int_eq(reassign_read_brokers(SLICE("1,2,1"), &arena, &ids, &message), ERR_INVALID);
    ck_assert_int_eq(reassign_read_brokers(SLICE(""), &arena, &ids, &message), ERR_INVALID);

    ck_assert_int_eq(
        reassign_read_partitions(SLICE("{\"partitions\":[{\"topic\":\"t\",\"partition\":4}]}"),
                                 &arena, &list, &message),
        ERR_OK);
    ck_assert_int_eq(list.count, 1);
    ck_assert_int_eq(list.at[0].at.partition, 4);
}
END_TEST

START_TEST(progress_has_kafkas_words)
{
    static const int32_t ids[] = {1, 2, 3};
    struct move wanted = {.at = {SLICE("t1"), 0}, .replicas = {ids, 3}};
    struct move is = {.at = {SLICE("t1"), 0}, .replicas = {ids, 2}};

    begin();
    reassign_write_status(&out, &wanted, true, &wanted);
    reassign_write_status(&out, &wanted, false, &wanted);
    reassign_write_status(&out, &wanted, false, &is);
    reassign_write_status(&out, &wanted, false, NULL);
    reassign_write_moving(&out, &wanted, (struct broker_ids){ids + 2, 1},
                          (struct broker_ids){ids, 1});
    reassign_write_moving(&out, &wanted, (struct broker_ids){0}, (struct broker_ids){ids, 1});
    ck_assert_str_eq(
        text_of(&out),
        "Reassignment of partition t1-0 is still in progress.\n"
        "Reassignment of partition t1-0 is completed.\n"
        "There is no active reassignment of partition t1-0, but replica set is 1,2 rather than "
        "1,2,3.\n"
        "There is no active reassignment of partition t1-0, but replica set is  rather than "
        "1,2,3.\n"
        "t1-0: replicas: 1,2,3. adding: 3. removing: 1.\n"
        "t1-0: replicas: 1,2,3. removing: 1.\n");
}
END_TEST

UNIT(a_list_is_read_sorted_and_written_as_kafka_writes_it, what_cannot_be_meant_is_refused,
     topics_and_brokers_are_read, progress_has_kafkas_words)
