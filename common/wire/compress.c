#include "wire/compress.h"
#include "base/ensure.h"
#include <lz4.h>
#include <lz4hc.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

/* Where output grows piece by piece. */
#define PIECE_MIN 4096

/* --- gzip --- */

#define GZIP_WINDOW_BITS (15 + 16) /* with the gzip header, and nothing else */

static struct slice piece_of(struct slice in)
{
    return slice_of(in.ptr, in.len < UINT_MAX ? in.len : UINT_MAX);
}

static bool is_gzip(struct slice in)
{
    return slice_starts_with(in, SLICE("\x1f\x8b"));
}

/* Members may follow each other; what comes after and is no member is ignored, as Java does. */
static enum err read_gzip(struct slice in, size_t limit, struct buf *out)
{
    z_stream z = {0};
    size_t start = out->len;
    enum err err = ERR_OK;
    bool ended = false;

    ensure(inflateInit2(&z, GZIP_WINDOW_BITS) == Z_OK);
    while (err == ERR_OK && !ended) {
        struct slice input = piece_of(in);
        size_t produced = out->len - start;
        /* One byte more than allowed shows that there is more. */
        size_t room = produced < PIECE_MIN ? PIECE_MIN : produced;
        if (room > limit - produced) room = limit - produced + 1;
        if (room > UINT_MAX) room = UINT_MAX;
        z.next_in = (Bytef *)(uintptr_t)input.ptr;
        z.avail_in = (uInt)input.len;
        z.next_out = buf_reserve(out, room);
        z.avail_out = (uInt)room;
        int code = inflate(&z, Z_NO_FLUSH);
        size_t used = input.len - z.avail_in;
        in = slice_of(in.ptr + used, in.len - used);
        out->len += room - z.avail_out;
        if (out->len - start > limit) {
            err = ERR_LIMIT;
        } else if (code == Z_STREAM_END) {
            ended = !is_gzip(in);
            if (!ended) ensure(inflateReset(&z) == Z_OK);
        } else if (code != Z_OK) { /* Z_BUF_ERROR: the input ends too early */
            err = ERR_CORRUPT;
        }
    }
    inflateEnd(&z);
    return err;
}

static void write_gzip(int level, struct slice in, struct buf *out)
{
    z_stream z = {0};
    int code = Z_OK;

    if (level == COMPRESS_LEVEL_DEFAULT) level = Z_DEFAULT_COMPRESSION;
    ensure(deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    while (code != Z_STREAM_END) {
        struct slice input = piece_of(in);
        size_t room = PIECE_MIN + input.len / 4;
        if (room > UINT_MAX) room = UINT_MAX;
        z.next_in = (Bytef *)(uintptr_t)input.ptr;
        z.avail_in = (uInt)input.len;
        z.next_out = buf_reserve(out, room);
        z.avail_out = (uInt)room;
        code = deflate(&z, input.len == in.len ? Z_FINISH : Z_NO_FLUSH);
        ensure(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR);
        size_t used = input.len - z.avail_in;
        in = slice_of(in.ptr + used, in.len - used);
        out->len += room - z.avail_out;
    }
    deflateEnd(&z);
}

/* --- snappy: xerial's stream, or one raw block --- */

#define XERIAL_MAGIC       SLICE("\x82SNAPPY\0")
#define XERIAL_HEADER_SIZE 16
#define XERIAL_BLOCK_MAX   (32 * 1024)
/* The longest copy (64 bytes) takes three bytes: a block that claims more than this lies, and is
 * not given memory. */
#define SNAPPY_RATIO_MAX 22

static enum err read_snappy_block(struct slice in, size_t limit, struct buf *out)
{
    size_t length = 0;

    if (snappy_uncompressed_length((const char *)in.ptr, in.len, &length) != SNAPPY_OK ||
        length / SNAPPY_RATIO_MAX > in.len)
        return ERR_CORRUPT;
    if (length > limit) return ERR_LIMIT;
    char *at = (char *)buf_reserve(out, length + 1);
    if (snappy_uncompress((const char *)in.ptr, in.len, at, &length) != SNAPPY_OK)
        return ERR_CORRUPT;
    out->len += length;
    return ERR_OK;
}

static enum err read_snappy(struct slice in, size_t limit, struct buf *out)
{
    size_t start = out->len;
    enum err err = ERR_OK;

    if (in.len < XERIAL_HEADER_SIZE || !slice_starts_with(in, XERIAL_MAGIC))
        return read_snappy_block(in, limit, out);
    while (err == ERR_OK && in.len > 0) {
        struct slice word, block;
        if (slice_starts_with(in, XERIAL_MAGIC)) { /* streams may follow each other */
            err = slice_take(&in, XERIAL_HEADER_SIZE, &word);
            continue;
        }
        err = slice_take(&in, 4, &word);
        if (err == ERR_OK) err = slice_take(&in, prim_load32(word.ptr), &block);
        if (err == ERR_OK) err = read_snappy_block(block, limit - (out->len - start), out);
    }
    return err == ERR_TRUNCATED ? ERR_CORRUPT : err;
}

static void write_snappy(struct slice in, struct buf *out)
{
    buf_add_slice(out, XERIAL_MAGIC);
    prim_add_int32(out, 1); /* version, and the least that a reader must know */
    prim_add_int32(out, 1);
    while (in.len > 0) {
        size_t part = in.len < XERIAL_BLOCK_MAX ? in.len : XERIAL_BLOCK_MAX;
        size_t length = snappy_max_compressed_length(part);
        uint8_t *at = buf_reserve(out, 4 + length);
        ensure(snappy_compress((const char *)in.ptr, part, (char *)at + 4, &length) == SNAPPY_OK);
        prim_store32(at, (uint32_t)length);
        out->len += 4 + length;
        in = slice_of(in.ptr + part, in.len - part);
    }
}

/* --- lz4: Kafka's subset of the frame format, whose rules the library's own reader does not keep
 * --- */

#define LZ4_MAGIC             0x184D2204u
#define LZ4_FLAGS             0x60 /* version 1, independent blocks */
#define LZ4_FLAG_BLOCK_CHECK  0x10
#define LZ4_FLAG_CONTENT_SIZE 0x08
#define LZ4_FLAGS_RESERVED    0x03
#define LZ4_BLOCK_64_KIB      0x40
#define LZ4_BLOCK_STORED      0x80000000u
#define LZ4_BLOCK_BYTES       (64 * 1024)
#define LZ4_RATIO_MAX         255
/* Kafka's default, the one level that does not mean the high-compression mode. */
#define LZ4_LEVEL_FAST 9

static uint32_t load32_little(const uint8_t *at)
{
    return __builtin_bswap32(prim_load32(at));
}

static uint32_t rotate(uint32_t v, int by)
{
    return v << by | v >> (32 - by);
}

/* xxHash32 with seed 0: the checksums of the frame. */
static uint32_t xxhash32(struct slice s)
{
    const uint32_t p1 = 2654435761u, p2 = 2246822519u, p3 = 3266489917u, p4 = 668265263u,
                   p5 = 374761393u;
    const uint8_t *at = s.ptr, *end = s.ptr + s.len;
    uint32_t h = p5;

    if (s.len >= 16) {
        uint32_t lane[4] = {p1 + p2, p2, 0, 0 - p1};
        for (; end - at >= 16; at += 16) {
            for (int i = 0; i < 4; i++)
                lane[i] = rotate(lane[i] + load32_little(at + 4 * i) * p2, 13) * p1;
        }
        h = rotate(lane[0], 1) + rotate(lane[1], 7) + rotate(lane[2], 12) + rotate(lane[3], 18);
    }
    h += (uint32_t)s.len;
    for (; end - at >= 4; at += 4)
        h = rotate(h + load32_little(at) * p3, 17) * p4;
    for (; at < end; at++)
        h = rotate(h + *at * p5, 11) * p1;
    h = (h ^ h >> 15) * p2;
    h = (h ^ h >> 13) * p3;
    return h ^ h >> 16;
}

static uint8_t lz4_header_check(struct slice header)
{
    return (uint8_t)(xxhash32(header) >> 8);
}

static enum err read_lz4_block(struct slice block, bool stored, size_t block_max, struct buf *out)
{
    if (block.len > block_max) return ERR_CORRUPT;
    if (stored) {
        buf_add_slice(out, block);
        return ERR_OK;
    }
    size_t room = block.len * LZ4_RATIO_MAX;
    if (room > block_max) room = block_max;
    char *at = (char *)buf_reserve(out, room + 1);
    int length = LZ4_decompress_safe((const char *)block.ptr, at, (int)block.len, (int)room);
    if (length < 0) return ERR_CORRUPT;
    out->len += (size_t)length;
    return ERR_OK;
}

/* Gives flags and the greatest block, or ERR_CORRUPT / ERR_TRUNCATED. */
static enum err read_lz4_header(struct slice *in, int magic, uint8_t *flags, size_t *block_max)
{
    struct slice head, size, check;

    enum err err = slice_take(in, 6, &head);
    if (err != ERR_OK) return err;
    uint8_t flg = head.ptr[4], bd = head.ptr[5];
    /* Blocks that depend on each other, and a dictionary, are not in the subset. */
    if (load32_little(head.ptr) != LZ4_MAGIC || (flg & 0xe0) != LZ4_FLAGS ||
        (flg & LZ4_FLAGS_RESERVED) != 0 || (bd & 0x8f) != 0 || bd >> 4 < 4)
        return ERR_CORRUPT;
    err = slice_take(in, (flg & LZ4_FLAG_CONTENT_SIZE) != 0 ? 8 : 0, &size);
    if (err == ERR_OK) err = slice_take(in, 1, &check);
    if (err != ERR_OK) return err;
    /* Writers of magic 0 had it over the wrong bytes: there it says nothing. */
    if (magic > 0 && *check.ptr != lz4_header_check(slice_of(head.ptr + 4, 2 + size.len)))
        return ERR_CORRUPT;
    *flags = flg;
    *block_max = (size_t)1 << (8 + 2 * (bd >> 4));
    return ERR_OK;
}

/* What comes after the end mark, a checksum of the content among it, is not read. */
static enum err read_lz4(int magic, struct slice in, size_t limit, struct buf *out)
{
    size_t start = out->len, block_max = 0;
    uint8_t flags = 0;
    bool ended = false;

    enum err err = read_lz4_header(&in, magic, &flags, &block_max);
    while (err == ERR_OK && !ended) {
        struct slice word, block, check;
        err = slice_take(&in, 4, &word);
        if (err != ERR_OK) break;
        uint32_t length = load32_little(word.ptr);
        ended = length == 0;
        if (ended) break;
        err = slice_take(&in, length & ~LZ4_BLOCK_STORED, &block);
        if (err == ERR_OK && (flags & LZ4_FLAG_BLOCK_CHECK) != 0) {
            err = slice_take(&in, 4, &check);
            if (err == ERR_OK && load32_little(check.ptr) != xxhash32(block)) err = ERR_CORRUPT;
        }
        if (err == ERR_OK)
            err = read_lz4_block(block, (length & LZ4_BLOCK_STORED) != 0, block_max, out);
        if (err == ERR_OK && out->len - start > limit) err = ERR_LIMIT;
    }
    return err == ERR_TRUNCATED ? ERR_CORRUPT : err;
}

static void add32_little(struct buf *out, uint32_t v)
{
    prim_add_int32(out, (int32_t)__builtin_bswap32(v));
}

static void write_lz4(int magic, int level, struct slice in, struct buf *out)
{
    const uint8_t header[] = {0x04, 0x22, 0x4d, 0x18, LZ4_FLAGS, LZ4_BLOCK_64_KIB};
    struct slice covered = magic > 0 ? slice_of(header + 4, 2) : slice_of(header, sizeof(header));
    bool fast = level == COMPRESS_LEVEL_DEFAULT || level == LZ4_LEVEL_FAST;

    buf_add(out, header, sizeof(header));
    prim_add_int8(out, (int8_t)lz4_header_check(covered));
    while (in.len > 0) {
        int part = in.len < LZ4_BLOCK_BYTES ? (int)in.len : LZ4_BLOCK_BYTES;
        uint8_t *at = buf_reserve(out, 4 + (size_t)LZ4_compressBound(part));
        const char *from = (const char *)in.ptr;
        char *to = (char *)at + 4;
        /* No room for more than the block itself: then it is stored. */
        int length = fast ? LZ4_compress_default(from, to, part, part - 1)
                          : LZ4_compress_HC(from, to, part, part - 1, level);
        if (length > 0) {
            prim_store32(at, __builtin_bswap32((uint32_t)length));
            out->len += 4 + (size_t)length;
        } else {
            add32_little(out, (uint32_t)part | LZ4_BLOCK_STORED);
            buf_add(out, in.ptr, (size_t)part);
        }
        in = slice_of(in.ptr + part, in.len - (size_t)part);
    }
    add32_little(out, 0);
}

/* --- zstd --- */

/* At once into the output, growing it while it is too small: a stream would need a window of its
 * own, whose size the sender decides. */
static enum err read_zstd(struct slice in, size_t limit, struct buf *out)
{
    unsigned long long claimed = ZSTD_getFrameContentSize(in.ptr, in.len);
    size_t room = in.len < PIECE_MIN ? PIECE_MIN * 4 : in.len * 4;

    if (claimed == ZSTD_CONTENTSIZE_ERROR) return ERR_CORRUPT;
    if (claimed != ZSTD_CONTENTSIZE_UNKNOWN) {
        if (claimed > limit) return ERR_LIMIT;
        /* A lie is found out before it costs much: the first try is bounded by the input. */
        if (claimed < room) room = (size_t)claimed;
    }
    for (;;) {
        if (room > limit) room = limit;
        uint8_t *at = buf_reserve(out, room + 1);
        size_t length = ZSTD_decompress(at, room, in.ptr, in.len);
        if (!ZSTD_isError(length)) {
            out->len += length;
            return ERR_OK;
        }
        if (ZSTD_getErrorCode(length) != ZSTD_error_dstSize_tooSmall) return ERR_CORRUPT;
        if (room == limit) return ERR_LIMIT;
        room = room > limit / 4 ? limit : room * 4 + PIECE_MIN;
    }
}

static void write_zstd(int level, struct slice in, struct buf *out)
{
    size_t room = ZSTD_compressBound(in.len);
    uint8_t *at = buf_reserve(out, room);
    size_t length =
        ZSTD_compress(at, room, in.ptr, in.len, level == COMPRESS_LEVEL_DEFAULT ? 3 : level);

    ensure(!ZSTD_isError(length));
    out->len += length;
}

/* --- all --- */

enum err compress_read(int codec, int magic, struct slice in, size_t limit, struct buf *out)
{
    size_t start = out->len;
    enum err err = ERR_UNSUPPORTED;

    if (limit > SSIZE_MAX) /* so that sums do not wrap */
        limit = SSIZE_MAX;
    if (in.ptr == NULL) in = SLICE("");
    switch (codec) {
    case BATCH_CODEC_NONE:
        err = in.len > limit ? ERR_LIMIT : ERR_OK;
        if (err == ERR_OK) buf_add_slice(out, in);
        break;
    case BATCH_CODEC_GZIP:
        err = read_gzip(in, limit, out);
        break;
    case BATCH_CODEC_SNAPPY:
        err = read_snappy(in, limit, out);
        break;
    case BATCH_CODEC_LZ4:
        err = read_lz4(magic, in, limit, out);
        break;
    case BATCH_CODEC_ZSTD:
        err = read_zstd(in, limit, out);
        break;
    default:
        break;
    }
    if (err != ERR_OK) out->len = start;
    return err;
}

void compress_write(int codec, int magic, int level, struct slice in, struct buf *out)
{
    ensure(compress_level_is_valid(codec, level));
    if (in.ptr == NULL) in = SLICE("");
    switch (codec) {
    case BATCH_CODEC_GZIP:
        write_gzip(level, in, out);
        break;
    case BATCH_CODEC_SNAPPY:
        write_snappy(in, out);
        break;
    case BATCH_CODEC_LZ4:
        write_lz4(magic, level, in, out);
        break;
    case BATCH_CODEC_ZSTD:
        write_zstd(level, in, out);
        break;
    default:
        buf_add_slice(out, in);
        break;
    }
}

bool compress_level_is_valid(int codec, int level)
{
    if (codec < 0 || codec >= BATCH_CODEC_COUNT) return false;
    if (level == COMPRESS_LEVEL_DEFAULT) return true;
    switch (codec) {
    case BATCH_CODEC_GZIP:
        return level == -1 || (level >= 1 && level <= 9);
    case BATCH_CODEC_LZ4:
        return level >= 1 && level <= 17;
    case BATCH_CODEC_ZSTD:
        return level >= -131072 && level <= 22;
    default:
        return false;
    }
}

static const char *const names[BATCH_CODEC_COUNT] = {"none", "gzip", "snappy", "lz4", "zstd"};

const char *compress_name(int codec)
{
    return codec < 0 || codec >= BATCH_CODEC_COUNT ? "unknown" : names[codec];
}

enum err compress_parse(struct slice name, int *codec)
{
    for (int i = 0; i < BATCH_CODEC_COUNT; i++) {
        if (slice_is(name, names[i])) {
            *codec = i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}
