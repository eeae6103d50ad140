/* broker/pages.c - see pages.h. */
#include "broker/pages.h"
#include "base/ensure.h"
#include "broker/broker_private.h"
#include "broker/census.h"
#include "broker/tally.h"
#include "program/page.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- /metrics ---- */

#define PIECE 256 /* lines, which are about 16 KB; in between they are sent */

struct shown {
    struct broker *broker;
    struct census *census; /* NULL: there is none to be had */
    struct tally tally;
    size_t part;        /* of parts[]: at work on it */
    int at;             /* in its list */
    int told;           /* lines of it that count for series_max */
    struct slice topic; /* whose lines begin with `prefix`: of this part */
    struct buf prefix;
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

static int shown_of(const struct shown *shown, int count)
{
    return count < series_max(shown) ? count : series_max(shown);
}

/* The end of a piece: the first line that is not in it. */
static int piece_end(const struct shown *shown, int count)
{
    return count - shown->at < PIECE ? count : shown->at + PIECE;
}

static bool more(void *taken, const char *name, struct buf *out)
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
    struct shown *shown = taken;
    size_t i = 0;

    while (i < sizeof(by_topic) / sizeof(by_topic[0]) && strcmp(name, by_topic[i].name) != 0)
        i++;
    if (shown->census == NULL || i == sizeof(by_topic) / sizeof(by_topic[0])) return false;
    int count = shown_of(shown, shown->tally.topic_count), end = piece_end(shown, count);
    for (; shown->at < end; shown->at++) {
        const struct topic_fact *topic = &shown->tally.topics[shown->at];
        uint64_t value;
        memcpy(&value, (const char *)topic + by_topic[i].offset, sizeof(value));
        buf_printf(out, "%s{topic=\"", name);
        page_add_label(out, topic->topic);
        buf_printf(out, "\"} %" PRIu64 "\n", value);
    }
    if (end < count) return true;
    shown->at = 0;
    return false;
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

/* `name{topic="…",partition="7"} 42`: nearly all of a long page is made of these. */
static void add_partition_line(struct shown *shown, struct buf *out, const char *name,
                               const struct tally_partition *at, int64_t value)
{
    char numbers[64];

    if (shown->prefix.len == 0 || !slice_equal(shown->topic, at->topic)) {
        buf_clear(&shown->prefix);
        add_topic_label(&shown->prefix, name, at->topic);
        buf_add_text(&shown->prefix, "\",partition=\"");
        shown->topic = at->topic;
    }
    buf_add_slice(out, buf_slice(&shown->prefix));
    int len = snprintf(numbers, sizeof(numbers), "%d\"} %" PRId64 "\n", at->fact->partition, value);
    buf_add(out, numbers, (size_t)len);
}

static bool add_partitions(struct shown *shown, int what, const char *name, struct buf *out)
{
    const struct tally *tally = &shown->tally;
    int max = series_max(shown), end = piece_end(shown, tally->partition_count);

    for (; shown->at < end && shown->told < max; shown->at++) {
        const struct tally_partition *at = &tally->partitions[shown->at];
        if (!at->fact->is_leader) continue;
        shown->told++;
        add_partition_line(shown, out, name, at, value_of(at, (enum of_partition)what));
    }
    return shown->at < tally->partition_count && shown->told < max;
}

static bool add_sizes(struct shown *shown, int what, const char *name, struct buf *out)
{
    int count = shown_of(shown, shown->tally.partition_count), end = piece_end(shown, count);

    (void)what;
    for (; shown->at < end; shown->at++) {
        const struct tally_partition *at = &shown->tally.partitions[shown->at];
        add_partition_line(shown, out, name, at, at->fact->size_bytes);
    }
    return end < count;
}

enum of_left_out { LEFT_PARTITIONS, LEFT_OFFSETS };

static bool add_left_out(struct shown *shown, int what, const char *name, struct buf *out)
{
    int count = what == LEFT_PARTITIONS ? shown->tally.partition_count : shown->tally.offset_count;

    buf_printf(out, "%s %d\n", name, count - shown_of(shown, count));
    return false;
}

/* Told by who leads the first of its partitions that is led: once in the cluster. */
static bool add_topics(struct shown *shown, int what, const char *name, struct buf *out)
{
    const struct image *image = shown->census->image;
    int32_t self = shown->broker->process.broker_id;
    int max = series_max(shown), total = image_topic_count(image), end = piece_end(shown, total);

    (void)what;
    for (; shown->at < end && shown->told < max; shown->at++) {
        const struct image_topic *topic = image_topic_at(image, shown->at);
        int count = image_topic_partition_count(topic);
        int32_t leader = -1;
        for (int p = 0; p < count && leader < 0; p++)
            leader = image_topic_partition_at(topic, p).leader;
        if (leader != self) continue;
        shown->told++;
        add_topic_label(out, name, image_topic_name(topic));
        buf_printf(out, "\"} %d\n", count);
    }
    return shown->at < total && shown->told < max;
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

enum of_offsets { OF_COMMITS, OF_LAG };

static bool add_offsets(struct shown *shown, int what, const char *name, struct buf *out)
{
    int count = shown_of(shown, shown->tally.offset_count), end = piece_end(shown, count);

    for (; shown->at < end; shown->at++) {
        const struct tally_offset *at = &shown->tally.offsets[shown->at];
        if (what == OF_LAG && at->end < 0) continue;
        add_offset_label(out, name, at);
        buf_printf(out, "\",partition=\"%d\"} %" PRId64 "\n", at->offset->partition,
                   what == OF_LAG ? lag_of(at) : at->offset->offset);
    }
    return end < count;
}

/* All commits of a group in a topic, though the piece ends among them. */
static bool add_sums(struct shown *shown, int what, const char *name, struct buf *out)
{
    const struct tally *tally = &shown->tally;
    int count = shown_of(shown, tally->offset_count), end = piece_end(shown, count);

    while (shown->at < end) {
        const struct tally_offset *first = &tally->offsets[shown->at];
        bool is_known = true;
        int64_t sum = 0;
        for (; shown->at < tally->offset_count && is_same_topic(first, &tally->offsets[shown->at]);
             shown->at++) {
            const struct tally_offset *at = &tally->offsets[shown->at];
            is_known = is_known && (what != OF_LAG || at->end >= 0);
            sum += what == OF_LAG ? lag_of(at) : at->offset->offset;
        }
        if (!is_known) continue;
        add_offset_label(out, name, first);
        buf_printf(out, "\"} %" PRId64 "\n", sum);
    }
    return shown->at < count;
}

static bool add_members(struct shown *shown, int what, const char *name, struct buf *out)
{
    int count = shown_of(shown, shown->tally.group_count), end = piece_end(shown, count);

    (void)what;
    for (; shown->at < end; shown->at++) {
        const struct census_group *group = shown->tally.groups[shown->at];
        add_group_label(out, name, group->name);
        buf_printf(out, "\"} %d\n", group->members);
    }
    return end < count;
}

static const struct part {
    /* A piece of its lines, from `shown->at` on. True: there is more. */
    bool (*add)(struct shown *shown, int what, const char *name, struct buf *out);
    int what;
    const char *name, *help;
} parts[] = {
    {add_topics, 0, "kafka_topic_partitions", "Partitions of a topic."},
    {add_partitions, OF_CURRENT, "kafka_topic_partition_current_offset",
     "Where the next record will stand."},
    {add_partitions, OF_OLDEST, "kafka_topic_partition_oldest_offset",
     "The first record that is kept."},
    {add_partitions, OF_ISR, "kafka_topic_partition_in_sync_replica", "Replicas that are in sync."},
    {add_partitions, OF_LEADER, "kafka_topic_partition_leader", "The broker that leads."},
    {add_partitions, OF_PREFERRED, "kafka_topic_partition_leader_is_preferred",
     "1 if the first replica leads."},
    {add_partitions, OF_REPLICAS, "kafka_topic_partition_replicas", "Replicas."},
    {add_partitions, OF_UNDER_REPLICATED, "kafka_topic_partition_under_replicated_partition",
     "1 if a replica is not in sync."},
    {add_sizes, 0, "kafka_log_log_size", "Bytes of a replica's log on this broker."},
    {add_left_out, LEFT_PARTITIONS, "ottla_metrics_partitions_left_out",
     "Replicas here without series of their own: metrics.partitions.max."},
    {add_members, 0, "kafka_consumergroup_members", "Members of a group."},
    {add_offsets, OF_COMMITS, "kafka_consumergroup_current_offset", "What a group has committed."},
    {add_offsets, OF_LAG, "kafka_consumergroup_lag",
     "Records behind the end, as this broker knows it."},
    {add_sums, OF_COMMITS, "kafka_consumergroup_current_offset_sum", "The same, of a topic."},
    {add_sums, OF_LAG, "kafka_consumergroup_lag_sum", "The same, of a topic."},
    {add_left_out, LEFT_OFFSETS, "ottla_metrics_groupoffsets_left_out",
     "Commits of groups without series of their own: metrics.partitions.max."},
};

static bool rest(void *taken, struct buf *out)
{
    struct shown *shown = taken;
    const struct part *part = &parts[shown->part];

    if (shown->census == NULL) return false;
    if (shown->at == 0) add_head(out, part->name, part->help);
    if (part->add(shown, part->what, part->name, out)) return true;
    shown->part++;
    shown->at = shown->told = 0;
    buf_clear(&shown->prefix);
    return shown->part < sizeof(parts) / sizeof(parts[0]);
}

static void end(void *of, void *taken)
{
    struct broker *broker = of;
    struct shown *shown = taken;

    if (shown->census != NULL) {
        tally_fini(&shown->tally);
        census_give(broker->censuses, &shown->census);
    }
    buf_fini(&shown->prefix);
    free(shown);
}

struct status_pages pages_of(struct broker *broker)
{
    return (struct status_pages){
        .lines = {.begin = begin, .end = end, .more = more, .rest = rest, .of = broker},
        .page = pages_answer,
        .of = broker};
}
