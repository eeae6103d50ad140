#include "broker/broker_private.h"
#include "base/ensure.h"
#include "base/log.h"
#include "broker/api/control.h"
#include "broker/api/delete_records.h"
#include "broker/api/describe_producers.h"
#include "broker/api/fetch.h"
#include "broker/api/forward.h"
#include "broker/api/group_calls.h"
#include "broker/api/offsets.h"
#include "broker/api/orders.h"
#include "broker/api/produce.h"
#include "broker/api/topic_configs.h"
#include "broker/census.h"
#include "broker/pages.h"
#include "broker/replica/fetchers.h"
#include "cluster/image.h"
#include <stdlib.h>

#define DISK_THREADS_SOON  2
#define DISK_THREADS_MAX   64 /* of a class */
#define FRAMES_PENDING_MAX 128
#define REPLY_BYTES_MAX    (8 * 1024 * 1024)
#define MEMORY_BYTES_SPARE (64 * 1024 * 1024)
#define STORE_TICK_MS      30000
#define SEALED_MS          1000 /* recovery points after a roll */
#define FILES_SHARE        4 /* of the descriptors: for idle open segments; the rest for the others */
#define FILES_OPEN_MIN     16
/* Of connections that are not accepted yet: after a restart all clients come at once, and one that
 * finds the queue full tries again after a second. Kafka's default, 50, is too few for that. */
#define BACKLOG_MIN                  1024

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static const struct mailbox_handlers shard_handlers = {.call = messages_call,
                                                       .answer = messages_answer};

/* ---- what partitions ask of the process: on their shard ---- */

static bool is_alive(void *owner, int32_t broker)
{
    const struct api_shard *api = owner;

    return image_broker(api->image, broker) != NULL;
}

struct msg_dir {
    struct msg msg;
    struct log_dir *dir;
};

static void say_dir_failed(void *owner, struct log_dir *dir)
{
    struct api_shard *api = owner;
    struct msg_dir *say = ensure_zalloc(sizeof(*say));

    say->msg.type = MSG_LOG_DIR_FAILED;
    say->dir = dir;
    mailbox_call(api->shard->mailbox, (uint8_t)api->process->shards, &say->msg);
}

static void hear_dir_answer(void *owner, struct msg *msg)
{
    (void)owner;
    free(msg);
}

static void hear_dir_failed(void *owner, struct msg *msg)
{
    struct broker *broker = owner;

    store_fail_dir(broker->store, ((struct msg_dir *)(void *)msg)->dir, ERR_IO);
    mailbox_reply(broker->main->shard.mailbox, msg);
}

struct msg_moved {
    struct msg msg;
    struct broker *broker; /* the control shard's */
    int32_t partition;
    size_t topic_len;
    char topic[];
};

static void say_moved(void *owner, struct slice topic, int32_t partition)
{
    struct api_shard *api = owner;
    struct msg_moved *say = ensure_zalloc(sizeof(*say) + topic.len);

    say->msg.type = MSG_MOVED;
    say->partition = partition;
    say->topic_len = topic.len;
    memcpy(say->topic, topic.ptr, topic.len);
    mailbox_call(api->shard->mailbox, (uint8_t)api->process->shards, &say->msg);
}

static void on_moved(void *to)
{
    struct msg_moved *say = to;

    mailbox_reply(say->broker->main->shard.mailbox, &say->msg);
}

static void hear_moved(void *owner, struct msg *msg)
{
    struct msg_moved *say = (struct msg_moved *)(void *)msg;

    say->broker = owner;
    store_moved(say->broker->store, slice_of(say->topic, say->topic_len), say->partition, on_moved,
                say);
}

static void hear_moved_answer(void *owner, struct msg *msg)
{
    struct broker_shard *shard = owner;
    struct msg_moved *say = (struct msg_moved *)(void *)msg;

    partitions_moved_heard(shard->partitions, slice_of(say->topic, say->topic_len), say->partition);
    free(say);
}

static void say_save(void *owner)
{
    struct api_shard *api = owner;
    struct msg *say = ensure_zalloc(sizeof(*say));

    say->type = MSG_SAVE_WANTED;
    mailbox_call(api->shard->mailbox, (uint8_t)api->process->shards, say);
}

static void hear_save(void *owner, struct msg *msg)
{
    struct broker *broker = owner;

    store_checkpoint(broker->store, STORE_RECOVERY_POINTS | STORE_HIGH_WATERMARKS);
    mailbox_reply(broker->main->shard.mailbox, msg);
}

static void follow(void *owner, struct slice topic, int32_t partition, int32_t leader,
                   int32_t leader_epoch)
{
    const struct api_shard *api = owner;

    fetchers_follow(api->fetchers, topic, partition, leader, leader_epoch);
}

static void flushed(void *owner, struct slice topic, int32_t partition)
{
    const struct api_shard *api = owner;

    fetchers_flushed(api->fetchers, topic, partition);
}

/* Coordinators follow the leadership of the partitions that hold what they know. */
static void led(void *owner, struct slice topic, int32_t partition, bool is_leader,
                int32_t leader_epoch)
{
    const struct api_shard *api = owner;

    if (slice_is(topic, TOPIC_NAME_OFFSETS))
        groups_led(api->groups, partition, is_leader, leader_epoch);
}

static bool rack_of(void *owner, int32_t id, int listener, struct slice *out)
{
    const struct api_shard *api = owner;
    const struct image_broker *broker = image_broker(api->image, id);

    if (broker == NULL ||
        image_endpoint(broker, api->process->listeners->at[listener].name) == NULL)
        return false;
    *out = broker->rack;
    return true;
}

static const struct partitions_ops partitions_ops = {.propose = alter_propose,
                                                     .led = led,
                                                     .is_alive = is_alive,
                                                     .rack = rack_of,
                                                     .save = say_save,
                                                     .moved = say_moved,
                                                     .dir_failed = say_dir_failed,
                                                     .flushed = flushed,
                                                     .follow = follow};

/* Where followers find a leader: at its inter-broker listener. */
static bool leader_address(void *owner, int32_t id, struct net_address *out)
{
    const struct api_shard *api = owner;
    const struct listeners *listeners = api->process->listeners;
    const struct image_broker *broker = image_broker(api->image, id);
    const struct endpoint *endpoint =
        broker == NULL ? NULL : image_endpoint(broker, listeners->at[listeners->inter_broker].name);

    if (endpoint == NULL || endpoint->host.len >= sizeof(out->host)) return false;
    *out = (struct net_address){.port = (uint16_t)endpoint->port};
    memcpy(out->host, endpoint->host.ptr, endpoint->host.len);
    return true;
}

static int64_t own_epoch(void *owner)
{
    return ((const struct api_shard *)owner)->broker_epoch;
}

static const struct fetchers_ops fetchers_ops = {.address = leader_address,
                                                 .broker_epoch = own_epoch};

/* ---- a data shard ---- */

static void on_accepted(void *owner, struct conn *conn)
{
    struct listener_slot *slot = owner;

    api_accepted(&slot->owner->api, conn, slot->index);
}

static void hear_stop_accepting(void *owner, struct msg *msg)
{
    struct broker_shard *shard = owner;

    for (int i = 0; i < LISTENERS_MAX; i++)
        listener_close(&shard->listeners[i].listener);
    mailbox_reply(shard->shard.mailbox, msg);
}

static void set_limits(const struct options *options, int shards, struct conn_limits *limits)
{
    int64_t queued = options_long(options, OPTION_QUEUED_MAX_REQUEST_BYTES);
    int64_t idle_ms = options_long(options, OPTION_CONNECTIONS_MAX_IDLE_MS);

    limits->frame_bytes_max = (size_t)options_int(options, OPTION_SOCKET_REQUEST_MAX_BYTES);
    limits->frames_pending_max = FRAMES_PENDING_MAX;
    limits->reply_bytes_max = REPLY_BYTES_MAX;
    /* The largest frame must always fit: without a bound of the operator's there is room for it
     * and for what others send meanwhile. */
    limits->memory_bytes_max = limits->frame_bytes_max + MEMORY_BYTES_SPARE;
    if (queued > 0) {
        size_t share = (size_t)(queued / shards);
        limits->memory_bytes_max =
            share < limits->frame_bytes_max ? limits->frame_bytes_max : share;
    }
    limits->idle_ms_max = idle_ms < 0 ? 0 : idle_ms;
}

/* A socket's buffer that nobody asked for is the system's, which grows with what moves. Kafka's
 * defaults (100 KiB, 64 KiB) hold less than one request or answer. Receiving: produce of 100 KiB
 * batches costs 0.77 broker CPU s/GiB with them and 0.65 without, as each read of a part lets the
 * peer send the next, in our time on loopback, in a round trip elsewhere. Sending: a follower's
 * Fetch of 500 KiB leaves in three or four parts, each a turn of the shard and a wake-up of the
 * follower; without, leader and follower switch contexts 1.2 and 0.3 times for each batch instead
 * of 1.75 and 0.73, and spend 8 and 12 % less CPU (docs/performance.md, "Replication"). What a
 * client that does not read can pin stays small: the system's buffer begins below Kafka's and grows
 * only while the peer acknowledges, to tcp_wmem at most. */
static int32_t socket_buffer_bytes(const struct options *options, enum option option)
{
    return options_is_set(options, option) ? options_int(options, option) : -1;
}

static void fill_replica_settings(const struct options *options, struct replica_settings *out)
{
    replica_settings_init(out);
    out->replica_lag_time_ms_max = options_long(options, OPTION_REPLICA_LAG_TIME_MAX_MS);
    out->retention_check_ms = options_long(options, OPTION_LOG_RETENTION_CHECK_INTERVAL_MS);
    out->fetch_wait_ms_max = options_int(options, OPTION_REPLICA_FETCH_WAIT_MAX_MS);
    out->fetch_min_bytes = options_int(options, OPTION_REPLICA_FETCH_MIN_BYTES);
    out->fetch_max_bytes = options_int(options, OPTION_REPLICA_FETCH_MAX_BYTES);
    out->fetch_response_max_bytes = options_int(options, OPTION_REPLICA_FETCH_RESPONSE_MAX_BYTES);
    out->fetch_backoff_ms = options_int(options, OPTION_REPLICA_FETCH_BACKOFF_MS);
    out->fetch_socket_timeout_ms = options_int(options, OPTION_REPLICA_SOCKET_TIMEOUT_MS);
    out->fetchers = options_int(options, OPTION_NUM_REPLICA_FETCHERS);
    out->fetch_socket_buffer_bytes =
        socket_buffer_bytes(options, OPTION_REPLICA_SOCKET_RECEIVE_BUFFER_BYTES);
    out->unsynced_bytes = options_long(options, OPTION_OTTLA_LOG_UNSYNCED_BYTES);
    out->cleaner_enable = options_bool(options, OPTION_LOG_CLEANER_ENABLE) &&
                          options_int(options, OPTION_LOG_CLEANER_THREADS) > 0;
    out->cleaner_backoff_ms = options_long(options, OPTION_LOG_CLEANER_BACKOFF_MS);
    out->cleaner_dedupe_bytes = options_long(options, OPTION_LOG_CLEANER_DEDUPE_BUFFER_SIZE);
    out->cleaner_load_max = options_double(options, OPTION_LOG_CLEANER_IO_BUFFER_LOAD_FACTOR);
    out->cleaner_io_bytes_per_second =
        options_double(options, OPTION_LOG_CLEANER_IO_MAX_BYTES_PER_SECOND);
    out->level = (int32_t)options_level(options);
    out->reads_by_rack = options_reads_by_rack(options);
    out->leader_throttle_rate = options_long(options, OPTION_LEADER_REPLICATION_THROTTLED_RATE);
    out->follower_throttle_rate = options_long(options, OPTION_FOLLOWER_REPLICATION_THROTTLED_RATE);
    out->quota_windows = options_int(options, OPTION_REPLICATION_QUOTA_WINDOW_NUM);
    out->quota_window_ms =
        1000 * (int64_t)options_int(options, OPTION_REPLICATION_QUOTA_WINDOW_SIZE_SECONDS);
    out->move_windows = options_int(options, OPTION_ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_NUM);
    out->move_window_ms =
        1000 *
        (int64_t)options_int(options, OPTION_ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_SIZE_SECONDS);
    out->move_rate = options_long(options, OPTION_REPLICA_ALTER_LOG_DIRS_IO_MAX_BYTES_PER_SECOND);
    out->move_threads = 0;
    while (!slice_is_null(options_log_dir(options, out->move_threads)))
        out->move_threads++;
    if (options_is_set(options, OPTION_NUM_REPLICA_ALTER_LOG_DIRS_THREADS))
        out->move_threads = options_int(options, OPTION_NUM_REPLICA_ALTER_LOG_DIRS_THREADS);
}

static void open_partitions(struct broker *broker, struct broker_shard *shard)
{
    uint64_t files_max = broker->files_max > 0 ? (uint64_t)broker->files_max : process_files_max();
    uint64_t files = files_max / FILES_SHARE / (uint64_t)broker->data_shards;
    struct partitions_options options = {
        .shard = &shard->shard,
        .broker_id = broker->process.broker_id,
        .files_open_max = files < FILES_OPEN_MIN ? FILES_OPEN_MIN
                          : files > 100000       ? 100000
                                                 : (int)files,
        .ops = &partitions_ops,
        .owner = &shard->api,
        .throttle_cells = broker->throttle_cells,
        .shards = broker->data_shards,
    };

    fill_replica_settings(broker->main->api.options, &options.settings);
    shard->partitions = partitions_create(&options);
    shard->api.partitions = shard->partitions;
    shard->api.groups = groups_create(&shard->shard, shard->partitions, &broker->group_settings);
    struct fetchers_options fetchers = {
        .shard = &shard->shard,
        .partitions = shard->partitions,
        .broker_id = options.broker_id,
        .shards = broker->data_shards,
        .settings = options.settings,
        .ops = &fetchers_ops,
        .owner = &shard->api,
    };
    shard->api.fetchers = fetchers_create(&fetchers);
    shard->api.broker_epoch = broker->main->api.broker_epoch;
    shard->api.feature_epoch = broker->main->api.feature_epoch;
    shard->api.cluster_id = broker->main->api.cluster_id;
    shard->api.awaits_registration = true;
}

static enum err open_listener(struct broker *broker, struct broker_shard *shard, int index)
{
    struct listener_setting *setting = &broker->listeners.at[index];
    struct listener_slot *slot = &shard->listeners[index];
    int backlog = options_int(broker->options, OPTION_SOCKET_LISTEN_BACKLOG_SIZE);
    struct listener_options options = {
        .socket = {.receive_buffer_bytes =
                       socket_buffer_bytes(broker->options, OPTION_SOCKET_RECEIVE_BUFFER_BYTES),
                   .send_buffer_bytes =
                       socket_buffer_bytes(broker->options, OPTION_SOCKET_SEND_BUFFER_BYTES),
                   .backlog = backlog < BACKLOG_MIN ? BACKLOG_MIN : backlog},
        .handlers = &api_conn_handlers,
        .limits = &shard->api.limits,
        .accepted = on_accepted,
        .owner = slot,
    };

    slot->owner = shard;
    slot->index = index;
    if (setting->bind_host.len >= sizeof(options.address.host)) return ERR_INVALID;
    memcpy(options.address.host, setting->bind_host.ptr, setting->bind_host.len);
    options.address.port = (uint16_t)setting->bind_port;
    enum err err = listener_open(&shard->shard, &options, &slot->listener);
    if (err != ERR_OK) {
        log_error("broker", "listener-not-opened", "listener=%.*s host=%.*s port=%d why=%s",
                  SLICE_ARGS(setting->name), SLICE_ARGS(setting->bind_host), setting->bind_port,
                  err_name(err));
        return err;
    }
    /* A port that the system chose is the same for all shards, and the advertised one. */
    if (setting->bind_port == 0) {
        setting->bind_port = listener_port(slot->listener);
        if (setting->port == 0) setting->port = setting->bind_port;
    }
    return ERR_OK;
}

enum err broker_open_shards(struct broker *broker)
{
    enum err err = ERR_OK;

    for (int i = 0; i < broker->data_shards; i++)
        open_partitions(broker, &broker->shards[i]);
    broker_report_open(broker);
    for (int l = 0; l < broker->listeners.count && err == ERR_OK; l++)
        for (int i = 0; i < broker->data_shards && err == ERR_OK; i++)
            err = open_listener(broker, &broker->shards[i], l);
    broker->are_shards_running = err == ERR_OK;
    for (int i = 0; i < broker->data_shards && err == ERR_OK; i++) {
        if (broker->shard_opened != NULL) {
            broker->shard_opened(broker->owner, &broker->shards[i].shard);
            continue;
        }
        process_watchdog_watch(&broker->watchdog, &broker->shards[i].beat,
                               &broker->shards[i].shard);
        err = thread_start(&broker->shards[i].thread, &broker->shards[i].shard);
        broker->shards[i].is_running = err == ERR_OK;
    }
    return err;
}

/* ---- the store ---- */

static void store_config(void *owner, struct slice topic, struct log_config *out)
{
    const struct broker *broker = owner;

    /* What a topic overrides is known later, before its logs are used. */
    (void)topic;
    *out = broker->log_config;
}

static void on_dir_failed(void *owner, struct log_dir *dir, enum err why, int left)
{
    struct broker *broker = owner;

    log_error("broker", "log-dir-failed", "dir=%s why=%s left=%d", dir->path, err_name(why), left);
    order_dir_failed(&broker->main->api, dir);
    if (left == 0)
        broker_fail(broker, ERR_OFFLINE, "all log directories have failed");
    else
        start_log_dir_event(broker);
}

static const struct store_events store_events = {
    .loaded = start_logs_loaded, .dir_failed = on_dir_failed, .closed = stop_closed};

static enum err open_store(struct broker *broker, struct buf *problem)
{
    struct slice dir;
    int count = 0;

    while (!slice_is_null(options_log_dir(broker->options, count)))
        count++;
    broker->log_dirs = ensure_zalloc(sizeof(*broker->log_dirs) * (size_t)(count + 1));
    for (int i = 0; !slice_is_null(dir = options_log_dir(broker->options, i)); i++)
        broker->log_dirs[i] = ensure_strndup(dir.ptr, dir.len);
    broker->store_options = (struct store_options){
        .env = broker->env,
        .home = &broker->main->shard,
        .disk = broker->disk,
        .paths = broker->log_dirs,
        .path_count = count,
        .recovery_threads = options_int(broker->options, OPTION_NUM_RECOVERY_THREADS_PER_DATA_DIR),
        .reserve_bytes =
            (uint64_t)options_long(broker->options, OPTION_OTTLA_LOG_DIR_RESERVE_BYTES),
        .keeps_topic_ids = options_level(broker->options) >= LEVEL_2_8_IV0,
        .config = store_config,
        .events = &store_events,
        .owner = broker,
    };
    return store_open(&broker->store_options, problem, &broker->store);
}

/* Periods of the store's upkeep: the period in ms of timer number i. */
static int64_t store_period_ms(const struct options *options, int i)
{
    switch (i) {
    case 0:
        return options_int(options, OPTION_LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS);
    case 1:
        return options_int(options, OPTION_LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS);
    case 2:
        return options_long(options, OPTION_REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS);
    case 3:
        return STORE_TICK_MS;
    default:
        return SEALED_MS;
    }
}

/* Partitions that came while the disk was full have no log here: now they may. */
static void ask_for_lacking_logs(struct broker *broker)
{
    if (!control_lacks_logs(broker->control) || !broker->is_registered ||
        !store_has_room(broker->store))
        return;
    control_forget_lack(broker->control);
    log_info("broker", "lacking-logs-asked-for", "");
    start_log_dir_event(broker);
}

/* A replica that stood back may lead or follow now: the controller tells who is asked to tell. */
static void ask_to_return(struct broker *broker)
{
    struct instant now = shard_now(&broker->main->shard);

    if (!broker->is_registered || !control_may_return(broker->control) ||
        (broker->asked_to_return_at.ns != 0 &&
         instant_ms_between(broker->asked_to_return_at, now) < STORE_TICK_MS))
        return;
    broker->asked_to_return_at = now;
    log_info("broker", "return-asked-for", "");
    start_log_dir_event(broker);
}

static void on_store_timer(struct broker *broker, int i)
{
    static const int what[] = {STORE_RECOVERY_POINTS, STORE_LOG_STARTS, STORE_HIGH_WATERMARKS};
    int64_t period_ms = store_period_ms(broker->options, i);

    if (i < 3)
        store_checkpoint(broker->store, i == 0 ? what[i] | STORE_CLEANED : what[i]);
    else if (i == 3)
        store_tick(broker->store);
    else
        store_checkpoint_sealed(broker->store);
    if (i == 4) store_renew_reserves(broker->store);
    if (i == 3) ask_for_lacking_logs(broker);
    if (i == 4) ask_to_return(broker);
    timer_arm(&broker->main->shard, &broker->store_timers[i],
              instant_add_ms(shard_now(&broker->main->shard), period_ms < 1 ? 1 : period_ms));
}

static void on_store_timer_0(struct timer *timer)
{
    on_store_timer(CONTAINER(timer, struct broker, store_timers[0]), 0);
}
static void on_store_timer_1(struct timer *timer)
{
    on_store_timer(CONTAINER(timer, struct broker, store_timers[1]), 1);
}
static void on_store_timer_2(struct timer *timer)
{
    on_store_timer(CONTAINER(timer, struct broker, store_timers[2]), 2);
}
static void on_store_timer_3(struct timer *timer)
{
    on_store_timer(CONTAINER(timer, struct broker, store_timers[3]), 3);
}

static void on_store_timer_4(struct timer *timer)
{
    on_store_timer(CONTAINER(timer, struct broker, store_timers[4]), 4);
}

void broker_start_upkeep(struct broker *broker)
{
    static void (*const fires[STORE_TIMERS])(struct timer * timer) = {
        on_store_timer_0, on_store_timer_1, on_store_timer_2, on_store_timer_3, on_store_timer_4};

    for (int i = 0; i < STORE_TIMERS; i++) {
        int64_t period_ms = store_period_ms(broker->options, i);
        broker->store_timers[i].fire = fires[i];
        timer_arm(&broker->main->shard, &broker->store_timers[i],
                  instant_add_ms(shard_now(&broker->main->shard), period_ms < 1 ? 1 : period_ms));
    }
}

void broker_stop_upkeep(struct broker *broker)
{
    for (int i = 0; i < STORE_TIMERS; i++)
        timer_cancel(&broker->main->shard, &broker->store_timers[i]);
}

/* ---- life ---- */

void broker_fail(struct broker *broker, enum err err, const char *what)
{
    log_error("broker", "failed", "what=\"%s\" why=%s", what, err_name(err));
    broker->result = err;
    shard_stop(&broker->main->shard);
}

static enum err open_shards(struct broker *broker)
{
    int total = broker->data_shards + 1;
    enum err err = ERR_OK;

    broker->mesh = mesh_create(total);
    broker->shards = ensure_zalloc(sizeof(*broker->shards) * (size_t)total);
    broker->main = &broker->shards[broker->data_shards];
    for (int i = 0; i < total && err == ERR_OK; i++) {
        struct broker_shard *shard = &broker->shards[i];
        shard->broker = broker;
        err = shard_open(&shard->shard, broker->env, i, broker->mesh, &shard_handlers, shard,
                         broker->disk);
        if (err != ERR_OK) break;
        shard->is_open = true;
        if (i < broker->data_shards) broker->process.nets[i] = shard->shard.net;
        api_shard_init(&shard->api, &shard->shard, &broker->process, &shard->routes);
    }
    return err;
}

/* Something of server.properties was changed at run time. Before the start all of it is taken with
 * the rest. */
static void on_options_changed(void *to, const struct options *before)
{
    struct broker *broker = to;
    struct api_shard *control = &broker->main->api;
    struct replica_settings settings;

    connections_set_max(&broker->connections, control->options);
    if (!broker->is_started || broker->is_stopping) return;
    fill_replica_settings(control->options, &settings);
    order_settings(control, &settings);
    if (topic_options_differ(before, control->options))
        topic_configs_reapply(control_topic_configs(broker->control), broker->store);
}

static void on_broker_notified(void *to, struct slice name)
{
    broker_configs_notified(((struct broker *)to)->configs, name);
}

static void open_control(struct broker *broker)
{
    struct broker_shard *control = broker->main;

    broker->control = control_create(&control->api);
    broker->configs = broker_configs_create(&control->api, on_options_changed, broker);
    control->api.configs = broker->configs;
    topic_configs_on_broker(control_topic_configs(broker->control), on_broker_notified, broker);
    broker->throttle_cells =
        ensure_zalloc((size_t)broker->data_shards * sizeof(*broker->throttle_cells));
    broker->forward =
        forward_create(&control->shard, broker->control, &broker->listeners, broker->options);
    control->api.forward = broker->forward;
    orders_answers(&control->api, &control->routes);
    broker->alter = alter_create(&control->api, &control->routes);
    broker->producer_ids = producer_ids_create(&control->api);
    messages_on_call(&control->routes, MSG_LOG_DIR_FAILED, hear_dir_failed, broker);
    messages_on_call(&control->routes, MSG_SAVE_WANTED, hear_save, broker);
    messages_on_call(&control->routes, MSG_MOVED, hear_moved, broker);
    int session_slots =
        options_int(broker->options, OPTION_MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS);
    session_slots = (session_slots + broker->data_shards - 1) / broker->data_shards;
    for (int i = 0; i < broker->data_shards; i++) {
        struct broker_shard *shard = &broker->shards[i];
        shard->api.held_image = image_hold(control_image(broker->control));
        shard->api.image = shard->api.held_image;
        set_limits(broker->options, broker->data_shards, &shard->api.limits);
        orders_listen(&shard->api, &shard->routes);
        alter_listen(&shard->api, &shard->routes);
        produce_open(&shard->api, &shard->routes);
        shard->api.fetches = fetch_open(&shard->api, &shard->routes, session_slots);
        offsets_open(&shard->api, &shard->routes);
        delete_records_open(&shard->api, &shard->routes);
        describe_producers_open(&shard->api, &shard->routes);
        group_calls_open(&shard->api, &shard->routes);
        messages_on_answer(&shard->routes, MSG_LOG_DIR_FAILED, hear_dir_answer, shard);
        messages_on_answer(&shard->routes, MSG_SAVE_WANTED, hear_dir_answer, shard);
        messages_on_answer(&shard->routes, MSG_MOVED, hear_moved_answer, shard);
        messages_on_call(&shard->routes, MSG_STOP_ACCEPTING, hear_stop_accepting, shard);
    }
}

static int threads_of(const struct broker *broker, enum option option)
{
    int count = options_int(broker->options, option);

    return count < 1 ? 1 : count > DISK_THREADS_MAX ? DISK_THREADS_MAX : count;
}

enum err broker_create(const struct broker_options *options, struct buf *problem,
                       struct broker **out)
{
    struct broker *broker = ensure_zalloc(sizeof(*broker));
    struct topic_options defaults;

    broker->env = options->env;
    broker->options = options->options;
    broker->listeners = *options->listeners;
    broker->takes_signals = options->takes_signals;
    broker->shard_opened = options->shard_opened;
    broker->owner = options->owner;
    broker->files_max = options->files_max;
    broker->report.metrics = options->metrics;
    broker->began = env_now(options->env);
    broker->data_shards = options->data_shards;
    if (broker->data_shards <= 0) {
        int cpus = thread_cpus(), wanted = options_int(broker->options, OPTION_NUM_NETWORK_THREADS);
        broker->data_shards = wanted < cpus ? wanted : cpus;
    }
    if (broker->data_shards > SHARDS_MAX - 1) broker->data_shards = SHARDS_MAX - 1;

    const char *rack = options_text(broker->options, OPTION_BROKER_RACK);
    broker->process =
        (struct api_process){.options = broker->options,
                             .broker_id = options_int(broker->options, OPTION_BROKER_ID),
                             .rack = rack == NULL ? SLICE_NULL : slice_text(rack),
                             .reads_by_rack = options_reads_by_rack(broker->options),
                             .shards = broker->data_shards,
                             .listeners = &broker->listeners,
                             .logs_requests = &broker->logs_requests,
                             .connections = &broker->connections,
                             .image_awaited_ns = &broker->image_awaited_ns};
    connections_init(&broker->connections, broker->options, &broker->listeners);
    topic_options_resolve(broker->options, NULL, 0, NULL, &defaults);
    log_config_from_topic(&defaults, broker->options, &broker->log_config);
    groups_settings_fill(&broker->group_settings, broker->options);
    arena_init(&broker->arena, 1024 * 1024);

    const int threads[DISK_CLASSES] = {
        [DISK_SOON] = DISK_THREADS_SOON,
        [DISK_LONG] = threads_of(broker, OPTION_NUM_RECOVERY_THREADS_PER_DATA_DIR),
        [DISK_IDLE] = threads_of(broker, OPTION_LOG_CLEANER_THREADS),
    };
    enum err err = disk_open(broker->env, threads, &broker->disk);
    if (err == ERR_OK) err = open_shards(broker);
    if (err == ERR_OK) err = open_store(broker, problem);
    if (err != ERR_OK) {
        if (problem->len == 0) buf_printf(problem, "the broker's threads: %s", err_text(err));
        broker_destroy(&broker);
        return err;
    }
    open_control(broker);
    if (options->metrics != NULL) broker->censuses = censuses_create(broker);
    control_set_store(broker->control, broker->store);
    *out = broker;
    return ERR_OK;
}

enum err broker_start(struct broker *broker)
{
    return start_begin(broker);
}

struct shard *broker_shard(struct broker *broker)
{
    return &broker->main->shard;
}

enum err broker_result(const struct broker *broker)
{
    return broker->result;
}

enum err broker_run(struct broker *broker)
{
    broker->result = start_begin(broker);
    if (broker->result == ERR_OK) shard_run(&broker->main->shard);

    for (int i = 0; i < broker->data_shards; i++) {
        if (!broker->shards[i].is_running) continue;
        shard_stop(&broker->shards[i].shard);
        thread_join(&broker->shards[i].thread);
        broker->shards[i].is_running = false;
    }
    process_watchdog_stop(&broker->watchdog);
    return broker->result;
}

struct status_pages broker_pages(struct broker *broker)
{
    ensure(broker->censuses != NULL);
    return pages_of(broker);
}

void broker_end_pages(struct broker *broker)
{
    censuses_stop(broker->censuses);
}

void broker_destroy(struct broker **it)
{
    struct broker *broker = *it;

    if (broker == NULL) return;
    censuses_destroy(&broker->censuses);
    alter_destroy(&broker->alter);
    producer_ids_destroy(&broker->producer_ids);
    if (broker->configs != NULL) broker_configs_destroy(&broker->configs);
    forward_destroy(&broker->forward);
    for (int i = 0; i < broker->data_shards && broker->shards != NULL; i++)
        image_release(&broker->shards[i].api.held_image);
    control_destroy(&broker->control);
    for (int i = 0; i < broker->data_shards && broker->shards != NULL; i++) {
        if (broker->shards[i].api.fetches != NULL) fetch_close(&broker->shards[i].api.fetches);
        groups_destroy(&broker->shards[i].api.groups);
        partitions_destroy(&broker->shards[i].partitions);
        fetchers_destroy(&broker->shards[i].api.fetchers);
    }
    store_destroy(&broker->store);
    for (int i = 0; broker->shards != NULL && i <= broker->data_shards; i++) {
        if (!broker->shards[i].is_open) continue;
        api_shard_fini(&broker->shards[i].api);
        shard_close(&broker->shards[i].shard);
    }
    if (broker->disk != NULL) disk_close(broker->env, &broker->disk);
    if (broker->mesh != NULL) mesh_destroy(&broker->mesh);
    connections_fini(&broker->connections);
    arena_fini(&broker->arena);
    for (int i = 0; broker->log_dirs != NULL && broker->log_dirs[i] != NULL; i++)
        free((void *)(uintptr_t)broker->log_dirs[i]);
    free(broker->log_dirs);
    free(broker->throttle_cells);
    free(broker->shards);
    free(broker);
    *it = NULL;
}
