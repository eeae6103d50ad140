/* broker/api/topic_partitions.c - DescribeTopicPartitions: topics piece by piece.
 *
 * Of Metadata a topic with very many partitions comes whole; here an answer has a bounded number of
 * partitions, and says where the next one begins. Kafka has it since KRaft; clients that find it in
 * ApiVersions describe topics by it. Eligible leader replicas are KRaft's: there are none.
 *
 * Answered from the shard's own image, so topics may come and go between two pieces: one that is
 * made behind the cursor is told, one before it is not. */
#include "base/text.h"
#include "broker/api/metadata.h"
#include "broker/api/table.h"
#include "broker/replica/fetchers.h"
#include "cluster/image.h"
#include "cluster/listeners.h"
#include "cluster/options.h"
#include "wire/gen/describe_topic_partitions.h"
#include "wire/protocol.h"
#include <stdlib.h>

/* The answer, as it grows. */
struct page {
    struct request *request;
    struct describe_topic_partitions_response out;
    struct slice from;      /* the topic of the cursor; "" without one */
    int32_t from_partition; /* of that topic */
    int32_t left;           /* partitions that may still be told */
};

static void *zalloc(struct request *request, int32_t count, size_t size)
{
    return arena_zalloc(&request->arena, (size_t)(count < 1 ? 1 : count) * size);
}

/* ---- one topic ---- */

static int32_t leader_of(const struct request *request, const struct image_partition *partition)
{
    const struct api_shard *api = request->at;
    const struct image_broker *leader = image_broker(api->image, partition->leader);
    struct slice listener = api->process->listeners->at[request->listener].name;

    if (leader == NULL || image_endpoint(leader, listener) == NULL) return LEADER_NONE;
    if (api->fetchers != NULL && fetchers_has_lost(api->fetchers, leader->id)) return LEADER_NONE;
    return leader->id;
}

#define SET_IDS(field, ids)                                                                        \
    do {                                                                                           \
        (field).at = (int32_t *)(uintptr_t)(ids).at;                                               \
        (field).count = (ids).count;                                                               \
    } while (0)

static void fill_partition(struct request *request, const struct image_partition *partition,
                           struct describe_topic_partitions_response_topic_partition *out)
{
    static const struct broker_ids none;

    out->partition_index = partition->partition;
    out->leader_id = leader_of(request, partition);
    out->leader_epoch = partition->leader_epoch;
    SET_IDS(out->replica_nodes, partition->replicas);
    SET_IDS(out->isr_nodes, partition->isr);
    SET_IDS(out->offline_replicas, partition->offline);
    SET_IDS(out->eligible_leader_replicas, none);
    SET_IDS(out->last_known_elr, none);
}

static struct describe_topic_partitions_response_topic *add_topic(struct page *page,
                                                                  struct slice name)
{
    struct describe_topic_partitions_response_topic *out =
        &page->out.topics.at[page->out.topics.count++];

    out->name = name;
    out->topic_id = UUID_ZERO;
    out->is_internal = topic_is_internal(name);
    out->topic_authorized_operations = INT32_MIN;
    return out;
}

static void stop_at(struct page *page, struct slice topic, int32_t partition)
{
    struct describe_topic_partitions_response_next_cursor *next =
        zalloc(page->request, 1, sizeof(*next));

    next->topic_name = topic;
    next->partition_index = partition;
    page->out.next_cursor = next;
}

/* False: the page is full, and the cursor set. */
static bool add_known(struct page *page, const struct image_topic *topic)
{
    struct slice name = image_topic_name(topic);
    int count = image_topic_partition_count(topic), from = 0, told;

    while (slice_equal(name, page->from) && from < count &&
           image_topic_partition_at(topic, from).partition < page->from_partition)
        from++;
    if (page->left == 0) {
        stop_at(page, name, 0);
        return false;
    }
    told = count - from < page->left ? count - from : page->left;
    struct describe_topic_partitions_response_topic *out = add_topic(page, name);
    out->topic_id = image_topic_id(topic);
    out->topic_authorized_operations = OPERATIONS_TOPIC;
    out->partitions.at = zalloc(page->request, told, sizeof(*out->partitions.at));
    out->partitions.count = told;
    for (int i = 0; i < told; i++) {
        struct image_partition partition = image_topic_partition_at(topic, from + i);
        fill_partition(page->request, &partition, &out->partitions.at[i]);
    }
    page->left -= told;
    if (from + told == count) return true;
    stop_at(page, name, image_topic_partition_at(topic, from + told).partition);
    return false;
}

/* ---- which topics ---- */

static void add_all(struct page *page)
{
    const struct image *image = page->request->at->image;
    int count = image_topic_count(image), from = image_topic_from(image, page->from);
    /* Each takes one at least of what may be told, but the cursor's, which may have ended. */
    int32_t places = count - from < page->left + 1 ? count - from : page->left + 1;

    page->out.topics.at = zalloc(page->request, places, sizeof(*page->out.topics.at));
    for (int i = from; i < count && add_known(page, image_topic_at(image, i)); i++)
        continue;
}

static int by_name(const void *a, const void *b)
{
    return slice_compare(((const struct describe_topic_partitions_request_topic *)a)->name,
                         ((const struct describe_topic_partitions_request_topic *)b)->name);
}

/* Those that were asked for, each once, in order of their names. */
static void add_asked(struct page *page)
{
    const struct describe_topic_partitions_request *in = page->request->body;
    struct describe_topic_partitions_request_topic *names = in->topics.at;

    qsort(names, (size_t)in->topics.count, sizeof(*names), by_name);
    page->out.topics.at = zalloc(page->request, in->topics.count, sizeof(*page->out.topics.at));
    for (int32_t i = 0; i < in->topics.count; i++) {
        struct slice name = names[i].name;

        if (i > 0 && slice_equal(name, names[i - 1].name)) continue;
        if (slice_compare(name, page->from) < 0) continue;
        const struct image_topic *topic = image_topic(page->request->at->image, name);
        if (topic != NULL) {
            if (!add_known(page, topic)) return;
        } else if (page->left == 0) {
            stop_at(page, name, 0);
            return;
        } else {
            add_topic(page, name)->error_code = text_is_topic_name(name)
                                                    ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                                    : KAFKA_INVALID_TOPIC_EXCEPTION;
        }
    }
}

/* ---- the request ---- */

static bool is_valid(const struct describe_topic_partitions_request *in)
{
    if (in->cursor == NULL) return true;
    if (in->cursor->partition_index < 0) return false;
    for (int32_t i = 0; i < in->topics.count; i++)
        if (slice_equal(in->topics.at[i].name, in->cursor->topic_name)) return true;
    return in->topics.count <= 0;
}

static void topic_partitions_handle(struct request *request)
{
    const struct describe_topic_partitions_request *in = request->body;
    int32_t max =
        options_int(request->at->process->options, OPTION_MAX_REQUEST_PARTITION_SIZE_LIMIT);
    struct page page = {.request = request, .from = SLICE("")};

    if (!is_valid(in)) {
        request_fail(request, KAFKA_INVALID_REQUEST);
        return;
    }
    if (in->cursor != NULL) {
        page.from = in->cursor->topic_name;
        page.from_partition = in->cursor->partition_index;
    }
    page.left = in->response_partition_limit < max ? in->response_partition_limit : max;
    if (page.left < 1) page.left = 1;
    wire_default(&describe_topic_partitions_response_wire, &page.out);
    if (in->topics.count <= 0)
        add_all(&page);
    else
        add_asked(&page);
    request_reply(request, &page.out);
}

/* There is no place for a code but at a topic. */
static const void *topic_partitions_refuse(struct request *request, int16_t code)
{
    const struct describe_topic_partitions_request *in = request->body;
    struct page page = {.request = request};
    struct describe_topic_partitions_response *out = zalloc(request, 1, sizeof(*out));

    wire_default(&describe_topic_partitions_response_wire, &page.out);
    page.out.topics.at = zalloc(request, in->topics.count, sizeof(*page.out.topics.at));
    for (int32_t i = 0; i < in->topics.count; i++)
        add_topic(&page, in->topics.at[i].name)->error_code = code;
    *out = page.out;
    return out;
}

const struct api describe_topic_partitions_api = {
    .key = API_DESCRIBE_TOPIC_PARTITIONS,
    .version_min = 0,
    .version_max = 0,
    .request_wire = &describe_topic_partitions_request_wire,
    .response_wire = &describe_topic_partitions_response_wire,
    .request_size = sizeof(struct describe_topic_partitions_request),
    .place = API_HERE,
    .handle = topic_partitions_handle,
    .refuse = topic_partitions_refuse,
};
