/* controller/replica_machine.c - see replica_machine.h. */
#include "controller/replica_machine.h"
#include "base/ensure.h"
#include "controller/documents.h"
#include "controller/outbox.h"
#include "controller/partition_machine.h"
#include "zk/paths.h"
#include <stdlib.h>

#define PATHS_MAX  (256u << 20)
#define BIT(state) (1u << (state))

const char *replica_state_name(enum replica_state state)
{
    static const char *const names[] = {
        [REPLICA_NONEXISTENT] = "nonexistent",
        [REPLICA_NEW] = "new",
        [REPLICA_ONLINE] = "online",
        [REPLICA_OFFLINE] = "offline",
        [REPLICA_DELETION_STARTED] = "deletion-started",
        [REPLICA_DELETION_SUCCESSFUL] = "deletion-successful",
        [REPLICA_DELETION_INELIGIBLE] = "deletion-ineligible",
    };

    return names[state];
}

bool replica_may_become(enum replica_state from, enum replica_state to)
{
    static const unsigned legal[] = {
        [REPLICA_NONEXISTENT] = BIT(REPLICA_DELETION_SUCCESSFUL),
        [REPLICA_NEW] = BIT(REPLICA_NONEXISTENT),
        [REPLICA_ONLINE] = BIT(REPLICA_NEW) | BIT(REPLICA_ONLINE) | BIT(REPLICA_OFFLINE) |
                           BIT(REPLICA_DELETION_INELIGIBLE),
        [REPLICA_OFFLINE] = BIT(REPLICA_NEW) | BIT(REPLICA_ONLINE) | BIT(REPLICA_OFFLINE) |
                            BIT(REPLICA_DELETION_INELIGIBLE),
        [REPLICA_DELETION_STARTED] = BIT(REPLICA_OFFLINE),
        [REPLICA_DELETION_SUCCESSFUL] = BIT(REPLICA_DELETION_STARTED),
        [REPLICA_DELETION_INELIGIBLE] = BIT(REPLICA_OFFLINE) | BIT(REPLICA_DELETION_STARTED),
    };

    return (legal[to] & BIT(from)) != 0;
}

static bool may_go(struct context *context, const struct replica *r, enum replica_state to)
{
    enum replica_state from = partition_replica_state(r->partition, r->broker);

    if (replica_may_become(from, to)) return true;
    context_note(context, "replica %s-%d on %d refused %s -> %s", r->partition->topic->name,
                 r->partition->id, r->broker, replica_state_name(from), replica_state_name(to));
    return false;
}

static void tell(struct context *context, const struct replica *r, bool is_new)
{
    struct ids only = {0};

    ids_add(&only, r->broker);
    outbox_leader_and_isr(context, &only, r->partition, is_new);
    ids_fini(&only);
}

static void become_online(struct context *context, const struct replica *r)
{
    struct partition *p = r->partition;
    struct hosted *hosted = partition_hosted(p, r->broker);
    bool is_elected_first = hosted->led_before && p->now.leader == r->broker;

    if (hosted->state == REPLICA_NEW)
        ids_add_once(&p->replicas, r->broker);
    else if (p->has_leadership && !is_elected_first)
        tell(context, r, false);
    hosted->state = REPLICA_ONLINE;
    if (context_broker(context, r->broker) != NULL)
        partition_note_online(p, context_broker(context, r->broker));
}

static void forget(struct partition *p, int32_t broker)
{
    ids_remove(&p->replicas, broker);
    ids_remove(&p->adding, broker);
    ids_remove(&p->removing, broker);
    partition_forget_replica(p, broker);
}

static void go(struct context *context, const struct replica *r, enum replica_state to)
{
    struct partition *p = r->partition;

    switch (to) {
    case REPLICA_NEW:
        if (p->has_leadership && p->now.leader == r->broker) {
            context_note(context, "replica %s-%d on %d leads and cannot be new", p->topic->name,
                         p->id, r->broker);
            return;
        }
        if (p->has_leadership) tell(context, r, true);
        break;
    case REPLICA_ONLINE:
        become_online(context, r);
        return;
    case REPLICA_DELETION_STARTED:
        partition_hosted(p, r->broker)->deletion = ++context->deletions;
        outbox_stop(context, r->broker, p, true);
        break;
    case REPLICA_NONEXISTENT:
        forget(p, r->broker);
        return;
    case REPLICA_OFFLINE:
    case REPLICA_DELETION_SUCCESSFUL:
    case REPLICA_DELETION_INELIGIBLE:
        break;
    }
    partition_hosted(p, r->broker)->state = to;
}

/* ---- to Offline: out of the ISR ---- */

struct leaver {
    struct replica replica;
    bool is_done, has_read, must_read;
    struct leadership read, next;
    int32_t request;
};

struct to_offline {
    struct task task;
    struct leaver *at;
    int32_t count;
    /* One broker at a time: a partition may lose several replicas in one call, and each removal
     * starts from what the one before has written. */
    int32_t first, end;
};

enum { GROUP = 0, READ, WRITE, WRITTEN };

static void to_offline_fini(struct task *task)
{
    struct to_offline *t = (struct to_offline *)task;

    for (int32_t i = 0; i < t->count; i++) {
        leadership_fini(&t->at[i].read);
        leadership_fini(&t->at[i].next);
    }
    free(t->at);
}

static void settle(struct context *context, struct leaver *l, bool is_written)
{
    struct partition *p = l->replica.partition;
    struct ids others = {0};

    l->is_done = true;
    partition_hosted(p, l->replica.broker)->state = REPLICA_OFFLINE;
    if (p->topic->is_deleting) return;
    if (is_written) {
        ids_copy(&others, &p->replicas);
        ids_remove(&others, l->replica.broker);
        outbox_leader_and_isr(context, &others, p, false);
    } else {
        /* Nothing that a replica acts on has changed, but clients must hear who is offline. */
        context_alive(context, &others);
        outbox_update(context, &others, p);
    }
    ids_fini(&others);
}

static void ask_reads(struct context *context, struct to_offline *t)
{
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    task_clear_requests(&t->task);
    for (int32_t i = t->first; i < t->end; i++) {
        struct leaver *l = &t->at[i];
        struct partition *p = l->replica.partition;

        l->request = -1;
        if (l->is_done) continue;
        if (!p->has_leadership) {
            struct ids alive = {0};

            context_alive(context, &alive);
            outbox_update(context, &alive, p);
            ids_fini(&alive);
            partition_hosted(p, l->replica.broker)->state = REPLICA_OFFLINE;
            l->is_done = true;
            continue;
        }
        if (!l->must_read && context->config.has_alter_partition) {
            leadership_copy(&l->read, &p->now);
            l->has_read = true;
            continue;
        }
        l->request = t->task.requests.count;
        (void)task_get(&t->task, path_state(&arena, slice_text(p->topic->name), p->id), false);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    task_ask(context, &t->task);
}

static void take_reads(struct context *context, struct to_offline *t)
{
    for (int32_t i = t->first; i < t->end; i++) {
        struct leaver *l = &t->at[i];

        if (l->request < 0) continue;
        struct request *r = &t->task.requests.at[l->request];
        l->has_read =
            document_read_state(r, &l->read) && l->read.controller_epoch <= context->epoch;
        if (l->has_read) continue;
        /* Absent is as expected while the topic is being deleted. */
        if (r->err == ERR_NOT_FOUND && l->replica.partition->topic->is_deleting)
            partition_hosted(l->replica.partition, l->replica.broker)->state = REPLICA_OFFLINE;
        l->is_done = true;
    }
}

/* All others of the ISR may have lost what this one, away as it is, still has. */
static bool is_last_sure(const struct partition *p, const struct leadership *now, int32_t broker)
{
    for (int32_t i = 0; i < now->isr.count; i++) {
        int32_t other = now->isr.at[i];

        if (other != broker && !partition_is_doubted(p, other)) return false;
    }
    return !partition_is_doubted(p, broker);
}

/* Whose registration is all that is left may have lost power: nobody leaves in its favour. Until
 * the ISR is smaller each of it has all that was acknowledged, and who ended knows that it has. */
static bool are_others_silent(const struct context *context, const struct leadership *now,
                              int32_t broker)
{
    bool is_silent = false;

    for (int32_t i = 0; i < now->isr.count; i++) {
        int32_t other = now->isr.at[i];

        if (other == broker) continue;
        if (broker_is_heard(context, other)) return false;
        is_silent |= context_broker(context, other) != NULL;
    }
    return is_silent;
}

/* The last member stays: when it comes back, nothing is lost. */
static bool may_leave(const struct context *context, const struct leaver *l)
{
    const struct partition *p = l->replica.partition;
    int32_t broker = l->replica.broker;

    return l->read.isr.count > 1 && !is_last_sure(p, &l->read, broker) &&
           (!are_others_silent(context, &l->read, broker) || !ids_have(&p->replicas, broker));
}

static void choose_without(const struct context *context, const struct leaver *l,
                           struct leadership *next)
{
    leadership_copy(next, &l->read);
    if (may_leave(context, l)) ids_remove(&next->isr, l->replica.broker);
    /* A later controller takes who is in an ISR that is younger than its registration for sure. */
    partition_drop_doubted(l->replica.partition, &next->isr);
    if (next->leader == l->replica.broker || !ids_have(&next->isr, next->leader)) next->leader = -1;
    next->leader_epoch++;
    next->controller_epoch = context->epoch;
}

static void ask_writes(struct context *context, struct to_offline *t)
{
    struct buf json = {0};
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    task_clear_requests(&t->task);
    for (int32_t i = t->first; i < t->end; i++) {
        struct leaver *l = &t->at[i];
        struct partition *p = l->replica.partition;

        l->request = -1;
        if (l->is_done || !l->has_read) continue;
        if (!ids_have(&l->read.isr, l->replica.broker)) {
            /* Perhaps by our own write, whose answer was lost: then no replica knows its epoch. */
            bool is_news = l->read.leader_epoch != p->now.leader_epoch;
            l->read.controller_epoch = context->epoch;
            partition_set_leadership(p, &l->read);
            partition_learn_left(context, p, &l->read);
            settle(context, l, is_news);
            continue;
        }
        choose_without(context, l, &l->next);
        partition_say_left(p, &l->read, &l->next);
        buf_clear(&json);
        document_write_state(&json, &l->next);
        l->request = t->task.requests.count;
        struct request *r =
            task_set(&t->task, path_state(&arena, slice_text(p->topic->name), p->id),
                     buf_slice(&json), l->read.partition_epoch);
        request_guard_isr(context, r, &l->next.isr);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    buf_fini(&json);
    task_ask(context, &t->task);
}

static bool take_writes(struct context *context, struct to_offline *t)
{
    bool is_again = false;

    for (int32_t i = t->first; i < t->end; i++) {
        struct leaver *l = &t->at[i];

        if (l->request < 0) continue;
        struct partition *p = l->replica.partition;
        const struct request *r = &t->task.requests.at[l->request];
        if (r->err == ERR_OK) {
            l->next.partition_epoch = r->stat.version;
            partition_note_left(context, p, &l->read, &l->next, r->stat.mzxid);
            partition_set_leadership(p, &l->next);
            context_note(context, "partition %s-%d leader=%d epoch=%d without %d", p->topic->name,
                         p->id, p->now.leader, p->now.leader_epoch, l->replica.broker);
            settle(context, l, true);
        } else if (r->err == ERR_ZK_VERSION || r->err == ERR_ZK_LOSS) {
            l->has_read = false;
            l->must_read = true;
            is_again = true;
        } else {
            if (p->topic->is_deleting)
                partition_hosted(p, l->replica.broker)->state = REPLICA_OFFLINE;
            l->is_done = true;
        }
    }
    return is_again;
}

/* Whose leader went is Offline before its replicas go. But it may be written only here that a
 * partition was led by who goes, by our own write whose answer was lost: then nobody leads it now.
 */
static void take_leaderless(struct context *context, const struct to_offline *t,
                            struct partition_set *out)
{
    for (int32_t i = 0; i < t->count; i++) {
        struct partition *p = t->at[i].replica.partition;

        if (p->topic->is_deleting || !p->has_leadership || p->now.leader >= 0 ||
            p->state != PARTITION_ONLINE)
            continue;
        struct partition_set one = {0};
        partition_set_add(&one, p);
        partitions_mark(context, &one, PARTITION_OFFLINE);
        partition_set_fini(&one);
        partition_set_add(out, p);
    }
}

static void to_offline_run(struct context *context, struct task *task)
{
    struct to_offline *t = (struct to_offline *)task;
    struct partition_set leaderless = {0};

    switch (task->phase++) {
    case GROUP:
        t->first = t->end;
        while (t->end < t->count && t->at[t->end].replica.broker == t->at[t->first].replica.broker)
            t->end++;
        if (t->first == t->count) {
            outbox_send(context);
            take_leaderless(context, t, &leaderless);
            task_end(context, task);
            if (leaderless.count > 0)
                partitions_to_online(context, &leaderless, ELECTION_OFFLINE, NULL);
        }
        return;
    case READ:
        ask_reads(context, t);
        return;
    case WRITE:
        take_reads(context, t);
        ask_writes(context, t);
        return;
    case WRITTEN:
        task->phase = take_writes(context, t) ? READ : GROUP;
        return;
    }
}

static int by_broker(const void *a, const void *b)
{
    const struct replica *x = &((const struct leaver *)a)->replica;
    const struct replica *y = &((const struct leaver *)b)->replica;

    if (x->broker != y->broker) return x->broker < y->broker ? -1 : 1;
    int order = strcmp(x->partition->topic->name, y->partition->topic->name);
    if (order != 0) return order;
    return (x->partition->id > y->partition->id) - (x->partition->id < y->partition->id);
}

static void push_to_offline(struct context *context, const struct replica_set *set)
{
    struct to_offline *t = task_push(context, sizeof(*t), to_offline_run, to_offline_fini);

    t->at = ensure_zalloc((size_t)(set->count + 1) * sizeof(*t->at));
    for (int32_t i = 0; i < set->count; i++) {
        if (!may_go(context, &set->at[i], REPLICA_OFFLINE)) continue;
        t->at[t->count++].replica = set->at[i];
        outbox_stop(context, set->at[i].broker, set->at[i].partition, false);
    }
    qsort(t->at, (size_t)t->count, sizeof(*t->at), by_broker);
}

void replicas_to(struct context *context, struct replica_set *set, enum replica_state to)
{
    if (to == REPLICA_OFFLINE) {
        push_to_offline(context, set);
    } else {
        for (int32_t i = 0; i < set->count; i++)
            if (may_go(context, &set->at[i], to)) go(context, &set->at[i], to);
        outbox_send(context);
    }
    replica_set_fini(set);
}
