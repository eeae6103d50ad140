/* controller/topics.c - see topics.h. */
#include "controller/topics.h"
#include "base/ensure.h"
#include "base/planted.h"
#include "controller/documents.h"
#include "controller/machines.h"
#include "controller/replica_machine.h"
#include "zk/paths.h"
#include <stdlib.h>

#define PATHS_MAX (256u << 20)

/* ---- new partitions ---- */

struct create {
    struct task task;
    struct partition_set set;
};

static void create_fini(struct task *task)
{
    partition_set_fini(&((struct create *)task)->set);
}

static void all_replicas(const struct partition_set *set, struct replica_set *out)
{
    for (int32_t i = 0; i < set->count; i++)
        for (int32_t r = 0; r < set->at[i]->replicas.count; r++)
            replica_set_add(out, set->at[i], set->at[i]->replicas.at[r]);
}

static void create_run(struct context *context, struct task *task)
{
    struct create *c = (struct create *)task;
    struct replica_set replicas = {0};
    struct partition_set copy = {0};

    all_replicas(&c->set, &replicas);
    switch (task->phase++) {
    case 0:
        partitions_mark(context, &c->set, PARTITION_NEW);
        replicas_to(context, &replicas, REPLICA_NEW);
        for (int32_t i = 0; i < c->set.count; i++)
            partition_set_add(&copy, c->set.at[i]);
        partitions_to_online(context, &copy, ELECTION_OFFLINE, NULL);
        break;
    case 1:
        replicas_to(context, &replicas, REPLICA_ONLINE);
        task_end(context, task);
        break;
    }
    replica_set_fini(&replicas);
}

void topics_create_partitions(struct context *context, struct partition_set *set)
{
    if (set->count == 0) {
        partition_set_fini(set);
        return;
    }
    struct create *c = task_push(context, sizeof(*c), create_run, create_fini);
    c->set = *set;
    *set = (struct partition_set){0};
}

/* ---- loading ---- */

struct load {
    struct task task;
    struct partition_set *added;
    struct topic **asked; /* whose document or id is asked for, by place among the requests */
    struct uuid *ids;
    int32_t asked_count;
};

static void load_fini(struct task *task)
{
    struct load *l = (struct load *)task;

    free(l->asked);
    free(l->ids);
}

/* Takes over what the document says of partitions that have no replicas in memory. */
static void store(struct context *context, struct topic *topic, struct assignments *read,
                  struct partition_set *added)
{
    for (int32_t i = 0; i < read->count; i++) {
        struct assignment *a = &read->at[i];
        struct partition *p = topic_add_partition(context, topic, a->partition);

        if (p->replicas.count > 0 || p->state != PARTITION_NONEXISTENT) continue;
        ids_move(&p->replicas, &a->replicas);
        ids_move(&p->adding, &a->adding);
        ids_move(&p->removing, &a->removing);
        if (p->adding.count > 0 || p->removing.count > 0)
            partition_set_reassigning(context, p, true);
        partition_set_add(added, p);
    }
}

static void list_topics(struct context *context, struct load *l)
{
    const struct request *list = &l->task.requests.at[0];
    struct arena arena;

    context_each_topic(entry, topic, context) topic->is_listed = false;
    l->asked = ensure_zalloc((size_t)(list->child_count + 1) * sizeof(*l->asked));
    for (int32_t i = 0; i < list->child_count; i++) {
        struct topic *topic = context_topic(context, list->children[i]);

        if (topic == NULL)
            l->asked[l->asked_count++] = topic = context_add_topic(context, list->children[i]);
        topic->is_listed = true;
    }
    context_each_topic(gone, topic, context) if (!topic->is_listed)
    {
        context_note(context, "topic %s gone", topic->name);
        context_remove_topic(context, &topic);
        break;
    }
    arena_init(&arena, PATHS_MAX);
    task_clear_requests(&l->task);
    for (int32_t i = 0; i < l->asked_count; i++) {
        task_get(&l->task, path_topic(&arena, slice_text(l->asked[i]->name)), true)
            ->is_warm_enough = true;
        arena_reset(&arena);
    }
    arena_fini(&arena);
    task_ask(context, &l->task);
}

static struct uuid random_topic_id(struct context *context)
{
    struct uuid id;

    do {
        uint64_t high = prng_next(&context->prng);
        uint64_t low = prng_next(&context->prng);

        id = uuid_from_random(high, low);
    } while (!uuid_is_topic_id(id));
    return id;
}

static void read_topics(struct context *context, struct load *l)
{
    struct topic **without_id = ensure_zalloc((size_t)(l->asked_count + 1) * sizeof(*without_id));
    int32_t count = 0;

    for (int32_t i = 0; i < l->asked_count; i++) {
        struct topic *topic = l->asked[i];
        struct assignments read;

        if (!document_read_topic(&l->task.requests.at[i], &read)) {
            if (l->task.requests.at[i].err == ERR_OK)
                context_warn(context, "topic %s unreadable", topic->name);
            context_remove_topic(context, &topic);
            continue;
        }
        if (uuid_is_zero(read.topic_id) || context_topic_by_id(context, read.topic_id) == NULL)
            context_set_topic_id(context, topic, read.topic_id);
        else
            context_warn(context, "topic %s has the id of another topic", topic->name);
        topic->version = l->task.requests.at[i].stat.version;
        store(context, topic, &read, l->added);
        assignments_fini(&read);
        context_note(context, "topic %s partitions=%d", topic->name, topic->count);
        if (uuid_is_zero(topic->id) && context->config.has_topic_ids) without_id[count++] = topic;
    }
    free(l->asked);
    l->asked = without_id;
    l->asked_count = count;
}

static void ask_ids(struct context *context, struct load *l)
{
    struct buf json = {0};
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    task_clear_requests(&l->task);
    l->ids = ensure_zalloc((size_t)(l->asked_count + 1) * sizeof(*l->ids));
    for (int32_t i = 0; i < l->asked_count; i++) {
        struct topic *topic = l->asked[i];

        /* Only for the document: an id that did not reach ZooKeeper would be replaced later, and
         * then every log would refuse it. */
        l->ids[i] = topic->id = random_topic_id(context);
        buf_clear(&json);
        document_write_topic(&json, topic, NULL, NULL);
        topic->id = UUID_ZERO;
        (void)task_set(&l->task, path_topic(&arena, slice_text(topic->name)), buf_slice(&json),
                       ZK_ANY_VERSION);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    buf_fini(&json);
    task_ask(context, &l->task);
}

static void load_run(struct context *context, struct task *task)
{
    struct load *l = (struct load *)task;

    switch (task->phase++) {
    case 0:
        task_children(task, PATH_BROKERS_TOPICS,
                      !planted(watch_not_rearmed) && !planted(watch_after_read))
            ->is_warm_enough = true;
        task_ask(context, task);
        return;
    case 1:
        if (task->requests.at[0].err == ERR_OK) list_topics(context, l);
        return;
    case 2:
        if (l->asked != NULL) {
            read_topics(context, l);
            ask_ids(context, l);
        }
        return;
    case 3:
        for (int32_t i = 0; i < l->asked_count; i++)
            if (task->requests.at[i].err == ERR_OK) {
                context_set_topic_id(context, l->asked[i], l->ids[i]);
                l->asked[i]->version = task->requests.at[i].stat.version;
            }
        if (!planted(watch_after_read)) {
            task_end(context, task);
            return;
        }
        task_children(task, PATH_BROKERS_TOPICS, true);
        task_ask(context, task);
        return;
    case 4:
        task_end(context, task);
        return;
    }
}

void topics_load(struct context *context, struct partition_set *added)
{
    struct load *l = task_push(context, sizeof(*l), load_run, load_fini);

    l->added = added;
}

/* ---- children of /brokers/topics ---- */

struct topics_change {
    struct task task;
    struct partition_set added;
};

static void topics_change_fini(struct task *task)
{
    partition_set_fini(&((struct topics_change *)task)->added);
}

static void topics_change_run(struct context *context, struct task *task)
{
    struct topics_change *t = (struct topics_change *)task;

    switch (task->phase++) {
    case 0:
        topics_load(context, &t->added);
        return;
    case 1:
        topics_create_partitions(context, &t->added);
        return;
    case 2:
        task_end(context, task);
        return;
    }
}

void topics_changed(struct context *context, struct event *event)
{
    (void)event;
    task_push(context, sizeof(struct topics_change), topics_change_run, topics_change_fini);
}

/* ---- data of one topic ---- */

struct topic_change {
    struct task task;
    struct topic *topic;
};

static bool has_more(const struct topic *topic, const struct assignments *read)
{
    for (int32_t i = 0; i < read->count; i++)
        if (topic_partition(topic, read->at[i].partition) == NULL) return true;
    return false;
}

static void topic_change_run(struct context *context, struct task *task)
{
    struct topic_change *t = (struct topic_change *)task;
    struct topic *topic = t->topic;
    struct partition_set added = {0};
    struct assignments read = {0};
    struct buf json = {0};
    struct arena arena;

    arena_init(&arena, PATHS_MAX);
    struct slice path = path_topic(&arena, slice_text(topic->name));
    switch (task->phase++) {
    case 0:
        task_get(task, path, true);
        task_ask(context, task);
        break;
    case 1:
        if (!document_read_topic(&task->requests.at[0], &read)) {
            topic->version = ZK_ANY_VERSION; /* there is nothing in it to be kept */
            task_clear_requests(task);
            break;
        }
        topic->version = task->requests.at[0].stat.version;
        task_clear_requests(task);
        if (!topic->is_deleting) {
            store(context, topic, &read, &added);
            topics_create_partitions(context, &added);
        } else if (has_more(topic, &read)) {
            document_write_topic(&json, topic, NULL, NULL);
            task_set(task, path, buf_slice(&json), ZK_ANY_VERSION);
            task_ask(context, task);
        }
        break;
    case 2:
        if (task->requests.count > 0 && task->requests.at[0].err == ERR_OK)
            topic->version = task->requests.at[0].stat.version;
        task_end(context, task);
        break;
    }
    assignments_fini(&read);
    buf_fini(&json);
    arena_fini(&arena);
}

void topic_changed(struct context *context, struct event *event)
{
    struct topic *topic = context_topic(context, event->topic);

    if (topic != NULL) topics_reload(context, topic);
}

void topics_reload(struct context *context, struct topic *topic)
{
    struct topic_change *t = task_push(context, sizeof(*t), topic_change_run, NULL);
    t->topic = topic;
}
