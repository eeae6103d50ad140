/* The start, and each new ZooKeeper session. What can go side by side does: logs are loaded while
 * ZooKeeper answers. Order and rules: zookeeper.md §5, §14, §15. */
#include "base/ensure.h"
#include "base/log.h"
#include "broker/api/alter.h"
#include "broker/api/autocreate.h"
#include "broker/api/control.h"
#include "broker/api/forward.h"
#include "broker/api/orders.h"
#include "broker/api/topic_configs.h"
#include "broker/broker_private.h"
#include "zk/docs.h"
#include "zk/paths.h"
#include <stdio.h>
#include <stdlib.h>

#define RETRY_MS      1000
#define LOAD_AGAIN_MS 5000 /* where a log directory has no room for what a start has to write */
/* ZooKeeper ends a session at the next of its ticks after the time-out, not at once. */
#define EXPIRY_LATE_MS               5000
#define DEFAULT_VERSION              5

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static void need_met(struct broker *broker, enum start_need need);
static void register_now(struct broker *broker);

static bool is_session_end(enum err err)
{
    return err == ERR_ZK_EXPIRED || err == ERR_CANCELLED;
}

/* ---- registration ---- */

static void write_document(struct broker *broker, struct buf *out)
{
    const struct listeners *listeners = &broker->listeners;
    enum level level = options_level(broker->options);
    struct doc_endpoint endpoints[LISTENERS_MAX];
    struct doc_broker doc = {.endpoints = endpoints,
                             .rack = broker->process.rack,
                             .jmx_port = -1,
                             .timestamp_ms = env_wall_ms(broker->env),
                             .is_cache_lost = store_lost_cache(broker->store),
                             .cache_lost_since = store_lost_cache_since(broker->store)};

    doc.version = level >= LEVEL_2_7_IV0 ? DEFAULT_VERSION : level >= LEVEL_0_10_0_IV1 ? 4 : 2;
    for (int i = 0; i < listeners->count; i++) {
        const struct listener_setting *at = &listeners->at[i];
        if (!at->is_advertised) continue;
        endpoints[doc.endpoint_count++] =
            (struct doc_endpoint){.listener = at->name,
                                  .protocol = slice_text(security_protocol_name(at->protocol)),
                                  .host = at->host,
                                  .port = at->port};
    }
    doc_broker_write(out, &doc);
}

static void ready(struct broker *broker)
{
    int64_t ms = instant_ms_between(broker->began, env_now(broker->env));

    log_info("broker", "ready", "id=%d shards=%d logs=%d epoch=%lld rss_kib=%llu start_ms=%lld",
             broker->process.broker_id, broker->data_shards, store_log_count(broker->store),
             (long long)broker->main->api.broker_epoch,
             (unsigned long long)(process_resident_bytes() / 1024), (long long)ms);
    /* In Kafka's words, for what waits for this line: start scripts, Testcontainers. */
    log_info("broker", "started",
             "kafka=\"[KafkaServer id=%d] started (kafka.server.KafkaServer)\"",
             broker->process.broker_id);
    process_notify("READY=1");
}

static void on_registered(void *owner, enum err err, int64_t czxid, int64_t session_id)
{
    struct broker *broker = owner;
    bool is_first = !broker->was_registered;

    broker->recipe_register = NULL;
    if (is_session_end(err)) return; /* the next session registers */
    if (err == ERR_OK) {
        broker->session_registered = session_id;
        broker->is_registered = broker->was_registered = true;
        store_note_session(broker->store, session_id, czxid);
        broker->main->api.broker_epoch = czxid;
        order_facts(&broker->main->api);
        log_info("broker", "registered", "id=%d epoch=%lld session=%llx", broker->process.broker_id,
                 (long long)czxid, (unsigned long long)session_id);
        if (is_first) ready(broker);
        return;
    }
    if (is_first && err == ERR_EXISTS) {
        log_error("broker", "id-taken", "id=%d", broker->process.broker_id);
        broker_fail(broker, err, "another broker is registered under this id");
        return;
    }
    log_error("broker", "not-registered", "id=%d why=%s", broker->process.broker_id, err_name(err));
    timer_arm(&broker->main->shard, &broker->retry,
              instant_add_ms(shard_now(&broker->main->shard), RETRY_MS));
}

static void register_now(struct broker *broker)
{
    struct buf json;

    if (broker->zk == NULL || broker->recipe_register != NULL || broker->is_stopping) return;
    /* Left of our own crash: not waited for. The directories' locks prove that nobody has it. */
    if (!broker->was_registered) broker->session_registered = store_last_session(broker->store);
    buf_init(&json);
    write_document(broker, &json);
    arena_reset(&broker->arena);
    broker->recipe_register = recipe_register(
        broker->zk, path_broker(&broker->arena, broker->process.broker_id), buf_slice(&json),
        broker->session_registered,
        options_int(broker->options, OPTION_ZOOKEEPER_SESSION_TIMEOUT_MS) + EXPIRY_LATE_MS,
        store_lost_cache(broker->store), on_registered, broker);
    buf_fini(&json);
}

static void on_retry(struct timer *timer)
{
    register_now(CONTAINER(timer, struct broker, retry));
}

/* ---- /feature ---- */

static void read_feature(struct broker *broker);

static void on_feature(struct zk_call *call, enum err err, const struct zk_result *results,
                       int count)
{
    struct broker *broker = CONTAINER(call, struct broker, feature_get);
    struct doc_features doc;
    int64_t epoch = -1;

    broker->feature_busy = false;
    if (is_session_end(err)) return;
    if (err == ERR_OK && count > 0) {
        arena_reset(&broker->arena);
        err = doc_features_read(results[0].data, &broker->arena, &doc);
        if (err == ERR_OK && doc.is_enabled) epoch = results[0].stat.version;
        if (err != ERR_OK) log_warn("broker", "feature-unreadable", "why=%s", err_name(err));
    }
    if (broker->main->api.feature_epoch != epoch) {
        broker->main->api.feature_epoch = epoch;
        if (broker->is_started) order_facts(&broker->main->api);
    }
    need_met(broker, NEED_FEATURE);
    if (broker->feature_again) read_feature(broker);
}

static void on_feature_exists(struct zk_call *call, enum err err, const struct zk_result *results,
                              int count)
{
    (void)call;
    (void)err;
    (void)results;
    (void)count; /* it has armed the watch */
}

static void read_feature(struct broker *broker)
{
    broker->feature_again = broker->feature_busy;
    if (broker->feature_busy || broker->zk == NULL) return;
    broker->feature_busy = true;
    broker->feature_exists = (struct zk_call){.done = on_feature_exists, .retry_loss = true};
    broker->feature_get = (struct zk_call){.done = on_feature, .retry_loss = true};
    zk_submit(broker->zk, &broker->feature_exists,
              &(struct zk_op){.kind = ZK_EXISTS, .path = PATH_FEATURE, .watch = true}, 1);
    zk_submit(broker->zk, &broker->feature_get,
              &(struct zk_op){.kind = ZK_GET, .path = PATH_FEATURE}, 1);
}

/* ---- who we are ---- */

static void on_broker_configs(void *to, enum err err)
{
    struct broker *broker = to;

    if (err == ERR_OK)
        need_met(broker, NEED_BROKER_CONFIGS);
    else if (!broker->is_started)
        broker_fail(broker, err, "the configuration in /config/brokers cannot be read");
}

static void identify(struct broker *broker)
{
    struct buf problem;

    buf_init(&problem);
    enum err err =
        store_identify(broker->store, broker->process.broker_id, broker->cluster_id, &problem);
    if (err != ERR_OK) {
        log_error("broker", "identity", "problem=\"%.*s\"", SLICE_ARGS(buf_slice(&problem)));
        broker_fail(broker, err, "meta.properties does not fit");
    }
    buf_fini(&problem);
    if (err != ERR_OK) return;
    broker_configs_set_zk(broker->configs, broker->zk, on_broker_configs, broker);
    need_met(broker, NEED_CLUSTER_ID);
}

static void on_broker_id(void *owner, enum err err, int32_t id)
{
    struct broker *broker = owner;

    broker->recipe_id = NULL;
    if (is_session_end(err)) return;
    if (err != ERR_OK) {
        broker_fail(broker, err, "no broker id could be generated");
        return;
    }
    broker->process.broker_id = id;
    log_info("broker", "id-generated", "id=%d", id);
    identify(broker);
}

static void on_cluster_id(void *owner, enum err err, struct slice id)
{
    struct broker *broker = owner;

    broker->recipe_cluster = NULL;
    if (is_session_end(err)) return;
    if (err != ERR_OK || id.len == 0 || id.len >= sizeof(broker->cluster_id)) {
        broker_fail(broker, err == ERR_OK ? ERR_INVALID : err, "/cluster/id cannot be read");
        return;
    }
    memcpy(broker->cluster_id, id.ptr, id.len);
    broker->main->api.cluster_id = slice_text(broker->cluster_id);
    if (broker->process.broker_id < 0) broker->process.broker_id = store_broker_id(broker->store);
    if (broker->process.broker_id >= 0) {
        identify(broker);
        return;
    }
    broker->recipe_id =
        recipe_broker_id(broker->zk, options_int(broker->options, OPTION_RESERVED_BROKER_MAX_ID),
                         on_broker_id, broker);
}

static void read_cluster_id(struct broker *broker)
{
    char fresh[UUID_TEXT_LEN + 1];
    uint64_t high = env_random(broker->env, "cluster-id");
    uint64_t low = env_random(broker->env, "cluster-id");

    uuid_text(uuid_from_random(high, low), fresh);
    broker->recipe_cluster =
        recipe_cluster_id(broker->zk, slice_text(fresh), on_cluster_id, broker);
}

/* ---- the others ---- */

/* True if `other` advertises an address of ours. */
static bool shares_address(const struct broker *broker, const struct doc_broker *other)
{
    for (int i = 0; i < broker->listeners.count; i++) {
        const struct listener_setting *ours = &broker->listeners.at[i];
        for (int32_t e = 0; e < other->endpoint_count; e++)
            if (ours->is_advertised && ours->port != 0 && ours->port == other->endpoints[e].port &&
                slice_equal(ours->host, other->endpoints[e].host))
                return true;
    }
    return false;
}

static void on_peers(void *owner, enum err err, const struct recipe_child *children, int count,
                     const struct zk_stat *stat)
{
    struct broker *broker = owner;

    (void)stat;
    broker->recipe_peers = NULL;
    if (is_session_end(err)) return;
    for (int i = 0; err == ERR_OK && i < count; i++) {
        struct doc_broker doc;
        int32_t id;
        arena_reset(&broker->arena);
        if (path_parse_id(children[i].name, &id) != ERR_OK || id == broker->process.broker_id ||
            doc_broker_read(children[i].data, &broker->arena, &doc) != ERR_OK)
            continue;
        if (shares_address(broker, &doc)) {
            log_error("broker", "address-taken", "by=%d", id);
            broker_fail(broker, ERR_BUSY, "another broker advertises the same host and port");
            return;
        }
    }
    need_met(broker, NEED_PEERS);
}

/* ---- the steps ---- */

/* Logs that took the defaults instead could delete what their topics are to keep. */
static void on_configs(void *to, enum err err)
{
    struct broker *broker = to;

    if (err == ERR_OK)
        need_met(broker, NEED_CONFIGS);
    else if (!broker->is_started)
        broker_fail(broker, err, "the topics' configurations in /config/topics cannot be read");
}

/* A log takes its topic's configuration before anyone uses it. */
static void configure_log(void *to, struct log *log)
{
    struct broker *broker = to;
    struct log_config config;
    int32_t min_insync;

    bool is_plain = broker->main->api.options == broker->options;

    if (is_plain && !topic_configs_has_own(control_topic_configs(broker->control), log_topic(log)))
        return;
    topic_configs_get(control_topic_configs(broker->control), log_topic(log), &config, &min_insync);
    log_set_config(log, &config);
}

static void start_up(struct broker *broker)
{
    store_each(broker->store, configure_log, broker);
    enum err err = broker_open_shards(broker);
    if (err != ERR_OK) {
        broker_fail(broker, err, "a listener or a thread could not be opened");
        return;
    }
    broker->is_started = true;
    broker_start_upkeep(broker);
    register_now(broker);
}

static void need_met(struct broker *broker, enum start_need need)
{
    if ((broker->needs & need) == 0) return;
    broker->needs &= ~(unsigned)need;
    log_debug("broker", "start-step", "done=%u left=%u ms=%lld", (unsigned)need, broker->needs,
              (long long)instant_ms_between(broker->began, env_now(broker->env)));
    if (broker->needs == 0 && !broker->is_started && !broker->is_stopping) start_up(broker);
}

void start_logs_loaded(void *owner, enum err err, const char *text)
{
    struct broker *broker = owner;

    if (err != ERR_OK) {
        log_error("broker", "logs-not-loaded", "why=%s problem=\"%s\"", err_name(err),
                  text == NULL ? "" : text);
        broker_fail(broker, err, "the log directories cannot be loaded");
        return;
    }
    timer_cancel(&broker->main->shard, &broker->load_again);
    need_met(broker, NEED_LOGS);
}

static void on_load_again(struct timer *timer)
{
    struct broker *broker = CONTAINER(timer, struct broker, load_again);

    store_load_again(broker->store);
    timer_arm(&broker->main->shard, &broker->load_again,
              instant_add_ms(shard_now(&broker->main->shard), LOAD_AGAIN_MS));
}

/* ---- sessions ---- */

static void on_paths(void *owner, enum err err)
{
    struct broker *broker = owner;

    broker->recipe_paths = NULL;
    if (is_session_end(err)) return;
    if (err != ERR_OK) {
        log_warn("broker", "paths-not-ensured", "why=%s", err_name(err));
        if (!broker->is_started) {
            broker_fail(broker, err, "the znodes of a cluster cannot be made");
            return;
        }
    }
    topic_configs_set_zk(control_topic_configs(broker->control), broker->zk, on_configs, broker);
    need_met(broker, NEED_PATHS);
    if (broker->is_started) {
        broker_configs_set_zk(broker->configs, broker->zk, NULL, NULL);
        register_now(broker);
        return;
    }
    read_cluster_id(broker);
    broker->recipe_peers =
        recipe_read_children(broker->zk, PATH_BROKERS_IDS, false, false, on_peers, broker);
}

static void on_left_removed(void *owner, enum err err)
{
    struct broker *broker = owner;

    broker->recipe_left = NULL;
    if (!is_session_end(err) && err != ERR_OK)
        log_warn("broker", "old-registration-not-removed", "why=%s", err_name(err));
}

/* What our crash has left in /brokers/ids says that we are here, with all that we had: controllers
 * must not elect by it while our logs are loaded. The directories' locks prove that nobody has it.
 */
static void remove_what_is_left(struct broker *broker)
{
    int64_t session = store_last_session(broker->store);
    int32_t id = broker->process.broker_id;

    if (id < 0) id = store_broker_id(broker->store);
    if (broker->was_registered || session == 0 || id < 0) return;
    arena_reset(&broker->arena);
    broker->recipe_left = recipe_unregister(broker->zk, path_broker(&broker->arena, id), session,
                                            on_left_removed, broker);
}

/* A session, the first or one after an expiry: everything that ZooKeeper is to tell us is asked
 * anew. */
static void session_begins(struct broker *broker)
{
    timer_cancel(&broker->main->shard, &broker->retry);
    remove_what_is_left(broker);
    broker->recipe_paths =
        recipe_ensure(broker->zk, path_ensured, path_ensured_count, on_paths, broker);
    autocreate_set_zk(control_autocreate(broker->control), broker->zk);
    alter_set_zk(broker->alter, broker->zk);
    forward_set_zk(broker->forward, broker->zk);
    producer_ids_set_zk(broker->producer_ids, broker->zk);
    read_feature(broker);
}

/* Every call under way has been answered with ERR_ZK_EXPIRED by now. The broker keeps its
 * partitions and its leadership: epochs fence what is stale. */
static void session_ends(struct broker *broker)
{
    broker->is_registered = false;
    broker->feature_busy = broker->feature_again = false;
    topic_configs_set_zk(control_topic_configs(broker->control), NULL, NULL, NULL);
    broker_configs_set_zk(broker->configs, NULL, NULL, NULL);
    autocreate_set_zk(control_autocreate(broker->control), NULL);
    alter_set_zk(broker->alter, NULL);
    forward_set_zk(broker->forward, NULL);
    producer_ids_set_zk(broker->producer_ids, NULL);
}

static void on_zk(void *owner, const struct zk_event *event)
{
    struct broker *broker = owner;

    if (broker->is_stopping) {
        /* Who is to hear of the end may have changed since; or there is nothing left to say. */
        forward_event(broker->forward, event);
        if (event->type == ZK_EXPIRED) stop_session_ended(broker);
        return;
    }
    switch (event->type) {
    case ZK_CONNECTED:
        log_info("broker", "zookeeper-connected", "session=%llx",
                 (unsigned long long)zk_session_id(broker->zk));
        if (!broker->had_session) {
            broker->had_session = true;
            timer_cancel(&broker->main->shard, &broker->connect_limit);
            session_begins(broker);
        }
        return;
    case ZK_DISCONNECTED:
        log_warn("broker", "zookeeper-disconnected", "");
        topic_configs_event(control_topic_configs(broker->control), event);
        return;
    case ZK_EXPIRED:
        log_warn("broker", "zookeeper-expired", "");
        counter_add(&broker->report.expired, 1);
        session_ends(broker);
        return;
    case ZK_NEW_SESSION:
        log_info("broker", "zookeeper-new-session", "session=%llx",
                 (unsigned long long)zk_session_id(broker->zk));
        broker->had_session = true;
        session_begins(broker);
        return;
    case ZK_AUTH_FAILED:
        log_error("broker", "zookeeper-auth-failed", "");
        if (!broker->is_started) broker_fail(broker, ERR_ZK_AUTH, "ZooKeeper");
        return;
    case ZK_NODE_CREATED:
    case ZK_NODE_DELETED:
    case ZK_NODE_CHANGED:
    case ZK_NODE_CHILDREN:
        break;
    }
    if (slice_equal(event->path, PATH_FEATURE)) read_feature(broker);
    forward_event(broker->forward, event);
    topic_configs_event(control_topic_configs(broker->control), event);
}

static void on_connect_limit(struct timer *timer)
{
    struct broker *broker = CONTAINER(timer, struct broker, connect_limit);

    broker_fail(broker, ERR_TIMED_OUT,
                "ZooKeeper did not answer in zookeeper.connection.timeout.ms");
}

enum err start_begin(struct broker *broker)
{
    const struct options *options = broker->options;
    struct zk_options zk = {
        .connect = options_text(options, OPTION_ZOOKEEPER_CONNECT),
        .session_timeout_ms = options_int(options, OPTION_ZOOKEEPER_SESSION_TIMEOUT_MS),
        .in_flight_max = options_int(options, OPTION_ZOOKEEPER_MAX_IN_FLIGHT_REQUESTS),
        .set_acl = options_bool(options, OPTION_ZOOKEEPER_SET_ACL),
    };

    broker->retry.fire = on_retry;
    broker->connect_limit.fire = on_connect_limit;
    broker->load_again.fire = on_load_again;
    broker->needs = NEED_LOGS | NEED_PATHS | NEED_CLUSTER_ID | NEED_CONFIGS | NEED_FEATURE |
                    NEED_PEERS | NEED_BROKER_CONFIGS;
    if (options_level(options) < LEVEL_2_7_IV0) broker->needs &= ~(unsigned)NEED_FEATURE;
    enum err err = stop_listen(broker);
    if (err == ERR_OK) err = zk_open(&broker->main->shard, &zk, on_zk, broker, &broker->zk);
    if (err != ERR_OK) {
        log_error("broker", "zookeeper", "connect=%s why=%s", zk.connect, err_name(err));
        return err;
    }
    timer_arm(
        &broker->main->shard, &broker->connect_limit,
        instant_add_ms(env_now(broker->env), options_zookeeper_connection_timeout_ms(options)));
    timer_arm(&broker->main->shard, &broker->load_again,
              instant_add_ms(env_now(broker->env), LOAD_AGAIN_MS));
    store_load(broker->store);
    return ERR_OK;
}

void start_end(struct broker *broker)
{
    struct recipe **const all[] = {&broker->recipe_paths, &broker->recipe_cluster,
                                   &broker->recipe_id,    &broker->recipe_peers,
                                   &broker->recipe_left,  &broker->recipe_register};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        recipe_cancel(all[i]);
    timer_cancel(&broker->main->shard, &broker->retry);
    timer_cancel(&broker->main->shard, &broker->connect_limit);
    timer_cancel(&broker->main->shard, &broker->load_again);
    topic_configs_set_zk(control_topic_configs(broker->control), NULL, NULL, NULL);
    broker_configs_set_zk(broker->configs, NULL, NULL, NULL);
    autocreate_set_zk(control_autocreate(broker->control), NULL);
    alter_set_zk(broker->alter, NULL);
    forward_set_zk(broker->forward, NULL);
}

/* ---- a log directory has failed ---- */

static void on_dir_event(void *owner, enum err err)
{
    (void)owner;
    if (err != ERR_OK) log_error("broker", "log-dir-event-not-written", "why=%s", err_name(err));
}

struct dir_event {
    struct zk_call call;
    struct broker *broker;
};

static void on_dir_event_created(struct zk_call *call, enum err err,
                                 const struct zk_result *results, int count)
{
    struct dir_event *event = CONTAINER(call, struct dir_event, call);

    (void)results;
    (void)count;
    on_dir_event(event->broker, err);
    free(event);
}

void start_log_dir_event(struct broker *broker)
{
    struct dir_event *event;
    struct buf json;

    if (broker->zk == NULL) return;
    event = ensure_zalloc(sizeof(*event));
    event->broker = broker;
    event->call = (struct zk_call){.done = on_dir_event_created, .retry_loss = true};
    buf_init(&json);
    doc_log_dir_event_write(
        &json, &(struct doc_log_dir_event){.broker = broker->process.broker_id, .event = 1});
    zk_submit(broker->zk, &event->call,
              &(struct zk_op){.kind = ZK_CREATE,
                              .path = PATH_LOG_DIR_EVENT_NEW,
                              .data = buf_slice(&json),
                              .is_sequential = true},
              1);
    buf_fini(&json);
}
