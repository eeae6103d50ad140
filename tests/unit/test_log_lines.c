#include "base/log.h"
#include "tests/unit/unit.h"
#include <stdio.h>

struct capture {
    char text[8192];
    int lines;
};

static void keep(void *to, enum log_level level, struct slice line)
{
    struct capture *capture = to;

    (void)level;
    snprintf(capture->text, sizeof(capture->text), "%.*s", SLICE_ARGS(line));
    capture->lines++;
}

static int64_t fake_ms = 1000000;

static int64_t fake_wall_ms(void *from)
{
    (void)from;
    return fake_ms;
}

START_TEST(a_line_says_level_room_event_and_values)
{
    struct capture capture = {0};

    log_to(keep, &capture);
    log_clock(fake_wall_ms, NULL);
    log_info("controller", "elected", "epoch=%d", 7);
    ck_assert_str_eq(capture.text, "info controller elected epoch=7");
    log_debug("controller", "hidden");
    ck_assert_int_eq(capture.lines, 1);
    log_warn("x", "nothing-more");
    ck_assert_str_eq(capture.text, "warn x nothing-more");
}
END_TEST

START_TEST(bytes_from_outside_cannot_break_the_line)
{
    struct capture capture = {0};
    static char huge[20000];

    log_to(keep, &capture);
    log_info("x", "y", "client=%s", "a\nerror fake\x1b[31m");
    ck_assert_str_eq(capture.text, "info x y client=a?error fake?[31m");
    memset(huge, 'h', sizeof(huge) - 1);
    log_info("x", "y", "client=%s", huge);
    ck_assert_uint_lt(strlen(capture.text), 4096);
}
END_TEST

START_TEST(a_site_that_repeats_is_limited_and_says_what_it_left_out)
{
    struct capture capture = {0};

    log_to(keep, &capture);
    log_clock(fake_wall_ms, NULL);
    for (int i = 0; i < 101; i++) {
        if (i == 100) fake_ms += 1000;
        log_info("x", "again", "i=%d", i);
    }
    ck_assert_int_eq(capture.lines, LOG_SITE_PER_SECOND_MAX + 1);
    ck_assert_str_eq(capture.text, "info x again i=100 left_out=80");
}
END_TEST

START_TEST(levels_have_names)
{
    enum log_level level = LOG_ERROR;

    ck_assert_int_eq(log_level_parse(SLICE("debug"), &level), ERR_OK);
    ck_assert_int_eq(level, LOG_DEBUG);
    ck_assert_int_eq(log_level_parse(SLICE("loud"), &level), ERR_INVALID);
    ck_assert_int_eq(level, LOG_DEBUG);
}
END_TEST

UNIT(a_line_says_level_room_event_and_values, bytes_from_outside_cannot_break_the_line,
     a_site_that_repeats_is_limited_and_says_what_it_left_out, levels_have_names)
