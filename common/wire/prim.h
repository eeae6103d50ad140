/* wire/prim.h - the primitives of Kafka's protocol: big endian numbers, varints, lengths.
 *
 * The reader is bounded and its error is sticky: after the first error every read yields zero, so
 * that a walk asks once, at its end. What it gives borrows from the bytes it reads. */
#pragma once
#include "base/buf.h"
#include "base/slice.h"
#include "base/uuid.h"

#define PRIM_VARINT_MAX  5  /* bytes of an int32 */
#define PRIM_VARLONG_MAX 10 /* bytes of an int64 */

static inline uint16_t prim_load16(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof(v));
    return __builtin_bswap16(v);
}
static inline uint32_t prim_load32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof(v));
    return __builtin_bswap32(v);
}
static inline uint64_t prim_load64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof(v));
    return __builtin_bswap64(v);
}
static inline void prim_store16(uint8_t *at, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(at, &v, sizeof(v));
}
static inline void prim_store32(uint8_t *at, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(at, &v, sizeof(v));
}
static inline void prim_store64(uint8_t *at, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(at, &v, sizeof(v));
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "loads and stores swap");

/* Signed varints are zig-zag: small magnitudes are short. */
static inline uint64_t prim_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}
static inline int64_t prim_unzigzag(uint64_t v)
{
    return (int64_t)((v >> 1) ^ (~(v & 1) + 1));
}

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    enum err err;
};

static inline struct reader reader_of(struct slice in)
{
    const uint8_t *at = in.ptr == NULL ? (const uint8_t *)"" : in.ptr;
    return (struct reader){.at = at, .end = at + in.len};
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

/* Keeps the first error and leaves nothing to read. */
void reader_fail(struct reader *r, enum err err);

/* The next `n` bytes, or NULL and ERR_TRUNCATED when there are fewer (`n` may be anything). */
static inline const uint8_t *reader_take(struct reader *r, size_t n)
{
    if (__builtin_expect(n > reader_left(r), 0)) {
        reader_fail(r, ERR_TRUNCATED);
        return NULL;
    }
    const uint8_t *at = r->at;
    r->at += n;
    return at;
}

static inline int8_t reader_int8(struct reader *r)
{
    const uint8_t *at = reader_take(r, 1);
    return at == NULL ? 0 : (int8_t)*at;
}
static inline int16_t reader_int16(struct reader *r)
{
    const uint8_t *at = reader_take(r, 2);
    return at == NULL ? 0 : (int16_t)prim_load16(at);
}
static inline int32_t reader_int32(struct reader *r)
{
    const uint8_t *at = reader_take(r, 4);
    return at == NULL ? 0 : (int32_t)prim_load32(at);
}
static inline int64_t reader_int64(struct reader *r)
{
    const uint8_t *at = reader_take(r, 8);
    return at == NULL ? 0 : (int64_t)prim_load64(at);
}
double reader_float64(struct reader *r);
struct uuid reader_uuid(struct reader *r);

/* `n` bytes in place; the null slice after an error. */
static inline struct slice reader_bytes(struct reader *r, size_t n)
{
    const uint8_t *at = reader_take(r, n);
    return at == NULL ? SLICE_NULL : slice_of(at, n);
}

/* At most five bytes, ten for the long one: ERR_CORRUPT when the last still says "more". Bits above
 * the width are dropped, as Kafka's readers do. */
uint32_t reader_uvarint_slow(struct reader *r);
uint64_t reader_uvarlong_slow(struct reader *r);

static inline uint32_t reader_uvarint(struct reader *r)
{
    if (r->at != r->end && *r->at < 0x80) return *r->at++;
    return reader_uvarint_slow(r);
}
static inline uint64_t reader_uvarlong(struct reader *r)
{
    if (r->at != r->end && *r->at < 0x80) return *r->at++;
    return reader_uvarlong_slow(r);
}
static inline int32_t reader_varint(struct reader *r)
{
    return (int32_t)prim_unzigzag(reader_uvarint(r));
}
static inline int64_t reader_varlong(struct reader *r)
{
    return prim_unzigzag(reader_uvarlong(r));
}

/* A length or count before its content: -1 is null, and so reads any negative one. Compact is the
 * flexible versions' form, an unsigned varint of length + 1. */
int32_t reader_length16(struct reader *r);
int32_t reader_length32(struct reader *r);
int32_t reader_length_compact(struct reader *r);

/* Bytes that the varint takes. */
static inline size_t prim_uvarlong_size(uint64_t v)
{
    return (size_t)(((63 - __builtin_clzll(v | 1)) * 9 + 73) / 64);
}
static inline size_t prim_uvarint_size(uint32_t v)
{
    return prim_uvarlong_size(v);
}
static inline size_t prim_varlong_size(int64_t v)
{
    return prim_uvarlong_size(prim_zigzag(v));
}
static inline size_t prim_varint_size(int32_t v)
{
    return prim_varlong_size(v);
}

/* Writes at `at`, which has room for the longest; gives where it ends. */
static inline uint8_t *prim_store_uvarlong(uint8_t *at, uint64_t v)
{
    while (v >= 0x80) {
        *at++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *at++ = (uint8_t)v;
    return at;
}

/* buf_extend without a call where there is room, as there mostly is. */
static inline uint8_t *prim_extend(struct buf *out, size_t n)
{
    if (__builtin_expect(n > out->capacity - out->len, 0)) buf_reserve(out, n);
    uint8_t *at = out->ptr + out->len;
    out->len += n;
    return at;
}

static inline void prim_add_int8(struct buf *out, int8_t v)
{
    *prim_extend(out, 1) = (uint8_t)v;
}
static inline void prim_add_int16(struct buf *out, int16_t v)
{
    prim_store16(prim_extend(out, 2), (uint16_t)v);
}
static inline void prim_add_int32(struct buf *out, int32_t v)
{
    prim_store32(prim_extend(out, 4), (uint32_t)v);
}
static inline void prim_add_int64(struct buf *out, int64_t v)
{
    prim_store64(prim_extend(out, 8), (uint64_t)v);
}
static inline void prim_add_uvarlong(struct buf *out, uint64_t v)
{
    uint8_t *at = prim_extend(out, PRIM_VARLONG_MAX);
    out->len -= PRIM_VARLONG_MAX - (size_t)(prim_store_uvarlong(at, v) - at);
}
static inline void prim_add_uvarint(struct buf *out, uint32_t v)
{
    prim_add_uvarlong(out, v);
}
static inline void prim_add_varint(struct buf *out, int32_t v)
{
    prim_add_uvarlong(out, prim_zigzag(v));
}
static inline void prim_add_varlong(struct buf *out, int64_t v)
{
    prim_add_uvarlong(out, prim_zigzag(v));
}
void prim_add_uuid(struct buf *out, struct uuid v);
/* Length and bytes; null is length -1. At most 32767 bytes (our own strings: more is a bug). */
void prim_add_string(struct buf *out, struct slice s);
/* The compact form: length + 1 as an unsigned varint, null is 0. */
void prim_add_compact(struct buf *out, struct slice s);
/* int32 length and bytes; null is length -1. */
void prim_add_bytes(struct buf *out, struct slice s);
