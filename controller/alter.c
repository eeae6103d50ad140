/* controller/alter.c - the ISR as leaders see it: AlterPartition, and notifications of brokers that
 * write the state themselves (IBP < 2.7-IV2). And blocks of producer ids. */
#include "base/ensure.h"
#include "base/planted.h"
#include "controller/documents.h"
#include "controller/machines.h"
#include "controller/outbox.h"
#include "controller/partition_machine.h"
#include "controller/reassign.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdlib.h>

#define PATHS_MAX (64u << 20)

struct alter {
    struct task task;
    struct event *event;
    int32_t *requests; /* by place of the item; −1: none */
    struct partition_set touched;
};

static void alter_fini(struct task *task)
{
    struct alter *a = (struct alter *)task;

    free(a->requests);
    partition_set_fini(&a->touched);
}

/* What the leader saw of that member it saw before the member's broker was registered anew, and it
 * may have less by now (KIP-903). */
static bool is_of_another_life(const struct context *context, const struct event_item *item,
                               int32_t member)
{
    const struct broker *broker = context_broker(context, item->state.isr.at[member]);

    return broker != NULL && item->broker_epochs != NULL && item->broker_epochs[member] >= 0 &&
           item->broker_epochs[member] != broker->epoch && !planted(broker_epoch_ignored);
}

/* `item->state`: what the leader asks for. Kafka's order of checks. */
static enum answer check(const struct context *context, const struct event *event,
                         const struct event_item *item, const struct partition *p, bool *is_same)
{
    const struct leadership *asked = &item->state;

    *is_same = false;
    if (p == NULL)
        return item->has_id && context_topic_by_id(context, item->topic_id) == NULL
                   ? ANSWER_UNKNOWN_TOPIC_ID
                   : ANSWER_UNKNOWN_PARTITION;
    if (!p->has_leadership) return ANSWER_UNKNOWN_PARTITION;
    const struct leadership *now = &p->now;
    if (asked->partition_epoch > now->partition_epoch || asked->leader_epoch > now->leader_epoch)
        return ANSWER_NOT_CONTROLLER;
    if (asked->leader_epoch < now->leader_epoch) return ANSWER_FENCED_EPOCH;
    if (now->leader == event->broker && ids_equal(&asked->isr, &now->isr) &&
        asked->is_recovering == now->is_recovering) {
        *is_same = true;
        return ANSWER_OK;
    }
    if (asked->partition_epoch < now->partition_epoch && !planted(isr_without_partition_epoch))
        return ANSWER_INVALID_VERSION;
    if (asked->isr.count == 0 || (asked->is_recovering && asked->isr.count > 1) ||
        (asked->is_recovering && !now->is_recovering))
        return ANSWER_INVALID_REQUEST;
    for (int32_t i = 0; i < asked->isr.count; i++) {
        if (!broker_is_live(context, asked->isr.at[i])) return ANSWER_INELIGIBLE_REPLICA;
        if (is_of_another_life(context, item, i)) return ANSWER_INELIGIBLE_REPLICA;
    }
    return ANSWER_OK;
}

static void ask_alter(struct context *context, struct alter *a)
{
    struct event *event = a->event;
    struct leadership next = {0};
    struct buf json = {0};
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    a->requests = ensure_zalloc((size_t)(event->count + 1) * sizeof(*a->requests));
    for (int32_t i = 0; i < event->count; i++) {
        struct event_item *item = &event->items[i];
        struct partition *p = context_find_item(context, item);
        bool is_same;

        a->requests[i] = -1;
        item->answer = check(context, event, item, p, &is_same);
        if (p != NULL) partition_set_add(&a->touched, p);
        if (item->answer != ANSWER_OK) continue;
        if (is_same) {
            leadership_copy(&item->state, &p->now);
            continue;
        }
        leadership_copy(&next, &item->state);
        next.leader = event->broker;
        next.controller_epoch = context->epoch;
        buf_clear(&json);
        document_write_state(&json, &next);
        a->requests[i] = a->task.requests.count;
        struct request *r =
            task_set(&a->task, path_state(&arena, slice_text(p->topic->name), p->id),
                     buf_slice(&json),
                     planted(isr_without_partition_epoch) ? -1 : item->state.partition_epoch);
        request_guard_isr(context, r, &next.isr);
        arena_reset(&arena);
    }
    leadership_fini(&next);
    buf_fini(&json);
    arena_fini(&arena);
    task_ask(context, &a->task);
}

static void take_alter(struct context *context, struct alter *a)
{
    struct event *event = a->event;
    struct partition_set conflicts = {0};

    for (int32_t i = 0; i < event->count; i++) {
        struct event_item *item = &event->items[i];
        struct partition *p = context_find_item(context, item);

        if (a->requests[i] < 0) continue;
        const struct request *r = &a->task.requests.at[a->requests[i]];
        if (r->err == ERR_OK) {
            item->state.leader = event->broker;
            item->state.controller_epoch = context->epoch;
            item->state.partition_epoch = r->stat.version;
            partition_set_leadership(p, &item->state);
            context_note(context, "partition %s-%d leader=%d isr-size=%d version=%d",
                         p->topic->name, p->id, p->now.leader, p->now.isr.count,
                         p->now.partition_epoch);
        } else if (r->err == ERR_ZK_VERSION) {
            item->answer = ANSWER_INVALID_VERSION;
            partition_set_add(&conflicts, p);
        } else {
            item->answer = ANSWER_UNKNOWN_ERROR;
            if (r->err == ERR_ZK_LOSS) partition_set_add(&conflicts, p);
        }
    }
    /* What stands there may be our own write whose answer was lost: the leader, which asks again or
     * hears of it by UpdateMetadata, must not wait for ever. */
    if (planted(lost_answer_is_failure)) partition_set_fini(&conflicts);
    if (conflicts.count > 0) partitions_refresh(context, &conflicts);
}

static void judge_conflicts(struct context *context, struct alter *a)
{
    struct event *event = a->event;

    for (int32_t i = 0; i < event->count; i++) {
        struct event_item *item = &event->items[i];
        struct partition *p = context_find_item(context, item);

        if (item->answer == ANSWER_OK || a->requests[i] < 0 || p == NULL) continue;
        if (p->now.leader == event->broker && p->now.leader_epoch == item->state.leader_epoch &&
            ids_equal(&p->now.isr, &item->state.isr) &&
            p->now.is_recovering == item->state.is_recovering) {
            item->answer = ANSWER_OK;
            leadership_copy(&item->state, &p->now);
        }
    }
}

static void tell_touched(struct context *context, const struct partition_set *touched)
{
    struct ids alive = {0};

    context_alive(context, &alive);
    for (int32_t i = 0; i < touched->count; i++)
        outbox_update(context, &alive, touched->at[i]);
    outbox_send(context);
    ids_fini(&alive);
}

static void alter_run(struct context *context, struct task *task)
{
    struct alter *a = (struct alter *)task;

    switch (task->phase++) {
    case 0:
        ask_alter(context, a);
        return;
    case 1:
        take_alter(context, a);
        return;
    case 2:
        judge_conflicts(context, a);
        tell_touched(context, &a->touched);
        reassign_complete(context, &a->touched);
        return;
    case 3:
        task_end(context, task);
        return;
    }
}

void alter_partition(struct context *context, struct event *event)
{
    const struct broker *broker = context_broker(context, event->broker);

    if (broker == NULL || broker->is_suspect || broker->is_silent ||
        (broker->epoch != event->broker_epoch && !planted(broker_epoch_ignored))) {
        event->answer = ANSWER_STALE_BROKER_EPOCH;
        return;
    }
    struct alter *a = task_push(context, sizeof(*a), alter_run, alter_fini);
    a->event = event;
}

/* ---- /isr_change_notification ---- */

struct notified {
    struct task task;
    struct arena arena;
    struct slice *paths;
    int32_t count;
    struct partition_set set;
};

static void notified_fini(struct task *task)
{
    struct notified *n = (struct notified *)task;

    arena_fini(&n->arena);
    partition_set_fini(&n->set);
}

static void read_notified(struct context *context, struct notified *n)
{
    for (int32_t i = 0; i < n->task.requests.count; i++) {
        struct event_item *items;
        int32_t count;

        document_read_partitions(&n->task.requests.at[i], &n->arena, &items, &count);
        for (int32_t k = 0; k < count; k++) {
            struct partition *p = context_find_item(context, &items[k]);
            bool is_new = p != NULL;

            for (int32_t s = 0; s < n->set.count && is_new; s++)
                is_new = n->set.at[s] != p;
            if (is_new) partition_set_add(&n->set, p);
        }
    }
}

static void copy_set(struct partition_set *to, const struct partition_set *from)
{
    for (int32_t i = 0; i < from->count; i++)
        partition_set_add(to, from->at[i]);
}

static void notified_run(struct context *context, struct task *task)
{
    struct notified *n = (struct notified *)task;
    struct partition_set copy = {0};

    switch (task->phase++) {
    case 0:
        task_children(task, PATH_ISR_CHANGES, true);
        task_ask(context, task);
        return;
    case 1:
        n->count = task->requests.at[0].child_count;
        n->paths = arena_zalloc(&n->arena, (size_t)(n->count + 1) * sizeof(*n->paths));
        for (int32_t i = 0; i < n->count; i++)
            n->paths[i] = path_child(&n->arena, PATH_ISR_CHANGES, task->requests.at[0].children[i]);
        task_clear_requests(task);
        for (int32_t i = 0; i < n->count; i++)
            task_get(task, n->paths[i], false);
        task_ask(context, task);
        return;
    case 2:
        read_notified(context, n);
        copy_set(&copy, &n->set);
        partitions_refresh(context, &copy);
        return;
    case 3:
        if (n->set.count > 0) tell_touched(context, &n->set);
        copy_set(&copy, &n->set);
        reassign_complete(context, &copy);
        return;
    case 4:
        task_clear_requests(task);
        for (int32_t i = 0; i < n->count; i++)
            task_delete(task, n->paths[i]);
        task_ask(context, task);
        return;
    case 5:
        task_end(context, task);
        return;
    }
}

void isr_notified(struct context *context, struct event *event)
{
    (void)event;
    struct notified *n = task_push(context, sizeof(*n), notified_run, notified_fini);
    arena_init(&n->arena, PATHS_MAX);
}

/* ---- producer ids ---- */

struct block {
    struct task task;
    struct event *event;
    struct doc_producer_ids next;
};

static void block_run(struct context *context, struct task *task)
{
    struct block *b = (struct block *)task;
    struct buf json = {0};
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    switch (task->phase++) {
    case 0:
        task_clear_requests(task);
        task_get(task, PATH_PRODUCER_IDS, false);
        task_ask(context, task);
        break;
    case 1: {
        struct zk_stat stat = task->requests.at[0].stat;

        if (task->requests.at[0].err != ERR_OK ||
            doc_producer_ids_next(task->requests.at[0].answer, &arena, b->event->broker,
                                  &b->next) != ERR_OK) {
            b->event->answer = ANSWER_UNKNOWN_ERROR;
            task_end(context, task);
            break;
        }
        doc_producer_ids_write(&json, &b->next);
        task_clear_requests(task);
        task_set(task, PATH_PRODUCER_IDS, buf_slice(&json), stat.version)->is_fenced = false;
        task_ask(context, task);
        break;
    }
    case 2:
        if (task->requests.at[0].err == ERR_ZK_VERSION) {
            task->phase = 0;
            break;
        }
        if (task->requests.at[0].err == ERR_OK)
            b->event->block_start = b->next.first;
        else
            b->event->answer = ANSWER_UNKNOWN_ERROR;
        task_end(context, task);
        break;
    }
    buf_fini(&json);
    arena_fini(&arena);
}

void producer_ids(struct context *context, struct event *event)
{
    const struct broker *broker = context_broker(context, event->broker);

    /* The controller gives ids to producers too where it stands among the live brokers. */
    if (event->broker != context->config.id) {
        if (broker == NULL)
            event->answer = ANSWER_BROKER_NOT_REGISTERED;
        else if (broker->epoch != event->broker_epoch)
            event->answer = ANSWER_STALE_BROKER_EPOCH;
    }
    if (event->answer != ANSWER_OK) return;
    struct block *b = task_push(context, sizeof(*b), block_run, NULL);
    b->event = event;
}
