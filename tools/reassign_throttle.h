/* tools/reassign_throttle.h - what --throttle limits while partitions move: who sends, who
 * receives, and the lists that say so in the topics' configurations. Pure. Rules: tools.md §8. */
#pragma once
#include "tools/reassign_text.h"

/* One partition on its way: from the brokers that have it to those that are to have it. */
struct flow {
    struct topic_partition at;
    struct broker_ids sources, targets;
};
struct flow_list {
    struct flow *at;
    int32_t count;
};

/* The flows of what moves already (`moving` with `adding` of each, in the same order) and of what
 * is `wanted` beside or instead, where `now` tells who has it. By topic and partition; in the
 * arena. */
void flows_of(const struct move_list *moving, const struct broker_ids *adding,
              const struct move_list *wanted, const struct move_list *now, struct arena *arena,
              struct flow_list *out);
/* Of flows first … of one topic, `count` of them: "0:1,0:2" of all that send, of all that receive;
 * sorted as text, empty where there are none. */
void flows_write_sources(struct buf *out, const struct flow *first, int32_t count);
void flows_write_targets(struct buf *out, const struct flow *first, int32_t count);
/* All brokers that send or receive, ascending; in the arena. */
struct broker_ids flows_brokers(const struct flow_list *flows, struct arena *arena);
