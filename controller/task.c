/* controller/task.c - see task.h and context.h: the engine. */
#include "controller/task.h"
#include "base/ensure.h"
#include "controller/machines.h"
#include "controller/outbox.h"
#include <stdlib.h>

static void (*const starts[])(struct context *, struct event *) = {
    [EVENT_TAKE_OVER] = take_over_start,
    [EVENT_BROKERS_CHANGED] = brokers_changed,
    [EVENT_BROKER_CHANGED] = broker_changed,
    [EVENT_BROKER_SUSPECT] = broker_suspect,
    [EVENT_BROKER_BACK] = broker_back,
    [EVENT_TOPICS_CHANGED] = topics_changed,
    [EVENT_TOPIC_CHANGED] = topic_changed,
    [EVENT_DELETIONS_CHANGED] = deletions_changed,
    [EVENT_ISR_NOTIFIED] = isr_notified,
    [EVENT_LOG_DIRS_NOTIFIED] = log_dirs_notified,
    [EVENT_REASSIGN_NODE] = reassign_node,
    [EVENT_PREFERRED_NODE] = preferred_node,
    [EVENT_STATE_CHANGED] = state_changed,
    [EVENT_LEADER_AND_ISR_ANSWERED] = leader_and_isr_answered,
    [EVENT_STOP_ANSWERED] = stop_answered,
    [EVENT_UNCLEAN_ENABLED] = unclean_enabled,
    [EVENT_REBALANCE] = rebalance,
    [EVENT_CONTROLLED_SHUTDOWN] = controlled_shutdown,
    [EVENT_ALTER_PARTITION] = alter_partition,
    [EVENT_ELECT] = elect_asked,
    [EVENT_REASSIGN] = reassign_asked,
    [EVENT_PRODUCER_IDS] = producer_ids,
};

void context_init(struct context *context, const struct context_config *config, uint64_t seed)
{
    *context = (struct context){.config = *config};
    prng_init(&context->prng, seed);
    map_init(&context->brokers);
    map_init(&context->topics);
    map_init(&context->topics_by_id);
    list_init(&context->walks);
    list_init(&context->events);
    list_init(&context->tasks);
    list_init(&context->effects);
    context->outbox = outbox_create();
}

static void requests_clear(struct requests *requests)
{
    for (int32_t i = 0; i < requests->count; i++) {
        struct request *r = &requests->at[i];

        free(r->path);
        free((void *)r->data.ptr);
        free(r->guards);
        free((void *)r->answer.ptr);
        for (int32_t c = 0; c < r->child_count; c++)
            free((void *)r->children[c].ptr);
        free(r->children);
    }
    requests->count = 0;
}

static void task_destroy(struct task *task)
{
    list_remove(&task->node);
    if (task->fini != NULL) task->fini(task);
    requests_clear(&task->requests);
    free(task->requests.at);
    free(task);
}

static void forget_all(struct context *context)
{
    for (struct list_node *node; (node = list_first(&context->tasks)) != NULL;)
        task_destroy(list_entry(node, struct task, node));
    for (struct map_entry *entry; (entry = map_first(&context->brokers)) != NULL;)
        context_remove_broker(context, ((struct broker *)entry->value)->id);
    for (struct map_entry *entry; (entry = map_first(&context->topics)) != NULL;) {
        struct topic *topic = entry->value;

        context_remove_topic(context, &topic);
    }
    outbox_clear(context->outbox);
    context->has_reassign_node = false;
}

void context_fini(struct context *context)
{
    struct effect *effect;

    while (!list_is_empty(&context->events)) {
        struct event *event = list_entry(list_pop(&context->events), struct event, node);
        event_destroy(&event);
    }
    forget_all(context);
    while ((effect = context_take(context)) != NULL)
        effect_destroy(&effect);
    map_fini(&context->brokers);
    map_fini(&context->topics);
    map_fini(&context->topics_by_id);
    outbox_destroy(&context->outbox);
}

void context_finish_event(struct context *context, struct event **event)
{
    if ((*event)->caller == NULL) {
        event_destroy(event);
        return;
    }
    context_effect(context, EFFECT_REPLY)->event = *event;
    *event = NULL;
}

static void refuse(struct context *context, struct event *event)
{
    event->answer = ANSWER_NOT_CONTROLLER;
    for (int32_t i = 0; i < event->count; i++)
        event->items[i].answer = ANSWER_NOT_CONTROLLER;
    context_finish_event(context, &event);
}

bool context_is_idle(const struct context *context)
{
    return list_is_empty(&context->tasks) && list_is_empty(&context->events);
}

/* The event whose work is done on the stack is kept by the bottom task, so that its answers have a
 * place and that dropping the stack refuses it. */
struct root {
    struct task task;
    struct context *context;
    struct event *event;
};

static void root_run(struct context *context, struct task *task)
{
    struct root *root = (struct root *)task;

    if (task->phase++ == 0) {
        starts[root->event->type](context, root->event);
        return;
    }
    context_finish_event(context, &root->event);
    task_end(context, task);
}

static void root_fini(struct task *task)
{
    struct root *root = (struct root *)task;

    if (root->event != NULL) refuse(root->context, root->event);
}

static void run(struct context *context)
{
    while (context->is_active) {
        struct list_node *top = list_first(&context->tasks);

        if (top != NULL) {
            struct task *task = list_entry(top, struct task, node);

            if (task->is_waiting) return;
            task->run(context, task);
            ensure_slow(context_audit(context));
            continue;
        }
        struct list_node *next = list_pop(&context->events);
        if (next == NULL) return;
        struct root *root = task_push(context, sizeof(*root), root_run, root_fini);
        root->context = context;
        root->event = list_entry(next, struct event, node);
    }
}

/* Notifications say "look again": one that waits is as good as two. */
static bool is_waiting_already(const struct context *context, const struct event *event)
{
    switch (event->type) {
    case EVENT_BROKERS_CHANGED:
    case EVENT_TOPICS_CHANGED:
    case EVENT_DELETIONS_CHANGED:
    case EVENT_ISR_NOTIFIED:
    case EVENT_LOG_DIRS_NOTIFIED:
    case EVENT_REASSIGN_NODE:
    case EVENT_PREFERRED_NODE:
        break;
    default: /* the others say something of their own */
        return false;
    }
    list_each (node, &context->events)
        if (list_entry(node, struct event, node)->type == event->type) return true;
    return false;
}

void context_post(struct context *context, struct event **event)
{
    struct event *e = *event;

    *event = NULL;
    if (e->type == EVENT_TAKE_OVER) {
        ensure(!context->is_active && context_is_idle(context));
        context->is_active = true;
        context->epoch = e->epoch;
        context->epoch_version = e->epoch_version;
    }
    if (!context->is_active) {
        refuse(context, e);
        return;
    }
    if (is_waiting_already(context, e)) {
        context_finish_event(context, &e);
        return;
    }
    if (!context_is_idle(context)) broker_verdict_waits(context, e);
    list_push(&context->events, &e->node);
    run(context);
}

void context_answered(struct context *context, struct task *task)
{
    ensure(task->is_waiting && list_first(&context->tasks) == &task->node);
    task->is_waiting = false;
    run(context);
}

/* What was decided and not yet done is no longer ours to do; answers are still owed. */
static void drop_effects(struct context *context)
{
    list_each (node, &context->effects) {
        struct effect *effect = list_entry(node, struct effect, node);

        if (effect->type == EFFECT_REPLY || effect->type == EFFECT_NOTE) continue;
        list_remove(node);
        effect_destroy(&effect);
    }
}

void context_resign(struct context *context)
{
    context->is_active = false;
    drop_effects(context);
    while (!list_is_empty(&context->events))
        refuse(context, list_entry(list_pop(&context->events), struct event, node));
    forget_all(context);
    context->epoch = context->epoch_version = 0;
}

/* ---- tasks ---- */

void *task_push(struct context *context, size_t size,
                void (*run_task)(struct context *context, struct task *task),
                void (*fini)(struct task *task))
{
    struct task *task = ensure_zalloc(size);

    task->run = run_task;
    task->fini = fini;
    list_push_front(&context->tasks, &task->node);
    return task;
}

void task_end(struct context *context, struct task *task)
{
    ensure(list_first(&context->tasks) == &task->node);
    task_destroy(task);
}

void task_clear_requests(struct task *task)
{
    requests_clear(&task->requests);
}

static struct slice own(struct slice from)
{
    if (from.ptr == NULL) return SLICE_NULL;
    return slice_of(ensure_strndup(from.ptr, from.len), from.len);
}

static struct request *add(struct task *task, enum zk_kind kind, struct slice path)
{
    struct requests *rs = &task->requests;

    if (rs->count == rs->capacity) {
        rs->capacity = rs->capacity == 0 ? 8 : rs->capacity * 2;
        rs->at = ensure_realloc(rs->at, (size_t)rs->capacity * sizeof(*rs->at));
    }
    struct request *r = &rs->at[rs->count++];
    *r = (struct request){.kind = kind,
                          .path = ensure_strndup(path.ptr, path.len),
                          .version = ZK_ANY_VERSION,
                          .err = ERR_CANCELLED};
    return r;
}

struct request *task_get(struct task *task, struct slice path, bool watch)
{
    struct request *r = add(task, ZK_GET, path);

    r->is_watching = watch;
    return r;
}

struct request *task_exists(struct task *task, struct slice path, bool watch)
{
    struct request *r = add(task, ZK_EXISTS, path);

    r->is_watching = watch;
    return r;
}

struct request *task_children(struct task *task, struct slice path, bool watch)
{
    struct request *r = add(task, ZK_CHILDREN, path);

    r->is_watching = watch;
    return r;
}

struct request *task_create(struct task *task, struct slice path, struct slice data)
{
    struct request *r = add(task, ZK_CREATE, path);

    r->data = own(data);
    r->is_fenced = true;
    return r;
}

struct request *task_set(struct task *task, struct slice path, struct slice data, int32_t version)
{
    struct request *r = add(task, ZK_SET, path);

    r->data = own(data);
    r->version = version;
    r->is_fenced = true;
    return r;
}

void request_guard_isr(const struct context *context, struct request *request,
                       const struct ids *next)
{
    request->is_for_now = true;
    request->guards = ensure_zalloc((size_t)(next->count + 1) * sizeof(*request->guards));
    for (int32_t i = 0; i < next->count; i++) {
        if (!broker_is_live(context, next->at[i])) continue;
        request->guards[request->guard_count++] =
            (struct guard){next->at[i], context_broker(context, next->at[i])->version};
    }
}

struct request *task_delete(struct task *task, struct slice path)
{
    struct request *r = add(task, ZK_DELETE, path);

    r->is_fenced = true;
    return r;
}

void task_ask(struct context *context, struct task *task)
{
    if (task->requests.count == 0) return;
    task->is_waiting = true;
    context_effect(context, EFFECT_ZK)->task = task;
}

void request_answer(struct request *request, enum err err, const struct zk_stat *stat,
                    struct slice data, const struct slice *children, int32_t child_count)
{
    request->err = err;
    if (err != ERR_OK) return;
    if (stat != NULL) request->stat = *stat;
    request->answer = own(data);
    if (child_count == 0) return;
    request->children = ensure_zalloc((size_t)child_count * sizeof(*request->children));
    request->child_count = child_count;
    for (int32_t i = 0; i < child_count; i++)
        request->children[i] = own(children[i]);
}
