/* How names get into the pages: whatever they are, they stay names. */
#include "program/page.h"
#include "tests/unit/unit.h"
#include <string.h>

static const char *json(const char *text, size_t len)
{
    static struct buf out;

    buf_clear(&out);
    page_add_json(&out, slice_of(text, len));
    buf_add(&out, "", 1);
    return (const char *)out.ptr;
}
#define JSON(text) json(text, sizeof(text) - 1)

static const char *label(const char *text, size_t len)
{
    static struct buf out;

    buf_clear(&out);
    page_add_label(&out, slice_of(text, len));
    buf_add(&out, "", 1);
    return (const char *)out.ptr;
}
#define LABEL(text) label(text, sizeof(text) - 1)

START_TEST(a_name_stays_a_string_of_json)
{
    ck_assert_str_eq(JSON(""), "\"\"");
    ck_assert_str_eq(JSON("orders-1.x_y"), "\"orders-1.x_y\"");
    ck_assert_str_eq(JSON("a\"b\\c"), "\"a\\\"b\\\\c\"");
    ck_assert_str_eq(JSON("\0\x1f\n\x7f"), "\"\\u0000\\u001f\\u000a\\u007f\"");
    ck_assert_str_eq(JSON("</script>&'"), "\"\\u003c/script\\u003e\\u0026\\u0027\"");
    ck_assert_str_eq(JSON("h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
                     "\"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
}
END_TEST

START_TEST(what_is_no_utf8_is_replaced)
{
#define NONE "\xef\xbf\xbd"
    ck_assert_str_eq(JSON("a\xff"
                          "b"),
                     "\"a" NONE "b\"");
    ck_assert_str_eq(JSON("\xc3"), "\"" NONE "\"");                            /* cut */
    ck_assert_str_eq(JSON("\xe2\x82"), "\"" NONE NONE "\"");                   /* cut */
    ck_assert_str_eq(JSON("\xc0\xaf"), "\"" NONE NONE "\"");                   /* too long a form */
    ck_assert_str_eq(JSON("\xe0\x80\xaf"), "\"" NONE NONE NONE "\"");          /* likewise */
    ck_assert_str_eq(JSON("\xed\xa0\x80"), "\"" NONE NONE NONE "\"");          /* half a pair */
    ck_assert_str_eq(JSON("\xf4\x90\x80\x80"), "\"" NONE NONE NONE NONE "\""); /* above the last */
    ck_assert_str_eq(LABEL("a\xff\"b"), "a" NONE "\\\"b");
}
END_TEST

START_TEST(a_name_stays_a_label_of_prometheus)
{
    ck_assert_str_eq(LABEL("orders"), "orders");
    ck_assert_str_eq(LABEL("a\"} 1\nb{c=\"\\"), "a\\\"} 1\\nb{c=\\\"\\\\");
}
END_TEST

START_TEST(a_filter_is_found_in_whatever_case)
{
    struct page_part part = {.filter = "Ord"};

    ck_assert(page_fits(&part, SLICE("my.ORDERS")));
    ck_assert(page_fits(&part, SLICE("ord")));
    ck_assert(!page_fits(&part, SLICE("or")));
    ck_assert(!page_fits(&part, SLICE("")));
    part.filter = "";
    ck_assert(page_fits(&part, SLICE("")));
}
END_TEST

/* Nothing but what stands in the page may run there. */
START_TEST(the_policy_of_the_page_names_what_is_in_it)
{
    const struct status_ask ask = {.path = "/"}, other = {.path = "/x"};
    struct status_answer answer = {0};

    ck_assert(!page_answer(&other, &answer));
    ck_assert(page_answer(&ask, &answer));
    buf_add(&answer.body, "", 1);
    const char *text = (const char *)answer.body.ptr;
    ck_assert_ptr_nonnull(strstr(answer.policy, "default-src 'none'; style-src 'sha256-"));
    ck_assert_ptr_nonnull(strstr(answer.policy, "; script-src 'sha256-"));
    ck_assert_ptr_nonnull(strstr(answer.policy, "frame-ancestors 'none'")); /* not cut */
    ck_assert_ptr_null(strstr(answer.policy, "unsafe"));
    ck_assert_ptr_null(strstr(text, " style=\"")); /* the policy would forbid them */
    ck_assert_ptr_null(strstr(text, " onclick=\""));
    ck_assert_ptr_null(strstr(text, "innerHTML"));
    ck_assert_ptr_nonnull(strstr(text, "</html>"));
    buf_fini(&answer.body);
}
END_TEST

UNIT(a_name_stays_a_string_of_json, what_is_no_utf8_is_replaced, a_name_stays_a_label_of_prometheus,
     a_filter_is_found_in_whatever_case, the_policy_of_the_page_names_what_is_in_it)
