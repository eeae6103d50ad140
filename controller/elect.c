/* controller/elect.c - elections on demand: ElectLeaders, the legacy znode, automatic rebalancing.
 */
#include "base/ensure.h"
#include "controller/documents.h"
#include "controller/machines.h"
#include "controller/partition_machine.h"
#include "zk/paths.h"
#include <stdlib.h>

struct elect {
    struct task task;
    struct event *event;
    struct elected elected;
    int32_t
        *places; /* of each item: its partition's place in the set; −1: it is answered already */
};

static void elect_fini(struct task *task)
{
    struct elect *e = (struct elect *)task;

    free(e->elected.answers);
    free(e->places);
}

static enum answer check(const struct context *context, const struct partition *p, bool is_unclean)
{
    if (p == NULL || !p->has_leadership)
        return p == NULL    ? ANSWER_UNKNOWN_PARTITION
               : is_unclean ? ANSWER_NO_ELIGIBLE_LEADER
                            : ANSWER_PREFERRED_NOT_AVAILABLE;
    if (p->topic->is_deleting) return ANSWER_INVALID_TOPIC;
    if (is_unclean)
        return p->now.leader >= 0 && broker_is_live(context, p->now.leader) ? ANSWER_NOT_NEEDED
                                                                            : ANSWER_OK;
    return p->replicas.count > 0 && p->now.leader == p->replicas.at[0] ? ANSWER_NOT_NEEDED
                                                                       : ANSWER_OK;
}

static void list_all(struct context *context, struct event *event)
{
    int32_t n = 0;

    event_make_items(event, context->partition_count);
    context_each_topic(entry, topic, context) for (int32_t i = 0; i < topic->count; i++)
    {
        event->items[n].topic = arena_copy(&event->arena, slice_text(topic->name));
        event->items[n++].partition = topic->partitions[i]->id;
    }
}

static void elect_run(struct context *context, struct task *task)
{
    struct elect *e = (struct elect *)task;
    struct event *event = e->event;
    struct partition_set set = {0};
    struct map chosen; /* partition → its item's entry in `places` */

    if (task->phase++ > 0) {
        for (int32_t i = 0; i < event->count; i++)
            if (e->places[i] >= 0) event->items[i].answer = e->elected.answers[e->places[i]];
        task_end(context, task);
        return;
    }
    if (event->is_all) list_all(context, event);
    e->places = ensure_zalloc((size_t)(event->count + 1) * sizeof(*e->places));
    map_init(&chosen);
    for (int32_t i = 0; i < event->count; i++) {
        struct partition *p = context_find_item(context, &event->items[i]);

        event->items[i].answer = check(context, p, event->is_unclean);
        e->places[i] = -1;
        if (event->items[i].answer != ANSWER_OK) continue;
        /* One that is asked for again is elected once: its second write would meet the first. */
        const int32_t *first = map_get(&chosen, slice_of(&p, sizeof(p)));
        e->places[i] = first == NULL ? set.count : *first;
        if (first != NULL) continue;
        (void)map_set(&chosen, slice_of(&p, sizeof(p)), &e->places[i]);
        partition_set_add(&set, p);
    }
    map_fini(&chosen);
    partitions_to_online(context, &set,
                         event->is_unclean ? ELECTION_OFFLINE_UNCLEAN : ELECTION_PREFERRED,
                         &e->elected);
}

static void push_elect(struct context *context, struct event *event)
{
    struct elect *e = task_push(context, sizeof(*e), elect_run, elect_fini);

    e->event = event;
}

void elect_asked(struct context *context, struct event *event)
{
    push_elect(context, event);
}

void unclean_enabled(struct context *context, struct event *event)
{
    struct topic *topic = NULL;

    if (slice_is_null(event->topic))
        context->config.is_unclean_enabled = true;
    else if ((topic = context_topic(context, event->topic)) == NULL)
        return;
    partitions_trigger_online(context, topic, NULL);
}

/* ---- /admin/preferred_replica_election ---- */

struct preferred {
    struct task task;
    struct event *event;
};

static void preferred_run(struct context *context, struct task *task)
{
    struct preferred *p = (struct preferred *)task;

    switch (task->phase++) {
    case 0:
        task_exists(task, PATH_PREFERRED_ELECTION, true);
        task_get(task, PATH_PREFERRED_ELECTION, false);
        task_ask(context, task);
        return;
    case 1:
        if (task->requests.at[1].err != ERR_OK) {
            task_end(context, task);
            return;
        }
        document_read_partitions(&task->requests.at[1], &p->event->arena, &p->event->items,
                                 &p->event->count);
        push_elect(context, p->event);
        return;
    case 2:
        task_clear_requests(task);
        task_delete(task, PATH_PREFERRED_ELECTION);
        task_ask(context, task);
        return;
    case 3: {
        /* One that is made again in between would not be seen: look. */
        if (task->requests.at[0].err == ERR_OK) {
            struct event *again = event_create(EVENT_PREFERRED_NODE);

            list_push(&context->events, &again->node);
        }
        task_end(context, task);
        return;
    }
    }
}

void preferred_node(struct context *context, struct event *event)
{
    struct preferred *p = task_push(context, sizeof(*p), preferred_run, NULL);

    p->event = event;
}

/* ---- automatic rebalancing ---- */

struct balance {
    int32_t broker, led, total;
};

static bool counts(const struct partition *p)
{
    return !p->topic->is_deleting && p->has_leadership && p->replicas.count > 0;
}

static struct balance *balance_of(struct map *map, int32_t broker)
{
    struct balance *b = map_get(map, map_int(&broker));

    if (b == NULL) {
        b = ensure_zalloc(sizeof(*b));
        b->broker = broker;
        (void)map_set(map, map_int(&broker), b);
    }
    return b;
}

static void add_imbalanced(struct context *context, struct map *map, struct partition_set *out)
{
    context_each_topic(entry, topic, context) for (int32_t i = 0; i < topic->count; i++)
    {
        struct partition *p = topic->partitions[i];

        if (!counts(p) || p->now.leader == p->replicas.at[0] || p->state == PARTITION_NONEXISTENT)
            continue;
        int32_t first = p->replicas.at[0];
        const struct balance *b = balance_of(map, first);
        bool is_over = (int64_t)(b->total - b->led) * 100 >
                       (int64_t)context->config.imbalance_percent * b->total;
        if (is_over && replica_is_online(context, p, first) && ids_have(&p->now.isr, first))
            partition_set_add(out, p);
    }
}

static void rebalance_run(struct context *context, struct task *task)
{
    struct partition_set set = {0};
    struct map map;

    if (task->phase++ > 0) {
        struct effect *effect = context_effect(context, EFFECT_REBALANCE_AT);

        effect->at = instant_add_ms(context->now, context->config.imbalance_check_ms);
        task_end(context, task);
        return;
    }
    map_init(&map);
    context_each_topic(entry, topic, context) for (int32_t i = 0; i < topic->count; i++)
    {
        const struct partition *p = topic->partitions[i];

        if (topic->is_deleting || p->replicas.count == 0) continue;
        struct balance *b = balance_of(&map, p->replicas.at[0]);
        b->total++;
        b->led += !p->has_leadership || p->now.leader == p->replicas.at[0];
    }
    add_imbalanced(context, &map, &set);
    map_each (entry, &map)
        free(entry->value);
    map_fini(&map);
    if (set.count > 0) context_note(context, "rebalance partitions=%d", set.count);
    partitions_to_online(context, &set, ELECTION_PREFERRED, NULL);
}

void rebalance(struct context *context, struct event *event)
{
    (void)event;
    task_push(context, sizeof(struct task), rebalance_run, NULL);
}
