#include "tools/lines.h"
#include "tests/unit/unit.h"

static struct arena arena;
static struct buf message;

static enum err parse(const struct line_options *options, const char *line, struct line_record *out)
{
    buf_clear(&message);
    enum err err = line_parse(options, slice_text(line), 3, &arena, out, &message);
    buf_add(&message, "", 1);
    return err;
}

static struct line_options with(const char *const (*pairs)[2], int count)
{
    struct line_options options;

    arena_init(&arena, 1 << 20);
    line_options_init(&options);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(line_options_set(&options, pairs[i][0], pairs[i][1]), ERR_OK);
    return options;
}
#define WITH(...)                                                                                  \
    with((const char *const[][2]){__VA_ARGS__},                                                    \
         (int)(sizeof((const char *const[][2]){__VA_ARGS__}) / sizeof(const char *[2])))

START_TEST(a_line_is_a_value)
{
    struct line_options options = with(NULL, 0);
    struct line_record record;

    ck_assert_int_eq(parse(&options, "a\tb:c", &record), ERR_OK);
    ck_assert(slice_is_null(record.key) && slice_is(record.value, "a\tb:c"));
    ck_assert_int_eq(record.header_count, 0);
    ck_assert_int_eq(parse(&options, "", &record), ERR_OK);
    ck_assert(slice_is(record.value, "")); /* empty is not null */
}
END_TEST

START_TEST(headers_key_and_value_are_taken_apart)
{
    struct line_options options = WITH({"parse.key", "true"}, {"parse.headers", "TRUE"});
    struct line_record record;

    ck_assert_int_eq(parse(&options, "h1:v1,h2:v:2\tkey\tval\tue", &record), ERR_OK);
    ck_assert_int_eq(record.header_count, 2);
    ck_assert(slice_is(record.headers[0].key, "h1") && slice_is(record.headers[0].value, "v1"));
    ck_assert(slice_is(record.headers[1].key, "h2") && slice_is(record.headers[1].value, "v:2"));
    ck_assert(slice_is(record.key, "key") && slice_is(record.value, "val\tue"));
    ck_assert_int_eq(parse(&options, "\tkey\tvalue", &record), ERR_OK);
    ck_assert_int_eq(record.header_count, 0);
}
END_TEST

START_TEST(a_missing_separator_is_told_with_its_line)
{
    struct line_options options = WITH({"parse.key", "true"}, {"key.separator", "::"});
    struct line_record record;

    ck_assert_int_eq(parse(&options, "no key:here", &record), ERR_INVALID);
    ck_assert_str_eq((char *)message.ptr, "No key separator found on line number 3: 'no key:here'");
    options.ignore_error = true;
    ck_assert_int_eq(parse(&options, "no key:here", &record), ERR_OK);
    ck_assert(slice_is_null(record.key) && slice_is(record.value, "no key:here"));
    ck_assert_int_eq(parse(&options, "k::v::w", &record), ERR_OK);
    ck_assert(slice_is(record.key, "k") && slice_is(record.value, "v::w"));

    options = WITH({"parse.headers", "true"});
    ck_assert_int_eq(parse(&options, "h:v value", &record), ERR_INVALID);
    ck_assert_int_eq(parse(&options, "hv\tvalue", &record), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr((char *)message.ptr, "'hv'"));
}
END_TEST

START_TEST(a_marker_stands_for_null)
{
    struct line_options options =
        WITH({"parse.key", "true"}, {"parse.headers", "true"}, {"null.marker", "NIL"});
    struct line_record record;

    ck_assert_int_eq(parse(&options, "NIL\tNIL\tNIL", &record), ERR_OK);
    ck_assert(slice_is_null(record.key) && slice_is_null(record.value) && record.header_count == 0);
    ck_assert_int_eq(parse(&options, "h:NIL\tNILS\tv", &record), ERR_OK);
    ck_assert(slice_is_null(record.headers[0].value) && slice_is(record.key, "NILS"));
}
END_TEST

START_TEST(separators_must_differ_but_for_key_and_headers)
{
    struct line_options options = with(NULL, 0);

    ck_assert_int_eq(line_options_check(&options, &message), ERR_OK); /* both are a tab */
    options.headers_separator = ":";
    ck_assert_int_eq(line_options_check(&options, &message), ERR_INVALID);
    options.headers_separator = ",";
    options.null_marker = ",";
    ck_assert_int_eq(line_options_check(&options, &message), ERR_INVALID);
    ck_assert_int_eq(line_options_set(&options, "parse.key", "yes"), ERR_INVALID);
    ck_assert_int_eq(line_options_set(&options, "key.separator", ""), ERR_INVALID);
    ck_assert_int_eq(line_options_set(&options, "nope", "x"), ERR_NOT_FOUND);
}
END_TEST

UNIT(a_line_is_a_value, headers_key_and_value_are_taken_apart,
     a_missing_separator_is_told_with_its_line, a_marker_stands_for_null,
     separators_must_differ_but_for_key_and_headers)
