/* What each of the three does, in steps; the queue that keeps them in order. The image that an
 * UpdateMetadata makes is in update.c. */
#include "broker/api/control.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/planted.h"
#include "base/text.h"
#include "broker/api/alter_log_dirs.h"
#include "broker/api/autocreate.h"
#include "broker/api/codes.h"
#include "broker/api/orders.h"
#include "broker/api/table.h"
#include "broker/api/topic_configs.h"
#include "broker/api/update.h"
#include "broker/log/store.h"
#include "cluster/image.h"
#include "wire/gen/leader_and_isr.h"
#include "wire/gen/stop_replica.h"
#include "wire/gen/update_metadata.h"
#include "wire/protocol.h"
#include <stdlib.h>

#define IMAGE_AWAITED_MS 300 /* the word of new leaders, behind the order to them */

struct control {
    struct api_shard *api;
    struct store *store;
    struct autocreate *autocreate;
    struct topic_configs *topic_configs;
    struct image *image;
    struct list watchers;
    int32_t epoch; /* of the latest controller heard of */
    struct control_heard heard;
    int32_t controller_process;

    bool lacks_logs, stands_back; /* see control.h */

    struct list queue;       /* requests that wait for their turn */
    struct request *current; /* or NULL */
    struct post next;

    bool is_stopping;
    void (*stopped)(void *to); /* waits for `current`; or NULL */
    void *stopped_to;
};

/* What a LeaderAndIsr or StopReplica asks of one partition, in the order of the request; and the
 * same sorted by shard, as the orders carry it. In the request's arena. */
struct item {
    struct slice topic;
    struct uuid topic_id;
    int32_t partition;
    bool is_new; /* LeaderAndIsr says so */
    int shard;
    int place; /* in `changes` or `stops` */
    int16_t code;
};

struct work {
    struct control *control;
    struct request *request;
    struct item *items;
    int count, capacity;
    struct replica_change *changes;
    struct replica_stop *stops;
    struct order_control *orders; /* one per shard */
    int waiting;
    struct store_new_log *logs; /* to be made */
    int *log_items;             /* for which item each */
    struct log_config *configs;
    int log_count;
    int *stray_items; /* of which items there is a log of another topic of that name */
    int stray_count;
    struct work *cause;                 /* the LeaderAndIsr for which such logs are put aside */
    void (*ordered)(struct work *work); /* every shard has done its part */
};

/* ---- one after the other ---- */

static void control_next(struct control *control);
static void handle_now(struct request *request);

static void on_next(struct post *post)
{
    control_next((struct control *)(void *)((char *)post - offsetof(struct control, next)));
}

void control_enqueue(struct request *request)
{
    struct control *control = request->at->control;

    if (control->is_stopping) {
        request_close(request); /* as if we had ended already: it comes again where it is wanted */
        return;
    }
    list_push(&control->queue, &request->node);
    control_next(control);
}

static void control_next(struct control *control)
{
    if (control->current != NULL) return;
    struct list_node *node = list_pop(&control->queue);
    if (node == NULL) return;
    control->current = list_entry(node, struct request, node);
    handle_now(control->current);
}

void control_done(struct control *control)
{
    control->current = NULL;
    if (control->is_stopping) {
        if (control->stopped != NULL) control->stopped(control->stopped_to);
        control->stopped = NULL;
        return;
    }
    shard_post(control->api->shard, &control->next);
}

static void tell_watchers(struct control *control)
{
    list_each (node, &control->watchers) {
        struct image_watcher *watcher = list_entry(node, struct image_watcher, node);
        watcher->changed(watcher);
    }
}

void control_stop(struct control *control, void (*stopped)(void *to), void *to)
{
    struct list_node *node;

    control->is_stopping = true;
    while ((node = list_pop(&control->queue)) != NULL)
        request_close(list_entry(node, struct request, node));
    tell_watchers(control);
    if (control->current == NULL) {
        stopped(to);
        return;
    }
    control->stopped = stopped;
    control->stopped_to = to;
}

bool control_is_stopping(const struct control *control)
{
    return control->is_stopping;
}

static void finish(struct request *request, const void *body)
{
    struct control *control = request->at->control;

    request_reply(request, body);
    control_done(control);
}

static void refuse(struct request *request, int16_t code)
{
    struct control *control = request->at->control;

    request_fail(request, code);
    control_done(control);
}

/* ---- epochs ---- */

int16_t control_check_epochs(int64_t own_broker_epoch, int64_t broker_epoch, int32_t *seen,
                             int32_t controller_epoch)
{
    /* A larger one is accepted: the controller may know of our new registration before we do. */
    if (broker_epoch != -1 && broker_epoch < own_broker_epoch && !planted(broker_epoch_ignored))
        return KAFKA_STALE_BROKER_EPOCH;
    if (controller_epoch < *seen && !planted(old_controller_epoch))
        return KAFKA_STALE_CONTROLLER_EPOCH;
    *seen = controller_epoch;
    return KAFKA_NONE;
}

static int16_t check_epochs(struct request *request, int32_t controller_id, int64_t broker_epoch,
                            int32_t controller_epoch)
{
    struct control *control = request->at->control;
    int16_t code = control_check_epochs(request->at->broker_epoch, broker_epoch, &control->epoch,
                                        controller_epoch);

    if (code != KAFKA_NONE)
        log_warn("broker", "control-request-refused",
                 "api=%s controller=%d epoch=%d known=%d broker_epoch=%lld own=%lld code=%d",
                 api_info_name(request->api->key), controller_id, controller_epoch, control->epoch,
                 (long long)broker_epoch, (long long)request->at->broker_epoch, code);
    return code;
}

bool control_is_late(struct control_heard *last, int32_t controller_epoch, int64_t broker_epoch,
                     int32_t correlation_id)
{
    /* Both are counted in 31 bits at least, and begin again behind the largest. */
    uint32_t behind = ((uint32_t)last->correlation_id - (uint32_t)correlation_id) & INT32_MAX;
    bool is_same = last->controller_epoch == controller_epoch && last->broker_epoch == broker_epoch;

    if (broker_epoch < 0) return false;
    if (is_same && behind > 0 && behind < UINT32_C(1) << 30) return true;
    *last = (struct control_heard){controller_epoch, broker_epoch, correlation_id};
    return false;
}

/* It is not answered, as nobody waits for it. */
static bool is_late(struct request *request, int64_t broker_epoch, int32_t controller_epoch)
{
    struct control *control = request->at->control;

    if (!control_is_late(&control->heard, controller_epoch, broker_epoch, request->correlation_id))
        return false;
    log_info("broker", "control-request-late", "api=%s controller_epoch=%d",
             api_info_name(request->api->key), controller_epoch);
    request_close(request);
    control_done(control);
    return true;
}

/* Until it is registered a broker cannot tell whether an order is for it or for its earlier life,
 * which may have had records that this one has lost (KIP-380). The controller tries again on
 * another connection: by then the epoch tells. */
static bool is_early(struct request *request)
{
    struct control *control = request->at->control;

    if (request->at->broker_epoch >= 0) return false;
    log_info("broker", "control-request-early", "api=%s", api_info_name(request->api->key));
    request_close(request);
    control_done(control);
    return true;
}

/* Kafka's code for what became of one partition. */
static int16_t partition_code(enum err err)
{
    switch ((int)err) {
    case ERR_STALE_CONTROLLER_EPOCH:
        return KAFKA_STALE_CONTROLLER_EPOCH;
    case ERR_FULL:
    case ERR_TOO_MANY:
        return KAFKA_KAFKA_STORAGE_ERROR;
    default:
        return codes_of_partition(err, false);
    }
}

/* ---- work: the partitions of a request, by shard ---- */

static struct work *work_create(struct request *request, int capacity,
                                void (*ordered)(struct work *work))
{
    struct arena *arena = &request->arena;
    struct work *work = arena_zalloc(arena, sizeof(*work));

    work->control = request->at->control;
    work->request = request;
    work->capacity = capacity;
    work->ordered = ordered;
    work->items = arena_zalloc(arena, sizeof(*work->items) * (size_t)(capacity + 1));
    return work;
}

static struct item *work_add(struct work *work, struct slice topic, int32_t partition)
{
    ensure(work->count < work->capacity);
    struct item *item = &work->items[work->count++];

    item->topic = topic;
    item->partition = partition;
    item->shard = partition_shard(topic, partition, work->request->at->process->shards);
    return item;
}

/* Gives each item its place among those of its shard, in the order of the request. */
static void work_place(struct work *work)
{
    int shards = work->request->at->process->shards;
    struct arena *arena = &work->request->arena;
    int *at = arena_zalloc(arena, sizeof(*at) * (size_t)(shards + 1));

    for (int i = 0; i < work->count; i++)
        at[work->items[i].shard + 1]++;
    for (int s = 0; s < shards; s++)
        at[s + 1] += at[s];
    work->orders = arena_zalloc(arena, sizeof(*work->orders) * (size_t)shards);
    for (int i = 0; i < work->count; i++)
        work->items[i].place = at[work->items[i].shard]++;
}

static void on_order_done(struct order_control *order)
{
    struct work *work = order->owner;

    if (--work->waiting == 0) work->ordered(work);
}

static void work_order(struct work *work)
{
    int shards = work->request->at->process->shards;
    struct api_shard *api = work->request->at;

    work->waiting = 1;
    for (int i = 0; i < work->count; i++) {
        struct order_control *order = &work->orders[work->items[i].shard];
        int place = work->items[i].place;
        order->done = on_order_done;
        order->owner = work;
        if (work->changes != NULL) {
            if (order->call.change_count++ == 0) order->call.changes = &work->changes[place];
        } else {
            if (order->call.stop_count++ == 0) order->call.stops = &work->stops[place];
        }
    }
    for (int s = 0; s < shards; s++) {
        if (work->orders[s].done == NULL) continue;
        work->waiting++;
        order_control(api, s, &work->orders[s]);
    }
    if (--work->waiting == 0) work->ordered(work);
}

/* ---- LeaderAndIsr ---- */

static int count_leader_and_isr(const struct leader_and_isr_request *in)
{
    int64_t count = in->ungrouped_partition_states.count;

    if (count < 0) count = 0;
    for (int32_t t = 0; t < in->topic_states.count; t++)
        if (in->topic_states.at[t].partition_states.count > 0)
            count += in->topic_states.at[t].partition_states.count;
    return (int)count;
}

static void want_log(struct work *work, const struct item *item)
{
    struct store_new_log *log = &work->logs[work->log_count];

    work->log_items[work->log_count++] = (int)(item - work->items);
    *log = (struct store_new_log){.topic = item->topic,
                                  .partition = item->partition,
                                  .topic_id = item->topic_id,
                                  .is_new = item->is_new};
}

/* Its topic was deleted, and another made under the name: ids are given once. So it is with what a
 * reassignment took from this broker while it was away. */
static bool is_stray(const struct log *log, struct uuid topic_id)
{
    struct uuid ours = log_topic_id(log);

    return !uuid_is_zero(topic_id) && !uuid_is_zero(ours) && !uuid_equal(topic_id, ours) &&
           !atomic_load(&log_directory(log)->is_offline);
}

static void fill_change(struct work *work, struct item *item,
                        const struct leader_and_isr_request_partition_state *state)
{
    struct replica_change *change = &work->changes[item->place];
    struct broker_ids replicas = {state->replicas.at, state->replicas.count};

    item->is_new = state->is_new;
    *change = (struct replica_change){
        .topic = item->topic,
        .topic_id = item->topic_id,
        .partition = item->partition,
        .leader = state->leader,
        .leader_epoch = state->leader_epoch,
        .partition_epoch = state->partition_epoch,
        .controller_epoch = state->controller_epoch,
        .replicas = state->replicas.at,
        .replica_count = state->replicas.count,
        .isr = state->isr.at,
        .isr_count = state->isr.count,
        .is_leader_alive = image_broker(work->control->image, state->leader) != NULL,
        .is_recovering = state->leader_recovery_state == LEADER_RECOVERING,
    };
    if (!text_is_topic_name(item->topic) || item->partition < 0) {
        change->log_err = ERR_INVALID; /* it names a directory */
        return;
    }
    if (!broker_ids_have(replicas, work->request->at->process->broker_id)) {
        change->log_err = ERR_NOT_FOUND;
        return;
    }
    change->log = store_find(work->control->store, item->topic, item->partition);
    change->future = store_find_future(work->control->store, item->topic, item->partition);
    /* A copy of a log that has been lost. It goes when its replica does, or moves. */
    if (change->future != NULL && is_stray(change->future, item->topic_id)) change->future = NULL;
    if (change->log == NULL)
        want_log(work, item);
    else if (is_stray(change->log, item->topic_id))
        work->stray_items[work->stray_count++] = (int)(item - work->items);
}

static void lisr_made(void *to)
{
    struct work *work = to;

    for (int i = 0; i < work->log_count; i++) {
        struct item *item = &work->items[work->log_items[i]];
        struct replica_change *change = &work->changes[item->place];
        struct store_new_log *made = &work->logs[i];
        change->log = made->log;
        change->log_err = made->err == ERR_EXISTS ? ERR_OK : made->err;
        if (change->log == NULL && change->log_err == ERR_OK) change->log_err = ERR_IO;
        if (change->log_err == ERR_FULL || change->log_err == ERR_TOO_MANY)
            work->control->lacks_logs = true;
        if (change->log == NULL)
            log_error("broker", "log-not-created", "topic=%.*s partition=%d why=%s",
                      SLICE_ARGS(item->topic), item->partition, err_name(made->err));
    }
    /* Also for logs that are here already: their topic may have changed while no shard had them. */
    const struct replica_change *before = NULL;
    struct topic_throttles throttles = {0};
    for (int i = 0; i < work->count; i++) {
        struct replica_change *change = &work->changes[work->items[i].place];
        bool is_same = before != NULL && slice_equal(before->topic, change->topic);
        if (!is_same) {
            topic_throttles_fini(&throttles);
            topic_configs_throttles(work->control->topic_configs, change->topic, &throttles);
        }
        change->is_leader_throttled = throttled_has(&throttles.leader, change->partition);
        change->is_follower_throttled = throttled_has(&throttles.follower, change->partition);
        if (is_same) {
            change->config = before->config;
            change->min_insync = before->min_insync;
            continue;
        }
        struct log_config *config = arena_zalloc(&work->request->arena, sizeof(*config));
        topic_configs_get(work->control->topic_configs, change->topic, config, &change->min_insync);
        change->config = config;
        before = change;
    }
    topic_throttles_fini(&throttles);
    work_order(work);
}

static void lisr_configured(void *to)
{
    struct work *work = to;

    if (--work->waiting > 0) return;
    work->configs =
        arena_zalloc(&work->request->arena, sizeof(*work->configs) * (size_t)(work->log_count + 1));
    for (int i = 0; i < work->log_count; i++) {
        int32_t min_insync;
        topic_configs_get(work->control->topic_configs, work->logs[i].topic, &work->configs[i],
                          &min_insync);
        work->logs[i].config = &work->configs[i];
    }
    if (work->log_count == 0)
        lisr_made(work);
    else
        store_create_many(work->control->store, work->logs, work->log_count, lisr_made, work);
}

/* A log of this topic, not of an earlier one of its name, is here. */
static bool has_log_of(const struct control *control, const struct store_new_log *new)
{
    const struct image_topic *topic = image_topic(control->image, new->topic);
    const struct log *log;

    for (int i = 0; topic != NULL && i < image_topic_partition_count(topic); i++) {
        log = store_find(control->store, new->topic, image_topic_partition_at(topic, i).partition);
        if (log != NULL && !is_stray(log, new->topic_id)) return true;
    }
    return false;
}

/* What is created reads its configuration first, each topic once. */
static void lisr_configure(struct work *work)
{
    work->waiting = 1;
    for (int i = 0; i < work->log_count; i++) {
        if (i > 0 && slice_equal(work->logs[i].topic, work->logs[i - 1].topic)) continue;
        work->waiting++;
        (has_log_of(work->control, &work->logs[i]) ? topic_configs_read : topic_configs_read_new)(
            work->control->topic_configs, work->logs[i].topic, lisr_configured, work);
    }
    lisr_configured(work);
}

/* ---- logs of topics that are no more, where one of the same name is now ---- */

static void stop_ordered(struct work *work);

static void aside_finish(struct work *aside)
{
    struct work *work = aside->cause;

    for (int i = 0; i < aside->count; i++) {
        struct item *item = &work->items[work->stray_items[i]];
        struct replica_change *change = &work->changes[item->place];
        change->log = change->future = NULL;
        change->log_err = aside->stops[aside->items[i].place].err;
        if (change->log_err == ERR_OK) want_log(work, item);
    }
    lisr_configure(work);
}

/* As by a StopReplica, but that what it lets go is kept. */
static void put_strays_aside(struct work *work)
{
    struct work *aside = work_create(work->request, work->stray_count, stop_ordered);

    aside->cause = work;
    for (int i = 0; i < work->stray_count; i++) {
        const struct item *item = &work->items[work->stray_items[i]];
        work_add(aside, item->topic, item->partition);
    }
    work_place(aside);
    aside->stops =
        arena_zalloc(&work->request->arena, sizeof(*aside->stops) * (size_t)(aside->count + 1));
    for (int i = 0; i < aside->count; i++)
        aside->stops[aside->items[i].place] =
            (struct replica_stop){.topic = aside->items[i].topic,
                                  .partition = aside->items[i].partition,
                                  .leader_epoch = EPOCH_NONE,
                                  .is_delete = true};
    work_order(aside);
}

static void lisr_ordered(struct work *work);

static void await_image(const struct api_shard *api, struct instant until)
{
    if (api->process->image_awaited_ns != NULL)
        atomic_store(api->process->image_awaited_ns, until.ns);
}

/* It names a leader of a partition that the image knows under another, older one. */
static bool is_ahead_of_image(const struct work *work)
{
    for (int i = 0; i < work->count; i++) {
        const struct replica_change *change = &work->changes[work->items[i].place];
        const struct image_topic *topic = image_topic(work->control->image, change->topic);
        struct image_partition known;

        if (topic != NULL && image_topic_partition(topic, change->partition, &known) &&
            change->leader != known.leader && change->leader_epoch > known.leader_epoch)
            return true;
    }
    return false;
}

static void lisr_handle(struct request *request)
{
    const struct leader_and_isr_request *in = request->body;
    struct arena *arena = &request->arena;

    if (is_early(request)) return;
    int16_t code = check_epochs(request, in->controller_id, in->broker_epoch, in->controller_epoch);

    if (code != KAFKA_NONE) {
        refuse(request, code);
        return;
    }
    if (is_late(request, in->broker_epoch, in->controller_epoch)) return;
    int count = count_leader_and_isr(in);
    struct work *work = work_create(request, count, lisr_ordered);
    const struct leader_and_isr_request_partition_state **states =
        arena_zalloc(arena, sizeof(*states) * (size_t)(count + 1));
    for (int32_t p = 0; p < in->ungrouped_partition_states.count; p++) {
        const struct leader_and_isr_request_partition_state *state =
            &in->ungrouped_partition_states.at[p];
        states[work->count] = state;
        work_add(work, state->topic_name, state->partition_index);
    }
    for (int32_t t = 0; t < in->topic_states.count; t++) {
        const struct leader_and_isr_request_topic_state *topic = &in->topic_states.at[t];
        for (int32_t p = 0; p < topic->partition_states.count; p++) {
            states[work->count] = &topic->partition_states.at[p];
            work_add(work, topic->topic_name, topic->partition_states.at[p].partition_index)
                ->topic_id = topic->topic_id;
        }
    }
    work_place(work);
    work->changes = arena_zalloc(arena, sizeof(*work->changes) * (size_t)(count + 1));
    work->logs = arena_zalloc(arena, sizeof(*work->logs) * (size_t)(count + 1));
    work->log_items = arena_zalloc(arena, sizeof(*work->log_items) * (size_t)(count + 1));
    work->stray_items = arena_zalloc(arena, sizeof(*work->stray_items) * (size_t)(count + 1));
    for (int i = 0; i < count; i++)
        fill_change(work, &work->items[i], states[i]);
    if (is_ahead_of_image(work))
        await_image(request->at, instant_add_ms(shard_now(request->at->shard), IMAGE_AWAITED_MS));
    if (work->stray_count > 0)
        put_strays_aside(work);
    else
        lisr_configure(work);
}

/* The answer by its version: flat with names, or grouped by topic id. */
static void *lisr_answer(struct request *request, int16_t top, const struct work *work)
{
    const struct leader_and_isr_request *in = request->body;
    struct leader_and_isr_response *out = arena_zalloc(&request->arena, sizeof(*out));
    int count = count_leader_and_isr(in), i = 0;
    struct leader_and_isr_response_partition_error *errors =
        arena_zalloc(&request->arena, sizeof(*errors) * (size_t)(count + 1));

    wire_default(&leader_and_isr_response_wire, out);
    out->error_code = top;
    out->partition_errors.at = errors;
    out->partition_errors.count = count;
    for (int32_t p = 0; p < in->ungrouped_partition_states.count; p++, i++) {
        errors[i].topic_name = in->ungrouped_partition_states.at[p].topic_name;
        errors[i].partition_index = in->ungrouped_partition_states.at[p].partition_index;
    }
    int topics = in->topic_states.count < 0 ? 0 : in->topic_states.count;
    out->topics.at = arena_zalloc(&request->arena, sizeof(*out->topics.at) * (size_t)(topics + 1));
    out->topics.count = topics;
    for (int t = 0; t < topics; t++) {
        const struct leader_and_isr_request_topic_state *topic = &in->topic_states.at[t];
        out->topics.at[t].topic_id = topic->topic_id;
        out->topics.at[t].partition_errors.at = &errors[i];
        out->topics.at[t].partition_errors.count =
            topic->partition_states.count < 0 ? 0 : topic->partition_states.count;
        for (int32_t p = 0; p < topic->partition_states.count; p++, i++) {
            errors[i].topic_name = topic->topic_name;
            errors[i].partition_index = topic->partition_states.at[p].partition_index;
        }
    }
    ensure(i == count);
    for (i = 0; i < count; i++)
        errors[i].error_code = work == NULL ? top : work->items[i].code;
    return out;
}

static const void *lisr_refuse(struct request *request, int16_t code)
{
    return lisr_answer(request, code, NULL);
}

static void lisr_ordered(struct work *work)
{
    const struct leader_and_isr_request *in = work->request->body;
    int failed = 0;

    for (int i = 0; i < work->count; i++) {
        struct item *item = &work->items[i];
        item->code = partition_code(work->changes[item->place].err);
        if (work->changes[item->place].stands_back) work->control->stands_back = true;
        if (item->code != KAFKA_NONE) failed++;
    }
    log_info("broker", "leader-and-isr",
             "controller=%d controller_epoch=%d partitions=%d created=%d failed=%d",
             in->controller_id, in->controller_epoch, work->count, work->log_count, failed);
    finish(work->request, lisr_answer(work->request, KAFKA_NONE, work));
}

const struct api leader_and_isr_api = {
    .key = API_LEADER_AND_ISR,
    .version_min = 0,
    .version_max = 7,
    .request_wire = &leader_and_isr_request_wire,
    .response_wire = &leader_and_isr_response_wire,
    .request_size = sizeof(struct leader_and_isr_request),
    .is_cluster_action = true,
    .place = API_ON_CONTROL,
    .handle = control_enqueue,
    .refuse = lisr_refuse,
};

/* ---- StopReplica ---- */

static int count_stop_replica(const struct stop_replica_request *in)
{
    int64_t count = in->ungrouped_partitions.count < 0 ? 0 : in->ungrouped_partitions.count;

    for (int32_t t = 0; t < in->topics.count; t++)
        if (in->topics.at[t].partition_indexes.count > 0)
            count += in->topics.at[t].partition_indexes.count;
    for (int32_t t = 0; t < in->topic_states.count; t++)
        if (in->topic_states.at[t].partition_states.count > 0)
            count += in->topic_states.at[t].partition_states.count;
    return (int)count;
}

/* The three layouts as one list; before v3 there is one flag for all and no epoch. */
static struct replica_stop *list_stops(struct work *work, const struct stop_replica_request *in)
{
    struct replica_stop *stops =
        arena_zalloc(&work->request->arena, sizeof(*stops) * (size_t)(work->capacity + 1));

    for (int32_t p = 0; p < in->ungrouped_partitions.count; p++) {
        stops[work->count] =
            (struct replica_stop){.leader_epoch = EPOCH_NONE, .is_delete = in->delete_partitions};
        work_add(work, in->ungrouped_partitions.at[p].topic_name,
                 in->ungrouped_partitions.at[p].partition_index);
    }
    for (int32_t t = 0; t < in->topics.count; t++) {
        for (int32_t p = 0; p < in->topics.at[t].partition_indexes.count; p++) {
            stops[work->count] = (struct replica_stop){.leader_epoch = EPOCH_NONE,
                                                       .is_delete = in->delete_partitions};
            work_add(work, in->topics.at[t].name, in->topics.at[t].partition_indexes.at[p]);
        }
    }
    for (int32_t t = 0; t < in->topic_states.count; t++) {
        const struct stop_replica_request_topic_state *topic = &in->topic_states.at[t];
        for (int32_t p = 0; p < topic->partition_states.count; p++) {
            stops[work->count] =
                (struct replica_stop){.leader_epoch = topic->partition_states.at[p].leader_epoch,
                                      .is_delete = topic->partition_states.at[p].delete_partition};
            work_add(work, topic->topic_name, topic->partition_states.at[p].partition_index);
        }
    }
    return stops;
}

static void stop_handle(struct request *request)
{
    const struct stop_replica_request *in = request->body;

    if (is_early(request)) return;
    int16_t code = check_epochs(request, in->controller_id, in->broker_epoch, in->controller_epoch);

    if (code != KAFKA_NONE) {
        refuse(request, code);
        return;
    }
    if (is_late(request, in->broker_epoch, in->controller_epoch)) return;
    struct work *work = work_create(request, count_stop_replica(in), stop_ordered);
    struct replica_stop *stops = list_stops(work, in);
    work_place(work);
    work->stops = arena_zalloc(&request->arena, sizeof(*work->stops) * (size_t)(work->count + 1));
    for (int i = 0; i < work->count; i++) {
        struct item *item = &work->items[i];
        struct replica_stop *stop = &work->stops[item->place];
        *stop = stops[i];
        stop->topic = item->topic;
        stop->partition = item->partition;
    }
    work_order(work);
}

static const void *stop_answer(struct request *request, int16_t top, const struct work *work)
{
    struct stop_replica_response *out = arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&stop_replica_response_wire, out);
    out->error_code = top;
    int count = work == NULL ? 0 : work->count;
    out->partition_errors.at =
        arena_zalloc(&request->arena, sizeof(*out->partition_errors.at) * (size_t)(count + 1));
    out->partition_errors.count = count;
    for (int i = 0; i < count; i++) {
        out->partition_errors.at[i] = (struct stop_replica_response_partition_error){
            .topic_name = work->items[i].topic,
            .partition_index = work->items[i].partition,
            .error_code = work->items[i].code};
    }
    return out;
}

static const void *stop_refuse(struct request *request, int16_t code)
{
    return stop_answer(request, code, NULL);
}

static void stop_finish(struct work *work)
{
    const struct stop_replica_request *in = work->request->body;
    int deleted = 0;

    for (int i = 0; i < work->count; i++) {
        struct replica_stop *stop = &work->stops[work->items[i].place];
        work->items[i].code = partition_code(stop->err);
        if (stop->is_delete && stop->err == ERR_OK) deleted++;
    }
    log_info("broker", "stop-replica", "controller=%d controller_epoch=%d partitions=%d deleted=%d",
             in->controller_id, in->controller_epoch, work->count, deleted);
    finish(work->request, stop_answer(work->request, KAFKA_NONE, work));
}

static void stop_end(struct work *work)
{
    if (work->cause != NULL)
        aside_finish(work);
    else
        stop_finish(work);
}

struct deletion {
    struct work *work;
    struct replica_stop *stop;
};

static void on_deleted(void *to, enum err err)
{
    struct deletion *deletion = to;

    if (err != ERR_OK) deletion->stop->err = err;
    if (--deletion->work->waiting == 0) stop_end(deletion->work);
}

static void delete_log(struct deletion *deletion)
{
    struct store *store = deletion->work->control->store;
    struct log *log = store_find(store, deletion->stop->topic, deletion->stop->partition);

    if (log == NULL)
        on_deleted(deletion, ERR_OK);
    else if (deletion->work->cause != NULL)
        store_put_aside(store, &log, on_deleted, deletion);
    else
        store_delete(store, &log, on_deleted, deletion);
}

/* The copy first: after a crash in between it would be one of nothing. */
static void on_future_deleted(void *to, enum err err)
{
    struct deletion *deletion = to;

    if (err != ERR_OK) deletion->stop->err = err;
    delete_log(deletion);
}

/* Every shard has let go: what is to be deleted is now the store's alone. Also a log that no shard
 * had, left from a time when this broker was away. */
static void stop_ordered(struct work *work)
{
    struct deletion *deletions =
        arena_zalloc(&work->request->arena, sizeof(*deletions) * (size_t)(work->count + 1));

    work->waiting = 1;
    for (int i = 0; i < work->count; i++) {
        struct replica_stop *stop = &work->stops[work->items[i].place];
        struct store *store = work->control->store;
        if (!stop->is_delete || stop->err != ERR_OK) continue;
        struct log *log = store_find(store, stop->topic, stop->partition);
        struct log *future = store_find_future(store, stop->topic, stop->partition);
        if (log != NULL && atomic_load(&log_directory(log)->is_offline)) {
            stop->err = ERR_OFFLINE; /* no shard had it: it stands there */
            continue;
        }
        deletions[i] = (struct deletion){work, stop};
        work->waiting++;
        if (future != NULL && !atomic_load(&log_directory(future)->is_offline))
            store_delete_future(store, &future, on_future_deleted, &deletions[i]);
        else
            delete_log(&deletions[i]);
    }
    if (--work->waiting == 0) stop_end(work);
}

const struct api stop_replica_api = {
    .key = API_STOP_REPLICA,
    .version_min = 0,
    .version_max = 4,
    .request_wire = &stop_replica_request_wire,
    .response_wire = &stop_replica_response_wire,
    .request_size = sizeof(struct stop_replica_request),
    .is_cluster_action = true,
    .place = API_ON_CONTROL,
    .handle = control_enqueue,
    .refuse = stop_refuse,
};

/* ---- UpdateMetadata ---- */

static const void *update_refuse(struct request *request, int16_t code)
{
    struct update_metadata_response *out = arena_zalloc(&request->arena, sizeof(*out));

    out->error_code = code;
    return out;
}

static void on_image_held(void *to)
{
    struct request *request = to;

    finish(request, update_refuse(request, KAFKA_NONE));
}

/* What groups have committed of partitions that are no more is forgotten, and what a topic asked
 * for with its last partition. */
static void tell_gone(struct control *control, const struct image_change *change,
                      struct arena *arena)
{
    for (int t = 0; t < change->topic_count; t++) {
        const struct image_topic_change *topic = &change->topics[t];
        int32_t *gone = NULL;
        int count = 0;
        for (int i = 0; i < topic->partition_count; i++) {
            if (topic->partitions[i].leader != LEADER_DURING_DELETE) continue;
            if (gone == NULL)
                gone = arena_zalloc(arena, sizeof(*gone) * (size_t)topic->partition_count);
            gone[count++] = topic->partitions[i].partition;
        }
        if (count > 0) order_gone(control->api, topic->name, gone, count);
        if (count > 0 && image_topic(control->image, topic->name) == NULL)
            topic_configs_forget(control->topic_configs, topic->name);
    }
}

static void update_handle(struct request *request)
{
    const struct update_metadata_request *in = request->body;
    struct control *control = request->at->control;

    if (is_early(request)) return;
    int16_t code = check_epochs(request, in->controller_id, in->broker_epoch, in->controller_epoch);

    if (code != KAFKA_NONE) {
        refuse(request, code);
        return;
    }
    if (is_late(request, in->broker_epoch, in->controller_epoch)) return;
    struct image_change change;
    update_change(in, request->version, control->controller_process, &request->arena, &change);
    struct image *next = image_next(control->image, &change);
    struct image *old = control->image;
    control->image = next;
    control->api->image = next;
    image_release(&old);
    await_image(request->at, INSTANT_ZERO);
    log_debug("broker", "update-metadata",
              "controller=%d controller_epoch=%d topics=%d brokers=%d image=%llu",
              in->controller_id, in->controller_epoch, change.topic_count, change.broker_count,
              (unsigned long long)image_version(next));

    tell_watchers(control);
    tell_gone(control, &change, &request->arena);
    order_image(control->api, next, on_image_held, request);
}

const struct api update_metadata_api = {
    .key = API_UPDATE_METADATA,
    .version_min = 0,
    .version_max = 8,
    .request_wire = &update_metadata_request_wire,
    .response_wire = &update_metadata_response_wire,
    .request_size = sizeof(struct update_metadata_request),
    .is_cluster_action = true,
    .place = API_ON_CONTROL,
    .handle = control_enqueue,
    .refuse = update_refuse,
};

static void handle_now(struct request *request)
{
    if (request->api == &leader_and_isr_api)
        lisr_handle(request);
    else if (request->api == &stop_replica_api)
        stop_handle(request);
    else if (request->api == &alter_replica_log_dirs_api)
        alter_log_dirs_handle(request);
    else
        update_handle(request);
}

/* ---- life ---- */

struct control *control_create(struct api_shard *api)
{
    struct control *control = ensure_zalloc(sizeof(*control));

    control->api = api;
    control->controller_process = BROKER_NONE;
    control->image = image_create();
    control->next.run = on_next;
    list_init(&control->queue);
    list_init(&control->watchers);
    control->autocreate = autocreate_create(api);
    control->topic_configs = topic_configs_create(api);
    api->control = control;
    api->image = control->image;
    return control;
}

void control_destroy(struct control **control)
{
    struct control *gone = *control;

    if (gone == NULL) return;
    shard_unpost(&gone->next);
    autocreate_destroy(&gone->autocreate);
    topic_configs_destroy(&gone->topic_configs);
    image_release(&gone->image);
    gone->api->control = NULL;
    gone->api->image = NULL;
    free(gone);
    *control = NULL;
}

void control_set_store(struct control *control, struct store *store)
{
    control->store = store;
}

void control_set_controller_process(struct control *control, int32_t id)
{
    control->controller_process = id;
}

bool control_lacks_logs(const struct control *control)
{
    return control->lacks_logs;
}

void control_forget_lack(struct control *control)
{
    control->lacks_logs = false;
}

struct may_return {
    const struct control *control;
    bool is_any;
};

static void look_at_promise(void *to, struct log *log)
{
    struct may_return *may = to;
    const struct control *control = may->control;
    const struct image_topic *topic;
    struct image_partition now;
    struct log_config config;
    int32_t min_insync;

    if (may->is_any || log_promised(log) == 0) return;
    topic_configs_get(control->topic_configs, log_topic(log), &config, &min_insync);
    topic = image_topic(control->image, log_topic(log));
    may->is_any = config.leads_unclean ||
                  (topic != NULL && image_topic_partition(topic, log_partition(log), &now) &&
                   now.leader >= 0 && now.leader != control->api->process->broker_id &&
                   image_broker(control->image, now.leader) != NULL);
}

bool control_may_return(const struct control *control)
{
    struct may_return may = {control, false};

    if (control->stands_back) store_each(control->store, look_at_promise, &may);
    return may.is_any;
}

struct image *control_image(const struct control *control)
{
    return control->image;
}

struct store *control_store(const struct control *control)
{
    return control->store;
}

struct autocreate *control_autocreate(const struct control *control)
{
    return control->autocreate;
}

struct topic_configs *control_topic_configs(const struct control *control)
{
    return control->topic_configs;
}

int32_t control_epoch(const struct control *control)
{
    return control->epoch;
}

void control_watch(struct control *control, struct image_watcher *watcher)
{
    list_push(&control->watchers, &watcher->node);
}
