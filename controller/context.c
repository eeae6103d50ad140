/* controller/context.c - see context.h: what is known, and its bookkeeping. The engine that turns
 * events into tasks is in task.c. */
#include "controller/context.h"
#include "base/ensure.h"
#include "base/planted.h"
#include "controller/outbox.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define EVENT_ARENA_MAX (1024u << 20)

const char *answer_name(enum answer answer)
{
    static const char *const names[] = {
        [ANSWER_OK] = "ok",
        [ANSWER_UNKNOWN_ERROR] = "unknown-error",
        [ANSWER_UNKNOWN_PARTITION] = "unknown-partition",
        [ANSWER_UNKNOWN_TOPIC_ID] = "unknown-topic-id",
        [ANSWER_NOT_CONTROLLER] = "not-controller",
        [ANSWER_FENCED_EPOCH] = "fenced-epoch",
        [ANSWER_INVALID_VERSION] = "invalid-version",
        [ANSWER_INVALID_REQUEST] = "invalid-request",
        [ANSWER_INVALID_TOPIC] = "invalid-topic",
        [ANSWER_INELIGIBLE_REPLICA] = "ineligible-replica",
        [ANSWER_STALE_BROKER_EPOCH] = "stale-broker-epoch",
        [ANSWER_BROKER_NOT_AVAILABLE] = "broker-not-available",
        [ANSWER_BROKER_NOT_REGISTERED] = "broker-not-registered",
        [ANSWER_NOT_NEEDED] = "not-needed",
        [ANSWER_PREFERRED_NOT_AVAILABLE] = "preferred-not-available",
        [ANSWER_NO_ELIGIBLE_LEADER] = "no-eligible-leader",
        [ANSWER_NO_REASSIGNMENT] = "no-reassignment",
        [ANSWER_INVALID_ASSIGNMENT] = "invalid-assignment",
    };

    return names[answer];
}

/* ---- events and effects ---- */

struct event *event_create(enum event_type type)
{
    struct event *event = ensure_zalloc(sizeof(*event));

    event->type = type;
    event->broker = -1;
    event->broker_epoch = -1;
    arena_init(&event->arena, EVENT_ARENA_MAX);
    return event;
}

void event_destroy(struct event **event)
{
    if (*event == NULL) return;
    for (int32_t i = 0; i < (*event)->count; i++)
        ids_fini(&(*event)->items[i].replicas), leadership_fini(&(*event)->items[i].state);
    arena_fini(&(*event)->arena);
    free(*event);
    *event = NULL;
}

void event_make_items(struct event *event, int32_t count)
{
    event->count = count;
    event->items =
        count == 0 ? NULL : arena_zalloc(&event->arena, (size_t)count * sizeof(*event->items));
}

struct effect *context_effect(struct context *context, enum effect_type type)
{
    struct effect *effect = ensure_zalloc(sizeof(*effect));

    effect->type = type;
    effect->broker = -1;
    list_push(&context->effects, &effect->node);
    return effect;
}

static struct effect *note(struct context *context, const char *format, va_list args)
{
    struct effect *effect = context_effect(context, EFFECT_NOTE);
    char text[512];
    int n = vsnprintf(text, sizeof(text), format, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;

    buf_add(&effect->text, text, len);
    return effect;
}

void context_note(struct context *context, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)note(context, format, args);
    va_end(args);
}

void context_warn(struct context *context, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    note(context, format, args)->is_warning = true;
    va_end(args);
}

struct effect *context_take(struct context *context)
{
    struct list_node *node = list_pop(&context->effects);

    return node == NULL ? NULL : list_entry(node, struct effect, node);
}

void effect_destroy(struct effect **effect)
{
    if (*effect == NULL) return;
    outbox_batch_destroy(&(*effect)->batch);
    event_destroy(&(*effect)->event);
    buf_fini(&(*effect)->text);
    free(*effect);
    *effect = NULL;
}

/* ---- brokers ---- */

struct broker *context_broker(const struct context *context, int32_t id)
{
    return map_get(&context->brokers, map_int(&id));
}

struct broker *context_add_broker(struct context *context, int32_t id)
{
    struct broker *broker = context_broker(context, id);

    if (broker == NULL) {
        broker = ensure_zalloc(sizeof(*broker));
        broker->id = id;
        (void)map_set(&context->brokers, map_int(&id), broker);
    }
    return broker;
}

void broker_clear_endpoints(struct broker *broker)
{
    for (int32_t i = 0; i < broker->endpoint_count; i++) {
        free(broker->endpoints[i].listener);
        free(broker->endpoints[i].host);
    }
    free(broker->endpoints);
    broker->endpoints = NULL;
    broker->endpoint_count = 0;
    free(broker->rack);
    broker->rack = NULL;
}

void context_remove_broker(struct context *context, int32_t id)
{
    struct broker *broker = map_remove(&context->brokers, map_int(&id));

    if (broker == NULL) return;
    broker_clear_endpoints(broker);
    free(broker);
}

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a;
    int32_t y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

static void sort_ids(struct ids *ids)
{
    if (ids->count > 1) qsort(ids->at, (size_t)ids->count, sizeof(*ids->at), by_value);
}

void context_broker_ids(const struct context *context, struct ids *out)
{
    out->count = 0;
    map_each (entry, &context->brokers)
        ids_add(out, ((struct broker *)entry->value)->id);
    sort_ids(out);
}

bool broker_is_alive(const struct context *context, int32_t id)
{
    const struct broker *broker = context_broker(context, id);

    return broker != NULL && !broker->is_suspect;
}

bool broker_is_heard(const struct context *context, int32_t id)
{
    const struct broker *broker = context_broker(context, id);

    return broker != NULL && !broker->is_suspect && !broker->is_silent;
}

void context_alive(const struct context *context, struct ids *out)
{
    out->count = 0;
    map_each (entry, &context->brokers) {
        const struct broker *broker = entry->value;

        if (!broker->is_suspect) ids_add(out, broker->id);
    }
    sort_ids(out);
}

bool broker_is_live(const struct context *context, int32_t id)
{
    const struct broker *broker = context_broker(context, id);

    return broker != NULL && !broker->is_suspect && !broker->is_shutting_down;
}

bool broker_has_lost(const struct broker *broker, int64_t zxid)
{
    int64_t since = broker->cache_lost_since > 0 ? broker->cache_lost_since : broker->epoch;

    return broker->is_cache_lost && since > zxid;
}

const struct control_endpoint *broker_endpoint(const struct broker *broker, const char *listener)
{
    for (int32_t i = 0; i < broker->endpoint_count; i++)
        if (strcmp(broker->endpoints[i].listener, listener) == 0) return &broker->endpoints[i];
    return NULL;
}

static const struct hosted *find_hosted(const struct partition *p, int32_t broker)
{
    for (int32_t i = 0; i < p->hosted_count; i++)
        if (p->hosted[i].broker == broker) return &p->hosted[i];
    return NULL;
}

bool replica_is_alive(const struct context *context, const struct partition *p, int32_t broker)
{
    const struct hosted *hosted = find_hosted(p, broker);

    return broker_is_alive(context, broker) && (hosted == NULL || !hosted->is_dir_offline);
}

bool replica_is_online(const struct context *context, const struct partition *p, int32_t broker)
{
    return broker_is_live(context, broker) && replica_is_alive(context, p, broker);
}

/* ---- topics and partitions ---- */

static struct slice uuid_key(const struct uuid *id)
{
    return slice_of(id->bytes, sizeof(id->bytes));
}

struct topic *context_topic(const struct context *context, struct slice name)
{
    return map_get(&context->topics, name);
}

struct topic *context_topic_by_id(const struct context *context, struct uuid id)
{
    return map_get(&context->topics_by_id, uuid_key(&id));
}

struct topic *context_add_topic(struct context *context, struct slice name)
{
    struct topic *topic = context_topic(context, name);

    if (topic == NULL) {
        topic = ensure_zalloc(sizeof(*topic));
        topic->name = ensure_strndup(name.ptr, name.len);
        (void)map_set(&context->topics, name, topic);
    }
    return topic;
}

void context_set_topic_id(struct context *context, struct topic *topic, struct uuid id)
{
    if (!uuid_is_zero(topic->id)) (void)map_remove(&context->topics_by_id, uuid_key(&topic->id));
    topic->id = id;
    if (!uuid_is_zero(id)) (void)map_set(&context->topics_by_id, uuid_key(&id), topic);
}

void leadership_fini(struct leadership *leadership)
{
    free(leadership->left);
    ids_fini(&leadership->isr);
    *leadership = (struct leadership){0};
}

static void leadership_clear_left(struct leadership *leadership)
{
    free(leadership->left);
    leadership->left = NULL;
    leadership->left_count = 0;
}

void leadership_copy(struct leadership *to, const struct leadership *from)
{
    if (to == from) return;
    struct ids isr = {0};
    ids_copy(&isr, &from->isr);
    leadership_fini(to);
    *to = *from;
    to->isr = isr;
    to->left = NULL;
    to->left_count = 0;
    for (int32_t i = 0; i < from->left_count; i++)
        leadership_add_left(to, from->left[i].broker, from->left[i].at);
}

void leadership_add_left(struct leadership *leadership, int32_t broker, int64_t at)
{
    for (int32_t i = 0; i < leadership->left_count; i++)
        if (leadership->left[i].broker == broker) return;
    leadership->left = ensure_realloc(leadership->left, (size_t)(leadership->left_count + 1) *
                                                            sizeof(*leadership->left));
    leadership->left[leadership->left_count++] = (struct departure){broker, at};
}

static void destroy_partition(struct context *context, struct partition *p)
{
    partition_set_reassigning(context, p, false);
    context->partition_count--;
    ids_fini(&p->replicas);
    ids_fini(&p->adding);
    ids_fini(&p->removing);
    leadership_fini(&p->now);
    free(p->hosted);
    free(p);
}

void context_remove_topic(struct context *context, struct topic **topic)
{
    struct topic *t = *topic;

    *topic = NULL;
    list_each (node, &context->walks) {
        struct topic_walk *walk = list_entry(node, struct topic_walk, node);
        if (walk->entry->value == t) topic_walk_next(walk, context);
    }
    context_set_topic_id(context, t, UUID_ZERO);
    (void)map_remove(&context->topics, slice_text(t->name));
    for (int32_t i = 0; i < t->count; i++)
        destroy_partition(context, t->partitions[i]);
    free(t->partitions);
    free(t->name);
    free(t);
}

/* Where `id` is, or would be. */
static int32_t place_of(const struct topic *topic, int32_t id)
{
    int32_t low = 0;
    int32_t high = topic->count;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;

        if (topic->partitions[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct partition *topic_partition(const struct topic *topic, int32_t id)
{
    int32_t place = place_of(topic, id);

    return place < topic->count && topic->partitions[place]->id == id ? topic->partitions[place]
                                                                      : NULL;
}

struct partition *topic_add_partition(struct context *context, struct topic *topic, int32_t id)
{
    int32_t place = place_of(topic, id);

    if (place < topic->count && topic->partitions[place]->id == id) return topic->partitions[place];

    struct partition *p = ensure_zalloc(sizeof(*p));
    p->topic = topic;
    p->id = id;
    topic->partitions =
        ensure_realloc(topic->partitions, (size_t)(topic->count + 1) * sizeof(*topic->partitions));
    memmove(topic->partitions + place + 1, topic->partitions + place,
            (size_t)(topic->count - place) * sizeof(*topic->partitions));
    topic->partitions[place] = p;
    topic->count++;
    context->partition_count++;
    return p;
}

struct partition *context_partition(const struct context *context, struct slice topic, int32_t id)
{
    struct topic *t = context_topic(context, topic);

    return t == NULL ? NULL : topic_partition(t, id);
}

struct partition *context_find_item(const struct context *context, const struct event_item *item)
{
    struct topic *t = item->has_id ? context_topic_by_id(context, item->topic_id)
                                   : context_topic(context, item->topic);

    return t == NULL ? NULL : topic_partition(t, item->partition);
}

enum replica_state partition_replica_state(const struct partition *p, int32_t broker)
{
    const struct hosted *hosted = find_hosted(p, broker);

    return hosted == NULL ? REPLICA_NONEXISTENT : hosted->state;
}

struct hosted *partition_hosted(struct partition *p, int32_t broker)
{
    for (int32_t i = 0; i < p->hosted_count; i++)
        if (p->hosted[i].broker == broker) return &p->hosted[i];

    p->hosted = ensure_realloc(p->hosted, (size_t)(p->hosted_count + 1) * sizeof(*p->hosted));
    p->hosted[p->hosted_count] = (struct hosted){.broker = broker};
    return &p->hosted[p->hosted_count++];
}

void partition_forget_replica(struct partition *p, int32_t broker)
{
    for (int32_t i = 0; i < p->hosted_count; i++)
        if (p->hosted[i].broker == broker) {
            p->hosted[i] = p->hosted[--p->hosted_count];
            return;
        }
}

bool context_set_dir_offline(struct context *context, struct partition *p, int32_t broker,
                             bool is_offline)
{
    struct hosted *hosted = partition_hosted(p, broker);
    struct broker *b = context_broker(context, broker);

    if (hosted->is_dir_offline == is_offline) return false;
    hosted->is_dir_offline = is_offline;
    if (b != NULL) b->dirs_offline += is_offline ? 1 : -1;
    return true;
}

bool partition_is_doubted(const struct partition *p, int32_t broker)
{
    const struct hosted *hosted = find_hosted(p, broker);

    return hosted != NULL && hosted->is_doubted;
}

void partition_drop_doubted(const struct partition *p, struct ids *isr)
{
    struct ids sure = {0};

    for (int32_t i = 0; i < isr->count; i++)
        if (!partition_is_doubted(p, isr->at[i])) ids_add(&sure, isr->at[i]);
    if (sure.count > 0) ids_copy(isr, &sure);
    ids_fini(&sure);
}

void partition_note_online(struct partition *p, const struct broker *broker)
{
    struct hosted *hosted = partition_hosted(p, broker->id);

    if (hosted->epoch > 0 && broker_has_lost(broker, hosted->epoch)) {
        hosted->is_doubted = p->has_leadership && ids_have(&p->now.isr, broker->id);
        hosted->left_isr = 0;
    }
    hosted->epoch = broker->epoch;
}

bool partition_has_left_with_all(const struct partition *p, int32_t broker, int32_t min_insync,
                                 int64_t config_zxid)
{
    const struct hosted *hosted = find_hosted(p, broker);

    if (planted(leavers_forgotten)) return false;
    return hosted != NULL && !p->is_risked && hosted->left_isr > 0 &&
           hosted->left_isr < min_insync && config_zxid < hosted->left_at;
}

void partition_note_refused(struct partition *p, int32_t broker)
{
    if (p->now.leader != broker || !p->is_risked) return;
    p->is_risked = false;
    partition_hosted(p, broker)->is_doubted = true;
}

/* Who joins has its part in what is acknowledged from now on. What we have not seen may have been
 * that: a leader that writes its ISR itself tells later. */
static bool may_have_grown(const struct partition *p, const struct leadership *next)
{
    if (next->partition_epoch > p->now.partition_epoch + 1) return true;
    for (int32_t i = 0; i < next->isr.count; i++)
        if (!ids_have(&p->now.isr, next->isr.at[i])) return true;
    return false;
}

void partition_set_leadership(struct partition *p, const struct leadership *from)
{
    bool has_grown = p->has_leadership && may_have_grown(p, from);
    /* Who led before it was in doubt has not been chosen for that. */
    bool is_chosen = has_grown || !p->has_leadership || p->now.leader_epoch != from->leader_epoch;

    if (has_grown) {
        p->is_risked = false;
        for (int32_t i = 0; i < p->hosted_count; i++)
            p->hosted[i].left_isr = 0;
    }
    for (int32_t i = 0; i < p->hosted_count && p->now.leader_epoch != from->leader_epoch; i++)
        p->hosted[i].led_before = false;
    if (is_chosen && partition_is_doubted(p, from->leader)) p->is_risked = true;
    leadership_copy(&p->now, from);
    leadership_clear_left(&p->now);
    p->has_leadership = true;
    for (int32_t i = 0; i < p->hosted_count; i++)
        if ((is_chosen && p->hosted[i].broker == from->leader) ||
            !ids_have(&from->isr, p->hosted[i].broker))
            p->hosted[i].is_doubted = false;
}

void partition_note_left(const struct context *context, struct partition *p,
                         const struct leadership *read, const struct leadership *next, int64_t zxid)
{
    if (!p->has_leadership) return;
    if (p->now.partition_epoch != read->partition_epoch) {
        partition_set_leadership(p, read);
        partition_learn_left(context, p, read);
    }
    if (may_have_grown(p, next)) return;
    for (int32_t i = 0; i < p->now.isr.count; i++) {
        struct hosted *hosted = partition_hosted(p, p->now.isr.at[i]);

        if (ids_have(&next->isr, hosted->broker) || hosted->is_doubted) continue;
        hosted->left_isr = next->isr.count;
        hosted->left_at = zxid;
    }
}

/* One that is not to be a replica any more will not be asked. */
static void say_left(const struct partition *p, struct leadership *next, int32_t broker, int64_t at)
{
    if (ids_have(&p->replicas, broker)) leadership_add_left(next, broker, at);
}

void partition_say_left(const struct partition *p, const struct leadership *read,
                        struct leadership *next)
{
    leadership_clear_left(next);
    if (planted(leavers_unwritten) || next->isr.count != 1 ||
        !ids_have(&read->isr, next->isr.at[0]))
        return;
    /* Its leader goes on with what it has, and those who left cut off what it has not. */
    if (partition_is_doubted(p, next->leader)) return;
    for (int32_t i = 0; i < read->left_count; i++)
        say_left(p, next, read->left[i].broker, read->left[i].at);
    for (int32_t i = 0; i < p->hosted_count && !may_have_grown(p, read); i++)
        if (p->hosted[i].left_isr == 1)
            say_left(p, next, p->hosted[i].broker, p->hosted[i].left_at);
    for (int32_t i = 0; i < read->isr.count; i++)
        if (read->isr.at[i] != next->isr.at[0] && !partition_is_doubted(p, read->isr.at[i]))
            say_left(p, next, read->isr.at[i], 0);
}

void partition_learn_left(const struct context *context, struct partition *p,
                          const struct leadership *read)
{
    for (int32_t i = 0; i < read->left_count; i++) {
        const struct departure *left = &read->left[i];
        const struct broker *broker = context_broker(context, left->broker);

        if (read->isr.count != 1 || ids_have(&read->isr, left->broker) ||
            !ids_have(&p->replicas, left->broker))
            continue;
        /* Those who lose something from then on are known by partition_note_online. */
        struct hosted *last = partition_hosted(p, read->isr.at[0]);
        if (last->epoch < left->at) last->epoch = left->at;
        struct hosted *hosted = partition_hosted(p, left->broker);
        /* We have seen it come back since, and know more. */
        if (hosted->left_isr > 0 || hosted->epoch > left->at) continue;
        hosted->epoch = left->at;
        if (broker != NULL && broker_has_lost(broker, left->at)) continue;
        hosted->left_isr = 1;
        hosted->left_at = left->at;
    }
}

bool partition_has_left(const struct partition *p, int64_t *at)
{
    for (int32_t i = 0; i < p->hosted_count; i++)
        if (p->hosted[i].left_isr == 1) {
            *at = p->hosted[i].left_at;
            return true;
        }
    return false;
}

void partition_set_reassigning(struct context *context, struct partition *p, bool is_reassigning)
{
    if (p->is_reassigning != is_reassigning) context->reassigning_count += is_reassigning ? 1 : -1;
    p->is_reassigning = is_reassigning;
}

void partition_target(const struct partition *p, struct ids *out)
{
    ids_minus(out, &p->replicas, &p->removing);
}

void partition_origin(const struct partition *p, struct ids *out)
{
    ids_minus(out, &p->replicas, &p->adding);
}

void partition_set_add(struct partition_set *set, struct partition *p)
{
    if (set->count == set->capacity) {
        set->capacity = set->capacity == 0 ? 16 : set->capacity * 2;
        set->at = ensure_realloc(set->at, (size_t)set->capacity * sizeof(struct partition *));
    }
    set->at[set->count++] = p;
}

void partition_set_fini(struct partition_set *set)
{
    free(set->at);
    *set = (struct partition_set){0};
}

void replica_set_add(struct replica_set *set, struct partition *p, int32_t broker)
{
    if (set->count == set->capacity) {
        set->capacity = set->capacity == 0 ? 16 : set->capacity * 2;
        set->at = ensure_realloc(set->at, (size_t)set->capacity * sizeof(*set->at));
    }
    set->at[set->count++] = (struct replica){p, broker};
}

void replica_set_fini(struct replica_set *set)
{
    free(set->at);
    *set = (struct replica_set){0};
}

/* ---- walks ---- */

static void walk_to(struct topic_walk *walk, struct map_entry *entry)
{
    walk->entry = entry;
    walk->partition = 0;
    if (entry == NULL) list_remove(&walk->node);
}

void topic_walk_begin(struct topic_walk *walk, struct context *context)
{
    *walk = (struct topic_walk){0};
    list_push(&context->walks, &walk->node);
    walk_to(walk, map_first(&context->topics));
}

struct topic *topic_walk_topic(const struct topic_walk *walk)
{
    return walk->entry == NULL ? NULL : walk->entry->value;
}

void topic_walk_next(struct topic_walk *walk, struct context *context)
{
    walk_to(walk, map_next(&context->topics, walk->entry));
}

void topic_walk_end(struct topic_walk *walk)
{
    walk_to(walk, NULL);
}

/* ---- audit ---- */

static bool audit_partition(const struct partition *p)
{
    for (int32_t i = 0; i < p->hosted_count; i++)
        for (int32_t j = i + 1; j < p->hosted_count; j++)
            if (p->hosted[i].broker == p->hosted[j].broker) return false;
    return true;
}

bool context_audit(const struct context *context)
{
    int32_t partitions = 0;
    int32_t reassigning = 0;

    map_each (entry, &context->topics) {
        const struct topic *t = entry->value;

        if (!uuid_is_zero(t->id) && context_topic_by_id(context, t->id) != t) return false;
        for (int32_t i = 0; i < t->count; i++) {
            const struct partition *p = t->partitions[i];

            if (p->topic != t || (i > 0 && p->id <= t->partitions[i - 1]->id) ||
                !audit_partition(p))
                return false;
            reassigning += p->is_reassigning;
        }
        partitions += t->count;
    }
    return partitions == context->partition_count && reassigning == context->reassigning_count;
}
