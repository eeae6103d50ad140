#include "cluster/throttled.h"
#include "base/ensure.h"
#include "base/text.h"
#include <stdlib.h>

static int by_number(const void *a, const void *b)
{
    int32_t one = *(const int32_t *)a, other = *(const int32_t *)b;

    return (one > other) - (one < other);
}

/* One "partition:broker" of `broker`'s. */
static bool read_item(struct slice item, int32_t broker, int32_t *partition)
{
    struct slice head;
    int64_t number, id;

    if (!slice_cut(&item, ':', &head) ||
        text_int(text_trim(head), 0, INT32_MAX, &number) != ERR_OK ||
        text_int(text_trim(item), 0, INT32_MAX, &id) != ERR_OK || id != broker)
        return false;
    *partition = (int32_t)number;
    return true;
}

void throttled_read(struct slice list, int32_t broker, struct throttled *out)
{
    struct slice rest = text_trim(list), item;
    size_t most = 1;
    int32_t partition;

    *out = (struct throttled){0};
    if (rest.len == 0) return;
    if (slice_is(rest, "*")) {
        out->is_all = true;
        return;
    }
    for (size_t i = 0; i < rest.len; i++)
        most += rest.ptr[i] == ',';
    out->partitions = ensure_malloc(most * sizeof(*out->partitions));
    while (slice_cut(&rest, ',', &item))
        if (read_item(item, broker, &partition)) out->partitions[out->count++] = partition;
    if (read_item(rest, broker, &partition)) out->partitions[out->count++] = partition;
    qsort(out->partitions, (size_t)out->count, sizeof(*out->partitions), by_number);
}

void throttled_copy(const struct throttled *from, struct throttled *out)
{
    *out = *from;
    if (from->count == 0) {
        out->partitions = NULL;
        return;
    }
    out->partitions = ensure_malloc((size_t)from->count * sizeof(*out->partitions));
    memcpy(out->partitions, from->partitions, (size_t)from->count * sizeof(*out->partitions));
}

void throttled_fini(struct throttled *throttled)
{
    free(throttled->partitions);
    *throttled = (struct throttled){0};
}

bool throttled_has(const struct throttled *throttled, int32_t partition)
{
    return throttled->is_all ||
           (throttled->count > 0 &&
            bsearch(&partition, throttled->partitions, (size_t)throttled->count, sizeof(partition),
                    by_number) != NULL);
}

void topic_throttles_copy(const struct topic_throttles *from, struct topic_throttles *out)
{
    throttled_copy(&from->leader, &out->leader);
    throttled_copy(&from->follower, &out->follower);
}

void topic_throttles_fini(struct topic_throttles *throttles)
{
    throttled_fini(&throttles->leader);
    throttled_fini(&throttles->follower);
}
