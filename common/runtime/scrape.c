#include "runtime/scrape.h"
#include "base/ensure.h"
#include <stdlib.h>

/* The end of the registered lines of a name. */
struct mark {
    size_t at; /* in the text */
    const char *name;
};

struct scrape {
    struct scrape_lines lines;
    void *taken;
    struct buf text; /* what was written at the beginning */
    size_t text_sent;
    struct mark *marks;
    size_t mark_count, mark_room, mark_next;
    struct buf piece;
    size_t piece_sent;
    bool is_rest_told;
};

static void add_mark(void *of, const char *name, struct buf *out)
{
    struct scrape *scrape = of;

    if (scrape->lines.more == NULL) return;
    if (scrape->mark_count == scrape->mark_room) {
        scrape->mark_room = scrape->mark_room == 0 ? 64 : scrape->mark_room * 2;
        scrape->marks = ensure_realloc(scrape->marks, scrape->mark_room * sizeof(scrape->marks[0]));
    }
    scrape->marks[scrape->mark_count++] = (struct mark){out->len, name};
}

struct scrape *scrape_begin(struct metrics *metrics, const struct scrape_lines *lines,
                            void (*print)(struct buf *out))
{
    struct scrape *scrape = ensure_zalloc(sizeof(*scrape));

    scrape->lines = *lines;
    if (lines->begin != NULL) scrape->taken = lines->begin(lines->of);
    metrics_print_with(metrics, &scrape->text, add_mark, scrape);
    if (print != NULL) print(&scrape->text);
    scrape->is_rest_told = lines->rest == NULL;
    return scrape;
}

/* Where the text at hand ends: at a name that may have more lines, or at its own end. */
static size_t text_end(const struct scrape *scrape)
{
    return scrape->mark_next < scrape->mark_count ? scrape->marks[scrape->mark_next].at
                                                  : scrape->text.len;
}

/* Makes the next piece, which may be empty. False: there is none. */
static bool make_piece(struct scrape *scrape)
{
    buf_clear(&scrape->piece);
    scrape->piece_sent = 0;
    if (scrape->mark_next < scrape->mark_count) {
        const char *name = scrape->marks[scrape->mark_next].name;
        if (!scrape->lines.more(scrape->taken, name, &scrape->piece)) scrape->mark_next++;
        return true;
    }
    if (scrape->is_rest_told) return false;
    scrape->is_rest_told = !scrape->lines.rest(scrape->taken, &scrape->piece);
    return true;
}

static size_t copy(const struct buf *from, size_t *sent, size_t end, void *to, size_t max)
{
    size_t n = end - *sent < max ? end - *sent : max;

    if (n > 0) memcpy(to, from->ptr + *sent, n);
    *sent += n;
    return n;
}

size_t scrape_read(struct scrape *scrape, void *to, size_t max)
{
    char *at = to;
    size_t len = 0;

    ensure(max > 0);
    /* What is left of a piece stands behind the text up to the mark that it was made for. */
    do {
        len += copy(&scrape->piece, &scrape->piece_sent, scrape->piece.len, at + len, max - len);
        len += copy(&scrape->text, &scrape->text_sent, text_end(scrape), at + len, max - len);
    } while (len < max && make_piece(scrape));
    return len;
}

void scrape_end(struct scrape **scrape)
{
    struct scrape *it = *scrape;

    if (it == NULL) return;
    if (it->lines.end != NULL) it->lines.end(it->lines.of, it->taken);
    buf_fini(&it->text);
    buf_fini(&it->piece);
    free(it->marks);
    free(it);
    *scrape = NULL;
}
