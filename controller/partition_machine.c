/* controller/partition_machine.c - see partition_machine.h. */
#include "controller/partition_machine.h"
#include "base/ensure.h"
#include "base/planted.h"
#include "controller/documents.h"
#include "controller/outbox.h"
#include "zk/paths.h"
#include <stdlib.h>

#define PATHS_MAX (256u << 20)

const char *partition_state_name(enum partition_state state)
{
    static const char *const names[] = {"nonexistent", "new", "online", "offline"};

    return names[state];
}

bool partition_may_become(enum partition_state from, enum partition_state to)
{
    switch (to) {
    case PARTITION_NEW:
        return from == PARTITION_NONEXISTENT;
    case PARTITION_ONLINE:
    case PARTITION_OFFLINE:
        return from != PARTITION_NONEXISTENT;
    case PARTITION_NONEXISTENT:
        return from == PARTITION_OFFLINE;
    }
    return false;
}

static bool set_state(struct context *context, struct partition *p, enum partition_state to)
{
    if (!partition_may_become(p->state, to)) {
        context_note(context, "partition %s-%d refused %s -> %s", p->topic->name, p->id,
                     partition_state_name(p->state), partition_state_name(to));
        return false;
    }
    if (p->state != to)
        context_note(context, "partition %s-%d %s -> %s", p->topic->name, p->id,
                     partition_state_name(p->state), partition_state_name(to));
    p->state = to;
    return true;
}

void partitions_mark(struct context *context, const struct partition_set *set,
                     enum partition_state to)
{
    ensure(to != PARTITION_ONLINE);
    for (int32_t i = 0; i < set->count; i++)
        (void)set_state(context, set->at[i], to);
}

/* ---- to Online ---- */

struct candidate {
    struct partition *partition;
    enum { INITIALISE, ELECT, DONE } todo;
    struct leadership read; /* what is decided on */
    bool has_read;
    bool has_terms;
    struct election_terms terms;
    bool is_unclean;        /* what was chosen is */
    struct leadership next; /* what is written */
    struct ids recipients;
    int32_t request; /* its place among the requests; −1: none */
    enum answer answer;
};

struct to_online {
    struct task task;
    struct candidate *at;
    int32_t count;
    enum election election;
    struct elected *elected;
};

enum { READ_STATES = 0, READ_CONFIGS, WRITE, WRITTEN, ADOPT };

static void to_online_fini(struct task *task)
{
    struct to_online *t = (struct to_online *)task;

    for (int32_t i = 0; i < t->count; i++) {
        leadership_fini(&t->at[i].read);
        leadership_fini(&t->at[i].next);
        ids_fini(&t->at[i].recipients);
    }
    free(t->at);
}

static void candidate_done(struct candidate *c, enum answer answer)
{
    c->todo = DONE;
    c->answer = answer;
}

/* What was read in vain is newer than what is known: perhaps our own write, whose answer was lost.
 * It holds, and no replica has heard of it. */
static void adopt_read(struct context *context, struct candidate *c)
{
    struct partition *p = c->partition;
    struct ids alive = {0};

    if (c->todo != ELECT || !c->has_read || !p->has_leadership ||
        c->read.partition_epoch == p->now.partition_epoch)
        return;
    bool is_news = c->read.leader_epoch != p->now.leader_epoch;
    c->read.controller_epoch = context->epoch;
    partition_set_leadership(p, &c->read);
    partition_learn_left(context, p, &c->read);
    if (!is_news) return;
    if (p->now.leader >= 0) (void)set_state(context, p, PARTITION_ONLINE);
    context_note(context, "partition %s-%d leader=%d epoch=%d as written before", p->topic->name,
                 p->id, p->now.leader, p->now.leader_epoch);
    for (int32_t i = 0; i < p->replicas.count; i++)
        if (replica_is_alive(context, p, p->replicas.at[i])) ids_add(&alive, p->replicas.at[i]);
    outbox_leader_and_isr(context, &alive, p, false);
    ids_fini(&alive);
}

static enum answer no_leader(enum election election)
{
    return election == ELECTION_PREFERRED ? ANSWER_PREFERRED_NOT_AVAILABLE
                                          : ANSWER_NO_ELIGIBLE_LEADER;
}

/* What is in memory will do at first where no leader writes its state by itself: the version of the
 * write tells. */
static void ask_states(struct context *context, struct to_online *t)
{
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    task_clear_requests(&t->task);
    for (int32_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->at[i];
        struct partition *p = c->partition;

        c->request = -1;
        if (c->todo != ELECT || c->has_read) continue;
        if (p->has_leadership && context->config.has_alter_partition && !c->has_terms &&
            c->answer == ANSWER_OK) {
            leadership_copy(&c->read, &p->now);
            c->has_read = true;
            continue;
        }
        c->request = t->task.requests.count;
        (void)task_get(&t->task, path_state(&arena, slice_text(p->topic->name), p->id), false);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    task_ask(context, &t->task);
}

static void take_states(struct context *context, struct to_online *t)
{
    for (int32_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->at[i];

        if (c->request < 0) continue;
        if (!document_read_state(&t->task.requests.at[c->request], &c->read) ||
            c->read.controller_epoch > context->epoch)
            candidate_done(c, ANSWER_UNKNOWN_ERROR);
        else
            c->has_read = true;
    }
}

static void ask_configs(struct context *context, struct to_online *t)
{
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    task_clear_requests(&t->task);
    for (int32_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->at[i];

        c->request = -1;
        if (c->todo != ELECT || c->has_terms ||
            !election_asks_terms(context, c->partition, t->election, &c->read))
            continue;
        c->request = t->task.requests.count;
        (void)task_get(&t->task, path_config_topic(&arena, slice_text(c->partition->topic->name)),
                       false);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    task_ask(context, &t->task);
}

static void take_configs(struct context *context, struct to_online *t)
{
    for (int32_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->at[i];

        if (c->request < 0) continue;
        const struct request *r = &t->task.requests.at[c->request];
        enum err err = r->err == ERR_NOT_FOUND ? ERR_OK : r->err;

        c->terms.is_unclean_allowed = context->config.is_unclean_enabled;
        if (err == ERR_OK && r->err == ERR_OK) err = document_read_terms(r->answer, &c->terms);
        c->terms.config_zxid = r->stat.mzxid;
        if (err != ERR_OK) candidate_done(c, ANSWER_UNKNOWN_ERROR);
        c->has_terms = true;
    }
}

static bool choose_first(struct context *context, struct candidate *c)
{
    const struct partition *p = c->partition;

    leadership_fini(&c->next);
    for (int32_t i = 0; i < p->replicas.count; i++)
        if (replica_is_online(context, p, p->replicas.at[i]))
            ids_add(&c->next.isr, p->replicas.at[i]);
    if (c->next.isr.count == 0) return false;
    c->next.leader = c->next.isr.at[0];
    c->next.controller_epoch = context->epoch;
    ids_copy(&c->recipients, &c->next.isr);
    return true;
}

static void ask_first_state(struct to_online *t, struct candidate *c, struct topic **parent,
                            struct arena *arena, struct buf *json)
{
    struct partition *p = c->partition;
    struct slice topic = slice_text(p->topic->name);

    /* Once per topic; the errors of the parents do not matter. */
    if (*parent != p->topic) {
        bool is_there = false;

        for (int32_t i = 0; i < p->topic->count; i++)
            is_there |= p->topic->partitions[i]->has_leadership;
        if (!is_there) (void)task_create(&t->task, path_partitions(arena, topic), SLICE_NULL);
        *parent = p->topic;
    }
    (void)task_create(&t->task, path_partition(arena, topic, p->id), SLICE_NULL);
    c->request = t->task.requests.count;
    (void)task_create(&t->task, path_state(arena, topic, p->id), buf_slice(json));
}

static void ask_writes(struct context *context, struct to_online *t)
{
    struct topic *parent = NULL;
    struct buf json = {0};
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    task_clear_requests(&t->task);
    for (int32_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->at[i];
        struct partition *p = c->partition;

        c->request = -1;
        if (c->todo == DONE) continue;
        bool is_chosen = c->todo == INITIALISE
                             ? choose_first(context, c)
                             : election_choose(context, p, t->election, &c->terms, &c->read,
                                               &c->next, &c->recipients, &c->is_unclean);
        if (!is_chosen) {
            adopt_read(context, c);
            candidate_done(c, no_leader(t->election));
            context_note(context, "partition %s-%d has no leader to elect", p->topic->name, p->id);
            continue;
        }
        partition_say_left(p, &c->read, &c->next);
        buf_clear(&json);
        document_write_state(&json, &c->next);
        if (c->todo == INITIALISE) {
            ask_first_state(t, c, &parent, &arena, &json);
        } else {
            c->request = t->task.requests.count;
            struct request *r = task_set(
                &t->task, path_state(&arena, slice_text(p->topic->name), p->id), buf_slice(&json),
                planted(election_without_version) ? -1 : c->read.partition_epoch);
            request_guard_isr(context, r, &c->next.isr);
        }
        arena_reset(&arena);
    }
    arena_fini(&arena);
    buf_fini(&json);
    task_ask(context, &t->task);
}

/* Who knows more is named; what it cost, the new leader and its followers say (their logs, and
 * ottla_lastreplica_recordslost_total). */
static void note_unclean(struct context *context, const struct candidate *c)
{
    struct buf isr = {0};

    context->elections_unclean++;
    ids_print(&isr, &c->read.isr);
    context_warn(context, "partition %s-%d unclean leader=%d isr-was=%.*s",
                 c->partition->topic->name, c->partition->id, c->next.leader, (int)isr.len,
                 (const char *)isr.ptr);
    buf_fini(&isr);
}

static void succeed(struct context *context, struct to_online *t, struct candidate *c,
                    int32_t version)
{
    struct partition *p = c->partition;
    bool is_first = c->todo == INITIALISE;

    c->next.partition_epoch = version;
    context->elections += !is_first;
    if (!is_first && c->is_unclean) note_unclean(context, c);
    /* One that refused before is asked again: its next refusal is to be news. */
    if (context_set_dir_offline(context, p, c->next.leader, false))
        partition_hosted(p, c->next.leader)->state = REPLICA_ONLINE;
    partition_set_leadership(p, &c->next);
    (void)set_state(context, p, PARTITION_ONLINE);
    context_note(context, "partition %s-%d leader=%d epoch=%d isr-size=%d", p->topic->name, p->id,
                 p->now.leader, p->now.leader_epoch, p->now.isr.count);
    outbox_leader_and_isr(context, &c->recipients, p, is_first);
    candidate_done(c, ANSWER_OK);
    if (t->elected != NULL && !is_first) t->elected->succeeded++;
}

/* True if some must be decided again. */
static bool take_writes(struct context *context, struct to_online *t)
{
    bool is_again = false;

    for (int32_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->at[i];

        if (c->request < 0) continue;
        const struct request *r = &t->task.requests.at[c->request];
        if (r->err == ERR_OK) {
            partition_note_left(context, c->partition, &c->read, &c->next, r->stat.mzxid);
            succeed(context, t, c, c->todo == INITIALISE ? 0 : r->stat.version);
        } else if (r->err == ERR_ZK_VERSION && c->todo == ELECT) {
            /* Someone wrote in between, or it was our own write whose answer was lost. */
            c->has_read = false;
            c->answer = ANSWER_UNKNOWN_ERROR;
            is_again = true;
        } else if (r->err == ERR_ZK_LOSS) {
            /* Done or not, and decided on what was known before ZooKeeper was away. */
            c->has_read = c->has_terms = false;
            c->answer = ANSWER_UNKNOWN_ERROR;
            is_again = true;
        } else if (r->err == ERR_ZK_SKIPPED && r->guard_count > 0) {
            adopt_read(context, c);
            context_warn(context,
                         "partition %s-%d state not written: of its ISR one is registered no "
                         "more, or anew",
                         c->partition->topic->name, c->partition->id);
            candidate_done(c, ANSWER_UNKNOWN_ERROR);
        } else if (r->err != ERR_EXISTS || c->todo != INITIALISE) {
            adopt_read(context, c);
            context_warn(context, "partition %s-%d state not written: %s",
                         c->partition->topic->name, c->partition->id, err_text(r->err));
            candidate_done(c, ANSWER_UNKNOWN_ERROR);
        }
    }
    return is_again;
}

/* A state that existed already is ours if its controller epoch is: the answer to an earlier create
 * was lost. Anyone else's is left alone, and the partition stays New. */
static void ask_existing(struct context *context, struct to_online *t)
{
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    task_clear_requests(&t->task);
    for (int32_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->at[i];

        c->request = -1;
        if (c->todo != INITIALISE) continue;
        c->request = t->task.requests.count;
        (void)task_get(&t->task,
                       path_state(&arena, slice_text(c->partition->topic->name), c->partition->id),
                       false);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    task_ask(context, &t->task);
}

static void take_existing(struct context *context, struct to_online *t)
{
    for (int32_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->at[i];

        if (c->request < 0) continue;
        if (document_read_state(&t->task.requests.at[c->request], &c->read) &&
            c->read.controller_epoch == context->epoch) {
            leadership_copy(&c->next, &c->read);
            ids_copy(&c->recipients, &c->read.isr);
            succeed(context, t, c, c->read.partition_epoch);
        } else {
            context_warn(context, "partition %s-%d has a state of another controller",
                         c->partition->topic->name, c->partition->id);
            candidate_done(c, ANSWER_UNKNOWN_ERROR);
        }
    }
}

static void to_online_run(struct context *context, struct task *task)
{
    struct to_online *t = (struct to_online *)task;

    switch (task->phase++) {
    case READ_STATES:
        ask_states(context, t);
        return;
    case READ_CONFIGS:
        take_states(context, t);
        ask_configs(context, t);
        return;
    case WRITE:
        take_configs(context, t);
        ask_writes(context, t);
        return;
    case WRITTEN:
        if (take_writes(context, t)) {
            task->phase = READ_STATES;
            return;
        }
        ask_existing(context, t);
        return;
    case ADOPT:
        take_existing(context, t);
        break;
    }
    outbox_send(context);
    if (t->elected != NULL)
        for (int32_t i = 0; i < t->count; i++)
            t->elected->answers[i] = t->at[i].answer;
    task_end(context, task);
}

void partitions_to_online(struct context *context, struct partition_set *set,
                          enum election election, struct elected *elected)
{
    struct to_online *t = task_push(context, sizeof(*t), to_online_run, to_online_fini);

    t->election = election;
    t->elected = elected;
    t->count = set->count;
    t->at = ensure_zalloc((size_t)(set->count + 1) * sizeof(*t->at));
    for (int32_t i = 0; i < set->count; i++) {
        struct partition *p = set->at[i];

        t->at[i].partition = p;
        t->at[i].request = -1;
        t->at[i].todo = p->state == PARTITION_NEW && !p->has_leadership ? INITIALISE : ELECT;
        if (!partition_may_become(p->state, PARTITION_ONLINE))
            candidate_done(&t->at[i], ANSWER_UNKNOWN_ERROR);
    }
    if (elected != NULL) {
        free(elected->answers);
        elected->succeeded = 0;
        elected->answers = ensure_zalloc((size_t)(set->count + 1) * sizeof(*elected->answers));
    }
    partition_set_fini(set);
}

void partitions_trigger_online(struct context *context, const struct topic *topic,
                               struct elected *elected)
{
    struct partition_set set = {0};

    context_each_topic(entry, t, context)
    {
        if (t->is_deleting || (topic != NULL && t != topic)) continue;
        for (int32_t i = 0; i < t->count; i++) {
            enum partition_state state = t->partitions[i]->state;

            if (state == PARTITION_NEW || state == PARTITION_OFFLINE)
                partition_set_add(&set, t->partitions[i]);
        }
    }
    partitions_to_online(context, &set, ELECTION_OFFLINE, elected);
}

/* ---- bare epoch bump ---- */

struct bump {
    struct task task;
    struct partition *partition;
    struct ids recipients, added;
    struct leadership next;
};

static void bump_fini(struct task *task)
{
    struct bump *b = (struct bump *)task;

    ids_fini(&b->recipients);
    ids_fini(&b->added);
    leadership_fini(&b->next);
}

static void bump_run(struct context *context, struct task *task)
{
    struct bump *b = (struct bump *)task;
    struct partition *p = b->partition;
    struct buf json = {0};
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    struct slice path = path_state(&arena, slice_text(p->topic->name), p->id);

    switch (task->phase++) {
    case 0:
        task_clear_requests(task);
        (void)task_get(task, path, false);
        task_ask(context, task);
        break;
    case 1:
        if (!document_read_state(&task->requests.at[0], &b->next) ||
            b->next.controller_epoch > context->epoch) {
            task_end(context, task);
            break;
        }
        task_clear_requests(task);
        b->next.leader_epoch++;
        b->next.controller_epoch = context->epoch;
        document_write_state(&json, &b->next);
        (void)task_set(task, path, buf_slice(&json), b->next.partition_epoch);
        task_ask(context, task);
        break;
    case 2:
        if (task->requests.at[0].err == ERR_ZK_VERSION) {
            task->phase = 0;
            break;
        }
        if (task->requests.at[0].err == ERR_OK) {
            b->next.partition_epoch = task->requests.at[0].stat.version;
            partition_set_leadership(p, &b->next);
            outbox_leader_and_isr(context, &b->recipients, p, false);
            outbox_leader_and_isr(context, &b->added, p, true);
            outbox_send(context);
        }
        task_end(context, task);
        break;
    }
    arena_fini(&arena);
    buf_fini(&json);
}

void partition_bump_epoch(struct context *context, struct partition *p,
                          const struct ids *recipients, const struct ids *added)
{
    struct bump *b = task_push(context, sizeof(*b), bump_run, bump_fini);

    b->partition = p;
    ids_copy(&b->recipients, recipients);
    ids_copy(&b->added, added);
}

/* ---- refresh ---- */

struct refresh {
    struct task task;
    struct partition_set set;
};

static void refresh_fini(struct task *task)
{
    partition_set_fini(&((struct refresh *)task)->set);
}

static void refresh_run(struct context *context, struct task *task)
{
    struct refresh *t = (struct refresh *)task;
    struct leadership read = {0};
    struct arena arena;

    if (task->phase++ == 0) {
        arena_init(&arena, PATHS_MAX);
        for (int32_t i = 0; i < t->set.count; i++) {
            const struct partition *p = t->set.at[i];

            (void)task_get(task, path_state(&arena, slice_text(p->topic->name), p->id), false);
            arena_reset(&arena);
        }
        arena_fini(&arena);
        task_ask(context, task);
        return;
    }
    for (int32_t i = 0; i < task->requests.count; i++)
        if (document_read_state(&task->requests.at[i], &read)) {
            partition_set_leadership(t->set.at[i], &read);
            partition_learn_left(context, t->set.at[i], &read);
        }
    leadership_fini(&read);
    task_end(context, task);
}

void partitions_refresh(struct context *context, struct partition_set *set)
{
    struct refresh *t = task_push(context, sizeof(*t), refresh_run, refresh_fini);

    t->set = *set;
    *set = (struct partition_set){0};
}
