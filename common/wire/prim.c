#include "wire/prim.h"
#include "base/ensure.h"

void reader_fail(struct reader *r, enum err err)
{
    if (r->err == ERR_OK) r->err = err;
    r->at = r->end;
}

double reader_float64(struct reader *r)
{
    int64_t bits = reader_int64(r);
    double v;

    _Static_assert(sizeof(v) == sizeof(bits), "IEEE 754 double");
    memcpy(&v, &bits, sizeof(v));
    return v;
}

struct uuid reader_uuid(struct reader *r)
{
    const uint8_t *at = reader_take(r, sizeof(struct uuid));
    struct uuid v = UUID_ZERO;

    if (at != NULL) memcpy(v.bytes, at, sizeof(v.bytes));
    return v;
}

uint32_t reader_uvarint_slow(struct reader *r)
{
    uint32_t v = 0;

    for (unsigned shift = 0; shift < 7 * PRIM_VARINT_MAX; shift += 7) {
        const uint8_t *at = reader_take(r, 1);
        if (at == NULL) return 0;
        v |= (uint32_t)(*at & 0x7f) << shift;
        if (*at < 0x80) return v;
    }
    reader_fail(r, ERR_CORRUPT);
    return 0;
}

uint64_t reader_uvarlong_slow(struct reader *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 7 * PRIM_VARLONG_MAX; shift += 7) {
        const uint8_t *at = reader_take(r, 1);
        if (at == NULL) return 0;
        v |= (uint64_t)(*at & 0x7f) << shift;
        if (*at < 0x80) return v;
    }
    reader_fail(r, ERR_CORRUPT);
    return 0;
}

/* After an error the length is null, so that a walk which has failed allocates nothing. */
static int32_t length_of(const struct reader *r, int32_t length)
{
    return length < 0 || r->err != ERR_OK ? -1 : length;
}

int32_t reader_length16(struct reader *r)
{
    int32_t length = reader_int16(r);
    return length_of(r, length);
}

int32_t reader_length32(struct reader *r)
{
    int32_t length = reader_int32(r);
    return length_of(r, length);
}

int32_t reader_length_compact(struct reader *r)
{
    uint32_t length = reader_uvarint(r) - 1;
    return length_of(r, (int32_t)length);
}

void prim_add_uuid(struct buf *out, struct uuid v)
{
    buf_add(out, v.bytes, sizeof(v.bytes));
}

void prim_add_string(struct buf *out, struct slice s)
{
    ensure(s.len <= INT16_MAX);
    prim_add_int16(out, slice_is_null(s) ? -1 : (int16_t)s.len);
    buf_add_slice(out, s);
}

void prim_add_compact(struct buf *out, struct slice s)
{
    ensure(s.len < INT32_MAX);
    prim_add_uvarint(out, slice_is_null(s) ? 0 : (uint32_t)s.len + 1);
    buf_add_slice(out, s);
}

void prim_add_bytes(struct buf *out, struct slice s)
{
    ensure(s.len <= INT32_MAX);
    prim_add_int32(out, slice_is_null(s) ? -1 : (int32_t)s.len);
    buf_add_slice(out, s);
}
