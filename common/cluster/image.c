#include "cluster/image.h"
#include "base/ensure.h"
#include <stdlib.h>

#define IDS_MAX UINT16_MAX /* in one list; more brokers than any cluster has */

/* One partition as it is kept; its ids are at `first` of the topic's. */
struct packed {
    int32_t partition;
    int32_t leader;
    int32_t leader_epoch;
    int32_t partition_epoch;
    int32_t controller_epoch;
    uint32_t first;
    uint16_t replicas, isr, offline; /* counts */
    uint16_t isr_is_replicas;        /* the usual case: one list serves both */
};
_Static_assert(sizeof(struct packed) == 32, "50,000 partitions stay compact");

/* One allocation: this, the partitions, the ids, the name. Never changed once it is in an image,
 * but for the first two fields, which are the control shard's. */
struct image_topic {
    struct image_topic *next_retired;
    bool is_retired;
    struct uuid id;
    int32_t partition_count;
    uint32_t name_len;
    int32_t *ids;
    uint8_t *name;
    struct packed partitions[];
};

struct brokers {
    uint32_t references; /* images that have it */
    int count;
    struct endpoint *endpoints;
    uint8_t *text;
    struct image_broker at[];
};

struct image {
    struct image *older, *newer;
    uint32_t references;
    uint64_t version;
    int32_t controller_id;
    int64_t partition_total;
    struct brokers *brokers;
    int topic_count, id_count;
    struct image_topic **by_name;
    struct image_topic **by_id;  /* those that have an id */
    struct image_topic *retired; /* in this image or older ones, not in newer ones */
};

/* ---- brokers ---- */

static int compare_broker_ids(const void *a, const void *b)
{
    int32_t left = ((const struct image_broker *)a)->id,
            right = ((const struct image_broker *)b)->id;

    return (left > right) - (left < right);
}

static struct slice keep_text(uint8_t **at, struct slice text)
{
    if (slice_is_null(text)) return SLICE_NULL;
    struct slice kept = slice_of(*at, text.len);
    if (text.len > 0) memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return kept;
}

static struct brokers *brokers_create(const struct image_broker *from, int count)
{
    size_t endpoints = 0, text = 1;

    for (int i = 0; i < count; i++) {
        text += from[i].rack.len;
        endpoints += (size_t)from[i].endpoint_count;
        for (int j = 0; j < from[i].endpoint_count; j++)
            text += from[i].endpoints[j].listener.len + from[i].endpoints[j].host.len;
    }
    struct brokers *all = ensure_zalloc(sizeof(*all) + (size_t)count * sizeof(all->at[0]));
    all->references = 1;
    all->count = count;
    all->endpoints = ensure_malloc((endpoints + 1) * sizeof(*all->endpoints));
    all->text = ensure_malloc(text);

    struct endpoint *endpoint = all->endpoints;
    uint8_t *end = all->text;
    for (int i = 0; i < count; i++) {
        all->at[i] = from[i];
        all->at[i].rack = keep_text(&end, from[i].rack);
        all->at[i].endpoints = endpoint;
        for (int j = 0; j < from[i].endpoint_count; j++, endpoint++) {
            *endpoint = from[i].endpoints[j];
            endpoint->listener = keep_text(&end, endpoint->listener);
            endpoint->host = keep_text(&end, endpoint->host);
        }
    }
    qsort(all->at, (size_t)count, sizeof(all->at[0]), compare_broker_ids);
    return all;
}

static void brokers_release(struct brokers *brokers)
{
    if (--brokers->references > 0) return;
    free(brokers->endpoints);
    free(brokers->text);
    free(brokers);
}

/* ---- topics ---- */

/* Gathers what a new topic consists of, before its one allocation. */
struct draft {
    struct slice name;
    struct uuid id;
    struct image_partition *partitions;
    int count;
};

static int32_t list_count(struct broker_ids ids)
{
    return ids.count < 0 ? 0 : ids.count > IDS_MAX ? IDS_MAX : ids.count;
}

static size_t ids_of(const struct image_partition *p)
{
    size_t isr = broker_ids_equal(p->isr, p->replicas) ? 0 : (size_t)list_count(p->isr);

    return (size_t)list_count(p->replicas) + isr + (size_t)list_count(p->offline);
}

static uint16_t keep_ids(int32_t **at, struct broker_ids ids)
{
    int32_t count = list_count(ids);

    if (count > 0) memcpy(*at, ids.at, (size_t)count * sizeof(*ids.at));
    *at += count;
    return (uint16_t)count;
}

static struct image_topic *topic_create(const struct draft *draft)
{
    size_t ids = 0, count = (size_t)draft->count;

    for (size_t i = 0; i < count; i++)
        ids += ids_of(&draft->partitions[i]);
    struct image_topic *topic = ensure_malloc(sizeof(*topic) + count * sizeof(struct packed) +
                                              ids * sizeof(int32_t) + draft->name.len);
    *topic = (struct image_topic){
        .id = draft->id, .partition_count = draft->count, .name_len = (uint32_t)draft->name.len};
    topic->ids = (int32_t *)(void *)&topic->partitions[count];
    topic->name = (uint8_t *)(topic->ids + ids);
    if (draft->name.len > 0) memcpy(topic->name, draft->name.ptr, draft->name.len);

    int32_t *end = topic->ids;
    for (size_t i = 0; i < count; i++) {
        const struct image_partition *from = &draft->partitions[i];
        struct packed *to = &topic->partitions[i];
        *to = (struct packed){.partition = from->partition,
                              .leader = from->leader,
                              .leader_epoch = from->leader_epoch,
                              .partition_epoch = from->partition_epoch,
                              .controller_epoch = from->controller_epoch,
                              .first = (uint32_t)(end - topic->ids),
                              .isr_is_replicas = broker_ids_equal(from->isr, from->replicas)};
        to->replicas = keep_ids(&end, from->replicas);
        to->isr = to->isr_is_replicas ? to->replicas : keep_ids(&end, from->isr);
        to->offline = keep_ids(&end, from->offline);
    }
    return topic;
}

static struct image_partition unpack(const struct image_topic *topic, const struct packed *p)
{
    const int32_t *ids = topic->ids + p->first;
    uint32_t isr = p->isr_is_replicas ? 0 : p->replicas;
    uint32_t offline = p->isr_is_replicas ? p->replicas : (uint32_t)p->replicas + p->isr;

    return (struct image_partition){
        .partition = p->partition,
        .leader = p->leader,
        .leader_epoch = p->leader_epoch,
        .partition_epoch = p->partition_epoch,
        .controller_epoch = p->controller_epoch,
        .replicas = {ids, p->replicas},
        .isr = {ids + isr, p->isr},
        .offline = {ids + offline, p->offline},
    };
}

static int compare_partitions(const void *a, const void *b)
{
    const struct image_partition *left = *(const struct image_partition *const *)a;
    const struct image_partition *right = *(const struct image_partition *const *)b;

    if (left->partition != right->partition) return left->partition < right->partition ? -1 : 1;
    return (left > right) - (left < right); /* both are of one array: its order */
}

/* Adds `from` unless it says that the partition goes. */
static void draft_add(struct draft *draft, const struct image_partition *from)
{
    if (from->leader != LEADER_DURING_DELETE) draft->partitions[draft->count++] = *from;
}

/* `old` with `change` applied: a new topic, or NULL when nothing is left of it. */
static struct image_topic *topic_next(const struct image_topic *old,
                                      const struct image_topic_change *change)
{
    bool is_other = old != NULL && !uuid_is_zero(old->id) && !uuid_is_zero(change->id) &&
                    !uuid_equal(old->id, change->id);
    int kept = old == NULL || is_other || change->is_whole ? 0 : old->partition_count;
    size_t most = (size_t)kept + (size_t)change->partition_count;

    if (change->is_gone || most == 0) return NULL;
    struct draft draft = {.name = change->name, .id = change->id};
    if (uuid_is_zero(change->id) && old != NULL) draft.id = old->id;
    draft.partitions = ensure_malloc(most * sizeof(*draft.partitions));
    const struct image_partition **news =
        ensure_malloc(((size_t)change->partition_count + 1) * sizeof(*news));
    int count = 0, at = 0;
    for (int i = 0; i < change->partition_count; i++)
        if (change->partitions[i].partition >= 0) news[count++] = &change->partitions[i];
    qsort(news, (size_t)count, sizeof(*news), compare_partitions);

    for (int i = 0; i < kept || at < count;) {
        if (i < kept && (at == count || old->partitions[i].partition < news[at]->partition)) {
            struct image_partition same = unpack(old, &old->partitions[i++]);
            draft_add(&draft, &same);
            continue;
        }
        if (i < kept && old->partitions[i].partition == news[at]->partition) i++;
        const struct image_partition *last = news[at++];
        while (at < count && news[at]->partition == last->partition)
            last = news[at++]; /* said twice: the last counts */
        draft_add(&draft, last);
    }
    struct image_topic *topic = draft.count == 0 ? NULL : topic_create(&draft);
    free(draft.partitions);
    free(news);
    return topic;
}

static struct slice name_of(const struct image_topic *topic)
{
    return slice_of(topic->name, topic->name_len);
}

/* ---- images ---- */

static void image_free(struct image *image)
{
    brokers_release(image->brokers);
    free(image->by_name);
    free(image->by_id);
    free(image);
}

static void retired_free(struct image_topic *topic)
{
    while (topic != NULL) {
        struct image_topic *next = topic->next_retired;
        free(topic);
        topic = next;
    }
}

struct image *image_create(void)
{
    struct image *image = ensure_zalloc(sizeof(*image));

    image->references = 1;
    image->controller_id = BROKER_NONE;
    image->brokers = brokers_create(NULL, 0);
    return image;
}

static int compare_changes(const void *a, const void *b)
{
    const struct image_topic_change *left = *(const struct image_topic_change *const *)a;
    const struct image_topic_change *right = *(const struct image_topic_change *const *)b;
    int order = slice_compare(left->name, right->name);

    return order != 0 ? order : (left > right) - (left < right);
}

static int compare_topic_ids(const void *a, const void *b)
{
    const struct image_topic *left = *(struct image_topic *const *)a;
    const struct image_topic *right = *(struct image_topic *const *)b;

    return memcmp(left->id.bytes, right->id.bytes, sizeof(left->id.bytes));
}

/* Lets `topic` go with the images before the next one. */
static void retire(struct image *image, struct image_topic *topic)
{
    topic->is_retired = true;
    topic->next_retired = image->retired;
    image->retired = topic;
}

/* The topics that `next` has, by name; `fresh` gets those that are new or changed. */
static void merge_names(struct image *old, struct image *next, const struct image_change *change,
                        struct image_topic **fresh, int *fresh_count)
{
    const struct image_topic_change **changes =
        ensure_malloc(((size_t)change->topic_count + 1) * sizeof(*changes));
    int count = change->topic_count, at = 0, i = 0;

    for (int j = 0; j < count; j++)
        changes[j] = &change->topics[j];
    qsort(changes, (size_t)count, sizeof(*changes), compare_changes);

    while (i < old->topic_count || at < count) {
        int order = i == old->topic_count ? 1
                    : at == count         ? -1
                                  : slice_compare(name_of(old->by_name[i]), changes[at]->name);
        if (order < 0) {
            if (change->is_whole)
                retire(old, old->by_name[i]);
            else
                next->by_name[next->topic_count++] = old->by_name[i];
            i++;
            continue;
        }
        while (at + 1 < count && slice_compare(changes[at]->name, changes[at + 1]->name) == 0)
            at++; /* said twice: the last counts */
        struct image_topic *before = order == 0 ? old->by_name[i++] : NULL;
        struct image_topic *topic = topic_next(before, changes[at++]);
        if (before != NULL) retire(old, before);
        if (topic != NULL) next->by_name[next->topic_count++] = fresh[(*fresh_count)++] = topic;
    }
    free(changes);
}

static void merge_ids(const struct image *old, struct image *next, struct image_topic **fresh,
                      int fresh_count)
{
    int count = 0, at = 0, i = 0;

    for (int j = 0; j < fresh_count; j++)
        if (!uuid_is_zero(fresh[j]->id)) fresh[count++] = fresh[j];
    qsort(fresh, (size_t)count, sizeof(struct image_topic *), compare_topic_ids);
    while (i < old->id_count || at < count) {
        if (i < old->id_count && old->by_id[i]->is_retired) {
            i++;
            continue;
        }
        bool is_old = i < old->id_count &&
                      (at == count || compare_topic_ids(&old->by_id[i], &fresh[at]) <= 0);
        next->by_id[next->id_count++] = is_old ? old->by_id[i++] : fresh[at++];
    }
}

static int64_t partitions_of(struct image_topic *const *topics, int count)
{
    int64_t total = 0;

    for (int i = 0; i < count; i++)
        total += topics[i]->partition_count;
    return total;
}

struct image *image_next(struct image *newest, const struct image_change *change)
{
    struct image *next = ensure_zalloc(sizeof(*next));
    size_t most = (size_t)newest->topic_count + (size_t)change->topic_count + 1;

    ensure(newest->newer == NULL);
    ensure(newest->references > 0);
    next->references = 1;
    next->version = newest->version + 1;
    next->controller_id = change->has_controller ? change->controller_id : newest->controller_id;
    next->older = newest;
    newest->newer = next;
    if (change->has_brokers) {
        next->brokers = brokers_create(change->brokers, change->broker_count);
    } else {
        next->brokers = newest->brokers;
        next->brokers->references++;
    }

    struct image_topic **fresh =
        ensure_malloc(((size_t)change->topic_count + 1) * sizeof(struct image_topic *));
    int fresh_count = 0;
    next->by_name = ensure_malloc(most * sizeof(struct image_topic *));
    next->by_id = ensure_malloc(most * sizeof(struct image_topic *));
    merge_names(newest, next, change, fresh, &fresh_count);
    int64_t changed = partitions_of(fresh, fresh_count);
    merge_ids(newest, next, fresh, fresh_count);
    free(fresh);

    next->partition_total = newest->partition_total + changed;
    for (struct image_topic *gone = newest->retired; gone != NULL; gone = gone->next_retired)
        next->partition_total -= gone->partition_count;
    return next;
}

struct image *image_hold(struct image *image)
{
    ensure(image->references > 0);
    image->references++;
    return image;
}

/* Out of the chain. What it alone and older ones had goes to the next older one, or is freed. */
static void unlink_image(struct image *image)
{
    struct image *older = image->older, *newer = image->newer;

    if (older == NULL) {
        retired_free(image->retired);
    } else {
        struct image_topic **end = &image->retired;
        while (*end != NULL)
            end = &(*end)->next_retired;
        *end = older->retired;
        older->retired = image->retired;
        older->newer = newer;
    }
    newer->older = older;
    image_free(image);
}

void image_release(struct image **image)
{
    struct image *at = *image;

    *image = NULL;
    if (at == NULL) return;
    ensure(at->references > 0);
    if (--at->references > 0) return;
    if (at->newer != NULL) {
        struct image *newer = at->newer;
        unlink_image(at);
        while (newer->newer != NULL)
            newer = newer->newer;
        at = newer;
    }
    /* The newest keeps its topics until it is the last, for it shares them with the older ones. */
    if (at->references > 0 || at->older != NULL) return;
    for (int i = 0; i < at->topic_count; i++)
        free(at->by_name[i]);
    image_free(at);
}

uint64_t image_version(const struct image *image)
{
    return image->version;
}

int32_t image_controller(const struct image *image)
{
    return image->controller_id;
}

int image_broker_count(const struct image *image)
{
    return image->brokers->count;
}

const struct image_broker *image_broker_at(const struct image *image, int index)
{
    ensure(index >= 0 && index < image->brokers->count);
    return &image->brokers->at[index];
}

const struct image_broker *image_broker(const struct image *image, int32_t id)
{
    int low = 0, high = image->brokers->count;

    while (low < high) {
        int middle = low + (high - low) / 2;
        if (image->brokers->at[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    bool is_found = low < image->brokers->count && image->brokers->at[low].id == id;
    return is_found ? &image->brokers->at[low] : NULL;
}

const struct endpoint *image_endpoint(const struct image_broker *broker, struct slice listener)
{
    for (int i = 0; i < broker->endpoint_count; i++)
        if (slice_equal(broker->endpoints[i].listener, listener)) return &broker->endpoints[i];
    return NULL;
}

int image_topic_count(const struct image *image)
{
    return image->topic_count;
}

int64_t image_partition_total(const struct image *image)
{
    return image->partition_total;
}

const struct image_topic *image_topic_at(const struct image *image, int index)
{
    ensure(index >= 0 && index < image->topic_count);
    return image->by_name[index];
}

int image_topic_from(const struct image *image, struct slice name)
{
    int low = 0, high = image->topic_count;

    while (low < high) {
        int middle = low + (high - low) / 2;
        if (slice_compare(name_of(image->by_name[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct image_topic *image_topic(const struct image *image, struct slice name)
{
    int at = image_topic_from(image, name);

    if (at == image->topic_count || slice_compare(name_of(image->by_name[at]), name) != 0)
        return NULL;
    return image->by_name[at];
}

const struct image_topic *image_topic_by_id(const struct image *image, struct uuid id)
{
    int low = 0, high = image->id_count;

    while (low < high) {
        int middle = low + (high - low) / 2;
        if (memcmp(image->by_id[middle]->id.bytes, id.bytes, sizeof(id.bytes)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool is_found = low < image->id_count && uuid_equal(image->by_id[low]->id, id);
    return is_found ? image->by_id[low] : NULL;
}

const struct image_topic *image_topic_colliding(const struct image *image, struct slice name)
{
    size_t same = 0;

    while (same < name.len && name.ptr[same] != '.' && name.ptr[same] != '_')
        same++;
    if (same == name.len) return NULL;
    /* Whatever collides begins with the same letters, and these stand together. */
    struct slice head = slice_of(name.ptr, same);
    for (int i = image_topic_from(image, head); i < image->topic_count; i++) {
        struct slice other = name_of(image->by_name[i]);
        if (!slice_starts_with(other, head)) break;
        if (topic_names_collide(other, name) && !slice_equal(other, name)) return image->by_name[i];
    }
    return NULL;
}

struct slice image_topic_name(const struct image_topic *topic)
{
    return name_of(topic);
}

struct uuid image_topic_id(const struct image_topic *topic)
{
    return topic->id;
}

int image_topic_partition_count(const struct image_topic *topic)
{
    return topic->partition_count;
}

struct image_partition image_topic_partition_at(const struct image_topic *topic, int index)
{
    ensure(index >= 0 && index < topic->partition_count);
    return unpack(topic, &topic->partitions[index]);
}

bool image_topic_partition(const struct image_topic *topic, int32_t partition,
                           struct image_partition *out)
{
    int low = 0, high = topic->partition_count;

    if (partition >= 0 && partition < high && topic->partitions[partition].partition == partition)
        low = high = partition; /* nothing is missing before it: the usual case */
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (topic->partitions[middle].partition < partition)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == topic->partition_count || topic->partitions[low].partition != partition)
        return false;
    *out = unpack(topic, &topic->partitions[low]);
    return true;
}
