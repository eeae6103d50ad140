#include "base/buf.h"
#include "base/ensure.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPACITY_MIN 64

void buf_fini(struct buf *buf)
{
    free(buf->ptr);
    *buf = (struct buf){0};
}

uint8_t *buf_reserve(struct buf *buf, size_t n)
{
    ensure(n <= SIZE_MAX - buf->len);
    size_t need = buf->len + n;
    if (need > buf->capacity) {
        size_t capacity = buf->capacity < CAPACITY_MIN ? CAPACITY_MIN : buf->capacity;
        while (capacity < need)
            capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
        buf->ptr = ensure_realloc(buf->ptr, capacity);
        buf->capacity = capacity;
    }
    return buf->ptr + buf->len;
}

uint8_t *buf_extend(struct buf *buf, size_t n)
{
    uint8_t *at = buf_reserve(buf, n);

    buf->len += n;
    return at;
}

void buf_add(struct buf *buf, const void *bytes, size_t n)
{
    if (n > 0) memcpy(buf_extend(buf, n), bytes, n);
}

void buf_add_slice(struct buf *buf, struct slice s)
{
    buf_add(buf, s.ptr, s.len);
}

void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    /* Mostly there is room for it; if not, it says how much it wants. */
    size_t room = buf->capacity - buf->len;
    int len = vsnprintf(room == 0 ? NULL : (char *)buf->ptr + buf->len, room, format, args);
    va_end(args);
    ensure(len >= 0);
    if ((size_t)len >= room)
        vsnprintf((char *)buf_reserve(buf, (size_t)len + 1), (size_t)len + 1, format, again);
    va_end(again);
    buf->len += (size_t)len;
}

void buf_drop_head(struct buf *buf, size_t n)
{
    ensure(n <= buf->len);
    if (n > 0 && n < buf->len) memmove(buf->ptr, buf->ptr + n, buf->len - n);
    buf->len -= n;
}
