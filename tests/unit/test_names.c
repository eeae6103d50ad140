#include "broker/log/names.h"
#include "unit.h"

static void expect_dir(const char *name, enum names_kind kind, const char *topic, int partition)
{
    struct names_directory got;
    ck_assert_msg(names_parse_directory(name, &got), "%s", name);
    ck_assert_int_eq(got.kind, kind);
    ck_assert_msg(slice_is(got.topic, topic), "%s", name);
    ck_assert_int_eq(got.partition, partition);
}

START_TEST(directories_are_split_at_the_last_dash)
{
    expect_dir("orders-0", NAMES_LIVE, "orders", 0);
    expect_dir("a-b.c-12", NAMES_LIVE, "a-b.c", 12);
    expect_dir("a.b-future-3", NAMES_LIVE, "a.b-future", 3);
    expect_dir("a-b-1.0123456789abcdef0123456789abcdef-delete", NAMES_DELETING, "a-b", 1);
    expect_dir("t.x-7.0123456789abcdef0123456789abcdef-future", NAMES_FUTURE, "t.x", 7);
    expect_dir("t-7.u-stray", NAMES_STRAY, "t", 7);
}
END_TEST

START_TEST(other_directories_are_none_of_ours)
{
    static const char *const bad[] = {"lost+found", "orders", "orders-",   "-1",
                                      "orders-x",   "a b-1",  "orders-1x", "orders-99999999999",
                                      "",           "-"};
    struct names_directory got;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!names_parse_directory(bad[i], &got), "%s", bad[i]);
}
END_TEST

START_TEST(files_have_a_base_an_extension_and_perhaps_a_suffix)
{
    struct names_file got;
    ck_assert(names_parse_file("00000000000000000042.timeindex", &got));
    ck_assert_int_eq(got.base, 42);
    ck_assert_str_eq(got.extension, ".timeindex");
    ck_assert_str_eq(got.suffix, "");
    ck_assert(names_parse_file("00000000000000000000.log.swap", &got));
    ck_assert_str_eq(got.extension, ".log");
    ck_assert_str_eq(got.suffix, ".swap");
    ck_assert(names_parse_file("00000000000000000007.snapshot.deleted", &got));
    ck_assert_str_eq(got.suffix, ".deleted");
    ck_assert(names_parse_file("1.other", &got));
    ck_assert_ptr_null(got.extension);
    ck_assert(names_parse_file("1.log.other", &got));
    ck_assert_ptr_null(got.suffix);
    ck_assert(names_parse_file("1.logs", &got));
    ck_assert_ptr_null(got.extension);
    ck_assert(!names_parse_file("leader-epoch-checkpoint", &got));
    ck_assert(!names_parse_file("99999999999999999999.log", &got)); /* no int64 */
}
END_TEST

START_TEST(a_deleted_directory_fits_into_a_name)
{
    struct uuid id = {{0xab, 0xcd}};
    char name[NAMES_MAX + 1], topic[250];

    names_deleting(name, SLICE("orders"), 7, id);
    ck_assert_str_eq(name, "orders-7.abcd0000000000000000000000000000-delete");
    names_stray(name, SLICE("orders"), 7, id);
    ck_assert_str_eq(name, "orders-7.abcd0000000000000000000000000000-stray");
    expect_dir(name, NAMES_STRAY, "orders", 7);
    memset(topic, 't', 249);
    topic[249] = '\0';
    names_deleting(name, slice_text(topic), 12345, id);
    ck_assert_uint_eq(strlen(name), NAMES_MAX);
    expect_dir(name, NAMES_DELETING, topic + 249 - (NAMES_MAX - 6 - 33 - 7), 12345);
    ck_assert_int_eq(names_live(name, slice_text(topic), 12345), ERR_OK);
    char path[FILES_PATH_MAX];
    ck_assert_int_eq(names_segment(path, "/d", 42, NAMES_LOG, NAMES_DELETED), ERR_OK);
    ck_assert_str_eq(path, "/d/00000000000000000042.log.deleted");
}
END_TEST

START_TEST(a_future_directory_is_never_cut_and_has_a_partner)
{
    struct uuid id = {{0xab, 0xcd}};
    struct names_directory got;
    char name[NAMES_MAX + 1], partner[NAMES_MAX + 1], topic[250];

    ck_assert_int_eq(names_future(name, SLICE("a.b-c"), 7, id), ERR_OK);
    ck_assert_str_eq(name, "a.b-c-7.abcd0000000000000000000000000000-future");
    expect_dir(name, NAMES_FUTURE, "a.b-c", 7);
    ck_assert(names_parse_directory(name, &got));
    ck_assert_int_eq(names_deleting_for(partner, got.topic, 7, got.unique), ERR_OK);
    ck_assert_str_eq(partner, "a.b-c-7.abcd0000000000000000000000000000-delete");
    memset(topic, 't', 249);
    topic[249] = '\0';
    ck_assert_int_eq(names_future(name, slice_text(topic), 7, id), ERR_LIMIT);
    topic[255 - 2 - 33 - 7] = '\0';
    ck_assert_int_eq(names_future(name, slice_text(topic), 7, id), ERR_OK);
    ck_assert_uint_eq(strlen(name), NAMES_MAX);
    ck_assert_int_eq(names_deleting_for(partner, SLICE("t"), 7, slice_text(topic)), ERR_LIMIT);
}
END_TEST

UNIT(directories_are_split_at_the_last_dash, other_directories_are_none_of_ours,
     files_have_a_base_an_extension_and_perhaps_a_suffix, a_deleted_directory_fits_into_a_name,
     a_future_directory_is_never_cut_and_has_a_partner)
