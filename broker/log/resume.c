#include "broker/log/resume.h"
#include "base/ensure.h"
#include <stdlib.h>

/* The batch that an entry leads to, if it is one. */
static enum err read_batch(struct segment *segment, const struct segment_place *place,
                           const struct index_entry *entry, struct scan_batch *out)
{
    struct scan_batch batch = {0};
    struct log_file *file = NULL;
    uint8_t *bytes = NULL;
    size_t n = 0;

    if (entry->value <= 0 || entry->value >= segment->size) return ERR_CORRUPT;
    enum err err = segment_batch_at(segment, place, entry->value, &batch);
    if (err == ERR_NOT_FOUND) err = ERR_CORRUPT;
    if (err == ERR_OK && (batch.magic != 2 || batch.base_offset < segment->base ||
                          batch.last_offset > segment->base + entry->key))
        err = ERR_CORRUPT;
    if (err == ERR_OK) err = segment_use(segment, place, &file);
    if (err == ERR_OK) {
        bytes = ensure_malloc((size_t)batch.size);
        err = handles_read(file, entry->value, bytes, (size_t)batch.size, &n);
    }
    handles_drop(&file);
    if (err == ERR_OK && ((int64_t)n < batch.size || !scan_is_intact(slice_of(bytes, n))))
        err = ERR_CORRUPT;
    free(bytes);
    if (err == ERR_OK) *out = batch;
    return err;
}

enum err resume_find(struct segment *segment, const struct segment_place *place, int64_t point,
                     struct resume *out)
{
    struct index_entry last[2] = {{0}}, ignored[2];
    struct scan_batch batch;
    int32_t offsets = 0, times = 0;

    *out = (struct resume){0, segment->base};
    if (point <= segment->base) return ERR_OK;
    enum err err = index_sound(&segment->offsets, place, point - segment->base, &offsets, last);
    if (err == ERR_OK && offsets < 2) return ERR_OK;
    /* A time that is noted with an entry may be that of any batch since the one before: from there
     * on all are looked at. */
    if (err == ERR_OK) err = read_batch(segment, place, &last[0], &batch);
    if (err == ERR_OK)
        err =
            index_sound(&segment->times, place, batch.base_offset - segment->base, &times, ignored);
    if (err == ERR_OK) err = index_keep(&segment->times, place, times);
    if (err == ERR_OK) err = index_keep(&segment->offsets, place, offsets - 2);
    /* No checksum covers its offset: it must fit, or it would have no place in the index. */
    if (err == ERR_OK && segment->offsets.count > 0 &&
        segment->offsets.last.key >= batch.base_offset - segment->base)
        err = ERR_CORRUPT;
    if (err == ERR_OK) *out = (struct resume){last[0].value, batch.base_offset};
    return err == ERR_CORRUPT ? ERR_OK : err;
}
