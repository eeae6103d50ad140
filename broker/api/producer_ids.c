#include "broker/api/producer_ids.h"
#include "base/ensure.h"
#include "base/log.h"
#include "broker/api/forward.h"
#include "broker/api/table.h"
#include "cluster/level.h"
#include "cluster/options.h"
#include "wire/codec.h"
#include "wire/gen/allocate_producer_ids.h"
#include "wire/gen/init_producer_id.h"
#include "wire/protocol.h"
#include "zk/recipes.h"
#include <stdio.h>
#include <stdlib.h>

#define WAIT_MS         2000 /* of a request, for a block */
#define RETRY_MS        50
#define RETRY_MS_MAX    1000
#define ARENA_BYTES_MAX 4096

struct block_of_ids {
    int64_t next, end; /* none left: equal */
    int64_t len;
};

struct producer_ids {
    struct api_shard *control;
    struct block_of_ids now, ahead;
    bool is_asking, is_stopping;
    int retry_ms;
    struct forward_call call;
    struct recipe *recipe;
    struct zk *zk;
    struct timer retry;  /* of the allocation */
    struct list waiting; /* requests, first come first served */
    struct timer late;   /* of the first that waits */
    struct arena arena;
};

static void ask(struct producer_ids *ids);

/* ---- requests ---- */

static void reply(struct request *request, int16_t code, int64_t id)
{
    struct init_producer_id_response out;

    wire_default(&init_producer_id_response_wire, &out);
    out.error_code = code;
    out.producer_id = code == KAFKA_NONE ? id : -1;
    out.producer_epoch = code == KAFKA_NONE ? 0 : -1;
    request_reply(request, &out);
}

static struct instant deadline_of(const struct request *request)
{
    return instant_add_ms(request->arrived, WAIT_MS);
}

static void arm_late(struct producer_ids *ids)
{
    struct list_node *first = list_first(&ids->waiting);

    timer_arm(ids->control->shard, &ids->late,
              first == NULL ? INSTANT_NEVER : deadline_of(list_entry(first, struct request, node)));
}

static bool has_id(struct producer_ids *ids)
{
    if (ids->now.next == ids->now.end && ids->ahead.next < ids->ahead.end) {
        ids->now = ids->ahead;
        ids->ahead = (struct block_of_ids){0};
    }
    return ids->now.next < ids->now.end;
}

static void serve(struct producer_ids *ids)
{
    struct list_node *node;

    while (has_id(ids) && (node = list_pop(&ids->waiting)) != NULL)
        reply(list_entry(node, struct request, node), KAFKA_NONE, ids->now.next++);
    arm_late(ids);
    int64_t left = ids->now.end - ids->now.next;
    if (left * 10 <= ids->now.len && ids->ahead.next == ids->ahead.end) ask(ids);
}

static void on_late(struct timer *timer)
{
    struct producer_ids *ids = list_entry(timer, struct producer_ids, late);
    struct list_node *node;

    while ((node = list_first(&ids->waiting)) != NULL) {
        struct request *request = list_entry(node, struct request, node);
        if (!instant_reached(shard_now(ids->control->shard), deadline_of(request))) break;
        list_remove(node);
        reply(request, KAFKA_COORDINATOR_LOAD_IN_PROGRESS, -1);
    }
    arm_late(ids);
}

/* ---- blocks ---- */

static void got_block(struct producer_ids *ids, int64_t first, int64_t count)
{
    ids->retry_ms = 0;
    ids->ahead = (struct block_of_ids){first, first + count, count};
    log_info("broker", "producer-ids", "first=%lld count=%lld", (long long)first, (long long)count);
    serve(ids);
}

static void got_none(struct producer_ids *ids, const char *why)
{
    ids->retry_ms = ids->retry_ms == 0 ? RETRY_MS : ids->retry_ms * 2;
    if (ids->retry_ms > RETRY_MS_MAX) ids->retry_ms = RETRY_MS_MAX;
    if (ids->is_stopping) return;
    log_warn("broker", "producer-ids-failed", "why=%s retry_ms=%d", why, ids->retry_ms);
    timer_arm(ids->control->shard, &ids->retry,
              instant_add_ms(shard_now(ids->control->shard), ids->retry_ms));
}

static void on_retry(struct timer *timer)
{
    ask(list_entry(timer, struct producer_ids, retry));
}

static void write_request(struct peer_call *peer, int version, struct buf *body)
{
    struct forward_call *call = list_entry(peer, struct forward_call, call);
    const struct api_shard *control = list_entry(call, struct producer_ids, call)->control;
    struct allocate_producer_ids_request out;

    wire_default(&allocate_producer_ids_request_wire, &out);
    out.broker_id = control->process->broker_id;
    out.broker_epoch = control->broker_epoch;
    wire_write(body, version, &allocate_producer_ids_request_wire, &out);
}

static void prepare(struct forward_call *call, bool is_broker)
{
    (void)is_broker;
    call->call.api_key = API_ALLOCATE_PRODUCER_IDS;
    call->call.version_min = call->call.version_max = 0;
    call->call.write = write_request;
}

static void on_answer(struct forward_call *call, enum err err, struct slice answer)
{
    struct producer_ids *ids = list_entry(call, struct producer_ids, call);
    struct allocate_producer_ids_response in = {0};
    char code[16];

    arena_reset(&ids->arena);
    if (err == ERR_OK)
        err = wire_read(answer, 0, &allocate_producer_ids_response_wire, &ids->arena, &in);
    if (err == ERR_OK && in.error_code == KAFKA_NOT_CONTROLLER && !ids->is_stopping) {
        forward_again(call);
        return;
    }
    ids->is_asking = false;
    snprintf(code, sizeof(code), "%d", in.error_code);
    if (err != ERR_OK)
        got_none(ids, err_name(err));
    else if (in.error_code != KAFKA_NONE)
        got_none(ids, code);
    else if (in.producer_id_start < 0 || in.producer_id_len <= 0 ||
             in.producer_id_start > INT64_MAX - in.producer_id_len)
        got_none(ids, err_name(ERR_CORRUPT));
    else
        got_block(ids, in.producer_id_start, in.producer_id_len);
}

static void on_taken(void *owner, enum err err, int64_t first, int64_t last)
{
    struct producer_ids *ids = owner;

    ids->recipe = NULL;
    ids->is_asking = false;
    if (err == ERR_OK)
        got_block(ids, first, last - first + 1);
    else
        got_none(ids, err_name(err));
}

static void ask(struct producer_ids *ids)
{
    struct api_shard *control = ids->control;

    if (ids->is_asking || ids->is_stopping || heap_has(&ids->retry.node)) return;
    if (options_level(control->process->options) >= LEVEL_3_0_IV0) {
        ids->call = (struct forward_call){.lane = FORWARD_PROMPT,
                                          .deadline = INSTANT_NEVER,
                                          .prepare = prepare,
                                          .done = on_answer};
        forward_send(control->forward, &ids->call);
    } else if (ids->zk != NULL) {
        ids->recipe = recipe_producer_ids(ids->zk, control->process->broker_id, on_taken, ids);
    } else {
        return; /* with the next session */
    }
    ids->is_asking = true;
}

/* ---- life ---- */

struct producer_ids *producer_ids_create(struct api_shard *control)
{
    struct producer_ids *ids = ensure_zalloc(sizeof(*ids));

    ids->control = control;
    list_init(&ids->waiting);
    arena_init(&ids->arena, ARENA_BYTES_MAX);
    ids->retry.fire = on_retry;
    ids->late.fire = on_late;
    control->producer_ids = ids;
    return ids;
}

void producer_ids_set_zk(struct producer_ids *ids, struct zk *zk)
{
    ids->zk = zk;
    if (zk != NULL && !list_is_empty(&ids->waiting)) ask(ids);
}

void producer_ids_stop(struct producer_ids *ids)
{
    struct list_node *node;

    ids->is_stopping = true;
    recipe_cancel(&ids->recipe);
    timer_cancel(ids->control->shard, &ids->retry);
    timer_cancel(ids->control->shard, &ids->late);
    while ((node = list_pop(&ids->waiting)) != NULL)
        reply(list_entry(node, struct request, node), KAFKA_COORDINATOR_LOAD_IN_PROGRESS, -1);
}

void producer_ids_destroy(struct producer_ids **ids)
{
    struct producer_ids *gone = *ids;

    if (gone == NULL) return;
    recipe_cancel(&gone->recipe);
    timer_cancel(gone->control->shard, &gone->retry);
    timer_cancel(gone->control->shard, &gone->late);
    arena_fini(&gone->arena);
    free(gone);
    *ids = NULL;
}

/* ---- the API ---- */

/* Transactional ids have no coordinator here. */
static int16_t check(const struct request *request)
{
    const struct init_producer_id_request *in = request->body;

    if ((in->producer_id == -1) != (in->producer_epoch == -1)) return KAFKA_INVALID_REQUEST;
    if (slice_is_null(in->transactional_id)) return KAFKA_NONE;
    return in->transactional_id.len == 0 ? KAFKA_INVALID_REQUEST : KAFKA_NOT_COORDINATOR;
}

static void handle(struct request *request)
{
    struct producer_ids *ids = request->at->producer_ids;
    int16_t code = check(request);

    if (code == KAFKA_NONE && ids->is_stopping) code = KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    if (code != KAFKA_NONE) {
        reply(request, code, -1);
        return;
    }
    list_push(&ids->waiting, &request->node);
    serve(ids);
}

static const void *refuse(struct request *request, int16_t code)
{
    struct init_producer_id_response *out = arena_zalloc(&request->arena, sizeof(*out));

    wire_default(&init_producer_id_response_wire, out);
    out->error_code = code;
    out->producer_id = out->producer_epoch = -1;
    return out;
}

const struct api init_producer_id_api = {
    .key = API_INIT_PRODUCER_ID,
    .version_min = 0,
    .version_max = 5,
    .request_wire = &init_producer_id_request_wire,
    .response_wire = &init_producer_id_response_wire,
    .request_size = sizeof(struct init_producer_id_request),
    .place = API_ON_CONTROL,
    .handle = handle,
    .refuse = refuse,
};
