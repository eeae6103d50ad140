/* controller/outbox.c - see outbox.h. */
#include "controller/outbox.h"
#include "base/ensure.h"
#include <stdlib.h>

#define STOP_EPOCH_DELETED (-2)
#define STOP_EPOCH_NONE    (-1)
#define LEADER_DELETED     (-2)

struct entry {
    struct partition *partition;
    bool is_new, is_delete;
    int32_t leader_epoch; /* stop */
    uint64_t deletion;    /* stop */
};

/* Partitions in order of arrival, found by their address. */
struct entries {
    struct map by_partition;
};

struct addressee {
    int32_t id;
    struct entries leader_and_isr, stop;
};

struct outbox {
    struct map addressees; /* id → struct addressee * */
    struct entries updates;
    struct ids update_to;
};

static struct slice key_of(struct partition *const *p)
{
    return slice_of(p, sizeof(*p));
}

static struct entry *entries_add(struct entries *entries, struct partition *p)
{
    struct entry *entry = map_get(&entries->by_partition, key_of(&p));

    if (entry == NULL) {
        entry = ensure_zalloc(sizeof(*entry));
        entry->partition = p;
        (void)map_set(&entries->by_partition, key_of(&p), entry);
    }
    return entry;
}

static void entries_fini(struct entries *entries)
{
    map_each (entry, &entries->by_partition)
        free(entry->value);
    map_fini(&entries->by_partition);
}

struct outbox *outbox_create(void)
{
    struct outbox *outbox = ensure_zalloc(sizeof(*outbox));

    map_init(&outbox->addressees);
    map_init(&outbox->updates.by_partition);
    return outbox;
}

static void outbox_fini(struct outbox *outbox)
{
    map_each (entry, &outbox->addressees) {
        struct addressee *a = entry->value;

        entries_fini(&a->leader_and_isr);
        entries_fini(&a->stop);
        free(a);
    }
    map_fini(&outbox->addressees);
    entries_fini(&outbox->updates);
    ids_fini(&outbox->update_to);
}

void outbox_destroy(struct outbox **outbox)
{
    if (*outbox == NULL) return;
    outbox_fini(*outbox);
    free(*outbox);
    *outbox = NULL;
}

void outbox_clear(struct outbox *outbox)
{
    outbox_fini(outbox);
    map_init(&outbox->addressees);
    map_init(&outbox->updates.by_partition);
}

bool outbox_is_empty(const struct outbox *outbox)
{
    return outbox->addressees.count == 0 && outbox->updates.by_partition.count == 0 &&
           outbox->update_to.count == 0;
}

static struct addressee *addressee_of(struct outbox *outbox, int32_t id)
{
    struct addressee *a = map_get(&outbox->addressees, map_int(&id));

    if (a == NULL) {
        a = ensure_zalloc(sizeof(*a));
        a->id = id;
        map_init(&a->leader_and_isr.by_partition);
        map_init(&a->stop.by_partition);
        (void)map_set(&outbox->addressees, map_int(&id), a);
    }
    return a;
}

void outbox_leader_and_isr(struct context *context, const struct ids *brokers, struct partition *p,
                           bool is_new)
{
    struct ids alive = {0};

    ensure(p->has_leadership);
    for (int32_t i = 0; i < brokers->count; i++) {
        if (brokers->at[i] < 0) continue;
        struct addressee *a = addressee_of(context->outbox, brokers->at[i]);
        entries_add(&a->leader_and_isr, p)->is_new |= is_new;
    }
    context_alive(context, &alive);
    outbox_update(context, &alive, p);
    ids_fini(&alive);
}

void outbox_update_brokers(struct context *context, const struct ids *brokers)
{
    for (int32_t i = 0; i < brokers->count; i++)
        if (brokers->at[i] >= 0) ids_add_once(&context->outbox->update_to, brokers->at[i]);
}

void outbox_update(struct context *context, const struct ids *brokers, struct partition *p)
{
    outbox_update_brokers(context, brokers);
    if (p->has_leadership) (void)entries_add(&context->outbox->updates, p);
}

void outbox_stop(struct context *context, int32_t broker, struct partition *p, bool is_delete)
{
    struct entry *entry = entries_add(&addressee_of(context->outbox, broker)->stop, p);

    entry->is_delete |= is_delete;
    if (is_delete) entry->deletion = partition_hosted(p, broker)->deletion;
    entry->leader_epoch = p->topic->is_deleting ? STOP_EPOCH_DELETED
                          : p->has_leadership   ? p->now.leader_epoch
                                                : STOP_EPOCH_NONE;
}

/* ---- sending ---- */

static struct ids ids_in(struct arena *arena, const struct ids *from)
{
    struct ids out = {.count = from->count, .capacity = from->count};

    if (from->count > 0) {
        out.at = arena_zalloc(arena, (size_t)from->count * sizeof(*out.at));
        memcpy(out.at, from->at, (size_t)from->count * sizeof(*out.at));
    }
    return out;
}

/* What a batch is made from; partitions are rendered once, however many brokers are told. */
struct sending {
    struct context *context;
    struct control_batch *batch;
    struct map rendered; /* partition → struct control_partition *, in the batch's arena */
};

static const struct control_partition *render(struct sending *s, struct partition *p)
{
    struct arena *arena = &s->batch->arena;
    struct control_partition *out = map_get(&s->rendered, key_of(&p));

    if (out != NULL) return out;
    out = arena_zalloc(arena, sizeof(*out));
    *out = (struct control_partition){
        .topic = arena_copy(arena, slice_text(p->topic->name)),
        .topic_id = p->topic->id,
        .partition = p->id,
        .controller_epoch = p->now.controller_epoch,
        .leader = p->now.leader,
        .leader_epoch = p->now.leader_epoch,
        .partition_epoch = p->now.partition_epoch,
        .is_recovering = p->now.is_recovering && s->context->config.has_recovery_state,
        .isr = ids_in(arena, &p->now.isr),
        .replicas = ids_in(arena, &p->replicas),
        .adding = ids_in(arena, &p->adding),
        .removing = ids_in(arena, &p->removing),
    };
    struct ids offline = {0};
    for (int32_t i = 0; i < p->replicas.count; i++)
        if (!replica_is_online(s->context, p, p->replicas.at[i]))
            ids_add(&offline, p->replicas.at[i]);
    out->offline = ids_in(arena, &offline);
    ids_fini(&offline);
    (void)map_set(&s->rendered, key_of(&p), out);
    return out;
}

static const struct control_partition *render_update(struct sending *s, struct partition *p)
{
    const struct control_partition *as_is = render(s, p);

    if (!p->topic->is_deleting) return as_is;
    struct control_partition *deleted = arena_zalloc(&s->batch->arena, sizeof(*deleted));
    *deleted = *as_is;
    deleted->leader = LEADER_DELETED;
    deleted->leader_epoch = 0;
    deleted->partition_epoch = 0;
    return deleted;
}

static int by_topic(const void *a, const void *b)
{
    const struct control_partition *x = ((const struct control_item *)a)->partition;
    const struct control_partition *y = ((const struct control_item *)b)->partition;
    int order = slice_compare(x->topic, y->topic);

    if (order != 0) return order;
    return (x->partition > y->partition) - (x->partition < y->partition);
}

/* Ends that must be heard even by a broker that is suspect: nothing that it is told when it is back
 * speaks of what is no longer there. */
static bool is_end(const struct entry *e, bool is_update)
{
    return is_update ? e->partition->topic->is_deleting : e->is_delete;
}

/* All, or the ends only; `count` of them. */
static struct control_item *make_items(struct sending *s, struct entries *entries, bool is_update,
                                       bool ends_only, int32_t *count)
{
    size_t room = entries->by_partition.count + 1;
    struct control_item *items = arena_zalloc(&s->batch->arena, room * sizeof(*items));
    size_t n = 0;

    map_each (entry, &entries->by_partition) {
        const struct entry *e = entry->value;

        if (ends_only && !is_end(e, is_update)) continue;
        items[n++] = (struct control_item){
            .partition = is_update ? render_update(s, e->partition) : render(s, e->partition),
            .is_new = e->is_new,
            .is_delete = e->is_delete,
            .leader_epoch = e->leader_epoch,
            .deletion = e->deletion,
        };
    }
    qsort(items, n, sizeof(*items), by_topic);
    *count = (int32_t)n;
    return items;
}

static struct control_endpoint endpoint_in(struct arena *arena, const struct control_endpoint *from)
{
    return (struct control_endpoint){.listener = arena_text(arena, slice_text(from->listener)),
                                     .host = arena_text(arena, slice_text(from->host)),
                                     .port = from->port,
                                     .protocol = from->protocol};
}

static struct control_broker broker_in(struct arena *arena, const struct broker *from)
{
    struct control_broker out = {.id = from->id, .endpoint_count = from->endpoint_count};

    out.rack = from->rack == NULL ? NULL : arena_text(arena, slice_text(from->rack));
    out.endpoints =
        arena_zalloc(arena, (size_t)(from->endpoint_count + 1) * sizeof(*out.endpoints));
    for (int32_t i = 0; i < from->endpoint_count; i++)
        out.endpoints[i] = endpoint_in(arena, &from->endpoints[i]);
    return out;
}

/* The address that followers fetch from. */
static struct control_broker leader_in(struct arena *arena, const struct broker *from,
                                       const char *listener)
{
    const struct control_endpoint *endpoint = broker_endpoint(from, listener);
    struct control_broker out = {.id = from->id};

    if (endpoint != NULL) {
        out.endpoint_count = 1;
        out.endpoints = arena_zalloc(arena, sizeof(*out.endpoints));
        out.endpoints[0] = endpoint_in(arena, endpoint);
    }
    return out;
}

static void add_leaders(struct sending *s, struct control *control)
{
    struct context *context = s->context;
    struct ids leaders = {0};

    for (int32_t i = 0; i < control->count; i++) {
        int32_t leader = control->items[i].partition->leader;

        if (broker_is_alive(context, leader)) ids_add_once(&leaders, leader);
    }
    struct control_broker *live =
        arena_zalloc(&s->batch->arena, (size_t)(leaders.count + 1) * sizeof(*live));
    for (int32_t i = 0; i < leaders.count; i++)
        live[i] = leader_in(&s->batch->arena, context_broker(context, leaders.at[i]),
                            context->config.inter_broker_listener);
    control->live = live;
    control->live_count = leaders.count;
    ids_fini(&leaders);
}

static struct control *add_control(struct sending *s, enum control_kind kind, int32_t broker)
{
    struct control *control = &s->batch->at[s->batch->count++];

    *control = (struct control){
        .kind = kind,
        .broker = broker,
        .broker_epoch = context_broker(s->context, broker)->epoch,
        .controller_epoch = s->context->epoch,
    };
    return control;
}

/* Alive, or about to be. */
static void list_reachable(const struct context *context, struct ids *out)
{
    struct ids all = {0};

    context_broker_ids(context, &all);
    for (int32_t i = 0; i < all.count; i++) {
        const struct broker *broker = context_broker(context, all.at[i]);

        if (!broker->is_suspect || broker->is_returning) ids_add(out, broker->id);
    }
    ids_fini(&all);
}

static struct control_broker *make_live(struct sending *s, int32_t *count)
{
    struct context *context = s->context;
    struct arena *arena = &s->batch->arena;
    struct ids reachable = {0};

    list_reachable(context, &reachable);
    struct control_broker *live =
        arena_zalloc(arena, (size_t)(reachable.count + 1) * sizeof(*live));
    int32_t n = 0;
    for (int32_t i = 0; i < reachable.count; i++)
        live[n++] = broker_in(arena, context_broker(context, reachable.at[i]));
    if (context->config.is_in_live_brokers) {
        struct broker self = {
            .id = context->config.id, .endpoints = &context->config.self, .endpoint_count = 1};
        live[n++] = broker_in(arena, &self);
    }
    ids_fini(&reachable);
    *count = n;
    return live;
}

static void add_updates(struct sending *s, const struct ids *alive, const struct ids *suspect)
{
    struct outbox *outbox = s->context->outbox;
    int32_t count, live_count;

    if (outbox->update_to.count == 0) return;
    struct control_item *items = make_items(s, &outbox->updates, true, false, &count);
    struct control_broker *live = make_live(s, &live_count);
    for (int32_t i = 0; i < alive->count; i++) {
        if (!ids_have(&outbox->update_to, alive->at[i])) continue;
        struct control *control = add_control(s, CONTROL_UPDATE_METADATA, alive->at[i]);
        control->items = items;
        control->count = count;
        control->live = live;
        control->live_count = live_count;
    }
    if (suspect->count == 0) return;
    items = make_items(s, &outbox->updates, true, true, &count);
    for (int32_t i = 0; i < suspect->count && count > 0; i++) {
        struct control *control = add_control(s, CONTROL_UPDATE_METADATA, suspect->at[i]);
        control->items = items;
        control->count = count;
        control->live = live;
        control->live_count = live_count;
    }
}

static void add_stop(struct sending *s, int32_t broker, bool ends_only)
{
    struct addressee *a = map_get(&s->context->outbox->addressees, map_int(&broker));
    int32_t count = 0;

    if (a == NULL || a->stop.by_partition.count == 0) return;
    struct control_item *items = make_items(s, &a->stop, false, ends_only, &count);
    if (count == 0) return;
    struct control *control = add_control(s, CONTROL_STOP_REPLICA, broker);
    control->items = items;
    control->count = count;
}

static void list_suspect(const struct context *context, struct ids *out)
{
    struct ids all = {0};

    context_broker_ids(context, &all);
    for (int32_t i = 0; i < all.count; i++)
        if (context_broker(context, all.at[i])->is_suspect) ids_add(out, all.at[i]);
    ids_fini(&all);
}

static void add_leader_and_isr(struct sending *s, int32_t broker)
{
    struct addressee *a = map_get(&s->context->outbox->addressees, map_int(&broker));

    if (a == NULL || a->leader_and_isr.by_partition.count == 0) return;
    struct control *control = add_control(s, CONTROL_LEADER_AND_ISR, broker);
    control->number = ++s->context->orders;
    map_each (entry, &a->leader_and_isr.by_partition) {
        struct partition *p = ((const struct entry *)entry->value)->partition;
        partition_hosted(p, broker)->order = control->number;
    }
    control->items = make_items(s, &a->leader_and_isr, false, false, &control->count);
    add_leaders(s, control);
}

void outbox_send(struct context *context)
{
    struct outbox *outbox = context->outbox;
    struct ids alive = {0};
    struct ids suspect = {0};

    if (outbox_is_empty(outbox)) return;
    context_alive(context, &alive);
    list_suspect(context, &suspect);

    struct control_batch *batch = ensure_zalloc(sizeof(*batch));
    arena_init(&batch->arena, SIZE_MAX);
    batch->at = arena_zalloc(&batch->arena, (size_t)(alive.count * 3 + suspect.count * 2 + 1) *
                                                sizeof(*batch->at));
    struct sending s = {.context = context, .batch = batch};
    map_init(&s.rendered);

    for (int32_t i = 0; i < alive.count; i++)
        add_leader_and_isr(&s, alive.at[i]);
    add_updates(&s, &alive, &suspect);
    for (int32_t i = 0; i < alive.count; i++)
        add_stop(&s, alive.at[i], false);
    for (int32_t i = 0; i < suspect.count; i++)
        add_stop(&s, suspect.at[i], true);
    map_fini(&s.rendered);
    ids_fini(&alive);
    ids_fini(&suspect);
    outbox_clear(outbox);
    if (batch->count == 0)
        outbox_batch_destroy(&batch);
    else
        context_effect(context, EFFECT_CONTROL)->batch = batch;
}

void outbox_tell_returning(struct context *context)
{
    struct ids to = {0};

    list_reachable(context, &to);
    struct control_batch *batch = ensure_zalloc(sizeof(*batch));
    arena_init(&batch->arena, SIZE_MAX);
    batch->at = arena_zalloc(&batch->arena, (size_t)(to.count + 1) * sizeof(*batch->at));
    struct sending s = {.context = context, .batch = batch};
    int32_t live_count;
    struct control_broker *live = make_live(&s, &live_count);
    for (int32_t i = 0; i < to.count; i++) {
        struct control *control = add_control(&s, CONTROL_UPDATE_METADATA, to.at[i]);
        control->live = live;
        control->live_count = live_count;
    }
    ids_fini(&to);
    context_effect(context, EFFECT_CONTROL)->batch = batch;
}

void outbox_batch_destroy(struct control_batch **batch)
{
    if (*batch == NULL) return;
    arena_fini(&(*batch)->arena);
    free(*batch);
    *batch = NULL;
}

void outbox_print(struct buf *out, const struct control *control)
{
    static const char *const names[] = {"leader-and-isr", "update-metadata", "stop-replica"};

    buf_printf(out, "%s to %d:", names[control->kind], control->broker);
    for (int32_t i = 0; i < control->count; i++) {
        const struct control_item *item = &control->items[i];
        const struct control_partition *p = item->partition;

        buf_printf(out, " %.*s-%d", SLICE_ARGS(p->topic), p->partition);
        if (control->kind == CONTROL_STOP_REPLICA) {
            buf_printf(out, " epoch=%d%s", item->leader_epoch, item->is_delete ? " delete" : "");
            continue;
        }
        buf_printf(out, " leader=%d epoch=%d isr=", p->leader, p->leader_epoch);
        ids_print(out, &p->isr);
        if (p->is_recovering) buf_add_text(out, " recovering");
        if (control->kind == CONTROL_UPDATE_METADATA && p->offline.count > 0) {
            buf_add_text(out, " offline=");
            ids_print(out, &p->offline);
        }
        if (control->kind == CONTROL_LEADER_AND_ISR) {
            buf_add_text(out, " replicas=");
            ids_print(out, &p->replicas);
            if (p->adding.count > 0) buf_add_text(out, " adding="), ids_print(out, &p->adding);
            if (p->removing.count > 0)
                buf_add_text(out, " removing="), ids_print(out, &p->removing);
        }
        if (item->is_new) buf_add_text(out, " new");
    }
    if (control->kind == CONTROL_UPDATE_METADATA) {
        buf_add_text(out, " brokers=");
        for (int32_t i = 0; i < control->live_count; i++)
            buf_printf(out, "%s%d", i == 0 ? "" : ",", control->live[i].id);
    }
}
