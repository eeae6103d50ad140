/* wire/oldset.h - message sets v0 and v1: read.
 *
 * Layout: reference/storage.md 2.4. An entry (batch_entry_take) of magic 0 or 1 is one message, or
 * a wrapper whose value is a compressed message set. The reader gives the messages with their
 * absolute offsets, wrapped or not. */
#pragma once
#include "wire/compress.h"

/* Fewest bytes of a whole entry. */
#define OLDSET_V0_SIZE_MIN (BATCH_PREFIX_SIZE + 14)
#define OLDSET_V1_SIZE_MIN (BATCH_PREFIX_SIZE + 22)

struct oldset_message {
    int64_t offset;     /* absolute */
    int8_t magic;       /* 0 or 1 */
    uint8_t attributes; /* its own; of an inner one without a codec */
    uint32_t crc;       /* its own, as read */
    int64_t timestamp;  /* -1 in magic 0; the wrapper's when the broker stamped it */
    bool has_append_time;
    struct slice key, value; /* may be null */
};

/* One entry, not opened: its checksum and lengths are right. ERR_CORRUPT otherwise. */
MUST_CHECK enum err oldset_view(const struct batch_entry *entry, struct oldset_message *out);

static inline int oldset_codec(const struct oldset_message *message)
{
    return message->attributes & BATCH_CODEC_MASK;
}

/* The messages of one entry: itself, or what it wraps. */
struct oldset_reader {
    struct oldset_message wrapper;
    struct slice left; /* of the inner set */
    bool is_wrapper;
    bool is_first;
    int64_t base; /* what to add to inner offsets */
    int32_t index;
    enum err err;
};

/* Opens the entry; `inner` is cleared and then holds what was compressed, at most `limit` bytes: it
 * must live as long as the messages. ERR_CORRUPT, ERR_LIMIT, ERR_UNSUPPORTED (a codec that there is
 * not in this format), ERR_INVALID_RECORD (a wrapper with a key, without inner messages, within
 * another one, or with offsets that cannot be). */
MUST_CHECK enum err oldset_open(const struct batch_entry *entry, size_t limit, struct buf *inner,
                                struct oldset_reader *out);
/* False at the end, or at an error, which `reader->err` tells: ERR_CORRUPT; ERR_INVALID_RECORD (a
 * wrapper in a wrapper, another format, an offset that cannot be). */
bool oldset_next(struct oldset_reader *reader, struct oldset_message *out);

/* Appends one entry, its checksum set: for tests, tools and down-conversion. `message->attributes`
 * is written as it stands (a codec in it: `value` is already compressed). */
void oldset_write(struct buf *out, const struct oldset_message *message);
