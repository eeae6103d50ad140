#include "tools/args.h"
#include "tests/unit/unit.h"
#include <stdio.h>

static const struct args_option options[] = {
    {"topic", "NAME", ARGS_REQUIRED, "the topic"},
    {"topic-id", "ID", 0, "its id"},
    {"partitions", "N", 0, "how many"},
    {"partition-size", "N", 0, "how large"},
    {"sync", NULL, 0, "wait for each"},
    {"codec", "CODEC", ARGS_OPTIONAL_VALUE, "compression"},
    {"property", "K=V", 0,
     "something with a text that is long enough to be broken between words over two lines"},
};
static const struct args_command command = {
    .name = "ottla test", .summary = "tests", .options = options, .count = 7};

static enum args_result read_words(struct args *args, struct buf *message, char **words)
{
    int count = 0;

    while (words[count] != NULL)
        count++;
    buf_clear(message);
    enum args_result result = args_read(&command, count, words, args, message);
    buf_add(message, "", 1);
    return result;
}
#define READ(...) read_words(&args, &message, (char *[]){__VA_ARGS__, NULL})

START_TEST(values_come_behind_or_after_equals)
{
    struct args args;
    struct buf message = {0};

    ck_assert_int_eq(READ("--topic", "t", "--property=a=b", "--property", "c", "--sync"),
                     ARGS_READ);
    ck_assert_str_eq(args_text(&args, "topic", ""), "t");
    ck_assert_str_eq(args_at(&args, "property", 0), "a=b");
    ck_assert_str_eq(args_at(&args, "property", 1), "c");
    ck_assert_ptr_null(args_at(&args, "property", 2));
    ck_assert_str_eq(args_text(&args, "property", ""), "c"); /* the last one */
    ck_assert(args_has(&args, "sync") && !args_has(&args, "codec"));
    ck_assert_str_eq(args_text(&args, "codec", "none"), "none");
    args_fini(&args);
    buf_fini(&message);
}
END_TEST

START_TEST(a_unique_beginning_is_enough)
{
    struct args args;
    struct buf message = {0};

    ck_assert_int_eq(READ("--to", "t"), ARGS_WRONG); /* topic, topic-id */
    ck_assert_ptr_nonnull(strstr((char *)message.ptr, "--topic --topic-id"));
    args_fini(&args);
    ck_assert_int_eq(READ("--topic", "t", "--sy"), ARGS_READ); /* a whole name beats a longer one */
    ck_assert(args_has(&args, "sync"));
    args_fini(&args);
    ck_assert_int_eq(READ("--topic-", "x", "--topic=t"), ARGS_READ);
    ck_assert_str_eq(args_text(&args, "topic-id", ""), "x");
    args_fini(&args);
    buf_fini(&message);
}
END_TEST

START_TEST(a_value_may_be_left_out_where_that_is_said)
{
    struct args args;
    struct buf message = {0};

    ck_assert_int_eq(READ("--codec", "--topic", "t"), ARGS_READ);
    ck_assert(args_has(&args, "codec"));
    ck_assert_str_eq(args_text(&args, "codec", "gzip"), "gzip");
    args_fini(&args);
    ck_assert_int_eq(READ("--codec", "zstd", "--topic", "t"), ARGS_READ);
    ck_assert_str_eq(args_text(&args, "codec", "gzip"), "zstd");
    args_fini(&args);
    ck_assert_int_eq(READ("--topic", "t", "--partitions", "-1"), ARGS_READ); /* no option */
    ck_assert_str_eq(args_text(&args, "partitions", ""), "-1");
    args_fini(&args);
    buf_fini(&message);
}
END_TEST

START_TEST(what_is_wrong_is_said)
{
    static char *const wrong[][4] = {{"--topic", NULL},
                                     {"--sync", NULL}, /* the topic is missing */
                                     {"--topic", "t", "stray", NULL},
                                     {"--topic", "t", "--nope", NULL},
                                     {"--topic", "t", "--sync=1", NULL},
                                     {"--topic", "t", "--", NULL}};
    static const char *const expected[] = {"needs a value",    "--topic is required",
                                           "\"stray\" is not", "--nope is not",
                                           "--sync takes no",  "-- is not"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct args args;
        struct buf message = {0};
        ck_assert_int_eq(read_words(&args, &message, (char **)wrong[i]), ARGS_WRONG);
        ck_assert_msg(strstr((char *)message.ptr, expected[i]) != NULL, "%s", message.ptr);
        args_fini(&args);
        buf_fini(&message);
    }
}
END_TEST

START_TEST(numbers_have_a_range)
{
    struct args args;
    struct buf message = {0};
    int64_t n = 7;

    ck_assert_int_eq(READ("--topic", "t", "--partitions", "12", "--partition-size", "x"),
                     ARGS_READ);
    ck_assert_int_eq(args_number(&args, "partitions", 1, 12, &n, &message), ERR_OK);
    ck_assert_int_eq(n, 12);
    ck_assert_int_eq(args_number(&args, "partitions", 1, 11, &n, &message), ERR_INVALID);
    ck_assert_int_eq(args_number(&args, "partition-size", 1, 11, &n, &message), ERR_INVALID);
    ck_assert_int_eq(args_number(&args, "topic-id", 1, 11, &n, &message), ERR_OK); /* not given */
    ck_assert_int_eq(n, 12);
    args_fini(&args);
    buf_fini(&message);
}
END_TEST

START_TEST(one_of_several_means_exactly_one)
{
    static const char *const names[] = {"sync", "codec", NULL};
    struct args args;
    struct buf message = {0};

    ck_assert_int_eq(READ("--topic", "t", "--sync"), ARGS_READ);
    ck_assert_str_eq(args_one_of(&args, names, &message), "sync");
    args_fini(&args);
    ck_assert_int_eq(READ("--topic", "t", "--sync", "--codec"), ARGS_READ);
    ck_assert_ptr_null(args_one_of(&args, names, &message));
    args_fini(&args);
    ck_assert_int_eq(READ("--topic", "t"), ARGS_READ);
    ck_assert_ptr_null(args_one_of(&args, names, &message));
    args_fini(&args);
    buf_fini(&message);
}
END_TEST

START_TEST(help_names_every_option_within_80_columns)
{
    struct args args;
    struct buf out = {0}, message = {0};

    ck_assert_int_eq(READ("--help"), ARGS_HELP); /* though the topic is missing */
    args_fini(&args);
    ck_assert_int_eq(READ("--vers"), ARGS_VERSION);
    args_fini(&args);
    args_help(&command, &out);
    buf_add(&out, "", 1);
    for (int i = 0; i < command.count; i++) {
        char name[64];
        snprintf(name, sizeof(name), "--%s", options[i].name);
        ck_assert_ptr_nonnull(strstr((char *)out.ptr, name));
    }
    for (char *line = (char *)out.ptr, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        ck_assert_int_le(end - line, 80);
    buf_fini(&out);
    buf_fini(&message);
}
END_TEST

UNIT(values_come_behind_or_after_equals, a_unique_beginning_is_enough,
     a_value_may_be_left_out_where_that_is_said, what_is_wrong_is_said, numbers_have_a_range,
     one_of_several_means_exactly_one, help_names_every_option_within_80_columns)
