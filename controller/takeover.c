/* controller/takeover.c - a controller that was just elected: it reads everything, says what it has
 * read to all brokers, and then acts on what is amiss. The order is Kafka's: watches before reads,
 * brokers told of each other before they are told what to lead. */
#include "base/ensure.h"
#include "controller/brokers.h"
#include "controller/deletion.h"
#include "controller/documents.h"
#include "controller/machines.h"
#include "controller/outbox.h"
#include "controller/partition_machine.h"
#include "controller/reassign.h"
#include "controller/replica_machine.h"
#include "controller/topics.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdlib.h>

#define PATHS_MAX          (256u << 20)
#define FIRST_REBALANCE_MS 5000

struct take_over {
    struct task task;
    struct partition_set loaded;
    struct replica_set returned; /* see note_returned */
    struct partition_set again;  /* led by one of those, with nobody better */
};

static void take_over_fini(struct task *task)
{
    struct take_over *t = (struct take_over *)task;

    partition_set_fini(&t->loaded);
    replica_set_fini(&t->returned);
    partition_set_fini(&t->again);
}

/* ---- /feature ---- */

static void set_up_features(struct context *context, struct task *task)
{
    const struct context_config *config = &context->config;
    struct doc_features doc = {0};
    struct buf json = {0};
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    bool is_absent = task->requests.at[0].err == ERR_NOT_FOUND;
    bool is_read = task->requests.at[0].err == ERR_OK &&
                   doc_features_read(task->requests.at[0].answer, &arena, &doc) == ERR_OK;
    bool is_right = is_read && doc.is_enabled == config->has_features &&
                    (!doc.is_enabled || doc.version == config->feature_version);
    if (!is_absent && !is_read) context_note(context, "feature znode unreadable, left alone");

    task_clear_requests(task);
    if (is_absent || (is_read && !is_right)) {
        if (!doc.is_enabled || !config->has_features) doc.feature_count = 0;
        doc.is_enabled = config->has_features;
        doc.version = config->feature_version;
        doc_features_write(&json, &doc);
        if (is_absent)
            task_create(task, PATH_FEATURE, buf_slice(&json))->is_fenced = false;
        else
            task_set(task, PATH_FEATURE, buf_slice(&json), ZK_ANY_VERSION)->is_fenced = false;
    }
    buf_fini(&json);
    arena_fini(&arena);
    task_ask(context, task);
}

/* ---- what was notified before our time is in what we read ---- */

static void drop_notifications(struct context *context, struct task *task)
{
    const struct slice parents[] = {PATH_LOG_DIR_EVENTS, PATH_ISR_CHANGES};
    struct slice *paths;
    int32_t count = 0;
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    size_t all = (size_t)(task->requests.at[0].child_count + task->requests.at[1].child_count);
    paths = arena_zalloc(&arena, (all + 1) * sizeof(*paths));
    for (int32_t i = 0; i < 2; i++)
        for (int32_t c = 0; c < task->requests.at[i].child_count; c++)
            paths[count++] = path_child(&arena, parents[i], task->requests.at[i].children[c]);
    task_clear_requests(task);
    for (int32_t i = 0; i < count; i++)
        task_delete(task, paths[i]);
    arena_fini(&arena);
    task_ask(context, task);
}

/* ---- states ---- */

static void ask_states(struct context *context, struct take_over *t)
{
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    task_clear_requests(&t->task);
    for (int32_t i = 0; i < t->loaded.count; i++) {
        struct partition *p = t->loaded.at[i];

        task_get(&t->task, path_state(&arena, slice_text(p->topic->name), p->id), false)
            ->is_warm_enough = true;
        arena_reset(&arena);
    }
    arena_fini(&arena);
    task_ask(context, &t->task);
}

/* It is not the node's fault: ZooKeeper is away, or this session is over. */
static bool is_away(enum err err)
{
    return err == ERR_ZK_LOSS || err == ERR_ZK_EXPIRED || err == ERR_CANCELLED;
}

/* In the ISR, live, and as it was when the state was written: it had registered by then. */
static bool is_still_there(const struct context *context, int32_t id, int64_t mzxid)
{
    const struct broker *broker = context_broker(context, id);

    return broker != NULL && broker_is_live(context, id) && broker->epoch <= mzxid;
}

/* Back, and its machine has lost what was not synced, since the state was written. */
static bool has_lost(const struct context *context, int32_t id, int64_t mzxid)
{
    const struct broker *broker = context_broker(context, id);

    return broker != NULL && broker_is_live(context, id) && broker_has_lost(broker, mzxid);
}

/* Who ended and came back while no controller looked is in its ISRs, and leads, by what it was in
 * an earlier life; what it has now nobody knows (a power loss takes what was not synced). A
 * controller that looks takes such a broker out of its ISRs and lets it in again; so does this one,
 * where there is somebody in the ISR who was there all the time. Where there is nobody the leader
 * leads on, for nobody is known to be better, and who has lost what it knows of says so itself; but
 * in a new epoch: its watermark may begin lower, and what it writes stands where followers may
 * have other records of the old one. The registration tells: it is younger than the last change of
 * the state, which is written after a return that was seen. Who left the ISR and made one that has
 * lost something the last of it is better, as that one may not have heard so: it is not to lead
 * before it is known whether one of those can. */
static void note_returned(struct context *context, struct take_over *t, struct partition *p,
                          int64_t mzxid)
{
    int32_t still_there = 0, sure = 0;
    int64_t since = mzxid;
    bool has_left = partition_has_left(p, &since);

    for (int32_t i = 0; i < p->now.isr.count; i++) {
        int32_t id = p->now.isr.at[i];
        if (is_still_there(context, id, mzxid)) still_there++;
        /* Whoever is not there yet will say what it has lost since. */
        if (!has_left && !broker_is_live(context, id)) partition_hosted(p, id)->epoch = mzxid;
        if (has_left || !has_lost(context, id, mzxid)) sure++;
    }
    for (int32_t i = 0; i < p->now.isr.count && sure > 0; i++) {
        int32_t id = p->now.isr.at[i];
        bool is_doubted = has_lost(context, id, since);
        bool has_returned = broker_is_live(context, id) && !is_still_there(context, id, mzxid);
        if (is_doubted || (has_returned && still_there > 0)) replica_set_add(&t->returned, p, id);
        partition_hosted(p, id)->is_doubted = is_doubted;
    }
    int32_t leader = p->now.leader;
    bool leads_on =
        broker_is_live(context, leader) && (sure == 0 || !has_lost(context, leader, since));
    if (leader >= 0 && !is_still_there(context, leader, mzxid))
        partition_hosted(p, leader)->led_before = true; /* or will have, when it comes */
    if (still_there == 0 && leads_on) partition_set_add(&t->again, p);
}

/* False when ZooKeeper did not answer: then nothing may be decided. A node that cannot be read, or
 * not understood, costs its own partition only: it is left as it is, without a leader that we know,
 * and is not written over. */
static bool take_states(struct context *context, struct take_over *t)
{
    struct leadership read = {0};
    bool is_whole = true;

    for (int32_t i = 0; i < t->loaded.count; i++) {
        const struct request *r = &t->task.requests.at[i];

        if (document_read_state(r, &read)) {
            partition_set_leadership(t->loaded.at[i], &read);
            partition_learn_left(context, t->loaded.at[i], &read);
            note_returned(context, t, t->loaded.at[i], r->stat.mzxid);
        } else if (is_away(r->err))
            is_whole = false;
        else if (r->err != ERR_NOT_FOUND)
            context_warn(context, "partition %s-%d state unreadable, left alone: %s",
                         t->loaded.at[i]->topic->name, t->loaded.at[i]->id,
                         r->err == ERR_OK ? "not understood" : err_text(r->err));
    }
    leadership_fini(&read);
    return is_whole;
}

static bool has_offline_replica(const struct context *context, const struct topic *topic)
{
    for (int32_t i = 0; i < topic->count; i++) {
        const struct partition *p = topic->partitions[i];

        for (int32_t r = 0; r < p->replicas.count; r++)
            if (!broker_is_live(context, p->replicas.at[r])) return true;
    }
    return false;
}

static void take_deletions(struct context *context, struct task *task)
{
    struct request *list = &task->requests.at[0];

    for (int32_t i = 0; i < list->child_count; i++) {
        struct topic *topic = context_topic(context, list->children[i]);

        if (topic == NULL || !context->config.is_delete_enabled) continue;
        topic->is_deleting = true;
        topic->is_ineligible = has_offline_replica(context, topic);
        for (int32_t p = 0; p < topic->count; p++)
            topic->is_ineligible |= topic->partitions[p]->is_reassigning;
    }
    /* Markers of topics that are not there are dropped by the event that follows. */
    if (list->child_count > 0) {
        struct event *look = event_create(EVENT_DELETIONS_CHANGED);
        list_push(&context->events, &look->node);
    }
}

/* ---- who returned unseen is away until the first elections are over ---- */

static void hide_returned(struct context *context, struct take_over *t)
{
    for (int32_t i = 0; i < t->returned.count; i++) {
        const struct replica *r = &t->returned.at[i];

        if (r->partition->topic->is_deleting) continue;
        context_note(context, "partition %s-%d %d returned unseen", r->partition->topic->name,
                     r->partition->id, r->broker);
        (void)context_set_dir_offline(context, r->partition, r->broker, true);
    }
}

/* Before it is told to lead in the old epoch. */
static void elect_again(struct context *context, struct take_over *t)
{
    struct partition_set set = {0};

    for (int32_t i = 0; i < t->again.count; i++) {
        struct partition *p = t->again.at[i];

        if (p->topic->is_deleting) continue;
        p->state = PARTITION_OFFLINE;
        partition_set_add(&set, p);
    }
    partitions_to_online(context, &set, ELECTION_AGAIN, NULL);
}

static void show_returned(struct context *context, struct take_over *t)
{
    struct replica_set back = {0};

    for (int32_t i = 0; i < t->returned.count; i++) {
        const struct replica *r = &t->returned.at[i];

        if (context_set_dir_offline(context, r->partition, r->broker, false) &&
            broker_is_live(context, r->broker))
            replica_set_add(&back, r->partition, r->broker);
    }
    replicas_to(context, &back, REPLICA_ONLINE);
}

/* ---- the machines' first states ---- */

static void start_replicas(struct context *context, struct replica_set *online,
                           struct replica_set *offline)
{
    context_each_topic(entry, topic, context) for (int32_t i = 0; i < topic->count; i++)
    {
        struct partition *p = topic->partitions[i];

        for (int32_t r = 0; r < p->replicas.count; r++) {
            int32_t broker = p->replicas.at[r];
            bool is_online = replica_is_online(context, p, broker);

            partition_hosted(p, broker)->state =
                is_online ? REPLICA_ONLINE : REPLICA_DELETION_INELIGIBLE;
            replica_set_add(is_online ? online : offline, p, broker);
        }
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

static void start_partitions(struct context *context)
{
    context_each_topic(entry, topic, context) for (int32_t i = 0; i < topic->count; i++)
    {
        struct partition *p = topic->partitions[i];

        /* Who led before is elected first, where elect_again could not. */
        bool is_led = replica_is_online(context, p, p->now.leader) &&
                      !partition_hosted(p, p->now.leader)->led_before;
        p->state = !p->has_leadership ? PARTITION_NEW
                   : is_led           ? PARTITION_ONLINE
                                      : PARTITION_OFFLINE;
    }
}

static void look_at(struct context *context, enum event_type type)
{
    struct event *event = event_create(type);

    list_push(&context->events, &event->node);
}

enum {
    FEATURES = 0,
    SET_FEATURES,
    NOTIFICATIONS,
    DROP_NOTIFICATIONS,
    BROKERS,
    TOPICS,
    STATES,
    DELETIONS,
    AGAIN,
    REPLICAS,
    OFFLINE,
    PARTITIONS,
    RETURNED,
    DOUBTED,
    REASSIGNMENTS,
    RESUME,
    DONE,
};

static void take_over_run(struct context *context, struct task *task)
{
    struct take_over *t = (struct take_over *)task;
    struct replica_set online = {0};
    struct replica_set offline = {0};

    switch (task->phase++) {
    case FEATURES:
        task_get(task, PATH_FEATURE, false);
        task_ask(context, task);
        break;
    case SET_FEATURES:
        set_up_features(context, task);
        break;
    case NOTIFICATIONS:
        task_clear_requests(task);
        task_children(task, PATH_LOG_DIR_EVENTS, true);
        task_children(task, PATH_ISR_CHANGES, true);
        task_ask(context, task);
        break;
    case DROP_NOTIFICATIONS:
        drop_notifications(context, task);
        break;
    case BROKERS:
        brokers_load(context);
        break;
    case TOPICS:
        topics_load(context, &t->loaded);
        break;
    case STATES:
        ask_states(context, t);
        break;
    case DELETIONS:
        if (!take_states(context, t)) {
            context_effect(context, EFFECT_GIVE_UP);
            task->is_waiting = true; /* for being dropped */
            break;
        }
        task_clear_requests(task);
        task_children(task, PATH_DELETE_TOPICS, true);
        task_ask(context, task);
        break;
    case AGAIN:
        take_deletions(context, task);
        hide_returned(context, t);
        tell_brokers(context);
        elect_again(context, t);
        break;
    case REPLICAS:
        start_replicas(context, &online, &offline);
        replicas_to(context, &online, REPLICA_ONLINE);
        break;
    case OFFLINE:
        /* Again, for the set did not live until now; the states are the same. */
        start_replicas(context, &online, &offline);
        replicas_to(context, &offline, REPLICA_OFFLINE);
        break;
    case PARTITIONS:
        start_partitions(context);
        partitions_trigger_online(context, NULL, NULL);
        break;
    case RETURNED:
        show_returned(context, t);
        break;
    case DOUBTED:
        /* Nobody was better. */
        if (t->returned.count > 0) partitions_trigger_online(context, NULL, NULL);
        break;
    case REASSIGNMENTS:
        reassign_resume_on(context, NULL);
        break;
    case RESUME:
        look_at(context, EVENT_REASSIGN_NODE);
        look_at(context, EVENT_PREFERRED_NODE);
        deletions_resume(context);
        break;
    case DONE:
        context_note(context, "taken over epoch=%d brokers=%zu topics=%zu partitions=%d",
                     context->epoch, context->brokers.count, context->topics.count,
                     context->partition_count);
        context_effect(context, EFFECT_TAKEN_OVER);
        if (context->config.is_auto_rebalance)
            context_effect(context, EFFECT_REBALANCE_AT)->at =
                instant_add_ms(context->now, FIRST_REBALANCE_MS);
        task_end(context, task);
        break;
    }
    replica_set_fini(&online);
    replica_set_fini(&offline);
}

void take_over_start(struct context *context, struct event *event)
{
    (void)event;
    task_push(context, sizeof(struct take_over), take_over_run, take_over_fini);
}
