/* broker/tally.c - see tally.h. */
#include "broker/tally.h"
#include "base/ensure.h"
#include <stdlib.h>

static int order_slices(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.ptr, b.ptr, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int order_numbers(int32_t a, int32_t b)
{
    return (a > b) - (a < b);
}

static int order_topics(const void *a, const void *b)
{
    return order_slices(((const struct topic_fact *)a)->topic,
                        ((const struct topic_fact *)b)->topic);
}

static int order_partitions(const void *a, const void *b)
{
    const struct tally_partition *one = a, *other = b;
    int order = order_slices(one->topic, other->topic);

    return order != 0 ? order : order_numbers(one->fact->partition, other->fact->partition);
}

static int order_groups(const void *a, const void *b)
{
    return order_slices((*(const struct census_group *const *)a)->name,
                        (*(const struct census_group *const *)b)->name);
}

static int order_offsets(const void *a, const void *b)
{
    const struct tally_offset *one = a, *other = b;
    int order = order_slices(one->group->name, other->group->name);

    if (order == 0) order = order_slices(one->offset->topic, other->offset->topic);
    return order != 0 ? order : order_numbers(one->offset->partition, other->offset->partition);
}

static void sort(void *at, int count, size_t size, int (*order)(const void *a, const void *b))
{
    if (count > 0) qsort(at, (size_t)count, size, order);
}

/* Shards that have had partitions of a topic count for it; those that have some now show it. */
static void add_topics(struct tally *tally, const struct census *census)
{
    size_t total = 0;
    int kept = 0;

    for (int i = 0; i < census->part_count; i++)
        total += census->parts[i].topic_count;
    tally->topics = ensure_malloc((total + 1) * sizeof(tally->topics[0]));
    for (int i = 0; i < census->part_count; i++)
        for (size_t t = 0; t < census->parts[i].topic_count; t++)
            tally->topics[tally->topic_count++] = census->parts[i].topics[t];
    sort(tally->topics, tally->topic_count, sizeof(tally->topics[0]), order_topics);
    for (int next = 0; next < tally->topic_count;) {
        struct topic_fact sum = tally->topics[next++];
        for (; next < tally->topic_count && slice_equal(tally->topics[next].topic, sum.topic);
             next++) {
            sum.hosted += tally->topics[next].hosted;
            sum.bytes_in += tally->topics[next].bytes_in;
            sum.bytes_out += tally->topics[next].bytes_out;
            sum.messages_in += tally->topics[next].messages_in;
        }
        if (sum.hosted > 0) tally->topics[kept++] = sum;
    }
    tally->topic_count = kept;
}

static bool is_preferred(const struct image *image, struct slice topic,
                         const struct partition_fact *fact)
{
    const struct image_topic *known = image_topic(image, topic);
    struct image_partition partition;

    return known != NULL && image_topic_partition(known, fact->partition, &partition) &&
           partition.replicas.count > 0 && partition.replicas.at[0] == fact->leader;
}

static void add_partitions(struct tally *tally, const struct census *census)
{
    size_t total = 0;

    for (int i = 0; i < census->part_count; i++)
        total += census->parts[i].partition_count;
    tally->partitions = ensure_malloc((total + 1) * sizeof(tally->partitions[0]));
    for (int i = 0; i < census->part_count; i++) {
        const struct census_part *part = &census->parts[i];
        for (size_t p = 0; p < part->partition_count; p++) {
            const struct partition_fact *fact = &part->partitions[p];
            struct slice topic = part->topics[fact->topic_index].topic;
            tally->partitions[tally->partition_count++] = (struct tally_partition){
                .topic = topic,
                .fact = fact,
                .is_preferred = fact->is_leader && is_preferred(census->image, topic, fact),
            };
        }
    }
    sort(tally->partitions, tally->partition_count, sizeof(tally->partitions[0]), order_partitions);
}

const struct tally_partition *tally_find(const struct tally *tally, struct slice topic,
                                         int32_t partition)
{
    const struct partition_fact fact = {.partition = partition};
    const struct tally_partition wanted = {.topic = topic, .fact = &fact};

    if (tally->partition_count == 0) return NULL;
    return bsearch(&wanted, tally->partitions, (size_t)tally->partition_count,
                   sizeof(tally->partitions[0]), order_partitions);
}

static void add_groups(struct tally *tally, const struct census *census)
{
    size_t groups = 0, offsets = 0;

    for (int i = 0; i < census->part_count; i++) {
        groups += census->parts[i].group_count;
        offsets += census->parts[i].offset_count;
    }
    tally->groups = ensure_malloc((groups + 1) * sizeof(tally->groups[0]));
    tally->offsets = ensure_malloc((offsets + 1) * sizeof(tally->offsets[0]));
    for (int i = 0; i < census->part_count; i++) {
        const struct census_part *part = &census->parts[i];
        for (size_t g = 0; g < part->group_count; g++) {
            const struct census_group *group = &part->groups[g];
            tally->groups[tally->group_count++] = group;
            for (size_t o = 0; o < group->offsets_count; o++) {
                const struct census_offset *offset = &part->offsets[group->offsets_from + o];
                const struct tally_partition *at =
                    tally_find(tally, offset->topic, offset->partition);
                tally->offsets[tally->offset_count++] =
                    (struct tally_offset){.group = group,
                                          .offset = offset,
                                          .end = at == NULL ? -1 : at->fact->high_watermark};
            }
        }
    }
    sort(tally->groups, tally->group_count, sizeof(tally->groups[0]), order_groups);
    sort(tally->offsets, tally->offset_count, sizeof(tally->offsets[0]), order_offsets);
}

void tally_init(struct tally *tally, const struct census *census)
{
    *tally = (struct tally){0};
    add_topics(tally, census);
    add_partitions(tally, census);
    add_groups(tally, census);
}

void tally_fini(struct tally *tally)
{
    free(tally->topics);
    free(tally->partitions);
    free(tally->groups);
    free(tally->offsets);
    *tally = (struct tally){0};
}
