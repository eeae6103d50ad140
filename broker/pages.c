/* broker/pages.c - see pages.h. */
#include "broker/pages.h"
#include "base/ensure.h"
#include "broker/broker_private.h"
#include "broker/census.h"
#include "broker/tally.h"
#include "program/page.h"
#include <inttypes.h>
#include <stdlib.h>

/* ---- /metrics ---- */

struct shown {
    struct broker *broker;
    struct census *census; /* NULL: there is none to be had */
    struct tally tally;
};

static void *begin(void *of)
{
    struct shown *shown = ensure_zalloc(sizeof(*shown));

    shown->broker = of;
    if (census_take(shown->broker->censuses, &shown->census) == ERR_OK)
        tally_init(&shown->tally, shown->census);
    return shown;
}

/* Topics and pairs of a group and a partition are bounded likewise, each. */
static int series_max(const struct shown *shown)
{
    return options_int(shown->broker->options, OPTION_METRICS_PARTITIONS_MAX);
}

static void more(void *taken, const char *name, struct buf *out)
{
    static const struct {
        const char *name;
        size_t offset;
    } by_topic[] = {
        {"kafka_server_brokertopicmetrics_bytesin_total", offsetof(struct topic_fact, bytes_in)},
        {"kafka_server_brokertopicmetrics_bytesout_total", offsetof(struct topic_fact, bytes_out)},
        {"kafka_server_brokertopicmetrics_messagesin_total",
         offsetof(struct topic_fact, messages_in)},
    };
    const struct shown *shown = taken;

    if (shown->census == NULL) return;
    for (size_t i = 0; i < sizeof(by_topic) / sizeof(by_topic[0]); i++) {
        if (strcmp(name, by_topic[i].name) != 0) continue;
        for (int t = 0; t < shown->tally.topic_count && t < series_max(shown); t++) {
            const struct topic_fact *topic = &shown->tally.topics[t];
            uint64_t value;
            memcpy(&value, (const char *)topic + by_topic[i].offset, sizeof(value));
            buf_printf(out, "%s{topic=\"", name);
            page_add_label(out, topic->topic);
            buf_printf(out, "\"} %" PRIu64 "\n", value);
        }
    }
}

static void add_head(struct buf *out, const char *name, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static void add_topic_label(struct buf *out, const char *name, struct slice topic)
{
    buf_printf(out, "%s{topic=\"", name);
    page_add_label(out, topic);
}

enum of_partition {
    OF_CURRENT,
    OF_OLDEST,
    OF_ISR,
    OF_LEADER,
    OF_PREFERRED,
    OF_REPLICAS,
    OF_UNDER_REPLICATED,
};

static int64_t value_of(const struct tally_partition *at, enum of_partition what)
{
    const struct partition_fact *fact = at->fact;

    switch (what) {
    case OF_CURRENT:
        return fact->high_watermark;
    case OF_OLDEST:
        return fact->log_start;
    case OF_ISR:
        return fact->isr_count;
    case OF_LEADER:
        return fact->leader;
    case OF_PREFERRED:
        return at->is_preferred;
    case OF_REPLICAS:
        return fact->replica_count;
    case OF_UNDER_REPLICATED:
        return fact->isr_count < fact->replica_count;
    }
    return 0;
}

static void add_partitions(const struct shown *shown, struct buf *out)
{
    static const struct {
        enum of_partition what;
        const char *name, *help;
    } all[] = {
        {OF_CURRENT, "kafka_topic_partition_current_offset", "Where the next record will stand."},
        {OF_OLDEST, "kafka_topic_partition_oldest_offset", "The first record that is kept."},
        {OF_ISR, "kafka_topic_partition_in_sync_replica", "Replicas that are in sync."},
        {OF_LEADER, "kafka_topic_partition_leader", "The broker that leads."},
        {OF_PREFERRED, "kafka_topic_partition_leader_is_preferred",
         "1 if the first replica leads."},
        {OF_REPLICAS, "kafka_topic_partition_replicas", "Replicas."},
        {OF_UNDER_REPLICATED, "kafka_topic_partition_under_replicated_partition",
         "1 if a replica is not in sync."},
    };
    const struct tally *tally = &shown->tally;
    int max = series_max(shown);

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        int told = 0;
        add_head(out, all[i].name, all[i].help);
        for (int p = 0; p < tally->partition_count && told < max; p++) {
            const struct tally_partition *at = &tally->partitions[p];
            if (!at->fact->is_leader) continue;
            told++;
            add_topic_label(out, all[i].name, at->topic);
            buf_printf(out, "\",partition=\"%d\"} %" PRId64 "\n", at->fact->partition,
                       value_of(at, all[i].what));
        }
    }
    add_head(out, "kafka_log_log_size", "Bytes of a replica's log on this broker.");
    for (int p = 0; p < tally->partition_count && p < max; p++) {
        const struct tally_partition *at = &tally->partitions[p];
        add_topic_label(out, "kafka_log_log_size", at->topic);
        buf_printf(out, "\",partition=\"%d\"} %" PRId64 "\n", at->fact->partition,
                   at->fact->size_bytes);
    }
    int left_out = tally->partition_count - max;
    add_head(out, "ottla_metrics_partitions_left_out",
             "Replicas here without series of their own: metrics.partitions.max.");
    buf_printf(out, "ottla_metrics_partitions_left_out %d\n", left_out > 0 ? left_out : 0);
}

/* Told by who leads the first of its partitions that is led: once in the cluster. */
static void add_topics(const struct shown *shown, struct buf *out)
{
    const struct image *image = shown->census->image;
    int32_t self = shown->broker->process.broker_id;
    int told = 0;

    add_head(out, "kafka_topic_partitions", "Partitions of a topic.");
    for (int t = 0; t < image_topic_count(image) && told < series_max(shown); t++) {
        const struct image_topic *topic = image_topic_at(image, t);
        int count = image_topic_partition_count(topic);
        int32_t leader = -1;
        for (int p = 0; p < count && leader < 0; p++)
            leader = image_topic_partition_at(topic, p).leader;
        if (leader != self) continue;
        told++;
        add_topic_label(out, "kafka_topic_partitions", image_topic_name(topic));
        buf_printf(out, "\"} %d\n", count);
    }
}

static void add_group_label(struct buf *out, const char *name, struct slice group)
{
    buf_printf(out, "%s{consumergroup=\"", name);
    page_add_label(out, group);
}

static void add_offset_label(struct buf *out, const char *name, const struct tally_offset *at)
{
    add_group_label(out, name, at->group->name);
    buf_add_text(out, "\",topic=\"");
    page_add_label(out, at->offset->topic);
}

static int64_t lag_of(const struct tally_offset *at)
{
    return at->offset->offset < at->end ? at->end - at->offset->offset : 0;
}

static bool is_same_topic(const struct tally_offset *a, const struct tally_offset *b)
{
    return a->group == b->group && slice_equal(a->offset->topic, b->offset->topic);
}

static void add_sums(const struct shown *shown, struct buf *out, const char *name, bool is_lag)
{
    const struct tally *tally = &shown->tally;
    int max = series_max(shown);

    for (int i = 0, next; i < tally->offset_count && i < max; i = next) {
        const struct tally_offset *first = &tally->offsets[i];
        bool is_known = true;
        int64_t sum = 0;
        for (next = i; next < tally->offset_count && is_same_topic(first, &tally->offsets[next]);
             next++) {
            const struct tally_offset *at = &tally->offsets[next];
            is_known = is_known && (!is_lag || at->end >= 0);
            sum += is_lag ? lag_of(at) : at->offset->offset;
        }
        if (!is_known) continue;
        add_offset_label(out, name, first);
        buf_printf(out, "\"} %" PRId64 "\n", sum);
    }
}

static void add_groups(const struct shown *shown, struct buf *out)
{
    const struct tally *tally = &shown->tally;
    int max = series_max(shown);

    add_head(out, "kafka_consumergroup_members", "Members of a group.");
    for (int g = 0; g < tally->group_count && g < max; g++) {
        add_group_label(out, "kafka_consumergroup_members", tally->groups[g]->name);
        buf_printf(out, "\"} %d\n", tally->groups[g]->members);
    }
    add_head(out, "kafka_consumergroup_current_offset", "What a group has committed.");
    for (int i = 0; i < tally->offset_count && i < max; i++) {
        const struct tally_offset *at = &tally->offsets[i];
        add_offset_label(out, "kafka_consumergroup_current_offset", at);
        buf_printf(out, "\",partition=\"%d\"} %" PRId64 "\n", at->offset->partition,
                   at->offset->offset);
    }
    add_head(out, "kafka_consumergroup_lag", "Records behind the end, as this broker knows it.");
    for (int i = 0; i < tally->offset_count && i < max; i++) {
        const struct tally_offset *at = &tally->offsets[i];
        if (at->end < 0) continue;
        add_offset_label(out, "kafka_consumergroup_lag", at);
        buf_printf(out, "\",partition=\"%d\"} %" PRId64 "\n", at->offset->partition, lag_of(at));
    }
    add_head(out, "kafka_consumergroup_current_offset_sum", "The same, of a topic.");
    add_sums(shown, out, "kafka_consumergroup_current_offset_sum", false);
    add_head(out, "kafka_consumergroup_lag_sum", "The same, of a topic.");
    add_sums(shown, out, "kafka_consumergroup_lag_sum", true);
    int left_out = tally->offset_count - max;
    add_head(out, "ottla_metrics_groupoffsets_left_out",
             "Commits of groups without series of their own: metrics.partitions.max.");
    buf_printf(out, "ottla_metrics_groupoffsets_left_out %d\n", left_out > 0 ? left_out : 0);
}

static void end(void *of, void *taken, struct buf *out)
{
    struct broker *broker = of;
    struct shown *shown = taken;

    if (shown->census != NULL) {
        add_topics(shown, out);
        add_partitions(shown, out);
        add_groups(shown, out);
        tally_fini(&shown->tally);
        census_give(broker->censuses, &shown->census);
    }
    free(shown);
}

struct status_pages pages_of(struct broker *broker)
{
    return (struct status_pages){
        .begin = begin, .more = more, .end = end, .page = pages_answer, .of = broker};
}
