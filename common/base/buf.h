/* base/buf.h - growable bytes that one owner has; the target of every writer. */
#pragma once
#include "base/slice.h"

struct buf {
    uint8_t *ptr;
    size_t len;
    size_t capacity;
};

static inline void buf_init(struct buf *buf)
{
    *buf = (struct buf){0};
}
void buf_fini(struct buf *buf);

/* Forgets the content, keeps the memory. */
static inline void buf_clear(struct buf *buf)
{
    buf->len = 0;
}

static inline struct slice buf_slice(const struct buf *buf)
{
    return slice_of(buf->ptr == NULL ? (const void *)"" : buf->ptr, buf->len);
}

/* Room for `n` more bytes at the end; gives where to write them. The length is unchanged. */
uint8_t *buf_reserve(struct buf *buf, size_t n);
/* `n` more bytes at the end, not set; gives where they begin. */
uint8_t *buf_extend(struct buf *buf, size_t n);
void buf_add(struct buf *buf, const void *bytes, size_t n);
void buf_add_slice(struct buf *buf, struct slice s);
void buf_add_text(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first `n` bytes. */
void buf_drop_head(struct buf *buf, size_t n);
