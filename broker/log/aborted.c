#include "broker/log/aborted.h"
#include "base/buf.h"
#include "base/ensure.h"
#include "broker/log/names.h"
#include "wire/prim.h"
#include <stdlib.h>

#define ENTRY_BYTES     34
#define FILE_BYTES_MAX  ((size_t)64 << 20)
#define VERSION_CURRENT 0

static enum err open_file(const struct env *env, const struct segment_place *place, int flags,
                          struct file **out)
{
    char path[FILES_PATH_MAX];
    enum err err =
        names_segment(path, place->directory, place->base, NAMES_ABORTED, place_suffix(place));

    return err == ERR_OK ? files_open(env, path, flags, out) : err;
}

static void write_entry(const struct aborted *entry, uint8_t *to)
{
    prim_store16(to, VERSION_CURRENT);
    prim_store64(to + 2, (uint64_t)entry->producer_id);
    prim_store64(to + 10, (uint64_t)entry->first_offset);
    prim_store64(to + 18, (uint64_t)entry->last_offset);
    prim_store64(to + 26, (uint64_t)entry->last_stable);
}

static struct aborted read_entry(const uint8_t *from)
{
    return (struct aborted){
        .producer_id = (int64_t)prim_load64(from + 2),
        .first_offset = (int64_t)prim_load64(from + 10),
        .last_offset = (int64_t)prim_load64(from + 18),
        .last_stable = (int64_t)prim_load64(from + 26),
    };
}

enum err aborted_add(const struct env *env, const struct segment_place *place,
                     const struct aborted *entry)
{
    struct file *file = NULL;
    uint8_t bytes[ENTRY_BYTES];
    uint64_t size = 0;

    write_entry(entry, bytes);
    enum err err = open_file(env, place, FILE_WRITE | FILE_CREATE, &file);
    if (err == ERR_OK) err = file_size(env, file, &size);
    size -= size % ENTRY_BYTES; /* a write that failed half way */
    if (err == ERR_OK) err = file_write_at(env, file, size, slice_of(bytes, sizeof(bytes)));
    file_close(env, &file);
    return err;
}

enum err aborted_read(const struct env *env, const struct segment_place *place,
                      struct aborted **out, int *count)
{
    char path[FILES_PATH_MAX];
    struct buf bytes;

    buf_init(&bytes);
    enum err err =
        names_segment(path, place->directory, place->base, NAMES_ABORTED, place_suffix(place));
    if (err == ERR_OK) err = files_read_all(env, path, FILE_BYTES_MAX, &bytes);
    if (err == ERR_LIMIT) err = ERR_CORRUPT;
    int n = (int)(bytes.len / ENTRY_BYTES);
    struct aborted *entries = n == 0 ? NULL : ensure_malloc((size_t)n * sizeof(*entries));
    for (int i = 0; err == ERR_OK && i < n; i++) {
        const uint8_t *from = bytes.ptr + (size_t)i * ENTRY_BYTES;
        entries[i] = read_entry(from);
        if (prim_load16(from) != VERSION_CURRENT || entries[i].last_offset < place->base ||
            entries[i].first_offset < 0 || entries[i].first_offset >= entries[i].last_offset ||
            (i > 0 && entries[i].last_offset < entries[i - 1].last_offset))
            err = ERR_CORRUPT;
    }
    buf_fini(&bytes);
    if (err != ERR_OK) {
        free(entries);
        return err;
    }
    *out = entries;
    *count = n;
    return ERR_OK;
}

enum err aborted_check(const struct env *env, const struct segment_place *place)
{
    struct aborted *entries = NULL;
    struct file_status status = {0};
    char path[FILES_PATH_MAX];
    int count = 0;

    enum err err =
        names_segment(path, place->directory, place->base, NAMES_ABORTED, place_suffix(place));
    if (err == ERR_OK) err = files_status(env, path, &status);
    if (err == ERR_OK) err = aborted_read(env, place, &entries, &count);
    free(entries);
    bool is_none = status.size == 0 || status.size % ENTRY_BYTES != 0;
    return err == ERR_OK && is_none ? ERR_CORRUPT : err;
}

enum err aborted_truncate(const struct env *env, const struct segment_place *place, int64_t offset)
{
    struct aborted *entries = NULL;
    struct file *file = NULL;
    int count = 0, keep = 0;

    enum err err = aborted_read(env, place, &entries, &count);
    if (err == ERR_NOT_FOUND) return ERR_OK;
    if (err == ERR_CORRUPT) { /* nothing of it can be believed; the replay of markers cannot be
                                 asked for it: who reads gets too few */
        count = 0;
        err = ERR_OK;
    }
    while (keep < count && entries[keep].last_offset < offset)
        keep++;
    free(entries);
    if (err == ERR_OK) err = open_file(env, place, FILE_WRITE, &file);
    if (err == ERR_OK) err = file_truncate(env, file, (uint64_t)keep * ENTRY_BYTES);
    file_close(env, &file);
    return err;
}
