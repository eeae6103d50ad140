/* wire/compress.h - the codecs of record data behind one bounded interface.
 *
 * Framing of each: reference/storage.md 2.7. What comes from outside is hostile: reading stops at
 * the limit that the caller gives, whatever the data claims. */
#pragma once
#include "base/buf.h"
#include "wire/batch.h"

/* Each codec's own default. */
#define COMPRESS_LEVEL_DEFAULT INT32_MIN

/* Appends at most `limit` bytes to `*out`. `magic` is that of the batch or message around it (0 has
 * its own lz4 framing). ERR_UNSUPPORTED: no such codec. ERR_CORRUPT. ERR_LIMIT: there is more. On
 * failure `*out` is as long as before. */
MUST_CHECK enum err compress_read(int codec, int magic, struct slice in, size_t limit,
                                  struct buf *out);

/* Appends. Cannot fail: `codec` is one of enum batch_codec, the level was checked by
 * compress_level_is_valid or is the default. */
void compress_write(int codec, int magic, int level, struct slice in, struct buf *out);

/* gzip: -1, 1 to 9; lz4: 1 to 17; zstd: -131072 to 22; others have none but the default. */
bool compress_level_is_valid(int codec, int level);
/* "none", "gzip", "snappy", "lz4", "zstd"; "unknown" for others. */
const char *compress_name(int codec);
/* By the names above, exactly so. ERR_INVALID. */
MUST_CHECK enum err compress_parse(struct slice name, int *codec);
