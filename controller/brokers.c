/* controller/brokers.c - see brokers.h. */
#include "controller/brokers.h"
#include "base/ensure.h"
#include "controller/deletion.h"
#include "controller/documents.h"
#include "controller/machines.h"
#include "controller/outbox.h"
#include "controller/partition_machine.h"
#include "controller/reassign.h"
#include "controller/replica_machine.h"
#include "zk/paths.h"
#include <stdlib.h>

#define PATHS_MAX (64u << 20)

#define each_partition(entry, topic, i, context)                                                   \
    context_each_topic(entry, topic, context) for (int32_t i = 0; i < topic->count; i++)

void broker_replicas(const struct context *context, int32_t id, struct replica_set *out)
{
    each_partition(entry, topic, i, context)
    {
        if (ids_have(&topic->partitions[i]->replicas, id))
            replica_set_add(out, topic->partitions[i], id);
    }
}

static void tell_brokers(struct context *context)
{
    struct ids alive = {0};

    context_alive(context, &alive);
    outbox_update_brokers(context, &alive);
    ids_fini(&alive);
    outbox_send(context);
}

/* ---- replicas went offline ---- */

struct gone {
    struct task task;
    struct replica_set replicas;
    bool spare_leaders, has_told;
    struct elected elected;
};

static void gone_fini(struct task *task)
{
    struct gone *g = (struct gone *)task;

    replica_set_fini(&g->replicas);
    free(g->elected.answers);
}

static void mark_leaderless(struct context *context)
{
    struct partition_set set = {0};

    each_partition(entry, topic, i, context)
    {
        struct partition *p = topic->partitions[i];

        if (!topic->is_deleting && p->has_leadership && p->state != PARTITION_NONEXISTENT &&
            !replica_is_online(context, p, p->now.leader))
            partition_set_add(&set, p);
    }
    partitions_mark(context, &set, PARTITION_OFFLINE);
    partition_set_fini(&set);
}

static void split_gone(struct gone *g, struct replica_set *kept, struct replica_set *deleting)
{
    for (int32_t i = 0; i < g->replicas.count; i++) {
        struct replica *r = &g->replicas.at[i];
        bool is_spared = g->spare_leaders && r->partition->has_leadership &&
                         r->partition->now.leader == r->broker;

        if (r->partition->topic->is_deleting)
            replica_set_add(deleting, r->partition, r->broker);
        else if (!is_spared)
            replica_set_add(kept, r->partition, r->broker);
    }
}

static void gone_run(struct context *context, struct task *task)
{
    struct gone *g = (struct gone *)task;
    struct replica_set kept = {0};
    struct replica_set deleting = {0};

    switch (task->phase++) {
    case 0:
        mark_leaderless(context);
        partitions_trigger_online(context, NULL, &g->elected);
        return;
    case 1:
        split_gone(g, &kept, &deleting);
        g->has_told = kept.count > 0 || g->elected.succeeded > 0;
        replicas_to(context, &kept, REPLICA_OFFLINE);
        replica_set_fini(&deleting);
        return;
    case 2:
        split_gone(g, &kept, &deleting);
        replica_set_fini(&kept);
        deletions_failed(context, &deleting);
        return;
    case 3:
        if (!g->has_told) tell_brokers(context);
        task_end(context, task);
        return;
    }
}

void replicas_became_offline(struct context *context, struct replica_set *set, bool spare_leaders)
{
    struct gone *g = task_push(context, sizeof(*g), gone_run, gone_fini);

    g->replicas = *set;
    *set = (struct replica_set){0};
    g->spare_leaders = spare_leaders;
}

static void forget_dirs(struct context *context, int32_t id)
{
    struct broker *broker = context_broker(context, id);

    each_partition(entry, topic, i, context)
    {
        struct partition *p = topic->partitions[i];

        for (int32_t h = 0; h < p->hosted_count; h++)
            if (p->hosted[h].broker == id) p->hosted[h].is_dir_offline = false;
    }
    if (broker != NULL) broker->dirs_offline = 0;
}

/* Whoever comes back under its number begins a new life. */
static void note_end_of_life(struct context *context, int32_t id)
{
    each_partition(entry, topic, i, context)
    {
        struct partition *p = topic->partitions[i];

        if (p->has_leadership && p->now.leader == id) partition_hosted(p, id)->led_before = true;
    }
}

/* Of brokers that are no longer in the context, or are suspect: then their leaders are spared. */
static void brokers_failed(struct context *context, const struct ids *ids, bool spare_leaders)
{
    struct replica_set set = {0};

    if (ids->count == 0) return;
    for (int32_t i = 0; i < ids->count; i++) {
        forget_dirs(context, ids->at[i]);
        if (!spare_leaders) note_end_of_life(context, ids->at[i]);
        broker_replicas(context, ids->at[i], &set);
    }
    replicas_became_offline(context, &set, spare_leaders);
}

/* ---- start-up ---- */

struct start_up {
    struct task task;
    struct ids ids;
};

static void start_up_fini(struct task *task)
{
    ids_fini(&((struct start_up *)task)->ids);
}

static void tell_everything(struct context *context, const struct ids *fresh)
{
    struct ids alive = {0};
    struct ids others = {0};

    context_alive(context, &alive);
    ids_minus(&others, &alive, fresh);
    outbox_update_brokers(context, &others);
    outbox_send(context);
    outbox_update_brokers(context, fresh);
    each_partition(entry, topic, i, context)
    {
        if (!topic->is_deleting) outbox_update(context, fresh, topic->partitions[i]);
    }
    outbox_send(context);
    ids_fini(&alive);
    ids_fini(&others);
}

static void start_up_run(struct context *context, struct task *task)
{
    struct start_up *s = (struct start_up *)task;
    struct replica_set set = {0};

    switch (task->phase++) {
    case 0:
        for (int32_t i = 0; i < s->ids.count; i++)
            forget_dirs(context, s->ids.at[i]);
        tell_everything(context, &s->ids);
        for (int32_t i = 0; i < s->ids.count; i++)
            broker_replicas(context, s->ids.at[i], &set);
        replicas_to(context, &set, REPLICA_ONLINE);
        return;
    case 1:
        partitions_trigger_online(context, NULL, NULL);
        return;
    case 2:
        reassign_resume_on(context, &s->ids);
        return;
    case 3:
        deletions_allow_on(context, &s->ids);
        deletions_resume(context);
        return;
    case 4:
        task_end(context, task);
        return;
    }
}

void brokers_start_up(struct context *context, const struct ids *ids)
{
    if (ids->count == 0) return;
    struct start_up *s = task_push(context, sizeof(*s), start_up_run, start_up_fini);
    ids_copy(&s->ids, ids);
}

/* ---- children of /brokers/ids ---- */

struct changed {
    struct task task;
    bool is_load; /* a take-over does the rest by itself */
    struct ids listed, fresh, bounced, dead;
    struct broker *read; /* by place in `listed`; id −1: vanished or unusable */
};

static void changed_fini(struct task *task)
{
    struct changed *c = (struct changed *)task;

    for (int32_t i = 0; c->read != NULL && i < c->listed.count; i++)
        broker_clear_endpoints(&c->read[i]);
    free(c->read);
    ids_fini(&c->listed);
    ids_fini(&c->fresh);
    ids_fini(&c->bounced);
    ids_fini(&c->dead);
}

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a;
    int32_t y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* The order of names is not the order of numbers. */
static void list_brokers(struct context *context, struct changed *c)
{
    const struct request *list = &c->task.requests.at[0];
    struct arena arena;

    for (int32_t i = 0; list->err == ERR_OK && i < list->child_count; i++) {
        int32_t id;

        if (path_parse_id(list->children[i], &id) == ERR_OK) ids_add_once(&c->listed, id);
    }
    if (c->listed.count > 1)
        qsort(c->listed.at, (size_t)c->listed.count, sizeof(int32_t), by_value);
    task_clear_requests(&c->task);
    arena_init(&arena, PATHS_MAX);
    for (int32_t i = 0; i < c->listed.count; i++)
        task_get(&c->task, path_broker(&arena, c->listed.at[i]), true)->is_warm_enough = true;
    arena_fini(&arena);
    task_ask(context, &c->task);
}

static void read_brokers(struct context *context, struct changed *c)
{
    const char *control = context->config.control_listener != NULL
                              ? context->config.control_listener
                              : context->config.inter_broker_listener;

    c->read = ensure_zalloc((size_t)(c->listed.count + 1) * sizeof(*c->read));
    for (int32_t i = 0; i < c->listed.count; i++) {
        struct broker *read = &c->read[i];
        const struct request *r = &c->task.requests.at[i];

        read->id = -1;
        if (r->err != ERR_OK) continue;
        if (!document_read_broker(r, read) || broker_endpoint(read, control) == NULL ||
            broker_endpoint(read, context->config.inter_broker_listener) == NULL) {
            context_warn(context, "broker %d ignored: no usable endpoint", c->listed.at[i]);
            continue;
        }
        read->id = c->listed.at[i];
        read->epoch = r->stat.czxid;
        read->version = r->stat.version;
    }
}

static const struct broker *read_of(const struct changed *c, int32_t id)
{
    for (int32_t i = 0; i < c->listed.count; i++)
        if (c->read[i].id == id) return &c->read[i];
    return NULL;
}

static void compare_brokers(struct context *context, struct changed *c)
{
    struct ids known = {0};

    for (int32_t i = 0; i < c->listed.count; i++) {
        if (c->read[i].id < 0) continue;
        const struct broker *before = context_broker(context, c->read[i].id);

        if (before == NULL)
            ids_add(&c->fresh, c->read[i].id);
        else if (c->read[i].epoch > before->epoch)
            ids_add(&c->bounced, c->read[i].id);
    }
    context_broker_ids(context, &known);
    for (int32_t i = 0; i < known.count; i++)
        if (read_of(c, known.at[i]) == NULL) ids_add(&c->dead, known.at[i]);
    ids_fini(&known);
}

/* Since the life that we know of. */
static bool has_lost(const struct context *context, const struct changed *c, int32_t id)
{
    return ids_have(&c->bounced, id) &&
           broker_has_lost(read_of(c, id), context_broker(context, id)->epoch);
}

/* Those that ended and came back since the last look leave the ISRs, and the last one stays: where
 * there is a choice that is not one whose machine has lost what was not synced. */
static void doubt_bounced(struct context *context, const struct changed *c)
{
    each_partition(entry, topic, i, context)
    {
        struct partition *p = topic->partitions[i];
        const struct ids *isr = &p->now.isr;
        int32_t sure = 0;

        for (int32_t r = 0; r < isr->count; r++)
            sure += !has_lost(context, c, isr->at[r]);
        for (int32_t r = 0; r < isr->count && sure > 0 && sure < isr->count; r++)
            partition_hosted(p, isr->at[r])->is_doubted = has_lost(context, c, isr->at[r]);
    }
}

/* Adds them to the context with a channel to each. */
static void admit(struct context *context, struct changed *c, const struct ids *ids)
{
    for (int32_t i = 0; i < ids->count; i++) {
        struct broker *broker = context_add_broker(context, ids->at[i]);

        for (int32_t l = 0; l < c->listed.count; l++) {
            struct broker *read = &c->read[l];
            if (read->id != ids->at[i]) continue;
            broker_clear_endpoints(broker);
            broker->epoch = read->epoch;
            broker->version = read->version;
            broker->endpoints = read->endpoints;
            broker->endpoint_count = read->endpoint_count;
            broker->rack = read->rack;
            broker->is_cache_lost = read->is_cache_lost;
            broker->cache_lost_since = read->cache_lost_since;
            *read = (struct broker){.id = ids->at[i], .epoch = broker->epoch};
        }
        context_note(context, "broker %d up epoch=%lld", broker->id, (long long)broker->epoch);
        context_effect(context, EFFECT_CHANNEL_OPEN)->broker = ids->at[i];
    }
}

static void dismiss(struct context *context, const struct ids *ids)
{
    for (int32_t i = 0; i < ids->count; i++) {
        context_note(context, "broker %d down", ids->at[i]);
        context_effect(context, EFFECT_CHANNEL_CLOSE)->broker = ids->at[i];
        context_remove_broker(context, ids->at[i]);
    }
}

static void changed_run(struct context *context, struct task *task)
{
    struct changed *c = (struct changed *)task;

    switch (task->phase++) {
    case 0:
        task_children(task, PATH_BROKERS_IDS, true)->is_warm_enough = true;
        task_ask(context, task);
        return;
    case 1:
        list_brokers(context, c);
        return;
    case 2:
        read_brokers(context, c);
        compare_brokers(context, c);
        admit(context, c, &c->fresh);
        if (c->is_load)
            task_end(context, task);
        else
            brokers_start_up(context, &c->fresh);
        return;
    case 3:
        if (c->bounced.count > 0) doubt_bounced(context, c);
        dismiss(context, &c->bounced);
        brokers_failed(context, &c->bounced, false);
        return;
    case 4:
        admit(context, c, &c->bounced);
        brokers_start_up(context, &c->bounced);
        return;
    case 5:
        dismiss(context, &c->dead);
        brokers_failed(context, &c->dead, false);
        return;
    case 6:
        task_end(context, task);
        return;
    }
}

void brokers_changed(struct context *context, struct event *event)
{
    (void)event;
    task_push(context, sizeof(struct changed), changed_run, changed_fini);
}

void brokers_load(struct context *context)
{
    struct changed *c = task_push(context, sizeof(*c), changed_run, changed_fini);

    c->is_load = true;
}

/* ---- data of a registration ---- */

struct modified {
    struct task task;
    int32_t id;
};

static bool has_same_endpoints(const struct broker *a, const struct broker *b)
{
    if (a->endpoint_count != b->endpoint_count) return false;
    for (int32_t i = 0; i < a->endpoint_count; i++) {
        const struct control_endpoint *x = &a->endpoints[i];
        const struct control_endpoint *y = &b->endpoints[i];

        if (strcmp(x->listener, y->listener) != 0 || strcmp(x->host, y->host) != 0 ||
            x->port != y->port || x->protocol != y->protocol)
            return false;
    }
    return true;
}

static void modified_run(struct context *context, struct task *task)
{
    struct modified *m = (struct modified *)task;
    struct broker *broker = context_broker(context, m->id);
    struct broker read = {0};
    struct arena arena;

    if (task->phase++ == 0) {
        arena_init(&arena, PATHS_MAX);
        task_get(task, path_broker(&arena, m->id), true);
        arena_fini(&arena);
        task_ask(context, task);
        return;
    }
    /* Gone, or another registration: the change of the children says so. */
    const struct request *r = &task->requests.at[0];
    bool is_it = broker != NULL && r->err == ERR_OK && r->stat.czxid == broker->epoch;
    if (is_it) broker->version = r->stat.version;
    if (is_it && document_read_broker(r, &read) && !has_same_endpoints(broker, &read)) {
        broker_clear_endpoints(broker);
        broker->endpoints = read.endpoints;
        broker->endpoint_count = read.endpoint_count;
        broker->rack = read.rack;
        read = (struct broker){0};
        tell_brokers(context);
    }
    broker_clear_endpoints(&read);
    task_end(context, task);
}

void broker_changed(struct context *context, struct event *event)
{
    if (context_broker(context, event->broker) == NULL) return;
    struct modified *m = task_push(context, sizeof(*m), modified_run, NULL);
    m->id = event->broker;
}

/* ---- the detector's word ---- */

static struct broker *spoken_of(const struct context *context, const struct event *event)
{
    struct broker *broker = context_broker(context, event->broker);

    return broker != NULL && broker->epoch == event->broker_epoch ? broker : NULL;
}

/* A suspicion that waited for its turn while ZooKeeper was slow, or away, may have been lifted
 * since: then there is nothing to move. */
static bool is_lifted(const struct context *context, const struct event *suspicion)
{
    bool is_back = false;

    list_each (node, &context->events) {
        const struct event *event = list_entry(node, struct event, node);

        if (event->broker != suspicion->broker || event->broker_epoch != suspicion->broker_epoch)
            continue;
        if (event->type == EVENT_BROKER_BACK) is_back = true;
        if (event->type == EVENT_BROKER_SUSPECT) is_back = false;
    }
    return is_back;
}

/* What a broker that is back must be told, and may lead again, takes its turn behind what waits for
 * ZooKeeper. That others can reach it does not: clients would be without the partitions that it has
 * led all the time, for as long as ZooKeeper is away. */
void broker_verdict_waits(struct context *context, const struct event *event)
{
    if (event->type != EVENT_BROKER_BACK && event->type != EVENT_BROKER_SUSPECT) return;
    struct broker *broker = spoken_of(context, event);
    if (broker == NULL) return;
    if (!broker->is_suspect) {
        broker->is_silent = event->type == EVENT_BROKER_SUSPECT;
        return;
    }
    broker->is_returning = event->type == EVENT_BROKER_BACK;
    if (!broker->is_returning) return;
    context_note(context, "broker %d returns", broker->id);
    outbox_tell_returning(context);
}

/* The broker is registered, but does not answer. Its leaderships move where another of the ISR can
 * take them; as safe as any other election, for the new epochs fence it. */
void broker_suspect(struct context *context, struct event *event)
{
    struct broker *broker = spoken_of(context, event);
    struct ids only = {0};

    if (broker == NULL || broker->is_suspect) return;
    ids_add(&only, broker->id);
    if (is_lifted(context, event)) {
        /* While it was silent elections have passed it over, and reassignments waited for it. */
        reassign_resume_on(context, &only);
        partitions_trigger_online(context, NULL, NULL);
        ids_fini(&only);
        return;
    }
    context_note(context, "broker %d suspect", broker->id);
    broker->is_suspect = true;
    broker->is_silent = false;
    /* Its channel stays, with what is queued: when it is back it hears everything anew, except what
     * is no longer there. */
    brokers_failed(context, &only, true);
    ids_fini(&only);
}

void broker_back(struct context *context, struct event *event)
{
    struct broker *broker = spoken_of(context, event);
    struct ids only = {0};

    if (broker == NULL || !broker->is_suspect) return;
    context_note(context, "broker %d back", broker->id);
    broker->is_suspect = broker->is_returning = false;
    ids_add(&only, broker->id);
    brokers_start_up(context, &only);
    ids_fini(&only);
}

/* ---- controlled shutdown ---- */

struct shutdown {
    struct task task;
    struct event *event;
};

static bool is_candidate(const struct partition *p, int32_t id)
{
    return !p->topic->is_deleting && p->replicas.count > 1 && p->has_leadership &&
           ids_have(&p->replicas, id);
}

static void move_leaders(struct context *context, int32_t id)
{
    struct partition_set set = {0};

    each_partition(entry, topic, i, context)
    {
        struct partition *p = topic->partitions[i];

        if (is_candidate(p, id) && p->now.leader == id) partition_set_add(&set, p);
    }
    partitions_to_online(context, &set, ELECTION_CONTROLLED_SHUTDOWN, NULL);
}

static void stop_followers(struct context *context, int32_t id)
{
    struct replica_set set = {0};

    each_partition(entry, topic, i, context)
    {
        struct partition *p = topic->partitions[i];

        if (!is_candidate(p, id) || p->now.leader == id) continue;
        outbox_stop(context, id, p, false);
        replica_set_add(&set, p, id);
    }
    outbox_send(context);
    replicas_to(context, &set, REPLICA_OFFLINE);
}

static void answer_remaining(struct context *context, struct event *event)
{
    int32_t count = 0;

    each_partition(entry, topic, i, context)
    {
        const struct partition *p = topic->partitions[i];
        count += is_candidate(p, event->broker) && p->now.leader == event->broker;
    }
    event_make_items(event, count);
    count = 0;
    each_partition(entry, topic, i, context)
    {
        const struct partition *p = topic->partitions[i];

        if (!is_candidate(p, event->broker) || p->now.leader != event->broker) continue;
        event->items[count].topic = arena_copy(&event->arena, slice_text(topic->name));
        event->items[count++].partition = p->id;
    }
}

static void shutdown_run(struct context *context, struct task *task)
{
    struct shutdown *s = (struct shutdown *)task;

    switch (task->phase++) {
    case 0:
        move_leaders(context, s->event->broker);
        return;
    case 1:
        stop_followers(context, s->event->broker);
        return;
    case 2:
        answer_remaining(context, s->event);
        task_end(context, task);
        return;
    }
}

void controlled_shutdown(struct context *context, struct event *event)
{
    struct broker *broker = context_broker(context, event->broker);

    if (event->broker_epoch != -1 && broker == NULL)
        event->answer = ANSWER_UNKNOWN_ERROR;
    else if (event->broker_epoch != -1 && event->broker_epoch < broker->epoch)
        event->answer = ANSWER_STALE_BROKER_EPOCH;
    else if (!broker_is_alive(context, event->broker))
        event->answer = ANSWER_BROKER_NOT_AVAILABLE;
    if (event->answer != ANSWER_OK) return;
    broker->is_shutting_down = true;
    context_note(context, "broker %d shuts down", broker->id);
    struct shutdown *s = task_push(context, sizeof(*s), shutdown_run, NULL);
    s->event = event;
}

/* ---- log directories ---- */

struct log_dirs {
    struct task task;
    struct ids brokers;
};

static void log_dirs_fini(struct task *task)
{
    ids_fini(&((struct log_dirs *)task)->brokers);
}

/* The brokers of `listed` children hear LeaderAndIsr for all they host, and say which are offline.
 */
static void log_dirs_run(struct context *context, struct task *task)
{
    struct log_dirs *l = (struct log_dirs *)task;
    struct replica_set set = {0};
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    switch (task->phase++) {
    case 0:
        task_children(task, PATH_LOG_DIR_EVENTS, true);
        task_ask(context, task);
        break;
    case 1: {
        struct request list = task->requests.at[0];

        /* The names live in the requests that are about to be forgotten. */
        struct slice *names = arena_zalloc(&arena, (size_t)(list.child_count + 1) * sizeof(*names));
        for (int32_t i = 0; i < list.child_count; i++)
            names[i] = arena_copy(&arena, list.children[i]);
        task_clear_requests(task);
        for (int32_t i = 0; i < list.child_count; i++)
            task_get(task, path_child(&arena, PATH_LOG_DIR_EVENTS, names[i]), false);
        task_ask(context, task);
        break;
    }
    case 2: {
        int32_t count = task->requests.count;
        struct slice *paths = arena_zalloc(&arena, (size_t)(count + 1) * sizeof(*paths));

        for (int32_t i = 0; i < count; i++) {
            paths[i] = arena_copy(&arena, slice_text(task->requests.at[i].path));
            int32_t broker = document_read_log_dir_event(&task->requests.at[i]);
            if (broker >= 0) ids_add_once(&l->brokers, broker);
        }
        for (int32_t i = 0; i < l->brokers.count; i++)
            if (broker_is_alive(context, l->brokers.at[i]))
                broker_replicas(context, l->brokers.at[i], &set);
        replicas_to(context, &set, REPLICA_ONLINE);
        task_clear_requests(task);
        for (int32_t i = 0; i < count; i++)
            task_delete(task, paths[i]);
        task_ask(context, task);
        break;
    }
    case 3:
        task_end(context, task);
        break;
    }
    arena_fini(&arena);
}

void log_dirs_notified(struct context *context, struct event *event)
{
    (void)event;
    task_push(context, sizeof(struct log_dirs), log_dirs_run, log_dirs_fini);
}

void leader_and_isr_answered(struct context *context, struct event *event)
{
    struct replica_set offline = {0};
    bool is_back = false, is_back_of_deleting = false;

    const struct broker *broker = context_broker(context, event->broker);

    /* What an earlier life of the broker said is no news of this one. */
    if (event->is_refused || broker == NULL || broker->is_suspect ||
        broker->epoch != event->broker_epoch)
        return;
    for (int32_t i = 0; i < event->count; i++) {
        struct partition *p = context_find_item(context, &event->items[i]);
        bool is_error = event->items[i].is_storage_error;

        if (p == NULL || !ids_have(&p->replicas, event->broker)) continue;
        /* It has been told something else since, which it may do: who stands back from leading, for
         * one, follows. Taken for offline it would be stopped, in the epoch that it follows in. */
        if (is_error && partition_hosted(p, event->broker)->order > event->order) continue;
        if (is_error) partition_note_refused(p, event->broker);
        if (!context_set_dir_offline(context, p, event->broker, is_error)) continue;
        /* Whether it can be deleted it says when it is told to go. */
        if (is_error && !p->topic->is_deleting) replica_set_add(&offline, p, event->broker);
        is_back |= !is_error;
        is_back_of_deleting |= !is_error && p->topic->is_deleting;
    }
    /* What a full disk kept from being made is there now, and nobody else would look at it. */
    if (is_back) partitions_trigger_online(context, NULL, NULL);
    if (is_back_of_deleting) { /* the deletion waited for it */
        struct ids back = {0};
        ids_add(&back, event->broker);
        deletions_allow_on(context, &back);
        deletions_resume(context);
        ids_fini(&back);
    }
    if (offline.count > 0) replicas_became_offline(context, &offline, false);
    replica_set_fini(&offline);
}
