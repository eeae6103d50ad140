/* Records as a producer sends them. The checksum is made right, so that what is behind it is
 * reached: header, codec, records. The walk and the reader must agree. */
#include "base/buf.h"
#include "tests/fuzz/fuzz.h"
#include "wire/record.h"
#include <stdlib.h>

#define PLAIN_MAX (1 << 20)

static void read_records(const struct batch *batch, struct slice records)
{
    struct record_reader reader = record_reader_of(records, batch->record_count);
    struct record_walk walk = {0};
    struct record record;
    struct record_header header;
    int32_t count = 0, nulls = 0;

    enum err err = record_walk(records, batch->record_count, &walk);
    while (record_next(&reader, &record)) {
        struct slice headers = record.headers;
        int32_t header_count = 0;
        while (record_header_next(&headers, &header))
            header_count++;
        ensure(header_count == record.header_count);
        nulls += slice_is_null(record.key);
        ensure(record.index == count);
        count++;
    }
    ensure(record_reader_end(&reader) == err);
    if (err == ERR_OK)
        ensure(count == batch->record_count && nulls == walk.null_keys);
    else
        ensure(walk.bad_index == count);
}

static void read_batch(struct slice bytes)
{
    struct batch batch, again;
    struct buf plain;

    if (batch_view(bytes, &batch) != ERR_OK) return;
    batch_seal((uint8_t *)(uintptr_t)bytes.ptr, bytes.len); /* our own copy */
    struct slice from = bytes;
    ensure(batch_take(&from, &again) == ERR_OK && from.len == 0);
    ensure(again.last_offset_delta == batch.last_offset_delta);
    batch_set_max_timestamp((uint8_t *)(uintptr_t)bytes.ptr, bytes.len, true, 7);
    from = bytes;
    ensure(batch_take(&from, &again) == ERR_OK && batch_has_append_time(&again));
    (void)batch_last_sequence(&batch);

    buf_init(&plain);
    if (batch_codec(&batch) == BATCH_CODEC_NONE)
        read_records(&batch, batch.records);
    else if (compress_read(batch_codec(&batch), BATCH_MAGIC, batch.records, PLAIN_MAX, &plain) ==
             ERR_OK)
        read_records(&batch, buf_slice(&plain));
    ensure(plain.len <= PLAIN_MAX);
    buf_fini(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = ensure_malloc(size + 1);
    struct batch_entry entry;

    memcpy(copy, data, size);
    struct slice from = slice_of(copy, size);
    while (batch_entry_take(&from, &entry) == ERR_OK) {
        if (entry.magic == BATCH_MAGIC) read_batch(entry.bytes);
    }
    free(copy);
    return 0;
}
