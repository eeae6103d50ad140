/* base/slice.h - bytes that belong to someone else. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Two words: pass and return it by value. Whoever made it says how long it lives. */
struct slice {
    const uint8_t *ptr; /* NULL is Kafka's null, not the empty string */
    size_t len;
};

#define SLICE(literal) ((struct slice){(const uint8_t *)("" literal), sizeof(literal) - 1})
#define SLICE_NULL     ((struct slice){NULL, 0})

/* For printf("%.*s", SLICE_ARGS(s)). */
#define SLICE_ARGS(s) (int)(s).len, (s).ptr == NULL ? "" : (const char *)(s).ptr

static inline struct slice slice_of(const void *ptr, size_t len)
{
    return (struct slice){(const uint8_t *)ptr, len};
}

/* NULL gives the null slice. */
static inline struct slice slice_text(const char *text)
{
    return text == NULL ? SLICE_NULL : slice_of(text, strlen(text));
}

static inline bool slice_is_null(struct slice s)
{
    return s.ptr == NULL;
}

/* Same bytes; null equals only null. */
static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.ptr == NULL) == (b.ptr == NULL) &&
           (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_is(struct slice s, const char *text)
{
    return slice_equal(s, slice_text(text));
}

/* Byte order, as strcmp; null and empty are equal here. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter == 0 ? 0 : memcmp(a.ptr, b.ptr, shorter);

    if (order != 0) return order;
    return (a.len > b.len) - (a.len < b.len);
}

static inline bool slice_starts_with(struct slice s, struct slice head)
{
    return s.len >= head.len && (head.len == 0 || memcmp(s.ptr, head.ptr, head.len) == 0);
}

/* Moves the first `n` bytes of `*from` to `*head`. ERR_TRUNCATED, and nothing moves,
 * when there are fewer. */
MUST_CHECK static inline enum err slice_take(struct slice *from, size_t n, struct slice *head)
{
    if (n > from->len) return ERR_TRUNCATED;
    *head = (struct slice){from->ptr, n};
    if (n > 0) *from = (struct slice){from->ptr + n, from->len - n};
    return ERR_OK;
}

/* The part before the first `separator` goes to `*head`, and `*from` begins behind it. False, and
 * nothing moves, when there is no separator. */
static inline bool slice_cut(struct slice *from, char separator, struct slice *head)
{
    const uint8_t *at = from->len == 0 ? NULL : memchr(from->ptr, separator, from->len);

    if (at == NULL) return false;
    size_t n = (size_t)(at - from->ptr);
    *head = (struct slice){from->ptr, n};
    *from = (struct slice){at + 1, from->len - n - 1};
    return true;
}
