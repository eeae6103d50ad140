/* broker/log/index.c - see index.h. */
#include "broker/log/index.h"
#include "base/ensure.h"
#include "broker/log/names.h"
#include "wire/prim.h"
#include <stdlib.h>

#define TAIL_BYTES_MAX   4096 /* then the older half goes to the file */
#define TAIL_BYTES_FIRST 96
#define BLOCK_ENTRIES    128 /* of the file are read at once at the end of a search */
#define CHECK_ENTRIES    4096
#define ENTRY_BYTES_MAX  12

static size_t entry_bytes(const struct index *index)
{
    return index->kind == INDEX_OFFSETS ? 8 : 12;
}

static struct index_entry decode(const struct index *index, const uint8_t *at)
{
    if (index->kind == INDEX_OFFSETS)
        return (struct index_entry){(int32_t)prim_load32(at), (int32_t)prim_load32(at + 4)};
    return (struct index_entry){(int64_t)prim_load64(at), (int32_t)prim_load32(at + 8)};
}

static void encode(const struct index *index, uint8_t *at, struct index_entry entry)
{
    if (index->kind == INDEX_OFFSETS) {
        prim_store32(at, (uint32_t)entry.key);
        prim_store32(at + 4, (uint32_t)entry.value);
    } else {
        prim_store64(at, (uint64_t)entry.key);
        prim_store32(at + 8, (uint32_t)entry.value);
    }
}

void index_init(struct index *index, enum index_kind kind)
{
    *index = (struct index){.kind = kind, .count = -1};
}

static enum err use(struct index *index, const struct segment_place *place, int flags,
                    struct log_file **out)
{
    char path[FILES_PATH_MAX];
    const char *extension = index->kind == INDEX_OFFSETS ? NAMES_OFFSETS : NAMES_TIMES;

    enum err err = ERR_OK;
    if (index->slot == NULL)
        err = names_segment(path, place->directory, place->base, extension, place_suffix(place));
    if (err == ERR_OK)
        err = handles_use(place->files, &index->slot, path, FILE_WRITE | FILE_CREATE | flags, out);
    return err;
}

enum err index_create(struct index *index, enum index_kind kind, const struct segment_place *place)
{
    struct log_file *file = NULL;

    *index = (struct index){.kind = kind};
    enum err err = use(index, place, FILE_TRUNCATE, &file);
    handles_drop(&file);
    return err;
}

void index_fini(struct index *index)
{
    handles_forget(&index->slot);
    free(index->tail);
    index->tail = NULL;
    index->tail_capacity = 0;
    index->count = -1;
}

enum err index_use(struct index *index, const struct segment_place *place, struct log_file **out)
{
    return use(index, place, 0, out);
}

/* Reads `n` entries from the file; what the file does not have is corrupt. */
static enum err read_entries(struct index *index, const struct segment_place *place, int32_t first,
                             int32_t n, uint8_t *to)
{
    struct log_file *file = NULL;
    size_t wanted = (size_t)n * entry_bytes(index), got = 0;

    enum err err = use(index, place, 0, &file);
    if (err == ERR_OK)
        err = handles_read(file, (int64_t)first * (int64_t)entry_bytes(index), to, wanted, &got);
    handles_drop(&file);
    return err == ERR_OK && got < wanted ? ERR_CORRUPT : err;
}

enum err index_load(struct index *index, const struct segment_place *place)
{
    struct log_file *file = NULL;
    uint8_t bytes[2 * ENTRY_BYTES_MAX];
    uint64_t size = 0;
    bool is_cut = false;

    if (index->count >= 0) return ERR_OK;
    enum err err = use(index, place, 0, &file);
    if (err == ERR_OK) err = file_size(place->files->env, file->file, &size);
    if (err == ERR_OK && size > INT32_MAX) {
        /* No index of Kafka's or ours. It is a help to find, no more: without it finding is slow.
         */
        err = file_truncate(place->files->env, file->file, 0);
        size = 0;
        is_cut = true;
    }
    handles_drop(&file);
    if (err != ERR_OK) return err;

    int32_t count = (int32_t)(size / entry_bytes(index));
    index->is_damaged = is_cut || size % entry_bytes(index) != 0;
    if (count > 0) {
        int32_t n = count > 1 ? 2 : 1;
        err = read_entries(index, place, count - n, n, bytes);
        if (err != ERR_OK) return err;
        struct index_entry before = decode(index, bytes);
        index->last = decode(index, bytes + (size_t)(n - 1) * entry_bytes(index));
        index->is_damaged |=
            index->last.key < 0 || index->last.value < 0 ||
            (n == 2 && (index->last.key <= before.key || index->last.value < before.value));
    }
    index->count = index->saved = index->tail_first = count;
    return ERR_OK;
}

enum err index_last(struct index *index, const struct segment_place *place, struct index_entry *out)
{
    enum err err = index_load(index, place);

    if (err == ERR_OK && index->count == 0) err = ERR_NOT_FOUND;
    if (err == ERR_OK) *out = index->last;
    return err;
}

bool index_is_full(const struct index *index, int32_t bytes_max)
{
    int32_t room = bytes_max / (int32_t)entry_bytes(index);

    /* A time index keeps a place for the entry that closes its segment. */
    return index->count >= room - (index->kind == INDEX_TIMES ? 1 : 0);
}

static uint8_t *tail_at(const struct index *index, int32_t i)
{
    return index->tail + (size_t)(i - index->tail_first) * entry_bytes(index);
}

static enum err write_unsaved(struct index *index, const struct segment_place *place)
{
    struct log_file *file = NULL;
    size_t bytes = entry_bytes(index);

    if (index->count < 0 || index->saved >= index->count) return ERR_OK;
    enum err err = use(index, place, 0, &file);
    if (err == ERR_OK)
        err = file_write_at(
            place->files->env, file->file, (uint64_t)index->saved * bytes,
            slice_of(tail_at(index, index->saved), (size_t)(index->count - index->saved) * bytes));
    handles_drop(&file);
    if (err == ERR_OK) index->saved = index->count;
    return err;
}

static void drop_tail(struct index *index, int32_t first)
{
    size_t kept = (size_t)(index->count - first) * entry_bytes(index);

    if (kept > 0) memmove(index->tail, tail_at(index, first), kept);
    index->tail_first = first;
    if (kept == 0) {
        free(index->tail);
        index->tail = NULL;
        index->tail_capacity = 0;
    }
}

enum err index_save(struct index *index, const struct segment_place *place, bool slim)
{
    enum err err = write_unsaved(index, place);

    if (err == ERR_OK && slim && index->count >= 0) drop_tail(index, index->count);
    return err;
}

/* Room for one more entry in memory. That older ones cannot be written now is no reason to refuse:
 * they are tried again, and the memory grows meanwhile; only a broken device is an error. */
static enum err make_room(struct index *index, const struct segment_place *place)
{
    size_t used = (size_t)(index->count - index->tail_first) * entry_bytes(index);

    if (used + entry_bytes(index) <= (size_t)index->tail_capacity) return ERR_OK;
    if (used >= TAIL_BYTES_MAX - ENTRY_BYTES_MAX) {
        enum err err = write_unsaved(index, place);
        if (err == ERR_OK) {
            drop_tail(index, index->tail_first + (index->count - index->tail_first) / 2);
            return ERR_OK;
        }
        if (err != ERR_FULL && err != ERR_TOO_MANY) return err;
    }
    index->tail_capacity = index->tail_capacity == 0 ? TAIL_BYTES_FIRST : index->tail_capacity * 2;
    index->tail = ensure_realloc(index->tail, (size_t)index->tail_capacity);
    return ERR_OK;
}

enum err index_add(struct index *index, const struct segment_place *place, struct index_entry entry)
{
    enum err err = index_load(index, place);
    if (err != ERR_OK) return err;

    if (index->count > 0 && entry.key <= index->last.key)
        return index->kind == INDEX_TIMES ? ERR_OK : ERR_INVALID;
    if (index->count > 0 && entry.value < index->last.value) return ERR_INVALID;
    err = make_room(index, place);
    if (err != ERR_OK) return err;
    encode(index, tail_at(index, index->count), entry);
    index->count++;
    index->last = entry;
    return ERR_OK;
}

/* ---- search ---- */

enum field { KEY, VALUE };

static int64_t field_of(struct index_entry entry, enum field field)
{
    return field == KEY ? entry.key : entry.value;
}

/* How many of `n` encoded entries have field < limit: all before all others. */
static int32_t count_below_in(const struct index *index, const uint8_t *entries, int32_t n,
                              enum field field, int64_t limit)
{
    int32_t low = 0, high = n;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        const uint8_t *at = entries + (size_t)middle * entry_bytes(index);
        if (field_of(decode(index, at), field) < limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The same of the whole index: in memory if the answer is there, else in the file, whose last
 * hundred candidates are read at once. */
static enum err count_below(struct index *index, const struct segment_place *place,
                            enum field field, int64_t limit, int32_t *out)
{
    uint8_t block[BLOCK_ENTRIES * ENTRY_BYTES_MAX];
    enum err err = index_load(index, place);
    if (err != ERR_OK) return err;

    int32_t in_tail = index->count - index->tail_first;
    if (in_tail > 0 &&
        (index->tail_first == 0 || field_of(decode(index, index->tail), field) < limit)) {
        *out = index->tail_first + count_below_in(index, index->tail, in_tail, field, limit);
        return ERR_OK;
    }
    int32_t low = 0, high = index->tail_first;
    while (err == ERR_OK && high - low > BLOCK_ENTRIES) {
        int32_t middle = low + (high - low) / 2;
        err = read_entries(index, place, middle, 1, block);
        if (err == ERR_OK && field_of(decode(index, block), field) < limit)
            low = middle + 1;
        else
            high = middle;
    }
    if (err == ERR_OK && high > low) err = read_entries(index, place, low, high - low, block);
    if (err == ERR_OK) *out = low + count_below_in(index, block, high - low, field, limit);
    return err;
}

static enum err entry_at(struct index *index, const struct segment_place *place, int32_t i,
                         struct index_entry *out)
{
    uint8_t bytes[ENTRY_BYTES_MAX];

    if (i >= index->tail_first) {
        *out = decode(index, tail_at(index, i));
        return ERR_OK;
    }
    enum err err = read_entries(index, place, i, 1, bytes);
    if (err == ERR_OK) *out = decode(index, bytes);
    return err;
}

enum err index_find(struct index *index, const struct segment_place *place, int64_t key,
                    struct index_entry *out)
{
    int32_t below = 0;

    if (key == INT64_MAX) return index_last(index, place, out);
    enum err err = count_below(index, place, KEY, key + 1, &below);
    if (err == ERR_OK && below == 0) err = ERR_NOT_FOUND;
    return err == ERR_OK ? entry_at(index, place, below - 1, out) : err;
}

enum err index_find_value(struct index *index, const struct segment_place *place, int64_t value,
                          struct index_entry *out)
{
    int32_t below = 0;
    enum err err = count_below(index, place, VALUE, value, &below);

    if (err == ERR_OK && below == index->count) err = ERR_NOT_FOUND;
    return err == ERR_OK ? entry_at(index, place, below, out) : err;
}

enum err index_sound(struct index *index, const struct segment_place *place, int64_t relative,
                     int32_t *count, struct index_entry last[2])
{
    enum field field = index->kind == INDEX_OFFSETS ? KEY : VALUE;
    uint8_t *block = ensure_malloc(CHECK_ENTRIES * ENTRY_BYTES_MAX);
    struct index_entry before = {-1, 0};
    bool is_over = false;

    *count = 0;
    enum err err = index_save(index, place, true);
    if (err == ERR_OK) err = index_load(index, place);
    for (int32_t first = 0; err == ERR_OK && !is_over && first < index->count;
         first += CHECK_ENTRIES) {
        int32_t n = index->count - first < CHECK_ENTRIES ? index->count - first : CHECK_ENTRIES;
        err = read_entries(index, place, first, n, block);
        for (int32_t i = 0; err == ERR_OK && !is_over && i < n; i++) {
            struct index_entry entry = decode(index, block + (size_t)i * entry_bytes(index));
            is_over = entry.key <= before.key || entry.value < before.value ||
                      field_of(entry, field) >= relative;
            if (is_over) break;
            last[0] = last[1];
            last[1] = before = entry;
            (*count)++;
        }
    }
    free(block);
    return err;
}

enum err index_keep(struct index *index, const struct segment_place *place, int32_t keep)
{
    struct log_file *file = NULL;
    enum err err = index_load(index, place);

    if (err != ERR_OK || keep >= index->count) return err;
    if (keep < index->saved) {
        err = use(index, place, 0, &file);
        if (err == ERR_OK)
            err = file_truncate(place->files->env, file->file, (uint64_t)keep * entry_bytes(index));
        handles_drop(&file);
        if (err != ERR_OK) return err;
        index->saved = keep;
    }
    if (keep > 0) {
        err = entry_at(index, place, keep - 1, &index->last);
        if (err != ERR_OK) return err;
    }
    index->count = keep;
    if (keep < index->tail_first) index->tail_first = keep;
    return ERR_OK;
}

enum err index_truncate(struct index *index, const struct segment_place *place, int64_t relative)
{
    enum field field = index->kind == INDEX_OFFSETS ? KEY : VALUE;
    int32_t keep = 0;
    enum err err = count_below(index, place, field, relative, &keep);

    return err == ERR_OK ? index_keep(index, place, keep) : err;
}
