/* program/page.h - the page for people that a broker and a controller serve beside /metrics, and
 * the text that its parts are sent in.
 *
 * The page is one file, page.html, compiled in: no other host, no build step, nothing that writes.
 * It asks for /api/… of the same process. Its policy allows what is in it, by digest, and nothing
 * else. */
#pragma once
#include "base/buf.h"
#include "runtime/status.h"

/* "/": the page. False: it is another path. */
bool page_answer(const struct status_ask *ask, struct status_answer *answer);

/* `text` as a string of JSON, with its quotes. Bytes that are no UTF-8 become U+FFFD. */
void page_add_json(struct buf *out, struct slice text);
/* As the value of a label of Prometheus, without its quotes; likewise. */
void page_add_label(struct buf *out, struct slice text);

/* Which part of a long list is asked for: ?from=&count=&filter=. */
#define PAGE_COUNT_MAX 200
struct page_part {
    int64_t from, count; /* at most PAGE_COUNT_MAX */
    const char *filter;  /* "" for none */
};
void page_read_part(const struct status_ask *ask, struct page_part *out);
/* The filter's text stands in it, in whatever case. */
bool page_fits(const struct page_part *part, struct slice text);
