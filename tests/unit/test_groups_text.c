/* tests/unit/test_groups_text.c - what `ottla groups` prints, and what it reads. */
#include "tools/groups.h"
#include "unit.h"

static struct arena arena;
static struct buf out;

static void begin(void)
{
    arena_init(&arena, 1 << 20);
    buf_init(&out);
}

static void finish(void)
{
    arena_fini(&arena);
    buf_fini(&out);
}

static void printed(const char *text)
{
    ck_assert_msg(slice_is(buf_slice(&out), text), "%.*s", SLICE_ARGS(buf_slice(&out)));
    buf_clear(&out);
}

static struct group_part parts[] = {
    {.topic = SLICE_NULL, .partition = 0, .committed = 10, .end = 15, .wanted = 3, .member = 0},
    {.topic = SLICE_NULL,
     .partition = 1,
     .committed = GROUPS_NO_OFFSET,
     .end = 7,
     .wanted = 4,
     .member = -1},
};

static struct group_report report(struct group_reader *reader)
{
    *reader = (struct group_reader){.id = SLICE("c-1-6d1f8a3e"),
                                    .client_id = SLICE("c-1"),
                                    .host = SLICE("/10.0.0.5"),
                                    .parts = parts,
                                    .count = 2};
    parts[0].topic = parts[1].topic = SLICE("t1");
    return (struct group_report){.id = SLICE("g1"),
                                 .state = SLICE("Stable"),
                                 .protocol = SLICE("range"),
                                 .coordinator = 3,
                                 .coordinator_port = 9092,
                                 .coordinator_host = SLICE("h"),
                                 .readers = reader,
                                 .reader_count = 1,
                                 .parts = parts,
                                 .part_count = 2};
}

START_TEST(tables_have_kafkas_columns)
{
    struct group_reader reader;
    struct group_report group = report(&reader);

    begin();
    groups_print_offsets(&group, &out);
    printed("\nGROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG"
            "             CONSUMER-ID     HOST            CLIENT-ID"
            "\ng1              t1              0          10              15              5"
            "               c-1-6d1f8a3e    /10.0.0.5       c-1"
            "\ng1              t1              1          -               7               -"
            "               -               -               -\n");
    groups_print_members(&group, true, &out);
    printed("\nGROUP           CONSUMER-ID     HOST            CLIENT-ID       #PARTITIONS     "
            "ASSIGNMENT"
            "\ng1              c-1-6d1f8a3e    /10.0.0.5       c-1             2               "
            "(0,1)\n");
    reader.instance_id = SLICE("i");
    groups_print_members(&group, false, &out);
    printed("\nGROUP           CONSUMER-ID     GROUP-INSTANCE-ID HOST            CLIENT-ID"
            "       #PARTITIONS     "
            "\ng1              c-1-6d1f8a3e    i                 /10.0.0.5       c-1"
            "             2               \n");
    groups_print_state(&group, &out);
    printed("\nGROUP                     COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE"
            "           #MEMBERS"
            "\ng1                        h:9092  (3)               range                Stable"
            "          1\n");
    finish();
}
END_TEST

START_TEST(a_plan_is_printed_as_a_table_and_as_csv)
{
    struct group_reader reader;
    struct group_report group = report(&reader);

    begin();
    groups_print_reset(&group, true, &out);
    printed("\nGROUP                          TOPIC                          PARTITION  NEW-OFFSET"
            "     \n"
            "g1                             t1                             0          3"
            "              \n"
            "g1                             t1                             1          4"
            "              \n");
    groups_print_csv(&group, false, &out);
    printed("t1,0,3\nt1,1,4\n");
    group.id = SLICE("a,\"b\"");
    groups_print_csv(&group, true, &out);
    printed("\"a,\"\"b\"\"\",t1,0,3\n\"a,\"\"b\"\"\",t1,1,4\n");
    finish();
}
END_TEST

START_TEST(topics_are_named_whole_or_by_partitions)
{
    struct slice topic;
    int32_t *partitions;
    int count;

    begin();
    ck_assert_int_eq(groups_topic_parse(SLICE("t"), &arena, &topic, &partitions, &count), ERR_OK);
    ck_assert(slice_is(topic, "t") && count == 0);
    ck_assert_int_eq(groups_topic_parse(SLICE("t:0,12"), &arena, &topic, &partitions, &count),
                     ERR_OK);
    ck_assert(slice_is(topic, "t") && count == 2 && partitions[1] == 12);
    static const char *const wrong[] = {"", ":1", "t:", "t:x", "t:1,", "t:-1"};
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(
            groups_topic_parse(slice_text(wrong[i]), &arena, &topic, &partitions, &count),
            ERR_INVALID);
    finish();
}
END_TEST

START_TEST(times_and_durations_are_read)
{
    int64_t ms = -1;

    ck_assert_int_eq(groups_time_parse(SLICE("1970-01-01T00:00:00.001"), &ms), ERR_OK);
    ck_assert_int_eq(ms, 1);
    ck_assert_int_eq(groups_time_parse(SLICE("2024-02-29T12:30:15.250Z"), &ms), ERR_OK);
    ck_assert_int_eq(ms, 1709209815250);
    ck_assert_int_eq(groups_time_parse(SLICE("2024-03-01T02:00:00.000+02:00"), &ms), ERR_OK);
    ck_assert_int_eq(ms, 1709251200000);
    ck_assert_int_eq(groups_time_parse(SLICE("2024-02-29T22:00:00.000-0200"), &ms), ERR_OK);
    ck_assert_int_eq(ms, 1709251200000);
    static const char *const wrong[] = {"", "2024-02-29", "2024-13-01T00:00:00.000",
                                        "2024-02-29T00:00:00.000x", "2024-02-29T24:00:00.000"};
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(groups_time_parse(slice_text(wrong[i]), &ms), ERR_INVALID);

    ck_assert_int_eq(groups_duration_parse(SLICE("P1DT2H3M4S"), &ms), ERR_OK);
    ck_assert_int_eq(ms, ((26 * 60 + 3) * 60 + 4) * 1000);
    ck_assert_int_eq(groups_duration_parse(SLICE("PT0S"), &ms), ERR_OK);
    ck_assert_int_eq(ms, 0);
    static const char *const bad[] = {"", "P", "PT", "1D", "P1H", "PT1D", "P1DX", "PT1"};
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(groups_duration_parse(slice_text(bad[i]), &ms), ERR_INVALID);
}
END_TEST

UNIT(tables_have_kafkas_columns, a_plan_is_printed_as_a_table_and_as_csv,
     topics_are_named_whole_or_by_partitions, times_and_durations_are_read)
