/* common/program/page.c - see page.h. */
#include "program/page.h"
#include "base/ensure.h"
#include "base/text.h"
#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

/* The file itself, found as headers are. */
__asm__(".section .rodata,\"a\",@progbits\n"
        ".global page_html_begin\n"
        ".global page_html_end\n"
        "page_html_begin:\n"
        ".incbin \"common/program/page.html\"\n"
        "page_html_end:\n"
        ".byte 0\n"
        ".previous\n");
extern const char page_html_begin[], page_html_end[];

#define DIGEST_TEXT_MAX 64
#define COUNT_DEFAULT   50

/* ---- the page ---- */

/* What stands between <tag> and </tag>, as its digest in a policy. */
static void digest_of(const char *tag, char out[DIGEST_TEXT_MAX])
{
    char open[16], close[16];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    snprintf(open, sizeof(open), "<%s>", tag);
    snprintf(close, sizeof(close), "</%s>", tag);
    const char *from = strstr(page_html_begin, open);
    const char *to = from == NULL ? NULL : strstr(from, close);
    ensure(to != NULL);
    from += strlen(open);
    ensure(EVP_Digest(from, (size_t)(to - from), digest, &len, EVP_sha256(), NULL) == 1);
    ensure(len == 32); /* 44 letters */
    EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
}

bool page_answer(const struct status_ask *ask, struct status_answer *answer)
{
    static const char form[] =
        "default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    char style[DIGEST_TEXT_MAX], script[DIGEST_TEXT_MAX];

    if (strcmp(ask->path, "/") != 0) return false;
    digest_of("style", style);
    digest_of("script", script);
    answer->type = "text/html; charset=utf-8";
    snprintf(answer->policy, sizeof(answer->policy), form, style, script);
    buf_add(&answer->body, page_html_begin, (size_t)(page_html_end - page_html_begin));
    return true;
}

/* ---- text ---- */

static void add_text(struct buf *out, struct slice text,
                     void (*add_special)(struct buf *out, uint8_t c))
{
    while (text.len > 0) {
        size_t len = text_character(text);

        if (len == 0)
            buf_add_text(out, "\xef\xbf\xbd");
        else if (len == 1)
            add_special(out, text.ptr[0]);
        else
            buf_add(out, text.ptr, len);
        len = len == 0 ? 1 : len;
        text = slice_of(text.ptr + len, text.len - len);
    }
}

/* Signs that mean something in HTML are written as numbers too: for whoever puts the text there. */
static void add_json_sign(struct buf *out, uint8_t c)
{
    if (c < 0x20 || c == 0x7f || c == '<' || c == '>' || c == '&' || c == '\'')
        buf_printf(out, "\\u%04x", c);
    else if (c == '"' || c == '\\')
        buf_printf(out, "\\%c", c);
    else
        buf_add(out, &c, 1);
}

static void add_label_sign(struct buf *out, uint8_t c)
{
    if (c == '\n')
        buf_add_text(out, "\\n");
    else if (c == '"' || c == '\\')
        buf_printf(out, "\\%c", c);
    else
        buf_add(out, &c, 1);
}

void page_add_json(struct buf *out, struct slice text)
{
    buf_add_text(out, "\"");
    add_text(out, text, add_json_sign);
    buf_add_text(out, "\"");
}

void page_add_label(struct buf *out, struct slice text)
{
    add_text(out, text, add_label_sign);
}

/* ---- parts ---- */

static int64_t number_of(const struct status_ask *ask, const char *name, int64_t max,
                         int64_t otherwise)
{
    const char *text = status_argument(ask, name);
    int64_t number = otherwise;

    if (text != NULL) (void)!text_int(slice_text(text), 0, max, &number);
    return number;
}

void page_read_part(const struct status_ask *ask, struct page_part *out)
{
    const char *filter = status_argument(ask, "filter");

    out->from = number_of(ask, "from", INT32_MAX, 0);
    out->count = number_of(ask, "count", PAGE_COUNT_MAX, COUNT_DEFAULT);
    out->filter = filter == NULL ? "" : filter;
}

bool page_fits(const struct page_part *part, struct slice text)
{
    size_t len = strlen(part->filter);

    for (size_t at = 0; at + len <= text.len; at++) {
        size_t same = 0;
        while (same < len &&
               tolower(text.ptr[at + same]) == tolower((unsigned char)part->filter[same]))
            same++;
        if (same == len) return true;
    }
    return false;
}
