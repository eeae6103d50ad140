#include "tools/topics_text.h"
#include "base/ensure.h"
#include "base/text.h"
#include <regex.h>
#include <stdlib.h>

static void add_ids(struct buf *out, const char *title, struct broker_ids ids)
{
    buf_printf(out, "\t%s: ", title);
    for (int32_t i = 0; i < ids.count; i++)
        buf_printf(out, "%s%d", i == 0 ? "" : ",", ids.at[i]);
}

static void print_header(const struct topic_view *topic, struct buf *out)
{
    char id[UUID_TEXT_LEN + 1];

    buf_printf(out, "Topic: %.*s", SLICE_ARGS(topic->name));
    if (!uuid_is_zero(topic->id)) {
        uuid_text(topic->id, id);
        buf_printf(out, "\tTopicId: %s", id);
    }
    buf_printf(out,
               "\tPartitionCount: %d\tReplicationFactor: %d\tConfigs: ", topic->partition_count,
               topic->partition_count == 0 ? 0 : topic->partitions[0].replicas.count);
    for (int i = 0; i < topic->config_count; i++)
        buf_printf(out, "%s%.*s=%.*s", i == 0 ? "" : ",", SLICE_ARGS(topic->configs[i].name),
                   SLICE_ARGS(topic->configs[i].value));
    if (topic->is_marked) buf_add_text(out, "\tMarkedForDeletion: true");
    buf_add_text(out, "\n");
}

static void print_partition(const struct topic_view *topic, const struct partition_view *p,
                            struct buf *out)
{
    buf_printf(out, "\tTopic: %.*s\tPartition: %d\tLeader: ", SLICE_ARGS(topic->name),
               p->partition);
    if (p->leader < 0)
        buf_add_text(out, "none");
    else
        buf_printf(out, "%d", p->leader);
    add_ids(out, "Replicas", p->replicas);
    add_ids(out, "Isr", p->isr);
    if (p->adding.count > 0 || p->removing.count > 0) {
        add_ids(out, "Adding Replicas", p->adding);
        add_ids(out, "Removing Replicas", p->removing);
    }
    if (p->tells_elr) {
        add_ids(out, "Elr", p->elr);
        add_ids(out, "LastKnownElr", p->last_elr);
    } else {
        buf_add_text(out, "\tElr: N/A\tLastKnownElr: N/A");
    }
    if (topic->is_marked) buf_add_text(out, "\tMarkedForDeletion: true");
    buf_add_text(out, "\n");
}

/* During a reassignment the replicas that go are not missed. */
static int32_t replicas_expected(const struct partition_view *p)
{
    return p->replicas.count - p->adding.count;
}

static bool is_wanted(const struct topic_view *topic, const struct partition_view *p,
                      const struct topics_wanted *wanted)
{
    return (wanted->under_replicated && p->isr.count < replicas_expected(p)) ||
           (wanted->unavailable && !p->is_available) ||
           (wanted->under_min_isr && p->isr.count < topic->min_insync_replicas) ||
           (wanted->at_min_isr && p->isr.count == topic->min_insync_replicas);
}

void topic_view_print(const struct topic_view *topic, const struct topics_wanted *wanted,
                      struct buf *out)
{
    bool is_filtered = wanted->under_replicated || wanted->unavailable || wanted->under_min_isr ||
                       wanted->at_min_isr;

    if (!is_filtered && (!wanted->overrides || topic->has_overrides)) print_header(topic, out);
    if (wanted->overrides) return;
    for (int i = 0; i < topic->partition_count; i++)
        if (!is_filtered || is_wanted(topic, &topic->partitions[i], wanted))
            print_partition(topic, &topic->partitions[i], out);
}

static int32_t count_of(struct slice text, uint8_t separator)
{
    int32_t count = 1;

    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == separator;
    return count;
}

enum err topics_assignment_parse(struct slice text, struct arena *arena, int32_t **replicas,
                                 int32_t *count, int32_t *factor, struct buf *message)
{
    int32_t partitions = count_of(text, ','), total = 0, width = 0;
    int32_t *all = arena_zalloc(arena, (size_t)(partitions + count_of(text, ':')) * sizeof(*all));
    struct slice left = text, list, one;
    int64_t id;

    for (int32_t p = 0; p < partitions; p++) {
        if (!slice_cut(&left, ',', &list)) list = left;
        int32_t n = count_of(list, ':');
        for (int32_t i = 0; i < n; i++) {
            if (!slice_cut(&list, ':', &one)) one = list;
            if (text_int(text_trim(one), 0, INT32_MAX, &id) != ERR_OK) {
                buf_printf(message, "\"%.*s\" is not a broker id", SLICE_ARGS(one));
                return ERR_INVALID;
            }
            all[total++] = (int32_t)id;
        }
        if (p == 0) width = n;
        if (n != width) {
            buf_printf(message, "Partition %d has another replication factor than partition 0", p);
            return ERR_INVALID;
        }
        if (broker_ids_repeat((struct broker_ids){all + total - n, n})) {
            buf_printf(message,
                       "Partition replica lists may not contain duplicate entries: "
                       "partition %d",
                       p);
            return ERR_INVALID;
        }
    }
    *replicas = all;
    *count = partitions;
    *factor = width;
    return ERR_OK;
}

struct topics_pattern {
    regex_t regex;
};

enum err topics_pattern_create(const char *text, struct topics_pattern **out)
{
    struct topics_pattern *pattern = ensure_zalloc(sizeof(*pattern));
    struct buf whole = {0};

    buf_add_text(&whole, "^(");
    for (; *text != '\0'; text++)
        if (*text != '"' && *text != '\'' && *text != ' ')
            buf_add(&whole, *text == ',' ? "|" : text, 1);
    buf_add(&whole, ")$", 3);
    int failure = regcomp(&pattern->regex, (const char *)whole.ptr, REG_EXTENDED | REG_NOSUB);
    buf_fini(&whole);
    if (failure != 0) {
        free(pattern);
        return ERR_INVALID;
    }
    *out = pattern;
    return ERR_OK;
}

void topics_pattern_destroy(struct topics_pattern **pattern)
{
    if (*pattern == NULL) return;
    regfree(&(*pattern)->regex);
    free(*pattern);
    *pattern = NULL;
}

bool topics_pattern_matches(const struct topics_pattern *pattern, struct slice name)
{
    char *text = ensure_strndup(name.ptr, name.len);
    bool is_match = regexec(&pattern->regex, text, 0, NULL, 0) == 0;

    free(text);
    return is_match;
}

bool topics_name_is_risky(const char *name)
{
    return strpbrk(name, "._") != NULL;
}
