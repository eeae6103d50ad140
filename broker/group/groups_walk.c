/* broker/group/groups_walk.c - the groups of a shard, for the pages that watch a broker: told in
 * pieces, one group being the smallest. */
#include "broker/group/hosted_group.h"

struct teller {
    const struct groups_watcher *watcher;
    int32_t index;
};

static void tell_offset(void *to, struct slice topic, int32_t partition,
                        const struct offset_commit *commit)
{
    struct teller *teller = to;

    teller->watcher->offset(teller->watcher->to, teller->index, topic, partition, commit->offset);
}

/* Gives what it cost, in the measure of `max`. */
static int tell(const struct hosted_group *hosted, const struct groups_watcher *watcher)
{
    const struct group_fact fact = {
        .group = hosted_group_id(hosted),
        .state = group_state(hosted->machine),
        .members = group_size(hosted->machine),
    };
    struct teller teller = {watcher, watcher->group(watcher->to, &fact)};

    offsets_each(hosted->offsets, tell_offset, &teller);
    return 1 + (int)offsets_count(hosted->offsets);
}

void groups_walk_begin(struct groups *groups)
{
    groups->walk_next = groups->all.head.next;
}

bool groups_walk(struct groups *groups, int max, const struct groups_watcher *watcher)
{
    while (max > 0 && groups->walk_next != &groups->all.head) {
        struct list_node *node = groups->walk_next;
        const struct hosted_group *hosted = list_entry(node, struct hosted_group, all);

        groups->walk_next = node->next;
        /* One whose log is still being read is not known yet. */
        max -= hosted->machine == NULL ? 1 : tell(hosted, watcher);
    }
    return groups->walk_next != &groups->all.head;
}
