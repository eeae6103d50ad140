/* broker/log/epochs.c - a sorted array: appended at the end, cut at both. */
#include "broker/log/epochs.h"
#include "base/ensure.h"
#include <stdlib.h>
#include <string.h>

static bool is_sorted(const struct epochs *epochs)
{
    for (int i = 1; i < epochs->count; i++)
        if (epochs->at[i - 1].epoch >= epochs->at[i].epoch ||
            epochs->at[i - 1].start >= epochs->at[i].start)
            return false;
    return true;
}

void epochs_init(struct epochs *epochs)
{
    *epochs = (struct epochs){0};
}

void epochs_fini(struct epochs *epochs)
{
    free(epochs->at);
    *epochs = (struct epochs){0};
}

static void reserve(struct epochs *epochs, int32_t capacity)
{
    if (capacity <= epochs->capacity) return;
    epochs->at = ensure_realloc(epochs->at, (size_t)capacity * sizeof(*epochs->at));
    epochs->capacity = capacity;
}

void epochs_copy(struct epochs *to, const struct epochs *from)
{
    reserve(to, from->count);
    if (from->count > 0) memcpy(to->at, from->at, (size_t)from->count * sizeof(*from->at));
    to->count = from->count;
}

bool epochs_equal(const struct epochs *a, const struct epochs *b)
{
    if (a->count != b->count) return false;
    for (int i = 0; i < a->count; i++)
        if (a->at[i].epoch != b->at[i].epoch || a->at[i].start != b->at[i].start) return false;
    return true;
}

enum err epochs_start(struct epochs *epochs, int32_t epoch, int64_t start, bool *changed)
{
    if (epoch < 0 || start < 0) return ERR_INVALID;

    if (epochs->count > 0) {
        const struct epoch_entry *latest = &epochs->at[epochs->count - 1];
        if (epoch == latest->epoch && start >= latest->start) {
            *changed = false;
            return ERR_OK;
        }
    }
    while (epochs->count > 0 && (epochs->at[epochs->count - 1].epoch >= epoch ||
                                 epochs->at[epochs->count - 1].start >= start))
        epochs->count--;

    if (epochs->count == epochs->capacity)
        reserve(epochs, epochs->capacity == 0 ? 2 : epochs->capacity * 2);
    epochs->at[epochs->count++] = (struct epoch_entry){epoch, start};
    *changed = true;
    ensure_slow(is_sorted(epochs));
    return ERR_OK;
}

/* How many entries have an epoch of at most `epoch`. */
static int count_up_to(const struct epochs *epochs, int32_t epoch)
{
    int low = 0, high = epochs->count;

    while (low < high) {
        int middle = low + (high - low) / 2;
        if (epochs->at[middle].epoch <= epoch)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct epoch_end epochs_end_of(const struct epochs *epochs, int32_t epoch, int64_t end_offset)
{
    const struct epoch_end unknown = {-1, -1};

    if (epoch == -1 || epochs->count == 0) return unknown;
    if (epoch == epochs->at[epochs->count - 1].epoch) return (struct epoch_end){epoch, end_offset};

    int below = count_up_to(epochs, epoch);
    if (below == epochs->count) return unknown;
    return (struct epoch_end){below == 0 ? epoch : epochs->at[below - 1].epoch,
                              epochs->at[below].start};
}

struct epoch_entry epochs_latest(const struct epochs *epochs)
{
    return epochs->count == 0 ? (struct epoch_entry){-1, -1} : epochs->at[epochs->count - 1];
}

struct epoch_entry epochs_earliest(const struct epochs *epochs)
{
    return epochs->count == 0 ? (struct epoch_entry){-1, -1} : epochs->at[0];
}

int32_t epochs_at(const struct epochs *epochs, int64_t offset)
{
    for (int i = epochs->count - 1; i >= 0; i--)
        if (epochs->at[i].start <= offset) return epochs->at[i].epoch;
    return -1;
}

bool epochs_truncate_end(struct epochs *epochs, int64_t offset)
{
    int32_t before = epochs->count;

    while (epochs->count > 0 && epochs->at[epochs->count - 1].start >= offset)
        epochs->count--;
    return epochs->count != before;
}

bool epochs_truncate_start(struct epochs *epochs, int64_t offset)
{
    int32_t gone = 0;

    while (gone < epochs->count && epochs->at[gone].start <= offset)
        gone++;
    if (gone == 0 || (gone == 1 && epochs->at[0].start == offset)) return false;

    /* The last of them is still the epoch of what is at `offset`. */
    epochs->at[gone - 1].start = offset;
    memmove(epochs->at, epochs->at + gone - 1,
            (size_t)(epochs->count - gone + 1) * sizeof(*epochs->at));
    epochs->count -= gone - 1;
    ensure_slow(is_sorted(epochs));
    return true;
}

bool epochs_clear(struct epochs *epochs)
{
    bool had = epochs->count > 0;

    epochs->count = 0;
    return had;
}
