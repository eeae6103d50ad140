/* broker/api/alter_log_dirs.c - AlterReplicaLogDirs: replicas of this broker move to another of its
 * log directories. Answered when each move has begun, or has ended where it is not wanted any more.
 * Carried out in turn with the controller's requests, so that nothing else makes or takes away the
 * logs meanwhile. Rules: apis.md §11, storage.md §11. */
#include "broker/api/alter_log_dirs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "broker/api/control.h"
#include "broker/api/orders.h"
#include "broker/api/table.h"
#include "broker/log/store.h"
#include "wire/codec.h"
#include "wire/gen/alter_replica_log_dirs.h"
#include "wire/protocol.h"
#include <stdlib.h>

struct work;

/* One partition. */
struct item {
    struct work *work;
    struct slice topic, path;
    int32_t partition;
    int place; /* in the request */
    int16_t code;
    struct order_move order;
};

struct work {
    struct request *request;
    struct store *store;
    struct item *items; /* by topic and partition, each once */
    int count, waiting;
};

static int by_name(const void *a, const void *b)
{
    const struct item *one = a, *other = b;
    int order = slice_compare(one->topic, other->topic);

    if (order != 0) return order;
    return (one->partition > other->partition) - (one->partition < other->partition);
}

static int in_order(const void *a, const void *b)
{
    int order = by_name(a, b);

    return order != 0 ? order : ((const struct item *)a)->place - ((const struct item *)b)->place;
}

/* ---- the answer ---- */

static struct alter_replica_log_dirs_response *answer(struct request *request,
                                                      const struct work *work)
{
    struct arena *arena = &request->arena;
    struct alter_replica_log_dirs_response *out = arena_zalloc(arena, sizeof(*out));
    size_t room = (size_t)(work->count + 1);
    struct alter_replica_log_dirs_response_result_partition *parts =
        arena_zalloc(arena, sizeof(*parts) * room);

    wire_default(&alter_replica_log_dirs_response_wire, out);
    out->results.at = arena_zalloc(arena, sizeof(*out->results.at) * room);
    for (int i = 0; i < work->count; i++) {
        const struct item *item = &work->items[i];
        if (i == 0 || !slice_equal(item->topic, item[-1].topic)) {
            out->results.at[out->results.count].topic_name = item->topic;
            out->results.at[out->results.count++].partitions.at = &parts[i];
        }
        out->results.at[out->results.count - 1].partitions.count++;
        parts[i].partition_index = item->partition;
        parts[i].error_code = item->code;
    }
    return out;
}

static void finish(struct work *work)
{
    struct control *control = work->request->at->control;

    request_reply(work->request, answer(work->request, work));
    control_done(control);
}

static void item_done(struct item *item, int16_t code)
{
    struct work *work = item->work;

    item->code = code;
    if (code != KAFKA_NONE)
        log_warn("broker", "log-dir-not-altered", "topic=%.*s partition=%d path=%.*s code=%d",
                 SLICE_ARGS(item->topic), item->partition, SLICE_ARGS(item->path), code);
    if (--work->waiting == 0) finish(work);
}

/* ---- one partition ---- */

static void look(struct item *item);

static void on_deleted(void *to, enum err err)
{
    struct item *item = to;

    if (err != ERR_OK)
        item_done(item, KAFKA_KAFKA_STORAGE_ERROR);
    else
        look(item);
}

/* The shard has let go of it, or never had it. */
static void delete_future(struct item *item)
{
    struct work *work = item->work;
    struct log *future = store_find_future(work->store, item->topic, item->partition);

    if (future == NULL)
        look(item); /* the move was quicker */
    else if (atomic_load(&log_directory(future)->is_offline))
        item_done(item, KAFKA_KAFKA_STORAGE_ERROR);
    else
        store_delete_future(work->store, &future, on_deleted, item);
}

static void on_ended(struct order_move *order)
{
    delete_future(order->owner);
}

static void order(struct item *item, struct log *future, void (*done)(struct order_move *order))
{
    item->order = (struct order_move){
        .move = {.topic = item->topic, .partition = item->partition, .future = future},
        .done = done,
        .owner = item};
    order_move(item->work->request->at, &item->order);
}

static void on_refused_deleted(void *to, enum err err)
{
    struct item *item = to;

    (void)err;
    item_done(item, item->order.move.err == ERR_NOT_FOUND ? KAFKA_REPLICA_NOT_AVAILABLE
                                                          : KAFKA_KAFKA_STORAGE_ERROR);
}

static void on_begun(struct order_move *order)
{
    struct item *item = order->owner;
    struct log *future = order->move.future;

    if (order->move.err == ERR_OK)
        item_done(item, KAFKA_NONE);
    else if (atomic_load(&log_directory(future)->is_offline))
        item_done(item, KAFKA_KAFKA_STORAGE_ERROR);
    else
        store_delete_future(item->work->store, &future, on_refused_deleted, item);
}

static void on_created(void *to, enum err err, struct log *future)
{
    struct item *item = to;

    if (err == ERR_OK)
        order(item, future, on_begun);
    else
        item_done(item, KAFKA_KAFKA_STORAGE_ERROR);
}

static void look(struct item *item)
{
    struct store *store = item->work->store;
    struct log_dir *dir = store_find_dir(store, item->path);
    struct log *log = store_find(store, item->topic, item->partition);
    struct log *future = store_find_future(store, item->topic, item->partition);

    if (!store_may_have_future(item->topic, item->partition)) {
        item_done(item, KAFKA_INVALID_TOPIC_EXCEPTION);
    } else if (dir == NULL) {
        item_done(item, KAFKA_LOG_DIR_NOT_FOUND);
    } else if (atomic_load(&dir->is_offline) ||
               (log != NULL && atomic_load(&log_directory(log)->is_offline))) {
        item_done(item, KAFKA_KAFKA_STORAGE_ERROR);
    } else if (log == NULL) {
        if (text_is_topic_name(item->topic) && item->partition >= 0)
            store_prefer(store, item->topic, item->partition, dir);
        item_done(item, KAFKA_REPLICA_NOT_AVAILABLE);
    } else if (future != NULL && log_directory(future) == dir && log_directory(log) != dir) {
        item_done(item, KAFKA_NONE); /* it is on its way there */
    } else if (future != NULL) {
        order(item, NULL, on_ended);
    } else if (log_directory(log) == dir) {
        item_done(item, KAFKA_NONE);
    } else if (store_dirs_offline(store) > 0) {
        item_done(item, KAFKA_KAFKA_STORAGE_ERROR); /* there may be a future log in it */
    } else {
        store_create_future(store, log, dir, on_created, item);
    }
}

/* ---- the request ---- */

static int count_partitions(const struct alter_replica_log_dirs_request *in)
{
    int64_t count = 0;

    for (int32_t d = 0; d < in->dirs.count; d++)
        for (int32_t t = 0; t < in->dirs.at[d].topics.count; t++)
            if (in->dirs.at[d].topics.at[t].partitions.count > 0)
                count += in->dirs.at[d].topics.at[t].partitions.count;
    return (int)count;
}

/* Of a partition that is named more than once the last place counts. */
static void list_items(struct work *work, const struct alter_replica_log_dirs_request *in)
{
    int total = 0;

    work->items = arena_zalloc(&work->request->arena,
                               sizeof(*work->items) * (size_t)(count_partitions(in) + 1));
    for (int32_t d = 0; d < in->dirs.count; d++)
        for (int32_t t = 0; t < in->dirs.at[d].topics.count; t++)
            for (int32_t p = 0; p < in->dirs.at[d].topics.at[t].partitions.count; p++, total++)
                work->items[total] =
                    (struct item){.work = work,
                                  .topic = in->dirs.at[d].topics.at[t].name,
                                  .path = in->dirs.at[d].path,
                                  .partition = in->dirs.at[d].topics.at[t].partitions.at[p],
                                  .place = total};
    if (total > 1) qsort(work->items, (size_t)total, sizeof(*work->items), in_order);
    for (int i = 0; i < total; i++) {
        if (work->count > 0 && by_name(&work->items[work->count - 1], &work->items[i]) == 0)
            work->items[work->count - 1] = work->items[i];
        else
            work->items[work->count++] = work->items[i];
    }
}

void alter_log_dirs_handle(struct request *request)
{
    struct work *work = arena_zalloc(&request->arena, sizeof(*work));

    work->request = request;
    work->store = control_store(request->at->control);
    request->state = work;
    list_items(work, request->body);
    work->waiting = work->count + 1;
    for (int i = 0; i < work->count; i++)
        look(&work->items[i]);
    if (--work->waiting == 0) finish(work);
}

static const void *alter_refuse(struct request *request, int16_t code)
{
    struct work work = {.request = request};

    list_items(&work, request->body);
    for (int i = 0; i < work.count; i++)
        work.items[i].code = code;
    return answer(request, &work);
}

const struct api alter_replica_log_dirs_api = {
    .key = API_ALTER_REPLICA_LOG_DIRS,
    .version_min = 0,
    .version_max = 2,
    .request_wire = &alter_replica_log_dirs_request_wire,
    .response_wire = &alter_replica_log_dirs_response_wire,
    .request_size = sizeof(struct alter_replica_log_dirs_request),
    .place = API_ON_CONTROL,
    .handle = control_enqueue,
    .refuse = alter_refuse,
};
