/* broker/pages_parts.c - the parts of the page for people: /api/… as JSON. */
#include "base/ensure.h"
#include "broker/broker_private.h"
#include "broker/pages.h"
#include "broker/tally.h"
#include "config.h"
#include "program/page.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct looked {
    struct broker *broker;
    const struct image *image;
    const char *cluster_id;
    struct tally tally;
    const struct status_ask *ask;
    struct buf *out;
};

static void add_ids(struct buf *out, const char *name, struct broker_ids ids)
{
    buf_printf(out, ",\"%s\":[", name);
    for (int i = 0; i < ids.count; i++)
        buf_printf(out, "%s%d", i == 0 ? "" : ",", ids.at[i]);
    buf_add_text(out, "]");
}

/* ---- /api/cluster ---- */

struct load {
    int32_t id;
    int64_t leads, has, in_sync;
};

static int order_loads(const void *a, const void *b)
{
    int32_t one = ((const struct load *)a)->id, other = ((const struct load *)b)->id;

    return (one > other) - (one < other);
}

static struct load *load_of(struct load *loads, int count, int32_t id)
{
    const struct load wanted = {.id = id};

    return count == 0 ? NULL
                      : bsearch(&wanted, loads, (size_t)count, sizeof(loads[0]), order_loads);
}

struct health {
    int64_t partitions, offline, under_replicated;
};

static void judge(const struct image_partition *partition, struct health *health)
{
    health->partitions++;
    health->offline += partition->leader < 0;
    health->under_replicated += partition->isr.count < partition->replicas.count;
}

static void count_partition(const struct image_partition *partition, struct load *loads, int count)
{
    struct load *load = load_of(loads, count, partition->leader);

    if (load != NULL) load->leads++;
    for (int i = 0; i < partition->replicas.count; i++)
        if ((load = load_of(loads, count, partition->replicas.at[i])) != NULL) load->has++;
    for (int i = 0; i < partition->isr.count; i++)
        if ((load = load_of(loads, count, partition->isr.at[i])) != NULL) load->in_sync++;
}

static void add_brokers(const struct looked *looked, const struct load *loads)
{
    const struct image *image = looked->image;
    struct buf *out = looked->out;

    buf_add_text(out, ",\"brokers\":[");
    for (int i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        buf_printf(out, "%s{\"id\":%d,\"at\":", i == 0 ? "" : ",", broker->id);
        if (broker->endpoint_count > 0) {
            struct buf at = {0};
            buf_printf(&at, "%.*s:%d", SLICE_ARGS(broker->endpoints[0].host),
                       broker->endpoints[0].port);
            page_add_json(out, buf_slice(&at));
            buf_fini(&at);
        } else {
            buf_add_text(out, "null");
        }
        buf_add_text(out, ",\"rack\":");
        if (slice_is_null(broker->rack))
            buf_add_text(out, "null");
        else
            page_add_json(out, broker->rack);
        buf_printf(
            out, ",\"state\":\"up\",\"leads\":%" PRId64 ",\"has\":%" PRId64 ",\"in\":%" PRId64 "}",
            loads[i].leads, loads[i].has, loads[i].in_sync);
    }
    buf_add_text(out, "]");
}

static void add_counters(const struct looked *looked)
{
    static const struct {
        const char *key, *name;
    } counters[] = {
        {"messages_in", "kafka_server_brokertopicmetrics_messagesin_total"},
        {"bytes_in", "kafka_server_brokertopicmetrics_bytesin_total"},
        {"bytes_out", "kafka_server_brokertopicmetrics_bytesout_total"},
        {"replication_in", "kafka_server_brokertopicmetrics_replicationbytesin_total"},
        {"replication_out", "kafka_server_brokertopicmetrics_replicationbytesout_total"},
        {"isr_shrinks", "kafka_server_replicamanager_isrshrinks_total"},
        {"connections", "kafka_server_socketservermetrics_connection_count"},
    };
    struct metrics *metrics = looked->broker->report.metrics;
    struct buf *out = looked->out;

    buf_add_text(out, ",\"counters\":{");
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        int64_t value = 0;
        (void)!metrics_value(metrics, counters[i].name, NULL, &value);
        buf_printf(out, "%s\"%s\":%" PRId64, i == 0 ? "" : ",", counters[i].key, value);
    }
    buf_add_text(out, "},\"times\":{");
    static const char *const kinds[] = {"Produce", "FetchConsumer", "FetchFollower"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char labels[40];
        double p99 = 0;
        snprintf(labels, sizeof(labels), "request=\"%s\"", kinds[i]);
        enum err err = metrics_quantile(metrics, "kafka_network_requestmetrics_totaltimems", labels,
                                        990, &p99);
        buf_printf(out, "%s\"%s\":", i == 0 ? "" : ",", kinds[i]);
        if (err == ERR_OK)
            buf_printf(out, "%.6g", p99);
        else
            buf_add_text(out, "null");
    }
    buf_add_text(out, "}");
}

static void add_cluster(const struct looked *looked)
{
    const struct image *image = looked->image;
    struct broker *broker = looked->broker;
    int count = image_broker_count(image);
    struct load *loads = ensure_zalloc(sizeof(loads[0]) * (size_t)(count + 1));
    struct health health = {0};
    struct buf *out = looked->out;

    for (int i = 0; i < count; i++)
        loads[i].id = image_broker_at(image, i)->id;
    for (int t = 0; t < image_topic_count(image); t++) {
        const struct image_topic *topic = image_topic_at(image, t);
        for (int p = 0; p < image_topic_partition_count(topic); p++) {
            struct image_partition partition = image_topic_partition_at(topic, p);
            judge(&partition, &health);
            count_partition(&partition, loads, count);
        }
    }
    buf_printf(out,
               "{\"role\":\"broker\",\"id\":%d,\"version\":\"" PACKAGE_VERSION
               "\",\"controller\":%d,\"cluster\":",
               broker->process.broker_id, image_controller(image));
    page_add_json(out, slice_text(looked->cluster_id));
    buf_printf(
        out, ",\"topics\":%d,\"partitions\":%" PRId64 ",\"offline\":%" PRId64 ",\"under\":%" PRId64,
        image_topic_count(image), health.partitions, health.offline, health.under_replicated);
    add_brokers(looked, loads);
    add_counters(looked);
    buf_add_text(out, "}");
    free(loads);
}

/* ---- /api/topics, /api/topic ---- */

static void add_topic(const struct looked *looked, const struct image_topic *topic,
                      const struct health *health)
{
    struct slice name = image_topic_name(topic);
    int64_t bytes = 0, records = 0;
    bool is_known = false; /* a replica is here */
    struct buf *out = looked->out;

    for (int p = 0; p < image_topic_partition_count(topic); p++) {
        const struct tally_partition *at =
            tally_find(&looked->tally, name, image_topic_partition_at(topic, p).partition);
        if (at == NULL) continue;
        is_known = true;
        bytes += at->fact->size_bytes;
        records += at->fact->high_watermark - at->fact->log_start;
    }
    buf_add_text(out, "{\"name\":");
    page_add_json(out, name);
    buf_printf(out, ",\"partitions\":%" PRId64 ",\"offline\":%" PRId64 ",\"under\":%" PRId64,
               health->partitions, health->offline, health->under_replicated);
    if (is_known) buf_printf(out, ",\"bytes\":%" PRId64 ",\"records\":%" PRId64, bytes, records);
    buf_add_text(out, "}");
}

static void add_topics(const struct looked *looked)
{
    const struct image *image = looked->image;
    const char *only = status_argument(looked->ask, "only");
    bool only_trouble = only != NULL && strcmp(only, "trouble") == 0;
    struct page_part part;
    int64_t total = 0;

    page_read_part(looked->ask, &part);
    buf_add_text(looked->out, "{\"rows\":[");
    for (int t = 0; t < image_topic_count(image); t++) {
        const struct image_topic *topic = image_topic_at(image, t);
        struct health health = {0};
        if (!page_fits(&part, image_topic_name(topic))) continue;
        for (int p = 0; p < image_topic_partition_count(topic); p++) {
            struct image_partition partition = image_topic_partition_at(topic, p);
            judge(&partition, &health);
        }
        if (only_trouble && health.offline + health.under_replicated == 0) continue;
        if (total >= part.from && total < part.from + part.count) {
            if (total > part.from) buf_add_text(looked->out, ",");
            add_topic(looked, topic, &health);
        }
        total++;
    }
    buf_printf(looked->out, "],\"total\":%" PRId64 "}", total);
}

static void add_partition(const struct looked *looked, struct slice topic,
                          const struct image_partition *partition)
{
    const struct tally_partition *at = tally_find(&looked->tally, topic, partition->partition);
    struct buf *out = looked->out;

    buf_printf(out, "{\"partition\":%d,\"leader\":%d,\"epoch\":%d", partition->partition,
               partition->leader, partition->leader_epoch);
    add_ids(out, "replicas", partition->replicas);
    add_ids(out, "isr", partition->isr);
    if (at != NULL)
        buf_printf(out, ",\"start\":%" PRId64 ",\"end\":%" PRId64 ",\"bytes\":%" PRId64,
                   at->fact->log_start, at->fact->high_watermark, at->fact->size_bytes);
    buf_add_text(out, "}");
}

static bool add_topic_rows(const struct looked *looked)
{
    const char *name = status_argument(looked->ask, "name");
    const struct image_topic *topic =
        name == NULL ? NULL : image_topic(looked->image, slice_text(name));
    struct page_part part;

    if (topic == NULL) return false;
    int total = image_topic_partition_count(topic);
    page_read_part(looked->ask, &part);
    buf_add_text(looked->out, "{\"rows\":[");
    for (int64_t p = part.from; p < total && p < part.from + part.count; p++) {
        struct image_partition partition = image_topic_partition_at(topic, (int)p);
        if (p > part.from) buf_add_text(looked->out, ",");
        add_partition(looked, image_topic_name(topic), &partition);
    }
    buf_printf(looked->out, "],\"total\":%d}", total);
    return true;
}

/* ---- /api/groups, /api/group ---- */

/* The first of its commits; they are in the order of groups. */
static int first_offset(const struct tally *tally, const struct census_group *group, int from)
{
    while (from < tally->offset_count && tally->offsets[from].group != group)
        from++;
    return from;
}

static void add_group(const struct looked *looked, const struct census_group *group, int first)
{
    const struct tally *tally = &looked->tally;
    int64_t lag = 0;
    int partitions = 0, unknown = 0;
    struct buf *out = looked->out;

    for (int i = first; i < tally->offset_count && tally->offsets[i].group == group; i++) {
        const struct tally_offset *at = &tally->offsets[i];
        partitions++;
        if (at->end < 0)
            unknown++;
        else if (at->end > at->offset->offset)
            lag += at->end - at->offset->offset;
    }
    buf_add_text(out, "{\"group\":");
    page_add_json(out, group->name);
    buf_printf(out,
               ",\"state\":\"%s\",\"members\":%d,\"partitions\":%d,\"unknown\":%d,\"lag\":%" PRId64
               "}",
               group_state_name(group->state), group->members, partitions, unknown, lag);
}

static void add_groups(const struct looked *looked)
{
    const struct tally *tally = &looked->tally;
    struct page_part part;
    int64_t total = 0;

    page_read_part(looked->ask, &part);
    buf_add_text(looked->out, "{\"rows\":[");
    for (int g = 0, first = 0; g < tally->group_count; g++) {
        if (!page_fits(&part, tally->groups[g]->name)) continue;
        if (total >= part.from && total < part.from + part.count) {
            int at = tally->groups[g]->offsets_count == 0
                         ? tally->offset_count
                         : (first = first_offset(tally, tally->groups[g], first));
            if (total > part.from) buf_add_text(looked->out, ",");
            add_group(looked, tally->groups[g], at);
        }
        total++;
    }
    int64_t lag = 0; /* of all, whatever the filter */
    for (int i = 0; i < tally->offset_count; i++)
        if (tally->offsets[i].end > tally->offsets[i].offset->offset)
            lag += tally->offsets[i].end - tally->offsets[i].offset->offset;
    buf_printf(looked->out, "],\"total\":%" PRId64 ",\"lag\":%" PRId64 "}", total, lag);
}

static bool add_group_rows(const struct looked *looked)
{
    const struct tally *tally = &looked->tally;
    const char *name = status_argument(looked->ask, "name");
    struct page_part part;
    int64_t total = 0;
    bool is_known = false;

    for (int g = 0; name != NULL && g < tally->group_count; g++)
        is_known = is_known || slice_is(tally->groups[g]->name, name);
    if (!is_known) return false;
    page_read_part(looked->ask, &part);
    buf_add_text(looked->out, "{\"rows\":[");
    for (int i = 0; i < tally->offset_count; i++) {
        const struct tally_offset *at = &tally->offsets[i];
        if (!slice_is(at->group->name, name)) continue;
        if (total >= part.from && total < part.from + part.count) {
            buf_add_text(looked->out, total > part.from ? ",{\"topic\":" : "{\"topic\":");
            page_add_json(looked->out, at->offset->topic);
            buf_printf(looked->out, ",\"partition\":%d,\"offset\":%" PRId64, at->offset->partition,
                       at->offset->offset);
            if (at->end >= 0) buf_printf(looked->out, ",\"end\":%" PRId64, at->end);
            buf_add_text(looked->out, "}");
        }
        total++;
    }
    buf_printf(looked->out, "],\"total\":%" PRId64 "}", total);
    return true;
}

/* ---- which ---- */

static bool write_part(const struct looked *looked)
{
    const char *path = looked->ask->path + strlen("/api/");

    if (strcmp(path, "cluster") == 0)
        add_cluster(looked);
    else if (strcmp(path, "topics") == 0)
        add_topics(looked);
    else if (strcmp(path, "groups") == 0)
        add_groups(looked);
    else if (strcmp(path, "topic") == 0)
        return add_topic_rows(looked);
    else if (strcmp(path, "group") == 0)
        return add_group_rows(looked);
    else
        return false;
    return true;
}

bool pages_answer(void *of, const struct status_ask *ask, struct status_answer *answer)
{
    struct broker *broker = of;
    struct census *census = NULL;

    if (page_answer(ask, answer)) return true;
    if (strncmp(ask->path, "/api/", strlen("/api/")) != 0) return false;
    answer->type = "application/json";
    if (census_take(broker->censuses, &census) != ERR_OK) {
        answer->code = 503;
        buf_add_text(&answer->body, "{\"error\":\"a shard does not answer\"}");
        return true;
    }
    struct looked looked = {.broker = broker,
                            .image = census->image,
                            .cluster_id = census->cluster_id,
                            .ask = ask,
                            .out = &answer->body};
    tally_init(&looked.tally, census);
    bool is_known = write_part(&looked);
    tally_fini(&looked.tally);
    census_give(broker->censuses, &census);
    if (!is_known) {
        buf_clear(&answer->body);
        answer->code = 404;
        buf_add_text(&answer->body, "{\"error\":\"no such thing\"}");
    }
    return true;
}
