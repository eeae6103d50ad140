/* The orderly end: hand over leadership, stop listening, let connections go, give everything back
 * that waits, close the logs clean, end the session. Each step has its time; the next comes anyway.
 */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/api/alter.h"
#include "broker/api/control.h"
#include "broker/api/forward.h"
#include "broker/api/orders.h"
#include "broker/broker_private.h"
#include "cluster/image.h"
#include "wire/gen/controlled_shutdown.h"
#include "wire/gen/protocol.h"
#include <signal.h>

#define STEP_MS                      30000
#define STEP_LONG_MS                 600000 /* syncing every log of a large broker takes its time */
#define NO_CONTROLLER_MS             1000
#define LOOK_MS                      50 /* between two looks whether other brokers live */

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ---- controlled shutdown ---- */

static void attempt(struct broker *broker);
static void await_retry(struct broker *broker);

static int shutdown_version(const struct broker *broker)
{
    enum level level = options_level(broker->options);

    return level < LEVEL_0_9_0 ? 0 : level < LEVEL_2_2_IV0 ? 1 : level < LEVEL_2_4_IV1 ? 2 : 3;
}

static void write_shutdown(struct peer_call *peer, int version, struct buf *body)
{
    struct forward_call *call = CONTAINER(peer, struct forward_call, call);
    struct broker *broker = CONTAINER(call, struct broker, shutdown_call);
    struct controlled_shutdown_request out;

    wire_default(&controlled_shutdown_request_wire, &out);
    out.broker_id = broker->process.broker_id;
    out.broker_epoch = broker->main->api.broker_epoch;
    wire_write(body, version, &controlled_shutdown_request_wire, &out);
}

static void prepare_shutdown(struct forward_call *call, bool is_broker)
{
    struct broker *broker = CONTAINER(call, struct broker, shutdown_call);

    (void)is_broker;
    call->call.api_key = API_CONTROLLED_SHUTDOWN;
    call->call.version_min = call->call.version_max = (int16_t)shutdown_version(broker);
    call->call.write = write_shutdown;
}

static void hand_over_ended(struct broker *broker)
{
    broker->hands_over = false;
    timer_cancel(&broker->main->shard, &broker->shutdown_retry);
    process_step_done(&broker->end, "controlled-shutdown");
}

/* Who is not registered leads nothing any more, and no controller answers it: the others have been
 * elected without its word. */
void stop_session_ended(struct broker *broker)
{
    broker->is_registered = false;
    if (!broker->hands_over) return;
    log_warn("broker", "controlled-shutdown-expired", "attempts=%d", broker->shutdown_attempts);
    hand_over_ended(broker);
}

static void on_shutdown_answer(struct forward_call *call, enum err err, struct slice answer)
{
    struct broker *broker = CONTAINER(call, struct broker, shutdown_call);
    struct controlled_shutdown_response in = {0};

    if (!broker->hands_over) return; /* late */
    arena_reset(&broker->arena);
    if (err == ERR_OK)
        err = wire_read(answer, call->call.version, &controlled_shutdown_response_wire,
                        &broker->arena, &in);
    broker->shutdown_unheard = err != ERR_OK || in.error_code == KAFKA_NOT_CONTROLLER;
    bool is_done =
        err == ERR_OK && in.error_code == KAFKA_NONE && in.remaining_partitions.count <= 0;
    log_info("broker", "controlled-shutdown", "attempt=%d why=%s code=%d remaining=%d",
             broker->shutdown_attempts, err_name(err), in.error_code,
             in.remaining_partitions.count);
    if (is_done || broker->shutdown_attempts >=
                       options_int(broker->options, OPTION_CONTROLLED_SHUTDOWN_MAX_RETRIES)) {
        if (!is_done) log_warn("broker", "controlled-shutdown-failed", "");
        hand_over_ended(broker);
        return;
    }
    broker->shutdown_retry_at =
        instant_add_ms(shard_now(&broker->main->shard),
                       options_long(broker->options, OPTION_CONTROLLED_SHUTDOWN_RETRY_BACKOFF_MS));
    await_retry(broker);
}

/* Someone could take over what this broker leads. */
static bool has_others(const struct broker *broker)
{
    const struct image *image = broker->main->api.image;
    int count = image == NULL ? 0 : image_broker_count(image);

    for (int i = 0; i < count; i++)
        if (image_broker_at(image, i)->id != broker->process.broker_id) return true;
    return false;
}

/* The others may all end meanwhile (a cluster that is stopped): then there is nothing to wait for.
 * Nor is there when nobody has heard us, and another controller is there. */
static void await_retry(struct broker *broker)
{
    if (broker->shutdown_unheard && forward_controller_id(broker->forward) >= 0 &&
        forward_controllers_found(broker->forward) != broker->shutdown_asked) {
        attempt(broker);
        return;
    }
    if (!has_others(broker)) {
        log_info("broker", "controlled-shutdown-alone", "attempts=%d", broker->shutdown_attempts);
        hand_over_ended(broker);
        return;
    }
    struct instant look = instant_add_ms(shard_now(&broker->main->shard), LOOK_MS);
    timer_arm(&broker->main->shard, &broker->shutdown_retry,
              instant_min(look, broker->shutdown_retry_at));
}

/* Without a controller that could answer an attempt is over soon: it counts all the same. */
static void attempt(struct broker *broker)
{
    int64_t timeout_ms = forward_controller_id(broker->forward) < 0
                             ? NO_CONTROLLER_MS
                             : options_int(broker->options, OPTION_CONTROLLER_SOCKET_TIMEOUT_MS);

    broker->shutdown_attempts++;
    broker->shutdown_asked = forward_controllers_found(broker->forward);
    broker->shutdown_call = (struct forward_call){
        .lane = FORWARD_PROMPT,
        .is_single = true, /* the attempts are counted here */
        .deadline = instant_add_ms(shard_now(&broker->main->shard), timeout_ms),
        .prepare = prepare_shutdown,
        .done = on_shutdown_answer};
    forward_send(broker->forward, &broker->shutdown_call);
}

static void on_shutdown_retry(struct timer *timer)
{
    struct broker *broker = CONTAINER(timer, struct broker, shutdown_retry);

    if (instant_reached(shard_now(&broker->main->shard), broker->shutdown_retry_at))
        attempt(broker);
    else
        await_retry(broker);
}

static void step_controlled_shutdown(void *owner)
{
    struct broker *broker = owner;

    broker->shutdown_retry.fire = on_shutdown_retry;
    if (!broker->is_registered ||
        !options_bool(broker->options, OPTION_CONTROLLED_SHUTDOWN_ENABLE)) {
        process_step_done(&broker->end, "controlled-shutdown");
        return;
    }
    if (broker->is_started) order_hand_over(&broker->main->api);
    broker->hands_over = true;
    attempt(broker);
}

/* ---- the others ---- */

static void done_stop_accepting(void *to)
{
    process_step_done(&((struct broker *)to)->end, "stop-accepting");
}

static void step_stop_accepting(void *owner)
{
    struct broker *broker = owner;

    broker->hands_over = false;
    timer_cancel(&broker->main->shard, &broker->shutdown_retry);
    if (!broker->is_started)
        done_stop_accepting(broker);
    else
        order_stop_accepting(&broker->main->api, done_stop_accepting, broker);
}

static void done_forget_controller(void *to)
{
    process_step_done(&((struct broker *)to)->end, "forget-controller");
}

static void step_forget_controller(void *owner)
{
    struct broker *broker = owner;

    alter_stop(broker->alter);
    producer_ids_stop(broker->producer_ids);
    forward_stop(broker->forward, done_forget_controller, broker);
}

static void done_control(void *to)
{
    process_step_done(&((struct broker *)to)->end, "control");
}

/* What a controller still asks would bring partitions to shards that close them. */
static void step_control(void *owner)
{
    struct broker *broker = owner;

    if (!broker->is_started)
        done_control(broker);
    else
        control_stop(broker->main->api.control, done_control, broker);
}

static void done_leave(void *to)
{
    process_step_done(&((struct broker *)to)->end, "leave");
}

static void step_leave(void *owner)
{
    struct broker *broker = owner;

    if (!broker->is_started)
        done_leave(broker);
    else
        order_leave(&broker->main->api, done_leave, broker);
}

static void done_close_partitions(void *to)
{
    process_step_done(&((struct broker *)to)->end, "close-partitions");
}

static void step_close_partitions(void *owner)
{
    struct broker *broker = owner;

    /* Before the start has ended the data shards do not run yet: nobody would answer. */
    if (!broker->are_shards_running)
        done_close_partitions(broker);
    else
        order_close_partitions(&broker->main->api, done_close_partitions, broker);
}

static void step_close_store(void *owner)
{
    struct broker *broker = owner;

    broker_stop_upkeep(broker);
    /* What was never loaded is not closed: no marker says that it is clean. */
    if ((broker->needs & NEED_LOGS) != 0)
        store_abandon(broker->store);
    else
        store_close(broker->store);
}

void stop_closed(void *owner)
{
    process_step_done(&((struct broker *)owner)->end, "close-store");
}

static void done_close_session(void *owner)
{
    process_step_done(&((struct broker *)owner)->end, "close-session");
}

static void step_close_session(void *owner)
{
    struct broker *broker = owner;

    start_end(broker);
    if (broker->zk == NULL)
        done_close_session(broker);
    else
        zk_close(&broker->zk, done_close_session, broker);
}

/* What the disk pool still does, and what shards have told each other on the way, comes home before
 * they end: slices that were read or sent are released at their owner, a reply that nobody waits
 * for is freed. A round has everything heard that was said before it, the next one the answers, the
 * third what these have caused. */
#define SETTLE_ROUNDS 3
#define SETTLE_MS     5

static void settle(void *to)
{
    struct broker *broker = to;
    struct shard *shard = &broker->main->shard;

    if (disk_backlog(broker->env, broker->disk) > 0) {
        broker->settled = 0;
        timer_arm(shard, &broker->settle_timer, instant_add_ms(shard_now(shard), SETTLE_MS));
    } else if (!broker->is_started || broker->settled++ == SETTLE_ROUNDS) {
        process_step_done(&broker->end, "settle");
    } else {
        order_settle(&broker->main->api, settle, broker);
    }
}

static void on_settle_timer(struct timer *timer)
{
    settle(CONTAINER(timer, struct broker, settle_timer));
}

static void step_settle(void *owner)
{
    struct broker *broker = owner;

    broker->settle_timer.fire = on_settle_timer;
    settle(broker);
}

static const struct process_step steps[] = {
    {"controlled-shutdown", step_controlled_shutdown, STEP_LONG_MS},
    {"stop-accepting", step_stop_accepting, STEP_MS},
    {"forget-controller", step_forget_controller, STEP_MS},
    {"control", step_control, STEP_MS},
    {"leave", step_leave, STEP_MS},
    {"close-partitions", step_close_partitions, STEP_LONG_MS},
    {"close-store", step_close_store, STEP_LONG_MS},
    {"close-session", step_close_session, STEP_MS},
    {"settle", step_settle, STEP_MS},
};

static void on_ended(void *owner)
{
    struct broker *broker = owner;

    log_info("broker", "stopped", "id=%d", broker->process.broker_id);
    /* What a step left behind began still uses the broker: nothing is given back then. */
    if (broker->end.has_left_behind && broker->result == ERR_OK) broker->result = ERR_TIMED_OUT;
    if (broker->takes_signals) process_signals_close(&broker->signals);
    shard_stop(&broker->main->shard);
}

void broker_stop(struct broker *broker)
{
    if (broker->is_stopping) return;
    broker->is_stopping = true;
    log_info("broker", "stopping", "id=%d", broker->process.broker_id);
    process_notify("STOPPING=1");
    process_end_start(&broker->end, &broker->main->shard, steps,
                      (int)(sizeof(steps) / sizeof(steps[0])), broker, on_ended);
}

static void on_signal(struct process_signals *signals, int number)
{
    struct broker *broker = CONTAINER(signals, struct broker, signals);

    if (number == SIGHUP) return;
    log_info("broker", "signal", "number=%d", number);
    broker_stop(broker);
}

enum err stop_listen(struct broker *broker)
{
    if (!broker->takes_signals) return ERR_OK;
    process_watchdog_start(&broker->watchdog, &broker->main->shard);
    return process_signals_open(&broker->signals, &broker->main->shard, on_signal);
}
