/* broker/replica/walk.c - what this shard has, for the pages that watch a broker: told in pieces,
 * so that many partitions hold nobody up; and traffic by topic.
 *
 * The traffic of a topic stays when its last partition here has gone, until the topic is deleted:
 * else the sum over the shards would fall, and who counts would take that for a new beginning. */
#include "base/ensure.h"
#include "broker/replica/hosted.h"
#include <stdlib.h>

/* ---- traffic by topic ---- */

void walk_enter(struct hosted *hosted)
{
    struct partitions *partitions = hosted->of;
    struct slice name = hosted_topic(hosted);
    struct topic_traffic *traffic = map_get(&partitions->traffics, name);

    if (traffic == NULL) {
        traffic = ensure_zalloc(sizeof(*traffic) + name.len + 1);
        traffic->name_len = name.len;
        if (name.len > 0) memcpy(traffic->name, name.ptr, name.len);
        ensure(map_set(&partitions->traffics, name, traffic) == NULL);
        list_push(&partitions->topics, &traffic->node);
    }
    traffic->hosted++;
    traffic->is_deleted = false;
    hosted->traffic = traffic;
}

static void forget(struct partitions *partitions, struct topic_traffic *traffic)
{
    if (partitions->walk_topic == &traffic->node) partitions->walk_topic = traffic->node.next;
    list_remove(&traffic->node);
    ensure(map_remove(&partitions->traffics, slice_of(traffic->name, traffic->name_len)) ==
           traffic);
    free(traffic);
}

void walk_leave(struct hosted *hosted)
{
    struct partitions *partitions = hosted->of;
    struct topic_traffic *traffic = hosted->traffic;

    if (partitions->walk_hosted == &hosted->all) partitions->walk_hosted = hosted->all.next;
    hosted->traffic = NULL;
    if (--traffic->hosted == 0 && traffic->is_deleted) forget(partitions, traffic);
}

void partitions_topic_deleted(struct partitions *partitions, struct slice topic)
{
    struct topic_traffic *traffic = map_get(&partitions->traffics, topic);

    if (traffic == NULL) return;
    traffic->is_deleted = true;
    if (traffic->hosted == 0) forget(partitions, traffic);
}

void walk_init(struct partitions *partitions)
{
    map_init(&partitions->traffics);
    list_init(&partitions->topics);
}

void walk_fini(struct partitions *partitions)
{
    for (struct list_node *node; (node = list_first(&partitions->topics)) != NULL;)
        forget(partitions, list_entry(node, struct topic_traffic, node));
    map_fini(&partitions->traffics);
}

/* ---- the walk ---- */

static void tell_topic(struct topic_traffic *traffic, uint32_t walk,
                       const struct partitions_watcher *watcher)
{
    const struct topic_fact fact = {
        .topic = slice_of(traffic->name, traffic->name_len),
        .hosted = traffic->hosted,
        .bytes_in = traffic->bytes_in,
        .messages_in = traffic->messages_in,
        .bytes_out = traffic->bytes_out,
    };

    traffic->walk = walk;
    traffic->index = watcher->topic(watcher->to, &fact);
}

static void tell_partition(const struct hosted *hosted, const struct partitions_watcher *watcher)
{
    const struct partition *machine = &hosted->machine;
    bool is_leader = machine->role == PARTITION_LEADER;
    const struct partition_fact fact = {
        .topic_index = hosted->traffic->index,
        .partition = hosted->partition,
        .leader = machine->leader,
        .leader_epoch = machine->leader_epoch,
        .is_leader = is_leader,
        .is_offline = machine->role == PARTITION_OFFLINE,
        .isr_count = is_leader ? isr_set_count(machine->isr.committed) : 0,
        .replica_count = is_leader ? machine->isr.count : 0,
        .log_start = machine->log_start,
        .high_watermark = partition_high_watermark(machine),
        .end = machine->end_offset,
        .size_bytes = hosted->log == NULL ? 0 : log_size_bytes(hosted->log),
    };

    watcher->partition(watcher->to, &fact);
}

void partitions_walk_begin(struct partitions *partitions)
{
    partitions->walks++;
    partitions->walk_topic = partitions->topics.head.next;
    partitions->walk_hosted = partitions->all.head.next;
}

bool partitions_walk(struct partitions *partitions, int max,
                     const struct partitions_watcher *watcher)
{
    for (; max > 0 && partitions->walk_topic != &partitions->topics.head; max--) {
        struct list_node *node = partitions->walk_topic;
        partitions->walk_topic = node->next;
        tell_topic(list_entry(node, struct topic_traffic, node), partitions->walks, watcher);
    }
    for (; max > 0 && partitions->walk_hosted != &partitions->all.head; max--) {
        struct list_node *node = partitions->walk_hosted;
        struct hosted *hosted = list_entry(node, struct hosted, all);
        partitions->walk_hosted = node->next;
        /* A topic that came while the walk was among the partitions is left out. */
        if (hosted->traffic->walk == partitions->walks && !hosted->is_leaving)
            tell_partition(hosted, watcher);
    }
    return max == 0;
}
