/* broker/group/groups_age.c - what goes by its time (KIP-211): offsets, then groups that have none.
 *
 * Every offsets.retention.check.interval.ms all groups are looked at, some a turn. */
#include "broker/group/hosted_group.h"

#define GROUPS_PER_TURN_MAX 100

static void on_expired(void *to, struct slice topic, int32_t partition)
{
    tombstones_add_offset(to, topic, partition);
}

static bool keeps(void *to, struct slice topic)
{
    return group_is_subscribed(((const struct hosted_group *)to)->machine, topic);
}

static void age_of(struct hosted_group *hosted, struct offsets_age *age)
{
    const struct groups *groups = hosted->of->of;
    const struct group *machine = hosted->machine;
    struct slice type = group_protocol_type(machine);

    *age = (struct offsets_age){.aging = OFFSETS_AGE_NEVER,
                                .empty_since_ms = group_state_since_ms(machine),
                                .now_ms = groups_wall_ms(groups),
                                .retention_ms = groups->settings->retention_ms,
                                .to = hosted};
    if (slice_is_null(type)) {
        age->aging = OFFSETS_AGE_FROM_COMMIT; /* nobody is a member: who commits is alive */
    } else if (group_state(machine) == GROUP_EMPTY) {
        age->aging = OFFSETS_AGE_FROM_EMPTY;
    } else if (group_state(machine) == GROUP_STABLE && group_knows_subscriptions(machine)) {
        age->aging = OFFSETS_AGE_FROM_COMMIT;
        age->keeps = keeps;
    }
}

bool age_bury(struct hosted_group *hosted, struct tombstones *tombstones)
{
    struct group_event event = {.type = GROUP_KILL};

    if (group_state(hosted->machine) != GROUP_EMPTY || !offsets_is_empty(hosted->offsets))
        return false;
    if (group_generation(hosted->machine) > 0) tombstones_add_group(tombstones);
    tombstones_end(tombstones);
    hosted_group_feed(hosted, &event);
    hosted_group_remove(hosted);
    return true;
}

static void look_at(struct hosted_group *hosted)
{
    struct groups *groups = hosted->of->of;
    struct record_builder builder;
    struct tombstones tombstones;
    struct offsets_age age;

    age_of(hosted, &age);
    tombstones_begin(&tombstones, hosted, &builder);
    int count = offsets_expire(hosted->offsets, &age, on_expired, &tombstones);
    counter_add(&groups->counts.expired, (uint64_t)count);
    if (!age_bury(hosted, &tombstones)) tombstones_end(&tombstones);
}

static void on_post(struct post *post)
{
    struct groups *groups =
        (struct groups *)(void *)((char *)post - offsetof(struct groups, age_post));
    struct list_node *node = NULL;

    for (int n = 0; n < GROUPS_PER_TURN_MAX && (node = list_pop(&groups->aging)) != NULL; n++)
        look_at(list_entry(node, struct hosted_group, aging));
    if (!list_is_empty(&groups->aging)) shard_post_last(groups->shard, &groups->age_post);
}

static void on_timer(struct timer *timer)
{
    struct groups *groups =
        (struct groups *)(void *)((char *)timer - offsetof(struct groups, age_timer));

    map_each (each, &groups->coordinators) {
        struct coordinator *coordinator = each->value;
        if (coordinator->is_loading) continue;
        map_each (entry, &coordinator->groups) {
            struct hosted_group *hosted = entry->value;
            if (!list_has(&hosted->aging)) list_push(&groups->aging, &hosted->aging);
        }
    }
    shard_post_last(groups->shard, &groups->age_post);
    timer_arm(groups->shard, timer,
              instant_add_ms(shard_now(groups->shard), groups->settings->retention_check_ms));
}

void age_begin(struct groups *groups)
{
    groups->age_timer.fire = on_timer;
    groups->age_post.run = on_post;
    timer_arm(groups->shard, &groups->age_timer,
              instant_add_ms(shard_now(groups->shard), groups->settings->retention_check_ms));
}

void age_end(struct groups *groups)
{
    timer_cancel(groups->shard, &groups->age_timer);
    shard_unpost(&groups->age_post);
    while (list_pop(&groups->aging) != NULL) {
    }
}
