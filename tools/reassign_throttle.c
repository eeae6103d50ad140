#include "tools/reassign_throttle.h"
#include <stdlib.h>

static struct broker_ids without(struct broker_ids from, struct broker_ids gone,
                                 struct arena *arena)
{
    int32_t *ids = arena_zalloc(arena, (size_t)(from.count + 1) * sizeof(*ids));
    int32_t count = 0;

    for (int32_t i = 0; i < from.count; i++)
        if (!broker_ids_have(gone, from.at[i])) ids[count++] = from.at[i];
    return (struct broker_ids){ids, count};
}

static struct flow *find(struct flow_list *list, struct topic_partition at)
{
    for (int32_t i = 0; i < list->count; i++)
        if (list->at[i].at.partition == at.partition && slice_equal(list->at[i].at.topic, at.topic))
            return &list->at[i];
    return NULL;
}

static int in_order(const void *a, const void *b)
{
    const struct flow *one = a, *other = b;
    int order = slice_compare(one->at.topic, other->at.topic);

    if (order != 0) return order;
    return (one->at.partition > other->at.partition) - (one->at.partition < other->at.partition);
}

void flows_of(const struct move_list *moving, const struct broker_ids *adding,
              const struct move_list *wanted, const struct move_list *now, struct arena *arena,
              struct flow_list *out)
{
    out->at = arena_zalloc(arena, (size_t)(moving->count + wanted->count + 1) * sizeof(*out->at));
    out->count = 0;
    for (int32_t i = 0; i < moving->count; i++)
        out->at[out->count++] =
            (struct flow){.at = moving->at[i].at,
                          .sources = without(moving->at[i].replicas, adding[i], arena),
                          .targets = adding[i]};
    for (int32_t i = 0; i < wanted->count; i++) {
        const struct move *move = &wanted->at[i];
        struct flow *flow = find(out, move->at);
        if (flow == NULL) {
            const struct move *is = reassign_find(now, move->at);
            flow = &out->at[out->count++];
            *flow = (struct flow){.at = move->at};
            if (is != NULL) flow->sources = is->replicas;
        }
        flow->targets = without(move->replicas, flow->sources, arena);
    }
    if (out->count > 1) qsort(out->at, (size_t)out->count, sizeof(*out->at), in_order);
}

struct pair {
    char text[24];
};

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->text, ((const struct pair *)b)->text);
}

static void write_pairs(struct buf *out, const struct flow *first, int32_t count, bool is_target)
{
    struct buf all = {0};
    size_t pairs = 0;

    for (int32_t i = 0; i < count; i++) {
        struct broker_ids ids = is_target ? first[i].targets : first[i].sources;
        for (int32_t k = 0; k < ids.count; k++, pairs++) {
            struct pair pair = {0};
            struct buf text = {0};
            buf_printf(&text, "%d:%d", first[i].at.partition, ids.at[k]);
            memcpy(pair.text, text.ptr, text.len);
            buf_add(&all, &pair, sizeof(pair));
            buf_fini(&text);
        }
    }
    if (pairs > 1) qsort(all.ptr, pairs, sizeof(struct pair), by_text);
    for (size_t i = 0; i < pairs; i++) {
        const struct pair *pair = (const struct pair *)(const void *)(all.ptr + i * sizeof(*pair));
        buf_printf(out, "%s%s", i == 0 ? "" : ",", pair->text);
    }
    buf_fini(&all);
}

void flows_write_sources(struct buf *out, const struct flow *first, int32_t count)
{
    write_pairs(out, first, count, false);
}

void flows_write_targets(struct buf *out, const struct flow *first, int32_t count)
{
    write_pairs(out, first, count, true);
}

static int by_number(const void *a, const void *b)
{
    int32_t one = *(const int32_t *)a, other = *(const int32_t *)b;

    return (one > other) - (one < other);
}

struct broker_ids flows_brokers(const struct flow_list *flows, struct arena *arena)
{
    size_t most = 1;
    int32_t count = 0;

    for (int32_t i = 0; i < flows->count; i++)
        most += (size_t)flows->at[i].sources.count + (size_t)flows->at[i].targets.count;
    int32_t *ids = arena_zalloc(arena, most * sizeof(*ids));
    for (int32_t i = 0; i < flows->count; i++)
        for (int side = 0; side < 2; side++) {
            struct broker_ids from = side == 0 ? flows->at[i].sources : flows->at[i].targets;
            for (int32_t k = 0; k < from.count; k++)
                if (!broker_ids_have((struct broker_ids){ids, count}, from.at[k]))
                    ids[count++] = from.at[k];
        }
    if (count > 1) qsort(ids, (size_t)count, sizeof(*ids), by_number);
    return (struct broker_ids){ids, count};
}
