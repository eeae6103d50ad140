/* controller/reassign.c - see reassign.h. */
#include "controller/reassign.h"
#include "base/ensure.h"
#include "base/planted.h"
#include "controller/deletion.h"
#include "controller/documents.h"
#include "controller/machines.h"
#include "controller/outbox.h"
#include "controller/partition_machine.h"
#include "controller/replica_machine.h"
#include "controller/topics.h"
#include "zk/paths.h"
#include <stdlib.h>

#define PATHS_MAX (16u << 20)

static void assignment_fini(struct assignment *a)
{
    ids_fini(&a->replicas);
    ids_fini(&a->adding);
    ids_fini(&a->removing);
}

static void assignment_move(struct partition *p, struct assignment *a)
{
    ids_move(&p->replicas, &a->replicas);
    ids_move(&p->adding, &a->adding);
    ids_move(&p->removing, &a->removing);
}

void reassign_plan(const struct partition *p, const struct ids *target, struct assignment *out)
{
    struct ids origin = {0};

    partition_origin(p, &origin);
    for (int32_t i = 0; i < target->count; i++)
        ids_add_once(&out->replicas, target->at[i]);
    for (int32_t i = 0; i < origin.count; i++)
        ids_add_once(&out->replicas, origin.at[i]);
    ids_minus(&out->adding, &out->replicas, &origin);
    ids_minus(&out->removing, &out->replicas, target);
    out->partition = p->id;
    ids_fini(&origin);
}

static void replicas_of(struct partition *p, const struct ids *ids, struct replica_set *out)
{
    for (int32_t i = 0; i < ids->count; i++)
        replica_set_add(out, p, ids->at[i]);
}

/* ---- replicas that are removed for good ---- */

enum { DROP_STOPPED = 1 };

struct drop {
    struct task task;
    struct partition *partition;
    struct ids ids;
};

static void drop_fini(struct task *task)
{
    ids_fini(&((struct drop *)task)->ids);
}

/* Answers are not waited for: a broker that was away learns from its next start that it hosts
 * nothing here any more. */
static void drop_run(struct context *context, struct task *task)
{
    static const enum replica_state steps[] = {REPLICA_OFFLINE, REPLICA_DELETION_STARTED,
                                               REPLICA_DELETION_SUCCESSFUL, REPLICA_NONEXISTENT};
    struct drop *d = (struct drop *)task;
    struct replica_set set = {0};

    if (task->phase == 4) {
        task_end(context, task);
        return;
    }
    replicas_of(d->partition, &d->ids, &set);
    replicas_to(context, &set, steps[task->phase++]);
}

static struct drop *drop_replicas(struct context *context, struct partition *p,
                                  const struct ids *ids)
{
    struct drop *d = task_push(context, sizeof(*d), drop_run, drop_fini);

    d->partition = p;
    ids_copy(&d->ids, ids);
    return d;
}

/* ---- one partition ---- */

struct run {
    struct task task;
    struct partition *partition;
    bool has_next, is_only_if_complete;
    struct assignment next;
    struct assignment was; /* before the switch to the target */
    struct ids removed;
    enum answer *answer; /* of who asked, or NULL */
    struct partition_set tell;
};

static void run_fini(struct task *task)
{
    struct run *r = (struct run *)task;

    assignment_fini(&r->next);
    assignment_fini(&r->was);
    ids_fini(&r->removed);
}

static bool is_any_heard(const struct context *context, const struct partition *p,
                         const struct ids *target)
{
    for (int32_t i = 0; i < target->count; i++)
        if (replica_is_online(context, p, target->at[i]) && broker_is_heard(context, target->at[i]))
            return true;
    return false;
}

/* The others are deleted then: not while all of the target are silent. */
static bool is_complete(const struct context *context, const struct partition *p,
                        const struct request *state)
{
    struct leadership read = {0};
    struct ids target = {0};
    bool is_moved = p->adding.count == 0 && p->removing.count == 0;

    if (!is_moved && document_read_state(state, &read)) {
        partition_target(p, &target);
        is_moved = (ids_include(&read.isr, &target) && is_any_heard(context, p, &target)) ||
                   planted(reassigned_before_in_sync);
    }
    leadership_fini(&read);
    ids_fini(&target);
    return is_moved;
}

/* Under the version of the node that is in memory: partitions that were added to it since, and
 * whose news is still queued, are not written over. */
static void ask_document(struct context *context, struct run *r, const struct assignment *with)
{
    struct topic *topic = r->partition->topic;
    struct buf json = {0};
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    task_clear_requests(&r->task);
    document_write_topic(&json, topic, with == NULL ? NULL : r->partition, with);
    (void)task_set(&r->task, path_topic(&arena, slice_text(topic->name)), buf_slice(&json),
                   topic->version);
    arena_fini(&arena);
    buf_fini(&json);
    task_ask(context, &r->task);
}

/* True when the document has to be written once more: someone else has, or it was our own write
 * whose answer was lost. What stands there is taken in first. */
static bool must_write_again(struct context *context, struct run *r, int phase)
{
    const struct request *written = &r->task.requests.at[0];
    struct topic *topic = r->partition->topic;

    if (written->err == ERR_OK) topic->version = written->stat.version;
    if (written->err != ERR_ZK_VERSION) return false;
    r->task.phase = phase;
    topics_reload(context, topic);
    return true;
}

static void ask_state(struct context *context, struct run *r)
{
    struct partition *p = r->partition;
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    task_clear_requests(&r->task);
    (void)task_get(&r->task, path_state(&arena, slice_text(p->topic->name), p->id),
                   !context->config.has_alter_partition);
    arena_fini(&arena);
    task_ask(context, &r->task);
}

/* Out of the ISR. */
static void stop_removed(struct context *context, struct run *r)
{
    struct replica_set set = {0};

    replicas_of(r->partition, &r->removed, &set);
    replicas_to(context, &set, REPLICA_OFFLINE);
}

/* One that is in the ISR still, because the target has just gone or is silent, may have what the
 * target has not, and has a part in what is acknowledged. */
static bool have_left(const struct run *r)
{
    for (int32_t i = 0; i < r->removed.count; i++)
        if (ids_have(&r->partition->now.isr, r->removed.at[i])) return false;
    return true;
}

/* U2, U3: ZooKeeper has it, so memory may. */
static void adopt(struct context *context, struct run *r)
{
    ids_minus(&r->removed, &r->partition->replicas, &r->next.replicas);
    assignment_move(r->partition, &r->next);
    r->has_next = false;
    if (r->removed.count > 0) stop_removed(context, r);
}

/* Those who have not left are replicas still, to be removed: that is written first. */
static void keep_some(struct context *context, struct run *r)
{
    struct partition *p = r->partition;

    context_note(context, "partition %s-%d keeps some", p->topic->name, p->id);
    r->next.partition = p->id;
    ids_copy(&r->next.replicas, &p->replicas);
    ids_copy(&r->next.adding, &p->adding);
    ids_copy(&r->next.removing, &p->removing);
    for (int32_t i = 0; i < p->now.isr.count; i++) {
        int32_t id = p->now.isr.at[i];

        if (!ids_have(&r->removed, id)) continue;
        ids_remove(&r->removed, id);
        ids_add(&r->next.replicas, id);
        ids_add(&r->next.removing, id);
    }
    r->has_next = true;
}

static void drop_stopped(struct context *context, struct run *r)
{
    if (r->removed.count > 0)
        drop_replicas(context, r->partition, &r->removed)->task.phase = DROP_STOPPED;
    ids_fini(&r->removed);
}

/* A1: the leader must learn who is added; and A2 follows. */
static void begin_adding(struct context *context, struct run *r)
{
    struct ids origin = {0};

    partition_origin(r->partition, &origin);
    if (r->partition->has_leadership)
        partition_bump_epoch(context, r->partition, &origin, &r->partition->adding);
    ids_fini(&origin);
}

static void adding_are_new(struct context *context, struct partition *p)
{
    struct replica_set set = {0};

    for (int32_t i = 0; i < p->adding.count; i++)
        if (partition_replica_state(p, p->adding.at[i]) == REPLICA_NONEXISTENT)
            replica_set_add(&set, p, p->adding.at[i]);
    replicas_to(context, &set, REPLICA_NEW);
}

/* B1, B2: from here on memory says it is done, ZooKeeper says so last. */
static void switch_to_target(struct context *context, struct run *r)
{
    struct partition *p = r->partition;
    struct replica_set set = {0};
    struct ids target = {0};

    replicas_of(p, &p->adding, &set);
    replicas_to(context, &set, REPLICA_ONLINE);
    ids_copy(&r->removed, &p->removing);
    ids_copy(&r->was.replicas, &p->replicas);
    ids_copy(&r->was.adding, &p->adding);
    ids_copy(&r->was.removing, &p->removing);
    partition_target(p, &target);
    ids_move(&p->replicas, &target);
    ids_fini(&p->adding);
    ids_fini(&p->removing);
}

static void settle_leader(struct context *context, struct partition *p)
{
    struct partition_set only = {0};
    const struct ids none = {0};

    if (!p->has_leadership) return;
    if (ids_have(&p->replicas, p->now.leader) && replica_is_online(context, p, p->now.leader)) {
        partition_bump_epoch(context, p, &p->replicas, &none);
        return;
    }
    partition_set_add(&only, p);
    partitions_to_online(context, &only, ELECTION_REASSIGN, NULL);
}

/* As ZooKeeper has it all the time. A target that is back resumes it. */
static void switch_back(struct context *context, struct run *r)
{
    const struct ids none = {0};

    context_note(context, "partition %s-%d reassigned later", r->partition->topic->name,
                 r->partition->id);
    assignment_move(r->partition, &r->was);
    partition_bump_epoch(context, r->partition, &r->partition->replicas, &none);
}

/* B7: the legacy request, if it asked for just this. */
struct unlist {
    struct task task;
    struct partition *partition; /* or, NULL: those of `event` */
    struct event *event;
};

static void unlist_run(struct context *context, struct task *task);

static void unlist(struct context *context, struct partition *p, struct event *event)
{
    if (!context->has_reassign_node) return;
    struct unlist *u = task_push(context, sizeof(*u), unlist_run, NULL);
    u->partition = p;
    u->event = event;
}

static bool is_listed_for(const struct unlist *u, const struct event_item *item)
{
    if (u->partition != NULL)
        return slice_is(item->topic, u->partition->topic->name) &&
               item->partition == u->partition->id &&
               ids_equal(&item->replicas, &u->partition->replicas);
    for (int32_t i = 0; i < u->event->count; i++) {
        const struct event_item *asked = &u->event->items[i];

        if (asked->answer != ANSWER_OK || asked->partition != item->partition) continue;
        if (slice_equal(asked->topic, item->topic)) return true;
    }
    return false;
}

static void rewrite_list(struct context *context, struct unlist *u)
{
    struct event *listed = event_create(EVENT_REASSIGN_NODE);
    bool *is_left;
    int32_t left = 0;
    struct buf json = {0};

    document_read_reassign(&u->task.requests.at[0], listed);
    is_left = ensure_zalloc((size_t)(listed->count + 1) * sizeof(*is_left));
    for (int32_t i = 0; i < listed->count; i++) {
        is_left[i] = !is_listed_for(u, &listed->items[i]);
        left += is_left[i];
    }
    bool is_there = u->task.requests.at[0].err == ERR_OK;
    task_clear_requests(&u->task);
    if (is_there && left == 0) {
        task_delete(&u->task, PATH_REASSIGN);
        context->has_reassign_node = false;
    } else if (is_there && left < listed->count) {
        document_write_reassign(&json, listed, is_left);
        task_set(&u->task, PATH_REASSIGN, buf_slice(&json), ZK_ANY_VERSION);
    }
    task_ask(context, &u->task);
    free(is_left);
    buf_fini(&json);
    event_destroy(&listed);
}

static void unlist_run(struct context *context, struct task *task)
{
    switch (task->phase++) {
    case 0:
        task_get(task, PATH_REASSIGN, false);
        task_ask(context, task);
        return;
    case 1:
        rewrite_list(context, (struct unlist *)task);
        return;
    case 2:
        /* One that was made again in between would not be seen: look. */
        if (!context->has_reassign_node) {
            struct event *again = event_create(EVENT_REASSIGN_NODE);
            list_push(&context->events, &again->node);
        }
        task_end(context, task);
        return;
    }
}

static void finish(struct context *context, struct partition *p)
{
    struct ids alive = {0};

    context_note(context, "partition %s-%d reassigned", p->topic->name, p->id);
    partition_set_reassigning(context, p, false);
    context_alive(context, &alive);
    outbox_update(context, &alive, p);
    outbox_send(context);
    ids_fini(&alive);
    if (!p->topic->is_deleting) return;
    p->topic->is_ineligible = false;
    for (int32_t i = 0; i < p->topic->count; i++)
        p->topic->is_ineligible |= p->topic->partitions[i]->is_reassigning;
    deletions_resume(context);
}

enum {
    UPDATE = 0,
    UPDATED,
    ADOPTED,
    LOOK,
    JUDGE,
    ADDED,
    SETTLE,
    STOP,
    REMOVE,
    RECORD,
    UNLIST,
    FINISH,
    END,
};

static void run_run(struct context *context, struct task *task)
{
    struct run *r = (struct run *)task;
    struct partition *p = r->partition;

    switch (task->phase++) {
    case UPDATE:
        if (p->topic->is_deleting) p->topic->is_ineligible = true;
        if (r->has_next) ask_document(context, r, &r->next);
        return;
    case UPDATED:
        if (r->has_next && must_write_again(context, r, UPDATE)) return;
        if (r->has_next && task->requests.at[0].err != ERR_OK) {
            if (r->answer != NULL) *r->answer = ANSWER_UNKNOWN_ERROR;
            task_end(context, task);
            return;
        }
        if (r->has_next) adopt(context, r);
        return;
    case ADOPTED:
        /* Of what is being deleted nobody is worth keeping, and it waits for this. */
        if (!have_left(r) && !p->topic->is_deleting) {
            keep_some(context, r);
            task->phase = UPDATE;
        }
        drop_stopped(context, r);
        return;
    case LOOK:
        partition_set_reassigning(context, p, true);
        ask_state(context, r);
        return;
    case JUDGE:
        if (is_complete(context, p, &task->requests.at[0])) {
            switch_to_target(context, r);
            task->phase = SETTLE;
        } else if (r->is_only_if_complete) {
            task_end(context, task);
        } else {
            begin_adding(context, r);
        }
        return;
    case ADDED:
        adding_are_new(context, p);
        task_end(context, task);
        return;
    case SETTLE:
        settle_leader(context, p);
        return;
    case STOP:
        stop_removed(context, r);
        return;
    case REMOVE:
        if (!have_left(r)) {
            switch_back(context, r);
            task->phase = END;
        } else {
            drop_stopped(context, r);
        }
        return;
    case RECORD:
        ask_document(context, r, NULL);
        return;
    case UNLIST:
        if (must_write_again(context, r, RECORD)) return;
        unlist(context, p, NULL);
        return;
    case FINISH:
        finish(context, p);
        return;
    case END:
        task_end(context, task);
        return;
    }
}

static struct run *push_run(struct context *context, struct partition *p)
{
    struct run *r = task_push(context, sizeof(*r), run_run, run_fini);

    r->partition = p;
    return r;
}

void reassign_resume(struct context *context, struct partition *p)
{
    (void)push_run(context, p);
}

/* ---- several ---- */

struct several {
    struct task task;
    struct partition_set set;
    bool is_only_if_complete;
};

static void several_fini(struct task *task)
{
    partition_set_fini(&((struct several *)task)->set);
}

static void several_run(struct context *context, struct task *task)
{
    struct several *s = (struct several *)task;

    if (task->phase == s->set.count) {
        task_end(context, task);
        return;
    }
    struct partition *p = s->set.at[task->phase++];
    if (p->is_reassigning) push_run(context, p)->is_only_if_complete = s->is_only_if_complete;
}

static void push_several(struct context *context, struct partition_set *set,
                         bool is_only_if_complete)
{
    if (set->count == 0) {
        partition_set_fini(set);
        return;
    }
    struct several *s = task_push(context, sizeof(*s), several_run, several_fini);
    s->set = *set;
    s->is_only_if_complete = is_only_if_complete;
    *set = (struct partition_set){0};
}

void reassign_complete(struct context *context, struct partition_set *set)
{
    int32_t kept = 0;

    for (int32_t i = 0; i < set->count; i++)
        if (set->at[i]->is_reassigning) set->at[kept++] = set->at[i];
    set->count = kept;
    push_several(context, set, true);
}

void reassign_resume_on(struct context *context, const struct ids *brokers)
{
    struct partition_set set = {0};
    struct ids target = {0};

    context_each_topic(entry, topic, context)
    {
        for (int32_t i = 0; i < topic->count; i++) {
            struct partition *p = topic->partitions[i];
            bool is_on = false;

            if (!p->is_reassigning) continue;
            partition_target(p, &target);
            for (int32_t b = 0; brokers != NULL && b < brokers->count; b++)
                is_on |= ids_have(&target, brokers->at[b]);
            if (is_on || brokers == NULL) partition_set_add(&set, p);
        }
    }
    ids_fini(&target);
    push_several(context, &set, false);
}

void state_changed(struct context *context, struct event *event)
{
    struct partition *p = context_partition(context, event->topic, event->partition);
    struct partition_set set = {0};

    if (p == NULL || !p->is_reassigning) return;
    partition_set_add(&set, p);
    reassign_complete(context, &set);
}

/* ---- requests ---- */

struct asked {
    struct task task;
    struct event *event;
    int32_t next;
};

static bool is_valid_target(const struct context *context, const struct partition *p,
                            const struct ids *target)
{
    struct assignment plan = {0};
    bool is_valid = target->count > 0 && !ids_have_duplicates(target);

    for (int32_t i = 0; i < target->count; i++)
        is_valid &= target->at[i] >= 0;
    if (is_valid) reassign_plan(p, target, &plan);
    for (int32_t i = 0; i < plan.adding.count; i++)
        is_valid &= broker_is_live(context, plan.adding.at[i]);
    assignment_fini(&plan);
    return is_valid;
}

/* A reassignment that cannot finish would hold up the deletion of its topic, so cancelling one is
 * allowed even then. */
static enum answer check_asked(const struct context *context, const struct event *event,
                               const struct event_item *item)
{
    const struct partition *p = context_find_item(context, item);

    if (item->is_cancel) return p != NULL && p->is_reassigning ? ANSWER_OK : ANSWER_NO_REASSIGNMENT;
    if (p == NULL || p->topic->is_deleting) return ANSWER_UNKNOWN_PARTITION;
    if (event->type == EVENT_REASSIGN && !is_valid_target(context, p, &item->replicas))
        return ANSWER_INVALID_ASSIGNMENT;
    if (item->replicas.count == 0) return ANSWER_INVALID_ASSIGNMENT;
    return ANSWER_OK;
}

static void run_item(struct context *context, struct event_item *item)
{
    struct partition *p = context_find_item(context, item);
    struct assignment next = {0};
    struct ids origin = {0};

    if (item->is_cancel) partition_origin(p, &origin);
    reassign_plan(p, item->is_cancel ? &origin : &item->replicas, &next);
    ids_fini(&origin);
    context_note(context, "partition %s-%d reassigning", p->topic->name, p->id);

    struct run *r = push_run(context, p);
    r->answer = &item->answer;
    r->has_next = !ids_equal(&next.replicas, &p->replicas) ||
                  !ids_equal(&next.adding, &p->adding) || !ids_equal(&next.removing, &p->removing);
    r->next = next;
}

static void asked_run(struct context *context, struct task *task)
{
    struct asked *a = (struct asked *)task;
    struct event *event = a->event;

    if (task->phase == 0) {
        task->phase = 1;
        for (int32_t i = 0; i < event->count; i++)
            event->items[i].answer = check_asked(context, event, &event->items[i]);
        if (event->type == EVENT_REASSIGN) unlist(context, NULL, event);
        return;
    }
    while (a->next < event->count && event->items[a->next].answer != ANSWER_OK)
        a->next++;
    if (a->next < event->count) {
        run_item(context, &event->items[a->next++]);
        return;
    }
    task_end(context, task);
}

void reassign_asked(struct context *context, struct event *event)
{
    struct asked *a = task_push(context, sizeof(*a), asked_run, NULL);

    a->event = event;
}

/* ---- /admin/reassign_partitions ---- */

static void forget_failed(struct event *event)
{
    /* What `unlist` takes out is what is OK: here the other way round. */
    for (int32_t i = 0; i < event->count; i++)
        event->items[i].answer =
            event->items[i].answer == ANSWER_OK ? ANSWER_NOT_NEEDED : ANSWER_OK;
}

static void node_run(struct context *context, struct task *task)
{
    struct asked *a = (struct asked *)task;

    switch (task->phase++) {
    case 0:
        task_exists(task, PATH_REASSIGN, true);
        task_get(task, PATH_REASSIGN, false);
        task_ask(context, task);
        return;
    case 1:
        context->has_reassign_node = task->requests.at[1].err == ERR_OK;
        document_read_reassign(&task->requests.at[1], a->event);
        if (context->has_reassign_node) {
            struct asked *items = task_push(context, sizeof(*items), asked_run, NULL);
            items->event = a->event;
        }
        return;
    case 2:
        forget_failed(a->event);
        unlist(context, NULL, a->event);
        return;
    case 3:
        task_end(context, task);
        return;
    }
}

void reassign_node(struct context *context, struct event *event)
{
    struct asked *a = task_push(context, sizeof(*a), node_run, NULL);

    a->event = event;
}
