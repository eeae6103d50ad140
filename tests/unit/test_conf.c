#include "base/conf.h"
#include "tests/unit/unit.h"

static void read_text(struct conf *conf, const char *text)
{
    int line = 0;

    conf_init(conf);
    ck_assert_int_eq(conf_read(conf, slice_text(text), &line), ERR_OK);
}

static const char *value_of(const struct conf *conf, const char *key)
{
    const struct conf_entry *entry = conf_get(conf, key);

    return entry == NULL ? "(absent)" : entry->value;
}

START_TEST(the_forms_of_java_properties)
{
    struct conf conf;

    read_text(&conf, "# comment\n"
                     "! comment too \\\n"
                     "a=1\n"
                     "  b : two words  \n"
                     "c   3\r\n"
                     "d\n"
                     "e = x\\\n"
                     "      y\n"
                     "f\\=g\\ h=\\u00e9\\t\\q\n"
                     "a=again\n"
                     "log.dirs=C:\\\\x");

    ck_assert_str_eq(value_of(&conf, "a"), "again");
    ck_assert_str_eq(value_of(&conf, "b"), "two words  ");
    ck_assert_str_eq(value_of(&conf, "c"), "3");
    ck_assert_str_eq(value_of(&conf, "d"), "");
    ck_assert_str_eq(value_of(&conf, "e"), "xy");
    ck_assert_str_eq(value_of(&conf, "f=g h"), "\xc3\xa9\tq");
    ck_assert_str_eq(value_of(&conf, "log.dirs"), "C:\\x");
    ck_assert_int_eq(conf_get(&conf, "e")->line, 7);
    ck_assert_int_eq(conf_get(&conf, "a")->line, 10);
    conf_fini(&conf);
}
END_TEST

START_TEST(a_malformed_escape_names_its_line)
{
    struct conf conf;
    int line = 0;

    conf_init(&conf);
    ck_assert_int_eq(conf_read(&conf, SLICE("a=1\n\nb=\\u00g1\nc=2\n"), &line), ERR_INVALID);
    ck_assert_int_eq(line, 3);
    ck_assert_str_eq(value_of(&conf, "a"), "1");
    ck_assert_int_eq(conf_read(&conf, slice_of("x=a\0b", 5), &line), ERR_INVALID);
    conf_fini(&conf);
}
END_TEST

START_TEST(what_is_written_is_read_back)
{
    const char *const nasty = "  two = three: #!\\ \n\ttab\r\f";
    struct buf out = {0};

    conf_write(&out, "a key=#", nasty);
    buf_add(&out, "", 1);
    struct conf conf;
    read_text(&conf, (const char *)out.ptr);
    ck_assert_str_eq(value_of(&conf, "a key=#"), nasty);
    ck_assert_uint_eq(conf.entries.count, 1);
    conf_fini(&conf);
    buf_fini(&out);
}
END_TEST

START_TEST(a_continuation_at_the_very_end_is_an_empty_rest)
{
    struct conf conf;

    read_text(&conf, "a=1\\");

    ck_assert_str_eq(value_of(&conf, "a"), "1");
    conf_fini(&conf);
}
END_TEST

UNIT(the_forms_of_java_properties, a_malformed_escape_names_its_line, what_is_written_is_read_back,
     a_continuation_at_the_very_end_is_an_empty_rest)
