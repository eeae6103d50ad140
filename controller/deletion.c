/* controller/deletion.c - see deletion.h. */
#include "controller/deletion.h"
#include "base/ensure.h"
#include "controller/machines.h"
#include "controller/outbox.h"
#include "controller/partition_machine.h"
#include "controller/replica_machine.h"
#include "zk/paths.h"
#include <stdlib.h>

#define PATHS_MAX (256u << 20)

static bool has_replica_in(const struct topic *topic, enum replica_state state)
{
    for (int32_t i = 0; i < topic->count; i++) {
        const struct partition *p = topic->partitions[i];

        for (int32_t r = 0; r < p->replicas.count; r++)
            if (partition_replica_state(p, p->replicas.at[r]) == state) return true;
    }
    return false;
}

static bool is_deleted(const struct topic *topic)
{
    for (int32_t i = 0; i < topic->count; i++) {
        const struct partition *p = topic->partitions[i];

        for (int32_t r = 0; r < p->replicas.count; r++)
            if (partition_replica_state(p, p->replicas.at[r]) != REPLICA_DELETION_SUCCESSFUL)
                return false;
    }
    return true;
}

static void replicas_in(const struct topic *topic, enum replica_state state,
                        struct replica_set *out)
{
    for (int32_t i = 0; i < topic->count; i++) {
        struct partition *p = topic->partitions[i];

        for (int32_t r = 0; r < p->replicas.count; r++)
            if (partition_replica_state(p, p->replicas.at[r]) == state)
                replica_set_add(out, p, p->replicas.at[r]);
    }
}

/* ---- the end of a topic ---- */

struct complete {
    struct task task;
    struct topic *topic;
    struct arena arena;
    struct slice *found; /* the tree, parents before children */
    int32_t count, capacity, listed;
};

static void complete_fini(struct task *task)
{
    struct complete *c = (struct complete *)task;

    arena_fini(&c->arena);
    free(c->found);
}

static void find(struct complete *c, struct slice path)
{
    if (c->count == c->capacity) {
        c->capacity = c->capacity == 0 ? 16 : c->capacity * 2;
        c->found = ensure_realloc(c->found, (size_t)c->capacity * sizeof(*c->found));
    }
    c->found[c->count++] = arena_copy(&c->arena, path);
}

/* Lists the children of all that was found last; false when there is nothing more to list. */
static bool ask_children(struct context *context, struct complete *c)
{
    int32_t from = c->listed;

    for (int32_t i = 0; i < c->task.requests.count; i++) {
        const struct request *r = &c->task.requests.at[i];

        for (int32_t k = 0; k < r->child_count; k++)
            find(c, path_child(&c->arena, slice_text(r->path), r->children[k]));
    }
    task_clear_requests(&c->task);
    from = c->listed;
    c->listed = c->count;
    for (int32_t i = from; i < c->count; i++)
        task_children(&c->task, c->found[i], false);
    task_ask(context, &c->task);
    return from < c->count;
}

static void ask_deletes(struct context *context, struct complete *c)
{
    struct slice name = slice_text(c->topic->name);

    task_clear_requests(&c->task);
    for (int32_t i = c->count - 1; i >= 0; i--)
        task_delete(&c->task, c->found[i]);
    task_delete(&c->task, path_config_topic(&c->arena, name));
    task_delete(&c->task, path_delete_topic(&c->arena, name));
    task_ask(context, &c->task);
}

enum { FORGET = 0, LIST, DELETE, DELETED };

static void complete_run(struct context *context, struct task *task)
{
    struct complete *c = (struct complete *)task;
    struct replica_set set = {0};

    switch (task->phase++) {
    case FORGET:
        replicas_in(c->topic, REPLICA_DELETION_SUCCESSFUL, &set);
        replicas_to(context, &set, REPLICA_NONEXISTENT);
        find(c, path_topic(&c->arena, slice_text(c->topic->name)));
        return;
    case LIST:
        if (ask_children(context, c)) task->phase = LIST;
        return;
    case DELETE:
        ask_deletes(context, c);
        return;
    case DELETED:
        context_note(context, "topic %s deleted", c->topic->name);
        context_remove_topic(context, &c->topic);
        task_end(context, task);
        return;
    }
}

static void complete(struct context *context, struct topic *topic)
{
    struct complete *c = task_push(context, sizeof(*c), complete_run, complete_fini);

    c->topic = topic;
    arena_init(&c->arena, PATHS_MAX);
}

/* ---- the start ---- */

struct start {
    struct task task;
    struct replica_set alive;
};

static void start_fini(struct task *task)
{
    replica_set_fini(&((struct start *)task)->alive);
}

static void end_partitions(struct context *context, struct topic *topic)
{
    struct partition_set set = {0};
    struct ids alive = {0};

    context_alive(context, &alive);
    for (int32_t i = 0; i < topic->count; i++) {
        if (topic->partitions[i]->state != PARTITION_NONEXISTENT)
            partition_set_add(&set, topic->partitions[i]);
        outbox_update(context, &alive, topic->partitions[i]);
    }
    if (!topic->is_deletion_started) {
        partitions_mark(context, &set, PARTITION_OFFLINE);
        partitions_mark(context, &set, PARTITION_NONEXISTENT);
        context_note(context, "topic %s deletion starts", topic->name);
    }
    topic->is_deletion_started = true;
    partition_set_fini(&set);
    ids_fini(&alive);
}

static void split(struct context *context, struct topic *topic, struct replica_set *dead,
                  struct replica_set *alive)
{
    for (int32_t i = 0; i < topic->count; i++) {
        struct partition *p = topic->partitions[i];

        for (int32_t r = 0; r < p->replicas.count; r++) {
            int32_t broker = p->replicas.at[r];

            /* One that has answered KAFKA_STORAGE_ERROR is asked all the same: it may stand back
             * from leading only, and if its disk has failed it says so again. */
            if (!broker_is_live(context, broker)) {
                replica_set_add(dead, p, broker);
                topic->is_ineligible = true;
            } else if (partition_replica_state(p, broker) != REPLICA_DELETION_SUCCESSFUL) {
                replica_set_add(alive, p, broker);
            }
        }
    }
}

static bool may_start(const struct topic *topic)
{
    return topic->is_deleting && !topic->is_ineligible &&
           !has_replica_in(topic, REPLICA_DELETION_STARTED);
}

static void start_run(struct context *context, struct task *task)
{
    struct start *s = (struct start *)task;
    struct replica_set dead = {0};
    struct replica_set copy = {0};

    switch (task->phase++) {
    case 0:
        context_each_topic(entry, topic, context)
        {
            if (!may_start(topic) || is_deleted(topic)) continue;
            end_partitions(context, topic);
            split(context, topic, &dead, &s->alive);
        }
        outbox_send(context);
        replicas_to(context, &dead, REPLICA_DELETION_INELIGIBLE);
        for (int32_t i = 0; i < s->alive.count; i++)
            replica_set_add(&copy, s->alive.at[i].partition, s->alive.at[i].broker);
        replicas_to(context, &copy, REPLICA_OFFLINE);
        return;
    case 1:
        replicas_to(context, &s->alive, REPLICA_DELETION_STARTED);
        task_end(context, task);
        return;
    }
}

/* ---- going on ---- */

static void resume_run(struct context *context, struct task *task)
{
    struct replica_set retry = {0};

    switch (task->phase++) {
    case 0:
        context_each_topic(entry, topic, context) if (topic->is_deleting && is_deleted(topic))
        {
            task->phase = 0;
            complete(context, topic);
            return;
        }
        return;
    case 1:
        context_each_topic(entry, topic,
                           context) if (topic->is_deleting &&
                                        !has_replica_in(topic, REPLICA_DELETION_STARTED))
            replicas_in(topic, REPLICA_DELETION_INELIGIBLE, &retry);
        replicas_to(context, &retry, REPLICA_OFFLINE);
        return;
    case 2:
        task_push(context, sizeof(struct start), start_run, start_fini);
        return;
    case 3:
        task_end(context, task);
        return;
    }
}

void deletions_resume(struct context *context)
{
    context_each_topic(entry, topic, context) if (topic->is_deleting)
    {
        task_push(context, sizeof(struct task), resume_run, NULL);
        return;
    }
}

void deletions_failed(struct context *context, struct replica_set *set)
{
    bool is_any = false;

    for (int32_t i = 0; i < set->count; i++) {
        set->at[i].partition->topic->is_ineligible = true;
        is_any = true;
    }
    replicas_to(context, set, REPLICA_DELETION_INELIGIBLE);
    if (is_any) deletions_resume(context);
}

void deletions_allow_on(struct context *context, const struct ids *brokers)
{
    context_each_topic(entry, topic, context)
    {
        if (!topic->is_deleting) continue;
        for (int32_t i = 0; i < topic->count; i++)
            for (int32_t b = 0; b < brokers->count; b++)
                if (ids_have(&topic->partitions[i]->replicas, brokers->at[b]))
                    topic->is_ineligible = false;
    }
}

/* ---- children of /admin/delete_topics ---- */

struct listed {
    struct task task;
    struct arena arena;
    bool is_again;       /* the topics have been looked at for the sake of these */
    struct slice *names; /* that we know no topic of, in the order of the requests */
};

static void listed_fini(struct task *task)
{
    arena_fini(&((struct listed *)task)->arena);
}

static void queue_listed(struct context *context, struct listed *l)
{
    struct task *task = &l->task;
    struct request list = task->requests.at[0];

    /* The names outlive the answer that they came in. */
    struct slice *names = arena_zalloc(&l->arena, (size_t)(list.child_count + 1) * sizeof(*names));
    for (int32_t i = 0; i < list.child_count; i++)
        names[i] = arena_copy(&l->arena, list.children[i]);
    int32_t count = list.child_count, unknown = 0;
    task_clear_requests(task);

    l->names = arena_zalloc(&l->arena, (size_t)(count + 1) * sizeof(*l->names));
    for (int32_t i = 0; i < count; i++) {
        struct topic *topic = context_topic(context, names[i]);

        if (topic == NULL || !context->config.is_delete_enabled) {
            /* Is there no such topic, or have we not heard of it yet? */
            task_exists(task, path_topic(&l->arena, names[i]), false);
            l->names[unknown++] = names[i];
            continue;
        }
        if (topic->is_deleting) continue;
        topic->is_deleting = true;
        context_note(context, "topic %s is to be deleted", topic->name);
        for (int32_t p = 0; p < topic->count; p++)
            topic->is_ineligible |= topic->partitions[p]->is_reassigning;
    }
    task_ask(context, task);
}

static void look_again(struct context *context)
{
    struct event *topics = event_create(EVENT_TOPICS_CHANGED);
    struct event *deletions = event_create(EVENT_DELETIONS_CHANGED);

    deletions->is_all = true;
    list_push(&context->events, &topics->node);
    list_push(&context->events, &deletions->node);
}

/* Markers without a topic go. One of a topic that was made a moment ago, and whose news is still
 * queued, stays: the topic first. */
static void drop_unknown(struct context *context, struct listed *l)
{
    struct task *task = &l->task;
    int32_t count = task->requests.count;
    bool *is_there = arena_zalloc(&l->arena, (size_t)(count + 1) * sizeof(*is_there));
    bool is_any = false;

    for (int32_t i = 0; i < count; i++)
        is_there[i] = task->requests.at[i].err != ERR_NOT_FOUND;
    task_clear_requests(task);
    for (int32_t i = 0; i < count; i++) {
        if (is_there[i] && context->config.is_delete_enabled)
            is_any = true;
        else
            task_delete(task, path_delete_topic(&l->arena, l->names[i]));
    }
    if (is_any && !l->is_again) look_again(context);
    task_ask(context, task);
}

static void listed_run(struct context *context, struct task *task)
{
    struct listed *l = (struct listed *)task;

    switch (task->phase++) {
    case 0:
        task_children(task, PATH_DELETE_TOPICS, true);
        task_ask(context, task);
        return;
    case 1:
        queue_listed(context, l);
        return;
    case 2:
        drop_unknown(context, l);
        return;
    case 3:
        deletions_resume(context);
        return;
    case 4:
        task_end(context, task);
        return;
    }
}

void deletions_changed(struct context *context, struct event *event)
{
    struct listed *l = task_push(context, sizeof(*l), listed_run, listed_fini);

    arena_init(&l->arena, PATHS_MAX);
    l->is_again = event->is_all;
}

/* ---- what brokers said ---- */

/* A broker that was suspect keeps its channel: what it says to an order of before may come when it is
 * back and has been told, in this order, that it hosts the replica and to delete it again. Taken for
 * the answer to the second it would end the topic, and the broker, which makes the replica by then,
 * would keep it, should we not live to send the rest. */
static bool is_answer_to_last(struct partition *p, const struct event *event,
                              const struct event_item *item)
{
    return item->deletion == partition_hosted(p, event->broker)->deletion;
}

void stop_answered(struct context *context, struct event *event)
{
    const struct broker *broker = context_broker(context, event->broker);
    struct replica_set failed = {0};
    struct replica_set done = {0};

    /* An earlier life of the broker has answered: this one is asked again. */
    if (broker != NULL && broker->epoch != event->broker_epoch) return;
    for (int32_t i = 0; i < event->count; i++) {
        struct partition *p = context_find_item(context, &event->items[i]);

        if (p == NULL || !p->topic->is_deletion_started ||
            partition_replica_state(p, event->broker) != REPLICA_DELETION_STARTED ||
            !is_answer_to_last(p, event, &event->items[i]))
            continue;
        bool is_failed = event->is_refused || event->items[i].is_error;
        replica_set_add(is_failed ? &failed : &done, p, event->broker);
    }
    bool is_any = done.count > 0;
    replicas_to(context, &done, REPLICA_DELETION_SUCCESSFUL);
    if (is_any && failed.count == 0) deletions_resume(context);
    deletions_failed(context, &failed);
}
