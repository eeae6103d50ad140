/* runtime/scrape.h - the text of /metrics, made in pieces while it is sent.
 *
 * What is registered, and what the system says of the process, is written at the beginning, of one
 * moment. The lines that a process adds may be very many: they are asked for piece by piece, as
 * room for them comes, so that a page costs the memory of a piece however long it is. Not shared
 * between threads. */
#pragma once
#include "runtime/metrics.h"

/* What a process adds; any may be NULL. */
struct scrape_lines {
    /* At the beginning and at the end; `begin` gives what the others get. */
    void *(*begin)(void *of);
    void (*end)(void *of, void *taken);
    /* Behind the registered lines of `name`, if there were some: adds a piece of the lines of that
     * name with other labels. True: there is more. */
    bool (*more)(void *taken, const char *name, struct buf *out);
    /* Behind all: a piece of the lines with other names, likewise. */
    bool (*rest)(void *taken, struct buf *out);
    void *of;
};

struct scrape;
/* `print` adds what is not registered and not of the process, behind the registered; or NULL.
 * `metrics` and what `lines` points to are kept until scrape_end. */
struct scrape *scrape_begin(struct metrics *metrics, const struct scrape_lines *lines,
                            void (*print)(struct buf *out));
/* The next bytes, at most `max`, which is not 0; 0: that was all. */
size_t scrape_read(struct scrape *scrape, void *to, size_t max);
/* At any time. Sets to NULL; NULL is fine. */
void scrape_end(struct scrape **scrape);
